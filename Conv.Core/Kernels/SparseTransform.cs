namespace Conv;

/// <summary>T·X·Tᵀ in float32 for a small matrix T, whose zeros are skipped.</summary>
/// <remarks>
/// <para>An entry of T is rounded to float32 once. Each sum runs over its row's entries from left to right, product and sum
/// rounded apart: fused, the exactness of F(4,3) on multiples of 9 is lost (docs/bounds.md).</para>
/// <para>A zero that is skipped keeps NaN and infinities where they are: 0·∞ is NaN.</para>
/// </remarks>
internal sealed class SparseTransform
{
    private readonly (int Column, float Value)[][] _rows;

    /// <summary>Rounds the entries.</summary>
    public SparseTransform(RationalMatrix matrix)
    {
        Rows = matrix.Rows;
        Columns = matrix.Columns;
        _rows =
        [
            .. Enumerable.Range(0, Rows).Select(row => Enumerable.Range(0, Columns)
                .Where(column => !matrix[row, column].IsZero)
                .Select(column => (column, Round(matrix[row, column])))
                .ToArray()),
        ];
    }

    /// <summary>The rows of T, and of the result.</summary>
    public int Rows { get; }

    /// <summary>The columns of T, and the rows and columns of X.</summary>
    public int Columns { get; }

    /// <summary>result = T·X·Tᵀ, T·X first.</summary>
    /// <param name="square">X, <see cref="Columns"/>×<see cref="Columns"/>, row-major.</param>
    /// <param name="result"><see cref="Rows"/>×<see cref="Rows"/>, row-major.</param>
    public void Sandwich(ReadOnlySpan<float> square, Span<float> result)
    {
        Span<float> half = stackalloc float[Rows * Columns];
        for (int i = 0; i < Rows; i++)
        {
            for (int j = 0; j < Columns; j++)
            {
                float sum = 0;
                foreach ((int column, float value) in _rows[i])
                {
                    sum += value * square[(column * Columns) + j];
                }

                half[(i * Columns) + j] = sum;
            }
        }

        for (int i = 0; i < Rows; i++)
        {
            for (int j = 0; j < Rows; j++)
            {
                float sum = 0;
                foreach ((int column, float value) in _rows[j])
                {
                    sum += half[(i * Columns) + column] * value;
                }

                result[(i * Rows) + j] = sum;
            }
        }
    }

    // Numerator and denominator below 2²⁴ are exact floats, and one division rounds once.
    private static float Round(Rational value) => (float)value.Numerator / (float)value.Denominator;
}
