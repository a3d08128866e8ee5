/// Group 5: memory, state, threads, empty and large tensors, bad calls.
module Conv.Properties.Resources

open System
open FsCheck.FSharp
open Conv

let private contract =
    "the contract of a convolution: its output is a function of its arguments, and nothing else is written"

/// The terms of a law that repeats a call elsewhere: equality on the exact tier; on reals bits, which only a deterministic subject owes.
let private repeated clause detects =
    { Law.terms clause contract detects with
        Domain = "any arithmetic; on reals where determinism is declared"
        Relates = false
    }

let private placed clause detects = { repeated clause detects with Needs = [ Forward; Placed ] }

/// What a law may ask of two calls with the same arguments, in this tier.
let private same (trial: Trial) =
    if trial.Tier = Bounded && not trial.Profile.Traits.Deterministic then
        Judge.inapplicable "determinism is not declared"

    (===)

/// The plain call, and the same arguments laid in memory as told.
let private laid (trial: Trial) (placements: (string * Placement) list) =
    let s, x, k, b = trial.Shape, trial.X, trial.K, trial.B
    let same = same trial
    let bias = if trial.Choose(0, 0, 2) = 0 then None else Some b
    let plain = trial.ConvBits(s, x, k, bias)

    [
        for name, placement in placements ->
            same (trial.Placed(placement, s, x, k, bias)) plain
            |> named name "the plain call"
    ]

/// As laid, where there is a workspace.
let private laidWithWorkspace trial placements =
    let equations = laid trial placements

    if not trial.Planning && trial.WorkspaceBytes = 0L then
        Judge.inapplicable "it takes no workspace"

    equations

let private inputsUntouched =
    Law.equations
        5
        Resource
        "INPUTS-UNTOUCHED"
        "input, kernel and bias hold the same bits after the call"
        (placed "RES-1" "padding or packing in place, weights transformed in place")
        (fun trial -> laid trial [ "with its operands compared", Placement.plain ])

let private outputOverwritten =
    Law.equations
        5
        Resource
        "OUTPUT-OVERWRITTEN"
        "the result does not depend on what the output held"
        (placed "RES-2" "sums added to an output that was not cleared, borders or tails that are not written")
        (fun trial ->
            [ "NaN", nanf; "zeros", 0f; "1e30", 1e30f ]
            |> List.map (fun (name, holds) -> $"an output full of {name}", { Placement.plain with OutputHolds = holds })
            |> laid trial)

let private workspacePoison =
    Law.equations
        5
        Resource
        "WORKSPACE-POISON"
        "the result does not depend on what the workspace held"
        { placed "RES-3" "stale borders in im2col, lanes of a tail that were never written" with
            Needs = [ Forward; Placed; Workspace ]
        }
        (fun trial ->
            [ "NaN", nanf; "3e8", 3e8f ]
            |> List.map (fun (name, holds) -> $"a workspace full of {name}", { Placement.plain with WorkspaceHolds = holds })
            |> laidWithWorkspace trial)

let private guardZones =
    Law.equations
        5
        Resource
        "GUARD-ZONES"
        "what stands around the tensors neither enters the result nor is changed, wherever they start"
        (placed "RES-4" "reads beyond a tensor, also where they are multiplied by zero; writes beyond the output")
        (fun trial ->
            [
                for name, guard in [ "NaN", nanf; "1e30", 1e30f ] ->
                    $"between zones of {name}", { Placement.plain with Guard = guard; Misalign = trial.Choose(1, 0, 15) }
            ]
            |> laid trial)

let private workspaceSize =
    Law.equations
        5
        Resource
        "WORKSPACE-SIZE"
        "a workspace of exactly the advertised size is enough, and nothing beside it is touched"
        { placed "RES-3" "formulas of the workspace's size" with
            Needs = [ Forward; Placed; Workspace ]
        }
        (fun trial ->
            laidWithWorkspace
                trial
                [
                    "a workspace of the advertised size",
                    { Placement.plain with
                        Guard = -3e8f
                        WorkspaceHolds = 1e30f
                        Misalign = trial.Choose(1, 0, 3)
                    }
                ])

