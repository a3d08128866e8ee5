/// Group 2: algebra of the values.
module internal Conv.Properties.Algebra

open System
open Conv
open Conv.Properties.Judging
open Conv.Properties.Verbs

let private bilinearity = "bilinearity of the definition"

let private law kind id statement terms equation = Law.equation 2 kind id statement terms (Problem.ofTrial >> equation)

/// b[o] at every position.
let private broadcast (s: ConvShape) (b: Approx) = Approx.init (Operation.output s) (fun _ o _ _ -> b.Value[o, 0, 0, 0])

/// The operand and the bias beside zeros. Whoever declares no arithmetic may have any format: zero and one are numbers of every one.
let private besideZeros (trial: Trial) (operand: Approx) =
    match trial.Profile.ArithmeticOf trial.Shape with
    | :? Opaque ->
        Approx.init (Approx.dims operand) (fun i0 i1 i2 i3 -> float (sign operand.Value[i0, i1, i2, i3])),
        Approx.zeros (Approx.dims trial.B)
    | _ -> operand, trial.B

/// What conv(X, K) + b must be where X or K is all zeros: b itself, rounded to the declared format of results, bit for bit where sums hold every
/// float; elsewhere within the declared bound of a sum of nothing.
let private isBias (trial: Trial) (b: Approx) (y: Approx) =
    let s = trial.Shape
    let spread = broadcast s b

    match trial.Profile.ArithmeticOf s with
    | :? Rounded as r when r.Accumulator.Precision = FloatFormat.Binary32.Precision ->
        let struct (rounded, ties) = Reduced.rounded r.Output b.Value.Data

        y
        =~= Approx.spreadChannels (Operation.output s) { Value = Values.withData rounded b.Value; Error = Each ties }
    | :? Rounded
    | :? Within as declared when not trial.Planning ->
        let nothing length = Array.zeroCreate<float>(int length)

        let own =
            Bound.ofCall
                Operation.Forward
                declared
                trial.Profile.Traits
                s
                (nothing s.InputLength)
                (nothing s.KernelLength)
                (Array.map (float32 >> float) b.Value.Data)

        { y with Error = own } =~= spread
    // Of any other arithmetic, declared or not: there is nothing to sum.
    | _ -> y === spread

let private zeros (a: Approx) = Approx.zeros (Approx.dims a)

let private biasTerms detects =
    { Law.terms "DEF-4" "the definition with X = 0 or K = 0" detects with
        Domain = "any arithmetic, finite operands"
        Tiers = [ Exact ]
        Data = Reals
        Relates = false
    }

let private zeroKernel =
    Law.equation
        2
        Invariant
        "ZERO-KERNEL"
        "K = 0 gives the bias at every position"
        (biasTerms "bias twice, per split or of the wrong channel; accumulators not cleared; an epsilon")
        (fun trial ->
            let x, b = besideZeros trial trial.X

            isBias trial b (trial.ConvAny(trial.Shape, x, zeros trial.K, b))
            |> named "conv(X, 0) + b" "b")

let private zeroInput =
    Law.equation
        2
        Invariant
        "ZERO-INPUT"
        "X = 0 gives the bias at every position"
        (biasTerms "a padding value that is not zero, stale borders, bias faults")
        (fun trial ->
            let k, b = besideZeros trial trial.K

            isBias trial b (trial.ConvAny(trial.Shape, zeros trial.X, k, b))
            |> named "conv(0, K) + b" "b")

/// On reals these two compare bits, which only a deterministic subject owes; on the exact tier they compare numbers.
let private bits (trial: Trial) =
    if trial.Tier = Bounded then
        if not trial.Profile.Traits.Deterministic then
            Judge.inapplicable "determinism is not declared"

        match trial.Profile.ArithmeticOf trial.Shape with
        | :? Opaque
        | :? Within -> Judge.inapplicable "no program of +, − and × is declared"
        | _ -> ()

        (fun s x k b -> trial.ConvBits(s, x, k, Some b)), (===)
    else
        (fun s x k (b: Approx) -> trial.Conv(s, x, k, b)), (=~=)

