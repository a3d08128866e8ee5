/// The implementations that kernels make up, on every width of vector and number of threads: results, memory, and what Auto chooses.
module Conv.Properties.VectorisedTests

open System
open System.Threading.Tasks
open Xunit
open Conv
open Conv.Properties.KernelTests

let private named (implementation: string) (simd: Simd) =
    match implementation with
    | "im2col" -> Im2col simd :> IConvolution
    | "pointwise" -> Pointwise simd
    | "parallel-tiled" -> ParallelTiled simd
    | "depthwise" -> Depthwise simd
    | "winograd-f2x3" -> Winograd(simd, implementation, 2, 3, [| Rational.One |])
    | "winograd-f4x3" -> Winograd(simd, implementation, 4, 3, [| Rational.One; Rational(bigint 2, bigint 1) |])
    | "winograd-f4x3-accurate" -> Winograd(simd, implementation, 4, 3, Winograd.AccuratePairs)
    | "winograd-f6x3" -> Winograd(simd, implementation, 6, 3, Winograd.EightPoints)
    | _ -> Winograd(simd, implementation, 4, 5, Winograd.EightPoints)

let private vectorised =
    Catalogue.All
    |> Seq.filter (fun c -> c.Traits.Threaded && not (c :? Auto))
    |> Seq.map _.Name
    |> List.ofSeq

let pairs: TheoryData<string, int> =
    let data = TheoryData<string, int>()

    for name in vectorised do
        for simd in Simd.All do
            data.Add(name, simd.Lanes)

    data

let widths = KernelTests.widths

/// Laws that see every element of what a kernel computes, and of what it must leave alone.
let private laws =
    All.laws
    |> List.filter (fun law -> List.contains law.Id [ "MODEL-EXACT"; "MODEL-BOUND"; "THREAD-COUNT"; "GUARD-ZONES"; "STATELESS" ])

[<Theory; MemberData(nameof pairs)>]
let ``every width holds to the definition, on any number of threads, within its tensors`` (name: string, lanes: int) =
    let subject = Contract.ofConvolution (named name (width lanes))
    Assert.Equal(5, laws.Length)

    let results =
        Run.jobs { Run.defaults with Seed = 6UL; Threads = 1; Cases = 40 } laws [ subject ]
        |> Array.map (fun (law, s, tier) -> Run.law { Run.defaults with Seed = 6UL; Threads = 1; Cases = 40 } law s tier)

    Assert.All(results, (fun result -> Assert.True(result.Failure.IsNone, string result.Failure)))

let private random (seed: int) (count: int64) =
    let random = Random seed
    Array.init (int count) (fun _ -> 2f * random.NextSingle() - 1f)

/// Layers that are cut into many parts, with tails everywhere.
let private large =
    [
        "n=2 c=40 h=37 w=45 o=70 kh=3 kw=3 pt=1 pl=1 pb=1 pr=1"
        "n=1 c=70 h=30 w=31 o=90 kh=1 kw=1"
        "n=1 c=24 h=40 w=41 o=30 kh=5 kw=5 pt=2 pl=2 pb=2 pr=2"
        "n=3 c=40 h=50 w=51 o=40 kh=3 kw=3 sh=2 sw=2 pt=1 pl=1 g=40"
        "n=1 c=600 h=9 w=9 o=50 kh=3 kw=3 pt=1 pl=1 pb=1 pr=1"
    ]
    |> List.map ConvShape.Parse

let private run (prepared: IPreparedConvolution) threads (x: float32[]) (y: float32[]) (workspace: byte[]) =
    match prepared with
    | :? IThreadedConvolution as threaded -> threaded.Run(ReadOnlySpan x, Span y, Span workspace, threads)
    | _ -> prepared.Run(ReadOnlySpan x, Span y, Span workspace)

