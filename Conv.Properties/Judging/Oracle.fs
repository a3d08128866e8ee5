/// The definition of the specification, written a second time and differently: a scatter from the input instead of a gather for the
/// output. It shares no code with Conv.Core beyond the shape's numbers. Exact on integers below 2⁵³; else docs/bounds.md, lemma 7.
module Conv.Properties.Oracle

open Conv

/// For each tap and each input coordinate, the output coordinate that it reaches, or −1.
let private reach size before taps stride dilation outputs =
    Array2D.init taps size (fun u h ->
        let shifted = h + before - u * dilation

        if shifted >= 0 && shifted % stride = 0 && shifted / stride < outputs then
            shifted / stride
        else
            -1)

/// Y[n,o,i,j] = Σ x·k in double, without bias. Dense row-major arrays; the output is N×O×H_o×W_o.
let correlate (s: ConvShape) (x: float[]) (k: float[]) : float[] =
    let rows = reach s.InHeight s.PadTop s.KernelHeight s.StrideHeight s.DilationHeight s.OutHeight
    let columns = reach s.InWidth s.PadLeft s.KernelWidth s.StrideWidth s.DilationWidth s.OutWidth
    let cg, og = s.InChannelsPerGroup, s.OutChannelsPerGroup
    let plane = s.OutHeight * s.OutWidth
    let y = Array.zeroCreate (int s.OutputLength)

    for n in 0 .. s.Batch - 1 do
        for c in 0 .. s.InChannels - 1 do
            let group = c / cg

            for h in 0 .. s.InHeight - 1 do
                let source = ((n * s.InChannels + c) * s.InHeight + h) * s.InWidth

                for u in 0 .. s.KernelHeight - 1 do
                    let i = rows[u, h]

                    if i >= 0 then
                        for o in group * og .. group * og + og - 1 do
                            let target = (n * s.OutChannels + o) * plane + i * s.OutWidth
                            let taps = ((o * cg + c % cg) * s.KernelHeight + u) * s.KernelWidth

                            for v in 0 .. s.KernelWidth - 1 do
                                let weight = k[taps + v]

                                for w in 0 .. s.InWidth - 1 do
                                    let j = columns[v, w]

                                    if j >= 0 then
                                        y[target + j] <- y[target + j] + x[source + w] * weight

    y

/// dX[n,c,h,w] = Σ dY·k in double: for each element of the input, the windows that read it.
let backwardInput (s: ConvShape) (dy: float[]) (k: float[]) : float[] =
    let rows = reach s.InHeight s.PadTop s.KernelHeight s.StrideHeight s.DilationHeight s.OutHeight
    let columns = reach s.InWidth s.PadLeft s.KernelWidth s.StrideWidth s.DilationWidth s.OutWidth
    let cg, og = s.InChannelsPerGroup, s.OutChannelsPerGroup
    let dx = Array.zeroCreate (int s.InputLength)

    for n in 0 .. s.Batch - 1 do
        for c in 0 .. s.InChannels - 1 do
            let group = c / cg

            for h in 0 .. s.InHeight - 1 do
                let target = ((n * s.InChannels + c) * s.InHeight + h) * s.InWidth

                for u in 0 .. s.KernelHeight - 1 do
                    let i = rows[u, h]

                    if i >= 0 then
                        for o in group * og .. group * og + og - 1 do
                            let source = ((n * s.OutChannels + o) * s.OutHeight + i) * s.OutWidth
                            let taps = ((o * cg + c % cg) * s.KernelHeight + u) * s.KernelWidth

                            for v in 0 .. s.KernelWidth - 1 do
                                let weight = k[taps + v]

                                for w in 0 .. s.InWidth - 1 do
                                    let j = columns[v, w]

                                    if j >= 0 then
                                        dx[target + w] <- dx[target + w] + dy[source + j] * weight

    dx

/// dK[o,c,u,v] = Σ dY·x in double.
let backwardKernel (s: ConvShape) (x: float[]) (dy: float[]) : float[] =
    let rows = reach s.InHeight s.PadTop s.KernelHeight s.StrideHeight s.DilationHeight s.OutHeight
    let columns = reach s.InWidth s.PadLeft s.KernelWidth s.StrideWidth s.DilationWidth s.OutWidth
    let cg, og = s.InChannelsPerGroup, s.OutChannelsPerGroup
    let dk = Array.zeroCreate (int s.KernelLength)

    for n in 0 .. s.Batch - 1 do
        for o in 0 .. s.OutChannels - 1 do
            for c in 0 .. cg - 1 do
                for u in 0 .. s.KernelHeight - 1 do
                    for h in 0 .. s.InHeight - 1 do
                        let i = rows[u, h]

                        if i >= 0 then
                            let source = ((n * s.InChannels + o / og * cg + c) * s.InHeight + h) * s.InWidth
                            let gradient = ((n * s.OutChannels + o) * s.OutHeight + i) * s.OutWidth

                            for v in 0 .. s.KernelWidth - 1 do
                                let mutable sum = 0.0

                                for w in 0 .. s.InWidth - 1 do
                                    let j = columns[v, w]

                                    if j >= 0 then
                                        sum <- sum + x[source + w] * dy[gradient + j]

                                let at = ((o * cg + c) * s.KernelHeight + u) * s.KernelWidth + v
                                dk[at] <- dk[at] + sum

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
    | _ -> sums |> Array.mapi (fun at sum -> sum + bias[channel at])

/// The smallest exponent e such that every product of an output lies in 2^e·ℤ, for each output; Int32.MaxValue where all products are
/// zero. The operands are given as the exponents of their lowest set bits (Int32.MaxValue for zero).
let productGrid (s: ConvShape) (x: int[]) (k: int[]) : int[] =
    let rows = reach s.InHeight s.PadTop s.KernelHeight s.StrideHeight s.DilationHeight s.OutHeight
    let columns = reach s.InWidth s.PadLeft s.KernelWidth s.StrideWidth s.DilationWidth s.OutWidth
    let cg, og = s.InChannelsPerGroup, s.OutChannelsPerGroup
    let grid = Array.create (int s.OutputLength) System.Int32.MaxValue

    for n in 0 .. s.Batch - 1 do
        for o in 0 .. s.OutChannels - 1 do
            for c in 0 .. cg - 1 do
                for u in 0 .. s.KernelHeight - 1 do
                    for v in 0 .. s.KernelWidth - 1 do
                        let weight = k[((o * cg + c) * s.KernelHeight + u) * s.KernelWidth + v]

                        if weight <> System.Int32.MaxValue then
                            for h in 0 .. s.InHeight - 1 do
                                if rows[u, h] >= 0 then
                                    for w in 0 .. s.InWidth - 1 do
                                        let j = columns[v, w]
                                        let value = x[((n * s.InChannels + o / og * cg + c) * s.InHeight + h) * s.InWidth + w]

                                        if j >= 0 && value <> System.Int32.MaxValue then
                                            let at = ((n * s.OutChannels + o) * s.OutHeight + rows[u, h]) * s.OutWidth + j
                                            grid[at] <- min grid[at] (value + weight)

    grid
