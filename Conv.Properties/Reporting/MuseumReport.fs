/// The museum's kill matrix on the terminal, as a table to compute with, and as docs/museum.md.
module Conv.Properties.MuseumReport

open System
open System.Globalization
open System.IO
open System.Text
open MathNet.Numerics.Statistics

/// Everything that a run of the museum found out.
[<NoEquality; NoComparison>]
type Findings =
    {
        /// In the order in which they take turns.
        Laws: Law list
        Options: Run.Options
        Seeds: int
        Rows: Kills.Row list
        /// The smallest counterexample of each row.
        Smallest: (Law * Run.Failure) option list
        /// First failures by seed, of each row.
        Firsts: Kills.First option list list
        Baselines: Baseline list
    }

/// What a baseline came to.
and [<NoEquality; NoComparison>] Baseline =
    {
        Law: Law
        /// For each row: the seeds with which it fails; none where it cannot be asked.
        Kills: int option list
        /// Correct convolutions that it accuses, and how many it was tried on.
        Accuses: string list
        Correct: int
    }

let private inv = CultureInfo.InvariantCulture
let private digits (value: float) = value.ToString((if value < 10.0 then "0.0" else "0"), inv)

let private share part whole =
    if whole = 0 then
        "none"
    else
        let percent = 100.0 * float part / float whole
        $"""{part} of {whole} ({percent.ToString("0.0", inv)} %%)"""

/// Cases and milliseconds to the first failure, over the seeds that killed.
type private Spread = { Kills: int; Cases: float; Median: float; High: float }

let private spread (firsts: Kills.First option list) =
    match firsts |> List.choose id with
    | [] -> { Kills = 0; Cases = nan; Median = nan; High = nan }
    | found ->
        let milliseconds = found |> List.map _.Milliseconds |> Array.ofList
        let cases = found |> List.map (fun f -> float f.Cases) |> Array.ofList

        {
            Kills = found.Length
            Cases = Statistics.Median cases
            Median = Statistics.Median milliseconds
            High = Statistics.Quantile(milliseconds, 0.95)
        }

/// The pieces that survive at least one seed.
let survivors findings =
    List.zip findings.Rows findings.Firsts
    |> List.filter (fun (_, firsts) -> firsts |> List.exists Option.isNone)
    |> List.map (fun (row, _) -> row.Piece)

/// One line for a set of pieces: killed with every seed, cases and milliseconds over all pieces and seeds.
let private summary title (rows: (Kills.Row * Kills.First option list) list) seeds =
    let always =
        rows
        |> List.filter (fun (_, firsts) -> firsts |> List.forall Option.isSome)
        |> List.length

    let all = rows |> List.collect snd |> spread
    let cases = rows |> List.collect snd |> List.choose id |> List.map _.Cases
    let soon = cases |> List.filter (fun c -> c <= 200) |> List.length

    [
        title
        share always rows.Length
        digits all.Cases
        digits all.Median
        digits all.High
        share soon (rows.Length * seeds)
    ]

let private heading seeds =
    [
        "pieces"
        $"killed with {seeds} of {seeds} seeds"
        "cases to the first kill, median"
        "ms, median"
        "ms, 95th percentile"
        "killed within 200 cases of all laws together"
    ]

let private summaries findings =
    let rows = List.zip findings.Rows findings.Firsts
    let tuned, held = rows |> List.partition (fun (row, _) -> not row.Piece.IsHeldOut)

    [
        summary "seen while tuning" tuned findings.Seeds
        summary "held out" held findings.Seeds
        summary "all" rows findings.Seeds
    ]

let private killsOf (findings: Findings) (law: Law) =
    findings.Rows
    |> List.sumBy (fun row ->
        Kills.Row.killers row
        |> List.filter (fun cell -> cell.Law.Id = law.Id)
        |> List.length)

/// One character a law: how soon it kills.
let private strip (findings: Findings) (row: Kills.Row) =
    let cells = row.Cells |> List.map (fun cell -> cell.Law.Id, cell) |> dict

    String(
        [|
            for law in findings.Laws do
                match cells.TryGetValue law.Id with
                | true, { Kill = Some 1 } -> '#'
                | true, { Kill = Some cases } when cases <= 10 -> '+'
                | true, { Kill = Some _ } -> '-'
                | true, _ -> '.'
                | _ -> ' '
        |]
    )

