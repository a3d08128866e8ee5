/// Group 5: tensors that are views of others.
module internal Conv.Properties.Views

open Conv
open Conv.Properties.Judging
open Conv.Properties.Resources

/// Where the elements of a tensor may stand: a name, the elements of the memory, and the view.
let private layouts (d0: int, d1: int, d2: int, d3: int) =
    let dense = TensorView.Dense(d1, d2, d3)
    let whole = d0 * d1 * d2 * d3

    [
        "dense", whole, dense
        "channels last", whole, TensorView.ChannelsLast(d1, d2, d3)
        "behind an offset", whole + 7, TensorView(7, dense.Stride0, dense.Stride1, dense.Stride2, dense.Stride3)
        // Every second channel, and columns of a wider image.
        "sliced", 2 * d0 * d1 * d2 * (d3 + 3), TensorView(1, 2 * d1 * d2 * (d3 + 3), 2 * d2 * (d3 + 3), d3 + 3, 1)
        "rows upside down", whole, TensorView((d2 - 1) * d3, d1 * d2 * d3, d2 * d3, -d3, 1)
        "columns from right to left", whole, TensorView(d3 - 1, d1 * d2 * d3, d2 * d3, d3, -1)
        "rows and columns exchanged", whole, TensorView(0, d1 * d2 * d3, d2 * d3, 1, d2)
    ]

/// A view that repeats: one channel, or one row, for all.
let private broadcasts (d0: int, d1: int, d2: int, d3: int) =
    [
        "one channel for all", d0 * d2 * d3, TensorView(0, d2 * d3, 0, d3, 1)
        "one row for all", d0 * d1 * d3, TensorView(0, d1 * d3, d3, 0, 1)
        "one image for all", d1 * d2 * d3, TensorView(0, 0, d2 * d3, d3, 1)
    ]

/// Some channels of a tensor of twice as many: images, or pixels, that lie apart, each of them dense.
let private halves (d0: int, d1: int, d2: int, d3: int) =
    let image, pixel = 2 * d1 * d2 * d3, 2 * d1

    [
        "images apart", d0 * image, TensorView(image / 2, image, d2 * d3, d3, 1)
        "channels last, pixels apart", d0 * image, TensorView(d1, image, 1, d3 * pixel, pixel)
    ]

/// Memory of this length in which a tensor's numbers stand where a view has them, NaN between them.
let private viewed (a: Approx) length (view: TensorView) =
    let data = Array.create (max 1 length) nanf
    let d0, d1, d2, d3 = Approx.dims a

    for i0 in 0 .. d0 - 1 do
        for i1 in 0 .. d1 - 1 do
            for i2 in 0 .. d2 - 1 do
                for i3 in 0 .. d3 - 1 do
                    data[view.At(i0, i1, i2, i3)] <- float32 a.Value[i0, i1, i2, i3]

    data

let private stridedViews =
    Law.equations
        5
        Resource
        "STRIDED-VIEWS"
        "the convolution through views of any strides is the one of contiguous copies, and what is not viewed stays as it was"
        { repeated "VIEW-1" "strides or offsets ignored, weights or outputs taken to be contiguous" with
            Needs = [ Forward; Views ]
            Beyond = Law.beyond 40 10
        }
        (fun trial ->
            let s, b = trial.Shape, trial.B

            if not (trial.Profile.TakesViews s) then
                raise Declined

            let same = same trial
            let pick at (choices: (string * int * TensorView) list) = choices[trial.Choose(at, 0, choices.Length - 1)]

            let xs =
                layouts (Operation.input s)
                @ broadcasts (Operation.input s)
                @ halves (Operation.input s)

            let once dims = layouts dims @ halves dims
            let inputName, inputLength, inputView = pick 0 xs
            let kernelName, kernelLength, kernelView = pick 1 (once (Operation.kernel s))
            let outputName, outputLength, outputView = pick 2 (once (Operation.output s))

            /// The memory of a view, drawn where the tensor is, and the contiguous copy.
            let memory (dense: Approx) length (view: TensorView) =
                let data = viewed dense length view
                data, Approx.init (Approx.dims dense) (fun i0 i1 i2 i3 -> float data[view.At(i0, i1, i2, i3)])

            let xMemory, x = memory trial.X inputLength inputView
            let kMemory, k = memory trial.K kernelLength kernelView
            let poison = -7.25e29f

            let run s _ _ b =
                let y = Array.create (max 1 outputLength) poison
                trial.Subject.Viewed s (struct (xMemory, inputView)) (struct (kMemory, kernelView)) b (struct (y, outputView))

                let result =
                    Values.init (Operation.output s) (fun n o i j ->
                        let at = outputView.At(n, o, i, j)
                        let value = float y[at]
                        y[at] <- poison
                        value)

                match y |> Array.filter ((<>) poison) |> Array.length with
                | 0 -> Array.map float32 result.Data
                | written -> raise (SubjectFault(Breach $"It wrote {written} floats that its output's view does not show.", Call.none s))

            [
                same (trial.ConvBy(run, s, x, k, Some b)) (trial.ConvBits(s, x, k, Some b))
                |> named $"X {inputName}, K {kernelName}, Y {outputName}" "contiguous copies"
            ])

