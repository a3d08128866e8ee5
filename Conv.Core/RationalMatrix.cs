namespace Conv;

/// <summary>An immutable matrix of exact rationals, equal to another with the same size and entries.</summary>
public sealed class RationalMatrix : IEquatable<RationalMatrix>
{
    private readonly Rational[,] _entries;

    /// <summary>Copies the entries.</summary>
    public RationalMatrix(Rational[,] entries)
    {
        ArgumentNullException.ThrowIfNull(entries);
        _entries = (Rational[,])entries.Clone();
    }

    /// <summary>A matrix whose entries are a function of row and column.</summary>
    public static RationalMatrix Create(int rows, int columns, Func<int, int, Rational> entry)
    {
        ArgumentNullException.ThrowIfNull(entry);
        Rational[,] entries = new Rational[rows, columns];
        for (int row = 0; row < rows; row++)
        {
            for (int column = 0; column < columns; column++)
            {
                entries[row, column] = entry(row, column);
            }
        }

        return new RationalMatrix(entries);
    }

    /// <summary>The number of rows.</summary>
    public int Rows => _entries.GetLength(0);

    /// <summary>The number of columns.</summary>
    public int Columns => _entries.GetLength(1);

    /// <summary>One entry.</summary>
    public Rational this[int row, int column] => _entries[row, column];

    /// <inheritdoc/>
    public bool Equals(RationalMatrix? other) =>
        other is not null && Rows == other.Rows && Columns == other.Columns
        && _entries.Cast<Rational>().SequenceEqual(other._entries.Cast<Rational>());

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as RationalMatrix);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        HashCode hash = default;
        hash.Add(Rows);
        foreach (Rational entry in _entries)
        {
            hash.Add(entry);
        }

        return hash.ToHashCode();
    }

    /// <summary>The rows, one a line.</summary>
    public override string ToString() => string.Join(
        '\n', Enumerable.Range(0, Rows).Select(row => string.Join(' ', Enumerable.Range(0, Columns).Select(column => this[row, column]))));
}
