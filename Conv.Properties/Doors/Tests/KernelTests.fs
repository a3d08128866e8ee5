/// The kernels of Conv.Core on every width of vector, those that the processor lacks emulated, and the team of threads.
module Conv.Properties.KernelTests

#nowarn "9" // kernels take pointers

open System
open Microsoft.FSharp.NativeInterop
open System.Threading.Tasks
open Xunit
open Conv

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

/// Laws that see every element of what a kernel computes, and of what it must leave alone.
let private laws =
    All.laws
    |> List.filter (fun law -> List.contains law.Id [ "MODEL-EXACT"; "MODEL-BOUND"; "THREAD-COUNT"; "GUARD-ZONES"; "STATELESS" ])

let widths: TheoryData<int> = TheoryData<int>(Simd.All |> Seq.map _.Lanes)

let private width lanes = Simd.All |> Seq.find (fun simd -> simd.Lanes = lanes)
let private nothing<'T when 'T: unmanaged> : nativeptr<'T> = NativePtr.ofNativeInt 0n

/// Small whole numbers: sums and products are exact, fused or not.
let private whole seed count =
    let random = Random seed
    Array.init count (fun _ -> float32 (random.Next(-4, 5)))

/// What a kernel writes into so many numbers, which were 77 before.
let private written count (kernel: nativeptr<float32> -> unit) =
    let numbers = Array.create count 77f
    use at = fixed numbers
    kernel at
    numbers

[<Theory; MemberData(nameof widths)>]
let ``tiles are sums of products, for every height, depth and way to walk`` (lanes: int) =
    let simd = width lanes
    let panel = simd.Panel

    // Rows apart, columns apart or 0, columns side by side wherever the table has one.
    let walks =
        [
            29, 1, 1
            1, 13, 1
            for rowStride in [ 1; 2; 29 ] do
                for side in [ 1; 3; 5; 7 ] do
                    rowStride, 0, side
        ]

    for rows in 1 .. simd.TileRows do
        for depth in [ 0; 1; 3; 4; 6; 7; 13 ] do
            for rowStride, step, side in walks do
                for tiles in [ 1; 3 ] do
                    let a, b = whole rows 600, whole depth (panel * 20)
                    let first = whole 3 (tiles * rows * panel)
                    use pointerA = fixed a
                    use pointerB = fixed b
                    use pointerFirst = fixed first
                    let starts = [| 0; 15; 7; 40; 31; 22; 90; 60; 77; 33; 51; 46; 80 |]
                    let offsets = Array.init 13 (fun k -> starts[k / side] + k % side)
                    use pointerOffsets = fixed offsets
                    let place k = if step > 0 then k * step else offsets[k]

                    let expected =
                        Array.init (tiles * rows * panel + 1) (fun at ->
                            if at = tiles * rows * panel then
                                77f
                            else
                                let tile, r, j = at / (rows * panel), at / panel % rows, at % panel

                                let product k = a[place k + r * rowStride + 5 * tile] * b[(k + tile) * panel + j]

                                first[at] + Seq.sum (Seq.init depth product))

                    for ahead in [ nothing; pointerB ] do
                        let actual =
                            written (tiles * rows * panel + 1) (fun c ->
                                let mutable run =
                                    TileRun(
                                        Tiles = tiles,
                                        Depth = depth,
                                        A = pointerA,
                                        RowStride = nativeint rowStride,
                                        Step = nativeint step,
                                        Offsets = (if step > 0 then nothing else pointerOffsets),
                                        Side = side,
                                        TileA = 5n,
                                        B = pointerB,
                                        TileB = nativeint panel,
                                        Ahead = ahead,
                                        From = pointerFirst,
                                        StrideFrom = nativeint panel,
                                        TileFrom = nativeint (rows * panel),
                                        C = c,
                                        StrideC = nativeint panel,
                                        TileC = nativeint (rows * panel)
                                    )

                                simd.TilesOf(rows, &run)
                                Assert.Equal(0, run.Tiles))

                        Assert.Equal<float32[]>(expected, actual)

