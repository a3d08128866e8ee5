/// What the cases of a run must have hit before "holds" means anything. A class is required of a law where the law's own domain and the
/// subject's own support leave room for it.
module internal Conv.Properties.Coverage

open Conv

/// A region of the space of problems in which convolutions are known to break.
[<NoComparison; NoEquality>]
type Class =
    {
        Name: string
        Holds: ConvShape -> bool
        /// Problems of the class, to find out whether a law and a subject leave room for it.
        Examples: ConvShape list
    }

let private isStrided (a: Axis) = a.Stride > 1
let private isUneven (a: Axis) = a.Before <> a.After

let private shape text = ConvShape.Parse text

let private conv name holds examples = { Name = name; Holds = holds; Examples = List.map shape examples }

/// The least number of cases of a law and subject from which a missed class decides anything: below, even a class that one draw in ten
/// hits may be missed by chance (0.9¹⁰⁰ < 3·10⁻⁵).
let decidesFrom = 100

let classes =
    [
        conv
            "both axes alike, with padding"
            (fun s ->
                let like (a: Axis) = a.Taps, a.Stride, a.Dilation, a.Before, a.After

                s.Rows.Before > 0
                && s.Rows.Before = s.Rows.After
                && like s.Rows = like s.Columns)
            [ "c=2 h=6 w=6 o=3 kh=3 kw=3 pt=1 pl=1 pb=1 pr=1"; "c=2 h=6 w=6 o=3 kh=1 kw=1 pt=1 pl=1 pb=1 pr=1" ]
        conv "batch > 1" (fun s -> s.Batch > 1) [ "n=2 c=2 h=6 w=7 o=3 kh=3 kw=3 pt=1 pl=1"; "n=2 c=2 h=6 w=7 o=3 kh=1 kw=1" ]
        conv "several input channels" (fun s -> s.InChannelsPerGroup > 1) [ "c=3 h=6 w=7 o=2 kh=3 kw=3"; "c=3 h=6 w=7 o=2 kh=1 kw=1" ]
        conv "several output channels" (fun s -> s.OutChannelsPerGroup > 1) [ "c=2 h=6 w=7 o=3 kh=3 kw=3"; "c=2 h=6 w=7 o=3 kh=1 kw=1" ]
        conv "groups > 1" (fun s -> s.Groups > 1) [ "c=4 h=6 w=7 o=6 kh=3 kw=3 g=2"; "c=4 h=6 w=7 o=6 kh=1 kw=1 g=2" ]
        conv "height ≠ width" (fun s -> s.Rows.Size <> s.Columns.Size) [ "c=2 h=6 w=7 o=3 kh=3 kw=3"; "c=2 h=6 w=7 o=3 kh=1 kw=1" ]
        conv "kernel height ≠ width" (fun s -> s.Rows.Taps <> s.Columns.Taps) [ "c=2 h=6 w=7 o=3 kh=3 kw=2" ]
        conv
            "stride height ≠ width"
            (fun s -> s.Rows.Stride <> s.Columns.Stride)
            [ "c=2 h=9 w=9 o=3 kh=3 kw=3 sh=2"; "c=2 h=9 w=9 o=3 kh=1 kw=1 sh=2" ]
        conv "dilation > 1" (Axes.exists Axes.isDilated) [ "c=2 h=9 w=9 o=3 kh=3 kw=3 dh=2" ]
        conv
            "pads differ"
            (fun s -> Axes.exists isUneven s || s.Rows.Before <> s.Columns.Before)
            [ "c=2 h=6 w=7 o=3 kh=3 kw=3 pt=1 pr=2"; "c=2 h=6 w=7 o=3 kh=1 kw=1 pt=1 pr=2" ]
        conv
            "a window wholly in the padding"
            (Axes.exists Axes.startsInPadding)
            [ "c=2 h=6 w=7 o=3 kh=3 kw=3 pt=3"; "c=2 h=6 w=7 o=3 kh=1 kw=1 pt=1" ]
        conv
            "channels not a multiple of 4"
            (fun s -> s.InChannelsPerGroup % 4 <> 0 && s.OutChannelsPerGroup % 4 <> 0)
            [ "c=3 h=6 w=7 o=5 kh=3 kw=3"; "c=3 h=6 w=7 o=5 kh=1 kw=1" ]
        conv
            "stride > 1 with dilation > 1"
            (fun s -> Axes.exists isStrided s && Axes.exists Axes.isDilated s)
            [ "c=2 h=9 w=9 o=3 kh=3 kw=3 sh=2 dh=2" ]
        conv
            "groups > 1 with padding"
            (fun s -> s.Groups > 1 && Axes.exists Axes.isPadded s)
            [ "c=4 h=6 w=7 o=6 kh=3 kw=3 g=2 pt=1"; "c=4 h=6 w=7 o=6 kh=1 kw=1 g=2 pt=1" ]
        for remainder in 0..3 do
            conv
                $"input channels ≡ {remainder} mod 4"
                (fun s -> s.InChannelsPerGroup % 4 = remainder)
                [ $"c={4 + remainder} h=6 w=7 o=2 kh=3 kw=3"; $"c={4 + remainder} h=6 w=7 o=2 kh=1 kw=1" ]

            conv
                $"output channels ≡ {remainder} mod 4"
                (fun s -> s.OutChannelsPerGroup % 4 = remainder)
                [ $"c=2 h=6 w=7 o={4 + remainder} kh=3 kw=3"; $"c=2 h=6 w=7 o={4 + remainder} kh=1 kw=1" ]

            conv
                $"output columns ≡ {remainder} mod 4"
                (fun s -> s.Columns.Outputs % 4 = remainder)
                [ $"c=2 h=6 w={6 + remainder} o=3 kh=3 kw=3"; $"c=2 h=6 w={4 + remainder} o=3 kh=1 kw=1" ]
    ]

