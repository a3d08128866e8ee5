module Conv.Properties.Ours

open System
open System.Linq
open Conv

/// The catalogue of Conv.Core, one subject for each implementation.
let implementations = Catalogue.All.Select(Contract.ofConvolution) |> List.ofSeq

/// A shape from its sixteen numbers, in the order of its fields.
let private describe (numbers: int list) =
    match numbers with
    | [ n; c; h; w; o; kh; kw; sh; sw; pt; pl; pb; pr; dh; dw; g ] -> ConvShape(n, c, h, w, o, kh, kw, sh, sw, pt, pl, pb, pr, dh, dw, g)
    | _ -> invalidArg (nameof numbers) "A shape has sixteen numbers."

/// ConvShape's own formulas.
let convShape =
    let subject =
        Subject.ofFormulas "conv-shape" (fun shape -> struct (int64 shape.OutHeight, int64 shape.OutWidth)) (fun shape ->
            shape.MultiplyAdds)

    { subject with
        Profile =
            { subject.Profile with
                Capabilities = subject.Profile.Capabilities + set [ Geometry; Misuse ]
            }
        SamePads =
            fun size taps stride dilation upper ->
                let side = if upper then SamePadding.Upper else SamePadding.Lower

                ConvShape.SamePads(size, taps, stride, dilation, side).ToTuple()
                |> fun (b, a) -> struct (b, a)
        TransposedSize =
            fun size taps stride dilation before after more ->
                let shape =
                    TransposedShape(
                        1,
                        1,
                        size,
                        1,
                        1,
                        taps,
                        1,
                        strideHeight = stride,
                        padTop = before,
                        padBottom = after,
                        dilationHeight = dilation,
                        outputPaddingHeight = more
                    )

                shape.OutHeight
        Refuse =
            fun bad ->
                match bad with
                | BadShape numbers ->
                    let thrown =
                        try
                            describe numbers |> ignore<ConvShape>
                            None
                        with error ->
                            Some error

                    { Thrown = thrown; Written = 0 }
                | _ -> raise (NotSupportedException "Formulas are given numbers, no tensors.")
    }

/// The matrix product that several implementations share.
let gemm =
    Subject.ofProduct "gemm" (fun rows columns depth a lda b ldb bias c ldc ->
        Gemm.Multiply(rows, columns, depth, ReadOnlySpan a, lda, ReadOnlySpan b, ldb, ReadOnlySpan bias, Span c, ldc))

/// Everything that `verify` holds to the laws when no subject is named.
let all = implementations @ [ convShape; gemm ]
