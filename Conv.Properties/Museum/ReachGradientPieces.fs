/// Faults of the gradient of the input that only large parameters show, or several that are large at once.
module internal Conv.Properties.ReachGradientPieces

open System
open Conv
open Conv.Properties.Textbook
open Conv.Properties.TextbookAdjoint

let private honest = TextbookAdjoint.honest

/// Honest operators, one of which is computed by a function of the subject, the shape and the operands.
let around operation (compute: Subject -> ConvShape -> float32[] -> float32[] -> float32[] -> float32[]) name =
    let subject = TextbookAdjoint.subject name honest

    { subject with
        Operate =
            fun own s first second b ->
                if own = operation then
                    compute subject s first second b
                else
                    subject.Operate own s first second b
    }

/// The same from a change of the first operand.
let private withFirst operation change =
    around operation (fun subject s first second b -> subject.Operate operation s (change s first) second b)

let positions (s: ConvShape) = int s.OutputPlane

/// One tap and no pads, with any stride.
let isOneTap (s: ConvShape) =
    s.Rows.Taps = 1
    && s.Columns.Taps = 1
    && s.Rows.Before + s.Columns.Before + s.Rows.After + s.Columns.After = 0

let private row (s: ConvShape) (p: Pixel) u = meeting p.H u s.Rows.Stride s.Rows.Dilation s.Rows.Before s.Rows.Outputs
let private column (s: ConvShape) (p: Pixel) v = meeting p.W v s.Columns.Stride s.Columns.Dilation s.Columns.Before s.Columns.Outputs

/// The honest place, with other numbers of rows and columns.
let private meetsBy row column =
    fun (s: ConvShape) (p: Pixel) u v ->
        match row s p u, column s p v with
        | ValueSome i, ValueSome j -> ValueSome(struct (i, j))
        | _ -> ValueNone

/// The honest place, where a tap takes part at all.
let private meetsWhere (takes: ConvShape -> Pixel -> int -> int -> bool) =
    fun (s: ConvShape) (p: Pixel) u v -> if takes s p u v then honest.Meets s p u v else ValueNone

let rec private gcd a b = if b = 0 then a else gcd b (a % b)

/// Phases of a stride: taps of one phase meet the same pixels.
let private phases stride dilation = stride / gcd stride dilation

/// Whether a tap is among those of its phase, by a formula that is right for two phases.
let private isOfPhase tap taps stride dilation =
    let phases = phases stride dilation
    let most = (taps + phases - 1) / phases
    tap / phases < (if (tap % phases + 1) * most <= taps then most else taps % most)

let private phasesOfInput =
    [
        { honest with
            Meets =
                meetsWhere (fun s _ u v ->
                    isOfPhase u s.Rows.Taps s.Rows.Stride s.Rows.Dilation
                    && isOfPhase v s.Columns.Taps s.Columns.Stride s.Columns.Dilation)
        }
        |> Piece.ofOperators
            "m229-taps-of-a-phase"
            "The taps of a phase of the stride were counted by a formula that loses some for strides of three and more."

        { honest with
            Meets =
                meetsWhere (fun s _ u v ->
                    s.Groups > 1
                    || u % phases s.Rows.Stride s.Rows.Dilation = 0
                       && v % phases s.Columns.Stride s.Columns.Dilation = 0)
        }
        |> Piece.ofOperators
            "m232-first-phase-alone"
            "A path without groups computed the first of the products into which a stride splits the gradient of the input."

        { honest with
            Meets =
                let meeting position tap stride dilation before outputs =
                    let from = position + before - tap * dilation
                    // As if the stride were a power of two.
                    if stride < 8 then
                        meeting position tap stride dilation before outputs
                    elif from >= 0 && from &&& (stride - 1) = 0 && from / stride < outputs then
                        ValueSome(from / stride)
                    else
                        ValueNone

                meetsBy (fun s p u -> meeting p.H u s.Rows.Stride s.Rows.Dilation s.Rows.Before s.Rows.Outputs) (fun s p v ->
                    meeting p.W v s.Columns.Stride s.Columns.Dilation s.Columns.Before s.Columns.Outputs)
        }
        |> Piece.ofOperators
            "q245-large-strides-are-powers-of-two"
            "The gradient of the input takes a remainder by strides of eight and more with a mask."
    ]

