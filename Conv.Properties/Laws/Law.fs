namespace Conv.Properties

open System
open FsCheck
open FsCheck.FSharp
open Conv

type internal Strength =
    | Must
    | Should
    | May

/// Hughes' kinds of property (How to Specify It!, 2019), with the kit's own.
type internal Kind =
    | Postcondition
    | Invariant
    | Metamorphic
    | Inductive
    | Compositional
    | ModelBased
    /// Two operators are each other's transposes.
    | Adjoint
    /// Nothing but the output is touched or remembered.
    | Resource
    /// What IEEE 754 says of single operations.
    | Ieee
    /// Bad calls are refused.
    | Contractual
    /// A law on the kit's own geometry and formulas.
    | KitLaw

/// How many problems of the larger sizes a law is asked, for 200 small ones.
type internal Beyond = { Middle: int; Large: int }

/// An equation about convolution that any implementation can be held to. It knows no test framework, no epsilon and no subject.
[<NoEquality; NoComparison>]
type internal Law =
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
        /// How many larger problems it is asked beside 200 small ones.
        Beyond: Beyond
        /// How many of its first cases, small ones and larger ones, are asked in a row from a fresh process or instance on: what is kept from
        /// call to call is soon full.
        Afresh: int
        Cases: Profile -> Tier -> Reach.Size -> Gen<Case>
        /// Cases on a given problem: a real layer's.
        CasesOn: Profile -> Tier -> ConvShape -> Gen<Case>
        /// Whether a subject answers what the law is about on a shape.
        Serves: Subject -> ConvShape -> bool
        Judge: Subject -> Case -> Verdict
    }

