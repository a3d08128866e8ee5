/// The convolution layers of real networks at their published sizes, one image a batch, as data that verification and
/// comparison share. Built from the block tables of the papers; the totals are held to published figures by tests.
module internal Conv.Properties.Workload

open Conv

/// One distinct convolution of a network.
type Layer =
    {
        /// Where the shape occurs first, in the paper's numbering: "conv2_1/3x3", "block4/depthwise".
        Name: string
        /// How often the shape occurs in the network.
        Count: int
        /// The geometry, batch 1.
        Shape: ConvShape
    }

/// The convolutions of one network. Fully connected layers and pooling are no part of it.
type Workload =
    {
        /// The id: "resnet50".
        Name: string
        /// The network, its variant and its input.
        Title: string
        /// The publication, and what it leaves open.
        Source: string
        /// In the order of first appearance from input to output, each shape once.
        Layers: Layer list
    }

/// Padding k/2 on every side: with stride 1 and odd k the size stays, with stride 2 an even one halves.
let private square channels size outChannels kernel stride groups =
    let pad = kernel / 2

    ConvShape(
        1,
        channels,
        size,
        size,
        outChannels,
        kernel,
        kernel,
        strideHeight = stride,
        strideWidth = stride,
        padTop = pad,
        padLeft = pad,
        padBottom = pad,
        padRight = pad,
        groups = groups
    )

let private merge (layers: (string * ConvShape) list) : Layer list =
    layers
    |> List.groupBy snd
    |> List.map (fun (shape, same) -> { Name = fst same.Head; Count = same.Length; Shape = shape })

let private resnet50Layers =
    /// A bottleneck reduces to `width`, convolves 3×3 and expands fourfold; the first of a stage also projects its shortcut.
    let bottleneck name channels size width stride isFirst =
        [
            $"{name}/reduce", square channels size width 1 stride 1
            $"{name}/3x3", square width (size / stride) width 3 1 1
            $"{name}/expand", square width (size / stride) (4 * width) 1 1 1
            if isFirst then
                $"{name}/shortcut", square channels size (4 * width) 1 stride 1
        ]

    /// stage, input channels and size, width, blocks, stride of the first block: table 1, column "50-layer".
    let stage (number, channels, size, width, blocks, stride) =
        [
            for block in 1..blocks do
                let name = $"conv{number}_{block}"

                if block = 1 then
                    yield! bottleneck name channels size width stride true
                else
                    yield! bottleneck name (4 * width) (size / stride) width 1 false
        ]

    [ // 224 → 112, then 3×3 max pooling with stride 2 → 56.
        "conv1", square 3 224 64 7 2 1
        yield! stage (2, 64, 56, 64, 3, 1)
        yield! stage (3, 256, 56, 128, 4, 2)
        yield! stage (4, 512, 28, 256, 6, 2)
        yield! stage (5, 1024, 14, 512, 3, 2)
    ]

/// A kernel of height × width taps, with the same padding before and after each axis.
let private rectangle channels size outChannels (height, width) stride (vertical, horizontal) =
    ConvShape(
        1,
        channels,
        size,
        size,
        outChannels,
        height,
        width,
        strideHeight = stride,
        strideWidth = stride,
        padTop = vertical,
        padLeft = horizontal,
        padBottom = vertical,
        padRight = horizontal
    )

let private vgg16Layers =
    /// stage, input channels, size, output channels, convolutions: table 1, column D.
    let stage (number, channels, size, outChannels, convolutions) =
        [
            for at in 1..convolutions do
                $"conv{number}_{at}", square (if at = 1 then channels else outChannels) size outChannels 3 1 1
        ]

    [ // 2×2 max pooling with stride 2 behind each stage.
        yield! stage (1, 3, 224, 64, 2)
        yield! stage (2, 64, 112, 128, 2)
        yield! stage (3, 128, 56, 256, 3)
        yield! stage (4, 256, 28, 512, 3)
        yield! stage (5, 512, 14, 512, 3)
    ]

