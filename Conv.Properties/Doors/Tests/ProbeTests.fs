/// Probes tell subjects apart by what they compute, without being told.
module Conv.Properties.ProbeTests

open System
open System.IO
open System.Text.Json
open Xunit
open Conv

let private find name =
    match Registry.find Limits.usual name with
    | Ok [ subject ] -> subject
    | other -> failwith $"{name}: {other}"

/// The subject with everything that it declares taken back: a probe must not need it.
let private undeclared (subject: Subject) =
    { subject with
        Name = "somebody"
        Profile =
            { subject.Profile with
                ArithmeticOf = fun _ -> Opaque()
                Traits = Traits.Default
            }
    }

let private probe name = Probe.ofSubject (undeclared (find name))

/// Bits of inputs, weights, partial sums and results.
let private bits name (p: Probe.Probed) = struct (name, p.InputBits, p.WeightBits, p.SumBits, p.ResultBits)

let private exactly name inputs weights sums results =
    struct (name, Some inputs, Some weights, Some(Probe.Exactly sums), Some(Probe.Exactly results))

[<Fact>]
let ``bits of operands, partial sums and results are found`` () =
    let expected =
        [
            exactly "loop" 24 24 24 24
            exactly "im2col" 24 24 24 24
            exactly "pointwise" 24 24 24 24
            exactly "parallel-tiled" 24 24 24 24
            exactly "float64" 24 24 53 24
            exactly "bfloat16" 8 8 24 8
            exactly "float16" 11 11 24 11
            exactly "float16-accumulate" 11 11 11 11
            exactly "tf32" 11 11 24 24
            exactly "variant:reversed" 24 24 24 24
            exactly "variant:pairwise" 24 24 24 24
            exactly "variant:fma" 24 24 24 24
            exactly "variant:double" 24 24 53 24
            exactly "variant:blocked" 24 24 24 24
            exactly "variant:bias-first" 24 24 24 24
            exactly "museum:m145-tf32-inputs" 11 11 24 24
            exactly "museum:s48-f16-inputs" 11 24 24 24
            exactly "museum:m190-tf32-changes-an-identity" 11 24 24 24
            exactly "museum:m123-bf16-accumulator" 24 24 8 8
            exactly "museum:m044-f16-accumulator" 24 24 11 11
        ]

    Assert.Equal<_ list>(expected, [ for struct (name, _, _, _, _) in expected -> bits name (probe name) ])

[<Theory>]
[<InlineData("winograd-f2x3")>]
[<InlineData("winograd-f4x3")>]
[<InlineData("variant:winograd-f2x3-shifted")>]
[<InlineData("variant:winograd-f4x3-shifted")>]
let ``transforms are seen, and that their sums and operands are float32's`` (name: string) =
    let p = probe name
    Assert.Equal(Some Probe.Transformed, p.Structure)
    Assert.Equal(Some 24, p.InputBits)
    Assert.Equal(Some 24, p.WeightBits)
    Assert.InRange(p.SumBits.Value.Number, 20, 24)
    Assert.Equal(Some(Probe.Exactly 24), p.ResultBits)

[<Fact>]
let ``a step for a whole tensor is seen, and how many values it leaves`` () =
    let p = probe "int8"

    Assert.Equal(
        (Some Probe.Scaled, Some 7, Some 255, Some 7, Some 255),
        (p.Structure, p.InputBits, p.InputLevels, p.WeightBits, p.WeightLevels)
    )

    let p = probe "museum:q01-int8-weights"
    Assert.Equal((Some 24, None, Some 7, Some 255), (p.InputBits, p.InputLevels, p.WeightBits, p.WeightLevels))

    for name in [ "loop"; "bfloat16"; "variant:double"; "pointwise" ] do
        Assert.Equal(Some Probe.Separate, (probe name).Structure)

[<Theory>]
[<InlineData("loop", "left to right")>]
[<InlineData("float64", "left to right")>]
[<InlineData("bfloat16", "left to right")>]
[<InlineData("float16-accumulate", "left to right")>]
[<InlineData("variant:reversed", "right to left")>]
[<InlineData("variant:pairwise", "pairwise")>]
[<InlineData("variant:double", "left to right")>]
[<InlineData("variant:blocked", "in blocks of 8")>]
let ``the order of summation is found`` (name: string, order: string) = Assert.Equal(Some order, (probe name).Order)

