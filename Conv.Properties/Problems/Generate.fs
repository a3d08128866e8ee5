/// The distribution of problems: geometry where convolutions break. Asymmetric in two draws of three (four different pads, H ≠ W,
/// K_h ≠ K_w, s_h ≠ s_w, d_h ≠ d_w come out of independent draws), the symmetric layers of real networks in the
/// third, biased to boundaries (one below, at and above 4, 8, 16, 32), and now and then one dimension of 65, 130 or 260 while the rest
/// stay small, or many channels on both sides. Shrinking is what goes to the small.
module internal Conv.Properties.Generate

open FsCheck
open FsCheck.FSharp
open Conv

/// The most multiply-adds, and the most elements of input and output together, that a generated problem takes; larger draws are halved
/// until they fit.
let budget, elements = 40_000L, 8_000L

/// Whether a problem is beyond what is drawn as a small one.
let isLarger (s: ConvShape) = s.MultiplyAdds > budget || s.InputLength + s.OutputLength > elements

let private pick (weighted: (int * int list) list) = Gen.frequency [ for weight, values in weighted -> weight, Gen.elements values ]

let private plane =
    pick
        [
            5, [ 1; 2; 3 ]
            8, [ 4; 5; 6; 7 ]
            8, [ 8; 9; 10; 11; 12 ]
            4, [ 13; 14; 15; 16; 17 ]
            2, [ 18; 20; 24; 28; 31; 32; 33 ]
        ]

let private channels =
    pick [ 10, [ 1; 2; 3 ]; 6, [ 4; 5; 6; 7 ]; 3, [ 8; 9 ]; 2, [ 15; 16; 17 ]; 1, [ 31; 32; 33 ] ]

let private taps = pick [ 8, [ 1 ]; 8, [ 2 ]; 14, [ 3 ]; 6, [ 4; 5; 6 ]; 4, [ 7 ]; 1, [ 8; 9; 11 ] ]
let private stride = pick [ 6, [ 1 ]; 3, [ 2 ]; 2, [ 3 ]; 1, [ 4; 5 ] ]
let private dilation = pick [ 14, [ 1 ]; 6, [ 2 ]; 4, [ 3 ]; 2, [ 4 ]; 1, [ 5; 6; 12 ] ]
let private padding = pick [ 10, [ 0 ]; 8, [ 1 ]; 6, [ 2 ]; 4, [ 3 ]; 2, [ 4; 5; 7 ]; 1, [ 9; 12 ] ]
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
let rec fit (s: ConvShape) =
    if not (isLarger s) then
        s
    else
        let half size = max 1 (size / 2)
        let cg, og = s.InChannelsPerGroup, s.OutChannelsPerGroup

        let smaller =
            [
                cg, s.With(inChannels = half cg * s.Groups)
                og, s.With(outChannels = half og * s.Groups)
                s.Groups, s.With(groups = half s.Groups, inChannels = half s.Groups * cg, outChannels = half s.Groups * og)
                for at, a in Seq.indexed s.Axes do
                    if a.Extent <= half a.Size + a.Before + a.After then
                        a.Size, s |> Axes.replace at (a.With(size = half a.Size))
                s.Batch * 4, s.With(batch = half s.Batch)
            ]
            |> List.filter (fun (_, candidate) -> candidate <> s)

        match smaller with
        // Nothing is left to halve: the taps alone are over the budget, which no drawn kernel is.
        | [] -> s
        | candidates -> candidates |> List.maxBy fst |> snd |> fit

/// One dimension far beyond the others, which stay at most 3; or many channels on both sides of a plane of a few pixels.
let private stretched (s: ConvShape) =
    gen {
        let! large = Gen.elements [ 65; 130; 260 ]
        let! c, o = Gen.two (Gen.elements [ 24; 31; 32; 33 ])
        let! which = Gen.choose (0, 5)
        let small = min 3

        let s =
            s.With(batch = 1, inChannels = small s.InChannelsPerGroup, outChannels = small s.OutChannelsPerGroup, groups = 1)

        let s = s.Along(fun a -> a.With(size = max (min a.Size 4) (a.Extent - a.Before - a.After)))

        return
            match which with
            | 0 -> s.With(inChannels = large)
            | 1 -> s.With(outChannels = large)
            | 2 -> s |> Axes.replace 0 (s.Rows.With(size = max s.Rows.Size large))
            | 3 -> s.With(batch = large)
            | 4 -> s |> Axes.replace 1 (s.Columns.With(size = max s.Columns.Size large))
            | _ -> s.With(inChannels = c, outChannels = o).Along(fun a -> Axis(min 2 a.Size, min 3 a.Taps, a.Stride, 1, 1))
    }

