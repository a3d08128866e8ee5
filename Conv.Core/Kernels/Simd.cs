using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using static Conv.Constants;
using static Conv.Walks;

namespace Conv;

/// <summary>The kernels for one width of vector; which one a process uses is decided once.</summary>
internal abstract unsafe class Simd
{
    /// <summary>With so few tiles to a panel of weights, or fewer, the next weights do not arrive by themselves as fast as they are used: they are
    /// asked for.</summary>
    public const int TilesThatWait = 16;

    /// <summary>The largest <see cref="Panel"/> of all widths.</summary>
    public const int WidestPanel = 32;

    /// <summary>Rows that <see cref="Pack"/> asks for ahead.</summary>
    protected const int RowsAhead = 8;

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

    /// <summary>The tiles of a run, all of so many rows, at most <see cref="TileRows"/>.</summary>
    /// <exception cref="ArgumentException">There is no table, and neither the rows of A stand side by side nor its columns.</exception>
    public abstract void TilesOf(int height, ref TileRun run);

    /// <summary>Tiles one below the other, as many as so many rows need: the product of <paramref name="rows"/> rows with one panel. What a run
    /// says of its tiles is set here.</summary>
    public void Tiles(int rows, ref TileRun run)
    {
        (int tiles, int height, int taller) = Split(rows);
        run.TileB = 0;
        Below(height + 1, taller, ref run);
        Below(height, tiles - taller, ref run);
    }

    /// <summary>Copies what <see cref="Tiles"/> of so many rows read, tile after tile, within a tile term after term: where terms are far apart, and
    /// read again and again, they would share the sets of a cache.</summary>
    /// <param name="rows">Of A, which stand side by side.</param>
    /// <param name="depth">Columns of A.</param>
    /// <param name="a">A.</param>
    /// <param name="step">From one column of A to the next, at least <paramref name="rows"/>.</param>
    /// <param name="to">Room for all, and a vector more.</param>
    public abstract void PackTiles(int rows, int depth, float* a, nint step, float* to);

    /// <summary>One tile of which the first columns are read and written: whole vectors would not fit between them and the next row.</summary>
    /// <param name="columns">At most <see cref="Panel"/>.</param>
    /// <param name="height">At most <see cref="TileRows"/>.</param>
    /// <param name="run">Where it is.</param>
    /// <param name="spare">Room for a tile.</param>
    public void PartialTile(int columns, int height, TileRun run, float* spare)
    {
        float* c = run.C;
        nint strideC = run.StrideC;
        Copy(height, columns, run.From, run.StrideFrom, spare, Panel);
        run.Tiles = 1;
        run.From = run.C = spare;
        run.StrideFrom = run.StrideC = Panel;
        TilesOf(height, ref run);
        Copy(height, columns, spare, Panel, c, strideC);
    }

