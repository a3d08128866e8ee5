namespace Conv;

/// <summary>Optional beside <see cref="IPreparedConvolution"/>: the caller says how many threads may work on a call.</summary>
public interface IThreadedConvolution : IPreparedConvolution
{
    /// <summary>As <see cref="IPreparedConvolution.Run"/>, on at most so many threads; more than there is work for is no error.</summary>
    /// <param name="input">N×C×H×W, dense, row-major.</param>
    /// <param name="output">N×O×H_o×W_o, dense, row-major; what it held does not matter.</param>
    /// <param name="workspace">At least <see cref="IPreparedConvolution.WorkspaceBytes"/> bytes of any content.</param>
    /// <param name="threads">At least 1.</param>
    /// <exception cref="ArgumentException">A span's length disagrees with the shape, or there are no threads; nothing was written.</exception>
    void Run(ReadOnlySpan<float> input, Span<float> output, Span<byte> workspace, int threads);
}

/// <summary>Optional beside <see cref="IConvolution"/>: shapes on which <see cref="IPreparedConvolution.Run"/> takes one memory as its
/// input and its output.</summary>
public interface IInPlaceConvolution
{
    /// <summary>Whether the output may be written over the input: every output element must depend on its own place alone.</summary>
    bool TakesInPlace(ConvShape shape);
}
