/// Group 0: the specification's own clauses, and the claims of the document that it comes from.
module internal Conv.Properties.Specification

open System
open System.Numerics
open FsCheck.FSharp
open MathNet.Numerics
open MathNet.Numerics.LinearAlgebra
open Conv
open Conv.Properties.Judging
open Conv.Properties.Verbs

let private d2l =
    "Zhang, Lipton, Li & Smola, Dive into Deep Learning, 'Multiple Input and Multiple Output Channels'"

let private law kind id statement terms equation = Law.equation 0 kind id statement terms (Problem.ofTrial >> equation)

// ---- FIGURE

let private figureInput = [| 0.; 1.; 2.; 3.; 4.; 5.; 6.; 7.; 8.; 1.; 2.; 3.; 4.; 5.; 6.; 7.; 8.; 9. |]
let private figureKernel = [| 0.; 1.; 2.; 3.; 1.; 2.; 3.; 4. |]
let private oneFigure = [| 56.; 72.; 104.; 120. |]
let private threeFigures = [| 56.; 72.; 104.; 120.; 76.; 100.; 148.; 172.; 96.; 128.; 192.; 224. |]

/// The figure in the form that the subject supports: as printed; its kernel bordered with zeros to 3×3; or as the sum of its four taps.
let private figure outputs (trial: Trial) (s: ConvShape) =
    let x = Approx.exact (Values.ofArray (1, 2, 3, 3) figureInput)
    let k = Approx.init (outputs, 2, 2, 2) (fun o c u v -> figureKernel[(c * 2 + u) * 2 + v] + float o)
    let bordered = s.With(kernelHeight = 3, kernelWidth = 3, padBottom = 1, padRight = 1)
    let tap = s.With(kernelHeight = 1, kernelWidth = 1, inHeight = 2, inWidth = 2)

    if trial.Profile.Supports s then
        trial.Conv(s, x, k)
    elif trial.Profile.Supports bordered then
        trial.Conv(bordered, x, Approx.cut (Slice.padded 0 1 2) (Slice.padded 0 1 2) k)
    else
        [
            for u in 0..1 do
                for v in 0..1 ->
                    trial.Conv(tap, Approx.cut (Slice.from u 2) (Slice.from v 2) x, Approx.cut (Slice.from u 1) (Slice.from v 1) k)
        ]
        |> List.reduce (+)

let private figureShape = ConvShape(1, 2, 3, 3, 3, 2, 2)

let private figureLaw =
    let law =
        Law.equations
            0
            Postcondition
            "FIGURE"
            "the worked examples: 56 72 104 120, and its three-output stack"
            { Law.terms "DEF-1" d2l "a wrong reading of the definition" with
                Domain = "any arithmetic with a grid or a bound"
                Relates = false
                // Its tensors are printed numbers: a smaller shape is no figure.
                Project = fun s -> if s = figureShape then ValueSome s else ValueNone
            }
            (fun trial ->
                [
                    for expected in [ oneFigure; threeFigures ] do
                        let outputs = expected.Length / 4
                        let shape = figureShape.With(outChannels = outputs)

                        figure outputs trial shape
                        =~= Approx.exact (Values.ofArray (1, outputs, 2, 2) expected)
                        |> named "computed" "the figure"
                ])

    { law with
        Fixed = true
        Cases =
            fun _ tier _ ->
                Gen.constant
                    {
                        Law = "FIGURE"
                        Tier = tier
                        Problem = figureShape
                        Args = []
                        Fill = Explicit []
                    }
        Judge =
            fun subject case ->
                match law.Judge subject case with
                // F(4,3) has no exact tier on this kernel, whose weights are not multiples of 9: its bound decides.
                | Undecided reason when reason = Judge.leftItsGrid ->
                    NotApplicable "the figure is off the certificate's grid: judged by the bound"
                | verdict -> verdict
    }

// ---- CHANNEL-SUM, OUT-STACK

