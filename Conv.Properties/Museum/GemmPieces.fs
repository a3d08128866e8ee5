/// Faults of patches and their matrix product: what is unfolded, packing, blocks and tails, the micro-kernel, what is stored, plans and
/// threads.
module internal Conv.Properties.GemmPieces

open System.Collections.Concurrent
open Conv
open Conv.Properties.Textbook
open Conv.Properties.TextbookGemm

let private honest = TextbookGemm.honest

/// What is left of an index in 16 bits.
let private narrow (at: int) = int (uint16 at)

let private unfolding =
    [
        { honest with
            Split = fun s column -> struct (column / s.Rows.Outputs, column % s.Rows.Outputs)
        }
        |> Piece.ofGemm
            "q71-columns-split-by-the-height"
            "A column of the matrix of patches is divided by the height of the output, not by its width."

        { honest with
            ReadCell =
                fun p n c h w ->
                    let s = p.Shape
                    // Both bounds in one comparison of unsigned numbers, of a row and column that are one number by then.
                    let at = h * s.Columns.Size + w

                    if uint32 at < uint32 (int s.InputPlane) then
                        p.Input[inputIndex s n c 0 0 + at]
                    else
                        0f
        }
        |> Piece.ofGemm
            "q72-one-bound-for-row-and-column"
            "Unfolding tests the place in the plane, not its row and column: the sides wrap around."

        { honest with
            PatchAt =
                fun s term column ->
                    let taps = int s.KernelPlane
                    (term % taps * s.InChannelsPerGroup + term / taps) * positions s + column
        }
        |> Piece.ofGemm
            "q73-taps-outside-of-channels"
            "Patches are unfolded with their channels innermost, weights are packed with their taps innermost."

        { honest with
            PatchAt = fun s term column -> narrow (honest.PatchAt s term column)
        }
        |> Piece.ofGemm "m105-unfold-offset-of-16-bits" "The offset to which patches were unfolded overflowed; here at 16 bits."

        { honest with
            ReadCell =
                fun p n c h w ->
                    let s = p.Shape

                    if h >= 0 && h < s.Rows.Size && w >= 0 && w < s.Columns.Size then
                        p.Input[inputIndex s n 0 0 0 + narrow (inputIndex s 0 c h w)]
                    else
                        0f
        }
        |> Piece.ofGemm "m124-im2col-offset-of-16-bits" "The offset of im2col within an image overflowed; here at 16 bits."

        { honest with Unfolds = fun _ at -> at < 65536 }
        |> Piece.ofGemm
            "m125-im2col-index-of-16-bits"
            "The elements of the matrix of patches outnumbered the index of im2col; here of 16 bits."
    ]

let private dispatch =
    [
        { honest with
            Plan =
                fun s ->
                    { honest.Plan s with
                        Path =
                            if int s.KernelPlane = 1 && s.Rows.Stride * s.Columns.Stride = 1 then
                                Pointwise
                            else
                                Unfolded
                    }
        }
        |> Piece.ofGemm "q208-padded-pixels-multiplied-directly" "A 1×1 convolution with padding goes to the matrix product directly."

        { honest with
            PointwiseAt = fun s n c column -> (c * s.Batch + n) * int s.InputPlane + column
        }
        |> Piece.ofGemm
            "m060-batch-folded-into-the-columns"
            "A 1×1 convolution of several images took them for one, whose channels were as far apart as all images are large."

        { honest with
            PointwiseAt = fun s n c column -> (n * int s.InputPlane + column) * s.InChannels + c
        }
        |> Piece.ofGemm
            "m161-pointwise-channels-last"
            "A 1×1 convolution was wrong from two channels on: it read them as if they came last."

        { honest with
            PointwiseAt =
                fun s n c column ->
                    // Pixels in pairs: the last pair of an odd row has room for two.
                    let pitch = (s.Columns.Size + 1) / 2 * 2

                    (n * s.InChannels + c) * int s.InputPlane
                    + column / s.Columns.Outputs * pitch
                    + column % s.Columns.Outputs
        }
        |> Piece.ofGemm
            "m065-odd-width-in-pairs"
            "The shortcut for 1×1 kernels read pixels in pairs, and rows of an odd width began one pixel late."

        { honest with
            PointwiseAt = fun s n c column -> narrow (honest.PointwiseAt s n c column)
        }
        |> Piece.ofGemm "q74-pointwise-offset-of-16-bits" "The offset of a 1×1 convolution into its input overflows; here at 16 bits."
    ]

