/// Foreign subjects by what is written for them on the command line.
[<RequireQualifiedAccess>]
module internal Conv.Properties.Open

open System
open System.Collections.Concurrent

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

/// The subject, which is opened again for each number of threads that its process may be granted, when it is first asked under it.
let private grantable (limits: Limits) (openSubject: Limits -> Subject) : Subject =
    let subject = openSubject limits
    let granted = ConcurrentDictionary<int, Lazy<Subject>>()

    let under threads =
        let opened =
            granted.GetOrAdd(threads, (fun threads -> lazy openSubject (Limits.granting threads limits)))

        let opened () =
            try
                opened.Value
            with CannotOpen why ->
                raise (ForeignFault(Trouble.Crashed, why))

        { subject with
            Forward = fun s x k b -> opened().Forward s x k b
            Prepare = fun s k b -> opened().Prepare s k b
            Operate = fun operation s first second b -> opened().Operate operation s first second b
        }

    let others () =
        [
            for opened in granted.Values do
                if opened.IsValueCreated then
                    yield! Option.toList opened.Value.Foreign
        ]

    let processes =
        subject.Foreign
        |> Option.map (fun own ->
            { new IForeign with
                member _.Renew() =
                    for one in own :: others () do
                        one.Renew()

                member _.Patience
                    with set value =
                        for one in own :: others () do
                            one.Patience <- value

                member _.Linger() = own :: others () |> List.tryPick _.Linger()
            })

    { subject with
        Profile =
            { subject.Profile with
                Capabilities = subject.Profile.Capabilities.Add ThreadSettings
            }
        Foreign = processes
        Granted = under
    }

/// The foreign subject of a name. Raises `CannotOpen`.
let subject (limits: Limits) (name: string) : Subject =
    match kindOf name with
    | Some(Exec command) -> grantable limits (fun limits -> Exec.openSubject limits name command)
    | _ when limits.InProcess ->
        let text, subject = library false name

        if (Declared.parse [] text).AnyCallers then
            subject
        else
            Subject.oneAtATime subject
    | _ -> grantable limits (fun limits -> Isolated.openSubject limits name)
