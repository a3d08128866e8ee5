/// No law accuses a correct convolution that sums differently.
module Conv.Properties.VariantTests

open System
open Xunit
open Conv

let variants: TheoryData<string> = TheoryData<string>(Variants.all |> List.map _.Name)

let private find name =
    (Variants.all @ Ours.implementations)
    |> List.find (fun subject -> subject.Name = name)

[<Theory; MemberData(nameof variants)>]
let ``a variant passes every law`` (name: string) =
    let subject = find name
    let options = { Run.defaults with Cases = 30; Threads = 1; Seed = 7UL }
    let results = Rounds.all options (Rounds.jobs options All.laws [ subject ]) ignore

    for r in results do
        match r.Failure, r.KitFault with
        | None, None -> ()
        | Some failure, _ -> Assert.Fail $"{r.Law.Id} accuses {name}: {Case.print failure.Shrunk}"
        | _, Some fault -> Assert.Fail fault

        Assert.Equal(0, r.LeftGrid)
        // A bilinear algorithm has no finite bound on operands so small that its transforms might underflow.
        Assert.True(r.Undecided = 0 || not (Seq.contains name (Variants.anyOrder |> Seq.map _.Name)))

    // Not by deciding nothing: the laws of 1×1 kernels, strides and monotony are not for F(m, 3).
    let decided = results |> List.filter (fun r -> r.Held >= 10)

    let silent =
        results
        |> List.filter (fun r -> r.Held = 0)
        |> List.map _.Law.Id
        |> List.distinct

    Assert.True(decided.Length >= results.Length - 18)

    let mayBeSilent =
        set
            [
                "POINTWISE-MATMUL"
                "TRAILING-UNUSED"
                "MONOTONE"
                "POLYPHASE"
                "FIGURE"
                "NAN-LOCAL"
                "INFINITY"
                "PRECISION-INPUT"
                "PRECISION-SUM"
                "SUBNORMAL"
                "ORDER-INFERENCE"
                "PRECISION-LATER"
                "ONE-ROUNDING"
                "BATCH-INVARIANT"
            ]

    Assert.Empty(set silent - mayBeSilent)

[<Theory>]
[<InlineData("variant:reversed", "loop")>]
[<InlineData("variant:pairwise", "loop")>]
[<InlineData("variant:fma", "loop")>]
[<InlineData("variant:double", "loop")>]
[<InlineData("variant:blocked", "loop")>]
[<InlineData("variant:bias-first", "loop")>]
[<InlineData("variant:winograd-f2x3-shifted", "winograd-f2x3")>]
[<InlineData("variant:winograd-f4x3-shifted", "winograd-f4x3")>]
let ``a variant does sum differently`` (name: string, plain: string) =
    let s = ConvShape(1, 5, 9, 10, 2, 3, 3)
    let tensor role dims = Fill.tensor (Drawn(Uniform, 1UL)) role dims |> _.Data |> Array.map float32

    let x, k, b =
        tensor Role.Input (1, 5, 9, 10), tensor Role.Kernel (2, 5, 3, 3), tensor Role.Bias (2, 1, 1, 1)

    let actual, other = (find name).Forward s x k b, (find plain).Forward s x k b
    Assert.NotEqual<float32[]>(other, actual)
    Assert.All(Array.zip actual other, (fun (y, y') -> Assert.True(MathF.Abs(y - y') < 1e-4f)))
