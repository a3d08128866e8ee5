namespace Conv.Bench;

/// <summary>A convolution with the names that it has in a table.</summary>
/// <param name="Id">A letter, or a word.</param>
/// <param name="Name">What it looks like: kernel, channels in and out, image.</param>
/// <param name="Shape">Its geometry, one image.</param>
internal sealed record Layer(string Id, string Name, ConvShape Shape);

/// <summary>The layers that are measured.</summary>
internal static class Layers
{
    /// <summary>What people run: ResNet's 3×3, 1×1, first and strided layers, a large 5×5, MobileNet's depthwise; and m, which is all overhead.</summary>
    public static IReadOnlyList<Layer> All { get; } =
    [
        Square("a", 64, 64, 56, 3, pad: 1),
        Square("b", 128, 128, 28, 3, pad: 1),
        Square("c", 256, 256, 14, 3, pad: 1),
        Square("d", 512, 512, 7, 3, pad: 1),
        Square("e", 256, 64, 56, 1),
        Square("f", 64, 256, 56, 1),
        Square("g", 1024, 256, 14, 1),
        Square("h", 512, 2048, 7, 1),
        Square("i", 3, 64, 224, 7, pad: 3, stride: 2),
        Square("j", 128, 128, 256, 5, pad: 2),
        Square("k", 144, 144, 56, 3, pad: 1, groups: 144),
        Square("l", 128, 256, 56, 3, pad: 1, stride: 2),
        Square("m", 2, 3, 3, 2),
    ];

    /// <summary>The product of two 2048×2048 matrices, as the 1×1 convolution that it is.</summary>
    public static Layer Product { get; } = new("sgemm", "2048×2048×2048", new ConvShape(1, 2048, 32, 64, 2048, 1, 1));

    /// <summary>A 3×3, a 1×1 and the one that is all overhead: few enough for every implementation, however slow.</summary>
    public static IReadOnlyList<Layer> Few { get; } = [.. All.Where(layer => layer.Id is "a" or "e" or "m")];

    private static Layer Square(string id, int inputs, int outputs, int side, int taps, int pad = 0, int stride = 1, int groups = 1) => new(
        id,
        $"{taps}x{taps}-{inputs}-{outputs}-{side}{(stride > 1 ? $"-s{stride}" : "")}{(groups > 1 ? $"-g{groups}" : "")}",
        new ConvShape(1, inputs, side, side, outputs, taps, taps, stride, stride, pad, pad, pad, pad, groups: groups));
}
