/// Holds subjects to laws, which take turns of one case.
module internal Conv.Properties.Rounds

open System
open System.Collections.Concurrent
open System.Collections.Generic
open System.Threading
open System.Threading.Tasks
open Conv.Properties.Checking
open Conv.Properties.Run

/// The law × subject × tier triples that can be asked.
let jobs (options: Options) (laws: Law list) (subjects: Subject list) =
    [|
        for law in laws do
            for subject in subjects do
                if law.Needs |> List.forall subject.Profile.Capabilities.Contains then
                    for tier in law.Tiers do
                        if List.contains tier options.Tiers then
                            law, subject, tier
    |]

/// What a run says of itself as it goes.
[<NoEquality; NoComparison>]
type News =
    /// So many more cases were judged.
    | Judged of int
    /// One of its sessions has ended.
    | Ended of Result

/// The turns that sessions take: those of the options first, as many of a size as there are cases of it; then all together, each spread over what is
/// left, so that at any time the same part of every law is done, and a fault that many cases of one law are made for does not wait for the
/// others to end.
let schedule (options: Options) (sessions: Session[]) : Session seq =
    seq {
        let groups =
            sessions
            |> Array.groupBy (fun session -> struct (session.Law.Id, session.Tier.Name))

        let own = dict groups
        let left = Dictionary<Order.Turn, int>()

        for struct (law, tier), sessions in groups do
            for size, cases in planned options sessions[0].Law sessions[0].Tier do
                left[{ Law = law; Tier = tier; Size = size }] <- cases

        for turn in options.Turns.All do
            match left.TryGetValue turn with
            | true, cases when cases > 0 ->
                left[turn] <- cases - 1
                yield! own[struct (turn.Law, turn.Tier)]
            | _ -> ()

        let cases =
            [|
                for struct (law, tier), _ in groups ->
                    left
                    |> Seq.sumBy (fun (KeyValue(turn, cases)) -> if turn.Law = law && turn.Tier = tier then cases else 0)
            |]

        // Which group is due, by the part of its cases that is done then; those that are due at once keep their order.
        let due = PriorityQueue<struct (int * int), struct (float * int)>()

        let enqueue group turn =
            if turn < cases[group] then
                due.Enqueue(struct (group, turn), struct ((float turn + 0.5) / float cases[group], group))

        for group in 0 .. groups.Length - 1 do
            enqueue group 0

        while due.Count > 0 do
            let struct (group, turn) = due.Dequeue()
            yield! snd groups[group]
            enqueue group (turn + 1)
    }

/// Between two times that a run is written down.
let private keepEvery = TimeSpan.FromSeconds 5.0

/// Laws in which the process of a subject may fail to answer, or one cause fail every call, before it is asked no more.
let enoughFailures = 8

/// How long a call may go on when there is no time left, before nobody waits for it any more.
let private overtime = TimeSpan.FromSeconds 10.0

/// Runs the jobs in turns of one case, on the given number of threads: a subject that is broken fails while most laws have judged a few cases.
/// With `FailFast` the first broken MUST ends the run, and the results are those of the cases judged by then. `news` is told one at a time.
/// `from`: where an earlier run of the same jobs had come to. `keep` gets how far this one has come, every few seconds and at each failure.
let allFrom
    (from: State list)
    (keep: State list -> unit)
    (options: Options)
    (jobs: (Law * Subject * Tier)[])
    (news: News -> unit)
    : Result list =
    let sessions =
        jobs
        |> Array.map (fun (law, subject, tier) -> Session(options, law, subject, tier))

    let states = from |> List.map (fun s -> struct (s.Law, s.Subject, s.Tier), s) |> dict

    Parallel.ForEach(
        sessions,
        ParallelOptions(MaxDegreeOfParallelism = options.Threads),
        fun (session: Session) ->
            match states.TryGetValue(struct (session.Law.Id, session.Subject.Name, session.Tier.Name)) with
            | true, state -> session.Restore state
            | _ -> ()
    )
    |> ignore<ParallelLoopResult>

    // What each session last said: one that is in the middle of a call is not waited for.
    let said = sessions |> Array.map _.State

    let write () =
        for at in 0 .. sessions.Length - 1 do
            if Monitor.TryEnter sessions[at] then
                try
                    said[at] <- sessions[at].State
                finally
                    Monitor.Exit sessions[at]

        keep (List.ofArray said)

    use turns = (schedule options sessions).GetEnumerator()
    let nextTurn () = lock turns (fun () -> if turns.MoveNext() then ValueSome turns.Current else ValueNone)
    let rounds = ConcurrentQueue sessions
    use enough = new CancellationTokenSource()
    let gate = obj ()
    let tell one = lock gate (fun () -> news one)
    let failures = ConcurrentDictionary<struct (string * string), int>()

    /// Of a subject whose process dies in one law after the other, or that fails every call in the same way, enough has been seen.
    let bury (session: Session) =
        let name = session.Subject.Name

        let repeats cause = failures.AddOrUpdate(struct (name, cause), 1, (fun _ count -> count + 1)) = enoughFailures

        let abandon reason =
            for other in sessions do
                if other.Subject.Name = name then
                    other.Abandon $"not asked to the end: {reason} in {enoughFailures} laws before"

        if session.Died then
            if repeats "" then
                abandon "its process failed"
        else
            match session.Cause with
            | Some cause when
                repeats cause
                && sessions
                   |> Array.forall (fun other -> other.Subject.Name <> name || other.Law.Kind = KitLaw || not other.HasHeld)
                ->
                abandon "every call failed, in the same way"
            | _ -> ()

    /// One turn; how many cases were judged.
    let step (session: Session) =
        session.Step()

        if session.Ended then
            session.Shrink()
            bury session

            if options.FailFast && session.Law.Strength = Must && session.Found.IsSome then
                enough.Cancel()

            tell (Ended session.Result)

            if session.Found.IsSome then
                lock said write

        1

    /// A turn is skipped by a session that has ended or is taking another of its turns.
    let tryStep (session: Session) =
        if Monitor.TryEnter session then
            try
                if session.Ended then 0 else step session
            finally
                Monitor.Exit session
        else
            0

    let take _ =
        let mutable judged = 0
        let mutable more = true

        let count cases =
            judged <- judged + cases

            if judged >= 16 then
                tell (Judged judged)
                judged <- 0

        while more && not enough.IsCancellationRequested do
            match nextTurn () with
            | ValueSome session -> count (tryStep session)
            | ValueNone ->
                // Turns that were skipped.
                match rounds.TryDequeue() with
                | true, session ->
                    lock session (fun () ->
                        if not session.Ended then
                            count (step session)

                            if not session.Ended then
                                rounds.Enqueue session)
                | _ -> more <- false

        tell (Judged judged)

    let work () =
        Parallel.For(0, options.Threads, ParallelOptions(MaxDegreeOfParallelism = options.Threads), take)
        |> ignore<ParallelLoopResult>

    do
        use _ = new Timer((fun _ -> lock said write), null, keepEvery, keepEvery)

        match options.TimeLimit with
        | None -> work ()
        | Some limit ->
            enough.CancelAfter limit
            // A call that never returns keeps its thread, and nobody waits for it.
            Task.Factory.StartNew(work, TaskCreationOptions.LongRunning).Wait(limit + overtime)
            |> ignore<bool>

            for session in sessions do
                session.TimeOut()

    [ for session in sessions -> session.Result ]

/// `allFrom` the beginning, nothing written down.
let all options jobs news = allFrom [] ignore options jobs news
