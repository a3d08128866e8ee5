namespace Conv;

/// <summary>How an implementation sums: the declaration from which its error bound, and what "exact" means for it, follow.</summary>
public abstract record Arithmetic;

/// <summary>
/// Each output is a data-independent tree of rounded +, × and fused multiply-add over its n products and the bias,
/// in any order, partial sums in float32 or wider: loops, im2col, GEMM.
/// </summary>
/// <remarks>|ŷ − y| ≤ γ_{n+1}·(Σ|x||k| + |b|) + (n+1)·2⁻¹⁴⁹: docs/bounds.md, lemma 2.</remarks>
public sealed record AnyOrder : Arithmetic;

/// <summary>
/// A bilinear algorithm F(m, r) nested in two dimensions: <c>Y = Aᵀ·[Σ_c (G·g_c·Gᵀ) ⊙ (Bᵀ·d_c·B)]·A</c> on tiles of
/// m×m outputs, summed over channels in the transform domain. Stride 1, dilation 1, kernel r×r.
/// </summary>
/// <param name="OutputTransform">Aᵀ, m×(m+r−1).</param>
/// <param name="InputTransform">Bᵀ, (m+r−1)×(m+r−1).</param>
/// <param name="KernelTransform">G, (m+r−1)×r.</param>
/// <remarks>|Ŷ − Y| ≤ γ_K × (the same program on absolute values): docs/bounds.md, lemma 4. The matrices are verified over ℚ
/// before they buy any tolerance.</remarks>
public sealed record Bilinear(RationalMatrix OutputTransform, RationalMatrix InputTransform, RationalMatrix KernelTransform) : Arithmetic
{
    /// <summary>
    /// A promise: each product of the kernel transform is rounded to float32 by itself, neither fused into an addition nor kept
    /// wider. Where G has entries that are not floats (1/3) there is an exact tier only with it, since otherwise the entry's rounding
    /// error stays in the sum; where all are floats it makes no difference. Source: docs/bounds.md, lemma 5, (T6).
    /// </summary>
    public bool RoundsKernelProducts { get; init; }
}

/// <summary>Nothing is declared, or there is no lemma for it: only laws that hold for any arithmetic can decide.</summary>
public sealed record Opaque : Arithmetic;
