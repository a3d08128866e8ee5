namespace Conv;

/// <summary>The argument checks of every implementation. Each message names the parameter, what it is and what it must be.</summary>
internal static class Guard
{
    /// <summary>The shape is one that the implementation takes.</summary>
    /// <exception cref="ArgumentException">It is not.</exception>
    public static void Supported(IConvolution implementation, ConvShape shape)
    {
        if (!implementation.Supports(shape))
        {
            throw new ArgumentException($"{implementation.Name} does not support {shape}.", nameof(shape));
        }
    }

    /// <summary>The kernel has O·(C/G)·K_h·K_w elements, the bias O or none.</summary>
    /// <exception cref="ArgumentException">A length disagrees.</exception>
    public static void Weights(ConvShape shape, int kernelLength, int biasLength)
    {
        Length(kernelLength, shape.KernelLength, shape, "kernel");
        if (biasLength != 0)
        {
            Length(biasLength, shape.OutChannels, shape, "bias");
        }
    }

    /// <summary>The input has N·C·H·W elements, the output N·O·H_o·W_o.</summary>
    /// <exception cref="ArgumentException">A length disagrees.</exception>
    public static void Images(ConvShape shape, int inputLength, int outputLength)
    {
        Length(inputLength, shape.InputLength, shape, "input");
        Length(outputLength, shape.OutputLength, shape, "output");
    }

    /// <summary>The workspace has at least the bytes that were asked for.</summary>
    /// <exception cref="ArgumentException">It has fewer.</exception>
    public static void Workspace(ReadOnlySpan<byte> workspace, long bytesNeeded)
    {
        if (workspace.Length < bytesNeeded)
        {
            throw new ArgumentException($"workspace has {workspace.Length} bytes, at least {bytesNeeded} are needed.", nameof(workspace));
        }
    }

    /// <summary>Scale and shift have O numbers each.</summary>
    /// <exception cref="ArgumentException">A length disagrees.</exception>
    public static void Numbers(ConvShape shape, Epilogue epilogue)
    {
        if (epilogue.Scale.Length != shape.OutChannels || epilogue.Shift.Length != shape.OutChannels)
        {
            throw new ArgumentException(
                $"epilogue has {epilogue.Scale.Length} scales and {epilogue.Shift.Length} shifts, {shape.OutChannels} of each are expected of {shape}.", nameof(epilogue));
        }
    }

    /// <summary>Every element of the three tensors lies inside its span, no two of the output lie in one place, and the bias has O numbers
    /// or none.</summary>
    /// <exception cref="ArgumentException">One of these does not hold.</exception>
    public static void Views(
        ConvShape shape, int inputLength, TensorView inputView, int kernelLength, TensorView kernelView, int biasLength, int outputLength, TensorView outputView)
    {
        ReadOnlySpan<int> outputSizes = [shape.Batch, shape.OutChannels, shape.Rows.Outputs, shape.Columns.Outputs];
        Inside(inputView, [shape.Batch, shape.InChannels, shape.Rows.Size, shape.Columns.Size], inputLength, nameof(inputView));
        Inside(kernelView, [shape.OutChannels, shape.InChannelsPerGroup, shape.Rows.Taps, shape.Columns.Taps], kernelLength, nameof(kernelView));
        Inside(outputView, outputSizes, outputLength, nameof(outputView));
        Apart(outputView, outputSizes, nameof(outputView));
        if (biasLength != 0)
        {
            Length(biasLength, shape.OutChannels, shape, "bias");
        }
    }

    /// <summary>The spans have the elements of the transposed convolution: input, kernel and output, the bias O or none.</summary>
    /// <exception cref="ArgumentException">A length disagrees.</exception>
    public static void Transposed(TransposedShape shape, int inputLength, int kernelLength, int biasLength, int outputLength)
    {
        Length(inputLength, shape.InputLength, shape, "input");
        Length(kernelLength, shape.Forward.KernelLength, shape, "kernel");
        Length(outputLength, shape.OutputLength, shape, "output");
        if (biasLength != 0)
        {
            Length(biasLength, shape.OutChannels, shape, "bias");
        }
    }

    /// <summary>A span has as many elements as its tensor.</summary>
    /// <exception cref="ArgumentException">It has more or fewer.</exception>
    public static void Length(int actual, long expected, object shape, string parameter)
    {
        if (actual != expected)
        {
            throw new ArgumentException($"{parameter} has {actual} elements, {expected} are expected of {shape}.", parameter);
        }
    }

    private static void Inside(TensorView view, ReadOnlySpan<int> sizes, int length, string parameter)
    {
        if (sizes.Contains(0))
        {
            return;
        }

        ReadOnlySpan<int> strides = [view.Stride0, view.Stride1, view.Stride2, view.Stride3];
        long lowest = view.Offset;
        long highest = view.Offset;
        for (int axis = 0; axis < sizes.Length; axis++)
        {
            // Asked after each axis, nothing leaves 64 bits: an extent is at most 2⁶², and what went before is inside the span.
            long extent = (sizes[axis] - 1L) * strides[axis];
            lowest += Math.Min(extent, 0);
            highest += Math.Max(extent, 0);
            if (lowest < 0 || highest >= length)
            {
                throw new ArgumentException(
                    $"{parameter} = {view} of {string.Join('×', sizes.ToArray())} elements reaches from {lowest} to {highest} or beyond, the span has {length}.", parameter);
            }
        }
    }

    // Sufficient: from the shortest stride to the longest, each passes over all that the shorter ones reach. Views that interleave two
    // axes otherwise are refused although some of them are one to one.
    private static void Apart(TensorView view, ReadOnlySpan<int> sizes, string parameter)
    {
        if (sizes.Contains(0))
        {
            return;
        }

        Span<long> strides = [Math.Abs((long)view.Stride0), Math.Abs((long)view.Stride1), Math.Abs((long)view.Stride2), Math.Abs((long)view.Stride3)];
        Span<int> sizesByStride = [.. sizes];
        strides.Sort(sizesByStride);
        long reach = 0;
        for (int axis = 0; axis < strides.Length; axis++)
        {
            // One element has nowhere to step to.
            if (sizesByStride[axis] == 1)
            {
                continue;
            }

            if (strides[axis] <= reach)
            {
                throw new ArgumentException(
                    $"{parameter} = {view} of {string.Join('×', sizes.ToArray())} elements may put two in one place: a stride of {strides[axis]} does not pass over {reach}.", parameter);
            }

            reach += (sizesByStride[axis] - 1) * strides[axis];
        }
    }
}
