/// The architecture: laws that say what they are for, a specification that lists them, a core that stands alone, green that is earned.
module Conv.Properties.KitTests

open System
open System.IO
open System.Text.RegularExpressions
open Xunit
open Conv

let private repository =
    let rec up (folder: DirectoryInfo | null) =
        match folder with
        | null -> failwith "docs/specification.md is in no folder above the tests."
        | folder when File.Exists(Path.Combine(folder.FullName, "docs", "specification.md")) -> folder.FullName
        | folder -> up folder.Parent

    up (DirectoryInfo AppContext.BaseDirectory)

/// The laws that the specification lists under each clause.
let private listed =
    let text = File.ReadAllText(Path.Combine(repository, "docs", "specification.md"))

    let clauses =
        Regex.Matches(text, @"^\*\*([A-Z]+-\d+)\*\* \((MUST|SHOULD|MAY)\)", RegexOptions.Multiline)
        |> List.ofSeq

    [
        for index, clause in List.indexed clauses do
            let last = if index + 1 < clauses.Length then clauses[index + 1].Index else text.Length
            let body = text.Substring(clause.Index, last - clause.Index)
            let laws = Regex.Match(body, @"^Laws: ([^.]*)\.", RegexOptions.Multiline).Groups[1].Value

            let ids =
                Regex.Matches(laws, @"[A-Z0-9]+(-[A-Z0-9]+)*-?[A-Z0-9]+")
                |> Seq.map _.Value
                |> set

            clause.Groups[1].Value, (clause.Groups[2].Value, ids)
    ]
    |> Map

[<Fact>]
let ``every law says what it is for`` () =
    Assert.True(All.laws.Length >= 38)

    for law in All.laws do
        Assert.Matches("^[A-Z0-9]+(-[A-Z0-9]+)*$", law.Id)

        for text in [ law.Clause; law.Statement; law.Source; law.Detects; law.Domain ] do
            Assert.False(String.IsNullOrWhiteSpace text, law.Id)

        Assert.NotEmpty law.Tiers
        Assert.NotEmpty law.Needs

    Assert.Equal(All.laws.Length, All.laws |> List.distinctBy _.Id |> List.length)
    Assert.Equal(All.laws.Length, All.laws |> List.distinctBy _.Statement |> List.length)

[<Fact>]
let ``every law stands under its clauses, with their strength`` () =
    for law in All.laws do
        for clause in law.Clause.Split(", ") do
            Assert.True(listed.ContainsKey clause, $"{law.Id}: the specification has no clause {clause}.")
            let strength, laws = listed[clause]
            Assert.True(laws.Contains law.Id, $"{clause} does not list {law.Id}.")
            Assert.Equal(strength, law.Strength.ToString().ToUpperInvariant())

[<Fact>]
let ``every law that a clause lists exists`` () =
    Assert.True(listed.Count >= 25)

    for KeyValue(clause, (_, laws)) in listed do
        for id in laws do
            Assert.True((All.tryFind id).IsSome, $"{clause} lists {id}, which is no law.")

[<Fact>]
let ``a law is found by its id in any case`` () =
    for law in All.laws do
        Assert.Same(law, (All.tryFind (law.Id.ToLowerInvariant())).Value)

    Assert.True((All.tryFind "NO-SUCH-LAW").IsNone)

[<Fact>]
let ``the core needs the base class library alone`` () =
    let core = typeof<ConvShape>.Assembly
    let framework = Path.GetDirectoryName(typeof<obj>.Assembly.Location)
    Assert.NotEmpty(core.GetReferencedAssemblies())

    for reference in core.GetReferencedAssemblies() do
        Assert.True(File.Exists(Path.Combine(string framework, $"{reference.Name}.dll")), $"Conv.Core refers to {reference.Name}.")

// ---- green must be earned

let private loop = Ours.implementations |> List.find (fun subject -> subject.Name = "loop")
let private law id = (All.tryFind id).Value

