/// A direct convolution in float32, taken apart into organs: each is one factor of the definition, and each can be replaced by what a
/// real implementation got wrong. With the honest organs it is the definition.
module internal Conv.Properties.Textbook

open System
open Conv

/// One call: X as N×C×H×W, K as O×C/G×K_h×K_w, b of O numbers or empty; all dense and row-major.
[<NoEquality; NoComparison>]
type Problem = { Shape: ConvShape; Input: float32[]; Kernel: float32[]; Bias: float32[] }

/// Where an output stands.
[<Struct>]
type Place = { N: int; O: int; I: int; J: int }

/// One term of its sum.
[<Struct>]
type Tap = { C: int; U: int; V: int }

/// The factors of y[n,o,i,j] = b[o] + Σ_{c,u,v} k[o,c,u,v] · x[n, channel, row, column].
[<NoEquality; NoComparison>]
type Organs =
    {
        /// Raises where a problem is refused.
        Accept: ConvShape -> unit
        /// Whether an output is computed at all.
        Computes: ConvShape -> Place -> bool
        /// What its sum starts from.
        Start: Problem -> Place -> float32
        /// Whether a term takes part in the sum.
        Counts: ConvShape -> Tap -> bool
        /// The channel of X that channel c of the kernel meets.
        InputChannel: ConvShape -> Place -> int -> int
        /// The row of X that row u of the kernel meets.
        InputRow: ConvShape -> Place -> int -> int
        /// The column of X that column v of the kernel meets.
        InputColumn: ConvShape -> Place -> int -> int
        /// x at a channel, row and column of the output's own image; also outside the image: the padding rule.
        ReadInput: Problem -> Place -> int -> int -> int -> float32
        ReadKernel: Problem -> Place -> Tap -> float32
        /// The sum with one product more.
        Accumulate: ConvShape -> Tap -> float32 -> float32 -> float32 -> float32
        ReadBias: Problem -> Place -> float32
        /// The output from its sum: the epilogue.
        Finish: ConvShape -> Place -> float32 -> float32
        /// Where the output is stored.
        OutputIndex: ConvShape -> Place -> int
    }

/// The flat index of x[n,c,h,w], wherever it points.
let inputIndex (s: ConvShape) n c h w = ((n * s.InChannels + c) * s.Rows.Size + h) * s.Columns.Size + w

/// The flat index of k[o,c,u,v].
let kernelIndex (s: ConvShape) o c u v = ((o * s.InChannelsPerGroup + c) * s.Rows.Taps + u) * s.Columns.Taps + v

let honest =
    {
        Accept = ignore
        Computes = fun _ _ -> true
        Start = fun _ _ -> 0f
        Counts = fun _ _ -> true
        InputChannel = fun s at c -> at.O / s.OutChannelsPerGroup * s.InChannelsPerGroup + c
        InputRow = fun s at u -> at.I * s.Rows.Stride + u * s.Rows.Dilation - s.Rows.Before
        InputColumn = fun s at v -> at.J * s.Columns.Stride + v * s.Columns.Dilation - s.Columns.Before
        ReadInput =
            fun p at c h w ->
                let s = p.Shape

                if h >= 0 && h < s.Rows.Size && w >= 0 && w < s.Columns.Size then
                    p.Input[inputIndex s at.N c h w]
                else
                    0f
        ReadKernel = fun p at tap -> p.Kernel[kernelIndex p.Shape at.O tap.C tap.U tap.V]
        Accumulate = fun _ _ sum x k -> sum + x * k
        ReadBias = fun p at -> if p.Bias.Length = 0 then 0f else p.Bias[at.O]
        Finish = fun _ _ y -> y
        OutputIndex =
            fun s at ->
                ((at.N * s.OutChannels + at.O) * s.Rows.Outputs + at.I) * s.Columns.Outputs
                + at.J
    }

/// Σ x·k of one output, without its bias. An organ that was not replaced is computed in place: a call for each product is what textbook code
/// would spend its time on.
let sum (organs: Organs) (p: Problem) (at: Place) =
    let s = p.Shape
    let x, k = p.Input, p.Kernel
    let same (own: obj) (honest: obj) = obj.ReferenceEquals(own, honest)
    let counts = same organs.Counts honest.Counts
    let column = same organs.InputColumn honest.InputColumn
    let readInput = same organs.ReadInput honest.ReadInput
    let readKernel = same organs.ReadKernel honest.ReadKernel
    let accumulate = same organs.Accumulate honest.Accumulate
    let plain = counts && column && readInput && readKernel && accumulate
    let height, width, taps, rows = s.Rows.Size, s.Columns.Size, s.Columns.Taps, s.Rows.Taps
    let first, step = at.J * s.Columns.Stride - s.Columns.Before, s.Columns.Dilation
    let mutable sum = organs.Start p at

    for c in 0 .. s.InChannelsPerGroup - 1 do
        let channel = organs.InputChannel s at c

        for u in 0 .. rows - 1 do
            let h = organs.InputRow s at u
            let row = inputIndex s at.N channel h 0
            let weights = kernelIndex s at.O c u 0
            let inside = h >= 0 && h < height

            if plain then
                for v in 0 .. taps - 1 do
                    let w = first + v * step
                    let read = if inside && w >= 0 && w < width then x[row + w] else 0f
                    sum <- sum + read * k[weights + v]
            else
                for v in 0 .. taps - 1 do
                    let tap = { C = c; U = u; V = v }

                    if counts || organs.Counts s tap then
                        let w = if column then first + v * step else organs.InputColumn s at v

                        let read =
                            if not readInput then organs.ReadInput p at channel h w
                            elif inside && w >= 0 && w < width then x[row + w]
                            else 0f

                        let weight = if readKernel then k[weights + v] else organs.ReadKernel p at tap

                        sum <-
                            if accumulate then
                                sum + read * weight
                            else
                                organs.Accumulate s tap sum read weight

    sum

/// The whole output.
let convolve (organs: Organs) (p: Problem) =
    let s = p.Shape
    organs.Accept s
    // What is never written stays NaN.
    let output = Array.create (int s.OutputLength) Single.NaN

    for n in 0 .. s.Batch - 1 do
        for o in 0 .. s.OutChannels - 1 do
            for i in 0 .. s.Rows.Outputs - 1 do
                for j in 0 .. s.Columns.Outputs - 1 do
                    let at = { N = n; O = o; I = i; J = j }

                    if organs.Computes s at then
                        output[organs.OutputIndex s at] <- organs.Finish s at (sum organs p at + organs.ReadBias p at)

    output

/// The problems that textbook code is asked for: it takes its time, and among problems of up to two million products there are large ones along
/// each dimension.
let inReach (s: ConvShape) = s.MultiplyAdds <= 2_000_000L

/// What the honest organs keep: any order of summation, gradual underflow.
let profile = { Profile.Plain with Supports = inReach; Traits = Traits(Deterministic = true) }

/// A subject that declares what the honest organs keep.
let subject name (organs: Organs) =

    Subject.forward name profile (fun shape x k b -> convolve organs { Shape = shape; Input = x; Kernel = k; Bias = b })
