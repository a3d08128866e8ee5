using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using static Conv.Constants;

namespace Conv;

/// <summary>The kernels for one width of vector; which one a process uses is decided once.</summary>
internal abstract unsafe class Simd
{
    /// <summary>With so few tiles to a panel of weights, or fewer, the next weights do not arrive by themselves as fast as they are used: they are
    /// asked for.</summary>
    public const int TilesThatWait = 16;

    /// <summary>One for each width, the widest first. A width that the processor lacks is emulated: the same bits, slowly.</summary>
    public static IReadOnlyList<Simd> All { get; } =
    [
        new Simd<Lanes512, Vector512<float>>(), new Simd<Lanes256, Vector256<float>>(), new Simd<Lanes128, Vector128<float>>(), new Simd<Lanes1, float>(),
    ];

    /// <summary>The widest that the processor has.</summary>
    public static Simd Best { get; } = All[
        Vector512.IsHardwareAccelerated && MultiplyAdd.IsFused ? 0
        : Vector256.IsHardwareAccelerated && MultiplyAdd.IsFused ? 1
        : Vector128.IsHardwareAccelerated ? 2
        : 3];

    /// <summary>Numbers in a vector.</summary>
    public abstract int Lanes { get; }

    /// <summary>The most rows of a register tile.</summary>
    public abstract int TileRows { get; }

    /// <summary>Columns of a register tile: two vectors.</summary>
    public int Panel => 2 * Lanes;

    /// <summary>Terms of a sum for which a panel of the right factor takes a quarter of the first-level cache: the left factor passes through
    /// it, and another program may share it.</summary>
    public int Depth => Machine.Level1 / 4 / (Panel * sizeof(float));

    /// <summary>Numbers from one packed panel to the next: a line more than they need, so that they do not share the sets of a cache.</summary>
    public nint PanelStride(int rows) => ((nint)rows * Panel) + Machine.LineFloats;

    /// <summary>As many tiles as so many rows need, their heights as equal as possible: (rows of the first ones, how many of these).</summary>
    public (int Tiles, int Rows, int Taller) Split(int rows)
    {
        int tiles = (rows + TileRows - 1) / TileRows;
        return tiles == 0 ? default : (tiles, rows / tiles, rows % tiles);
    }

    /// <summary><see cref="MicroKernel.Tile"/> with so many rows, at most <see cref="TileRows"/>; offsets null where the terms are evenly
    /// apart, ahead null where nothing is to be asked for.</summary>
    public abstract void Tile(
        int rows, int depth, float* a, nint rowStride, nint step, int* offsets, float* b, float* ahead, float* from, nint strideFrom, float* c, nint strideC);

    /// <summary>Tiles one below the other, as many as so many rows need: the whole product of <paramref name="rows"/> rows with one panel.</summary>
    /// <param name="rows">Of A and C.</param>
    /// <param name="depth">Columns of A, rows of the panel.</param>
    /// <param name="a">A, as <see cref="MicroKernel"/> reads it.</param>
    /// <param name="rowStride">From one row of A to the next.</param>
    /// <param name="step">From one column of A to the next.</param>
    /// <param name="offsets">Where the columns of A are, if they are not evenly apart.</param>
    /// <param name="b">The panel.</param>
    /// <param name="ahead">The weights that come next, or null: see <see cref="TilesThatWait"/>.</param>
    /// <param name="from">What the sums begin with.</param>
    /// <param name="strideFrom">From one row of that to the next.</param>
    /// <param name="c">The sums, row after row of a panel.</param>
    public void Tiles(int rows, int depth, float* a, nint rowStride, nint step, int* offsets, float* b, float* ahead, float* from, nint strideFrom, float* c)
    {
        (int tiles, int height, int taller) = Split(rows);
        for (int tile = 0; tile < tiles; tile++)
        {
            int rowsHere = tile < taller ? height + 1 : height;
            Tile(rowsHere, depth, a, rowStride, step, offsets, b, ahead, from, strideFrom, c, Panel);
            a += rowsHere * rowStride;
            from += rowsHere * strideFrom;
            c += (nint)rowsHere * Panel;
            ahead = ahead == null ? null : ahead + (depth / 2 * Machine.LineFloats);
        }
    }

