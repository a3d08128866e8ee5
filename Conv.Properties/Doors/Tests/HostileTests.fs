/// The kit survives every subject, and says what each did.
namespace Conv.Properties.Tests

open System
open System.IO
open Conv
open Conv.Properties
open Xunit

module Hostile =
    let private source name = Path.Combine(DocumentTests.root (), "Conv.Properties", "Doors", "Tests", "Hostile", name)

    let private headers = lazy Path.Combine(DocumentTests.root (), "docs", "adopt")

    /// hostile.c, built with further flags.
    let build (name: string) (flags: string list) =
        let path = Path.Combine(Toolchain.folder.Value, name)

        Toolchain.run
            "gcc"
            ([ "-O1"; "-Wall"; "-Wextra"; "-Werror"; "-shared"; "-fPIC"; "-I"; headers.Value ]
             @ flags
             @ [ "-o"; path; source "hostile.c"; "-lpthread"; "-lm" ])
        |> ignore<string>

        path

    /// What it does the environment says.
    let library = lazy (build "libhostile.so" [])

    /// The same source without a symbol to call.
    let empty = lazy (build "libempty.so" [ "-DNO_SYMBOL"; "-Wno-unused-function" ])

    let program fault = $"""exec:python3 "{source "hostile.py"}" {fault}"""

    /// Short, since waiting is what most of these tests do.
    let internal limits fault =
        { Limits.usual with
            Call = TimeSpan.FromSeconds 1.0
            Start = TimeSpan.FromSeconds 5.0
            Memory = 400
            Environment = [ "HOSTILE", fault ]
        }

    /// Longer where a busy machine might not come to what is expected.
    let internal limitsUntil expected fault =
        if expected = "greedy" || expected = "holds" then
            { limits fault with Call = TimeSpan.FromSeconds 20.0 }
        else
            limits fault

    let internal laws =
        [ "MODEL-EXACT"; "INPUTS-UNTOUCHED"; "STATELESS"; "REPEATABLE"; "SHAPE-COUNT" ]
        |> List.map (All.tryFind >> Option.get)

    /// What is said of a subject within so many rounds: what cannot be opened, the first failure that a fresh process confirms, or nothing.
    let internal reportWithin rounds limits name =
        try
            let subject = Open.subject limits name
            let options = { Run.defaults with Cases = 400; Threads = 1 }

            let sessions =
                Rounds.jobs options laws [ subject ]
                |> Array.map (fun (law, subject, tier) -> Run.Session(options, law, subject, tier))

            let mutable found = None
            let mutable round = 0

            while found.IsNone && round < rounds do
                for session in sessions do
                    if found.IsNone && not session.Ended then
                        session.Step()
                        found <- session.Verdict
                        Assert.Null(Option.toObj session.Result.KitFault)

                round <- round + 1

            subject.Foreign |> Option.iter _.Renew()

            match found with
            | None -> "holds"
            | Some(Breaks _) -> "wrong"
            | Some(Faulted(Foreign(trouble, _), _)) -> (string trouble).ToLowerInvariant()
            | Some(Faulted(Threw _, _)) -> "failed"
            | Some(Faulted(Breach _, _)) -> "touched"
            | Some other -> $"{other}"
        with CannotOpen why ->
            // One sentence that says how to mend it.
            Assert.DoesNotContain('\n', why)
            "start: " + why

    /// Enough for a leak of 1 MiB a call to reach the limit.
    let internal report limits name = reportWithin 150 limits name

    /// What a subject does, which is expected to be this.
    let reportUntil expected fault name =
        let rounds = if expected = "holds" then 40 else 150
        reportWithin rounds (limitsUntil expected fault) name

