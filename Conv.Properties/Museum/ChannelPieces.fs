/// Faults of channels: groups and depthwise, bias, tails and blocks.
module internal Conv.Properties.ChannelPieces

open Conv
open Conv.Properties.Textbook


let private groups =
    [
        { honest with
            InputChannel = fun s at c -> if s.InChannelsPerGroup = 3 then c else honest.InputChannel s at c
        }
        |> Piece.ofOrgans
            "m001-three-channels-lose-the-group"
            "The path for three channels a group, written for the first layer, dropped the offset of the group."

        { honest with
            ReadKernel = fun p at t -> p.Kernel[kernelIndex p.Shape (at.O % p.Shape.OutChannelsPerGroup) t.C t.U t.V]
        }
        |> Piece.ofOrgans "m011-weights-of-the-first-group" "The offset of the weights lacked the term of the group."

        { honest with
            InputChannel = fun s at c -> at.O % s.Groups * s.InChannelsPerGroup + c
        }
        |> Piece.ofOrgans
            "m136-groups-interleaved"
            "The group of an output channel was its remainder by the number of groups, not its quotient."

        { honest with
            InputChannel =
                fun s at c ->
                    if s.InChannelsPerGroup = 1 then
                        at.O % s.InChannels
                    else
                        honest.InputChannel s at c
        }
        |> Piece.ofOrgans "m165-depthwise-multiplier" "Depthwise with a channel multiplier took input channel o mod C."
    ]

let private ofBias (p: Problem) o = if p.Bias.Length = 0 then 0f else p.Bias[o % p.Bias.Length]

let private bias =
    [
        { honest with
            ReadBias =
                fun p at ->
                    if at.O >= p.Shape.OutChannels / 8 * 8 && p.Shape.OutChannels > 8 then
                        0f
                    else
                        ofBias p at.O
        }
        |> Piece.ofOrgans "m012-no-bias-in-the-tail" "The bias of the last, partial block of output channels was never copied."

        { honest with ReadBias = fun p at -> ofBias p at.J }
        |> Piece.ofOrgans "m072-bias-by-column" "The bias was broadcast over the last axis, the columns."

        { honest with ReadBias = fun p at -> ofBias p (at.O / 4) }
        |> Piece.ofOrgans "m081-bias-of-the-block" "The number of a block of four channels served as the number of a channel."

        { honest with ReadBias = fun p at -> 2f * ofBias p at.O }
        |> Piece.ofOrgans "m143-bias-twice" "The bias was added in the sum and again in the epilogue."

        { honest with ReadBias = fun _ _ -> 0f }
        |> Piece.ofOrgans "m184-bias-lost-in-fusion" "Fusing the convolution with an addition dropped its bias."

        { honest with
            ReadBias = fun p at -> float32 p.Shape.InChannelsPerGroup * ofBias p at.O
        }
        |> Piece.ofOrgans "s34-bias-per-input-channel" "The bias is added once for each input channel."

        { honest with
            ReadBias = fun p at -> ofBias p (at.O % p.Shape.OutChannelsPerGroup)
        }
        |> Piece.ofOrgans "s36-bias-within-the-group" "The bias is indexed by the channel's place in its group."
    ]

let private pointwise (s: ConvShape) = s.Rows.Taps = 1 && s.Columns.Taps = 1
let private depthwise (s: ConvShape) = s.Groups > 1 && s.InChannelsPerGroup = 1

let private lastTap (s: ConvShape) (t: Tap) =
    t.C = s.InChannelsPerGroup - 1
    && t.U = s.Rows.Taps - 1
    && t.V = s.Columns.Taps - 1

let private tails =
    [
        { honest with
            Computes = fun s at -> not (pointwise s) || at.I * s.Columns.Outputs + at.J < int s.OutputPlane / 4 * 4
        }
        |> Piece.ofOrgans
            "m018-pointwise-pixel-tail"
            "The tail of the pixels of a 1×1 convolution was computed wrongly; here it is not computed."

        { honest with Computes = fun s at -> s.Batch <= 32 || at.N < s.Batch / 32 * 32 }
        |> Piece.ofOrgans
            "m192-batch-off-the-block"
            "A batch above 32 that was no multiple of 32 gave wrong results behind the last whole block."

        { honest with
            Computes = fun s at -> s.Columns.Outputs <= 32 || at.J < s.Columns.Outputs / 32 * 32
        }
        |> Piece.ofOrgans "m171-width-off-the-tile" "A width that was no multiple of the tile gave garbage behind the last whole tile."

        { honest with
            Counts = fun s t -> s.InChannelsPerGroup <= 8 || t.C < s.InChannelsPerGroup / 8 * 8
        }
        |> Piece.ofOrgans "m169-channel-tail-of-eight" "From eight input channels on, the packed filter lost the remainder."

        { honest with
            Counts = fun s t -> s.InChannelsPerGroup <= 4 || t.C < s.InChannelsPerGroup / 4 * 4
        }
        |> Piece.ofOrgans "m137-six-channels" "Six input channels came out wrong: whole blocks of four alone were summed."

        { honest with Computes = fun s at -> not (depthwise s) || at.O % 8 < 4 }
        |> Piece.ofOrgans "m100-step-beyond-the-vector" "The depthwise loop stepped further than its vector is long and skipped channels."

        { honest with
            Computes = fun s at -> int64 (honest.OutputIndex s at) < s.OutputLength / 4L * 4L
        }
        |> Piece.ofOrgans
            "m198-last-vector-not-stored"
            "The bottom and right edge of the last image held NaN: the last partial vector was not stored."

        { honest with Counts = fun _ t -> t.C < 16 }
        |> Piece.ofOrgans "s13-second-block-lost" "Input channels behind the first block of 16 are not summed."

        { honest with Finish = fun _ at y -> if at.J % 8 = 7 then 0f else y }
        |> Piece.ofOrgans "s39-tile-edge-zero" "The last column of each tile of eight is zero."
    ]

let all = groups @ bias @ tails
