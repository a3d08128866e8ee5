using System.Globalization;

namespace Conv.Bench.Race;

/// <summary>What the machine says of itself.</summary>
internal static class Machine
{
    // Where the system does not say.
    private const long Usual = 32 << 20;

    // Of the fields of /proc/stat: cpu user nice system idle iowait irq softirq steal, in hundredths of a second.
    private static readonly int[] s_busy = [1, 2, 3, 6, 7, 8];

    /// <summary>The largest cache that a core reaches.</summary>
    public static long LastLevelBytes { get; } = Largest();

    /// <summary>Whether the processor has AVX-512, used or not.</summary>
    public static bool ProcessorHasAvx512 { get; } =
        File.Exists("/proc/cpuinfo") && File.ReadAllText("/proc/cpuinfo").Contains(" avx512f", StringComparison.Ordinal);

    /// <summary>The processor's name.</summary>
    public static string Processor { get; } = File.Exists("/proc/cpuinfo")
        ? File.ReadLines("/proc/cpuinfo").FirstOrDefault(line => line.StartsWith("model name", StringComparison.Ordinal))?.Split(": ")[^1] ?? "unknown"
        : "unknown";

    /// <summary>What all processes, and the machine below this one, have used of the processors; zero where the system does not say.</summary>
    public static TimeSpan BusyTime()
    {
        const string Stat = "/proc/stat";
        if (!File.Exists(Stat))
        {
            return TimeSpan.Zero;
        }

        string[] fields = File.ReadLines(Stat).First().Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return TimeSpan.FromMilliseconds(10 * s_busy.Sum(at => long.Parse(fields[at], CultureInfo.InvariantCulture)));
    }

    private static long Largest()
    {
        const string Folder = "/sys/devices/system/cpu/cpu0/cache";
        return !Directory.Exists(Folder)
            ? Usual
            : Directory.EnumerateDirectories(Folder, "index*")
                .Select(index => Path.Combine(index, "size"))
                .Where(File.Exists)
                .Select(file => Bytes(File.ReadAllText(file).Trim()))
                .DefaultIfEmpty(Usual)
                .Max();
    }

    // 32K, 8M.
    private static long Bytes(string size)
    {
        long unit = size[^1] switch
        {
            'K' => 1 << 10,
            'M' => 1 << 20,
            'G' => 1 << 30,
            _ => 1,
        };
        return unit * long.Parse(size.TrimEnd('K', 'M', 'G'), CultureInfo.InvariantCulture);
    }
}
