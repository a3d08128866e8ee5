/// What commands share of the command line: arguments that are understood or refused in one line, and options with one meaning.
module internal Conv.Properties.Arguments

open System
open System.CommandLine
open System.Globalization
open System.IO
open System.IO.Enumeration
open System.Security.Cryptography
open Conv

/// What the user asked for cannot be done: one line, exit 2.
exception Usage of string

let usage message = raise (Usage message)

/// The laws whose names match one of the patterns.
let lawsMatching (globs: string) =
    let patterns =
        globs.Split(',', StringSplitOptions.RemoveEmptyEntries ||| StringSplitOptions.TrimEntries)

    let chosen =
        All.laws
        |> List.filter (fun law ->
            patterns
            |> Array.exists (fun p -> FileSystemName.MatchesSimpleExpression(p, law.Id, true)))

    match
        patterns
        |> Array.tryFind (fun p ->
            not (
                All.laws
                |> List.exists (fun law -> FileSystemName.MatchesSimpleExpression(p, law.Id, true))
            ))
    with
    | Some pattern -> usage $"no law matches '{pattern}'; `laws` lists them"
    | None when chosen.IsEmpty -> usage "no law is selected; `laws` lists them"
    | None -> chosen

/// The subjects of names and groups, and foreign ones under these limits; all of ours for none.
let subjectsOf limits (names: string[]) =
    match names with
    | [||] -> Ours.all
    | names ->
        [
            for name in names do
                if name.StartsWith '-' then
                    usage $"there is no option '{name}'; --help lists what there is"

                match Registry.find limits name with
                | Ok subjects -> yield! subjects
                | Error message -> usage message
        ]
        |> List.distinctBy _.Name

/// A seed, decimal or hexadecimal, or one that nobody knew before.
let parseSeed (text: string) =
    let parse style (digits: string) =
        match UInt64.TryParse(digits, style, CultureInfo.InvariantCulture) with
        | true, seed -> seed
        | _ -> usage $"'{text}' is not a seed; write a whole number from 0 on, 0x and hexadecimal digits, or fresh"

    match text.ToLowerInvariant() with
    | "fresh" -> BitConverter.ToUInt64(RandomNumberGenerator.GetBytes 8, 0)
    | lower when lower.StartsWith "0x" -> parse NumberStyles.HexNumber (text.Substring 2)
    | _ -> parse NumberStyles.None text

/// The tiers of a name.
let parseTiers (text: string) =
    match text.ToLowerInvariant() with
    | "all" -> [ Exact; Bounded ]
    | "exact" -> [ Exact ]
    | "bounded" -> [ Bounded ]
    | _ -> usage $"'{text}' is not a tier; write exact, bounded or all"

/// The largest size of problems.
let parseReach (text: string) =
    match Reach.sizes |> List.tryFind (fun size -> size.Name = text.ToLowerInvariant()) with
    | Some size -> size
    | None -> usage $"'{text}' is no size; write small, middle or large"

/// The instruction sets, and whether each was asked for by name.
let parseSets (text: string) =
    match text.Split(',', StringSplitOptions.RemoveEmptyEntries ||| StringSplitOptions.TrimEntries) with
    | [| "all" |] -> InstructionSet.all, false
    | [||] -> usage "--isa names no instruction set; write all, or some of host, scalar, 128, 256, 512"
    | names ->
        [
            for name in Array.distinct names do
                match
                    InstructionSet.host :: InstructionSet.all
                    |> List.tryFind (fun s -> s.Name = name)
                with
                | Some set -> set
                | None -> usage $"'{name}' is no instruction set; write all, or some of host, scalar, 128, 256, 512"
        ],
        true

/// Checked before anything runs: a report that cannot be written should not cost a run.
let reportFolder (folder: string) =
    try
        let path = Directory.CreateDirectory(folder).FullName
        let probe = Path.Combine(path, $".conv-{Environment.ProcessId}")
        File.WriteAllText(probe, "")
        File.Delete probe
        path
    with error ->
        usage $"cannot write to the report folder '{folder}': {error.Message}"

