/// Larger problems: what they cost, how far they reach, and that faults which need several large parameters at once are found by default.
module Conv.Properties.ReachTests

open System
open Xunit
open FsCheck
open FsCheck.FSharp
open Conv

let private shapes size count = Gen.sampleWithSeed (Rnd(7UL, 1UL)) 50 count (Styles.geometry size Traits.Default)

let private loop = Ours.all |> List.find (fun s -> s.Name = "loop")
let private law id = All.laws |> List.find (fun law -> law.Id = id)

[<Fact>]
let ``a problem costs no more than its size allows, and most of what is not to be cheap costs more than a small one`` () =
    for size, most in [ Reach.Middle, 200; Reach.Large, 400 ] do
        let shapes = shapes size 600
        Assert.All(shapes, (fun s -> Assert.True(Reach.cost s <= Reach.budget size, string s)))
        let beyond = shapes |> Array.filter (fun s -> Reach.cost s > Generate.budget)
        Assert.True(beyond.Length > most, $"{beyond.Length} of {shapes.Length}")

[<Fact>]
let ``a subject that takes a corner of the space is asked nothing that costs more`` () =
    let corner =
        Declared.parse [] "arithmetic=within:2048,global kernels=3x3 strides=1x1 dilations=1x1 groups=1 pads=symmetric shapes=all"

    for law in All.laws do
        if not law.Fixed && law.Beyond.Middle > 0 && law.Needs = [ Forward ] then
            for size in [ Reach.Middle; Reach.Large ] do
                for index in 0..11 do
                    let case = Address.caseOf size 3UL law corner.Profile law.Tiers.Head index
                    Assert.True(Reach.cost case.Problem <= 2L * Reach.budget size, Case.print case)

[<Fact>]
let ``what is made cheaper for a subject that takes little is still a problem of the law`` () =
    let law = law "PRECISION-SUM"
    let tiles = TextbookWinograd.subjectOfTiles "tiles" (TextbookWinograd.honest TextbookWinograd.f2x3)

    for index in 0..99 do
        let case = Address.caseOf Reach.Middle 0UL law tiles.Profile Exact index
        Assert.Equal(ValueSome case.Problem, law.Project case.Problem)

[<Fact>]
let ``all calls of a case together cost about three problems at most`` () =
    for law in All.laws do
        // PRECISION-LATER calls two dozen times before it looks: eight middle problems of a run.
        let isAsked =
            law.Needs |> List.forall loop.Profile.Capabilities.Contains
            && law.Id <> "PRECISION-LATER"

        if not law.Fixed && law.Beyond.Middle > 0 && law.Kind <> KitLaw && isAsked then
            for index in 0..40 do
                let case = Address.caseOf Reach.Middle 5UL law loop.Profile law.Tiers.Head index
                let calls = ResizeArray()

                let counted operation s x k b =
                    calls.Add(Reach.cost s)
                    loop.Operate operation s x k b

                let counting =
                    { loop with
                        Forward =
                            fun s x k b ->
                                calls.Add(Reach.cost s)
                                loop.Forward s x k b
                        Operate = counted
                    }

                law.Judge counting case |> ignore<Verdict>
                // What is derived from a smaller problem need not be smaller by as much.
                Assert.True(Seq.sum calls <= 2L * Reach.budgetOfCalls Reach.Middle, $"{Seq.sum calls}: {Case.print case}")

[<Fact>]
let ``large problems of the laws on infinities have many channels on both sides, where the subject takes them`` () =
    let costs profile id =
        [
            for index in 0..11 do
                let problem = (Address.caseOf Reach.Large 3UL (law id) profile Exact index).Problem
                problem, Reach.cost problem
        ]

    let depthwise = Ours.all |> List.find (fun s -> s.Name = "depthwise")

    for id in [ "NONFINITE-KERNEL"; "NAN-LOCAL"; "INFINITY" ] do
        for s, _ in costs loop.Profile id do
            Assert.True(s.Groups = 1 && s.InChannels >= 32 && s.OutChannels >= 32, string s)

        let ofDepthwise = costs depthwise.Profile id
        Assert.All(ofDepthwise, (fun (s, _) -> Assert.True(depthwise.Profile.Supports s)))
        Assert.Contains(ofDepthwise, (fun (_, cost) -> cost > Reach.budget Reach.Middle))

