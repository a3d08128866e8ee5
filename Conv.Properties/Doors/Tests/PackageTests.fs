/// What others install: the packages, from a folder, in projects of their own, and the command line as a tool.
namespace Conv.Properties.Tests

open System
open System.IO
open System.Text.RegularExpressions
open Conv.Properties
open Xunit

module Packed =
    /// Nobody has it: no cache can answer for it.
    let version = $"0.1.0-test.{Guid.NewGuid():N}"

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

    let private dotnet (arguments: string list) = Toolchain.run "dotnet" (arguments @ [ "-nodeReuse:false" ])

    /// The folder with the packages: built from a copy of the sources, since the suite is running in what they would be built to.
    let feed =
        lazy
            (let root = DocumentTests.root ()
             let sources = Path.Combine(Toolchain.folder.Value, "sources")
             let feed = Path.Combine(Toolchain.folder.Value, "feed")

             for folder in [ "Conv.Core"; "Conv.Properties" ] do
                 copy (Path.Combine(root, folder)) (Path.Combine(sources, folder))

             for file in [ "Directory.Build.props"; "Directory.Packages.props"; "global.json"; ".editorconfig" ] do
                 File.Copy(Path.Combine(root, file), Path.Combine(sources, file))

             let kit = Path.Combine(sources, "Conv.Properties")

             let pack project more =
                 dotnet ([ "pack"; project; "-c"; "Release"; "-o"; feed; $"-p:Version={version}" ] @ more)
                 |> ignore<string>

             pack kit []
             pack (Path.Combine(sources, "Conv.Core")) [ "--no-build" ]
             pack kit [ "-p:ConvTool=true"; "--no-build" ]
             feed)

    /// Runs a project of docs/adopt outside of the repository, on the packages alone, restored into a folder of its own.
    let tests language =
        let project = Path.Combine(Toolchain.folder.Value, "consumer-" + language)
        copy (Path.Combine(DocumentTests.root (), "docs", "adopt", language)) project

        let packages = Path.Combine(project, "packages")

        let output =
            dotnet
                [
                    "test"
                    project
                    "-c"
                    "Release"
                    $"-p:ConvVersion={version}"
                    $"-p:RestoreAdditionalProjectSources={feed.Value}"
                    $"-p:RestorePackagesPath={packages}"
                ]

        Assert.True(Directory.Exists(Path.Combine(packages, "conv.properties", version)))
        Int32.Parse (Regex.Match(output, @"Passed: +(\d+)")).Groups[1].Value

type Packages() =
    [<Fact>]
    member _.``A C# project holds its convolution to every law``() =
        Assert.NotEmpty Conformance.Laws
        Assert.Equal(Conformance.Laws.Count, Packed.tests "csharp")

    [<Fact>]
    member _.``An F# project does``() = Assert.Equal(Conformance.Laws.Count, Packed.tests "fsharp")

    [<Fact>]
    member _.``The tool is installed and judges``() =
        let tools = Path.Combine(Toolchain.folder.Value, "tools")

        Toolchain.run
            "dotnet"
            [
                "tool"
                "install"
                "Conv.Tool"
                "--version"
                Packed.version
                "--tool-path"
                tools
                "--add-source"
                Packed.feed.Value
            ]
        |> ignore<string>

        let conv = Path.Combine(tools, (if OperatingSystem.IsWindows() then "conv.exe" else "conv"))
        let report = Path.Combine(Toolchain.folder.Value, "tool-report")

        let said =
            Toolchain.run conv [ "verify"; "loop"; "--laws"; "MODEL-EXACT"; "--cases"; "30"; "--report"; report ]

        Assert.Contains("loop  partial: 1 of 1 laws hold", said)
        Assert.True(File.Exists(Path.Combine(report, "conformance.md")))
