/// This very program again, in a process of its own: other instructions, memory that may kill it, a limit of time.
module internal Conv.Properties.Child

open System
open System.Collections.Generic
open System.Diagnostics
open System.IO
open System.Reflection
open System.Runtime.InteropServices
open System.Text

/// How a child ended.
type Ended =
    {
        ExitCode: int
        /// It was ended for having taken longer than it may.
        TimedOut: bool
        Output: string list
        Errors: string list
    }

    /// What it said last, to errors if it did, else to its output: from where the runtime says that it gives up, or the last lines.
    member e.LastLines =
        let most = 6
        let lines = if e.Errors.IsEmpty then e.Output else e.Errors

        let givesUp (line: string) =
            [ "Unhandled exception"; "Process terminated"; "Fatal error"; "Stack overflow" ]
            |> List.exists (fun start -> line.StartsWith(start, StringComparison.Ordinal))

        match List.tryFindIndex givesUp lines with
        | Some at -> lines |> List.skip at |> List.truncate most
        | None -> lines |> List.skip (max 0 (lines.Length - most))

/// How this program is started: a file, and what comes before its own arguments. A test host is another program, and starts this one by the
/// runtime's own launcher.
let private program =
    let assembly = Assembly.GetExecutingAssembly()
    let name = assembly.GetName().Name

    match Environment.ProcessPath with
    | null -> invalidOp "The system does not say which program this is."
    | path when Path.GetFileNameWithoutExtension path = name -> path, []
    | path ->
        let launcher =
            if Path.GetFileNameWithoutExtension path = "dotnet" then
                path
            else
                let file = if OperatingSystem.IsWindows() then "dotnet.exe" else "dotnet"
                Path.GetFullPath(Path.Combine(RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", "..", file))

        launcher, [ assembly.Location ]

/// How it is started with these arguments; what it prints goes to whoever starts it.
let start (arguments: string list) =
    let file, first = program

    let start =
        ProcessStartInfo(file, UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true)

    for argument in first @ arguments do
        start.ArgumentList.Add argument

    start

/// Runs it to its end. `without` are variables that it does not inherit, `environment` those that it gets; `heard` gets its lines of errors.
let run
    (without: string list)
    (environment: (string * string) list)
    (limit: TimeSpan option)
    (heard: string -> unit)
    (arguments: string list)
    =
    let start = start arguments
    start.StandardOutputEncoding <- Encoding.UTF8
    start.StandardErrorEncoding <- Encoding.UTF8

    for name in without do
        start.Environment.Remove name |> ignore<bool>

    for name, value in environment do
        start.Environment[name] <- value

    let output, errors = List<string>(), List<string>()
    use child = new Process(StartInfo = start)

    let read (into: List<string>) heard (data: DataReceivedEventArgs) =
        match data.Data with
        | null -> ()
        | line ->
            into.Add line
            heard line

    child.OutputDataReceived.Add(read output ignore)
    child.ErrorDataReceived.Add(read errors heard)
    child.Start() |> ignore<bool>

    try
        child.BeginOutputReadLine()
        child.BeginErrorReadLine()

        let timedOut =
            match limit with
            | None -> false
            | Some limit -> not (child.WaitForExit limit)

        if timedOut then
            child.Kill true

        // To the end of both streams.
        child.WaitForExit()

        {
            ExitCode = child.ExitCode
            TimedOut = timedOut
            Output = List.ofSeq output
            Errors = List.ofSeq errors
        }
    finally
        if not child.HasExited then
            child.Kill true
