/// What the results mean: green must be earned.
module internal Conv.Properties.Conclusion

open System.Collections.Generic
open MathNet.Numerics.Distributions
open MathNet.Numerics.Statistics
open Conv

/// The deciding cases and distinct shapes from which a law with generated cases may be said to hold.
let enoughCases, enoughShapes = 10, 5

type Status =
    | Held
    | Broken
    /// Nothing is settled, and why.
    | Open of reason: string
    /// The law says nothing about this subject, and why.
    | Inapplicable of reason: string
    /// No problem of the law is one that the subject supports.
    | Refused

/// One law on one subject, over its tiers.
[<NoEquality; NoComparison>]
type Cell =
    {
        Law: Law
        Subject: Subject
        Status: Status
        Results: Run.Result list
    }

    member c.Held = c.Results |> List.sumBy _.Held
    member c.Discarded = c.Results |> List.sumBy (fun r -> Seq.sum r.Discards.Values)
    member c.Elements = c.Results |> List.sumBy _.Elements
    member c.AgainstOracle = c.Results |> List.sumBy _.AgainstOracle
    member c.Failures = c.Results |> List.choose _.Failure

/// What so many cases that held say of faults that a share of the generator's cases would show: with 95 % confidence the share is below
/// this (Clopper & Pearson 1934: the 0.95 quantile of Beta(1, held)). 1 where nothing held.
let escapeRate held = if held = 0 then 1.0 else Beta.InvCDF(1.0, float held, 0.95)

let private mostFrequentReason (results: Run.Result list) =
    results
    |> List.collect (fun r -> Map.toList r.Discards)
    |> List.groupBy fst
    |> List.map (fun (reason, counts) -> reason, List.sumBy snd counts)
    |> List.sortByDescending snd
    |> List.tryHead
    |> Option.map fst

/// Classes of problems that law and subject leave room for, and that no deciding case hit.
let private missed (law: Law) (subject: Subject) (results: Run.Result list) =
    if
        law.Fixed
        || law.Kind = KitLaw
        // Whoever declines what comes says by that, and not before, what it leaves no room for.
        || (subject.Profile.Declines
            && results |> List.exists (fun r -> r.AgainstOracle + r.Unsupported > 0))
        || List.sumBy (fun (r: Run.Result) -> r.Held) results < Coverage.decidesFrom
    then
        []
    else
        [
            for c in Coverage.classes do
                let room =
                    c.Examples
                    |> List.exists (fun example ->
                        match law.Project example with
                        | ValueSome s -> c.Holds s && subject.Profile.Supports s && law.Serves subject s
                        | ValueNone -> false)

                if room && not (results |> List.exists (fun r -> r.Shapes |> Seq.exists c.Holds)) then
                    c.Name
        ]

let private cell law subject (results: Run.Result list) =
    let held = results |> List.sumBy _.Held
    let shapes = HashSet<ConvShape>(results |> Seq.collect _.Shapes)
    let count pick = results |> List.sumBy pick
    let fault = results |> List.tryPick _.KitFault
    let undecided = count _.Undecided

    let unrepeated =
        results
        |> Seq.collect _.Discards.Keys
        |> Seq.tryFind _.StartsWith(Pursuit.unrepeated)

    let noGrid =
        [ Bound.noGrid; Bound.noTier ]
        |> List.tryFind (fun reason -> results |> List.exists _.Discards.ContainsKey(reason))

    let status =
        if results.IsEmpty then
            Inapplicable "not among its capabilities, or not in the selected tier"
        elif results |> List.exists _.Failure.IsSome then
            Broken
        elif fault.IsSome then
            Open $"a fault of the kit's own: {fault.Value}"
        elif count _.LeftGrid > 0 then
            Open $"{count _.LeftGrid} cases left their grid"
        elif results |> List.exists (fun r -> r.Discards.ContainsKey Judge.mismatch) then
            Open Judge.mismatch
        elif unrepeated.IsSome then
            Open unrepeated.Value
        elif results |> List.exists _.Abandoned.IsSome then
            // That a call did not return says more than that another tier was not asked.
            Open(results |> List.sortBy (_.IsHanging >> not) |> List.pick _.Abandoned)
        elif held > 0 && law.Fixed then
            Held
        elif held >= enoughCases && shapes.Count >= enoughShapes then
            match missed law subject results with
            | [] -> Held
            | classes -> Open("never drew: " + String.concat ", " classes)
        elif held = 0 && undecided = 0 && count _.Unsupported > 0 then
            Refused
        elif held = 0 && undecided = 0 then
            Inapplicable(mostFrequentReason results |> Option.defaultValue "no case applies")
        // Few cases are on a grid that the arithmetic leaves: the law decides on others.
        elif undecided = 0 && noGrid.IsSome then
            Inapplicable noGrid.Value
        elif undecided > 0 then
            Open(mostFrequentReason results |> Option.defaultValue "undecided")
        else
            Open $"too few comparisons: {enoughCases} cases of {enoughShapes} shapes are needed; raise --cases"

    { Law = law; Subject = subject; Status = status; Results = results }

/// The matrix of laws × subjects, in the given orders.
let matrix (laws: Law list) (subjects: Subject list) (results: Run.Result list) =
    let byKey = results |> List.groupBy (fun r -> struct (r.Law.Id, r.Subject.Name)) |> dict

    [
        for law in laws do
            for subject in subjects do
                match byKey.TryGetValue(struct (law.Id, subject.Name)) with
                | true, results -> cell law subject results
                | _ -> cell law subject []
    ]

