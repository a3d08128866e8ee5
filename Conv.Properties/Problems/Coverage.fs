/// What the cases of a run must have hit before "holds" means anything. A class is required of a law where the law's own domain and the
/// subject's own support leave room for it.
module Conv.Properties.Coverage

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
                s.KernelHeight = s.KernelWidth
                && s.StrideHeight = s.StrideWidth
                && s.DilationHeight = s.DilationWidth
                && s.PadTop > 0
                && s.PadTop = s.PadLeft
                && s.PadTop = s.PadBottom
                && s.PadTop = s.PadRight)
            [ "c=2 h=6 w=6 o=3 kh=3 kw=3 pt=1 pl=1 pb=1 pr=1"; "c=2 h=6 w=6 o=3 kh=1 kw=1 pt=1 pl=1 pb=1 pr=1" ]
        conv "batch > 1" (fun s -> s.Batch > 1) [ "n=2 c=2 h=6 w=7 o=3 kh=3 kw=3 pt=1 pl=1"; "n=2 c=2 h=6 w=7 o=3 kh=1 kw=1" ]
        conv "several input channels" (fun s -> s.InChannelsPerGroup > 1) [ "c=3 h=6 w=7 o=2 kh=3 kw=3"; "c=3 h=6 w=7 o=2 kh=1 kw=1" ]
        conv "several output channels" (fun s -> s.OutChannelsPerGroup > 1) [ "c=2 h=6 w=7 o=3 kh=3 kw=3"; "c=2 h=6 w=7 o=3 kh=1 kw=1" ]
        conv "groups > 1" (fun s -> s.Groups > 1) [ "c=4 h=6 w=7 o=6 kh=3 kw=3 g=2"; "c=4 h=6 w=7 o=6 kh=1 kw=1 g=2" ]
        conv "height ≠ width" (fun s -> s.InHeight <> s.InWidth) [ "c=2 h=6 w=7 o=3 kh=3 kw=3"; "c=2 h=6 w=7 o=3 kh=1 kw=1" ]
        conv "kernel height ≠ width" (fun s -> s.KernelHeight <> s.KernelWidth) [ "c=2 h=6 w=7 o=3 kh=3 kw=2" ]
        conv
            "stride height ≠ width"
            (fun s -> s.StrideHeight <> s.StrideWidth)
            [ "c=2 h=9 w=9 o=3 kh=3 kw=3 sh=2"; "c=2 h=9 w=9 o=3 kh=1 kw=1 sh=2" ]
        conv
            "dilation > 1"
            (fun s ->
                s.DilationHeight > 1 && s.KernelHeight > 1
                || s.DilationWidth > 1 && s.KernelWidth > 1)
            [ "c=2 h=9 w=9 o=3 kh=3 kw=3 dh=2" ]
        conv
            "pads differ"
            (fun s -> s.PadTop <> s.PadBottom || s.PadLeft <> s.PadRight || s.PadTop <> s.PadLeft)
            [ "c=2 h=6 w=7 o=3 kh=3 kw=3 pt=1 pr=2"; "c=2 h=6 w=7 o=3 kh=1 kw=1 pt=1 pr=2" ]
        conv
            "a window wholly in the padding"
            (fun s -> s.PadTop >= s.KernelExtentHeight || s.PadLeft >= s.KernelExtentWidth)
            [ "c=2 h=6 w=7 o=3 kh=3 kw=3 pt=3"; "c=2 h=6 w=7 o=3 kh=1 kw=1 pt=1" ]
        conv
            "channels not a multiple of 4"
            (fun s -> s.InChannelsPerGroup % 4 <> 0 && s.OutChannelsPerGroup % 4 <> 0)
            [ "c=3 h=6 w=7 o=5 kh=3 kw=3"; "c=3 h=6 w=7 o=5 kh=1 kw=1" ]
    ]
