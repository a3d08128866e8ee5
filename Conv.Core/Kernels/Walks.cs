using System.Runtime.CompilerServices;

namespace Conv;

/// <summary>Where A[r, k] of a <see cref="MicroKernel"/> stands, as far as the compiler knows it.</summary>
internal interface IWalk
{
    /// <summary>A <see cref="Step"/> of as much as the tile has rows.</summary>
    public const int Height = -1;

    /// <summary>From one row to the next; 0 where only the run knows it.</summary>
    static abstract int Row { get; }

    /// <summary>From one term to the next; 0 where only the run knows it.</summary>
    static abstract int Step { get; }

    /// <summary>Whether terms are found by a table of offsets.</summary>
    static abstract bool HasTable { get; }

    /// <summary>So many terms stand side by side wherever the table says that one begins.</summary>
    static abstract int Side { get; }

    /// <summary>Terms of one turn of the loop: as many as stand side by side, or a multiple.</summary>
    static abstract int Turn { get; }
}

/// <summary>The walks that there are.</summary>
internal static class Walks
{
    /// <summary>Rows of a matrix: the terms of a row stand side by side.</summary>
    public readonly struct Along : IWalk
    {
        public static int Row => 0;

        public static int Step => 1;

        public static bool HasTable => false;

        public static int Side => 1;

        public static int Turn => 4;
    }

    /// <summary>Tile after tile, within a tile term after term: what <see cref="Simd.PackTiles"/> makes.</summary>
    public readonly struct Packed : IWalk
    {
        public static int Row => 1;

        public static int Step => IWalk.Height;

        public static bool HasTable => false;

        public static int Side => 1;

        public static int Turn => 4;
    }

    /// <summary>The rows of a term stand side by side, the terms a step apart.</summary>
    public readonly struct Across : IWalk
    {
        public static int Row => 1;

        public static int Step => 0;

        public static bool HasTable => false;

        public static int Side => 1;

        public static int Turn => 4;
    }

    /// <summary>Rows TRow apart, TSide terms side by side wherever the table says that one begins.</summary>
    public readonly unsafe struct Taps<TRow, TSide> : IWalk
        where TRow : struct, IConstant
        where TSide : unmanaged, IConstant
    {
        public static int Row
        {
            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            get => TRow.Value;
        }

        public static int Step => 0;

        public static bool HasTable => true;

        public static int Side
        {
            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            get => sizeof(TSide);
        }

        public static int Turn
        {
            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            get => sizeof(TSide) == 1 ? 4 : sizeof(TSide) == 3 ? 6 : sizeof(TSide);
        }
    }
}
