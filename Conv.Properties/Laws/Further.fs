/// Group 7: further laws of values and shapes, and the order of summation.
module internal Conv.Properties.Further

open System
open Conv
open Conv.Properties.Judging
open Conv.Properties.Verbs

let private bilinearity = "bilinearity of the definition"

let private law kind id statement terms equation = Law.equation 7 kind id statement terms (Problem.ofTrial >> equation)

let private zeroChannels =
    law
        Compositional
        "ZERO-CHANNELS"
        "input channels of zeros with any weights, or any inputs with weights of zero, add nothing"
        (Law.terms "DEF-2" bilinearity "tails and blocks of the input channels, with no reference")
        (fun p ->
            let wide = p |> moreInputs (p.Choose(0, 1, 17)) (p.Choose(1, 0, 1) = 0)
            conv wide =~= conv p |> named "with channels that add nothing" "conv(X, K)")

let private duplicateFilter =
    law
        Metamorphic
        "DUPLICATE-FILTER"
        "an output channel whose weights are given twice comes out twice"
        (Law.terms "DEF-3" "the definition, channel by channel" "tails of the output channels")
        (fun p ->
            let og = p.Shape.OutChannelsPerGroup
            let more, first = p.Choose(0, 1, 17), p.Choose(1, 0, og - 1)
            // Group by group: its own filters, then repetitions from `first` on.
            let source o =
                let g, o = o / (og + more), o % (og + more)
                g * og + (if o < og then o else (first + o - og) % og)

            let count = p.Shape.Groups * (og + more)

            conv (p |> copiedOutputs count source)
            =~= Approx.permute 1 count source (conv p)
            |> named "filters repeated" "channels repeated")

let private padBeyondKernel =
    Law.equation
        7
        Invariant
        "PAD-BEYOND-KERNEL"
        "outputs whose window lies wholly in the padding are the bias"
        { Law.terms "GEO-2" "the definition where no tap meets the image" "pads larger than the kernel" with
            Domain = "AnyOrder exactly, on reals too; Bilinear within its certificate or bound"
            Relates = false
            Project =
                fun s ->
                    let beyond pad (a: Axis) = max pad (a.Extent + a.Stride - 1)
                    let rows, columns = s.Rows, s.Columns

                    ValueSome(
                        s.WithAxes
                            [|
                                rows.With(before = beyond rows.Before rows)
                                columns.With(after = beyond columns.After columns)
                            |]
                    )
        }
        (fun trial ->
            let s, b = trial.Shape, trial.B
            let y = trial.Conv(s, trial.X, trial.K, b)
            let ones dims = (Values.init dims (fun _ _ _ _ -> 1.0)).Data

            if trial.Planning then
                y =~= y
            else
                // Windows that meet nothing of the image.
                let alone =
                    Oracle.correlate s (ones (Operation.input s)) (ones (Operation.kernel s))
                    |> Array.map (fun terms -> terms = 0.0)

                let places = alone |> Array.indexed |> Array.filter snd |> Array.map fst
                let pick = Approx.gather (1, 1, 1, places.Length) (fun _ _ _ at -> places[at])
                let expected = Approx.spreadChannels (Operation.output s) b
                let anyOrder = trial.Profile.ArithmeticOf s :? AnyOrder

                (if anyOrder then (===) else (=~=)) (pick y) (pick expected)
                |> named "outputs in the padding" "b")

/// The kernel of a pointwise convolution after a depthwise one: P[o,c]·D[c,u,v].
let private depthwiseSeparable =
    Law.equation
        7
        Compositional
        "DEPTHWISE-SEPARABLE"
        "a pointwise convolution after a depthwise one is the dense convolution with K[o,c] = P[o,c]·D[c]"
        { Law.terms
              "ALG-6"
              "Howard et al. 2017 (MobileNets); the definition with a kernel of that form"
              "the depthwise path against the dense path, channel multipliers" with
            Chains = true
            Growth = fun trial -> float trial.Shape.InChannels
            Project =
                fun s ->
                    let small = min 7
                    ValueSome(s.With(groups = 1, inChannels = small s.InChannels, outChannels = small s.OutChannels))
        }
        (fun trial ->
            let s, x = trial.Shape, trial.X
            let c = s.InChannels
            let d = trial.Draw(Role.Kernel, (c, 1, s.Rows.Taps, s.Columns.Taps))

            let sign (a: Approx) =
                if trial.Tier = Exact then
                    Approx.init (Approx.dims a) (fun o c u v -> float (Math.Sign a.Value[o, c, u, v]))
                else
                    a

            let p = trial.Draw(Role.Kernel2, (s.OutChannels, c, 1, 1)) |> sign

            let product =
                Approx.init (Operation.kernel s) (fun o c u v -> p.Value[o, c, 0, 0] * d.Value[c, 0, u, v])

            let depthwise = s.With(outChannels = c, groups = c)
            trial.NeedsOperands(depthwise, x, d, product.Value)
            let pointwise = s.Along(fun a -> Axis(a.Outputs, 1))

            trial.Conv(pointwise, trial.Conv(depthwise, x, d), p)
            =~= trial.Conv(s, x, product)
            |> named "pointwise(depthwise(X))" "dense with P·D")

