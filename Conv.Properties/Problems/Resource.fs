/// Data that are committed beside the code and travel in the assembly.
module internal Conv.Properties.Resource

open System
open System.IO
open System.Reflection

/// The lines of a table below its heading, split at tabs.
let table (name: string) (columns: int) : string[] list =
    use stream =
        match Assembly.GetExecutingAssembly().GetManifestResourceStream("Conv.Properties." + name) with
        | null -> invalidOp $"The resource {name} is missing."
        | stream -> stream

    use reader = new StreamReader(stream)

    [
        for line in
            reader.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries)
            |> Array.skip 1 do
            match line.TrimEnd('\r').Split '\t' with
            | cells when cells.Length = columns -> cells
            | _ -> invalidOp $"{name}: {columns} columns are expected: {line}"
    ]
