/// Profiles in words, in a table and in the report: what a subject declares, what it was seen to do, and where the two differ.
module internal Conv.Properties.Profiles

open System
open System.Text.Json
open Spectre.Console
open Conv

/// A format by its bits and range: "float16" where it is one that has a name.
let private format bits (range: Probe.Range option) =
    match bits, range with
    | 24, None -> "float32"
    | 53, _ -> "float64"
    | 24, Some r when r.Most > 100 -> "float32"
    | 8, Some r when r.Most > 100 -> "8 bits (bfloat16)"
    | 11, Some r when r.Most > 100 -> "11 bits (tf32)"
    | 11, Some r when r.Most < 17 -> "11 bits (float16)"
    | _, Some r when r.Most < 100 -> $"{bits} bits up to 2^{r.Most}"
    | _ -> $"{bits} bits"

/// The arithmetic that is declared.
let private arithmeticInWords (arithmetic: Arithmetic) =
    match arithmetic with
    | :? AnyOrder as a when a.Depth.HasValue -> $"any order in float32 or double, {a.Depth.Value} additions deep"
    | :? AnyOrder -> "any order in float32 or double"
    | :? Within as w ->
        let scale = if w.Global then " of its largest operands" else ""
        FormattableString.Invariant $"within {w.Factor} times a plain sum's bound{scale}"
    | :? Rounded as r -> $"inputs in {r.Input.Name}, sums in {r.Accumulator.Name}, results in {r.Output.Name}"
    | :? Bilinear as b -> $"bilinear F({b.OutputTransform.Rows},{b.KernelTransform.Columns})"
    | :? Quantized as q -> $"quantised to {q.Bits} bits"
    | _ -> "no arithmetic"

let private declaredArithmetic (subject: Subject) probed =
    match Claims.arithmetic subject probed with
    | Some arithmetic -> arithmeticInWords arithmetic
    // Who may decline any shape declares one arithmetic for all.
    | None when subject.Profile.Declines -> arithmeticInWords (subject.Profile.ArithmeticOf(ConvShape(1, 1, 1, 1, 1, 1, 1)))
    | None -> "no shape to ask on"

let private joined parts = String.Join(", ", List.filter ((<>) "") parts)

/// What is declared, in one line.
let declared (subject: Subject) (probed: Probe.Probed) =
    let traits = subject.Profile.Traits

    joined
        [
            declaredArithmetic subject probed
            if traits.FusedMultiplyAdd then
                "may fuse"
            if traits.FlushesSubnormals then
                "may flush subnormals"
            if traits.Deterministic then
                "deterministic"
            if traits.Threaded then
                "threads by choice"
        ]

let private operand bits range levels =
    match levels, bits with
    | Some levels, _ -> Some $"quantised to {levels} levels"
    | None, Some 24 when range |> Option.forall (fun (r: Probe.Range) -> r.Most > 100) -> None
    | None, Some bits -> Some $"of {format bits range}"
    | None, None -> None

let private operands (p: Probe.Probed) =
    let inputs, weights =
        operand p.InputBits p.InputRange p.InputLevels, operand p.WeightBits p.WeightRange p.WeightLevels

    match inputs, weights with
    | None, None -> ""
    | Some inputs, Some weights when inputs = weights -> $"inputs and weights {inputs}"
    | Some inputs, Some weights -> $"inputs {inputs}, weights {weights}"
    | Some inputs, None -> $"inputs {inputs}"
    | None, Some weights -> $"weights {weights}"

let private sums (p: Probe.Probed) =
    let width =
        match p.SumBits with
        | Some(Probe.Exactly bits) -> format bits None
        | Some(Probe.AtLeast bits) -> $"{bits} bits or more"
        | None -> ""

    let order = p.Order |> Option.map ((+) " ") |> Option.defaultValue ""

    match p.Structure, width, p.Fused, p.SumBits with
    | Some Probe.Transformed, "", _, _ -> "transforms inputs and weights"
    | Some Probe.Transformed, _, _, _ -> $"transforms inputs and weights, accumulates in {width}"
    | _, "", _, _ -> ""
    | _, _, Some true, Some(Probe.Exactly 24) -> $"accumulates in {width}{order} with fused multiply-add"
    | _, _, Some true, _ -> $"accumulates unrounded products in {width}{order}"
    | _ -> $"accumulates in {width}{order}"

