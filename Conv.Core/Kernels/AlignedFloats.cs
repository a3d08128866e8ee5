namespace Conv;

/// <summary>Numbers that begin on a cache line.</summary>
/// <remarks>Should the collector move them, they are slower to read, and no less right.</remarks>
internal sealed unsafe class AlignedFloats
{
    /// <summary>Bytes of a cache line.</summary>
    public const int Line = 64;

    private readonly float[] _array;
    private readonly int _first;

    /// <summary>Zeros.</summary>
    public AlignedFloats(long length)
    {
        _array = new float[checked((int)(length + (Line / sizeof(float))))];
        fixed (float* start = _array)
        {
            _first = (int)(Align(start, long.MaxValue) - start);
        }

        Length = (int)length;
    }

    /// <summary>How many.</summary>
    public int Length { get; }

    /// <summary>All of them.</summary>
    public Span<float> Span => _array.AsSpan(_first, Length);

    /// <summary>Bytes of workspace in which so many numbers can begin where <see cref="Align"/> says.</summary>
    public static long Bytes(long length) => length == 0 ? 0 : (length * sizeof(float)) + Alignment(length) - 1;

    /// <summary>The first cache line at or behind an address; for a few numbers, the first place for one.</summary>
    public static float* Align(void* address, long length)
    {
        nuint mask = (nuint)Alignment(length) - 1;
        return (float*)(((nuint)address + mask) & ~mask);
    }

    /// <summary>For <c>fixed</c>.</summary>
    public ref float GetPinnableReference() => ref _array[_first];

    // A line would be more than some small convolutions need in all.
    private static int Alignment(long length) => length < 256 ? sizeof(float) : Line;
}
