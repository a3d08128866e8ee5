/// Group 4: the backward passes, transposed convolution and fused epilogues.
module internal Conv.Properties.Adjoint

open Conv
open Conv.Properties.Judging
open Conv.Properties.Verbs

let private gradients = "the gradient of ⟨conv(X, K), dY⟩; bounds: docs/bounds.md, lemmas 12 and 16"

let private law kind id statement terms equation = Law.equation 4 kind id statement terms (Problem.ofTrial >> equation)

/// The terms of a law on backward passes.
let private backward clause source detects =
    { Law.terms clause source detects with
        Needs = [ Forward; Gradients ]
        Domain = "AnyOrder"
    }

let private adjointInput =
    Law.equation
        4
        Adjoint
        "ADJOINT-INPUT"
        "⟨conv(X, K), dY⟩ = ⟨X, BackwardInput(dY, K)⟩"
        { backward "ADJ-1" gradients "every fault of the gradient of the input" with
            Beyond = Law.beyond 100 20
        }
        (fun trial ->
            let s, x, k, dy = trial.Shape, trial.X, trial.K, trial.Gradient

            trial.Inner(trial.Conv(s, x, k), dy)
            =~= trial.Inner(x, trial.BackwardInput(s, dy, k))
            |> named "⟨conv(X, K), dY⟩" "⟨X, BackwardInput(dY, K)⟩")

let private backwardImpulse =
    law
        Adjoint
        "BACKWARD-IMPULSE"
        "BackwardInput of a one-hot dY is the window of K at that output, and zero elsewhere"
        { backward "ADJ-1" gradients "where the gradient goes: rows that no window reads must be zero" with
            Tiers = [ Exact ]
            Relates = false
            Beyond = Law.beyond 20 0
        }
        (fun p ->
            let n, o, i, j = Operation.output p.Shape
            let place = p.Choose(0, 0, n - 1), p.Choose(1, 0, o - 1), p.Choose(2, 0, i - 1), p.Choose(0, 0, j - 1)

            backwardInput p (Approx.oneHot 1.0 (n, o, i, j) place)
            =~= Approx.init (Operation.input p.Shape) (fun n c h w -> weightBetween p (n, c, h, w) place)
            |> named "BackwardInput(one-hot, K)" "the window of K")

let private adjointKernel =
    Law.equation
        4
        Adjoint
        "ADJOINT-KERNEL"
        "⟨conv(X, K), dY⟩ = ⟨K, BackwardKernel(X, dY)⟩"
        { backward "ADJ-2" gradients "faults of the gradient of the kernel: the last row, the sum over images, taps in the padding" with
            Beyond = Law.beyond 100 20
        }
        (fun trial ->
            let s, x, k, dy = trial.Shape, trial.X, trial.K, trial.Gradient

            trial.Inner(trial.Conv(s, x, k), dy)
            =~= trial.Inner(k, trial.BackwardKernel(s, x, dy))
            |> named "⟨conv(X, K), dY⟩" "⟨K, BackwardKernel(X, dY)⟩")

let private adjointBias =
    Law.equation
        4
        Adjoint
        "ADJOINT-BIAS"
        "⟨b, BackwardBias(dY)⟩ = ⟨conv(0, 0) + b, dY⟩"
        { backward "ADJ-3" gradients "the gradient of the bias summed over the wrong axes, or over the first image alone" with
            Beyond = Law.beyond 20 10
        }
        (fun trial ->
            let s, b, dy = trial.Shape, trial.B, trial.Gradient
            let zeros dims = Approx.zeros dims

            trial.Inner(b, trial.BackwardBias(s, dy))
            =~= trial.Inner(trial.Conv(s, zeros (Operation.input s), zeros (Operation.kernel s), b), dy)
            |> named "⟨b, BackwardBias(dY)⟩" "⟨b everywhere, dY⟩")

let private tripleProduct =
    Law.equations
        7
        Adjoint
        "TRIPLE-PRODUCT"
        "⟨conv(X, K), dY⟩ = ⟨X, BackwardInput(dY, K)⟩ = ⟨K, BackwardKernel(X, dY)⟩, pair by pair"
        (backward "ADJ-1, ADJ-2" gradients "tells by majority which of the three operators is wrong")
        (fun trial ->
            let s, x, k, dy = trial.Shape, trial.X, trial.K, trial.Gradient
            let forward = trial.Inner(trial.Conv(s, x, k), dy)
            let toInput = trial.Inner(x, trial.BackwardInput(s, dy, k))
            let toKernel = trial.Inner(k, trial.BackwardKernel(s, x, dy))
            let y, dx, dk = "⟨conv(X, K), dY⟩", "⟨X, BackwardInput⟩", "⟨K, BackwardKernel⟩"

            [
                forward =~= toInput |> named y dx
                forward =~= toKernel |> named y dk
                toInput =~= toKernel |> named dx dk
            ])

/// A gradient, and the definition's.
let private gradientOf operation (trial: Trial) =
    let first, second = trial.Operands operation

    trial.Apply(operation, trial.Shape, first, second, None)
    =~= trial.OracleOf(operation, trial.Shape, first, second)
    |> named (Operation.title operation) "the definition"

