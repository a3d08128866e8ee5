/// A subject that runs in a process of its own: this program again, which is told over a socket what to call. What the subject does to its
/// process is seen from outside; what it does to memory and to the processor's modes is seen there, after every call.
module internal Conv.Properties.Isolated

open System
open System.Collections.Generic
open System.Diagnostics
open System.IO
open System.Net.Sockets
open System.Runtime.InteropServices
open System.Text
open System.Threading
open Microsoft.Win32.SafeHandles
open Conv

/// What both ends agree on: numbers, shapes and tensors in a stream.
module private Wire =
    let shape (w: BinaryWriter) (s: ConvShape) =
        for number in Parameters.ofShape s do
            w.Write number

    let readShape (r: BinaryReader) = Parameters.toShape (Array.init 16 (fun _ -> r.ReadInt32()))

    let floats (w: BinaryWriter) (values: float32[]) =
        w.Write values.Length
        w.Write(MemoryMarshal.AsBytes(ReadOnlySpan values))

    let readFloats (r: BinaryReader) : float32[] =
        let values = GC.AllocateUninitializedArray<float32>(r.ReadInt32())
        r.BaseStream.ReadExactly(MemoryMarshal.AsBytes(Span values))
        values

    let private operations =
        [|
            Operation.Forward
            Operation.Fused false
            Operation.Fused true
            Operation.BackwardInput
            Operation.BackwardKernel
            Operation.BackwardBias
            Operation.Transposed
        |]

    let operation (w: BinaryWriter) o = w.Write(byte (Array.IndexOf(operations, o)))
    let readOperation (r: BinaryReader) = operations[int (r.ReadByte())]

    let private pages = [| NoPages; PageBehind; PageBefore; ReadOnly |]

    let placement (w: BinaryWriter) (p: Placement) =
        w.Write p.Guard
        w.Write p.OutputHolds
        w.Write p.WorkspaceHolds
        w.Write p.Misalign
        w.Write(byte (Array.IndexOf(pages, p.Pages)))
        w.Write p.Threads
        w.Write p.InPlace

    let readPlacement (r: BinaryReader) =
        {
            Guard = r.ReadSingle()
            OutputHolds = r.ReadSingle()
            WorkspaceHolds = r.ReadSingle()
            Misalign = r.ReadInt32()
            Pages = pages[int (r.ReadByte())]
            Threads = r.ReadInt32()
            InPlace = r.ReadBoolean()
        }

    let private troubles =
        [|
            Trouble.Crashed
            Trouble.Hung
            Trouble.Greedy
            Trouble.Garbled
            Trouble.Misshapen
            Trouble.Refused
            Trouble.Forked
            Trouble.Touched
            Trouble.Failed
        |]

    let trouble (w: BinaryWriter) t = w.Write(byte (Array.IndexOf(troubles, t)))
    let readTrouble (r: BinaryReader) = troubles[int (r.ReadByte())]

/// The two directions of a socket, each through a buffer.
[<Sealed>]
type private Line(socket: Socket) =
    let stream = new NetworkStream(socket, true)
    let input = new BufferedStream(stream, 1 <<< 16)
    let output = new BufferedStream(stream, 1 <<< 16)
    member val Reader = new BinaryReader(input, Encoding.UTF8)
    member val Writer = new BinaryWriter(output, Encoding.UTF8)
    member l.Flush() = l.Writer.Flush()

    interface IDisposable with
        member _.Dispose() = stream.Dispose()

/// What is asked.
module private Ask =
    [<Literal>]
    let Forward = 1uy

    [<Literal>]
    let Operate = 2uy

    [<Literal>]
    let Place = 3uy

    [<Literal>]
    let Prepare = 4uy

    [<Literal>]
    let Run = 5uy

    [<Literal>]
    let OutputSize = 6uy

    [<Literal>]
    let Together = 7uy

    [<Literal>]
    let Release = 8uy

    [<Literal>]
    let Apart = 9uy

