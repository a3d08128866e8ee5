namespace Conv;

/// <summary>
/// A 1×1 convolution, which is a matrix product: <c>Y[o, p] = b[o] + Σ_c K[o, c]·X[c, p]</c> for each image and group,
/// p over the output positions.
/// </summary>
/// <remarks>With stride 1 and no padding X is the input itself: for large planes pixels lie in the lanes and a few of them are packed at a
/// time, for small ones output channels do and nothing is copied. Otherwise the positions that are read are gathered into the workspace,
/// padding as zeros. Dilation means nothing to a single tap.</remarks>
public sealed class Pointwise : IVectorised
{
    private readonly Simd _simd;

    /// <summary>On the widest vectors that the processor has.</summary>
    public Pointwise()
        : this(Simd.Best)
    {
    }

    internal Pointwise(Simd simd) => _simd = simd;

    /// <inheritdoc/>
    public string Name => "pointwise";

    /// <inheritdoc/>
    public Traits Traits { get; } = new() { Deterministic = true, SameAtAnyAddress = true, FusedMultiplyAdd = MultiplyAdd.IsFused, Threaded = true, KernelSizes = [(1, 1)] };

    /// <inheritdoc/>
    IConvolution IVectorised.On(Simd simd) => new Pointwise(simd);

    /// <inheritdoc/>
    public bool Supports(ConvShape shape) => shape is { Rows.Taps: 1, Columns.Taps: 1 } && PixelProduct.Fits(_simd, shape);

    /// <inheritdoc/>
    public Arithmetic ArithmeticOf(ConvShape shape) => new AnyOrder();

    /// <inheritdoc/>
    public long? WorkspaceLimit(ConvShape shape) => !OutputsAreInputs(shape) ? PixelProduct.WorkspaceLimit(shape, PixelSource.Patches)
        : Math.Max(PlaneProduct.WorkspaceLimit(shape), PixelProduct.WorkspaceLimit(shape, PixelSource.Image));

    /// <inheritdoc/>
    public IPreparedConvolution Prepare(ConvShape shape, ReadOnlySpan<float> kernel, ReadOnlySpan<float> bias)
    {
        Guard.Supported(this, shape);
        Guard.Weights(shape, kernel.Length, bias.Length);
        return !OutputsAreInputs(shape) ? new PixelProduct(_simd, shape, PixelSource.Patches, kernel, bias)
            : PlaneProduct.Suits(_simd, shape) ? new PlaneProduct(_simd, shape, kernel, bias)
            : new PixelProduct(_simd, shape, PixelSource.Image, kernel, bias);
    }

    private static bool OutputsAreInputs(ConvShape shape) => shape.Axes.All(axis => axis is { Stride: 1, Before: 0, After: 0 });
}
