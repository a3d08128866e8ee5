/// Honest convolutions are not accused, and bounds and certificates end where their lemmas do (docs/bounds.md).
module Conv.Properties.FairnessTests

open System
open System.IO
open Xunit
open Conv
open Conv.Properties.Judging

let private loop = Ours.implementations |> List.find (fun s -> s.Name = "loop")
let private law id = (All.tryFind id).Value

/// The laws that say something against a subject, and its verdict.
let private judged cases (laws: Law list) (subject: Subject) =
    let options = { Run.defaults with Cases = cases; Threads = 2; Seed = 3UL }
    let results = Rounds.all options (Rounds.jobs options laws [ subject ]) ignore
    Assert.All(results, (fun r -> Assert.Equal(None, r.KitFault)))
    let cells = Conclusion.matrix laws [ subject ] results

    [
        for cell in cells do
            if cell.Status = Conclusion.Broken then
                cell.Law.Id
    ],
    Conclusion.ofSubject subject cells,
    cells

let private everyUnusual = Unusual.all @ UnusualRounding.all
let unusual: TheoryData<string> = TheoryData<string>(everyUnusual |> List.map _.Name)

[<Theory; MemberData(nameof unusual)>]
let ``an unusual convolution that is right is not accused`` (name: string) =
    let subject = everyUnusual |> List.find (fun s -> s.Name = name)
    let broken, verdict, cells = judged 40 All.laws subject
    Assert.Empty broken

    match verdict with
    | Conclusion.Conforms -> ()
    // Who declares nothing gets no verdict where only a bound could give one.
    | Conclusion.Unsettled _ when name.EndsWith "-undeclared" -> ()
    // A claimed bound as wide as this one, or a format of two bits, leaves few grids: more cases than these are needed.
    | Conclusion.Unsettled reasons when name = "variant:int8-real-scales" || name = "variant:e2m1" ->
        Assert.All(reasons, (fun reason -> Assert.Contains("too few comparisons", reason)))
    | other -> Assert.Fail $"{other}"

    let held = cells |> List.filter (fun c -> c.Status = Conclusion.Held) |> List.length
    Assert.True(verdict <> Conclusion.Conforms || held >= 40)

[<Fact>]
let ``a transform that multiplies by its zeros is asked about NaN beyond its tiles`` () =
    let dense = Unusual.all |> List.find (fun s -> s.Name = "variant:winograd-f2x3-dense")
    let _, _, cells = judged 60 [ law "NAN-LOCAL" ] dense
    Assert.Equal(Conclusion.Held, cells.Head.Status)
    // With the promise that they are skipped it would be accused.
    let promising =
        { dense with
            Profile =
                { dense.Profile with
                    ArithmeticOf =
                        fun s ->
                            let own = dense.Profile.ArithmeticOf s :?> Bilinear
                            Bilinear(own.OutputTransform, own.InputTransform, own.KernelTransform, SkipsZeroEntries = true)
                }
        }

    let broken, _, _ = judged 60 [ law "NAN-LOCAL" ] promising
    Assert.Equal<string list>([ "NAN-LOCAL" ], broken)

// ---- E1: a bias that is held wider than the accumulator

[<Fact>]
let ``a bias may be held wider than the declared accumulator`` () =
    let half = FloatFormat.Float16

    let wide =
        { loop with
            Name = "float16 operands, float32 from the bias on"
            Profile =
                { loop.Profile with
                    ArithmeticOf = fun _ -> Rounded(half, half, FloatFormat.Binary32)
                    Capabilities = Set.singleton Forward
                }
            Forward = fun s x k b -> loop.Forward s (Array.map half.Round x) (Array.map half.Round k) b
        }

    let broken, _, cells = judged 60 [ law "ZERO-KERNEL"; law "ZERO-INPUT"; law "MODEL-BOUND" ] wide
    Assert.Empty broken
    Assert.All(cells, (fun c -> Assert.Equal(Conclusion.Held, c.Status)))

    let twice =
        { wide with
            Forward = fun s x k b -> wide.Forward s x k (Array.map (fun v -> 2f * v) b)
        }

    let broken, _, _ = judged 60 [ law "ZERO-KERNEL" ] twice
    Assert.Equal<string list>([ "ZERO-KERNEL" ], broken)

