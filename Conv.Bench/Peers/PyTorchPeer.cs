using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Conv.Bench.Race;

namespace Conv.Bench.Peers;

/// <summary>PyTorch's conv2d in a process of its own, asked line by line: torch_peer.py says what the lines are.</summary>
internal sealed class PyTorchPeer : IContender, IDisposable
{
    // Debian's packages belong to this one, whatever `python3` is.
    private const string Python = "/usr/bin/python3";

    private readonly Process _process;
    private readonly string _folder = Directory.CreateTempSubdirectory("race").FullName;
    private int _prepared;

    public PyTorchPeer()
    {
        ProcessStartInfo start = new(Python, [Path.Combine(AppContext.BaseDirectory, "Peers", "torch_peer.py")])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        };
        _process = Process.Start(start)!;
        try
        {
            Description = $"PyTorch {Answer("hello")}, a process of its own";
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public string Name => "pytorch";

    public string Description { get; }

    public TimeSpan ProcessorTime
    {
        get
        {
            _process.Refresh();
            return _process.HasExited ? TimeSpan.Zero : _process.TotalProcessorTime;
        }
    }

    public IRunner Prepare(Problem problem, int threads)
    {
        string id = (++_prepared).ToString(CultureInfo.InvariantCulture);
        string input = Path.Combine(_folder, "input");
        string kernel = Path.Combine(_folder, "kernel");
        File.WriteAllBytes(input, MemoryMarshal.AsBytes(problem.Input.Span));
        File.WriteAllBytes(kernel, MemoryMarshal.AsBytes(problem.Kernel.AsSpan()));
        string line = string.Create(CultureInfo.InvariantCulture, $"prepare {id} {threads} {problem.Copies} {input} {kernel} {problem.Shape}");
        return new Remote(this, id, problem, Ask(line, "ready"));
    }

    public void Dispose()
    {
        _process.StandardInput.Close();
        if (!_process.WaitForExit(TimeSpan.FromSeconds(5)))
        {
            _process.Kill();
        }

        _process.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private string Ask(string line, string verb)
    {
        try
        {
            _process.StandardInput.WriteLine(line);
            _process.StandardInput.Flush();
        }
        catch (IOException why)
        {
            throw new NotRunException("its process ended", why);
        }

        return Answer(verb);
    }

    private string Answer(string verb)
    {
        string line = _process.StandardOutput.ReadLine() ?? throw new NotRunException("its process ended");
        return line.StartsWith(verb, StringComparison.Ordinal) ? line[verb.Length..].Trim() : throw new NotRunException(line);
    }

    private sealed class Remote(PyTorchPeer peer, string id, Problem problem, string way) : IRunner
    {
        public double Operations { get; } = 2.0 * problem.Shape.MultiplyAdds;

        public string Detail => way;

        public double Time(int calls) => double.Parse(
            peer.Ask(string.Create(CultureInfo.InvariantCulture, $"sample {id} {calls}"), "seconds"), CultureInfo.InvariantCulture);

        public float[] Output()
        {
            string file = Path.Combine(peer._folder, "output");
            _ = peer.Ask($"output {id} {file}", "ready");
            return MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(file)).ToArray();
        }

        public void Dispose()
        {
            try
            {
                _ = peer.Ask($"release {id}", "ready");
            }
            catch (NotRunException)
            {
                // What there was to free is gone.
            }
        }
    }
}
