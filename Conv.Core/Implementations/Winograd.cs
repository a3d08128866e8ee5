namespace Conv;

/// <summary>
/// Winograd's minimal filtering F(m×m, 3×3): <c>Y = Aᵀ·[Σ_c (G·g_c·Gᵀ) ⊙ (Bᵀ·d_c·B)]·A + b</c> for each tile of m×m outputs, from
/// the (m+2)×(m+2) inputs that it sees; tiles start at output (0, 0), and what sticks out at the far edges is cropped.
/// </summary>
/// <remarks>
/// <para>The sums over channels are one matrix product for each of the (m+2)² transformed positions.</para>
/// <para>|Ŷ − Y| ≤ γ_K × (the same program on absolute values): docs/bounds.md, lemma 4. The kernel's transform is not fused, so that
/// F(4×4, 3×3) is exact on kernels of multiples of 9.</para>
/// <para>Source: Lavin &amp; Gray, <i>Fast Algorithms for Convolutional Neural Networks</i>, arXiv 1509.09308.</para>
/// </remarks>
public sealed class Winograd : IConvolution
{
    private const int Taps = 3;
    private const int WorkspaceFloats = 1 << 21;

    private readonly Bilinear _arithmetic;
    private readonly SparseTransform _outputTransform;
    private readonly SparseTransform _inputTransform;
    private readonly SparseTransform _kernelTransform;

