/// Slips that only some sizes show: for each parameter of a shape a combination that was forgotten.
module internal Conv.Properties.CornerPieces

open System.Numerics
open Conv
open Conv.Properties.Textbook

let private images =
    [
        { honest with
            ReadInput =
                fun p at c h w ->
                    let last = p.Shape.Batch - 1

                    if last > 0 && last % 2 = 0 && at.N = last then
                        honest.ReadInput p { at with N = last - 1 } c h w
                    else
                        honest.ReadInput p at c h w
        }
        |> Piece.ofOrgans "q90-odd-batch-repeats-an-image" "Images go in pairs, and the last of an odd batch is the one before it again."

        { honest with
            ReadInput =
                fun p at c h w ->
                    let s = p.Shape
                    // The second image of a call begins where one of the output would.
                    let pitch = s.InChannels * int s.OutputPlane

                    if
                        s.Groups > 1
                        && at.N = 1
                        && h >= 0
                        && h < s.Rows.Size
                        && w >= 0
                        && w < s.Columns.Size
                    then
                        p.Input[(pitch + inputIndex s 0 c h w) % p.Input.Length]
                    else
                        honest.ReadInput p at c h w
        }
        |> Piece.ofOrgans
            "q91-pitch-of-an-image-from-the-output"
            "In the grouped path the second image begins after as many pixels as the output has."
    ]

let private channels =
    [
        { honest with
            Counts =
                fun s t ->
                    not (
                        s.InChannelsPerGroup > 1
                        && s.InChannelsPerGroup % 2 = 1
                        && s.Columns.Taps > 1
                        && s.Columns.Taps % 2 = 1
                        && t.C = s.InChannelsPerGroup - 1
                        && t.V = s.Columns.Taps - 1
                    )
        }
        |> Piece.ofOrgans
            "q92-corner-of-two-tails"
            "Channels and columns of taps go in pairs, each with a tail; where both are odd, what lies in both tails is lost."

        { honest with
            InputChannel =
                fun s at c ->
                    // ⌊log₂⌋ of the channels of a group, which holds for powers of two.
                    let group = min (s.Groups - 1) (at.O >>> BitOperations.Log2(uint32 s.OutChannelsPerGroup))
                    group * s.InChannelsPerGroup + c
        }
        |> Piece.ofOrgans "q93-group-by-a-shift" "The group of an output channel is found by a shift, as if groups had powers of two."

        { honest with
            InputChannel = fun s at c -> if s.Columns.Dilation > 1 then c else honest.InputChannel s at c
        }
        |> Piece.ofOrgans "q94-dilated-columns-lose-the-group" "Where columns are dilated the input of every group is the first."

        { honest with
            InputColumn =
                fun s at v ->
                    if s.Groups > 1 && s.InChannelsPerGroup = 1 then
                        at.J * s.Rows.Stride + v * s.Columns.Dilation - s.Columns.Before
                    else
                        honest.InputColumn s at v
        }
        |> Piece.ofOrgans "q95-depthwise-stride-of-rows" "The depthwise path takes one stride, that of rows, for both axes."

        { honest with
            ReadBias = fun p at -> if p.Shape.OutChannels = 1 then 0f else honest.ReadBias p at
        }
        |> Piece.ofOrgans "q96-dot-product-without-bias" "A single output channel is a dot product, to which nobody adds the bias."

        { honest with
            OutputIndex =
                fun s at ->
                    // The last of three rows of registers is stored where four would begin.
                    let o = if s.OutChannels % 4 = 3 && at.O = s.OutChannels - 1 then at.O - 1 else at.O
                    honest.OutputIndex s { at with O = o }
        }
        |> Piece.ofOrgans "q97-tail-of-three-channels" "Of a tail of three output channels the last is stored over the second."
    ]

