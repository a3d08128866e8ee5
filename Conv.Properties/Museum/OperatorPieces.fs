/// Faults of transposed convolution and of fused epilogues.
module internal Conv.Properties.OperatorPieces

open System
open Conv
open Conv.Properties.Textbook
open Conv.Properties.TextbookAdjoint

let private honest = TextbookAdjoint.honest

/// Rows and columns behind the last full window: the output padding.
let private isOutputPadding (s: ConvShape) (p: Pixel) =
    p.H
    >= (s.Rows.Outputs - 1) * s.Rows.Stride + s.Rows.Extent
       - s.Rows.Before
       - s.Rows.After
    || p.W
       >= (s.Columns.Outputs - 1) * s.Columns.Stride + s.Columns.Extent
          - s.Columns.Before
          - s.Columns.After

let private transposed =
    [
        { honest with
            Target =
                fun s at t ->
                    // As the forward pass reads: i·s + u·d − p of the smaller side.
                    { honest.Target s at t with
                        H = at.I + t.U * s.Rows.Dilation - s.Rows.Before
                        W = at.J + t.V * s.Columns.Dilation - s.Columns.Before
                    }
        }
        |> Piece.ofOperators
            "m118-loops-of-a-forward-pass"
            "The loops of the transposed convolution were those of a forward one, which takes no stride on this side."

        { honest with
            FinishPixel = fun s b p sum -> honest.FinishPixel s b p (if isOutputPadding s p then 0f else sum)
        }
        |> Piece.ofOperators
            "m086-output-padding-filled"
            "Output padding was added after the computation, as zeros: taps that reach it were lost."

        { honest with
            Target =
                fun s at t ->
                    let p = honest.Target s at t

                    { p with
                        H = p.H + s.Rows.Before - s.Columns.Before
                        W = p.W + s.Columns.Before - s.Rows.Before
                    }
        }
        |> Piece.ofOperators "m075-pads-in-the-wrong-order" "Asymmetric pads of the transposed convolution came in the wrong order."

        { honest with
            Scattered = fun s k at t -> if at.N > 0 then 0f else honest.Scattered s k at t
        }
        |> Piece.ofOperators
            "m091-first-image-of-the-transposed"
            "Transposed convolution with its kernel as an input was wrong beyond the first image."

        { honest with
            Target = fun s at t -> { honest.Target s at t with Channel = t.C }
        }
        |> Piece.ofOperators
            "m166-channel-without-its-group"
            "The output channel of a grouped transposed convolution lacked the offset of its group."

        { honest with
            Scattered = fun s k at t -> k[kernelIndex s at.O t.C (s.Rows.Taps - 1 - t.U) (s.Columns.Taps - 1 - t.V)]
        }
        |> Piece.ofOperators "q08-transposed-kernel-flipped" "The kernel is flipped."

        { honest with
            FinishPixel = fun _ b p sum -> if b.Length = 0 then sum else sum + b[p.W % b.Length]
        }
        |> Piece.ofOperators
            "m121-bias-in-the-last-axis"
            "The bias of a transposed convolution was shaped for another rank: it ran along the last axis."
    ]

/// z = s·(y + b) + t by another rule.
let private affine rule =
    { honest with
        Epilogue =
            fun rectifies a sum ->
                let z = rule a sum
                if rectifies then max z 0f else z
    }

let private fused =
    [
        affine (fun a sum -> a.Scale * sum + a.Bias + a.Shift)
        |> Piece.ofOperators
            "m088-bias-not-scaled"
            "Folding batch normalisation into a convolution added the shift to the bias, which it did not scale."

        affine (fun a sum -> a.Scale * sum + a.Shift)
        |> Piece.ofOperators
            "m197-bias-left-out-of-the-fold"
            "Fusing a convolution with batch normalisation left the convolution's own bias out."

        affine (fun a sum -> a.Scale * (sum + a.Bias + a.Shift))
        |> Piece.ofOperators "m026-shift-before-the-scale" "An operand of the epilogue was added before the partial result was scaled."

        { honest with
            Epilogue =
                fun rectifies a sum ->
                    let y = sum + a.Bias
                    a.Scale * (if rectifies then max y 0f else y) + a.Shift
        }
        |> Piece.ofOperators "q09-rectified-before-the-affine-map" "The maximum with zero is taken before scale and shift."

        affine (fun a sum ->
            let y = sum + a.Bias
            let stored = BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits y &&& 0xFFFF0000u)
            a.Scale * stored + a.Shift)
        |> Piece.ofOperators "m043-stored-before-the-epilogue" "The fused result passed through bfloat16 between the sum and its epilogue."
    ]

let all = transposed @ fused
