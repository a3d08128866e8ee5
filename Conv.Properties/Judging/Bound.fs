/// How far a correct subject may be from the exact result: theorems, no tolerances. Every number here is a lemma of docs/bounds.md.
module internal Conv.Properties.Bound

open System
open Conv
open Conv.Properties.Roundoff

let private largest = float Single.MaxValue
let private absolute (data: float[]) = Array.map abs data

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

/// The lemmas' underflow terms need n + 1 ≤ 2²³, and nothing may overflow.
let private finite (m: int64) sum factor = m <= 8388608L && sum * (1.0 + factor) < largest

/// Lemmas 2, 12 and 13.
let private ofAnyOrder (depth: int64 voption) operation (s: ConvShape) (x: float[]) (k: float[]) (bias: float[]) =
    let most, underflow = roundings operation s x bias

    let m =
        depth
        |> ValueOption.map (fun d -> min most (d + 1L))
        |> ValueOption.defaultValue most

    let factor = gamma m
    let safe = scalesSafely operation s x k bias && most <= 8388608L
    let sums = absoluteSum operation s x k bias

    sums
    |> Values.update (fun sum ->
        if safe && finite m sum factor then
            factor * sum + underflow
        else
            Double.PositiveInfinity)

    sums

/// Lemma 4.
let private ofBilinear (algorithm: Bilinear) flushes (s: ConvShape) (x: float[]) (k: float[]) (bias: float[]) =
    let program = BilinearProgram.Of algorithm

    let m =
        int64 (program.Roundings s.InChannelsPerGroup)
        + (if bias.Length = 0 then 0L else 2L)

    let factor = gamma m
    let bias = Reduced.biasOf s bias
    // Where subnormals are flushed, no intermediate value may be one.
    let safe = program.IsInRange(s, x, k, factor) && (not flushes || program.StaysNormal(x, k))
    let underflow = program.Underflow(s, x, k)
    let sums = program.Absolute(s, x, k)

    for at in 0 .. sums.Length - 1 do
        let sum = sums[at] + abs (bias at)

        sums[at] <-
            if finite m sum factor && safe then
                factor * sum + underflow
            else
                Double.PositiveInfinity

    sums

/// Lemma 19: F times what a plain sum and the addition of a bias may err by, whether there is one or not, of the element's own terms or of the
/// largest operands'.
let private ofWithin (within: Within) operation (s: ConvShape) (x: float[]) (k: float[]) (bias: float[]) =
    let m = Operation.terms operation s + 1L
    let underflow = float m * smallest
    let factor = within.Factor * gamma m
    let sums = absoluteSum operation s x k bias

    if within.Global then
        let everywhere =
            float (Operation.terms operation s) * Values.magnitude x * Values.magnitude k
            + Values.magnitude bias

        Array.fill sums 0 sums.Length everywhere

    sums
    |> Values.update (fun sum ->
        if finite m sum factor then
            factor * sum + within.Factor * underflow
        else
            Double.PositiveInfinity)

    sums

/// The parts of a fused call's bias: b, s and t.
let private partsOf (s: ConvShape) (bias: float[]) =
    let part at = Array.sub bias (at * s.OutChannels) s.OutChannels
    part 0, part 1, part 2

/// Every weight times its output channel's factor.
let private scaledWeights (s: ConvShape) (scale: float[]) (k: float[]) =
    let terms = int s.TermsPerOutput
    k |> Array.mapi (fun at weight -> scale[at / max 1 terms] * weight)

