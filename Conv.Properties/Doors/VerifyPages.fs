/// `verify --guard-pages`: the laws that lay memory, beside pages that nobody may touch. A touched page ends the process: each subject is
/// judged in a child, and what a child was judging when it died is a counterexample.
module internal Conv.Properties.VerifyPages

open System
open System.IO
open System.Text.Json
open System.Threading.Tasks
open Spectre.Console

/// What ended a child that was judging.
type private Death =
    {
        Last: Paged.Last
        Law: Law
        Case: Case
        Ended: Child.Ended
        /// It also dies where there are no pages: then the pages are not to blame.
        Anyway: bool
    }

type private Outcome =
    {
        Subject: Subject
        /// (law, status) of those that were judged to the end.
        Statuses: (string * string) list
        /// The exit codes and what they printed, of children that came to their end.
        Ran: (int * string list) list
        Deaths: Death list
        /// A child that ended before it judged anything, or by something that no page does.
        Crashed: Child.Ended option
    }

let private guardZones = (All.tryFind "GUARD-ZONES").Value

/// A fresh name for the case that a child is judging.
let private journaling (work: string -> 'a) =
    let path = Path.GetTempFileName()

    try
        work path
    finally
        File.Delete path

/// How a child ended that judged beside pages: by itself, or dead in front of a case.
let private judge heard (arguments: string list) =
    journaling (fun journal ->
        let ended = arguments @ [ "--pages-journal"; journal ] |> Child.run [] [] None heard

        if ExitCode.ofChild ended.ExitCode = ended.ExitCode then
            ended, None
        else
            match Paged.last journal with
            | Some last when last.Pages <> NoPages ->
                let _, case = Case.parse last.Line

                match All.tryFind case.Law with
                | None -> ended, None
                | Some law ->
                    let again = Child.run [] [] None ignore [ "replay"; last.Line ]

                    ended,
                    Some
                        {
                            Last = last
                            Law = law
                            Case = case
                            Ended = ended
                            Anyway = not (ExitCode.hasJudged again.ExitCode)
                        }
            | _ -> ended, None)

let private statuses (path: string) =
    use document = JsonDocument.Parse(File.ReadAllText path)
    let text (e: JsonElement) (name: string) = string (e.GetProperty(name).GetString())

    [
        for result in document.RootElement.GetProperty("results").EnumerateArray() -> text result "law", text result "status"
    ]

/// A subject's name as a folder's.
let private folderOf (name: string) =
    let bad = Set.ofArray (Path.GetInvalidFileNameChars()) + set [ ':'; '/'; '\\'; ' ' ]
    String.map (fun c -> if bad.Contains c then '-' else c) name

/// One subject. A child that died left no report: the others are judged again without the law in front of which it died.
let private hold (arguments: string list) (laws: Law list) folder quiet (subject: Subject) =
    let folder = Directory.CreateDirectory(Path.Combine(folder, "pages", folderOf subject.Name)).FullName

    let report = Path.Combine(folder, "conformance.json")
    // Without the traces of the dying.
    let heard (line: string) =
        if not quiet && not (line.StartsWith ' ') then
            Console.Error.WriteLine $"{subject.Name}: {line}"

    let rec from (laws: Law list) outcome =
        File.Delete report
        let named = laws |> List.map _.Id |> String.concat ","

        let ended, death =
            [ "verify"; subject.Name; "--laws"; named ]
            @ arguments
            @ [ "--threads"; "1"; "--report"; folder ]
            |> judge heard

        match death with
        | Some death ->
            let outcome = { outcome with Deaths = outcome.Deaths @ [ death ] }

            match laws |> List.filter (fun law -> law.Id <> death.Law.Id) with
            | [] -> outcome
            | rest when rest.Length = laws.Length -> { outcome with Crashed = Some ended }
            | rest -> from rest outcome
        | None when File.Exists report ->
            { outcome with
                Statuses = statuses report
                Ran = [ ended.ExitCode, ended.Output ]
            }
        | None -> { outcome with Crashed = Some ended }

    from laws { Subject = subject; Statuses = []; Ran = []; Deaths = []; Crashed = None }

let private where pages =
    match pages with
    | PageBefore -> "before the first"
    | _ -> "behind the last"

/// A death as a counterexample, line by line, with what the dying said or without.
let private figure (subject: string) says death =
    [
        if death.Anyway then
            $"{death.Law.Id} cannot be judged on {subject}: the process dies (exit code {death.Ended.ExitCode}), with or without pages around its tensors"
        else
            $"{guardZones.Id} ({guardZones.Clause}) is broken by {subject}: {guardZones.Statement}"
            $"  judged on {death.Law.Id}, with a page {where death.Last.Pages} element of each tensor the process died (exit code {death.Ended.ExitCode}); without pages it lives"

        $"  {death.Case.Problem}"

        if says then
            for line in death.Ended.LastLines do
                "    " + line

        $"  replay --guard-pages \"{death.Last.Line}\""
    ]

let private blames outcome = outcome.Deaths |> List.exists (fun d -> not d.Anyway)

let private codeOf death = if death.Anyway then ExitCode.Undecided else ExitCode.Violates

let private code outcome =
    let codes =
        [
            yield! List.map fst outcome.Ran
            for death in outcome.Deaths do
                codeOf death
            if outcome.Crashed.IsSome then
                ExitCode.Undecided
        ]

    // A subject that was asked nothing breaks nothing.
    ExitCode.ofAll (ExitCode.Conforms :: codes)

let private table (laws: Law list) (outcomes: Outcome list) =
    let table = Table(Border = (if Terminal.unicode then TableBorder.Simple else TableBorder.Ascii))
    table.AddColumn "law" |> ignore<Table>

    for outcome in outcomes do
        table.AddColumn(Markup.Escape(outcome.Subject.Name.Replace('-', '\n').Replace(':', '\n')))
        |> ignore<Table>

    for law in laws do
        [|
            law.Id
            for outcome in outcomes do
                let mark =
                    match
                        outcome.Deaths |> List.tryFind (fun d -> d.Law.Id = law.Id),
                        outcome.Statuses |> List.tryFind (fun (id, _) -> id = law.Id)
                    with
                    | Some death, _ -> if death.Anyway then "[yellow]? died[/]" else "[red]✗ died[/]"
                    | None, Some(_, "holds") -> "[green]✓[/]"
                    | None, Some(_, "broken") -> "[red]✗[/]"
                    | None, Some(_, "not applicable") -> "[grey]–[/]"
                    | None, Some(_, "unsupported") -> "[grey]u[/]"
                    | _ -> "[yellow]?[/]"

                Terminal.show mark
        |]
        |> table.AddRow
        |> ignore<Table>

    Terminal.out.Write table

let private save path (outcomes: Outcome list) =
    Json.save path (fun w ->
        w.WriteStartObject()
        w.WriteNumber("format", Json.format)
        w.WriteString("tool", $"Conv {Json.version}")
        w.WriteStartArray "subjects"

        for outcome in outcomes do
            w.WriteStartObject()
            w.WriteString("name", outcome.Subject.Name)
            w.WriteNumber("exitCode", code outcome)
            w.WriteStartObject "laws"

            for id, status in outcome.Statuses do
                w.WriteString(id, status)

            w.WriteEndObject()
            w.WriteStartArray "deaths"

            for death in outcome.Deaths do
                w.WriteStartObject()
                w.WriteString("breaks", (if death.Anyway then "nothing: it dies without pages too" else guardZones.Id))
                w.WriteString("judged", death.Law.Id)
                w.WriteNumber("exitCode", death.Ended.ExitCode)
                w.WriteString("replay", death.Last.Line)
                w.WriteEndObject()

            w.WriteEndArray()
            w.WriteEndObject()

        w.WriteEndArray()
        w.WriteEndObject())

/// Holds the subjects to the laws that lay memory; `arguments` are those of `verify` that a child is told beside subject, laws and report.
let run (arguments: string list) (laws: Law list) (subjects: Subject list) threads folder quiet =
    let laid, others = subjects |> List.partition (fun s -> s.Profile.Capabilities.Contains Placed)

    let outcomes = Array.zeroCreate<Outcome> laid.Length

    let one at = outcomes[at] <- hold arguments laws folder quiet laid[at]

    Parallel.For(0, laid.Length, ParallelOptions(MaxDegreeOfParallelism = threads), one)
    |> ignore<ParallelLoopResult>

    let outcomes = List.ofArray outcomes

    if not outcomes.IsEmpty && not quiet then
        table laws outcomes

    for outcome in outcomes do
        for at, death in List.indexed outcome.Deaths do
            Terminal.line ""

            figure outcome.Subject.Name (at = 0) death |> List.iter Terminal.line

        for code, output in outcome.Ran do
            // After a death, laws that say nothing are no news.
            if code = ExitCode.Violates || code <> ExitCode.Conforms && outcome.Deaths.IsEmpty then
                Terminal.line $"{outcome.Subject.Name}, beside pages:"
                output |> List.iter (fun line -> Terminal.line ("  " + line))

        match outcome.Crashed with
        | Some ended ->
            Terminal.line
                $"{outcome.Subject.Name}: the process crashed with exit code {ended.ExitCode}, and not in a call beside pages; its last lines:"

            ended.LastLines |> List.iter (fun line -> Terminal.line ("  " + line))
        | None -> ()

    for outcome in outcomes do
        let word =
            match code outcome with
            | ExitCode.Conforms -> "touches nothing beside its tensors"
            | ExitCode.Violates when blames outcome -> $"violates: {guardZones.Id}"
            | ExitCode.Violates -> "violates"
            | _ -> "undecided"

        Terminal.line $"{outcome.Subject.Name}: {word}"

    for subject in others do
        Terminal.line $"{subject.Name}: silent, since it works in no memory of the kit's"

    save (Path.Combine(folder, "guard-pages.json")) outcomes
    outcomes |> List.map code |> ExitCode.ofAll

/// Judges one line beside pages.
let replay (line: string) (subject: string option) =
    let arguments =
        [
            "replay"
            line
            match subject with
            | Some name ->
                "--subject"
                name
            | None -> ()
        ]

    match judge ignore arguments with
    | _, Some death ->
        let name, _ = Case.parse death.Last.Line

        figure (Option.defaultValue "the subject" name) true death
        |> List.iter Terminal.line

        codeOf death
    | ended, None ->
        ended.Output |> List.iter Terminal.line
        ended.Errors |> List.iter Console.Error.WriteLine
        ExitCode.ofChild ended.ExitCode
