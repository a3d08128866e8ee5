/// Faults of what is remembered: plans and weights under keys that leave something out, and calls that differ from each other.
module internal Conv.Properties.StatePieces

open System.Collections.Concurrent
open System.Runtime.CompilerServices
open System.Threading
open Conv
open Conv.Properties.Textbook


/// Finds the shape for which a plan was made under the same key: the first one, for ever.
let private remembered (key: ConvShape -> 'key) =
    let plans = ConcurrentDictionary<'key, ConvShape>()
    fun (s: ConvShape) -> plans.GetOrAdd(key s, s)

let private sizes (s: ConvShape) =
    struct (struct (s.Batch, s.Rows.Size, s.Columns.Size, s.OutChannels), struct (s.InChannelsPerGroup, s.Rows.Taps, s.Columns.Taps))

let private strides (s: ConvShape) = struct (s.Rows.Stride, s.Columns.Stride)
let private pads (s: ConvShape) = struct (s.Rows.Before, s.Columns.Before, s.Rows.After, s.Columns.After)
let private dilations (s: ConvShape) = struct (s.Rows.Dilation, s.Columns.Dilation)

/// Rows and columns are read by the plan.
let private readingBy plan =
    { honest with
        InputRow = fun s at u -> honest.InputRow (plan s) at u
        InputColumn = fun s at v -> honest.InputColumn (plan s) at v
    }

/// Every array of weights is packed once.
let private packedOnce () =
    let packed = ConditionalWeakTable<float32[], float32[]>()
    fun (weights: float32[]) -> packed.GetValue(weights, Array.copy)

let private caches =
    [
        readingBy (remembered (fun s -> struct (sizes s, s.InChannels, s.Groups, strides s, pads s)))
        |> Piece.ofOrgans
            "m199-plan-without-its-dilation"
            "Two convolutions in a row influenced each other; here the key of a plan lacks the dilation."

        readingBy (remembered (fun s -> struct (sizes s, s.InChannels, s.Groups, strides s, dilations s)))
        |> Piece.ofOrgans "q17-plan-without-its-pads" "The key of a plan lacks the pads."

        (let plan = remembered (fun s -> struct (sizes s, strides s, pads s, dilations s))

         { honest with
             InputChannel = fun s at c -> min (s.InChannels - 1) (honest.InputChannel (plan s) at c)
         })
        |> Piece.ofOrgans "m170-plan-without-its-groups" "The hash of a cached plan lacked the number of groups."

        (let packed = packedOnce ()

         { honest with
             ReadKernel = fun p at t -> honest.ReadKernel { p with Kernel = packed p.Kernel } at t
         })
        |> Piece.ofOrgans
            "q18-weights-by-their-address"
            "Packed weights are found by the array that they came from, whatever it holds by now."

        (let packed = packedOnce ()

         { honest with
             ReadBias = fun p at -> if p.Bias.Length = 0 then 0f else (packed p.Bias)[at.O]
         })
        |> Piece.ofOrgans "q19-bias-by-its-address" "The bias is found by the array that it came from, whatever it holds by now."
    ]

/// Every second call of a thread sums the channels from the last to the first.
let private alternating name =
    let turn = new ThreadLocal<bool>()

    let backwards =
        { honest with
            InputChannel = fun s at c -> honest.InputChannel s at (s.InChannelsPerGroup - 1 - c)
            ReadKernel = fun p at t -> honest.ReadKernel p at { t with C = p.Shape.InChannelsPerGroup - 1 - t.C }
        }

    let forwards, backwards = Textbook.subject name honest, Textbook.subject name backwards

    let run shape x k b =
        turn.Value <- not turn.Value
        (if turn.Value then forwards else backwards).Forward shape x k b

    // It promises all that can be said of bits.
    let promises = Traits(Deterministic = true, BatchInvariant = true)

    { forwards with
        Profile = { forwards.Profile with Traits = promises }
        Forward = run
        Prepare = PreparedRuns.ofCalls run
        Fresh = Some(fun () -> turn.Value <- false)
    }

/// The weights of a prepared convolution are packed where they are, after each run anew.
let private packedEachRun name =
    let subject = Textbook.subject name honest

    { subject with
        Prepare =
            fun shape k b ->
                let weights = Array.copy k
                let terms = int shape.TermsPerOutput

                let run x =
                    let result = subject.Forward shape x weights b
                    // Of each filter, the first tap goes last.
                    let before = Array.copy weights

                    for at in 0 .. weights.Length - 1 do
                        weights[at] <- before[at / terms * terms + (at + 1) % terms]

                    result

                PreparedRuns.ofRun run
    }

let private repetitions =
    [
        Piece.make
            alternating
            "m131-sums-in-any-order"
            "Solvers that split the sum ignored that determinism was asked for: its order differed from call to call."

        Piece.make packedEachRun "q20-packed-again-each-run" "Each run of a prepared convolution packs its weights, which are packed."
    ]

let all = caches @ repetitions
