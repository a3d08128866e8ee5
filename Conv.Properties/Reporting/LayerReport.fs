/// What `verify --workload` prints and writes.
module internal Conv.Properties.LayerReport

open System
open System.Text.Json
open Spectre.Console

let private mark verdict =
    match verdict with
    | Holds _ -> "[green]✓[/]"
    | Breaks _
    | Faulted _ -> "[red]✗[/]"
    | Unsupported _ -> "[grey]u[/]"
    | Undecided _ -> "[yellow]?[/]"
    | NotApplicable _ -> "[grey]–[/]"

let private word verdict =
    match verdict with
    | Holds _ -> "holds"
    | Breaks _
    | Faulted _ -> "broken"
    | Unsupported _ -> "unsupported"
    | Undecided reason -> "undecided: " + reason
    | NotApplicable reason -> "not applicable: " + reason

/// Which of several verdicts is shown for all.
let private severity verdict =
    match verdict with
    | Breaks _
    | Faulted _ -> 4
    | Undecided _ -> 3
    | Holds _ -> 2
    | NotApplicable _ -> 1
    | Unsupported _ -> 0

/// A layer as papers write it: 64×56×56 → 64, 3×3, stride 2, pad 1.
let private brief (s: Conv.ConvShape) =
    let pair name off (number: Conv.Axis -> int) =
        let a, b = number s.Rows, number s.Columns

        if a = off && b = off then ""
        elif a = b then $", {name} {a}"
        else $", {name} {a}×{b}"

    $"{s.InChannels}×{s.Rows.Size}×{s.Columns.Size} → {s.OutChannels}, {s.Rows.Taps}×{s.Columns.Taps}"
    + pair "stride" 1 _.Stride
    + pair "pad" 0 _.Before
    + (if s.Groups = 1 then "" else $", groups {s.Groups}")

let private law id = All.tryFind id |> Option.get

/// Prints the table, the counterexamples and the verdicts.
let print (workload: Workload.Workload) (results: Layers.Result list) (outcomes: Layers.Outcome list) quiet =
    if not quiet then
        Terminal.line $"{workload.Title} ({workload.Source})"
        let table = Table(Border = (if Terminal.unicode then TableBorder.Simple else TableBorder.Ascii))

        for title in
            [ "layer"; "shape" ]
            @ [ for o in outcomes -> o.Subject.Name.Replace('-', '\n') ] do
            let column = TableColumn(Markup.Escape title)
            column.Padding <- Padding(0, 0, 1, 0)
            table.AddColumn column |> ignore<Table>

        for layer in workload.Layers do
            let row = results |> List.filter (fun r -> r.Layer.Name = layer.Name)

            [|
                Markup.Escape layer.Name
                Markup.Escape(Terminal.show (brief layer.Shape))
                for r in row do
                    let beside =
                        if r.Neighbours.IsEmpty then
                            ""
                        else
                            r.Neighbours @ r.Special
                            |> List.map (fun (_, verdict, _) -> verdict)
                            |> List.maxBy severity
                            |> mark

                    let certified =
                        if r.Certificates.IsEmpty then ""
                        elif r.Certificates |> List.exists (snd >> _.IsDiffers) then "[red]✗[/]"
                        elif r.Certificates |> List.forall (snd >> _.IsCertified) then "[green]✓[/]"
                        else "[grey]–[/]"

                    Terminal.show (mark r.Checksum + mark r.Sampled + beside + certified)
            |]
            |> table.AddRow
            |> ignore<Table>

        Terminal.out.Write table

        Terminal.line
            "  first mark: CHECKSUM on the whole output, integers; second: MODEL-BOUND on sampled elements, reals; third: CHECKSUM on problems like it, and what is not finite at its own size; fourth: certificates of each operation; u unsupported; – no exact tier"

    for r in results do
        for id, verdict in [ "CHECKSUM", r.Checksum; "MODEL-BOUND", r.Sampled ] do
            match verdict, r.Case with
            | (Breaks { Calls = _ :: _ } | Faulted _), Some case ->
                Figure.ofVerdict (law id) r.Subject case verdict |> List.iter Terminal.line
            | Breaks witness, _ ->
                Terminal.line
                    $"{id} is broken by {r.Subject.Name} at {witness.Wrong.Length} sampled elements of {r.Layer.Name}: {r.Layer.Shape}"
            | _ -> ()

        for operation, certified in r.Certificates do
            match certified with
            | Layers.Differs(verdict, case) ->
                Terminal.line $"{r.Layer.Name}, {Operation.title operation}:"

                Figure.ofVerdict (law case.Law) r.Subject case verdict
                |> List.iter Terminal.line
            | _ -> ()

        for name, verdict, case in r.Neighbours @ r.Special do
            match verdict with
            | Breaks _
            | Faulted _ ->
                Terminal.line $"{r.Layer.Name}, {name}:"

                Figure.ofVerdict (law case.Law) r.Subject case verdict
                |> List.iter Terminal.line
            | _ -> ()

    for outcome in outcomes do
        let say =
            match outcome.Verdict with
            | Conclusion.Violates -> "[red]violates[/]"
            | Conclusion.Unsettled reasons -> "[yellow]undecided[/]: " + Markup.Escape(String.Join("; ", reasons))
            | Conclusion.Silent -> "[grey]silent[/]: it supports no layer"
            | Conclusion.Conforms -> "[green]conforms[/]"

        let figures =
            FormattableString.Invariant
                $"{outcome.Held} of {outcome.Layers} layers hold, worst error/bound {outcome.Ratio:F4}, {outcome.Seconds:F1} s"

        Terminal.out.MarkupLine $"{Markup.Escape(outcome.Subject.Name.PadRight 16)} {say}; {figures}"

        let own = results |> List.filter (fun r -> r.Subject.Name = outcome.Subject.Name)

        let count n = if n = 1 then "1 shape" else $"{n} shapes"

        for operation, certified in own |> List.collect _.Certificates |> List.groupBy fst do
            let certificates =
                certified
                |> List.choose (function
                    | _, Layers.Certified certificate -> Some certificate
                    | _ -> None)

            let title = Operation.title operation

            let without =
                match certified |> List.filter (snd >> _.IsUncertified) |> List.length with
                | 0 -> ""
                | some -> $"; {count some} without a certificate"

            match certificates with
            | [] -> Terminal.line $"  {title}: right on none{without}"
            | _ ->
                let worst = certificates |> List.map _.EscapeProbability |> List.max

                Terminal.line (
                    FormattableString.Invariant
                        $"  {title}: right on {count certificates.Length}; a fault that does not depend on the values escapes each with probability below {worst:G1} (docs/bounds.md, lemma 21){without}"
                )

