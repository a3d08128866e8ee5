/// What `verify` does once its arguments are understood: run, show the progress, print, write the report, give the exit code.
module internal Conv.Properties.Verify

open System
open System.Collections.Generic
open System.Diagnostics
open System.Globalization
open System.IO
open System.Text
open Conv

let private judged (subjects: Subject list) (cells: Conclusion.Cell list) : Matrix.Judged list =
    [
        for subject in subjects do
            let own = cells |> List.filter (fun c -> c.Subject.Name = subject.Name)
            subject, Conclusion.ofSubject subject own, own
    ]

/// At most this many counterexamples are drawn; the report holds them all.
let private figures = 12

/// Holds subjects to laws.
let laws (options: Run.Options) (chosen: Law list) (subjects: Subject list) (from: Checking.State list) folder quiet =
    let clock = Stopwatch.StartNew()
    let jobs = Rounds.jobs options (Order.arrange chosen) subjects
    let planned = Run.plannedCases options
    let total = jobs |> Array.sumBy (fun (law, _, tier) -> planned law tier)
    let mutable passed, cases, failures, tenths = 0, 0, 0, 0

    /// How many of the planned cases a piece of news does away with, and what to say of it.
    let heard news =
        let steps, failed =
            match news with
            | Rounds.Judged count ->
                cases <- cases + count
                count, None
            | Rounds.Ended result -> planned result.Law result.Tier - result.Cases, result.Failure |> Option.map (fun _ -> result)

        passed <- passed + steps

        match failed with
        | Some result ->
            failures <- failures + 1
            steps, Some $"{result.Law.Id} breaks on {result.Subject.Name}, case {result.Cases} ({result.Tier.Name})"
        | None when passed * 10 / max 1 total > tenths ->
            tenths <- passed * 10 / total
            let found = if failures = 0 then "no failure" else $"{failures} failures"
            steps, Some $"{10 * tenths} %%: {cases} cases, {found}"
        | None -> steps, None

    if not quiet && subjects |> List.exists _.Foreign.IsSome then
        let defaults =
            [ for name, value in Limits.environment -> $"{name}={value}" ]
            |> String.concat " "

        Terminal.line $"foreign processes get {defaults}, where nothing else is set; --env NAME=VALUE sets it"

    let unfinished = Checkpoint.pathIn folder
    let heading = Checkpoint.heading options chosen subjects

    // The traces of a run that did not end, and that this one does not go on with, are put aside.
    if from.IsEmpty && File.Exists unfinished then
        File.Move(unfinished, unfinished + ".old", true)

    let results =
        Terminal.withProgress quiet "holding to the laws" total (fun step ->
            step (from |> List.sumBy _.Index) None
            Rounds.allFrom from (Checkpoint.save unfinished heading) options jobs (heard >> (fun (steps, line) -> step steps line)))

    // A process that fails to answer the laws fails to answer the probes.
    let gone = results |> List.filter _.Abandoned.IsSome |> List.map _.Subject.Name |> HashSet

    let alive = subjects |> List.filter (fun s -> not (gone.Contains s.Name))

    let probed =
        List.zip alive (Probe.all options.Threads alive)
        |> List.map (fun (s, p) -> s.Name, p)
        |> Map.ofList

    let profiles =
        subjects
        |> List.map (fun s -> s, probed.TryFind s.Name |> Option.defaultValue Probe.unknown)

    let seconds = clock.Elapsed.TotalSeconds
    let cells = Conclusion.matrix chosen subjects results
    let judged = judged subjects cells

    if not quiet then
        Matrix.print chosen subjects cells
        Matrix.coverage cells

    let failures =
        [
            for cell in cells do
                for failure in cell.Failures -> cell, failure
        ]

    for cell, failure in List.truncate figures failures do
        Terminal.line ""
        Figure.lines cell.Law cell.Subject failure |> List.iter Terminal.line

    if failures.Length > figures then
        Terminal.line ""
        Terminal.line $"… and {failures.Length - figures} more counterexamples in the report"

    if not failures.IsEmpty then
        Terminal.line ""

    for subject, verdict, own in judged do
        match verdict with
        | Conclusion.Unsettled _ ->
            match Conclusion.leastFactor own with
            | Some(law, case, verdict, factor) ->
                let times = factor.ToString("G3", CultureInfo.InvariantCulture)

                Terminal.line
                    $"{subject.Name} declares no arithmetic, and its results are not those of plain sums. By {law.Id} ({law.Clause}):"

                match verdict with
                | Breaks _ -> Figure.drawing law subject case verdict |> List.tail |> List.iter Terminal.line
                | _ -> ()

                Terminal.line $"  replay \"{Figure.replay subject case}\""

                Terminal.line
                    $"  to accept this, its error must be {times} times a plain sum's bound; who promises an error declares it, as arithmetic=within:F or within:F,global"

                Terminal.line ""
            | None -> ()
        | _ -> ()

    let leftOut = Conclusion.leftOut options chosen
    Matrix.verdicts leftOut judged

    for subject, verdict, _ in judged do
        if verdict = Conclusion.Violates then
            probed.TryFind subject.Name
            |> Option.bind (Claims.undeclared subject)
            |> Option.iter (fun hint -> Terminal.line $"{subject.Name}: {hint}")

    if not quiet then
        Profiles.lines profiles

    let total = results |> List.sumBy (fun r -> int64 r.Cases)
    let path = Path.Combine(folder, "conformance.json")
    Json.save path (Json.conformance options chosen judged profiles seconds)

    Json.saveAs (Path.Combine(folder, "conformance.md")) (fun stream ->
        stream.Write(Encoding.UTF8.GetBytes(Markdown.conformance options leftOut judged profiles seconds)))

    File.Delete unfinished

    if not quiet then
        let inv = CultureInfo.InvariantCulture
        let rate = (float total / seconds).ToString("N0", inv)

        Terminal.line
            $"""{total.ToString("N0", inv)} cases in {seconds.ToString("0.0", inv)} s, {rate} a second; report: {Path.GetRelativePath(Environment.CurrentDirectory, path)}"""

    judged |> List.map (fun (_, verdict, _) -> verdict) |> Conclusion.exitCode

/// Holds subjects to the definition on the layers of a network, or on shapes of the author's.
let workload depth (options: Run.Options) (workload: Workload.Workload) (subjects: Subject list) folder quiet =
    let clock = Stopwatch.StartNew()
    let subjects = subjects |> List.filter (fun s -> s.Profile.Capabilities.Contains Forward)
    let jobs = workload.Layers.Length * subjects.Length

    let results =
        Terminal.withProgress quiet workload.Title jobs (fun step ->
            Layers.run depth options workload subjects (fun r -> step 1 (Some $"{r.Layer.Name} {r.Subject.Name}")))

    let outcomes = Layers.conclude subjects results
    LayerReport.print workload results outcomes quiet
    let path = Path.Combine(folder, "conformance.json")
    Json.save path (LayerReport.json options workload results outcomes clock.Elapsed.TotalSeconds)

    if not quiet then
        let inv = CultureInfo.InvariantCulture
        let peak = (float (Process.GetCurrentProcess().PeakWorkingSet64) / 1048576.0).ToString("N0", inv)

        Terminal.line
            $"""{clock.Elapsed.TotalSeconds.ToString("0.0", inv)} s, {peak} MiB at most; report: {Path.GetRelativePath(Environment.CurrentDirectory, path)}"""

    outcomes |> List.map _.Verdict |> Conclusion.exitCode
