/// A counterexample as a person would draw it: each channel and kernel a small matrix, the expected and the actual output side by side
/// with the wrong elements marked, and the arithmetic of one of them written out.
module internal Conv.Properties.Figure

open System
open System.Globalization
open Conv

/// The largest matrix drawn whole, and the most matrices of one tensor.
let private most, mostPlanes = 14, 8

let private number (value: float) =
    // Never "-0".
    if value = 0.0 then
        "0"
    elif value = Math.Round value && abs value < 1e7 then
        value.ToString("0", CultureInfo.InvariantCulture)
    else
        (float32 value).ToString("R", CultureInfo.InvariantCulture)

let private digits (value: float) = value.ToString("G4", CultureInfo.InvariantCulture)

/// The rows of one plane, right-aligned; `marked` elements stand in brackets.
let private plane (values: Values) i0 i1 (marked: int -> bool) =
    let rows, columns = min most values.D2, min most values.D3

    let text =
        Array2D.init rows columns (fun i j ->
            let at = values.At(i0, i1, i, j)
            let text = number values.Data[at]
            if marked at then "[" + text + "]" else " " + text + " ")

    let width = text |> Seq.cast<string> |> Seq.map String.length |> Seq.fold max 1

    [
        for i in 0 .. rows - 1 do
            let row = String.Join("", [ for j in 0 .. columns - 1 -> text[i, j].PadLeft width ])
            if values.D3 > most then row + " …" else row
        if values.D2 > most then
            "  …"
    ]

/// Blocks beside each other, each with its title above.
let private beside (blocks: (string * string list) list) =
    let columns =
        [
            for title, rows in blocks ->
                let lines = title :: rows
                let width = lines |> List.map String.length |> List.max
                lines |> List.map _.PadRight(width)
        ]

    let height = columns |> List.map List.length |> List.fold max 0
    let cell row (column: string list) = List.tryItem row column |> Option.defaultValue (String(' ', column.Head.Length))
    [ for row in 0 .. height - 1 -> "    " + String.Join("   ", List.map (cell row) columns).TrimEnd() ]

let private drawn name (values: Values) =
    let all =
        [
            for i0 in 0 .. values.D0 - 1 do
                for i1 in 0 .. values.D1 - 1 -> i0, i1
        ]

    [
        for row in all |> List.truncate mostPlanes |> List.chunkBySize 4 do
            yield! beside [ for i0, i1 in row -> $"{name}[{i0},{i1}]", plane values i0 i1 (fun _ -> false) ]
        if all.Length > mostPlanes then
            $"    … and {all.Length - mostPlanes} more planes of {name}"
    ]

let private firstOf (call: Call) = Values.ofArray (Operation.first call.Operation call.Shape) (Array.map float call.Input)
let private secondOf (call: Call) = Values.ofArray (Operation.second call.Operation call.Shape) (Array.map float call.Kernel)

/// Operands, named; the single 1 of a sum is left out.
let private operands (call: Call) =
    let first, second, _ = Operation.names call.Operation

    [
        yield! drawn first (firstOf call)
        if call.Operation <> Operation.BackwardBias then
            yield! drawn second (secondOf call)
    ]

/// The sum of one element, grouped by the channel that is summed over, as the source does: (1·1 + 2·2 + …) + (…) = 56.
let private arithmetic (call: Call) at =
    let a, b = firstOf call, secondOf call
    let signed value = if value < 0.0 then "(" + number value + ")" else number value

    let few most what items =
        if List.length items > most then
            List.truncate most items @ [ $"… {items.Length - most} more {what}" ]
        else
            items

    let product (i, j) =
        if call.Operation = Operation.BackwardBias then
            signed a.Data[i]
        else
            signed a.Data[i] + "·" + signed b.Data[j]

    let channel terms = "(" + String.Join(" + ", terms |> List.map product |> few 24 "products") + ")"

    // The whole problem is walked: only a small one is written out.
    let channels =
        if call.Shape.MultiplyAdds > 200_000L then
            []
        else
            Operation.products call.Operation call.Shape at

    let _, d1, d2, d3 = Operation.result call.Operation call.Shape
    let o = at / max 1 (d2 * d3) % max 1 d1
    let bias = if call.Bias.Length = 0 then [] else [ signed (float call.Bias[o]) ]

    let sum =
        match (channels |> List.map channel |> few 6 "channels") @ bias with
        | [] when call.Shape.MultiplyAdds > 200_000L -> "the definition's sum"
        | [] -> "0 (nothing meets it but padding)"
        | parts -> String.Join(" + ", parts)

    match call.Operation with
    | Operation.Fused rectifies ->
        let part i = signed (float call.Bias[i * call.Shape.OutChannels + o])
        let affine = $"{part 1}·({sum}) + {part 2}"
        if rectifies then $"max({affine}, 0)" else affine
    | _ -> sum

