/// ConvShape: counts against counting, refusals by name, and the line that it prints.
module Conv.Properties.ShapeTests

open System
open Xunit
open FsCheck.Xunit
open Conv

[<Property(Arbitrary = [| typeof<Arbitraries> |])>]
let ``rows and columns are the numbers of the constructor`` (AnyShape s) =
    Assert.Equal(Axis(s.InHeight, s.KernelHeight, s.StrideHeight, s.PadTop, s.PadBottom, s.DilationHeight), s.Rows)
    Assert.Equal(Axis(s.InWidth, s.KernelWidth, s.StrideWidth, s.PadLeft, s.PadRight, s.DilationWidth), s.Columns)
    Assert.Equal<Axis seq>([ s.Rows; s.Columns ], s.Axes)
    Assert.Equal(struct (s.OutHeight, s.OutWidth), struct (s.Rows.Outputs, s.Columns.Outputs))
    Assert.Equal(s, s.WithAxes s.Axes)
    Assert.Equal(s, ConvShape(s.Batch, s.InChannels, s.OutChannels, s.Rows, s.Columns, s.Groups))

[<Property(Arbitrary = [| typeof<Arbitraries> |])>]
let ``the multiply-adds in bounds are those that the loop takes`` (AnyShape s) =
    let products, sums = Specification.countMultiplyAdds s
    Assert.Equal(products, s.InBoundsMultiplyAdds)
    Assert.Equal(sums, s.InBoundsMultiplyAdds)
    Assert.True(s.InBoundsMultiplyAdds <= s.MultiplyAdds)

[<Property(Arbitrary = [| typeof<Arbitraries> |])>]
let ``the counts are those of the tensors`` (AnyShape s) =
    let taps = int64 (s.KernelHeight * s.KernelWidth)
    Assert.Equal(int64 (s.Batch * s.InChannels * s.InHeight * s.InWidth), s.InputLength)
    Assert.Equal(int64 (s.OutChannels * s.InChannels / s.Groups) * taps, s.KernelLength)
    Assert.Equal(int64 (s.Batch * s.OutChannels * s.OutHeight * s.OutWidth), s.OutputLength)
    Assert.Equal(s.KernelLength + int64 s.OutChannels, s.ParameterCount)
    Assert.Equal(4L * (s.InputLength + s.ParameterCount + s.OutputLength), s.Bytes)
    Assert.Equal(s.OutputLength * int64 (s.InChannels / s.Groups) * taps, s.MultiplyAdds)

[<Property(Arbitrary = [| typeof<Arbitraries> |])>]
let ``a shape reads back what it prints`` (AnyShape s) = Assert.Equal(s, ConvShape.Parse(s.ToString()))

[<Fact>]
let ``each of the sixteen fields has its own place`` () =
    let s = ConvShape(2, 3 * 5, 60, 70, 4 * 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 5)
    Assert.Equal("n=2 c=15 h=60 w=70 o=20 kh=6 kw=7 sh=8 sw=9 pt=10 pl=11 pb=12 pr=13 dh=14 dw=15 g=5", s.ToString())
    Assert.Equal(s, ConvShape.Parse "g=5 dw=15 dh=14 pr=13 pb=12 pl=11 pt=10 sw=9 sh=8 kw=7 kh=6 o=20 w=70 h=60 c=15 n=2")
    Assert.Equal(ConvShape(1, 1, 2, 3, 4, 1, 2), ConvShape.Parse "c=1 h=2 w=3 o=4 kh=1 kw=2")

