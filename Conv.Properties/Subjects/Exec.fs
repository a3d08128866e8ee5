/// A convolution behind a program's standard input and output: docs/adopt/README.md, "The process door", protocol 1.
module internal Conv.Properties.Exec

open System
open System.ComponentModel
open System.Diagnostics
open System.Globalization
open System.IO
open System.Runtime.InteropServices
open System.Text
open Conv

let private protocol = "1"

/// The longest line that can be an answer or a greeting.
let private longest = 4096

/// What a program writes: lines, and bytes behind them.
[<Sealed>]
type private Answers(stream: Stream) =
    let bytes = Array.zeroCreate<byte> 65536
    let mutable at, until = 0, 0

    let fill () =
        at <- 0
        until <- stream.Read(bytes, 0, bytes.Length)

        if until = 0 then
            raise (EndOfStreamException())

    /// A line without its end; none where there is none in so many bytes.
    member _.Line() =
        let line = StringBuilder()
        let mutable ended = false

        while not ended && line.Length <= longest do
            if at = until then
                fill ()

            let length = bytes.AsSpan(at, until - at).IndexOf(byte '\n')
            let take = min (if length < 0 then until - at else length) (longest + 1)
            line.Append(Encoding.UTF8.GetString(bytes, at, take)) |> ignore<StringBuilder>
            at <- at + take

            if length >= 0 && at < until && bytes[at] = byte '\n' then
                at <- at + 1
                ended <- true

        if ended then Some(line.ToString().TrimEnd '\r') else None

    /// As many floats; `so far` hears how many bytes there are.
    member _.Floats(count: int, soFar: int -> unit) =
        let values = GC.AllocateUninitializedArray<float32> count
        let all = count * sizeof<float32>
        let mutable have = 0

        while have < all do
            if at = until then
                fill ()

            let take = min (until - at) (all - have)
            bytes.AsSpan(at, take).CopyTo(MemoryMarshal.AsBytes(Span values).Slice(have, take))
            at <- at + take
            have <- have + take
            soFar have

        values

    /// Whether more has come than was asked for.
    member _.HasMore = at < until

/// What a sentence shows of a line.
let private shown (line: string option) =
    match line with
    | None -> $"more than {longest} bytes without the end of a line"
    | Some line when line.Length > 60 -> $"'{line.Substring(0, 60)}…'"
    | Some line -> $"'{line}'"

/// A program that was greeted by.
[<Sealed>]
type private Connection(worker: Worker, answers: Answers, text: string, children: int) =
    member _.Worker = worker
    member _.Answers = answers
    member _.Text = text
    /// Processes that it had started when it greeted: those of a shell or a launcher.
    member _.Children = children

    interface IDisposable with
        member _.Dispose() = (worker :> IDisposable).Dispose()

let private childrenOf (id: int) =
    let path = $"/proc/{id}/task/{id}/children"

    if File.Exists path then
        File.ReadAllText(path).Split(' ', StringSplitOptions.RemoveEmptyEntries).Length
    else
        0

let private connect (limits: Limits) (command: string) =
    let words = CommandLine.Parsing.CommandLineParser.SplitCommandLine command |> List.ofSeq
    let cannot why = raise (CannotOpen $"'{command}' {why}")

    let start =
        match words with
        | [] -> raise (CannotOpen "exec: names no command; write exec:COMMAND, for example exec:'python3 conv.py'")
        | file :: arguments ->
            ProcessStartInfo(
                file,
                arguments,
                UseShellExecute = false,
                RedirectStandardInput = true,
                RedirectStandardOutput = true,
                RedirectStandardError = true
            )

    let worker =
        try
            Worker.Start(start, limits)
        with :? Win32Exception as error ->
            cannot $"cannot be started: {error.Message.Split('\n')[0]}"

    try
        let answers = Answers worker.Output

        let greeting =
            try
                worker.Begin answers.Line
            with ForeignFault(trouble, why) ->
                match trouble with
                | Trouble.Hung -> cannot $"sent no greeting within {Limits.seconds limits.Start}; its first line must be 'conv=1', flushed"
                | _ -> cannot $"sent no greeting: {why}"

        match greeting with
        | Some line when line = "conv=1" || line.StartsWith "conv=1 " -> new Connection(worker, answers, line, childrenOf worker.Id)
        | Some line when line.StartsWith "conv=" ->
            cannot $"speaks another version of the protocol ({shown greeting}); this kit speaks {protocol}"
        | _ -> cannot $"sent {shown greeting} where its greeting 'conv=1' was due; print nothing to standard output before it"
    with _ ->
        (worker :> IDisposable).Dispose()
        reraise ()

let private word operation =
    match operation with
    | Operation.Forward -> Some "forward"
    | Operation.BackwardInput -> Some "backward-input"
    | Operation.BackwardKernel -> Some "backward-weight"
    | Operation.BackwardBias -> Some "backward-bias"
    | Operation.Transposed -> Some "transposed"
    | Operation.Fused _ -> None

