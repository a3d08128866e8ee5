/// Bounds and certificates of arithmetics whose operands, partial sums or results have fewer bits than float32: docs/bounds.md, lemmas 14
/// and 15.
module internal Conv.Properties.Reduced

open System
open Conv

/// b[o] spread over the output, 0 without a bias.
let biasOf (s: ConvShape) (bias: float[]) =
    let plane = max 1 (int s.OutputPlane)
    fun at -> if bias.Length = 0 then 0.0 else bias[at / plane % s.OutChannels]

/// What of a forward call a bound is made of, for each output: S, |b|, Σ|x| and Σ|k| over the taps that meet the image.
[<NoEquality; NoComparison>]
type private Sums = { Products: float[]; Inputs: float[]; Weights: float[]; Bias: int -> float }

let private sums (s: ConvShape) (x: float[]) (k: float[]) (bias: float[]) =
    let x, k = Array.map abs x, Array.map abs k
    let ones (data: float[]) = Array.create data.Length 1.0

    {
        Products = Oracle.correlate s x k
        Inputs = Oracle.correlate s x (ones k)
        Weights = Oracle.correlate s (ones x) k
        Bias = biasOf s bias >> abs
    }

/// Whether every number of the one format is one of the other.
let private covers (wide: FloatFormat) (narrow: FloatFormat) =
    wide.Precision >= narrow.Precision
    && wide.Epsilon <= narrow.Epsilon
    && wide.MaxValue >= narrow.MaxValue

/// u and ε of rounding to a format: as of one bit fewer where it truncates (lemma 14, remark 2).
let private unitOf (format: FloatFormat) = Math.ScaleB(1.0, (if format.Truncates then 1 else 0) - format.Precision)
let private epsilonOf (format: FloatFormat) = (if format.Truncates then 2.0 else 1.0) * format.Epsilon

/// The same of what already has another format: none where nothing is rounded.
let private rounding (format: FloatFormat) (from: FloatFormat) = if covers format from then 0.0, 0.0 else unitOf format, epsilonOf format

/// 2^MinExponent: what a flushed number of the format may have been.
let private normal (format: FloatFormat) = Math.ScaleB(1.0, format.MinExponent)

/// What lemma 14 charges for underflow: half of ε of the operands, what all roundings to the accumulator lose, half of ε of the result. Where
/// subnormals are flushed, the numbers that may be: each operand, each product, sum and bias, the result.
let private underflow (r: Rounded) flushes terms m epsilonIn epsilonOut =
    if flushes then
        struct (normal r.Input, float (2L * terms + 1L) * (normal r.Accumulator + epsilonOf r.Accumulator), normal r.Output)
    else
        struct (epsilonIn / 2.0, float m * epsilonOf r.Accumulator, epsilonOut / 2.0)

/// Lemma 14: |ŷ − y| for each output; infinite where a format may overflow.
let ofRounded (r: Rounded) flushes (s: ConvShape) (x: float[]) (k: float[]) (bias: float[]) : float[] =
    let (++) p q = p + q + p * q
    let n = float s.TermsPerOutput
    let m = s.TermsPerOutput + (if bias.Length = 0 then 0L else 1L)
    let unit = unitOf r.Accumulator
    let uIn, epsilonIn = rounding r.Input FloatFormat.Binary32
    let uOut, epsilonOut = rounding r.Output r.Accumulator
    let struct (half, least, halfOut) = underflow r flushes s.TermsPerOutput m epsilonIn epsilonOut
    let greatest = min r.Accumulator.MaxValue r.Output.MaxValue

    if
        float m * unit >= 1.0
        || uIn > 0.0
           && (Values.magnitude x > r.Input.MaxValue || Values.magnitude k > r.Input.MaxValue)
    then
        Array.create (int s.OutputLength) Double.PositiveInfinity
    else
        let g = Roundoff.gammaOf unit m
        let all = sums s x k bias

        all.Products
        |> Array.mapi (fun at products ->
            let bias = all.Bias at

            let lost = half * (1.0 + uIn) * (all.Inputs[at] + all.Weights[at]) + n * half * half

            let size = (1.0 + g) * ((1.0 + uIn) * (1.0 + uIn) * products + lost + bias + least)

            if size <= greatest then
                (uIn ++ uIn ++ g ++ uOut) * products
                + (g ++ uOut) * bias
                + (1.0 + uOut) * (1.0 + g) * (lost + least)
                + halfOut
            else
                Double.PositiveInfinity)

