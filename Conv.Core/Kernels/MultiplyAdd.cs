using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace Conv;

/// <summary>
/// sum + x·y, rounded once where the processor fuses and twice elsewhere. One processor always does the same, and a
/// vector's lane does what the scalar does, so a result depends neither on its column nor on the compiler's tier.
/// </summary>
internal static class MultiplyAdd
{
    /// <summary>Whether product and sum are rounded together.</summary>
    public static bool IsFused => Fma.IsSupported || AdvSimd.IsSupported;

    /// <summary>sum + x·y.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Of(float sum, float x, float y) => IsFused ? MathF.FusedMultiplyAdd(x, y, sum) : sum + (x * y);

    /// <summary>sum + x·y, lane by lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector<float> Of(Vector<float> sum, Vector<float> x, Vector<float> y) =>
        IsFused ? Vector.FusedMultiplyAdd(x, y, sum) : sum + (x * y);
}