// ---- E2: nothing declared

[<Fact>]
let ``who declares nothing is not held to oddness, powers of two or NaN`` () =
    // Operands in 255 steps from their least to their greatest: neither odd nor homogeneous, and NaN becomes a number.
    let steps (values: float32[]) =
        let values = values |> Array.map (fun v -> if Single.IsFinite v then v else 0f)

        if values.Length = 0 then
            values
        else
            let least, most = min 0f (Array.min values), max 0f (Array.max values)
            let step = if most = least then 1f else (most - least) / 255f
            values |> Array.map (fun v -> MathF.Round((v - least) / step) * step + least)

    let zeroPoint =
        { loop with
            Name = "a zero point"
            Profile =
                { loop.Profile with
                    ArithmeticOf = fun _ -> Opaque()
                    Capabilities = Set.singleton Forward
                }
            Forward = fun s x k b -> loop.Forward s (steps x) k b
        }

    let laws =
        [
            "ODD"
            "SCALE-POW2"
            "NAN-INPUT"
            "NAN-LOCAL"
            "INFINITY"
            "NONFINITE-KERNEL"
            "ZERO-KERNEL"
            "ZERO-INPUT"
        ]
        |> List.map law

    let broken, _, _ = judged 60 laws zeroPoint
    Assert.Empty broken

// ---- E4: RANGE

[<Fact>]
let ``RANGE scales nothing beyond the floats`` () =
    let subject = Ours.implementations |> List.find (fun s -> s.Name = "float64")
    let range = law "RANGE"

    for index in 0..999 do
        match (Address.case 9UL range subject.Profile Exact index).Fill with
        | Drawn(Lattice l, _) -> Assert.True(l.InputExponent + l.KernelExponent <= 14)
        | other -> Assert.Fail $"{other}"

// ---- E5 to E9: certificates without a lemma

let private plain = Traits.Default
let private one = ConvShape(1, 2, 1, 1, 1, 1, 1)
let private rounded input accumulator output : Arithmetic = Rounded(input, accumulator, output)

[<Fact>]
let ``a fused call is certified where the forward call and its folded weights are`` () =
    let fused = Operation.Fused false
    let isExact arithmetic s x k bias = Bound.isExact fused arithmetic plain s x k bias
    let bfloat16 = rounded FloatFormat.BFloat16 FloatFormat.Binary32 FloatFormat.BFloat16
    // s·k = 381 and −378: 380 and −378 in bfloat16.
    Assert.False(isExact bfloat16 one [| 1.; 1. |] [| 127.; -126. |] [| 0.; 3.; 0. |])
    Assert.True(isExact bfloat16 one [| 1.; 1. |] [| 127.; -126. |] [| 0.; 1.; 0. |])
    Assert.False(isExact (Quantized 8) one [| 1.; 1. |] [| 127.; -126. |] [| 0.; 3.; 0. |])
    Assert.True(isExact (AnyOrder()) one [| 1.; 1. |] [| 127.; -126. |] [| 0.; 3.; 0. |])
    // Integers that are no multiples of 9 are off F(4, 3)'s grid, fused or not.
    let f4x3 = (Winograd 4).ArithmeticOf(ConvShape(1, 1, 6, 6, 1, 3, 3))
    let s = ConvShape(1, 1, 6, 6, 1, 3, 3)
    let x, k = Array.init 36 (fun at -> float (at % 19 - 9)), Array.init 9 (fun at -> float (at % 7 - 3))
    Assert.False(Bound.isExact Operation.Forward f4x3 plain s x k [||])
    Assert.False(isExact f4x3 s x k [| 0.; 1.; 0. |])

[<Fact>]
let ``a bounded fused call of any arithmetic has a finite bound`` () =
    for arithmetic in
        [
            (Winograd 4).ArithmeticOf(ConvShape(1, 1, 6, 6, 1, 3, 3))
            rounded FloatFormat.BFloat16 FloatFormat.Binary32 FloatFormat.BFloat16
            Quantized 8
        ] do
        let s = ConvShape(1, 1, 6, 6, 1, 3, 3)
        let x, k = Array.init 36 (fun at -> Math.Sin(float at)), Array.init 9 (fun at -> Math.Cos(float at))
        let bound = Bound.ofCall (Operation.Fused true) arithmetic plain s x k [| 0.5; 3.; -1. |]
        let forward = Bound.ofCall Operation.Forward arithmetic plain s x k [| 0.5 |]

        for at in 0..15 do
            Assert.True(Double.IsFinite(bound.At at) && bound.At at >= 3. * forward.At at)