/// The definition's result of a call, in double; how far each element may be from it; and the elements that are further.
let private judge (subject: Subject) tier (call: Call) =
    let s, operation = call.Shape, call.Operation
    let x, k, b = Array.map float call.Input, Array.map float call.Kernel, Array.map float call.Bias
    let expected = Oracle.complete operation s x k b
    let arithmetic = subject.Profile.Arithmetic(operation, s)
    let finite = Seq.concat [ x; k; b ] |> Seq.forall Double.IsFinite

    let allowed, oracle =
        if
            not finite
            || tier = Exact
               && Bound.isExact operation arithmetic subject.Profile.Traits s x k b
        then
            Zero, (if finite then Bound.ofOracle operation s x k b else Zero)
        else
            Bound.ofCall operation arithmetic subject.Profile.Traits s x k b, Bound.ofOracle operation s x k b

    let bound at = allowed.At at + oracle.At at

    let isWrong at =
        let actual, right = call.Output[at], expected[at]

        not (
            abs (actual - right) <= bound at
            || actual = right
            || Double.IsNaN actual && Double.IsNaN right
        )

    expected, bound, List.filter isWrong [ 0 .. call.Output.Length - 1 ]

/// The problem of a call, and where it is wrong: the planes that hold a wrong element first.
let private drawCall (call: Call) (expected: float[]) (bound: int -> float) (wrong: int list) =
    let right = Values.ofArray (Operation.result call.Operation call.Shape) expected
    let actual = right |> Values.withData call.Output
    let marked = Set.ofList wrong
    let _, _, name = Operation.names call.Operation

    let planeOf at =
        let struct (n, o, _, _) = right.Coordinates at
        n, o

    let wrongPlanes = wrong |> List.map planeOf |> List.distinct
    let at = List.head wrong
    let struct (n, o, i, j) = right.Coordinates at

    [
        yield! operands call
        if call.Bias.Length > 0 then
            let title =
                match call.Operation with
                | Operation.Fused _ -> "b, s, t"
                | _ -> "b"

            $"    {title} = "
            + String.Join(" ", call.Bias |> Seq.truncate 16 |> Seq.map (float >> number))
        for n, o in List.truncate 4 wrongPlanes do
            yield!
                beside
                    [
                        $"{name}[{n},{o}] expected", plane right n o (fun _ -> false)
                        $"{name}[{n},{o}] actual", plane actual n o marked.Contains
                    ]
        if wrongPlanes.Length > 4 then
            $"    … and {wrongPlanes.Length - 4} more planes of {name} with wrong elements"
        $"    {name.ToLowerInvariant()}[{n},{o},{i},{j}] = {arithmetic call at} = {number expected[at]}, not {number call.Output[at]}"

        if bound at > 0.0 then
            $"    they differ by {digits (abs (call.Output[at] - expected[at]))}, the proven bound is {digits (bound at)}"
    ]

