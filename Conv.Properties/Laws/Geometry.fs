/// Group 3: geometry.
module internal Conv.Properties.Geometry

open System
open Conv

let private definition = "the definition, re-indexed"

/// Rows (or columns) behind the last window.
let private remainder size before after extent stride = (size + before + after - extent) % stride

let private remainders (s: ConvShape) =
    remainder s.InHeight s.PadTop s.PadBottom s.KernelExtentHeight s.StrideHeight,
    remainder s.InWidth s.PadLeft s.PadRight s.KernelExtentWidth s.StrideWidth

let private unpadded (s: ConvShape) =
    s.With(
        inHeight = s.InHeight + s.PadTop + s.PadBottom,
        inWidth = s.InWidth + s.PadLeft + s.PadRight,
        padTop = 0,
        padLeft = 0,
        padBottom = 0,
        padRight = 0
    )

let private padded (s: ConvShape) x = Approx.pad (s.PadTop, s.PadLeft, s.PadBottom, s.PadRight) x

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
    Law.equation
        3
        Metamorphic
        "SHIFT"
        "without padding, a crop of X by multiples of the stride gives the same crop of Y"
        { Law.terms "GEO-3" definition "dependence on tile origins and on parity, tile offsets written as constants" with
            Project =
                fun s ->
                    let s = unpadded s

                    ValueSome(
                        s.With(
                            inHeight = max s.InHeight (s.KernelExtentHeight + s.StrideHeight),
                            inWidth = max s.InWidth (s.KernelExtentWidth + s.StrideWidth)
                        )
                    )
        }
        (fun trial ->
            let s, x, k = trial.Shape, trial.X, trial.K

            let down, right =
                trial.Choose(0, 0, min 9 (s.OutHeight - 1)), trial.Choose(1, 0, min 9 (s.OutWidth - 1))

            let down = if down + right = 0 then 1 else down
            let height, width = s.InHeight - down * s.StrideHeight, s.InWidth - right * s.StrideWidth
            let cropped = s.With(inHeight = height, inWidth = width)

            let window =
                x
                |> Approx.window (down * s.StrideHeight, right * s.StrideWidth) (1, 1) (height, width)

            trial.Conv(cropped, window, k)
            =~= (trial.Conv(s, x, k)
                 |> Approx.window (down, right) (1, 1) (cropped.OutHeight, cropped.OutWidth))
            |> named "conv(crop of X, K)" "crop of conv(X, K)")

let private local =
    Law.equation
        3
        Invariant
        "LOCAL"
        "what stands outside the receptive field of an output never changes it"
        { Law.terms "GEO-6" definition "reads outside the window, over-wide tail loads, leaks between groups, images and tiles" with
            Domain = "AnyOrder; Bilinear within its certificate"
            Tiers = [ Exact ]
        }
        (fun trial ->
            let s, x, k = trial.Shape, trial.X, trial.K
            let n0, i0 = trial.Choose(0, 0, s.Batch - 1), trial.Choose(1, 0, s.OutHeight - 1)
            let j0, g0 = trial.Choose(2, 0, s.OutWidth - 1), trial.Choose(0, 0, s.Groups - 1)
            let other = trial.X2

            let reads position i stride before taps dilation =
                let distance = position - i * stride + before
                distance >= 0 && distance % dilation = 0 && distance / dilation < taps

            let changed =
                Approx.init (Approx.dims x) (fun n c h w ->
                    let inside =
                        n = n0
                        && c / s.InChannelsPerGroup = g0
                        && reads h i0 s.StrideHeight s.PadTop s.KernelHeight s.DilationHeight
                        && reads w j0 s.StrideWidth s.PadLeft s.KernelWidth s.DilationWidth

                    if inside then x.Value[n, c, h, w] else other.Value[n, c, h, w])

            let at y =
                y
                |> Approx.images n0 1
                |> Approx.channels (g0 * s.OutChannelsPerGroup) s.OutChannelsPerGroup
                |> Approx.window (i0, j0) (1, 1) (1, 1)

            at (trial.Conv(s, changed, k)) =~= at (trial.Conv(s, x, k))
            |> named $"y[{n0},·,{i0},{j0}] after the change" "before")

