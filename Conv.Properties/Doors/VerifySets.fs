/// `verify --isa`: the same run on several instruction sets, each in a process of its own, and what their reports say beside each other.
module internal Conv.Properties.VerifySets

open System
open System.IO
open System.Text.Json
open Spectre.Console

/// The exact results of a law on a subject, as a report tells of them.
type private Exact = { Cases: string; Outputs: string; Failed: bool }

/// What a process left behind.
type private Report =
    {
        Instructions: Instructions option
        /// Subject → verdict.
        Verdicts: (string * string) list
        /// (law, subject) → its exact results.
        Exact: Map<string * string, Exact>
    }

type private Outcome =
    /// The exit code of `verify`, and its report.
    | Ran of code: int * Report
    | Crashed of Child.Ended
    /// The machine, or the runtime on it, has no such instructions; what the switches gave instead.
    | Lacking of Instructions option

let private read (path: string) =
    use document = JsonDocument.Parse(File.ReadAllText path)
    let root = document.RootElement
    let text (e: JsonElement) (name: string) = string (e.GetProperty(name).GetString())

    {
        Instructions = InstructionSet.tryParse (text (root.GetProperty "host") "instructions")
        Verdicts = [ for s in root.GetProperty("subjects").EnumerateArray() -> text s "name", text s "verdict" ]
        Exact =
            Map
                [
                    for result in root.GetProperty("results").EnumerateArray() do
                        for tier in result.GetProperty("tiers").EnumerateArray() do
                            match tier.TryGetProperty "outputsDigest" with
                            | true, digest ->
                                let failed =
                                    result.GetProperty("failures").EnumerateArray()
                                    |> Seq.exists (fun f -> text f "tier" = Exact.Name)

                                (text result "law", text result "subject"),
                                {
                                    Cases = text tier "casesDigest"
                                    Outputs = string (digest.GetString())
                                    Failed = failed
                                }
                            | _ -> ()
                ]
    }

/// What a process that is started for a set says that it runs on.
let private probe set =
    let ended =
        Child.run InstructionSet.cleared (InstructionSet.variables set) (Some(TimeSpan.FromMinutes 1.0)) ignore [ "instructions" ]

    ended.Output |> List.tryPick InstructionSet.tryParse

let private reportName = "conformance.json"

let private runOn (arguments: string list) (folder: string) quiet (set: InstructionSet) =
    // The host's own run inherits everything.
    let cleared = if set.Switches.IsEmpty then [] else InstructionSet.cleared

    match (if set.Switches.IsEmpty then Some InstructionSet.here else probe set) with
    | Some found when set.IsMeant found ->
        let folder = Directory.CreateDirectory(Path.Combine(folder, set.Name)).FullName
        let path = Path.Combine(folder, reportName)
        // A report of an earlier run is none of this one.
        File.Delete path

        // Without the traces of the dying.
        let heard (line: string) =
            if not quiet && not (line.StartsWith ' ') then
                Console.Error.WriteLine $"{set.Name}: {line}"

        let ended =
            arguments @ [ "--report"; folder ]
            |> Child.run cleared (InstructionSet.variables set) None heard

        if ExitCode.hasJudged ended.ExitCode && File.Exists path then
            // What went wrong is shown as the process showed it.
            if ended.ExitCode <> ExitCode.Conforms then
                Terminal.line $"on {set.Name}:"
                ended.Output |> List.iter (fun line -> Terminal.line ("  " + line))

            Ran(ended.ExitCode, read path)
        else
            Crashed ended
    | found -> Lacking found

/// A difference between two sets' exact results.
type private Difference = { Law: string; Subject: string; One: string; Other: string; Comparable: bool }

/// The digest of no results.
let private none = String('0', 16)

/// Each set against the first that has the same law and subject; those that broke the law stopped elsewhere, and are told already.
let private differences (reports: (InstructionSet * Report) list) =
    let keys =
        reports
        |> List.collect (fun (_, r) -> List.map fst (Map.toList r.Exact))
        |> List.distinct

    let compared =
        [
            for law, subject in keys do
                let held =
                    reports
                    |> List.choose (fun (set, r) ->
                        match r.Exact.TryFind(law, subject) with
                        | Some exact when not exact.Failed -> Some(set, exact)
                        | _ -> None)

                match held with
                // No call of the law has a result that is exact by certificate.
                | held when held |> List.forall (fun (_, exact) -> exact.Outputs = none) -> ()
                | (first, exact) :: (_ :: _ as others) ->
                    [
                        for set, other in others do
                            if (other.Cases, other.Outputs) <> (exact.Cases, exact.Outputs) then
                                {
                                    Law = law
                                    Subject = subject
                                    One = first.Name
                                    Other = set.Name
                                    Comparable = other.Cases = exact.Cases
                                }
                    ]
                | _ -> ()
        ]

    compared.Length, List.concat compared

let private say (i: Instructions) =
    let vectors = if i.VectorBits = 0 then "no vectors" else $"Vector<T> of {i.VectorBits} bits"
    let widest = if i.WidestBits > i.VectorBits then $", up to {i.WidestBits}" else ""
    let fused = if i.Fused then "fused" else "no fused"
    $"{vectors}{widest}, {fused} multiply-add"

