namespace Conv.Properties

open System
open System.Numerics

/// A dense, row-major array of doubles in four dimensions: inputs and outputs as N×C×H×W, kernels as O×C/G×K_h×K_w.
/// Every float32 is a double, so what a subject takes and gives is held without rounding.
/// Blank are all zeros that nobody has looked at: they cost no memory, and what is cut out of them is blank too.
[<Sealed>]
type internal Values(d0: int, d1: int, d2: int, d3: int, elements: float[] voption) =
    let mutable held = elements

    member _.D0 = d0
    member _.D1 = d1
    member _.D2 = d2
    member _.D3 = d3

    /// Whether the elements have yet to be made.
    member _.IsBlank = held.IsNone

    /// The elements.
    member _.Data =
        match held with
        | ValueSome data -> data
        | ValueNone ->
            let data = Array.zeroCreate (d0 * d1 * d2 * d3)
            held <- ValueSome data
            data

    /// The number of elements.
    member _.Length = d0 * d1 * d2 * d3

    /// The flat index of an element.
    member _.At(i0, i1, i2, i3) = ((i0 * d1 + i1) * d2 + i2) * d3 + i3

    /// One element.
    member v.Item
        with get (i0, i1, i2, i3) = v.Data[v.At(i0, i1, i2, i3)]

    /// The four coordinates of a flat index.
    member _.Coordinates(index: int) =
        let rest, i3 = Math.DivRem(index, max 1 d3).ToTuple()
        let rest, i2 = Math.DivRem(rest, max 1 d2).ToTuple()
        let i0, i1 = Math.DivRem(rest, max 1 d1).ToTuple()
        struct (i0, i1, i2, i3)

[<CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module internal Values =
    /// Wraps an array that already has the right length.
    let ofArray (d0, d1, d2, d3) (data: float[]) =
        if data.Length <> d0 * d1 * d2 * d3 then
            invalidArg (nameof data) $"{data.Length} elements do not make {d0}×{d1}×{d2}×{d3}."

        Values(d0, d1, d2, d3, ValueSome data)

    /// All zeros, blank.
    let blank (d0, d1, d2, d3) = Values(d0, d1, d2, d3, ValueNone)

    /// Other elements in the same dimensions.
    let withData data (v: Values) = ofArray (v.D0, v.D1, v.D2, v.D3) data

    /// All zeros.
    let zeros (d0, d1, d2, d3) = ofArray (d0, d1, d2, d3) (Array.zeroCreate (d0 * d1 * d2 * d3))

    /// Every element a function of its coordinates.
    let init (d0, d1, d2, d3) (element: int -> int -> int -> int -> float) =
        let result = Array.zeroCreate (d0 * d1 * d2 * d3)
        let element = OptimizedClosures.FSharpFunc<_, _, _, _, _>.Adapt element
        let mutable at = 0

        for i0 in 0 .. d0 - 1 do
            for i1 in 0 .. d1 - 1 do
                for i2 in 0 .. d2 - 1 do
                    for i3 in 0 .. d3 - 1 do
                        result[at] <- element.Invoke(i0, i1, i2, i3)
                        at <- at + 1

        ofArray (d0, d1, d2, d3) result

    /// Every element from the flat index of `data` that `source` gives, or zero for −1.
    let gather (d0, d1, d2, d3) (source: int -> int -> int -> int -> int) (data: float[]) =
        let result = Array.zeroCreate (d0 * d1 * d2 * d3)
        let source = OptimizedClosures.FSharpFunc<_, _, _, _, _>.Adapt source
        let mutable at = 0

        for i0 in 0 .. d0 - 1 do
            for i1 in 0 .. d1 - 1 do
                for i2 in 0 .. d2 - 1 do
                    for i3 in 0 .. d3 - 1 do
                        let from = source.Invoke(i0, i1, i2, i3)

                        if from >= 0 then
                            result[at] <- data[from]

                        at <- at + 1

        result

    /// target[at…] += factor·source[from…] over `count` elements, every product and every sum rounded by itself.
    let addScaled (factor: float) (source: float[]) from (target: float[]) at count =
        let width = Vector<float>.Count
        let factors = Vector<float> factor
        let mutable i = 0

        while i <= count - width do
            let sum = Vector<float>(target, at + i) + factors * Vector<float>(source, from + i)
            sum.CopyTo(target, at + i)
            i <- i + width

        while i < count do
            target[at + i] <- target[at + i] + factor * source[from + i]
            i <- i + 1

    /// target[at…] = Σ factor·source[from + column·pitch…] over the terms (column, factor) from left to right, `count` elements; every
    /// product and every sum rounded by itself.
    let combine (terms: struct (int * float)[]) (source: float[]) from pitch (target: float[]) at count =
        let width = Vector<float>.Count
        let mutable i = 0

        while i <= count - width do
            let mutable sum = Vector<float>.Zero

            for struct (column, factor) in terms do
                sum <- sum + Vector<float> factor * Vector<float>(source, from + column * pitch + i)

            sum.CopyTo(target, at + i)
            i <- i + width

        while i < count do
            let mutable sum = 0.0

            for struct (column, factor) in terms do
                sum <- sum + factor * source[from + column * pitch + i]

            target[at + i] <- sum
            i <- i + 1

    /// data[i] ← f(data[i]).
    let inline update ([<InlineIfLambda>] f: float -> float) (data: float[]) =
        for at in 0 .. data.Length - 1 do
            data[at] <- f data[at]

    /// The exponent of the lowest bit that is set; Int32.MaxValue for zero.
    let lowestBit (value: float) =
        let bits = BitConverter.DoubleToInt64Bits value
        let fraction = bits &&& 0xFFFFFFFFFFFFFL
        let biased = int (bits >>> 52) &&& 0x7FF

        if biased > 0 then
            biased - 1075 + BitOperations.TrailingZeroCount(fraction ||| 0x10000000000000L)
        elif fraction = 0L then
            Int32.MaxValue
        else
            BitOperations.TrailingZeroCount fraction - 1074

    /// The exponent e of the finest grid 2^e·ℤ that holds every number; Int32.MaxValue when all are zero.
    let grid (data: float[]) =
        let mutable exponent = Int32.MaxValue

        for value in data do
            exponent <- min exponent (lowestBit value)

        exponent

    /// max |element|, 0 for none; NaN counts as infinite.
    let magnitude (data: float[]) =
        let mutable result = 0.0

        for value in data do
            let size = abs value

            if not (size <= result) then
                result <- if Double.IsNaN size then Double.PositiveInfinity else size

        result