let private inceptionv3Layers =
    /// Convolutions behind each other, each given as output channels, taps, stride: padded to keep the size at stride 1, unpadded 3×3
    /// at stride 2.
    let path name channels size (steps: (int * (int * int) * int) list) =
        steps
        |> List.indexed
        |> List.mapFold
            (fun (channels, size) (at, (outChannels, (height, width), stride)) ->
                let pads = if stride = 1 then height / 2, width / 2 else 0, 0
                let shape = rectangle channels size outChannels (height, width) stride pads
                ($"{name}_{at + 1}", shape), (outChannels, shape.Rows.Outputs))
            (channels, size)
        |> fst

    let one, three, five = (1, 1), (3, 3), (5, 5)
    let row taps = 1, taps
    let column taps = taps, 1

    /// 35×35, after figure 5, with 5×5 in one path: 1×1, 5×5, twice 3×3, and a projection of the pooled input.
    let moduleA name channels pooled =
        let path branch = path $"{name}/{branch}" channels 35

        path "1x1" [ 64, one, 1 ]
        @ path "5x5" [ 48, one, 1; 64, five, 1 ]
        @ path "double" [ 64, one, 1; 96, three, 1; 96, three, 1 ]
        @ path "pool" [ pooled, one, 1 ]

    /// 17×17, figure 6 with n = 7: 1×7 and 7×1 in two paths of different length.
    let moduleC name width =
        let path branch = path $"{name}/{branch}" 768 17

        path "1x1" [ 192, one, 1 ]
        @ path "7x7" [ width, one, 1; width, row 7, 1; 192, column 7, 1 ]
        @ path "double" [ width, one, 1; width, column 7, 1; width, row 7, 1; width, column 7, 1; 192, row 7, 1 ]
        @ path "pool" [ 192, one, 1 ]

    /// 8×8, figure 7: 1×3 and 3×1 side by side at the end of two paths.
    let moduleE name channels =
        let path branch channels = path $"{name}/{branch}" channels 8

        path "1x1" channels [ 320, one, 1 ]
        @ path "3x3" channels [ 384, one, 1 ]
        @ path "3x3/row" 384 [ 384, row 3, 1 ]
        @ path "3x3/column" 384 [ 384, column 3, 1 ]
        @ path "double" channels [ 448, one, 1; 384, three, 1 ]
        @ path "double/row" 384 [ 384, row 3, 1 ]
        @ path "double/column" 384 [ 384, column 3, 1 ]
        @ path "pool" channels [ 192, one, 1 ]

    [
        "conv_1a", rectangle 3 299 32 three 2 (0, 0) // → 149
        "conv_2a", rectangle 32 149 32 three 1 (0, 0) // → 147
        "conv_2b", rectangle 32 147 64 three 1 (1, 1) // then 3×3 max pooling with stride 2 → 73
        "conv_3b", rectangle 64 73 80 one 1 (0, 0)
        "conv_4a", rectangle 80 73 192 three 1 (0, 0) // → 71, then pooling again → 35
        yield! moduleA "mixed_5b" 192 32
        yield! moduleA "mixed_5c" 256 64
        yield! moduleA "mixed_5d" 288 64
        yield! path "mixed_6a/3x3" 288 35 [ 384, three, 2 ] // → 17
        yield! path "mixed_6a/double" 288 35 [ 64, one, 1; 96, three, 1; 96, three, 2 ]
        yield! moduleC "mixed_6b" 128
        yield! moduleC "mixed_6c" 160
        yield! moduleC "mixed_6d" 160
        yield! moduleC "mixed_6e" 192
        yield! path "mixed_7a/3x3" 768 17 [ 192, one, 1; 320, three, 2 ] // → 8
        yield! path "mixed_7a/7x7" 768 17 [ 192, one, 1; 192, row 7, 1; 192, column 7, 1; 192, three, 2 ]
        yield! moduleE "mixed_7b" 1280
        yield! moduleE "mixed_7c" 2048
    ]

let private resnext50Layers =
    /// A bottleneck reduces to `width`, convolves 3×3 in 32 groups and doubles; the first of a stage also projects its shortcut.
    let bottleneck name channels size width stride isFirst =
        [
            $"{name}/reduce", square channels size width 1 1 1
            $"{name}/3x3", square width size width 3 stride 32
            $"{name}/expand", square width (size / stride) (2 * width) 1 1 1
            if isFirst then
                $"{name}/shortcut", square channels size (2 * width) 1 stride 1
        ]

    /// stage, input channels and size, width, blocks, stride of the first block: table 1, column "ResNeXt-50 (32×4d)".
    let stage (number, channels, size, width, blocks, stride) =
        [
            for block in 1..blocks do
                let name = $"conv{number}_{block}"

                if block = 1 then
                    yield! bottleneck name channels size width stride true
                else
                    yield! bottleneck name (2 * width) (size / stride) width 1 false
        ]

    [ // 224 → 112, then 3×3 max pooling with stride 2 → 56.
        "conv1", square 3 224 64 7 2 1
        yield! stage (2, 64, 56, 128, 3, 1)
        yield! stage (3, 256, 56, 256, 4, 2)
        yield! stage (4, 512, 28, 512, 6, 2)
        yield! stage (5, 1024, 14, 1024, 3, 2)
    ]

let private mobilenetv2Layers =
    /// t, c, n, s of table 2: expansion, output channels, blocks, stride of the first block.
    let table =
        [
            1, 16, 1, 1 // 112 × 112
            6, 24, 2, 2 // → 56
            6, 32, 3, 2 // → 28
            6, 64, 4, 2 // → 14
            6, 96, 3, 1
            6, 160, 3, 2 // → 7
            6, 320, 1, 1
        ]

    let blocks =
        [
            for expansion, outChannels, repeats, stride in table do
                for block in 1..repeats do
                    expansion, outChannels, (if block = 1 then stride else 1)
        ]

    let block (channels, size) (number, (expansion, outChannels, stride)) =
        let wide = expansion * channels

        [ // With expansion 1 there is nothing to expand, and implementations leave the 1×1 out.
            if expansion <> 1 then
                $"block{number}/expand", square channels size wide 1 1 1
            $"block{number}/depthwise", square wide size wide 3 stride wide
            $"block{number}/project", square wide (size / stride) outChannels 1 1 1
        ],
        (outChannels, size / stride)

    let layers, (channels, size) =
        blocks
        |> List.indexed
        |> List.map (fun (i, b) -> i + 1, b)
        |> List.mapFold block (32, 112)

    [
        "conv1", square 3 224 32 3 2 1
        yield! List.concat layers
        "last", square channels size 1280 1 1 1
    ]

