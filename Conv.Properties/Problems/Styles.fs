/// Problems in which several parameters are large at once, as in the layers that fast paths are written for: two to four are drawn large, or
/// set by what they have to do with each other, and the rest shrinks until the problem costs no more than it may.
module internal Conv.Properties.Styles

open System
open System.Numerics
open FsCheck
open FsCheck.FSharp
open Conv
open Conv.Properties.Reach

let private octave (size: int) = BitOperations.Log2(uint size)

/// A size between two, its octave uniform: a power of two or one beside it, a multiple of what vectors and blocks hold, or anything of the
/// octave.
let private sized lo hi : Gen<int> =
    gen {
        let! e = Gen.choose (octave lo, octave hi)
        let first = 1 <<< e
        let! style = Gen.choose (0, 4)

        let! value =
            match style with
            | 0
            | 1 -> Gen.elements [ first - 1; first; first + 1 ]
            | 2
            | 3 when first >= 8 ->
                gen {
                    let! block =
                        [ 4; 8; 16; 32 ]
                        |> List.filter (fun block -> 2 * block <= first)
                        |> Gen.elements

                    let! blocks = Gen.choose (first / block, 2 * first / block - 1)
                    return block * blocks
                }
            | _ -> Gen.choose (first, 2 * first - 1)

        return Math.Clamp(value, lo, hi)
    }

let private often (weighted: (int * int list) list) = Gen.frequency [ for weight, values in weighted -> weight, Gen.elements values ]
let private taps = often [ 5, [ 1 ]; 3, [ 2 ]; 8, [ 3 ]; 3, [ 4; 5 ]; 1, [ 7 ] ]
let private stride = often [ 8, [ 1 ]; 3, [ 2 ]; 1, [ 3; 4 ] ]
let private dilation = often [ 8, [ 1 ]; 2, [ 2 ]; 1, [ 3; 4 ] ]
let private pad = often [ 5, [ 0 ]; 5, [ 1 ]; 2, [ 2 ]; 1, [ 3; 4 ] ]
let private images = often [ 10, [ 1 ]; 5, [ 2 ]; 2, [ 3; 4; 5 ]; 2, [ 8; 9; 12; 15; 16; 17; 32; 33 ] ]
let private few = often [ 2, [ 1 ]; 2, [ 2; 3 ]; 2, [ 4; 5; 7; 8 ]; 1, [ 9; 16; 17 ] ]
let private side = often [ 2, [ 1; 2; 3 ]; 3, [ 4; 5; 6; 7; 8 ]; 2, [ 9; 12; 14; 16; 17 ] ]

/// Both axes alike in half of the draws.
let private both axis =
    gen {
        let! first = axis
        let! second = Gen.frequency [ 1, Gen.constant first; 1, axis ]
        return first, second
    }

/// No pads, the pads that keep the size, one on all sides, or any.
let private pads (kernel: int * int) (dilation: int * int) =
    let same taps dilation = (taps - 1) * dilation / 2
    let row, column = same (fst kernel) (fst dilation), same (snd kernel) (snd dilation)

    Gen.oneof
        [
            Gen.constant (0, 0, 0, 0)
            Gen.constant (row, column, row, column)
            pad |> Gen.map (fun p -> p, p, p, p)
            gen {
                let! top, left, bottom = Gen.three pad
                let! right = pad
                return top, left, bottom, right
            }
        ]

/// Groups, and the channels in and out of each: one group, a few, or a group for each channel.
let private channels (c: int) (o: int) : Gen<int * int * int> =
    Gen.frequency
        [
            6, Gen.constant (1, c, o)
            1, Gen.choose (2, 4) |> Gen.map (fun groups -> groups, c, o)
            2, often [ 3, [ 1 ]; 1, [ 2; 3 ] ] |> Gen.map (fun multiplier -> c, 1, multiplier)
        ]

/// A problem of which everything is small.
let private modest =
    gen {
        let! batch = images
        let! groups, c, o = Gen.two few |> Gen.bind (fun (c, o) -> channels c o)
        let! height, width = Gen.two side
        let! kernel = both taps
        let! stride = both stride
        let! dilation = both dilation
        let! pads = pads kernel dilation

        return
            {
                Batch = batch
                Groups = groups
                In = c
                Out = o
                Height = height
                Width = width
                Kernel = kernel
                Stride = stride
                Dilation = dilation
                Pads = pads
                Kept = Set.empty
            }
    }

let private keeping parts (p: Plan) = { p with Kept = Set.union p.Kept (set parts) }

