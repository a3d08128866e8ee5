/// Faults of numbers: reduced precision, saturation, signs, refusals, and the kit's own formulas.
module internal Conv.Properties.NumberPieces

open System
open Conv
open Conv.Properties.Textbook


/// Rounds to nearest even, without the given number of low bits.
let without dropped (x: float32) =
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
        |> Piece.ofOrgans "m145-tf32-inputs" "Convolutions ran in TF32 by default, which keeps 11 bits of each operand."

        { honest with Accumulate = fun _ _ sum x k -> bf16 (sum + x * k) }
        |> Piece.ofOrgans "m123-bf16-accumulator" "The compute type was bfloat16, whose sums keep 8 bits."

        { honest with Accumulate = fun _ _ sum x k -> f16 (sum + x * k) }
        |> Piece.ofOrgans "m044-f16-accumulator" "A float16 convolution accumulated in float16."

        { honest with
            Accumulate =
                fun _ _ sum x k ->
                    sum
                    + BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(x * k) &&& ~~~15u)
        }
        |> Piece.ofOrgans
            "m029-low-bits-of-products"
            "A reference accumulated in a narrower type than its operands; here each product loses four bits."

        { honest with ReadInput = fun p at c h w -> f16 (honest.ReadInput p at c h w) }
        |> Piece.ofOrgans "s48-f16-inputs" "The inputs are rounded to float16."

        { honest with Finish = fun _ _ y -> y * (1f + 3e-6f) }
        |> Piece.ofOrgans "s52-off-by-3e-6" "The result is off by three millionths."

        { honest with Finish = fun _ _ y -> max -65504f (min 65504f y) }
        |> Piece.ofOrgans "s53-saturates-at-65504" "The result saturates at the largest float16."

        { honest with Finish = fun _ _ y -> if abs y < 1e-3f then 0f else y }
        |> Piece.ofOrgans "s54-small-outputs-flushed" "Results below a thousandth become zero."

        { honest with ReadKernel = quantised }
        |> Piece.ofOrgans "q01-int8-weights" "The weights are rounded to 127 steps of the channel's largest one."
    ]

/// What an integer comparison makes of max(y, −∞): the bits of a negative float32 order the wrong way.
let private clampAsIntegers (y: float32) =
    max (BitConverter.SingleToInt32Bits y) (BitConverter.SingleToInt32Bits Single.NegativeInfinity)
    |> BitConverter.Int32BitsToSingle

let private signs =
    [
        { honest with Finish = fun _ _ y -> clampAsIntegers y }
        |> Piece.ofOrgans
            "m053-clamp-as-integers"
            "The final clamp compared floats by their bits as integers, which orders negative ones backwards."

        { honest with Finish = fun _ _ y -> max 0f y }
        |> Piece.ofOrgans "s43-relu-left-on" "Negative results become zero: a fused activation is left on."

        { honest with ReadInput = fun p at c h w -> abs (honest.ReadInput p at c h w) }
        |> Piece.ofOrgans "s45-unsigned-inputs" "Inputs lose their sign."

        { honest with ReadKernel = fun p at t -> abs (honest.ReadKernel p at t) }
        |> Piece.ofOrgans "s46-unsigned-weights" "Weights lose their sign."
    ]

let private refusals =
    [
        { honest with
            Accept =
                fun s ->
                    if s.Rows.Stride > s.Rows.Extent || s.Columns.Stride > s.Columns.Extent then
                        raise (ArgumentException "The stride exceeds the kernel.")
        }
        |> Piece.ofOrgans "m150-stride-beyond-the-kernel" "A stride larger than the kernel was refused."
    ]

/// The output size from what an axis adds up to, in place of ⌊(size + before + after − extent) / stride⌋ + 1.
let private sized axis (s: ConvShape) =
    struct (axis s.Rows.Size s.Rows.Before s.Rows.After s.Rows.Taps s.Rows.Stride s.Rows.Dilation
            |> int64,
            axis s.Columns.Size s.Columns.Before s.Columns.After s.Columns.Taps s.Columns.Stride s.Columns.Dilation
            |> int64)

let private honestSize (s: ConvShape) = struct (int64 s.Rows.Outputs, int64 s.Columns.Outputs)
let private honestCost (s: ConvShape) = s.MultiplyAdds

let private formulas =
    [
        (sized (fun size before after taps stride dilation -> (size + before + after - (taps - 1) * dilation - 1 + stride - 1) / stride + 1),
         honestCost)
        |> Piece.ofFormulas
            "m078-output-size-rounded-up"
            "The division in the output size rounded up in one language and down in the other."

        (sized (fun size before after taps stride _ -> (size + before + after - taps) / stride + 1), honestCost)
        |> Piece.ofFormulas "m162-dilation-not-in-the-extent" "Sizes were computed from the kernel without its dilation."

        (sized (fun size before _ taps stride dilation -> (size + 2 * before - (taps - 1) * dilation - 1) / stride + 1), honestCost)
        |> Piece.ofFormulas
            "m160-first-pad-counted-twice"
            "The inferred shape took the first pad for both, which strides and asymmetric pads show."

        (honestSize, fun (s: ConvShape) -> s.MultiplyAdds * int64 s.Groups)
        |> Piece.ofFormulas "q42-cost-without-groups" "The multiply-adds are counted as if every output saw every input channel."

        (honestSize, fun (s: ConvShape) -> int64 s.Batch * s.InputPlane * s.KernelLength)
        |> Piece.ofFormulas "q43-cost-by-input-size" "The multiply-adds are counted for each input pixel."
    ]

let all = precision @ signs @ refusals @ formulas
