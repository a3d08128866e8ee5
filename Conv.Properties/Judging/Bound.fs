/// How far a correct subject may be from the exact result: theorems, no tolerances. Every number here is a lemma of docs/bounds.md.
module Conv.Properties.Bound

open System
open Conv

/// u = 2⁻²⁴, the unit roundoff of float32.
let unitRoundoff = Math.ScaleB(1.0, -24)

/// The smallest positive float32.
let smallest = Math.ScaleB(1.0, -149)

let private largest = float Single.MaxValue
let private gammaOf u (m: float) = m * u / (1.0 - m * u)

/// γ_m = m·u/(1 − m·u) of float32.
let gamma (m: int64) = gammaOf unitRoundoff (float m)

/// The same in double, for the kit's own sums.
let gammaDouble (m: int64) = gammaOf (Math.ScaleB(1.0, -53)) (float m)

/// 1 + 2⁻²⁰: covers the rounding of evaluating a bound in double.
let inflation = 1.0 + Math.ScaleB(1.0, -20)

let private absolute (data: float[]) = Array.map abs data

/// b[o] spread over the output, 0 without a bias.
let biasOf (s: ConvShape) (bias: float[]) =
    let plane = max 1 (s.OutHeight * s.OutWidth)
    fun at -> if bias.Length = 0 then 0.0 else bias[at / plane % s.OutChannels]

/// S + |b| for each output: the definition on absolute values.
let absoluteSum (s: ConvShape) (x: float[]) (k: float[]) (bias: float[]) =
    let sums = Oracle.correlate s (absolute x) (absolute k)
    let bias = biasOf s bias

    for at in 0 .. sums.Length - 1 do
        sums[at] <- sums[at] + abs (bias at)

    sums

/// What flushing subnormals may add: each operand and each result may lose 2⁻¹²⁶.
let private flushed (s: ConvShape) (x: float[]) (k: float[]) =
    let normal = Math.ScaleB(1.0, -126)
    let ones (data: float[]) = Array.create data.Length 1.0

    let touched =
        Array.map2 (+) (Oracle.correlate s (absolute x) (ones k)) (Oracle.correlate s (ones x) (absolute k))

    let factor = 1.0 + gamma (s.TermsPerOutput + 1L)

    touched
    |> Array.map (fun sum -> normal * factor * (float (2L * s.TermsPerOutput + 2L) + sum))

/// |ŷ − y| for one call, for each output; infinite where the arithmetic has no bound or may overflow.
let ofCall (arithmetic: Arithmetic) (traits: Traits) (s: ConvShape) (x: float[]) (k: float[]) (bias: float[]) : Error =
    let withBias = if bias.Length = 0 then 0L else 1L

    // The lemmas' underflow terms need n + 1 ≤ 2²³.
    let finite m sum factor = m <= 8388608L && sum * (1.0 + factor) < largest

    let bound =
        match arithmetic with
        | :? AnyOrder ->
            let m = s.TermsPerOutput + withBias
            let factor = gamma m

            absoluteSum s x k bias
            |> Array.map (fun sum ->
                if finite m sum factor then
                    factor * sum + float m * smallest
                else
                    Double.PositiveInfinity)
        | :? Bilinear as algorithm ->
            let program = BilinearProgram.Of algorithm
            let m = int64 (program.Roundings s.InChannelsPerGroup) + 2L * withBias
            let factor = gamma m
            let bias = biasOf s bias
            // Lemma 4 is used without its underflow term, and there is none for flushing: such operands are left undecided.
            let safe = program.IsInRange(s, x, k) && not traits.FlushesSubnormals

            program.Absolute(s, x, k)
            |> Array.mapi (fun at sum ->
                let sum = sum + abs (bias at)
                if finite m sum factor && safe then factor * sum else Double.PositiveInfinity)
        | _ -> Array.create (int s.OutputLength) Double.PositiveInfinity

    let bound = if traits.FlushesSubnormals then Array.map2 (+) bound (flushed s x k) else bound
    bound |> Array.map (fun b -> b * inflation) |> Each

let private lowestBits (data: float[]) = data |> Array.map (fun value -> Values.grid [| value |])

/// Whether every partial sum of every output is representable in the given number of bits, on grids from 2^lowest on and up to the
/// greatest finite number, in any order: docs/bounds.md, lemma 3.
let isExactSum bits lowest greatest (s: ConvShape) (x: float[]) (k: float[]) (bias: float[]) =
    let limit = Math.ScaleB(1.0, bits)
    let grids = Values.grid x, Values.grid k, Values.grid bias

    let everywhere =
        match grids with
        | gx, gk, gb when gx = Int32.MaxValue || gk = Int32.MaxValue -> gb
        | gx, gk, gb -> min (gx + gk) gb

    let most =
        Values.magnitude x * Values.magnitude k * float s.TermsPerOutput
        + Values.magnitude bias

    if everywhere = Int32.MaxValue then
        true
    elif Double.IsInfinity most then
        false
    elif
        everywhere >= lowest
        && most <= limit * Math.ScaleB(1.0, everywhere)
        && most <= greatest
    then
        true
    else
        let sums = absoluteSum s x k bias
        let products = Oracle.productGrid s (lowestBits x) (lowestBits k)
        let bias = biasOf s bias

        sums
        |> Array.mapi (fun at sum ->
            let grid = min products[at] (Values.grid [| bias at |])

            grid = Int32.MaxValue
            || grid >= lowest && sum <= limit * Math.ScaleB(1.0, grid) && sum <= greatest)
        |> Array.forall id

/// Whether a correct subject of this arithmetic gives exactly the definition's result on these operands. For Opaque the certificate of
/// AnyOrder is tried as a probe.
let isExact (arithmetic: Arithmetic) (traits: Traits) (s: ConvShape) (x: float[]) (k: float[]) (bias: float[]) =
    // Where subnormals are flushed, neither an operand nor a result may be one.
    let smallest = if traits.FlushesSubnormals then -126 else -149

    List.forall (fun operand -> Values.grid operand >= smallest) [ x; k; bias ]
    && match arithmetic with
       | :? Bilinear as algorithm -> (BilinearProgram.Of algorithm).IsExact(s, x, k, bias, smallest)
       | _ -> isExactSum 24 smallest largest s x k bias

/// The oracle's own error in double.
let ofOracle (s: ConvShape) (x: float[]) (k: float[]) (bias: float[]) : Error =
    if isExactSum 53 -1074 Double.MaxValue s x k bias then
        Zero
    else
        let factor = gammaDouble (s.TermsPerOutput + 1L) * inflation
        absoluteSum s x k bias |> Array.map ((*) factor) |> Each