let private modelBackward =
    Law.equation
        4
        ModelBased
        "MODEL-BACKWARD"
        "each gradient is the definition's: exactly on numbers whose partial sums are all representable, within its bound on reals"
        { backward "ADJ-1, ADJ-2, ADJ-3" gradients "every fault of a gradient, element by element" with
            Data = Ranged
            Relates = false
            Beyond = Law.beyond 3000 60
        }
        (fun trial ->
            let operation =
                match trial.Choose(2, 0, 6) with
                | 0
                | 1
                | 2 -> Operation.BackwardInput
                | 3
                | 4
                | 5 -> Operation.BackwardKernel
                | _ -> Operation.BackwardBias

            gradientOf operation trial)

let private backwardKernelAsConv =
    law
        Compositional
        "BACKWARD-KERNEL-AS-CONV"
        "BackwardKernel is a convolution of X with dY, batch as channel, stride and dilation exchanged, cropped to K_h×K_w"
        { backward
              "ADJ-4"
              "Dumoulin & Visin 2016; the definition with its sums exchanged"
              "the gradient of the kernel against the forward pass, with no reference" with
            Project =
                fun s ->
                    // The gradient becomes a kernel of H_o×W_o taps.
                    ValueSome(s.Along(fun a -> a.With(size = min a.Size (max 24 a.Extent))))
        }
        (fun p ->
            let dy = p.Trial.Gradient

            let parts =
                [
                    for q in kernelGradientAsConvs p dy -> conv q |> taken (fun a -> Slice.first a.Taps) p |> exchanged
                ]

            backwardKernel p dy =~= stackImages parts
            |> named "BackwardKernel(X, dY)" "conv(X, dY), batch as channel")

let private backwardInputAsConv =
    law
        Compositional
        "BACKWARD-INPUT-AS-CONV"
        "BackwardInput is the full convolution of dY, zeros inserted by the stride, with K flipped and its channels exchanged"
        { backward "ADJ-4" "Dumoulin & Visin 2016, §4 (transposed convolution arithmetic)" "padding and stride of the gradient of the input" with
            Beyond = Law.beyond 20 0
        }
        (fun p ->
            let dy = p.Trial.Gradient

            backwardInput p dy =~= conv (inputGradientAsConv p dy)
            |> named "BackwardInput(dY, K)" "conv(stuffed dY, flipped K)")

let private transposedEquations (trial: Trial) =
    let s, k, y = trial.Shape, trial.K, trial.Gradient
    let b = trial.Draw(Role.Bias, (s.InChannels, 1, 1, 1))
    let bias = if trial.Choose(0, 0, 5) = 0 then None else Some b
    let computed = trial.Transposed(s, y, k, bias)

    [
        computed =~= trial.OracleOf(Operation.Transposed, s, y, k, ?bias = bias)
        |> named "transposed(X, K) + b" "the definition"

        if trial.Profile.Capabilities.Contains Gradients then
            let plain = trial.BackwardInput(s, y, k)

            let right =
                match bias with
                | None -> plain
                | Some b -> plain + Approx.spreadChannels (Operation.input s) b

            computed =~= right |> named "transposed(X, K) + b" "BackwardInput(X, K) + b"
    ]

let private transposed =
    Law.equations
        4
        Adjoint
        "TRANSPOSED"
        "transposed(X, K) + b = BackwardInput(X, K) of the convolution whose output has X's size, + b"
        { Law.terms
              "TRN-1"
              gradients
              "output padding, cropping by the pads, the order of groups, weights with the input channel first, a kernel flipped" with
            Needs = [ Forward; Transposed ]
            Domain = "AnyOrder"
            Data = Ranged
            Relates = false
            Beyond = Law.beyond 1200 30
        }
        transposedEquations

let private transposedAdjoint =
    Law.equation
        4
        Adjoint
        "TRANSPOSED-ADJOINT"
        "⟨transposed(Y, K), X⟩ = ⟨Y, conv(X, K)⟩"
        { Law.terms "TRN-1" gradients "every fault of the transposed convolution, against the forward pass, with no reference" with
            Needs = [ Forward; Transposed ]
            Domain = "AnyOrder"
            Beyond = Law.beyond 80 20
        }
        (fun trial ->
            let s, x, k, y = trial.Shape, trial.X, trial.K, trial.Gradient

            trial.Inner(trial.Transposed(s, y, k, None), x)
            =~= trial.Inner(y, trial.Conv(s, x, k))
            |> named "⟨transposed(Y, K), X⟩" "⟨Y, conv(X, K)⟩")

