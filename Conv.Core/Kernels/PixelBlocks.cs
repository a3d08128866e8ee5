namespace Conv;

/// <summary>Some output channels of one image and group at a rectangle of output positions.</summary>
/// <param name="Image">n.</param>
/// <param name="Group">g.</param>
/// <param name="FirstPanel">The first panel of output channels, counted in the group.</param>
/// <param name="Panels">How many.</param>
/// <param name="Row">The first row of positions.</param>
/// <param name="Rows">How many.</param>
/// <param name="Column">The first column of positions.</param>
/// <param name="Columns">How many.</param>
internal readonly record struct PixelBlock(int Image, int Group, int FirstPanel, int Panels, int Row, int Rows, int Column, int Columns);

/// <summary>How a <see cref="PixelProduct"/> is cut into blocks, and where a block's pixels stand.</summary>
/// <remarks>
/// <para>Positions are a grid: of H_o×W_o where bands of the input are read, one row of H_o·W_o elsewhere.</para>
/// <para>A band holds, of some channels, each input row that the block's windows see, once, or once for each tap where these are fewer
/// (a large dilation); columns alike.</para>
/// </remarks>
internal sealed unsafe class PixelBlocks
{
    private const int PixelsWanted = 128;
    private const int PartsForEachMember = 2;

    private readonly Simd _simd;
    private readonly ConvShape _shape;
    private readonly PixelSource _source;
    private readonly int _rows;
    private readonly int _columns;
    private readonly int _panelsPerBlock;
    private readonly int _panelBlocks;
    private readonly int _columnBlocks;
    private readonly int _rowBlocks;
    private readonly BandAxis _vertical;
    private readonly BandAxis _horizontal;

    /// <summary>No less than <see cref="SumFloats"/> and <see cref="PixelFloats"/> together, on any processor.</summary>
    /// <remarks>A block has at most Q = min(P, 132) of P positions: 128, in whole tiles. Its sums take Q numbers for each output channel, in whole
    /// panels of at most 32, and no more than a quarter of the second cache, or one panel. Its pixels are patches, Q for each term, no more than
    /// that quarter and what whole tiles add, which is less than the first cache; or the padded image of one group, or less.</remarks>
    public static double FloatsLimit(ConvShape shape, PixelSource source)
    {
        const double Quarter = Machine.MostLevel2 / 4 / sizeof(float), Tile = PixelsWanted + 4;
        double positions = Math.Min((double)shape.OutputPlane, Tile);
        double channels = Cut.Count(shape.OutChannelsPerGroup, Simd.WidestPanel) * (double)Simd.WidestPanel;
        double sums = Math.Min(positions * channels, Math.Max(Quarter, Tile * Simd.WidestPanel));
        double image = Math.Max(1, shape.InChannelsPerGroup) * (double)shape.Rows.Padded * shape.Columns.Padded;
        double patches = Math.Min(positions * Math.Max(1, shape.TermsPerOutput), Quarter + Machine.MostLevel1);
        return sums + (source == PixelSource.Patches ? patches : image) + Simd.WidestPanel;
    }

    /// <summary>Cuts.</summary>
    public PixelBlocks(Simd simd, ConvShape shape, PixelSource source)
    {
        _simd = simd;
        _shape = shape;
        _source = source;
        bool bands = source == PixelSource.Bands;
        int taps = (int)shape.KernelPlane;
        long terms = shape.TermsPerOutput;
        Height = bands ? shape.Rows.Outputs : 1;
        Width = bands ? shape.Columns.Outputs : (int)shape.OutputPlane;
        Panels = Cut.Count(shape.OutChannelsPerGroup, simd.Panel);

        // Whole channels for bands, so that a tap's offset is the same in every block.
        int unit = bands ? taps : 1;
        int units = Math.Max(1, (int)(terms / unit));
        int most = Math.Max(1, simd.Depth / unit);
        Depth = unit * (units <= most + (most / 2) ? units : Cut.Even(units, most));
        OneDepth = terms <= Depth;

        int perPlane = Machine.Level2 / 4 / sizeof(float);
        int wanted = Math.Clamp(perPlane / Depth, simd.TileRows, PixelsWanted);
        _columns = Cut.Even(Width, wanted);
        if (_columns < Width)
        {
            _columns = Math.Min(Width, Cut.Count(_columns, simd.TileRows) * simd.TileRows);
        }

        _rows = Cut.Even(Height, Math.Max(1, wanted / _columns));
        PixelsPerBlock = _rows * _columns;
        int panels = OneDepth || source == PixelSource.Image ? Panels : Math.Max(1, perPlane / (PixelsPerBlock * simd.Panel));
        _panelsPerBlock = Cut.Even(Panels, panels);
        _rowBlocks = Cut.Count(Height, _rows);
        _columnBlocks = Cut.Count(Width, _columns);
        long others = (long)shape.Batch * shape.Groups * _rowBlocks * _columnBlocks;
        long blocksWanted = others == 0 ? 1 : ((PartsForEachMember * ThreadTeam.Size) + others - 1) / others;
        if (blocksWanted > Cut.Count(Panels, _panelsPerBlock))
        {
            _panelsPerBlock = Cut.Even(Panels, Math.Max(1, (int)(Panels / blocksWanted)));
        }

        _panelBlocks = Cut.Count(Panels, _panelsPerBlock);
        Parts = checked((int)(others * _panelBlocks));
        LeaveCache = (shape.InputLength + shape.OutputLength) * sizeof(float) > Machine.Level1;

        // Where nothing is copied, all terms of one panel after another: weights are read from front to back.
        PanelsAtOnce = source == PixelSource.Image ? 1 : _panelsPerBlock;
        SumFloats = (OneDepth ? 1L : PanelsAtOnce) * PixelsPerBlock * simd.Panel;
        _vertical = new BandAxis(shape.Rows, _rows);
        _horizontal = new BandAxis(shape.Columns, _columns);
        (PixelFloats, RowStep, ColumnStep) = source switch
        {
            PixelSource.Image => (ArePacked ? (terms * PixelsPerBlock) + simd.Lanes : 0L, 0, 1),
            PixelSource.Patches => ((long)Depth * PixelsPerBlock, 0, 1),
            _ => (((long)(Depth / taps) * _vertical.Length * _horizontal.Length) + simd.Lanes, _vertical.Step * _horizontal.Length, _horizontal.Step),
        };
    }

