/// Group 5: memory, state, threads.
module internal Conv.Properties.Resources

open System
open Conv
open Conv.Properties.Judging

let private contract =
    "the contract of a convolution: its output is a function of its arguments, and nothing else is written"

/// The terms of a law that repeats a call elsewhere: equality on the exact tier; on reals bits, which only a deterministic subject owes.
let private repeated clause detects =
    { Law.terms clause contract detects with
        Domain = "any arithmetic; on reals where determinism is declared"
        Relates = false
    }

let private placed clause detects = { repeated clause detects with Needs = [ Forward; Placed ] }

/// What a law may ask of two calls with the same arguments, in this tier: bits where determinism is declared; without it numbers, on the exact
/// tier, which of whoever declares no arithmetic may differ too.
let private same (trial: Trial) =
    match trial.Tier with
    | _ when trial.Profile.Traits.Deterministic -> (===)
    | Exact -> (=~=)
    | Bounded -> Judge.inapplicable "determinism is not declared"

/// An operation whose arguments are laid in memory as told.
let private placing operation (trial: Trial) =
    let s = trial.Shape

    let first, second =
        match operation with
        | Operation.Forward
        | Operation.Fused _ -> trial.X, trial.K
        | Operation.BackwardKernel -> trial.X, trial.Gradient
        | Operation.BackwardBias -> trial.Gradient, Approx.init (1, 1, 1, 1) (fun _ _ _ _ -> 1.0)
        | _ -> trial.Gradient, trial.K

    let bias =
        match operation with
        | Operation.Forward when trial.Choose(0, 0, 2) > 0 -> Some trial.B
        | Operation.Transposed -> Some(trial.Draw(Role.Bias, (s.InChannels, 1, 1, 1)))
        | Operation.Fused _ ->
            let ones = Approx.init (s.OutChannels, 1, 1, 1) (fun _ _ _ _ -> 1.0)
            Some(Approx.concat 0 [ trial.B; -ones; trial.B ])
        | _ -> None

    (fun placement -> trial.Placed(placement, operation, s, first, second, bias)),
    (fun () -> trial.Apply(operation, s, first, second, bias))

/// The same arguments laid in memory as told, beside a call in memory that nothing is special about. The plain call may go another way through
/// the subject (prepared weights, another order of sums): with it numbers are compared, not bits.
let private laidOf operation (trial: Trial) (placements: (string * Placement) list) =
    let same = same trial
    let placed, plain = placing operation trial
    let usual = placed Placement.plain

    [
        for name, placement in placements do
            same (placed placement) usual |> named name "memory as usual"
        usual =~= plain () |> named "memory as usual" "the plain call"
    ]

/// The forward pass, laid.
let private laid trial placements = laidOf Operation.Forward trial placements

/// One of the operations that the subject offers, every other time the forward pass.
let private anyOperation (trial: Trial) =
    let others =
        [
            Operation.BackwardInput
            Operation.BackwardKernel
            Operation.BackwardBias
            Operation.Transposed
            Operation.Fused true
        ]
        |> List.filter (fun operation -> trial.Profile.Offers(operation, trial.Shape))

    match others with
    | [] -> Operation.Forward
    | others ->
        match trial.Choose(2, 0, 2 * others.Length - 1) with
        | at when at < others.Length -> others[at]
        | _ -> Operation.Forward

let private laidAny trial placements = laidOf (anyOperation trial) trial placements

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
        (placed "RES-1" "padding or packing in place, weights transformed in place"
         |> Law.reaching 20 0)
        (fun trial -> laidAny trial [ "with its operands compared", Placement.plain ])

let private outputOverwritten =
    Law.equations
        5
        Resource
        "OUTPUT-OVERWRITTEN"
        "the result does not depend on what the output held"
        (placed "RES-2" "sums added to an output that was not cleared, borders or tails that are not written"
         |> Law.reaching 30 5)
        (fun trial ->
            [ "NaN", nanf; "zeros", 0f; "1e30", 1e30f ]
            |> List.map (fun (name, holds) -> $"an output full of {name}", { Placement.plain with OutputHolds = holds })
            |> laidAny trial)