[<Fact>]
let ``a thousand larger problems meet every pair of extremes, and reach as far as docs/generators.md says`` () =
    let all = Array.append (shapes Reach.Middle 800) (shapes Reach.Large 200)
    let _, missed = Coverage.extremesOf (fun _ -> true) all
    Assert.Empty missed
    let reach = (Coverage.largest (shapes Reach.Large 6000)).Value
    Assert.True(reach.MultiplyAdds > 3_000_000L)

    Assert.True(
        reach.Channels >= 4096
        && reach.Outputs >= 4096
        && reach.Groups >= 1024
        && reach.Batch >= 512
    )

    Assert.True(
        reach.Side >= 4096
        && reach.Kernel >= 511
        && reach.Stride >= 32
        && reach.Dilation >= 64
        && reach.Pad >= 64
    )

[<Fact>]
let ``every pair of extremes has an example, which is one`` () =
    for pair in Coverage.extremes do
        for example in pair.Examples do
            Assert.True(pair.Holds example, $"{pair.Name}: {example}")

[<Fact>]
let ``a case depends on its size and its number in it, not on how many there are`` () =
    let law = law "MODEL-EXACT"

    for size in Reach.sizes do
        let cases = List.init 3 (Address.caseOf size 5UL law loop.Profile Exact)
        Assert.Equal(3, cases |> List.distinct |> List.length)

    let few, many = { Run.defaults with Cases = 20 }, { Run.defaults with Cases = 40 }
    Assert.Equal<(Reach.Size * int) list>([ Reach.Small, 20; Reach.Middle, 180; Reach.Large, 6 ], Run.planned few law Exact)
    Assert.Equal<(Reach.Size * int) list>([ Reach.Small, 40; Reach.Middle, 360; Reach.Large, 12 ], Run.planned many law Exact)
    Assert.Equal<(Reach.Size * int) list>([ Reach.Small, 40 ], Run.planned { many with Reach = Reach.Small } law Exact)

/// The loop, wrong where the predicate holds: the last output is one larger.
let private wrongWhere holds =
    { loop with
        Name = "wrong"
        Forward =
            fun s x k b ->
                let y = loop.Forward s x k b

                if holds s && y.Length > 0 then
                    y[y.Length - 1] <- y[y.Length - 1] + 1f

                y
    }

[<Fact>]
let ``cases come by their turns, and then all sizes together`` () =
    let turn size : Order.Turn = { Law = "MODEL-EXACT"; Tier = "exact"; Size = size }

    /// The case of MODEL-EXACT in which a fault of larger problems shows, where these turns come first.
    let failsIn turns cases =
        let options =
            { Run.defaults with
                Cases = cases
                Threads = 1
                Turns = Order.Turns(List.map turn turns)
            }

        let session = Run.Session(options, law "MODEL-EXACT", wrongWhere Generate.isLarger, Exact)

        while not session.Ended do
            session.Step()

        session.Cases

    Assert.Equal(11, failsIn (List.replicate 10 Reach.Small @ [ Reach.Large ]) 20)
    Assert.Equal(1, failsIn [ Reach.Large ] 20)
    // A run that leaves larger problems out has no turns of theirs.
    let small =
        { Run.defaults with
            Cases = 20
            Reach = Reach.Small
            Turns = Order.Turns [ turn Reach.Large ]
        }

    Assert.Equal(20, (Run.law small (law "MODEL-EXACT") (wrongWhere Generate.isLarger) Exact).Cases)
    // Behind the turns larger problems do not wait for all small ones.
    Assert.InRange(failsIn [] 20, 1, 10)

let thresholds: TheoryData<string> =
    TheoryData<string>(
        [
            "128 channels in and out"
            "64 outputs, 64 terms, 64 pixels"
            "one row of 1,024 terms"
            "a long kernel in groups"
            "kernel = stride ≥ 8"
            "a pad ≥ 16 before 16 output columns"
            "16 groups of several channels"
        ]
    )

