using System.Numerics;
using System.Runtime.CompilerServices;

namespace Conv;

/// <summary>The matrix product on float32, rows, columns and depth of any size, zero included.</summary>
internal static unsafe class Gemm
{
    // Depth × PanelColumns floats of B are packed at a time: 16 KiB with vectors of 256 bits, half of a first-level cache.
    private const int Depth = 256;

    private const int TileRows = 4;

    private static int PanelColumns => 2 * Vector<float>.Count;

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

    /// <summary><c>C[i,j] += Σ_k A[i,k]·B[k,j]</c>, the terms added to C in the order of k. Parameters as those of <see cref="Multiply"/>.</summary>
    [SkipLocalsInit] // Pack writes of the panel what AddPanel reads.
    public static void Add(
        int rows, int columns, int depth, ReadOnlySpan<float> a, int strideA, ReadOnlySpan<float> b, int strideB, Span<float> c, int strideC)
    {
        Span<float> panel = stackalloc float[Depth * PanelColumns];
        for (int k = 0; k < depth; k += Depth)
        {
            int depthHere = Math.Min(Depth, depth - k);
            for (int column = 0, columnsHere; column < columns; column += columnsHere)
            {
                columnsHere = Math.Min(PanelColumns, columns - column);
                Pack(b[((k * strideB) + column)..], strideB, depthHere, columnsHere, panel);
                AddPanel(rows, columnsHere, depthHere, a[k..], strideA, panel, c[column..], strideC);
            }
        }
    }

    // Rows of PanelColumns floats, one after another, filled up with zeros.
    private static void Pack(ReadOnlySpan<float> b, int strideB, int depth, int columns, Span<float> panel)
    {
        for (int k = 0; k < depth; k++)
        {
            Span<float> row = panel.Slice(k * PanelColumns, PanelColumns);
            b.Slice(k * strideB, columns).CopyTo(row);
            row[columns..].Clear();
        }
    }

    private static void AddPanel(
        int rows, int columns, int depth, ReadOnlySpan<float> a, int strideA, ReadOnlySpan<float> panel, Span<float> c, int strideC)
    {
        Span<float> tile = stackalloc float[TileRows * PanelColumns];
        for (int row = 0; row < rows; row += TileRows)
        {
            int rowsHere = Math.Min(TileRows, rows - row);
            ReadOnlySpan<float> tileA = a[(row * strideA)..];
            Span<float> tileC = c[(row * strideC)..];
            if (columns == PanelColumns)
            {
                AddTile(rowsHere, depth, tileA, strideA, panel, tileC, strideC);
            }
            else
            {
                // Whole vectors do not fit between the last columns and the next row: work on a copy.
                CopyRows(rowsHere, columns, tileC, strideC, tile, PanelColumns);
                AddTile(rowsHere, depth, tileA, strideA, panel, tile, PanelColumns);
                CopyRows(rowsHere, columns, tile, PanelColumns, tileC, strideC);
            }
        }
    }

    private static void CopyRows(int rows, int columns, ReadOnlySpan<float> from, int strideFrom, Span<float> to, int strideTo)
    {
        for (int row = 0; row < rows; row++)
        {
            from.Slice(row * strideFrom, columns).CopyTo(to.Slice(row * strideTo, columns));
        }
    }

    private static void AddTile(
        int rows, int depth, ReadOnlySpan<float> a, int strideA, ReadOnlySpan<float> panel, Span<float> c, int strideC)
    {
        // The pointers below stay inside these.
        _ = a[((rows - 1) * strideA) + depth - 1];
        _ = panel[(depth * PanelColumns) - 1];
        _ = c[((rows - 1) * strideC) + PanelColumns - 1];

        fixed (float* pinnedA = a, pinnedPanel = panel, pinnedC = c)
        {
            if (rows == TileRows)
            {
                AddFourRows(depth, pinnedA, strideA, pinnedPanel, pinnedC, strideC);
            }
            else
            {
                for (int row = 0; row < rows; row++)
                {
                    AddRow(depth, pinnedA + (row * strideA), pinnedPanel, pinnedC + (row * strideC));
                }
            }
        }
    }

    private static void AddFourRows(int depth, float* a, int strideA, float* panel, float* c, int strideC)
    {
        int lanes = Vector<float>.Count;
        float* a0 = a, a1 = a0 + strideA, a2 = a1 + strideA, a3 = a2 + strideA;
        float* c0 = c, c1 = c0 + strideC, c2 = c1 + strideC, c3 = c2 + strideC;
        Vector<float> sum00 = Vector.Load(c0), sum01 = Vector.Load(c0 + lanes);
        Vector<float> sum10 = Vector.Load(c1), sum11 = Vector.Load(c1 + lanes);
        Vector<float> sum20 = Vector.Load(c2), sum21 = Vector.Load(c2 + lanes);
        Vector<float> sum30 = Vector.Load(c3), sum31 = Vector.Load(c3 + lanes);

        for (int k = 0; k < depth; k++)
        {
            Vector<float> left = Vector.Load(panel), right = Vector.Load(panel + lanes);
            Vector<float> factor0 = new(a0[k]);
            sum00 = MultiplyAdd.Of(sum00, factor0, left);
            sum01 = MultiplyAdd.Of(sum01, factor0, right);
            Vector<float> factor1 = new(a1[k]);
            sum10 = MultiplyAdd.Of(sum10, factor1, left);
            sum11 = MultiplyAdd.Of(sum11, factor1, right);
            Vector<float> factor2 = new(a2[k]);
            sum20 = MultiplyAdd.Of(sum20, factor2, left);
            sum21 = MultiplyAdd.Of(sum21, factor2, right);
            Vector<float> factor3 = new(a3[k]);
            sum30 = MultiplyAdd.Of(sum30, factor3, left);
            sum31 = MultiplyAdd.Of(sum31, factor3, right);
            panel += 2 * lanes;
        }

        Vector.Store(sum00, c0);
        Vector.Store(sum01, c0 + lanes);
        Vector.Store(sum10, c1);
        Vector.Store(sum11, c1 + lanes);
        Vector.Store(sum20, c2);
        Vector.Store(sum21, c2 + lanes);
        Vector.Store(sum30, c3);
        Vector.Store(sum31, c3 + lanes);
    }

    private static void AddRow(int depth, float* a, float* panel, float* c)
    {
        int lanes = Vector<float>.Count;
        Vector<float> sum0 = Vector.Load(c), sum1 = Vector.Load(c + lanes);
        for (int k = 0; k < depth; k++)
        {
            Vector<float> factor = new(a[k]);
            sum0 = MultiplyAdd.Of(sum0, factor, Vector.Load(panel));
            sum1 = MultiplyAdd.Of(sum1, factor, Vector.Load(panel + lanes));
            panel += 2 * lanes;
        }

        Vector.Store(sum0, c);
        Vector.Store(sum1, c + lanes);
    }
}
