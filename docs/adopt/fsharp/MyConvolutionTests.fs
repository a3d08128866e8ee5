module MyConvolutionTests

open System
open Conv
open Conv.Properties
open Xunit

/// A convolution as somebody might have written it: the definition, as a fold over the taps.
let convolve (s: ConvShape) (x: float32[]) (k: float32[]) (b: float32[]) : float32[] =
    let cg, og = s.InChannelsPerGroup, s.OutChannelsPerGroup

    [|
        for n in 0 .. s.Batch - 1 do
            for o in 0 .. s.OutChannels - 1 do
                for i in 0 .. s.OutHeight - 1 do
                    for j in 0 .. s.OutWidth - 1 do
                        let mutable sum = if b.Length = 0 then 0f else b[o]

                        for c in 0 .. cg - 1 do
                            for u in 0 .. s.KernelHeight - 1 do
                                for v in 0 .. s.KernelWidth - 1 do
                                    let h = i * s.StrideHeight + u * s.DilationHeight - s.PadTop
                                    let w = j * s.StrideWidth + v * s.DilationWidth - s.PadLeft

                                    if h >= 0 && h < s.InHeight && w >= 0 && w < s.InWidth then
                                        let channel = o / og * cg + c

                                        sum <-
                                            sum
                                            + x[((n * s.InChannels + channel) * s.InHeight + h) * s.InWidth + w]
                                              * k[((o * cg + c) * s.KernelHeight + u) * s.KernelWidth + v]

                        sum
    |]

let laws () = TheoryData<string> Conformance.Laws

[<Theory; MemberData(nameof laws)>]
let ``my convolution holds`` (law: string) =
    Conformance
        .Check(law, fun shape x k b y -> (convolve shape (x.ToArray()) (k.ToArray()) (b.ToArray())).AsSpan().CopyTo y)
        .ThrowIfNotHeld()