[<Theory; MemberData(nameof thresholds)>]
let ``a fault behind a threshold is found by two laws of different kind`` (name: string) =
    let extreme = Coverage.extremes |> List.find (fun pair -> pair.Name = name)
    let subject = wrongWhere extreme.Holds

    let breaks id =
        let result = Run.law { Run.defaults with Threads = 1 } (law id) subject Exact

        match result.Failure with
        | Some failure ->
            // Shrunk to the threshold, and no further.
            Assert.True(extreme.Holds failure.Shrunk.Problem, Case.print failure.Shrunk)
            true
        | None -> false

    let small id = (Run.law { Run.defaults with Reach = Reach.Small } (law id) subject Exact).Failure.IsSome
    Assert.True(breaks "MODEL-EXACT", "MODEL-EXACT")
    Assert.True(breaks "CHECKSUM", "CHECKSUM")
    Assert.False(small "MODEL-EXACT", "a small problem shows it")

// ---- the kit's own faults

[<Fact>]
let ``a layer is judged at its own size`` () =
    let checksum = law "CHECKSUM"

    for layer in (Workload.tryFind "resnet50").Value.Layers do
        for index in 0..3 do
            let rnd, growth = Address.ofCase (uint64 index) checksum.Id Exact Reach.Small index

            let case =
                (checksum.CasesOn loop.Profile Exact layer.Shape
                 |> Gen.sampleWithSeed rnd growth 1)[0]

            Assert.Equal(layer.Shape, case.Problem)

/// The loop, with every output plane transposed that is as high as it is wide.
let private transposing =
    { loop with
        Name = "transposing"
        Forward =
            fun s x k b ->
                let y = loop.Forward s x k b
                let size = s.OutHeight

                if size = s.OutWidth then
                    Array.init y.Length (fun at ->
                        let plane, i, j = at / (size * size), at / size % size, at % size
                        y[(plane * size + j) * size + i])
                else
                    y
    }

[<Fact>]
let ``a checksum sees the transposition of a square plane, and rows that change places at any distance`` () =
    let judge subject shape =
        let case =
            {
                Law = "CHECKSUM"
                Tier = Exact
                Problem = ConvShape.Parse shape
                Args = []
                Fill =
                    Drawn(
                        Lattice
                            {
                                InputMax = 9
                                KernelMax = 3
                                KernelStep = 1
                                BiasMax = 1
                                InputExponent = 0
                                KernelExponent = 0
                                LiveEvery = 1
                            },
                        1UL
                    )
            }

        match (law "CHECKSUM").Judge subject case with
        | Breaks _ -> true
        | _ -> false

    Assert.True(judge transposing "c=3 h=9 w=9 o=2 kh=3 kw=3")
    Assert.False(judge loop "c=3 h=9 w=9 o=2 kh=3 kw=3")

    for distance in [ 1; 29; 87; 174 ] do
        let exchanging =
            { loop with
                Forward =
                    fun s x k b ->
                        let y = loop.Forward s x k b
                        let w = s.OutWidth
                        let first = Array.sub y 0 w
                        Array.blit y (distance * w) y 0 w
                        Array.blit first 0 y (distance * w) w
                        y
            }

        Assert.True(judge exchanging "c=1 h=180 w=5 o=1 kh=1 kw=1", string distance)

/// The loop on an input whose rows, or images, lose the upper bits of their number.
let private sixteenBits =
    let row (s: ConvShape) (x: float32[]) =
        let plane = int s.InputPlane

        Array.init x.Length (fun at ->
            let h = at % plane / s.InWidth &&& 0xFFFF
            x[at / plane * plane + h * s.InWidth + at % s.InWidth])

    { loop with
        Name = "sixteen-bits"
        Forward = fun s x k b -> loop.Forward s (row s x) k b
        Operate =
            fun operation s first second b ->
                match operation with
                | Operation.BackwardKernel -> loop.Operate operation s (row s first) second b
                | _ -> loop.Operate operation s first second b
    }

[<Fact>]
let ``a row number of sixteen bits is seen, by the forward pass and by the gradient`` () =
    let breaks id = (Run.law Run.defaults (law id) sixteenBits Exact).Failure.IsSome
    Assert.True(breaks "LARGE-INDEX")
    Assert.True(breaks "LARGE-INDEX-BACKWARD")

