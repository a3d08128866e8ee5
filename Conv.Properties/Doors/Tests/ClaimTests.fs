/// What is claimed, and no more than that, is held: bounds, formats, sizes that follow from matrices.
module Conv.Properties.ClaimTests

open System.IO
open Xunit
open Conv
open Conv.Properties.Tests

let private law id = (All.tryFind id).Value

let private find name =
    (Unusual.all @ UnusualRounding.all @ Ours.all)
    |> List.find (fun s -> s.Name = name)

let private cell cases id subject =
    let options = { Run.defaults with Cases = cases; Threads = 1 }
    let results = Rounds.all options (Rounds.jobs options [ law id ] [ subject ]) ignore
    (Conclusion.matrix [ law id ] [ subject ] results).Head

/// exchanged_pads.c with a claimed bound, right or wrong.
let private library name flags =
    let root = DocumentTests.root ()
    let path = Path.Combine(Toolchain.folder.Value, name)
    let source = Path.Combine(root, "Conv.Properties", "Doors", "Tests", "Hostile", "exchanged_pads.c")

    Toolchain.run
        "gcc"
        ([
            "-O1"
            "-Wall"
            "-Wextra"
            "-Werror"
            "-shared"
            "-fPIC"
            "-I"
            Path.Combine(root, "docs", "adopt")
         ]
         @ flags
         @ [ "-o"; path; source ])
    |> ignore<string>

    "native:" + path

[<NeedsFact("gcc")>]
let ``a gradient whose pads are exchanged violates under a claimed bound, and the right one conforms`` () =
    let judged name =
        let subject = Open.subject Limits.usual name
        let options = { Run.defaults with Cases = 60 }

        let cells =
            Rounds.all options (Rounds.jobs options All.laws [ subject ]) ignore
            |> Conclusion.matrix All.laws [ subject ]

        subject, cells, Conclusion.ofSubject subject cells

    let honest, _, verdict = judged (library "libpads.so" [])
    Assert.Equal(Conclusion.Conforms, verdict)

    let wrong, cells, verdict = judged (library "libpads-exchanged.so" [ "-DEXCHANGED" ])

    match verdict with
    | Conclusion.Violates -> ()
    | other -> Assert.Fail $"{other}"

    // The gradient of the input alone is wrong, with whatever threads.
    for c in cells do
        if c.Status = Conclusion.Broken && c.Law.Id <> "THREAD-SETTINGS" then
            Assert.Contains(Gradients, c.Law.Needs)

    // N1 C1 H2 W3 O1, 3×3, one zero row below: dY = 1 and K = 1…9 give 1 2 3 / 4 5 6, not 4 5 6 / 7 8 9.
    let weights = [ for at in 0..8 -> $"k:0.0.{at / 3}.{at % 3}={at + 1}" ] |> String.concat ";"

    let line =
        "format=1 law=BACKWARD-IMPULSE tier=exact n=1 c=1 h=2 w=3 o=1 kh=3 kw=3 sh=1 sw=1 pt=0 pl=0 pb=1 pr=0 dh=1 dw=1 g=1 args=0,0,0 fill=explicit values="
        + weights

    let _, case = Case.parse line

    match (law case.Law).Judge wrong case with
    | Breaks witness ->
        Assert.Equal<float[]>([| 4.0; 5.0; 6.0; 7.0; 8.0; 9.0 |], witness.Equation.Left.Value.Data)
        Assert.Equal<float[]>([| 1.0; 2.0; 3.0; 4.0; 5.0; 6.0 |], witness.Equation.Right.Value.Data)
    | other -> Assert.Fail $"{other}"

    match (law case.Law).Judge honest case with
    | Holds _ -> ()
    | other -> Assert.Fail $"{other}"

[<Fact>]
let ``a claimed bound has room for the addition of a bias, and for what underflows, whether there is a bias or not`` () =
    // 0.5·γ₂ is what a correctly rounded product needs; 0.5·γ₁ would accuse it.
    Assert.Equal(Conclusion.Held, (cell 200 "POINTWISE-MATMUL" (find "variant:at-half-a-sum's-bound")).Status)

    for name in [ "variant:at-a-claimed-bound"; "variant:at-a-global-bound" ] do
        let tight = find name

        for id in [ "MODEL-EXACT"; "MODEL-BOUND"; "ZERO-CHANNELS"; "GROUP-CONCAT" ] do
            Assert.Equal(Conclusion.Held, (cell 100 id tight).Status)

        // It goes to the end of what it claims: a claim of a little less is refuted.
        let factor =
            if name.EndsWith("global-bound", System.StringComparison.Ordinal) then
                63.9
            else
                0.999

        let everywhere = factor > 1.0

        let boasting =
            { tight with
                Profile =
                    { tight.Profile with
                        ArithmeticOf = fun _ -> Within(factor, Global = everywhere)
                    }
            }

        Assert.Equal(Conclusion.Broken, (cell 200 "MODEL-BOUND" boasting).Status)

