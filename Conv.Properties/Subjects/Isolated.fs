/// A subject that runs in a process of its own: this program again, which is told over a socket what to call (Served). What the subject does to
/// its process is seen from here.
module internal Conv.Properties.Isolated

open System
open System.Diagnostics
open System.IO
open System.Net.Sockets
open System.Threading
open Conv

/// A process that serves a subject, the text of its profile and what it is capable of.
[<Sealed>]
type private Connection(line: Wire.Line, worker: Worker, text: string, capabilities: string) =
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

            let line = new Wire.Line(listener.Accept())

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
                    | Wire.Answer.Done -> ValueSome(read r)
                    | Wire.Answer.Gone -> ValueNone
                    | Wire.Answer.Declined -> raise Declined
                    | Wire.Answer.Troubled ->
                        let trouble = Wire.readTrouble r
                        raise (ForeignFault(trouble, r.ReadString()))
                    | other -> raise (ForeignFault(Trouble.Garbled, $"byte {other} came where an answer was due"))
            ))

    let bytes (s: ConvShape) = s.Bytes

    /// A call that may die of memory that nobody may write to, or touch: what stood there is said.
    let asLaid (s: ConvShape) (call: unit -> 'a) : 'a =
        let stood =
            match (Placement.ofShape true s).Pages with
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
                      w.Write Wire.Ask.Forward
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
                            w.Write Wire.Ask.Operate
                            Wire.operation w operation
                            operands w s x k b)
                        Wire.readFloats
                    |> _.Value)
        Place =
            fun placement operation s x k b ->
                ask
                    (bytes s)
                    (fun w ->
                        w.Write Wire.Ask.Place
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
                            w.Write Wire.Ask.Prepare
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
                            w.Write Wire.Ask.Run
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
                        w.Write Wire.Ask.Together
                        w.Write id)

                let apart =
                    atOnce (fun w ->
                        w.Write Wire.Ask.Apart
                        Wire.shape w s
                        Wire.floats w k
                        Wire.floats w b)

                // With its process everything that it held is gone.
                let release () =
                    if connections.IsOpen then
                        ask
                            0L
                            (fun w ->
                                w.Write Wire.Ask.Release
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
                        w.Write Wire.Ask.OutputSize
                        Wire.shape w s)
                    (fun r -> struct (r.ReadInt64(), r.ReadInt64()))
                |> _.Value
    }
