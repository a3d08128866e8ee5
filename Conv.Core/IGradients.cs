namespace Conv;

/// <summary>By what ⟨conv(X, K) + b, dY⟩ is differentiated.</summary>
public enum Gradient
{
    /// <summary>dX.</summary>
    Input,

    /// <summary>dK.</summary>
    Kernel,

    /// <summary>db.</summary>
    Bias,
}

/// <summary>
/// Optional beside <see cref="IConvolution"/>: the gradients of ⟨conv(X, K) + b, dY⟩, on every supported shape that <see cref="Supports"/> takes.
/// </summary>
/// <remarks>All tensors are dense and row-major, in the layouts of <see cref="ConvShape"/>; what a result held before does not matter.
/// Source: docs/specification.md, the clauses ADJ.</remarks>
public interface IGradients
{
    /// <summary>Whether this gradient is taken on a shape whose forward convolution is supported: all of them, unless it says otherwise.</summary>
    bool Supports(Gradient gradient, ConvShape shape) => true;

    /// <summary><c>dX[n,c,h,w] = Σ dY[n,o,i,j] · k[o,c',u,v]</c> over the o of the group and the i, j, u, v with h = i·s_h + u·d_h − p_t and
    /// w = j·s_w + v·d_w − p_l; an input that no window reads gets zero.</summary>
    /// <param name="shape">The forward convolution, a supported one.</param>
    /// <param name="outputGradient">dY, N×O×H_o×W_o.</param>
    /// <param name="kernel">O×(C/G)×K_h×K_w.</param>
    /// <param name="inputGradient">dX, N×C×H×W.</param>
    /// <remarks>|d̂X − dX| ≤ γ_m·Σ|dY||k| + m·2⁻¹⁴⁹, m = (O/G)·K_h·K_w: docs/bounds.md, lemma 12.</remarks>
    /// <exception cref="ArgumentException">A span's length disagrees with the shape; nothing was written.</exception>
    void BackwardInput(ConvShape shape, ReadOnlySpan<float> outputGradient, ReadOnlySpan<float> kernel, Span<float> inputGradient);

    /// <summary><c>dK[o,c,u,v] = Σ dY[n,o,i,j] · x[n, g(o)·C/G + c, i·s_h + u·d_h − p_t, j·s_w + v·d_w − p_l]</c> over n, i, j.</summary>
    /// <param name="shape">The forward convolution, a supported one.</param>
    /// <param name="input">X, N×C×H×W.</param>
    /// <param name="outputGradient">dY, N×O×H_o×W_o.</param>
    /// <param name="kernelGradient">dK, O×(C/G)×K_h×K_w; zero for N = 0.</param>
    /// <remarks>|d̂K − dK| ≤ γ_m·Σ|dY||x| + m·2⁻¹⁴⁹, m = N·H_o·W_o: docs/bounds.md, lemma 12.</remarks>
    /// <exception cref="ArgumentException">A span's length disagrees with the shape; nothing was written.</exception>
    void BackwardKernel(ConvShape shape, ReadOnlySpan<float> input, ReadOnlySpan<float> outputGradient, Span<float> kernelGradient);

    /// <summary><c>db[o] = Σ dY[n,o,i,j]</c> over n, i, j.</summary>
    /// <param name="shape">The forward convolution, a supported one.</param>
    /// <param name="outputGradient">dY, N×O×H_o×W_o.</param>
    /// <param name="biasGradient">db, O numbers; zero for N = 0.</param>
    /// <remarks>|d̂b − db| ≤ γ_m·Σ|dY|, m = N·H_o·W_o: docs/bounds.md, lemma 12.</remarks>
    /// <exception cref="ArgumentException">A span's length disagrees with the shape; nothing was written.</exception>
    void BackwardBias(ConvShape shape, ReadOnlySpan<float> outputGradient, Span<float> biasGradient);
}
