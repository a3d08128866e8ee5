/// Tensors of almost 2³¹ elements, whose bytes lie beyond 2³²: offsets that leave 32 bits on the way, and loops whose last step does. The
/// operands are functions of their index, so that the definition needs no second copy.
module internal Conv.Properties.Huge

open System
open System.Threading.Tasks
open Conv

type Problem = { Name: string; Title: string; Operation: Operation; Shape: ConvShape }

/// One tensor each is just below the longest array, 2³¹ − 57 elements; all else is small.
let private longest =
    [
        "input",
        "an input of 2³¹ − 524,264 elements, of which strides read little, the last of all images and channels included",
        "n=2 c=4 h=16381 w=16383 o=8 kh=3 kw=3 sh=431 sw=130"
        "channels", "an output of 2³¹ − 65,536 elements in 32,767 channels", "c=1 h=256 w=256 o=32767 kh=3 kw=3 pt=1 pl=1 pb=1 pr=1"
        "plane",
        // Also with patches of nine taps in blocks of 4 MiB, the block behind the last would begin beyond 2³¹.
        "an output of 2³¹ − 4,096 elements in one channel, the image in its last corner, the rest padding",
        "c=1 h=64 w=64 o=1 kh=3 kw=3 pt=4033 pl=524224 pb=1 pr=1"
    ]

/// Operands of less than a gigabyte, of which much more is made on the way.
let private wide =
    [
        // More than 65,535 blocks of 256 threads; patches of 900 MB; positions that float32 cannot count.
        "outputs",
        "25 million outputs",
        "c=1 h=4999 w=5003 o=1 kh=3 kw=3 pt=1 pl=1 pb=1 pr=1",
        [ Operation.BackwardBias; Operation.Transposed ]
        "patches", "patches of more than 2³¹ elements", "c=8 h=971 w=973 o=1 kh=17 kw=17 pt=5 pl=5 pb=5 pr=5", []
    ]

/// In the order in which they are asked.
let problems =
    [
        for name, title, shape in longest do
            {
                Name = name
                Title = title
                Operation = Operation.Forward
                Shape = ConvShape.Parse shape
            }

        for name, title, shape, more in wide do
            for operation in [ Operation.Forward; Operation.BackwardInput; Operation.BackwardKernel ] @ more do
                let first, second, result = Operation.names operation

                {
                    Name =
                        if operation = Operation.Forward then
                            name
                        else
                            $"{name}-{result}".ToLowerInvariant()
                    Title = $"{title}, {Operation.title operation}: {result} from {first} and {second}"
                    Operation = operation
                    Shape = ConvShape.Parse shape
                }
    ]

let private ofFirst operation s = Operation.elements (Operation.first operation s)
let private ofSecond operation s = Operation.elements (Operation.second operation s)

/// Channels that a bias is added to.
let private biases operation (s: ConvShape) =
    match operation with
    | Operation.Forward -> s.OutChannels
    | Operation.Transposed -> s.InChannels
    | _ -> 0

/// Bytes of all tensors of a problem.
let bytes (p: Problem) =
    int64 sizeof<float32>
    * (ofFirst p.Operation p.Shape
       + ofSecond p.Operation p.Shape
       + int64 (biases p.Operation p.Shape)
       + Operation.length p.Operation p.Shape)

/// What a subject and the process may need beside the tensors.
let margin = 1L <<< 30

/// The largest magnitude of x, and of b in units of the kernel.
let private most = 3

// The high half of a product with an odd number, folded into the range.
let private drawn (salt: uint32) (at: int64) (count: uint64) =
    let mixed = (uint64 at + uint64 salt) * 0x9E3779B97F4A7C15UL
    int (((mixed >>> 32) * count) >>> 32)

/// x at a flat index: −3…3.
let input (at: int64) = drawn 1u at (2UL * uint64 most + 1UL) - most

/// k at a flat index, in units: −1, 0 or 1.
let kernel (at: int64) = drawn 0x5EEDu at 3UL - 1

