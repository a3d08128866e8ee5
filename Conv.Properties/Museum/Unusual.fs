/// Correct convolutions that are no sums of products in some order, or that reach them by unusual ways. No law may accuse one of them.
module internal Conv.Properties.Unusual

// Sums depend on where tensors start.
#nowarn "9"

open System
open System.Numerics
open MathNet.Numerics.IntegralTransforms
open Conv

let private loop = Ours.implementations |> List.find (fun s -> s.Name = "loop")
let private declaring text = { (Declared.parse [] text).Profile with Capabilities = Set.singleton Forward }

/// Each output by its terms, those that meet the image: x, k and their number.
let private direct = Variants.direct

// ---- compensated sums

/// Kahan's sum: what an addition loses is added to the next term.
let private kahan (x: float32[]) (k: float32[]) count (bias: float32) =
    let mutable sum, lost = 0f, 0f

    let add term =
        let corrected = term - lost
        let next = sum + corrected
        lost <- (next - sum) - corrected
        sum <- next

    for at in 0 .. count - 1 do
        add (x[at] * k[at])

    add bias
    sum

// ---- Fourier

/// A transform along the rows of a plane, then along its columns.
let private alongBoth (transform: Complex[] -> unit) height width (plane: Complex[]) =
    let rows =
        [|
            for row in Array.chunkBySize width plane do
                transform row
                row
        |]

    let columns =
        [|
            for column in 0 .. width - 1 do
                let along = Array.init height (fun row -> rows[row][column])
                transform along
                along
        |]

    Array.init (height * width) (fun at -> columns[at % width][at / width])

/// Y by the transforms of planes that are padded so that nothing wraps around: each output depends on its whole planes.
let private fourier (s: ConvShape) (x: float32[]) (k: float32[]) (b: float32[]) =
    let cg, og = s.InChannelsPerGroup, s.OutChannelsPerGroup

    let height, width =
        s.Rows.Size + s.Rows.Before + s.Rows.After, s.Columns.Size + s.Columns.Before + s.Columns.After

    let y = Array.zeroCreate (int s.OutputLength)

    let transformed (fill: Complex[,] -> unit) =
        let plane = Array2D.zeroCreate<Complex> height width
        fill plane
        let flat = Array.init (height * width) (fun at -> plane[at / width, at % width])
        alongBoth (fun row -> Fourier.Forward(row, FourierOptions.AsymmetricScaling)) height width flat

    let input n c =
        transformed (fun plane ->
            for h in 0 .. s.Rows.Size - 1 do
                for w in 0 .. s.Columns.Size - 1 do
                    let value = x[((n * s.InChannels + c) * s.Rows.Size + h) * s.Columns.Size + w]
                    plane[h + s.Rows.Before, w + s.Columns.Before] <- Complex(float value, 0.0))

    let kernel o c =
        transformed (fun plane ->
            for u in 0 .. s.Rows.Taps - 1 do
                for v in 0 .. s.Columns.Taps - 1 do
                    let value = k[((o * cg + c) * s.Rows.Taps + u) * s.Columns.Taps + v]
                    plane[u * s.Rows.Dilation, v * s.Columns.Dilation] <- Complex(float value, 0.0))

    for n in 0 .. s.Batch - 1 do
        let inputs = Array.init s.InChannels (input n)

        for o in 0 .. s.OutChannels - 1 do
            let sum = Array.zeroCreate<Complex>(height * width)

            for c in 0 .. cg - 1 do
                let weights, values = kernel o c, inputs[o / og * cg + c]

                for at in 0 .. sum.Length - 1 do
                    // A correlation: the kernel's conjugate.
                    sum[at] <- sum[at] + values[at] * Complex.Conjugate weights[at]

            let sum = alongBoth (fun row -> Fourier.Inverse(row, FourierOptions.AsymmetricScaling)) height width sum

            for i in 0 .. s.Rows.Outputs - 1 do
                for j in 0 .. s.Columns.Outputs - 1 do
                    let value = sum[i * s.Rows.Stride * width + j * s.Columns.Stride].Real

                    y[((n * s.OutChannels + o) * s.Rows.Outputs + i) * s.Columns.Outputs + j] <-
                        float32 (value + (if b.Length = 0 then 0.0 else float b[o]))

    y