[<Theory>]
[<InlineData("", "needs the field 'c'")>]
[<InlineData("c=1 h=2 w=3 o=4 kh=1", "needs the field 'kw'")>]
[<InlineData("c=1 h=2 w=3 o=4 kh=1 kw=2 c=1", "'c' is given twice")>]
[<InlineData("c=1 h=2 w=3 o=4 kh=1 kw=2 q=1", "'q' is not a field")>]
[<InlineData("c=1 h=2 w=3 o=4 kh=1 kw=2 =1", "'' is not a field")>]
[<InlineData("c=1 h=2 w=3 o=4 kh=1 kw=x", "'kw=x' is not a field")>]
[<InlineData("c=1 h=2 w=3 o=4 kh=1 kw", "'kw' is not a field")>]
[<InlineData("c=1 h=2 w=3 o=4 kh=1 kw=1.0", "'kw=1.0' is not a field")>]
[<InlineData("c=1 h=2 w=3 o=4 kh=1 kw=99999999999", "'kw=99999999999' is not a field")>]
let ``a line that is no shape is refused in words`` (line: string, expected: string) =
    let error = Assert.Throws<FormatException>(fun () -> ConvShape.Parse line |> ignore)
    Assert.Contains(expected, error.Message)

[<Fact>]
let ``no line is no shape either`` () =
    Assert.Throws<ArgumentNullException>("text", (fun () -> ConvShape.Parse(Unchecked.defaultof<string>) |> ignore))
    |> ignore

[<Fact>]
let ``the largest size that 32 bits hold is a size`` () =
    let most = Int32.MaxValue
    let s = ConvShape(1, 1, most, 1, 1, 1, 1)
    Assert.Equal(most, s.OutHeight)
    Assert.Equal(most, ConvShape(1, 1, 1, most - 1, 1, 1, 1, padLeft = 1).OutWidth)
    Assert.Equal(most, TransposedShape(s).OutHeight)
    Assert.Equal(most, TransposedShape(1, 1, 1, most, 1, 1, 1).OutWidth)

/// A shape in which every number can be wrong by itself.
let private valid = "n=2 c=6 h=9 w=8 o=4 kh=3 kw=2 sh=2 sw=1 pt=1 pl=2 pb=0 pr=1 dh=2 dw=3 g=2"

[<Theory>]
[<InlineData("n=-1", "batch")>]
[<InlineData("c=-2", "inChannels")>]
[<InlineData("c=7", "inChannels")>]
[<InlineData("h=0", "inHeight")>]
[<InlineData("h=-1", "inHeight")>]
[<InlineData("w=0", "inWidth")>]
[<InlineData("w=-1", "inWidth")>]
[<InlineData("o=-2", "outChannels")>]
[<InlineData("o=5", "outChannels")>]
[<InlineData("kh=0", "kernelHeight")>]
[<InlineData("kh=-1", "kernelHeight")>]
[<InlineData("kh=6", "kernelHeight")>]
[<InlineData("kw=0", "kernelWidth")>]
[<InlineData("kw=-1", "kernelWidth")>]
[<InlineData("kw=5", "kernelWidth")>]
[<InlineData("sh=0", "strideHeight")>]
[<InlineData("sh=-1", "strideHeight")>]
[<InlineData("sw=0", "strideWidth")>]
[<InlineData("sw=-1", "strideWidth")>]
[<InlineData("pt=-1", "padTop")>]
[<InlineData("pl=-1", "padLeft")>]
[<InlineData("pb=-1", "padBottom")>]
[<InlineData("pr=-1", "padRight")>]
[<InlineData("dh=0", "dilationHeight")>]
[<InlineData("dh=-1", "dilationHeight")>]
[<InlineData("dh=5", "kernelHeight")>]
[<InlineData("dh=2147483647", "kernelHeight")>]
[<InlineData("dw=0", "dilationWidth")>]
[<InlineData("dw=-1", "dilationWidth")>]
[<InlineData("dw=11", "kernelWidth")>]
[<InlineData("g=0", "groups")>]
[<InlineData("g=-1", "groups")>]
[<InlineData("g=4", "inChannels")>]
[<InlineData("g=3", "outChannels")>]
[<InlineData("h=2147483647", "kernelHeight")>]
[<InlineData("pr=2147483647", "kernelWidth")>]
[<InlineData("n=2147483647 c=2147483646", "batch")>]
[<InlineData("n=0 c=2147483646 h=2000000000 w=2000000000", "batch")>]
[<InlineData("o=2147483646 c=2147483646 kh=2 kw=2", "batch")>]
let ``a wrong number is refused by name`` (change: string, parameter: string) =
    let names = change.Split ' ' |> Array.map (fun field -> field.Split('=')[0])

    let line =
        valid.Split ' '
        |> Array.filter (fun field -> not (Array.contains (field.Split('=')[0]) names))
        |> String.concat " "

    let error =
        Assert.ThrowsAny<ArgumentException>(fun () -> ConvShape.Parse(line + " " + change) |> ignore)

    Assert.Equal(parameter, error.ParamName)