let private inPlace =
    Law.equations
        5
        Resource
        "IN-PLACE"
        "where it is allowed, an output that is written over the input is the one beside it"
        { placed "RES-5" "inputs that are read after their place was written" with
            Strength = Should
            Needs = [ Forward; Placed; InPlace ]
            Project =
                fun s ->
                    let c = max 1 (min s.InChannels s.OutChannels)
                    ValueSome(ConvShape(s.Batch, c, s.InHeight, s.InWidth, c, 1, 1, groups = c))
        }
        (fun trial ->
            if not (trial.Profile.TakesInPlace trial.Shape) then
                Judge.inapplicable "the shape is none that it takes in place"

            laid trial [ "over the input", { Placement.plain with InPlace = true } ])

let private threadCount =
    Law.equations
        5
        Resource
        "THREAD-COUNT"
        "the result does not depend on the number of threads"
        { placed "RES-6" "shared scratch, a remainder that no thread computes, more threads than work, unsynchronised sums" with
            Needs = [ Forward; Placed; Threads ]
        }
        (fun trial ->
            laid
                trial
                [
                    for threads in [ 1; 2; 3; 7; 64 ] -> $"{threads} threads", { Placement.plain with Threads = threads }
                ])

/// The shape with one of stride, dilation, pads and groups changed, its tensors as large as before if that can be.
let private neighbour (trial: Trial) =
    let s = trial.Shape

    let candidates =
        [
            fun () -> s.With(strideHeight = s.StrideHeight + 1)
            fun () -> s.With(strideWidth = max 1 (s.StrideWidth - 1))
            fun () -> s.With(dilationHeight = s.DilationHeight + 1)
            fun () -> s.With(dilationWidth = max 1 (s.DilationWidth - 1))
            fun () -> s.With(padTop = s.PadTop + 1, padBottom = max 0 (s.PadBottom - 1))
            fun () -> s.With(padLeft = max 0 (s.PadLeft - 1), padRight = s.PadRight + 1)
            fun () -> s.With(padTop = s.PadBottom, padBottom = s.PadTop)
            fun () ->
                if s.Groups > 1 then
                    s.With(groups = 1, inChannels = s.InChannelsPerGroup)
                else
                    s.With(groups = 2, inChannels = 2 * s.InChannels, outChannels = 2 * s.OutChannels)
        ]

    let tryOne at =
        try
            let shape = candidates[at % candidates.Length]()
            if trial.Profile.Supports shape then Some shape else None
        with :? ArgumentException ->
            None

    let first = trial.Choose(0, 0, candidates.Length)
    // The last choice: the same shape, other weights.
    if first = candidates.Length then s else tryOne first |> Option.defaultValue s

let private stateless =
    Law.equations
        5
        Resource
        "STATELESS"
        "A, then B with other weights and one option changed, then A again: each is what it is alone"
        { Law.terms
              "RES-7"
              contract
              "caches whose key leaves out dilation, pads, groups or the weights' values; buffers stale from the call before" with
            Relates = false
        }
        (fun trial ->
            let s, x, k, b = trial.Shape, trial.X, trial.K, trial.B
            let s2 = neighbour trial
            let x2 = trial.Draw(Role.Input2, Operation.input s2)
            let k2 = trial.Draw(Role.Kernel2, Operation.kernel s2)
            let b2 = trial.Draw(Role.Bias, (s2.OutChannels, 1, 1, 1)) |> (~-)
            let first = trial.ConvAgain(s, x, k, Some b)
            let other = trial.ConvAgain(s2, x2, k2, Some b2)
            let again = trial.ConvAgain(s, x, k, Some b)
            // Without a bias, where one was given before.
            let bare = trial.ConvAgain(s, x, k, None)

            [
                again
                |> (if trial.Profile.Traits.Deterministic then (===) else (=~=)) first
                |> named "A" "A after B"
                other =~= trial.Oracle(s2, x2, k2, b2) |> named "B after A" "B alone"
                first =~= trial.Oracle(s, x, k, b) |> named "A" "A alone"
                bare =~= trial.Oracle(s, x, k) |> named "A without bias" "A without bias alone"
            ])

