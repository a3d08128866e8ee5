/// The process that runs a subject: told over a socket what to call, it answers, and sees what a call does to memory, to the processor's modes
/// and to the processes beside it.
module internal Conv.Properties.Served

open System
open System.Collections.Generic
open System.Diagnostics
open System.IO
open System.Net.Sockets
open System.Runtime.InteropServices
open System.Threading
open Microsoft.Win32.SafeHandles
open Conv

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
    use line = new Wire.Line(socket)
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
                w.Write Wire.Answer.Done

                for values in results do
                    Wire.floats w values

            let tensor values = tensors [| values |]

            match kind with
            | Wire.Ask.Forward ->
                let s = Wire.readShape r
                let x, k, b = Wire.readFloats r, Wire.readFloats r, Wire.readFloats r
                fun () -> tensor (subject.Forward s x k b)
            | Wire.Ask.Operate ->
                let operation = Wire.readOperation r
                let s = Wire.readShape r
                let x, k, b = Wire.readFloats r, Wire.readFloats r, Wire.readFloats r
                fun () -> tensor (subject.Operate operation s x k b)
            | Wire.Ask.Place ->
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
            | Wire.Ask.Prepare ->
                let id = r.ReadInt32()
                let s = Wire.readShape r
                let k, b = Wire.readFloats r, Wire.readFloats r

                fun () ->
                    prepared[id] <- subject.Prepare s k b
                    fun () -> w.Write Wire.Answer.Done
            | Wire.Ask.Run ->
                let id = r.ReadInt32()
                let x = Wire.readFloats r

                match prepared.TryGetValue id with
                | true, made -> fun () -> tensor (made.Run x)
                | _ -> fun () () -> w.Write Wire.Answer.Gone
            | Wire.Ask.Together ->
                let id = r.ReadInt32()
                let inputs = Array.init (r.ReadInt32()) (fun _ -> Wire.readFloats r)

                match prepared.TryGetValue id with
                | true, made ->
                    fun () ->
                        let results = made.Together inputs
                        tensors results
                | _ -> fun () () -> w.Write Wire.Answer.Gone
            | Wire.Ask.Apart ->
                let s = Wire.readShape r
                let k, b = Wire.readFloats r, Wire.readFloats r
                let inputs = Array.init (r.ReadInt32()) (fun _ -> Wire.readFloats r)

                fun () ->
                    let results = inputs |> PreparedRuns.apart (fun () -> subject.Prepare s k b)
                    tensors results
            | Wire.Ask.Release ->
                let id = r.ReadInt32()

                fun () ->
                    match prepared.TryGetValue id with
                    | true, made ->
                        prepared.Remove id |> ignore<bool>
                        made.Release()
                    | _ -> ()

                    fun () -> w.Write Wire.Answer.Done
            | Wire.Ask.OutputSize ->
                let s = Wire.readShape r

                fun () ->
                    let struct (height, width) = subject.OutputSize s

                    fun () ->
                        w.Write Wire.Answer.Done
                        w.Write height
                        w.Write width
            | other -> invalidOp $"There is no request {other}."

        let troubled trouble (text: string) () =
            w.Write Wire.Answer.Troubled
            Wire.trouble w trouble
            w.Write text

        let answer (call: unit -> unit -> unit) =
            let answer =
                try
                    call ()
                with
                | Declined -> fun () -> w.Write Wire.Answer.Declined
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