let private packing =
    [
        { honest with
            PackedAt =
                fun s row term ->
                    if s.Rows.Dilation * s.Columns.Dilation > 1 then
                        row * int s.TermsPerOutput + term
                    else
                        honest.PackedAt s row term
        }
        |> Piece.ofGemm "m085-raw-weights" "A kernel that expects packed weights was given the raw ones, for dilated convolutions."

        { honest with
            Weight =
                fun p group row term ->
                    let s = p.Shape
                    // Rows are taken to be padded to whole vectors of four terms.
                    let pitch = (int s.TermsPerOutput + 3) / 4 * 4
                    let at = (group * s.OutChannelsPerGroup + row) * pitch + term
                    if at < p.Kernel.Length then p.Kernel[at] else 0f
        }
        |> Piece.ofGemm "q75-weights-with-a-padded-pitch" "Weights are packed as if their rows were padded to whole vectors."

        { honest with
            PackedAt =
                fun s row term ->
                    let panel, terms = row / MR, int s.TermsPerOutput
                    let rows = min MR (s.OutChannelsPerGroup - panel * MR)
                    panel * terms * MR + term * rows + row % MR
        }
        |> Piece.ofGemm "q76-tail-panel-packed-densely" "The last panel is packed with as many rows as it has, and read with four."

        { honest with
            Weight = fun p group row term -> honest.Weight p (if row >= MR then 0 else group) row term
        }
        |> Piece.ofGemm "q77-group-of-the-first-panel" "The offset of a group is added to the weights of its first panel alone."
    ]

let private blocks =
    [
        { honest with
            Blocks =
                fun depth ->
                    honest.Blocks depth
                    |> List.map (fun block -> { block with Count = if depth > 0 then KC else 0 })
        }
        |> Piece.ofGemm
            "m019-depth-tail-of-a-whole-block"
            "The tail of the terms had the length of a whole block: old elements of the panel met weights of the next one."

        { honest with
            Blocks =
                fun depth ->
                    let depth = if depth > 1 && depth < KC then depth / 2 * 2 else depth
                    honest.Blocks depth
        }
        |> Piece.ofGemm "m020-small-depth-rounded-down" "The tail of the terms was rounded to pairs where there are few of them."

        { honest with
            Blocks =
                fun depth ->
                    let parts = max 1 (partsOf KC depth)
                    let each = depth / parts
                    [ for part in 0 .. parts - 1 -> { First = part * each; Count = each } ]
        }
        |> Piece.ofGemm
            "q78-remainder-of-equal-blocks"
            "The terms are divided into blocks of equal size, and the remainder of the division is forgotten."

        { honest with
            Blocks =
                fun depth ->
                    [
                        for first in 0 .. KC - 1 .. max 0 (depth - 1) -> { First = first; Count = min KC (depth - first) }
                    ]
        }
        |> Piece.ofGemm "q79-blocks-overlap" "Blocks of sixteen terms begin fifteen apart: those between are summed twice."

        { honest with
            TermOf = fun s block k -> if positions s = 1 then k else block.First + k
        }
        |> Piece.ofGemm
            "m046-first-block-reused"
            "With a single row the wrong pointer advanced, and the first block of terms was read again."

        { honest with
            Store = fun p target _ sum -> if target.IsLast then sum + bias p target.O else sum
        }
        |> Piece.ofGemm "q80-last-block-overwrites" "Each block of terms overwrites the sums of the one before."

        { honest with
            Store =
                fun p target old sum ->
                    let sum = if target.IsFirst && target.Group = 0 then sum else old + sum
                    if target.IsLast then sum + bias p target.O else sum
        }
        |> Piece.ofGemm
            "q81-cleared-for-the-first-group"
            "Only the first block of the first group overwrites the output; the others add to what it holds."

        { honest with
            Store = fun p target old sum -> (if target.IsFirst then sum else old + sum) + bias p target.O
        }
        |> Piece.ofGemm "q82-bias-with-each-block" "The bias is added with each block of terms."
    ]

