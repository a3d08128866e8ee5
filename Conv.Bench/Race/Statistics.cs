namespace Conv.Bench.Race;

/// <summary>A median and where it lies with 95 % confidence.</summary>
internal readonly record struct Estimate(double Median, double Low, double High);

/// <summary>What is said about samples: nothing that a few disturbed ones move.</summary>
internal static class Statistics
{
    /// <summary>The median with its order-statistic interval, which assumes no distribution; all of the samples where they are under 6, too few
    /// for 95 %.</summary>
    public static Estimate Of(IEnumerable<double> samples)
    {
        double[] sorted = [.. samples.Order()];
        if (sorted.Length == 0)
        {
            return new Estimate(double.NaN, double.NaN, double.NaN);
        }

        int half = sorted.Length / 2;
        double median = sorted.Length % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
        int outside = Outside(sorted.Length);
        return new Estimate(median, sorted[outside], sorted[^(outside + 1)]);
    }

    public static double GeometricMean(IReadOnlyCollection<double> values) => Math.Exp(values.Sum(Math.Log) / values.Count);

    // How many samples may be left out on each side. The median lies below the least of the rest when so many samples or fewer do: binomial.
    private static int Outside(int count)
    {
        double probability = Math.Pow(0.5, count);
        double tail = 0;
        for (int below = 0; below < count / 2; below++)
        {
            tail += probability;
            if (2 * tail > 0.05)
            {
                return Math.Max(below - 1, 0);
            }

            probability *= (count - below) / (below + 1.0);
        }

        return 0;
    }
}