let private flip =
    Law.equation
        3
        Metamorphic
        "FLIP"
        "X and K flipped in both axes, with the pads exchanged (pt' = pb − r, pb' = pt), give Y flipped"
        (Law.terms "GEO-7" definition "asymmetric padding swapped or mirrored, begin and end confused, the stride's phase")
        (fun trial ->
            let s, x, k = trial.Shape, trial.X, trial.K
            let rh, rw = remainders s
            // Where the exchanged pad would be negative, one more window stands before the first, and its output is dropped.
            let before after r stride = if after >= r then after - r, 0 else after + stride - r, 1
            let top, rows = before s.PadBottom rh s.StrideHeight
            let left, columns = before s.PadRight rw s.StrideWidth
            let mirrored = s.With(padTop = top, padLeft = left, padBottom = s.PadTop, padRight = s.PadLeft)

            let y =
                trial.Conv(mirrored, Approx.flip x, Approx.flip k)
                |> Approx.window (rows, columns) (1, 1) (s.OutHeight, s.OutWidth)

            trial.Conv(s, x, k) =~= Approx.flip y
            |> named "conv(X, K)" "flip of conv(flip X, flip K)")

let private transposed (s: ConvShape) =
    ConvShape(
        s.Batch,
        s.InChannels,
        s.InWidth,
        s.InHeight,
        s.OutChannels,
        s.KernelWidth,
        s.KernelHeight,
        s.StrideWidth,
        s.StrideHeight,
        s.PadLeft,
        s.PadTop,
        s.PadRight,
        s.PadBottom,
        s.DilationWidth,
        s.DilationHeight,
        s.Groups
    )

let private transposeHW =
    Law.equation
        3
        Metamorphic
        "TRANSPOSE-HW"
        "rows and columns exchanged in X, K and every parameter give Y transposed"
        (Law.terms "GEO-7" definition "height and width exchanged in pads, strides, dilations and the kernel")
        (fun trial ->
            let s, x, k = trial.Shape, trial.X, trial.K
            let y = trial.Conv(transposed s, Approx.transpose x, Approx.transpose k)

            trial.Conv(s, x, k) =~= Approx.transpose y
            |> named "conv(X, K)" "transpose of conv(Xᵀ, Kᵀ)")

let private permuteOut =
    Law.equation
        3
        Metamorphic
        "PERMUTE-OUT"
        "output channels of K and b permuted (within their groups) permute Y"
        { Law.terms "DEF-3" definition "output tails, the index of a channel's scale or bias" with
            Project = fun s -> ValueSome(s.With(outChannels = s.Groups * max 2 s.OutChannelsPerGroup))
        }
        (fun trial ->
            let s, x, k, b = trial.Shape, trial.X, trial.K, trial.B
            let og = s.OutChannelsPerGroup
            let order = permutation (trial.Choose(0, 0, 9999)) og
            let from o = o / og * og + order[o % og]
            let y = trial.Conv(s, x, Approx.permute 0 s.OutChannels from k, Approx.permute 0 s.OutChannels from b)

            y =~= Approx.permute 1 s.OutChannels from (trial.Conv(s, x, k, b))
            |> named "conv(X, permuted K, b)" "permuted conv(X, K, b)")

let private permuteIn =
    Law.equation
        3
        Metamorphic
        "PERMUTE-IN"
        "input channels of X and K permuted together (within their groups) leave Y unchanged"
        { Law.terms
              "ALG-5"
              "commutativity of the sum over channels"
              "input tails, packing permutations, a path of its own for three channels" with
            Project = fun s -> ValueSome(s.With(inChannels = s.Groups * max 2 s.InChannelsPerGroup))
        }
        (fun trial ->
            let s, x, k = trial.Shape, trial.X, trial.K
            let cg = s.InChannelsPerGroup
            let order = permutation (trial.Choose(0, 0, 9999)) cg

            let y =
                trial.Conv(
                    s,
                    x |> Approx.permute 1 s.InChannels (fun c -> c / cg * cg + order[c % cg]),
                    k |> Approx.permute 1 cg (fun c -> order[c])
                )

            y =~= trial.Conv(s, x, k) |> named "conv(permuted X, permuted K)" "conv(X, K)")

let private batchConcat =
    Law.equation
        3
        Compositional
        "BATCH-CONCAT"
        "the convolution of a batch is the convolutions of its images"
        { Law.terms "DEF-6" definition "the stride between images, a bias for image 0 only, buffers stale from the image before" with
            Project = fun s -> ValueSome(s.With(batch = max 2 s.Batch))
        }
        (fun trial ->
            let s, x, k, b = trial.Shape, trial.X, trial.K, trial.B
            let alone = s.With(batch = 1)
            let parts = [ for n in 0 .. s.Batch - 1 -> trial.Conv(alone, Approx.images n 1 x, k, b) ]

            trial.Conv(s, x, k, b) =~= Approx.concat 0 parts
            |> named "conv(batch)" "image by image")

