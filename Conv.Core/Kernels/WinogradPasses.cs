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
        // The constants stay in registers, or on the stack, where an operation can read them: stores might change what pointers see.
        TVector c0 = TLanes.Broadcast(constants[0]), c1 = TLanes.Broadcast(constants[1]);
        TVector c2 = default, c3 = default, c4 = default, c5 = default, c6 = default, c7 = default, c8 = default, c9 = default, c10 = default, c11 = default;
        if (TPairs.Value > 1)
        {
            c2 = TLanes.Broadcast(constants[2]);
            c3 = TLanes.Broadcast(constants[3]);
            c4 = TLanes.Broadcast(constants[4]);
            c5 = TLanes.Broadcast(constants[5]);
        }

        if (TPairs.Value > 2)
        {
            c6 = TLanes.Broadcast(constants[6]);
            c7 = TLanes.Broadcast(constants[7]);
            c8 = TLanes.Broadcast(constants[8]);
            c9 = TLanes.Broadcast(constants[9]);
            c10 = TLanes.Broadcast(constants[10]);
            c11 = TLanes.Broadcast(constants[11]);
        }

        nint pair1 = elementTo, pair2 = 3 * elementTo, pair3 = 5 * elementTo;
        for (; count > 0; count--, from += step, to += stepTo)
        {
            TVector d0 = TLanes.Load(from), d1 = TLanes.Load(from + element), d2 = TLanes.Load(from + (2 * element)), d3 = TLanes.Load(from + (3 * element));
            if (TPairs.Value == 1)
            {
                TLanes.Store(TLanes.MultiplySubtract(d2, c0, d0), to);
                TLanes.Store(TLanes.MultiplyAdd(d2, c1, d1), to + elementTo);
                TLanes.Store(TLanes.MultiplySubtract(d2, c1, d1), to + (2 * elementTo));
                TLanes.Store(TLanes.MultiplySubtract(d3, c0, d1), to + (3 * elementTo));
            }
            else if (TPairs.Value == 2)
            {
                TVector d4 = TLanes.Load(from + (4 * element)), d5 = TLanes.Load(from + (5 * element));
                TLanes.Store(TLanes.MultiplyAdd(TLanes.MultiplySubtract(d4, c0, d2), c1, d0), to);
                EvenAndOdd<TLanes, TVector>(TLanes.MultiplySubtract(d4, c2, d2), TLanes.MultiplySubtract(d3, c2, d1), c4, to + pair1, elementTo);
                EvenAndOdd<TLanes, TVector>(TLanes.MultiplySubtract(d4, c3, d2), TLanes.MultiplySubtract(d3, c3, d1), c5, to + pair2, elementTo);
                TLanes.Store(TLanes.MultiplyAdd(TLanes.MultiplySubtract(d5, c0, d3), c1, d1), to + (5 * elementTo));
            }
            else
            {
                TVector d4 = TLanes.Load(from + (4 * element)), d5 = TLanes.Load(from + (5 * element));
                TVector d6 = TLanes.Load(from + (6 * element)), d7 = TLanes.Load(from + (7 * element));
                TLanes.Store(Cubic<TLanes, TVector>(d6, c0, d4, c1, d2, c2, d0), to);
                EvenAndOdd<TLanes, TVector>(Quadratic<TLanes, TVector>(d6, c3, d4, c4, d2), Quadratic<TLanes, TVector>(d5, c3, d3, c4, d1), c9, to + pair1, elementTo);
                EvenAndOdd<TLanes, TVector>(Quadratic<TLanes, TVector>(d6, c5, d4, c6, d2), Quadratic<TLanes, TVector>(d5, c5, d3, c6, d1), c10, to + pair2, elementTo);
                EvenAndOdd<TLanes, TVector>(Quadratic<TLanes, TVector>(d6, c7, d4, c8, d2), Quadratic<TLanes, TVector>(d5, c7, d3, c8, d1), c11, to + pair3, elementTo);
                TLanes.Store(Cubic<TLanes, TVector>(d7, c0, d5, c1, d3, c2, d1), to + (7 * elementTo));
            }
        }
    }

    /// <summary>y = Aᵀ·m, plus an offset if there is one, <paramref name="count"/> times.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Output<TLanes, TVector, TPairs, TOutputs>(
        float* constants, float* offset, int count, float* from, nint element, nint step, float* to, nint elementTo, nint stepTo)
        where TLanes : ILanes<TVector>
        where TVector : struct
        where TPairs : struct, IConstant
        where TOutputs : struct, IConstant
    {
        // Powers p^i of each pair, from the first power on.
        float* powers = constants + (TPairs.Value == 1 ? 1 : TPairs.Value == 2 ? 4 : 9);
        Unsafe.SkipInit(out Triple<TVector> k1);
        Unsafe.SkipInit(out Triple<TVector> k2);
        Unsafe.SkipInit(out Triple<TVector> k3);
        Unsafe.SkipInit(out Triple<TVector> k4);
        Unsafe.SkipInit(out Triple<TVector> k5);
        Power<TLanes, TVector, TPairs>(powers, ref k1);
        if (TOutputs.Value > 2)
        {
            Power<TLanes, TVector, TPairs>(powers + TPairs.Value, ref k2);
            Power<TLanes, TVector, TPairs>(powers + (2 * TPairs.Value), ref k3);
        }

        if (TOutputs.Value > 4)
        {
            Power<TLanes, TVector, TPairs>(powers + (3 * TPairs.Value), ref k4);
            Power<TLanes, TVector, TPairs>(powers + (4 * TPairs.Value), ref k5);
        }

        TVector b = offset == null ? default : TLanes.Load(offset);
        for (; count > 0; count--, from += step, to += stepTo)
        {
            Unsafe.SkipInit(out Triple<TVector> sum);
            Unsafe.SkipInit(out Triple<TVector> difference);
            TVector m1 = TLanes.Load(from + element), m2 = TLanes.Load(from + (2 * element));
            sum.First = TLanes.Add(m1, m2);
            difference.First = TLanes.Subtract(m1, m2);
            TVector y0 = TLanes.Add(TLanes.Load(from), sum.First);
            if (TPairs.Value > 1)
            {
                TVector m3 = TLanes.Load(from + (3 * element)), m4 = TLanes.Load(from + (4 * element));
                sum.Second = TLanes.Add(m3, m4);
                difference.Second = TLanes.Subtract(m3, m4);
                y0 = TLanes.Add(y0, sum.Second);
            }

            if (TPairs.Value > 2)
            {
                TVector m5 = TLanes.Load(from + (5 * element)), m6 = TLanes.Load(from + (6 * element));
                sum.Third = TLanes.Add(m5, m6);
                difference.Third = TLanes.Subtract(m5, m6);
                y0 = TLanes.Add(y0, sum.Third);
            }

            TVector y1 = Combine<TLanes, TVector, TPairs>(k1, difference), y2 = default, y3 = default, y4 = default, y5 = default;
            TVector infinite = TLanes.Load(from + ((1 + (2 * TPairs.Value)) * element));
            if (TOutputs.Value > 2)
            {
                y2 = Combine<TLanes, TVector, TPairs>(k2, sum);
                y3 = Combine<TLanes, TVector, TPairs>(k3, difference);
            }

            if (TOutputs.Value > 4)
            {
                y4 = Combine<TLanes, TVector, TPairs>(k4, sum);
                y5 = TLanes.Add(Combine<TLanes, TVector, TPairs>(k5, difference), infinite);
            }
            else if (TOutputs.Value > 2)
            {
                y3 = TLanes.Add(y3, infinite);
            }
            else
            {
                y1 = TLanes.Add(y1, infinite);
            }

            if (offset != null)
            {
                y0 = TLanes.Add(y0, b);
                y1 = TLanes.Add(y1, b);
                y2 = TLanes.Add(y2, b);
                y3 = TLanes.Add(y3, b);
                y4 = TLanes.Add(y4, b);
                y5 = TLanes.Add(y5, b);
            }

            TLanes.Store(y0, to);
            TLanes.Store(y1, to + elementTo);
            if (TOutputs.Value > 2)
            {
                TLanes.Store(y2, to + (2 * elementTo));
                TLanes.Store(y3, to + (3 * elementTo));
            }

            if (TOutputs.Value > 4)
            {
                TLanes.Store(y4, to + (4 * elementTo));
                TLanes.Store(y5, to + (5 * elementTo));
            }
        }
    }

    // even ± p·odd.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void EvenAndOdd<TLanes, TVector>(TVector even, TVector odd, TVector p, float* to, nint elementTo)
        where TLanes : ILanes<TVector>
        where TVector : struct
    {
        TLanes.Store(TLanes.MultiplyAdd(even, p, odd), to);
        TLanes.Store(TLanes.MultiplySubtract(even, p, odd), to + elementTo);
    }

    // x − a·y + b·z.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Quadratic<TLanes, TVector>(TVector x, TVector a, TVector y, TVector b, TVector z)
        where TLanes : ILanes<TVector>
        where TVector : struct => TLanes.MultiplyAdd(TLanes.MultiplySubtract(x, a, y), b, z);

    // x − a·y + b·z − c·w.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Cubic<TLanes, TVector>(TVector x, TVector a, TVector y, TVector b, TVector z, TVector c, TVector w)
        where TLanes : ILanes<TVector>
        where TVector : struct => TLanes.MultiplySubtract(Quadratic<TLanes, TVector>(x, a, y, b, z), c, w);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Power<TLanes, TVector, TPairs>(float* powers, ref Triple<TVector> power)
        where TLanes : ILanes<TVector>
        where TVector : struct
        where TPairs : struct, IConstant
    {
        power.First = TLanes.Broadcast(powers[0]);
        if (TPairs.Value > 1)
        {
            power.Second = TLanes.Broadcast(powers[1]);
        }

        if (TPairs.Value > 2)
        {
            power.Third = TLanes.Broadcast(powers[2]);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Combine<TLanes, TVector, TPairs>(Triple<TVector> power, Triple<TVector> values)
        where TLanes : ILanes<TVector>
        where TVector : struct
        where TPairs : struct, IConstant
    {
        TVector y = TLanes.Multiply(power.First, values.First);
        if (TPairs.Value > 1)
        {
            y = TLanes.MultiplyAdd(y, power.Second, values.Second);
        }

        if (TPairs.Value > 2)
        {
            y = TLanes.MultiplyAdd(y, power.Third, values.Third);
        }

        return y;
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

    private struct Triple<TVector>
        where TVector : struct
    {
        public TVector First;
        public TVector Second;
        public TVector Third;
    }
}
