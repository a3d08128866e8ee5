/// The definition of the specification, written a second time and differently: a scatter from the input instead of a gather for the
/// output, row by row where rows are long, window by window where a window has more elements than a row. It shares no code with Conv.Core
/// beyond the shape's numbers. Exact on integers below 2⁵³; else docs/bounds.md, lemma 7.
module internal Conv.Properties.Oracle

open System
open System.Runtime.CompilerServices
open Conv

/// The input coordinates of an axis that a tap scatters, a stride apart: the first, the output that it reaches, and their number.
let private scattered (a: Axis) tap =
    let shift = tap * a.Dilation - a.Before
    let first = if shift >= 0 then shift else (shift % a.Stride + a.Stride) % a.Stride
    let output = (first - shift) / a.Stride

    if first >= a.Size || output >= a.Outputs then
        struct (0, 0, 0)
    else
        struct (first, output, min ((a.Size - 1 - first) / a.Stride + 1) (a.Outputs - output))

/// Where the elements of the windows of an image and a group stand in the input, window by window, in the order of the kernel's channels and
/// taps; −1 in the padding.
let private windows (s: ConvShape) : int[] =
    let cg, taps = s.InChannelsPerGroup, int s.KernelPlane
    let size = cg * taps
    let places = Array.create (int s.OutputPlane * size) -1

    for u in 0 .. s.Rows.Taps - 1 do
        let struct (h, i, height) = scattered s.Rows u

        for v in 0 .. s.Columns.Taps - 1 do
            let struct (w, j, width) = scattered s.Columns v

            for row in 0 .. height - 1 do
                for at in 0 .. width - 1 do
                    let window = (i + row) * s.Columns.Outputs + j + at
                    let pixel = (h + row * s.Rows.Stride) * s.Columns.Size + w + at * s.Columns.Stride

                    for c in 0 .. cg - 1 do
                        places[window * size + c * taps + u * s.Columns.Taps + v] <- c * int s.InputPlane + pixel

    places

/// Whether a window has more elements than a row of the output, and all windows of a group fit into a small table.
let private isByWindow (s: ConvShape) =
    let size = int64 s.InChannelsPerGroup * s.KernelPlane

    size > 2L * int64 s.Columns.Outputs && size * s.OutputPlane <= (1L <<< 22)

/// Each image and group: where its input begins, where its output does, and its first output channel.
let private parts (s: ConvShape) =
    let cg, og = s.InChannelsPerGroup, s.OutChannelsPerGroup

    [|
        for n in 0 .. s.Batch - 1 do
            for g in 0 .. s.Groups - 1 ->
                struct ((n * s.InChannels + g * cg) * int s.InputPlane, (n * s.OutChannels + g * og) * int s.OutputPlane, g * og)
    |]

/// One window of an image and a group, zeros where it meets the padding.
let private readWindow (places: int[]) from (x: float[]) input (window: float[]) =
    for t in 0 .. window.Length - 1 do
        let place = places[from + t]
        window[t] <- if place < 0 then 0.0 else x[input + place]

