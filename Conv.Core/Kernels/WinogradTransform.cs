namespace Conv;

/// <summary>The matrices of F(m, r), m outputs of an r-tap correlation from m + r − 1 products, made from interpolation points.</summary>
/// <remarks>
/// <para>Toom–Cook, transposed. Polynomials p of degree m − 1 and g of degree r − 1 are multiplied by their values at the points
/// a_0 … a_{m+r−3} and their leading coefficients (the point ∞); Lagrange's interpolation gives back the coefficients:
/// <c>p·g = Σ_t p(a_t)·g(a_t)·L_t(x)/N_t + p_{m−1}·g_{r−1}·M(x)</c>, L_t = Π_{s≠t}(x − a_s), N_t = L_t(a_t), M = Π_s(x − a_s).
/// Read backwards, from the coefficients of the product to those of p, this is the correlation.</para>
/// <para>Source: Toom 1963; Winograd, <i>Arithmetic Complexity of Computations</i>, 1980; Lavin &amp; Gray, arXiv 1509.09308.</para>
/// </remarks>
internal static class WinogradTransform
{
    /// <summary>
    /// Aᵀ[i,t] = a_t^i, G[t,u] = a_t^u / N_t, Bᵀ[t,j] = [x^j] L_t, and for ∞ the last row: 1 in the last column of Aᵀ and G, M in Bᵀ.
    /// Then Σ_t Aᵀ[i,t]·G[t,u]·Bᵀ[t,j] = 1 if j = i + u, else 0; the denominators are all in G when the points are integers.
    /// </summary>
    /// <param name="outputs">m ≥ 1.</param>
    /// <param name="taps">r ≥ 1.</param>
    /// <param name="points">m + r − 2 different numbers; ∞ is added.</param>
    /// <exception cref="ArgumentException">The number of points is wrong.</exception>
    /// <exception cref="DivideByZeroException">Two points are equal.</exception>
    public static Bilinear FromPoints(int outputs, int taps, IReadOnlyList<Rational> points)
    {
        int infinity = outputs + taps - 2;
        if (points.Count != infinity)
        {
            throw new ArgumentException($"F({outputs}, {taps}) needs {infinity} points beside ∞, not {points.Count}.", nameof(points));
        }

        Rational[] denominators = [.. Enumerable.Range(0, infinity).Select(t => Evaluate(ProductWithout(t), points[t]))];
        return new Bilinear(
            RationalMatrix.Create(outputs, infinity + 1, (i, t) => Monomial(t, i, outputs)),
            RationalMatrix.Create(infinity + 1, infinity + 1, (t, j) => CoefficientOf(ProductWithout(t), j)),
            RationalMatrix.Create(infinity + 1, taps, (t, u) => t == infinity ? Monomial(t, u, taps) : Monomial(t, u, taps) / denominators[t]));

        // x^exponent at point t; at ∞, the leading coefficient of a polynomial with so many coefficients.
        Rational Monomial(int t, int exponent, int coefficients) => t == infinity
            ? exponent == coefficients - 1 ? Rational.One : Rational.Zero
            : Enumerable.Repeat(points[t], exponent).Aggregate(Rational.One, Rational.Multiply);

        // L_t, or M for ∞.
        Rational[] ProductWithout(int t) =>
            points.Where((_, s) => s != t).Aggregate(new[] { Rational.One }, TimesRoot);
    }

    // The coefficients, lowest first, of polynomial·(x − root).
    private static Rational[] TimesRoot(Rational[] polynomial, Rational root)
    {
        Rational[] product = new Rational[polynomial.Length + 1];
        Array.Fill(product, Rational.Zero);
        for (int j = 0; j < polynomial.Length; j++)
        {
            product[j] -= polynomial[j] * root;
            product[j + 1] += polynomial[j];
        }

        return product;
    }

    private static Rational CoefficientOf(Rational[] polynomial, int exponent) =>
        exponent < polynomial.Length ? polynomial[exponent] : Rational.Zero;

    private static Rational Evaluate(Rational[] polynomial, Rational x) =>
        polynomial.Reverse().Aggregate(Rational.Zero, (value, coefficient) => (value * x) + coefficient);
}
