/// Layers of real networks: what is right conforms, what is wrong is found on the whole output and on sampled elements.
module Conv.Properties.LayerTests

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
    let code = Verify.workload Run.defaults workload subjects folder true
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
                    let plane = s.OutHeight * s.OutWidth

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
            Case = None
            Seconds = 1.0
        }

    let holds = Holds { Elements = 1L; Ratio = 0.5; AgainstOracle = false; Outputs = 0UL }
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
