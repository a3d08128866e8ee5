/// The operators beside the forward pass, taken apart like it: gradients gathered, a transposed convolution that scatters, and a fused
/// epilogue. With the honest organs they are the definitions.
module internal Conv.Properties.TextbookAdjoint

open System
open Conv
open Conv.Properties.Textbook

/// Where an element of the input stands.
[<Struct>]
type Pixel = { Image: int; Channel: int; H: int; W: int }

/// The numbers of a fused epilogue, for one output channel.
[<Struct>]
type Affine = { Bias: float32; Scale: float32; Shift: float32 }

/// The factors of dX = Σ dY·k, dK = Σ dY·x, db = Σ dY, y = b + Σ x·k scattered, and z = s·(y + b) + t.
[<NoEquality; NoComparison>]
type Organs =
    {
        Forward: Textbook.Organs
        /// How the gradient of the kernel reads the input: as the forward pass does.
        Reading: Textbook.Organs
        /// The output channels that reach a channel of the input: the first, and how many.
        Reaching: ConvShape -> Pixel -> struct (int * int)
        /// The output row and column whose window meets a pixel by the tap (u, v).
        Meets: ConvShape -> Pixel -> int -> int -> struct (int * int) voption
        /// The weight between an output channel and a pixel.
        Weight: ConvShape -> float32[] -> Pixel -> int -> int -> int -> float32
        /// Where an element of dX is stored.
        StorePixel: ConvShape -> Pixel -> int
        /// Whether an output takes part in dK.
        Counts: ConvShape -> Place -> bool
        /// The sum of dK with one product more.
        Accumulate: float32 -> float32 -> float32 -> float32
        /// What a sum of dK is at its end.
        FinishKernel: ConvShape -> float32 -> float32
        /// Where the gradient of a weight is stored.
        StoreTap: ConvShape -> int -> Tap -> int
        /// db of an output channel.
        SumBias: ConvShape -> float32[] -> int -> float32
        /// The pixel to which a transposed convolution adds the product of an element with a tap, also outside of the result.
        Target: ConvShape -> Place -> Tap -> Pixel
        /// The weight of that product.
        Scattered: ConvShape -> float32[] -> Place -> Tap -> float32
        /// An element of the transposed convolution from its sum.
        FinishPixel: ConvShape -> float32[] -> Pixel -> float32 -> float32
        /// The fused output from its sum.
        Epilogue: bool -> Affine -> float32 -> float32
    }

/// The flat index of dY[n,o,i,j].
let outputIndex (s: ConvShape) n o i j = ((n * s.OutChannels + o) * s.Rows.Outputs + i) * s.Columns.Outputs + j

/// i where position = i·stride + tap·dilation − before, for an i that there is.
let meeting position tap stride dilation before outputs =
    let from = position + before - tap * dilation

    if from >= 0 && from % stride = 0 && from / stride < outputs then
        ValueSome(from / stride)
    else
        ValueNone

let honest =
    {
        Forward = Textbook.honest
        Reading = Textbook.honest
        Reaching =
            fun s p ->
                let g = p.Channel / s.InChannelsPerGroup
                struct (g * s.OutChannelsPerGroup, s.OutChannelsPerGroup)
        Meets =
            fun s p u v ->
                match
                    meeting p.H u s.Rows.Stride s.Rows.Dilation s.Rows.Before s.Rows.Outputs,
                    meeting p.W v s.Columns.Stride s.Columns.Dilation s.Columns.Before s.Columns.Outputs
                with
                | ValueSome i, ValueSome j -> ValueSome(struct (i, j))
                | _ -> ValueNone
        Weight = fun s k p o u v -> k[kernelIndex s o (p.Channel % s.InChannelsPerGroup) u v]
        StorePixel = fun s p -> inputIndex s p.Image p.Channel p.H p.W
        Counts = fun _ _ -> true
        Accumulate = fun sum x dy -> sum + x * dy
        FinishKernel = fun _ sum -> sum
        StoreTap = fun s o t -> kernelIndex s o t.C t.U t.V
        SumBias =
            fun s dy o ->
                let mutable sum = 0f

                for n in 0 .. s.Batch - 1 do
                    for i in 0 .. s.Rows.Outputs - 1 do
                        for j in 0 .. s.Columns.Outputs - 1 do
                            sum <- sum + dy[outputIndex s n o i j]

                sum
        Target =
            fun s at t ->
                {
                    Image = at.N
                    Channel = at.O / s.OutChannelsPerGroup * s.InChannelsPerGroup + t.C
                    H = at.I * s.Rows.Stride + t.U * s.Rows.Dilation - s.Rows.Before
                    W = at.J * s.Columns.Stride + t.V * s.Columns.Dilation - s.Columns.Before
                }
        Scattered = fun s k at t -> k[kernelIndex s at.O t.C t.U t.V]
        FinishPixel = fun _ b p sum -> if b.Length = 0 then sum else sum + b[p.Channel]
        Epilogue =
            fun rectifies a sum ->
                let z = a.Scale * (sum + a.Bias) + a.Shift
                if rectifies then max z 0f else z
    }