/// Gives a wrong first number after a problem of eight channels, once a problem of one was asked before that.
let private remembering () =
    let mutable state = 0

    let convolution =
        { new IConvolution with
            member _.Name = "remembering"
            member _.Supports _ = true
            member _.ArithmeticOf _ = AnyOrder()
            member _.Traits = Traits()

            member _.Prepare(shape, kernel, bias) =
                let k, b = kernel.ToArray(), bias.ToArray()
                let isWrong = state = 2 && shape.InChannels >= 4

                state <-
                    match state with
                    | 0 when shape.InChannels = 1 -> 1
                    | 1 when shape.InChannels = 8 -> 2
                    | state -> state

                { new IPreparedConvolution with
                    member _.WorkspaceBytes = 0L

                    member _.Run(x, y, _) =
                        (loop.Forward shape (x.ToArray()) k b).AsSpan().CopyTo y

                        if isWrong && y.Length > 0 then
                            y[0] <- y[0] + 1f
                }
        }

    convolution

[<Fact>]
let ``what fails only after other calls is a violation, with the calls that it takes`` () =
    let subject = Contract.ofFactory remembering
    let one = law "MODEL-EXACT"
    let result = Run.law { Run.defaults with Threads = 1 } one subject Exact
    let failure = result.Failure.Value
    Assert.Equal(0, failure.Eluded)
    // One channel, then eight, then four or more: a case that prepares weights twice may be the second and the third.
    Assert.InRange(failure.Earlier.Length, 1, 2)
    Assert.Equal(1, failure.Earlier.Head.Problem.InChannels)
    let second = failure.Earlier @ [ failure.Shrunk ] |> List.item 1
    Assert.Equal(8, second.Problem.InChannels)
    // The line says all of it.
    let cases = Case.parseAll (Figure.line failure) |> List.map snd
    Assert.Equal<Case list>(failure.Earlier @ [ failure.Shrunk ], cases)
    let fresh = Contract.ofFactory remembering
    Pursuit.judgeAll failure.Earlier fresh
    Assert.True(Pursuit.isFailure (one.Judge fresh failure.Shrunk))
    Assert.False(Pursuit.isFailure (one.Judge (Contract.ofFactory remembering) failure.Shrunk))

[<Fact>]
let ``what does not fail again is reported as it was drawn`` () =
    let calls = ref 0

    let once =
        { loop with
            Name = "once"
            Forward =
                fun s x k b ->
                    calls.Value <- calls.Value + 1
                    let y = loop.Forward s x k b
                    if calls.Value = 3 then Array.map ((+) 1f) y else y
        }

    Assert.False(Pursuit.hasBeginnings once)
    let result = Run.law { Run.defaults with Threads = 1 } (law "MODEL-EXACT") once Exact
    let failure = result.Failure.Value
    Assert.Equal(failure.Drawn, failure.Shrunk)
    Assert.True(Pursuit.isFailure failure.Verdict)

[<Fact>]
let ``what is prepared is released when its judgement is over, and a score live at once at most`` () =
    let alive, most, made = ref 0, ref 0, ref 0

    let counting =
        { loop with
            Name = "counting"
            Prepare =
                fun s k b ->
                    let prepared = loop.Prepare s k b
                    made.Value <- made.Value + 1
                    alive.Value <- alive.Value + 1
                    most.Value <- max most.Value alive.Value

                    { prepared with
                        Release =
                            fun () ->
                                alive.Value <- alive.Value - 1
                                prepared.Release()
                    }
        }

    let options = { Run.defaults with Cases = 60; Threads = 1 }

    for id in [ "REPEATABLE"; "CONCURRENT-CALLERS"; "PREPARED-LIFE" ] do
        Assert.True((Run.law options (law id) counting Exact).Failure.IsNone)

    Assert.Equal(0, alive.Value)
    Assert.True(made.Value > 60)
    // More than a ring of eight or a pool of sixteen holds.
    Assert.Equal(18, most.Value)