let private repeatable =
    Law.equations
        7
        Resource
        "REPEATABLE"
        "the same call gives the same result, again and again, also from weights that were prepared once"
        (repeated "RES-8" "races, memory that was never written")
        (fun trial ->
            let s, x, k, b = trial.Shape, trial.X, trial.K, trial.B
            let same = same trial
            let first = trial.ConvBits(s, x, k, Some b)

            let prepared =
                if trial.Planning then
                    fun x -> x
                else
                    trial.Subject.Prepare s (Array.map float32 k.Value.Data) (Array.map float32 b.Value.Data)

            [
                for at in 1..3 ->
                    let again =
                        if at < 3 then
                            trial.ConvBits(s, x, k, Some b)
                        else
                            // Twice from the same weights, another input between.
                            trial.ConvBy(
                                (fun _ x _ _ ->
                                    let result = prepared x
                                    prepared (Array.map (~-) x) |> ignore<float32[]>
                                    let again = prepared x

                                    if Array.forall2 (=) result again then
                                        again
                                    else
                                        Array.map (fun _ -> nanf) again),
                                s,
                                x,
                                k,
                                Some b
                            )

                    same again first |> named $"repeated, {at}" "the first time"
            ])

/// Calls of each caller.
let private calls = 2

let private concurrentCallers =
    Law.equations
        5
        Resource
        "CONCURRENT-CALLERS"
        "several callers at once, with one prepared convolution and with their own, each get their own result"
        { repeated "RES-9" "static buffers, a workspace that callers share" with
            Needs = [ Forward; Concurrent ]
        }
        (fun trial ->
            let s, x, k, b = trial.Shape, trial.X, trial.K, trial.B
            let same = same trial
            let crew = Crew.Own
            // Each caller has its own input: the drawn one, its negative, the second one, and its negative.
            let inputs = [| x; -x; trial.X2; -trial.X2 |]
            let alone = inputs |> Array.map (fun x -> trial.ConvBits(s, x, k, Some b))

            let together =
                if trial.Planning then
                    alone |> Array.map _.Value.Data
                else
                    let single (a: Approx) = Array.map float32 a.Value.Data
                    let k, b = single k, single b
                    let shared = trial.Subject.Prepare s k b
                    let results = Array.create crew.Size [||]
                    let inputs = Array.map single inputs

                    let call at =
                        for round in 1..calls do
                            let x = inputs[at]
                            let result = if round = 1 then shared x else trial.Subject.Forward s x k b
                            // A result that differs from round to round is wrong in one of them.
                            results[at] <-
                                if round = 1 || Array.forall2 (=) result results[at] then
                                    result
                                else
                                    Array.map (fun _ -> nanf) result

                    match crew.Run call with
                    | Some error -> raise (SubjectFault(Fault.ofException error, Call.none s))
                    | None -> results |> Array.map (Array.map float)

            [
                for at in 0 .. crew.Size - 1 ->
                    same (Approx.exact (Values.withData together[at] alone[at].Value)) alone[at]
                    |> named $"caller {at + 1}, among others" "alone"
            ])

// ---- views

/// Where the elements of a tensor may stand: a name, the elements of the memory, and the view.
let private layouts (d0: int, d1: int, d2: int, d3: int) =
    let dense = TensorView.Dense(d1, d2, d3)
    let whole = d0 * d1 * d2 * d3

    [
        "dense", whole, dense
        "channels last", whole, TensorView.ChannelsLast(d1, d2, d3)
        "behind an offset", whole + 7, TensorView(7, dense.Stride0, dense.Stride1, dense.Stride2, dense.Stride3)
        // Every second channel, and columns of a wider image.
        "sliced", 2 * d0 * d1 * d2 * (d3 + 3), TensorView(1, 2 * d1 * d2 * (d3 + 3), 2 * d2 * (d3 + 3), d3 + 3, 1)
        "rows upside down", whole, TensorView((d2 - 1) * d3, d1 * d2 * d3, d2 * d3, -d3, 1)
        "rows and columns exchanged", whole, TensorView(0, d1 * d2 * d3, d2 * d3, 1, d2)
    ]

