/// A convolution by a blocked matrix product, taken apart into organs: patches of the input are unfolded into a matrix (im2col), weights are
/// packed into panels of four rows, the matrix into panels of eight columns, and the sums are cut into blocks of sixteen terms.
module internal Conv.Properties.TextbookGemm

open System
open Conv
open Conv.Properties.Textbook

/// Rows of a panel: output channels.
[<Literal>]
let MR = 4

/// Columns of a panel: output positions.
[<Literal>]
let NR = 8

/// Terms of a block.
[<Literal>]
let KC = 16

/// Where the right-hand matrix comes from.
type Path =
    /// Patches that are unfolded first.
    | Unfolded
    /// The image itself, which is its own matrix of patches where the kernel is 1×1.
    | Pointwise

/// What is decided once for a shape.
[<Struct>]
type Plan =
    {
        Path: Path
        /// Panels of output channels of a group.
        RowPanels: int
        /// Panels of output positions.
        ColumnPanels: int
        /// Terms of a sum.
        Depth: int
    }

/// Terms of a sum from the first on.
[<Struct>]
type Block = { First: int; Count: int }

/// One call of the micro-kernel, with which path it serves. A: four weights a term, from `From` on. B: eight elements a term.
[<NoEquality; NoComparison>]
type Micro = { Path: Path; Terms: int; A: float32[]; From: int; B: float32[] }

/// Where a block's sums go.
[<Struct>]
type Target = { Group: int; O: int; IsFirst: bool; IsLast: bool }

/// What a thread does: all of its work on a group of an image, in which it unfolds and then multiplies block by block.
type Step =
    | Whole
    | Unfold
    | Multiply

[<NoEquality; NoComparison>]
type Organs =
    {
        Plan: ConvShape -> Plan
        /// The row and column of the output of a column of the matrix.
        Split: ConvShape -> int -> struct (int * int)
        /// Whether an element of the matrix, by its flat index, is unfolded at all.
        Unfolds: ConvShape -> int -> bool
        /// The element of an image at a channel, row and column, also outside: the padding rule.
        ReadCell: Problem -> int -> int -> int -> int -> float32
        /// Where the matrix gets the element of a term and a column.
        PatchAt: ConvShape -> int -> int -> int
        /// The flat index of the input where the image is the matrix: image, channel, column.
        PointwiseAt: ConvShape -> int -> int -> int -> int
        /// The weight of a row of a group and a term.
        Weight: Problem -> int -> int -> int -> float32
        /// Where the packed weights of a group have a row and a term.
        PackedAt: ConvShape -> int -> int -> int
        /// The blocks of a sum of so many terms, at least one.
        Blocks: int -> Block list
        /// The row of the matrix that is term k of a block.
        TermOf: ConvShape -> Block -> int -> int
        /// Adds A·B to sums of 4×8.
        Multiply: Micro -> float32[] -> unit
        /// Rows of a panel that are stored.
        Rows: ConvShape -> int -> int
        /// Columns of a panel that are stored.
        Columns: ConvShape -> int -> int
        /// An element of the output from what it holds and the sum of a block.
        Store: Problem -> Target -> float32 -> float32 -> float32
        /// Where the output has an element: image, channel, column.
        OutputAt: ConvShape -> int -> int -> int -> int
        /// Threads that a call is shared among.
        Threads: int
        /// The panels of columns that are a thread's own.
        Share: int -> Team.Member -> struct (int * int)
        /// Whether the threads unfold one matrix together, each some of its rows, or each the columns that it multiplies.
        Together: bool
        /// The scratch that a thread works in.
        ScratchOf: Team.Member -> int
        /// When a thread does a step of its work.
        Schedule: Team.Member -> Step -> (unit -> unit) -> unit
    }

let bias (p: Problem) o = if p.Bias.Length = 0 then 0f else p.Bias[o]
let positions (s: ConvShape) = int s.OutputPlane

/// How many parts of a size there are, the last one perhaps not whole.
let partsOf size all = (all + size - 1) / size

let isPointwise (s: ConvShape) =
    s.Rows.Taps = 1
    && s.Columns.Taps = 1
    && s.Rows.Stride = 1
    && s.Columns.Stride = 1
    && s.Rows.Before + s.Columns.Before + s.Rows.After + s.Columns.After = 0