[<Fact>]
let ``weights that overflow when they are folded are not certified`` () =
    let s, power = ConvShape(1, 1, 1, 1, 1, 1, 1), (fun e -> Math.ScaleB(1., e))
    let isExact x k bias = Bound.isExact (Operation.Fused false) (AnyOrder()) plain s [| x |] [| k |] bias
    Assert.False(isExact (power -110) (power 110) [| 0.; power 20; 0. |])
    Assert.False(isExact 0. (power 100) [| 0.; power 60; 0. |])
    Assert.True(isExact (power -10) (power 10) [| 0.; power 20; 0. |])

[<Fact>]
let ``the oracle is exact only where double says so`` () =
    let power e = Math.ScaleB(1., e)
    // 2⁵³ + 1 is no double, and neither is its absolute sum.
    Assert.False((Bound.ofOracle Operation.Forward one [| power 27; 1. |] [| power 26; 1. |] [||]).IsZero)
    Assert.True((Bound.ofOracle Operation.Forward one [| power 20; 1. |] [| power 20; 1. |] [||]).IsZero)

[<Fact>]
let ``input and kernel in different channels are transformed all the same`` () =
    let s = ConvShape(1, 2, 4, 4, 1, 3, 3)
    let x, k = Array.zeroCreate 32, Array.zeroCreate 18
    x[0] <- 1.
    k[9] <- 1.

    for tap in 1..8 do
        k[9 + tap] <- Math.ScaleB(1., 127)

    Assert.False((BilinearProgram.Of((Winograd 2).ArithmeticOf s :?> Bilinear)).IsExact(s, x, k, [||], -149))

[<Fact>]
let ``flushed formats are certified from their least normal number on`` () =
    let half = FloatFormat.Float16
    let s = ConvShape(1, 1, 1, 1, 1, 1, 1)

    let isExact flushes x =
        Bound.isExact Operation.Forward (Rounded(half, half, half)) (Traits(FlushesSubnormals = flushes)) s [| x |] [| 1. |] [||]

    Assert.True(isExact false (Math.ScaleB(1., -15)))
    Assert.False(isExact true (Math.ScaleB(1., -15)))
    Assert.True(isExact true (Math.ScaleB(1., -14)))

// ---- E10: errors of operands

[<Fact>]
let ``errors of operands go through the epilogue, and through a transposed bias`` () =
    let s = ConvShape(1, 1, 3, 3, 2, 2, 2)
    let case = Address.case 0UL (law "CHANNEL-SUM") loop.Profile Bounded 0
    let trial = new Trial(loop, { case with Problem = s }, false)
    let number dims value = Approx.init dims (fun _ _ _ _ -> value)
    let unsure (a: Approx) error = { a with Error = Each(Array.create a.Value.Length error) }
    let x, k = number (1, 1, 3, 3) 1., number (2, 1, 2, 2) 1.
    let b, scale, shift = number (2, 1, 1, 1) 1., number (2, 1, 1, 1) -8., number (2, 1, 1, 1) 0.

    let error (z: Approx) = z.Error.At 0
    // Four taps, each with an error of 1/4, times 8.
    Assert.InRange(error (trial.Fused(false, s, unsure x 0.25, k, b, scale, shift)), 8., 8.01)
    // (S + |b|)·1/2 = 5/2.
    Assert.InRange(error (trial.Fused(false, s, x, k, b, unsure scale 0.5, shift)), 2.5, 2.51)
    Assert.InRange(error (trial.Fused(false, s, x, k, unsure b 0.5, scale, shift)), 4., 4.01)

    // A result of one channel of 3×3, while the forward output has two of 2×2.
    let bias = { number (1, 1, 1, 1) 1. with Error = Each [| 0.5 |] }
    let y = trial.Transposed(s, number (1, 2, 2, 2) 1., k, Some bias)
    Assert.All(Seq.init 9 id, (fun at -> Assert.InRange(y.Error.At at, 0.5, 0.51)))

