/// The convolution layers of real networks at their published sizes, one image a batch, as data that verification and
/// comparison share. Built from the block tables of the papers; the totals are held to published figures by tests.
module Conv.Properties.Workload

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
            Name = "resnet50"
            Title = "ResNet-50 v1, 224×224"
            Source =
                "K. He, X. Zhang, S. Ren, J. Sun, Deep Residual Learning for Image Recognition, arXiv:1512.03385 (2015), table 1. \
                 Variant v1, as in the paper: stages 3 to 5 halve the image in the first 1×1 of their first bottleneck. \
                 (torchvision's v1.5 does it in the 3×3, with the same weights and more multiply-adds.) Padding k/2 on every side."
            Layers = merge resnet50Layers
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

/// The workload of this name, compared exactly.
let tryFind (name: string) : Workload option = all |> List.tryFind (fun workload -> workload.Name = name)