[<Fact>]
let ``trees are told in words`` () =
    let leaves = List.map Summation.Leaf
    let inTurn = List.reduce (fun sum part -> Summation.Node(sum, part))
    Assert.Equal("left to right", Summation.describe (inTurn (leaves [ 1; 0; 2; 3 ])))
    Assert.Equal("right to left", Summation.describe (inTurn (leaves [ 3; 2; 1; 0 ])))
    Assert.Equal("one by one in an order of its own", Summation.describe (inTurn (leaves [ 0; 2; 1; 3; 4 ])))

    let lanes = [ 0..3 ] |> List.map (fun lane -> inTurn (leaves [ lane..4..15 ])) |> inTurn

    Assert.Equal("in 4 lanes", Summation.describe lanes)
    let odd = [ [ 0; 5 ]; [ 1; 2; 3; 6 ]; [ 4; 7 ] ] |> List.map (leaves >> inTurn) |> inTurn
    Assert.Equal("in a tree of its own", Summation.describe odd)

[<Fact>]
let ``fused multiply-add is seen where it is, and not asked where products are exact`` () =
    for name in [ "im2col"; "pointwise"; "parallel-tiled" ] do
        Assert.Equal(Some (find name).Profile.Traits.FusedMultiplyAdd, (probe name).Fused)

    Assert.Equal(Some true, (probe "variant:fma").Fused)

    for name in [ "loop"; "variant:pairwise"; "variant:blocked"; "float16-accumulate" ] do
        Assert.Equal(Some false, (probe name).Fused)

    for name in [ "float64"; "bfloat16"; "tf32"; "int8"; "winograd-f2x3" ] do
        Assert.Equal(None, (probe name).Fused)

let private range least most : Probe.Range option = Some { Least = least; Most = most }

[<Fact>]
let ``ranges tell float16 from TF32 and bfloat16`` () =
    let ends name =
        let p = probe name
        name, p.InputRange, p.ResultRange

    let expected =
        [
            "loop", range -149 127, range -149 127
            "bfloat16", range -133 127, range -133 127
            "tf32", range -136 127, range -149 127
            "float16", range -24 15, range -24 15
            "museum:q27-subnormal-inputs-flushed", range -126 127, range -149 127
            "museum:q28-subnormal-outputs-flushed", range -149 127, range -126 127
            "museum:s53-saturates-at-65504", range -149 127, range -149 15
            // What is multiplied by 2^126 at most does not reach a thousandth.
            "museum:s54-small-outputs-flushed", range -135 127, range -9 127
        ]

    Assert.Equal<_ list>(expected, [ for name, _, _ in expected -> ends name ])

/// A loop behind whose door something is done to operands or results.
let private altered onInput onResult =
    let loop = find "loop"

    Subject.forward "altered" Profile.Plain (fun s x k b -> loop.Forward s (Array.map onInput x) k b |> Array.map onResult)

[<Fact>]
let ``flushed subnormals are recognised, on the way in and on the way out`` () =
    let flush (x: float32) = if Single.IsSubnormal x then 0f else x
    let into, out = Probe.ofSubject (altered flush id), Probe.ofSubject (altered id flush)
    Assert.Equal((range -126 127, range -149 127), (into.InputRange, into.ResultRange))
    Assert.Equal((range -149 127, range -126 127), (out.InputRange, out.ResultRange))
    Assert.Contains("flushes subnormal inputs", Profiles.probed into)
    Assert.Contains("flushes subnormal results", Profiles.probed out)
    Assert.Contains(Claims.DeclaredButNotSeen "gradual underflow", Claims.differences (altered id flush) out)
    Assert.Contains("keeps subnormals", Profiles.probed (probe "loop"))

