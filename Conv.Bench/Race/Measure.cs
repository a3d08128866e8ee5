using System.Diagnostics;

namespace Conv.Bench.Race;

/// <summary>Times runners in turns: what disturbs one disturbs its neighbours, and a ratio is of samples of one round.</summary>
internal static class Measure
{
    private static readonly TimeSpan s_warm = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan s_warmAtMost = TimeSpan.FromMilliseconds(500);

    // .NET compiles a method again when it has been called often and nothing new was for 100 ms.
    private static readonly TimeSpan s_compiling = TimeSpan.FromMilliseconds(150);

    // A peer's workers spin for some milliseconds after a call.
    private static readonly TimeSpan s_idleAtMost = TimeSpan.FromMilliseconds(100);

    /// <summary>Seconds a call, by runner and round.</summary>
    /// <param name="runners">What is timed.</param>
    /// <param name="rounds">How many samples of each.</param>
    /// <param name="sample">How long a sample is at least.</param>
    public static double[][] Run(IReadOnlyList<IRunner> runners, int rounds, TimeSpan sample)
    {
        foreach (IRunner runner in runners)
        {
            WaitForIdle();
            _ = Warm(runner);
        }

        Thread.Sleep(s_compiling);
        int[] calls = new int[runners.Count];
        for (int at = 0; at < calls.Length; at++)
        {
            WaitForIdle();
            calls[at] = (int)Math.Clamp(Math.Ceiling(sample.TotalSeconds / Warm(runners[at])), 1, 10_000_000);
        }

        double[][] seconds = [.. runners.Select(_ => new double[rounds])];
        for (int round = 0; round < rounds; round++)
        {
            for (int place = 0; place < calls.Length; place++)
            {
                // Who is first rotates, and so does who comes after whom.
                int turn = (place + round) % calls.Length;
                int at = round % 2 == 0 ? turn : calls.Length - 1 - turn;
                WaitForIdle();
                seconds[at][round] = runners[at].Time(calls[at]) / calls[at];
            }
        }

        return seconds;
    }

    // Seconds a call, when it has been called for a while.
    private static double Warm(IRunner runner)
    {
        long start = Stopwatch.GetTimestamp();
        int calls = 1;
        long done = 0;
        while (true)
        {
            double seconds = runner.Time(calls);
            done += calls;
            TimeSpan elapsed = Stopwatch.GetElapsedTime(start);
            if (elapsed >= s_warm && (done >= 100 || elapsed >= s_warmAtMost))
            {
                return Math.Max(seconds, 1e-9) / calls;
            }

            calls = seconds < s_warm.TotalSeconds / 10 ? 2 * calls : calls;
        }
    }

    private static void WaitForIdle()
    {
        long start = Stopwatch.GetTimestamp();
        do
        {
            TimeSpan used = Environment.CpuUsage.TotalTime;
            long before = Stopwatch.GetTimestamp();
            Thread.Sleep(1);
            if ((Environment.CpuUsage.TotalTime - used) * 5 < Stopwatch.GetElapsedTime(before))
            {
                return;
            }
        }
        while (Stopwatch.GetElapsedTime(start) < s_idleAtMost);
    }
}
