/// Faults of fast paths: tiles, im2col and packing, stale memory, layouts.
module internal Conv.Properties.AlgorithmPieces

open System
open Conv
open Conv.Properties.Textbook


let private dense3x3 (s: ConvShape) =
    s.Rows.Taps = 3
    && s.Columns.Taps = 3
    && s.Rows.Dilation = 1
    && s.Columns.Dilation = 1

/// Where a Winograd path is taken, which writes tiles of four by four.
let private winograd (s: ConvShape) = dense3x3 s && s.Rows.Stride = 1 && s.Columns.Stride = 1

let private tiles =
    [
        { honest with
            Computes =
                fun s at ->
                    let across = (s.Columns.Outputs + 3) / 4
                    not (winograd s) || at.I / 4 * across + at.J / 4 < across * across
        }
        |> Piece.ofOrgans
            "m167-square-image-assumed"
            "Winograd was wrong on images that are not square: the tiles across were taken for the tiles down."

        { honest with
            Computes = fun s _ -> not (winograd s && s.Rows.Outputs % 4 = 0 && s.Columns.Outputs % 4 = 0)
        }
        |> Piece.ofOrgans "m083-exact-tiles-lost" "Where there was no border to cut off, Winograd's result never reached the output."

        { honest with
            Computes =
                fun s at ->
                    not (winograd s)
                    || at.I < s.Rows.Outputs / 4 * 4 && at.J < s.Columns.Outputs / 4 * 4
        }
        |> Piece.ofOrgans "m107-whole-tiles-only" "A fused Winograd path was wrong and was reverted; here it counts whole tiles only."

        { honest with
            InputChannel = fun s at c -> if winograd s then c else honest.InputChannel s at c
        }
        |> Piece.ofOrgans
            "m126-winograd-with-groups"
            "The test of whether Winograd applies was inverted for groups, whose offset it does not know."

        { honest with
            InputRow = fun s at u -> if dense3x3 s then at.I + u - s.Rows.Before else honest.InputRow s at u
        }
        |> Piece.ofOrgans "m133-winograd-with-stride" "The automatic choice took Winograd for strided problems too."

        { honest with Counts = fun _ t -> t.U < 3 && t.V < 3 }
        |> Piece.ofOrgans "m164-three-taps-assumed" "The Winograd schedule took every kernel for 3×3."
    ]

let private pointwise (s: ConvShape) = s.Rows.Taps = 1 && s.Columns.Taps = 1

let private sameSize (s: ConvShape) =
    pointwise s
    && s.Rows.Outputs = s.Rows.Size
    && s.Columns.Outputs = s.Columns.Size

let private lastTap (s: ConvShape) (t: Tap) =
    t.C = s.InChannelsPerGroup - 1
    && t.U = s.Rows.Taps - 1
    && t.V = s.Columns.Taps - 1

let private packing =
    [
        { honest with
            InputRow = fun s at u -> if sameSize s then at.I else honest.InputRow s at u
            InputColumn = fun s at v -> if sameSize s then at.J else honest.InputColumn s at v
        }
        |> Piece.ofOrgans
            "m002-same-size-skips-im2col"
            "A 1×1 convolution whose output is as large as its input went to GEMM directly, whatever its stride and padding."

        { honest with
            InputColumn =
                fun s at v ->
                    if s.Columns.Size = 1 && s.Columns.Outputs = 1 then
                        v * s.Columns.Dilation
                    else
                        honest.InputColumn s at v
        }
        |> Piece.ofOrgans "m089-width-one" "The path for a width of one ignored the horizontal padding."

        { honest with
            OutputIndex = fun s at -> ((at.O * s.Batch + at.N) * s.Rows.Outputs + at.I) * s.Columns.Outputs + at.J
        }
        |> Piece.ofOrgans
            "m098-images-and-channels-exchanged"
            "The product of several images, channels first, was reshaped as images first."

        { honest with
            OutputIndex =
                fun s at ->
                    (at.N * int s.OutputPlane + at.I * s.Columns.Outputs + at.J) * s.OutChannels
                    + at.O
        }
        |> Piece.ofOrgans "m122-product-not-permuted" "The product, channels last, was reshaped without the permutation to channels first."

        { honest with Computes = fun _ at -> at.N = 0 }
        |> Piece.ofOrgans "m099-first-image-only" "The batch dimension was ignored."
    ]

let private memory =
    [
        { honest with
            ReadInput =
                fun p at c h w ->
                    let s = p.Shape

                    if h >= 0 && h < s.Rows.Size && w >= 0 && w < s.Columns.Size then
                        honest.ReadInput p at c h w
                    else
                        p.Input[abs (inputIndex s at.N c h w) % p.Input.Length]
        }
        |> Piece.ofOrgans
            "m178-stale-padding"
            "The padding in the buffer of a dilated convolution was never written; here it holds what the buffer held before."

        { honest with Start = fun p _ -> if pointwise p.Shape then Single.NaN else 0f }
        |> Piece.ofOrgans "m176-accumulates-on-the-output" "The GEMM of a 1×1 convolution added to an output that nobody had cleared."
    ]

let private layout =
    [
        { honest with
            ReadInput =
                fun p at c h w ->
                    let s = p.Shape

                    if s.InChannels = s.Rows.Size && s.Rows.Size = s.Columns.Size then
                        honest.ReadInput p at w c h
                    else
                        honest.ReadInput p at c h w
        }
        |> Piece.ofOrgans "m114-layout-guessed" "The layout was told from the sizes, and where C = H = W it was the wrong one."

        { honest with
            ReadInput =
                fun p at c h w ->
                    let s = p.Shape

                    if h >= 0 && h < s.Rows.Size && w >= 0 && w < s.Columns.Size then
                        p.Input[((at.N * s.InChannels + c) * int s.InputPlane + h * s.Rows.Size + w) % p.Input.Length]
                    else
                        0f
        }
        |> Piece.ofOrgans "s16-pitch-of-the-height" "The rows of the input are as far apart as the image is high."
    ]

let all = tiles @ packing @ memory @ layout
