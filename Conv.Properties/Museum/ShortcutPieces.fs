/// Shortcuts that are taken where they do not hold: fast paths, what is zero, what is known from an earlier call.
module internal Conv.Properties.ShortcutPieces

open System
open System.Collections.Concurrent
open System.Runtime.CompilerServices
open System.Threading
open Conv
open Conv.Properties.Textbook

let private fullKernel (s: ConvShape) = s.Rows.Taps = s.Rows.Size && s.Columns.Taps = s.Columns.Size

let private patches (s: ConvShape) =
    s.Rows.Taps > 1
    && s.Rows.Stride = s.Rows.Taps
    && s.Columns.Stride = s.Columns.Taps

let private paths =
    [
        { honest with
            InputRow = fun s at u -> if fullKernel s then u * s.Rows.Dilation else honest.InputRow s at u
            InputColumn = fun s at v -> if fullKernel s then v * s.Columns.Dilation else honest.InputColumn s at v
        }
        |> Piece.ofOrgans
            "q110-kernel-as-large-as-the-input"
            "A kernel as large as the input is a fully connected layer, also where padding gives it several outputs."

        { honest with
            InputColumn =
                fun s at v ->
                    honest.InputColumn s at v
                    + (if patches s && s.Rows.Before = 0 then s.Columns.Before else 0)
        }
        |> Piece.ofOrgans "q111-patches-without-left-pad" "The path for a stride as large as the kernel asks for the pad above alone."

        { honest with
            Computes =
                fun s at ->
                    not (patches s)
                    || at.I < s.Rows.Size / s.Rows.Taps && at.J < s.Columns.Size / s.Columns.Taps
        }
        |> Piece.ofOrgans
            "q112-patches-of-the-image-alone"
            "The path for a stride as large as the kernel has as many patches as fit the image, without its pads."

        { honest with
            InputRow =
                fun s at u ->
                    // One row of taps: the image is one long row.
                    if s.Rows.Taps = 1 && s.Columns.Taps > 1 && s.Rows.Before > 0 then
                        at.I * s.Rows.Stride
                    else
                        honest.InputRow s at u
        }
        |> Piece.ofOrgans "q113-one-row-of-taps" "A kernel of one row needs no padding above, and is not given any."

        { honest with
            ReadInput =
                fun p at c h w ->
                    let s = p.Shape
                    // A column of an image of width one is a row.
                    if
                        s.Columns.Size = 1
                        && s.Rows.Size > 1
                        && h >= s.Rows.Size
                        && w = 0
                        && s.Rows.After > 0
                    then
                        let flat = inputIndex s at.N c h w
                        if flat < p.Input.Length then p.Input[flat] else 0f
                    else
                        honest.ReadInput p at c h w
        }
        |> Piece.ofOrgans
            "q114-column-image-has-no-end"
            "An image of one column is read as a row, whose end only a bound of columns would find."

        { honest with
            InputChannel =
                fun s at c ->
                    if s.Groups = s.OutChannels && s.Groups > 1 then
                        at.O + c
                    else
                        honest.InputChannel s at c
        }
        |> Piece.ofOrgans
            "q115-one-output-channel-each"
            "Groups of one output channel are taken for depthwise, whose input channel is the output channel."
    ]

/// Whether the row of the image that a row of taps meets is all zeros.
let private meetsZeros (p: Problem) (at: Place) (t: Tap) =
    let s = p.Shape
    let channel, h = honest.InputChannel s at t.C, honest.InputRow s at t.U

    let rec zeroFrom v =
        v = s.Columns.Taps
        || honest.ReadInput p at channel h (honest.InputColumn s at v) = 0f
           && zeroFrom (v + 1)

    zeroFrom 0

let private isPruned (p: Problem) (at: Place) =
    let terms = int p.Shape.TermsPerOutput

    let rec zeroFrom q = q = terms || p.Kernel[at.O * terms + q] = 0f && zeroFrom (q + 1)
    zeroFrom 0

