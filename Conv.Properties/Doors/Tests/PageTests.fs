/// Pages that nobody may touch: where they stand, and what `verify --guard-pages` makes of a process that died of one.
module Conv.Properties.PageTests

open System
open System.IO
open System.Text.Json
open System.Threading
open Xunit
open Conv

let private layings = [ NoPages; PageBehind; PageBefore ]

[<Fact>]
let ``a tensor ends at a page, or begins at one`` () =
    for bytes in [ 0; 1; 4; 6; 4096; 4100; 70000 ] do
        let place pages =
            use zoned = new Zoned(int64 bytes, 0, 1f, pages)
            Assert.Equal(bytes, zoned.Bytes.Length)
            Assert.Equal(bytes / 4, zoned.Floats.Length)
            zoned.Bytes.Fill 7uy
            Assert.Equal(0, zoned.Overwritten)
            zoned.Address

        let behind, before = place PageBehind, place PageBefore

        Assert.Equal(0n, before % nativeint Pages.size)
        Assert.Equal(0n, (behind + nativeint ((bytes + 3) / 4 * 4)) % nativeint Pages.size)

[<Fact>]
let ``what is written beside a tensor is counted on the side that has a zone`` () =
    for pages in layings do
        use zoned = new Zoned(40L, 0, 1f, pages)
        let write (at: int) = Runtime.InteropServices.Marshal.WriteInt32(zoned.Address + nativeint at, 0)

        if pages <> PageBefore then
            write -4

        if pages <> PageBehind then
            write 40

        Assert.Equal((if pages = NoPages then 2 else 1), zoned.Overwritten)

[<Fact>]
let ``pages are taken again, writable, and full of the number that is asked for`` () =
    let place guard =
        use zoned = new Zoned(int64 Pages.size, 0, guard, ReadOnly)
        zoned.Floats.Fill 3f
        zoned.Seal()
        let behind = Runtime.InteropServices.Marshal.ReadInt32(zoned.Address + nativeint Pages.size)
        zoned.Address, BitConverter.Int32BitsToSingle behind

    let taken () =
        let first, again, other = place 1f, place 1f, place 2f
        Assert.Equal(1f, snd first)
        Assert.Equal(first, again)
        Assert.Equal(2f, snd other)
        Assert.NotEqual(fst first, fst other)
        Assert.Equal(first, place 1f)

    // What is kept is kept by thread, and no test before has filled what this one may keep.
    let mutable failure: exn option = None

    let thread =
        Thread(fun () ->
            try
                taken ()
            with error ->
                failure <- Some error)

    thread.Start()
    thread.Join()
    Assert.Equal(None, failure)

[<Fact>]
let ``the journal keeps the last line and where it was`` () =
    let path = Path.GetTempFileName()

    try
        Assert.Equal(None, Paged.last path)

        do
            use journal = new Paged.Journal(path)
            journal.Begin "subject=a law=LONGER"
            journal.Begin "subject=b"
            journal.Lay PageBefore
            Assert.Equal(Some { Paged.Last.Pages = PageBefore; Paged.Last.Line = "subject=b" }, Paged.last path)
            journal.Lay NoPages

        Assert.Equal(Some { Paged.Last.Pages = NoPages; Paged.Last.Line = "subject=b" }, Paged.last path)
    finally
        File.Delete path

let private verify (arguments: string list) =
    let folder = Directory.CreateTempSubdirectory("conv-").FullName

    try
        let code = Cli.run [| "verify"; yield! arguments; "--guard-pages"; "--quiet"; "--report"; folder |]

        let report = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "guard-pages.json"))).RootElement

        code,
        Map
            [
                for subject in report.GetProperty("subjects").EnumerateArray() -> string (subject.GetProperty("name").GetString()), subject
            ]
    finally
        Directory.Delete(folder, true)

let private text (element: JsonElement) (name: string) = string (element.GetProperty(name).GetString())

[<Fact>]
let ``what touches no page lives`` () =
    let code, subjects = verify [ "im2col"; "parallel-tiled"; "winograd-f4x3"; "--cases"; "15" ]
    Assert.Equal(0, code)

    for name in [ "im2col"; "parallel-tiled"; "winograd-f4x3" ] do
        Assert.Equal(0, subjects[name].GetProperty("deaths").GetArrayLength())
        Assert.Equal("holds", text (subjects[name].GetProperty "laws") "GUARD-ZONES")

/// What dies of a page, where it reads.
let private peeking = [ Planted.readsBehind.Name, PageBehind; Planted.readsBefore.Name, PageBefore ]

[<Fact>]
let ``a read beyond the input that changes nothing is found, and its line replays it`` () =
    let laws = [ "--laws"; "GUARD-ZONES,INPUTS-UNTOUCHED"; "--cases"; "15" ]
    let names = List.map fst peeking
    // Without pages nobody sees it.
    let folder = Directory.CreateTempSubdirectory("conv-").FullName
    Assert.Equal(0, Cli.run [| "verify"; yield! names; yield! laws; "--quiet"; "--report"; folder |])
    Directory.Delete(folder, true)
    let code, subjects = verify (names @ [ "im2col" ] @ laws)
    Assert.Equal(1, code)
    // One that dies takes no other with it.
    Assert.Equal(0, subjects["im2col"].GetProperty("exitCode").GetInt32())

    for name in names do
        let deaths = List.ofSeq (subjects[name].GetProperty("deaths").EnumerateArray())
        // Each law is judged, whatever became of the one before.
        Assert.Equal<string list>([ "GUARD-ZONES"; "INPUTS-UNTOUCHED" ], deaths |> List.map (fun d -> text d "judged") |> List.sort)

        for death in deaths do
            Assert.Equal("GUARD-ZONES", text death "breaks")

        let line = text deaths.Head "replay"
        Assert.Equal(0, Cli.run [| "replay"; line |])
        Assert.Equal(1, Cli.run [| "replay"; line; "--guard-pages" |])
        Assert.Equal(0, Cli.run [| "replay"; line; "--guard-pages"; "--subject"; "im2col" |])

[<Fact>]
let ``guard pages are for laws and subjects that lay memory`` () =
    Assert.Equal(2, Cli.run [| "verify"; "loop"; "--guard-pages"; "--laws"; "ODD" |])
    Assert.Equal(2, Cli.run [| "verify"; "loop"; "--guard-pages"; "--isa"; "all" |])
    Assert.Equal(4, fst (verify [ "conv-shape" ]))
