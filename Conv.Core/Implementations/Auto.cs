namespace Conv;

/// <summary>The implementation of this assembly that should be the fastest for a shape, among those whose error bound the caller accepts.</summary>
/// <remarks>
/// <para>The choice is a function of the shape, the limit and the size of the last cache: by the multiply-adds that each algorithm carries out, padded tiles
/// included, by what its transforms cost beside them, and by the weights that it reads.</para>
/// <para>The limit is on the amplification: the largest row sum of an algorithm's absolute program, over that of the definition. By it the
/// bound of docs/bounds.md, lemma 4, grows against that of lemma 2.</para>
/// </remarks>
public sealed class Auto : IConvolution
{
    // In multiply-adds: a transformed number's share of its transform; a weight's way from the last cache, or from memory. Measured, no law of
    // nature.
    private const double TransformCost = 14;
    private const double WeightFromCache = 4;
    private const double WeightFromMemory = 12;

    private readonly double _limit;
    private readonly Pointwise _pointwise = new();
    private readonly Depthwise _depthwise = new();
    private readonly ParallelTiled _direct = new();
    private readonly Im2col _patches = new();
    private readonly Winograd[] _bilinear = [Winograd.AccurateF4x3, new(tile: 2), new(tile: 6), Winograd.F4x5];

    /// <summary><c>auto</c>: <see cref="WithinFourOutputs"/>.</summary>
    public Auto()
        : this(WithinFourOutputs, "auto")
    {
    }

    /// <summary>Any algorithm that amplifies errors no more than so many times.</summary>
    /// <param name="limit"><see cref="Direct"/>, <see cref="WithinFourOutputs"/>, or any other number from 1 on.</param>
    /// <param name="name">The name.</param>
    /// <exception cref="ArgumentOutOfRangeException">The limit is below 1 or no number.</exception>
    public Auto(double limit, string name)
    {
        if (!(limit >= Direct))
        {
            throw new ArgumentOutOfRangeException(nameof(limit), limit, $"limit is {limit}, it must be at least 1.");
        }

        _limit = limit;
        Name = name;
    }

    /// <summary>No worse than the definition: <see cref="AnyOrder"/> always.</summary>
    public static double Direct => 1;

    /// <summary>No worse than four outputs by Winograd: 256 for F(4, 3) on 0, ±1, ±2, ∞ (63 on the accurate points), 301.2 for F(4, 5).</summary>
    public static double WithinFourOutputs => 302;

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public Traits Traits { get; } = new() { Deterministic = true, SameAtAnyAddress = true, FusedMultiplyAdd = MultiplyAdd.IsFused, Threaded = true };

    /// <inheritdoc/>
    public bool Supports(ConvShape shape) => _direct.Supports(shape);

    /// <inheritdoc/>
    public Arithmetic ArithmeticOf(ConvShape shape) => Choose(shape).ArithmeticOf(shape);

    /// <summary>That of the implementation that may take most: which one is chosen depends on the processor.</summary>
    /// <inheritdoc/>
    public long? WorkspaceLimit(ConvShape shape) =>
        new IConvolution[] { _pointwise, _depthwise, _direct, _patches }
            .Concat(_bilinear.Where(candidate => candidate.Amplification <= _limit))
            .Where(candidate => candidate.Supports(shape))
            .Max(candidate => candidate.WorkspaceLimit(shape));

    /// <inheritdoc/>
    public IPreparedConvolution Prepare(ConvShape shape, ReadOnlySpan<float> kernel, ReadOnlySpan<float> bias)
    {
        Guard.Supported(this, shape);
        return Choose(shape).Prepare(shape, kernel, bias);
    }

    /// <summary>Which implementation a shape is given to.</summary>
    public IConvolution Choose(ConvShape shape)
    {
        if (shape.OutChannelsPerGroup <= 2 && _depthwise.Supports(shape))
        {
            return _depthwise;
        }

        IConvolution direct = _pointwise.Supports(shape) ? _pointwise : PrefersPatches(shape) && _patches.Supports(shape) ? _patches : _direct;
        double least = shape.MultiplyAdds + (shape.KernelLength * WeightCost(shape.KernelLength));
        foreach (Winograd candidate in _bilinear)
        {
            if (candidate.Amplification <= _limit && candidate.Supports(shape))
            {
                double cost = candidate.Cost(shape, TransformCost, WeightCost(candidate.KernelFloats(shape)));
                if (cost < least)
                {
                    least = cost;
                    direct = candidate;
                }
            }
        }

        return direct;
    }

    private static double WeightCost(double weights) => Machine.Keeps(weights) ? WeightFromCache : WeightFromMemory;

    // Rows of outputs that do not fill the register tiles: patches run on from one row to the next.
    private static bool PrefersPatches(ConvShape shape) => shape.Columns.Outputs < Simd.Best.TileRows / 2 && shape.OutChannelsPerGroup >= 64;
}