[<Fact>]
let ``callers apart have each what was prepared for them, and all of it is released`` () =
    let made, released = ref 0, ref 0

    let prepare fails () =
        made.Value <- made.Value + 1
        let number = float32 made.Value

        { PreparedRuns.ofRun (fun x -> if fails then invalidOp "no run" else [| number; x[0] |]) with
            Release = fun () -> released.Value <- released.Value + 1
        }

    let inputs = [| for at in 1..4 -> [| float32 -at |] |]
    let results = inputs |> PreparedRuns.apart (prepare false)
    Assert.Equal<float32[]>([| 1f; 2f; 3f; 4f |], results |> Array.map Array.head)
    Assert.Equal<float32[]>([| -1f; -2f; -3f; -4f |], results |> Array.map Array.last)
    Assert.Equal(4, released.Value)

    Assert.Throws<InvalidOperationException>(fun () -> inputs |> PreparedRuns.apart (prepare true) |> ignore)
    |> ignore

    Assert.Equal(8, released.Value)

[<Fact>]
let ``a library that does not say otherwise is called by one thread at a time`` () =
    let inside, most = ref 0, ref 0

    let watched call =
        let now = Threading.Interlocked.Increment &inside.contents
        lock most (fun () -> most.Value <- max most.Value now)
        let result = call ()
        Threading.Interlocked.Decrement &inside.contents |> ignore
        result

    let subject =
        { loop with
            Forward = fun s x k b -> watched (fun () -> loop.Forward s x k b)
            Operate = fun operation s first second b -> watched (fun () -> loop.Operate operation s first second b)
        }

    let options = { Run.defaults with Cases = 30; Threads = 4 }
    let laws = [ law "MODEL-EXACT"; law "ADJOINT-INPUT"; law "CHECKSUM"; law "LINEAR-INPUT" ]
    let alone = Subject.oneAtATime subject
    Rounds.all options (Rounds.jobs options laws [ alone ]) ignore |> ignore
    Assert.Equal(1, most.Value)
    Assert.False((Declared.parse [] "").AnyCallers)
    Assert.True((Declared.parse [] "callers=any").AnyCallers)

[<Fact>]
let ``a fresh seed is another each time`` () =
    Assert.NotEqual(Arguments.parseSeed "fresh", Arguments.parseSeed "fresh")
    Assert.Equal(Arguments.parseSeed "0x1f", Arguments.parseSeed "31")

/// The loop, that sums the first image of a batch of several backwards.
let private batched =
    let run (s: ConvShape) (x: float32[]) k b =
        let y = loop.Forward s x k b

        if s.Batch > 1 then
            let one = s.With(batch = 1)
            let first = Variants.ofReversed one (Array.truncate (int one.InputLength) x) k b
            Array.blit first 0 y 0 first.Length

        y

    { loop with Name = "batched"; Forward = run }

[<Fact>]
let ``an image whose bits depend on the batch breaks the promise`` () =
    let breaks subject =
        [ Exact; Bounded ]
        |> List.exists (fun tier -> (Run.law Run.defaults (law "BATCH-INVARIANT") subject tier).Failure.IsSome)

    Assert.True(breaks batched)
    Assert.False(breaks loop)
    Assert.Equal(Some false, (Probe.ofSubject batched).AnyBatch)
    Assert.Equal(Some true, (Probe.ofSubject loop).AnyBatch)

[<Fact>]
let ``what begins afresh asks its first small and its first middle cases in a row`` () =
    let plan = [ Reach.Small, 200; Reach.Middle, 30; Reach.Large, 5 ]
    let row size = [ for at in 0..19 -> struct (size, at) ]
    let first turns count = Order.cases turns plan 20 |> List.ofArray |> List.truncate count
    Assert.Equal<struct (Reach.Size * int) list>(row Reach.Small @ row Reach.Middle, first [] 40)
    Assert.Equal<struct (Reach.Size * int) list>(row Reach.Middle @ row Reach.Small, first [ Reach.Middle ] 40)
    // Every case once, whatever the turns.
    let turns = List.replicate 40 Reach.Large @ List.replicate 300 Reach.Small

    for inARow in [ 0; 20 ] do
        let cases = Order.cases turns plan inARow
        Assert.Equal(235, (Array.distinct cases).Length)
        Assert.Equal(235, cases.Length)

    // Those of large problems begin no process.
    Assert.Equal<struct (Reach.Size * int) list>([ struct (Reach.Large, 0); struct (Reach.Small, 0) ], first [ Reach.Large ] 2)