let private channelSum =
    law
        Inductive
        "CHANNEL-SUM"
        "Y_j = Σ_c X_c ⋆ K_{j,c}: the convolution is the sum of its single-channel convolutions"
        { Law.terms "DEF-2" d2l "channel loops, accumulation across blocks" with
            Project =
                fun s ->
                    let cg = min 33 s.InChannelsPerGroup
                    ValueSome(s.With(inChannels = s.Groups * max 2 cg))
        }
        (fun p ->
            let parts = sum p [ for channel in inputChannels p -> conv channel ]
            conv p =~= parts |> named "conv(X, K)" "Σ_c conv(X_c, K_c)")

let private outStack =
    law
        Compositional
        "OUT-STACK"
        "Y is the stack of the convolutions with parts of the output channels"
        { Law.terms "DEF-3" d2l "output indexing, tails and blocks of the output channels" with
            Project = fun s -> ValueSome(s.With(outChannels = s.Groups * max 2 s.OutChannelsPerGroup))
        }
        (fun p ->
            let split = p.Choose(0, 1, p.Shape.OutChannelsPerGroup - 1)
            let stacked = stackWithin p [ for part in outputsInTwo split p -> conv part ]
            conv p =~= stacked |> named "conv(X, K)" "the stacked parts")

// ---- POINTWISE-MATMUL

/// K·X over the pixels that the stride keeps, image by image and group by group, and the error of sums in double.
let private matrixProduct (p: Problem) =
    let s, x, k = p.Shape, p.X, p.K
    let cg, og, plane = s.InChannelsPerGroup, s.OutChannelsPerGroup, int s.OutputPlane
    let read (a: Axis) = Slice.every a.Stride (a.Source(0, 0)) a.Outputs
    let pixels = x |> Approx.cut (read s.Rows) (read s.Columns)
    let product = Values.zeros (Operation.output s)

    if not p.Trial.Planning then
        // The run has threads of its own, and these products are small.
        Control.UseSingleThread()

        for n in 0 .. s.Batch - 1 do
            for g in 0 .. s.Groups - 1 do
                let weights = Matrix<float>.Build.Dense(og, cg, fun o c -> k.Value[g * og + o, c, 0, 0])

                let columns =
                    Matrix<float>.Build.Dense(cg, plane, fun c p -> pixels.Value.Data[(n * s.InChannels + g * cg + c) * plane + p])

                let result = weights * columns

                for o in 0 .. og - 1 do
                    for p in 0 .. plane - 1 do
                        product.Data[(n * s.OutChannels + g * og + o) * plane + p] <- result[o, p]

    {
        Value = product
        Error = Bound.ofOracle Operation.Forward s x.Value.Data k.Value.Data [||]
    }

let private pointwiseMatmul =
    law
        ModelBased
        "POINTWISE-MATMUL"
        "a 1×1 convolution is the matrix product K·X over the pixels that the stride keeps, for each group"
        { Law.terms "DEF-5" (d2l + "; the product by MathNet.Numerics") "the 1×1 path: stride ignored, mixed strides, batch stride" with
            Relates = false
            Project = fun s -> ValueSome(s.With(kernelHeight = 1, kernelWidth = 1))
        }
        (fun p -> conv p =~= matrixProduct p |> named "conv(X, K)" "K·X")

// ---- PARAMETER-COUNT

/// Whether the rows of an integer matrix are independent over ℚ, by elimination modulo a prime: independent there, they are independent
/// over ℚ, for a determinant that is not zero modulo a prime is not zero. The other way a matrix may be missed, never wrongly accepted.
let independent (rows: float[][]) =
    let prime = 2147483647L

    let rec power b e =
        if e = 0L then 1L
        elif e % 2L = 0L then power (b * b % prime) (e / 2L)
        else b * power b (e - 1L) % prime

    let rows = rows |> Array.map (Array.map (fun y -> ((int64 y % prime) + prime) % prime))
    let width = if rows.Length = 0 then 0 else Array.length rows[0]
    let mutable rank = 0
    let mutable column = 0

    while rank < rows.Length && column < width do
        match seq { rank .. rows.Length - 1 } |> Seq.tryFind (fun r -> rows[r].[column] <> 0L) with
        | None -> ()
        | Some pivot ->
            let top = rows[pivot]
            rows[pivot] <- rows[rank]
            rows[rank] <- top
            let inverse = power top[column] (prime - 2L)

            for r in rank + 1 .. rows.Length - 1 do
                let row = rows[r]

                if row[column] <> 0L then
                    let factor = row[column] * inverse % prime

                    for c in column .. width - 1 do
                        row[c] <- (row[c] + (prime - factor) * top[c]) % prime

            rank <- rank + 1

        column <- column + 1

    rank = rows.Length

