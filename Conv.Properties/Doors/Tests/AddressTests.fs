/// Addresses: a case depends on its profile, law, tier, seed and index alone; the engine draws the very same one.
module Conv.Properties.AddressTests

open Xunit
open FsCheck
open FsCheck.FSharp
open FsCheck.Xunit
open Conv

let private loop = Ours.implementations |> List.find (fun subject -> subject.Name = "loop")
let private law id = (All.tryFind id).Value

[<Property(MaxTest = 40)>]
let ``the same address gives the same case in any order`` (seed: uint64) =
    for law in [ law "MODEL-EXACT"; law "COMPOSE" ] do
        let case index = Address.case seed law loop.Profile Exact index
        let upwards = List.map case [ 0..9 ]
        let downwards = List.map case [ 9..-1..0 ]
        Assert.Equal<Case list>(upwards, List.rev downwards)
        // And they are ten different ones.
        Assert.Equal(10, upwards |> List.distinct |> List.length)

[<Fact>]
let ``law, tier and seed make other cases`` () =
    let case seed id tier =
        Address.case seed (law id) loop.Profile tier 0
        |> fun c -> c.Problem, c.Args, c.Fill

    let first = case 1UL "ODD" Exact
    Assert.NotEqual(first, case 2UL "ODD" Exact)
    Assert.NotEqual(first, case 1UL "BIAS-ADDS" Exact)
    let problem (problem: ConvShape, _, _) = problem
    Assert.NotEqual(problem first, problem (case 1UL "ODD" Bounded))

[<Fact>]
let ``a run judges the addressed cases in order, however many are asked for`` () =
    for one in [ law "LINEAR-INPUT"; law "TAP-SUM" ] do
        for count in [ 1; 13; 40 ] do
            let result = Run.law { Run.defaults with Cases = count; Seed = 21UL } one loop Exact
            let cases = List.init count (Address.case 21UL one loop.Profile Exact)
            Assert.Equal(count, result.Cases)
            Assert.Equal(List.fold Address.digest 0UL cases, result.Digest)

[<Fact>]
let ``one thread and two judge alike`` () =
    // One of each arithmetic.
    let names = set [ "loop"; "winograd-f4x3"; "bfloat16"; "int8" ]
    let subjects = Ours.implementations |> List.filter (fun s -> names.Contains s.Name)

    let run threads =
        let options = { Run.defaults with Cases = 6; Seed = 4UL; Threads = threads }
        let mutable heard, judged = 0, 0

        let results =
            Rounds.all options (Rounds.jobs options All.laws subjects) (fun news ->
                match news with
                | Rounds.Ended _ -> heard <- heard + 1
                | Rounds.Judged count -> judged <- judged + count)

        Assert.Equal(results.Length, heard)
        Assert.Equal(results |> List.sumBy _.Cases, judged)

        results
        |> List.map (fun r -> r.Law.Id, r.Subject.Name, r.Tier, r.Cases, r.Held, r.Elements, r.Ratio, r.Digest)

    Assert.Equal<_ list>(run 1, run 2)

[<Fact>]
let ``the engine draws the case of the address`` () =
    for one in All.laws do
        for index in 0..4 do
            let mutable seen = None

            let runner =
                { new IRunner with
                    member _.OnStartFixture _ = ()
                    member _.OnArguments(_, arguments, _) = seen <- Some(List.exactlyOne arguments)
                    member _.OnShrink(_, _) = ()
                    member _.OnFinished(_, _) = ()
                }

            let tier = List.head one.Tiers
            let rnd, size = Address.ofCase 8UL one.Id tier Reach.Small index

            let config =
                Config.Quick.WithMaxTest(1).WithRunner(runner).WithReplay(Some { Rnd = rnd; Size = Some size })

            Check.One(config, Prop.forAll (Arb.fromGen (one.Cases loop.Profile tier Reach.Small)) (fun _ -> true))
            Assert.Equal(box (Address.case 8UL one loop.Profile tier index), seen.Value)

/// The loop, but a term is lost wherever there are two columns of taps and two input channels.
let private broken =
    { loop with
        Name = "broken"
        Forward =
            fun s x k b ->
                let y = loop.Forward s x k b

                if s.KernelWidth > 1 && s.InChannels > 1 then
                    y |> Array.map (fun v -> v + 1f)
                else
                    y
    }

[<Fact>]
let ``a failure is the addressed case, and its shrunk one still fails`` () =
    let one = law "MODEL-EXACT"
    let result = Run.law { Run.defaults with Cases = 200; Seed = 9UL } one broken Exact
    let failure = result.Failure.Value
    Assert.Equal(Address.case 9UL one loop.Profile Exact (result.Cases - 1), failure.Drawn)
    Assert.True(failure.Shrinks > 0)
    Assert.True(Shrink.measure failure.Shrunk < Shrink.measure failure.Drawn)

    match failure.Verdict, one.Judge broken failure.Shrunk with
    | Breaks _, Breaks witness -> Assert.NotEmpty witness.Wrong
    | other -> Assert.Fail $"{other}"

    // Two columns of taps and two channels, and nothing else of two.
    let s = failure.Shrunk.Problem
    Assert.Equal((2, 2), (s.InChannels, s.KernelWidth))
    Assert.Equal((1, 1, 1, 1, 1), (s.Batch, s.OutChannels, s.KernelHeight, s.InHeight, s.Groups))
    Assert.Equal((1, 1, 1, 1), (s.StrideHeight, s.StrideWidth, s.DilationHeight, s.DilationWidth))
    Assert.Equal(2, s.InWidth + s.PadLeft + s.PadRight)

/// The digests of the first cases of every law, on several subjects, in every tier and size: cases.tsv. Lines that replay, and what an author has
/// seen, are those of a build; a change of any case is meant, and recorded by replacing the file.
[<Fact>]
let ``the cases of every law are those that were recorded`` () =
    let subjects =
        [ "loop"; "winograd-f4x3"; "float16"; "int8"; "auto"; "conv-shape"; "gemm" ]
        |> List.map (fun name -> Ours.all |> List.find (fun subject -> subject.Name = name))

    let digest (law: Law) =
        let offers (subject: Subject) =
            subject.Name = "loop"
            || law.Needs |> List.forall subject.Profile.Capabilities.Contains

        seq {
            for subject in List.filter offers subjects do
                for tier in law.Tiers do
                    for size, count, asked in [ Reach.Small, 12, 1; Reach.Middle, 4, law.Beyond.Middle; Reach.Large, 1, law.Beyond.Large ] do
                        if asked > 0 then
                            for index in 0 .. count - 1 -> Address.caseOf size 0UL law subject.Profile tier index
        }
        |> Seq.fold Address.digest 0UL

    let path =
        System.IO.Path.Combine(DocumentTests.root (), "Conv.Properties", "Doors", "Tests", "cases.tsv")

    let lines = All.laws |> List.map (fun law -> $"{law.Id}\t{digest law:x16}")
    Assert.Equal<string seq>(System.IO.File.ReadAllLines path |> Seq.skip 1, lines)
