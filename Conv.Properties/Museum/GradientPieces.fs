/// Faults of the gradients of input, kernel and bias.
module Conv.Properties.GradientPieces

open System
open Conv
open Conv.Properties.Textbook
open Conv.Properties.TextbookAdjoint

let private honest = TextbookAdjoint.honest
let private r, s, o = "R backward data", "S backward weights and bias", "O reduced precision"
let private slip = "textbook slip"

/// The honest place, with another rule for the rows.
let private meetsRow rule =
    fun (s: ConvShape) p u v ->
        let column = meeting p.W v s.StrideWidth s.DilationWidth s.PadLeft s.OutWidth

        match rule s p u v, column with
        | ValueSome i, ValueSome j when i >= 0 && i < s.OutHeight -> ValueSome(struct (i, j))
        | _ -> ValueNone

let private row (s: ConvShape) p u = meeting p.H u s.StrideHeight s.DilationHeight s.PadTop s.OutHeight

let private input =
    [
        { honest with
            Meets = meetsRow (fun s p u v -> row s p u |> ValueOption.map (fun i -> if v > 0 then i / s.StrideHeight else i))
        }
        |> Piece.ofOperators
            r
            "m003-row-changed-by-the-columns"
            "oneapi-src/oneDNN"
            "4792aefd06"
            "The loop over columns of the kernel divided the row by the stride, again for each column."
            [ "ADJOINT-INPUT"; "BACKWARD-IMPULSE"; "BACKWARD-INPUT-AS-CONV" ]

        { honest with
            Meets =
                meetsRow (fun s p u _ ->
                    let from = p.H + s.PadTop - u * s.DilationHeight
                    if from < 0 then ValueNone else ValueSome(from / s.StrideHeight))
        }
        |> Piece.ofOperators
            r
            "m005-phase-not-tested"
            "oneapi-src/oneDNN"
            "0c1cf54b63"
            "Backward data did not step by the stride: rows between two windows met the one above."
            [ "ADJOINT-INPUT"; "BACKWARD-IMPULSE"; "TRIPLE-PRODUCT" ]

        { honest with
            Meets =
                meetsRow (fun s p u _ ->
                    // The first row that the tap meets is the residue of its distance to the image.
                    let first = abs ((u * s.DilationHeight - s.PadTop) % s.StrideHeight)

                    let from = p.H + s.PadTop - u * s.DilationHeight

                    if from >= 0 && (p.H - first) % s.StrideHeight = 0 then
                        ValueSome(from / s.StrideHeight)
                    else
                        ValueNone)
        }
        |> Piece.ofOperators
            r
            "m006-residue-without-its-sign"
            "oneapi-src/oneDNN"
            "98d27ef538"
            "A negative remainder was made positive by abs, not by adding the modulus."
            [ "ADJOINT-INPUT"; "BACKWARD-IMPULSE"; "BACKWARD-INPUT-AS-CONV" ]

        { honest with
            Meets = meetsRow (fun s p u _ -> meeting p.H u s.StrideHeight s.DilationHeight s.PadLeft s.OutHeight)
        }
        |> Piece.ofOperators
            r
            "m068-left-pad-for-rows"
            "tensorflow/tfjs"
            "c6a695066"
            "The gradient of the input took the left pad for rows too."
            [ "ADJOINT-INPUT"; "BACKWARD-IMPULSE"; "BACKWARD-INPUT-AS-CONV" ]

        { honest with
            StorePixel = fun s p -> ((p.Image * s.InHeight + p.H) * s.InWidth + p.W) * s.InChannels + p.Channel
        }
        |> Piece.ofOperators
            r
            "m067-gradient-in-another-layout"
            "tensorflow/tfjs"
            "e2493368f"
            "The gradient was written in sequence, not by the strides of its layout."
            [ "ADJOINT-INPUT"; "BACKWARD-IMPULSE"; "BACKWARD-INPUT-AS-CONV" ]

        { honest with
            Reaching =
                fun s p ->
                    if s.Groups > 1 && s.StrideHeight * s.StrideWidth > 1 then
                        struct (0, s.OutChannelsPerGroup)
                    else
                        honest.Reaching s p
        }
        |> Piece.ofOperators
            r
            "m104-grouped-strided-falls-through"
            "ml-explore/mlx"
            "7a1d4f5c1"
            "The gradient of a grouped convolution with a stride fell through to kernels that know no groups."
            [ "ADJOINT-INPUT"; "BACKWARD-INPUT-AS-CONV" ]

        { honest with
            Meets =
                fun s p u v ->
                    match honest.Meets s p u v with
                    | ValueSome _ when s.KernelHeight = 1 && s.KernelWidth = 1 ->
                        // The unstrided index, kept within the gradient.
                        ValueSome(struct (min p.H (s.OutHeight - 1), min p.W (s.OutWidth - 1)))
                    | place -> place
        }
        |> Piece.ofOperators
            r
            "m142-pointwise-at-the-unstrided-index"
            "pytorch/pytorch"
            "63314"
            "The gradient of a strided 1×1 convolution read dY where there is no stride."
            [ "ADJOINT-INPUT"; "BACKWARD-INPUT-AS-CONV" ]

        { honest with
            Meets = fun s p u v -> if s.PadTop + s.PadLeft > 0 then ValueNone else honest.Meets s p u v
        }
        |> Piece.ofOperators
            r
            "m200-no-gradient-with-padding"
            "tiny-dnn/tiny-dnn"
            "PR 415"
            "With padding no gradient ever reached the input."
            [ "ADJOINT-INPUT"; "BACKWARD-IMPULSE"; "TRIPLE-PRODUCT" ]
    ]

