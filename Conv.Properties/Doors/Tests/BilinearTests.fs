/// Declared bilinear algorithms: that they compute the correlation, how often they round, and where they are exact.
module Conv.Properties.BilinearTests

open System
open Xunit
open FsCheck
open FsCheck.FSharp
open FsCheck.Xunit
open Conv

let private subject name =
    (Ours.implementations @ Variants.bilinear)
    |> List.find (fun subject -> subject.Name = name)

let private declared name = (subject name).Profile.ArithmeticOf(ConvShape(1, 1, 6, 6, 1, 3, 3)) :?> Bilinear

let private program name = BilinearProgram.Of(declared name)

[<Theory>]
[<InlineData("winograd-f2x3")>]
[<InlineData("winograd-f4x3")>]
let ``the declared matrices compute the correlation, and no other entry would`` (name: string) =
    let own = declared name
    Assert.True((BilinearProgram.Of own).ComputesCorrelation)

    let changed (matrix: RationalMatrix) row column =
        RationalMatrix.Create(
            matrix.Rows,
            matrix.Columns,
            fun i j -> if (i, j) = (row, column) then matrix[i, j] + Rational(1, 24) else matrix[i, j]
        )

    let refuse (matrix: RationalMatrix) (replace: RationalMatrix -> Bilinear) =
        for row in 0 .. matrix.Rows - 1 do
            for column in 0 .. matrix.Columns - 1 do
                let program = BilinearProgram.Of(replace (changed matrix row column))
                Assert.False program.ComputesCorrelation
                Assert.False program.HasExactGrid

    refuse own.OutputTransform (fun m -> Bilinear(m, own.InputTransform, own.KernelTransform))
    refuse own.InputTransform (fun m -> Bilinear(own.OutputTransform, m, own.KernelTransform))
    refuse own.KernelTransform (fun m -> Bilinear(own.OutputTransform, own.InputTransform, m))
    // Matrices whose sizes do not fit each other are no algorithm either.
    Assert.False (BilinearProgram.Of(Bilinear(own.InputTransform, own.InputTransform, own.KernelTransform))).ComputesCorrelation

[<Fact>]
let ``a misdeclared subject is at fault whatever it computes`` () =
    let own = declared "winograd-f2x3"
    let inflated = Bilinear(own.OutputTransform, own.InputTransform, own.InputTransform)
    let honest = subject "loop"

    let liar =
        { honest with
            Profile = { honest.Profile with ArithmeticOf = fun _ -> inflated }
        }

    let law = (All.tryFind "MODEL-BOUND").Value

    match law.Judge liar (Address.case 0UL law honest.Profile Bounded 0) with
    | Faulted(Misdeclared _, _) -> ()
    | other -> Assert.Fail $"{other}"

[<Theory>]
// 2·(3 + 1) + 2·(3 + 2) + 2·(2 + 1) = 24; 2·(5 + 1) + 2·(3 + 2) + 2·(4 + 1) = 32.
[<InlineData("winograd-f2x3", 24, 256, 1)>]
[<InlineData("winograd-f4x3", 32, 147456, 9)>]
let ``roundings, amplification and kernel step by hand`` (name: string, roundings: int, amplification: int, step: int) =
    let program = program name
    Assert.Equal(roundings + 1, program.Roundings 1)
    Assert.Equal(roundings + 64, program.Roundings 64)
    Assert.Equal(float amplification, program.Amplification)
    Assert.Equal(step, program.KernelStep)
    Assert.True program.HasExactGrid

[<Fact>]
let ``products with 1/3 that are fused or kept wider leave no exact grid`` () =
    let unpromised name =
        Bilinear(declared(name).OutputTransform, declared(name).InputTransform, declared(name).KernelTransform)

    Assert.True((BilinearProgram.Of(unpromised "winograd-f2x3")).HasExactGrid)
    Assert.False((BilinearProgram.Of(unpromised "winograd-f4x3")).HasExactGrid)

[<Fact>]
let ``the absolute program of ones, by hand`` () =
    // The greatest over the tile phases of the product of two row sums: 8·8 for F(2,3), 48·48 for F(4,3), where all is inside.
    let s = ConvShape(1, 1, 16, 16, 1, 3, 3)
    let ones count = Array.create count 1.0
    let centre = 7 * 14 + 7
    Assert.Equal(64.0, (program "winograd-f2x3").Absolute(s, ones 256, ones 9)[centre])
    Assert.Equal(2304.0, Math.Round((program "winograd-f4x3").Absolute(s, ones 256, ones 9)[centre], 9))

[<Fact>]
let ``the bilinear bound, by hand`` () =
    let s = ConvShape(1, 1, 16, 16, 1, 3, 3)
    let ones count = Array.create count 1.0

    let bound bias =
        (Bound.ofCall Operation.Forward (declared "winograd-f2x3") Traits.Default s (ones 256) (ones 9) bias).At(7 * 14 + 7)

    let inflated = 1.0 + Math.ScaleB(1.0, -20)
    Assert.Equal(64.0 * 25.0 / (16777216.0 - 25.0) * inflated, bound [||], 1e-18)
    Assert.Equal(67.0 * 27.0 / (16777216.0 - 27.0) * inflated, bound [| -3.0 |], 1e-18)

// ---- where it is exact

/// t·D·C of dense operands at their greatest magnitudes, one input an odd number, so that the grid is that of whole numbers.
let private dense name t most channels step =
    let s = ConvShape(1, channels, 16, 16, 1, 3, 3)

    let x =
        Array.init (channels * 256) (fun at -> if at = 0 then float (most - 1 + most % 2) else float most)

    (program name).IsExact(s, x, Array.create (channels * 9) (float (t * step)), [||], -149)

