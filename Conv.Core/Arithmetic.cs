namespace Conv;

/// <summary>How an implementation sums: the declaration from which its error bound, and what "exact" means for it, follow.</summary>
public abstract record Arithmetic;

/// <summary>
/// Each output is a data-independent tree of rounded +, × and fused multiply-add over its n products and the bias,
/// in any order, partial sums in float32 or in a format of at least 49 bits (double): loops, im2col, GEMM.
/// </summary>
/// <remarks>|ŷ − y| ≤ γ_{n+1}·(Σ|x||k| + |b|) + (n+1)·2⁻¹⁴⁹: docs/bounds.md, lemma 2.</remarks>
public sealed record AnyOrder : Arithmetic
{
    /// <summary>A promise for this shape's forward pass: no product, and no bias, passes more than so many additions; null where nothing is
    /// promised. With it γ_{d+1} takes the place of γ_{n+1}: blocks of b terms that are added up have d = b + ⌈n/b⌉.</summary>
    public long? Depth { get; init; }
}

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

    /// <summary>
    /// A promise: the zero entries of Aᵀ and Bᵀ are skipped, nothing is multiplied by them. Then a NaN reaches only the outputs that some
    /// non-zero entries connect it to; without it, all outputs of every tile whose window has it. Source: docs/bounds.md, lemma 17 (c).
    /// </summary>
    public bool SkipsZeroEntries { get; init; }
}

/// <summary>
/// However it is computed, each element of each result errs by at most F times what a plain sum of its n terms may:
/// <c>|ŷ − y| ≤ F·(γ_{n+1}·(S + |b|) + (n+1)·2⁻¹⁴⁹)</c>, S = Σ|x||k| over the element's own terms.
/// </summary>
/// <param name="Factor">F, positive. 64 covers sums that lose six bits; compensated ones keep F below 1.</param>
/// <remarks>A promise of the author's, for what no other arithmetic here describes: Strassen's product, three TF32 products for one, an
/// algorithm chosen at run time. It is held, not believed; what follows from it is in docs/bounds.md, lemma 19.</remarks>
public sealed record Within(double Factor) : Arithmetic
{
    /// <summary>S is n·max|x|·max|k| of the whole call in place of the element's own sum: FFT and Winograd err by the size of what is around an
    /// output, too.</summary>
    public bool Global { get; init; }
}

/// <summary>
/// Input and kernel are rounded to one format, multiplied, summed in any order in another, and the sum (bias included) is rounded to a
/// third: bfloat16, float16 and TF32 units with float32 at the interface.
/// </summary>
/// <param name="Input">What X and K are rounded to.</param>
/// <param name="Accumulator">What partial sums are rounded to, products before they are added and the bias included; or wider.</param>
/// <param name="Output">What the result is rounded to.</param>
/// <remarks>|ŷ − y| ≤ ((1+u_in)²(1+γ_{n+1})(1+u_out) − 1)·S + ((1+γ_{n+1})(1+u_out) − 1)·|b| + underflow, γ with the accumulator's u:
/// docs/bounds.md, lemma 14.</remarks>
public sealed record Rounded(FloatFormat Input, FloatFormat Accumulator, FloatFormat Output) : Arithmetic;

/// <summary>
/// X and K are quantised symmetrically to so many bits, x̂ = q·2^e with |q| ≤ 2^(bits−1) − 1 and q nearest (ties to even), one exponent
/// for X and one for each output channel of K: the least with max|x| ≤ (2^(bits−1) − 1)·2^e, or 0 where all are zero. The products are
/// summed exactly in 32-bit integers, and the sum becomes a float32, to which the bias is added.
/// </summary>
/// <param name="Bits">8 for int8.</param>
/// <remarks>|ŷ − y| ≤ Q + γ_2·(S + Q + |b|) + 2⁻¹⁴⁹, Q = Σ(|x|·2^(e_k−1) + |k|·2^(e_x−1) + 2^(e_x+e_k−2)): docs/bounds.md, lemma 15. Not
/// for operands that are not finite, nor for n·(2^(bits−1) − 1)² ≥ 2³¹.</remarks>
public sealed record Quantized(int Bits) : Arithmetic;

/// <summary>Nothing is declared, or there is no lemma for it: only laws that hold for any arithmetic can decide.</summary>
public sealed record Opaque : Arithmetic;
