namespace Conv.Properties

open System
open System.Runtime.ExceptionServices
open Conv

/// What a subject can be asked to do, or promises.
type internal Capability =
    /// Y = conv(X, K) + b.
    | Forward
    /// The gradients of input, kernel and bias.
    | Gradients
    /// Transposed convolution.
    | Transposed
    /// A fused epilogue: affine and ReLU.
    | Fused
    /// Strided views of input, kernel and output.
    | Views
    /// Calls on memory of the kit's choosing.
    | Placed
    /// Weights that are prepared once and run many times, perhaps by a way of their own.
    | Prepares
    /// A workspace whose size is advertised, and that the caller supplies.
    | Workspace
    /// The number of threads may be the caller's to choose.
    | Threads
    /// One prepared convolution may be run by several callers at once.
    | Concurrent
    /// The environment of its process says how many threads it may use.
    | ThreadSettings
    /// On some shapes the output may be written over the input.
    | InPlace
    /// Bad calls can be made of it.
    | Misuse
    /// The output size of a shape.
    | OutputSize
    /// The multiply-adds of a shape.
    | CostFormula
    /// The pads of SAME padding.
    | SamePads
    /// The sizes of transposed convolutions.
    | TransposedSize
    /// C = A·B + bias on matrices whose rows may lie apart.
    | MatrixProduct

/// What a subject declares. Bounds, cases and the laws that apply follow from it.
type internal Profile =
    {
        Supports: ConvShape -> bool
        /// Which operations beside the forward pass it takes on a shape that it supports.
        Takes: Operation -> ConvShape -> bool
        /// Whether it takes a supported shape through views.
        TakesViews: ConvShape -> bool
        ArithmeticOf: ConvShape -> Arithmetic
        /// How its gradients and transposed convolutions are summed, where that is declared apart.
        AdjointArithmeticOf: ConvShape -> Arithmetic voption
        Traits: Traits
        /// The shapes on which the output may be written over the input.
        TakesInPlace: ConvShape -> bool
        /// The most bytes of workspace that are promised to be asked for, where any are.
        WorkspaceLimit: ConvShape -> int64 voption
        Capabilities: Set<Capability>
        /// Whether a call may be declined whose shape it supports: what it takes shows only then.
        Declines: bool
        /// Where to look for problems that it supports: one like the given one, with pads of the only kind that it takes.
        Nearest: ConvShape -> ConvShape
    }

    /// Any order, every shape, nothing promised.
    static member Plain =
        {
            Supports = fun _ -> true
            Takes = fun _ _ -> true
            TakesViews = fun _ -> true
            ArithmeticOf = fun _ -> AnyOrder()
            AdjointArithmeticOf = fun _ -> ValueNone
            Traits = Traits.Default
            TakesInPlace = fun _ -> false
            WorkspaceLimit = fun _ -> ValueNone
            Capabilities = Set.empty
            Declines = false
            Nearest = id
        }

    /// Whether a case may ask for this: the operation is offered, and taken on the shape.
    member p.Offers(operation: Operation, shape: ConvShape) =
        let among capability = p.Capabilities.Contains capability && p.Takes operation shape

        p.Supports shape
        && (match operation with
            | Operation.Forward -> true
            | Operation.Fused _ -> among Fused
            | Operation.Transposed -> among Transposed
            | Operation.BackwardInput
            | Operation.BackwardKernel
            | Operation.BackwardBias -> among Gradients)

    /// How an operation is summed. Only any order and a claimed bound say something of gradients and transposed convolutions.
    member p.Arithmetic(operation: Operation, shape: ConvShape) : Arithmetic =
        match operation with
        | Operation.Forward
        | Operation.Fused _ -> p.ArithmeticOf shape
        | _ ->
            match
                p.AdjointArithmeticOf shape
                |> ValueOption.defaultWith (fun () -> p.ArithmeticOf shape)
            with
            // A depth is promised of the forward pass alone.
            | :? AnyOrder -> AnyOrder()
            | :? Within as declared -> declared
            | _ -> Opaque()

