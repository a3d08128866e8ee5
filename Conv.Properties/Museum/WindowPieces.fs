/// Faults of the window: kernel orientation, padding, stride and dilation.
module Conv.Properties.WindowPieces

open Conv
open Conv.Properties.Textbook

let private a, b, c, d = "A kernel orientation", "B padding geometry", "C stride", "D dilation"

let private orientation =
    [
        { honest with
            ReadKernel =
                fun p at t -> p.Kernel[kernelIndex p.Shape at.O t.C (p.Shape.KernelHeight - 1 - t.U) (p.Shape.KernelWidth - 1 - t.V)]
        }
        |> Piece.ofOrgans
            a
            "m193-flipped-kernel"
            "webmachinelearning/webnn"
            "PR 40"
            "The kernel was flipped in both axes: a true convolution where the field means cross-correlation."
            [ "IMPULSE-INPUT"; "FIGURE"; "POLYPHASE" ]

        { honest with
            ReadKernel = fun p at t -> p.Kernel[kernelIndex p.Shape at.O t.C t.U (p.Shape.KernelWidth - 1 - t.V)]
        }
        |> Piece.slip a "s02-mirrored-kernel" 2 "The kernel is mirrored from left to right." [ "IMPULSE-INPUT"; "FIGURE"; "POLYPHASE" ]

        { honest with
            ReadKernel = fun p at t -> p.Kernel[kernelIndex p.Shape at.O t.C 0 0 + t.V * p.Shape.KernelHeight + t.U]
        }
        |> Piece.slip
            a
            "s03-transposed-kernel"
            3
            "Rows and columns of the kernel are exchanged."
            [ "IMPULSE-INPUT"; "FIGURE"; "DILATE-ZEROSTUFF" ]

        { honest with
            ReadKernel =
                fun p at t -> let s = p.Shape in p.Kernel[((t.C * s.OutChannels + at.O) * s.KernelHeight + t.U) * s.KernelWidth + t.V]
        }
        |> Piece.slip
            a
            "s09-weights-in-out"
            9
            "The weights are read as [input channel][output channel]."
            [ "IMPULSE-INPUT"; "FIGURE"; "OUT-STACK" ]
    ]

/// The flat buffer knows no rows: what lies beyond one end of a row is the other end of its neighbour.
let private flat (p: Problem) n c h w =
    let at = inputIndex p.Shape n c h w
    if at >= 0 && at < p.Input.Length then p.Input[at] else 0f

let private rowInside (s: ConvShape) h = h >= 0 && h < s.InHeight

let private paddingOnly (s: ConvShape) (at: Place) =
    let outside first extent size = first + extent <= 0 || first >= size

    outside (at.I * s.StrideHeight - s.PadTop) s.KernelExtentHeight s.InHeight
    || outside (at.J * s.StrideWidth - s.PadLeft) s.KernelExtentWidth s.InWidth

