/// An im2col convolution on memory of the caller's, taken apart into organs: patches go into the workspace, threads share the rows of the
/// output, views are copied. With the honest organs it keeps every contract of the core.
module internal Conv.Properties.TextbookMemory

// Loops without bounds checks are among what goes wrong: memory is reached through its address.
#nowarn "9"

open System
open System.Runtime.InteropServices
open System.Threading
open Microsoft.FSharp.NativeInterop
open Conv

/// Floats that somebody else owns: a span that functions may hold.
[<Struct; NoEquality; NoComparison>]
type Floats(address: nativeptr<float32>, length: int) =
    member _.Length = length

    member _.Item
        with get at =
            if at >= 0 && at < length then
                NativePtr.get address at
            else
                raise (IndexOutOfRangeException $"{at} of {length} elements")
        and set at value =
            if at >= 0 && at < length then
                NativePtr.set address at value
            else
                raise (IndexOutOfRangeException $"{at} of {length} elements")

    /// The same place, taken to be so long.
    member _.As length = Floats(address, length)

/// One call.
[<NoEquality; NoComparison>]
type Call =
    {
        Shape: ConvShape
        Input: Floats
        /// The weights as `Pack` left them.
        Weights: float32[]
        Bias: float32[]
        Output: Floats
        /// The workspace: n taps by H_o·W_o positions, for one image and group after the other.
        Patches: Floats
        /// Where its threads may meet.
        Threads: Barrier
    }

    /// How many threads work on it.
    member c.Count = c.Threads.ParticipantCount

/// Where a patch has its element: tap, channel of the input, row and column, which may be outside of the image.
[<Struct>]
type Cell = { N: int; Channel: int; H: int; W: int }

[<NoEquality; NoComparison>]
type Organs =
    {
        /// Raises where kernel or bias do not fit the shape.
        CheckWeights: ConvShape -> Floats -> Floats -> unit
        /// Raises where input, output or workspace (in bytes, of so many needed) do not.
        CheckRun: ConvShape -> Floats -> Floats -> int64 -> int64 -> unit
        /// Floats of workspace that a call asks for.
        Workspace: ConvShape -> int64
        /// The patches of a call with these weights, from the workspace that it was given.
        Patches: ConvShape -> float32[] -> Floats -> Floats
        /// The weights as the product reads them.
        Pack: ConvShape -> Floats -> float32[]
        /// Done once, before any thread begins.
        Begin: Call -> unit
        /// The rows of the output that are a thread's own: from, and up to.
        Rows: int -> int -> int -> struct (int * int)
        /// Where the patches hold tap q of the output (i, j); the rows of the thread begin at `first`.
        PatchIndex: ConvShape -> int -> int -> int -> int -> int
        /// Puts one element into the patches.
        Gather: Call -> int -> Cell -> unit
        /// Between the gathering of a thread's patches and their product; the step, from 0 on.
        Between: Call -> int -> unit
        /// Σ k·x of the output channel, over the taps; where the patches hold each is given.
        Dot: Call -> int -> (int -> int) -> float32
        /// Stores an element of the output from its sum: its channel and flat index.
        Store: Call -> int -> int -> float32 -> unit
        /// What a thread does.
        Work: Organs -> Call -> int -> unit
        /// The views of input, kernel and output as they are used.
        InputView: ConvShape -> TensorView -> TensorView
        KernelView: ConvShape -> TensorView -> TensorView
        OutputView: ConvShape -> TensorView -> TensorView
    }

let private length (name: string) actual (expected: int64) =
    if int64 actual <> expected then
        raise (ArgumentException($"{name} has {actual} elements, {expected} are expected.", name))

let bias (call: Call) o = if call.Bias.Length = 0 then 0f else call.Bias[o]
let isInside (s: ConvShape) (at: Cell) = at.H >= 0 && at.H < s.Rows.Size && at.W >= 0 && at.W < s.Columns.Size

let inputIndex (s: ConvShape) (at: Cell) =
    ((at.N * s.InChannels + at.Channel) * s.Rows.Size + at.H) * s.Columns.Size
    + at.W

