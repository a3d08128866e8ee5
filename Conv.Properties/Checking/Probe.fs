/// What a subject does, found out without being told: calls whose answers tell one way of computing from another. What it declares decides
/// on which shapes it is asked, and nothing else. Every probe ends: one that meets an exception, or no shape to ask on, knows nothing.
module internal Conv.Properties.Probe

open System
open FsCheck
open FsCheck.FSharp
open Conv

/// Bits of a significand, the leading one included.
type Bits =
    | Exactly of int
    /// As many as the operands let see.
    | AtLeast of int

    member b.Number =
        match b with
        | Exactly number
        | AtLeast number -> number

/// What becomes of the terms of a sum.
type Structure =
    /// Each product is formed by itself.
    | Separate
    /// An input disturbs sums in which its weight is zero, or a weight those in which its input is: both are mixed before they meet.
    | Transformed
    /// One step for a whole tensor, or for an output channel: the largest element decides how fine the others are.
    | Scaled

/// Where a NaN of the input comes out.
type Spread =
    | InWindow
    | InTiles of size: int
    | InWholeImage
    /// Beyond its window, in no pattern of tiles.
    | Beyond
    /// Not everywhere in its window.
    | Lost

/// The least and the largest power of two that survive, as exponents.
type Range = { Least: int; Most: int }

/// What calls did whose shape is not supported.
type Unsupported =
    {
        Asked: int
        /// With an ArgumentException.
        Refused: int
        Right: int
        Wrong: int
    }

    /// Any other exception.
    member u.Threw = u.Asked - u.Refused - u.Right - u.Wrong

/// What was found out; none: not known.
[<NoEquality; NoComparison>]
type Probed =
    {
        /// The problem whose sums were looked into.
        Shape: ConvShape option
        Structure: Structure option
        InputBits: int option
        WeightBits: int option
        /// Different values of the inputs, and of the weights, that a fixed step leaves.
        InputLevels: int option
        WeightLevels: int option
        SumBits: Bits option
        ResultBits: Bits option
        InputRange: Range option
        WeightRange: Range option
        ResultRange: Range option
        /// Whether products are added without having been rounded: fused multiply-add where the sums are those of float32. Not known where
        /// the products of the operands are exact anyway.
        Fused: bool option
        /// The tree of summation in words.
        Order: string option
        /// The same bits in five calls.
        Repeatable: bool option
        /// The same bits wherever the tensors start.
        AnyAddress: bool option
        /// The same bits for an image, whatever else is in the batch.
        AnyBatch: bool option
        /// The same bits on any number of threads.
        AnyThreads: bool option
        Spread: Spread option
        /// Outputs written over the input are right: pointwise shapes of one channel a group, and of one group.
        InPlaceByChannel: bool option
        InPlaceAcross: bool option
        Unsupported: Unsupported option
    }

let unknown: Probed =
    {
        Shape = None
        Structure = None
        InputBits = None
        WeightBits = None
        InputLevels = None
        WeightLevels = None
        SumBits = None
        ResultBits = None
        InputRange = None
        WeightRange = None
        ResultRange = None
        Fused = None
        Order = None
        Repeatable = None
        AnyAddress = None
        AnyBatch = None
        AnyThreads = None
        Spread = None
        InPlaceByChannel = None
        InPlaceAcross = None
        Unsupported = None
    }

// ---- asking

