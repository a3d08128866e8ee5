namespace Conv.Properties

open System
open FsCheck
open FsCheck.FSharp
open Conv

type Strength =
    | Must
    | Should
    | May

/// Hughes' kinds of property (How to Specify It!, 2019), with the kit's own.
type Kind =
    | Postcondition
    | Invariant
    | Metamorphic
    | Inductive
    | Compositional
    | ModelBased
    /// A law on the kit's own geometry and formulas.
    | KitLaw

/// Which numbers a law is judged on.
type Data =
    /// Exact tier: integers on the subject's grid. Bounded tier: uniform, wide-ranging and positive reals.
    | Any
    /// As Any, but where the arithmetic is AnyOrder the exact tier takes reals over a wide range: each output is a single product.
    | SingleTerm
    /// Reals in every tier.
    | Reals
    /// Reals from (0, 1).
    | Nonnegative
    /// Exact tier: integers on the grid; bounded tier: small integers, or reals where the arithmetic is AnyOrder.
    | Scalable

/// An equation about convolution that any implementation can be held to. It knows no test framework, no epsilon and no subject.
[<NoEquality; NoComparison>]
type Law =
    {
        Id: string
        Group: int
        Clause: string
        Strength: Strength
        Kind: Kind
        /// The arithmetics that it decides on.
        Domain: string
        Statement: string
        Source: string
        Detects: string
        Needs: Capability list
        Tiers: Tier list
        /// Has one fixed case a tier: exempt from the number of cases and of distinct shapes.
        Fixed: bool
        /// Brings any shape into the law's domain, or says that it cannot.
        Project: ConvShape -> ConvShape voption
        Cases: Profile -> Tier -> Gen<Case>
        /// Cases on a given problem: a real layer's.
        CasesOn: Profile -> Tier -> ConvShape -> Gen<Case>
        Judge: Subject -> Case -> Verdict
    }

