/// Faults of direct convolutions in tiles: the columns that need no bounds, vectors and tails, the inner layout, the depthwise path.
module internal Conv.Properties.TiledPieces

open System.Collections.Concurrent
open Conv
open Conv.Properties.Textbook
open Conv.Properties.TextbookTiled

let private honest = TextbookTiled.honest

/// The honest plan with other columns that need no bounds, of those that there are.
let private bounded (columns: ConvShape -> Plan -> struct (int * int)) =
    { honest with
        Plan =
            fun path s ->
                let plan = honest.Plan path s
                let struct (first, last) = columns s plan
                let first = max 0 (min first s.Columns.Outputs)
                { plan with First = first; End = max first (min last s.Columns.Outputs) }
    }

/// Without regard to what is left over by a division towards zero.
let private lastColumn (s: ConvShape) extent = (s.Columns.Size + s.Columns.Before - extent) / s.Columns.Stride + 1

let private interiors =
    [
        bounded (fun s plan ->
            if plan.Path = Depthwise then
                struct (plan.First, lastColumn s s.Columns.Taps)
            else
                struct (plan.First, plan.End))
        |> Piece.ofTiled
            "m092-depthwise-interior-without-dilation"
            "The columns of a depthwise convolution that need no bounds were computed from the kernel without its dilation."

        bounded (fun s plan ->
            struct (plan.First,
                    plan.First
                    + (s.Columns.Size - s.Columns.Extent + s.Columns.Stride) / s.Columns.Stride))
        |> Piece.ofTiled
            "q190-interior-counted-from-the-image"
            "The columns that need no bounds are counted as if the first window began at the edge of the image, which with a stride it need not."

        bounded (fun s plan -> struct (s.Columns.Before / s.Columns.Stride, plan.End))
        |> Piece.ofTiled "q191-interior-begins-a-column-early" "The first column that needs no bounds is rounded down."

        bounded (fun s plan ->
            struct (plan.First,
                    (s.Columns.Size + s.Columns.Before - s.Columns.Extent + s.Columns.Stride - 1)
                    / s.Columns.Stride
                    + 1))
        |> Piece.ofTiled "q192-interior-rounded-up" "The end of the columns that need no bounds is rounded up."

        bounded (fun s plan -> struct (plan.First, s.Columns.Outputs - s.Columns.Before))
        |> Piece.ofTiled "q193-left-pad-for-the-right-border" "The border on the right is taken to be as wide as the pad on the left."

        { honest with
            TapRows =
                fun s i ->
                    let struct (first, last) = honest.TapRows s i
                    // The kernel's end is cut off by the pad in the last row alone.
                    struct (first, (if i = s.Rows.Outputs - 1 then max first (s.Rows.Taps - s.Rows.Before) else last))
        }
        |> Piece.ofTiled
            "q194-last-row-cut-by-the-top-pad"
            "In the last row of the output the kernel is cut off by the top pad, not by the bottom one."

        { honest with
            TapRows =
                fun s i ->
                    let struct (_, last) = honest.TapRows s i
                    struct (max 0 (s.Rows.Before - i * s.Rows.Stride) / s.Rows.Dilation, last)
        }
        |> Piece.ofTiled "q195-first-dilated-row-rounded-down" "The first row of a dilated kernel that meets the image is rounded down."
    ]

let private vectors =
    [
        { honest with
            Vectors = fun plan -> [ for at in plan.First .. 8 .. plan.End - 1 -> { At = at; Count = min Lanes (plan.End - at) } ]
        }
        |> Piece.ofTiled
            "m101-vector-length-hard-coded"
            "The loop stepped by a vector length that was written down, eight, where vectors have four lanes."

        { honest with
            Vectors =
                fun plan ->
                    [
                        for at in plan.First .. Lanes .. plan.End - 1 ->
                            // The last vector is moved back until it is whole.
                            { At = max 0 (min at (plan.End - Lanes)); Count = min Lanes plan.End }
                    ]
        }
        |> Piece.ofTiled
            "q196-last-vector-moved-back"
            "The last vector is moved back until it is whole, beyond the first column that needs no bounds where there are few."

        { honest with
            Vectors = fun plan -> [ for at in plan.First .. Lanes .. plan.End - Lanes -> { At = at; Count = Lanes } ]
        }
        |> Piece.ofTiled "q197-no-tail" "The columns that need no bounds are computed in whole vectors, and the rest of them is forgotten."

        { honest with
            Tiles =
                fun s ->
                    if s.Rows.Outputs < TileRows then
                        honest.Tiles s
                    else
                        honest.Tiles s |> List.filter (fun tile -> tile.Count = TileRows)
        }
        |> Piece.ofTiled "q198-last-tile-of-rows" "The last tile of rows is forgotten where it is not whole."

        { honest with
            Finish = fun p inVector o sum -> if p.Shape.Columns.Outputs > Lanes && not inVector then sum else sum + bias p o
        }
        |> Piece.ofTiled "q199-bias-in-vectors-alone" "The columns of the border lack the bias."
    ]