let private scalePow2 =
    Law.equation
        2
        Metamorphic
        "SCALE-POW2"
        "Y(2^s·X, 2^t·K, 2^{s+t}·b) = 2^{s+t}·Y(X, K, b)"
        { Law.terms "FP-4" "docs/bounds.md, lemma 9" "an absolute epsilon, clamps, the range of float16, quantisation with a fixed scale" with
            Strength = Should
            Domain = "any straight-line program of +, −, ×; bitwise on reals where determinism is declared"
            Data = Scalable
        }
        (fun trial ->
            let s, x, k, b = trial.Shape, trial.X, trial.K, trial.B

            match trial.Profile.ArithmeticOf s with
            | :? Rounded as r when min r.Input.MaxExponent (min r.Accumulator.MaxExponent r.Output.MaxExponent) < 127 ->
                Judge.inapplicable "its declared formats end below the scaled numbers"
            | _ -> ()

            let conv, same = bits trial
            // From −20 to 20, never 0 at once: two equal calls compare nothing.
            let first, second = trial.Choose(0, 1, 20), trial.Choose(1, 0, 40) - 20
            let first = if trial.Choose(2, 0, 1) = 0 then first else -first

            let scaled =
                conv s (Approx.ScaleB(x, first)) (Approx.ScaleB(k, second)) (Approx.ScaleB(b, first + second))

            same scaled (Approx.ScaleB(conv s x k b, first + second))
            |> named "Y(2^s·X, 2^t·K, 2^(s+t)·b)" "2^(s+t)·Y(X, K, b)")

let private odd =
    Law.equations
        2
        Metamorphic
        "ODD"
        "Y(−X, K, −b) = −Y(X, K, b) = Y(X, −K, −b)"
        { Law.terms
              "FP-5"
              "docs/bounds.md, lemma 9: round-to-nearest is odd"
              "a fused ReLU left on, clamps, unsigned casts, directed rounding" with
            Strength = Should
            Domain = "any arithmetic that rounds to nearest; bitwise on reals where determinism is declared"
        }
        (fun trial ->
            let s, x, k, b = trial.Shape, trial.X, trial.K, trial.B
            let conv, same = bits trial
            let y = -(conv s x k b)

            [
                same (conv s (-x) k (-b)) y |> named "Y(−X, K, −b)" "−Y(X, K, b)"
                same (conv s x (-k) (-b)) y |> named "Y(X, −K, −b)" "−Y(X, K, b)"
            ])

let private linearInput =
    law
        Metamorphic
        "LINEAR-INPUT"
        "conv(X + X', K) = conv(X, K) + conv(X', K)"
        { Law.terms "ALG-1" bilinearity "non-linearities, clamps, state; blind to structure" with
            Growth = fun _ -> 2.0
        }
        (fun p ->
            let x, x' = p.X, p.Trial.X2

            conv { p with X = x + x' } =~= conv p + conv { p with X = x' }
            |> named "conv(X + X', K)" "conv(X, K) + conv(X', K)")

let private linearKernel =
    law
        Metamorphic
        "LINEAR-KERNEL"
        "conv(X, K + K') = conv(X, K) + conv(X, K')"
        { Law.terms "ALG-2" bilinearity "stale packed weights, non-linear treatment of weights" with
            Growth = fun _ -> 2.0
        }
        (fun p ->
            let k, k' = p.K, p.Trial.K2

            conv { p with K = k + k' } =~= conv p + conv { p with K = k' }
            |> named "conv(X, K + K')" "conv(X, K) + conv(X, K')")

let private channelSplit =
    law
        Compositional
        "CHANNEL-SPLIT"
        "conv(X, K) is the sum over the two parts of the input channels, split anywhere"
        { Law.terms "DEF-2" bilinearity "channel blocks and tails, accumulation into the output, bias per split" with
            Project = fun s -> ValueSome(s.With(inChannels = s.Groups * max 2 s.InChannelsPerGroup))
        }
        (fun p ->
            let split = p.Choose(0, 1, p.Shape.InChannelsPerGroup - 1)

            conv p =~= sum p [ for part in inTwo split p -> conv part ]
            |> named "conv(X, K)" "the two parts' sum")