let private workspacePoison =
    Law.equations
        5
        Resource
        "WORKSPACE-POISON"
        "the result does not depend on what the workspace held"
        { placed "RES-3" "stale borders in im2col, lanes of a tail that were never written" with
            Needs = [ Forward; Placed; Workspace ]
            Beyond = Law.beyond 20 5
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
        (placed "RES-4" "reads beyond a tensor, also where they are multiplied by zero; writes beyond the output"
         |> Law.reaching 30 5)
        (fun trial ->
            let same = same trial
            let placed, plain = placing (anyOperation trial) trial
            let elsewhere = { Placement.plain with Misalign = trial.Choose(1, 0, 15) }
            // Between zones of zeros: the order of sums may depend on where tensors start.
            let usual = placed elsewhere

            [
                for name, guard in [ "NaN", nanf; "1e30", 1e30f ] do
                    same (placed { elsewhere with Guard = guard }) usual
                    |> named $"between zones of {name}" "between zones of zeros, at the same addresses"
                if trial.Profile.Traits.SameAtAnyAddress then
                    same usual (placed Placement.plain)
                    |> named "at these addresses, by bits that change with the address" "at the usual ones"

                usual =~= plain () |> named "at these addresses" "the plain call"
            ])

let private workspaceSize =
    Law.equations
        5
        Resource
        "WORKSPACE-SIZE"
        "a workspace of exactly the advertised size is enough, nothing beside it is touched, and no more is advertised than is promised"
        { placed "RES-3" "formulas of the workspace's size, workspaces that nothing needs" with
            Needs = [ Forward; Placed; Workspace ]
            Beyond = Law.beyond 10 0
        }
        (fun trial ->
            let equations =
                laidWithWorkspace
                    trial
                    [
                        "a workspace of the advertised size",
                        { Placement.plain with
                            Guard = -3e8f
                            WorkspaceHolds = 1e30f
                            Misalign = trial.Choose(1, 0, 3)
                        }
                    ]

            match trial.Profile.WorkspaceLimit trial.Shape with
            | ValueSome limit when trial.WorkspaceBytes > limit ->
                let what =
                    $"It asks for {trial.WorkspaceBytes} bytes of workspace, and promises to ask for at most {limit}."

                raise (SubjectFault(Breach what, Call.none trial.Shape))
            | _ -> equations)

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
            Beyond = Law.beyond 10 5
        }
        (fun trial ->
            let equations =
                laid
                    trial
                    [
                        for threads in [ 1; 2; 3; 7; 64 ] -> $"{threads} threads", { Placement.plain with Threads = threads }
                    ]

            if not trial.Planning && not trial.ThreadsTaken then
                if trial.Profile.Traits.Threaded then
                    let what =
                        "It declares threads by choice, and what it prepares takes no number of threads (IThreadedConvolution)."

                    raise (SubjectFault(Breach what, Call.none trial.Shape))

                Judge.inapplicable "what it prepares takes no number of threads"

            equations)

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

/// The shape with windows that differ on tensors of the same size, or with tensors that grow or shrink.
let private resized (trial: Trial) =
    let s = trial.Shape

    let candidates =
        [
            // Windows that differ, on tensors as large as before.
            fun () -> s.With(dilationHeight = s.DilationHeight + 1, padBottom = s.PadBottom + s.KernelHeight - 1)
            fun () -> s.With(dilationWidth = s.DilationWidth + 1, padRight = s.PadRight + s.KernelWidth - 1)
            fun () -> s.With(strideHeight = s.StrideHeight + 1, padTop = s.PadTop + s.OutHeight - 1)
            // Buffers that grow and shrink.
            fun () -> s.With(batch = s.Batch + 1)
            fun () -> s.With(inHeight = s.InHeight + 2, inWidth = max s.KernelExtentWidth (s.InWidth / 2))
            fun () -> s.With(inWidth = s.InWidth + 3, inHeight = max s.KernelExtentHeight (s.InHeight / 2))
            fun () -> s.With(outChannels = s.OutChannels + s.Groups, inChannels = s.Groups * max 1 (s.InChannelsPerGroup / 2))
            fun () -> s.With(kernelHeight = s.KernelHeight + 1, padTop = s.PadTop + s.DilationHeight)
        ]

    try
        let shape = candidates[trial.Choose(2, 0, candidates.Length - 1)]()
        if trial.Profile.Supports shape then shape else s
    with :? ArgumentException ->
        s