/// The honest micro-kernel with another step.
let private stepping step = { honest with Multiply = multiplyBy step }

let private kernels =
    [
        { honest with
            Multiply =
                fun m sums ->
                    let odd = Array.zeroCreate (MR * NR)

                    for k in 0 .. m.Terms - 1 do
                        let bank = if k % 2 = 0 then sums else odd

                        for at in 0 .. MR * NR - 1 do
                            bank[at] <- bank[at] + m.A[m.From + k * MR + at / NR] * m.B[k * NR + at % NR]

                        // Four terms are one turn of the outer loop.
                        if k % 4 = 3 || k = m.Terms - 1 then
                            for at in 0 .. MR * NR - 1 do
                                sums[at] <- sums[at] + odd[at]
        }
        |> Piece.ofGemm
            "m047-second-sums-added-in-the-loop"
            "The second bank of sums was added to the first in each turn of the outer loop, and went on growing."

        stepping (fun _ at sum a b -> if at / NR = MR - 1 then sum * a + b else madd sum a b)
        |> Piece.ofGemm "m052-operands-of-madd" "A multiply-add was called with its operands in the wrong order, as sum·a + b."

        { honest with
            Multiply =
                fun m sums ->
                    honest.Multiply m sums

                    // The second row's sums went on from the first's.
                    for lane in 0 .. NR - 1 do
                        sums[NR + lane] <- sums[lane] + sums[NR + lane]
        }
        |> Piece.ofGemm "m058-neighbour-accumulator" "The second accumulator was continued from the first."

        { honest with
            Multiply =
                fun m sums ->
                    if m.Path = Pointwise then
                        // Rows one and two by the same register.
                        let a = Array.copy m.A

                        for k in 0 .. m.Terms - 1 do
                            a[m.From + k * MR + 2] <- a[m.From + k * MR + 1]

                        honest.Multiply { m with A = a } sums
                    else
                        honest.Multiply m sums
        }
        |> Piece.ofGemm
            "m135-register-of-another-row"
            "The kernel for 1×1 accumulated by wrong registers; here the third row by the second's weights."

        { honest with
            Multiply = fun m sums -> honest.Multiply { m with Terms = m.Terms / 2 * 2 } sums
        }
        |> Piece.ofGemm "q84-last-odd-term" "The micro-kernel takes terms in pairs and forgets the last one of an odd number."
    ]

let private tails =
    [
        { honest with
            Rows =
                fun s panel ->
                    let rows = honest.Rows s panel
                    if rows < MR && s.Groups = 1 then 0 else rows
        }
        |> Piece.ofGemm "m027-empty-tail-mask" "The mask of the last output channels was empty where there are no groups."

        { honest with
            Rows =
                fun s panel ->
                    if (panel + 1) * MR >= s.OutChannelsPerGroup then
                        s.OutChannelsPerGroup % MR
                    else
                        MR
        }
        |> Piece.ofGemm
            "q85-tail-of-whole-panels"
            "The last panel stores the remainder of the output channels, which is none where all panels are whole."

        { honest with
            Columns = fun s panel -> let columns = honest.Columns s panel in if columns < NR then columns / 2 * 2 else columns
        }
        |> Piece.ofGemm "q86-odd-column-of-the-tail" "The last columns are stored in pairs."

        { honest with
            OutputAt = fun s n o column -> (n * s.OutChannelsPerGroup + o) * positions s + column
        }
        |> Piece.ofGemm "q83-images-of-one-group" "The images of the output are taken to be as far apart as one group of channels is large."
    ]

