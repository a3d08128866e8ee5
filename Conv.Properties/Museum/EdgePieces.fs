/// Faults at the edges of what is valid: empty tensors, indices of 16 bits, sizes, pads and checks, distances between rows.
module Conv.Properties.EdgePieces

open System
open System.Numerics
open Conv
open Conv.Properties.Textbook
open Conv.Properties.TextbookGeometry

let private honest = Textbook.honest
let private n, q, i = "N integer overflow", "Q shape and validation", "I im2col and packing"
let private slip = "textbook slip"

let private empty =
    [
        { honest with Accept = fun s -> int s.OutputLength / s.Batch |> ignore<int> }
        |> Piece.ofOrgans
            q
            "m151-divided-by-the-batch"
            "tensorflow/tensorflow"
            "14657"
            "A batch of no images was not supported; here the outputs of one image are counted by a division."
            [ "EMPTY" ]

        { honest with
            Accept =
                fun s ->
                    if s.Batch = 0 then
                        raise (ArgumentException "The batch is empty.")
        }
        |> Piece.ofOrgans q "m201-zero-batch-refused" "Theano/Theano" "3715" "A batch of no images was refused." [ "EMPTY" ]

        { honest with Computes = fun s _ -> s.InChannels > 0 }
        |> Piece.ofOrgans
            q
            "m147-nothing-written-for-nothing"
            "pytorch/pytorch"
            "PR 24341"
            "For an empty input the output kept what it held."
            [ "EMPTY" ]

        { honest with Start = fun p _ -> 0f / float32 p.Shape.InChannels }
        |> Piece.ofOrgans
            q
            "q33-divided-by-the-channels"
            slip
            "the mean of no channels"
            "The sum starts from zero divided by the number of channels."
            [ "EMPTY" ]
    ]

/// A loop that takes its time: problems of up to two million products, of which there are large ones along each dimension.
let private unhurried id library reference fault organs =
    Piece.make
        (fun name ->
            let subject = Textbook.subject name organs

            { subject with
                Profile = { subject.Profile with Supports = fun s -> s.MultiplyAdds <= 2_000_000L }
            })
        library
        reference
        n
        id
        fault
        [ "LARGE-INDEX" ]

/// What is left of an index in 16 bits.
let private narrow (at: int) = int (uint16 at)

let private indices =
    [
        { honest with
            ReadInput =
                fun p at c h w ->
                    let s = p.Shape

                    if h >= 0 && h < s.InHeight && w >= 0 && w < s.InWidth then
                        p.Input[narrow (inputIndex s at.N c h w)]
                    else
                        0f
        }
        |> unhurried "m031-input-offset-of-16-bits" "oneapi-src/oneDNN" "6c1988463b" "Offsets into the input overflowed; here at 16 bits."

        { honest with
            ReadKernel = fun p at t -> p.Kernel[narrow (kernelIndex p.Shape at.O t.C t.U t.V)]
        }
        |> unhurried
            "m050-kernel-offset-of-16-bits"
            "google/XNNPACK"
            "32e57d15af"
            "The number of taps was cut to fewer bits; here the offset into the kernel, to 16."

        { honest with Computes = fun s at -> honest.OutputIndex s at < 65535 }
        |> unhurried
            "m103-grid-of-65535"
            "ml-explore/mlx"
            "973e27f82"
            "From 65,536 outputs on, those beyond the limit of a grid were not computed."

        { honest with
            OutputIndex = fun s at -> honest.OutputIndex s { at with I = narrow at.I; J = narrow at.J }
        }
        |> unhurried
            "m132-rows-of-16-bits"
            "ROCm/rocm-libraries"
            "PR 4611"
            "An overflow ended a loop early and left outputs unwritten; here rows and columns are counted in 16 bits."
    ]

let private right = TextbookGeometry.honest