[<Fact>]
let ``NaN is followed to where it comes out`` () =
    let expected =
        [
            "loop", Some Probe.InWindow
            "im2col", Some Probe.InWindow
            "pointwise", Some Probe.InWindow
            "winograd-f2x3", Some Probe.InWindow
            "winograd-f4x3", Some(Probe.InTiles 4)
            "variant:winograd-f4x3-shifted", Some(Probe.InTiles 4)
            "int8", Some Probe.Lost
            "museum:m173-tile-step-of-two", Some Probe.Beyond
            "museum:m144-nan-left-out", Some Probe.Lost
            "museum:m149-nan-cleared", Some Probe.Lost
        ]

    Assert.Equal<_ list>(expected, [ for name, _ in expected -> name, (probe name).Spread ])
    let everywhere = altered id id

    let whole =
        { everywhere with
            Forward =
                fun s x k b ->
                    let y = everywhere.Forward s x k b
                    if Array.exists Single.IsNaN y then Array.map (fun _ -> nanf) y else y
        }

    Assert.Equal(Some Probe.InWholeImage, (Probe.ofSubject whole).Spread)

[<Fact>]
let ``what changes from call to call, with the address or with the threads is seen`` () =
    let loop = find "loop"
    let p = probe "parallel-tiled"
    Assert.Equal((Some true, Some true, Some true), (p.Repeatable, p.AnyAddress, p.AnyThreads))
    Assert.Equal(None, (probe "loop").AnyThreads)
    Assert.Equal(Some false, (probe "museum:q16-remainder-of-the-rows").AnyThreads)
    let mutable calls = 0

    let restless =
        { loop with
            Forward =
                fun s x k b ->
                    calls <- calls + 1

                    loop.Forward s x k b
                    |> Array.map (fun y -> if calls % 3 = 0 then MathF.BitIncrement y else y)
        }

    let seen = Probe.ofSubject restless
    Assert.Equal(Some false, seen.Repeatable)
    Assert.Contains(Claims.DeclaredButNotSeen "repeatable", Claims.differences restless seen)

    let crooked =
        { loop with
            Place =
                fun p operation s x k b ->
                    let struct (y, traces) = loop.Place p operation s x k b
                    struct (Array.map (fun v -> if p.Misalign = 13 then -v else v) y, traces)
        }

    Assert.Equal(Some false, (Probe.ofSubject crooked).AnyAddress)

[<Fact>]
let ``a subject that throws everywhere, one that supports nothing and one that computes nothing are unknown`` () =
    let throwing =
        { find "loop" with
            Forward = (fun _ _ _ _ -> failwith "no")
            Place = (fun _ _ _ _ _ -> failwith "no")
        }

    let refusing = { throwing with Profile = { throwing.Profile with Supports = fun _ -> false } }

    let careless =
        { throwing with
            Profile = { throwing.Profile with Supports = fun _ -> failwith "no" }
        }

    for subject in [ throwing; refusing; careless; find "gemm"; find "conv-shape" ] do
        let p = Probe.ofSubject subject
        Assert.Equal("nothing could be found out", Profiles.probed p)

        for name, _, probed in Profiles.rows subject p do
            if name <> "asked on" && name <> "unsupported shapes" then
                Assert.Equal<string>("unknown", probed)

[<Fact>]
let ``what is denied and works is reported, and what is refused is not`` () =
    let loop = find "loop"

    let modest =
        { loop with
            Profile =
                { loop.Profile with
                    Supports = fun s -> s.StrideHeight = 1 && s.StrideWidth = 1
                    Traits = Traits.Default
                }
        }

    let p = Probe.ofSubject modest
    Assert.Equal(Some { Probe.Asked = 20; Probe.Refused = 0; Probe.Right = 20; Probe.Wrong = 0 }, p.Unsupported)
    let differences = Claims.differences modest p
    Assert.Contains(Claims.DeniedButSeen "right on 20 of 20 shapes that it does not support", differences)
    Assert.Contains(Claims.DeniedButSeen "repeatable", differences)

    let wrong =
        { modest with
            Forward =
                fun s x k b ->
                    loop.Forward s x k b
                    |> Array.map (fun y -> if modest.Profile.Supports s then y else y + 1f)
        }

    Assert.Equal(20, (Probe.ofSubject wrong).Unsupported.Value.Wrong)
    let pointwise = find "pointwise"
    let p = Probe.ofSubject pointwise
    Assert.Equal(20, p.Unsupported.Value.Refused)
    // Where all sums of an image fit into one block they are stored after the last input is read; larger images it would spoil.
    Assert.Equal<_ list>([ Claims.DeniedButSeen "in place on 1×1" ], Claims.differences pointwise p)

