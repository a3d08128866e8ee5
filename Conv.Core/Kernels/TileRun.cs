namespace Conv;

/// <summary>Tiles of one height, one after another, and where each begins: what a <see cref="MicroKernel"/> is given.</summary>
internal unsafe struct TileRun
{
    /// <summary>How many are left to do.</summary>
    public int Tiles;

    /// <summary>Columns of A, rows of B.</summary>
    public int Depth;

    /// <summary>The left factor, of the next tile.</summary>
    public float* A;

    /// <summary>From one row of A to the next.</summary>
    public nint RowStride;

    /// <summary>From one column of A to the next, where there is no table.</summary>
    public nint Step;

    /// <summary>Where the columns of A are, or null where they are evenly apart.</summary>
    public int* Offsets;

    /// <summary>So many columns of A stand side by side, wherever the table says that one begins.</summary>
    public int Side;

    /// <summary>Whether A is packed by <see cref="Simd.PackTiles"/>: strides and steps of A are then those of the tiles.</summary>
    public bool IsPacked;

    /// <summary>From one tile's A to the next.</summary>
    public nint TileA;

    /// <summary>The panel, of the next tile.</summary>
    public float* B;

    /// <summary>From one tile's panel to the next.</summary>
    public nint TileB;

    /// <summary>The weights that come next, or null: see <see cref="Simd.TilesThatWait"/>.</summary>
    public float* Ahead;

    /// <summary>What the sums begin with.</summary>
    public float* From;

    /// <summary>From one row of that to the next.</summary>
    public nint StrideFrom;

    /// <summary>From one tile's to the next.</summary>
    public nint TileFrom;

    /// <summary>The sums.</summary>
    public float* C;

    /// <summary>From one row of them to the next.</summary>
    public nint StrideC;

    /// <summary>From one tile's to the next.</summary>
    public nint TileC;
}
