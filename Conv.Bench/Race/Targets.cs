using System.Globalization;
using System.Runtime.Intrinsics;
using Conv.Bench.Peers;

namespace Conv.Bench.Race;

/// <summary>What the convolutions are meant to reach, beside what they did.</summary>
/// <param name="Name">What is looked at.</param>
/// <param name="Wanted">The least or the most that will do; empty where nothing is asked.</param>
/// <param name="Figure">What was found.</param>
/// <param name="Met">Null: not measured, or not in full.</param>
internal sealed record Target(string Name, string Wanted, string Figure, bool? Met)
{
    public string Verdict => Wanted.Length == 0 ? "for information" : Met switch
    {
        true => "met",
        false => "missed",
        null => Figure.Length == 0 ? "not measured" : "not measured in full",
    };
}

/// <summary>The targets: ratios are times of a peer over ours in one round, the median over the rounds.</summary>
internal sealed class Targets(Results results)
{
    private const string Twelve = "abcdefghijkl";
    private const string OneDnn = "onednn";
    private const string OnnxRuntime = "onnxruntime";

    private static readonly string[] s_withWinograd = [.. PeerList.Default, "onednn-winograd"];

    private static readonly (string Layers, double Ratio)[] s_layers = [("a", 3.3), ("b", 3.3), ("c", 2.5), ("j", 4.5), ("k", 1.5)];
    private static readonly (string Kind, double Error)[] s_errors = [(Variant.Direct, 3e-7), ("F(4,3)", 1e-6), ("F(6,3)", 5e-6)];

    private sealed record Finding(string Figure, bool? Met);

    private IEnumerable<Setting> Plain => results.Settings.Where(setting => setting.IsPlain);

    public IEnumerable<Target> All() =>
    [
        Row("geometric mean over a–l against the best of ONNX Runtime, oneDNN and PyTorch", 1.6, s => Mean(s, g => g.Ours, PeerList.Default, 1.6)),
        Row("the same with oneDNN's explicit Winograd among the peers", 1.3, s => Mean(s, g => g.Ours, s_withWinograd, 1.3)),
        Rows("any single layer against the best default peer", "interval reaches 1.0", Plain, Worst),
        Row("direct against direct, geometric mean over a–l", 1.0, s => Mean(s, g => g.OursDirect, PeerList.Default, 1.0)),
        .. s_layers.Select(layer => Row(layer.Layers, layer.Ratio, s => Single(results[layer.Layers, s], PeerList.Default, layer.Ratio))),
        Row("m against oneDNN", 4, s => Single(results["m", s], [OneDnn], 4)),
        Row("m against ONNX Runtime", 8, s => Single(results["m", s], [OnnxRuntime], 8)),
        Rows("e–h and l: least share of the FMA peak", "≥ 93 %", Plain, s => Share("efghl", s, 0.93)),
        Rows("product of two 2048×2048 matrices: share of the FMA peak", "≥ 92 %", Products, s => Share(Layers.Product.Id, s, 0.92)),
        Rows("b with another process busy on one core, against ONNX Runtime", "≥ 3", Competing, s => Single(results["b", s], [OnnxRuntime], 3)),
        NarrowOnly(),
        Workspace(),
        Im2colWorkspace(),
        .. s_errors.Select(kind => Error(kind.Kind, kind.Error)),
        .. Cold.Any() ? [Rows("geometric mean over a–l, weights from memory, best default peer", "", Cold, s => Mean(s, g => g.Ours, PeerList.Default, 1))] : (Target[])[],
    ];

    private IEnumerable<Setting> Cold => results.Settings.Where(setting => setting.Cold);

    private IEnumerable<Setting> Competing => results.Settings.Where(setting => setting.Competing);

    private IEnumerable<Setting> Products => results.Groups.Where(group => group.Layer == Layers.Product).Select(group => group.Setting);

    private Target Row(string name, double least, Func<Setting, Finding> find) => Rows(name, Text($"≥ {least:0.0##}"), Plain, find);

    private static Target Rows(string name, string wanted, IEnumerable<Setting> settings, Func<Setting, Finding> find)
    {
        (Setting Setting, Finding Found)[] found = [.. settings.Select(setting => (setting, find(setting)))];
        string figure = string.Join("; ", found.Where(one => one.Found.Figure.Length > 0).Select(one => $"{Short(one.Setting)}: {one.Found.Figure}"));
        bool? met = found.Any(one => one.Found.Met == false) ? false : found.Length == 0 || found.Any(one => one.Found.Met is null) ? null : true;
        return new Target(name, wanted, figure, met);
    }

    private Finding Mean(Setting setting, Func<Group, Entry?> ours, IReadOnlyList<string> peers, double least)
    {
        List<double> ratios = [];
        List<string> without = [];
        foreach (string id in Twelve.Select(letter => letter.ToString()))
        {
            if (results[id, setting] is { } group && ours(group) is { } mine && group.Best(peers) is { } best)
            {
                ratios.Add(mine.AheadOf(best).Median);
            }
            else
            {
                without.Add(id);
            }
        }

        without.AddRange(peers.Where(peer => results.Contenders.All(contender => contender.Name != peer)));
        return ratios.Count == 0 ? new Finding("", null)
            : without.Count > 0 ? new Finding(Text($"{Statistics.GeometricMean(ratios):0.00} without {string.Join(' ', without)}"), null)
            : new Finding(Text($"{Statistics.GeometricMean(ratios):0.00}"), Statistics.GeometricMean(ratios) >= least);
    }

