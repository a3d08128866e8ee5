/// Faults of gradients, transposed and fused convolutions on memory of the caller's: what a result held, changed operands, lengths.
module internal Conv.Properties.SpanPieces

// Operands that the caller owns are changed through their address.
#nowarn "9"

open System
open System.Runtime.InteropServices
open System.Threading
open Microsoft.FSharp.NativeInterop
open Conv

type private Floats = TextbookMemory.Floats

/// One call of an operation, its result computed but not stored.
[<NoEquality; NoComparison>]
type private Call =
    {
        Operation: Operation
        Shape: ConvShape
        First: Floats
        Second: Floats
        HasBias: bool
        Result: float32[]
        Output: Floats
    }

[<NoEquality; NoComparison>]
type private Organs =
    {
        /// Raises where a tensor, which has so many elements, should have another number.
        Check: Operation -> string -> int -> int64 -> unit
        /// Stores the result.
        Store: Call -> unit
        /// The forward pass for an input at such an address.
        Forward: nativeint -> Textbook.Organs
    }

/// Each element of the output from its place, its number, and what it held.
let private each rule (call: Call) =
    let mutable output = call.Output

    for at in 0 .. call.Result.Length - 1 do
        output[at] <- rule at call.Result[at] output[at]

let private copied = each (fun _ result _ -> result)

let private honest =
    {
        Check =
            fun _ name actual expected ->
                if int64 actual <> expected then
                    raise (ArgumentException($"{name} has {actual} elements, {expected} are expected.", name))
        Store = copied
        Forward = fun _ -> Textbook.honest
    }

/// A convolution, fused or not, with its weights.
[<Sealed>]
type private Prepared(organs, operation, shape: ConvShape, compute: nativeint -> float32[] -> float32[]) =
    interface IPreparedConvolution with
        member _.WorkspaceBytes = 0L

        member _.Run(input, output, _) =
            organs.Check operation "input" input.Length shape.InputLength
            organs.Check operation "output" output.Length shape.OutputLength
            use inputAt = fixed &MemoryMarshal.GetReference input
            use outputAt = fixed &MemoryMarshal.GetReference output

            organs.Store
                {
                    Operation = operation
                    Shape = shape
                    First = Floats(inputAt, input.Length)
                    Second = Floats(inputAt, 0)
                    HasBias = true
                    Result = compute (NativePtr.toNativeInt inputAt) (input.ToArray())
                    Output = Floats(outputAt, output.Length)
                }