let private table (outcomes: (InstructionSet * Outcome) list) =
    let subjects =
        outcomes
        |> List.collect (fun (_, outcome) ->
            match outcome with
            | Ran(_, report) -> List.map fst report.Verdicts
            | _ -> [])
        |> List.distinct

    let table = Table(Border = (if Terminal.unicode then TableBorder.Simple else TableBorder.Ascii))
    table.AddColumn "subject" |> ignore<Table>

    for set, _ in outcomes do
        table.AddColumn set.Name |> ignore<Table>

    for subject in subjects do
        [|
            Markup.Escape subject
            for _, outcome in outcomes do
                match outcome with
                | Ran(_, report) ->
                    match report.Verdicts |> List.tryFind (fst >> (=) subject) |> Option.map snd with
                    | Some("conforms" | "partial" as word) -> $"[green]{word}[/]"
                    | Some "violates" -> "[red]violates[/]"
                    | Some other -> $"[yellow]{Markup.Escape other}[/]"
                    | None -> "[yellow]missing[/]"
                | Crashed _ -> "[red]crashed[/]"
                | Lacking _ -> "[grey]lacking[/]"
        |]
        |> table.AddRow
        |> ignore<Table>

    Terminal.out.Write table

let private save path (outcomes: (InstructionSet * Outcome) list) compared (different: Difference list) =
    Json.save path (fun w ->
        w.WriteStartObject()
        w.WriteNumber("format", Json.format)
        w.WriteString("tool", $"Conv {Json.version}")
        w.WriteStartArray "instructionSets"

        for set, outcome in outcomes do
            w.WriteStartObject()
            w.WriteString("name", set.Name)

            match outcome with
            | Ran(code, report) ->
                w.WriteString("outcome", "ran")
                w.WriteNumber("exitCode", code)

                report.Instructions
                |> Option.iter (fun i -> w.WriteString("instructions", string i))

                w.WriteString("report", set.Name + "/" + reportName)
                w.WriteStartObject "verdicts"

                for subject, verdict in report.Verdicts do
                    w.WriteString(subject, verdict)

                w.WriteEndObject()
            | Crashed ended ->
                w.WriteString("outcome", "crashed")
                w.WriteNumber("exitCode", ended.ExitCode)
                w.WriteString("lastLines", String.Join('\n', ended.LastLines))
            | Lacking found ->
                w.WriteString("outcome", "lacking")
                found |> Option.iter (fun i -> w.WriteString("instructions", string i))

            w.WriteEndObject()

        w.WriteEndArray()
        w.WriteNumber("exactResultsCompared", (compared: int))
        w.WriteStartArray "differences"

        for d in different do
            w.WriteStartObject()
            w.WriteString("law", d.Law)
            w.WriteString("subject", d.Subject)
            w.WriteString("one", d.One)
            w.WriteString("other", d.Other)
            w.WriteString("what", (if d.Comparable then "outputs" else "cases"))
            w.WriteEndObject()

        w.WriteEndArray()
        w.WriteEndObject())

/// Runs `verify` with the arguments on each set. `named`: the sets were asked for one by one, and one that is lacking settles nothing.
let run (arguments: string list) (sets: InstructionSet list) named folder quiet =
    let outcomes = sets |> List.map (fun set -> set, runOn arguments folder quiet set)

    let reports =
        outcomes
        |> List.choose (fun (set, outcome) ->
            match outcome with
            | Ran(_, report) -> Some(set, report)
            | _ -> None)

    let compared, different = differences reports
    table outcomes

    for set, outcome in outcomes do
        match outcome with
        | Ran(_, { Instructions = Some i }) -> Terminal.line $"{set.Name}: {say i}"
        | Ran _ -> Terminal.line $"{set.Name}: the report does not say what it ran on"
        | Crashed ended ->
            Terminal.line $"{set.Name}: the process crashed with exit code {ended.ExitCode}; its last lines:"
            ended.LastLines |> List.iter (fun line -> Terminal.line ("  " + line))
        | Lacking(Some found) -> Terminal.line $"{set.Name}: this machine has none; with the switches set it runs {say found}"
        | Lacking None -> Terminal.line $"{set.Name}: a process with the switches set does not start"

    for d in different do
        if d.Comparable then
            Terminal.line $"{d.Law}: the exact results of {d.Subject} on {d.One} and on {d.Other} differ in their bits"
        else
            Terminal.line $"{d.Law}: the cases of {d.Subject} on {d.One} and on {d.Other} differ: nothing is compared"

    if compared = 0 then
        Terminal.line "exact results: nothing was compared across instruction sets"
    elif different.IsEmpty then
        let names = reports |> List.map (fun (set, _) -> set.Name) |> String.concat ", "
        Terminal.line $"exact results: the same bits on {names}, for {compared} pairs of law and subject"

    save (Path.Combine(folder, "instruction-sets.json")) outcomes compared different

    let codes =
        [
            for set, outcome in outcomes do
                match outcome with
                | Ran(code, report) ->
                    code

                    // It must have run what it was started for.
                    if not (report.Instructions |> Option.exists set.IsMeant) then
                        ExitCode.Undecided
                | Crashed _ -> ExitCode.Undecided
                | Lacking _ ->
                    if named then
                        ExitCode.Undecided
            for d in different do
                if d.Comparable then ExitCode.Violates else ExitCode.Undecided
        ]

    ExitCode.ofAll codes
