/// Formats, the implementations of lower precision, and the lemmas of docs/bounds.md that belong to them: rounding against definitions
/// of its own, results against bounds and certificates evaluated here from the lemmas' formulas.
module Conv.Properties.PrecisionTests

open System
open Xunit
open FsCheck.FSharp
open Conv
open Conv.Properties.Exactly

let private power (exponent: int) = Math.ScaleB(1.0, exponent)
let private bitsOf (value: float32) = BitConverter.SingleToInt32Bits value
let private ofBits (bits: uint32) = BitConverter.UInt32BitsToSingle bits
let private anyFloat (random: Random) = ofBits (uint32 (random.NextInt64(1L <<< 32)))

// ---- rounding to a format

/// Every number of the format that is not negative, in order: its place has the parity of its significand.
let private numbersOf (format: FloatFormat) =
    let significands = 1 <<< (format.Precision - 1)

    [|
        for m in 0 .. significands - 1 -> float m * format.Epsilon
        for exponent in format.MinExponent .. format.MaxExponent do
            for m in significands .. 2 * significands - 1 -> float m * power (exponent + 1 - format.Precision)
    |]

/// The definition: of the two numbers around the value the nearer, of two as near the even one. The number beyond the largest is
/// infinity.
let private nearest (format: FloatFormat) (numbers: float[]) (value: float32) =
    let magnitude = abs (float value)
    let number at = if at < numbers.Length then numbers[at] else power (format.MaxExponent + 1)
    let found = Array.BinarySearch(numbers, magnitude)
    let above = if found >= 0 then found else ~~~found

    let chosen =
        if found >= 0 then
            found
        elif above > numbers.Length || magnitude >= number numbers.Length then
            numbers.Length
        else
            let distance at = Rational.Abs(ofDouble (number at) - ofDouble magnitude)

            match (distance above - distance (above - 1)).Numerator.Sign with
            | 0 -> if above % 2 = 0 then above else above - 1
            | sign -> if sign < 0 then above else above - 1

    Single.CopySign((if chosen < numbers.Length then float32 numbers[chosen] else infinityf), value)

/// A value and what lies next to it in float32, of both signs.
let private around (value: float32) =
    [ MathF.BitDecrement value; value; MathF.BitIncrement value ]
    |> List.collect (fun v -> [ v; -v ])

let private narrowFormats = [ FloatFormat.Float16; FloatFormat.BFloat16; FloatFormat.TensorFloat32 ]

[<Fact>]
let ``rounding to float16 is System.Half's, at every number, at every tie, and anywhere`` () =
    let check (value: float32) =
        Assert.Equal(bitsOf (float32 (Half.op_Explicit value: Half)), bitsOf (FloatFormat.Float16.Round value))

    let numbers = numbersOf FloatFormat.Float16
    Assert.Equal(0x7C00, numbers.Length)

    for at in 0 .. numbers.Length - 1 do
        let next = if at + 1 < numbers.Length then numbers[at + 1] else 65536.0
        around (float32 numbers[at]) |> List.iter check
        around (float32 ((numbers[at] + next) / 2.0)) |> List.iter check

    let random = Random 1

    for _ in 1..200_000 do
        let value = anyFloat random

        if not (Single.IsNaN value) then
            check value

[<Fact>]
let ``rounding to a format gives the nearest number by exact distance, ties to even`` () =
    let random = Random 2

    for format in narrowFormats do
        let numbers = numbersOf format
        Assert.Equal(format.MaxValue, Array.last numbers)
        Assert.Equal(format.Epsilon, numbers[1])
        let check value = Assert.Equal(bitsOf (nearest format numbers value), bitsOf (format.Round value))

        let places =
            [
                0
                1
                2
                (1 <<< (format.Precision - 1)) - 1
                1 <<< (format.Precision - 1)
                numbers.Length - 2
                numbers.Length - 1
            ]
            @ List.init 1500 (fun _ -> random.Next numbers.Length)

        for at in places do
            let next =
                if at + 1 < numbers.Length then
                    numbers[at + 1]
                else
                    power (format.MaxExponent + 1)

            around (float32 numbers[at]) |> List.filter Single.IsFinite |> List.iter check
            around (float32 ((numbers[at] + next) / 2.0)) |> List.iter check

        for _ in 1..3000 do
            let value = anyFloat random

            if Single.IsFinite value then
                check value

[<Fact>]
let ``from half a unit beyond the largest number on it is infinity`` () =
    for format in narrowFormats do
        let tie = format.MaxValue + power (format.MaxExponent - format.Precision)
        Assert.Equal(float32 format.MaxValue, format.Round(MathF.BitDecrement(float32 tie)))
        Assert.Equal(infinityf, format.Round(float32 tie))
        Assert.Equal(-infinityf, format.Round(-(float32 tie)))