/// The value in the channels in which X has something, zero in the others: sparse channels keep sums on the grid.
let private inLiveChannels (x: Approx) value =
    let live = Array.create x.Value.D1 false
    let plane = max 1 (x.Value.D2 * x.Value.D3)

    for at in 0 .. x.Value.Length - 1 do
        if x.Value.Data[at] <> 0.0 then
            live[at / plane % x.Value.D1] <- true

    Approx.init (Approx.dims x) (fun _ c _ _ -> if live[c] then value else 0.0)

/// The weights that meet such channels.
let private onLive (s: ConvShape) (ones: Approx) (k: Approx) =
    Approx.init (Approx.dims k) (fun o c u v ->
        let channel = o / s.OutChannelsPerGroup * s.InChannelsPerGroup + c

        if s.Batch > 0 && ones.Value[0, channel, 0, 0] <> 0.0 then
            k.Value[o, c, u, v]
        else
            0.0)

/// Σ over c, u, v of each filter, exact on whole numbers.
let private filterSums (k: Approx) =
    let size = k.Value.Length / max 1 k.Value.D0
    Approx.init (k.Value.D0, 1, 1, 1) (fun o _ _ _ -> Seq.sum (Seq.init size (fun at -> k.Value.Data[o * size + at])))

let private constantInput =
    Law.equation
        7
        Invariant
        "CONSTANT-INPUT"
        "without padding an input of ones gives the sum of the weights everywhere"
        { Law.terms "DEF-1" "the definition with X = 1" "results that depend on the position" with
            Tiers = [ Exact ]
            Relates = false
            Project = Axes.valid >> ValueSome
        }
        (fun trial ->
            let s, k = trial.Shape, trial.K

            let ones =
                match trial.Profile.ArithmeticOf s with
                // Few bits hold the sum of few channels.
                | :? Rounded -> inLiveChannels trial.X 1.0
                | _ -> Approx.init (Operation.input s) (fun _ _ _ _ -> 1.0)

            trial.Conv(s, ones, k)
            =~= Approx.spreadChannels (Operation.output s) (filterSums (onLive s ones k))
            |> named "conv(1, K)" "Σ K")

let private offsetInput =
    Law.equation
        7
        Metamorphic
        "OFFSET-INPUT"
        "without padding, adding a constant to X adds its product with the sum of the weights to Y"
        { Law.terms "ALG-1" bilinearity "padding with another value, zero points of quantised paths" with
            Tiers = [ Exact ]
            Growth = fun _ -> 3.0
            Project = Axes.valid >> ValueSome
        }
        (fun trial ->
            let s, x, k = trial.Shape, trial.X, trial.K
            // As large as the inputs are: on their grid.
            let offset = Values.magnitude x.Value.Data
            let ones = inLiveChannels x 1.0

            let shifted =
                x
                + Approx.scaleChannels (Approx.init (s.InChannels, 1, 1, 1) (fun _ _ _ _ -> offset)) ones

            let perFilter = filterSums (onLive s ones k)
            let sums = Approx.init (s.OutChannels, 1, 1, 1) (fun o _ _ _ -> offset * perFilter.Value.Data[o])

            trial.Conv(s, shifted, k)
            =~= trial.Conv(s, x, k) + Approx.spreadChannels (Operation.output s) sums
            |> named "conv(X + c, K)" "conv(X, K) + c·ΣK")

// ---- ORDER-INFERENCE

