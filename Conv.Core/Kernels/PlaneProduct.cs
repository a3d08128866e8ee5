namespace Conv;

/// <summary>
/// <c>Y[o, p] = b[o] + Σ_c K[o, c]·X[c, p]</c> for each image and group, one tap, no padding, stride 1: pixels in the lanes, weights broadcast.
/// </summary>
/// <remarks>For planes of many pixels: what is packed is a panel of pixels, which the second-level cache holds, and sums are stored where they
/// belong. A part is some output channels at some pixels of one image and group; terms are added in the order of c.</remarks>
internal sealed unsafe class PlaneProduct : PartedConvolution
{
    private const int PanelsAtOnce = 8;

    private readonly Simd _simd;
    private readonly int _depth;
    private readonly int _pixels;
    private readonly int _blocks;
    private readonly AlignedFloats _weights;
    private readonly AlignedFloats _bias;

    /// <summary>Copies the weights, channel after channel.</summary>
    public PlaneProduct(Simd simd, ConvShape shape, ReadOnlySpan<float> kernel, ReadOnlySpan<float> bias)
        : base(shape, 0, PixelFloats(simd, shape) + (simd.TileRows * simd.Panel))
    {
        _simd = simd;
        _depth = DepthOf(simd, shape);
        _pixels = PixelsOf(simd, shape);
        _blocks = Cut.Count((int)shape.OutputPlane, _pixels);
        _weights = new AlignedFloats(shape.KernelLength);
        _bias = new AlignedFloats((long)shape.OutChannels * simd.Panel);
        for (int o = 0; o < shape.OutChannels; o++)
        {
            _bias.Span.Slice(o * simd.Panel, simd.Panel).Fill(bias.IsEmpty ? 0 : bias[o]);
        }

        Pack(kernel);
    }

    /// <summary>Whether this is the better way: few pixels are left over, and enough to fill panels.</summary>
    public static bool Suits(Simd simd, ConvShape shape)
    {
        int pixels = (int)shape.OutputPlane, panels = Cut.Count(pixels, simd.Panel);
        return pixels >= 16 * simd.Panel && Math.Max(shape.KernelLength, (long)shape.OutChannels * simd.Panel) <= Array.MaxLength / sizeof(float)
            && (panels * (long)simd.Panel) - pixels <= pixels / 32;
    }

    /// <summary>The most bytes of workspace, on any processor: for each member at most sixteen panels of pixels, of as many channels as the first
    /// cache allows, and one tile.</summary>
    public static long WorkspaceLimit(ConvShape shape)
    {
        const int MostPanels = 2 * PanelsAtOnce, MostRows = 12;
        double pixels = Math.Min(((double)shape.OutputPlane) + Simd.WidestPanel, MostPanels * Simd.WidestPanel);
        double panels = Math.Min(pixels * Math.Max(1, shape.InChannelsPerGroup), 2 * Machine.MostLevel1);
        return Limit(shape, 0, panels + (MostPanels * Machine.LineFloats) + (MostRows * Simd.WidestPanel));
    }

    /// <inheritdoc/>
    protected override int Phases => 1;

    /// <inheritdoc/>
    public override int PartsOf(int phase) => Shape.Batch * Shape.Groups * _blocks;

    /// <inheritdoc/>
    protected override void Do(int phase, int part, float* input, float* output, float* shared, float* own)
    {
        (int imageAndGroup, int block) = Math.DivRem(part, _blocks);
        int group = imageAndGroup % Shape.Groups;
        int plane = (int)Shape.InputPlane, channels = Shape.InChannelsPerGroup, outChannels = Shape.OutChannelsPerGroup;
        int first = block * _pixels, pixels = Math.Min(_pixels, plane - first);
        float* x = input + ((nint)imageAndGroup * channels * plane) + first;
        float* y = output + ((nint)imageAndGroup * outChannels * plane) + first;
        float* spare = own + PixelFloats(_simd, Shape);
        fixed (float* weights = _weights, bias = _bias)
        {
            for (int c = 0; c < channels || c == 0; c += _depth)
            {
                int depth = Math.Min(_depth, channels - c);
                _simd.Pack(depth, pixels, x + ((nint)c * plane), plane, own);
                float* k = weights + (((nint)group * channels) + c) * outChannels;
                float* b = c == 0 ? bias + ((nint)group * outChannels * _simd.Panel) : null;
                MultiplyTiles(pixels, depth, k, own, b, y, spare);
            }
        }
    }

