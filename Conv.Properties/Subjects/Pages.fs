namespace Conv.Properties

// Pages are the system's own: they are reached through their address.
#nowarn "9"

open System
open System.Runtime.InteropServices
open Microsoft.FSharp.NativeInterop

/// The pages around a tensor that nobody may touch: the system ends a process that does, and so shows a read that changes nothing.
type internal Pages =
    | NoPages
    /// The tensor's last byte (its last float, if it has an odd number of bytes) is the last before such a page.
    | PageBehind
    /// Its first byte is the first behind one.
    | PageBefore
    /// Its last byte is the last before a page that may be read and not written; operands may not be written either.
    | ReadOnly

/// Memory between two pages that nobody may touch.
[<RequireQualifiedAccess>]
module internal Pages =
    module private Posix =
        [<DllImport("libc", SetLastError = true)>]
        extern nativeint mmap(nativeint address, unativeint length, int protection, int flags, int file, int64 offset)

        [<DllImport("libc", SetLastError = true)>]
        extern int mprotect(nativeint address, unativeint length, int protection)

        [<DllImport("libc", SetLastError = true)>]
        extern int munmap(nativeint address, unativeint length)

        let none, read, readWrite = 0, 1, 3
        // MAP_PRIVATE and MAP_ANONYMOUS, which systems number differently.
        let privateAnonymous () = if OperatingSystem.IsMacOS() then 0x1002 else 0x22

    module private Windows =
        [<DllImport("kernel32", SetLastError = true)>]
        extern nativeint VirtualAlloc(nativeint address, unativeint length, uint32 kind, uint32 protection)

        [<DllImport("kernel32", SetLastError = true)>]
        extern bool VirtualProtect(nativeint address, unativeint length, uint32 protection, uint32& before)

        [<DllImport("kernel32", SetLastError = true)>]
        extern bool VirtualFree(nativeint address, unativeint length, uint32 kind)

        let reserveAndCommit, release, noAccess, readOnly, readWrite = 0x3000u, 0x8000u, 1u, 2u, 4u

    /// Whether this system has such pages.
    let exist =
        Environment.Is64BitProcess
        && (OperatingSystem.IsLinux()
            || OperatingSystem.IsMacOS()
            || OperatingSystem.IsWindows())

    /// Bytes of a page.
    let size = Environment.SystemPageSize

    let private fail what =
        raise (OutOfMemoryException $"The system gives no guarded memory: {what} failed with error {Marshal.GetLastPInvokeError()}.")

    let private protect address (bytes: int) posix windows =
        if OperatingSystem.IsWindows() then
            let mutable before = 0u

            if not (Windows.VirtualProtect(address, unativeint bytes, windows, &before)) then
                fail "protecting"
        elif Posix.mprotect (address, unativeint bytes, posix) <> 0 then
            fail "protecting"

    /// So many bytes from the beginning of a page on may be read from now on, and not written.
    let makeReadOnly address bytes = protect address bytes Posix.read Windows.readOnly

    /// They may be written again.
    let makeWritable address bytes = protect address bytes Posix.readWrite Windows.readWrite

    /// The bytes of as many pages as hold so many, of one at least.
    let whole (bytes: int64) = max 1L ((bytes + int64 size - 1L) / int64 size) * int64 size

    let private reserve (inner: int) =
        let whole = unativeint (inner + 2 * size)

        let start =
            if OperatingSystem.IsWindows() then
                Windows.VirtualAlloc(0n, whole, Windows.reserveAndCommit, Windows.readWrite)
            else
                Posix.mmap (0n, whole, Posix.readWrite, Posix.privateAnonymous (), -1, 0L)

        if start = 0n || start = -1n then
            fail "reserving"

        start + nativeint size

    /// So many bytes, a multiple of a page, between two that nobody may touch: the address of the first.
    let take (inner: int) =
        let first = reserve inner

        for page in [ first - nativeint size; first + nativeint inner ] do
            protect page size Posix.none Windows.noAccess

        first

    /// The same between two pages full of a number, which may be read and not written.
    let takeReadable (inner: int) (guard: float32) =
        let first = reserve inner

        for page in [ first - nativeint size; first + nativeint inner ] do
            Span<float32>(page.ToPointer(), size / sizeof<float32>).Fill guard
            makeReadOnly page size

        first

    /// Gives back what `take` gave.
    let give (first: nativeint) (inner: int) =
        let start = first - nativeint size

        let given =
            if OperatingSystem.IsWindows() then
                Windows.VirtualFree(start, 0un, Windows.release)
            else
                Posix.munmap (start, unativeint (inner + 2 * size)) = 0

        if not given then
            fail "giving back"
