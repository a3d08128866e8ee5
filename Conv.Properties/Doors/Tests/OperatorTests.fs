/// The operators beside the forward convolution: gradients, transposed and fused convolution, views, threads, one memory for input and output.
/// Numbers worked out by hand, then the definition itself in double precision, exactly, on small whole numbers.
module Conv.Properties.OperatorTests

open System
open Xunit
open FsCheck.Xunit
open Conv

let names: TheoryData<string> = TheoryData<string>("loop", "im2col")

let private find name = Catalogue.All |> Seq.find (fun c -> c.Name = name)
let private both = [ find "loop"; find "im2col" ]

// What the results hold before a call: a sum that adds to it, or an element that is left out, shows.
let private poisoned (length: int64) = Array.create (int length) nanf

let private backwardInput (c: IConvolution) (s: ConvShape) (dy: float32[]) (k: float32[]) =
    let dx = poisoned s.InputLength
    (c :?> IGradients).BackwardInput(s, ReadOnlySpan dy, ReadOnlySpan k, Span dx)
    dx

let private backwardKernel (c: IConvolution) (s: ConvShape) (x: float32[]) (dy: float32[]) =
    let dk = poisoned s.KernelLength
    (c :?> IGradients).BackwardKernel(s, ReadOnlySpan x, ReadOnlySpan dy, Span dk)
    dk

let private backwardBias (c: IConvolution) (s: ConvShape) (dy: float32[]) =
    let db = poisoned s.OutChannels
    (c :?> IGradients).BackwardBias(s, ReadOnlySpan dy, Span db)
    db

let private transpose (c: IConvolution) (t: TransposedShape) (x: float32[]) (k: float32[]) (b: float32[]) =
    let y = poisoned t.OutputLength
    (c :?> ITransposedConvolution).Transpose(t, ReadOnlySpan x, ReadOnlySpan k, ReadOnlySpan b, Span y)
    y

let private fused (c: IConvolution) (s: ConvShape) (x: float32[]) (k: float32[]) (b: float32[]) epilogue =
    let prepared = (c :?> IFusedConvolution).PrepareFused(s, ReadOnlySpan k, ReadOnlySpan b, epilogue)

    let y = poisoned s.OutputLength
    prepared.Run(ReadOnlySpan x, Span y, Span(Array.create (int prepared.WorkspaceBytes) 0xFFuy))
    y

let private runViews (c: IConvolution) s (x: float32[]) xView (k: float32[]) kView (b: float32[]) (y: float32[]) yView =
    (c :?> IViewConvolution).Run(s, ReadOnlySpan x, xView, ReadOnlySpan k, kView, ReadOnlySpan b, Span y, yView)

let private epilogue (scale: float32[]) (shift: float32[]) rectify = Epilogue(ReadOnlyMemory scale, ReadOnlyMemory shift, rectify)

type private View =
    /// The view with some numbers replaced.
    static member With(view: TensorView, ?offset, ?stride0, ?stride1, ?stride2, ?stride3) =
        TensorView(
            defaultArg offset view.Offset,
            defaultArg stride0 view.Stride0,
            defaultArg stride1 view.Stride1,
            defaultArg stride2 view.Stride2,
            defaultArg stride3 view.Stride3
        )

let private denseInput (s: ConvShape) = TensorView.Dense(s.InChannels, s.InHeight, s.InWidth)
let private denseKernel (s: ConvShape) = TensorView.Dense(s.InChannelsPerGroup, s.KernelHeight, s.KernelWidth)
let private denseOutput (s: ConvShape) = TensorView.Dense(s.OutChannels, s.OutHeight, s.OutWidth)

// ---- by hand

let private square = ConvShape(1, 1, 3, 3, 1, 2, 2)
let private oneToFour = [| 1f; 2f; 3f; 4f |]
let private zeroToThree = [| 0f; 1f; 2f; 3f |]

[<Theory; MemberData(nameof names)>]
let ``the gradient of the input by hand`` (name: string) =
    // dY = K = 1 2 / 3 4. Each output adds K, times its gradient, to the window that it read. The corner belongs to one window, 1·1; the
    // edge beside it to two, 1·2 + 2·1 = 4; the centre to all four, 1·4 + 2·3 + 3·2 + 4·1 = 20.
    Assert.Equal<float32[]>([| 1f; 4f; 4f; 6f; 20f; 16f; 9f; 24f; 16f |], backwardInput (find name) square oneToFour oneToFour)

    // Stride 2 on a row of six with a zero before: the windows of two taps start at −1, 1 and 3; nothing reads the last input.
    // dX = (5·20, 7·10, 7·20, 9·10, 9·20, 0).
    let s = ConvShape(1, 1, 1, 6, 1, 1, 2, strideWidth = 2, padLeft = 1)
    Assert.Equal<float32[]>([| 100f; 70f; 140f; 90f; 180f; 0f |], backwardInput (find name) s [| 5f; 7f; 9f |] [| 10f; 20f |])

