using System.Runtime.CompilerServices;

namespace Conv;

/// <summary><c>y[i·strideY + j] = bias + Σ_k w[k]·x[i·strideX + offsets[k] + j]</c> for some rows of one to seven vectors of neighbours, one row
/// after another.</summary>
/// <remarks>Nine weights and seven sums are all registers that 256 bits have: those of a 3×3 kernel stay there from row to row, and an
/// operation reads its neighbours itself. With any taps, half of the instructions of a tap
/// are for the loop, its weight and its place.</remarks>
internal static unsafe class RowKernel
{
    /// <summary>The most vectors of a row.</summary>
    public const int MostVectors = 7;

    /// <summary>Any taps.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void AnyTaps<TLanes, TVector, TVectors>(
        int rows, int depth, float* weights, int* offsets, float bias, float* x, nint strideX, float* y, nint strideY)
        where TLanes : ILanes<TVector>
        where TVector : struct
        where TVectors : struct, IConstant
    {
        for (; rows > 0; rows--, x += strideX, y += strideY)
        {
            TVector s0 = TLanes.Broadcast(bias), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0;
            for (int k = 0; k < depth; k++)
            {
                Add<TLanes, TVector, TVectors>(
                    TLanes.Broadcast(weights[k]), x + offsets[k], ref s0, ref s1, ref s2, ref s3, ref s4, ref s5, ref s6);
            }

            Store<TLanes, TVector, TVectors>(y, s0, s1, s2, s3, s4, s5, s6);
        }
    }

    /// <summary>Nine taps in three rows, <c>offsets[3·u + v] = offsets[3·u] + offsets[v] − offsets[0]</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void ThreeByThree<TLanes, TVector, TVectors>(
        int rows, float* weights, int* offsets, float bias, float* x, nint strideX, float* y, nint strideY)
        where TLanes : ILanes<TVector>
        where TVector : struct
        where TVectors : struct, IConstant
    {
        TVector w0 = TLanes.Broadcast(weights[0]), w1 = TLanes.Broadcast(weights[1]), w2 = TLanes.Broadcast(weights[2]);
        TVector w3 = TLanes.Broadcast(weights[3]), w4 = TLanes.Broadcast(weights[4]), w5 = TLanes.Broadcast(weights[5]);
        TVector w6 = TLanes.Broadcast(weights[6]), w7 = TLanes.Broadcast(weights[7]), w8 = TLanes.Broadcast(weights[8]);
        nint second = offsets[1] - offsets[0], third = offsets[2] - offsets[0], down = offsets[3] - offsets[0], twiceDown = offsets[6] - offsets[0];
        x += offsets[0];
        for (; rows > 0; rows--, x += strideX, y += strideY)
        {
            TVector s0 = TLanes.Broadcast(bias), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0;
            float* p = x;
            Add<TLanes, TVector, TVectors>(w0, p, ref s0, ref s1, ref s2, ref s3, ref s4, ref s5, ref s6);
            Add<TLanes, TVector, TVectors>(w1, p + second, ref s0, ref s1, ref s2, ref s3, ref s4, ref s5, ref s6);
            Add<TLanes, TVector, TVectors>(w2, p + third, ref s0, ref s1, ref s2, ref s3, ref s4, ref s5, ref s6);
            p = x + down;
            Add<TLanes, TVector, TVectors>(w3, p, ref s0, ref s1, ref s2, ref s3, ref s4, ref s5, ref s6);
            Add<TLanes, TVector, TVectors>(w4, p + second, ref s0, ref s1, ref s2, ref s3, ref s4, ref s5, ref s6);
            Add<TLanes, TVector, TVectors>(w5, p + third, ref s0, ref s1, ref s2, ref s3, ref s4, ref s5, ref s6);
            p = x + twiceDown;
            Add<TLanes, TVector, TVectors>(w6, p, ref s0, ref s1, ref s2, ref s3, ref s4, ref s5, ref s6);
            Add<TLanes, TVector, TVectors>(w7, p + second, ref s0, ref s1, ref s2, ref s3, ref s4, ref s5, ref s6);
            Add<TLanes, TVector, TVectors>(w8, p + third, ref s0, ref s1, ref s2, ref s3, ref s4, ref s5, ref s6);
            Store<TLanes, TVector, TVectors>(y, s0, s1, s2, s3, s4, s5, s6);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add<TLanes, TVector, TVectors>(
        TVector w, float* p, ref TVector s0, ref TVector s1, ref TVector s2, ref TVector s3, ref TVector s4, ref TVector s5, ref TVector s6)
        where TLanes : ILanes<TVector>
        where TVector : struct
        where TVectors : struct, IConstant
    {
        s0 = TLanes.MultiplyAdd(s0, w, TLanes.Load(p));
        if (TVectors.Value > 1) { s1 = TLanes.MultiplyAdd(s1, w, TLanes.Load(p + TLanes.Count)); }
        if (TVectors.Value > 2) { s2 = TLanes.MultiplyAdd(s2, w, TLanes.Load(p + (2 * TLanes.Count))); }
        if (TVectors.Value > 3) { s3 = TLanes.MultiplyAdd(s3, w, TLanes.Load(p + (3 * TLanes.Count))); }
        if (TVectors.Value > 4) { s4 = TLanes.MultiplyAdd(s4, w, TLanes.Load(p + (4 * TLanes.Count))); }
        if (TVectors.Value > 5) { s5 = TLanes.MultiplyAdd(s5, w, TLanes.Load(p + (5 * TLanes.Count))); }
        if (TVectors.Value > 6) { s6 = TLanes.MultiplyAdd(s6, w, TLanes.Load(p + (6 * TLanes.Count))); }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store<TLanes, TVector, TVectors>(
        float* y, TVector s0, TVector s1, TVector s2, TVector s3, TVector s4, TVector s5, TVector s6)
        where TLanes : ILanes<TVector>
        where TVector : struct
        where TVectors : struct, IConstant
    {
        TLanes.Store(s0, y);
        if (TVectors.Value > 1) { TLanes.Store(s1, y + TLanes.Count); }
        if (TVectors.Value > 2) { TLanes.Store(s2, y + (2 * TLanes.Count)); }
        if (TVectors.Value > 3) { TLanes.Store(s3, y + (3 * TLanes.Count)); }
        if (TVectors.Value > 4) { TLanes.Store(s4, y + (4 * TLanes.Count)); }
        if (TVectors.Value > 5) { TLanes.Store(s5, y + (5 * TLanes.Count)); }
        if (TVectors.Value > 6) { TLanes.Store(s6, y + (6 * TLanes.Count)); }
    }
}