let private results (p: Probe.Probed) =
    match p.ResultBits, p.ResultRange with
    | Some(Probe.Exactly 24), Some r when r.Most > 100 -> ""
    | Some(Probe.Exactly bits), range -> $"results of {format bits range}"
    | _ -> ""

let private subnormals (p: Probe.Probed) =
    let ends =
        [ "inputs", p.InputRange; "weights", p.WeightRange; "results", p.ResultRange ]
        |> List.choose (fun (name, range) -> range |> Option.map (fun r -> name, Claims.underflow r))

    let those what = ends |> List.filter (snd >> (=) what) |> List.map fst

    let cut =
        [
            for name, what in ends do
                match what with
                | Claims.Cut exponent -> $"{name} below 2^{exponent} become zero"
                | _ -> ()
        ]

    match those Claims.Gradual, those Claims.Flushed with
    | kept, [] when kept.Length = 3 -> "keeps subnormals"
    | [], flushed when flushed.Length = 3 -> "flushes subnormals"
    | _, flushed when not flushed.IsEmpty -> joined ($"""flushes subnormal {String.Join(" and ", flushed)}""" :: cut)
    | _ -> joined cut

let private repeats (p: Probe.Probed) =
    match p.Repeatable, p.AnyAddress, p.AnyThreads with
    | None, _, _ -> ""
    | Some false, _, _ -> "differs from call to call"
    | _, Some false, _ -> "depends on addresses"
    | _, _, Some false -> "depends on the number of threads"
    | _, _, Some true -> "repeatable on any number of threads"
    | _ -> "repeatable"

let private spread (p: Probe.Probed) =
    match p.Spread with
    | Some Probe.InWindow -> "NaN stays in its window"
    | Some(Probe.InTiles size) -> $"NaN spreads within {size}×{size} tiles"
    | Some Probe.InWholeImage -> "NaN spreads over the image"
    | Some Probe.Beyond -> "NaN leaves its window"
    | Some Probe.Lost -> "loses NaN"
    | None -> ""

let private refusals (p: Probe.Probed) =
    match p.Unsupported with
    | Some u when u.Refused = u.Asked -> "refuses what it does not support"
    | _ -> ""

/// What was found out, in one line.
let probed (p: Probe.Probed) =
    match joined [ operands p; sums p; results p; subnormals p; repeats p; spread p; refusals p ] with
    | "" -> "nothing could be found out"
    | found -> found

let private differenceInWords difference =
    match difference with
    | Claims.DeniedButSeen what -> "denied but seen", what
    | Claims.DeclaredButNotSeen what -> "declared but not seen", what

/// Differences in one line; none where there are none.
let differences subject p =
    match Claims.differences subject p |> List.map differenceInWords with
    | [] -> None
    | found ->
        found
        |> List.groupBy fst
        |> List.map (fun (kind, these) -> $"""{kind}: {String.Join(", ", List.map snd these)}""")
        |> fun kinds -> Some(String.Join("; ", kinds))

/// Who has a profile: whoever computes a convolution.
let applies (subject: Subject) = subject.Profile.Capabilities.Contains Forward

/// Prints a declaration, a finding and what differs, a line each, for every subject that computes a convolution.
let lines (profiles: (Subject * Probe.Probed) list) =
    let profiles = profiles |> List.filter (fst >> applies)

    if not profiles.IsEmpty then
        let width = profiles |> List.map (fun (s, _) -> s.Name.Length) |> List.max
        Terminal.line ""

        for subject, p in profiles do
            Terminal.line $"{subject.Name.PadRight width}  declared  {declared subject p}"
            Terminal.line $"""{"".PadRight width}  probed    {probed p}"""

            differences subject p
            |> Option.iter (fun text ->
                Terminal.out.MarkupLine $"""{"".PadRight width}  [yellow]≠[/]         {Markup.Escape(Terminal.show text)}""")

        Terminal.line ""

// ---- the table

let private known show value = value |> Option.map show |> Option.defaultValue "unknown"
let private yes flag = if flag then "yes" else "no"
let private number (n: int) = string n

let private bitsInWords bits =
    match bits with
    | Probe.Exactly n -> $"{n} bits"
    | Probe.AtLeast n -> $"{n} bits or more"

