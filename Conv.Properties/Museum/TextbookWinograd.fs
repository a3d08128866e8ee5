/// Winograd's convolution F(m×m, 3×3) in float32, taken apart into organs: windows of the input and the kernels are transformed, multiplied
/// and summed over channels in the transform domain, and transformed back to tiles of m×m outputs. What tiles cannot do is done directly.
module internal Conv.Properties.TextbookWinograd

open System
open Conv
open Conv.Properties.Textbook

/// F(m, 3) as Lavin & Gray give it: Y = Aᵀ·[Σ_c (G·g_c·Gᵀ) ⊙ (Bᵀ·d_c·B)]·A.
[<NoEquality; NoComparison>]
type Scheme =
    {
        /// Ours that declares the same matrices: the signs of rows differ, their magnitudes do not.
        Name: string
        /// Aᵀ, m×(m+2).
        Output: float32[,]
        /// Bᵀ, (m+2)×(m+2).
        Input: float32[,]
        /// G, (m+2)×3.
        Kernel: float32[,]
    }

    /// m, rows of a tile of outputs.
    member f.Outputs = Array2D.length1 f.Output

    /// m + 2, rows of the window that a tile sees.
    member f.Size = Array2D.length1 f.Input

    /// Numbers of a transformed window.
    member f.Positions = f.Size * f.Size

let f2x3 =
    {
        Name = "winograd-f2x3"
        Output = array2D [ [ 1f; 1f; 1f; 0f ]; [ 0f; 1f; -1f; -1f ] ]
        Input = array2D [ [ 1f; 0f; -1f; 0f ]; [ 0f; 1f; 1f; 0f ]; [ 0f; -1f; 1f; 0f ]; [ 0f; 1f; 0f; -1f ] ]
        Kernel = array2D [ [ 1f; 0f; 0f ]; [ 0.5f; 0.5f; 0.5f ]; [ 0.5f; -0.5f; 0.5f ]; [ 0f; 0f; 1f ] ]
    }

let f4x3 =
    {
        Name = "winograd-f4x3"
        Output =
            array2D
                [
                    [ 1f; 1f; 1f; 1f; 1f; 0f ]
                    [ 0f; 1f; -1f; 2f; -2f; 0f ]
                    [ 0f; 1f; 1f; 4f; 4f; 0f ]
                    [ 0f; 1f; -1f; 8f; -8f; 1f ]
                ]
        Input =
            array2D
                [
                    [ 4f; 0f; -5f; 0f; 1f; 0f ]
                    [ 0f; -4f; -4f; 1f; 1f; 0f ]
                    [ 0f; 4f; -4f; -1f; 1f; 0f ]
                    [ 0f; -2f; -1f; 2f; 1f; 0f ]
                    [ 0f; 2f; -1f; -2f; 1f; 0f ]
                    [ 0f; 4f; 0f; -5f; 0f; 1f ]
                ]
        Kernel =
            array2D
                [
                    [ 1f / 4f; 0f; 0f ]
                    [ -1f / 6f; -1f / 6f; -1f / 6f ]
                    [ -1f / 6f; 1f / 6f; -1f / 6f ]
                    [ 1f / 24f; 1f / 12f; 1f / 6f ]
                    [ 1f / 24f; -1f / 12f; 1f / 6f ]
                    [ 0f; 0f; 1f ]
                ]
    }

/// Tiles down and across, and outputs of a tile in one dimension.
[<Struct>]
type Grid =
    {
        Down: int
        Across: int
        Tile: int
    }

    member g.Tiles = g.Down * g.Across

/// A window of one channel of the input, from its first row and column on, which may be outside of the image.
[<Struct>]
type Window = { Image: int; Channel: int; Top: int; Left: int; Size: int }

/// The products of one group in the transform domain: for each position, Rows×Depth times Depth×Columns.
[<Struct>]
type Products = { Rows: int; Depth: int; Columns: int }

/// What a thread works in: transformed windows, their products, and one window.
[<NoEquality; NoComparison>]
type Scratch = { Inputs: float32[]; Sums: float32[]; Window: float32[] }

