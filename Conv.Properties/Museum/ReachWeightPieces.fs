/// Faults of the gradients of kernel and bias that only large parameters show, or several that are large at once.
module internal Conv.Properties.ReachWeightPieces

open System
open Conv
open Conv.Properties.Textbook
open Conv.Properties.TextbookAdjoint
open Conv.Properties.ReachPieces
open Conv.Properties.ReachGradientPieces

let private honest = TextbookAdjoint.honest

/// The gradient of the kernel, output after output: `between` sees a sum before the product of each, with its number.
let private outputByOutput (between: ConvShape -> int -> float32 -> float32) =
    around Operation.BackwardKernel (fun _ s x dy _ ->
        let result = Array.zeroCreate (int s.KernelLength)
        let problem = { Shape = s; Input = x; Kernel = [||]; Bias = [||] }
        let read, plane = Textbook.honest, positions s

        for flat in 0 .. result.Length - 1 do
            let taps = int s.KernelPlane
            let o, c, tap = flat / taps / s.InChannelsPerGroup, flat / taps % s.InChannelsPerGroup, flat % taps
            let mutable sum = 0f

            for number in 0 .. s.Batch * plane - 1 do
                let n, i, j = number / plane, number % plane / s.Columns.Outputs, number % s.Columns.Outputs
                let at = { N = n; O = o; I = i; J = j }
                let h, w = read.InputRow s at (tap / s.Columns.Taps), read.InputColumn s at (tap % s.Columns.Taps)
                let x = read.ReadInput problem at (read.InputChannel s at c) h w
                sum <- between s number sum + x * dy[outputIndex s n o i j]

            result[flat] <- sum

        result)

let private outputs (s: ConvShape) = s.Batch * positions s

let private splits =
    [
        Piece.make
            (outputByOutput (fun s number sum -> if outputs s >= 4096 && number % (outputs s / 64) = 0 then bf16 sum else sum))
            "m212-bf16-between-splits"
            "The gradient of the kernel was split in up to 64 parts, whose sums met in bfloat16."

        Piece.make
            (outputByOutput (fun s number sum -> if outputs s >= 16384 && number % s.Columns.Outputs = 0 then f16 sum else sum))
            "q221-f16-between-rows"
            "From 16,384 outputs on the gradient of the kernel is float16 between two rows."

        Piece.make
            (outputByOutput (fun s number sum -> if number = 16384 && outputs s > 16384 then 0f else sum))
            "q225-part-that-overwrites"
            "The gradient of the kernel is summed in parts of 1,024 outputs, and the 17th overwrites what there is."

        Piece.make
            (outputByOutput (fun s number sum -> if number % 2048 = 0 && outputs s > 2048 then bf16 sum else sum))
            "q226-bf16-between-parts"
            "The gradient of the kernel is summed in parts of 2,048 outputs, between which it is bfloat16."
    ]

let private reading organs = { honest with Reading = organs }

