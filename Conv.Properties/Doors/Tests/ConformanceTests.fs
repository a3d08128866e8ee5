/// The façade: what holds passes, and what is broken, faulted or undecided throws.
module Conv.Properties.ConformanceTests

open System
open Xunit
open Conv

let private loop = (Ours.implementations |> List.head).Forward

/// A convolution that does something to the plain loop's output.
let private spoiled (spoil: ConvShape -> float32[] -> unit) =
    Convolution(fun shape x k b y ->
        let output = loop shape (x.ToArray()) (k.ToArray()) (b.ToArray())
        spoil shape output
        output.AsSpan().CopyTo y)

let private honest = spoiled (fun _ _ -> ())

let private throws (result: ConformanceResult) = Assert.Throws<ConformanceException>(fun () -> result.ThrowIfNotHeld())

[<Fact>]
let ``a convolution that holds does not throw`` () =
    let result = Conformance.Check("MODEL-EXACT", honest, cases = 30)
    Assert.Equal("holds", result.Status)
    result.ThrowIfNotHeld()

[<Fact>]
let ``the laws of the facade are those of a forward pass`` () =
    Assert.DoesNotContain("COST", Conformance.Laws)
    Assert.DoesNotContain("ADJOINT-INPUT", Conformance.Laws)
    Assert.Contains("GUARD-ZONES", Conformance.Laws)
    let loop = Catalogue.All |> Seq.find (fun c -> c.Name = "loop")
    Assert.Contains("ADJOINT-INPUT", Conformance.LawsOf loop)
    // Everything that an implementation can be asked, but for the kit's formulas, the matrix product, and what asks for a process.
    let missing = All.laws |> List.map _.Id |> List.except (Conformance.LawsOf loop)

    Assert.Equal<string list>(
        [
            "COST"
            "BLOCKS"
            "SHAPE-COUNT"
            "SAME"
            "SAME-PERIOD"
            "TRANSPOSED-SHAPE"
            "THREAD-SETTINGS"
            "LEADING-DIMENSION"
        ],
        missing
    )

    Assert.Throws<ArgumentException>(fun () -> Conformance.Check("ADJOINT-INPUT", honest) |> ignore<ConformanceResult>)
    |> ignore<ArgumentException>

[<Fact>]
let ``a broken convolution throws its counterexample, whose line replays`` () =
    // The last column of every plane is off by one.
    let wrong =
        spoiled (fun s y ->
            for at in s.OutWidth - 1 .. s.OutWidth .. y.Length - 1 do
                y[at] <- y[at] + 1f)

    let result = Conformance.Check("MODEL-EXACT", wrong)
    Assert.Equal("broken", result.Status)
    let message = (throws result).Message
    Assert.Contains("expected", message)
    let line = message.Substring(message.IndexOf("Replay(\"", StringComparison.Ordinal) + 8).Split('"')[0]
    Assert.Equal("broken", Conformance.Replay(line, wrong).Status)
    Assert.Equal("holds", Conformance.Replay(line, honest).Status)
    // Small enough for a person: one output, one product at most.
    let _, case = Case.parse line
    Assert.Equal(1L, case.Problem.OutputLength)
    Assert.Equal(1L, case.Problem.TermsPerOutput)

[<Fact>]
let ``a convolution that throws is broken, and says how`` () =
    let failing = Convolution(fun _ _ _ _ _ -> raise (InvalidOperationException "no tiles left"))
    Assert.Contains("no tiles left", (throws (Conformance.Check("FLIP", failing))).Message)

[<Theory>]
[<InlineData "MODEL-EXACT">]
[<InlineData "MODEL-BOUND">]
// Here what was not written is an operand of the next call.
[<InlineData "COMPOSE">]
[<InlineData "SEPARABLE">]
let ``an output that is not written is broken`` (law: string) =
    let lazyOne = Convolution(fun _ _ _ _ _ -> ())
    Assert.Equal("broken", Conformance.Check(law, lazyOne).Status)

[<Fact>]
let ``a convolution that supports nothing is undecided, law by law`` () =
    for law in Conformance.Laws do
        let result = Conformance.Check(law, honest, supports = (fun _ -> false), cases = 2)
        Assert.Equal("undecided", result.Status)
        throws result |> ignore<ConformanceException>

