/// `verify --isa`: the children run on what they were started for, their exact results are compared, and what goes wrong is said.
module Conv.Properties.InstructionSetTests

open System
open System.IO
open System.Text.Json
open Xunit

let private verify (sets: string) (arguments: string list) =
    let folder = Directory.CreateTempSubdirectory("conv-").FullName

    try
        let code = Cli.run [| "verify"; yield! arguments; "--isa"; sets; "--quiet"; "--report"; folder |]

        let report =
            JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "instruction-sets.json"))).RootElement

        for set in report.GetProperty("instructionSets").EnumerateArray() do
            if set.GetProperty("outcome").GetString() = "ran" then
                Assert.True(File.Exists(Path.Combine(folder, string (set.GetProperty("report").GetString()))))

        code, report
    finally
        Directory.Delete(folder, true)

let private sets (report: JsonElement) =
    [
        for set in report.GetProperty("instructionSets").EnumerateArray() -> string (set.GetProperty("name").GetString()), set
    ]

let private text (element: JsonElement) (name: string) = string (element.GetProperty(name).GetString())

[<Fact>]
let ``each set runs on vectors of its own width, and exact results are the same bits`` () =
    let laws = "MODEL-EXACT,LINEAR-INPUT,CHANNEL-SUM"

    let code, report =
        verify "all" [ "im2col"; "winograd-f4x3"; "parallel-tiled"; "--laws"; laws; "--cases"; "20" ]

    Assert.Equal(0, code)
    let outcomes = sets report
    Assert.Equal<string list>([ "scalar"; "128"; "256"; "512" ], List.map fst outcomes)
    Assert.Equal(0, report.GetProperty("differences").GetArrayLength())

    let ran =
        [
            for name, set in outcomes do
                match text set "outcome" with
                | "ran" -> name, (InstructionSet.tryParse (text set "instructions")).Value
                | outcome -> Assert.Equal("lacking", outcome)
        ]

    // Every processor that the runtime knows has vectors of 128 bits.
    for name in [ "scalar"; "128" ] do
        Assert.Contains(name, List.map fst ran)

    for name, instructions in ran do
        let bits = if name = "scalar" then 0 else int name
        Assert.Equal(bits, instructions.VectorBits)
        Assert.Equal(bits, instructions.WidestBits)

    // The wider ones are there if this process has them.
    for bits in [ 256; 512 ] do
        if InstructionSet.here.WidestBits >= bits then
            Assert.Contains(string bits, List.map fst ran)

    Assert.Equal(9, report.GetProperty("exactResultsCompared").GetInt32())

[<Fact>]
let ``results that depend on the width of a vector are told by law, subject and sets`` () =
    let name = Planted.vectorTail.Name
    // Odd and linear on each set by itself.
    let code, report = verify "scalar,128" [ name; "--laws"; "ODD,LINEAR-INPUT"; "--cases"; "30" ]

    for _, set in sets report do
        Assert.Equal(0, set.GetProperty("exitCode").GetInt32())

    Assert.Equal(1, code)

    let told =
        [
            for d in report.GetProperty("differences").EnumerateArray() ->
                [ for key in [ "law"; "subject"; "one"; "other"; "what" ] -> text d key ]
        ]

    Assert.Equal<string list list>(
        [
            [ "ODD"; name; "scalar"; "128"; "outputs" ]
            [ "LINEAR-INPUT"; name; "scalar"; "128"; "outputs" ]
        ]
        |> List.sort,
        List.sort told
    )

[<Fact>]
let ``a law that is broken on one set alone is broken`` () =
    let code, report =
        verify "scalar,128" [ Planted.vectorTail.Name; "--laws"; "MODEL-EXACT"; "--cases"; "60" ]

    Assert.Equal(1, code)
    let codes = sets report |> List.map (fun (_, set) -> set.GetProperty("exitCode").GetInt32())
    Assert.Equal<int list>([ 0; 1 ], codes)
    // They stopped at different cases: nothing is compared.
    Assert.Equal(0, report.GetProperty("exactResultsCompared").GetInt32())
    Assert.Equal(0, report.GetProperty("differences").GetArrayLength())

[<Fact>]
let ``a process that crashes settles nothing, and says how it ended`` () =
    let code, report = verify "128,scalar" [ Planted.scalarCrash.Name; "--laws"; "ODD"; "--cases"; "30" ]

    Assert.Equal(4, code)
    let outcomes = Map(sets report)
    Assert.Equal("ran", text outcomes["128"] "outcome")
    Assert.Equal("crashed", text outcomes["scalar"] "outcome")
    Assert.NotEqual(0, outcomes["scalar"].GetProperty("exitCode").GetInt32())
    Assert.NotEmpty(text outcomes["scalar"] "lastLines")

[<Fact>]
let ``what a process says of its instructions is read back`` () =
    Assert.Equal(Some InstructionSet.here, InstructionSet.tryParse (string InstructionSet.here))

    for line in [ ""; "vector=8"; "vector=x widest=0 fused=True"; "a=1 b=2 c=3" ] do
        Assert.Equal(None, InstructionSet.tryParse line)

[<Fact>]
let ``digests do not depend on threads`` () =
    let laws =
        [ "CONCURRENT-CALLERS"; "MODEL-EXACT"; "STATELESS" ]
        |> List.map (All.tryFind >> Option.get)

    let digests threads =
        let options = { Run.defaults with Cases = 15; Threads = threads; Tiers = [ Exact ] }

        Rounds.all options (Rounds.jobs options laws Ours.implementations) ignore
        |> List.map (fun r -> r.Law.Id, r.Subject.Name, r.Outputs)

    let one = digests 1
    Assert.Equal<(string * string * uint64) list>(one, digests 4)
    Assert.True(one |> List.exists (fun (_, _, digest) -> digest <> 0UL))