[<NoEquality; NoComparison>]
type Organs =
    {
        Scheme: Scheme
        /// The dispatch: whether a shape is computed in tiles.
        TakesTiles: ConvShape -> bool
        /// The path of all other shapes.
        Direct: Textbook.Organs
        /// The weight of an output channel and a tap, for the transform.
        ReadTap: Problem -> int -> Tap -> float32
        TransformKernel: Scheme -> float32[] -> float32[]
        TransformInput: Scheme -> float32[] -> float32[]
        /// The outputs of a tile of an output channel, its bias included, from the sums in the transform domain.
        TransformOutput: Problem -> Scheme -> int -> float32[] -> float32[]
        Grid: Scheme -> ConvShape -> Grid
        /// How many tiles of the grid are computed.
        Tiles: Grid -> int
        /// The row and column of a tile in the grid.
        Split: Grid -> int -> struct (int * int)
        /// The first row and column of the input that a tile sees, from its row and column in the grid.
        Corner: ConvShape -> Grid -> int -> int -> struct (int * int)
        /// Fills a window from the image. It holds what it held before.
        Gather: Problem -> Window -> float32[] -> unit
        /// Where the transformed kernels have a position of an output channel and a channel of its group.
        KernelAt: ConvShape -> int -> int -> int -> int
        /// Where the transformed windows have a position of a channel and a tile.
        InputAt: Products -> int -> int -> int -> int
        /// The channels that are summed.
        Depth: ConvShape -> int
        /// The sum over channels with one product more, of a transformed weight and a transformed input.
        Accumulate: float32 -> float32 -> float32 -> float32
        /// Prepares the sums of a group. They hold what they held before.
        Clear: float32[] -> unit
        /// Copies the whole tiles of a group, (O/G)×rows×columns, to the output, without the border that sticks out of it.
        Cut: ConvShape -> Grid -> int -> int -> float32[] -> float32[] -> unit
        /// Threads that a call is shared among.
        Threads: int
        /// The scratch that a thread works in.
        ScratchOf: Team.Member -> int
        /// When a thread does one of its two steps: it transforms its windows, and computes its tiles from them.
        Schedule: Team.Member -> (unit -> unit) -> unit
    }

/// M·d·Mᵀ for a square d, what is multiplied by zero left out.
let sandwich (m: float32[,]) (d: float32[]) =
    let rows, size = Array2D.length1 m, Array2D.length2 m
    let half, result = Array.zeroCreate (rows * size), Array.zeroCreate (rows * rows)

    for row in 0 .. rows - 1 do
        for t in 0 .. size - 1 do
            let factor = m[row, t]

            if factor <> 0f then
                for column in 0 .. size - 1 do
                    half[row * size + column] <- half[row * size + column] + factor * d[t * size + column]

    for column in 0 .. rows - 1 do
        for t in 0 .. size - 1 do
            let factor = m[column, t]

            if factor <> 0f then
                for row in 0 .. rows - 1 do
                    result[row * rows + column] <- result[row * rows + column] + factor * half[row * size + t]

    result

let bias (p: Problem) o = if p.Bias.Length = 0 then 0f else p.Bias[o]

/// What F(m, 3) can do.
let isDense3x3 (s: ConvShape) =
    s.Rows.Taps = 3
    && s.Columns.Taps = 3
    && s.Rows.Stride = 1
    && s.Columns.Stride = 1
    && s.Rows.Dilation = 1
    && s.Columns.Dilation = 1

let isInside (s: ConvShape) h w = h >= 0 && h < s.Rows.Size && w >= 0 && w < s.Columns.Size

