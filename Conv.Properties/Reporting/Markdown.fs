/// The report as a page to read: conformance.md beside conformance.json.
module internal Conv.Properties.Markdown

open System
open System.Globalization
open System.Runtime.InteropServices
open Conv

let private inv = CultureInfo.InvariantCulture

/// Text in a cell of a table.
let private cell (text: string) = text.Replace("|", "\\|")

let private table (head: string list) (rows: string list list) =
    let line cells = "| " + String.concat " | " cells + " |"
    line head :: ("|" + String.replicate head.Length "---|") :: List.map line rows

let private status (cell: Conclusion.Cell) =
    match cell.Status with
    | Conclusion.Held -> "holds"
    | Conclusion.Broken when cell.Law.Strength = Must -> "**broken**"
    | Conclusion.Broken -> $"broken ({Json.strength cell.Law})"
    | Conclusion.Open reason -> $"undecided: {reason}"
    | Conclusion.Inapplicable _ -> "not applicable"
    | Conclusion.Refused -> "unsupported"

let private verdict leftOut judged =
    match judged with
    | Conclusion.Unsettled reasons -> "undecided: " + String.concat "; " reasons
    | Conclusion.Silent -> "no selected law says anything about it"
    | _ -> Conclusion.word leftOut judged

let private subject leftOut (judged: Matrix.Judged, probed: Probe.Probed) =
    let subject, conclusion, cells = judged
    let count status = cells |> List.filter status |> List.length
    let held = count (fun c -> c.Status = Conclusion.Held)
    let broken = cells |> List.filter (fun c -> c.Status = Conclusion.Broken)
    let asked = cells |> List.filter (fun c -> not c.Results.IsEmpty)

    [
        $"## {cell subject.Name}"
        ""
        $"**{verdict leftOut conclusion}**: {held} laws hold, {broken.Length} are broken, of {asked.Length} that it can be asked."
        ""

        if Profiles.applies subject then
            $"- declared: {Profiles.declared subject probed}"
            $"- probed: {Profiles.probed probed}"

            match Profiles.differences subject probed with
            | Some text -> $"- ≠ {text}"
            | None -> ()

            ""

        for c in broken do
            $"### {c.Law.Id} ({c.Law.Clause}, {Json.strength c.Law})"
            ""

            for failure in c.Failures do
                "```"
                yield! Figure.lines c.Law c.Subject failure
                "```"
                ""

        yield!
            table
                [ "law"; "clause"; "status"; "cases that decided"; "numbers compared"; "worst error / bound" ]
                [
                    for c in asked do
                        let ratio = c.Results |> List.map _.Ratio |> List.max
                        let shown = if ratio = 0.0 then "0" else ratio.ToString("0.0000", inv)
                        [ c.Law.Id; c.Law.Clause; cell (status c); string c.Held; c.Elements.ToString("N0", inv); shown ]
                ]

        ""
    ]

/// The whole of a run of `verify`.
let conformance
    (options: Run.Options)
    (leftOut: string list)
    (judged: Matrix.Judged list)
    (profiles: (Subject * Probe.Probed) list)
    (seconds: float)
    =
    let tiers = options.Tiers |> List.map _.Name |> String.concat " and "
    let date = DateTime.UtcNow.ToString("yyyy-MM-dd", inv)

    let cases =
        judged
        |> List.sumBy (fun (_, _, cells) -> cells |> List.sumBy (fun c -> c.Results |> List.sumBy _.Cases))

    [
        "# Conformance"
        ""
        $"Conv {Json.version}, specification 0.1, {date}, seed 0x{options.Seed:x}, {options.Cases} cases for each law and tier ({tiers}):"
        $"""{cases.ToString("N0", inv)} cases in {seconds.ToString("0", inv)} s on {RuntimeInformation.OSDescription.Trim()}, {RuntimeInformation.ProcessArchitecture}, {InstructionSet.here}."""
        ""
        if not leftOut.IsEmpty then
            "**A partial run**: " + String.concat "; " leftOut + "."
            ""
        for one in List.zip judged (List.map snd profiles) do
            yield! subject leftOut one
    ]
    |> String.concat "\n"
    |> _.TrimEnd('\n')
    |> fun text -> text + "\n"
