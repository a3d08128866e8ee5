/// Layers of real networks: what is right conforms, what is wrong is found on the whole output and on sampled elements.
module Conv.Properties.LayerTests

open System
open System.IO
open System.Text.Json
open Xunit
open Conv

let private workload: Workload.Workload =
    let layer name shape : Workload.Layer = { Name = name; Count = 1; Shape = ConvShape.Parse shape }

    {
        Name = "small"
        Title = "Small layers"
        Source = "this test"
        Layers =
            [
                layer "3x3" "c=20 h=19 w=21 o=12 kh=3 kw=3 pt=1 pl=1 pb=1 pr=1"
                layer "5x5" "c=6 h=11 w=13 o=8 kh=5 kw=5 pt=2 pl=2 pb=2 pr=2"
                layer "1x1" "c=16 h=14 w=14 o=24 kh=1 kw=1 sh=2 sw=2"
                layer "depthwise" "c=16 h=15 w=15 o=16 kh=3 kw=3 sh=2 sw=2 pt=1 pl=1 pb=1 pr=1 g=16"
            ]
    }

let private verify subjects =
    let folder = Directory.CreateTempSubdirectory("conv-").FullName
    let code = Verify.workload Layers.Layer Run.defaults workload subjects folder true
    let report = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "conformance.json"))).RootElement
    Directory.Delete(folder, true)
    code, report.Clone()

let private subject name = Ours.implementations |> List.find (fun s -> s.Name = name)

/// One element of every output, wrong by one unit: at the index that `at` gives.
let private spoiled at =
    let loop = subject "loop"

    { loop with
        Name = "spoiled"
        Forward =
            fun s x k b ->
                let y = loop.Forward s x k b
                y[at s] <- y[at s] + 1f
                y
    }

[<Fact>]
let ``every implementation conforms on the layers that it takes`` () =
    let code, report = verify Ours.implementations
    Assert.Equal(0, code)
    Assert.Equal(4 * Ours.implementations.Length, report.GetProperty("layers").GetArrayLength())

    for result in report.GetProperty("layers").EnumerateArray() do
        let text (name: string) = string ((result.GetProperty name).GetString())
        let silent = "not applicable: its arithmetic has no exact tier: the bound decides"
        Assert.Contains(text "checksum", [ "holds"; "unsupported"; silent ])
        Assert.Equal((if text "checksum" = silent then "holds" else text "checksum"), text "sampled")

[<Fact>]
let ``one wrong element in the middle of a plane breaks CHECKSUM`` () =
    let code, report = verify [ spoiled (fun s -> s.OutWidth + 1) ]
    Assert.Equal(1, code)
    let first = report.GetProperty("layers")[0]
    Assert.Equal("broken", first.GetProperty("checksum").GetString())

[<Fact>]
let ``a wrong corner breaks the sampled elements too`` () =
    let loop = subject "loop"

    let corners =
        { loop with
            Forward =
                fun s x k b ->
                    let plane = int s.OutputPlane

                    loop.Forward s x k b
                    |> Array.mapi (fun at y -> if at % plane = 0 then y + 1f else y)
        }

    let _, report = verify [ corners ]

    for result in report.GetProperty("layers").EnumerateArray() do
        Assert.Equal("broken", result.GetProperty("sampled").GetString())

[<Fact>]
let ``a subject that takes no layer is silent, and alone settles nothing`` () =
    let nothing =
        { subject "loop" with
            Name = "nothing"
            Profile = { (subject "loop").Profile with Supports = fun _ -> false }
        }

    Assert.Equal(4, fst (verify [ nothing ]))
    let _, report = verify [ nothing; subject "im2col" ]

    Assert.Equal<string list>(
        [ "silent"; "conforms" ],
        [
            for s in report.GetProperty("subjects").EnumerateArray() -> string (s.GetProperty("verdict").GetString())
        ]
    )

    Assert.Equal(0, fst (verify [ nothing; subject "im2col" ]))

