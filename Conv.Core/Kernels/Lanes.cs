using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Conv;

/// <summary>What a kernel asks of a vector: the one place where its width and the processor's instructions are named.</summary>
/// <typeparam name="TVector">The vector.</typeparam>
internal unsafe interface ILanes<TVector>
    where TVector : struct
{
    /// <summary>Numbers in a vector.</summary>
    static abstract int Count { get; }

    /// <summary>Rows of a register tile of two vectors across that leave room for its operands.</summary>
    static abstract int TileRows { get; }

    /// <summary>Reads <see cref="Count"/> numbers, at any address.</summary>
    static abstract TVector Load(float* from);

    /// <summary>Writes <see cref="Count"/> numbers, to any address.</summary>
    static abstract void Store(TVector vector, float* to);

    /// <summary>One number in every lane.</summary>
    static abstract TVector Broadcast(float value);

    /// <summary>x + y, lane by lane.</summary>
    static abstract TVector Add(TVector x, TVector y);

    /// <summary>x − y, lane by lane.</summary>
    static abstract TVector Subtract(TVector x, TVector y);

    /// <summary>x·y, lane by lane.</summary>
    static abstract TVector Multiply(TVector x, TVector y);

    /// <summary>sum + x·y, lane by lane, as <see cref="MultiplyAdd"/> does it.</summary>
    static abstract TVector MultiplyAdd(TVector sum, TVector x, TVector y);

    /// <summary>sum − x·y, lane by lane, rounded as often as <see cref="MultiplyAdd"/>.</summary>
    static abstract TVector MultiplySubtract(TVector sum, TVector x, TVector y);

    /// <summary>The numbers at even places of two vectors on end.</summary>
    static abstract TVector Even(TVector low, TVector high);

    /// <summary>to[j·strideTo + i] = from[i·strideFrom + j] for i, j below <see cref="Count"/>.</summary>
    static abstract void Transpose(float* from, nint strideFrom, float* to, nint strideTo);
}

/// <summary>512 bits, fused.</summary>
internal readonly unsafe struct Lanes512 : ILanes<Vector512<float>>
{
    public static int Count => 16;

    public static int TileRows => 12;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Load(float* from) => Vector512.Load(from);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector512<float> vector, float* to) => vector.Store(to);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Broadcast(float value) => Vector512.Create(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Add(Vector512<float> x, Vector512<float> y) => x + y;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Subtract(Vector512<float> x, Vector512<float> y) => x - y;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Multiply(Vector512<float> x, Vector512<float> y) => x * y;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> MultiplyAdd(Vector512<float> sum, Vector512<float> x, Vector512<float> y) =>
        Vector512.FusedMultiplyAdd(x, y, sum);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> MultiplySubtract(Vector512<float> sum, Vector512<float> x, Vector512<float> y) =>
        Vector512.FusedMultiplyAdd(-x, y, sum);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Even(Vector512<float> low, Vector512<float> high) => Vector512.Create(
        Lanes256.Even(low.GetLower(), low.GetUpper()), Lanes256.Even(high.GetLower(), high.GetUpper()));

    // Four blocks of 8×8.
    public static void Transpose(float* from, nint strideFrom, float* to, nint strideTo)
    {
        Lanes256.Transpose(from, strideFrom, to, strideTo);
        Lanes256.Transpose(from + 8, strideFrom, to + (8 * strideTo), strideTo);
        Lanes256.Transpose(from + (8 * strideFrom), strideFrom, to + 8, strideTo);
        Lanes256.Transpose(from + (8 * strideFrom) + 8, strideFrom, to + (8 * strideTo) + 8, strideTo);
    }
}

