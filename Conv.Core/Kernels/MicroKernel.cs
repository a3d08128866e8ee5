using System.Runtime.CompilerServices;

namespace Conv;

/// <summary>
/// <c>C[r, j] = F[r, j] + Σ_k A[r, k]·B[k, j]</c> for a tile of up to twelve rows and two vectors of columns that stays in registers, the terms
/// in the order of k.
/// </summary>
/// <remarks>
/// <para>A[r, k] stands at <c>a + offsets[k] + r·rowStride</c>: packed panels, the rows of a matrix, pixels of an image seen through
/// any tap are all of this form. B[k, ·] stands at <c>b + k·strideB</c>; F may be C itself, or one row of biases (a stride of 0).</para>
/// <para>One source for every width and height: what a constant rules out is not compiled.</para>
/// </remarks>
internal static unsafe class MicroKernel
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Tile<TLanes, TVector, TRows>(
        int depth, float* a, nint rowStride, int* offsets, float* b, nint strideB, float* from, nint strideFrom, float* c, nint strideC)
        where TLanes : ILanes<TVector>
        where TVector : struct
        where TRows : struct, IConstant
    {
        TVector l0 = default, l1 = default, l2 = default, l3 = default, l4 = default, l5 = default;
        TVector r0 = default, r1 = default, r2 = default, r3 = default, r4 = default, r5 = default;
        TVector l6 = default, l7 = default, l8 = default, l9 = default, l10 = default, l11 = default;
        TVector r6 = default, r7 = default, r8 = default, r9 = default, r10 = default, r11 = default;
        Read<TLanes, TVector>(from, ref l0, ref r0);
        if (TRows.Value > 1) { Read<TLanes, TVector>(from + (1 * strideFrom), ref l1, ref r1); }
        if (TRows.Value > 2) { Read<TLanes, TVector>(from + (2 * strideFrom), ref l2, ref r2); }
        if (TRows.Value > 3) { Read<TLanes, TVector>(from + (3 * strideFrom), ref l3, ref r3); }
        if (TRows.Value > 4) { Read<TLanes, TVector>(from + (4 * strideFrom), ref l4, ref r4); }
        if (TRows.Value > 5) { Read<TLanes, TVector>(from + (5 * strideFrom), ref l5, ref r5); }
        if (TRows.Value > 6) { Read<TLanes, TVector>(from + (6 * strideFrom), ref l6, ref r6); }
        if (TRows.Value > 7) { Read<TLanes, TVector>(from + (7 * strideFrom), ref l7, ref r7); }
        if (TRows.Value > 8) { Read<TLanes, TVector>(from + (8 * strideFrom), ref l8, ref r8); }
        if (TRows.Value > 9) { Read<TLanes, TVector>(from + (9 * strideFrom), ref l9, ref r9); }
        if (TRows.Value > 10) { Read<TLanes, TVector>(from + (10 * strideFrom), ref l10, ref r10); }
        if (TRows.Value > 11) { Read<TLanes, TVector>(from + (11 * strideFrom), ref l11, ref r11); }

        nint row2 = 2 * rowStride, row3 = 3 * rowStride, row4 = 4 * rowStride, row5 = 5 * rowStride, row6 = 6 * rowStride;
        for (int* end = offsets + depth; offsets < end; offsets++)
        {
            float* p = a + *offsets;
            TVector left = TLanes.Load(b), right = TLanes.Load(b + TLanes.Count);
            b += strideB;
            { TVector x = TLanes.Broadcast(*p); l0 = TLanes.MultiplyAdd(l0, x, left); r0 = TLanes.MultiplyAdd(r0, x, right); }
            if (TRows.Value > 1) { TVector x = TLanes.Broadcast(p[rowStride]); l1 = TLanes.MultiplyAdd(l1, x, left); r1 = TLanes.MultiplyAdd(r1, x, right); }
            if (TRows.Value > 2) { TVector x = TLanes.Broadcast(p[row2]); l2 = TLanes.MultiplyAdd(l2, x, left); r2 = TLanes.MultiplyAdd(r2, x, right); }
            if (TRows.Value > 3) { TVector x = TLanes.Broadcast(p[row3]); l3 = TLanes.MultiplyAdd(l3, x, left); r3 = TLanes.MultiplyAdd(r3, x, right); }
            if (TRows.Value > 4) { TVector x = TLanes.Broadcast(p[row4]); l4 = TLanes.MultiplyAdd(l4, x, left); r4 = TLanes.MultiplyAdd(r4, x, right); }
            if (TRows.Value > 5) { TVector x = TLanes.Broadcast(p[row5]); l5 = TLanes.MultiplyAdd(l5, x, left); r5 = TLanes.MultiplyAdd(r5, x, right); }
            float* q = p + row6;
            if (TRows.Value > 6) { TVector x = TLanes.Broadcast(*q); l6 = TLanes.MultiplyAdd(l6, x, left); r6 = TLanes.MultiplyAdd(r6, x, right); }
            if (TRows.Value > 7) { TVector x = TLanes.Broadcast(q[rowStride]); l7 = TLanes.MultiplyAdd(l7, x, left); r7 = TLanes.MultiplyAdd(r7, x, right); }
            if (TRows.Value > 8) { TVector x = TLanes.Broadcast(q[row2]); l8 = TLanes.MultiplyAdd(l8, x, left); r8 = TLanes.MultiplyAdd(r8, x, right); }
            if (TRows.Value > 9) { TVector x = TLanes.Broadcast(q[row3]); l9 = TLanes.MultiplyAdd(l9, x, left); r9 = TLanes.MultiplyAdd(r9, x, right); }
            if (TRows.Value > 10) { TVector x = TLanes.Broadcast(q[row4]); l10 = TLanes.MultiplyAdd(l10, x, left); r10 = TLanes.MultiplyAdd(r10, x, right); }
            if (TRows.Value > 11) { TVector x = TLanes.Broadcast(q[row5]); l11 = TLanes.MultiplyAdd(l11, x, left); r11 = TLanes.MultiplyAdd(r11, x, right); }
        }

        Write<TLanes, TVector>(c, l0, r0);
        if (TRows.Value > 1) { Write<TLanes, TVector>(c + (1 * strideC), l1, r1); }
        if (TRows.Value > 2) { Write<TLanes, TVector>(c + (2 * strideC), l2, r2); }
        if (TRows.Value > 3) { Write<TLanes, TVector>(c + (3 * strideC), l3, r3); }
        if (TRows.Value > 4) { Write<TLanes, TVector>(c + (4 * strideC), l4, r4); }
        if (TRows.Value > 5) { Write<TLanes, TVector>(c + (5 * strideC), l5, r5); }
        if (TRows.Value > 6) { Write<TLanes, TVector>(c + (6 * strideC), l6, r6); }
        if (TRows.Value > 7) { Write<TLanes, TVector>(c + (7 * strideC), l7, r7); }
        if (TRows.Value > 8) { Write<TLanes, TVector>(c + (8 * strideC), l8, r8); }
        if (TRows.Value > 9) { Write<TLanes, TVector>(c + (9 * strideC), l9, r9); }
        if (TRows.Value > 10) { Write<TLanes, TVector>(c + (10 * strideC), l10, r10); }
        if (TRows.Value > 11) { Write<TLanes, TVector>(c + (11 * strideC), l11, r11); }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Read<TLanes, TVector>(float* c, ref TVector left, ref TVector right)
        where TLanes : ILanes<TVector>
        where TVector : struct
    {
        left = TLanes.Load(c);
        right = TLanes.Load(c + TLanes.Count);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Write<TLanes, TVector>(float* c, TVector left, TVector right)
        where TLanes : ILanes<TVector>
        where TVector : struct
    {
        TLanes.Store(left, c);
        TLanes.Store(right, c + TLanes.Count);
    }
}