let private kernel =
    [
        { honest with Counts = fun s at -> s.Batch < 256 || at.N < s.Batch % 256 }
        |> Piece.ofOperators
            "m206-images-of-the-gradient-in-8-bits"
            "Gradients were wrong from 65,536 images on; here their number has 8 bits: of 256 images none is counted."

        reading
            { Textbook.honest with
                InputRow =
                    fun s at u ->
                        let isWrong =
                            s.InChannels = s.Groups
                            && s.OutChannels = s.Groups
                            && s.Groups >= 8
                            && s.Groups % 8 = 0
                            && s.Rows.Stride > 1
                            && s.Rows.After > 0
                            && at.I = s.Rows.Outputs - 1
                            && u = s.Rows.Taps - 1

                        if isWrong then -1 else Textbook.honest.InputRow s at u
            }
        |> Piece.ofOperators
            "m207-depthwise-gradient-of-the-last-row"
            "With a stride, the last output row of whole blocks of channels was taken to see the bottom pad in its last tap."

        reading
            { Textbook.honest with
                ReadInput =
                    fun p at c h w ->
                        let s = p.Shape

                        let overrun =
                            isOneTap s
                            && s.Rows.Stride * s.Columns.Stride > 1
                            && s.InChannels < 8
                            && s.Batch >= 32

                        if overrun && at.N = s.Batch / 2 && at.I = 0 && at.J = 0 then
                            0f
                        else
                            Textbook.honest.ReadInput p at c h w
            }
        |> Piece.ofOperators
            "m210-workspace-of-strided-pointwise"
            "With fewer channels than a block, one thread wrote beyond its workspace into that of the next, of the batch's other half."

        { honest with
            StoreTap =
                fun s o t ->
                    let mine, theirs = s.OutChannelsPerGroup, s.InChannelsPerGroup

                    if TextbookGemm.isPointwise s && s.Groups > 1 && (mine % 2 = 0 || theirs % 2 = 0) then
                        o / mine * mine * theirs + t.C * mine + o % mine
                    else
                        honest.StoreTap s o t
        }
        |> Piece.ofOperators
            "m211-pitch-of-a-pointwise-weight-gradient"
            "The gradient of a grouped 1×1 kernel had wrong strides where channels are even; here it is transposed."

        { honest with
            Counts =
                fun s at ->
                    int s.InputPlane > 1
                    || s.Rows.Stride = 1
                    || s.Rows.Before < s.Rows.Taps - 1
                    || at.I + at.J = 0
        }
        |> Piece.ofOperators
            "m233-one-pixel-in-wide-pads"
            "The gradient of the kernel was wrong for one pixel in pads as wide as the kernel with a stride: it takes the first output."

        reading
            { Textbook.honest with
                InputRow =
                    fun s at u ->
                        let mine = s.InChannelsPerGroup > 1 && at.O >= s.OutChannelsPerGroup
                        at.I * (if mine then 1 else s.Rows.Stride) + u * s.Rows.Dilation - s.Rows.Before
            }
        |> Piece.ofOperators
            "m246-stride-of-the-other-groups"
            "Patches for the gradient of a strided kernel in groups were wrong; here groups behind the first lose the stride."

        { honest with
            Counts =
                fun s at ->
                    s.Groups = 1
                    || s.InChannelsPerGroup < 16
                    || s.Rows.Stride <= s.Rows.Taps
                    || s.Rows.Before = 0
                    || at.I < s.Rows.Outputs - 1
        }
        |> Piece.ofOperators
            "m248-windows-of-groups-that-lie-apart"
            "The gradient of a grouped kernel smaller than the stride was wrong with padding; here the last row of outputs is lost."

        { honest with
            Counts = fun s at -> s.Batch <= 16 || s.OutChannels < 8 || at.N < s.Batch / 16 * 16
        }
        |> Piece.ofOperators
            "q247-images-in-sixteens"
            "For eight and more output channels the gradient of the kernel takes 16 images at a time and loses the rest."

        { honest with
            StoreTap =
                fun s o t ->
                    let t = if t.U >= 16 then { t with V = s.Columns.Taps - 1 - t.V } else t
                    honest.StoreTap s o t
        }
        |> Piece.ofOperators
            "q248-mirrored-behind-sixteen-rows"
            "The gradient of a kernel of more than 16 rows is mirrored in the rows behind the sixteenth."

        { honest with
            Accumulate = fun sum x dy -> if dy = 0f then sum else sum + x * dy
        }
        |> Piece.ofOperators
            "q261-zeros-skipped-in-a-gradient"
            "The gradient of the kernel skips outputs of which dY is zero, as after a rectification, and NaN in the input with them."

        Piece.make
            (around Operation.BackwardKernel (fun subject s x dy b ->
                if max ((s.Rows.Outputs - 1) * s.Rows.Stride) ((s.Columns.Outputs - 1) * s.Columns.Stride) > 127 then
                    raise (ArgumentException "The corner must be in −128 … 127.")

                subject.Operate Operation.BackwardKernel s x dy b))
            "m240-corner-of-eight-bits"
            "Wide images were refused in the backward pass, where the output is the kernel and its corner a number of eight bits."
    ]

let private bias =
    [
        { honest with
            SumBias =
                fun s dy o ->
                    let plane = positions s
                    let whole = if plane > 4096 then plane / 4096 * 4096 else plane
                    let mutable sum = 0f

                    for n in 0 .. s.Batch - 1 do
                        for at in 0 .. whole - 1 do
                            sum <- sum + dy[outputIndex s n o 0 0 + at]

                    sum
        }
        |> Piece.ofOperators
            "q249-parts-of-4096-outputs"
            "The gradient of the bias sums planes of more than 4,096 outputs in parts of so many and loses the rest."

        { honest with
            SumBias =
                fun s dy o ->
                    let mutable sum = 0f

                    for n in 0 .. s.Batch - 1 do
                        for at in 0 .. positions s - 1 do
                            sum <- sum + dy[outputIndex s n o 0 0 + at]

                        if s.Batch >= 32 then
                            sum <- bf16 sum

                    sum
        }
        |> Piece.ofOperators "q250-bf16-between-images" "From 32 images on the gradient of the bias is bfloat16 between two of them."
    ]

let all = splits @ kernel @ bias
