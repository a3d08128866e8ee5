namespace Conv.Properties

open System

/// A dense, row-major array of doubles in four dimensions: inputs and outputs as N×C×H×W, kernels as O×C/G×K_h×K_w.
/// Every float32 is a double, so what a subject takes and gives is held without rounding.
[<NoEquality; NoComparison>]
type Values =
    {
        D0: int
        D1: int
        D2: int
        D3: int
        Data: float[]
    }

    /// The number of elements.
    member v.Length = v.Data.Length

    /// The flat index of an element.
    member inline v.At(i0, i1, i2, i3) = ((i0 * v.D1 + i1) * v.D2 + i2) * v.D3 + i3

    /// One element.
    member v.Item
        with get (i0, i1, i2, i3) = v.Data[v.At(i0, i1, i2, i3)]

    /// The four coordinates of a flat index.
    member v.Coordinates(index: int) =
        let rest, i3 = Math.DivRem(index, max 1 v.D3).ToTuple()
        let rest, i2 = Math.DivRem(rest, max 1 v.D2).ToTuple()
        let i0, i1 = Math.DivRem(rest, max 1 v.D1).ToTuple()
        struct (i0, i1, i2, i3)

[<CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module Values =
    /// Wraps an array that already has the right length.
    let ofArray (d0, d1, d2, d3) (data: float[]) =
        if data.Length <> d0 * d1 * d2 * d3 then
            invalidArg (nameof data) $"{data.Length} elements do not make {d0}×{d1}×{d2}×{d3}."

        { D0 = d0; D1 = d1; D2 = d2; D3 = d3; Data = data }

    /// All zeros.
    let zeros (d0, d1, d2, d3) = ofArray (d0, d1, d2, d3) (Array.zeroCreate (d0 * d1 * d2 * d3))

    /// Every element a function of its coordinates.
    let init (d0, d1, d2, d3) (element: int -> int -> int -> int -> float) =
        let result = zeros (d0, d1, d2, d3)
        let element = OptimizedClosures.FSharpFunc<_, _, _, _, _>.Adapt element
        let mutable at = 0

        for i0 in 0 .. d0 - 1 do
            for i1 in 0 .. d1 - 1 do
                for i2 in 0 .. d2 - 1 do
                    for i3 in 0 .. d3 - 1 do
                        result.Data[at] <- element.Invoke(i0, i1, i2, i3)
                        at <- at + 1

        result

    /// Where each element of a result comes from: a flat index into the source, or −1 for a zero.
    let sources (d0, d1, d2, d3) (source: int -> int -> int -> int -> int) : int[] =
        let result = Array.zeroCreate (d0 * d1 * d2 * d3)
        let source = OptimizedClosures.FSharpFunc<_, _, _, _, _>.Adapt source
        let mutable at = 0

        for i0 in 0 .. d0 - 1 do
            for i1 in 0 .. d1 - 1 do
                for i2 in 0 .. d2 - 1 do
                    for i3 in 0 .. d3 - 1 do
                        result[at] <- source.Invoke(i0, i1, i2, i3)
                        at <- at + 1

        result

    /// The exponent e of the finest grid 2^e·ℤ that holds every number; Int32.MaxValue when all are zero.
    let grid (data: float[]) =
        let mutable exponent = Int32.MaxValue

        for value in data do
            if value <> 0.0 then
                let bits = BitConverter.DoubleToInt64Bits value
                let mantissa = bits &&& 0xFFFFFFFFFFFFFL
                let biased = int (bits >>> 52) &&& 0x7FF

                let lowest =
                    if biased = 0 then Int64.TrailingZeroCount mantissa |> int |> (+) -1074
                    elif mantissa = 0L then biased - 1023
                    else biased - 1075 + int (Int64.TrailingZeroCount mantissa)

                exponent <- min exponent lowest

        exponent

    /// max |element|, 0 for none; NaN counts as infinite.
    let magnitude (data: float[]) =
        let mutable result = 0.0

        for value in data do
            let size = abs value

            if not (size <= result) then
                result <- if Double.IsNaN size then Double.PositiveInfinity else size

        result
