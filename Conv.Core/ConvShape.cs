using System.Globalization;

namespace Conv;

/// <summary>
/// The validated geometry of one 2-D convolution; the formulas of its two axes stand in <see cref="Axis"/>:
/// <c>y[n,o,i,j] = b[o] + Σ x[n, g(o)·C/G + c, i·s_h + u·d_h − p_t, j·s_w + v·d_w − p_l] · k[o,c,u,v]</c>
/// over c, u, v, where x is zero outside the image and g(o) = ⌊o·G/O⌋ is the group of output channel o.
/// </summary>
/// <remarks>
/// <para>Layouts, all dense and row-major: input N×C×H×W, kernel O×(C/G)×K_h×K_w, bias O, output N×O×H_o×W_o.</para>
/// <para>N, C and O may be zero (the output is then empty, or the bias alone); every other size is positive.
/// Two shapes are equal when all sixteen numbers are.</para>
/// <para>Source: docs/specification.md, the clauses GEO and CNT.</para>
/// </remarks>
public sealed record ConvShape
{
    /// <summary>Describes a convolution.</summary>
    /// <param name="batch">N ≥ 0, images.</param>
    /// <param name="inChannels">C ≥ 0, a multiple of <paramref name="groups"/>.</param>
    /// <param name="inHeight">H ≥ 1, rows.</param>
    /// <param name="inWidth">W ≥ 1, columns.</param>
    /// <param name="outChannels">O ≥ 0, a multiple of <paramref name="groups"/>.</param>
    /// <param name="kernelHeight">K_h ≥ 1, taps.</param>
    /// <param name="kernelWidth">K_w ≥ 1, taps.</param>
    /// <param name="strideHeight">s_h ≥ 1, rows.</param>
    /// <param name="strideWidth">s_w ≥ 1, columns.</param>
    /// <param name="padTop">p_t ≥ 0, rows of zeros before the first.</param>
    /// <param name="padLeft">p_l ≥ 0, columns of zeros before the first.</param>
    /// <param name="padBottom">p_b ≥ 0, rows of zeros after the last.</param>
    /// <param name="padRight">p_r ≥ 0, columns of zeros after the last.</param>
    /// <param name="dilationHeight">d_h ≥ 1, rows from tap to tap.</param>
    /// <param name="dilationWidth">d_w ≥ 1, columns from tap to tap.</param>
    /// <param name="groups">G ≥ 1.</param>
    /// <exception cref="ArgumentException">A size is out of range, channels do not divide into groups, the dilated
    /// kernel is larger than the padded input, or a count leaves 64 bits. The message names the parameter and the values.</exception>
    public ConvShape(
        int batch, int inChannels, int inHeight, int inWidth, int outChannels, int kernelHeight, int kernelWidth,
        int strideHeight = 1, int strideWidth = 1,
        int padTop = 0, int padLeft = 0, int padBottom = 0, int padRight = 0,
        int dilationHeight = 1, int dilationWidth = 1, int groups = 1)
        : this(
            batch, inChannels, outChannels,
            Axis.Named(inHeight, kernelHeight, strideHeight, padTop, padBottom, dilationHeight),
            Axis.Named(inWidth, kernelWidth, strideWidth, padLeft, padRight, dilationWidth),
            groups)
    {
    }

    /// <summary>Describes a convolution by its axes.</summary>
    /// <param name="batch">N ≥ 0, images.</param>
    /// <param name="inChannels">C ≥ 0, a multiple of <paramref name="groups"/>.</param>
    /// <param name="outChannels">O ≥ 0, a multiple of <paramref name="groups"/>.</param>
    /// <param name="rows">H, K_h, s_h, p_t, p_b, d_h.</param>
    /// <param name="columns">W, K_w, s_w, p_l, p_r, d_w.</param>
    /// <param name="groups">G ≥ 1.</param>
    /// <exception cref="ArgumentException">A size is out of range, channels do not divide into groups, or a count leaves 64 bits. The message
    /// names the parameter and the values.</exception>
    public ConvShape(int batch, int inChannels, int outChannels, Axis rows, Axis columns, int groups = 1)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(batch);
        ArgumentOutOfRangeException.ThrowIfNegative(inChannels);
        ArgumentOutOfRangeException.ThrowIfNegative(outChannels);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(rows.Size, nameof(rows));
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(columns.Size, nameof(columns));
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(groups);
        ThrowIfNotDivisible(inChannels, groups, nameof(inChannels));
        ThrowIfNotDivisible(outChannels, groups, nameof(outChannels));

        Batch = batch;
        InChannels = inChannels;
        OutChannels = outChannels;
        Rows = rows;
        Columns = columns;
        Axes = [rows, columns];
        Groups = groups;
        InChannelsPerGroup = inChannels / groups;
        OutChannelsPerGroup = outChannels / groups;

