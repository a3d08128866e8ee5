/// The definition of the specification, written a second time and differently: a scatter from the input instead of a gather for the
/// output. It shares no code with Conv.Core beyond the shape's numbers. Exact on integers below 2⁵³; else docs/bounds.md, lemma 7.
module internal Conv.Properties.Oracle

open Conv

/// The input coordinates of one axis that a tap scatters, a stride apart: the first, the output that it reaches, and their number.
let private scattered size before offset stride outputs =
    let shift = offset - before
    let first = if shift >= 0 then shift else (shift % stride + stride) % stride
    let output = (first - shift) / stride

    if first >= size || output >= outputs then
        struct (0, 0, 0)
    else
        struct (first, output, min ((size - 1 - first) / stride + 1) (outputs - output))

let private rows (s: ConvShape) u = scattered s.InHeight s.PadTop (u * s.DilationHeight) s.StrideHeight s.OutHeight
let private columns (s: ConvShape) v = scattered s.InWidth s.PadLeft (v * s.DilationWidth) s.StrideWidth s.OutWidth

/// Y[n,o,i,j] = Σ x·k in double, without bias. Dense row-major arrays; the output is N×O×H_o×W_o.
let correlate (s: ConvShape) (x: float[]) (k: float[]) : float[] =
    let cg, og = s.InChannelsPerGroup, s.OutChannelsPerGroup
    let y = Array.zeroCreate (int s.OutputLength)

    for n in 0 .. s.Batch - 1 do
        for o in 0 .. s.OutChannels - 1 do
            for c in 0 .. cg - 1 do
                let sources, targets =
                    (n * s.InChannels + o / og * cg + c) * s.InHeight, (n * s.OutChannels + o) * s.OutHeight

                for u in 0 .. s.KernelHeight - 1 do
                    let struct (h, i, height) = rows s u

                    for v in 0 .. s.KernelWidth - 1 do
                        let struct (w, j, width) = columns s v
                        let weight = k[((o * cg + c) * s.KernelHeight + u) * s.KernelWidth + v]

                        for row in 0 .. height - 1 do
                            let source = (sources + h + row * s.StrideHeight) * s.InWidth + w
                            let target = (targets + i + row) * s.OutWidth + j

                            if s.StrideWidth = 1 then
                                Values.addScaled weight x source y target width
                            else
                                for at in 0 .. width - 1 do
                                    y[target + at] <- y[target + at] + x[source + at * s.StrideWidth] * weight

    y

/// dX[n,c,h,w] = Σ dY·k in double: for each element of the input, the windows that read it.
let backwardInput (s: ConvShape) (dy: float[]) (k: float[]) : float[] =
    let cg, og = s.InChannelsPerGroup, s.OutChannelsPerGroup
    let dx = Array.zeroCreate (int s.InputLength)

    for n in 0 .. s.Batch - 1 do
        for c in 0 .. s.InChannels - 1 do
            for u in 0 .. s.KernelHeight - 1 do
                let struct (h, i, height) = rows s u

                for o in c / cg * og .. c / cg * og + og - 1 do
                    for v in 0 .. s.KernelWidth - 1 do
                        let struct (w, j, width) = columns s v
                        let weight = k[((o * cg + c % cg) * s.KernelHeight + u) * s.KernelWidth + v]

                        for row in 0 .. height - 1 do
                            let source = ((n * s.OutChannels + o) * s.OutHeight + i + row) * s.OutWidth + j

                            let target = ((n * s.InChannels + c) * s.InHeight + h + row * s.StrideHeight) * s.InWidth + w

                            if s.StrideWidth = 1 then
                                Values.addScaled weight dy source dx target width
                            else
                                for at in 0 .. width - 1 do
                                    let reached = target + at * s.StrideWidth
                                    dx[reached] <- dx[reached] + dy[source + at] * weight

    dx