/// A call that must be refused.
type internal BadCall =
    /// Sixteen numbers that make no convolution, in the order of ConvShape's fields.
    | BadShape of numbers: int list
    /// Eighteen numbers that make no transposed convolution, in the order of TransposedShape's parameters.
    | BadTransposed of numbers: int list
    /// Size, taps, stride and dilation for which there is no SAME padding.
    | BadSame of numbers: int list
    /// A tensor of a call that has the wrong number of elements: "input", "kernel", "bias", "output", "workspace" of the forward pass; of the
    /// others "first", "second", "bias" and "result".
    | BadLength of Operation * ConvShape * tensor: string * length: int
    /// A shape that the subject says it does not support.
    | NotSupported of ConvShape

/// How a call ended that had to be refused.
type internal Refusal =
    {
        /// What was thrown, if anything was.
        Thrown: exn option
        /// Elements of the output that were written.
        Written: int
    }

/// A convolution with its weights: made once, run many times, and released when the judgement says so.
[<ReferenceEquality>]
type internal PreparedRuns =
    {
        /// One run.
        Run: float32[] -> float32[]
        /// A run for each input, all at once; the callers are let go together.
        Together: float32[][] -> float32[][]
        /// The same, each caller with weights that were prepared for it alone.
        Apart: float32[][] -> float32[][]
        /// No run may follow.
        Release: unit -> unit
    }

[<RequireQualifiedAccess>]
module internal PreparedRuns =
    /// A run for each input, all at once: by run `at` of the list, or by the only one.
    let atOnce (runs: (float32[] -> float32[])[]) (inputs: float32[][]) =
        let results = Array.create inputs.Length [||]
        let crew = Crew.Own

        match
            crew.Run(fun at ->
                if at < inputs.Length then
                    results[at] <- runs[at % runs.Length] inputs[at])
        with
        | Some error -> ExceptionDispatchInfo.Throw error
        | None -> ()

        results

    /// From one run, in this process, with nothing to release.
    let ofRun (run: float32[] -> float32[]) : PreparedRuns =
        let together = atOnce [| run |]
        { Run = run; Together = together; Apart = together; Release = ignore }

    /// What each caller has prepared for itself runs at once, and is released.
    let apart (prepare: unit -> PreparedRuns) (inputs: float32[][]) =
        let own = inputs |> Array.map (fun _ -> prepare ())

        try
            inputs |> atOnce (own |> Array.map _.Run)
        finally
            for made in own do
                made.Release()

    /// From a call that brings its weights.
    let ofCalls (forward: ConvShape -> float32[] -> float32[] -> float32[] -> float32[]) shape k b =
        let run x = forward shape x k b
        ofRun run

/// Any convolution under test. What it cannot do is not asked of it.
[<NoEquality; NoComparison>]
type internal Subject =
    {
        Name: string
        Profile: Profile
        /// shape, input, kernel, bias (empty for none) → the output as the subject left it; elements that it never wrote are NaN.
        Forward: ConvShape -> float32[] -> float32[] -> float32[] -> float32[]
        /// shape, kernel, bias → the convolution of any input with these weights.
        Prepare: ConvShape -> float32[] -> float32[] -> PreparedRuns
        /// Any other operation: first and second operand, bias.
        Operate: Operation -> ConvShape -> float32[] -> float32[] -> float32[] -> float32[]
        /// An operation laid in memory as told: first and second operand, bias.
        Place: Placement -> Operation -> ConvShape -> float32[] -> float32[] -> float32[] -> struct (float32[] * Traces)
        /// The forward pass through views of input, kernel and output; the output's memory is given and changed.
        Viewed:
            ConvShape
                -> struct (float32[] * TensorView)
                -> struct (float32[] * TensorView)
                -> float32[]
                -> struct (float32[] * TensorView)
                -> unit
        /// A call that must be refused.
        Refuse: BadCall -> Refusal
        OutputSize: ConvShape -> struct (int64 * int64)
        MultiplyAdds: ConvShape -> int64
        /// size, taps, stride, dilation, upper → zeros before and after.
        SamePads: int -> int -> int -> int -> bool -> struct (int * int)
        /// Input size, taps, stride, dilation, pads, output padding → the output size of a transposed convolution.
        TransposedSize: int -> int -> int -> int -> int -> int -> int -> int
        /// Output size of a transposed convolution, taps, stride, dilation, pads → the output padding that makes it.
        OutputPadding: int -> int -> int -> int -> int -> int -> int
        /// rows, columns, depth, A and its leading dimension, B and its, bias by row, C and its, which is changed.
        Product: int -> int -> int -> float32[] -> int -> float32[] -> int -> float32[] -> float32[] -> int -> unit
        /// The processes that it runs in, where they are not this one.
        Foreign: IForeign option
        /// Makes the next call the first one of a new instance, where there can be more than one.
        Fresh: (unit -> unit) option
        /// The same subject in a process whose environment grants it so many threads.
        Granted: int -> Subject
    }

