/// Group 3, of the pads that follow from sizes.
module internal Conv.Properties.Padding

open Conv

/// Equations on the size, taps, stride and dilation of rows and of columns.
let private onBothAxes axis (subject: Subject) (case: Case) =
    let s = case.Problem

    let judge trial =
        ignore<Trial> trial

        axis "rows" s.InHeight s.KernelHeight s.StrideHeight s.DilationHeight
        @ axis "columns" s.InWidth s.KernelWidth s.StrideWidth s.DilationWidth

    Judge.ofCase false judge subject case

let private same =
    Law.ofFormula
        3
        "SAME"
        "SAME padding gives ⌈h/s⌉ outputs with the fewest zeros, half on each side; an odd one stands at the end (upper) or at the beginning (lower)"
        SamePads
        (Law.terms
            "SAME-1"
            "ONNX operator Conv, auto_pad; TensorFlow, tf.nn.convolution"
            "negative pads, dilation missing in the extent, the stride ignored, upper and lower exchanged"
         |> Law.reaching 50 0)
        (fun subject case ->
            /// How many windows fit into so many rows.
            let counted rows extent stride =
                Seq.initInfinite (fun i -> i * stride + extent)
                |> Seq.takeWhile (fun last -> last <= rows)
                |> Seq.length

            let numbers values =
                Approx.exact (Values.ofArray (1, 1, 1, List.length values) (values |> List.map float |> Array.ofList))

            let axis name size taps stride dilation =
                let extent = (taps - 1) * dilation + 1

                let outputs =
                    Seq.initInfinite ((*) stride)
                    |> Seq.takeWhile (fun row -> row < size)
                    |> Seq.length

                // The fewest zeros, looked for one by one.
                let fewest =
                    Seq.initInfinite id
                    |> Seq.find (fun zeros -> counted (size + zeros) extent stride >= outputs)

                [
                    for upper in [ true; false ] do
                        let struct (before, after) = subject.SamePads size taps stride dilation upper
                        let less, more = fewest / 2, fewest - fewest / 2

                        numbers [ before; after; counted (size + before + after) extent stride ]
                        =~= numbers (if upper then [ less; more; outputs ] else [ more; less; outputs ])
                        |> named $"""{name}, {if upper then "upper" else "lower"}: before, after, outputs""" "looked for"
                ]

            onBothAxes axis subject case)

let private samePeriod =
    Law.ofFormula
        3
        "SAME-PERIOD"
        "an image longer by a stride has the same SAME padding; a dilated kernel has that of a dense one of its extent; lower is upper with its ends exchanged"
        SamePads
        (Law.terms
            "SAME-1"
            "⌈(h + s)/s⌉ = ⌈h/s⌉ + 1"
            "a size in the place of its remainder, taps in the place of the extent, halves that are rounded towards one side"
         |> Law.reaching 50 0)
        (fun subject case ->
            let numbers (struct (before, after)) = Approx.exact (Values.ofArray (1, 1, 1, 2) [| float before; float after |])

            let axis name size taps stride dilation =
                let pads size upper = subject.SamePads size taps stride dilation upper |> numbers
                let exchanged (struct (before, after)) = struct (after, before)

                [
                    for upper in [ true; false ] do
                        let side = if upper then "upper" else "lower"

                        pads (size + stride) upper =~= pads size upper
                        |> named $"{name}, {side}, an output more" "before, after"

                        pads size upper
                        =~= numbers (subject.SamePads size ((taps - 1) * dilation + 1) stride 1 upper)
                        |> named $"{name}, {side}" "of a dense kernel of the extent"

                    numbers (subject.SamePads size taps stride dilation false |> exchanged)
                    =~= pads size true
                    |> named $"{name}, lower, its ends exchanged" "upper"
                ]

            onBothAxes axis subject case)

let laws = [ same; samePeriod ]
