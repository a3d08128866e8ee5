/// What a mutant of Conv.Core is held to (docs/mutation.md): for each operation the laws that compare with the definition, and those of
/// memory and bad calls. Mutated code is many times slower; the suite proper asks every law, and with more cases.
module Conv.Properties.MutationTests

open Xunit
open Conv

let private laws =
    [
        "FIGURE"
        "MODEL-EXACT"
        "MODEL-BOUND"
        "ADJOINT-INPUT"
        "ADJOINT-KERNEL"
        "ADJOINT-BIAS"
        "BACKWARD-INPUT-AS-CONV"
        "BACKWARD-KERNEL-AS-CONV"
        "BACKWARD-IMPULSE"
        "TRANSPOSED"
        "TRANSPOSED-SHAPE"
        "FUSED-AFFINE"
        "STRIDED-VIEWS"
        "VIEW-PARTS"
        "IN-PLACE"
        "THREAD-COUNT"
        "GUARD-ZONES"
        "WORKSPACE-POISON"
        "REJECTS-INVALID"
        "EMPTY"
        "EMPTY-BACKWARD"
        "NAN-LOCAL"
        "LEADING-DIMENSION"
        "BLOCKS"
        "SHAPE-COUNT"
        "COST"
        "SAME"
        "SAME-PERIOD"
    ]

/// As few as a law may hold with, and a seed of their own.
let private options = { Run.defaults with Seed = 2UL; Threads = 1; Cases = 12 }

let pairs =
    let data = TheoryData<string, string>()

    for law in laws |> List.choose All.tryFind do
        for subject in Ours.all do
            if law.Needs |> List.forall subject.Profile.Capabilities.Contains then
                data.Add(law.Id, subject.Name)

    data

[<Fact>]
let ``the laws are there`` () = Assert.All(laws, (fun id -> Assert.True((All.tryFind id).IsSome, id)))

[<Theory; MemberData(nameof pairs)>]
let ``a few cases do not break the law`` (law: string, subject: string) =
    let law = (All.tryFind law).Value
    let subject = Ours.all |> List.find (fun s -> s.Name = subject)

    for law, subject, tier in Rounds.jobs options [ law ] [ subject ] do
        let result = Run.law options law subject tier
        Assert.Equal(None, result.KitFault)

        match result.Failure with
        | Some failure -> Assert.Fail(Figure.lines law subject failure |> String.concat "\n")
        | None -> ()
