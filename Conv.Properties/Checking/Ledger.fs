namespace Conv.Properties

open System
open System.Collections.Generic
open System.IO
open System.Text.Json

/// What a long run has found so far, a line each, in a file: what was found is not lost with the process, and another goes on from there.
[<Sealed>]
type internal Ledger private (path: string option, known: Dictionary<string, string>) =
    let gate = obj ()

    /// Remembers nothing.
    static member Forgetful = Ledger(None, Dictionary())

    /// A new one; what another run left there is put aside. `heading` says what must be the same for a run to go on.
    static member Create(path: string, heading: string) =
        if File.Exists path then
            File.Move(path, path + ".old", true)

        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath path) |> string)
        |> ignore<DirectoryInfo>

        File.WriteAllText(path, heading + "\n")
        Ledger(Some path, Dictionary())

    /// The one that another run left, or one sentence why it does not serve.
    static member Open(path: string, heading: string) : Result<Ledger, string> =
        if not (File.Exists path) then
            Error $"there is no unfinished run in '{path}'; leave out --resume"
        else
            // A line that was not written to its end counts as none.
            let text = File.ReadAllText path
            let whole = text.Substring(0, text.LastIndexOf '\n' + 1)
            let lines = whole.Split('\n', StringSplitOptions.RemoveEmptyEntries)

            if Array.tryHead lines <> Some heading then
                Error $"'{path}' is of another build, or of other options; write the same, or leave out --resume"
            else
                File.WriteAllText(path, whole)
                let known = Dictionary()

                for line in Array.tail lines do
                    let at = line.IndexOf '\t'
                    known[line.Substring(0, at)] <- line.Substring(at + 1)

                Ok(Ledger(Some path, known))

    /// What is known under a key, or what is found now, which is written down. The value is of a type that System.Text.Json reads back.
    member _.Recall(key: string, find: unit -> 'a) : 'a =
        match lock gate (fun () -> known.TryGetValue key) with
        | true, json ->
            match JsonSerializer.Deserialize<'a> json with
            | null -> invalidOp $"{key} is remembered without a value."
            | value -> value
        | _ ->
            let value = find ()

            path
            |> Option.iter (fun path ->
                lock gate (fun () ->
                    let json = JsonSerializer.Serialize value
                    known[key] <- json
                    File.AppendAllText(path, $"{key}\t{json}\n")))

            value

    /// The run has come to its end.
    member _.Close() = Option.iter File.Delete path