[<RequireQualifiedAccess>]
module internal Subject =
    let private lacks what = raise (NotSupportedException $"The subject has no {what}.")

    /// A subject that can do nothing yet.
    let private nothing name profile =
        {
            Name = name
            Profile = profile
            Forward = fun _ _ _ _ -> lacks "forward pass"
            Prepare = fun _ _ _ -> lacks "forward pass"
            Operate = fun operation _ _ _ _ -> lacks (Operation.title operation)
            Place = fun _ _ _ _ _ _ -> lacks "memory of the caller's"
            Viewed = fun _ _ _ _ _ -> lacks "views"
            Refuse = fun _ -> lacks "calls to refuse"
            OutputSize = fun _ -> lacks "output size"
            MultiplyAdds = fun _ -> lacks "cost formula"
            SamePads = fun _ _ _ _ _ -> lacks "SAME padding"
            TransposedSize = fun _ _ _ _ _ _ _ -> lacks "transposed size"
            OutputPadding = fun _ _ _ _ _ _ -> lacks "output padding"
            Product = fun _ _ _ _ _ _ _ _ _ _ -> lacks "matrix product"
            Foreign = None
            Fresh = None
            Granted = fun _ -> lacks "process of its own"
        }

    /// A profile alone: to draw cases for, not to be called.
    let ofProfile (profile: Profile) = nothing "" profile

    /// A subject from its forward pass alone.
    let forward name (profile: Profile) run =
        { nothing name { profile with Capabilities = Set.singleton Forward } with
            Forward = run
            Prepare = PreparedRuns.ofCalls run
        }

    /// The kit's own geometry: what ConvShape says of sizes and costs, held to the laws like any other claim.
    let ofFormulas name outputSize multiplyAdds =
        { nothing name { Profile.Plain with Capabilities = set [ OutputSize; CostFormula ] } with
            OutputSize = outputSize
            MultiplyAdds = multiplyAdds
        }

    /// A matrix product alone.
    let ofProduct name product =
        { nothing name { Profile.Plain with Capabilities = set [ MatrixProduct ] } with
            Product = product
        }

    /// The same subject, called by one thread at a time; runs of one prepared convolution may still happen at once, where a law asks for it.
    let oneAtATime (subject: Subject) =
        let gate = obj ()
        let alone call = lock gate call

        { subject with
            Forward = fun s x k b -> alone (fun () -> subject.Forward s x k b)
            Operate = fun operation s first second b -> alone (fun () -> subject.Operate operation s first second b)
            Place = fun placement operation s first second b -> alone (fun () -> subject.Place placement operation s first second b)
            OutputSize = fun s -> alone (fun () -> subject.OutputSize s)
            Prepare =
                fun s k b ->
                    let made = alone (fun () -> subject.Prepare s k b)

                    {
                        Run = fun x -> alone (fun () -> made.Run x)
                        Together = fun xs -> alone (fun () -> made.Together xs)
                        Apart = fun xs -> alone (fun () -> made.Apart xs)
                        Release = fun () -> alone made.Release
                    }
        }

    /// Whether any of a thousand generated problems, simplified if need be, is supported.
    let supportsSomething (subject: Subject) =
        FsCheck.FSharp.Gen.sampleWithSeed (FsCheck.Rnd(1UL, 1UL)) 50 1000 (Generate.geometry subject.Profile.Traits)
        |> Seq.indexed
        |> Seq.exists (fun (at, shape) -> (Generate.towards subject.Profile.Supports at shape).IsSome)
