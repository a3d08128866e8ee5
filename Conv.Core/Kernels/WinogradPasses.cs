using System.Runtime.CompilerServices;

namespace Conv;

/// <summary>
/// One dimension of Winograd's transforms on the points 0, ±p_1, …, ±p_P, ∞, on vectors of channels: <c>t = Bᵀ·d</c> and <c>y = Aᵀ·m</c>
/// for many d and m in a row.
/// </summary>
/// <remarks>
/// <para>The rows of Bᵀ for ±p are the even part of <c>L = x·(x ± p)·Π_{q≠p}(x² − q²)</c> plus or minus its odd part, which is p times a
/// polynomial in x²; the columns of Aᵀ for ±p are used as sum and difference. No entry is made of two of opposite signs, so the program on
/// absolute values is that of the matrices, and no element passes more roundings than the matrices' rows have entries, plus one.</para>
/// <para>Source: the factoring follows from <see cref="WinogradTransform"/>; docs/bounds.md, lemma 4.</para>
/// </remarks>
internal static unsafe class WinogradPasses
{
    /// <summary>The numbers that both passes use, from the magnitudes of the pairs.</summary>
    public static float[] Constants(ReadOnlySpan<double> p)
    {
        // Input: of all pairs, then of each pair's others, the sums of products of squares; then p^1 … p^5 of each pair.
        double[] square = [.. p.ToArray().Select(value => value * value)];
        List<double> constants = [];
        constants.AddRange(Elementary(square));
        for (int pair = 0; pair < p.Length; pair++)
        {
            constants.AddRange(Elementary([.. square.Where((_, other) => other != pair)]));
        }

        for (int power = 1; power <= 5; power++)
        {
            foreach (double value in p)
            {
                constants.Add(Math.Pow(value, power));
            }
        }

        return [.. constants.Select(value => (float)value)];
    }

