namespace Conv.Properties

open System
open System.Diagnostics
open System.Threading

/// Threads that call a subject at the same moment. They live as long as the thread that made them: a case takes microseconds, and starting
/// threads would take longer than what it asks.
[<Sealed>]
type internal Crew private (size: int) =
    static let own = new ThreadLocal<Crew>(fun () -> Crew 4)
    let mutable work: int -> unit = ignore
    let mutable arrived = 0
    let failures = Array.create<exn option> size None
    let starts = Array.init size (fun _ -> new SemaphoreSlim(0))
    let finished = new SemaphoreSlim(0)
    /// More cannot be awake at the same moment.
    let meeting = min size Environment.ProcessorCount

    let run at =
        // Together, as far as the processors allow: nobody begins before as many are awake, or too long have not been.
        Interlocked.Increment &arrived |> ignore<int>
        let since = Stopwatch.GetTimestamp()
        let mutable wait = SpinWait()

        // Without a sleep: on a busy machine a caller's turn comes by yielding, and a sleep takes longer than most cases.
        while Volatile.Read &arrived < meeting
              && Stopwatch.GetElapsedTime(since).TotalMilliseconds < 2.0 do
            wait.SpinOnce -1

        failures[at] <-
            try
                work at
                None
            with error ->
                Some error

    do
        for at in 1 .. size - 1 do
            let serve () =
                while true do
                    starts[at].Wait()
                    run at
                    finished.Release() |> ignore<int>

            Thread(serve, IsBackground = true, Name = $"caller {at + 1}").Start()

    /// The crew of the current thread.
    static member Own = own.Value

    /// How many work, the current thread among them.
    member _.Size = size

    /// Does the work for 0 … Size − 1, all at once, and gives what the first that failed threw.
    member _.Run(each: int -> unit) : exn option =
        work <- each
        Volatile.Write(&arrived, 0)

        for at in 1 .. size - 1 do
            starts[at].Release() |> ignore<int>

        run 0

        for _ in 1 .. size - 1 do
            finished.Wait()

        Array.tryPick id failures