/// y[n,o,window] = ⟨k[o], window⟩.
[<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
let private correlateWindows (s: ConvShape) (x: float[]) (k: float[]) : float[] =
    let size, plane = int s.TermsPerOutput, int s.OutputPlane
    let places = windows s
    let y = Array.zeroCreate (int s.OutputLength)
    let window = Array.zeroCreate size

    for struct (input, output, first) in parts s do
        for at in 0 .. plane - 1 do
            readWindow places (at * size) x input window

            for o in 0 .. s.OutChannelsPerGroup - 1 do
                y[output + o * plane + at] <- Values.dot k ((first + o) * size) window size

    y

/// dx[window] += Σ_o dy[n,o,window]·k[o].
[<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
let private backwardInputWindows (s: ConvShape) (dy: float[]) (k: float[]) : float[] =
    let size, plane = int s.TermsPerOutput, int s.OutputPlane
    let places = windows s
    let dx = Array.zeroCreate (int s.InputLength)
    let window = Array.zeroCreate size

    for struct (input, output, first) in parts s do
        for at in 0 .. plane - 1 do
            Array.Clear window

            for o in 0 .. s.OutChannelsPerGroup - 1 do
                Values.addScaled dy[output + o * plane + at] k ((first + o) * size) window 0 size

            for t in 0 .. size - 1 do
                let place = places[at * size + t]

                if place >= 0 then
                    dx[input + place] <- dx[input + place] + window[t]

    dx

/// dk[o] += dy[n,o,window]·window.
[<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
let private backwardKernelWindows (s: ConvShape) (x: float[]) (dy: float[]) : float[] =
    let size, plane = int s.TermsPerOutput, int s.OutputPlane
    let places = windows s
    let dk = Array.zeroCreate (int s.KernelLength)
    let window = Array.zeroCreate size

    for struct (input, output, first) in parts s do
        for at in 0 .. plane - 1 do
            readWindow places (at * size) x input window

            for o in 0 .. s.OutChannelsPerGroup - 1 do
                Values.addScaled dy[output + o * plane + at] window 0 dk ((first + o) * size) size

    dk

/// Y[n,o,i,j] = Σ x·k in double, without bias, row by row.
[<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
let private correlateRows (s: ConvShape) (x: float[]) (k: float[]) : float[] =
    let cg, og = s.InChannelsPerGroup, s.OutChannelsPerGroup
    let y = Array.zeroCreate (int s.OutputLength)

    for n in 0 .. s.Batch - 1 do
        for o in 0 .. s.OutChannels - 1 do
            for c in 0 .. cg - 1 do
                let sources, targets =
                    (n * s.InChannels + o / og * cg + c) * s.Rows.Size, (n * s.OutChannels + o) * s.Rows.Outputs

                for u in 0 .. s.Rows.Taps - 1 do
                    let struct (h, i, height) = scattered s.Rows u

                    for v in 0 .. s.Columns.Taps - 1 do
                        let struct (w, j, width) = scattered s.Columns v
                        let weight = k[((o * cg + c) * s.Rows.Taps + u) * s.Columns.Taps + v]

                        for row in 0 .. height - 1 do
                            let source = (sources + h + row * s.Rows.Stride) * s.Columns.Size + w
                            let target = (targets + i + row) * s.Columns.Outputs + j

                            if s.Columns.Stride = 1 then
                                Values.addScaled weight x source y target width
                            else
                                for at in 0 .. width - 1 do
                                    y[target + at] <- y[target + at] + x[source + at * s.Columns.Stride] * weight

    y

/// dX[n,c,h,w] = Σ dY·k in double, row by row: for each element of the input, the windows that read it.
[<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
let private backwardInputRows (s: ConvShape) (dy: float[]) (k: float[]) : float[] =
    let cg, og = s.InChannelsPerGroup, s.OutChannelsPerGroup
    let dx = Array.zeroCreate (int s.InputLength)

    for n in 0 .. s.Batch - 1 do
        for c in 0 .. s.InChannels - 1 do
            for u in 0 .. s.Rows.Taps - 1 do
                let struct (h, i, height) = scattered s.Rows u

                for o in c / cg * og .. c / cg * og + og - 1 do
                    for v in 0 .. s.Columns.Taps - 1 do
                        let struct (w, j, width) = scattered s.Columns v
                        let weight = k[((o * cg + c % cg) * s.Rows.Taps + u) * s.Columns.Taps + v]

                        for row in 0 .. height - 1 do
                            let source = ((n * s.OutChannels + o) * s.Rows.Outputs + i + row) * s.Columns.Outputs + j

                            let target =
                                ((n * s.InChannels + c) * s.Rows.Size + h + row * s.Rows.Stride)
                                * s.Columns.Size
                                + w

                            if s.Columns.Stride = 1 then
                                Values.addScaled weight dy source dx target width
                            else
                                for at in 0 .. width - 1 do
                                    let reached = target + at * s.Columns.Stride
                                    dx[reached] <- dx[reached] + dy[source + at] * weight

    dx

/// dK[o,c,u,v] = Σ dY·x in double, row by row.
[<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
let private backwardKernelRows (s: ConvShape) (x: float[]) (dy: float[]) : float[] =
    let cg, og = s.InChannelsPerGroup, s.OutChannelsPerGroup
    let dk = Array.zeroCreate (int s.KernelLength)

    for n in 0 .. s.Batch - 1 do
        for o in 0 .. s.OutChannels - 1 do
            for c in 0 .. cg - 1 do
                for u in 0 .. s.Rows.Taps - 1 do
                    let struct (h, i, height) = scattered s.Rows u

                    for v in 0 .. s.Columns.Taps - 1 do
                        let struct (w, j, width) = scattered s.Columns v
                        let tap = ((o * cg + c) * s.Rows.Taps + u) * s.Columns.Taps + v

                        for row in 0 .. height - 1 do
                            let source =
                                ((n * s.InChannels + o / og * cg + c) * s.Rows.Size + h + row * s.Rows.Stride)
                                * s.Columns.Size
                                + w

                            let gradient = ((n * s.OutChannels + o) * s.Rows.Outputs + i + row) * s.Columns.Outputs + j
                            let mutable sum = 0.0

                            for at in 0 .. width - 1 do
                                sum <- sum + x[source + at * s.Columns.Stride] * dy[gradient + at]

                            dk[tap] <- dk[tap] + sum

    dk

/// Y[n,o,i,j] = Σ x·k in double, without bias. Dense row-major arrays; the output is N×O×H_o×W_o. What is not finite may meet the zeros of the
/// padding where a window is read whole: then rows are taken.
let correlate (s: ConvShape) (x: float[]) (k: float[]) : float[] =
    if isByWindow s && Double.IsFinite(Values.magnitude k) then
        correlateWindows s x k
    else
        correlateRows s x k

/// dX[n,c,h,w] = Σ dY·k in double.
let backwardInput (s: ConvShape) (dy: float[]) (k: float[]) : float[] =
    if isByWindow s then backwardInputWindows s dy k else backwardInputRows s dy k

/// dK[o,c,u,v] = Σ dY·x in double.
let backwardKernel (s: ConvShape) (x: float[]) (dy: float[]) : float[] =
    if isByWindow s && Double.IsFinite(Values.magnitude dy) then
        backwardKernelWindows s x dy
    else
        backwardKernelRows s x dy

/// db[o] = Σ dY in double.
let backwardBias (s: ConvShape) (dy: float[]) : float[] =
    let plane = int s.OutputPlane

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
    let grid = Array.create (int s.OutputLength) Int32.MaxValue

    for n in 0 .. s.Batch - 1 do
        for o in 0 .. s.OutChannels - 1 do
            for c in 0 .. cg - 1 do
                let sources, targets =
                    (n * s.InChannels + o / og * cg + c) * s.Rows.Size, (n * s.OutChannels + o) * s.Rows.Outputs

                for u in 0 .. s.Rows.Taps - 1 do
                    let struct (h, i, height) = scattered s.Rows u

                    for v in 0 .. s.Columns.Taps - 1 do
                        let struct (w, j, width) = scattered s.Columns v
                        let weight = k[((o * cg + c) * s.Rows.Taps + u) * s.Columns.Taps + v]

                        if weight <> Int32.MaxValue then
                            for row in 0 .. height - 1 do
                                let source = (sources + h + row * s.Rows.Stride) * s.Columns.Size + w
                                let target = (targets + i + row) * s.Columns.Outputs + j

                                for at in 0 .. width - 1 do
                                    let value = x[source + at * s.Columns.Stride]

                                    if value <> Int32.MaxValue then
                                        grid[target + at] <- min grid[target + at] (value + weight)

    grid
