/// Cases: what is drawn is valid and on its grid, what is shrunk is valid and smaller, and a line replays its case.
module Conv.Properties.CaseTests

open System
open Xunit
open FsCheck
open FsCheck.FSharp
open FsCheck.Xunit
open Conv

let subjects: TheoryData<string> = TheoryData<string>(Ours.all |> List.map _.Name)
let private find name = Ours.all |> List.find (fun subject -> subject.Name = name)

let private drawn (subject: Subject) count =
    [
        for law in All.laws do
            if law.Needs |> List.forall subject.Profile.Capabilities.Contains then
                for tier in law.Tiers do
                    for index in 0 .. (if law.Fixed then 0 else count - 1) -> law, Address.case 11UL law subject.Profile tier index
    ]

let private inDomain (law: Law) (case: Case) = law.Project case.Problem = ValueSome case.Problem

[<Theory; MemberData(nameof subjects)>]
let ``every drawn case is one of its law's, and poses a problem on the subject's grid`` (name: string) =
    let subject = find name
    let mutable calls = 0

    let counting =
        { subject with
            Forward =
                fun s x k b ->
                    calls <- calls + 1
                    subject.Forward s x k b
            Operate =
                fun operation s x k b ->
                    calls <- calls + 1
                    subject.Operate operation s x k b
            Prepare =
                fun s k b ->
                    calls <- calls + 1
                    subject.Prepare s k b
        }

    for law, case in drawn subject 20 do
        Assert.Equal(law.Id, case.Law)
        Assert.True(law.Fixed || inDomain law case, Case.print case)
        calls <- 0

        match law.Judge counting case with
        | Holds evidence ->
            Assert.True(evidence.Elements > 0L)
            Assert.True(calls > 0 || law.Kind = KitLaw || law.Kind = Contractual, Case.print case)
        | Unsupported _ -> Assert.True(subject.Profile.Traits.KernelSizes.Count > 0 || name = "depthwise", Case.print case)
        | NotApplicable reason ->
            let known =
                [
                    "both sides are the same call"
                    "this input does not tell all parameters apart"
                    "only a fixed tree of rounded +, × and FMA is monotone"
                    "the figure is off the certificate's grid: judged by the bound"
                    "quantised operands have no NaN"
                    "a bilinear algorithm may turn infinities into NaN"
                    "transforms round what has every bit: the bound decides"
                    "its partial sums are no sums of products in a floating-point format"
                    "so many terms leave no room for small ones"
                    "no lemma for subnormals under its arithmetic"
                    "its arithmetic has no exact tier: the bound decides"
                    "its declared formats end below 2^127"
                    "its declared formats end below the scaled numbers"
                    "no order of sums is declared, or no determinism"
                    "its partial sums are wider than float32, or add more than two at a time"
                    "the shape is none that it takes in place"
                    "nothing to compare"
                    "it takes no workspace"
                    "what it prepares takes no number of threads"
                    "the same bits in any batch are not promised"
                    "how it rounds a product or a sum is not declared"
                ]

            Assert.Contains(reason, known)
        | Undecided reason ->
            // Only bounds of bilinear algorithms and of narrow formats have conditions that a drawn case may miss: no matter of grids.
            Assert.Equal("no finite bound for these values", reason)
            Assert.Equal(Bounded, case.Tier)
            Assert.False(subject.Profile.ArithmeticOf case.Problem :? AnyOrder, Case.print case)
        | Breaks _
        | Faulted _ -> Assert.Fail $"{law.Id} accuses {name}: {Case.print case}"

let private candidates case = Drawing.caseShrinks case

[<Property(Arbitrary = [| typeof<Arbitraries> |], MaxTest = 300)>]
let ``every shrink is a smaller case of the same law`` (AnyCase case) =
    let law = (All.tryFind case.Law).Value
    let before = Shrink.measure case

    for candidate in candidates case |> Seq.truncate 300 do
        Assert.True(law.Fixed || inDomain law candidate, Case.print candidate)
        Assert.True(Shrink.measure candidate < before)
        Assert.Equal(case.Tier, candidate.Tier)
        Assert.Equal((None, candidate), Case.parse (Case.print candidate))

[<Property(Arbitrary = [| typeof<Arbitraries> |], MaxTest = 60)>]
let ``shrinking comes to an end, whichever way it goes`` (AnyCase case) (seed: uint64) =
    let mutable now, steps, ended = case, 0, false

    while not ended do
        Assert.True(steps < 20_000)
        // Now the boldest, now one further down.
        let skip = int (Fill.mix (seed + uint64 steps) % 4UL) * (steps % 2)

        match candidates now |> Seq.truncate (skip + 1) |> Seq.tryLast with
        | Some next -> now <- next
        | None -> ended <- true

        steps <- steps + 1