let private zeros =
    [
        { honest with
            ReadKernel = fun p at t -> if meetsZeros p at t then 0f else honest.ReadKernel p at t
        }
        |> Piece.ofOrgans
            "q116-rows-of-zeros-skipped"
            "Where all inputs of a row of taps are zero the row is left out, whatever its weights."

        { honest with
            ReadInput = fun p at c h w -> if isPruned p at then 0f else honest.ReadInput p at c h w
        }
        |> Piece.ofOrgans "q117-pruned-filters-skipped" "Filters whose weights are all zero give the bias, whatever the input."

        { honest with Finish = fun _ _ y -> if Single.IsInfinity y then y - y else y }
        |> Piece.ofOrgans
            "q118-compensation-of-an-infinity"
            "A compensated sum subtracts what it has from itself, which makes NaN of an infinity."

        { honest with
            Finish = fun _ _ y -> if y > Single.MinValue then y else Single.MinValue
        }
        |> Piece.ofOrgans
            "q119-maximum-with-the-lowest"
            "An activation without bounds is a maximum with the lowest number, which loses −∞ and NaN."

        { honest with
            ReadBias = fun p at -> if p.Shape.InChannels = 0 then 0f else honest.ReadBias p at
        }
        |> Piece.ofOrgans "q120-no-channels-no-bias" "A convolution of no input channels is cleared and left, without its bias."

        { honest with
            Accept = fun s -> int s.KernelLength / s.OutChannels |> ignore<int>
        }
        |> Piece.ofOrgans
            "q121-divided-by-the-output-channels"
            "The size of a filter is that of the kernel over its filters, of which there may be none."

        { honest with
            Accept =
                fun s ->
                    if s.Rows.Extent >= s.Rows.Size + s.Rows.Before + s.Rows.After && s.Rows.Taps > 1 then
                        raise (ArgumentException "The kernel is too high.")
        }
        |> Piece.ofOrgans "q122-kernel-that-just-fits-refused" "A kernel as high as the padded input is refused: ≥ for >."

        { honest with
            Accept =
                fun s ->
                    if
                        max s.Rows.Before s.Rows.After >= s.Rows.Extent
                        || max s.Columns.Before s.Columns.After >= s.Columns.Extent
                    then
                        raise (ArgumentException "The padding is as large as the kernel.")
        }
        |> Piece.ofOrgans "q189-large-pads-refused" "Pads as large as the kernel, which hold whole windows, are refused."
    ]

/// Rows and columns are read by the shape that was first seen under a key.
let private readingBy (key: ConvShape -> 'key) =
    let seen = ConcurrentDictionary<'key, ConvShape>()
    let plan (s: ConvShape) = seen.GetOrAdd(key s, s)

    { honest with
        InputRow = fun s at u -> honest.InputRow (plan s) at u
        InputColumn = fun s at v -> honest.InputColumn (plan s) at v
    }

/// The padded image is copied into a buffer that a thread keeps, and that is zero where it is new.
let private keptBorder name =
    let subject = Textbook.subject name honest
    let buffer = new ThreadLocal<float32[]>(fun () -> [||])

    let run (s: ConvShape) (x: float32[]) k b =
        let height, width =
            s.Rows.Size + s.Rows.Before + s.Rows.After, s.Columns.Size + s.Columns.Before + s.Columns.After

        let needed = s.Batch * s.InChannels * height * width

        if buffer.Value.Length < needed then
            buffer.Value <- Array.zeroCreate needed

        for plane in 0 .. s.Batch * s.InChannels - 1 do
            for h in 0 .. s.Rows.Size - 1 do
                Array.blit
                    x
                    ((plane * s.Rows.Size + h) * s.Columns.Size)
                    buffer.Value
                    ((plane * height + h + s.Rows.Before) * width + s.Columns.Before)
                    s.Columns.Size

        let padded =
            s.With(inHeight = height, inWidth = width, padTop = 0, padLeft = 0, padBottom = 0, padRight = 0)

        subject.Forward padded (Array.sub buffer.Value 0 needed) k b

    { subject with Forward = run; Prepare = PreparedRuns.ofCalls run }

/// A prepared convolution gives its bias away in its first run.
let private biasOfTheFirstRun name =
    let subject = Textbook.subject name honest

    { subject with
        Prepare =
            fun shape k b ->
                let left = ref b

                PreparedRuns.ofRun (fun x ->
                    let bias = left.Value
                    left.Value <- [||]
                    subject.Forward shape x k bias)
    }

let private memories =
    [
        readingBy (fun s ->
            struct (struct (s.Rows.Size, s.Columns.Size, s.Rows.Taps, s.Columns.Taps),
                    struct (s.Rows.Stride * s.Columns.Stride, s.Rows.Dilation, s.Columns.Dilation),
                    struct (s.Rows.Before, s.Columns.Before, s.Rows.After, s.Columns.After)))
        |> Piece.ofOrgans
            "q123-plan-by-the-product-of-strides"
            "The key of a plan has the product of the strides, so that 1×2 and 2×1 share one."

        readingBy (fun s ->
            struct (struct (s.Rows.Outputs, s.Columns.Outputs, s.Rows.Extent, s.Columns.Extent),
                    struct (s.Rows.Stride, s.Columns.Stride),
                    struct (s.Rows.Before, s.Columns.Before)))
        |> Piece.ofOrgans
            "q124-plan-by-the-extent"
            "The key of a plan has the extent of the kernel, which three taps and two dilated ones have in common."

        (let packed = ConditionalWeakTable<float32[], float32[]>()

         { honest with
             ReadKernel =
                 fun p at t ->
                     let weights = if p.Bias.Length > 0 then p.Kernel else packed.GetValue(p.Kernel, Array.copy)
                     honest.ReadKernel { p with Kernel = weights } at t
         })
        |> Piece.ofOrgans
            "q125-weights-kept-without-bias"
            "Where there is no bias, packed weights are found by the array that they came from."

        Piece.make
            keptBorder
            "q126-border-of-the-call-before"
            "The border of a padded copy is zero in a new buffer alone; a call of another shape finds pixels there."

        Piece.make
            biasOfTheFirstRun
            "q127-bias-of-the-first-run"
            "A prepared convolution moves its bias into the first run and has none for the next."
    ]

let all = paths @ zeros @ memories
