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
    [|
        s.Batch
        s.InChannels
        s.InHeight
        s.InWidth
        s.OutChannels
        s.KernelHeight
        s.KernelWidth
        s.StrideHeight
        s.StrideWidth
        s.PadTop
        s.PadLeft
        s.PadBottom
        s.PadRight
        s.DilationHeight
        s.DilationWidth
        s.Groups
    |]

/// Raises ArgumentException where they make no convolution.
let toShape (n: int[]) =
    ConvShape(n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11], n[12], n[13], n[14], n[15])
