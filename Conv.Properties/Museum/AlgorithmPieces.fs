/// Faults of fast paths: tiles, im2col and packing, stale memory, layouts.
module Conv.Properties.AlgorithmPieces

open System
open Conv
open Conv.Properties.Textbook

let private h, i, j, k = "H fast-algorithm tiles", "I im2col and packing", "J stale memory", "K layout"

let private dense3x3 (s: ConvShape) =
    s.KernelHeight = 3
    && s.KernelWidth = 3
    && s.DilationHeight = 1
    && s.DilationWidth = 1

/// Where a Winograd path is taken, which writes tiles of four by four.
let private winograd (s: ConvShape) = dense3x3 s && s.StrideHeight = 1 && s.StrideWidth = 1

let private tiles =
    [
        { honest with
            Computes =
                fun s at ->
                    let across = (s.OutWidth + 3) / 4
                    not (winograd s) || at.I / 4 * across + at.J / 4 < across * across
        }
        |> Piece.ofOrgans
            h
            "m167-square-image-assumed"
            "apache/tvm"
            "7090"
            "Winograd was wrong on images that are not square: the tiles across were taken for the tiles down."
            [ "STRIDE-SUBSAMPLE" ]

        { honest with
            Computes = fun s _ -> not (winograd s && s.OutHeight % 4 = 0 && s.OutWidth % 4 = 0)
        }
        |> Piece.ofOrgans
            h
            "m083-exact-tiles-lost"
            "Tencent/ncnn"
            "e9c890ad8"
            "Where there was no border to cut off, Winograd's result never reached the output."
            [ "COMPOSE"; "DILATE-PHASE" ]

        { honest with
            Computes = fun s at -> not (winograd s) || at.I < s.OutHeight / 4 * 4 && at.J < s.OutWidth / 4 * 4
        }
        |> Piece.ofOrgans
            h
            "m107-whole-tiles-only"
            "ml-explore/mlx"
            "71de73a66"
            "A fused Winograd path was wrong and was reverted; here it counts whole tiles only."
            [ "PERMUTE-OUT"; "STRIDE-SUBSAMPLE"; "MODEL-EXACT" ]

        { honest with
            InputChannel = fun s at c -> if winograd s then c else honest.InputChannel s at c
        }
        |> Piece.ofOrgans
            h
            "m126-winograd-with-groups"
            "ROCm/MIOpen"
            "8e9069132"
            "The test of whether Winograd applies was inverted for groups, whose offset it does not know."
            [ "STRIDE-SUBSAMPLE"; "DILATE-PHASE"; "MODEL-EXACT" ]

        { honest with
            InputRow = fun s at u -> if dense3x3 s then at.I + u - s.PadTop else honest.InputRow s at u
        }
        |> Piece.ofOrgans
            h
            "m133-winograd-with-stride"
            "Maratyszcza/NNPACK"
            "cd0b3e4"
            "The automatic choice took Winograd for strided problems too."
            [ "KERNEL-ZEROBORDER"; "SHIFT"; "STRIDE-SUBSAMPLE" ]

        { honest with Counts = fun _ t -> t.U < 3 && t.V < 3 }
        |> Piece.ofOrgans
            h
            "m164-three-taps-assumed"
            "apache/tvm"
            "PR 4276"
            "The Winograd schedule took every kernel for 3×3."
            [ "KERNEL-ZEROBORDER"; "DILATE-ZEROSTUFF" ]

        { honest with
            InputRow =
                fun s at u ->
                    if winograd s then
                        at.I / 4 * 2 + at.I % 4 + u - s.PadTop
                    else
                        honest.InputRow s at u
        }
        |> Piece.ofOrgans
            h
            "m173-tile-step-of-two"
            "adam-dziedzic/winograd"
            "1"
            "The tiles of F(4,3) advanced by two, which is right for F(2,3)."
            [ "COMPOSE"; "DILATE-PHASE"; "STRIDE-SUBSAMPLE" ]
    ]

let private pointwise (s: ConvShape) = s.KernelHeight = 1 && s.KernelWidth = 1
let private sameSize (s: ConvShape) = pointwise s && s.OutHeight = s.InHeight && s.OutWidth = s.InWidth

let private lastTap (s: ConvShape) (t: Tap) =
    t.C = s.InChannelsPerGroup - 1
    && t.U = s.KernelHeight - 1
    && t.V = s.KernelWidth - 1

