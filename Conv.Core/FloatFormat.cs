namespace Conv;

/// <summary>A binary floating-point format whose every value is a float32: p significant bits, normal numbers from 2^MinExponent to
/// (2 − 2^(1−p))·2^MaxExponent, gradual underflow below.</summary>
/// <param name="Name">The usual name.</param>
/// <param name="Precision">p, significant bits, the leading one included: 1 to 24.</param>
/// <param name="MinExponent">Of the smallest normal number: at least −126.</param>
/// <param name="MaxExponent">Of the largest numbers: at most 127.</param>
public sealed record FloatFormat(string Name, int Precision, int MinExponent, int MaxExponent)
{
    /// <summary>Numbers are rounded towards zero, not to the nearest; what is beyond the largest becomes the largest.</summary>
    public bool Truncates { get; init; }

    /// <summary>What is beyond the largest number becomes the largest, not infinity. Here infinities stay; a unit may saturate them too.</summary>
    public bool Saturates { get; init; }

    /// <summary>The format with so many bits in its exponent and so many, the leading one left out, in its significand, as IEEE 754 would have it:
    /// e5m2 has 3 significant bits, from 2^−14 to 1.75·2^15.</summary>
    /// <param name="exponentBits">2 to 8.</param>
    /// <param name="significandBits">0 to 23.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number of bits is another.</exception>
    public static FloatFormat OfBits(int exponentBits, int significandBits)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(exponentBits, 2);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(exponentBits, 8);
        ArgumentOutOfRangeException.ThrowIfNegative(significandBits);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(significandBits, 23);
        int most = (1 << (exponentBits - 1)) - 1;
        return new FloatFormat($"e{exponentBits}m{significandBits}", significandBits + 1, 1 - most, most);
    }

    /// <summary>binary32 of IEEE 754.</summary>
    public static FloatFormat Binary32 { get; } = new("float32", 24, -126, 127);

    /// <summary>The upper half of a float32.</summary>
    public static FloatFormat BFloat16 { get; } = new("bfloat16", 8, -126, 127);

    /// <summary>binary16 of IEEE 754.</summary>
    public static FloatFormat Float16 { get; } = new("float16", 11, -14, 15);

    /// <summary>TF32: float32's range, float16's precision.</summary>
    public static FloatFormat TensorFloat32 { get; } = new("tf32", 11, -126, 127);

    /// <summary>The same numbers under another name, rounded in another way.</summary>
    public FloatFormat With(string name, bool truncates = false, bool saturates = false) =>
        this with { Name = name, Truncates = truncates, Saturates = saturates };

    /// <summary>(2 − 2^(1−p))·2^MaxExponent.</summary>
    public double MaxValue => (2 - Math.ScaleB(1, 1 - Precision)) * Math.ScaleB(1, MaxExponent);

    /// <summary>2^(MinExponent + 1 − p), the distance between numbers near zero.</summary>
    public double Epsilon => Math.ScaleB(1, MinExponent + 1 - Precision);

    /// <summary>The nearest number of the format, ties to even, or the next towards zero; beyond the largest, infinity or the largest. NaN stays
    /// NaN.</summary>
    /// <remarks>As IEEE 754 rounds: the exponent is unlimited until the significand is rounded. What lies less than half a unit beyond
    /// <see cref="MaxValue"/> therefore becomes <see cref="MaxValue"/>, and from there on infinity.</remarks>
    public float Round(float value)
    {
        if (!float.IsFinite(value))
        {
            return value;
        }

        // The numbers around the value are multiples of 2^(exponent + 1 − p). A subnormal float32 has −127 in its exponent field.
        int exponent = Math.Max((int)((BitConverter.SingleToUInt32Bits(value) >> 23) & 0xFF) - 127, MinExponent);

        // A double in [2⁵²·unit, 2⁵³·unit) is a multiple of the unit: the addition rounds to one, the subtraction is exact.
        double shift = PowerOfTwo(exponent + 1 - Precision + 52);
        double magnitude = Math.Abs((double)value), rounded = magnitude + shift - shift;
        if (Truncates && rounded > magnitude)
        {
            rounded -= PowerOfTwo(exponent + 1 - Precision);
        }

        float beyond = Saturates || Truncates ? (float)MaxValue : float.PositiveInfinity;
        return float.CopySign(rounded < PowerOfTwo(MaxExponent + 1) ? (float)rounded : beyond, value);
    }

    private static double PowerOfTwo(int exponent) => BitConverter.UInt64BitsToDouble((ulong)(exponent + 1023) << 52);
}