let private tapSum =
    law
        Compositional
        "TAP-SUM"
        "conv(X, K) = Σ_{u,v} the 1×1 convolution of X, shifted by the tap, with K[:,:,u,v]"
        { Law.terms
              "GEO-7"
              "Chellapilla, Puri & Simard 2006 (im2col); the definition by taps"
              "im2col and 1×1 paths that disagree; padding and stride on the 1×1 path" with
            Project =
                fun s ->
                    if int s.KernelPlane = 1 then
                        ValueSome(
                            s
                            |> Axes.replace 1 (s.Columns.With(taps = 2, size = s.Columns.Size + s.Columns.Dilation))
                        )
                    else
                        ValueSome s
        }
        (fun p ->
            let parts = sum p [ for tap in parts taps p -> conv tap ]
            conv p =~= parts |> named "conv(X, K)" "Σ of 1×1 convolutions")

let private biasAdds =
    law
        Compositional
        "BIAS-ADDS"
        "conv(X, K) + b, with b inside the call or added after it"
        { Law.terms "DEF-4" "the definition" "bias twice, in some tiles only, by image or by the group's own channel, missing in a tail" with
            Relates = false
        }
        (fun p ->
            conv (biased p) =~= conv p + broadcast p.Shape p.Trial.B
            |> named "conv(X, K, b)" "conv(X, K) + b")

/// Σ_m K2[o,m] ∗ K1[m,c]: the full convolution of kernels, summed over the channels between.
let private composeKernels (k1: Values) (k2: Values) =
    let result = Values.zeros (k2.D0, k1.D1, k1.D2 + k2.D2 - 1, k1.D3 + k2.D3 - 1)

    for o in 0 .. k2.D0 - 1 do
        for m in 0 .. k2.D1 - 1 do
            for c in 0 .. k1.D1 - 1 do
                for u2 in 0 .. k2.D2 - 1 do
                    for v2 in 0 .. k2.D3 - 1 do
                        for u1 in 0 .. k1.D2 - 1 do
                            for v1 in 0 .. k1.D3 - 1 do
                                let at = result.At(o, c, u1 + u2, v1 + v2)
                                result.Data[at] <- result.Data[at] + k2[o, m, u2, v2] * k1[m, c, u1, v1]

    result

/// Sign-sized numbers in place of the second kernel's, so that a product of two kernels stays on the grid.
let private unitsOf (trial: Trial) (a: Approx) =
    if trial.Tier = Exact then
        Approx.init (Approx.dims a) (fun i0 i1 i2 i3 -> float (sign a.Value[i0, i1, i2, i3]))
    else
        a

let private compose =
    let second (trial: Trial) =
        let s = trial.Shape
        let rows, columns = s.Rows.Outputs, s.Columns.Outputs
        let kh, kw = trial.Choose(0, 1, min 3 rows), trial.Choose(1, 1, min 3 columns)
        let o = trial.Choose(2, 1, 3)
        let shape (kh: int) (kw: int) = ConvShape(s.Batch, s.OutChannels, o, Axis(rows, kh), Axis(columns, kw))

        /// A second bilinear problem multiplies its own grid in.
        let regrids kh kw =
            trial.Tier = Exact
            && trial.Profile.Supports(shape kh kw)
            && (trial.Profile.ArithmeticOf(shape kh kw) :? Bilinear)

        if not (regrids kh kw) then shape kh kw
        // The oracle takes a smaller kernel instead.
        elif min rows columns >= 2 && not (regrids 2 2) then shape 2 2
        else shape 1 1

    Law.equation
        2
        Compositional
        "COMPOSE"
        "conv(conv(X, K₁), K₂) = conv(X, K₂ ∗ K₁)"
        { Law.terms
              "ALG-3"
              "associativity of convolution"
              "two code paths that disagree, exchanged rows and columns; a kernel that is flipped throughout stays unseen" with
            Chains = true
            Growth = fun trial -> float (second trial).TermsPerOutput * 3.0
            Project =
                fun s ->
                    let small = min 5
                    let s = s.With(inChannels = small s.InChannels, outChannels = small s.OutChannels, groups = 1)
                    ValueSome(s.Along(fun a -> Axis(max a.Size a.Taps, a.Taps)))
        }
        (fun trial ->
            let s, x, k1 = trial.Shape, trial.X, trial.K
            let s2 = second trial

            let k2 = trial.Draw(Role.Kernel2, Operation.kernel s2) |> unitsOf trial

            let kernel = composeKernels k1.Value k2.Value
            trial.NeedsOperands(s, x, k1, kernel)
            let composed = s.With(outChannels = s2.OutChannels, kernelHeight = kernel.D2, kernelWidth = kernel.D3)
            // The composed kernel is summed in double: its error is that of a sum of m·u₂·v₂ products.
            let error =
                if trial.Tier = Exact then
                    Zero
                else
                    let products =
                        composeKernels
                            (k1.Value |> Values.withData (Array.map abs k1.Value.Data))
                            (k2.Value |> Values.withData (Array.map abs k2.Value.Data))

                    products.Data
                    |> Array.map (fun sum -> sum * Roundoff.gammaDouble s2.TermsPerOutput * Roundoff.inflation)
                    |> Each

            trial.Conv(s2, trial.Conv(s, x, k1), k2)
            =~= trial.Conv(composed, x, { Value = kernel; Error = error })
            |> named "conv(conv(X, K₁), K₂)" "conv(X, K₂ ∗ K₁)")