let private conclude laws subject =
    let options = { Run.defaults with Cases = 60; Threads = 1; Tiers = [ Exact ] }
    let results = Rounds.all options (Rounds.jobs options laws [ subject ]) ignore
    Conclusion.ofSubject subject (Conclusion.matrix laws [ subject ] results)

[<Fact>]
let ``a subject that conforms, one that violates, one that says nothing`` () =
    let laws = [ law "MODEL-EXACT"; law "ODD" ]

    let broken =
        { loop with
            Forward = fun s x k b -> loop.Forward s x k b |> Array.map (fun y -> y + 1f)
        }

    let refusing = { loop with Profile = { loop.Profile with Supports = fun _ -> false } }
    let opaque = { broken with Profile = { loop.Profile with ArithmeticOf = fun _ -> Opaque() } }

    let verdicts =
        [ conclude laws loop; conclude laws broken; conclude laws refusing; conclude laws opaque ]

    match verdicts with
    | [ Conclusion.Conforms; Conclusion.Violates; Conclusion.Unsettled _; Conclusion.Unsettled _ ] -> ()
    | other -> Assert.Fail $"%A{other}"

    Assert.Equal<int list>([ 0; 1; 4; 4 ], verdicts |> List.map (fun v -> Conclusion.exitCode [ v ]))
    Assert.Equal(1, Conclusion.exitCode verdicts)
    Assert.Equal(4, Conclusion.exitCode [ Conclusion.Conforms; Conclusion.Unsettled [] ])

[<Fact>]
let ``a subject that no selected law can be asked of is silent, and alone settles nothing`` () =
    let pointwise = Ours.implementations |> List.find (fun s -> s.Name = "pointwise")
    let verdict = conclude [ law "SEPARABLE" ] pointwise
    Assert.True(verdict.IsSilent)
    Assert.True((conclude [ law "MODEL-EXACT" ] Ours.convShape).IsSilent)
    Assert.Equal(4, Conclusion.exitCode [ verdict ])
    Assert.Equal(0, Conclusion.exitCode [ verdict; Conclusion.Conforms ])

[<Fact>]
let ``a broken SHOULD only warns`` () =
    // Adds one to negative outputs' magnitudes, which is odd no more, and keeps MODEL-EXACT out of the selection.
    let skewed =
        { loop with
            Forward = fun s x k b -> loop.Forward s x k b |> Array.map (fun y -> if y < 0f then y - 1f else y)
        }

    let results =
        Rounds.all { Run.defaults with Cases = 60; Threads = 1 } (Rounds.jobs Run.defaults [ law "ODD" ] [ skewed ]) ignore

    Assert.Contains(Conclusion.matrix [ law "ODD" ] [ skewed ] results, (fun c -> c.Status = Conclusion.Broken))

    match
        conclude
            [ law "ODD"; law "ZERO-KERNEL" ]
            { skewed with
                Forward = fun s x k b -> if Array.forall ((=) 0f) k then loop.Forward s x k b else skewed.Forward s x k b
            }
    with
    | Conclusion.Conforms -> ()
    | other -> Assert.Fail $"%A{other}"

[<Fact>]
let ``faults are told apart from wrong numbers`` () =
    let judge forward =
        let law = law "MODEL-EXACT"
        law.Judge { loop with Forward = forward } (Address.case 0UL law loop.Profile Exact 0)

    match judge (fun _ _ _ _ -> failwith "no memory") with
    | Faulted(Threw message, _) -> Assert.Contains("no memory", message)
    | other -> Assert.Fail $"{other}"

    match judge (fun s x k b -> Array.append (loop.Forward s x k b) [| 0f |]) with
    | Faulted(WrongLength(expected, actual), _) -> Assert.Equal(expected + 1L, actual)
    | other -> Assert.Fail $"{other}"

    match judge (fun s x k b -> loop.Forward s x k b |> Array.map (fun _ -> nanf)) with
    | Breaks witness -> Assert.Equal(witness.Equation.Left.Value.Length, witness.Wrong.Length)
    | other -> Assert.Fail $"{other}"
