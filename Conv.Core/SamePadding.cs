namespace Conv;

/// <summary>Where the odd zero of SAME padding stands.</summary>
public enum SamePadding
{
    /// <summary>SAME_UPPER: after the last row or column.</summary>
    Upper,

    /// <summary>SAME_LOWER: before the first.</summary>
    Lower,
}