let private padding =
    [
        { honest with
            ReadInput = fun p at c h w -> if rowInside p.Shape h then flat p at.N c h w else 0f
        }
        |> Piece.ofOrgans
            b
            "m013-no-column-bounds"
            "oneapi-src/oneDNN"
            "33f6c93fda"
            "The bounds of a column were tested only where the left pad was not zero, so the right pad read the neighbouring row."
            [ "PAD-EXPLICIT"; "BATCH-CONCAT"; "TRAILING-UNUSED" ]

        { honest with Finish = fun s at y -> if paddingOnly s at then 0f else y }
        |> Piece.ofOrgans
            b
            "m016-padding-only-window"
            "oneapi-src/oneDNN"
            "1aaefb319b"
            "Outputs whose window lies wholly in the padding skipped the epilogue and lost their bias."
            [ "BIAS-ADDS"; "ZERO-INPUT"; "ZERO-KERNEL"; "PAD-BEYOND-KERNEL" ]

        { honest with
            ReadInput =
                fun p at c h w -> honest.ReadInput p at c (max 0 (min (p.Shape.InHeight - 1) h)) (max 0 (min (p.Shape.InWidth - 1) w))
        }
        |> Piece.ofOrgans
            b
            "m057-padding-not-zero"
            "google/XNNPACK"
            "8c96521d55"
            "Fusing an explicit pad into the convolution ignored its value; here the pad repeats the edge."
            [ "PAD-EXPLICIT"; "TRAILING-UNUSED"; "PAD-BEYOND-KERNEL" ]

        { honest with
            InputColumn = fun s at v -> at.J * s.StrideWidth + v * s.DilationWidth - s.PadRight
        }
        |> Piece.ofOrgans
            b
            "m056-right-pad-on-the-left"
            "google/XNNPACK"
            "facecc526b"
            "Fusing an explicit pad exchanged left and right."
            [ "PAD-EXPLICIT"; "TRAILING-UNUSED" ]

        { honest with
            InputRow = fun s at u -> at.I * s.StrideHeight + u * s.DilationHeight + s.PadTop
        }
        |> Piece.ofOrgans
            b
            "m070-pad-added"
            "tensorflow/tfjs"
            "e4c796059"
            "The pad was added to the row where it must be subtracted."
            [ "PAD-EXPLICIT"; "TRAILING-UNUSED" ]

        { honest with
            InputColumn = fun s at v -> at.J * s.StrideWidth + v * s.DilationWidth - (s.PadLeft + s.PadRight) / 2
        }
        |> Piece.ofOrgans
            b
            "m106-pads-averaged"
            "ml-explore/mlx"
            "a7fae8a17"
            "The pad after the image was ignored and the padding taken as symmetric."
            [ "PAD-EXPLICIT"; "TRAILING-UNUSED" ]

        { honest with
            InputColumn = fun s at v -> at.J * s.StrideWidth + v * s.DilationWidth - s.PadBottom
        }
        |> Piece.ofOrgans
            b
            "m090-left-pad-from-bottom"
            "alibaba/MNN"
            "8caa162f8"
            "Four pads given as top, left, bottom, right were read as top, bottom, left, right."
            [ "PAD-EXPLICIT"; "TRAILING-UNUSED" ]

        { honest with
            InputColumn = fun s at v -> at.J * s.StrideWidth + v * s.DilationWidth - s.PadTop
        }
        |> Piece.ofOrgans
            b
            "m093-one-pad-for-both-axes"
            "alibaba/MNN"
            "d33bf9ce1"
            "One entry of the list of pads served both axes."
            [ "PAD-EXPLICIT"; "TRAILING-UNUSED" ]

        { honest with
            ReadInput =
                fun p at c h w ->
                    if rowInside p.Shape h && w >= 0 && w < p.Shape.InHeight then
                        flat p at.N c h w
                    else
                        0f
        }
        |> Piece.ofOrgans
            b
            "m116-column-bound-by-height"
            "huggingface/candle"
            "871efc030"
            "The bound of a column was tested against the height."
            [ "PAD-EXPLICIT"; "BATCH-CONCAT"; "SHIFT" ]

        { honest with
            InputColumn =
                fun s at v ->
                    at.J * s.StrideWidth + v * s.DilationWidth
                    - (if s.PadTop = 0 then 0 else s.PadLeft)
        }
        |> Piece.ofOrgans
            b
            "m189-pad-taken-for-a-mode"
            "dotnet/TorchSharp"
            "496"
            "A pair of pads that began with 0 was decoded as a padding mode, and the other pad was lost."
            [ "PAD-EXPLICIT"; "TRAILING-UNUSED" ]

        { honest with
            ReadInput =
                fun p at c h w ->
                    let s = p.Shape in
                    p.Input[inputIndex s at.N c (((h % s.InHeight) + s.InHeight) % s.InHeight) (((w % s.InWidth) + s.InWidth) % s.InWidth)]
        }
        |> Piece.slip
            b
            "s28-padding-wraps"
            28
            "The padding wraps around to the other side of the image."
            [ "PAD-EXPLICIT"; "TRAILING-UNUSED" ]
    ]

let private pointwise (s: ConvShape) = s.KernelHeight = 1 && s.KernelWidth = 1

/// The pixel that mixed strides find in a plane taken as one axis.
let private flattened (s: ConvShape) (at: Place) = (at.I * s.OutWidth + at.J) * s.StrideWidth
let private mixed (s: ConvShape) = pointwise s && s.StrideHeight = 1 && s.StrideWidth > 1

let private stride =
    [
        { honest with
            InputRow =
                fun s at u ->
                    if mixed s then
                        flattened s at / s.InWidth - s.PadTop
                    else
                        honest.InputRow s at u
            InputColumn =
                fun s at v ->
                    if mixed s then
                        flattened s at % s.InWidth - s.PadLeft
                    else
                        honest.InputColumn s at v
        }
        |> Piece.ofOrgans
            c
            "m004-mixed-strides-flattened"
            "oneapi-src/oneDNN"
            "11d280f1fb"
            "A 1×1 convolution with strides 1 and 2 was flattened to one axis of stride 2."
            [ "POINTWISE-MATMUL"; "TAP-SUM"; "TRANSPOSE-HW" ]

        { honest with
            InputRow = fun s at u -> if pointwise s then at.I - s.PadTop else honest.InputRow s at u
            InputColumn = fun s at v -> if pointwise s then at.J - s.PadLeft else honest.InputColumn s at v
        }
        |> Piece.ofOrgans
            c
            "m195-pointwise-ignores-stride"
            "pulp-platform/pulp-nn"
            "9"
            "The kernels for 1×1 had no stride."
            [ "STRIDE-SUBSAMPLE"; "SHIFT" ]

        { honest with
            InputRow = fun s at u -> at.I * s.StrideWidth + u * s.DilationHeight - s.PadTop
            InputColumn = fun s at v -> at.J * s.StrideHeight + v * s.DilationWidth - s.PadLeft
        }
        |> Piece.slip c "s18-strides-exchanged" 18 "The strides of rows and columns are exchanged." [ "STRIDE-SUBSAMPLE"; "SHIFT" ]
    ]

