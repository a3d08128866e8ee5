using System.Numerics;

namespace Conv;

/// <summary>The definition as seven nested loops, for any numbers that can be added and multiplied; its adjoints, its epilogue and its
/// views likewise.</summary>
public sealed partial class Loop : IConvolution, IFusedConvolution, IViewConvolution, IInPlaceConvolution
{
    /// <inheritdoc/>
    public string Name => "loop";

    /// <inheritdoc/>
    public Traits Traits { get; } = new() { Deterministic = true, SameAtAnyAddress = true, BatchInvariant = true };

    /// <inheritdoc/>
    public bool Supports(ConvShape shape) => true;

    /// <inheritdoc/>
    public Arithmetic ArithmeticOf(ConvShape shape) => new AnyOrder();

    /// <inheritdoc/>
    public IPreparedConvolution Prepare(ConvShape shape, ReadOnlySpan<float> kernel, ReadOnlySpan<float> bias)
    {
        Guard.Weights(shape, kernel.Length, bias.Length);
        return new Weights(shape, kernel.ToArray(), bias.ToArray(), epilogue: null);
    }

    /// <inheritdoc/>
    public IPreparedConvolution PrepareFused(ConvShape shape, ReadOnlySpan<float> kernel, ReadOnlySpan<float> bias, Epilogue epilogue)
    {
        Guard.Weights(shape, kernel.Length, bias.Length);
        Guard.Numbers(shape, epilogue);
        return new Weights(shape, kernel.ToArray(), bias.ToArray(), new ChannelEpilogue(epilogue));
    }

    /// <inheritdoc/>
    void IViewConvolution.Run(
        ConvShape shape, ReadOnlySpan<float> input, TensorView inputView, ReadOnlySpan<float> kernel, TensorView kernelView,
        ReadOnlySpan<float> bias, Span<float> output, TensorView outputView) =>
        Convolve(shape, input, inputView, kernel, kernelView, bias, output, outputView);

    /// <summary>True for a depthwise 1×1 kernel at stride 1 without padding: <c>y[n,c,i,j] = b[c] + x[n,c,i,j]·k[c]</c>.</summary>
    /// <inheritdoc/>
    public bool TakesInPlace(ConvShape shape) =>
        shape.Axes.All(axis => axis is { Taps: 1, Stride: 1, Before: 0, After: 0 })
        && shape.InChannels == shape.Groups && shape.OutChannels == shape.Groups;

    /// <summary>
    /// <c>y[n,o,i,j] = b[o] + Σ x[n, g(o)·C/G + c, i·s_h + u·d_h − p_t, j·s_w + v·d_w − p_l] · k[o,c,u,v]</c> over the
    /// c, u, v whose tap meets the image: one × and one + for each of those, and one + for a bias.
    /// </summary>
    /// <param name="shape">The convolution.</param>
    /// <param name="input">N×C×H×W, dense, row-major.</param>
    /// <param name="kernel">O×(C/G)×K_h×K_w, dense, row-major.</param>
    /// <param name="bias">O numbers, or empty for none.</param>
    /// <param name="output">N×O×H_o×W_o, dense, row-major; what it held does not matter.</param>
    /// <remarks>On float32 |ŷ − y| ≤ γ_{n+1}·(Σ|x||k| + |b|) + (n+1)·2⁻¹⁴⁹, n = C/G·K_h·K_w: docs/bounds.md, lemma 2.
    /// An output is written when its whole sum has been read, so that input and output may be one memory where every output reads its own
    /// place alone: a 1×1 kernel, stride 1, no padding, G = C = O. Source: docs/specification.md, the clauses GEO.</remarks>
    /// <exception cref="ArgumentException">A span's length disagrees with the shape; nothing was written.</exception>
    public static void Convolve<T>(
        ConvShape shape, ReadOnlySpan<T> input, ReadOnlySpan<T> kernel, ReadOnlySpan<T> bias, Span<T> output)
        where T : IAdditionOperators<T, T, T>, IMultiplyOperators<T, T, T>, IAdditiveIdentity<T, T>
    {
        Guard.Weights(shape, kernel.Length, bias.Length);
        Guard.Images(shape, input.Length, output.Length);
        Convolve(
            shape,
            input, TensorView.Dense(shape.InChannels, shape.Rows.Size, shape.Columns.Size),
            kernel, TensorView.Dense(shape.InChannelsPerGroup, shape.Rows.Taps, shape.Columns.Taps),
            bias,
            output, TensorView.Dense(shape.OutChannels, shape.Rows.Outputs, shape.Columns.Outputs));
    }

