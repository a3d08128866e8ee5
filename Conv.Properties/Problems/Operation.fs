namespace Conv.Properties

open MathNet.Numerics
open Conv

/// What is computed from the tensors of a convolution. Each operation takes two operands, and some a bias.
[<RequireQualifiedAccess>]
type internal Operation =
    /// Y = conv(X, K) + b.
    | Forward
    /// z = s·(conv(X, K) + b) + t, then max(z, 0) where it rectifies. Its bias is b, s and t, one behind the other.
    | Fused of rectifies: bool
    /// dX from dY and K.
    | BackwardInput
    /// dK from X and dY.
    | BackwardKernel
    /// db from dY alone: the second operand is a single 1.
    | BackwardBias
    /// The transposed convolution of an N×O×H_o×W_o tensor with K, and a bias for each of the C channels of its result.
    | Transposed

/// The tensors of an operation on a forward shape: dimensions, names, and which products make up an element of the result.
[<RequireQualifiedAccess>]
module internal Operation =
    let input (s: ConvShape) = s.Batch, s.InChannels, s.Rows.Size, s.Columns.Size
    let output (s: ConvShape) = s.Batch, s.OutChannels, s.Rows.Outputs, s.Columns.Outputs
    let kernel (s: ConvShape) = s.OutChannels, s.InChannelsPerGroup, s.Rows.Taps, s.Columns.Taps

    let private isForward operation =
        match operation with
        | Operation.Forward
        | Operation.Fused _ -> true
        | _ -> false

    /// The dimensions of the first operand.
    let first operation s =
        match operation with
        | Operation.BackwardKernel -> input s
        | _ when isForward operation -> input s
        | _ -> output s

    /// The dimensions of the second operand.
    let second operation s =
        match operation with
        | Operation.BackwardKernel -> output s
        | Operation.BackwardBias -> 1, 1, 1, 1
        | _ -> kernel s

    /// The dimensions of the result.
    let result operation s =
        match operation with
        | Operation.BackwardKernel -> kernel s
        | Operation.BackwardBias -> s.OutChannels, 1, 1, 1
        | _ when isForward operation -> output s
        | _ -> input s

    /// Elements of a tensor of such dimensions.
    let elements (d0: int, d1: int, d2: int, d3: int) = int64 d0 * int64 d1 * int64 d2 * int64 d3

    /// Elements of the result.
    let length operation (s: ConvShape) =
        match operation with
        | Operation.BackwardKernel -> s.KernelLength
        | Operation.BackwardBias -> int64 s.OutChannels
        | _ when isForward operation -> s.OutputLength
        | _ -> s.InputLength

    /// The most taps of an axis that meet one element of its input: those a stride apart, counted in dilations.
    let private tapsMeeting (a: Axis) =
        let step = int64 a.Stride / Euclid.GreatestCommonDivisor(int64 a.Stride, int64 a.Dilation)
        (int64 a.Taps + step - 1L) / step

    /// The most products in the sum of one element of the result.
    let terms operation (s: ConvShape) =
        match operation with
        | Operation.BackwardKernel
        | Operation.BackwardBias -> int64 s.Batch * s.OutputPlane
        | _ when isForward operation -> s.TermsPerOutput
        | _ ->
            s.Axes
            |> Seq.fold (fun terms axis -> terms * tapsMeeting axis) (int64 s.OutChannelsPerGroup)

    /// The names of first operand, second operand and result, as formulas write them.
    let names operation =
        match operation with
        | Operation.Forward -> "X", "K", "Y"
        | Operation.Fused _ -> "X", "K", "Z"
        | Operation.BackwardInput -> "dY", "K", "dX"
        | Operation.BackwardKernel -> "X", "dY", "dK"
        | Operation.BackwardBias -> "dY", "one", "db"
        | Operation.Transposed -> "X", "K", "Y"

    /// What the operation is called.
    let title operation =
        match operation with
        | Operation.Forward -> "the convolution"
        | Operation.Fused _ -> "the fused convolution"
        | Operation.BackwardInput -> "backward to the input"
        | Operation.BackwardKernel -> "backward to the kernel"
        | Operation.BackwardBias -> "backward to the bias"
        | Operation.Transposed -> "the transposed convolution"

    /// The products that make up one element of the result, as flat indices of both operands, one list for each channel that is summed over.
    /// For printing: it walks the whole problem.
    let products operation (s: ConvShape) (at: int) : (int * int) list list =
        let cg, og, rows, columns = s.InChannelsPerGroup, s.OutChannelsPerGroup, s.Rows, s.Columns

        [
            for n in 0 .. s.Batch - 1 do
                for o in 0 .. s.OutChannels - 1 do
                    for c in 0 .. cg - 1 do
                        for i in 0 .. rows.Outputs - 1 do
                            for j in 0 .. columns.Outputs - 1 do
                                for u in 0 .. rows.Taps - 1 do
                                    for v in 0 .. columns.Taps - 1 do
                                        let h, w = rows.Source(i, u), columns.Source(j, v)

                                        if rows.Contains h && columns.Contains w then
                                            let channel = o / og * cg + c
                                            let x = ((n * s.InChannels + channel) * rows.Size + h) * columns.Size + w
                                            let k = ((o * cg + c) * rows.Taps + u) * columns.Taps + v
                                            let y = ((n * s.OutChannels + o) * rows.Outputs + i) * columns.Outputs + j

                                            match operation with
                                            | Operation.BackwardInput
                                            | Operation.Transposed ->
                                                if x = at then
                                                    o, (y, k)
                                            | Operation.BackwardKernel ->
                                                if k = at then
                                                    n, (x, y)
                                            | Operation.BackwardBias ->
                                                if o = at && (c, u, v) = (0, 0, 0) then
                                                    n, (y, 0)
                                            | _ ->
                                                if y = at then
                                                    c, (x, k)
        ]
        |> List.groupBy fst
        |> List.map (snd >> List.map snd)
