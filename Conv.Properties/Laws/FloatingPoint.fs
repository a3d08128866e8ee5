/// Group 6: what IEEE 754 says of NaN, infinities, precision and range.
module internal Conv.Properties.FloatingPoint

open System
open Conv
open Conv.Properties.Judging

let private ieee = "IEEE Std 754-2019, §6 and §7; docs/bounds.md, lemma 17"

let private special clause detects = { Law.terms clause ieee detects with Tiers = [ Exact ]; Relates = false }

/// The values of a tensor with one element replaced.
let private replaced at value (a: Approx) =
    let data = Array.copy a.Value.Data
    data[at] <- value
    Approx.exact (Values.withData data a.Value)

/// The elements of the output that a change of one input element, or of one weight, may reach: those of which the definition has a term
/// with it that meets the image.
let private reached operand (s: ConvShape) at =
    let ones dims = (Values.init dims (fun _ _ _ _ -> 1.0)).Data

    let oneHot dims =
        let hot = Values.zeros dims
        hot.Data[at] <- 1.0
        hot.Data

    let x, k =
        match operand with
        | Role.Input -> oneHot (Operation.input s), ones (Operation.kernel s)
        | _ -> ones (Operation.input s), oneHot (Operation.kernel s)

    Oracle.correlate s x k |> Array.map (fun terms -> terms > 0.0)

/// The elements of the output that no tile with this input element computes, wherever tiles begin: docs/bounds.md, lemma 17 (c).
let private beyondTiles (program: BilinearProgram) (s: ConvShape) at =
    let column, rest = at % s.InWidth, at / s.InWidth
    let row, rest = rest % s.InHeight, rest / s.InHeight
    let group, image = rest % s.InChannels / s.InChannelsPerGroup, rest / s.InChannels
    let struct (least, most) = program.Reach
    // Output i of a tile is reached from the rows i + least to i + most of the padded input.
    let may size pad output = size + pad - output >= least && size + pad - output <= most

    (Values.init (Operation.output s) (fun n o i j ->
        if
            n = image
            && o / s.OutChannelsPerGroup = group
            && may row s.PadTop i
            && may column s.PadLeft j
        then
            0.0
        else
            1.0))
        .Data
    |> Array.map (fun outside -> outside > 0.0)

/// The elements of a mask, as a row.
let private select (mask: bool[]) (a: Approx) =
    let data = Array.zip mask a.Value.Data |> Array.filter fst |> Array.map snd
    Approx.exact (Values.ofArray (1, 1, 1, data.Length) data)

/// Of what lemma 17 speaks: programs of +, − and × whose operands have NaN and infinities.
let private needsNaN (trial: Trial) =
    match trial.Profile.ArithmeticOf trial.Shape with
    | :? Quantized -> Judge.inapplicable "quantised operands have no NaN"
    | :? Opaque
    | :? Within -> Judge.inapplicable "no program is declared that would pass NaN and infinities on"
    | _ -> ()

/// Whether an infinite operand, or result, may become the greatest number of its format.
let private saturates (trial: Trial) =
    match trial.Profile.ArithmeticOf trial.Shape with
    | :? Rounded as r -> [ r.Input; r.Accumulator; r.Output ] |> List.exists _.Saturates
    | _ -> false

let private isBilinear (trial: Trial) = trial.Profile.ArithmeticOf trial.Shape :? Bilinear

/// A place of a tensor, chosen by the case.
let private place (trial: Trial) i (length: int64) = trial.Choose(i, 0, int length - 1)

let private constant value (a: Approx) = Approx.init (Approx.dims a) (fun _ _ _ _ -> value)

