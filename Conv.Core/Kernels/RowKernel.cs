using System.Runtime.CompilerServices;

namespace Conv;

/// <summary><c>y[i·strideY + j] = bias + Σ_k w[k]·x[i·strideX + offsets[k] + j]</c> for some rows of one to eight vectors of neighbours, one row
/// after another.</summary>
internal static unsafe class RowKernel
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Rows<TLanes, TVector, TVectors>(
        int rows, int depth, float* weights, int* offsets, float bias, float* x, nint strideX, float* y, nint strideY)
        where TLanes : ILanes<TVector>
        where TVector : struct
        where TVectors : struct, IConstant
    {
        for (; rows > 0; rows--, x += strideX, y += strideY)
        {
            TVector s0 = TLanes.Broadcast(bias), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
            for (int k = 0; k < depth; k++)
            {
                TVector w = TLanes.Broadcast(weights[k]);
                float* p = x + offsets[k];
                s0 = TLanes.MultiplyAdd(s0, w, TLanes.Load(p));
                if (TVectors.Value > 1) { s1 = TLanes.MultiplyAdd(s1, w, TLanes.Load(p + TLanes.Count)); }
                if (TVectors.Value > 2) { s2 = TLanes.MultiplyAdd(s2, w, TLanes.Load(p + (2 * TLanes.Count))); }
                if (TVectors.Value > 3) { s3 = TLanes.MultiplyAdd(s3, w, TLanes.Load(p + (3 * TLanes.Count))); }
                if (TVectors.Value > 4) { s4 = TLanes.MultiplyAdd(s4, w, TLanes.Load(p + (4 * TLanes.Count))); }
                if (TVectors.Value > 5) { s5 = TLanes.MultiplyAdd(s5, w, TLanes.Load(p + (5 * TLanes.Count))); }
                if (TVectors.Value > 6) { s6 = TLanes.MultiplyAdd(s6, w, TLanes.Load(p + (6 * TLanes.Count))); }
                if (TVectors.Value > 7) { s7 = TLanes.MultiplyAdd(s7, w, TLanes.Load(p + (7 * TLanes.Count))); }
            }

            TLanes.Store(s0, y);
            if (TVectors.Value > 1) { TLanes.Store(s1, y + TLanes.Count); }
            if (TVectors.Value > 2) { TLanes.Store(s2, y + (2 * TLanes.Count)); }
            if (TVectors.Value > 3) { TLanes.Store(s3, y + (3 * TLanes.Count)); }
            if (TVectors.Value > 4) { TLanes.Store(s4, y + (4 * TLanes.Count)); }
            if (TVectors.Value > 5) { TLanes.Store(s5, y + (5 * TLanes.Count)); }
            if (TVectors.Value > 6) { TLanes.Store(s6, y + (6 * TLanes.Count)); }
            if (TVectors.Value > 7) { TLanes.Store(s7, y + (7 * TLanes.Count)); }
        }
    }
}
