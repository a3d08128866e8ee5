namespace Conv.Bench;

/// <summary>A convolution with the name that it has in a table.</summary>
/// <param name="Name">Where it comes from.</param>
/// <param name="Shape">Its geometry.</param>
internal sealed record Layer(string Name, ConvShape Shape);

/// <summary>The layers that are measured.</summary>
internal static class Layers
{
    /// <summary>Two layers of ResNet-50's first stage, and one that is all overhead.</summary>
    public static IReadOnlyList<Layer> All { get; } =
    [
        new("3x3-64-64-56", new ConvShape(1, 64, 56, 56, 64, 3, 3, padTop: 1, padLeft: 1, padBottom: 1, padRight: 1)),
        new("1x1-256-64-56", new ConvShape(1, 256, 56, 56, 64, 1, 1)),
        new("2x2-2-3-3", new ConvShape(1, 2, 3, 3, 3, 2, 2)),
    ];
}
