/// Problems as in networks: their layers, the kernels and channels that have fast paths, batches, groups, patches.
module internal Conv.Properties.NetworkStyles

open FsCheck
open FsCheck.FSharp
open Conv
open Conv.Properties.Reach
open Conv.Properties.Plans

/// The convolutions of networks, and layers of kinds that those networks do not have.
let private layers =
    [
        yield! Workload.all |> List.collect _.Layers |> List.map _.Shape
        // Patches of a vision transformer, a modern depthwise layer, audio, dilated and strided layers of segmentation.
        for text in
            [
                "c=3 h=224 w=224 o=768 kh=16 kw=16 sh=16 sw=16"
                "c=3 h=224 w=224 o=96 kh=4 kw=4 sh=4 sw=4"
                "c=96 h=56 w=56 o=192 kh=2 kw=2 sh=2 sw=2"
                "c=96 h=56 w=56 o=96 kh=7 kw=7 pt=3 pl=3 pb=3 pr=3 g=96"
                "c=240 h=28 w=28 o=240 kh=5 kw=5 sh=2 sw=2 pt=2 pl=2 pb=2 pr=2 g=240"
                "c=80 h=1 w=3000 o=384 kh=1 kw=3 pl=1 pr=1"
                "c=1 h=1 w=4096 o=64 kh=1 kw=400 sw=160"
                "c=512 h=1 w=400 o=512 kh=1 kw=31 pl=15 pr=15 g=512"
                "c=256 h=33 w=33 o=256 kh=3 kw=3 pt=12 pl=12 pb=12 pr=12 dh=12 dw=12"
                "c=64 h=128 w=128 o=64 kh=3 kw=3 pt=2 pl=2 pb=2 pr=2 dh=2 dw=2"
                "c=1 h=28 w=28 o=32 kh=5 kw=5"
                "n=32 c=3 h=32 w=32 o=64 kh=3 kw=3 pt=1 pl=1 pb=1 pr=1"
            ] do
            ConvShape.Parse text
    ]

/// A real layer with at most one property changed; its channels, or its plane, shrink last.
let layer =
    gen {
        let! shape = Gen.elements layers
        let plan = ofShape shape
        let top, left, bottom, right = plan.Pads
        let kh, kw = plan.Kernel
        let! d = often [ 1, [ -1; 1 ] ]
        let near size = max 1 (size + d)

        let! changed =
            Gen.elements
                [
                    plan
                    plan
                    { plan with In = near plan.In }
                    { plan with Out = near plan.Out }
                    { plan with Height = near plan.Height }
                    { plan with Width = near plan.Width }
                    { plan with Batch = 2 }
                    { plan with Stride = 2, 2 }
                    { plan with Stride = 1, 1 }
                    { plan with Dilation = 2, 2 }
                    { plan with Pads = top + 1, left, bottom, right }
                    { plan with Pads = 0, 0, 0, 0 }
                    { plan with Kernel = kh, near kw }
                    // Where both divide, the same channels in groups.
                    if plan.In % 4 = 0 && plan.Out % 4 = 0 then
                        { plan with Groups = 4 * plan.Groups; In = plan.In / 4; Out = plan.Out / 4 }
                ]

        let! kept =
            Gen.elements
                [
                    [ Inputs; Outputs; Group; RowTaps; ColumnTaps ]
                    [ Rows; Columns; RowTaps; ColumnTaps ]
                    [ Inputs; Columns; RowTaps; ColumnTaps ]
                    [ Outputs; Group; Rows; RowTaps; ColumnTaps ]
                ]

        return keeping kept changed
    }

/// Many channels, or many terms of each sum, on a plane of a few pixels.
let deep =
    gen {
        let! plan = modest
        let! many = sized 128 4096
        let! others = sized 1 256
        let! height, width = Gen.two (Gen.choose (1, 4))
        let! taps = Gen.elements [ 1; 1; 3 ]
        let! exchanged, areTerms = Gen.two (Gen.elements [ true; false ])
        let pad = taps / 2
        let many = if areTerms then (many + taps * taps - 1) / (taps * taps) else many

        return
            { plan with
                Groups = 1
                In = (if exchanged then others else many)
                Out = (if exchanged then many else others)
                Height = height
                Width = width
                Kernel = taps, taps
                Stride = 1, 1
                Dilation = 1, 1
                Pads = pad, pad, pad, pad
            }
            |> keeping [ Inputs; Outputs ]
    }

/// Windows side by side: the kernel is as large as the stride.
let patches =
    gen {
        let! plan = modest
        let! tall, wide = both (sized 2 32)
        let! rows, columns = Gen.two (Gen.choose (1, 9))
        let! over = Gen.elements [ 0; 0; 0; 1 ]
        let! o = sized 1 512
        let! c = Gen.elements [ 1; 3; 3; 4; 8 ]
        // A transposed convolution puts patches together again: few channels on either side.
        let! exchanged = Gen.elements [ true; false ]
        let c, o = if exchanged then o, c else c, o

        return
            { plan with
                Groups = 1
                In = c
                Out = o
                Height = rows * tall + over
                Width = columns * wide + over
                Kernel = tall, wide
                Stride = tall, wide
                Dilation = 1, 1
                Pads = 0, 0, 0, 0
            }
            |> keeping [ RowTaps; ColumnTaps; (if exchanged then Inputs else Outputs) ]
    }

