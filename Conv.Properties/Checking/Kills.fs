/// Which laws kill which pieces of the museum, and how soon. A killed piece is a broken subject like any other: nothing here knows its name
/// or its fault.
module internal Conv.Properties.Kills

open System
open System.Collections.Concurrent
open System.Collections.Generic
open System.Diagnostics
open System.Threading.Tasks
open Conv

/// What one law came to on one piece in one tier, on problems of one size.
[<NoEquality; NoComparison>]
type Cell =
    {
        Law: Law
        Tier: Tier
        Size: Reach.Size
        /// Cases of the size up to the one that failed; none where every case held.
        Kill: int option
        /// Cases judged.
        Cases: int
        Milliseconds: float
        /// The counterexample, found again and shrunk when it is asked for: until then none of its tensors is kept.
        Failure: Lazy<Run.Failure option>
    }

/// A piece and the laws that it can be asked.
[<NoEquality; NoComparison>]
type Row = { Piece: Piece; Cells: Cell list }

module Row =
    /// One cell for each law: of the smallest size that kills, and the tier that kills soonest, if one does.
    let laws row =
        row.Cells
        |> List.groupBy _.Law.Id
        |> List.map (fun (_, cells) ->
            // The smallest problems that kill, and of them the first.
            cells |> List.minBy (fun cell -> cell.Kill.IsNone, cell.Size, cell.Kill))

    /// The laws that kill, each in the size and tier that kill soonest.
    let killers row = laws row |> List.filter _.Kill.IsSome

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

/// Cases of a law within which most pieces that small problems kill are dead.
let private soon = 4

/// One law on one subject in a tier, to its first failure of a size or to its end.
let private session (options: Run.Options) law subject tier size =
    let session = Run.Session(options, law, subject, tier, size)

    while not session.Ended do
        session.Step()

    session

/// The same failure, shrunk.
let private failure options law subject tier size =
    Pursuit.renew subject
    let again = session options law subject tier size
    again.Shrink()
    again.Result.Failure

/// Every law on a subject, each size to its first failure or to its end. Larger problems are asked of what outlives the first small ones.
let private cells (options: Run.Options) laws (subject: Subject) : Checking.Cell list =
    let ofSize (size: Reach.Size) =
        [
            for law, subject, tier in Rounds.jobs options laws [ subject ] do
                let ended = session options law subject tier size

                if ended.Cases > 0 then
                    ({
                        Law = law.Id
                        Tier = tier.Name
                        Size = size.Name
                        Kill = (if ended.Found.IsSome then ended.Cases else 0)
                        Cases = ended.Cases
                        Milliseconds = ended.Milliseconds
                    }
                    : Checking.Cell)
        ]

    let small = ofSize Reach.Small

    if small |> List.exists (fun cell -> cell.Kill > 0 && cell.Kill <= soon) then
        small
    else
        small @ ofSize Reach.Middle @ ofSize Reach.Large

/// A cell as it was written down, its counterexample to be found again.
let private read options (laws: Law list) subject (saved: Checking.Cell) : Cell =
    let law = laws |> List.find (fun law -> law.Id = saved.Law)
    let tier = law.Tiers |> List.find (fun tier -> tier.Name = saved.Tier)
    let size = Reach.sizes |> List.find (fun size -> size.Name = saved.Size)

    {
        Law = law
        Tier = tier
        Size = size
        Kill = if saved.Kill > 0 then Some saved.Kill else None
        Cases = saved.Cases
        Milliseconds = saved.Milliseconds
        Failure = lazy (if saved.Kill > 0 then failure options law subject tier size else None)
    }

