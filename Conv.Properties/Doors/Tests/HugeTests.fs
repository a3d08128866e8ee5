/// `verify --huge` on small shapes: the problems themselves take gigabytes and minutes.
module Conv.Properties.HugeTests

open System
open Xunit
open Conv

/// The problems in the small: strides, many channels, mostly padding.
let private small =
    [
        "n=2 c=4 h=23 w=29 o=8 kh=3 kw=3 sh=4 sw=13"
        "c=1 h=6 w=6 o=33 kh=3 kw=3 pt=1 pl=1 pb=1 pr=1"
        "c=1 h=4 w=4 o=1 kh=3 kw=3 pt=33 pl=40 pb=1 pr=1"
        "n=2 c=6 h=9 w=8 o=4 kh=2 kw=3 g=2 dh=2"
    ]
    |> List.map ConvShape.Parse

let private outcome subject operation shape =
    let struct (outcome, _) = Huge.hold subject operation shape
    outcome

let private operations =
    [
        Operation.Forward
        Operation.BackwardInput
        Operation.BackwardKernel
        Operation.BackwardBias
        Operation.Transposed
    ]

[<Fact>]
let ``the definition from indices alone is what every implementation computes`` () =
    for subject in Ours.implementations do
        for shape in small do
            for operation in operations do
                match outcome subject operation shape with
                | Huge.Exact compared -> Assert.Equal(Operation.length operation shape, compared)
                | Huge.Passes _ ->
                    Assert.False(
                        subject.Profile.Offers(operation, shape)
                        && subject.Profile.Arithmetic(operation, shape) :? AnyOrder
                    )
                | other -> Assert.Fail $"{subject.Name}, {Operation.title operation} on {shape}: {other}"

[<Fact>]
let ``one wrong element, one that is not written, and a failure are found`` () =
    let loop = Ours.implementations |> List.find (fun s -> s.Name = "loop")

    let changed change =
        { loop with
            Forward =
                fun s x k b ->
                    let y = loop.Forward s x k b
                    change y
                    y
            Operate =
                fun operation s x k b ->
                    let y = loop.Operate operation s x k b
                    change y
                    y
        }

    let last (y: float32[]) = y.Length - 1

    for faulty in
        [
            changed (fun y -> y[last y] <- y[last y] + 1f)
            changed (fun y -> y[last y / 2] <- nanf)
            { loop with
                Forward = fun _ _ _ _ -> raise (IndexOutOfRangeException())
                Operate = fun _ _ _ _ _ -> raise (IndexOutOfRangeException())
            }
            { loop with
                Forward = fun _ _ _ _ -> [||]
                Operate = fun _ _ _ _ _ -> [||]
            }
        ] do
        for shape in small do
            for operation in operations do
                match outcome faulty operation shape with
                | Huge.Wrong _ -> ()
                | other -> Assert.Fail $"{Operation.title operation} on {shape}: {other}"

    match outcome { loop with Forward = fun _ _ _ _ -> raise (OutOfMemoryException()) } Operation.Forward small.Head with
    | Huge.Fails _ -> ()
    | other -> Assert.Fail $"{other}"

[<Fact>]
let ``a tensor of each problem is just below the longest array, and its bytes lie beyond 32 bits`` () =
    for problem in Huge.problems |> List.take 3 do
        let most = max problem.Shape.InputLength problem.Shape.OutputLength
        Assert.InRange(most, int64 Array.MaxLength - (1L <<< 20), int64 Array.MaxLength)
        Assert.InRange(Huge.bytes problem, (1L <<< 33) - (1L <<< 23), 9L <<< 30)

[<Fact>]
let ``the others have many outputs, patches beyond 64 MiB, and of one kind beyond 2³¹ elements`` () =
    let others = Huge.problems |> List.skip 3
    let patches (p: Huge.Problem) = p.Shape.TermsPerOutput * p.Shape.OutputPlane
    Assert.All(others, (fun p -> Assert.InRange(Huge.bytes p, 0L, 1L <<< 30)))
    Assert.All(others, (fun p -> Assert.True(patches p > (1L <<< 24))))

    for operation in [ Operation.Forward; Operation.BackwardInput; Operation.BackwardKernel ] do
        let asked = others |> List.filter (fun p -> p.Operation = operation)
        Assert.Contains(asked, (fun p -> p.Shape.OutputLength > 20_000_000L))
        Assert.Contains(asked, (fun p -> patches p > (1L <<< 31)))

    Assert.Equal(Huge.problems.Length, Huge.problems |> List.distinctBy _.Name |> List.length)

[<Fact>]
let ``a machine with too little memory is refused`` () =
    for foreign in [ false; true ] do
        let needed = VerifyHuge.needed foreign
        Assert.True((VerifyHuge.refusal foreign needed).IsNone)
        Assert.Contains("needs", (VerifyHuge.refusal foreign (needed - 1L)).Value)

    Assert.True(VerifyHuge.needed true > VerifyHuge.needed false + (8L <<< 30) - (1L <<< 20))
    Assert.Equal(2, Cli.run [| "verify"; "loop"; "--huge"; "--cases"; "3" |])
    Assert.Equal(2, Cli.run [| "verify"; "loop"; "--huge"; "--guard-pages" |])