    private void Below(int height, int tiles, ref TileRun run)
    {
        if (tiles > 0)
        {
            run.Tiles = tiles;
            run.TileA = height * (run.IsPacked ? run.Depth : run.RowStride);
            run.TileFrom = height * run.StrideFrom;
            run.TileC = height * run.StrideC;
            TilesOf(height, ref run);
        }
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

    /// <summary><see cref="RowKernel"/> of so many vectors.</summary>
    /// <param name="threeByThree">Whether the taps are those of <see cref="RowKernel.ThreeByThree"/>.</param>
    /// <param name="vectors">1 to <see cref="RowKernel.MostVectors"/>.</param>
    /// <param name="rows">How many rows.</param>
    /// <param name="depth">Taps.</param>
    /// <param name="weights">One for each tap.</param>
    /// <param name="offsets">What each tap sees, from x on.</param>
    /// <param name="bias">What the sums begin with.</param>
    /// <param name="x">The input.</param>
    /// <param name="strideX">From what one row sees to the next.</param>
    /// <param name="y">The output.</param>
    /// <param name="strideY">From one row to the next.</param>
    public abstract void Rows(
        bool threeByThree, int vectors, int rows, int depth, float* weights, int* offsets, float bias, float* x, nint strideX, float* y, nint strideY);

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
    public override void TilesOf(int height, ref TileRun run)
    {
        if (run.IsPacked)
        {
            Walk<Packed>(height, ref run);
        }
        else if (run.Offsets == null)
        {
            if (run.Step == 1)
            {
                Walk<Along>(height, ref run);
            }
            else if (run.RowStride == 1)
            {
                Walk<Across>(height, ref run);
            }
            else
            {
                throw new ArgumentException($"Rows of A are {run.RowStride} apart and its columns {run.Step}; one of them must be 1.", nameof(run));
            }
        }
        else if (run.RowStride == 1)
        {
            Table<One>(height, ref run);
        }
        else if (run.RowStride == 2)
        {
            Table<Two>(height, ref run);
        }
        else
        {
            Table<Zero>(height, ref run);
        }
    }

    private static void Table<TRow>(int height, ref TileRun run)
        where TRow : struct, IConstant
    {
        switch (run.Side)
        {
            case 3: Walk<Taps<TRow, Three>>(height, ref run); break;
            case 5: Walk<Taps<TRow, Five>>(height, ref run); break;
            case 7: Walk<Taps<TRow, Seven>>(height, ref run); break;
            default: Walk<Taps<TRow, One>>(height, ref run); break;
        }
    }

    private static void Walk<TWalk>(int height, ref TileRun run)
        where TWalk : struct, IWalk
    {
        if (run.Ahead != null && Sse.IsSupported)
        {
            Tiles<TWalk, One>(height, ref run);
        }
        else
        {
            Tiles<TWalk, Zero>(height, ref run);
        }
    }

    private static void Tiles<TWalk, TAhead>(int height, ref TileRun run)
        where TWalk : struct, IWalk
        where TAhead : struct, IConstant
    {
        switch (height)
        {
            case 1: MicroKernel.Tiles<TLanes, TVector, One, TWalk, TAhead>(ref run); break;
            case 2: MicroKernel.Tiles<TLanes, TVector, Two, TWalk, TAhead>(ref run); break;
            case 3: MicroKernel.Tiles<TLanes, TVector, Three, TWalk, TAhead>(ref run); break;
            case 4: MicroKernel.Tiles<TLanes, TVector, Four, TWalk, TAhead>(ref run); break;
            case 5: MicroKernel.Tiles<TLanes, TVector, Five, TWalk, TAhead>(ref run); break;
            case 6: MicroKernel.Tiles<TLanes, TVector, Six, TWalk, TAhead>(ref run); break;
            case 7: MicroKernel.Tiles<TLanes, TVector, Seven, TWalk, TAhead>(ref run); break;
            case 8: MicroKernel.Tiles<TLanes, TVector, Eight, TWalk, TAhead>(ref run); break;
            case 9: MicroKernel.Tiles<TLanes, TVector, Nine, TWalk, TAhead>(ref run); break;
            case 10: MicroKernel.Tiles<TLanes, TVector, Ten, TWalk, TAhead>(ref run); break;
            case 11: MicroKernel.Tiles<TLanes, TVector, Eleven, TWalk, TAhead>(ref run); break;
            case 12: MicroKernel.Tiles<TLanes, TVector, Twelve, TWalk, TAhead>(ref run); break;
            default: throw new ArgumentOutOfRangeException(nameof(height), height, $"height is {height}, it must be from 1 to {TLanes.TileRows}.");
        }
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void PackTiles(int rows, int depth, float* a, nint step, float* to)
    {
        int lanes = TLanes.Count;
        (int tiles, int height, int taller) = Split(rows);
        for (int tile = 0; tile < tiles; tile++)
        {
            int heightHere = tile < taller ? height + 1 : height;
            float* from = a;

            // Vectors write too much, which the next term writes over, and read too much, where there is something to read.
            nint reach = ((depth - 1) * step) + rows - ((heightHere + lanes - 1) / lanes * lanes);
            int vectors = reach < 0 ? 0 : (int)Math.Min(depth, (reach / step) + 1);
            for (int term = 0; term < depth; term++, from += step, to += heightHere)
            {
                int at = 0;
                for (; term < vectors && at < heightHere; at += lanes)
                {
                    TLanes.Store(TLanes.Load(from + at), to + at);
                }

                for (; at < heightHere; at++)
                {
                    to[at] = from[at];
                }
            }

            a += heightHere;
            rows -= heightHere;
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
            Machine.Ask(rows > RowsAhead ? 1 : 0, columns, from + (RowsAhead * strideFrom), 0);
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
        bool threeByThree, int vectors, int rows, int depth, float* weights, int* offsets, float bias, float* x, nint strideX, float* y, nint strideY)
    {
        switch (vectors)
        {
            case 1: Rows<One>(threeByThree, rows, depth, weights, offsets, bias, x, strideX, y, strideY); break;
            case 2: Rows<Two>(threeByThree, rows, depth, weights, offsets, bias, x, strideX, y, strideY); break;
            case 3: Rows<Three>(threeByThree, rows, depth, weights, offsets, bias, x, strideX, y, strideY); break;
            case 4: Rows<Four>(threeByThree, rows, depth, weights, offsets, bias, x, strideX, y, strideY); break;
            case 5: Rows<Five>(threeByThree, rows, depth, weights, offsets, bias, x, strideX, y, strideY); break;
            case 6: Rows<Six>(threeByThree, rows, depth, weights, offsets, bias, x, strideX, y, strideY); break;
            case 7: Rows<Seven>(threeByThree, rows, depth, weights, offsets, bias, x, strideX, y, strideY); break;
            default: throw new ArgumentOutOfRangeException(nameof(vectors), vectors, $"vectors is {vectors}, it must be from 1 to {RowKernel.MostVectors}.");
        }
    }

    private static void Rows<TVectors>(
        bool threeByThree, int rows, int depth, float* weights, int* offsets, float bias, float* x, nint strideX, float* y, nint strideY)
        where TVectors : struct, IConstant
    {
        if (threeByThree)
        {
            RowKernel.ThreeByThree<TLanes, TVector, TVectors>(rows, weights, offsets, bias, x, strideX, y, strideY);
        }
        else
        {
            RowKernel.AnyTaps<TLanes, TVector, TVectors>(rows, depth, weights, offsets, bias, x, strideX, y, strideY);
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
