/// Holds the stand-in for FsCheck.Xunit to what the package does, by running properties as xunit runs them. It uses the
/// package's public names alone, so it holds the package to the same.
module Conv.Properties.FsCheckXunitTests

open System
open System.Collections.Generic
open System.Text.RegularExpressions
open System.Threading
open System.Threading.Tasks
// Before FsCheck, which holds a namespace Xunit too.
open Xunit
open Xunit.Abstractions
open Xunit.Sdk
open FsCheck
open FsCheck.FSharp
open FsCheck.Xunit

type Even = Even of int
type Odd = Odd of int

type Evens =
    static member Even() =
        ArbMap.defaults
        |> ArbMap.arbitrary<int>
        |> Arb.convert (fun i -> Even(2 * i)) (fun (Even i) -> i / 2)

type Zeros =
    static member Even() = Arb.fromGen (Gen.constant (Even 0))

type Odds =
    static member Odd() =
        ArbMap.defaults
        |> ArbMap.arbitrary<int>
        |> Arb.convert (fun i -> Odd(2 * i + 1)) (fun (Odd i) -> i / 2)

/// What the samples did, in order, each under its own key.
module private Seen =
    let private seen = Dictionary<obj, List<obj>>()

    let note (key: obj) (value: obj) =
        lock seen (fun () ->
            if not (seen.ContainsKey key) then
                seen[key] <- List()

            seen[key].Add value)

    let take<'value> (key: obj) : 'value list =
        lock seen (fun () ->
            match seen.TryGetValue key with
            | true, values ->
                seen.Remove key |> ignore
                [ for value in values -> unbox value ]
            | _ -> [])

/// Properties to be run from below. xunit looks for tests in public types only, and so does not find these.
module internal Samples =
    [<Property(MaxTest = 37)>]
    let counted (x: int) = Seen.note "counted" x

    [<Property(MaxTest = 5, QuietOnSuccess = true)>]
    let quiet (_: int) = true

    [<Property(MaxTest = 3, Verbose = true, Replay = "(7,11)")>]
    let verbose (x: int) = Seen.note "verbose" x

    [<Property(MaxTest = 1000, EndSize = 1000)>]
    let belowTen (x: int) = x < 10

    [<Property>]
    let throws (_: int) : unit = invalidOp "broken on purpose"

    [<Property(Replay = "123,457", MaxTest = 20)>]
    let restarted (x: int, y: string) = Seen.note "restarted" (x, y)

    [<Property(Replay = "(123,457,50)")>]
    let repeated (x: int list) = Seen.note "repeated" x

    [<Property(Replay = "here")>]
    let wronglyReplayed (_: int) = true

    [<Property(StartSize = 3, EndSize = 3, MaxTest = 50)>]
    let sized (x: int list) = Seen.note "sized" x.Length

    [<Property(MaxRejected = 9)>]
    let exhausted (x: int) =
        Seen.note "exhausted" x
        false ==> true

    [<Property(Skip = "for a reason")>]
    let skipped (_: int) = false

    [<Property(MaxTest = 10)>]
    let awaited (x: int) : Task =
        task {
            do! Task.Yield()
            Seen.note "awaited" x
        }

    [<Property>]
    let failsLater (x: int) : Task =
        task {
            do! Task.Delay 1
            Assert.True(x < 0)
        }

    [<Property>]
    let failsInAsync (_: int) =
        async {
            do! Async.Sleep 1
            return false
        }

    [<Property(MaxTest = 25, Parallelism = 2)>]
    let parallelised (x: int) = Seen.note "parallelised" x

    [<Property(Arbitrary = [| typeof<Evens>; typeof<Odds> |])>]
    let registered (Even x, Odd y) = x % 2 = 0 && abs (y % 2) = 1

    [<Properties(MaxTest = 8, Arbitrary = [| typeof<Evens>; typeof<Odds> |])>]
    module Outer =
        [<Properties(EndSize = 2)>]
        module Inner =
            [<Property>]
            let inherited (Even x) = Seen.note "inherited" x

            [<Property(MaxTest = 4, Arbitrary = [| typeof<Zeros> |])>]
            let overridden (Even x, Odd _) = Seen.note "overridden" x

/// A test class as xunit makes one. It is public, since xunit makes only such, and so runs by itself as well.
type Instance(output: ITestOutputHelper) =
    do Seen.note output "made"

    [<Property(MaxTest = 6, QuietOnSuccess = true)>]
    member _.``a property of an instance writes to its output``(_: int) =
        Seen.note output "run"
        output.WriteLine "written"

    interface IDisposable with
        member _.Dispose() = Seen.note output "disposed of"

