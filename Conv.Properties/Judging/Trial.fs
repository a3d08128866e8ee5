namespace Conv.Properties

open System
open Conv

/// Raised inside a judgement when the subject fails to answer; `Judge` turns it into a verdict.
exception SubjectFault of Fault * Call

/// One case in front of one subject: the tensors of the case, the convolution that a law calls, and the record of its calls.
/// In planning, nothing is computed: the calls are only recorded, so that a generator can see which problems a law will pose.
[<Sealed>]
type Trial(subject: Subject, case: Case, planning: bool) =
    let calls = ResizeArray<Call>()
    let shape = case.Problem
    let mutable outside = false

    let tensor role dims =
        if planning then Values.zeros dims else Fill.tensor case.Fill role dims
        |> Approx.exact

    let inputDims = shape.Batch, shape.InChannels, shape.InHeight, shape.InWidth
    let kernelDims = shape.OutChannels, shape.InChannelsPerGroup, shape.KernelHeight, shape.KernelWidth
    let outputDims (s: ConvShape) = s.Batch, s.OutChannels, s.OutHeight, s.OutWidth

    // Drawn once, when a law first asks.
    let x = lazy tensor Role.Input inputDims
    let k = lazy tensor Role.Kernel kernelDims
    let b = lazy tensor Role.Bias (shape.OutChannels, 1, 1, 1)
    let x2 = lazy tensor Role.Input2 inputDims
    let k2 = lazy tensor Role.Kernel2 kernelDims

    /// To float32, charging what rounding loses.
    let toSingle (a: Approx) =
        let values = a.Value.Data
        let single = Array.map float32 values
        let mutable exact = true

        for at in 0 .. values.Length - 1 do
            if float single[at] <> values[at] && not (Double.IsNaN values[at]) then
                exact <- false

        if exact then
            single, values, a.Error
        else
            let rounded = Array.map float single
            // A NaN is no rounding: it stays, and the comparison finds it.
            let lost at =
                let distance = if Double.IsNaN values[at] then 0.0 else abs (rounded[at] - values[at])
                (distance + a.Error.At at) * Bound.inflation

            single, rounded, Each(Array.init values.Length lost)

    let finite (data: float[]) = Array.forall Double.IsFinite data

    /// The subject's own error and what its operands' errors become: docs/bounds.md, lemma 6.
    let carried (s: ConvShape) (x: float[]) (ex: Error) (k: float[]) (ek: Error) (eb: Error) (own: Error) =
        if ex.IsZero && ek.IsZero && eb.IsZero then
            own
        else
            let total = Array.init (int s.OutputLength) own.At

            let add (a: float[]) (b: float[]) =
                let more = Oracle.correlate s (Array.map abs a) (Array.map abs b)

                for at in 0 .. total.Length - 1 do
                    total[at] <- (total[at] + more[at]) * Bound.inflation

            match ex, ek with
            | Zero, Zero -> ()
            | Each ex, Zero -> add ex k
            | Zero, Each ek -> add x ek
            | Each ex, Each ek ->
                add ex k
                add x ek
                add ex ek

            match eb with
            | Zero -> ()
            | Each eb ->
                let bias = Bound.biasOf s eb

                for at in 0 .. total.Length - 1 do
                    total[at] <- (total[at] + bias at) * Bound.inflation

            Each total

    let answer (s: ConvShape) (x: float32[]) (k: float32[]) (b: float32[]) =
        let call output =
            {
                Shape = s
                Input = x
                Kernel = k
                Bias = b
                Output = output
                ByOracle = false
            }

        match subject.Profile.ArithmeticOf s with
        | :? Bilinear as algorithm ->
            let program = BilinearProgram.Of algorithm

            if not program.ComputesCorrelation then
                raise (SubjectFault(Misdeclared "The declared matrices A, B, G do not compute a correlation.", call [||]))

            if not (program.Fits s) then
                raise (
                    SubjectFault(
                        Misdeclared $"F({program.Tile}, {program.Taps}) is declared for a shape that it does not compute.",
                        call [||]
                    )
                )
        | _ -> ()

        let output =
            try
                subject.Forward s x k b
            with error ->
                raise (SubjectFault(Fault.ofException error, call [||]))

        if int64 output.Length <> s.OutputLength then
            raise (SubjectFault(WrongLength(s.OutputLength, output.Length), call [||]))

        let output = Array.map float output
        calls.Add(call output)
        output

    let convolve (certify: bool) (s: ConvShape) (x: Approx) (k: Approx) (b: Approx option) =
        let supported = subject.Profile.Supports s
        let biasApprox = b |> Option.defaultWith (fun () -> Approx.exact (Values.zeros (0, 1, 1, 1)))

        if planning then
            calls.Add
                {
                    Shape = s
                    Input = [||]
                    Kernel = [||]
                    Bias = [||]
                    Output = [||]
                    ByOracle = not supported
                }

            Approx.exact (Values.zeros (outputDims s))
        else
            let x32, x, ex = toSingle x
            let k32, k, ek = toSingle k
            let b32, bias, eb = toSingle biasApprox

            let value, own =
                if supported then
                    let value = answer s x32 k32 b32
                    let arithmetic = subject.Profile.ArithmeticOf s

                    let own =
                        // An operand that is not finite came out of a call whose bound was finite, or carries an infinite error.
                        if not certify || not (finite x && finite k && finite bias) then
                            Zero
                        elif case.Tier = Exact && Bound.isExact arithmetic subject.Profile.Traits s x k bias then
                            Zero
                        elif case.Tier = Exact then
                            match arithmetic with
                            | :? Bilinear as algorithm when not (BilinearProgram.Of algorithm).HasExactGrid ->
                                raise (Inapplicable "its arithmetic has no exact tier: the bound decides")
                            | _ -> outside <- true

                            Zero
                        else
                            Bound.ofCall arithmetic subject.Profile.Traits s x k bias

                    value, own
                else
                    let value = Oracle.correlate s x k
                    let biasAt = Bound.biasOf s bias

                    for at in 0 .. value.Length - 1 do
                        value[at] <- value[at] + biasAt at

                    calls.Add
                        {
                            Shape = s
                            Input = x32
                            Kernel = k32
                            Bias = b32
                            Output = value
                            ByOracle = true
                        }

                    value, Bound.ofOracle s x k bias

            {
                Value = Values.ofArray (outputDims s) value
                Error = carried s x ex k ek eb own
            }

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

    /// Y = conv(X, K), from the subject where it supports the shape, else from the oracle.
    member _.Conv(s: ConvShape, x, k) = convolve true s x k None
    /// Y = conv(X, K) + b.
    member _.Conv(s: ConvShape, x, k, b) = convolve true s x k (Some b)
    /// As Conv, for laws that compare bits: no bound is evaluated.
    member _.ConvBits(s: ConvShape, x, k, b) = convolve false s x k b

    /// The definition in double, with its own error.
    member _.Oracle(s: ConvShape, x: Approx, k: Approx, ?b: Approx) =
        if planning then
            Approx.exact (Values.zeros (outputDims s))
        else
            let bias =
                match b with
                | Some b -> b.Value.Data
                | None -> [||]

            let value = Oracle.correlate s x.Value.Data k.Value.Data
            let biasAt = Bound.biasOf s bias

            {
                Value = Values.ofArray (outputDims s) (value |> Array.mapi (fun at y -> y + biasAt at))
                Error = Bound.ofOracle s x.Value.Data k.Value.Data bias
            }

    /// The calls so far, in order.
    member _.Calls = List.ofSeq calls
    /// Whether a problem of the exact tier was off the subject's grid: then nothing is decided.
    member _.LeftGrid = outside
    member _.Planning = planning