[<Theory; MemberData(nameof widths)>]
let ``sums of more terms than are added at a time are the definition's`` (lanes: int) =
    let simd = width lanes
    let terms, tile, panel = 3 * simd.Depth + 5, 2 * simd.TileRows + 1, simd.Panel

    let shapes =
        [
            $"n=2 c={2 * terms} h=1 w={33 * panel - 1} o={2 * tile} kh=1 kw=1 g=2"
            $"n=2 c={terms} h=7 w=7 o={2 * panel + 3} kh=1 kw=1"
            $"n=1 c={terms} h=3 w=2 o={2 * panel + 3} kh=1 kw=1"
            $"n=1 c={terms / 6} h=9 w=8 o={2 * panel + 3} kh=3 kw=3 pt=1 pl=1 pb=1 pr=1"
            $"n=1 c={terms / 6} h=9 w=8 o={panel} kh=3 kw=3 sh=2 sw=2 pt=1 pl=1"
        ]
        |> List.map ConvShape.Parse

    for shape in shapes do
        let numbers seed (count: int64) = whole seed (int count)
        let x, k, b = numbers 1 shape.InputLength, numbers 2 shape.KernelLength, numbers 3 shape.OutChannels

        let result (implementation: IConvolution) =
            let prepared = implementation.Prepare(shape, ReadOnlySpan k, ReadOnlySpan b)
            let y = Array.create (int shape.OutputLength) nanf
            prepared.Run(ReadOnlySpan x, Span y, Span(Array.create (int prepared.WorkspaceBytes) 0xFFuy))
            y

        let expected = result (Catalogue.All |> Seq.find (fun c -> c.Name = "loop"))

        for name in [ "im2col"; "pointwise"; "parallel-tiled" ] do
            let implementation = named name simd

            if implementation.Supports shape then
                Assert.Equal<float32[]>(expected, result implementation)
            else
                Assert.Equal("pointwise", name)

[<Fact>]
let ``layers of many parts: near the definition, the same bits for every number of threads and for callers side by side`` () =
    let mutable compared = 0

    for shape in large do
        let x, k, b = random 1 shape.InputLength, random 2 shape.KernelLength, random 3 shape.OutChannels

        let expected =
            (Contract.ofConvolution (Catalogue.All |> Seq.find (fun c -> c.Name = "float64"))).Forward shape x k b

        for implementation in Catalogue.All do
            if implementation.Traits.Threaded && implementation.Supports shape then
                let prepared = implementation.Prepare(shape, ReadOnlySpan k, ReadOnlySpan b)

                let call threads =
                    let y = Array.create (int shape.OutputLength) nanf
                    run prepared threads x y (Array.create (int prepared.WorkspaceBytes) 0xFFuy)
                    y

                let alone = call 1

                let bound =
                    Bound.ofCall
                        Operation.Forward
                        (implementation.ArithmeticOf shape)
                        implementation.Traits
                        shape
                        (Array.map float x)
                        (Array.map float k)
                        (Array.map float b)

                alone
                |> Array.iteri (fun at y ->
                    compared <- compared + 1

                    Assert.True(
                        abs (float y - float expected[at])
                        <= bound.At at + 1e-7 * abs (float expected[at]),
                        $"{implementation.Name} {shape} {at}"
                    ))

                Assert.Equal<float32[]>(alone, call 2)
                Assert.Equal<float32[]>(alone, call 7)
                let together = Array.init 6 (fun at -> Task.Run(fun () -> call (1 + at % 3)))
                Assert.All(together, (fun (one: Task<float32[]>) -> Assert.Equal<float32[]>(alone, one.Result)))

    Assert.True(compared > 100_000)

[<Fact>]
let ``a call allocates nothing`` () =
    for shape in large do
        let x, k = random 1 shape.InputLength, random 2 shape.KernelLength

        for implementation in Catalogue.All do
            if implementation.Traits.Threaded && implementation.Supports shape then
                let prepared = implementation.Prepare(shape, ReadOnlySpan k, ReadOnlySpan<float32>.Empty)
                let y = Array.zeroCreate (int shape.OutputLength)
                let workspace = Array.zeroCreate (int prepared.WorkspaceBytes)

                for threads in [ 1; 2 ] do
                    run prepared threads x y workspace
                    let before = GC.GetAllocatedBytesForCurrentThread()
                    run prepared threads x y workspace
                    Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread())

[<Fact>]
let ``a large matrix product is the same on any number of threads, and exact on integers`` () =
    let rows, columns, depth = 150, 530, 610
    let integers seed count = Array.map (fun (x: float32) -> MathF.Round(4f * x)) (random seed count)
    let a, b = integers 1 (int64 (rows * depth)), integers 2 (int64 (depth * columns))

    let product threads =
        let c = Array.zeroCreate (rows * columns)
        Gemm.Add(rows, columns, depth, ReadOnlySpan a, depth, ReadOnlySpan b, columns, Span c, columns, threads)
        c

    let expected =
        Array.init (rows * columns) (fun at ->
            let i, j = at / columns, at % columns
            let mutable sum = 0f

            for k in 0 .. depth - 1 do
                sum <- sum + a[i * depth + k] * b[k * columns + j]

            sum)

    for threads in [ 1; 2; 5 ] do
        Assert.Equal<float32[]>(expected, product threads)

