namespace Conv.Properties

open System
open System.Threading.Tasks
open Conv

/// A convolution as a method: writes every element of the output.
/// shape, input N×C×H×W, kernel O×C/G×K_h×K_w, bias (O numbers, or empty for none), output N×O×H_o×W_o; all dense and row-major.
type Convolution =
    delegate of
        shape: ConvShape *
        input: ReadOnlySpan<float32> *
        kernel: ReadOnlySpan<float32> *
        bias: ReadOnlySpan<float32> *
        output: Span<float32> ->
            unit

/// Subjects from code: an implementation of `IConvolution` with whatever optional contracts it has, or a plain method.
[<RequireQualifiedAccess>]
module internal Contract =
    /// What the subject runs on: operands in memory of the kit's, and a workspace of any size on demand.
    [<NoEquality; NoComparison>]
    type internal Laid =
        {
            Input: Zoned
            Kernel: Zoned
            Bias: Zoned
            Output: Zoned
            Workspace: int64 -> Zoned
            Threads: int
            /// Set by who passes the number of threads on.
            ThreadsTaken: bool ref
        }

    let private bytes (values: float32[]) = int64 values.Length * int64 sizeof<float32>

    /// Each tensor at another offset from a multiple of 64 bytes, where they do not start at one.
    let private zonedAt (p: Placement) step size = new Zoned(size, p.Misalign * step % 16 * sizeof<float32>, p.Guard, p.Pages)

    let private holding p step (values: float32[]) =
        let zoned = zonedAt p step (bytes values)
        values.AsSpan().CopyTo zoned.Floats
        zoned

    let private placeHere
        (run: Operation -> ConvShape -> Laid -> int64)
        (p: Placement)
        operation
        (shape: ConvShape)
        (x: float32[])
        (k: float32[])
        (b: float32[])
        =
        let zoned = zonedAt p 1
        use input = holding p 1 x
        use kernel = holding p 3 k
        use bias = holding p 5 b

        use separate =
            zonedAt
                p
                7
                (if p.InPlace then
                     0L
                 else
                     Operation.length operation shape * int64 sizeof<float32>)

        separate.Floats.Fill p.OutputHolds

        if not p.InPlace then
            input.Seal()

        kernel.Seal()
        bias.Seal()
        let output = if p.InPlace then input else separate
        let mutable workspace: Zoned | null = null
        let threadsTaken = ref false

        let supply (size: int64) =
            let made = zoned size
            // Bytes beyond the last whole float keep what the allocator left.
            made.Floats.Fill p.WorkspaceHolds
            workspace <- made
            made

        // Who declines has written nothing: the caller goes elsewhere with what it has.
        let orDeclines (run: unit -> int64) =
            try
                run ()
            with Declined when not p.InPlace ->
                let held = BitConverter.SingleToInt32Bits p.OutputHolds
                let mutable written = 0

                for value in separate.Floats do
                    if BitConverter.SingleToInt32Bits value <> held then
                        written <- written + 1

                if written = 0 then
                    reraise ()
                else
                    raise (ForeignFault(Trouble.Touched, $"It declines the call after it has written {written} floats of the output."))

        try
            let took =
                orDeclines (fun () ->
                    run
                        operation
                        shape
                        {
                            Input = input
                            Kernel = kernel
                            Bias = bias
                            Output = output
                            Workspace = supply
                            Threads = p.Threads
                            ThreadsTaken = threadsTaken
                        })

            let zones =
                input.Overwritten
                + kernel.Overwritten
                + bias.Overwritten
                + separate.Overwritten
                + (match workspace with
                   | null -> 0
                   | made -> made.Overwritten)

            struct (output.Floats.ToArray(),
                    {
                        Outside = zones
                        Operands =
                            (if p.InPlace then 0 else input.Differing x)
                            + kernel.Differing k
                            + bias.Differing b
                        WorkspaceBytes = took
                        ThreadsTaken = threadsTaken.Value
                    })
        finally
            match workspace with
            | null -> ()
            | made -> (made :> IDisposable).Dispose()

    /// Lays a call in memory, runs it, and reads off what it did. `run` tells how much workspace it took.
    let internal place run (p: Placement) operation shape x k b =
        let call () = placeHere run p operation shape x k b

        if p.Elsewhere then
            Task.Factory.StartNew(call, TaskCreationOptions.LongRunning).GetAwaiter().GetResult()
        else
            call ()

    /// A call that touched memory beside its result is no answer.
    let internal refuseTraces (traces: Traces) =
        if traces.Outside > 0 then
            raise (ForeignFault(Trouble.Touched, $"It wrote {traces.Outside} floats outside of its output."))

        if traces.Operands > 0 then
            raise (ForeignFault(Trouble.Touched, $"It changed {traces.Operands} floats of its operands."))

    /// A call whose shape says where its operands stand. `mayDie`: as of `Placement.ofShape`.
    let internal laid mayDie run operation s x k b =
        let struct (result: float32[], traces) = place run (Placement.ofShape mayDie s) operation s x k b
        refuseTraces traces
        result

    /// What is prepared of weights and bias where the shape says that they stand. They are gone before it is run: what was not copied shows.
    let internal lending (s: ConvShape) k b (prepare: Zoned -> Zoned -> 'a) : 'a =
        let p = Placement.ofShape false s
        use kernel = holding p 3 k
        use bias = holding p 5 b
        let made = prepare kernel bias

        refuseTraces
            {
                Outside = kernel.Overwritten + bias.Overwritten
                Operands = kernel.Differing k + bias.Differing b
                WorkspaceBytes = 0L
                ThreadsTaken = false
            }

        kernel.Floats.Fill Single.NaN
        bias.Floats.Fill Single.NaN
        made

    /// One run on laid operands, and the bytes of workspace that it asks for.
    let private runOn (prepared: IPreparedConvolution) (laid: Laid) =
        let workspace = laid.Workspace prepared.WorkspaceBytes

        match prepared with
        | :? IThreadedConvolution as threaded when laid.Threads > 0 ->
            laid.ThreadsTaken.Value <- true
            threaded.Run(Span.op_Implicit laid.Input.Floats, laid.Output.Floats, workspace.Bytes, laid.Threads)
        | _ -> prepared.Run(Span.op_Implicit laid.Input.Floats, laid.Output.Floats, workspace.Bytes)

        prepared.WorkspaceBytes

    let private release (prepared: IPreparedConvolution) =
        match box prepared with
        | :? IDisposable as owner -> owner.Dispose()
        | _ -> ()

    /// Any operation of an object that has the contract for it, on spans: first and second operand, bias, result.
    let private operateOn (convolution: obj) operation (s: ConvShape) laid : int64 =
        // Spans are good for the call that they are made for.
        let first = laid.Input.Floats
        let second = laid.Kernel.Floats
        let bias = laid.Bias.Floats
        let result = laid.Output.Floats

        let run prepared =
            try
                runOn prepared laid
            finally
                release prepared

        match operation, convolution with
        | Operation.Forward, (:? IConvolution as c) -> run (c.Prepare(s, Span.op_Implicit second, Span.op_Implicit bias))
        | Operation.BackwardInput, (:? IGradients as g) ->
            g.BackwardInput(s, Span.op_Implicit first, Span.op_Implicit second, result)
            0L
        | Operation.BackwardKernel, (:? IGradients as g) ->
            g.BackwardKernel(s, Span.op_Implicit first, Span.op_Implicit second, result)
            0L
        | Operation.BackwardBias, (:? IGradients as g) ->
            g.BackwardBias(s, Span.op_Implicit first, result)
            0L
        | Operation.Transposed, (:? ITransposedConvolution as t) ->
            t.Transpose(TransposedShape s, Span.op_Implicit first, Span.op_Implicit second, Span.op_Implicit bias, result)
            0L
        | Operation.Fused rectifies, (:? IFusedConvolution as f) ->
            let o = s.OutChannels
            let all = bias.ToArray()
            let part at = ReadOnlyMemory(all, at * o, o)
            run (f.PrepareFused(s, Span.op_Implicit second, part(0).Span, Epilogue(part 1, part 2, rectifies)))
        | _ -> raise (NotSupportedException $"There is no contract for {Operation.title operation}.")

    /// What a call does that must be refused: `call` gets the output's array and its poison is counted afterwards.
    let private refused length (call: float32[] -> unit) =
        let poison = 1.25e30f
        let output = Array.create length poison

        let thrown =
            try
                call output
                None
            with error ->
                Some error

        {
            Thrown = thrown
            Written = output |> Array.filter ((<>) poison) |> Array.length
        }

    /// The optional contracts that an object implements, as operations on arrays; the result's is given.
    let private operateInto (convolution: obj) operation (s: ConvShape) (a: float32[]) (k: float32[]) (b: float32[]) (result: float32[]) =
        match operation, convolution with
        | Operation.BackwardInput, (:? IGradients as g) -> g.BackwardInput(s, ReadOnlySpan a, ReadOnlySpan k, Span result)
        | Operation.BackwardKernel, (:? IGradients as g) -> g.BackwardKernel(s, ReadOnlySpan a, ReadOnlySpan k, Span result)
        | Operation.BackwardBias, (:? IGradients as g) -> g.BackwardBias(s, ReadOnlySpan a, Span result)
        | Operation.Transposed, (:? ITransposedConvolution as t) ->
            t.Transpose(TransposedShape s, ReadOnlySpan a, ReadOnlySpan k, ReadOnlySpan b, Span result)
        | Operation.Fused rectifies, (:? IFusedConvolution as f) ->
            let o = s.OutChannels
            let part at = ReadOnlyMemory(b, at * o, o)
            let prepared = f.PrepareFused(s, ReadOnlySpan k, part(0).Span, Epilogue(part 1, part 2, rectifies))
            prepared.Run(ReadOnlySpan a, Span result, Array.zeroCreate<byte>(int prepared.WorkspaceBytes))
        | _ -> raise (NotSupportedException $"There is no contract for {Operation.title operation}.")

    let private refuse (convolution: IConvolution) bad =
        let operation, shape, tensor, wrong =
            match bad with
            | BadLength(operation, shape, tensor, length) -> operation, shape, tensor, length
            | NotSupported shape -> Operation.Forward, shape, "", 0
            | BadShape _
            | BadTransposed _
            | BadSame _ -> invalidOp "An implementation is given shapes, no numbers."

        let length name (right: int64) = if name = tensor then wrong else int right
        let zeros name right = Array.zeroCreate<float32>(length name right)

        match operation with
        | Operation.Forward ->
            refused (length "output" shape.OutputLength) (fun output ->
                let prepared =
                    convolution.Prepare(
                        shape,
                        ReadOnlySpan(zeros "kernel" shape.KernelLength),
                        ReadOnlySpan(zeros "bias" (int64 shape.OutChannels))
                    )

                let workspace = Array.zeroCreate<byte>(length "workspace" prepared.WorkspaceBytes)
                prepared.Run(ReadOnlySpan(zeros "input" shape.InputLength), Span output, Span workspace))
        | _ ->
            let bias =
                match operation with
                | Operation.Fused _ -> 3L * int64 shape.OutChannels
                | _ -> int64 shape.InChannels

            refused (length "result" (Operation.length operation shape)) (fun result ->
                operateInto
                    convolution
                    operation
                    shape
                    (zeros "first" (Operation.elements (Operation.first operation shape)))
                    (zeros "second" (Operation.elements (Operation.second operation shape)))
                    (zeros "bias" bias)
                    result)

    let private capabilities (convolution: IConvolution) =
        set
            [
                Forward
                Placed
                Prepares
                Workspace
                Concurrent
                Misuse
                match box convolution with
                | :? IGradients -> Gradients
                | _ -> ()
                match box convolution with
                | :? ITransposedConvolution -> Transposed
                | _ -> ()
                match box convolution with
                | :? IFusedConvolution -> Fused
                | _ -> ()
                match box convolution with
                | :? IViewConvolution -> Views
                | _ -> ()
                match box convolution with
                | :? IInPlaceConvolution -> InPlace
                | _ -> ()
                match box convolution with
                | :? IOutputSize -> OutputSize
                | _ -> ()
                match box convolution with
                | :? ISamePadding -> SamePads
                | _ -> ()
                // Whether what it prepares takes a number of threads shows when it is prepared.
                Threads
            ]

    /// What the optional contracts say of an operation on a supported shape.
    let private takes (convolution: obj) operation (shape: ConvShape) =
        match operation, convolution with
        | Operation.BackwardInput, (:? IGradients as g) -> g.Supports(Gradient.Input, shape)
        | Operation.BackwardKernel, (:? IGradients as g) -> g.Supports(Gradient.Kernel, shape)
        | Operation.BackwardBias, (:? IGradients as g) -> g.Supports(Gradient.Bias, shape)
        | Operation.Transposed, (:? ITransposedConvolution as t) -> t.SupportsTransposed(TransposedShape shape)
        | Operation.Fused _, (:? IFusedConvolution as f) -> f.SupportsFused shape
        | _ -> true

    /// Holds an implementation of the contract. The output and the workspace are full of NaN before each call, so that what is not written, or
    /// read before it is written, shows.
    let ofConvolution (convolution: IConvolution) : Subject =
        let profile =
            { Profile.Plain with
                Supports = convolution.Supports
                Takes = takes convolution
                TakesViews =
                    match box convolution with
                    | :? IViewConvolution as viewed -> viewed.SupportsViews
                    | _ -> fun _ -> false
                ArithmeticOf = convolution.ArithmeticOf
                Traits = convolution.Traits
                TakesInPlace =
                    match box convolution with
                    | :? IInPlaceConvolution as inPlace -> inPlace.TakesInPlace
                    | _ -> fun _ -> false
                AdjointArithmeticOf = convolution.AdjointArithmeticOf >> ValueOption.ofObj
                WorkspaceLimit = convolution.WorkspaceLimit >> ValueOption.ofNullable
                Capabilities = capabilities convolution
            }

        let prepare shape k b =
            let prepared =
                lending shape k b (fun kernel bias ->
                    convolution.Prepare(shape, Span.op_Implicit kernel.Floats, Span.op_Implicit bias.Floats))

            let run x = laid false (fun _ _ -> runOn prepared) Operation.Forward shape x [||] [||]
            { PreparedRuns.ofRun run with Release = fun () -> release prepared }

        let operate = laid false (operateOn convolution)

        { Subject.forward convolution.Name profile (operate Operation.Forward) with
            Profile = profile
            Prepare = prepare
            Operate = operate
            Place = place (operateOn convolution)
            Viewed =
                fun shape (struct (x, xv)) (struct (k, kv)) b (struct (y, yv)) ->
                    match box convolution with
                    | :? IViewConvolution as viewed -> viewed.Run(shape, ReadOnlySpan x, xv, ReadOnlySpan k, kv, ReadOnlySpan b, Span y, yv)
                    | _ -> raise (NotSupportedException "There is no contract for views.")
            Refuse = refuse convolution
            OutputSize =
                fun shape ->
                    match box convolution with
                    | :? IOutputSize as formula -> formula.OutputSize shape
                    | _ -> raise (NotSupportedException "There is no contract for the output size.")
            SamePads =
                fun size taps stride dilation upper ->
                    match box convolution with
                    | :? ISamePadding as formula ->
                        formula.SamePads(size, taps, stride, dilation, (if upper then SamePadding.Upper else SamePadding.Lower))
                    | _ -> raise (NotSupportedException "There is no contract for SAME padding.")
        }

    /// Holds what a function makes: calls go to one instance until the kit asks for a fresh one.
    let ofFactory (create: unit -> IConvolution) : Subject =
        let first = ofConvolution (create ())
        let mutable current = first

        { first with
            Forward = fun s x k b -> current.Forward s x k b
            Prepare = fun s k b -> current.Prepare s k b
            Operate = fun operation s first second b -> current.Operate operation s first second b
            Place = fun placement operation s first second b -> current.Place placement operation s first second b
            Viewed = fun s x k b y -> current.Viewed s x k b y
            Refuse = fun bad -> current.Refuse bad
            OutputSize = fun s -> current.OutputSize s
            SamePads = fun size taps stride dilation upper -> current.SamePads size taps stride dilation upper
            Fresh = Some(fun () -> current <- ofConvolution (create ()))
        }

    /// Holds a method under a declared profile, in memory of the kit's.
    let ofMethod name (profile: Profile) (run: Convolution) : Subject =
        let onMemory _ shape (laid: Laid) =
            run.Invoke(
                shape,
                Span.op_Implicit laid.Input.Floats,
                Span.op_Implicit laid.Kernel.Floats,
                Span.op_Implicit laid.Bias.Floats,
                laid.Output.Floats
            )

            0L

        let profile = { profile with Capabilities = set [ Forward; Placed ] }

        { Subject.forward name profile (laid false onMemory Operation.Forward) with
            Profile = profile
            Place = place onMemory
        }
