/// Foreign subjects at the doors: the examples of docs/adopt, ONNX Runtime, profiles, and runs that are ended.
namespace Conv.Properties.Tests

open System
open System.IO
open System.Runtime.InteropServices
open Conv
open Conv.Properties
open Xunit

module Adopted =
    let path (parts: string list) = Path.Combine(DocumentTests.root (), "docs", "adopt", Path.Combine(Array.ofList parts))

    /// Built once, by a compiler whose last argument is the file to write.
    let build (name: string) (compiler: string) (arguments: string list) =
        let library = Path.Combine(Toolchain.folder.Value, name)

        if not (File.Exists library) then
            Toolchain.run compiler (arguments @ [ "-o"; library ]) |> ignore<string>

        library

    let c () =
        "native:"
        + build "libc-example.so" "gcc" [ "-O2"; "-Wall"; "-Werror"; "-shared"; "-fPIC"; "-I"; path []; path [ "c"; "conv.c" ] ]

    let cpp () =
        "native:"
        + build "libcpp-example.so" "g++" [ "-O2"; "-Wall"; "-Werror"; "-shared"; "-fPIC"; "-I"; path []; path [ "cpp"; "conv.cpp" ] ]

    let rust () =
        "native:"
        + build "librust-example.so" "rustc" [ "--crate-type"; "cdylib"; "-O"; path [ "rust"; "lib.rs" ] ]

    let cExec () =
        "exec:"
        + build "c-example" "gcc" [ "-O2"; "-Wall"; "-Werror"; path [ "c"; "conv_exec.c" ] ]

    /// A Python that has the module: Debian's packages belong to the system's own, whatever comes first in the path.
    let pythonWith (modules: string) =
        [ "python3"; "/usr/bin/python3" ]
        |> List.tryFind (fun python ->
            try
                Toolchain.run python [ "-c"; $"import {modules}" ] |> ignore<string>
                true
            with _ ->
                false)

    let program interpreter (parts: string list) = $"exec:{interpreter} \"{path parts}\""

    /// The laws that are broken, and the verdict, of a run with few cases.
    let internal hold (laws: Law list) cases (name: string) =
        let subject = Open.subject Limits.usual name
        let options = { Run.defaults with Cases = cases }
        let results = Rounds.all options (Rounds.jobs options laws [ subject ]) ignore
        let cells = Conclusion.matrix laws [ subject ] results
        subject.Foreign |> Option.iter _.Renew()

        cells
        |> List.filter (fun c -> c.Status = Conclusion.Broken)
        |> List.map _.Law.Id,
        Conclusion.ofSubject subject cells

    let internal conforms laws name =
        match hold laws 25 name with
        | [], Conclusion.Conforms -> ()
        | broken, verdict -> Assert.Fail $"{name}: {broken}, {verdict}"

/// A test of a Python that needs modules.
type NeedsPythonAttribute(modules: string) as self =
    inherit FactAttribute()

    do
        self.Skip <-
            match Adopted.pythonWith modules with
            | Some _ -> null
            | None -> $"no python3 with {modules} on this machine"

type Examples() =
    /// Plain Python takes minutes for the largest problems: that they are asked is what the C example is for.
    let small = All.laws |> List.filter (fun law -> law.Id <> "LARGE-INDEX")

    [<NeedsFact("gcc")>]
    member _.``C behind the native door``() = Adopted.conforms All.laws (Adopted.c ())

    [<NeedsFact("g++")>]
    member _.``C++ with every optional export``() = Adopted.conforms All.laws (Adopted.cpp ())

    [<NeedsFact("g++")>]
    member _.``C++ in this process``() =
        let subject = Open.subject { Limits.usual with InProcess = true } (Adopted.cpp ())
        Assert.True subject.Foreign.IsNone
        let options = { Run.defaults with Cases = 25 }

        let laws =
            [ "MODEL-EXACT"; "CONCURRENT-CALLERS"; "REPEATABLE" ]
            |> List.map (All.tryFind >> Option.get)

        let results = Rounds.all options (Rounds.jobs options laws [ subject ]) ignore
        Assert.Equal(Conclusion.Conforms, Conclusion.ofSubject subject (Conclusion.matrix laws [ subject ] results))

    [<NeedsFact("rustc")>]
    member _.``Rust``() = Adopted.conforms All.laws (Adopted.rust ())

    [<NeedsFact("gcc")>]
    member _.``C behind the process door``() = Adopted.conforms All.laws (Adopted.cExec ())

    [<NeedsFact("python3")>]
    member _.``Python without packages``() = Adopted.conforms small (Adopted.program "python3" [ "python"; "conv.py" ])

    [<NeedsPython("numpy")>]
    member _.``Python with NumPy``() =
        Adopted.conforms small (Adopted.program (Adopted.pythonWith "numpy").Value [ "python-numpy"; "conv.py" ])

    [<NeedsPython("torch")>]
    member _.``Python with PyTorch``() =
        // It takes no empty problems, and says so: too few are left of the law on them.
        let laws = small |> List.filter (fun law -> not (law.Id.StartsWith "EMPTY"))
        Adopted.conforms laws (Adopted.program (Adopted.pythonWith "torch").Value [ "python-pytorch"; "conv.py" ])

    [<NeedsFact("node")>]
    member _.``Node``() = Adopted.conforms All.laws (Adopted.program "node" [ "node"; "conv.js" ])

    /// What the page promises of each.
    [<Theory>]
    [<InlineData("c/conv_exec.c", 30)>]
    [<InlineData("python/conv.py", 20)>]
    [<InlineData("python-numpy/conv.py", 20)>]
    [<InlineData("python-pytorch/conv.py", 20)>]
    [<InlineData("node/conv.js", 20)>]
    member _.``programs are short``(file: string, most: int) =
        let lines =
            File.ReadAllLines(Adopted.path (List.ofArray (file.Split '/')))
            |> Array.filter (String.IsNullOrWhiteSpace >> not)

        Assert.InRange(lines.Length, 5, most)
        Assert.All(lines, (fun line -> Assert.InRange(line.Length, 1, 140)))