let private layouts =
    [
        { honest with
            ResultRead = fun s n o i j -> channelsLast s.OutChannels s.Columns.Outputs s.Rows.Outputs n o j i
        }
        |> Piece.ofTiled
            "q200-rows-for-columns-on-the-way-back"
            "The result, channels last, is converted back with rows and columns exchanged."

        { honest with
            InnerRead = fun s n c h w -> ((n * s.Rows.Size + h) * s.Rows.Size + w) * s.InChannels + c
        }
        |> Piece.ofTiled "q201-inner-pitch-of-the-height" "Channels last, the rows of the image are taken to be as far apart as it is high."

        { honest with
            InnerRead = fun s n c h w -> ((n * s.Rows.Size + h) * s.Columns.Size + w) * ((s.InChannels + 3) / 4 * 4) + c
        }
        |> Piece.ofTiled "q202-pixels-of-whole-vectors" "Channels last, the pixels of the input are taken to be padded to four channels."

        { honest with
            WeightAt = fun s o t -> ((t.V * s.Rows.Taps + t.U) * s.InChannelsPerGroup + t.C) * s.OutChannels + o
        }
        |> Piece.ofTiled "q203-packed-by-columns" "The weights are packed column by column of the kernel, and read row by row."

        { honest with
            InputChannel =
                fun s path o c ->
                    if path = Dense then
                        o / s.OutChannelsPerGroup + c * s.Groups
                    else
                        honest.InputChannel s path o c
        }
        |> Piece.ofTiled "q204-groups-innermost" "Channels last, the groups are taken to stand innermost."
    ]

/// The kernel that was compiled for the first shape with the same key.
let private compiled (key: ConvShape -> 'key) =
    let layouts = ConcurrentDictionary<'key, bool>()

    { honest with
        Plan =
            fun path s ->
                let plan = honest.Plan path s

                { plan with
                    ChannelsLast = layouts.GetOrAdd(key s, (fun _ -> plan.ChannelsLast))
                }
    }

let private paths =
    [
        { honest with
            Path = fun s -> if s.Groups > 1 && s.InChannelsPerGroup = 1 then Depthwise else Dense
            InputChannel = fun s path o c -> if path = Depthwise then o % s.InChannels else honest.InputChannel s path o c
        }
        |> Piece.ofTiled "q205-depthwise-path-for-a-multiplier" "The depthwise path, which knows no multiplier, is taken for one."

        { honest with
            InputRow =
                fun s path i u ->
                    if path = Depthwise then
                        i + u * s.Rows.Dilation - s.Rows.Before
                    else
                        honest.InputRow s path i u
        }
        |> Piece.ofTiled
            "m196-stride-left-to-the-pointwise-part"
            "The stride of a separable convolution was applied in its pointwise part; here the depthwise part leaves out that of the rows."

        { honest with
            Accumulate =
                fun s path tap sum x k ->
                    let taps = int s.KernelPlane

                    if path = Depthwise && taps % 2 = 0 && tap = taps - 1 then
                        x * k
                    else
                        sum + x * k
        }
        |> Piece.ofTiled
            "m059-even-taps-overwrite"
            "In the depthwise kernel with an even number of taps the last product overwrote the sum."

        compiled (fun s -> struct (s.Rows.Size, s.Columns.Size, s.Rows.Taps, s.Columns.Taps))
        |> Piece.ofTiled
            "m158-key-without-the-layout"
            "The hint under which a compiled kernel was cached did not say whether channels come last."

        (let plans = ConcurrentDictionary<_, Plan>()

         { honest with
             Plan =
                 fun path s ->
                     let key = struct (path, s.Columns.Outputs, s.Columns.Taps, s.Columns.Stride, s.Columns.Dilation)
                     plans.GetOrAdd(key, (fun _ -> honest.Plan path s))
         })
        |> Piece.ofTiled
            "q206-plan-without-its-pads"
            "The columns that need no bounds are remembered under the width of the output, without the pads."
    ]

let private narrow (at: int) = int (uint16 at)

let private offsets =
    [
        { honest with InnerRead = fun s n c h w -> narrow (honest.InnerRead s n c h w) }
        |> Piece.ofTiled "m032-inner-offset-of-16-bits" "The offset of a vector kernel into its input overflowed; here at 16 bits."

        { honest with Result = fun s n o i j -> narrow (honest.Result s n o i j) }
        |> Piece.ofTiled "m033-result-offset-of-16-bits" "The helper that computes offsets of the output overflowed; here at 16 bits."
    ]

let all = interiors @ vectors @ layouts @ paths @ offsets
