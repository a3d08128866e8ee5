/// The command line by its exit codes and its report.
module Conv.Properties.CliTests

open System
open System.IO
open System.Text.Json
open Xunit
open Conv

let private folder () = Directory.CreateTempSubdirectory("conv-").FullName

let private verify (arguments: string list) =
    let report = folder ()
    let code = Cli.run [| "verify"; yield! arguments; "--quiet"; "--report"; report |]
    let path = Path.Combine(report, "conformance.json")
    let text = if File.Exists path then File.ReadAllText path else ""
    Assert.Empty(Directory.GetFiles(report, "*.new"))
    Directory.Delete(report, true)
    code, text

let private digests (text: string) =
    [
        for result in JsonDocument.Parse(text).RootElement.GetProperty("results").EnumerateArray() do
            for tier in result.GetProperty("tiers").EnumerateArray() do
                let text (name: string) = (result.GetProperty name).GetString()
                $"""{text "law"}/{text "subject"}/{tier.GetProperty("tier").GetString()}""", tier.GetProperty("casesDigest").GetString()
    ]
    |> Map.ofList

[<Fact>]
let ``what conforms exits with 0 and reports it`` () =
    let code, text = verify [ "im2col"; "--laws"; "MODEL-*,CHANNEL-*"; "--cases"; "20" ]
    Assert.Equal(0, code)
    let report = JsonDocument.Parse(text).RootElement
    let subject = report.GetProperty("subjects")[0]
    // Six laws of all.
    Assert.Equal("partial", subject.GetProperty("verdict").GetString())
    Assert.True(report.GetProperty("partial").GetBoolean())
    let leftOut = report.GetProperty("leftOut")
    Assert.Equal($"{All.laws.Length - 6} of {All.laws.Length} laws were not asked", string leftOut[0])
    Assert.Equal(6, report.GetProperty("laws").GetArrayLength())
    Assert.Equal(6, report.GetProperty("results").GetArrayLength())

    for result in report.GetProperty("results").EnumerateArray() do
        Assert.Equal("holds", result.GetProperty("status").GetString())

        for tier in result.GetProperty("tiers").EnumerateArray() do
            Assert.True(tier.GetProperty("comparisons").GetInt64() > 0L)

[<Theory>]
[<InlineData("verify", "nobody")>]
[<InlineData("verify", "--laws", "NO-SUCH-LAW")>]
[<InlineData("verify", "--laws", "MODEL-EXACT,NO-SUCH-LAW")>]
[<InlineData("verify", "--cases", "0")>]
[<InlineData("verify", "--cases", "many")>]
[<InlineData("verify", "--seed", "-1")>]
[<InlineData("verify", "--tier", "both")>]
[<InlineData("verify", "--threads", "0")>]
[<InlineData("verify", "--workload", "lenet")>]
[<InlineData("verify", "loop", "--timeout", "0")>]
[<InlineData("verify", "loop", "--memory", "0")>]
[<InlineData("verify", "loop", "--env", "NAME")>]
[<InlineData("verify", "--no-such-option")>]
[<InlineData("replay", "subject=loop law=MODEL-EXACT")>]
[<InlineData("replay", "nonsense")>]
[<InlineData("cases", "NO-SUCH-LAW")>]
[<InlineData("workloads", "lenet")>]
[<InlineData("museum", "no-such-piece")>]
[<InlineData("museum", "--seeds", "0")>]
[<InlineData("museum", "--matrix-cases", "0")>]
[<InlineData("museum", "m193*", "--order", "order.tsv")>]
[<InlineData("frobnicate")>]
let ``bad usage exits with 2`` ([<ParamArray>] arguments: string[]) = Assert.Equal(2, Cli.run arguments)

[<Fact>]
let ``there must be a run to go on with`` () = Assert.Equal(2, fst (verify [ "loop"; "--resume" ]))

[<Theory>]
[<InlineData("verify", "native:nowhere/libnothing.so")>]
[<InlineData("verify", "exec:no-such-command-anywhere")>]
[<InlineData("verify", "onnxruntime:nowhere/libonnxruntime.so")>]
[<InlineData("profile", "native:nowhere/libnothing.so")>]
[<InlineData("replay",
             "law=MODEL-EXACT tier=exact n=1 c=1 h=1 w=1 o=1 kh=1 kw=1 fill=explicit values=",
             "--subject",
             "native:nowhere/libnothing.so")>]
