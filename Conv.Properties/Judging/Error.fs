namespace Conv.Properties

/// How far each value may be from the exact one.
[<NoEquality; NoComparison>]
type internal Error =
    | Zero
    | Each of float[]

    /// The bound of one element.
    member inline e.At index =
        match e with
        | Zero -> 0.0
        | Each errors -> errors[index]

[<CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module internal Error =
    let map (f: float[] -> float[]) error =
        match error with
        | Zero -> Zero
        | Each errors -> Each(f errors)
