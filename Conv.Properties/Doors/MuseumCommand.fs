/// `museum`.
module internal Conv.Properties.MuseumCommand

open System.CommandLine
open System.IO
open System.IO.Enumeration
open Conv
open Conv.Properties.Arguments

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

/// The command.
let command () =
    let pieces =
        Argument<string[]>(
            "PIECE",
            Description = "Only these pieces: names with * and ?. None means all.",
            Arity = ArgumentArity.ZeroOrMore
        )

    let laws = lawsOption ()

    let cases = casesOption ()

    let seed = seedOption "The first seed."

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
            Description = "Small cases for each law and tier in the matrix, larger ones in proportion. [default: as --cases]",
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

    let threads = threadsOption "Threads; a piece has one at a time."

    let resume =
        Option<bool>(
            "--resume",
            Description = "Go on from what an unfinished run of the same build and options left in the folder of the report.",
            DefaultValueFactory = fun _ -> false
        )

    let quiet = Option<bool>("--quiet", Description = "No progress.", DefaultValueFactory = fun _ -> false)

    let command =
        Command(
            "museum",
            "Hold the museum of wrong convolutions to every law: which law kills which piece, and how soon.\n\n"
            + "Prints the matrix, the laws that alone kill a piece, the laws that kill nothing, cases and milliseconds to the first kill, and "
            + "what random data under a tolerance would have seen. Exit code 1 where a piece survives a seed or a law kills nothing. It "
            + "takes long: --matrix-cases bounds the longest part, and --resume goes on where a run was ended.\n\n"
            + "For example: museum 'm19*' --seeds 3; museum --matrix-cases 15 --report docs --order Conv.Properties/Checking/order.tsv"
        )

    command.Add pieces

    for option in
        [
            laws :> Option
            cases
            matrixCases
            seed
            seeds
            report
            order
            baselines
            threads
            resume
            quiet
        ] do
        command.Add option

    command.SetAction(fun (parsed: ParseResult) ->
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
        let heading = VerifyMuseum.heading options inMatrix chosen order.IsSome
        let partial = VerifyMuseum.partialIn folder

        let ledger =
            if parsed.GetRequiredValue resume then
                match Ledger.Open(partial, heading) with
                | Ok ledger -> ledger
                | Error why -> usage why
            else
                Ledger.Create(partial, heading)

        VerifyMuseum.run options inMatrix seeds chosen pieces compared folder order ledger (parsed.GetRequiredValue quiet))

    command
