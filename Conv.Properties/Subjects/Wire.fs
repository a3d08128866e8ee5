/// What the kit and a process that runs a subject say to each other: numbers, shapes and tensors in a stream, questions and answers.
module internal Conv.Properties.Wire

open System
open System.IO
open System.Net.Sockets
open System.Runtime.InteropServices
open System.Text
open Conv

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
    w.Write p.Elsewhere

let readPlacement (r: BinaryReader) =
    {
        Guard = r.ReadSingle()
        OutputHolds = r.ReadSingle()
        WorkspaceHolds = r.ReadSingle()
        Misalign = r.ReadInt32()
        Pages = pages[int (r.ReadByte())]
        Threads = r.ReadInt32()
        InPlace = r.ReadBoolean()
        Elsewhere = r.ReadBoolean()
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
type Line(socket: Socket) =
    let stream = new NetworkStream(socket, true)
    let input = new BufferedStream(stream, 1 <<< 16)
    let output = new BufferedStream(stream, 1 <<< 16)
    member val Reader = new BinaryReader(input, Encoding.UTF8)
    member val Writer = new BinaryWriter(output, Encoding.UTF8)
    member l.Flush() = l.Writer.Flush()

    interface IDisposable with
        member _.Dispose() = stream.Dispose()

/// What is asked.
module Ask =
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
module Answer =
    [<Literal>]
    let Done = 0uy

    [<Literal>]
    let Declined = 1uy

    [<Literal>]
    let Troubled = 2uy

    /// A prepared convolution that is not there: its process was replaced.
    [<Literal>]
    let Gone = 3uy