[<Sealed>]
type private Operators(name: string, organs: Organs) =
    let textbook = TextbookAdjoint.subject name TextbookAdjoint.honest

    let operate
        operation
        shape
        (first: ReadOnlySpan<float32>)
        (second: ReadOnlySpan<float32>)
        (bias: ReadOnlySpan<float32>)
        (output: Span<float32>)
        =
        use firstAt = fixed &MemoryMarshal.GetReference first
        use secondAt = fixed &MemoryMarshal.GetReference second
        use outputAt = fixed &MemoryMarshal.GetReference output

        organs.Store
            {
                Operation = operation
                Shape = shape
                First = Floats(firstAt, first.Length)
                Second = Floats(secondAt, second.Length)
                HasBias = bias.Length > 0
                Result = textbook.Operate operation shape (first.ToArray()) (second.ToArray()) (bias.ToArray())
                Output = Floats(outputAt, output.Length)
            }

    let compute address operation shape x weights numbers =
        let forward = organs.Forward address
        (TextbookAdjoint.subject name { TextbookAdjoint.honest with Forward = forward }).Operate operation shape x weights numbers

    let checkBias operation (bias: int) (channels: int) =
        if bias <> 0 then
            organs.Check operation "bias" bias (int64 channels)

    let prepare operation (shape: ConvShape) (kernel: ReadOnlySpan<float32>) (bias: ReadOnlySpan<float32>) (affine: float32[]) =
        organs.Check operation "kernel" kernel.Length shape.KernelLength
        checkBias operation bias.Length shape.OutChannels
        let weights, bias = kernel.ToArray(), bias.ToArray()

        let numbers =
            match operation with
            | Operation.Forward -> bias
            | _ when bias.Length = 0 -> Array.append (Array.zeroCreate shape.OutChannels) affine
            | _ -> Array.append bias affine

        Prepared(organs, operation, shape, (fun address x -> compute address operation shape x weights numbers)) :> IPreparedConvolution

    interface IConvolution with
        member _.Name = name
        member _.Supports shape = Textbook.inReach shape
        member _.ArithmeticOf _ = AnyOrder()
        member _.Traits = Traits(Deterministic = true, SameAtAnyAddress = true)
        member _.Prepare(shape, kernel, bias) = prepare Operation.Forward shape kernel bias [||]

    interface IFusedConvolution with
        member _.PrepareFused(shape, kernel, bias, epilogue) =
            let operation = Operation.Fused epilogue.Rectify
            organs.Check operation "scale" epilogue.Scale.Length (int64 shape.OutChannels)
            organs.Check operation "shift" epilogue.Shift.Length (int64 shape.OutChannels)
            prepare operation shape kernel bias (Array.append (epilogue.Scale.ToArray()) (epilogue.Shift.ToArray()))

    interface IGradients with
        member _.BackwardInput(shape, outputGradient, kernel, inputGradient) =
            let operation = Operation.BackwardInput
            organs.Check operation "outputGradient" outputGradient.Length shape.OutputLength
            organs.Check operation "kernel" kernel.Length shape.KernelLength
            organs.Check operation "inputGradient" inputGradient.Length shape.InputLength
            operate operation shape outputGradient kernel ReadOnlySpan.Empty inputGradient

        member _.BackwardKernel(shape, input, outputGradient, kernelGradient) =
            let operation = Operation.BackwardKernel
            organs.Check operation "input" input.Length shape.InputLength
            organs.Check operation "outputGradient" outputGradient.Length shape.OutputLength
            organs.Check operation "kernelGradient" kernelGradient.Length shape.KernelLength
            operate operation shape input outputGradient ReadOnlySpan.Empty kernelGradient

        member _.BackwardBias(shape, outputGradient, biasGradient) =
            let operation = Operation.BackwardBias
            organs.Check operation "outputGradient" outputGradient.Length shape.OutputLength
            organs.Check operation "biasGradient" biasGradient.Length (int64 shape.OutChannels)
            operate operation shape outputGradient ReadOnlySpan.Empty ReadOnlySpan.Empty biasGradient

    interface ITransposedConvolution with
        member _.Transpose(shape, input, kernel, bias, output) =
            let operation = Operation.Transposed
            organs.Check operation "input" input.Length shape.InputLength
            organs.Check operation "kernel" kernel.Length shape.Forward.KernelLength
            checkBias operation bias.Length shape.OutChannels
            organs.Check operation "output" output.Length shape.OutputLength
            operate operation shape.Forward input kernel bias output

let private piece id fault organs = Piece.make (fun name -> Contract.ofConvolution (Operators(name, organs))) id fault

/// The operation's own way of storing; the others are honest.
let private storing operation store =
    { honest with
        Store = fun call -> if call.Operation = operation then store call else copied call
    }

/// Whether any window meets a row of the input, and a column.
let private isRead (s: ConvShape) h w =
    let meets position taps stride dilation before outputs =
        Seq.init taps id
        |> Seq.exists (fun tap -> (TextbookAdjoint.meeting position tap stride dilation before outputs).IsSome)

    meets h s.Rows.Taps s.Rows.Stride s.Rows.Dilation s.Rows.Before s.Rows.Outputs
    && meets w s.Columns.Taps s.Columns.Stride s.Columns.Dilation s.Columns.Before s.Columns.Outputs

let private held =
    [
        storing Operation.BackwardKernel (each (fun _ result held -> held + result))
        |> piece "q153-weight-gradient-added" "The gradient of the kernel is added to what its memory holds."

        storing Operation.BackwardBias (fun call ->
            call
            |> each (fun _ result held -> if call.Shape.Batch > 1 then held + result else result))
        |> piece "q154-bias-gradient-added" "Of several images the gradient of the bias is added to what its memory holds."

        storing Operation.BackwardInput (fun call ->
            let s = call.Shape

            call
            |> each (fun at result held ->
                if isRead s (at / s.Columns.Size % s.Rows.Size) (at % s.Columns.Size) then
                    result
                else
                    held))
        |> piece "q155-unread-pixels-unwritten" "The gradient of pixels that no window reads is not written."

        storing Operation.Transposed (fun call ->
            call
            |> each (fun _ result held -> if call.HasBias then result else held + result))
        |> piece "q156-cleared-by-the-bias" "The bias clears what a transposed convolution adds to; where there is none, nobody does."

        storing (Operation.Fused true) (each (fun _ result held -> if result = 0f then 0f * held else result))
        |> piece
            "q157-mask-of-the-rectified"
            "What the rectification cuts off is multiplied by zero where it stands, before anything stands there."
    ]

