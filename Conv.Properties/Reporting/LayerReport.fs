/// What `verify --workload` prints and writes.
module Conv.Properties.LayerReport

open System
open System.Text.Json
open Spectre.Console

let private broken verdict =
    match verdict with
    | Breaks _
    | Faulted _ -> true
    | _ -> false

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

/// A layer as papers write it: 64×56×56 → 64, 3×3, stride 2, pad 1.
let private brief (s: Conv.ConvShape) =
    let pair name off (a: int) (b: int) =
        if a = off && b = off then ""
        elif a = b then $", {name} {a}"
        else $", {name} {a}×{b}"

    $"{s.InChannels}×{s.InHeight}×{s.InWidth} → {s.OutChannels}, {s.KernelHeight}×{s.KernelWidth}"
    + pair "stride" 1 s.StrideHeight s.StrideWidth
    + pair "pad" 0 s.PadTop s.PadLeft
    + (if s.Groups = 1 then "" else $", groups {s.Groups}")

let private law id = All.tryFind id |> Option.get

/// Prints the table and the verdicts, and gives the exit code.
let print (workload: Workload.Workload) (subjects: Subject list) (results: Layers.Result list) quiet =
    if not quiet then
        Terminal.line $"{workload.Title} ({workload.Source})"
        let table = Table(Border = (if Terminal.unicode then TableBorder.Simple else TableBorder.Ascii))

        for title in [ "layer"; "shape" ] @ [ for s in subjects -> s.Name.Replace('-', '\n') ] do
            let column = TableColumn(Markup.Escape title)
            column.Padding <- Padding(0, 0, 1, 0)
            table.AddColumn column |> ignore<Table>

        for layer in workload.Layers do
            let row = results |> List.filter (fun r -> r.Layer.Name = layer.Name)

            [|
                Markup.Escape layer.Name
                Markup.Escape(Terminal.show (brief layer.Shape))
                for r in row do
                    Terminal.show (mark r.Checksum + mark r.Sampled)
            |]
            |> table.AddRow
            |> ignore<Table>

        Terminal.out.Write table

        Terminal.line
            "  first mark: CHECKSUM on the whole output, integers; second: MODEL-BOUND on sampled elements, reals; u unsupported; – no exact tier"

    for r in results do
        for id, verdict in [ "CHECKSUM", r.Checksum; "MODEL-BOUND", r.Sampled ] do
            match verdict, r.Case with
            | (Breaks { Calls = _ :: _ } | Faulted _), Some case ->
                Figure.ofVerdict (law id) r.Subject case verdict |> List.iter Terminal.line
            | Breaks witness, _ ->
                Terminal.line
                    $"{id} is broken by {r.Subject.Name} at {witness.Wrong.Length} sampled elements of {r.Layer.Name}: {r.Layer.Shape}"
            | _ -> ()

    let verdicts =
        [
            for subject in subjects do
                let own = results |> List.filter (fun r -> r.Subject.Name = subject.Name)
                let verdicts = own |> List.collect (fun r -> [ r.Checksum; r.Sampled ])

                let held =
                    own
                    |> List.filter (fun r ->
                        match r.Checksum, r.Sampled with
                        // Without an exact tier the sampled elements decide.
                        | (Holds _ | NotApplicable _), Holds _ -> true
                        | _ -> false)

                let undecided =
                    own
                    |> List.exists (fun r ->
                        match r.Checksum, r.Sampled with
                        | Undecided _, _
                        | _, Undecided _
                        | _, NotApplicable _ -> true
                        | _ -> false)

                let ratio =
                    own
                    |> List.map (fun r ->
                        match r.Sampled with
                        | Holds e -> e.Ratio
                        | _ -> 0.0)
                    |> List.fold max 0.0

                let verdict, say =
                    if List.exists broken verdicts then
                        Conclusion.Violates, "[red]violates[/]"
                    elif undecided then
                        Conclusion.Unsettled [], "[yellow]undecided[/]"
                    elif held.IsEmpty then
                        Conclusion.Silent, "[grey]silent[/]: it supports no layer"
                    else
                        Conclusion.Conforms, "[green]conforms[/]"

                let seconds = own |> List.sumBy _.Seconds

                let figures =
                    FormattableString.Invariant $"{held.Length} of {own.Length} layers hold, worst error/bound {ratio:F4}, {seconds:F1} s"

                Terminal.out.MarkupLine $"{Markup.Escape(subject.Name.PadRight 16)} {say}; {figures}"
                verdict
        ]

    Conclusion.exitCode verdicts

/// conformance.json of a workload.
let json options (workload: Workload.Workload) (results: Layers.Result list) seconds (w: Utf8JsonWriter) =
    w.WriteStartObject()
    Json.heading options seconds w
    w.WriteString("workload", workload.Name)
    w.WriteString("source", workload.Source)
    w.WriteStartArray "layers"

    for r in results do
        w.WriteStartObject()
        w.WriteString("layer", r.Layer.Name)
        w.WriteString("shape", string r.Layer.Shape)
        w.WriteNumber("count", r.Layer.Count)
        w.WriteString("subject", r.Subject.Name)
        w.WriteString("checksum", word r.Checksum)
        w.WriteString("sampled", word r.Sampled)

        match r.Sampled with
        | Holds e -> w.WriteNumber("worstErrorOverBound", e.Ratio)
        | _ -> ()

        r.Case
        |> Option.iter (fun case -> w.WriteString("replay", Figure.replay r.Subject case))

        w.WriteNumber("seconds", Math.Round(r.Seconds, 3))
        w.WriteEndObject()

    w.WriteEndArray()
    w.WriteEndObject()
