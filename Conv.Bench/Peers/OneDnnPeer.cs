using System.Runtime.InteropServices;
using Conv.Bench.Race;

[assembly: DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]

namespace Conv.Bench.Peers;

/// <summary>How oneDNN is asked. The numbers are the shim's.</summary>
internal enum OneDnnWay
{
    /// <summary>Images in NCHW, its direct algorithm.</summary>
    Plain = 0,

    /// <summary>Images in the layout that it likes; what it takes to get there and back is not counted.</summary>
    Blocked = 1,

    /// <summary>Its Winograd, images in NCHW: the reorders that it needs are counted.</summary>
    Winograd = 2,
}

/// <summary>oneDNN through a shim, which Conv.Bench/Peers/build.sh makes.</summary>
internal sealed unsafe partial class OneDnnPeer(OneDnnWay way) : IContender
{
    private const string Shim = "onednn_shim";
    private const int Unsupported = 1;

    static OneDnnPeer() => NativeLibrary.SetDllImportResolver(
        typeof(OneDnnPeer).Assembly,
        (name, _, _) => name == Shim ? NativeLibrary.Load(Path.GetFullPath("artifacts/race/libonednn_shim.so")) : 0);

    public string Name => way == OneDnnWay.Plain ? "onednn" : way == OneDnnWay.Blocked ? "onednn-blocked" : "onednn-winograd";

    public string Description { get; } = $"oneDNN {Marshal.PtrToStringUTF8(Version())}" + way switch
    {
        OneDnnWay.Plain => ", direct, NCHW",
        OneDnnWay.Blocked => ", direct, its own layout of images, reorders not counted",
        _ => ", explicit Winograd, NCHW, reorders counted",
    };

    public IRunner Prepare(Problem problem, int threads) => new Primitive(way, problem, threads);

    [LibraryImport(Shim, EntryPoint = "race_onednn_version")]
    private static partial nint Version();

    [LibraryImport(Shim, EntryPoint = "race_onednn_prepare")]
    private static partial int Prepare(long* problem, int way, int threads, float* weight, nint input, nint output, out nint made);

    [LibraryImport(Shim, EntryPoint = "race_onednn_implementation")]
    private static partial nint Implementation(nint primitive);

    [LibraryImport(Shim, EntryPoint = "race_onednn_threads")]
    private static partial void SetThreads(int threads);

    [LibraryImport(Shim, EntryPoint = "race_onednn_run")]
    private static partial int Run(nint primitive);

    [LibraryImport(Shim, EntryPoint = "race_onednn_fetch")]
    private static partial int Fetch(nint primitive);

    [LibraryImport(Shim, EntryPoint = "race_onednn_release")]
    private static partial void Release(nint primitive);

    private sealed class Primitive : Runner
    {
        private readonly AlignedFloats _output;
        private readonly nint[] _primitives;
        private readonly int _threads;

        public Primitive(OneDnnWay way, Problem problem, int threads)
            : base(problem)
        {
            ConvShape s = problem.Shape;
            _threads = threads;
            _output = new AlignedFloats(s.OutputLength);
            _primitives = new nint[problem.Copies];
            ReadOnlySpan<long> fields =
            [
                s.Batch, s.Groups, s.InChannels, s.Rows.Size, s.Columns.Size, s.OutChannels, s.Rows.Outputs, s.Columns.Outputs,
                s.Rows.Taps, s.Columns.Taps, s.Rows.Stride, s.Columns.Stride, s.Rows.Dilation, s.Columns.Dilation,
                s.Rows.Before, s.Columns.Before, s.Rows.After, s.Columns.After,
            ];
            fixed (long* first = fields)
            fixed (float* kernel = problem.Kernel)
            {
                foreach (ref nint primitive in _primitives.AsSpan())
                {
                    int status = Prepare(first, (int)way, threads, kernel, problem.Input.Address, _output.Address, out primitive);
                    if (status != 0)
                    {
                        _output.Dispose();
                        throw new NotRunException(status == Unsupported ? "refused" : "failed");
                    }
                }
            }

            Detail = Marshal.PtrToStringUTF8(Implementation(_primitives[0])) ?? "";
        }

        public override string Detail { get; }

        public override float[] Output()
        {
            ThrowIfFailed(Fetch(_primitives[0]));
            return _output.Span.ToArray();
        }

        public override void Dispose()
        {
            foreach (nint primitive in _primitives)
            {
                Release(primitive);
            }

            _output.Dispose();
        }

        protected override void BeforeCalls() => SetThreads(_threads);

        protected override void Run(int copy) => ThrowIfFailed(OneDnnPeer.Run(_primitives[copy]));

        private static void ThrowIfFailed(int status)
        {
            if (status != 0)
            {
                throw new NotRunException("failed");
            }
        }
    }
}
