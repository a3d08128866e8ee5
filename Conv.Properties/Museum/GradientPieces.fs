/// Faults of the gradients of input, kernel and bias.
module internal Conv.Properties.GradientPieces

open System
open Conv
open Conv.Properties.Textbook
open Conv.Properties.TextbookAdjoint

let private honest = TextbookAdjoint.honest

/// The honest place, with another rule for the rows.
let private meetsRow rule =
    fun (s: ConvShape) p u v ->
        let column = meeting p.W v s.Columns.Stride s.Columns.Dilation s.Columns.Before s.Columns.Outputs

        match rule s p u v, column with
        | ValueSome i, ValueSome j when i >= 0 && i < s.Rows.Outputs -> ValueSome(struct (i, j))
        | _ -> ValueNone

let private row (s: ConvShape) p u = meeting p.H u s.Rows.Stride s.Rows.Dilation s.Rows.Before s.Rows.Outputs

let private input =
    [
        { honest with
            Meets = meetsRow (fun s p u v -> row s p u |> ValueOption.map (fun i -> if v > 0 then i / s.Rows.Stride else i))
        }
        |> Piece.ofOperators
            "m003-row-changed-by-the-columns"
            "The loop over columns of the kernel divided the row by the stride, again for each column."

        { honest with
            Meets =
                meetsRow (fun s p u _ ->
                    let from = p.H + s.Rows.Before - u * s.Rows.Dilation
                    if from < 0 then ValueNone else ValueSome(from / s.Rows.Stride))
        }
        |> Piece.ofOperators "m005-phase-not-tested" "Backward data did not step by the stride: rows between two windows met the one above."

        { honest with
            Meets =
                meetsRow (fun s p u _ ->
                    // The first row that the tap meets is the residue of its distance to the image.
                    let first = abs ((u * s.Rows.Dilation - s.Rows.Before) % s.Rows.Stride)

                    let from = p.H + s.Rows.Before - u * s.Rows.Dilation

                    if from >= 0 && (p.H - first) % s.Rows.Stride = 0 then
                        ValueSome(from / s.Rows.Stride)
                    else
                        ValueNone)
        }
        |> Piece.ofOperators "m006-residue-without-its-sign" "A negative remainder was made positive by abs, not by adding the modulus."

        { honest with
            Meets = meetsRow (fun s p u _ -> meeting p.H u s.Rows.Stride s.Rows.Dilation s.Columns.Before s.Rows.Outputs)
        }
        |> Piece.ofOperators "m068-left-pad-for-rows" "The gradient of the input took the left pad for rows too."

        { honest with
            StorePixel =
                fun s p ->
                    ((p.Image * s.Rows.Size + p.H) * s.Columns.Size + p.W) * s.InChannels
                    + p.Channel
        }
        |> Piece.ofOperators "m067-gradient-in-another-layout" "The gradient was written in sequence, not by the strides of its layout."

        { honest with
            Reaching =
                fun s p ->
                    if s.Groups > 1 && s.Rows.Stride * s.Columns.Stride > 1 then
                        struct (0, s.OutChannelsPerGroup)
                    else
                        honest.Reaching s p
        }
        |> Piece.ofOperators
            "m104-grouped-strided-falls-through"
            "The gradient of a grouped convolution with a stride fell through to kernels that know no groups."

        { honest with
            Meets =
                fun s p u v ->
                    match honest.Meets s p u v with
                    | ValueSome _ when s.Rows.Taps = 1 && s.Columns.Taps = 1 ->
                        // The unstrided index, kept within the gradient.
                        ValueSome(struct (min p.H (s.Rows.Outputs - 1), min p.W (s.Columns.Outputs - 1)))
                    | place -> place
        }
        |> Piece.ofOperators
            "m142-pointwise-at-the-unstrided-index"
            "The gradient of a strided 1×1 convolution read dY where there is no stride."

        { honest with
            Meets =
                meetsRow (fun s p u _ ->
                    // The first output row is a quotient, and without a sign a numerator below zero is enormous.
                    let corner = p.H + s.Rows.Before - (s.Rows.Taps - 1) * s.Rows.Dilation
                    let first = uint32 corner / uint32 s.Rows.Stride

                    row s p u
                    |> ValueOption.filter (fun i -> s.Rows.Stride = 1 || uint32 i >= first))
        }
        |> Piece.ofOperators
            "m066-first-row-unsigned"
            "With a stride, the first output row that meets a pixel was computed without a sign: near the top edge there was none."

        { honest with
            Meets = fun s p u v -> if s.Rows.Before + s.Columns.Before > 0 then ValueNone else honest.Meets s p u v
        }
        |> Piece.ofOperators "m200-no-gradient-with-padding" "With padding no gradient ever reached the input."
    ]

