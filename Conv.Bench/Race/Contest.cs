using System.Diagnostics;
using System.Globalization;
using Conv.Bench.Peers;

namespace Conv.Bench.Race;

/// <summary>What was asked for.</summary>
internal sealed record Wish(
    IReadOnlyList<Layer> Layers,
    IReadOnlyList<int> Threads,
    IReadOnlyList<int> Batches,
    IReadOnlyList<string> Ours,
    IReadOnlyList<string> Peers,
    int Rounds,
    TimeSpan Sample,
    bool Cold,
    bool Compete);

/// <summary>Every contender on every layer that was asked for.</summary>
internal sealed class Contest : IDisposable
{
    /// <summary>The name of all of ours that are fast enough to be in a race.</summary>
    public const string All = "all";

    // Seconds.
    private const double LongestCall = 5;

    // A share of the processors' time.
    private const double Disturbing = 0.03;

    private readonly Wish _wish;
    private readonly List<IContender> _peers = [];
    private readonly List<IConvolution> _ours = [];
    private readonly List<string> _notes = [];
    private readonly List<Group> _groups = [];
    private readonly bool _all;
    private TimeSpan _took;
    private TimeSpan _others;

    public Contest(Wish wish)
    {
        _wish = wish;
        foreach (string name in wish.Ours)
        {
            if (name == All)
            {
                _all = true;
                _ours.AddRange(Ours.All);
            }
            else if (Ours.All.FirstOrDefault(candidate => candidate.Name == name) is { } found)
            {
                _ours.Add(found);
            }
            else
            {
                _notes.Add($"{name}: none of ours, which are {string.Join(", ", Ours.All.Select(one => one.Name))}");
            }
        }

        if (_ours.Count == 0)
        {
            _all = true;
            _ours.AddRange(Ours.All);
        }

        if (_ours.All(one => one.Name != Group.Chosen))
        {
            _notes.Add($"without {Group.Chosen}, ours is the best of each layer after the fact: for orientation, since the targets ask for a fixed choice");
        }

        if (wish.Threads.Max() > Environment.ProcessorCount)
        {
            _notes.Add($"{wish.Threads.Max()} threads on {Environment.ProcessorCount} processors");
        }

        foreach (string name in wish.Peers)
        {
            if (PeerList.TryOpen(name, out string missing) is { } peer)
            {
                _peers.Add(peer);
            }
            else
            {
                _notes.Add(missing);
            }
        }
    }

    public Results Run()
    {
        // The competitor's core is the last: with one thread it would only show how the system places threads.
        int most = _wish.Threads.Max();
        foreach (int batch in _wish.Batches)
        {
            foreach (Layer layer in _wish.Layers)
            {
                if (layer == Layers.Product && batch > 1)
                {
                    continue;
                }

                Race(layer, [.. _wish.Threads.Select(threads => new Setting(batch, threads))]);
                if (_wish.Cold && layer != Layers.Product)
                {
                    Race(layer, [.. _wish.Threads.Select(threads => new Setting(batch, threads, Cold: true))]);
                }
            }
        }

        if (_wish.Compete)
        {
            Race(Layers.All.Single(layer => layer.Id == "b"), [new Setting(1, most, Competing: true)]);
        }

        if (_others > Disturbing * _took * Environment.ProcessorCount)
        {
            _notes.Add(string.Create(
                CultureInfo.InvariantCulture,
                $"disturbed: other processes took {100 * _others / _took / Environment.ProcessorCount:0} % of the processors meanwhile"));
        }

        List<Variant> variants = [];
        foreach (Layer layer in _wish.Layers.Where(layer => layer != Layers.Product))
        {
            Progress($"{layer.Id}: workspace and error of our variants");
            variants.AddRange(Inspection.Of(layer));
        }

        IEnumerable<(string, string)> ours = Ours.All
            .Where(one => _groups.Any(group => group[one.Name] is not null))
            .Select(one => (one.Name, "of this repository"));
        return new Results(
            [.. ours, .. _peers.Select(peer => (peer.Name, peer.Description)), (FmaPeak.Name, "independent fused multiply-adds on registers")],
            [.. _notes.Distinct()],
            _groups,
            variants);
    }

    public void Dispose()
    {
        foreach (IDisposable peer in _peers.OfType<IDisposable>())
        {
            peer.Dispose();
        }
    }

    private static void Progress(string line) => Console.Error.WriteLine($"race: {line}");

    // What processes that are none of ours have used.
    private TimeSpan Others() =>
        Machine.BusyTime() - Environment.CpuUsage.TotalTime - _peers.Aggregate(TimeSpan.Zero, (sum, peer) => sum + peer.ProcessorTime);

