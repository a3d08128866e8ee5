/// Simple faults: the definition in float32, with one slip each.
module internal Conv.Properties.SimplePieces

open System
open Conv
open Conv.Properties.Textbook

let private channels =
    [
        { honest with
            Accumulate = fun _ t sum x k -> if t.U = 0 && t.V = 0 then x * k else sum + x * k
        }
        |> Piece.ofOrgans
            "s04-channel-sum-overwrites"
            "The sum of each channel overwrites that of the channel before: the last one is kept."

        { honest with Counts = fun _ t -> t.C = 0 }
        |> Piece.ofOrgans "s05-first-channel-only" "The first input channel alone is summed."

        { honest with
            Counts = fun s t -> s.InChannelsPerGroup = 1 || t.C < s.InChannelsPerGroup - 1
        }
        |> Piece.ofOrgans "s06-last-channel-skipped" "Of several input channels the last is not summed."

        { honest with
            ReadKernel = fun p at t -> honest.ReadKernel p at { t with C = 0 }
        }
        |> Piece.ofOrgans "s07-first-slice-for-every-channel" "Every input channel meets the weights of the first."

        { honest with
            InputChannel = fun s at c -> honest.InputChannel s at (s.InChannelsPerGroup - 1 - c)
        }
        |> Piece.ofOrgans "s08-channels-in-reverse" "The input channels are read from the last to the first, their weights are not."

        { honest with InputChannel = fun s at _ -> honest.InputChannel s at 0 }
        |> Piece.ofOrgans "s10-first-channel-for-all" "The first input channel is read in the place of every one."

        { honest with
            Computes = fun s at -> s.OutChannels <= 4 || at.O < s.OutChannels / 4 * 4
        }
        |> Piece.ofOrgans
            "s12-output-channel-tail-unwritten"
            "Above four output channels those behind the last whole block of four are not written."

        { honest with InputChannel = fun _ _ c -> c }
        |> Piece.ofOrgans "s29-group-offset-ignored" "Every group reads the input channels of the first."
    ]

let private images =
    [
        { honest with
            ReadInput = fun p at c h w -> honest.ReadInput p { at with N = 0 } c h w
        }
        |> Piece.ofOrgans "s14-batch-index-ignored" "Every image of the batch gives the result of the first."

        { honest with Computes = fun s at -> s.Batch = 1 || at.N < s.Batch - 1 }
        |> Piece.ofOrgans "s15-last-image-not-computed" "Of several images the last is not computed."

        { honest with
            Finish = fun s at y -> if at.I = s.Rows.Outputs - 1 then 0f else y
        }
        |> Piece.ofOrgans "s37-last-row-zero" "The last row of the output is zero."

        { honest with
            Finish = fun s at y -> if at.J = s.Columns.Outputs - 1 then 0f else y
        }
        |> Piece.ofOrgans "s38-last-column-zero" "The last column of the output is zero."

        { honest with
            Finish =
                fun s at y ->
                    let winograd =
                        s.Rows.Taps = 3
                        && s.Columns.Taps = 3
                        && s.Rows.Stride = 1
                        && s.Columns.Stride = 1

                    if winograd && s.Rows.Outputs % 2 = 1 && at.I = s.Rows.Outputs - 1 then
                        0f
                    else
                        y
        }
        |> Piece.ofOrgans "s40-odd-winograd-edge-lost" "Of an odd number of rows, 3×3 with a stride of one loses the last: half a tile."
    ]

let private pointwise (s: ConvShape) = s.Rows.Taps = 1 && s.Columns.Taps = 1

/// The pixel that is seen in a mirror at the edge, which itself is not repeated.
let private reflected size at =
    let period = max 1 (2 * (size - 1))
    let at = ((at % period) + period) % period
    min at (period - at)

