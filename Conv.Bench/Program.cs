using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;
using Conv.Bench;

// dotnet run -c Release --project Conv.Bench -- --filter '*'
Console.WriteLine($"Left out, not supported: {string.Join(", ", Speed.LeftOut)}");
IConfig config = DefaultConfig.Instance.WithSummaryStyle(SummaryStyle.Default.WithMaxParameterColumnWidth(40));
_ = BenchmarkSwitcher.FromAssembly(typeof(Speed).Assembly).Run(args, config);