[<Fact>]
let ``shrinking everything away leaves one of each`` () =
    let law = (All.tryFind "MODEL-EXACT").Value
    let rec descend case = candidates case |> Seq.tryHead |> Option.map descend |> Option.defaultValue case

    for index in 0..20 do
        let smallest = descend (Address.case 3UL law (find "loop").Profile Exact index)
        Assert.Equal(ConvShape(1, 1, 1, 1, 1, 1, 1), smallest.Problem)
        Assert.Equal<int list>([ 0; 0; 0 ], smallest.Args)
        Assert.True((smallest.Fill = Explicit []))

[<Fact>]
let ``a drawn fill is listed without changing a value`` () =
    let law = (All.tryFind "MODEL-EXACT").Value

    let mutable listed = 0

    for index in 0..40 do
        let case = Address.case 5UL law (find "loop").Profile Exact index

        for candidate in candidates case do
            match candidate.Fill with
            | Explicit _ when candidate.Problem = case.Problem ->
                listed <- listed + 1
                let s = case.Problem

                let same role dims =
                    Assert.Equal<float[]>((Fill.tensor case.Fill role dims).Data, (Fill.tensor candidate.Fill role dims).Data)

                same Role.Input (s.Batch, s.InChannels, s.InHeight, s.InWidth)
                same Role.Kernel (s.OutChannels, s.InChannelsPerGroup, s.KernelHeight, s.KernelWidth)
                same Role.Bias (s.OutChannels, 1, 1, 1)
            | _ -> ()

    Assert.True(listed > 5)

[<Property(Arbitrary = [| typeof<Arbitraries> |], MaxTest = 500)>]
let ``a line replays its case, whoever the subject is`` (AnyCase case) =
    let line = Case.print case
    Assert.DoesNotContain("\n", line)
    Assert.Equal((None, case), Case.parse line)
    Assert.Equal((Some "native:libx.so", case), Case.parse ("subject=native:libx.so " + line))
    Assert.Equal((Some "loop", case), Case.parse (line + "  subject=loop "))

[<Fact>]
let ``large numbers stand among small ones, or meet weights of zero`` () =
    let tensor kind role = (Fill.tensor (Drawn(kind, 5UL)) role (4, 6, 8, 8)).Data
    let large = tensor Spiked Role.Input |> Array.filter (fun v -> abs v > 1.0)
    // One in 32 of 1,536.
    Assert.InRange(large.Length, 24, 96)
    Assert.All(large, (fun v -> Assert.InRange(abs v, 1.0, Math.ScaleB(1.0, 30))))
    let x, k = tensor Sheltered Role.Input, tensor Sheltered Role.Kernel
    Assert.Contains(x, (fun v -> abs v > Math.ScaleB(1.0, 38)))

    for at in 0 .. x.Length - 1 do
        Assert.True(abs x[at] <= 1.0 || k[at] = 0.0)

    Assert.Contains(k, (fun v -> v <> 0.0))

[<Property>]
let ``a corner of a drawn tensor does not depend on the rest`` (seed: uint64) =
    let tensor dims = Fill.tensor (Drawn(Wide, seed)) Role.Kernel dims
    let small, large = tensor (2, 3, 2, 3), tensor (4, 5, 3, 4)

    for at in 0 .. small.Length - 1 do
        let struct (i0, i1, i2, i3) = small.Coordinates at
        Assert.Equal(large[i0, i1, i2, i3], small.Data[at])

[<Property>]
let ``a choice stays in its range and is reached by its own argument`` (raw: NonNegativeInt) (lo: int16) (more: NonNegativeInt) =
    let case =
        (AnyCase >> fun (AnyCase c) -> c) { (Drawing.case |> Gen.sample 1)[0] with Args = [ 0; raw.Get ] }

    let lo = int lo
    let hi = lo + more.Get % 1000
    Assert.InRange(Case.choose case 1 lo hi, lo, hi)
    Assert.Equal(lo + raw.Get % (hi - lo + 1), Case.choose case 1 lo hi)
    Assert.Equal(lo, Case.choose case 0 lo hi)
    Assert.Equal(lo, Case.choose case 7 lo hi)

let private problem = "c=1 h=3 w=3 o=1 kh=2 kw=2"