[<Fact>]
let ``a run has no turns of sizes that it leaves out`` () =
    let turn size : Order.Turn = { Law = "MODEL-EXACT"; Tier = "exact"; Size = size }
    let turns = Order.Turns [ turn Reach.Large; turn Reach.Small; turn Reach.Large; turn Reach.Large ]

    let turns reach =
        let options = { Run.defaults with Cases = 5; Reach = reach; Turns = turns }

        Rounds.schedule options [| Run.Session(options, law "MODEL-EXACT", loop, Exact) |]
        |> Seq.length

    Assert.Equal(5, turns Reach.Small)
    // For five small cases there are 45 middle ones, and 1.5 large ones.
    Assert.Equal(51, turns Reach.Large)

[<Fact>]
let ``at any time the same part of every law is done, and none has less than its turns`` () =
    let given: Order.Turn = { Law = "FLIP"; Tier = "exact"; Size = Reach.Small }
    let options = { Run.defaults with Cases = 40; Turns = Order.Turns [ given; given; given ] }
    let laws = [ "MODEL-EXACT"; "FLIP"; "ZERO-KERNEL" ] |> List.map law

    let sessions =
        Rounds.jobs options laws [ loop ]
        |> Array.map (fun (law, subject, tier) -> Run.Session(options, law, subject, tier))

    let turns = Rounds.schedule options sessions |> Array.ofSeq
    Assert.All(Array.truncate 3 turns, (fun session -> Assert.Equal("FLIP", session.Law.Id)))

    let planned (session: Run.Session) =
        Run.plannedCases options session.Law session.Tier
        - (if session.Law.Id = "FLIP" && session.Tier = Exact then 3 else 0)

    let counted = sessions |> Array.map (fun _ -> 0)

    for session in Array.skip 3 turns do
        let at = Array.IndexOf(sessions, session)
        counted[at] <- counted[at] + 1
        let parts = sessions |> Array.mapi (fun i s -> float counted[i] / float (planned s))

        Assert.True(
            Array.max parts - Array.min parts
            <= 1.0 / float (sessions |> Array.map planned |> Array.min)
        )

    Assert.Equal<int[]>(sessions |> Array.map planned, counted)

[<Fact>]
let ``a gradient is not written out where the output is large`` () =
    let padded = Axis(1, 1, 1, 300, 300)

    let case: Case =
        {
            Law = "MODEL-EXACT"
            Tier = Exact
            Problem = ConvShape(1, 1, 1, padded, padded)
            Args = [ 0; 0; 0 ]
            Fill = Drawn(Uniform, 1UL)
        }

    let listed =
        [
            for smaller in Shrink.cases ValueSome case do
                match smaller.Fill with
                | Explicit elements when smaller.Problem = case.Problem -> elements.Length
                | _ -> ()
        ]

    Assert.NotEmpty listed
    Assert.All(listed, (fun elements -> Assert.InRange(elements, 1, 400)))

[<Fact>]
let ``the turns are of more than one size`` () =
    let sizes = Order.turns.All |> List.map _.Size |> List.distinct
    Assert.Contains(Reach.Small, sizes)
    Assert.Contains(Reach.Middle, sizes)

/// Within its claim, off the grid of whole numbers.
[<Fact>]
let ``a claimed bound is not held to whole numbers in the memory of views`` () =
    let claimed =
        { loop with
            Name = "claimed"
            Profile = { loop.Profile with ArithmeticOf = fun _ -> Within 64.0 }
            Viewed =
                fun s x k b y ->
                    loop.Viewed s x k b y
                    let struct (memory, view: TensorView) = y

                    for n in 0 .. s.Batch - 1 do
                        for o in 0 .. s.OutChannels - 1 do
                            for i in 0 .. s.OutHeight - 1 do
                                for j in 0 .. s.OutWidth - 1 do
                                    let at = view.At(n, o, i, j)
                                    memory[at] <- memory[at] * 1.0000002f
        }

    let result = Run.law { Run.defaults with Cases = 60; Threads = 1 } (law "VIEW-PARTS") claimed Exact
    Assert.True(result.Failure.IsNone)
    Assert.True(result.Held > 20, string result.Held)