/// A micro-kernel by its step (the path, the place among 32 sums, a sum, a weight, an element): two banks of sums, for even and odd terms,
/// which are added at the end.
let multiplyBy (step: Path -> int -> float32 -> float32 -> float32 -> float32) =
    fun (m: Micro) (sums: float32[]) ->
        let odd = Array.zeroCreate (MR * NR)

        for k in 0 .. m.Terms - 1 do
            let bank = if k % 2 = 0 then sums else odd

            for at in 0 .. MR * NR - 1 do
                bank[at] <- step m.Path at bank[at] m.A[m.From + k * MR + at / NR] m.B[k * NR + at % NR]

        for at in 0 .. MR * NR - 1 do
            sums[at] <- sums[at] + odd[at]

let madd (sum: float32) (a: float32) b = sum + a * b

let honest =
    {
        Plan =
            fun s ->
                {
                    Path = if isPointwise s then Pointwise else Unfolded
                    RowPanels = partsOf MR s.OutChannelsPerGroup
                    ColumnPanels = partsOf NR (positions s)
                    Depth = int s.TermsPerOutput
                }
        Split = fun s column -> struct (column / s.Columns.Outputs, column % s.Columns.Outputs)
        Unfolds = fun _ _ -> true
        ReadCell =
            fun p n c h w ->
                let s = p.Shape

                if h >= 0 && h < s.Rows.Size && w >= 0 && w < s.Columns.Size then
                    p.Input[inputIndex s n c h w]
                else
                    0f
        PatchAt = fun s term column -> term * positions s + column
        PointwiseAt = fun s n c column -> (n * s.InChannels + c) * int s.InputPlane + column
        Weight = fun p group row term -> p.Kernel[(group * p.Shape.OutChannelsPerGroup + row) * int p.Shape.TermsPerOutput + term]
        PackedAt = fun s row term -> (row / MR * int s.TermsPerOutput + term) * MR + row % MR
        Blocks = fun depth -> [ for first in 0..KC .. max 0 (depth - 1) -> { First = first; Count = min KC (depth - first) } ]
        TermOf = fun _ block k -> block.First + k
        Multiply = multiplyBy (fun _ _ -> madd)
        Rows = fun s panel -> min MR (s.OutChannelsPerGroup - panel * MR)
        Columns = fun s panel -> min NR (positions s - panel * NR)
        Store =
            fun p target old sum ->
                let sum = if target.IsFirst then sum else old + sum
                if target.IsLast then sum + bias p target.O else sum
        OutputAt = fun s n o column -> (n * s.OutChannels + o) * positions s + column
        Threads = 1
        Share = Team.share
        Together = false
        ScratchOf = _.Number
        Schedule =
            fun one step work ->
                work ()

                // What is unfolded together must be there before it is used.
                if step = Unfold then
                    one.Meeting.SignalAndWait()
    }

/// The weights of a group in panels of four rows, rows beyond the last and one more block zero.
let private pack organs (p: Problem) (plan: Plan) group =
    let s = p.Shape
    let depth = int s.TermsPerOutput
    let panels = max plan.RowPanels (partsOf MR s.OutChannelsPerGroup)
    let packed = Array.zeroCreate (panels * max depth plan.Depth * MR + KC * MR)

    for row in 0 .. s.OutChannelsPerGroup - 1 do
        for term in 0 .. depth - 1 do
            packed[organs.PackedAt s row term] <- organs.Weight p group row term

    packed

/// The elements of columns, of which the first is the matrix's own first, in the rows that a thread takes.
let private unfold organs (p: Problem) n group (matrix: float32[]) first last takes =
    let s = p.Shape
    let taps = int s.KernelPlane

    for term in 0 .. int s.TermsPerOutput - 1 do
        if takes term then
            let channel, u, v =
                group * s.InChannelsPerGroup + term / taps, term % taps / s.Columns.Taps, term % s.Columns.Taps

            for column in first .. last - 1 do
                if organs.Unfolds s (term * positions s + column) then
                    let struct (i, j) = organs.Split s column
                    let h = i * s.Rows.Stride + u * s.Rows.Dilation - s.Rows.Before
                    let w = j * s.Columns.Stride + v * s.Columns.Dilation - s.Columns.Before
                    matrix[organs.PatchAt s term (column - first)] <- organs.ReadCell p n channel h w

