/// Holds a subject to a law, a case at a time.
module internal Conv.Properties.Run

open System
open System.Collections.Generic
open System.Diagnostics
open System.Text
open Conv
open Conv.Properties.Checking

type Options =
    {
        /// Small cases for each law and tier; larger ones in proportion.
        Cases: int
        /// The largest size of the problems.
        Reach: Reach.Size
        Seed: uint64
        Tiers: Tier list
        Threads: int
        /// Whether the first broken MUST ends a run.
        FailFast: bool
        /// How long a run may take; what it has not settled by then stays undecided.
        TimeLimit: TimeSpan option
        /// The turns that come before all laws are asked together.
        Turns: Order.Turns
    }

let defaults =
    {
        Cases = 200
        Reach = Reach.Large
        Seed = 0UL
        Tiers = [ Exact; Bounded ]
        Threads = Environment.ProcessorCount
        FailFast = false
        TimeLimit = None
        Turns = Order.turns
    }

/// How many cases of each size a law is asked in a tier. Larger problems are for the first tier of a law, where faults
/// of geometry show exactly; the other gets a fourth of them.
let planned (options: Options) (law: Law) tier =
    if law.Fixed then
        [ Reach.Small, 1 ]
    else
        let part = if law.Tiers.Head = tier then 200 else 800

        [
            Reach.Small, options.Cases
            for size, shares in [ Reach.Middle, law.Beyond.Middle; Reach.Large, law.Beyond.Large ] do
                if size <= options.Reach then
                    size, shares * options.Cases / part
        ]

/// Of all sizes.
let plannedCases options law tier = planned options law tier |> List.sumBy snd

/// A case that breaks a law, as it was drawn and as it was shrunk, and the verdict on the shrunk one.
[<NoEquality; NoComparison>]
type Failure =
    {
        Drawn: Case
        Shrunk: Case
        Shrinks: int
        Verdict: Verdict
        /// What must be asked before it, in order, for it to fail.
        Earlier: Case list
        /// How often it was looked for again in vain, in a fresh process and after all that was asked before; 0 where it came again.
        Eluded: int
    }

/// What one law said of one subject in one tier.
[<NoEquality; NoComparison>]
type Result =
    {
        Law: Law
        Subject: Subject
        Tier: Tier
        /// Cases that were judged; the run stops at the first failure.
        Cases: int
        /// Cases that decided for the law.
        Held: int
        /// Cases that said nothing, by reason.
        Discards: Map<string, int>
        /// Elements compared.
        Elements: int64
        /// The largest difference over its bound.
        Ratio: float
        /// Of the cases that say which way its errors lean, the means of the signed differences over their bounds.
        Leans: float list
        AgainstOracle: int
        /// Of the cases that decided.
        Shapes: HashSet<ConvShape>
        /// Cases off the subject's grid: none is allowed.
        LeftGrid: int
        Undecided: int
        Unsupported: int
        Failure: Failure option
        /// A fault of the kit itself.
        KitFault: string option
        /// Why it was not asked to the end.
        Abandoned: string option
        /// Whether a case had not returned then.
        IsHanging: bool
        /// Of all cases drawn, in order.
        Digest: uint64
        /// Of the subject's exact results in the cases that decided, in order.
        Outputs: uint64
        Milliseconds: float
        /// The first case in which a subject that declares no arithmetic differs where sums of any order agree.
        Unexplained: Case option
    }

/// Whether a process gave no answer: then each attempt at a smaller case costs another process.
let private isDeath verdict =
    match verdict with
    | Faulted(Foreign _, _) -> true
    | _ -> false

/// Whether a case says which way errors lean: of sums in any order to the nearest, the signed errors on positive data are as often above zero as
/// below; of sums that truncate they are not. On data symmetric about zero the mean is zero by oddness.
let private tellsLean (law: Law) (subject: Subject) (case: Case) =
    match case.Fill, subject.Profile.ArithmeticOf case.Problem with
    | Drawn(Positive, _), (:? AnyOrder) -> law.Kind = ModelBased && law.Needs = [ Forward ] && case.Tier = Bounded
    | _ -> false