let private nanInput =
    Law.equation
        6
        Ieee
        "NAN-INPUT"
        "NaN where a window reads, whatever the weight, gives NaN"
        { special "SPV-1" "zero weights that are skipped, max or min in place of a sum, NaN cleared by a clamp" with
            Domain = "AnyOrder, Bilinear and reduced precisions"
        }
        (fun trial ->
            needsNaN trial
            let s, k = trial.Shape, trial.K
            let at = place trial 0 s.InputLength
            // One weight in two is zero in most draws already; now and then all are.
            let k = if trial.Choose(1, 0, 4) = 0 then constant 0.0 k else k
            let y = trial.ConvBits(s, replaced at nan trial.X, k, None)
            let mask = if trial.Planning then [||] else reached Role.Input s at
            let y = if trial.Planning then y else select mask y

            y =?= constant nan y |> named "outputs that read the NaN" "NaN")

let private nanFused =
    Law.equation
        6
        Ieee
        "NAN-FUSED"
        "NaN where a window reads goes through the epilogue, a scale of zero and the rectification included"
        { special "FUSE-2" "a rectification by a comparison, which makes NaN zero; channels that are skipped for their scale" with
            Strength = Should
            Needs = [ Forward; Fused ]
            Domain = "AnyOrder"
        }
        (fun trial ->
            needsNaN trial
            let s, b = trial.Shape, trial.B
            let at = place trial 0 s.InputLength
            let first = trial.Choose(1, 0, 3)

            let scale =
                Approx.init (s.OutChannels, 1, 1, 1) (fun o _ _ _ -> [| 1.0; 0.0; -1.0; 2.0 |][(first + o) % 4])

            let operation = Operation.Fused(trial.Choose(2, 0, 1) = 1)

            let z =
                trial.Apply(operation, s, replaced at nan trial.X, trial.K, Some(Approx.concat 0 [ b; scale; b ]))

            let z = if trial.Planning then z else select (reached Role.Input s at) z
            z =?= constant nan z |> named "outputs that read the NaN" "NaN")

let private nonfiniteKernel =
    Law.equation
        6
        Ieee
        "NONFINITE-KERNEL"
        "a weight that is NaN or infinite makes every output not finite whose tap meets the image; NaN for NaN and for ∞·0"
        { special "SPV-2" "zero inputs that are skipped" with
            Domain = "AnyOrder and reduced precisions; for Bilinear not finite is enough"
        }
        (fun trial ->
            needsNaN trial
            let s, x = trial.Shape, trial.X
            let at = place trial 0 s.KernelLength

            let value =
                if saturates trial then
                    nan
                else
                    [| nan; infinity; -infinity |][trial.Choose(1, 0, 2)]
            // Zero inputs under it, in a third of the cases everywhere.
            let x = if trial.Choose(2, 0, 2) = 0 then constant 0.0 x else x
            let k = replaced at value trial.K
            let y = trial.ConvBits(s, x, k, None)

            if trial.Planning then
                y =?= y
            else
                let mask = reached Role.Kernel s at
                let y = select mask y

                let right =
                    select mask (Approx.exact (Values.ofArray (Operation.output s) (Oracle.correlate s x.Value.Data k.Value.Data)))

                if isBilinear trial then
                    let isNot (a: Approx) =
                        a.Value
                        |> Values.withData (a.Value.Data |> Array.map (fun v -> if Double.IsFinite v then 0.0 else 1.0))
                        |> Approx.exact

                    isNot y =~= constant 1.0 y |> named "not finite" "1"
                else
                    y =?= right |> named "outputs under the weight" "the definition's class")