let private rangeInWords (r: Probe.Range) =
    let small =
        match Claims.underflow r with
        | Claims.Gradual -> "subnormals kept"
        | Claims.Flushed -> "subnormals flushed"
        | Claims.Cut _ -> "less becomes zero"

    $"2^{r.Least} to 2^{r.Most}, {small}"

/// Property, declared and probed; "" where nothing of the kind is declared.
let rows (subject: Subject) (p: Probe.Probed) : (string * string * string) list =
    let traits = subject.Profile.Traits
    let can capability = subject.Profile.Capabilities.Contains capability
    let arithmetic = Claims.arithmetic subject p

    let struct (operands, sums, results) =
        arithmetic
        |> Option.map Claims.bits
        |> Option.defaultValue (struct (None, None, None))

    let declared bits = bits |> Option.map (fun n -> $"{n} bits") |> Option.defaultValue ""

    let operand bits levels =
        match levels with
        | Some n -> $"{known number bits} bits beside the largest, {n} levels"
        | None -> bits |> Option.map (fun n -> $"{n} bits") |> Option.defaultValue "unknown"

    let takes (shape: ConvShape) =
        try
            yes (subject.Profile.TakesInPlace shape)
        with _ ->
            "no"

    [
        "asked on", "", known string p.Shape
        "terms",
        declaredArithmetic subject p,
        p.Structure
        |> known (function
            | Probe.Separate -> "each product by itself"
            | Probe.Transformed -> "inputs and weights are mixed before they meet"
            | Probe.Scaled -> "the largest element decides the step of the others")
        "inputs", declared operands, operand p.InputBits p.InputLevels
        "range of inputs", "", known rangeInWords p.InputRange
        "weights", declared operands, operand p.WeightBits p.WeightLevels
        "range of weights", "", known rangeInWords p.WeightRange
        "partial sums", declared sums, known bitsInWords p.SumBits
        "order of sums", "", known id p.Order
        "fused multiply-add", (if traits.FusedMultiplyAdd then "may be" else "no"), known yes p.Fused
        "results", declared results, known bitsInWords p.ResultBits
        "range of results",
        (if traits.FlushesSubnormals then "may flush subnormals" else "gradual underflow"),
        known rangeInWords p.ResultRange
        "same bits again", yes traits.Deterministic, known yes p.Repeatable
        "same bits at any address", yes (traits.Deterministic && traits.SameAtAnyAddress), known yes p.AnyAddress
        "same bits in any batch", yes (traits.Deterministic && traits.BatchInvariant), known yes p.AnyBatch
        "same bits on any threads", (if traits.Threaded then yes traits.Deterministic else "not offered"), known yes p.AnyThreads
        "NaN",
        arithmetic
        |> Option.bind Claims.keepsLocal
        |> Option.map (fun local -> if local then "stays in its window" else "may spread within a tile")
        |> Option.defaultValue "",
        (match spread p with
         | "" -> "unknown"
         | text -> text)
        "in place, depthwise 1×1", takes Probe.byChannel, known yes p.InPlaceByChannel
        "in place, dense 1×1", takes Probe.across, known yes p.InPlaceAcross
        "unsupported shapes",
        (if can Misuse then "refused" else ""),
        p.Unsupported
        |> known (fun u -> $"{u.Asked} called: {u.Refused} refused, {u.Right} right, {u.Wrong} wrong, {u.Threw} other exceptions")
    ]

/// Prints the full table of each.
let table (profiles: (Subject * Probe.Probed) list) =
    let mutable first = true

    for subject, p in profiles do
        if not first then
            Terminal.line ""

        first <- false
        Terminal.line subject.Name

        if not (applies subject) then
            Terminal.line "  computes no convolution: nothing to ask"
        else
            let rows = ("", "declared", "probed") :: rows subject p
            let width pick = rows |> List.map (pick >> String.length) |> List.max
            let names, middle = width (fun (name, _, _) -> name), width (fun (_, declared, _) -> declared)

            for name, declared, probed in rows do
                Terminal.line $"  {name.PadRight names}  {declared.PadRight middle}  {probed}"

            for kind, what in Claims.differences subject p |> List.map differenceInWords do
                Terminal.out.MarkupLine $"  [yellow]{kind}[/]: {Markup.Escape(Terminal.show what)}"

// ---- the report

let private boolean (w: Utf8JsonWriter) (name: string) value =
    match value with
    | Some flag -> w.WriteBoolean(name, (flag: bool))
    | None -> w.WriteNull name

