namespace Conv.Properties

open System
open System.Collections.Concurrent
open System.Diagnostics
open System.Globalization
open System.IO
open System.Text
open System.Threading

/// How a subject in a process of its own failed to answer.
[<RequireQualifiedAccess>]
type internal Trouble =
    /// Its process ended.
    | Crashed
    /// It gave no answer in time.
    | Hung
    /// It took more memory than it may.
    | Greedy
    /// What it sent is no answer.
    | Garbled
    /// Its result has other dimensions.
    | Misshapen
    /// It does not take what it declares to take.
    | Refused
    /// It left processes behind.
    | Forked
    /// It wrote to memory that is not its own, or changed how the processor computes.
    | Touched
    /// It says itself that it failed.
    | Failed

/// Raised by a subject in a process of its own in place of an answer.
exception internal ForeignFault of Trouble * text: string

/// Raised where a valid problem is not taken by a subject that never promised to.
exception internal Declined

/// Raised where a subject cannot be used at all: one sentence that says why, and how to mend it.
exception internal CannotOpen of string

/// What a subject in a process of its own may take.
type internal Limits =
    {
        /// Until it answers for the first time.
        Start: TimeSpan
        /// For a call.
        Call: TimeSpan
        /// MiB of memory beside the tensors of the call.
        Memory: int
        /// Variables that its processes get.
        Environment: (string * string) list
        /// Libraries are called in the kit's own process: faster, and the kit dies with them.
        InProcess: bool
        /// The kit's threads take turns on one process, where otherwise each has its own.
        Shared: bool
    }

[<RequireQualifiedAccess>]
module internal Limits =
    /// "2.5 s".
    let seconds (time: TimeSpan) = time.TotalSeconds.ToString("0.##", CultureInfo.InvariantCulture) + " s"

    /// What processes get where neither --env nor the kit's own environment says otherwise: threads of a library that do not fight with the
    /// kit's, of which there is one a processor, and that sleep when they have nothing to do.
    let environment = [ "OMP_NUM_THREADS", "2"; "OMP_WAIT_POLICY", "passive" ]

    /// 30 s to start, 10 s a call, 2 GiB.
    let usual =
        {
            Start = TimeSpan.FromSeconds 30.0
            Call = TimeSpan.FromSeconds 10.0
            Memory = 2048
            Environment = []
            InProcess = false
            Shared = false
        }

    /// The same for processes that may use so many threads, under the variables by which libraries are told.
    let granting (threads: int) (limits: Limits) =
        let variables =
            [
                "OMP_NUM_THREADS"
                "OPENBLAS_NUM_THREADS"
                "MKL_NUM_THREADS"
                "BLIS_NUM_THREADS"
                "VECLIB_MAXIMUM_THREADS"
                "NUMEXPR_NUM_THREADS"
                "RAYON_NUM_THREADS"
                "GOMAXPROCS"
                "JULIA_NUM_THREADS"
            ]

        { limits with
            Environment = limits.Environment @ [ for name in variables -> name, string threads ]
            Shared = true
        }

/// What becomes of the processes of a subject. Each thread has its own.
type internal IForeign =
    /// Gives the current thread a fresh process.
    abstract Renew: unit -> unit
    /// The limit of time for a call of the current thread; none is the usual one.
    abstract Patience: TimeSpan option with set
    /// Waits a moment for a process that is dying of the last call, and says how it died.
    abstract Linger: unit -> (Trouble * string) option

