/// The documents say what the program does.
module Conv.Properties.DocumentTests

open System
open System.IO
open Xunit

/// The folder of the repository.
let root () =
    let rec up (folder: DirectoryInfo) =
        if File.Exists(Path.Combine(folder.FullName, "Conv.sln")) then
            folder.FullName
        else
            match folder.Parent with
            | null -> invalidOp "The suite runs inside the repository."
            | parent -> up parent

    up (DirectoryInfo AppContext.BaseDirectory)

let private read (parts: string[]) = File.ReadAllText(Path.Combine(root (), Path.Combine parts))

[<Fact>]
let ``docs/laws.md is what laws --markdown prints`` () = Assert.Equal(LawTable.markdown All.laws, read [| "docs"; "laws.md" |])

[<Fact>]
let ``the README's sample is the sample that the suite runs`` () =
    let sample = read [| "docs"; "adopt"; "csharp"; "MyConvolutionTests.cs" |]
    Assert.Contains(sample.TrimEnd(), read [| "README.md" |])
    let lines = sample.Split('\n', StringSplitOptions.RemoveEmptyEntries)
    Assert.True(lines.Length <= 10, "ten lines")

[<Fact>]
let ``the top level is the design's`` () =
    let folders =
        Directory.GetDirectories(root ())
        |> Array.map Path.GetFileName
        |> Array.filter (fun name ->
            not ((string name).StartsWith '.')
            && name <> "artifacts"
            && name <> "TestResults"
            && name <> "BenchmarkDotNet.Artifacts")
        |> Array.sort

    Assert.Equal<string[]>([| "Conv.Bench"; "Conv.Core"; "Conv.Properties"; "docs" |], Array.map string folders)