    /// <summary>A tile of packed terms, of which the first <paramref name="columns"/> columns are read and written: whole vectors would not fit
    /// between them and the next row.</summary>
    /// <param name="columns">At most <see cref="Panel"/>.</param>
    /// <param name="rows">At most <see cref="TileRows"/>.</param>
    /// <param name="depth">Columns of A, rows of the panel.</param>
    /// <param name="a">A, row-major.</param>
    /// <param name="rowStride">From one row of A to the next.</param>
    /// <param name="b">The panel.</param>
    /// <param name="from">What the sums begin with.</param>
    /// <param name="strideFrom">From one row of that to the next.</param>
    /// <param name="c">The sums.</param>
    /// <param name="strideC">From one row of them to the next.</param>
    /// <param name="spare">Room for a tile.</param>
    public void PartialTile(int columns, int rows, int depth, float* a, nint rowStride, float* b, float* from, nint strideFrom, float* c, nint strideC, float* spare)
    {
        if (columns == Panel)
        {
            Tile(rows, depth, a, rowStride, 1, null, b, null, from, strideFrom, c, strideC);
            return;
        }

        Copy(rows, columns, from, strideFrom, spare, Panel);
        Tile(rows, depth, a, rowStride, 1, null, b, null, spare, Panel, spare, Panel);
        Copy(rows, columns, spare, Panel, c, strideC);
    }

    private static void Copy(int rows, int columns, float* from, nint strideFrom, float* to, nint strideTo)
    {
        for (int row = 0; row < rows; row++)
        {
            new ReadOnlySpan<float>(from + (row * strideFrom), columns).CopyTo(new Span<float>(to + (row * strideTo), columns));
        }
    }

    /// <summary>to[j·strideTo + i] = from[i·strideFrom + j] for i &lt; rows, j &lt; columns.</summary>
    public abstract void Transpose(int rows, int columns, float* from, nint strideFrom, float* to, nint strideTo);

    /// <summary>Rows of <paramref name="left"/> zeros, from[0], from[stride], … of which there are <paramref name="count"/>, and zeros up to
    /// <paramref name="length"/>, one after another.</summary>
    /// <remarks>Up to a vector more is written behind the last.</remarks>
    public abstract void CopyRows(int rows, float* from, nint strideFrom, nint stride, int left, int count, int length, float* to);

    /// <summary>Panels of a matrix, <see cref="PanelStride"/> apart, the last one filled up with zeros: each row is read once, from front to
    /// back.</summary>
    public abstract void Pack(int rows, int columns, float* from, nint strideFrom, float* to);

    /// <summary><see cref="RowKernel.Rows"/> of so many vectors, one to eight.</summary>
    public abstract void Rows(
        int vectors, int rows, int depth, float* weights, int* offsets, float bias, float* x, nint strideX, float* y, nint strideY);

    /// <summary><see cref="WinogradPasses.Input"/> for so many pairs of points.</summary>
    public abstract void WinogradInput(
        int pairs, float* constants, int count, float* from, nint element, nint step, float* to, nint elementTo, nint stepTo);

    /// <summary><see cref="WinogradPasses.Output"/> for so many pairs of points and outputs.</summary>
    public abstract void WinogradOutput(
        int pairs, int outputs, float* constants, float* offset, int count, float* from, nint element, nint step, float* to, nint elementTo, nint stepTo);
}