let private bf16 (x: float32) = BitConverter.UInt32BitsToSingle((BitConverter.SingleToUInt32Bits x + 0x8000u) &&& 0xFFFF0000u)

let private kernel =
    [
        { honest with
            Counts = fun s at -> s.StrideHeight = 1 || at.I < s.OutHeight - 1 || s.OutHeight = 1
        }
        |> Piece.ofOperators
            s
            "m024-last-row-of-the-chunk"
            "oneapi-src/oneDNN"
            "25d3df1fc5"
            "With a stride, rows were counted from the start of a chunk of work; here the last one is lost."
            [ "ADJOINT-KERNEL"; "BACKWARD-KERNEL-AS-CONV"; "TRIPLE-PRODUCT" ]

        { honest with
            StoreTap =
                fun s o t ->
                    // Group innermost, where the kernel has it outermost.
                    let g, o = o / s.OutChannelsPerGroup, o % s.OutChannelsPerGroup
                    kernelIndex s (o * s.Groups + g) t.C t.U t.V
        }
        |> Piece.ofOperators
            s
            "m141-groups-of-the-gradient"
            "pytorch/pytorch"
            "51430"
            "The gradient of a grouped kernel came with groups and channels in the wrong order."
            [ "ADJOINT-KERNEL"; "BACKWARD-KERNEL-AS-CONV"; "TRIPLE-PRODUCT" ]

        { honest with Counts = fun _ at -> at.N = 0 }
        |> Piece.ofOperators
            s
            "q02-gradient-of-the-first-image"
            slip
            "sum over the batch"
            "The gradient of the kernel sums over the first image alone."
            [ "ADJOINT-KERNEL"; "BACKWARD-KERNEL-AS-CONV" ]

        { honest with
            Reading =
                { Textbook.honest with
                    InputRow = fun s at u -> at.I * s.DilationHeight + u * s.StrideHeight - s.PadTop
                }
        }
        |> Piece.ofOperators
            s
            "q03-stride-for-dilation"
            slip
            "stride and dilation of the gradient"
            "The gradient of the kernel exchanges stride and dilation of the rows, though it reads the forward pass's input."
            [ "ADJOINT-KERNEL"; "BACKWARD-KERNEL-AS-CONV"; "TRIPLE-PRODUCT" ]

        { honest with
            FinishKernel = fun s sum -> if s.Batch = 0 then Single.NaN else sum
        }
        |> Piece.ofOperators
            s
            "m180-gradient-of-no-images"
            "FluxML/NNlib.jl"
            "PR 763"
            "For a batch of no images the gradient of the kernel was never written."
            [ "EMPTY-BACKWARD" ]

        { honest with
            FinishKernel = fun s sum -> sum / float32 s.Batch * float32 s.Batch
        }
        |> Piece.ofOperators
            s
            "q04-mean-over-the-batch"
            slip
            "a mean, taken back"
            "The gradient is averaged over the batch and multiplied back: NaN for no images, and rounded for three."
            [ "EMPTY-BACKWARD" ]

        { honest with Accumulate = fun sum x dy -> bf16 (sum + x * dy) }
        |> Piece.ofOperators
            o
            "q05-bf16-batch-sum"
            slip
            "accumulation across the batch"
            "The gradient of the kernel accumulates in bfloat16."
            [ "PRECISION-BATCH-SUM"; "ADJOINT-KERNEL" ]
    ]

let private bias =
    [
        { honest with
            SumBias = fun s _ _ -> float32 (s.Batch * s.OutHeight * s.OutWidth)
        }
        |> Piece.ofOperators
            s
            "m111-count-for-a-gradient"
            "tracel-ai/burn"
            "a74e4cd0b"
            "The gradient of the bias was the number of outputs."
            [ "ADJOINT-BIAS" ]

        { honest with
            SumBias = fun s dy o -> honest.SumBias (if s.Batch > 1 then s.With(batch = 1) else s) dy o
        }
        |> Piece.ofOperators
            s
            "q06-bias-of-the-first-image"
            slip
            "sum over the batch"
            "The gradient of the bias sums over the first image alone."
            [ "ADJOINT-BIAS" ]

        { honest with
            SumBias = fun s dy o -> if s.Batch = 0 then Single.NaN else honest.SumBias s dy o
        }
        |> Piece.ofOperators
            s
            "q07-bias-of-no-images"
            slip
            "the gradient of an empty batch"
            "For a batch of no images the gradient of the bias is never written."
            [ "EMPTY-BACKWARD" ]
    ]

let all = input @ kernel @ bias
