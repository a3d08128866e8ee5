/// The command line. Exit codes: 0 conforms, 1 a law is broken, 2 bad usage, 3 a foreign subject could not be opened, 4 undecided.
module Conv.Properties.Cli

open System
open System.CommandLine
open System.Globalization
open System.IO
open System.IO.Enumeration
open Conv

/// What the user asked for cannot be done: one line, exit 2.
exception private Usage of string

let private usage message = raise (Usage message)

// ---- arguments

let private lawsMatching (globs: string) =
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

let private subjectsOf (names: string[]) =
    match names with
    | [||] -> Ours.all
    | names ->
        [
            for name in names do
                if name.StartsWith '-' then
                    usage $"there is no option '{name}'; --help lists what there is"

                match Registry.find name with
                | Ok subjects -> yield! subjects
                | Error message -> usage message
        ]
        |> List.distinctBy _.Name

let private parseSeed (text: string) =
    let style, digits =
        if text.StartsWith("0x", StringComparison.OrdinalIgnoreCase) then
            NumberStyles.HexNumber, text.Substring 2
        else
            NumberStyles.None, text

    match UInt64.TryParse(digits, style, CultureInfo.InvariantCulture) with
    | true, seed -> seed
    | _ -> usage $"'{text}' is not a seed; write a whole number from 0 on, or 0x and hexadecimal digits"

let private parseTiers (text: string) =
    match text.ToLowerInvariant() with
    | "all" -> [ Exact; Bounded ]
    | "exact" -> [ Exact ]
    | "bounded" -> [ Bounded ]
    | _ -> usage $"'{text}' is not a tier; write exact, bounded or all"

/// The instruction sets, and whether each was asked for by name.
let private parseSets (text: string) =
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
let private reportFolder (folder: string) =
    try
        let path = Directory.CreateDirectory(folder).FullName
        let probe = Path.Combine(path, $".conv-{Environment.ProcessId}")
        File.WriteAllText(probe, "")
        File.Delete probe
        path
    with error ->
        usage $"cannot write to the report folder '{folder}': {error.Message}"

/// The same of a file.
let private writable (path: string) =
    match Path.GetDirectoryName(Path.GetFullPath path) with
    | null -> usage $"'{path}' is no file"
    | folder when Directory.Exists folder -> path
    | folder -> usage $"there is no folder '{folder}' to write '{Path.GetFileName path}' to"

/// What a process that judges beside pages writes its current case to: said by the process that started it.
let private pagesJournal () = Option<string>("--pages-journal", Hidden = true)

