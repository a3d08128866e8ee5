/// Holds subjects to the definition on the layers of real networks, at their published sizes: the whole output by CHECKSUM, and sampled
/// elements by their bound.
module internal Conv.Properties.Layers

open System
open System.Threading.Tasks
open FsCheck.FSharp
open Conv

/// One layer in front of one subject.
[<NoEquality; NoComparison>]
type Result =
    {
        Layer: Workload.Layer
        Subject: Subject
        /// CHECKSUM on the whole output: integers, exact.
        Checksum: Verdict
        /// MODEL-BOUND on sampled elements of the output: reals.
        Sampled: Verdict
        /// The exact case, for replaying.
        Case: Case option
        Seconds: float
    }

let private checksum = All.laws |> List.find (fun law -> law.Id = "CHECKSUM")

/// Elements of the output that are looked at one by one.
let private samples = 64

/// Corners, edges, borders of tiles of 4, 8 and 16, then anywhere; each in some image and channel.
let private positions (s: ConvShape) (seed: uint64) =
    let hash at size = int (Fill.mix (seed + uint64 at) % uint64 size)
    let bottom, right = s.OutHeight - 1, s.OutWidth - 1

    let special =
        [ 0, 0; 0, right; bottom, 0; bottom, right ]
        @ [ 0, right / 2; bottom, right / 2; bottom / 2, 0; bottom / 2, right ]
        @ [
            for tile in [ 4; 8; 16 ] do
                tile - 1, tile
                tile, tile - 1
                bottom / tile * tile, right / tile * tile
        ]
        |> List.filter (fun (i, j) -> i <= bottom && j <= right)

    let anywhere =
        [
            for at in special.Length .. samples - 1 -> hash (2 * at) s.OutHeight, hash (2 * at + 1) s.OutWidth
        ]

    [
        for at, (i, j) in List.indexed (special @ anywhere) -> struct (hash (1000 + at) s.Batch, hash (2000 + at) s.OutChannels, i, j)
    ]

/// One element of the definition and its bound: the definition and the bound of a small problem cut out around it. Tiles of a bilinear
/// algorithm reach up to `margin` outputs to each side, so the cut holds every phase of the tile.
let private element (arithmetic: Arithmetic) traits (s: ConvShape) (x: Values) (k: Values) struct (n, o, i, j) =
    let margin =
        match arithmetic with
        | :? Bilinear as algorithm -> algorithm.OutputTransform.Rows - 1
        | _ -> 0

    let height = 2 * margin * s.StrideHeight + s.KernelExtentHeight
    let width = 2 * margin * s.StrideWidth + s.KernelExtentWidth
    let cg = s.InChannelsPerGroup

    let cut =
        ConvShape(
            1,
            cg,
            height,
            width,
            1,
            s.KernelHeight,
            s.KernelWidth,
            s.StrideHeight,
            s.StrideWidth,
            0,
            0,
            0,
            0,
            s.DilationHeight,
            s.DilationWidth
        )

    let patch =
        Approx.exact x
        |> Approx.images n 1
        |> Approx.channels (o / s.OutChannelsPerGroup * cg) cg
        |> Approx.window ((i - margin) * s.StrideHeight - s.PadTop, (j - margin) * s.StrideWidth - s.PadLeft) (1, 1) (height, width)

    let whole = x.Data
    let x, k = patch.Value.Data, (Approx.exact k |> Approx.images o 1).Value.Data
    let centre = margin * cut.OutWidth + margin

    let own =
        match arithmetic with
        // Its steps follow from the whole input.
        | :? Quantized as q ->
            (Reduced.ofQuantized q (Values.magnitude whole) cut x k [||])[centre]
            * Roundoff.inflation
        | _ -> (Bound.ofCall Operation.Forward arithmetic traits cut x k [||]).At centre

    let bound = own + (Bound.ofOracle Operation.Forward cut x k [||]).At centre

    (Oracle.correlate cut x k)[centre], bound