/// The numbers as a format rounds them, and the distance to the other neighbour of those that lie half way: which one is taken is left open.
let rounded (format: FloatFormat) (data: float[]) : struct (float[] * float[]) =
    let round (v: float) = float (format.Round(float32 v))
    let nearest = Array.map round data

    let ties =
        Array.map2
            (fun v near ->
                let other = 2.0 * v - near

                if
                    v <> near
                    && not format.Truncates
                    && Double.IsFinite other
                    && round other = other
                then
                    abs (other - near)
                else
                    0.0)
            data
            nearest

    struct (nearest, ties)

/// What other choices at ties change in Σx̂·k̂ at most, for each output.
let private ofTies (s: ConvShape) (x: float[]) (xTies: float[]) (k: float[]) (kTies: float[]) =
    if Array.forall ((=) 0.0) xTies && Array.forall ((=) 0.0) kTies then
        Array.zeroCreate (int s.OutputLength)
    else
        let x, k = Array.map abs x, Array.map abs k
        let all = Oracle.correlate s (Array.map2 (+) x xTies) (Array.map2 (+) k kTies)
        // Both sums err by double's roundings alone; the caller's allowance has room for them.
        Array.map2 (-) all (Oracle.correlate s x k)

/// Lemma 14 from its operands on: Σx̂·k̂ + b of the operands as the declared format rounds them, and how far the result may be from it.
let onRoundedOperands (r: Rounded) (s: ConvShape) (x: float[]) (k: float[]) (bias: float[]) : struct (float[] * float[]) =
    let struct (x, xTies) = rounded r.Input x
    let struct (k, kTies) = rounded r.Input k
    let ties = ofTies s x xTies k kTies
    let m = s.TermsPerOutput + (if bias.Length = 0 then 0L else 1L)
    let uOut, epsilonOut = rounding r.Output r.Accumulator
    let struct (_, least, halfOut) = underflow r false s.TermsPerOutput m 0.0 epsilonOut
    let greatest = min r.Accumulator.MaxValue r.Output.MaxValue
    let exact = Oracle.complete Operation.Forward s x k bias
    let all = sums s x k bias

    let allowed =
        if float m * unitOf r.Accumulator >= 1.0 then
            Array.create exact.Length Double.PositiveInfinity
        else
            let g = Roundoff.gammaOf (unitOf r.Accumulator) m

            all.Products
            |> Array.mapi (fun at products ->
                let tie = ties[at]
                let size = products + tie + all.Bias at

                if (1.0 + g) * (size + least) <= greatest then
                    (1.0 + uOut) * (g * size + (1.0 + g) * least)
                    + uOut * (abs exact[at] + tie)
                    + tie
                    + halfOut
                else
                    Double.PositiveInfinity)

    struct (exact, allowed)

/// The exponent of the finest grid on which a format holds what no flushing changes.
let finest flushes (format: FloatFormat) = if flushes then format.MinExponent else Math.ILogB format.Epsilon

/// The widest integers, in bits, the finest grid and the greatest number that accumulator and result hold in a sum.
let exactness (r: Rounded) flushes =
    min r.Accumulator.Precision r.Output.Precision,
    max (finest flushes r.Accumulator) (finest flushes r.Output),
    min r.Accumulator.MaxValue r.Output.MaxValue

/// Whether a format holds every number.
let holds (format: FloatFormat) (values: float[]) = values |> Array.forall (fun v -> float (format.Round(float32 v)) = v)

/// L = 2^(bits−1) − 1.
let private limit (q: Quantized) = Math.ScaleB(1.0, q.Bits - 1) - 1.0

