/// Faults of memory: operands that are changed, outputs and workspaces that are not cleared, reads and writes beyond a tensor, views,
/// and work in place.
module internal Conv.Properties.MemoryPieces

open System
open Conv
open Conv.Properties.TextbookMemory


let private operands =
    [
        { honest with
            Begin =
                fun call ->
                    let mutable input = call.Input

                    for at in 0 .. input.Length - 1 do
                        input[at] <- -input[at]
            Store =
                fun call o at sum ->
                    let mutable output = call.Output
                    output[at] <- bias call o - sum
        }
        |> Piece.ofMemory
            "m187-transform-in-the-callers-input"
            "The input was changed while the operator ran; here its sign, which the sum takes back."

        { honest with
            Pack =
                fun s kernel ->
                    let mutable place = kernel
                    let taps = int s.KernelPlane
                    let packed = Array.init kernel.Length (fun at -> kernel[at])
                    // Packed with the channel innermost, where the weights stood.
                    for at in 0 .. packed.Length - 1 do
                        let tap, rest = at % taps, at / taps
                        let c, o = rest % s.InChannelsPerGroup, rest / s.InChannelsPerGroup
                        place[(o * taps + tap) * s.InChannelsPerGroup + c] <- packed[at]

                    packed
        }
        |> Piece.ofMemory "q10-weights-packed-in-place" "The weights are packed in the memory that they came in."
    ]