/// dY as it is found where an image has whole vectors of 128 channels.
let private pitchOf128 (s: ConvShape) (dy: float32[]) =
    let plane, channels = positions s, (s.OutChannels + 127) / 128 * 128

    if s.OutChannels <= 128 then
        dy
    else
        Array.init dy.Length (fun at ->
            let image, rest = at / (plane * s.OutChannels), at % (plane * s.OutChannels)
            let from = image * channels * plane + rest
            if from < dy.Length then dy[from] else 0f)

/// The first half of a batch twice, where a tensor is too large for one call.
let private halvesOfLarge (s: ConvShape) (dy: float32[]) =
    if s.Batch % 2 = 0 && max s.InputLength s.OutputLength > 16384L then
        Array.init dy.Length (fun at -> dy[at % (dy.Length / 2)])
    else
        dy

/// Zero stands where nobody wrote, or what stood there before.
let private unwrittenBeyondTheFirst (subject: Subject) (s: ConvShape) dy k b =
    let result = subject.Operate Operation.BackwardInput s dy k b

    if isOneTap s && s.Rows.Outputs = 1 && s.Rows.Stride > 1 then
        for at in 0 .. result.Length - 1 do
            if at / s.Columns.Size % s.Rows.Size > 0 then
                result[at] <- Single.NaN

    result

let private input =
    [
        { honest with
            Meets =
                meetsBy row (fun s p v ->
                    let isShort =
                        s.Columns.Stride > 1
                        && s.InChannelsPerGroup > 16
                        && s.Columns.Size < 17
                        && v = 0

                    meeting
                        p.W
                        v
                        s.Columns.Stride
                        s.Columns.Dilation
                        s.Columns.Before
                        (if isShort then s.Columns.Outputs - 1 else s.Columns.Outputs))
        }
        |> Piece.ofOperators
            "m209-strided-gradient-of-narrow-images"
            "The gradient of the input was wrong for more than 16 channels of fewer than 17 columns with a stride; here a column is lost."

        Piece.make
            (around Operation.BackwardInput unwrittenBeyondTheFirst)
            "m230-one-row-of-outputs-has-no-stride"
            "Where there is one row of outputs a stride was taken for none: rows of the gradient that no window meets are not written."

        { honest with
            Reaching =
                fun s p ->
                    let plane, at = int s.InputPlane, p.H * s.Columns.Size + p.W
                    let struct (first, count) = honest.Reaching s p
                    let lost = TextbookGemm.isPointwise s && plane > 256 && at >= plane / 64 * 64
                    struct (first, (if lost then 0 else count))
        }
        |> Piece.ofOperators
            "m231-pixel-tail-of-a-pointwise-gradient"
            "The gradient of the input of 1×1 was zero behind the last 64 of the 324 pixels of an image."

        Piece.make
            (withFirst Operation.BackwardInput halvesOfLarge)
            "m237-second-half-of-a-split-batch"
            "A batch that is too large was split, and its second half took the operands of the first; here beyond 16,384 floats."

        Piece.make
            (withFirst Operation.BackwardInput pitchOf128)
            "q224-images-of-whole-128-channels"
            "The gradient of the input takes images of more than 128 output channels to be as far apart as whole vectors of them."

        { honest with
            Reaching =
                fun s p ->
                    let struct (first, count) = honest.Reaching s p
                    let tail = count % 64
                    struct (first, (if count > 64 && tail < 8 then count - tail else count))
        }
        |> Piece.ofOperators
            "q244-tail-of-64-output-channels"
            "The gradient of the input sums 64 output channels at a time, and behind them a rest of fewer than eight is left out."

        { honest with
            Meets =
                meetsBy row (fun s p v ->
                    match column s p v with
                    | ValueSome j when s.Columns.Size > 64 && j * s.Columns.Stride / 64 <> p.W / 64 -> ValueNone
                    | j -> j)
        }
        |> Piece.ofOperators
            "q246-halo-of-64-columns"
            "The gradient of a wide input is computed in tiles of 64 columns, which outputs of the next tile do not reach."
    ]

let all = phasesOfInput @ input
