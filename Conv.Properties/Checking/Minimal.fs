/// The least case that fails of the one that was found: the engine's shrinking, with a budget.
module internal Conv.Properties.Minimal

open System
open System.Diagnostics
open FsCheck
open FsCheck.FSharp
open Conv

/// How many smaller cases are tried at most, and for how long.
let private most = 3000

let usualBudget = TimeSpan.FromSeconds 5.0

/// The same where each attempt costs a process, and how long it is waited for.
let deathBudget, deathPatience = TimeSpan.FromSeconds 6.0, TimeSpan.FromSeconds 1.0

/// Hands a failing case to the engine to confirm and shrink. The engine knows no clock: the shrinker holds its own budget.
let ofCase (law: Law) (subject: Subject) rnd growth size drawn limit =
    let clock = Stopwatch.StartNew()
    let mutable tried = 0

    let candidates case =
        Shrink.cases law.Project case
        |> Seq.takeWhile (fun _ ->
            tried <- tried + 1
            tried <= most && clock.Elapsed < limit)

    let mutable shrunk = drawn
    let mutable steps = 0

    let runner =
        { new IRunner with
            member _.OnStartFixture _ = ()
            member _.OnArguments(_, _, _) = ()
            member _.OnShrink(_, _) = steps <- steps + 1

            member _.OnFinished(_, result) =
                match result with
                | TestResult.Failed(_, _, [ :? Case as smallest ], _, _, _, _) -> shrunk <- smallest
                | _ -> ()
        }

    let config =
        Config.Quick.WithMaxTest(1).WithRunner(runner).WithReplay(Some { Rnd = rnd; Size = Some growth })

    let arbitrary = Arb.fromGenShrink (law.Cases subject.Profile drawn.Tier size, candidates)
    // A law that cannot judge a smaller case says nothing about the subject: the engine would take the exception for a failure, shrink to
    // it, and lose the counterexample.
    let holds case =
        // A new instance costs little; a new process is made when the search is over.
        subject.Fresh |> Option.iter (fun renew -> renew ())

        try
            not (Pursuit.isFailure (law.Judge subject case))
        with _ ->
            true

    Check.One(config, Prop.forAll arbitrary holds)
    shrunk, steps
