/// Slips of gradients, transposed convolutions and epilogues that only some shapes or numbers show.
module internal Conv.Properties.AdjointCornerPieces

open System
open Conv
open Conv.Properties.Textbook
open Conv.Properties.TextbookAdjoint

let private honest = TextbookAdjoint.honest

/// The honest place, with other numbers of rows and columns.
let private meetsBy row column =
    fun (s: ConvShape) (p: Pixel) u v ->
        match row s p u, column s p v with
        | ValueSome i, ValueSome j -> ValueSome(struct (i, j))
        | _ -> ValueNone

let private row (s: ConvShape) (p: Pixel) u = meeting p.H u s.Rows.Stride s.Rows.Dilation s.Rows.Before s.Rows.Outputs
let private column (s: ConvShape) (p: Pixel) v = meeting p.W v s.Columns.Stride s.Columns.Dilation s.Columns.Before s.Columns.Outputs

let private input =
    [
        { honest with
            Meets = meetsBy (fun s p u -> meeting p.H u s.Rows.Stride s.Rows.Dilation s.Rows.After s.Rows.Outputs) column
        }
        |> Piece.ofOperators "q128-bottom-pad-in-the-gradient" "The gradient of the input mirrors the pads of rows: it takes the one below."

        { honest with
            Meets = meetsBy row (fun s p v -> meeting p.W v s.Columns.Stride s.Columns.Dilation s.Columns.After s.Columns.Outputs)
        }
        |> Piece.ofOperators
            "q129-right-pad-in-the-gradient"
            "The gradient of the input mirrors the pads of columns: it takes the right one."

        { honest with
            Meets =
                meetsBy row (fun s p v ->
                    let outputs =
                        if s.Columns.Stride > 1 && s.Columns.Size % 2 = 1 then
                            (s.Columns.Size - 1) / s.Columns.Stride
                        else
                            s.Columns.Outputs

                    meeting p.W v s.Columns.Stride s.Columns.Dilation s.Columns.Before (min outputs s.Columns.Outputs))
        }
        |> Piece.ofOperators
            "q130-odd-width-of-the-gradient"
            "With a stride the columns of dY are counted from the width, rounded down: an odd width loses the last."

        { honest with
            Weight =
                fun s k p o u v ->
                    let o = if s.Rows.Dilation > 1 then o % s.OutChannelsPerGroup else o
                    honest.Weight s k p o u v
        }
        |> Piece.ofOperators
            "q131-dilated-gradient-loses-the-group"
            "Where rows are dilated the gradient of the input takes every group's weights from the first."

        { honest with
            Weight =
                fun s k p o u v ->
                    // Gathered with a flipped kernel; only the square ones are flipped back.
                    let v = if s.Rows.Taps = s.Columns.Taps then v else s.Columns.Taps - 1 - v
                    honest.Weight s k p o u v
        }
        |> Piece.ofOperators "q132-oblong-kernel-flipped" "The gradient of the input flips a kernel that is not square in its columns."

        { honest with
            Reaching = fun s p -> if s.InChannelsPerGroup = 1 then struct (p.Channel, 1) else honest.Reaching s p
        }
        |> Piece.ofOperators
            "q133-one-filter-for-each-channel"
            "Groups of one input channel are taken for depthwise without a multiplier: one output channel reaches each."
    ]

let private kernel =
    [
        { honest with
            Counts = fun s at -> s.Batch <= 1 || s.Batch % 2 = 0 || at.N < s.Batch - 1
        }
        |> Piece.ofOperators
            "q134-odd-image-of-the-gradient"
            "The gradient of the kernel takes two images at a time and loses the last of an odd batch."

        { honest with
            Reading =
                { Textbook.honest with
                    InputColumn = fun s at v -> at.J * s.Columns.Stride + v * s.Columns.Dilation - s.Columns.After
                }
        }
        |> Piece.ofOperators "q135-right-pad-in-the-weight-gradient" "The gradient of the kernel takes the right pad for the left one."

        { honest with
            Reading =
                { Textbook.honest with
                    InputRow =
                        fun s at u ->
                            let gap = if s.Rows.Stride > 1 then 1 else s.Rows.Dilation
                            at.I * s.Rows.Stride + u * gap - s.Rows.Before
                }
        }
        |> Piece.ofOperators
            "q136-strided-gradient-without-dilation"
            "The gradient of the kernel gives its rows either a stride or a dilation, never both."

        { honest with
            Reading =
                { Textbook.honest with
                    InputChannel =
                        fun s at c ->
                            if s.InChannelsPerGroup = 1 && s.Groups > 1 then
                                at.O % s.InChannels
                            else
                                Textbook.honest.InputChannel s at c
                }
        }
        |> Piece.ofOperators
            "q137-multiplier-of-the-weight-gradient"
            "The gradient of a depthwise kernel with a multiplier reads input channel o mod C."

        { honest with
            Counts =
                fun s at ->
                    s.Rows.Outputs % 2 = 0
                    || s.Columns.Outputs % 2 = 0
                    || at.I < s.Rows.Outputs - 1
                    || at.J < s.Columns.Outputs - 1
        }
        |> Piece.ofOperators
            "q138-last-pixel-of-an-odd-image"
            "The gradient of the kernel takes two outputs at a time and loses the last of an odd number."
    ]

