/// How far a run has come, in a file beside its report: what was found is not lost with the process, and another goes on from there.
module internal Conv.Properties.Checkpoint

open System
open System.IO
open System.Text.Json
open System.Text.Json.Serialization
open Conv.Properties.Checking

let private settings =
    JsonSerializerOptions(NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals)

/// The file in the folder of a report.
let pathIn (folder: string) = Path.Combine(folder, "conformance.partial.json")

/// What a run is, to be compared.
let heading (options: Run.Options) (laws: Law list) (subjects: Subject list) =
    {
        CaseFormat = Case.format
        Build = string typeof<State>.Module.ModuleVersionId
        Seed = options.Seed
        Cases = options.Cases
        Reach = options.Reach.Name
        Tiers = options.Tiers |> List.map _.Name
        Laws = laws |> List.map _.Id |> List.sort
        Subjects = subjects |> List.map _.Name |> List.sort
    }

/// Writes beside the file, where no other run writes, and renames it.
let save (path: string) heading (sessions: State list) =
    let beside = $"{path}.{Environment.ProcessId}.new"
    File.WriteAllBytes(beside, JsonSerializer.SerializeToUtf8Bytes({ Heading = heading; Sessions = sessions }, settings))
    File.Move(beside, path, true)

/// How far a run of this heading had come, or one sentence why there is nothing to go on from.
let load (path: string) (heading: Heading) : Result<State list, string> =
    if not (File.Exists path) then
        Error $"there is no unfinished run in '{path}'; leave out --resume"
    else
        let read =
            try
                match JsonSerializer.Deserialize<Unfinished | null>(File.ReadAllBytes path, settings) with
                | null -> Error $"'{path}' holds nothing; leave out --resume"
                | run -> Ok run
            with :? JsonException as error ->
                Error $"'{path}' cannot be read: {error.Message}"

        match read with
        | Error why -> Error why
        | Ok file when file.Heading = heading -> Ok file.Sessions
        | Ok { Heading = other } ->
            let differs =
                [
                    if other.CaseFormat <> heading.CaseFormat then
                        "cases of another version"
                    if other.Build <> heading.Build then
                        "another build of the kit"
                    if other.Seed <> heading.Seed then
                        $"--seed 0x{other.Seed:x}"
                    if other.Cases <> heading.Cases then
                        $"--cases {other.Cases}"
                    if other.Reach <> heading.Reach then
                        $"--reach {other.Reach}"
                    if other.Tiers <> heading.Tiers then
                        let tiers = String.concat ", " other.Tiers
                        $"tiers {tiers}"
                    if other.Laws <> heading.Laws then
                        $"{other.Laws.Length} laws"
                    if other.Subjects <> heading.Subjects then
                        let subjects = String.concat ", " other.Subjects
                        $"subjects {subjects}"
                ]
                |> String.concat ", "

            Error $"'{path}' is of another run ({differs}); write the same options, or leave out --resume"