/// <inheritdoc/>
internal sealed unsafe class Simd<TLanes, TVector> : Simd
    where TLanes : ILanes<TVector>
    where TVector : struct
{
    /// <inheritdoc/>
    public override int Lanes => TLanes.Count;

    /// <inheritdoc/>
    public override int TileRows => TLanes.TileRows;

    /// <inheritdoc/>
    public override void Tile(
        int rows, int depth, float* a, nint rowStride, nint step, int* offsets, float* b, float* ahead, float* from, nint strideFrom, float* c, nint strideC)
    {
        bool asks = ahead != null && Sse.IsSupported;
        if (step == 1)
        {
            if (asks)
            {
                Tile<One, One>(rows, depth, a, rowStride, step, offsets, b, ahead, from, strideFrom, c, strideC);
            }
            else
            {
                Tile<One, Zero>(rows, depth, a, rowStride, step, offsets, b, ahead, from, strideFrom, c, strideC);
            }
        }
        else if (asks)
        {
            Tile<Zero, One>(rows, depth, a, rowStride, step, offsets, b, ahead, from, strideFrom, c, strideC);
        }
        else
        {
            Tile<Zero, Zero>(rows, depth, a, rowStride, step, offsets, b, ahead, from, strideFrom, c, strideC);
        }
    }

    private static void Tile<TStep, TAhead>(
        int rows, int depth, float* a, nint rowStride, nint step, int* offsets, float* b, float* ahead, float* from, nint strideFrom, float* c, nint strideC)
        where TStep : struct, IConstant
        where TAhead : struct, IConstant
    {
        switch (rows)
        {
            case 1: MicroKernel.Tile<TLanes, TVector, One, TStep, TAhead>(depth, a, rowStride, step, offsets, b, ahead, from, strideFrom, c, strideC); break;
            case 2: MicroKernel.Tile<TLanes, TVector, Two, TStep, TAhead>(depth, a, rowStride, step, offsets, b, ahead, from, strideFrom, c, strideC); break;
            case 3: MicroKernel.Tile<TLanes, TVector, Three, TStep, TAhead>(depth, a, rowStride, step, offsets, b, ahead, from, strideFrom, c, strideC); break;
            case 4: MicroKernel.Tile<TLanes, TVector, Four, TStep, TAhead>(depth, a, rowStride, step, offsets, b, ahead, from, strideFrom, c, strideC); break;
            case 5: MicroKernel.Tile<TLanes, TVector, Five, TStep, TAhead>(depth, a, rowStride, step, offsets, b, ahead, from, strideFrom, c, strideC); break;
            case 6: MicroKernel.Tile<TLanes, TVector, Six, TStep, TAhead>(depth, a, rowStride, step, offsets, b, ahead, from, strideFrom, c, strideC); break;
            case 7: MicroKernel.Tile<TLanes, TVector, Seven, TStep, TAhead>(depth, a, rowStride, step, offsets, b, ahead, from, strideFrom, c, strideC); break;
            case 8: MicroKernel.Tile<TLanes, TVector, Eight, TStep, TAhead>(depth, a, rowStride, step, offsets, b, ahead, from, strideFrom, c, strideC); break;
            case 9: MicroKernel.Tile<TLanes, TVector, Nine, TStep, TAhead>(depth, a, rowStride, step, offsets, b, ahead, from, strideFrom, c, strideC); break;
            case 10: MicroKernel.Tile<TLanes, TVector, Ten, TStep, TAhead>(depth, a, rowStride, step, offsets, b, ahead, from, strideFrom, c, strideC); break;
            case 11: MicroKernel.Tile<TLanes, TVector, Eleven, TStep, TAhead>(depth, a, rowStride, step, offsets, b, ahead, from, strideFrom, c, strideC); break;
            case 12: MicroKernel.Tile<TLanes, TVector, Twelve, TStep, TAhead>(depth, a, rowStride, step, offsets, b, ahead, from, strideFrom, c, strideC); break;
            default: throw new ArgumentOutOfRangeException(nameof(rows), rows, $"rows is {rows}, it must be from 1 to {TLanes.TileRows}.");
        }
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Transpose(int rows, int columns, float* from, nint strideFrom, float* to, nint strideTo)
    {
        int lanes = TLanes.Count;
        if (rows < lanes || columns < lanes)
        {
            for (int i = 0; i < rows; i++)
            {
                for (int j = 0; j < columns; j++)
                {
                    to[(j * strideTo) + i] = from[(i * strideFrom) + j];
                }
            }

            return;
        }

        // The last blocks reach back over numbers that are written already, the same again.
        for (int i = 0; i < rows; i += lanes)
        {
            int row = Math.Min(i, rows - lanes);
            for (int j = 0; j < columns; j += lanes)
            {
                int column = Math.Min(j, columns - lanes);
                TLanes.Transpose(from + (row * strideFrom) + column, strideFrom, to + (column * strideTo) + row, strideTo);
            }
        }
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void CopyRows(int rows, float* from, nint strideFrom, nint stride, int left, int count, int length, float* to)
    {
        int lanes = TLanes.Count;
        TVector zero = default;
        for (; rows > 0; rows--, from += strideFrom, to += length)
        {
            for (int at = 0; at < left; at += lanes)
            {
                TLanes.Store(zero, to + at);
            }

            float* target = to + left;
            int done = 0;
            if (stride == 1)
            {
                for (; done + lanes <= count; done += lanes)
                {
                    TLanes.Store(TLanes.Load(from + done), target + done);
                }

                if (done < count && count >= lanes)
                {
                    TLanes.Store(TLanes.Load(from + count - lanes), target + count - lanes);
                    done = count;
                }
            }
            else if (stride == 2)
            {
                // Two vectors hold one number more than is asked for.
                for (; done + lanes < count; done += lanes)
                {
                    TLanes.Store(TLanes.Even(TLanes.Load(from + (2 * done)), TLanes.Load(from + (2 * done) + lanes)), target + done);
                }
            }

            for (; done < count; done++)
            {
                target[done] = from[done * stride];
            }

            for (int at = left + count; at < length; at += lanes)
            {
                TLanes.Store(zero, to + at);
            }
        }
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Pack(int rows, int columns, float* from, nint strideFrom, float* to)
    {
        int lanes = TLanes.Count, panel = 2 * lanes;
        nint step = PanelStride(rows);
        for (; rows > 0; rows--, from += strideFrom, to += panel)
        {
            float* source = from, target = to;
            int left = columns;
            for (; left >= panel; left -= panel, source += panel, target += step)
            {
                TVector first = TLanes.Load(source), second = TLanes.Load(source + lanes);
                TLanes.Store(first, target);
                TLanes.Store(second, target + lanes);
            }

            for (int at = 0; left > 0 && at < panel; at++)
            {
                target[at] = at < left ? source[at] : 0;
            }
        }
    }

    /// <inheritdoc/>
    public override void Rows(
        int vectors, int rows, int depth, float* weights, int* offsets, float bias, float* x, nint strideX, float* y, nint strideY)
    {
        switch (vectors)
        {
            case 1: RowKernel.Rows<TLanes, TVector, One>(rows, depth, weights, offsets, bias, x, strideX, y, strideY); break;
            case 2: RowKernel.Rows<TLanes, TVector, Two>(rows, depth, weights, offsets, bias, x, strideX, y, strideY); break;
            case 3: RowKernel.Rows<TLanes, TVector, Three>(rows, depth, weights, offsets, bias, x, strideX, y, strideY); break;
            case 4: RowKernel.Rows<TLanes, TVector, Four>(rows, depth, weights, offsets, bias, x, strideX, y, strideY); break;
            case 5: RowKernel.Rows<TLanes, TVector, Five>(rows, depth, weights, offsets, bias, x, strideX, y, strideY); break;
            case 6: RowKernel.Rows<TLanes, TVector, Six>(rows, depth, weights, offsets, bias, x, strideX, y, strideY); break;
            case 7: RowKernel.Rows<TLanes, TVector, Seven>(rows, depth, weights, offsets, bias, x, strideX, y, strideY); break;
            case 8: RowKernel.Rows<TLanes, TVector, Eight>(rows, depth, weights, offsets, bias, x, strideX, y, strideY); break;
            default: throw new ArgumentOutOfRangeException(nameof(vectors), vectors, $"vectors is {vectors}, it must be from 1 to 8.");
        }
    }

    /// <inheritdoc/>
    public override void WinogradInput(
        int pairs, float* constants, int count, float* from, nint element, nint step, float* to, nint elementTo, nint stepTo)
    {
        switch (pairs)
        {
            case 1: WinogradPasses.Input<TLanes, TVector, One>(constants, count, from, element, step, to, elementTo, stepTo); break;
            case 2: WinogradPasses.Input<TLanes, TVector, Two>(constants, count, from, element, step, to, elementTo, stepTo); break;
            default: WinogradPasses.Input<TLanes, TVector, Three>(constants, count, from, element, step, to, elementTo, stepTo); break;
        }
    }

    /// <inheritdoc/>
    public override void WinogradOutput(
        int pairs, int outputs, float* constants, float* offset, int count, float* from, nint element, nint step, float* to, nint elementTo, nint stepTo)
    {
        switch (pairs, outputs)
        {
            case (1, 2): WinogradPasses.Output<TLanes, TVector, One, Two>(constants, offset, count, from, element, step, to, elementTo, stepTo); break;
            case (2, 4): WinogradPasses.Output<TLanes, TVector, Two, Four>(constants, offset, count, from, element, step, to, elementTo, stepTo); break;
            case (3, 4): WinogradPasses.Output<TLanes, TVector, Three, Four>(constants, offset, count, from, element, step, to, elementTo, stepTo); break;
            case (3, 6): WinogradPasses.Output<TLanes, TVector, Three, Six>(constants, offset, count, from, element, step, to, elementTo, stepTo); break;
            default: throw new ArgumentOutOfRangeException(nameof(outputs), outputs, $"There is no transform for {pairs} pairs and {outputs} outputs.");
        }
    }
}
