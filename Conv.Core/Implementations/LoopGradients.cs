using System.Numerics;

namespace Conv;

// The adjoints of the definition, each result element a sum of its own.
public sealed partial class Loop : IGradients, ITransposedConvolution
{
    /// <summary>
    /// <c>dX[n,c,h,w] = Σ dY[n,o,i,j] · k[o,c',u,v]</c> over the o of c's group and the i, j, u, v with h = i·s_h + u·d_h − p_t and
    /// w = j·s_w + v·d_w − p_l, c' = c mod C/G; zero where there is none.
    /// </summary>
    /// <param name="shape">The forward convolution.</param>
    /// <param name="outputGradient">dY, N×O×H_o×W_o, dense, row-major.</param>
    /// <param name="kernel">O×(C/G)×K_h×K_w, dense, row-major.</param>
    /// <param name="inputGradient">dX, N×C×H×W, dense, row-major; what it held does not matter.</param>
    /// <remarks>On float32 |d̂X − dX| ≤ γ_m·Σ|dY||k| + m·2⁻¹⁴⁹, m = (O/G)·K_h·K_w: docs/bounds.md, lemma 12.
    /// Source: docs/specification.md, the clauses ADJ.</remarks>
    /// <exception cref="ArgumentException">A span's length disagrees with the shape; nothing was written.</exception>
    public static void BackwardInput<T>(ConvShape shape, ReadOnlySpan<T> outputGradient, ReadOnlySpan<T> kernel, Span<T> inputGradient)
        where T : IAdditionOperators<T, T, T>, IMultiplyOperators<T, T, T>, IAdditiveIdentity<T, T>
    {
        Guard.Length(outputGradient.Length, shape.OutputLength, shape, nameof(outputGradient));
        Guard.Length(kernel.Length, shape.KernelLength, shape, nameof(kernel));
        Guard.Length(inputGradient.Length, shape.InputLength, shape, nameof(inputGradient));
        Adjoint(shape, outputGradient, kernel, [], inputGradient);
    }

    /// <summary>
    /// <c>dK[o,c,u,v] = Σ dY[n,o,i,j] · x[n, g(o)·C/G + c, i·s_h + u·d_h − p_t, j·s_w + v·d_w − p_l]</c> over the n, i, j whose tap meets
    /// the image; zero where none does.
    /// </summary>
    /// <param name="shape">The forward convolution.</param>
    /// <param name="input">X, N×C×H×W, dense, row-major.</param>
    /// <param name="outputGradient">dY, N×O×H_o×W_o, dense, row-major.</param>
    /// <param name="kernelGradient">dK, O×(C/G)×K_h×K_w, dense, row-major; what it held does not matter.</param>
    /// <remarks>On float32 |d̂K − dK| ≤ γ_m·Σ|dY||x| + m·2⁻¹⁴⁹, m = N·H_o·W_o: docs/bounds.md, lemma 12.
    /// Source: docs/specification.md, the clauses ADJ.</remarks>
    /// <exception cref="ArgumentException">A span's length disagrees with the shape; nothing was written.</exception>
    public static void BackwardKernel<T>(ConvShape shape, ReadOnlySpan<T> input, ReadOnlySpan<T> outputGradient, Span<T> kernelGradient)
        where T : IAdditionOperators<T, T, T>, IMultiplyOperators<T, T, T>, IAdditiveIdentity<T, T>
    {
        Guard.Length(input.Length, shape.InputLength, shape, nameof(input));
        Guard.Length(outputGradient.Length, shape.OutputLength, shape, nameof(outputGradient));
        Guard.Length(kernelGradient.Length, shape.KernelLength, shape, nameof(kernelGradient));

        int at = 0;
        for (int o = 0; o < shape.OutChannels; o++)
        {
            int group = o / shape.OutChannelsPerGroup;
            for (int c = 0; c < shape.InChannelsPerGroup; c++)
            {
                int channel = (group * shape.InChannelsPerGroup) + c;
                for (int u = 0; u < shape.Rows.Taps; u++)
                {
                    for (int v = 0; v < shape.Columns.Taps; v++)
                    {
                        kernelGradient[at++] = TapGradient(shape, input, outputGradient, o, channel, u, v);
                    }
                }
            }
        }
    }