let private rows =
    [
        { honest with
            Computes =
                fun s at ->
                    s.Rows.Stride = 1
                    || at.I * s.Rows.Stride - s.Rows.Before + s.Rows.Extent < s.Rows.Size + s.Rows.After
        }
        |> Piece.ofOrgans
            "q98-window-that-ends-at-the-edge"
            "The strided loop of rows ends by < for ≤: a window that ends at the edge is left out."

        { honest with
            InputRow =
                fun s at u ->
                    let odd = s.Rows.Stride = 2 && s.Rows.Size % 2 = 1 && s.Rows.Before > 0
                    honest.InputRow s at u + (if odd then 1 else 0)
        }
        |> Piece.ofOrgans
            "q99-odd-height-at-stride-two"
            "At a stride of two an image of odd height is padded as one of even height, by one row less above."

        { honest with
            InputRow =
                fun s at u ->
                    let gap = if s.Rows.Taps = 2 then 1 else s.Rows.Dilation
                    at.I * s.Rows.Stride + u * gap - s.Rows.Before
        }
        |> Piece.ofOrgans "q100-two-rows-have-no-gap" "A kernel of two rows has no inner row, so that its dilation is taken for one."

        { honest with
            InputRow =
                fun s at u ->
                    at.I * s.Rows.Stride + u * s.Rows.Dilation
                    - min s.Rows.Before (s.Rows.Extent - 1)
        }
        |> Piece.ofOrgans "q101-pad-no-larger-than-the-kernel" "A pad above as large as the kernel or larger is cut to one row less."

        { honest with
            ReadInput =
                fun p at c h w ->
                    let s = p.Shape
                    // The padded copy has room for the pad above, twice.
                    let rows = s.Rows.Size + 2 * s.Rows.Before
                    let next = at.N * s.InChannels + c + 1

                    if h + s.Rows.Before >= rows && next < s.Batch * s.InChannels then
                        honest.ReadInput p { at with N = next / s.InChannels } (next % s.InChannels) (h - rows) w
                    else
                        honest.ReadInput p at c h w
        }
        |> Piece.ofOrgans
            "q102-padded-copy-by-the-top"
            "The padded copy counts the pad above twice: where the one below is larger, its rows are the next channel's."

        { honest with
            Counts =
                fun s t ->
                    s.Rows.Taps <= 4
                    || t.U < s.Rows.Taps - 1
                    || s.Rows.Taps % 4 <> 1
                    || s.Rows.Stride > 1
        }
        |> Piece.ofOrgans
            "q103-fifth-row-of-taps"
            "Rows of taps go in fours, and without a stride a last one that remains alone is left out."
    ]

let private columns =
    [
        { honest with
            InputColumn =
                fun s at v ->
                    let gap = if s.Columns.Outputs < 8 then min 2 s.Columns.Dilation else s.Columns.Dilation
                    at.J * s.Columns.Stride + v * gap - s.Columns.Before
        }
        |> Piece.ofOrgans
            "q104-narrower-than-a-vector"
            "Rows that are narrower than a vector take a loop that was written for dilations up to two."

        { honest with
            InputColumn =
                fun s at v ->
                    let same = s.Columns.Before + s.Columns.After = s.Columns.Taps - 1

                    at.J * s.Columns.Stride + v * s.Columns.Dilation
                    - (if same then s.Columns.Taps / 2 else s.Columns.Before)
        }
        |> Piece.ofOrgans
            "q105-same-pads-by-their-sum"
            "Pads that add up to SAME are taken for half a kernel on each side, which an even kernel has not."

        { honest with
            InputColumn = fun s at v -> (at.J <<< s.Columns.Stride / 2) + v * s.Columns.Dilation - s.Columns.Before
        }
        |> Piece.ofOrgans "q106-stride-by-a-shift" "Strides of one, two and four are done by a shift, which a stride of three gets as well."

        { honest with
            InputColumn =
                fun s at v ->
                    at.J * s.Columns.Stride + v * s.Columns.Dilation
                    - (if s.Columns.Before + s.Columns.After = 1 then 0 else s.Columns.Before)
        }
        |> Piece.ofOrgans "q107-odd-zero-at-the-end" "A single column of padding always stands on the right."

        { honest with
            InputColumn =
                fun s at v ->
                    let first = at.J * s.Columns.Stride - s.Columns.Before
                    let inside = s.Columns.Size - s.Columns.Extent

                    if s.Columns.Stride > 1 && s.Columns.Before = 0 && first > inside && inside >= 0 then
                        inside + v * s.Columns.Dilation
                    else
                        honest.InputColumn s at v
        }
        |> Piece.ofOrgans
            "q108-last-window-pushed-inside"
            "With a stride and a pad on the right alone, the window that reaches into the pad is moved back into the image."

        { honest with
            InputColumn =
                fun s at v ->
                    let v =
                        if s.Columns.Before >= s.Columns.Extent - 1 && s.Columns.Before = s.Columns.After then
                            s.Columns.Taps - 1 - v
                        else
                            v

                    honest.InputColumn s at v
        }
        |> Piece.ofOrgans
            "q109-full-correlation-assumed"
            "Equal pads over which the kernel slides off the image are taken for those of a gradient, whose kernel is flipped."
    ]

let all = images @ channels @ rows @ columns