[<Theory>]
[<InlineData(0, 3, 1, 1, "size")>]
[<InlineData(5, 0, 1, 1, "taps")>]
[<InlineData(5, 3, 0, 1, "stride")>]
[<InlineData(5, 3, 1, 0, "dilation")>]
[<InlineData(-1, 3, 1, 1, "size")>]
[<InlineData(5, -1, 1, 1, "taps")>]
[<InlineData(5, 3, -1, 1, "stride")>]
[<InlineData(5, 3, 1, -1, "dilation")>]
[<InlineData(1, 3, 1, 2147483647, "taps")>]
let ``SAME padding of a wrong number is refused by name`` (size: int, taps: int, stride: int, dilation: int, parameter: string) =
    let error =
        Assert.ThrowsAny<ArgumentException>(fun () -> Axis.SamePads(size, taps, stride, dilation, SamePadding.Upper) |> ignore)

    Assert.Equal(parameter, error.ParamName)

[<Fact>]
let ``the most zeros of SAME padding that 32 bits hold`` () =
    // Two taps 2³¹ − 1 apart on one element: 2³¹ − 1 zeros, the odd one on the side that is asked for.
    let pads side = Axis.SamePads(1, 2, 1, Int32.MaxValue, side)
    Assert.Equal(struct (1073741823, 1073741824), pads SamePadding.Upper)
    Assert.Equal(struct (1073741824, 1073741823), pads SamePadding.Lower)

/// A transposed shape in which a number can be replaced: 11×14 outputs from 4×5 inputs.
let private transposedWith (name: string) (value: int) =
    let number field usual = if field = name then value else usual

    TransposedShape(
        number "batch" 2,
        number "inChannels" 6,
        number "inHeight" 4,
        number "inWidth" 5,
        number "outChannels" 4,
        number "kernelHeight" 3,
        number "kernelWidth" 2,
        number "strideHeight" 2,
        number "strideWidth" 3,
        number "padTop" 1,
        number "padLeft" 1,
        number "padBottom" 0,
        number "padRight" 1,
        number "dilationHeight" 2,
        number "dilationWidth" 1,
        number "outputPaddingHeight" 1,
        number "outputPaddingWidth" 2,
        number "groups" 2
    )

[<Fact>]
let ``a transposed shape by hand`` () =
    // (4 − 1)·2 + (3 − 1)·2 + 1 + 1 − 1 rows, (5 − 1)·3 + (2 − 1)·1 + 1 + 2 − 1 − 1 columns.
    let t = transposedWith "" 0
    Assert.Equal((11, 14), (t.OutHeight, t.OutWidth))
    Assert.Equal((4, 5), (t.InHeight, t.InWidth))
    Assert.Equal((6, 4), (t.InChannels, t.OutChannels))
    Assert.Equal((1, 2), (t.OutputPaddingHeight, t.OutputPaddingWidth))
    // Read back from the forward convolution, and all that pads may take.
    Assert.Equal(t, TransposedShape t.Forward)
    Assert.Equal(1, (transposedWith "padTop" 11).OutHeight)
    Assert.Equal(1, (transposedWith "padLeft" 14).OutWidth)

