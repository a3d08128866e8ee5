/// Our implementations outside of the laws: the source's examples as literal numbers, empty tensors, and arguments that are refused.
module Conv.Properties.ImplementationTests

open System
open Xunit
open Conv

let names: TheoryData<string> = TheoryData<string>(Ours.implementations |> List.map _.Name)
let private convolution name = Catalogue.All |> Seq.find (fun c -> c.Name = name)
let private run name (s: ConvShape) x k b = (Contract.ofConvolution (convolution name)).Forward s x k b

let private x = [| 0f; 1f; 2f; 3f; 4f; 5f; 6f; 7f; 8f; 1f; 2f; 3f; 4f; 5f; 6f; 7f; 8f; 9f |]
let private k = [| 0f; 1f; 2f; 3f; 1f; 2f; 3f; 4f |]

let private stack =
    [| 0f; 1f; 2f; 3f; 1f; 2f; 3f; 4f; 1f; 2f; 3f; 4f; 2f; 3f; 4f; 5f; 2f; 3f; 4f; 5f; 3f; 4f; 5f; 6f |]

let private one = [| 56f; 72f; 104f; 120f |]
let private three = [| 56f; 72f; 104f; 120f; 76f; 100f; 148f; 172f; 96f; 128f; 192f; 224f |]

[<Theory>]
[<InlineData("loop")>]
[<InlineData("im2col")>]
[<InlineData("parallel-tiled")>]
let ``the source's two examples`` (name: string) =
    Assert.Equal<float32[]>(one, run name (ConvShape(1, 2, 3, 3, 1, 2, 2)) x k [||])
    Assert.Equal<float32[]>(three, run name (ConvShape(1, 2, 3, 3, 3, 2, 2)) x stack [||])
    // With a bias for each output channel.
    Assert.Equal<float32[]>(
        [| 66f; 82f; 114f; 130f; 96f; 120f; 168f; 192f; 126f; 158f; 222f; 254f |],
        run name (ConvShape(1, 2, 3, 3, 3, 2, 2)) x stack [| 10f; 20f; 30f |]
    )

/// Each 2×2 kernel in the corner of a 3×3 one.
let private bordered (kernels: float32[]) =
    Array.init (kernels.Length / 4 * 9) (fun at ->
        let u, v = at % 9 / 3, at % 3
        if u < 2 && v < 2 then kernels[at / 9 * 4 + u * 2 + v] else 0f)

let private borderedShape outputs = ConvShape(1, 2, 3, 3, outputs, 3, 3, padBottom = 1, padRight = 1)

[<Fact>]
let ``the source's examples through F(2,3), the kernel bordered with zeros`` () =
    Assert.Equal<float32[]>(one, run "winograd-f2x3" (borderedShape 1) x (bordered k) [||])
    Assert.Equal<float32[]>(three, run "winograd-f2x3" (borderedShape 3) x (bordered stack) [||])

[<Fact>]
let ``the source's examples through F(4,3), within its bound`` () =
    let subject = Contract.ofConvolution (convolution "winograd-f4x3")

    for outputs, kernels, expected in [ 1, k, one; 3, stack, three ] do
        let s, kernels = borderedShape outputs, bordered kernels

        let bound =
            Bound.ofCall
                Operation.Forward
                (subject.Profile.ArithmeticOf s)
                subject.Profile.Traits
                s
                (Array.map float x)
                (Array.map float kernels)
                [||]

        subject.Forward s x kernels [||]
        |> Array.iteri (fun at y ->
            Assert.True(MathF.Abs(y - expected[at]) <= float32 (bound.At at))
            // And the bound says something: a thousandth of a result, not more.
            Assert.True(bound.At at < 0.1))

[<Fact>]
let ``the source's example as the sum of four 1×1 convolutions`` () =
    let tap u v =
        let pixels =
            [|
                for c in 0..1 do
                    for i in 0..1 do
                        for j in 0..1 -> x[(c * 3 + i + u) * 3 + j + v]
            |]

        run "pointwise" (ConvShape(1, 2, 2, 2, 1, 1, 1)) pixels [| k[u * 2 + v]; k[4 + u * 2 + v] |] [||]

    Assert.Equal<float32[]>([| 1f; 2f; 4f; 5f |], tap 0 0)
    Assert.Equal<float32[]>(one, [| for at in 0..3 -> (tap 0 0)[at] + (tap 0 1)[at] + (tap 1 0)[at] + (tap 1 1)[at] |])

/// A shape that the implementation supports, with everything at more than one where that is possible.
let private supported name =
    let convolution = convolution name

    [
        ConvShape.Parse "n=2 c=4 h=6 w=7 o=6 kh=3 kw=3 pt=1 pl=2 g=2"
        ConvShape.Parse "n=2 c=4 h=6 w=7 o=6 kh=1 kw=1 pt=1 g=2"
        ConvShape.Parse "n=2 c=4 h=6 w=7 o=6 kh=5 kw=5 pt=1 pl=2 g=2"
        ConvShape.Parse "n=2 c=2 h=6 w=7 o=6 kh=3 kw=3 pt=1 pl=2 g=2"
    ]
    |> List.find convolution.Supports

[<Theory; MemberData(nameof names)>]
let ``no images and no output channels give no output`` (name: string) =
    let s = supported name
    let floats (count: int64) = Array.create (int count) 1f

    for empty in [ s.With(batch = 0); s.With(outChannels = 0) ] do
        Assert.True((convolution name).Supports empty)
        let bias = floats (int64 empty.OutChannels)
        Assert.Empty(run name empty (floats empty.InputLength) (floats empty.KernelLength) bias)