let private groupConcat =
    Law.equation
        3
        Compositional
        "GROUP-CONCAT"
        "G groups are G convolutions on slices of the channels"
        { Law.terms
              "GEO-5"
              "Krizhevsky, Sutskever & Hinton 2012, §3.2 (grouped convolution)"
              "group offsets, channels per group, remainders" with
            Project = grouped >> ValueSome
        }
        (fun trial ->
            let s, x, k = trial.Shape, trial.X, trial.K
            let cg, og = s.InChannelsPerGroup, s.OutChannelsPerGroup
            let alone = s.With(inChannels = cg, outChannels = og, groups = 1)

            let parts =
                [
                    for g in 0 .. s.Groups - 1 -> trial.Conv(alone, Approx.channels (g * cg) cg x, Approx.images (g * og) og k)
                ]

            trial.Conv(s, x, k) =~= Approx.concat 1 parts
            |> named "conv(X, K) in groups" "group by group")

let private groupBlockdiag =
    Law.equation
        3
        Compositional
        "GROUP-BLOCKDIAG"
        "G groups are the dense convolution with a block-diagonal kernel"
        { Law.terms
              "GEO-5"
              "Krizhevsky, Sutskever & Hinton 2012, §3.2 (grouped convolution)"
              "group dispatch against the dense path, depthwise with a multiplier" with
            Project = grouped >> ValueSome
        }
        (fun trial ->
            let s, x, k = trial.Shape, trial.X, trial.K
            let cg, og = s.InChannelsPerGroup, s.OutChannelsPerGroup

            let dense =
                k
                |> Approx.gather (s.OutChannels, s.InChannels, s.KernelHeight, s.KernelWidth) (fun o c u v ->
                    if c / cg = o / og then k.Value.At(o, c % cg, u, v) else -1)

            trial.Conv(s, x, k) =~= trial.Conv(s.With(groups = 1), x, dense)
            |> named "conv(X, K) in groups" "dense, block-diagonal")

let private padExplicit =
    Law.equation
        3
        Compositional
        "PAD-EXPLICIT"
        "padding is zeros around X"
        { Law.terms
              "GEO-2"
              "Dumoulin & Visin 2016, §2"
              "every padding fault: also pads beyond the kernel, asymmetric, or filled with another value" with
            Project =
                fun s ->
                    if s.PadTop + s.PadLeft + s.PadBottom + s.PadRight > 0 then
                        ValueSome s
                    else
                        ValueSome(s.With(padTop = 1, padRight = 2))
        }
        (fun trial ->
            let s, x, k = trial.Shape, trial.X, trial.K

            trial.Conv(s, x, k) =~= trial.Conv(unpadded s, padded s x, k)
            |> named "padded by the call" "zeros around X")

let private strideSubsample =
    Law.equation
        3
        Compositional
        "STRIDE-SUBSAMPLE"
        "a stride keeps every s-th output of the stride-1 convolution"
        { Law.terms "GEO-3" "Dumoulin & Visin 2016, §2.3" "strides exchanged or ignored, 1×1 with a stride, fast paths taken at stride 2" with
            Project =
                fun s ->
                    if s.StrideHeight * s.StrideWidth > 1 then
                        ValueSome s
                    else
                        ValueSome(s.With(strideHeight = 2, strideWidth = 3))
        }
        (fun trial ->
            let s, x, k = trial.Shape, trial.X, trial.K
            let every = trial.Conv(s.With(strideHeight = 1, strideWidth = 1), x, k)

            trial.Conv(s, x, k)
            =~= (every
                 |> Approx.window (0, 0) (s.StrideHeight, s.StrideWidth) (s.OutHeight, s.OutWidth))
            |> named "conv with a stride" "every s-th output at stride 1")

/// A shape whose dilation shows: at least two taps along a dilated axis.
let private dilated (s: ConvShape) =
    let shows =
        s.DilationHeight > 1 && s.KernelHeight > 1
        || s.DilationWidth > 1 && s.KernelWidth > 1

    if shows then
        s
    else
        let kh, kw = max 2 s.KernelHeight, max 2 s.KernelWidth

        s.With(
            kernelHeight = kh,
            kernelWidth = kw,
            dilationHeight = 2,
            dilationWidth = 2,
            inHeight = max s.InHeight (2 * kh),
            inWidth = max s.InWidth (2 * kw)
        )