/// A view that repeats: one channel, or one row, for all.
let private broadcasts (d0: int, d1: int, d2: int, d3: int) =
    [
        "one channel for all", d0 * d2 * d3, TensorView(0, d2 * d3, 0, d3, 1)
        "one row for all", d0 * d1 * d3, TensorView(0, d1 * d3, d3, 0, 1)
        "one image for all", d1 * d2 * d3, TensorView(0, 0, d2 * d3, d3, 1)
    ]

let private stridedViews =
    Law.equations
        5
        Resource
        "STRIDED-VIEWS"
        "the convolution through views of any strides is the one of contiguous copies, and what is not viewed stays as it was"
        { repeated "VIEW-1" "strides or offsets ignored, weights or outputs taken to be contiguous" with
            Needs = [ Forward; Views ]
        }
        (fun trial ->
            let s, b = trial.Shape, trial.B
            let same = same trial
            let pick at (choices: (string * int * TensorView) list) = choices[trial.Choose(at, 0, choices.Length - 1)]
            let xs = layouts (Operation.input s) @ broadcasts (Operation.input s)
            let inputName, inputLength, inputView = pick 0 xs
            let kernelName, kernelLength, kernelView = pick 1 (layouts (Operation.kernel s))
            let outputName, outputLength, outputView = pick 2 (layouts (Operation.output s))

            /// The memory of a view, drawn where the tensor is, and the contiguous copy.
            let memory (dense: Approx) length (view: TensorView) =
                let data = Array.create (max 1 length) nanf

                dense
                |> Approx.dims
                |> fun (d0, d1, d2, d3) ->
                    for i0 in 0 .. d0 - 1 do
                        for i1 in 0 .. d1 - 1 do
                            for i2 in 0 .. d2 - 1 do
                                for i3 in 0 .. d3 - 1 do
                                    data[view.At(i0, i1, i2, i3)] <- float32 dense.Value[i0, i1, i2, i3]

                let copy = Approx.init (Approx.dims dense) (fun i0 i1 i2 i3 -> float data[view.At(i0, i1, i2, i3)])

                data, copy

            let xMemory, x = memory trial.X inputLength inputView
            let kMemory, k = memory trial.K kernelLength kernelView
            let poison = -7.25e29f

            let run s _ _ b =
                let y = Array.create (max 1 outputLength) poison
                trial.Subject.Viewed s (struct (xMemory, inputView)) (struct (kMemory, kernelView)) b (struct (y, outputView))

                let result =
                    Values.init (Operation.output s) (fun n o i j ->
                        let at = outputView.At(n, o, i, j)
                        let value = float y[at]
                        y[at] <- poison
                        value)

                match y |> Array.filter ((<>) poison) |> Array.length with
                | 0 -> Array.map float32 result.Data
                | written -> raise (SubjectFault(Breach $"It wrote {written} floats that its output's view does not show.", Call.none s))

            [
                same (trial.ConvBy(run, s, x, k, Some b)) (trial.ConvBits(s, x, k, Some b))
                |> named $"X {inputName}, K {kernelName}, Y {outputName}" "contiguous copies"
            ])

// ---- empty, large, bad

/// The shape with no image, no input channel or no output channel.
let private emptied (s: ConvShape) =
    if s.Batch = 0 || s.InChannels = 0 || s.OutChannels = 0 then
        s
    else
        match (s.InHeight + 2 * s.InWidth + s.KernelHeight) % 3 with
        | 0 -> s.With(batch = 0)
        | 1 -> s.With(inChannels = 0)
        | _ -> s.With(outChannels = 0)

