using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace Conv;

/// <summary>
/// <c>C[r, j] = F[r, j] + Σ_k A[r, k]·B[k, j]</c> for a tile of up to twelve rows and two vectors of columns that stays in registers, the terms
/// in the order of k.
/// </summary>
/// <remarks>
/// <para>A[r, k] stands at <c>a + k·step + r·rowStride</c>, or at <c>a + offsets[k] + r·rowStride</c> where the terms are not evenly apart:
/// packed panels, the rows of a matrix, the pixels that any tap sees are all of this form. B is packed, row after row; F may be C itself, or one
/// row of biases (a stride of 0).</para>
/// <para>One source for every width and height: what a constant rules out is not compiled. Some terms a turn, and a
/// step that the compiler knows where there is one, because instructions that do not multiply cost as much as those that do where two programs
/// share a core.</para>
/// <para>With TAhead a cache line behind <c>ahead</c> is asked for every other term: weights that come from memory arrive while others are
/// multiplied.</para>
/// </remarks>
internal static unsafe class MicroKernel
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Tile<TLanes, TVector, TRows, TStep, TAhead>(
        int depth, float* a, nint rowStride, nint step, int* offsets, float* b, float* ahead, float* from, nint strideFrom, float* c, nint strideC)
        where TLanes : ILanes<TVector>
        where TVector : struct
        where TStep : struct, IConstant
        where TAhead : struct, IConstant
        where TRows : struct, IConstant
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
        Read<TLanes, TVector>(from, ref s0);
        if (TRows.Value > 1) { Read<TLanes, TVector>(from + (1 * strideFrom), ref s1); }
        if (TRows.Value > 2) { Read<TLanes, TVector>(from + (2 * strideFrom), ref s2); }
        if (TRows.Value > 3) { Read<TLanes, TVector>(from + (3 * strideFrom), ref s3); }
        if (TRows.Value > 4) { Read<TLanes, TVector>(from + (4 * strideFrom), ref s4); }
        if (TRows.Value > 5) { Read<TLanes, TVector>(from + (5 * strideFrom), ref s5); }
        if (TRows.Value > 6) { Read<TLanes, TVector>(from + (6 * strideFrom), ref s6); }
        if (TRows.Value > 7) { Read<TLanes, TVector>(from + (7 * strideFrom), ref s7); }
        if (TRows.Value > 8) { Read<TLanes, TVector>(from + (8 * strideFrom), ref s8); }
        if (TRows.Value > 9) { Read<TLanes, TVector>(from + (9 * strideFrom), ref s9); }
        if (TRows.Value > 10) { Read<TLanes, TVector>(from + (10 * strideFrom), ref s10); }
        if (TRows.Value > 11) { Read<TLanes, TVector>(from + (11 * strideFrom), ref s11); }

        nint row2 = 2 * rowStride, row3 = 3 * rowStride, row5 = 5 * rowStride, row6 = 6 * rowStride;
        int panel = 2 * TLanes.Count, left = depth;
        if (TStep.Value != 0)
        {
            for (; left >= 4; left -= 4)
            {
                Term<TLanes, TVector, TRows>(a, rowStride, row2, row3, row5, row6, b, 0,
                    ref s0, ref s1, ref s2, ref s3, ref s4, ref s5, ref s6, ref s7, ref s8, ref s9, ref s10, ref s11);
                Term<TLanes, TVector, TRows>(a + TStep.Value, rowStride, row2, row3, row5, row6, b, panel,
                    ref s0, ref s1, ref s2, ref s3, ref s4, ref s5, ref s6, ref s7, ref s8, ref s9, ref s10, ref s11);
                Term<TLanes, TVector, TRows>(a + (2 * TStep.Value), rowStride, row2, row3, row5, row6, b, 2 * panel,
                    ref s0, ref s1, ref s2, ref s3, ref s4, ref s5, ref s6, ref s7, ref s8, ref s9, ref s10, ref s11);
                Term<TLanes, TVector, TRows>(a + (3 * TStep.Value), rowStride, row2, row3, row5, row6, b, 3 * panel,
                    ref s0, ref s1, ref s2, ref s3, ref s4, ref s5, ref s6, ref s7, ref s8, ref s9, ref s10, ref s11);
                a += 4 * TStep.Value;
                b += 4 * panel;
                ahead = Ask<TAhead>(Ask<TAhead>(ahead));
            }

            for (; left > 0; left--)
            {
                Term<TLanes, TVector, TRows>(a, rowStride, row2, row3, row5, row6, b, 0,
                    ref s0, ref s1, ref s2, ref s3, ref s4, ref s5, ref s6, ref s7, ref s8, ref s9, ref s10, ref s11);
                a += TStep.Value;
                b += panel;
            }
        }
        else if (offsets == null)
        {
            for (; left >= 2; left -= 2)
            {
                Term<TLanes, TVector, TRows>(a, rowStride, row2, row3, row5, row6, b, 0,
                    ref s0, ref s1, ref s2, ref s3, ref s4, ref s5, ref s6, ref s7, ref s8, ref s9, ref s10, ref s11);
                a += step;
                Term<TLanes, TVector, TRows>(a, rowStride, row2, row3, row5, row6, b, panel,
                    ref s0, ref s1, ref s2, ref s3, ref s4, ref s5, ref s6, ref s7, ref s8, ref s9, ref s10, ref s11);
                a += step;
                b += 2 * panel;
                ahead = Ask<TAhead>(ahead);
            }
        }
        else
        {
            for (; left >= 2; left -= 2)
            {
                Term<TLanes, TVector, TRows>(a + offsets[0], rowStride, row2, row3, row5, row6, b, 0,
                    ref s0, ref s1, ref s2, ref s3, ref s4, ref s5, ref s6, ref s7, ref s8, ref s9, ref s10, ref s11);
                Term<TLanes, TVector, TRows>(a + offsets[1], rowStride, row2, row3, row5, row6, b, panel,
                    ref s0, ref s1, ref s2, ref s3, ref s4, ref s5, ref s6, ref s7, ref s8, ref s9, ref s10, ref s11);
                offsets += 2;
                b += 2 * panel;
                ahead = Ask<TAhead>(ahead);
            }
        }

        if (TStep.Value == 0 && left > 0)
        {
            Term<TLanes, TVector, TRows>(offsets == null ? a : a + *offsets, rowStride, row2, row3, row5, row6, b, 0,
                ref s0, ref s1, ref s2, ref s3, ref s4, ref s5, ref s6, ref s7, ref s8, ref s9, ref s10, ref s11);
        }

        Write<TLanes, TVector>(c, s0);
        if (TRows.Value > 1) { Write<TLanes, TVector>(c + (1 * strideC), s1); }
        if (TRows.Value > 2) { Write<TLanes, TVector>(c + (2 * strideC), s2); }
        if (TRows.Value > 3) { Write<TLanes, TVector>(c + (3 * strideC), s3); }
        if (TRows.Value > 4) { Write<TLanes, TVector>(c + (4 * strideC), s4); }
        if (TRows.Value > 5) { Write<TLanes, TVector>(c + (5 * strideC), s5); }
        if (TRows.Value > 6) { Write<TLanes, TVector>(c + (6 * strideC), s6); }
        if (TRows.Value > 7) { Write<TLanes, TVector>(c + (7 * strideC), s7); }
        if (TRows.Value > 8) { Write<TLanes, TVector>(c + (8 * strideC), s8); }
        if (TRows.Value > 9) { Write<TLanes, TVector>(c + (9 * strideC), s9); }
        if (TRows.Value > 10) { Write<TLanes, TVector>(c + (10 * strideC), s10); }
        if (TRows.Value > 11) { Write<TLanes, TVector>(c + (11 * strideC), s11); }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Term<TLanes, TVector, TRows>(
        float* a, nint rowStride, nint row2, nint row3, nint row5, nint row6, float* b, int at,
        ref Pair<TVector> s0, ref Pair<TVector> s1, ref Pair<TVector> s2, ref Pair<TVector> s3, ref Pair<TVector> s4, ref Pair<TVector> s5,
        ref Pair<TVector> s6, ref Pair<TVector> s7, ref Pair<TVector> s8, ref Pair<TVector> s9, ref Pair<TVector> s10, ref Pair<TVector> s11)
        where TLanes : ILanes<TVector>
        where TVector : struct
        where TRows : struct, IConstant
    {
        // Through double, a multiple of eight bytes: an address that the processor forms by itself, and a register less.
        TVector left = TLanes.Load(b + at), right = TLanes.Load(b + at + TLanes.Count);
        Add<TLanes, TVector>(a, left, right, ref s0);
        if (TRows.Value > 1) { Add<TLanes, TVector>(a + rowStride, left, right, ref s1); }
        if (TRows.Value > 2) { Add<TLanes, TVector>(a + row2, left, right, ref s2); }
        if (TRows.Value > 3) { Add<TLanes, TVector>(a + row3, left, right, ref s3); }
        if (TRows.Value > 4) { Add<TLanes, TVector>((float*)((double*)a + row2), left, right, ref s4); }
        if (TRows.Value > 5) { Add<TLanes, TVector>(a + row5, left, right, ref s5); }
        float* q = a + row6;
        if (TRows.Value > 6) { Add<TLanes, TVector>(q, left, right, ref s6); }
        if (TRows.Value > 7) { Add<TLanes, TVector>(q + rowStride, left, right, ref s7); }
        if (TRows.Value > 8) { Add<TLanes, TVector>(q + row2, left, right, ref s8); }
        if (TRows.Value > 9) { Add<TLanes, TVector>(q + row3, left, right, ref s9); }
        if (TRows.Value > 10) { Add<TLanes, TVector>((float*)((double*)q + row2), left, right, ref s10); }
        if (TRows.Value > 11) { Add<TLanes, TVector>(q + row5, left, right, ref s11); }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add<TLanes, TVector>(float* a, TVector left, TVector right, ref Pair<TVector> sums)
        where TLanes : ILanes<TVector>
        where TVector : struct
    {
        TVector factor = TLanes.Broadcast(*a);
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
