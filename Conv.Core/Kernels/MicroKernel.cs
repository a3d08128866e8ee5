using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace Conv;

/// <summary>
/// <c>C[r, j] = F[r, j] + Σ_k A[r, k]·B[k, j]</c> for tiles of up to twelve rows and two vectors of columns that stay in registers, the terms
/// in the order of k.
/// </summary>
/// <remarks>
/// <para>How A is walked is a type: packed panels, the rows of a matrix, the pixels that any tap sees are all of one form. B is packed, row
/// after row; F may be C itself, or one row of biases (a stride of 0).</para>
/// <para>One source for every width, height and walk: what a constant rules out is not compiled, and what it says becomes part of an address.
/// All instructions count, not those alone that multiply: a core that another program shares begins about four in a cycle, and six rows of two
/// vectors take twenty a term. Hence several terms a turn, and several tiles a call.</para>
/// <para>With TAhead a cache line behind <see cref="TileRun.Ahead"/> is asked for every other term: weights that come from memory arrive
/// while others are multiplied.</para>
/// </remarks>
internal static unsafe class MicroKernel
{
    /// <summary>Does the tiles of a run, and leaves in it the places behind the last one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Tiles<TLanes, TVector, TRows, TWalk, TAhead>(ref TileRun run)
        where TLanes : ILanes<TVector>
        where TVector : struct
        where TRows : unmanaged, IConstant
        where TWalk : struct, IWalk
        where TAhead : struct, IConstant
    {
        Unsafe.SkipInit(out Pair<TVector> s0);
        Unsafe.SkipInit(out Pair<TVector> s1);
        Unsafe.SkipInit(out Pair<TVector> s2);
        Unsafe.SkipInit(out Pair<TVector> s3);
        Unsafe.SkipInit(out Pair<TVector> s4);
        Unsafe.SkipInit(out Pair<TVector> s5);
        Unsafe.SkipInit(out Pair<TVector> s6);
        Unsafe.SkipInit(out Pair<TVector> s7);
        Unsafe.SkipInit(out Pair<TVector> s8);
        Unsafe.SkipInit(out Pair<TVector> s9);
        Unsafe.SkipInit(out Pair<TVector> s10);
        Unsafe.SkipInit(out Pair<TVector> s11);
        int panel = 2 * TLanes.Count;
        // What the walk knows of the rows is part of their addresses, and nothing else is.
        nint row = TWalk.Row == 0 ? run.RowStride : 0, row2 = 2 * row, row3 = 3 * row, row5 = 5 * row, row6 = 6 * row;
        int known = TWalk.Step == IWalk.Height ? sizeof(TRows) : TWalk.Step;
        nint step = run.Step, step2 = 2 * step, step3 = 3 * step;
        for (; run.Tiles > 0; run.Tiles--)
        {
            float* from = run.From;
            nint strideFrom = run.StrideFrom;
            Read<TLanes, TVector>(from, ref s0);
            if (sizeof(TRows) > 1) { Read<TLanes, TVector>(from + (1 * strideFrom), ref s1); }
            if (sizeof(TRows) > 2) { Read<TLanes, TVector>(from + (2 * strideFrom), ref s2); }
            if (sizeof(TRows) > 3) { Read<TLanes, TVector>(from + (3 * strideFrom), ref s3); }
            if (sizeof(TRows) > 4) { Read<TLanes, TVector>(from + (4 * strideFrom), ref s4); }
            if (sizeof(TRows) > 5) { Read<TLanes, TVector>(from + (5 * strideFrom), ref s5); }
            if (sizeof(TRows) > 6) { Read<TLanes, TVector>(from + (6 * strideFrom), ref s6); }
            if (sizeof(TRows) > 7) { Read<TLanes, TVector>(from + (7 * strideFrom), ref s7); }
            if (sizeof(TRows) > 8) { Read<TLanes, TVector>(from + (8 * strideFrom), ref s8); }
            if (sizeof(TRows) > 9) { Read<TLanes, TVector>(from + (9 * strideFrom), ref s9); }
            if (sizeof(TRows) > 10) { Read<TLanes, TVector>(from + (10 * strideFrom), ref s10); }
            if (sizeof(TRows) > 11) { Read<TLanes, TVector>(from + (11 * strideFrom), ref s11); }

            float* a = run.A, b = run.B, ahead = run.Ahead;
            int* offsets = run.Offsets;
            int left = run.Depth;
            float* p = a;
            for (; left >= TWalk.Turn; left -= TWalk.Turn)
            {
                p = Find<TWalk>(0, p, a, offsets, step, step2, step3);
                Term<TLanes, TVector, TRows, TWalk>(
                    0, p, row, row2, row3, row5, row6, b,
                    ref s0, ref s1, ref s2, ref s3, ref s4, ref s5, ref s6, ref s7, ref s8, ref s9, ref s10, ref s11);
                p = Find<TWalk>(1, p, a, offsets, step, step2, step3);
                Term<TLanes, TVector, TRows, TWalk>(
                    1, p, row, row2, row3, row5, row6, b,
                    ref s0, ref s1, ref s2, ref s3, ref s4, ref s5, ref s6, ref s7, ref s8, ref s9, ref s10, ref s11);
                p = Find<TWalk>(2, p, a, offsets, step, step2, step3);
                Term<TLanes, TVector, TRows, TWalk>(
                    2, p, row, row2, row3, row5, row6, b,
                    ref s0, ref s1, ref s2, ref s3, ref s4, ref s5, ref s6, ref s7, ref s8, ref s9, ref s10, ref s11);
                p = Find<TWalk>(3, p, a, offsets, step, step2, step3);
                Term<TLanes, TVector, TRows, TWalk>(
                    3, p, row, row2, row3, row5, row6, b,
                    ref s0, ref s1, ref s2, ref s3, ref s4, ref s5, ref s6, ref s7, ref s8, ref s9, ref s10, ref s11);
                if (TWalk.Turn > 4)
                {
                    p = Find<TWalk>(4, p, a, offsets, step, step2, step3);
                    Term<TLanes, TVector, TRows, TWalk>(
                        4, p, row, row2, row3, row5, row6, b,
                        ref s0, ref s1, ref s2, ref s3, ref s4, ref s5, ref s6, ref s7, ref s8, ref s9, ref s10, ref s11);
                }

                if (TWalk.Turn > 5)
                {
                    p = Find<TWalk>(5, p, a, offsets, step, step2, step3);
                    Term<TLanes, TVector, TRows, TWalk>(
                        5, p, row, row2, row3, row5, row6, b,
                        ref s0, ref s1, ref s2, ref s3, ref s4, ref s5, ref s6, ref s7, ref s8, ref s9, ref s10, ref s11);
                }

                if (TWalk.Turn > 6)
                {
                    p = Find<TWalk>(6, p, a, offsets, step, step2, step3);
                    Term<TLanes, TVector, TRows, TWalk>(
                        6, p, row, row2, row3, row5, row6, b,
                        ref s0, ref s1, ref s2, ref s3, ref s4, ref s5, ref s6, ref s7, ref s8, ref s9, ref s10, ref s11);
                }

                b += TWalk.Turn * panel;
                ahead = Ask<TAhead>(Ask<TAhead>(ahead));
                if (TWalk.Turn > 5)
                {
                    ahead = Ask<TAhead>(ahead);
                }

                if (TWalk.HasTable)
                {
                    offsets += TWalk.Turn;
                }
                else
                {
                    a += TWalk.Turn * (known != 0 ? known : step);
                }
            }

            for (; left > 0; left--)
            {
                Term<TLanes, TVector, TRows, TWalk>(
                    0, TWalk.HasTable ? a + *offsets : a, row, row2, row3, row5, row6, b,
                    ref s0, ref s1, ref s2, ref s3, ref s4, ref s5, ref s6, ref s7, ref s8, ref s9, ref s10, ref s11);
                b += panel;
                if (TWalk.HasTable)
                {
                    offsets++;
                }
                else
                {
                    a += known != 0 ? known : step;
                }
            }

            float* c = run.C;
            nint strideC = run.StrideC;
            Write<TLanes, TVector>(c, s0);
            if (sizeof(TRows) > 1) { Write<TLanes, TVector>(c + (1 * strideC), s1); }
            if (sizeof(TRows) > 2) { Write<TLanes, TVector>(c + (2 * strideC), s2); }
            if (sizeof(TRows) > 3) { Write<TLanes, TVector>(c + (3 * strideC), s3); }
            if (sizeof(TRows) > 4) { Write<TLanes, TVector>(c + (4 * strideC), s4); }
            if (sizeof(TRows) > 5) { Write<TLanes, TVector>(c + (5 * strideC), s5); }
            if (sizeof(TRows) > 6) { Write<TLanes, TVector>(c + (6 * strideC), s6); }
            if (sizeof(TRows) > 7) { Write<TLanes, TVector>(c + (7 * strideC), s7); }
            if (sizeof(TRows) > 8) { Write<TLanes, TVector>(c + (8 * strideC), s8); }
            if (sizeof(TRows) > 9) { Write<TLanes, TVector>(c + (9 * strideC), s9); }
            if (sizeof(TRows) > 10) { Write<TLanes, TVector>(c + (10 * strideC), s10); }
            if (sizeof(TRows) > 11) { Write<TLanes, TVector>(c + (11 * strideC), s11); }

            run.A += run.TileA;
            run.B += run.TileB;
            run.From += run.TileFrom;
            run.C += run.TileC;
            if (TAhead.Value != 0)
            {
                run.Ahead += run.Depth / 2 * Machine.LineFloats;
            }
        }
    }

