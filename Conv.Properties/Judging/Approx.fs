namespace Conv.Properties.Judging

open System
open Conv.Properties

/// Values with a proven bound on the distance of each from the exact one. No law mentions a tolerance: the operations here carry the
/// errors along, rounded outward. Public, since F# finds operators on public types alone, and therefore in a namespace of its own, which whoever
/// opens the façade's does not see.
[<NoEquality; NoComparison>]
type Approx =
    internal
        {
            Value: Values
            Error: Error
        }

    /// Exact zeros that nobody has looked at.
    member a.IsBlank = a.Value.IsBlank && a.Error.IsZero

    static member private Sum (a: Approx) (b: Approx) sign =
        let lefts, rights = a.Value.Data, b.Value.Data
        let data = Array.zeroCreate lefts.Length
        let carries = not (a.Error.IsZero && b.Error.IsZero)
        let mutable error = if carries then Array.zeroCreate data.Length else [||]

        for at in 0 .. data.Length - 1 do
            let left, right = lefts[at], sign * rights[at]
            let sum = left + right
            data[at] <- sum
            // Knuth's two-sum: what the addition lost, exactly (docs/bounds.md, lemma 8).
            let virtualRight = sum - left
            let lost = abs ((left - (sum - virtualRight)) + (right - virtualRight))

            if lost > 0.0 && error.Length = 0 then
                error <- Array.zeroCreate data.Length

            if error.Length > 0 then
                error[at] <- (a.Error.At at + b.Error.At at + lost) * (1.0 + Math.ScaleB(1.0, -50))

        {
            Value = Values.withData data a.Value
            Error = (if error.Length = 0 then Zero else Each error)
        }

    static member private Combine (a: Approx) (b: Approx) sign =
        if a.Value.Length <> b.Value.Length then
            invalidOp $"A law combined {a.Value.Length} elements with {b.Value.Length}."

        if a.IsBlank && b.IsBlank then a else Approx.Sum a b sign

    static member (+)(a: Approx, b: Approx) = Approx.Combine a b 1.0
    static member (-)(a: Approx, b: Approx) = Approx.Combine a b -1.0

    /// ·2^exponent, exact.
    static member ScaleB(a: Approx, exponent: int) =
        let scale = Array.map (fun (v: float) -> Math.ScaleB(v, exponent))

        if a.IsBlank then
            a
        else
            {
                Value = Values.withData (scale a.Value.Data) a.Value
                Error = Error.map scale a.Error
            }

    static member (~-)(a: Approx) =
        if a.IsBlank then
            a
        else
            { a with Value = Values.withData (Array.map (~-) a.Value.Data) a.Value }

namespace Conv.Properties

open System
open Conv.Properties.Judging

