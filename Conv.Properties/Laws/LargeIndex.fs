/// Group 5, of sizes beyond 2¹⁶: what an index of sixteen bits, or a limit of a grid of threads, gets wrong.
module internal Conv.Properties.LargeIndex

open System
open System.Diagnostics
open FsCheck.FSharp
open Conv
open Conv.Properties.Judging

/// One dimension beyond 2¹⁶ while the others stay small: rows, columns, channels on both sides, images, groups.
let private large =
    [
        "c=2 h=65539 w=3 o=2 kh=3 kw=3 pt=1 pl=1 pb=1 pr=1"
        "c=2 h=3 w=65541 o=2 kh=3 kw=3 pt=1 pl=1 pb=1 pr=1"
        "c=1 h=3 w=65542 o=1 kh=3 kw=3 pt=1 pl=1 pb=1 pr=1"
        "c=65543 h=3 w=3 o=2 kh=3 kw=3 pt=1 pl=1 pb=1 pr=1"
        "c=2 h=3 w=3 o=65544 kh=3 kw=3"
        "n=65545 c=2 h=3 w=3 o=1 kh=3 kw=3"
        "c=65546 h=3 w=3 o=65546 kh=3 kw=3 g=65546"
        "c=2 h=65539 w=2 o=3 kh=1 kw=1"
        "c=65543 h=1 w=2 o=3 kh=1 kw=1"
        "n=65545 c=2 h=1 w=2 o=1 kh=1 kw=1"
        "c=3 h=257 w=259 o=2 kh=5 kw=4 sh=3 sw=2 dw=2 pt=3 pr=1"
    ]
    |> List.map ConvShape.Parse

/// The one case of a law whose problems and numbers are its own.
let private fixedCase id tier problem kind : Case = { Law = id; Tier = tier; Problem = problem; Args = []; Fill = Drawn(kind, 0UL) }

/// Whether a call with half of what is beyond 2¹⁶ takes long too, a second or all the time that there is: then it is slow, and no index too
/// narrow keeps it in a loop.
let private isSlowBelow (subject: Subject) (s: ConvShape) =
    let half size = if size > 60_000 then size / 2 else size

    let below =
        s
            .With(batch = half s.Batch, inChannels = half s.InChannels, outChannels = half s.OutChannels, groups = half s.Groups)
            .Along(fun a -> a.With(size = half a.Size))

    let zeros length = Array.zeroCreate<float32>(int length)
    let clock = Stopwatch.StartNew()

    try
        subject.Forward below (zeros below.InputLength) (zeros below.KernelLength) [||]
        |> ignore<float32[]>

        clock.Elapsed > TimeSpan.FromSeconds 1.0
    with
    | ForeignFault(Trouble.Hung, _) -> below <> s
    | _ -> false

/// −1, 0 or 1 for each place, without a period: an index that loses its upper bits meets another number.
let private digit (at: int) = float (int (Fill.mix (uint64 at) % 3UL) - 1)

/// As `large`, with no more to compute than each operation beside the forward pass can be compared with the definition for.
let private largeBeside =
    [
        "c=1 h=65539 w=2 o=1 kh=3 kw=1 pt=1 pb=1"
        "c=1 h=2 w=65541 o=1 kh=1 kw=3 pl=1 pr=1"
        "c=65543 h=1 w=1 o=2 kh=1 kw=1"
        "c=2 h=1 w=1 o=65544 kh=1 kw=1"
        "n=65545 c=1 h=2 w=1 o=1 kh=2 kw=1"
        "n=17 c=1 h=4097 w=1 o=1 kh=3 kw=1 pt=1 pb=1"
        "c=65546 h=2 w=2 o=65546 kh=2 kw=2 g=65546"
    ]
    |> List.map ConvShape.Parse

