namespace Conv;

/// <summary>
/// The patches of the input gathered into a matrix, then one matrix product for each image and group:
/// <c>Y[o, p] = b[o] + Σ_q K[o, q]·P[q, p]</c>, q over the n taps (c, u, v), p over the H_o·W_o output positions.
/// </summary>
/// <remarks>The patch matrix is made a block of columns at a time, so that a workspace of 4 MiB is enough for any image (more
/// only if the n taps of a single output exceed it). Source: Chellapilla, Puri &amp; Simard 2006.</remarks>
public sealed partial class Im2col : IConvolution, IFusedConvolution
{
    /// <inheritdoc/>
    public string Name => "im2col";

    /// <inheritdoc/>
    public Traits Traits { get; } = new() { Deterministic = true, FusedMultiplyAdd = MultiplyAdd.IsFused };

    /// <inheritdoc/>
    public bool Supports(ConvShape shape) => PatchProduct.Fits(shape);

    /// <inheritdoc/>
    public Arithmetic ArithmeticOf(ConvShape shape) => new AnyOrder();

    /// <inheritdoc/>
    public IPreparedConvolution Prepare(ConvShape shape, ReadOnlySpan<float> kernel, ReadOnlySpan<float> bias)
    {
        Guard.Supported(this, shape);
        Guard.Weights(shape, kernel.Length, bias.Length);
        return new PatchProduct(shape, kernel, bias, gather: true);
    }

    /// <inheritdoc/>
    public IPreparedConvolution PrepareFused(ConvShape shape, ReadOnlySpan<float> kernel, ReadOnlySpan<float> bias, Epilogue epilogue)
    {
        Guard.Supported(this, shape);
        Guard.Weights(shape, kernel.Length, bias.Length);
        Guard.Numbers(shape, epilogue);
        return new PatchProduct(shape, kernel, bias, gather: true, new ChannelEpilogue(epilogue));
    }
}
