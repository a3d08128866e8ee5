using System.Numerics;

namespace Conv;

/// <summary>The definition as seven nested loops, for any numbers that can be added and multiplied.</summary>
public sealed class Loop : IConvolution
{
    /// <inheritdoc/>
    public string Name => "loop";

    /// <inheritdoc/>
    public Traits Traits { get; } = new() { Deterministic = true };

    /// <inheritdoc/>
    public bool Supports(ConvShape shape) => true;

    /// <inheritdoc/>
    public Arithmetic ArithmeticOf(ConvShape shape) => new AnyOrder();

    /// <inheritdoc/>
    public IPreparedConvolution Prepare(ConvShape shape, ReadOnlySpan<float> kernel, ReadOnlySpan<float> bias)
    {
        Guard.Supported(this, shape);
        Guard.Weights(shape, kernel.Length, bias.Length);
        return new Weights(shape, kernel.ToArray(), bias.ToArray());
    }

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
    /// Source: docs/specification.md, the clauses GEO.</remarks>
    /// <exception cref="ArgumentException">A span's length disagrees with the shape; nothing was written.</exception>
    public static void Convolve<T>(
        ConvShape shape, ReadOnlySpan<T> input, ReadOnlySpan<T> kernel, ReadOnlySpan<T> bias, Span<T> output)
        where T : IAdditionOperators<T, T, T>, IMultiplyOperators<T, T, T>, IAdditiveIdentity<T, T>
    {
        Guard.Weights(shape, kernel.Length, bias.Length);
        Guard.Images(shape, input.Length, output.Length);

        int y = 0;
        for (int n = 0; n < shape.Batch; n++)
        {
            for (int o = 0; o < shape.OutChannels; o++)
            {
                int group = o / shape.OutChannelsPerGroup;
                for (int i = 0; i < shape.OutHeight; i++)
                {
                    for (int j = 0; j < shape.OutWidth; j++)
                    {
                        T sum = T.AdditiveIdentity;
                        for (int c = 0; c < shape.InChannelsPerGroup; c++)
                        {
                            int channel = (group * shape.InChannelsPerGroup) + c;
                            for (int u = 0; u < shape.KernelHeight; u++)
                            {
                                int h = (i * shape.StrideHeight) + (u * shape.DilationHeight) - shape.PadTop;
                                if (h < 0 || h >= shape.InHeight)
                                {
                                    continue;
                                }

                                int row = ((((n * shape.InChannels) + channel) * shape.InHeight) + h) * shape.InWidth;
                                int taps = ((((o * shape.InChannelsPerGroup) + c) * shape.KernelHeight) + u) * shape.KernelWidth;
                                for (int v = 0; v < shape.KernelWidth; v++)
                                {
                                    int w = (j * shape.StrideWidth) + (v * shape.DilationWidth) - shape.PadLeft;
                                    if (w >= 0 && w < shape.InWidth)
                                    {
                                        sum += input[row + w] * kernel[taps + v];
                                    }
                                }
                            }
                        }

                        output[y++] = bias.IsEmpty ? sum : sum + bias[o];
                    }
                }
            }
        }
    }

    private sealed class Weights(ConvShape shape, float[] kernel, float[] bias) : Prepared(shape, workspaceFloats: 0)
    {
        protected override void Compute(ReadOnlySpan<float> input, Span<float> output, Span<float> workspace) =>
            Convolve(Shape, input, kernel, bias, output);
    }
}