/// How it is answered.
module private Answer =
    [<Literal>]
    let Done = 0uy

    [<Literal>]
    let Declined = 1uy

    [<Literal>]
    let Troubled = 2uy

    /// A prepared convolution that is not there: its process was replaced.
    [<Literal>]
    let Gone = 3uy

// ---- the process that runs the subject

module private Posix =
    [<DllImport("libc")>]
    extern int getpid()

    [<DllImport("libc")>]
    extern void _exit(int code)

/// 1, half of its last place, three quarters of it, and the least subnormal: in an array, so that nothing is computed beforehand.
let private modes = [| 1f; MathF.ScaleB(1f, -24); MathF.ScaleB(3f, -25); Single.Epsilon |]

/// Whether arithmetic of this thread flushes subnormals.
let private flushesNow () =
    let least = modes[3]
    not (least * 3f > 0f && least + 0f > 0f)

/// Whether it no longer rounds to nearest, or flushes subnormals where it did not at first.
let private modesChanged flushedAtFirst =
    let one, half, most = modes[0], modes[1], modes[2]

    not (one + half = 1f && -one - half = -1f && one + most > 1f)
    || flushesNow () && not flushedAtFirst

/// Raises where a library has made this process flush subnormals when it was loaded, and does not declare it: one cause that would break half of
/// the laws, one by one.
let private refuseFastMath name (profile: Profile) =
    if flushesNow () && not profile.Traits.FlushesSubnormals then
        raise (
            CannotOpen
                $"'{name}' makes the process flush subnormals as soon as it is loaded: it is linked with -ffast-math or -Ofast (crtfastmath.o); link it without (gcc 13 and later: -mno-daz-ftz), or declare flushes=yes"
        )

/// The processes that this thread has started and that are still there, where the system says.
[<Sealed>]
type private Descendants() =
    let handle: SafeFileHandle | null =
        let path = "/proc/thread-self/children"
        if File.Exists path then File.OpenHandle path else null

    let bytes = Array.zeroCreate<byte> 256

    member _.Count =
        match handle with
        | null -> 0
        | handle ->
            let length = RandomAccess.Read(handle, Span bytes, 0L)
            bytes.AsSpan(0, length).Count(byte ' ')

/// Ends this process when the one that started it is gone, even while the subject runs for ever.
let outliveNot (parent: int) =
    let follow () =
        try
            use other = Process.GetProcessById parent
            other.WaitForExit()
        with :? ArgumentException ->
            ()

        Process.GetCurrentProcess().Kill()

    Thread(follow, IsBackground = true, Name = "end with the parent").Start()