/// One parameter made large, and kept so.
let private enlarged (p: Plan) which : Gen<Plan> =
    let kh, kw = p.Kernel
    let sh, sw = p.Stride
    let dh, dw = p.Dilation
    let top, left, bottom, right = p.Pads
    let some lo hi set = sized lo hi |> Gen.map set

    match which with
    | 0 -> some 8 512 (fun v -> { p with Batch = v } |> keeping [ Images ])
    | 1
    | 2 -> some 16 4096 (fun v -> { p with In = v } |> keeping [ Inputs ])
    | 3
    | 4 -> some 16 4096 (fun v -> { p with Out = v } |> keeping [ Outputs ])
    | 5 -> some 4 1024 (fun v -> { p with Groups = v } |> keeping [ Group ])
    | 6 -> some 24 4096 (fun v -> { p with Height = v } |> keeping [ Rows ])
    | 7 -> some 24 4096 (fun v -> { p with Width = v } |> keeping [ Columns ])
    | 8 ->
        sized 20 256
        |> Gen.map (fun v -> { p with Height = v; Width = v } |> keeping [ Rows; Columns ])
    | 9 -> some 6 512 (fun v -> { p with Kernel = v, kw } |> keeping [ RowTaps ])
    | 10 -> some 6 512 (fun v -> { p with Kernel = kh, v } |> keeping [ ColumnTaps ])
    | 11 -> some 4 32 (fun v -> { p with Stride = v, sw })
    | 12 -> some 4 32 (fun v -> { p with Stride = sh, v })
    | 13 -> some 4 64 (fun v -> { p with Dilation = v, dw })
    | 14 -> some 4 64 (fun v -> { p with Dilation = dh, v })
    | 15 -> some 4 64 (fun v -> { p with Pads = v, left, bottom, right })
    | 16 -> some 4 64 (fun v -> { p with Pads = top, v, bottom, right })
    | 17 -> some 4 64 (fun v -> { p with Pads = top, left, v, right })
    | _ -> some 4 64 (fun v -> { p with Pads = top, left, bottom, v })

let private ways = 18

/// Two to four parameters large at once.
let private joint =
    gen {
        let! plan = modest
        let! count = often [ 3, [ 2 ]; 3, [ 3 ]; 2, [ 4 ] ]
        let! which = Gen.listOfLength count (Gen.choose (0, ways))

        let rec enlarge plan left =
            match left with
            | [] -> Gen.constant plan
            | one :: rest -> enlarged plan one |> Gen.bind (fun plan -> enlarge plan rest)

        return! enlarge plan (List.distinct which)
    }

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
let private layer =
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

/// Many channels on a plane of a few pixels.
let private deep =
    gen {
        let! plan = modest
        let! many = sized 128 4096
        let! others = sized 1 256
        let! height, width = Gen.two (Gen.choose (1, 4))
        let! taps = Gen.elements [ 1; 1; 3 ]
        let! exchanged = Gen.elements [ true; false ]
        let pad = taps / 2

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

/// Rows and columns exchanged.
let private turned (p: Plan) =
    let exchange (a, b) = b, a
    let top, left, bottom, right = p.Pads

    let turn part =
        match part with
        | Rows -> Columns
        | Columns -> Rows
        | RowTaps -> ColumnTaps
        | ColumnTaps -> RowTaps
        | other -> other

    { p with
        Height = p.Width
        Width = p.Height
        Kernel = exchange p.Kernel
        Stride = exchange p.Stride
        Dilation = exchange p.Dilation
        Pads = left, top, right, bottom
        Kept = Set.map turn p.Kept
    }

let private eitherWay (plan: Gen<Plan>) =
    gen {
        let! plan = plan
        let! turns = Gen.elements [ true; false ]
        return if turns then turned plan else plan
    }

/// An image of one row, or one column, with a kernel of as many: of many channels, as in a network, or of few, as where a signal comes in, with
/// longer kernels and strides, or taps far apart.
let private line =
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
let private signal =
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
let private planes =
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

/// Windows side by side: the kernel is as large as the stride.
let private patches =
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

/// Sizes that are equal by coincidence, where a layout that is guessed from them is guessed wrong.
let private coincident =
    gen {
        let! plan = modest
        let! v = sized 3 64
        let! which = Gen.choose (0, 7)
        let sh, sw = plan.Stride

        return
            match which with
            | 0 -> { plan with Groups = 1; In = v; Out = v; Height = v; Width = v }
            | 1 -> { plan with Groups = 1; In = v; Height = v; Width = v }
            | 2 ->
                { plan with
                    Groups = 1
                    Out = v
                    Kernel = (v, v)
                    Height = v
                    Width = v
                    Pads = (0, 0, 0, 0)
                }
            | 3 -> { plan with Groups = v; In = 1; Out = 1; Height = v; Width = v }
            | 4 -> { plan with Batch = v; Groups = 1; In = v; Out = v }
            | 5 ->
                { plan with
                    Height = v * sh
                    Width = v * sw
                    Kernel = fst plan.Kernel, fst plan.Kernel
                    Stride = sh, sh
                }
            | 6 -> { plan with Groups = 1; In = v; Out = 2 * v; Height = 2 * v; Width = v }
            | _ ->
                { plan with
                    Groups = 1
                    In = v
                    Out = v
                    Kernel = (v, v)
                    Height = 2 * v
                    Width = 2 * v
                }
            |> keeping [ Inputs; Rows; Columns; RowTaps; ColumnTaps ]
    }

/// Kernels of one long side, or of two.
let private long =
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

/// Many groups of a few channels each, or a few groups of many.
let private groups =
    gen {
        let! plan = modest
        let! isMany = Gen.elements [ true; false ]
        let! groups = if isMany then sized 8 1024 else Gen.choose (2, 8)
        let! c, o = both (if isMany then Gen.elements [ 1; 2; 3; 4; 4; 5; 8; 16 ] else sized 8 64)

        return
            { plan with Groups = groups; In = c; Out = o }
            |> keeping [ Group; Inputs; Outputs ]
    }

/// Many images of a small problem, as in training.
let private batches =
    gen {
        let! plan = modest
        let! images = sized 16 256
        return { plan with Batch = images } |> keeping [ Images ]
    }

/// Kernel, stride and pad that go together in networks, forward and transposed, the frequent ones more often, on images of any size; in half
/// of the draws padded as SAME does, where an odd zero stands on one side.
let private usual =
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

        let pads =
            match padding with
            | None -> pad, pad, pad, pad
            | Some side ->
                let same size = ConvShape.SamePads(size, taps, stride, dilation, side)
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
            |> keeping [ RowTaps; ColumnTaps ]
    }