/// One item at a time for each thread: some take a thousand times as long as others.
let private inParallel threads (items: 'a list) (work: 'a -> 'b) : 'b list =
    let results = Array.zeroCreate items.Length
    let items = Partitioner.Create(List.indexed items, EnumerablePartitionerOptions.NoBuffering)

    Parallel.ForEach(items, ParallelOptions(MaxDegreeOfParallelism = threads), (fun (at, item) -> results[at] <- work item))
    |> ignore<ParallelLoopResult>

    List.ofArray results

/// The matrix: every law on every piece. `progress` hears of each piece as it ends.
let matrix (ledger: Ledger) (options: Run.Options) (laws: Law list) (pieces: Piece list) (progress: Row -> unit) : Row list =
    let gate = obj ()

    inParallel options.Threads pieces (fun piece ->
        let key = $"matrix {laws.Length} {laws.Head.Id} {options.Cases} {options.Seed} {piece.Id}"
        let found = ledger.Recall(key, (fun () -> cells options laws piece.Subject))
        let row = { Piece = piece; Cells = found |> List.map (read options laws piece.Subject) }
        // What it has kept from its calls.
        Pursuit.renew piece.Subject
        lock gate (fun () -> progress row)
        row)

/// The first failure of a subject, where the laws take their turns on one thread.
let first (options: Run.Options) (laws: Law list) (subject: Subject) : First option =
    let clock = Stopwatch.StartNew()

    let sessions =
        Rounds.jobs options laws [ subject ]
        |> Array.map (fun (law, subject, tier) -> Run.Session(options, law, subject, tier))

    let mutable cases = 0

    let fails (session: Run.Session) =
        if not session.Ended then
            session.Step()
            cases <- cases + 1

        session.Found.IsSome

    Rounds.schedule options sessions
    |> Seq.tryFind fails
    |> Option.map (fun session ->
        {
            Law = session.Law
            Cases = cases
            Milliseconds = clock.Elapsed.TotalMilliseconds
        })

/// The first failure of every piece with each of so many seeds, from the options' on; each piece on one thread.
let firsts
    (ledger: Ledger)
    (options: Run.Options)
    seeds
    laws
    (pieces: Piece list)
    (progress: Piece -> unit)
    : (Piece * First option list) list =
    let gate = obj ()

    let saved seed (piece: Piece) : Checking.First =
        match first { options with Seed = seed } laws piece.Subject with
        | Some first -> { Law = first.Law.Id; Cases = first.Cases; Milliseconds = first.Milliseconds }
        | None -> { Law = ""; Cases = 0; Milliseconds = 0.0 }

    let read (saved: Checking.First) =
        laws
        |> List.tryFind (fun law -> law.Id = saved.Law)
        |> Option.map (fun law -> { Law = law; Cases = saved.Cases; Milliseconds = saved.Milliseconds })

    inParallel options.Threads pieces (fun piece ->
        let found =
            [
                for seed in options.Seed .. options.Seed + uint64 (seeds - 1) ->
                    ledger.Recall($"first {options.Cases} {seed} {piece.Id}", (fun () -> saved seed piece))
                    |> read
            ]

        Pursuit.renew piece.Subject
        lock gate (fun () -> progress piece)
        piece, found)

/// A counterexample, and whether it fails alone: in a process that has judged nothing before.
[<NoEquality; NoComparison>]
type Counterexample = { Law: Law; Failure: Run.Failure; Alone: bool }

let private smallestOf isAlone (row: Row) : Counterexample option =
    let failures =
        Row.killers row
        |> List.truncate 3
        |> List.choose (fun cell -> cell.Failure.Value |> Option.map (fun failure -> cell.Law, failure))
        |> List.sortBy (fun (_, failure) -> Shrink.measure failure.Shrunk)

    // What a subject with a memory was shrunk to may need the calls before it; the case as drawn may not.
    let candidates =
        failures
        @ [ for law, failure in failures -> law, { failure with Shrunk = failure.Drawn } ]

    candidates
    |> List.tryFind (fun (_, failure) -> isAlone row.Piece.Subject failure.Shrunk)
    |> Option.map (fun (law, failure) -> { Law = law; Failure = failure; Alone = true })
    |> Option.orElse (
        List.tryHead failures
        |> Option.map (fun (law, failure) -> { Law = law; Failure = failure; Alone = false })
    )

/// The smallest counterexample of each piece among those of its first killers: shrinking them all takes longer than finding them. `isAlone`
/// says whether a case fails in a process that has judged nothing before.
let smallest threads isAlone (rows: Row list) (progress: Row -> unit) : Counterexample option list =
    let gate = obj ()

    inParallel threads rows (fun row ->
        let found = smallestOf isAlone row
        lock gate (fun () -> progress row)
        found)

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

/// A turn of the derived order: milliseconds a case, and how many of the pieces still standing are expected to fall to it.
[<NoEquality; NoComparison>]
type Turn = { Turn: Order.Turn; Milliseconds: float; Kills: float }

/// Turns beyond which the laws are asked all together, whatever is expected of them.
let private mostTurns = 3000

/// The turns in which a broken subject is expected to fail soon. A piece that fails in the n-th case of a law falls to one of its cases with
/// probability 2/(n+2), the mean of what one draw tells under a uniform prior. The next turn is always the law's with the most expected
/// kills a millisecond among what the turns before it left standing: the greedy order of pipelined set cover, within a factor of four of
/// the best (Munagala et al. 2005). It ends when every law that kills has had a turn.
let order (rows: Row list) : Turn list =
    let candidates =
        rows
        |> List.collect (fun row -> row.Cells |> List.map (fun cell -> row.Piece.Id, cell))
        |> List.groupBy (fun (_, cell) -> ({ Law = cell.Law.Id; Tier = cell.Tier.Name; Size = cell.Size }: Order.Turn))
        |> List.map (fun (turn, cells) ->
            let milliseconds = cells |> List.sumBy (fun (_, cell) -> cell.Milliseconds)
            let cases = cells |> List.sumBy (fun (_, cell) -> cell.Cases)

            let kills =
                [|
                    for piece, cell in cells do
                        match cell.Kill with
                        | Some cases -> struct (piece, 2.0 / float (cases + 2))
                        | None -> ()
                |]

            turn, max 1e-3 (milliseconds / float (max 1 cases)), kills)
        |> List.filter (fun (_, _, kills) -> kills.Length > 0)

    let standing = Dictionary<string, float>()

    for row in rows do
        standing[row.Piece.Id] <- 1.0

    let expected kills = kills |> Array.sumBy (fun struct (piece: string, p) -> p * standing[piece])
    let waiting = HashSet [ for turn, _, _ in candidates -> struct (turn.Law, turn.Tier) ]

    [
        let mutable turns = 0

        while waiting.Count > 0 && turns < mostTurns do
            let turn, milliseconds, kills =
                candidates
                |> List.maxBy (fun (_, milliseconds, kills) -> expected kills / milliseconds)

            let fallen = expected kills

            for struct (piece, p) in kills do
                standing[piece] <- standing[piece] * (1.0 - p)

            waiting.Remove(struct (turn.Law, turn.Tier)) |> ignore<bool>
            turns <- turns + 1

            { Turn = turn; Milliseconds = milliseconds; Kills = fallen }
    ]
