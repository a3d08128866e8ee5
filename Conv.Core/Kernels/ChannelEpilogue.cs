namespace Conv;

/// <summary>An epilogue's own copy of its numbers: <c>z = s[o]·y + t[o]</c>, product and sum rounded one after the other, then
/// <c>max(z, 0)</c> if asked, which keeps NaN.</summary>
internal sealed class ChannelEpilogue(Epilogue epilogue)
{
    private readonly float[] _scale = epilogue.Scale.ToArray();
    private readonly float[] _shift = epilogue.Shift.ToArray();
    private readonly bool _rectify = epilogue.Rectify;

    /// <summary>Replaces sums, bias included, by results: one row for each of some channels.</summary>
    /// <param name="first">The output channel of the first row.</param>
    /// <param name="channels">How many rows.</param>
    /// <param name="columns">Elements of a row.</param>
    /// <param name="sums">The rows; what lies between them is left alone.</param>
    /// <param name="stride">Elements from one row to the next.</param>
    public void Apply(int first, int channels, int columns, Span<float> sums, int stride)
    {
        for (int row = 0; row < channels; row++)
        {
            Apply(_scale[first + row], _shift[first + row], sums.Slice(row * stride, columns));
        }
    }

    private void Apply(float scale, float shift, Span<float> sums)
    {
        foreach (ref float sum in sums)
        {
            float z = (scale * sum) + shift;
            sum = _rectify ? MathF.Max(z, 0) : z;
        }
    }
}
