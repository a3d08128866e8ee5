namespace Conv;

// Patches are gathered straight from the input's view; kernel and sums pass through dense blocks.
public sealed partial class Im2col : IViewConvolution
{
    /// <inheritdoc/>
    /// <remarks>The sums are those of the dense call, to the bit. Three blocks of 4 MiB (more only if the n taps of a single output exceed
    /// one): rows of the kernel, columns of patches, their product. The output's strides, ordered by size, must each be longer than all
    /// that the shorter ones reach.</remarks>
    public void Run(
        ConvShape shape, ReadOnlySpan<float> input, TensorView inputView, ReadOnlySpan<float> kernel, TensorView kernelView,
        ReadOnlySpan<float> bias, Span<float> output, TensorView outputView)
    {
        Guard.Supported(this, shape);
        Guard.Views(shape, input.Length, inputView, kernel.Length, kernelView, bias.Length, output.Length, outputView);
        if (shape.OutputLength == 0)
        {
            return;
        }

        int terms = (int)shape.TermsPerOutput;
        int outPlane = (int)shape.OutputPlane;
        int rowsPerBlock = Math.Clamp(Patches.BlockFloats / Math.Max(1, terms), 1, shape.OutChannelsPerGroup);
        int columnsPerBlock = Math.Clamp(Patches.BlockFloats / Math.Max(terms, rowsPerBlock), 1, outPlane);
        using Rented weights = new(rowsPerBlock * terms);
        using Rented patches = new(terms * columnsPerBlock);
        using Rented sums = new(rowsPerBlock * columnsPerBlock);
        int rows;
        for (int o = 0; o < shape.OutChannels; o += rows)
        {
            (int group, int inGroup) = Math.DivRem(o, shape.OutChannelsPerGroup);
            rows = Math.Min(rowsPerBlock, shape.OutChannelsPerGroup - inGroup);
            CopyKernel(shape, kernel, kernelView with { Offset = kernelView.At(o, 0, 0, 0) }, rows, weights.Span);
            ReadOnlySpan<float> biases = bias.IsEmpty ? [] : bias.Slice(o, rows);
            for (int n = 0; n < shape.Batch; n++)
            {
                // A view of no channels may point anywhere; then nothing is gathered through it.
                TensorView channels = inputView with { Offset = inputView.At(n, group * shape.InChannelsPerGroup, 0, 0) };
                for (int first = 0, columns; first < outPlane; first += columns)
                {
                    columns = Math.Min(columnsPerBlock, outPlane - first);
                    Patches.Gather(shape, input, channels, first, columns, patches.Span);
                    Gemm.Multiply(rows, columns, terms, weights.Span, terms, patches.Span, columns, biases, sums.Span, columns);
                    Store(shape, sums.Span, rows, first, columns, output, outputView with { Offset = outputView.At(n, o, 0, 0) });
                }
            }
        }
    }

    // Some output channels of a kernel, from the view's first on, as dense rows of n taps.
    private static void CopyKernel(ConvShape shape, ReadOnlySpan<float> kernel, TensorView view, int rows, Span<float> weights)
    {
        int at = 0;
        for (int o = 0; o < rows; o++)
        {
            for (int c = 0; c < shape.InChannelsPerGroup; c++)
            {
                for (int u = 0; u < shape.Rows.Taps; u++)
                {
                    for (int v = 0; v < shape.Columns.Taps; v++)
                    {
                        weights[at++] = kernel[view.At(o, c, u, v)];
                    }
                }
            }
        }
    }

    // Dense rows of sums, columns counted over the H_o·W_o positions, to the view's channels from its first on.
    private static void Store(ConvShape shape, ReadOnlySpan<float> sums, int rows, int first, int columns, Span<float> output, TensorView view)
    {
        int at = 0;
        for (int o = 0; o < rows; o++)
        {
            (int i, int j) = Math.DivRem(first, shape.Columns.Outputs);
            for (int column = 0; column < columns; column++)
            {
                output[view.At(0, o, i, j)] = sums[at++];
                j++;
                if (j == shape.Columns.Outputs)
                {
                    i++;
                    j = 0;
                }
            }
        }
    }
}
