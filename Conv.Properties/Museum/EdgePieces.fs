/// Faults at the edges of what is valid: empty tensors, indices of 16 bits, sizes, pads and checks, distances between rows.
module internal Conv.Properties.EdgePieces

open System
open System.Numerics
open Conv
open Conv.Properties.Textbook
open Conv.Properties.TextbookGeometry

let private honest = Textbook.honest

let private empty =
    [
        { honest with Accept = fun s -> int s.OutputLength / s.Batch |> ignore<int> }
        |> Piece.ofOrgans
            "m151-divided-by-the-batch"
            "A batch of no images was not supported; here the outputs of one image are counted by a division."

        { honest with
            Accept =
                fun s ->
                    if s.Batch = 0 then
                        raise (ArgumentException "The batch is empty.")
        }
        |> Piece.ofOrgans "m201-zero-batch-refused" "A batch of no images was refused."

        { honest with Computes = fun s _ -> s.InChannels > 0 }
        |> Piece.ofOrgans "m147-nothing-written-for-nothing" "For an empty input the output kept what it held."

        { honest with Start = fun p _ -> 0f / float32 p.Shape.InChannels }
        |> Piece.ofOrgans "q33-divided-by-the-channels" "The sum starts from zero divided by the number of channels."
    ]

/// What is left of an index in 16 bits.
let private narrow (at: int) = int (uint16 at)

let private indices =
    [
        { honest with
            ReadInput =
                fun p at c h w ->
                    let s = p.Shape

                    if h >= 0 && h < s.Rows.Size && w >= 0 && w < s.Columns.Size then
                        p.Input[narrow (inputIndex s at.N c h w)]
                    else
                        0f
        }
        |> Piece.ofOrgans "m031-input-offset-of-16-bits" "Offsets into the input overflowed; here at 16 bits."

        { honest with
            ReadKernel = fun p at t -> p.Kernel[narrow (kernelIndex p.Shape at.O t.C t.U t.V)]
        }
        |> Piece.ofOrgans
            "m050-kernel-offset-of-16-bits"
            "The number of taps was cut to fewer bits; here the offset into the kernel, to 16."

        { honest with Computes = fun s at -> honest.OutputIndex s at < 65535 }
        |> Piece.ofOrgans "m103-grid-of-65535" "From 65,536 outputs on, those beyond the limit of a grid were not computed."

        { honest with
            OutputIndex = fun s at -> honest.OutputIndex s { at with I = narrow at.I; J = narrow at.J }
        }
        |> Piece.ofOrgans
            "m132-rows-of-16-bits"
            "An overflow ended a loop early and left outputs unwritten; here rows and columns are counted in 16 bits."
    ]

let private right = TextbookGeometry.honest

let private pads =
    [
        { right with
            SamePads = fun size taps stride dilation upper -> right.SamePads size taps stride dilation (not upper)
        }
        |> Piece.ofGeometry "m154-upper-and-lower-exchanged" "SAME_UPPER and SAME_LOWER were exchanged."

        { right with
            SamePads = fun size taps _ dilation upper -> right.SamePads size taps 1 dilation upper
        }
        |> Piece.ofGeometry "m157-same-without-its-stride" "SAME padding with a stride of two was computed as without."

        { right with
            SamePads = fun size taps stride _ upper -> right.SamePads size taps stride 1 upper
        }
        |> Piece.ofGeometry "m163-same-without-its-dilation" "SAME padding was computed from the kernel without its dilation."

        { right with
            SamePads =
                fun size taps stride dilation upper ->
                    let outputs = (size + stride - 1) / stride
                    split ((outputs - 1) * stride + (taps - 1) * dilation + 1 - size) upper
        }
        |> Piece.ofGeometry "q34-negative-pads" "Where the windows leave rows unread, SAME padding is negative."

        { right with
            TransposedSize = fun size taps stride dilation before after _ -> right.TransposedSize size taps stride dilation before after 0
        }
        |> Piece.ofGeometry
            "m183-output-padding-not-in-the-size"
            "The size of a transposed convolution came out wrong; here it lacks the output padding."

        { right with
            TransposedSize = fun size taps stride _ before after more -> right.TransposedSize size taps stride 1 before after more
        }
        |> Piece.ofGeometry "q35-dilation-not-in-the-transposed-size" "The size of a transposed convolution lacks the dilation."
    ]

let private checks =
    [
        { right with
            Divides =
                fun n ->
                    if n.InChannels % n.Groups <> 0 && n.OutChannels % n.Groups <> 0 then
                        right.Divides n
                    else
                        None
        }
        |> Piece.ofGeometry "m112-and-for-or" "The check of the groups asked whether both numbers of channels are indivisible."

        { right with
            Fits = fun _ _ -> None
            Counts = fun _ -> None
        }
        |> Piece.ofGeometry "m191-kernel-beyond-the-input" "A dilated kernel larger than the input was not refused."

        { right with
            Counts =
                fun n ->
                    // 64 bits are what is left of each product.
                    if
                        counts n
                        |> List.exists (fun sizes -> sizes |> List.map int64 |> List.reduce (*) < 0L)
                    then
                        right.Counts n
                    else
                        None
        }
        |> Piece.ofGeometry "m051-counts-that-wrap" "The product of sizes overflowed before it was compared."

        { TextbookMemory.honest with CheckRun = fun _ _ _ _ _ -> () }
        |> Piece.ofMemory "q36-lengths-not-checked" "Nobody looks at the lengths of input, output and workspace."

        { TextbookMemory.honest with
            CheckRun =
                fun s input output workspace needed ->
                    let mutable result = output

                    for at in 0 .. result.Length - 1 do
                        result[at] <- 0f

                    TextbookMemory.honest.CheckRun s input output workspace needed
        }
        |> Piece.ofMemory "q37-cleared-before-the-check" "The output is cleared before the lengths are checked."

        { TextbookMemory.honest with
            CheckWeights = fun s kernel _ -> TextbookMemory.honest.CheckWeights s kernel (kernel.As 0)
        }
        |> Piece.ofMemory "q38-bias-not-checked" "Nobody looks at the length of the bias."
    ]

let private products =
    [
        { honestProduct with Apart = fun columns _ given -> { given with B = columns } }
        |> Piece.ofProduct "q39-width-for-ldb" "The rows of B are taken to lie side by side."

        { honestProduct with Apart = fun _ depth given -> { given with A = depth } }
        |> Piece.ofProduct "q40-depth-for-lda" "The rows of A are taken to lie side by side."

        { honestProduct with
            EndRow =
                fun c from width next ->
                    for at in from + width .. next - 1 do
                        c[at] <- 0f
        }
        |> Piece.ofProduct "q41-rows-cleared-to-their-end" "What lies between the rows of the result is cleared."
    ]

let all = empty @ indices @ pads @ checks @ products