let private text (w: Utf8JsonWriter) (name: string) value =
    match value with
    | Some text -> w.WriteString(name, (text: string))
    | None -> w.WriteNull name

let private integer (w: Utf8JsonWriter) (name: string) value =
    match value with
    | Some n -> w.WriteNumber(name, (n: int))
    | None -> w.WriteNull name

let private rangeJson (w: Utf8JsonWriter) (name: string) (range: Probe.Range option) =
    match range with
    | Some r ->
        w.WriteStartObject name
        w.WriteNumber("leastExponent", r.Least)
        w.WriteNumber("mostExponent", r.Most)
        w.WriteEndObject()
    | None -> w.WriteNull name

let private bitsJson (w: Utf8JsonWriter) (name: string) bits =
    integer w name (bits |> Option.map (fun (b: Probe.Bits) -> b.Number))
    boolean w $"{name}OrMore" (bits |> Option.map _.IsAtLeast)

let private spreadWord spread =
    match spread with
    | Probe.InWindow -> "window"
    | Probe.InTiles _ -> "tiles"
    | Probe.InWholeImage -> "image"
    | Probe.Beyond -> "beyond"
    | Probe.Lost -> "lost"

/// The fields `declared`, `probed` and `differences` of a subject; what is not known is null.
let json (w: Utf8JsonWriter) (subject: Subject, p: Probe.Probed) =
    let traits = subject.Profile.Traits
    let arithmetic = Claims.arithmetic subject p

    let struct (operands, sums, results) =
        arithmetic
        |> Option.map Claims.bits
        |> Option.defaultValue (struct (None, None, None))

    w.WriteStartObject "declared"
    text w "arithmetic" (arithmetic |> Option.map arithmeticInWords)
    integer w "operandBits" operands
    integer w "sumBits" sums
    integer w "resultBits" results
    w.WriteBoolean("deterministic", traits.Deterministic)
    w.WriteBoolean("fusedMultiplyAdd", traits.FusedMultiplyAdd)
    w.WriteBoolean("flushesSubnormals", traits.FlushesSubnormals)
    boolean w "nanStaysInWindow" (arithmetic |> Option.bind Claims.keepsLocal)
    w.WriteStartArray "capabilities"

    for capability in subject.Profile.Capabilities do
        w.WriteStringValue(string capability)

    w.WriteEndArray()
    w.WriteEndObject()

    w.WriteStartObject "probed"
    text w "shape" (p.Shape |> Option.map string)
    text w "terms" (p.Structure |> Option.map (fun s -> (string s).ToLowerInvariant()))
    integer w "inputBits" p.InputBits
    integer w "inputLevels" p.InputLevels
    rangeJson w "inputRange" p.InputRange
    integer w "weightBits" p.WeightBits
    integer w "weightLevels" p.WeightLevels
    rangeJson w "weightRange" p.WeightRange
    bitsJson w "sumBits" p.SumBits
    text w "order" p.Order
    boolean w "productsUnrounded" p.Fused
    bitsJson w "resultBits" p.ResultBits
    rangeJson w "resultRange" p.ResultRange
    boolean w "repeatable" p.Repeatable
    boolean w "sameAtAnyAddress" p.AnyAddress
    boolean w "sameInAnyBatch" p.AnyBatch
    boolean w "sameOnAnyThreads" p.AnyThreads
    text w "nan" (p.Spread |> Option.map spreadWord)

    integer
        w
        "nanTile"
        (match p.Spread with
         | Some(Probe.InTiles size) -> Some size
         | _ -> None)

    boolean w "inPlaceByChannel" p.InPlaceByChannel
    boolean w "inPlaceAcrossChannels" p.InPlaceAcross

    match p.Unsupported with
    | Some u ->
        w.WriteStartObject "unsupportedShapes"
        w.WriteNumber("asked", u.Asked)
        w.WriteNumber("refused", u.Refused)
        w.WriteNumber("right", u.Right)
        w.WriteNumber("wrong", u.Wrong)
        w.WriteNumber("threw", u.Threw)
        w.WriteEndObject()
    | None -> w.WriteNull "unsupportedShapes"

    w.WriteEndObject()

    w.WriteStartArray "differences"

    for kind, what in Claims.differences subject p |> List.map differenceInWords do
        w.WriteStringValue $"{kind}: {what}"

    w.WriteEndArray()