let private stale =
    [
        { honest with
            Store =
                fun call o at sum ->
                    let mutable output = call.Output
                    output[at] <- output[at] + sum + bias call o
        }
        |> Piece.ofMemory "m179-beta-of-one" "Zeros convolved gave NaN: the product was added to an output that nobody had cleared."

        { honest with
            Store =
                fun call o at sum ->
                    let mutable output = call.Output
                    output[at] <- 0f * output[at] + sum + bias call o
        }
        |> Piece.ofMemory "q11-beta-of-zero-multiplied" "What the output held is multiplied by zero, which clears no NaN."

        { honest with
            Gather =
                fun call to' from ->
                    let mutable patches = call.Patches

                    if isInside call.Shape from then
                        patches[to'] <- call.Input[inputIndex call.Shape from]
        }
        |> Piece.ofMemory "m073-padding-never-written" "Where the patches hold padding, what a recycled buffer held was read."

        { honest with
            Dot =
                fun call o at ->
                    let terms = int call.Shape.TermsPerOutput
                    let mutable sum = honest.Dot call o at

                    // The last vector of four taps, whose surplus weights are zero: its lanes are the next positions, or the end.
                    for q in terms .. (terms + 3) / 4 * 4 - 1 do
                        let lane = at q
                        sum <- sum + 0f * (if lane < call.Patches.Length then call.Patches[lane] else 0f)

                    sum
            Workspace = fun s -> honest.Workspace s + 3L * s.OutputPlane
        }
        |> Piece.ofMemory
            "q12-surplus-lanes-not-cleared"
            "The workspace has room for whole vectors of taps; the surplus is multiplied by zero, and never cleared."
    ]

/// Weights of each filter followed by what stands behind them, in vectors of four taps.
let private vectors (s: ConvShape) = (int s.TermsPerOutput + 3) / 4 * 4

let private beyond =
    [
        { honest with
            Pack =
                fun s kernel ->
                    let terms, whole = int s.TermsPerOutput, vectors s
                    let reach = kernel.As(kernel.Length + 4)
                    Array.init (s.OutChannels * whole) (fun at -> reach[at / whole * terms + at % whole])
            Dot =
                fun call o at ->
                    let terms, whole = int call.Shape.TermsPerOutput, vectors call.Shape
                    let mutable sum = 0f

                    for q in 0 .. whole - 1 do
                        let x = if q < terms then call.Patches[at q] else 0f
                        sum <- sum + call.Weights[o * whole + q] * x

                    sum
        }
        |> Piece.ofOverrun
            "m049-weights-not-padded"
            "The weights were not padded to the tile of the last pass: what stood behind them met zeros."

        { honest with
            Gather =
                fun call to' from ->
                    let mutable patches = call.Patches
                    let s = call.Shape

                    if isInside s from then
                        // Four columns are loaded at once, and the first is kept.
                        let at, reach = inputIndex s from, call.Input.As(call.Input.Length + 4)
                        let surplus = reach[at + 1] + reach[at + 2] + reach[at + 3]
                        patches[to'] <- reach[at] + 0f * surplus
                    else
                        patches[to'] <- 0f
        }
        |> Piece.ofOverrun
            "m021-load-beyond-the-row"
            "A vector at the end of a row was loaded whole, and what it held of the next row met zeros."

        { honest with
            Store =
                fun call o at sum ->
                    let mutable output = call.Output.As(call.Output.Length + 4)

                    // One vector of four a number: the next three are written again.
                    for lane in 0..3 do
                        output[at + lane] <- sum + bias call o
        }
        |> Piece.ofOverrun "m097-store-beyond-the-output" "The last vector of an output was stored whole where a part of it was left."

        { honest with
            Workspace = fun s -> honest.Workspace s / 16L * 16L
            Patches = fun s _ workspace -> workspace.As(int (honest.Workspace s))
        }
        |> Piece.ofOverrun "q13-workspace-rounded-down" "The size of the workspace is rounded down to whole cache lines."

        { honest with
            Workspace = fun s -> max 0L (honest.Workspace s - int64 (min 64 s.Columns.Outputs))
            Patches = fun s _ workspace -> workspace.As(int (honest.Workspace s))
        }
        |> Piece.ofOverrun
            "q14-workspace-one-row-short"
            "The formula of the workspace leaves out the last row of patches, as far as it has up to 64 columns."
    ]

let private views =
    [
        { honest with
            KernelView = fun _ view -> TensorView(0, view.Stride0, view.Stride1, view.Stride2, view.Stride3)
        }
        |> Piece.ofMemory "m120-kernel-offset-ignored" "The offset at which a kernel starts in its memory was ignored."

        { honest with
            KernelView = fun s _ -> TensorView.Dense(s.InChannelsPerGroup, s.Rows.Taps, s.Columns.Taps)
        }
        |> Piece.ofMemory "m138-kernel-taken-for-contiguous" "An expanded weight was read as if it were contiguous."

        { honest with
            InputView =
                fun s view ->
                    // Sizes and strides that look like channels last, or do not.
                    if view.Stride1 = 1 then
                        TensorView.ChannelsLast(s.InChannels, s.Rows.Size, s.Columns.Size)
                    else
                        TensorView.Dense(s.InChannels, s.Rows.Size, s.Columns.Size)
        }
        |> Piece.ofMemory "m156-one-of-two-layouts" "An operand in one layout went to a kernel for another; here every input is one of two."

        { honest with
            OutputView = fun s view -> TensorView(view.Offset, s.OutChannels * view.Stride1, view.Stride1, view.Stride2, view.Stride3)
        }
        |> Piece.ofMemory "q15-batch-stride-of-the-output" "The distance of two images of the output is taken for the size of one."
    ]

let private inPlace =
    [
        { honest with
            Begin =
                fun call ->
                    let s = call.Shape
                    let mutable output = call.Output
                    let plane = int s.OutputPlane

                    for at in 0 .. output.Length - 1 do
                        output[at] <- bias call (at / plane % s.OutChannels)
            Store =
                fun call _ at sum ->
                    let mutable output = call.Output
                    output[at] <- output[at] + sum
        }
        |> Piece.ofMemory
            "m185-output-filled-before-the-input-is-read"
            "With the input as its output, what it still had to read was overwritten; here by the bias."

        { honest with
            Store =
                fun call o at sum ->
                    let mutable output = call.Output

                    for lane in 0..3 do
                        if at + lane < output.Length then
                            output[at + lane] <- sum + bias call o
        }
        |> Piece.ofMemory
            "m186-store-over-unread-input"
            "Stores of four numbers overwrote input that had not been read where it was the output too."
    ]

let all = operands @ stale @ beyond @ views @ inPlace
