module internal Conv.Properties.Ours

open System
open System.Linq
open Conv

/// The catalogue of Conv.Core, one subject for each implementation.
let implementations = Catalogue.All.Select(Contract.ofConvolution) |> List.ofSeq

/// Describes what is none: the shapes and pads of a bad call.
let private describe bad =
    match bad with
    | BadShape [ n; c; h; w; o; kh; kw; sh; sw; pt; pl; pb; pr; dh; dw; g ] ->
        ConvShape(n, c, h, w, o, kh, kw, sh, sw, pt, pl, pb, pr, dh, dw, g) |> ignore
    | BadTransposed [ n; c; h; w; o; kh; kw; sh; sw; pt; pl; pb; pr; dh; dw; oph; opw; g ] ->
        TransposedShape(n, c, h, w, o, kh, kw, sh, sw, pt, pl, pb, pr, dh, dw, oph, opw, g)
        |> ignore
    | BadSame [ size; taps; stride; dilation ] -> Axis.SamePads(size, taps, stride, dilation, SamePadding.Upper) |> ignore
    | _ -> raise (NotSupportedException "Formulas are given numbers, no tensors.")

/// What is said of rows, where the same is said of columns.
let private onBothAxes rows columns =
    if rows <> columns then
        invalidOp $"The same numbers give {rows} for rows and {columns} for columns."

    rows

/// ConvShape's own formulas.
let convShape =
    let subject =
        Subject.ofFormulas "conv-shape" (fun shape -> struct (int64 shape.Rows.Outputs, int64 shape.Columns.Outputs)) (fun shape ->
            shape.MultiplyAdds)

    { subject with
        Profile =
            { subject.Profile with
                Capabilities = subject.Profile.Capabilities + set [ SamePads; TransposedSize; Misuse ]
            }
        SamePads =
            fun size taps stride dilation upper ->
                let side = if upper then SamePadding.Upper else SamePadding.Lower

                Axis.SamePads(size, taps, stride, dilation, side).ToTuple()
                |> fun (b, a) -> struct (b, a)
        TransposedSize =
            fun size taps stride dilation before after more ->
                TransposedShape(
                    1,
                    1,
                    size,
                    size,
                    1,
                    taps,
                    taps,
                    stride,
                    stride,
                    before,
                    before,
                    after,
                    after,
                    dilation,
                    dilation,
                    more,
                    more
                )
                |> fun t -> onBothAxes t.OutHeight t.OutWidth
        OutputPadding =
            fun size taps stride dilation before after ->
                ConvShape(1, 1, size, size, 1, taps, taps, stride, stride, before, before, after, after, dilation, dilation)
                |> TransposedShape
                |> fun t -> onBothAxes t.OutputPaddingHeight t.OutputPaddingWidth
        Refuse =
            fun bad ->
                let thrown =
                    try
                        describe bad
                        None
                    with error ->
                        Some error

                { Thrown = thrown; Written = 0 }
    }

/// The matrix product that several implementations share.
let gemm =
    Subject.ofProduct "gemm" (fun rows columns depth a lda b ldb bias c ldc ->
        Gemm.Multiply(rows, columns, depth, ReadOnlySpan a, lda, ReadOnlySpan b, ldb, ReadOnlySpan bias, Span c, ldc))

/// Everything that `verify` holds to the laws when no subject is named.
let all = implementations @ [ convShape; gemm ]
