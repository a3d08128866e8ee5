namespace Conv.Properties

open System
open Conv
open Conv.Properties.Judging

/// Raised inside a judgement when the subject fails to answer; `Judge` turns it into a verdict.
exception internal SubjectFault of Fault * Call

/// One case in front of one subject: the tensors of the case, the convolution that a law calls, and the record of its calls.
/// In planning, nothing is computed: the calls are only recorded, so that a generator can see which problems a law will pose.
[<Sealed>]
type internal Trial(subject: Subject, case: Case, planning: bool) =
    let calls = ResizeArray<Call>()
    let shape = case.Problem
    let mutable outside = false
    let mutable outputs = 0UL
    let mutable workspace = 0L
    let mutable threadsTaken = true

    let tensor role dims =
        if planning then Values.blank dims else Fill.tensor case.Fill role dims
        |> Approx.exact

    // Drawn once, when a law first asks.
    let x = lazy tensor Role.Input (Operation.input shape)
    let k = lazy tensor Role.Kernel (Operation.kernel shape)
    let b = lazy tensor Role.Bias (shape.OutChannels, 1, 1, 1)
    let x2 = lazy tensor Role.Input2 (Operation.input shape)
    let gradient = lazy tensor Role.Gradient (Operation.output shape)
    let k2 = lazy tensor Role.Kernel2 (Operation.kernel shape)

    /// To float32, charging what rounding loses.
    let toSingle (a: Approx) =
        let values = a.Value.Data
        let single = Values.toSingle values

        if Values.areSingles values single then
            single, values, a.Error
        else
            let rounded = Array.map float single
            // A NaN is no rounding: it stays, and the comparison finds it.
            let lost at =
                let distance = if Double.IsNaN values[at] then 0.0 else abs (rounded[at] - values[at])
                (distance + a.Error.At at) * Roundoff.inflation

            single, rounded, Each(Array.init values.Length lost)

    let finite (data: float[]) = Double.IsFinite(Values.magnitude data)

    /// The subject's own error and what its operands' errors become: docs/bounds.md, lemma 6; for a fused call
    /// |s|·(the sums' + E_b) + E_s·(S + |b| + these) + E_t.
    let carried operation (s: ConvShape) (x: float[]) (ex: Error) (k: float[]) (ek: Error) (b: float[]) (eb: Error) (own: Error) =
        match ex, ek, eb with
        | Zero, Zero, Zero -> own
        | _ ->
            let _, d1, d2, d3 = Operation.result operation s
            let plane = max 1 (d2 * d3)
            let length = int (Operation.length operation s)
            let sums = Array.zeroCreate length

            let add (a: float[]) (b: float[]) =
                let more = Oracle.apply operation s (Array.map abs a) (Array.map abs b)

                for at in 0 .. length - 1 do
                    sums[at] <- (sums[at] + more[at]) * Roundoff.inflation

            match ex, ek with
            | Zero, Zero -> ()
            | Each ex, Zero -> add ex k
            | Zero, Each ek -> add x ek
            | Each ex, Each ek ->
                add ex k
                add x ek
                add ex ek

            let part (numbers: int -> float) which at = numbers (which * d1 + at / plane % max 1 d1)
            let error = part eb.At

            match operation with
            | Operation.Fused _ ->
                let number = part (fun at -> abs b[at])
                let whole = Bound.absoluteSum Operation.Forward s x k (Array.sub b 0 s.OutChannels)

                for at in 0 .. length - 1 do
                    let inner = sums[at] + error 0 at

                    sums[at] <-
                        (number 1 at * inner + error 1 at * (whole[at] + inner) + error 2 at)
                        * Roundoff.inflation
            | _ ->
                if not eb.IsZero then
                    for at in 0 .. length - 1 do
                        sums[at] <- (sums[at] + error 0 at) * Roundoff.inflation

            Each(
                sums
                |> Array.mapi (fun at carried -> (carried + own.At at) * Roundoff.inflation)
            )

    /// Why what is declared for a shape cannot be; of a shape that was declined nothing is said.
    let misdeclared (s: ConvShape) answered =
        match subject.Profile.ArithmeticOf s with
        | :? Bilinear as algorithm ->
            let program = BilinearProgram.Of algorithm

            if not program.ComputesCorrelation then
                Some "The declared matrices A, B, G do not compute a correlation."
            elif answered && not (program.Fits s) then
                Some $"F({program.Tile}, {program.Taps}) is declared for a shape that it does not compute."
            else
                None
        | _ -> None

    /// One call of the subject by `run`, recorded; none where it declines.
    let answer operation run (s: ConvShape) (x: float32[]) (k: float32[]) (b: float32[]) =
        let call output =
            {
                Operation = operation
                Shape = s
                Input = x
                Kernel = k
                Bias = b
                Output = output
                ByOracle = false
            }

        let check answered =
            misdeclared s answered
            |> Option.iter (fun why -> raise (SubjectFault(Misdeclared why, call [||])))

        check (not subject.Profile.Declines)

        let output: float32[] option =
            try
                Some(run s x k b)
            with
            | Declined -> None
            | SubjectFault(fault, _) -> raise (SubjectFault(fault, call [||]))
            | error -> raise (SubjectFault(Fault.ofException error, call [||]))

        check output.IsSome

        let length = Operation.length operation s

        output
        |> Option.map (fun output ->
            if int64 output.Length <> length then
                raise (SubjectFault(WrongLength(length, output.Length), call [||]))

            let output = Array.map float output
            calls.Add(call output)
            output)

    /// What fails in a call without numbers is the subject's fault.
    let guarded s (call: unit -> 'a) : 'a =
        try
            call ()
        with
        | Declined -> reraise ()
        | error -> raise (SubjectFault(Fault.ofException error, Call.none s))

    /// What is prepared and not yet released.
    let owned = ResizeArray<PreparedRuns>()

    /// Adds results to the digest: a word of each number's bits. There is one zero, since the order of a sum decides its sign.
    let digest (value: float[]) =
        for at in 0 .. value.Length - 1 do
            outputs <-
                (outputs ^^^ BitConverter.DoubleToUInt64Bits(value[at] + 0.0))
                * 0x9E3779B97F4A7C15UL

            outputs <- outputs ^^^ (outputs >>> 32)

    let planned operation s supported =
        calls.Add
            {
                Operation = operation
                Shape = s
                Input = [||]
                Kernel = [||]
                Bias = [||]
                Output = [||]
                ByOracle = not supported
            }

        Approx.exact (Values.blank (Operation.result operation s))

    /// The one array, or both empty.
    let same (a: float[]) (b: float[]) = Object.ReferenceEquals(a, b) || a.Length = 0 && b.Length = 0

    /// What was found for operands: laws make the same call again and again, and a certificate costs as much as the call.
    let once
        (alike: float[] -> float[] -> bool)
        (found: ResizeArray<struct (struct (Operation * ConvShape) * float[] * float[] * float[] * 'a)>)
        operation
        s
        x
        k
        bias
        find
        : 'a =
        let known =
            found.FindIndex(fun (struct (call, x', k', bias', _)) ->
                call = struct (operation, s) && alike x x' && alike k k' && same bias bias')

        if known >= 0 then
            let struct (_, _, _, _, value) = found[known]
            value
        else
            let value = find ()
            found.Add(struct (struct (operation, s), x, k, bias, value))
            value

    let bounds, certificates = ResizeArray(), ResizeArray()

    /// The result as it is judged, and what the call errs by beside its operands' errors; on the exact tier nothing, or the case has left its
    /// grid. There the results of a claimed bound are taken for the only numbers of the grid within its reach.
    let judged operation (s: ConvShape) (x: float[]) (k: float[]) (bias: float[]) (value: float[]) : struct (float[] * Error) =
        let arithmetic = subject.Profile.Arithmetic(operation, s)
        let traits = subject.Profile.Traits

        // An operand that is not finite came out of a call whose bound was finite, or carries an infinite error, or is the law's own.
        if not (finite x && finite k && finite bias) then
            struct (value, Zero)
        elif case.Tier = Bounded then
            // A bound is one of absolute values; a certificate may be one of the result.
            let error =
                once Values.areAlikeInSize bounds operation s x k bias (fun () -> Bound.ofCall operation arithmetic traits s x k bias)

            struct (value, error)
        else
            match arithmetic with
            | :? Within as within ->
                match Bound.snapped within operation s x k bias value with
                | ValueSome value ->
                    digest value
                    struct (value, Zero)
                | ValueNone -> raise (Inapplicable Bound.noGrid)
            | _ when once same certificates operation s x k bias (fun () -> Bound.isExact operation arithmetic traits s x k bias) ->
                digest value
                struct (value, Zero)
            | :? Bilinear as algorithm when not (BilinearProgram.Of algorithm).HasExactGrid -> raise (Inapplicable Bound.noTier)
            | _ ->
                outside <- true
                struct (value, Zero)

    /// Whether a number that the subject is given exceeds what it declares to hold: nothing is said of that (lemma 14).
    let beyondRange (s: ConvShape) (x: float[]) (k: float[]) =
        match subject.Profile.ArithmeticOf s with
        | :? Rounded as r when r.Input.MaxExponent < 127 ->
            let most = r.Input.MaxValue
            let beyond = Array.exists (fun v -> Double.IsFinite v && abs v > most)

            beyond x || beyond k
        | _ -> false

    /// An operation by `run` where the subject supports the shape, else by the oracle. `certify`: whether its error is evaluated.
    let compute certify operation run (s: ConvShape) (first: Approx) (second: Approx) (bias: Approx option) =
        let supported = subject.Profile.Offers(operation, s)
        let noBias () = Approx.exact (Values.zeros (0, 1, 1, 1))

        if planning then
            planned operation s supported
        else
            let x32, x, ex = toSingle first
            let k32, k, ek = toSingle second

            if supported && beyondRange s x k then
                raise (Inapplicable "operands beyond the range of its format")

            let b32, bias, eb = toSingle (bias |> Option.defaultWith noBias)

            let struct (value, own) =
                match (if supported then answer operation run s x32 k32 b32 else None) with
                | Some value -> if certify then judged operation s x k bias value else struct (value, Zero)
                | None ->
                    let value = Oracle.complete operation s x k bias

                    calls.Add
                        {
                            Operation = operation
                            Shape = s
                            Input = x32
                            Kernel = k32
                            Bias = b32
                            Output = value
                            ByOracle = true
                        }

                    struct (value, Bound.ofOracle operation s x k bias)

            {
                Value = Values.ofArray (Operation.result operation s) value
                Error = carried operation s x ex k ek bias eb own
            }

    let convolve certify = compute certify Operation.Forward subject.Forward
    let operate operation = compute true operation (subject.Operate operation)

    /// Tensors that stay where they are from call to call: what a cache keyed by an address would take for the same.
    let held = System.Collections.Generic.Dictionary<struct (Role * int), float32[]>()

    let hold role (values: float32[]) =
        let key = struct (role, values.Length)

        if not (held.ContainsKey key) then
            held[key] <- Array.zeroCreate values.Length

        Array.blit values 0 held[key] 0 values.Length
        held[key]

    /// The shape of the case.
    member _.Shape = shape
    member _.Tier = case.Tier
    member _.Profile = subject.Profile

    /// X, N×C×H×W.
    member _.X = x.Value
    /// K, O×C/G×K_h×K_w.
    member _.K = k.Value
    /// b, as O×1×1×1.
    member _.B = b.Value
    /// X', as X.
    member _.X2 = x2.Value
    /// K', as K.
    member _.K2 = k2.Value
    /// A tensor of a role in dimensions of the law's own.
    member _.Draw(role, dims) = tensor role dims

    /// The i-th choice of the case, in lo…hi.
    member _.Choose(i, lo, hi) = Case.choose case i lo hi

    /// What the kernel of an exact case must be a multiple of (9 for F(4,3) on integer points, 1 for any order).
    member _.KernelUnit =
        match case.Fill with
        | Drawn(Lattice l, _) -> float l.KernelStep * Math.ScaleB(1.0, l.KernelExponent)
        | _ -> 1.0

    /// Ends the judgement of an exact case where a narrow format does not hold what the law makes of the operands that were drawn for it: the
    /// definition's conv(X, K), or a product of two kernels.
    member _.NeedsOperands(s: ConvShape, x: Approx, k: Approx, product: Values) =
        match subject.Profile.ArithmeticOf shape with
        | :? Rounded as r when
            not planning
            && case.Tier = Exact
            && not (
                Reduced.holds r.Input product.Data
                && Reduced.holds r.Input (Oracle.correlate s x.Value.Data k.Value.Data)
            )
            ->
            raise (Inapplicable "its operands have fewer bits than a product of two: the bound decides")
        | _ -> ()

    /// dY, N×O×H_o×W_o.
    member _.Gradient = gradient.Value

    /// A single 1: what the gradient of the bias has for its second operand.
    member _.One = Approx.init (1, 1, 1, 1) (fun _ _ _ _ -> 1.0)

    /// The case's own operands of an operation, first and second.
    member trial.Operands(operation: Operation) : Approx * Approx =
        match operation with
        | Operation.Forward
        | Operation.Fused _ -> trial.X, trial.K
        | Operation.BackwardKernel -> trial.X, trial.Gradient
        | Operation.BackwardBias -> trial.Gradient, trial.One
        | Operation.BackwardInput
        | Operation.Transposed -> trial.Gradient, trial.K

    /// Y = conv(X, K), from the subject where it supports the shape, else from the oracle.
    member _.Conv(s: ConvShape, x, k) = convolve true s x k None
    /// Y = conv(X, K) + b.
    member _.Conv(s: ConvShape, x, k, b) = convolve true s x k (Some b)
    /// As Conv, for laws that compare the same call twice: no bound is evaluated on reals.
    member _.ConvBits(s: ConvShape, x, k, b) = convolve (case.Tier = Exact) s x k b

    /// As Conv, for laws that hold of all finite numbers, bit for bit: neither certificate nor bound.
    member _.ConvAny(s: ConvShape, x, k, b) = convolve false s x k (Some b)

    /// A forward call whose result nobody looks at.
    member _.Ask(s: ConvShape, x, k) =
        if subject.Profile.Offers(Operation.Forward, s) then
            answer Operation.Forward subject.Forward s x k [||] |> ignore<float[] option>

    /// dX = the gradient of ⟨conv(X, K), dY⟩ by X.
    member _.BackwardInput(s: ConvShape, dy, k) = operate Operation.BackwardInput s dy k None
    /// dK, its gradient by K.
    member _.BackwardKernel(s: ConvShape, x, dy) = operate Operation.BackwardKernel s x dy None

    /// db, the gradient of ⟨b, dY⟩ by b.
    member trial.BackwardBias(s: ConvShape, dy) = operate Operation.BackwardBias s dy trial.One None

    /// The transposed convolution whose adjoint is s, of an N×O×H_o×W_o tensor.
    member _.Transposed(s: ConvShape, y, k, b) = operate Operation.Transposed s y k b

    /// max(scale·(conv(X, K) + b) + shift, 0), or without the maximum; scale and shift for each output channel.
    member _.Fused(rectifies, s: ConvShape, x, k, b, scale, shift) =
        operate (Operation.Fused rectifies) s x k (Some(Approx.concat 0 [ b; scale; shift ]))

    /// Any operation, by its name.
    member _.Apply(operation, s: ConvShape, first, second, bias) =
        let run =
            match operation with
            | Operation.Forward -> subject.Forward
            | _ -> subject.Operate operation

        compute true operation run s first second bias

    /// As Apply, laid in memory as told. Memory beside the result that was written to is a fault.
    member _.Placed(placement: Placement, operation, s: ConvShape, first, second, bias) =
        let run s (x: float32[]) k b =
            let struct (output, traces) = subject.Place placement operation s x k b
            workspace <- max workspace traces.WorkspaceBytes
            threadsTaken <- threadsTaken && (placement.Threads = 0 || traces.ThreadsTaken)

            if traces.Outside > 0 then
                raise (SubjectFault(Breach $"It wrote {traces.Outside} floats outside of its output.", Call.none s))

            if traces.Operands > 0 then
                raise (SubjectFault(Breach $"It changed {traces.Operands} floats of its operands.", Call.none s))

            output

        compute true operation run s first second bias

    /// Whether every number of threads that a placed call said reached the subject.
    member _.ThreadsTaken = threadsTaken
    /// The most bytes of workspace that a placed call asked for.
    member _.WorkspaceBytes = workspace

    /// As Conv, with input, kernel and bias in memory that is used again and again.
    member _.ConvAgain(s: ConvShape, x, k, b) =
        let run s x k b = subject.Forward s (hold Role.Input x) (hold Role.Kernel k) (hold Role.Bias b)
        compute true Operation.Forward run s x k b

    /// As Apply, with its operands in memory that is used again and again.
    member _.ApplyAgain(operation, s: ConvShape, first, second, bias) =
        let run s (first: float32[]) (second: float32[]) bias =
            let role =
                match operation with
                | Operation.BackwardInput
                | Operation.BackwardBias
                | Operation.Transposed -> Role.Gradient
                | _ -> Role.Input

            let other =
                match operation with
                | Operation.BackwardKernel -> Role.Gradient
                | _ -> Role.Kernel

            let call =
                match operation with
                | Operation.Forward -> subject.Forward
                | _ -> subject.Operate operation

            call s (hold role first) (hold other second) (hold Role.Bias bias)

        compute true operation run s first second bias

    /// As Conv, by any other way to the subject's forward pass.
    member _.ConvBy(run, s: ConvShape, x, k, b) = compute true Operation.Forward run s x k b

    /// The subject's weights, prepared: to be run by `RunOf`, and released when the judgement is over if not before.
    member trial.Prepare(s: ConvShape, k: Approx, b: Approx option) : PreparedRuns =
        if planning || not (subject.Profile.Offers(Operation.Forward, s)) then
            PreparedRuns.ofRun id
        else
            let bias =
                match b with
                | Some b -> Values.toSingle b.Value.Data
                | None -> [||]

            let made = guarded s (fun () -> subject.Prepare s (Values.toSingle k.Value.Data) bias)
            owned.Add made
            made

    /// Lets go of prepared weights.
    member _.Release(made: PreparedRuns) =
        if owned.Remove made then
            guarded shape made.Release

    /// Y = conv(X, K) + b by weights that were prepared from k and b.
    member trial.RunOf(made: PreparedRuns, s: ConvShape, x, k, b) = trial.ConvBy((fun _ x _ _ -> made.Run x), s, x, k, b)

    /// As RunOf, several callers at once, by one way of the prepared runs to do that.
    member trial.AtOnce(way: float32[][] -> float32[][], s: ConvShape, xs: Approx list, k, b) : Approx list =
        let results =
            if planning || not (subject.Profile.Offers(Operation.Forward, s)) then
                Array.create xs.Length [||]
            else
                guarded s (fun () -> way [| for x in xs -> Values.toSingle x.Value.Data |])

        [ for at, x in List.indexed xs -> trial.ConvBy((fun _ _ _ _ -> results[at]), s, x, k, b) ]

    interface IDisposable with
        /// What is still prepared is released; a fault in that is no longer this judgement's.
        member _.Dispose() =
            for made in owned do
                try
                    made.Release()
                with _ ->
                    ()

    /// The subject itself, for what is no convolution.
    member _.Subject = subject

    /// An operation of the definition in double, with its own error.
    member _.OracleOf(operation, s: ConvShape, first: Approx, second: Approx, ?bias: Approx) =
        if planning then
            Approx.exact (Values.blank (Operation.result operation s))
        else
            let b =
                match bias with
                | Some b -> b.Value.Data
                | None -> [||]

            if
                not (
                    first.Error.IsZero
                    && second.Error.IsZero
                    && (bias |> Option.forall _.Error.IsZero)
                )
            then
                invalidOp "The oracle is asked about exact operands: it carries no errors."

            {
                Value = Values.ofArray (Operation.result operation s) (Oracle.complete operation s first.Value.Data second.Value.Data b)
                Error = Bound.ofOracle operation s first.Value.Data second.Value.Data b
            }

    /// The definition in double, with its own error.
    member trial.Oracle(s: ConvShape, x: Approx, k: Approx, ?b: Approx) = trial.OracleOf(Operation.Forward, s, x, k, ?bias = b)

    /// ⟨a, b⟩ = Σ a·b with its error: docs/bounds.md, lemma 16. On the exact tier it must be exact.
    member _.Inner(a: Approx, b: Approx) =
        let inner = Approx.inner a b

        if not planning && case.Tier = Exact && not inner.Error.IsZero then
            outside <- true

        inner

    /// The calls so far, in order.
    member _.Calls = List.ofSeq calls
    /// Whether a problem of the exact tier was off the subject's grid: then nothing is decided.
    member _.LeftGrid = outside
    /// A digest of the subject's results that are exact by certificate: whoever computes them, and on whatever, they are the same numbers.
    member _.Outputs = outputs
    member _.Planning = planning
