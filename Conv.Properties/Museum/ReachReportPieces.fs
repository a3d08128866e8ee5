/// Reported faults of the forward pass that only large parameters show, or several that are large at once.
module internal Conv.Properties.ReachReportPieces

open System
open Conv
open Conv.Properties.Textbook
open Conv.Properties.ReachPieces

let private isDepthwise (s: ConvShape) = s.Groups > 1 && s.InChannelsPerGroup = 1
let private positions (s: ConvShape) = int s.OutputPlane

let private isUnit (s: ConvShape) =
    s.Rows.Stride = 1
    && s.Columns.Stride = 1
    && s.Rows.Dilation = 1
    && s.Columns.Dilation = 1

let private windows =
    [
        { honest with
            ReadKernel =
                fun p at t ->
                    let s = p.Shape
                    let long = max s.Rows.Taps s.Columns.Taps >= 256

                    if s.Groups > 1 && at.N > 0 && long && t.U * s.Columns.Taps + t.V >= 128 then
                        0f
                    else
                        honest.ReadKernel p at t
        }
        |> Piece.ofOrgans
            "m202-long-kernels-of-groups"
            "A grouped kernel of 256 rows or columns outgrew its local memory for batches: here images behind the first lose its end."

        { honest with
            ReadInput =
                fun p at c h w ->
                    let s = p.Shape
                    let large = s.Columns.Outputs > 16 && s.Columns.Before > 16 * s.Columns.Stride
                    // The second block of columns is taken to begin inside of the image.
                    if large && at.J >= 16 && w < 0 && h >= 0 && h < s.Rows.Size then
                        unbounded p at.N c h w
                    else
                        honest.ReadInput p at c h w
        }
        |> Piece.ofOrgans
            "m203-left-pad-beyond-the-block"
            "A left pad that reached beyond the first block of output columns was only known to that block."

        { honest with
            ReadInput =
                fun p at c h w ->
                    let s = p.Shape

                    if isUnit s && s.Columns.Taps > s.Columns.Size + 1 && h >= 0 && h < s.Rows.Size then
                        unbounded p at.N c h w
                    else
                        honest.ReadInput p at c h w
        }
        |> Piece.ofOrgans
            "m222-row-copied-between-pads"
            "The copy of a row of patches had a length below zero where the pads are wider than the output; here it leaves the row."

        { honest with
            ReadInput =
                fun p at c h w ->
                    let s = p.Shape

                    if
                        s.Columns.Outputs >= 64
                        && s.InChannelsPerGroup >= 4
                        && h >= 0
                        && h < s.Rows.Size
                    then
                        unbounded p at.N c h w
                    else
                        honest.ReadInput p at c h w
        }
        |> Piece.ofOrgans
            "m228-border-of-wide-rows"
            "The border columns of a wide padded output were computed from what stood beside the row, not from zeros."

        { honest with
            ReadInput =
                fun p at c h w ->
                    let s = p.Shape
                    // What the left pad takes of a tap, in columns of the input.
                    let padding = at.J * s.Columns.Stride - w

                    if isDepthwise s && s.Columns.Stride > 1 && padding > 0 && at.J < padding then
                        0f
                    else
                        honest.ReadInput p at c h w
        }
        |> Piece.ofOrgans
            "m251-depthwise-range-without-the-stride"
            "The first output column of a tap of a padded depthwise kernel was computed without the stride, and came too late."
    ]

let private channels =
    [
        { honest with
            OutputIndex = fun s at -> honest.OutputIndex s { at with O = at.O % 256 }
        }
        |> Piece.ofOrgans
            "m205-output-channel-of-8-bits"
            "Beyond 65,536 output channels their number overflowed; here it has 8 bits: the channel 256 is stored over the first."

        { honest with
            ReadInput =
                fun p at c h w ->
                    let s = p.Shape
                    let mine, lanes = s.OutChannelsPerGroup, 16

                    if s.Groups > 1 && s.InChannelsPerGroup = lanes && mine < lanes && lanes % mine = 0 then
                        let first = c / lanes / (lanes / mine) * (lanes / mine)
                        let mutable sum = 0f

                        for g in first .. min s.Groups (first + lanes / mine) - 1 do
                            sum <- sum + honest.ReadInput p at (g * lanes + c % lanes) h w

                        sum
                    else
                        honest.ReadInput p at c h w
        }
        |> Piece.ofOrgans
            "m227-groups-summed-in-one-vector"
            "Where small groups share a vector of 16 outputs, each of its lanes summed the inputs of all of them."

        (let plane (s: ConvShape) at = at.N * s.OutChannels + at.O

         let isTaken (s: ConvShape) =
             isDepthwise s
             && s.OutChannelsPerGroup > 1
             && s.Rows.Taps = 3
             && s.Columns.Taps = 3
             && isUnit s

         { honest with
             Computes = fun s at -> not (isTaken s) || plane s at < s.Batch * s.Groups
             ReadInput =
                 fun p at c h w ->
                     if isTaken p.Shape then
                         let plane = plane p.Shape at
                         honest.ReadInput p { at with N = plane / p.Shape.Groups } (plane % p.Shape.Groups) h w
                     else
                         honest.ReadInput p at c h w
             ReadKernel =
                 fun p at t ->
                     let o = if isTaken p.Shape then plane p.Shape at % p.Shape.Groups else at.O
                     honest.ReadKernel p { at with O = o } t
         })
        |> Piece.ofOrgans
            "m234-depthwise-tiles-of-a-multiplier"
            "The depthwise path for 3×3 counted as many output planes as input planes, also with a multiplier."

        { honest with
            ReadKernel =
                fun p at t ->
                    let s = p.Shape
                    let flat = kernelIndex s at.O t.C t.U t.V

                    if isDepthwise s && p.Kernel.Length > 4096 && flat >= 4096 then
                        p.Kernel[flat - 2]
                    else
                        p.Kernel[flat]
        }
        |> Piece.ofOrgans
            "m241-long-row-of-depthwise-weights"
            "Packed depthwise weights in a texture of one long row were sampled beside their place; here by one pair from 2,048 on."

        { honest with Counts = fun s t -> s.TermsPerOutput <= 4096L || term s t < 4096 }
        |> Piece.ofOrgans
            "m244-patches-of-4096-terms"
            "Patches of more than 4,096 terms were not unfolded to their end; here the rest of them is left out."
    ]