let ``a foreign subject that cannot be opened exits with 3`` ([<ParamArray>] arguments: string[]) = Assert.Equal(3, Cli.run arguments)

[<Fact>]
let ``--fail-fast stops at the first broken MUST, and reports it`` () =
    // The flipped kernel breaks a dozen of these laws.
    let arguments =
        [ "museum:m193-flipped-kernel"; "--laws"; "M*,I*,F*,S*"; "--cases"; "20"; "--threads"; "1" ]

    let judged text =
        [
            for result in JsonDocument.Parse(text: string).RootElement.GetProperty("results").EnumerateArray() do
                for tier in result.GetProperty("tiers").EnumerateArray() do
                    tier.GetProperty("cases").GetInt32(), result.GetProperty("failures").GetArrayLength()
        ]

    let failures cases = cases |> List.filter (fun (_, failures) -> failures > 0) |> List.length
    let whole, all = verify arguments
    let first, one = verify (arguments @ [ "--fail-fast" ])
    Assert.Equal((1, 1), (whole, first))
    Assert.True(failures (judged all) > 4)
    Assert.InRange(failures (judged one), 1, 2)
    Assert.True(List.sumBy fst (judged one) * 4 < List.sumBy fst (judged all))

[<Fact>]
let ``--fail-fast goes on after a broken SHOULD`` () =
    let loop = Ours.implementations |> List.find (fun s -> s.Name = "loop")
    let flushed = ref false

    let flush (values: float32[]) =
        values
        |> Array.map (fun v ->
            if Single.IsSubnormal v then
                flushed.Value <- true
                0f
            else
                v)

    // Flushes subnormals; its outputs are wrong from then on.
    let subject =
        { loop with
            Name = "flushes"
            Forward =
                fun s x k b ->
                    loop.Forward s x k b
                    |> flush
                    |> Array.map (fun y -> if flushed.Value then y + 77f else y)
        }

    let options = { Run.defaults with Threads = 1; Cases = 60; FailFast = true }
    let laws = [ "SUBNORMAL"; "MODEL-EXACT" ] |> List.map (All.tryFind >> Option.get)
    let results = Rounds.all options (Rounds.jobs options laws [ subject ]) ignore
    let broken = results |> List.filter _.Failure.IsSome |> List.map _.Law.Id |> set
    Assert.Equal<Set<string>>(set [ "SUBNORMAL"; "MODEL-EXACT" ], broken)
    Assert.Equal(Conclusion.Violates, Conclusion.ofSubject subject (Conclusion.matrix laws [ subject ] results))

/// Runs `museum` on a few pieces and laws; the exit code, the table by line, and the page.
let private museum (arguments: string list) =
    let report = folder ()

    let code =
        Cli.run [| "museum"; yield! arguments; "--cases"; "30"; "--seeds"; "2"; "--quiet"; "--report"; report |]

    let lines name = File.ReadAllLines(Path.Combine(report, name))
    let table, page = lines "museum.tsv", lines "museum.md"
    Assert.Empty(Directory.GetFiles(report, "*.new"))
    Directory.Delete(report, true)
    code, table |> Array.map _.Split('\t'), page

[<Fact>]
let ``the museum writes who kills what, and counterexamples that replay`` () =
    let code, table, page =
        museum
            [
                "m193-flipped-kernel"
                "m184-bias-lost-in-fusion"
                "--laws"
                "IMPULSE-INPUT,ZERO-KERNEL"
                "--baselines"
                "false"
            ]

    Assert.Equal(0, code)

    let kills piece law =
        table
        |> Array.find (fun row -> row[0] = piece)
        |> Array.item (Array.IndexOf(table[0], law))

    Assert.Matches("^[0-9]+$", kills "m193-flipped-kernel" "IMPULSE-INPUT")
    Assert.Equal(".", kills "m193-flipped-kernel" "ZERO-KERNEL")
    Assert.Equal(".", kills "m184-bias-lost-in-fusion" "IMPULSE-INPUT")
    Assert.Matches("^[0-9]+$", kills "m184-bias-lost-in-fusion" "ZERO-KERNEL")
    let replays = page |> Array.filter _.StartsWith("replay ")
    Assert.Equal(2, replays.Length)

    for line in replays do
        Assert.Equal(1, Cli.run [| "replay"; line.Substring("replay ".Length).Trim('"') |])