type Runtimes() =
    [<Fact>]
    member _.``ONNX Runtime breaks one law, of no input channels``() =
        // With constant weights it takes the model and fails when it is run: docs/reports.
        match Adopted.hold All.laws 25 "onnxruntime-constant" with
        | [ "EMPTY" ], Conclusion.Violates -> ()
        | broken, verdict -> Assert.Fail $"{broken}, {verdict}"

    [<Fact>]
    member _.``a library is taken by its path as well``() =
        let path = Assert.Single(Directory.GetFiles(AppContext.BaseDirectory, "*onnxruntime.*"))

        Adopted.hold [ (All.tryFind "MODEL-EXACT").Value ] 25 ("onnxruntime:" + path)
        |> fun found -> Assert.Equal(([], Conclusion.Conforms), found)

module Profiles =
    let private parse text = (Declared.parse [] text).Profile
    let private shape text = ConvShape.Parse text
    let private plain = shape "n=1 c=2 h=5 w=5 o=2 kh=3 kw=3"

    [<Fact>]
    let ``nothing is declared by nothing`` () =
        let declared = Declared.parse [] ""
        Assert.False declared.Claims
        Assert.IsType<AnyOrder>(declared.Profile.ArithmeticOf plain) |> ignore<AnyOrder>
        Assert.True(declared.Profile.Supports plain)

    [<Theory>]
    [<InlineData("kernels=1x1,3x3", true)>]
    [<InlineData("kernels=1x1", false)>]
    [<InlineData("strides=1x1 dilations=1x1", true)>]
    [<InlineData("strides=2x2", false)>]
    [<InlineData("dilations=2x1", false)>]
    [<InlineData("groups=1", true)>]
    [<InlineData("groups=depthwise", false)>]
    [<InlineData("pads=none", true)>]
    [<InlineData("pads=symmetric", true)>]
    [<InlineData("pads=same-upper", false)>]
    let ``limits say what is supported`` (text: string, expected: bool) =
        let declared = Declared.parse [] text
        Assert.False declared.Claims
        Assert.True((Declared.parse [] (text + " shapes=all")).Claims)
        Assert.Equal(expected, declared.Profile.Supports plain)

    [<Fact>]
    let ``a kind of pads leads to problems that it takes`` () =
        for kind in [ "none"; "symmetric"; "same-upper"; "same-lower" ] do
            let profile = parse $"pads={kind}"

            for text in [ "n=1 c=1 h=7 w=4 o=1 kh=3 kw=2 sh=2 pt=1 pr=3"; "n=1 c=1 h=9 w=9 o=1 kh=3 kw=3 pl=2" ] do
                Assert.True(profile.Supports(profile.Nearest(shape text)), $"{kind}: {text}")

        // Without its pads the kernel does not fit.
        let only = shape "n=1 c=1 h=1 w=1 o=1 kh=2 kw=1 pt=1"
        Assert.False((parse "pads=none").Supports only)

    [<Fact>]
    let ``a bilinear algorithm declares its matrices`` () =
        let text =
            "arithmetic=bilinear:1,1,1,0;0,1,-1,-1|1,0,-1,0;0,1,1,0;0,-1,1,0;0,1,0,-1|1,0,0;1/2,1/2,1/2;1/2,-1/2,1/2;0,0,1"

        match (parse text).ArithmeticOf plain with
        | :? Bilinear as algorithm ->
            Assert.True((BilinearProgram.Of algorithm).ComputesCorrelation)
            Assert.Equal(2, (BilinearProgram.Of algorithm).Tile)
        | other -> Assert.Fail $"{other}"

    [<Theory>]
    [<InlineData("fast", "no name=value")>]
    [<InlineData("speed=high", "speed=high")>]
    [<InlineData("fma=perhaps", "neither yes nor no")>]
    [<InlineData("fma=yes fma=yes", "twice")>]
    [<InlineData("kernels=three", "sizes like 3x3")>]
    [<InlineData("arithmetic=rounded:float8,float32,float32", "float8")>]
    [<InlineData("arithmetic=bilinear:1|2", "three matrices")>]
    [<InlineData("arithmetic=bilinear:1,2;3|1|1", "rows differ")>]
    [<InlineData("pads=some", "pads=some")>]
    let ``what is not understood is refused`` (text: string, says: string) =
        match Record.Exception(fun () -> parse text |> ignore<Profile>) with
        | CannotOpen why -> Assert.Contains(says, why)
        | other -> Assert.Fail $"{other}"

    [<Theory>]
    [<InlineData("exec:python3 \"my conv.py\" --fast 100%")>]
    [<InlineData("native:./libmine.so")>]
    let ``a name survives its line`` (name: string) =
        let case =
            Case.parse "law=FLIP tier=exact n=1 c=1 h=1 w=1 o=1 kh=1 kw=1 fill=explicit values="
            |> snd

        let line = $"subject={Case.escape name} {Case.print case}"
        Assert.Equal(Some name, fst (Case.parse line))