/// The layer that networks are made of: both axes alike, with the padding that keeps the size, with none, or with any.
let private symmetric (s: ConvShape) =
    gen {
        let! style = Gen.choose (0, 3)
        let rows = s.Rows

        let pad =
            match style with
            | 0
            | 1 -> rows.Extent / 2
            | 2 -> 0
            | _ -> rows.Before

        let both = rows.With(size = max rows.Size (rows.Extent - 2 * pad), before = pad, after = pad)
        return s.Along(fun _ -> both)
    }

/// Simplifications that many implementations ask for, each of the shape before it.
let private simplifications: (ConvShape -> ConvShape) list =
    let roundUp multiple (value: int) = (value + multiple - 1) / multiple * multiple

    let channels multiple (s: ConvShape) =
        let cg, og = roundUp multiple s.InChannelsPerGroup, roundUp multiple s.OutChannelsPerGroup
        s.With(inChannels = s.Groups * cg, outChannels = s.Groups * og)

    let along (change: Axis -> Axis) (s: ConvShape) = s.Along change
    let pads (pad: Axis -> int) = along (fun a -> a.With(before = pad a, after = pad a))

    let kernel (taps: int) = along (fun a -> a.With(taps = taps, size = max a.Size ((taps - 1) * a.Dilation + 1)))

    [
        fun s -> kernel s.Rows.Taps s
        fun s -> along (fun a -> a.With(stride = s.Rows.Stride)) s
        along (fun a -> a.With(size = max a.Size a.Extent))
        pads _.Before
        fun s -> pads (fun _ -> s.Rows.Before) s
        along (fun a -> a.With(dilation = 1))
        fun s -> s.With(groups = 1, inChannels = min 33 s.InChannels, outChannels = min 33 s.OutChannels)
        fun s ->
            let columns = s.Columns.With(size = s.Rows.Size)
            s |> Axes.replace 1 (columns.With(size = max columns.Size columns.Extent))
        // What keeps the size at stride 1.
        pads (fun a -> a.Extent / 2)
        channels 4
        channels 8
        pads (fun _ -> 1)
        pads (fun _ -> 0)
        along (fun a -> a.With(stride = 1))
        kernel 3
        pads (fun _ -> 1)
        pads (fun _ -> 0)
        kernel 1
        fun s -> s.With(batch = 1)
        channels 16
        channels 32
    ]

/// The shape, simplified as little as these steps allow until it is accepted: for implementations that take only a corner of the space.
/// From `first` on, so that different draws try the steps in different orders. `fit` makes small what a step has made too large.
let towardsFitting (fit: ConvShape -> ConvShape) (accepts: ConvShape -> bool) first (s: ConvShape) : ConvShape voption =
    let rec simplify steps s =
        if accepts s then
            ValueSome s
        else
            match steps with
            | [] -> ValueNone
            | step :: rest ->
                let next =
                    try
                        step s
                    with :? System.ArgumentException ->
                        s

                simplify rest next

    let before, from = List.splitAt (first % simplifications.Length) simplifications

    match simplify (from @ before) s with
    | ValueSome found ->
        ValueSome(fit found)
        |> ValueOption.filter accepts
        |> ValueOption.orElse (ValueSome found)
    | ValueNone -> simplify simplifications s

/// The same within the budget of a small problem.
let towards accepts first s = towardsFitting fit accepts first s

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

        let axis size taps stride before after dilation =
            let missing = (taps - 1) * dilation + 1 - before - after - size
            Axis((if missing > 0 then size + missing + spare else size), taps, stride, before, after, dilation)

        let shape = ConvShape(batch, c, o, axis h kh sh pt pb dh, axis w kw sw pl pr dw, groups)

        // One in sixteen is stretched, and a third of the others has both axes alike.
        match! Gen.choose (0, 15) with
        | 0 ->
            let! long = stretched shape
            return fit long
        | style when style <= 5 ->
            let! alike = symmetric shape
            return fit alike
        | _ -> return fit shape
    }