let private gather organs (call: Call) n group (struct (first, last)) =
    let s = call.Shape

    for c in 0 .. s.InChannelsPerGroup - 1 do
        for u in 0 .. s.Rows.Taps - 1 do
            for v in 0 .. s.Columns.Taps - 1 do
                let q = (c * s.Rows.Taps + u) * s.Columns.Taps + v

                for i in first .. last - 1 do
                    for j in 0 .. s.Columns.Outputs - 1 do
                        organs.Gather
                            call
                            (organs.PatchIndex s first q i j)
                            {
                                N = n
                                Channel = group * s.InChannelsPerGroup + c
                                H = i * s.Rows.Stride + u * s.Rows.Dilation - s.Rows.Before
                                W = j * s.Columns.Stride + v * s.Columns.Dilation - s.Columns.Before
                            }

let private multiply organs (call: Call) n group (struct (first, last)) =
    let s = call.Shape

    for o in group * s.OutChannelsPerGroup .. (group + 1) * s.OutChannelsPerGroup - 1 do
        for i in first .. last - 1 do
            for j in 0 .. s.Columns.Outputs - 1 do
                let at = ((n * s.OutChannels + o) * s.Rows.Outputs + i) * s.Columns.Outputs + j
                organs.Store call o at (organs.Dot call o (fun q -> organs.PatchIndex s first q i j))

let private work organs (call: Call) thread =
    let s = call.Shape
    let rows = organs.Rows s.Rows.Outputs thread call.Count

    for n in 0 .. s.Batch - 1 do
        for group in 0 .. s.Groups - 1 do
            gather organs call n group rows
            organs.Between call (n * s.Groups + group)
            multiply organs call n group rows