let private products =
    [
        { honest with
            InputChannel =
                fun s at c ->
                    let plane, channels = positions s, s.InChannels

                    if
                        TextbookGemm.isPointwise s
                        && s.Groups = 1
                        && channels >= 64
                        && channels % 4 = 0
                        && s.OutChannels % 4 = 0
                        && plane < 256
                        && at.I * s.Columns.Outputs + at.J >= plane / 12 * 12
                    then
                        // Packed channels in fours, read as if they stood one behind the other.
                        c % (channels / 4) * 4 + c / (channels / 4)
                    else
                        honest.InputChannel s at c
        }
        |> Piece.ofOrgans
            "m215-tail-of-packed-pointwise"
            "1×1 convolutions on packed channels were wrong on small planes; here behind the last whole tile of twelve positions."

        { TextbookGemm.honest with
            Split =
                fun s column ->
                    let blocks = positions s / 8

                    let isWrong =
                        s.Rows.Taps = 3
                        && s.Columns.Taps = 3
                        && s.Rows.Stride = 2
                        && s.Columns.Stride = 2
                        && blocks > 1
                        && positions s % 8 = 1
                        && column = 8 * (blocks - 1)

                    TextbookGemm.honest.Split s (if isWrong then column - 1 else column)
        }
        |> Piece.ofGemm
            "m247-one-pixel-of-im2col"
            "One pixel of 7×7 was wrong for 3×3 with a stride of two: the first of the last whole block of eight is the one before it."

        { honest with
            Accept =
                fun s ->
                    if
                        s.Batch >= 16
                        && s.Rows.Taps <= 16
                        && s.Columns.Taps <= 16
                        && isUnit s
                        && (max s.Rows.Before s.Rows.After >= s.Rows.Taps
                            || max s.Columns.Before s.Columns.After >= s.Columns.Taps)
                    then
                        raise (ArgumentException "The padding is as large as the kernel.")
        }
        |> Piece.ofOrgans
            "m216-large-pads-of-large-batches-refused"
            "Batches of 16 and more went to an implementation that refuses pads as large as the kernel."
    ]

let private f2, f4 =
    TextbookWinograd.honest TextbookWinograd.f2x3, TextbookWinograd.honest TextbookWinograd.f4x3

/// The window of a tile is that of another one, so many before it.
let private windowBefore (steps: int -> int -> int) =
    { f4 with
        Corner =
            fun s grid row column ->
                let tile = row * grid.Across + column
                let from = tile - steps grid.Tiles tile
                f4.Corner s grid (from / grid.Across) (from % grid.Across)
    }

/// Floats of a padded input, transformed windows and products of all images, in tiles of 2×2.
let private workingSet (s: ConvShape) =
    let tiles = (s.Rows.Outputs + 1) / 2 * ((s.Columns.Outputs + 1) / 2)

    let padded =
        (s.Rows.Size + s.Rows.Before + s.Rows.After)
        * (s.Columns.Size + s.Columns.Before + s.Columns.After)

    int64 s.Batch
    * int64 (s.InChannels * padded + 16 * tiles * (s.InChannels + s.OutChannels))

let private tiles =
    [
        windowBefore (fun all tile -> if tile > 0 && tile >= all / 4 * 4 then 1 else 0)
        |> Piece.ofWinograd
            "m213-single-tiles-of-winograd"
            "Tiles went in fours, and the loop for single ones behind them was wrong: it reads the window before its own."

        windowBefore (fun all tile -> if all % 8 > 4 && tile >= all / 8 * 8 + 4 then 4 else 0)
        |> Piece.ofWinograd
            "m214-tail-of-eight-tiles"
            "Of a tail of more than four tiles behind whole eights, those behind the fourth were wrong: they are the first ones again."

        { f2 with
            KernelAt =
                fun s position o c ->
                    let o = if s.OutChannels >= 512 && o >= 256 then o - 256 else o
                    f2.KernelAt s position o c
        }
        |> Piece.ofDispatch
            "m235-winograd-of-512-channels"
            "Winograd was wrong for 512 output channels: here their transformed kernels share the places of 256."

        { honest with
            Finish =
                fun s _ y ->
                    if
                        TextbookWinograd.isDense3x3 s
                        && s.Groups = 1
                        && s.InChannels % 32 = 0
                        && s.OutChannels % 32 = 0
                        && s.InChannels + s.OutChannels >= 256
                        && workingSet s > 16384L
                    then
                        0f
                    else
                        y
        }
        |> Piece.ofOrgans
            "m236-zeros-where-winograd-has-no-room"
            "Winograd, which was taken for many channels, returned zeros where its buffers exceeded memory; here 16,384 floats."
    ]

let all = windows @ channels @ products @ tiles
