/// Foreign subjects by what is written for them on the command line.
[<RequireQualifiedAccess>]
module internal Conv.Properties.Open

open System

let private after (prefix: string) (name: string) =
    if name.StartsWith(prefix, StringComparison.OrdinalIgnoreCase) then
        Some(name.Substring prefix.Length)
    else
        None

/// What a name is of.
type internal Kind =
    | Native of path: string
    | Exec of command: string
    | OnnxRuntime of OnnxModel.Variant * path: string option

/// What may be written, and what it means.
let forms =
    [
        "native:PATH", "a shared library with the ABI of docs/adopt/conv_subject.h"
        "exec:COMMAND", "a program that speaks the protocol of docs/adopt/README.md"
        "onnxruntime[:PATH]", "ONNX Runtime, weights as inputs; without a path, that of the package Microsoft.ML.OnnxRuntime"
        "onnxruntime-constant[:PATH]", "the same with constant weights, which it lays out once"
        "onnxruntime-same[:PATH]", "the same with auto_pad=SAME_UPPER"
    ]

let private variants =
    [
        "onnxruntime", OnnxModel.Variable
        "onnxruntime-constant", OnnxModel.Constant
        "onnxruntime-same", OnnxModel.Same
    ]

/// None where the name is no foreign subject's.
let internal kindOf (name: string) =
    let onnx (prefix: string, variant) =
        if String.Equals(name, prefix, StringComparison.OrdinalIgnoreCase) then
            Some(OnnxRuntime(variant, None))
        else
            after (prefix + ":") name
            |> Option.map (fun path -> OnnxRuntime(variant, Some path))

    after "native:" name
    |> Option.map Native
    |> Option.orElseWith (fun () -> after "exec:" name |> Option.map Exec)
    |> Option.orElseWith (fun () -> variants |> List.tryPick onnx)

/// A library's subject in this process, with the text of its profile.
let private library mayDie (name: string) : string * Subject =
    match kindOf name with
    | Some(Native path) -> Native.openLibrary mayDie name path
    | Some(OnnxRuntime(variant, path)) -> OnnxRuntime.openLibrary name variant path
    | Some(Exec _)
    | None -> raise (CannotOpen $"'{name}' is no library")

/// A library's subject in a process that is there for it alone. Raises `CannotOpen`.
let here name = library true name

/// The foreign subject of a name. Raises `CannotOpen`.
let subject (limits: Limits) (name: string) : Subject =
    match kindOf name with
    | Some(Exec command) -> Exec.openSubject limits name command
    | _ when limits.InProcess ->
        let text, subject = library false name

        if (Declared.parse [] text).AnyCallers then
            subject
        else
            Subject.oneAtATime subject
    | _ -> Isolated.openSubject limits name