type HostileLibraries() =
    [<NeedsTheory("gcc")>]
    [<InlineData("honest", "holds")>]
    [<InlineData("crash", "crashed")>]
    [<InlineData("crash-on-stride", "crashed")>]
    [<InlineData("abort", "crashed")>]
    [<InlineData("divide", "crashed")>]
    [<InlineData("exit", "crashed")>]
    [<InlineData("killed", "crashed")>]
    [<InlineData("recursion", "crashed")>]
    [<InlineData("late-crash", "crashed")>]
    [<InlineData("free", "crashed")>]
    [<InlineData("write-far", "crashed")>]
    [<InlineData("hang-on-dilation", "hung")>]
    [<InlineData("hog", "greedy")>]
    [<InlineData("leak", "greedy")>]
    [<InlineData("fork", "forked")>]
    [<InlineData("fork-and-return", "forked or crashed")>]
    [<InlineData("close-all", "crashed")>]
    [<InlineData("print", "holds")>]
    [<InlineData("refuse", "refused")>]
    [<InlineData("invalid", "refused")>]
    [<InlineData("code", "garbled")>]
    [<InlineData("declines-late", "touched")>]
    [<InlineData("reads-behind", "crashed")>]
    [<InlineData("reads-before", "crashed")>]
    [<InlineData("write-after", "touched")>]
    [<InlineData("write-before", "touched")>]
    [<InlineData("write-input", "touched")>]
    [<InlineData("write-weight", "touched")>]
    [<InlineData("rounding", "touched")>]
    [<InlineData("flush", "touched")>]
    [<InlineData("unwritten", "wrong")>]
    [<InlineData("nan", "wrong")>]
    [<InlineData("random", "wrong")>]
    [<InlineData("remembers", "wrong")>]
    [<InlineData("size", "wrong")>]
    [<InlineData("keeps-pointers", "wrong")>]
    [<InlineData("prepare", "garbled")>]
    [<InlineData("workspace", "garbled")>]
    member _.``A library is reported for what it does``(fault: string, expected: string) =
        // What half a process does after a fork is not its own to say.
        Assert.Contains(Hostile.reportUntil expected fault ("native:" + Hostile.library.Value), expected)

    [<NeedsTheory("gcc")>]
    [<InlineData("version", "version 2 of the ABI")>]
    [<InlineData("profile", "which is no name=value")>]
    [<InlineData("profile-field", "arithmetic=perfect")>]
    member _.``A library that cannot be used is refused before anything is judged``(fault: string, says: string) =
        Assert.Contains(says, Hostile.report (Hostile.limits fault) ("native:" + Hostile.library.Value))

    [<NeedsFact("gcc")>]
    member _.``What is no such library is refused, and it is said why``() =
        let refused says path = Assert.Contains(says, Hostile.report (Hostile.limits "") ("native:" + path))
        refused "exports no conv2d_forward_f32" Hostile.empty.Value
        refused "there is no file" "nowhere/libnothing.so"
        refused "is not a library" (Path.Combine(DocumentTests.root (), "README.md"))
        let foreign = Path.Combine(Toolchain.folder.Value, "libforeign.so")
        let bytes = File.ReadAllBytes Hostile.library.Value
        // The header's machine: one that this is not.
        bytes[18] <- (if bytes[18] = 183uy then 62uy else 183uy)
        File.WriteAllBytes(foreign, bytes)
        refused "is built for" foreign

    [<NeedsFact("gcc")>]
    member _.``A promise binds in this process too``() =
        let library = Hostile.build "librefuses.so" [ "-DFAULT=\"refuse\"" ]
        Assert.Equal("refused", Hostile.report { Hostile.limits "" with InProcess = true } ("native:" + library))

    [<NeedsFact("gcc")>]
    member _.``What a fresh process does not repeat is pursued to the calls that it takes``() =
        let subject = Open.subject (Hostile.limitsUntil "holds" "tires") ("native:" + Hostile.library.Value)
        let laws = [ (All.tryFind "MODEL-EXACT").Value ]
        let options = { Run.defaults with Cases = 60; Threads = 1 }
        let results = Rounds.all options (Rounds.jobs options laws [ subject ]) ignore
        subject.Foreign |> Option.iter _.Renew()

        let failure = (results |> List.find _.Failure.IsSome).Failure.Value

        // It is wrong from the 41st call of a process on; on a machine too busy to repeat it in time that is said.
        Assert.True(
            failure.Earlier.Length >= 40 || failure.Eluded > 0,
            $"{failure.Earlier.Length} cases before, sought {failure.Eluded} times"
        )

        Assert.Equal(Conclusion.Violates, Conclusion.ofSubject subject (Conclusion.matrix laws [ subject ] results))

    [<NeedsTheory("gcc")>]
    // A pool of four is full after the first cases of another law.
    [<InlineData("pool", "PREPARED-LIFE", true)>]
    [<InlineData("trusts-workspace", "PREPARED-LIFE", true)>]
    [<InlineData("tunes", "REPEATABLE", true)>]
    // Two that are prepared run at once in the library's own process, and nowhere else.
    [<InlineData("shares-scratch", "CONCURRENT-CALLERS", true)>]
    [<InlineData("shares-scratch", "PREPARED-LIFE", false)>]
    [<InlineData("honest", "CONCURRENT-CALLERS", false)>]
    [<InlineData("honest", "PREPARED-LIFE", false)>]
    [<InlineData("honest", "REPEATABLE", false)>]
    member _.``What a library keeps from call to call shows, whatever was asked before``(fault: string, id: string, breaks: bool) =
        let subject = Open.subject (Hostile.limitsUntil "holds" fault) ("native:" + Hostile.library.Value)
        let session id = Run.Session({ Run.defaults with Reach = Reach.Small }, (All.tryFind id).Value, subject, Exact)
        let before, asked = session "MODEL-EXACT", session id

        for _ in 1..60 do
            before.Step()

        while not asked.Ended do
            asked.Step()

        subject.Foreign |> Option.iter _.Renew()
        Assert.Equal(Some 60, (if before.Found.IsNone then Some before.Cases else None))
        Assert.Equal(breaks, asked.Found.IsSome)
        Assert.Null(Option.toObj asked.Result.KitFault)

    [<NeedsTheory("gcc")>]
    [<InlineData("left-over-rows", true)>]
    [<InlineData("honest", false)>]
    member _.``The environment's threads are asked, and only they``(fault: string, wrong: bool) =
        let subject = Open.subject (Hostile.limits fault) ("native:" + Hostile.library.Value)
        let settings, model = (All.tryFind "THREAD-SETTINGS").Value, (All.tryFind "MODEL-EXACT").Value

        let results =
            Rounds.all { Run.defaults with Threads = 2 } (Rounds.jobs Run.defaults [ settings; model ] [ subject ]) ignore

        subject.Foreign |> Option.iter _.Renew()
        let broken = [ for r in results |> List.filter _.Failure.IsSome -> r.Law.Id ]
        Assert.Equal<string>((if wrong then [ "THREAD-SETTINGS" ] else []), broken)
        Assert.All(results, (fun r -> Assert.Null(Option.toObj r.KitFault)))
        Assert.All(results, (fun r -> Assert.True(r.Failure.IsSome || r.Held > 100)))