/// Either.
let private another (trial: Trial) = if trial.Choose(2, 0, 1) = 0 then neighbour trial else resized trial

/// The tensor with the sign of one element changed; a zero becomes the number of another place.
let private negated (trial: Trial) i (a: Approx) =
    let data = Array.copy a.Value.Data

    if data.Length > 0 then
        let at = trial.Choose(i, 0, data.Length - 1)

        data[at] <-
            if data[at] <> 0.0 then
                -data[at]
            else
                Array.tryFind ((<>) 0.0) data |> Option.defaultValue 0.0

    { a with Value = Values.withData data a.Value }

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
            Beyond = Law.beyond 20 2
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
            let otherBare = trial.ConvAgain(s2, x2, k2, None)
            let s3 = resized trial
            let x4, k4 = trial.Draw(Role.Input2, Operation.input s3), trial.Draw(Role.Kernel2, Operation.kernel s3)
            let b4 = trial.Draw(Role.Bias, (s3.OutChannels, 1, 1, 1))
            // One number changed where it stands: a few samples do not tell.
            let x3, k3 = negated trial 1 x, negated trial 2 k

            [
                again
                |> (if trial.Profile.Traits.Deterministic then (===) else (=~=)) first
                |> named "A" "A after B"
                other =~= trial.Oracle(s2, x2, k2, b2) |> named "B after A" "B alone"
                first =~= trial.Oracle(s, x, k, b) |> named "A" "A alone"
                bare =~= trial.Oracle(s, x, k) |> named "A without bias" "A without bias alone"
                otherBare =~= trial.Oracle(s2, x2, k2)
                |> named "B without bias after A" "B without bias alone"
                trial.ConvAgain(s, x, k, Some b) =~= first |> named "A after B without bias" "A"
                // Of another size, or with other windows on the same.
                trial.ConvAgain(s3, x4, k4, Some b4) =~= trial.Oracle(s3, x4, k4, b4)
                |> named "C after A" "C alone"
                trial.ConvAgain(s, x, k, Some b) =~= first |> named "A after C" "A"
                trial.ConvAgain(s, x3, k, Some b) =~= trial.Oracle(s, x3, k, b)
                |> named "A, one input changed" "that alone"
                trial.ConvAgain(s, x3, k3, Some b) =~= trial.Oracle(s, x3, k3, b)
                |> named "A, one weight changed" "that alone"
            ])

/// Operations of one subject take turns on the same memory.
let private statelessOperations =
    Law.equations
        5
        Resource
        "STATELESS-BACKWARD"
        "forward and backward passes in turns, on memory whose numbers change in between: each is what it is alone"
        { Law.terms
              "RES-7"
              contract
              "patches or packed weights that the forward pass keeps for the gradients, scratch that is stale from another shape" with
            Needs = [ Forward; Gradients ]
            Domain = "AnyOrder"
            Relates = false
            Beyond = Law.beyond 16 2
        }
        (fun trial ->
            let s, x, k, dy = trial.Shape, trial.X, trial.K, trial.Gradient
            let s2 = another trial
            let x2, k2 = trial.X2, trial.K2
            let other role = trial.Draw(role, (if role = Role.Input2 then Operation.input s2 else Operation.kernel s2))
            let dy2 = trial.Draw(Role.Gradient, Operation.output s2) |> (~-)

            let is operation s first second name =
                trial.ApplyAgain(operation, s, first, second, None)
                =~= trial.OracleOf(operation, s, first, second)
                |> named $"{Operation.title operation} {name}" "that alone"

            [
                is Operation.Forward s x k "first"
                is Operation.BackwardKernel s x2 dy "after a forward pass on what stood there before"
                is Operation.BackwardInput s dy k2 "after a forward pass with the weights that stood there before"
                is Operation.Forward s2 (other Role.Input2) (other Role.Kernel2) "of another shape"
                is Operation.BackwardKernel s2 (other Role.Input2) dy2 "of another shape"
                is Operation.BackwardInput s2 dy2 (other Role.Kernel2) "of another shape"
                is Operation.BackwardKernel s x dy "of the first shape"
                is Operation.BackwardInput s -dy k "of the first shape"

                if trial.Profile.Offers(Operation.Transposed, s) then
                    is Operation.Transposed s dy k2 "after gradients"

                    if trial.Profile.Offers(Operation.Transposed, s2) then
                        is Operation.Transposed s2 dy2 (other Role.Kernel2) "of another shape"
                        is Operation.Transposed s dy k "of the first shape"
            ])

