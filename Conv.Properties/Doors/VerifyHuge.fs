/// `verify --huge`: tensors of almost 2³¹ elements, each subject and problem in a process of its own, which has a limit of time and memory.
module internal Conv.Properties.VerifyHuge

open System
open System.Diagnostics
open System.Globalization
open System.IO

let private inv = CultureInfo.InvariantCulture
let private gibibytes (bytes: int64) = (float bytes / float (1L <<< 30)).ToString("0.0", inv) + " GiB"

/// What one subject may take for one problem.
let limit = TimeSpan.FromMinutes 5.0

/// What the largest problem needs. A library's tensors stand between zones, beside the kit's own.
let needed (foreign: bool) =
    let largest = Huge.problems |> List.map Huge.bytes |> List.max
    (if foreign then 2L else 1L) * largest + Huge.margin

/// Memory that a new process could have.
let free () =
    GC.Collect()
    let memory = GC.GetGCMemoryInfo()
    max 0L (memory.TotalAvailableMemoryBytes - memory.MemoryLoadBytes)

/// Why such a machine is not asked, if it is not.
let refusal foreign free =
    let needed = needed foreign

    if free >= needed then
        None
    else
        Some
            $"--huge needs {gibibytes needed} of free memory, and this machine has {gibibytes free}; close what can be closed, or take another"

/// The child's part: holds a subject to one problem, prints what came of it on one line, gives the exit code.
let one (subject: Subject) (problem: Huge.Problem) =
    let struct (outcome, seconds) = Huge.hold subject problem.Operation problem.Shape
    let peak = Process.GetCurrentProcess().PeakWorkingSet64
    let figures = $"""{seconds.ToString("0.0", inv)} s for the call, {gibibytes peak} at most"""

    let code, line =
        match outcome with
        | Huge.Exact compared -> ExitCode.Conforms, $"""holds: {compared.ToString("N0", inv)} elements compared; {figures}"""
        | Huge.Wrong message -> ExitCode.Violates, $"broken: {message}; {figures}"
        | Huge.Passes reason -> ExitCode.Conforms, $"unsupported: {reason}"
        | Huge.Fails reason -> ExitCode.Undecided, $"undecided: {reason}; {figures}"

    Terminal.line line
    code

/// Whether the subject has the problem's operation.
let private offers (subject: Subject) (problem: Huge.Problem) =
    let capability =
        match problem.Operation with
        | Operation.Forward
        | Operation.Fused _ -> Forward
        | Operation.Transposed -> Transposed
        | _ -> Gradients

    subject.Profile.Capabilities.Contains capability

/// Whether any of the subjects is somebody else's.
let isForeign (subjects: Subject list) = subjects |> List.exists _.Foreign.IsSome

/// One line for each subject and problem, and the exit code.
let run (subjects: Subject list) folder =
    let free = free ()

    Terminal.line
        $"a subject needs {gibibytes (needed (isForeign subjects))} of memory, {gibibytes free} are free; it has {limit.TotalMinutes} minutes for a problem"

    for problem in Huge.problems do
        Terminal.line $"  {problem.Name.PadRight 10} {problem.Title}; {problem.Shape}"

    // Who takes more than there is gets an exception, and the machine lives.
    let most = max 0L (free - Huge.margin)

    let results =
        [
            for subject in subjects do
                if subject.Profile.Capabilities.Contains Forward then
                    // What is not offered at all is no result.
                    for problem in Huge.problems |> List.filter (offers subject) do
                        let ended =
                            Child.run
                                []
                                [ "DOTNET_GCHeapHardLimit", $"0x{most:X}" ]
                                (Some limit)
                                ignore
                                [ "huge"; subject.Name; problem.Name ]

                        let code, line =
                            match ended with
                            | { TimedOut = true } ->
                                ExitCode.Undecided, $"undecided: it took longer than {limit.TotalMinutes} minutes and was ended"
                            | { ExitCode = code; Output = [ line ] } when ExitCode.hasJudged code -> code, line
                            | _ ->
                                ExitCode.Undecided,
                                $"""undecided: the process crashed with exit code {ended.ExitCode}: {String.Join(" | ", ended.LastLines)}"""

                        Terminal.line $"{subject.Name}, {problem.Name}: {line}"
                        subject, problem, code, line
        ]

    Json.save (Path.Combine(folder, "huge.json")) (fun w ->
        w.WriteStartObject()
        w.WriteNumber("format", Json.format)
        w.WriteString("tool", $"Conv {Json.version}")
        w.WriteStartArray "results"

        for subject, problem, code, line in results do
            w.WriteStartObject()
            w.WriteString("subject", subject.Name)
            w.WriteString("problem", problem.Name)
            w.WriteString("shape", string problem.Shape)
            w.WriteNumber("exitCode", code)
            w.WriteString("result", line)
            w.WriteEndObject()

        w.WriteEndArray()
        w.WriteEndObject())

    let codes = results |> List.map (fun (_, _, code, _) -> code)

    let held =
        results
        |> List.exists (fun (_, _, _, line) -> line.StartsWith("holds", StringComparison.Ordinal))

    match ExitCode.ofAll codes with
    | ExitCode.Conforms when not held -> ExitCode.Undecided
    | code ->
        if code = ExitCode.Violates then
            Terminal.line "RES-10 is broken: sizes are computed or refused"

        code
