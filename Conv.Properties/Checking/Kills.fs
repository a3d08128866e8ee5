/// Which laws kill which pieces of the museum, and how soon. A killed piece is a broken subject like any other: nothing here knows its name
/// or its fault.
module Conv.Properties.Kills

open System
open System.Collections.Generic
open System.Diagnostics
open System.Threading.Tasks
open Conv

/// What one law came to on one piece.
[<NoEquality; NoComparison>]
type Cell =
    {
        Law: Law
        /// Cases up to the one that failed, in the tier in which that is sooner; none where every case held.
        Kill: int option
        /// Cases judged, in all tiers.
        Cases: int
        Milliseconds: float
        /// The counterexample, shrunk when it is asked for.
        Failure: Lazy<Run.Failure> option
    }

/// A piece and the laws that it can be asked.
[<NoEquality; NoComparison>]
type Row = { Piece: Piece; Cells: Cell list }

module Row =
    /// The cells that kill, in the order of the cells.
    let killers row = row.Cells |> List.filter _.Kill.IsSome

/// The first failure of a subject that all laws take turns on.
[<NoEquality; NoComparison>]
type First =
    {
        Law: Law
        /// Cases judged in all, the failing one included.
        Cases: int
        /// From the first case to the verdict on the failing one, before it is shrunk.
        Milliseconds: float
    }

let private sessions options laws subject =
    Run.jobs options laws [ subject ]
    |> Array.map (fun (law, subject, tier) -> Run.Session(options, law, subject, tier))

/// Every law on a subject, each to its first failure or to its end.
let private cells options laws subject =
    sessions options laws subject
    |> List.ofArray
    |> List.groupBy _.Law.Id
    |> List.map (fun (_, tiers) ->
        for session in tiers do
            while not session.Ended do
                session.Step()

        let killed = tiers |> List.filter _.Found.IsSome |> List.sortBy _.Cases |> List.tryHead

        {
            Law = tiers.Head.Law
            Kill = killed |> Option.map _.Cases
            Cases = tiers |> List.sumBy _.Cases
            Milliseconds = tiers |> List.sumBy _.Milliseconds
            Failure =
                killed
                |> Option.map (fun session ->
                    lazy
                        (session.Shrink()
                         session.Result.Failure.Value))
        })

let private inParallel threads (items: 'a list) (work: 'a -> 'b) : 'b list =
    let items = Array.ofList items
    let results = Array.zeroCreate items.Length

    Parallel.For(0, items.Length, ParallelOptions(MaxDegreeOfParallelism = threads), (fun at -> results[at] <- work items[at]))
    |> ignore<ParallelLoopResult>

    List.ofArray results

/// The matrix: every law on every piece. `progress` hears of each piece as it ends.
let matrix (options: Run.Options) (laws: Law list) (pieces: Piece list) (progress: Row -> unit) : Row list =
    let gate = obj ()

    inParallel options.Threads pieces (fun piece ->
        let row = { Piece = piece; Cells = cells options laws piece.Subject }
        lock gate (fun () -> progress row)
        row)

/// The first failure of a subject, where the laws take turns of one case on one thread, in the order given.
let first (options: Run.Options) (laws: Law list) (subject: Subject) : First option =
    let clock = Stopwatch.StartNew()
    let turns = Queue(sessions options laws subject)
    let mutable cases = 0
    let mutable killer = None

    while killer.IsNone && turns.Count > 0 do
        let session = turns.Dequeue()
        session.Step()
        cases <- cases + 1

        if session.Found.IsSome then
            killer <- Some session.Law
        elif not session.Ended then
            turns.Enqueue session

    let elapsed = clock.Elapsed.TotalMilliseconds

    killer
    |> Option.map (fun law -> { Law = law; Cases = cases; Milliseconds = elapsed })

/// The first failure of every piece with each of so many seeds, from the options' on. One piece at a time, so that the times mean something.
let firsts (options: Run.Options) seeds laws (pieces: Piece list) (progress: Piece -> unit) : (Piece * First option list) list =
    [
        for piece in pieces do
            let found =
                [
                    for seed in 0 .. seeds - 1 -> first { options with Seed = options.Seed + uint64 seed } laws piece.Subject
                ]

            progress piece
            piece, found
    ]

/// The smallest counterexample of a piece among those of its first killers: shrinking them all takes longer than finding them.
let smallest (row: Row) : (Law * Run.Failure) option =
    Row.killers row
    |> List.truncate 4
    |> List.choose (fun cell -> cell.Failure |> Option.map (fun failure -> cell.Law, failure.Value))
    |> List.sortBy (fun (_, failure) -> Shrink.measure failure.Shrunk)
    |> List.tryHead

/// Laws and pieces where a law alone kills a piece.
let soleKillers (rows: Row list) =
    [
        for row in rows do
            match Row.killers row with
            | [ only ] -> only.Law, row.Piece
            | _ -> ()
    ]

/// The laws that kill nothing.
let idle (laws: Law list) (rows: Row list) =
    let killing = rows |> Seq.collect Row.killers |> Seq.map _.Law.Id |> HashSet
    laws |> List.filter (fun law -> not (killing.Contains law.Id))

/// A law in the derived order: milliseconds a case, and how many pieces are expected to fall to it first, in the first round.
[<NoEquality; NoComparison>]
type Place = { Law: Law; Milliseconds: float; Kills: float }

/// An order of laws in which a broken subject is expected to fail soon. A piece that a law kills with its n-th case is taken to fall to one
/// of its cases with probability 1/n; the next law is always the one with the most expected kills a millisecond among the pieces that the
/// laws before it left standing. (Pipelined set cover: within a factor of four of the best order; Munagala et al. 2005.)
let order (laws: Law list) (rows: Row list) : Place list =
    let cost =
        rows
        |> List.collect _.Cells
        |> List.groupBy _.Law.Id
        |> List.map (fun (id, cells: Cell list) ->
            let milliseconds = cells |> List.sumBy _.Milliseconds
            let cases = cells |> List.sumBy _.Cases
            id, milliseconds / float (max 1 cases))
        |> dict

    let chance =
        [
            for row in rows ->
                row.Cells
                |> List.choose (fun cell -> cell.Kill |> Option.map (fun cases -> cell.Law.Id, 1.0 / float cases))
                |> dict
        ]

    let standing = Array.create rows.Length 1.0

    let expected (law: Law) =
        chance
        |> List.mapi (fun at kills ->
            match kills.TryGetValue law.Id with
            | true, p -> p * standing[at]
            | _ -> 0.0)
        |> List.sum

    let costOf (law: Law) =
        match cost.TryGetValue law.Id with
        | true, milliseconds -> max 1e-3 milliseconds
        | _ -> Double.PositiveInfinity

    let rec place (left: Law list) placed =
        match left with
        | [] -> List.rev placed
        | _ ->
            let best = left |> List.maxBy (fun law -> expected law / costOf law)
            let kills = expected best

            chance
            |> List.iteri (fun at chances ->
                match chances.TryGetValue best.Id with
                | true, p -> standing[at] <- standing[at] * (1.0 - p)
                | _ -> ())

            place (left |> List.filter (fun law -> law.Id <> best.Id)) ({ Law = best; Milliseconds = costOf best; Kills = kills } :: placed)

    place laws []
