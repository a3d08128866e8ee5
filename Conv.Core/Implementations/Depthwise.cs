namespace Conv;

/// <summary>A convolution of each input channel by itself: <c>y[n,o,i,j] = b[o] + Σ x[n, g(o), i·s_h + u·d_h − p_t, j·s_w + v·d_w − p_l] ·
/// k[o,0,u,v]</c> over u, v, with as many groups as input channels.</summary>
/// <remarks>Any kernel size, stride and dilation, and any number of output channels to a group. Neighbouring outputs of a row lie in the
/// lanes. |ŷ − y| ≤ γ_{n+1}·(Σ|x||k| + |b|) + (n+1)·2⁻¹⁴⁹, n = K_h·K_w: docs/bounds.md, lemma 2. Source: Howard et al., <i>MobileNets</i>,
/// arXiv 1704.04861.</remarks>
public sealed class Depthwise : IVectorised
{
    private readonly Simd _simd;

    /// <summary>On the widest vectors that the processor has.</summary>
    public Depthwise()
        : this(Simd.Best)
    {
    }

    internal Depthwise(Simd simd) => _simd = simd;

    /// <inheritdoc/>
    public string Name => "depthwise";

    /// <inheritdoc/>
    public Traits Traits { get; } = new() { Deterministic = true, SameAtAnyAddress = true, FusedMultiplyAdd = MultiplyAdd.IsFused, Threaded = true };

    /// <inheritdoc/>
    IConvolution IVectorised.On(Simd simd) => new Depthwise(simd);

    /// <inheritdoc/>
    public bool Supports(ConvShape shape) => shape.InChannelsPerGroup <= 1 && ChannelwiseProduct.Fits(_simd, shape);

    /// <inheritdoc/>
    public Arithmetic ArithmeticOf(ConvShape shape) => new AnyOrder();

    /// <inheritdoc/>
    public long? WorkspaceLimit(ConvShape shape) => ChannelwiseProduct.WorkspaceLimit(shape);

    /// <inheritdoc/>
    public IPreparedConvolution Prepare(ConvShape shape, ReadOnlySpan<float> kernel, ReadOnlySpan<float> bias)
    {
        Guard.Supported(this, shape);
        Guard.Weights(shape, kernel.Length, bias.Length);
        return new ChannelwiseProduct(_simd, shape, kernel, bias);
    }
}
