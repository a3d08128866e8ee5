/// What a subject declares beside what was found out about it.
module internal Conv.Properties.Claims

open Conv

/// Where the two differ. What is declared and fails is for the laws to judge; this only reports.
type Difference =
    | DeniedButSeen of what: string
    | DeclaredButNotSeen of what: string

/// Significant bits of operands, of partial sums and of results, as declared.
let bits (arithmetic: Arithmetic) : struct (int option * int option * int option) =
    match arithmetic with
    | :? AnyOrder -> struct (Some 24, Some 24, Some 24)
    | :? Rounded as r -> struct (Some r.Input.Precision, Some r.Accumulator.Precision, Some r.Output.Precision)
    | :? Quantized as q -> struct (Some(q.Bits - 1), None, None)
    | :? Bilinear -> struct (Some 24, None, None)
    | _ -> struct (None, None, None)

/// Whether its declaration says that NaN stays in its window; none where it says nothing.
let keepsLocal (arithmetic: Arithmetic) =
    match arithmetic with
    | :? AnyOrder
    | :? Rounded -> Some true
    | :? Bilinear as b -> Some (BilinearProgram.Of b).KeepsLocal
    | _ -> None

type Underflow =
    | Gradual
    | Flushed
    /// What is smaller than this power of two becomes zero.
    | Cut of exponent: int

/// How a range ends at its small end, where its large end tells which format it is.
let underflow (range: Probe.Range) =
    let least = if range.Most < 64 then 1 - range.Most else -126

    if range.Least < least then Gradual
    elif range.Least = least then Flushed
    else Cut range.Least

/// The arithmetic declared for the shape that was asked on.
let arithmetic (subject: Subject) (probed: Probe.Probed) =
    try
        probed.Shape |> Option.map subject.Profile.ArithmeticOf
    with _ ->
        None

/// The same bits whatever the call and the number of threads, as far as it was seen.
let deterministic (probed: Probe.Probed) =
    let seen = List.choose id [ probed.Repeatable; probed.AnyThreads ]
    if probed.Repeatable.IsNone then None else Some(List.forall id seen)

/// What a subject that declares plain sums looks like instead, and the line that declares it: then its violations may be of the declaration.
let undeclared (subject: Subject) (probed: Probe.Probed) : string option =
    match arithmetic subject probed, probed.Structure with
    | Some(:? AnyOrder), Some Probe.Transformed ->
        Some
            "no sums of products: it transforms inputs and weights, as Winograd and FFT do; declare its matrices (arithmetic=bilinear:A|B|G) or a bound that you claim (arithmetic=within:64,global)"
    | Some(:? AnyOrder), Some Probe.Scaled ->
        Some
            "no sums of its operands: it scales them by their greatest, as quantisation does; declare arithmetic=quantized:8, or a bound that you claim (arithmetic=within:70000,global)"
    | Some(:? AnyOrder), _ ->
        match probed.InputBits, probed.WeightBits with
        | Some bits, _
        | _, Some bits when bits < 24 ->
            let format =
                if bits = 8 then "bfloat16"
                elif bits = 11 then "tf32 or float16"
                else $"eXm{bits - 1}"

            Some $"operands of 24 bits are declared and {bits} are seen: declare arithmetic=rounded:IN,ACC,OUT with {format} for IN"
        | _ -> None
    | _ -> None

/// All differences.
let differences (subject: Subject) (probed: Probe.Probed) : Difference list =
    let traits = subject.Profile.Traits

    let either declared seen what =
        match seen with
        | Some true when not declared -> [ DeniedButSeen what ]
        | Some false when declared -> [ DeclaredButNotSeen what ]
        | _ -> []

    /// By the number of bits: what is more precise than declared, and what is less.
    let precision (what: string) (declared: int option) (seen: int option) =
        match declared, seen with
        | Some declared, Some seen when seen > declared -> [ DeniedButSeen $"{what} of {seen} bits ({declared} declared)" ]
        // A transform's own rounding may cost a few.
        | Some declared, Some seen when seen < (if probed.Structure = Some Probe.Transformed then declared - 6 else declared) ->
            [ DeclaredButNotSeen $"{what} of {declared} bits ({seen} seen)" ]
        | _ -> []

    let arithmetic = arithmetic subject probed

    let struct (operands, sums, results) =
        arithmetic |> Option.map bits |> Option.defaultValue (struct (None, None, None))

    let exactly bits =
        match bits with
        | Some(Probe.Exactly bits) -> Some bits
        | _ -> None

    /// Any order allows wider sums.
    let wider =
        match arithmetic with
        | Some(:? AnyOrder) -> exactly probed.SumBits |> Option.map (min 24)
        | _ -> exactly probed.SumBits

    let gradual =
        match [ probed.InputRange; probed.WeightRange; probed.ResultRange ] |> List.choose id with
        | [] -> None
        | ranges -> Some(ranges |> List.forall (fun r -> underflow r = Gradual))

    let inPlace (shape: ConvShape) seen what =
        let declared =
            try
                subject.Profile.TakesInPlace shape
            with _ ->
                false

        // Who has no way to declare it denies nothing.
        if
            subject.Profile.Capabilities.Contains Misuse
            || subject.Profile.Capabilities.Contains InPlace
        then
            either declared seen what
        else
            []

    [
        yield! either traits.Deterministic (deterministic probed) "repeatable"

        if traits.SameAtAnyAddress && probed.AnyAddress = Some false then
            DeclaredButNotSeen "the same bits at any address"

        if traits.BatchInvariant && probed.AnyBatch = Some false then
            DeclaredButNotSeen "the same bits in any batch"

        if wider = Some 24 then
            yield! either traits.FusedMultiplyAdd probed.Fused "fused multiply-add"

        match gradual with
        | Some true when traits.FlushesSubnormals -> DeniedButSeen "gradual underflow"
        | Some false when not traits.FlushesSubnormals -> DeclaredButNotSeen "gradual underflow"
        | _ -> ()

        if probed.InputBits = probed.WeightBits then
            yield! precision "inputs and weights" operands probed.InputBits
        else
            yield! precision "inputs" operands probed.InputBits
            yield! precision "weights" operands probed.WeightBits

        yield! precision "sums" sums wider
        yield! precision "results" results (exactly probed.ResultBits)

        match arithmetic |> Option.bind keepsLocal, probed.Spread with
        | Some local, Some spread ->
            let seen = spread = Probe.InWindow
            // A declaration that lets NaN spread does not promise that it does.
            yield! either local (Some seen) "NaN stays in its window"
        | _ -> ()

        match
            inPlace Probe.byChannel probed.InPlaceByChannel "in place on depthwise 1×1",
            inPlace Probe.across probed.InPlaceAcross "in place on dense 1×1"
        with
        | [ DeniedButSeen _ ], [ DeniedButSeen _ ] -> DeniedButSeen "in place on 1×1"
        | depthwise, dense -> yield! depthwise @ dense

        match probed.Unsupported with
        | Some u ->
            if u.Right > 0 then
                DeniedButSeen $"right on {u.Right} of {u.Asked} shapes that it does not support"

            if u.Wrong > 0 then
                DeclaredButNotSeen $"unsupported shapes are refused, but {u.Wrong} of {u.Asked} get a wrong answer"

            if u.Threw > 0 then
                DeclaredButNotSeen $"unsupported shapes are refused, but {u.Threw} of {u.Asked} throw no ArgumentException"
        | None -> ()
    ]