[<Theory; MemberData(nameof names)>]
let ``the gradients of kernel and bias by hand`` (name: string) =
    // x = 0 1 2 / 3 4 5 / 6 7 8, dY = 1 2 / 3 4: dK[0,0] = 1·0 + 2·1 + 3·3 + 4·4 = 27, and each step in x adds 10 times itself: 1 or 3.
    let x = Array.init 9 float32
    Assert.Equal<float32[]>([| 27f; 37f; 57f; 67f |], backwardKernel (find name) square x oneToFour)
    Assert.Equal<float32[]>([| 10f |], backwardBias (find name) square oneToFour)

    // Two images sum: 2·27, 2·37, …, 2·10.
    let two = square.With(batch = 2)
    let twice = Array.append oneToFour oneToFour
    Assert.Equal<float32[]>([| 54f; 74f; 114f; 134f |], backwardKernel (find name) two (Array.append x x) twice)
    Assert.Equal<float32[]>([| 20f |], backwardBias (find name) two twice)

[<Theory; MemberData(nameof names)>]
let ``the transposed convolution by hand`` (name: string) =
    // X = K = 0 1 / 2 3: the sum of K·0, K·1, K·2, K·3, each moved to the place of its factor. The centre is 0·3 + 1·2 + 2·1 + 3·0 = 4.
    let t = TransposedShape(1, 1, 2, 2, 1, 2, 2)
    Assert.Equal<float32[]>([| 0f; 0f; 1f; 0f; 4f; 6f; 4f; 12f; 9f |], transpose (find name) t zeroToThree zeroToThree [||])

    Assert.Equal<float32[]>([| 10f; 10f; 11f; 10f; 14f; 16f; 14f; 22f; 19f |], transpose (find name) t zeroToThree zeroToThree [| 10f |])

    // At stride 2 they stand side by side; a row of output padding holds the bias alone.
    let t = TransposedShape(1, 1, 2, 2, 1, 2, 2, 2, 2, outputPaddingHeight = 1)

    Assert.Equal<float32[]>(
        [| 0f; 0f; 0f; 1f; 0f; 0f; 2f; 3f; 0f; 2f; 0f; 3f; 4f; 6f; 6f; 9f; 0f; 0f; 0f; 0f |]
        |> Array.map ((+) 1f),
        transpose (find name) t zeroToThree zeroToThree [| 1f |]
    )

// The source's example: y = 56 72 / 104 120.
let private figure = ConvShape(1, 2, 3, 3, 1, 2, 2)
let private figureInput = [| 0f; 1f; 2f; 3f; 4f; 5f; 6f; 7f; 8f; 1f; 2f; 3f; 4f; 5f; 6f; 7f; 8f; 9f |]
let private figureKernel = [| 0f; 1f; 2f; 3f; 1f; 2f; 3f; 4f |]

[<Theory; MemberData(nameof names)>]
let ``the fused convolution by hand`` (name: string) =
    // −½·(56 + 4) + 50 = 20, −½·76 + 50 = 12, −½·108 + 50 = −4, −½·124 + 50 = −12.
    let run rectify = fused (find name) figure figureInput figureKernel [| 4f |] (epilogue [| -0.5f |] [| 50f |] rectify)

    Assert.Equal<float32[]>([| 20f; 12f; -4f; -12f |], run false)
    Assert.Equal<float32[]>([| 20f; 12f; 0f; 0f |], run true)

