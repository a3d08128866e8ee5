namespace Conv;

/// <summary>The matrix product on float32, rows, columns and depth of any size, zero included.</summary>
internal static unsafe class Gemm
{
    private const int ColumnsAtOnce = 256;

    // Below so many multiply-adds, waking another thread costs more than it brings.
    private const long WorthSharing = 1_000_000;

    /// <summary><c>C[i,j] = bias[i] + Σ_k A[i,k]·B[k,j]</c>, the terms added in the order of k by <see cref="MultiplyAdd"/>.</summary>
    /// <param name="rows">Rows of A and C.</param>
    /// <param name="columns">Columns of B and C.</param>
    /// <param name="depth">Columns of A, rows of B.</param>
    /// <param name="a">A, row-major.</param>
    /// <param name="strideA">Elements from one row of A to the next.</param>
    /// <param name="b">B, row-major.</param>
    /// <param name="strideB">Elements from one row of B to the next.</param>
    /// <param name="bias">One number for each row, or empty for zeros.</param>
    /// <param name="c">C, row-major; what it held does not matter, and what lies between its rows is left alone.</param>
    /// <param name="strideC">Elements from one row of C to the next.</param>
    /// <remarks>|ĉ − c| ≤ γ_{depth+1}·(Σ|a||b| + |bias|) + (depth+1)·2⁻¹⁴⁹: docs/bounds.md, lemma 2.</remarks>
    public static void Multiply(
        int rows, int columns, int depth,
        ReadOnlySpan<float> a, int strideA, ReadOnlySpan<float> b, int strideB, ReadOnlySpan<float> bias, Span<float> c, int strideC)
    {
        for (int row = 0; row < rows; row++)
        {
            c.Slice(row * strideC, columns).Fill(bias.IsEmpty ? 0 : bias[row]);
        }

        Add(rows, columns, depth, a, strideA, b, strideB, c, strideC);
    }

    /// <summary><c>C[i,j] += Σ_k A[i,k]·B[k,j]</c>, the terms added to C in the order of k. Parameters as those of <see cref="Multiply"/>,
    /// and how many threads may work on it: the result does not depend on that.</summary>
    public static void Add(
        int rows, int columns, int depth,
        ReadOnlySpan<float> a, int strideA, ReadOnlySpan<float> b, int strideB, Span<float> c, int strideC, int threads = 1)
    {
        if (rows == 0 || columns == 0 || depth == 0)
        {
            return;
        }

        // The pointers below stay inside these.
        _ = a[((rows - 1) * strideA) + depth - 1];
        _ = b[((depth - 1) * strideB) + columns - 1];
        _ = c[((rows - 1) * strideC) + columns - 1];

        Simd simd = Simd.Best;
        int depthAtOnce = Cut.Even(depth, 2 * simd.Depth), columnsAtOnce = Math.Min(ColumnsAtOnce, (columns + simd.Panel - 1) / simd.Panel * simd.Panel);
        int members = (long)rows * columns * depth < WorthSharing ? 1 : Math.Min(threads, ThreadTeam.Size);
        int rowsAtOnce = Math.Min(rows, RowsInCache(simd, depthAtOnce));
        int ownFloats = (columnsAtOnce / simd.Panel * (int)simd.PanelStride(depthAtOnce)) + (rowsAtOnce * (depthAtOnce + Machine.LineFloats)) + simd.Lanes;
        using Rented packed = new(members * ownFloats);
        fixed (float* pinnedA = a, pinnedB = b, pinnedC = c, own = packed.Span)
        {
            Call call = new()
            {
                Rows = rows,
                Columns = columns,
                Depth = depth,
                DepthAtOnce = depthAtOnce,
                ColumnsAtOnce = columnsAtOnce,
                RowsAtOnce = members == 1 ? rows : Math.Min(rows, 2 * ColumnsAtOnce),
                A = pinnedA,
                StrideA = strideA,
                B = pinnedB,
                StrideB = strideB,
                C = pinnedC,
                StrideC = strideC,
                Own = own,
                OwnFloats = ownFloats,
            };
            ThreadTeam.Do(new Blocks(simd, call.Parts), 1, members, &call);
        }
    }

