/// A problem as sixteen numbers, in the order of ConvShape's constructor.
module internal Conv.Properties.Parameters

open Conv

/// What the constructor calls them.
let names =
    [
        "batch"
        "inChannels"
        "inHeight"
        "inWidth"
        "outChannels"
        "kernelHeight"
        "kernelWidth"
        "strideHeight"
        "strideWidth"
        "padTop"
        "padLeft"
        "padBottom"
        "padRight"
        "dilationHeight"
        "dilationWidth"
        "groups"
    ]

let ofShape (s: ConvShape) =
    let pairs (number: Axis -> int) = s.Axes |> Seq.map number

    [|
        s.Batch
        s.InChannels
        yield! pairs _.Size
        s.OutChannels
        yield! pairs _.Taps
        yield! pairs _.Stride
        yield! pairs _.Before
        yield! pairs _.After
        yield! pairs _.Dilation
        s.Groups
    |]

/// Raises ArgumentException where they make no convolution.
let toShape (n: int[]) =
    ConvShape(n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11], n[12], n[13], n[14], n[15])