let private repeatable =
    Law.equations
        7
        Resource
        "REPEATABLE"
        "the same call gives the same result, again and again, also from weights that were prepared once"
        (repeated "RES-8" "races, memory that was never written" |> Law.reaching 20 5)
        (fun trial ->
            let s, x, k, b = trial.Shape, trial.X, trial.K, trial.B
            let same = same trial
            let first = trial.Conv(s, x, k, b)
            let prepared = trial.Prepare(s, k, Some b)
            let run x = trial.RunOf(prepared, s, x, k, Some b)
            let once = run x
            run -x |> ignore<Approx>

            [
                for at in 1..2 do
                    same (trial.ConvBits(s, x, k, Some b)) first
                    |> named $"repeated, {at}" "the first time"
                same (run x) once
                |> named "from the same weights, after another input" "from weights that were prepared once"
                // Prepared weights may be summed in another order.
                once =~= first
                |> named "from weights that were prepared once" "the call with its weights"
            ])

let private concurrentCallers =
    Law.equations
        5
        Resource
        "CONCURRENT-CALLERS"
        "several callers at once, with one prepared convolution from its first run on, and with their own, each get their own result"
        { repeated "RES-9" "static buffers, a workspace that callers share, weights that the first runs pack at the same time" with
            Needs = [ Forward; Concurrent ]
            Beyond = Law.beyond 20 5
        }
        (fun trial ->
            let s, x, k, b = trial.Shape, trial.X, trial.K, trial.B
            let same = same trial
            // Each caller has its own input: the drawn one, its negative, the second one, and its negative.
            let inputs = [ x; -x; trial.X2; -trial.X2 ]
            let shared = trial.Prepare(s, k, Some b)

            /// From the weights that all share; and, in this process, each with weights of its own: perhaps two ways through the subject.
            let ways =
                [
                    "from shared weights", shared
                    if trial.Subject.Foreign.IsNone then
                        "each with its weights",
                        PreparedRuns.ofCalls trial.Subject.Forward s (Values.toSingle k.Value.Data) (Values.toSingle b.Value.Data)
                ]

            [
                for way, made in ways do
                    let together = trial.TogetherOf(made, s, inputs, k, Some b)
                    let alone = inputs |> List.map (fun x -> trial.RunOf(made, s, x, k, Some b))

                    for at in 0 .. inputs.Length - 1 do
                        same together[at] alone[at]
                        |> named $"caller {at + 1}, {way}, among others" "alone"

                    // Weights that were packed wrongly give the same to everybody.
                    alone.Head =~= trial.Oracle(s, x, k, b)
                    |> named $"caller 1, {way}, alone" "the definition"
            ])

