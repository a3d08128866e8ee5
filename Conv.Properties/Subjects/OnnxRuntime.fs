/// ONNX Runtime through its C API, called in this process: operators Conv and ConvTranspose, each call a model of one node that is built in
/// memory. Source of the API's order and of the messages' fields: onnxruntime_c_api.h and onnx.proto.
module Conv.Properties.OnnxRuntime

// A library is called through its addresses.
#nowarn "9"

open System
open System.IO
open System.Runtime.InteropServices
open System.Text
open Google.Protobuf
open Microsoft.FSharp.NativeInterop
open Conv

/// How the weights reach the model, and who says what the pads are.
type Variant =
    /// Weights and bias are inputs of the model.
    | Variable
    /// They are constants of it: the runtime may lay them out once, and chooses other kernels.
    | Constant
    /// As Variable, with auto_pad=SAME_UPPER in place of pads.
    | Same

// ---- the model

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
type private Node =
    {
        Operator: string
        Attributes: byte[] list
        X: int list
        K: int list
        B: int list
        Y: int list
    }

let private dims (a, b, c, d) = [ a; b; c; d ]

let private node variant operation (s: ConvShape) bias : Node =
    let pads =
        match variant with
        | Same -> word "auto_pad" "SAME_UPPER"
        | Variable
        | Constant -> integers "pads" [ s.PadTop; s.PadLeft; s.PadBottom; s.PadRight ]

    let attributes =
        [
            integers "kernel_shape" [ s.KernelHeight; s.KernelWidth ]
            integers "strides" [ s.StrideHeight; s.StrideWidth ]
            integers "dilations" [ s.DilationHeight; s.DilationWidth ]
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
        // Rows that a stride leaves over at the end.
        let more size out stride taps dilation before after = size - ((out - 1) * stride + (taps - 1) * dilation + 1 - before - after)

        {
            Operator = "ConvTranspose"
            Attributes =
                integers
                    "output_padding"
                    [
                        more s.InHeight s.OutHeight s.StrideHeight s.KernelHeight s.DilationHeight s.PadTop s.PadBottom
                        more s.InWidth s.OutWidth s.StrideWidth s.KernelWidth s.DilationWidth s.PadLeft s.PadRight
                    ]
                :: attributes
            X = dims (Operation.output s)
            K = dims (Operation.kernel s)
            B = if bias then [ s.InChannels ] else []
            Y = dims (Operation.input s)
        }
    | _ -> raise Declined

/// onnx.proto: ModelProto of the IR's version 8 and operator set 13, whose Conv and ConvTranspose are those of version 11.
let private model (node: Node) (constants: byte[] list) =
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

let private constants (node: Node) (k: float32[]) (b: float32[]) =
    constant "k" node.K k
    :: (if node.B.IsEmpty then [] else [ constant "b" node.B b ])

/// One Conv whose weights are constants, from input "x" to output "y".
let internal modelOf (s: ConvShape) (k: float32[]) (b: float32[]) : byte[] =
    let node = node Constant Operation.Forward s (b.Length > 0)
    model node (constants node k b)

// ---- the library

[<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
type private Base = delegate of unit -> nativeint

[<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
type private GetApi = delegate of uint32 -> nativeint

[<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
type private One = delegate of nativeint -> nativeint

[<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
type private Two = delegate of nativeint * nativeint -> nativeint

[<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
type private Numbered = delegate of nativeint * int -> nativeint

[<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
type private Three = delegate of nativeint * nativeint * nativeint -> nativeint

[<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
type private Levelled = delegate of int * nativeint * nativeint -> nativeint

[<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
type private Allocating = delegate of int * int * nativeint -> nativeint

[<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
type private Five = delegate of nativeint * nativeint * nativeint * nativeint * nativeint -> nativeint

[<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
type private Tensor = delegate of nativeint * nativeint * nativeint * nativeint * nativeint * int * nativeint -> nativeint

[<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
type private Running =
    delegate of nativeint * nativeint * nativeint * nativeint * nativeint * nativeint * nativeint * nativeint -> nativeint

/// The version of the API whose functions are used: all of them are in the first.
let private apiVersion = 1u

/// What code a status has that says "this problem is not for me": INVALID_ARGUMENT, NOT_IMPLEMENTED, INVALID_GRAPH.
let private refusals = set [ 2; 9; 10 ]

/// The functions of the API that are used, by their places in OrtApi.
[<Sealed>]
type private Api(table: nativeint) =
    let at index = Marshal.ReadIntPtr(table, index * IntPtr.Size)
    let entry index : 'd = Marshal.GetDelegateForFunctionPointer<'d>(at index)
    member val GetErrorCode: One = entry 1
    member val GetErrorMessage: One = entry 2
    member val CreateEnv: Levelled = entry 3
    member val CreateSessionFromArray: Five = entry 8
    member val Run: Running = entry 9
    member val CreateSessionOptions: One = entry 10
    member val SetIntraOpNumThreads: Numbered = entry 24
    member val SetInterOpNumThreads: Numbered = entry 25
    member val CreateTensorWithData: Tensor = entry 49
    member val GetTensorMutableData: Two = entry 51
    member val GetDimensionsCount: Two = entry 61
    member val GetDimensions: Three = entry 62
    member val GetTensorTypeAndShape: Two = entry 65
    member val CreateCpuMemoryInfo: Allocating = entry 69
    member val ReleaseStatus: One = entry 93
    member val ReleaseSession: One = entry 95
    member val ReleaseValue: One = entry 96
    member val ReleaseTensorTypeAndShape: One = entry 99

    member api.Check(status: nativeint) =
        if status <> 0n then
            let code = int (api.GetErrorCode.Invoke status)

            let text =
                match Marshal.PtrToStringUTF8(api.GetErrorMessage.Invoke status) with
                | null -> ""
                | text -> text

            api.ReleaseStatus.Invoke status |> ignore<nativeint>

            if refusals.Contains code then
                raise Declined
            else
                raise (ForeignFault(Trouble.Failed, $"ONNX Runtime, code {code}: {text}"))

/// Where a pointer is written to, and read.
let private result (call: nativeint -> unit) =
    let place = NativePtr.stackalloc<nativeint> 1
    NativePtr.write place 0n
    call (NativePtr.toNativeInt place)
    NativePtr.read place

/// The address of OrtApi, and the library's version. Raises `CannotOpen`.
let internal load (path: string option) : struct (nativeint * string) =
    let advice =
        "docs/adopt/get-onnxruntime.sh fetches it, or write onnxruntime:PATH with the path of libonnxruntime"

    let candidates =
        match path with
        | Some path when not (File.Exists path) -> raise (CannotOpen $"there is no file '{path}'; {advice}")
        | Some path -> [ Path.GetFullPath path ]
        | None ->
            [
                Path.GetFullPath "artifacts/onnxruntime/libonnxruntime.so.1"
                "libonnxruntime.so.1"
                "onnxruntime"
            ]

    let tryLoad (path: string) =
        match NativeLibrary.TryLoad path with
        | true, library -> Some library
        | _ -> None

    match candidates |> List.tryPick tryLoad with
    | None -> raise (CannotOpen $"ONNX Runtime is not here; {advice}")
    | Some library ->
        match NativeLibrary.TryGetExport(library, "OrtGetApiBase") with
        | true, entry ->
            let table = Marshal.GetDelegateForFunctionPointer<Base>(entry).Invoke()
            let getApi = Marshal.GetDelegateForFunctionPointer<GetApi>(Marshal.ReadIntPtr table)
            let version = Marshal.GetDelegateForFunctionPointer<Base>(Marshal.ReadIntPtr(table, IntPtr.Size))

            match getApi.Invoke apiVersion with
            | 0n -> raise (CannotOpen $"this ONNX Runtime no longer offers version {apiVersion} of its C API")
            | table ->
                struct (table,
                        version.Invoke()
                        |> Marshal.PtrToStringUTF8
                        |> Option.ofObj
                        |> Option.defaultValue "")
        | _ -> raise (CannotOpen $"'{candidates.Head}' is not ONNX Runtime: it exports no OrtGetApiBase; {advice}")

let private ascii (text: string) = Marshal.StringToCoTaskMemUTF8 text

/// The text of its profile, and ONNX Runtime as a subject by a name. Raises `CannotOpen`.
let openLibrary (name: string) variant (path: string option) : string * Subject =
    let struct (table, _) = load path
    let api = Api table
    let id, nameX, nameK, nameB, nameY = ascii "conv", ascii "x", ascii "k", ascii "b", ascii "y"
    // FATAL = 4: what goes wrong comes back as a status.
    let environment = result (fun place -> api.CreateEnv.Invoke(4, id, place) |> api.Check)
    let options = result (fun place -> api.CreateSessionOptions.Invoke place |> api.Check)
    // A case takes microseconds: threads would only wait for each other.
    api.SetIntraOpNumThreads.Invoke(options, 1) |> api.Check
    api.SetInterOpNumThreads.Invoke(options, 1) |> api.Check
    let memory = result (fun place -> api.CreateCpuMemoryInfo.Invoke(0, 0, place) |> api.Check)

    let session (model: byte[]) =
        use pinned = fixed model

        result (fun place ->
            api.CreateSessionFromArray.Invoke(environment, NativePtr.toNativeInt pinned, nativeint model.Length, options, place)
            |> api.Check)

    let tensor (zoned: Zoned) (dims: int list) =
        let sizes = NativePtr.stackalloc<int64> 4
        dims |> List.iteri (fun at d -> NativePtr.set sizes at (int64 d))

        result (fun place ->
            api.CreateTensorWithData.Invoke(
                memory,
                zoned.Address,
                nativeint (zoned.Floats.Length * sizeof<float32>),
                NativePtr.toNativeInt sizes,
                nativeint dims.Length,
                1,
                place
            )
            |> api.Check)

    let release value =
        if value <> 0n then
            api.ReleaseValue.Invoke value |> ignore<nativeint>

    let dimensions value =
        let shape = result (fun place -> api.GetTensorTypeAndShape.Invoke(value, place) |> api.Check)

        try
            let count = int (result (fun place -> api.GetDimensionsCount.Invoke(shape, place) |> api.Check))
            let sizes = Array.zeroCreate<int64> count
            use pinned = fixed sizes

            api.GetDimensions.Invoke(shape, NativePtr.toNativeInt pinned, nativeint count)
            |> api.Check

            List.ofArray sizes
        finally
            api.ReleaseTensorTypeAndShape.Invoke shape |> ignore<nativeint>

    /// Runs a session on operands by name. `given`: the output's memory is the kit's, else the runtime's, which says how large it is.
    let run session (node: Node) (operands: (nativeint * nativeint) list) (given: Zoned option) (read: nativeint -> unit) =
        let names = operands |> List.map fst |> Array.ofList
        let values = operands |> List.map snd |> Array.ofList
        let outputNames, outputs = [| nameY |], [| 0n |]
        use names' = fixed names
        use values' = fixed values
        use outputNames' = fixed outputNames
        use outputs' = fixed outputs

        try
            given |> Option.iter (fun zoned -> outputs[0] <- tensor zoned node.Y)

            api.Run.Invoke(
                session,
                0n,
                NativePtr.toNativeInt names',
                NativePtr.toNativeInt values',
                nativeint names.Length,
                NativePtr.toNativeInt outputNames',
                1n,
                NativePtr.toNativeInt outputs'
            )
            |> api.Check

            read outputs[0]
        finally
            release outputs[0]

    let ignored _ = ()

    /// A call on memory of the kit's. `read` gets the output as the runtime made it; without, the runtime writes to the kit's.
    let call (own: (nativeint -> unit) option) operation (s: ConvShape) (laid: Contract.Laid) =
        let node = node variant operation s (laid.Bias.Floats.Length > 0)
        let isConstant = variant = Constant

        let held =
            if isConstant then
                constants node (laid.Kernel.Floats.ToArray()) (laid.Bias.Floats.ToArray())
            else
                []

        let session = session (model node held)

        try
            let operands =
                [
                    nameX, tensor laid.Input node.X
                    if not isConstant then
                        nameK, tensor laid.Kernel node.K

                        if not node.B.IsEmpty then
                            nameB, tensor laid.Bias node.B
                ]

            try
                match own with
                | Some read -> run session node operands None read
                | None -> run session node operands (Some laid.Output) ignored
            finally
                operands |> List.iter (snd >> release)
        finally
            api.ReleaseSession.Invoke session |> ignore<nativeint>

        0L

    /// The output as the runtime sized and filled it.
    let owned operation (s: ConvShape) (expected: int list) (into: float32[] ref) output =
        let sizes = dimensions output

        if sizes <> List.map int64 expected then
            let shown sizes = sizes |> Seq.map string |> String.concat "×"
            raise (ForeignFault(Trouble.Misshapen, $"its result is {shown sizes}, the definition's is {shown expected}"))

        let values = Array.zeroCreate<float32>(int (Operation.length operation s))

        if values.Length > 0 then
            let data = result (fun place -> api.GetTensorMutableData.Invoke(output, place) |> api.Check)
            Marshal.Copy(data, values, 0, values.Length)

        into.Value <- values

    let checkedCall operation (s: ConvShape) (x: float32[]) (k: float32[]) (b: float32[]) =
        let values = ref [||]
        let expected = dims (Operation.result operation s)

        let struct (_, traces) =
            Contract.place (call (Some(owned operation s expected values))) Placement.plain operation s x k b

        Contract.refuseTraces traces
        values.Value

    let text =
        match variant with
        | Same -> "fma=yes deterministic=yes pads=same-upper dilations=1x1"
        | Variable
        | Constant -> "fma=yes deterministic=yes"

    let declared = Declared.parse [] text

    let profile =
        { declared.Profile with
            Capabilities =
                match variant with
                | Same -> set [ Forward; Placed ]
                | Variable -> set [ Forward; Placed; Transposed ]
                | Constant -> set [ Forward; Placed; Transposed; Concurrent ]
        }

    let subject =
        { Subject.forward name profile (checkedCall Operation.Forward) with
            Profile = profile
            Operate = checkedCall
            Place = Contract.place (call None)
        }

    /// One session for the constant weights, run again and again.
    let prepare (s: ConvShape) k (b: float32[]) =
        let node = node variant Operation.Forward s (b.Length > 0)
        let session = session (model node (constants node k b))

        let owner =
            { new Object() with
                override _.Finalize() = api.ReleaseSession.Invoke session |> ignore<nativeint>
            }

        fun x ->
            let values = ref [||]

            let onSession _ (s: ConvShape) (laid: Contract.Laid) =
                let x = tensor laid.Input node.X

                try
                    run session node [ nameX, x ] None (owned Operation.Forward s node.Y values)
                finally
                    release x

                0L

            let struct (_, traces) = Contract.place onSession Placement.plain Operation.Forward s x [||] [||]
            GC.KeepAlive owner
            Contract.refuseTraces traces
            values.Value

    text, (if variant = Constant then { subject with Prepare = prepare } else subject)
