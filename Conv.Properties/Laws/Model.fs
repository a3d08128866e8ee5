/// Group 1: the definition as a model, and probes that read single points of it.
module internal Conv.Properties.Model

open System
open FsCheck.FSharp
open System.Runtime.CompilerServices
open Conv
open Conv.Properties.Judging
open Conv.Properties.Verbs

let private definition = "the definition; oracle: docs/bounds.md, lemma 7"

/// All taps of a channel like its first: what running sums and shortcuts for box filters are written for.
let private boxed (k: Approx) = k |> Approx.gather (Approx.dims k) (fun o c _ _ -> k.Value.At(o, c, 0, 0))

/// The choices of MODEL-EXACT by which a bias is added, and every tap is a number of its own.
let withBias = [ 1; 0; 0 ]

let private model (trial: Trial) =
    let s, x = trial.Shape, trial.X
    let k = if trial.Choose(1, 0, 4) = 4 then boxed trial.K else trial.K
    let b = if trial.Choose(0, 0, 3) = 0 then None else Some trial.B
    let expected = trial.Oracle(s, x, k, ?b = b)

    [
        (match b with
         | None -> trial.Conv(s, x, k)
         | Some b -> trial.Conv(s, x, k, b))
        =~= expected
        |> named "computed" "the definition"
        // Weights that are prepared may take another path.
        if
            trial.Tier = Exact
            && trial.Profile.Capabilities.Contains Prepares
            && trial.Choose(1, 0, 1) = 0
        then
            trial.RunOf(trial.Prepare(s, k, b), s, x, k, b) =~= expected
            |> named "computed from prepared weights" "the definition"
    ]

/// The result beside the exact one on the operands as the subject declares to round them.
let private onDeclaredOperands (trial: Trial) =
    let s, x, k, b = trial.Shape, trial.X, trial.K, trial.B
    let single (a: Approx) = a.Value.Data |> Array.map (float32 >> float)

    if trial.Planning || not (trial.Profile.Supports s) then
        []
    else
        match Bound.onDeclaredOperands (trial.Profile.ArithmeticOf s) trial.Profile.Traits s (single x) (single k) (single b) with
        | ValueNone -> []
        | ValueSome(struct (exact, allowed)) ->
            let y = trial.ConvAny(s, x, k, b)

            [
                { y with Error = Each allowed } =~= Approx.exact (Values.withData exact y.Value)
                |> named "computed" "the definition on operands as they are declared to be rounded"
            ]

let private modelExact =
    Law.equations
        1
        ModelBased
        "MODEL-EXACT"
        "Y(X, K, b) is the definition's, on numbers whose partial sums are all representable"
        { Law.terms "DEF-1, FP-1" definition "every geometric, indexing and blocking fault; blind to precision, NaN and resources" with
            Domain = "AnyOrder; Bilinear within its certificate"
            Tiers = [ Exact ]
            Data = Ranged
            Relates = false
            Beyond = Law.beyond 1800 60
        }
        model

let private modelBound =
    Law.equations
        1
        ModelBased
        "MODEL-BOUND"
        "|Y − the definition| ≤ γ_{n+1}·(S + |b|), or γ_K × the absolute program for Bilinear; where operands are rounded as declared, it is their product"
        { Law.terms
              "DEF-1, FP-2, FP-3"
              "Higham 2002, §3.1; Barabasz et al. 2018: docs/bounds.md, lemmas 2, 4, 14, 15 and 19"
              "faults that integers hide: truncation, wrong rounding, mistyped transforms, an epsilon in a denominator" with
            Domain = "AnyOrder; Bilinear within its bound; reduced precisions on their own operands too"
            Tiers = [ Bounded ]
            Relates = false
            Beyond = Law.beyond 40 10
        }
        (fun trial -> model trial @ onDeclaredOperands trial)

let private law kind id statement terms equation = Law.equation 1 kind id statement terms (Problem.ofTrial >> equation)

/// Exact values times a number.
let private multiplied number (a: Approx) = Approx.init (Approx.dims a) (fun i0 i1 i2 i3 -> number * a.Value[i0, i1, i2, i3])

let private deltaKernel =
    law
        ModelBased
        "DELTA-KERNEL"
        "a kernel that is one at its centre, for c = o, gives X back"
        { Law.terms "DEF-1" definition "kernel off its centre, transposed channels, narrowing casts of the input" with
            Domain = "AnyOrder on any finite X; Bilinear within its certificate"
            Tiers = [ Exact ]
            Data = SingleTerm
            Relates = false
            Project =
                fun s ->
                    let c = min 33 s.InChannels

                    /// An odd number of taps, the padding that keeps the size.
                    let centred (a: Axis) =
                        let taps = a.Taps ||| 1
                        let pad = (taps - 1) / 2 * a.Dilation
                        Axis(a.Size, taps, 1, pad, pad, a.Dilation)

                    ValueSome(s.With(inChannels = c, outChannels = c, groups = 1).Along centred)
        }
        (fun p ->
            let unit, centre = p.Trial.KernelUnit, ((p.Shape.Rows.Taps - 1) / 2, (p.Shape.Columns.Taps - 1) / 2)

            let delta =
                Approx.init (Operation.kernel p.Shape) (fun o c u v -> if o = c && (u, v) = centre then unit else 0.0)

            conv { p with K = delta } =~= multiplied unit p.X |> named "conv(X, δ)" "X")

