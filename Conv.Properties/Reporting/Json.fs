/// The report that can be kept, compared and cited: conformance.json.
module internal Conv.Properties.Json

open System
open System.IO
open System.Reflection
open System.Runtime.InteropServices
open System.Text.Encodings.Web
open System.Text.Json
open Conv

/// The version of the file's form.
let format = 1

/// "MUST", "SHOULD" or "MAY".
let strength law =
    match law.Strength with
    | Must -> "MUST"
    | Should -> "SHOULD"
    | May -> "MAY"

/// The kind in words: "model-based".
let kind law =
    match law.Kind with
    | Postcondition -> "postcondition"
    | Invariant -> "invariant"
    | Metamorphic -> "metamorphic"
    | Inductive -> "inductive"
    | Compositional -> "compositional"
    | ModelBased -> "model-based"
    | Adjoint -> "adjoint"
    | Resource -> "resource"
    | Ieee -> "IEEE"
    | Contractual -> "contract"
    | KitLaw -> "kit law"

/// The version of this assembly.
let version =
    match Assembly.GetExecutingAssembly().GetCustomAttribute<AssemblyInformationalVersionAttribute>() with
    | null -> "unknown"
    | attribute -> attribute.InformationalVersion.Split('+')[0]

/// Writes beside the file, where no other run writes, and renames: no reader sees half a report, and a failing run leaves the old one.
let saveAs (path: string) (content: Stream -> unit) =
    let beside = $"{path}.{Environment.ProcessId}.new"

    do
        use stream = File.Create beside
        content stream

    File.Move(beside, path, true)

/// Writes JSON beside the file and renames.
let save (path: string) (content: Utf8JsonWriter -> unit) =
    saveAs path (fun stream ->
        use writer =
            new Utf8JsonWriter(stream, JsonWriterOptions(Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping))

        content writer)

let private within (w: Utf8JsonWriter) (name: string) content =
    w.WriteStartObject name
    content ()
    w.WriteEndObject()

let private list (w: Utf8JsonWriter) (name: string) items write =
    w.WriteStartArray name

    for item in items do
        w.WriteStartObject()
        write item
        w.WriteEndObject()

    w.WriteEndArray()

let private strings (w: Utf8JsonWriter) (name: string) (items: string seq) =
    w.WriteStartArray name
    Seq.iter (fun (item: string) -> w.WriteStringValue item) items
    w.WriteEndArray()

let private status (cell: Conclusion.Cell) =
    match cell.Status with
    | Conclusion.Held -> "holds", None
    | Conclusion.Broken -> "broken", None
    | Conclusion.Open reason -> "undecided", Some reason
    | Conclusion.Inapplicable reason -> "not applicable", Some reason
    | Conclusion.Refused -> "unsupported", Some "no problem of the law is one that the subject supports"

let private cell (w: Utf8JsonWriter) (cell: Conclusion.Cell) =
    let word, reason = status cell
    w.WriteString("law", cell.Law.Id)
    w.WriteString("subject", cell.Subject.Name)
    w.WriteString("status", word)
    reason |> Option.iter (fun r -> w.WriteString("reason", r))

    // Faults that a larger share of these cases would show have been excluded with 95 % confidence.
    if cell.Held > 0 then
        w.WriteNumber("escapeRateBelow", Math.Round(Conclusion.escapeRate cell.Held, 5))

    list w "tiers" cell.Results (fun r ->
        w.WriteString("tier", r.Tier.Name)
        w.WriteNumber("cases", r.Cases)
        w.WriteNumber("held", r.Held)
        w.WriteNumber("comparisons", r.Elements)
        w.WriteNumber("shapes", r.Shapes.Count)
        w.WriteNumber("againstOracle", r.AgainstOracle)
        w.WriteNumber("worstErrorOverBound", r.Ratio)

        match Conclusion.leanOf r.Leans with
        | Some lean ->
            // On positive numbers.
            w.WriteNumber("meanErrorOverBound", Math.Round(lean.Mean, 4))
            w.WriteNumber("standardErrorOfMean", Math.Round(lean.StandardError, 4))
        | None -> ()

        w.WriteString("casesDigest", $"{r.Digest:x16}")

        if r.Tier = Exact then
            w.WriteString("outputsDigest", $"{r.Outputs:x16}")

        w.WriteNumber("milliseconds", Math.Round(r.Milliseconds, 1))

        within w "discards" (fun () ->
            for KeyValue(why, many) in r.Discards do
                w.WriteNumber(why, many)))

    list w "failures" cell.Failures (fun f ->
        w.WriteString("tier", f.Shrunk.Tier.Name)
        w.WriteString("drawn", Figure.replay cell.Subject f.Drawn)
        w.WriteString("replay", Figure.replayOf cell.Subject f)
        w.WriteNumber("shrinks", f.Shrinks)
        w.WriteNumber("eluded", f.Eluded)
        strings w "figure" (Figure.lines cell.Law cell.Subject f))