[<Fact>]
let ``a law that a narrow convolution cannot meet does not throw`` () =
    let winograd = Catalogue.All |> Seq.find (fun c -> c.Name = "winograd-f4x3")
    let result = Conformance.Check("POINTWISE-MATMUL", winograd)
    Assert.Equal("unsupported", result.Status)
    result.ThrowIfNotHeld()

[<Fact>]
let ``an undeclared arithmetic cannot be held to a bound`` () =
    let result = Conformance.Check("MODEL-BOUND", honest, arithmetic = Opaque(), cases = 15)
    Assert.Equal("not applicable", result.Status)

[<Fact>]
let ``Winograd that declares any order is accused, and under its own declaration it is not`` () =
    let winograd = Catalogue.All |> Seq.find (fun c -> c.Name = "winograd-f4x3")
    let run = (Contract.ofConvolution winograd).Forward

    let calls =
        Convolution(fun s x k b y ->
            let output = run s (x.ToArray()) (k.ToArray()) (b.ToArray())
            output.AsSpan().CopyTo y)

    let declared = winograd.ArithmeticOf(ConvShape(1, 1, 3, 3, 1, 3, 3))
    Assert.Equal("broken", Conformance.Check("MODEL-EXACT", calls, supports = (fun s -> winograd.Supports s)).Status)
    Assert.Equal("holds", Conformance.Check("MODEL-EXACT", calls, declared, (fun s -> winograd.Supports s)).Status)

[<Fact>]
let ``matrices that compute no correlation buy no tolerance`` () =
    match (Catalogue.All |> Seq.find (fun c -> c.Name = "winograd-f2x3")).ArithmeticOf(ConvShape(1, 1, 3, 3, 1, 3, 3)) with
    | :? Bilinear as b ->
        let ten = Rational.FromInt32 10

        let inflated =
            RationalMatrix.Create(b.KernelTransform.Rows, b.KernelTransform.Columns, (fun t u -> ten * b.KernelTransform[t, u]))

        let declared = Bilinear(b.OutputTransform, b.InputTransform, inflated)
        Assert.Contains("matrices", (throws (Conformance.Check("MODEL-BOUND", honest, declared))).Message)
    | other -> Assert.Fail $"{other}"

[<Fact>]
let ``a name that is no law is refused`` () =
    Assert.Contains("NO-SUCH-LAW", Assert.Throws<ArgumentException>(fun () -> Conformance.Check("NO-SUCH-LAW", honest) |> ignore).Message)

// ---- convolutions that take a corner of the space

let private corners: (string * (ConvShape -> bool)) list =
    let equalPads (s: ConvShape) = s.PadTop = s.PadLeft && s.PadTop = s.PadBottom && s.PadTop = s.PadRight
    let plain (s: ConvShape) = s.Groups = 1 && s.DilationHeight = 1 && s.DilationWidth = 1
    let square (s: ConvShape) = s.KernelHeight = s.KernelWidth && s.StrideHeight = s.StrideWidth

    [
        "square kernels, one stride, one pad, dense", (fun s -> square s && plain s && equalPads s)
        "3×3, stride 1, pad 1, dense",
        (fun s ->
            square s
            && s.KernelHeight = 3
            && s.StrideHeight = 1
            && plain s
            && equalPads s
            && s.PadTop = 1)
        "1×1, stride 1, no pad",
        (fun s ->
            int s.KernelPlane * s.StrideHeight * s.StrideWidth = 1
            && equalPads s
            && s.PadTop = 0)
        "channels in eights", (fun s -> s.InChannels % 8 = 0 && s.OutChannels % 8 = 0 && s.Groups = 1)
    ]

let cornerNames: TheoryData<string> = TheoryData<string>(corners |> List.map fst)

[<Theory; MemberData(nameof cornerNames)>]
let ``a convolution that takes a corner of the space is found there, right or wrong`` (name: string) =
    let supports = corners |> List.find (fst >> (=) name) |> snd
    let supports = Func<ConvShape, bool> supports
    Assert.Equal("holds", Conformance.Check("MODEL-EXACT", honest, supports = supports).Status)
    Assert.Equal("holds", Conformance.Check("MODEL-BOUND", honest, supports = supports).Status)

    let wrong =
        spoiled (fun _ y ->
            if y.Length > 0 then
                y[y.Length - 1] <- y[y.Length - 1] + 1f)

    Assert.Equal("broken", Conformance.Check("MODEL-EXACT", wrong, supports = supports).Status)

