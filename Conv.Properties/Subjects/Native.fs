/// A convolution behind the C ABI of docs/adopt/conv_subject.h, version 1, called in this process.
module internal Conv.Properties.Native

// A library is called through its addresses.
#nowarn "9"

open System
open System.IO
open System.Runtime.InteropServices
open System.Threading
open Microsoft.FSharp.NativeInterop
open Conv

let private abi = 1

[<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
type private Version = delegate of unit -> int

[<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
type private ProfileText = delegate of unit -> nativeint

/// (problem, three pointers) → code: backward input and backward weight.
[<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
type private Three = delegate of nativeint * nativeint * nativeint * nativeint -> int

/// (problem, four pointers) → code: forward, transposed, prepare.
[<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
type private Four = delegate of nativeint * nativeint * nativeint * nativeint * nativeint -> int

[<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
type private Two = delegate of nativeint * nativeint * nativeint -> int

[<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
type private Release = delegate of nativeint -> unit

/// What a library is built for, by the number in the header of an ELF file.
let private machines = dict [ 3, "x86"; 40, "ARM"; 62, "x64"; 183, "ARM64"; 243, "RISC-V" ]

/// Why the system does not load a file, better than the system says it.
let private reason (path: string) (error: exn) =
    let header =
        use file = File.OpenRead path
        let bytes = Array.zeroCreate<byte> 20
        if file.ReadAtLeast(bytes, 20, false) < 20 then [||] else bytes

    let isElf = header.AsSpan().StartsWith(ReadOnlySpan "\127ELF"B)
    let here = string RuntimeInformation.ProcessArchitecture
    let same name = String.Equals(name, here, StringComparison.OrdinalIgnoreCase)

    if OperatingSystem.IsLinux() && not isElf then
        "is not a library; build it with, for example, cc -O2 -shared -fPIC"
    else
        let number = if isElf then int header[18] ||| (int header[19] <<< 8) else 0

        match machines.TryGetValue number with
        | true, machine when not (same machine) -> $"is built for {machine}, and this process is {here}; build it for {here}"
        | _ ->
            let first = error.Message.Split('\n')[0]
            $"cannot be loaded: {first.TrimEnd '.'}"

let private load (path: string) =
    if not (File.Exists path) then
        raise (CannotOpen $"there is no file '{path}'; write native:PATH with the path of a shared library")

    try
        NativeLibrary.Load(Path.GetFullPath path)
    with
    | :? DllNotFoundException
    | :? BadImageFormatException as error -> raise (CannotOpen $"'{path}' {reason path error}")

let private export<'d when 'd :> Delegate and 'd: not struct> library name : 'd option =
    match NativeLibrary.TryGetExport(library, name) with
    | true, address -> Some(Marshal.GetDelegateForFunctionPointer<'d> address)
    | _ -> None

/// The problem as the header lays it out, with H_o and W_o by `outputs`.
let private withProblem (outputs: Axis -> int) (s: ConvShape) (call: nativeint -> 'a) : 'a =
    let p = NativePtr.stackalloc<int64> 18

    let pairs (number: Axis -> int) = s.Axes |> Seq.map number

    [|
        s.Batch
        s.Groups
        s.InChannels
        yield! pairs _.Size
        s.OutChannels
        yield! pairs outputs
        yield! pairs _.Taps
        yield! pairs _.Stride
        yield! pairs _.Dilation
        yield! pairs _.Before
        yield! pairs _.After
    |]
    |> Array.iteri (fun at value -> NativePtr.set p at (int64 value))

    call (NativePtr.toNativeInt p)

/// What a code means, of a library that has promised to take every problem, or has not.
let private settled promises code =
    match code with
    | 0 -> ()
    | 1 when promises -> raise (ForeignFault(Trouble.Refused, "it refuses a problem that it declares to take"))
    | 1 -> raise Declined
    | 2 -> raise (ForeignFault(Trouble.Refused, "it says that a valid problem is none (CONV_INVALID)"))
    | other -> raise (ForeignFault(Trouble.Garbled, $"it returned {other}; CONV_OK is 0, CONV_UNSUPPORTED 1 and CONV_INVALID 2"))

/// Weights that a library has prepared; released where it is said, never by the collector: what a library keeps of them must not depend on it.
[<Sealed>]
type private Handle(handle: nativeint, workspace: int64, release: Release) =
    member _.Handle = handle
    member _.Workspace = workspace

    interface IDisposable with
        member _.Dispose() = release.Invoke handle

/// A workspace of this thread, as the runs before have left it: frameworks give many prepared convolutions the same memory in turns.
[<Sealed>]
type private Shared() =
    static let own = new ThreadLocal<Zoned>(fun () -> Shared.Filled())
    /// Bytes; what asks for more gets its own.
    static member Most = 1 <<< 20

    static member private Filled() =
        let zoned = new Zoned(int64 Shared.Most, 0, Single.NaN, NoPages)
        zoned.Floats.Fill Single.NaN
        zoned

    static member Workspace = own.Value

/// The text of the library's profile, and the library as a subject by a name. `mayDie`: whether this process is there for the library alone.
let openLibrary mayDie (name: string) (path: string) : string * Subject =
    let library = load path

    match export<Version> library "conv_subject_abi_version" with
    | Some version when version.Invoke() <> abi ->
        raise (
            CannotOpen $"'{path}' has version {version.Invoke()} of the ABI, this kit has {abi}; build it with docs/adopt/conv_subject.h"
        )
    | _ -> ()

    let forward =
        match export<Four> library "conv2d_forward_f32" with
        | Some forward -> forward
        | None ->
            raise (
                CannotOpen
                    $"'{path}' exports no conv2d_forward_f32; declare it as docs/adopt/conv_subject.h does (extern \"C\" in C++, no_mangle in Rust)"
            )

    let outputSize = export<Two> library "conv2d_output_size"
    let backwardInput = export<Three> library "conv2d_backward_input_f32"
    let backwardWeight = export<Three> library "conv2d_backward_weight_f32"
    let backwardBias = export<Two> library "conv2d_backward_bias_f32"
    let transposed = export<Four> library "conv2d_transposed_f32"

    let prepared =
        match
            export<Four> library "conv2d_prepare_f32", export<Three> library "conv2d_run_f32", export<Release> library "conv2d_release"
        with
        | Some prepare, Some run, Some release -> Some(prepare, run, release)
        | None, None, None -> None
        | _ ->
            raise (CannotOpen $"'{path}' exports some of conv2d_prepare_f32, conv2d_run_f32 and conv2d_release; export all three, or none")

    let text =
        match export<ProfileText> library "conv_subject_profile" with
        | None -> ""
        | Some profile ->
            match Marshal.PtrToStringUTF8(profile.Invoke()) with
            | null -> ""
            | text -> text

    let declared = Declared.parse [] text
    let settle = settled declared.Claims
    // Null where there is no bias: its floats have an address all the same.
    let orNull (bias: Zoned) = if bias.Floats.IsEmpty then 0n else bias.Address

    let withPrepared (s: ConvShape) (k: nativeint) (b: nativeint) (prepare: Four, _, release) =
        let handle = NativePtr.stackalloc<nativeint> 1
        let workspace = NativePtr.stackalloc<int64> 1
        NativePtr.write handle 0n
        NativePtr.write workspace 0L

        withProblem _.Outputs s (fun p -> prepare.Invoke(p, k, b, NativePtr.toNativeInt handle, NativePtr.toNativeInt workspace))
        |> settle

        let made, size = NativePtr.read handle, NativePtr.read workspace

        if made = 0n then
            raise (ForeignFault(Trouble.Garbled, "conv2d_prepare_f32 returned CONV_OK and no prepared convolution"))

        if size < 0L then
            raise (ForeignFault(Trouble.Garbled, $"conv2d_prepare_f32 asks for {size} bytes of workspace"))

        new Handle(made, size, release)

    let runOn (_, run: Three, _) (prepared: Handle) (x: nativeint) (y: nativeint) (workspace: Zoned) =
        run.Invoke(prepared.Handle, x, y, workspace.Address) |> settle

    /// A call on memory of the kit's, and the bytes of workspace that it took.
    let call operation (s: ConvShape) (laid: Contract.Laid) : int64 =
        let x, k, b, y = laid.Input.Address, laid.Kernel.Address, orNull laid.Bias, laid.Output.Address
        let with' call = withProblem _.Outputs s call |> settle

        match operation with
        | Operation.Forward ->
            with' (fun p -> forward.Invoke(p, x, k, b, y))
            0L
        | Operation.BackwardInput when backwardInput.IsSome ->
            with' (fun p -> backwardInput.Value.Invoke(p, x, k, y))
            0L
        | Operation.BackwardKernel when backwardWeight.IsSome ->
            with' (fun p -> backwardWeight.Value.Invoke(p, x, k, y))
            0L
        | Operation.BackwardBias when backwardBias.IsSome ->
            with' (fun p -> backwardBias.Value.Invoke(p, x, y))
            0L
        | Operation.Transposed when transposed.IsSome ->
            with' (fun p -> transposed.Value.Invoke(p, x, k, b, y))
            0L
        | _ -> raise Declined

    /// As `call`; where weights can be prepared, the forward pass is prepared and run.
    let callPrepared operation (s: ConvShape) (laid: Contract.Laid) =
        match operation, prepared with
        | Operation.Forward, Some exports ->
            use made = withPrepared s laid.Kernel.Address (orNull laid.Bias) exports
            runOn exports made laid.Input.Address laid.Output.Address (laid.Workspace made.Workspace)
            made.Workspace
        | _ -> call operation s laid

    let checkedCall run = Contract.laid mayDie run

    let profile =
        { declared.Profile with
            Capabilities =
                set
                    [
                        Forward
                        Placed
                        if backwardInput.IsSome || backwardWeight.IsSome || backwardBias.IsSome then
                            Gradients
                        if transposed.IsSome then
                            Transposed
                        if outputSize.IsSome then
                            OutputSize
                        if prepared.IsSome then
                            Prepares
                            Workspace
                            Concurrent
                    ]
        }

    let subject =
        { Subject.forward name profile (checkedCall call Operation.Forward) with
            Profile = profile
            Operate = checkedCall call
            // What is prepared is run by several threads anyway.
            Place = fun p -> Contract.place (if p.Elsewhere then call else callPrepared) p
            OutputSize =
                fun s ->
                    let size = NativePtr.stackalloc<int64> 2
                    NativePtr.set size 0 0L
                    NativePtr.set size 1 0L
                    let at = NativePtr.toNativeInt size
                    let height, width = at, at + nativeint sizeof<int64>

                    withProblem (fun _ -> 0) s (fun p -> outputSize.Value.Invoke(p, height, width))
                    |> settle

                    struct (NativePtr.get size 0, NativePtr.get size 1)
        }

    let subject =
        match prepared with
        | None -> subject
        | Some exports ->
            { subject with
                Prepare =
                    fun s k b ->
                        let made =
                            Contract.lending s k b (fun kernel bias -> withPrepared s kernel.Address (orNull bias) exports)

                        // Of other shapes the workspace is fresh, between zones of its own.
                        let isShared = made.Workspace <= int64 Shared.Most && (Placement.ofShape false s).Misalign = 0

                        let run x =
                            let onHandle _ _ (laid: Contract.Laid) =
                                let workspace = if isShared then Shared.Workspace else laid.Workspace made.Workspace
                                runOn exports made laid.Input.Address laid.Output.Address workspace
                                made.Workspace

                            checkedCall onHandle Operation.Forward s x [||] [||]

                        { PreparedRuns.ofRun run with Release = (made :> IDisposable).Dispose }
            }

    text, subject