/// b of a channel, in units: −3…3.
let bias (at: int64) = drawn 0xB1A5u at (2UL * uint64 most + 1UL) - most

/// dY at a flat index where all of it is summed: −1 or 1 in two of 64 places, so that no order leaves the integers of float32.
let gradient (at: int64) =
    match drawn 0xD1FFu at 64UL with
    | 0 -> -1
    | 1 -> 1
    | _ -> 0

let private first operation =
    match operation with
    | Operation.BackwardBias -> gradient
    | _ -> input

let private second operation =
    match operation with
    | Operation.BackwardKernel -> gradient
    | Operation.BackwardBias -> fun _ -> 1
    | _ -> kernel

/// The tap of an axis under which an element of the input meets an output: that output, where there is one.
let private meets (a: Axis) (at: int64) (tap: int) =
    let reach = at + int64 a.Before - int64 tap * int64 a.Dilation
    let i = reach / int64 a.Stride

    if reach >= 0L && i * int64 a.Stride = reach && i < int64 a.Outputs then
        ValueSome i
    else
        ValueNone

/// The element that an output reads at a tap, where it is one of the input.
let private read (a: Axis) (output: int64) (tap: int64) =
    let at = output * int64 a.Stride + tap * int64 a.Dilation - int64 a.Before
    if at >= 0L && at < int64 a.Size then ValueSome at else ValueNone

/// y[n,o,i,j] from the indices alone, in units of the kernel.
let private forward (s: ConvShape) (n: int64) (o: int64) (i: int64) (j: int64) =
    let first =
        n * int64 s.InChannels
        + o / int64 s.OutChannelsPerGroup * int64 s.InChannelsPerGroup

    let rows, columns = s.Rows, s.Columns
    let mutable sum = bias o

    for c in 0 .. s.InChannelsPerGroup - 1 do
        for u in 0 .. rows.Taps - 1 do
            match read rows i (int64 u) with
            | ValueNone -> ()
            | ValueSome h ->
                for v in 0 .. columns.Taps - 1 do
                    match read columns j (int64 v) with
                    | ValueNone -> ()
                    | ValueSome w ->
                        let x = input (((first + int64 c) * int64 rows.Size + h) * int64 columns.Size + w)

                        let k =
                            ((o * int64 s.InChannelsPerGroup + int64 c) * int64 rows.Taps + int64 u)
                            * int64 columns.Taps
                            + int64 v

                        sum <- sum + x * kernel k

    sum

/// dx[n,c,h,w], and without the bias the transposed convolution's result.
let private backwardInput (s: ConvShape) (n: int64) (c: int64) (h: int64) (w: int64) =
    let g, inGroup = Math.DivRem(c, int64 s.InChannelsPerGroup)
    let rows, columns = s.Rows, s.Columns
    let mutable sum = 0

    for o in g * int64 s.OutChannelsPerGroup .. (g + 1L) * int64 s.OutChannelsPerGroup - 1L do
        for u in 0 .. rows.Taps - 1 do
            match meets rows h u with
            | ValueNone -> ()
            | ValueSome i ->
                for v in 0 .. columns.Taps - 1 do
                    match meets columns w v with
                    | ValueNone -> ()
                    | ValueSome j ->
                        let y =
                            ((n * int64 s.OutChannels + o) * int64 rows.Outputs + i) * int64 columns.Outputs
                            + j

                        let k =
                            ((o * int64 s.InChannelsPerGroup + inGroup) * int64 rows.Taps + int64 u)
                            * int64 columns.Taps
                            + int64 v

                        sum <- sum + input y * kernel k

    sum