    /// <summary><c>db[o] = Σ dY[n,o,i,j]</c> over n, i, j.</summary>
    /// <param name="shape">The forward convolution.</param>
    /// <param name="outputGradient">dY, N×O×H_o×W_o, dense, row-major.</param>
    /// <param name="biasGradient">db, O numbers; what it held does not matter.</param>
    /// <remarks>On float32 |d̂b − db| ≤ γ_m·Σ|dY|, m = N·H_o·W_o: docs/bounds.md, lemma 12.
    /// Source: docs/specification.md, the clauses ADJ.</remarks>
    /// <exception cref="ArgumentException">A span's length disagrees with the shape; nothing was written.</exception>
    public static void BackwardBias<T>(ConvShape shape, ReadOnlySpan<T> outputGradient, Span<T> biasGradient)
        where T : IAdditionOperators<T, T, T>, IAdditiveIdentity<T, T>
    {
        Guard.Length(outputGradient.Length, shape.OutputLength, shape, nameof(outputGradient));
        Guard.Length(biasGradient.Length, shape.OutChannels, shape, nameof(biasGradient));

        int plane = (int)shape.OutputPlane;
        for (int o = 0; o < shape.OutChannels; o++)
        {
            T sum = T.AdditiveIdentity;
            for (int n = 0; n < shape.Batch; n++)
            {
                foreach (T gradient in outputGradient.Slice(((n * shape.OutChannels) + o) * plane, plane))
                {
                    sum += gradient;
                }
            }

            biasGradient[o] = sum;
        }
    }

    /// <summary>
    /// <c>y[n,o,h,w] = b[o] + Σ x[n,c,i,j] · k[c,o',u,v]</c> over the c of o's group and the i, j, u, v with h = i·s_h + u·d_h − p_t and
    /// w = j·s_w + v·d_w − p_l, o' = o mod O/G.
    /// </summary>
    /// <param name="shape">The transposed convolution.</param>
    /// <param name="input">N×C×H×W, dense, row-major.</param>
    /// <param name="kernel">C×(O/G)×K_h×K_w, dense, row-major: the input channel first.</param>
    /// <param name="bias">O numbers, or empty for none.</param>
    /// <param name="output">N×O×H_o×W_o, dense, row-major; what it held does not matter.</param>
    /// <remarks>On float32 |ŷ − y| ≤ γ_{m+1}·(Σ|x||k| + |b|) + (m+1)·2⁻¹⁴⁹, m = (C/G)·K_h·K_w: docs/bounds.md, lemma 12.
    /// Source: docs/specification.md, the clauses TRN.</remarks>
    /// <exception cref="ArgumentException">A span's length disagrees with the shape; nothing was written.</exception>
    public static void Transpose<T>(
        TransposedShape shape, ReadOnlySpan<T> input, ReadOnlySpan<T> kernel, ReadOnlySpan<T> bias, Span<T> output)
        where T : IAdditionOperators<T, T, T>, IMultiplyOperators<T, T, T>, IAdditiveIdentity<T, T>
    {
        Guard.Transposed(shape, input.Length, kernel.Length, bias.Length, output.Length);
        Adjoint(shape.Forward, input, kernel, bias, output);
    }

    /// <inheritdoc/>
    void IGradients.BackwardInput(ConvShape shape, ReadOnlySpan<float> outputGradient, ReadOnlySpan<float> kernel, Span<float> inputGradient) =>
        BackwardInput<float>(shape, outputGradient, kernel, inputGradient);

