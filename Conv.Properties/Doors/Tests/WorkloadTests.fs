module Conv.Properties.WorkloadTests

open Xunit
open Conv
open Conv.Properties.Workload

let private find name =
    match tryFind name with
    | Some workload -> workload
    | None -> failwith $"No workload is called {name}."

let private total (measure: ConvShape -> int64) (workload: Workload) =
    workload.Layers
    |> List.sumBy (fun layer -> int64 layer.Count * measure layer.Shape)

let private convolutions = total (fun _ -> 1L)
let private weights = total _.KernelLength
let private multiplyAdds = total _.MultiplyAdds

/// A batch normalisation follows every convolution of all networks but VGG-16: a scale and a shift for each output channel.
let private batchNormParameters = total (fun shape -> 2L * int64 shape.OutChannels)

[<Fact>]
let ``VGG-16 has the published 138,357,544 parameters in 13 convolutions and three fully connected layers`` () =
    let workload = find "vgg16"
    Assert.Equal(13L, convolutions workload)
    // Distinct: every one of stages 1 and 2, two of stages 3 and 4, one of stage 5.
    Assert.Equal(9, workload.Layers.Length)
    let fullyConnected = (25_088L + 1L) * 4096L + (4096L + 1L) * 4096L + (4096L + 1L) * 1000L
    Assert.Equal(14_714_688L, total _.ParameterCount workload)
    // Table 2 of the paper prints 138 million.
    Assert.Equal(138_357_544L, total _.ParameterCount workload + fullyConnected)

[<Fact>]
let ``VGG-16 takes 15,346,630,656 multiply-adds`` () =
    // Weights × pixels, by stage:
    //   conv1      38,592 × 224² = 1,936,392,192
    //   conv2     221,184 × 112² = 2,774,532,096
    //   conv3   1,474,560 ×  56² = 4,624,220,160
    //   conv4   5,898,240 ×  28² = 4,624,220,160
    //   conv5   7,077,888 ×  14² = 1,387,266,048
    // With 123,633,664 of the fully connected layers, 15.47·10⁹, as torchvision prints.
    Assert.Equal(15_346_630_656L, multiplyAdds (find "vgg16"))

[<Fact>]
let ``Inception v3 has the published 23,834,568 parameters in 94 convolutions`` () =
    // torchvision prints 27,161,264, which counts the 3,326,696 of the auxiliary classifier.
    let workload = find "inceptionv3"
    let fullyConnected = 2048L * 1000L + 1000L
    Assert.Equal(94L, convolutions workload)
    Assert.Equal(21_751_136L, weights workload)
    Assert.Equal(34_432L, batchNormParameters workload)
    Assert.Equal(23_834_568L, weights workload + batchNormParameters workload + fullyConnected)

[<Fact>]
let ``Inception v3 takes the published 5.713 billion multiply-adds`` () =
    // torchvision's figure counts the fully connected layer too; the paper says "5 billion".
    let fullyConnected = 2048L * 1000L
    Assert.Equal(5713L, (multiplyAdds (find "inceptionv3") + fullyConnected) / 1_000_000L)

[<Fact>]
let ``the grids of Inception v3 are 149, 147, 73, 71, 35, 17 and 8`` () =
    let workload = find "inceptionv3"
    let sizes = workload.Layers |> List.map _.Shape.OutHeight |> List.distinct
    Assert.Equal<int list>([ 149; 147; 73; 71; 35; 17; 8 ], sizes)
    Assert.All(workload.Layers, fun layer -> Assert.Equal(layer.Shape.OutHeight, layer.Shape.OutWidth))

    let kernels = workload.Layers |> List.map (fun l -> l.Shape.KernelHeight, l.Shape.KernelWidth)

    for oblong in [ 1, 7; 7, 1; 1, 3; 3, 1 ] do
        Assert.Contains(oblong, kernels)

[<Fact>]
let ``ResNet-50 has 53 convolutions, 20 of them distinct`` () =
    // The first, 16 bottlenecks of three, and a projected shortcut in each of the four stages.
    Assert.Equal(53L, convolutions (find "resnet50"))
    // Distinct: the first, four in stage 2, where the shortcut is shaped like the expansion, and five in stages 3, 4 and 5.
    Assert.Equal(20, (find "resnet50").Layers.Length)

[<Fact>]
let ``ResNet-50 has the published 25,557,032 parameters`` () =
    let workload = find "resnet50"
    let fullyConnected = 2048L * 1000L + 1000L
    Assert.Equal(23_454_912L, weights workload)
    Assert.Equal(53_120L, batchNormParameters workload)
    Assert.Equal(25_557_032L, weights workload + batchNormParameters workload + fullyConnected)

