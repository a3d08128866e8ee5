/// What others install: the packages, from a folder, in projects of their own, and the command line as a tool.
namespace Conv.Properties.Tests

open System
open System.IO
open System.Text.RegularExpressions
open Conv.Properties
open Xunit

module Packed =
    let private copy (from: string) (until: string) =
        let skipped = set [ "bin"; "obj"; "artifacts"; "node_modules"; "build" ]

        let rec go (from: DirectoryInfo) (until: string) =
            Directory.CreateDirectory until |> ignore<DirectoryInfo>

            for file in from.GetFiles() do
                file.CopyTo(Path.Combine(until, file.Name)) |> ignore<FileInfo>

            for folder in from.GetDirectories() do
                if not (skipped.Contains folder.Name) then
                    go folder (Path.Combine(until, folder.Name))

        go (DirectoryInfo from) until

    let private root = DocumentTests.root ()

    /// An empty folder but for a clone of the repository, and packages of nobody else's.
    let folder =
        lazy
            (let folder = Path.Combine(Toolchain.folder.Value, "adopter")
             let clone = Path.Combine(folder, "conv")

             for part in [ "Conv.Core"; "Conv.Properties" ] do
                 copy (Path.Combine(root, part)) (Path.Combine(clone, part))

             for file in [ "Directory.Build.props"; "Directory.Packages.props"; "global.json"; ".editorconfig" ] do
                 File.Copy(Path.Combine(root, file), Path.Combine(clone, file))

             folder)

    /// Runs a command in the folder. NuGet keeps its packages there too: no cache can answer for what was packed.
    let run program arguments =
        let packages = Path.Combine(folder.Value, "nuget")
        Toolchain.runIn folder.Value [ "NUGET_PACKAGES", packages; "MSBUILDDISABLENODEREUSE", "1" ] program arguments

    /// The page: commands as it gives them and files as it shows them.
    let steps =
        let page = File.ReadAllText(Path.Combine(root, "docs", "adopt", "csharp", "README.md"))

        [
            for step in
                Regex.Matches(
                    page,
                    @"(?:^`(?<file>\S+)`:\n\n)?^```(?<kind>\w+)\n(?<text>.*?)^```$",
                    RegexOptions.Multiline ||| RegexOptions.Singleline
                ) do
                struct (step.Groups["file"].Value, step.Groups["kind"].Value, step.Groups["text"].Value)
        ]

    /// What the page's commands print, followed in order.
    let printed =
        lazy
            [
                for struct (file, kind, text) in steps do
                    if kind = "sh" then
                        for command in text.Split('\n', StringSplitOptions.RemoveEmptyEntries) do
                            match command.Split ' ' |> List.ofArray with
                            | program :: arguments -> command, run program arguments
                            | [] -> ()
                    else
                        let path = Path.Combine(folder.Value, file)

                        Directory.CreateDirectory(string (Path.GetDirectoryName path))
                        |> ignore<DirectoryInfo>

                        File.WriteAllText(path, text)
            ]

    let passed (output: string) = Int32.Parse (Regex.Match(output, @"Passed: +(\d+)")).Groups[1].Value

type Packages() =
    [<Fact>]
    member _.``docs/adopt's page on C# is followed word for word in an empty folder``() =
        let tests =
            Packed.printed.Value
            |> List.filter (fun (command, _) -> command.StartsWith("dotnet test", StringComparison.Ordinal))
            |> List.map (snd >> Packed.passed)

        let first = Conformance.Laws.Count

        let layer =
            let offered =
                set [ Forward; Placed; Prepares; Workspace; Concurrent; Misuse; Threads; Gradients; Views ]

            All.laws
            |> List.filter (fun law -> List.forall offered.Contains law.Needs)
            |> List.length

        // Three tests show more ways to ask.
        Assert.True(layer > first)
        Assert.Equal<int list>([ first; first + layer + 3 ], tests)

    [<Fact>]
    member _.``the page on C# shows the files that lie beside it``() =
        let folder = Path.Combine(DocumentTests.root (), "docs", "adopt", "csharp")

        let shown =
            [
                for struct (file, _, text) in Packed.steps do
                    if file <> "" then
                        Path.GetFileName file |> string, text
            ]

        for name, text in shown do
            Assert.Equal(File.ReadAllText(Path.Combine(folder, name)), text)

        let beside =
            Directory.GetFiles folder
            |> Array.map (Path.GetFileName >> string)
            |> Array.filter ((<>) "README.md")

        Assert.Equal<string seq>(Array.sort beside, shown |> List.map fst |> List.sort)

    [<Fact>]
    member _.``an adopter's output has no test runner and no command line of ours``() =
        Packed.printed.Value |> ignore
        let folder = Path.Combine(Packed.folder.Value, "MyProject.Tests", "bin", "Release", "net10.0")
        let files = Directory.GetFiles(folder, "*.dll") |> Array.map (Path.GetFileName >> string)
        Assert.Contains("FsCheck.dll", files)

        for dragged in
            [
                "FsCheck.Xunit.dll"
                "Spectre.Console.dll"
                "System.CommandLine.dll"
                "Google.Protobuf.dll"
                "libonnxruntime.so"
            ] do
            Assert.DoesNotContain(dragged, files)

        let context = Runtime.Loader.AssemblyLoadContext("adopter", true)
        let packaged = context.LoadFromAssemblyPath(Path.Combine(folder, "Conv.Properties.dll"))

        let seen =
            packaged.GetExportedTypes()
            |> Array.filter (fun t -> t.Namespace = "Conv.Properties")
            |> Array.map _.Name
            |> Array.sort

        context.Unload()
        Assert.Equal<string[]>([| "Conformance"; "ConformanceException"; "ConformanceResult"; "Convolution" |], seen)

    [<Fact>]
    member _.``An F# project holds its convolution to every law``() =
        Packed.printed.Value |> ignore
        let project = Path.Combine(Packed.folder.Value, "fsharp")
        Directory.CreateDirectory project |> ignore<DirectoryInfo>

        for file in Directory.GetFiles(Path.Combine(DocumentTests.root (), "docs", "adopt", "fsharp")) do
            File.Copy(file, Path.Combine(project, string (Path.GetFileName file)))

        Assert.Equal(Conformance.Laws.Count, Packed.passed (Packed.run "dotnet" [ "test"; "fsharp"; "-c"; "Release" ]))

    [<Fact>]
    member _.``The tool is installed and judges``() =
        let tools = Path.Combine(Packed.folder.Value, "tools")

        for arguments in
            [
                [ "pack"; "conv/Conv.Properties"; "-c"; "Release"; "-p:ConvTool=true"; "-o"; "tool" ]
                [ "tool"; "install"; "Conv.Tool"; "--tool-path"; tools; "--add-source"; "tool" ]
            ] do
            Packed.run "dotnet" arguments |> ignore<string>

        let conv = Path.Combine(tools, (if OperatingSystem.IsWindows() then "conv.exe" else "conv"))
        let report = Path.Combine(Toolchain.folder.Value, "tool-report")

        let said =
            Toolchain.run conv [ "verify"; "loop"; "--laws"; "MODEL-EXACT"; "--cases"; "30"; "--report"; report ]

        Assert.Contains("loop  partial: 1 of 1 laws hold", said)
        Assert.True(File.Exists(Path.Combine(report, "conformance.md")))
