/// Fast paths of the forward pass that are taken above a size: long sums, many channels, large planes, strides, dilations and pads.
module internal Conv.Properties.ReachPieces

open System
open Conv
open Conv.Properties.Textbook

let tf32 x = NumberPieces.without 13 x
let bf16 x = NumberPieces.without 16 x
let f16 (x: float32) = float32 (Half.op_Explicit x: Half)

/// The number of a tap among the terms of a sum.
let term (s: ConvShape) (t: Tap) = (t.C * s.Rows.Taps + t.U) * s.Columns.Taps + t.V

/// x at a place of a plane that may be outside of it: what stands there in memory.
let unbounded (p: Problem) n c h w =
    let at = inputIndex p.Shape n c h w
    if at >= 0 && at < p.Input.Length then p.Input[at] else 0f

let isInside (s: ConvShape) h w = h >= 0 && h < s.Rows.Size && w >= 0 && w < s.Columns.Size
let private positions (s: ConvShape) = int s.OutputPlane

let private sums =
    [
        { honest with
            Counts =
                fun s t ->
                    s.Rows.Size > 1
                    || s.Rows.Taps > 1
                    || s.TermsPerOutput <= 1024L
                    || term s t < 1024
        }
        |> Piece.ofOrgans
            "q209-one-row-of-long-sums"
            "An image of one row is multiplied as a matrix, whose buffer has room for 1,024 terms: the others are left out."

        { honest with
            Accumulate =
                fun s _ sum x k ->
                    if s.OutChannels >= 64 && s.TermsPerOutput >= 64L && positions s >= 64 then
                        sum + tf32 x * tf32 k
                    else
                        sum + x * k
        }
        |> Piece.ofOrgans "q212-tf32-in-large-products" "Matrix products of 64 or more in each dimension keep 11 bits of their operands."

        { honest with
            Accumulate =
                fun s t sum x k ->
                    let terms = int s.TermsPerOutput

                    if terms >= 576 && term s t % (terms / 4) = 0 then
                        f16 sum + x * k
                    else
                        sum + x * k
        }
        |> Piece.ofOrgans "q219-f16-between-parts" "Sums of 576 terms or more are split in four parts, between which they are float16."

        { honest with
            Counts =
                fun s t ->
                    let terms = int s.TermsPerOutput
                    terms <= 512 || terms % 512 > 3 || term s t < terms / 512 * 512
        }
        |> Piece.ofOrgans
            "q236-tail-of-three-behind-512"
            "Sums go in blocks of 512 terms and vectors of four, and up to three terms behind the last block are left out."

        { honest with
            Computes = fun s _ -> 4L * s.TermsPerOutput * int64 (positions s) <= (1L <<< 20)
        }
        |> Piece.ofOrgans
            "q223-patches-beyond-a-megabyte"
            "Where the patches of an image take more than a megabyte, nothing is written, and nobody is told."
    ]

let private channels =
    [
        { honest with
            InputChannel =
                fun s at c ->
                    let four = s.InChannelsPerGroup = 4 && s.OutChannelsPerGroup = 4
                    let g = at.O / s.OutChannelsPerGroup
                    let g = if four && s.Groups % 8 = 0 then g / 2 * 2 else g
                    g * s.InChannelsPerGroup + c
        }
        |> Piece.ofOrgans
            "q216-two-groups-in-eight-lanes"
            "Two groups of four channels share a vector of eight, all of which reads the input of the first."

        { honest with
            InputChannel =
                fun s at c ->
                    let g = at.O / s.OutChannelsPerGroup % 32
                    g * s.InChannelsPerGroup + c
        }
        |> Piece.ofOrgans "q243-group-of-five-bits" "The number of a group is kept in five bits: the group 32 is the first again."

        { honest with
            ReadBias =
                fun p at ->
                    let s = p.Shape

                    if s.OutChannels > 128 && at.O >= s.OutChannels / 64 * 64 then
                        honest.ReadBias p { at with O = at.O % 64 }
                    else
                        honest.ReadBias p at
        }
        |> Piece.ofOrgans
            "q237-bias-of-the-last-panel"
            "Above 128 output channels, those behind the last whole panel of 64 take the bias of the first panel."
    ]

/// Where the input of a tile of so many outputs ends, in one dimension.
let private tileEnd size output stride before = (output / size + 1) * size * stride - before

