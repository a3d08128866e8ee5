/// A direct convolution as it is written for speed, taken apart into organs: tiles of rows, columns that need no bounds in vectors of four,
/// the border by itself, channels last inside, and a path for depthwise convolutions that leaves the layout alone.
module internal Conv.Properties.TextbookTiled

open System
open Conv
open Conv.Properties.Textbook

/// Output columns of a vector.
[<Literal>]
let Lanes = 4

/// Output rows of a tile.
[<Literal>]
let TileRows = 4

type Path =
    /// Channels last inside.
    | Dense
    /// One channel a group, in and out: each plane by itself.
    | Depthwise

/// What is decided once for a shape.
[<Struct>]
type Plan =
    {
        Path: Path
        /// Whether the kernels read channels last.
        ChannelsLast: bool
        /// Output columns whose windows lie in the image from left to right: from, and up to.
        First: int
        End: int
    }

/// Neighbouring output columns, from the first on.
[<Struct>]
type Run = { At: int; Count: int }

[<NoEquality; NoComparison>]
type Organs =
    {
        /// The dispatch.
        Path: ConvShape -> Path
        Plan: Path -> ConvShape -> Plan
        /// Tiles of output rows.
        Tiles: ConvShape -> Run list
        /// The vectors, and what is left, of the columns that need no bounds.
        Vectors: Plan -> Run list
        /// The rows of the kernel that meet the image in an output row: from, and up to.
        TapRows: ConvShape -> int -> struct (int * int)
        InputRow: ConvShape -> Path -> int -> int -> int
        InputColumn: ConvShape -> Path -> int -> int -> int
        /// Where the input stands, channels last: image, channel, row, column.
        Inner: ConvShape -> int -> int -> int -> int -> int
        /// Where a kernel that reads channels last looks for it.
        InnerRead: ConvShape -> int -> int -> int -> int -> int
        /// Where the packed weights have a tap of an output channel.
        WeightAt: ConvShape -> int -> Tap -> int
        /// The channel of the input that channel c of the kernel meets.
        InputChannel: ConvShape -> Path -> int -> int -> int
        /// The sum with one product more, of the tap with a number.
        Accumulate: ConvShape -> Path -> int -> float32 -> float32 -> float32 -> float32
        /// The output from its sum, in a vector or not.
        Finish: Problem -> bool -> int -> float32 -> float32
        /// Where the inner output gets an element: image, channel, row, column.
        Result: ConvShape -> int -> int -> int -> int -> int
        /// Where the conversion back looks for it.
        ResultRead: ConvShape -> int -> int -> int -> int -> int
        /// Where the depthwise path stores an element.
        PlaneResult: ConvShape -> int -> int -> int -> int -> int
    }

let bias (p: Problem) o = if p.Bias.Length = 0 then 0f else p.Bias[o]

/// Output columns whose windows lie in the image: from, and up to.
let interior (s: ConvShape) =
    let first =
        if s.Columns.Before = 0 then
            0
        else
            (s.Columns.Before - 1) / s.Columns.Stride + 1

    let reach = s.Columns.Size + s.Columns.Before - s.Columns.Extent
    let last = if reach < 0 then 0 else min s.Columns.Outputs (reach / s.Columns.Stride + 1)
    struct (min first s.Columns.Outputs, max (min first s.Columns.Outputs) last)

/// Runs of so many, and the rest.
let runs size first last = [ for at in first..size .. last - 1 -> { At = at; Count = min size (last - at) } ]

let channelsLast channels height width n c h w = ((n * height + h) * width + w) * channels + c
let isDepthwise (s: ConvShape) = s.Groups > 1 && s.InChannelsPerGroup = 1 && s.OutChannelsPerGroup = 1

let honest =
    {
        Path = fun s -> if isDepthwise s then Depthwise else Dense
        Plan =
            fun path s ->
                let struct (first, last) = interior s
                { Path = path; ChannelsLast = (path = Dense); First = first; End = last }
        Tiles = fun s -> runs TileRows 0 s.Rows.Outputs
        Vectors = fun plan -> runs Lanes plan.First plan.End
        TapRows =
            fun s i ->
                let top = i * s.Rows.Stride - s.Rows.Before
                let first = if top < 0 then (-top - 1) / s.Rows.Dilation + 1 else 0
                let reach = s.Rows.Size - top

                let last = if reach <= 0 then 0 else min s.Rows.Taps ((reach - 1) / s.Rows.Dilation + 1)

                struct (first, last)
        InputRow = fun s _ i u -> i * s.Rows.Stride + u * s.Rows.Dilation - s.Rows.Before
        InputColumn = fun s _ j v -> j * s.Columns.Stride + v * s.Columns.Dilation - s.Columns.Before
        Inner = fun s n c h w -> channelsLast s.InChannels s.Rows.Size s.Columns.Size n c h w
        InnerRead = fun s n c h w -> channelsLast s.InChannels s.Rows.Size s.Columns.Size n c h w
        WeightAt = fun s o t -> ((t.U * s.Columns.Taps + t.V) * s.InChannelsPerGroup + t.C) * s.OutChannels + o
        InputChannel = fun s _ o c -> o / s.OutChannelsPerGroup * s.InChannelsPerGroup + c
        Accumulate = fun _ _ _ sum x k -> sum + x * k
        Finish = fun p _ o sum -> sum + bias p o
        Result = fun s n o i j -> channelsLast s.OutChannels s.Rows.Outputs s.Columns.Outputs n o i j
        ResultRead = fun s n o i j -> channelsLast s.OutChannels s.Rows.Outputs s.Columns.Outputs n o i j
        PlaneResult = fun s n o i j -> ((n * s.OutChannels + o) * s.Rows.Outputs + i) * s.Columns.Outputs + j
    }