// ---- what was missing

[<Fact>]
let ``F(6, 3) and F(4, 5) have a finite bound on numbers of every size`` () =
    for algorithm, taps in [ Winograd 6, 3; Winograd.F4x5, 5 ] do
        let s = ConvShape(1, 1, 10, 10, 1, taps, taps)
        let wide at = Math.ScaleB(1.5, at % 61 - 60) * (if at % 2 = 0 then 1. else -1.)
        let x, k = Array.init 100 wide, Array.init (taps * taps) (fun at -> Math.ScaleB(wide (3 * at), -60))
        let bound = Bound.ofCall Operation.Forward (algorithm.ArithmeticOf s) plain s x k [||]
        let y = (Contract.ofConvolution algorithm).Forward s (Array.map float32 x) (Array.map float32 k) [||]
        let exact = Oracle.correlate s (Array.map (float32 >> float) x) (Array.map (float32 >> float) k)

        for at in 0 .. exact.Length - 1 do
            Assert.True(Double.IsFinite(bound.At at))
            Assert.True(abs (float y[at] - exact[at]) <= bound.At at)

[<Fact>]
let ``reduced precisions that flush are within their bound`` () =
    let half = FloatFormat.Float16
    let s = ConvShape(1, 3, 1, 1, 1, 1, 1)
    let flush (v: float32) = if MathF.Abs v < MathF.ScaleB(1f, half.MinExponent) then 0f else v
    let through v = flush (half.Round v)
    let random = Random 5

    for _ in 1..2000 do
        let draw () = through (MathF.ScaleB(random.NextSingle() - 0.5f, random.Next(-9, 1)))
        let x, k = Array.init 3 (fun _ -> draw ()), Array.init 3 (fun _ -> draw ())
        let mutable sum = 0f

        for at in 0..2 do
            sum <- through (sum + through (x[at] * k[at]))

        let bound =
            Bound.ofCall
                Operation.Forward
                (Rounded(half, half, half))
                (Traits(FlushesSubnormals = true))
                s
                (Array.map float x)
                (Array.map float k)
                [||]

        let exact = Seq.sum (Seq.map2 (fun (a: float32) (b: float32) -> float a * float b) x k)
        Assert.True(abs (float sum - exact) <= bound.At 0)

/// TF32 operands cut off, declared as they are or as rounded to nearest.
let private tf32 (declared: FloatFormat) =
    let truncating = FloatFormat.TensorFloat32.With("tf32.rz", truncates = true)

    { loop with
        Name = "truncating TF32"
        Profile =
            { loop.Profile with
                ArithmeticOf = fun _ -> Rounded(declared, FloatFormat.Binary32, FloatFormat.Binary32)
                Capabilities = Set.singleton Forward
            }
        Forward = fun s x k b -> loop.Forward s (Array.map truncating.Round x) (Array.map truncating.Round k) b
    }

[<Fact>]
let ``truncated operands are told from rounded ones`` () =
    let rz = FloatFormat.TensorFloat32.With("tf32.rz", truncates = true)
    let bound = [ law "MODEL-BOUND" ]
    let broken, _, _ = judged 20 bound (tf32 FloatFormat.TensorFloat32)
    Assert.Equal<string list>([ "MODEL-BOUND" ], broken)
    let broken, _, cells = judged 100 bound (tf32 rz)
    Assert.Empty broken
    Assert.Equal(Conclusion.Held, cells.Head.Status)
    // Sums of hundreds of terms hide what a single product shows: not on the operands as they are declared.
    let s = ConvShape(1, 64, 12, 12, 4, 3, 3)

    let case =
        { Address.case 1UL bound.Head loop.Profile Bounded 1 with
            Problem = s
            Fill = Drawn(Uniform, 7UL)
        }

    match bound.Head.Judge (tf32 FloatFormat.TensorFloat32) case with
    | Breaks witness -> Assert.Contains("operands", witness.Equation.RightName)
    | other -> Assert.Fail $"{other}"

