using System.Diagnostics;
using System.Globalization;
using Conv.Properties;

namespace Conv.Bench;

/// <summary>Calls a second through a door, on problems so small that the door is what takes the time.</summary>
/// <remarks><c>dotnet run -c Release --project Conv.Bench -- doors native:./libmine.so exec:./mine</c></remarks>
internal static class Doors
{
    private const int Blocks = 7;
    private static readonly TimeSpan s_block = TimeSpan.FromMilliseconds(400);

    private static readonly ConvShape[] s_shapes = [new(1, 1, 1, 1, 1, 1, 1), new(1, 2, 3, 3, 3, 2, 2)];

    /// <summary>Each subject by itself, in blocks; the median block, one caller.</summary>
    public static int Run(string[] names, bool inProcess)
    {
        Limits limits = LimitsModule.usual;
        if (inProcess)
        {
            limits = new Limits(limits.Start, limits.Call, limits.Memory, limits.Environment, inProcess: true, shared: false);
        }

        List<(string Name, Subject Subject)> subjects = [];
        foreach (string name in names)
        {
            try
            {
                subjects.Add((name, Open.subject(limits, name)));
            }
            catch (CannotOpen why)
            {
                Console.Error.WriteLine($"doors: {why.Data0}");
                return 3;
            }
        }

        foreach (ConvShape shape in s_shapes)
        {
            Console.WriteLine($"{shape}, {Blocks} blocks of {s_block.TotalMilliseconds} ms, interleaved");
            double[][] rates = [.. subjects.Select(_ => new double[Blocks])];
            for (int block = -1; block < Blocks; block++)
            {
                for (int at = 0; at < subjects.Count; at++)
                {
                    double rate = Rate(subjects[at].Subject, shape);
                    if (block >= 0)
                    {
                        rates[at][block] = rate;
                    }
                }
            }

            for (int at = 0; at < subjects.Count; at++)
            {
                double[] sorted = [.. rates[at].Order()];
                Console.WriteLine(string.Create(
                    CultureInfo.InvariantCulture,
                    $"  {sorted[Blocks / 2],10:N0} calls a second ({sorted[0]:N0} to {sorted[^1]:N0})  {subjects[at].Name}"));
            }
        }

        return 0;
    }

    private static double Rate(Subject subject, ConvShape shape)
    {
        float[] x = new float[shape.InputLength];
        float[] k = new float[shape.KernelLength];
        float[] b = new float[shape.OutChannels];
        Array.Fill(x, 1f);
        Array.Fill(k, 1f);
        var forward = subject.Forward.Invoke(shape).Invoke(x).Invoke(k);
        long calls = 0;
        long start = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(start) < s_block)
        {
            _ = forward.Invoke(b);
            calls++;
        }

        return calls / Stopwatch.GetElapsedTime(start).TotalSeconds;
    }
}
