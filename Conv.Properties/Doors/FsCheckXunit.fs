// A drop-in for the package FsCheck.Xunit 3.x on xunit 2, for feeds that do not carry it: the same namespace, attributes,
// settings and meaning, written on FsCheck's public Check.Method. Building with -p:UseFsCheckXunitPackage=true leaves this
// file out and references the package; no test changes.
namespace FsCheck.Xunit

open System
open System.Globalization
open System.Reflection
open System.Threading
open System.Threading.Tasks
open FsCheck
open Xunit
open Xunit.Abstractions
open Xunit.Sdk

/// A property was falsified, or its arguments were exhausted. The message holds the shrunk arguments and the seed.
type PropertyFailedException(userMessage: string, innerException: exn | null) =
    inherit Exception(userMessage, innerException)

    /// The message is FsCheck's own report of the result.
    new(testResult: TestResult) = PropertyFailedException(Environment.NewLine + Runner.onFinishedToString "" testResult, null)

/// What one attribute sets; what it leaves open is for the enclosing attributes, and finally FsCheck, to say.
[<NoComparison; NoEquality>]
type internal PropertySettings =
    {
        MaxTest: int voption
        MaxRejected: int voption
        Replay: string voption
        Parallelism: int voption
        StartSize: int voption
        EndSize: int voption
        Verbose: bool voption
        QuietOnSuccess: bool voption
        Arbitrary: Type array
    }