let private nanLocal =
    Law.equations
        6
        Ieee
        "NAN-LOCAL"
        "NaN or ∞ outside of the receptive field changes nothing, nor does a weight of another output channel"
        { special "SPV-3" "garbage multiplied by zero padding, loads that are too wide, neighbours in a batch, group or tile" with
            Domain =
                "AnyOrder and Rounded; Bilinear: beyond every tile that may have it, or as its matrices connect, where zero entries are skipped"
        }
        (fun trial ->
            needsNaN trial

            let s, x, k = trial.Shape, trial.X, trial.K
            let value = [| nan; infinity; -infinity |][trial.Choose(1, 0, 2)]
            let plain = trial.ConvBits(s, x, k, None)

            [
                for role, name in [ Role.Input, "an input"; Role.Kernel, "a weight" ] do
                    let at = place trial 0 (if role = Role.Input then s.InputLength else s.KernelLength)

                    let y =
                        if role = Role.Input then
                            trial.ConvBits(s, replaced at value x, k, None)
                        else
                            trial.ConvBits(s, x, replaced at value k, None)

                    if not trial.Planning then
                        let mask =
                            if role = Role.Input then
                                match trial.Profile.ArithmeticOf s with
                                | :? Bilinear as algorithm -> beyondTiles (BilinearProgram.Of algorithm) s at
                                | _ -> reached role s at |> Array.map not
                            else
                                // Whether padding meets the weight is left open: other channels alone are asked.
                                let own = at / (int s.KernelLength / s.OutChannels)
                                let plane = s.OutHeight * s.OutWidth
                                Array.init (int s.OutputLength) (fun y -> y / plane % s.OutChannels <> own)

                        select mask y === select mask plain
                        |> named $"outputs that do not read {name} of {value}" "those with a finite one"
            ]
            |> fun equations -> if trial.Planning then [ plain === plain ] else equations)

let private infinityLaw =
    Law.equation
        6
        Ieee
        "INFINITY"
        "infinite inputs of one sign give that infinity, of both signs NaN, and ∞·0 NaN"
        { special "SPV-4" "casts that saturate, clamps, ∞ − ∞" with
            Domain = "AnyOrder and reduced precisions"
        }
        (fun trial ->
            needsNaN trial

            if isBilinear trial then
                Judge.inapplicable "a bilinear algorithm may turn infinities into NaN"

            if saturates trial then
                Judge.inapplicable "a format that saturates may have no infinities"

            let s, k = trial.Shape, trial.K
            let sign i = if trial.Choose(i, 0, 1) = 0 then infinity else -infinity

            let x =
                trial.X
                |> replaced (place trial 0 s.InputLength) (sign 1)
                |> fun x ->
                    if trial.Choose(2, 0, 1) = 0 then
                        x
                    else
                        replaced (place trial 1 s.InputLength) (sign 2) x

            let y = trial.ConvBits(s, x, k, None)

            let right =
                if trial.Planning then
                    y
                else
                    // In double the same classes come out, in every order.
                    Approx.exact (Values.withData (Oracle.correlate s x.Value.Data k.Value.Data) y.Value)

            y =?= right |> named "computed" "the definition's classes")

let private precisionInput =
    Law.equation
        6
        Ieee
        "PRECISION-INPUT"
        "inputs of every significand that the declared format has, 1 + j·2^(1−p), pass a one-hot kernel unchanged"
        { special "FP-7" "operands cut to TF32, bfloat16 or float16" with
            Source = "docs/bounds.md, lemma 18"
            Domain = "AnyOrder, and reduced precisions by what they declare"
            Data = Significant
        }
        (fun trial ->
            let s, x = trial.Shape, trial.X

            match trial.Profile.ArithmeticOf s with
            | :? Bilinear -> Judge.inapplicable "transforms round what has every bit: the bound decides"
            | :? Within -> Judge.inapplicable "a claimed bound promises no bits"
            | _ -> ()

            let hot = place trial 0 s.KernelLength
            let k = replaced hot 1.0 (constant 0.0 trial.K)

            trial.Conv(s, x, k) =~= trial.Oracle(s, x, k)
            |> named "conv(X, one-hot)" "the plane of X")

/// What the declared format of partial sums holds, and of results.
let private formats (trial: Trial) =
    match trial.Profile.ArithmeticOf trial.Shape with
    | :? Rounded as r -> r.Accumulator.Precision, r.Output.Precision, r.Input
    | :? AnyOrder -> 24, 24, FloatFormat.Binary32
    | _ -> Judge.inapplicable "its partial sums are no sums of products in a floating-point format"