/// A process that answers calls, watched: it is ended when a call takes too long or when it takes too much memory.
[<Sealed>]
type internal Worker(start: ProcessStartInfo, limits: Limits) =
    static let live = ConcurrentDictionary<int, Worker>()

    static let watch =
        lazy
            (let mutable round = 0

             let look () =
                 while true do
                     Thread.Sleep 20
                     round <- round + 1

                     for worker in live.Values do
                         worker.Watch(round % 5 = 0)

             AppDomain.CurrentDomain.ProcessExit.Add(fun _ ->
                 for worker in live.Values do
                     worker.Kill())

             Thread(look, IsBackground = true, Name = "watch of foreign processes").Start())

    /// The last of what it wrote to errors, and to the output where that is no answer.
    let tail = StringBuilder()
    let kept = 2000

    let keep (from: Stream) () =
        let bytes = Array.zeroCreate<byte> 4096

        try
            let mutable count = from.Read(bytes, 0, bytes.Length)

            while count > 0 do
                lock tail (fun () ->
                    tail.Append(Encoding.UTF8.GetString(bytes, 0, count)) |> ignore<StringBuilder>

                    if tail.Length > 2 * kept then
                        tail.Remove(0, tail.Length - kept) |> ignore<StringBuilder>)

                count <- from.Read(bytes, 0, bytes.Length)
        with
        | :? IOException
        | :? ObjectDisposedException -> ()

    // Ticks of the clock at which the call of the moment has taken too long; 0 between calls.
    let mutable deadline = 0L
    let mutable limit = limits.Call
    let mutable patience = limits.Call
    let mutable allowance = 0L
    let mutable ended: (Trouble * string) option = None
    let mutable calls = 0

    let startProcess () =
        for name, value in Limits.environment do
            if not (start.Environment.ContainsKey name) then
                start.Environment[name] <- value

        for name, value in limits.Environment do
            start.Environment[name] <- value

        let started = new Process(StartInfo = start)
        started.Start() |> ignore<bool>
        started

    let child = startProcess ()

    let residentBytes () =
        try
            if OperatingSystem.IsLinux() then
                let fields = File.ReadAllText($"/proc/{child.Id}/statm").Split ' '
                Int64.Parse fields[1] * int64 Environment.SystemPageSize
            else
                child.Refresh()
                child.WorkingSet64
        with _ ->
            0L

    let signals =
        dict
            [
                4, "SIGILL"
                6, "SIGABRT"
                7, "SIGBUS"
                8, "SIGFPE"
                9, "SIGKILL"
                11, "SIGSEGV"
                13, "SIGPIPE"
                15, "SIGTERM"
            ]

    let said () =
        // The readers of its streams are a moment behind.
        Thread.Sleep 20

        let lines =
            lock tail (fun () -> tail.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries ||| StringSplitOptions.TrimEntries))

        match lines |> Array.filter (fun line -> not (line.StartsWith "at ")) with
        | [||] -> ""
        | lines ->
            let last = lines |> Array.skip (max 0 (lines.Length - 3)) |> String.concat " / "
            $"; it said last: {last}"

    let death () =
        let code = child.ExitCode

        let how =
            match signals.TryGetValue(code - 128) with
            | true, name when not (OperatingSystem.IsWindows()) -> $"the process died of {name} (signal {code - 128})"
            | _ -> $"the process ended with exit code {code}"

        Trouble.Crashed, how + said ()

    do
        let drain (stream: Stream) = Thread(keep stream, IsBackground = true, Name = "output of a foreign process").Start()
        drain child.StandardError.BaseStream

        // Whoever gives it requests by its input hears it by its output.
        if not start.RedirectStandardInput then
            drain child.StandardOutput.BaseStream

    member private _.Child = child

    /// A process that is watched from now on.
    static member Start(start, limits) =
        watch.Force()
        let worker = new Worker(start, limits)
        live[worker.Child.Id] <- worker
        worker

    member _.Id = child.Id
    member _.Input = child.StandardInput.BaseStream
    member _.Output = child.StandardOutput.BaseStream

    /// The limit of time for a call; none is the usual one.
    member _.Patience
        with set value = patience <- Option.defaultValue limits.Call value

    /// What it said last, to be appended to a sentence.
    member _.Said = said ()

    member private _.Watch(memory: bool) =
        let until = Volatile.Read &deadline

        let stop trouble text =
            ended <- Some(trouble, text)
            child.Kill true

        try
            if ended.IsNone && not child.HasExited then
                if until <> 0L && Stopwatch.GetTimestamp() > until then
                    stop Trouble.Hung $"it gave no answer within {Limits.seconds limit} (--timeout)"
                elif memory then
                    let used = residentBytes ()

                    if used > (int64 limits.Memory <<< 20) + allowance then
                        stop Trouble.Greedy $"it took more than {limits.Memory} MiB of memory, in call {calls} of its process"
        with
        | :? InvalidOperationException
        | :? ComponentModel.Win32Exception -> ()

    /// A call by some exchange of messages, within a limit of time. `tensors`: bytes that the call itself moves.
    member private w.Exchange(limit', tensors: int64, work: unit -> 'a) : 'a =
        limit <- limit'
        allowance <- 4L * tensors
        calls <- calls + 1

        Volatile.Write(
            &deadline,
            Stopwatch.GetTimestamp()
            + int64 (limit'.TotalSeconds * float Stopwatch.Frequency)
        )

        try
            try
                work ()
            with
            | :? IOException
            | :? ObjectDisposedException ->
                // What is waited for now is its end.
                Volatile.Write(&deadline, 0L)
                raise (ForeignFault(w.Diagnosis()))
        finally
            Volatile.Write(&deadline, 0L)

    /// A call. `tensors`: bytes that it moves.
    member w.Call(tensors, work) = w.Exchange(patience, tensors, work)

    /// The first exchange.
    member w.Begin(work) = w.Exchange(limits.Start, 0L, work)

    /// Why nothing more comes from it.
    member private w.Diagnosis() =
        let exited = child.WaitForExit 3000

        match ended with
        | Some(trouble, text) -> trouble, text
        | None when exited -> death ()
        | None ->
            w.Kill()
            Trouble.Garbled, "it closed its pipe and went on" + said ()

    /// How it ends within a moment, if it does.
    member _.Linger(moment: int) =
        if child.WaitForExit moment then
            match ended with
            | Some(trouble, text) -> Some(trouble, text)
            | None -> Some(death ())
        else
            None

    member _.Kill() =
        try
            if not child.HasExited then
                child.Kill true
        with
        | :? InvalidOperationException
        | :? ComponentModel.Win32Exception -> ()

    interface IDisposable with
        member w.Dispose() =
            // One that was given its requests by its input ends by itself when it is closed.
            if start.RedirectStandardInput && ended.IsNone then
                try
                    child.StandardInput.Close()
                    child.WaitForExit 200 |> ignore<bool>
                with :? IOException ->
                    ()

            w.Kill()
            live.TryRemove child.Id |> ignore<bool * Worker>
            child.Dispose()

/// A connection to a foreign process for each thread that calls, made when it first does; or one that they share in turns.
[<Sealed>]
type internal Connections<'c when 'c :> IDisposable and 'c: not struct>(shared: bool, connect: unit -> 'c, worker: 'c -> Worker) =
    let ofAll: 'c option ref = ref None
    let ofThread = new ThreadLocal<'c option ref>(fun () -> ref None)
    let own () = if shared then ofAll else ofThread.Value
    let patience = new ThreadLocal<TimeSpan option ref>(fun () -> ref None)

    let inTurn (call: unit -> 'a) : 'a = if shared then lock ofAll call else call ()

    let drop () =
        own().Value |> Option.iter (fun c -> (c :> IDisposable).Dispose())
        own().Value <- None

    let get () =
        match own().Value with
        | Some c -> c
        | None ->
            let c =
                try
                    connect ()
                with CannotOpen why ->
                    raise (ForeignFault(Trouble.Crashed, $"it could not be started again: {why}"))

            (worker c).Patience <- patience.Value.Value
            own().Value <- Some c
            c

    /// What the connection gives, or the fault. After most faults nobody knows what the process would do next: it is replaced.
    member _.Ask(ask: 'c -> 'a) : 'a =
        inTurn (fun () ->
            try
                ask (get ())
            with
            | ForeignFault((Trouble.Refused | Trouble.Failed), _) -> reraise ()
            | ForeignFault _ ->
                drop ()
                reraise ())

    /// Whether the current thread has a connection.
    member _.IsOpen = own().Value.IsSome

    /// The current thread's connection is this one from now on.
    member _.Adopt(c: 'c) = own().Value <- Some c

    interface IForeign with
        member _.Renew() = inTurn drop

        member _.Patience
            with set value =
                patience.Value.Value <- value
                own().Value |> Option.iter (fun c -> (worker c).Patience <- value)

        member _.Linger() = own().Value |> Option.bind (fun c -> (worker c).Linger 300)
