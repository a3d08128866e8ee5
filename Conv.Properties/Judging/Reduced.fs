/// Bounds and certificates of arithmetics whose operands, partial sums or results have fewer bits than float32: docs/bounds.md, lemmas 14
/// and 15.
module Conv.Properties.Reduced

open System
open Conv

/// What of a forward call a bound is made of, for each output: S, |b|, Σ|x| and Σ|k| over the taps that meet the image.
[<NoEquality; NoComparison>]
type private Sums = { Products: float[]; Inputs: float[]; Weights: float[]; Bias: int -> float }

let private sums (s: ConvShape) (x: float[]) (k: float[]) (bias: float[]) =
    let x, k = Array.map abs x, Array.map abs k
    let ones (data: float[]) = Array.create data.Length 1.0
    let plane = max 1 (s.OutHeight * s.OutWidth)

    {
        Products = Oracle.correlate s x k
        Inputs = Oracle.correlate s x (ones k)
        Weights = Oracle.correlate s (ones x) k
        Bias =
            if bias.Length = 0 then
                fun _ -> 0.0
            else
                fun at -> abs bias[at / plane % s.OutChannels]
    }

/// Whether every number of the one format is one of the other.
let private covers (wide: FloatFormat) (narrow: FloatFormat) =
    wide.Precision >= narrow.Precision
    && wide.Epsilon <= narrow.Epsilon
    && wide.MaxValue >= narrow.MaxValue

/// u and ε of a rounding to a format of what already has another: none where nothing is rounded.
let private rounding (format: FloatFormat) (from: FloatFormat) =
    if covers format from then
        0.0, 0.0
    else
        Math.ScaleB(1.0, -format.Precision), format.Epsilon

/// Lemma 14: |ŷ − y| for each output; infinite where a format may overflow.
let ofRounded (r: Rounded) (s: ConvShape) (x: float[]) (k: float[]) (bias: float[]) : float[] =
    let (++) p q = p + q + p * q
    let n = float s.TermsPerOutput
    let m = s.TermsPerOutput + (if bias.Length = 0 then 0L else 1L)
    let unit = Math.ScaleB(1.0, -r.Accumulator.Precision)
    let uIn, epsilonIn = rounding r.Input FloatFormat.Binary32
    let uOut, epsilonOut = rounding r.Output r.Accumulator
    let half = epsilonIn / 2.0
    let least = float m * r.Accumulator.Epsilon
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
                + epsilonOut / 2.0
            else
                Double.PositiveInfinity)

/// The widest integers, in bits, the finest grid and the greatest number that all three formats hold in a sum.
let exactness (r: Rounded) =
    let finest = max r.Accumulator.Epsilon r.Output.Epsilon

    min r.Accumulator.Precision r.Output.Precision, Math.ILogB finest, min r.Accumulator.MaxValue r.Output.MaxValue

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
        let plane = max 1 (s.OutHeight * s.OutWidth)
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

/// Lemma 15: whether quantising changes neither operand.
let isLossless (q: Quantized) (s: ConvShape) (x: float[]) (k: float[]) =
    let keeps (values: float[]) =
        let grid = Values.grid values

        grid = Int32.MaxValue
        || Values.magnitude values <= limit q * Math.ScaleB(1.0, grid)

    keeps x && Array.forall keeps (filters s k)
