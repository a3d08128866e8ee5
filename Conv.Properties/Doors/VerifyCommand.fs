/// `verify`.
module internal Conv.Properties.VerifyCommand

open System
open System.CommandLine
open System.IO
open Conv
open Conv.Properties.Arguments
open Conv.Properties.PageArguments

/// The command.
let command () =
    let subjects =
        Argument<string[]>(
            "SUBJECT",
            Description =
                "Who is held to the laws: names and groups that `subjects` lists, native:LIBRARY, exec:COMMAND. None means all of ours.",
            Arity = ArgumentArity.ZeroOrMore
        )

    let laws = lawsOption ()

    let cases = casesOption ()

    let reach = reachOption ()

    let seed = seedOption "The same seed gives the same cases, everywhere; fresh draws one and prints it."

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

    let shapes =
        Option<string>(
            "--shapes",
            Description =
                "Hold to the definition on the shapes of a file, one a line (name: c=64 h=56 w=56 o=64 kh=3 kw=3 ...), each with its neighbours and a "
                + "certificate for each operation: how probable it is at most that a fault escaped.",
            HelpName = "FILE"
        )

    let threads = threadsOption "Threads; the cases do not depend on it."

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
                $"Instead of the laws: 25 million outputs, forward and backward, and tensors of almost 2^31 elements, 8 GiB each. Takes {VerifyHuge.needed false >>> 30} GiB of free memory, twice as much for a library, and minutes.",
            DefaultValueFactory = fun _ -> false
        )

    let failFast =
        Option<bool>(
            "--fail-fast",
            Description = "Stop at the first broken MUST; what was judged by then is reported.",
            DefaultValueFactory = fun _ -> false
        )

    let resume =
        Option<bool>(
            "--resume",
            Description = "Go on with the same run where it was ended: by a signal, a crash, a lost machine.",
            DefaultValueFactory = fun _ -> false
        )

    let journal = pagesJournal ()

    let quiet =
        Option<bool>("--quiet", Description = "The verdict and the counterexamples alone.", DefaultValueFactory = fun _ -> false)

    let command =
        Command(
            "verify",
            "Hold convolutions to the laws of the specification.\n\n"
            + "For example: verify; verify loop --laws 'MODEL-*'; verify native:./libmine.so; verify exec:'python3 mine.py' --cases 50"
        )

    let limitOptions, readLimits = limitsOptions ()
    command.Add subjects

    for option in
        [
            laws :> Option
            cases
            reach
            seed
            tier
            report
            workload
            shapes
            threads
            isa
            guardPages
            huge
            failFast
            resume
            journal
            quiet
            yield! limitOptions
        ] do
        command.Add option

    command.SetAction(fun (parsed: ParseResult) ->
        let options: Run.Options =
            {
                Cases = parsed.GetRequiredValue cases |> atLeastOne "cases"
                Reach = parsed.GetRequiredValue reach |> parseReach
                Seed = parsed.GetRequiredValue seed |> parseSeed
                Tiers = parsed.GetRequiredValue tier |> parseTiers
                Threads = parsed.GetRequiredValue threads |> atLeastOne "threads"
                FailFast = parsed.GetRequiredValue failFast
                TimeLimit = None
                Turns = Order.turns
            }

        if parsed.GetRequiredValue seed = "fresh" then
            Terminal.line $"seed 0x{options.Seed:x}"

        let chosen = parsed.GetRequiredValue laws |> lawsMatching

        let held =
            parsed.GetValue subjects
            |> Option.ofObj
            |> Option.defaultValue [||]
            |> subjectsOf (readLimits parsed)

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
                "--reach"
                options.Reach.Name
                "--seed"
                $"0x{options.Seed:x}"
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

        match [ workload :> Option; shapes; isa; guardPages; huge ] |> List.filter given with
        | one :: other :: _ -> usage $"{one.Name} and {other.Name} do not go together"
        | _ -> ()

        match parsed.GetValue workload |> Option.ofObj with
        | _ when given shapes ->
            if [ laws :> Option; cases; tier; reach ] |> List.exists given then
                usage "--shapes takes every shape as it is; --laws, --cases, --tier and --reach do not go with it"

            let path = parsed.GetRequiredValue shapes

            let list =
                try
                    Workload.ofLines path (File.ReadLines path)
                with
                | :? FormatException as error -> usage $"'{path}', {error.Message}"
                | :? IOException
                | :? UnauthorizedAccessException -> usage $"the file '{path}' cannot be read; write a file of shapes, one a line"

            Verify.workload Layers.Named options list held (folder (Path.Combine("artifacts", "shapes"))) (parsed.GetRequiredValue quiet)
        | _ when given isa ->
            let sets, named = parsed.GetRequiredValue isa |> parseSets
            VerifySets.run (again ()) sets named (folder "artifacts") (parsed.GetRequiredValue quiet)
        | _ when parsed.GetRequiredValue huge ->
            if [ laws :> Option; cases; tier; seed ] |> List.exists given then
                usage "--huge takes fixed problems; --laws, --cases, --tier and --seed do not go with it"

            VerifyHuge.refusal (VerifyHuge.isForeign held) (VerifyHuge.free ())
            |> Option.iter usage

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
                let folder = folder "artifacts"

                let from =
                    if parsed.GetRequiredValue resume then
                        match Checkpoint.load (Checkpoint.pathIn folder) (Checkpoint.heading options chosen held) with
                        | Ok states -> states
                        | Error why -> usage why
                    else
                        []

                Verify.laws options (List.map law chosen) (List.map subject held) from folder (parsed.GetRequiredValue quiet))
        | Some name ->
            match Workload.tryFind name with
            | None ->
                let known = Workload.all |> List.map _.Name |> String.concat ", "
                usage $"there is no workload '{name}'; write one of {known}"
            | Some workload ->
                Verify.workload
                    Layers.Layer
                    options
                    workload
                    held
                    (folder (Path.Combine("artifacts", workload.Name)))
                    (parsed.GetRequiredValue quiet))

    command
