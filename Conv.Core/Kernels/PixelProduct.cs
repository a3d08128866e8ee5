namespace Conv;

/// <summary>Where a <see cref="PixelProduct"/> reads what the taps see.</summary>
internal enum PixelSource
{
    /// <summary>The input itself, small planes packed: one tap, no padding, stride 1.</summary>
    Image,

    /// <summary>Bands of the input, copied with their padding; each tap is an offset into them.</summary>
    Bands,

    /// <summary>Patches: each tap has a row of its own.</summary>
    Patches,
}

/// <summary>
/// <c>Y[p, o] = b[o] + Σ_k A[p, k]·K[k, o]</c>: output channels in the lanes, the pixels that a tap sees broadcast; the sums of a block of
/// pixels are transposed as they are stored.
/// </summary>
/// <remarks>
/// <para>Any stride, dilation and kernel: a tap is an offset. A block of pixels and a block of terms are such that what is read again and
/// again stays in the first cache (a panel of weights) or the second (the block's pixels and sums).</para>
/// <para>A part is one image, one group, some output channels and a block of pixels. Each output belongs to one part and its terms are
/// added in the same order always, so that neither schedule nor number of threads can change a bit.</para>
/// </remarks>
internal sealed unsafe class PixelProduct : PartedConvolution
{
    private readonly Simd _simd;
    private readonly PixelBlocks _blocks;
    private readonly AlignedFloats _weights;
    private readonly AlignedFloats _bias;
    private readonly int[] _offsets;
    private readonly ChannelEpilogue? _epilogue;

    /// <summary>Packs the weights.</summary>
    /// <param name="simd">The kernels.</param>
    /// <param name="shape">The convolution.</param>
    /// <param name="source">How the input is read.</param>
    /// <param name="kernel">O×(C/G)×K_h×K_w.</param>
    /// <param name="bias">O numbers, or empty.</param>
    /// <param name="epilogue">What is done to each block of sums, or null for nothing.</param>
    public PixelProduct(
        Simd simd, ConvShape shape, PixelSource source, ReadOnlySpan<float> kernel, ReadOnlySpan<float> bias, ChannelEpilogue? epilogue = null)
        : this(simd, shape, new PixelBlocks(simd, shape, source), kernel, bias, epilogue)
    {
    }

    private PixelProduct(
        Simd simd, ConvShape shape, PixelBlocks blocks, ReadOnlySpan<float> kernel, ReadOnlySpan<float> bias, ChannelEpilogue? epilogue)
        : base(shape, 0, blocks.SumFloats + blocks.PixelFloats)
    {
        _simd = simd;
        _blocks = blocks;
        _offsets = blocks.Offsets();
        _epilogue = epilogue;
        int terms = (int)shape.TermsPerOutput;
        int panels = blocks.Panels;
        _weights = new AlignedFloats((long)shape.Groups * panels * terms * simd.Panel);
        _bias = new AlignedFloats((long)shape.Groups * panels * simd.Panel);
        Pack(kernel, bias);
    }

    /// <summary>Whether the packed weights fit into one array, and the blocks can be numbered.</summary>
    public static bool Fits(Simd simd, ConvShape shape)
    {
        long panels = ((shape.OutChannelsPerGroup - 1L) / simd.Panel) + 1;
        return shape.TermsPerOutput <= Array.MaxLength / simd.Panel
            && shape.Groups * panels <= Array.MaxLength / simd.Panel / Math.Max(1, shape.TermsPerOutput);
    }

    /// <summary>The most bytes of workspace, on any processor.</summary>
    public static long WorkspaceLimit(ConvShape shape, PixelSource source) => Limit(shape, 0, PixelBlocks.FloatsLimit(shape, source));

    /// <inheritdoc/>
    public override int PartsOf(int phase) => _blocks.Parts;

    /// <inheritdoc/>
    protected override int Phases => 1;

    private int OutPlane => (int)Shape.OutputPlane;

