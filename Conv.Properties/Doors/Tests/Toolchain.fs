namespace Conv.Properties.Tests

open System
open System.Diagnostics
open System.IO
open Xunit

/// Other languages' tools, where they are. A test that needs one that is not there is skipped, and says so.
module Toolchain =
    /// Whether the system finds such a program.
    let has (program: string) =
        match Environment.GetEnvironmentVariable "PATH" with
        | null -> false
        | path ->
            path.Split Path.PathSeparator
            |> Array.exists (fun folder -> File.Exists(Path.Combine(folder, program)))

    /// Runs a program to its end in a folder; what it says when it fails is the failure.
    let runIn (folder: string) (environment: (string * string) list) (program: string) (arguments: string list) =
        let start =
            ProcessStartInfo(program, arguments, RedirectStandardError = true, RedirectStandardOutput = true, WorkingDirectory = folder)

        for name, value in environment do
            start.Environment[name] <- value

        use child =
            match Process.Start start with
            | null -> failwith $"{program} was not started"
            | child -> child

        let output = child.StandardOutput.ReadToEndAsync()
        let errors = child.StandardError.ReadToEnd()
        child.WaitForExit()

        if child.ExitCode <> 0 then
            failwith $"{program} ended with exit code {child.ExitCode}: {errors} {output.Result}"

        output.Result

    /// The same in the folder of the moment.
    let run program arguments = runIn "" [] program arguments

    /// A folder for what is built, which goes with the process.
    let folder =
        lazy
            (let folder = Directory.CreateTempSubdirectory("conv-tests-").FullName
             AppDomain.CurrentDomain.ProcessExit.Add(fun _ -> Directory.Delete(folder, true))
             folder)

    /// Why a test cannot run here, or null.
    let lacking (programs: string[]) : string | null =
        match programs |> Array.filter (has >> not) with
        | [||] -> null
        | missing ->
            let named = String.Join(", ", missing)
            $"not found on this machine: {named}"

/// A test that needs programs of other languages.
type NeedsFactAttribute([<ParamArray>] programs: string[]) as self =
    inherit FactAttribute()

    do self.Skip <- Toolchain.lacking programs

/// The same with data.
type NeedsTheoryAttribute([<ParamArray>] programs: string[]) as self =
    inherit TheoryAttribute()

    do self.Skip <- Toolchain.lacking programs
