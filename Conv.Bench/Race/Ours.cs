using System.Runtime.InteropServices;

namespace Conv.Bench.Race;

/// <summary>An implementation of this repository.</summary>
internal sealed class Ours(IConvolution implementation) : IContender
{
    /// <summary>The catalogue, and its choice where no error may be amplified.</summary>
    public static IReadOnlyList<IConvolution> All { get; } = [.. Catalogue.All, new Auto(Auto.Direct, "auto-direct")];

    public string Name => implementation.Name;

    public string Description => "of this repository";

    public IRunner Prepare(Problem problem, int threads) => implementation.Supports(problem.Shape)
        ? new OurRunner(implementation, problem, threads)
        : throw new NotRunException("does not support it");

    /// <summary>What sums in float32 as it stands, and fast enough to be in a race.</summary>
    public static bool IsCandidate(IConvolution implementation, ConvShape shape) =>
        implementation is not (Loop or Float64) && implementation.Supports(shape) && implementation.ArithmeticOf(shape) is AnyOrder or Bilinear;
}

internal sealed class OurRunner : Runner
{
    private readonly IPreparedConvolution[] _prepared;
    private readonly IThreadedConvolution?[] _threaded;
    private readonly AlignedFloats _input;
    private readonly AlignedFloats _output;
    private readonly AlignedFloats _workspace;
    private readonly int _threads;

    public OurRunner(IConvolution implementation, Problem problem, int threads)
        : base(problem)
    {
        _prepared = [.. Enumerable.Range(0, problem.Copies).Select(_ => implementation.Prepare(problem.Shape, problem.Kernel, []))];
        _threaded = [.. _prepared.Select(prepared => prepared as IThreadedConvolution)];
        _threads = threads;
        _input = problem.Input;
        _output = new AlignedFloats(problem.Shape.OutputLength);
        _workspace = new AlignedFloats((_prepared[0].WorkspaceBytes + 3) / 4);
        Detail = _threaded[0] is null && threads > 1 ? "takes no number of threads" : "";
    }

    public override string Detail { get; }

    public override float[] Output() => _output.Span.ToArray();

    public override void Dispose()
    {
        foreach (IDisposable prepared in _prepared.OfType<IDisposable>())
        {
            prepared.Dispose();
        }

        _output.Dispose();
        _workspace.Dispose();
    }

    protected override void Run(int copy)
    {
        Span<byte> workspace = MemoryMarshal.AsBytes(_workspace.Span);
        if (_threaded[copy] is { } threaded)
        {
            threaded.Run(_input.Span, _output.Span, workspace, _threads);
        }
        else
        {
            _prepared[copy].Run(_input.Span, _output.Span, workspace);
        }
    }
}
