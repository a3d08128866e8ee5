namespace Conv.Properties

open System
open System.Numerics
open System.Runtime.CompilerServices

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
    // The loops over elements are compiled at their best at once: a short run would spend most of its time in their first, slow version.

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
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
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

    /// Σ left[from + i]·right[i] over `count` elements, every product and every sum rounded by itself.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    let dot (left: float[]) from (right: float[]) count =
        let width = Vector<float>.Count
        let mutable first, second = Vector<float>.Zero, Vector<float>.Zero
        let mutable i = 0

        while i <= count - 2 * width do
            first <- first + Vector<float>(left, from + i) * Vector<float>(right, i)
            second <- second + Vector<float>(left, from + i + width) * Vector<float>(right, i + width)
            i <- i + 2 * width

        let mutable sum = Vector.Sum(first + second)

        while i < count do
            sum <- sum + left[from + i] * right[i]
            i <- i + 1

        sum

    /// Whether the numbers are the same but for their signs.
    let areAlikeInSize (a: float[]) (b: float[]) =
        Object.ReferenceEquals(a, b)
        || a.Length = b.Length
           && (let width = Vector<float>.Count
               let mutable at = 0

               while at <= a.Length - width
                     && Vector.EqualsAll(Vector.Abs(Vector<float>(a, at)), Vector.Abs(Vector<float>(b, at))) do
                   at <- at + width

               while at < a.Length && abs a[at] = abs b[at] do
                   at <- at + 1

               at = a.Length)

    /// The least number of elements from `count` on that `combine` takes without a rest.
    let wholeVectors count =
        (count + 2 * Vector<float>.Count - 1) / (2 * Vector<float>.Count)
        * 2
        * Vector<float>.Count

    /// target[at…] = Σ factor·source[from + column·pitch…] over the terms (column, factor) from left to right, `count` elements, a number of
    /// whole vectors; every product and every sum rounded by itself.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    let combine (terms: struct (int * float)[]) (source: float[]) from pitch (target: float[]) at count =
        let width = Vector<float>.Count
        let mutable i = 0

        // Four sums at once, or two: a sum waits for the one before it.
        while i <= count - 4 * width do
            let mutable first = Vector<float>.Zero
            let mutable second = Vector<float>.Zero
            let mutable third = Vector<float>.Zero
            let mutable fourth = Vector<float>.Zero

            for struct (column, factor) in terms do
                let factors = Vector<float> factor
                let place = from + column * pitch + i
                first <- first + factors * Vector<float>(source, place)
                second <- second + factors * Vector<float>(source, place + width)
                third <- third + factors * Vector<float>(source, place + 2 * width)
                fourth <- fourth + factors * Vector<float>(source, place + 3 * width)

            first.CopyTo(target, at + i)
            second.CopyTo(target, at + i + width)
            third.CopyTo(target, at + i + 2 * width)
            fourth.CopyTo(target, at + i + 3 * width)
            i <- i + 4 * width

        if i < count then
            let mutable first = Vector<float>.Zero
            let mutable second = Vector<float>.Zero

            for struct (column, factor) in terms do
                let factors = Vector<float> factor
                let place = from + column * pitch + i
                first <- first + factors * Vector<float>(source, place)
                second <- second + factors * Vector<float>(source, place + width)

            first.CopyTo(target, at + i)
            second.CopyTo(target, at + i + width)

    /// Each number rounded to float32.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    let toSingle (data: float[]) =
        let width = Vector<float>.Count
        let result = Array.zeroCreate<float32> data.Length
        let mutable at = 0

        while at <= data.Length - 2 * width do
            Vector.Narrow(Vector<float>(data, at), Vector<float>(data, at + width)).CopyTo(result, at)
            at <- at + 2 * width

        while at < data.Length do
            result[at] <- float32 data[at]
            at <- at + 1

        result

    /// Whether every number is one of float32, or NaN.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    let areSingles (data: float[]) (single: float32[]) =
        let width = Vector<float>.Count
        let mutable same = Vector<int64>.AllBitsSet
        let mutable at = 0

        while at <= data.Length - 2 * width do
            let mutable low, high = Vector<float>.Zero, Vector<float>.Zero
            Vector.Widen(Vector<float32>(single, at), &low, &high)
            let first, second = Vector<float>(data, at), Vector<float>(data, at + width)
            let isNaN (v: Vector<float>) = Vector.OnesComplement(Vector.Equals(v, v))

            same <-
                same
                &&& (Vector.Equals(low, first) ||| isNaN first)
                &&& (Vector.Equals(high, second) ||| isNaN second)

            at <- at + 2 * width

        let mutable rest = same = Vector<int64>.AllBitsSet

        while at < data.Length do
            rest <- rest && (float single[at] = data[at] || Double.IsNaN data[at])
            at <- at + 1

        rest

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

    /// The value of the lowest bit of each number, infinite for zero: what is lost when the lowest set bit of the fraction is cleared, or the
    /// number itself where the fraction is zero.
    let private lowestBits (value: Vector<float>) =
        let bits = Vector.AsVectorInt64 value
        let cleared = bits &&& (bits - Vector<int64>.One)
        let whole = Vector.Equals(bits &&& Vector<int64>(0xFFFFFFFFFFFFFL), Vector<int64>.Zero)
        let lowest = Vector.Abs(value - Vector.AsVectorDouble cleared)
        let lowest = Vector.ConditionalSelect(Vector.AsVectorDouble whole, Vector.Abs value, lowest)
        let zero = Vector.Equals(value, Vector<float>.Zero)
        Vector.ConditionalSelect(Vector.AsVectorDouble zero, Vector<float>(Double.PositiveInfinity), lowest)

    /// The exponent e of the finest grid 2^e·ℤ that holds every finite number; Int32.MaxValue when all are zero.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    let grid (data: float[]) =
        let width = Vector<float>.Count
        let mutable least = Vector<float>(Double.PositiveInfinity)
        let mutable at = 0

        while at <= data.Length - width do
            least <- Vector.Min(least, lowestBits (Vector<float>(data, at)))
            at <- at + width

        let mutable exponent = Int32.MaxValue

        for lane in 0 .. width - 1 do
            if Double.IsFinite least[lane] then
                exponent <- min exponent (Math.ILogB least[lane])

        while at < data.Length do
            exponent <- min exponent (lowestBit data[at])
            at <- at + 1

        exponent

    /// max |element|, 0 for none; NaN counts as infinite.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    let magnitude (data: float[]) =
        let width = Vector<float>.Count
        let mutable most = Vector<float>.Zero
        let mutable ordered = Vector<int64>.AllBitsSet
        let mutable at = 0

        while at <= data.Length - width do
            let value = Vector<float>(data, at)
            ordered <- ordered &&& Vector.Equals(value, value)
            most <- Vector.Max(most, Vector.Abs value)
            at <- at + width

        let mutable result = if ordered = Vector<int64>.AllBitsSet then 0.0 else Double.PositiveInfinity

        for lane in 0 .. width - 1 do
            result <- max result most[lane]

        while at < data.Length do
            let size = abs data[at]
            result <- if Double.IsNaN size then Double.PositiveInfinity else max result size
            at <- at + 1

        if Double.IsNaN result then Double.PositiveInfinity else result