/// Beyond a buffer stand zeros, as in memory that was just mapped.
let private load (buffer: float32[]) at = if at >= 0 && at < buffer.Length then buffer[at] else 0f

/// Every place of a tensor N×C×H×W, with its flat index.
let private each (count, channels, height, width) (visit: int -> int -> int -> int -> int -> unit) =
    let mutable flat = 0

    for n in 0 .. count - 1 do
        for c in 0 .. channels - 1 do
            for h in 0 .. height - 1 do
                for w in 0 .. width - 1 do
                    visit flat n c h w
                    flat <- flat + 1

/// The output of one place; where its columns have bounds, they are tested.
let private element organs (p: Problem) (plan: Plan) (inner: float32[]) (weights: float32[]) bounded n o i j =
    let s = p.Shape
    let struct (firstRow, lastRow) = organs.TapRows s i
    let mutable sum = 0f

    for u in firstRow .. lastRow - 1 do
        let h = organs.InputRow s plan.Path i u

        for v in 0 .. s.Columns.Taps - 1 do
            let w = organs.InputColumn s plan.Path j v

            if not bounded || w >= 0 && w < s.Columns.Size then
                for c in 0 .. s.InChannelsPerGroup - 1 do
                    let channel = organs.InputChannel s plan.Path o c

                    let at =
                        if plan.ChannelsLast then
                            organs.InnerRead s n channel h w
                        else
                            inputIndex s n channel h w

                    let tap = (c * s.Rows.Taps + u) * s.Columns.Taps + v
                    // Written as the kernels read them: channels innermost.
                    let k = weights[((u * s.Columns.Taps + v) * s.InChannelsPerGroup + c) * s.OutChannels + o]
                    sum <- organs.Accumulate s plan.Path tap sum (load inner at) k

    organs.Finish p (not bounded) o sum

let private pack organs (p: Problem) =
    let s = p.Shape
    let packed = Array.zeroCreate p.Kernel.Length

    each (s.OutChannels, s.InChannelsPerGroup, s.Rows.Taps, s.Columns.Taps) (fun flat o c u v ->
        packed[organs.WeightAt s o { C = c; U = u; V = v }] <- p.Kernel[flat])

    packed

/// The whole output.
let convolve organs (p: Problem) =
    let s = p.Shape
    let path = organs.Path s
    let plan = organs.Plan path s
    let vectors = organs.Vectors plan
    let weights = pack organs p

    let inner =
        match path with
        | Depthwise -> p.Input
        | Dense ->
            let inner = Array.zeroCreate p.Input.Length
            each (s.Batch, s.InChannels, s.Rows.Size, s.Columns.Size) (fun flat n c h w -> inner[organs.Inner s n c h w] <- p.Input[flat])
            inner

    // What is never written stays NaN.
    let result = Array.create (int s.OutputLength) Single.NaN

    let store n o i j =
        match path with
        | Depthwise -> organs.PlaneResult s n o i j
        | Dense -> organs.Result s n o i j

    for n in 0 .. s.Batch - 1 do
        for tile in organs.Tiles s do
            for o in 0 .. s.OutChannels - 1 do
                for i in tile.At .. tile.At + tile.Count - 1 do
                    let run bounded (run: Run) =
                        for j in run.At .. run.At + run.Count - 1 do
                            result[store n o i j] <- element organs p plan inner weights bounded n o i j

                    run true { At = 0; Count = plan.First }

                    for vector in vectors do
                        run false vector

                    run true { At = plan.End; Count = s.Columns.Outputs - plan.End }

    match path with
    | Depthwise -> result
    | Dense ->
        let output = Array.zeroCreate result.Length

        each (s.Batch, s.OutChannels, s.Rows.Outputs, s.Columns.Outputs) (fun flat n o i j ->
            output[flat] <- result[organs.ResultRead s n o i j])

        output

/// A subject that declares what the honest organs keep: any order of summation, every shape, gradual underflow.
let subject name (organs: Organs) =
    Subject.forward name profile (fun shape x k b -> convolve organs { Shape = shape; Input = x; Kernel = k; Bias = b })