    /// <inheritdoc/>
    void IGradients.BackwardKernel(ConvShape shape, ReadOnlySpan<float> input, ReadOnlySpan<float> outputGradient, Span<float> kernelGradient) =>
        BackwardKernel<float>(shape, input, outputGradient, kernelGradient);

    /// <inheritdoc/>
    void IGradients.BackwardBias(ConvShape shape, ReadOnlySpan<float> outputGradient, Span<float> biasGradient) =>
        BackwardBias<float>(shape, outputGradient, biasGradient);

    /// <inheritdoc/>
    void ITransposedConvolution.Transpose(
        TransposedShape shape, ReadOnlySpan<float> input, ReadOnlySpan<float> kernel, ReadOnlySpan<float> bias, Span<float> output) =>
        Transpose<float>(shape, input, kernel, bias, output);

    // dX[n,c,h,w] = b[c] + Σ dY[n,o,i,j]·k[o,c',u,v]: the tap (u, v) wrote to h from the row that reads it.
    private static void Adjoint<T>(
        ConvShape shape, ReadOnlySpan<T> outputGradient, ReadOnlySpan<T> kernel, ReadOnlySpan<T> bias, Span<T> inputGradient)
        where T : IAdditionOperators<T, T, T>, IMultiplyOperators<T, T, T>, IAdditiveIdentity<T, T>
    {
        Axis rows = shape.Rows, columns = shape.Columns;
        int at = 0;
        for (int n = 0; n < shape.Batch; n++)
        {
            for (int channel = 0; channel < shape.InChannels; channel++)
            {
                (int group, int c) = Math.DivRem(channel, shape.InChannelsPerGroup);
                for (int h = 0; h < rows.Size; h++)
                {
                    for (int w = 0; w < columns.Size; w++)
                    {
                        T sum = T.AdditiveIdentity;
                        for (int o = group * shape.OutChannelsPerGroup; o < (group + 1) * shape.OutChannelsPerGroup; o++)
                        {
                            for (int u = 0; u < rows.Taps; u++)
                            {
                                int i = rows.OutputReading(h, u);
                                if (i < 0)
                                {
                                    continue;
                                }

                                int row = ((((n * shape.OutChannels) + o) * rows.Outputs) + i) * columns.Outputs;
                                int taps = ((((o * shape.InChannelsPerGroup) + c) * rows.Taps) + u) * columns.Taps;
                                for (int v = 0; v < columns.Taps; v++)
                                {
                                    int j = columns.OutputReading(w, v);
                                    if (j >= 0)
                                    {
                                        sum += outputGradient[row + j] * kernel[taps + v];
                                    }
                                }
                            }
                        }

                        inputGradient[at++] = bias.IsEmpty ? sum : sum + bias[channel];
                    }
                }
            }
        }
    }

    private static T TapGradient<T>(
        ConvShape shape, ReadOnlySpan<T> input, ReadOnlySpan<T> outputGradient, int o, int channel, int u, int v)
        where T : IAdditionOperators<T, T, T>, IMultiplyOperators<T, T, T>, IAdditiveIdentity<T, T>
    {
        Axis rows = shape.Rows, columns = shape.Columns;
        T sum = T.AdditiveIdentity;
        for (int n = 0; n < shape.Batch; n++)
        {
            for (int i = 0; i < rows.Outputs; i++)
            {
                int h = rows.Source(i, u);
                if (!rows.Contains(h))
                {
                    continue;
                }

                int row = ((((n * shape.OutChannels) + o) * rows.Outputs) + i) * columns.Outputs;
                int inputRow = ((((n * shape.InChannels) + channel) * rows.Size) + h) * columns.Size;
                for (int j = 0; j < columns.Outputs; j++)
                {
                    int w = columns.Source(j, v);
                    if (columns.Contains(w))
                    {
                        sum += outputGradient[row + j] * input[inputRow + w];
                    }
                }
            }
        }

        return sum;
    }
}