let private largeBesideForward id title needs operations =
    let law =
        Law.equations
            5
            ModelBased
            id
            $"sizes beyond 2^16 of {title} agree with the definition"
            { Law.terms "RES-10" "docs/bounds.md, lemma 12" "indices of 16 bits in an operation beside the forward pass" with
                Needs = needs
                Domain = "AnyOrder"
                Tiers = [ Exact ]
                Relates = false
                Project = fun s -> if List.contains s largeBeside then ValueSome s else ValueNone
            }
            (fun trial ->
                [
                    for s in largeBeside do
                        for operation in operations do
                            if trial.Profile.Offers(operation, s) then
                                let tensor salt (d0, d1, d2, d3) =
                                    Approx.init (d0, d1, d2, d3) (fun i0 i1 i2 i3 -> digit (salt + ((i0 * d1 + i1) * d2 + i2) * d3 + i3))

                                let first = tensor 0 (Operation.first operation s)

                                let second =
                                    if operation = Operation.BackwardBias then
                                        trial.One
                                    else
                                        tensor 0x10000000 (Operation.second operation s)

                                trial.Apply(operation, s, first, second, None)
                                =~= trial.OracleOf(operation, s, first, second)
                                |> named $"{Operation.title operation} of {s}" "the definition"
                ])

    { law with
        Fixed = true
        Cases = fun _ tier _ -> Gen.constant (fixedCase id tier largeBeside.Head Uniform)
    }

let private largeBackward =
    largeBesideForward
        "LARGE-INDEX-BACKWARD"
        "the gradients"
        [ Forward; Gradients ]
        [ Operation.BackwardInput; Operation.BackwardKernel; Operation.BackwardBias ]

let private largeTransposed =
    largeBesideForward "LARGE-INDEX-TRANSPOSED" "the transposed convolution" [ Forward; Transposed ] [ Operation.Transposed ]

let private largeIndex =
    let law =
        Law.equations
            5
            ModelBased
            "LARGE-INDEX"
            "sizes beyond 2^16 elements, rows, columns, channels, images and groups agree with the definition's checksums"
            { Law.terms "RES-10" "docs/bounds.md, lemma 11" "indices of 16 bits, limits of a grid of threads" with
                Domain = "AnyOrder; Bilinear within its certificate"
                Tiers = [ Exact ]
                Relates = false
                Project = fun s -> if List.contains s large then ValueSome s else ValueNone
            }
            (fun trial ->
                [
                    for s in large do
                        if trial.Profile.Supports s then
                            // Few channels that are not zero keep long sums, and a certificate, small; the last one is among them.
                            let live = 1 + (s.InChannels - 1) / 8

                            let x =
                                Approx.init (Operation.input s) (fun n c h w ->
                                    if s.Groups > 1 || c % live = (s.InChannels - 1) % live then
                                        digit ((((n * s.InChannels) + c) * s.Rows.Size + h) * s.Columns.Size + w)
                                    else
                                        0.0)

                            let k =
                                Approx.init (Operation.kernel s) (fun o c u v ->
                                    let at = ((o * s.InChannelsPerGroup + c) * s.Rows.Taps + u) * s.Columns.Taps + v
                                    trial.KernelUnit * digit (-1 - at))

                            let y = trial.Conv(s, x, k)
                            let value data = Approx.exact (Values.ofArray (s.Batch, s.OutChannels, 1, 1) data)

                            value (Model.checksumsOf s y.Value.Data)
                            =~= value (Model.checksums s x.Value.Data k.Value.Data)
                            |> named $"Σ a·b·Y of {s}" "Σ K·(Σ a·b·X)"
                ])

    { law with
        Fixed = true
        Judge =
            fun subject case ->
                match law.Judge subject case with
                | Faulted(Foreign(Trouble.Hung, text), call) when isSlowBelow subject call.Shape ->
                    Undecided $"{text}, and takes long for half as much, too: it is slow"
                | verdict -> verdict
        Cases =
            fun profile tier _ ->
                let step =
                    large
                    |> List.tryFind profile.Supports
                    |> Option.map (fun s ->
                        match profile.ArithmeticOf s with
                        | :? Bilinear as b when (BilinearProgram.Of b).HasExactGrid -> (BilinearProgram.Of b).KernelStep
                        | _ -> 1)
                    |> Option.defaultValue 1

                Lattice { Lattice.UpTo 1 with KernelStep = step }
                |> fixedCase "LARGE-INDEX" tier large.Head
                |> Gen.constant
    }

let laws = [ largeIndex; largeBackward; largeTransposed ]