let private parameterCount =
    Law.equations
        0
        Invariant
        "PARAMETER-COUNT"
        "the responses to the one-hot kernels and biases have rank c_o·c_i·k_h·k_w/G + c_o, and each is the definition's"
        { Law.terms "CNT-1" d2l "parameters ignored, shared, doubled or read from elsewhere" with
            Domain = "AnyOrder; Bilinear within its certificate"
            Tiers = [ Exact ]
            Relates = false
            Project =
                fun s ->
                    // Every tap meets data, and there are more outputs than parameters of one output channel.
                    let cg, g = min 2 s.InChannelsPerGroup, min 2 s.Groups
                    let og = if g > 1 then 1 else min 2 s.OutChannelsPerGroup

                    /// As long as so many windows read.
                    let read outputs taps (a: Axis) =
                        let size = (outputs - 1) * a.Stride + (taps - 1) * a.Dilation + 1
                        Axis(size, taps, a.Stride, min 1 a.Before, 0, a.Dilation)

                    let kh, kw = min 3 s.Rows.Taps, min 3 s.Columns.Taps
                    ValueSome(ConvShape(1, cg * g, og * g, read (max 3 (cg * kh)) kh s.Rows, read (kw + 2) kw s.Columns, g))
        }
        (fun trial ->
            let s, x = trial.Shape, trial.X
            let unit = trial.KernelUnit
            let kernelDims = Operation.kernel s
            let noBias = Approx.zeros (s.OutChannels, 1, 1, 1)

            let responses (conv: Approx -> Approx -> Approx) =
                [|
                    for p in 0 .. int s.KernelLength - 1 do
                        let k = Values.zeros kernelDims
                        k.Data[p] <- unit
                        conv (Approx.exact k) noBias
                    for o in 0 .. s.OutChannels - 1 do
                        conv (Approx.zeros kernelDims) (Approx.init (s.OutChannels, 1, 1, 1) (fun i _ _ _ -> if i = o then 1.0 else 0.0))
                |]

            let expected = responses (fun k b -> trial.Oracle(s, x, k, b))

            let tellsApart =
                let finest = expected |> Array.map (fun r -> Values.grid r.Value.Data) |> Array.min |> min 0
                let whole (r: Approx) = r.Value.Data |> Array.map (fun y -> Math.ScaleB(y, -finest))

                int64 expected.Length = s.ParameterCount
                && expected |> Array.map whole |> independent

            if not trial.Planning && not tellsApart then
                Judge.inapplicable "this input does not tell all parameters apart"

            // Responses that equal these have their rank.
            let actual = responses (fun k b -> trial.Conv(s, x, k, b))

            [
                for p in 0 .. actual.Length - 1 ->
                    actual[p] =~= expected[p]
                    |> named $"response to parameter {p}" "the definition's"
            ])

// ---- COST

/// A number that only counts: how many products and sums went into it.
[<Struct>]
type Counted =
    {
        Products: int64
        Sums: int64
    }

    static member private Times (a: Counted) (b: Counted) = { Products = a.Products + b.Products + 1L; Sums = a.Sums + b.Sums }

    static member private Plus (a: Counted) (b: Counted) = { Products = a.Products + b.Products; Sums = a.Sums + b.Sums + 1L }

    interface IMultiplyOperators<Counted, Counted, Counted> with
        static member op_Multiply(a, b) = Counted.Times a b
        static member op_CheckedMultiply(a, b) = Counted.Times a b

    interface IAdditionOperators<Counted, Counted, Counted> with
        static member op_Addition(a, b) = Counted.Plus a b
        static member op_CheckedAddition(a, b) = Counted.Plus a b

    interface IAdditiveIdentity<Counted, Counted> with
        static member AdditiveIdentity = { Products = 0L; Sums = 0L }