/// Every workload, by the year of its publication.
let all: Workload list =
    [
        {
            Name = "vgg16"
            Title = "VGG-16, configuration D, 224×224"
            Source =
                "K. Simonyan, A. Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, arXiv:1409.1556 (2014), \
                 table 1, column D. Padding 1, stride 1, and a bias in every convolution. The three fully connected layers, which dense \
                 evaluation turns into convolutions, are left out."
            Layers = merge vgg16Layers
        }
        {
            Name = "inceptionv3"
            Title = "Inception v3, 299×299"
            Source =
                "C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens, Z. Wojna, Rethinking the Inception Architecture for Computer Vision, \
                 arXiv:1512.00567 (2015), table 1 and figures 5 to 7. The paper leaves the channels of the branches open: they are those \
                 of the authors' inception_v3 in TensorFlow-Slim, and so is the stem, whose fourth convolution is 1×1 to 80 channels \
                 where table 1 prints 3×3. The auxiliary classifier is left out."
            Layers = merge inceptionv3Layers
        }
        {
            Name = "resnet50"
            Title = "ResNet-50 v1, 224×224"
            Source =
                "K. He, X. Zhang, S. Ren, J. Sun, Deep Residual Learning for Image Recognition, arXiv:1512.03385 (2015), table 1. \
                 Variant v1, as in the paper: stages 3 to 5 halve the image in the first 1×1 of their first bottleneck. \
                 (torchvision's v1.5 does it in the 3×3, with the same weights and more multiply-adds.) Padding k/2 on every side."
            Layers = merge resnet50Layers
        }
        {
            Name = "resnext50"
            Title = "ResNeXt-50 (32×4d), 224×224"
            Source =
                "S. Xie, R. Girshick, P. Dollár, Z. Tu, K. He, Aggregated Residual Transformations for Deep Neural Networks, \
                 arXiv:1611.05431 (2016), table 1, in the form of figure 3 (c): grouped convolutions. Stages 3 to 5 halve the image in the \
                 3×3 of their first block, and in its shortcut. Padding k/2 on every side."
            Layers = merge resnext50Layers
        }
        {
            Name = "mobilenetv2"
            Title = "MobileNetV2, width 1.0, 224×224"
            Source =
                "M. Sandler, A. Howard, M. Zhu, A. Zhmoginov, L.-C. Chen, MobileNetV2: Inverted Residuals and Linear Bottlenecks, \
                 arXiv:1801.04381 (2018), table 2. The first bottleneck has expansion 1 and no 1×1 expansion. \
                 Padding k/2 on every side."
            Layers = merge mobilenetv2Layers
        }
    ]

/// Shapes of the author's: a line each, "name: c=64 h=56 w=56 o=64 kh=3 kw=3 …" or the shape alone; what stands behind # is a comment. Raises
/// FormatException or ArgumentException with the number of the line.
let ofLines (title: string) (lines: string seq) : Workload =
    let layer (number: int, line: string) =
        let text =
            match line.IndexOf '#' with
            | -1 -> line.Trim()
            | at -> line.Substring(0, at).Trim()

        let name, shape =
            match text.IndexOf ':' with
            | -1 -> "", text
            | at -> text.Substring(0, at).Trim(), text.Substring(at + 1).Trim()

        if shape = "" then
            None
        else
            try
                let shape = ConvShape.Parse shape

                Some
                    {
                        Name = (if name = "" then $"line {number}" else name)
                        Count = 1
                        Shape = shape
                    }
            with
            | :? System.FormatException
            | :? System.ArgumentException as error ->
                let first = error.Message.Split('\n')[0]
                raise (System.FormatException $"line {number}: {first}")

    let layers =
        lines
        |> Seq.indexed
        |> Seq.choose (fun (at, line) -> layer (at + 1, line))
        |> List.ofSeq

    if layers.IsEmpty then
        raise (System.FormatException "there is no shape in it")

    {
        Name = "shapes"
        Title = title
        Source = "the author's list"
        // Two of a name could not be told apart.
        Layers =
            layers
            |> List.groupBy _.Name
            |> List.collect (fun (name, same) ->
                match same with
                | [ one ] -> [ one ]
                | several ->
                    several
                    |> List.mapi (fun at layer -> { layer with Name = $"{name} ({at + 1})" }))
    }

/// The workload of this name, compared exactly.
let tryFind (name: string) : Workload option = all |> List.tryFind (fun workload -> workload.Name = name)