/// Answers on the socket until the other side closes it. `subject` opens what is asked about.
let serve (path: string) (name: string) (subject: unit -> string * Subject) =
    let socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)
    socket.Connect(UnixDomainSocketEndPoint path)
    use line = new Line(socket)
    let r, w = line.Reader, line.Writer

    match
        (try
            let text, subject = subject ()
            refuseFastMath name subject.Profile
            Ok(text, subject)
         with CannotOpen why ->
             Error why)
    with
    | Error why ->
        w.Write false
        w.Write why
        line.Flush()
        3
    | Ok(text, subject) ->
        w.Write true
        w.Write text
        let capabilities = [ for c in subject.Profile.Capabilities -> string c ]
        w.Write(String.Join(' ', capabilities))
        line.Flush()

        let prepared = Dictionary<int, PreparedRuns>()
        let unix = not (OperatingSystem.IsWindows())
        let self = if unix then Posix.getpid () else 0
        let descendants = Descendants()
        let flushedAtFirst = flushesNow ()

        /// Reads a request; the call gives what writes its answer.
        let request kind : unit -> unit -> unit =
            let tensors (results: float32[][]) () =
                w.Write Answer.Done

                for values in results do
                    Wire.floats w values

            let tensor values = tensors [| values |]

            match kind with
            | Ask.Forward ->
                let s = Wire.readShape r
                let x, k, b = Wire.readFloats r, Wire.readFloats r, Wire.readFloats r
                fun () -> tensor (subject.Forward s x k b)
            | Ask.Operate ->
                let operation = Wire.readOperation r
                let s = Wire.readShape r
                let x, k, b = Wire.readFloats r, Wire.readFloats r, Wire.readFloats r
                fun () -> tensor (subject.Operate operation s x k b)
            | Ask.Place ->
                let placement = Wire.readPlacement r
                let operation = Wire.readOperation r
                let s = Wire.readShape r
                let x, k, b = Wire.readFloats r, Wire.readFloats r, Wire.readFloats r

                fun () ->
                    let struct (values, traces) = subject.Place placement operation s x k b

                    fun () ->
                        tensor values ()
                        w.Write traces.Outside
                        w.Write traces.Operands
                        w.Write traces.WorkspaceBytes
            | Ask.Prepare ->
                let id = r.ReadInt32()
                let s = Wire.readShape r
                let k, b = Wire.readFloats r, Wire.readFloats r

                fun () ->
                    prepared[id] <- subject.Prepare s k b
                    fun () -> w.Write Answer.Done
            | Ask.Run ->
                let id = r.ReadInt32()
                let x = Wire.readFloats r

                match prepared.TryGetValue id with
                | true, made -> fun () -> tensor (made.Run x)
                | _ -> fun () () -> w.Write Answer.Gone
            | Ask.Together ->
                let id = r.ReadInt32()
                let inputs = Array.init (r.ReadInt32()) (fun _ -> Wire.readFloats r)

                match prepared.TryGetValue id with
                | true, made ->
                    fun () ->
                        let results = made.Together inputs
                        tensors results
                | _ -> fun () () -> w.Write Answer.Gone
            | Ask.Apart ->
                let s = Wire.readShape r
                let k, b = Wire.readFloats r, Wire.readFloats r
                let inputs = Array.init (r.ReadInt32()) (fun _ -> Wire.readFloats r)

                fun () ->
                    let results = inputs |> PreparedRuns.apart (fun () -> subject.Prepare s k b)
                    tensors results
            | Ask.Release ->
                let id = r.ReadInt32()

                fun () ->
                    match prepared.TryGetValue id with
                    | true, made ->
                        prepared.Remove id |> ignore<bool>
                        made.Release()
                    | _ -> ()

                    fun () -> w.Write Answer.Done
            | Ask.OutputSize ->
                let s = Wire.readShape r

                fun () ->
                    let struct (height, width) = subject.OutputSize s

                    fun () ->
                        w.Write Answer.Done
                        w.Write height
                        w.Write width
            | other -> invalidOp $"There is no request {other}."

        let troubled trouble (text: string) () =
            w.Write Answer.Troubled
            Wire.trouble w trouble
            w.Write text

        let answer (call: unit -> unit -> unit) =
            let answer =
                try
                    call ()
                with
                | Declined -> fun () -> w.Write Answer.Declined
                | ForeignFault(trouble, text) -> troubled trouble text
                | error -> troubled Trouble.Failed $"{error.GetType().Name}: {error.Message}"

            // The subject has made a second process of this one, which has come back as well: one answer is enough.
            if unix && Posix.getpid () <> self then
                Posix._exit 0

            match descendants.Count with
            | 0 when modesChanged flushedAtFirst ->
                troubled Trouble.Touched "It left the processor rounding otherwise than to nearest, or flushing subnormals." ()
            | 0 -> answer ()
            | 1 -> troubled Trouble.Forked "it left a process behind" ()
            | many -> troubled Trouble.Forked $"it left {many} processes behind" ()

            line.Flush()

        try
            while true do
                answer (request (r.ReadByte()))

            0
        with
        | :? EndOfStreamException
        | :? IOException -> 0

// ---- the kit's side

