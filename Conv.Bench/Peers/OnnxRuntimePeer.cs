using System.Runtime.InteropServices;
using Conv.Bench.Race;
using Conv.Properties;
using Problem = Conv.Bench.Race.Problem;

namespace Conv.Bench.Peers;

/// <summary>ONNX Runtime through its C API: a session of one Conv with constant weights, all optimizations (its blocked layout included), input
/// and output bound to memory that stays.</summary>
internal sealed unsafe class OnnxRuntimePeer : IContender
{
    // What a session is made with, by the enumerations of onnxruntime_c_api.h.
    private const int Fatal = 4;
    private const int AllOptimizations = 99;

    private readonly OrtApi.Api _api = OrtApi.load(null);
    private readonly nint _environment;
    private readonly nint _memory;

    public OnnxRuntimePeer()
    {
        Description = $"ONNX Runtime {_api.Version}";
        nint made;
        fixed (byte* name = "race"u8)
        {
            Check(_api.CreateEnv.Invoke(Fatal, (nint)name, (nint)(&made)));
        }

        _environment = made;
        Check(_api.CreateCpuMemoryInfo.Invoke(0, 0, (nint)(&made)));
        _memory = made;
    }

    public string Name => "onnxruntime";

    public string Description { get; }

    public IRunner Prepare(Problem problem, int threads) => new Session(this, problem, threads);

    private void Check(nint status)
    {
        if (status != 0)
        {
            throw new NotRunException(_api.ErrorOf(status).Item2);
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
            _call[1] = Tensor(problem.Input, s.InputLength, [s.Batch, s.InChannels, s.Rows.Size, s.Columns.Size]);
            _call[3] = Tensor(_output, s.OutputLength, [s.Batch, s.OutChannels, s.Rows.Outputs, s.Columns.Outputs]);
            nint options;
            peer.Check(peer._api.CreateSessionOptions.Invoke((nint)(&options)));
            peer.Check(peer._api.SetSessionGraphOptimizationLevel.Invoke(options, AllOptimizations));
            peer.Check(peer._api.SetIntraOpNumThreads.Invoke(options, threads));
            peer.Check(peer._api.SetInterOpNumThreads.Invoke(options, 1));
            byte[] model = OnnxModel.ofWeights(s, problem.Kernel, []);
            fixed (byte* bytes = model)
            {
                foreach (ref nint session in _sessions.AsSpan())
                {
                    nint made;
                    peer.Check(peer._api.CreateSessionFromArray.Invoke(peer._environment, (nint)bytes, model.Length, options, (nint)(&made)));
                    session = made;
                }
            }

            _ = peer._api.ReleaseSessionOptions.Invoke(options);
        }

        public override float[] Output() => _output.Span.ToArray();

        public override void Dispose()
        {
            foreach (nint session in _sessions)
            {
                _ = _peer._api.ReleaseSession.Invoke(session);
            }

            _ = _peer._api.ReleaseValue.Invoke(_call[1]);
            _ = _peer._api.ReleaseValue.Invoke(_call[3]);
            NativeMemory.Free(_call);
            NativeMemory.Free(_names);
            _output.Dispose();
        }

        protected override void Run(int copy)
        {
            nint status = _peer._api.Run.Invoke(_sessions[copy], 0, (nint)_call, (nint)(_call + 1), 1, (nint)(_call + 2), 1, (nint)(_call + 3));
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
                _peer.Check(_peer._api.CreateTensorWithData.Invoke(
                    _peer._memory, memory.Address, (nint)(4 * count), (nint)first, sizes.Length, 1, (nint)(&made)));
            }

            return made;
        }
    }
}
