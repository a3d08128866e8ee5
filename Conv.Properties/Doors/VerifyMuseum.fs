/// What `museum` does: every law on every piece, how soon each piece fails, and what usual testing would have seen.
module Conv.Properties.VerifyMuseum

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
        Kills.first { options with Cases = 12 } laws subject
        |> ignore<Kills.First option>

/// Correct convolutions: those that a test must not accuse.
let private correct =
    Variants.all @ Ours.implementations
    |> List.filter (fun subject -> subject.Profile.Capabilities.Contains Forward)

let private baseline (options: Run.Options) seeds (pieces: Piece list) progress law : MuseumReport.Baseline =
    let kills =
        [
            for seed in 0 .. seeds - 1 do
                Kills.matrix { options with Seed = options.Seed + uint64 seed } [ law ] pieces ignore
        ]

    progress law

    {
        Law = law
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
                    if (Kills.first options [ law ] subject).IsSome then
                        subject.Name
            ]
        Correct = correct.Length
    }

/// Runs it all, prints it, writes it. 1 where a piece survives a seed, or where of all laws on all pieces one kills nothing.
let run (options: Run.Options) seeds (laws: Law list) (pieces: Piece list) (folder: string) (orderTo: string option) quiet =
    let laws = Order.arrange laws
    let whole = laws.Length = All.laws.Length && pieces.Length = Museum.all.Length
    warm options laws

    let firsts =
        Terminal.withProgress quiet "how soon each fails" pieces.Length (fun step ->
            Kills.firsts options seeds laws pieces (fun piece -> step 1 (Some piece.Id)))
        |> List.map snd

    let rows =
        Terminal.withProgress quiet "every law on every piece" pieces.Length (fun step ->
            Kills.matrix options laws pieces (fun row -> step 1 (Some $"{row.Piece.Id}: killed by {(Kills.Row.killers row).Length} laws")))

    let baselines =
        Terminal.withProgress quiet "the baselines" Baselines.all.Length (fun step ->
            Baselines.all
            |> List.map (baseline options seeds pieces (fun law -> step 1 (Some law.Id))))

    let smallest =
        Terminal.withProgress quiet "shrinking" rows.Length (fun step ->
            rows
            |> List.map (fun row ->
                let smallest = Kills.smallest row
                step 1 None
                smallest))

    let findings: MuseumReport.Findings =
        {
            Laws = laws
            Options = options
            Seeds = seeds
            Rows = rows
            Smallest = smallest
            Firsts = firsts
            Baselines = baselines
        }

    MuseumReport.print findings
    MuseumReport.save folder findings

    orderTo
    |> Option.iter (fun path ->
        let seen = rows |> List.filter (fun row -> not row.Piece.IsHeldOut)

        Json.saveAs path (fun stream -> stream.Write(Encoding.UTF8.GetBytes(MuseumReport.order (Kills.order laws seen)))))

    Terminal.line ""
    Terminal.line $"report: {Path.GetRelativePath(Environment.CurrentDirectory, folder)}: museum.md, museum.tsv"

    let idle = if whole then Kills.idle laws rows else []
    if (MuseumReport.survivors findings).IsEmpty && idle.IsEmpty then 0 else 1