/// Sizes where blocks end, of channels and planes at once.
let private blocks =
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

/// Channels enough for blocks on both sides, on planes of several tiles, for the kernels that have code of their own; in half of the draws
/// blocks divide them.
let private dense size =
    gen {
        let! plan = modest

        let many =
            match size with
            | Large -> Gen.oneof [ sized 48 160; Gen.elements [ 128; 128; 129; 144; 160; 192 ] ]
            | _ -> sized 32 72

        let! c, o = Gen.two many
        let! block = Gen.elements [ 1; 1; 1; 8; 16; 32 ]
        let whole channels = (channels + block - 1) / block * block
        let c, o = whole c, whole o
        let! height, width = Gen.two (Gen.choose (3, 18))
        let! taps = Gen.elements [ 3; 3; 3; 1; 2; 5 ]
        let! stride = often [ 3, [ 1 ]; 1, [ 2 ] ]
        let! padded = Gen.elements [ 0; taps / 2 ]

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
            |> keeping [ Inputs; Outputs; Columns ]
    }

/// Windows far apart: large strides, dilations and pads of a small kernel.
let private sparse =
    gen {
        let! plan = modest
        let! sh, sw = both (sized 1 32)
        let! dh, dw = both (sized 1 64)
        let! top, left, bottom = Gen.three (Gen.oneof [ pad; sized 1 64 ])
        let! right = Gen.oneof [ pad; sized 1 64 ]
        let! height, width = Gen.two (sized 1 256)

        return
            { plan with
                Height = height
                Width = width
                Stride = sh, sw
                Dilation = dh, dw
                Pads = top, left, bottom, right
            }
            |> keeping [ Rows; Columns ]
    }

/// What a style costs of what it may: most of what is behind a size shows in a problem that costs little, and the cheaper problems are, the
/// more of them there is time for.
type private Allowance =
    | Parts
    | All

/// The styles and their shares, as docs/generators.md describes them.
let private styles size =
    [
        6, Parts, joint
        3, Parts, layer
        5, Parts, usual
        3, Parts, blocks
        (if size = Large then 6 else 2), All, dense size
        2, Parts, deep
        4, Parts, line
        1, All, signal
        3, All, planes
        2, Parts, patches
        2, Parts, long
        2, Parts, groups
        2, Parts, batches
        2, Parts, sparse
        1, Parts, coincident
    ]

/// Any problem of a size, with the subject's hints of where to look: three draws in four take a kernel, stride or dilation of the few that it
/// declares.
let geometry size (traits: Traits) : Gen<ConvShape> =
    let hinted (hints: seq<struct (int * int)>) set (p: Plan) =
        match [ for struct (h, w) in hints -> h, w ] with
        | [] -> Gen.constant p
        | few -> Gen.frequency [ 3, Gen.elements few |> Gen.map (fun pair -> set pair p); 1, Gen.constant p ]

    match size with
    | Small -> Generate.geometry traits
    | _ ->
        gen {
            let! allowance, plan =
                Gen.frequency
                    [
                        for share, allowance, style in styles size -> share, style |> Gen.map (fun plan -> allowance, plan)
                    ]

            let! plan = hinted traits.KernelSizes (fun k p -> { p with Kernel = k }) plan
            let! plan = hinted traits.Strides (fun v p -> { p with Stride = v }) plan
            let! plan = hinted traits.Dilations (fun v p -> { p with Dilation = v }) plan

            let! part =
                match size, allowance with
                | Middle, Parts -> Gen.elements [ 1L; 4L; 12L; 12L ]
                | _ -> Gen.constant 1L

            return fitPlan (budget size / part) plan
        }
