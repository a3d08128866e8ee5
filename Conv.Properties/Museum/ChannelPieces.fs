/// Faults of channels: groups and depthwise, bias, tails and blocks.
module Conv.Properties.ChannelPieces

open Conv
open Conv.Properties.Textbook

let private e, f, g = "E groups and depthwise", "F bias", "G tails and blocks"

let private groups =
    [
        { honest with
            InputChannel = fun s at c -> if s.InChannelsPerGroup = 3 then c else honest.InputChannel s at c
        }
        |> Piece.ofOrgans
            e
            "m001-three-channels-lose-the-group"
            "oneapi-src/oneDNN"
            "53d6f65030"
            "The path for three channels a group, written for the first layer, dropped the offset of the group."
            [ "GROUP-CONCAT"; "BATCH-AS-GROUPS"; "GROUP-BLOCKDIAG" ]

        { honest with
            ReadKernel = fun p at t -> p.Kernel[kernelIndex p.Shape (at.O % p.Shape.OutChannelsPerGroup) t.C t.U t.V]
        }
        |> Piece.ofOrgans
            e
            "m011-weights-of-the-first-group"
            "oneapi-src/oneDNN"
            "81748d8418"
            "The offset of the weights lacked the term of the group."
            [ "GROUP-CONCAT"; "GROUP-BLOCKDIAG" ]

        { honest with
            InputChannel = fun s at c -> at.O % s.Groups * s.InChannelsPerGroup + c
        }
        |> Piece.ofOrgans
            e
            "m136-groups-interleaved"
            "pytorch/pytorch"
            "19912"
            "The group of an output channel was its remainder by the number of groups, not its quotient."
            [ "GROUP-CONCAT"; "OUT-STACK"; "BATCH-AS-GROUPS" ]

        { honest with
            InputChannel =
                fun s at c ->
                    if s.InChannelsPerGroup = 1 then
                        at.O % s.InChannels
                    else
                        honest.InputChannel s at c
        }
        |> Piece.ofOrgans
            e
            "m165-depthwise-multiplier"
            "apache/tvm"
            "PR 3264"
            "Depthwise with a channel multiplier took input channel o mod C."
            [ "GROUP-CONCAT"; "OUT-STACK"; "BATCH-AS-GROUPS" ]
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
        |> Piece.ofOrgans
            f
            "m012-no-bias-in-the-tail"
            "oneapi-src/oneDNN"
            "7c2ac4eadb"
            "The bias of the last, partial block of output channels was never copied."
            [ "BIAS-ADDS"; "PERMUTE-OUT"; "ZERO-INPUT" ]

        { honest with ReadBias = fun p at -> ofBias p at.J }
        |> Piece.ofOrgans
            f
            "m072-bias-by-column"
            "tensorflow/tfjs"
            "2aea792ba"
            "The bias was broadcast over the last axis, the columns."
            [ "BIAS-ADDS"; "PERMUTE-OUT"; "ZERO-INPUT" ]

        { honest with ReadBias = fun p at -> ofBias p (at.O / 4) }
        |> Piece.ofOrgans
            f
            "m081-bias-of-the-block"
            "Tencent/ncnn"
            "7a1e015d7"
            "The number of a block of four channels served as the number of a channel."
            [ "BIAS-ADDS"; "PERMUTE-OUT"; "ZERO-INPUT" ]

        { honest with ReadBias = fun p at -> 2f * ofBias p at.O }
        |> Piece.ofOrgans
            f
            "m143-bias-twice"
            "pytorch/pytorch"
            "48514"
            "The bias was added in the sum and again in the epilogue."
            [ "BIAS-ADDS"; "ZERO-INPUT"; "ZERO-KERNEL" ]

        { honest with ReadBias = fun _ _ -> 0f }
        |> Piece.ofOrgans
            f
            "m184-bias-lost-in-fusion"
            "opencv/opencv"
            "PR 23354"
            "Fusing the convolution with an addition dropped its bias."
            [ "BIAS-ADDS"; "ZERO-INPUT"; "ZERO-KERNEL" ]

        { honest with
            ReadBias = fun p at -> float32 p.Shape.InChannelsPerGroup * ofBias p at.O
        }
        |> Piece.slip
            f
            "s34-bias-per-input-channel"
            34
            "The bias is added once for each input channel."
            [ "BIAS-ADDS"; "ZERO-INPUT"; "ZERO-KERNEL" ]

        { honest with
            ReadBias = fun p at -> ofBias p (at.O % p.Shape.OutChannelsPerGroup)
        }
        |> Piece.slip
            f
            "s36-bias-within-the-group"
            36
            "The bias is indexed by the channel's place in its group."
            [ "BIAS-ADDS"; "ZERO-INPUT"; "ZERO-KERNEL" ]
    ]

let private pointwise (s: ConvShape) = s.KernelHeight = 1 && s.KernelWidth = 1
let private depthwise (s: ConvShape) = s.Groups > 1 && s.InChannelsPerGroup = 1

