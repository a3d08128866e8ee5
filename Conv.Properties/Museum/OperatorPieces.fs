/// Faults of transposed convolution and of fused epilogues.
module Conv.Properties.OperatorPieces

open System
open Conv
open Conv.Properties.Textbook
open Conv.Properties.TextbookAdjoint

let private honest = TextbookAdjoint.honest
let private t, f, o = "T transposed", "F bias and fusion", "O reduced precision"
let private slip = "textbook slip"

/// Rows and columns behind the last full window: the output padding.
let private isOutputPadding (s: ConvShape) (p: Pixel) =
    p.H
    >= (s.OutHeight - 1) * s.StrideHeight + s.KernelExtentHeight
       - s.PadTop
       - s.PadBottom
    || p.W
       >= (s.OutWidth - 1) * s.StrideWidth + s.KernelExtentWidth - s.PadLeft - s.PadRight

let private transposed =
    [
        { honest with
            Target =
                fun s at t ->
                    // As the forward pass reads: i·s + u·d − p of the smaller side.
                    { honest.Target s at t with
                        H = at.I + t.U * s.DilationHeight - s.PadTop
                        W = at.J + t.V * s.DilationWidth - s.PadLeft
                    }
        }
        |> Piece.ofOperators
            t
            "m118-loops-of-a-forward-pass"
            "huggingface/candle"
            "ca26198b9"
            "The loops of the transposed convolution were those of a forward one, which takes no stride on this side."
            [ "TRANSPOSED" ]

        { honest with
            FinishPixel = fun s b p sum -> honest.FinishPixel s b p (if isOutputPadding s p then 0f else sum)
        }
        |> Piece.ofOperators
            t
            "m086-output-padding-filled"
            "Tencent/ncnn"
            "adfc8b25b"
            "Output padding was added after the computation, as zeros: taps that reach it were lost."
            [ "TRANSPOSED" ]

        { honest with
            Target =
                fun s at t ->
                    let p = honest.Target s at t

                    { p with H = p.H + s.PadTop - s.PadLeft; W = p.W + s.PadLeft - s.PadTop }
        }
        |> Piece.ofOperators
            t
            "m075-pads-in-the-wrong-order"
            "tinygrad/tinygrad"
            "6ea5df19b2"
            "Asymmetric pads of the transposed convolution came in the wrong order."
            [ "TRANSPOSED" ]

        { honest with
            Scattered = fun s k at t -> if at.N > 0 then 0f else honest.Scattered s k at t
        }
        |> Piece.ofOperators
            t
            "m091-first-image-of-the-transposed"
            "alibaba/MNN"
            "935f70e79"
            "Transposed convolution with its kernel as an input was wrong beyond the first image."
            [ "TRANSPOSED" ]

        { honest with
            Target = fun s at t -> { honest.Target s at t with Channel = t.C }
        }
        |> Piece.ofOperators
            t
            "m166-channel-without-its-group"
            "apache/tvm"
            "PR 10235"
            "The output channel of a grouped transposed convolution lacked the offset of its group."
            [ "TRANSPOSED" ]

        { honest with
            Scattered = fun s k at t -> k[kernelIndex s at.O t.C (s.KernelHeight - 1 - t.U) (s.KernelWidth - 1 - t.V)]
        }
        |> Piece.ofOperators
            t
            "q08-transposed-kernel-flipped"
            slip
            "a kernel flipped once too often"
            "The kernel is flipped."
            [ "TRANSPOSED" ]

        { honest with
            FinishPixel = fun _ b p sum -> if b.Length = 0 then sum else sum + b[p.W % b.Length]
        }
        |> Piece.ofOperators
            t
            "m121-bias-in-the-last-axis"
            "huggingface/candle"
            "3ba37443e"
            "The bias of a transposed convolution was shaped for another rank: it ran along the last axis."
            [ "TRANSPOSED" ]
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
            f
            "m088-bias-not-scaled"
            "Tencent/ncnn"
            "issue 1339"
            "Folding batch normalisation into a convolution added the shift to the bias, which it did not scale."
            [ "FUSED-AFFINE" ]

        affine (fun a sum -> a.Scale * sum + a.Shift)
        |> Piece.ofOperators
            f
            "m197-bias-left-out-of-the-fold"
            "ultralytics/yolov3"
            "PR 818"
            "Fusing a convolution with batch normalisation left the convolution's own bias out."
            [ "FUSED-AFFINE" ]

        affine (fun a sum -> a.Scale * (sum + a.Bias + a.Shift))
        |> Piece.ofOperators
            f
            "m026-shift-before-the-scale"
            "oneapi-src/oneDNN"
            "921f5a8089"
            "An operand of the epilogue was added before the partial result was scaled."
            [ "FUSED-AFFINE" ]

        { honest with
            Epilogue =
                fun rectifies a sum ->
                    let y = sum + a.Bias
                    a.Scale * (if rectifies then max y 0f else y) + a.Shift
        }
        |> Piece.ofOperators
            f
            "q09-rectified-before-the-affine-map"
            slip
            "the order of an epilogue"
            "The maximum with zero is taken before scale and shift."
            [ "FUSED-AFFINE" ]

        affine (fun a sum ->
            let y = sum + a.Bias
            let stored = BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits y &&& 0xFFFF0000u)
            a.Scale * stored + a.Shift)
        |> Piece.ofOperators
            o
            "m043-stored-before-the-epilogue"
            "uxlfoundation/oneDNN"
            "756"
            "The fused result passed through bfloat16 between the sum and its epilogue."
            [ "FUSED-AFFINE" ]
    ]

let all = transposed @ fused
