/// Problems of which one or two sizes are very large: signals, planes, long kernels.
module internal Conv.Properties.StretchedStyles

open FsCheck
open FsCheck.FSharp
open Conv.Properties.Reach
open Conv.Properties.Plans

/// An image of one row, or one column, with a kernel of as many: of many channels, as in a network, or of few, as where a signal comes in, with
/// longer kernels and strides, or taps far apart.
let line =
    gen {
        let! plan = modest
        let! width = sized 16 4096
        let! isSignal = Gen.elements [ true; false ]
        let! c = if isSignal then Gen.choose (1, 4) else sized 1 1024
        let! o = if isSignal then Gen.choose (1, 6) else sized 1 512
        let! taps = Gen.oneof [ taps; sized 4 256 ]
        let! stride = if isSignal then Gen.oneof [ stride; sized 2 32 ] else stride
        let! dilation = if taps <= 9 then Gen.frequency [ 3, dilation; 1, sized 4 512 ] else dilation
        let reach = (taps - 1) * dilation
        let! before = Gen.oneof [ pad; Gen.elements [ 0; reach / 2; reach ] ]
        let! after = Gen.oneof [ pad; Gen.constant before ]

        let! kept =
            if isSignal then
                Gen.constant [ Columns; ColumnTaps ]
            else
                Gen.elements [ [ Columns ]; [ Inputs; ColumnTaps ]; [ Columns; Outputs ]; [ Columns; Inputs ] ]

        let! groups, c, o = channels c o

        return
            { plan with
                Groups = groups
                In = c
                Out = o
                Height = 1
                Width = width
                Kernel = 1, taps
                Stride = 1, stride
                Dilation = 1, dilation
                Pads = 0, before, 0, after
            }
            |> keeping kept
    }
    |> eitherWay

/// A signal of many thousand samples.
let signal =
    gen {
        let! plan = modest
        let! width = sized 8192 70_000
        let! taps = Gen.oneof [ taps; sized 4 64 ]
        let! stride = Gen.oneof [ stride; sized 2 32 ]
        let! before, after = Gen.two pad

        return
            { plan with
                Batch = 1
                Groups = 1
                In = 1
                Out = 1
                Height = 1
                Width = width
                Kernel = 1, taps
                Stride = 1, stride
                Dilation = 1, snd plan.Dilation
                Pads = 0, before, 0, after
            }
            |> keeping [ Columns ]
    }
    |> eitherWay

/// Large planes of few channels.
let planes =
    gen {
        let! plan = modest
        let! height, width = Gen.two (sized 48 1024)
        let! alike = Gen.elements [ true; false ]
        let! c, o = Gen.elements [ 1; 1; 2; 3; 5; 8 ] |> Gen.map (fun c -> c, 1 + c % 3)
        let! groups, c, o = channels c o
        let! batch = often [ 3, [ 1 ]; 1, [ 2; 3 ] ]
        // Windows inside of the image, a few columns apart, cost least.
        let! inside = Gen.elements [ true; false ]
        let! steps = both (Gen.choose (1, 6))

        return
            { plan with
                Groups = groups
                In = c
                Out = o
                Batch = batch
                Height = height
                Width = (if alike then height else width)
                Stride = (if inside then steps else plan.Stride)
                Pads = (if inside then (0, 0, 0, 0) else plan.Pads)
            }
            |> keeping [ Rows; Columns ]
    }

/// Kernels of one long side, or of two.
let long =
    gen {
        let! plan = modest
        let! taps = sized 16 512
        let! across = Gen.oneof [ Gen.constant 1; Gen.choose (1, 5); sized 8 32 ]
        let! groups = often [ 2, [ 1 ]; 2, [ 2; 3; 4; 8 ]; 1, [ 16; 33 ] ]
        let! more = sized 1 128
        let! padded = Gen.elements [ 0; taps / 2; taps - 1 ]
        let! apart = often [ 3, [ 1 ]; 1, [ 2; 3 ] ]
        let! c, o = Gen.two (Gen.elements [ 1; 1; 2; 3 ])
        let! batch = often [ 3, [ 1 ]; 2, [ 2; 3 ] ]

        return
            { plan with
                Batch = batch
                Groups = groups
                In = c
                Out = o
                Height = across + plan.Height
                Width = taps * apart + more
                Kernel = across, taps
                Dilation = 1, apart
                Pads = across / 2, padded, across / 2, padded
            }
            |> keeping [ ColumnTaps; Columns; Group; Images ]
    }
    |> eitherWay
