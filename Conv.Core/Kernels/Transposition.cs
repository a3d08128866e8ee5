namespace Conv;

/// <summary>The transpose of a dense matrix.</summary>
internal static class Transposition
{
    /// <summary><c>to[j,i] = from[i,j]</c>.</summary>
    /// <param name="rows">Rows of <paramref name="from"/>.</param>
    /// <param name="columns">Columns of <paramref name="from"/>.</param>
    /// <param name="from">Row-major.</param>
    /// <param name="to">Row-major, columns×rows; every element is written.</param>
    public static void Copy(int rows, int columns, ReadOnlySpan<float> from, Span<float> to)
    {
        for (int i = 0; i < rows; i++)
        {
            ReadOnlySpan<float> row = from.Slice(i * columns, columns);
            for (int j = 0; j < columns; j++)
            {
                to[(j * rows) + i] = row[j];
            }
        }
    }
}
