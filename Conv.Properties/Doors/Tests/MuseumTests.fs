/// The kit held to what it claims: every piece of the museum is killed with every seed, with a case small enough to check by hand and a
/// line that replays it; each law kills a piece; and the textbook convolutions that the pieces are made from break nothing.
module Conv.Properties.MuseumTests

open System
open System.IO
open System.Threading.Tasks
open Xunit
open Conv

let private fails verdict =
    match verdict with
    | Breaks _
    | Faulted _ -> true
    | _ -> false

let private law id =
    match All.tryFind id with
    | Some law -> law
    | None -> failwith $"No law is called {id}."

let private asked (subject: Subject) (law: Law) = law.Needs |> List.forall subject.Profile.Capabilities.Contains

/// A row of docs/museum.tsv.
type private Recorded =
    {
        /// The seeds with which it was killed.
        Seeds: int
        /// Cases to the first kill, the median.
        Cases: float
        /// The laws that killed it when the page was made, soonest first.
        Laws: string list
    }

let private recorded =
    lazy
        (let lines = File.ReadAllLines(Path.Combine(DocumentTests.root (), "docs", "museum.tsv"))
         let laws = lines[0].Split '\t' |> Array.skip 4

         dict
             [
                 for line in Array.tail lines do
                     let cells = line.Split '\t'

                     let killers =
                         [
                             for law, cell in Array.zip laws (Array.skip 4 cells) do
                                 match cell.TrimStart('m', 'l') |> Int32.TryParse with
                                 | true, cases -> (cell.Length > 0 && Char.IsLetter cell[0], cases), law
                                 | _ -> ()
                         ]

                     cells[0],
                     {
                         Seeds = int (cells[2].Split(' ')[0])
                         Cases = Double.Parse(cells[3], Globalization.CultureInfo.InvariantCulture)
                         Laws = killers |> List.sortBy fst |> List.map snd
                     }
             ])

/// The law that fails first on a piece: of those that are known to kill it, or, where they have ceased to, of all in their turns.
let private kill options (piece: Piece) =
    let known =
        match recorded.Value.TryGetValue piece.Id with
        // A fixed case kills with the first, but takes as long as a thousand others: it is asked where nothing else is known to kill.
        | true, row ->
            match row.Laws |> List.choose All.tryFind |> List.partition _.Fixed with
            | dear, [] -> dear
            | _, laws -> List.truncate 4 laws
        | _ -> []

    Kills.first options known piece.Subject
    |> Option.orElseWith (fun () -> Kills.first options (Order.arrange All.laws) piece.Subject)

/// The seeds of the page; fewer where most of them take long.
let private seedsOf id =
    match recorded.Value.TryGetValue id with
    | true, row when row.Cases > 300.0 || Double.IsNaN row.Cases -> 3
    | _ -> 20

/// Whether the page says that a piece survives some seeds.
let private survivesSome id =
    match recorded.Value.TryGetValue id with
    | true, row -> row.Seeds < 20
    | _ -> false

let private killed (id: string) =
    let piece = (Museum.tryFind id).Value

    let mutable fixedCase = false
    let mutable dead = false

    for seed in 0 .. seedsOf id - 1 do
        let options = { Run.defaults with Seed = uint64 seed }

        // A fixed case is the same with every seed.
        match (if fixedCase then None else kill options piece) with
        | None when fixedCase || survivesSome id -> ()
        | None -> Assert.Fail $"{id} survives every law with seed {seed}: {piece.Fault}"
        | Some first when not dead ->
            dead <- true
            let law = first.Law
            fixedCase <- law.Fixed

            let failure =
                law.Tiers
                |> Seq.pick (fun tier -> (Run.law options law piece.Subject tier).Failure)

            let line = Case.print failure.Shrunk
            let replayed = Case.parse line |> snd
            Assert.Equal(failure.Shrunk, replayed)
            Assert.True(fails failure.Verdict, $"shrinking lost the failure of {law.Id}: {line}")
            // A race is not lost each time.
            let tries = if law.Id = "CONCURRENT-CALLERS" then 50 else 1
            Pursuit.renew piece.Subject
            let replays = Seq.init tries (fun _ -> law.Judge piece.Subject replayed)
            Assert.True(Seq.exists fails replays, $"{law.Id} holds on its own line: {line}")
            // Shrinking may find nothing smaller, but never something larger.
            Assert.True(Shrink.measure failure.Shrunk <= Shrink.measure failure.Drawn, line)
        | Some _ -> ()

    Assert.True(dead, $"{id} survives every law with every seed that was tried: {piece.Fault}")

