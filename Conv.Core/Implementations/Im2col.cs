namespace Conv;

/// <summary>
/// A matrix product for each image and group: <c>Y[o, p] = b[o] + Σ_q K[o, q]·P[q, p]</c>, q over the n taps (c, u, v), p over the
/// H_o·W_o output positions, P the patch matrix.
/// </summary>
/// <remarks>The patch matrix never stands in memory: a part of it that the second-level cache holds is gathered when it is needed.
/// Source: Chellapilla, Puri &amp; Simard 2006.</remarks>
public sealed partial class Im2col : IVectorised, IFusedConvolution
{
    private readonly Simd _simd;

    /// <summary>On the widest vectors that the processor has.</summary>
    public Im2col()
        : this(Simd.Best)
    {
    }

    internal Im2col(Simd simd) => _simd = simd;

    /// <inheritdoc/>
    public string Name => "im2col";

    /// <inheritdoc/>
    public Traits Traits { get; } = new() { Deterministic = true, SameAtAnyAddress = true, FusedMultiplyAdd = MultiplyAdd.IsFused, Threaded = true };

    /// <inheritdoc/>
    IConvolution IVectorised.On(Simd simd) => new Im2col(simd);

    /// <inheritdoc/>
    public bool Supports(ConvShape shape) => Patches.Fit(shape) && PixelProduct.Fits(_simd, shape);

    /// <inheritdoc/>
    public Arithmetic ArithmeticOf(ConvShape shape) => new AnyOrder();

    /// <inheritdoc/>
    public long? WorkspaceLimit(ConvShape shape) => PixelProduct.WorkspaceLimit(shape, PixelSource.Patches);

    /// <inheritdoc/>
    public IPreparedConvolution Prepare(ConvShape shape, ReadOnlySpan<float> kernel, ReadOnlySpan<float> bias)
    {
        Guard.Supported(this, shape);
        Guard.Weights(shape, kernel.Length, bias.Length);
        return new PixelProduct(_simd, shape, PixelSource.Patches, kernel, bias);
    }

    /// <inheritdoc/>
    public IPreparedConvolution PrepareFused(ConvShape shape, ReadOnlySpan<float> kernel, ReadOnlySpan<float> bias, Epilogue epilogue)
    {
        Guard.Supported(this, shape);
        Guard.Weights(shape, kernel.Length, bias.Length);
        Guard.Numbers(shape, epilogue);
        return new PixelProduct(_simd, shape, PixelSource.Patches, kernel, bias, new ChannelEpilogue(epilogue));
    }
}