/// Law and subject as they are, or beside pages and written down.
let private beside (journal: string | null) (work: (Law -> Law) -> (Subject -> Subject) -> 'a) =
    match journal with
    | null -> work id id
    | path ->
        use journal = new Paged.Journal(path)
        work (Paged.law journal) (Paged.subject journal)

let private noPages =
    "this system has no pages that can be guarded; GUARD-ZONES of a plain verify is what there is"

let private verify () =
    let subjects =
        Argument<string[]>("SUBJECT", Description = "Who is held to the laws; none means all of ours.", Arity = ArgumentArity.ZeroOrMore)

    let laws =
        Option<string>(
            "--laws",
            Description = "Only these laws: names with * and ?, separated by commas.",
            HelpName = "GLOB",
            DefaultValueFactory = fun _ -> "*"
        )

    let cases =
        Option<int>(
            "--cases",
            Description = "Cases for each law and tier.",
            HelpName = "N",
            DefaultValueFactory = fun _ -> Run.defaults.Cases
        )

    let seed =
        Option<string>(
            "--seed",
            Description = "The same seed gives the same cases, everywhere.",
            HelpName = "S",
            DefaultValueFactory = fun _ -> "0"
        )

    let tier =
        Option<string>(
            "--tier",
            Description = "exact (equality on integers), bounded (proven bounds on reals) or all.",
            HelpName = "TIER",
            DefaultValueFactory = fun _ -> "all"
        )

    let report =
        Option<string>(
            "--report",
            Description = "The folder that conformance.json is written to. [default: artifacts, or artifacts/NAME for a workload]",
            HelpName = "DIR"
        )

    let workload =
        Option<string>(
            "--workload",
            Description = "Hold to the definition on every convolution of a network, at its published sizes.",
            HelpName = "NAME"
        )

    let threads =
        Option<int>(
            "--threads",
            Description = "Threads; the cases do not depend on it.",
            HelpName = "N",
            DefaultValueFactory = fun _ -> Run.defaults.Threads
        )

    let isa =
        Option<string>(
            "--isa",
            Description =
                "The same run on each of these instruction sets, in a process of its own with the runtime's switches set; exact results "
                + "must be the same bits on all. all, or some of host, scalar, 128, 256, 512. [default: this process, as it is]",
            HelpName = "SETS"
        )

    let guardPages =
        Option<bool>(
            "--guard-pages",
            Description =
                "The laws that lay memory, with pages around every tensor that nobody may touch: shows reads beyond a tensor that change "
                + "nothing. A subject that touches one dies, in a process of its own, and the case is printed.",
            DefaultValueFactory = fun _ -> false
        )

    let huge =
        Option<bool>(
            "--huge",
            Description =
                $"Instead of the laws: inputs and outputs of almost 2^31 elements, 8 GiB each. Takes {VerifyHuge.needed >>> 30} GiB of free memory and minutes.",
            DefaultValueFactory = fun _ -> false
        )

    let failFast =
        Option<bool>(
            "--fail-fast",
            Description = "Stop at the first counterexample; what was judged by then is reported.",
            DefaultValueFactory = fun _ -> false
        )

    let journal = pagesJournal ()

    let quiet =
        Option<bool>("--quiet", Description = "The verdict and the counterexamples alone.", DefaultValueFactory = fun _ -> false)

    let command = Command("verify", "Hold convolutions to the laws of the specification.")
    command.Add subjects

    for option in
        [
            laws :> Option
            cases
            seed
            tier
            report
            workload
            threads
            isa
            guardPages
            huge
            failFast
            journal
            quiet
        ] do
        command.Add option

    command.SetAction(fun (parsed: ParseResult) ->
        let atLeastOne name value = if value < 1 then usage $"--{name} is {value}; it must be at least 1" else value

        let options: Run.Options =
            {
                Cases = parsed.GetRequiredValue cases |> atLeastOne "cases"
                Seed = parsed.GetRequiredValue seed |> parseSeed
                Tiers = parsed.GetRequiredValue tier |> parseTiers
                Threads = parsed.GetRequiredValue threads |> atLeastOne "threads"
                FailFast = parsed.GetRequiredValue failFast
            }

        let chosen = parsed.GetRequiredValue laws |> lawsMatching

        let held =
            parsed.GetValue subjects
            |> Option.ofObj
            |> Option.defaultValue [||]
            |> subjectsOf

        let folder fallback =
            parsed.GetValue report
            |> Option.ofObj
            |> Option.defaultValue fallback
            |> reportFolder

        let given (option: Option) =
            match parsed.GetResult option with
            | null -> false
            | result -> not result.Implicit

        /// What a child is told of how to judge.
        let options' =
            [
                "--cases"
                string options.Cases
                "--seed"
                parsed.GetRequiredValue seed
                "--tier"
                parsed.GetRequiredValue tier
                if parsed.GetRequiredValue quiet then
                    "--quiet"
            ]

        /// This command without what the parent does.
        let again () =
            [
                "verify"
                yield! parsed.GetValue subjects |> Option.ofObj |> Option.defaultValue [||]
                "--laws"
                parsed.GetRequiredValue laws
                "--threads"
                string options.Threads
                yield! options'
            ]

        match [ workload :> Option; isa; guardPages; huge ] |> List.filter given with
        | one :: other :: _ -> usage $"{one.Name} and {other.Name} do not go together"
        | _ -> ()

        match parsed.GetValue workload |> Option.ofObj with
        | _ when given isa ->
            let sets, named = parsed.GetRequiredValue isa |> parseSets
            VerifySets.run (again ()) sets named (folder "artifacts") (parsed.GetRequiredValue quiet)
        | _ when parsed.GetRequiredValue huge ->
            if [ laws :> Option; cases; tier; seed ] |> List.exists given then
                usage "--huge takes fixed problems; --laws, --cases, --tier and --seed do not go with it"

            VerifyHuge.refusal (VerifyHuge.free ()) |> Option.iter usage
            VerifyHuge.run held (folder "artifacts")
        | _ when parsed.GetRequiredValue guardPages ->
            if not Pages.exist then
                usage noPages

            match
                chosen
                |> List.filter (fun law -> List.exists (fun (l: Law) -> l.Id = law.Id) Paged.laws)
            with
            | [] ->
                let known = Paged.laws |> List.map _.Id |> String.concat ", "
                usage $"--guard-pages takes laws that lay memory; write some of {known}"
            | laws -> VerifyPages.run options' laws held options.Threads (folder "artifacts") (parsed.GetRequiredValue quiet)
        | Some _ when [ laws :> Option; cases; tier ] |> List.exists given ->
            usage "--workload takes every layer once; --laws, --cases and --tier do not go with it"
        | None ->
            beside (parsed.GetValue journal) (fun law subject ->
                Verify.laws options (List.map law chosen) (List.map subject held) (folder "artifacts") (parsed.GetRequiredValue quiet))
        | Some name ->
            match Workload.tryFind name with
            | None ->
                let known = Workload.all |> List.map _.Name |> String.concat ", "
                usage $"there is no workload '{name}'; write one of {known}"
            | Some workload ->
                Verify.workload options workload held (folder (Path.Combine("artifacts", workload.Name))) (parsed.GetRequiredValue quiet))

    command

// ---- museum

let private piecesMatching (globs: string[]) =
    match globs with
    | [||] -> Museum.all
    | globs ->
        let matches (glob: string) (piece: Piece) = FileSystemName.MatchesSimpleExpression(glob, piece.Id, true)

        for glob in globs do
            if not (Museum.all |> List.exists (matches glob)) then
                usage $"no piece of the museum matches '{glob}'; `subjects` lists them"

        Museum.all
        |> List.filter (fun piece -> globs |> Array.exists (fun glob -> matches glob piece))

let private museum () =
    let pieces =
        Argument<string[]>(
            "PIECE",
            Description = "Only these pieces: names with * and ?. None means all.",
            Arity = ArgumentArity.ZeroOrMore
        )

    let laws =
        Option<string>(
            "--laws",
            Description = "Only these laws: names with * and ?, separated by commas.",
            HelpName = "GLOB",
            DefaultValueFactory = fun _ -> "*"
        )

    let cases =
        Option<int>(
            "--cases",
            Description = "Cases for each law and tier.",
            HelpName = "N",
            DefaultValueFactory = fun _ -> Run.defaults.Cases
        )

    let seed =
        Option<string>("--seed", Description = "The first seed.", HelpName = "S", DefaultValueFactory = fun _ -> "0")

    let seeds =
        Option<int>("--seeds", Description = "With how many seeds each piece must fail.", HelpName = "N", DefaultValueFactory = fun _ -> 20)

    let report =
        Option<string>(
            "--report",
            Description = "The folder that museum.md and museum.tsv are written to.",
            HelpName = "DIR",
            DefaultValueFactory = fun _ -> Path.Combine("artifacts", "museum")
        )

    let matrixCases =
        Option<int>(
            "--matrix-cases",
            Description = "Cases for each law and tier in the matrix, where every law is held to its end. [default: as --cases]",
            HelpName = "N"
        )

    let order =
        Option<string>(
            "--order",
            Description = "Derive the order in which laws take turns from the matrix, held-out pieces left aside, and write it here.",
            HelpName = "FILE"
        )

    let baselines =
        Option<bool>(
            "--baselines",
            Description = "Whether the pieces are also held to what is usual: random data under a tolerance.",
            DefaultValueFactory = fun _ -> true
        )

    let threads =
        Option<int>(
            "--threads",
            Description = "Threads for the matrix; times to the first kill are taken on one.",
            HelpName = "N",
            DefaultValueFactory = fun _ -> Run.defaults.Threads
        )

    let quiet = Option<bool>("--quiet", Description = "No progress.", DefaultValueFactory = fun _ -> false)

    let command =
        Command(
            "museum",
            "Hold the museum of wrong convolutions to every law: which law kills which piece, and how soon.\n\n"
            + "Prints the matrix, the laws that alone kill a piece, the laws that kill nothing, cases and milliseconds to the first kill, and "
            + "what random data under a tolerance would have seen. Exit code 1 where a piece survives a seed or a law kills nothing. It "
            + "takes long: --matrix-cases bounds the longest part.\n\n"
            + "For example: museum 'm19*' --seeds 3; museum --matrix-cases 15 --report docs --order Conv.Properties/Checking/order.tsv"
        )

    command.Add pieces

    for option in [ laws :> Option; cases; matrixCases; seed; seeds; report; order; baselines; threads; quiet ] do
        command.Add option

    command.SetAction(fun (parsed: ParseResult) ->
        let atLeastOne name value = if value < 1 then usage $"--{name} is {value}; it must be at least 1" else value

        let options =
            { Run.defaults with
                Cases = parsed.GetRequiredValue cases |> atLeastOne "cases"
                Seed = parsed.GetRequiredValue seed |> parseSeed
                Threads = parsed.GetRequiredValue threads |> atLeastOne "threads"
            }

        let inMatrix =
            match parsed.GetResult matrixCases with
            | null -> options.Cases
            | _ -> parsed.GetRequiredValue matrixCases |> atLeastOne "matrix-cases"

        let chosen = parsed.GetRequiredValue laws |> lawsMatching

        let pieces =
            parsed.GetValue pieces
            |> Option.ofObj
            |> Option.defaultValue [||]
            |> piecesMatching

        let seeds = parsed.GetRequiredValue seeds |> atLeastOne "seeds"
        let order = parsed.GetValue order |> Option.ofObj

        if
            order.IsSome
            && (pieces.Length < Museum.all.Length || chosen.Length < All.laws.Length)
        then
            usage "--order is derived from all laws on all pieces; leave PIECE and --laws out"

        let folder = parsed.GetRequiredValue report |> reportFolder
        let compared = if parsed.GetRequiredValue baselines then Baselines.all else []
        order |> Option.iter (writable >> ignore<string>)
        VerifyMuseum.run options inMatrix seeds chosen pieces compared folder order (parsed.GetRequiredValue quiet))

    command

// ---- laws, workloads, cases, replay

let private listLaws () =
    let markdown =
        Option<bool>("--markdown", Description = "As the document docs/laws.md.", DefaultValueFactory = fun _ -> false)

    let command = Command("laws", "List the laws.")
    command.Add markdown

    command.SetAction(fun (parsed: ParseResult) ->
        if parsed.GetRequiredValue markdown then
            Console.Out.Write(LawTable.markdown All.laws)
        else
            for law in All.laws do
                let tiers = law.Tiers |> List.map _.Name |> String.concat ", "

                Terminal.line
                    $"{law.Id.PadRight 24} {law.Clause.PadRight 16} {(Json.strength law).PadRight 6} {(Json.kind law).PadRight 13} {tiers.PadRight 14} {law.Statement}"

                Terminal.line $"    on {law.Domain}; detects {law.Detects}"

        0)

    command

let private listWorkloads () =
    let name =
        Argument<string>("NAME", Description = "Show this one's layers.", Arity = ArgumentArity.ZeroOrOne)

    let command = Command("workloads", "List the real networks whose layers `verify --workload` takes.")
    command.Add name

    command.SetAction(fun (parsed: ParseResult) ->
        match parsed.GetValue name |> Option.ofObj with
        | None ->
            for w in Workload.all do
                Terminal.line $"{w.Name.PadRight 14} {w.Layers.Length} distinct layers   {w.Title}; {w.Source}"

            0
        | Some name ->
            match Workload.tryFind name with
            | None -> usage $"there is no workload '{name}'; `workloads` lists them"
            | Some w ->
                for layer in w.Layers do
                    Terminal.line $"{layer.Name.PadRight 24} ×{layer.Count}  {layer.Shape}"

                0)

    command

let private listSubjects () =
    let command = Command("subjects", "List everybody who can be held to the laws.")

    command.SetAction(fun (_: ParseResult) ->
        let faults =
            Museum.all
            |> List.map (fun piece -> piece.Subject.Name, piece.Fault)
            |> Map.ofList

        for group, title, members in Registry.groups do
            Terminal.line $"{group}: {title}"

            for subject in members do
                let fault = faults.TryFind subject.Name |> Option.defaultValue ""
                Terminal.line (($"  {subject.Name.PadRight 40} {fault}").TrimEnd())

        0)

    command

let private profile () =
    let subjects =
        Argument<string[]>(
            "SUBJECT",
            Description = "Whose profile; also a group (ours, variants, museum). None means all of ours.",
            Arity = ArgumentArity.ZeroOrMore
        )

    let brief =
        Option<bool>("--brief", Description = "A few lines each, as verify prints them.", DefaultValueFactory = fun _ -> false)

    let command =
        Command(
            "profile",
            "Find out what convolutions do, and compare it with what they declare.\n\n"
            + "A few hundred calls whose answers tell one way of computing from another: 1 + 2^-23 through a single weight shows how many bits "
            + "an input keeps; 2^23 + 1 - 2^23 how wide partial sums are; which of two large terms absorbs the others, the order of summation; "
            + "a NaN in one pixel, the tiles of a fast algorithm. Nothing that is declared is believed, and nothing is judged: "
            + "'declared but not seen' is for the laws (verify), 'denied but seen' may be worth a declaration.\n\n"
            + "For example: profile loop winograd-f4x3; profile variants --brief"
        )

    command.Add subjects
    command.Add brief

    command.SetAction(fun (parsed: ParseResult) ->
        let subjects =
            parsed.GetValue subjects
            |> Option.ofObj
            |> Option.defaultValue [||]
            |> subjectsOf

        let profiles = List.zip subjects (Probe.all Run.defaults.Threads subjects)

        if parsed.GetRequiredValue brief then
            Profiles.lines profiles
        else
            Profiles.table profiles

        0)

    command

let private listCases () =
    let law = Argument<string>("LAW", Description = "The law.")

    let subject =
        Option<string>(
            "--subject",
            Description = "Whose profile the cases follow.",
            HelpName = "SUBJECT",
            DefaultValueFactory = fun _ -> "loop"
        )

    let cases =
        Option<int>("--cases", Description = "How many, for each tier.", HelpName = "N", DefaultValueFactory = fun _ -> 10)

    let seed =
        Option<string>("--seed", Description = "The seed.", HelpName = "S", DefaultValueFactory = fun _ -> "0")

    let tier =
        Option<string>("--tier", Description = "exact, bounded or all.", HelpName = "TIER", DefaultValueFactory = fun _ -> "all")

    let command = Command("cases", "Print the cases that `verify` would draw, one line each.")
    command.Add law

    for option in [ subject :> Option; cases; seed; tier ] do
        command.Add option

    command.SetAction(fun (parsed: ParseResult) ->
        match All.tryFind (parsed.GetRequiredValue law) with
        | None -> usage $"there is no law '{parsed.GetRequiredValue law}'; `laws` lists them"
        | Some law ->
            let seed = parsed.GetRequiredValue seed |> parseSeed

            let tiers =
                parsed.GetRequiredValue tier
                |> parseTiers
                |> List.filter (fun t -> List.contains t law.Tiers)

            for subject in subjectsOf [| parsed.GetRequiredValue subject |] do
                for tier in tiers do
                    for index in 0 .. parsed.GetRequiredValue cases - 1 do
                        Terminal.line (Figure.replay subject (Address.case seed law subject.Profile tier index))

            0)

    command

let private replay () =
    let line = Argument<string>("LINE", Description = "The line that a counterexample prints, in quotes.")

    let subject =
        Option<string>("--subject", Description = "Another subject than the line's.", HelpName = "SUBJECT")

    let guardPages =
        Option<bool>("--guard-pages", Description = "As `verify --guard-pages` judges it.", DefaultValueFactory = fun _ -> false)

    let journal = pagesJournal ()
    let command = Command("replay", "Judge one case again.")
    command.Add line

    for option in [ subject :> Option; guardPages; journal ] do
        command.Add option

    command.SetAction(fun (parsed: ParseResult) ->
        let named, case =
            try
                Case.parse (parsed.GetRequiredValue line)
            with
            | :? FormatException as error -> usage error.Message
            | :? ArgumentException as error -> usage (error.Message.Split('\n')[0])

        let law =
            match All.tryFind case.Law with
            | Some law -> law
            | None -> usage $"there is no law '{case.Law}'; `laws` lists them"

        if law.Project case.Problem <> ValueSome case.Problem then
            usage $"the shape is outside the domain of {law.Id}: {law.Statement}"

        match parsed.GetValue subject |> Option.ofObj |> Option.orElse named with
        | None -> usage "the line names no subject; add --subject SUBJECT"
        | subject when parsed.GetRequiredValue guardPages ->
            if not Pages.exist then
                usage noPages

            VerifyPages.replay (parsed.GetRequiredValue line) subject
        | Some name ->
            let codes =
                [
                    for subject in subjectsOf [| name |] do
                        if law.Needs |> List.exists (subject.Profile.Capabilities.Contains >> not) then
                            usage $"{law.Id} asks for what {subject.Name} does not offer"

                        match beside (parsed.GetValue journal) (fun paged on -> (paged law).Judge (on subject) case) with
                        | Holds evidence ->
                            let ratio = evidence.Ratio.ToString("0.0000", CultureInfo.InvariantCulture)

                            Terminal.line
                                $"{law.Id} holds for {subject.Name}: {evidence.Elements} elements compared, worst error/bound {ratio}"

                            0
                        | Breaks _
                        | Faulted _ as verdict ->
                            Figure.ofVerdict law subject case verdict |> List.iter Terminal.line
                            1
                        | Undecided reason
                        | NotApplicable reason
                        | Unsupported reason ->
                            Terminal.line $"{law.Id} decides nothing about {subject.Name}: {reason}"
                            4
                ]

            // One that is broken outweighs one that decides nothing.
            if List.contains 1 codes then 1 else List.max codes)

    command

/// What a process of `verify --huge` does.
let private huge () =
    let subject = Argument<string>("SUBJECT")
    let problem = Argument<string>("PROBLEM")
    let command = Command("huge", "One problem of `verify --huge`.", Hidden = true)
    command.Add subject
    command.Add problem

    command.SetAction(fun (parsed: ParseResult) ->
        let name = parsed.GetRequiredValue problem

        match Huge.problems |> List.tryFind (fun p -> p.Name = name), subjectsOf [| parsed.GetRequiredValue subject |] with
        | Some problem, [ subject ] -> VerifyHuge.one subject problem
        | None, _ -> usage $"there is no huge problem '{name}'"
        | _ -> usage "one subject at a time")

    command

let private instructions () =
    let command =
        Command("instructions", "Print what the runtime uses of this processor, as a process of `verify --isa` sees it.")

    command.SetAction(fun (_: ParseResult) ->
        Terminal.line (string InstructionSet.here)
        0)

    command

// ---- main

let run (arguments: string[]) : int =
    let root =
        RootCommand(
            "Conv: hold any multi-channel 2-D convolution to the laws of its specification.\n\n"
            + "Exit codes: 0 every law that could be exercised holds; 1 a law is broken; 2 bad usage; "
            + "3 a foreign subject could not be opened; 4 undecided."
        )

    for command in
        [
            verify ()
            museum ()
            replay ()
            profile ()
            listLaws ()
            listSubjects ()
            listWorkloads ()
            listCases ()
            instructions ()
            huge ()
        ] do
        root.Add command

    let parsed = root.Parse arguments

    if parsed.Errors.Count > 0 then
        // An unknown word explains the rest.
        let messages = [ for error in parsed.Errors -> error.Message ]

        let first =
            messages
            |> List.tryFind _.StartsWith("Unrecognized")
            |> Option.defaultValue messages.Head

        Terminal.error $"{first.TrimEnd('.')}; --help lists what there is"
        2
    else
        try
            parsed.Invoke(InvocationConfiguration(EnableDefaultExceptionHandler = false))
        with
        | Usage message ->
            Terminal.error message
            2
        | error ->
            Terminal.error $"a fault of the kit's own: {error.GetType().Name}: {error.Message}"
            4
