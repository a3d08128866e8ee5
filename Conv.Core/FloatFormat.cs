namespace Conv;

/// <summary>A binary floating-point format whose every value is a float32: p significant bits, normal numbers from 2^MinExponent to
/// (2 − 2^(1−p))·2^MaxExponent, gradual underflow below.</summary>
/// <param name="Name">The usual name.</param>
/// <param name="Precision">p, significant bits, the leading one included: 1 to 24.</param>
/// <param name="MinExponent">Of the smallest normal number: at least −126.</param>
/// <param name="MaxExponent">Of the largest numbers: at most 127.</param>
public sealed record FloatFormat(string Name, int Precision, int MinExponent, int MaxExponent)
{
    /// <summary>binary32 of IEEE 754.</summary>
    public static FloatFormat Binary32 { get; } = new("float32", 24, -126, 127);

    /// <summary>The upper half of a float32.</summary>
    public static FloatFormat BFloat16 { get; } = new("bfloat16", 8, -126, 127);

    /// <summary>binary16 of IEEE 754.</summary>
    public static FloatFormat Float16 { get; } = new("float16", 11, -14, 15);

    /// <summary>TF32: float32's range, float16's precision.</summary>
    public static FloatFormat TensorFloat32 { get; } = new("tf32", 11, -126, 127);

    /// <summary>(2 − 2^(1−p))·2^MaxExponent.</summary>
    public double MaxValue => (2 - Math.ScaleB(1, 1 - Precision)) * Math.ScaleB(1, MaxExponent);

    /// <summary>2^(MinExponent + 1 − p), the distance between numbers near zero.</summary>
    public double Epsilon => Math.ScaleB(1, MinExponent + 1 - Precision);

    /// <summary>The nearest number of the format, ties to even; beyond the largest, infinity. NaN stays NaN.</summary>
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
        double rounded = Math.Abs((double)value) + shift - shift;
        return float.CopySign(rounded < PowerOfTwo(MaxExponent + 1) ? (float)rounded : float.PositiveInfinity, value);
    }

    private static double PowerOfTwo(int exponent) => BitConverter.UInt64BitsToDouble((ulong)(exponent + 1023) << 52);
}
