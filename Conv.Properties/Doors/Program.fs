module Conv.Properties.Program

open System

[<EntryPoint>]
let main args =
    let cases = if args.Length > 0 then int args[0] else 200
    let pattern = if args.Length > 1 then args[1] else ""
    let subjects = Ours.all
    let laws = All.laws |> List.filter (fun l -> l.Id.StartsWith pattern)
    let options = { Run.defaults with Cases = cases }
    let clock = Diagnostics.Stopwatch.StartNew()
    let results = Run.all options (Run.jobs options laws subjects) ignore
    let seconds = clock.Elapsed.TotalSeconds

    for cell in Conclusion.matrix laws subjects results do
        let r = cell.Results

        printfn
            "%-18s %-15s %-40s held %d of %d, discards %d, oracle %d, ratio %.3f ms %.0f %A"
            cell.Law.Id
            cell.Subject.Name
            (sprintf "%A" cell.Status)
            cell.Held
            (List.sumBy (fun (r: Run.Result) -> r.Cases) r)
            cell.Discarded
            cell.AgainstOracle
            (r |> List.map (fun r -> r.Ratio) |> List.fold max 0.0)
            (r |> List.sumBy (fun r -> r.Milliseconds))
            (r |> List.map (fun r -> Map.toList r.Discards))

        for f in cell.Failures do
            printfn "     %s\n     %s" (Case.print f.Drawn) (Case.print f.Shrunk)

    let total = results |> List.sumBy _.Cases
    printfn "sum %f" (results |> List.sumBy _.Milliseconds)
    printfn "gc %A alloc %d MB" (GC.GetTotalPauseDuration()) (GC.GetTotalAllocatedBytes() / 1000000L)
    printfn "%d cases in %.1f s: %.0f a second" total seconds (float total / seconds)
    0
