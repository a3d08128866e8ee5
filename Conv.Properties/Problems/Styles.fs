/// Problems in which several parameters are large at once, as in the layers that fast paths are written for: two to four are drawn large, or
/// set by what they have to do with each other, and the rest shrinks until the problem costs no more than it may.
module internal Conv.Properties.Styles

open FsCheck
open FsCheck.FSharp
open Conv
open Conv.Properties.Reach
open Conv.Properties.Plans
open Conv.Properties.NetworkStyles
open Conv.Properties.StretchedStyles

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

/// Each parameter by itself at its least, at a few, or where vectors and blocks begin: conditions that hold together seldom.
let private corners =
    gen {
        let! batch = often [ 4, [ 1 ]; 3, [ 2; 3; 4 ]; 3, [ 8; 15; 16; 17; 32; 33; 64 ] ]
        let! groups = often [ 5, [ 1 ]; 3, [ 2; 3; 4 ]; 2, [ 8; 9; 16; 32 ] ]
        let! c, o = Gen.two (often [ 3, [ 1 ]; 3, [ 2; 3; 4; 5; 7 ]; 3, [ 8; 15; 16; 17; 24; 32; 33; 64 ] ])

        let! height, width =
            both (often [ 2, [ 1 ]; 3, [ 2; 3; 4; 5; 6 ]; 3, [ 7; 8; 9; 12; 16; 17 ]; 1, [ 24; 31; 32; 33; 40 ] ])

        let! kernel = both (often [ 4, [ 1 ]; 3, [ 2 ]; 4, [ 3 ]; 2, [ 4; 5; 7 ] ])
        let! stride = both (often [ 4, [ 1 ]; 4, [ 2 ]; 2, [ 3; 4; 5; 8 ] ])
        let! dilation = both (often [ 6, [ 1 ]; 2, [ 2 ]; 1, [ 3; 4 ] ])
        let! pads = pads kernel dilation

        return planned batch (groups, c, o) (height, width) kernel stride dilation pads
    }

/// Windows far apart: large strides, dilations and pads of a small kernel.
let private sparse =
    gen {
        let! plan = Gen.oneof [ modest; corners ]
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
        (if size = Large then 12 else 2), All, dense size
        2, Parts, deep
        4, Parts, line
        1, All, signal
        3, All, planes
        2, Parts, patches
        2, Parts, long
        3, Parts, groups
        2, Parts, batches
        2, Parts, sparse
        1, Parts, coincident
    ]

/// The styles of the cheapest middle problems.
let private cheapStyles =
    [
        6, joint
        8, corners
        5, usual
        2, blocks
        2, deep
        3, line
        2, patches
        1, long
        5, groups
        3, batches
        2, sparse
        1, coincident
    ]

/// The plan with the subject's hints of where to look: three draws in four take a kernel, stride or dilation of the few that it declares.
let private hinted (traits: Traits) plan =
    let one (hints: seq<struct (int * int)>) set (p: Plan) =
        match [ for struct (h, w) in hints -> h, w ] with
        | [] -> Gen.constant p
        | few -> Gen.frequency [ 3, Gen.elements few |> Gen.map (fun pair -> set pair p); 1, Gen.constant p ]

    gen {
        let! plan = plan |> one traits.KernelSizes (fun k p -> { p with Kernel = k })
        let! plan = plan |> one traits.Strides (fun v p -> { p with Stride = v })
        return! plan |> one traits.Dilations (fun v p -> { p with Dilation = v })
    }

/// A plan, and which part of what it may cost it does.
let private planOf size : Gen<int64 * Plan> =
    let ofParts parts plan = Gen.map2 (fun part plan -> part, plan) (Gen.elements parts) plan

    let all =
        Gen.frequency
            [
                for share, allowance, style in styles size ->
                    share,
                    match size, allowance with
                    | Middle, Parts -> style |> ofParts [ 1L; 4L; 12L; 12L ]
                    | _ -> style |> ofParts [ 1L ]
            ]

    match size with
    | Middle -> Gen.oneof [ all; Gen.frequency cheapStyles |> ofParts [ 24L; 40L; 80L ] ]
    | _ -> all

/// Any problem of a size, with the subject's hints of where to look.
let geometry size (traits: Traits) : Gen<ConvShape> =
    match size with
    | Small -> Generate.geometry traits
    | _ ->
        gen {
            let! part, plan = planOf size
            let! plan = hinted traits plan
            return fitPlan (budget size / part) plan
        }

/// As `geometry`, but large problems, and half of the middle ones, have many channels on both sides: those for which fast algorithms are taken.
let ofManyChannels size traits =
    let dense parts =
        gen {
            let! part = Gen.elements parts
            let! plan = dense size |> Gen.bind (hinted traits)
            return fitPlan (budget size / part) plan
        }

    match size with
    | Small -> geometry size traits
    | Middle -> Gen.oneof [ geometry size traits; dense [ 1L; 4L; 12L ] ]
    | Large -> dense [ 1L ]
