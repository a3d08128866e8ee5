namespace Conv.Properties

open System
open System.Collections.Generic
open System.Runtime.InteropServices
open Conv

/// A law did not hold; the message is the counterexample.
[<Sealed>]
type ConformanceException(message: string) =
    inherit Exception(message)

/// What a law said of a convolution.
[<Sealed>]
type ConformanceResult
    internal
    (law: Law, status: string, message: string, throws: bool, counterexample: string | null, seed: uint64, cases: int, compared: int64) =
    /// The law's id.
    member _.Law = law.Id

    /// "MUST", "SHOULD" or "MAY".
    member _.Strength = (string law.Strength).ToUpperInvariant()

    /// "holds", "broken", "undecided", "unsupported" or "not applicable".
    member _.Status = status
    /// The counterexample, drawn; or the reason why nothing is decided; or what was compared.
    member _.Message = message
    /// The shrunk counterexample as the line that <c>Conformance.Replay</c> takes; null where nothing is broken.
    member _.Counterexample = counterexample
    /// The seed that the cases were drawn by.
    member _.Seed = seed
    /// Cases that decided for the law.
    member _.Cases = cases
    /// Numbers compared.
    member _.Compared = compared

    /// Throws for what is broken (a SHOULD or MAY too), faulted or undecided. A law that no supported shape can satisfy does not throw.
    /// <exception cref="ConformanceException">The law does not hold, or nothing was decided.</exception>
    member _.ThrowIfNotHeld() =
        if throws then
            raise (ConformanceException $"{law.Id}: {status}{Environment.NewLine}{message}")

    /// The law and its status.
    override _.ToString() = $"{law.Id}: {status}"

