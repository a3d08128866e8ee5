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
    Assert.Equal(40, Conformance.Laws.Count)
    Assert.DoesNotContain("COST", Conformance.Laws)

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
    let line = message.Substring(message.IndexOf("replay \"", StringComparison.Ordinal) + 8).Split('"')[0]
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
        let result = Conformance.Check(law, honest, supports = (fun _ -> false), cases = 15)
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
    Assert.Equal("undecided", result.Status)

[<Fact>]
let ``Winograd that declares any order is accused, and under its own declaration it is not`` () =
    let winograd = Catalogue.All |> Seq.find (fun c -> c.Name = "winograd-f4x3")
    let run = (Subject.ofConvolution winograd).Forward

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