    private void Race(Layer layer, IReadOnlyList<Setting> settings)
    {
        ConvShape shape = layer.Shape.With(batch: settings[0].Batch);
        using Problem problem = new(shape, settings[0].Cold ? 3 * Machine.LastLevelBytes / 2 : 0);
        if (settings[0].Cold && problem.RotationBytes < Machine.LastLevelBytes)
        {
            // What would come from memory is the sessions around the weights.
            _notes.Add($"{layer.Id}: not measured with weights from memory: {problem.Copies} copies are {problem.RotationBytes / 1024} KiB, which stay in the last cache");
            return;
        }

        foreach (Setting setting in settings)
        {
            long start = Stopwatch.GetTimestamp();
            TimeSpan others = Others();
            try
            {
                _groups.Add(new Group(layer, setting, setting.Competing ? Pressed(layer, problem, setting) : Measured(layer, problem, setting)));
            }
            catch (NotRunException why)
            {
                _notes.Add($"{layer.Id}, {setting}: {why.Message}");
                continue;
            }

            Group group = _groups[^1];
            TimeSpan took = Stopwatch.GetElapsedTime(start);
            others = Others() - others;
            if (!setting.Competing)
            {
                _took += took;
                _others += others;
            }

            Progress(string.Create(
                CultureInfo.InvariantCulture,
                $"{layer.Id}, {setting}: {Shown(group.Ours)}; {string.Join(", ", _peers.Select(peer => Shown(group[peer.Name])).Where(text => text.Length > 0))} ({took.TotalSeconds:0.0} s; others {100 * others / took / Environment.ProcessorCount:0} %)"));
        }

        static string Shown(Entry? entry) =>
            entry is null ? "" : string.Create(CultureInfo.InvariantCulture, $"{entry.Name} {entry.GigaflopsPerSecond:0.0}");
    }

    private List<Entry> Pressed(Layer layer, Problem problem, Setting setting)
    {
        using Competitor competitor = Competitor.Start();
        return Measured(layer, problem, setting);
    }

    private List<Entry> Measured(Layer layer, Problem problem, Setting setting)
    {
        List<(string Name, string? Kind, IRunner? Runner, string WhyNot)> prepared = [];
        try
        {
            foreach (IConvolution one in Entered(layer, problem.Shape))
            {
                prepared.Add(Tried(Prepare(new Ours(one), Variant.KindOf(one.ArithmeticOf(problem.Shape)), problem, setting.Threads)));
            }

            foreach (IContender peer in _peers)
            {
                prepared.Add(Prepare(peer, null, problem, setting.Threads));
            }

            prepared.Add((FmaPeak.Name, null, new FmaPeak(setting.Threads), ""));
            IRunner[] runners = [.. prepared.Select(one => one.Runner).OfType<IRunner>()];
            double[][] seconds = Measure.Run(runners, _wish.Rounds, _wish.Sample);
            return
            [
                .. prepared.Select(one => one.Runner is null
                    ? new Entry(one.Name, [], 0, double.NaN, one.Kind, one.WhyNot)
                    : new Entry(
                        one.Name,
                        seconds[Array.IndexOf(runners, one.Runner)],
                        one.Runner.Operations,
                        one.Runner.Output() is { Length: > 0 } output ? problem.Error(output) : double.NaN,
                        one.Kind,
                        one.Runner.Detail)),
            ];
        }
        finally
        {
            foreach ((_, _, IRunner? runner, _) in prepared)
            {
                runner?.Dispose();
            }
        }
    }

    // Nobody chose these one by one: what takes minutes is left out, visibly.
    private (string Name, string? Kind, IRunner? Runner, string WhyNot) Tried((string Name, string? Kind, IRunner? Runner, string WhyNot) one)
    {
        if (_all && one.Runner?.Time(1) is > LongestCall and var seconds)
        {
            one.Runner.Dispose();
            return (one.Name, one.Kind, null, string.Create(CultureInfo.InvariantCulture, $"{seconds:0} s a call"));
        }

        return one;
    }

    // A matrix product is also what `pointwise` is for.
    private IEnumerable<IConvolution> Entered(Layer layer, ConvShape shape) => _ours
        .Concat(layer == Layers.Product ? Ours.All.Where(one => one.Name == "pointwise") : [])
        .Distinct()
        .Where(one => !_all || Ours.IsCandidate(one, shape));

    private static (string Name, string? Kind, IRunner? Runner, string WhyNot) Prepare(IContender contender, string? kind, Problem problem, int threads)
    {
        try
        {
            return (contender.Name, kind, contender.Prepare(problem, threads), "");
        }
        catch (NotRunException why)
        {
            return (contender.Name, kind, null, why.Message);
        }
    }
}
