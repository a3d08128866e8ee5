/// Foreign subjects by what is written for them on the command line.
[<RequireQualifiedAccess>]
module Conv.Properties.Open

open System

let private after (prefix: string) (name: string) =
    if name.StartsWith(prefix, StringComparison.OrdinalIgnoreCase) then
        Some(name.Substring prefix.Length)
    else
        None

/// What a name is of.
type Kind =
    | Native of path: string
    | Exec of command: string

/// None where the name is no foreign subject's.
let kindOf (name: string) =
    after "native:" name
    |> Option.map Native
    |> Option.orElseWith (fun () -> after "exec:" name |> Option.map Exec)

/// A library's subject in this process, with the text of its profile: what a process of `Isolated` serves. Raises `CannotOpen`.
let here (name: string) : string * Subject =
    match kindOf name with
    | Some(Native path) -> Native.openLibrary name path
    | Some(Exec _)
    | None -> raise (CannotOpen $"'{name}' is no library")

/// The foreign subject of a name. Raises `CannotOpen`.
let subject (limits: Limits) (name: string) : Subject =
    match kindOf name with
    | Some(Exec command) -> Exec.openSubject limits name command
    | _ when limits.InProcess -> snd (here name)
    | _ -> Isolated.openSubject limits name
