namespace Conv;

/// <summary>The definition in float64, rounded once to float32 at the end.</summary>
/// <remarks>Products of two float32 are exact in float64, and a partial sum that is wider than float32 is one that AnyOrder allows:
/// |ŷ − y| ≤ γ_{n+1}·(Σ|x||k| + |b|) + (n+1)·2⁻¹⁴⁹, docs/bounds.md, lemma 2; usually it is the float32 nearest to y.</remarks>
public sealed class Float64 : IConvolution
{
    /// <inheritdoc/>
    public string Name => "float64";

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
        return new Weights(shape, Widen(kernel), Widen(bias));
    }

    private static double[] Widen(ReadOnlySpan<float> values) => Array.ConvertAll(values.ToArray(), value => (double)value);

    private sealed class Weights(ConvShape shape, double[] kernel, double[] bias) : Prepared(shape, workspaceFloats: 0)
    {
        protected override void Compute(ReadOnlySpan<float> input, Span<float> output, Span<float> workspace)
        {
            double[] sums = new double[output.Length];
            Loop.Convolve<double>(Shape, Widen(input), kernel, bias, sums);
            for (int at = 0; at < sums.Length; at++)
            {
                output[at] = (float)sums[at];
            }
        }
    }
}
