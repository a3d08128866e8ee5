namespace Conv.Bench.Race;

/// <summary>Under what circumstances layers are measured.</summary>
internal sealed record Setting(int Batch, int Threads, bool Cold = false, bool Competing = false)
{
    /// <summary>As the targets want it: hot weights, nobody else.</summary>
    public bool IsPlain => !Cold && !Competing;

    public override string ToString() =>
        $"batch {Batch}, {Threads} thread{(Threads == 1 ? "" : "s")}"
        + (Cold ? ", weights from memory" : "") + (Competing ? ", another process busy on one core" : "");
}

/// <summary>How a contender did on a layer.</summary>
/// <param name="Name">The contender.</param>
/// <param name="Seconds">A call, by round; empty where it did not run.</param>
/// <param name="Operations">Of one call.</param>
/// <param name="Error">The largest |error| / Σ|x||k|; NaN where there is none.</param>
/// <param name="Kind">Of ours: <c>direct</c>, <c>F(4,3)</c>.</param>
/// <param name="Detail">Which kernel, or why it did not run.</param>
internal sealed record Entry(string Name, double[] Seconds, double Operations, double Error, string? Kind, string Detail)
{
    public bool HasRun => Seconds.Length > 0;

    public Estimate Time { get; } = Statistics.Of(Seconds);

    /// <summary>Whether a call is mostly the way there and back, so that its time says more than its rate.</summary>
    public bool IsTiny => Operations < 1e6;

    public double GigaflopsPerSecond => Operations / Time.Median / 1e9;

    /// <summary>How many times as long the other takes, pair by pair.</summary>
    public Estimate AheadOf(Entry other) => Statistics.Of(other.Seconds.Zip(Seconds, (theirs, ours) => theirs / ours));
}

/// <summary>A layer under one setting.</summary>
internal sealed record Group(Layer Layer, Setting Setting, IReadOnlyList<Entry> Entries)
{
    /// <summary>Which of ours the verdicts are on.</summary>
    public const string Chosen = "auto";

    /// <summary>And where others sum directly too.</summary>
    public const string ChosenDirect = "auto-direct";

    public Entry? this[string name] => Entries.FirstOrDefault(entry => entry.Name == name && entry.HasRun);

    /// <summary>Auto; where the catalogue has none, the best of ours, after the fact.</summary>
    public Entry? Ours => Entered(Chosen) ? this[Chosen] : Fastest(Entries.Where(entry => entry.Kind is not null));

    /// <summary>Auto limited to direct accuracy; where the catalogue has no Auto at all, the best direct one of ours, after the fact.</summary>
    public Entry? OursDirect => Entered(ChosenDirect) ? this[ChosenDirect]
        : Entered(Chosen) ? null
        : Fastest(Entries.Where(entry => entry.Kind == Variant.Direct));

    /// <summary>The fastest of these peers.</summary>
    public Entry? Best(IEnumerable<string> peers) => Fastest(Entries.Where(entry => peers.Contains(entry.Name)));

    /// <summary>The share of what the registers can do.</summary>
    public double? Share(Entry? entry) => this[FmaPeak.Name] is { } peak ? entry?.GigaflopsPerSecond / peak.GigaflopsPerSecond : null;

    private bool Entered(string name) => Entries.Any(entry => entry.Name == name);

    private static Entry? Fastest(IEnumerable<Entry> entries) => entries.Where(entry => entry.HasRun).MinBy(entry => entry.Time.Median);
}

/// <summary>One of ours on a layer: what is known of it without a clock.</summary>
internal sealed record Variant(string Name, Layer Layer, string Kind, double Error, long WorkspaceBytes, long AllowedBytes)
{
    public const string Direct = "direct";

    /// <summary>How it sums, in a word.</summary>
    public static string KindOf(Arithmetic arithmetic) => arithmetic switch
    {
        AnyOrder => Direct,
        Bilinear f => $"F({f.OutputTransform.Rows},{f.KernelTransform.Columns})",
        _ => "other",
    };
}

/// <summary>All that a run found.</summary>
/// <param name="Contenders">Name and description, in the order of the tables.</param>
/// <param name="Notes">Who is missing and why.</param>
/// <param name="Groups">The measurements.</param>
/// <param name="Variants">Every implementation of the catalogue that is fast enough to be looked at.</param>
internal sealed record Results(
    IReadOnlyList<(string Name, string Description)> Contenders,
    IReadOnlyList<string> Notes,
    IReadOnlyList<Group> Groups,
    IReadOnlyList<Variant> Variants)
{
    public IEnumerable<Setting> Settings => Groups.Where(group => group.Layer != Layers.Product).Select(group => group.Setting).Distinct();

    public Group? this[string layer, Setting setting] =>
        Groups.FirstOrDefault(group => group.Layer.Id == layer && group.Setting == setting);
}
