/// Faults of transposed and fused convolutions, and of views, that only large parameters show, or several that are large at once.
module internal Conv.Properties.ReachOperatorPieces

open System
open Conv
open Conv.Properties.Textbook
open Conv.Properties.TextbookAdjoint
open Conv.Properties.ReachGradientPieces

let private honest = TextbookAdjoint.honest

/// A transposed convolution by a product and a sum over columns, of which an offset has 16 bits.
let private columnsOf16Bits _ (s: ConvShape) (x: float32[]) (k: float32[]) (b: float32[]) =
    let taps, plane, terms = int s.KernelPlane, positions s, int s.TermsPerOutput
    let result = Array.zeroCreate<float32>(int s.InputLength)
    let columns = Array.zeroCreate<float32>(terms * plane)

    for image in 0 .. s.Batch * s.Groups - 1 do
        let n, group = image / s.Groups, image % s.Groups
        let first = group * s.OutChannelsPerGroup

        for at in 0 .. columns.Length - 1 do
            columns[at] <- 0f

            for o in first .. first + s.OutChannelsPerGroup - 1 do
                columns[at] <-
                    columns[at]
                    + x[(n * s.OutChannels + o) * plane + at % plane] * k[o * terms + at / plane]

        for at in 0 .. columns.Length - 1 do
            let term, i, j = at / plane, at % plane / s.Columns.Outputs, at % s.Columns.Outputs
            let place = { N = n; O = first; I = i; J = j }
            let tap = { C = term / taps; U = term % taps / s.Columns.Taps; V = term % s.Columns.Taps }
            let p = honest.Target s place tap

            if ReachPieces.isInside s p.H p.W then
                let to' = honest.StorePixel s p
                result[to'] <- result[to'] + columns[at % 65536]

    let plane = int s.InputPlane

    if b.Length = 0 then
        result
    else
        result |> Array.mapi (fun at sum -> sum + b[at / plane % s.InChannels])

/// Rows behind the last full window, from the first of them on.
let private outputPadding (s: ConvShape) (p: Pixel) =
    p.H
    - ((s.Rows.Outputs - 1) * s.Rows.Stride + s.Rows.Extent
       - s.Rows.Before
       - s.Rows.After)

let private transposed =
    [
        Piece.make
            (around Operation.Transposed columnsOf16Bits)
            "m226-col2im-offset-of-16-bits"
            "The offset of col2im into its columns overflowed; here at 16 bits."

        { honest with
            FinishPixel =
                fun s b p sum ->
                    let between = (p.W + s.Columns.Before) % s.Columns.Stride >= s.Columns.Extent
                    if s.Columns.Stride >= 8 && between then sum else honest.FinishPixel s b p sum
        }
        |> Piece.ofOperators
            "q251-columns-between-windows"
            "With strides of eight and more, columns that lie between two windows of a transposed convolution lack the bias."

        { honest with
            Scattered =
                fun s k at t ->
                    let own = at.O % s.OutChannelsPerGroup
                    honest.Scattered s k { at with O = at.O - own / 64 * 64 } t
        }
        |> Piece.ofOperators
            "q252-weights-of-the-first-64"
            "A transposed convolution takes 64 input channels at a time, and the weights of the first 64 for all of them."

        { honest with
            Scattered =
                fun s k at t ->
                    let isLast = at.J % 16 = 15 && at.J < s.Columns.Outputs - 1

                    if isLast && t.V * s.Columns.Dilation >= s.Columns.Stride then
                        0f
                    else
                        honest.Scattered s k at t
        }
        |> Piece.ofOperators
            "q253-windows-cut-by-a-tile"
            "A transposed convolution goes in tiles of 16 input columns, and what their last window adds to the next tile is lost."

        { honest with
            FinishPixel = fun s b p sum -> if outputPadding s p >= 8 then Single.NaN else honest.FinishPixel s b p sum
        }
        |> Piece.ofOperators "q259-eight-rows-of-output-padding" "Output padding has room for eight rows, and the others are not written."
    ]

/// A fused convolution that is rectified where a rule says so: channel and column.
let private rectifiedWhere (rule: ConvShape -> int -> int -> bool) =
    around (Operation.Fused true) (fun subject s x k b ->
        subject.Operate (Operation.Fused false) s x k b
        |> Array.mapi (fun at z ->
            let o, j = at / positions s % s.OutChannels, at % s.Columns.Outputs
            if rule s o j then max 0f z else z))

/// Scale and shift as vectors of sixteen leave them.
let private shiftOfTheVectorBefore (s: ConvShape) (b: float32[]) =
    let o = s.OutChannels

    if o <= 64 then
        b
    else
        Array.init b.Length (fun at -> if at >= 2 * o && at % o >= o / 16 * 16 then b[at - 16] else b[at])

let private fused =
    [
        Piece.make
            (rectifiedWhere (fun s o _ -> o < s.OutChannelsPerGroup))
            "m245-activation-of-the-first-group"
            "The activation was applied to as many outputs as one group has."

        Piece.make
            (rectifiedWhere (fun s _ j -> s.Columns.Outputs < 64 || j < s.Columns.Outputs / 16 * 16))
            "q255-tail-not-rectified"
            "In rows of 64 and more outputs, those behind the last whole vector of 16 are not rectified."

        Piece.make
            (fun name ->
                let compute operation =
                    around operation (fun subject s x k b -> subject.Operate operation s x k (shiftOfTheVectorBefore s b)) name

                let plain, rectified = compute (Operation.Fused false), compute (Operation.Fused true)

                { plain with
                    Operate =
                        fun operation ->
                            if operation = Operation.Fused true then
                                rectified.Operate operation
                            else
                                plain.Operate operation
                })
            "q254-shift-of-the-vector-before"
            "Above 64 output channels, those behind the last whole vector of 16 are shifted like the ones before."
    ]

let private views =
    [
        { TextbookMemory.honest with
            InputView =
                fun s view ->
                    if view.Stride1 = 1 && view.Stride3 > s.InChannels then
                        let dense = TensorView.ChannelsLast(s.InChannels, s.Rows.Size, s.Columns.Size)
                        TensorView(view.Offset, dense.Stride0, dense.Stride1, dense.Stride2, dense.Stride3)
                    else
                        view
        }
        |> Piece.ofMemory
            "m220-slice-of-channels-last"
            "A slice of the channels of a tensor, channels last, was read as if it were a tensor of its own."

        { TextbookMemory.honest with
            InputView =
                fun s view ->
                    let image = s.InChannels * view.Stride1
                    let isChunk = view.Stride3 = 1 && view.Stride1 > 0 && view.Stride0 > image
                    TensorView(view.Offset, (if isChunk then image else view.Stride0), view.Stride1, view.Stride2, view.Stride3)
        }
        |> Piece.ofMemory
            "m221-images-of-a-chunk"
            "A chunk of the channels of a batch was read as if its images stood one behind the other: the first alone was right."

        { TextbookMemory.honest with
            InputView =
                fun s view ->
                    let whole = s.InChannels / 16 * 16

                    if view.Stride1 = 1 && view.Stride3 = s.InChannels && s.InChannels > 32 then
                        TensorView(view.Offset, view.Stride0, 1, view.Stride2, whole)
                    else
                        view
        }
        |> Piece.ofMemory
            "q258-pixels-of-whole-vectors"
            "Above 32 channels, channels last, the distance of two columns is taken for a whole number of vectors of 16."
    ]

let all = transposed @ fused @ views
