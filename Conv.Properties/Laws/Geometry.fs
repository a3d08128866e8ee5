/// Group 3: geometry.
module internal Conv.Properties.Geometry

open System
open Conv
open Conv.Properties.Verbs

let private definition = "the definition, re-indexed"

let private law kind id statement terms equation = Law.equation 3 kind id statement terms (Problem.ofTrial >> equation)

/// No padding, an input that holds the kernel.
let private unpaddedShape (s: ConvShape) = s.Along(fun a -> a.Unpadded)

let private grouped (s: ConvShape) =
    if s.Groups > 1 then
        s
    else
        s.With(groups = 2, inChannels = 2 * min 17 s.InChannels, outChannels = 2 * min 17 s.OutChannels)

/// A permutation of 0 … count − 1 from a raw number, never the identity where there is another.
let private permutation seed count =
    let order =
        Array.init count id
        |> Array.sortBy (fun i -> Fill.mix (uint64 (seed * 4099 + i + 1)), i)

    if count > 1 && order = Array.init count id then Array.rev order else order

let private shift =
    law
        Metamorphic
        "SHIFT"
        "without padding, a crop of X by multiples of the stride gives the same crop of Y"
        { Law.terms "GEO-3" definition "dependence on tile origins and on parity, tile offsets written as constants" with
            Project = fun s -> ValueSome((unpaddedShape s).Along(fun a -> a.With(size = max a.Size (a.Extent + a.Stride))))
        }
        (fun p ->
            let rows, columns = p.Shape.Rows.Outputs, p.Shape.Columns.Outputs
            let down, right = p.Choose(0, 0, min 9 (rows - 1)), p.Choose(1, 0, min 9 (columns - 1))
            let down = if down + right = 0 then 1 else down

            conv (p |> alongEach (withoutFirst down, withoutFirst right))
            =~= (conv p
                 |> Approx.cut (Slice.from down (rows - down)) (Slice.from right (columns - right)))
            |> named "conv(crop of X, K)" "crop of conv(X, K)")

let private local =
    law
        Invariant
        "LOCAL"
        "what stands outside the receptive field of an output never changes it"
        { Law.terms "GEO-6" definition "reads outside the window, over-wide tail loads, leaks between groups, images and tiles" with
            Domain = "AnyOrder; Bilinear within its certificate"
            Tiers = [ Exact ]
        }
        (fun p ->
            let s, rows, columns = p.Shape, p.Shape.Rows, p.Shape.Columns
            let n0, i0 = p.Choose(0, 0, s.Batch - 1), p.Choose(1, 0, rows.Outputs - 1)
            let j0, g0 = p.Choose(2, 0, columns.Outputs - 1), p.Choose(0, 0, s.Groups - 1)

            let isRead n c h w =
                n = n0
                && c / s.InChannelsPerGroup = g0
                && rows.TapReading(h, i0) >= 0
                && columns.TapReading(w, j0) >= 0

            let output y =
                y
                |> Approx.images n0 1
                |> Approx.channels (g0 * s.OutChannelsPerGroup) s.OutChannelsPerGroup
                |> Approx.cut (Slice.from i0 1) (Slice.from j0 1)

            output (conv { p with X = Approx.choose isRead p.X p.Trial.X2 })
            =~= output (conv p)
            |> named $"y[{n0},·,{i0},{j0}] after the change" "before")

let private flip =
    law
        Metamorphic
        "FLIP"
        "X and K flipped in both axes, with the pads exchanged (pt' = pb − r, pb' = pt), give Y flipped"
        (Law.terms "GEO-7" definition "asymmetric padding swapped or mirrored, begin and end confused, the stride's phase")
        (fun p ->
            let y =
                conv (p |> along flipped)
                |> Approx.flip
                |> taken (fun a -> Slice.first a.Outputs) p

            conv p =~= y |> named "conv(X, K)" "flip of conv(flip X, flip K)")

let private transposeHW =
    law
        Metamorphic
        "TRANSPOSE-HW"
        "rows and columns exchanged in X, K and every parameter give Y transposed"
        (Law.terms "GEO-7" definition "height and width exchanged in pads, strides, dilations and the kernel")
        (fun p ->
            let y = Approx.transpose (conv (transposed p))
            conv p =~= y |> named "conv(X, K)" "transpose of conv(Xᵀ, Kᵀ)")

