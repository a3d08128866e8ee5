/// The distribution of problems: geometry where convolutions break. Asymmetric by construction (four different pads, H ≠ W, K_h ≠ K_w,
/// s_h ≠ s_w, d_h ≠ d_w come out of independent draws), biased to boundaries (one below, at and above 4, 8, 16, 32), and now and then one
/// dimension of 65, 130 or 260 while the rest stay small. Shrinking is what goes to the symmetric and small.
module Conv.Properties.Generate

open FsCheck
open FsCheck.FSharp
open Conv

/// The most multiply-adds, and the most elements of input and output together, that a generated problem takes; larger draws are halved
/// until they fit.
let budget, elements = 40_000L, 8_000L

let private pick (weighted: (int * int list) list) = Gen.frequency [ for weight, values in weighted -> weight, Gen.elements values ]

let private plane =
    pick [ 5, [ 1; 2; 3 ]; 8, [ 4; 5; 6; 7 ]; 8, [ 8; 9; 10; 11; 12 ]; 3, [ 15; 16; 17 ]; 1, [ 31; 32; 33 ] ]

let private channels =
    pick [ 10, [ 1; 2; 3 ]; 6, [ 4; 5; 6; 7 ]; 3, [ 8; 9 ]; 2, [ 15; 16; 17 ]; 1, [ 31; 32; 33 ] ]

let private taps = pick [ 4, [ 1 ]; 4, [ 2 ]; 7, [ 3 ]; 3, [ 4; 5; 6 ]; 2, [ 7 ] ]
let private stride = pick [ 6, [ 1 ]; 3, [ 2 ]; 2, [ 3 ]; 1, [ 4; 5 ] ]
let private dilation = pick [ 7, [ 1 ]; 3, [ 2 ]; 2, [ 3 ]; 1, [ 4 ] ]
let private padding = pick [ 5, [ 0 ]; 4, [ 1 ]; 3, [ 2 ]; 2, [ 3 ]; 1, [ 4; 5; 7 ] ]
let private images = pick [ 12, [ 1 ]; 6, [ 2 ]; 3, [ 3; 4; 5 ] ]

type private Grouping =
    | Dense
    | Grouped of int
    | Depthwise of groups: int

let private grouping =
    Gen.frequency
        [
            6, Gen.constant Dense
            3, Gen.map Grouped (Gen.elements [ 2; 3; 4; 5 ])
            2, Gen.map Depthwise (pick [ 6, [ 2; 3; 4; 5 ]; 2, [ 7; 8; 9 ]; 1, [ 16; 17; 33 ] ])
        ]

/// Three draws in four come from the few sizes that the subject says it supports.
let private hinted (few: (int * int) list) any =
    match few with
    | [] -> Gen.zip any any
    | few -> Gen.frequency [ 3, Gen.elements few; 1, Gen.zip any any ]

/// Halves what is largest until the problem fits the budget.
let rec private fit (s: ConvShape) =
    if s.MultiplyAdds <= budget && s.InputLength + s.OutputLength <= elements then
        s
    else
        let half size = max 1 (size / 2)
        let cg, og = s.InChannelsPerGroup, s.OutChannelsPerGroup

        let room =
            s.KernelExtentHeight <= half s.InHeight + s.PadTop + s.PadBottom, s.KernelExtentWidth <= half s.InWidth + s.PadLeft + s.PadRight

        let smaller =
            [
                cg, s.With(inChannels = half cg * s.Groups)
                og, s.With(outChannels = half og * s.Groups)
                s.Groups, s.With(groups = half s.Groups, inChannels = half s.Groups * cg, outChannels = half s.Groups * og)
                if fst room then
                    s.InHeight, s.With(inHeight = half s.InHeight)
                if snd room then
                    s.InWidth, s.With(inWidth = half s.InWidth)
                s.Batch * 4, s.With(batch = half s.Batch)
            ]
            |> List.filter (fun (_, candidate) -> candidate <> s)

        match smaller with
        // Nothing is left to halve: the taps alone are over the budget, which no drawn kernel is.
        | [] -> s
        | candidates -> candidates |> List.maxBy fst |> snd |> fit

/// One dimension far beyond the others, which stay at most 3.
let private stretched (s: ConvShape) =
    gen {
        let! large = Gen.elements [ 65; 130; 260 ]
        let! which = Gen.choose (0, 4)
        let small = min 3

        let s =
            s.With(batch = 1, inChannels = small s.InChannelsPerGroup, outChannels = small s.OutChannelsPerGroup, groups = 1)

        let height = max (min s.InHeight 4) (s.KernelExtentHeight - s.PadTop - s.PadBottom)
        let width = max (min s.InWidth 4) (s.KernelExtentWidth - s.PadLeft - s.PadRight)
        let s = s.With(inHeight = height, inWidth = width)

        return
            match which with
            | 0 -> s.With(inChannels = large)
            | 1 -> s.With(outChannels = large)
            | 2 -> s.With(inHeight = max height large)
            | 3 -> s.With(batch = large)
            | _ -> s.With(inWidth = max width large)
    }

/// Any valid problem, with the subject's hints of where to look.
let geometry (traits: Traits) : Gen<ConvShape> =
    let few (hints: seq<struct (int * int)>) = [ for struct (h, w) in hints -> h, w ]

    gen {
        let! kh, kw = hinted (few traits.KernelSizes) taps
        let! sh, sw = hinted (few traits.Strides) stride
        let! dh, dw = hinted (few traits.Dilations) dilation
        let! pt, pl, pb = Gen.three padding
        let! pr = padding
        let! h, w = Gen.zip plane plane
        let! batch = images
        let! grouping = grouping
        let! c, o = Gen.zip channels channels

        let groups, c, o =
            match grouping with
            | Dense -> 1, c, o
            | Grouped g -> g, g * min c 5, g * min o 5
            | Depthwise g -> g, g, g * min o 3

        // A kernel that the padded input cannot hold makes the input larger, just enough or a little more.
        let! spare = Gen.elements [ 0; 0; 1; 2 ]

        let enough size before after taps dilation =
            let extent = (taps - 1) * dilation + 1

            if size + before + after >= extent then
                size
            else
                extent - before - after + spare

        let shape =
            ConvShape(batch, c, enough h pt pb kh dh, enough w pl pr kw dw, o, kh, kw, sh, sw, pt, pl, pb, pr, dh, dw, groups)

        let! stretch = Gen.choose (0, 15)

        if stretch = 0 then
            let! long = stretched shape
            return fit long
        else
            return fit shape
    }
