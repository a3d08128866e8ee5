using System.Runtime.InteropServices;

namespace Conv;

/// <summary>A prepared convolution whose work is cut into parts for the team: the checks, the pinning and the workspace of a call.</summary>
internal abstract unsafe class PartedConvolution : IThreadedConvolution, IParts
{
    // Below so many multiply-adds, waking another thread costs more than it brings: a call shares its work only when it is told to.
    private const long WorthSharing = 1_000_000;

    // Below so many it could not be cut into parts that are worth the name, and needs no workspace for others.
    private const long Divisible = 1_000;

    // A workspace has to fit into one span: where members need much, there are fewer of them.
    private const long MostFloats = int.MaxValue / sizeof(float) / 2;

    private readonly long _sharedFloats;
    private readonly long _memberFloats;
    private readonly long _floats;

    /// <summary>The most bytes of workspace, on any number of threads up to the number of processors.</summary>
    /// <param name="shape">The convolution.</param>
    /// <param name="sharedFloats">No less than its members share.</param>
    /// <param name="memberFloats">No less than each has of its own.</param>
    public static long Limit(ConvShape shape, double sharedFloats, double memberFloats) =>
        shape.OutputLength == 0 ? 0 : (long)Math.Min(
            long.MaxValue / 2,
            (sizeof(float) * (sharedFloats + (ThreadTeam.Size * (memberFloats + Machine.LineFloats)) + Machine.LineFloats)) + AlignedFloats.Line);

    /// <summary>Fixes what a call needs.</summary>
    /// <param name="shape">The convolution.</param>
    /// <param name="sharedFloats">Workspace that all members see.</param>
    /// <param name="memberFloats">Workspace that each member has of its own.</param>
    protected PartedConvolution(ConvShape shape, long sharedFloats, long memberFloats)
    {
        Shape = shape;
        _sharedFloats = RoundUp(sharedFloats);
        Members = shape.MultiplyAdds < Divisible ? 1
            : (int)Math.Clamp((MostFloats - _sharedFloats) / Math.Max(1, RoundUp(memberFloats)), 1, ThreadTeam.Size);
        _memberFloats = Members == 1 ? memberFloats : RoundUp(memberFloats);
        _floats = shape.OutputLength == 0 ? 0 : _sharedFloats + (_memberFloats * Members);
        WorkspaceBytes = AlignedFloats.Bytes(_floats);
    }

    /// <inheritdoc/>
    public long WorkspaceBytes { get; }

    /// <summary>The shape that was prepared.</summary>
    protected ConvShape Shape { get; }

    /// <summary>The most threads that a call can use.</summary>
    protected int Members { get; }

    /// <inheritdoc/>
    public void Run(ReadOnlySpan<float> input, Span<float> output, Span<byte> workspace) =>
        Run(input, output, workspace, Shape.MultiplyAdds < WorthSharing ? 1 : Members);

    /// <inheritdoc/>
    public void Run(ReadOnlySpan<float> input, Span<float> output, Span<byte> workspace, int threads)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(threads);
        Guard.Images(Shape, input.Length, output.Length);
        Guard.Workspace(workspace, WorkspaceBytes);
        if (output.IsEmpty)
        {
            return;
        }

        fixed (float* x = input, y = output)
        {
            fixed (byte* free = workspace)
            {
                Call call = new() { Input = x, Output = y, Shared = AlignedFloats.Align(free, _floats) };
                call.Own = call.Shared + _sharedFloats;
                ThreadTeam.Do(this, Phases, Math.Min(threads, Members), &call);
            }
        }
    }

    /// <inheritdoc/>
    public void Do(int phase, int part, int member, void* call)
    {
        Call* own = (Call*)call;
        Do(phase, part, own->Input, own->Output, own->Shared, own->Own + (member * _memberFloats));
    }

    /// <inheritdoc/>
    public abstract int PartsOf(int phase);

    /// <summary>How many phases a call has.</summary>
    protected abstract int Phases { get; }

    /// <summary>Does one part.</summary>
    /// <param name="phase">The phase.</param>
    /// <param name="part">Its number in the phase.</param>
    /// <param name="input">The whole input.</param>
    /// <param name="output">The whole output.</param>
    /// <param name="shared">The workspace that all members see.</param>
    /// <param name="own">The workspace of this member.</param>
    protected abstract void Do(int phase, int part, float* input, float* output, float* shared, float* own);

    // Whole cache lines, so that no two members share one.
    private static long RoundUp(long floats) => (floats + Machine.LineFloats - 1) & ~(Machine.LineFloats - 1L);

    /// <summary>The addresses of one call.</summary>
    [StructLayout(LayoutKind.Auto)]
    private protected struct Call
    {
        public float* Input;
        public float* Output;
        public float* Shared;
        public float* Own;
    }
}
