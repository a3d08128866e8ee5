/// Holds subjects to the definition on the layers of real networks, at their published sizes: the whole output by CHECKSUM, and sampled
/// elements by their bound.
module internal Conv.Properties.Layers

open System
open System.Threading.Tasks
open FsCheck.FSharp
open Conv

/// Exact draws of an operation on a shape that all agreed with the definition: from how many numbers each, and how many (lemma 21).
type Certificate =
    {
        Numbers: int
        Draws: int
    }

    /// What a fault that does not depend on the values escapes with, at most.
    member c.EscapeProbability = Math.Pow(2.0 / float c.Numbers, float c.Draws)

/// What exact draws of an operation on a shape came to.
[<NoEquality; NoComparison>]
type Certified =
    | Certified of Certificate
    /// There are too few numbers on which its sums are exact.
    | Uncertified
    | Differs of Verdict * Case

/// How closely layers are looked at.
type Depth =
    /// At its own size, and with two images, uneven pads and a bias.
    | Layer
    /// With many neighbours, and a certificate.
    | Named

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
        /// CHECKSUM on problems like it, each with what was changed and its case.
        Neighbours: (string * Verdict * Case) list
        /// Laws of special values at the layer's own size, a case each.
        Special: (string * Verdict * Case) list
        /// What exact draws of whole results say of each operation, where they were made.
        Certificates: (Operation * Certified) list
        /// The exact case, for replaying.
        Case: Case option
        Seconds: float
    }

let private checksum = Model.weighing

/// Paths that are taken for many channels treat what is not finite in their own way.
let private special = [ "NAN-LOCAL"; "INFINITY"; "NONFINITE-KERNEL" ] |> List.choose All.tryFind

/// Elements of the output that are looked at one by one.
let private samples = 64

/// Corners, edges, borders of tiles of 4, 8 and 16, then anywhere; each in some image and channel.
let private positions (s: ConvShape) (seed: uint64) =
    let hash at size = int (Fill.mix (seed + uint64 at) % uint64 size)
    let bottom, right = s.Rows.Outputs - 1, s.Columns.Outputs - 1

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
            for at in special.Length .. samples - 1 -> hash (2 * at) (bottom + 1), hash (2 * at + 1) (right + 1)
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

    let cg = s.InChannelsPerGroup

    let cut =
        s
            .With(batch = 1, inChannels = cg, outChannels = 1, groups = 1)
            .Along(fun a -> Axis(2 * margin * a.Stride + a.Extent, a.Taps, a.Stride, dilation = a.Dilation))

    let patch =
        Approx.exact x
        |> Approx.images n 1
        |> Approx.channels (o / s.OutChannelsPerGroup * cg) cg
        |> Approx.cut
            (Slice.from (s.Rows.Source(i - margin, 0)) cut.Rows.Size)
            (Slice.from (s.Columns.Source(j - margin, 0)) cut.Columns.Size)

    let whole = x.Data
    let x, k = patch.Value.Data, (Approx.exact k |> Approx.images o 1).Value.Data
    let centre = margin * cut.Columns.Outputs + margin

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
    let x = Fill.tensor fill Role.Input (Operation.input s)
    let k = Fill.tensor fill Role.Kernel (Operation.kernel s)
    let single = Array.map float32

    try
        let y = subject.Forward s (single x.Data) (single k.Data) [||]
        let at struct (n, o, i, j) = ((n * s.OutChannels + o) * s.Rows.Outputs + i) * s.Columns.Outputs + j
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

/// The i-th case of a law on a named shape.
let private caseOn (law: Law) (subject: Subject) seed (name: string) index shape =
    let rnd, growth = Address.ofCase seed (law.Id + "/" + name) Exact Reach.Small index
    (law.CasesOn subject.Profile Exact shape |> Gen.sampleWithSeed rnd growth 1)[0]

/// Problems like a layer, each with one thing changed: what, and the problem.
let neighbours depth (s: ConvShape) : (string * ConvShape) list =
    let up multiple size = (size / multiple + 1) * multiple
    let cg, og, g = s.InChannelsPerGroup, s.OutChannelsPerGroup, s.Groups
    let inputs (c: int) () = s.With(inChannels = c * g)
    let outputs (o: int) () = s.With(outChannels = o * g)
    let rows (change: Axis -> Axis) () = s |> Axes.replace 0 (change s.Rows)
    let columns (change: Axis -> Axis) () = s |> Axes.replace 1 (change s.Columns)
    let both (change: Axis -> Axis) () = s.Along change
    let sized along (size: int) = along (fun (a: Axis) -> a.With(size = size))

    [
        "two images", (fun () -> s.With(batch = 2))
        "uneven pads", (fun () -> s.WithAxes [| s.Rows.With(before = s.Rows.Before + 1); s.Columns.With(after = s.Columns.After + 2) |])
        "SAME pads", both _.Same(SamePadding.Upper)

        match depth with
        | Layer -> ()
        | Named ->
            for name, size, change in
                [
                    "input channels", cg, inputs
                    "output channels", og, outputs
                    "rows", s.Rows.Size, sized rows
                    "columns", s.Columns.Size, sized columns
                ] do
                $"{name} − 1", change (size - 1)
                $"{name} + 1", change (size + 1)

                for multiple in [ 16; 32; 64 ] do
                    $"{name} at the next multiple of {multiple}", change (up multiple size)

            "twice the input channels", inputs (2 * cg)
            "twice the output channels", outputs (2 * og)
            "a row of taps more", rows (fun a -> a.With(taps = a.Taps + 1))
            "a column of taps less", columns (fun a -> a.With(taps = a.Taps - 1))
            "a stride more", both (fun a -> a.With(stride = a.Stride + 1))
            "a column of stride more", columns (fun a -> a.With(stride = a.Stride + 1))
            "twice the dilation", both (fun a -> a.With(dilation = 2 * a.Dilation))
            "no pads", both (fun a -> a.With(before = 0, after = 0))
            "pads + 1", both (fun a -> a.With(before = a.Before + 1, after = a.After + 1))
            "three images", (fun () -> s.With(batch = 3))
    ]
    |> List.choose (fun (name, make) ->
        try
            match make () with
            | shape when shape <> s && shape.OutputLength > 0L -> Some(name, shape)
            | _ -> None
        with :? ArgumentException ->
            None)
    |> List.distinctBy snd

