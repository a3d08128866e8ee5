/// The implementations that kernels make up, on every width of vector and number of threads: results, memory, and what Auto chooses.
module Conv.Properties.VectorisedTests

open System
open System.Threading.Tasks
open Xunit
open Conv
open Conv.Properties.KernelTests

let private vectorised = Catalogue.All |> Seq.choose tryUnbox<IVectorised> |> List.ofSeq

let private on lanes (implementation: IVectorised) = implementation.On(width lanes)

let pairs: TheoryData<string, int> =
    let data = TheoryData<string, int>()

    for implementation in vectorised do
        for simd in Simd.All do
            data.Add(implementation.Name, simd.Lanes)

    data

let widths = KernelTests.widths

/// Laws that see every element of what a kernel computes, of what it must leave alone, and its workspace.
let private laws =
    [ "MODEL-EXACT"; "MODEL-BOUND"; "THREAD-COUNT"; "GUARD-ZONES"; "STATELESS"; "WORKSPACE-SIZE" ]
    |> List.map (All.tryFind >> Option.get)

/// The laws that the implementation breaks on vectors of so many numbers.
let private broken (implementation: IVectorised) lanes =
    let subject = Contract.ofConvolution (implementation |> on lanes)
    let options = { Run.defaults with Seed = 6UL; Threads = 1; Cases = 40 }

    Rounds.jobs options laws [ subject ]
    |> Array.map (fun (law, s, tier) -> Run.law options law s tier)
    |> Array.choose (fun result -> result.Failure |> Option.map (fun failure -> $"{result.Law.Id}: {failure}"))

[<Theory; MemberData(nameof pairs)>]
let ``every width holds to the definition, on any number of threads, within its tensors and its workspace`` (name: string, lanes: int) =
    Assert.Empty(broken (vectorised |> List.find (fun c -> c.Name = name)) lanes)

/// Writes zeros, whatever the width.
type private Zeros() =
    interface IVectorised with
        member z.On(_: Simd) = z
        member _.Name = "zeros"
        member _.Supports(_: ConvShape) = true
        member _.ArithmeticOf(_: ConvShape) = AnyOrder()

        member _.Prepare(_: ConvShape, _: ReadOnlySpan<float32>, _: ReadOnlySpan<float32>) =
            { new IPreparedConvolution with
                member _.WorkspaceBytes = 0L
                member _.Run(_: ReadOnlySpan<float32>, output: Span<float32>, _: Span<byte>) = output.Clear()
            }

[<Theory; MemberData(nameof widths)>]
let ``an implementation is tested as itself: one that writes zeros breaks the laws on every width`` (lanes: int) =
    Assert.Contains(broken (Zeros()) lanes, (fun failure -> failure.StartsWith("MODEL-EXACT", StringComparison.Ordinal)))

[<Fact>]
let ``whoever is given kernels of a width offers every width`` () =
    let takesKernels (c: Type) =
        c.GetConstructors(
            Reflection.BindingFlags.Instance
            ||| Reflection.BindingFlags.Public
            ||| Reflection.BindingFlags.NonPublic
        )
        |> Seq.collect _.GetParameters()
        |> Seq.exists (fun p -> p.ParameterType = typeof<Simd>)

    let types =
        typeof<IConvolution>.Assembly.GetTypes()
        |> Array.filter (fun c -> typeof<IConvolution>.IsAssignableFrom c && takesKernels c)

    Assert.NotEmpty types
    Assert.All(types, (fun c -> Assert.True(typeof<IVectorised>.IsAssignableFrom c, c.Name)))

    Assert.Equal<Type list>(
        types |> Seq.sortBy _.Name |> List.ofSeq,
        vectorised |> List.map _.GetType() |> List.distinct |> List.sortBy _.Name
    )

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

        let direct =
            vectorised
            |> List.map (on lanes)
            |> List.filter (fun c -> c.Supports shape && (c.ArithmeticOf shape :? AnyOrder))

        Assert.True(direct.Length >= 2)

        for implementation in direct do
            Assert.Equal<float32[]>(expected, result implementation)

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
let ``the widest panel is that of the widest vectors`` () = Assert.Equal(Simd.WidestPanel, Simd.All |> Seq.map _.Panel |> Seq.max)

/// Small ones with a tail in every dimension, layers of networks, and what fills no vector.
let private workspaces =
    [
        "n=1 c=64 h=56 w=56 o=64 kh=3 kw=3 pt=1 pl=1 pb=1 pr=1"
        "n=1 c=512 h=7 w=7 o=512 kh=3 kw=3 pt=1 pl=1 pb=1 pr=1"
        "n=1 c=512 h=7 w=7 o=2048 kh=1 kw=1"
        "n=1 c=70 h=64 w=64 o=3 kh=1 kw=1"
        "n=1 c=3 h=224 w=224 o=64 kh=7 kw=7 sh=2 sw=2 pt=3 pl=3 pb=3 pr=3"
        "n=1 c=128 h=256 w=256 o=128 kh=5 kw=5 pt=2 pl=2 pb=2 pr=2"
        "n=1 c=144 h=56 w=56 o=144 kh=3 kw=3 pt=1 pl=1 pb=1 pr=1 g=144"
        "n=1 c=1 h=9 w=4000 o=1 kh=3 kw=3 sw=3 pt=1 pl=1 pb=1 pr=1"
        "n=1 c=2 h=3 w=3 o=3 kh=2 kw=2"
        "n=1 c=1 h=1 w=1 o=1 kh=1 kw=1"
        "n=3 c=0 h=5 w=5 o=2 kh=3 kw=3"
        "n=1 c=2 h=70 w=70 o=1 kh=50 kw=50"
        "n=1 c=3 h=90 w=90 o=33 kh=3 kw=3 dh=40 dw=40"
        "n=16 c=1 h=3 w=3 o=600 kh=3 kw=3 pt=1 pl=1 pb=1 pr=1"
    ]
    |> List.map ConvShape.Parse

[<Theory; MemberData(nameof widths)>]
let ``no workspace is beyond what is promised for every processor`` (lanes: int) =
    let implementations = [ yield! vectorised |> List.map (on lanes); Auto() ]
    let mutable asked = 0

    for shape in workspaces do
        for implementation in implementations do
            if implementation.Supports shape then
                let kernel = Array.zeroCreate<float32>(int shape.KernelLength)
                let prepared = implementation.Prepare(shape, ReadOnlySpan kernel, ReadOnlySpan<float32>.Empty)
                let limit = implementation.WorkspaceLimit(shape).Value
                asked <- asked + 1
                Assert.True(prepared.WorkspaceBytes <= limit, $"{implementation.Name} {shape}: {prepared.WorkspaceBytes} > {limit}")

    Assert.True(asked > 3 * workspaces.Length)

[<Fact>]
let ``im2col gathers a part of its matrix: each thread has less than 1.6 MB`` () =
    let each = 1_600_000L * int64 Environment.ProcessorCount + 200L
    Assert.All(workspaces, (fun shape -> Assert.InRange(Im2col().WorkspaceLimit(shape).Value, 0L, each)))

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