let private permuteOut =
    law
        Metamorphic
        "PERMUTE-OUT"
        "output channels of K and b permuted (within their groups) permute Y"
        { Law.terms "DEF-3" definition "output tails, the index of a channel's scale or bias" with
            Project = fun s -> ValueSome(s.With(outChannels = s.Groups * max 2 s.OutChannelsPerGroup))
        }
        (fun p ->
            let order = permutation (p.Choose(0, 0, 9999)) p.Shape.OutChannelsPerGroup

            conv (p |> biased |> permutedOut order)
            =~= (conv (biased p) |> Approx.permuteWithin 1 order)
            |> named "conv(X, permuted K, b)" "permuted conv(X, K, b)")

let private permuteIn =
    law
        Metamorphic
        "PERMUTE-IN"
        "input channels of X and K permuted together (within their groups) leave Y unchanged"
        { Law.terms
              "ALG-5"
              "commutativity of the sum over channels"
              "input tails, packing permutations, a path of its own for three channels" with
            Project = fun s -> ValueSome(s.With(inChannels = s.Groups * max 2 s.InChannelsPerGroup))
        }
        (fun p ->
            let order = permutation (p.Choose(0, 0, 9999)) p.Shape.InChannelsPerGroup

            conv (permutedIn order p) =~= conv p
            |> named "conv(permuted X, permuted K)" "conv(X, K)")

let private batchConcat =
    law
        Compositional
        "BATCH-CONCAT"
        "the convolution of a batch is the convolutions of its images"
        { Law.terms "DEF-6" definition "the stride between images, a bias for image 0 only, buffers stale from the image before" with
            Project = fun s -> ValueSome(s.With(batch = max 2 s.Batch))
        }
        (fun p ->
            let parts = stackImages [ for image in images (biased p) -> conv image ]
            conv (biased p) =~= parts |> named "conv(batch)" "image by image")

let private groupConcat =
    law
        Compositional
        "GROUP-CONCAT"
        "G groups are G convolutions on slices of the channels"
        { Law.terms
              "GEO-5"
              "Krizhevsky, Sutskever & Hinton 2012, §3.2 (grouped convolution)"
              "group offsets, channels per group, remainders" with
            Project = grouped >> ValueSome
        }
        (fun p ->
            let parts = stackChannels [ for group in groups p -> conv group ]
            conv p =~= parts |> named "conv(X, K) in groups" "group by group")

let private groupBlockdiag =
    law
        Compositional
        "GROUP-BLOCKDIAG"
        "G groups are the dense convolution with a block-diagonal kernel"
        { Law.terms
              "GEO-5"
              "Krizhevsky, Sutskever & Hinton 2012, §3.2 (grouped convolution)"
              "group dispatch against the dense path, depthwise with a multiplier" with
            Project = grouped >> ValueSome
        }
        (fun p ->
            conv p =~= conv (dense p)
            |> named "conv(X, K) in groups" "dense, block-diagonal")

let private padExplicit =
    law
        Compositional
        "PAD-EXPLICIT"
        "padding is zeros around X"
        { Law.terms
              "GEO-2"
              "Dumoulin & Visin 2016, §2"
              "every padding fault: also pads beyond the kernel, asymmetric, or filled with another value" with
            Project =
                fun s ->
                    if s |> Axes.exists Axes.isPadded then
                        ValueSome s
                    else
                        ValueSome(s.With(padTop = 1, padRight = 2))
        }
        (fun p ->
            conv p =~= conv (p |> along unpadded)
            |> named "padded by the call" "zeros around X")

let private strideSubsample =
    law
        Compositional
        "STRIDE-SUBSAMPLE"
        "a stride keeps every s-th output of the stride-1 convolution"
        { Law.terms "GEO-3" "Dumoulin & Visin 2016, §2.3" "strides exchanged or ignored, 1×1 with a stride, fast paths taken at stride 2" with
            Project =
                fun s ->
                    if s |> Axes.exists (fun a -> a.Stride > 1) then
                        ValueSome s
                    else
                        ValueSome(s.With(strideHeight = 2, strideWidth = 3))
        }
        (fun p ->
            let every = conv (p |> along withoutStride)

            conv p =~= (every |> taken (fun a -> Slice.every a.Stride 0 a.Outputs) p)
            |> named "conv with a stride" "every s-th output at stride 1")

/// A shape whose dilation shows: at least two taps along a dilated axis.
let private dilated (s: ConvShape) =
    if s |> Axes.exists Axes.isDilated then
        s
    else
        s.Along(fun a ->
            let taps = max 2 a.Taps
            a.With(size = max a.Size (2 * taps), taps = taps, dilation = 2))

