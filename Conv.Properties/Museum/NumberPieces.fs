/// Faults of numbers: reduced precision, saturation, signs, refusals, and the kit's own formulas.
module Conv.Properties.NumberPieces

open System
open Conv
open Conv.Properties.Textbook

let private o, p, q = "O reduced precision", "P special values", "Q shape and validation"

/// Rounds to nearest even, without the given number of low bits.
let private without dropped (x: float32) =
    if not (Single.IsFinite x) then
        x
    else
        let bits = BitConverter.SingleToUInt32Bits x
        let half, odd = (1u <<< dropped - 1) - 1u, (bits >>> dropped) &&& 1u
        BitConverter.UInt32BitsToSingle((bits + half + odd) >>> dropped <<< dropped)

let private tf32, bf16 = without 13, without 16
let private f16 (x: float32) = float32 (Half.op_Explicit x: Half)

/// The weights of an output channel in steps of its largest one over 127.
let private quantised (p: Problem) (at: Place) (t: Tap) =
    let s = p.Shape
    let row = Span(p.Kernel, kernelIndex s at.O 0 0 0, int s.TermsPerOutput)
    let mutable most = 0f

    for weight in row do
        most <- max most (abs weight)

    let step = most / 127f
    if step = 0f then 0f else round (honest.ReadKernel p at t / step) * step

let private precision =
    [
        { honest with Accumulate = fun _ _ sum x k -> sum + tf32 x * tf32 k }
        |> Piece.ofOrgans
            o
            "m145-tf32-inputs"
            "pytorch/pytorch"
            "107514"
            "Convolutions ran in TF32 by default, which keeps 11 bits of each operand."
            [ "IMPULSE-KERNEL"; "COMPOSE"; "DELTA-KERNEL" ]

        { honest with Accumulate = fun _ _ sum x k -> bf16 (sum + x * k) }
        |> Piece.ofOrgans
            o
            "m123-bf16-accumulator"
            "huggingface/candle"
            "6faecaa61"
            "The compute type was bfloat16, whose sums keep 8 bits."
            [ "IMPULSE-KERNEL"; "COMPOSE"; "DELTA-KERNEL" ]

        { honest with Accumulate = fun _ _ sum x k -> f16 (sum + x * k) }
        |> Piece.ofOrgans
            o
            "m044-f16-accumulator"
            "uxlfoundation/oneDNN"
            "PR 5041"
            "A float16 convolution accumulated in float16."
            [ "IMPULSE-KERNEL"; "SCALE-POW2"; "ODD" ]

        { honest with
            Accumulate =
                fun _ _ sum x k ->
                    sum
                    + BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(x * k) &&& ~~~15u)
        }
        |> Piece.ofOrgans
            o
            "m029-low-bits-of-products"
            "oneapi-src/oneDNN"
            "301e6032f7"
            "A reference accumulated in a narrower type than its operands; here each product loses four bits."
            [ "IMPULSE-KERNEL"; "DELTA-KERNEL"; "SEPARABLE" ]

        { honest with ReadInput = fun p at c h w -> f16 (honest.ReadInput p at c h w) }
        |> Piece.slip o "s48-f16-inputs" 48 "The inputs are rounded to float16." [ "IMPULSE-KERNEL"; "SCALE-POW2"; "ODD" ]

        { honest with Finish = fun _ _ y -> y * (1f + 3e-6f) }
        |> Piece.slip o "s52-off-by-3e-6" 52 "The result is off by three millionths." [ "IMPULSE-KERNEL"; "FIGURE"; "ZERO-INPUT" ]

        { honest with Finish = fun _ _ y -> max -65504f (min 65504f y) }
        |> Piece.slip
            o
            "s53-saturates-at-65504"
            53
            "The result saturates at the largest float16."
            [ "IMPULSE-KERNEL"; "SCALE-POW2"; "ZERO-INPUT" ]

        { honest with Finish = fun _ _ y -> if abs y < 1e-3f then 0f else y }
        |> Piece.slip
            o
            "s54-small-outputs-flushed"
            54
            "Results below a thousandth become zero."
            [ "IMPULSE-KERNEL"; "SCALE-POW2"; "ZERO-INPUT" ]

        { honest with ReadKernel = quantised }
        |> Piece.ofOrgans
            o
            "q01-int8-weights"
            "textbook slip"
            "weights for an 8-bit path"
            "The weights are rounded to 127 steps of the channel's largest one."
            [ "LINEAR-KERNEL"; "FIGURE"; "COMPOSE" ]
    ]

