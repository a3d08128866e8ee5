/// Faults of threads and callers. Where two must meet for the fault to show, they wait for each other: the same thing happens every time.
module Conv.Properties.ThreadPieces

// A buffer that callers share is reached through its address, as their own is.
#nowarn "9"

open System
open System.Collections.Concurrent
open System.Runtime.CompilerServices
open System.Threading
open Microsoft.FSharp.NativeInterop
open Conv
open Conv.Properties.TextbookMemory

let private l = "L threading"
let private slip = "textbook slip"

let private shares =
    [
        { honest with
            Rows =
                fun rows thread threads ->
                    let each = rows / threads
                    struct (thread * each, (thread + 1) * each)
        }
        |> Piece.ofMemory
            l
            "q16-remainder-of-the-rows"
            slip
            "an uneven share"
            "Rows that do not divide among the threads belong to none."
            [ "THREAD-COUNT" ]

        { honest with
            Rows =
                fun rows thread threads ->
                    // Three of four threads find work, the fourth believes that there is one image more.
                    let each = max 2 ((rows + threads - 1) / threads)
                    struct (min rows (thread * each), (if thread = threads - 1 then rows else min rows (thread * each + each - 1)))
        }
        |> Piece.ofMemory
            l
            "m039-more-threads-than-work"
            "oneapi-src/oneDNN"
            "d19425b311"
            "Where threads outnumbered what they share, their ranges were wrong."
            [ "THREAD-COUNT" ]
    ]

/// Each thread sums its share of the taps, and adds it to what the output held when it looked.
let private splitSums (organs: Organs) (call: Call) thread =
    let s = call.Shape
    let terms = int s.TermsPerOutput
    let plane = s.OutHeight * s.OutWidth
    let struct (first, last) = organs.Rows terms thread call.Count
    let mutable output = call.Output

    let input n o q i j =
        let tap = q % (s.KernelHeight * s.KernelWidth)

        let from =
            {
                N = n
                Channel =
                    o / s.OutChannelsPerGroup * s.InChannelsPerGroup
                    + q / (s.KernelHeight * s.KernelWidth)
                H = i * s.StrideHeight + tap / s.KernelWidth * s.DilationHeight - s.PadTop
                W = j * s.StrideWidth + tap % s.KernelWidth * s.DilationWidth - s.PadLeft
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
                      * input n o q (at % plane / s.OutWidth) (at % s.OutWidth)

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
            PatchIndex = fun s first q i j -> (q * s.OutHeight + i - first) * s.OutWidth + j
            Between = fun call _ -> call.Threads.SignalAndWait()
        }
        |> Piece.ofMemory
            l
            "m146-one-scratch-for-all-threads"
            "pytorch/pytorch"
            "PR 1947"
            "All threads gathered patches into the same buffer."
            [ "THREAD-COUNT" ]

        { honest with Work = splitSums }
        |> Piece.ofMemory
            l
            "m037-sums-added-without-a-lock"
            "oneapi-src/oneDNN"
            "6782adca7e"
            "Threads that shared a sum each added their part without waiting for the others."
            [ "THREAD-COUNT" ]
    ]

/// One buffer for all calls of a shape, and a hand-over: where another thread than the one that prepared it calls, the first of two callers waits
/// between gathering and multiplying until the second has gathered.
let private sharedPatches () =
    let buffers = ConcurrentDictionary<ConvShape, float32[]>()
    let preparer = ConditionalWeakTable<float32[], Thread>()
    let gate = obj ()
    let gathered = ref 0

    let handOver () =
        lock gate (fun () ->
            gathered.Value <- gathered.Value + 1
            Monitor.PulseAll gate
            let own = gathered.Value

            if own % 2 = 1 then
                while gathered.Value = own && Monitor.Wait(gate, TimeSpan.FromMilliseconds 50.0) do
                    ())

    { honest with
        Workspace = fun _ -> 0L
        Pack =
            fun s kernel ->
                let weights = honest.Pack s kernel
                preparer.Add(weights, Thread.CurrentThread)
                weights
        Patches =
            fun s _ ->
                let shared = buffers.GetOrAdd(s, fun s -> GC.AllocateArray(int (honest.Workspace s), pinned = true))

                use at = fixed shared
                Floats(at, shared.Length)
        Between =
            fun call step ->
                match preparer.TryGetValue call.Weights with
                | true, thread when step = 0 && not (obj.ReferenceEquals(thread, Thread.CurrentThread)) -> handOver ()
                | _ -> ()
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
        Prepare = fun shape k b x -> run shape x k b
    }

let private callers =
    [
        sharedPatches ()
        |> Piece.ofMemory
            l
            "m036-scratch-of-all-callers"
            "oneapi-src/oneDNN"
            "513f882dd2"
            "Auxiliary tensors belonged to the operator, not to its execution: callers at once shared them."
            [ "CONCURRENT-CALLERS" ]

        Piece.make
            sharedResult
            "google/XNNPACK"
            "866f7b3916"
            l
            "m055-result-in-the-buffer-of-the-call-before"
            "A second call wrote to the output of the first."
            [ "CONCURRENT-CALLERS" ]
    ]

let all = shares @ races @ callers