let private packing =
    [
        { honest with
            InputRow = fun s at u -> if sameSize s then at.I else honest.InputRow s at u
            InputColumn = fun s at v -> if sameSize s then at.J else honest.InputColumn s at v
        }
        |> Piece.ofOrgans
            i
            "m002-same-size-skips-im2col"
            "oneapi-src/oneDNN"
            "ef9993c254"
            "A 1×1 convolution whose output is as large as its input went to GEMM directly, whatever its stride and padding."
            [ "TAP-SUM"; "POINTWISE-MATMUL" ]

        { honest with
            InputColumn =
                fun s at v ->
                    if s.InWidth = 1 && s.OutWidth = 1 then
                        v * s.DilationWidth
                    else
                        honest.InputColumn s at v
        }
        |> Piece.ofOrgans
            i
            "m089-width-one"
            "alibaba/MNN"
            "361bbc90d"
            "The path for a width of one ignored the horizontal padding."
            [ "TRANSPOSE-HW"; "KERNEL-ZEROBORDER"; "FLIP" ]

        { honest with
            Accumulate = fun s t sum x k -> if lastTap s t then sum * x + k else sum + x * k
        }
        |> Piece.ofOrgans
            i
            "m052-operands-of-madd"
            "google/XNNPACK"
            "cc81b21ef5"
            "A multiply-add was called with its operands in the wrong order, as sum·a + b."
            [ "POINTWISE-MATMUL"; "MONOTONE"; "FIGURE" ]

        { honest with
            OutputIndex = fun s at -> ((at.O * s.Batch + at.N) * s.OutHeight + at.I) * s.OutWidth + at.J
        }
        |> Piece.ofOrgans
            i
            "m098-images-and-channels-exchanged"
            "ggml-org/ggml"
            "25cc1d5d"
            "The product of several images, channels first, was reshaped as images first."
            [ "POINTWISE-MATMUL"; "BATCH-CONCAT"; "OUT-STACK" ]

        { honest with
            OutputIndex =
                fun s at ->
                    (at.N * s.OutHeight * s.OutWidth + at.I * s.OutWidth + at.J) * s.OutChannels
                    + at.O
        }
        |> Piece.ofOrgans
            i
            "m122-product-not-permuted"
            "huggingface/candle"
            "4f18180fc"
            "The product, channels last, was reshaped without the permutation to channels first."
            [ "POINTWISE-MATMUL"; "FIGURE"; "OUT-STACK"; "DUPLICATE-FILTER" ]

        { honest with Computes = fun _ at -> at.N = 0 }
        |> Piece.ofOrgans
            i
            "m099-first-image-only"
            "ggml-org/ggml"
            "13e2fa69"
            "The batch dimension was ignored."
            [ "POINTWISE-MATMUL"; "MONOTONE"; "SCALE-POW2" ]

        { honest with
            ReadKernel =
                fun p at t ->
                    if p.Shape.OutChannels = p.Shape.InChannelsPerGroup then
                        p.Kernel[kernelIndex p.Shape t.C at.O t.U t.V]
                    else
                        honest.ReadKernel p at t
        }
        |> Piece.ofOrgans
            i
            "m085-raw-weights"
            "Tencent/ncnn"
            "eced9c81c"
            "A kernel that expects packed weights was given the raw ones; here they are transposed where the matrix is square."
            [ "POINTWISE-MATMUL"; "OUT-STACK"; "BATCH-AS-GROUPS" ]

        { honest with
            InputChannel = fun s at c -> honest.InputChannel s at (if s.OutHeight = 1 then c % 8 else c)
        }
        |> Piece.ofOrgans
            i
            "m046-first-block-reused"
            "google/XNNPACK"
            "7a161070f3"
            "With a single output row the wrong pointer advanced, and the first block of channels was read again."
            [ "CHANNEL-SUM"; "SHIFT"; "GROUP-BLOCKDIAG" ]

        { honest with
            Start = fun p at -> if at.O % 2 = 1 then sum honest p { at with O = at.O - 1 } else 0f
        }
        |> Piece.ofOrgans
            i
            "m058-neighbour-accumulator"
            "google/XNNPACK"
            "e7e001f2a8"
            "The second accumulator was continued from the first."
            [ "POINTWISE-MATMUL"; "FIGURE"; "OUT-STACK" ]
    ]

let private memory =
    [
        { honest with
            ReadInput =
                fun p at c h w ->
                    let s = p.Shape

                    if h >= 0 && h < s.InHeight && w >= 0 && w < s.InWidth then
                        honest.ReadInput p at c h w
                    else
                        p.Input[abs (inputIndex s at.N c h w) % p.Input.Length]
        }
        |> Piece.ofOrgans
            j
            "m178-stale-padding"
            "FluxML/NNlib.jl"
            "44"
            "The padding in the buffer of a dilated convolution was never written; here it holds what the buffer held before."
            [ "PAD-EXPLICIT"; "BATCH-CONCAT"; "TRAILING-UNUSED" ]

        { honest with Start = fun p _ -> if pointwise p.Shape then Single.NaN else 0f }
        |> Piece.ofOrgans
            j
            "m176-accumulates-on-the-output"
            "ARM-software/ComputeLibrary"
            "PR 395"
            "The GEMM of a 1×1 convolution added to an output that nobody had cleared."
            [ "PAD-EXPLICIT"; "MONOTONE"; "SCALE-POW2" ]
    ]

let private layout =
    [
        { honest with
            ReadInput =
                fun p at c h w ->
                    let s = p.Shape

                    if s.InChannels = s.InHeight && s.InHeight = s.InWidth then
                        honest.ReadInput p at w c h
                    else
                        honest.ReadInput p at c h w
        }
        |> Piece.ofOrgans
            k
            "m114-layout-guessed"
            "huggingface/candle"
            "bf9e950cd"
            "The layout was told from the sizes, and where C = H = W it was the wrong one."
            [ "SCALE-POW2"; "SHIFT" ]

        { honest with
            ReadInput =
                fun p at c h w ->
                    let s = p.Shape

                    if h >= 0 && h < s.InHeight && w >= 0 && w < s.InWidth then
                        p.Input[((at.N * s.InChannels + c) * s.InHeight * s.InWidth + h * s.InHeight + w) % p.Input.Length]
                    else
                        0f
        }
        |> Piece.slip
            k
            "s16-pitch-of-the-height"
            16
            "The rows of the input are as far apart as the image is high."
            [ "TRANSPOSE-HW"; "BATCH-CONCAT"; "SHIFT" ]
    ]

let all = tiles @ packing @ memory @ layout
