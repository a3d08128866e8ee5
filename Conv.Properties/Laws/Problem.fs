namespace Conv.Properties

open Conv
open Conv.Properties.Judging

/// A convolution as laws pose it: conv(X, K), with a bias or without. The verbs below change its shape and its tensors together.
[<NoEquality; NoComparison>]
type internal Problem =
    {
        Trial: Trial
        Shape: ConvShape
        X: Approx
        K: Approx
        Bias: Approx option
    }

    /// The i-th choice of the case, in lo…hi.
    member p.Choose(i, lo, hi) = p.Trial.Choose(i, lo, hi)

[<RequireQualifiedAccess>]
module internal Problem =
    /// The case's own convolution, without its bias.
    let ofTrial (trial: Trial) = { Trial = trial; Shape = trial.Shape; X = trial.X; K = trial.K; Bias = None }

/// What laws are written in. A verb on a problem names what is done to the convolution; what acts on a result names the elements that are left of it.
module internal Verbs =
    /// conv(X, K), and + b where there is a bias.
    let conv (p: Problem) : Approx =
        match p.Bias with
        | None -> p.Trial.Conv(p.Shape, p.X, p.K)
        | Some b -> p.Trial.Conv(p.Shape, p.X, p.K, b)

    /// With the case's bias.
    let biased (p: Problem) = { p with Bias = Some p.Trial.B }

    /// The weight by which an output (n, o, i, j) reads an element (n, c, h, w) of the input; zero where it does not read it.
    let weightBetween (p: Problem) (n, c, h, w) (image, o, i, j) =
        let s = p.Shape
        let u, v = s.Rows.TapReading(h, i), s.Columns.TapReading(w, j)
        let sameGroup = c / s.InChannelsPerGroup = o / s.OutChannelsPerGroup

        if n = image && sameGroup && u >= 0 && v >= 0 then
            p.K.Value[o, c % s.InChannelsPerGroup, u, v]
        else
            0.0

    // ---- along the axes

    let private reaxed (rows: AxisPart) (columns: AxisPart) (p: Problem) =
        { p with
            Shape = p.Shape.WithAxes [| rows.Axis; columns.Axis |]
            X = Approx.cut rows.Input columns.Input p.X
            K = Approx.cut rows.Taps columns.Taps p.K
        }

    /// Each axis becomes what is said of it.
    let along (change: Axis -> AxisPart) (p: Problem) = reaxed (change p.Shape.Rows) (change p.Shape.Columns) p

    /// Rows become what the first says of them, columns what the second.
    let alongEach (rows: Axis -> AxisPart, columns: Axis -> AxisPart) (p: Problem) = reaxed (rows p.Shape.Rows) (columns p.Shape.Columns) p

    /// The problems of every part of the rows with every part of the columns.
    let parts (ofAxis: Axis -> AxisPart list) (p: Problem) =
        [
            for rows in ofAxis p.Shape.Rows do
                for columns in ofAxis p.Shape.Columns -> reaxed rows columns p
        ]

    /// The elements of a result that each axis of a problem says.
    let taken (cut: Axis -> Slice) (p: Problem) (y: Approx) = Approx.cut (cut p.Shape.Rows) (cut p.Shape.Columns) y

    /// The axis, all of its input and all of its taps.
    let whole (a: Axis) = { Axis = a; Input = Slice.first a.Size; Taps = Slice.first a.Taps }

    /// Without the input of so many first outputs; it has no padding.
    let withoutFirst outputs (a: Axis) =
        let gone = outputs * a.Stride
        let rest = a.Size - gone
        { whole (a.With(size = rest)) with Input = Slice.from gone rest }

    /// From the last element to the first, the pads exchanged. Elements behind the last window would be a negative pad: there one more window stands
    /// before the first.
    let flipped (a: Axis) =
        let before =
            if a.After >= a.Unused then
                a.After - a.Unused
            else
                a.After + a.Stride - a.Unused

        {
            Axis = a.With(before = before, after = a.Before)
            Input = Slice.reversed a.Size
            Taps = Slice.reversed a.Taps
        }

    /// Zeros around the input in the place of padding.
    let unpadded (a: Axis) = { whole a.Unpadded with Input = Slice.padded a.Before a.After a.Size }

    /// Every window.
    let withoutStride (a: Axis) = whole (a.With(stride = 1))

    /// So many taps of zero on either side of the others, and padding for them.
    let bordered taps (a: Axis) =
        let reach = taps * a.Dilation

        { whole (a.With(taps = a.Taps + 2 * taps, before = a.Before + reach, after = a.After + reach)) with
            Input = Slice.first a.Size
            Taps = Slice.padded taps taps a.Taps
        }

    /// The phases of a stride without padding or dilation: every s-th element and every s-th tap, from each of the first.
    let phases (a: Axis) =
        [
            for phase in 0 .. min a.Stride a.Taps - 1 ->
                let taps = (a.Taps - phase + a.Stride - 1) / a.Stride
                let size = a.Outputs + taps - 1

                {
                    Axis = Axis(size, taps)
                    Input = Slice.every a.Stride phase size
                    Taps = Slice.every a.Stride phase taps
                }
        ]

    /// The residues of a dilation without padding or stride: every d-th element, from each of the first that an output stands at.
    let residues (a: Axis) =
        [
            for residue in 0 .. min a.Dilation a.Outputs - 1 ->
                let size = (a.Size - residue + a.Dilation - 1) / a.Dilation

                { whole (Axis(size, a.Taps)) with Input = Slice.every a.Dilation residue size }
        ]

    /// One tap alone, for each that meets the input: the elements that it reads, and the padding that remains.
    let taps (a: Axis) =
        [
            for tap in 0 .. a.Taps - 1 do
                let first, last = a.Source(0, tap), a.Source(a.Outputs - 1, tap)
                let least, most = max 0 first, min (a.Size - 1) last

                if last >= 0 && first < a.Size then
                    {
                        Axis = Axis(most - least + 1, 1, a.Stride, least - first, last - most)
                        Input = Slice.from least (most - least + 1)
                        Taps = Slice.from tap 1
                    }
        ]

    /// Zeros between the taps in the place of dilation.
    let undilated (p: Problem) =
        { p with
            Shape = p.Shape.Along(fun a -> a.Undilated)
            K = Approx.zeroStuff (p.Shape.Rows.Dilation, p.Shape.Columns.Dilation) p.K
        }

    /// Rows and columns exchanged.
    let transposed (p: Problem) =
        { p with
            Shape = p.Shape.Axes |> Seq.rev |> Array.ofSeq |> p.Shape.WithAxes
            X = Approx.transpose p.X
            K = Approx.transpose p.K
        }

    // ---- along images, groups and channels

    /// Image by image.
    let images (p: Problem) =
        let alone = p.Shape.With(batch = 1)
        [ for n in 0 .. p.Shape.Batch - 1 -> { p with Shape = alone; X = Approx.images n 1 p.X } ]

    /// Group by group.
    let groups (p: Problem) =
        let cg, og = p.Shape.InChannelsPerGroup, p.Shape.OutChannelsPerGroup
        let alone = p.Shape.With(inChannels = cg, outChannels = og, groups = 1)

        [
            for g in 0 .. p.Shape.Groups - 1 ->
                { p with
                    Shape = alone
                    X = Approx.channels (g * cg) cg p.X
                    K = Approx.images (g * og) og p.K
                    Bias = p.Bias |> Option.map (Approx.images (g * og) og)
                }
        ]

    /// Some input channels of every group.
    let someInputs first count (p: Problem) =
        let s = p.Shape
        let channels = s.Groups * count

        { p with
            Shape = s.With(inChannels = channels)
            X =
                p.X
                |> Approx.permute 1 channels (fun c -> c / count * s.InChannelsPerGroup + first + c % count)
            K = Approx.channels first count p.K
        }

    /// One input channel of every group after another.
    let inputChannels (p: Problem) = [ for c in 0 .. p.Shape.InChannelsPerGroup - 1 -> someInputs c 1 p ]

    /// The input channels of every group in two, cut at one of them.
    let inTwo at (p: Problem) = [ someInputs 0 at p; someInputs at (p.Shape.InChannelsPerGroup - at) p ]

    /// Some output channels of every group.
    let someOutputs first count (p: Problem) =
        let s = p.Shape
        let channels = s.Groups * count
        let from o = o / count * s.OutChannelsPerGroup + first + o % count

        { p with
            Shape = s.With(outChannels = channels)
            K = p.K |> Approx.permute 0 channels from
            Bias = p.Bias |> Option.map (Approx.permute 0 channels from)
        }

    /// The output channels of every group in two, cut at one of them.
    let outputsInTwo at (p: Problem) = [ someOutputs 0 at p; someOutputs at (p.Shape.OutChannelsPerGroup - at) p ]

    /// So many input channels more in every group, behind its own, which they repeat where they are not zero: in the input, or in the weights.
    let moreInputs (more: int) zeroInput (p: Problem) =
        let cg = p.Shape.InChannelsPerGroup
        let wide = p.Shape.With(inChannels = p.Shape.Groups * (cg + more))

        let repeated isZero c source =
            if c < cg then source c
            elif isZero then -1
            else source ((c - cg) % cg)

        { p with
            Shape = wide
            X =
                p.X
                |> Approx.gather (Operation.input wide) (fun n c h w ->
                    repeated zeroInput (c % (cg + more)) (fun own -> p.X.Value.At(n, c / (cg + more) * cg + own, h, w)))
            K =
                p.K
                |> Approx.gather (Operation.kernel wide) (fun o c u v -> repeated (not zeroInput) c (fun own -> p.K.Value.At(o, own, u, v)))
        }

    /// Output channels by the number that each is a copy of.
    let copiedOutputs (count: int) source (p: Problem) =
        { p with
            Shape = p.Shape.With(outChannels = count)
            K = p.K |> Approx.permute 0 count source
        }

    /// One group whose kernel is zero off the blocks of the groups.
    let dense (p: Problem) =
        let s = p.Shape
        let cg, og = s.InChannelsPerGroup, s.OutChannelsPerGroup

        { p with
            Shape = s.With(groups = 1)
            K =
                p.K
                |> Approx.gather (s.OutChannels, s.InChannels, s.Rows.Taps, s.Columns.Taps) (fun o c u v ->
                    if c / cg = o / og then p.K.Value.At(o, c % cg, u, v) else -1)
        }

    /// One image that has the groups of all.
    let imagesAsGroups (p: Problem) =
        let s = p.Shape
        let n = s.Batch

        { p with
            Shape = s.With(batch = 1, inChannels = n * s.InChannels, outChannels = n * s.OutChannels, groups = n * s.Groups)
            X = p.X |> Approx.reshape (1, n * s.InChannels, s.Rows.Size, s.Columns.Size)
            K = Approx.concat 0 (List.replicate n p.K)
        }

    /// Output channels in another order within their groups: the i-th of a group is the order's i-th.
    let permutedOut (order: int[]) (p: Problem) =
        let permuted = Approx.permuteWithin 0 order

        { p with K = permuted p.K; Bias = p.Bias |> Option.map permuted }

    /// Input channels in another order within their groups, those of X and K alike.
    let permutedIn (order: int[]) (p: Problem) =
        { p with
            X = Approx.permuteWithin 1 order p.X
            K = Approx.permuteWithin 1 order p.K
        }

    // ---- backward

    /// dX of ⟨conv(X, K), dY⟩.
    let backwardInput (p: Problem) dy = p.Trial.BackwardInput(p.Shape, dy, p.K)

    /// dK of ⟨conv(X, K), dY⟩.
    let backwardKernel (p: Problem) dy = p.Trial.BackwardKernel(p.Shape, p.X, dy)

    /// The full convolution of dY, zeros between its elements for the stride, with K flipped and its channels exchanged within each group.
    let inputGradientAsConv (p: Problem) dy =
        let s = p.Shape
        let cg, og = s.InChannelsPerGroup, s.OutChannelsPerGroup
        // Element h of the result reads elements h − (E − 1 − p) … h + p of the stuffed gradient.
        let read (a: Axis) = Slice.from (a.Before + 1 - a.Extent) (a.Size + a.Extent - 1)

        { p with
            Shape =
                s
                    .With(inChannels = s.OutChannels, outChannels = s.InChannels)
                    .Along(fun a -> Axis(a.Size + a.Extent - 1, a.Taps, dilation = a.Dilation))
            X =
                dy
                |> Approx.zeroStuff (s.Rows.Stride, s.Columns.Stride)
                |> Approx.cut (read s.Rows) (read s.Columns)
            K =
                p.K
                |> Approx.gather (s.InChannels, og, s.Rows.Taps, s.Columns.Taps) (fun c o u v ->
                    p.K.Value.At(c / cg * og + o, c % cg, u, v))
                |> Approx.flip
        }

    /// Images and channels exchanged.
    let exchanged (a: Approx) =
        let d0, d1, d2, d3 = Approx.dims a

        a
        |> Approx.gather (d1, d0, d2, d3) (fun i0 i1 i2 i3 -> a.Value.At(i1, i0, i2, i3))

    /// For each group the convolution of X with dY, batch as channel, stride and dilation exchanged: its first taps are dK, channels as batch.
    let kernelGradientAsConvs (p: Problem) dy =
        let s = p.Shape
        let cg, og = s.InChannelsPerGroup, s.OutChannelsPerGroup

        let swapped =
            s
                .With(batch = cg, inChannels = s.Batch, outChannels = og, groups = 1)
                .Along(fun a -> Axis(a.Size, a.Outputs, a.Dilation, a.Before, a.After, a.Stride))

        [
            for g in 0 .. s.Groups - 1 ->
                { p with
                    Shape = swapped
                    X = p.X |> Approx.channels (g * cg) cg |> exchanged
                    K = dy |> Approx.channels (g * og) og |> exchanged
                }
        ]

    // ---- results

    /// The sum of results of a problem's size; zeros where there are none.
    let sum (p: Problem) (results: Approx list) =
        match results with
        | [] -> Approx.zeros (Operation.output p.Shape)
        | results -> List.reduce (+) results

    /// One result behind another, as images.
    let stackImages (results: Approx list) = Approx.concat 0 results

    /// One result behind another, as channels.
    let stackChannels (results: Approx list) = Approx.concat 1 results

    /// Results of parts of every group's output channels, side by side in every group.
    let stackWithin (p: Problem) (results: Approx list) =
        stackChannels
            [
                for g in 0 .. p.Shape.Groups - 1 do
                    for y in results ->
                        let count = y.Value.D1 / p.Shape.Groups
                        Approx.channels (g * count) count y
            ]

    /// A result from those of the residues of a dilation: output (i, j) is element (i/d, j/d) of that of (i mod d, j mod d).
    let interleaved (p: Problem) (results: Approx list) =
        let rows, columns = p.Shape.Rows, p.Shape.Columns
        let across = min columns.Dilation columns.Outputs
        let results = Array.ofList results

        Approx.assemble (Operation.output p.Shape) results (fun n o i j ->
            let at = i % rows.Dilation * across + j % columns.Dilation
            struct (at, results[at].Value.At(n, o, i / rows.Dilation, j / columns.Dilation)))