let private separable =
    Law.equation
        2
        Compositional
        "SEPARABLE"
        "depthwise, K = u·vᵀ: conv(X, K) = conv(conv(X, u), v)"
        { Law.terms "ALG-4" "the definition with a kernel of rank one" "K_h×1 and 1×K_w paths, non-square kernels" with
            Chains = true
            Growth = fun trial -> float trial.Shape.Columns.Taps
            Project =
                fun s ->
                    let c = min 9 s.InChannels
                    let s = s.With(inChannels = c, outChannels = c, groups = c)

                    ValueSome(
                        s.Along(fun a ->
                            let taps = max 2 a.Taps
                            a.With(taps = taps, size = max a.Size ((taps - 1) * a.Dilation + 1 - a.Before - a.After)))
                    )
        }
        (fun trial ->
            let s, x = trial.Shape, trial.X
            let down, across = s.Rows, s.Columns
            let u = trial.Draw(Role.Kernel, (s.OutChannels, 1, down.Taps, 1))
            let v = trial.Draw(Role.Kernel2, (s.OutChannels, 1, 1, across.Taps)) |> unitsOf trial
            // A product of two float32 is exact in double.
            let k = Approx.init (Operation.kernel s) (fun o _ i j -> u.Value[o, 0, i, 0] * v.Value[o, 0, 0, j])
            let rows = s |> Axes.replace 1 (Axis(across.Size, 1, dilation = across.Dilation))
            let columns = s |> Axes.replace 0 (Axis(down.Outputs, 1, dilation = down.Dilation))

            trial.Conv(s, x, k) =~= trial.Conv(columns, trial.Conv(rows, x, u), v)
            |> named "conv(X, u·vᵀ)" "conv(conv(X, u), v)")

let private monotone =
    Law.equations
        2
        Invariant
        "MONOTONE"
        "K ≥ 0 and X ≤ X' give Y(X) ≤ Y(X'), and X ≥ 0 gives Y ≥ 0"
        { Law.terms "FP-6" "docs/bounds.md, lemma 10: rounding is monotone" "branches on the data, wrap-around on saturation, slips of sign" with
            Strength = May
            Domain = "AnyOrder with determinism declared"
            Tiers = [ Bounded ]
            Data = Nonnegative
        }
        (fun trial ->
            let s, k = trial.Shape, trial.K

            let isFixedTree () = trial.Profile.Traits.Deterministic && (trial.Profile.ArithmeticOf s :? AnyOrder)

            if trial.Profile.Supports s && not (isFixedTree ()) then
                Judge.inapplicable "only a fixed tree of rounded +, × and FMA is monotone"

            // X from −1 to 1, X' larger by up to 2: both signs.
            let drawn = trial.X

            let x =
                Approx.init (Approx.dims drawn) (fun n c h w -> float (float32 (2.0 * drawn.Value[n, c, h, w] - 1.0)))

            let x' =
                x.Value
                |> Values.withData (Array.map2 (fun a b -> float (float32 (a + 2.0 * b))) x.Value.Data trial.X2.Value.Data)
                |> Approx.exact

            let conv x = trial.ConvBits(s, x, k, None)
            let y = conv x
            let zero = { y with Value = Values.blank (Approx.dims y) }

            [ y <=~ conv x' |> named "Y(X)" "Y(X')"; zero <=~ conv drawn |> named "0" "Y(X) for X ≥ 0" ])

let laws =
    [
        zeroKernel
        zeroInput
        scalePow2
        odd
        linearInput
        linearKernel
        channelSplit
        tapSum
        biasAdds
        compose
        separable
        monotone
    ]
