namespace Conv.Properties

// Memory that a subject is given is the kit's own, outside of the collector's heap: it is reached through its address.
#nowarn "9"

open System
open System.Runtime.InteropServices
open Microsoft.FSharp.NativeInterop

/// Bytes between two guard zones. A zone is full of one number; a read beyond the tensor brings that number into the result, and a write
/// beyond it is seen afterwards.
[<Sealed>]
type Zoned(bytes: int, misalign: int, guard: float32) =
    // At least as wide as what a vector loop may overrun by, and wider than the rows of most generated problems.
    static let zone = 512

    let floats = bytes / sizeof<float32>
    let whole = zone * 2 * sizeof<float32> + misalign + bytes + 64
    let start = NativeMemory.AlignedAlloc(unativeint whole, 64un)

    let at (offset: int) = NativePtr.toVoidPtr (NativePtr.add (NativePtr.ofVoidPtr<byte> start) offset)

    let content = zone * sizeof<float32> + misalign
    let before () = Span<float32>(at misalign, zone)
    // Floats stand on multiples of four bytes, also behind a workspace of an odd number of them.
    let behind = content + (bytes + 3) / 4 * 4
    let after () = Span<float32>(at behind, zone)

    do
        before().Fill guard
        after().Fill guard

    /// The content as floats.
    member _.Floats = Span<float32>(at content, floats)

    /// The content as bytes.
    member _.Bytes = Span<byte>(at content, bytes)

    /// How many floats of the zones no longer hold the guard's bits.
    member _.Overwritten =
        let bits = BitConverter.SingleToInt32Bits guard
        let mutable count = 0
        let zones = before ()

        for at in 0 .. zone - 1 do
            if BitConverter.SingleToInt32Bits zones[at] <> bits then
                count <- count + 1

        let zones = after ()

        for at in 0 .. zone - 1 do
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
        member _.Dispose() = NativeMemory.AlignedFree start

/// How a call is laid in memory, and what stands there before it.
type Placement =
    {
        /// What the zones around every tensor hold.
        Guard: float32
        /// What the output holds before the call.
        OutputHolds: float32
        /// What the workspace holds before the call.
        WorkspaceHolds: float32
        /// Every tensor starts so many floats behind a multiple of 64 bytes.
        Misalign: int
        /// Threads that may work on the call; 0 leaves it to the subject.
        Threads: int
        /// The output is written over the input.
        InPlace: bool
    }

/// What a call did beside its result.
type Traces =
    {
        /// Floats changed in the zones around the tensors.
        Outside: int
        /// Floats changed in input, kernel and bias.
        Operands: int
        /// Bytes of workspace that the subject asked for.
        WorkspaceBytes: int64
    }

module Placement =
    /// As every call is laid: nothing about it is special.
    let plain =
        {
            Guard = 0f
            OutputHolds = Single.NaN
            WorkspaceHolds = Single.NaN
            Misalign = 0
            Threads = 0
            InPlace = false
        }
