/// Faults that one run in one process does not show. They are held apart from the museum, whose pieces the laws catch without help.
module internal Conv.Properties.Planted

open System
open System.Numerics
open System.Runtime.InteropServices

/// Columns that a vector loop does at a time, as this process runs it.
let private lanes = if Vector.IsHardwareAccelerated then Vector<float32>.Count else 1

/// The columns behind the last whole vector leave out the kernel's last column. What is odd and linear stays so; the result depends on the
/// width of a vector.
let vectorTail =
    { Textbook.honest with
        ReadKernel =
            fun p at tap ->
                let s = p.Shape

                if
                    s.Columns.Taps > 1
                    && tap.V = s.Columns.Taps - 1
                    && at.J >= s.Columns.Outputs / lanes * lanes
                then
                    0f
                else
                    Textbook.honest.ReadKernel p at tap
    }
    |> Textbook.subject "planted:vector-tail"

/// A process that ends in the middle of a call, where there are no vectors.
let scalarCrash =
    { Textbook.honest with
        Accept =
            fun _ ->
                if not Vector.IsHardwareAccelerated then
                    Environment.FailFast "There is no scalar code."
    }
    |> Textbook.subject "planted:scalar-crash"

/// Keeps what was read from being left out.
let mutable private seen = 0f

/// Reads a vector at so many elements from the input's first, or behind its last, and makes nothing of it: neither result nor memory tells.
let private peeking name (at: int -> int) =
    let honest = Textbook.subject name Textbook.honest

    let run =
        Convolution(fun shape x k b y ->
            (honest.Forward shape (x.ToArray()) (k.ToArray()) (b.ToArray())).AsSpan().CopyTo y
            seen <- Vector.LoadUnsafe(&MemoryMarshal.GetReference x, unativeint (at x.Length))[0])

    // Elsewhere than in the kit's memory it is honest: what lies beyond an array is nobody's business.
    { Contract.ofMethod name honest.Profile run with
        Forward = honest.Forward
        Prepare = honest.Prepare
    }

/// The vector behind the last element.
let readsBehind = peeking "planted:reads-behind" id

/// The vector before the first element.
let readsBefore = peeking "planted:reads-before" (fun _ -> -Vector<float32>.Count)

let all: Subject list = [ vectorTail; scalarCrash; readsBehind; readsBefore ]
