/// Group 5, of state: what was called before, what else is prepared, and who else calls.
module internal Conv.Properties.State

open System
open Conv
open Conv.Properties.Judging
open Conv.Properties.Resources

/// The shape with other rows, or other columns, when it is asked for: it may be none.
let private rows (s: ConvShape) (change: Axis -> Axis) () = s |> Axes.replace 0 (change s.Rows)

let private columns (s: ConvShape) (change: Axis -> Axis) () = s |> Axes.replace 1 (change s.Columns)

/// The shape with one of stride, dilation, pads and groups changed, its tensors as large as before if that can be.
let private neighbour (trial: Trial) =
    let s = trial.Shape

    let candidates =
        [
            rows s (fun a -> a.With(stride = a.Stride + 1))
            columns s (fun a -> a.With(stride = max 1 (a.Stride - 1)))
            rows s (fun a -> a.With(dilation = a.Dilation + 1))
            columns s (fun a -> a.With(dilation = max 1 (a.Dilation - 1)))
            rows s (fun a -> a.With(before = a.Before + 1, after = max 0 (a.After - 1)))
            columns s (fun a -> a.With(before = max 0 (a.Before - 1), after = a.After + 1))
            rows s (fun a -> a.With(before = a.After, after = a.Before))
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
    let longer (more: int) (a: Axis) = a.With(size = a.Size + more)
    let halved (a: Axis) = a.With(size = max a.Extent (a.Size / 2))

    let candidates =
        [
            // Windows that differ, on tensors as large as before.
            rows s (fun a -> a.With(dilation = a.Dilation + 1, after = a.After + a.Taps - 1))
            columns s (fun a -> a.With(dilation = a.Dilation + 1, after = a.After + a.Taps - 1))
            rows s (fun a -> a.With(stride = a.Stride + 1, before = a.Before + a.Outputs - 1))
            // Buffers that grow and shrink.
            fun () -> s.With(batch = s.Batch + 1)
            fun () -> s.WithAxes [| longer 2 s.Rows; halved s.Columns |]
            fun () -> s.WithAxes [| halved s.Rows; longer 3 s.Columns |]
            fun () -> s.With(outChannels = s.OutChannels + s.Groups, inChannels = s.Groups * max 1 (s.InChannelsPerGroup / 2))
            rows s (fun a -> a.With(taps = a.Taps + 1, before = a.Before + a.Dilation))
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

/// After so many calls of a shape, or runs of one prepared convolution, what is tuned has been tuned.
let private runs = 25

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
            // What is tuned after some calls of a shape may sum in another order.
            let times = if trial.Choose(1, 0, 5) = 0 then runs else 2

            [
                for at in 1..times do
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

            /// From the weights that all share, and from weights of each caller's own: of a library prepared for it, in this process brought
            /// with the call, perhaps another way through the subject.
            let ways =
                if trial.Subject.Foreign.IsSome then
                    [ shared, [ "from shared weights", shared.Together; "each with its weights", shared.Apart ] ]
                else
                    let own =
                        PreparedRuns.ofCalls trial.Subject.Forward s (Values.toSingle k.Value.Data) (Values.toSingle b.Value.Data)

                    [
                        shared, [ "from shared weights", shared.Together ]
                        own, [ "each with its weights", own.Together ]
                    ]

            [
                for made, ways in ways do
                    let together = [ for name, way in ways -> name, trial.AtOnce(way, s, inputs, k, Some b) ]
                    let alone = inputs |> List.map (fun x -> trial.RunOf(made, s, x, k, Some b))

                    for way, together in together do
                        for at in 0 .. inputs.Length - 1 do
                            same together[at] alone[at]
                            |> named $"caller {at + 1}, {way}, among others" "alone"

                    // Weights that were packed wrongly give the same to everybody.
                    if trial.Tier = Exact then
                        alone.Head =~= trial.Oracle(s, x, k, b)
                        |> named $"caller 1, {fst ways.Head}, alone" "the definition"
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

            // In planning its problems are told all the same: no other draw would be promised more.
            if
                not (
                    trial.Planning
                    || trial.Profile.Traits.Deterministic && trial.Profile.Traits.BatchInvariant
                )
            then
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

/// What a prepared convolution says of an input is the definition's.
let private runIs (trial: Trial) (made: PreparedRuns) (s: ConvShape) x k b name =
    trial.RunOf(made, s, x, k, b)
    =~= trial.OracleOf(Operation.Forward, s, x, k, ?bias = b)
    |> named name "the definition"

/// One that has run often.
let private ranOften (trial: Trial) =
    let s, k, b = trial.Shape, trial.K, Some trial.B
    let made = trial.Prepare(s, k, b)

    for _ in 2 .. runs - 1 do
        trial.RunOf(made, s, trial.X2, k, b) |> ignore<Approx>

    [ runIs trial made s trial.X k b $"run {runs} of one" ]

/// Many that live at once, each with signs of its own.
let private manyAtOnce (trial: Trial) =
    let s, x, k = trial.Shape, trial.X, trial.K

    let signed i (a: Approx) =
        let data =
            a.Value.Data
            |> Array.mapi (fun at v -> if Fill.mix (uint64 (31 * at + i)) % 2UL = 0UL then v else -v)

        Approx.exact (Values.withData data a.Value)

    let count = [| 6; 10; 18 |][trial.Choose(0, 0, 2)]
    let made = Array.init count (fun i -> trial.Prepare(s, signed i k, Some(signed i trial.B)))

    [
        for i in List.distinct [ 0; 1; count / 2; count - 1 ] do
            runIs trial made[i] s x (signed i k) (Some(signed i trial.B)) $"number {i + 1} of {count} that are prepared"
        trial.Release made[0]
        // Before more are released than a pool of them holds.
        let next = trial.Prepare(s, -k, None)
        runIs trial next s x -k None "one without a bias, when the first is released"
        Array.tail made |> Array.iter trial.Release
    ]

/// Two, and those that come after either is released.
let private twoLives (trial: Trial) =
    let s, x, k, b = trial.Shape, trial.X, trial.K, trial.B
    let s2 = another trial
    let x2, k2 = trial.Draw(Role.Input2, Operation.input s2), trial.Draw(Role.Kernel2, Operation.kernel s2)
    let b2 = trial.Draw(Role.Bias, (s2.OutChannels, 1, 1, 1)) |> (~-)
    let is = runIs trial
    let first = trial.Prepare(s, k, Some b)
    // With the weights of the first: what they have in common is not one's to change or to release.
    let alike () = trial.Prepare(s, k, Some -b), trial.Prepare(s, k, Some b)
    let early = if trial.Choose(0, 0, 1) = 0 then Some(alike ()) else None
    let second = trial.Prepare(s2, k2, Some b2)

    [
        is first s x k (Some b) "the first of two"
        is second s2 x2 k2 (Some b2) "the second of two"
        is first s x k (Some b) "the first, after the second"
        is first s (negated trial 2 x) k (Some b) "the first, one number of its input changed where it stands"
        let twin, like = early |> Option.defaultWith alike
        is twin s x k (Some -b) "the weights of the first, with another bias"
        trial.Release first
        // As large as the first was, and without a bias.
        let third = trial.Prepare(s, -k, None)
        is second s2 x2 k2 (Some b2) "the second, when the first is released and another prepared"
        is third s x -k None "the third, without a bias, after one with"
        is like s x k (Some b) "one like the first, when that is released and another prepared"
        let fourth = trial.Prepare(s, k, Some b)
        is fourth s x k (Some b) "the fourth, like the first"
        is second s2 x2 k2 (Some b2) "the second, after the fourth"
        trial.Release second
        is third s x -k None "the third, after the release of the second"
    ]

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
            Needs = [ Forward; Prepares ]
            Relates = false
            Beyond = Law.beyond 16 2
        }
        (fun trial ->
            match trial.Choose(1, 0, 4) with
            | 0 -> ranOften trial
            | 4 -> manyAtOnce trial
            | _ -> twoLives trial)

/// Threads that a process is granted: more than a small problem has rows, as many as divide few sizes, and one.
let private granted = [| 16; 3; 1 |]

let private threadSettings =
    let threads (trial: Trial) = granted[trial.Choose(2, 0, granted.Length - 1)]

    let law =
        Law.equations
            5
            Resource
            "THREAD-SETTINGS"
            "under 1, 3 and 16 threads that its environment grants, a subject computes the definition"
            { Law.terms
                  "RES-6"
                  contract
                  "rows or channels left over when they are shared among threads, scratch for as many threads as the author's machine has" with
                Needs = [ Forward; ThreadSettings ]
                Tiers = [ Exact ]
                Relates = false
                Beyond = Law.beyond 30 4
            }
            (fun trial ->
                let s, x, k, b = trial.Shape, trial.X, trial.K, trial.B
                let under = $"with {threads trial} threads"

                [
                    trial.Conv(s, x, k, b) =~= trial.Oracle(s, x, k, b)
                    |> named $"forward {under}" "the definition"

                    for operation in [ Operation.BackwardInput; Operation.BackwardKernel; Operation.BackwardBias; Operation.Transposed ] do
                        if trial.Profile.Offers(operation, s) then
                            let first, second = trial.Operands operation

                            trial.ApplyAgain(operation, s, first, second, None)
                            =~= trial.OracleOf(operation, s, first, second)
                            |> named $"{Operation.title operation} {under}" "the definition"
                ])

    { law with
        Judge =
            fun subject case ->
                use trial = new Trial(subject, case, true)
                law.Judge (subject.Granted(threads trial)) case
    }

let laws =
    [
        Law.afresh stateless
        Law.afresh statelessOperations
        concurrentCallers
        Law.afresh preparedLife
        batchInvariant
        threadSettings
    ]

/// Of group 7, by its number in the catalogue.
let further = [ repeatable ]
