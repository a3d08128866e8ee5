/// Pages that nobody may touch: where they stand, and what `verify --guard-pages` makes of a process that died of one.
module Conv.Properties.PageTests

// A convolution of these tests looks where its operands stand.
#nowarn "9"

open System
open System.IO
open System.Runtime.InteropServices
open System.Text.Json
open System.Threading
open Microsoft.FSharp.NativeInterop
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

/// A convolution that tells where its operands stand, relative to a multiple of 64 bytes.
type private Telling(told: ConvShape -> string -> nativeint -> unit, spoils: bool) =
    let tell shape name (floats: ReadOnlySpan<float32>) =
        use at = fixed &MemoryMarshal.GetReference floats
        told shape name (NativePtr.toNativeInt at % 64n)

        if spoils then
            NativePtr.set at 0 (1f - floats[0])

    interface IConvolution with
        member _.Name = "telling"
        member _.Supports _ = true
        member _.ArithmeticOf _ = AnyOrder()

        member _.Prepare(shape, kernel, bias) =
            tell shape "kernel" kernel
            let prepared = (Loop() :> IConvolution).Prepare(shape, kernel, bias)

            { new IPreparedConvolution with
                member _.WorkspaceBytes = prepared.WorkspaceBytes

                member _.Run(input, output, workspace) =
                    if not spoils then
                        tell shape "input" input

                    prepared.Run(input, output, workspace)
            }

let private widths = [ 1..60 ]

let private calls (subject: Subject) =
    for width in widths do
        let s = ConvShape(1, 1, 1, width, 1, 1, 1)
        subject.Forward s (Array.create width 1f) [| 2f |] [||] |> ignore<float32[]>
        let prepared = subject.Prepare s [| 2f |] [||]
        prepared.Run(Array.create width 1f) |> ignore<float32[]>
        prepared.Release()

[<Fact>]
let ``operands of an implementation stand where their shape says, at every offset`` () =
    for operand in [ "input"; "kernel" ] do
        let seen = System.Collections.Generic.List<int * nativeint>()

        let told (s: ConvShape) name at =
            if name = operand then
                seen.Add((s.InWidth, at))

        let subject = Contract.ofConvolution (Telling(told, false))
        calls subject
        calls subject

        let offsets =
            seen
            |> Seq.groupBy fst
            |> Seq.map (snd >> Seq.map snd >> Seq.distinct >> List.ofSeq)
            |> List.ofSeq

        Assert.Equal(widths.Length, offsets.Length)
        Assert.All(offsets, (fun those -> Assert.Single those |> ignore<nativeint>))
        Assert.InRange(offsets |> List.concat |> List.distinct |> List.length, 10, 16)

[<Fact>]
let ``an implementation that changes weights is refused, prepared or not`` () =
    let subject = Contract.ofConvolution (Telling((fun _ _ _ -> ()), true))
    let s = ConvShape(1, 1, 1, 3, 1, 1, 1)
    let x = Array.create 3 1f

    let touched call =
        let said =
            try
                call ()
                None
            with ForeignFault(trouble, text) ->
                Some(trouble, text)

        Assert.Equal(Some(Trouble.Touched, "It changed 1 floats of its operands."), said)

    touched (fun () -> subject.Forward s x [| 2f |] [||] |> ignore<float32[]>)
    touched (fun () -> subject.Prepare s [| 2f |] [||] |> ignore<PreparedRuns>)

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