    /// <summary>Rows of the grid of positions.</summary>
    public int Height { get; }

    /// <summary>Columns of the grid of positions.</summary>
    public int Width { get; }

    /// <summary>Panels of output channels in a group.</summary>
    public int Panels { get; }

    /// <summary>Terms of a sum that are added at a time.</summary>
    public int Depth { get; }

    /// <summary>Whether these are all.</summary>
    public bool OneDepth { get; }

    /// <summary>Panels whose sums grow together.</summary>
    public int PanelsAtOnce { get; }

    /// <summary>The most positions of a block.</summary>
    public int PixelsPerBlock { get; }

    /// <summary>Whether images are larger than the first cache: what comes next of them is then asked for.</summary>
    public bool LeaveCache { get; }

    /// <summary>How many blocks there are.</summary>
    public int Parts { get; }

    /// <summary>Room for a block's sums.</summary>
    public long SumFloats { get; }

    /// <summary>Room for a block's pixels.</summary>
    public long PixelFloats { get; }

    /// <summary>From what a tap sees in one row of positions to the next.</summary>
    public int RowStep { get; }

    /// <summary>From what a tap sees in one column of positions to the next.</summary>
    public int ColumnStep { get; }

    /// <summary>Whether pixels are packed by <see cref="Simd.PackTiles"/>: where each tile of small planes would fill the first cache.</summary>
    public bool ArePacked =>
        _source == PixelSource.Image && Depth * _shape.InputPlane * sizeof(float) <= Machine.Level1;

    /// <summary>From a term to the next, where all are as far apart: then there are no <see cref="Offsets"/>.</summary>
    public int Step => _source switch
    {
        PixelSource.Image => (int)_shape.InputPlane,
        PixelSource.Patches => PixelsPerBlock,
        _ => 0,
    };

    /// <summary>So many terms stand side by side, wherever the <see cref="Offsets"/> say that one begins.</summary>
    public int TapsSideBySide => _horizontal.TapStep == 1 ? _shape.Columns.Taps : 1;

    /// <summary>Where the terms of a depth block stand, from what the first one sees at the block's first position.</summary>
    public int[] Offsets()
    {
        int[] offsets = new int[_source == PixelSource.Bands ? Depth : 0];
        for (int term = 0; term < offsets.Length; term++)
        {
            (int channel, int tap) = Math.DivRem(term, (int)_shape.KernelPlane);
            (int u, int v) = Math.DivRem(tap, _shape.Columns.Taps);
            offsets[term] = (((channel * _vertical.Length) + (u * _vertical.TapStep)) * _horizontal.Length) + (v * _horizontal.TapStep);
        }

        return offsets;
    }

    /// <summary>A block by its number.</summary>
    public PixelBlock Of(int part)
    {
        (part, int panelBlock) = Math.DivRem(part, _panelBlocks);
        (part, int columnBlock) = Math.DivRem(part, _columnBlocks);
        (part, int rowBlock) = Math.DivRem(part, _rowBlocks);
        (int image, int group) = Math.DivRem(part, _shape.Groups);
        int panel = panelBlock * _panelsPerBlock, row = rowBlock * _rows, column = columnBlock * _columns;
        return new PixelBlock(
            image, group, panel, Math.Min(_panelsPerBlock, Panels - panel),
            row, Math.Min(_rows, Height - row), column, Math.Min(_columns, Width - column));
    }