[<Theory; MemberData(nameof names)>]
let ``no input channels give the bias`` (name: string) =
    let s = (supported name).With(inChannels = 0)
    Assert.True((convolution name).Supports s)
    let bias = Array.init s.OutChannels (fun o -> float32 o + 0.125f)
    let plane = int s.OutputPlane
    let expected = Array.init (int s.OutputLength) (fun at -> bias[at / plane % s.OutChannels])
    Assert.Equal<float32[]>(expected, run name s [||] [||] bias)
    Assert.Equal<float32[]>(Array.zeroCreate expected.Length, run name s [||] [||] [||])

[<Theory; MemberData(nameof names)>]
let ``weights of the wrong length are refused by name`` (name: string) =
    let s = supported name

    let prepare kernel bias =
        (convolution name).Prepare(s, ReadOnlySpan(Array.zeroCreate<float32> kernel), ReadOnlySpan(Array.zeroCreate<float32> bias))
        |> ignore

    let kernel, bias = int s.KernelLength, s.OutChannels
    prepare kernel bias
    prepare kernel 0

    for wrong in [ 0; kernel - 1; kernel + 1 ] do
        Assert.Throws<ArgumentException>("kernel", (fun () -> prepare wrong bias))
        |> ignore

    for wrong in [ 1; bias - 1; bias + 1 ] do
        Assert.Throws<ArgumentException>("bias", (fun () -> prepare kernel wrong))
        |> ignore

[<Theory; MemberData(nameof names)>]
let ``images of the wrong length are refused by name, and nothing is written`` (name: string) =
    let s = supported name
    let ones count = Array.create count 1f

    let prepared =
        (convolution name).Prepare(s, ReadOnlySpan(ones (int s.KernelLength)), ReadOnlySpan<float32>.Empty)

    let input, output, workspace = int s.InputLength, int s.OutputLength, int prepared.WorkspaceBytes

    let refused parameter input output workspace =
        let y, scratch = Array.create output 77f, Array.create workspace 77uy

        Assert.Throws<ArgumentException>(parameter, (fun () -> prepared.Run(ReadOnlySpan(ones input), Span y, Span scratch)))
        |> ignore

        Assert.All(y, (fun value -> Assert.Equal(77f, value)))
        Assert.All(scratch, (fun value -> Assert.Equal(77uy, value)))

    for wrong in [ 0; input - 1; input + 1 ] do
        refused "input" wrong output workspace

    for wrong in [ 0; output - 1; output + 1 ] do
        refused "output" input wrong workspace

    if workspace > 0 then
        refused "workspace" input output (workspace - 1)

    // More workspace than asked for is no mistake.
    let y = Array.create output nanf
    prepared.Run(ReadOnlySpan(ones input), Span y, Span(Array.create (workspace + 5) 0xFFuy))
    Assert.All(y, (fun value -> Assert.True(Single.IsFinite value)))

[<Theory>]
[<InlineData("winograd-f2x3", "c=1 h=6 w=6 o=1 kh=3 kw=2")>]
[<InlineData("winograd-f4x3", "c=1 h=6 w=6 o=1 kh=3 kw=3 sh=2")>]
[<InlineData("winograd-f4x3", "c=1 h=6 w=6 o=1 kh=3 kw=3 dw=2")>]
[<InlineData("pointwise", "c=1 h=6 w=6 o=1 kh=1 kw=2")>]
let ``an unsupported shape is refused by name`` (name: string, line: string) =
    let s = ConvShape.Parse line
    let convolution = convolution name
    Assert.False(convolution.Supports s)

    Assert.Throws<ArgumentException>(
        "shape",
        (fun () ->
            convolution.Prepare(s, ReadOnlySpan(Array.zeroCreate<float32>(int s.KernelLength)), ReadOnlySpan<float32>.Empty)
            |> ignore)
    )
    |> ignore

[<Fact>]
let ``names are ids`` () =
    let names = Catalogue.All |> Seq.map _.Name |> List.ofSeq
    Assert.Equal(names.Length, names |> List.distinct |> List.length)
    Assert.All(names, (fun name -> Assert.Matches("^[a-z0-9]+(-[a-z0-9]+)*$", name)))

[<Fact>]
let ``every implementation promises the same bits for the same call, and the fast ones take a number of threads`` () =
    Assert.All(Catalogue.All, (fun c -> Assert.True(c.Traits.Deterministic, c.Name)))
    let plain = [ "loop"; "float64"; "bfloat16"; "float16"; "float16-accumulate"; "tf32"; "int8" ]

    Assert.Equal<string list>(
        plain,
        Catalogue.All
        |> Seq.filter (fun c -> not c.Traits.Threaded)
        |> Seq.map _.Name
        |> List.ofSeq
    )

[<Fact>]
let ``the loop on any numbers refuses spans of the wrong length by name, and nothing is written`` () =
    let s = ConvShape.Parse "n=2 c=4 h=5 w=6 o=6 kh=3 kw=2 pt=1 g=2"
    let x, k, y = int s.InputLength, int s.KernelLength, int s.OutputLength
    let ones count = Array.create count 1L

    let convolve input kernel bias (output: int64[]) =
        Loop.Convolve(s, ReadOnlySpan(ones input), ReadOnlySpan(ones kernel), ReadOnlySpan(ones bias), Span output)

    convolve x k 6 (Array.create y 77L)
    convolve x k 0 (Array.create y 77L)

    for off in [ -1; 1 ] do
        for parameter, input, kernel, bias, output in
            [
                "input", x + off, k, 6, y
                "kernel", x, k + off, 6, y
                "bias", x, k, 6 + off, y
                "output", x, k, 6, y + off
            ] do
            let written = Array.create output 77L

            Assert.Throws<ArgumentException>(parameter, (fun () -> convolve input kernel bias written))
            |> ignore

            Assert.All(written, (fun value -> Assert.Equal(77L, value)))
