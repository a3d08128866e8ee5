/// Models of one node, Conv or ConvTranspose, in ONNX's file format. Source of the messages' fields: onnx.proto.
module internal Conv.Properties.OnnxModel

open System
open System.IO
open System.Runtime.InteropServices
open System.Text
open Google.Protobuf
open Conv

/// How the weights reach the model, and who says what the pads are.
type Variant =
    /// Weights and bias are inputs of the model.
    | Variable
    /// They are constants of it: the runtime may lay them out once, and chooses other kernels.
    | Constant
    /// As Variable, with auto_pad=SAME_UPPER in place of pads.
    | Same

/// A message's fields, one after the other, by the wire format of Protocol Buffers.
let private message (write: CodedOutputStream -> unit) =
    use memory = new MemoryStream()
    use stream = new CodedOutputStream(memory)
    write stream
    stream.Flush()
    memory.ToArray()

let private number field (value: int64) (s: CodedOutputStream) =
    s.WriteTag(field, WireFormat.WireType.Varint)
    s.WriteInt64 value

let private bytes field (value: byte[]) (s: CodedOutputStream) =
    s.WriteTag(field, WireFormat.WireType.LengthDelimited)
    s.WriteBytes(ByteString.CopyFrom value)

let private text field (value: string) (s: CodedOutputStream) =
    s.WriteTag(field, WireFormat.WireType.LengthDelimited)
    s.WriteString value

let private all (fields: (CodedOutputStream -> unit) list) = message (fun s -> fields |> List.iter (fun write -> write s))

/// onnx.proto: AttributeProto, INT = 2, STRING = 3, INTS = 7.
let private integer name value = all [ text 1 name; number 3 value; number 20 2L ]

let private integers name (values: int list) = all [ text 1 name; yield! values |> List.map (fun v -> number 8 (int64 v)); number 20 7L ]

let private word name (value: string) = all [ text 1 name; bytes 4 (Encoding.ASCII.GetBytes value); number 20 3L ]

/// onnx.proto: TensorProto, FLOAT = 1.
let private constant name (dims: int list) (values: float32[]) =
    all
        [
            yield! dims |> List.map (fun d -> number 1 (int64 d))
            number 2 1L
            text 8 name
            bytes 9 (MemoryMarshal.AsBytes(ReadOnlySpan values).ToArray())
        ]

/// onnx.proto: ValueInfoProto of a tensor of floats; the output's dimensions are left for the runtime to infer.
let private value name (dims: int list option) =
    let dimensions =
        dims
        |> Option.map (fun dims -> all [ for d in dims -> bytes 1 (all [ number 1 (int64 d) ]) ])

    let tensor =
        all
            [
                number 1 1L
                match dimensions with
                | Some d -> bytes 2 d
                | None -> ()
            ]

    all [ text 1 name; bytes 2 (all [ bytes 1 tensor ]) ]

/// What a node computes: its name in ONNX, its attributes, and the dimensions of its operands.
[<NoEquality; NoComparison>]
type Node =
    {
        Operator: string
        Attributes: byte[] list
        X: int list
        K: int list
        B: int list
        Y: int list
    }

let dims (a, b, c, d) = [ a; b; c; d ]

let node variant operation (s: ConvShape) bias : Node =
    let pairs (number: Axis -> int) = s.Axes |> Seq.map number |> List.ofSeq

    let pads =
        match variant with
        | Same -> word "auto_pad" "SAME_UPPER"
        | Variable
        | Constant -> integers "pads" (pairs _.Before @ pairs _.After)

    let attributes =
        [
            integers "kernel_shape" (pairs _.Taps)
            integers "strides" (pairs _.Stride)
            integers "dilations" (pairs _.Dilation)
            integer "group" (int64 s.Groups)
            pads
        ]

    match operation with
    | Operation.Forward ->
        {
            Operator = "Conv"
            Attributes = attributes
            X = dims (Operation.input s)
            K = dims (Operation.kernel s)
            B = if bias then [ s.OutChannels ] else []
            Y = dims (Operation.output s)
        }
    | Operation.Transposed ->
        {
            Operator = "ConvTranspose"
            Attributes =
                // Rows and columns that a stride leaves over at the end.
                integers "output_padding" (pairs _.Unused) :: attributes
            X = dims (Operation.output s)
            K = dims (Operation.kernel s)
            B = if bias then [ s.InChannels ] else []
            Y = dims (Operation.input s)
        }
    | _ -> raise Declined

/// onnx.proto: ModelProto of the IR's version 8 and operator set 13, whose Conv and ConvTranspose are those of version 11.
let model (node: Node) (constants: byte[] list) =
    let operands =
        [
            "x", node.X
            "k", node.K
            if not node.B.IsEmpty then
                "b", node.B
        ]

    let graph =
        all
            [
                bytes
                    1
                    (all
                        [
                            for name, _ in operands do
                                text 1 name
                            text 2 "y"
                            text 4 node.Operator
                            yield! node.Attributes |> List.map (bytes 5)
                        ])
                text 2 "conv"
                yield! constants |> List.map (bytes 5)
                for name, dims in operands do
                    if name = "x" || constants.IsEmpty then
                        bytes 11 (value name (Some dims))
                bytes 12 (value "y" None)
            ]

    all [ number 1 8L; bytes 7 graph; bytes 8 (all [ text 1 ""; number 2 13L ]) ]

let constants (node: Node) (k: float32[]) (b: float32[]) =
    constant "k" node.K k
    :: (if node.B.IsEmpty then [] else [ constant "b" node.B b ])

/// One Conv whose weights are constants, from input "x" to output "y".
let ofWeights (s: ConvShape) (k: float32[]) (b: float32[]) : byte[] =
    let node = node Constant Operation.Forward s (b.Length > 0)
    model node (constants node k b)
