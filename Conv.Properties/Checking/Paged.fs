/// Laws judged beside pages that end the process when they are touched: what was judged is written down before, for whoever is left.
module internal Conv.Properties.Paged

open System
open System.IO
open System.Text

/// Where a call was when the process ended: how its tensors were laid, and the line of the case.
type Last = { Pages: Pages; Line: string }

let private word pages =
    match pages with
    | NoPages -> "none  "
    | PageBehind -> "behind"
    | PageBefore -> "before"
    | ReadOnly -> "read-only"

/// The case that is being judged, in a file that outlives the process.
[<Sealed>]
type Journal(path: string) =
    let file = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.Read, 0)

    let write (text: string) =
        file.Position <- 0L
        file.Write(ReadOnlySpan(Encoding.UTF8.GetBytes text))

    /// A case begins.
    member _.Begin(line: string) = write $"{word NoPages}\n{line}\n"

    /// A call begins, with such pages, or has ended.
    member _.Lay pages = write (word pages)

    interface IDisposable with
        member _.Dispose() = file.Dispose()

/// What a process wrote last, if it judged anything.
let last (path: string) =
    match (if File.Exists path then File.ReadAllText(path).Split '\n' else [||]) with
    // Behind the line stands what is left of longer ones.
    | lines when lines.Length >= 2 ->
        [ NoPages; PageBehind; PageBefore ]
        |> List.tryFind (fun pages -> word pages = lines[0])
        |> Option.map (fun pages -> { Pages = pages; Line = lines[1] })
    | _ -> None

/// The subject with each call laid twice, a page behind every tensor and then one before it. Where the two differ there is NaN.
let subject (journal: Journal) (s: Subject) =
    let place (p: Placement) operation shape x k b =
        let laid pages =
            journal.Lay pages
            let result = s.Place { p with Pages = pages } operation shape x k b
            journal.Lay NoPages
            result

        let struct (one, traces) = laid PageBehind
        let struct (other, others) = laid PageBefore
        let same (a: float32) b = BitConverter.SingleToInt32Bits a = BitConverter.SingleToInt32Bits b

        struct ((if one.Length = other.Length then
                     Array.map2 (fun a b -> if same a b then a else nanf) one other
                 else
                     one),
                { traces with
                    Outside = traces.Outside + others.Outside
                    Operands = traces.Operands + others.Operands
                })

    { s with Place = place }

/// The law with each case written down before it is judged.
let law (journal: Journal) (law: Law) =
    { law with
        Judge =
            fun subject case ->
                journal.Begin $"subject={Case.escape subject.Name} {Case.print case}"
                law.Judge subject case
    }

/// The laws that lay memory.
let laws = All.laws |> List.filter (fun law -> List.contains Placed law.Needs)
