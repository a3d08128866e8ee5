using System.Buffers;

namespace Conv;

/// <summary>Memory of the shared pool, of any content, given back at the end of the scope.</summary>
internal readonly ref struct Rented : IDisposable
{
    private readonly float[] _array;

    /// <summary>Rents some elements.</summary>
    public Rented(int length)
    {
        _array = ArrayPool<float>.Shared.Rent(length);
        Span = _array.AsSpan(0, length);
    }

    /// <summary>The elements that were asked for.</summary>
    public Span<float> Span { get; }

    /// <inheritdoc/>
    public void Dispose() => ArrayPool<float>.Shared.Return(_array);
}
