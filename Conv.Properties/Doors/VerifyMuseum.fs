/// What `museum` does: every law on every piece, how soon each piece fails, and what usual testing would have seen.
module internal Conv.Properties.VerifyMuseum

open System
open System.IO
open System.Text
open Conv

/// Compiles what the laws run through, so that the first piece is not charged for it.
let private warm options laws =
    for subject in
        [
            TextbookAdjoint.subject "textbook" TextbookAdjoint.honest
            TextbookMemory.subject "textbook on memory" TextbookMemory.honest
            TextbookGeometry.subject "textbook geometry" TextbookGeometry.honest
            TextbookGeometry.product "textbook product" TextbookGeometry.honestProduct
        ] do
        Kills.first { options with Cases = 2 } laws subject
        |> ignore<Kills.First option>

/// Correct convolutions: those that a test must not accuse.
let private correct =
    Variants.all @ Ours.implementations
    |> List.filter (fun subject -> subject.Profile.Capabilities.Contains Forward)

/// A baseline runs to its end on what it does not kill: fewer seeds than for the laws tell enough.
let private mostBaselineSeeds = 3

let private baseline ledger (options: Run.Options) seeds (pieces: Piece list) progress law : MuseumReport.Baseline =
    let kills =
        [
            for seed in 0 .. seeds - 1 do
                Kills.matrix ledger { options with Seed = options.Seed + uint64 seed } [ law ] pieces ignore
        ]

    progress law

    {
        Law = law
        Seeds = seeds
        Kills =
            [
                for at in 0 .. pieces.Length - 1 do
                    match kills |> List.collect (fun rows -> rows[at].Cells) with
                    | [] -> None
                    | cells -> Some(cells |> List.filter _.Kill.IsSome |> List.length)
            ]
        Accuses =
            [
                for subject in correct do
                    if (Kills.first { options with Turns = Order.noTurns } [ law ] subject).IsSome then
                        subject.Name
            ]
        Correct = correct.Length
    }

/// Whether a case fails in a process of its own.
let private failsAlone subject case =
    let limit = Some(TimeSpan.FromMinutes 2.0)
    (Child.run [] [] limit ignore [ "replay"; Figure.replay subject case ]).ExitCode = 1

/// What must be the same for a run to go on: what the cases of a seed are, and in which order they come, is a matter of the build.
let heading (options: Run.Options) inMatrix (laws: Law list) derivesOrder =
    let ids = laws |> List.map _.Id |> List.sort |> String.concat " "
    $"{typeof<Checking.State>.Module.ModuleVersionId} {options.Cases} {inMatrix} {derivesOrder} {ids}"

/// Where a run writes down what it finds.
let partialIn folder = Path.Combine(folder, "museum.partial.txt")

/// Runs it all, prints it, writes it. What is found is written down as it is found, for a run that goes on from there. With a file for the
/// order, the laws take turns by what the matrix says, not as committed. 1 where a piece survives a seed, or where of all laws on all pieces one
/// kills nothing.
let run
    (options: Run.Options)
    inMatrix
    seeds
    (laws: Law list)
    (pieces: Piece list)
    (compared: Law list)
    folder
    (orderTo: string option)
    (ledger: Ledger)
    quiet
    =
    let whole = laws.Length = All.laws.Length && pieces.Length = Museum.all.Length

    let rows =
        Terminal.withProgress quiet "every law on every piece" pieces.Length (fun step ->
            Kills.matrix ledger { options with Cases = inMatrix } (Order.arrange laws) pieces (fun row ->
                step 1 (Some $"{row.Piece.Id}: killed by {(Kills.Row.killers row).Length} laws")))

    // What nothing kills in a shorter matrix gets more cases, up to the whole number.
    let rec again cases (rows: Kills.Row list) =
        match rows |> List.filter (fun row -> (Kills.Row.killers row).IsEmpty) with
        | [] -> rows
        | _ when cases >= options.Cases -> rows
        | alive ->
            let more = min options.Cases (2 * cases)

            let found =
                Terminal.withProgress quiet $"those that are left, {more} cases" alive.Length (fun step ->
                    Kills.matrix ledger { options with Cases = more } (Order.arrange laws) (alive |> List.map _.Piece) (fun row ->
                        step 1 (Some $"{row.Piece.Id}: killed by {(Kills.Row.killers row).Length} laws")))
                |> List.map (fun row -> row.Piece.Id, row)
                |> dict

            rows
            |> List.map (fun row ->
                match found.TryGetValue row.Piece.Id with
                | true, other -> other
                | _ -> row)
            |> again more

    let rows = again inMatrix rows

    let turns =
        match orderTo with
        | None -> Order.turns
        | Some path ->
            let turns = rows |> List.filter (fun row -> not row.Piece.IsHeldOut) |> Kills.order
            Json.saveAs path (fun stream -> stream.Write(Encoding.UTF8.GetBytes(MuseumReport.order turns)))
            turns |> List.map _.Turn |> Order.Turns

    let options = { options with Turns = turns }
    let laws = laws |> Order.arrangeBy turns
    warm options laws

    let firsts =
        Terminal.withProgress quiet "how soon each fails" pieces.Length (fun step ->
            Kills.firsts ledger options seeds laws pieces (fun piece -> step 1 (Some piece.Id)))
        |> List.map snd

    let baselines =
        Terminal.withProgress quiet "the baselines" compared.Length (fun step ->
            compared
            |> List.map (baseline ledger options (min seeds mostBaselineSeeds) pieces (fun law -> step 1 (Some law.Id))))

    let smallest =
        Terminal.withProgress quiet "shrinking" rows.Length (fun step ->
            Kills.smallest options.Threads failsAlone rows (fun _ -> step 1 None))

    let findings: MuseumReport.Findings =
        {
            Laws = laws
            Options = options
            InMatrix = inMatrix
            Seeds = seeds
            Rows = rows
            Smallest = smallest
            Firsts = firsts
            Baselines = baselines
        }

    MuseumReport.print findings
    MuseumPage.save folder findings
    ledger.Close()
    Terminal.line ""
    Terminal.line $"report: {Path.GetRelativePath(Environment.CurrentDirectory, folder)}: museum.md, museum.tsv"

    let idle = if whole then Kills.idle laws rows else []
    if (MuseumReport.survivors findings).IsEmpty && idle.IsEmpty then 0 else 1