[<Fact>]
let ``differences go both ways`` () =
    let of' name = Claims.differences (find name) (Probe.ofSubject (find name))
    Assert.Equal<_ list>([ Claims.DeniedButSeen "fused multiply-add" ], of' "variant:fma")
    Assert.Equal<_ list>([ Claims.DeclaredButNotSeen "inputs and weights of 24 bits (11 seen)" ], of' "museum:m145-tf32-inputs")
    Assert.Empty(of' "loop")
    let tf32 = find "tf32"

    let claims =
        { find "loop" with
            Profile = { tf32.Profile with Capabilities = set [ Forward ] }
        }

    Assert.Equal<_ list>(
        [ Claims.DeniedButSeen "inputs and weights of 24 bits (11 declared)" ],
        Claims.differences claims (Probe.ofSubject claims)
    )

[<Fact>]
let ``what is found is the same each time`` () =
    for name in [ "parallel-tiled"; "winograd-f4x3"; "int8" ] do
        Assert.Equal(Profiles.probed (probe name), Profiles.probed (probe name))

[<Fact>]
let ``a subject that takes one corner alone is asked there`` () =
    let loop = find "loop"

    let corner (s: ConvShape) =
        s.KernelHeight = 5
        && s.KernelWidth = 5
        && s.StrideHeight = 2
        && s.StrideWidth = 2
        && s.InChannels % 4 = 0

    let narrow =
        { loop with
            Profile =
                { loop.Profile with
                    Supports = corner
                    Traits = Traits(KernelSizes = [| struct (5, 5) |], Strides = [| struct (2, 2) |])
                }
        }

    let p = Probe.ofSubject narrow
    Assert.True(corner p.Shape.Value)
    Assert.Equal(bits "" (probe "loop"), bits "" p)
    Assert.Equal(Some "left to right", p.Order)

// ---- the doors

[<Fact>]
let ``the report holds both, field by field`` () =
    let folder = Directory.CreateTempSubdirectory("conv-").FullName

    let code =
        Cli.run
            [|
                "verify"
                "bfloat16"
                "conv-shape"
                "--laws"
                "ZERO-INPUT,SHAPE-COUNT"
                "--cases"
                "20"
                "--quiet"
                "--report"
                folder
            |]

    let text = File.ReadAllText(Path.Combine(folder, "conformance.json"))
    Directory.Delete(folder, true)
    Assert.Equal(0, code)
    let subjects = JsonDocument.Parse(text).RootElement.GetProperty("subjects")
    let subject = subjects[0]
    let declared, probed = subject.GetProperty "declared", subject.GetProperty "probed"
    Assert.Equal(8, declared.GetProperty("operandBits").GetInt32())
    Assert.True(declared.GetProperty("deterministic").GetBoolean())
    Assert.Equal(8, probed.GetProperty("inputBits").GetInt32())
    Assert.Equal(24, probed.GetProperty("sumBits").GetInt32())
    Assert.False(probed.GetProperty("sumBitsOrMore").GetBoolean())
    Assert.Equal("left to right", probed.GetProperty("order").GetString())
    Assert.Equal("window", probed.GetProperty("nan").GetString())
    Assert.Equal(JsonValueKind.Null, probed.GetProperty("inputLevels").ValueKind)
    Assert.Equal(JsonValueKind.Array, subject.GetProperty("differences").ValueKind)
    // Formulas compute nothing that could be probed.
    Assert.False(subjects[1].TryGetProperty("probed") |> fst)

[<Theory>]
[<InlineData(0, "profile", "loop", "gemm")>]
[<InlineData(0, "profile", "variants", "--brief")>]
[<InlineData(2, "profile", "nobody")>]
[<InlineData(2, "profile", "--no-such-option")>]
let ``profiles are printed for subjects and groups`` (code: int, [<ParamArray>] arguments: string[]) = Assert.Equal(code, Cli.run arguments)