let private precisionSum =
    Law.equation
        6
        Ieee
        "PRECISION-SUM"
        "partial sums keep every bit of the declared accumulator: a large term, small ones, and what cancels the large one"
        { special "FP-7" "accumulators of TF32, bfloat16 or float16, partial sums stored between blocks" with
            Source = "docs/bounds.md, lemmas 3 and 18"
            Domain = "AnyOrder, and reduced precisions by what they declare"
            Project =
                fun s ->
                    // No padding, so that every output has the large term and its opposite; and three terms at least.
                    let channels = if s.KernelHeight * s.KernelWidth >= 3 then 1 else 3

                    ValueSome(
                        s.With(
                            inChannels = s.Groups * max channels s.InChannelsPerGroup,
                            inHeight = max s.InHeight s.KernelExtentHeight,
                            inWidth = max s.InWidth s.KernelExtentWidth,
                            padTop = 0,
                            padLeft = 0,
                            padBottom = 0,
                            padRight = 0
                        )
                    )
        }
        (fun trial ->
            let s = trial.Shape
            let accumulator, output, input = formats trial
            let terms = int s.TermsPerOutput
            // All partial sums lie below 2^accumulator units of the grid; the result, in whole units, fits the output's format.
            let greatest = input.MaxExponent
            let large = Math.ScaleB(1.0, min (accumulator - 2) (2 * greatest))
            let small = min 3.0 (floor (Math.ScaleB(1.0, min output (min 10 (accumulator - 1))) / float terms))

            // The large term is a product of two powers of two that the input's format holds.
            let scale = if accumulator - 2 <= greatest then 1.0 else Math.ScaleB(1.0, min 8 greatest)
            let x = constant scale trial.X

            let k =
                Approx.init (Operation.kernel s) (fun o c u v ->
                    let at = (c * s.KernelHeight + u) * s.KernelWidth + v
                    let plus = (trial.Choose(0, 0, terms - 1) + 7 * o) % terms
                    let minus = (plus + 1 + (trial.Choose(1, 0, terms - 2) + 3 * o) % (terms - 1)) % terms

                    if at = plus then large / scale
                    elif at = minus then -large / scale
                    elif small < 1.0 then 0.0
                    else float ((at * 5 + o) % (2 * int small + 1) - int small) / scale)

            // Without room for small terms there is nothing to lose.
            if small < 1.0 && not trial.Planning then
                Judge.inapplicable "so many terms leave no room for small ones"

            trial.Conv(s, x, k) =~= trial.Oracle(s, x, k)
            |> named "conv(X, K)" "the small terms alone")

