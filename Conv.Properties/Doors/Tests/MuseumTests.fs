/// The kit held to what it claims: each law breaks on a convolution that is wrong, each piece of the museum is caught, with a case small
/// enough to check by hand and a line that replays it, and the textbook convolution that the pieces are made from breaks nothing.
module Conv.Properties.MuseumTests

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

/// The failure of a law on a subject in the first tier that finds one.
let private failure (law: Law) subject =
    law.Tiers
    |> Seq.tryPick (fun tier -> (Run.law Run.defaults law subject tier).Failure)

let private caught id =
    let piece = Museum.tryFind id |> Option.get

    let killer =
        All.laws
        |> Seq.filter (asked piece.Subject)
        |> Seq.tryPick (fun law -> failure law piece.Subject |> Option.map (fun failure -> law, failure))

    match killer with
    | None -> Assert.Fail $"no law breaks on {id}: {piece.Fault}"
    | Some(law, failure) ->
        let line = Case.print failure.Shrunk
        let replayed = Case.parse line |> snd
        Assert.Equal(failure.Shrunk, replayed)
        Assert.True(fails failure.Verdict, $"shrinking lost the failure of {law.Id}: {line}")
        Assert.True(fails (law.Judge piece.Subject replayed), $"{law.Id} holds on its own line: {line}")
        // Shrinking may find nothing smaller, but never something larger.
        Assert.True(Shrink.measure failure.Shrunk <= Shrink.measure failure.Drawn, line)

let private named (pieces: Piece list) =
    let data = TheoryData<string>()

    for piece in pieces do
        data.Add piece.Id

    data

/// Classes run side by side, the tests of one after each other.
module Windows =
    let pieces () = named WindowPieces.all

    [<Theory; MemberData(nameof pieces)>]
    let ``is caught, shrunk and replayed`` (piece: string) = caught piece

module Channels =
    let pieces () = named ChannelPieces.all

    [<Theory; MemberData(nameof pieces)>]
    let ``is caught, shrunk and replayed`` (piece: string) = caught piece

module Algorithms =
    let pieces () = named AlgorithmPieces.all

    [<Theory; MemberData(nameof pieces)>]
    let ``is caught, shrunk and replayed`` (piece: string) = caught piece

module Numbers =
    let pieces () = named NumberPieces.all

    [<Theory; MemberData(nameof pieces)>]
    let ``is caught, shrunk and replayed`` (piece: string) = caught piece

module Gradients =
    let pieces () = named GradientPieces.all

    [<Theory; MemberData(nameof pieces)>]
    let ``is caught, shrunk and replayed`` (piece: string) = caught piece

module Operators =
    let pieces () = named OperatorPieces.all

    [<Theory; MemberData(nameof pieces)>]
    let ``is caught, shrunk and replayed`` (piece: string) = caught piece

module Memory =
    let pieces () = named MemoryPieces.all

    [<Theory; MemberData(nameof pieces)>]
    let ``is caught, shrunk and replayed`` (piece: string) = caught piece

module Threads =
    let pieces () = named ThreadPieces.all

    [<Theory; MemberData(nameof pieces)>]
    let ``is caught, shrunk and replayed`` (piece: string) = caught piece

module States =
    let pieces () = named StatePieces.all

    [<Theory; MemberData(nameof pieces)>]
    let ``is caught, shrunk and replayed`` (piece: string) = caught piece

module Specials =
    let pieces () = named SpecialPieces.all

    [<Theory; MemberData(nameof pieces)>]
    let ``is caught, shrunk and replayed`` (piece: string) = caught piece

module Edges =
    let pieces () = named EdgePieces.all

    [<Theory; MemberData(nameof pieces)>]
    let ``is caught, shrunk and replayed`` (piece: string) = caught piece

let private lawNames () =
    let data = TheoryData<string>()

    for law in All.laws do
        data.Add law.Id

    data

module Laws =
    let laws () = lawNames ()

    /// Found by judging cases, whatever the pieces say of themselves: that only orders the search.
    [<Theory; MemberData(nameof laws)>]
    let ``breaks on a piece`` (id: string) =
        let law = law id

        let breaks (piece: Piece) =
            law.Tiers
            |> Seq.exists (fun tier ->
                Seq.init Run.defaults.Cases (Address.case Run.defaults.Seed law piece.Subject.Profile tier)
                |> Seq.exists (law.Judge piece.Subject >> fails))

        let killer =
            Museum.all
            |> List.filter (fun piece -> asked piece.Subject law)
            |> Seq.tryFind breaks

        Assert.True(killer.IsSome, $"No piece breaks {id}: a law that nothing breaks detects nothing.")

module Honest =
    let private subjects =
        [
            TextbookAdjoint.subject "textbook" TextbookAdjoint.honest
            TextbookMemory.subject "textbook on memory" TextbookMemory.honest
            TextbookMemory.subjectWithRoom "textbook with room" TextbookMemory.honest
            TextbookGeometry.subject "textbook geometry" TextbookGeometry.honest
            TextbookGeometry.product "textbook product" TextbookGeometry.honestProduct
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
        Assert.Equal(Conclusion.Held, cell.Status)

module Catalogue =
    [<Fact>]
    let ``has at least twenty pieces, of different names`` () =
        Assert.True(Museum.all.Length >= 20)
        Assert.Equal(Museum.all.Length, (Museum.all |> List.distinctBy _.Id).Length)
        Assert.Equal(Museum.all.Length, (Museum.all |> List.distinctBy _.Subject.Name).Length)

    [<Fact>]
    let ``each piece says where it comes from and is found by its name`` () =
        for piece in Museum.all do
            let own = piece.Reports.Head
            Assert.StartsWith(own.Id + "-", piece.Id, System.StringComparison.OrdinalIgnoreCase)
            Assert.All([ piece.Fault; own.Reference; own.Class ], fun text -> Assert.NotEqual<string>("", text))
            Assert.Equal("museum:" + piece.Id, piece.Subject.Name)
            Assert.Same(piece, Museum.tryFind piece.Id |> Option.get)

        Assert.True((Museum.tryFind "no-such-piece").IsNone)