/// A process that serves a subject, the text of its profile and what it is capable of.
[<Sealed>]
type private Connection(line: Line, worker: Worker, text: string, capabilities: string) =
    member _.Line = line
    member _.Worker = worker
    member _.Text = text
    member _.Capabilities = capabilities

    interface IDisposable with
        member _.Dispose() =
            (line :> IDisposable).Dispose()
            (worker :> IDisposable).Dispose()

/// Starts a process that opens `spec`. Raises `CannotOpen`.
let private connect (limits: Limits) (spec: string) =
    let path = Path.Combine(Path.GetTempPath(), $"conv-{Guid.NewGuid():N}"[..20])
    use listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)
    listener.Bind(UnixDomainSocketEndPoint path)

    try
        listener.Listen 1

        let worker =
            Worker.Start(Child.start [ "serve"; spec; "--socket"; path; "--parent"; string Environment.ProcessId ], limits)

        try
            let clock = Stopwatch.StartNew()
            let mutable gone = None

            while gone.IsNone
                  && not (listener.Poll(TimeSpan.FromMilliseconds 50.0, SelectMode.SelectRead)) do
                gone <- worker.Linger 0

                if gone.IsNone && clock.Elapsed > limits.Start then
                    gone <- Some(Trouble.Hung, $"it did not start within {Limits.seconds limits.Start}")

            match gone with
            | Some(_, why) -> raise (CannotOpen $"'{spec}' cannot be opened: {why}")
            | None -> ()

            let line = new Line(listener.Accept())

            let opened, text, capabilities =
                try
                    worker.Begin(fun () ->
                        let opened = line.Reader.ReadBoolean()
                        let text = line.Reader.ReadString()
                        opened, text, (if opened then line.Reader.ReadString() else ""))
                with ForeignFault(_, why) ->
                    raise (CannotOpen $"'{spec}' cannot be opened: {why}")

            if not opened then
                raise (CannotOpen text)

            new Connection(line, worker, text, capabilities)
        with _ ->
            (worker :> IDisposable).Dispose()
            reraise ()
    finally
        File.Delete path

let private names =
    dict
        [
            for c in [ Forward; Gradients; Transposed; Fused; Placed; Prepares; Workspace; OutputSize; Concurrent ] -> string c, c
        ]