let private batchInvariant =
    Law.equations
        5
        Resource
        "BATCH-INVARIANT"
        "where it is promised, the bits of an image's result are the same alone, in a batch, and among other images"
        { Law.terms "RES-13" contract "blocks over several images, reductions that are split by the size of the batch" with
            Domain = "any arithmetic that promises it"
            Relates = false
            Beyond = Law.beyond 20 5
            Project = fun s -> ValueSome(if s.Batch > 1 then s else s.With(batch = 3))
        }
        (fun trial ->
            let s, x, k, b = trial.Shape, trial.X, trial.K, trial.B

            if not (trial.Profile.Traits.Deterministic && trial.Profile.Traits.BatchInvariant) then
                Judge.inapplicable "the same bits in any batch are not promised"

            let at = trial.Choose(0, 0, s.Batch - 1)
            let one, fewer = s.With(batch = 1), s.With(batch = s.Batch - 1)
            let image = x |> Approx.images at 1
            let together = trial.ConvBits(s, x, k, Some b) |> Approx.images at 1

            let others =
                x
                |> Approx.permute 0 fewer.Batch (fun n ->
                    if n = 0 then at
                    elif n <= at then n - 1
                    else n)

            [
                together === trial.ConvBits(one, image, k, Some b)
                |> named $"image {at} of {s.Batch}" "alone"
                (trial.ConvBits(fewer, others, k, Some b) |> Approx.images 0 1) === together
                |> named $"the first of {fewer.Batch}" $"image {at} of {s.Batch}"
            ])

/// Runs of one prepared convolution, with other inputs.
let private runs = 25

let private preparedLife =
    Law.equations
        5
        Resource
        "PREPARED-LIFE"
        "what is prepared does not know of what else is prepared, run or released, nor how often it has run"
        { Law.terms
              "RES-12"
              contract
              "packed weights in one arena, memory of a released object that is used again with what it held, plans that change from run to run" with
            Needs = [ Forward; Workspace ]
            Relates = false
            Beyond = Law.beyond 16 2
        }
        (fun trial ->
            let s, x, k, b = trial.Shape, trial.X, trial.K, trial.B
            let s2 = another trial
            let x2, k2 = trial.Draw(Role.Input2, Operation.input s2), trial.Draw(Role.Kernel2, Operation.kernel s2)
            let b2 = trial.Draw(Role.Bias, (s2.OutChannels, 1, 1, 1)) |> (~-)

            let is made (s: ConvShape) x k b name =
                trial.RunOf(made, s, x, k, b)
                =~= trial.OracleOf(Operation.Forward, s, x, k, ?bias = b)
                |> named name "the definition"

            if trial.Choose(1, 0, 4) = 0 then
                let made = trial.Prepare(s, k, Some b)

                for _ in 2 .. runs - 1 do
                    trial.RunOf(made, s, trial.X2, k, Some b) |> ignore<Approx>

                [ is made s x k (Some b) $"run {runs} of one" ]
            else
                let first = trial.Prepare(s, k, Some b)
                let second = trial.Prepare(s2, k2, Some b2)

                [
                    is first s x k (Some b) "the first of two"
                    is second s2 x2 k2 (Some b2) "the second of two"
                    trial.Release first
                    // As large as the first was, and without a bias.
                    let third = trial.Prepare(s, -k, None)
                    is second s2 x2 k2 (Some b2) "the second, when the first is released and another prepared"
                    is third s x -k None "the third, without a bias, after one with"
                    let fourth = trial.Prepare(s, k, Some b)
                    is fourth s x k (Some b) "the fourth, like the first"
                    is second s2 x2 k2 (Some b2) "the second, after the fourth"
                    trial.Release second
                    is third s x -k None "the third, after the release of the second"
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
        "columns from right to left", whole, TensorView(d3 - 1, d1 * d2 * d3, d2 * d3, d3, -1)
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
            Beyond = Law.beyond 40 10
        }
        (fun trial ->
            let s, b = trial.Shape, trial.B

            if not (trial.Profile.TakesViews s) then
                raise Declined

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

let laws =
    [
        inputsUntouched
        stateless
        statelessOperations
        outputOverwritten
        workspacePoison
        guardZones
        stridedViews
        inPlace
        threadCount
        concurrentCallers
        preparedLife
        batchInvariant
    ]

/// Of group 7, by their numbers in the catalogue.
let further = [ repeatable; workspaceSize ]
