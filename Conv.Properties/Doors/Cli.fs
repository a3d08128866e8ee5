/// The command line. Exit codes: 0 conforms, 1 a law is broken, 2 bad usage, 3 a foreign subject could not be opened, 4 undecided.
module internal Conv.Properties.Cli

open System
open System.CommandLine
open System.Globalization
open Conv
open Conv.Properties.Arguments
open Conv.Properties.PageArguments
open Conv.Properties.ListCommands

let private replay () =
    let line = Argument<string>("LINE", Description = "The line that a counterexample prints, in quotes.")

    let subject =
        Option<string>("--subject", Description = "Another subject than the line's.", HelpName = "SUBJECT")

    let guardPages =
        Option<bool>("--guard-pages", Description = "As `verify --guard-pages` judges it.", DefaultValueFactory = fun _ -> false)

    let journal = pagesJournal ()
    let limitOptions, readLimits = limitsOptions ()
    let command = Command("replay", "Judge one case again.")
    command.Add line

    for option in [ subject :> Option; guardPages; journal ] @ limitOptions do
        command.Add option

    command.SetAction(fun (parsed: ParseResult) ->
        let cases =
            try
                Case.parseAll (parsed.GetRequiredValue line)
            with
            | :? FormatException as error -> usage error.Message
            | :? ArgumentException as error -> usage (error.Message.Split('\n')[0])

        let lawOf (case: Case) =
            match All.tryFind case.Law with
            | Some law when law.Project case.Problem = ValueSome case.Problem -> law
            | Some law -> usage $"the shape is outside the domain of {law.Id}: {law.Statement}"
            | None -> usage $"there is no law '{case.Law}'; `laws` lists them"

        let earlier = cases |> List.truncate (cases.Length - 1) |> List.map snd
        let named, case = List.last cases

        for case in earlier do
            lawOf case |> ignore<Law>

        let law = lawOf case

        match parsed.GetValue subject |> Option.ofObj |> Option.orElse named with
        | None -> usage "the line names no subject; add --subject SUBJECT"
        | subject when parsed.GetRequiredValue guardPages ->
            if not Pages.exist then
                usage noPages

            VerifyPages.replay (parsed.GetRequiredValue line) subject
        | Some name ->
            let codes =
                [
                    for subject in subjectsOf (readLimits parsed) [| name |] do
                        if law.Needs |> List.exists (subject.Profile.Capabilities.Contains >> not) then
                            usage $"{law.Id} asks for what {subject.Name} does not offer"

                        Pursuit.judgeAll earlier subject

                        match beside (parsed.GetValue journal) (fun paged on -> (paged law).Judge (on subject) case) with
                        | Holds evidence ->
                            let ratio = evidence.Ratio.ToString("0.0000", CultureInfo.InvariantCulture)

                            Terminal.line
                                $"{law.Id} holds for {subject.Name}: {evidence.Elements} elements compared, worst error/bound {ratio}"

                            ExitCode.Conforms
                        | Breaks _
                        | Faulted _ as verdict ->
                            Figure.ofVerdict law subject case verdict |> List.iter Terminal.line
                            ExitCode.Violates
                        | Undecided reason
                        | NotApplicable reason
                        | Unsupported reason ->
                            Terminal.line $"{law.Id} decides nothing about {subject.Name}: {reason}"
                            ExitCode.Undecided
                ]

            ExitCode.ofAll codes)

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

        // The process is there for this call alone: a library is called in it, and nothing of 8 GiB goes through a socket.
        let limits = { Limits.usual with InProcess = true; Call = VerifyHuge.limit }

        match Huge.problems |> List.tryFind (fun p -> p.Name = name), subjectsOf limits [| parsed.GetRequiredValue subject |] with
        | Some problem, [ subject ] -> VerifyHuge.one subject problem
        | None, _ -> usage $"there is no huge problem '{name}'"
        | _ -> usage "one subject at a time")

    command

/// What a process of a foreign subject does.
let private serve () =
    let subject = Argument<string>("SUBJECT")
    let socket = Option<string>("--socket", Required = true)
    let parent = Option<int>("--parent", Required = true)

    let command =
        Command("serve", "Calls a foreign subject for the process that started this one.", Hidden = true)

    command.Add subject
    command.Add socket
    command.Add parent

    command.SetAction(fun (parsed: ParseResult) ->
        Served.outliveNot (parsed.GetRequiredValue parent)
        let name = parsed.GetRequiredValue subject
        Served.serve (parsed.GetRequiredValue socket) name (fun () -> Open.here name))

    command

let run (arguments: string[]) : int =
    let root =
        RootCommand(
            "Conv: hold any multi-channel 2-D convolution to the laws of its specification.\n\n"
            + "Exit codes: 0 every law that could be exercised holds; 1 a law is broken; 2 bad usage; "
            + "3 a foreign subject could not be opened; 4 undecided."
        )

    for command in
        [
            VerifyCommand.command ()
            MuseumCommand.command ()
            replay ()
            profile ()
            listLaws ()
            listSubjects ()
            listWorkloads ()
            listCases ()
            instructions ()
            huge ()
            serve ()
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
        ExitCode.Usage
    else
        try
            parsed.Invoke(InvocationConfiguration(EnableDefaultExceptionHandler = false))
        with
        | Usage message ->
            Terminal.error message
            ExitCode.Usage
        | CannotOpen message ->
            Terminal.error message
            ExitCode.CannotOpen
        | error ->
            Terminal.error $"a fault of the kit's own: {error.GetType().Name}: {error.Message}"
            ExitCode.Undecided