/// What a problem may have, of which every two should meet somewhere.
let private options: (string * (ConvShape -> bool)) list =
    [
        "batch", (fun s -> s.Batch > 1)
        "stride", Axes.exists isStrided
        "dilation", Axes.exists Axes.isDilated
        "padding", Axes.exists Axes.isPadded
        "uneven padding", Axes.exists isUneven
        "windows wholly in the padding", Axes.exists Axes.startsInPadding
        "groups", (fun s -> s.Groups > 1)
        "depthwise", (fun s -> s.Groups > 1 && s.InChannelsPerGroup = 1)
        "one column or row of taps", Axes.exists (fun a -> a.Taps = 1)
        "kernel larger than the image", Axes.exists (fun a -> a.Extent > a.Size)
        "stride beyond the kernel", Axes.exists (fun a -> a.Stride > a.Extent)
        "unused rows or columns", Axes.exists (fun a -> a.Covered < a.Before + a.Size)
        "a dimension beyond 64",
        (fun s ->
            [ s.Batch; s.InChannels; s.OutChannels; Axes.most _.Size s ]
            |> List.exists (fun size -> size > 64))
    ]

/// What a set of problems covered: pairs of options that met, of how many, those that did not; and remainders.
type Summary =
    {
        Shapes: int
        PairsHit: int
        Pairs: int
        PairsMissed: string list
        /// Of output channels, input channels and output columns: the modulus, and how many remainders of all three were hit.
        Remainders: (int * int) list
    }

/// Measures problems, each counted once.
let summary (shapes: ConvShape seq) : Summary =
    let shapes = shapes |> Seq.distinct |> Array.ofSeq
    let names, predicates = List.unzip options
    let names, predicates = Array.ofList names, Array.ofList predicates
    let count = names.Length
    let hit = Array2D.create count count false

    for s in shapes do
        let has = predicates |> Array.map (fun p -> p s)

        for i in 0 .. count - 1 do
            if has[i] then
                for j in i + 1 .. count - 1 do
                    if has[j] then
                        hit[i, j] <- true

    let pairs =
        [
            for i in 0 .. count - 1 do
                for j in i + 1 .. count - 1 -> i, j
        ]

    let missed = pairs |> List.filter (fun (i, j) -> not hit[i, j])

    let remainders modulus =
        [
            (fun (s: ConvShape) -> s.InChannelsPerGroup)
            (fun s -> s.OutChannelsPerGroup)
            (fun s -> s.Columns.Outputs)
        ]
        |> List.sumBy (fun size -> shapes |> Seq.map (fun s -> size s % modulus) |> Seq.distinct |> Seq.length)

    {
        Shapes = shapes.Length
        PairsHit = pairs.Length - missed.Length
        Pairs = pairs.Length
        PairsMissed = missed |> List.map (fun (i, j) -> $"{names[i]} with {names[j]}")
        Remainders = [ for modulus in [ 4; 8; 16 ] -> modulus, remainders modulus ]
    }