/// The two sides of the equation, where no single call is wrong by itself.
let private drawSides (witness: Witness) =
    let equation = witness.Equation
    let marked = Set.ofList witness.Wrong
    let at = List.head witness.Wrong
    let struct (i0, i1, i2, i3) = equation.Left.Value.Coordinates at
    let left, right = equation.Left.Value.Data[at], equation.Right.Value.Data[at]
    let allowed = equation.Left.Error.At at + equation.Right.Error.At at

    [
        yield!
            beside
                [
                    equation.LeftName, plane equation.Left.Value i0 i1 marked.Contains
                    equation.RightName, plane equation.Right.Value i0 i1 (fun _ -> false)
                ]
        match equation.Relation with
        | AtMost -> $"    at [{i0},{i1},{i2},{i3}]: {number left} is not ≤ {number right}"
        | Agrees when allowed > 0.0 ->
            $"    at [{i0},{i1},{i2},{i3}]: {number left} and {number right} differ by {digits (abs (left - right))}, the proven bound is {digits allowed}"
        | _ -> $"    at [{i0},{i1},{i2},{i3}]: {number left} is not {number right}"
    ]

/// The line that replays a case on a subject.
let replay (subject: Subject) (case: Case) = $"subject={Case.escape subject.Name} {Case.print case}"

/// A failing verdict on a case, line by line.
let drawing (law: Law) (subject: Subject) (case: Case) (verdict: Verdict) : string list =
    [
        $"{law.Id} ({law.Clause}) is broken by {subject.Name}: {law.Statement}"
        match verdict with
        | Breaks witness ->
            let equation = witness.Equation
            let total = equation.Left.Value.Length
            let counted = if total = 1 then "" else $" at {witness.Wrong.Length} of {total} elements"
            let relation = if equation.Relation = AtMost then "is not ≤" else "differs from"
            $"  {equation.LeftName} {relation} {equation.RightName}{counted}"

            let own =
                witness.Calls
                |> List.indexed
                |> List.filter (fun (_, call) -> not call.ByOracle)

            let wrongCall =
                own
                |> List.tryPick (fun (index, call) ->
                    match judge subject case.Tier call with
                    | _, _, [] -> None
                    | expected, bound, wrong -> Some(index, call, expected, bound, wrong))

            match wrongCall, own with
            | Some(index, call, expected, bound, wrong), _ ->
                let which =
                    if witness.Calls.Length = 1 then
                        ""
                    else
                        $"   (call {index + 1} of {witness.Calls.Length})"

                let what =
                    if call.Operation = Operation.Forward then
                        ""
                    else
                        $"{Operation.title call.Operation} of "

                $"  {what}{call.Shape}{which}"
                yield! drawCall call expected bound wrong
            | None, (_, call) :: _ ->
                $"  {call.Shape}   (by itself, every call is within its bound)"
                yield! operands call
                yield! drawSides witness
            | None, [] -> yield! drawSides witness
        | Faulted(fault, call) ->
            $"  {Fault.describe fault}"
            $"  {call.Shape}"
        | _ -> "  the shrunk case did not fail when it was judged again: the subject is not deterministic"
    ]

/// A failing verdict and the command that judges the case again.
let ofVerdict law subject case verdict : string list = drawing law subject case verdict @ [ $"  replay \"{replay subject case}\"" ]

/// The line that judges a failure again: what must be asked before it stands in front of it.
let replayOf (subject: Subject) (failure: Run.Failure) =
    failure.Earlier @ [ failure.Shrunk ]
    |> List.map (replay subject)
    |> String.concat Case.afterwards

/// The same without the subject's name.
let line (failure: Run.Failure) =
    failure.Earlier @ [ failure.Shrunk ]
    |> List.map Case.print
    |> String.concat Case.afterwards

/// The counterexample of a failure, and what is to be known of it, line by line.
let counterexample (law: Law) (subject: Subject) (failure: Run.Failure) : string list =
    [
        yield! drawing law subject failure.Shrunk failure.Verdict

        match failure.Earlier with
        | [] -> ()
        | earlier ->
            let cases = if earlier.Length = 1 then "the case" else $"the {earlier.Length} cases"
            $"  only after {cases} before it in this line: what was called earlier matters"

        if failure.Eluded > 0 then
            $"  it failed once, and in none of {failure.Eluded} tries again, alone or after all that was asked before: it depends on time, threads or addresses (RES-7, RES-8)"
    ]

/// The same with the command that judges it again.
let lines law subject failure : string list =
    counterexample law subject failure
    @ [ $"  replay \"{replayOf subject failure}\"" ]