[<Fact>]
let ``a gradient under a stride has the terms that meet it`` () =
    let s = ConvShape(1, 4, 9, 9, 6, 3, 3, strideHeight = 2, strideWidth = 2, groups = 2)
    Assert.Equal(3L * 2L * 2L, Operation.terms Operation.BackwardInput s)
    Assert.Equal(3L * 3L * 1L, Operation.terms Operation.Transposed (s.With(strideHeight = 1, strideWidth = 3)))
    // With a dilation of 2 every tap is a stride apart from the next.
    Assert.Equal(3L * 3L * 3L, Operation.terms Operation.BackwardInput (s.With(dilationHeight = 2, dilationWidth = 2)))

[<Fact>]
let ``a declared depth sharpens the bound, of the forward pass alone`` () =
    let s = ConvShape(1, 512, 3, 3, 1, 3, 3)
    let ones length = Array.create length 1.
    let at (arithmetic: Arithmetic) = (Bound.ofCall Operation.Forward arithmetic plain s (ones 4608) (ones 4608) [||]).At 0
    // 64 terms a block, 72 blocks: 4,608 roundings against 137.
    let ratio = at (AnyOrder()) / at (AnyOrder(Depth = Nullable 136L))
    Assert.InRange(ratio, 33.6, 33.7)
    let profile = { Profile.Plain with ArithmeticOf = fun _ -> AnyOrder(Depth = Nullable 1L) }
    Assert.Equal(AnyOrder() :> Arithmetic, profile.Arithmetic(Operation.BackwardKernel, s))

// ---- a claimed bound

[<Fact>]
let ``a claim is held: what exceeds it breaks laws, in both tiers`` () =
    let off (factor: float32) =
        { loop with
            Name = "off"
            Profile =
                { loop.Profile with
                    ArithmeticOf = fun _ -> Within 8.
                    Capabilities = Set.singleton Forward
                }
            Forward = fun s x k b -> loop.Forward s x k b |> Array.map (fun y -> y * (1f + factor))
        }

    let unit = MathF.ScaleB(1f, -24)
    let model = [ law "MODEL-EXACT"; law "MODEL-BOUND" ]
    let broken, _, cells = judged 60 model (off (6f * unit))
    Assert.Empty broken
    Assert.All(cells, (fun c -> Assert.Equal(Conclusion.Held, c.Status)))
    let broken, _, _ = judged 60 [ law "MODEL-BOUND" ] (off (4096f * unit))
    Assert.Equal<string list>([ "MODEL-BOUND" ], broken)

    // One element of the input for another: a step of the grid, whatever the factor.
    let shifted = { off 0f with Forward = fun s x k b -> loop.Forward s (Array.rev x) k b }
    let broken, _, _ = judged 60 [ law "MODEL-EXACT" ] shifted
    Assert.Equal<string list>([ "MODEL-EXACT" ], broken)

[<Fact>]
let ``gradients of a bilinear forward pass are judged by what is declared of them`` () =
    let s = ConvShape(1, 1, 6, 6, 1, 3, 3)

    let profile adjoint =
        { Profile.Plain with
            ArithmeticOf = (Winograd 2).ArithmeticOf
            AdjointArithmeticOf = fun _ -> adjoint
        }

    Assert.IsType<Opaque>((profile ValueNone).Arithmetic(Operation.BackwardInput, s))
    |> ignore<Opaque>

    Assert.IsType<AnyOrder>((profile (ValueSome(AnyOrder()))).Arithmetic(Operation.BackwardInput, s))
    |> ignore<AnyOrder>

    // All ones are no gradient, and a loop's gradients are.
    let winograd = Ours.implementations |> List.find (fun s -> s.Name = "winograd-f2x3")

    let adjoint operate =
        { winograd with
            Profile =
                { winograd.Profile with
                    AdjointArithmeticOf = fun _ -> ValueSome(AnyOrder())
                    Capabilities = winograd.Profile.Capabilities.Add Gradients
                }
            Operate = operate
        }

    let ones = adjoint (fun operation s _ _ _ -> Array.create (int (Operation.length operation s)) 1f)
    let broken, _, _ = judged 30 [ law "ADJOINT-INPUT" ] ones
    Assert.Equal<string list>([ "ADJOINT-INPUT" ], broken)
    let _, _, cells = judged 30 [ law "ADJOINT-INPUT" ] (adjoint loop.Operate)
    Assert.Equal(Conclusion.Held, cells.Head.Status)

