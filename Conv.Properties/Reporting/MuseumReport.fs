/// The museum's kill matrix on the terminal and as a table to compute with.
module internal Conv.Properties.MuseumReport

open System
open System.Globalization
open System.Text
open MathNet.Numerics.Statistics

/// Everything that a run of the museum found out.
[<NoEquality; NoComparison>]
type Findings =
    {
        /// In the order in which they take turns.
        Laws: Law list
        Options: Run.Options
        /// Cases for each law and tier in the matrix.
        InMatrix: int
        Seeds: int
        Rows: Kills.Row list
        /// The smallest counterexample of each row.
        Smallest: Kills.Counterexample option list
        /// First failures by seed, of each row.
        Firsts: Kills.First option list list
        Baselines: Baseline list
    }

/// What a baseline came to.
and [<NoEquality; NoComparison>] Baseline =
    {
        Law: Law
        Seeds: int
        /// For each row: the seeds with which it fails; none where it cannot be asked.
        Kills: int option list
        /// Correct convolutions that it accuses, and how many it was tried on.
        Accuses: string list
        Correct: int
    }

let private inv = CultureInfo.InvariantCulture
/// A figure as it is printed.
let digits (value: float) = value.ToString((if value < 10.0 then "0.0" else "0"), inv)

/// "12 of 16 (75.0 %)".
let share part whole =
    if whole = 0 then
        "none"
    else
        let percent = 100.0 * float part / float whole
        $"""{part} of {whole} ({percent.ToString("0.0", inv)} %%)"""

/// Cases and milliseconds to the first failure, over the seeds that killed.
type Spread = { Kills: int; Cases: float; Median: float; High: float }

/// Over the seeds of one piece, or of many.
let spread (firsts: Kills.First option list) =
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

/// What the columns of the summaries are.
let heading seeds =
    [
        "pieces"
        $"killed with {seeds} of {seeds} seeds"
        "cases to the first kill, median"
        "ms, median"
        "ms, 95th percentile"
        "killed within 200 cases of all laws together"
    ]

/// Of the pieces that were seen while tuning, of those held out, and of all.
let summaries findings =
    let rows = List.zip findings.Rows findings.Firsts
    let tuned, held = rows |> List.partition (fun (row, _) -> not row.Piece.IsHeldOut)

    [
        summary "seen while tuning" tuned findings.Seeds
        summary "held out" held findings.Seeds
        summary "all" rows findings.Seeds
    ]

/// How many pieces a law kills.
let killsOf (findings: Findings) (law: Law) =
    findings.Rows
    |> List.sumBy (fun row ->
        Kills.Row.killers row
        |> List.filter (fun cell -> cell.Law.Id = law.Id)
        |> List.length)

/// One character a law: how soon it kills.
let private strip (findings: Findings) (row: Kills.Row) =
    let cells = Kills.Row.laws row |> List.map (fun cell -> cell.Law.Id, cell) |> dict

    String(
        [|
            for law in findings.Laws do
                match cells.TryGetValue law.Id with
                | true, { Kill = Some 1; Size = Reach.Small } -> '#'
                | true, { Kill = Some cases; Size = Reach.Small } when cases <= 10 -> '+'
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
        let always = asked |> List.filter ((=) baseline.Seeds) |> List.length

        Terminal.line
            $"baseline {baseline.Law.Id.PadRight 28} kills {share always findings.Rows.Length}; accuses {baseline.Accuses.Length} of {baseline.Correct} correct convolutions"

    match Kills.idle findings.Laws findings.Rows with
    | [] -> ()
    | idle -> Terminal.line $"""kill nothing: {idle |> List.map _.Id |> String.concat ", "}"""

    match survivors findings with
    | [] -> ()
    | alive -> Terminal.line $"""survive: {alive |> List.map _.Id |> String.concat ", "}"""

/// The matrix as a table: a line for each piece, a column for each law with the number of the case that killed (m3: the third middle one), "."
/// where every case held, nothing where the law cannot be asked.
let tsv (findings: Findings) =
    let text = StringBuilder()
    let line (cells: string list) = text.AppendJoin('\t', cells).Append('\n') |> ignore<StringBuilder>

    line (
        "piece"
        :: "held out"
        :: "killed with seeds"
        :: "cases to the first kill"
        :: (findings.Laws |> List.map _.Id)
    )

    for row, firsts in List.zip findings.Rows findings.Firsts do
        let cells = Kills.Row.laws row |> List.map (fun cell -> cell.Law.Id, cell) |> dict
        let spread = spread firsts

        line (
            row.Piece.Id
            :: (if row.Piece.IsHeldOut then "yes" else "no")
            :: $"{spread.Kills} of {findings.Seeds}"
            :: digits spread.Cases
            :: [
                for law in findings.Laws do
                    match cells.TryGetValue law.Id with
                    | true, { Kill = Some cases; Size = Reach.Small } -> string cases
                    | true, { Kill = Some cases; Size = size } -> $"{size.Name[0]}{cases}"
                    | true, _ -> "."
                    | _ -> ""
            ]
        )

    text.ToString()

/// The derived turns of the laws, as Checking/order.tsv holds them.
let order (turns: Kills.Turn list) =
    let text = StringBuilder("law\ttier\tsize\tmilliseconds\tkills\n")

    for turn in turns do
        text
            .AppendJoin(
                '\t',
                [
                    turn.Turn.Law
                    turn.Turn.Tier
                    turn.Turn.Size.Name
                    turn.Milliseconds.ToString("0.000", inv)
                    turn.Kills.ToString("0.000", inv)
                ]
            )
            .Append('\n')
        |> ignore<StringBuilder>

    text.ToString()
