namespace Conv.Properties

// Memory that a subject is given is the kit's own, outside of the collector's heap: it is reached through its address.
#nowarn "9"

open System
open System.Collections.Generic
open System.Runtime.InteropServices
open System.Threading
open Microsoft.FSharp.NativeInterop

/// What memory a tensor stands in is like: without pages, or with these, around as many bytes, the pages full of a number of these bits.
type private Ground = (struct (Pages * int64 * int))

/// Memory that is given back and taken again by the same thread: a tensor of the same size stands where the one before it stood, so that what
/// a subject keeps by an address meets other numbers there, and the system is seldom asked for pages. It ends with its thread.
[<Sealed>]
type private Pool() =
    static let own = new ThreadLocal<Pool>(fun () -> Pool())
    /// What a thread keeps at most.
    static let most = 8L <<< 20
    let free = Dictionary<Ground, Stack<nativeint>>()
    let mutable kept = 0L

    static let make struct (pages, bytes: int64, guard) =
        match pages with
        | NoPages -> NativePtr.toNativeInt (NativePtr.ofVoidPtr<byte>(NativeMemory.AlignedAlloc(unativeint bytes, 64un)))
        | ReadOnly -> Pages.takeReadable (Checked.int bytes) (BitConverter.Int32BitsToSingle guard)
        | PageBehind
        | PageBefore -> Pages.take (Checked.int bytes)

    static let release struct (pages, bytes: int64, _) (block: nativeint) =
        match pages with
        | NoPages -> NativeMemory.AlignedFree(block.ToPointer())
        | _ -> Pages.give block (int bytes)

    /// What is taken of the system: pages have one more on either side.
    static let footprint struct (pages, bytes: int64, _) = if pages = NoPages then bytes else bytes + 2L * int64 Pages.size

    static member Own = own.Value

    /// So many bytes, from a multiple of 64 or from a page on.
    member _.Take(ground: Ground) : nativeint =
        match free.TryGetValue ground with
        | true, stack when stack.Count > 0 ->
            kept <- kept - footprint ground
            stack.Pop()
        | _ -> make ground

    member _.Give(ground: Ground, block: nativeint) =
        if kept + footprint ground > most then
            release ground block
        else
            kept <- kept + footprint ground

            match free.TryGetValue ground with
            | true, stack -> stack.Push block
            | _ -> free[ground] <- Stack<nativeint>([ block ])

    override _.Finalize() =
        for KeyValue(ground, stack) in free do
            for block in stack do
                release ground block

/// Bytes between two guard zones. A zone is full of one number; a read beyond the tensor brings that number into the result, and a write
/// beyond it is seen afterwards. On one side a page that nobody may touch can stand in a zone's place; where the tensor starts is then given.
[<Sealed>]
type internal Zoned(bytes: int64, misalign: int, guard: float32, pages: Pages) =
    // At least as wide as what a vector loop may overrun by, and wider than the rows of most generated problems.
    static let zone = 512
    static let zoneBytes = zone * sizeof<float32>

    let floats = int (bytes / int64 sizeof<float32>)
    // Floats stand on multiples of four bytes, also behind a workspace of an odd number of them.
    let filled = (bytes + 3L) / 4L * 4L

    let ground: Ground =
        match pages with
        | NoPages -> struct (pages, int64 (2 * zoneBytes + misalign) + bytes + 64L, 0)
        | PageBehind
        | PageBefore -> struct (PageBehind, Pages.whole (int64 zoneBytes + filled), 0)
        | ReadOnly -> struct (ReadOnly, Pages.whole (int64 zoneBytes + filled), BitConverter.SingleToInt32Bits guard)

    let struct (_, size, _) = ground
    let start = (Pool.Own.Take ground).ToPointer()
    let mutable isSealed = false

    let at (offset: int64) = (NativePtr.toNativeInt (NativePtr.ofVoidPtr<byte> start) + nativeint offset).ToPointer()

    let content =
        match pages with
        | NoPages -> int64 (zoneBytes + misalign)
        | PageBehind
        | ReadOnly -> size - filled
        | PageBefore -> 0L

    let before () = Span<float32>(at (content - int64 zoneBytes), (if pages = PageBefore then 0 else zone))
    let after () = Span<float32>(at (content + filled), (if pages = PageBehind || pages = ReadOnly then 0 else zone))

    do
        before().Fill guard
        after().Fill guard

    /// Nobody may write to it from now on, where it stands on such pages.
    member _.Seal() =
        if pages = ReadOnly then
            Pages.makeReadOnly (NativePtr.toNativeInt (NativePtr.ofVoidPtr<byte> start)) (int size)
            isSealed <- true

    /// Where the content starts.
    member _.Address = NativePtr.toNativeInt (NativePtr.ofVoidPtr<byte>(at content))

    /// The content as floats.
    member _.Floats = Span<float32>(at content, floats)

    /// The content as bytes, where a span can have as many.
    member _.Bytes = Span<byte>(at content, Checked.int bytes)

    /// How many floats of the zones no longer hold the guard's bits.
    member _.Overwritten =
        let bits = BitConverter.SingleToInt32Bits guard
        let mutable count = 0
        let zones = before ()

        for at in 0 .. zones.Length - 1 do
            if BitConverter.SingleToInt32Bits zones[at] <> bits then
                count <- count + 1

        let zones = after ()

        for at in 0 .. zones.Length - 1 do
            if BitConverter.SingleToInt32Bits zones[at] <> bits then
                count <- count + 1

        count

    /// How many floats of the content differ in their bits.
    member _.Differing(from: float32[]) =
        let content = Span<float32>(at content, floats)
        let mutable count = 0

        for at in 0 .. from.Length - 1 do
            if
                BitConverter.SingleToInt32Bits content[at]
                <> BitConverter.SingleToInt32Bits from[at]
            then
                count <- count + 1

        count

    interface IDisposable with
        member _.Dispose() =
            let first = NativePtr.toNativeInt (NativePtr.ofVoidPtr<byte> start)

            if isSealed then
                Pages.makeWritable first (int size)

            Pool.Own.Give(ground, first)

/// How a call is laid in memory, and what stands there before it.
type internal Placement =
    {
        /// What the zones around every tensor hold.
        Guard: float32
        /// What the output holds before the call.
        OutputHolds: float32
        /// What the workspace holds before the call.
        WorkspaceHolds: float32
        /// Every tensor starts so many floats behind a multiple of 64 bytes, where no page says where it starts.
        Misalign: int
        /// Where pages stand that nobody may touch.
        Pages: Pages
        /// Threads that may work on the call; 0 leaves it to the subject.
        Threads: int
        /// The output is written over the input.
        InPlace: bool
    }

/// What a call did beside its result.
type internal Traces =
    {
        /// Floats changed in the zones around the tensors.
        Outside: int
        /// Floats changed in input, kernel and bias.
        Operands: int
        /// Bytes of workspace that the subject asked for.
        WorkspaceBytes: int64
        /// Whether the number of threads that the placement says reached the subject.
        ThreadsTaken: bool
    }

module internal Placement =
    /// As every call is laid: nothing about it is special.
    let plain =
        {
            Guard = 0f
            OutputHolds = Single.NaN
            WorkspaceHolds = Single.NaN
            Misalign = 0
            Pages = NoPages
            Threads = 0
            InPlace = false
        }