let private window =
    [
        { honest with
            ReadKernel =
                fun p at t ->
                    let s = p.Shape
                    p.Kernel[(kernelIndex s at.O t.C 0 0 + t.U * s.Rows.Taps + t.V) % p.Kernel.Length]
        }
        |> Piece.ofOrgans "s17-kernel-pitch-of-its-height" "The rows of the kernel are as far apart as it is high."

        { honest with
            InputColumn = fun s at v -> at.J + v * s.Columns.Dilation - s.Columns.Before
        }
        |> Piece.ofOrgans "s19-column-stride-ignored" "The stride of columns is ignored."

        { honest with
            InputRow = fun s at u -> at.I * s.Rows.Stride + u * s.Rows.Dilation - s.Columns.Before
            InputColumn = fun s at v -> at.J * s.Columns.Stride + v * s.Columns.Dilation - s.Rows.Before
        }
        |> Piece.ofOrgans "s20-top-and-left-exchanged" "The pads above and on the left are exchanged."

        { honest with
            InputRow = fun s at u -> honest.InputRow s at u + (if s.Rows.Before > 0 then 1 else 0)
        }
        |> Piece.ofOrgans "s22-top-pad-one-short" "Where there is a pad above, it is taken to be one row less."

        { honest with
            InputRow = fun s at u -> at.I * s.Rows.Stride + u * s.Columns.Dilation - s.Rows.Before
            InputColumn = fun s at v -> at.J * s.Columns.Stride + v * s.Rows.Dilation - s.Columns.Before
        }
        |> Piece.ofOrgans "s24-dilations-exchanged" "The dilations of rows and columns are exchanged."

        { honest with
            ReadInput = fun p at c h w -> honest.ReadInput p at c (reflected p.Shape.Rows.Size h) (reflected p.Shape.Columns.Size w)
        }
        |> Piece.ofOrgans "s27-padding-reflects" "The padding reflects the image."

        { honest with
            InputRow = fun s at u -> honest.InputRow s at u + (if pointwise s then s.Rows.Before else 0)
            InputColumn = fun s at v -> honest.InputColumn s at v + (if pointwise s then s.Columns.Before else 0)
        }
        |> Piece.ofOrgans "s42-pointwise-ignores-padding" "The path for 1×1 kernels knows no padding."
    ]

let private ofBias (p: Problem) o = if p.Bias.Length = 0 then 0f else p.Bias[o]

let private bias =
    [
        { honest with ReadBias = fun p _ -> ofBias p 0 }
        |> Piece.ofOrgans "s32-first-bias-for-all" "Every output channel gets the bias of the first."

        { honest with ReadBias = fun p at -> ofBias p (p.Shape.OutChannels - 1 - at.O) }
        |> Piece.ofOrgans "s33-bias-reversed" "The bias runs from the last output channel to the first."
    ]

let private bf16 = NumberPieces.without 16

/// What a parser that knows no infinity makes of the negative one.
let private lowest x = if x = Single.NegativeInfinity then Single.MinValue else x

let private numbers =
    [
        { honest with Finish = fun _ _ y -> abs y }
        |> Piece.ofOrgans "s44-sign-of-the-output-lost" "Outputs lose their sign."

        { honest with Accumulate = fun _ _ sum x k -> sum + bf16 (x * k) }
        |> Piece.ofOrgans "s47-bf16-products" "Each product is rounded to bfloat16."

        { honest with Finish = fun _ _ y -> y * (1f + 5e-4f) }
        |> Piece.ofOrgans "s50-off-by-5e-4" "The result is off by half a thousandth."

        { honest with Finish = fun _ _ y -> y * (1f + 5e-5f) }
        |> Piece.ofOrgans "s51-off-by-5e-5" "The result is off by fifty millionths."

        { honest with
            ReadInput = fun p at c h w -> lowest (honest.ReadInput p at c h w)
            ReadKernel = fun p at t -> lowest (honest.ReadKernel p at t)
        }
        |> Piece.ofOrgans "s56-negative-infinity-is-the-lowest" "Inputs and weights of −∞ are read as the lowest finite number."
    ]

let all = channels @ images @ window @ bias @ numbers