/// What a tap of the kernel gathers over all outputs of a channel: of x where it is given a tap, of ones for the bias.
let private gathered (s: ConvShape) (o: int64) (x: int64 -> int64 -> int64 -> int) =
    let mutable sum = 0

    for n in 0L .. int64 s.Batch - 1L do
        for i in 0L .. int64 s.Rows.Outputs - 1L do
            let row =
                ((n * int64 s.OutChannels + o) * int64 s.Rows.Outputs + i)
                * int64 s.Columns.Outputs

            for j in 0L .. int64 s.Columns.Outputs - 1L do
                let dy = gradient (row + j)

                if dy <> 0 then
                    sum <- sum + dy * x n i j

    sum

/// dk[o,c,u,v].
let private backwardKernel (s: ConvShape) (o: int64) (c: int64) (u: int64) (v: int64) =
    let channel = o / int64 s.OutChannelsPerGroup * int64 s.InChannelsPerGroup + c

    gathered s o (fun n i j ->
        match read s.Rows i u, read s.Columns j v with
        | ValueSome h, ValueSome w ->
            input (
                ((n * int64 s.InChannels + channel) * int64 s.Rows.Size + h)
                * int64 s.Columns.Size
                + w
            )
        | _ -> 0)

/// An element of the result by its four indices, in units of the kernel.
let private definition operation (s: ConvShape) =
    match operation with
    | Operation.BackwardInput -> backwardInput s
    | Operation.Transposed -> fun n c h w -> backwardInput s n c h w + bias c
    | Operation.BackwardKernel -> backwardKernel s
    | Operation.BackwardBias -> fun o _ _ _ -> gathered s o (fun _ _ _ -> 1)
    | _ -> forward s

/// What the kernel is a multiple of so that the subject's arithmetic is exact on any such values, or why it is not. Of the forward pass: the
/// certificate of a small problem of the same channels and taps, on the greatest magnitudes. Of the others: sums of any order stay below 2²⁴.
let private unit (subject: Subject) operation (s: ConvShape) =
    match operation, subject.Profile.Arithmetic(operation, s) with
    | Operation.Forward, arithmetic ->
        let unit =
            match arithmetic with
            | :? Bilinear as algorithm when (BilinearProgram.Of algorithm).HasExactGrid -> (BilinearProgram.Of algorithm).KernelStep
            | _ -> 1

        let small =
            s.With(batch = 1, inChannels = s.InChannelsPerGroup, outChannels = 1, groups = 1).Along(fun a -> Axis(a.Extent + 7, a.Taps))

        let full length value = Array.create (int length) (float value)

        if
            Bound.isExact
                Operation.Forward
                arithmetic
                subject.Profile.Traits
                small
                (full small.InputLength most)
                (full small.KernelLength unit)
                (full 1L (most * unit))
        then
            Ok unit
        else
            Error "its arithmetic is not exact on such values"
    | (Operation.BackwardKernel | Operation.BackwardBias), :? AnyOrder ->
        let mutable live = 0L

        for at in 0L .. s.OutputLength - 1L do
            live <- live + int64 (abs (gradient at))

        if int64 most * live < (1L <<< 24) then
            Ok 1
        else
            Error "its sums leave the integers of float32"
    | _, :? AnyOrder when int64 most * (Operation.terms operation s + 1L) < (1L <<< 24) -> Ok 1
    | _ -> Error "its arithmetic is not exact on such values"

let private chunk = 1 <<< 20

/// A tensor from the function of its index, on all processors.
let private fill (length: int64) (value: int64 -> float32) =
    let data = GC.AllocateUninitializedArray<float32>(Checked.int length)

    Parallel.For(
        0,
        int ((length + int64 chunk - 1L) / int64 chunk),
        fun part ->
            let from = int64 part * int64 chunk

            for at in from .. min length (from + int64 chunk) - 1L do
                data[int at] <- value at
    )
    |> ignore<ParallelLoopResult>

    data

/// Products that a comparison may take.
let private patience = 2_400_000_000L