let private count value = Approx.exact (Values.ofArray (1, 1, 1, 1) [| value |])

let private empty =
    Law.equations
        5
        Postcondition
        "EMPTY"
        "no image, no input channel and no output channel are valid: the right number of outputs, and b where C = 0"
        { Law.terms "GEO-8" "the definition with an empty range" "divisions by zero, grids of no size, outputs that are not written" with
            Tiers = [ Exact ]
            Relates = false
            Project = emptied >> ValueSome
        }
        (fun trial ->
            let s = trial.Shape
            let b = trial.B
            let y = trial.Conv(s, trial.X, trial.K, b)

            [
                count (float y.Value.Length) =~= count (float s.OutputLength)
                |> named "elements" "N·O·H_o·W_o"
                y =~= Approx.spreadChannels (Operation.output s) b
                |> named "conv of nothing" "b"
            ])

let private emptyBackward =
    Law.equations
        5
        Postcondition
        "EMPTY-BACKWARD"
        "the gradients of kernel and bias over no images are zero"
        { Law.terms "ADJ-5" "the gradient with an empty range" "gradients that are not written" with
            Needs = [ Forward; Gradients ]
            Tiers = [ Exact ]
            Relates = false
            Project = fun s -> ValueSome(s.With(batch = 0))
        }
        (fun trial ->
            let s = trial.Shape
            let zeros dims = Approx.zeros dims

            [
                trial.BackwardKernel(s, trial.X, trial.Gradient) =~= zeros (Operation.kernel s)
                |> named "BackwardKernel of no images" "zeros"
                trial.BackwardBias(s, trial.Gradient) =~= zeros (s.OutChannels, 1, 1, 1)
                |> named "BackwardBias of no images" "zeros"
            ])

/// One dimension beyond 2¹⁶ while the others stay small: rows, columns, channels on both sides, images, groups.
let private large =
    [
        "c=2 h=65539 w=3 o=2 kh=3 kw=3 pt=1 pl=1 pb=1 pr=1"
        "c=2 h=3 w=65541 o=2 kh=3 kw=3 pt=1 pl=1 pb=1 pr=1"
        "c=65543 h=3 w=3 o=2 kh=3 kw=3 pt=1 pl=1 pb=1 pr=1"
        "c=2 h=3 w=3 o=65544 kh=3 kw=3"
        "n=65545 c=2 h=3 w=3 o=1 kh=3 kw=3"
        "c=65546 h=3 w=3 o=65546 kh=3 kw=3 g=65546"
        "c=2 h=65539 w=2 o=3 kh=1 kw=1"
        "c=65543 h=1 w=2 o=3 kh=1 kw=1"
        "n=65545 c=2 h=1 w=2 o=1 kh=1 kw=1"
        "c=3 h=257 w=259 o=2 kh=5 kw=4 sh=3 sw=2 dw=2 pt=3 pr=1"
    ]
    |> List.map ConvShape.Parse

