/// The judges judged: the oracle, the any-order bound, and values with errors, against exact rationals and numbers computed by hand.
module Conv.Properties.JudgingTests

open System
open Xunit
open FsCheck
open FsCheck.FSharp
open FsCheck.Xunit
open Conv
open Conv.Properties.Judging
open Conv.Properties.Exactly

let private tensor fill role dims = (Fill.tensor fill role dims).Data
let private input (s: ConvShape) fill = tensor fill Role.Input (s.Batch, s.InChannels, s.InHeight, s.InWidth)

let private kernel (s: ConvShape) fill = tensor fill Role.Kernel (s.OutChannels, s.InChannelsPerGroup, s.KernelHeight, s.KernelWidth)

let private bias (s: ConvShape) fill = tensor fill Role.Bias (s.OutChannels, 1, 1, 1)

let private loopIn<'n
    when 'n :> Numerics.IAdditionOperators<'n, 'n, 'n>
    and 'n :> Numerics.IMultiplyOperators<'n, 'n, 'n>
    and 'n :> Numerics.IAdditiveIdentity<'n, 'n>>
    (s: ConvShape)
    (x: 'n[])
    (k: 'n[])
    (b: 'n[])
    =
    let y = Array.zeroCreate (int s.OutputLength)
    Loop.Convolve<'n>(s, ReadOnlySpan x, ReadOnlySpan k, ReadOnlySpan b, Span y)
    y

// ---- the oracle

[<Property(Arbitrary = [| typeof<Arbitraries> |], MaxTest = 300)>]
let ``the oracle is the loop on integers`` (AnyShape s) (seed: uint64) =
    let fill = Drawn(FewBits, seed)
    let x, k = input s fill, kernel s fill
    Assert.Equal<float[]>(loopIn s x k [||], Oracle.correlate s x k)

    match Bound.ofOracle Operation.Forward s x k [||] with
    | Zero -> ()
    | Each _ -> Assert.Fail "integers are exact in double"

[<Fact>]
let ``sums of scaled rows are those of one number after the other`` () =
    let random = Random 5
    let source = Array.init 400 (fun _ -> random.NextDouble() - 0.5)
    let terms = [| struct (0, 1.5); struct (3, -0.1); struct (2, 1.0 / 3.0) |]

    for length in 1..40 do
        let count = Values.wholeVectors length
        Assert.InRange(count, length, length + 15)
        let target = Array.create (count + 2) 7.0
        Values.combine terms source 5 count target 1 count

        let expected =
            [|
                7.0

                for i in 0 .. count - 1 do
                    let mutable sum = 0.0

                    for struct (column, factor) in terms do
                        sum <- sum + factor * source[5 + column * count + i]

                    sum

                7.0
            |]

        Assert.Equal<float[]>(expected, target)

[<Fact>]
let ``numbers are alike in size where signs alone differ`` () =
    for length in 0..20 do
        let a = Array.init length (fun at -> float at - 7.5)
        Assert.True(Values.areAlikeInSize a (Array.map (~-) a))

        for at in 0 .. length - 1 do
            Assert.False(Values.areAlikeInSize a (Array.updateAt at 0.25 a))

        Assert.False(Values.areAlikeInSize a (Array.append a [| 0.0 |]))

/// A judgement takes the bound of a call for that of another call whose operands differ in their signs.
[<Property(Arbitrary = [| typeof<Arbitraries> |], MaxTest = 200)>]
let ``a bound does not depend on the signs of operands`` (AnyCase case) (seed: uint64) =
    let s = case.Problem

    let signed (values: float[]) =
        values
        |> Array.mapi (fun at v -> if Fill.mix (seed + uint64 at) % 2UL = 0UL then v else -v)

    let x, k, b = input s case.Fill, kernel s case.Fill, bias s case.Fill

    for subject in Ours.implementations do
        let profile = subject.Profile

        if profile.Supports s then
            let arithmetic = profile.ArithmeticOf s
            let bound x k = Bound.ofCall Operation.Forward arithmetic profile.Traits s x k b
            let mine, other = bound x k, bound (signed x) (signed k)

            for at in 0 .. int s.OutputLength - 1 do
                Assert.Equal(mine.At at, other.At at)

[<Property(Arbitrary = [| typeof<Arbitraries> |], MaxTest = 60)>]
let ``the oracle's own error is within its bound`` (SmallShape s) (seed: uint64) =
    let fill = Drawn(Wide, seed)
    let x, k = input s fill, kernel s fill
    let exact = correlate s (Array.map ofDouble x) (Array.map ofDouble k)
    let error = Bound.ofOracle Operation.Forward s x k [||]

    Oracle.correlate s x k
    |> Array.iteri (fun at y -> Assert.True(Rational.Abs(ofDouble y - exact[at]) <=. ofDouble (error.At at)))

let private figureInput = [| 0.; 1.; 2.; 3.; 4.; 5.; 6.; 7.; 8.; 1.; 2.; 3.; 4.; 5.; 6.; 7.; 8.; 9. |]

[<Fact>]
let ``the oracle computes the figure`` () =
    let k = [| 0.; 1.; 2.; 3.; 1.; 2.; 3.; 4. |]
    Assert.Equal<float[]>([| 56.; 72.; 104.; 120. |], Oracle.correlate (ConvShape(1, 2, 3, 3, 1, 2, 2)) figureInput k)
    let stack = Array.concat [ k; Array.map ((+) 1.) k; Array.map ((+) 2.) k ]

    Assert.Equal<float[]>(
        [| 56.; 72.; 104.; 120.; 76.; 100.; 148.; 172.; 96.; 128.; 192.; 224. |],
        Oracle.correlate (ConvShape(1, 2, 3, 3, 3, 2, 2)) figureInput stack
    )

[<Fact>]
let ``the oracle computes strides, pads and dilations by hand`` () =
    // Rows 1 2 3 / 4 5 6; two taps two columns apart; a column of zeros before, two after: columns −1, 1, 3 meet 1 and 3.
    let s = ConvShape(1, 1, 2, 3, 1, 1, 2, strideWidth = 2, padLeft = 1, padRight = 2, dilationWidth = 2)
    Assert.Equal<float[]>([| 10. * 2.; 2. + 10. * 0.; 10. * 5.; 5. |], Oracle.correlate s [| 1.; 2.; 3.; 4.; 5.; 6. |] [| 1.; 10. |])
    // Two groups: output 0 sees channel 0, output 1 channel 1.
    let grouped = ConvShape(1, 2, 1, 2, 2, 1, 1, groups = 2)
    Assert.Equal<float[]>([| 3.; 6.; 50.; 70. |], Oracle.correlate grouped [| 1.; 2.; 5.; 7. |] [| 3.; 10. |])

// ---- the bound of any order

let private near expected (actual: float) = Assert.InRange(actual, expected * (1.0 - 1e-14), expected * (1.0 + 1e-14))

[<Fact>]
let ``the any-order bound, by hand`` () =
    // x = 1, −2, k = 3, ½: S = 4, n = 2; with b = −5, S + |b| = 9 and n + 1 = 3. γ_m = m/(2²⁴ − m).
    let s = ConvShape(1, 1, 1, 2, 1, 1, 2)

    let bound bias =
        (Bound.ofCall Operation.Forward (AnyOrder()) Traits.Default s [| 1.; -2. |] [| 3.; 0.5 |] bias).At 0

    near
        ((4.0 * 2.0 / 16777214.0 + 2.0 * Math.ScaleB(1.0, -149))
         * (1.0 + Math.ScaleB(1.0, -20)))
        (bound [||])

    near
        ((9.0 * 3.0 / 16777213.0 + 3.0 * Math.ScaleB(1.0, -149))
         * (1.0 + Math.ScaleB(1.0, -20)))
        (bound [| -5. |])

[<Fact>]
let ``the underflow term is all that tiny products leave`` () =
    let s, tiny = ConvShape(1, 1, 1, 1, 1, 1, 1), Math.ScaleB(1.0, -100)

    let bound =
        (Bound.ofCall Operation.Forward (AnyOrder()) Traits.Default s [| tiny |] [| tiny |] [||]).At 0

    near (Math.ScaleB(1.0, -149) * (1.0 + Math.ScaleB(1.0, -20))) bound
    let flushing = Traits(FlushesSubnormals = true)
    let flushed = (Bound.ofCall Operation.Forward (AnyOrder()) flushing s [| tiny |] [| tiny |] [||]).At 0
    Assert.True(flushed >= 3.0 * Math.ScaleB(1.0, -126))

[<Fact>]
let ``no bound where the result may overflow, or nothing is declared`` () =
    let s = ConvShape(1, 1, 1, 1, 1, 1, 1)
    let bound arithmetic x = (Bound.ofCall Operation.Forward arithmetic Traits.Default s [| x |] [| 1.0 |] [||]).At 0
    Assert.Equal(infinity, bound (AnyOrder()) (float Single.MaxValue))
    Assert.True(Double.IsFinite(bound (AnyOrder()) (float Single.MaxValue / 2.0)))
    Assert.Equal(infinity, bound (Opaque()) 1.0)

[<Property(Arbitrary = [| typeof<Arbitraries> |], MaxTest = 40)>]
let ``the loop is within its bound of the exact result`` (SmallShape s) (seed: uint64) =
    let fill = Drawn(Wide, seed)
    let x, k, b = input s fill, kernel s fill, bias s fill
    let exact = correlate s (Array.map ofDouble x) (Array.map ofDouble k)
    let bound = Bound.ofCall Operation.Forward (AnyOrder()) Traits.Default s x k b
    let y = loopIn s (Array.map float32 x) (Array.map float32 k) (Array.map float32 b)
    let biasAt = Reduced.biasOf s b

    y
    |> Array.iteri (fun at y ->
        let expected = exact[at] + ofDouble (biasAt at)
        Assert.True(Rational.Abs(ofDouble (float y) - expected) <=. ofDouble (bound.At at)))

// ---- the certificate of any order

let private isExact x k b =
    Bound.isExact Operation.Forward (AnyOrder()) Traits.Default (ConvShape(1, 1, 1, Array.length x, 1, 1, Array.length k)) x k b

[<Fact>]
let ``the any-order certificate at its edges`` () =
    let two24 = Math.ScaleB(1.0, 24)
    Assert.True(isExact [| two24 - 1.0 |] [| 1.0 |] [| 1.0 |])
    Assert.False(isExact [| two24 - 1.0; 1.0 |] [| 1.0; 1.0 |] [| 1.0 |])
    // A bound on S alone proves nothing: 4097² needs 25 bits.
    let x = Math.ScaleB(4097.0, -12)
    Assert.False(isExact [| x |] [| x |] [||])
    // A bias off the products' grid refines it.
    Assert.True(isExact [| 4096.0 |] [| 1023.0 |] [| 0.25 |])
    Assert.False(isExact [| 4096.0 |] [| 1024.0 |] [| 0.25 |])
    // The grid must be one of float32 near zero.
    Assert.True(isExact [| Math.ScaleB(1.0, -149) |] [| 1.0 |] [||])
    Assert.False(isExact [| Math.ScaleB(1.0, -149) |] [| 0.5 |] [||])
    // Zeros leave the bias, whatever it is.
    Assert.True(isExact [| 0.0 |] [| 0.1f |> float |] [| float 0.1f |])

[<Fact>]
let ``what overflows is not certified`` () =
    let large = Math.ScaleB(1.0, 100)
    Assert.True(isExact [| large |] [| Math.ScaleB(1.0, 27) |] [||])
    Assert.False(isExact [| large |] [| Math.ScaleB(1.0, 28) |] [||])
    Assert.False(isExact [| large; large |] [| Math.ScaleB(1.0, 27); Math.ScaleB(1.0, 27) |] [||])

[<Property(MaxTest = 200)>]
let ``certified sums are exact in any order`` (seed: uint64) =
    let s = ConvShape(1, 3, 4, 5, 2, 2, 3, padLeft = 1)

    let lattice =
        {
            InputMax = 700
            KernelMax = 600
            KernelStep = 1
            BiasMax = 1000
            InputExponent = -3
            KernelExponent = 5
            LiveEvery = 1
        }

    let fill = Drawn(Lattice lattice, seed)
    let x, k, b = input s fill, kernel s fill, bias s fill
    Assert.True(Bound.isExact Operation.Forward (AnyOrder()) Traits.Default s x k b)
    let biasAt = Reduced.biasOf s b
    let expected = Oracle.correlate s x k |> Array.mapi (fun at y -> y + biasAt at)

    for subject in Variants.anyOrder do
        let y = subject.Forward s (Array.map float32 x) (Array.map float32 k) (Array.map float32 b)
        Assert.Equal<float[]>(expected, Array.map float y)

// ---- values with errors

let private approx dims data errors = { Value = Values.ofArray dims data; Error = errors }
let private normal (value: NormalFloat) = if abs value.Get > 1e100 then 1.0 else value.Get

[<Property(MaxTest = 500)>]
let ``a sum carries what it loses, exactly`` (a: NormalFloat) (b: NormalFloat) (scale: int8) =
    let a, b = normal a, Math.ScaleB(normal b, int scale)
    let one value = approx (1, 1, 1, 1) [| value |] Zero

    for sum, exact in [ one a + one b, ofDouble a + ofDouble b; one a - one b, ofDouble a - ofDouble b ] do
        let lost = Rational.Abs(ofDouble sum.Value.Data[0] - exact)
        Assert.True(lost <=. ofDouble (sum.Error.At 0))
        Assert.True(ofDouble (sum.Error.At 0) <=. lost * Rational(1001, 1000))
        Assert.Equal(lost.IsZero, sum.Error.IsZero)

[<Fact>]
let ``errors of terms add up`` () =
    let a = approx (1, 1, 1, 2) [| 1.0; 2.0 |] (Each [| 0.25; 0.5 |])
    let b = approx (1, 1, 1, 2) [| 10.0; 20.0 |] (Each [| 1.0; 2.0 |])

    for sum in [ a + b; a - b; a + Approx.exact b.Value; Approx.exact a.Value - b ] do
        let expected at =
            (if sum.Error.At 0 < 0.3 then 0.25
             elif sum.Error.At 0 < 1.1 then 1.0
             else 1.25)
            * float (at + 1)

        for at in 0..1 do
            Assert.InRange(sum.Error.At at, expected at, expected at * 1.0000001)

    near 1.25 ((a + b).Error.At 0)
    near 0.25 ((a + Approx.exact b.Value).Error.At 0)
    near 1.0 ((Approx.exact a.Value - b).Error.At 0)
    Assert.Equal(0.5, (-a).Error.At 1)
    Assert.Equal(4.0, Approx.ScaleB(a, 3).Error.At 1)

/// Errors of half the values, so that each error shows where its value went.
let private halves dims =
    let data = Values.init dims (fun i0 i1 i2 i3 -> float (1 + i3 + 10 * (i2 + 10 * (i1 + 10 * i0))))
    { Value = data; Error = Each(data.Data |> Array.map (fun v -> v / 2.0)) }

[<Fact>]
let ``errors go where their values go`` () =
    let a = halves (2, 4, 3, 5)

    let moved =
        [
            Approx.images 1 1 a
            Approx.channels 1 2 a
            Approx.cut (Slice.every 2 -1 4) (Slice.from 2 6) a
            Approx.cut (Slice.padded 1 3 4) (Slice.padded 2 4 5) a
            Approx.zeroStuff (2, 3) a
            Approx.flip a
            Approx.transpose a
            Approx.permute 0 2 (fun i -> 1 - i) a
            Approx.permute 1 4 (fun i -> 3 - i) a
            Approx.reshape (4, 2, 5, 3) a
            Approx.concat 0 [ a; halves (1, 4, 3, 5) ]
            Approx.concat 1 [ halves (2, 3, 3, 5); a ]
        ]

    for b in moved do
        Assert.Contains(b.Value.Data, (fun v -> v > 0.0))

        for at in 0 .. b.Value.Length - 1 do
            Assert.Equal(b.Value.Data[at] / 2.0, b.Error.At at)

    // One part without errors: the others keep theirs.
    let mixed = Approx.concat 1 [ Approx.exact a.Value; a ]
    Assert.Equal(0.0, mixed.Error.At 0)
    Assert.Equal(mixed.Value[0, 4, 0, 0] / 2.0, mixed.Error.At(mixed.Value.At(0, 4, 0, 0)))

let private anyCase tier s = { Law = ""; Tier = tier; Problem = s; Args = []; Fill = Explicit [] }
let private loop = Ours.implementations |> List.find (fun subject -> subject.Name = "loop")

[<Property(Arbitrary = [| typeof<Arbitraries> |], MaxTest = 60)>]
let ``what a convolution makes of its operands' errors is enough`` (SmallShape s) (seed: uint64) (share: bool) =
    // Positive operands that are all too small by the whole of their errors: no term of the propagation can be spared.
    let fill = Drawn(Positive, seed)
    let x, k, b = input s fill, kernel s fill, bias s fill
    let errors (share: float) data = data |> Array.map (fun v -> v * share)
    let ex, ek, eb = errors 0.5 x, errors (if share then 0.25 else 2.0) k, errors 4.0 b
    use trial = new Trial(loop, anyCase Bounded s, false)

    let y =
        trial.Conv(
            s,
            approx (s.Batch, s.InChannels, s.InHeight, s.InWidth) x (Each ex),
            approx (s.OutChannels, s.InChannelsPerGroup, s.KernelHeight, s.KernelWidth) k (Each ek),
            approx (s.OutChannels, 1, 1, 1) b (Each eb)
        )

    let sum a e = Array.map2 (fun a e -> ofDouble a + ofDouble e) a e
    let exact = correlate s (sum x ex) (sum k ek)
    let plane = int s.OutputPlane

    for at in 0 .. y.Value.Length - 1 do
        let o = at / plane % s.OutChannels
        let distance = Rational.Abs(ofDouble y.Value.Data[at] - exact[at] - ofDouble b[o] - ofDouble eb[o])
        Assert.True(distance <=. ofDouble (y.Error.At at))
        // Nor is it more than that by more than rounding errors.
        Assert.True(ofDouble (y.Error.At at) <=. distance * Rational(10001, 10000))

[<Fact>]
let ``an operand that is no float32 is charged its rounding`` () =
    let s = ConvShape(1, 1, 1, 1, 1, 1, 1)
    let one value = Approx.exact (Values.ofArray (1, 1, 1, 1) [| value |])
    use trial = new Trial(loop, anyCase Bounded s, false)
    let y = trial.Conv(s, one 0.1, one 1.0)
    Assert.Equal(float 0.1f, y.Value.Data[0])
    let lost = abs (float 0.1f - 0.1)
    Assert.True(y.Error.At 0 >= lost)
    Assert.True(y.Error.At 0 <= lost + 1.01 * Math.ScaleB(float 0.1f, -24))

[<Fact>]
let ``a case of the exact tier that is off its grid decides nothing`` () =
    let s = ConvShape(1, 1, 1, 2, 1, 1, 2)
    let values dims data = Approx.exact (Values.ofArray dims data)
    use trial = new Trial(loop, anyCase Exact s, false)

    trial.Conv(s, values (1, 1, 1, 2) [| 1.0; 2.0 |], values (1, 1, 1, 2) [| 3.0; 4.0 |])
    |> ignore

    Assert.False trial.LeftGrid

    trial.Conv(s, values (1, 1, 1, 2) [| 1.0; float 0.1f |], values (1, 1, 1, 2) [| 3.0; float 0.3f |])
    |> ignore

    Assert.True trial.LeftGrid
