namespace Conv.Properties

open Conv
open Conv.Properties.Judging

/// One problem that a law gave to the subject (or, where the subject does not support it, to the oracle) and what came back. Input and
/// kernel are the operation's operands.
[<NoEquality; NoComparison>]
type internal Call =
    {
        Operation: Operation
        Shape: ConvShape
        Input: float32[]
        Kernel: float32[]
        Bias: float32[]
        Output: float[]
        ByOracle: bool
    }

[<RequireQualifiedAccess>]
module internal Call =
    /// No call: a shape alone, where what went wrong is no number.
    let none shape =
        {
            Operation = Operation.Forward
            Shape = shape
            Input = [||]
            Kernel = [||]
            Bias = [||]
            Output = [||]
            ByOracle = false
        }

/// How the two sides of an equation are held against each other.
type internal Relation =
    /// |left − right| ≤ left.Error + right.Error.
    | Agrees
    /// The same numbers, whatever the errors; +0 = −0.
    | Identical
    /// The same numbers, or NaN on both sides.
    | Alike
    /// left ≤ right.
    | AtMost

/// One equation of a law on one case.
[<NoEquality; NoComparison>]
type internal Equation =
    {
        Left: Approx
        Right: Approx
        Relation: Relation
        LeftName: string
        RightName: string
    }

/// What a person needs to see why a case breaks a law.
[<NoEquality; NoComparison>]
type internal Witness =
    {
        Equation: Equation
        /// Flat indices of the elements that differ by more than they may.
        Wrong: int list
        Calls: Call list
    }

type internal Evidence =
    {
        /// Elements compared.
        Elements: int64
        /// The largest difference over its bound; 0 on the exact tier.
        Ratio: float
        /// The mean of the signed differences, left less right, over their bounds; 0 where all are exact.
        Lean: float
        /// Whether the oracle stood in for a problem that the subject does not support.
        AgainstOracle: bool
        /// Of the subject's results that are exact by certificate, in order.
        Outputs: uint64
    }

type internal Fault =
    | Threw of message: string
    | WrongLength of expected: int64 * actual: int64
    | Misdeclared of string
    /// Something beside the numbers: memory that was touched, a bad call that was taken.
    | Breach of string
    /// A subject in a process of its own gave no answer, or none that can be judged.
    | Foreign of Trouble * text: string

[<CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module internal Fault =
    /// What a subject threw, and where.
    let ofException (error: exn) =
        match error with
        | ForeignFault(Trouble.Touched, text) -> Breach text
        | ForeignFault(Trouble.Failed, text) -> Threw text
        | ForeignFault(trouble, text) -> Foreign(trouble, text)
        | _ ->

            let where =
                match error.StackTrace with
                | null -> ""
                | trace ->
                    let first = trace.Split('\n')[0]
                    " " + first.Trim()

            let hint =
                match error with
                | :? System.NotSupportedException
                | :? System.NotImplementedException -> "; what it does not take it should declare (Supports)"
                | _ -> ""

            Threw $"{error.GetType().Name}: {error.Message}{where}{hint}"

    /// What a fault was, in words.
    let describe fault =
        match fault with
        | Threw message -> $"the subject failed: {message}"
        | WrongLength(expected, actual) -> $"the output has {actual} elements, the shape has {expected}"
        | Misdeclared what
        | Breach what -> what
        | Foreign(_, what) -> $"no answer: {what}"

[<NoEquality; NoComparison>]
type internal Verdict =
    | Holds of Evidence
    | Breaks of Witness
    | Faulted of Fault * Call
    | Undecided of string
    | NotApplicable of string
    | Unsupported of string

/// Raised inside a judgement where a law has nothing to say about a case or subject.
exception internal Inapplicable of string

[<AutoOpen>]
module internal Equations =
    /// left = right within their proven errors: equality where both are exact.
    let (=~=) left right =
        {
            Left = left
            Right = right
            Relation = Agrees
            LeftName = "left side"
            RightName = "right side"
        }

    /// The same numbers on both sides, on any data.
    let (===) left right = { (left =~= right) with Relation = Identical }

    /// The same numbers, or NaN on both sides, on any data.
    let (=?=) left right = { (left =~= right) with Relation = Alike }

    /// left ≤ right, element by element.
    let (<=~) left right = { (left =~= right) with Relation = AtMost }

    /// Names the two sides as they are printed.
    let named left right equation = { equation with LeftName = left; RightName = right }
