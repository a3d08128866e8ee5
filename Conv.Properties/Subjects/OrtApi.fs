/// ONNX Runtime's C API: the functions that are used, of a library of any version, for the door and for the race. The managed package takes no
/// library older than itself: docs/decisions/0009-onnx-runtime.md. Source of the functions' order: onnxruntime_c_api.h.
module internal Conv.Properties.OrtApi

// A library is called through its addresses.
#nowarn "9"

open System
open System.IO
open System.Runtime.InteropServices
open Microsoft.FSharp.NativeInterop

[<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
type Base = delegate of unit -> nativeint

[<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
type GetApi = delegate of uint32 -> nativeint

[<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
type One = delegate of nativeint -> nativeint

[<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
type Two = delegate of nativeint * nativeint -> nativeint

[<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
type Numbered = delegate of nativeint * int -> nativeint

[<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
type Three = delegate of nativeint * nativeint * nativeint -> nativeint

[<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
type Levelled = delegate of int * nativeint * nativeint -> nativeint

[<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
type Allocating = delegate of int * int * nativeint -> nativeint

[<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
type Five = delegate of nativeint * nativeint * nativeint * nativeint * nativeint -> nativeint

[<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
type Tensor = delegate of nativeint * nativeint * nativeint * nativeint * nativeint * int * nativeint -> nativeint

[<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
type Running = delegate of nativeint * nativeint * nativeint * nativeint * nativeint * nativeint * nativeint * nativeint -> nativeint

/// The version of the API whose functions are used: all of them are in the first.
let private apiVersion = 1u

/// What code a status has that says "this problem is not for me": INVALID_ARGUMENT, NOT_IMPLEMENTED, INVALID_GRAPH.
let private refusals = set [ 2; 9; 10 ]

/// The functions of a library that are used, by their places in OrtApi. A function returns a status, 0 for success, or what it is asked for.
[<Sealed>]
type Api(table: nativeint, version: string) =
    let at index = Marshal.ReadIntPtr(table, index * IntPtr.Size)
    let entry index : 'd = Marshal.GetDelegateForFunctionPointer<'d>(at index)
    /// The library's own version.
    member _.Version = version
    member val GetErrorCode: One = entry 1
    member val GetErrorMessage: One = entry 2
    member val CreateEnv: Levelled = entry 3
    member val CreateSessionFromArray: Five = entry 8
    member val Run: Running = entry 9
    member val CreateSessionOptions: One = entry 10
    member val SetSessionGraphOptimizationLevel: Numbered = entry 23
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
    member val ReleaseSessionOptions: One = entry 100

    /// Code and text of a status that is no success, which is released.
    member api.ErrorOf(status: nativeint) : struct (int * string) =
        let code = int (api.GetErrorCode.Invoke status)
        let text = Marshal.PtrToStringUTF8(api.GetErrorMessage.Invoke status)
        api.ReleaseStatus.Invoke status |> ignore<nativeint>
        struct (code, text |> Option.ofObj |> Option.defaultValue "")

    /// Raises `Declined` for a status that says "this problem is not for me", `ForeignFault` for any other but success.
    member api.Check(status: nativeint) =
        if status <> 0n then
            let struct (code, text) = api.ErrorOf status

            if refusals.Contains code then
                raise Declined
            else
                raise (ForeignFault(Trouble.Failed, $"ONNX Runtime, code {code}: {text}"))

/// Where a pointer is written to, and read.
let result (call: nativeint -> unit) =
    let place = NativePtr.stackalloc<nativeint> 1
    NativePtr.write place 0n
    call (NativePtr.toNativeInt place)
    NativePtr.read place

/// The library at a path; without one, that of the package Microsoft.ML.OnnxRuntime beside this program, or else the system's. Raises `CannotOpen`.
let load (path: string option) : Api =
    let advice =
        "write onnxruntime:PATH with the path of libonnxruntime, as in runtimes/linux-x64/native of the package Microsoft.ML.OnnxRuntime"

    let library =
        match path with
        | Some path when not (File.Exists path) -> raise (CannotOpen $"there is no file '{path}'; {advice}")
        | Some path -> NativeLibrary.TryLoad(Path.GetFullPath path)
        | None ->
            match NativeLibrary.TryLoad("onnxruntime", typeof<Api>.Assembly, Nullable()) with
            | true, library -> true, library
            | _ -> NativeLibrary.TryLoad "libonnxruntime.so.1"

    match library, path with
    | (false, _), None -> raise (CannotOpen $"ONNX Runtime is not here; {advice}")
    | (false, _), Some path -> raise (CannotOpen $"'{path}' cannot be loaded; {advice}")
    | (true, library), _ ->
        match NativeLibrary.TryGetExport(library, "OrtGetApiBase") with
        | true, entry ->
            // OrtApiBase: GetApi, GetVersionString.
            let table = Marshal.GetDelegateForFunctionPointer<Base>(entry).Invoke()
            let getApi = Marshal.GetDelegateForFunctionPointer<GetApi>(Marshal.ReadIntPtr table)
            let ownVersion = Marshal.GetDelegateForFunctionPointer<Base>(Marshal.ReadIntPtr(table, IntPtr.Size))

            match getApi.Invoke apiVersion with
            | 0n -> raise (CannotOpen $"this ONNX Runtime no longer offers version {apiVersion} of its C API")
            | table ->
                Api(
                    table,
                    ownVersion.Invoke()
                    |> Marshal.PtrToStringUTF8
                    |> Option.ofObj
                    |> Option.defaultValue ""
                )
        | _ ->
            let name = path |> Option.defaultValue "onnxruntime"
            raise (CannotOpen $"'{name}' is not ONNX Runtime: it exports no OrtGetApiBase; {advice}")
