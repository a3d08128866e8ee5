/// The verbs of laws: each against what it says of tensors, element by element, and each as an equation that the definition satisfies.
module Conv.Properties.ProblemTests

open System
open Xunit
open FsCheck.Xunit
open Conv
open Conv.Properties.Judging
open Conv.Properties.Verbs

let private loop = Ours.implementations |> List.find (fun s -> s.Name = "loop")

/// A case's convolution, in front of the definition; small whole numbers.
let private on (s: ConvShape) (check: Problem -> unit) =
    let case: Case =
        {
            Law = "FLIP"
            Tier = Exact
            Problem = s
            Args = [ 0; 0; 0 ]
            Fill = Drawn(Lattice(Lattice.UpTo 9), 7UL)
        }

    use trial = new Trial(loop, case, false)
    check (Problem.ofTrial trial)

/// The number at a place, or zero outside of the tensor.
let private at (a: Approx) n c h w =
    let _, _, height, width = Approx.dims a

    if h < 0 || h >= height || w < 0 || w >= width then 0.0 else a.Value[n, c, h, w]

/// Whether a tensor is what stands at places of another, which each axis gives.
let private isRead (from: Approx) (a: Approx) (rows: int -> int) (columns: int -> int) =
    let d0, d1, d2, d3 = Approx.dims a

    for n in 0 .. d0 - 1 do
        for c in 0 .. d1 - 1 do
            for i in 0 .. d2 - 1 do
                for j in 0 .. d3 - 1 do
                    Assert.Equal(at from n c (rows i) (columns j), a.Value[n, c, i, j])

let private same (left: Approx) (right: Approx) =
    Assert.Equal(Approx.dims left, Approx.dims right)
    Assert.Equal<float[]>(left.Value.Data, right.Value.Data)

/// A verb of one axis: what it leaves of the input and of the taps, by places in the tensors before.
let private reads verb (inputs: Axis -> int -> int) (taps: Axis -> int -> int) (p: Problem) =
    let q = p |> along verb
    let rows, columns = p.Shape.Rows, p.Shape.Columns
    isRead p.X q.X (inputs rows) (inputs columns)
    isRead p.K q.K (taps rows) (taps columns)
    Assert.Equal(Operation.input q.Shape, Approx.dims q.X)
    Assert.Equal(Operation.kernel q.Shape, Approx.dims q.K)

[<Property(Arbitrary = [| typeof<Arbitraries> |], MaxTest = 50)>]
let ``along the axes`` (AnyShape s) =
    on s (fun p ->
        let itself (_: Axis) (i: int) = i
        p |> reads whole itself itself
        p |> reads withoutStride itself itself
        p |> reads flipped (fun a i -> a.Size - 1 - i) (fun a u -> a.Taps - 1 - u)
        p |> reads unpadded (fun a i -> i - a.Before) itself
        p |> reads (bordered 2) itself (fun _ u -> u - 2)

        same
            (conv p)
            (conv (p |> along flipped)
             |> Approx.flip
             |> taken (fun a -> Slice.first a.Outputs) p)

        same (conv p) (conv (p |> along unpadded))
        same (conv p) (conv (p |> along (bordered 2)))

        same
            (conv p)
            (conv (p |> along withoutStride)
             |> taken (fun a -> Slice.every a.Stride 0 a.Outputs) p)

        same (conv p) (conv (undilated p))
        same (conv p) (sum p [ for tap in parts taps p -> conv tap ])
        same (conv p) (Approx.transpose (conv (transposed p))))

[<Property(Arbitrary = [| typeof<Arbitraries> |], MaxTest = 50)>]
let ``along the axes, without padding`` (AnyShape s) =
    on (Axes.valid s) (fun p ->
        if p.Shape.Rows.Outputs > 1 then
            let crop = p |> alongEach (withoutFirst 1, whole)
            isRead p.X crop.X (fun i -> i + s.Rows.Stride) id
            let rest = p.Shape.Rows.Outputs - 1
            same (conv p |> Approx.cut (Slice.from 1 rest) (Slice.first p.Shape.Columns.Outputs)) (conv crop))

    on ((Axes.valid s).Along(fun a -> a.With(dilation = 1))) (fun p ->
        let all = p |> parts phases
        let phasesOf (a: Axis) = min a.Stride a.Taps
        Assert.Equal(phasesOf p.Shape.Rows * phasesOf p.Shape.Columns, all.Length)

        isRead p.K (List.last all).K (fun u -> phasesOf s.Rows - 1 + u * s.Rows.Stride) (fun v ->
            phasesOf s.Columns - 1 + v * s.Columns.Stride)

        same (conv p) (sum p [ for phase in all -> conv phase ]))

    on ((Axes.valid s).Along(fun a -> a.With(stride = 1))) (fun p ->
        let all = p |> parts residues
        let last (a: Axis) = min a.Dilation a.Outputs - 1
        let rows, columns = p.Shape.Rows, p.Shape.Columns
        isRead p.X (List.last all).X (fun i -> last rows + i * rows.Dilation) (fun j -> last columns + j * columns.Dilation)
        same (conv p) (interleaved p [ for residue in all -> conv residue ]))