let private dilateZerostuff =
    Law.equation
        3
        Compositional
        "DILATE-ZEROSTUFF"
        "a dilation is zeros between the taps"
        { Law.terms
              "GEO-4"
              "Yu & Koltun 2016, Multi-scale context aggregation by dilated convolutions"
              "dilation ignored, exchanged, or missing in the extent" with
            Project = dilated >> ValueSome
        }
        (fun trial ->
            let s, x, k = trial.Shape, trial.X, trial.K

            let stuffed =
                s.With(kernelHeight = s.KernelExtentHeight, kernelWidth = s.KernelExtentWidth, dilationHeight = 1, dilationWidth = 1)

            trial.Conv(s, x, k)
            =~= trial.Conv(stuffed, x, Approx.zeroStuff (s.DilationHeight, s.DilationWidth) k)
            |> named "conv with a dilation" "zeros between the taps")

let private kernelZeroborder =
    Law.equation
        3
        Compositional
        "KERNEL-ZEROBORDER"
        "q zeros around K, with q·d more padding, leave Y unchanged"
        (Law.terms "GEO-7" definition "dispatch on the kernel's size, rows and columns of taps exchanged, ranges of taps at the border")
        (fun trial ->
            let s, x, k = trial.Shape, trial.X, trial.K
            let q = trial.Choose(0, 1, 2)
            let q = if s.KernelHeight * s.KernelWidth = 1 then 1 else q
            let h, w = q * s.DilationHeight, q * s.DilationWidth

            let bordered =
                s.With(
                    kernelHeight = s.KernelHeight + 2 * q,
                    kernelWidth = s.KernelWidth + 2 * q,
                    padTop = s.PadTop + h,
                    padBottom = s.PadBottom + h,
                    padLeft = s.PadLeft + w,
                    padRight = s.PadRight + w
                )

            trial.Conv(s, x, k) =~= trial.Conv(bordered, x, Approx.pad (q, q, q, q) k)
            |> named "conv(X, K)" "K bordered with zeros")

let private trailingUnused =
    Law.equation
        3
        Invariant
        "TRAILING-UNUSED"
        "rows and columns behind the last window never matter"
        { Law.terms "GEO-6" definition "the remainder of the floor mishandled, a last partial window read" with
            Tiers = [ Exact ]
            Project =
                fun s ->
                    let strideH, strideW = max 2 s.StrideHeight, max 2 s.StrideWidth
                    // One more row than the last window reads, where there was none.
                    let more size before extent stride =
                        let size = max size (extent - before)
                        if remainder size before 0 extent stride = 0 then size + 1 else size

                    let height = more s.InHeight s.PadTop s.KernelExtentHeight strideH
                    let width = more s.InWidth s.PadLeft s.KernelExtentWidth strideW

                    ValueSome(
                        s.With(
                            inHeight = height,
                            inWidth = width,
                            strideHeight = strideH,
                            strideWidth = strideW,
                            padBottom = 0,
                            padRight = 0
                        )
                    )
        }
        (fun trial ->
            let s, x, k, other = trial.Shape, trial.X, trial.K, trial.X2
            let rows = (s.OutHeight - 1) * s.StrideHeight + s.KernelExtentHeight - s.PadTop
            let columns = (s.OutWidth - 1) * s.StrideWidth + s.KernelExtentWidth - s.PadLeft

            let changed =
                Approx.init (Approx.dims x) (fun n c h w ->
                    if h >= rows || w >= columns then
                        other.Value[n, c, h, w]
                    else
                        x.Value[n, c, h, w])

            trial.Conv(s, changed, k) =~= trial.Conv(s, x, k)
            |> named "other trailing rows and columns" "conv(X, K)")

