/// What lists or shows: laws, workloads, subjects, profiles, cases, instruction sets.
module internal Conv.Properties.ListCommands

open System
open System.CommandLine
open Conv
open Conv.Properties.Arguments

let listLaws () =
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

let listWorkloads () =
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

let listSubjects () =
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

        Terminal.line "foreign: convolutions of others, in processes of their own"

        for form, meaning in Open.forms do
            Terminal.line $"  {form.PadRight 40} {meaning}"

        0)

    command

let profile () =
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

    let limitOptions, readLimits = limitsOptions ()
    command.Add subjects
    command.Add brief
    limitOptions |> List.iter command.Add

    command.SetAction(fun (parsed: ParseResult) ->
        let subjects =
            parsed.GetValue subjects
            |> Option.ofObj
            |> Option.defaultValue [||]
            |> subjectsOf (readLimits parsed)

        let profiles = List.zip subjects (Probe.all Run.defaults.Threads subjects)

        if parsed.GetRequiredValue brief then
            Profiles.lines profiles
        else
            Profiles.table profiles

        0)

    command

let listCases () =
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

    let seed = seedOption "The seed."

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

            for subject in subjectsOf Limits.usual [| parsed.GetRequiredValue subject |] do
                for tier in tiers do
                    for index in 0 .. parsed.GetRequiredValue cases - 1 do
                        Terminal.line (Figure.replay subject (Address.case seed law subject.Profile tier index))

            0)

    command

let instructions () =
    let command =
        Command("instructions", "Print what the runtime uses of this processor, as a process of `verify --isa` sees it.")

    command.SetAction(fun (_: ParseResult) ->
        Terminal.line (string InstructionSet.here)
        0)

    command
