using System.Runtime.CompilerServices;

namespace Conv;

/// <summary>
/// One spatial axis of a convolution, rows or columns: output i reads input <c>i·Stride + u·Dilation − Before</c> at tap u, and zeros stand
/// outside of 0 … Size − 1. The only place where the formulas of an axis stand.
/// </summary>
/// <remarks>Lengths are elements of the input, but for <see cref="Taps"/> and <see cref="Outputs"/>, which count themselves. Two axes are equal
/// when their six numbers are. Source: docs/specification.md, the clauses GEO and SAME.</remarks>
public readonly record struct Axis
{
    /// <summary>Describes an axis.</summary>
    /// <param name="size">H or W ≥ 1.</param>
    /// <param name="taps">K_h or K_w ≥ 1.</param>
    /// <param name="stride">s ≥ 1, from one output to the next.</param>
    /// <param name="before">p_t or p_l ≥ 0, zeros before the first element.</param>
    /// <param name="after">p_b or p_r ≥ 0, zeros after the last.</param>
    /// <param name="dilation">d ≥ 1, from one tap to the next.</param>
    /// <exception cref="ArgumentException">A number is out of range, the dilated taps span more than the padded input, or that leaves 32
    /// bits. The message names the parameter and the values.</exception>
    public Axis(int size, int taps, int stride = 1, int before = 0, int after = 0, int dilation = 1)
        : this(
            size, taps, stride, before, after, dilation,
            new Names(nameof(size), nameof(taps), nameof(stride), nameof(before), nameof(after), nameof(dilation)))
    {
    }

    private Axis(int size, int taps, int stride, int before, int after, int dilation, in Names names)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(size, names.Size);
        ThrowIfInvalid(taps, stride, before, after, dilation, names);
        long padded = (long)size + before + after;
        long extent = ((taps - 1L) * dilation) + 1;
        if (extent > padded)
        {
            throw new ArgumentOutOfRangeException(
                names.Taps, taps, $"The dilated kernel spans {extent} elements, the padded input has {padded} (size {size}, pads {before} and {after}, dilation {dilation}).");
        }

        if (padded > int.MaxValue)
        {
            throw new ArgumentOutOfRangeException(
                names.Taps, taps, $"The padded input has {padded} elements in one dimension; at most {int.MaxValue} are possible.");
        }

        Size = size;
        Taps = taps;
        Stride = stride;
        Before = before;
        After = after;
        Dilation = dilation;
        Outputs = (int)((padded - extent) / stride) + 1;
    }

    /// <summary>H or W, elements of the input.</summary>
    public int Size { get; }

    /// <summary>K_h or K_w, taps of the kernel.</summary>
    public int Taps { get; }

    /// <summary>s, from one output to the next.</summary>
    public int Stride { get; }

    /// <summary>p_t or p_l, zeros before the first element.</summary>
    public int Before { get; }

    /// <summary>p_b or p_r, zeros after the last element.</summary>
    public int After { get; }

    /// <summary>d, from one tap to the next.</summary>
    public int Dilation { get; }

    /// <summary>H_o or W_o = ⌊(Size + Before + After − Extent) / Stride⌋ + 1.</summary>
    public int Outputs { get; }

    /// <summary>(Taps − 1)·Dilation + 1, what one window spans.</summary>
    public int Extent => ((Taps - 1) * Dilation) + 1;

    /// <summary>Size + Before + After.</summary>
    public int Padded => Size + Before + After;

    /// <summary>(Outputs − 1)·Stride + Extent, what all windows together span.</summary>
    public int Covered => ((Outputs - 1) * Stride) + Extent;

    /// <summary>Padded − Covered &lt; Stride, elements behind the last window: the rest of the floor in <see cref="Outputs"/>.</summary>
    public int Unused => Padded - Covered;

    /// <summary>output·Stride + tap·Dilation − Before, the element that an output reads at a tap; outside of the input it reads zero.</summary>
    public int Source(int output, int tap) => (output * Stride) + (tap * Dilation) - Before;

    /// <summary>Whether an element is one of the input: 0 ≤ position &lt; Size.</summary>
    public bool Contains(int position) => (uint)position < (uint)Size;

    /// <summary>The outputs whose tap meets the input: first ≤ i &lt; end exactly when <see cref="Source"/> is contained. None: (0, 0).</summary>
    public (int First, int End) OutputsMeeting(int tap)
    {
        long offset = ((long)tap * Dilation) - Before;
        long first = offset >= 0 ? 0 : (-offset + Stride - 1) / Stride;
        long end = offset >= Size ? 0 : Math.Min(((Size - 1 - offset) / Stride) + 1, Outputs);
        return first < end ? ((int)first, (int)end) : (0, 0);
    }

    /// <summary>The output that reads an element at a tap, or −1: position = output·Stride + tap·Dilation − Before.</summary>
    public int OutputReading(int position, int tap)
    {
        int distance = position + Before - (tap * Dilation);
        int output = distance / Stride;
        return distance >= 0 && output < Outputs && output * Stride == distance ? output : -1;
    }

    /// <summary>The tap at which an output reads an element, or −1: position = output·Stride + tap·Dilation − Before.</summary>
    public int TapReading(int position, int output)
    {
        int distance = position + Before - (output * Stride);
        int tap = distance / Dilation;
        return distance >= 0 && tap < Taps && tap * Dilation == distance ? tap : -1;
    }

    /// <summary>Pairs of an output and a tap that meet the input, padding left out.</summary>
    public long InBoundsTaps
    {
        get
        {
            long count = 0;
            for (int tap = 0; tap < Taps; tap++)
            {
                (int first, int end) = OutputsMeeting(tap);
                count += end - first;
            }

            return count;
        }
    }

    /// <summary>The same axis with some numbers replaced, validated anew.</summary>
    /// <exception cref="ArgumentException">As the constructor's.</exception>
    public Axis With(int? size = null, int? taps = null, int? stride = null, int? before = null, int? after = null, int? dilation = null) =>
        new(size ?? Size, taps ?? Taps, stride ?? Stride, before ?? Before, after ?? After, dilation ?? Dilation);

    /// <summary>The axis whose input holds the zeros of this one's padding.</summary>
    public Axis Unpadded => new(Padded, Taps, Stride, 0, 0, Dilation);

    /// <summary>The axis whose kernel holds zeros between the taps of this one's.</summary>
    public Axis Undilated => new(Size, Extent, Stride, Before, After);

    /// <summary>The axis padded as SAME does.</summary>
    public Axis Same(SamePadding padding)
    {
        (int before, int after) = SamePads(Size, Taps, Stride, Dilation, padding);
        return With(before: before, after: after);
    }

    /// <summary>
    /// The zeros of SAME padding: the output has ⌈size/stride⌉ elements, for which max((⌈size/stride⌉ − 1)·stride + (taps − 1)·dilation + 1 − size, 0)
    /// zeros are needed, half on each side; an odd one stands at the end (<see cref="SamePadding.Upper"/>) or at the beginning.
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

    /// <summary>An axis whose numbers are called as the caller calls them: what is refused is named so.</summary>
    internal static Axis Named(
        int size, int taps, int stride, int before, int after, int dilation,
        [CallerArgumentExpression(nameof(size))] string sizeName = "", [CallerArgumentExpression(nameof(taps))] string tapsName = "",
        [CallerArgumentExpression(nameof(stride))] string strideName = "", [CallerArgumentExpression(nameof(before))] string beforeName = "",
        [CallerArgumentExpression(nameof(after))] string afterName = "", [CallerArgumentExpression(nameof(dilation))] string dilationName = "") =>
        new(size, taps, stride, before, after, dilation, new Names(sizeName, tapsName, strideName, beforeName, afterName, dilationName));

    /// <summary>
    /// The axis whose windows begin at so many outputs and that is as long as leaves <paramref name="more"/> unused:
    /// Size = (outputs − 1)·stride + (taps − 1)·dilation + 1 + more − before − after.
    /// </summary>
    /// <param name="outputs">H or W of a transposed convolution.</param>
    /// <param name="taps">K_h or K_w.</param>
    /// <param name="stride">s_h or s_w.</param>
    /// <param name="before">p_t or p_l.</param>
    /// <param name="after">p_b or p_r.</param>
    /// <param name="dilation">d_h or d_w.</param>
    /// <param name="more">op_h or op_w, 0 ≤ more &lt; stride.</param>
    /// <param name="outputsName">What the caller calls it.</param>
    /// <param name="tapsName">Likewise.</param>
    /// <param name="strideName">Likewise.</param>
    /// <param name="beforeName">Likewise.</param>
    /// <param name="afterName">Likewise.</param>
    /// <param name="dilationName">Likewise.</param>
    /// <param name="moreName">Likewise.</param>
    /// <exception cref="ArgumentException">A number is out of range, nothing is left of the size, or it leaves 32 bits.</exception>
    internal static Axis OfOutputs(
        int outputs, int taps, int stride, int before, int after, int dilation, int more,
        [CallerArgumentExpression(nameof(outputs))] string outputsName = "", [CallerArgumentExpression(nameof(taps))] string tapsName = "",
        [CallerArgumentExpression(nameof(stride))] string strideName = "", [CallerArgumentExpression(nameof(before))] string beforeName = "",
        [CallerArgumentExpression(nameof(after))] string afterName = "", [CallerArgumentExpression(nameof(dilation))] string dilationName = "",
        [CallerArgumentExpression(nameof(more))] string moreName = "")
    {
        Names names = new(outputsName, tapsName, strideName, beforeName, afterName, dilationName);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(outputs, outputsName);
        ThrowIfInvalid(taps, stride, before, after, dilation, names);
        ArgumentOutOfRangeException.ThrowIfNegative(more, moreName);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(more, stride, moreName);
        long size = ((outputs - 1L) * stride) + ((taps - 1L) * dilation) + 1 + more - before - after;
        return size switch
        {
            < 1 => throw new ArgumentException(
                $"{beforeName} = {before} and its other side = {after} leave {size} of the output: it needs at least 1.", beforeName),
            > int.MaxValue => throw new ArgumentException(
                $"{strideName} = {stride} makes an output of {size}, which 32 bits do not hold.", strideName),
            _ => new((int)size, taps, stride, before, after, dilation, names),
        };
    }

    private static void ThrowIfInvalid(int taps, int stride, int before, int after, int dilation, in Names names)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(taps, names.Taps);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(stride, names.Stride);
        ArgumentOutOfRangeException.ThrowIfNegative(before, names.Before);
        ArgumentOutOfRangeException.ThrowIfNegative(after, names.After);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(dilation, names.Dilation);
    }

    private readonly record struct Names(string Size, string Taps, string Stride, string Before, string After, string Dilation);
}