/// Lemma 13 (b): the epilogue in float32 after a forward pass that errs by β, or with its scale multiplied into the weights before it
/// (k' = fl(s·k), b' = s·b + t, lemma 6); the greater of the two, since which is done is not declared.
let private ofEpilogue forward (s: ConvShape) (x: float[]) (k: float[]) (bias: float[]) =
    let b, scale, shift = partsOf s bias
    let scaleAt, shiftAt = Reduced.biasOf s scale, Reduced.biasOf s shift
    let own: float[] = forward x k b
    let sums = absoluteSum Operation.Forward s x k b
    let g = gamma 2L
    let folded = scaledWeights s scale k |> Array.map (fun w -> float (float32 w))
    let shifted = Array.map3 (fun b scale shift -> float (float32 (scale * b + shift))) b scale shift
    let ofFolded: float[] = forward x folded shifted
    // |k' − s·k| ≤ u·|s·k| + 2⁻¹⁵⁰, and as much again where the subject rounds otherwise than this.
    let weights =
        scaledWeights s scale k
        |> Array.map (fun w -> 2.0 * unitRoundoff * abs w + smallest)

    let carried = Oracle.correlate s (absolute x) weights

    Array.init own.Length (fun at ->
        let scale, shift = abs (scaleAt at), abs (shiftAt at)
        let size = scale * (sums[at] + own[at]) + shift

        if
            (1.0 + g) * size < largest
            && Double.IsFinite own[at]
            && Double.IsFinite ofFolded[at]
        then
            max
                ((1.0 + g) * scale * own[at] + g * (scale * sums[at] + shift) + smallest)
                (ofFolded[at] + carried[at] + 2.0 * g * size + smallest)
        else
            Double.PositiveInfinity)

/// |ŷ − y| for one call, for each element of the result; infinite where the arithmetic has no bound or may overflow.
let ofCall operation (arithmetic: Arithmetic) (traits: Traits) (s: ConvShape) (x: float[]) (k: float[]) (bias: float[]) : Error =
    let flushes = traits.FlushesSubnormals

    /// The forward pass of an arithmetic that is no tree of sums.
    let forward x k bias =
        match arithmetic with
        | :? Bilinear as algorithm -> ofBilinear algorithm flushes s x k bias
        | :? Rounded as r -> Reduced.ofRounded r flushes s x k bias
        | :? Quantized as q -> Reduced.ofQuantized q (Values.magnitude x) s x k bias
        | :? Within as within -> ofWithin within Operation.Forward s x k bias
        | _ -> Array.create (int s.OutputLength) Double.PositiveInfinity

    let bound =
        match arithmetic, operation with
        | (:? AnyOrder as declared), Operation.Forward -> ofAnyOrder (ValueOption.ofNullable declared.Depth) operation s x k bias
        | (:? AnyOrder), _ -> ofAnyOrder ValueNone operation s x k bias
        | _, Operation.Forward -> forward x k bias
        | _, Operation.Fused _ -> ofEpilogue forward s x k bias
        | (:? Within as within), _ -> ofWithin within operation s x k bias
        | _ -> Array.create (int (Operation.length operation s)) Double.PositiveInfinity

    let bound =
        match arithmetic, operation with
        | _ when not flushes -> bound
        | _, Operation.Fused _ -> Array.map (fun _ -> Double.PositiveInfinity) bound
        // They charge it themselves.
        | (:? Bilinear), _
        | (:? Rounded), _ -> bound
        | _ -> Array.map2 (+) bound (flushed operation s x k)

    bound |> Values.update (fun b -> b * inflation)
    Each bound

