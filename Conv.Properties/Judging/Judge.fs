/// From the equations of a law on one case to a verdict.
module internal Conv.Properties.Judge

open System
open System.Runtime.InteropServices
open Conv

/// Why a case of the exact tier is undecided: the run counts it, and none is allowed.
let leftItsGrid = "the case left its grid"

/// Why the exact tier cannot accuse a subject that declares nothing: the run counts it, and none is allowed.
let mismatch = "it differs where sums of any order agree: declare an arithmetic"

/// Ends the judgement: the law does not apply, with the reason.
let inapplicable reason = raise (Inapplicable reason)

/// What one equation comes to: the elements that fail, the largest difference over its bound, the sum of the signed ones, and whether a bound
/// was infinite.
[<Struct>]
type private Held = { Wrong: int list; Ratio: float; Sum: float; Infinite: bool }

/// How many elements from the first on are the same finite numbers on both sides of an equation without errors: they hold, and most are such.
let private settled (equation: Equation) =
    let left, right = equation.Left, equation.Right

    if
        left.Error.IsZero
        && right.Error.IsZero
        && Double.IsFinite(Values.magnitude left.Value.Data)
    then
        let lefts = MemoryMarshal.Cast<float, int64>(ReadOnlySpan left.Value.Data)
        let rights = MemoryMarshal.Cast<float, int64>(ReadOnlySpan right.Value.Data)
        lefts.CommonPrefixLength rights
    else
        0

let private hold (equation: Equation) =
    let left, right = equation.Left, equation.Right

    if left.Value.Length <> right.Value.Length then
        invalidOp $"A law compared {left.Value.Length} elements with {right.Value.Length}."

    let lefts, rights = left.Value.Data, right.Value.Data
    let mutable ratio = 0.0
    let mutable sum = 0.0
    let mutable infinite = false
    let wrong = ResizeArray()

    for at in settled equation .. lefts.Length - 1 do
        let l, r = lefts[at], rights[at]

        match equation.Relation with
        | Identical ->
            if not (l = r) then
                wrong.Add at
        | Alike ->
            if not (l = r || Double.IsNaN l && Double.IsNaN r) then
                wrong.Add at
        | AtMost ->
            if not (l <= r) then
                wrong.Add at
        | Agrees ->
            let allowed = left.Error.At at + right.Error.At at
            let difference = abs (l - r)

            if not (Double.IsFinite allowed) then
                infinite <- true
            elif not (difference <= allowed) then
                wrong.Add at
            elif allowed > 0.0 then
                ratio <- max ratio (difference / allowed)
                sum <- sum + (l - r) / allowed

    { Wrong = List.ofSeq wrong; Ratio = ratio; Sum = sum; Infinite = infinite }

/// The verdict on one equation alone.
let conclude (equation: Equation) =
    match hold equation with
    | held when not held.Wrong.IsEmpty -> Breaks { Equation = equation; Wrong = held.Wrong; Calls = [] }
    | held when held.Infinite -> Undecided "no finite bound for these values"
    | held ->
        Holds
            {
                Elements = int64 equation.Left.Value.Length
                Ratio = held.Ratio
                Lean = held.Sum / float (max 1 equation.Left.Value.Length)
                AgainstOracle = false
                Outputs = 0UL
            }

let private sameCall (a: Call) (b: Call) =
    a.Operation = b.Operation
    && a.Shape = b.Shape
    && a.Input.AsSpan().SequenceEqual(b.Input.AsSpan())
    && a.Kernel.AsSpan().SequenceEqual(b.Kernel.AsSpan())
    && a.Bias.AsSpan().SequenceEqual(b.Bias.AsSpan())

/// Whether the subject answered a call without declaring how it sums.
let private undeclared (trial: Trial) (call: Call) =
    not call.ByOracle
    && (match trial.Profile.Arithmetic(call.Operation, call.Shape) with
        | :? Opaque -> true
        | _ -> false)

/// Whether the subject answers what the law is about: an operation beside the forward pass, where the law calls one.
let serves (calls: Call list) =
    let beside = calls |> List.filter (fun call -> call.Operation <> Operation.Forward)

    (if beside.IsEmpty then calls else beside)
    |> List.exists (fun call -> not call.ByOracle)

/// Runs the equations of a law on one case.
let ofCase (relates: bool) (equations: Trial -> Equation list) (subject: Subject) (case: Case) : Verdict =
    use trial = new Trial(subject, case, false)

    try
        let equations = equations trial
        let calls = trial.Calls

        if not (List.isEmpty calls || serves calls) then
            Unsupported "no problem of the case is supported"
        elif relates && calls |> List.forall (sameCall calls.Head) then
            NotApplicable "both sides are the same call"
        elif trial.LeftGrid then
            // Who declares nothing has no grid: its results became operands off the one that was tried.
            Undecided(if calls |> List.exists (undeclared trial) then mismatch else leftItsGrid)
        else
            let held = equations |> List.map (fun e -> e, hold e)

            match held |> List.tryFind (fun (_, h) -> not h.Wrong.IsEmpty) with
            | Some(equation, _) when
                case.Tier = Exact
                && equation.Relation = Agrees
                && calls |> List.exists (undeclared trial)
                ->
                Undecided mismatch
            | Some(equation, { Wrong = wrong }) -> Breaks { Equation = equation; Wrong = wrong; Calls = calls }
            | None when
                held |> List.exists (fun (_, h) -> h.Infinite)
                && calls |> List.exists (undeclared trial)
                ->
                NotApplicable "an arithmetic that is not declared has no bound"
            | None when held |> List.exists (fun (_, h) -> h.Infinite) -> Undecided "no finite bound for these values"
            | None ->
                match equations |> List.sumBy (fun e -> int64 e.Left.Value.Length) with
                | 0L -> NotApplicable "nothing to compare"
                | elements ->
                    Holds
                        {
                            Elements = elements
                            Ratio = held |> List.map (fun (_, h) -> h.Ratio) |> List.max
                            Lean = (held |> List.sumBy (fun (_, h) -> h.Sum)) / float elements
                            AgainstOracle = calls |> List.exists _.ByOracle
                            Outputs = trial.Outputs
                        }
    with
    | SubjectFault(fault, call) -> Faulted(fault, call)
    | Inapplicable reason -> NotApplicable reason
    | Declined -> Unsupported "the subject declined"
    | ForeignFault _ as error -> Faulted(Fault.ofException error, Call.none case.Problem)

/// What a case would say of a subject that claimed no more than plain sums do: the verdict, and how many times their bound it exceeds at most.
/// An error of fewer times than that does not explain the result.
let asPlainSums (judge: Subject -> Case -> Verdict) (subject: Subject) (case: Case) : Verdict * float =
    let declared = { subject.Profile with ArithmeticOf = fun _ -> Within 1.0 }
    let verdict = judge { subject with Profile = declared } { case with Tier = Bounded }

    let factor =
        match verdict with
        | Holds evidence -> evidence.Ratio
        | Breaks { Equation = e } ->
            let lefts, rights = e.Left.Value.Data, e.Right.Value.Data

            Seq.init lefts.Length (fun at ->
                let allowed = e.Left.Error.At at + e.Right.Error.At at
                let difference = abs (lefts[at] - rights[at])
                if difference = 0.0 then 0.0 else difference / allowed)
            |> Seq.fold max 0.0
        | _ -> 0.0

    verdict, factor

/// The problems that a law will pose for a case, without computing anything.
let plan subject equations case =
    use trial = new Trial(subject, case, true)

    try
        equations trial |> ignore<Equation list>
        trial.Calls
    with
    | Inapplicable _ -> trial.Calls
    | Declined -> []