/// One law on one subject in one tier, a case at a time, in this order: ends at the first failure.
[<Sealed>]
type Session private (options: Options, law: Law, subject: Subject, tier: Tier, order: struct (Reach.Size * int)[]) =
    let shapes = HashSet<ConvShape>()
    let discards = Dictionary<string, int>()
    let cases = order.Length

    /// The size of the case with this number, and its number among those of the size.
    let place index = order[index]

    let caseAt number =
        let struct (size, at) = place number
        Address.caseOf size options.Seed law subject.Profile tier at

    let mutable index, held, elements, ratio, oracle = 0, 0, 0L, 0.0, 0
    let leans = List<float>()
    let mutable leftGrid, undecided, unsupported = 0, 0, 0
    let mutable digest, outputs = 0UL, 0UL
    let marks = StringBuilder()
    let mutable found: Case option = None
    let mutable unexplained: Case option = None
    let mutable verdictFound: Verdict option = None
    let mutable earlier: Case list = []
    let mutable eluded = 0
    let mutable abandoned: string option = None
    let mutable hangs = false
    let mutable failure: Failure option = None
    let mutable fault: string option = None
    let mutable milliseconds = 0.0
    /// The case that is being judged.
    let mutable current: Case option = None

    let discard reason =
        let before =
            match discards.TryGetValue reason with
            | true, count -> count
            | _ -> 0

        discards[reason] <- before + 1

    let isSmall (struct (size, _)) = size = Reach.Small
    let hasSmall = Array.exists isSmall order
    let mutable small = 0

    /// Where the first small cases, or where there are none the first, find no problem for the subject at all, the others will not either.
    let pointless () = (if hasSmall then small else index) >= 12 && held = 0 && undecided = 0

    let judge () =
        let case = caseAt index
        current <- Some case
        digest <- Address.digest digest case

        Pursuit.note law subject case
        let confirmed = Pursuit.confirm law subject case (law.Judge subject case)

        match confirmed.Verdict with
        | Holds evidence ->
            held <- held + 1
            marks.Append('0', index - marks.Length).Append '1' |> ignore<StringBuilder>
            elements <- elements + evidence.Elements
            ratio <- max ratio evidence.Ratio

            if not evidence.AgainstOracle && tellsLean law subject case then
                leans.Add evidence.Lean

            outputs <- Fill.mix (outputs ^^^ evidence.Outputs)

            if evidence.AgainstOracle then
                oracle <- oracle + 1

            shapes.Add case.Problem |> ignore<bool>
        | NotApplicable reason -> discard reason
        | Unsupported reason ->
            unsupported <- unsupported + 1
            discard reason
        | Undecided reason ->
            if reason = Judge.leftItsGrid then
                leftGrid <- leftGrid + 1

            if reason = Judge.mismatch && unexplained.IsNone then
                unexplained <- Some case

            undecided <- undecided + 1
            discard reason
        | Breaks _
        | Faulted _ as verdict ->
            found <- Some case
            verdictFound <- Some verdict
            earlier <- confirmed.Earlier
            eluded <- confirmed.Eluded

        current <- None

        if isSmall (place index) then
            small <- small + 1

        index <- index + 1

    let timed work =
        let started = Stopwatch.GetTimestamp()

        try
            work ()
        with error ->
            fault <- Some $"case {index} of {law.Id} ({tier.Name}): {error.GetType().Name}: {error.Message}"

        milliseconds <- milliseconds + Stopwatch.GetElapsedTime(started).TotalMilliseconds

    /// All cases, the turns first.
    new(options: Options, law: Law, subject: Subject, tier: Tier) =
        let inARow = if Pursuit.hasBeginnings subject then law.Afresh else 0
        Session(options, law, subject, tier, Order.cases (options.Turns.Of(law.Id, tier.Name)) (planned options law tier) inARow)

    /// Those of one size.
    new(options: Options, law: Law, subject: Subject, tier: Tier, size: Reach.Size) =
        let count =
            planned options law tier
            |> List.sumBy (fun (own, count) -> if own = size then count else 0)

        Session(options, law, subject, tier, Array.init count (fun at -> struct (size, at)))

    member _.Law = law
    member _.Tier = tier

    /// Whether there is nothing more to judge.
    member _.Ended =
        index >= cases
        || found.IsSome
        || fault.IsSome
        || abandoned.IsSome
        || pointless ()

    member _.Subject = subject

    /// Why the case failed, before it was shrunk.
    member _.Verdict = verdictFound

    /// Whether the subject's process gave no answer.
    member _.Died = verdictFound |> Option.exists isDeath

    /// Why a call failed, in words that do not depend on the case.
    member _.Cause =
        match verdictFound with
        | Some(Faulted(fault, _)) -> Some(Fault.describe fault |> String.filter (Char.IsDigit >> not))
        | _ -> None

    /// Whether any case has decided for the law.
    member _.HasHeld = held > 0

    /// How far it has come.
    member _.State: State =
        {
            Law = law.Id
            Subject = subject.Name
            Tier = tier.Name
            Index = index
            Held = string marks
            Elements = elements
            Ratio = ratio
            Leans = List.ofSeq leans
            AgainstOracle = oracle
            LeftGrid = leftGrid
            Undecided = undecided
            Unsupported = unsupported
            Discards = Map [ for KeyValue(reason, count) in discards -> reason, count ]
            Digest = digest
            Outputs = outputs
            Milliseconds = milliseconds
            Found =
                failure
                |> Option.map (fun f ->
                    {
                        Found.Drawn = Case.print f.Drawn
                        Shrunk = Case.print f.Shrunk
                        Shrinks = f.Shrinks
                        Earlier = List.map Case.print f.Earlier
                        Eluded = f.Eluded
                    })
            Fault = fault
            Abandoned = abandoned
        }

    /// Goes on from where another process has come to. The counterexample is judged again: its lines are all that was written down.
    member _.Restore(state: State) =
        index <- state.Index

        small <-
            Seq.init index place
            |> Seq.filter (fun struct (size, _) -> size = Reach.Small)
            |> Seq.length

        marks.Append state.Held |> ignore<StringBuilder>
        held <- state.Held |> Seq.filter ((=) '1') |> Seq.length
        elements <- state.Elements
        ratio <- state.Ratio
        leans.AddRange state.Leans
        oracle <- state.AgainstOracle
        leftGrid <- state.LeftGrid
        undecided <- state.Undecided
        unsupported <- state.Unsupported
        digest <- state.Digest
        outputs <- state.Outputs
        milliseconds <- state.Milliseconds
        fault <- state.Fault
        abandoned <- state.Abandoned

        for KeyValue(reason, count) in state.Discards do
            discards[reason] <- count

        for at in 0 .. state.Held.Length - 1 do
            if state.Held[at] = '1' then
                shapes.Add (caseAt at).Problem |> ignore<bool>

        match state.Found with
        | None -> ()
        | Some lines ->
            let case line = snd (Case.parse line)
            let shrunk = case lines.Shrunk
            earlier <- List.map case lines.Earlier
            eluded <- lines.Eluded

            Pursuit.judgeAll earlier subject

            let verdict = law.Judge subject shrunk
            found <- Some(case lines.Drawn)
            verdictFound <- Some verdict

            failure <-
                Some
                    {
                        Failure.Drawn = case lines.Drawn
                        Shrunk = shrunk
                        Shrinks = lines.Shrinks
                        Verdict = verdict
                        Earlier = earlier
                        Eluded = eluded
                    }

    /// Nothing more is judged.
    member s.Abandon reason =
        if not s.Ended then
            abandoned <- Some reason

    /// Nothing more is judged, since there is no time left; a case whose calls have not returned is named.
    member s.TimeOut() =
        hangs <- current.IsSome && not s.Ended

        match current with
        | Some case -> s.Abandon $"no time was left, and a case had not returned: {Case.print case}"
        | None -> s.Abandon $"no time was left after {index} cases"

    /// Cases judged so far.
    member _.Cases = index

    /// The case that failed, as it was drawn.
    member _.Found = found

    /// Time spent in this session alone.
    member _.Milliseconds = milliseconds

    /// Judges the next case; at the beginning of small and of larger problems, where the law is one on memory, several from a fresh process on.
    member s.Step() =
        let sizeOf at =
            let struct (size, _) = place at
            size

        if
            law.Afresh > 0
            && not s.Ended
            && sizeOf index <> Reach.Large
            && place index = struct (sizeOf index, 0)
            && Pursuit.hasBeginnings subject
        then
            Pursuit.renew subject
            let size, until = sizeOf index, index + law.Afresh

            while index < until && not s.Ended && sizeOf index = size do
                timed judge
        else
            timed judge

    /// Shrinks the case that failed, if there is one.
    member _.Shrink() =
        match found with
        // What fails only after other cases is as small as they are.
        | Some drawn when failure.IsNone && (not earlier.IsEmpty || eluded > 0) ->
            failure <-
                Some
                    {
                        Drawn = drawn
                        Shrunk = drawn
                        Shrinks = 0
                        Verdict = verdictFound.Value
                        Earlier = earlier
                        Eluded = eluded
                    }

            Pursuit.renew subject
        | Some drawn when failure.IsNone ->
            timed (fun () ->
                let struct (size, at) = place (index - 1)
                let rnd, growth = Address.ofCase options.Seed law.Id tier size at
                let died = verdictFound |> Option.exists isDeath

                let shrunk, steps =
                    match subject.Foreign with
                    | Some processes when died ->
                        processes.Patience <- Some Minimal.deathPatience

                        try
                            Minimal.ofCase law subject rnd growth size drawn Minimal.deathBudget
                        finally
                            processes.Patience <- None
                    | _ -> Minimal.ofCase law subject rnd growth size drawn Minimal.usualBudget

                Pursuit.renew subject
                let verdict = law.Judge subject shrunk
                // What fails only under haste, only after other calls or when callers happen to meet is not smaller: the drawn case has failed.
                let lost = not (Pursuit.isFailure verdict)

                failure <-
                    Some
                        {
                            Failure.Drawn = drawn
                            Shrunk = if lost then drawn else shrunk
                            Shrinks = if lost then 0 else steps
                            Verdict = if lost then verdictFound.Value else verdict
                            Earlier = []
                            Eluded = 0
                        })
        | _ -> ()

    /// What the cases so far say.
    member _.Result: Result =
        {
            Law = law
            Subject = subject
            Tier = tier
            Cases = index
            Held = held
            Discards = Map [ for KeyValue(reason, count) in discards -> reason, count ]
            Elements = elements
            Ratio = ratio
            Leans = List.ofSeq leans
            AgainstOracle = oracle
            Shapes = shapes
            LeftGrid = leftGrid
            Undecided = undecided
            Unsupported = unsupported
            Failure = failure
            KitFault = fault
            Abandoned = abandoned
            IsHanging = hangs
            Digest = digest
            Outputs = outputs
            Milliseconds = milliseconds
            Unexplained = unexplained
        }

/// Holds one subject to one law in one tier.
let law (options: Options) (law: Law) (subject: Subject) tier : Result =
    let session = Session(options, law, subject, tier)

    while not session.Ended do
        session.Step()

    session.Shrink()
    session.Result