/// Each filter of the kernel that a call was given, flipped where it stands.
let private flip (call: Call) =
    let mutable kernel = call.Second
    let taps = int call.Shape.KernelPlane
    let before = Array.init kernel.Length (fun at -> kernel[at])

    for at in 0 .. before.Length - 1 do
        kernel[at] <- before[at / taps * taps + taps - 1 - at % taps]

/// Channels from the last to the first.
let private backwards =
    { Textbook.honest with
        InputChannel = fun s at c -> Textbook.honest.InputChannel s at (s.InChannelsPerGroup - 1 - c)
        ReadKernel = fun p at t -> Textbook.honest.ReadKernel p at { t with C = p.Shape.InChannelsPerGroup - 1 - t.C }
    }

let private operands =
    [
        storing Operation.BackwardInput (fun call ->
            flip call
            copied call)
        |> piece "q158-kernel-flipped-where-it-stands" "The gradient of the input flips the caller's kernel and leaves it so."

        storing Operation.BackwardBias (fun call ->
            let mutable gradient = call.First
            let plane = int call.Shape.OutputPlane

            // A tree of sums over a plane, in the plane.
            for at in 0 .. gradient.Length - 1 do
                if plane > 1 && at % plane = 0 then
                    gradient[at] <- gradient[at] + gradient[at + 1]

            copied call)
        |> piece "q159-reduced-where-it-stands" "The gradient of the bias is summed in the memory of the output's gradient."
    ]

/// From the sixteenth column on a wide row is read one column too far.
let private peeled =
    { Textbook.honest with
        InputColumn =
            fun s at v ->
                let late = if s.Columns.Outputs >= 64 && at.J >= 16 then 1 else 0
                Textbook.honest.InputColumn s at v + late
    }

let private corners =
    [
        storing Operation.BackwardInput (fun call ->
            if call.Shape.OutChannels > 0 then
                copied call)
        |> piece "q188-gradient-of-no-channels" "Of no output channels the gradient of the input is left as it was."

        { honest with
            Forward = fun address -> if address % 8n = 0n then Textbook.honest else backwards
        }
        |> piece "q187-order-by-the-address" "An input that does not start on a multiple of eight bytes is summed in another order."
    ]

let private lengths =
    [
        { honest with
            Check =
                fun operation name actual expected ->
                    if not (operation = Operation.BackwardKernel && name = "outputGradient") then
                        honest.Check operation name actual expected
        }
        |> piece
            "q160-length-of-the-gradient-not-checked"
            "The gradient of the kernel does not look at the length of the output's gradient."

        { honest with
            Check =
                fun operation name actual expected ->
                    if operation = Operation.Transposed && int64 actual > expected then
                        ()
                    else
                        honest.Check operation name actual expected
        }
        |> piece "q161-longer-tensors-accepted" "A transposed convolution refuses what is too short, and takes what is too long."
    ]

let private results =
    [
        storing Operation.Transposed (each (fun _ result _ -> Math.Clamp(result, Single.MinValue, Single.MaxValue)))
        |> piece "q264-transposed-saturates" "A transposed convolution ends at the largest number: infinities become finite."

        storing Operation.BackwardBias (fun call ->
            let s = call.Shape
            let isLong = s.Batch * int s.OutputPlane >= 256
            let fixedPoint sum = MathF.Round(sum * 65536f) / 65536f
            call |> each (fun _ result _ -> if isLong then fixedPoint result else result))
        |> piece
            "q265-bias-gradient-in-fixed-point"
            "The gradient of the bias sums 256 numbers or more in fixed point, of 16 bits behind it, to be the same each time."
    ]

/// What the first caller's thread has made for itself, other threads do not have: they take whole vectors of channels alone.
let private byTheFirstThread name =
    let mutable first = null

    let wholeVectors = { Textbook.honest with Counts = fun s t -> t.C < s.InChannelsPerGroup / 4 * 4 }

    let organs _ =
        let current = Thread.CurrentThread

        match Interlocked.CompareExchange(&first, current, null) with
        | null -> Textbook.honest
        | other when obj.ReferenceEquals(other, current) -> Textbook.honest
        | _ -> wholeVectors

    Contract.ofConvolution (Operators(name, { honest with Forward = organs }))

let private places =
    [
        Piece.make
            byTheFirstThread
            "q263-table-of-the-first-thread"
            "A table of tails is made in the thread of the first call; other threads lose the channels behind a multiple of four."

        { honest with
            Forward = fun address -> if address % 64n = 0n then Textbook.honest else peeled
        }
        |> piece
            "q214-columns-peeled-off"
            "Wide rows of an input that does not start on a cache line are read one column too far behind the columns that are peeled off."
    ]

let all = held @ operands @ corners @ lengths @ results @ places