/// dK[o,c,u,v] = Σ dY·x in double.
let backwardKernel (s: ConvShape) (x: float[]) (dy: float[]) : float[] =
    let cg, og = s.InChannelsPerGroup, s.OutChannelsPerGroup
    let dk = Array.zeroCreate (int s.KernelLength)

    for n in 0 .. s.Batch - 1 do
        for o in 0 .. s.OutChannels - 1 do
            for c in 0 .. cg - 1 do
                for u in 0 .. s.KernelHeight - 1 do
                    let struct (h, i, height) = rows s u

                    for v in 0 .. s.KernelWidth - 1 do
                        let struct (w, j, width) = columns s v
                        let tap = ((o * cg + c) * s.KernelHeight + u) * s.KernelWidth + v

                        for row in 0 .. height - 1 do
                            let source =
                                ((n * s.InChannels + o / og * cg + c) * s.InHeight + h + row * s.StrideHeight)
                                * s.InWidth
                                + w

                            let gradient = ((n * s.OutChannels + o) * s.OutHeight + i + row) * s.OutWidth + j
                            let mutable sum = 0.0

                            for at in 0 .. width - 1 do
                                sum <- sum + x[source + at * s.StrideWidth] * dy[gradient + at]

                            dk[tap] <- dk[tap] + sum

    dk

/// db[o] = Σ dY in double.
let backwardBias (s: ConvShape) (dy: float[]) : float[] =
    let plane = s.OutHeight * s.OutWidth

    Array.init s.OutChannels (fun o ->
        let mutable sum = 0.0

        for n in 0 .. s.Batch - 1 do
            let first = (n * s.OutChannels + o) * plane

            for at in first .. first + plane - 1 do
                sum <- sum + dy[at]

        sum)

/// The sums of products of an operation, without bias or epilogue.
let apply operation (s: ConvShape) (first: float[]) (second: float[]) : float[] =
    match operation with
    | Operation.Forward
    | Operation.Fused _ -> correlate s first second
    | Operation.BackwardInput
    | Operation.Transposed -> backwardInput s first second
    | Operation.BackwardKernel -> backwardKernel s first second
    | Operation.BackwardBias -> backwardBias s first |> Array.map (fun sum -> sum * second[0])

/// The operation with its bias or epilogue, in double.
let complete operation (s: ConvShape) (first: float[]) (second: float[]) (bias: float[]) : float[] =
    let sums = apply operation s first second
    let _, d1, d2, d3 = Operation.result operation s
    let plane = max 1 (d2 * d3)
    let channel at = at / plane % max 1 d1

    match operation with
    | Operation.Fused rectifies ->
        let o = s.OutChannels

        sums
        |> Array.mapi (fun at sum ->
            let affine = bias[o + channel at] * (sum + bias[channel at]) + bias[2 * o + channel at]
            if rectifies && affine < 0.0 then 0.0 else affine)
    | _ when bias.Length = 0 -> sums
    | _ ->
        for first in 0..plane .. sums.Length - 1 do
            let bias = bias[channel first]

            for at in first .. first + plane - 1 do
                sums[at] <- sums[at] + bias

        sums

/// The smallest exponent e such that every product of an output lies in 2^e·ℤ, for each output; Int32.MaxValue where all products are
/// zero. The operands are given as the exponents of their lowest set bits (Int32.MaxValue for zero).
let productGrid (s: ConvShape) (x: int[]) (k: int[]) : int[] =
    let cg, og = s.InChannelsPerGroup, s.OutChannelsPerGroup
    let grid = Array.create (int s.OutputLength) System.Int32.MaxValue

    for n in 0 .. s.Batch - 1 do
        for o in 0 .. s.OutChannels - 1 do
            for c in 0 .. cg - 1 do
                let sources, targets =
                    (n * s.InChannels + o / og * cg + c) * s.InHeight, (n * s.OutChannels + o) * s.OutHeight

                for u in 0 .. s.KernelHeight - 1 do
                    let struct (h, i, height) = rows s u

                    for v in 0 .. s.KernelWidth - 1 do
                        let struct (w, j, width) = columns s v
                        let weight = k[((o * cg + c) * s.KernelHeight + u) * s.KernelWidth + v]

                        if weight <> System.Int32.MaxValue then
                            for row in 0 .. height - 1 do
                                let source = (sources + h + row * s.StrideHeight) * s.InWidth + w
                                let target = (targets + i + row) * s.OutWidth + j

                                for at in 0 .. width - 1 do
                                    let value = x[source + at * s.StrideWidth]

                                    if value <> System.Int32.MaxValue then
                                        grid[target + at] <- min grid[target + at] (value + weight)

    grid