// ---- declarations as text

[<Theory>]
[<InlineData("e5m2", 3, -14, 15)>]
[<InlineData("e4m3", 4, -6, 7)>]
[<InlineData("e8m7", 8, -126, 127)>]
[<InlineData("e5m10", 11, -14, 15)>]
let ``formats of any width`` (name: string, precision: int, least: int, most: int) =
    match (Declared.parse [] $"arithmetic=rounded:{name}.rz.sat,float32,{name}").Profile.ArithmeticOf one with
    | :? Rounded as r ->
        Assert.Equal((precision, least, most), (r.Input.Precision, r.Input.MinExponent, r.Input.MaxExponent))
        Assert.True(r.Input.Truncates && r.Input.Saturates && not r.Output.Truncates)
    | other -> Assert.Fail $"{other}"

[<Fact>]
let ``formats round as they say`` () =
    let e5m2 = FloatFormat.OfBits(5, 2)
    let rz, sat = e5m2.With("rz", truncates = true), e5m2.With("sat", saturates = true)
    Assert.Equal<float32 list>([ 1.25f; 1.5f; 1.25f ], [ e5m2.Round 1.3f; e5m2.Round 1.45f; rz.Round 1.45f ])
    Assert.Equal<float32 list>([ -1.25f; infinityf; 57344f ], [ rz.Round -1.49f; e5m2.Round 1e6f; sat.Round 1e6f ])
    Assert.Equal<float32 list>([ infinityf; 57344f ], [ sat.Round infinityf; rz.Round 1e6f ])

[<Theory>]
[<InlineData("arithmetic=within:0")>]
[<InlineData("arithmetic=within:64,local")>]
[<InlineData("arithmetic=any-order:-1")>]
[<InlineData("arithmetic=rounded:e9m2,float32,float32")>]
[<InlineData("arithmetic=rounded:float16.up,float32,float32")>]
[<InlineData("gradients=opaque")>]
[<InlineData("skips-zeros=yes")>]
let ``what means nothing is refused`` (text: string) =
    Assert.Throws<CannotOpen>(fun () -> Declared.parse [] text |> ignore)
    |> ignore<CannotOpen>

[<Fact>]
let ``claims and promises are read`` () =
    let arithmetic text = (Declared.parse [] text).Profile.ArithmeticOf one
    Assert.Equal(Within(64., Global = true) :> Arithmetic, arithmetic "arithmetic=within:64,global")
    Assert.Equal(AnyOrder(Depth = Nullable 136L) :> Arithmetic, arithmetic "arithmetic=any-order:136")
    let f1 = "arithmetic=bilinear:1|1|1"
    Assert.False((arithmetic f1 :?> Bilinear).SkipsZeroEntries)
    Assert.True((arithmetic (f1 + " skips-zeros=yes") :?> Bilinear).SkipsZeroEntries)

[<Fact>]
let ``an undeclared error is told by the least factor that explains it`` () =
    // A relative error of 2⁻¹⁰.
    let off =
        { loop with
            Name = "undeclared"
            Profile =
                { loop.Profile with
                    ArithmeticOf = fun _ -> Opaque()
                    Capabilities = Set.singleton Forward
                }
            Forward = fun s x k b -> loop.Forward s x k b |> Array.map (fun y -> y * (1f + MathF.ScaleB(1f, -10)))
        }

    let broken, verdict, cells = judged 40 [ law "MODEL-EXACT"; law "CHANNEL-SUM" ] off
    Assert.Empty broken
    Assert.NotEqual(Conclusion.Conforms, verdict)

    match Conclusion.leastFactor cells with
    // A product of its own: 2⁻¹⁰ is 2¹⁴ units; more terms have a larger bound.
    | Some(law, _, Breaks _, factor) ->
        Assert.Equal("MODEL-EXACT", law.Id)
        Assert.InRange(factor, 2.0, 16384.0)
    | other -> Assert.Fail $"{other}"

// ---- said truthfully

