using System.Runtime.InteropServices;
using System.Text;
using Conv.Bench.Race;
using Kit = Conv.Properties.OnnxRuntime;

namespace Conv.Bench.Peers;

/// <summary>ONNX Runtime through its C API: a session of one Conv with constant weights, all optimizations (its blocked layout included), input
/// and output bound to memory that stays.</summary>
internal sealed unsafe class OnnxRuntimePeer : IContender
{
    // What a session is made with, by the enumerations of onnxruntime_c_api.h.
    private const int Fatal = 4;
    private const int AllOptimizations = 99;

    private readonly OrtApi* _api;
    private readonly nint _environment;
    private readonly nint _memory;

    public OnnxRuntimePeer()
    {
        (nint table, string version) = Kit.load(null);
        _api = (OrtApi*)table;
        Description = $"ONNX Runtime {version}";
        nint made;
        fixed (byte* name = "race"u8)
        {
            Check(_api->CreateEnv(Fatal, name, &made));
        }

        _environment = made;
        Check(_api->CreateCpuMemoryInfo(0, 0, &made));
        _memory = made;
    }

    public string Name => "onnxruntime";

    public string Description { get; }

    public IRunner Prepare(Problem problem, int threads) => new Session(this, problem, threads);

    private void Check(nint status)
    {
        if (status != 0)
        {
            string message = Marshal.PtrToStringUTF8(_api->GetErrorMessage(status)) ?? "";
            _ = _api->ReleaseStatus(status);
            throw new NotRunException(message);
        }
    }

    private sealed class Session : Runner
    {
        private readonly OnnxRuntimePeer _peer;
        private readonly AlignedFloats _output;
        private readonly nint[] _sessions;

        // Names and values of the call, at addresses that stay: x, its tensor, y, its tensor.
        private readonly nint* _call = (nint*)NativeMemory.AllocZeroed(4, (nuint)sizeof(nint));
        private readonly byte* _names = (byte*)NativeMemory.AllocZeroed(4);

        public Session(OnnxRuntimePeer peer, Problem problem, int threads)
            : base(problem)
        {
            _peer = peer;
            ConvShape s = problem.Shape;
            _output = new AlignedFloats(s.OutputLength);
            _sessions = new nint[problem.Copies];
            (_names[0], _names[2]) = ((byte)'x', (byte)'y');
            (_call[0], _call[2]) = ((nint)_names, (nint)(_names + 2));
            _call[1] = Tensor(problem.Input, s.InputLength, [s.Batch, s.InChannels, s.InHeight, s.InWidth]);
            _call[3] = Tensor(_output, s.OutputLength, [s.Batch, s.OutChannels, s.OutHeight, s.OutWidth]);
            nint options;
            peer.Check(peer._api->CreateSessionOptions(&options));
            peer.Check(peer._api->SetSessionGraphOptimizationLevel(options, AllOptimizations));
            peer.Check(peer._api->SetIntraOpNumThreads(options, threads));
            peer.Check(peer._api->SetInterOpNumThreads(options, 1));
            byte[] model = Kit.modelOf(s, problem.Kernel, []);
            fixed (byte* bytes = model)
            {
                foreach (ref nint session in _sessions.AsSpan())
                {
                    nint made;
                    peer.Check(peer._api->CreateSessionFromArray(peer._environment, bytes, (nuint)model.Length, options, &made));
                    session = made;
                }
            }

            _ = peer._api->ReleaseSessionOptions(options);
        }

        public override float[] Output() => _output.Span.ToArray();

        public override void Dispose()
        {
            foreach (nint session in _sessions)
            {
                _ = _peer._api->ReleaseSession(session);
            }

            _ = _peer._api->ReleaseValue(_call[1]);
            _ = _peer._api->ReleaseValue(_call[3]);
            NativeMemory.Free(_call);
            NativeMemory.Free(_names);
            _output.Dispose();
        }

        protected override void Run(int copy)
        {
            nint status = _peer._api->Run(_sessions[copy], 0, _call, _call + 1, 1, _call + 2, 1, _call + 3);
            if (status != 0)
            {
                _peer.Check(status);
            }
        }

        private nint Tensor(AlignedFloats memory, long count, ReadOnlySpan<long> sizes)
        {
            nint made;
            fixed (long* first = sizes)
            {
                _peer.Check(_peer._api->CreateTensorWithData(
                    _peer._memory, memory.Address, (nuint)(4 * count), first, (nuint)sizes.Length, 1, &made));
            }

            return made;
        }
    }

    /// <summary>The functions that are used, by their places in OrtApi; each returns a status, null for success.</summary>
    [StructLayout(LayoutKind.Explicit)]
    private struct OrtApi
    {
        [FieldOffset(2 * 8)]
        public delegate* unmanaged[Cdecl]<nint, nint> GetErrorMessage;

        [FieldOffset(3 * 8)]
        public delegate* unmanaged[Cdecl]<int, byte*, nint*, nint> CreateEnv;

        [FieldOffset(8 * 8)]
        public delegate* unmanaged[Cdecl]<nint, byte*, nuint, nint, nint*, nint> CreateSessionFromArray;

        // session, run options, names and values of the inputs and their number, names of the outputs, their number, and values.
        [FieldOffset(9 * 8)]
        public delegate* unmanaged[Cdecl]<nint, nint, nint*, nint*, nuint, nint*, nuint, nint*, nint> Run;

        [FieldOffset(10 * 8)]
        public delegate* unmanaged[Cdecl]<nint*, nint> CreateSessionOptions;

        [FieldOffset(23 * 8)]
        public delegate* unmanaged[Cdecl]<nint, int, nint> SetSessionGraphOptimizationLevel;

        [FieldOffset(24 * 8)]
        public delegate* unmanaged[Cdecl]<nint, int, nint> SetIntraOpNumThreads;

        [FieldOffset(25 * 8)]
        public delegate* unmanaged[Cdecl]<nint, int, nint> SetInterOpNumThreads;

        [FieldOffset(49 * 8)]
        public delegate* unmanaged[Cdecl]<nint, nint, nuint, long*, nuint, int, nint*, nint> CreateTensorWithData;

        [FieldOffset(69 * 8)]
        public delegate* unmanaged[Cdecl]<int, int, nint*, nint> CreateCpuMemoryInfo;

        [FieldOffset(93 * 8)]
        public delegate* unmanaged[Cdecl]<nint, nint> ReleaseStatus;

        [FieldOffset(95 * 8)]
        public delegate* unmanaged[Cdecl]<nint, nint> ReleaseSession;

        [FieldOffset(96 * 8)]
        public delegate* unmanaged[Cdecl]<nint, nint> ReleaseValue;

        [FieldOffset(100 * 8)]
        public delegate* unmanaged[Cdecl]<nint, nint> ReleaseSessionOptions;
    }
}