[<Theory>]
[<InlineData(1, 65536, 1, true)>]
[<InlineData(1, 65537, 1, false)>]
[<InlineData(3, 21845, 1, true)>]
[<InlineData(3, 21847, 1, false)>]
[<InlineData(1, 8192, 8, true)>]
[<InlineData(1, 8193, 8, false)>]
[<InlineData(5, 13107, 1, true)>]
[<InlineData(5, 2623, 5, false)>]
let ``F(2,3) is certified on integers up to t·D·C = 65,536`` (t: int, most: int, channels: int, certified: bool) =
    Assert.Equal(certified, dense "winograd-f2x3" t most channels 1)

[<Theory>]
[<InlineData(1, 113, 1, true)>]
[<InlineData(1, 114, 1, false)>]
[<InlineData(1, 115, 1, false)>]
[<InlineData(3, 37, 1, true)>]
[<InlineData(3, 39, 1, false)>]
[<InlineData(1, 7, 16, true)>]
[<InlineData(1, 9, 13, false)>]
let ``F(4,3) is certified on kernels of nines up to t·D·C = 113`` (t: int, most: int, channels: int, certified: bool) =
    Assert.Equal(certified, dense "winograd-f4x3" t most channels 9)

[<Theory>]
[<InlineData(1)>]
[<InlineData(2)>]
[<InlineData(3)>]
[<InlineData(6)>]
[<InlineData(8)>]
let ``F(4,3) is not certified on other multiples`` (step: int) = Assert.False(dense "winograd-f4x3" 1 1 1 step)

[<Fact>]
let ``the bias counts in the certificate`` () =
    let s = ConvShape(1, 1, 16, 16, 1, 3, 3)
    let x = Array.init 256 (fun at -> if at = 0 then 65535.0 else 65534.0)
    let certified bias = (program "winograd-f2x3").IsExact(s, x, Array.create 9 1.0, [| bias |], -149)
    Assert.True(certified 64.0)
    Assert.False(certified 256.0)
    // Off the grid it refines the grid.
    Assert.False(certified 0.25)

[<Fact>]
let ``the counterexample to a check of the two-sided product alone is refused`` () =
    // g[0][1] = 9, g[1][1] = 9·3,670,016: G·g is no float. It stands in a channel whose input is zero, where no other check meets it.
    let s = ConvShape(1, 2, 6, 6, 1, 3, 3)
    let x = Array.init 72 (fun at -> if at < 36 then 0.0 else 1.0)

    let kernel top centre =
        Array.init 18 (fun at ->
            if at = 1 then top
            elif at = 4 then centre
            elif at = 13 then 9.0
            else 0.0)

    Assert.False((program "winograd-f4x3").IsExact(s, x, kernel 9.0 33_030_144.0, [||], -149))
    Assert.True((program "winograd-f4x3").IsExact(s, x, kernel 9.0 18.0, [||], -149))

[<Fact>]
let ``sparse channels keep the certificate at any depth`` () =
    let s = ConvShape(1, 200, 6, 6, 1, 3, 3)
    let x = Array.init (200 * 36) (fun at -> if at / 36 % 100 = 0 then 50.0 + float (at % 2) else 0.0)
    let k = Array.init (200 * 9) (fun at -> if at / 9 % 100 = 0 then 9.0 else float (at % 7) * 9.0)
    let program = program "winograd-f4x3"
    Assert.True(program.IsExact(s, x, k, [||], -149))

/// Exact on every one of the tries, or not on how many.
let private wrong name (tries: int) step inputs kernels channels =
    let subject = subject name
    let s = ConvShape(1, channels, 7, 8, 2, 3, 3, padTop = 1, padRight = 1)
    let mutable wrong, certified = 0, 0

    for seed in 1..tries do
        let lattice =
            {
                InputMax = inputs
                KernelMax = kernels
                KernelStep = step
                BiasMax = 9
                InputExponent = 0
                KernelExponent = 0
                LiveEvery = 1
            }

        let tensor role dims = (Fill.tensor (Drawn(Lattice lattice, uint64 seed)) role dims).Data
        let x = tensor Role.Input (1, channels, 7, 8)
        let k = tensor Role.Kernel (2, channels, 3, 3)
        let b = tensor Role.Bias (2, 1, 1, 1)
        let biasAt = Reduced.biasOf s b
        let expected = Oracle.correlate s x k |> Array.mapi (fun at y -> y + biasAt at)
        let actual = subject.Forward s (Array.map float32 x) (Array.map float32 k) (Array.map float32 b)

        if expected <> Array.map float actual then
            wrong <- wrong + 1

        if Bound.isExact Operation.Forward (declared name) Traits.Default s x k b then
            certified <- certified + 1

    wrong, certified

[<Theory>]
[<InlineData("winograd-f4x3")>]
[<InlineData("variant:winograd-f4x3-shifted")>]
let ``F(4,3) is exact where it is certified`` (name: string) =
    for inputs, kernels, channels in [ 112, 1, 1; 1, 112, 1; 9, 4, 3; 3, 3, 12 ] do
        Assert.Equal((0, 1000), wrong name 1000 9 inputs kernels channels)

[<Theory>]
[<InlineData("winograd-f2x3")>]
[<InlineData("variant:winograd-f2x3-shifted")>]
let ``F(2,3) is exact where it is certified`` (name: string) =
    for inputs, kernels, channels in [ 65_000, 1, 1; 250, 250, 1; 90, 70, 10 ] do
        Assert.Equal((0, 1000), wrong name 1000 1 inputs kernels channels)

[<Fact>]
let ``the certificate refuses where F(4,3) does err`` () =
    for step in [ 1; 3 ] do
        let wrong, certified = wrong "winograd-f4x3" 200 step 9 4 3
        Assert.True(wrong > 150)
        Assert.Equal(0, certified)