    // The t-th term of a turn.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Term<TLanes, TVector, TRows, TWalk>(
        int t, float* a, nint row, nint row2, nint row3, nint row5, nint row6, float* b,
        ref Pair<TVector> s0, ref Pair<TVector> s1, ref Pair<TVector> s2, ref Pair<TVector> s3, ref Pair<TVector> s4, ref Pair<TVector> s5,
        ref Pair<TVector> s6, ref Pair<TVector> s7, ref Pair<TVector> s8, ref Pair<TVector> s9, ref Pair<TVector> s10, ref Pair<TVector> s11)
        where TLanes : ILanes<TVector>
        where TVector : struct
        where TRows : unmanaged, IConstant
        where TWalk : struct, IWalk
    {
        // Addresses are written out, so that the processor forms them: what stands in a variable takes an instruction.
        TVector left = TLanes.Load(b + (2 * t * TLanes.Count)), right = TLanes.Load(b + (((2 * t) + 1) * TLanes.Count));
        int at = TWalk.Step == 0 ? t % TWalk.Side : TWalk.Step == IWalk.Height ? t * sizeof(TRows) : t * TWalk.Step;
        Add<TLanes, TVector>(a + at, left, right, ref s0);
        if (sizeof(TRows) > 1) { Add<TLanes, TVector>(a + row + (TWalk.Row + at), left, right, ref s1); }
        if (sizeof(TRows) > 2) { Add<TLanes, TVector>(a + row2 + ((2 * TWalk.Row) + at), left, right, ref s2); }
        if (sizeof(TRows) > 3) { Add<TLanes, TVector>(a + row3 + ((3 * TWalk.Row) + at), left, right, ref s3); }
        if (sizeof(TRows) > 4) { Add<TLanes, TVector>((float*)((double*)a + row2) + ((4 * TWalk.Row) + at), left, right, ref s4); }
        if (sizeof(TRows) > 5) { Add<TLanes, TVector>(a + row5 + ((5 * TWalk.Row) + at), left, right, ref s5); }
        float* q = a + row6;
        if (sizeof(TRows) > 6) { Add<TLanes, TVector>(q + ((6 * TWalk.Row) + at), left, right, ref s6); }
        if (sizeof(TRows) > 7) { Add<TLanes, TVector>(q + row + ((7 * TWalk.Row) + at), left, right, ref s7); }
        if (sizeof(TRows) > 8) { Add<TLanes, TVector>(q + row2 + ((8 * TWalk.Row) + at), left, right, ref s8); }
        if (sizeof(TRows) > 9) { Add<TLanes, TVector>(q + row3 + ((9 * TWalk.Row) + at), left, right, ref s9); }
        if (sizeof(TRows) > 10) { Add<TLanes, TVector>((float*)((double*)q + row2) + ((10 * TWalk.Row) + at), left, right, ref s10); }
        if (sizeof(TRows) > 11) { Add<TLanes, TVector>(q + row5 + ((11 * TWalk.Row) + at), left, right, ref s11); }
    }

    // Where the t-th term of a turn begins, if it is not beside the one before.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float* Find<TWalk>(int t, float* before, float* a, int* offsets, nint step, nint step2, nint step3)
        where TWalk : struct, IWalk =>
        TWalk.HasTable ? t % TWalk.Side != 0 ? before : a + offsets[t]
        : t == 0 ? a
        : TWalk.Step != 0 ? before
        : t == 1 ? a + step
        : t == 2 ? a + step2
        : a + step3;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add<TLanes, TVector>(float* a, TVector left, TVector right, ref Pair<TVector> sums)
        where TLanes : ILanes<TVector>
        where TVector : struct
    {
        // As volatile, since the compiler would keep what neighbouring taps share, in registers that are not there. Elsewhere that is no plain read.
        TVector factor = TLanes.Broadcast(X86Base.IsSupported ? Volatile.Read(ref *a) : *a);
        sums.Left = TLanes.MultiplyAdd(sums.Left, factor, left);
        sums.Right = TLanes.MultiplyAdd(sums.Right, factor, right);
    }

    // A line, and where the next one is.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float* Ask<TAhead>(float* ahead)
        where TAhead : struct, IConstant
    {
        if (TAhead.Value == 0)
        {
            return ahead;
        }

        Sse.Prefetch1(ahead);
        return ahead + Machine.LineFloats;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Read<TLanes, TVector>(float* from, ref Pair<TVector> sums)
        where TLanes : ILanes<TVector>
        where TVector : struct
    {
        sums.Left = TLanes.Load(from);
        sums.Right = TLanes.Load(from + TLanes.Count);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Write<TLanes, TVector>(float* c, Pair<TVector> sums)
        where TLanes : ILanes<TVector>
        where TVector : struct
    {
        TLanes.Store(sums.Left, c);
        TLanes.Store(sums.Right, c + TLanes.Count);
    }

    private struct Pair<TVector>
        where TVector : struct
    {
        public TVector Left;
        public TVector Right;
    }
}
