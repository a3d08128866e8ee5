/// Correct convolutions that sum differently: what any order, fusing, a wider accumulator, or tiles that begin elsewhere may do. No law
/// may accuse one of them; a law that does is wrong.
module internal Conv.Properties.Variants

open System
open Conv

/// The terms of one output element, those that meet the image, in the order of the definition.
[<NoEquality; NoComparison>]
type private Terms = { X: float32[]; K: float32[]; mutable Count: int }

/// A convolution whose every output is `total terms bias`, the bias 0 where there is none.
let private ofTerms (total: Terms -> float32 -> float32) (s: ConvShape) (x: float32[]) (k: float32[]) (b: float32[]) =
    let most = int s.TermsPerOutput
    let terms = { X = Array.zeroCreate most; K = Array.zeroCreate most; Count = 0 }
    let cg = s.InChannelsPerGroup
    let y = Array.zeroCreate (int s.OutputLength)
    let mutable at = 0

    for n in 0 .. s.Batch - 1 do
        for o in 0 .. s.OutChannels - 1 do
            let first = n * s.InChannels + o / s.OutChannelsPerGroup * cg

            for i in 0 .. s.Rows.Outputs - 1 do
                for j in 0 .. s.Columns.Outputs - 1 do
                    terms.Count <- 0

                    for c in 0 .. cg - 1 do
                        for u in 0 .. s.Rows.Taps - 1 do
                            let h = i * s.Rows.Stride + u * s.Rows.Dilation - s.Rows.Before

                            if h >= 0 && h < s.Rows.Size then
                                for v in 0 .. s.Columns.Taps - 1 do
                                    let w = j * s.Columns.Stride + v * s.Columns.Dilation - s.Columns.Before

                                    if w >= 0 && w < s.Columns.Size then
                                        terms.X[terms.Count] <- x[((first + c) * s.Rows.Size + h) * s.Columns.Size + w]
                                        terms.K[terms.Count] <- k[((o * cg + c) * s.Rows.Taps + u) * s.Columns.Taps + v]
                                        terms.Count <- terms.Count + 1

                    y[at] <- total terms (if b.Length = 0 then 0f else b[o])
                    at <- at + 1

    y

let private reversed (t: Terms) bias =
    let mutable sum = 0f

    for at in t.Count - 1 .. -1 .. 0 do
        sum <- sum + t.X[at] * t.K[at]

    sum + bias

let private pairwise (t: Terms) bias =
    let rec tree first count =
        if count = 1 then
            t.X[first] * t.K[first]
        else
            let half = count / 2
            tree first half + tree (first + half) (count - half)

    if t.Count = 0 then bias else tree 0 t.Count + bias

let private fused (t: Terms) bias =
    let mutable sum = 0f

    for at in 0 .. t.Count - 1 do
        sum <- MathF.FusedMultiplyAdd(t.X[at], t.K[at], sum)

    sum + bias

let private wide (t: Terms) (bias: float32) =
    let mutable sum = float bias

    for at in 0 .. t.Count - 1 do
        sum <- sum + float t.X[at] * float t.K[at]

    float32 sum

/// The bias, then partial sums of eight terms.
let private blocked (t: Terms) bias =
    let mutable sum = bias

    for first in 0..8 .. t.Count - 1 do
        let mutable part = 0f

        for at in first .. min t.Count (first + 8) - 1 do
            part <- part + t.X[at] * t.K[at]

        sum <- sum + part

    sum

let private biasFirst (t: Terms) bias =
    let mutable sum = bias

    for at in 0 .. t.Count - 1 do
        sum <- sum + t.X[at] * t.K[at]

    sum

/// A convolution whose every output is a function of its terms that meet the image (x, k and how many) and of its bias, 0 where there is none.
let direct (total: float32[] -> float32[] -> int -> float32 -> float32) = ofTerms (fun t bias -> total t.X t.K t.Count bias)

/// Summed from the last term to the first.
let ofReversed: ConvShape -> float32[] -> float32[] -> float32[] -> float32[] = ofTerms reversed