/// The second part writes over the last number of the first, after that was read.
[<Fact>]
let ``a part that writes beside its view breaks VIEW-PARTS`` () =
    let spilling =
        { loop with
            Name = "spilling"
            Viewed =
                fun s x k b y ->
                    loop.Viewed s x k b y
                    let struct (memory, view: TensorView) = y

                    if view.Offset > 0 then
                        memory[view.Offset - 1] <- 12345f
        }

    let result = Run.law { Run.defaults with Threads = 1 } (law "VIEW-PARTS") spilling Exact
    Assert.True(result.Failure.IsSome)

/// Rounded towards zero.
let private cut (value: float) =
    let nearest = float32 value

    if abs (float nearest) > abs value then
        MathF.BitDecrement(abs nearest) * float32 (sign value)
    else
        nearest

/// The loop, each operation summed in its order but with results cut instead of rounded.
let private truncating =
    let run (s: ConvShape) (x: float32[]) (k: float32[]) (b: float32[]) =
        Oracle.complete Operation.Forward s (Array.map float x) (Array.map float k) (Array.map float b)
        |> Array.map cut

    { loop with Name = "truncating"; Forward = run }

[<Fact>]
let ``results that are cut break ONE-ROUNDING, at once`` () =
    let result = Run.law Run.defaults (law "ONE-ROUNDING") truncating Exact
    Assert.True(result.Failure.IsSome)
    Assert.True(result.Cases <= 3, string result.Cases)
    // The bound does not see it in sums of two terms or more.
    match (Run.law { Run.defaults with Cases = 60 } (law "MODEL-BOUND") truncating Bounded).Failure with
    | None -> ()
    | Some failure -> Assert.Equal(1L, failure.Drawn.Problem.TermsPerOutput)

/// As a vector unit that rounds towards zero adds up many terms.
let private truncatingSums =
    { loop with
        Name = "truncating sums"
        Forward =
            fun s x k b ->
                let add = if s.TermsPerOutput >= 12L then cut else float32

                Array.init (int s.OutputLength) (fun at ->
                    let j, i = at % s.OutWidth, at / s.OutWidth % s.OutHeight
                    let o = at / (s.OutWidth * s.OutHeight) % s.OutChannels
                    let n = at / (s.OutWidth * s.OutHeight * s.OutChannels)
                    let cg = s.InChannelsPerGroup
                    let first = o / s.OutChannelsPerGroup * cg
                    let mutable sum = 0f

                    for c in 0 .. cg - 1 do
                        for u in 0 .. s.KernelHeight - 1 do
                            for v in 0 .. s.KernelWidth - 1 do
                                let h = i * s.StrideHeight + u * s.DilationHeight - s.PadTop
                                let w = j * s.StrideWidth + v * s.DilationWidth - s.PadLeft

                                if h >= 0 && h < s.InHeight && w >= 0 && w < s.InWidth then
                                    let x = float x[((n * s.InChannels + first + c) * s.InHeight + h) * s.InWidth + w]
                                    let k = float k[((o * cg + c) * s.KernelHeight + u) * s.KernelWidth + v]
                                    sum <- add (float sum + x * k)

                    if b.Length = 0 then sum else add (float sum + float b[o]))
    }

[<Fact>]
let ``errors that lean are said, and those of rounding to the nearest do not`` () =
    let model = law "MODEL-BOUND"

    // Other numbers break the bound: a large one and small ones that are taken from it.
    let leans =
        Seq.init 400 (Address.case 0UL model loop.Profile Bounded)
        |> Seq.filter (fun case ->
            match case.Fill with
            | Drawn(Positive, _) -> true
            | _ -> false)
        |> Seq.map (model.Judge truncatingSums)
        |> Seq.choose (function
            | Holds evidence -> Some evidence.Lean
            | _ -> None)
        |> List.ofSeq

    let lean = (Conclusion.leanOf leans).Value
    // Each of n sums loses half of what one may lose, of partial sums that are half of the whole; shorter sums lose nothing.
    Assert.InRange(lean.Mean, -0.5, -0.1)
    let result = Run.law { Run.defaults with Threads = 1 } model loop Bounded
    let said leans = Conclusion.leaning (Conclusion.matrix [ model ] [ loop ] [ { result with Leans = leans } ])
    Assert.Single(said leans) |> ignore<Law * Conclusion.Lean>
    Assert.True((Conclusion.leanOf result.Leans).IsSome)
    Assert.Empty(said result.Leans)