/// What an integer comparison makes of max(y, −∞): the bits of a negative float32 order the wrong way.
let private clampAsIntegers (y: float32) =
    max (BitConverter.SingleToInt32Bits y) (BitConverter.SingleToInt32Bits Single.NegativeInfinity)
    |> BitConverter.Int32BitsToSingle

let private signs =
    [
        { honest with Finish = fun _ _ y -> clampAsIntegers y }
        |> Piece.ofOrgans
            p
            "m053-clamp-as-integers"
            "google/XNNPACK"
            "45434a285f"
            "The final clamp compared floats by their bits as integers, which orders negative ones backwards."
            [ "ODD"; "SCALE-POW2" ]

        { honest with Finish = fun _ _ y -> max 0f y }
        |> Piece.slip
            p
            "s43-relu-left-on"
            43
            "Negative results become zero: a fused activation is left on."
            [ "ODD"; "ZERO-INPUT"; "OFFSET-INPUT" ]

        { honest with ReadInput = fun p at c h w -> abs (honest.ReadInput p at c h w) }
        |> Piece.slip p "s45-unsigned-inputs" 45 "Inputs lose their sign." [ "ODD"; "MONOTONE"; "OFFSET-INPUT" ]

        { honest with ReadKernel = fun p at t -> abs (honest.ReadKernel p at t) }
        |> Piece.slip p "s46-unsigned-weights" 46 "Weights lose their sign." [ "ODD"; "COMPOSE" ]
    ]

let private refusals =
    [
        { honest with
            Accept =
                fun s ->
                    if s.StrideHeight > s.KernelExtentHeight || s.StrideWidth > s.KernelExtentWidth then
                        raise (ArgumentException "The stride exceeds the kernel.")
        }
        |> Piece.ofOrgans
            q
            "m150-stride-beyond-the-kernel"
            "tensorflow/tensorflow"
            "889"
            "A stride larger than the kernel was refused."
            [ "MONOTONE"; "SCALE-POW2"; "MODEL-EXACT" ]
    ]

/// The output size from what an axis adds up to, in place of ⌊(size + before + after − extent) / stride⌋ + 1.
let private sized axis (s: ConvShape) =
    struct (axis s.InHeight s.PadTop s.PadBottom s.KernelHeight s.StrideHeight s.DilationHeight
            |> int64,
            axis s.InWidth s.PadLeft s.PadRight s.KernelWidth s.StrideWidth s.DilationWidth
            |> int64)

let private honestSize (s: ConvShape) = struct (int64 s.OutHeight, int64 s.OutWidth)
let private honestCost (s: ConvShape) = s.MultiplyAdds

let private formulas =
    [
        (sized (fun size before after taps stride dilation -> (size + before + after - (taps - 1) * dilation - 1 + stride - 1) / stride + 1),
         honestCost)
        |> Piece.ofFormulas
            q
            "m078-output-size-rounded-up"
            "tinygrad/tinygrad"
            "17ef4af72c"
            "The division in the output size rounded up in one language and down in the other."
            [ "SHAPE-COUNT" ]

        (sized (fun size before after taps stride _ -> (size + before + after - taps) / stride + 1), honestCost)
        |> Piece.ofFormulas
            q
            "m162-dilation-not-in-the-extent"
            "onnx/tensorflow-onnx"
            "PR 1046"
            "Sizes were computed from the kernel without its dilation."
            [ "SHAPE-COUNT" ]

        (sized (fun size before _ taps stride dilation -> (size + 2 * before - (taps - 1) * dilation - 1) / stride + 1), honestCost)
        |> Piece.ofFormulas
            q
            "m160-first-pad-counted-twice"
            "onnx/onnx"
            "7721"
            "The inferred shape took the first pad for both, which strides and asymmetric pads show."
            [ "SHAPE-COUNT" ]

        (honestSize, fun (s: ConvShape) -> s.MultiplyAdds * int64 s.Groups)
        |> Piece.ofFormulas
            q
            "c01-cost-without-groups"
            "textbook slip"
            "cost of a grouped convolution"
            "The multiply-adds are counted as if every output saw every input channel."
            [ "COST"; "BLOCKS" ]

        (honestSize, fun (s: ConvShape) -> int64 s.Batch * int64 s.InHeight * int64 s.InWidth * s.KernelLength)
        |> Piece.ofFormulas
            q
            "c02-cost-by-input-size"
            "textbook slip"
            "cost of a strided convolution"
            "The multiply-adds are counted for each input pixel."
            [ "COST"; "BLOCKS" ]
    ]

let all = precision @ signs @ refusals @ formulas