/// The matrix, and what it comes to.
let print (findings: Findings) =
    Terminal.line ""

    Terminal.line
        "# killed by the law's first case   + within ten   - later   . every case held   (blank) cannot be asked; h held out from tuning"

    Terminal.line ""

    for row, firsts in List.zip findings.Rows findings.Firsts do
        let first = spread firsts
        let held = if row.Piece.IsHeldOut then "h" else " "
        let killers = (Kills.Row.killers row).Length

        Terminal.line
            $"{row.Piece.Id.PadRight 44} {held} {first.Kills, 2}/{findings.Seeds} {killers, 3} laws {digits first.Cases, 5} cases {digits first.Median, 6} ms  {strip findings row}"

    let sole = Kills.soleKillers findings.Rows
    Terminal.line ""
    Terminal.line "laws, in their columns' order: kills, pieces that they kill alone"

    for law in findings.Laws do
        let alone =
            sole
            |> List.filter (fun (l, _) -> l.Id = law.Id)
            |> List.map (fun (_, piece) -> piece.Id)

        Terminal.line $"""{law.Id.PadRight 24} {killsOf findings law, 4}  {String.concat ", " alone}"""

    Terminal.line ""

    for cells in heading findings.Seeds :: summaries findings do
        Terminal.line (String.concat " | " cells)

    for baseline in findings.Baselines do
        let asked = baseline.Kills |> List.choose id
        let always = asked |> List.filter ((=) findings.Seeds) |> List.length

        Terminal.line
            $"baseline {baseline.Law.Id.PadRight 28} kills {share always findings.Rows.Length}; accuses {baseline.Accuses.Length} of {baseline.Correct} correct convolutions"

    match Kills.idle findings.Laws findings.Rows with
    | [] -> ()
    | idle -> Terminal.line $"""kill nothing: {idle |> List.map _.Id |> String.concat ", "}"""

    match survivors findings with
    | [] -> ()
    | alive -> Terminal.line $"""survive: {alive |> List.map _.Id |> String.concat ", "}"""

/// The matrix as a table: a line for each piece, a column for each law with the number of the case that killed, "." where every case held,
/// nothing where the law cannot be asked.
let tsv (findings: Findings) =
    let text = StringBuilder()
    let line (cells: string list) = text.AppendJoin('\t', cells).Append('\n') |> ignore<StringBuilder>

    line (
        "piece"
        :: "held out"
        :: "cases to the first kill"
        :: (findings.Laws |> List.map _.Id)
    )

    for row, firsts in List.zip findings.Rows findings.Firsts do
        let cells = row.Cells |> List.map (fun cell -> cell.Law.Id, cell) |> dict

        line (
            row.Piece.Id
            :: (if row.Piece.IsHeldOut then "yes" else "no")
            :: digits (spread firsts).Cases
            :: [
                for law in findings.Laws do
                    match cells.TryGetValue law.Id with
                    | true, { Kill = Some cases } -> string cases
                    | true, _ -> "."
                    | _ -> ""
            ]
        )

    text.ToString()

/// The derived order of the laws, as Checking/order.tsv holds it.
let order (places: Kills.Place list) =
    let text = StringBuilder("law\tmilliseconds\tkills\n")

    for place in places do
        text
            .Append(place.Law.Id)
            .Append('\t')
            .Append(place.Milliseconds.ToString("0.000", inv))
            .Append('\t')
            .Append(place.Kills.ToString("0.00", inv))
            .Append('\n')
        |> ignore<StringBuilder>

    text.ToString()

let private table (rows: string list list) =
    let line cells = "| " + String.concat " | " cells + " |"

    match rows with
    | [] -> []
    | head :: body -> line head :: ("|" + String.replicate head.Length "---|") :: List.map line body

let private cited (report: Report) =
    match Report.link report with
    | Some link -> $"[{report.Repository} {report.Reference}]({link})"
    | None -> report.Reference

let private sentence (text: string) =
    if text = "" then text
    elif text.EndsWith '.' then text
    else text + "."

let private capital (text: string) =
    if text = "" then
        text
    else
        string (Char.ToUpperInvariant text[0]) + text.Substring 1

let private entry (findings: Findings) (row: Kills.Row, smallest, firsts) =
    let piece = row.Piece
    let own = piece.Reports.Head
    let first = spread firsts
    let killers = Kills.Row.killers row |> List.sortBy (fun cell -> cell.Kill.Value)
    let shown = killers |> List.truncate 10 |> List.map _.Law.Id |> String.concat ", "

    let more = if killers.Length > 10 then $" and {killers.Length - 10} more" else ""

    [
        $"### {piece.Id}"
        ""
        let was = if own.Fault = "" then "" else ": " + own.Fault
        $"{own.Id}, {sentence (cited own + was)}"

        match piece.Reports.Tail with
        | [] -> ()
        | others -> $"""Also {others |> List.map (fun r -> r.Id + " " + cited r) |> String.concat "; "}."""

        $"Here: {sentence piece.Fault}"
        ""

        $"Killed by {killers.Length} laws, soonest first: {shown}{more}. First kill after {digits first.Cases} cases (median of {findings.Seeds} seeds)."

        match smallest with
        | None -> ()
        | Some(law: Law, failure: Run.Failure) ->
            ""
            $"Smallest counterexample, of {law.Id}:"
            ""
            "```"
            $"replay \"{Figure.replay piece.Subject failure.Shrunk}\""
            "```"

        ""
    ]