[<Theory>]
[<InlineData("inHeight", 0, "inHeight")>]
[<InlineData("inHeight", -1, "inHeight")>]
[<InlineData("inWidth", 0, "inWidth")>]
[<InlineData("inWidth", -1, "inWidth")>]
[<InlineData("outputPaddingHeight", -1, "outputPaddingHeight")>]
[<InlineData("outputPaddingHeight", 2, "outputPaddingHeight")>]
[<InlineData("outputPaddingWidth", -1, "outputPaddingWidth")>]
[<InlineData("outputPaddingWidth", 3, "outputPaddingWidth")>]
[<InlineData("padTop", 12, "padTop")>]
[<InlineData("padLeft", 15, "padLeft")>]
[<InlineData("padBottom", 11, "padTop")>]
[<InlineData("inHeight", 1073741824, "strideHeight")>]
[<InlineData("inWidth", 715827883, "strideWidth")>]
[<InlineData("strideWidth", 2, "outputPaddingWidth")>]
[<InlineData("batch", -1, "batch")>]
[<InlineData("inChannels", -2, "inChannels")>]
[<InlineData("inChannels", 7, "inChannels")>]
[<InlineData("outChannels", -2, "outChannels")>]
[<InlineData("outChannels", 5, "outChannels")>]
[<InlineData("groups", 0, "groups")>]
[<InlineData("groups", 4, "inChannels")>]
[<InlineData("groups", 3, "outChannels")>]
let ``a wrong number of a transposed shape is refused by name`` (name: string, value: int, parameter: string) =
    let error = Assert.ThrowsAny<ArgumentException>(fun () -> transposedWith name value |> ignore)

    Assert.Equal(parameter, error.ParamName)

[<Fact>]
let ``With validates anew`` () =
    let s = ConvShape.Parse valid
    Assert.Equal(s, s.With())
    Assert.Equal(10, s.With(inHeight = 26, strideHeight = 1, padTop = 0, dilationHeight = 8).OutHeight)
    Assert.Equal("kernelHeight", Assert.ThrowsAny<ArgumentException>(fun () -> s.With(inHeight = 3) |> ignore).ParamName)
    Assert.Equal("outChannels", Assert.ThrowsAny<ArgumentException>(fun () -> s.With(groups = 3) |> ignore).ParamName)
    Assert.Equal("strideWidth", Assert.ThrowsAny<ArgumentException>(fun () -> s.With(strideWidth = 0) |> ignore).ParamName)

[<Theory>]
[<InlineData("n=0", 0L, 76L, 0L)>]
[<InlineData("c=0", 0L, 4L, 0L)>]
[<InlineData("o=0", 864L, 0L, 0L)>]
let ``no images, no input channels, no output channels`` (change: string, inputs: int64, parameters: int64, work: int64) =
    let name = change.Split('=')[0]

    let line =
        valid.Split ' '
        |> Array.filter (fun field -> not (field.StartsWith(name + "=")))
        |> String.concat " "

    let s = ConvShape.Parse(line + " " + change)
    Assert.Equal(inputs, s.InputLength)
    Assert.Equal(parameters, s.ParameterCount)
    Assert.Equal(work, s.MultiplyAdds)

[<Theory>]
[<InlineData(3, 64, 1_728L, 1_792L)>]
[<InlineData(256, 256, 589_824L, 590_080L)>]
[<InlineData(512, 2048, 9_437_184L, 9_439_232L)>]
let ``the source's examples of parameters`` (inChannels: int, outChannels: int, weights: int64, parameters: int64) =
    let s = ConvShape(1, inChannels, 8, 8, outChannels, 3, 3)
    Assert.Equal(weights, s.KernelLength)
    Assert.Equal(parameters, s.ParameterCount)

[<Fact>]
let ``the source's example of cost`` () =
    // 256·256 outputs × 5·5 taps × 128 × 128; without padding 252·252.
    let same = ConvShape(1, 128, 256, 256, 128, 5, 5, padTop = 2, padLeft = 2, padBottom = 2, padRight = 2)
    Assert.Equal(26_843_545_600L, same.MultiplyAdds)
    // Each axis misses 2 + 1 taps at either end: (256·5 − 6)² × 128².
    Assert.Equal(26_592_477_184L, same.InBoundsMultiplyAdds)
    let valid = ConvShape(1, 128, 256, 256, 128, 5, 5)
    Assert.Equal(26_011_238_400L, valid.MultiplyAdds)
    Assert.Equal(valid.MultiplyAdds, valid.InBoundsMultiplyAdds)
