namespace Conv;

/// <summary>An implementation of <c>Y_j = Σ_c X_c ⋆ K_{j,c} + b_j</c> on float32.</summary>
public interface IConvolution
{
    /// <summary>The id of the implementation wherever it is named: <c>winograd-f4x3</c>.</summary>
    string Name { get; }

    /// <summary>Whether <see cref="Prepare"/> takes this shape. Never silent: what is false here is reported.</summary>
    bool Supports(ConvShape shape);

    /// <summary>How a supported shape is summed, from which the error bound follows.</summary>
    Arithmetic ArithmeticOf(ConvShape shape);

    /// <summary>How gradients and transposed convolutions of a shape are summed, where the implementation has them: <see cref="AnyOrder"/> or
    /// <see cref="Within"/>. Null: as the forward pass, if that is one of these; else nothing is declared of them.</summary>
    Arithmetic? AdjointArithmeticOf(ConvShape shape) => null;

    /// <summary>What else is promised, and where a generator of cases should look.</summary>
    Traits Traits => Traits.Default;

    /// <summary>A promise: the most <see cref="IPreparedConvolution.WorkspaceBytes"/> of what is prepared for a supported shape, fused or not, on
    /// vectors of any width and caches of any size; null where nothing is promised.</summary>
    long? WorkspaceLimit(ConvShape shape) => null;

    /// <summary>Packs the weights once. The kernel and the bias are not read after the call. May be called from any thread.</summary>
    /// <param name="shape">A supported shape.</param>
    /// <param name="kernel">O×(C/G)×K_h×K_w, dense, row-major.</param>
    /// <param name="bias">O numbers, or empty for none.</param>
    /// <exception cref="ArgumentException">A span's length disagrees with the shape, or the shape is not supported.</exception>
    IPreparedConvolution Prepare(ConvShape shape, ReadOnlySpan<float> kernel, ReadOnlySpan<float> bias);
}

/// <summary>A convolution with its weights: run it many times, from any thread.</summary>
public interface IPreparedConvolution
{
    /// <summary>Bytes of workspace that one call of <see cref="Run"/> needs.</summary>
    long WorkspaceBytes { get; }

    /// <summary>Writes every element of the output.</summary>
    /// <param name="input">N×C×H×W, dense, row-major.</param>
    /// <param name="output">N×O×H_o×W_o, dense, row-major; what it held does not matter.</param>
    /// <param name="workspace">At least <see cref="WorkspaceBytes"/> bytes of any content, of this call's own.</param>
    /// <exception cref="ArgumentException">A span's length disagrees with the shape; nothing was written.</exception>
    void Run(ReadOnlySpan<float> input, Span<float> output, Span<byte> workspace);
}
