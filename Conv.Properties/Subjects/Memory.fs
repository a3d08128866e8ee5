namespace Conv.Properties

// Memory that a subject is given is the kit's own, outside of the collector's heap: it is reached through its address.
#nowarn "9"

open System
open System.Collections.Generic
open System.Numerics
open System.Runtime.InteropServices
open System.Threading
open Microsoft.FSharp.NativeInterop
open Conv

/// What memory a tensor stands in is like: without pages, or with these, around as many bytes, the pages full of a number of these bits.
type private Ground = (struct (Pages * int64 * int))

/// Memory that is given back and taken again by the same thread: a tensor of about the same size stands where the one before it stood, so that
/// what a subject keeps by an address meets other numbers there, and the system is seldom asked for pages. It ends with its thread.
[<Sealed>]
type private Pool() =
    static let own = new ThreadLocal<Pool>(fun () -> Pool())
    /// Bytes that a thread keeps at most.
    static let most = 32L <<< 20
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

    /// So many bytes or more, of whole pages: powers of two, so that one block serves tensors of many sizes. What is that large that it would
    /// not be kept gets no more than it needs.
    static member RoomFor(bytes: int64) =
        if bytes > most then
            Pages.whole bytes
        else
            Pages.whole (int64 (BitOperations.RoundUpToPowerOf2(uint64 bytes)))

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
        | NoPages -> struct (pages, Pool.RoomFor(int64 (2 * zoneBytes + misalign) + filled), 0)
        | PageBehind
        | PageBefore -> struct (PageBehind, Pool.RoomFor(int64 zoneBytes + filled), 0)
        | ReadOnly -> struct (ReadOnly, Pool.RoomFor(int64 zoneBytes + filled), BitConverter.SingleToInt32Bits guard)

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
        let before = MemoryMarshal.Cast<float32, int>(before ())
        let after = MemoryMarshal.Cast<float32, int>(after ())
        before.Length - before.Count bits + after.Length - after.Count bits

    /// How many floats of the content differ in their bits.
    member _.Differing(from: float32[]) =
        let found = MemoryMarshal.Cast<float32, int>(Span<float32>(at content, floats))
        let expected = MemoryMarshal.Cast<float32, int>(from.AsSpan())
        let mutable count = 0

        // As a whole first: what is right is fast.
        if not (found.Slice(0, expected.Length).SequenceEqual expected) then
            for at in 0 .. expected.Length - 1 do
                if found[at] <> expected[at] then
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
        /// A thread of its own makes the call, its first and last one.
        Elsewhere: bool
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
            Elsewhere = false
        }

    /// How calls of a shape are laid where a law does not say it: always alike, so that the same call finds the same addresses. Between zones of
    /// NaN; of sixteen shapes six start beside a multiple of 64 bytes, and, if the process may die of that, two stand on pages where nothing but
    /// the result may be written, one ends and one begins at pages that nobody may touch.
    let ofShape mayDie (s: ConvShape) : Placement =
        let hash =
            Parameters.ofShape s
            |> Array.fold (fun hash number -> Fill.mix (hash + 0x9E3779B97F4A7C15UL + uint64 number)) 0UL

        let guarded = { plain with Guard = Single.NaN }

        // Nobody lays gigabytes on pages of their own.
        let canGuard = mayDie && Pages.exist && s.Bytes < (1L <<< 30)
        let on pages = if canGuard then { guarded with Pages = pages } else guarded

        match int (hash % 16UL) with
        | at when at < 6 -> { guarded with Misalign = 1 + int ((hash >>> 8) % 15UL) }
        | 6
        | 7 -> on ReadOnly
        | 8 -> on PageBehind
        | 9 -> on PageBefore
        | _ -> guarded