[<Property(Arbitrary = [| typeof<Arbitraries> |], MaxTest = 50)>]
let ``along images, groups and channels`` (SmallShape s) =
    on s (fun p ->
        let cg, og = s.InChannelsPerGroup, s.OutChannelsPerGroup
        let last = List.last (groups (biased p))
        Assert.Equal(struct (cg, og, 1), struct (last.Shape.InChannels, last.Shape.OutChannels, last.Shape.Groups))
        Assert.Equal(at p.K (s.OutChannels - 1) 0 0 0, last.K.Value[og - 1, 0, 0, 0])
        Assert.Equal(p.Trial.B.Value.Data[s.OutChannels - 1], last.Bias.Value.Value.Data[og - 1])
        same (conv (biased p)) (stackChannels [ for group in groups (biased p) -> conv group ])
        same (conv (biased p)) (stackImages [ for image in images (biased p) -> conv image ])
        same (conv p) (sum p [ for channel in inputChannels p -> conv channel ])
        same (conv p) (conv (dense p))
        same (conv p) (conv (imagesAsGroups p) |> Approx.reshape (Operation.output s))

        if cg > 1 then
            same (conv p) (sum p [ for part in inTwo 1 p -> conv part ])

        same (conv p) (conv (permutedIn (Array.rev [| 0 .. cg - 1 |]) p))
        let order = Array.rev [| 0 .. og - 1 |]
        same (conv (p |> biased |> permutedOut order)) (conv (biased p) |> Approx.permuteWithin 1 order))

[<Property(Arbitrary = [| typeof<Arbitraries> |], MaxTest = 50)>]
let ``some output channels, more channels, and channels again`` (SmallShape s) =
    on s (fun p ->
        let cg, og = s.InChannelsPerGroup, s.OutChannelsPerGroup

        if og > 1 then
            let parts = outputsInTwo 1 (biased p)
            Assert.Equal(struct (s.Groups, s.Groups * (og - 1)), struct (parts[0].Shape.OutChannels, parts[1].Shape.OutChannels))
            Assert.Equal(p.Trial.B.Value.Data[s.OutChannels - 1], Array.last parts[1].Bias.Value.Value.Data)
            same (conv (biased p)) (stackWithin p [ for part in parts -> conv part ])

        for zeroInput in [ true; false ] do
            let wide = moreInputs 3 zeroInput p
            Assert.Equal(s.Groups * (cg + 3), wide.Shape.InChannels)
            // What is added repeats the first channel on the one side, and is zero on the other.
            let input, weight = wide.X.Value[0, cg, 0, 0], wide.K.Value[0, cg, 0, 0]
            Assert.Equal((if zeroInput then 0.0 else p.X.Value[0, 0, 0, 0]), input)
            Assert.Equal((if zeroInput then p.K.Value[0, 0, 0, 0] else 0.0), weight)
            same (conv p) (conv wide)

        let source o = o / (og + 1) * og + (if o % (og + 1) < og then o % (og + 1) else 0)
        let count = s.Groups * (og + 1)
        same (conv p |> Approx.permute 1 count source) (conv (p |> copiedOutputs count source)))

[<Property(Arbitrary = [| typeof<Arbitraries> |], MaxTest = 50)>]
let ``gradients as convolutions`` (SmallShape s) =
    on s (fun p ->
        let dy = p.Trial.Gradient
        same (backwardInput p dy) (conv (inputGradientAsConv p dy))
        same (p.Trial.OracleOf(Operation.BackwardInput, s, dy, p.K)) (backwardInput p dy)

        let byGroup =
            [
                for q in kernelGradientAsConvs p dy -> conv q |> taken (fun a -> Slice.first a.Taps) p |> exchanged
            ]

        same (backwardKernel p dy) (stackImages byGroup)
        same (p.Trial.OracleOf(Operation.BackwardKernel, s, p.X, dy)) (backwardKernel p dy))

[<Fact>]
let ``nothing adds up to zeros`` () =
    on (ConvShape(2, 1, 3, 3, 4, 2, 2)) (fun p ->
        let zeros = sum p []
        Assert.Equal(Operation.output p.Shape, Approx.dims zeros)
        Assert.All(zeros.Value.Data, (fun value -> Assert.Equal(0.0, value))))

[<Fact>]
let ``a tap that meets nothing but padding is none of them`` () =
    // Three columns to the left of one: of five taps two read it.
    let shape = ConvShape(1, 1, 1, Axis(1, 1), Axis(1, 5, 1, 3, 2))

    on shape (fun p ->
        Assert.Equal(2, p.Shape.Columns.Outputs)
        Assert.Equal(2, List.length (parts taps p)))
