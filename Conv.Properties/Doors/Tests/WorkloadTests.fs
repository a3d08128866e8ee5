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

/// A batch normalisation follows every convolution of both networks: a scale and a shift for each output channel.
let private batchNormParameters = total (fun shape -> 2L * int64 shape.OutChannels)

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
    Assert.Equal<string list>([ "resnet50"; "mobilenetv2" ], all |> List.map _.Name)

    for workload in all do
        Assert.Same(workload, find workload.Name)

    Assert.True((tryFind "ResNet50").IsNone)
