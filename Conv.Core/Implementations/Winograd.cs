namespace Conv;

/// <summary>
/// Winograd's minimal filtering F(m×m, r×r): <c>Y = Aᵀ·[Σ_c (G·g_c·Gᵀ) ⊙ (Bᵀ·d_c·B)]·A + b</c> for each tile of m×m outputs, from
/// the (m+r−1)×(m+r−1) inputs that it sees; tiles start at output (0, 0), and what sticks out at the far edges is cropped.
/// </summary>
/// <remarks>
/// <para>The sums over channels are one matrix product for each of the (m+r−1)² transformed positions.</para>
/// <para>|Ŷ − Y| ≤ γ_K × (the same program on absolute values): docs/bounds.md, lemma 4. On integer points the kernel's transform is not
/// fused, so that F(4×4, 3×3) is exact on kernels of multiples of 9; elsewhere it is carried out in float64 and rounded once.</para>
/// <para>Source: Lavin &amp; Gray, <i>Fast Algorithms for Convolutional Neural Networks</i>, arXiv 1509.09308; for points of small error,
/// Barabasz, Anderson, Soodhalter &amp; Gregg, arXiv 1803.10986.</para>
/// </remarks>
public sealed class Winograd : IVectorised
{
    private readonly Simd _simd;
    private readonly Rational[] _pairs;
    private readonly Bilinear _arithmetic;
    private readonly WinogradTile _tile;
    private readonly SparseTransform<float>? _plainTransform;
    private readonly SparseTransform<double>? _wideTransform;

    /// <summary>F(m×m, 3×3) on the points 0, 1, −1, ∞ for m = 2, on 0, ±1, ±2, ∞ for m = 4, both with an exact tier, or on
    /// 0, ±1/2, ±1, ±2, ∞ for m = 6.</summary>
    /// <param name="tile">m, rows and columns of a tile of outputs: 2, 4 or 6.</param>
    /// <exception cref="ArgumentOutOfRangeException">The tile is another.</exception>
    public Winograd(int tile)
        : this(Simd.Best, $"winograd-f{tile}x3", tile, 3, tile switch
        {
            2 => [1],
            4 => [1, 2],
            6 => EightPoints,
            _ => throw new ArgumentOutOfRangeException(nameof(tile), tile, $"tile is {tile}, it must be 2, 4 or 6."),
        })
    {
    }

    internal Winograd(Simd simd, string name, int outputs, int taps, Rational[] pairs)
    {
        _simd = simd;
        _pairs = pairs;
        Name = name;
        Rational[] points = [Rational.Zero, .. pairs.SelectMany(pair => new[] { pair, Rational.Zero - pair })];
        bool integers = pairs.All(pair => pair.Denominator == 1);
        _arithmetic = WinogradTransform.FromPoints(outputs, taps, points) with { RoundsKernelProducts = integers, SkipsZeroEntries = true };
        if (integers)
        {
            _plainTransform = new SparseTransform<float>(_arithmetic.KernelTransform);
        }
        else
        {
            _wideTransform = new SparseTransform<double>(_arithmetic.KernelTransform);
        }

        Amplification = AmplificationOf(_arithmetic, taps);
        float[] constants = WinogradPasses.Constants([.. pairs.Select(pair => (double)pair.Numerator / (double)pair.Denominator)]);
        AlignedFloats aligned = new(constants.Length);
        constants.CopyTo(aligned.Span);
        _tile = new WinogradTile(outputs, taps, pairs.Length, aligned);
        Traits = new Traits
        {
            Deterministic = true,
            SameAtAnyAddress = true,
            FusedMultiplyAdd = MultiplyAdd.IsFused,
            Threaded = true,
            KernelSizes = [(taps, taps)],
            Strides = [(1, 1)],
            Dilations = [(1, 1)],
        };
    }

    /// <summary>F(4×4, 3×3) on 0, ±5/8, ±3/2, ∞: a quarter of the error of the integer points, at the same speed; no exact tier.</summary>
    public static Winograd AccurateF4x3 { get; } = new(Simd.Best, "winograd-f4x3-accurate", 4, 3, AccuratePairs);

    /// <summary>F(4×4, 5×5) on 0, ±1/2, ±1, ±2, ∞.</summary>
    public static Winograd F4x5 { get; } = new(Simd.Best, "winograd-f4x5", 4, 5, EightPoints);

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public Traits Traits { get; }

    /// <summary>The pairs of points of the accurate F(4, 3).</summary>
    internal static Rational[] AccuratePairs => [new(5, 8), new(3, 2)];

    /// <summary>The pairs of points of F(6, 3) and F(4, 5): among all triples of eighths up to 5/2, those with the least error on random
    /// numbers.</summary>
    internal static Rational[] EightPoints => [new(1, 2), 1, 2];

    /// <summary>The largest row sum of the absolute program in two dimensions, <c>(Σ_t |Aᵀ|·(|G|·1)·(|Bᵀ|·1))²</c>, over the r² of the
    /// definition.</summary>
    public double Amplification { get; }