    // Panels come from the second cache once for each tile of channels: only the tile's weights have to stay in the first.
    private static int DepthOf(Simd simd, ConvShape shape) => Cut.Even(Math.Max(1, shape.InChannelsPerGroup), 2 * simd.Depth);

    // Whole panels, some at once, so that weights that leave the first cache are read as seldom from the second; and from memory more seldom.
    private static int PixelsOf(Simd simd, ConvShape shape)
    {
        int panels = Cut.Count((int)shape.OutputPlane, simd.Panel);
        int atOnce = Machine.Keeps(shape.KernelLength) ? PanelsAtOnce : 2 * PanelsAtOnce;
        return Cut.Even(panels, atOnce) * simd.Panel;
    }

    private static long PixelFloats(Simd simd, ConvShape shape) => PixelsOf(simd, shape) / simd.Panel * (long)simd.PanelStride(DepthOf(simd, shape));

    // In the order in which they are read: some input channels, of these tile after tile of output channels, in a tile channel after channel.
    private void Pack(ReadOnlySpan<float> kernel)
    {
        int channels = Shape.InChannelsPerGroup, outChannels = Shape.OutChannelsPerGroup, at = 0;
        (int tiles, int rows, int taller) = _simd.Split(outChannels);
        for (int group = 0; group < Shape.Groups; group++)
        {
            for (int c = 0; c < channels; c += _depth)
            {
                int o = group * outChannels;
                for (int tile = 0; tile < tiles; tile++)
                {
                    int height = tile < taller ? rows + 1 : rows;
                    for (int term = c; term < Math.Min(c + _depth, channels); term++)
                    {
                        for (int row = 0; row < height; row++)
                        {
                            _weights.Span[at++] = kernel[((o + row) * channels) + term];
                        }
                    }

                    o += height;
                }
            }
        }
    }

    // A tile of output channels at all panels before the next one: so rows of outputs are written from front to back. bias is null where
    // sums are added to what is there.
    private void MultiplyTiles(int pixels, int depth, float* k, float* panels, float* bias, float* y, float* spare)
    {
        int width = _simd.Panel;
        (int whole, int left) = Math.DivRem(pixels, width);
        (int tiles, int rows, int taller) = _simd.Split(Shape.OutChannelsPerGroup);
        for (int tile = 0; tile < tiles; tile++)
        {
            int height = tile < taller ? rows + 1 : rows;
            TileRun run = new()
            {
                Tiles = whole,
                Depth = depth,
                A = k,
                IsPacked = true,
                B = panels,
                TileB = _simd.PanelStride(depth),
                From = bias == null ? y : bias,
                StrideFrom = bias == null ? (nint)Shape.OutputPlane : width,
                TileFrom = bias == null ? width : 0,
                C = y,
                StrideC = (nint)Shape.OutputPlane,
                TileC = width,
            };
            if (tile + 1 < tiles && !Machine.Keeps(Shape.KernelLength))
            {
                // From memory come the next tile's weights, and its sums.
                Machine.Ask(1, height * depth, k + (height * depth), 0);
                Machine.Ask(height, pixels, y + (height * run.StrideC), run.StrideC);
            }

            _simd.TilesOf(height, ref run);
            if (left > 0)
            {
                _simd.PartialTile(left, height, run, spare);
            }

            k += (nint)height * depth;
            bias = bias == null ? null : bias + (height * width);
            y += height * run.StrideC;
        }
    }
}