[<Theory; MemberData(nameof names)>]
let ``views by hand`` (name: string) =
    // Channels last: the two channels of a pixel side by side. The output runs backwards, one place between its two rows.
    let interleaved = Array.init 18 (fun at -> figureInput[at % 2 * 9 + at / 2])
    let y = Array.create 6 77f
    let backwards = TensorView(5, 0, 0, -3, -1)
    runViews (find name) figure interleaved (TensorView.ChannelsLast(2, 3, 3)) figureKernel (denseKernel figure) [||] y backwards
    Assert.Equal<float32[]>([| 77f; 120f; 104f; 77f; 72f; 56f |], y)

    // A channel stride of zero: both kernels read the first channel, as would their sum 1 3 / 5 7: 0·1 + 1·3 + 3·5 + 4·7 = 46, and each
    // step in x adds 16 times itself.
    let y = Array.create 4 77f
    let repeated = View.With(denseInput figure, stride1 = 0)
    runViews (find name) figure figureInput[..8] repeated figureKernel (denseKernel figure) [||] y (denseOutput figure)
    Assert.Equal<float32[]>([| 46f; 62f; 94f; 110f |], y)

// ---- against the definition

/// One call for each product of the definition that meets the image, with the flat indices of x, k and y.
let inline private products (s: ConvShape) ([<InlineIfLambda>] visit: int -> int -> int -> unit) =
    for n in 0 .. s.Batch - 1 do
        for o in 0 .. s.OutChannels - 1 do
            for c in 0 .. s.InChannelsPerGroup - 1 do
                for u in 0 .. s.KernelHeight - 1 do
                    for v in 0 .. s.KernelWidth - 1 do
                        for i in 0 .. s.OutHeight - 1 do
                            for j in 0 .. s.OutWidth - 1 do
                                let h = i * s.StrideHeight + u * s.DilationHeight - s.PadTop
                                let w = j * s.StrideWidth + v * s.DilationWidth - s.PadLeft

                                if h >= 0 && h < s.InHeight && w >= 0 && w < s.InWidth then
                                    let channel = o * s.Groups / s.OutChannels * s.InChannelsPerGroup + c

                                    visit
                                        (((n * s.InChannels + channel) * s.InHeight + h) * s.InWidth + w)
                                        (((o * s.InChannelsPerGroup + c) * s.KernelHeight + u) * s.KernelWidth + v)
                                        (((n * s.OutChannels + o) * s.OutHeight + i) * s.OutWidth + j)

let private zeros (length: int64) : float[] = Array.zeroCreate (int length)
let private singles = Array.map float32

