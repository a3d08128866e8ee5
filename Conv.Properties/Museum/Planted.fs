/// Faults that one run in one process does not show. They are held apart from the museum, whose pieces the laws catch without help.
module Conv.Properties.Planted

open System.Numerics

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
                    s.KernelWidth > 1
                    && tap.V = s.KernelWidth - 1
                    && at.J >= s.OutWidth / lanes * lanes
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
                    System.Environment.FailFast "There is no scalar code."
    }
    |> Textbook.subject "planted:scalar-crash"

let all: Subject list = [ vectorTail; scalarCrash ]