[<Fact>]
let ``a piece that survives is named and exits with 1`` () =
    let code, table, page =
        museum [ "m193-flipped-kernel"; "--laws"; "ZERO-KERNEL"; "--baselines"; "false" ]

    Assert.Equal(1, code)
    Assert.Equal<string[]>([| "m193-flipped-kernel" |], table |> Array.skip 1 |> Array.map Array.head)
    Assert.Contains("Survive at least one seed: m193-flipped-kernel.", page)

[<Fact>]
let ``the museum goes on from what an unfinished run found`` () =
    let report = folder ()
    let laws = All.laws |> List.filter (fun law -> law.Id = "IMPULSE-INPUT")
    let heading = VerifyMuseum.heading { Run.defaults with Cases = 30 } 30 laws false
    let partial = VerifyMuseum.partialIn report
    let survived: Checking.First = { Law = ""; Cases = 0; Milliseconds = 0.0 }

    Ledger.Create(partial, heading).Recall("first 30 0 m193-flipped-kernel", (fun () -> survived))
    |> ignore<Checking.First>

    let run more =
        Cli.run
            [|
                yield! [ "museum"; "m193-flipped-kernel"; "--laws"; "IMPULSE-INPUT"; "--baselines"; "false" ]
                yield! [ "--cases"; "30"; "--seeds"; "1"; "--quiet"; "--report"; report ]
                yield! more
            |]

    // What was written down is believed, and is gone when all is told.
    Assert.Equal(1, run [ "--resume" ])
    Assert.False(File.Exists partial)
    Assert.Equal(2, run [ "--resume" ])
    Assert.Equal(0, run [])
    Directory.Delete(report, true)

[<Fact>]
let ``too few cases settle nothing`` () =
    Assert.Equal(4, fst (verify [ "loop"; "--laws"; "MODEL-EXACT"; "--cases"; "3"; "--reach"; "small" ]))

[<Fact>]
let ``a subject that supports nothing exits with 4`` () =
    let nothing =
        Subject.forward "nothing" { Ours.convShape.Profile with Supports = fun _ -> false } (fun _ _ _ _ -> [||])

    let report = folder ()
    let options = { Run.defaults with Cases = 15 }
    Assert.Equal(4, Verify.laws options All.laws [ nothing ] [] report true)
    Directory.Delete(report, true)

[<Fact>]
let ``the cases do not depend on threads, on the other laws, or on the subjects beside`` () =
    let cases = [ "--cases"; "12"; "--seed"; "0x2a" ]

    let _, one =
        verify (
            [ "loop"; "winograd-f4x3"; "--laws"; "FLIP,MODEL-*,ODD"; "--threads"; "1" ]
            @ cases
        )

    let _, two = verify ([ "winograd-f4x3"; "--laws"; "ODD,MODEL-BOUND"; "--threads"; "2" ] @ cases)
    let one, two = digests one, digests two
    Assert.Equal(3, two.Count)

    for KeyValue(key, digest) in two do
        Assert.Equal(digest, one[key])

[<Fact>]
let ``a replayed line gives the verdict that it gave`` () =
    let law = All.laws |> List.find (fun l -> l.Id = "FLIP")
    let line = Figure.replay Ours.all.Head (Address.case 0UL law Ours.all.Head.Profile Exact 3)
    Assert.Equal(0, Cli.run [| "replay"; line |])
    // Pointwise supports no part of a 3×3 problem.
    Assert.Equal(
        4,
        Cli.run
            [|
                "replay"
                "law=FLIP tier=exact c=1 h=4 w=5 o=1 kh=3 kw=3 fill=lattice:3,3,1,0,0,0,1 seed=0x1"
                "--subject"
                "pointwise"
            |]
    )