let private impulseInput =
    law
        ModelBased
        "IMPULSE-INPUT"
        "a one-hot input gives the kernel, read through (h, w) = (i·s − p + u·d)"
        { Law.terms "DEF-1" definition "flipped or transposed kernels, exchanged pads, strides and dilations; says which index is wrong" with
            Domain = "AnyOrder on any finite K; Bilinear within its certificate"
            Tiers = [ Exact ]
            Data = SingleTerm
            Relates = false
            Beyond = Law.beyond 30 5
        }
        (fun p ->
            let n, c, h, w = Operation.input p.Shape
            let place = p.Choose(0, 0, n - 1), p.Choose(1, 0, c - 1), p.Choose(2, 0, h - 1), p.Choose(0, 0, w - 1)

            conv { p with X = Approx.oneHot 1.0 (n, c, h, w) place }
            =~= Approx.init (Operation.output p.Shape) (fun n o i j -> weightBetween p place (n, o, i, j))
            |> named "conv(one-hot, K)" "the kernel's taps")

let private impulseKernel =
    law
        ModelBased
        "IMPULSE-KERNEL"
        "a one-hot kernel gives one shifted, subsampled, padded plane of X"
        { Law.terms "DEF-1" definition "tap ranges, wrong boundary taps, weight-packing permutations, lost precision of the input" with
            Domain = "AnyOrder on any finite X; Bilinear within its certificate"
            Tiers = [ Exact ]
            Data = SingleTerm
            Relates = false
            Beyond = Law.beyond 30 5
        }
        (fun p ->
            let s, unit = p.Shape, p.Trial.KernelUnit
            let o0, c0 = p.Choose(0, 0, s.OutChannels - 1), p.Choose(1, 0, s.InChannelsPerGroup - 1)
            let u0, v0 = p.Choose(2, 0, s.Rows.Taps - 1), p.Choose(1, 0, s.Columns.Taps - 1)
            let read (a: Axis) tap = Slice.every a.Stride (a.Source(0, tap)) a.Outputs

            let plane =
                p.X
                |> Approx.channels (o0 / s.OutChannelsPerGroup * s.InChannelsPerGroup + c0) 1
                |> Approx.cut (read s.Rows u0) (read s.Columns v0)

            conv { p with K = Approx.oneHot unit (Operation.kernel s) (o0, c0, u0, v0) }
            =~= Approx.init (Operation.output s) (fun n o i j -> if o = o0 then unit * plane.Value[n, 0, i, j] else 0.0)
            |> named "conv(X, one-hot)" "the plane of X")

let private single value = Approx.numbers [ float<int64> value ]

let private shapeCount =
    Law.ofFormula
        1
        "SHAPE-COUNT"
        "h_o = #{i ≥ 0 : i·s + (k_h − 1)·d + 1 ≤ h + p_t + p_b}, counted, and the same for columns"
        OutputSize
        (Law.terms
            "GEO-1"
            "Dumoulin & Visin 2016, A guide to convolution arithmetic, relationship 15"
            "ceil for floor, dilation missing in the extent, a pad counted once"
         |> Law.reaching 50 0)
        (fun subject s ->
            let struct (height, width) = subject.OutputSize s
            let counted (a: Axis) = int64 (Axes.fitting (a.Before + a.Size + a.After) a)

            [
                single height =~= single (counted s.Rows)
                |> named "output height" "rows counted"
                single width =~= single (counted s.Columns)
                |> named "output width" "columns counted"
            ])

/// Whole-number weights, 1 to 31, of the positions along one axis, without a period; rows and columns have others, so that a permutation shows,
/// and so does an exchange of the two.
let positionWeight (axis: int) (i: int) = float (1UL + Fill.mix (uint64 (2 * i + axis + 1)) % 31UL)

let private positionWeights (s: ConvShape) = Array.init s.Rows.Outputs (positionWeight 0), Array.init s.Columns.Outputs (positionWeight 1)