let private transposedShape =
    Law.ofAxes
        4
        "TRANSPOSED-SHAPE"
        "the transposed output size, for every output padding below the stride, convolves back to the input size and grows with the output padding, which is read back from it"
        TransposedSize
        (Law.terms
            "TRN-2"
            "Dumoulin & Visin 2016, §4"
            "output padding or dilation missing in the size, or in the output padding that a forward convolution has as a transposed one"
         |> Law.reaching 50 0)
        (fun subject name a ->
            // Pads that leave nothing of a small output are invalid.
            let before = min a.Before (a.Covered - 1)
            let after = min a.After (a.Covered - 1 - before)

            let whole =
                List.init a.Stride (subject.TransposedSize a.Outputs a.Taps a.Stride a.Dilation before after)

            let outputPadding size = subject.OutputPadding size a.Taps a.Stride a.Dilation before after
            let sizes values = values |> List.map float<int> |> Approx.numbers

            [
                sizes [ for size in whole -> Axes.fitting (size + before + after) a ]
                =~= sizes (List.replicate a.Stride a.Outputs)
                |> named $"{name} convolved back" "of the input"
                sizes whole =~= sizes (List.init a.Stride ((+) whole.Head))
                |> named $"{name} for each output padding" "one more each"
                sizes (List.map outputPadding whole) =~= sizes (List.init a.Stride id)
                |> named $"output padding of {name} read back" "the output padding"
            ])

/// Scales of a fused epilogue: small whole numbers of both signs.
let private scales = [| 1.0; -1.0; 2.0; 3.0; -2.0 |]

/// A scale for each output channel, and the bias from the last channel to the first for a shift.
let private affineOf (trial: Trial) =
    let s = trial.Shape
    let first = trial.Choose(1, 0, scales.Length - 1)

    Approx.init (s.OutChannels, 1, 1, 1) (fun o _ _ _ -> scales[(first + o) % scales.Length]),
    trial.B |> Approx.permute 0 s.OutChannels (fun o -> s.OutChannels - 1 - o)

let private fusedAffine =
    Law.equation
        4
        Compositional
        "FUSED-AFFINE"
        "s·(conv(X, K) + b) + t, and its maximum with zero, in one call or one after another"
        { Law.terms
              "FUSE-1"
              "Ioffe & Szegedy 2015 (batch normalisation), folded; docs/bounds.md, lemma 13"
              "a bias that is not scaled, or dropped in the fusion; operations in the wrong order" with
            Needs = [ Forward; Fused ]
            Domain = "AnyOrder"
            Growth = fun _ -> 8.0
            Relates = false
            Beyond = Law.beyond 40 10
        }
        (fun trial ->
            let s, x, k, b = trial.Shape, trial.X, trial.K, trial.B
            let rectifies = trial.Choose(0, 0, 1) = 1
            let scale, shift = affineOf trial

            let affine =
                Approx.scaleChannels scale (trial.Conv(s, x, k, b))
                + Approx.spreadChannels (Operation.output s) shift

            trial.Fused(rectifies, s, x, k, b, scale, shift)
            =~= (if rectifies then Approx.rectify affine else affine)
            |> named "fused" "one after another")

let private modelFused =
    Law.equation
        4
        ModelBased
        "MODEL-FUSED"
        "the fused call is the definition of its epilogue: s·(conv(X, K) + b) + t, and its maximum with zero"
        { Law.terms "FUSE-1" "Ioffe & Szegedy 2015, folded; docs/bounds.md, lemma 13" "every fault of the fused path, element by element" with
            Needs = [ Forward; Fused ]
            Domain = "AnyOrder"
            Growth = fun _ -> 8.0
            Relates = false
            Beyond = Law.beyond 40 10
        }
        (fun trial ->
            let s, x, k, b = trial.Shape, trial.X, trial.K, trial.B
            let operation = Operation.Fused(trial.Choose(0, 0, 1) = 1)
            let scale, shift = affineOf trial
            let epilogue = Approx.concat 0 [ b; scale; shift ]

            trial.Apply(operation, s, x, k, Some epilogue)
            =~= trial.OracleOf(operation, s, x, k, epilogue)
            |> named "fused" "the definition")

/// MODEL-BACKWARD and TRANSPOSED on as many numbers as there is room for: what certificates of gradients and transposed convolutions are made of
/// (lemma 21), each with the choices by which it asks the operation.
let certificates =
    let exactly (law: Law) needs equations =
        Law.equations
            4
            ModelBased
            law.Id
            law.Statement
            { Law.terms law.Clause "docs/bounds.md, lemma 21" law.Detects with
                Domain = law.Domain
                Needs = needs
                Tiers = [ Exact ]
                Data = Balanced
                Relates = false
            }
            equations

    // The numbers are those that there is room for in the sums of the one operation; the choices are for whoever replays a line.
    let backward operation = exactly modelBackward [ Forward; Gradients ] (gradientOf operation >> List.singleton)

    [
        Operation.BackwardInput, backward Operation.BackwardInput, [ 0; 0; 0 ]
        Operation.BackwardKernel, backward Operation.BackwardKernel, [ 0; 0; 3 ]
        Operation.Transposed, exactly transposed [ Forward; Transposed ] transposedEquations, [ 1; 0; 0 ]
    ]

let laws =
    [
        modelBackward
        adjointInput
        backwardImpulse
        adjointKernel
        adjointBias
        transposed
        transposedAdjoint
        transposedShape
        backwardKernelAsConv
        backwardInputAsConv
        modelFused
        fusedAffine
    ]

/// Of group 7, by its number in the catalogue.
let further = [ tripleProduct ]