[<Theory; MemberData(nameof widths)>]
let ``packed tiles hold what tiles read, nothing is read behind the last, and sums are those of the unpacked`` (lanes: int) =
    let simd = width lanes
    let panel = simd.Panel

    for rows in [ 1; simd.TileRows; simd.TileRows + 1; 3 * simd.TileRows - 1 ] do
        for depth in [ 0; 1; 2; 9 ] do
            for step in [ rows; rows + 1; rows + 40 ] do
                // In front of a page that nobody may read.
                let numbers = whole rows (max 0 ((depth - 1) * step + rows))
                use zoned = new Zoned(sizeof<float32> * numbers.Length, 0, nanf, PageBehind)
                numbers.AsSpan().CopyTo zoned.Floats
                let a = NativePtr.ofNativeInt<float32> zoned.Address
                let b, first = whole depth (panel * 10), whole 3 (rows * panel)
                use pointerB = fixed b
                use pointerFirst = fixed first

                let sums (packed: nativeptr<float32>) =
                    written (rows * panel) (fun c ->
                        let mutable run =
                            TileRun(
                                Depth = depth,
                                A = (if packed = nothing then a else packed),
                                RowStride = 1n,
                                Step = nativeint step,
                                IsPacked = (packed <> nothing),
                                B = pointerB,
                                From = pointerFirst,
                                StrideFrom = nativeint panel,
                                C = c,
                                StrideC = nativeint panel
                            )

                        simd.Tiles(rows, &run))

                let packed =
                    written (depth * rows + lanes) (fun to' -> simd.PackTiles(rows, depth, a, nativeint step, to'))

                use pointer = fixed packed
                Assert.Equal<float32[]>(sums nothing, sums pointer)

[<Fact>]
let ``a matrix whose rows and columns are both apart is no kernel's`` () =
    let refused () =
        let mutable run = TileRun(Tiles = 1, Depth = 1, RowStride = 2n, Step = 3n)
        Simd.Best.TilesOf(1, &run)

    Assert.Throws<ArgumentException> refused |> ignore<ArgumentException>

[<Theory; MemberData(nameof widths)>]
let ``rows are copied, transposed, packed and filled up, and no more is written than is said`` (lanes: int) =
    let simd = width lanes
    let source = whole 5 6000
    use from = fixed source
    let sizes = [ 1; lanes; lanes + 1; 2 * lanes + 3 ] |> List.distinct

    for rows in sizes do
        for columns in sizes do
            let transposed =
                written (columns * rows + 1) (fun target -> simd.Transpose(rows, columns, from, 50n, target, nativeint rows))

            Assert.Equal<float32[]>(
                Array.init (columns * rows + 1) (fun at -> if at = columns * rows then 77f else source[at % rows * 50 + at / rows]),
                transposed
            )

    for stride in 1..3 do
        for left in [ 0; 1; lanes + 2 ] do
            for count in 0 :: sizes do
                let length, rows = left + count + 2, 3

                let copied =
                    written (rows * length + lanes + 1) (fun target ->
                        simd.CopyRows(rows, from, 150n, nativeint stride, left, count, length, target))

                for at in 0 .. rows * length - 1 do
                    let row, column = at / length, at % length - left

                    Assert.Equal(
                        (if column < 0 || column >= count then
                             0f
                         else
                             source[row * 150 + column * stride]),
                        copied[at]
                    )

                Assert.Equal(77f, copied[rows * length + lanes])

    for columns in sizes @ [ 5 * lanes ] do
        let rows, panels = 4, (columns + simd.Panel - 1) / simd.Panel
        let stride = int (simd.PanelStride rows)
        let packed = written (panels * stride) (fun target -> simd.Pack(rows, columns, from, 200n, target))

        for p in 0 .. panels - 1 do
            for at in 0 .. rows * simd.Panel - 1 do
                let row, column = at / simd.Panel, p * simd.Panel + at % simd.Panel
                Assert.Equal((if column < columns then source[row * 200 + column] else 0f), packed[p * stride + at])