let private sampled (subject: Subject) seed (s: ConvShape) =
    let fill = Drawn(Uniform, seed)
    let x = Fill.tensor fill Role.Input (s.Batch, s.InChannels, s.InHeight, s.InWidth)

    let k =
        Fill.tensor fill Role.Kernel (s.OutChannels, s.InChannelsPerGroup, s.KernelHeight, s.KernelWidth)

    let single = Array.map float32

    try
        let y = subject.Forward s (single x.Data) (single k.Data) [||]
        let at struct (n, o, i, j) = ((n * s.OutChannels + o) * s.OutHeight + i) * s.OutWidth + j
        let arithmetic = subject.Profile.ArithmeticOf s
        let chosen = positions s seed

        let exact =
            chosen
            |> List.map (element arithmetic subject.Profile.Traits s x k)
            |> Array.ofList

        let row data = Values.ofArray (1, 1, 1, samples) data

        let equation =
            {
                Value = chosen |> List.map (fun p -> float y[at p]) |> Array.ofList |> row
                Error = Zero
            }
            =~= { Value = exact |> Array.map fst |> row; Error = Each(Array.map snd exact) }
            |> named "sampled elements" "the definition"

        Judge.conclude equation
    with error ->
        Faulted(Fault.ofException error, Call.none s)

let private hold seed (layer: Workload.Layer) (subject: Subject) =
    let clock = Diagnostics.Stopwatch.StartNew()
    let s = layer.Shape

    let checksumVerdict, sampledVerdict, case =
        if not (subject.Profile.Supports s) then
            Unsupported "the layer", Unsupported "the layer", None
        else
            let rnd, size = Address.ofCase seed (checksum.Id + "/" + layer.Name) Exact 0
            let case = (checksum.CasesOn subject.Profile Exact s |> Gen.sampleWithSeed rnd size 1)[0]
            checksum.Judge subject case, sampled subject (Fill.mix (seed + uint64 size)) s, Some case

    {
        Layer = layer
        Subject = subject
        Checksum = checksumVerdict
        Sampled = sampledVerdict
        Case = case
        Seconds = clock.Elapsed.TotalSeconds
    }

/// What the layers say of one subject.
[<NoEquality; NoComparison>]
type Outcome =
    {
        Subject: Subject
        Verdict: Conclusion.Verdict
        /// Layers that hold, and layers.
        Held: int
        Layers: int
        /// The largest error of a sampled element over its bound.
        Ratio: float
        Seconds: float
    }

/// Whether a layer holds: without an exact tier the sampled elements decide.
let private holds (result: Result) =
    match result.Checksum, result.Sampled with
    | (Holds _ | NotApplicable _), Holds _ -> true
    | _ -> false

let private isBroken verdict =
    match verdict with
    | Breaks _
    | Faulted _ -> true
    | _ -> false

/// Why a layer that the subject takes says nothing.
let private open' (result: Result) =
    match result.Checksum, result.Sampled with
    | Undecided reason, _
    | _, Undecided reason
    | _, NotApplicable reason -> Some $"{result.Layer.Name}: {reason}"
    | _ -> None

/// The verdict on each subject: a broken layer violates, one that settles nothing leaves it undecided, and who takes none is silent.
let conclude (subjects: Subject list) (results: Result list) : Outcome list =
    [
        for subject in subjects do
            let own = results |> List.filter (fun r -> r.Subject.Name = subject.Name)
            let held = own |> List.filter holds

            let ratio (result: Result) =
                match result.Sampled with
                | Holds evidence -> evidence.Ratio
                | _ -> 0.0

            {
                Subject = subject
                Verdict =
                    if own |> List.exists (fun r -> isBroken r.Checksum || isBroken r.Sampled) then
                        Conclusion.Violates
                    else
                        match List.choose open' own with
                        | [] when held.IsEmpty -> Conclusion.Silent
                        | [] -> Conclusion.Conforms
                        | reasons -> Conclusion.Unsettled reasons
                Held = held.Length
                Layers = own.Length
                Ratio = own |> List.map ratio |> List.fold max 0.0
                Seconds = own |> List.sumBy _.Seconds
            }
    ]

/// Every layer of a network × every subject.
let run (options: Run.Options) (workload: Workload.Workload) (subjects: Subject list) (progress: Result -> unit) : Result list =
    let jobs =
        [|
            for layer in workload.Layers do
                for subject in subjects -> layer, subject
        |]

    let results = Array.zeroCreate<Result> jobs.Length
    let gate = obj ()

    let one at =
        let layer, subject = jobs[at]
        let result = hold options.Seed layer subject
        results[at] <- result
        lock gate (fun () -> progress result)

    Parallel.For(0, jobs.Length, ParallelOptions(MaxDegreeOfParallelism = options.Threads), one)
    |> ignore<ParallelLoopResult>

    List.ofArray results