/// What the subject makes of its operands before it multiplies them, where that is declared: the exact result on these, and how far the
/// subject's may be from it (lemmas 14 and 15, (a)). Flushing is left out: whether an operand is flushed is not declared.
let onDeclaredOperands (arithmetic: Arithmetic) (traits: Traits) (s: ConvShape) (x: float[]) (k: float[]) (bias: float[]) =
    match arithmetic with
    | :? Rounded as r when not traits.FlushesSubnormals -> ValueSome(Reduced.onRoundedOperands r s x k bias)
    | :? Quantized as q when not traits.FlushesSubnormals -> ValueSome(Reduced.onQuantizedOperands q s x k bias)
    | _ -> ValueNone
    |> ValueOption.map (fun struct (exact, allowed) ->
        let own = gammaDouble (s.TermsPerOutput + 3L)
        // The sums of the rounded operands are no larger than this.
        let sums = absoluteSum Operation.Forward s x k bias
        struct (exact, Array.map2 (fun allowed sum -> (allowed + 4.0 * own * sum) * inflation) allowed sums))

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

    // Scaled weights that overflow are no numbers, whatever they are multiplied by.
    let overflows =
        match operation with
        | Operation.Fused _ -> Values.magnitude (part 1) * Values.magnitude k > greatest
        | _ -> false

    if overflows then
        false
    elif grid = Int32.MaxValue then
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

            let bias = Reduced.biasOf s bias
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

    /// Of a forward call.
    let forward x k bias =
        match arithmetic with
        | :? Bilinear as algorithm -> (BilinearProgram.Of algorithm).IsExact(s, x, k, bias, smallest)
        | :? Rounded as r ->
            let bits, lowest, greatest = Reduced.exactness r traits.FlushesSubnormals
            let accumulator = r.Accumulator
            let finest = Reduced.finest traits.FlushesSubnormals

            // Either all formats hold every partial sum; or the accumulator does, and the format of the result holds the result.
            [ x; k ]
            |> List.forall (fun operand ->
                Reduced.holds r.Input operand
                && (not traits.FlushesSubnormals || Values.grid operand >= finest r.Input))
            && (isExactSum bits (max smallest lowest) greatest Operation.Forward s x k bias
                || isExactSum accumulator.Precision (max smallest (finest accumulator)) accumulator.MaxValue Operation.Forward s x k bias
                   && Reduced.holds r.Output (Oracle.complete Operation.Forward s x k bias))
        | :? Quantized as q ->
            Reduced.isLossless q s x k
            && isExactSum 24 smallest largest Operation.Forward s x k bias
        | _ -> isExactSum 24 smallest largest Operation.Forward s x k bias

    List.forall (fun operand -> Values.grid operand >= smallest) [ x; k; bias ]
    && match arithmetic, operation with
       | _, Operation.Forward -> forward x k bias
       | (:? AnyOrder), _
       | (:? Opaque), _ -> isExactSum 24 smallest largest operation s x k bias
       | _, Operation.Fused _ ->
           // The forward pass, the epilogue after it, and the forward pass with the epilogue multiplied into it.
           let b, scale, shift = partsOf s bias

           isExactSum 24 smallest largest operation s x k bias
           && forward x k b
           && forward x (scaledWeights s scale k) (Array.map3 (fun b scale shift -> scale * b + shift) b scale shift)
       // What is claimed of their adjoints is not of their kind.
       | _ -> isExactSum 24 smallest largest operation s x k bias

/// Why the exact tier says nothing of an algorithm whose steps are not exact on any numbers.
let noTier = "its arithmetic has no exact tier: the bound decides"

/// Why the exact tier says nothing of a subject of a claimed bound.
let noGrid = "so many terms leave its claimed bound no grid: the bound decides"

/// Lemma 19: the results of a subject of a claimed bound, each replaced by the only multiple of the products' grid within reach; none where
/// the bound reaches half of the grid. A result that is further from every multiple than it claims stays as it is.
let snapped (within: Within) operation (s: ConvShape) (x: float[]) (k: float[]) (bias: float[]) (value: float[]) : float[] voption =
    let products = productGridOf (Values.grid x) (Values.grid k)

    let grid =
        match operation with
        | Operation.Fused _ -> ValueNone
        | _ -> ValueSome(sumGrid [ products; Values.grid bias ])

    match grid with
    // Nothing but zeros: zero is the only candidate.
    | ValueSome Int32.MaxValue ->
        let bound = ofWithin within operation s x k bias

        Array.map2 (fun (v: float) bound -> if abs v <= bound * inflation then 0.0 else v) value bound
        |> ValueSome
    | ValueSome grid when grid >= -149 ->
        let bound = ofWithin within operation s x k bias
        let half = Math.ScaleB(1.0, grid - 1) * (1.0 - Math.ScaleB(1.0, -20))
        let fits = bound |> Array.forall (fun b -> b * inflation < half)
        // The exact result is one of the numbers that float32 holds.
        let held = isExactSum 24 -149 largest operation s x k bias

        if fits && held then
            Array.map2
                (fun (v: float) bound ->
                    let nearest = Math.ScaleB(Math.Round(Math.ScaleB(v, -grid)), grid)
                    if abs (v - nearest) <= bound * inflation then nearest else v)
                value
                bound
            |> ValueSome
        else
            ValueNone
    | _ -> ValueNone

/// The oracle's own error in double.
let ofOracle operation (s: ConvShape) (x: float[]) (k: float[]) (bias: float[]) : Error =
    if isExactSum 52 -1074 Double.MaxValue operation s x k bias then
        Zero
    else
        // Three roundings more where the result is fused.
        let factor = gammaDouble (Operation.terms operation s + 3L) * inflation
        let sums = absoluteSum operation s x k bias
        sums |> Values.update (fun sum -> factor * sum)
        Each sums
