using System.Numerics;

namespace Conv;

/// <summary>T·X·Tᵀ for a small matrix T, whose zeros are skipped, rounded to float32 at the end.</summary>
/// <typeparam name="T">The format that it is carried out in.</typeparam>
/// <remarks>
/// <para>An entry of T is rounded once. Each sum runs over its row's entries from left to right, product and sum
/// rounded apart: fused, the exactness of F(4,3) on multiples of 9 is lost (docs/bounds.md).</para>
/// <para>A zero that is skipped keeps NaN and infinities where they are: 0·∞ is NaN.</para>
/// </remarks>
internal sealed class SparseTransform<T>
    where T : unmanaged, IBinaryFloatingPointIeee754<T>
{
    private readonly (int Column, T Value)[][] _rows;

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
        Span<T> half = stackalloc T[Rows * Columns];
        for (int i = 0; i < Rows; i++)
        {
            for (int j = 0; j < Columns; j++)
            {
                T sum = T.Zero;
                foreach ((int column, T value) in _rows[i])
                {
                    sum += value * T.CreateChecked(square[(column * Columns) + j]);
                }

                half[(i * Columns) + j] = sum;
            }
        }

        for (int i = 0; i < Rows; i++)
        {
            for (int j = 0; j < Rows; j++)
            {
                T sum = T.Zero;
                foreach ((int column, T value) in _rows[j])
                {
                    sum += half[(i * Columns) + column] * value;
                }

                result[(i * Rows) + j] = float.CreateChecked(sum);
            }
        }
    }

    // Numerator and denominator below 2²⁴ are exact floats, and one division rounds once.
    private static T Round(Rational value) => T.CreateChecked(value.Numerator) / T.CreateChecked(value.Denominator);
}