let private everyOther remainder =
    let data = TheoryData<string>()

    for at, piece in List.indexed Museum.all do
        if at % 2 = remainder then
            data.Add piece.Id

    data

/// Classes run side by side, the tests of one after each other: two for two cores.
module Even =
    let pieces () = everyOther 0

    [<Theory; MemberData(nameof pieces)>]
    let ``is killed as the page says, shrunk and replayed`` (piece: string) = killed piece

module Odd =
    let pieces () = everyOther 1

    [<Theory; MemberData(nameof pieces)>]
    let ``is killed as the page says, shrunk and replayed`` (piece: string) = killed piece

module Laws =
    let laws () =
        let data = TheoryData<string>()

        for law in All.laws do
            data.Add law.Id

        data

    [<Theory; MemberData(nameof laws)>]
    let ``kills a piece`` (id: string) =
        let law = law id
        let asked = Museum.all |> List.filter (fun piece -> asked piece.Subject law)

        let kills cases (piece: Piece) =
            law.Tiers
            |> Seq.exists (fun tier ->
                Seq.init (if law.Fixed then 1 else cases) (Address.case Run.defaults.Seed law piece.Subject.Profile tier)
                |> Seq.exists (law.Judge piece.Subject >> fails))

        // A few cases of every piece first: most laws need no more.
        let killed =
            [ 4; 25; Run.defaults.Cases ]
            |> Seq.tryPick (fun cases -> asked |> Seq.tryFind (kills cases))

        Assert.True(killed.IsSome, $"No piece breaks {id}: a law that nothing breaks detects nothing.")

    [<Fact>]
    let ``the turns are those of laws that exist`` () =
        Assert.NotEmpty Order.turns.All

        for turn in Order.turns.All do
            Assert.Contains(turn.Tier, (law turn.Law).Tiers |> List.map _.Name)

    [<Fact>]
    let ``arranging loses no law`` () =
        Assert.Equal<string list>(All.laws |> List.map _.Id |> List.sort, Order.arrange All.laws |> List.map _.Id |> List.sort)

    let private flipped = (Museum.tryFind "m193-flipped-kernel").Value

    [<Fact>]
    let ``take turns of one case, the given turns first`` () =
        let options = { Run.defaults with Cases = 50; Turns = Order.noTurns }
        // The first holds on a flipped kernel, which is zero as it is; the second breaks.
        let laws = [ law "ZERO-KERNEL"; law "IMPULSE-INPUT" ]
        Assert.Equal<Tier list>([ Exact ], (law "IMPULSE-INPUT").Tiers)
        let session = Run.Session(options, law "IMPULSE-INPUT", flipped.Subject, Exact)

        while not session.Ended do
            session.Step()

        Assert.True session.Found.IsSome
        let cases turns = (Kills.first { options with Turns = turns } laws flipped.Subject).Value.Cases
        // The other law has had the part of its cases that this one had.
        let planned id = float (Run.plannedCases options (law id) Exact)
        let part = (float session.Cases - 0.5) / planned "IMPULSE-INPUT"

        let others =
            Seq.initInfinite (fun at -> (float at + 0.5) / planned "ZERO-KERNEL")
            |> Seq.takeWhile (fun due -> due <= part)
            |> Seq.length

        Assert.Equal(session.Cases + others, cases Order.noTurns)
        let turn: Order.Turn = { Law = "IMPULSE-INPUT"; Tier = "exact"; Size = Reach.Small }
        Assert.Equal(session.Cases, cases (Order.Turns(List.replicate session.Cases turn)))

    [<Fact>]
    let ``the next turn has the most expected kills a millisecond`` () =
        let cell id kill milliseconds : Kills.Cell =
            {
                Law = law id
                Tier = Exact
                Size = Reach.Small
                Kill = kill
                Cases = 1
                Milliseconds = milliseconds
                Failure = lazy None
            }

        let rows: Kills.Row list =
            [
                { Piece = flipped; Cells = [ cell "FLIP" (Some 1) 1.0; cell "ODD" None 10.0 ] }
                {
                    Piece = Museum.all[1]
                    Cells = [ cell "FLIP" None 1.0; cell "ODD" (Some 1) 10.0 ]
                }
            ]

        // Each turn of FLIP leaves a third: 2/3, 2/9 and 2/27 a millisecond exceed the 2/30 of ODD, 2/81 does not.
        Assert.NotEqual<string>(flipped.Id, Museum.all[1].Id)
        let turns = Kills.order rows |> List.map _.Turn.Law
        Assert.Equal<string list>([ "FLIP"; "FLIP"; "FLIP"; "ODD" ], turns)