/// What transforms are quick for.
let private fewElements (s: ConvShape) = s.InputLength <= 600L && s.KernelLength <= 600L && s.OutputLength <= 600L

// ---- F(2, 3) by dense matrices

let private f2x3 = Ours.implementations |> List.find (fun s -> s.Name = "winograd-f2x3")

let private dense (s: ConvShape) (x: float32[]) (k: float32[]) (b: float32[]) =
    let declared = f2x3.Profile.ArithmeticOf s :?> Bilinear

    let matrix (m: RationalMatrix) = Array2D.init m.Rows m.Columns (fun row column -> float32 (m[row, column].ToDouble()))

    let a, bt, g =
        matrix declared.OutputTransform, matrix declared.InputTransform, matrix declared.KernelTransform

    /// M·V·Mᵀ, every entry multiplied, zeros too.
    let sandwich (m: float32[,]) (v: float32[,]) =
        let product (l: float32[,]) (r: int -> int -> float32) columns =
            Array2D.init (l.GetLength 0) columns (fun row column ->
                let mutable sum = 0f

                for at in 0 .. l.GetLength 1 - 1 do
                    sum <- sum + l[row, at] * r at column

                sum)

        let half = product m (fun row column -> v[row, column]) (v.GetLength 1)
        product half (fun row column -> m[column, row]) (m.GetLength 0)

    let cg, og = s.InChannelsPerGroup, s.OutChannelsPerGroup
    let y = Array.zeroCreate (int s.OutputLength)

    for n in 0 .. s.Batch - 1 do
        for o in 0 .. s.OutChannels - 1 do
            for top in 0..2 .. s.Rows.Outputs - 1 do
                for left in 0..2 .. s.Columns.Outputs - 1 do
                    let sum = Array2D.zeroCreate<float32> 4 4

                    for c in 0 .. cg - 1 do
                        let u = sandwich g (Array2D.init 3 3 (fun u v -> k[((o * cg + c) * 3 + u) * 3 + v]))

                        let v =
                            sandwich
                                bt
                                (Array2D.init 4 4 (fun i j ->
                                    let h, w = top + i - s.Rows.Before, left + j - s.Columns.Before

                                    if h >= 0 && h < s.Rows.Size && w >= 0 && w < s.Columns.Size then
                                        x[((n * s.InChannels + o / og * cg + c) * s.Rows.Size + h) * s.Columns.Size + w]
                                    else
                                        0f))

                        for i in 0..3 do
                            for j in 0..3 do
                                sum[i, j] <- sum[i, j] + u[i, j] * v[i, j]

                    let tile = sandwich a sum

                    for i in 0 .. min 1 (s.Rows.Outputs - 1 - top) do
                        for j in 0 .. min 1 (s.Columns.Outputs - 1 - left) do
                            y[((n * s.OutChannels + o) * s.Rows.Outputs + top + i) * s.Columns.Outputs
                              + left
                              + j] <- tile[i, j] + (if b.Length = 0 then 0f else b[o])

    y

// ---- emulated and quantised products

let private tf32 = FloatFormat.TensorFloat32

/// Three products of TF32 for one of float32: what the first leaves of each operand is multiplied with the other's first part.
let private threeProducts (x: float32[]) (k: float32[]) count (bias: float32) =
    let mutable sum = bias

    for at in 0 .. count - 1 do
        let xHigh, kHigh = tf32.Round x[at], tf32.Round k[at]
        let xLow, kLow = tf32.Round(x[at] - xHigh), tf32.Round(k[at] - kHigh)
        sum <- sum + xLow * kHigh
        sum <- sum + xHigh * kLow
        sum <- sum + xHigh * kHigh

    sum