let private largeIndex =
    let law =
        Law.equations
            5
            ModelBased
            "LARGE-INDEX"
            "sizes beyond 2^16 elements, rows, columns, channels, images and groups agree with the definition's checksums"
            { Law.terms "RES-10" "docs/bounds.md, lemma 11" "indices of 16 bits, limits of a grid of threads" with
                Domain = "AnyOrder; Bilinear within its certificate"
                Tiers = [ Exact ]
                Relates = false
                Project = fun s -> if List.contains s large then ValueSome s else ValueNone
            }
            (fun trial ->
                [
                    for s in large do
                        if trial.Profile.Supports s then
                            // Few channels that are not zero keep long sums, and a certificate, small; the last one is among them.
                            let live = 1 + (s.InChannels - 1) / 8

                            let x =
                                Approx.init (Operation.input s) (fun n c h w ->
                                    if s.Groups > 1 || c % live = (s.InChannels - 1) % live then
                                        float ((n + 2 * c + 3 * h + 5 * w) % 3 - 1)
                                    else
                                        0.0)

                            let k =
                                Approx.init (Operation.kernel s) (fun o c u v -> trial.KernelUnit * float ((o + c + 2 * u + v) % 3 - 1))

                            let y = trial.Conv(s, x, k)
                            let value data = Approx.exact (Values.ofArray (s.Batch, s.OutChannels, 1, 1) data)

                            value (Model.checksumsOf s y.Value.Data)
                            =~= value (Model.checksums s x.Value.Data k.Value.Data)
                            |> named $"Σ a·b·Y of {s}" "Σ K·(Σ a·b·X)"
                ])

    { law with
        Fixed = true
        Cases =
            fun profile tier ->
                let step =
                    large
                    |> List.tryFind profile.Supports
                    |> Option.map (fun s ->
                        match profile.ArithmeticOf s with
                        | :? Bilinear as b when (BilinearProgram.Of b).HasExactGrid -> (BilinearProgram.Of b).KernelStep
                        | _ -> 1)
                    |> Option.defaultValue 1

                Gen.constant
                    {
                        Law = "LARGE-INDEX"
                        Tier = tier
                        Problem = large.Head
                        Args = []
                        Fill =
                            Drawn(
                                Lattice
                                    {
                                        InputMax = 1
                                        KernelMax = 1
                                        KernelStep = step
                                        BiasMax = 1
                                        InputExponent = 0
                                        KernelExponent = 0
                                        LiveEvery = 1
                                    },
                                0UL
                            )
                    }
    }

/// Shapes that no convolution has: what is changed, to what, and the parameters that an error may name.
let private badNumbers (s: ConvShape) : (string * int list * string list) list =
    let numbers =
        [
            s.Batch
            s.InChannels
            s.InHeight
            s.InWidth
            s.OutChannels
            s.KernelHeight
            s.KernelWidth
            s.StrideHeight
            s.StrideWidth
            s.PadTop
            s.PadLeft
            s.PadBottom
            s.PadRight
            s.DilationHeight
            s.DilationWidth
            s.Groups
        ]

    let names =
        [
            "batch"
            "inChannels"
            "inHeight"
            "inWidth"
            "outChannels"
            "kernelHeight"
            "kernelWidth"
            "strideHeight"
            "strideWidth"
            "padTop"
            "padLeft"
            "padBottom"
            "padRight"
            "dilationHeight"
            "dilationWidth"
            "groups"
        ]

    let mayBeZero = set [ 0; 1; 4; 9; 10; 11; 12 ]
    // Alone it is a valid size, pads included.
    let huge = 1 <<< 30

    let changed changes =
        numbers
        |> List.mapi (fun at number ->
            changes
            |> List.tryFind (fst >> (=) at)
            |> Option.map snd
            |> Option.defaultValue number)

    [
        for at, name in List.indexed names do
            for bad in [ -1; -7; Int32.MinValue ] do
                $"{name} = {bad}", changed [ at, bad ], [ name ]

            if not (mayBeZero.Contains at) then
                $"{name} = 0", changed [ at, 0 ], [ name ]
        "channels that do not divide into groups", changed [ 15, 3; 1, 4; 4, 3 ], [ "inChannels"; "groups" ]
        "output channels that do not divide into groups", changed [ 15, 3; 1, 3; 4, 4 ], [ "outChannels"; "groups" ]
        "a kernel higher than the padded input", changed [ 5, s.InHeight + s.PadTop + s.PadBottom + 1; 13, 1 ], [ "kernelHeight" ]
        "a kernel wider than the padded input", changed [ 6, s.InWidth + s.PadLeft + s.PadRight + 1; 14, 1 ], [ "kernelWidth" ]
        "a dilation beyond the padded input",
        changed [ 5, 2; 13, s.InHeight + s.PadTop + s.PadBottom ],
        [ "kernelHeight"; "dilationHeight" ]
        "an extent beyond 32 bits", changed [ 5, 65537; 13, 65537 ], [ "kernelHeight"; "dilationHeight" ]
        "an input of more than 2^63 elements", changed [ 0, huge; 1, huge; 2, huge; 3, huge; 15, 1 ], [ "batch" ]
        "more than 2^63 multiply-adds", changed [ 0, huge; 1, huge; 4, huge; 15, 1 ], [ "batch" ]
        "pads whose sum leaves 32 bits",
        changed [ 9, Int32.MaxValue; 11, Int32.MaxValue ],
        [ "padTop"; "padBottom"; "kernelHeight"; "inHeight" ]
    ]