/// conformance.json of a workload.
let json options (workload: Workload.Workload) (results: Layers.Result list) (outcomes: Layers.Outcome list) seconds (w: Utf8JsonWriter) =
    w.WriteStartObject()
    Json.heading options seconds w
    w.WriteString("workload", workload.Name)
    w.WriteString("source", workload.Source)
    w.WriteStartArray "subjects"

    for outcome in outcomes do
        w.WriteStartObject()
        w.WriteString("name", outcome.Subject.Name)
        w.WriteString("verdict", Conclusion.word [] outcome.Verdict)
        w.WriteNumber("held", outcome.Held)
        w.WriteNumber("layers", outcome.Layers)
        w.WriteEndObject()

    w.WriteEndArray()
    w.WriteStartArray "layers"

    for r in results do
        w.WriteStartObject()
        w.WriteString("layer", r.Layer.Name)
        w.WriteString("shape", string r.Layer.Shape)
        w.WriteNumber("count", r.Layer.Count)
        w.WriteString("subject", r.Subject.Name)
        w.WriteString("checksum", word r.Checksum)
        w.WriteString("sampled", word r.Sampled)

        if not r.Certificates.IsEmpty then
            w.WriteStartArray "certificates"

            for operation, certified in r.Certificates do
                w.WriteStartObject()
                w.WriteString("operation", Operation.title operation)

                match certified with
                | Layers.Certified c ->
                    w.WriteNumber("numbers", c.Numbers)
                    w.WriteNumber("draws", c.Draws)
                    w.WriteNumber("escapeProbabilityBelow", c.EscapeProbability)
                | Layers.Uncertified -> w.WriteNull "draws"
                | Layers.Differs(_, case) -> w.WriteString("differs", Figure.replay r.Subject case)

                w.WriteEndObject()

            w.WriteEndArray()

        if not r.Neighbours.IsEmpty then
            w.WriteStartArray "neighbours"

            for name, verdict, case in r.Neighbours do
                w.WriteStartObject()
                w.WriteString("changed", name)
                w.WriteString("shape", string case.Problem)
                w.WriteString("checksum", word verdict)
                w.WriteEndObject()

            w.WriteEndArray()

        if not r.Special.IsEmpty then
            w.WriteStartArray "special"

            for id, verdict, case in r.Special do
                w.WriteStartObject()
                w.WriteString("law", id)
                w.WriteString("verdict", word verdict)
                w.WriteString("replay", Figure.replay r.Subject case)
                w.WriteEndObject()

            w.WriteEndArray()

        match r.Sampled with
        | Holds e -> w.WriteNumber("worstErrorOverBound", e.Ratio)
        | _ -> ()

        r.Case
        |> Option.iter (fun case -> w.WriteString("replay", Figure.replay r.Subject case))

        w.WriteNumber("seconds", Math.Round(r.Seconds, 3))
        w.WriteEndObject()

    w.WriteEndArray()
    w.WriteEndObject()
