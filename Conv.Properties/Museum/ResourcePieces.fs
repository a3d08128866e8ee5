/// Slips of memory, views, threads and of what is computed before any convolution, that only some calls show.
module internal Conv.Properties.ResourcePieces

open System
open System.Threading
open Conv
open Conv.Properties.TextbookMemory

let private memory =
    [
        { honest with
            Begin =
                fun call ->
                    let mutable output = call.Output

                    if call.Shape.Batch > 1 then
                        for at in 0 .. output.Length - 1 do
                            output[at] <- 0f
        }
        |> Piece.ofMemory
            "q162-cleared-for-several-images"
            "Of several images the output is cleared first, and with it an input in the same place."

        { honest with Workspace = fun s -> s.TermsPerOutput * s.InputPlane }
        |> Piece.ofMemory
            "q163-workspace-of-the-input-size"
            "The workspace has room for the patches of as many outputs as there are inputs."

        { honest with
            Gather =
                fun call to' from ->
                    let s = call.Shape
                    let row = from.H >= 0 && from.H < s.Rows.Size
                    // The range of columns that is cleared is that of neighbouring taps.
                    if isInside s from || not row || s.Columns.Dilation = 1 then
                        honest.Gather call to' from
        }
        |> Piece.ofMemory
            "q164-dilated-columns-of-padding"
            "Where columns are dilated, padding beside a row of the image is not written into the patches."

        { honest with
            Store =
                fun call o at sum ->
                    let mutable output = call.Output
                    let s = call.Shape
                    // Sums over blocks of channels, of which the first stores and the others add.
                    output[at] <- (if s.InChannelsPerGroup > 8 then output[at] + sum else sum) + bias call o
        }
        |> Piece.ofMemory "q165-second-block-adds" "Above eight channels the sum is added to the output, that no first block has stored."
    ]