/// The program as a subject; each thread has a process of its own. Raises `CannotOpen`.
let openSubject (limits: Limits) (name: string) (command: string) : Subject =
    let first = connect limits command

    let declared, operations =
        try
            let declared = Declared.parse [ "conv"; "ops"; "name" ] first.Text

            let operations =
                Declared.fields first.Text
                |> List.tryPick (fun (name, value) -> if name = "ops" then Some(List.ofArray (value.Split ',')) else None)
                |> Option.defaultValue [ "forward" ]

            let known = [ "forward"; "backward-input"; "backward-weight"; "backward-bias"; "transposed" ]

            match operations |> List.tryFind (fun o -> not (List.contains o known)) with
            | Some other ->
                let all = String.concat ", " known
                raise (CannotOpen $"'{command}' greets with the operation '{other}'; there are {all}")
            | None -> declared, set operations
        with CannotOpen _ ->
            (first :> IDisposable).Dispose()
            reraise ()

    let connections = Connections<Connection>(limits.Shared, (fun () -> connect limits command), _.Worker)
    connections.Adopt first

    let exchange operation word (s: ConvShape) (x: float32[]) (k: float32[]) (b: float32[]) (connection: Connection) =
        let worker, answers = connection.Worker, connection.Answers
        let d0, d1, d2, d3 = Operation.result operation s
        let length = int (Operation.length operation s)
        let trouble kind text = raise (ForeignFault(kind, text))
        let mutable received = -1

        try
            worker.Call(
                s.Bytes,
                fun () ->
                    if answers.HasMore then
                        trouble Trouble.Garbled "it sent more than its result"

                    let header = $"conv=1 op={word} {s} x={x.Length} k={k.Length} b={b.Length}\n"

                    // In one piece where it is small: a write is a call of the system, on both sides.
                    let send (stream: Stream) =
                        let buffer = new BufferedStream(stream, 1 <<< 16)
                        buffer.Write(ReadOnlySpan(Encoding.ASCII.GetBytes header))

                        for values in [| x; k; b |] do
                            buffer.Write(MemoryMarshal.AsBytes(ReadOnlySpan values))

                        buffer.Flush()
                        stream.Flush()

                    send worker.Input
                    let line = answers.Line()

                    match line |> Option.defaultValue "" |> _.Split(' ', 2) with
                    | [| "ok"; dims |] ->
                        let sizes =
                            dims.Split(' ', StringSplitOptions.RemoveEmptyEntries)
                            |> Array.map (fun d -> Int64.TryParse(d, NumberStyles.None, CultureInfo.InvariantCulture))

                        match sizes with
                        | [| true, e0; true, e1; true, e2; true, e3 |] ->
                            if (e0, e1, e2, e3) <> (int64 d0, int64 d1, int64 d2, int64 d3) then
                                trouble Trouble.Misshapen $"its result is {e0}×{e1}×{e2}×{e3}, the definition's is {d0}×{d1}×{d2}×{d3}"
                        | _ -> trouble Trouble.Garbled $"it answered {shown line}; four dimensions are due behind 'ok'"

                        received <- 0
                        let values = answers.Floats(length, (fun have -> received <- have))

                        if answers.HasMore then
                            trouble Trouble.Garbled "it sent more than its result"

                        let children = childrenOf worker.Id

                        if children > connection.Children then
                            trouble Trouble.Forked $"it left processes behind: {children - connection.Children}"

                        values
                    | [| "unsupported" |] ->
                        if declared.Claims then
                            trouble Trouble.Refused "it refuses a problem that it declares to take"
                        else
                            raise Declined
                    | [| "error"; text |] -> trouble Trouble.Failed text
                    | _ -> trouble Trouble.Garbled $"it answered {shown line} where 'ok D0 D1 D2 D3', 'unsupported' or 'error TEXT' was due"
            )
        with ForeignFault((Trouble.Hung | Trouble.Crashed | Trouble.Garbled) as kind, text) when
            received >= 0 && received < length * sizeof<float32> ->
            trouble kind $"{text}; of its result's {length * sizeof<float32>} bytes it had sent {received}"

    let call operation s x k b : float32[] =
        match word operation with
        | Some word when operations.Contains word -> connections.Ask(exchange operation word s x k b)
        | _ -> raise Declined

    let capabilities =
        set
            [
                if operations.Contains "forward" then
                    Forward
                if operations |> Set.exists _.StartsWith("backward") then
                    Gradients
                if operations.Contains "transposed" then
                    Transposed
            ]

    { Subject.forward name declared.Profile (call Operation.Forward) with
        Profile = { declared.Profile with Capabilities = capabilities }
        Operate = call
        Foreign = Some connections
    }
