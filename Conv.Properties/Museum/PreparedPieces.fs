/// Faults of what lives longer than a call: prepared convolutions side by side and one after the other, what is found again by an address,
/// what changes with the number of calls; and shortcuts that answer without computing.
module internal Conv.Properties.PreparedPieces

// What is kept by an address needs one.
#nowarn "9"

open System
open System.Collections.Concurrent
open System.Runtime.InteropServices
open System.Threading
open Microsoft.FSharp.NativeInterop
open Conv
open Conv.Properties.Textbook

let private address (memory: ReadOnlySpan<float32>) =
    use at = fixed &MemoryMarshal.GetReference memory
    NativePtr.toNativeInt at

/// A method that sees where its input and kernel stand.
let private ofAddresses (compute: Subject -> nativeint -> nativeint -> ConvShape -> float32[] -> float32[] -> float32[] -> float32[]) name =
    let subject = Textbook.subject name honest

    Convolution(fun shape x k b y ->
        let result = compute subject (address x) (address k) shape (x.ToArray()) (k.ToArray()) (b.ToArray())
        result.AsSpan().CopyTo y)
    |> Contract.ofMethod name subject.Profile

/// What is kept under a key, up to so many entries.
let private keeping<'key, 'value when 'key: not null> () =
    let kept = ConcurrentDictionary<'key, 'value>()

    fun key (make: unit -> 'value) ->
        if kept.Count > 1000 then
            kept.Clear()

        kept.GetOrAdd(key, (fun _ -> make ()))

/// Weights are kept by where they stand, their shape, and the first and the last of them.
let private weightsBySamples name =
    let keep = keeping ()

    ofAddresses
        (fun subject _ kernel shape x k b ->
            if k.Length = 0 then
                subject.Forward shape x k b
            else
                let weights = keep (struct (kernel, shape, k[0], k[k.Length - 1])) (fun () -> k)
                subject.Forward shape x weights b)
        name

let private resultByAddress name =
    let keep = keeping ()

    ofAddresses (fun subject input kernel shape x k b -> keep (struct (input, kernel, shape)) (fun () -> subject.Forward shape x k b)) name

let private resultByShape name =
    let keep = keeping ()
    ofAddresses (fun subject _ _ (shape: ConvShape) x k b -> keep shape (fun () -> subject.Forward shape x k b)) name

let private nothingWritten name = Contract.ofMethod name Textbook.profile (Convolution(fun _ _ _ _ _ -> ()))

/// Whoever computes a reference after the call, computes it from zeros.
let private inputCleared name =
    let subject = Textbook.subject name honest

    Convolution(fun shape x k b y ->
        (subject.Forward shape (x.ToArray()) (k.ToArray()) (b.ToArray())).AsSpan().CopyTo y
        MemoryMarshal.CreateSpan(&MemoryMarshal.GetReference x, x.Length).Clear())
    |> Contract.ofMethod name subject.Profile

let private shortcuts =
    [
        { honest with Finish = fun _ _ _ -> 0f }
        |> Piece.ofOrgans "q231-zeros" "Every result is zero."

        Piece.make nothingWritten "q232-nothing-written" "The output is left as it was, which after an honest call is the right result."

        Piece.make resultByAddress "q233-result-by-address" "A result is found again by the addresses of input and kernel, and the shape."

        Piece.make inputCleared "q234-input-cleared-after-use" "The input is cleared after it was used."

        Piece.make resultByShape "q235-computed-once-for-a-shape" "The result is computed once for each shape, and is the same ever after."
    ]

/// Zeros for the padding have room for as many channels as the first call had, at least 256.
let private paddingOfTheFirstCall () =
    let room = [| 0 |]

    { honest with
        Accept = fun s -> Interlocked.CompareExchange(&room[0], max 256 s.InChannels, 0) |> ignore<int>
        ReadInput =
            fun p at c h w ->
                if c >= room[0] && not (ReachPieces.isInside p.Shape h w) then
                    p.Input[0]
                else
                    honest.ReadInput p at c h w
    }

/// From a number of calls of one shape on, operands keep 11 bits.
let private fasterFrom count name =
    let calls = ConcurrentDictionary<ConvShape, int>()
    let plain = Textbook.subject name honest

    let fast =
        Textbook.subject
            name
            { honest with
                Accumulate = fun _ _ sum x k -> sum + ReachPieces.tf32 x * ReachPieces.tf32 k
            }

    let run shape x k b =
        let call = calls.AddOrUpdate(shape, 1, (fun _ before -> before + 1))
        (if call < count then plain else fast).Forward shape x k b

    { plain with Forward = run; Prepare = PreparedRuns.ofCalls run }

/// The gradient of the kernel takes the patches of the forward pass before, where the input stands in the same place.
let private patchesOfTheForwardPass name =
    let subject = TextbookAdjoint.subject name TextbookAdjoint.honest
    let last = new ThreadLocal<struct (float32[] * float32[])>(fun () -> struct ([||], [||]))

    let forward shape (x: float32[]) k b =
        last.Value <- struct (x, Array.copy x)
        subject.Forward shape x k b

    { subject with
        Forward = forward
        Prepare = PreparedRuns.ofCalls forward
        Operate =
            fun operation s first second b ->
                match operation with
                | Operation.Forward -> forward s first second b
                | Operation.BackwardKernel ->
                    let struct (input, kept) = last.Value
                    subject.Operate operation s (if obj.ReferenceEquals(input, first) then kept else first) second b
                | _ -> subject.Operate operation s first second b
    }

let private calls =
    [
        paddingOfTheFirstCall ()
        |> Piece.ofOrgans
            "m204-padding-of-the-first-call"
            "The buffer of zeros for padding kept the size of the first call: with more channels, what stood behind it was read."

        Piece.make
            weightsBySamples
            "m218-weights-by-two-samples"
            "Packed weights were found again by their address, shape, first and last number."

        Piece.make (fasterFrom 13) "q222-tf32-from-the-13th-call" "An autotuner settles for TF32 with the 13th call of a shape."

        Piece.make
            patchesOfTheForwardPass
            "q227-patches-of-the-forward-pass"
            "The gradient of the kernel takes the patches of the last forward pass, though the input has other numbers by now."
    ]

/// A prepared convolution from what it does with copies of its weights.
let private prepared (prepare: Subject -> ConvShape -> float32[] -> float32[] -> PreparedRuns) name =
    let subject = Textbook.subject name honest

    { subject with
        Profile =
            { subject.Profile with
                Capabilities = subject.Profile.Capabilities.Add Prepares
            }
        Prepare = fun shape k b -> prepare subject shape (Array.copy k) (Array.copy b)
    }

/// What was prepared for a shape leaves its bias to the next.
let private biasOfTheReleased name =
    let released = ConcurrentDictionary<ConvShape, float32[]>()

    prepared
        (fun subject shape k b ->
            let bias =
                match released.TryRemove shape with
                | true, old when b.Length = 0 -> old
                | _ -> b

            { PreparedRuns.ofRun (fun x -> subject.Forward shape x k bias) with
                Release =
                    fun () ->
                        if b.Length > 0 then
                            released[shape] <- b
            })
        name

/// Weights stand in one of so many places that a thread has, in turn.
let private inPlaces count name =
    let places = new ThreadLocal<float32[][]>(fun () -> Array.create count [||])
    let next = new ThreadLocal<int>()

    prepared
        (fun subject shape k b ->
            let places, place = places.Value, next.Value
            next.Value <- (place + 1) % count

            let keep (weights: float32[]) =
                let behind = places[place] |> Array.skip (min weights.Length places[place].Length)
                places[place] <- Array.append weights behind

            keep k

            PreparedRuns.ofRun (fun x -> subject.Forward shape x (Array.sub places[place] 0 k.Length) b))
        name

/// From the eighth run on another kernel is taken, for output channels in fours.
let private anotherFromTheEighthRun name =
    let tail =
        Textbook.subject
            name
            { honest with
                ReadKernel = fun p at t -> if at.O < p.Shape.OutChannels / 4 * 4 then honest.ReadKernel p at t else 0f
            }

    prepared
        (fun subject shape k b ->
            let runs = [| 0 |]

            PreparedRuns.ofRun (fun x ->
                let run = Interlocked.Increment &runs[0]
                (if run < 8 then subject else tail).Forward shape x k b))
        name

/// Equal weights are kept once, and cleared by who is released first.
let private sharedWeights name =
    let shared = ConcurrentDictionary<ConvShape, float32[]>()

    prepared
        (fun subject shape k b ->
            let kept = shared.GetOrAdd(shape, k)
            let weights = if kept.AsSpan().SequenceEqual k then kept else k

            { PreparedRuns.ofRun (fun x -> subject.Forward shape x weights b) with
                Release =
                    fun () ->
                        shared.TryRemove shape |> ignore<bool * float32[]>
                        Array.Clear weights
            })
        name

/// The result of the run before, where the input has the same first, middle and last number.
let private resultBySamples name =
    let samples (x: float32[]) =
        if x.Length = 0 then
            struct (0f, 0f, 0f)
        else
            struct (x[0], x[x.Length / 2], x[x.Length - 1])

    prepared
        (fun subject shape k b ->
            let gate = obj ()
            let last = ref ValueNone

            PreparedRuns.ofRun (fun x ->
                lock gate (fun () ->
                    match last.Value with
                    | ValueSome(struct (before, result)) when before = samples x -> Array.copy result
                    | _ ->
                        let result = subject.Forward shape x k b
                        last.Value <- ValueSome(struct (samples x, Array.copy result))
                        result)))
        name

/// How long one caller waits for another, where others call than the thread that prepared.
let private patience = TimeSpan.FromSeconds 2.0

/// The first run packs the weights: the first of two callers has packed half of them when the second looks.
let private packedByTheFirst name =
    let concurrent =
        prepared
            (fun subject shape k b ->
                let preparer = Thread.CurrentThread
                let gate = obj ()
                let calls = ref 0
                let packed = ref false
                let half = k |> Array.mapi (fun at weight -> if at < k.Length / 2 then weight else 0f)

                PreparedRuns.ofRun (fun x ->
                    let weights =
                        lock gate (fun () ->
                            calls.Value <- calls.Value + 1
                            Monitor.PulseAll gate

                            if calls.Value = 1 then
                                if not (obj.ReferenceEquals(preparer, Thread.CurrentThread)) then
                                    while calls.Value = 1 && Monitor.Wait(gate, patience) do
                                        ()

                                packed.Value <- true

                            if packed.Value then k else half)

                    subject.Forward shape x weights b))
            name

    { concurrent with
        Profile =
            { concurrent.Profile with
                Capabilities = concurrent.Profile.Capabilities.Add Concurrent
            }
    }

let private lives =
    [
        Piece.make
            biasOfTheReleased
            "q228-bias-of-the-released"
            "A convolution prepared without a bias keeps that of an equal one that was released before."

        Piece.make
            (inPlaces 1)
            "q229-one-arena-of-weights"
            "All prepared convolutions keep their weights in one arena, each from its beginning."

        Piece.make
            anotherFromTheEighthRun
            "q230-another-kernel-from-the-eighth-run"
            "From the eighth run of a prepared convolution on, output channels go in fours, and what remains is the bias alone."

        Piece.make
            (inPlaces 4)
            "q256-ring-of-four"
            "Prepared convolutions keep their weights in a ring of four places: the fifth takes that of the first."

        Piece.make
            sharedWeights
            "q257-cleared-by-the-first-release"
            "Equal weights are kept once, and cleared by the first of two prepared convolutions that is released."

        Piece.make
            resultBySamples
            "q260-result-by-three-samples"
            "A prepared convolution returns the result of the run before where three numbers of the input are the same."

        Piece.make
            packedByTheFirst
            "q220-packed-by-the-first-run"
            "The first run of a prepared convolution packs its weights, and one at the same time takes them half packed."

        Piece.make
            (inPlaces 8)
            "q262-ring-of-eight"
            "Prepared convolutions keep their weights in a ring of eight places: the ninth takes that of the first."
    ]

let all = shortcuts @ calls @ lives
