using System.Globalization;

namespace Conv;

/// <summary>
/// The validated geometry of one transposed 2-D convolution, the adjoint of the forward one in <see cref="Forward"/>:
/// <c>y[n,o,h,w] = b[o] + Σ x[n,c,i,j] · k[c,o',u,v]</c> over the i, j, u, v with h = i·s_h + u·d_h − p_t and w = j·s_w + v·d_w − p_l.
/// </summary>
/// <remarks>Layouts, all dense and row-major: input N×C×H×W, kernel C×(O/G)×K_h×K_w, bias O, output N×O×H_o×W_o.
/// Source: docs/specification.md, the clauses TRN.</remarks>
public sealed record TransposedShape
{
    /// <summary>The transposed convolution whose result is an input of the forward one: its channels and sizes are exchanged.</summary>
    /// <param name="forward">The forward convolution; its output size is the transposed one's input size.</param>
    public TransposedShape(ConvShape forward)
    {
        ArgumentNullException.ThrowIfNull(forward);
        Forward = forward;
    }

    /// <summary>Describes a transposed convolution. Parameters as those of <see cref="ConvShape"/>, seen from the transposed side.</summary>
    /// <param name="batch">N ≥ 0.</param>
    /// <param name="inChannels">C ≥ 0, a multiple of <paramref name="groups"/>.</param>
    /// <param name="inHeight">H ≥ 1.</param>
    /// <param name="inWidth">W ≥ 1.</param>
    /// <param name="outChannels">O ≥ 0, a multiple of <paramref name="groups"/>.</param>
    /// <param name="kernelHeight">K_h ≥ 1.</param>
    /// <param name="kernelWidth">K_w ≥ 1.</param>
    /// <param name="strideHeight">s_h ≥ 1.</param>
    /// <param name="strideWidth">s_w ≥ 1.</param>
    /// <param name="padTop">p_t ≥ 0, rows cut off before the first.</param>
    /// <param name="padLeft">p_l ≥ 0, columns cut off before the first.</param>
    /// <param name="padBottom">p_b ≥ 0, rows cut off after the last.</param>
    /// <param name="padRight">p_r ≥ 0, columns cut off after the last.</param>
    /// <param name="dilationHeight">d_h ≥ 1.</param>
    /// <param name="dilationWidth">d_w ≥ 1.</param>
    /// <param name="outputPaddingHeight">0 ≤ op_h &lt; s_h, rows more at the end.</param>
    /// <param name="outputPaddingWidth">0 ≤ op_w &lt; s_w, columns more at the end.</param>
    /// <param name="groups">G ≥ 1.</param>
    /// <exception cref="ArgumentException">A size is out of range, channels do not divide into groups, nothing is left of the output,
    /// or a count leaves 64 bits. The message names the parameter and the values.</exception>
    public TransposedShape(
        int batch, int inChannels, int inHeight, int inWidth, int outChannels, int kernelHeight, int kernelWidth,
        int strideHeight = 1, int strideWidth = 1,
        int padTop = 0, int padLeft = 0, int padBottom = 0, int padRight = 0,
        int dilationHeight = 1, int dilationWidth = 1, int outputPaddingHeight = 0, int outputPaddingWidth = 0, int groups = 1)
    {
        // What the forward shape would refuse by the name of the other side.
        ArgumentOutOfRangeException.ThrowIfNegative(inChannels);
        ArgumentOutOfRangeException.ThrowIfNegative(outChannels);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(groups);
        ConvShape.ThrowIfNotDivisible(inChannels, groups, nameof(inChannels));
        ConvShape.ThrowIfNotDivisible(outChannels, groups, nameof(outChannels));
        Forward = new ConvShape(
            batch, outChannels, inChannels,
            Axis.OfOutputs(inHeight, kernelHeight, strideHeight, padTop, padBottom, dilationHeight, outputPaddingHeight),
            Axis.OfOutputs(inWidth, kernelWidth, strideWidth, padLeft, padRight, dilationWidth, outputPaddingWidth),
            groups);
    }

    /// <summary>The forward convolution whose adjoint this is: C and O, sizes of input and output exchanged.</summary>
    public ConvShape Forward { get; }

    /// <summary>op_h, rows at the end that a full last stride would add.</summary>
    public int OutputPaddingHeight => Forward.Rows.Unused;

    /// <summary>op_w, columns at the end that a full last stride would add.</summary>
    public int OutputPaddingWidth => Forward.Columns.Unused;

    /// <summary>C, input channels of the transposed convolution.</summary>
    public int InChannels => Forward.OutChannels;

    /// <summary>O, output channels of the transposed convolution.</summary>
    public int OutChannels => Forward.InChannels;

    /// <summary>H, input rows.</summary>
    public int InHeight => Forward.OutHeight;

    /// <summary>W, input columns.</summary>
    public int InWidth => Forward.OutWidth;

    /// <summary>H_o = (H − 1)·s_h + (K_h − 1)·d_h + 1 + op_h − p_t − p_b.</summary>
    public int OutHeight => Forward.InHeight;

    /// <summary>W_o = (W − 1)·s_w + (K_w − 1)·d_w + 1 + op_w − p_l − p_r.</summary>
    public int OutWidth => Forward.InWidth;

    /// <summary>N·C·H·W.</summary>
    public long InputLength => Forward.OutputLength;

    /// <summary>N·O·H_o·W_o.</summary>
    public long OutputLength => Forward.InputLength;

    /// <summary>The forward convolution and the output padding, as fields.</summary>
    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"transposed of {Forward} oph={OutputPaddingHeight} opw={OutputPaddingWidth}");
}