let honest =
    {
        CheckWeights =
            fun s kernel bias ->
                length "kernel" kernel.Length s.KernelLength

                if bias.Length <> 0 then
                    length "bias" bias.Length (int64 s.OutChannels)
        CheckRun =
            fun s input output workspace needed ->
                length "input" input.Length s.InputLength
                length "output" output.Length s.OutputLength

                if workspace < needed then
                    raise (ArgumentException($"workspace has {workspace} bytes, {needed} are needed.", "workspace"))
        Workspace = fun s -> s.TermsPerOutput * s.OutputPlane
        Patches = fun _ _ workspace -> workspace
        Pack = fun _ kernel -> Array.init kernel.Length (fun at -> kernel[at])
        Begin = ignore
        Rows = fun rows thread threads -> struct (rows * thread / threads, rows * (thread + 1) / threads)
        PatchIndex = fun s _ q i j -> (q * s.Rows.Outputs + i) * s.Columns.Outputs + j
        Gather =
            fun call to' from ->
                let mutable patches = call.Patches
                patches[to'] <- if isInside call.Shape from then call.Input[inputIndex call.Shape from] else 0f
        Between = fun _ _ -> ()
        Dot =
            fun call o at ->
                let terms = int call.Shape.TermsPerOutput
                let mutable sum = 0f

                for q in 0 .. terms - 1 do
                    sum <- sum + call.Weights[o * terms + q] * call.Patches[at q]

                sum
        Store =
            fun call o at sum ->
                let mutable output = call.Output
                output[at] <- sum + bias call o
        Work = work
        InputView = fun _ view -> view
        KernelView = fun _ view -> view
        OutputView = fun _ view -> view
    }

let private onThreads organs (call: Call) =
    organs.Begin call

    if call.Count = 1 then
        organs.Work organs call 0
    else
        let failures = Array.create<exn option> call.Count None

        let threads =
            Array.init call.Count (fun thread ->
                Thread(fun () ->
                    try
                        organs.Work organs call thread
                    with error ->
                        failures[thread] <- Some error
                        // The others need not wait for it.
                        call.Threads.RemoveParticipant()))

        for thread in threads do
            thread.Start()

        for thread in threads do
            thread.Join()

        failures |> Array.tryPick id |> Option.iter raise

[<Sealed>]
type private Prepared(organs: Organs, shape: ConvShape, weights: float32[], bias: float32[]) =
    let bytes = organs.Workspace shape * int64 sizeof<float32>

    let run (input: ReadOnlySpan<float32>) (output: Span<float32>) (workspace: Span<byte>) threads =
        use inputAt = fixed &MemoryMarshal.GetReference input
        use outputAt = fixed &MemoryMarshal.GetReference output
        use workspaceAt = fixed &MemoryMarshal.GetReference workspace
        let input, output = Floats(inputAt, input.Length), Floats(outputAt, output.Length)
        organs.CheckRun shape input output (int64 workspace.Length) bytes

        if threads < 1 then
            raise (ArgumentException($"threads = {threads}: at least 1 is needed.", nameof threads))

        let patches =
            Floats(NativePtr.ofVoidPtr (NativePtr.toVoidPtr workspaceAt), workspace.Length / sizeof<float32>)

        use meeting = new Barrier(max 1 (min threads shape.Rows.Outputs))

        onThreads
            organs
            {
                Shape = shape
                Input = input
                Weights = weights
                Bias = bias
                Output = output
                Patches = organs.Patches shape weights patches
                Threads = meeting
            }

    interface IThreadedConvolution with
        member _.WorkspaceBytes = bytes
        member _.Run(input, output, workspace) = run input output workspace 1
        member _.Run(input, output, workspace, threads) = run input output workspace threads

/// The elements of a view, dense.
let private dense (d0: int, d1: int, d2: int, d3: int) (view: TensorView) (data: ReadOnlySpan<float32>) =
    let copy = Array.zeroCreate (d0 * d1 * d2 * d3)

    for at in 0 .. copy.Length - 1 do
        let i3, rest = at % d3, at / d3
        copy[at] <- data[view.At(rest / d2 / d1, rest / d2 % d1, rest % d2, i3)]

    copy

/// Floats on each side of the tensors of a view.
let private room = 4096

[<Sealed>]
type private Convolution(name: string, organs: Organs) =
    let prepare (shape: ConvShape) (kernel: ReadOnlySpan<float32>) (bias: ReadOnlySpan<float32>) =
        use kernelAt = fixed &MemoryMarshal.GetReference kernel
        use biasAt = fixed &MemoryMarshal.GetReference bias
        let kernel, ofBias = Floats(kernelAt, kernel.Length), Floats(biasAt, bias.Length)
        organs.CheckWeights shape kernel ofBias
        Prepared(organs, shape, organs.Pack shape kernel, bias.ToArray()) :> IThreadedConvolution

    interface IConvolution with
        member _.Name = name
        // Flat indices are 32 bits wide.
        member _.Supports shape = Textbook.inReach shape && organs.Workspace shape < (1L <<< 27)
        member _.ArithmeticOf _ = AnyOrder()
        member _.Traits = Traits(Deterministic = true, SameAtAnyAddress = true, Threaded = true)
        member _.Prepare(shape, kernel, bias) = prepare shape kernel bias

    interface IInPlaceConvolution with
        member _.TakesInPlace shape =
            shape.Rows.Taps = 1
            && shape.Columns.Taps = 1
            && shape.Groups = shape.InChannels
            && shape.Groups = shape.OutChannels
            && shape.InputLength = shape.OutputLength
            && shape.Rows.Stride = 1
            && shape.Columns.Stride = 1
            && shape.Rows.Before
               + shape.Columns.Before
               + shape.Rows.After
               + shape.Columns.After
                =
                0

    interface IViewConvolution with
        member _.Run(shape, input, inputView, kernel, kernelView, bias, output, outputView) =
            let x = dense (Operation.input shape) (organs.InputView shape inputView) input
            let k = dense (Operation.kernel shape) (organs.KernelView shape kernelView) kernel
            let prepared = prepare shape (ReadOnlySpan k) bias
            // Organs that leave their tensors must not reach the collector's own memory.
            let roomy length = Array.zeroCreate<float32>(length + 2 * room)
            let input, result = roomy x.Length, roomy (int shape.OutputLength)
            let workspace = roomy (int (organs.Workspace shape))
            x.CopyTo(input, room)

            prepared.Run(
                ReadOnlySpan(input, room, x.Length),
                Span(result, room, int shape.OutputLength),
                MemoryMarshal.AsBytes(Span(workspace, room, int (organs.Workspace shape)))
            )

            let y = result.AsSpan(room, int shape.OutputLength).ToArray()
            let view = organs.OutputView shape outputView
            let _, d1, d2, d3 = Operation.output shape

            for at in 0 .. y.Length - 1 do
                let i3, rest = at % d3, at / d3
                output[view.At(rest / d2 / d1, rest / d2 % d1, rest % d2, i3)] <- y[at]

/// A subject that declares what the honest organs keep: every contract of memory, state and threads.
let subject name organs = Contract.ofConvolution (Convolution(name, organs))

/// The same for organs that leave their tensors: every call has memory around it, where the collector's own would be written to.
let subjectWithRoom name organs =
    let subject = subject name organs

    let run shape x k b =
        let struct (output, _) = subject.Place Placement.plain Operation.Forward shape x k b
        output

    { subject with Forward = run; Prepare = PreparedRuns.ofCalls run }