/// The probability that a certificate aims at.
let private aim = 1e-6

/// The most draws that are made for one.
let private mostDraws = 12

/// What a subject is certified for on a shape: the operation, the law it is held to, and the choices by which the law asks it. The lemma asks
/// for independent entries of all operands, the bias among them.
let private certifiable (subject: Subject) (s: ConvShape) =
    (Operation.Forward, Model.certificate, Model.withBias) :: Adjoint.certificates
    |> List.filter (fun (operation, _, _) -> subject.Profile.Offers(operation, s))

/// Exact draws of an operation until the aim is reached, or one that does not agree.
let private certify (subject: Subject) seed name (s: ConvShape) (operation: Operation, law: Law, choices) =
    let draw index = { caseOn law subject seed $"{name}/{operation}" index s with Args = choices }

    let numbers (case: Case) =
        match case.Fill with
        | Drawn(Lattice l, _) when l.LiveEvery = 1 -> 2 * min l.InputMax (min l.KernelMax l.BiasMax) + 1
        | _ -> 0

    let rec next draws least =
        let case = draw draws
        let least = min least (numbers case)

        if least <= 2 then
            Uncertified
        else
            match law.Judge subject case with
            | Holds _ ->
                let certificate = { Numbers = least; Draws = draws + 1 }

                if certificate.EscapeProbability < aim || draws + 1 >= mostDraws then
                    Certified certificate
                else
                    next (draws + 1) least
            | Breaks _
            | Faulted _ as verdict -> Differs(verdict, case)
            | _ -> Uncertified

    operation, next 0 Int32.MaxValue

let private hold depth seed (layer: Workload.Layer) (subject: Subject) =
    let clock = Diagnostics.Stopwatch.StartNew()
    let s = layer.Shape

    let nothing =
        {
            Layer = layer
            Subject = subject
            Checksum = Unsupported "the layer"
            Sampled = Unsupported "the layer"
            Neighbours = []
            Special = []
            Certificates = []
            Case = None
            Seconds = 0.0
        }

    let result =
        if not (subject.Profile.Supports s) then
            nothing
        else
            let case = caseOn checksum subject seed layer.Name 0 s

            { nothing with
                Certificates =
                    match depth with
                    | Layer -> []
                    | Named -> certifiable subject s |> List.map (certify subject seed layer.Name s)
                Checksum = checksum.Judge subject case
                Sampled = sampled subject (Fill.mix (seed + uint64 s.InChannels)) s
                Neighbours =
                    [
                        for at, (name, shape) in List.indexed (neighbours depth s) do
                            if subject.Profile.Supports shape then
                                let case = caseOn checksum subject seed layer.Name (at + 1) shape
                                name, checksum.Judge subject case, case
                    ]
                Special =
                    [
                        for law in special do
                            let case = caseOn law subject seed layer.Name 0 s
                            law.Id, law.Judge subject case, case
                    ]
                Case = Some case
            }

    { result with Seconds = clock.Elapsed.TotalSeconds }

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
    let agrees verdict =
        match verdict with
        | Holds _
        | NotApplicable _
        | Unsupported _ -> true
        | _ -> false

    match result.Checksum, result.Sampled with
    | (Holds _ | NotApplicable _), Holds _ ->
        result.Neighbours @ result.Special
        |> List.forall (fun (_, verdict, _) -> agrees verdict)
        && result.Certificates |> List.forall (snd >> _.IsDiffers >> not)
    | _ -> false

let private isBroken verdict =
    match verdict with
    | Breaks _
    | Faulted _ -> true
    | _ -> false

/// Why a layer that the subject takes says nothing.
let private open' (result: Result) =
    let beside =
        result.Neighbours @ result.Special
        |> List.tryPick (fun (name, verdict, _) ->
            match verdict with
            | Undecided reason -> Some $"{result.Layer.Name}, {name}: {reason}"
            | _ -> None)

    match result.Checksum, result.Sampled with
    | Undecided reason, _
    | _, Undecided reason
    | _, NotApplicable reason -> Some $"{result.Layer.Name}: {reason}"
    | _ -> beside

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
                    let broken (r: Result) =
                        isBroken r.Checksum
                        || isBroken r.Sampled
                        || r.Neighbours @ r.Special
                           |> List.exists (fun (_, verdict, _) -> isBroken verdict)
                        || r.Certificates |> List.exists (snd >> _.IsDiffers)

                    if own |> List.exists broken then
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

/// Every layer of a network, or of a list, × every subject.
let run depth (options: Run.Options) (workload: Workload.Workload) (subjects: Subject list) (progress: Result -> unit) : Result list =
    let jobs =
        [|
            for layer in workload.Layers do
                for subject in subjects -> layer, subject
        |]

    let results = Array.zeroCreate<Result> jobs.Length
    let gate = obj ()

    let one at =
        let layer, subject = jobs[at]
        let result = hold depth options.Seed layer subject
        results[at] <- result
        lock gate (fun () -> progress result)

    Parallel.For(0, jobs.Length, ParallelOptions(MaxDegreeOfParallelism = options.Threads), one)
    |> ignore<ParallelLoopResult>

    List.ofArray results