[<Fact>]
let ``the verdict follows from the layers alone`` () =
    let loop = subject "loop"

    let result name checksum sampled : Layers.Result =
        {
            Layer = { workload.Layers.Head with Name = name }
            Subject = loop
            Checksum = checksum
            Sampled = sampled
            Neighbours = []
            Special = []
            Certificates = []
            Case = None
            Seconds = 1.0
        }

    let holds = Holds { Elements = 1L; Ratio = 0.5; Lean = 0.0; AgainstOracle = false; Outputs = 0UL }
    let broken = Faulted(Breach "it is wrong", Call.none workload.Layers.Head.Shape)
    let conclude results = (Layers.conclude [ loop ] results).Head

    let outcome =
        conclude
            [
                result "a" holds holds
                result "b" (NotApplicable "no exact tier") holds
                result "c" (Unsupported "") (Unsupported "")
            ]

    Assert.Equal(Conclusion.Conforms, outcome.Verdict)
    Assert.Equal((2, 3, 0.5), (outcome.Held, outcome.Layers, outcome.Ratio))

    Assert.Equal(
        Conclusion.Unsettled [ "b: its grid was left" ],
        (conclude [ result "a" holds holds; result "b" (Undecided "its grid was left") holds ]).Verdict
    )

    Assert.Equal(
        Conclusion.Violates,
        (conclude [ result "a" holds holds; result "b" (Undecided "") holds; result "c" holds broken ]).Verdict
    )

    Assert.Equal(Conclusion.Silent, (conclude [ result "a" (Unsupported "") (Unsupported "") ]).Verdict)

// ---- shapes of the author's

let private ownShapes =
    Workload.ofLines
        "mine"
        [
            "# a comment"
            "stem: c=3 h=24 w=24 o=8 kh=5 kw=5 sh=2 sw=2 pt=2 pl=2 pb=2 pr=2"
            ""
            "c=32 h=10 w=10 o=32 kh=3 kw=3 pt=1 pl=1 pb=1 pr=1   # without a name"
        ]

[<Fact>]
let ``a list of shapes has names, comments, and errors with the number of the line`` () =
    Assert.Equal<string list>([ "stem"; "line 4" ], ownShapes.Layers |> List.map _.Name)

    let wrong =
        Assert.Throws<FormatException>(fun () -> Workload.ofLines "mine" [ "c=1 h=2 w=2 o=1 kh=1 kw=1"; "c=nothing" ] |> ignore)

    Assert.StartsWith("line 2: ", wrong.Message)

    Assert.Throws<FormatException>(fun () -> Workload.ofLines "mine" [ "# nothing" ] |> ignore)
    |> ignore

let private certificates (result: Layers.Result) =
    [
        for operation, certified in result.Certificates do
            match certified with
            | Layers.Certified certificate -> operation, certificate
            | _ -> ()
    ]

let private all =
    [ Operation.Forward; Operation.BackwardInput; Operation.BackwardKernel; Operation.Transposed ]

/// Sums of the three operations have very different lengths.
[<Theory>]
[<InlineData "c=512 h=7 w=7 o=64 kh=3 kw=3 pt=1 pl=1 pb=1 pr=1">]
[<InlineData "c=16 h=56 w=56 o=16 kh=3 kw=3 pt=1 pl=1 pb=1 pr=1 g=16">]
let ``each operation is certified on numbers that its own sums have room for`` (line: string) =
    let shapes = Workload.ofLines "mine" [ line ]

    let result =
        Layers.run Layers.Named Run.defaults shapes [ subject "im2col" ] ignore
        |> List.exactlyOne

    Assert.Equal<Operation list>(all, certificates result |> List.map fst)

[<Fact>]
let ``a named shape that holds has a certificate, from the numbers and draws that it says`` () =
    let results = Layers.run Layers.Named Run.defaults ownShapes [ subject "loop" ] ignore

    for result in results do
        Assert.Equal<Operation list>(all, certificates result |> List.map fst)
        Assert.True(result.Neighbours.Length >= 20, string result.Neighbours.Length)

        for _, certificate in certificates result do
            Assert.True(certificate.EscapeProbability < 1e-6, string certificate)
            Assert.True(certificate.Numbers >= 19 && certificate.Draws <= 12, string certificate)
            // What is said is what was drawn.
            Assert.Equal(Math.Pow(2.0 / float certificate.Numbers, float certificate.Draws), certificate.EscapeProbability)

    Assert.Equal(Conclusion.Conforms, (Layers.conclude [ subject "loop" ] results).Head.Verdict)

/// What a certificate's draws are made of: every operand of its own numbers, in every draw.
[<Fact>]
let ``a certificate counts draws with a bias and with taps of their own alone`` () =
    let loop = subject "loop"
    let calls = System.Collections.Generic.List<float32[] * float32[]>()
    let shape = (List.last ownShapes.Layers).Shape

    let watched =
        { loop with
            Name = "watched"
            Forward =
                fun s x k b ->
                    if s = shape then
                        calls.Add((k, b))

                    loop.Forward s x k b
        }

    let result =
        (Layers.run Layers.Named Run.defaults { ownShapes with Layers = [ List.last ownShapes.Layers ] } [ watched ] ignore).Head

    let draws = calls |> Seq.truncate (snd (certificates result).Head).Draws |> List.ofSeq
    Assert.Equal((snd (certificates result).Head).Draws, draws.Length)

    for k, b in draws do
        Assert.Equal(shape.OutChannels, b.Length)
        // Nine taps of a channel that are all alike do not happen to four draws of so many numbers.
        Assert.Contains(Array.chunkBySize 9 k, (fun taps -> Array.distinct taps |> Array.length > 5))

