namespace Conv;

/// <summary>How a Winograd convolution is cut: into strips, tiles side by side in one row of tiles of one image; into blocks of strips that
/// are transformed together; and each block into parts for threads.</summary>
internal sealed class WinogradBlocks
{
    private const int TilesWanted = 32;
    private const int PartsForEachMember = 4;

    /// <summary>Cuts.</summary>
    /// <param name="simd">The kernels.</param>
    /// <param name="shape">The convolution.</param>
    /// <param name="outputs">m.</param>
    /// <param name="taps">r.</param>
    public WinogradBlocks(Simd simd, ConvShape shape, int outputs, int taps)
    {
        int size = outputs + taps - 1;
        Positions = size * size;
        TileRows = Cut.Count(shape.Rows.Outputs, outputs);
        int tilesAcross = Cut.Count(shape.Columns.Outputs, outputs);
        Tiles = Cut.Even(tilesAcross, TilesWanted);
        StripsAcross = Cut.Count(tilesAcross, Tiles);
        Strips = checked(shape.Batch * StripsAcross * TileRows);
        Panels = Math.Max(1, Cut.Count(shape.OutChannelsPerGroup, simd.Panel));
        ChannelBlocks = Cut.Count(shape.InChannelsPerGroup, simd.Lanes);
        Channels = ChannelBlocks * simd.Lanes;

        // Transformed inputs and sums of a block may leave the second cache: each is written once and read once, from front to back.
        long stripFloats = (long)Positions * Tiles * Math.Max(Channels + (Panels * simd.Panel), simd.Lanes);
        StripsPerBlock = Cut.Even(Strips, (int)Math.Clamp(4L * Machine.Level2 / sizeof(float) / stripFloats, 1, Math.Max(1, Strips)));
        Blocks = Cut.Count(Strips, StripsPerBlock);
        int parts = PartsForEachMember * ThreadTeam.Size;
        InputStrips = Cut.Even(StripsPerBlock, StripsPerBlock / Math.Max(1, Cut.Count(parts, Math.Max(1, ChannelBlocks))));
        OutputStrips = Cut.Even(StripsPerBlock, StripsPerBlock / Math.Max(1, Cut.Count(parts, Panels)));

        // A line more, so that the positions of a tile do not all fall into one set of the cache.
        InputStride = (StripsPerBlock * Tiles * (nint)Channels) + Machine.LineFloats;
        SumStride = (StripsPerBlock * Tiles * (nint)simd.Panel) + Machine.LineFloats;
        Width = (Tiles * outputs) + taps - 1;
        SharedFloats = Positions * (InputStride + (Panels * (long)SumStride));
        long inputs = 2L * size * Width * simd.Lanes;
        long sums = ((long)outputs * Tiles * outputs * simd.Lanes) + ((long)outputs * size * simd.Lanes);
        OwnFloats = Math.Max(inputs, sums);
    }

    /// <summary>No less than <see cref="SharedFloats"/> and <see cref="OwnFloats"/>, on any processor.</summary>
    /// <remarks>A strip has the transformed inputs and sums of at most 32 tiles, channels in whole vectors and panels; a block all strips, or as many
    /// as take four times the second cache, or one. Two strips of rows, or of outputs, are a member's own.</remarks>
    public static (double Shared, double Own) FloatsLimit(ConvShape shape, int outputs, int taps)
    {
        double size = outputs + taps - 1, positions = size * size, lanes = Simd.WidestPanel / 2;
        int across = Cut.Count(shape.Columns.Outputs, outputs), tiles = Cut.Even(across, TilesWanted);
        double strips = (double)shape.Batch * Cut.Count(across, tiles) * Cut.Count(shape.Rows.Outputs, outputs);
        double inputs = Cut.Count(shape.InChannelsPerGroup, Simd.WidestPanel / 2) * lanes;
        double sums = Math.Max(1, Cut.Count(shape.OutChannelsPerGroup, Simd.WidestPanel)) * (double)Simd.WidestPanel;
        double strip = positions * tiles * (inputs + sums);
        double shared = Math.Min(strips * strip, Math.Max(Machine.MostLevel2, strip));

        // A line for each position's inputs, and for each panel of its sums, of which two channels make one where vectors are numbers.
        double lines = positions * Machine.LineFloats * (2 + (shape.OutChannelsPerGroup / 2.0));
        double rows = 2 * size * ((tiles * outputs) + taps - 1), results = outputs * ((tiles * outputs) + size);
        return (shared + lines, lanes * Math.Max(rows, results));
    }

    /// <summary>(m + r − 1)².</summary>
    public int Positions { get; }

    /// <summary>Rows of tiles of an image.</summary>
    public int TileRows { get; }

    /// <summary>Tiles of a strip; some of the last one in a row may lie outside of the image.</summary>
    public int Tiles { get; }

    /// <summary>Strips side by side.</summary>
    public int StripsAcross { get; }

    /// <summary>Strips of all images: of each, of each column of strips, from the top.</summary>
    public int Strips { get; }

    /// <summary>Strips that are transformed together.</summary>
    public int StripsPerBlock { get; }

    /// <summary>How many times.</summary>
    public int Blocks { get; }

    /// <summary>Strips of a part that transforms inputs.</summary>
    public int InputStrips { get; }

    /// <summary>Strips of a part that transforms outputs.</summary>
    public int OutputStrips { get; }

    /// <summary>Panels of output channels in a group.</summary>
    public int Panels { get; }

    /// <summary>Vectors of input channels in a group.</summary>
    public int ChannelBlocks { get; }

    /// <summary>Input channels of a group, whole vectors of them.</summary>
    public int Channels { get; }

    /// <summary>Input columns that a strip sees.</summary>
    public int Width { get; }

    /// <summary>Numbers from one position's transformed inputs to the next's.</summary>
    public nint InputStride { get; }

    /// <summary>Numbers from one position's sums to the next's.</summary>
    public nint SumStride { get; }

    /// <summary>Room for the transformed inputs and the sums of a block.</summary>
    public long SharedFloats { get; }

    /// <summary>Room that a part needs.</summary>
    public long OwnFloats { get; }
}