/// <summary>256 bits, fused: a choice at run time within an operation would cost the kernels a move for each.</summary>
internal readonly unsafe struct Lanes256 : ILanes<Vector256<float>>
{
    public static int Count => 8;

    public static int TileRows => 6;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load(float* from) => Vector256.Load(from);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector256<float> vector, float* to) => vector.Store(to);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Broadcast(float value) => Vector256.Create(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Add(Vector256<float> x, Vector256<float> y) => x + y;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Subtract(Vector256<float> x, Vector256<float> y) => x - y;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Multiply(Vector256<float> x, Vector256<float> y) => x * y;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> MultiplyAdd(Vector256<float> sum, Vector256<float> x, Vector256<float> y) =>
        Vector256.FusedMultiplyAdd(x, y, sum);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> MultiplySubtract(Vector256<float> sum, Vector256<float> x, Vector256<float> y) =>
        Vector256.FusedMultiplyAdd(-x, y, sum);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Even(Vector256<float> low, Vector256<float> high)
    {
        if (Avx2.IsSupported)
        {
            // 0 2 8 10 | 4 6 12 14, then the middle pairs change places.
            Vector256<double> pairs = Avx.Shuffle(low, high, 0b10_00_10_00).AsDouble();
            return Avx2.Permute4x64(pairs, 0b11_01_10_00).AsSingle();
        }

        return Vector256.Create(Lanes128.Even(low.GetLower(), low.GetUpper()), Lanes128.Even(high.GetLower(), high.GetUpper()));
    }

    public static void Transpose(float* from, nint strideFrom, float* to, nint strideTo)
    {
        if (!Avx.IsSupported)
        {
            Lanes128.Transpose(from, strideFrom, to, strideTo);
            Lanes128.Transpose(from + 4, strideFrom, to + (4 * strideTo), strideTo);
            Lanes128.Transpose(from + (4 * strideFrom), strideFrom, to + 4, strideTo);
            Lanes128.Transpose(from + (4 * strideFrom) + 4, strideFrom, to + (4 * strideTo) + 4, strideTo);
            return;
        }

        // Rows 0 to 3 beside rows 4 to 7, so that four 4×4 transpositions within 128 bits are all that is left.
        float* lower = from + (4 * strideFrom);
        for (int half = 0; half < 2; half++)
        {
            Vector256<float> row0 = Vector256.Create(Vector128.Load(from), Vector128.Load(lower));
            Vector256<float> row1 = Vector256.Create(Vector128.Load(from + strideFrom), Vector128.Load(lower + strideFrom));
            Vector256<float> row2 = Vector256.Create(Vector128.Load(from + (2 * strideFrom)), Vector128.Load(lower + (2 * strideFrom)));
            Vector256<float> row3 = Vector256.Create(Vector128.Load(from + (3 * strideFrom)), Vector128.Load(lower + (3 * strideFrom)));
            Vector256<double> low01 = Avx.UnpackLow(row0, row1).AsDouble();
            Vector256<double> high01 = Avx.UnpackHigh(row0, row1).AsDouble();
            Vector256<double> low23 = Avx.UnpackLow(row2, row3).AsDouble();
            Vector256<double> high23 = Avx.UnpackHigh(row2, row3).AsDouble();
            Avx.UnpackLow(low01, low23).AsSingle().Store(to);
            Avx.UnpackHigh(low01, low23).AsSingle().Store(to + strideTo);
            Avx.UnpackLow(high01, high23).AsSingle().Store(to + (2 * strideTo));
            Avx.UnpackHigh(high01, high23).AsSingle().Store(to + (3 * strideTo));
            from += 4;
            lower += 4;
            to += 4 * strideTo;
        }
    }
}

/// <summary>128 bits, by operations that every processor has.</summary>
internal readonly unsafe struct Lanes128 : ILanes<Vector128<float>>
{
    public static int Count => 4;

    public static int TileRows => 6;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Load(float* from) => Vector128.Load(from);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector128<float> vector, float* to) => vector.Store(to);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Broadcast(float value) => Vector128.Create(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Add(Vector128<float> x, Vector128<float> y) => x + y;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Subtract(Vector128<float> x, Vector128<float> y) => x - y;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Multiply(Vector128<float> x, Vector128<float> y) => x * y;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> MultiplyAdd(Vector128<float> sum, Vector128<float> x, Vector128<float> y) =>
        Conv.MultiplyAdd.IsFused ? Vector128.FusedMultiplyAdd(x, y, sum) : sum + (x * y);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> MultiplySubtract(Vector128<float> sum, Vector128<float> x, Vector128<float> y) =>
        Conv.MultiplyAdd.IsFused ? Vector128.FusedMultiplyAdd(-x, y, sum) : sum - (x * y);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Even(Vector128<float> low, Vector128<float> high) => Sse.IsSupported
        ? Sse.Shuffle(low, high, 0b10_00_10_00)
        : Vector128.Create(low[0], low[2], high[0], high[2]);

    public static void Transpose(float* from, nint strideFrom, float* to, nint strideTo)
    {
        for (int i = 0; i < 4; i++)
        {
            for (int j = 0; j < 4; j++)
            {
                to[(j * strideTo) + i] = from[(i * strideFrom) + j];
            }
        }
    }
}

/// <summary>One number at a time, where there are no vectors.</summary>
internal readonly unsafe struct Lanes1 : ILanes<float>
{
    public static int Count => 1;

    public static int TileRows => 6;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Load(float* from) => *from;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(float vector, float* to) => *to = vector;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Broadcast(float value) => value;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Add(float x, float y) => x + y;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Subtract(float x, float y) => x - y;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Multiply(float x, float y) => x * y;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float MultiplyAdd(float sum, float x, float y) => Conv.MultiplyAdd.Of(sum, x, y);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float MultiplySubtract(float sum, float x, float y) => Conv.MultiplyAdd.Of(sum, -x, y);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Even(float low, float high) => low;

    public static void Transpose(float* from, nint strideFrom, float* to, nint strideTo) => *to = *from;
}