[<RequireQualifiedAccess>]
module internal PropertySettings =
    /// The inner attribute wins, setting by setting. Arbitraries add up, the inner ones first: FsCheck prefers the front.
    let overlay (outer: PropertySettings) (inner: PropertySettings) =
        {
            MaxTest = inner.MaxTest |> ValueOption.orElse outer.MaxTest
            MaxRejected = inner.MaxRejected |> ValueOption.orElse outer.MaxRejected
            Replay = inner.Replay |> ValueOption.orElse outer.Replay
            Parallelism = inner.Parallelism |> ValueOption.orElse outer.Parallelism
            StartSize = inner.StartSize |> ValueOption.orElse outer.StartSize
            EndSize = inner.EndSize |> ValueOption.orElse outer.EndSize
            Verbose = inner.Verbose |> ValueOption.orElse outer.Verbose
            QuietOnSuccess = inner.QuietOnSuccess |> ValueOption.orElse outer.QuietOnSuccess
            Arbitrary = Array.append inner.Arbitrary outer.Arbitrary
        }

    /// "seed,gamma" restarts a run, "seed,gamma,size" repeats one test; parentheses as FsCheck prints them may stay.
    let parseReplay (text: string) : Replay =
        let number (part: string) = UInt64.Parse(part, NumberStyles.None, CultureInfo.InvariantCulture)

        let parts =
            text.Trim().Trim('(', ')').Split(',', StringSplitOptions.TrimEntries ||| StringSplitOptions.RemoveEmptyEntries)

        try
            match parts with
            | [| seed; gamma |] -> { Rnd = Rnd(number seed, number gamma); Size = None }
            | [| seed; gamma; size |] -> { Rnd = Rnd(number seed, number gamma); Size = Some(int (number size)) }
            | _ -> raise (FormatException "Wrong number of parts.")
        with
        | :? FormatException
        | :? OverflowException as error ->
            raise (FormatException($"Replay = \"{text}\" is not \"seed,gamma\" or \"seed,gamma,size\" in whole numbers.", error))

    let toConfig (runner: IRunner) (settings: PropertySettings) : Config =
        let apply setting (change: Config -> 'value -> Config) config =
            match setting with
            | ValueSome value -> change config value
            | ValueNone -> config

        Config.Default.WithRunner(runner).WithArbitrary(settings.Arbitrary)
        |> apply settings.MaxTest (fun config count -> config.WithMaxTest count)
        |> apply settings.MaxRejected (fun config count -> config.WithMaxRejected count)
        |> apply settings.Replay (fun config text -> config.WithReplay(Some(parseReplay text)))
        |> apply settings.Parallelism (fun config degree -> config.WithParallelRunConfig(Some { MaxDegreeOfParallelism = degree }))
        |> apply settings.StartSize (fun config size -> config.WithStartSize size)
        |> apply settings.EndSize (fun config size -> config.WithEndSize size)
        |> apply settings.QuietOnSuccess (fun config quiet -> config.WithQuietOnSuccess quiet)
        |> apply settings.Verbose (fun config verbose ->
            if verbose then
                config.WithEvery(Config.Verbose.Every).WithEveryShrink(Config.Verbose.EveryShrink)
            else
                config)

/// <summary>Runs this method as a property: FsCheck generates its arguments.</summary>
/// <remarks>The method is static or of an instance, and returns anything that FsCheck can test: nothing, a Boolean, a
/// Property, a Task, an Async. <c>Timeout</c> of <see cref="T:Xunit.FactAttribute"/> has no effect.</remarks>
// Discoverers are found by the name of their assembly: this one's.
[<AttributeUsage(AttributeTargets.Method ||| AttributeTargets.Property, AllowMultiple = false)>]
[<XunitTestCaseDiscoverer("FsCheck.Xunit.PropertyDiscoverer", "Conv.Properties")>]
type PropertyAttribute() =
    inherit FactAttribute()

    let mutable maxTest: int voption = ValueNone
    let mutable maxRejected: int voption = ValueNone
    let mutable replay: string voption = ValueNone
    let mutable parallelism: int voption = ValueNone
    let mutable startSize: int voption = ValueNone
    let mutable endSize: int voption = ValueNone
    let mutable verbose: bool voption = ValueNone
    let mutable quietOnSuccess: bool voption = ValueNone
    let mutable arbitrary: Type array = [||]

    /// The number of tests after which the property counts as passed. FsCheck's default is 100.
    member _.MaxTest
        with get () = ValueOption.defaultValue -1 maxTest
        and set value = maxTest <- ValueSome value

    /// The number of rejected tests, for example by ==>, after which the property counts as exhausted, which is a failure.
    member _.MaxRejected
        with get () = ValueOption.defaultValue -1 maxRejected
        and set value = maxRejected <- ValueSome value

    /// Where to start: "seed,gamma" as a failure prints it repeats the run, "seed,gamma,size" its last test alone.
    member _.Replay
        with get (): string | null = ValueOption.toObj replay
        and set (value: string | null) =
            replay <-
                match value with
                | null
                | "" -> ValueNone
                | text -> ValueSome text

    /// The number of tests to run at the same time; -1 is one for each processor.
    member _.Parallelism
        with get () = ValueOption.defaultValue -1 parallelism
        and set value = parallelism <- ValueSome value

    /// The size of the first test. FsCheck's default is 1.
    member _.StartSize
        with get () = ValueOption.defaultValue -1 startSize
        and set value = startSize <- ValueSome value

    /// The size that the tests approach linearly. FsCheck's default is 100.
    member _.EndSize
        with get () = ValueOption.defaultValue -1 endSize
        and set value = endSize <- ValueSome value

    /// Whether all arguments, and each successful shrink, are written to the test's output.
    member _.Verbose
        with get () = ValueOption.defaultValue false verbose
        and set value = verbose <- ValueSome value

    /// Whether a passing property writes nothing to the test's output.
    member _.QuietOnSuccess
        with get () = ValueOption.defaultValue false quietOnSuccess
        and set value = quietOnSuccess <- ValueSome value

    /// Types whose static members give Arbitrary instances. For a type that several of them generate, the first counts.
    member _.Arbitrary
        with get () = arbitrary
        and set value = arbitrary <- value

    member internal _.Settings: PropertySettings =
        {
            MaxTest = maxTest
            MaxRejected = maxRejected
            Replay = replay
            Parallelism = parallelism
            StartSize = startSize
            EndSize = endSize
            Verbose = verbose
            QuietOnSuccess = quietOnSuccess
            Arbitrary = arbitrary
        }

/// Settings shared by all properties of a class, a module or an assembly. The closer attribute wins, setting by setting.
[<AttributeUsage(AttributeTargets.Class ||| AttributeTargets.Assembly, AllowMultiple = false)>]
type PropertiesAttribute() =
    inherit PropertyAttribute()

/// Keeps the result of a run, and writes what a verbose run has to say.
type internal ResultKeeper(output: ITestOutputHelper) =
    let mutable result: TestResult voption = ValueNone

    let write (text: string) =
        if text <> "" then
            output.WriteLine(text.TrimEnd())

    /// Silent when the property passed and was to be quiet, and throws when it did not pass.
    member _.Report() =
        match result with
        | ValueNone -> invalidOp "FsCheck finished without a result."
        | ValueSome(TestResult.Passed _ as passed) -> write (Runner.onFinishedToString "" passed)
        | ValueSome(TestResult.Failed(data, original, shrunk, Outcome.Failed error, firstSeed, lastSeed, size)) ->
            let report = Runner.onFailureToString "" data original shrunk firstSeed lastSeed size
            raise (PropertyFailedException(Environment.NewLine + report, error))
        | ValueSome other -> raise (PropertyFailedException other)

    interface IRunner with
        member _.OnStartFixture _ = ()
        member _.OnArguments(test, arguments, every) = write (every test arguments)
        member _.OnShrink(arguments, every) = write (every arguments)
        member _.OnFinished(_, finished) = result <- ValueSome finished

/// Calls the method through FsCheck. Making and disposing of the test class, and all messages, stay with xunit.
type internal PropertyInvoker
    (
        settings: unit -> PropertySettings,
        output: ITestOutputHelper,
        test,
        bus,
        testClass,
        constructorArguments,
        testMethod: MethodInfo,
        beforeAfter,
        aggregator,
        cancellation
    ) =
    inherit XunitTestInvoker(test, bus, testClass, constructorArguments, testMethod, [||], beforeAfter, aggregator, cancellation)

    override this.InvokeTestMethodAsync(instance: obj) =
        let timer = this.Timer

        let check () =
            let keeper = ResultKeeper output
            let config = settings () |> PropertySettings.toConfig keeper

            match instance with
            | null -> Check.Method(config, testMethod)
            | target -> Check.Method(config, testMethod, target)

            keeper.Report()

        // FsCheck waits for tasks by blocking: on xunit's own context their continuations would never be run.
        let context = SynchronizationContext.Current
        SynchronizationContext.SetSynchronizationContext null

        try
            this.Aggregator.Run(fun () -> timer.Aggregate(Action check))
        finally
            SynchronizationContext.SetSynchronizationContext context

        Task.FromResult timer.Total

/// Gives each property an output, that of its test class if it asks for one.
type internal PropertyRunner
    (
        settings: unit -> PropertySettings,
        test,
        bus,
        testClass,
        constructorArguments,
        testMethod,
        skipReason,
        beforeAfter,
        aggregator: ExceptionAggregator,
        cancellation
    ) =
    inherit XunitTestRunner(test, bus, testClass, constructorArguments, testMethod, [||], skipReason, beforeAfter, aggregator, cancellation)

    override _.InvokeTestAsync(aggregator) =
        // From 2.9 on, xunit passes a function that makes the output; before, the output.
        let output =
            constructorArguments
            |> Array.tryPick (function
                | :? TestOutputHelper as output -> Some output
                | :? Func<TestOutputHelper> as make -> Some(make.Invoke())
                | _ -> None)
            |> Option.defaultWith (fun () -> TestOutputHelper())

        let arguments =
            constructorArguments
            |> Array.map (function
                | :? Func<TestOutputHelper> -> box output
                | other -> other)

        output.Initialize(bus, test)

        let invoker =
            PropertyInvoker(settings, output, test, bus, testClass, arguments, testMethod, beforeAfter, aggregator, cancellation)

        task {
            try
                let! seconds = invoker.RunAsync()
                return (seconds, output.Output)
            finally
                output.Uninitialize()
        }

type internal PropertyCaseRunner
    (settings: unit -> PropertySettings, testCase: XunitTestCase, constructorArguments, bus, aggregator: ExceptionAggregator, cancellation)
    =
    inherit
        XunitTestCaseRunner(testCase, testCase.DisplayName, testCase.SkipReason, constructorArguments, [||], bus, aggregator, cancellation)

    override _.CreateTestRunner(test, bus, testClass, arguments, testMethod, _, skipReason, beforeAfter, aggregator, cancellation) =
        PropertyRunner(
            settings,
            test,
            bus,
            testClass,
            arguments,
            testMethod,
            skipReason,
            beforeAfter,
            ExceptionAggregator aggregator,
            cancellation
        )

/// The xunit test case of one property.
type PropertyTestCase
    (
        diagnosticMessageSink: IMessageSink | null,
        defaultMethodDisplay: TestMethodDisplay,
        defaultMethodDisplayOptions: TestMethodDisplayOptions,
        testMethod: ITestMethod | null,
        ?testMethodArguments: obj array
    ) =
    inherit
        XunitTestCase(
            diagnosticMessageSink,
            defaultMethodDisplay,
            defaultMethodDisplayOptions,
            testMethod,
            Option.toObj testMethodArguments
        )

    /// For xunit, which fills the test case from its serialized form.
    new() = new PropertyTestCase(null, TestMethodDisplay.ClassAndMethod, TestMethodDisplayOptions.None, null)

    /// The settings of method, class, enclosing classes and assembly, the first of them winning.
    member private this.Settings() =
        let testClass = this.TestMethod.TestClass.Class.ToRuntimeType()

        let classes =
            testClass
            |> List.unfold (fun (current: Type | null) ->
                match current with
                | null -> None
                | enclosing -> Some(enclosing.GetCustomAttribute<PropertiesAttribute>(), enclosing.DeclaringType))

        let own = this.Method.ToRuntimeMethod().GetCustomAttribute<PropertyAttribute>()

        [
            yield own
            for shared in classes do
                yield shared
            yield testClass.Assembly.GetCustomAttribute<PropertiesAttribute>()
        ]
        |> List.choose Option.ofObj
        |> List.map _.Settings
        |> List.reduce (fun inner outer -> PropertySettings.overlay outer inner)

    override this.RunAsync(_, messageBus, constructorArguments, aggregator, cancellationTokenSource) =
        PropertyCaseRunner(this.Settings, this, constructorArguments, messageBus, aggregator, cancellationTokenSource).RunAsync()

/// Finds the test case of a method with a PropertyAttribute.
type PropertyDiscoverer(messageSink: IMessageSink) =
    /// Where xunit takes diagnostic messages.
    member _.MessageSink = messageSink

    interface IXunitTestCaseDiscoverer with
        member _.Discover(discoveryOptions, testMethod, _) =
            [
                new PropertyTestCase(
                    messageSink,
                    discoveryOptions.MethodDisplayOrDefault(),
                    discoveryOptions.MethodDisplayOptionsOrDefault(),
                    testMethod
                )
            ]
