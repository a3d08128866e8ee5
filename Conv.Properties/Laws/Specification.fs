/// Group 0: the specification's own clauses, and the claims of the document that it comes from.
module internal Conv.Properties.Specification

open System
open System.Numerics
open FsCheck.FSharp
open MathNet.Numerics
open MathNet.Numerics.LinearAlgebra
open Conv
open Conv.Properties.Judging

let private d2l =
    "Zhang, Lipton, Li & Smola, Dive into Deep Learning, 'Multiple Input and Multiple Output Channels'"

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
        trial.Conv(bordered, x, Approx.pad (0, 0, 1, 1) k)
    else
        [
            for u in 0..1 do
                for v in 0..1 -> trial.Conv(tap, Approx.window (u, v) (1, 1) (2, 2) x, Approx.window (u, v) (1, 1) (1, 1) k)
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

/// Input channel c of every group, and the kernel's slice for it: a problem with one input channel a group.
let private oneChannel (trial: Trial) (x: Approx) (k: Approx) c =
    let s = trial.Shape

    trial.Conv(
        s.With(inChannels = s.Groups),
        x |> Approx.permute 1 s.Groups (fun g -> g * s.InChannelsPerGroup + c),
        k |> Approx.channels c 1
    )

let private channelSum =
    Law.equation
        0
        Inductive
        "CHANNEL-SUM"
        "Y_j = Σ_c X_c ⋆ K_{j,c}: the convolution is the sum of its single-channel convolutions"
        { Law.terms "DEF-2" d2l "channel loops, accumulation across blocks" with
            Project =
                fun s ->
                    let cg = min 33 s.InChannelsPerGroup
                    ValueSome(s.With(inChannels = s.Groups * max 2 cg))
        }
        (fun trial ->
            let x, k = trial.X, trial.K
            let parts = [ for c in 0 .. trial.Shape.InChannelsPerGroup - 1 -> oneChannel trial x k c ]

            trial.Conv(trial.Shape, x, k) =~= List.reduce (+) parts
            |> named "conv(X, K)" "Σ_c conv(X_c, K_c)")

let private outStack =
    Law.equation
        0
        Compositional
        "OUT-STACK"
        "Y is the stack of the convolutions with parts of the output channels"
        { Law.terms "DEF-3" d2l "output indexing, tails and blocks of the output channels" with
            Project = fun s -> ValueSome(s.With(outChannels = s.Groups * max 2 s.OutChannelsPerGroup))
        }
        (fun trial ->
            let s, x, k = trial.Shape, trial.X, trial.K
            let og = s.OutChannelsPerGroup
            let split = trial.Choose(0, 1, og - 1)

            let part first (count: int) =
                trial.Conv(
                    s.With(outChannels = s.Groups * count),
                    x,
                    k
                    |> Approx.permute 0 (s.Groups * count) (fun o -> o / count * og + first + o % count)
                )

            let low, high = part 0 split, part split (og - split)

            let stacked =
                Approx.concat 1 [ low; high ]
                |> Approx.permute 1 s.OutChannels (fun o ->
                    let g, o = o / og, o % og

                    if o < split then
                        g * split + o
                    else
                        s.Groups * split + g * (og - split) + o - split)

            trial.Conv(s, x, k) =~= stacked |> named "conv(X, K)" "the stacked parts")

// ---- POINTWISE-MATMUL

let private pointwiseMatmul =
    Law.equation
        0
        ModelBased
        "POINTWISE-MATMUL"
        "a 1×1 convolution is the matrix product K·X over the pixels that the stride keeps, for each group"
        { Law.terms "DEF-5" (d2l + "; the product by MathNet.Numerics") "the 1×1 path: stride ignored, mixed strides, batch stride" with
            Relates = false
            Project = fun s -> ValueSome(s.With(kernelHeight = 1, kernelWidth = 1))
        }
        (fun trial ->
            let s, x, k = trial.Shape, trial.X, trial.K
            let y = trial.Conv(s, x, k)
            let cg, og = s.InChannelsPerGroup, s.OutChannelsPerGroup

            let pixels =
                x
                |> Approx.window (-s.PadTop, -s.PadLeft) (s.StrideHeight, s.StrideWidth) (s.OutHeight, s.OutWidth)

            let plane = s.OutHeight * s.OutWidth
            let product = Values.zeros (s.Batch, s.OutChannels, s.OutHeight, s.OutWidth)

            if not trial.Planning then
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

            y
            =~= {
                    Value = product
                    Error = Bound.ofOracle Operation.Forward s x.Value.Data k.Value.Data [||]
                }
            |> named "conv(X, K)" "K·X")

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
                    let kh, kw = min 3 s.KernelHeight, min 3 s.KernelWidth
                    let rows = max 3 (cg * kh)
                    let columns = kw + 2
                    let height = (rows - 1) * s.StrideHeight + (kh - 1) * s.DilationHeight + 1
                    let width = (columns - 1) * s.StrideWidth + (kw - 1) * s.DilationWidth + 1

                    ValueSome(
                        ConvShape(
                            1,
                            cg * g,
                            height,
                            width,
                            og * g,
                            kh,
                            kw,
                            s.StrideHeight,
                            s.StrideWidth,
                            min 1 s.PadTop,
                            min 1 s.PadLeft,
                            0,
                            0,
                            s.DilationHeight,
                            s.DilationWidth,
                            g
                        )
                    )
        }
        (fun trial ->
            let s, x = trial.Shape, trial.X
            let unit = trial.KernelUnit
            let kernelDims = s.OutChannels, s.InChannelsPerGroup, s.KernelHeight, s.KernelWidth
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

let private single value = Approx.init (1, 1, 1, 1) (fun _ _ _ _ -> float value)

let private cost =
    Law.ofFormula
        0
        "COST"
        "multiply-adds counted by running the loop on a counting scalar equal n·h_o·w_o·k_h·k_w·c_i·c_o/G, zeros of the padding included; beside it the in-bounds count"
        CostFormula
        (Law.terms "CNT-2" d2l "a cost formula that only restates itself")
        (fun subject case ->
            let padded = case.Problem

            let valid =
                padded.With(
                    inHeight = max padded.InHeight padded.KernelExtentHeight,
                    inWidth = max padded.InWidth padded.KernelExtentWidth,
                    padTop = 0,
                    padLeft = 0,
                    padBottom = 0,
                    padRight = 0
                )

            // The same with its zeros written out.
            let written =
                padded.With(
                    inHeight = padded.InHeight + padded.PadTop + padded.PadBottom,
                    inWidth = padded.InWidth + padded.PadLeft + padded.PadRight,
                    padTop = 0,
                    padLeft = 0,
                    padBottom = 0,
                    padRight = 0
                )

            let many = 1_000_003

            let judge trial =
                ignore<Trial> trial
                let products, sums = countMultiplyAdds valid
                let formula = single (subject.MultiplyAdds valid)

                [
                    formula =~= single products |> named "formula" "products counted"
                    formula =~= single sums |> named "formula" "sums counted"
                    single (subject.MultiplyAdds padded)
                    =~= single (fst (countMultiplyAdds written))
                    |> named "formula with padding" "products counted, zeros included"
                    // Beyond 32 bits.
                    single (subject.MultiplyAdds(valid.With(batch = many * valid.Batch)))
                    =~= single (int64 many * products)
                    |> named $"formula of {many} times the batch" "as many times the products"
                    // Beside it, with padding: what meets the image.
                    single padded.InBoundsMultiplyAdds =~= single (fst (countMultiplyAdds padded))
                    |> named "in-bounds multiply-adds" "products counted"
                ]

            Judge.ofCase false judge subject case)

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
            (fun subject case ->
                let judge trial =
                    ignore<Trial> trial

                    [
                        for name, layers, dense, numerator, denominator in blocks do
                            let formula = layers |> List.sumBy subject.MultiplyAdds
                            let counted = layers |> List.sumBy (countMultiplyAdds >> fst)
                            single formula =~= single counted |> named $"{name}: formula" "products counted"

                            single (denominator * counted)
                            =~= single (numerator * fst (countMultiplyAdds dense))
                            |> named $"{name}: {denominator} times its cost" $"{numerator} times the dense one's"
                    ]

                Judge.ofCase false judge subject case)

    { law with Fixed = true }

let laws = [ figureLaw; channelSum; outStack; pointwiseMatmul; parameterCount; cost; blocksLaw ]
