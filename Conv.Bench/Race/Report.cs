using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using Conv.Bench.Peers;
using Spectre.Console;

namespace Conv.Bench.Race;

/// <summary>A table before anybody has decided where it is shown.</summary>
internal sealed record Sheet(string Title, IReadOnlyList<string> Headers, IReadOnlyList<IReadOnlyList<string>> Rows);

/// <summary>What a run found, as tables: on the console, as Markdown, and each median as a line of TSV.</summary>
internal sealed class Report(Results results, Wish wish)
{
    public void Print()
    {
        if (Console.IsOutputRedirected)
        {
            Console.Out.Write(Markdown());
            return;
        }

        foreach (string line in Heading())
        {
            AnsiConsole.WriteLine(line);
        }

        foreach (Sheet sheet in Sheets())
        {
            Table table = new() { Title = new TableTitle(Markup.Escape(sheet.Title)), Border = TableBorder.Rounded };
            foreach (string header in sheet.Headers)
            {
                _ = table.AddColumn(Markup.Escape(header));
            }

            foreach (IReadOnlyList<string> row in sheet.Rows)
            {
                _ = table.AddRow([.. row.Select(Markup.Escape)]);
            }

            AnsiConsole.WriteLine();
            AnsiConsole.Write(table);
        }
    }

    /// <summary>Both files are written beside and renamed, so that nobody reads half of one.</summary>
    public void Write(string path)
    {
        Replace(path, Markdown());
        Replace(Path.ChangeExtension(path, ".tsv"), Lines());
    }

    // As it is written to a file, and to a pipe, which has no width.
    private string Markdown()
    {
        StringBuilder text = new("# Race\n\n");
        _ = text.AppendJoin("\n", Heading().Select(line => $"- {line}")).Append('\n');
        foreach (Sheet sheet in Sheets())
        {
            _ = text.Append(CultureInfo.InvariantCulture, $"\n## {sheet.Title}\n\n").Append(Line(sheet.Headers)).Append(Line(sheet.Headers.Select(_ => "---")));
            _ = text.AppendJoin("", sheet.Rows.Select(Line));
        }

        return text.ToString();

        static string Line(IEnumerable<string> cells) => $"| {string.Join(" | ", cells.Select(cell => cell.Replace("|", "\\|", StringComparison.Ordinal)))} |\n";
    }

    private static void Replace(string path, string text)
    {
        string beside = $"{path}.{Environment.ProcessId}";
        File.WriteAllText(beside, text);
        File.Move(beside, path, overwrite: true);
    }

    private IEnumerable<string> Heading() =>
    [
        Text($"{Machine.Processor}, {Environment.ProcessorCount} processors, last cache {Machine.LastLevelBytes >> 20} MiB; {RuntimeInformation.FrameworkDescription}, {results.Groups.SelectMany(g => g.Entries).FirstOrDefault(e => e.Name == FmaPeak.Name)?.Detail}"),
        Text($"{wish.Rounds} rounds, samples of at least {wish.Sample.TotalMilliseconds} ms; medians, and where they lie with 95 % confidence"),
        .. results.Contenders.Select(contender => $"{contender.Name}: {contender.Description}"),
        .. results.Notes,
    ];

    private IEnumerable<Sheet> Sheets()
    {
        foreach (Setting setting in results.Groups.Select(group => group.Setting).Distinct())
        {
            yield return Speeds(setting);
        }

        yield return Errors();
        yield return new Sheet(
            "Targets", ["target", "wanted", "figure", "verdict"],
            [.. new Targets(results).All().Select(target => new[] { target.Name, target.Wanted, target.Figure, target.Verdict })]);
    }

    private Sheet Speeds(Setting setting)
    {
        string[] names = [.. results.Contenders.Select(contender => contender.Name)];
        return new Sheet(
            $"GFLOP/s, or µs a call: {setting}",
            ["layer", "", .. names, "ours, of peak", "best default peer / ours", "with Winograd"],
            [
                .. from @group in results.Groups
                   where @group.Setting == setting
                   let ours = @group.Ours
                   select (IReadOnlyList<string>)
                   [
                       @group.Layer.Id, @group.Layer.Name,
                       .. names.Select(name => Cell(@group, name)),
                       @group.Share(ours) is { } share ? Text($"{100 * share:0} %") : "",
                       Ratio(ours, @group.Best(PeerList.Default)),
                       Ratio(ours, @group.Best([.. PeerList.Default, "onednn-winograd"])),
                   ],
            ]);
    }

    private static string Cell(Group group, string name) => group.Entries.FirstOrDefault(entry => entry.Name == name) switch
    {
        null => "",
        { HasRun: false } entry => entry.Detail,
        { IsTiny: true } entry => Text($"{1e6 * entry.Time.Median:0.00} µs"),
        { } entry => Text($"{entry.GigaflopsPerSecond:0.0}"),
    };

    private static string Ratio(Entry? ours, Entry? best) => ours is null || best is null ? "" : $"{Targets.Interval(ours.AheadOf(best))} {best.Name}";

    private Sheet Errors()
    {
        string[] names = [.. results.Contenders.Select(contender => contender.Name).Where(name => name != FmaPeak.Name)];
        return new Sheet(
            "Largest error / Σ|x||k|",
            ["layer", .. names],
            [
                .. from layer in results.Groups.Select(@group => @group.Layer).Distinct()
                   select (IReadOnlyList<string>)[layer.Id, .. names.Select(name => Largest(layer, name))],
            ]);
    }

    private string Largest(Layer layer, string name)
    {
        double[] errors = [.. results.Groups.Where(@group => @group.Layer == layer).Select(@group => @group[name]).OfType<Entry>().Select(entry => entry.Error)];
        return errors.Length == 0 ? "" : Text($"{errors.Max():0.0e-0}");
    }

    private string Lines()
    {
        StringBuilder text = new("layer\tbatch\tthreads\tweights\tcompeting\tcontender\tseconds\tlow\thigh\tgflops\tratio\tratio-low\tratio-high\terror\tdetail\n");
        foreach (Group group in results.Groups)
        {
            foreach (Entry entry in group.Entries)
            {
                Estimate ratio = entry.HasRun && group.Ours is { } ours ? ours.AheadOf(entry) : Statistics.Of([]);
                _ = text.Append(Text(
                    $"{group.Layer.Id}\t{group.Setting.Batch}\t{group.Setting.Threads}\t{(group.Setting.Cold ? "cold" : "hot")}\t{(group.Setting.Competing ? "yes" : "no")}\t{entry.Name}\t{entry.Time.Median:G6}\t{entry.Time.Low:G6}\t{entry.Time.High:G6}\t{(entry.HasRun ? entry.GigaflopsPerSecond : double.NaN):G6}\t{ratio.Median:G5}\t{ratio.Low:G5}\t{ratio.High:G5}\t{entry.Error:G3}\t{entry.Detail}\n"));
            }
        }

        return text.ToString();
    }

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
