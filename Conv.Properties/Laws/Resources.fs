/// Group 5, of memory: where operands, results and workspaces stand, what stands there, and the threads that work on it.
module internal Conv.Properties.Resources

open System
open Conv
open Conv.Properties.Judging

let contract =
    "the contract of a convolution: its output is a function of its arguments, and nothing else is written"

/// The terms of a law that repeats a call elsewhere: equality on the exact tier; on reals bits, which only a deterministic subject owes.
let repeated clause detects =
    { Law.terms clause contract detects with
        Domain = "any arithmetic; on reals where determinism is declared"
        Relates = false
    }

let private placed clause detects = { repeated clause detects with Needs = [ Forward; Placed ] }

/// What a law may ask of two calls with the same arguments, in this tier: bits where determinism is declared; without it numbers, on the exact
/// tier, which of whoever declares no arithmetic may differ too.
let same (trial: Trial) =
    match trial.Tier with
    | _ when trial.Profile.Traits.Deterministic -> (===)
    | Exact -> (=~=)
    | Bounded -> Judge.inapplicable "determinism is not declared"

/// An operation whose arguments are laid in memory as told.
let private placing operation (trial: Trial) =
    let s = trial.Shape
    let first, second = trial.Operands operation

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
                    ValueSome(s.With(inChannels = c, outChannels = c, groups = c).Along(fun a -> Axis(a.Size, 1)))
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

let private callingThread =
    Law.equation
        7
        Resource
        "CALLING-THREAD"
        "the result does not depend on the thread that calls"
        { Law.terms "RES-6" contract "tables, modes and scratch that are made in the thread of the first call, or once in each thread" with
            Needs = [ Forward; Placed ]
            Relates = false
            Beyond = Law.beyond 10 0
        }
        (fun trial ->
            let placed, plain = placing (anyOperation trial) trial
            // First by the thread that has called before.
            let usual = plain ()

            placed { Placement.plain with Elsewhere = true } =~= usual
            |> named "called by a new thread" "the plain call")

let laws = [ inputsUntouched; outputOverwritten; workspacePoison; guardZones; inPlace; threadCount ]

/// Of group 7, by its number in the catalogue.
let further = [ workspaceSize; callingThread ]