    /// <inheritdoc/>
    IConvolution IVectorised.On(Simd simd) => new Winograd(simd, Name, _tile.Outputs, _tile.Taps, _pairs);

    /// <inheritdoc/>
    public bool Supports(ConvShape shape) =>
        shape.Axes.All(axis => axis is { Stride: 1, Dilation: 1 } && axis.Taps == _tile.Taps) && Fits(shape);

    /// <inheritdoc/>
    public Arithmetic ArithmeticOf(ConvShape shape) => _arithmetic;

    /// <inheritdoc/>
    public long? WorkspaceLimit(ConvShape shape)
    {
        (double shared, double own) = WinogradBlocks.FloatsLimit(shape, _tile.Outputs, _tile.Taps);
        return PartedConvolution.Limit(shape, shared, own);
    }

    /// <inheritdoc/>
    public IPreparedConvolution Prepare(ConvShape shape, ReadOnlySpan<float> kernel, ReadOnlySpan<float> bias)
    {
        Guard.Supported(this, shape);
        Guard.Weights(shape, kernel.Length, bias.Length);
        WinogradBlocks blocks = new(_simd, shape, _tile.Outputs, _tile.Taps);
        return new WinogradProduct(_simd, shape, _tile, blocks, TransformKernel(shape, kernel, blocks), bias);
    }

    /// <summary>Multiply-adds, whole tiles and panels, and what transforms and weights cost in multiply-adds.</summary>
    internal double Cost(ConvShape shape, double transform, double weight)
    {
        double tiles = (double)shape.Batch * Cut.Count(shape.Rows.Outputs, _tile.Outputs) * Cut.Count(shape.Columns.Outputs, _tile.Outputs);
        double positions = _tile.Size * _tile.Size, c = shape.InChannels, o = shape.OutChannels;
        double products = o * c / shape.Groups;
        return positions * ((tiles * products) + (tiles * (c + o) * transform) + (products * weight));
    }

    /// <summary>Numbers of the transformed kernels.</summary>
    internal double KernelFloats(ConvShape shape) => (double)shape.KernelLength * _tile.Size * _tile.Size / (_tile.Taps * _tile.Taps);

    private static double AmplificationOf(Bilinear arithmetic, int taps)
    {
        double[] inputs = [.. RowSums(arithmetic.InputTransform)], kernels = [.. RowSums(arithmetic.KernelTransform)];
        RationalMatrix a = arithmetic.OutputTransform;
        double largest = Enumerable.Range(0, a.Rows).Max(row =>
            Enumerable.Range(0, a.Columns).Sum(column => Magnitude(a[row, column]) * inputs[column] * kernels[column]));
        return largest * largest / (taps * taps);
    }

    private static IEnumerable<double> RowSums(RationalMatrix matrix) =>
        Enumerable.Range(0, matrix.Rows).Select(row => Enumerable.Range(0, matrix.Columns).Sum(column => Magnitude(matrix[row, column])));

    private static double Magnitude(Rational value) => Math.Abs((double)value.Numerator / (double)value.Denominator);

    // The transformed kernels in one array, and one strip of tiles of all channels, transformed and summed, in a workspace.
    private bool Fits(ConvShape shape)
    {
        long positions = _tile.Size * _tile.Size, most = Array.MaxLength / sizeof(float);
        long panels = ((shape.OutChannelsPerGroup - 1L) / _simd.Panel) + 1;
        return (long)shape.InChannelsPerGroup + shape.OutChannelsPerGroup <= most / positions / 64
            && shape.Groups * panels * positions <= most / _simd.Panel / Math.Max(1, shape.InChannelsPerGroup);
    }

    private AlignedFloats TransformKernel(ConvShape shape, ReadOnlySpan<float> kernel, WinogradBlocks blocks)
    {
        int positions = blocks.Positions, panel = _simd.Panel, taps = _tile.Taps * _tile.Taps;
        int inChannels = shape.InChannelsPerGroup;
        AlignedFloats factors = new((long)shape.Groups * blocks.Panels * positions * inChannels * panel);
        Span<float> to = factors.Span;
        Span<float> transformed = stackalloc float[positions];
        for (int o = 0; o < shape.OutChannels; o++)
        {
            (int group, int inGroup) = Math.DivRem(o, shape.OutChannelsPerGroup);
            (int number, int lane) = Math.DivRem(inGroup, panel);
            for (int c = 0; c < inChannels; c++)
            {
                ReadOnlySpan<float> taken = kernel.Slice(((o * inChannels) + c) * taps, taps);
                _plainTransform?.Sandwich(taken, transformed);
                _wideTransform?.Sandwich(taken, transformed);
                for (int position = 0; position < positions; position++)
                {
                    to[(((((((group * positions) + position) * blocks.Panels) + number) * inChannels) + c) * panel) + lane] = transformed[position];
                }
            }
        }

        return factors;
    }
}
