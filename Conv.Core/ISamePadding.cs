namespace Conv;

/// <summary>Optional beside <see cref="IConvolution"/>: the zeros of SAME padding as the implementation computes them for itself.</summary>
/// <remarks>Source: docs/specification.md, SAME-1.</remarks>
public interface ISamePadding
{
    /// <summary>The fewest zeros that give ⌈size / stride⌉ outputs, half of them before; an odd one stands where <paramref name="side"/> says.</summary>
    /// <param name="size">Rows or columns of the input.</param>
    /// <param name="kernelSize">Taps on that axis.</param>
    /// <param name="stride">At least 1.</param>
    /// <param name="dilation">At least 1.</param>
    /// <param name="side">Where an odd zero stands.</param>
    (int Before, int After) SamePads(int size, int kernelSize, int stride, int dilation, SamePadding side);
}