/// The first element of the result that is wrong, and how many are. No element may be NaN; those of the first and last rows, and of so many
/// between as there is time for, must be the definition's.
let private compare operation (s: ConvShape) unit (y: float32[]) =
    let d0, d1, d2, d3 = Operation.result operation s
    let rows = int64 d0 * int64 d1 * int64 d2
    let every = 1L + rows * int64 d3 * Operation.terms operation s / patience
    let isCompared (row: int64) = every = 1L || row < 8L || row >= rows - 64L || drawn 7u row (uint64 every) = 0
    let definition = definition operation s
    let totals = {| Compared = ref 0L; Wrong = ref 0L; First = ref Int64.MaxValue |}

    let one (row: int64) =
        let at = row * int64 d3
        let plane, i = Math.DivRem(row, int64 d2)
        let n, o = Math.DivRem(plane, int64 d1)
        let exactly = isCompared row
        let mutable bad = 0L
        let mutable earliest = Int64.MaxValue

        for j in 0L .. int64 d3 - 1L do
            let actual = y[int (at + j)]

            if Single.IsNaN actual || exactly && actual <> float32 (unit * definition n o i j) then
                bad <- bad + 1L
                earliest <- min earliest (at + j)

        lock totals (fun () ->
            totals.Wrong.Value <- totals.Wrong.Value + bad
            totals.First.Value <- min totals.First.Value earliest

            if exactly then
                totals.Compared.Value <- totals.Compared.Value + int64 d3)

    Parallel.For(0L, rows, one) |> ignore<ParallelLoopResult>
    struct (totals.Compared.Value, totals.Wrong.Value, totals.First.Value)

/// What a subject did with a problem.
type Outcome =
    | Exact of compared: int64
    | Wrong of message: string
    /// It has no such problem, or no exact arithmetic for it.
    | Passes of reason: string
    | Fails of reason: string

/// Holds a subject to the definition of an operation on a shape; the seconds are those of the call alone.
let hold (subject: Subject) operation (s: ConvShape) : struct (Outcome * float) =
    if
        not (
            subject.Profile.Capabilities.Contains Forward
            && subject.Profile.Offers(operation, s)
        )
    then
        struct (Passes $"it does not take {Operation.title operation} on the shape", 0.0)
    else
        match unit subject operation s with
        | Error reason -> struct (Passes reason, 0.0)
        | Ok unit ->
            let single value (at: int64) = float32 (value at: int)
            let x = fill (ofFirst operation s) (single (first operation))
            // Where the forward pass has units, they are the kernel's.
            let k = fill (ofSecond operation s) (single (fun at -> unit * second operation at))
            let b = fill (int64 (biases operation s)) (single (fun at -> unit * bias at))
            let clock = Diagnostics.Stopwatch.StartNew()

            try
                let y =
                    match operation with
                    | Operation.Forward -> subject.Forward s x k b
                    | _ -> subject.Operate operation s x k b

                let seconds = clock.Elapsed.TotalSeconds

                if int64 y.Length <> Operation.length operation s then
                    struct (Wrong $"the result has {y.Length} elements, {Operation.length operation s} are expected", seconds)
                else
                    let struct (compared, wrong, first) = compare operation s unit y

                    if wrong = 0L then
                        struct (Exact compared, seconds)
                    else
                        let _, d1, d2, d3 = Operation.result operation s
                        let row, j = Math.DivRem(first, int64 d3)
                        let plane, i = Math.DivRem(row, int64 d2)
                        let n, o = Math.DivRem(plane, int64 d1)
                        let expected = unit * definition operation s n o i j
                        let _, _, name = Operation.names operation

                        struct (Wrong
                                    $"{name}[{n},{o},{i},{j}], element {first}, is {y[int first]} and should be {expected}; {wrong} elements are wrong",
                                seconds)
            with
            | :? OutOfMemoryException -> struct (Fails "it ran out of memory", clock.Elapsed.TotalSeconds)
            | error -> struct (Wrong $"it throws {error.GetType().Name}: {error.Message.Split('\n')[0]}", clock.Elapsed.TotalSeconds)