let private anyone =
    Reflection.BindingFlags.Public
    ||| Reflection.BindingFlags.NonPublic
    ||| Reflection.BindingFlags.Static
    ||| Reflection.BindingFlags.Instance

let private nested (outer: Type) (name: string) =
    match outer.GetNestedType(name, anyone) with
    | null -> failwith $"There is no type {name} in {outer.Name}."
    | found -> found

let private samples =
    match typeof<Even>.DeclaringType with
    | null -> failwith "The module of the samples is no type."
    | file -> nested file "Samples"

let private inner = nested (nested samples "Outer") "Inner"

let private testCaseOf (testClass: Type) (name: string) =
    let collection = TestCollection(TestAssembly(Reflector.Wrap testClass.Assembly), null, "samples")

    match testClass.GetMethod(name, anyone) with
    | null -> failwith $"There is no sample {name}."
    | found ->
        let testMethod = TestMethod(TestClass(collection, Reflector.Wrap testClass), Reflector.Wrap found)
        new PropertyTestCase(new NullMessageSink(), TestMethodDisplay.ClassAndMethod, TestMethodDisplayOptions.None, testMethod)

/// Runs a test case as xunit would, and returns the messages that it sent.
let private run (testCase: PropertyTestCase) (constructorArguments: obj array) : IMessageSinkMessage list =
    let messages = List<IMessageSinkMessage>()

    let bus =
        { new IMessageBus with
            member _.QueueMessage message =
                lock messages (fun () -> messages.Add message)
                true

            member _.Dispose() = ()
        }

    use cancellation = new CancellationTokenSource()

    let running =
        testCase.RunAsync(new NullMessageSink(), bus, constructorArguments, ExceptionAggregator(), cancellation)

    running.GetAwaiter().GetResult() |> ignore
    List.ofSeq messages

let private runIn testClass name constructorArguments = run (testCaseOf testClass name) constructorArguments

let private only<'message> (messages: IMessageSinkMessage list) : 'message =
    messages
    |> List.map box
    |> List.choose (function
        | :? 'message as found -> Some found
        | _ -> None)
    |> List.exactlyOne

let private fullName (t: Type) = $"{t.Namespace}.{t.Name}"

let private passes testClass name = (runIn testClass name [||] |> only<ITestPassed>).Output

let private fails name =
    let failed = runIn samples name [||] |> only<ITestFailed>
    List.ofSeq failed.ExceptionTypes, String.concat "\n" failed.Messages

[<Fact>]
let ``MaxTest is the number of tests, which the output tells`` () =
    Assert.Contains("Ok, passed 37 tests", passes samples "counted")
    Assert.Equal(37, (Seen.take<obj> "counted").Length)

[<Fact>]
let ``QuietOnSuccess leaves the output empty`` () = Assert.Equal("", (passes samples "quiet").Trim())

[<Fact>]
let ``Verbose writes the arguments of every test`` () =
    let output = passes samples "verbose"

    Seen.take<int> "verbose"
    |> List.iteri (fun test argument -> Assert.Matches($"(?m)^{test}:\\s+{argument}\\s*$", output))

[<Fact>]
let ``a failure tells the shrunk arguments and the seed that repeats them`` () =
    let types, message = fails "belowTen"
    Assert.Equal(fullName typeof<PropertyFailedException>, types.Head)
    Assert.Matches(@"Falsifiable, after \d+ tests? \(\d+ shrinks?\) \(\d+,\d+\)", message)
    // Ten cannot be shrunk: it is what any larger number shrinks to, or what was drawn.
    Assert.Matches(@"(Shrunk|Original):\s+10\s", message)

    // The seed, gamma and size that the message gives lead to the original argument, through FsCheck itself.
    let last = Regex.Match(message, @"failing step with \((\d+),(\d+),(\d+)\)\.\s+Original:\s+(-?\d+)")
    Assert.True(last.Success, message)
    let number (group: int) = UInt64.Parse last.Groups[group].Value
    let replay = { Rnd = Rnd(number 1, number 2); Size = Some(int (number 3)) }
    let replayed = List<int>()
    Check.One(Config.QuickThrowOnFailure.WithReplay(Some replay), fun (x: int) -> replayed.Add x)
    Assert.Equal<int list>([ int last.Groups[4].Value ], List.ofSeq replayed)

[<Fact>]
let ``an exception in a property is a failure, and is named`` () =
    let types, message = fails "throws"

    Assert.Equal<string list>([ fullName typeof<PropertyFailedException>; fullName typeof<InvalidOperationException> ], types)
    Assert.Contains("broken on purpose", message)