type Verdict =
    | Conforms
    | Violates
    | Unsettled of reasons: string list
    /// No selected law can be satisfied by a shape that the subject supports: nothing was to be exercised.
    | Silent

/// Which way the errors of a law's results lean on positive data: the mean of the signed errors over their bounds, and its standard error.
type Lean = { Mean: float; StandardError: float }

/// The fewest cases that tell a lean, and the standard errors and the size beyond which it is no chance.
let private fewestLeans, manyErrors, leanWorthSaying = 12, 6.0, 0.05

/// Of the cases that tell it, if they are enough.
let leanOf (leans: float list) =
    if leans.Length < fewestLeans then
        None
    else
        let struct (mean, deviation) = Statistics.MeanStandardDeviation(leans)
        Some { Mean = mean; StandardError = deviation / sqrt (float leans.Length) }

/// What is said of results that lean; it warns, and accuses nobody: docs/decisions/0011-reach.md.
let leaning (cells: Cell list) =
    [
        for cell in cells do
            match cell.Results |> List.collect _.Leans |> leanOf with
            | Some lean when
                abs lean.Mean > leanWorthSaying
                && abs lean.Mean > manyErrors * lean.StandardError
                ->
                cell.Law, lean
            | _ -> ()
    ]

/// The distinct problems that decided for a law, but for those of formulas.
let shapesOf (cells: Cell list) =
    cells
    |> Seq.filter (fun c -> c.Law.Kind <> KitLaw)
    |> Seq.collect _.Results
    |> Seq.collect _.Shapes
    |> Seq.distinct
    |> Array.ofSeq

/// Whether larger problems like this one are among those that laws can decide on: sums of a narrow format have few terms.
let leavesRoom (subject: Subject) (s: ConvShape) = subject.Profile.Supports s && not (subject.Profile.ArithmeticOf s :? Rounded)

/// The verdict on one subject: a broken MUST violates, a broken SHOULD or MAY only warns, and what was not exercised settles nothing.
let ofSubject (subject: Subject) (cells: Cell list) =
    let must = cells |> List.filter (fun c -> c.Law.Strength = Must)

    let unsettled =
        [
            for c in must do
                match c.Status with
                | Open reason -> reason, c.Law.Id
                | _ -> ()
        ]
        |> List.groupBy fst
        |> List.map (fun (reason, laws) ->
            let named = laws |> List.truncate 3 |> List.map snd |> String.concat ", "
            let more = if laws.Length > 3 then $" and {laws.Length - 3} more" else ""
            $"{named}{more}: {reason}")

    let larger = shapesOf cells |> Array.filter Generate.isLarger

    let unmet =
        if subject.Profile.Declines || larger.Length < Coverage.decidesExtremesFrom then
            []
        else
            match Coverage.extremesOf (leavesRoom subject) larger with
            | _, [] -> []
            | _, missed -> [ "no problem had " + String.concat "; " missed ]

    let unsettled = unsettled @ unmet

    if must |> List.exists (fun c -> c.Status = Broken) then
        Violates
    elif not unsettled.IsEmpty then
        Unsettled unsettled
    elif cells |> List.exists (fun c -> c.Status = Held || c.Status = Broken) then
        Conforms
    elif
        subject.Profile.Capabilities.Contains Forward
        && not (Subject.supportsSomething subject)
    then
        Unsettled [ "it supports no shape that was tried" ]
    else
        Silent

/// Of a subject that declares no arithmetic: the law whose first unexplained case takes the largest error, that case as plain sums would break
/// it, and how many times their bound the error must be.
let leastFactor (cells: Cell list) : (Law * Case * Conv.Properties.Verdict * float) option =
    [
        for cell in cells do
            for result in cell.Results do
                match result.Unexplained with
                | Some case ->
                    match Judge.asPlainSums cell.Law.Judge cell.Subject case with
                    | verdict, factor when factor > 0.0 -> cell.Law, case, verdict, factor
                    | _ -> ()
                | None -> ()
    ]
    |> function
        | [] -> None
        | some -> some |> List.maxBy (fun (_, _, _, factor) -> factor) |> Some

/// What a run has left out of all that it might have asked, in words; nothing where it asked everything.
let leftOut (options: Run.Options) (chosen: Law list) : string list =
    let missing =
        All.laws
        |> List.filter (fun law -> chosen |> List.forall (fun c -> c.Id <> law.Id))

    [
        if not missing.IsEmpty then
            $"{missing.Length} of {All.laws.Length} laws were not asked"
        if options.Reach <> Run.defaults.Reach then
            $"no problem was larger than {options.Reach.Name}"
        for tier in List.except options.Tiers Run.defaults.Tiers do
            $"the {tier.Name} tier was not asked"
    ]

/// One word for a verdict. Who was not asked everything conforms in part.
let word leftOut verdict =
    match verdict with
    | Conforms when List.isEmpty leftOut -> "conforms"
    | Conforms -> "partial"
    | Violates -> "violates"
    | Unsettled _ -> "undecided"
    | Silent -> "silent"

/// A subject that the laws say nothing about needs another that conforms.
let exitCode (verdicts: Verdict list) =
    let unsettled verdict =
        match verdict with
        | Unsettled _ -> true
        | _ -> false

    if verdicts |> List.contains Violates then ExitCode.Violates
    elif verdicts |> List.exists unsettled then ExitCode.Undecided
    elif verdicts |> List.contains Conforms then ExitCode.Conforms
    else ExitCode.Undecided
