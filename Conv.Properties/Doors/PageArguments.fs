/// How `verify` and `replay` judge beside pages that nobody may touch.
module internal Conv.Properties.PageArguments

open System.CommandLine
open Conv

/// What a process that judges beside pages writes its current case to: said by the process that started it.
let pagesJournal () = Option<string>("--pages-journal", Hidden = true)

/// Law and subject as they are, or beside pages and written down.
let beside (journal: string | null) (work: (Law -> Law) -> (Subject -> Subject) -> 'a) =
    match journal with
    | null -> work id id
    | path ->
        use journal = new Paged.Journal(path)
        work (Paged.law journal) (Paged.subject journal)

let noPages =
    "this system has no pages that can be guarded; GUARD-ZONES of a plain verify is what there is"
