using System.Runtime.Intrinsics.X86;

namespace Conv;

/// <summary>The first processor's caches in bytes, as the processor itself reports them, usual sizes where it does not; what they hold,
/// and what they are asked to.</summary>
internal static class Machine
{
    /// <summary>Numbers in a cache line.</summary>
    public const int LineFloats = 16;

    private const int IntelLeaf = 4;
    private const int AmdLeaf = unchecked((int)0x8000001D);
    private const int LargestAmdLeaf = unchecked((int)0x80000000);

    /// <summary>No first-level cache is used beyond this.</summary>
    public const int MostLevel1 = 128 << 10;

    /// <summary>No second-level cache is used beyond this: what is larger is shared or slow, and workspaces stay below a limit that every
    /// processor keeps.</summary>
    public const int MostLevel2 = 2 << 20;

    /// <summary>First level, data, of one core.</summary>
    public static int Level1 { get; } = Math.Min(Cache(1) ?? (32 << 10), MostLevel1);

    /// <summary>Second level, of one core.</summary>
    public static int Level2 { get; } = Math.Min(Cache(2) ?? (512 << 10), MostLevel2);

    /// <summary>Third level, of all cores that share it.</summary>
    public static int Level3 { get; } = Cache(3) ?? (16 << 20);

    /// <summary>Whether so many numbers that each call reads once are still in the last cache at the next one: other programs use it as
    /// well.</summary>
    public static bool Keeps(double floats) => floats * sizeof(float) < Level3 / 2;

    /// <summary>Asks for numbers that are about to be read or written: pieces of rows that are far apart do not arrive by themselves.</summary>
    /// <param name="rows">How many rows.</param>
    /// <param name="columns">Numbers of each; none if it is below 1.</param>
    /// <param name="at">The first; nothing is read, so it may be anywhere.</param>
    /// <param name="stride">From one row to the next.</param>
    public static unsafe void Ask(int rows, int columns, float* at, nint stride)
    {
        if (!Sse.IsSupported || columns < 1)
        {
            return;
        }

        for (; rows > 0; rows--, at += stride)
        {
            for (int column = 0; column < columns; column += LineFloats)
            {
                Sse.Prefetch0(at + column);
            }

            // A row that begins within a line ends in one more.
            Sse.Prefetch0(at + columns - 1);
        }
    }

    private static int? Cache(int level)
    {
        if (!X86Base.IsSupported)
        {
            return null;
        }

        bool amd = (uint)X86Base.CpuId(LargestAmdLeaf, 0).Eax >= unchecked((uint)AmdLeaf);
        if (!amd && X86Base.CpuId(0, 0).Eax < IntelLeaf)
        {
            return null;
        }

        for (int index = 0; index < 8; index++)
        {
            (int eax, int ebx, int ecx, _) = X86Base.CpuId(amd ? AmdLeaf : IntelLeaf, index);
            int type = eax & 0x1F;
            if (type == 0)
            {
                break;
            }

            // Type 2 holds instructions alone.
            if (((eax >> 5) & 7) == level && type != 2)
            {
                int ways = ((ebx >> 22) & 0x3FF) + 1, partitions = ((ebx >> 12) & 0x3FF) + 1, line = (ebx & 0xFFF) + 1;
                return ways * partitions * line * (ecx + 1);
            }
        }

        return null;
    }
}
