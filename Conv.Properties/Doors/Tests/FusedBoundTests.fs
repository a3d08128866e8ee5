/// Lemma 13 of docs/bounds.md: every way of fusing an affine map that it covers, against exact rationals.
module Conv.Properties.FusedBoundTests

open System
open System.Numerics
open Xunit
open Conv
open Conv.Properties.Exactly

/// With magnitudes from 2^(top − spread) to 2^top.
let private drawn (random: Random) top spread oneSign count =
    Array.init count (fun _ ->
        let magnitude =
            (1.0 + random.NextDouble())
            * Math.ScaleB(1.0, top - 1 - random.Next(spread + 1))

        float32 (if oneSign || random.Next 2 = 0 then magnitude else -magnitude))

let private integers (random: Random) most count = Array.init count (fun _ -> float32 (random.Next(-most, most + 1)))

[<Fact>]
let ``the three ways to fuse an affine map are within lemma 13, and exact on certified numbers`` () =
    let random = Random 9
    let fused (a: float32) b c = MathF.FusedMultiplyAdd(a, b, c)
    let apart (a: float32) b c = float32 (float32 (a * b) + c)
    let mutable largest, exact = 0.0, 0

    for _ in 1..20_000 do
        let n = random.Next(1, 12)
        let whole = random.Next 2 = 0

        let numbers count =
            if whole then
                integers random 9 count
            else
                let top, spread = random.Next(-80, 20), random.Next 40
                drawn random top spread (random.Next 3 = 0) count

        let x, k, others = numbers n, numbers n, numbers 3
        let s, t, b = others[0], others[1], others[2]
        let add = if random.Next 2 = 0 then fused else apart
        let sum (k: float32[]) start = Seq.fold2 (fun sum x k -> add x k sum) start x k

        let results =
            [
                add s (sum k 0f + b) t
                add s (sum k b) t
                sum (Array.map (fun k -> s * k) k) (add s b t)
                sum (Array.map (fun k -> s * k) k) 0f + add s b t
                add s (sum k 0f) (add s b t)
            ]

        let wide = ofDouble << float
        let products = Array.map2 (fun x k -> wide x * wide k) x k
        let total = Array.fold (+) (wide b) products

        let magnitude =
            products
            |> Array.fold (fun sum product -> sum + Rational.Abs product) (Rational.Abs(wide b))

        let absoluteScale, absoluteShift = Rational.Abs(wide s), Rational.Abs(wide t)
        let m = n + 3
        let gamma = Rational(BigInteger m, BigInteger((1 <<< 24) - m))
        let inputs = x |> Array.fold (fun sum value -> sum + Rational.Abs(wide value)) Rational.Zero
        let early, late = absoluteScale * Rational.FromInt32 n, Rational.FromInt32 n + inputs
        let larger = if early <=. late then late else early

        let bound =
            gamma * (absoluteScale * magnitude + absoluteShift)
            + wide Single.Epsilon * (larger + Rational.FromInt32 2)

        for z in results do
            let error = Rational.Abs(wide z - (wide s * total + wide t))
            Assert.True(error <=. bound)

            if
                whole
                && absoluteScale * magnitude + absoluteShift <=. Rational.FromInt32(1 <<< 24)
            then
                exact <- exact + 1
                Assert.True error.IsZero

            if not bound.IsZero then
                let ratio = error / bound
                largest <- max largest (float (ratio.Numerator * BigInteger 1_000_000 / ratio.Denominator) / 1e6)

    Assert.True(exact > 20_000)
    // And the bound says something.
    Assert.True(largest > 0.2, $"{largest}")
