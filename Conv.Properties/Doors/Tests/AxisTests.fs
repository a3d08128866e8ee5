/// Axis: its formulas against counting, element by element.
module Conv.Properties.AxisTests

open System
open Xunit
open FsCheck.Xunit
open Conv

/// Both axes of a shape.
let private each (s: ConvShape) (check: Axis -> unit) = Seq.iter check s.Axes

/// The elements of the padded input that a window reads, the first one being 0.
let private window (a: Axis) output = [ for tap in 0 .. a.Taps - 1 -> output * a.Stride + tap * a.Dilation ]

[<Property(Arbitrary = [| typeof<Arbitraries> |])>]
let ``there are as many outputs as windows fit`` (AnyShape s) =
    each s (fun a ->
        let fits output = List.last (window a output) < a.Before + a.Size + a.After
        let count = Seq.initInfinite id |> Seq.takeWhile fits |> Seq.length
        Assert.Equal(count, a.Outputs)
        Assert.Equal(List.last (window a 0) + 1, a.Extent)
        Assert.Equal(a.Before + a.Size + a.After, a.Padded)
        Assert.Equal(List.last (window a (count - 1)) + 1, a.Covered)
        Assert.Equal(a.Padded - a.Covered, a.Unused))

[<Property(Arbitrary = [| typeof<Arbitraries> |])>]
let ``an output reads at a tap what its window has there, and both are found again`` (AnyShape s) =
    each s (fun a ->
        let read =
            [
                for output in 0 .. a.Outputs - 1 do
                    for tap, element in List.indexed (window a output) do
                        let position = element - a.Before
                        Assert.Equal(position, a.Source(output, tap))
                        Assert.Equal(position >= 0 && position < a.Size, a.Contains position)
                        (position, tap), output
            ]
            |> dict

        for position in -a.Before .. a.Size + a.After - 1 do
            for tap in 0 .. a.Taps - 1 do
                let expected =
                    match read.TryGetValue((position, tap)) with
                    | true, output -> output
                    | _ -> -1

                Assert.Equal(expected, a.OutputReading(position, tap))

            for output in 0 .. a.Outputs - 1 do
                let tap =
                    window a output
                    |> List.tryFindIndex (fun element -> element - a.Before = position)

                Assert.Equal(Option.defaultValue -1 tap, a.TapReading(position, output)))

[<Property(Arbitrary = [| typeof<Arbitraries> |])>]
let ``the outputs whose tap meets the input are those that are found one by one`` (AnyShape s) =
    each s (fun a ->
        let meeting tap =
            [ 0 .. a.Outputs - 1 ]
            |> List.filter (fun output ->
                let position = (window a output)[tap] - a.Before
                0 <= position && position < a.Size)

        for tap in 0 .. a.Taps - 1 do
            let expected =
                match meeting tap with
                | [] -> struct (0, 0)
                | outputs -> struct (List.head outputs, List.last outputs + 1)

            Assert.Equal(expected, a.OutputsMeeting tap)

        Assert.Equal(int64 (List.sumBy (meeting >> List.length) [ 0 .. a.Taps - 1 ]), a.InBoundsTaps))

[<Property(Arbitrary = [| typeof<Arbitraries> |])>]
let ``zeros written out are padding and dilation`` (AnyShape s) =
    each s (fun a ->
        Assert.Equal(Axis(a.Before + a.Size + a.After, a.Taps, a.Stride, 0, 0, a.Dilation), a.Unpadded)
        Assert.Equal(a.Outputs, a.Unpadded.Outputs)
        Assert.Equal(Axis(a.Size, List.last (window a 0) + 1, a.Stride, a.Before, a.After), a.Undilated)
        Assert.Equal(a.Outputs, a.Undilated.Outputs))

[<Property(Arbitrary = [| typeof<Arbitraries> |])>]
let ``SAME padding keeps every stride-th element`` (AnyShape s) (lower: bool) =
    each s (fun a ->
        let same = a.Same(if lower then SamePadding.Lower else SamePadding.Upper)
        Assert.Equal((a.Size + a.Stride - 1) / a.Stride, same.Outputs)
        Assert.Equal((if lower then same.Before - same.After else same.After - same.Before), (same.Before + same.After) % 2)
        Assert.Equal(a.With(before = same.Before, after = same.After), same))

[<Theory>]
[<InlineData(0, 3, 1, 0, 0, 1, "size")>]
[<InlineData(9, 0, 1, 0, 0, 1, "taps")>]
[<InlineData(9, 3, 0, 0, 0, 1, "stride")>]
[<InlineData(9, 3, 1, -1, 0, 1, "before")>]
[<InlineData(9, 3, 1, 0, -1, 1, "after")>]
[<InlineData(9, 3, 1, 0, 0, 0, "dilation")>]
[<InlineData(9, 10, 1, 0, 0, 1, "taps")>]
[<InlineData(9, 2, 1, 0, 0, 2147483647, "taps")>]
[<InlineData(9, 3, 1, 2147483647, 0, 1, "taps")>]
let ``an axis of a wrong number is refused by name``
    (size: int, taps: int, stride: int, before: int, after: int, dilation: int, name: string)
    =
    let error =
        Assert.ThrowsAny<ArgumentException>(fun () -> Axis(size, taps, stride, before, after, dilation) |> ignore<Axis>)

    Assert.Equal(name, error.ParamName)

[<Fact>]
let ``an axis that nobody has made is none of a shape`` () =
    let made = Axis(3, 1)

    let error rows columns =
        Assert.ThrowsAny<ArgumentException>(fun () -> ConvShape(1, 1, 1, rows, columns) |> ignore<ConvShape>)

    Assert.Equal("rows", (error Unchecked.defaultof<Axis> made).ParamName)
    Assert.Equal("columns", (error made Unchecked.defaultof<Axis>).ParamName)
    let shape = ConvShape(1, 1, 1, made, made)

    Assert.Throws<ArgumentException>(fun () -> shape.WithAxes [| made |] |> ignore<ConvShape>)
    |> ignore<ArgumentException>

[<Fact>]
let ``shapes are equal by their numbers`` () =
    let line = "n=2 c=4 h=9 w=8 o=6 kh=3 kw=2 sh=2 sw=1 pt=1 pl=0 pb=2 pr=1 dh=1 dw=3 g=2"
    let shape = ConvShape.Parse line
    Assert.Equal(shape, ConvShape.Parse line)
    Assert.Equal(shape.GetHashCode(), (ConvShape.Parse line).GetHashCode())

    for other in
        [
            shape.With(batch = 1)
            shape.With(inChannels = 2)
            shape.With(outChannels = 4)
            shape.With(groups = 1)
            shape.Along(fun a -> a.With(size = a.Size + 1))
            shape.WithAxes [| shape.Rows.With(stride = 1); shape.Columns |]
            shape.WithAxes [| shape.Rows; shape.Columns.With(dilation = 1) |]
        ] do
        Assert.NotEqual(shape, other)