let private threads =
    [
        { honest with
            Work =
                fun organs call thread ->
                    let store call' o at sum = organs.Store (if thread = 0 then call' else { call' with Bias = [||] }) o at sum


                    honest.Work { organs with Store = store } call thread
        }
        |> Piece.ofMemory "q166-bias-by-the-first-thread" "The first thread alone adds the bias, in its own rows."

        { honest with
            Dot =
                fun call o at ->
                    let terms = int call.Shape.TermsPerOutput
                    let mutable sum = 0f

                    for q in 0 .. terms - 1 do
                        let q = if call.Count > 1 then terms - 1 - q else q
                        sum <- sum + call.Weights[o * terms + q] * call.Patches[at q]

                    sum
        }
        |> Piece.ofMemory "q167-order-by-the-threads" "On several threads the taps are summed in another order than on one."

        { honest with
            Rows =
                fun rows thread threads ->
                    let struct (first, last) = honest.Rows rows thread threads
                    // Whole tiles of two rows.
                    if threads = 1 then
                        struct (first, last)
                    else
                        struct (first / 2 * 2, (if thread = threads - 1 then rows / 2 * 2 else last / 2 * 2))
        }
        |> Piece.ofMemory "q168-odd-row-of-the-threads" "Threads share tiles of two rows, and an odd last row belongs to none."
    ]

/// A prepared convolution that several callers may run at once, from what one run does with what all share.
let private shared (prepare: Subject -> ConvShape -> float32[] -> float32[] -> float32[] -> float32[]) name =
    let subject = Textbook.subject name Textbook.honest

    { subject with
        Profile =
            { subject.Profile with
                Capabilities = subject.Profile.Capabilities.Add Concurrent
            }
        Prepare = fun shape k b -> prepare subject shape k b |> PreparedRuns.ofRun
    }

/// How long one caller waits for another, where others call than the thread that prepared.
let private patience = TimeSpan.FromSeconds 2.0

/// The input stands in a field of the prepared convolution: the first of two callers reads it when the second has set it.
let private inputInAField (subject: Subject) shape k b =
    let preparer = Thread.CurrentThread
    let gate = obj ()
    let input = ref [||]
    let calls = ref 0

    fun (x: float32[]) ->
        let seen =
            lock gate (fun () ->
                input.Value <- x
                calls.Value <- calls.Value + 1
                Monitor.PulseAll gate
                let own = calls.Value

                if own % 2 = 1 && not (obj.ReferenceEquals(preparer, Thread.CurrentThread)) then
                    while calls.Value = own && Monitor.Wait(gate, patience) do
                        ()

                input.Value)

        subject.Forward shape seen k b

let private callers =
    [
        Piece.make
            (shared inputInAField)
            "q185-input-in-a-field"
            "The input of a call stands in the prepared convolution, where a second caller replaces it."
    ]

let private views =
    [
        { honest with
            InputView = fun s view -> TensorView(view.Offset, view.Stride0, view.Stride1, s.Columns.Size * view.Stride3, view.Stride3)
        }
        |> Piece.ofMemory "q169-rows-taken-for-packed" "The distance of two rows of the input is taken for their width."

        { honest with
            InputView =
                fun s view ->
                    if view.Stride0 = 0 then
                        TensorView(view.Offset, s.InChannels * view.Stride1, view.Stride1, view.Stride2, view.Stride3)
                    else
                        view
            KernelView =
                fun s view ->
                    if view.Stride0 = 0 then
                        TensorView(view.Offset, s.InChannelsPerGroup * view.Stride1, view.Stride1, view.Stride2, view.Stride3)
                    else
                        view
        }
        |> Piece.ofMemory "q170-stride-of-zero-is-unset" "A first stride of zero is taken for one that was not given."

        { honest with
            InputView = fun _ view -> TensorView(view.Offset, view.Stride0, view.Stride1, view.Stride2, abs view.Stride3)
        }
        |> Piece.ofMemory "q171-columns-that-run-backwards" "Columns that run backwards are read forwards."

        { honest with
            OutputView =
                fun s view ->
                    if s.OutChannels = 1 then
                        TensorView(0, view.Stride0, view.Stride1, view.Stride2, view.Stride3)
                    else
                        view
        }
        |> Piece.ofMemory "q172-offset-of-one-channel" "The output of a single channel begins at the beginning of its memory."
    ]

let private right = TextbookGeometry.honest

/// The check of the ranges without these numbers.
let private unchecked (left: int list) (n: TextbookGeometry.Numbers) =
    right.Ranges
        {
            Sizes = n.Sizes |> List.mapi (fun at size -> if List.contains at left then 1 else size)
        }

let private geometry =
    [
        { right with
            SamePads =
                fun _ taps stride dilation upper ->
                    let extent = (taps - 1) * dilation + 1
                    TextbookGeometry.split (max 0 (extent - stride)) upper
        }
        |> Piece.ofGeometry "q173-same-pads-of-whole-strides" "SAME padding is computed as if the stride divided the size."

        { right with
            TransposedSize =
                fun size taps stride dilation before _ more -> right.TransposedSize size taps stride dilation before before more
        }
        |> Piece.ofGeometry "q174-transposed-size-of-equal-pads" "The size of a transposed convolution takes the first pad twice."

        { right with Ranges = unchecked [ 7; 8 ] }
        |> Piece.ofGeometry "q175-strides-not-checked" "Nobody looks whether a stride is positive: one of zero divides."

        { right with Ranges = unchecked [ 11; 12 ] }
        |> Piece.ofGeometry "q176-negative-pads-accepted" "The pads below and on the right may be negative."

        { right with
            Divides = fun n -> if n.InChannels % n.Groups <> 0 then right.Divides n else None
        }
        |> Piece.ofGeometry "q177-output-channels-not-checked" "Nobody looks whether the output channels divide into groups."

        { right with Fits = fun n axis -> if axis = 0 then right.Fits n 0 else None }
        |> Piece.ofGeometry "q178-width-of-the-kernel-not-checked" "Whether the kernel fits is checked for rows alone."

        { right with Ranges = unchecked [ 13; 14 ] }
        |> Piece.ofGeometry "q179-dilations-not-checked" "Nobody looks whether a dilation is positive."
    ]

let private cost (s: ConvShape) = s.MultiplyAdds

let private size (s: ConvShape) = struct (int64 s.Rows.Outputs, int64 s.Columns.Outputs)

let private formulas =
    [
        ((fun (s: ConvShape) ->
            let stride = if s.Rows.Taps = s.Columns.Taps then s.Rows.Stride else s.Columns.Stride

            struct (int64 s.Rows.Outputs,
                    int64 (
                        (s.Columns.Size + s.Columns.Before + s.Columns.After - s.Columns.Extent)
                        / stride
                        + 1
                    ))),
         cost)
        |> Piece.ofFormulas "q180-one-stride-for-square-kernels" "The width for a square kernel is computed with the stride of rows."

        ((fun (s: ConvShape) ->
            struct (int64 s.Rows.Outputs,
                    int64 (
                        (s.Columns.Size + s.Rows.Before + s.Rows.After - s.Columns.Extent)
                        / s.Columns.Stride
                        + 1
                    ))),
         cost)
        |> Piece.ofFormulas "q181-width-by-the-pads-of-rows" "The width is computed with the pads of rows."

        (size, (fun (s: ConvShape) -> int64 (int32 s.MultiplyAdds)))
        |> Piece.ofFormulas "q182-cost-in-32-bits" "The multiply-adds are counted in 32 bits."

        (size, (fun (s: ConvShape) -> s.InBoundsMultiplyAdds))
        |> Piece.ofFormulas "q183-cost-without-padding" "The multiply-adds leave out those with padding."

        (size, (fun (s: ConvShape) -> s.MultiplyAdds / int64 (max 1 s.Batch)))
        |> Piece.ofFormulas "q184-cost-of-one-image" "The multiply-adds are those of one image."
    ]

let all = memory @ threads @ callers @ views @ geometry @ formulas