/// docs/museum.md.
let markdown (findings: Findings) =
    let sole = Kills.soleKillers findings.Rows
    let reports = findings.Rows |> List.collect _.Piece.Reports

    let libraries =
        reports
        |> List.map _.Repository
        |> List.filter ((<>) "")
        |> List.distinct
        |> List.length

    let reported = reports |> List.filter (fun r -> r.Repository <> "") |> List.length
    let survive = survivors findings

    let lines =
        [
            "# The museum"
            ""
            "Generated by `dotnet run -c Release --project Conv.Properties -- museum --report docs`; do not edit. The whole matrix, piece by law, is"
            "[museum.tsv](museum.tsv)."
            ""
            $"{findings.Rows.Length} convolutions that are wrong. They imitate {reported} bugs that were reported in {libraries} libraries, the 56 simple"
            "faults on which published test sets were measured, and further slips. Each is textbook code with one organ replaced. The laws know"
            "none of them: a piece is a subject like any other."
            ""
            "## How soon they fail"
            ""
            $"Each piece with {findings.Seeds} seeds. The laws take turns of one case, on one thread, in the order of `Checking/order.tsv`; counted is every"
            $"case of every law up to the first failure, at most {findings.Options.Cases} for each law and tier. Times are of one run on a shared machine, without"
            "start-up and before shrinking."
            ""
            yield! table (heading findings.Seeds :: summaries findings)
            ""
            "A fifth is held out: pieces whose number has a SHA-256 whose first four bytes, a big-endian number, are 0 mod 5. Generators and"
            "the order of laws are tuned on the others alone."
            ""
            if not survive.IsEmpty then
                $"""Survive at least one seed: {survive |> List.map _.Id |> String.concat ", "}."""
                ""
            "## Against usual testing"
            ""
            "The same pieces, by the same harness, under what is usual: one call on random data, compared with a reference under a tolerance. Each"
            $"baseline has {findings.Options.Cases} cases a seed over all the operators that a piece has. *By hand* are problems as people write them: square, the same"
            "stride, pad and dilation on both axes; *generated* are the problems that the laws are held on. A piece without operators (a formula, a"
            "matrix product) cannot be asked and counts as not killed. The last column is why a tolerance needs a theorem: correct convolutions (other"
            "orders of summation, Winograd, reduced precisions that are declared) that the baseline accuses in one run."
            ""
            let asked (baseline: Baseline) = baseline.Kills |> List.choose id

            yield!
                table (
                    [
                        "test"
                        "problems"
                        $"killed with all {findings.Seeds} seeds"
                        "killed with some seed"
                        "of those held out, all seeds"
                        "correct ones accused"
                    ]
                    :: [
                        let held = findings.Rows |> List.filter _.Piece.IsHeldOut |> List.length

                        for baseline in findings.Baselines do
                            let all = asked baseline |> List.filter ((=) findings.Seeds) |> List.length
                            let some = asked baseline |> List.filter (fun kills -> kills > 0) |> List.length

                            let heldKilled =
                                List.zip findings.Rows baseline.Kills
                                |> List.filter (fun (row, kills) -> row.Piece.IsHeldOut && kills = Some findings.Seeds)
                                |> List.length

                            let parts = baseline.Law.Statement.Split "; "

                            [
                                parts[0]
                                parts[1]
                                share all findings.Rows.Length
                                share some findings.Rows.Length
                                share heldKilled held
                                share baseline.Accuses.Length baseline.Correct
                            ]

                        let killed rows =
                            rows
                            |> List.filter (fun (_, firsts) -> firsts |> List.forall Option.isSome)
                            |> List.length

                        let rows = List.zip findings.Rows findings.Firsts

                        let some =
                            rows
                            |> List.filter (fun (_, firsts) -> firsts |> List.exists Option.isSome)
                            |> List.length

                        [
                            "**the laws**"
                            "the laws' problems"
                            share (killed rows) rows.Length
                            share some rows.Length
                            share (killed (rows |> List.filter (fun (row, _) -> row.Piece.IsHeldOut))) held
                            "see `verify ours variants`"
                        ]
                    ]
                )

            ""
            "## What each law kills"
            ""
            "In the order of their turns. *Alone* are pieces that no other law kills."
            ""

            yield!
                table (
                    [ "law"; "kills"; "alone" ]
                    :: [
                        for law in findings.Laws do
                            let alone =
                                sole
                                |> List.filter (fun (l, _) -> l.Id = law.Id)
                                |> List.map (fun (_, piece) -> piece.Id)

                            [ law.Id; string (killsOf findings law); String.concat ", " alone ]
                    ]
                )

            ""

            for cls, rows in
                List.zip3 findings.Rows findings.Smallest findings.Firsts
                |> List.groupBy (fun (row, _, _) -> row.Piece.Class)
                |> List.sortBy fst do
                $"## {capital (cls.Substring 2)}"
                ""

                for row in rows |> List.sortBy (fun (row, _, _) -> row.Piece.Id) do
                    yield! entry findings row
        ]

    (String.concat "\n" lines).TrimEnd('\n') + "\n"

/// Writes museum.md and museum.tsv into a folder.
let save (folder: string) findings =
    let write name (text: string) = Json.saveAs (Path.Combine(folder, name)) (fun stream -> stream.Write(Encoding.UTF8.GetBytes text))

    write "museum.tsv" (tsv findings)
    write "museum.md" (markdown findings)
