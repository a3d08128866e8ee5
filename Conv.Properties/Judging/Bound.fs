/// How far a correct subject may be from the exact result: theorems, no tolerances. Every number here is a lemma of docs/bounds.md.
module Conv.Properties.Bound

open System
open Conv
open Conv.Properties.Roundoff

let private largest = float Single.MaxValue
let private absolute (data: float[]) = Array.map abs data

/// b[o] spread over the output, 0 without a bias.
let biasOf (s: ConvShape) (bias: float[]) =
    let plane = max 1 (s.OutHeight * s.OutWidth)
    fun at -> if bias.Length = 0 then 0.0 else bias[at / plane % s.OutChannels]

/// S + |b| for each element of a result, |s|·(S + |b|) + |t| where it is fused: the operation on absolute values.
let absoluteSum operation (s: ConvShape) (x: float[]) (k: float[]) (bias: float[]) =
    Oracle.complete operation s (absolute x) (absolute k) (absolute bias)

/// What flushing subnormals may add: each operand and each result may lose 2⁻¹²⁶.
let private flushed operation (s: ConvShape) (x: float[]) (k: float[]) =
    let terms = Operation.terms operation s
    let normal = Math.ScaleB(1.0, -126)
    let ones (data: float[]) = Array.create data.Length 1.0

    let touched =
        Array.map2 (+) (Oracle.apply operation s (absolute x) (ones k)) (Oracle.apply operation s (ones x) (absolute k))

    let factor = 1.0 + gamma (terms + 1L)

    touched
    |> Array.map (fun sum -> normal * factor * (float (2L * terms + 2L) + sum))

/// The roundings that one product of an operation passes, and what underflow may add: lemmas 2, 12 and 13.
let private roundings operation (s: ConvShape) (x: float[]) (bias: float[]) =
    let terms = Operation.terms operation s
    let n = float terms

    match operation with
    | Operation.Fused _ ->
        let scale = Values.magnitude (Array.sub bias s.OutChannels s.OutChannels)
        terms + 3L, (max (scale * n) (n + n * Values.magnitude x) + 2.0) * smallest
    | _ ->
        let m = terms + (if bias.Length = 0 then 0L else 1L)
        m, float m * smallest

/// Lemma 13 asks for finite sums before they are scaled, and finite scaled weights.
let private scalesSafely operation (s: ConvShape) (x: float[]) (k: float[]) (bias: float[]) =
    match operation with
    | Operation.Fused _ ->
        let part at = Values.magnitude (Array.sub bias (at * s.OutChannels) s.OutChannels)
        let sums = Values.magnitude x * Values.magnitude k * float s.TermsPerOutput

        2.0 * (sums + part 0) < largest && part 1 * Values.magnitude k < largest
    | _ -> true

/// |ŷ − y| for one call, for each element of the result; infinite where the arithmetic has no bound or may overflow.
let ofCall operation (arithmetic: Arithmetic) (traits: Traits) (s: ConvShape) (x: float[]) (k: float[]) (bias: float[]) : Error =
    let withBias = if bias.Length = 0 then 0L else 1L

    // The lemmas' underflow terms need n + 1 ≤ 2²³.
    let finite m sum factor = m <= 8388608L && sum * (1.0 + factor) < largest

    let bound =
        match arithmetic with
        | :? AnyOrder ->
            let m, underflow = roundings operation s x bias
            let factor = gamma m
            let safe = scalesSafely operation s x k bias

            let sums = absoluteSum operation s x k bias

            sums
            |> Values.update (fun sum ->
                if safe && finite m sum factor then
                    factor * sum + underflow
                else
                    Double.PositiveInfinity)

            sums
        | :? Bilinear as algorithm when operation = Operation.Forward ->
            let program = BilinearProgram.Of algorithm
            let m = int64 (program.Roundings s.InChannelsPerGroup) + 2L * withBias
            let factor = gamma m
            let bias = biasOf s bias
            // Lemma 4 is used without its underflow term, and there is none for flushing: such operands are left undecided.
            let safe = program.IsInRange(s, x, k) && not traits.FlushesSubnormals

            let sums = program.Absolute(s, x, k)

            for at in 0 .. sums.Length - 1 do
                let sum = sums[at] + abs (bias at)
                sums[at] <- if finite m sum factor && safe then factor * sum else Double.PositiveInfinity

            sums
        | :? Rounded as r when operation = Operation.Forward && not traits.FlushesSubnormals -> Reduced.ofRounded r s x k bias
        | :? Quantized as q when operation = Operation.Forward -> Reduced.ofQuantized q (Values.magnitude x) s x k bias
        | _ -> Array.create (int (Operation.length operation s)) Double.PositiveInfinity

    let bound =
        match arithmetic, operation with
        | _ when not traits.FlushesSubnormals -> bound
        | (:? AnyOrder), Operation.Fused _ -> Array.map (fun _ -> Double.PositiveInfinity) bound
        | _ -> Array.map2 (+) bound (flushed operation s x k)

    bound |> Values.update (fun b -> b * inflation)
    Each bound