[<Theory>]
[<InlineData("", "needs the field 'tier'")>]
[<InlineData("law=FIGURE tier=exact c=1 h=3 w=3 o=1 kh=2 kw=2", "needs the field 'fill'")>]
[<InlineData("tier=exact {p} fill=uniform seed=0x1", "needs the field 'law'")>]
[<InlineData("law=FIGURE {p} fill=uniform seed=0x1", "needs the field 'tier'")>]
[<InlineData("law=FIGURE tier=real {p} fill=uniform seed=0x1", "'real' is not a tier")>]
[<InlineData("format=999 law=FIGURE tier=exact {p} fill=uniform seed=0x1", "has format 999")>]
[<InlineData("law=FIGURE tier=exact {p} fill=uniform", "needs the field 'seed'")>]
[<InlineData("law=FIGURE tier=exact {p} fill=uniform seed=0xg", "'0xg' is not a fill")>]
[<InlineData("law=FIGURE tier=exact {p} fill=uniform seed=0x0x1", "'0x0x1' is not a fill")>]
[<InlineData("law=FIGURE tier=exact {p} fill=uniform seed=0x11111111111111111", "is not a fill")>]
[<InlineData("law=FIGURE tier=exact {p} fill=gauss seed=0x1", "'gauss' is not a fill")>]
[<InlineData("law=FIGURE tier=exact {p} fill=lattice:1,2,3 seed=0x1", "is not a fill")>]
[<InlineData("law=FIGURE tier=exact {p} fill=lattice:1,2,3,4,5,6,0 seed=0x1", "is not a fill")>]
[<InlineData("law=FIGURE tier=exact {p} fill=lattice:-1,2,3,4,5,6,1 seed=0x1", "is not a fill")>]
[<InlineData("law=FIGURE tier=exact {p} fill=lattice:2000000000,2,3,4,5,6,1 seed=0x1", "is not a fill")>]
[<InlineData("law=FIGURE tier=exact {p} fill=lattice:1,2,3,4,5000,6,1 seed=0x1", "is not a fill")>]
[<InlineData("law=FIGURE tier=exact {p} fill=explicit", "needs the field 'values'")>]
[<InlineData("law=FIGURE tier=exact {p} fill=explicit values=x:0.0.0=1", "is not a fill")>]
[<InlineData("law=FIGURE tier=exact {p} fill=explicit values=y:0.0.0.0=1", "is not a fill")>]
[<InlineData("law=FIGURE tier=exact {p} fill=explicit values=x:0.0.0.-1=1", "is not a fill")>]
[<InlineData("law=FIGURE tier=exact {p} fill=explicit values=x:0.0.0.0=one", "is not a fill")>]
[<InlineData("law=FIGURE tier=exact {p} args=1,-2 fill=uniform seed=0x1", "'-2' is not an argument")>]
[<InlineData("law=FIGURE tier=exact {p} args=1,a fill=uniform seed=0x1", "'a' is not an argument")>]
[<InlineData("law=FIGURE tier=exact {p} args=99999999999 fill=uniform seed=0x1", "is not an argument")>]
[<InlineData("law=FIGURE law=ODD tier=exact {p} fill=uniform seed=0x1", "'law' is given twice")>]
[<InlineData("law=FIGURE tier=exact {p} fill=uniform seed=0x1 c=1", "'c' is given twice")>]
[<InlineData("law=FIGURE tier=exact {p} fill=uniform seed=0x1 nonsense", "'nonsense' is not a field")>]
[<InlineData("law=FIGURE tier=exact {p} fill=uniform seed=0x1 q=1", "'q' is not a field")>]
[<InlineData("law=FIGURE tier=exact {p} sh=0 fill=uniform seed=0x1", "strideHeight")>]
[<InlineData("law=FIGURE tier=exact {p} g=2 fill=uniform seed=0x1", "groups = 2")>]
[<InlineData("law=FIGURE tier=exact c=1 h=3 w=3 o=1 kh=4 kw=2 fill=uniform seed=0x1", "The dilated kernel spans 4")>]
let ``a line that is no case is refused in one sentence`` (line: string, expected: string) =
    let error = Record.Exception(fun () -> Case.parse (line.Replace("{p}", problem)) |> ignore)
    Assert.True(error :? FormatException || error :? ArgumentException, string error)
    Assert.Contains(expected, error.Message)
    // ArgumentException adds the parameter in parentheses, ArgumentOutOfRangeException a line with the value.
    let sentence = (error.Message.Split " (Parameter")[0]
    Assert.EndsWith(".", sentence)
    Assert.DoesNotContain(". ", sentence)