    private Finding Worst(Setting setting)
    {
        (string Id, Estimate Ratio)[] ratios =
        [
            .. from layer in Layers.All
               let @group = results[layer.Id, setting]
               let ours = @group?.Ours
               let best = @group?.Best(PeerList.Default)
               where ours is not null && best is not null
               let ratio = ours.AheadOf(best)
               orderby ratio.High
               select (layer.Id, ratio),
        ];
        (string Id, Estimate Ratio)[] behind = [.. ratios.Where(ratio => ratio.Ratio.High < 1)];
        bool? met = behind.Length > 0 ? false : ratios.Length < Layers.All.Count ? null : true;
        return ratios.Length == 0 ? new Finding("", null)
            : new Finding(string.Join(", ", (behind.Length > 0 ? behind : ratios[..1]).Select(ratio => $"{ratio.Id} {Interval(ratio.Ratio)}")), met);
    }

    private static Finding Single(Group? group, IReadOnlyList<string> peers, double least) =>
        group?.Ours is { } ours && group.Best(peers) is { } best
            ? new Finding($"{Interval(ours.AheadOf(best))} ({best.Name})", ours.AheadOf(best).Median >= least)
            : new Finding("", null);

    private Finding Share(string layers, Setting setting, double least)
    {
        string[] ids = layers == Layers.Product.Id ? [layers] : [.. layers.Select(letter => letter.ToString())];
        (string Id, double Share)[] shares =
        [
            .. from id in ids
               let @group = results[id, setting]
               let share = @group?.Share(@group.Ours)
               where share is not null
               orderby share
               select (id, share.Value),
        ];
        return shares.Length == 0
            ? new Finding("", null)
            : new Finding(
                string.Join(", ", shares.Select(share => Text($"{share.Id} {100 * share.Share:0.0} %"))),
                shares[0].Share < least ? false : shares.Length < ids.Length ? null : true);
    }

    private Target NarrowOnly()
    {
        const string Name = "AVX2 only against oneDNN limited to AVX2, geometric mean over a–l";
        bool limited = !Machine.ProcessorHasAvx512 || Environment.GetEnvironmentVariable("ONEDNN_MAX_CPU_ISA") == "AVX2";
        if (Vector512.IsHardwareAccelerated || !limited)
        {
            return new Target(Name, "≥ 1.4", "", null) { Figure = "run again with DOTNET_EnableAVX512=0 ONEDNN_MAX_CPU_ISA=AVX2" };
        }

        Target row = Row(Name, 1.4, s => Mean(s, g => g.Ours, [OneDnn], 1.4));
        return Machine.ProcessorHasAvx512 || row.Figure.Length == 0
            ? row
            : row with { Figure = $"{row.Figure} (the ordinary run: the processor has no AVX-512)" };
    }

    private Target Workspace()
    {
        Variant[] worst = [.. results.Variants.OrderByDescending(variant => (double)variant.WorkspaceBytes / variant.AllowedBytes)];
        Variant[] over = [.. worst.Where(variant => variant.WorkspaceBytes > variant.AllowedBytes)];
        return new Target(
            "workspace of any variant on any layer, in 2 × (input + output + transformed weights)",
            "≤ 1",
            string.Join(", ", (over.Length > 0 ? over : worst.Take(1)).Select(v => Text($"{v.Layer.Id} {v.Name} {(double)v.WorkspaceBytes / v.AllowedBytes:0.00}"))),
            over.Length > 0 ? false : All(results.Variants) ? true : null);
    }

    private Target Im2colWorkspace()
    {
        Variant? most = results.Variants.Where(variant => variant.Name == "im2col").MaxBy(variant => variant.WorkspaceBytes);
        return new Target(
            "workspace of im2col",
            "≤ 4 MiB",
            most is null ? "" : Text($"{most.WorkspaceBytes / 1048576.0:0.00} MiB ({most.Layer.Id})"),
            most is null ? null : most.WorkspaceBytes > 4 << 20 ? false : All(results.Variants) ? true : null);
    }

    private Target Error(string kind, double most)
    {
        Variant[] those = [.. results.Variants.Where(variant => variant.Kind == kind && variant.Layer.Id != "m")];
        IEnumerable<Variant> worst = those.GroupBy(variant => variant.Name).Select(name => name.MaxBy(variant => variant.Error)!);
        return new Target(
            $"largest error / Σ|x||k| on a–l, {kind}",
            Text($"≤ {most:0e-0}"),
            string.Join(", ", worst.Select(variant => Text($"{variant.Name} {variant.Error:0.0e-0} ({variant.Layer.Id})"))),
            those.Length == 0 ? null : those.Any(variant => variant.Error > most) ? false : All(results.Variants) ? true : null);
    }

    private static bool All(IReadOnlyList<Variant> variants) => Layers.All.All(layer => variants.Any(variant => variant.Layer == layer));

    private static string Short(Setting setting) =>
        $"{(setting.Batch == 1 ? "" : $"batch {setting.Batch}, ")}{setting.Threads} thread{(setting.Threads == 1 ? "" : "s")}";

    internal static string Interval(Estimate ratio) => Text($"{ratio.Median:0.00} [{ratio.Low:0.00}; {ratio.High:0.00}]");

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
