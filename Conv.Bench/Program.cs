using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;
using Conv.Bench;
using Conv.Bench.Race;

// dotnet run -c Release --project Conv.Bench -- doors [--in-process] SUBJECT…
if (args is ["doors", .. var subjects])
{
    return Doors.Run([.. subjects.Where(name => name != "--in-process")], subjects.Contains("--in-process"));
}

// dotnet run -c Release --project Conv.Bench -- race --help
if (args is ["race", .. var options])
{
    return RaceCommand.Run(options);
}

// dotnet run -c Release --project Conv.Bench -- --filter '*'
Console.WriteLine($"Left out, not supported: {string.Join(", ", Speed.LeftOut)}");
IConfig config = DefaultConfig.Instance.WithSummaryStyle(SummaryStyle.Default.WithMaxParameterColumnWidth(40));
_ = BenchmarkSwitcher.FromAssembly(typeof(Speed).Assembly).Run(args, config);
return 0;