module Baseline =
    let private accuses id (subject: Subject) =
        let baseline = Baselines.all |> List.find (fun law -> law.Id = id)
        (Kills.first { Run.defaults with Cases = 60; Turns = Order.noTurns } [ baseline ] subject).IsSome

    let private ours name = Ours.implementations |> List.find (fun s -> s.Name = name)

    [<Fact>]
    let ``sees a flipped kernel`` () =
        for baseline in Baselines.all do
            Assert.True(accuses baseline.Id (Museum.tryFind "m193-flipped-kernel").Value.Subject, baseline.Id)

    [<Fact>]
    let ``of integers is right about the loop, and normal data are wrong about float16`` () =
        Assert.False(accuses "INTEGERS" (ours "loop"))
        Assert.True(accuses "NORMAL-PYTORCH" (ours "float16"))

module Honest =
    let private subjects =
        [
            TextbookAdjoint.subject "textbook" TextbookAdjoint.honest
            TextbookMemory.subject "textbook on memory" TextbookMemory.honest
            TextbookMemory.subjectWithRoom "textbook with room" TextbookMemory.honest
            TextbookGeometry.subject "textbook geometry" TextbookGeometry.honest
            TextbookGeometry.product "textbook product" TextbookGeometry.honestProduct
            TextbookWinograd.subjectOfTiles "textbook tiles of two" (TextbookWinograd.honest TextbookWinograd.f2x3)
            TextbookWinograd.subject "textbook tiles of four" (TextbookWinograd.honest TextbookWinograd.f4x3)
            TextbookGemm.subject "textbook packed product" TextbookGemm.honest
            TextbookTiled.subject "textbook rows and vectors" TextbookTiled.honest
        ]

    let laws () =
        let data = TheoryData<string, string>()

        for subject in subjects do
            for law in All.laws do
                if asked subject law then
                    data.Add(subject.Name, law.Id)

        data

    [<Theory; MemberData(nameof laws)>]
    let ``holds on the textbook`` (subject: string) (id: string) =
        let law, subject = law id, subjects |> List.find (fun s -> s.Name = subject)
        let results = [ for tier in law.Tiers -> Run.law Run.defaults law subject tier ]
        let cell = Conclusion.matrix [ law ] [ subject ] results |> List.exactlyOne

        match cell.Status with
        // Tiles alone take no shape of some laws.
        | Conclusion.Refused -> Assert.Equal("textbook tiles of two", subject.Name)
        // It promises nothing of batches.
        | Conclusion.Inapplicable _ -> Assert.Equal("BATCH-INVARIANT", law.Id)
        | status -> Assert.Equal(Conclusion.Held, status)

/// Those that are not on the page yet: each with the law that was made, or widened, for it.
module Later =
    [<Theory>]
    [<InlineData("q262-ring-of-eight", "PREPARED-LIFE")>]
    [<InlineData("q263-table-of-the-first-thread", "CALLING-THREAD")>]
    [<InlineData("q264-transposed-saturates", "NAN-GRADIENT")>]
    [<InlineData("q265-bias-gradient-in-fixed-point", "MODEL-BACKWARD")>]
    [<InlineData("q266-equal-weights-by-running-sums", "NAN-LOCAL")>]
    let ``is killed with every seed, and replayed`` (id: string) (by: string) =
        let piece = (Museum.tryFind id).Value
        Assert.Contains(piece, Museum.later)

        for seed in 0UL .. 4UL do
            Pursuit.renew piece.Subject
            let options = { Run.defaults with Seed = seed; Threads = 1 }

            match (Run.law options (law by) piece.Subject Exact).Failure with
            | None -> Assert.Fail $"{by} holds with seed {seed}."
            | Some failure ->
                Pursuit.renew piece.Subject
                Assert.True(fails ((law by).Judge piece.Subject failure.Shrunk), Case.print failure.Shrunk)