[<CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module internal Approx =
    let exact value = { Value = value; Error = Zero }

    /// An array whose element comes from the flat index `source` gives, or is zero for −1.
    let gather dims (source: int -> int -> int -> int -> int) (a: Approx) =
        let take = Values.gather dims source

        if a.IsBlank then
            exact (Values.blank dims)
        else
            {
                Value = Values.ofArray dims (take a.Value.Data)
                Error = Error.map take a.Error
            }

    /// All zeros.
    let zeros dims = exact (Values.blank dims)

    /// Values without errors: for what a law builds from numbers of its own.
    let init dims element = exact (Values.init dims element)

    /// Numbers in a row.
    let numbers (values: float list) = exact (Values.ofArray (1, 1, 1, values.Length) (Array.ofList values))

    /// A value at a place, zero elsewhere.
    let oneHot value dims place = init dims (fun i0 i1 i2 i3 -> if (i0, i1, i2, i3) = place then value else 0.0)

    let dims (a: Approx) = a.Value.D0, a.Value.D1, a.Value.D2, a.Value.D3

    /// Part of a dimension.
    let private slice dimension first count (a: Approx) =
        let d0, d1, d2, d3 = dims a
        let pick d i = if d = dimension then i + first else i
        let size d whole = if d = dimension then count else whole

        a
        |> gather (size 0 d0, size 1 d1, size 2 d2, size 3 d3) (fun i0 i1 i2 i3 -> a.Value.At(pick 0 i0, pick 1 i1, pick 2 i2, pick 3 i3))

    let images first count a = slice 0 first count a
    let channels first count a = slice 1 first count a

    /// Elements of the plane, by rows and columns.
    let cut (rows: Slice) (columns: Slice) (a: Approx) =
        let d0, d1, d2, d3 = dims a

        if rows = Slice.first d2 && columns = Slice.first d3 then
            a
        else
            a
            |> gather (d0, d1, rows.Count, columns.Count) (fun n c i j ->
                let h, w = rows.First + i * rows.Step, columns.First + j * columns.Step
                if h >= 0 && h < d2 && w >= 0 && w < d3 then a.Value.At(n, c, h, w) else -1)

    /// Zeros between the elements of the plane, so that they stand so far apart in rows and columns.
    let zeroStuff (rows, columns) (a: Approx) =
        let d0, d1, d2, d3 = dims a

        a
        |> gather (d0, d1, (d2 - 1) * rows + 1, (d3 - 1) * columns + 1) (fun n c i j ->
            if i % rows = 0 && j % columns = 0 then
                a.Value.At(n, c, i / rows, j / columns)
            else
                -1)

    let flip (a: Approx) =
        let _, _, h, w = dims a
        cut (Slice.reversed h) (Slice.reversed w) a

    let transpose (a: Approx) =
        let d0, d1, d2, d3 = dims a
        a |> gather (d0, d1, d3, d2) (fun n c i j -> a.Value.At(n, c, j, i))

    /// Element i of dimension 0 or 1 taken from `from i`.
    let permute dimension (count: int) (from: int -> int) (a: Approx) =
        let d0, d1, d2, d3 = dims a

        if dimension = 0 then
            a |> gather (count, d1, d2, d3) (fun n c i j -> a.Value.At(from n, c, i, j))
        else
            a |> gather (d0, count, d2, d3) (fun n c i j -> a.Value.At(n, from c, i, j))

    /// Elements of dimension 0 or 1 in another order within stretches of its length: the i-th of a stretch is the order's i-th.
    let permuteWithin dimension (order: int[]) (a: Approx) =
        let count = if dimension = 0 then a.Value.D0 else a.Value.D1

        a
        |> permute dimension count (fun at -> at / order.Length * order.Length + order[at % order.Length])

    /// Where a place is so, what stands there in the one, elsewhere what stands in the other; exact values of the same dimensions.
    let choose (holds: int -> int -> int -> int -> bool) (a: Approx) (other: Approx) =
        init (dims a) (fun i0 i1 i2 i3 ->
            if holds i0 i1 i2 i3 then
                a.Value[i0, i1, i2, i3]
            else
                other.Value[i0, i1, i2, i3])

    /// The same elements under other dimensions.
    let reshape dims (a: Approx) =
        if a.IsBlank then
            exact (Values.blank dims)
        else
            { a with Value = Values.ofArray dims a.Value.Data }

    /// max(element, 0): it moves no two numbers further apart, so errors stay what they are.
    let rectify (a: Approx) =
        if a.IsBlank then
            a
        else
            { a with Value = Values.withData (Array.map (max 0.0) a.Value.Data) a.Value }

    /// scale[c]·element in channel c; a product of two float32 is exact in double.
    let scaleChannels (scale: Approx) (a: Approx) =
        let plane = max 1 (a.Value.D2 * a.Value.D3)
        let factor at = scale.Value.Data[at / plane % max 1 a.Value.D1]

        if not scale.Error.IsZero then
            invalidOp "Channels are scaled by exact numbers."

        if a.IsBlank then
            a
        else
            {
                Value =
                    a.Value
                    |> Values.withData (a.Value.Data |> Array.mapi (fun at v -> factor at * v))
                Error =
                    a.Error
                    |> Error.map (Array.mapi (fun at e -> abs (factor at) * e * (1.0 + Math.ScaleB(1.0, -50))))
            }

    /// One number for each channel, at every place of a tensor with these dimensions.
    let spreadChannels (d0, d1, d2, d3) (a: Approx) = a |> gather (d0, d1, d2, d3) (fun _ c _ _ -> c)

    /// ⟨a, b⟩ = Σ a·b in double, exact where every product and partial sum is; else with γᵈ_n·Σ|a||b|: docs/bounds.md, lemma 16.
    let inner (a: Approx) (b: Approx) =
        if a.Value.Length <> b.Value.Length then
            invalidOp $"A law multiplied {a.Value.Length} elements with {b.Value.Length}."

        let left, right = (if a.IsBlank || b.IsBlank then [||], [||] else a.Value.Data, b.Value.Data)
        let mutable sum, absolute, carried = 0.0, 0.0, 0.0

        for at in 0 .. left.Length - 1 do
            let l, r = left[at], right[at]
            let el, er = a.Error.At at, b.Error.At at
            sum <- sum + l * r
            absolute <- absolute + abs l * abs r
            carried <- carried + el * abs r + abs l * er + el * er

        let gridL, gridR = Values.grid left, Values.grid right

        let exact =
            gridL = Int32.MaxValue
            || gridR = Int32.MaxValue
            || absolute <= Math.ScaleB(1.0, 52 + max -1074 (gridL + gridR))

        let n = float (left.Length + 1) * Math.ScaleB(1.0, -53)
        let own = if exact then 0.0 else n / (1.0 - n) * absolute
        let error = (own + carried) * (1.0 + Math.ScaleB(1.0, -20))

        {
            Value = Values.ofArray (1, 1, 1, 1) [| sum |]
            Error = if error = 0.0 then Zero else Each [| error |]
        }

    /// An array whose element comes from the given flat index of the given part.
    let assemble dims (parts: Approx[]) (source: int -> int -> int -> int -> struct (int * int)) =
        let pick (read: Approx -> int -> float) =
            (Values.init dims (fun i0 i1 i2 i3 ->
                let struct (part, at) = source i0 i1 i2 i3
                read parts[part] at))
                .Data

        if parts |> Array.forall _.IsBlank then
            exact (Values.blank dims)
        else
            {
                Value = Values.ofArray dims (pick (fun part at -> part.Value.Data[at]))
                Error =
                    (if parts |> Array.forall _.Error.IsZero then
                         Zero
                     else
                         Each(pick (fun part at -> part.Error.At at)))
            }

    /// Arrays behind each other along dimension 0 or 1.
    let concat dimension (parts: Approx list) =
        let first = List.head parts
        let lengths = parts |> List.map (fun p -> if dimension = 0 then p.Value.D0 else p.Value.D1)

        let owner =
            [|
                for index, length in List.indexed lengths do
                    for at in 0 .. length - 1 -> struct (index, at)
            |]

        let parts = Array.ofList parts
        let _, d1, d2, d3 = dims first

        let whole =
            if dimension = 0 then
                owner.Length, d1, d2, d3
            else
                first.Value.D0, owner.Length, d2, d3

        assemble whole parts (fun n c i j ->
            let struct (part, at) = owner[if dimension = 0 then n else c]
            let value = parts[part].Value
            struct (part, (if dimension = 0 then value.At(at, c, i, j) else value.At(n, at, i, j))))