let private precisionBatchSum =
    Law.equations
        6
        Ieee
        "PRECISION-BATCH-SUM"
        "the gradient of the kernel keeps 24 bits of its sum over images and positions: ⟨conv(X, one-hot), 1⟩ = ⟨one-hot, BackwardKernel(X, 1)⟩"
        { special "ADJ-6" "accumulation in bfloat16 across the batch" with
            Source = "docs/bounds.md, lemmas 3 and 12"
            Domain = "AnyOrder"
            Needs = [ Forward; Gradients ]
        }
        (fun trial ->
            let s = trial.Shape

            match trial.Profile.Arithmetic(Operation.BackwardKernel, s) with
            | :? AnyOrder
            | :? Within -> ()
            | _ -> Judge.inapplicable "nothing is declared of its gradients"

            let terms = Operation.terms Operation.BackwardKernel s
            let most = Math.ScaleB(1.0, 24) / float terms |> floor
            let spread = max 1.0 (floor (most / 4.0))

            // Whole numbers just below what the sum of all may be.
            let x =
                if trial.Planning then
                    trial.X
                else
                    trial.X.Value.Data
                    |> Array.mapi (fun at v -> most - float (uint64 (abs v * 1000003.0 + float (at * 7919)) % uint64 spread))
                    |> Values.ofArray (Approx.dims trial.X)
                    |> Approx.exact

            let hot = place trial 0 s.KernelLength
            let k = replaced hot 1.0 (constant 0.0 trial.K)
            let dy = constant 1.0 trial.Gradient
            let o = hot / (int s.KernelLength / s.OutChannels)
            let struct (_, c, u, v) = trial.K.Value.Coordinates hot

            let dyOfChannel = Approx.init (Approx.dims dy) (fun _ channel _ _ -> if channel = o then 1.0 else 0.0)

            // The one-hot kernel picks a plane of X, which the definition adds up: of whoever sums any order itself.
            let plane =
                match trial.Profile.ArithmeticOf s with
                | :? AnyOrder -> trial.Conv(s, x, k)
                | _ -> trial.Oracle(s, x, k)

            let left = trial.Inner(plane, dyOfChannel)

            let gradient = trial.BackwardKernel(s, x, dy)
            let right = Approx.init (1, 1, 1, 1) (fun _ _ _ _ -> gradient.Value[o, c, u, v])
            [ left =~= right |> named "Σ conv(X, one-hot)" "BackwardKernel(X, 1)" ])

let private subnormal =
    Law.equation
        6
        Ieee
        "SUBNORMAL"
        "subnormal operands, products and differences are kept"
        { special "FP-8" "subnormals flushed to zero where that is not declared" with
            Source = "IEEE Std 754-2019, §7.5; docs/bounds.md, lemmas 3 and 18"
            Strength = Should
            Domain = "AnyOrder with gradual underflow"
            Data = Tiny
        }
        (fun trial ->
            let s, x, k = trial.Shape, trial.X, trial.K

            if trial.Profile.Traits.FlushesSubnormals then
                Judge.inapplicable "it declares that it flushes subnormals"

            match trial.Profile.ArithmeticOf s with
            | :? AnyOrder -> ()
            | _ -> Judge.inapplicable "no lemma for subnormals under its arithmetic"

            trial.Conv(s, x, k) =~= trial.Oracle(s, x, k)
            |> named "conv(X, K) near 2^-149" "the definition")

/// 2^24 units on a grid of at most 2^14 (Draw) times this stay below FLT_MAX.
let private rangeExponent = 90

/// The transforms of a bilinear algorithm grow before they cancel.
let private rangeOfBilinear = 60

let private range =
    Law.equation
        6
        Metamorphic
        "RANGE"
        $"Y(2^{rangeExponent}·X, K) = 2^{rangeExponent}·Y(X, K)"
        { special "FP-9" "intermediate values in float16 or in fixed point" with
            Source = "docs/bounds.md, lemma 9"
            Strength = Should
            Domain = $"any arithmetic whose formats reach 2^127; 2^{rangeOfBilinear} for Bilinear"
        }
        (fun trial ->
            let s, x, k = trial.Shape, trial.X, trial.K

            match trial.Profile.ArithmeticOf s with
            | :? Rounded as r when min r.Input.MaxExponent (min r.Accumulator.MaxExponent r.Output.MaxExponent) < 127 ->
                Judge.inapplicable "its declared formats end below 2^127"
            | _ -> ()

            let exponent = if isBilinear trial then rangeOfBilinear else rangeExponent

            trial.Conv(s, Approx.ScaleB(x, exponent), k)
            =~= Approx.ScaleB(trial.Conv(s, x, k), exponent)
            |> named "Y(2^e·X, K)" "2^e·Y(X, K)")

let laws =
    [
        nanInput
        nanFused
        nonfiniteKernel
        nanLocal
        infinityLaw
        precisionInput
        precisionSum
        precisionBatchSum
        subnormal
        range
    ]
