using System.Globalization;
using System.Numerics;

namespace Conv;

/// <summary>An exact rational number in lowest terms, denominator positive. The default value is no number: use <see cref="Zero"/>.</summary>
public readonly record struct Rational
{
    /// <summary>numerator / denominator, reduced.</summary>
    /// <exception cref="DivideByZeroException">The denominator is zero.</exception>
    public Rational(BigInteger numerator, BigInteger denominator)
    {
        if (denominator.IsZero)
        {
            throw new DivideByZeroException();
        }

        BigInteger divisor = BigInteger.GreatestCommonDivisor(numerator, denominator) * denominator.Sign;
        Numerator = numerator / divisor;
        Denominator = denominator / divisor;
    }

    /// <summary>0.</summary>
    public static Rational Zero { get; } = new(0, 1);

    /// <summary>1.</summary>
    public static Rational One { get; } = new(1, 1);

    /// <summary>The numerator, which carries the sign.</summary>
    public BigInteger Numerator { get; }

    /// <summary>The denominator, positive.</summary>
    public BigInteger Denominator { get; }

    /// <summary>Whether this is zero.</summary>
    public bool IsZero => Numerator.IsZero;

    /// <summary>A whole number.</summary>
    public static implicit operator Rational(int value) => new(value, 1);

    /// <summary>A whole number.</summary>
    public static Rational FromInt32(int value) => value;

    /// <summary>The sum.</summary>
    public static Rational operator +(Rational left, Rational right) =>
        new((left.Numerator * right.Denominator) + (right.Numerator * left.Denominator), left.Denominator * right.Denominator);

    /// <summary>The difference.</summary>
    public static Rational operator -(Rational left, Rational right) => left + (-right);

    /// <summary>The negation.</summary>
    public static Rational operator -(Rational value) => new(-value.Numerator, value.Denominator);

    /// <summary>The product.</summary>
    public static Rational operator *(Rational left, Rational right) =>
        new(left.Numerator * right.Numerator, left.Denominator * right.Denominator);

    /// <summary>The quotient.</summary>
    /// <exception cref="DivideByZeroException">The divisor is zero.</exception>
    public static Rational operator /(Rational left, Rational right) =>
        new(left.Numerator * right.Denominator, left.Denominator * right.Numerator);

    /// <summary>The sum.</summary>
    public static Rational Add(Rational left, Rational right) => left + right;

    /// <summary>The difference.</summary>
    public static Rational Subtract(Rational left, Rational right) => left - right;

    /// <summary>The negation.</summary>
    public static Rational Negate(Rational value) => -value;

    /// <summary>The product.</summary>
    public static Rational Multiply(Rational left, Rational right) => left * right;

    /// <summary>The quotient.</summary>
    /// <exception cref="DivideByZeroException">The divisor is zero.</exception>
    public static Rational Divide(Rational left, Rational right) => left / right;

    /// <summary>|value|.</summary>
    public static Rational Abs(Rational value) => value.Numerator.Sign < 0 ? -value : value;

    /// <summary>
    /// The nearest double: a relative error of at most 2⁻⁵³ when numerator and denominator are below 2⁵³ in magnitude
    /// (both are then exact doubles, and one division rounds once).
    /// </summary>
    public double ToDouble() => (double)Numerator / (double)Denominator;

    /// <summary><c>3/4</c>, or <c>3</c> for a whole number.</summary>
    public override string ToString() => Denominator.IsOne
        ? Numerator.ToString(CultureInfo.InvariantCulture)
        : string.Create(CultureInfo.InvariantCulture, $"{Numerator}/{Denominator}");
}
