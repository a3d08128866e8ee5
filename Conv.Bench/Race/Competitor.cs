using System.Diagnostics;
using System.Globalization;

namespace Conv.Bench.Race;

/// <summary>A process of one thread that is busy on one core until it is disposed of, or until this process is gone.</summary>
internal sealed class Competitor : IDisposable
{
    private readonly Process _process;

    private Competitor(Process process) => _process = process;

    /// <exception cref="NotRunException">There is no taskset, or it fails.</exception>
    public static Competitor Start()
    {
        string core = (Environment.ProcessorCount - 1).ToString(CultureInfo.InvariantCulture);
        string loop = string.Create(
            CultureInfo.InvariantCulture,
            $"while kill -0 {Environment.ProcessId}; do i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; done");
        Process process;
        try
        {
            process = Process.Start("taskset", ["-c", core, "sh", "-c", loop]);
        }
        catch (System.ComponentModel.Win32Exception why)
        {
            throw new NotRunException($"taskset: {why.Message}", why);
        }

        Thread.Sleep(100);
        return process.HasExited ? throw new NotRunException($"taskset -c {core} ended at once") : new Competitor(process);
    }

    public void Dispose()
    {
        _process.Kill();
        _process.WaitForExit();
        _process.Dispose();
    }
}
