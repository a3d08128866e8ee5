/// Faults of threads and callers. Where two must meet for the fault to show, they wait for each other: the same thing happens every time.
module internal Conv.Properties.ThreadPieces

// A buffer that callers share is reached through its address, as their own is.
#nowarn "9"

open System
open System.Collections.Concurrent
open System.Runtime.CompilerServices
open System.Threading
open Microsoft.FSharp.NativeInterop
open Conv
open Conv.Properties.TextbookMemory


let private shares =
    [
        { honest with
            Rows =
                fun rows thread threads ->
                    let each = rows / threads
                    struct (thread * each, (thread + 1) * each)
        }
        |> Piece.ofMemory "q16-remainder-of-the-rows" "Rows that do not divide among the threads belong to none."

        { honest with
            Rows =
                fun rows thread threads ->
                    // Three of four threads find work, the fourth believes that there is one image more.
                    let each = max 2 ((rows + threads - 1) / threads)
                    struct (min rows (thread * each), (if thread = threads - 1 then rows else min rows (thread * each + each - 1)))
        }
        |> Piece.ofMemory "m039-more-threads-than-work" "Where threads outnumbered what they share, their ranges were wrong."
    ]

/// Each thread sums its share of the taps, and adds it to what the output held when it looked.
let private splitSums (organs: Organs) (call: Call) thread =
    let s = call.Shape
    let terms = int s.TermsPerOutput
    let plane = int s.OutputPlane
    let struct (first, last) = organs.Rows terms thread call.Count
    let mutable output = call.Output

    let input n o q i j =
        let tap = q % (int s.KernelPlane)

        let from =
            {
                N = n
                Channel = o / s.OutChannelsPerGroup * s.InChannelsPerGroup + q / (int s.KernelPlane)
                H = i * s.Rows.Stride + tap / s.Columns.Taps * s.Rows.Dilation - s.Rows.Before
                W =
                    j * s.Columns.Stride + tap % s.Columns.Taps * s.Columns.Dilation
                    - s.Columns.Before
            }

        if isInside s from then call.Input[inputIndex s from] else 0f

    if thread = 0 then
        for at in 0 .. output.Length - 1 do
            output[at] <- bias call (at / plane % s.OutChannels)

    call.Threads.SignalAndWait()

    let sums =
        Array.init output.Length (fun at ->
            let n, o = at / plane / s.OutChannels, at / plane % s.OutChannels
            let mutable sum = call.Output[at]

            for q in first .. last - 1 do
                sum <-
                    sum
                    + call.Weights[o * terms + q]
                      * input n o q (at % plane / s.Columns.Outputs) (at % s.Columns.Outputs)

            sum)

    // All have looked before any has added.
    call.Threads.SignalAndWait()

    for turn in 0 .. call.Count - 1 do
        if turn = thread then
            for at in 0 .. sums.Length - 1 do
                output[at] <- sums[at]

        call.Threads.SignalAndWait()

let private races =
    [
        { honest with
            // Rows of the thread itself: every thread's patches begin at the same place.
            PatchIndex = fun s first q i j -> (q * s.Rows.Outputs + i - first) * s.Columns.Outputs + j
            Between = fun call _ -> call.Threads.SignalAndWait()
        }
        |> Piece.ofMemory "m146-one-scratch-for-all-threads" "All threads gathered patches into the same buffer."

        { honest with Work = splitSums }
        |> Piece.ofMemory "m037-sums-added-without-a-lock" "Threads that shared a sum each added their part without waiting for the others."
    ]

/// What a prepared convolution keeps for all of its calls: the patches, and where two callers meet.
[<Sealed>]
type private Scratch(size: int) =
    let patches: float32[] = GC.AllocateArray(size, pinned = true)
    let preparer = Thread.CurrentThread
    let gate = obj ()
    let mutable gathered = 0

    member _.Patches =
        use at = fixed patches
        Floats(at, size)

    /// Where others call than the thread that prepared, the first of two waits, its patches gathered, until the second has gathered.
    member _.HandOver() =
        if not (obj.ReferenceEquals(preparer, Thread.CurrentThread)) then
            lock gate (fun () ->
                gathered <- gathered + 1
                Monitor.PulseAll gate
                let own = gathered

                if own % 2 = 1 then
                    // An odd caller waits for nobody in the end.
                    while gathered = own && Monitor.Wait(gate, TimeSpan.FromSeconds 2.0) do
                        ())

/// Each packed array of weights has one scratch.
let private sharedScratch () =
    let kept = ConditionalWeakTable<float32[], Scratch>()

    let scratch weights =
        match kept.TryGetValue weights with
        | true, scratch -> scratch
        | _ -> invalidOp "These weights were not packed here."

    { honest with
        Workspace = fun _ -> 0L
        Pack =
            fun s kernel ->
                let weights = honest.Pack s kernel
                kept.AddOrUpdate(weights, Scratch(int (honest.Workspace s)))
                weights
        Patches = fun _ weights _ -> (scratch weights).Patches
        Between =
            fun call step ->
                if step = 0 && call.Count = 1 then
                    (scratch call.Weights).HandOver()
    }

/// The result of a call is the buffer of the call before.
let private sharedResult name =
    let buffers = ConcurrentDictionary<int, float32[]>()
    let subject = Textbook.subject name Textbook.honest

    let run shape x k b =
        let result = subject.Forward shape x k b
        let buffer = buffers.GetOrAdd(result.Length, fun length -> Array.zeroCreate length)
        Array.blit result 0 buffer 0 result.Length
        buffer

    { subject with
        Profile =
            { subject.Profile with
                Capabilities = subject.Profile.Capabilities.Add Concurrent
            }
        Forward = run
        Prepare = PreparedRuns.ofCalls run
    }

/// Shared out among the threads that the environment grants, where these are more than eight, the rows that do not divide are nobody's.
let private leftOverRows name =
    let subject = Textbook.subject name Textbook.honest

    let under threads =
        { subject with
            Forward =
                fun s x k b ->
                    let y = subject.Forward s x k b
                    let rows = if threads > 8 && s.Rows.Outputs > threads then s.Rows.Outputs % threads else 0
                    let kept = (s.Rows.Outputs - rows) * s.Columns.Outputs

                    y
                    |> Array.mapi (fun at value -> if s.Columns.Outputs > 0 && at % (int s.OutputPlane) >= kept then 0f else value)
        }

    { subject with
        Profile =
            { subject.Profile with
                Capabilities = subject.Profile.Capabilities.Add ThreadSettings
            }
        Granted = under
    }

let private callers =
    [
        sharedScratch ()
        |> Piece.ofMemory
            "m036-scratch-of-all-callers"
            "Auxiliary tensors belonged to the operator, not to its execution: callers at once shared them."

        Piece.make sharedResult "m055-result-in-the-buffer-of-the-call-before" "A second call wrote to the output of the first."
    ]

let private grants =
    [
        Piece.make
            leftOverRows
            "q280-rows-left-over-by-many-threads"
            "With more than eight threads, rows that do not divide among them belong to none."
    ]

let all = shares @ races @ callers @ grants
