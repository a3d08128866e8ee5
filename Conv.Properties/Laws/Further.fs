/// Group 7: further laws of values and shapes, and the order of summation.
module internal Conv.Properties.Further

open System
open Conv
open Conv.Properties.Judging

let private bilinearity = "bilinearity of the definition"

let private zeroChannels =
    Law.equation
        7
        Compositional
        "ZERO-CHANNELS"
        "input channels of zeros with any weights, or any inputs with weights of zero, add nothing"
        (Law.terms "DEF-2" bilinearity "tails and blocks of the input channels, with no reference")
        (fun trial ->
            let s, x, k = trial.Shape, trial.X, trial.K
            let cg = s.InChannelsPerGroup
            let more = trial.Choose(0, 1, 17)
            let wide = s.With(inChannels = s.Groups * (cg + more))
            // The channels that are added repeat the first ones, or are zero.
            let inputs = trial.Choose(1, 0, 1) = 0

            let x' =
                x
                |> Approx.gather (Operation.input wide) (fun n c h w ->
                    let g, c = c / (cg + more), c % (cg + more)

                    if c < cg then x.Value.At(n, g * cg + c, h, w)
                    elif inputs then -1
                    else x.Value.At(n, g * cg + (c - cg) % cg, h, w))

            let k' =
                k
                |> Approx.gather (Operation.kernel wide) (fun o c u v ->
                    if c < cg then k.Value.At(o, c, u, v)
                    elif inputs then k.Value.At(o, (c - cg) % cg, u, v)
                    else -1)

            trial.Conv(wide, x', k') =~= trial.Conv(s, x, k)
            |> named "with channels that add nothing" "conv(X, K)")

let private duplicateFilter =
    Law.equation
        7
        Metamorphic
        "DUPLICATE-FILTER"
        "an output channel whose weights are given twice comes out twice"
        (Law.terms "DEF-3" "the definition, channel by channel" "tails of the output channels")
        (fun trial ->
            let s, x, k = trial.Shape, trial.X, trial.K
            let og = s.OutChannelsPerGroup
            let more = trial.Choose(0, 1, 17)
            let first = trial.Choose(1, 0, og - 1)
            // Group by group: its own filters, then repetitions from `first` on.
            let source o =
                let g, o = o / (og + more), o % (og + more)
                g * og + (if o < og then o else (first + o - og) % og)

            let wide = s.With(outChannels = s.Groups * (og + more))

            trial.Conv(wide, x, Approx.permute 0 wide.OutChannels source k)
            =~= Approx.permute 1 wide.OutChannels source (trial.Conv(s, x, k))
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
                    ValueSome(
                        s.With(
                            padTop = max s.PadTop (s.KernelExtentHeight + s.StrideHeight - 1),
                            padRight = max s.PadRight (s.KernelExtentWidth + s.StrideWidth - 1)
                        )
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
            let d = trial.Draw(Role.Kernel, (c, 1, s.KernelHeight, s.KernelWidth))

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
            let pointwise = ConvShape(s.Batch, c, s.OutHeight, s.OutWidth, s.OutChannels, 1, 1)

            trial.Conv(pointwise, trial.Conv(depthwise, x, d), p)
            =~= trial.Conv(s, x, product)
            |> named "pointwise(depthwise(X))" "dense with P·D")

/// No padding, and an input that holds the kernel.
let private unpadded (s: ConvShape) =
    s.With(
        inHeight = max s.InHeight s.KernelExtentHeight,
        inWidth = max s.InWidth s.KernelExtentWidth,
        padTop = 0,
        padLeft = 0,
        padBottom = 0,
        padRight = 0
    )

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
            Project = unpadded >> ValueSome
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
            Project = unpadded >> ValueSome
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
                    let kh, kw = min 3 s.KernelHeight, min 3 s.KernelWidth
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

let private leadingDimension =
    Law.ofFormula
        7
        "LEADING-DIMENSION"
        "a matrix product does not depend on the distance between the rows of its operands, and leaves what lies between the rows of its result alone"
        MatrixProduct
        (Law.terms "RES-11" "the contract of a matrix product" "packing, leading dimensions exchanged or taken for the width")
        (fun subject case ->
            let s = case.Problem
            let rows, columns, depth = s.OutChannels, min 67 (s.OutHeight * s.OutWidth), int s.TermsPerOutput

            let fill =
                Drawn(
                    Lattice
                        {
                            InputMax = 9
                            KernelMax = 9
                            KernelStep = 1
                            BiasMax = 9
                            InputExponent = 0
                            KernelExponent = 0
                            LiveEvery = 1
                        },
                    Fill.mix (uint64 (rows * 31 + columns * 7 + depth))
                )

            let tensor role count = (Fill.tensor fill role (1, 1, 1, count)).Data |> Array.map float32

            let a, b, bias =
                tensor Role.Kernel (rows * depth), tensor Role.Input2 (depth * columns), tensor Role.Bias rows

            let gap = float32 1.5e30

            let spaced width (more: int) (data: float32[]) =
                let height = if width = 0 then 0 else data.Length / width

                Array.init (height * (width + more)) (fun at ->
                    if at % (width + more) < width then
                        data[at / (width + more) * width + at % (width + more)]
                    else
                        gap)

            let product (moreA: int) (moreB: int) (moreC: int) =
                let c = Array.create (rows * (columns + moreC)) gap

                subject.Product
                    rows
                    columns
                    depth
                    (spaced depth moreA a)
                    (depth + moreA)
                    (spaced columns moreB b)
                    (columns + moreB)
                    bias
                    c
                    (columns + moreC)

                c

            let value (data: float32[]) = Approx.exact (Values.ofArray (1, 1, 1, data.Length) (Array.map float data))

            let expected =
                Array.init (rows * columns) (fun at ->
                    let i, j = at / columns, at % columns

                    Seq.sum (seq { for l in 0 .. depth - 1 -> float a[i * depth + l] * float b[l * columns + j] })
                    + float bias[i]
                    |> float32)

            let judge trial =
                ignore<Trial> trial
                let tight = product 0 0 0

                [
                    value tight =~= value expected |> named "A·B + b" "its definition"
                    for moreA, moreB, moreC in [ 3, 0, 0; 0, 5, 0; 0, 0, 2; 1, 4, 7 ] do
                        value (product moreA moreB moreC) =~= value (spaced columns moreC tight)
                        |> named $"rows {moreA}, {moreB} and {moreC} further apart" "rows side by side"
                ]

            Judge.ofCase false judge subject case)

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
