namespace Conv;

/// <summary>
/// The definition, blocks of outputs spread over the processors:
/// <c>y[n,o,i,j] = b[o] + Σ x[n, g(o)·C/G + c, i·s_h + u·d_h − p_t, j·s_w + v·d_w − p_l] · k[o,c,u,v]</c>, the taps in the order of c, u, v,
/// padding included as zeros.
/// </summary>
/// <remarks>A block is one image, some output channels of one group and a few rows. The rows of the input that it sees are copied with
/// their padding; output channels lie in the lanes, and every stride and dilation is an offset. Each output belongs to one block and is
/// summed in a fixed order, so neither the schedule nor the number of threads can change a bit: what is prepared is an
/// <see cref="IThreadedConvolution"/>.</remarks>
public sealed class ParallelTiled : IVectorised
{
    private readonly Simd _simd;

    /// <summary>On the widest vectors that the processor has.</summary>
    public ParallelTiled()
        : this(Simd.Best)
    {
    }

    internal ParallelTiled(Simd simd) => _simd = simd;

    /// <inheritdoc/>
    public string Name => "parallel-tiled";

    /// <inheritdoc/>
    public Traits Traits { get; } = new() { Deterministic = true, SameAtAnyAddress = true, BatchInvariant = true, FusedMultiplyAdd = MultiplyAdd.IsFused, Threaded = true };

    /// <inheritdoc/>
    IConvolution IVectorised.On(Simd simd) => new ParallelTiled(simd);

    /// <inheritdoc/>
    public bool Supports(ConvShape shape) => PixelProduct.Fits(_simd, shape);

    /// <inheritdoc/>
    public Arithmetic ArithmeticOf(ConvShape shape) => new AnyOrder();

    /// <inheritdoc/>
    public long? WorkspaceLimit(ConvShape shape) => PixelProduct.WorkspaceLimit(shape, PixelSource.Bands);

    /// <inheritdoc/>
    public IPreparedConvolution Prepare(ConvShape shape, ReadOnlySpan<float> kernel, ReadOnlySpan<float> bias)
    {
        Guard.Supported(this, shape);
        Guard.Weights(shape, kernel.Length, bias.Length);
        return new PixelProduct(_simd, shape, PixelSource.Bands, kernel, bias);
    }
}
