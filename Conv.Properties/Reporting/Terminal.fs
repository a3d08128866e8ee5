/// Where text goes: the terminal with colours and a live bar, or a pipe with plain lines. Honours NO_COLOR and terminals without UTF-8.
module internal Conv.Properties.Terminal

open System
open System.IO
open System.Text
open Spectre.Console

/// Whether the locale can show more than ASCII. An unset locale is taken to be what the console says, which is UTF-8.
let unicode =
    let locale =
        [ "LC_ALL"; "LC_CTYPE"; "LANG" ]
        |> List.map Environment.GetEnvironmentVariable
        |> List.tryFind (String.IsNullOrEmpty >> not)

    match locale with
    | None -> Console.OutputEncoding.CodePage = Encoding.UTF8.CodePage
    | Some locale -> (string locale).Replace("-", "").Contains("utf8", StringComparison.OrdinalIgnoreCase)

let private spellings =
    [
        "·", "*"
        "×", "x"
        "−", "-"
        "≤", "<="
        "≥", ">="
        "≠", "!="
        "Σ", "sum"
        "⋆", "*"
        "∗", "*"
        "γ", "gamma"
        "κ", "kappa"
    ]
    @ [
        "∈", "in"
        "…", "..."
        "→", "->"
        "✓", "+"
        "✗", "X"
        "δ", "delta"
        "²", "^2"
        "ᵀ", "^T"
        "₁", "1"
        "₂", "2"
        "ℤ", "Z"
    ]
    @ [ "—", "-"; "–", "-"; "⁻", "-"; "∞", "inf"; "│", "|"; "─", "-" ]

/// The text as this terminal can show it.
let show (text: string) =
    if unicode then
        text
    else
        let spelled =
            spellings
            |> List.fold (fun (t: string) (symbol: string, plain: string) -> t.Replace(symbol, plain)) text

        String.map (fun c -> if Char.IsAscii c then c else '?') spelled

let private create (writer: TextWriter) redirected =
    let settings = AnsiConsoleSettings(Out = AnsiConsoleOutput writer)
    let noColour = not (String.IsNullOrEmpty(Environment.GetEnvironmentVariable "NO_COLOR"))

    if redirected || noColour then
        settings.ColorSystem <- ColorSystemSupport.NoColors

    if redirected then
        settings.Ansi <- AnsiSupport.No
        settings.Interactive <- InteractionSupport.No

    let console = AnsiConsole.Create settings
    console.Profile.Capabilities.Unicode <- unicode
    // A pipe has no width: lines are as long as they are.
    if redirected then
        console.Profile.Width <- 4096

    console

/// Results.
let out = create Console.Out Console.IsOutputRedirected

/// Progress and errors.
let err = create Console.Error Console.IsErrorRedirected

/// Whether a person is watching the progress.
let watched = not Console.IsErrorRedirected

/// One line on standard error: what is wrong and how to mend it.
let error (message: string) = Console.Error.WriteLine(show ("conv: " + message))

/// A line of results.
let line (text: string) = Console.Out.WriteLine(show text)

/// How long it may take until the end, by the average of all that is done: what laws cost differs by hundreds, so that the pace of the moment, or of
/// the first seconds, in which code is compiled, says nothing.
type private TimeLeft() =
    inherit ProgressColumn()

    override _.Render(_, task, _) =
        let elapsed = task.ElapsedTime.GetValueOrDefault()
        let share = task.Percentage / 100.0

        let text =
            if elapsed < TimeSpan.FromSeconds 5.0 || share < 0.05 then
                "--:--:--"
            else
                (elapsed * ((1.0 - share) / share)).ToString @"hh\:mm\:ss"

        Text(text, Style(Color.Blue)) :> Rendering.IRenderable

/// Runs with a live bar where somebody watches, with plain lines where not, or silently. `work` is given what to call after so many steps.
let withProgress quiet (title: string) steps (work: (int -> string option -> unit) -> 'a) : 'a =
    if quiet then
        work (fun _ _ -> ())
    elif watched then
        let columns: ProgressColumn[] =
            [|
                SpinnerColumn()
                TaskDescriptionColumn(Alignment = Justify.Left)
                ProgressBarColumn()
                PercentageColumn()
                TimeLeft()
            |]

        err
            .Progress()
            .AutoClear(true)
            .Columns(columns)
            .Start(fun context ->
                let task = context.AddTask(Markup.Escape title, true, float (max 1 steps))

                work (fun done' line ->
                    line |> Option.iter (fun l -> task.Description <- Markup.Escape(show l))

                    task.Increment(float done')))
    else
        work (fun _ line -> line |> Option.iter (fun l -> Console.Error.WriteLine(show l)))