/// Many groups of a few channels each, a few groups of many, or a group for each channel; half of them with a stride, also beyond the kernel.
let groups =
    gen {
        let! plan = modest
        let many = sized 8 1024

        let! groups, (c, o) =
            Gen.frequency
                [
                    3, Gen.zip many (both (Gen.elements [ 1; 2; 3; 4; 4; 5; 8; 16 ]))
                    2, Gen.zip (Gen.choose (2, 8)) (both (sized 8 64))
                    1, Gen.zip many (often [ 4, [ 1 ]; 1, [ 2; 3 ] ] |> Gen.map (fun multiplier -> 1, multiplier))
                ]

        let! stride = both (often [ 5, [ 1 ]; 3, [ 2 ]; 2, [ 3; 4; 5; 8 ] ])

        let! kept =
            Gen.elements
                [
                    [ Group; Inputs; Outputs ]
                    [ Group; Inputs; Rows; Columns ]
                    [ Group; Inputs; Outputs ]
                    [ Outputs; Columns ]
                ]

        return { plan with Groups = groups; In = c; Out = o; Stride = stride } |> keeping kept
    }

/// Many images of a small problem, as in training.
let batches =
    gen {
        let! plan = modest
        let! images = sized 16 256
        return { plan with Batch = images } |> keeping [ Images ]
    }

/// Kernel, stride and pad that go together in networks, forward and transposed, the frequent ones more often, on images of any size; in half
/// of the draws padded as SAME does, where an odd zero stands on one side.
let usual =
    gen {
        let! plan = modest

        let frequent = [ 1, 1, 0, 1; 2, 2, 0, 1; 3, 1, 1, 1; 3, 2, 1, 1; 4, 2, 1, 1 ]

        let! taps, stride, pad, dilation =
            Gen.elements (
                frequent
                @ frequent
                @ [
                    1, 1, 0, 1
                    1, 2, 0, 1
                    2, 2, 0, 1
                    3, 1, 0, 1
                    3, 1, 1, 1
                    3, 2, 0, 1
                    3, 2, 1, 1
                    3, 1, 2, 2
                    3, 1, 4, 4
                    4, 1, 0, 1
                    4, 2, 1, 1
                    4, 4, 0, 1
                    5, 1, 2, 1
                    5, 2, 2, 1
                    6, 2, 2, 1
                    7, 1, 3, 1
                    7, 2, 3, 1
                    8, 4, 2, 1
                    11, 4, 2, 1
                ]
            )

        let! c, o = Gen.two (sized 1 128)
        let! height, width = both (sized 4 64)
        let! depthwise = Gen.elements [ true; false; false ]
        let! padding = Gen.elements [ None; None; Some SamePadding.Upper; Some SamePadding.Lower ]
        let! kept = Gen.elements [ []; [ Inputs; Columns ]; [ Rows; Columns ]; [ Inputs; Outputs ] ]

        let pads =
            match padding with
            | None -> pad, pad, pad, pad
            | Some side ->
                let same size = Axis.SamePads(size, taps, stride, dilation, side)
                let struct (top, bottom), struct (left, right) = same height, same width
                top, left, bottom, right

        return
            { plan with
                Groups = if depthwise then c else 1
                In = if depthwise then 1 else c
                Out = if depthwise then 1 + o % 3 else o
                Height = height
                Width = width
                Kernel = taps, taps
                Stride = stride, stride
                Dilation = dilation, dilation
                Pads = pads
            }
            |> keeping (RowTaps :: ColumnTaps :: kept)
    }

/// Sizes where blocks end, of channels and planes at once.
let blocks =
    gen {
        let! plan = modest
        let! c, o = Gen.two (sized 16 2048)
        let! width = sized 3 130
        let! taps = Gen.elements [ 1; 1; 3 ]
        let! padded = Gen.elements [ 0; taps / 2 ]

        let! kept =
            Gen.elements [ [ Inputs; Outputs ]; [ Inputs; Columns ]; [ Outputs; Columns ]; [ Outputs; Rows; Columns ] ]

        return
            { plan with
                Groups = 1
                In = c
                Out = o
                Height = width
                Width = width
                Kernel = taps, taps
                Dilation = 1, 1
                Pads = padded, padded, padded, padded
            }
            |> keeping kept
    }

/// Channels enough for blocks on both sides, on planes of several tiles or, where they need not be that many, of wide rows, for the kernels
/// that have code of their own; in half of the draws blocks divide them.
let dense size =
    gen {
        let! plan = modest

        let many =
            match size with
            | Large -> Gen.frequency [ 1, sized 48 160; 2, Gen.elements [ 128; 128; 129; 144; 160; 192 ] ]
            | _ -> sized 32 72

        let! c, o = Gen.two many
        let! block = Gen.elements [ 1; 1; 1; 8; 16; 32 ]
        let whole channels = (channels + block - 1) / block * block
        let c, o = whole c, whole o
        let! height, width = Gen.two (Gen.choose (3, 18))
        let! taps = Gen.elements [ 3; 3; 3; 1; 2; 5 ]
        let! stride = often [ 3, [ 1 ]; 1, [ 2 ] ]
        let! padded = Gen.elements [ 0; taps / 2 ]

        let! kept, width =
            match size with
            | Large -> Gen.constant ([ Inputs; Outputs ], width)
            | _ ->
                Gen.frequency
                    [
                        2, Gen.constant ([ Inputs; Outputs ], width)
                        1, sized 16 64 |> Gen.map (fun wide -> [ Inputs; Columns ], wide)
                    ]

        return
            { plan with
                Batch = 1
                Groups = 1
                In = c
                Out = o
                Height = height
                Width = width
                Kernel = taps, taps
                Stride = stride, stride
                Dilation = 1, 1
                Pads = padded, padded, padded, padded
            }
            |> keeping kept
    }