    /// <summary>
    /// <c>y[n,o,i,j] = b[o] + Σ x[n, g(o)·C/G + c, i·s_h + u·d_h − p_t, j·s_w + v·d_w − p_l] · k[o,c,u,v]</c> over the
    /// c, u, v whose tap meets the image, each tensor read or written through its view.
    /// </summary>
    /// <param name="shape">The convolution.</param>
    /// <param name="input">Holds N×C×H×W elements under <paramref name="inputView"/>.</param>
    /// <param name="inputView">Where they stand.</param>
    /// <param name="kernel">Holds O×(C/G)×K_h×K_w elements under <paramref name="kernelView"/>.</param>
    /// <param name="kernelView">Where they stand.</param>
    /// <param name="bias">O numbers, dense, or empty for none.</param>
    /// <param name="output">Takes N×O×H_o×W_o elements under <paramref name="outputView"/>; the others stay as they are.</param>
    /// <param name="outputView">Where they go: ordered by size, each stride must be longer than all that the shorter ones reach.</param>
    /// <remarks>The bound is that of the dense call. Source: docs/specification.md, the clauses VIEW.</remarks>
    /// <exception cref="ArgumentException">A view leaves its span, the output's strides may put two elements in one place, or the bias has
    /// another length; nothing was written.</exception>
    public static void Convolve<T>(
        ConvShape shape, ReadOnlySpan<T> input, TensorView inputView, ReadOnlySpan<T> kernel, TensorView kernelView,
        ReadOnlySpan<T> bias, Span<T> output, TensorView outputView)
        where T : IAdditionOperators<T, T, T>, IMultiplyOperators<T, T, T>, IAdditiveIdentity<T, T>
    {
        Guard.Views(shape, input.Length, inputView, kernel.Length, kernelView, bias.Length, output.Length, outputView);
        Axis rows = shape.Rows, columns = shape.Columns;

        for (int n = 0; n < shape.Batch; n++)
        {
            for (int o = 0; o < shape.OutChannels; o++)
            {
                int group = o / shape.OutChannelsPerGroup;
                for (int i = 0; i < rows.Outputs; i++)
                {
                    for (int j = 0; j < columns.Outputs; j++)
                    {
                        T sum = T.AdditiveIdentity;
                        for (int c = 0; c < shape.InChannelsPerGroup; c++)
                        {
                            int channel = (group * shape.InChannelsPerGroup) + c;
                            for (int u = 0; u < rows.Taps; u++)
                            {
                                int h = rows.Source(i, u);
                                if (!rows.Contains(h))
                                {
                                    continue;
                                }

                                int row = inputView.At(n, channel, h, 0);
                                int taps = kernelView.At(o, c, u, 0);
                                for (int v = 0; v < columns.Taps; v++)
                                {
                                    int w = columns.Source(j, v);
                                    if (columns.Contains(w))
                                    {
                                        sum += input[row + (w * inputView.Stride3)] * kernel[taps + (v * kernelView.Stride3)];
                                    }
                                }
                            }
                        }

                        output[outputView.At(n, o, i, j)] = bias.IsEmpty ? sum : sum + bias[o];
                    }
                }
            }
        }
    }

    private sealed class Weights(ConvShape shape, float[] kernel, float[] bias, ChannelEpilogue? epilogue)
        : Prepared(shape, workspaceFloats: 0)
    {
        protected override void Compute(ReadOnlySpan<float> input, Span<float> output, Span<float> workspace)
        {
            Convolve(Shape, input, kernel, bias, output);
            if (epilogue is null)
            {
                return;
            }

            int plane = (int)Shape.OutputPlane;
            for (int n = 0; n < Shape.Batch; n++)
            {
                epilogue.Apply(0, Shape.OutChannels, plane, output[(n * Shape.OutChannels * plane)..], plane);
            }
        }
    }
}