/// Multiply-adds of the generic loop, counted by running it on numbers that count.
let countMultiplyAdds (s: ConvShape) =
    let y = Array.zeroCreate<Counted>(int s.OutputLength)

    Loop.Convolve<Counted>(
        s,
        ReadOnlySpan(Array.zeroCreate (int s.InputLength)),
        ReadOnlySpan(Array.zeroCreate (int s.KernelLength)),
        ReadOnlySpan<Counted>.Empty,
        Span y
    )

    y |> Array.sumBy _.Products, y |> Array.sumBy _.Sums

let private single value = Approx.numbers [ float<int64> value ]

let private cost =
    Law.ofFormula
        0
        "COST"
        "multiply-adds counted by running the loop on a counting scalar equal n·h_o·w_o·k_h·k_w·c_i·c_o/G, zeros of the padding included; beside it the in-bounds count"
        CostFormula
        (Law.terms "CNT-2" d2l "a cost formula that only restates itself")
        (fun subject padded ->
            let valid = Axes.valid padded
            let products, sums = countMultiplyAdds valid
            let formula, many = single (subject.MultiplyAdds valid), 1_000_003

            [
                formula =~= single products |> named "formula" "products counted"
                formula =~= single sums |> named "formula" "sums counted"
                // The same with its zeros written out.
                single (subject.MultiplyAdds padded)
                =~= single (fst (countMultiplyAdds (padded.Along(fun a -> a.Unpadded))))
                |> named "formula with padding" "products counted, zeros included"
                // Beyond 32 bits.
                single (subject.MultiplyAdds(valid.With(batch = many * valid.Batch)))
                =~= single (int64 many * products)
                |> named $"formula of {many} times the batch" "as many times the products"
                // Beside it, with padding: what meets the image.
                single padded.InBoundsMultiplyAdds =~= single (fst (countMultiplyAdds padded))
                |> named "in-bounds multiply-adds" "products counted"
            ])

// ---- BLOCKS

/// The source's blocks at small sizes: the layers of each, and what their cost is a rational multiple of.
let private blocks =
    let square channels outputs taps groups = ConvShape(1, channels, 6 + taps - 1, 6 + taps - 1, outputs, taps, taps, groups = groups)

    [
        // 4w → w → w → 4w at w = 3, against one 3×3 at 4w: 17w² and 144w² multiply-adds a pixel.
        "a bottleneck, 17/144 of a 3×3", [ square 12 3 1 1; square 3 3 3 1; square 3 12 1 1 ], square 12 12 3 1, 17L, 144L
        // Against two 3×3 at w: 17w² and 18w², nearly the same.
        "a bottleneck, 17/18 of two 3×3 at its width", [ square 12 3 1 1; square 3 3 3 1; square 3 12 1 1 ], square 3 6 3 1, 17L, 18L
        // 1/c_o + 1/k² at c_o = 16, k = 3.
        "depthwise separable, 1/c_o + 1/k² of the dense one", [ square 8 8 3 8; square 8 16 1 1 ], square 8 16 3 1, 25L, 144L
        "two groups, half of the dense one", [ square 8 6 3 2 ], square 8 6 3 1, 1L, 2L
        "four groups, a quarter of the dense one", [ square 8 12 3 4 ], square 8 12 3 1, 1L, 4L
    ]

let private blocksLaw =
    let law =
        Law.ofFormula
            0
            "BLOCKS"
            "the cost of bottleneck, depthwise separable and grouped blocks, counted by running the loop, is the claimed part of the dense one's"
            CostFormula
            (Law.terms "CNT-2" (d2l + "; He et al. 2015; Howard et al. 2017") "wrong claims about savings")
            (fun subject _ ->
                [
                    for name, layers, dense, numerator, denominator in blocks do
                        let formula = layers |> List.sumBy subject.MultiplyAdds
                        let counted = layers |> List.sumBy (countMultiplyAdds >> fst)
                        single formula =~= single counted |> named $"{name}: formula" "products counted"

                        single (denominator * counted)
                        =~= single (numerator * fst (countMultiplyAdds dense))
                        |> named $"{name}: {denominator} times its cost" $"{numerator} times the dense one's"
                ])

    { law with Fixed = true }

let laws = [ figureLaw; channelSum; outStack; pointwiseMatmul; parameterCount; cost; blocksLaw ]