/// int8 with scales max/127 that are no powers of two: one for X, one for each output channel.
let private realScales (s: ConvShape) (x: float32[]) (k: float32[]) (b: float32[]) =
    let quantised (values: float32[]) =
        let most = values |> Array.fold (fun most v -> max most (MathF.Abs v)) 0f
        let scale = if most = 0f then 1f else most / 127f
        scale, values |> Array.map (fun v -> MathF.Round(v / scale))

    let terms = int s.TermsPerOutput
    let scaleX, x = quantised x
    let filters = Array.init s.OutChannels (fun o -> quantised (Array.sub k (o * terms) terms))
    let y = loop.Forward s x (filters |> Array.collect snd) [||]
    let plane = max 1 (int s.OutputPlane)

    y
    |> Array.mapi (fun at sum ->
        let o = at / plane % s.OutChannels
        sum * (scaleX * fst filters[o]) + (if b.Length = 0 then 0f else b[o]))

// ---- Strassen

/// One level of Strassen's product on the matrices of im2col, padded to even sizes. By Higham 2002, 23.2.2, it errs by at most (3m² + 25m)·u times the
/// greatest product of two entries for inner sizes up to m: below 64·γ_{n+1}·n of it for m = n or n + 1.
let private strassen (s: ConvShape) (x: float32[]) (k: float32[]) (b: float32[]) =
    let cg, og, taps = s.InChannelsPerGroup, s.OutChannelsPerGroup, int s.KernelPlane
    let pixels = int s.OutputPlane
    let y = Array.zeroCreate (int s.OutputLength)

    let plus sign (p: float32[,]) (q: float32[,]) = Array2D.mapi (fun i j v -> v + sign * q[i, j]) p
    let (++), (--) = plus 1f, plus -1f

    let product (p: float32[,]) (q: float32[,]) =
        Array2D.init (p.GetLength 0) (q.GetLength 1) (fun i j ->
            let mutable sum = 0f

            for at in 0 .. p.GetLength 1 - 1 do
                sum <- sum + p[i, at] * q[at, j]

            sum)

    /// A quarter of a matrix given by its entries, zeros beyond.
    let quarter rows columns (entry: int -> int -> float32) down across =
        let half size = (size + 1) / 2

        Array2D.init (half rows) (half columns) (fun i j ->
            let row, column = down * half rows + i, across * half columns + j
            if row < rows && column < columns then entry row column else 0f)

    for n in 0 .. s.Batch - 1 do
        for g in 0 .. s.Groups - 1 do
            let left = quarter og (cg * taps) (fun o t -> k[(g * og + o) * cg * taps + t])

            let right =
                quarter (cg * taps) pixels (fun t p ->
                    let h =
                        p / s.Columns.Outputs * s.Rows.Stride
                        + t % taps / s.Columns.Taps * s.Rows.Dilation
                        - s.Rows.Before

                    let w =
                        p % s.Columns.Outputs * s.Columns.Stride
                        + t % s.Columns.Taps * s.Columns.Dilation
                        - s.Columns.Before

                    if h >= 0 && h < s.Rows.Size && w >= 0 && w < s.Columns.Size then
                        x[((n * s.InChannels + g * cg + t / taps) * s.Rows.Size + h) * s.Columns.Size + w]
                    else
                        0f)

            let a11, a12, a21, a22 = left 0 0, left 0 1, left 1 0, left 1 1
            let b11, b12, b21, b22 = right 0 0, right 0 1, right 1 0, right 1 1
            let p1 = product (a11 ++ a22) (b11 ++ b22)
            let p2 = product (a21 ++ a22) b11
            let p3 = product a11 (b12 -- b22)
            let p4 = product a22 (b21 -- b11)
            let p5 = product (a11 ++ a12) b22
            let p6 = product (a21 -- a11) (b11 ++ b12)
            let p7 = product (a12 -- a22) (b21 ++ b22)
            let quarters = [| p1 ++ p4 -- p5 ++ p7; p3 ++ p5; p2 ++ p4; p1 -- p2 ++ p3 ++ p6 |]
            let rows, columns = a11.GetLength 0, b11.GetLength 1

            for o in 0 .. og - 1 do
                for p in 0 .. pixels - 1 do
                    let value = quarters[o / rows * 2 + p / columns][o % rows, p % columns]
                    let channel = g * og + o
                    y[(n * s.OutChannels + channel) * pixels + p] <- value + (if b.Length = 0 then 0f else b[channel])

    y