    /// <summary>Brings what some terms see, and says where it begins.</summary>
    /// <param name="block">The positions.</param>
    /// <param name="image">The channels of the block's image and group.</param>
    /// <param name="term">The first term; with bands, the first of a channel.</param>
    /// <param name="depth">How many.</param>
    /// <param name="pixels">Room for them.</param>
    /// <param name="again">Whether they were brought for other channels of this block: what holds all terms still has them.</param>
    public float* Bring(in PixelBlock block, float* image, int term, int depth, float* pixels, bool again)
    {
        nint plane = (nint)_shape.InputPlane;
        switch (_source)
        {
            case PixelSource.Image:
                if (!ArePacked)
                {
                    return image + (term * plane) + block.Column;
                }

                pixels += (nint)term * block.Columns;
                if (!again)
                {
                    _simd.PackTiles(block.Columns, depth, image + (term * plane) + block.Column, plane, pixels);
                }

                return pixels;
            case PixelSource.Patches:
                Patches.GatherRows(_shape, image, TensorView.Dense(_shape.InChannelsPerGroup, _shape.Rows.Size, _shape.Columns.Size), term, depth, block.Column, block.Columns, pixels, PixelsPerBlock);
                return pixels;
            default:
                int taps = (int)_shape.KernelPlane;
                for (int channel = 0; channel < depth / taps; channel++)
                {
                    AskBand(image + (((term / taps) + channel + 1) * plane), block.Row, block.Column);
                    CopyBand(image + (((term / taps) + channel) * plane), block.Row, block.Column, pixels);
                    pixels += _vertical.Length * _horizontal.Length;
                }

                return pixels - (depth / taps * _vertical.Length * _horizontal.Length);
        }
    }

    // The band of the next channel, while one is copied.
    private void AskBand(float* plane, int row, int column)
    {
        if (LeaveCache && _vertical.IsRun && _horizontal.IsRun)
        {
            int h = Math.Max(0, _vertical.Source(row, 0)), w = Math.Max(0, _horizontal.Source(column, 0));
            int width = _shape.Columns.Size;
            int rows = Math.Min(_shape.Rows.Size - h, _vertical.Length), columns = Math.Min(width - w, _horizontal.Length);
            Machine.Ask(rows, columns, plane + ((nint)h * width) + w, width);
        }
    }

    private void CopyBand(float* plane, int row, int column, float* band)
    {
        Axis imageRows = _shape.Rows, imageColumns = _shape.Columns;
        int width = _horizontal.Length;
        int first = _horizontal.Source(column, 0);
        int left = Math.Clamp(-first, 0, width), count = Math.Clamp(imageColumns.Size - first - left, 0, width - left);
        for (int at = 0, rows; at < _vertical.Length; at += rows, band += rows * width)
        {
            rows = 1;
            int h = _vertical.Source(row, at);
            if (!imageRows.Contains(h))
            {
                new Span<float>(band, width).Clear();
                continue;
            }

            float* source = plane + ((nint)h * imageColumns.Size);
            if (_horizontal.IsRun)
            {
                rows = _vertical.IsRun ? Math.Min(_vertical.Length - at, imageRows.Size - h) : 1;
                _simd.CopyRows(rows, source + first + left, imageColumns.Size, 1, left, count, width, band);
                continue;
            }

            for (int j = 0; j < width; j++)
            {
                int w = _horizontal.Source(column, j);
                band[j] = imageColumns.Contains(w) ? source[w] : 0;
            }
        }
    }

    // One axis of a band: what the taps see from some positions on.
    private readonly struct BandAxis
    {
        private readonly Axis _axis;
        private readonly int _positions;

        public BandAxis(Axis axis, int positions)
        {
            _axis = axis;
            _positions = positions;
            long reach = ((positions - 1L) * axis.Stride) + axis.Extent;
            IsRun = reach <= (long)positions * axis.Taps || reach <= axis.Size;
            Length = (int)(IsRun ? reach : (long)positions * axis.Taps);
            Step = IsRun ? axis.Stride : 1;
            TapStep = IsRun ? axis.Dilation : positions;
        }

        /// <summary>Whether every input place from the first seen to the last is there, seen or not.</summary>
        public bool IsRun { get; }

        /// <summary>Places.</summary>
        public int Length { get; }

        /// <summary>From what a tap sees at one position to the next.</summary>
        public int Step { get; }

        /// <summary>From what one tap sees to the next.</summary>
        public int TapStep { get; }

        /// <summary>The input place of a place in the band, perhaps outside of the image.</summary>
        public int Source(int firstPosition, int at)
        {
            if (IsRun)
            {
                return _axis.Source(firstPosition, 0) + at;
            }

            (int tap, int position) = Math.DivRem(at, _positions);
            return _axis.Source(firstPosition + position, tap);
        }
    }
}
