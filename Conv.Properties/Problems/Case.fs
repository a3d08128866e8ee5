namespace Conv.Properties

open System
open System.Globalization
open Conv

/// Exact: both sides are equal, since every partial sum is representable. Bounded: they differ by no more than their proven bounds.
type internal Tier =
    | Exact
    | Bounded

    /// The name in lines, options and reports.
    member t.Name =
        match t with
        | Exact -> "exact"
        | Bounded -> "bounded"

/// One problem for one law: everything that a judgement depends on. It prints as one line, and the line replays it.
type internal Case =
    {
        Law: string
        Tier: Tier
        Problem: ConvShape
        /// The law's own choices (a split, a permutation, a position) as non-negative raw numbers, read by `Case.choose`.
        Args: int list
        Fill: Fill
    }

module internal Case =
    /// The version of lines: it changes whenever a line would mean another case. Which cases a seed draws is a matter of the kit's version.
    let format = 1

    /// What stands between the cases of a line that are judged one after the other.
    let afterwards = " ;; "

    /// The i-th raw argument folded into lo…hi, so that every raw number is valid for every shape. Missing ones are lo.
    let choose (case: Case) i lo hi =
        match List.tryItem i case.Args with
        | Some raw when hi > lo -> lo + raw % (hi - lo + 1)
        | _ -> lo

    /// A subject's name as a field of a line, and in quotes of any shell: "exec:python3 my.py" is "exec:python3%20my.py".
    let escape (name: string) =
        let plain c = Char.IsAsciiLetterOrDigit c || ":/._-+=,@~*".Contains c

        String.collect (fun c -> if plain c || c > '\127' then string c else Uri.HexEscape c) name

    /// The case as one line of name=value fields.
    let print (case: Case) =
        let args =
            match case.Args with
            | [] -> ""
            | args -> " args=" + String.Join(',', args)

        $"format={format} law={case.Law} tier={case.Tier.Name} {case.Problem}{args} {Fill.print case.Fill}"

    /// Whether a listed element lies in its tensor. The second input and kernel are as large as the law draws them.
    let isInside (s: ConvShape) (e: Element) =
        let within d0 d1 d2 d3 = e.I0 < d0 && e.I1 < d1 && e.I2 < d2 && e.I3 < d3

        match e.Role with
        | Role.Input -> within s.Batch s.InChannels s.Rows.Size s.Columns.Size
        | Role.Kernel -> within s.OutChannels s.InChannelsPerGroup s.Rows.Taps s.Columns.Taps
        | Role.Bias -> within s.OutChannels 1 1 1
        | Role.Gradient -> within s.Batch s.OutChannels s.Rows.Outputs s.Columns.Outputs
        | _ -> true

    /// The case on another shape: listed elements that the shape has no place for are left out.
    let onShape (shape: ConvShape) (case: Case) =
        let fill =
            match case.Fill with
            | Drawn _ -> case.Fill
            | Explicit elements -> Explicit(List.filter (isInside shape) elements)

        { case with Problem = shape; Fill = fill }

    let private own = set [ "format"; "law"; "tier"; "args"; "fill"; "seed"; "values"; "subject" ]

    /// Reads a line. Gives the subject too, where the line names one. Raises FormatException or ArgumentException with one clear sentence.
    let parse (line: string) : string option * Case =
        let fields =
            line.Split(' ', StringSplitOptions.RemoveEmptyEntries ||| StringSplitOptions.TrimEntries)
            |> Array.map (fun part ->
                match part.IndexOf '=' with
                | -1 -> raise (FormatException $"'{part}' is not a field of a case: write name=value.")
                | at -> part.Substring(0, at), part.Substring(at + 1))

        match fields |> Array.countBy fst |> Array.tryFind (fun (_, count) -> count > 1) with
        | Some(name, _) -> raise (FormatException $"'{name}' is given twice.")
        | None -> ()

        let field name = fields |> Array.tryFind (fst >> (=) name) |> Option.map snd

        let need name =
            field name
            |> Option.defaultWith (fun () -> raise (FormatException $"A case needs the field '{name}'."))

        match field "format" with
        | Some version when version <> string format ->
            raise (FormatException $"The line has format {version}; this version reads format {format}.")
        | _ -> ()

        let tier =
            match need "tier" with
            | "exact" -> Exact
            | "bounded" -> Bounded
            | other -> raise (FormatException $"'{other}' is not a tier: write exact or bounded.")

        let args =
            match field "args" with
            | None -> []
            | Some text ->
                [
                    for part in text.Split(',', StringSplitOptions.RemoveEmptyEntries) do
                        match Int32.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture) with
                        | true, value -> value
                        | _ -> raise (FormatException $"'{part}' is not an argument: write whole numbers from 0 on.")
                ]

        let shape =
            fields
            |> Array.filter (fun (name, _) -> not (own.Contains name))
            |> Array.map (fun (name, value) -> name + "=" + value)
            |> String.concat " "
            |> ConvShape.Parse

        let fill = Fill.parse field

        match fill with
        | Drawn _ -> ()
        | Explicit elements ->
            match elements |> List.tryFind (isInside shape >> not) with
            | Some e -> raise (FormatException $"The tensor {e.Role} of this shape has no element {e.I0}.{e.I1}.{e.I2}.{e.I3}.")
            | None -> ()

            match
                elements
                |> List.countBy (fun e -> e.Role, e.I0, e.I1, e.I2, e.I3)
                |> List.tryFind (fun (_, count) -> count > 1)
            with
            | Some((role, i0, i1, i2, i3), _) -> raise (FormatException $"Element {i0}.{i1}.{i2}.{i3} of {role} is given twice.")
            | None -> ()

        field "subject" |> Option.map Uri.UnescapeDataString, { Law = need "law"; Tier = tier; Problem = shape; Args = args; Fill = fill }

    /// Reads a line of one case or several; the last is the one that matters.
    let parseAll (line: string) : (string option * Case) list =
        line.Split(afterwards, StringSplitOptions.RemoveEmptyEntries ||| StringSplitOptions.TrimEntries)
        |> List.ofArray
        |> function
            | [] -> [ parse line ]
            | lines -> List.map parse lines
