/// Tensors of almost 2³¹ elements, whose bytes lie beyond 2³²: offsets that leave 32 bits on the way, and loops whose last step does. The
/// operands are functions of their index, so that the definition needs no second copy.
module internal Conv.Properties.Huge

open System
open System.Threading.Tasks
open Conv

type Problem = { Name: string; Title: string; Shape: ConvShape }

/// One tensor each is just below the longest array, 2³¹ − 57 elements; all else is small.
let problems =
    [
        {
            Name = "input"
            Title = "an input of 2³¹ − 524,264 elements, of which strides read little, the last of all images and channels included"
            Shape = ConvShape.Parse "n=2 c=4 h=16381 w=16383 o=8 kh=3 kw=3 sh=431 sw=130"
        }
        {
            Name = "channels"
            Title = "an output of 2³¹ − 65,536 elements in 32,767 channels"
            Shape = ConvShape.Parse "c=1 h=256 w=256 o=32767 kh=3 kw=3 pt=1 pl=1 pb=1 pr=1"
        }
        {
            Name = "plane"
            // Also with patches of nine taps in blocks of 4 MiB, the block behind the last would begin beyond 2³¹.
            Title = "an output of 2³¹ − 4,096 elements in one channel, the image in its last corner, the rest padding"
            Shape = ConvShape.Parse "c=1 h=64 w=64 o=1 kh=3 kw=3 pt=4033 pl=524224 pb=1 pr=1"
        }
    ]

/// Bytes of all tensors of a problem.
let bytes (s: ConvShape) =
    int64 sizeof<float32>
    * (s.InputLength + s.KernelLength + int64 s.OutChannels + s.OutputLength)

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

/// y[n,o,i,j] from the indices alone, in units of the kernel.
let private definition (s: ConvShape) (n: int64) (o: int64) (i: int64) (j: int) =
    let first =
        n * int64 s.InChannels
        + o / int64 s.OutChannelsPerGroup * int64 s.InChannelsPerGroup

    let mutable sum = bias o

    for c in 0 .. s.InChannelsPerGroup - 1 do
        for u in 0 .. s.KernelHeight - 1 do
            let h = i * int64 s.StrideHeight + int64 u * int64 s.DilationHeight - int64 s.PadTop

            if h >= 0L && h < int64 s.InHeight then
                for v in 0 .. s.KernelWidth - 1 do
                    let w =
                        int64 j * int64 s.StrideWidth + int64 v * int64 s.DilationWidth
                        - int64 s.PadLeft

                    if w >= 0L && w < int64 s.InWidth then
                        let x = input (((first + int64 c) * int64 s.InHeight + h) * int64 s.InWidth + w)

                        let k =
                            ((o * int64 s.InChannelsPerGroup + int64 c) * int64 s.KernelHeight + int64 u)
                            * int64 s.KernelWidth
                            + int64 v

                        sum <- sum + x * kernel k

    sum

/// What the kernel is a multiple of so that the subject's arithmetic is exact on any such values, or why it is not: the certificate of a
/// small problem of the same channels and taps, on the greatest magnitudes.
let private unit (subject: Subject) (s: ConvShape) =
    let arithmetic = subject.Profile.ArithmeticOf s

    let unit =
        match arithmetic with
        | :? Bilinear as algorithm when (BilinearProgram.Of algorithm).HasExactGrid -> (BilinearProgram.Of algorithm).KernelStep
        | _ -> 1

    let small =
        ConvShape(1, s.InChannelsPerGroup, s.KernelExtentHeight + 7, s.KernelExtentWidth + 7, 1, s.KernelHeight, s.KernelWidth)

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

/// Rows of the output that are all compared: the first and last, and of the others one in eight where there are many.
let private isCompared (rows: int64) (row: int64) = rows <= (1L <<< 14) || row < 64L || row >= rows - 1024L || drawn 7u row 8UL = 0

/// The first element of the output that is wrong, and how many are. No element may be NaN; those of the chosen rows must be the definition's.
let private compare (s: ConvShape) unit (y: float32[]) =
    let rows = int64 s.Batch * int64 s.OutChannels * int64 s.OutHeight
    let totals = {| Compared = ref 0L; Wrong = ref 0L; First = ref Int64.MaxValue |}

    let one (row: int64) =
        let at = row * int64 s.OutWidth
        let image, i = Math.DivRem(row, int64 s.OutHeight)
        let n, o = Math.DivRem(image, int64 s.OutChannels)
        let exactly = isCompared rows row
        let mutable bad = 0L
        let mutable earliest = Int64.MaxValue

        for j in 0 .. s.OutWidth - 1 do
            let actual = y[int (at + int64 j)]

            if
                Single.IsNaN actual
                || exactly && actual <> float32 (unit * definition s n o i j)
            then
                bad <- bad + 1L
                earliest <- min earliest (at + int64 j)

        lock totals (fun () ->
            totals.Wrong.Value <- totals.Wrong.Value + bad
            totals.First.Value <- min totals.First.Value earliest

            if exactly then
                totals.Compared.Value <- totals.Compared.Value + int64 s.OutWidth)

    Parallel.For(0L, rows, one) |> ignore<ParallelLoopResult>
    struct (totals.Compared.Value, totals.Wrong.Value, totals.First.Value)

/// What a subject did with a problem.
type Outcome =
    | Exact of compared: int64
    | Wrong of message: string
    /// It has no such problem, or no exact arithmetic for it.
    | Passes of reason: string
    | Fails of reason: string

/// Holds a subject to the definition on a shape; the seconds are those of the call alone.
let hold (subject: Subject) (s: ConvShape) : struct (Outcome * float) =
    if not (subject.Profile.Capabilities.Contains Forward && subject.Profile.Supports s) then
        struct (Passes "it does not support the shape", 0.0)
    else
        match unit subject s with
        | Error reason -> struct (Passes reason, 0.0)
        | Ok unit ->
            let x = fill s.InputLength (input >> float32)
            let k = fill s.KernelLength (fun at -> float32 (unit * kernel at))
            let b = fill (int64 s.OutChannels) (fun at -> float32 (unit * bias at))
            let clock = Diagnostics.Stopwatch.StartNew()

            try
                let y = subject.Forward s x k b
                let seconds = clock.Elapsed.TotalSeconds

                if int64 y.Length <> s.OutputLength then
                    struct (Wrong $"the output has {y.Length} elements, the shape has {s.OutputLength}", seconds)
                else
                    let struct (compared, wrong, first) = compare s unit y

                    if wrong = 0L then
                        struct (Exact compared, seconds)
                    else
                        let row, j = Math.DivRem(first, int64 s.OutWidth)
                        let image, i = Math.DivRem(row, int64 s.OutHeight)
                        let n, o = Math.DivRem(image, int64 s.OutChannels)
                        let expected = unit * definition s n o i (int j)

                        struct (Wrong
                                    $"y[{n},{o},{i},{j}], element {first}, is {y[int first]} and should be {expected}; {wrong} elements are wrong",
                                seconds)
            with
            | :? OutOfMemoryException -> struct (Fails "it ran out of memory", clock.Elapsed.TotalSeconds)
            | error -> struct (Wrong $"it throws {error.GetType().Name}: {error.Message.Split('\n')[0]}", clock.Elapsed.TotalSeconds)