/// The grid of a sum from those of its parts; of a product from its factors'.
let private sumGrid (grids: int list) = List.min grids
let private productGridOf (a: int) (b: int) = if a = Int32.MaxValue || b = Int32.MaxValue then Int32.MaxValue else a + b

/// Whether every partial sum of every element of the result is representable in the given number of bits, on grids from 2^lowest on and up
/// to the greatest finite number, in any order: docs/bounds.md, lemma 3.
let isExactSum bits lowest greatest operation (s: ConvShape) (x: float[]) (k: float[]) (bias: float[]) =
    let limit = Math.ScaleB(1.0, bits)
    let part at = Array.sub bias (at * s.OutChannels) s.OutChannels

    let grid, most =
        let products = productGridOf (Values.grid x) (Values.grid k)

        let sums = Values.magnitude x * Values.magnitude k * float (Operation.terms operation s)

        match operation with
        | Operation.Fused _ ->
            let scaled = productGridOf (sumGrid [ products; Values.grid (part 0) ]) (Values.grid (part 1))
            let scale = max 1.0 (Values.magnitude (part 1))

            sumGrid [ scaled; products; Values.grid (part 0); Values.grid (part 2) ],
            // Scaled weights that underflow lose bits, whatever they are multiplied by.
            (if productGridOf (Values.grid k) (Values.grid (part 1)) < lowest then
                 Double.PositiveInfinity
             else
                 (sums + Values.magnitude (part 0)) * scale + Values.magnitude (part 2))
        | _ -> sumGrid [ products; Values.grid bias ], sums + Values.magnitude bias

    if grid = Int32.MaxValue then
        true
    elif Double.IsInfinity most then
        false
    elif grid >= lowest && most <= limit * Math.ScaleB(1.0, grid) && most <= greatest then
        true
    else
        let sums = absoluteSum operation s x k bias

        match operation with
        | Operation.Forward ->
            let products = Oracle.productGrid s (Array.map Values.lowestBit x) (Array.map Values.lowestBit k)

            let bias = biasOf s bias
            let mutable fits = true

            for at in 0 .. sums.Length - 1 do
                let grid, sum = min products[at] (Values.lowestBit (bias at)), sums[at]

                fits <-
                    fits
                    && (grid = Int32.MaxValue
                        || grid >= lowest && sum <= limit * Math.ScaleB(1.0, grid) && sum <= greatest)

            fits
        | Operation.Fused _ -> false
        | _ ->
            grid >= lowest
            && sums
               |> Array.forall (fun sum -> sum <= limit * Math.ScaleB(1.0, grid) && sum <= greatest)

/// Whether a correct subject of this arithmetic gives exactly the definition's result on these operands. For Opaque the certificate of
/// AnyOrder is tried as a probe.
let isExact operation (arithmetic: Arithmetic) (traits: Traits) (s: ConvShape) (x: float[]) (k: float[]) (bias: float[]) =
    // Where subnormals are flushed, neither an operand nor a result may be one.
    let smallest = if traits.FlushesSubnormals then -126 else -149

    List.forall (fun operand -> Values.grid operand >= smallest) [ x; k; bias ]
    && match arithmetic with
       | :? Bilinear as algorithm when operation = Operation.Forward -> (BilinearProgram.Of algorithm).IsExact(s, x, k, bias, smallest)
       | :? Rounded as r ->
           let bits, lowest, greatest = Reduced.exactness r
           let accumulator = r.Accumulator

           // Either all formats hold every partial sum; or the accumulator does, and the format of the result holds the result.
           Reduced.holds r.Input x
           && Reduced.holds r.Input k
           && (isExactSum bits (max smallest lowest) greatest operation s x k bias
               || isExactSum accumulator.Precision (max smallest (Math.ILogB accumulator.Epsilon)) accumulator.MaxValue operation s x k bias
                  && Reduced.holds r.Output (Oracle.complete operation s x k bias))
       | :? Quantized as q ->
           Reduced.isLossless q s x k
           && isExactSum 24 smallest largest operation s x k bias
       | _ -> isExactSum 24 smallest largest operation s x k bias

/// The oracle's own error in double.
let ofOracle operation (s: ConvShape) (x: float[]) (k: float[]) (bias: float[]) : Error =
    if isExactSum 53 -1074 Double.MaxValue operation s x k bias then
        Zero
    else
        // Three roundings more where the result is fused.
        let factor = gammaDouble (Operation.terms operation s + 3L) * inflation
        let sums = absoluteSum operation s x k bias
        sums |> Values.update (fun sum -> factor * sum)
        Each sums
