namespace Conv.Properties

open Conv

/// Elements along an axis of a tensor: the first, the step from one to the next, and how many. What lies outside of the tensor is zero.
[<Struct>]
type internal Slice = { First: int; Step: int; Count: int }

[<RequireQualifiedAccess>]
module internal Slice =
    /// So many from an element on.
    let from first count = { First = first; Step = 1; Count = count }

    /// The first ones.
    let first count = from 0 count

    /// Every so many, from an element on.
    let every step first count = { First = first; Step = step; Count = count }

    /// All of so many, the last one first.
    let reversed count = { First = count - 1; Step = -1; Count = count }

    /// All of so many, between this many zeros on either side.
    let padded before after count = from -before (count + before + after)

/// What becomes of an axis in another problem: the axis, and which elements of the input and which taps it has.
type internal AxisPart = { Axis: Axis; Input: Slice; Taps: Slice }

/// Shapes by their axes: what is said of rows is said of columns.
[<RequireQualifiedAccess>]
module internal Axes =
    /// Whether an axis of the shape is so.
    let exists (holds: Axis -> bool) (s: ConvShape) = Seq.exists holds s.Axes

    /// Whether all axes of the shape are so.
    let forall (holds: Axis -> bool) (s: ConvShape) = Seq.forall holds s.Axes

    /// The most that an axis has.
    let most (size: Axis -> int) (s: ConvShape) = s.Axes |> Seq.map size |> Seq.max

    /// What the axes have together.
    let sum (size: Axis -> int) (s: ConvShape) = s.Axes |> Seq.sumBy size

    /// The shape with another axis in the place of one.
    let replace at (axis: Axis) (s: ConvShape) = s.Axes |> Seq.updateAt at axis |> Array.ofSeq |> s.WithAxes

    /// How many windows of an axis fit into so many elements, counted one by one: what formulas are held to.
    let fitting elements (a: Axis) =
        Seq.initInfinite (fun output -> output * a.Stride + (a.Taps - 1) * a.Dilation)
        |> Seq.takeWhile (fun last -> last < elements)
        |> Seq.length

    /// No padding, and an input that holds the kernel.
    let valid (s: ConvShape) = s.Along(fun a -> a.With(size = max a.Size a.Extent, before = 0, after = 0))

    /// Whether the taps stand apart.
    let isDilated (a: Axis) = a.Dilation > 1 && a.Taps > 1

    /// Whether zeros stand around the input.
    let isPadded (a: Axis) = a.Before + a.After > 0

    /// Whether a window lies wholly in the padding before the input.
    let startsInPadding (a: Axis) = a.Before >= a.Extent
