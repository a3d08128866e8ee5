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

    private static void Length(int actual, long expected, ConvShape shape, string parameter)
    {
        if (actual != expected)
        {
            throw new ArgumentException($"{parameter} has {actual} elements, {expected} are expected of {shape}.", parameter);
        }
    }
}