let private attempt (probe: unit -> 'a option) =
    try
        probe ()
    with _ ->
        None

/// The last number from `first` to `most` for which something holds that holds up to some number; none if it does not at the first.
let private last first most holds =
    let rec between yes no =
        let middle = (yes + no) / 2

        if middle = yes then yes
        elif holds middle then between middle no
        else between yes middle

    if not (holds first) then None
    elif holds most then Some most
    else Some(between first most)

let private pow exponent = MathF.ScaleB(1f, exponent)

/// Told apart from what it becomes when it is lost or doubled, also where transforms leave an error.
let private near exponent (y: float) =
    let expected = Math.ScaleB(1.0, exponent)
    abs (y - expected) <= expected / 4.0

let private supports (subject: Subject) shape =
    try
        subject.Profile.Supports shape
    with _ ->
        false

/// The first of these shapes that is supported, simplified if need be; otherwise the least that is drawn, of three terms at least.
let private supported (subject: Subject) (wanted: ConvShape list) =
    let towards (at, shape) = Generate.towards (supports subject) at shape |> ValueOption.toOption

    let draw () =
        Gen.sampleWithSeed (Rnd(1UL, 1UL)) 50 300 (Generate.geometry subject.Profile.Traits)
        |> Seq.indexed
        |> Seq.choose towards
        |> Seq.filter (fun s -> s.TermsPerOutput >= 3L)
        |> Seq.truncate 20
        |> List.ofSeq
        |> function
            | [] -> None
            | found -> found |> List.minBy _.MultiplyAdds |> Some

    wanted
    |> List.tryFind (supports subject)
    |> Option.orElseWith (fun () -> wanted |> List.indexed |> List.tryPick towards)
    |> Option.orElseWith draw

/// Operands of a uniform distribution, always the same.
let private drawn (s: ConvShape) =
    let tensor role dims = (Fill.tensor (Drawn(Uniform, 17UL)) role dims).Data |> Array.map float32
    tensor Role.Input (Operation.input s), tensor Role.Kernel (Operation.kernel s), tensor Role.Bias (s.OutChannels, 1, 1, 1)

/// Sums of a few terms, the others zero, in the middle output of a shape.
[<Sealed>]
type private Sums(subject: Subject, s: ConvShape) =
    let rows, columns = s.Rows, s.Columns
    let i, j = rows.Outputs / 2, columns.Outputs / 2

    let terms =
        [|
            for c in 0 .. s.InChannelsPerGroup - 1 do
                for u in 0 .. rows.Taps - 1 do
                    for v in 0 .. columns.Taps - 1 do
                        let h, w = rows.Source(i, u), columns.Source(j, v)

                        if rows.Contains h && columns.Contains w then
                            struct (c, (c * rows.Size + h) * columns.Size + w, (c * rows.Taps + u) * columns.Taps + v)
        |]

    member _.Count = terms.Length

    member _.Channel term =
        let struct (c, _, _) = terms[term]
        c

    /// Terms by their place, with input and weight.
    member _.Of(chosen: (int * float32 * float32) list) : float =
        let x, k = Array.zeroCreate (int s.InputLength), Array.zeroCreate (int s.KernelLength)

        for term, input, weight in chosen do
            let struct (_, inputAt, weightAt) = terms[term]
            x[inputAt] <- input
            k[weightAt] <- weight

        let y = subject.Forward s x k [||]
        float y[i * columns.Outputs + j]

// ---- precision

/// What stands beside does not matter to a sum in which its weight, or its input, is zero. Whether inputs are scaled together, whether
/// weights are, and whether they are mixed.
let private structure (sums: Sums) (live: int list) =
    let quiet, loud = pow -12, pow 14
    let own, others = live |> List.partition (fun t -> sums.Channel t = sums.Channel live.Head)

    let byInputs among term =
        let disturbing = [ for at in among -> at, loud, 0f ]
        sums.Of((term, quiet, 1f) :: disturbing) <> sums.Of [ term, quiet, 1f ]

    let byWeights among term =
        let disturbing = [ for at in among -> at, 0f, loud ]
        sums.Of((term, 1f, quiet) :: disturbing) <> sums.Of [ term, 1f, quiet ]

    let mixed () =
        own
        |> List.truncate 9
        |> List.exists (fun term ->
            let beside = own |> List.filter ((<>) term)
            byInputs beside term || byWeights beside term)

    // A transform leaves channels apart; a step is everybody's.
    struct (byInputs others live.Head, byWeights others live.Head, mixed ())

/// Terms with a value in the place of an operand, 1 for the other, and the largest of its tensor beside, which meets zero.
let private operand role term beside largest value =
    match role with
    | Role.Input -> [ term, value, 1f; beside, largest, 0f ]
    | _ -> [ term, 1f, value; beside, 0f, largest ]

/// The largest p with 1 + 2^(1−p) told from 1: alone, or where a −1 before or after it leaves the difference.
let private significand (sums: Sums) (live: int list) few role =
    let seen term minus p =
        let beside =
            live
            |> List.findBack (fun at -> at <> term && not (List.exists (fun (m, _, _) -> m = at) minus))

        let of' value = sums.Of(operand role term beside 1.5f value @ minus)
        of' (1f + pow (1 - p)) <> of' 1f

    let first, middle, final = live.Head, live[live.Length / 2], List.last live
    let terms = if few then [ middle; first; final ] else List.truncate 9 live

    [
        for term in terms do
            yield term, []

            for minus in [ first; middle; final ] do
                if minus <> term then
                    yield term, [ minus, 1f, -1f ]
    ]
    |> List.fold (fun best (term, minus) -> if best = Some 24 then best else max best (last 1 24 (seen term minus))) None

/// How many values an operand can have beside a fixed largest one.
let private levels (sums: Sums) (live: int list) role =
    let steps = 300

    [ 127f / 64f; 7f / 4f; 1f ]
    |> List.map (fun largest ->
        [ -steps .. steps ]
        |> List.map (fun step -> sums.Of(operand role live.Head (List.last live) largest (largest * float32 step / float32 steps)))
        |> List.distinct
        |> List.length)
    |> List.max
    |> fun count -> if count < 2 * steps then Some count else None

/// 2^e as a product of two numbers that are powers of two as far from 1.
let private factors e = pow (e / 2), pow (e - e / 2)

/// The largest p with 2^(p−1) + 1 − 2^(p−1) = 1, over arrangements of the three; the small term is scaled down as the large one is up.
let private sumBits (sums: Sums) (triples: (int * int * int) list) =
    let exponents p = (p - 1) / 2, (p - 1) / 2 - (p - 1)

    let terms p (plus, small, minus) x k =
        let large, little = exponents p
        let (lx, lk), (sx, sk) = factors large, factors little
        [ plus, lx * x, lk * k; small, sx, sk; minus, lx * x, -lk * k ]

    let holds triple p = near (snd (exponents p)) (sums.Of(terms p triple 1f 1f))

    /// Whether the small term survives the other operands, without their products.
    let visible triple p =
        near (snd (exponents p)) (sums.Of(terms p triple 1f 0f))
        && near (snd (exponents p)) (sums.Of(terms p triple 0f 1f))

    let most = 60

    let arrangements =
        [
            for a, b, c in triples do
                // Whichever two meet first, and on either side of zero: the numbers of a format lie closer below a power of two.
                a, b, c
                a, c, b
                b, a, c
                b, c, a
                c, a, b
                c, b, a
        ]

    let found =
        arrangements
        |> List.choose (fun triple ->
            last 2 most (holds triple)
            |> Option.map (fun p -> if p < most && visible triple (p + 1) then Exactly p else AtLeast p))

    // One arrangement that fails from the beginning says that these are no sums.
    if found.IsEmpty || found.Length < arrangements.Length then
        None
    else
        Some(found |> List.minBy (fun bits -> bits.Number, bits.IsAtLeast))

/// The largest p with 1 + 2^(1−p) told from 1 as the sum of two terms.
let private resultBits (sums: Sums) one small =
    let terms p x k =
        let sx, sk = factors (1 - p)
        [ one, x, k; small, sx, sk ]

    let seen p = sums.Of(terms p 1f 1f) <> sums.Of [ one, 1f, 1f ]
    let visible p = near (1 - p) (sums.Of(terms p 1f 0f)) && near (1 - p) (sums.Of(terms p 0f 1f))

    last 2 30 seen
    |> Option.map (fun p -> if visible (p + 1) then Exactly p else AtLeast p)

/// The most significant bits that a result has.
let private usedBits (subject: Subject) (s: ConvShape) =
    let x, k, b = drawn s

    let used (y: float32) =
        if y = 0f || not (Single.IsFinite y) then
            0
        else
            24
            - Numerics.BitOperations.TrailingZeroCount(BitConverter.SingleToInt32Bits y ||| (1 <<< 23))

    match subject.Forward s x k b |> Array.map used |> Array.max with
    | 0 -> None
    | bits -> Some(Exactly bits)

/// The powers of two that survive, where one operand's exponent compensates for the other's or stays in float16's range.
let private range (sums: Sums) term role =
    let survives x k =
        let expected = Math.ScaleB(1.0, x + k)
        // Transforms leave an error; the largest float16, to which some clamp, is further away.
        abs (sums.Of [ term, pow x, pow k ] - expected) <= Math.ScaleB(expected, -12)

    let clamp e = max -14 (min e 14)

    let holds e =
        match role with
        | Role.Input -> survives e -(max -126 (min e 126)) || survives e -(clamp e)
        | Role.Kernel -> survives -(max -126 (min e 126)) e || survives -(clamp e) e
        | _ ->
            survives (e / 2) (e - e / 2)
            || survives (clamp e) (e - clamp e)
            || survives (e - clamp e) (clamp e)

    match last 0 127 holds, last 0 149 (fun e -> holds -e) with
    | Some most, Some least -> Some { Least = -least; Most = most }
    | _ -> None

/// (1 + 2^−h)² − (1 + 2^(1−h)) is 2^−2h if the square was not rounded to fewer than 2h + 1 bits, and 0 if it was.
let private fused (sums: Sums) (live: int list) bits operandBits =
    let half = (bits + 1) / 2

    if half + 1 > operandBits then
        None
    else
        let a, square = 1f + pow -half, 1f + pow (1 - half)

        let results =
            [
                for p, q in [ live.Head, live[1]; live[1], live.Head; live.Head, List.last live; List.last live, live.Head ] do
                    sums.Of [ p, a, a; q, square, -1f ]
            ]

        if results |> List.exists (near (-2 * half)) then Some true
        elif results |> List.forall ((=) 0.0) then Some false
        else None

/// The tree: two large terms absorb whatever meets one of them before they meet.
let private order (sums: Sums) bits =
    let n = sums.Count
    // All small terms together are less than half a unit of the large one's last place.
    let small = 15 - bits - 2 - int (Math.Log2(float n))
    let sx, sk = factors small
    let lx, lk = factors 15

    let below i j =
        if i = j then
            1
        else
            let y =
                sums.Of
                    [
                        for at in 0 .. n - 1 do
                            if at = i then at, lx, lk
                            elif at = j then at, lx, -lk
                            else at, sx, sk
                    ]

            n - int (Math.ScaleB(y, -small))

    Summation.treeOf below [ 0 .. n - 1 ] |> Option.map Summation.describe

// ---- memory, time and place

let private sameBits (a: float32[]) (b: float32[]) =
    a.Length = b.Length
    && Array.forall2 (fun (x: float32) (y: float32) -> BitConverter.SingleToInt32Bits x = BitConverter.SingleToInt32Bits y) a b

let private repeatable (subject: Subject) s =
    let x, k, b = drawn s
    let call () = subject.Forward s (Array.copy x) (Array.copy k) (Array.copy b)
    let first = call ()
    Some(Seq.init 4 (fun _ -> call ()) |> Seq.forall (sameBits first))

/// Whether calls that are laid in memory in these ways give the bits of the first.
let private laidAlike (subject: Subject) (s: ConvShape) (placements: Placement list) =
    let x, k, b = drawn s

    let results =
        [
            for placement in placements ->
                let struct (y, traces) = subject.Place placement Operation.Forward s x k b
                y, placement.Threads = 0 || traces.ThreadsTaken
        ]

    if results |> List.forall snd then
        Some(results.Tail |> List.forall (fst >> sameBits (fst results.Head)))
    else
        None

/// Whether each image of a batch gives the bits that it gives alone.
let private batchAlike (subject: Subject) (one: ConvShape) =
    let count = 5
    let several = one.With(batch = count)

    if not (supports subject several) then
        None
    else
        let x, k, b = drawn several
        let together = subject.Forward several x k b
        let inputs, outputs = int one.InputLength, int one.OutputLength

        Some(
            Seq.init count (fun n ->
                subject.Forward one (Array.sub x (n * inputs) inputs) k b
                |> sameBits (Array.sub together (n * outputs) outputs))
            |> Seq.forall id
        )

/// Where NaN comes out, from inputs along the diagonal of the first channel.
let private spread (subject: Subject) (s: ConvShape) =
    let x = Array.init (int s.InputLength) (fun at -> float32 (at % 7 - 3))
    let k = Array.init (int s.KernelLength) (fun at -> float32 (1 + at % 5))

    if subject.Forward s x k [||] |> Array.exists Single.IsNaN then
        None
    else
        let ones = Array.create k.Length 1.0

        let found =
            [|
                for h in 0 .. s.Rows.Size - 1 do
                    let at = h * s.Columns.Size + h * s.Columns.Size / s.Rows.Size
                    let hot = Array.zeroCreate x.Length
                    hot[at] <- 1.0
                    let poisoned = Array.copy x
                    poisoned[at] <- Single.NaN

                    struct (Oracle.correlate s hot ones |> Array.map (fun terms -> terms > 0.0),
                            subject.Forward s poisoned k [||] |> Array.map Single.IsNaN)
            |]

        let exists which =
            found
            |> Array.exists (fun struct (window, nan) -> Array.exists2 which window nan)

        let extra = exists (fun inside isNaN -> isNaN && not inside)

        /// Every NaN shares its tile with an output that reads the input.
        let inTiles size before =
            let tile at =
                let width = s.Columns.Outputs
                struct (at / int s.OutputPlane, (at / width % s.Rows.Outputs + before) / size, (at % width + before) / size)

            found
            |> Array.forall (fun struct (window, nan) ->
                let reached =
                    set
                        [
                            for at in 0 .. window.Length - 1 do
                                if window[at] then
                                    tile at
                        ]

                nan
                |> Seq.indexed
                |> Seq.forall (fun (at, isNaN) -> not isNaN || reached.Contains(tile at)))

        if exists (fun inside isNaN -> inside && not isNaN) then
            Some(if extra then Beyond else Lost)
        elif not extra then
            Some InWindow
        elif found |> Array.forall (fun struct (_, nan) -> Array.forall id nan) then
            Some InWholeImage
        else
            [ 2..8 ]
            |> List.tryFind (fun size -> List.exists (inTiles size) [ 0 .. size - 1 ])
            |> Option.map InTiles
            |> Option.defaultValue Beyond
            |> Some

/// Shapes whose outputs are as large as their inputs: each channel by itself, and all together.
let byChannel, across = ConvShape(2, 4, 5, 6, 4, 1, 1, groups = 4), ConvShape(2, 4, 5, 6, 4, 1, 1)

/// Small problems of every kind, the same for all subjects.
let private problems =
    lazy
        (Gen.sampleWithSeed (Rnd(3UL, 1UL)) 50 1000 (Generate.geometry Traits.Default)
         |> Array.filter (fun s -> s.MultiplyAdds <= 4000L))

/// Twenty shapes that are not supported, called anyway.
let private unsupported (subject: Subject) =
    let shapes = problems.Value |> Array.filter (supports subject >> not) |> Array.truncate 20

    if shapes.Length = 0 then
        None
    else
        // Few ones: their sums are small whole numbers in any precision.
        let ones (length: int64) salt = Array.init (int length) (fun at -> float32 ((at * 7 + salt) % 5 / 4))

        let answers =
            shapes
            |> Array.map (fun s ->
                let x, k = ones s.InputLength 0, ones s.KernelLength 3

                try
                    let y = subject.Forward s (Array.copy x) (Array.copy k) [||]
                    let expected = Oracle.correlate s (Array.map float x) (Array.map float k)

                    let right =
                        y.Length = expected.Length
                        && Array.forall2 (fun (y: float32) expected -> abs (float y - expected) < 0.5) y expected

                    if right then "right" else "wrong"
                with
                | :? ArgumentException -> "refused"
                | _ -> "threw")

        let count word = answers |> Array.filter ((=) word) |> Array.length

        Some
            {
                Asked = shapes.Length
                Refused = count "refused"
                Right = count "right"
                Wrong = count "wrong"
            }

// ---- all of it

let private ofSums (subject: Subject) (s: ConvShape) (probed: Probed) : Probed =
    let sums = Sums(subject, s)
    // The terms of which one product comes back.
    let live = [ 0 .. sums.Count - 1 ] |> List.filter (fun t -> near 3 (sums.Of [ t, 2f, 4f ]))

    if live.Length < 3 then
        { probed with Shape = Some s }
    else
        let struct (scaledInputs, scaledWeights, mixed) = structure sums live

        let structure =
            if scaledInputs || scaledWeights then Scaled
            elif mixed then Transformed
            else Separate

        let bits role = attempt (fun () -> significand sums live (structure <> Transformed) role)
        let inputBits, weightBits = bits Role.Input, bits Role.Kernel
        let middle, final = live[live.Length / 2], List.last live

        let triples =
            if structure = Transformed then
                // The same tap of three channels: the transforms treat all alike, and the sum over channels is seen.
                live
                |> List.groupBy sums.Channel
                |> List.map (fun (_, own) -> own.Head)
                |> function
                    | a :: b :: c :: _ -> [ a, b, c ]
                    | _ -> []
            else
                [
                    live[0], live[1], live[2]
                    if live.Length > 3 then
                        live[0], middle, final
                        live[live.Length - 3], live[live.Length - 2], final
                ]

        let sumBits =
            match structure, attempt (fun () -> sumBits sums triples) with
            // Several sums go into an output of transforms, and part of their errors cancels.
            | Transformed, Some(Exactly bits) when bits = 25 || bits = 26 -> Some(Exactly 24)
            | _, found -> found

        let ranges role = attempt (fun () -> range sums middle role)

        { probed with
            Shape = Some s
            Structure = Some structure
            InputBits = inputBits
            WeightBits = weightBits
            InputLevels = attempt (fun () -> if scaledInputs then levels sums live Role.Input else None)
            WeightLevels = attempt (fun () -> if scaledWeights then levels sums live Role.Kernel else None)
            SumBits = sumBits
            ResultBits = attempt (fun () -> resultBits sums live.Head final)
            InputRange = ranges Role.Input
            WeightRange = ranges Role.Kernel
            ResultRange = ranges Role.Bias
            Fused =
                attempt (fun () ->
                    match structure, sumBits, inputBits, weightBits with
                    | Separate, Some(Exactly bits), Some x, Some k -> fused sums live bits (min x k)
                    | _ -> None)
            Order =
                attempt (fun () ->
                    match structure, sumBits with
                    | Separate, Some(Exactly bits) when live.Length = sums.Count -> order sums bits
                    | _ -> None)
        }

/// Finds out what the subject does.
let ofSubject (subject: Subject) : Probed =
    let can capability = subject.Profile.Capabilities.Contains capability

    if not (can Forward) then
        unknown
    else
        let shape wanted = attempt (fun () -> supported subject wanted)
        let ask shape probe = attempt (fun () -> shape |> Option.bind probe)
        let padded c h o = ConvShape(1, c, h, h, o, 3, 3, padTop = 1, padLeft = 1, padBottom = 1, padRight = 1)
        // Twenty-seven terms in one output.
        let summing = shape [ ConvShape(1, 3, 3, 3, 1, 3, 3); ConvShape(1, 27, 1, 1, 1, 1, 1) ]
        let image = shape [ padded 1 13 1; ConvShape(1, 2, 13, 13, 2, 1, 1) ]

        let inPlace s =
            attempt (fun () ->
                if can Placed && supports subject s then
                    laidAlike subject s [ Placement.plain; { Placement.plain with InPlace = true } ]
                else
                    None)

        let sums =
            ask summing (fun s -> Some(ofSums subject s unknown))
            |> Option.defaultValue unknown

        { sums with
            ResultBits =
                // A transform rounds on the way: powers of two do not come back as they went in.
                if sums.Structure = Some Transformed then
                    ask image (usedBits subject)
                else
                    sums.ResultBits
            Repeatable = ask image (repeatable subject)
            AnyAddress =
                ask image (fun s ->
                    if can Placed then
                        laidAlike subject s [ for misalign in [ 0; 1; 3; 8; 13 ] -> { Placement.plain with Misalign = misalign } ]
                    else
                        None)
            AnyBatch =
                attempt (fun () ->
                    // Large enough for tiles over several images.
                    shape [ padded 16 7 16; ConvShape(1, 64, 5, 5, 16, 1, 1) ]
                    |> Option.bind (batchAlike subject))
            AnyThreads =
                attempt (fun () ->
                    if can Placed && can Threads then
                        // Enough work for several threads.
                        shape [ padded 16 12 16; ConvShape(1, 64, 12, 12, 16, 1, 1) ]
                        |> Option.bind (fun s ->
                            laidAlike subject s [ for threads in [ 1; 2; 3; 7 ] -> { Placement.plain with Threads = threads } ])
                    else
                        None)
            Spread = ask image (spread subject)
            InPlaceByChannel = inPlace byChannel
            InPlaceAcross = inPlace across
            Unsupported = attempt (fun () -> if can Misuse then unsupported subject else None)
        }

/// The profiles of many, in their order.
let all threads (subjects: Subject list) : Probed list =
    let subjects = Array.ofList subjects
    let found = Array.create subjects.Length unknown

    System.Threading.Tasks.Parallel.For(
        0,
        subjects.Length,
        System.Threading.Tasks.ParallelOptions(MaxDegreeOfParallelism = threads),
        fun at -> found[at] <- ofSubject subjects[at]
    )
    |> ignore<System.Threading.Tasks.ParallelLoopResult>

    List.ofArray found