[<Fact>]
let ``Replay with seed and gamma repeats the run`` () =
    passes samples "restarted" |> ignore
    let first = Seen.take<obj> "restarted"
    passes samples "restarted" |> ignore
    Assert.Equal<obj list>(first, Seen.take "restarted")
    Assert.Equal(20, first.Length)

[<Fact>]
let ``Replay with a size repeats one test`` () =
    passes samples "repeated" |> ignore
    let first = Seen.take<obj> "repeated"
    passes samples "repeated" |> ignore
    Assert.Equal<obj list>(first, Seen.take "repeated")
    Assert.Single first |> ignore

[<Fact>]
let ``a Replay that cannot be read is a failure`` () = Assert.Contains("FormatException", (fst (fails "wronglyReplayed")).Head)

[<Fact>]
let ``StartSize and EndSize bound the arguments`` () =
    passes samples "sized" |> ignore
    let lengths = Seen.take<int> "sized"
    Assert.Equal(3, List.max lengths)

[<Fact>]
let ``MaxRejected rejections exhaust a property, which fails`` () =
    let types, message = fails "exhausted"
    Assert.Equal(fullName typeof<PropertyFailedException>, types.Head)
    Assert.Contains("exhausted after 0 tests", message)
    Assert.Equal(9, (Seen.take<obj> "exhausted").Length)

[<Fact>]
let ``Skip shows as skipped, with its reason`` () =
    let messages = runIn samples "skipped" [||]
    Assert.Equal("for a reason", (only<ITestSkipped> messages).Reason)

[<Fact>]
let ``a property may return a task or an async`` () =
    passes samples "awaited" |> ignore
    Assert.Equal(10, (Seen.take<obj> "awaited").Length)
    let _, message = fails "failsLater"
    Assert.Matches(@"(Shrunk|Original):\s+0\s", message)
    Assert.Contains("Falsifiable, after 1 test", snd (fails "failsInAsync"))

[<Fact>]
let ``Parallelism runs as many tests`` () =
    Assert.Contains("Ok, passed 25 tests", passes samples "parallelised")
    Assert.True((Seen.take<obj> "parallelised").Length >= 25)

[<Fact>]
let ``Arbitrary registers generators`` () = Assert.Contains("Ok, passed 100 tests", passes samples "registered")

[<Fact>]
let ``a class's settings hold for its properties and those of classes within`` () =
    passes inner "inherited" |> ignore
    let values = Seen.take<int> "inherited"
    Assert.Equal(8, values.Length)
    Assert.All(values, fun value -> Assert.InRange(value, -4, 4))

[<Fact>]
let ``a property's own settings win over its class's`` () =
    passes inner "overridden" |> ignore
    Assert.Equal<int list>([ 0; 0; 0; 0 ], Seen.take "overridden")

[<Fact>]
let ``a test class is made once, may write, and is disposed of`` () =
    let output = TestOutputHelper()

    let messages =
        runIn typeof<Instance> "a property of an instance writes to its output" [| Func<TestOutputHelper>(fun () -> output) |]

    Assert.Equal(String.concat Environment.NewLine (List.replicate 6 "written"), (only<ITestPassed> messages).Output.Trim())
    Assert.Equal<string list>([ "made"; yield! List.replicate 6 "run"; "disposed of" ], Seen.take output)

[<Fact>]
let ``the messages are those of a test, in order`` () =
    let kinds = runIn samples "quiet" [||] |> List.map (fun message -> message.GetType().Name)
    Assert.Equal<string list>([ "TestCaseStarting"; "TestStarting"; "TestPassed"; "TestFinished"; "TestCaseFinished" ], kinds)

[<Fact>]
let ``a test case survives xunit's serialization`` () =
    let name = "a property of an instance writes to its output"
    let text = SerializationHelper.Serialize(testCaseOf typeof<Instance> name)
    let copy = SerializationHelper.Deserialize<PropertyTestCase> text
    let messages = run copy [| Func<TestOutputHelper>(fun () -> TestOutputHelper()) |]
    Assert.EndsWith(name, (only<ITestPassed> messages).Test.DisplayName)

/// The door itself: xunit finds these by their attribute.
[<Properties(Arbitrary = [| typeof<Evens>; typeof<Odds> |], QuietOnSuccess = true)>]
module Discovered =
    [<Property>]
    let ``an even and an odd number add up to an odd one`` (Even x, Odd y) = (x + y) % 2 <> 0

    [<Property(MaxTest = 20)>]
    let ``reversing twice changes nothing`` (values: int list) = Task.FromResult(List.rev (List.rev values) = values)
