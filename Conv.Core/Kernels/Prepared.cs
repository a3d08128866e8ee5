using System.Runtime.InteropServices;

namespace Conv;

/// <summary>What all prepared convolutions of this assembly share: the checks of one call, before anything is written.</summary>
/// <param name="shape">The shape that was prepared.</param>
/// <param name="workspaceFloats">Elements of workspace that one call needs.</param>
internal abstract class Prepared(ConvShape shape, long workspaceFloats) : IPreparedConvolution
{
    /// <inheritdoc/>
    public long WorkspaceBytes { get; } = workspaceFloats * sizeof(float);

    /// <summary>The shape that was prepared.</summary>
    protected ConvShape Shape { get; } = shape;

    /// <inheritdoc/>
    public void Run(ReadOnlySpan<float> input, Span<float> output, Span<byte> workspace)
    {
        Guard.Images(Shape, input.Length, output.Length);
        Guard.Workspace(workspace, WorkspaceBytes);
        if (!output.IsEmpty)
        {
            Compute(input, output, MemoryMarshal.Cast<byte, float>(workspace[..(int)WorkspaceBytes]));
        }
    }

    /// <summary>Writes every element of an output that has some; the arguments have been checked.</summary>
    protected abstract void Compute(ReadOnlySpan<float> input, Span<float> output, Span<float> workspace);
}