[<Fact>]
let ``an undeclared arithmetic that differs now and then is not passed by the cases that agree`` () =
    let wrong =
        spoiled (fun s y ->
            if s.OutWidth % 2 = 1 then
                y[y.Length - 1] <- y[y.Length - 1] + 1000f)

    Assert.Equal("undecided", Conformance.Check("MODEL-EXACT", wrong, arithmetic = Opaque()).Status)
    // With X = 0 there is nothing to sum: this one decides on any arithmetic.
    Assert.Equal("broken", Conformance.Check("ZERO-INPUT", wrong, arithmetic = Opaque()).Status)

[<Fact>]
let ``sums in an order of the day are not held to the same bits`` () =
    let mutable calls = 0

    let varying =
        Convolution(fun s x k b y ->
            calls <- calls + 1
            let name = if calls % 2 = 0 then "variant:reversed" else "variant:pairwise"
            let subject = Variants.anyOrder |> List.find (fun v -> v.Name = name)
            let output = subject.Forward s (x.ToArray()) (k.ToArray()) (b.ToArray())
            output.AsSpan().CopyTo y)

    for law in [ "SCALE-POW2"; "ODD"; "MODEL-BOUND"; "LINEAR-INPUT" ] do
        Assert.Equal("holds", Conformance.Check(law, varying).Status)

    Assert.Equal("broken", Conformance.Check("ODD", varying, traits = Traits(Deterministic = true)).Status)

[<Fact>]
let ``a bilinear algorithm without an exact tier is judged by its bound`` () =
    let winograd = Catalogue.All |> Seq.find (fun c -> c.Name = "winograd-f4x3")
    let run = (Contract.ofConvolution winograd).Forward

    let calls =
        Convolution(fun s x k b y ->
            let output = run s (x.ToArray()) (k.ToArray()) (b.ToArray())
            output.AsSpan().CopyTo y)

    match winograd.ArithmeticOf(ConvShape(1, 1, 3, 3, 1, 3, 3)) with
    | :? Bilinear as b ->
        // Without the promise about its kernel transform.
        let declared = Bilinear(b.OutputTransform, b.InputTransform, b.KernelTransform)
        let status law = Conformance.Check(law, calls, declared, (fun s -> winograd.Supports s)).Status
        Assert.Equal("not applicable", status "MODEL-EXACT")
        Assert.Equal("not applicable", status "CHECKSUM")
        Assert.Equal("holds", status "MODEL-BOUND")
        Assert.Equal("holds", status "FLIP")
        // Declared for shapes that are not its own.
        Assert.Contains("F(4, 3)", (throws (Conformance.Check("MODEL-BOUND", honest, declared))).Message)
    | other -> Assert.Fail $"{other}"

[<Fact>]
let ``all laws are checked in one call, and results say what they are`` () =
    let results = Conformance.CheckAll(honest, cases = 12)
    Assert.Equal<string>(Conformance.Laws, results |> Seq.map _.Law)
    Assert.DoesNotContain(results, (fun r -> r.Status = "broken"))
    let exact = results |> Seq.find (fun r -> r.Law = "MODEL-EXACT")
    // Twelve small ones, and larger ones in proportion: 1,800 and 60 for 200.
    Assert.Equal(("MUST", "holds", 0UL, 12 + 108 + 3), (exact.Strength, exact.Status, exact.Seed, exact.Cases))
    Assert.True(exact.Compared > 12L && isNull exact.Counterexample)

    let wrong =
        spoiled (fun _ y ->
            if y.Length > 0 then
                y[0] <- y[0] + 1f)

    let broken =
        Conformance.CheckAll(wrong, cases = 12)
        |> Seq.find (fun r -> r.Law = "MODEL-EXACT")

    Assert.Equal("broken", broken.Status)
    Assert.Equal("broken", Conformance.Replay(nonNull broken.Counterexample, wrong).Status)