/// The subject that `spec` names, each thread's in a process of its own. Raises `CannotOpen`.
let openSubject (limits: Limits) (spec: string) : Subject =
    let first = connect limits spec
    let declared = Declared.parse [] first.Text

    // What needs threads in the subject's process, or views of its memory, is not asked from another.
    let capabilities =
        set
            [
                for name in first.Capabilities.Split ' ' do
                    match names.TryGetValue name with
                    | true, capability -> capability
                    | _ -> ()
            ]

    let connections = Connections<Connection>(limits.Shared, (fun () -> connect limits spec), _.Worker)
    connections.Adopt first

    let ask (tensors: int64) (write: BinaryWriter -> unit) (read: BinaryReader -> 'a) : 'a voption =
        connections.Ask(fun connection ->
            connection.Worker.Call(
                tensors,
                fun () ->
                    write connection.Line.Writer
                    connection.Line.Flush()
                    let r = connection.Line.Reader

                    match r.ReadByte() with
                    | Answer.Done -> ValueSome(read r)
                    | Answer.Gone -> ValueNone
                    | Answer.Declined -> raise Declined
                    | Answer.Troubled ->
                        let trouble = Wire.readTrouble r
                        raise (ForeignFault(trouble, r.ReadString()))
                    | other -> raise (ForeignFault(Trouble.Garbled, $"byte {other} came where an answer was due"))
            ))

    let bytes (s: ConvShape) = s.Bytes

    /// A call that may die of memory that nobody may write to, or touch: what stood there is said.
    let asLaid (s: ConvShape) (call: unit -> 'a) : 'a =
        let stood =
            match (Native.layout true s).Pages with
            | NoPages -> ""
            | ReadOnly -> " (in this call its operands, and what stands behind every tensor, could be read and not written: RES-1, RES-4)"
            | PageBehind -> " (in this call a page that nobody may touch stood behind every tensor: RES-4)"
            | PageBefore -> " (in this call a page that nobody may touch stood before every tensor: RES-4)"

        try
            call ()
        with ForeignFault(Trouble.Crashed, text) when stood <> "" ->
            raise (ForeignFault(Trouble.Crashed, text + stood))

    let operands (w: BinaryWriter) s x k b =
        Wire.shape w s
        Wire.floats w x
        Wire.floats w k
        Wire.floats w b

    let mutable prepared = 0

    { (Subject.forward spec { declared.Profile with Capabilities = capabilities } (fun s x k b ->
          asLaid s (fun () ->
              ask
                  (bytes s)
                  (fun w ->
                      w.Write Ask.Forward
                      operands w s x k b)
                  Wire.readFloats
              |> _.Value))) with
        Profile = { declared.Profile with Capabilities = capabilities }
        Foreign = Some connections
        Operate =
            fun operation s x k b ->
                asLaid s (fun () ->
                    ask
                        (bytes s)
                        (fun w ->
                            w.Write Ask.Operate
                            Wire.operation w operation
                            operands w s x k b)
                        Wire.readFloats
                    |> _.Value)
        Place =
            fun placement operation s x k b ->
                ask
                    (bytes s)
                    (fun w ->
                        w.Write Ask.Place
                        Wire.placement w placement
                        Wire.operation w operation
                        operands w s x k b)
                    (fun r ->
                        let values = Wire.readFloats r

                        struct (values,
                                {
                                    Outside = r.ReadInt32()
                                    Operands = r.ReadInt32()
                                    WorkspaceBytes = r.ReadInt64()
                                    ThreadsTaken = false
                                }))
                |> _.Value
        Prepare =
            fun s k b ->
                let id = Interlocked.Increment &prepared

                let prepare () =
                    ask
                        (bytes s)
                        (fun w ->
                            w.Write Ask.Prepare
                            w.Write id
                            Wire.shape w s
                            Wire.floats w k
                            Wire.floats w b)
                        ignore<BinaryReader>
                    |> ignore<unit voption>

                let run x =
                    ask
                        (bytes s)
                        (fun w ->
                            w.Write Ask.Run
                            w.Write id
                            Wire.floats w x)
                        Wire.readFloats

                let atOnce (said: BinaryWriter -> unit) (inputs: float32[][]) =
                    ask
                        (int64 inputs.Length * bytes s)
                        (fun w ->
                            said w
                            w.Write inputs.Length

                            for x in inputs do
                                Wire.floats w x)
                        (fun r -> Array.init inputs.Length (fun _ -> Wire.readFloats r))

                let together =
                    atOnce (fun w ->
                        w.Write Ask.Together
                        w.Write id)

                let apart =
                    atOnce (fun w ->
                        w.Write Ask.Apart
                        Wire.shape w s
                        Wire.floats w k
                        Wire.floats w b)

                // With its process everything that it held is gone.
                let release () =
                    if connections.IsOpen then
                        ask
                            0L
                            (fun w ->
                                w.Write Ask.Release
                                w.Write id)
                            ignore<BinaryReader>
                        |> ignore<unit voption>

                /// Prepares again where the process was replaced.
                let orAgain run inputs =
                    match run inputs with
                    | ValueSome result -> result
                    | ValueNone ->
                        prepare ()
                        (run inputs).Value

                prepare ()

                {
                    Run = orAgain run
                    Together = orAgain together
                    Apart = orAgain apart
                    Release = release
                }
        OutputSize =
            fun s ->
                ask
                    0L
                    (fun w ->
                        w.Write Ask.OutputSize
                        Wire.shape w s)
                    (fun r -> struct (r.ReadInt64(), r.ReadInt64()))
                |> _.Value
    }
