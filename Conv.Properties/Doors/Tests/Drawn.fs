/// What the tests of the kit draw: shapes, fills, cases, and small numbers whose arithmetic is exact.
namespace Conv.Properties

open System
open System.Numerics
open FsCheck
open FsCheck.FSharp
open Conv

/// Any valid shape, N, C or O now and then zero.
type AnyShape = AnyShape of ConvShape

/// A shape whose tensors have few elements.
type SmallShape = SmallShape of ConvShape

/// A case of a law for a subject of the catalogue, as the kit draws it, or with its values listed.
type AnyCase = internal AnyCase of Case

module Drawing =
    let shape: Gen<ConvShape> =
        gen {
            let! s = Generate.geometry Traits.Default

            match! Gen.choose (0, 11) with
            | 0 -> return s.With(batch = 0)
            | 1 -> return s.With(inChannels = 0)
            | 2 -> return s.With(outChannels = 0)
            | _ -> return s
        }

    let smallShape: Gen<ConvShape> =
        Generate.geometry Traits.Default
        |> Gen.filter (fun s -> s.InputLength <= 150L && s.KernelLength <= 100L && s.OutputLength <= 200L)

    let private finite =
        ArbMap.defaults
        |> ArbMap.generate<float32>
        |> Gen.filter (fun value -> Single.IsFinite value)

    let internal element: Gen<Element> =
        gen {
            let! role = Gen.elements (Enum.GetValues<Role>())
            let! at = Gen.frequency [ 3, Gen.choose (0, 3); 1, Gen.choose (0, 40) ] |> Gen.four
            let i0, i1, i2, i3 = at

            let! value =
                Gen.frequency [ 3, finite; 1, Gen.elements [ 0f; -0f; Single.MaxValue; Single.Epsilon; 1e-40f; -1f / 3f ] ]

            return { Role = role; I0 = i0; I1 = i1; I2 = i2; I3 = i3; Value = value }
        }

    let internal case: Gen<Case> =
        gen {
            let! law = Gen.elements All.laws
            let! subject = Gen.elements Ours.implementations
            let! tier = Gen.elements law.Tiers
            let! seed = ArbMap.defaults |> ArbMap.generate<uint64>
            let! index = Gen.choose (0, 1_000_000)
            let case = Address.case seed law subject.Profile tier index
            let! drawn = Gen.listOf element

            let elements =
                drawn
                |> List.filter (Case.isInside case.Problem)
                |> List.distinctBy (fun e -> e.Role, e.I0, e.I1, e.I2, e.I3)

            let! listed = Gen.elements [ false; false; true ]
            return if listed then { case with Fill = Explicit elements } else case
        }

    let internal caseShrinks (case: Case) =
        match All.tryFind case.Law with
        | Some law -> Shrink.cases law.Project case
        | None -> Seq.empty

/// For the Arbitrary setting of a property.
type Arbitraries =
    static member AnyShape() =
        Arb.fromGenShrink (Gen.map AnyShape Drawing.shape, (fun (AnyShape s) -> Shrink.shapes s |> Seq.map AnyShape))

    static member SmallShape() =
        Arb.fromGenShrink (Gen.map SmallShape Drawing.smallShape, (fun (SmallShape s) -> Shrink.shapes s |> Seq.map SmallShape))

    static member AnyCase() =
        Arb.fromGenShrink (Gen.map AnyCase Drawing.case, (fun (AnyCase c) -> Drawing.caseShrinks c |> Seq.map AnyCase))

/// Exact arithmetic on the numbers that a double holds.
module Exactly =
    let ofDouble (value: float) =
        let bits = BitConverter.DoubleToInt64Bits value
        let biased = int (bits >>> 52) &&& 0x7FF
        let fraction = bits &&& 0xFFFFFFFFFFFFFL
        let significand = if biased = 0 then fraction else fraction ||| 0x10000000000000L
        let exponent = max biased 1 - 1075
        let signed = if bits < 0L then -(BigInteger significand) else BigInteger significand

        if exponent >= 0 then
            Rational(signed * BigInteger.Pow(2, exponent), 1)
        else
            Rational(signed, BigInteger.Pow(2, -exponent))

    let (<=.) (left: Rational) (right: Rational) = (left - right).Numerator.Sign <= 0

    /// The definition over ℚ, without bias, by its formula.
    let correlate (s: ConvShape) (x: Rational[]) (k: Rational[]) =
        [|
            for n in 0 .. s.Batch - 1 do
                for o in 0 .. s.OutChannels - 1 do
                    for i in 0 .. s.OutHeight - 1 do
                        for j in 0 .. s.OutWidth - 1 do
                            let mutable sum = Rational.Zero

                            for c in 0 .. s.InChannelsPerGroup - 1 do
                                for u in 0 .. s.KernelHeight - 1 do
                                    for v in 0 .. s.KernelWidth - 1 do
                                        let h = i * s.StrideHeight + u * s.DilationHeight - s.PadTop
                                        let w = j * s.StrideWidth + v * s.DilationWidth - s.PadLeft

                                        if h >= 0 && h < s.InHeight && w >= 0 && w < s.InWidth then
                                            let channel = o * s.Groups / s.OutChannels * s.InChannelsPerGroup + c
                                            let value = x[((n * s.InChannels + channel) * s.InHeight + h) * s.InWidth + w]
                                            let taps = (o * s.InChannelsPerGroup + c) * s.KernelHeight + u
                                            sum <- sum + value * k[taps * s.KernelWidth + v]

                            sum
        |]
