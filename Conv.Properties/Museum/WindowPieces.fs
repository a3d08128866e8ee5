/// Faults of the window: kernel orientation, padding, stride and dilation.
module internal Conv.Properties.WindowPieces

open Conv
open Conv.Properties.Textbook


let private orientation =
    [
        { honest with
            ReadKernel = fun p at t -> p.Kernel[kernelIndex p.Shape at.O t.C (p.Shape.Rows.Taps - 1 - t.U) (p.Shape.Columns.Taps - 1 - t.V)]
        }
        |> Piece.ofOrgans
            "m193-flipped-kernel"
            "The kernel was flipped in both axes: a true convolution where the field means cross-correlation."

        { honest with
            ReadKernel = fun p at t -> p.Kernel[kernelIndex p.Shape at.O t.C t.U (p.Shape.Columns.Taps - 1 - t.V)]
        }
        |> Piece.ofOrgans "s02-mirrored-kernel" "The kernel is mirrored from left to right."

        { honest with
            ReadKernel = fun p at t -> p.Kernel[kernelIndex p.Shape at.O t.C 0 0 + t.V * p.Shape.Rows.Taps + t.U]
        }
        |> Piece.ofOrgans "s03-transposed-kernel" "Rows and columns of the kernel are exchanged."

        { honest with
            ReadKernel =
                fun p at t -> let s = p.Shape in p.Kernel[((t.C * s.OutChannels + at.O) * s.Rows.Taps + t.U) * s.Columns.Taps + t.V]
        }
        |> Piece.ofOrgans "s09-weights-in-out" "The weights are read as [input channel][output channel]."
    ]

/// The flat buffer knows no rows: what lies beyond one end of a row is the other end of its neighbour.
let private flat (p: Problem) n c h w =
    let at = inputIndex p.Shape n c h w
    if at >= 0 && at < p.Input.Length then p.Input[at] else 0f

let private rowInside (s: ConvShape) h = h >= 0 && h < s.Rows.Size

let private paddingOnly (s: ConvShape) (at: Place) =
    let outside first extent size = first + extent <= 0 || first >= size

    outside (at.I * s.Rows.Stride - s.Rows.Before) s.Rows.Extent s.Rows.Size
    || outside (at.J * s.Columns.Stride - s.Columns.Before) s.Columns.Extent s.Columns.Size

let private padding =
    [
        { honest with
            ReadInput = fun p at c h w -> if rowInside p.Shape h then flat p at.N c h w else 0f
        }
        |> Piece.ofOrgans
            "m013-no-column-bounds"
            "The bounds of a column were tested only where the left pad was not zero, so the right pad read the neighbouring row."

        { honest with Finish = fun s at y -> if paddingOnly s at then 0f else y }
        |> Piece.ofOrgans
            "m016-padding-only-window"
            "Outputs whose window lies wholly in the padding skipped the epilogue and lost their bias."

        { honest with
            ReadInput =
                fun p at c h w -> honest.ReadInput p at c (max 0 (min (p.Shape.Rows.Size - 1) h)) (max 0 (min (p.Shape.Columns.Size - 1) w))
        }
        |> Piece.ofOrgans
            "m057-padding-not-zero"
            "Fusing an explicit pad into the convolution ignored its value; here the pad repeats the edge."

        { honest with
            InputColumn = fun s at v -> at.J * s.Columns.Stride + v * s.Columns.Dilation - s.Columns.After
        }
        |> Piece.ofOrgans "m056-right-pad-on-the-left" "Fusing an explicit pad exchanged left and right."

        { honest with
            InputRow = fun s at u -> at.I * s.Rows.Stride + u * s.Rows.Dilation + s.Rows.Before
        }
        |> Piece.ofOrgans "m070-pad-added" "The pad was added to the row where it must be subtracted."

        { honest with
            InputColumn =
                fun s at v ->
                    at.J * s.Columns.Stride + v * s.Columns.Dilation
                    - (s.Columns.Before + s.Columns.After) / 2
        }
        |> Piece.ofOrgans "m106-pads-averaged" "The pad after the image was ignored and the padding taken as symmetric."

        { honest with
            InputColumn = fun s at v -> at.J * s.Columns.Stride + v * s.Columns.Dilation - s.Rows.After
        }
        |> Piece.ofOrgans "m090-left-pad-from-bottom" "Four pads given as top, left, bottom, right were read as top, bottom, left, right."

        { honest with
            InputColumn = fun s at v -> at.J * s.Columns.Stride + v * s.Columns.Dilation - s.Rows.Before
        }
        |> Piece.ofOrgans "m093-one-pad-for-both-axes" "One entry of the list of pads served both axes."

        { honest with
            ReadInput =
                fun p at c h w ->
                    if rowInside p.Shape h && w >= 0 && w < p.Shape.Rows.Size then
                        flat p at.N c h w
                    else
                        0f
        }
        |> Piece.ofOrgans "m116-column-bound-by-height" "The bound of a column was tested against the height."

        { honest with
            InputColumn =
                fun s at v ->
                    at.J * s.Columns.Stride + v * s.Columns.Dilation
                    - (if s.Rows.Before = 0 then 0 else s.Columns.Before)
        }
        |> Piece.ofOrgans
            "m189-pad-taken-for-a-mode"
            "A pair of pads that began with 0 was decoded as a padding mode, and the other pad was lost."

        { honest with
            ReadInput =
                fun p at c h w ->
                    let s = p.Shape in

                    p.Input[inputIndex
                                s
                                at.N
                                c
                                (((h % s.Rows.Size) + s.Rows.Size) % s.Rows.Size)
                                (((w % s.Columns.Size) + s.Columns.Size) % s.Columns.Size)]
        }
        |> Piece.ofOrgans "s28-padding-wraps" "The padding wraps around to the other side of the image."
    ]