module Resumed =
    let private laws =
        [ "MODEL-EXACT"; "LINEAR-INPUT"; "FLIP" ]
        |> List.map (All.tryFind >> Option.get)

    let private subjects = [ Ours.all.Head; (Museum.tryFind "m193-flipped-kernel").Value.Subject ]
    // Everybody has had a case before the first failure.
    let private options = { Run.defaults with Cases = 60; Threads = 2; Turns = Order.noTurns }

    /// Everything but times.
    let private summary (results: Run.Result list) =
        [
            for r in results ->
                {|
                    Law = r.Law.Id
                    Subject = r.Subject.Name
                    Tier = r.Tier
                    Cases = r.Cases
                    Held = r.Held
                    Discards = r.Discards
                    Elements = r.Elements
                    Ratio = r.Ratio
                    Shapes = r.Shapes |> Seq.map string |> Seq.sort |> List.ofSeq
                    Digest = r.Digest
                    Outputs = r.Outputs
                    Failure =
                        r.Failure
                        |> Option.map (fun f -> Case.print f.Drawn, Case.print f.Shrunk, f.Shrinks)
                |}
        ]

    [<Fact>]
    let ``a run that goes on comes to what it would have come to`` () =
        let jobs = Rounds.jobs options laws subjects
        let mutable first: Checking.State list = []

        let keep states =
            if first.IsEmpty then
                first <- states

        let whole = Rounds.allFrom [] keep options jobs ignore
        // Written at the first failure, when most had not come far.
        Assert.NotEmpty first
        Assert.Contains(first, (fun s -> s.Found.IsSome))
        Assert.Contains(first, (fun s -> s.Index > 0 && s.Index < options.Cases && s.Found.IsNone))
        let path = Checkpoint.pathIn Toolchain.folder.Value
        let heading = Checkpoint.heading options laws subjects
        Checkpoint.save path heading first

        match Checkpoint.load path heading with
        | Error why -> Assert.Fail why
        | Ok states ->
            Assert.Equal<Checking.State list>(first, states)
            Assert.Equal<_ list>(summary whole, summary (Rounds.allFrom states ignore options jobs ignore))

    [<Fact>]
    let ``another run is not gone on with`` () =
        let path = Path.Combine(Toolchain.folder.Value, "other.json")
        Checkpoint.save path (Checkpoint.heading options laws subjects) []

        let refused says options laws =
            match Checkpoint.load path (Checkpoint.heading options laws subjects) with
            | Error why -> Assert.Contains(says, why)
            | Ok _ -> Assert.Fail "It went on."

        refused "--seed 0x0" { options with Seed = 1UL } laws
        refused "--cases 60" { options with Cases = 61 } laws
        refused "3 laws" options laws.Tail
        let own = (Checkpoint.heading options laws subjects).Build
        Assert.Equal(typeof<Checking.State>.Assembly.ManifestModule.ModuleVersionId, Guid.Parse own)
        let other = { Checkpoint.heading options laws subjects with Build = "another" }

        match Checkpoint.load path other with
        | Error why -> Assert.Contains("another build of the kit", why)
        | Ok _ -> Assert.Fail "It went on."

        Assert.True((Checkpoint.load (path + ".none") (Checkpoint.heading options laws subjects)).IsError)
