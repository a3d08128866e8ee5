using System.Numerics;

namespace Conv;

/// <summary>
/// The definition as a unit of lower precision computes it, float32 at the interface: X and K rounded to one format, every product and
/// every partial sum to a second, the bias to the second too, the result to a third. Terms are added in the order of <see cref="Loop"/>.
/// </summary>
/// <remarks>
/// <para>Products and sums are formed in float32 and then rounded to the accumulator's format. With at most 11 bits there that errs by no
/// more than rounding once: docs/bounds.md, lemma 14.</para>
/// <para>What exceeds a format becomes infinite, as the format says.</para>
/// </remarks>
public sealed class Narrow : IConvolution
{
    private const int MostBitsOfTwoRoundings = 11;

    private readonly Rounded _arithmetic;

    /// <summary>A unit of the given formats.</summary>
    /// <param name="name">The id of the implementation.</param>
    /// <param name="arithmetic">The formats of operands, sums and results.</param>
    /// <exception cref="ArgumentException">The accumulator has more than 11 bits and is not float32's: rounding twice could cost more than
    /// is declared.</exception>
    public Narrow(string name, Rounded arithmetic)
    {
        int bits = arithmetic.Accumulator.Precision;
        if (bits > MostBitsOfTwoRoundings && bits != FloatFormat.Binary32.Precision)
        {
            throw new ArgumentException($"The accumulator has {bits} bits, it must have at most {MostBitsOfTwoRoundings} or 24.", nameof(arithmetic));
        }

        Name = name;
        _arithmetic = arithmetic;
    }

    /// <summary>bfloat16 operands and results, float32 sums.</summary>
    public static Narrow BFloat16 { get; } =
        new("bfloat16", new Rounded(FloatFormat.BFloat16, FloatFormat.Binary32, FloatFormat.BFloat16));

    /// <summary>float16 operands and results, float32 sums.</summary>
    public static Narrow Float16 { get; } =
        new("float16", new Rounded(FloatFormat.Float16, FloatFormat.Binary32, FloatFormat.Float16));

    /// <summary>float16 throughout.</summary>
    public static Narrow Float16Accumulate { get; } =
        new("float16-accumulate", new Rounded(FloatFormat.Float16, FloatFormat.Float16, FloatFormat.Float16));

    /// <summary>TF32 operands, float32 sums and results.</summary>
    public static Narrow TensorFloat32 { get; } =
        new("tf32", new Rounded(FloatFormat.TensorFloat32, FloatFormat.Binary32, FloatFormat.Binary32));

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public Traits Traits { get; } = new() { Deterministic = true, SameAtAnyAddress = true };

    /// <inheritdoc/>
    public bool Supports(ConvShape shape) => true;

    /// <inheritdoc/>
    public Arithmetic ArithmeticOf(ConvShape shape) => _arithmetic;

    /// <inheritdoc/>
    public IPreparedConvolution Prepare(ConvShape shape, ReadOnlySpan<float> kernel, ReadOnlySpan<float> bias)
    {
        Guard.Weights(shape, kernel.Length, bias.Length);
        return new Weights(shape, _arithmetic, Operands(kernel, _arithmetic), Biases(bias, _arithmetic.Accumulator));
    }

    private static Term[] Operands(ReadOnlySpan<float> values, Rounded arithmetic) =>
        Array.ConvertAll(values.ToArray(), value => new Term(arithmetic.Input.Round(value), arithmetic.Accumulator));

    private static Term[] Biases(ReadOnlySpan<float> values, FloatFormat accumulator) =>
        Array.ConvertAll(values.ToArray(), value => Term.Nearest(value, accumulator));

    private sealed class Weights(ConvShape shape, Rounded arithmetic, Term[] kernel, Term[] bias) : Prepared(shape, workspaceFloats: 0)
    {
        protected override void Compute(ReadOnlySpan<float> input, Span<float> output, Span<float> workspace)
        {
            if (arithmetic.Accumulator == FloatFormat.Binary32)
            {
                // Rounding a float32 to float32 changes nothing.
                Loop.Convolve<float>(Shape, Values(Operands(input, arithmetic)), Values(kernel), Values(bias), output);
            }
            else
            {
                Term[] sums = new Term[output.Length];
                Loop.Convolve<Term>(Shape, Operands(input, arithmetic), kernel, bias, sums);
                Values(sums).CopyTo(output);
            }

            foreach (ref float result in output)
            {
                result = arithmetic.Output.Round(result);
            }
        }

        private static float[] Values(Term[] terms) => Array.ConvertAll(terms, term => term.Value);
    }

    // A number that knows to what its sums and products are rounded. Only the zero that a sum begins with knows no format: it takes the
    // other's.
    private readonly record struct Term(float Value, FloatFormat? Format) :
        IAdditionOperators<Term, Term, Term>, IMultiplyOperators<Term, Term, Term>, IAdditiveIdentity<Term, Term>
    {
        public static Term AdditiveIdentity => default;

        public static Term operator +(Term left, Term right) => Nearest(left.Value + right.Value, left.Format ?? right.Format);

        public static Term operator *(Term left, Term right) => Nearest(left.Value * right.Value, left.Format ?? right.Format);

        public static Term Nearest(float value, FloatFormat? format) => new(format is null ? value : format.Round(value), format);
    }
}