let private reproducible = { Profile.Plain with Traits = Traits(Deterministic = true) }

/// Of any order: a tree that does not depend on the data.
let anyOrder: Subject list =
    [
        "variant:reversed", reversed
        "variant:pairwise", pairwise
        "variant:fma", fused
        "variant:double", wide
        "variant:blocked", blocked
        "variant:bias-first", biasFirst
    ]
    |> List.map (fun (name, total) -> Subject.forward name reproducible (ofTerms total))

/// A library that sums as many partial sums as its environment grants it threads, one after the other.
let private granted: Subject =
    let parts count (t: Terms) bias =
        let mutable sum = bias

        for part in 0 .. count - 1 do
            let mutable partial = 0f

            for at in t.Count * part / count .. t.Count * (part + 1) / count - 1 do
                partial <- partial + t.X[at] * t.K[at]

            sum <- sum + partial

        sum

    let under threads = Subject.forward "variant:partial-sums-by-threads" reproducible (ofTerms (parts threads))
    let usual = under 2

    { usual with
        Profile =
            { usual.Profile with
                Capabilities = usual.Profile.Capabilities.Add ThreadSettings
            }
        Granted = under
    }

/// One-dimensional transforms, from `from` at steps of `step` in the first array to the same in the second: Lavin & Gray's, the partial
/// sums shared between rows and common factors pulled out.
[<NoEquality; NoComparison>]
type private Transforms =
    {
        Outputs: int
        Kernel: float32[] -> int -> int -> float32[] -> int -> int -> unit
        Input: float32[] -> int -> int -> float32[] -> int -> int -> unit
        Output: float32[] -> int -> int -> float32[] -> int -> int -> unit
    }

let private f2x3 =
    {
        Outputs = 2
        Kernel =
            fun g at by u from step ->
                let outer = g[at] + g[at + 2 * by]
                u[from] <- g[at]
                u[from + step] <- (outer + g[at + by]) * 0.5f
                u[from + 2 * step] <- (outer - g[at + by]) * 0.5f
                u[from + 3 * step] <- g[at + 2 * by]
        Input =
            fun d at by v from step ->
                v[from] <- d[at] - d[at + 2 * by]
                v[from + step] <- d[at + by] + d[at + 2 * by]
                v[from + 2 * step] <- d[at + 2 * by] - d[at + by]
                v[from + 3 * step] <- d[at + by] - d[at + 3 * by]
        Output =
            fun p at by y from step ->
                y[from] <- p[at] + p[at + by] + p[at + 2 * by]
                y[from + step] <- p[at + by] - p[at + 2 * by] - p[at + 3 * by]
    }

let private f4x3 =
    let sixth, twentyFourth = 1f / 6f, 1f / 24f

    {
        Outputs = 4
        Kernel =
            fun g at by u from step ->
                let outer, spread = g[at] + g[at + 2 * by], g[at] + 4f * g[at + 2 * by]
                u[from] <- g[at] * 0.25f
                u[from + step] <- -sixth * (outer + g[at + by])
                u[from + 2 * step] <- -sixth * (outer - g[at + by])
                u[from + 3 * step] <- twentyFourth * (spread + 2f * g[at + by])
                u[from + 4 * step] <- twentyFourth * (spread - 2f * g[at + by])
                u[from + 5 * step] <- g[at + 2 * by]
        Input =
            fun d at by v from step ->
                let d0, d1, d2 = d[at], d[at + by], d[at + 2 * by]
                let d3, d4, d5 = d[at + 3 * by], d[at + 4 * by], d[at + 5 * by]
                let even, odd = d4 - 4f * d2, d3 - 4f * d1
                let even', odd' = d4 - d2, 2f * (d3 - d1)
                v[from] <- 4f * d0 - 5f * d2 + d4
                v[from + step] <- even + odd
                v[from + 2 * step] <- even - odd
                v[from + 3 * step] <- even' + odd'
                v[from + 4 * step] <- even' - odd'
                v[from + 5 * step] <- 4f * d1 - 5f * d3 + d5
        Output =
            fun p at by y from step ->
                let sum, difference = p[at + by] + p[at + 2 * by], p[at + by] - p[at + 2 * by]
                let sum', difference' = p[at + 3 * by] + p[at + 4 * by], p[at + 3 * by] - p[at + 4 * by]
                y[from] <- p[at] + sum + sum'
                y[from + step] <- difference + 2f * difference'
                y[from + 2 * step] <- sum + 4f * sum'
                y[from + 3 * step] <- difference + 8f * difference' + p[at + 5 * by]
    }

