namespace Conv;

// The adjoints as matrix products with the patch matrix, for each image and group, a block of its columns at a time.
public sealed partial class Im2col : IGradients, ITransposedConvolution
{
    /// <inheritdoc/>
    /// <remarks>The patches' gradient dP = Kᵀ·dY is added to where the patches are read from. Memory: a block of 4 MiB, as forward, and a
    /// transposed copy of one group's kernel. |d̂X − dX| ≤ γ_m·Σ|dY||k| + m·2⁻¹⁴⁹, m = (O/G)·K_h·K_w: docs/bounds.md, lemma 12.</remarks>
    public void BackwardInput(ConvShape shape, ReadOnlySpan<float> outputGradient, ReadOnlySpan<float> kernel, Span<float> inputGradient)
    {
        Guard.Supported(this, shape);
        Guard.Length(outputGradient.Length, shape.OutputLength, shape, nameof(outputGradient));
        Guard.Length(kernel.Length, shape.KernelLength, shape, nameof(kernel));
        Guard.Length(inputGradient.Length, shape.InputLength, shape, nameof(inputGradient));
        inputGradient.Clear();
        AddAdjoint(shape, outputGradient, kernel, inputGradient);
    }

    /// <inheritdoc/>
    /// <remarks>dK = dY·Pᵀ, summed over images. Memory: two blocks of 4 MiB, the patches and their transpose. Padding stands in P as zeros, by
    /// which a dY that is not finite is multiplied. |d̂K − dK| ≤ γ_m·Σ|dY||x| + m·2⁻¹⁴⁹, m = N·H_o·W_o: docs/bounds.md, lemma 12.</remarks>
    public void BackwardKernel(ConvShape shape, ReadOnlySpan<float> input, ReadOnlySpan<float> outputGradient, Span<float> kernelGradient)
    {
        Guard.Supported(this, shape);
        Guard.Length(input.Length, shape.InputLength, shape, nameof(input));
        Guard.Length(outputGradient.Length, shape.OutputLength, shape, nameof(outputGradient));
        Guard.Length(kernelGradient.Length, shape.KernelLength, shape, nameof(kernelGradient));
        kernelGradient.Clear();
        if (shape.MultiplyAdds == 0)
        {
            return;
        }

        int terms = (int)shape.TermsPerOutput;
        int outPlane = (int)shape.OutputPlane;
        int columnsPerBlock = (int)Patches.ColumnsPerBlock(shape);
        TensorView dense = TensorView.Dense(shape.InChannels, shape.Rows.Size, shape.Columns.Size);
        using Rented patches = new(terms * columnsPerBlock);
        using Rented transposed = new(terms * columnsPerBlock);
        for (int n = 0; n < shape.Batch; n++)
        {
            for (int g = 0; g < shape.Groups; g++)
            {
                TensorView channels = dense with { Offset = dense.At(n, g * shape.InChannelsPerGroup, 0, 0) };
                ReadOnlySpan<float> gradients = OfGroup(outputGradient, (n * shape.Groups) + g, shape.OutChannelsPerGroup * outPlane);
                Span<float> result = OfGroup(kernelGradient, g, shape.OutChannelsPerGroup * terms);
                for (int first = 0, columns; first < outPlane; first += columns)
                {
                    columns = Math.Min(columnsPerBlock, outPlane - first);
                    Patches.Gather(shape, input, channels, first, columns, patches.Span);
                    Transposition.Copy(terms, columns, patches.Span, transposed.Span);
                    Gemm.Add(shape.OutChannelsPerGroup, terms, columns, gradients[first..], outPlane, transposed.Span, terms, result, terms);
                }
            }
        }
    }

    /// <inheritdoc/>
    public void BackwardBias(ConvShape shape, ReadOnlySpan<float> outputGradient, Span<float> biasGradient)
    {
        Guard.Supported(this, shape);
        Loop.BackwardBias(shape, outputGradient, biasGradient);
    }

    /// <inheritdoc/>
    /// <remarks>The bias, to which <see cref="BackwardInput"/> of <see cref="TransposedShape.Forward"/> is added.
    /// |ŷ − y| ≤ γ_{m+1}·(Σ|x||k| + |b|) + (m+1)·2⁻¹⁴⁹, m = (C/G)·K_h·K_w: docs/bounds.md, lemma 12.</remarks>
    public void Transpose(TransposedShape shape, ReadOnlySpan<float> input, ReadOnlySpan<float> kernel, ReadOnlySpan<float> bias, Span<float> output)
    {
        Guard.Supported(this, shape.Forward);
        Guard.Transposed(shape, input.Length, kernel.Length, bias.Length, output.Length);
        int plane = (int)shape.Forward.InputPlane;
        for (int row = 0; row < shape.Forward.Batch * shape.OutChannels; row++)
        {
            output.Slice(row * plane, plane).Fill(bias.IsEmpty ? 0 : bias[row % shape.OutChannels]);
        }

        AddAdjoint(shape.Forward, input, kernel, output);
    }

    private static void AddAdjoint(ConvShape shape, ReadOnlySpan<float> outputGradient, ReadOnlySpan<float> kernel, Span<float> inputGradient)
    {
        if (shape.MultiplyAdds == 0)
        {
            return;
        }

        int terms = (int)shape.TermsPerOutput;
        int outChannels = shape.OutChannelsPerGroup;
        int outPlane = (int)shape.OutputPlane;
        int columnsPerBlock = (int)Patches.ColumnsPerBlock(shape);
        using Rented patchGradients = new(terms * columnsPerBlock);
        using Rented transposed = new(outChannels * terms);
        for (int g = 0; g < shape.Groups; g++)
        {
            Transposition.Copy(outChannels, terms, OfGroup(kernel, g, outChannels * terms), transposed.Span);
            for (int n = 0; n < shape.Batch; n++)
            {
                int imageAndGroup = (n * shape.Groups) + g;
                ReadOnlySpan<float> gradients = OfGroup(outputGradient, imageAndGroup, outChannels * outPlane);
                Span<float> channels = OfGroup(inputGradient, imageAndGroup, shape.InChannelsPerGroup * (int)shape.InputPlane);
                for (int first = 0, columns; first < outPlane; first += columns)
                {
                    columns = Math.Min(columnsPerBlock, outPlane - first);
                    Gemm.Multiply(
                        terms, columns, outChannels, transposed.Span, outChannels, gradients[first..], outPlane, [], patchGradients.Span, columns);
                    Patches.ScatterAdd(shape, patchGradients.Span, first, columns, channels);
                }
            }
        }
    }

    private static ReadOnlySpan<float> OfGroup(ReadOnlySpan<float> tensor, int index, int length) => tensor.Slice(index * length, length);

    private static Span<float> OfGroup(Span<float> tensor, int index, int length) => tensor.Slice(index * length, length);
}
