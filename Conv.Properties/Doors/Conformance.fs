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
type ConformanceResult internal (law: string, status: string, message: string, throws: bool) =
    /// The law's id.
    member _.Law = law
    /// "holds", "broken", "undecided", "unsupported" or "not applicable".
    member _.Status = status
    /// The counterexample, drawn; or the reason why nothing is decided; or what was compared.
    member _.Message = message

    /// Throws for what is broken (a SHOULD or MAY too), faulted or undecided. A law that no supported shape can satisfy does not throw.
    /// <exception cref="ConformanceException">The law does not hold, or nothing was decided.</exception>
    member _.ThrowIfNotHeld() =
        if throws then
            raise (ConformanceException $"{law}: {status}{Environment.NewLine}{message}")

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

            let cell = Conclusion.matrix [ law ] [ subject ] results |> List.head

            match cell.Status with
            | Conclusion.Held -> ConformanceResult(id, "holds", $"{cell.Held} cases, {cell.Elements} elements compared", false)
            | Conclusion.Broken ->
                ConformanceResult(
                    id,
                    "broken",
                    String.Join(Environment.NewLine, cell.Failures |> List.collect (fun f -> figure law subject f.Shrunk f.Verdict)),
                    true
                )
            | Conclusion.Open reason -> ConformanceResult(id, "undecided", reason, true)
            | Conclusion.Inapplicable reason when Subject.supportsSomething subject ->
                ConformanceResult(id, "not applicable", reason, false)
            | Conclusion.Refused when Subject.supportsSomething subject ->
                ConformanceResult(id, "unsupported", "no problem of the law is one that the convolution supports", false)
            | Conclusion.Inapplicable _
            | Conclusion.Refused -> ConformanceResult(id, "undecided", "the convolution supports no shape that was tried", true)

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
        let subject = ofDelegate convolution arithmetic supports traits
        let _, case = Case.parse line

        match laws |> List.tryFind (fun law -> law.Id = case.Law) with
        | None -> raise (FormatException $"'{case.Law}' is not a law of a forward pass.")
        | Some law ->
            match law.Judge subject case with
            | Holds evidence -> ConformanceResult(law.Id, "holds", $"{evidence.Elements} elements compared", false)
            | Undecided reason -> ConformanceResult(law.Id, "undecided", reason, true)
            | NotApplicable reason -> ConformanceResult(law.Id, "not applicable", reason, false)
            | Unsupported reason -> ConformanceResult(law.Id, "unsupported", reason, false)
            | Breaks _
            | Faulted _ as verdict ->
                ConformanceResult(law.Id, "broken", figure law subject case verdict |> String.concat Environment.NewLine, true)
