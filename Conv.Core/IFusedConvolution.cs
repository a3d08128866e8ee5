namespace Conv;

/// <summary>What a fused convolution does to each sum before it stores it: <c>z = s[o]·(y + b[o]) + t[o]</c>, then <c>max(z, 0)</c> if asked.</summary>
/// <param name="Scale">s, one number for each output channel.</param>
/// <param name="Shift">t, one number for each output channel.</param>
/// <param name="Rectify">Whether negative results become zero (ReLU). NaN stays NaN.</param>
public sealed record Epilogue(ReadOnlyMemory<float> Scale, ReadOnlyMemory<float> Shift, bool Rectify);

/// <summary>Optional beside <see cref="IConvolution"/>: a convolution with its epilogue in one call, on every supported shape that
/// <see cref="SupportsFused"/> takes.</summary>
/// <remarks>Source: docs/specification.md, the clauses FUSE.</remarks>
public interface IFusedConvolution
{
    /// <summary>Whether a supported shape is taken with an epilogue: every one, unless it says otherwise.</summary>
    bool SupportsFused(ConvShape shape) => true;

    /// <summary>As <see cref="IConvolution.Prepare"/>, with an epilogue.</summary>
    /// <param name="shape">A supported shape.</param>
    /// <param name="kernel">O×(C/G)×K_h×K_w, dense, row-major.</param>
    /// <param name="bias">O numbers, or empty for none.</param>
    /// <param name="epilogue">Scale and shift of O numbers each.</param>
    /// <remarks>|ẑ − z| ≤ γ_{n+3}·(|s|·(Σ|x||k| + |b|) + |t|) + 2⁻¹⁴⁹·(max(|s|·n, n + Σ|x|) + 2), also where s, or s and t, are folded into
    /// the weights: docs/bounds.md, lemma 13. ReLU adds no error.</remarks>
    /// <exception cref="ArgumentException">A length disagrees with the shape, or the shape is not supported.</exception>
    IPreparedConvolution PrepareFused(ConvShape shape, ReadOnlySpan<float> kernel, ReadOnlySpan<float> bias, Epilogue epilogue);
}
