namespace Conv.Properties

open System
open System.Collections.Generic
open System.Runtime.InteropServices
open Conv

/// Holds a convolution to the laws from any test framework: no framework is named here.
[<AbstractClass; Sealed>]
type Conformance private () =
    static let within offered (law: Law) = law.Needs |> List.forall (fun need -> Set.contains need offered)
    static let ids (laws: Law list) : IReadOnlyList<string> = laws |> List.map _.Id |> Array.ofList :> _
    /// What a method can be asked: it is called, on memory of the kit's.
    static let laws = All.laws |> List.filter (within (set [ Forward; Placed ]))

    /// The counterexample as the caller of this façade can use it.
    static let replayedBy line = [ "  judge it again with"; $"  Conformance.Replay(\"{line}\", …)" ]

    static let figure law subject case verdict = Figure.drawing law subject case verdict @ replayedBy (Case.print case)

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
                (String.Join(
                    Environment.NewLine,
                    cell.Failures
                    |> List.collect (fun f -> Figure.counterexample law subject f @ replayedBy (Figure.line f))
                ))
                true
                (Figure.line cell.Failures.Head)
        | Conclusion.Open reason -> result "undecided" reason true null
        | Conclusion.Inapplicable reason when supports.Value -> result "not applicable" reason false null
        | Conclusion.Refused when supports.Value ->
            result "unsupported" "no problem of the law is one that the convolution supports" false null
        | Conclusion.Inapplicable _
        | Conclusion.Refused -> result "undecided" "the convolution supports no shape that was tried" true null

    static let supports subject = lazy (Subject.supportsSomething subject)

    static let options cases seed (timeLimit: TimeSpan) =
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(cases, nameof cases)
        ArgumentOutOfRangeException.ThrowIfLessThan(timeLimit, TimeSpan.Zero, nameof timeLimit)

        { Run.defaults with
            Cases = cases
            Seed = seed
            Threads = 1
            TimeLimit = if timeLimit = TimeSpan.Zero then None else Some timeLimit
        }

    static let check (id: string) (subject: Subject) cases seed timeLimit =
        let options = options cases seed timeLimit

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
            let results = Rounds.all options (Rounds.jobs options [ law ] [ subject ]) ignore

            Conclusion.matrix [ law ] [ subject ] results
            |> List.head
            |> concluded (supports subject) seed

    /// All laws that the subject can be asked, in turns of one case, as `verify` takes them.
    static let checkAll (subject: Subject) cases seed timeLimit : IReadOnlyList<ConformanceResult> =
        let options = options cases seed timeLimit
        let laws = All.laws |> List.filter (within subject.Profile.Capabilities)
        let results = Rounds.all options (Rounds.jobs options (Order.arrange laws) [ subject ]) ignore
        let supports = supports subject

        Conclusion.matrix laws [ subject ] results
        |> List.map (concluded supports seed)
        |> Array.ofList
        :> _

    static let replay (line: string) (subject: Subject) =
        let cases = Case.parseAll line |> List.map snd
        let case = List.last cases

        match All.tryFind case.Law with
        | Some law when within subject.Profile.Capabilities law ->
            Pursuit.judgeAll (List.truncate (cases.Length - 1) cases) subject

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

    /// What a method declares; what it does not say is AnyOrder, every shape, nothing promised.
    static let ofMethod
        (convolution: Convolution)
        (arithmetic: ConvShape -> Arithmetic)
        (supports: Func<ConvShape, bool> | null)
        (traits: Traits | null)
        =
        ArgumentNullException.ThrowIfNull(convolution, nameof convolution)

        let profile =
            { Profile.Plain with
                Supports =
                    (match supports with
                     | null -> (fun _ -> true)
                     | supports -> supports.Invoke)
                ArithmeticOf = arithmetic
                Traits =
                    (match traits with
                     | null -> Traits.Default
                     | declared -> declared)
            }

        Contract.ofMethod "convolution" profile convolution

    static let always (arithmetic: Arithmetic | null) : ConvShape -> Arithmetic =
        match arithmetic with
        | null -> fun _ -> AnyOrder()
        | declared -> fun _ -> declared

    static let ofShape (arithmetic: Func<ConvShape, Arithmetic>) =
        ArgumentNullException.ThrowIfNull(arithmetic, nameof arithmetic)
        arithmetic.Invoke

    static let ofInstance (convolution: IConvolution) =
        ArgumentNullException.ThrowIfNull(convolution, nameof convolution)
        Contract.ofConvolution convolution

    static let ofFactory (create: Func<IConvolution>) =
        ArgumentNullException.ThrowIfNull(create, nameof create)
        Contract.ofFactory create.Invoke

    /// The ids of the laws that any convolution can be asked, in the order of the catalogue.
    static member Laws: IReadOnlyList<string> = ids laws

    /// <summary>The ids of the laws that an implementation can be asked, by the optional contracts that it has.</summary>
    /// <param name="convolution">The implementation.</param>
    static member LawsOf(convolution: IConvolution) : IReadOnlyList<string> =
        let offered = (ofInstance convolution).Profile.Capabilities
        All.laws |> List.filter (within offered) |> ids

    /// <summary>Holds a method to one law.</summary>
    /// <param name="law">One of <see cref="Laws"/>.</param>
    /// <param name="convolution">Called from one thread at a time.</param>
    /// <param name="arithmetic">How it sums; null means AnyOrder.</param>
    /// <param name="supports">The shapes that it takes; null means all.</param>
    /// <param name="traits">What else it promises (determinism) and where to look for shapes that it takes; null means nothing.</param>
    /// <param name="cases">Cases for each law and tier.</param>
    /// <param name="seed">The same seed gives the same cases.</param>
    /// <param name="timeLimit">How long it may take; what is not settled by then is undecided, also where a call does not return. Zero: as long as it takes.</param>
    /// <exception cref="ArgumentException">There is no such law, or it asks for more than is offered.</exception>
    static member Check
        (
            law: string,
            convolution: Convolution,
            [<Optional; DefaultParameterValue(null: Arithmetic | null)>] arithmetic: Arithmetic | null,
            [<Optional; DefaultParameterValue(null: Func<ConvShape, bool> | null)>] supports: Func<ConvShape, bool> | null,
            [<Optional; DefaultParameterValue(null: Traits | null)>] traits: Traits | null,
            [<Optional; DefaultParameterValue(200)>] cases: int,
            [<Optional; DefaultParameterValue(0UL)>] seed: uint64,
            [<Optional>] timeLimit: TimeSpan
        ) =
        ArgumentNullException.ThrowIfNull(law, nameof law)
        check law (ofMethod convolution (always arithmetic) supports traits) cases seed timeLimit

    /// <summary>Holds a method whose arithmetic depends on the shape to one law.</summary>
    /// <param name="law">One of <see cref="Laws"/>.</param>
    /// <param name="convolution">Called from one thread at a time.</param>
    /// <param name="arithmetic">How it sums a shape.</param>
    /// <param name="supports">The shapes that it takes; null means all.</param>
    /// <param name="traits">What else it promises (determinism) and where to look for shapes that it takes; null means nothing.</param>
    /// <param name="cases">Cases for each law and tier.</param>
    /// <param name="seed">The same seed gives the same cases.</param>
    /// <param name="timeLimit">How long it may take; what is not settled by then is undecided, also where a call does not return. Zero: as long as it takes.</param>
    /// <exception cref="ArgumentException">There is no such law, or it asks for more than is offered.</exception>
    static member Check
        (
            law: string,
            convolution: Convolution,
            arithmetic: Func<ConvShape, Arithmetic>,
            [<Optional; DefaultParameterValue(null: Func<ConvShape, bool> | null)>] supports: Func<ConvShape, bool> | null,
            [<Optional; DefaultParameterValue(null: Traits | null)>] traits: Traits | null,
            [<Optional; DefaultParameterValue(200)>] cases: int,
            [<Optional; DefaultParameterValue(0UL)>] seed: uint64,
            [<Optional>] timeLimit: TimeSpan
        ) =
        ArgumentNullException.ThrowIfNull(law, nameof law)
        check law (ofMethod convolution (ofShape arithmetic) supports traits) cases seed timeLimit

    /// <summary>Holds an implementation, under what it declares of itself, to one law.</summary>
    /// <param name="law">One of <see cref="LawsOf"/>.</param>
    /// <param name="convolution">The implementation.</param>
    /// <param name="cases">Cases for each law and tier.</param>
    /// <param name="seed">The same seed gives the same cases.</param>
    /// <param name="timeLimit">How long it may take; what is not settled by then is undecided, also where a call does not return. Zero: as long as it takes.</param>
    /// <exception cref="ArgumentException">There is no such law, or it asks for more than is offered.</exception>
    static member Check
        (
            law: string,
            convolution: IConvolution,
            [<Optional; DefaultParameterValue(200)>] cases: int,
            [<Optional; DefaultParameterValue(0UL)>] seed: uint64,
            [<Optional>] timeLimit: TimeSpan
        ) =
        ArgumentNullException.ThrowIfNull(law, nameof law)
        check law (ofInstance convolution) cases seed timeLimit

    /// <summary>Holds an implementation, of which there can be fresh instances, to one law.</summary>
    /// <param name="law">One of <see cref="LawsOf"/>.</param>
    /// <param name="create">Makes an instance. A failure is confirmed and shrunk on instances that were not called before, so that its line replays.</param>
    /// <param name="cases">Cases for each law and tier.</param>
    /// <param name="seed">The same seed gives the same cases.</param>
    /// <param name="timeLimit">How long it may take; what is not settled by then is undecided, also where a call does not return. Zero: as long as it takes.</param>
    /// <exception cref="ArgumentException">There is no such law, or it asks for more than is offered.</exception>
    static member Check
        (
            law: string,
            create: Func<IConvolution>,
            [<Optional; DefaultParameterValue(200)>] cases: int,
            [<Optional; DefaultParameterValue(0UL)>] seed: uint64,
            [<Optional>] timeLimit: TimeSpan
        ) =
        ArgumentNullException.ThrowIfNull(law, nameof law)
        check law (ofFactory create) cases seed timeLimit

    /// <summary>Holds a method to every law that it can be asked: the results in the order of the catalogue.</summary>
    /// <param name="convolution">Called from one thread at a time.</param>
    /// <param name="arithmetic">How it sums; null means AnyOrder.</param>
    /// <param name="supports">The shapes that it takes; null means all.</param>
    /// <param name="traits">What else it promises (determinism) and where to look for shapes that it takes; null means nothing.</param>
    /// <param name="cases">Cases for each law and tier.</param>
    /// <param name="seed">The same seed gives the same cases.</param>
    /// <param name="timeLimit">How long it may take; what is not settled by then is undecided, also where a call does not return. Zero: as long as it takes.</param>
    static member CheckAll
        (
            convolution: Convolution,
            [<Optional; DefaultParameterValue(null: Arithmetic | null)>] arithmetic: Arithmetic | null,
            [<Optional; DefaultParameterValue(null: Func<ConvShape, bool> | null)>] supports: Func<ConvShape, bool> | null,
            [<Optional; DefaultParameterValue(null: Traits | null)>] traits: Traits | null,
            [<Optional; DefaultParameterValue(200)>] cases: int,
            [<Optional; DefaultParameterValue(0UL)>] seed: uint64,
            [<Optional>] timeLimit: TimeSpan
        ) =
        checkAll (ofMethod convolution (always arithmetic) supports traits) cases seed timeLimit

    /// <summary>Holds a method whose arithmetic depends on the shape to every law that it can be asked: the results in the order of the catalogue.</summary>
    /// <param name="convolution">Called from one thread at a time.</param>
    /// <param name="arithmetic">How it sums a shape.</param>
    /// <param name="supports">The shapes that it takes; null means all.</param>
    /// <param name="traits">What else it promises (determinism) and where to look for shapes that it takes; null means nothing.</param>
    /// <param name="cases">Cases for each law and tier.</param>
    /// <param name="seed">The same seed gives the same cases.</param>
    /// <param name="timeLimit">How long it may take; what is not settled by then is undecided, also where a call does not return. Zero: as long as it takes.</param>
    static member CheckAll
        (
            convolution: Convolution,
            arithmetic: Func<ConvShape, Arithmetic>,
            [<Optional; DefaultParameterValue(null: Func<ConvShape, bool> | null)>] supports: Func<ConvShape, bool> | null,
            [<Optional; DefaultParameterValue(null: Traits | null)>] traits: Traits | null,
            [<Optional; DefaultParameterValue(200)>] cases: int,
            [<Optional; DefaultParameterValue(0UL)>] seed: uint64,
            [<Optional>] timeLimit: TimeSpan
        ) =
        checkAll (ofMethod convolution (ofShape arithmetic) supports traits) cases seed timeLimit

    /// <summary>Holds an implementation, under what it declares of itself, to every law that it can be asked: the results in the order of the catalogue.</summary>
    /// <param name="convolution">The implementation.</param>
    /// <param name="cases">Cases for each law and tier.</param>
    /// <param name="seed">The same seed gives the same cases.</param>
    /// <param name="timeLimit">How long it may take; what is not settled by then is undecided, also where a call does not return. Zero: as long as it takes.</param>
    static member CheckAll
        (
            convolution: IConvolution,
            [<Optional; DefaultParameterValue(200)>] cases: int,
            [<Optional; DefaultParameterValue(0UL)>] seed: uint64,
            [<Optional>] timeLimit: TimeSpan
        ) =
        checkAll (ofInstance convolution) cases seed timeLimit

    /// <summary>Holds an implementation, of which there can be fresh instances, to every law that it can be asked: the results in the order of the catalogue.</summary>
    /// <param name="create">Makes an instance. A failure is confirmed and shrunk on instances that were not called before, so that its line replays.</param>
    /// <param name="cases">Cases for each law and tier.</param>
    /// <param name="seed">The same seed gives the same cases.</param>
    /// <param name="timeLimit">How long it may take; what is not settled by then is undecided, also where a call does not return. Zero: as long as it takes.</param>
    static member CheckAll
        (
            create: Func<IConvolution>,
            [<Optional; DefaultParameterValue(200)>] cases: int,
            [<Optional; DefaultParameterValue(0UL)>] seed: uint64,
            [<Optional>] timeLimit: TimeSpan
        ) =
        checkAll (ofFactory create) cases seed timeLimit

    /// <summary>Judges one case of a method again.</summary>
    /// <param name="line">The line that a counterexample prints.</param>
    /// <param name="convolution">Called from one thread at a time.</param>
    /// <param name="arithmetic">How it sums; null means AnyOrder.</param>
    /// <param name="supports">The shapes that it takes; null means all.</param>
    /// <param name="traits">What else it promises (determinism) and where to look for shapes that it takes; null means nothing.</param>
    /// <exception cref="FormatException">The line is not a case, or of a law that cannot be asked here.</exception>
    static member Replay
        (
            line: string,
            convolution: Convolution,
            [<Optional; DefaultParameterValue(null: Arithmetic | null)>] arithmetic: Arithmetic | null,
            [<Optional; DefaultParameterValue(null: Func<ConvShape, bool> | null)>] supports: Func<ConvShape, bool> | null,
            [<Optional; DefaultParameterValue(null: Traits | null)>] traits: Traits | null
        ) =
        ArgumentNullException.ThrowIfNull(line, nameof line)
        replay line (ofMethod convolution (always arithmetic) supports traits)

    /// <summary>Judges one case of a method whose arithmetic depends on the shape again.</summary>
    /// <param name="line">The line that a counterexample prints.</param>
    /// <param name="convolution">Called from one thread at a time.</param>
    /// <param name="arithmetic">How it sums a shape.</param>
    /// <param name="supports">The shapes that it takes; null means all.</param>
    /// <param name="traits">What else it promises (determinism) and where to look for shapes that it takes; null means nothing.</param>
    /// <exception cref="FormatException">The line is not a case, or of a law that cannot be asked here.</exception>
    static member Replay
        (
            line: string,
            convolution: Convolution,
            arithmetic: Func<ConvShape, Arithmetic>,
            [<Optional; DefaultParameterValue(null: Func<ConvShape, bool> | null)>] supports: Func<ConvShape, bool> | null,
            [<Optional; DefaultParameterValue(null: Traits | null)>] traits: Traits | null
        ) =
        ArgumentNullException.ThrowIfNull(line, nameof line)
        replay line (ofMethod convolution (ofShape arithmetic) supports traits)

    /// <summary>Judges one case of an implementation, under what it declares of itself, again.</summary>
    /// <param name="line">The line that a counterexample prints.</param>
    /// <param name="convolution">The implementation.</param>
    /// <exception cref="FormatException">The line is not a case, or of a law that cannot be asked here.</exception>
    static member Replay(line: string, convolution: IConvolution) =
        ArgumentNullException.ThrowIfNull(line, nameof line)
        replay line (ofInstance convolution)

    /// <summary>Judges one case of an implementation, of which there can be fresh instances, again.</summary>
    /// <param name="line">The line that a counterexample prints.</param>
    /// <param name="create">Makes an instance. A failure is confirmed and shrunk on instances that were not called before, so that its line replays.</param>
    /// <exception cref="FormatException">The line is not a case, or of a law that cannot be asked here.</exception>
    static member Replay(line: string, create: Func<IConvolution>) =
        ArgumentNullException.ThrowIfNull(line, nameof line)
        replay line (ofFactory create)