/// Fills a window by a rule that reads one row and column.
let gather (read: Problem -> Window -> int -> int -> float32) =
    fun p (window: Window) (to': float32[]) ->
        for at in 0 .. window.Size * window.Size - 1 do
            to'[at] <- read p window (window.Top + at / window.Size) (window.Left + at % window.Size)

/// Copies what the tiles hold by a rule that says where they have an element: channel of the group, row and column.
let cut (from: ConvShape -> Grid -> int -> int -> int -> int) =
    fun (s: ConvShape) grid n group (tiles: float32[]) (output: float32[]) ->
        for o in 0 .. s.OutChannelsPerGroup - 1 do
            for i in 0 .. min s.Rows.Outputs (grid.Down * grid.Tile) - 1 do
                for j in 0 .. min s.Columns.Outputs (grid.Across * grid.Tile) - 1 do
                    let place = { N = n; O = group * s.OutChannelsPerGroup + o; I = i; J = j }
                    output[Textbook.honest.OutputIndex s place] <- tiles[from s grid o i j]

/// Where whole tiles have an element.
let inTiles (g: Grid) o i j = (o * g.Down * g.Tile + i) * g.Across * g.Tile + j

let honest scheme =
    {
        Scheme = scheme
        TakesTiles = isDense3x3
        Direct = Textbook.honest
        ReadTap = fun p o t -> p.Kernel[kernelIndex p.Shape o t.C t.U t.V]
        TransformKernel = fun f g -> sandwich f.Kernel g
        TransformInput = fun f d -> sandwich f.Input d
        TransformOutput = fun p f o sums -> sandwich f.Output sums |> Array.map (fun y -> y + bias p o)
        Grid =
            fun f s ->
                {
                    Down = (s.Rows.Outputs + f.Outputs - 1) / f.Outputs
                    Across = (s.Columns.Outputs + f.Outputs - 1) / f.Outputs
                    Tile = f.Outputs
                }
        Tiles = _.Tiles
        Split = fun g tile -> struct (tile / g.Across, tile % g.Across)
        Corner = fun s g row column -> struct (row * g.Tile - s.Rows.Before, column * g.Tile - s.Columns.Before)
        Gather =
            gather (fun p window h w ->
                if isInside p.Shape h w then
                    p.Input[inputIndex p.Shape window.Image window.Channel h w]
                else
                    0f)
        KernelAt = fun s position o c -> (position * s.OutChannels + o) * s.InChannelsPerGroup + c
        InputAt = fun m position c tile -> (position * m.Depth + c) * m.Columns + tile
        Depth = _.InChannelsPerGroup
        Accumulate = fun sum u v -> sum + u * v
        Clear = Array.Clear
        Cut = cut (fun _ -> inTiles)
        Threads = 1
        ScratchOf = _.Number
        Schedule = fun _ step -> step ()
    }

let private transformKernels organs (p: Problem) =
    let s, f = p.Shape, organs.Scheme
    let kernels = Array.zeroCreate (f.Positions * s.OutChannels * s.InChannelsPerGroup)

    for o in 0 .. s.OutChannels - 1 do
        for c in 0 .. s.InChannelsPerGroup - 1 do
            let taps = Array.init 9 (fun at -> organs.ReadTap p o { C = c; U = at / 3; V = at % 3 })

            organs.TransformKernel f taps
            |> Array.iteri (fun position u -> kernels[organs.KernelAt s position o c] <- u)

    kernels

/// One thread's tiles of one group of one image, into whole tiles.
let private work organs (p: Problem) (kernels: float32[]) grid n group (scratches: Scratch[]) (tiles: float32[]) (one: Team.Member) =
    let s, f = p.Shape, organs.Scheme
    let struct (first, last) = Team.share (organs.Tiles grid) one
    let scratch = scratches[organs.ScratchOf one]

    let m =
        {
            Rows = s.OutChannelsPerGroup
            Depth = s.InChannelsPerGroup
            Columns = last - first
        }

    organs.Schedule one (fun () ->
        for c in 0 .. m.Depth - 1 do
            for tile in first .. last - 1 do
                let struct (row, column) = organs.Split grid tile
                let struct (top, left) = organs.Corner s grid row column
                let channel = group * s.InChannelsPerGroup + c
                organs.Gather p { Image = n; Channel = channel; Top = top; Left = left; Size = f.Size } scratch.Window

                organs.TransformInput f scratch.Window
                |> Array.iteri (fun position v -> scratch.Inputs[organs.InputAt m position c (tile - first)] <- v))

    organs.Schedule one (fun () ->
        organs.Clear scratch.Sums
        let sumAt position o tile = (position * m.Rows + o) * m.Columns + tile

        for position in 0 .. f.Positions - 1 do
            for o in 0 .. m.Rows - 1 do
                for c in 0 .. organs.Depth s - 1 do
                    let u = kernels[organs.KernelAt s position (group * m.Rows + o) c]

                    for tile in 0 .. m.Columns - 1 do
                        let at = sumAt position o tile
                        scratch.Sums[at] <- organs.Accumulate scratch.Sums[at] u scratch.Inputs[organs.InputAt m position c tile]

        for o in 0 .. m.Rows - 1 do
            for tile in 0 .. m.Columns - 1 do
                let struct (row, column) = organs.Split grid (first + tile)
                let sums = Array.init f.Positions (fun position -> scratch.Sums[sumAt position o tile])

                organs.TransformOutput p f (group * m.Rows + o) sums
                |> Array.iteri (fun at y ->
                    tiles[inTiles grid o (row * grid.Tile + at / f.Outputs) (column * grid.Tile + at % f.Outputs)] <- y))

let private inTilesOf organs (p: Problem) =
    let s, f = p.Shape, organs.Scheme
    let grid = organs.Grid f s
    let kernels = transformKernels organs p
    let threads = max 1 (min organs.Threads grid.Tiles)

    // One size serves windows and sums.
    let room = f.Positions * max s.InChannelsPerGroup s.OutChannelsPerGroup * grid.Tiles

    let scratches =
        Array.init threads (fun _ ->
            {
                Inputs = Array.zeroCreate room
                Sums = Array.zeroCreate room
                Window = Array.zeroCreate f.Positions
            })

    // What is never written stays NaN.
    let output = Array.create (int s.OutputLength) Single.NaN

    let tiles = Array.create (s.OutChannelsPerGroup * grid.Tiles * grid.Tile * grid.Tile) Single.NaN

    Team.run threads (fun one ->
        for n in 0 .. s.Batch - 1 do
            for group in 0 .. s.Groups - 1 do
                work organs p kernels grid n group scratches tiles one
                one.Meeting.SignalAndWait()

                if one.Number = 0 then
                    organs.Cut s grid n group tiles output
                    Array.Fill(tiles, Single.NaN)

                one.Meeting.SignalAndWait())

    output

let private run organs (p: Problem) =
    if organs.TakesTiles p.Shape then
        inTilesOf organs p
    else
        convolve organs.Direct p

/// What the scheme declares.
let private declared (scheme: Scheme) = (Ours.implementations |> List.find (fun subject -> subject.Name = scheme.Name)).Profile

/// Flat indices are 32 bits wide.
let private fits (scheme: Scheme) (s: ConvShape) =
    let tiles = (int64 s.Rows.Outputs / 2L + 1L) * (int64 s.Columns.Outputs / 2L + 1L)
    let positions = int64 scheme.Positions
    let most = 1L <<< 27

    tiles < most
    && positions
       * tiles
       * int64 (max (max s.InChannelsPerGroup s.OutChannelsPerGroup) 1)
        <
        most
    && positions * s.KernelLength < most

let private subjectOf name supports (traits: Traits) organs =
    let own = declared organs.Scheme

    let profile =
        { Profile.Plain with
            Supports = fun s -> supports s && inReach s && fits organs.Scheme s
            ArithmeticOf = fun s -> if isDense3x3 s then own.ArithmeticOf s else AnyOrder()
            Traits = traits
        }

    Subject.forward name profile (fun shape x k b -> run organs { Shape = shape; Input = x; Kernel = k; Bias = b })

/// A subject that takes every shape: bilinear where honest organs compute in tiles, in any order elsewhere.
let subject name (organs: Organs) = subjectOf name (fun _ -> true) (Traits(Deterministic = true)) organs

/// The algorithm alone, which takes no other shapes than its own.
let subjectOfTiles name (organs: Organs) =
    let own = (declared organs.Scheme).Traits

    let traits =
        Traits(Deterministic = true, KernelSizes = own.KernelSizes, Strides = own.Strides, Dilations = own.Dilations)

    subjectOf name isDense3x3 traits organs