let private places (s: ConvShape) =
    seq {
        for n in 0 .. s.Batch - 1 do
            for o in 0 .. s.OutChannels - 1 do
                for i in 0 .. s.Rows.Outputs - 1 do
                    for j in 0 .. s.Columns.Outputs - 1 -> { N = n; O = o; I = i; J = j }
    }

let private pixels (s: ConvShape) =
    seq {
        for n in 0 .. s.Batch - 1 do
            for c in 0 .. s.InChannels - 1 do
                for h in 0 .. s.Rows.Size - 1 do
                    for w in 0 .. s.Columns.Size - 1 -> { Image = n; Channel = c; H = h; W = w }
    }

let private taps (s: ConvShape) =
    [|
        for c in 0 .. s.InChannelsPerGroup - 1 do
            for u in 0 .. s.Rows.Taps - 1 do
                for v in 0 .. s.Columns.Taps - 1 -> { C = c; U = u; V = v }
    |]

/// What is never written stays NaN.
let private unwritten (length: int64) = Array.create (int length) Single.NaN

let private backwardInput organs (s: ConvShape) (dy: float32[]) (k: float32[]) =
    let result = unwritten s.InputLength

    for pixel in pixels s do
        let struct (first, count) = organs.Reaching s pixel
        let mutable sum = 0f

        for o in first .. first + count - 1 do
            for u in 0 .. s.Rows.Taps - 1 do
                for v in 0 .. s.Columns.Taps - 1 do
                    match organs.Meets s pixel u v with
                    | ValueSome(struct (i, j)) -> sum <- sum + dy[outputIndex s pixel.Image o i j] * organs.Weight s k pixel o u v
                    | ValueNone -> ()

        result[organs.StorePixel s pixel] <- sum

    result

let private backwardKernel organs (s: ConvShape) (x: float32[]) (dy: float32[]) =
    let result = unwritten s.KernelLength
    let problem = { Shape = s; Input = x; Kernel = [||]; Bias = [||] }
    let read = organs.Reading

    for o in 0 .. s.OutChannels - 1 do
        for t in taps s do
            let mutable sum = 0f

            for n in 0 .. s.Batch - 1 do
                for i in 0 .. s.Rows.Outputs - 1 do
                    for j in 0 .. s.Columns.Outputs - 1 do
                        let at = { N = n; O = o; I = i; J = j }

                        if organs.Counts s at then
                            let x =
                                read.ReadInput problem at (read.InputChannel s at t.C) (read.InputRow s at t.U) (read.InputColumn s at t.V)

                            sum <- organs.Accumulate sum x dy[outputIndex s n o i j]

            result[organs.StoreTap s o t] <- organs.FinishKernel s sum

    result

let private transposed organs (s: ConvShape) (x: float32[]) (k: float32[]) (b: float32[]) =
    let sums = Array.zeroCreate (int s.InputLength)
    let taps = taps s

    for at in places s do
        for t in taps do
            let p = organs.Target s at t

            if p.H >= 0 && p.H < s.Rows.Size && p.W >= 0 && p.W < s.Columns.Size then
                let to' = inputIndex s p.Image p.Channel p.H p.W

                sums[to'] <- sums[to'] + x[outputIndex s at.N at.O at.I at.J] * organs.Scattered s k at t

    pixels s
    |> Seq.mapi (fun at pixel -> organs.FinishPixel s b pixel sums[at])
    |> Array.ofSeq

let private fused organs rectifies (s: ConvShape) x k (b: float32[]) =
    let result = unwritten s.OutputLength
    let problem = { Shape = s; Input = x; Kernel = k; Bias = [||] }

    for at in places s do
        let affine =
            {
                Bias = b[at.O]
                Scale = b[s.OutChannels + at.O]
                Shift = b[2 * s.OutChannels + at.O]
            }

        result[outputIndex s at.N at.O at.I at.J] <- organs.Epilogue rectifies affine (sum organs.Forward problem at)

    result

/// A subject that declares what the honest organs keep, as that of the forward pass does.
let subject name (organs: Organs) =
    let forward = Textbook.subject name organs.Forward

    { forward with
        Profile =
            { forward.Profile with
                Capabilities = forward.Profile.Capabilities + set [ Gradients; Transposed; Fused ]
            }
        Operate =
            fun operation s first second b ->
                match operation with
                | Operation.Forward -> forward.Forward s first second b
                | Operation.Fused rectifies -> fused organs rectifies s first second b
                | Operation.BackwardInput -> backwardInput organs s first second
                | Operation.BackwardKernel -> backwardKernel organs s first second
                | Operation.BackwardBias -> Array.init s.OutChannels (organs.SumBias s first)
                | Operation.Transposed -> transposed organs s first second b
    }