let private bias =
    [
        { honest with
            SumBias =
                fun s dy o ->
                    let mutable sum = 0f

                    for n in 0 .. s.Batch - 1 do
                        for i in 0 .. s.Rows.Outputs - 1 do
                            sum <- sum + dy[outputIndex s n o i 0]

                    sum
        }
        |> Piece.ofOperators "q139-bias-gradient-over-rows" "The gradient of the bias sums over rows and takes one column."

        { honest with
            SumBias = fun s dy o -> honest.SumBias s dy (if s.Groups > 1 then o % s.OutChannelsPerGroup else o)
        }
        |> Piece.ofOperators "q140-bias-gradient-of-the-first-group" "The gradient of the bias is that of the first group, for each."

        { honest with
            SumBias =
                fun s dy o ->
                    let mutable sum = 0f
                    // Planes of dY as large as those of X.
                    let plane = int s.InputPlane

                    for n in 0 .. s.Batch - 1 do
                        for at in 0 .. int s.OutputPlane - 1 do
                            sum <- sum + dy[((n * s.OutChannels + o) * plane + at) % dy.Length]

                    sum
        }
        |> Piece.ofOperators
            "q141-bias-gradient-by-the-input-size"
            "The gradient of the bias finds a channel of dY by the size of the input."
    ]

let private transposed =
    [
        { honest with
            FinishPixel =
                fun s b p sum ->
                    let last =
                        (s.Columns.Outputs - 1) * s.Columns.Stride + s.Columns.Extent
                        - s.Columns.Before
                        - s.Columns.After

                    honest.FinishPixel s b p (if p.W >= last then 0f else sum)
        }
        |> Piece.ofOperators "q142-output-padding-of-columns" "Columns of output padding hold the bias alone; rows are computed."

        { honest with
            Target =
                fun s at t ->
                    let p = honest.Target s at t
                    { p with H = p.H + s.Rows.Before - s.Rows.After }
        }
        |> Piece.ofOperators "q143-cut-from-below" "The transposed convolution cuts off above what belongs below."

        { honest with
            Target =
                fun s at t ->
                    let p = honest.Target s at t
                    if s.Columns.Dilation > 1 then { p with Channel = t.C } else p
        }
        |> Piece.ofOperators
            "q144-dilated-transposed-loses-the-group"
            "Where columns are dilated every group of a transposed convolution adds to the first."

        { honest with
            Scattered =
                fun s k at t ->
                    // Windows that do not overlap are copied, the last one without its edge.
                    if s.Rows.Stride > s.Rows.Extent && at.I = s.Rows.Outputs - 1 && s.Rows.Outputs > 1 then
                        0f
                    else
                        honest.Scattered s k at t
        }
        |> Piece.ofOperators
            "q145-windows-that-lie-apart"
            "Where windows lie apart, the last row of them is not added by the transposed convolution."

        { honest with
            FinishPixel = fun s b p sum -> if b.Length = 0 then sum else sum + b[p.Channel % s.InChannelsPerGroup]
        }
        |> Piece.ofOperators
            "q146-transposed-bias-within-the-group"
            "The bias of a transposed convolution is indexed by the channel's place in its group."

        { honest with
            FinishPixel = fun s b p sum -> if s.OutChannels = 0 then 0f else honest.FinishPixel s b p sum
        }
        |> Piece.ofOperators "q147-transposed-of-nothing" "A transposed convolution of no channels is zero, also where there is a bias."
    ]

/// z = s·(y + b) + t by another rule, and its rectification.
let private epilogue rule rectified =
    { honest with
        Epilogue =
            fun rectifies a sum ->
                let z = rule a sum
                if rectifies then rectified z else z
    }

let private affine a sum = a.Scale * (sum + a.Bias) + a.Shift

let private fused =
    [
        epilogue affine (fun z -> if z > 0f then z else 0f)
        |> Piece.ofOperators "q148-rectified-nan" "The rectification is a comparison, by which NaN becomes zero."

        epilogue affine (fun z -> min 6f (max 0f z))
        |> Piece.ofOperators "q149-clipped-at-six" "The rectification is the one that ends at six."

        epilogue (fun a sum -> if a.Scale = 0f then a.Shift else affine a sum) (max 0f)
        |> Piece.ofOperators "q150-scale-of-zero" "A channel whose scale is zero gives its shift, without looking at the sum."

        epilogue (fun a sum -> abs a.Scale * (sum + a.Bias) + a.Shift) (max 0f)
        |> Piece.ofOperators "q151-scale-without-its-sign" "The scale is recovered from its square, and has no sign."

        epilogue (fun a sum -> if a.Bias = 0f then sum + a.Shift else affine a sum) (max 0f)
        |> Piece.ofOperators "q152-no-bias-no-scale" "Where the bias is zero the sum is stored before the scale."
    ]

let all = input @ kernel @ bias @ transposed @ fused