[<Theory>]
[<InlineData("n=1 c=64 h=56 w=56 o=64 kh=3 kw=3 pt=1 pl=1 pb=1 pr=1", "winograd-f4x3-accurate", "parallel-tiled")>]
[<InlineData("n=1 c=512 h=7 w=7 o=2048 kh=1 kw=1", "pointwise", "pointwise")>]
[<InlineData("n=1 c=144 h=56 w=56 o=144 kh=3 kw=3 pt=1 pl=1 pb=1 pr=1 g=144", "depthwise", "depthwise")>]
[<InlineData("n=1 c=128 h=64 w=64 o=128 kh=5 kw=5 pt=2 pl=2 pb=2 pr=2", "winograd-f4x5", "parallel-tiled")>]
[<InlineData("n=1 c=2 h=3 w=3 o=3 kh=2 kw=2", "parallel-tiled", "parallel-tiled")>]
let ``the choice follows the shape, and the limit on errors`` (line: string, free: string, direct: string) =
    let shape = ConvShape.Parse line
    Assert.Equal(free, Auto().Choose(shape).Name)
    let limited = Auto(Auto.Direct, "limited")
    Assert.Equal(direct, limited.Choose(shape).Name)
    Assert.IsType<AnyOrder>(limited.ArithmeticOf shape) |> ignore

[<Fact>]
let ``a workspace is at most twice what input, output and transformed weights take, and im2col's below 4 MiB`` () =
    let layers =
        [
            "n=1 c=64 h=56 w=56 o=64 kh=3 kw=3 pt=1 pl=1 pb=1 pr=1"
            "n=1 c=512 h=7 w=7 o=512 kh=3 kw=3 pt=1 pl=1 pb=1 pr=1"
            "n=1 c=512 h=7 w=7 o=2048 kh=1 kw=1"
            "n=1 c=3 h=224 w=224 o=64 kh=7 kw=7 sh=2 sw=2 pt=3 pl=3 pb=3 pr=3"
            "n=1 c=128 h=256 w=256 o=128 kh=5 kw=5 pt=2 pl=2 pb=2 pr=2"
            "n=1 c=144 h=56 w=56 o=144 kh=3 kw=3 pt=1 pl=1 pb=1 pr=1 g=144"
            "n=1 c=2 h=3 w=3 o=3 kh=2 kw=2"
        ]
        |> List.map ConvShape.Parse

    for shape in layers do
        for implementation in Catalogue.All do
            if implementation.Traits.Threaded && implementation.Supports shape then
                let prepared =
                    implementation.Prepare(shape, ReadOnlySpan(Array.zeroCreate (int shape.KernelLength)), ReadOnlySpan<float32>.Empty)

                let weights =
                    match implementation.ArithmeticOf shape with
                    | :? Bilinear as b ->
                        shape.KernelLength * int64 (b.InputTransform.Rows * b.InputTransform.Rows)
                        / int64 (shape.KernelHeight * shape.KernelWidth)
                    | _ -> shape.KernelLength

                let name = $"{implementation.Name} {shape}"

                Assert.True(
                    prepared.WorkspaceBytes
                    <= 8L * (shape.InputLength + shape.OutputLength + weights),
                    name
                )

                Assert.True(implementation.Name <> "im2col" || prepared.WorkspaceBytes <= (4L <<< 20), name)

[<Fact>]
let ``what is supported has a workspace that fits into a span`` () =
    let shape = ConvShape.Parse "c=1 h=4 w=128 o=600000 kh=3 kw=3 pt=1 pl=1 pb=1 pr=1"
    let kernel = Array.zeroCreate<float32>(int shape.KernelLength)

    let supporting =
        Catalogue.All
        |> Seq.filter (fun c -> c.Traits.Threaded && c.Supports shape)
        |> List.ofSeq

    Assert.Contains("parallel-tiled", supporting |> List.map _.Name)

    for implementation in supporting do
        let prepared = implementation.Prepare(shape, ReadOnlySpan kernel, ReadOnlySpan<float32>.Empty)
        Assert.True(prepared.WorkspaceBytes <= int64 Array.MaxLength, implementation.Name)

[<Fact>]
let ``amplifications are those of the bounds' table`` () =
    let of' (winograd: Winograd) = winograd.Amplification * 9.0
    Assert.Equal(64.0, of' (Winograd 2), 6)
    Assert.Equal(2304.0, of' (Winograd 4), 6)
    Assert.Equal(4579.0, of' (Winograd 6), 0)
    Assert.True(Winograd.AccurateF4x3.Amplification < (Winograd 4).Amplification)

    Assert.Throws<ArgumentOutOfRangeException>(fun () -> Auto(0.5, "worse than exact") |> ignore)
    |> ignore