let private pointwise (s: ConvShape) = s.Rows.Taps = 1 && s.Columns.Taps = 1

/// The pixel that mixed strides find in a plane taken as one axis.
let private flattened (s: ConvShape) (at: Place) = (at.I * s.Columns.Outputs + at.J) * s.Columns.Stride
let private mixed (s: ConvShape) = pointwise s && s.Rows.Stride = 1 && s.Columns.Stride > 1

let private stride =
    [
        { honest with
            InputRow =
                fun s at u ->
                    if mixed s then
                        flattened s at / s.Columns.Size - s.Rows.Before
                    else
                        honest.InputRow s at u
            InputColumn =
                fun s at v ->
                    if mixed s then
                        flattened s at % s.Columns.Size - s.Columns.Before
                    else
                        honest.InputColumn s at v
        }
        |> Piece.ofOrgans "m004-mixed-strides-flattened" "A 1×1 convolution with strides 1 and 2 was flattened to one axis of stride 2."

        { honest with
            InputRow = fun s at u -> if pointwise s then at.I - s.Rows.Before else honest.InputRow s at u
            InputColumn = fun s at v -> if pointwise s then at.J - s.Columns.Before else honest.InputColumn s at v
        }
        |> Piece.ofOrgans "m195-pointwise-ignores-stride" "The kernels for 1×1 had no stride."

        { honest with
            InputRow = fun s at u -> at.I * s.Columns.Stride + u * s.Rows.Dilation - s.Rows.Before
            InputColumn = fun s at v -> at.J * s.Rows.Stride + v * s.Columns.Dilation - s.Columns.Before
        }
        |> Piece.ofOrgans "s18-strides-exchanged" "The strides of rows and columns are exchanged."
    ]

let private dilation =
    [
        { honest with
            InputColumn = fun s at v -> at.J * s.Columns.Stride + v * s.Rows.Dilation - s.Columns.Before
        }
        |> Piece.ofOrgans "m010-row-dilation-on-columns" "The offset of a column was multiplied by the dilation of rows."

        { honest with
            InputRow = fun s at u -> at.I * s.Rows.Stride + u * s.Columns.Dilation - s.Rows.Before
        }
        |> Piece.ofOrgans "m094-column-dilation-on-rows" "The rows of im2col used the dilation of columns."

        { honest with
            ReadInput =
                fun p at c h w ->
                    if w = p.Shape.Columns.Size && p.Shape.Columns.Dilation > 1 && rowInside p.Shape h then
                        flat p at.N c h w
                    else
                        honest.ReadInput p at c h w
        }
        |> Piece.ofOrgans
            "m014-right-bound-one-too-far"
            "The test at the right border left the dilation out and let one column too many through."

        { honest with
            InputRow = fun s at u -> (at.I * s.Rows.Stride + u) * s.Rows.Dilation - s.Rows.Before
        }
        |> Piece.ofOrgans "m117-stride-dilated" "The dilation multiplied the offset of the output along with that of the tap."

        { honest with
            InputRow = fun s at u -> at.I * s.Rows.Stride + u - s.Rows.Before
            InputColumn = fun s at v -> at.J * s.Columns.Stride + v * s.Rows.Dilation - s.Columns.Before
        }
        |> Piece.ofOrgans "m069-dilations-one-entry-early" "Of the dilations [1, d_h, d_w, 1] the first two were passed on."

        { honest with
            InputRow = fun s at u -> at.I * s.Rows.Stride + u * min 2 s.Rows.Dilation - s.Rows.Before
        }
        |> Piece.ofOrgans "m063-dilation-beyond-two" "The packed path was wrong for dilations above 2."

        { honest with
            InputRow = fun s at u -> at.I * s.Rows.Stride + u - s.Rows.Before
            InputColumn = fun s at v -> at.J * s.Columns.Stride + v - s.Columns.Before
        }
        |> Piece.ofOrgans "m071-dilation-not-passed" "The size of the output honoured the dilation and the kernel never received it."

        { honest with
            InputColumn =
                fun s at v ->
                    at.J * s.Columns.Stride
                    + v * (if s.Columns.Stride > 1 then 1 else s.Columns.Dilation)
                    - s.Columns.Before
        }
        |> Piece.ofOrgans "s25-dilation-lost-with-stride" "The dilation is ignored where there is a stride."
    ]

let all = orientation @ padding @ stride @ dilation