let private lastTap (s: ConvShape) (t: Tap) =
    t.C = s.InChannelsPerGroup - 1
    && t.U = s.KernelHeight - 1
    && t.V = s.KernelWidth - 1

let private tails =
    [
        { honest with
            Computes = fun s at -> not (pointwise s) || at.I * s.OutWidth + at.J < s.OutHeight * s.OutWidth / 4 * 4
        }
        |> Piece.ofOrgans
            g
            "m018-pointwise-pixel-tail"
            "oneapi-src/oneDNN"
            "9ba6789a1f"
            "The tail of the pixels of a 1×1 convolution was computed wrongly; here it is not computed."
            [ "CHANNEL-SPLIT"; "ODD"; "BATCH-CONCAT" ]

        { honest with Computes = fun s at -> s.Batch <= 32 || at.N < s.Batch / 32 * 32 }
        |> Piece.ofOrgans
            g
            "m192-batch-off-the-block"
            "NervanaSystems/neon"
            "361"
            "A batch above 32 that was no multiple of 32 gave wrong results behind the last whole block."
            [ "MODEL-EXACT"; "CHECKSUM" ]

        { honest with
            Computes = fun s at -> s.OutWidth <= 32 || at.J < s.OutWidth / 32 * 32
        }
        |> Piece.ofOrgans
            g
            "m171-width-off-the-tile"
            "tenstorrent/tt-metal"
            "42667"
            "A width that was no multiple of the tile gave garbage behind the last whole tile."
            [ "CHANNEL-SPLIT"; "MONOTONE"; "ODD" ]

        { honest with
            Counts = fun s t -> s.InChannelsPerGroup <= 8 || t.C < s.InChannelsPerGroup / 8 * 8
        }
        |> Piece.ofOrgans
            g
            "m169-channel-tail-of-eight"
            "modular/modular"
            "6248"
            "From eight input channels on, the packed filter lost the remainder."
            [ "CHANNEL-SPLIT"; "GROUP-BLOCKDIAG"; "DELTA-KERNEL"; "ZERO-CHANNELS" ]

        { honest with
            Counts = fun s t -> s.InChannelsPerGroup <= 4 || t.C < s.InChannelsPerGroup / 4 * 4
        }
        |> Piece.ofOrgans
            g
            "m137-six-channels"
            "pytorch/pytorch"
            "21597"
            "Six input channels came out wrong: whole blocks of four alone were summed."
            [ "CHANNEL-SPLIT"; "GROUP-BLOCKDIAG"; "COMPOSE"; "ZERO-CHANNELS"; "CONSTANT-INPUT" ]

        { honest with
            Accumulate =
                fun s t sum x k ->
                    if depthwise s && s.TermsPerOutput % 2L = 0L && lastTap s t then
                        x * k
                    else
                        sum + x * k
        }
        |> Piece.ofOrgans
            g
            "m059-even-taps-overwrite"
            "google/XNNPACK"
            "c393a796d9"
            "In the depthwise kernel with an even number of taps the last product overwrote the sum."
            [ "CHANNEL-SPLIT"; "BATCH-AS-GROUPS"; "GROUP-BLOCKDIAG"; "DEPTHWISE-SEPARABLE" ]

        { honest with Computes = fun s at -> not (depthwise s) || at.O % 8 < 4 }
        |> Piece.ofOrgans
            g
            "m100-step-beyond-the-vector"
            "ggml-org/ggml"
            "5afc45fe"
            "The depthwise loop stepped further than its vector is long and skipped channels."
            [ "CHANNEL-SPLIT"; "MONOTONE"; "SCALE-POW2"; "DEPTHWISE-SEPARABLE" ]

        { honest with
            Computes = fun s at -> int64 (honest.OutputIndex s at) < s.OutputLength / 4L * 4L
        }
        |> Piece.ofOrgans
            g
            "m198-last-vector-not-stored"
            "chelsea0x3b/dfdx"
            "677"
            "The bottom and right edge of the last image held NaN: the last partial vector was not stored."
            [ "CHANNEL-SPLIT"; "MONOTONE"; "SCALE-POW2"; "DUPLICATE-FILTER" ]

        { honest with Counts = fun _ t -> t.C < 16 }
        |> Piece.slip
            g
            "s13-second-block-lost"
            13
            "Input channels behind the first block of 16 are not summed."
            [ "CHANNEL-SPLIT"; "GROUP-BLOCKDIAG"; "DELTA-KERNEL" ]

        { honest with Finish = fun _ at y -> if at.J % 8 = 7 then 0f else y }
        |> Piece.slip
            g
            "s39-tile-edge-zero"
            39
            "The last column of each tile of eight is zero."
            [ "CHECKSUM"; "SHIFT"; "STRIDE-SUBSAMPLE"; "CONSTANT-INPUT" ]
    ]

let all = groups @ bias @ tails
