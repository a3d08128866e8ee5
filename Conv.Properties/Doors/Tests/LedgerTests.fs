/// What a long run has found is found again by the next.
module Conv.Properties.LedgerTests

open System.IO
open Xunit

let private inFolder (work: string -> unit) =
    let folder = Directory.CreateTempSubdirectory "ledger"

    try
        work (Path.Combine(folder.FullName, "deeper", "partial.txt"))
    finally
        folder.Delete true

let private opened path heading =
    match Ledger.Open(path, heading) with
    | Ok ledger -> ledger
    | Error why -> failwith why

let private refusal path heading =
    match Ledger.Open(path, heading) with
    | Ok _ -> failwith "It is taken."
    | Error why -> why

let private never () : int list = failwith "It is known."

[<Fact>]
let ``what was found is not looked for again`` () =
    inFolder (fun path ->
        let first = Ledger.Create(path, "one")
        Assert.Equal<int list>([ 1; 2 ], first.Recall("a", (fun () -> [ 1; 2 ])))
        Assert.Equal<int list>([ 1; 2 ], first.Recall("a", never))
        let second = opened path "one"
        Assert.Equal<int list>([ 1; 2 ], second.Recall("a", never))
        Assert.Equal<int list>([ 3 ], second.Recall("b", (fun () -> [ 3 ])))
        Assert.Equal<int list>([ 3 ], (opened path "one").Recall("b", never))
        second.Close()
        Assert.False(File.Exists path))

[<Fact>]
let ``a line that was not written to its end is none`` () =
    inFolder (fun path ->
        Ledger.Create(path, "one").Recall("a", (fun () -> [ 1 ])) |> ignore<int list>
        File.AppendAllText(path, "b\t[4")
        let again = opened path "one"
        Assert.Equal<int list>([ 5 ], again.Recall("b", (fun () -> [ 5 ])))
        Assert.Equal<int list>([ 1 ], (opened path "one").Recall("a", never))
        Assert.Equal<int list>([ 5 ], (opened path "one").Recall("b", never)))

[<Fact>]
let ``another heading is another run, and a new run puts the old one aside`` () =
    inFolder (fun path ->
        Assert.Contains("no unfinished run", refusal path "one")
        Ledger.Create(path, "one").Recall("a", (fun () -> [ 1 ])) |> ignore<int list>
        Assert.Contains("another build", refusal path "two")
        let fresh = Ledger.Create(path, "two")
        Assert.Equal<int list>([ 2 ], fresh.Recall("a", (fun () -> [ 2 ])))
        Assert.Contains("one", File.ReadAllText(path + ".old")))

[<Fact>]
let ``who remembers nothing looks each time`` () =
    let mutable times = 0

    let count () =
        times <- times + 1
        times

    Assert.Equal(1, Ledger.Forgetful.Recall("a", count))
    Assert.Equal(2, Ledger.Forgetful.Recall("a", count))
