/// What `verify` does once its arguments are understood: run, show the progress, print, write the report, give the exit code.
module Conv.Properties.Verify

open System
open System.Collections.Generic
open System.Diagnostics
open System.Globalization
open System.IO
open Spectre.Console
open Conv

/// Runs with a live bar where somebody watches, with plain lines where not, or silently. `work` is given what to call after each step.
let private withProgress quiet (title: string) steps (work: (string option -> unit) -> 'a) : 'a =
    if quiet then
        work ignore
    elif Terminal.watched then
        let columns: ProgressColumn[] =
            [|
                SpinnerColumn()
                TaskDescriptionColumn(Alignment = Justify.Left)
                ProgressBarColumn()
                PercentageColumn()
                RemainingTimeColumn()
            |]

        Terminal.err
            .Progress()
            .AutoClear(true)
            .Columns(columns)
            .Start(fun context ->
                let task = context.AddTask(Markup.Escape title, true, float (max 1 steps))

                work (fun line ->
                    line
                    |> Option.iter (fun l -> task.Description <- Markup.Escape(Terminal.show l))

                    task.Increment 1.0))
    else
        work (Option.iter (fun line -> Console.Error.WriteLine(Terminal.show line)))

let private judged (subjects: Subject list) (cells: Conclusion.Cell list) : Matrix.Judged list =
    [
        for subject in subjects do
            let own = cells |> List.filter (fun c -> c.Subject.Name = subject.Name)
            subject, Conclusion.ofSubject subject own, own
    ]

/// At most this many counterexamples are drawn; the report holds them all.
let private figures = 12

/// Holds subjects to laws.
let laws (options: Run.Options) (chosen: Law list) (subjects: Subject list) folder quiet =
    let clock = Stopwatch.StartNew()
    let jobs = Run.jobs options chosen subjects

    // For each law: the runs that are still to come, the cases so far, the failures so far.
    let state = Dictionary<string, struct (int * int * int)>()

    for id, runs in jobs |> Array.countBy (fun (law, _, _) -> law.Id) do
        state[id] <- struct (runs, 0, 0)

    let mutable complete = 0

    /// What to say of a law when its last run has ended.
    let heard (result: Run.Result) =
        let id = result.Law.Id
        let struct (runs, cases, failures) = state[id]
        let cases, failures = cases + result.Cases, failures + Option.count result.Failure
        state[id] <- struct (runs - 1, cases, failures)

        if runs = 1 then
            complete <- complete + 1
            let found = if failures = 0 then "no failure" else $"{failures} failures"
            Some $"{complete}/{state.Count} {id}: {cases} cases, {found}"
        else
            None

    let results =
        withProgress quiet "holding to the laws" jobs.Length (fun step -> Run.all options jobs (heard >> step))

    let profiles = List.zip subjects (Probe.all options.Threads subjects)
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

    Matrix.verdicts judged

    if not quiet then
        Profiles.lines profiles

    let total = results |> List.sumBy (fun r -> int64 r.Cases)
    let path = Path.Combine(folder, "conformance.json")
    Json.save path (Json.conformance options chosen judged profiles seconds)

    if not quiet then
        let inv = CultureInfo.InvariantCulture
        let rate = (float total / seconds).ToString("N0", inv)

        Terminal.line
            $"""{total.ToString("N0", inv)} cases in {seconds.ToString("0.0", inv)} s, {rate} a second; report: {Path.GetRelativePath(Environment.CurrentDirectory, path)}"""

    judged |> List.map (fun (_, verdict, _) -> verdict) |> Conclusion.exitCode

/// Holds subjects to the definition on the layers of a network.
let workload (options: Run.Options) (workload: Workload.Workload) (subjects: Subject list) folder quiet =
    let clock = Stopwatch.StartNew()
    let subjects = subjects |> List.filter (fun s -> s.Profile.Capabilities.Contains Forward)
    let jobs = workload.Layers.Length * subjects.Length

    let results =
        withProgress quiet workload.Title jobs (fun step ->
            Layers.run options workload subjects (fun r -> step (Some $"{r.Layer.Name} {r.Subject.Name}")))

    let code = LayerReport.print workload subjects results quiet
    let path = Path.Combine(folder, "conformance.json")
    Json.save path (LayerReport.json options workload results clock.Elapsed.TotalSeconds)

    if not quiet then
        let inv = CultureInfo.InvariantCulture
        let peak = (float (Process.GetCurrentProcess().PeakWorkingSet64) / 1048576.0).ToString("N0", inv)

        Terminal.line
            $"""{clock.Elapsed.TotalSeconds.ToString("0.0", inv)} s, {peak} MiB at most; report: {Path.GetRelativePath(Environment.CurrentDirectory, path)}"""

    code