/// The least e with max|v| ≤ L·2^e.
let private exponent (q: Quantized) (magnitude: float) =
    let first = Math.ILogB magnitude - q.Bits + 1
    Seq.find (fun e -> magnitude <= limit q * Math.ScaleB(1.0, e)) (Seq.initInfinite ((+) first))

/// Half a step of the quantised numbers, 0 for no number but zero.
let private halfStep q magnitude = if magnitude = 0.0 then 0.0 else Math.ScaleB(1.0, exponent q magnitude - 1)

/// The kernel of each output channel.
let private filters (s: ConvShape) (k: float[]) =
    let terms = int s.TermsPerOutput
    Array.init s.OutChannels (fun o -> Array.sub k (o * terms) terms)

/// Lemma 15 (b): |ŷ − y| for each output of a problem whose greatest |x| is given: X may be a part of what was quantised together.
let ofQuantized (q: Quantized) magnitude (s: ConvShape) (x: float[]) (k: float[]) (bias: float[]) : float[] =
    let n = float s.TermsPerOutput

    if n * limit q * limit q >= Math.ScaleB(1.0, 31) then
        Array.create (int s.OutputLength) Double.PositiveInfinity
    else
        let hx = halfStep q magnitude
        let hk = filters s k |> Array.map (Values.magnitude >> halfStep q)
        let g = Roundoff.gamma (if bias.Length = 0 then 1L else 2L)
        let plane = max 1 (int s.OutputPlane)
        let all = sums s x k bias

        all.Products
        |> Array.mapi (fun at products ->
            let hk = hk[at / plane % s.OutChannels]
            let quantising = hk * all.Inputs[at] + hx * all.Weights[at] + n * hx * hk
            let size = products + quantising + all.Bias at

            if (1.0 + g) * size < float Single.MaxValue then
                quantising + g * size + Roundoff.smallest
            else
                Double.PositiveInfinity)

/// Lemma 15 (a): w + b of the operands as they are quantised, and how far the result may be from it.
let onQuantizedOperands (q: Quantized) (s: ConvShape) (x: float[]) (k: float[]) (bias: float[]) : struct (float[] * float[]) =
    /// And the step where a number lies half way between two: which one is taken is left open.
    let quantise (data: float[]) =
        match Values.magnitude data with
        | 0.0 -> struct (data, data)
        | magnitude ->
            let e = exponent q magnitude
            let steps = data |> Array.map (fun v -> Math.ScaleB(v, -e))
            let nearest = steps |> Array.map (fun v -> Math.Round(v, MidpointRounding.ToEven))

            let ties =
                Array.map2 (fun v near -> if abs (v - near) = 0.5 then Math.ScaleB(1.0, e) else 0.0) steps nearest

            struct (nearest |> Array.map (fun v -> Math.ScaleB(v, e)), ties)

    let struct (x, xTies) = quantise x
    let kernels = filters s k |> Array.map quantise
    let k = kernels |> Array.collect (fun struct (near, _) -> near)
    let w = Oracle.correlate s x k
    let ties = ofTies s x xTies k (kernels |> Array.collect (fun struct (_, ties) -> ties))
    let biasAt = biasOf s bias
    let g = Roundoff.gamma (if bias.Length = 0 then 1L else 2L)

    let allowed =
        w
        |> Array.mapi (fun at w ->
            let size = abs w + ties[at] + abs (biasAt at)

            if
                float s.TermsPerOutput * limit q * limit q < Math.ScaleB(1.0, 31)
                && (1.0 + g) * size < float Single.MaxValue
            then
                g * size + ties[at] + Roundoff.smallest
            else
                Double.PositiveInfinity)

    struct (w |> Array.mapi (fun at w -> w + biasAt at), allowed)

/// Lemma 15: whether quantising changes neither operand.
let isLossless (q: Quantized) (s: ConvShape) (x: float[]) (k: float[]) =
    let keeps (values: float[]) =
        let grid = Values.grid values

        grid = Int32.MaxValue
        || Values.magnitude values <= limit q * Math.ScaleB(1.0, grid)

    keeps x && Array.forall keeps (filters s k)
