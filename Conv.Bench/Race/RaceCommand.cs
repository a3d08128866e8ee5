using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Conv.Bench.Peers;

namespace Conv.Bench.Race;

/// <summary>The command line of the race. Exit codes: 0 it ran, whatever it found; 2 bad usage.</summary>
internal static class RaceCommand
{
    private const string Help = """
        Races our convolutions against ONNX Runtime, oneDNN and PyTorch on thirteen layers.

        Every contender has its weights laid out beforehand, reads NCHW and writes NCHW, and gets the same numbers; its output is checked
        against the definition in double. All are sampled in turns, each after a wait until nobody's workers spin; a ratio is of two samples
        of one round, and what is shown is the median over the rounds with its 95 % interval. The verdicts are on `auto` and `auto-direct`,
        which choose by the shape and the size of the last cache, never by the clock.

        Conv.Bench/Peers/build.sh gets the peers, or those that it can. Run both from the root of the repository:

          Conv.Bench/Peers/build.sh
          dotnet run -c Release --project Conv.Bench -- race --layers a,b --rounds 5
          dotnet run -c Release --project Conv.Bench -- race --batch 1,4 --cold --compete --report artifacts/race.md
          DOTNET_EnableAVX512=0 ONEDNN_MAX_CPU_ISA=AVX2 dotnet run -c Release --project Conv.Bench -- race
        """;

    private static readonly string[] s_ours = [Group.Chosen, Group.ChosenDirect];

    public static int Run(string[] arguments)
    {
        string[] letters = [.. Layers.All.Append(Layers.Product).Select(layer => layer.Id)];
        Option<string[]> layers = Words("--layers", letters, letters, "Which layers: a to m, and the product of two matrices.");
        Option<string[]> peers = Words("--peers", PeerList.Names, PeerList.Names, "Which peers.");
        Option<string[]> ours = Words("--ours", s_ours, null, "Which of ours, or all; the verdicts need these two.");
        Option<int[]> threads = Numbers("--threads", [.. Enumerable.Range(1, Math.Min(2, Environment.ProcessorCount))], "How many threads.");
        Option<int[]> batch = Numbers("--batch", [1], "How many images.");
        Option<int> rounds = new("--rounds") { Description = "Samples of each contender on each layer.", DefaultValueFactory = _ => 15 };
        Option<double> sample = new("--sample-ms") { Description = "How long a sample is at least.", DefaultValueFactory = _ => 20 };
        Option<bool> cold = new("--cold") { Description = "Also with weights from memory: copies in turn, together larger than the last cache." };
        Option<bool> compete = new("--compete") { Description = "Also layer b beside a process that is busy on one core." };
        Option<FileInfo?> report = new("--report") { Description = "Write the tables to this Markdown file, and every median to a .tsv beside it.", HelpName = "FILE" };
        AtLeast(rounds, 1);
        AtLeast(sample, 0);

        report.Validators.Add(result =>
        {
            // Before the race, not after it.
            try
            {
                result.GetValueOrDefault<FileInfo?>()?.Directory?.Create();
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException)
            {
                result.AddError($"there can be no such report: {error.Message}");
            }
        });
        RootCommand command = new(Help) { layers, peers, ours, threads, batch, rounds, sample, cold, compete, report };
        command.SetAction(parsed =>
        {
            Wish wish = new(
                [.. Layers.All.Append(Layers.Product).Where(layer => parsed.GetRequiredValue(layers).Contains(layer.Id))],
                parsed.GetRequiredValue(threads),
                parsed.GetRequiredValue(batch),
                parsed.GetRequiredValue(ours),
                [.. PeerList.Names.Where(name => parsed.GetRequiredValue(peers).Contains(name))],
                parsed.GetRequiredValue(rounds),
                TimeSpan.FromMilliseconds(parsed.GetRequiredValue(sample)),
                parsed.GetValue(cold),
                parsed.GetValue(compete));
            using Contest contest = new(wish);
            Report result = new(contest.Run(), wish);
            result.Print();
            if (parsed.GetValue(report) is { } file)
            {
                result.Write(file.FullName);
            }

            return 0;
        });

        ParseResult parsed = command.Parse(arguments);
        if (parsed.Errors.Count > 0)
        {
            Console.Error.WriteLine($"race: {parsed.Errors[0].Message.TrimEnd('.')}; --help lists what there is");
            return 2;
        }

        return parsed.Invoke();
    }

    private static Option<string[]> Words(string name, IReadOnlyList<string> usual, IReadOnlyList<string>? known, string description) => new(name)
    {
        Description = $"{description} Usually {string.Join(',', usual)}.",
        HelpName = "NAME,…",
        CustomParser = result =>
        {
            string[] words = Split(result);
            if (known is not null && words.Except(known).FirstOrDefault() is { } wrong)
            {
                result.AddError($"{name} does not know '{wrong}': it takes {string.Join(',', known)}");
            }

            return words;
        },
        DefaultValueFactory = _ => [.. usual],
    };

    private static Option<int[]> Numbers(string name, int[] usual, string description) => new(name)
    {
        Description = $"{description} Usually {string.Join(',', usual)}.",
        HelpName = "NUMBER,…",
        CustomParser = result =>
        {
            string[] words = Split(result);
            int[] numbers = [.. words.Select(word => int.TryParse(word, CultureInfo.InvariantCulture, out int number) ? number : 0)];
            if (numbers.Any(number => number < 1))
            {
                result.AddError($"{name} takes whole numbers above 0, separated by commas");
            }

            return numbers;
        },
        DefaultValueFactory = _ => usual,
    };

    private static string[] Split(ArgumentResult result)
    {
        string[] words = [.. result.Tokens.SelectMany(token => token.Value.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)).Distinct()];
        if (words.Length == 0)
        {
            result.AddError("a list with nothing in it");
        }

        return words;
    }

    private static void AtLeast<T>(Option<T> option, T least)
        where T : IComparable<T> => option.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<T>().CompareTo(least) < 0)
            {
                result.AddError($"{option.Name} is at least {least}");
            }
        });
}