let private dilation =
    [
        { honest with
            InputColumn = fun s at v -> at.J * s.StrideWidth + v * s.DilationHeight - s.PadLeft
        }
        |> Piece.ofOrgans
            d
            "m010-row-dilation-on-columns"
            "oneapi-src/oneDNN"
            "ea92ee1d74"
            "The offset of a column was multiplied by the dilation of rows."
            [ "DILATE-ZEROSTUFF"; "DILATE-PHASE" ]

        { honest with
            InputRow = fun s at u -> at.I * s.StrideHeight + u * s.DilationWidth - s.PadTop
        }
        |> Piece.ofOrgans
            d
            "m094-column-dilation-on-rows"
            "alibaba/MNN"
            "d3d12cd47"
            "The rows of im2col used the dilation of columns."
            [ "DILATE-ZEROSTUFF"; "DILATE-PHASE" ]

        { honest with
            ReadInput =
                fun p at c h w ->
                    if w = p.Shape.InWidth && p.Shape.DilationWidth > 1 && rowInside p.Shape h then
                        flat p at.N c h w
                    else
                        honest.ReadInput p at c h w
        }
        |> Piece.ofOrgans
            d
            "m014-right-bound-one-too-far"
            "oneapi-src/oneDNN"
            "29c1a08b11"
            "The test at the right border left the dilation out and let one column too many through."
            [ "DILATE-ZEROSTUFF"; "BATCH-CONCAT" ]

        { honest with
            InputRow = fun s at u -> (at.I * s.StrideHeight + u) * s.DilationHeight - s.PadTop
        }
        |> Piece.ofOrgans
            d
            "m117-stride-dilated"
            "huggingface/candle"
            "71221559d"
            "The dilation multiplied the offset of the output along with that of the tap."
            [ "DILATE-ZEROSTUFF"; "SHIFT"; "DILATE-PHASE" ]

        { honest with
            InputRow = fun s at u -> at.I * s.StrideHeight + u - s.PadTop
            InputColumn = fun s at v -> at.J * s.StrideWidth + v * s.DilationHeight - s.PadLeft
        }
        |> Piece.ofOrgans
            d
            "m069-dilations-one-entry-early"
            "tensorflow/tfjs"
            "0b7a8cbbc"
            "Of the dilations [1, d_h, d_w, 1] the first two were passed on."
            [ "DILATE-ZEROSTUFF"; "DILATE-PHASE" ]

        { honest with
            InputRow = fun s at u -> at.I * s.StrideHeight + u * min 2 s.DilationHeight - s.PadTop
        }
        |> Piece.ofOrgans
            d
            "m063-dilation-beyond-two"
            "tensorflow/tfjs"
            "4296023f8"
            "The packed path was wrong for dilations above 2."
            [ "DILATE-ZEROSTUFF"; "DILATE-PHASE" ]

        { honest with
            InputRow = fun s at u -> at.I * s.StrideHeight + u - s.PadTop
            InputColumn = fun s at v -> at.J * s.StrideWidth + v - s.PadLeft
        }
        |> Piece.ofOrgans
            d
            "m071-dilation-not-passed"
            "tensorflow/tfjs"
            "8f5494c80"
            "The size of the output honoured the dilation and the kernel never received it."
            [ "DILATE-ZEROSTUFF"; "DILATE-PHASE" ]

        { honest with
            InputColumn =
                fun s at v ->
                    at.J * s.StrideWidth + v * (if s.StrideWidth > 1 then 1 else s.DilationWidth)
                    - s.PadLeft
        }
        |> Piece.slip
            d
            "s25-dilation-lost-with-stride"
            25
            "The dilation is ignored where there is a stride."
            [ "DILATE-ZEROSTUFF"; "STRIDE-SUBSAMPLE" ]
    ]

let all = orientation @ padding @ stride @ dilation