/// Both passes over a square, along the rows first.
let private twice transform size size' (square: float32[]) (half: float32[]) (result: float32[]) =
    for row in 0 .. size - 1 do
        transform square (row * size) 1 half (row * size') 1

    for column in 0 .. size' - 1 do
        transform half column size' result column size'

/// Tiles begin at output (−1, −1), and the sum over channels is fused.
let private tiled (t: Transforms) (s: ConvShape) (x: float32[]) (k: float32[]) (b: float32[]) =
    let m = t.Outputs
    let size = m + 2
    let area = size * size
    let cg, og = s.InChannelsPerGroup, s.OutChannelsPerGroup
    let y = Array.zeroCreate (int s.OutputLength)
    let half, whole = Array.zeroCreate area, Array.zeroCreate area
    let taps, window, outputs = Array.zeroCreate 9, Array.zeroCreate area, Array.zeroCreate (m * m)
    let kernels = Array.zeroCreate (s.OutChannels * cg * area)
    let inputs = Array.zeroCreate (cg * area)

    for at in 0 .. s.OutChannels * cg - 1 do
        Array.blit k (at * 9) taps 0 9
        twice t.Kernel 3 size taps half whole
        Array.blit whole 0 kernels (at * area) area

    for n in 0 .. s.Batch - 1 do
        for group in 0 .. s.Groups - 1 do
            for top in -1 .. m .. s.Rows.Outputs - 1 do
                for left in -1 .. m .. s.Columns.Outputs - 1 do
                    for c in 0 .. cg - 1 do
                        let plane = (n * s.InChannels + group * cg + c) * s.Rows.Size

                        for at in 0 .. area - 1 do
                            let h, w = top + at / size - s.Rows.Before, left + at % size - s.Columns.Before
                            let inside = h >= 0 && h < s.Rows.Size && w >= 0 && w < s.Columns.Size
                            window[at] <- if inside then x[(plane + h) * s.Columns.Size + w] else 0f

                        twice t.Input size size window half whole
                        Array.blit whole 0 inputs (c * area) area

                    for o in group * og .. group * og + og - 1 do
                        Array.Clear whole

                        for c in 0 .. cg - 1 do
                            for at in 0 .. area - 1 do
                                whole[at] <- MathF.FusedMultiplyAdd(kernels[(o * cg + c) * area + at], inputs[c * area + at], whole[at])

                        twice t.Output size m whole half outputs

                        for at in 0 .. m * m - 1 do
                            let i, j = top + at / m, left + at % m

                            if i >= 0 && i < s.Rows.Outputs && j >= 0 && j < s.Columns.Outputs then
                                y[((n * s.OutChannels + o) * s.Rows.Outputs + i) * s.Columns.Outputs + j] <-
                                    outputs[at] + (if b.Length = 0 then 0f else b[o])

    y

/// Bilinear, with the matrices that the implementation of the same F(m, 3) declares: the signs of rows differ, their magnitudes do not.
let bilinear: Subject list =
    [ "winograd-f2x3", f2x3; "winograd-f4x3", f4x3 ]
    |> List.map (fun (name, transforms) ->
        let declared = Ours.implementations |> List.find (fun subject -> subject.Name = name)
        let own = declared.Profile.Traits

        let traits =
            Traits(
                Deterministic = true,
                FusedMultiplyAdd = true,
                KernelSizes = own.KernelSizes,
                Strides = own.Strides,
                Dilations = own.Dilations
            )

        Subject.forward $"variant:{name}-shifted" { declared.Profile with Traits = traits } (tiled transforms))

let all: Subject list = anyOrder @ granted :: bilinear
