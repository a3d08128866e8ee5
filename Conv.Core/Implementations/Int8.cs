namespace Conv;

/// <summary>
/// The definition on integers of 8 bits: x̂ = q·2^e with |q| ≤ 127, one e for all of X and one for each K_o, the least that reaches the
/// largest magnitude (0 if there is none but zero); q is the nearest integer, ties to even. Products are summed in 32-bit integers, the
/// sum becomes a float32, and the bias is added in float32.
/// </summary>
/// <remarks>
/// <para>|ŷ − y| ≤ Q + γ_2·(Σ|x||k| + Q + |b|) + 2⁻¹⁴⁹, where Q is what quantising may change: docs/bounds.md, lemma 15.</para>
/// <para>Operands that are not finite are not refused, and the result then means nothing.</para>
/// </remarks>
public sealed class Int8 : IConvolution
{
    private const int Bits = 8;
    private const int Largest = (1 << (Bits - 1)) - 1;

    /// <inheritdoc/>
    public string Name => "int8";

    /// <inheritdoc/>
    public Traits Traits { get; } = new() { Deterministic = true, SameAtAnyAddress = true };

    /// <summary>Those whose sums cannot leave 32 bits: n·127² &lt; 2³¹.</summary>
    public bool Supports(ConvShape shape) => shape.TermsPerOutput <= int.MaxValue / (Largest * Largest);

    /// <inheritdoc/>
    public Arithmetic ArithmeticOf(ConvShape shape) => new Quantized(Bits);

    /// <inheritdoc/>
    public IPreparedConvolution Prepare(ConvShape shape, ReadOnlySpan<float> kernel, ReadOnlySpan<float> bias)
    {
        Guard.Supported(this, shape);
        Guard.Weights(shape, kernel.Length, bias.Length);
        int[] quantized = new int[kernel.Length];
        int[] exponents = new int[shape.OutChannels];
        int terms = (int)shape.TermsPerOutput;
        for (int o = 0; o < exponents.Length; o++)
        {
            exponents[o] = Quantize(kernel.Slice(o * terms, terms), quantized.AsSpan(o * terms, terms));
        }

        return new Weights(shape, quantized, exponents, bias.ToArray());
    }

    // The exponent; the integers go to result.
    private static int Quantize(ReadOnlySpan<float> values, Span<int> result)
    {
        int exponent = ExponentFor(values);
        for (int at = 0; at < values.Length; at++)
        {
            // A float32 times a power of two is exact in float64. The limits are for what is not finite.
            double nearest = Math.Round(Math.ScaleB((double)values[at], -exponent), MidpointRounding.ToEven);
            result[at] = (int)Math.Clamp(nearest, -Largest, Largest);
        }

        return exponent;
    }

    // The least e with max|v| ≤ 127·2^e.
    private static int ExponentFor(ReadOnlySpan<float> values)
    {
        double most = 0;
        foreach (float value in values)
        {
            most = Math.Max(most, Math.Abs((double)value));
        }

        if (most == 0 || !double.IsFinite(most))
        {
            return 0;
        }

        // From 2^i ≤ most < 2^(i+1) and 127 < 128 it is i − 6 or the next.
        int exponent = Math.ILogB(most) - (Bits - 2);
        return most <= Math.ScaleB(Largest, exponent) ? exponent : exponent + 1;
    }

    private sealed class Weights(ConvShape shape, int[] kernel, int[] exponents, float[] bias) : Prepared(shape, workspaceFloats: 0)
    {
        protected override void Compute(ReadOnlySpan<float> input, Span<float> output, Span<float> workspace)
        {
            int[] quantized = new int[input.Length];
            int[] sums = new int[output.Length];
            int exponent = Quantize(input, quantized);
            Loop.Convolve<int>(Shape, quantized, kernel, [], sums);

            int plane = (int)Shape.OutputPlane;
            for (int at = 0; at < sums.Length; at++)
            {
                int o = at / plane % Shape.OutChannels;

                // Exact in float64, whose range the exponents of float32 do not leave: rounded once, and once more with the bias.
                float sum = (float)Math.ScaleB((double)sums[at], exponent + exponents[o]);
                output[at] = bias.Length == 0 ? sum : sum + bias[o];
            }
        }
    }
}