let private forward (s: ConvShape) (x: float32[]) (k: float32[]) (b: float32[]) =
    let plane = int s.OutputPlane

    let y =
        Array.init (int s.OutputLength) (fun at -> if b.Length = 0 then 0. else float b[at / plane % b.Length])

    products s (fun x' k' y' -> y[y'] <- y[y'] + float x[x'] * float k[k'])
    y

let private inputGradient (s: ConvShape) (dy: float32[]) (k: float32[]) =
    let dx = zeros s.InputLength
    products s (fun x' k' y' -> dx[x'] <- dx[x'] + float dy[y'] * float k[k'])
    dx

let private kernelGradient (s: ConvShape) (x: float32[]) (dy: float32[]) =
    let dk = zeros s.KernelLength
    products s (fun x' k' y' -> dk[k'] <- dk[k'] + float dy[y'] * float x[x'])
    dk

let private biasGradient (s: ConvShape) (dy: float32[]) =
    let db = zeros s.OutChannels
    let plane = int s.OutputPlane

    dy
    |> Array.iteri (fun at g -> db[at / plane % s.OutChannels] <- db[at / plane % s.OutChannels] + float g)

    db

/// Whole numbers from −4 to 4, whose sums of products are exact here.
let private whole (random: Random) (length: int64) = Array.init (int length) (fun _ -> float32 (random.Next(-4, 5)))

[<Property(Arbitrary = [| typeof<Arbitraries> |], MaxTest = 200)>]
let ``gradients are those of the definition`` (AnyShape s) (seed: int) =
    let random = Random seed
    let x, k, dy = whole random s.InputLength, whole random s.KernelLength, whole random s.OutputLength
    let x', k', dy' = Array.copy x, Array.copy k, Array.copy dy

    for c in both do
        Assert.Equal<float32[]>(singles (inputGradient s dy k), backwardInput c s dy k)
        Assert.Equal<float32[]>(singles (kernelGradient s x dy), backwardKernel c s x dy)
        Assert.Equal<float32[]>(singles (biasGradient s dy), backwardBias c s dy)

    Assert.Equal<float32[]>(x', x)
    Assert.Equal<float32[]>(k', k)
    Assert.Equal<float32[]>(dy', dy)

[<Property(Arbitrary = [| typeof<Arbitraries> |], MaxTest = 200)>]
let ``the transposed convolution is the gradient of the input and a bias`` (AnyShape s) (seed: int) =
    let random = Random seed
    let t = TransposedShape s

    let x, k, b = whole random t.InputLength, whole random s.KernelLength, whole random t.OutChannels

    let plane = int s.InputPlane
    let sums = inputGradient s x k
    let biased = sums |> Array.mapi (fun at y -> y + float b[at / plane % b.Length])

    for c in both do
        Assert.Equal<float32[]>(singles sums, transpose c t x k [||])
        Assert.Equal<float32[]>(singles biased, transpose c t x k b)

[<Property(Arbitrary = [| typeof<Arbitraries> |], MaxTest = 200)>]
let ``the fused convolution is the convolution, then the epilogue`` (AnyShape s) (seed: int) (rectify: bool) =
    let random = Random seed
    let x, k = whole random s.InputLength, whole random s.KernelLength

    let b, scale, shift = whole random s.OutChannels, whole random s.OutChannels, whole random s.OutChannels

    let plane = int s.OutputPlane

    let expected (b: float32[]) =
        forward s x k b
        |> Array.mapi (fun at y ->
            let o = at / plane % s.OutChannels
            let z = float scale[o] * y + float shift[o]
            if rectify then max z 0. else z)
        |> singles

    for c in both do
        Assert.Equal<float32[]>(expected b, fused c s x k b (epilogue scale shift rectify))
        Assert.Equal<float32[]>(expected [||], fused c s x k [||] (epilogue scale shift rectify))

/// Axes in any order, gaps after some, some backwards; the length of a span that holds it, with room on both sides.
let private layout (random: Random) (sizes: int[]) =
    let strides = Array.zeroCreate<int> 4
    let order = [| 0..3 |]
    random.Shuffle order
    let mutable reach = 0
    let mutable offset = random.Next 3

    for axis in order do
        let stride = reach + 1 + random.Next 3
        let extent = (max 1 sizes[axis] - 1) * stride
        reach <- reach + extent

        if random.Next 3 = 0 then
            strides[axis] <- -stride
            offset <- offset + extent
        else
            strides[axis] <- stride

    TensorView(offset, strides[0], strides[1], strides[2], strides[3]), int64 (reach + 6)

/// One axis repeated, in one draw of four.
let private repeating (random: Random) (view: TensorView) =
    match random.Next 16 with
    | 0 when view.Stride0 > 0 -> View.With(view, stride0 = 0)
    | 1 when view.Stride1 > 0 -> View.With(view, stride1 = 0)
    | 2 when view.Stride2 > 0 -> View.With(view, stride2 = 0)
    | 3 when view.Stride3 > 0 -> View.With(view, stride3 = 0)
    | _ -> view

let private throughView (view: TensorView) (sizes: int[]) (data: float32[]) =
    [|
        for i0 in 0 .. sizes[0] - 1 do
            for i1 in 0 .. sizes[1] - 1 do
                for i2 in 0 .. sizes[2] - 1 do
                    for i3 in 0 .. sizes[3] - 1 -> data[view.At(i0, i1, i2, i3)]
    |]

let private sizes (s: ConvShape) =
    [| s.Batch; s.InChannels; s.InHeight; s.InWidth |],
    [| s.OutChannels; s.InChannelsPerGroup; s.KernelHeight; s.KernelWidth |],
    [| s.Batch; s.OutChannels; s.OutHeight; s.OutWidth |]

[<Property(Arbitrary = [| typeof<Arbitraries> |], MaxTest = 200)>]
let ``views read and write their elements and no others`` (AnyShape s) (seed: int) =
    let random = Random seed
    let xSizes, kSizes, ySizes = sizes s
    let xView, xLength = layout random xSizes
    let kView, kLength = layout random kSizes
    let yView, yLength = layout random ySizes
    let xView, kView = repeating random xView, repeating random kView
    let x, k, b = whole random xLength, whole random kLength, whole random s.OutChannels

    let result = forward s (throughView xView xSizes x) (throughView kView kSizes k) b |> singles

    // The output's places, filled in the order of its elements.
    let expected = Array.create (int yLength) 77f
    let places = throughView yView ySizes (Array.init (int yLength) float32)
    places |> Array.iteri (fun at place -> expected[int place] <- result[at])

    for c in both do
        let y = Array.create (int yLength) 77f
        runViews c s x xView k kView b y yView
        Assert.Equal<float32[]>(expected, y)

[<Theory>]
// More columns of patches than one block holds.
[<InlineData("n=2 c=6 h=80 w=80 o=4 kh=13 kw=13 pt=3 pl=2 g=2")>]
// More kernel rows than one block holds.
[<InlineData("c=128 h=4 w=4 o=1000 kh=3 kw=3 pt=1")>]
// The taps of one output alone are more than one block.
[<InlineData("c=1 h=1025 w=1025 o=2 kh=1025 kw=1025 pl=1")>]
let ``blocks make no difference`` (line: string) =
    let s = ConvShape.Parse line
    let random = Random 1
    let im2col = find "im2col"

    // Sparse, so that the sums stay exact.
    let sparse length =
        whole random length
        |> Array.map (fun value -> if random.Next 4 = 0 then value else 0f)

    let x, k, dy = sparse s.InputLength, sparse s.KernelLength, sparse s.OutputLength
    let y = poisoned s.OutputLength
    runViews im2col s x (denseInput s) k (denseKernel s) [||] y (denseOutput s)
    Assert.Equal<float32[]>(singles (forward s x k [||]), y)
    Assert.Equal<float32[]>(singles (inputGradient s dy k), backwardInput im2col s dy k)
    Assert.Equal<float32[]>(singles (kernelGradient s x dy), backwardKernel im2col s x dy)
    let ones, nones = Array.create s.OutChannels 1f, Array.create s.OutChannels 0f
    Assert.Equal<float32[]>(singles (forward s x k [||]), fused im2col s x k [||] (epilogue ones nones false))

[<Fact>]
let ``sums through views are those of the dense call, to the bit`` () =
    let s = ConvShape.Parse "n=2 c=40 h=9 w=11 o=6 kh=3 kw=4 sw=2 pt=1 pl=2 g=2"
    let random = Random 2
    let real (length: int64) = Array.init (int length) (fun _ -> random.NextSingle() - 0.5f)
    let x, k, b = real s.InputLength, real s.KernelLength, real s.OutChannels
    let plane = int s.InputPlane

    let channelsLast =
        Array.init x.Length (fun at ->
            let pixel, c = at / s.InChannels, at % s.InChannels
            x[(pixel / plane * s.InChannels + c) * plane + pixel % plane])

    for c in both do
        let y = poisoned s.OutputLength
        let view = TensorView.ChannelsLast(s.InChannels, s.InHeight, s.InWidth)
        runViews c s channelsLast view k (denseKernel s) b y (denseOutput s)
        let prepared = c.Prepare(s, ReadOnlySpan k, ReadOnlySpan b)
        let expected = poisoned s.OutputLength
        prepared.Run(ReadOnlySpan x, Span expected, Span(Array.create (int prepared.WorkspaceBytes) 0xFFuy))
        Assert.Equal<int[]>(Array.map BitConverter.SingleToInt32Bits expected, Array.map BitConverter.SingleToInt32Bits y)

// ---- numbers that are not finite

[<Theory; MemberData(nameof names)>]
let ``NaN is kept by a product with zero, and stays inside its windows`` (name: string) =
    let c = find name
    let nans values = values |> Array.map Single.IsNaN

    // The first tap is NaN: it writes to the inputs at which a window can begin.
    Assert.Equal<bool[]>(
        [| true; true; false; true; true; false; false; false; false |],
        nans (backwardInput c square (Array.zeroCreate 4) [| nanf; 1f; 1f; 1f |])
    )

    // The first output reads the first input and three zeros of padding.
    let padded = ConvShape(1, 1, 2, 2, 1, 2, 2, padTop = 1, padLeft = 1, padBottom = 1, padRight = 1)
    let first = Array.init 9 (fun at -> if at = 0 then nanf else 0f)
    Assert.Equal<bool[]>([| true; false; false; false |], nans (backwardInput c padded first (Array.create 4 1f)))

    // The last input meets every tap of some window, as a factor of zero.
    Assert.Equal<bool[]>([| true; true; true; true |], nans (backwardKernel c padded [| 0f; 0f; 0f; nanf |] (Array.zeroCreate 9)))

    // ReLU is no filter for NaN, and −∞ becomes zero.
    let z =
        fused c (ConvShape(1, 1, 1, 3, 1, 1, 1)) [| nanf; -infinityf; 2f |] [| 1f |] [||] (epilogue [| 1f |] [| 0f |] true)

    Assert.Equal<float32[]>([| nanf; 0f; 2f |], z)

// ---- empty tensors

[<Theory; MemberData(nameof names)>]
let ``empty tensors have empty sums`` (name: string) =
    let c = find name
    let s = ConvShape.Parse "n=2 c=4 h=5 w=6 o=6 kh=3 kw=2 pt=1 g=2"
    let ones (length: int64) = Array.create (int length) 1f

    // No image: gradients of zero.
    let none = s.With(batch = 0)
    Assert.Equal<float32[]>(Array.zeroCreate (int s.KernelLength), backwardKernel c none [||] [||])
    Assert.Equal<float32[]>(Array.zeroCreate 6, backwardBias c none [||])
    Assert.Empty(backwardInput c none [||] (ones s.KernelLength))

    // No output channel: no input has a gradient, and the transposed convolution is its bias.
    let blind = s.With(outChannels = 0)
    Assert.Equal<float32[]>(Array.zeroCreate (int s.InputLength), backwardInput c blind [||] [||])
    let bias = [| 1f; 2f; 3f; 4f |]

    Assert.Equal<float32[]>(
        Array.init (int s.InputLength) (fun at -> bias[at / 30 % 4]),
        transpose c (TransposedShape blind) [||] [||] bias
    )

    Assert.Empty(transpose c (TransposedShape none) [||] (ones s.KernelLength) bias)

    // No input channel: s·b + t, and a view that points nowhere is no mistake.
    let deaf = s.With(inChannels = 0)
    let bias = Array.init 6 float32
    let plane = int s.OutputPlane
    let ofChannel value = Array.init (int s.OutputLength) (fun at -> value (float32 (at / plane % 6)))

    Assert.Equal<float32[]>(
        ofChannel (fun b -> 2f * b + 1f),
        fused c deaf [||] [||] bias (epilogue (Array.create 6 2f) (Array.create 6 1f) false)
    )

    let y = poisoned deaf.OutputLength
    let nowhere = TensorView(99, -7, 5, 3, Int32.MinValue)
    runViews c deaf [||] nowhere [||] nowhere bias y (denseOutput deaf)
    Assert.Equal<float32[]>(ofChannel id, y)
    runViews c none [||] nowhere (ones s.KernelLength) (denseKernel s) bias [||] nowhere

// ---- refusals

let private refused (parameter: string) (length: int64) (call: float32[] -> unit) =
    let result = Array.create (int length) 77f
    Assert.Throws<ArgumentException>(parameter, (fun () -> call result)) |> ignore
    Assert.All(result, (fun value -> Assert.Equal(77f, value)))

[<Theory; MemberData(nameof names)>]
let ``spans of the wrong length are refused by name, and nothing is written`` (name: string) =
    let s = ConvShape.Parse "n=2 c=4 h=5 w=6 o=6 kh=3 kw=2 pt=1 g=2"
    let t = TransposedShape s
    let gradients, transposed = find name :?> IGradients, find name :?> ITransposedConvolution
    let x, k, y = s.InputLength, s.KernelLength, s.OutputLength
    let ones (length: int64) = Array.create (int length) 1f

    let backwardInput outputGradient kernel (inputGradient: float32[]) =
        gradients.BackwardInput(s, ReadOnlySpan(ones outputGradient), ReadOnlySpan(ones kernel), Span inputGradient)

    let backwardKernel input outputGradient (kernelGradient: float32[]) =
        gradients.BackwardKernel(s, ReadOnlySpan(ones input), ReadOnlySpan(ones outputGradient), Span kernelGradient)

    let backwardBias outputGradient (biasGradient: float32[]) =
        gradients.BackwardBias(s, ReadOnlySpan(ones outputGradient), Span biasGradient)

    let transpose input kernel bias (output: float32[]) =
        transposed.Transpose(t, ReadOnlySpan(ones input), ReadOnlySpan(ones kernel), ReadOnlySpan(ones bias), Span output)

    for off in [ -1L; 1L ] do
        refused "outputGradient" x (backwardInput (y + off) k)
        refused "kernel" x (backwardInput y (k + off))
        refused "inputGradient" (x + off) (backwardInput y k)
        refused "input" k (backwardKernel (x + off) y)
        refused "outputGradient" k (backwardKernel x (y + off))
        refused "kernelGradient" (k + off) (backwardKernel x y)
        refused "outputGradient" 6L (backwardBias (y + off))
        refused "biasGradient" (6L + off) (backwardBias y)
        refused "input" x (transpose (y + off) k 4L)
        refused "kernel" x (transpose y (k + off) 4L)
        refused "bias" x (transpose y k (4L + off))
        refused "output" (x + off) (transpose y k 4L)

    let fused = find name :?> IFusedConvolution

    let prepareFused kernel bias scale shift (_: float32[]) =
        fused.PrepareFused(s, ReadOnlySpan(ones kernel), ReadOnlySpan(ones bias), epilogue (ones scale) (ones shift) false)
        |> ignore

    for off in [ -1L; 1L ] do
        refused "kernel" 0L (prepareFused (k + off) 6L 6L 6L)
        refused "bias" 0L (prepareFused k (6L + off) 6L 6L)
        refused "epilogue" 0L (prepareFused k 6L (6L + off) 6L)
        refused "epilogue" 0L (prepareFused k 6L 6L (6L + off))

[<Theory; MemberData(nameof names)>]
let ``views that leave their span, or put two outputs in one place, are refused by name`` (name: string) =
    let s = figure
    let dense = denseInput s, denseKernel s, denseOutput s

    let run (xView, kView, yView) bias y = runViews (find name) s figureInput xView figureKernel kView bias y yView

    let xView, kView, yView = dense
    run dense [||] (poisoned 4L)

    for wrong in
        [
            View.With(xView, offset = 1)
            View.With(xView, offset = -1)
            View.With(xView, stride1 = 10)
            View.With(xView, stride2 = -3)
            View.With(xView, stride3 = 2)
            View.With(xView, stride1 = Int32.MinValue)
            View.With(xView, stride2 = Int32.MaxValue, stride3 = Int32.MaxValue)
            // In 32 bits these would come back into the span.
            View.With(xView, stride2 = Int32.MinValue, stride3 = 1)
        ] do
        refused "inputView" 4L (run (wrong, kView, yView) [||])

    for wrong in [ View.With(kView, offset = 1); View.With(kView, stride1 = 5); View.With(kView, stride3 = -1) ] do
        refused "kernelView" 4L (run (xView, wrong, yView) [||])

    for wrong in [ View.With(yView, offset = 1); View.With(yView, stride2 = 3); View.With(yView, stride2 = -2) ] do
        refused "outputView" 4L (run (xView, kView, wrong) [||])

    // Inside, but two in one place: a stride of zero, rows upon columns, rows that begin before the last has ended.
    for wrong in
        [
            View.With(yView, stride3 = 0)
            View.With(yView, stride2 = 0)
            View.With(yView, stride2 = 1)
            TensorView(1, 0, 0, 1, -1)
        ] do
        refused "outputView" 5L (run (xView, kView, wrong) [||])

    // Two images of two rows of three: the images must pass over both rows, not over a row.
    let two = ConvShape(2, 1, 2, 3, 1, 1, 1)

    let runTwo imageStride y =
        let view = TensorView(0, imageStride, 0, 3, 1)
        runViews (find name) two (Array.replicate 12 1f) (denseInput two) [| 1f |] (denseKernel two) [||] y view

    runTwo 6 (poisoned 12L)
    refused "outputView" 12L (runTwo 5)
    refused "outputView" 12L (runTwo 3)

    refused "bias" 4L (run dense [| 1f; 2f |])

    // The one image and the one channel have nowhere to step to.
    run (xView, kView, View.With(yView, stride0 = 0, stride1 = Int32.MinValue)) [||] (poisoned 4L)

[<Fact>]
let ``sizes whose products leave 32 bits are no trouble for a view`` () =
    // 2³³ input elements, all of them one number; two outputs.
    let s = ConvShape(1, 2, 65536, 65536, 1, 1, 1, strideHeight = 65536, strideWidth = 32768)

    for c in both do
        let y = Array.create 2 77f
        runViews c s [| 3f |] (TensorView()) [| 5f; 7f |] (denseKernel s) [||] y (denseOutput s)
        Assert.Equal<float32[]>([| 36f; 36f |], y)

[<Fact>]
let ``an unsupported shape is refused by name`` () =
    // 2³⁰ taps are more than the im2col's patch of one output may have.
    let s = ConvShape(1, 1, 1 <<< 15, 1 <<< 15, 1, 1 <<< 15, 1 <<< 15)
    let im2col = Im2col()
    Assert.False(im2col.Supports s)
    let nothing = ReadOnlyMemory<float32>.Empty

    for call in
        [
            fun (y: float32[]) -> im2col.BackwardInput(s, nothing.Span, nothing.Span, Span y)
            fun (y: float32[]) -> im2col.BackwardKernel(s, nothing.Span, nothing.Span, Span y)
            fun (y: float32[]) -> im2col.BackwardBias(s, nothing.Span, Span y)
            fun (y: float32[]) -> im2col.Transpose(TransposedShape s, nothing.Span, nothing.Span, nothing.Span, Span y)
            fun (y: float32[]) ->
                im2col.Run(s, nothing.Span, TensorView(), nothing.Span, TensorView(), nothing.Span, Span<float32> y, TensorView())
            fun _ -> im2col.Prepare(s, nothing.Span, nothing.Span) |> ignore
            fun _ ->
                im2col.PrepareFused(s, nothing.Span, nothing.Span, epilogue [| 1f |] [| 1f |] true)
                |> ignore
        ] do
        refused "shape" 1L call

// ---- threads, and one memory

let private threaded (s: ConvShape) (k: float32[]) (b: float32[]) =
    (find "parallel-tiled").Prepare(s, ReadOnlySpan k, ReadOnlySpan b) :?> IThreadedConvolution

[<Theory>]
[<InlineData("n=2 c=16 h=20 w=21 o=18 kh=3 kw=3 pt=1 pl=1 pb=1 pr=1 g=2")>]
[<InlineData("c=3 h=9 w=9 o=2 kh=3 kw=3")>]
[<InlineData("n=0 c=3 h=9 w=9 o=2 kh=3 kw=3")>]
let ``the number of threads changes no bit`` (line: string) =
    let s = ConvShape.Parse line
    let random = Random 5
    let real (length: int64) = Array.init (int length) (fun _ -> random.NextSingle() - 0.5f)
    let x, k, b = real s.InputLength, real s.KernelLength, real s.OutChannels
    let prepared = threaded s k b
    let expected = poisoned s.OutputLength
    let workspace = Array.create (int prepared.WorkspaceBytes) 0xFFuy
    prepared.Run(ReadOnlySpan x, Span expected, Span workspace)
    Assert.All(expected, (fun y -> Assert.True(Single.IsFinite y)))

    for threads in [ 1; 2; 3; 7; 64; Int32.MaxValue ] do
        let y = poisoned s.OutputLength
        prepared.Run(ReadOnlySpan x, Span y, Span workspace, threads)
        Assert.Equal<int[]>(Array.map BitConverter.SingleToInt32Bits expected, Array.map BitConverter.SingleToInt32Bits y)

[<Fact>]
let ``no threads are refused by name, and nothing is written`` () =
    let prepared = threaded figure figureKernel [||]

    let refused parameter (input: float32[]) length threads =
        let y = Array.create length 77f

        let error =
            Assert.ThrowsAny<ArgumentException>(fun () -> prepared.Run(ReadOnlySpan input, Span y, Span<byte>.Empty, threads))

        Assert.Equal(parameter, error.ParamName)
        Assert.All(y, (fun value -> Assert.Equal(77f, value)))

    for threads in [ 0; -1; Int32.MinValue ] do
        refused "threads" figureInput 4 threads

    refused "input" figureInput[1..] 4 2
    refused "output" figureInput 5 2

[<Fact>]
let ``input and output may be one memory where every output reads its own place`` () =
    let s = ConvShape.Parse "n=2 c=3 h=4 w=5 o=3 kh=1 kw=1 dh=2 g=3"
    let loop = Loop()
    Assert.True((loop :> IInPlaceConvolution).TakesInPlace s)
    let random = Random 3
    let x, k, b = whole random s.InputLength, whole random s.KernelLength, whole random 3L
    let expected = singles (forward s x k b)
    loop.Prepare(s, ReadOnlySpan k, ReadOnlySpan b).Run(ReadOnlySpan x, Span x, Span<byte>.Empty)
    Assert.Equal<float32[]>(expected, x)

    let takes (s: ConvShape) = loop.TakesInPlace s
    Assert.True(takes (s.With(batch = 0)))
    Assert.False(takes (s.With(groups = 1)))
    Assert.False(takes (s.With(outChannels = 6)))
    Assert.False(takes (s.With(inChannels = 6)))
    Assert.False(takes (s.With(kernelHeight = 2, padTop = 2)))
    Assert.False(takes (s.With(kernelWidth = 2, padRight = 1)))
    Assert.False(takes (s.With(strideHeight = 2)))
    Assert.False(takes (s.With(strideWidth = 2)))
    Assert.False(takes (s.With(padTop = 1)))
    Assert.False(takes (s.With(padLeft = 1)))
    Assert.False(takes (s.With(padBottom = 1)))
    Assert.False(takes (s.With(padRight = 1)))