/// Calls with a tensor of the wrong length.
let private badLengths (subject: Subject) (s: ConvShape) =
    let lengths =
        [
            "input", s.InputLength
            "kernel", s.KernelLength
            "bias", int64 s.OutChannels
            "output", s.OutputLength
        ]

    [
        for tensor, right in lengths do
            for wrong in [ int right - 1; int right + 1; 0 ] do
                // No bias at all is a valid call.
                if wrong >= 0 && int64 wrong <> right && not (tensor = "bias" && wrong = 0) then
                    $"{wrong} elements of {tensor} for {right}", BadLength(s, tensor, wrong), [ tensor ]
    ]
    @ (let needed =
        let struct (_, traces) =
            subject.Place Placement.plain s (Array.zeroCreate (int s.InputLength)) (Array.zeroCreate (int s.KernelLength)) [||]

        traces.WorkspaceBytes

       [
           if needed > 0L then
               $"{needed - 1L} bytes of workspace for {needed}", BadLength(s, "workspace", int needed - 1), [ "workspace" ]
       ])

let private rejectsInvalid =
    Law.ofCall
        5
        "REJECTS-INVALID"
        "calls that are no convolution are refused with an ArgumentException that names the parameter, before anything is written"
        Misuse
        (Law.terms
            "GEO-8"
            contract
            "garbage for a kernel larger than its input, && for || in a check, lengths that are not checked, counts that wrap")
        (fun subject case ->
            let s = case.Problem

            let calls =
                if subject.Profile.Capabilities.Contains Forward then
                    if subject.Profile.Supports s then badLengths subject s else []
                else
                    badNumbers s
                    |> List.map (fun (what, numbers, names) -> what, BadShape numbers, names)

            let judge (trial: Trial) =
                ignore<Trial> trial

                let mutable refused = 0

                for what, call, names in calls do
                    let refusal = subject.Refuse call
                    let breach message = raise (SubjectFault(Breach message, Call.none s))

                    match refusal.Thrown with
                    | _ when refusal.Written > 0 -> breach $"Given {what}, it wrote {refusal.Written} elements of the output."
                    | None -> breach $"It takes {what}."
                    | Some(:? ArgumentException as error) ->
                        let parameter = string error.ParamName

                        let named =
                            names
                            |> List.exists (fun name -> error.Message.Contains(name, StringComparison.OrdinalIgnoreCase))

                        if not named then
                            breach $"""Refusing {what} it names "{parameter}": {error.Message.Split('\n')[0]}"""

                        refused <- refused + 1
                    | Some error ->
                        breach $"Given {what} it throws {error.GetType().Name}, no ArgumentException: {error.Message.Split('\n')[0]}"

                [
                    count (float refused) =~= count (float calls.Length)
                    |> named "calls refused" "bad calls"
                ]

            if calls.IsEmpty then
                Unsupported "the shape is not supported"
            else
                Judge.ofCase false judge subject case)

let laws =
    [
        inputsUntouched
        stateless
        outputOverwritten
        workspacePoison
        guardZones
        stridedViews
        inPlace
        threadCount
        concurrentCallers
        empty
        emptyBackward
        rejectsInvalid
        largeIndex
    ]

/// Of group 7, by their numbers in the catalogue.
let further = [ repeatable; workspaceSize ]
