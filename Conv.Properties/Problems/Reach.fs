/// How much problems cost, and how a plan of one is made to cost no more than it may: what it does not keep shrinks first.
module internal Conv.Properties.Reach

open Conv

/// How much one problem may cost.
type Size =
    /// At most 40,000 multiply-adds and 8,000 elements: `Generate.geometry`.
    | Small
    /// At most a million units of cost.
    | Middle
    /// At most four million.
    | Large

    member s.Name =
        match s with
        | Small -> "small"
        | Middle -> "middle"
        | Large -> "large"

let sizes = [ Small; Middle; Large ]

/// What a problem costs a plain loop and the kit, about: a unit for each multiply-add, and eight for each element that is drawn, passed and
/// compared.
let cost (s: ConvShape) = s.MultiplyAdds + 8L * (s.InputLength + s.KernelLength + s.OutputLength)

/// The most that a problem of a size may cost.
let budget size =
    match size with
    | Small -> Generate.budget
    | Middle -> 1_000_000L
    | Large -> 4_000_000L

/// The most that all calls of a law's case may cost together: what makes many calls is asked smaller problems.
let budgetOfCalls size = 3L * budget size

/// About half of a size, at the same distance from a multiple of 16.
let private halved (size: int) =
    if size < 16 then
        size / 2
    else
        let beside = (size + 8) % 16 - 8
        (size - beside) / 32 * 16 + beside |> max 8

// ---- problems as lists of parameters

/// The parameters of a problem, before they fit each other.
type Plan =
    {
        Batch: int
        Groups: int
        /// Channels of each group.
        In: int
        Out: int
        Height: int
        Width: int
        Kernel: int * int
        Stride: int * int
        Dilation: int * int
        /// Top, left, bottom, right.
        Pads: int * int * int * int
        /// What shrinks last.
        Kept: Set<Part>
    }

/// What can be made smaller.
and Part =
    | Images
    | Group
    | Inputs
    | Outputs
    | Rows
    | Columns
    | RowTaps
    | ColumnTaps

/// The problem; an image that does not hold the kernel is made larger.
let toShape (p: Plan) =
    let kh, kw = p.Kernel
    let sh, sw = p.Stride
    let dh, dw = p.Dilation
    let top, left, bottom, right = p.Pads

    let axis size taps stride before after dilation =
        Axis(max size ((taps - 1) * dilation + 1 - before - after) |> max 1, taps, stride, before, after, dilation)

    ConvShape(p.Batch, p.Groups * p.In, p.Groups * p.Out, axis p.Height kh sh top bottom dh, axis p.Width kw sw left right dw, p.Groups)

let ofShape (s: ConvShape) =
    {
        Batch = s.Batch
        Groups = s.Groups
        In = s.InChannelsPerGroup
        Out = s.OutChannelsPerGroup
        Height = s.Rows.Size
        Width = s.Columns.Size
        Kernel = s.Rows.Taps, s.Columns.Taps
        Stride = s.Rows.Stride, s.Columns.Stride
        Dilation = s.Rows.Dilation, s.Columns.Dilation
        Pads = s.Rows.Before, s.Columns.Before, s.Rows.After, s.Columns.After
        Kept = Set.empty
    }

/// Each part with its size, and the plan with about half of it.
let halves (p: Plan) =
    let kh, kw = p.Kernel

    [
        Images, p.Batch, (fun v -> { p with Batch = v })
        Group, p.Groups, (fun v -> { p with Groups = v })
        Inputs, p.In, (fun v -> { p with In = v })
        Outputs, p.Out, (fun v -> { p with Out = v })
        Rows, p.Height, (fun v -> { p with Height = v })
        Columns, p.Width, (fun v -> { p with Width = v })
        RowTaps, kh, (fun v -> { p with Kernel = v, kw })
        ColumnTaps, kw, (fun v -> { p with Kernel = kh, v })
    ]
    |> List.map (fun (part, size, set) -> part, size, set (max 1 (halved size)))

/// What is not kept shrinks first, the largest of it; then what is kept, the largest too.
let rec fitPlan most (p: Plan) =
    let shape = toShape p

    if cost shape <= most then
        shape
    else
        let smaller =
            halves p
            |> List.filter (fun (_, size, next) -> size > 1 && cost (toShape next) < cost shape)

        let largest candidates =
            let _, _, next = candidates |> List.maxBy (fun (_, size, _) -> size)
            fitPlan most next

        match smaller |> List.partition (fun (part, _, _) -> p.Kept.Contains part) with
        | [], [] -> shape
        | kept, [] -> largest kept
        | _, free -> largest free

/// The shape, or one as like it as costs no more than that: its kernel and its two largest parts shrink last.
let fitTo most (s: ConvShape) =
    let plan = ofShape s

    let kept =
        halves plan
        |> List.sortByDescending (fun (_, size, _) -> size)
        |> List.truncate 2
        |> List.map (fun (part, _, _) -> part)

    fitPlan most { plan with Kept = set (RowTaps :: ColumnTaps :: kept) }

/// The shape, or one as like it as costs no more than the size allows.
let fit size s = fitTo (budget size) s