[<Fact>]
let ``a fault beside a named shape is found, and one on a single output of it`` () =
    let loop = subject "loop"

    let wrong holds =
        { loop with
            Name = "wrong"
            Forward =
                fun s x k b ->
                    let y = loop.Forward s x k b

                    if holds s then
                        y[y.Length / 2] <- y[y.Length / 2] + x[0] * k[0]

                    y
        }

    let verdict holds =
        let subject = wrong holds
        let results = Layers.run Layers.Named Run.defaults ownShapes [ subject ] ignore
        (Layers.conclude [ subject ] results).Head.Verdict, results

    let beside, results = verdict (fun s -> s.InChannels = 33)
    Assert.Equal(Conclusion.Violates, beside)
    Assert.True(results |> List.forall (fun r -> (certificates r).Length = 4))
    let own, results = verdict (fun s -> s.InChannels = 32 && s.Batch = 1 && s.InHeight = 10)
    Assert.Equal(Conclusion.Violates, own)
    let broken = results |> List.find (fun r -> r.Layer.Name = "line 4")
    Assert.DoesNotContain(Operation.Forward, certificates broken |> List.map fst)

/// One number of a gradient, or of a transposed convolution, on one shape.
[<Theory; InlineData 1; InlineData 2; InlineData 3>]
let ``a fault of another operation on a named shape is found`` (at: int) =
    let loop = subject "loop"
    let shape = (List.last ownShapes.Layers).Shape
    let operation, _, _ = Adjoint.certificates[at - 1]

    let wrong =
        { loop with
            Name = "wrong"
            Operate =
                fun asked s first second bias ->
                    let y = loop.Operate asked s first second bias

                    if asked = operation && s = shape then
                        y[y.Length / 2] <- y[y.Length / 2] + 1f

                    y
        }

    let results = Layers.run Layers.Named Run.defaults ownShapes [ wrong ] ignore
    Assert.Equal(Conclusion.Violates, (Layers.conclude [ wrong ] results).Head.Verdict)

    for result in results do
        let certified = certificates result |> List.map fst
        Assert.Equal(result.Layer.Shape <> shape, List.contains operation certified)
        // The forward pass is not accused of it.
        Assert.True(result.Checksum.IsHolds)

/// As tiles do that are taken for many channels: a NaN that one window reads is in others too.
[<Theory>]
[<InlineData(true, "violates")>]
[<InlineData(false, "conforms")>]
let ``what is not finite is asked at the layer's own size`` (spreads: bool, verdict: string) =
    let loop = subject "loop"

    let tiled =
        { loop with
            Name = "tiled"
            Forward =
                fun s x k b ->
                    let y = loop.Forward s x k b

                    if spreads && s.InChannels >= 32 then
                        for at in 1 .. y.Length - 1 do
                            if Single.IsNaN y[at] && not (Single.IsNaN y[at - 1]) then
                                y[at - 1] <- nanf

                    y
        }

    let results = Layers.run Layers.Layer Run.defaults ownShapes [ tiled ] ignore
    let outcome = (Layers.conclude [ tiled ] results).Head
    Assert.Equal(verdict, Conclusion.word [] outcome.Verdict)

    for result in results do
        Assert.Equal(3, result.Special.Length)
        Assert.True(result.Checksum.IsHolds)

[<Fact>]
let ``layers of networks are judged with a bias, two images, uneven and SAME pads`` () =
    let shape = ConvShape.Parse "c=16 h=14 w=14 o=24 kh=3 kw=3 sh=2 sw=2 pt=1 pl=1 pb=1 pr=1"
    let shapes = Layers.neighbours Layers.Layer shape |> List.map snd
    Assert.Contains(shapes, (fun s -> s.Batch = 2))
    Assert.Contains(shapes, (fun s -> s.PadTop <> s.PadBottom && s.PadLeft <> s.PadRight))
    Assert.Contains(shapes, (fun s -> (s.PadTop, s.PadBottom) = (0, 1)))
    let loop = subject "loop"
    let forgetsBias = { loop with Name = "no-bias"; Forward = fun s x k _ -> loop.Forward s x k [||] }
    let results = Layers.run Layers.Layer Run.defaults workload [ forgetsBias ] ignore
    Assert.Equal(Conclusion.Violates, (Layers.conclude [ forgetsBias ] results).Head.Verdict)