/// Σ_{i,j} a_i·b_j·Y[n,o,i,j] of the definition, pushed through to the input: Σ_{c,u,v} K[o,c,u,v]·(Σ_{i,j} a_i·b_j·X[n,c,i·s+u·d−p,…]).
/// The inner sums are shared by all output channels.
[<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
let checksums (s: ConvShape) (x: float[]) (k: float[]) =
    let cg, og = s.InChannelsPerGroup, s.OutChannelsPerGroup
    let taps = int s.KernelPlane
    let down, across = positionWeights s
    let rows, columns = s.Rows, s.Columns
    let inner = Array.zeroCreate (s.Batch * s.InChannels * taps)

    for plane in 0 .. s.Batch * s.InChannels - 1 do
        for u in 0 .. rows.Taps - 1 do
            for v in 0 .. columns.Taps - 1 do
                let mutable sum = 0.0

                for i in 0 .. rows.Outputs - 1 do
                    let h = rows.Source(i, u)

                    if rows.Contains h then
                        let mutable row = 0.0

                        for j in 0 .. columns.Outputs - 1 do
                            let w = columns.Source(j, v)

                            if columns.Contains w then
                                row <- row + across[j] * x[(plane * rows.Size + h) * columns.Size + w]

                        sum <- sum + down[i] * row

                inner[plane * taps + u * columns.Taps + v] <- sum

    Array.init (s.Batch * s.OutChannels) (fun at ->
        let n, o = at / s.OutChannels, at % s.OutChannels
        let first = (n * s.InChannels + o / og * cg) * taps
        let mutable sum = 0.0

        for t in 0 .. cg * taps - 1 do
            sum <- sum + k[o * cg * taps + t] * inner[first + t]

        sum)

/// The same sums of an output.
[<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
let checksumsOf (s: ConvShape) (y: float[]) =
    let plane = int s.OutputPlane
    let rows, columns = positionWeights s

    Array.init (s.Batch * s.OutChannels) (fun at ->
        let mutable sum = 0.0

        for i in 0 .. rows.Length - 1 do
            let mutable row = 0.0

            for j in 0 .. columns.Length - 1 do
                row <- row + columns[j] * y[at * plane + i * columns.Length + j]

            sum <- sum + rows[i] * row

        sum)

/// Whether the weighted sums of both sides are exact in double.
let private sumsAreExact (s: ConvShape) (x: Approx) (k: Approx) (bias: Approx option) (y: Approx) =
    let x, k, y = x.Value.Data, k.Value.Data, y.Value.Data
    let b = bias |> Option.map _.Value.Data |> Option.defaultValue [||]
    let rows, columns = positionWeights s
    let weights = Array.sum rows * Array.sum columns
    let gridX, gridK = Values.grid x, Values.grid k

    let grid =
        if gridX = Int32.MaxValue || gridK = Int32.MaxValue then
            Values.grid b
        else
            min (gridX + gridK) (Values.grid b)

    let sums =
        Values.magnitude x * Values.magnitude k * float s.TermsPerOutput
        + Values.magnitude b

    let most = max (Values.magnitude y) sums

    Array.isEmpty y
    || grid = Int32.MaxValue
    // A result that is not finite is wrong all the same.
    || not (Double.IsFinite most)
    || weights * most < Math.ScaleB(1.0, 53 + grid)

let private checksumOn data =
    Law.equation
        1
        Invariant
        "CHECKSUM"
        "the position-weighted sum of Y, with a bias in three cases of four, equals the same sum pushed through the definition"
        { Law.terms
              "DEF-1"
              "Huang & Abraham 1984 (algorithm-based fault tolerance); docs/bounds.md, lemma 11"
              "faults on outputs too large for the definition; the weights make permutations visible" with
            Domain = "AnyOrder; Bilinear within its certificate"
            Tiers = [ Exact ]
            Relates = false
            Data = data
            Beyond = Law.beyond 600 80
        }
        (fun trial ->
            let s, x, k = trial.Shape, trial.X, trial.K
            let bias = if trial.Choose(0, 0, 3) = 0 then None else Some trial.B

            let y =
                match bias with
                | None -> trial.Conv(s, x, k)
                | Some b -> trial.Conv(s, x, k, b)

            let value data = Approx.exact (Values.ofArray (s.Batch, s.OutChannels, 1, 1) data)

            // Lemma 11: all sums must be whole numbers below 2⁵³ in units of the grid.
            if not (trial.Planning || sumsAreExact s x k bias y) then
                Judge.inapplicable "its weighted sums have more bits than a double"

            let rows, columns = positionWeights s
            let positions = Array.sum rows * Array.sum columns

            let expected =
                if trial.Planning then
                    Array.zeroCreate (s.Batch * s.OutChannels)
                else
                    checksums s x.Value.Data k.Value.Data
                    |> Array.mapi (fun at sum ->
                        match bias with
                        | None -> sum
                        | Some b -> sum + positions * b.Value.Data[at % s.OutChannels])

            value (checksumsOf s y.Value.Data) =~= value expected
            |> named "Σ a·b·Y" "Σ K·(Σ a·b·X) + b·Σ a·b")

let private checksum = checksumOn Any

/// CHECKSUM on as many numbers as there is room for: of problems that are asked once.
let weighing = checksumOn Balanced

/// MODEL-EXACT on as many numbers as there is room for: what a certificate of a named shape is made of (lemma 21).
let certificate =
    Law.equations
        1
        ModelBased
        "MODEL-EXACT"
        modelExact.Statement
        { Law.terms "DEF-1, FP-1" "docs/bounds.md, lemma 21" modelExact.Detects with
            Domain = modelExact.Domain
            Tiers = [ Exact ]
            Data = Balanced
            Relates = false
        }
        model

let laws = [ modelExact; modelBound; deltaKernel; impulseInput; impulseKernel; shapeCount; checksum ]
