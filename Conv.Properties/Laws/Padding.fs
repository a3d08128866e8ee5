/// Group 3, of the pads that follow from sizes.
module internal Conv.Properties.Padding

open Conv

let private numbers values = values |> List.map float<int> |> Approx.numbers

/// Every stride-th element, counted.
let private strides (a: Axis) =
    Seq.initInfinite ((*) a.Stride)
    |> Seq.takeWhile (fun element -> element < a.Size)
    |> Seq.length

let private same =
    Law.ofAxes
        3
        "SAME"
        "SAME padding gives ⌈h/s⌉ outputs with the fewest zeros, half on each side; an odd one stands at the end (upper) or at the beginning (lower)"
        SamePads
        (Law.terms
            "SAME-1"
            "ONNX operator Conv, auto_pad; TensorFlow, tf.nn.convolution"
            "negative pads, dilation missing in the extent, the stride ignored, upper and lower exchanged"
         |> Law.reaching 50 0)
        (fun subject name a ->
            let outputs = strides a

            // The fewest zeros, looked for one by one.
            let fewest =
                Seq.initInfinite id
                |> Seq.find (fun zeros -> Axes.fitting (a.Size + zeros) a >= outputs)

            let less, more = fewest / 2, fewest - fewest / 2

            [
                for upper, side, zeros in [ true, "upper", [ less; more ]; false, "lower", [ more; less ] ] do
                    let struct (before, after) = subject.SamePads a.Size a.Taps a.Stride a.Dilation upper

                    numbers [ before; after; Axes.fitting (a.Size + before + after) a ]
                    =~= numbers (zeros @ [ outputs ])
                    |> named $"{name}, {side}: before, after, outputs" "looked for"
            ])

let private samePeriod =
    Law.ofAxes
        3
        "SAME-PERIOD"
        "an image longer by a stride has the same SAME padding; a dilated kernel has that of a dense one of its extent; lower is upper with its ends exchanged"
        SamePads
        (Law.terms
            "SAME-1"
            "⌈(h + s)/s⌉ = ⌈h/s⌉ + 1"
            "a size in the place of its remainder, taps in the place of the extent, halves that are rounded towards one side"
         |> Law.reaching 50 0)
        (fun subject name a ->
            let pads size taps dilation upper =
                let struct (before, after) = subject.SamePads size taps a.Stride dilation upper
                [ before; after ]

            let own = pads a.Size a.Taps a.Dilation

            [
                for upper, side in [ true, "upper"; false, "lower" ] do
                    numbers (pads (a.Size + a.Stride) a.Taps a.Dilation upper)
                    =~= numbers (own upper)
                    |> named $"{name}, {side}, an output more" "before, after"

                    numbers (own upper) =~= numbers (pads a.Size a.Extent 1 upper)
                    |> named $"{name}, {side}" "of a dense kernel of the extent"

                numbers (List.rev (own false)) =~= numbers (own true)
                |> named $"{name}, lower, its ends exchanged" "upper"
            ])

let laws = [ same; samePeriod ]