/// What the cases of some results covered.
let private coverage (w: Utf8JsonWriter) (results: Run.Result seq) =
    let summary = results |> Seq.collect _.Shapes |> Coverage.summary

    within w "coverage" (fun () ->
        w.WriteNumber("shapes", summary.Shapes)
        w.WriteNumber("optionPairs", summary.Pairs)
        w.WriteNumber("optionPairsHit", summary.PairsHit)
        strings w "optionPairsMissed" summary.PairsMissed

        for modulus, hit in summary.Remainders do
            w.WriteString($"remaindersMod{modulus}", $"{hit} of {3 * modulus}"))

/// How far a verdict reaches: the largest of everything that was exercised, and the pairs of extremes that were met.
let private reach (w: Utf8JsonWriter) (subject: Subject) (shapes: ConvShape[]) =
    match Coverage.largest shapes with
    | None -> ()
    | Some reach ->
        let met, missed = Coverage.extremesOf (Conclusion.leavesRoom subject) shapes

        within w "reach" (fun () ->
            w.WriteNumber("multiplyAdds", reach.MultiplyAdds)
            w.WriteNumber("inChannels", reach.Channels)
            w.WriteNumber("outChannels", reach.Outputs)
            w.WriteNumber("groups", reach.Groups)
            w.WriteNumber("batch", reach.Batch)
            w.WriteNumber("side", reach.Side)
            w.WriteNumber("kernelSide", reach.Kernel)
            w.WriteNumber("stride", reach.Stride)
            w.WriteNumber("dilation", reach.Dilation)
            w.WriteNumber("pad", reach.Pad)
            strings w "extremesMet" met
            strings w "extremesMissed" missed)

/// Where and with what a report was made.
let heading (options: Run.Options) (seconds: float) (w: Utf8JsonWriter) =
    w.WriteNumber("format", format)
    w.WriteString("tool", $"Conv {version}")
    w.WriteString("specification", "0.1")
    w.WriteString("date", DateTime.UtcNow.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'"))
    w.WriteString("seed", $"0x{options.Seed:x}")
    w.WriteNumber("casesPerLawAndTier", options.Cases)
    w.WriteString("reach", options.Reach.Name)
    w.WriteNumber("caseFormat", Case.format)
    w.WriteNumber("seconds", Math.Round(seconds, 2))

    within w "host" (fun () ->
        w.WriteString("os", RuntimeInformation.OSDescription)
        w.WriteString("architecture", string RuntimeInformation.ProcessArchitecture)
        w.WriteString("runtime", RuntimeInformation.FrameworkDescription)
        w.WriteString("instructions", string InstructionSet.here)
        w.WriteNumber("threads", options.Threads))

/// The whole of a run of `verify`.
let conformance
    options
    (laws: Law list)
    (judged: Matrix.Judged list)
    (profiles: (Subject * Probe.Probed) list)
    seconds
    (w: Utf8JsonWriter)
    =
    let results = judged |> List.collect (fun (_, _, cells) -> cells |> List.collect _.Results)
    w.WriteStartObject()
    heading options seconds w
    let leftOut = Conclusion.leftOut options laws
    // Whether everything was asked, and what was not.
    w.WriteBoolean("partial", not leftOut.IsEmpty)
    strings w "leftOut" leftOut

    list w "subjects" judged (fun (subject, verdict, cells) ->
        w.WriteString("name", subject.Name)
        w.WriteBoolean("deterministic", subject.Profile.Traits.Deterministic)
        w.WriteBoolean("fusedMultiplyAdd", subject.Profile.Traits.FusedMultiplyAdd)
        w.WriteBoolean("flushesSubnormals", subject.Profile.Traits.FlushesSubnormals)

        w.WriteString("verdict", Conclusion.word leftOut verdict)

        match verdict with
        | Conclusion.Unsettled reasons -> strings w "reasons" reasons
        | _ -> ()

        reach w subject (Conclusion.shapesOf cells)

        profiles
        |> List.filter (fun (other, _) -> other.Name = subject.Name && Profiles.applies other)
        |> List.iter (Profiles.json w))

    list w "laws" laws (fun law ->
        w.WriteString("id", law.Id)
        w.WriteNumber("group", law.Group)
        w.WriteString("clause", law.Clause)
        w.WriteString("strength", strength law)
        w.WriteString("kind", kind law)
        w.WriteString("domain", law.Domain)
        w.WriteString("statement", law.Statement)
        w.WriteString("source", law.Source)
        w.WriteString("detects", law.Detects)
        coverage w (results |> List.filter (fun r -> r.Law.Id = law.Id)))

    coverage w results
    list w "results" (judged |> List.collect (fun (_, _, cells) -> cells)) (cell w)
    w.WriteEndObject()
