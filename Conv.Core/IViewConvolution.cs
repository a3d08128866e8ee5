namespace Conv;

/// <summary>Where the elements of a four-dimensional tensor stand in a span: element (i0, i1, i2, i3) at
/// <c>Offset + i0·Stride0 + i1·Stride1 + i2·Stride2 + i3·Stride3</c>.</summary>
/// <remarks>Strides are in elements; zero repeats an element (broadcast), negative runs backwards. Every index that the sizes allow must
/// fall inside the span. An output must not put two elements in one place.</remarks>
/// <param name="Offset">Where element (0, 0, 0, 0) stands.</param>
/// <param name="Stride0">From an image (or output channel of a kernel) to the next.</param>
/// <param name="Stride1">From a channel to the next.</param>
/// <param name="Stride2">From a row to the next.</param>
/// <param name="Stride3">From a column to the next.</param>
public readonly record struct TensorView(int Offset, int Stride0, int Stride1, int Stride2, int Stride3)
{
    /// <summary>The dense row-major tensor: N×C×H×W (NCHW), O×I×K_h×K_w.</summary>
    public static TensorView Dense(int channels, int height, int width) => new(0, channels * height * width, height * width, width, 1);

    /// <summary>Channels innermost: N×H×W×C (NHWC).</summary>
    public static TensorView ChannelsLast(int channels, int height, int width) => new(0, height * width * channels, 1, width * channels, channels);

    /// <summary>The flat index of an element.</summary>
    public int At(int i0, int i1, int i2, int i3) => Offset + (i0 * Stride0) + (i1 * Stride1) + (i2 * Stride2) + (i3 * Stride3);
}

/// <summary>Optional beside <see cref="IConvolution"/>: a convolution that reads and writes through views, on every supported shape that
/// <see cref="SupportsViews"/> takes.</summary>
/// <remarks>Source: docs/specification.md, the clauses VIEW.</remarks>
public interface IViewConvolution
{
    /// <summary>Whether a supported shape is taken through views: every one, unless it says otherwise.</summary>
    bool SupportsViews(ConvShape shape) => true;

    /// <summary>The convolution of the viewed input with the viewed kernel, written through the output's view. What the output's span
    /// holds between the viewed elements stays as it is. The bound is that of the dense call.</summary>
    /// <param name="shape">A supported shape.</param>
    /// <param name="input">Holds N×C×H×W elements under <paramref name="inputView"/>.</param>
    /// <param name="inputView">Where they stand.</param>
    /// <param name="kernel">Holds O×(C/G)×K_h×K_w elements under <paramref name="kernelView"/>.</param>
    /// <param name="kernelView">Where they stand.</param>
    /// <param name="bias">O numbers, dense, or empty for none.</param>
    /// <param name="output">Takes N×O×H_o×W_o elements under <paramref name="outputView"/>.</param>
    /// <param name="outputView">Where they go.</param>
    /// <exception cref="ArgumentException">A view leaves its span, or the shape is not supported; nothing was written.</exception>
    void Run(
        ConvShape shape,
        ReadOnlySpan<float> input, TensorView inputView,
        ReadOnlySpan<float> kernel, TensorView kernelView,
        ReadOnlySpan<float> bias,
        Span<float> output, TensorView outputView);
}
