namespace Conv;

/// <summary>A binary floating-point format whose every value is a float32: p significant bits, normal numbers from 2^MinExponent to
/// (2 − 2^(1−p))·2^MaxExponent, gradual underflow below.</summary>
/// <param name="Name">The usual name.</param>
/// <param name="Precision">p, significant bits, the leading one included.</param>
/// <param name="MinExponent">Of the smallest normal number.</param>
/// <param name="MaxExponent">Of the largest numbers.</param>
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
    public float Round(float value)
    {
        if (!float.IsFinite(value) || value == 0)
        {
            return value;
        }

        // A float32 over a power of two is exact in double.
        double unit = Math.ScaleB(1, Math.Max(Math.ILogB(value), MinExponent) + 1 - Precision);
        double rounded = Math.Round(value / unit, MidpointRounding.ToEven) * unit;
        return Math.Abs(rounded) > MaxValue ? float.CopySign(float.PositiveInfinity, value) : (float)rounded;
    }
}