[<RequireQualifiedAccess>]
module Law =
    /// Why a case of the exact tier is undecided; the run counts it, and none is allowed.
    let leftItsGrid = "the case left its grid"

    /// Thrown by a law that has nothing to say about a case or subject.
    exception Inapplicable of string

    /// Ends the judgement: the law does not apply, with the reason.
    let inapplicable reason = raise (Inapplicable reason)

    /// What one equation comes to: the elements that fail, the largest difference over its bound, and whether a bound was infinite.
    [<Struct>]
    type private Held = { Wrong: int list; Ratio: float; Infinite: bool }

    let private hold (equation: Equation) =
        let left, right = equation.Left, equation.Right
        let mutable ratio = 0.0
        let mutable infinite = false
        let wrong = ResizeArray()

        for at in 0 .. left.Value.Length - 1 do
            let l, r = left.Value.Data[at], right.Value.Data[at]

            match equation.Relation with
            | Identical ->
                if not (l = r) then
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

        { Wrong = List.ofSeq wrong; Ratio = ratio; Infinite = infinite }

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
                    AgainstOracle = false
                }

    let private sameCall (a: Call) (b: Call) =
        a.Shape = b.Shape
        && a.Input.AsSpan().SequenceEqual(b.Input.AsSpan())
        && a.Kernel.AsSpan().SequenceEqual(b.Kernel.AsSpan())
        && a.Bias.AsSpan().SequenceEqual(b.Bias.AsSpan())

    /// Runs the equations of a law on one case.
    let judge (relates: bool) (equations: Trial -> Equation list) (subject: Subject) (case: Case) : Verdict =
        let trial = Trial(subject, case, false)

        try
            let equations = equations trial
            let calls = trial.Calls

            if not (List.isEmpty calls) && calls |> List.forall _.ByOracle then
                Unsupported "no problem of the case is supported"
            elif relates && calls |> List.forall (sameCall calls.Head) then
                NotApplicable "both sides are the same call"
            elif trial.LeftGrid then
                Undecided leftItsGrid
            else
                let held = equations |> List.map (fun e -> e, hold e)

                match held |> List.tryFind (fun (_, h) -> not h.Wrong.IsEmpty) with
                | Some(equation, { Wrong = wrong }) ->
                    match
                        calls
                        |> List.tryPick (fun c ->
                            match trial.Profile.ArithmeticOf c.Shape with
                            | :? Opaque -> Some()
                            | _ -> None)
                    with
                    | Some() when case.Tier = Exact && equation.Relation = Agrees -> Undecided "not any-order: declare an arithmetic"
                    | _ -> Breaks { Equation = equation; Wrong = wrong; Calls = calls }
                | None when held |> List.exists (fun (_, h) -> h.Infinite) -> Undecided "no finite bound for these values"
                | None ->
                    match equations |> List.sumBy (fun e -> int64 e.Left.Value.Length) with
                    | 0L -> NotApplicable "nothing to compare"
                    | elements ->
                        Holds
                            {
                                Elements = elements
                                Ratio = held |> List.map (fun (_, h) -> h.Ratio) |> List.max
                                AgainstOracle = calls |> List.exists _.ByOracle
                            }
        with
        | SubjectFault(fault, call) -> Faulted(fault, call)
        | Inapplicable reason -> NotApplicable reason

    /// The problems that a law will pose for a case, without computing anything.
    let private plan subject equations case =
        let trial = Trial(subject, case, true)

        try
            equations trial |> ignore<Equation list>
        with Inapplicable _ ->
            ()

        trial.Calls

    /// The widest integers for which n products (times what the law multiplies them by) stay on the grid, and the grid's step.
    let private room (profile: Profile) (problems: Call list) growth =
        problems
        |> List.map (fun call ->
            let s = call.Shape

            match (if call.ByOracle then AnyOrder() :> Arithmetic else profile.ArithmeticOf s) with
            | :? Bilinear as algorithm when (BilinearProgram.Of algorithm).HasExactGrid ->
                let program = BilinearProgram.Of algorithm
                program.Amplification * growth, float s.InChannelsPerGroup, program.KernelStep
            | _ -> growth * float s.TermsPerOutput, 1.0, 1)

    /// 2²⁴ units, less a hundredth for the bias.
    let private spacious = 0.99 * Math.ScaleB(1.0, 24)

    /// Integers on the grid of every problem that the case will pose.
    let private lattice profile problems growth : Gen<Lattice> =
        gen {
            let rooms = room profile problems growth
            let step = rooms |> List.map (fun (_, _, step) -> step) |> List.fold max 1
            let bilinear = step > 1 || rooms |> List.exists (fun (_, channels, _) -> channels > 1.0)
            // What D·t may be when every channel is live; a problem of any order also multiplies by the step of the kernel.
            let most =
                rooms
                |> List.map (fun (amplification, channels, own) ->
                    let stepped = if own = step then 1.0 else float step
                    spacious / (amplification * stepped * channels))
                |> List.fold min spacious

            // Sparse channels keep long sums on the grid.
            let liveEvery = if most >= 1.0 then 1 else int (ceil (1.0 / most)) + 1
            let most = max 1.0 (min (most * float liveEvery) (Math.ScaleB(1.0, 22)))
            let! style = Gen.choose (0, 3)
            let root = int (sqrt most)

            let inputMax, kernelMax =
                match style with
                | 0 -> 1, 1
                | 1 -> min 9 (max 1 root), min 3 (max 1 (root / 2))
                | 2 -> max 1 root, max 1 root
                | _ -> (if bilinear then max 1 (int most) else min 4096 (max 1 (int most))), 1

            let fitted = inputMax, max 1 (min kernelMax (int (most / float inputMax)))
            let! a = Gen.frequency [ 3, Gen.constant 0; 1, Gen.choose (-8, 8) ]
            let! c = Gen.frequency [ 3, Gen.constant 0; 1, Gen.choose (-8, 8) ]
            let! bias = Gen.elements [ 1; 9; 100 ]

            return
                {
                    InputMax = fst fitted
                    KernelMax = snd fitted
                    KernelStep = step
                    BiasMax = bias
                    InputExponent = a
                    KernelExponent = c
                    LiveEvery = liveEvery
                }
        }

    let private fill (profile: Profile) tier data problems growth : Gen<FillKind> =
        let own = problems |> List.filter (fun call -> not call.ByOracle)

        let anyOrder =
            own
            |> List.forall (fun call ->
                match profile.ArithmeticOf call.Shape with
                | :? Bilinear -> false
                | _ -> true)

        let reals = Gen.frequency [ 4, Gen.constant Uniform; 2, Gen.constant Wide; 1, Gen.constant Positive ]
        let integers = lattice profile problems growth |> Gen.map Lattice

        match data, tier with
        | Reals, _ -> reals
        | Nonnegative, _ -> Gen.constant Positive
        | SingleTerm, Exact when anyOrder -> Gen.frequency [ 3, Gen.constant Wide; 1, integers ]
        | Scalable, Bounded when not anyOrder -> Gen.constant FewBits
        | _, Exact -> integers
        | _, Bounded -> reals

    /// How often a geometry that no problem of the law can use is drawn anew: first where the subject says to look, then, for laws that
    /// reach what it supports from elsewhere, anywhere; then the case is given up as it is.
    let private hintedAttempts, attempts = 60, 200

    /// Cases of a law for a subject: draw the geometry, ask for its arithmetic, then fill.
    let private generate id project data growth (equations: Trial -> Equation list) (profile: Profile) tier geometry : Gen<Case> =
        let subject = Subject.forward "" profile (fun _ _ _ _ -> [||])
        let growth: Trial -> float = growth

        let rec attempt left =
            gen {
                let! drawn = geometry (if attempts - left < hintedAttempts then profile.Traits else Traits.Default)
                let! args = Gen.choose (0, 999_999) |> Gen.listOfLength 3

                match project drawn with
                | ValueNone when left > 0 -> return! attempt (left - 1)
                | projected ->
                    let case =
                        {
                            Law = id
                            Tier = tier
                            Problem = ValueOption.defaultValue drawn projected
                            Args = args
                            Fill = Explicit []
                        }

                    let problems = plan subject equations case
                    let serves = problems |> List.exists (fun call -> not call.ByOracle)

                    if not serves && left > 0 then
                        return! attempt (left - 1)
                    else
                        let! kind = fill profile tier data problems (growth (Trial(subject, case, true)))
                        let! high, low = Gen.two (Gen.choose (0, Int32.MaxValue))
                        let seed = Fill.mix (uint64 high <<< 31 ||| uint64 low)
                        return { case with Fill = Drawn(kind, seed) }
            }

        attempt attempts

    /// Everything that a law leaves open until it says otherwise.
    let private blank =
        {
            Id = ""
            Group = 0
            Clause = ""
            Strength = Must
            Kind = Invariant
            Domain = "AnyOrder; Bilinear within its certificate or bound"
            Statement = ""
            Source = ""
            Detects = ""
            Needs = [ Forward ]
            Tiers = [ Exact; Bounded ]
            Fixed = false
            Project = ValueSome
            Cases = fun _ _ -> Gen.fresh (fun () -> invalidOp "The law has no cases.")
            CasesOn = fun _ _ _ -> Gen.fresh (fun () -> invalidOp "The law takes no problem of the caller's.")
            Judge = fun _ _ -> Undecided "no judgement"
        }

    /// What a law says of itself beside its equation.
    [<NoEquality; NoComparison>]
    type Terms =
        {
            Clause: string
            Source: string
            Detects: string
            Strength: Strength
            Domain: string
            Tiers: Tier list
            Project: ConvShape -> ConvShape voption
            Data: Data
            /// What the law multiplies the size of products by, beside the number of terms of its problems.
            Growth: Trial -> float
            /// Whether the law compares calls with each other (then two equal calls are no comparison).
            Relates: bool
        }

    /// The usual terms of a clause: MUST, both tiers, every shape.
    let terms clause source detects =
        {
            Clause = clause
            Source = source
            Detects = detects
            Strength = Must
            Domain = blank.Domain
            Tiers = blank.Tiers
            Project = ValueSome
            Data = Any
            Growth = fun _ -> 1.0
            Relates = true
        }

    /// A law from its equations.
    let equations group kind id statement (terms: Terms) (equations: Trial -> Equation list) : Law =
        { blank with
            Id = id
            Group = group
            Clause = terms.Clause
            Strength = terms.Strength
            Kind = kind
            Domain = terms.Domain
            Statement = statement
            Source = terms.Source
            Detects = terms.Detects
            Tiers = terms.Tiers
            Project = terms.Project
            Cases = fun profile tier -> generate id terms.Project terms.Data terms.Growth equations profile tier Generate.geometry
            CasesOn =
                fun profile tier shape ->
                    generate id terms.Project terms.Data terms.Growth equations profile tier (fun _ -> Gen.constant shape)
            Judge = judge terms.Relates equations
        }

    /// A law from one equation.
    let equation group kind id statement terms (side: Trial -> Equation) : Law =
        equations group kind id statement terms (fun trial -> [ side trial ])

    /// A law on the kit's own formulas.
    let ofFormula group id statement needs (terms: Terms) (cases: Gen<ConvShape>) (judge: Subject -> Case -> Verdict) : Law =
        { blank with
            Id = id
            Group = group
            Clause = terms.Clause
            Kind = KitLaw
            Domain = "the kit's own formulas"
            Statement = statement
            Source = terms.Source
            Detects = terms.Detects
            Needs = [ needs ]
            Tiers = [ Exact ]
            Cases =
                fun _ tier ->
                    cases
                    |> Gen.map (fun shape -> { Law = id; Tier = tier; Problem = shape; Args = []; Fill = Explicit [] })
            Judge = judge
        }
