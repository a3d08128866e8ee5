/// Group 6: what IEEE 754 says of NaN, infinities, precision and range.
module internal Conv.Properties.FloatingPoint

open System
open Conv
open Conv.Properties.Judging

let private ieee = "IEEE Std 754-2019, §6 and §7; docs/bounds.md, lemma 17"

let special clause detects = { Law.terms clause ieee detects with Tiers = [ Exact ]; Relates = false }

/// The values of a tensor with some elements replaced.
let private replacedAll (places: int list) value (a: Approx) =
    let data = Array.copy a.Value.Data

    for at in places do
        data[at] <- value

    Approx.exact (Values.withData data a.Value)

/// The values of a tensor with one element replaced.
let replaced at value a = replacedAll [ at ] value a

/// The elements of the output that a change of some input elements, or weights, may reach: those of which the definition has a term
/// with one that meets the image.
let private reachedBy operand (s: ConvShape) (places: int list) =
    let reached = Array.create (int s.OutputLength) false
    let cg, og, taps = s.InChannelsPerGroup, s.OutChannelsPerGroup, int s.KernelPlane
    let rows, columns = s.Rows, s.Columns
    let at n o i j = ((n * s.OutChannels + o) * rows.Outputs + i) * columns.Outputs + j

    /// The outputs of an axis that read a position.
    let reading (a: Axis) position =
        [ 0 .. a.Taps - 1 ]
        |> List.map (fun tap -> a.OutputReading(position, tap))
        |> List.filter (fun output -> output >= 0)

    for place in places do
        match operand with
        | Role.Input ->
            let w, rest = place % columns.Size, place / columns.Size
            let h, rest = rest % rows.Size, rest / rows.Size
            let group, n = rest % s.InChannels / cg, rest / s.InChannels

            for i in reading rows h do
                for j in reading columns w do
                    for o in group * og .. group * og + og - 1 do
                        reached[at n o i j] <- true
        | _ ->
            let o, tap = place / (cg * taps), place % taps
            let u, v = tap / columns.Taps, tap % columns.Taps

            for i in 0 .. rows.Outputs - 1 do
                if rows.Contains(rows.Source(i, u)) then
                    for j in 0 .. columns.Outputs - 1 do
                        if columns.Contains(columns.Source(j, v)) then
                            for n in 0 .. s.Batch - 1 do
                                reached[at n o i j] <- true

    reached

let private reached operand s at = reachedBy operand s [ at ]

