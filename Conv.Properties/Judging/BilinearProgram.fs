namespace Conv.Properties

open System
open System.Numerics
open System.Runtime.CompilerServices
open Conv

/// What the kit derives from a declared bilinear algorithm: whether it computes the correlation at all, the roundings that it collects,
/// its program on absolute values, and the grid on which it is exact. docs/bounds.md, lemmas 4 and 5.
[<Sealed; AllowNullLiteral>]
type internal BilinearProgram private (algorithm: Bilinear) =
    static let cache = ConditionalWeakTable<Bilinear, BilinearProgram>()
    static let entries (m: RationalMatrix) = Array2D.init m.Rows m.Columns (fun row column -> m[row, column])
    static let absolute (m: Rational[,]) = m |> Array2D.map (fun q -> Rational.Abs(q).ToDouble())
    static let rows (m: 'a[,]) = [| for row in 0 .. m.GetLength 0 - 1 -> m[row, *] |]

    /// The exponent of 2 in a whole number that is not zero.
    static let twos (number: BigInteger) = int (BigInteger.TrailingZeroCount(BigInteger.Abs number))
    /// The 2-adic order: 2^order divides the number.
    static let order (q: Rational) = twos q.Numerator - twos q.Denominator
    static let oddPart (number: BigInteger) = number >>> twos number
    static let isDyadic (q: Rational) = q.IsZero || (oddPart q.Denominator).IsOne

    static let fitsSingle (q: Rational) =
        isDyadic q
        && (q.IsZero || oddPart (BigInteger.Abs q.Numerator) <= BigInteger.Pow(2, 24))

    /// |fl(q) − q| ≤ 2⁻²⁵·|q|, over ℚ.
    static let nearlySingle (q: Rational) =
        q.IsZero
        || (let rounded = float32 (q.ToDouble())
            let bits = BitConverter.DoubleToInt64Bits(float rounded)

            let significand =
                BigInteger((bits &&& 0xFFFFFFFFFFFFFL) ||| 0x10000000000000L)
                * BigInteger(sign rounded)

            let exponent = (int (bits >>> 52) &&& 0x7FF) - 1075

            let value =
                if exponent >= 0 then
                    Rational(significand * BigInteger.Pow(2, exponent), 1)
                else
                    Rational(significand, BigInteger.Pow(2, -exponent))

            let error = Rational.Abs(value - q) / Rational.Abs q
            error.Numerator * BigInteger.Pow(2, 25) <= error.Denominator)

    static let most (m: Rational[,]) =
        rows m
        |> Array.map (Array.filter (fun q -> not q.IsZero) >> Array.length)
        |> Array.max

    let a = entries algorithm.OutputTransform
    let b = entries algorithm.InputTransform
    let g = entries algorithm.KernelTransform
    let m, r, alpha = a.GetLength 0, g.GetLength 1, g.GetLength 0

    let wellFormed =
        a.GetLength 1 = alpha
        && b.GetLength 0 = alpha
        && b.GetLength 1 = alpha
        && alpha = m + r - 1

    /// Σ_t Aᵀ[i,t]·G[t,u]·Bᵀ[t,j] − [j = i + u] over ℚ, for every i, u, j: zeros where the matrices compute a correlation.
    let residuals (a: Rational[,]) (b: Rational[,]) (g: Rational[,]) =
        seq {
            for i in 0 .. m - 1 do
                for u in 0 .. r - 1 do
                    for j in 0 .. alpha - 1 do
                        let mutable sum = if j = i + u then Rational.Zero - Rational.One else Rational.Zero

                        for t in 0 .. alpha - 1 do
                            sum <- sum + a[i, t] * g[t, u] * b[t, j]

                        sum
        }

    let computesCorrelation = wellFormed && residuals a b g |> Seq.forall _.IsZero

    /// The one entry, and what it ought to be, with which the matrices would compute a correlation; none where more than one is wrong.
    let wrongEntry () =
        let before = residuals a b g |> Array.ofSeq

        // Every residual is linear in a single entry.
        let repaired (matrix: Rational[,]) row column =
            let own = matrix[row, column]
            matrix[row, column] <- own + Rational.One

            let slopes =
                residuals a b g
                |> Seq.map2 (fun before after -> after - before) before
                |> Array.ofSeq

            matrix[row, column] <- own

            match slopes |> Array.tryFindIndex (fun slope -> not slope.IsZero) with
            | None -> None
            | Some at ->
                let change = before[at] / slopes[at]

                if Array.forall2 (fun before slope -> before = slope * change) before slopes then
                    Some(own, own - change)
                else
                    None

        seq {
            for name, matrix in [ "A", a; "B", b; "G", g ] do
                for row in 0 .. matrix.GetLength 0 - 1 do
                    for column in 0 .. matrix.GetLength 1 - 1 do
                        match repaired matrix row column with
                        | Some(own, right) -> $"{name}[{row},{column}] is {own}, with {right} they would"
                        | None -> ()
        }
        |> Seq.tryHead

    let coefficientRoundings (matrix: Rational[,]) = if matrix |> Seq.cast<Rational> |> Seq.forall fitsSingle then 1 else 2

    /// 2q_A + 2q_G + 2q_B.
    let transformRoundings =
        let qa = most a + coefficientRoundings a
        let qb = most b + coefficientRoundings b
        2 * qa + 2 * (most g + 2) + 2 * qb

    let odd =
        g
        |> Seq.cast<Rational>
        |> Seq.fold
            (fun (lcm: BigInteger) q ->
                let d = oddPart q.Denominator
                lcm * d / BigInteger.GreatestCommonDivisor(lcm, d))
            BigInteger.One

    let hasExactGrid =
        computesCorrelation
        && odd * odd < BigInteger.Pow(2, 24)
        // A product that is not rounded by itself keeps the error of a rounded coefficient.
        && (algorithm.RoundsKernelProducts || odd.IsOne)
        && Seq.forall fitsSingle (Seq.append (Seq.cast<Rational> a) (Seq.cast<Rational> b))
        && Seq.forall nearlySingle (Seq.cast<Rational> g)

    let nonZero = Array.filter (fun (q: Rational) -> not q.IsZero)
    /// σ_t and β_t: row t of G·w is a multiple of 2^σ_t where w is a multiple of the odd part, row t of Bᵀ·d one of 2^β_t.
    let kernelOrder = rows g |> Array.map (nonZero >> Array.map order >> Array.min)
    let inputOrder = rows b |> Array.map (nonZero >> Array.map order >> Array.min)

    /// ρ_i: output i of a tile is a multiple of 2^ρ_i; never coarser than the products' own grid, on which the bias lies.
    let outputOrder =
        [|
            for i in 0 .. m - 1 ->
                Seq.min
                    [
                        0
                        for t in 0 .. alpha - 1 do
                            if not a[i, t].IsZero then
                                order a[i, t] + inputOrder[t] + kernelOrder[t]
                    ]
        |]

    let absA, absB, absG = absolute a, absolute b, absolute g

    /// The exponent of the finest grid of a matrix's entries as floats, at most 0; the greatest sum of a row, at least 1.
    let finest (matrix: Rational[,]) =
        matrix
        |> Seq.cast<Rational>
        |> Seq.map (fun q -> float (float32 (q.ToDouble())))
        |> Array.ofSeq
        |> Values.grid
        |> min 0

    let growth (matrix: float[,]) = rows matrix |> Array.map Array.sum |> Array.max |> max 1.0
    let finestA, finestB, finestG = finest a, finest b, finest g
    let growthA, growthB, growthG = growth absA, growth absB, growth absG

    /// Lemma 4 asks for entries of at least 2⁻²⁰.
    let entriesInRange =
        Seq.concat [ Seq.cast<float> absA; Seq.cast<float> absB; Seq.cast<float> absG ]
        |> Seq.forall (fun entry -> entry = 0.0 || entry >= Math.ScaleB(1.0, -20))

    /// Whether every intermediate value on these operands is a multiple of a power of two.
    let liesOn lowest (x: float[]) (k: float[]) =
        let along grid finest = if grid = Int32.MaxValue then 0 else grid + 2 * finest
        let kernel, input = along (Values.grid k) finestG, along (Values.grid x) finestB
        min kernel (min input (kernel + input + 2 * finestA)) >= lowest

    let nonZeros (matrix: float[,]) = rows matrix |> Array.map (Array.filter ((<>) 0.0) >> Array.length) |> Array.max

    /// The rows of a matrix on absolute values as (column, entry) pairs of what is not zero.
    let sparse (matrix: float[,]) =
        rows matrix
        |> Array.map (fun row ->
            [|
                for at, entry in Array.indexed row do
                    if entry <> 0.0 then
                        struct (at, entry)
            |])

    let sparseA, sparseB, sparseG = sparse absA, sparse absB, sparse absG

    /// full[at…] = left · v · leftᵀ of a square v of the given width, through `half`.
    let sandwich (left: struct (int * float)[][]) (v: float[]) (from: int) width (half: float[]) (full: float[]) (at: int) =
        let height = left.Length

        for t in 0 .. height - 1 do
            let row = left[t]

            for j in 0 .. width - 1 do
                let mutable sum = 0.0

                for struct (i, entry) in row do
                    sum <- sum + entry * v[from + i * width + j]

                half[t * width + j] <- sum

        for t in 0 .. height - 1 do
            for t' in 0 .. height - 1 do
                let mutable sum = 0.0

                for struct (j, entry) in left[t'] do
                    sum <- sum + entry * half[t * width + j]

                full[at + t * height + t'] <- sum

    /// The program on absolute values, the largest over all tile phases, times weight[i·m + i'] at position (i, i') of the tile.
    /// Tiles that begin in the same row are taken together: every array below ends in their index, from column 1 − m on, and behind the last
    /// tile it is filled up to whole vectors.
    /// `onInput` sees the transformed tiles of all channels of a group, as α×α×C/G×tiles: a sum over the channels reads what lies together.
    let run (s: ConvShape) (x: float[]) (k: float[]) (weight: float[]) (onInput: float[] -> unit) =
        let cg, og = s.InChannelsPerGroup, s.OutChannelsPerGroup
        let result = Array.zeroCreate (int s.OutputLength)
        let absX, absK = Array.map abs x, Array.map abs k
        let taps, area = r * r, alpha * alpha
        let tiles = Values.wholeVectors (s.Columns.Outputs + m - 1)
        let columns = tiles + alpha - 1

        // Of each output channel and position of the transformed tile, the terms over the channels.
        let kernels = Array.init (s.OutChannels * area) (fun _ -> Array.zeroCreate cg)
        let kernelHalf, kernel = Array.zeroCreate area, Array.zeroCreate area

        for o in 0 .. s.OutChannels - 1 do
            for c in 0 .. cg - 1 do
                sandwich sparseG absK ((o * cg + c) * taps) r kernelHalf kernel 0

                for t in 0 .. area - 1 do
                    kernels[o * area + t][c] <- struct (c, kernel[t])

        let inputHalf = Array.zeroCreate (alpha * columns)
        let inputs = Array.zeroCreate (cg * area * tiles)
        let sum = Array.zeroCreate (area * tiles)
        let outputHalf = Array.zeroCreate (m * alpha * tiles)
        let y = Array.zeroCreate (m * m * tiles)

        /// inputs[t, t', c] = (|Bᵀ||d_c||B|)[t, t'] of the tiles that begin in row i0.
        let transformInput plane i0 c =
            Array.Clear inputHalf

            for t in 0 .. alpha - 1 do
                for struct (i, entry) in sparseB[t] do
                    let h = i0 + i - s.Rows.Before

                    if h >= 0 && h < s.Rows.Size then
                        let row = (plane * s.Rows.Size + h) * s.Columns.Size
                        Values.addScaled entry absX row inputHalf (t * columns + m - 1 + s.Columns.Before) s.Columns.Size

            for t in 0 .. alpha - 1 do
                for t' in 0 .. alpha - 1 do
                    Values.combine sparseB[t'] inputHalf (t * columns) 1 inputs (((t * alpha + t') * cg + c) * tiles) tiles

        /// y[i, i'] = (|Aᵀ|·sum·|A|)[i, i'].
        let transformSum () =
            for i in 0 .. m - 1 do
                Values.combine sparseA[i] sum 0 (alpha * tiles) outputHalf (i * alpha * tiles) (alpha * tiles)

                for i' in 0 .. m - 1 do
                    Values.combine sparseA[i'] outputHalf (i * alpha * tiles) tiles y ((i * m + i') * tiles) tiles

        for n in 0 .. s.Batch - 1 do
            for group in 0 .. s.Groups - 1 do
                for i0 in 1 - m .. s.Rows.Outputs - 1 do
                    for c in 0 .. cg - 1 do
                        transformInput (n * s.InChannels + group * cg + c) i0 c

                    onInput inputs

                    for o in group * og .. group * og + og - 1 do
                        for t in 0 .. area - 1 do
                            Values.combine kernels[o * area + t] inputs (t * cg * tiles) tiles sum (t * tiles) tiles

                        transformSum ()

                        for i in max 0 -i0 .. min (m - 1) (s.Rows.Outputs - 1 - i0) do
                            let row = ((n * s.OutChannels + o) * s.Rows.Outputs + i0 + i) * s.Columns.Outputs

                            for i' in 0 .. m - 1 do
                                let first = (i * m + i') * tiles + m - 1 - i'

                                for j in 0 .. s.Columns.Outputs - 1 do
                                    result[row + j] <- max result[row + j] (y[first + j] * weight[i * m + i'])

        result

    /// κ of Amplification: the worst row sums over their grids, times Q² for kernels that are multiples of it.
    let amplification =
        let along (matrix: float[,]) = rows matrix |> Array.map Array.sum
        let kernel, input = along absG, along absB
        let unit (order: int) = Math.ScaleB(1.0, -order)

        let final =
            Seq.max
                [
                    for i in 0 .. m - 1 ->
                        unit outputOrder[i]
                        * Seq.sum [ for t in 0 .. alpha - 1 -> absA[i, t] * kernel[t] * input[t] ]
                ]

        let transforms =
            Seq.max
                [
                    for t in 0 .. alpha - 1 -> max (kernel[t] * unit kernelOrder[t] * float odd) (input[t] * unit inputOrder[t])
                ]

        let worst = max 1.0 (max final transforms)
        float (odd * odd) * worst * worst

    /// Channels of the busiest group in which neither the input nor the kernel is all zero.
    let liveChannels (s: ConvShape) (x: float[]) (k: float[]) =
        let cg, og = s.InChannelsPerGroup, s.OutChannelsPerGroup
        let plane, taps = int s.InputPlane, r * r
        let any (data: float[]) first count = Seq.exists (fun at -> data[at] <> 0.0) (seq { first .. first + count - 1 })

        let live group c =
            Seq.exists (fun n -> any x ((n * s.InChannels + group * cg + c) * plane) plane) (seq { 0 .. s.Batch - 1 })
            && Seq.exists (fun o -> any k ((o * cg + c) * taps) taps) (seq { group * og .. group * og + og - 1 })

        Seq.max (seq { for group in 0 .. s.Groups - 1 -> Seq.length (Seq.filter (live group) (seq { 0 .. cg - 1 })) })

    /// The derived program of a declared algorithm, computed once for each declaration.
    static member Of(algorithm: Bilinear) = cache.GetValue(algorithm, fun declared -> BilinearProgram declared)

    /// m, outputs of a tile in one dimension.
    member _.Tile = m

    /// r, taps in one dimension.
    member _.Taps = r

    /// Whether the algorithm computes convolutions of this shape.
    member _.Fits(s: ConvShape) = s |> Axes.forall (fun a -> a.Taps = r && a.Stride = 1 && a.Dilation = 1)

    /// Whether the matrices compute the correlation, over ℚ. Nothing else here means anything where they do not.
    member _.ComputesCorrelation = computesCorrelation

    /// What is wrong with matrices that do not: their sizes, the one entry, or that there are more.
    member _.Mistake =
        let size (matrix: Rational[,]) = $"{matrix.GetLength 0}×{matrix.GetLength 1}"

        if computesCorrelation then
            None
        elif not wellFormed then
            Some $"A is {size a}, B {size b} and G {size g}: F(m, r) has A of m×(m+r−1), B of (m+r−1)×(m+r−1) and G of (m+r−1)×r"
        else
            wrongEntry () |> Option.defaultValue "more than one entry is wrong" |> Some

    /// K of lemma 4 for a sum over the given channels, without bias: 2q_A + 2q_G + 2q_B + C.
    member _.Roundings(channels: int) = transformRoundings + channels

    /// |Aᵀ|[Σ_c (|G||g_c||Gᵀ|) ⊙ (|Bᵀ||d_c||B|)]|A| for each output, the largest over tile phases.
    member _.Absolute(s: ConvShape, x: float[], k: float[]) = run s x k (Array.create (m * m) 1.0) ignore

    /// The conditions of lemma 4 on these operands but for underflow: no intermediate value can overflow, by the worst row sums, each
    /// with the roundings that γ_K stands for.
    member _.IsInRange(s: ConvShape, x: float[], k: float[], gamma: float) =
        let most data growth = Values.magnitude data * growth * growth
        let largest = float Single.MaxValue / (1.0 + gamma) / (1.0 + Math.ScaleB(1.0, -20))

        entriesInRange
        && most k growthG < largest
        && most x growthB < largest
        && most x growthB * most k growthG * growthA * growthA * float s.InChannelsPerGroup < largest

    /// Υ of lemma 4, the same for all outputs: what roundings to multiples of 2⁻¹⁴⁹ add at most, by the worst row sums. 0 where every
    /// intermediate value lies on a grid that float32 holds near zero.
    member _.Underflow(s: ConvShape, x: float[], k: float[]) =
        if liesOn -149 x k then
            0.0
        else
            let ulp = Math.ScaleB(1.0, -149)
            // A pass adds one for each entry of a row, and multiplies by a row's sum what was lost before.
            let twice (entries: float[,]) growth = float (nonZeros entries) * ulp * (growth + 1.0)
            let ofKernel, ofInput = twice absG growthG, twice absB growthB
            let kernel, input = Values.magnitude k * growthG * growthG, Values.magnitude x * growthB * growthB
            let products = input * ofKernel + kernel * ofInput + ofKernel * ofInput + ulp

            growthA * growthA * float (max 1 s.InChannelsPerGroup) * products
            + twice absA growthA

    /// Whether no intermediate value on these operands is subnormal: they are multiples of 2⁻¹²⁶.
    member _.StaysNormal(x: float[], k: float[]) = liesOn -126 x k

    /// From which rows of the padded input, before and behind output i, a NaN may reach it, wherever tiles begin: i + least to i + most. As
    /// the entries that are not zero connect them, or, where zero entries may be multiplied, the whole tile (docs/bounds.md, lemma 17).
    member _.Reach =
        if algorithm.SkipsZeroEntries then
            let distances =
                [
                    for i in 0 .. m - 1 do
                        for t in 0 .. alpha - 1 do
                            for j in 0 .. alpha - 1 do
                                if not (a[i, t].IsZero || b[t, j].IsZero) then
                                    j - i
                ]

            struct (List.min distances, List.max distances)
        else
            struct (1 - m, alpha - 1)

    /// Whether a NaN stays in its receptive field.
    member p.KeepsLocal = p.Reach = struct (0, r - 1)

    /// Whether the algorithm has an exact tier in float32 at all.
    member _.HasExactGrid = hasExactGrid

    /// Q²: kernels on this multiple of a power of two keep G's odd denominators exact.
    member _.KernelStep = int (odd * odd)

    /// κ with κ·t·D·C ≤ 2²⁴ sufficient for exactness, for kernels |g| ≤ Q²·t and inputs |d| ≤ D on integers and C live channels.
    member _.Amplification = amplification

    /// Whether every intermediate value that reaches an output is representable for these operands, on grids from 2^smallest on: the
    /// checklist of lemma 5.
    member _.IsExact(s: ConvShape, x: float[], k: float[], bias: float[], smallest: int) =
        let none = Int32.MaxValue
        let gridX, gridK, gridBias = Values.grid x, Values.grid k, Values.grid bias

        if gridX = none || gridK = none then
            // All products are products with zero: what remains is the bias.
            Values.magnitude x < 1e30 && Values.magnitude k < 1e30
        elif not hasExactGrid then
            false
        else
            // Where Q > 1 double rounds multiples of 1/Q², and the checks are inflated for it.
            let limit = Math.ScaleB(1.0, 24) / (if odd.IsOne then 1.0 else 1.0 + Math.ScaleB(1.0, -20))
            // A grid may always be taken finer than it is: so that the bias lies on it too.
            let gridX = if gridBias = none then gridX else min gridX (gridBias - gridK)

            let gridY = gridX + gridK
            let step = float (odd * odd)
            let low, high = Array.min, Array.max
            let lowest = gridY + 2 * low outputOrder
            let finest = Math.ScaleB(1.0, -lowest)

            let onStep =
                odd.IsOne
                || k
                   |> Array.forall (fun w -> Math.IEEERemainder(Math.ScaleB(w, -gridK), step) = 0.0)

            let products = Array.map2 (+) kernelOrder inputOrder

            let exponents =
                [
                    for order in [ low; high ] do
                        for grid, orders in [ gridK, kernelOrder; gridX, inputOrder; gridY, products; gridY, outputOrder ] do
                            grid + min 0 (order orders)
                            grid + 2 * order orders
                ]

            if not onStep || List.min exponents < smallest || List.max exponents > 103 then
                false
            else
                // First the worst case by row sums, which the generator's fills meet; then the operands themselves.
                let units grid data = Math.ScaleB(Values.magnitude data, -grid)

                let worst =
                    amplification / step
                    * units gridK k
                    * units gridX x
                    // Input and kernel in different channels are transformed all the same.
                    * float (max 1 (liveChannels s x k))

                worst + Values.magnitude bias * finest <= limit
                || (let plane = max 1 (int s.OutputPlane)
                    let taps = r * r
                    let absK = Array.map abs k
                    let half, full = Array.zeroCreate (alpha * r), Array.zeroCreate (alpha * alpha)

                    // (T12): one check for both passes, in either order.
                    let kernelFits at =
                        sandwich sparseG absK (at * taps) r half full 0

                        full
                        |> Array.mapi (fun at sum ->
                            sum
                            <= Math.ScaleB(limit / step, gridK + kernelOrder[at / alpha] + kernelOrder[at % alpha]))
                        |> Array.forall id

                    let mutable inputFits = true

                    let own = s.Columns.Outputs + m - 1
                    let tiles = Values.wholeVectors own

                    let onInput (inputs: float[]) =
                        for at in 0 .. inputs.Length - 1 do
                            let point = at / (tiles * s.InChannelsPerGroup)
                            let t, t' = point / alpha, point % alpha

                            if
                                at % tiles < own
                                && inputs[at] > Math.ScaleB(limit, gridX + inputOrder[t] + inputOrder[t'])
                            then
                                inputFits <- false

                    let units =
                        Array.init (m * m) (fun at -> Math.ScaleB(1.0, -gridY - outputOrder[at / m] - outputOrder[at % m]))

                    Seq.forall kernelFits (seq { 0 .. k.Length / taps - 1 })
                    && run s x k units onInput
                       |> Array.mapi (fun at sum ->
                           // The phase is unknown: the bias is counted in the finest unit of them all.
                           sum
                           + (if bias.Length = 0 then 0.0 else abs bias[at / plane % s.OutChannels] * finest)
                           <= limit)
                       |> Array.forall id
                    && inputFits)