    /// <summary>t = Bᵀ·d, <paramref name="count"/> times.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Input<TLanes, TVector, TPairs>(
        float* constants, int count, float* from, nint element, nint step, float* to, nint elementTo, nint stepTo)
        where TLanes : ILanes<TVector>
        where TVector : struct
        where TPairs : struct, IConstant
    {
        for (; count > 0; count--, from += step, to += stepTo)
        {
            TVector d1 = TLanes.Load(from + element), d2 = TLanes.Load(from + (2 * element)), d3 = TLanes.Load(from + (3 * element));
            if (TPairs.Value == 1)
            {
                TVector p = TLanes.Broadcast(constants[1]);
                TVector square = TLanes.Broadcast(constants[0]);
                TLanes.Store(TLanes.MultiplySubtract(d2, square, TLanes.Load(from)), to);
                TLanes.Store(TLanes.MultiplyAdd(d2, p, d1), to + elementTo);
                TLanes.Store(TLanes.MultiplySubtract(d2, p, d1), to + (2 * elementTo));
                TLanes.Store(TLanes.MultiplySubtract(d3, square, d1), to + (3 * elementTo));
            }
            else if (TPairs.Value == 2)
            {
                TVector d4 = TLanes.Load(from + (4 * element));
                TVector sum = TLanes.Broadcast(constants[0]), product = TLanes.Broadcast(constants[1]);
                TVector r0 = TLanes.MultiplySubtract(d4, sum, d2);
                TLanes.Store(TLanes.MultiplyAdd(r0, product, TLanes.Load(from)), to);
                TVector other = TLanes.Broadcast(constants[2]);
                TVector even = TLanes.MultiplySubtract(d4, other, d2), odd = TLanes.MultiplySubtract(d3, other, d1);
                TVector p = TLanes.Broadcast(constants[4]);
                TLanes.Store(TLanes.MultiplyAdd(even, p, odd), to + elementTo);
                TLanes.Store(TLanes.MultiplySubtract(even, p, odd), to + (2 * elementTo));
                other = TLanes.Broadcast(constants[3]);
                even = TLanes.MultiplySubtract(d4, other, d2);
                odd = TLanes.MultiplySubtract(d3, other, d1);
                p = TLanes.Broadcast(constants[5]);
                TLanes.Store(TLanes.MultiplyAdd(even, p, odd), to + (3 * elementTo));
                TLanes.Store(TLanes.MultiplySubtract(even, p, odd), to + (4 * elementTo));
                TVector r5 = TLanes.MultiplySubtract(TLanes.Load(from + (5 * element)), sum, d3);
                TLanes.Store(TLanes.MultiplyAdd(r5, product, d1), to + (5 * elementTo));
            }
            else
            {
                TVector d4 = TLanes.Load(from + (4 * element)), d5 = TLanes.Load(from + (5 * element)), d6 = TLanes.Load(from + (6 * element));
                TVector s1 = TLanes.Broadcast(constants[0]), s2 = TLanes.Broadcast(constants[1]), s3 = TLanes.Broadcast(constants[2]);
                TVector r0 = TLanes.MultiplyAdd(TLanes.MultiplySubtract(d6, s1, d4), s2, d2);
                TLanes.Store(TLanes.MultiplySubtract(r0, s3, TLanes.Load(from)), to);
                for (int pair = 0; pair < 3; pair++)
                {
                    TVector u = TLanes.Broadcast(constants[3 + (2 * pair)]), w = TLanes.Broadcast(constants[4 + (2 * pair)]);
                    TVector even = TLanes.MultiplyAdd(TLanes.MultiplySubtract(d6, u, d4), w, d2);
                    TVector odd = TLanes.MultiplyAdd(TLanes.MultiplySubtract(d5, u, d3), w, d1);
                    TVector p = TLanes.Broadcast(constants[9 + pair]);
                    TLanes.Store(TLanes.MultiplyAdd(even, p, odd), to + ((1 + (2 * pair)) * elementTo));
                    TLanes.Store(TLanes.MultiplySubtract(even, p, odd), to + ((2 + (2 * pair)) * elementTo));
                }

                TVector r7 = TLanes.MultiplyAdd(TLanes.MultiplySubtract(TLanes.Load(from + (7 * element)), s1, d5), s2, d3);
                TLanes.Store(TLanes.MultiplySubtract(r7, s3, d1), to + (7 * elementTo));
            }
        }
    }

    /// <summary>y = Aᵀ·m + offset, <paramref name="count"/> times.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Output<TLanes, TVector, TPairs, TOutputs>(
        float* constants, float* offset, int count, float* from, nint element, nint step, float* to, nint elementTo, nint stepTo)
        where TLanes : ILanes<TVector>
        where TVector : struct
        where TPairs : struct, IConstant
        where TOutputs : struct, IConstant
    {
        float* powers = constants + (TPairs.Value == 1 ? 1 : TPairs.Value == 2 ? 4 : 9);
        TVector b = TLanes.Load(offset);
        for (; count > 0; count--, from += step, to += stepTo)
        {
            TVector m1 = TLanes.Load(from + element), m2 = TLanes.Load(from + (2 * element));
            TVector sum0 = TLanes.Add(m1, m2), difference0 = TLanes.Subtract(m1, m2);
            TVector sum1 = default, difference1 = default, sum2 = default, difference2 = default;
            TVector y0 = TLanes.Add(TLanes.Load(from), sum0);
            if (TPairs.Value > 1)
            {
                TVector m3 = TLanes.Load(from + (3 * element)), m4 = TLanes.Load(from + (4 * element));
                sum1 = TLanes.Add(m3, m4);
                difference1 = TLanes.Subtract(m3, m4);
                y0 = TLanes.Add(y0, sum1);
            }

            if (TPairs.Value > 2)
            {
                TVector m5 = TLanes.Load(from + (5 * element)), m6 = TLanes.Load(from + (6 * element));
                sum2 = TLanes.Add(m5, m6);
                difference2 = TLanes.Subtract(m5, m6);
                y0 = TLanes.Add(y0, sum2);
            }

            TLanes.Store(TLanes.Add(y0, b), to);
            for (int i = 1; i < TOutputs.Value; i++)
            {
                bool isOdd = (i & 1) == 1;
                float* power = powers + ((i - 1) * TPairs.Value);
                TVector y = TLanes.Multiply(TLanes.Broadcast(power[0]), isOdd ? difference0 : sum0);
                if (TPairs.Value > 1)
                {
                    y = TLanes.MultiplyAdd(y, TLanes.Broadcast(power[1]), isOdd ? difference1 : sum1);
                }

                if (TPairs.Value > 2)
                {
                    y = TLanes.MultiplyAdd(y, TLanes.Broadcast(power[2]), isOdd ? difference2 : sum2);
                }

                if (i == TOutputs.Value - 1)
                {
                    y = TLanes.Add(y, TLanes.Load(from + ((1 + (2 * TPairs.Value)) * element)));
                }

                TLanes.Store(TLanes.Add(y, b), to + (i * elementTo));
            }
        }
    }

    // The elementary symmetric polynomials of degree 1 and above.
    private static IEnumerable<double> Elementary(double[] values)
    {
        double[] polynomial = [1];
        foreach (double value in values)
        {
            polynomial = [.. Enumerable.Range(0, polynomial.Length + 1).Select(degree =>
                (degree < polynomial.Length ? polynomial[degree] : 0) + (degree > 0 ? value * polynomial[degree - 1] : 0))];
        }

        return polynomial.Skip(1);
    }
}
