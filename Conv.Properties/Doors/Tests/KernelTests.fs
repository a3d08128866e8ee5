/// The kernels of Conv.Core on every width of vector, those that the processor lacks emulated.
module Conv.Properties.KernelTests

#nowarn "9" // kernels take pointers

open System
open Microsoft.FSharp.NativeInterop
open Xunit
open Conv

let widths: TheoryData<int> = TheoryData<int>(Simd.All |> Seq.map _.Lanes)

let internal width lanes = Simd.All |> Seq.find (fun simd -> simd.Lanes = lanes)
let private nothing<'T when 'T: unmanaged> : nativeptr<'T> = NativePtr.ofNativeInt 0n

/// Small whole numbers: sums and products are exact, fused or not.
let internal whole seed count =
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
                use zoned = new Zoned(int64 (sizeof<float32> * numbers.Length), 0, nanf, PageBehind)
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