/// The elements of the output that no tile with this input element computes, wherever tiles begin: docs/bounds.md, lemma 17 (c).
let private beyondTiles (program: BilinearProgram) (s: ConvShape) at =
    let column, rest = at % s.Columns.Size, at / s.Columns.Size
    let row, rest = rest % s.Rows.Size, rest / s.Rows.Size
    let group, image = rest % s.InChannels / s.InChannelsPerGroup, rest / s.InChannels
    let struct (least, most) = program.Reach
    // Output i of a tile is reached from the rows i + least to i + most of the padded input.
    let may (a: Axis) position output = position + a.Before - output >= least && position + a.Before - output <= most

    (Values.init (Operation.output s) (fun n o i j ->
        if
            n = image
            && o / s.OutChannelsPerGroup = group
            && may s.Rows row i
            && may s.Columns column j
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
let place (trial: Trial) i (length: int64) = trial.Choose(i, 0, int length - 1)

/// Elements of one channel of an image: one, a row or a column of them, mostly at an edge.
let private scattered (trial: Trial) : int list =
    let s = trial.Shape
    let n, c, h, w = Operation.input s

    let coordinate i count =
        match trial.Choose(i, 0, 5) with
        | 0
        | 1 -> [ count - 1 ]
        | 2 -> [ 0 ]
        | 3 -> [ 0 .. count - 1 ]
        | _ -> [ trial.Choose((i + 1) % 3, 0, count - 1) ]

    // Not all of them: then nothing is left that reads none.
    let rows = coordinate 0 h

    let columns =
        if rows.Length = 1 then
            coordinate 1 w
        else
            [ [| 0; (w - 1) / 2; w - 1; w - 1 |][trial.Choose(1, 0, 3)] ]

    let image = trial.Choose(2, 0, n - 1)
    let channel = trial.Choose(0, 0, c - 1)

    [
        for row in rows do
            for column in columns -> ((image * c + channel) * h + row) * w + column
    ]

/// The elements of a result that a mask names; where nothing is computed yet, the result.
let private among (trial: Trial) (mask: Lazy<bool[]>) (y: Approx) = if trial.Planning then y else select mask.Value y

/// The definition's result in double: what is not finite is of the same class in every order.
let private classes (trial: Trial) operation (first: Approx) (second: Approx) =
    let dims = Operation.result operation trial.Shape

    if trial.Planning then
        Approx.zeros dims
    else
        Approx.exact (Values.ofArray dims (Oracle.apply operation trial.Shape first.Value.Data second.Value.Data))

let constant value (a: Approx) = Approx.init (Approx.dims a) (fun _ _ _ _ -> value)

let private nanInput =
    Law.equation
        6
        Ieee
        "NAN-INPUT"
        "NaN where a window reads, whatever the weight, gives NaN"
        { special "SPV-1" "zero weights that are skipped, max or min in place of a sum, NaN cleared by a clamp" with
            Beyond = Law.beyond 200 10
            Domain = "AnyOrder, Bilinear and reduced precisions"
        }
        (fun trial ->
            needsNaN trial
            let s, k = trial.Shape, trial.K
            let at = place trial 0 s.InputLength
            // One weight in two is zero in most draws already; now and then all are.
            let k = if trial.Choose(1, 0, 4) = 0 then constant 0.0 k else k

            let y =
                trial.ConvBits(s, replaced at nan trial.X, k, None)
                |> among trial (lazy reached Role.Input s at)

            y =?= constant nan y |> named "outputs that read the NaN" "NaN")

/// The gradient, or the transposed convolution, that a case asks.
let private gradientAsked (trial: Trial) =
    match trial.Choose(2, 0, 4) with
    | 0
    | 1 -> Operation.BackwardInput
    | 4 when trial.Profile.Offers(Operation.Transposed, trial.Shape) -> Operation.Transposed
    | _ -> Operation.BackwardKernel

let private nanGradient =
    Law.equation
        6
        Ieee
        "NAN-GRADIENT"
        "NaN or ∞ in an operand of a gradient or of the transposed convolution makes every element that has a term with it that term"
        { special "ADJ-7" "zeros of weights, inputs or dY that are skipped; results that are cleared by a product with zero, or saturate" with
            Needs = [ Forward; Gradients ]
            Domain = "AnyOrder"
            Beyond = Law.beyond 100 5
        }
        (fun trial ->
            let operation = gradientAsked trial

            match trial.Profile.Arithmetic(operation, trial.Shape) with
            | :? AnyOrder -> ()
            | _ -> Judge.inapplicable "no program of its gradients is declared that would pass NaN on"

            let first, second = trial.Operands operation
            let isFirst = trial.Choose(1, 0, 1) = 0
            let operand, other = if isFirst then first, second else second, first
            let at = place trial 0 (int64 operand.Value.Length)
            // One number in two is zero in most draws already; now and then all are.
            let other = if trial.Choose(1, 0, 9) < 2 then constant 0.0 other else other
            let value = [| nan; nan; infinity; -infinity |][trial.Choose(2, 0, 19) / 5]
            let given operand other = if isFirst then operand, other else other, operand
            let first, second = given (replaced at value operand) other
            // The elements with a term: those that a single one reaches, among ones.
            let one, all = given (replaced at 1.0 (constant 0.0 operand)) (constant 1.0 other)
            let withTerm = lazy ((classes trial operation one all).Value.Data |> Array.map ((<>) 0.0))

            (trial.Apply(operation, trial.Shape, first, second, None) |> among trial withTerm)
            =?= (classes trial operation first second |> among trial withTerm)
            |> named $"elements of the {Operation.title operation} with a term of the {value}" "the definition's class")

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
                |> among trial (lazy reached Role.Input s at)

            z =?= constant nan z |> named "outputs that read the NaN" "NaN")

/// One for each element that is not finite, zero for the others.
let private isNotFinite (a: Approx) =
    a.Value
    |> Values.withData (a.Value.Data |> Array.map (fun v -> if Double.IsFinite v then 0.0 else 1.0))
    |> Approx.exact

let private nonfiniteKernel =
    Law.equation
        6
        Ieee
        "NONFINITE-KERNEL"
        "a weight that is NaN or infinite makes every output not finite whose tap meets the image; NaN for NaN and for ∞·0"
        { special "SPV-2" "zero inputs that are skipped" with
            Beyond = Law.beyond 240 20
            Geometry = Styles.ofManyChannels
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
            let under = among trial (lazy reached Role.Kernel s at)
            let y = under (trial.ConvBits(s, x, k, None))

            if isBilinear trial then
                isNotFinite y =~= constant 1.0 y |> named "not finite" "1"
            else
                y =?= under (classes trial Operation.Forward x k)
                |> named "outputs under the weight" "the definition's class")

/// The weights, in one case of eight equal within each filter: such filters are summed as they run along, and a difference of sums keeps what is
/// not finite.
let private evenly (trial: Trial) (k: Approx) =
    if trial.Choose(2, 0, 7) < 7 then
        k
    else
        let _, c, h, w = Approx.dims k
        Approx.init (Approx.dims k) (fun o _ _ _ -> k.Value.Data[o * c * h * w])

/// The outputs that read none of some inputs: of a bilinear algorithm those that no tile with one of them computes.
let private doesNotRead (trial: Trial) places =
    match trial.Profile.ArithmeticOf trial.Shape with
    | :? Bilinear as algorithm ->
        places
        |> List.map (beyondTiles (BilinearProgram.Of algorithm) trial.Shape)
        |> List.reduce (Array.map2 (&&))
    | _ -> reachedBy Role.Input trial.Shape places |> Array.map not

/// The outputs of other channels than a weight's. Whether padding meets the weight is left open.
let private isOfAnotherChannel (s: ConvShape) weight =
    let own, plane = weight / (int s.KernelLength / s.OutChannels), int s.OutputPlane
    Array.init (int s.OutputLength) (fun y -> y / plane % s.OutChannels <> own)

let private nanLocal =
    Law.equations
        6
        Ieee
        "NAN-LOCAL"
        "NaN or ∞ outside of the receptive field, in one element or in a row or column of them, changes nothing, nor does a weight of another output channel"
        { special "SPV-3" "garbage multiplied by zero padding, loads that are too wide, neighbours in a batch, group or tile" with
            Beyond = Law.beyond 160 20
            Geometry = Styles.ofManyChannels
            Domain =
                "AnyOrder and Rounded; Bilinear: beyond every tile that may have it, or as its matrices connect, where zero entries are skipped"
        }
        (fun trial ->
            needsNaN trial

            let s, x, k = trial.Shape, trial.X, evenly trial trial.K
            let value = [| nan; infinity; -infinity |][trial.Choose(1, 0, 2)]
            let plain = trial.ConvBits(s, x, k, None)
            let inputs = if isBilinear trial then [ place trial 0 s.InputLength ] else scattered trial
            let weight = place trial 0 s.KernelLength

            [
                for name, x, k, unread in
                    [
                        "an input", replacedAll inputs value x, k, lazy doesNotRead trial inputs
                        "a weight", x, replaced weight value k, lazy isOfAnotherChannel s weight
                    ] do
                    (trial.ConvBits(s, x, k, None) |> among trial unread)
                    === (plain |> among trial unread)
                    |> named $"outputs that do not read {name} of {value}" "those with a finite one"
            ])

let private infinityLaw =
    Law.equation
        6
        Ieee
        "INFINITY"
        "infinite inputs of one sign give that infinity, of both signs NaN, and ∞·0 NaN"
        { special "SPV-4" "casts that saturate, clamps, ∞ − ∞" with
            Beyond = Law.beyond 120 40
            Geometry = Styles.ofManyChannels
            Domain = "AnyOrder and reduced precisions"
        }
        (fun trial ->
            needsNaN trial

            if isBilinear trial then
                Judge.inapplicable "a bilinear algorithm may turn infinities into NaN"

            if saturates trial then
                Judge.inapplicable "a format that saturates may have no infinities"

            let s = trial.Shape
            let k = evenly trial trial.K
            let sign i = if trial.Choose(i, 0, 1) = 0 then infinity else -infinity

            let x =
                trial.X
                |> replaced (place trial 0 s.InputLength) (sign 1)
                |> fun x ->
                    if trial.Choose(2, 0, 1) = 0 then
                        x
                    else
                        replaced (place trial 1 s.InputLength) (sign 2) x

            trial.ConvBits(s, x, k, None) =?= classes trial Operation.Forward x k
            |> named "computed" "the definition's classes")

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

let laws = [ nanInput; nanGradient; nanFused; nonfiniteKernel; nanLocal; infinityLaw; subnormal; range ]