    /// <inheritdoc/>
    protected override void Do(int phase, int part, float* input, float* output, float* shared, float* own)
    {
        PixelBlock block = _blocks.Of(part);
        float* sums = own, pixels = own + _blocks.SumFloats;
        int terms = (int)Shape.TermsPerOutput, panel = _simd.Panel;
        float* image = input + ((((nint)block.Image * Shape.Groups) + block.Group) * Shape.InChannelsPerGroup * (nint)Shape.InputPlane);
        fixed (float* weights = _weights, bias = _bias)
        {
            fixed (int* offsets = _offsets)
            {
                for (int first = 0; first < block.Panels; first += _blocks.PanelsAtOnce)
                {
                    int panels = Math.Min(_blocks.PanelsAtOnce, block.Panels - first);
                    for (int term = 0; term < terms || term == 0; term += _blocks.Depth)
                    {
                        int depth = Math.Min(_blocks.Depth, terms - term);
                        float* a = _blocks.Bring(block, image, term, depth, pixels, first > 0);
                        for (int p = 0; p < panels; p++)
                        {
                            int inGroup = block.FirstPanel + first + p, number = (block.Group * _blocks.Panels) + inGroup;
                            float* b = weights + ((((nint)number * terms) + term) * panel);
                            float* c = sums + (_blocks.OneDepth ? 0 : (nint)p * _blocks.PixelsPerBlock * panel);
                            if (term + depth == terms && _blocks.LeaveCache)
                            {
                                AskOutputs(block, inGroup, output);
                            }

                            Multiply(block, depth, a, offsets, b, term == 0 ? bias + (number * panel) : null, c);
                            if (term + depth == terms)
                            {
                                Store(block, inGroup, c, output);
                            }
                        }
                    }
                }
            }
        }
    }

    // bias is null where there are sums to be added to.
    private void Multiply(in PixelBlock block, int depth, float* a, int* offsets, float* b, float* bias, float* sums)
    {
        int panel = _simd.Panel, tilesInRow = _simd.Split(block.Columns).Tiles;
        float* ahead = tilesInRow * block.Rows > Simd.TilesThatWait ? null
            : b + ((_blocks.PanelsAtOnce == 1 ? depth : (nint)Shape.TermsPerOutput) * panel);
        for (int row = 0; row < block.Rows; row++)
        {
            float* c = sums + ((nint)row * block.Columns * panel);
            TileRun run = new()
            {
                Depth = depth,
                A = a + (row * _blocks.RowStep),
                RowStride = _blocks.ColumnStep,
                Step = _blocks.Step,
                Offsets = offsets,
                IsPacked = _blocks.ArePacked,
                Side = _blocks.TapsSideBySide,
                B = b,
                Ahead = ahead == null ? null : ahead + (row * tilesInRow * (depth / 2) * Machine.LineFloats),
                From = bias == null ? c : bias,
                StrideFrom = bias == null ? panel : 0,
                C = c,
                StrideC = panel,
            };
            _simd.Tiles(block.Columns, ref run);
        }
    }

    // While the last terms are multiplied.
    private void AskOutputs(in PixelBlock block, int panelInGroup, float* output)
    {
        float* to = OutputsOf(block, panelInGroup, output, out _, out int channels);
        for (int row = 0; row < block.Rows; row++, to += _blocks.Width)
        {
            Machine.Ask(channels, block.Columns, to, OutPlane);
        }
    }

    private void Store(in PixelBlock block, int panelInGroup, float* sums, float* output)
    {
        float* to = OutputsOf(block, panelInGroup, output, out int channel, out int channels);
        for (int row = 0; row < block.Rows; row++, to += _blocks.Width)
        {
            _simd.Transpose(block.Columns, channels, sums + ((nint)row * block.Columns * _simd.Panel), _simd.Panel, to, OutPlane);
            _epilogue?.Apply(channel, channels, block.Columns, new Span<float>(to, ((channels - 1) * OutPlane) + block.Columns), OutPlane);
        }
    }

    // Where a panel's outputs at the block's first position are, its first channel, and how many it has.
    private float* OutputsOf(in PixelBlock block, int panelInGroup, float* output, out int channel, out int channels)
    {
        int first = panelInGroup * _simd.Panel;
        channels = Math.Min(_simd.Panel, Shape.OutChannelsPerGroup - first);
        channel = (block.Group * Shape.OutChannelsPerGroup) + first;
        return output + ((((nint)block.Image * Shape.OutChannels) + channel) * OutPlane) + ((nint)block.Row * _blocks.Width) + block.Column;
    }

    // Panels of output channels, filled up with zeros: within a panel term after term, within a term channel after channel.
    private void Pack(ReadOnlySpan<float> kernel, ReadOnlySpan<float> bias)
    {
        int terms = (int)Shape.TermsPerOutput, panel = _simd.Panel;
        Span<float> weights = _weights.Span, biases = _bias.Span;
        for (int o = 0; o < Shape.OutChannels; o++)
        {
            (int group, int inGroup) = Math.DivRem(o, Shape.OutChannelsPerGroup);
            int number = (group * _blocks.Panels) + (inGroup / panel), lane = inGroup % panel;
            ReadOnlySpan<float> row = kernel.Slice(o * terms, terms);
            Span<float> to = weights.Slice(number * terms * panel, terms * panel);
            for (int term = 0; term < terms; term++)
            {
                to[(term * panel) + lane] = row[term];
            }

            biases[(number * panel) + lane] = bias.IsEmpty ? 0 : bias[o];
        }
    }
}