let private pads =
    [
        { right with
            SamePads = fun size taps stride dilation upper -> right.SamePads size taps stride dilation (not upper)
        }
        |> Piece.ofGeometry
            q
            "m154-upper-and-lower-exchanged"
            "microsoft/onnxruntime"
            "PR 5368"
            "SAME_UPPER and SAME_LOWER were exchanged."
            [ "SAME" ]

        { right with
            SamePads = fun size taps _ dilation upper -> right.SamePads size taps 1 dilation upper
        }
        |> Piece.ofGeometry
            q
            "m157-same-without-its-stride"
            "microsoft/onnxruntime"
            "26734"
            "SAME padding with a stride of two was computed as without."
            [ "SAME" ]

        { right with
            SamePads = fun size taps stride _ upper -> right.SamePads size taps stride 1 upper
        }
        |> Piece.ofGeometry
            q
            "m163-same-without-its-dilation"
            "root-project/root"
            "PR 21685"
            "SAME padding was computed from the kernel without its dilation."
            [ "SAME" ]

        { right with
            SamePads =
                fun size taps stride dilation upper ->
                    let outputs = (size + stride - 1) / stride
                    split ((outputs - 1) * stride + (taps - 1) * dilation + 1 - size) upper
        }
        |> Piece.ofGeometry
            q
            "q34-negative-pads"
            slip
            "a kernel smaller than the stride"
            "Where the windows leave rows unread, SAME padding is negative."
            [ "SAME" ]

        { right with
            TransposedSize = fun size taps stride dilation before after _ -> right.TransposedSize size taps stride dilation before after 0
        }
        |> Piece.ofGeometry
            "T transposed"
            "m183-output-padding-not-in-the-size"
            "openvinotoolkit/openvino"
            "PR 32608"
            "The size of a transposed convolution came out wrong; here it lacks the output padding."
            [ "TRANSPOSED-SHAPE" ]

        { right with
            TransposedSize = fun size taps stride _ before after more -> right.TransposedSize size taps stride 1 before after more
        }
        |> Piece.ofGeometry
            "T transposed"
            "q35-dilation-not-in-the-transposed-size"
            slip
            "the extent of a kernel"
            "The size of a transposed convolution lacks the dilation."
            [ "TRANSPOSED-SHAPE" ]
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
        |> Piece.ofGeometry
            q
            "m112-and-for-or"
            "tracel-ai/burn"
            "4c7353230"
            "The check of the groups asked whether both numbers of channels are indivisible."
            [ "REJECTS-INVALID" ]

        { right with
            Fits = fun _ _ -> None
            Counts = fun _ -> None
        }
        |> Piece.ofGeometry
            q
            "m191-kernel-beyond-the-input"
            "PaddlePaddle/Paddle"
            "64838"
            "A dilated kernel larger than the input was not refused."
            [ "REJECTS-INVALID" ]

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
        |> Piece.ofGeometry
            n
            "m051-counts-that-wrap"
            "google/XNNPACK"
            "d8edbc1a75"
            "The product of sizes overflowed before it was compared."
            [ "REJECTS-INVALID" ]

        { TextbookMemory.honest with CheckRun = fun _ _ _ _ _ -> () }
        |> Piece.ofMemory
            q
            "q36-lengths-not-checked"
            slip
            "the check of a call"
            "Nobody looks at the lengths of input, output and workspace."
            [ "REJECTS-INVALID" ]

        { TextbookMemory.honest with
            CheckRun =
                fun s input output workspace needed ->
                    let mutable result = output

                    for at in 0 .. result.Length - 1 do
                        result[at] <- 0f

                    TextbookMemory.honest.CheckRun s input output workspace needed
        }
        |> Piece.ofMemory
            q
            "q37-cleared-before-the-check"
            slip
            "the check of a call"
            "The output is cleared before the lengths are checked."
            [ "REJECTS-INVALID" ]

        { TextbookMemory.honest with
            CheckWeights = fun s kernel _ -> TextbookMemory.honest.CheckWeights s kernel (kernel.As 0)
        }
        |> Piece.ofMemory
            q
            "q38-bias-not-checked"
            slip
            "the check of a call"
            "Nobody looks at the length of the bias."
            [ "REJECTS-INVALID" ]
    ]

let private products =
    [
        { honestProduct with Apart = fun columns _ given -> { given with B = columns } }
        |> Piece.ofProduct
            i
            "q39-width-for-ldb"
            slip
            "leading dimensions"
            "The rows of B are taken to lie side by side."
            [ "LEADING-DIMENSION" ]

        { honestProduct with Apart = fun _ depth given -> { given with A = depth } }
        |> Piece.ofProduct
            i
            "q40-depth-for-lda"
            slip
            "leading dimensions"
            "The rows of A are taken to lie side by side."
            [ "LEADING-DIMENSION" ]

        { honestProduct with
            EndRow =
                fun c from width next ->
                    for at in from + width .. next - 1 do
                        c[at] <- 0f
        }
        |> Piece.ofProduct
            i
            "q41-rows-cleared-to-their-end"
            slip
            "leading dimensions"
            "What lies between the rows of the result is cleared."
            [ "LEADING-DIMENSION" ]
    ]

let all = empty @ indices @ pads @ checks @ products
