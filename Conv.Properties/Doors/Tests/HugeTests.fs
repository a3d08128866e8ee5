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

let private outcome subject shape =
    let struct (outcome, _) = Huge.hold subject shape
    outcome

[<Fact>]
let ``the definition from indices alone is what every implementation computes`` () =
    for subject in Ours.implementations do
        for shape in small do
            match outcome subject shape with
            | Huge.Exact compared -> Assert.Equal(shape.OutputLength, compared)
            | Huge.Passes _ -> Assert.False(subject.Profile.Supports shape && subject.Profile.ArithmeticOf shape :? AnyOrder)
            | other -> Assert.Fail $"{subject.Name} on {shape}: {other}"

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
        }

    let last (y: float32[]) = y.Length - 1

    for faulty in
        [
            changed (fun y -> y[last y] <- y[last y] + 1f)
            changed (fun y -> y[last y / 2] <- nanf)
            { loop with Forward = fun _ _ _ _ -> raise (IndexOutOfRangeException()) }
            { loop with Forward = fun _ _ _ _ -> [||] }
        ] do
        for shape in small do
            match outcome faulty shape with
            | Huge.Wrong _ -> ()
            | other -> Assert.Fail $"{shape}: {other}"

    match outcome { loop with Forward = fun _ _ _ _ -> raise (OutOfMemoryException()) } small.Head with
    | Huge.Fails _ -> ()
    | other -> Assert.Fail $"{other}"

[<Fact>]
let ``a tensor of each problem is just below the longest array, and its bytes lie beyond 32 bits`` () =
    for problem in Huge.problems do
        let most = max problem.Shape.InputLength problem.Shape.OutputLength
        Assert.InRange(most, int64 Array.MaxLength - (1L <<< 20), int64 Array.MaxLength)
        Assert.InRange(Huge.bytes problem.Shape, (1L <<< 33) - (1L <<< 23), 9L <<< 30)

[<Fact>]
let ``a machine with too little memory is refused`` () =
    Assert.True((VerifyHuge.refusal VerifyHuge.needed).IsNone)
    Assert.Contains("needs", (VerifyHuge.refusal (VerifyHuge.needed - 1L)).Value)
    Assert.Equal(2, Cli.run [| "verify"; "loop"; "--huge"; "--cases"; "3" |])
    Assert.Equal(2, Cli.run [| "verify"; "loop"; "--huge"; "--guard-pages" |])
