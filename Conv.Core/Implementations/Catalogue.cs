namespace Conv;

/// <summary>The registry: every implementation of this assembly. Adding one takes one file and one line here.</summary>
public static class Catalogue
{
    /// <summary>One instance of each, the plainest first. Names differ.</summary>
    public static IReadOnlyList<IConvolution> All { get; } =
    [
        new Loop(),
        new Im2col(),
        new Winograd(tile: 2),
        new Winograd(tile: 4),
        Winograd.AccurateF4x3,
        new Winograd(tile: 6),
        Winograd.F4x5,
        new Pointwise(),
        new ParallelTiled(),
        new Depthwise(),
        new Auto(),
        new Float64(),
        Narrow.BFloat16,
        Narrow.Float16,
        Narrow.Float16Accumulate,
        Narrow.TensorFloat32,
        new Int8(),
    ];
}