/// Pairs of extremes, where fast paths begin and end. A run of many larger problems has met each of them that the subject leaves room for.
let extremes =
    let pair name holds example = conv name holds [ example ]

    [
        pair
            "128 channels in and out"
            (fun s -> s.InChannelsPerGroup >= 128 && s.OutChannelsPerGroup >= 128)
            "c=128 h=2 w=2 o=129 kh=3 kw=3 pt=1 pl=1 pb=1 pr=1"
        pair
            "64 outputs, 64 terms, 64 pixels"
            (fun s ->
                s.OutChannelsPerGroup >= 64
                && s.TermsPerOutput >= 64L
                && int s.OutputPlane >= 64)
            "c=64 h=8 w=8 o=64 kh=1 kw=1"
        pair "1,024 channels" (fun s -> s.InChannelsPerGroup >= 1024) "c=1024 h=2 w=2 o=4 kh=1 kw=1"
        pair "one row of 1,024 terms" (fun s -> s.Rows.Size = 1 && s.TermsPerOutput >= 1024L) "c=256 h=1 w=24 o=8 kh=1 kw=5 pl=2 pr=2"
        pair "one row, 128 output columns" (fun s -> s.Rows.Size = 1 && s.Columns.Outputs >= 128) "c=8 h=1 w=200 o=8 kh=1 kw=3"
        pair
            "a batch of 32 with odd planes"
            (fun s -> s.Batch >= 32 && int s.OutputPlane % 2 = 1)
            "n=33 c=4 h=5 w=5 o=4 kh=3 kw=3 pt=1 pl=1 pb=1 pr=1"
        pair "16,384 output pixels" (fun s -> int64 s.Batch * s.OutputPlane >= 16384L) "c=1 h=130 w=130 o=1 kh=3 kw=3 pt=1 pl=1 pb=1 pr=1"
        pair
            "kernel = stride ≥ 8"
            (fun s -> s.Rows.Taps >= 8 && Axes.forall (fun a -> a.Taps = a.Stride) s)
            "c=3 h=32 w=32 o=16 kh=8 kw=8 sh=8 sw=8"
        pair "a side of the kernel ≥ 64" (Axes.exists (fun a -> a.Taps >= 64)) "c=2 h=8 w=100 o=2 kh=1 kw=64"
        pair "a long kernel in groups" (fun s -> s.Groups > 1 && Axes.exists (fun a -> a.Taps >= 16) s) "c=4 h=8 w=100 o=4 kh=1 kw=31 g=4"
        pair
            "16 groups of several channels"
            (fun s -> s.Groups >= 16 && s.InChannelsPerGroup > 1 && s.OutChannelsPerGroup > 1)
            "c=64 h=6 w=6 o=64 kh=3 kw=3 g=16"
        pair "a stride ≥ 8" (Axes.exists (fun a -> a.Stride >= 8)) "c=2 h=40 w=40 o=2 kh=3 kw=3 sh=9 sw=9"
        pair "a dilation ≥ 16" (Axes.exists (fun a -> a.Dilation >= 16 && a.Taps > 1)) "c=2 h=40 w=40 o=2 kh=3 kw=3 dh=17 dw=17"
        pair
            "a pad ≥ 16 before 16 output columns"
            (fun s -> s.Columns.Before >= 16 && s.Columns.Outputs >= 16)
            "c=2 h=8 w=20 o=2 kh=3 kw=3 pl=17 pr=1"
    ]

/// How many larger problems it takes to expect every pair of extremes: a share of one in a hundred is missed by chance with 0.99¹⁰⁰⁰ < 5·10⁻⁵.
let decidesExtremesFrom = 1000

/// The pairs of extremes that problems met, and those that they missed of those that there is room for.
let extremesOf (supports: ConvShape -> bool) (shapes: ConvShape seq) : string list * string list =
    let shapes = Array.ofSeq shapes

    extremes
    |> List.filter (fun pair -> pair.Examples |> List.exists supports || Array.exists pair.Holds shapes)
    |> List.partition (fun pair -> Array.exists pair.Holds shapes)
    |> fun (met, missed) -> List.map _.Name met, List.map _.Name missed

/// The largest of everything that problems exercised.
type Largest =
    {
        MultiplyAdds: int64
        Channels: int
        Outputs: int
        Groups: int
        Batch: int
        Side: int
        Kernel: int
        Stride: int
        Dilation: int
        Pad: int
    }

/// Of these problems; nothing for none.
let largest (shapes: ConvShape seq) : Largest option =
    let shapes = Array.ofSeq shapes
    let most size = shapes |> Array.map size |> Array.max

    if shapes.Length = 0 then
        None
    else
        Some
            {
                MultiplyAdds = most _.MultiplyAdds
                Channels = most _.InChannels
                Outputs = most _.OutChannels
                Groups = most _.Groups
                Batch = most _.Batch
                Side = most (Axes.most _.Size)
                Kernel = most (Axes.most _.Taps)
                Stride = most (Axes.most _.Stride)
                Dilation = most (Axes.most _.Dilation)
                Pad = most (Axes.most (fun a -> max a.Before a.After))
            }

/// In words, for the line of a verdict.
let inWords (r: Largest) =
    let count (n: int64) = n.ToString("N0", System.Globalization.CultureInfo.InvariantCulture)

    $"{count r.MultiplyAdds} multiply-adds, {count r.Channels} channels to {count r.Outputs}, {count r.Groups} groups, batches of {count r.Batch}, sides of {count r.Side}, kernels to {r.Kernel}, strides to {r.Stride}, dilations to {r.Dilation}, pads to {r.Pad}"
