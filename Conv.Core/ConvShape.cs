using System.Globalization;

namespace Conv;

/// <summary>
/// The validated geometry of one 2-D convolution, and the only place where its formulas stand:
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
    {
        ArgumentOutOfRangeException.ThrowIfNegative(batch);
        ArgumentOutOfRangeException.ThrowIfNegative(inChannels);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(inHeight);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(inWidth);
        ArgumentOutOfRangeException.ThrowIfNegative(outChannels);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(kernelHeight);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(kernelWidth);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(strideHeight);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(strideWidth);
        ArgumentOutOfRangeException.ThrowIfNegative(padTop);
        ArgumentOutOfRangeException.ThrowIfNegative(padLeft);
        ArgumentOutOfRangeException.ThrowIfNegative(padBottom);
        ArgumentOutOfRangeException.ThrowIfNegative(padRight);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(dilationHeight);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(dilationWidth);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(groups);
        ThrowIfNotDivisible(inChannels, groups, nameof(inChannels));
        ThrowIfNotDivisible(outChannels, groups, nameof(outChannels));

        Batch = batch;
        InChannels = inChannels;
        InHeight = inHeight;
        InWidth = inWidth;
        OutChannels = outChannels;
        KernelHeight = kernelHeight;
        KernelWidth = kernelWidth;
        StrideHeight = strideHeight;
        StrideWidth = strideWidth;
        PadTop = padTop;
        PadLeft = padLeft;
        PadBottom = padBottom;
        PadRight = padRight;
        DilationHeight = dilationHeight;
        DilationWidth = dilationWidth;
        Groups = groups;
        InChannelsPerGroup = inChannels / groups;
        OutChannelsPerGroup = outChannels / groups;
        OutHeight = OutputSize(inHeight, padTop, padBottom, kernelHeight, dilationHeight, strideHeight, nameof(kernelHeight));
        OutWidth = OutputSize(inWidth, padLeft, padRight, kernelWidth, dilationWidth, strideWidth, nameof(kernelWidth));

        try
        {
            checked
            {
                long taps = (long)kernelHeight * kernelWidth;
                InputLength = (long)inHeight * inWidth * inChannels * batch;
                KernelLength = taps * InChannelsPerGroup * outChannels;
                OutputLength = (long)OutHeight * OutWidth * outChannels * batch;
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
    public int InHeight { get; }

    /// <summary>W, input columns.</summary>
    public int InWidth { get; }

    /// <summary>O, output channels of all groups together.</summary>
    public int OutChannels { get; }

    /// <summary>K_h, rows of taps.</summary>
    public int KernelHeight { get; }

    /// <summary>K_w, columns of taps.</summary>
    public int KernelWidth { get; }

    /// <summary>s_h, input rows from one output row to the next.</summary>
    public int StrideHeight { get; }

    /// <summary>s_w, input columns from one output column to the next.</summary>
    public int StrideWidth { get; }

    /// <summary>p_t, rows of zeros before the first input row.</summary>
    public int PadTop { get; }

    /// <summary>p_l, columns of zeros before the first input column.</summary>
    public int PadLeft { get; }

    /// <summary>p_b, rows of zeros after the last input row.</summary>
    public int PadBottom { get; }

    /// <summary>p_r, columns of zeros after the last input column.</summary>
    public int PadRight { get; }

    /// <summary>d_h, input rows from one tap to the next.</summary>
    public int DilationHeight { get; }

    /// <summary>d_w, input columns from one tap to the next.</summary>
    public int DilationWidth { get; }

    /// <summary>G, independent convolutions side by side in the channels.</summary>
    public int Groups { get; }

    /// <summary>H_o = ⌊(H + p_t + p_b − ((K_h − 1)·d_h + 1)) / s_h⌋ + 1, rows.</summary>
    public int OutHeight { get; }

    /// <summary>W_o = ⌊(W + p_l + p_r − ((K_w − 1)·d_w + 1)) / s_w⌋ + 1, columns.</summary>
    public int OutWidth { get; }

    /// <summary>C/G, input channels that one output channel sees.</summary>
    public int InChannelsPerGroup { get; }

    /// <summary>O/G, output channels of one group.</summary>
    public int OutChannelsPerGroup { get; }

    /// <summary>(K_h − 1)·d_h + 1, the rows that a window spans.</summary>
    public int KernelExtentHeight => ((KernelHeight - 1) * DilationHeight) + 1;

    /// <summary>(K_w − 1)·d_w + 1, the columns that a window spans.</summary>
    public int KernelExtentWidth => ((KernelWidth - 1) * DilationWidth) + 1;

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
        (long)Batch * OutChannels * InChannelsPerGroup
        * InBoundsTaps(OutHeight, KernelHeight, StrideHeight, DilationHeight, PadTop, InHeight)
        * InBoundsTaps(OutWidth, KernelWidth, StrideWidth, DilationWidth, PadLeft, InWidth);

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

    /// <summary>
    /// The pads of SAME padding along one axis: the output has ⌈size/stride⌉ elements, for which
    /// max((⌈size/stride⌉ − 1)·stride + (taps − 1)·dilation + 1 − size, 0) zeros are needed, half on each side; an odd one stands at
    /// the end (<see cref="SamePadding.Upper"/>) or at the beginning.
    /// </summary>
    /// <param name="size">H or W.</param>
    /// <param name="taps">K_h or K_w.</param>
    /// <param name="stride">s_h or s_w.</param>
    /// <param name="dilation">d_h or d_w.</param>
    /// <param name="padding">Where an odd zero stands.</param>
    /// <remarks>Source: docs/specification.md, the clauses SAME.</remarks>
    /// <exception cref="ArgumentException">A number is not positive, or the result leaves 32 bits.</exception>
    public static (int Before, int After) SamePads(int size, int taps, int stride, int dilation, SamePadding padding)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(size);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(taps);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(stride);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(dilation);
        long outputs = (((long)size - 1) / stride) + 1;
        long needed = Math.Max(((outputs - 1) * stride) + ((taps - 1L) * dilation) + 1 - size, 0);
        if (needed > int.MaxValue)
        {
            throw new ArgumentException($"SAME padding of taps = {taps} at dilation = {dilation} needs {needed} zeros, which 32 bits do not hold.", nameof(taps));
        }

        int half = (int)(needed / 2);
        int other = (int)needed - half;
        return padding == SamePadding.Upper ? (half, other) : (other, half);
    }

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

    /// <summary>The outputs whose tap meets the image in one dimension: first ≤ i &lt; end exactly when 0 ≤ i·stride + offset &lt; size
    /// and 0 ≤ i &lt; outputs. No such output: (0, 0).</summary>
    /// <param name="offset">u·d_h − p_t or v·d_w − p_l.</param>
    /// <param name="outputs">H_o or W_o.</param>
    /// <param name="stride">s_h or s_w.</param>
    /// <param name="size">H or W.</param>
    internal static (int First, int End) OutputsMeeting(long offset, int outputs, int stride, int size)
    {
        long first = offset >= 0 ? 0 : (-offset + stride - 1) / stride;
        long end = offset >= size ? 0 : Math.Min(((size - 1 - offset) / stride) + 1, outputs);
        return first < end ? ((int)first, (int)end) : (0, 0);
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

    private static int OutputSize(int size, int before, int after, int taps, int dilation, int stride, string parameter)
    {
        long padded = (long)size + before + after;
        long extent = ((taps - 1L) * dilation) + 1;
        if (extent > padded)
        {
            throw new ArgumentOutOfRangeException(
                parameter, taps, $"The dilated kernel spans {extent} elements, the padded input has {padded} (size {size}, pads {before} and {after}, dilation {dilation}).");
        }

        long outputs = ((padded - extent) / stride) + 1;
        return outputs <= int.MaxValue && padded <= int.MaxValue
            ? (int)outputs
            : throw new ArgumentOutOfRangeException(parameter, taps, $"The padded input has {padded} elements in one dimension; at most {int.MaxValue} are possible.");
    }

    private static long InBoundsTaps(int outputs, int taps, int stride, int dilation, int before, int size)
    {
        long count = 0;
        for (int u = 0; u < taps; u++)
        {
            (int first, int end) = OutputsMeeting(((long)u * dilation) - before, outputs, stride, size);
            count += end - first;
        }

        return count;
    }
}