    // Rows of A that, with their terms, take a quarter of the second-level cache.
    private static int RowsInCache(Simd simd, int depth) =>
        Math.Max(simd.TileRows, Machine.Level2 / 4 / sizeof(float) / depth / simd.TileRows * simd.TileRows);

    private struct Call
    {
        public int Rows, Columns, Depth, RowsAtOnce, ColumnsAtOnce, DepthAtOnce, OwnFloats;
        public nint StrideA, StrideB, StrideC;
        public float* A, B, C, Own;

        public readonly int RowBlocks => (Rows + RowsAtOnce - 1) / RowsAtOnce;

        public readonly int Parts => RowBlocks * ((Columns + ColumnsAtOnce - 1) / ColumnsAtOnce);
    }

    // A part is a block of C, all terms of it.
    private sealed class Blocks(Simd simd, int parts) : IParts
    {
        public int PartsOf(int phase) => parts;

        public void Do(int phase, int part, int member, void* call)
        {
            Call* of = (Call*)call;
            (int columnBlock, int rowBlock) = Math.DivRem(part, of->RowBlocks);
            int row = rowBlock * of->RowsAtOnce, rows = Math.Min(of->RowsAtOnce, of->Rows - row);
            int column = columnBlock * of->ColumnsAtOnce, columns = Math.Min(of->ColumnsAtOnce, of->Columns - column);
            float* packed = of->Own + ((nint)member * of->OwnFloats);
            float* a = of->A + (row * of->StrideA), c = of->C + (row * of->StrideC) + column;
            // Rows are copied a line further apart than they are long: rows of 2ⁿ numbers would share the sets of a cache.
            int rowsInCache = RowsInCache(simd, of->DepthAtOnce), strideOwn = of->DepthAtOnce + Machine.LineFloats;
            float* copied = packed + (of->ColumnsAtOnce / simd.Panel * simd.PanelStride(of->DepthAtOnce));
            for (int k = 0; k < of->Depth; k += of->DepthAtOnce)
            {
                int depth = Math.Min(of->DepthAtOnce, of->Depth - k);
                simd.Pack(depth, columns, of->B + (k * of->StrideB) + column, of->StrideB, packed);
                for (int i = 0; i < rows; i += rowsInCache)
                {
                    int rowsHere = Math.Min(rowsInCache, rows - i);
                    simd.CopyRows(rowsHere, a + (i * of->StrideA) + k, of->StrideA, 1, 0, depth, strideOwn, copied);
                    for (int j = 0; j < columns; j += simd.Panel)
                    {
                        AddPanel(
                            rowsHere, Math.Min(simd.Panel, columns - j), depth, copied, strideOwn,
                            packed + (j / simd.Panel * simd.PanelStride(depth)), c + (i * of->StrideC) + j, of->StrideC);
                    }
                }
            }
        }

        private void AddPanel(int rows, int columns, int depth, float* a, nint strideA, float* panel, float* c, nint strideC)
        {
            TileRun run = new()
            {
                Depth = depth,
                A = a,
                RowStride = strideA,
                Step = 1,
                B = panel,
                From = c,
                StrideFrom = strideC,
                C = c,
                StrideC = strideC,
            };
            if (columns == simd.Panel)
            {
                simd.Tiles(rows, ref run);
                return;
            }

            float* spare = stackalloc float[simd.TileRows * simd.Panel];
            (int tiles, int height, int taller) = simd.Split(rows);
            for (int tile = 0; tile < tiles; tile++)
            {
                int rowsHere = tile < taller ? height + 1 : height;
                simd.PartialTile(columns, rowsHere, run, spare);
                run.A += rowsHere * strideA;
                run.C += rowsHere * strideC;
                run.From = run.C;
            }
        }
    }
}