/// One of two parts of a convolution: its shape, and the first image, group or output channel of each tensor.
type private Part = { Shape: ConvShape; Image: int; Input: int; Output: int }

/// The convolution in two parts, cut at a choice; each way that there is.
let private inTwo (s: ConvShape) (choose: int -> int) : (string * Part list) list =
    let cut size part =
        let at = 1 + choose (size - 1)
        [ part 0 at; part at (size - at) ]

    [
        if s.Batch > 1 then
            "images", cut s.Batch (fun first count -> { Shape = s.With(batch = count); Image = first; Input = 0; Output = 0 })

        if s.Groups > 1 then
            let cg, og = s.InChannelsPerGroup, s.OutChannelsPerGroup

            "groups",
            cut s.Groups (fun first count ->
                {
                    Shape = s.With(inChannels = count * cg, outChannels = count * og, groups = count)
                    Image = 0
                    Input = first * cg
                    Output = first * og
                })
        elif s.OutChannels > 1 then
            "output channels",
            cut s.OutChannels (fun first count -> { Shape = s.With(outChannels = count); Image = 0; Input = 0; Output = first })
    ]

/// A view that begins at an image and a channel of another.
let private from image channel (view: TensorView) =
    TensorView(view.Offset + image * view.Stride0 + channel * view.Stride1, view.Stride0, view.Stride1, view.Stride2, view.Stride3)

/// The convolution put together from parts that are read and written where they stand in the tensors of the whole; what stands in the output at
/// last, and what stood there after each part.
let private joined (trial: Trial) way (parts: Part list) =
    let s, x, k, b = trial.Shape, trial.X, trial.K, trial.B
    let channelsLast = trial.Choose(2, 0, 1) = 1

    let view (_, d1, d2, d3) =
        if channelsLast then
            TensorView.ChannelsLast(d1, d2, d3)
        else
            TensorView.Dense(d1, d2, d3)

    let xView, kView, yView = view (Operation.input s), view (Operation.kernel s), view (Operation.output s)
    let xs, ks = viewed x (int s.InputLength) xView, viewed k (int s.KernelLength) kView
    let ys = Array.create (max 1 (int s.OutputLength)) nanf

    let read (shape: ConvShape) (view: TensorView) = Values.init (Operation.output shape) (fun n o i j -> float ys[view.At(n, o, i, j)])

    /// What stood in the view of each part after its call.
    let left = ResizeArray<Values>()

    let call part =
        let out = yView |> from part.Image part.Output
        let count = part.Shape.OutChannels

        let run shape _ _ bias =
            trial.Subject.Viewed
                shape
                (struct (xs, xView |> from part.Image part.Input))
                (struct (ks, kView |> from part.Output 0))
                bias
                (struct (ys, out))

            left.Add(read shape out)
            Array.map float32 left[left.Count - 1].Data

        let own =
            x
            |> Approx.images part.Image part.Shape.Batch
            |> Approx.channels part.Input part.Shape.InChannels

        trial.ConvBy(run, part.Shape, own, Approx.images part.Output count k, Some(Approx.images part.Output count b))

    let stack = Approx.concat (if way = "images" then 0 else 1)
    let computed = stack (List.map call parts)

    let after =
        if left.Count = parts.Length then
            Some(stack [ for part in left -> Approx.exact part ])
        else
            None

    computed, Approx.exact (read s yView), after

let private viewParts =
    Law.equations
        5
        Compositional
        "VIEW-PARTS"
        "a convolution is put together from two, of some of its images, groups or output channels, read and written where they stand in the tensors of the whole"
        { Law.terms
              "VIEW-1"
              "the definition, part by part"
              "the batch stride of a whole taken for that of a part, channels of a part counted from the beginning, neighbours written over" with
            Needs = [ Forward; Views ]
            Domain = "AnyOrder; Bilinear within its certificate or bound"
            Beyond = Law.beyond 40 10
        }
        (fun trial ->
            let s, x, k, b = trial.Shape, trial.X, trial.K, trial.B

            let way, parts =
                match inTwo s (fun ends -> trial.Choose(0, 0, ends - 1)) with
                | [] -> Judge.inapplicable "it has one image and one output channel"
                | ways -> ways[trial.Choose(1, 0, ways.Length - 1)]

            let takes part = trial.Profile.TakesViews part && trial.Profile.Supports part

            if not (parts |> List.forall (fun part -> takes part.Shape)) then
                raise Declined

            let computed, last, after = joined trial way parts

            [
                computed =~= trial.Conv(s, x, k, b)
                |> named $"two parts of its {way}, through views" "the whole"
                // The second has not written over the first.
                match after with
                | Some after ->
                    last =?= after
                    |> named "what stands in the output at last" "what stood there after each part"
                | None -> ()
            ])

let laws = [ stridedViews; viewParts ]
