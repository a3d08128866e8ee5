namespace Conv;

/// <summary>Optional beside <see cref="IConvolution"/>: the output size as the implementation computes it for itself.</summary>
/// <remarks>Source: docs/specification.md, GEO-1.</remarks>
public interface IOutputSize
{
    /// <summary>h_o = ⌊(h + p_t + p_b − (k_h − 1)·d_h − 1) / s_h⌋ + 1, and the same for columns.</summary>
    /// <param name="shape">Any shape, supported or not.</param>
    (long Height, long Width) OutputSize(ConvShape shape);
}