/// Holds a convolution to the laws from any test framework: no framework is named here.
[<AbstractClass; Sealed>]
type Conformance private () =
    static let within offered (law: Law) = law.Needs |> List.forall (fun need -> Set.contains need offered)
    static let ids (laws: Law list) : IReadOnlyList<string> = laws |> List.map _.Id |> Array.ofList :> _
    /// What a method can be asked: it is called, on memory of the kit's.
    static let laws = All.laws |> List.filter (within (set [ Forward; Placed ]))

    /// The counterexample as the caller of this façade can use it.
    static let figure law subject case verdict =
        Figure.drawing law subject case verdict
        @ [ "  judge it again with"; $"  Conformance.Replay(\"{Case.print case}\", …)" ]

    /// What the results of a law, whatever the tiers, say.
    static let concluded (supports: Lazy<bool>) seed (cell: Conclusion.Cell) =
        let law, subject = cell.Law, cell.Subject

        let result status message throws counterexample =
            ConformanceResult(law, status, message, throws, counterexample, seed, cell.Held, cell.Elements)

        match cell.Status with
        | Conclusion.Held -> result "holds" $"{cell.Held} cases, {cell.Elements} elements compared" false null
        | Conclusion.Broken ->
            result
                "broken"
                (String.Join(Environment.NewLine, cell.Failures |> List.collect (fun f -> figure law subject f.Shrunk f.Verdict)))
                true
                (Case.print cell.Failures.Head.Shrunk)
        | Conclusion.Open reason -> result "undecided" reason true null
        | Conclusion.Inapplicable reason when supports.Value -> result "not applicable" reason false null
        | Conclusion.Refused when supports.Value ->
            result "unsupported" "no problem of the law is one that the convolution supports" false null
        | Conclusion.Inapplicable _
        | Conclusion.Refused -> result "undecided" "the convolution supports no shape that was tried" true null

    static let supports subject = lazy (Subject.supportsSomething subject)

    static let check (id: string) (subject: Subject) cases seed =
        match All.tryFind id with
        | None -> raise (ArgumentException($"'{id}' is not a law; Conformance.Laws lists them.", "law"))
        | Some law when not (within subject.Profile.Capabilities law) ->
            raise (
                ArgumentException(
                    $"'{id}' asks for more than {subject.Name} offers; Conformance.Laws and LawsOf list what can be asked.",
                    "law"
                )
            )
        | Some law ->
            let options = { Run.defaults with Cases = cases; Seed = seed; Threads = 1 }

            let results =
                Run.jobs options [ law ] [ subject ]
                |> Array.map (fun (l, s, tier) -> Run.law options l s tier)
                |> List.ofArray

            Conclusion.matrix [ law ] [ subject ] results
            |> List.head
            |> concluded (supports subject) seed

    /// All laws that the subject can be asked, in turns of one case, as `verify` takes them.
    static let checkAll (subject: Subject) cases seed : IReadOnlyList<ConformanceResult> =
        let options = { Run.defaults with Cases = cases; Seed = seed; Threads = 1 }
        let laws = All.laws |> List.filter (within subject.Profile.Capabilities)
        let results = Run.all options (Run.jobs options (Order.arrange laws) [ subject ]) ignore
        let supports = supports subject

        Conclusion.matrix laws [ subject ] results
        |> List.map (concluded supports seed)
        |> Array.ofList
        :> _

    static let replay (line: string) (subject: Subject) =
        let _, case = Case.parse line

        match All.tryFind case.Law with
        | Some law when within subject.Profile.Capabilities law ->
            let result status message throws compared =
                let counterexample: string | null = if status = "broken" then line else null
                ConformanceResult(law, status, message, throws, counterexample, 0UL, (if status = "holds" then 1 else 0), compared)

            match law.Judge subject case with
            | Holds evidence -> result "holds" $"{evidence.Elements} elements compared" false evidence.Elements
            | Undecided reason -> result "undecided" reason true 0L
            | NotApplicable reason -> result "not applicable" reason false 0L
            | Unsupported reason -> result "unsupported" reason false 0L
            | Breaks _
            | Faulted _ as verdict -> result "broken" (figure law subject case verdict |> String.concat Environment.NewLine) true 0L
        | _ -> raise (FormatException $"'{case.Law}' is not a law that {subject.Name} can be asked.")

    static let ofDelegate
        (convolution: Convolution)
        (arithmetic: Arithmetic | null)
        (supports: Func<ConvShape, bool> | null)
        (traits: Traits | null)
        =
        let arithmetic =
            match arithmetic with
            | null -> AnyOrder() :> Arithmetic
            | declared -> declared

        let profile =
            { Profile.Plain with
                Supports =
                    (match supports with
                     | null -> (fun _ -> true)
                     | supports -> supports.Invoke)
                ArithmeticOf = fun _ -> arithmetic
                Traits =
                    (match traits with
                     | null -> Traits.Default
                     | declared -> declared)
            }

        Contract.ofMethod "convolution" profile convolution

    /// The ids of the laws that any convolution can be asked, in the order of the catalogue.
    static member Laws: IReadOnlyList<string> = ids laws

    /// <summary>The ids of the laws that an implementation can be asked, by the optional contracts that it has.</summary>
    /// <param name="convolution">The implementation.</param>
    static member LawsOf(convolution: IConvolution) : IReadOnlyList<string> =
        ArgumentNullException.ThrowIfNull(convolution, nameof convolution)
        let offered = (Contract.ofConvolution convolution).Profile.Capabilities
        All.laws |> List.filter (within offered) |> ids

    /// <summary>Holds a convolution to one law.</summary>
    /// <param name="law">One of <see cref="Laws"/>.</param>
    /// <param name="convolution">Called from one thread at a time.</param>
    /// <param name="arithmetic">How it sums; null means AnyOrder.</param>
    /// <param name="supports">The shapes that it takes; null means all.</param>
    /// <param name="traits">What else it promises (determinism) and where to look for shapes that it takes; null means nothing.</param>
    /// <param name="cases">Cases for each tier.</param>
    /// <param name="seed">The same seed gives the same cases.</param>
    /// <exception cref="ArgumentException">There is no such law.</exception>
    static member Check
        (
            law: string,
            convolution: Convolution,
            [<Optional; DefaultParameterValue(null: Arithmetic | null)>] arithmetic: Arithmetic | null,
            [<Optional; DefaultParameterValue(null: Func<ConvShape, bool> | null)>] supports: Func<ConvShape, bool> | null,
            [<Optional; DefaultParameterValue(null: Traits | null)>] traits: Traits | null,
            [<Optional; DefaultParameterValue(200)>] cases: int,
            [<Optional; DefaultParameterValue(0UL)>] seed: uint64
        ) =
        ArgumentNullException.ThrowIfNull(law, nameof law)
        ArgumentNullException.ThrowIfNull(convolution, nameof convolution)
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(cases, nameof cases)
        check law (ofDelegate convolution arithmetic supports traits) cases seed

    /// <summary>Holds an implementation of the contract to one law, under what it declares of itself.</summary>
    /// <param name="law">One of <see cref="LawsOf"/>.</param>
    /// <param name="convolution">The implementation.</param>
    /// <param name="cases">Cases for each tier.</param>
    /// <param name="seed">The same seed gives the same cases.</param>
    /// <exception cref="ArgumentException">There is no such law.</exception>
    static member Check
        (
            law: string,
            convolution: IConvolution,
            [<Optional; DefaultParameterValue(200)>] cases: int,
            [<Optional; DefaultParameterValue(0UL)>] seed: uint64
        ) =
        ArgumentNullException.ThrowIfNull(law, nameof law)
        ArgumentNullException.ThrowIfNull(convolution, nameof convolution)
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(cases, nameof cases)
        check law (Contract.ofConvolution convolution) cases seed

    /// <summary>Judges one case again.</summary>
    /// <param name="line">The line that a counterexample prints.</param>
    /// <param name="convolution">The convolution that broke the law.</param>
    /// <param name="arithmetic">How it sums; null means AnyOrder.</param>
    /// <param name="supports">The shapes that it takes; null means all.</param>
    /// <param name="traits">What else it promises (determinism) and where to look for shapes that it takes; null means nothing.</param>
    /// <exception cref="FormatException">The line is not a case.</exception>
    static member Replay
        (
            line: string,
            convolution: Convolution,
            [<Optional; DefaultParameterValue(null: Arithmetic | null)>] arithmetic: Arithmetic | null,
            [<Optional; DefaultParameterValue(null: Func<ConvShape, bool> | null)>] supports: Func<ConvShape, bool> | null,
            [<Optional; DefaultParameterValue(null: Traits | null)>] traits: Traits | null
        ) =
        ArgumentNullException.ThrowIfNull(line, nameof line)
        ArgumentNullException.ThrowIfNull(convolution, nameof convolution)
        replay line (ofDelegate convolution arithmetic supports traits)

    /// <summary>Judges one case again: whatever was checked, gradients and views too.</summary>
    /// <param name="line">The line that a counterexample prints.</param>
    /// <param name="convolution">The implementation that broke the law.</param>
    /// <exception cref="FormatException">The line is not a case, or of a law that the implementation cannot be asked.</exception>
    static member Replay(line: string, convolution: IConvolution) =
        ArgumentNullException.ThrowIfNull(line, nameof line)
        ArgumentNullException.ThrowIfNull(convolution, nameof convolution)
        replay line (Contract.ofConvolution convolution)

    /// <summary>Holds a convolution to every law that it can be asked, in one call.</summary>
    /// <param name="convolution">Called from one thread at a time.</param>
    /// <param name="arithmetic">How it sums; null means AnyOrder.</param>
    /// <param name="supports">The shapes that it takes; null means all.</param>
    /// <param name="traits">What else it promises (determinism) and where to look for shapes that it takes; null means nothing.</param>
    /// <param name="cases">Cases for each law and tier.</param>
    /// <param name="seed">The same seed gives the same cases.</param>
    static member CheckAll
        (
            convolution: Convolution,
            [<Optional; DefaultParameterValue(null: Arithmetic | null)>] arithmetic: Arithmetic | null,
            [<Optional; DefaultParameterValue(null: Func<ConvShape, bool> | null)>] supports: Func<ConvShape, bool> | null,
            [<Optional; DefaultParameterValue(null: Traits | null)>] traits: Traits | null,
            [<Optional; DefaultParameterValue(200)>] cases: int,
            [<Optional; DefaultParameterValue(0UL)>] seed: uint64
        ) =
        ArgumentNullException.ThrowIfNull(convolution, nameof convolution)
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(cases, nameof cases)
        checkAll (ofDelegate convolution arithmetic supports traits) cases seed

    /// <summary>Holds an implementation of the contract to every law that it can be asked, by the optional contracts that it has.</summary>
    /// <param name="convolution">The implementation.</param>
    /// <param name="cases">Cases for each law and tier.</param>
    /// <param name="seed">The same seed gives the same cases.</param>
    static member CheckAll
        (
            convolution: IConvolution,
            [<Optional; DefaultParameterValue(200)>] cases: int,
            [<Optional; DefaultParameterValue(0UL)>] seed: uint64
        ) =
        ArgumentNullException.ThrowIfNull(convolution, nameof convolution)
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(cases, nameof cases)
        checkAll (Contract.ofConvolution convolution) cases seed