let private bf16 (x: float32) = BitConverter.UInt32BitsToSingle((BitConverter.SingleToUInt32Bits x + 0x8000u) &&& 0xFFFF0000u)

let private kernel =
    [
        { honest with
            Counts = fun s at -> s.Rows.Stride = 1 || at.I < s.Rows.Outputs - 1 || s.Rows.Outputs = 1
        }
        |> Piece.ofOperators
            "m024-last-row-of-the-chunk"
            "With a stride, rows were counted from the start of a chunk of work; here the last one is lost."

        { honest with
            StoreTap =
                fun s o t ->
                    // Group innermost, where the kernel has it outermost.
                    let g, o = o / s.OutChannelsPerGroup, o % s.OutChannelsPerGroup
                    kernelIndex s (o * s.Groups + g) t.C t.U t.V
        }
        |> Piece.ofOperators
            "m141-groups-of-the-gradient"
            "The gradient of a grouped kernel came with groups and channels in the wrong order."

        { honest with Counts = fun s at -> at.N = s.Batch - 1 }
        |> Piece.ofOperators
            "m008-cleared-by-every-image"
            "The flag that clears the gradient of the kernel was tested the wrong way: every image but the first cleared it."

        { honest with Counts = fun _ at -> at.N = 0 }
        |> Piece.ofOperators "q02-gradient-of-the-first-image" "The gradient of the kernel sums over the first image alone."

        { honest with
            Reading =
                { Textbook.honest with
                    InputRow = fun s at u -> at.I * s.Rows.Dilation + u * s.Rows.Stride - s.Rows.Before
                }
        }
        |> Piece.ofOperators
            "q03-stride-for-dilation"
            "The gradient of the kernel exchanges stride and dilation of the rows, though it reads the forward pass's input."

        { honest with
            FinishKernel = fun s sum -> if s.Batch = 0 then Single.NaN else sum
        }
        |> Piece.ofOperators "m180-gradient-of-no-images" "For a batch of no images the gradient of the kernel was never written."

        { honest with
            FinishKernel = fun s sum -> sum / float32 s.Batch * float32 s.Batch
        }
        |> Piece.ofOperators
            "q04-mean-over-the-batch"
            "The gradient is averaged over the batch and multiplied back: NaN for no images, and rounded for three."

        { honest with Accumulate = fun sum x dy -> bf16 (sum + x * dy) }
        |> Piece.ofOperators "q05-bf16-batch-sum" "The gradient of the kernel accumulates in bfloat16."
    ]

let private bias =
    [
        { honest with SumBias = fun s _ _ -> float32 (s.Batch * int s.OutputPlane) }
        |> Piece.ofOperators "m111-count-for-a-gradient" "The gradient of the bias was the number of outputs."

        { honest with
            SumBias = fun s dy o -> honest.SumBias (if s.Batch > 1 then s.With(batch = 1) else s) dy o
        }
        |> Piece.ofOperators "q06-bias-of-the-first-image" "The gradient of the bias sums over the first image alone."

        { honest with
            SumBias = fun s dy o -> if s.Batch = 0 then Single.NaN else honest.SumBias s dy o
        }
        |> Piece.ofOperators "q07-bias-of-no-images" "For a batch of no images the gradient of the bias is never written."
    ]

let all = input @ kernel @ bias