[<Fact>]
let ``counterexamples of gradients replay too`` () =
    let loop = Catalogue.All |> Seq.find (fun c -> c.Name = "loop")
    let law = (All.tryFind "ADJOINT-INPUT").Value
    let line = Case.print (Address.case 0UL law (Contract.ofConvolution loop).Profile Exact 0)
    Assert.Equal("holds", Conformance.Replay(line, loop).Status)

    Assert.Throws<FormatException>(fun () -> Conformance.Replay(line, honest) |> ignore)
    |> ignore<FormatException>

// ---- what an implementation offers, and what it does not

/// The plain loop, with a contract changed.
type private Altered() =
    let loop = Loop()

    abstract Run: IPreparedConvolution * ReadOnlySpan<float32> * Span<float32> * Span<byte> -> unit
    default _.Run(prepared, x, y, workspace) = prepared.Run(x, y, workspace)

    interface IConvolution with
        member _.Name = "altered"
        member _.Supports shape = (loop :> IConvolution).Supports shape
        member _.ArithmeticOf shape = (loop :> IConvolution).ArithmeticOf shape
        member _.Traits = Traits(Deterministic = true)

        member altered.Prepare(shape, kernel, bias) =
            let prepared = (loop :> IConvolution).Prepare(shape, kernel, bias)

            { new IPreparedConvolution with
                member _.WorkspaceBytes = prepared.WorkspaceBytes
                member _.Run(x, y, workspace) = altered.Run(prepared, x, y, workspace)
            }

/// From the second call of an instance on, the first element is one too large.
type private Tiring() =
    inherit Altered()
    let mutable calls = 0

    override _.Run(prepared, x, y, workspace) =
        prepared.Run(x, y, workspace)
        calls <- calls + 1

        if calls > 1 && y.Length > 0 then
            y[0] <- y[0] + 1f

[<Fact>]
let ``a counterexample with a state is confirmed and shrunk on fresh instances, and replays on one`` () =
    let check law = Conformance.Check(law, Func<IConvolution>(fun () -> Tiring()))
    let repeated = check "REPEATABLE"
    Assert.Equal("broken", repeated.Status)
    Assert.Equal("broken", Conformance.Replay(nonNull repeated.Counterexample, Tiring()).Status)
    // A single call is right on a fresh instance: it takes one before it, and the line has both.
    let single = check "MODEL-BOUND"
    Assert.Equal("broken", single.Status)
    Assert.Contains("only after the case before it in this line", single.Message)
    Assert.Equal(2, (Case.parseAll (nonNull single.Counterexample)).Length)
    Assert.Equal("broken", Conformance.Replay(nonNull single.Counterexample, Tiring()).Status)
    // On one instance for all the line does not replay elsewhere.
    let once = Conformance.Check("MODEL-BOUND", Tiring())
    Assert.Equal("broken", once.Status)
    Assert.Equal("holds", Conformance.Replay(nonNull once.Counterexample, Tiring()).Status)

/// From the second call on with three outputs or more, every first element is one too large.
type private Wearing() =
    inherit Altered()
    let mutable large = 0

    override _.Run(prepared, x, y, workspace) =
        prepared.Run(x, y, workspace)

        if y.Length >= 3 then
            large <- large + 1

        if large > 1 && y.Length > 0 then
            y[0] <- y[0] + 1f

[<Fact>]
let ``what an instance that is worn does is not taken for what a fresh one does`` () =
    let result = Conformance.Check("REPEATABLE", Func<IConvolution>(fun () -> Wearing()))
    Assert.Equal("broken", result.Status)
    let _, case = Case.parse (nonNull result.Counterexample)
    // The worn one fails on a single output too; three are needed, and nothing else is left of the case that was drawn.
    Assert.Equal((3L, 1L), (case.Problem.OutputLength, case.Problem.TermsPerOutput))

/// Gradients by the loop on stride 1; beyond they throw, and say so or not.
type private Strided(says: bool) =
    inherit Altered()
    let loop = Loop() :> IGradients

    let within (s: ConvShape) =
        if s.StrideHeight * s.StrideWidth > 1 then
            raise (NotSupportedException "stride 1 alone")

    interface IGradients with
        member _.Supports(gradient, s) = not says || gradient <> Gradient.Bias && s.StrideHeight * s.StrideWidth = 1

        member _.BackwardInput(s, dy, k, dx) =
            within s
            loop.BackwardInput(s, dy, k, dx)

        member _.BackwardKernel(s, x, dy, dk) =
            within s
            loop.BackwardKernel(s, x, dy, dk)

        member _.BackwardBias(_, _, _) = raise (NotSupportedException "no bias")

