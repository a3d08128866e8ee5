/// The matrix of laws × subjects, the figures of each law, and the verdict.
module internal Conv.Properties.Matrix

open System
open System.Globalization
open Spectre.Console

let private count (n: int64) = n.ToString("N0", CultureInfo.InvariantCulture)

let private ratio (value: float) =
    if value = 0.0 then
        "0"
    else
        value.ToString("0.0000", CultureInfo.InvariantCulture)

/// The mark of a cell, and its colour.
let private mark (cell: Conclusion.Cell) =
    match cell.Status with
    | Conclusion.Held when cell.AgainstOracle > 0 -> "✓o", "green"
    | Conclusion.Held -> "✓", "green"
    | Conclusion.Broken when cell.Law.Strength = Must -> "✗", "red"
    | Conclusion.Broken -> "(✗)", "yellow"
    | Conclusion.Open _ -> "?", "yellow"
    | Conclusion.Refused -> "u", "grey"
    | Conclusion.Inapplicable _ -> "–", "grey"

let private legend =
    "✓ holds   ✓o holds, some problems by the oracle   ✗ broken   (✗) a broken SHOULD or MAY   ? undecided   u unsupported   – not applicable"

/// Below this many columns the subjects are numbered, and named under the matrix.
let private wideFrom = 116

/// Prints the matrix.
let print (laws: Law list) (subjects: Subject list) (cells: Conclusion.Cell list) =
    let wide = Terminal.out.Profile.Width >= wideFrom && subjects.Length <= 10
    let table = Table(Border = (if Terminal.unicode then TableBorder.Simple else TableBorder.Ascii))

    let add right (title: string) =
        let column = TableColumn(Markup.Escape(Terminal.show title))
        column.NoWrap <- true
        column.Padding <- Padding(0, 0, 1, 0)
        column.Alignment <- if right then Justify.Right else Justify.Left
        table.AddColumn column |> ignore<Table>

    add false "law"

    for at, subject in List.indexed subjects do
        add
            false
            (if wide then
                 subject.Name.Replace('-', '\n').Replace(':', '\n')
             else
                 string (at + 1))

    List.iter
        (add true)
        (if wide then
             [ "cases"; "discards"; "comparisons"; "worst\nerror/bound"; "escape\nbelow %" ]
         else
             [ "cases"; "disc."; "compared"; "e/bound"; "esc. %" ])

    for law in laws do
        let row = cells |> List.filter (fun c -> c.Law.Id = law.Id)
        let results = row |> List.collect _.Results

        [|
            Markup.Escape law.Id
            for cell in row do
                let text, colour = mark cell
                $"[{colour}]{Markup.Escape(Terminal.show text)}[/]"
            count (results |> List.sumBy (fun r -> int64 r.Cases))
            count (row |> List.sumBy (fun c -> int64 c.Discarded))
            count (row |> List.sumBy _.Elements)
            (if results |> List.exists (fun r -> r.Tier = Bounded) then
                 ratio (results |> List.map _.Ratio |> List.max)
             else
                 "exact")
            // The weakest of the subjects on which the law holds.
            (match row |> List.filter (fun c -> c.Status = Conclusion.Held && not law.Fixed) with
             | [] -> ""
             | held ->
                 let rate = held |> List.map _.Held |> List.min |> Conclusion.escapeRate
                 (100.0 * rate).ToString("0.0", CultureInfo.InvariantCulture))
        |]
        |> table.AddRow
        |> ignore<Table>

    Terminal.out.Write table

    if not wide then
        for at, subject in List.indexed subjects do
            Terminal.line $"  {at + 1}  {subject.Name}"

    Terminal.line $"  {legend}"

/// What the statistics of the matrix mean, and what the cases covered.
let coverage (cells: Conclusion.Cell list) =
    let summary = cells |> Seq.collect _.Results |> Seq.collect _.Shapes |> Coverage.summary

    if summary.Shapes > 0 then
        let remainders =
            String.Join(", ", [ for modulus, hit in summary.Remainders -> $"{hit} of {3 * modulus} mod {modulus}" ])

        Terminal.line $"  escape: with 95 %% confidence, the share of such cases that a fault which got through would show is below this"

        Terminal.line
            $"  covered: {count (int64 summary.Shapes)} shapes; {summary.PairsHit} of {summary.Pairs} pairs of options; remainders of channels and columns {remainders}"

/// A subject with its verdict and its cells.
type Judged = Subject * Conclusion.Verdict * Conclusion.Cell list

/// The verdict on each subject, one line each, and what the run left out.
let verdicts (leftOut: string list) (judged: Judged list) =
    let width = judged |> List.map (fun (s, _, _) -> s.Name.Length) |> List.fold max 0

    for subject, verdict, cells in judged do
        let ids status =
            [
                for c in cells do
                    if status c then
                        c.Law.Id
            ]

        let held = ids (fun c -> c.Status = Conclusion.Held)
        let warnings = ids (fun c -> c.Law.Strength <> Must && c.Status = Conclusion.Broken)

        let warned =
            if warnings.IsEmpty then
                ""
            else
                "; warning: breaks " + String.Join(", ", warnings)

        let colour, why =
            match verdict with
            | Conclusion.Conforms ->
                let others word status =
                    match ids status with
                    | [] -> ""
                    | some -> $", {some.Length} {word}"

                let unsupported = others "unsupported" (fun c -> c.Status = Conclusion.Refused)
                // Of the laws on what it offers.
                let asked = cells |> List.filter (fun c -> not c.Results.IsEmpty)
                let inapplicable = others "not applicable" (fun c -> c.Status.IsInapplicable && not c.Results.IsEmpty)
                let part = leftOut |> List.map (fun what -> "; " + what) |> String.concat ""
                "green", $"{held.Length} of {asked.Length} laws hold{inapplicable}{unsupported}{warned}{part}"
            | Conclusion.Violates -> "red", String.Join(", ", ids (fun c -> c.Status = Conclusion.Broken))
            | Conclusion.Silent -> "grey", "no selected law can be satisfied by a shape that it supports"
            | Conclusion.Unsettled reasons -> "yellow", String.Join("; ", reasons)

        let word = Conclusion.word leftOut verdict

        Terminal.out.MarkupLine $"{Markup.Escape(subject.Name.PadRight width)}  [{colour}]{word}[/]: {Markup.Escape(Terminal.show why)}"

        let indent = String.replicate width " "

        for law, lean in Conclusion.leaning cells do
            let mean = lean.Mean.ToString("+0.00;-0.00", CultureInfo.InvariantCulture)
            let nearest = (6.0 * lean.StandardError).ToString("0.00", CultureInfo.InvariantCulture)
            let doubt = if lean.Mean < 0.0 then "does it truncate?" else "does it round up?"

            Terminal.line
                $"{indent}  {law.Id}: on positive numbers the mean error is {mean} of its bound; rounding to the nearest gives 0 ± {nearest}: {doubt}"

        // A verdict reaches as far as what was asked.
        if verdict = Conclusion.Conforms then
            let shapes = Conclusion.shapesOf cells

            match Coverage.largest shapes with
            | Some reach ->
                let met, missed = Coverage.extremesOf (Conclusion.leavesRoom subject) shapes
                let pairs = $"{met.Length} of {met.Length + missed.Length} pairs of extremes"
                Terminal.line $"{indent}  up to {Coverage.inWords reach}; {pairs}"
            | None -> ()