let private dilateZerostuff =
    law
        Compositional
        "DILATE-ZEROSTUFF"
        "a dilation is zeros between the taps"
        { Law.terms
              "GEO-4"
              "Yu & Koltun 2016, Multi-scale context aggregation by dilated convolutions"
              "dilation ignored, exchanged, or missing in the extent" with
            Project = dilated >> ValueSome
        }
        (fun p ->
            conv p =~= conv (undilated p)
            |> named "conv with a dilation" "zeros between the taps")

let private kernelZeroborder =
    law
        Compositional
        "KERNEL-ZEROBORDER"
        "q zeros around K, with q·d more padding, leave Y unchanged"
        (Law.terms "GEO-7" definition "dispatch on the kernel's size, rows and columns of taps exchanged, ranges of taps at the border")
        (fun p ->
            let q = p.Choose(0, 1, 2)
            let q = if p.Shape.KernelPlane = 1L then 1 else q

            conv p =~= conv (p |> along (bordered q))
            |> named "conv(X, K)" "K bordered with zeros")

let private trailingUnused =
    law
        Invariant
        "TRAILING-UNUSED"
        "rows and columns behind the last window never matter"
        { Law.terms "GEO-6" definition "the remainder of the floor mishandled, a last partial window read" with
            Tiers = [ Exact ]
            Project =
                fun s ->
                    // One more element than the last window reads, where there was none.
                    let more (a: Axis) =
                        let a = a.With(size = max a.Size (a.Extent - a.Before), stride = max 2 a.Stride, after = 0)
                        if a.Unused = 0 then a.With(size = a.Size + 1) else a

                    ValueSome(s.Along more)
        }
        (fun p ->
            let isWithin (a: Axis) at = at < a.Covered - a.Before
            let isRead _ _ h w = isWithin p.Shape.Rows h && isWithin p.Shape.Columns w

            conv { p with X = Approx.choose isRead p.X p.Trial.X2 } =~= conv p
            |> named "other trailing rows and columns" "conv(X, K)")

let private polyphase =
    law
        Compositional
        "POLYPHASE"
        "a stride-s convolution is the sum over s·s phases of stride-1 convolutions of subsampled X and K"
        { Law.terms
              "GEO-3"
              "Vaidyanathan 1993, Multirate Systems and Filter Banks, §4.3 (polyphase)"
              "the strided path against the stride-1 path, kernels smaller than the stride" with
            Project =
                fun s ->
                    let s = (unpaddedShape s).Along(fun a -> a.With(dilation = 1))

                    // Where there is no stride yet, every phase gets the kernel drawn: who takes but one size of kernel takes them all.
                    let strided stride (a: Axis) = Axis(max (stride * a.Taps) a.Size, stride * a.Taps, stride)

                    ValueSome(
                        if s |> Axes.exists (fun a -> a.Stride > 1) then
                            s
                        else
                            s.WithAxes [| strided 2 s.Rows; strided 3 s.Columns |]
                    )
        }
        (fun p ->
            let parts = sum p [ for phase in parts phases p -> conv phase ]
            conv p =~= parts |> named "conv with a stride" "sum of the phases")

let private dilatePhase =
    law
        Compositional
        "DILATE-PHASE"
        "a dilated convolution, restricted to (a, b) mod d, is the dense convolution of X[a::d, b::d]"
        { Law.terms
              "GEO-4"
              "Holschneider et al. 1989 (algorithme à trous)"
              "the dilated path against the dense path, buffers of grouped dilation" with
            Project = fun s -> ValueSome((dilated (unpaddedShape s)).Along(fun a -> a.With(stride = 1)))
        }
        (fun p ->
            let joined = interleaved p [ for residue in parts residues p -> conv residue ]
            conv p =~= joined |> named "conv with a dilation" "the phases, interleaved")

let private batchAsGroups =
    law
        Compositional
        "BATCH-AS-GROUPS"
        "N images are N times as many groups of one image, with K repeated"
        { Law.terms "GEO-5" definition "images and groups confused in index arithmetic, offsets of groups" with
            Project = fun s -> ValueSome(s.With(batch = max 2 s.Batch))
        }
        (fun p ->
            let y = conv (imagesAsGroups p) |> Approx.reshape (Operation.output p.Shape)
            conv p =~= y |> named "conv(batch)" "the images as groups")

let laws =
    [
        shift
        local
        flip
        transposeHW
        permuteOut
        permuteIn
        batchConcat
        groupConcat
        groupBlockdiag
        padExplicit
        strideSubsample
        dilateZerostuff
        kernelZeroborder
        trailingUnused
        polyphase
        dilatePhase
        batchAsGroups
    ]