[<Theory; MemberData(nameof widths)>]
let ``rows of neighbours are sums over taps`` (lanes: int) =
    let simd = width lanes
    let x, weights = whole 7 3000, whole 8 9
    use pointerX = fixed x
    use pointerWeights = fixed weights

    let taps =
        [
            false, [| 0; 1; 40 |]
            false, [| 0; 1; 40; 7; 8; 9; 80; 3; 2 |]
            true,
            [| for u in [ 2; 90; 170 ] -> [| for v in [ 0; 30; 1 ] -> u + v |] |]
            |> Array.concat
        ]

    for threeByThree, offsets in taps do
        use pointerOffsets = fixed offsets

        for vectors in 1 .. RowKernel.MostVectors do
            let count = vectors * lanes

            let actual =
                written (3 * count + 1) (fun y ->
                    simd.Rows(
                        threeByThree,
                        vectors,
                        3,
                        offsets.Length,
                        pointerWeights,
                        pointerOffsets,
                        2f,
                        pointerX,
                        210n,
                        y,
                        nativeint count
                    ))

            let expected =
                Array.init (3 * count + 1) (fun at ->
                    if at = 3 * count then
                        77f
                    else
                        2f
                        + Seq.sum (seq { for k in 0 .. offsets.Length - 1 -> weights[k] * x[at / count * 210 + offsets[k] + at % count] }))

            Assert.Equal<float32[]>(expected, actual)

[<Theory; MemberData(nameof widths)>]
let ``Winograd's passes are their matrices`` (lanes: int) =
    let simd = width lanes
    let value (r: Rational) = float32 (float r.Numerator / float r.Denominator)

    for algorithm in [ Winograd 2; Winograd 4; Winograd.AccurateF4x3; Winograd 6; Winograd.F4x5 ] do
        let matrices = algorithm.ArithmeticOf(ConvShape(1, 1, 9, 9, 1, 3, 3)) :?> Bilinear
        let size, outputs = matrices.InputTransform.Rows, matrices.OutputTransform.Rows
        let pairs = (size - 2) / 2
        let magnitudes = Array.init pairs (fun pair -> float (value matrices.OutputTransform[1, 1 + 2 * pair]))

        let constants, d, offset =
            WinogradPasses.Constants(ReadOnlySpan magnitudes), whole size (3 * size * lanes), whole 2 lanes

        use pointerConstants = fixed constants
        use pointerD = fixed d
        use pointerOffset = fixed offset

        // Three in a row: element e of number n is vector 3·e + n.
        let pass (matrix: RationalMatrix) (plus: int -> float32) =
            Array.init (3 * matrix.Rows * lanes) (fun at ->
                let vector, lane = at / lanes, at % lanes
                let row, number = vector / 3, vector % 3

                plus lane
                + Seq.sum (seq { for e in 0 .. size - 1 -> value matrix[row, e] * d[(3 * e + number) * lanes + lane] }))

        let step, element = nativeint lanes, nativeint (3 * lanes)

        Assert.Equal<float32[]>(
            pass matrices.InputTransform (fun _ -> 0f),
            written (3 * size * lanes) (fun y -> simd.WinogradInput(pairs, pointerConstants, 3, pointerD, element, step, y, element, step))
        )

        for pointer, plus in [ nothing, (fun _ -> 0f); pointerOffset, (fun lane -> offset[lane]) ] do
            Assert.Equal<float32[]>(
                pass matrices.OutputTransform plus,
                written (3 * outputs * lanes) (fun y ->
                    simd.WinogradOutput(pairs, outputs, pointerConstants, pointer, 3, pointerD, element, step, y, element, step))
            )

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