    /// <summary>F(2×2, 3×3) on the points 0, 1, −1, ∞, or F(4×4, 3×3) on 0, ±1, ±2, ∞.</summary>
    /// <param name="tile">m, rows and columns of a tile of outputs: 2 or 4.</param>
    /// <exception cref="ArgumentOutOfRangeException">The tile is another.</exception>
    public Winograd(int tile)
    {
        if (tile is not (2 or 4))
        {
            throw new ArgumentOutOfRangeException(nameof(tile), tile, $"tile is {tile}, it must be 2 or 4.");
        }

        Rational[] points = [0, 1, -1, 2, -2];
        _arithmetic = WinogradTransform.FromPoints(tile, Taps, points[..(tile + 1)]) with { RoundsKernelProducts = true };
        _outputTransform = new SparseTransform(_arithmetic.OutputTransform);
        _inputTransform = new SparseTransform(_arithmetic.InputTransform);
        _kernelTransform = new SparseTransform(_arithmetic.KernelTransform);
        Name = $"winograd-f{tile}x{Taps}";
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public Traits Traits { get; } = new()
    {
        Deterministic = true,
        FusedMultiplyAdd = MultiplyAdd.IsFused,
        KernelSizes = [(Taps, Taps)],
        Strides = [(1, 1)],
        Dilations = [(1, 1)],
    };

    // Outputs of a tile, and inputs that it sees, in one dimension.
    private int TileOutputs => _outputTransform.Rows;

    private int TileInputs => _inputTransform.Rows;

    /// <inheritdoc/>
    public bool Supports(ConvShape shape) =>
        shape is { KernelHeight: Taps, KernelWidth: Taps, StrideHeight: 1, StrideWidth: 1, DilationHeight: 1, DilationWidth: 1 }
        && FloatsPerTile(shape) <= Array.MaxLength / sizeof(float)
        && shape.KernelLength / (Taps * Taps) <= Array.MaxLength / (TileInputs * TileInputs);

    /// <inheritdoc/>
    public Arithmetic ArithmeticOf(ConvShape shape) => _arithmetic;

    /// <inheritdoc/>
    public IPreparedConvolution Prepare(ConvShape shape, ReadOnlySpan<float> kernel, ReadOnlySpan<float> bias)
    {
        Guard.Supported(this, shape);
        Guard.Weights(shape, kernel.Length, bias.Length);
        return new Weights(this, shape, TransformKernel(shape, kernel), bias.ToArray());
    }

    // G×(m+2)²×(O/G)×(C/G): for each group and transformed position, the left factor of its matrix product.
    private float[] TransformKernel(ConvShape shape, ReadOnlySpan<float> kernel)
    {
        int positions = TileInputs * TileInputs;
        int inChannels = shape.InChannelsPerGroup;
        int outChannels = shape.OutChannelsPerGroup;
        float[] factors = new float[positions * (kernel.Length / (Taps * Taps))];
        Span<float> transformed = stackalloc float[positions];
        for (int o = 0; o < shape.OutChannels; o++)
        {
            int group = o / outChannels;
            for (int c = 0; c < inChannels; c++)
            {
                _kernelTransform.Sandwich(kernel.Slice(((o * inChannels) + c) * Taps * Taps, Taps * Taps), transformed);
                for (int position = 0; position < positions; position++)
                {
                    int row = (((group * positions) + position) * outChannels) + (o % outChannels);
                    factors[(row * inChannels) + c] = transformed[position];
                }
            }
        }

        return factors;
    }

    private long FloatsPerTile(ConvShape shape) =>
        (long)TileInputs * TileInputs * ((long)shape.InChannelsPerGroup + shape.OutChannelsPerGroup);

    // As many tiles as keep the workspace at 8 MiB, at least one, at most all; none when there is nothing to compute.
    private long TilesPerBlock(ConvShape shape) => shape.OutputLength == 0
        ? 0
        : Math.Clamp(WorkspaceFloats / FloatsPerTile(shape), 1, (long)TilesAlong(shape.OutHeight) * TilesAlong(shape.OutWidth));

    private int TilesAlong(int outputs) => ((outputs - 1) / TileOutputs) + 1;

    private sealed class Weights(Winograd algorithm, ConvShape shape, float[] factors, float[] bias)
        : Prepared(shape, algorithm.FloatsPerTile(shape) * algorithm.TilesPerBlock(shape))
    {
        private readonly int _tilesAcross = algorithm.TilesAlong(shape.OutWidth);

        protected override void Compute(ReadOnlySpan<float> input, Span<float> output, Span<float> workspace)
        {
            int positions = algorithm.TileInputs * algorithm.TileInputs;
            int inChannels = Shape.InChannelsPerGroup;
            int outChannels = Shape.OutChannelsPerGroup;
            int inPlane = Shape.InHeight * Shape.InWidth;
            int outPlane = Shape.OutHeight * Shape.OutWidth;
            int tiles = algorithm.TilesAlong(Shape.OutHeight) * _tilesAcross;
            int tilesPerBlock = (int)algorithm.TilesPerBlock(Shape);

            for (int n = 0; n < Shape.Batch; n++)
            {
                for (int g = 0; g < Shape.Groups; g++)
                {
                    ReadOnlySpan<float> channels = input.Slice(((n * Shape.InChannels) + (g * inChannels)) * inPlane, inChannels * inPlane);
                    Span<float> result = output.Slice(((n * Shape.OutChannels) + (g * outChannels)) * outPlane, outChannels * outPlane);
                    for (int first = 0; first < tiles; first += tilesPerBlock)
                    {
                        int count = Math.Min(tilesPerBlock, tiles - first);
                        Span<float> inputs = workspace[..(positions * inChannels * count)];
                        Span<float> products = workspace.Slice(inputs.Length, positions * outChannels * count);
                        TransformInput(channels, first, count, inputs);
                        for (int position = 0; position < positions; position++)
                        {
                            Gemm.Multiply(
                                outChannels, count, inChannels,
                                factors.AsSpan(((g * positions) + position) * outChannels * inChannels, outChannels * inChannels), inChannels,
                                inputs.Slice(position * inChannels * count, inChannels * count), count,
                                [],
                                products.Slice(position * outChannels * count, outChannels * count), count);
                        }

                        TransformProducts(products, first, count, bias.Length == 0 ? [] : bias.AsSpan(g * outChannels, outChannels), result);
                    }
                }
            }
        }

        // inputs: (m+2)²×(C/G)×count, the transformed tiles of each channel.
        private void TransformInput(ReadOnlySpan<float> channels, int first, int count, Span<float> inputs)
        {
            int size = algorithm.TileInputs;
            Span<float> window = stackalloc float[size * size];
            Span<float> transformed = stackalloc float[size * size];
            for (int c = 0; c < Shape.InChannelsPerGroup; c++)
            {
                ReadOnlySpan<float> image = channels.Slice(c * Shape.InHeight * Shape.InWidth, Shape.InHeight * Shape.InWidth);
                for (int tile = 0; tile < count; tile++)
                {
                    (int row, int column) = FirstOutput(first + tile);
                    ReadWindow(image, row - Shape.PadTop, column - Shape.PadLeft, window);
                    algorithm._inputTransform.Sandwich(window, transformed);
                    for (int position = 0; position < transformed.Length; position++)
                    {
                        inputs[(((position * Shape.InChannelsPerGroup) + c) * count) + tile] = transformed[position];
                    }
                }
            }
        }

        private void ReadWindow(ReadOnlySpan<float> image, int top, int left, Span<float> window)
        {
            int size = algorithm.TileInputs;
            int from = Math.Clamp(-left, 0, size);
            int to = Math.Clamp(Shape.InWidth - left, from, size);
            window.Clear();
            for (int row = 0; row < size; row++)
            {
                int h = top + row;
                if (h >= 0 && h < Shape.InHeight && from < to)
                {
                    image.Slice((h * Shape.InWidth) + left + from, to - from).CopyTo(window[((row * size) + from)..]);
                }
            }
        }

        // products: (m+2)²×(O/G)×count, the channel sums of each tile.
        private void TransformProducts(ReadOnlySpan<float> products, int first, int count, ReadOnlySpan<float> groupBias, Span<float> result)
        {
            int size = algorithm.TileOutputs;
            int outPlane = Shape.OutHeight * Shape.OutWidth;
            Span<float> sums = stackalloc float[algorithm.TileInputs * algorithm.TileInputs];
            Span<float> outputs = stackalloc float[size * size];
            for (int o = 0; o < Shape.OutChannelsPerGroup; o++)
            {
                float offset = groupBias.IsEmpty ? 0 : groupBias[o];
                Span<float> image = result.Slice(o * outPlane, outPlane);
                for (int tile = 0; tile < count; tile++)
                {
                    for (int position = 0; position < sums.Length; position++)
                    {
                        sums[position] = products[(((position * Shape.OutChannelsPerGroup) + o) * count) + tile];
                    }

                    algorithm._outputTransform.Sandwich(sums, outputs);
                    (int row, int column) = FirstOutput(first + tile);
                    int rows = Math.Min(size, Shape.OutHeight - row);
                    int columns = Math.Min(size, Shape.OutWidth - column);
                    for (int i = 0; i < rows; i++)
                    {
                        for (int j = 0; j < columns; j++)
                        {
                            image[((row + i) * Shape.OutWidth) + column + j] = outputs[(i * size) + j] + offset;
                        }
                    }
                }
            }
        }

        private (int Row, int Column) FirstOutput(int tile) =>
            (tile / _tilesAcross * algorithm.TileOutputs, tile % _tilesAcross * algorithm.TileOutputs);
    }
}