// ---- ways through a subject

/// Winograd where it can, else one of two orders: by the shape. F(2, 3) errs by at most 20·81·C·u of the greatest product, 18·γ_{n+1}·n.
let private byShape (s: ConvShape) x k b =
    if f2x3.Profile.Supports s && s.Rows.Size % 3 > 0 then f2x3.Forward s x k b
    elif (s.InChannels + s.Columns.Size) % 2 = 0 then loop.Forward s x k b
    else Variants.ofReversed s x k b

/// Prepared weights are summed from the last to the first.
let private preparedReversed =
    let plain = Contract.ofConvolution (Catalogue.All |> Seq.find (fun c -> c.Name = "loop"))

    let reversed =
        { new IConvolution with
            member _.Name = "reversed"
            member _.Supports _ = true
            member _.ArithmeticOf _ = AnyOrder()
            member _.Traits = Traits(Deterministic = true)

            member _.Prepare(shape, kernel, bias) =
                let k, b = kernel.ToArray(), bias.ToArray()

                { new IPreparedConvolution with
                    member _.WorkspaceBytes = 0L

                    member _.Run(input, output, _) = (Variants.ofReversed shape (input.ToArray()) k b).AsSpan().CopyTo output
                }
        }
        |> Contract.ofConvolution

    { plain with
        Name = "variant:prepared-reversed"
        Profile =
            { plain.Profile with
                Traits = Traits(Deterministic = true)
                Capabilities = set [ Forward; Placed; Prepares; Workspace; Concurrent ]
            }
        Prepare = reversed.Prepare
        Place = reversed.Place
    }

/// Sums begin with what stands behind the first boundary of 64 bytes.
let private byAddress =
    let run =
        Convolution(fun shape input kernel bias output ->
            let x, k, b = input.ToArray(), kernel.ToArray(), bias.ToArray()
            use at = fixed input
            let start = int (NativeInterop.NativePtr.toNativeInt at) / sizeof<float32> % 16

            let y =
                if start % 2 = 0 then
                    loop.Forward shape x k b
                else
                    Variants.ofReversed shape x k b

            y.AsSpan().CopyTo output)

    let profile = { Profile.Plain with Traits = Traits(Deterministic = true) }
    Contract.ofMethod "variant:order-by-address" profile run

let all: Subject list =
    let forward name text run = Subject.forward name (declaring text) run

    [
        forward "variant:kahan" "arithmetic=within:3 deterministic=yes" (direct kahan)
        forward "variant:kahan-undeclared" "arithmetic=opaque deterministic=yes" (direct kahan)
        { forward "variant:fourier" "arithmetic=within:1,global deterministic=yes" fourier with
            Profile =
                { declaring "arithmetic=within:1,global deterministic=yes" with
                    Supports = fewElements
                }
        }
        { forward "variant:fourier-undeclared" "arithmetic=opaque" fourier with
            Profile = { declaring "arithmetic=opaque deterministic=yes" with Supports = fewElements }
        }
        { Subject.forward "variant:winograd-f2x3-dense" f2x3.Profile dense with
            Profile =
                { f2x3.Profile with
                    ArithmeticOf =
                        fun s ->
                            let own = f2x3.Profile.ArithmeticOf s :?> Bilinear
                            Bilinear(own.OutputTransform, own.InputTransform, own.KernelTransform)
                    Capabilities = Set.singleton Forward
                }
        }
        forward "variant:three-tf32-products" "arithmetic=within:32 deterministic=yes" (direct threeProducts)
        Narrow("variant:truncating-tf32", Rounded(tf32.With("tf32.rz", truncates = true), FloatFormat.Binary32, FloatFormat.Binary32))
        |> Contract.ofConvolution
        forward "variant:int8-real-scales" "arithmetic=within:70000,global deterministic=yes" realScales
        forward "variant:strassen" "arithmetic=within:64,global deterministic=yes" strassen
        forward "variant:some-algorithm" "arithmetic=within:64,global deterministic=yes" byShape
        preparedReversed
        byAddress
    ]
