namespace Conv;

/// <summary>Optional beside <see cref="IConvolution"/>: the transposed convolution, the adjoint of a forward one, with a bias.</summary>
/// <remarks>Taken on every <see cref="TransposedShape"/> whose <see cref="TransposedShape.Forward"/> the implementation supports, and which
/// <see cref="SupportsTransposed"/> does not refuse.
/// Source: docs/specification.md, the clauses TRN.</remarks>
public interface ITransposedConvolution
{
    /// <summary>Whether a shape is taken whose forward convolution is supported: every one, unless it says otherwise.</summary>
    bool SupportsTransposed(TransposedShape shape) => true;

    /// <summary><c>y[n,o,h,w] = b[o] + Σ x[n,c,i,j] · k[c,o',u,v]</c> over the c of the group and the i, j, u, v with
    /// h = i·s_h + u·d_h − p_t and w = j·s_w + v·d_w − p_l.</summary>
    /// <param name="shape">The transposed convolution.</param>
    /// <param name="input">N×C×H×W, dense, row-major.</param>
    /// <param name="kernel">C×(O/G)×K_h×K_w, dense, row-major: the input channel first.</param>
    /// <param name="bias">O numbers, or empty for none.</param>
    /// <param name="output">N×O×H_o×W_o, dense, row-major; what it held does not matter.</param>
    /// <remarks>|ŷ − y| ≤ γ_{m+1}·(Σ|x||k| + |b|) + (m+1)·2⁻¹⁴⁹, m = (C/G)·K_h·K_w: docs/bounds.md, lemma 12.</remarks>
    /// <exception cref="ArgumentException">A span's length disagrees with the shape; nothing was written.</exception>
    void Transpose(TransposedShape shape, ReadOnlySpan<float> input, ReadOnlySpan<float> kernel, ReadOnlySpan<float> bias, Span<float> output);
}