type HostilePrograms() =
    [<NeedsTheory("python3")>]
    [<InlineData("honest", "holds")>]
    [<InlineData("errors", "holds")>]
    [<InlineData("hangs", "hung")>]
    [<InlineData("hangs-on-stride", "hung")>]
    [<InlineData("deaf", "hung")>]
    [<InlineData("short", "hung")>]
    [<InlineData("dies", "crashed")>]
    [<InlineData("half", "crashed")>]
    [<InlineData("hog", "greedy")>]
    [<InlineData("forks", "forked")>]
    [<InlineData("garbage", "garbled")>]
    [<InlineData("endless-line", "garbled")>]
    [<InlineData("closes-output", "garbled")>]
    [<InlineData("long", "garbled")>]
    [<InlineData("twice", "garbled or misshapen")>]
    [<InlineData("shape", "misshapen")>]
    [<InlineData("answers-early", "misshapen")>]
    [<InlineData("throws", "failed")>]
    [<InlineData("refuses", "refused")>]
    [<InlineData("big-endian", "wrong")>]
    [<InlineData("doubles", "garbled")>]
    member _.``A program is reported for what it does``(fault: string, expected: string) =
        // When a second answer arrives decides what it is taken for.
        Assert.Contains(Hostile.reportUntil expected fault (Hostile.program fault), expected)

    [<NeedsTheory("python3")>]
    [<InlineData("exits", "exit code 7")>]
    [<InlineData("text-first", "'Loading my convolution ...'")>]
    [<InlineData("endless-greeting", "without the end of a line")>]
    [<InlineData("version", "another version of the protocol ('conv=2')")>]
    [<InlineData("field", "arithmetic=perfect")>]
    [<InlineData("operation", "'sideways'")>]
    [<InlineData("mute", "sent no greeting within 5 s")>]
    member _.``A program that cannot be used is refused before anything is judged``(fault: string, says: string) =
        Assert.Contains(says, Hostile.report (Hostile.limits fault) (Hostile.program fault))

    [<Fact>]
    member _.``A command that does not exist is refused``() =
        Assert.Contains("cannot be started", Hostile.report (Hostile.limits "") "exec:no-such-command-anywhere --at all")