[<Fact>]
let ``a run that leaves laws or a tier out is partial`` () =
    let options = { Run.defaults with Cases = 30 }
    Assert.Empty(Conclusion.leftOut options All.laws)
    Assert.Equal("conforms", Conclusion.word [] Conclusion.Conforms)
    let some = Conclusion.leftOut options (List.truncate 3 All.laws)
    Assert.Equal<string list>([ $"{All.laws.Length - 3} of {All.laws.Length} laws were not asked" ], some)
    Assert.Equal("partial", Conclusion.word some Conclusion.Conforms)
    Assert.Equal("violates", Conclusion.word some Conclusion.Violates)
    Assert.Equal<string list>([ "the bounded tier was not asked" ], Conclusion.leftOut { options with Tiers = [ Exact ] } All.laws)

[<Fact>]
let ``a Winograd and an int8 that declare nothing are told what they look like`` () =
    let bare name =
        let subject = Ours.implementations |> List.find (fun s -> s.Name = name)

        { subject with
            Profile = { subject.Profile with ArithmeticOf = fun _ -> AnyOrder() }
        }

    let hint subject = Claims.undeclared subject (Probe.ofSubject subject)
    Assert.Contains("arithmetic=bilinear:", (hint (bare "winograd-f2x3")).Value)
    Assert.Contains("arithmetic=quantized:8", (hint (bare "int8")).Value)
    Assert.Contains("bfloat16", (hint (bare "bfloat16")).Value)
    Assert.Equal(None, hint loop)

// ---- told once

[<Fact>]
let ``matrices that compute no correlation are told by the entry that is wrong`` () =
    let right = (Winograd 4).ArithmeticOf(ConvShape(1, 1, 6, 6, 1, 3, 3)) :?> Bilinear
    Assert.Equal(None, (BilinearProgram.Of right).Mistake)
    let g = Array2D.init 6 3 (fun row column -> right.KernelTransform[row, column])
    let own = g[3, 1]
    g[3, 1] <- own + Rational.One
    let wrong = Bilinear(right.OutputTransform, right.InputTransform, RationalMatrix g)
    Assert.Equal(Some $"G[3,1] is {own + Rational.One}, with {own} they would", (BilinearProgram.Of wrong).Mistake)
    g[1, 1] <- Rational.Zero
    let worse = Bilinear(right.OutputTransform, right.InputTransform, RationalMatrix g)
    Assert.Equal(Some "more than one entry is wrong", (BilinearProgram.Of worse).Mistake)
    let misshapen = Bilinear(right.OutputTransform, right.InputTransform, right.InputTransform)
    Assert.Contains("A is 4×6", (BilinearProgram.Of misshapen).Mistake.Value)

[<Conv.Properties.Tests.NeedsFact("gcc")>]
let ``a library that flushes as soon as it is loaded is told so, once`` () =
    let source = Path.Combine(DocumentTests.root (), "docs", "adopt", "c", "conv.c")
    let include' = Path.Combine(DocumentTests.root (), "docs", "adopt")
    let library = Path.Combine(Conv.Properties.Tests.Toolchain.folder.Value, "libfast-math.so")

    // What -Ofast links before gcc 13, whatever the compiler at hand does.
    let startUp = Path.Combine(Conv.Properties.Tests.Toolchain.folder.Value, "fast-math.c")

    File.WriteAllText(
        startUp,
        "#include <fenv.h>\n__attribute__((constructor)) static void flush(void)\n{\n    unsigned int mode;\n    __asm__ volatile(\"stmxcsr %0\" : \"=m\"(mode));\n    mode |= 0x8040;\n    __asm__ volatile(\"ldmxcsr %0\" : : \"m\"(mode));\n}\n"
    )

    if Runtime.InteropServices.RuntimeInformation.ProcessArchitecture = Runtime.InteropServices.Architecture.X64 then
        Conv.Properties.Tests.Toolchain.run "gcc" [ "-O2"; "-shared"; "-fPIC"; "-I"; include'; source; startUp; "-o"; library ]
        |> ignore<string>

        let refused =
            Assert.Throws<CannotOpen>(fun () -> Open.subject Limits.usual ("native:" + library) |> ignore)

        Assert.Contains("flush subnormals as soon as it is loaded", refused.Data0)
        Assert.Contains("flushes=yes", refused.Data0)