let private polyphase =
    Law.equation
        3
        Compositional
        "POLYPHASE"
        "a stride-s convolution is the sum over s·s phases of stride-1 convolutions of subsampled X and K"
        { Law.terms
              "GEO-3"
              "Vaidyanathan 1993, Multirate Systems and Filter Banks, §4.3 (polyphase)"
              "the strided path against the stride-1 path, kernels smaller than the stride" with
            Project =
                fun s ->
                    let s = unpadded s
                    let s = s.With(dilationHeight = 1, dilationWidth = 1)

                    // Where there is no stride yet, every phase gets the kernel drawn: who takes but one size of kernel takes them all.
                    let height, width = 2 * s.KernelHeight, 3 * s.KernelWidth

                    ValueSome(
                        if s.StrideHeight * s.StrideWidth > 1 then
                            s
                        else
                            s.With(
                                inHeight = max height s.InHeight,
                                inWidth = max width s.InWidth,
                                kernelHeight = height,
                                kernelWidth = width,
                                strideHeight = 2,
                                strideWidth = 3
                            )
                    )
        }
        (fun trial ->
            let s, x, k = trial.Shape, trial.X, trial.K
            let zero = Approx.zeros (s.Batch, s.OutChannels, s.OutHeight, s.OutWidth)

            let phases =
                [
                    for a in 0 .. min s.StrideHeight s.KernelHeight - 1 do
                        for b in 0 .. min s.StrideWidth s.KernelWidth - 1 do
                            let kh, kw =
                                (s.KernelHeight - a + s.StrideHeight - 1) / s.StrideHeight,
                                (s.KernelWidth - b + s.StrideWidth - 1) / s.StrideWidth

                            let height, width = s.OutHeight + kh - 1, s.OutWidth + kw - 1
                            let step = s.StrideHeight, s.StrideWidth
                            let phase = ConvShape(s.Batch, s.InChannels, height, width, s.OutChannels, kh, kw, groups = s.Groups)
                            trial.Conv(phase, x |> Approx.window (a, b) step (height, width), k |> Approx.window (a, b) step (kh, kw))
                ]

            trial.Conv(s, x, k) =~= List.fold (+) zero phases
            |> named "conv with a stride" "sum of the phases")

let private dilatePhase =
    Law.equation
        3
        Compositional
        "DILATE-PHASE"
        "a dilated convolution, restricted to (a, b) mod d, is the dense convolution of X[a::d, b::d]"
        { Law.terms
              "GEO-4"
              "Holschneider et al. 1989 (algorithme à trous)"
              "the dilated path against the dense path, buffers of grouped dilation" with
            Project = fun s -> ValueSome((dilated (unpadded s)).With(strideHeight = 1, strideWidth = 1))
        }
        (fun trial ->
            let s, x, k = trial.Shape, trial.X, trial.K
            let down, across = min s.DilationHeight s.OutHeight, min s.DilationWidth s.OutWidth
            let count size phase step = (size - phase + step - 1) / step

            let phases =
                Array.init (down * across) (fun at ->
                    let a, b = at / across, at % across
                    let height, width = count s.InHeight a s.DilationHeight, count s.InWidth b s.DilationWidth

                    let phase =
                        ConvShape(s.Batch, s.InChannels, height, width, s.OutChannels, s.KernelHeight, s.KernelWidth, groups = s.Groups)

                    trial.Conv(phase, x |> Approx.window (a, b) (s.DilationHeight, s.DilationWidth) (height, width), k))

            // Interleaved back: output (i, j) is element (i/d, j/d) of phase (i mod d, j mod d).
            let joined =
                Approx.assemble (s.Batch, s.OutChannels, s.OutHeight, s.OutWidth) phases (fun n o i j ->
                    let part = i % s.DilationHeight * across + j % s.DilationWidth
                    struct (part, phases[part].Value.At(n, o, i / s.DilationHeight, j / s.DilationWidth)))

            trial.Conv(s, x, k) =~= joined
            |> named "conv with a dilation" "the phases, interleaved")

let private batchAsGroups =
    Law.equation
        3
        Compositional
        "BATCH-AS-GROUPS"
        "N images are N times as many groups of one image, with K repeated"
        { Law.terms "GEO-5" definition "images and groups confused in index arithmetic, offsets of groups" with
            Project = fun s -> ValueSome(s.With(batch = max 2 s.Batch))
        }
        (fun trial ->
            let s, x, k = trial.Shape, trial.X, trial.K
            let n = s.Batch

            let wide =
                s.With(batch = 1, inChannels = n * s.InChannels, outChannels = n * s.OutChannels, groups = n * s.Groups)

            let y =
                trial.Conv(wide, Approx.reshape (1, n * s.InChannels, s.InHeight, s.InWidth) x, Approx.concat 0 (List.replicate n k))

            trial.Conv(s, x, k)
            =~= Approx.reshape (n, s.OutChannels, s.OutHeight, s.OutWidth) y
            |> named "conv(batch)" "the images as groups")

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