[<Fact>]
let ``a bilinear declaration says by itself which sizes are taken`` () =
    let b = (Winograd 2).ArithmeticOf(ConvShape(1, 1, 6, 6, 1, 3, 3)) :?> Bilinear

    let text (m: RationalMatrix) =
        [
            for row in 0 .. m.Rows - 1 ->
                [ for column in 0 .. m.Columns - 1 -> string m[row, column] ]
                |> String.concat ","
        ]
        |> String.concat ";"

    let matrices =
        [ b.OutputTransform; b.InputTransform; b.KernelTransform ]
        |> List.map text
        |> String.concat "|"

    let declared = (Declared.parse [] $"arithmetic=bilinear:{matrices}").Profile
    Assert.True(declared.Supports(ConvShape(1, 1, 6, 6, 1, 3, 3)))
    Assert.False(declared.Supports(ConvShape(1, 1, 6, 6, 1, 1, 1)))
    Assert.False(declared.Supports(ConvShape(1, 1, 6, 6, 1, 3, 3, 2, 2)))
    Assert.Equal<(struct (int * int)) seq>([ struct (3, 3) ], declared.Traits.KernelSizes)

[<Fact>]
let ``what is declined is not accused of its declaration`` () =
    let f2 = find "winograd-f2x3"

    let declining =
        { f2 with
            Profile = { f2.Profile with Supports = (fun _ -> true); Declines = true }
            Forward = fun s x k b -> if f2.Profile.Supports s then f2.Forward s x k b else raise Declined
        }

    Assert.NotEqual(Conclusion.Broken, (cell 60 "CHANNEL-SUM" declining).Status)
    // It answers what its matrices do not compute: then the declaration is wrong.
    let answering =
        { declining with
            Forward =
                fun s x k b ->
                    if f2.Profile.Supports s then
                        f2.Forward s x k b
                    else
                        (find "loop").Forward s x k b
        }

    Assert.Equal(Conclusion.Broken, (cell 60 "CHANNEL-SUM" answering).Status)

[<Fact>]
let ``narrow formats have what the laws of precision and of chains ask`` () =
    Assert.Equal(Conclusion.Held, (cell 60 "PRECISION-SUM" (find "variant:e4m3")).Status)
    Assert.Equal(Conclusion.Held, (cell 120 "COMPOSE" (find "variant:e5m2")).Status)

    for id in [ "PRECISION-SUM"; "CONSTANT-INPUT" ] do
        Assert.Equal(Conclusion.Held, (cell 200 id (find "variant:bfloat16-accumulator")).Status)

    // An accumulator that keeps fewer bits than it declares is still seen.
    let rough =
        Narrow("rough", Rounded(FloatFormat.OfBits(4, 3), FloatFormat.Float16, FloatFormat.Float16))
        |> Contract.ofConvolution

    let declared = (find "variant:e4m3").Profile.ArithmeticOf
    let boasting = { rough with Profile = { rough.Profile with ArithmeticOf = declared } }
    Assert.Equal(Conclusion.Broken, (cell 60 "PRECISION-SUM" boasting).Status)

[<Fact>]
let ``gradients that are declared apart can earn the law of their sums`` () =
    let loop = find "loop"

    let mixed (forward: Subject) =
        { forward with
            Profile =
                { forward.Profile with
                    Capabilities = forward.Profile.Capabilities.Add Gradients
                    AdjointArithmeticOf = fun _ -> ValueSome(AnyOrder())
                }
            Operate = loop.Operate
        }

    for forward in [ "winograd-f4x3"; "bfloat16"; "int8" ] do
        Assert.Equal(Conclusion.Held, (cell 60 "PRECISION-BATCH-SUM" (mixed (find forward))).Status)

    // Undeclared, they are not asked.
    let undeclared = mixed (find "bfloat16")

    let undeclared =
        { undeclared with
            Profile = { undeclared.Profile with AdjointArithmeticOf = fun _ -> ValueNone }
        }

    match (cell 60 "PRECISION-BATCH-SUM" undeclared).Status with
    | Conclusion.Inapplicable reason -> Assert.Contains("gradients", reason)
    | other -> Assert.Fail $"{other}"

[<Fact>]
let ``ties may go either way, and a truncation is still told from a rounding`` () =
    let tf32 = FloatFormat.TensorFloat32
    let half = 1.0 + System.Math.ScaleB(1.0, -11)
    let struct (near, ties) = Reduced.rounded tf32 [| half; 1.0; half + System.Math.ScaleB(1.0, -20) |]
    Assert.Equal<float[]>([| 1.0; 1.0; 1.0 + System.Math.ScaleB(1.0, -10) |], near)
    Assert.Equal<float[]>([| System.Math.ScaleB(1.0, -10); 0.0; 0.0 |], ties)

    let cut = find "variant:truncating-tf32"

    let boasting =
        { cut with
            Profile =
                { cut.Profile with
                    ArithmeticOf = fun _ -> Rounded(tf32, FloatFormat.Binary32, FloatFormat.Binary32)
                }
        }

    Assert.Equal(Conclusion.Broken, (cell 40 "MODEL-BOUND" boasting).Status)

[<Fact>]
let ``a slow convolution is not accused of its indices, and a loop that an index keeps forever is`` () =
    let loop = find "loop"

    let timed patience =
        { loop with
            Forward =
                fun s x k b ->
                    let most = Seq.max [ s.Batch; s.InChannels; s.InHeight; s.InWidth; s.OutChannels ]

                    if most > 65535 then
                        raise (ForeignFault(Trouble.Hung, "it gave no answer within 10 s (--timeout)"))

                    if most > 30000 then
                        System.Threading.Thread.Sleep(int patience)

                    loop.Forward s x k b
        }

    let judged subject = cell 1 "LARGE-INDEX" subject

    match (judged (timed 1100)).Status with
    | Conclusion.Open reason -> Assert.Contains("takes long for half as much", reason)
    | other -> Assert.Fail $"{other}"

    Assert.Equal(Conclusion.Broken, (judged (timed 0)).Status)