let private orderInference =
    Law.equation
        7
        ModelBased
        "ORDER-INFERENCE"
        "the tree of summation, found by terms that absorb others, simulated in float32, gives every bit"
        { Law.terms
              "FP-10"
              "Xie et al. 2024, FPRev: revealing floating-point accumulation orders"
              "an order or precision that depends on the data; whether products are fused" with
            Strength = May
            Domain = "AnyOrder with determinism declared and partial sums in float32"
            Tiers = [ Bounded ]
            Relates = false
            Project =
                fun s ->
                    let kh, kw = min 3 s.Rows.Taps, min 3 s.Columns.Taps
                    let c = min s.InChannelsPerGroup (max 1 (12 / (kh * kw)))
                    let c = if c * kh * kw < 3 then 3 else c
                    ValueSome(ConvShape(1, c, kh, kw, 1, kh, kw))
        }
        (fun trial ->
            let s, x, k = trial.Shape, trial.X, trial.K

            if not (trial.Profile.ArithmeticOf s :? AnyOrder && trial.Profile.Traits.Deterministic) then
                Judge.inapplicable "no order of sums is declared, or no determinism"

            let n = int s.TermsPerOutput
            let single (a: Approx) = Array.map float32 a.Value.Data
            // Absorbs ones, and what up to a dozen of them add up to.
            let large = MathF.ScaleB(1f, 30)
            let ones = Array.create n 1f

            /// How many ones are added after the large terms at two places have cancelled.
            let outside i j =
                let x = Array.create n 1f
                x[i] <- large
                x[j] <- -large
                trial.Subject.Forward s x ones [||] |> Array.head |> int

            let inputs =
                [
                    for x in [ x; -x; trial.X2 ] do
                        for k in [ k; trial.K2 ] -> single x, single k
                ]

            if trial.Planning then
                trial.ConvBits(s, x, k, None) =?= x
            else
                let below = Array2D.init n n (fun i j -> if i = j then 1 else n - outside i j)

                match Summation.treeOf (fun i j -> below[i, j]) [ 0 .. n - 1 ] with
                | None -> Judge.inapplicable "its partial sums are wider than float32, or add more than two at a time"
                | Some tree ->
                    let actual = [| for x, k in inputs -> trial.Subject.Forward s x k [||] |> Array.head |> float |]
                    let simulated fused = [| for x, k in inputs -> float (Summation.simulate fused x k tree) |]
                    let value data = Approx.exact (Values.ofArray (1, 1, 1, inputs.Length) data)

                    let closest =
                        Summation.fusings n
                        |> Seq.map simulated
                        |> Seq.tryFind (fun right -> Array.forall2 (=) actual right)
                        |> Option.defaultWith (fun () -> simulated (fun _ -> false))

                    // Recorded, so that a counterexample shows a call.
                    trial.ConvBits(s, x, k, None) |> ignore<Approx>
                    value actual === value closest |> named "computed" "the tree, simulated")

// ---- LEADING-DIMENSION

/// What stands between the rows of an operand, and in a result before it is written.
let private gap = float32 1.5e30

/// Rows of a width so much further apart.
let private spaced width (more: int) (data: float32[]) =
    let height, pitch = (if width = 0 then 0 else data.Length / width), width + more
    Array.init (height * pitch) (fun at -> if at % pitch < width then data[at / pitch * width + at % pitch] else gap)

/// A matrix product with a bias for each row: m×k numbers, k×n numbers, m numbers.
[<NoEquality; NoComparison>]
type private Product = { M: int; N: int; K: int; A: float32[]; B: float32[]; Bias: float32[] }

/// The product of a kernel with some of its patches, as large as the shape says; small whole numbers.
let private productOf (s: ConvShape) =
    let m, n, k = s.OutChannels, min 67 (int s.OutputPlane), int s.TermsPerOutput

    let fill = Drawn(Lattice(Lattice.UpTo 9), Fill.mix (uint64 (m * 31 + n * 7 + k)))
    let tensor role count = (Fill.tensor fill role (1, 1, 1, count)).Data |> Array.map float32

    {
        M = m
        N = n
        K = k
        A = tensor Role.Kernel (m * k)
        B = tensor Role.Input2 (k * n)
        Bias = tensor Role.Bias m
    }

/// The subject's product, rows of A, B and C so much further apart than they are long.
let private computed (subject: Subject) p moreA moreB moreC =
    let c = Array.create (p.M * (p.N + moreC)) gap
    let a, b = spaced p.K moreA p.A, spaced p.N moreB p.B
    subject.Product p.M p.N p.K a (p.K + moreA) b (p.N + moreB) p.Bias c (p.N + moreC)
    c

let private definedProduct p =
    Array.init (p.M * p.N) (fun at ->
        let i, j = at / p.N, at % p.N

        Seq.sum (seq { for l in 0 .. p.K - 1 -> float p.A[i * p.K + l] * float p.B[l * p.N + j] })
        + float p.Bias[i]
        |> float32)

let private leadingDimension =
    Law.ofFormula
        7
        "LEADING-DIMENSION"
        "a matrix product does not depend on the distance between the rows of its operands, and leaves what lies between the rows of its result alone"
        MatrixProduct
        (Law.terms "RES-11" "the contract of a matrix product" "packing, leading dimensions exchanged or taken for the width")
        (fun subject s ->
            let p = productOf s
            let value (data: float32[]) = Approx.exact (Values.ofArray (1, 1, 1, data.Length) (Array.map float data))
            let tight = computed subject p 0 0 0

            [
                value tight =~= value (definedProduct p) |> named "A·B + b" "its definition"
                for moreA, moreB, moreC in [ 3, 0, 0; 0, 5, 0; 0, 0, 2; 1, 4, 7 ] do
                    value (computed subject p moreA moreB moreC) =~= value (spaced p.N moreC tight)
                    |> named $"rows {moreA}, {moreB} and {moreC} further apart" "rows side by side"
            ])

let laws =
    [
        zeroChannels
        duplicateFilter
        padBeyondKernel
        depthwiseSeparable
        orderInference
        constantInput
        offsetInput
        leadingDimension
    ]
