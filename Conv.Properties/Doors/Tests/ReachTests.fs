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
let ``a problem costs no more than its size allows, and most cost more than a small one`` () =
    for size in [ Reach.Middle; Reach.Large ] do
        let shapes = shapes size 600
        Assert.All(shapes, (fun s -> Assert.True(Reach.cost s <= Reach.budget size, string s)))
        let beyond = shapes |> Array.filter (fun s -> Reach.cost s > Generate.budget)
        Assert.True(beyond.Length > 400, $"{beyond.Length} of {shapes.Length}")

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
let ``a thousand larger problems meet every pair of extremes, and reach as far as docs/generators.md says`` () =
    let all = Array.append (shapes Reach.Middle 800) (shapes Reach.Large 200)
    let _, missed = Coverage.extremesOf (fun _ -> true) all
    Assert.Empty missed
    let reach = (Coverage.largest (shapes Reach.Large 3000)).Value
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
    Assert.Equal<(Reach.Size * int) list>([ Reach.Small, 20; Reach.Middle, 90; Reach.Large, 3 ], Run.planned few law Exact)
    Assert.Equal<(Reach.Size * int) list>([ Reach.Small, 40; Reach.Middle, 180; Reach.Large, 6 ], Run.planned many law Exact)
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
        let plane = s.InHeight * s.InWidth

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
    Assert.Equal(2, failure.Earlier.Length)
    Assert.Equal<int list>([ 1; 8 ], failure.Earlier |> List.map _.Problem.InChannels)
    // The line says all of it.
    let cases = Case.parseAll (Figure.line failure) |> List.map snd
    Assert.Equal<Case list>(failure.Earlier @ [ failure.Shrunk ], cases)
    let fresh = Contract.ofFactory remembering
    Pursuit.judgeAll failure.Earlier fresh
    Assert.True(Pursuit.isFailure (one.Judge fresh failure.Shrunk))
    Assert.False(Pursuit.isFailure (one.Judge (Contract.ofFactory remembering) failure.Shrunk))

[<Fact>]
let ``what is prepared is released when its judgement is over, and few live at once`` () =
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

    let options = { Run.defaults with Cases = 20; Threads = 1 }

    for id in [ "REPEATABLE"; "CONCURRENT-CALLERS"; "PREPARED-LIFE" ] do
        Assert.True((Run.law options (law id) counting Exact).Failure.IsNone)

    Assert.Equal(0, alive.Value)
    Assert.True(made.Value > 60)
    Assert.Equal(5, most.Value)

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
    Run.all options (Run.jobs options laws [ alone ]) ignore |> ignore
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

/// The loop, each operation summed in its order but with results cut instead of rounded.
let private truncating =
    let cut (value: float) =
        let nearest = float32 value

        if abs (float nearest) > abs value then
            MathF.BitDecrement(abs nearest) * float32 (sign value)
        else
            nearest

    let run (s: ConvShape) (x: float32[]) (k: float32[]) (b: float32[]) =
        Oracle.complete Operation.Forward s (Array.map float x) (Array.map float k) (Array.map float b)
        |> Array.map cut

    { loop with Name = "truncating"; Forward = run }

[<Fact>]
let ``results that are cut break ONE-ROUNDING, at once`` () =
    let result = Run.law Run.defaults (law "ONE-ROUNDING") truncating Exact
    Assert.True(result.Failure.IsSome)
    Assert.True(result.Cases <= 3, string result.Cases)
    // The bound does not see it.
    Assert.True((Run.law { Run.defaults with Cases = 60 } (law "MODEL-BOUND") truncating Bounded).Failure.IsNone)