[<Fact>]
let ``ResNet-50 v1 takes 3,855,925,248 multiply-adds`` () =
    // In v1 all convolutions of a stage have the stage's output size, so the count is weights × pixels, by stage:
    //   conv1              9,408 × 112² =   118,013,952
    //   conv2_x          212,992 ×  56² =   667,942,912
    //   conv3_x        1,212,416 ×  28² =   950,534,144
    //   conv4_x        7,077,888 ×  14² = 1,387,266,048
    //   conv5_x       14,942,208 ×   7² =   732,168,192
    // Table 1 of the paper prints 3.8·10⁹, this figure cut, not rounded, to one decimal (the fully connected layer adds 0.002).
    Assert.Equal(3_855_925_248L, multiplyAdds (find "resnet50"))

[<Fact>]
let ``ResNeXt-50 has the published 25,028,904 parameters in 53 convolutions`` () =
    // Table 1 of the paper prints 25.0·10⁶.
    let workload = find "resnext50"
    let fullyConnected = 2048L * 1000L + 1000L
    Assert.Equal(53L, convolutions workload)
    Assert.Equal(25_028_904L, weights workload + batchNormParameters workload + fullyConnected)

    Assert.Equal(
        16,
        workload.Layers
        |> List.filter (fun l -> l.Shape.Groups = 32)
        |> List.sumBy _.Count
    )

[<Fact>]
let ``ResNeXt-50 takes the published 4.23 billion multiply-adds`` () =
    // torchvision's figure counts the fully connected layer too; table 1 of the paper prints 4.2·10⁹.
    let fullyConnected = 2048L * 1000L
    Assert.Equal(423L, (multiplyAdds (find "resnext50") + fullyConnected) / 10_000_000L)

[<Fact>]
let ``MobileNetV2 has 52 convolutions`` () =
    // The first, the last, two in the first bottleneck, which does not expand, and three in each of the other 16.
    Assert.Equal(52L, convolutions (find "mobilenetv2"))

[<Fact>]
let ``MobileNetV2 has the published 3,504,872 parameters`` () =
    let workload = find "mobilenetv2"
    let fullyConnected = 1280L * 1000L + 1000L
    Assert.Equal(2_189_760L, weights workload)
    Assert.Equal(34_112L, batchNormParameters workload)
    Assert.Equal(3_504_872L, weights workload + batchNormParameters workload + fullyConnected)

[<Fact>]
let ``MobileNetV2 takes the published 300 million multiply-adds`` () =
    // Weights × output pixels, by row of table 2. A row of stride 2 expands once before it halves the image.
    //   conv1                          864 × 112² = 10,838,016
    //   t=1 c=16                       800 × 112² = 10,035,200
    //   t=6 c=24    1,536 × 112² +  11,376 ×  56² = 54,942,720
    //   t=6 c=32    3,456 ×  56² +  33,936 ×  28² = 37,443,840
    //   t=6 c=64    6,144 ×  28² + 171,840 ×  14² = 38,497,536
    //   t=6 c=96                   296,448 ×  14² = 58,103,808
    //   t=6 c=160  55,296 ×  14² + 729,024 ×   7² = 46,560,192
    //   t=6 c=320                  469,440 ×   7² = 23,002,560
    //   last                       409,600 ×   7² = 20,070,400
    // The paper's 300 million counts the fully connected layer too: 1,280,000 more make 300.8 million.
    Assert.Equal(299_494_272L, multiplyAdds (find "mobilenetv2"))

[<Fact>]
let ``the depthwise layers of MobileNetV2 have one channel a group`` () =
    let depthwise = (find "mobilenetv2").Layers |> List.filter (fun layer -> layer.Shape.Groups > 1)
    Assert.Equal(17, depthwise |> List.sumBy _.Count)

    for layer in depthwise do
        Assert.Equal(layer.Shape.InChannels, layer.Shape.Groups)
        Assert.Equal(layer.Shape.OutChannels, layer.Shape.Groups)

[<Fact>]
let ``each shape occurs once in a workload, with batch 1`` () =
    for workload in all do
        let shapes = workload.Layers |> List.map _.Shape
        Assert.Equal(shapes.Length, (List.distinct shapes).Length)
        Assert.Equal(workload.Layers.Length, (workload.Layers |> List.distinctBy _.Name).Length)
        Assert.All(shapes, fun shape -> Assert.Equal(1, shape.Batch))

[<Fact>]
let ``workloads are found by name, and by no other`` () =
    Assert.Equal<string list>([ "vgg16"; "inceptionv3"; "resnet50"; "resnext50"; "mobilenetv2" ], all |> List.map _.Name)

    for workload in all do
        Assert.Same(workload, find workload.Name)

    Assert.True((tryFind "ResNet50").IsNone)