        try
        {
            checked
            {
                long taps = (long)rows.Taps * columns.Taps;
                InputLength = (long)rows.Size * columns.Size * inChannels * batch;
                KernelLength = taps * InChannelsPerGroup * outChannels;
                OutputLength = (long)rows.Outputs * columns.Outputs * outChannels * batch;
                TermsPerOutput = taps * InChannelsPerGroup;
                ParameterCount = KernelLength + outChannels;
                MultiplyAdds = OutputLength * TermsPerOutput;
                Bytes = sizeof(float) * (InputLength + ParameterCount + OutputLength);
            }
        }
        catch (OverflowException overflow)
        {
            throw new ArgumentException($"A count of this convolution does not fit in 64 bits: {this}.", nameof(batch), overflow);
        }
    }

    /// <summary>N, images.</summary>
    public int Batch { get; }

    /// <summary>C, input channels of all groups together.</summary>
    public int InChannels { get; }

    /// <summary>H, input rows.</summary>
    public int InHeight => Rows.Size;

    /// <summary>W, input columns.</summary>
    public int InWidth => Columns.Size;

    /// <summary>O, output channels of all groups together.</summary>
    public int OutChannels { get; }

    /// <summary>K_h, rows of taps.</summary>
    public int KernelHeight => Rows.Taps;

    /// <summary>K_w, columns of taps.</summary>
    public int KernelWidth => Columns.Taps;

    /// <summary>s_h, input rows from one output row to the next.</summary>
    public int StrideHeight => Rows.Stride;

    /// <summary>s_w, input columns from one output column to the next.</summary>
    public int StrideWidth => Columns.Stride;

    /// <summary>p_t, rows of zeros before the first input row.</summary>
    public int PadTop => Rows.Before;

    /// <summary>p_l, columns of zeros before the first input column.</summary>
    public int PadLeft => Columns.Before;

    /// <summary>p_b, rows of zeros after the last input row.</summary>
    public int PadBottom => Rows.After;

    /// <summary>p_r, columns of zeros after the last input column.</summary>
    public int PadRight => Columns.After;

    /// <summary>d_h, input rows from one tap to the next.</summary>
    public int DilationHeight => Rows.Dilation;

    /// <summary>d_w, input columns from one tap to the next.</summary>
    public int DilationWidth => Columns.Dilation;

    /// <summary>G, independent convolutions side by side in the channels.</summary>
    public int Groups { get; }

    /// <summary>H, K_h, s_h, p_t, p_b, d_h and H_o.</summary>
    public Axis Rows { get; }

    /// <summary>W, K_w, s_w, p_l, p_r, d_w and W_o.</summary>
    public Axis Columns { get; }

    /// <summary>Rows, then columns.</summary>
    public IReadOnlyList<Axis> Axes { get; }

    /// <summary>H_o = ⌊(H + p_t + p_b − ((K_h − 1)·d_h + 1)) / s_h⌋ + 1, rows.</summary>
    public int OutHeight => Rows.Outputs;

    /// <summary>W_o = ⌊(W + p_l + p_r − ((K_w − 1)·d_w + 1)) / s_w⌋ + 1, columns.</summary>
    public int OutWidth => Columns.Outputs;

    /// <summary>C/G, input channels that one output channel sees.</summary>
    public int InChannelsPerGroup { get; }

    /// <summary>O/G, output channels of one group.</summary>
    public int OutChannelsPerGroup { get; }

    /// <summary>(K_h − 1)·d_h + 1, the rows that a window spans.</summary>
    public int KernelExtentHeight => Rows.Extent;

    /// <summary>(K_w − 1)·d_w + 1, the columns that a window spans.</summary>
    public int KernelExtentWidth => Columns.Extent;

    /// <summary>H·W, elements of one channel of one image.</summary>
    public long InputPlane => (long)Rows.Size * Columns.Size;

    /// <summary>H_o·W_o, elements of one channel of one image.</summary>
    public long OutputPlane => (long)Rows.Outputs * Columns.Outputs;

    /// <summary>K_h·K_w, taps that one output channel has in one input channel.</summary>
    public long KernelPlane => (long)Rows.Taps * Columns.Taps;

    /// <summary>N·C·H·W, elements.</summary>
    public long InputLength { get; }

    /// <summary>O·(C/G)·K_h·K_w, elements.</summary>
    public long KernelLength { get; }

    /// <summary>N·O·H_o·W_o, elements.</summary>
    public long OutputLength { get; }

    /// <summary>n = (C/G)·K_h·K_w, products in the sum of one output element, those with padding included.</summary>
    public long TermsPerOutput { get; }

    /// <summary>O·(C/G)·K_h·K_w + O, learnable parameters, the bias included.</summary>
    public long ParameterCount { get; }

    /// <summary>N·O·H_o·W_o·(C/G)·K_h·K_w, multiply-adds of the definition, those with padding included.</summary>
    public long MultiplyAdds { get; }

    /// <summary>Bytes of input, kernel, bias and output together in float32.</summary>
    public long Bytes { get; }

    /// <summary>Multiply-adds of the definition whose tap meets the image, padding left out.</summary>
    public long InBoundsMultiplyAdds =>
        (long)Batch * OutChannels * InChannelsPerGroup * Rows.InBoundsTaps * Columns.InBoundsTaps;

    /// <summary>The same convolution with some numbers replaced, validated anew.</summary>
    /// <exception cref="ArgumentException">As the constructor's.</exception>
    public ConvShape With(
        int? batch = null, int? inChannels = null, int? inHeight = null, int? inWidth = null, int? outChannels = null,
        int? kernelHeight = null, int? kernelWidth = null, int? strideHeight = null, int? strideWidth = null,
        int? padTop = null, int? padLeft = null, int? padBottom = null, int? padRight = null,
        int? dilationHeight = null, int? dilationWidth = null, int? groups = null) =>
        new(
            batch ?? Batch, inChannels ?? InChannels, inHeight ?? InHeight, inWidth ?? InWidth, outChannels ?? OutChannels,
            kernelHeight ?? KernelHeight, kernelWidth ?? KernelWidth, strideHeight ?? StrideHeight, strideWidth ?? StrideWidth,
            padTop ?? PadTop, padLeft ?? PadLeft, padBottom ?? PadBottom, padRight ?? PadRight,
            dilationHeight ?? DilationHeight, dilationWidth ?? DilationWidth, groups ?? Groups);

    /// <summary>The same convolution along other axes, in the order of <see cref="Axes"/>.</summary>
    /// <exception cref="ArgumentException">There are not two, or as the constructor's.</exception>
    public ConvShape WithAxes(IReadOnlyList<Axis> axes)
    {
        ArgumentNullException.ThrowIfNull(axes);
        return axes is [Axis rows, Axis columns]
            ? new(Batch, InChannels, OutChannels, rows, columns, Groups)
            : throw new ArgumentException($"There are {axes.Count} axes; a convolution has rows and columns.", nameof(axes));
    }

    /// <summary>The same convolution, each of its axes changed in the same way.</summary>
    /// <exception cref="ArgumentException">As the constructor's.</exception>
    public ConvShape Along(Func<Axis, Axis> change)
    {
        ArgumentNullException.ThrowIfNull(change);
        return new(Batch, InChannels, OutChannels, change(Rows), change(Columns), Groups);
    }

    /// <summary>Whether all sixteen numbers are the same.</summary>
    public bool Equals(ConvShape? other) =>
        other is not null && Batch == other.Batch && InChannels == other.InChannels && OutChannels == other.OutChannels
        && Groups == other.Groups && Rows == other.Rows && Columns == other.Columns;

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Batch, InChannels, OutChannels, Groups, Rows, Columns);

    /// <summary>The sixteen numbers as <c>name=value</c> fields in a fixed order; <see cref="Parse"/> reads them back.</summary>
    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"n={Batch} c={InChannels} h={InHeight} w={InWidth} o={OutChannels} kh={KernelHeight} kw={KernelWidth} sh={StrideHeight} sw={StrideWidth} pt={PadTop} pl={PadLeft} pb={PadBottom} pr={PadRight} dh={DilationHeight} dw={DilationWidth} g={Groups}");

    /// <summary>Reads what <see cref="ToString"/> writes. Strides, dilations and groups that are left out are 1, pads 0, and n is 1.</summary>
    /// <exception cref="FormatException">A field is unknown, given twice, missing or no whole number.</exception>
    /// <exception cref="ArgumentException">As the constructor's.</exception>
    public static ConvShape Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        Dictionary<string, int> fields = [];
        foreach (string field in text.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            int equals = field.IndexOf('=', StringComparison.Ordinal);
            if (equals < 0 || !int.TryParse(field.AsSpan(equals + 1), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value))
            {
                throw new FormatException($"'{field}' is not a field of a shape: write name=whole number.");
            }

            string name = field[..equals];
            if (!FieldNames.Contains(name))
            {
                throw new FormatException($"'{name}' is not a field of a shape: the fields are {string.Join(' ', FieldNames)}.");
            }

            if (!fields.TryAdd(name, value))
            {
                throw new FormatException($"'{name}' is given twice.");
            }
        }

        return new ConvShape(
            Optional("n", 1), Required("c"), Required("h"), Required("w"), Required("o"), Required("kh"), Required("kw"),
            Optional("sh", 1), Optional("sw", 1),
            Optional("pt", 0), Optional("pl", 0), Optional("pb", 0), Optional("pr", 0),
            Optional("dh", 1), Optional("dw", 1), Optional("g", 1));

        int Optional(string name, int fallback) => fields.GetValueOrDefault(name, fallback);
        int Required(string name) => fields.TryGetValue(name, out int value)
            ? value
            : throw new FormatException($"A shape needs the field '{name}'.");
    }

    /// <summary>The channels divide into groups.</summary>
    /// <exception cref="ArgumentException">They do not.</exception>
    internal static void ThrowIfNotDivisible(int channels, int groups, string parameter)
    {
        if (channels % groups != 0)
        {
            throw new ArgumentException($"{parameter} = {channels} does not divide into groups = {groups}.", parameter);
        }
    }

    private static readonly string[] FieldNames =
        ["n", "c", "h", "w", "o", "kh", "kw", "sh", "sw", "pt", "pl", "pb", "pr", "dh", "dw", "g"];
}
