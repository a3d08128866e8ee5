namespace Conv;

/// <summary>
/// A convolution as the product of its kernel, an (O/G)×n matrix for each group, with the patch matrix, n×(H_o·W_o) for each
/// image and group. The patches are gathered into the workspace, a block of columns at a time.
/// </summary>
internal sealed class PatchProduct : Prepared
{
    /// <summary>Elements of a block: 4 MiB.</summary>
    public const int BlockFloats = 1 << 20;

    private readonly float[] _kernel;
    private readonly float[] _bias;
    private readonly bool _gather;
    private readonly ChannelEpilogue? _epilogue;

    /// <summary>Keeps copies of the weights.</summary>
    /// <param name="shape">The convolution.</param>
    /// <param name="kernel">O×(C/G)×K_h×K_w.</param>
    /// <param name="bias">O numbers, or empty.</param>
    /// <param name="gather">False when the input's own channels are the patch matrix, which is then read in place.</param>
    /// <param name="epilogue">What is done to each block of the product, or null for nothing.</param>
    public PatchProduct(ConvShape shape, ReadOnlySpan<float> kernel, ReadOnlySpan<float> bias, bool gather, ChannelEpilogue? epilogue = null)
        : base(shape, gather ? shape.TermsPerOutput * ColumnsPerBlock(shape) : 0)
    {
        _kernel = kernel.ToArray();
        _bias = bias.ToArray();
        _gather = gather;
        _epilogue = epilogue;
    }

    /// <summary>Whether the patches of one output position fit into a workspace.</summary>
    public static bool Fits(ConvShape shape) => shape.TermsPerOutput <= Array.MaxLength / sizeof(float);

    /// <summary>As many columns of the patch matrix as keep a block at 4 MiB, at least one, at most all; none when there is nothing to
    /// compute.</summary>
    public static long ColumnsPerBlock(ConvShape shape) => shape.OutputLength == 0
        ? 0
        : Math.Clamp(BlockFloats / Math.Max(1, shape.TermsPerOutput), 1, (long)shape.OutHeight * shape.OutWidth);

    /// <inheritdoc/>
    protected override void Compute(ReadOnlySpan<float> input, Span<float> output, Span<float> workspace)
    {
        int terms = (int)Shape.TermsPerOutput;
        int inChannels = Shape.InChannelsPerGroup;
        int outChannels = Shape.OutChannelsPerGroup;
        int inPlane = Shape.InHeight * Shape.InWidth;
        int outPlane = Shape.OutHeight * Shape.OutWidth;
        int columnsPerBlock = _gather ? (int)ColumnsPerBlock(Shape) : outPlane;

        for (int n = 0; n < Shape.Batch; n++)
        {
            for (int g = 0; g < Shape.Groups; g++)
            {
                ReadOnlySpan<float> channels = input.Slice(((n * Shape.InChannels) + (g * inChannels)) * inPlane, inChannels * inPlane);
                ReadOnlySpan<float> kernel = _kernel.AsSpan(g * outChannels * terms, outChannels * terms);
                ReadOnlySpan<float> bias = _bias.Length == 0 ? [] : _bias.AsSpan(g * outChannels, outChannels);
                Span<float> result = output.Slice(((n * Shape.OutChannels) + (g * outChannels)) * outPlane, outChannels * outPlane);
                // By the columns that there were: a whole block behind the last could leave 32 bits.
                for (int first = 0, columns; first < outPlane; first += columns)
                {
                    columns = Math.Min(columnsPerBlock, outPlane - first);
                    ReadOnlySpan<float> patches = channels;
                    if (_gather)
                    {
                        Patches.Gather(Shape, channels, TensorView.Dense(inChannels, Shape.InHeight, Shape.InWidth), first, columns, workspace);
                        patches = workspace;
                    }

                    Gemm.Multiply(outChannels, columns, terms, kernel, terms, patches, columns, bias, result[first..], outPlane);
                    _epilogue?.Apply(g * outChannels, outChannels, columns, result[first..], outPlane);
                }
            }
        }
    }
}