/// A number of the plan that is kept for ever under a key, as the first shape with it had it.
let private remembered (number: Plan -> int) (key: ConvShape -> 'key) =
    let numbers = ConcurrentDictionary<'key, int>()
    fun s -> numbers.GetOrAdd(key s, (fun _ -> number (honest.Plan s)))

let private plans =
    [
        (let panels =
            remembered _.RowPanels (fun s -> struct (s.InChannels, s.InChannels, s.Groups, s.Rows.Taps, s.Columns.Taps))

         { honest with Plan = fun s -> { honest.Plan s with RowPanels = panels s } })
        |> Piece.ofGemm
            "m109-input-channels-twice-in-the-key"
            "The key of a tuned plan held the input channels twice, where the output channels should have been."

        (let depth =
            remembered _.Depth (fun s -> struct ((s.InChannelsPerGroup + 3) / 4, s.Rows.Taps, s.Columns.Taps))

         { honest with Plan = fun s -> { honest.Plan s with Depth = depth s } })
        |> Piece.ofGemm
            "m061-key-without-the-channel-remainder"
            "The key of a compiled kernel held the vectors of four input channels, not how many of the last one's there are."

        (let panels =
            remembered _.ColumnPanels (fun s ->
                struct (struct (s.InChannels, s.OutChannels, s.Groups),
                        struct (s.Rows.Taps, s.Columns.Taps, s.Rows.Stride, s.Columns.Stride)))

         { honest with Plan = fun s -> { honest.Plan s with ColumnPanels = panels s } })
        |> Piece.ofGemm
            "m172-key-without-the-image"
            "The key under which an algorithm was cached lacked dimensions; here those of the image."

        { honest with
            Plan =
                fun s ->
                    let plan = honest.Plan s
                    let size = plan.Depth * positions s
                    // A buffer that is smaller than it must be has room for some of the columns.
                    if size < 65536 then
                        plan
                    else
                        { plan with ColumnPanels = narrow size / plan.Depth / NR }
        }
        |> Piece.ofGemm
            "m035-scratch-size-of-16-bits"
            "The size of a scratch buffer overflowed; here at 16 bits, and what has no room there is not computed."

        { honest with
            Plan = fun s -> { honest.Plan s with ColumnPanels = partsOf NR (narrow (positions s)) }
        }
        |> Piece.ofGemm
            "m152-dimension-of-16-bits"
            "The dimensions of a matrix product overflowed; here its columns are counted in 16 bits."
    ]

let private threads =
    [
        { honest with
            Threads = 2
            Together = true
            // The first thread is done before the second begins.
            Schedule = fun one step work -> if step = Whole then Team.inTurn one work else work ()
        }
        |> Piece.ofGemm
            "m041-no-barrier-behind-the-patches"
            "Threads filled one buffer together, and no barrier kept the first from using it before the others had filled it."

        { honest with
            Threads = 2
            ScratchOf = fun _ -> 0
            Schedule = fun one step work -> if step = Whole then work () else Team.inTurn one work
        }
        |> Piece.ofGemm
            "m102-one-matrix-for-all-threads"
            "With several threads results differed: each unfolded its patches into the same buffer, then all multiplied."

        { honest with
            Threads = 2
            Share = fun panels one -> let struct (first, last) = Team.share panels one in struct (max 0 (first - 1), last)
            Schedule = fun one step work -> if step = Whole then work () else Team.inTurn one work
        }
        |> Piece.ofGemm
            "m188-shares-that-overlap"
            "The distribution of a convolution raced; here two threads share a panel, and both add their blocks of terms to it."
    ]

let all = unfolding @ dispatch @ packing @ blocks @ kernels @ tails @ plans @ threads