[<Fact>]
let ``what is not finite, and every float32 in float32, stays what it is`` () =
    let random = Random 3

    for format in FloatFormat.Binary32 :: narrowFormats do
        Assert.True(Single.IsNaN(format.Round nanf))
        Assert.Equal(infinityf, format.Round infinityf)
        Assert.Equal(-infinityf, format.Round(-infinityf))
        Assert.Equal(bitsOf -0f, bitsOf (format.Round -0f))

    for _ in 1..100_000 do
        let value = anyFloat random

        if not (Single.IsNaN value) then
            Assert.Equal(bitsOf value, bitsOf (FloatFormat.Binary32.Round value))

// ---- problems

let private shapes seed count =
    Gen.sampleWithSeed (FsCheck.Rnd(seed, 1UL)) 50 count (Generate.geometry Traits.Default)
    |> Array.ofSeq

/// Magnitudes from 2^(top − spread) to 2^top, dense in each binade; with one sign, errors of rounding add up.
let private drawn (random: Random) top spread oneSign count =
    Array.init (int count) (fun _ ->
        let magnitude = (1.0 + random.NextDouble()) * power (top - 1 - random.Next(spread + 1))
        let value = float32 (if oneSign || random.Next 2 = 0 then magnitude else -magnitude)
        if Single.IsFinite value then value else Single.MaxValue)

