using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Conv.Bench.Race;

/// <summary>The limit: independent fused multiply-adds on registers, on so many threads.</summary>
internal sealed class FmaPeak(int threads) : IRunner
{
    public const string Name = "FMA peak";

    private const int Steps = 16384;

    // Enough for a latency of 4 cycles at 2 a cycle and for one of 5, few enough for 16 registers.
    private const int Chains = 12;

    private static readonly bool s_wide = Vector512.IsHardwareAccelerated;
    private static float s_sink;

    public double Operations { get; } = 2.0 * Steps * Chains * (s_wide ? Vector512<float>.Count : Vector256<float>.Count) * threads;

    public string Detail => s_wide ? "512 bits" : "256 bits";

    public double Time(int calls)
    {
        int ready = 0;
        long start = 0;
        Thread[] partners = new Thread[threads - 1];
        for (int at = 0; at < partners.Length; at++)
        {
            partners[at] = new Thread(Turn);
            partners[at].Start();
        }

        Turn();
        foreach (Thread partner in partners)
        {
            partner.Join();
        }

        return Stopwatch.GetElapsedTime(start).TotalSeconds;

        // All begin together: who is last starts the clock.
        void Turn()
        {
            if (Interlocked.Increment(ref ready) == threads)
            {
                Volatile.Write(ref start, Stopwatch.GetTimestamp());
            }

            while (Volatile.Read(ref start) == 0)
            {
                Thread.SpinWait(1);
            }

            float sum = 0;
            for (int call = 0; call < calls; call++)
            {
                sum += s_wide ? Wide() : Narrow();
            }

            s_sink = sum;
        }
    }

    public float[] Output() => [];

    public void Dispose()
    {
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static float Narrow()
    {
        Vector256<float> x = Vector256.Create(0.5f);
        Vector256<float> k = Vector256.Create(1f);
        Vector256<float> a = x, b = x, c = x, d = x, e = x, f = x, g = x, h = x, i = x, j = x, l = x, m = x;
        for (int step = 0; step < Steps; step++)
        {
            a = Vector256.FusedMultiplyAdd(x, k, a);
            b = Vector256.FusedMultiplyAdd(x, k, b);
            c = Vector256.FusedMultiplyAdd(x, k, c);
            d = Vector256.FusedMultiplyAdd(x, k, d);
            e = Vector256.FusedMultiplyAdd(x, k, e);
            f = Vector256.FusedMultiplyAdd(x, k, f);
            g = Vector256.FusedMultiplyAdd(x, k, g);
            h = Vector256.FusedMultiplyAdd(x, k, h);
            i = Vector256.FusedMultiplyAdd(x, k, i);
            j = Vector256.FusedMultiplyAdd(x, k, j);
            l = Vector256.FusedMultiplyAdd(x, k, l);
            m = Vector256.FusedMultiplyAdd(x, k, m);
        }

        return Vector256.Sum(a + b + c + d + e + f + g + h + i + j + l + m);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static float Wide()
    {
        Vector512<float> x = Vector512.Create(0.5f);
        Vector512<float> k = Vector512.Create(1f);
        Vector512<float> a = x, b = x, c = x, d = x, e = x, f = x, g = x, h = x, i = x, j = x, l = x, m = x;
        for (int step = 0; step < Steps; step++)
        {
            a = Vector512.FusedMultiplyAdd(x, k, a);
            b = Vector512.FusedMultiplyAdd(x, k, b);
            c = Vector512.FusedMultiplyAdd(x, k, c);
            d = Vector512.FusedMultiplyAdd(x, k, d);
            e = Vector512.FusedMultiplyAdd(x, k, e);
            f = Vector512.FusedMultiplyAdd(x, k, f);
            g = Vector512.FusedMultiplyAdd(x, k, g);
            h = Vector512.FusedMultiplyAdd(x, k, h);
            i = Vector512.FusedMultiplyAdd(x, k, i);
            j = Vector512.FusedMultiplyAdd(x, k, j);
            l = Vector512.FusedMultiplyAdd(x, k, l);
            m = Vector512.FusedMultiplyAdd(x, k, m);
        }

        return Vector512.Sum(a + b + c + d + e + f + g + h + i + j + l + m);
    }
}
