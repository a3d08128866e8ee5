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
                    let pitch = s.InChannels * s.OutHeight * s.OutWidth

                    if s.Groups > 1 && at.N = 1 && h >= 0 && h < s.InHeight && w >= 0 && w < s.InWidth then
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
                        && s.KernelWidth > 1
                        && s.KernelWidth % 2 = 1
                        && t.C = s.InChannelsPerGroup - 1
                        && t.V = s.KernelWidth - 1
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
            InputChannel = fun s at c -> if s.DilationWidth > 1 then c else honest.InputChannel s at c
        }
        |> Piece.ofOrgans "q94-dilated-columns-lose-the-group" "Where columns are dilated the input of every group is the first."

        { honest with
            InputColumn =
                fun s at v ->
                    if s.Groups > 1 && s.InChannelsPerGroup = 1 then
                        at.J * s.StrideHeight + v * s.DilationWidth - s.PadLeft
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
                    s.StrideHeight = 1
                    || at.I * s.StrideHeight - s.PadTop + s.KernelExtentHeight < s.InHeight + s.PadBottom
        }
        |> Piece.ofOrgans
            "q98-window-that-ends-at-the-edge"
            "The strided loop of rows ends by < for ≤: a window that ends at the edge is left out."

        { honest with
            InputRow =
                fun s at u ->
                    let odd = s.StrideHeight = 2 && s.InHeight % 2 = 1 && s.PadTop > 0
                    honest.InputRow s at u + (if odd then 1 else 0)
        }
        |> Piece.ofOrgans
            "q99-odd-height-at-stride-two"
            "At a stride of two an image of odd height is padded as one of even height, by one row less above."

        { honest with
            InputRow =
                fun s at u ->
                    let gap = if s.KernelHeight = 2 then 1 else s.DilationHeight
                    at.I * s.StrideHeight + u * gap - s.PadTop
        }
        |> Piece.ofOrgans "q100-two-rows-have-no-gap" "A kernel of two rows has no inner row, so that its dilation is taken for one."

        { honest with
            InputRow =
                fun s at u ->
                    at.I * s.StrideHeight + u * s.DilationHeight
                    - min s.PadTop (s.KernelExtentHeight - 1)
        }
        |> Piece.ofOrgans "q101-pad-no-larger-than-the-kernel" "A pad above as large as the kernel or larger is cut to one row less."

        { honest with
            ReadInput =
                fun p at c h w ->
                    let s = p.Shape
                    // The padded copy has room for the pad above, twice.
                    let rows = s.InHeight + 2 * s.PadTop
                    let next = at.N * s.InChannels + c + 1

                    if h + s.PadTop >= rows && next < s.Batch * s.InChannels then
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
                    s.KernelHeight <= 4
                    || t.U < s.KernelHeight - 1
                    || s.KernelHeight % 4 <> 1
                    || s.StrideHeight > 1
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
                    let gap = if s.OutWidth < 8 then min 2 s.DilationWidth else s.DilationWidth
                    at.J * s.StrideWidth + v * gap - s.PadLeft
        }
        |> Piece.ofOrgans
            "q104-narrower-than-a-vector"
            "Rows that are narrower than a vector take a loop that was written for dilations up to two."

        { honest with
            InputColumn =
                fun s at v ->
                    let same = s.PadLeft + s.PadRight = s.KernelWidth - 1

                    at.J * s.StrideWidth + v * s.DilationWidth
                    - (if same then s.KernelWidth / 2 else s.PadLeft)
        }
        |> Piece.ofOrgans
            "q105-same-pads-by-their-sum"
            "Pads that add up to SAME are taken for half a kernel on each side, which an even kernel has not."

        { honest with
            InputColumn = fun s at v -> (at.J <<< s.StrideWidth / 2) + v * s.DilationWidth - s.PadLeft
        }
        |> Piece.ofOrgans "q106-stride-by-a-shift" "Strides of one, two and four are done by a shift, which a stride of three gets as well."

        { honest with
            InputColumn =
                fun s at v ->
                    at.J * s.StrideWidth + v * s.DilationWidth
                    - (if s.PadLeft + s.PadRight = 1 then 0 else s.PadLeft)
        }
        |> Piece.ofOrgans "q107-odd-zero-at-the-end" "A single column of padding always stands on the right."

        { honest with
            InputColumn =
                fun s at v ->
                    let first = at.J * s.StrideWidth - s.PadLeft
                    let inside = s.InWidth - s.KernelExtentWidth

                    if s.StrideWidth > 1 && s.PadLeft = 0 && first > inside && inside >= 0 then
                        inside + v * s.DilationWidth
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
                        if s.PadLeft >= s.KernelExtentWidth - 1 && s.PadLeft = s.PadRight then
                            s.KernelWidth - 1 - v
                        else
                            v

                    honest.InputColumn s at v
        }
        |> Piece.ofOrgans
            "q109-full-correlation-assumed"
            "Equal pads over which the kernel slides off the image are taken for those of a gradient, whose kernel is flipped."
    ]

let all = images @ channels @ rows @ columns