/// The same of a file.
let writable (path: string) =
    match Path.GetDirectoryName(Path.GetFullPath path) with
    | null -> usage $"'{path}' is no file"
    | folder when Directory.Exists folder -> path
    | folder -> usage $"there is no folder '{folder}' to write '{Path.GetFileName path}' to"

/// A number that must be at least 1.
let atLeastOne name value = if value < 1 then usage $"--{name} is {value}; it must be at least 1" else value

/// The values of an argument of any number.
let given (argument: Argument<string[]>) (parsed: ParseResult) = parsed.GetValue argument |> Option.ofObj |> Option.defaultValue [||]

/// What foreign subjects may take: options, and what they say.
let limitsOptions () =
    let timeout =
        Option<float>(
            "--timeout",
            Description = "Seconds that a foreign subject may take for a call.",
            HelpName = "S",
            DefaultValueFactory = fun _ -> Limits.usual.Call.TotalSeconds
        )

    let start =
        Option<float>(
            "--start-timeout",
            Description = "Seconds that its process may take until it first answers.",
            HelpName = "S",
            DefaultValueFactory = fun _ -> Limits.usual.Start.TotalSeconds
        )

    let memory =
        Option<int>(
            "--memory",
            Description = "MiB of memory that its process may take, beside the tensors of a call.",
            HelpName = "N",
            DefaultValueFactory = fun _ -> Limits.usual.Memory
        )

    let environment =
        Option<string[]>(
            "--env",
            Description = "A variable that its process gets, NAME=VALUE; may be given again.",
            HelpName = "VAR",
            Arity = ArgumentArity.ZeroOrMore
        )

    let inProcess =
        Option<bool>(
            "--in-process",
            Description = "Call libraries in this process: faster, and for libraries that are trusted; a crash of theirs ends the run.",
            DefaultValueFactory = fun _ -> false
        )

    let seconds (option: Option<float>) (parsed: ParseResult) =
        match parsed.GetRequiredValue option with
        | s when s > 0.0 && s < 1e6 -> TimeSpan.FromSeconds s
        | s -> usage $"{option.Name} is {s}; it must be a number of seconds above 0"

    let read (parsed: ParseResult) : Limits =
        {
            Call = seconds timeout parsed
            Start = seconds start parsed
            Memory = parsed.GetRequiredValue memory |> atLeastOne "memory"
            Environment =
                [
                    for text in parsed.GetValue environment |> Option.ofObj |> Option.defaultValue [||] do
                        match text.IndexOf '=' with
                        | at when at > 0 -> text.Substring(0, at), text.Substring(at + 1)
                        | _ -> usage $"--env {text} is not NAME=VALUE"
                ]
            InProcess = parsed.GetRequiredValue inProcess
            Shared = false
        }

    [ timeout :> Option; start; memory; environment; inProcess ], read

let lawsOption () =
    Option<string>(
        "--laws",
        Description = "Only these laws: names with * and ?, separated by commas.",
        HelpName = "GLOB",
        DefaultValueFactory = fun _ -> "*"
    )

let casesOption () =
    Option<int>("--cases", Description = "Cases for each law and tier.", HelpName = "N", DefaultValueFactory = fun _ -> Run.defaults.Cases)

let reachOption () =
    Option<string>(
        "--reach",
        Description =
            "The largest problems beside the small ones: small (none), middle (of about a million multiply-adds) or large (four million).",
        HelpName = "SIZE",
        DefaultValueFactory = fun _ -> Run.defaults.Reach.Name
    )

let seedOption description =
    Option<string>("--seed", Description = description, HelpName = "S", DefaultValueFactory = fun _ -> "0")

let threadsOption description =
    Option<int>("--threads", Description = description, HelpName = "N", DefaultValueFactory = fun _ -> Run.defaults.Threads)