module Catalogue =
    [<Fact>]
    let ``has at least 160 pieces, of different names`` () =
        Assert.True(Museum.all.Length >= 160)
        Assert.Equal(Museum.all.Length, (Museum.all |> List.distinctBy _.Id).Length)
        Assert.Equal(Museum.all.Length, (Museum.all |> List.distinctBy _.Subject.Name).Length)

    [<Fact>]
    let ``each piece says where it comes from and is found by its name`` () =
        for piece in Museum.all do
            let own = piece.Reports.Head
            Assert.StartsWith(own.Id + "-", piece.Id, StringComparison.OrdinalIgnoreCase)
            Assert.All([ piece.Fault; own.Reference; own.Class ], (fun text -> Assert.NotEqual<string>("", text)))
            Assert.Equal("museum:" + piece.Id, piece.Subject.Name)
            Assert.Same(piece, Museum.tryFind piece.Id |> Option.get)

        Assert.True((Museum.tryFind "no-such-piece").IsNone)

    [<Fact>]
    let ``each report has a piece, and no number is used twice`` () =
        Assert.Equal(Report.all.Length, (Report.all |> List.distinctBy _.Id).Length)

        for report in Report.all do
            Assert.True((Museum.tryFind report.Piece).IsSome, $"{report.Id} is imitated by nobody.")

        let numbered letter = Report.all |> List.filter (fun report -> report.Id.StartsWith(letter: string))
        Assert.Equal(253, (numbered "M").Length)
        Assert.Equal(56, (numbered "S").Length)

    [<Theory>]
    [<InlineData("M193", "https://github.com/webmachinelearning/webnn/pull/40")>]
    [<InlineData("M043", "https://github.com/uxlfoundation/oneDNN/issues/756")>]
    [<InlineData("M001", "https://github.com/oneapi-src/oneDNN/commit/53d6f65030")>]
    [<InlineData("M060", "https://github.com/tensorflow/tfjs/commit/63f85637a")>]
    [<InlineData("M074", "https://github.com/tinygrad/tinygrad/commit/5f32f7a06b")>]
    [<InlineData("M088", "https://github.com/Tencent/ncnn/issues/1339")>]
    let ``a report is linked where it can be read`` (id: string, link: string) =
        Assert.Equal(Some link, Report.all |> List.find (fun report -> report.Id = id) |> Report.link)

    [<Theory>]
    // `printf M193 | sha256sum` begins with 874e3c59, which is 2 mod 5; M192 with 7e9e9d6d, 0 mod 5.
    [<InlineData("m193-flipped-kernel", false)>]
    [<InlineData("m192-batch-off-the-block", true)>]
    let ``the number of a piece alone decides whether it is held out`` (id: string, held: bool) =
        Assert.Equal(held, (Museum.tryFind id).Value.IsHeldOut)
        Assert.InRange(Museum.all |> List.filter _.IsHeldOut |> List.length, Museum.all.Length / 8, Museum.all.Length / 3)

/// docs/museum.md and museum.tsv, which `museum` writes.
module Pages =
    let private read name = File.ReadAllText(Path.Combine(DocumentTests.root (), "docs", name))

    let private ids = lazy (Museum.all |> List.map _.Id |> List.sort)

    [<Fact>]
    let ``show every piece, and no other`` () =
        let shown =
            (read "museum.md").Split '\n'
            |> Array.filter _.StartsWith("### ")
            |> Array.map (fun line -> line.Substring 4)
            |> Array.sort

        Assert.Equal<string seq>(ids.Value, shown)
        Assert.Equal<string seq>(ids.Value, recorded.Value.Keys |> Seq.sort)

    [<Fact>]
    let ``tell at least 160 pieces apart by the laws that kill them`` () =
        let rows =
            recorded.Value.Values
            |> Seq.map (fun row -> List.sort row.Laws)
            |> Seq.distinct
            |> Seq.length

        Assert.True(rows >= 160, $"{rows} distinct rows")
        Assert.All(recorded.Value.Values, (fun row -> Assert.NotEmpty row.Laws))

    /// All of them, in three parts.
    let counterexamples () =
        let data = TheoryData<int>()
        [ 0..2 ] |> List.iter data.Add
        data

    [<Theory; MemberData(nameof counterexamples)>]
    let ``show counterexamples that break the law that they name`` (third: int) =
        let alone = "Smallest counterexample, of"

        let lines =
            (read "museum.md").Split '\n'
            |> Array.windowed 4
            |> Array.filter (fun window -> window[0].StartsWith alone && window[3].StartsWith "replay")
            |> Array.map (fun window -> window[3].Substring("replay \"".Length).TrimEnd '"')

        Assert.True(lines.Length >= ids.Value.Length * 9 / 10, $"{lines.Length} counterexamples")

        for at in third..3 .. lines.Length - 1 do
            let named, case = Case.parse lines[at]
            let piece = (Museum.tryFind (named.Value.Substring "museum:".Length)).Value

            // A race is lost when two callers meet, which is up to the system: not each time.
            let tries = if case.Law = "CONCURRENT-CALLERS" then 50 else 1
            // What other tests have called on a thread is not what the line says.
            let breaks () = fails ((law case.Law).Judge piece.Subject case)
            let alone _ = Task.Factory.StartNew(breaks, TaskCreationOptions.LongRunning).Result

            Assert.True(Seq.init tries id |> Seq.exists alone, $"{lines[at]} breaks nothing")