[<RequireQualifiedAccess>]
module internal Law =
    let private nothing = { Middle = 0; Large = 0 }

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
            Beyond = nothing
            Afresh = 0
            Cases = fun _ _ _ -> Gen.fresh (fun () -> invalidOp "The law has no cases.")
            CasesOn = fun _ _ _ -> Gen.fresh (fun () -> invalidOp "The law takes no problem of the caller's.")
            Serves = fun subject shape -> subject.Profile.Supports shape
            Judge = fun _ _ -> Undecided "no judgement"
        }

    /// How many larger problems a law is asked for 200 small ones.
    let beyond middle large = { Middle = middle; Large = large }

    /// What a law says of itself beside its equation.
    [<NoEquality; NoComparison>]
    type Terms =
        {
            Clause: string
            Source: string
            Detects: string
            Strength: Strength
            Domain: string
            Needs: Capability list
            Tiers: Tier list
            /// The problems of a size.
            Geometry: Reach.Size -> Traits -> Gen<ConvShape>
            Project: ConvShape -> ConvShape voption
            Data: Data
            /// What the law multiplies the size of products by, beside the number of terms of its problems.
            Growth: Trial -> float
            /// Whether results become operands of another call.
            Chains: bool
            /// Whether the law compares calls with each other (then two equal calls are no comparison).
            Relates: bool
            /// How many larger problems it is asked beside 200 small ones.
            Beyond: Beyond
        }

    /// The usual terms of a clause: MUST, both tiers, every shape.
    let terms clause source detects =
        {
            Clause = clause
            Source = source
            Detects = detects
            Strength = Must
            Domain = blank.Domain
            Needs = blank.Needs
            Tiers = blank.Tiers
            Geometry = Styles.geometry
            Project = ValueSome
            Data = Any
            Growth = fun _ -> 1.0
            Chains = false
            Relates = true
            Beyond = nothing
        }

    /// The law on memory, which begins afresh.
    let afresh (law: Law) = { law with Afresh = 20 }

    /// The terms with so many larger problems for 200 small ones.
    let reaching middle large (terms: Terms) = { terms with Beyond = beyond middle large }

    /// A law from its equations.
    let equations group kind id statement (terms: Terms) (equations: Trial -> Equation list) : Law =
        let cases = Draw.cases id terms.Geometry terms.Project terms.Data terms.Growth terms.Chains equations

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
            Needs = terms.Needs
            Tiers = terms.Tiers
            Project = terms.Project
            Beyond = terms.Beyond
            Cases = fun profile tier size -> cases profile tier (Draw.Sized size)
            CasesOn = fun profile tier shape -> cases profile tier (Draw.Given shape)
            Serves =
                fun subject shape ->
                    // Which operation is asked may be one of the case's choices.
                    [ 0..6 ]
                    |> List.exists (fun choice ->
                        Judge.plan
                            subject
                            equations
                            {
                                Law = id
                                Tier = terms.Tiers.Head
                                Problem = shape
                                Args = [ choice; choice; choice ]
                                Fill = Explicit []
                            }
                        |> Judge.serves)
            Judge = Judge.ofCase terms.Relates equations
        }

    /// A law from one equation.
    let equation group kind id statement terms (side: Trial -> Equation) : Law =
        equations group kind id statement terms (fun trial -> [ side trial ])

    /// What a formula throws is the subject's fault, not the kit's.
    let private guarded (subject: Subject) (case: Case) : Subject =
        let call f =
            try
                f ()
            with
            | SubjectFault _ -> reraise ()
            | error -> raise (SubjectFault(Fault.ofException error, Call.none case.Problem))

        { subject with
            OutputSize = fun s -> call (fun () -> subject.OutputSize s)
            MultiplyAdds = fun s -> call (fun () -> subject.MultiplyAdds s)
            SamePads = fun a b c d upper -> call (fun () -> subject.SamePads a b c d upper)
            TransposedSize = fun a b c d e f g -> call (fun () -> subject.TransposedSize a b c d e f g)
            OutputPadding = fun a b c d e f -> call (fun () -> subject.OutputPadding a b c d e f)
            Product = fun m n k a lda b ldb bias c ldc -> call (fun () -> subject.Product m n k a lda b ldb bias c ldc)
        }

    /// A law on formulas of a problem's sizes: the kit's own, and whose a subject offers.
    let ofFormula group id statement needs (terms: Terms) (equations: Subject -> ConvShape -> Equation list) : Law =
        { blank with
            Id = id
            Group = group
            Clause = terms.Clause
            Kind = KitLaw
            Domain = "formulas of sizes and costs"
            Statement = statement
            Source = terms.Source
            Detects = terms.Detects
            Needs = [ needs ]
            Tiers = [ Exact ]
            Beyond = terms.Beyond
            Cases =
                fun _ tier size ->
                    Styles.geometry size Traits.Default
                    |> Gen.map (fun shape -> { Law = id; Tier = tier; Problem = shape; Args = []; Fill = Explicit [] })
            Judge =
                fun subject case ->
                    let subject = guarded subject case
                    Judge.ofCase false (fun _ -> equations subject case.Problem) subject case
        }

    /// A law on formulas of the sizes of an axis: what it says of rows, and of columns.
    let ofAxes group id statement needs terms (equations: Subject -> string -> Axis -> Equation list) : Law =
        ofFormula group id statement needs terms (fun subject shape ->
            [
                for name, axis in Seq.zip [ "rows"; "columns" ] shape.Axes do
                    yield! equations subject name axis
            ])

    /// A law on single calls of the subject, made where the case's shape is one that it supports.
    let ofCall group id statement needs (terms: Terms) (judge: Subject -> Case -> Verdict) : Law =
        let pose (trial: Trial) = [ trial.Conv(trial.Shape, trial.X, trial.K) =~= trial.X ]

        { blank with
            Id = id
            Group = group
            Clause = terms.Clause
            Strength = terms.Strength
            Kind = Contractual
            Domain = "any arithmetic"
            Statement = statement
            Source = terms.Source
            Detects = terms.Detects
            Needs = [ needs ]
            Tiers = [ Exact ]
            Cases =
                fun profile tier size ->
                    Draw.cases id terms.Geometry ValueSome Any terms.Growth terms.Chains pose profile tier (Draw.Sized size)
            Judge = judge
        }
