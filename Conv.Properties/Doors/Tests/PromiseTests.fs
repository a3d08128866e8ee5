/// What is declared beside the arithmetic, and what the kit's own formulas claim: each promise that is not kept breaks a law.
module Conv.Properties.PromiseTests

open System
open System.Text.RegularExpressions
open Xunit
open Conv

let private status (law: string) (subject: Subject) =
    let law = (All.tryFind law).Value
    let options = { Run.defaults with Cases = 30; Threads = 1 }

    let results =
        Rounds.jobs options [ law ] [ subject ]
        |> Array.map (fun (law, s, tier) -> Run.law options law s tier)
        |> List.ofArray

    (Conclusion.matrix [ law ] [ subject ] results |> List.head).Status, results

let private isInapplicable status =
    match status with
    | Conclusion.Inapplicable _ -> true
    | _ -> false

/// What the law says against it.
let private breach (results: Run.Result list) =
    match (results |> List.pick _.Failure).Verdict with
    | Faulted(Breach what, _) -> what
    | other -> failwith $"no breach: {other}"

/// The loop as an implementation of the contract, its prepared convolutions made by `wrap`.
let private loopWith (traits: Traits) limit (wrap: ConvShape -> IPreparedConvolution -> IPreparedConvolution) : IConvolution =
    let loop = Catalogue.All |> Seq.find (fun c -> c.Name = "loop")

    { new IConvolution with
        member _.Name = "loop with promises"
        member _.Supports shape = loop.Supports shape
        member _.ArithmeticOf shape = loop.ArithmeticOf shape
        member _.Traits = traits
        member _.WorkspaceLimit _ = limit
        member _.Prepare(shape, kernel, bias) = wrap shape (loop.Prepare(shape, kernel, bias))
    }

/// Prepared convolutions that take a number of threads; `run` gets it.
let private threaded (run: ConvShape -> int -> float32[] -> unit) (shape: ConvShape) (prepared: IPreparedConvolution) =
    { new IThreadedConvolution with
        member _.Run(input: ReadOnlySpan<float32>, output: Span<float32>, workspace: Span<byte>, threads: int) =
            prepared.Run(input, output, workspace)
            let results = output.ToArray()
            run shape threads results
            results.AsSpan().CopyTo output
      interface IPreparedConvolution with
          member _.WorkspaceBytes = prepared.WorkspaceBytes
          member _.Run(input: ReadOnlySpan<float32>, output: Span<float32>, workspace: Span<byte>) = prepared.Run(input, output, workspace)
    }
    :> IPreparedConvolution

/// Three threads leave the last output to nobody.
let private remainder (_: ConvShape) threads (results: float32[]) =
    if threads = 3 && results.Length > 0 then
        results[results.Length - 1] <- 77f

let private declares = Traits(Deterministic = true, Threaded = true)
let private silent = Traits(Deterministic = true)

[<Fact>]
let ``who declares threads by choice and takes no number of them breaks THREAD-COUNT`` () =
    let status, results =
        status "THREAD-COUNT" (Contract.ofConvolution (loopWith declares (Nullable()) (fun _ p -> p)))

    Assert.Equal(Conclusion.Broken, status)
    Assert.Contains("IThreadedConvolution", breach results)

[<Fact>]
let ``who takes a number of threads is asked, declared or not`` () =
    for traits in [ declares; silent ] do
        let subject run = Contract.ofConvolution (loopWith traits (Nullable()) (threaded run))
        Assert.Equal(Conclusion.Held, fst (status "THREAD-COUNT" (subject (fun _ _ _ -> ()))))
        Assert.Equal(Conclusion.Broken, fst (status "THREAD-COUNT" (subject remainder)))

[<Fact>]
let ``who neither declares nor takes a number of threads is not asked`` () =
    let status, _ =
        status "THREAD-COUNT" (Contract.ofConvolution (loopWith silent (Nullable()) (fun _ p -> p)))

    Assert.True(isInapplicable status)

/// Asks for 100 bytes of workspace.
let private greedy (_: ConvShape) (prepared: IPreparedConvolution) =
    { new IPreparedConvolution with
        member _.WorkspaceBytes = 100L
        member _.Run(input: ReadOnlySpan<float32>, output: Span<float32>, _: Span<byte>) = prepared.Run(input, output, Span.Empty)
    }

[<Fact>]
let ``who asks for more workspace than it promises breaks WORKSPACE-SIZE`` () =
    let asked (limit: Nullable<int64>) = status "WORKSPACE-SIZE" (Contract.ofConvolution (loopWith silent limit greedy))
    let status, results = asked (Nullable 99L)
    Assert.Equal(Conclusion.Broken, status)
    Assert.Contains("at most 99", breach results)
    Assert.Equal(Conclusion.Held, fst (asked (Nullable 100L)))
    Assert.Equal(Conclusion.Held, fst (asked (Nullable())))