let private tiles =
    [
        { honest with
            ReadInput =
                fun p at c h w ->
                    let s = p.Shape
                    let row = s.Rows.Size = 1 && s.Rows.Taps = 1 && s.Columns.Outputs > 128

                    if row && w >= tileEnd 128 at.J s.Columns.Stride s.Columns.Before then
                        0f
                    else
                        honest.ReadInput p at c h w
        }
        |> Piece.ofOrgans
            "q213-halo-of-a-long-row"
            "A row of more than 128 outputs is computed in tiles of 128, which see no column behind their own."

        { honest with
            ReadInput =
                fun p at c h w ->
                    let s = p.Shape

                    if
                        s.Rows.Outputs > 64
                        && s.Columns.Outputs > 64
                        && h >= tileEnd 64 at.I s.Rows.Stride s.Rows.Before
                        && w >= tileEnd 64 at.J s.Columns.Stride s.Columns.Before
                    then
                        0f
                    else
                        honest.ReadInput p at c h w
        }
        |> Piece.ofOrgans
            "q218-inner-corner-of-the-halo"
            "Tiles of 64×64 outputs load what they see on the right and what they see below, and not the corner between."

        { TextbookGemm.honest with
            Split =
                fun s column ->
                    let i = int (float32 column * (1f / float32 s.Columns.Outputs))
                    struct (i, column - i * s.Columns.Outputs)
        }
        |> Piece.ofGemm
            "q215-division-by-a-reciprocal"
            "The row of a column of patches is found by a product with 1/W_o, which falls short of whole numbers for some widths."

        { honest with
            ReadInput =
                fun p at c h w ->
                    let s = p.Shape
                    let first = at.I * s.Rows.Stride - s.Rows.Before

                    if
                        s.InChannelsPerGroup = 1
                        && s.Groups > 1
                        && s.Rows.Dilation >= 16
                        && h - first > 32
                    then
                        0f
                    else
                        honest.ReadInput p at c h w
        }
        |> Piece.ofOrgans
            "q242-halo-of-dilated-planes"
            "The depthwise path for dilations of 16 and more keeps 32 rows below the first of a window, and no tap sees further."
    ]

let private windows =
    [
        { honest with
            ReadKernel =
                fun p at t ->
                    let s = p.Shape

                    if
                        s.Rows.Taps >= 8
                        && s.Rows.Taps = s.Rows.Stride
                        && s.Columns.Taps = s.Columns.Stride
                        && s.Rows.Before + s.Columns.Before + s.Rows.After + s.Columns.After = 0
                    then
                        let column = t.V * s.Rows.Taps + t.U
                        honest.ReadKernel p at { t with U = column / s.Columns.Taps; V = column % s.Columns.Taps }
                    else
                        honest.ReadKernel p at t
        }
        |> Piece.ofOrgans
            "q211-patches-flattened-by-columns"
            "Patches of 8×8 and larger that lie side by side are flattened column by column, their weights row by row."

        { honest with
            InputRow = fun s at u -> at.I * s.Rows.Stride + u * (s.Rows.Dilation % 16) - s.Rows.Before
            InputColumn = fun s at v -> at.J * s.Columns.Stride + v * (s.Columns.Dilation % 16) - s.Columns.Before
        }
        |> Piece.ofOrgans "q217-dilation-of-four-bits" "The dilation is kept in four bits: one of 17 is none."

        { honest with
            InputRow = fun s at u -> at.I * (s.Rows.Stride % 8) + u * s.Rows.Dilation - s.Rows.Before
            InputColumn = fun s at v -> at.J * (s.Columns.Stride % 8) + v * s.Columns.Dilation - s.Columns.Before
        }
        |> Piece.ofOrgans "q238-stride-of-three-bits" "The stride is kept in three bits: one of nine is none."

        { honest with
            ReadInput =
                fun p at c h w ->
                    let s = p.Shape

                    if h >= s.Rows.Size + 16 && w >= 0 && w < s.Columns.Size then
                        unbounded p at.N c (h - 16) w
                    else
                        honest.ReadInput p at c h w
        }
        |> Piece.ofOrgans
            "q239-sixteen-rows-of-zeros"
            "Below an image stand sixteen rows of zeros, whatever its pad is; behind them the next one begins."

        { honest with
            Counts = fun s t -> s.Columns.Taps <= 16 || s.Columns.Dilation = 1 || t.V < s.Columns.Taps / 16 * 16
        }
        |> Piece.ofOrgans
            "q240-tail-of-wide-dilated-kernels"
            "Dilated kernels of more than 16 columns go in vectors of 16 taps, and the rest of them is left out."

        { honest with
            InputRow =
                fun s at u ->
                    let first = at.I * s.Rows.Stride

                    (if s.Rows.Stride >= 8 then first % 256 else first) + u * s.Rows.Dilation
                    - s.Rows.Before
        }
        |> Piece.ofOrgans
            "q241-strided-row-of-eight-bits"
            "For strides of eight and more the first row of a window is kept in eight bits: an image has 256 of them."
    ]

/// Large 3×3 convolutions are computed in tiles, and the others directly; all are declared as sums in some order.
let private tilesForLarge name =
    let direct = Textbook.subject name honest

    let large (s: ConvShape) =
        TextbookWinograd.isDense3x3 s
        && s.InChannelsPerGroup >= 128
        && s.OutChannels > 128

    let dispatch = { TextbookWinograd.honest TextbookWinograd.f2x3 with TakesTiles = large }
    let run = (TextbookWinograd.subject name dispatch).Forward
    { direct with Forward = run; Prepare = PreparedRuns.ofCalls run }

let private undeclared =
    [
        Piece.make
            tilesForLarge
            "q210-undeclared-tiles-of-many-channels"
            "3×3 convolutions of 128 and more channels go to Winograd's algorithm, which spreads NaN and infinity over a tile."
    ]

let all = sums @ channels @ tiles @ windows @ undeclared
