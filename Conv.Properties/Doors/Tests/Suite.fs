/// The xunit suite: every law × every implementation of the catalogue, a named test each. A class for each group of laws, so that the
/// cores work side by side; an implementation or a law joins by its line in `Catalogue` or in its group's list.
module Conv.Properties.Suite

open Xunit
open Conv

/// Another seed than the command line's default: the two together see more. As many cases as make a missed class decide.
let private options = { Run.defaults with Seed = 1UL; Threads = 1; Cases = Coverage.decidesFrom }

let private judge options (law: Law) (subject: Subject) =
    let results =
        Rounds.jobs options [ law ] [ subject ]
        |> Array.map (fun (l, s, tier) -> Run.law options l s tier)
        |> List.ofArray

    Conclusion.matrix [ law ] [ subject ] results |> List.head

let private silence (cell: Conclusion.Cell) =
    match cell.Status with
    | Conclusion.Inapplicable reason -> Some reason
    | Conclusion.Refused -> Some "no problem of the law is supported"
    | _ -> None

/// The pairs of a group, and for those of which the first cases say nothing, why: a test is not skipped, it says what it is.
let private pairs group =
    [
        for law in All.laws do
            for subject in Ours.all do
                if
                    law.Group = group
                    && law.Needs |> List.forall subject.Profile.Capabilities.Contains
                then
                    let reason =
                        if
                            subject.Profile.Traits.KernelSizes.Count = 0
                            && law.Strength <> May
                            && not (List.contains Workspace law.Needs || List.contains Threads law.Needs)
                            // Of whoever promises it.
                            && law.Id <> "BATCH-INVARIANT"
                            && subject.Profile.ArithmeticOf(ConvShape(1, 1, 3, 3, 1, 3, 3)) :? AnyOrder
                            && subject.Profile.Supports(ConvShape(1, 4, 3, 3, 4, 3, 3))
                        then
                            None
                        else
                            silence (judge { options with Cases = 12 } law subject)

                    law, subject, reason
    ]

let private asked group =
    let data = TheoryData<string, string>()

    for law, subject, reason in pairs group do
        if reason.IsNone then
            data.Add(law.Id, subject.Name)

    data

let private silent group =
    let data = TheoryData<string, string, string>()

    for law, subject, reason in pairs group do
        reason |> Option.iter (fun reason -> data.Add(law.Id, subject.Name, reason))

    data

let private named (law: string) (subject: string) =
    judge options (All.laws |> List.find (fun l -> l.Id = law)) (Ours.all |> List.find (fun s -> s.Name = subject))

let private hold law subject =
    let cell = named law subject

    let why =
        match cell.Status with
        | Conclusion.Held -> ""
        | Conclusion.Broken ->
            cell.Failures
            |> List.collect (Figure.lines cell.Law cell.Subject)
            |> String.concat "\n"
        | Conclusion.Open reason
        | Conclusion.Inapplicable reason -> reason
        | Conclusion.Refused -> "no problem of the law is supported"

    Assert.True(cell.Status = Conclusion.Held, why)
    Assert.True(cell.Elements > 0L, "nothing was compared")

let private saysNothing law subject (reason: string) = Assert.Equal(Some reason, silence (named law subject))

type ``Group 0: the specification``() =
    static member Asked = asked 0
    static member Silent = silent 0

    [<Theory; MemberData("Asked")>]
    member _.Holds(law: string, subject: string) = hold law subject

    [<Theory; MemberData("Silent")>]
    member _.``Says nothing about``(law: string, subject: string, reason: string) = saysNothing law subject reason

type ``Group 1: the model``() =
    static member Asked = asked 1

    /// Every implementation is asked every law of this group: none may fall silent, but where points are not dyadic or too many, and the
    /// exact tier is empty by proof.
    [<Fact>]
    member _.``leaves nobody out``() =
        let silent = pairs 1 |> List.filter (fun (_, _, reason) -> reason.IsSome)
        Assert.All(silent, (fun (_, _, reason) -> Assert.Equal(Some "its arithmetic has no exact tier: the bound decides", reason)))

        Assert.Equal<string list>(
            [ "winograd-f4x3-accurate"; "winograd-f6x3"; "winograd-f4x5" ],
            silent |> List.map (fun (_, subject, _) -> subject.Name) |> List.distinct
        )

    [<Theory; MemberData("Asked")>]
    member _.Holds(law: string, subject: string) = hold law subject

type ``Group 2: algebra``() =
    static member Asked = asked 2
    static member Silent = silent 2

    [<Theory; MemberData("Asked")>]
    member _.Holds(law: string, subject: string) = hold law subject

    [<Theory; MemberData("Silent")>]
    member _.``Says nothing about``(law: string, subject: string, reason: string) = saysNothing law subject reason

type ``Group 3: geometry``() =
    static member Asked = asked 3
    static member Silent = silent 3

    [<Theory; MemberData("Asked")>]
    member _.Holds(law: string, subject: string) = hold law subject

    [<Theory; MemberData("Silent")>]
    member _.``Says nothing about``(law: string, subject: string, reason: string) = saysNothing law subject reason

type ``Group 4: adjoints``() =
    static member Asked = asked 4

    /// Whoever offers these operations is asked every law of this group.
    [<Fact>]
    member _.``leaves nobody out``() = Assert.Empty(pairs 4 |> List.filter (fun (_, _, reason) -> reason.IsSome))

    [<Theory; MemberData("Asked")>]
    member _.Holds(law: string, subject: string) = hold law subject

type ``Group 5: resources``() =
    static member Asked = asked 5
    static member Silent = silent 5

    [<Theory; MemberData("Asked")>]
    member _.Holds(law: string, subject: string) = hold law subject

    [<Theory; MemberData("Silent")>]
    member _.``Says nothing about``(law: string, subject: string, reason: string) = saysNothing law subject reason

type ``Group 6: floating point``() =
    static member Asked = asked 6
    static member Silent = silent 6

    [<Theory; MemberData("Asked")>]
    member _.Holds(law: string, subject: string) = hold law subject

    [<Theory; MemberData("Silent")>]
    member _.``Says nothing about``(law: string, subject: string, reason: string) = saysNothing law subject reason

type ``Group 7: further laws``() =
    static member Asked = asked 7
    static member Silent = silent 7

    [<Theory; MemberData("Asked")>]
    member _.Holds(law: string, subject: string) = hold law subject

    [<Theory; MemberData("Silent")>]
    member _.``Says nothing about``(law: string, subject: string, reason: string) = saysNothing law subject reason