[<Fact>]
let ``what an operation does not support is not asked of it`` () =
    for law in [ "ADJOINT-INPUT"; "ADJOINT-KERNEL" ] do
        let honest = Conformance.Check(law, Strided true, cases = 40)
        // Both tiers: small ones; larger ones in proportion, a fourth of them on reals.
        Assert.Equal(("holds", 2 * 40 + 24 + 6), (honest.Status, honest.Cases))
        Assert.Equal("broken", Conformance.Check(law, Strided false).Status)

    Assert.Equal("unsupported", Conformance.Check("ADJOINT-BIAS", Strided true, cases = 40).Status)

/// Formulas of sizes and pads, right or wrong.
type private Formulas(rounds: int64, before: int) =
    inherit Altered()

    interface IOutputSize with
        member _.OutputSize s = struct (int64 s.OutHeight + (if s.StrideHeight > 1 then rounds else 0L), int64 s.OutWidth)

    interface ISamePadding with
        member _.SamePads(size, taps, stride, dilation, side) =
            let struct (first, last) = Axis.SamePads(size, taps, stride, dilation, side)
            struct (first + before, last - before)

[<Theory>]
[<InlineData("SHAPE-COUNT", 0L, 0, "holds")>]
[<InlineData("SHAPE-COUNT", 1L, 0, "broken")>]
[<InlineData("SAME", 0L, 0, "holds")>]
[<InlineData("SAME", 0L, 1, "broken")>]
let ``an implementation's own formulas are held to the laws of sizes and pads``
    (law: string)
    (rounds: int64)
    (before: int)
    (status: string)
    =
    let formulas = Formulas(rounds, before)
    Assert.Contains(law, Conformance.LawsOf formulas)
    Assert.Equal(status, Conformance.Check(law, formulas).Status)

[<Fact>]
let ``an arithmetic may depend on the shape`` () =
    // Sums in bfloat16 where there are groups.
    let rough =
        spoiled (fun s y ->
            if s.Groups > 1 then
                for at in 0 .. y.Length - 1 do
                    y[at] <- BitConverter.Int32BitsToSingle(BitConverter.SingleToInt32Bits y[at] &&& 0xFFFF0000))

    let check (arithmetic: ConvShape -> Arithmetic) =
        Conformance.Check("MODEL-BOUND", rough, Func<ConvShape, Arithmetic> arithmetic, cases = 60).Status

    Assert.Equal("broken", check (fun _ -> AnyOrder()))
    Assert.Equal("holds", check (fun s -> if s.Groups > 1 then Within 1e6 else AnyOrder()))

[<Fact>]
let ``a time limit leaves undecided what was not asked, and does not wait for a call that hangs`` () =
    let release = new Threading.ManualResetEventSlim()
    let hanging = spoiled (fun _ _ -> release.Wait())

    try
        // Long enough for the first call to be made on a busy machine.
        let result = Conformance.Check("FLIP", hanging, timeLimit = TimeSpan.FromSeconds 1.0)
        Assert.Equal("undecided", result.Status)
        Assert.Contains("had not returned: format=1 law=FLIP", result.Message)
    finally
        release.Set()

    let slow = spoiled (fun _ _ -> Threading.Thread.Sleep 20)
    let results = Conformance.CheckAll(slow, timeLimit = TimeSpan.FromMilliseconds 200.0)
    Assert.Equal<string>(Conformance.Laws, results |> Seq.map _.Law)
    Assert.Contains(results, (fun r -> r.Message.StartsWith("no time was left after", StringComparison.Ordinal)))
    Assert.DoesNotContain(results, (fun r -> r.Status = "broken"))

[<Fact>]
let ``one cause that fails every call is not asked law by law`` () =
    let failing =
        Convolution(fun shape _ _ _ _ -> raise (InvalidOperationException $"no licence for {shape}"))

    let results = Conformance.CheckAll failing
    let broken = results |> Seq.filter (fun r -> r.Status = "broken") |> Seq.length
    Assert.Equal(Rounds.enoughFailures, broken)
    Assert.Contains(results, (fun r -> r.Message.Contains("every call failed, in the same way", StringComparison.Ordinal)))