let private taking bad =
    { Ours.convShape with
        Refuse = fun call -> if bad call then { Thrown = None; Written = 0 } else Ours.convShape.Refuse call
    }

[<Fact>]
let ``wrong transposed shapes and SAME paddings that are taken break REJECTS-INVALID`` () =
    let takes bad = status "REJECTS-INVALID" (taking bad)

    // Of a transposed shape, an output padding as large as the stride alone; SAME padding of no stride alone.
    let outputPadding call =
        match call with
        | BadTransposed numbers -> numbers[15] > 0 && numbers[15] = numbers[7]
        | _ -> false

    let noStride call =
        match call with
        | BadSame [ _; _; 0; _ ] -> true
        | _ -> false

    for bad, what in [ outputPadding, "output padding"; noStride, "SAME padding of stride = 0" ] do
        let status, results = takes bad
        Assert.Equal(Conclusion.Broken, status)
        Assert.Contains(what, breach results)

    Assert.Equal(Conclusion.Held, fst (takes (fun _ -> false)))

[<Fact>]
let ``an output padding that is not the one that was given breaks TRANSPOSED-SHAPE`` () =
    let ours = Ours.convShape
    // The pads of one side alone are counted.
    let wrong =
        { ours with
            OutputPadding = fun size taps stride dilation before _ -> ours.OutputPadding size taps stride dilation before 0
        }

    Assert.Equal(Conclusion.Broken, fst (status "TRANSPOSED-SHAPE" wrong))
    Assert.Equal(Conclusion.Held, fst (status "TRANSPOSED-SHAPE" ours))

[<Fact>]
let ``RANGE scales by the power of two that it states`` () =
    let law = (All.tryFind "RANGE").Value
    let stated = int (Regex.Match(law.Statement, @"2\^(\d+)").Groups[1].Value)
    let loop = Ours.implementations |> List.find (fun s -> s.Name = "loop")
    let seen = ResizeArray<float32>()

    let recording =
        { loop with
            Forward =
                fun s x k b ->
                    seen.Add(x |> Array.map abs |> Array.max)
                    loop.Forward s x k b
        }

    let case = Address.case 0UL law loop.Profile Exact 3

    match law.Judge recording case with
    | Holds _ -> Assert.Equal<float32[]>([| MathF.ScaleB(seen[1], stated); seen[1] |], seen.ToArray())
    | other -> Assert.Fail(string other)

[<Fact>]
let ``zeros that a gradient skips lose a NaN`` () =
    let law = All.laws |> List.find (fun law -> law.Id = "NAN-GRADIENT")
    let honest = TextbookAdjoint.honest
    let verdict organs = (Run.law Run.defaults law (TextbookAdjoint.subject "gradients" organs) Exact).Failure

    Assert.True((verdict honest).IsNone)

    Assert.True(
        (verdict
            { honest with
                Accumulate = fun sum x dy -> if dy = 0f then sum else sum + x * dy
            })
            .IsSome
    )

    // Of half of the weights.
    Assert.True(
        (verdict
            { honest with
                Reaching =
                    fun s p ->
                        let struct (first, count) = honest.Reaching s p
                        struct (first, (if p.Channel % 2 = 1 then count / 2 else count))
            })
            .IsSome
    )

/// It answers where a subject declines a shape, and may not be accused by the law then.
[<Fact>]
let ``the oracle passes a NaN on through zeros`` () =
    let s = ConvShape(2, 4, 5, 6, 6, 3, 2, strideHeight = 2, padTop = 1, padRight = 1, groups = 2)

    let shapeOf role =
        match role with
        | Role.Input -> Operation.input s
        | Role.Kernel -> Operation.kernel s
        | _ -> Operation.output s

    for operation, first, second in
        [
            Operation.BackwardInput, Role.Gradient, Role.Kernel
            Operation.BackwardKernel, Role.Input, Role.Gradient
            Operation.Transposed, Role.Gradient, Role.Kernel
        ] do
        let tensor role value = (Values.init (shapeOf role) (fun _ _ _ _ -> value)).Data
        let at place value (data: float[]) = Array.updateAt place value data

        for isFirst in [ true; false ] do
            let apply value others =
                if isFirst then
                    Oracle.complete operation s (tensor first 0.0 |> at 3 value) (tensor second others) [||]
                else
                    Oracle.complete operation s (tensor first others) (tensor second 0.0 |> at 3 value) [||]

            let reached, computed = apply 1.0 1.0, apply nan 0.0
            Assert.Contains(reached, (fun v -> v <> 0.0))

            for element in 0 .. reached.Length - 1 do
                if reached[element] <> 0.0 then
                    Assert.True(Double.IsNaN computed[element], $"{Operation.title operation}, {isFirst}, {element}")
