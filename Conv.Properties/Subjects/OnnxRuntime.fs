/// ONNX Runtime, called in this process: operators Conv and ConvTranspose, each call a model of one node that is built in memory.
module internal Conv.Properties.OnnxRuntime

// A library is called through its addresses.
#nowarn "9"

open System
open System.Runtime.InteropServices
open Microsoft.FSharp.NativeInterop
open Conv
open Conv.Properties.OnnxModel

let private ascii (text: string) = Marshal.StringToCoTaskMemUTF8 text

/// The text of its profile, and ONNX Runtime as a subject by a name. Raises `CannotOpen`.
let internal openLibrary (name: string) variant (path: string option) : string * Subject =
    let api = OrtApi.load path
    let id, nameX, nameK, nameB, nameY = ascii "conv", ascii "x", ascii "k", ascii "b", ascii "y"
    // FATAL = 4: what goes wrong comes back as a status.
    let environment = OrtApi.result (fun place -> api.CreateEnv.Invoke(4, id, place) |> api.Check)
    let options = OrtApi.result (fun place -> api.CreateSessionOptions.Invoke place |> api.Check)
    // A case takes microseconds: threads would only wait for each other.
    api.SetIntraOpNumThreads.Invoke(options, 1) |> api.Check
    api.SetInterOpNumThreads.Invoke(options, 1) |> api.Check
    let memory = OrtApi.result (fun place -> api.CreateCpuMemoryInfo.Invoke(0, 0, place) |> api.Check)

    let session (model: byte[]) =
        use pinned = fixed model

        OrtApi.result (fun place ->
            api.CreateSessionFromArray.Invoke(environment, NativePtr.toNativeInt pinned, nativeint model.Length, options, place)
            |> api.Check)

    let tensor (zoned: Zoned) (dims: int list) =
        let sizes = NativePtr.stackalloc<int64> 4
        dims |> List.iteri (fun at d -> NativePtr.set sizes at (int64 d))

        OrtApi.result (fun place ->
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
        let shape = OrtApi.result (fun place -> api.GetTensorTypeAndShape.Invoke(value, place) |> api.Check)

        try
            let count = int (OrtApi.result (fun place -> api.GetDimensionsCount.Invoke(shape, place) |> api.Check))
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
            let data = OrtApi.result (fun place -> api.GetTensorMutableData.Invoke(output, place) |> api.Check)
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
                | Constant -> set [ Forward; Placed; Transposed; Prepares; Concurrent ]
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

        let runOnSession x =
            let values = ref [||]

            let onSession _ (s: ConvShape) (laid: Contract.Laid) =
                let x = tensor laid.Input node.X

                try
                    run session node [ nameX, x ] None (owned Operation.Forward s node.Y values)
                finally
                    release x

                0L

            let struct (_, traces) = Contract.place onSession Placement.plain Operation.Forward s x [||] [||]
            Contract.refuseTraces traces
            values.Value

        { PreparedRuns.ofRun runOnSession with
            Release = fun () -> api.ReleaseSession.Invoke session |> ignore<nativeint>
        }

    text, (if variant = Constant then { subject with Prepare = prepare } else subject)
