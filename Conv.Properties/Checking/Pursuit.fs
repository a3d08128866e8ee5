/// Failures that a fresh process, or a fresh instance, does not repeat: they depend on what was asked before. What was asked is replayed, and
/// reduced until the few cases are left that it takes.
module internal Conv.Properties.Pursuit

open System
open System.Collections.Generic
open System.Diagnostics
open System.Runtime.CompilerServices
open System.Threading

/// What a thread has asked of each subject since its process or instance was fresh, in order.
let private asked =
    new ThreadLocal<ConditionalWeakTable<Subject, List<struct (Law * Case)>>>(fun () -> ConditionalWeakTable())

let private askedOf (subject: Subject) = asked.Value.GetOrCreateValue subject

/// Whether the subject can begin anew.
let hasBeginnings (subject: Subject) = subject.Foreign.IsSome || subject.Fresh.IsSome

/// Lets the next call be the first, where the subject can have more than one beginning.
let renew (subject: Subject) =
    (askedOf subject).Clear()
    subject.Foreign |> Option.iter _.Renew()
    subject.Fresh |> Option.iter (fun renew -> renew ())

/// Notes what is asked.
let note (law: Law) (subject: Subject) case =
    if hasBeginnings subject then
        (askedOf subject).Add(struct (law, case))

/// What was asked before the last case.
let private before (subject: Subject) : struct (Law * Case)[] =
    let cases = askedOf subject
    if cases.Count = 0 then [||] else cases.GetRange(0, cases.Count - 1).ToArray()

/// Whether a verdict is a failure.
let isFailure verdict =
    match verdict with
    | Breaks _
    | Faulted _ -> true
    | _ -> false

/// The verdict on a case after others, from the beginning.
let private judgeAfter (earlier: struct (Law * Case)[]) (law: Law) (subject: Subject) case =
    renew subject

    for struct (other, earlier) in earlier do
        other.Judge subject earlier |> ignore<Verdict>

    law.Judge subject case

/// Asks cases one after the other, whatever comes of them.
let judgeAll (cases: Case list) (subject: Subject) =
    for case in cases do
        All.tryFind case.Law
        |> Option.iter (fun law -> law.Judge subject case |> ignore<Verdict>)

/// What came of it.
type private Pursued =
    /// It fails after these cases.
    | Repeats of Verdict * earlier: Case list
    /// It did not fail again in so many tries.
    | Eludes of tries: int

/// How long a failure is pursued.
let private patience = TimeSpan.FromSeconds 25.0

/// Tries of the whole history.
let private tries = 3

/// Replays what was asked before: the last case, the last two, the last four …; then as few as it takes of the first that repeat it.
let private pursue (earlier: struct (Law * Case)[]) (law: Law) (subject: Subject) case : Pursued =
    let clock = Stopwatch.StartNew()
    let hasTime () = clock.Elapsed < patience

    let fails cases =
        let verdict = judgeAfter cases law subject case
        if isFailure verdict then Some verdict else None

    /// The shortest end of the history that repeats it, by doubling.
    let rec ending count =
        let cases = Array.skip (max 0 (earlier.Length - count)) earlier

        match fails cases with
        | Some verdict -> Some(verdict, cases)
        | None when count < earlier.Length && hasTime () -> ending (2 * count)
        | None -> None

    /// Without stretches of it, long ones first.
    let rec reduce verdict (cases: struct (Law * Case)[]) length =
        if length = 0 || not (hasTime ()) then
            verdict, cases
        else
            let mutable verdict, cases = verdict, cases
            let mutable start = 0

            while start < cases.Length && hasTime () do
                let fewer =
                    Array.append (Array.truncate start cases) (Array.skip (min cases.Length (start + length)) cases)

                match fails fewer with
                | Some again ->
                    verdict <- again
                    cases <- fewer
                | None -> start <- start + length

            reduce verdict cases (length / 2)

    let rec attempt at =
        match ending 1 with
        | Some(verdict, cases) ->
            let verdict, cases = reduce verdict cases (cases.Length / 2)
            Repeats(verdict, [ for struct (_, case) in cases -> case ])
        | None when at < tries && hasTime () -> attempt (at + 1)
        | None -> Eludes at

    if earlier.Length = 0 then Eludes 1 else attempt 1

/// Why a case says nothing whose failure did not repeat in a fresh process, or on a fresh instance.
let unrepeated = "it failed, but not again "

/// A failure, with what must be asked before it, and how often it was looked for where it did not come again.
[<NoEquality; NoComparison>]
type Confirmed = { Verdict: Verdict; Earlier: Case list; Eluded: int }

/// A failure must repeat in a fresh process, or on a fresh instance, to which no earlier call has done damage; or after what was asked before it.
/// Memory that grows from call to call shows only in the old one.
let confirm (law: Law) (subject: Subject) case verdict : Confirmed =
    let settled verdict = { Verdict = verdict; Earlier = []; Eluded = 0 }

    match verdict with
    | Faulted(Foreign(Trouble.Greedy, _), _) -> settled verdict
    | _ when isFailure verdict && hasBeginnings subject ->
        let earlier = before subject
        renew subject

        match law.Judge subject case with
        | again when isFailure again -> settled again
        | _ ->
            match subject.Foreign |> Option.bind _.Linger() with
            | Some(trouble, text) -> settled (Faulted(Foreign(trouble, $"a moment after the call, {text}"), Call.none case.Problem))
            | None ->
                let where = if subject.Foreign.IsSome then "in a fresh process" else "on a fresh instance"

                match pursue earlier law subject case, verdict with
                | Repeats(again, cases), _ -> { Verdict = again; Earlier = cases; Eluded = 0 }
                // A busy machine may be the cause that a process did not answer.
                | Eludes _, Faulted(Foreign _ as fault, _) -> settled (Undecided $"{unrepeated}{where}: {Fault.describe fault}")
                | Eludes tries, _ -> { Verdict = verdict; Earlier = []; Eluded = tries + 1 }
    | _ -> settled verdict