let private integers (random: Random) most count = Array.init (int count) (fun _ -> float32 (random.Next(-most, most + 1)))
let private run (convolution: IConvolution) s x k b = (Contract.ofConvolution convolution).Forward s x k b
let private magnitudes (data: float32[]) = data |> Array.map (fun value -> abs (float value))
let private ones (data: 'a[]) = Array.create data.Length 1.0

/// y, S, and |b|, for each output.
let private exactly (s: ConvShape) (x: float32[]) (k: float32[]) (b: float32[]) =
    let bias = Reduced.biasOf s (Array.map float b)
    let y = Oracle.correlate s (Array.map float x) (Array.map float k)
    let sums = Oracle.correlate s (magnitudes x) (magnitudes k)
    Array.mapi (fun at value -> value + bias at) y, sums, Array.init y.Length (fun at -> abs (bias at))

/// The largest |ŷ − y|/bound of many cases; a bound that is infinite says nothing and is not counted.
let private largestRatio (cases: (float32[] * float[] * float[]) seq) =
    let mutable largest, judged = 0.0, 0

    for computed, expected, bounds in cases do
        for at in 0 .. computed.Length - 1 do
            if Double.IsFinite bounds[at] then
                judged <- judged + 1

                if float computed[at] <> expected[at] then
                    largest <- max largest (abs (float computed[at] - expected[at]) / bounds[at])

    Assert.True(judged > 20_000, $"{judged} outputs are too few")
    largest

// ---- lemma 14

let private covers (wide: FloatFormat) (narrow: FloatFormat) =
    wide.Precision >= narrow.Precision
    && wide.Epsilon <= narrow.Epsilon
    && wide.MaxValue >= narrow.MaxValue

/// The unit roundoff and the least number, or zeros where every number of the source is one of the format.
let private roundoff (format: FloatFormat) source =
    if covers format source then
        0.0, 0.0
    else
        power -format.Precision, format.Epsilon

/// p + q + p·q = (1 + p)(1 + q) − 1 without cancellation.
let private (++) p q = p + q + p * q

/// The bound of lemma 14 for each output, the oracle's error and the inflation included.
let private roundedBound (a: Rounded) (s: ConvShape) (x: float32[]) (k: float32[]) (b: float32[]) =
    let uIn, epsilonIn = roundoff a.Input FloatFormat.Binary32
    let uOut, epsilonOut = roundoff a.Output a.Accumulator
    let h = epsilonIn / 2.0
    let n = float s.TermsPerOutput
    let m = if b.Length = 0 then n else n + 1.0
    let u = power -a.Accumulator.Precision
    let gamma = if m * u < 1.0 then m * u / (1.0 - m * u) else infinity
    let products, bias = uIn ++ uIn ++ gamma ++ uOut, gamma ++ uOut

    let fits data =
        uIn = 0.0
        || magnitudes data |> Array.forall (fun value -> value <= a.Input.MaxValue)

    let operandsFit = fits x && fits k
    let _, sums, biases = exactly s x k b

    let touched =
        Array.map2 (+) (Oracle.correlate s (magnitudes x) (ones k)) (Oracle.correlate s (ones x) (magnitudes k))

    Array.init sums.Length (fun at ->
        let lost = h * (1.0 + uIn) * touched[at] + n * h * h
        let least = m * a.Accumulator.Epsilon

        let most =
            (1.0 + gamma)
            * ((1.0 + uIn) * (1.0 + uIn) * sums[at] + lost + biases[at] + least)

        if operandsFit && most <= min a.Accumulator.MaxValue a.Output.MaxValue then
            (products * sums[at]
             + bias * biases[at]
             + (1.0 + uOut) * (1.0 + gamma) * (lost + least)
             + epsilonOut / 2.0
             + Roundoff.gammaDouble (s.TermsPerOutput + 1L) * (sums[at] + biases[at]))
            * Roundoff.inflation
        else
            infinity)

let private narrow = [ Narrow.BFloat16; Narrow.Float16; Narrow.Float16Accumulate; Narrow.TensorFloat32 ]

let private named name = narrow |> List.find (fun convolution -> convolution.Name = name)
let private formatsOf (convolution: Narrow) = convolution.ArithmeticOf(ConvShape(1, 1, 1, 1, 1, 1, 1)) :?> Rounded

/// Ordinary operands, operands of one sign, and operands whose rounding, products or results underflow.
let private narrowCases count (a: Rounded) =
    let random = Random 4
    let lowest = a.Input.MinExponent

    [|
        for s in shapes 14UL count do
            let oneSign = random.Next 3 = 0

            let x, k =
                match random.Next 5 with
                | 0 -> drawn random 0 2 oneSign s.InputLength, drawn random 0 2 oneSign s.KernelLength
                | 1 -> drawn random 2 30 oneSign s.InputLength, drawn random 1 12 oneSign s.KernelLength
                | 2 -> drawn random (lowest + 2) 14 oneSign s.InputLength, drawn random 1 3 oneSign s.KernelLength
                | 3 -> drawn random 1 3 oneSign s.InputLength, drawn random (lowest + 1) 4 oneSign s.KernelLength
                | _ -> drawn random (lowest / 2) 12 oneSign s.InputLength, drawn random (lowest / 2) 12 oneSign s.KernelLength

            let b =
                match random.Next 3 with
                | 0 -> [||]
                | 1 -> drawn random 1 3 oneSign s.OutChannels
                | _ -> drawn random lowest 14 oneSign s.OutChannels

            s, x, k, b
    |]

[<Theory>]
[<InlineData("bfloat16")>]
[<InlineData("float16")>]
[<InlineData("float16-accumulate")>]
[<InlineData("tf32")>]
let ``a narrow unit is within lemma 14, and comes near it`` (name: string) =
    let convolution = named name
    let a = formatsOf convolution

    let ratio =
        narrowCases 1500 a
        |> Seq.map (fun (s, x, k, b) ->
            let y, _, _ = exactly s x k b
            run convolution s x k b, y, roundedBound a s x k b)
        |> largestRatio

    Assert.InRange(ratio, 0.5, 1.0)

[<Theory>]
[<InlineData("bfloat16", "float16")>]
[<InlineData("float16", "tf32")>]
[<InlineData("float16-accumulate", "float16")>]
let ``a narrow unit is not within the bound of a better one`` (name: string, better: string) =
    let declared = formatsOf (named better)

    let ratio =
        narrowCases 300 (formatsOf (named name))
        |> Seq.map (fun (s, x, k, b) ->
            let y, _, _ = exactly s x k b
            run (named name) s x k b, y, roundedBound declared s x k b)
        |> largestRatio

    Assert.True(ratio > 1.0)

/// Integers scaled by a power of two, |x| and |k| up to the given numbers. The exponents keep every number normal in float16.
let private scaledIntegers (random: Random) (s: ConvShape) mostX mostK mostB =
    let ex, ek = random.Next(-6, 3), random.Next(-6, 3)
    let scale exponent = Array.map (fun value -> float32 (float value * power exponent))

    scale ex (integers random mostX s.InputLength),
    scale ek (integers random mostK s.KernelLength),
    (if random.Next 2 = 0 then
         [||]
     else
         scale (ex + ek) (integers random mostB s.OutChannels)),
    ex + ek

[<Theory>]
[<InlineData("bfloat16")>]
[<InlineData("float16")>]
[<InlineData("float16-accumulate")>]
[<InlineData("tf32")>]
let ``certified operands are exact in a narrow unit, or rounded once`` (name: string) =
    let convolution = named name
    let a = formatsOf convolution
    let random = Random 5
    let mutable exact, rounded = 0, 0
    // Many operands are small, so that a few bits hold the sum; the others fill the operands' format.
    for s in shapes 15UL 1500 do
        let most = if random.Next 2 = 0 then 1 <<< random.Next 4 else 1 <<< a.Input.Precision
        let x, k, b, e = scaledIntegers random s most (if random.Next 2 = 0 then 1 else most) 100
        let y, sums, biases = exactly s x k b
        let computed = run convolution s x k b

        for at in 0 .. y.Length - 1 do
            let total = sums[at] + biases[at]

            let certified (format: FloatFormat) =
                power e >= format.Epsilon
                && total <= power (format.Precision + e)
                && total <= format.MaxValue

            if certified a.Accumulator then
                rounded <- rounded + 1
                Assert.Equal(a.Output.Round(float32 y[at]), computed[at])

                if certified a.Output then
                    exact <- exact + 1
                    Assert.Equal(y[at], float computed[at])

    Assert.True(exact > 10_000 && rounded > 10_000)

[<Fact>]
let ``what leaves float16 is infinite`` () =
    let s = ConvShape.Parse "c=2 h=1 w=1 o=1 kh=1 kw=1"
    let once (convolution: Narrow) x k = (run convolution s x k [||])[0]
    Assert.Equal(infinityf, once Narrow.Float16 [| 65520f; 0f |] [| 1f; 0f |])
    Assert.Equal(65504f, once Narrow.Float16 [| 65519f; 0f |] [| 1f; 0f |])
    Assert.Equal(-infinityf, once Narrow.Float16 [| 300f; 300f |] [| -300f; 1f |])
    // The sum comes back into the range where it is kept in float32, and not where each product is a float16.
    Assert.Equal(0f, once Narrow.Float16 [| 300f; 300f |] [| 300f; -300f |])
    Assert.True(Single.IsNaN(once Narrow.Float16Accumulate [| 300f; 300f |] [| 300f; -300f |]))
    Assert.Equal(1e30f, once Narrow.BFloat16 [| 1e30f; 0f |] [| 1f; 0f |], 1e28f)

[<Fact>]
let ``an accumulator that could be rounded to twice too coarsely is refused`` () =
    let format = FloatFormat("sixteen bits", 16, -126, 127)

    Assert.Throws<ArgumentException>("arithmetic", (fun () -> Narrow("sixteen", Rounded(FloatFormat.BFloat16, format, format)) |> ignore))
    |> ignore

// ---- lemma 15

let private int8: IConvolution = Int8()

/// The least e with max|v| ≤ L·2^e by search from below, the quantised values, and half a step (zero if all are zero).
let private quantized bits (values: float32[]) =
    let limit = float ((1 <<< (bits - 1)) - 1)
    let most = values |> Array.fold (fun most value -> max most (abs (float value))) 0.0

    if most = 0.0 then
        Array.map float values, 0.0
    else
        let step =
            power (
                Seq.initInfinite (fun at -> at - 200)
                |> Seq.find (fun e -> limit * power e >= most)
            )

        values
        |> Array.map (fun value -> Math.Round(float value / step, MidpointRounding.ToEven) * step),
        step / 2.0

/// w, the bounds (a) on |ŷ − (w + b)| and (b) on |ŷ − y|, the oracle's error and the inflation included.
let private quantizedBounds bits (s: ConvShape) (x: float32[]) (k: float32[]) (b: float32[]) =
    let quantizedX, hx = quantized bits x

    let channels =
        k
        |> Array.chunkBySize (max 1 (int s.TermsPerOutput))
        |> Array.map (quantized bits)

    let plane = int s.OutputPlane
    let w = Oracle.correlate s quantizedX (channels |> Array.collect fst)
    let _, sums, biases = exactly s x k b
    let ofX, ofK = Oracle.correlate s (magnitudes x) (ones k), Oracle.correlate s (ones x) (magnitudes k)
    let gamma = Roundoff.gamma (if b.Length = 0 then 1L else 2L)

    let bound at lost total =
        if (1.0 + gamma) * (total + biases[at]) < float Single.MaxValue then
            (lost
             + gamma * (total + biases[at])
             + Roundoff.smallest
             + Roundoff.gammaDouble (s.TermsPerOutput + 1L) * (sums[at] + biases[at]))
            * Roundoff.inflation
        else
            infinity

    let bias = Reduced.biasOf s (Array.map float b)

    Array.mapi (fun at value -> value + bias at) w,
    Array.init w.Length (fun at -> bound at 0.0 (abs w[at])),
    Array.init w.Length (fun at ->
        let hk = if channels.Length = 0 then 0.0 else snd channels[at / plane % s.OutChannels]
        let lost = hk * ofX[at] + hx * ofK[at] + hx * hk * float s.TermsPerOutput
        bound at lost (sums[at] + lost))

/// Ordinary operands, zero tensors, and operands at both ends of float32's range.
let private quantizedCases =
    lazy
        (let random = Random 6

         let tensor count =
             match random.Next 6 with
             | 0 -> Array.zeroCreate (int count)
             | 1 -> drawn random 128 (1 + random.Next 10) false count
             | 2 -> drawn random -140 8 false count
             | 3 -> drawn random (random.Next(-145, 128)) 20 false count
             | _ -> drawn random 1 (random.Next 12) (random.Next 3 = 0) count

         [|
             for s in shapes 16UL 2500 do
                 if int8.Supports s then
                     let x, k = tensor s.InputLength, tensor s.KernelLength
                     s, x, k, (if random.Next 2 = 0 then [||] else tensor s.OutChannels)
         |])

[<Fact>]
let ``int8 is within lemma 15, and comes near it`` () =
    let results =
        [|
            for s, x, k, b in quantizedCases.Value do
                let ofQuantized, bounds, boundsOfY = quantizedBounds 8 s x k b
                let y, _, _ = exactly s x k b
                let computed = run int8 s x k b
                (computed, ofQuantized, bounds), (computed, y, boundsOfY)
        |]

    Assert.InRange(results |> Seq.map fst |> largestRatio, 0.4, 1.0)
    Assert.InRange(results |> Seq.map snd |> largestRatio, 0.4, 1.0)

[<Fact>]
let ``int8 is not within the bound of nine bits`` () =
    let ratio =
        quantizedCases.Value
        |> Seq.map (fun (s, x, k, b) ->
            let y, _, _ = exactly s x k b
            let _, _, bounds = quantizedBounds 9 s x k b
            run int8 s x k b, y, bounds)
        |> largestRatio

    Assert.True(ratio > 1.0)

[<Fact>]
let ``certified operands are exact in int8`` () =
    let random = Random 7
    let mutable exact = 0

    for s in shapes 17UL 1500 do
        let most = 1 + random.Next 127
        let x, k, b, e = scaledIntegers random s most 127 (1 <<< 22)
        let y, sums, biases = exactly s x k b
        let computed = run int8 s x k b

        for at in 0 .. y.Length - 1 do
            if sums[at] + biases[at] <= power (24 + e) then
                exact <- exact + 1
                Assert.Equal(y[at], float computed[at])

    Assert.True(exact > 50_000)

[<Fact>]
let ``int8 takes what cannot leave 32 bits, and is exact to the last term`` () =
    let terms n = ConvShape.Parse $"c={n} h=1 w=1 o=1 kh=1 kw=1"
    let most = Int32.MaxValue / (127 * 127)
    Assert.True(int8.Supports(terms most))
    Assert.False(int8.Supports(terms (most + 1)))
    let operands = Array.create most 127f
    Assert.Equal(float32 (int64 most * 127L * 127L), (run int8 (terms most) operands operands [||])[0])

[<Fact>]
let ``int8 refuses nothing for not being finite`` () =
    let s = ConvShape.Parse "c=3 h=1 w=1 o=1 kh=1 kw=1"

    for value in [ nanf; infinityf; -infinityf ] do
        run int8 s [| value; 1f; 1e30f |] [| 1f; value; 2f |] [||] |> ignore

// ---- float64

[<Fact>]
let ``float64 is within lemma 2, and rounds the exact sum once where float64 holds it`` () =
    let float64: IConvolution = Float64()
    let random = Random 8

    let ratio =
        shapes 18UL 600
        |> Seq.map (fun s ->
            let x, k = drawn random 3 20 false s.InputLength, drawn random 3 20 false s.KernelLength
            let b = if random.Next 2 = 0 then [||] else drawn random 3 20 false s.OutChannels
            let widened = Array.map float

            let bounds =
                Bound.ofCall Operation.Forward (float64.ArithmeticOf s) float64.Traits s (widened x) (widened k) (widened b)

            let y, _, _ = exactly s x k b
            run float64 s x k b, y, Array.init y.Length bounds.At)
        |> largestRatio

    Assert.InRange(ratio, 0.3, 1.0)

    for s in shapes 19UL 300 do
        let x, k = integers random 100_000 s.InputLength, integers random 100_000 s.KernelLength
        let y, _, _ = exactly s x k [||]
        Assert.Equal<float32[]>(Array.map float32 y, run float64 s x k [||])
