/// Group 6, of numbers that show how many bits are kept: of operands, of partial sums, of results.
module internal Conv.Properties.Precision

open System
open Conv
open Conv.Properties.Judging
open Conv.Properties.FloatingPoint

/// Ends the judgement where no bits are promised.
let private refusePrecision (trial: Trial) =
    match trial.Profile.ArithmeticOf trial.Shape with
    | :? Bilinear -> Judge.inapplicable "transforms round what has every bit: the bound decides"
    | :? Within -> Judge.inapplicable "a claimed bound promises no bits"
    | _ -> ()

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
            Beyond = Law.beyond 240 20
        }
        (fun trial ->
            let s, x = trial.Shape, trial.X

            refusePrecision trial
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

// ---- sums whose partial sums need every bit

/// Terms of a sum below 2^bits: one of them odd and in the upper half, all others even and of one sign. A partial sum with the odd one that is
/// rounded to fewer bits becomes even, and so does the result, whatever the order (lemma 18).
let private parityTerm bits (terms: int64) isOdd (salt: uint64) =
    let half = Math.ScaleB(1.0, bits - 1)
    let hash = Fill.mix salt
    // A quarter of the upper half is for the odd term, the rest for the others.
    let spread = max 1UL (min 1000UL (uint64 half / 8UL))

    if isOdd then
        half + 1.0 + 2.0 * float (hash % spread)
    else
        let most = (half - 2.0 * float spread - 2.0) / (2.0 * float terms) |> floor

        if most >= 1.0 then 2.0 * (1.0 + float (hash % uint64 most)) else 0.0

/// Terms of a sum in which a large one is cancelled, and small ones stay: `small` is what each of them may be, below 1 where only some may.
let private cancellingTerm large small at plus minus salt =
    if at = plus then large
    elif at = minus then -large
    elif small >= 1.0 then float ((at * 5 + salt) % (2 * int small + 1) - int small)
    elif at % int (ceil (1.0 / small)) = 0 then 1.0
    else 0.0

let private precisionSum =
    Law.equation
        6
        Ieee
        "PRECISION-SUM"
        "partial sums keep every bit of the declared accumulator: a large term, small ones, and what cancels the large one; or an odd term among even ones, up to the last bit"
        { special "FP-7" "accumulators of TF32, bfloat16 or float16, partial sums stored between blocks" with
            Source = "docs/bounds.md, lemmas 3 and 18"
            Domain = "AnyOrder, and reduced precisions by what they declare"
            Beyond = Law.beyond 80 15
            Project =
                fun s ->
                    // No padding, so that every output has the large term and its opposite; and three terms at least.
                    let channels = if int s.KernelPlane >= 3 then 1 else 3

                    ValueSome(Axes.valid (s.With(inChannels = s.Groups * max channels s.InChannelsPerGroup)))
        }
        (fun trial ->
            let s = trial.Shape
            let accumulator, output, input = formats trial
            let terms = int s.TermsPerOutput
            // All partial sums lie below 2^accumulator units of the grid; the result, in whole units, fits the output's format.
            let greatest = input.MaxExponent
            let large = Math.ScaleB(1.0, min (accumulator - 2) (2 * greatest))
            let room = Math.ScaleB(1.0, min output (min 10 (accumulator - 1))) / float terms
            let small = if room >= 1.0 then min 3.0 (floor room) else room

            // The operands hold what the sums do.
            let isParity =
                trial.Choose(2, 0, 1) = 1
                && input.Precision >= accumulator
                && output >= accumulator

            // The large term is a product of two powers of two that the input's format holds.
            let scale =
                if isParity || accumulator - 2 <= greatest then
                    1.0
                else
                    Math.ScaleB(1.0, min 8 greatest)

            let x = constant scale trial.X

            let k =
                Approx.init (Operation.kernel s) (fun o c u v ->
                    let at = (c * s.Rows.Taps + u) * s.Columns.Taps + v
                    let plus = (trial.Choose(0, 0, terms - 1) + 7 * o) % terms

                    if isParity then
                        parityTerm accumulator s.TermsPerOutput (at = plus) (uint64 (o * terms + at))
                    else
                        let minus = (plus + 1 + (trial.Choose(1, 0, terms - 2) + 3 * o) % (terms - 1)) % terms
                        cancellingTerm large small at plus minus o / scale)

            trial.Conv(s, x, k) =~= trial.Oracle(s, x, k)
            |> named "conv(X, K)" "the definition, to the last bit")

/// Operands of an adjoint whose sums have one odd term among even ones: the first and the second.
let private parityOperands operation (trial: Trial) =
    let s = trial.Shape
    let terms = Operation.terms operation s
    let ones dims = Approx.init dims (fun _ _ _ _ -> 1.0)
    let term = parityTerm 24 terms
    let pick i count salt = if count = 0 then 0 else (trial.Choose(i, 0, count - 1) + salt) % count

    match operation with
    | Operation.BackwardKernel ->
        // One pixel of each channel, where the window of some output reads.
        let place (a: Axis) output tap = Math.Clamp(a.Source(output, tap), 0, a.Size - 1)

        let pixel salt =
            let rows, columns = s.Rows, s.Columns

            place rows (pick 0 rows.Outputs salt) (pick 1 rows.Taps salt),
            place columns (pick 1 columns.Outputs salt) (pick 0 columns.Taps salt)

        let pixels = Array.init s.InChannels (fun c -> pick 2 s.Batch c, pixel c)

        Approx.init (Operation.input s) (fun n c h w ->
            let image, place = pixels[c]
            let at = ((n * s.InChannels + c) * s.Rows.Size + h) * s.Columns.Size + w
            term (n = image && (h, w) = place) (uint64 at)),
        ones (Operation.output s)
    | Operation.BackwardBias ->
        let pixels = int s.OutputPlane

        Approx.init (Operation.output s) (fun n o i j ->
            let at = (n * pixels + i * s.Columns.Outputs + j)
            term (at = pick 0 (s.Batch * pixels) (13 * o)) (uint64 (o * s.Batch * pixels + at))),
        ones (1, 1, 1, 1)
    | _ ->
        let og, taps = s.OutChannelsPerGroup, int s.KernelPlane

        ones (Operation.output s),
        Approx.init (Operation.kernel s) (fun o c u v ->
            let at = (o % og * s.Rows.Taps + u) * s.Columns.Taps + v
            let channel = o / og * s.InChannelsPerGroup + c
            term (at = pick 0 (og * taps) (7 * channel)) (uint64 (channel * og * taps + at)))

let private paritySums id title needs operations =
    Law.equation
        6
        Ieee
        id
        $"{title} keep 24 bits of their sums: one odd term among even ones gives an odd sum, to the last bit"
        { special "ADJ-6" "partial sums in bfloat16, float16 or TF32, split over images, rows or channels" with
            Source = "docs/bounds.md, lemmas 3, 12 and 18"
            Domain = "AnyOrder, and claimed bounds"
            Needs = needs
            Relates = false
            Beyond = Law.beyond 100 20
        }
        (fun trial ->
            let s = trial.Shape

            let operations = operations |> List.filter (fun operation -> trial.Profile.Offers(operation, s))

            if operations.IsEmpty then
                raise Declined

            let operation = operations[trial.Choose(2, 0, operations.Length - 1)]

            match trial.Profile.Arithmetic(operation, s) with
            | :? AnyOrder
            | :? Within -> ()
            | _ -> Judge.inapplicable "nothing is declared of its gradients"

            let first, second = parityOperands operation trial

            trial.Apply(operation, s, first, second, None)
            =~= trial.OracleOf(operation, s, first, second)
            |> named (Operation.title operation) "the definition, to the last bit")

let private precisionAdjoint =
    paritySums
        "PRECISION-GRADIENT"
        "gradients"
        [ Forward; Gradients ]
        [ Operation.BackwardKernel; Operation.BackwardInput; Operation.BackwardBias ]

let private precisionTransposed =
    paritySums "PRECISION-TRANSPOSED" "transposed convolutions" [ Forward; Transposed ] [ Operation.Transposed ]

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
            Beyond = Law.beyond 20 10
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

/// Calls of one shape before the one that is looked at: an autotuner has made up its mind by then.
let private callsBefore = 24

let private precisionLater =
    Law.equations
        6
        Ieee
        "PRECISION-LATER"
        $"after {callsBefore} calls of the same shape with other data, inputs of every significand still pass a one-hot kernel unchanged"
        { special "FP-7" "a faster path that is taken from the tenth call on, plans and tuned parameters kept by shape" with
            Source = "docs/bounds.md, lemma 18"
            Domain = "AnyOrder, and reduced precisions by what they declare"
            Data = Significant
            Beyond = Law.beyond 8 0
        }
        (fun trial ->
            let s, x = trial.Shape, trial.X
            refusePrecision trial
            let oneHot at = replaced at 1.0 (constant 0.0 trial.K)
            let last = place trial 0 s.KernelLength
            let length = max 1 (int s.KernelLength)

            if not trial.Planning then
                let single (a: Approx) = Array.map float32 a.Value.Data
                let x2 = single trial.X2

                for call in 1..callsBefore do
                    trial.Ask(s, x2, single (oneHot ((last + 7 * call) % length)))

            [
                trial.Conv(s, x, oneHot last) =~= trial.Oracle(s, x, oneHot last)
                |> named $"conv(X, one-hot), call {callsBefore + 1}" "the plane of X"
            ])

// ---- one rounding

let private oneRounding =
    Law.equation
        6
        Ieee
        "ONE-ROUNDING"
        "an output of one product is that product, rounded once; of two terms that are floats, their sum, rounded once"
        { special "FP-11" "adders and multipliers that truncate, products put together from narrower ones, operands rounded twice" with
            Source = "docs/bounds.md, lemma 20"
            Domain = "AnyOrder with gradual underflow"
            Data = Fractions
            Beyond = Law.beyond 40 10
        }
        (fun trial ->
            let s = trial.Shape

            match trial.Profile.ArithmeticOf s with
            | :? AnyOrder -> ()
            | _ -> Judge.inapplicable "how it rounds a product or a sum is not declared"

            if trial.Profile.Traits.FlushesSubnormals then
                Judge.inapplicable "what it flushes is not determined"

            let terms = int s.TermsPerOutput
            let isPair = trial.Choose(2, 0, 1) = 1 && terms > 1
            // Numbers of 24 bits on [−1, 1): a product has 47, and a sum of two, one of them 2⁻⁶ as large, 31.
            let x, k = trial.X, trial.K

            let k =
                Approx.init (Operation.kernel s) (fun o c u v ->
                    let at = (c * s.Rows.Taps + u) * s.Columns.Taps + v
                    let first = (trial.Choose(0, 0, terms - 1) + 11 * o) % terms

                    let further = (trial.Choose(1, 0, terms - 2) + 5 * o) % max 1 (terms - 1)
                    let second = (first + 1 + further) % terms

                    if not isPair then (if at = first then k.Value[o, c, u, v] else 0.0)
                    elif at = first then 1.0
                    elif at = second then Math.ScaleB(1.0, -trial.Choose(1, 0, 6))
                    else 0.0)

            let once (a: Approx) = Approx.exact (Values.withData (Array.map (float32 >> float) a.Value.Data) a.Value)
            let y = trial.ConvAny(s, x, k, Approx.zeros (0, 1, 1, 1))

            (if trial.Planning then y === y else y === once (trial.Oracle(s, x, k)))
            |> named "conv(X, K)" "each sum of at most two terms, rounded once")

let laws =
    [
        precisionInput
        precisionSum
        precisionBatchSum
        precisionAdjoint
        precisionTransposed
        precisionLater
        oneRounding
    ]