/// What a thread works in: the matrix, a panel of it, and sums of 4×8.
[<NoEquality; NoComparison>]
type private Scratch = { Matrix: float32[]; Panel: float32[]; Sums: float32[] }

let private work organs p (plan: Plan) (packed: float32[]) n group (scratches: Scratch[]) (output: float32[]) (one: Team.Member) =
    let s = p.Shape
    let all, pitch, depth = positions s, positions s, int s.TermsPerOutput
    let struct (firstPanel, lastPanel) = organs.Share plan.ColumnPanels one
    let first, last = min all (firstPanel * NR), min all (lastPanel * NR)
    let scratch = scratches[organs.ScratchOf one]
    let matrix = if organs.Together then scratches[0].Matrix else scratch.Matrix
    let origin = if organs.Together then 0 else first

    organs.Schedule one Unfold (fun () ->
        match plan.Path with
        | Pointwise -> ()
        | Unfolded when organs.Together -> unfold organs p n group matrix 0 all (fun term -> term % one.Count = one.Number)
        | Unfolded -> unfold organs p n group matrix first last (fun _ -> true))

    let element term column =
        match plan.Path with
        | Unfolded -> matrix[term * pitch + column - origin]
        | Pointwise ->
            let at = organs.PointwiseAt s n (group * s.InChannelsPerGroup + term) column
            // Beyond the image stand zeros, as in memory that was just mapped.
            if at >= 0 && at < p.Input.Length then p.Input[at] else 0f

    let blocks = organs.Blocks plan.Depth
    let final = List.last blocks

    for block in blocks do
        organs.Schedule one Multiply (fun () ->
            for panel in firstPanel .. lastPanel - 1 do
                for k in 0 .. block.Count - 1 do
                    let term = organs.TermOf s block k

                    // There is no term beyond the last.
                    if term < depth then
                        for lane in 0 .. NR - 1 do
                            let column = panel * NR + lane
                            scratch.Panel[k * NR + lane] <- if column < all then element term column else 0f

                for rows in 0 .. plan.RowPanels - 1 do
                    if rows * MR < s.OutChannelsPerGroup then
                        Array.Clear scratch.Sums

                        organs.Multiply
                            {
                                Path = plan.Path
                                Terms = block.Count
                                A = packed
                                From = (rows * depth + block.First) * MR
                                B = scratch.Panel
                            }
                            scratch.Sums

                        for r in 0 .. organs.Rows s rows - 1 do
                            let o = group * s.OutChannelsPerGroup + rows * MR + r

                            let target = { Group = group; O = o; IsFirst = (block.First = 0); IsLast = (block = final) }

                            for lane in 0 .. organs.Columns s panel - 1 do
                                let at = organs.OutputAt s n o (panel * NR + lane)
                                output[at] <- organs.Store p target output[at] scratch.Sums[r * NR + lane])

/// The whole output.
let convolve organs (p: Problem) =
    let s = p.Shape
    let plan = organs.Plan s
    // What is never written stays NaN.
    let output = Array.create (int s.OutputLength) Single.NaN
    let threads = max 1 (min organs.Threads plan.ColumnPanels)

    let scratches =
        Array.init threads (fun _ ->
            {
                Matrix = Array.zeroCreate (int s.TermsPerOutput * positions s)
                Panel = Array.zeroCreate (KC * NR)
                Sums = Array.zeroCreate (MR * NR)
            })

    let packed = Array.init s.Groups (pack organs p plan)

    Team.run threads (fun one ->
        for group in 0 .. s.Groups - 1 do
            for n in 0 .. s.Batch - 1 do
                organs.Schedule one Whole (fun () -> work organs p plan packed[group] n group scratches output one)
                // A matrix that is unfolded together is in use until all have multiplied.
                one.Meeting.SignalAndWait())

    output

/// A subject that declares what the honest organs keep: any order of summation, gradual underflow.
let subject name (organs: Organs) =
    Subject.forward name profile (fun shape x k b -> convolve organs { Shape = shape; Input = x; Kernel = k; Bias = b })
