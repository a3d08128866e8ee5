using System.Numerics;
using System.Runtime.InteropServices;

namespace Conv;

/// <summary>
/// The definition, tap by tap along whole rows of outputs, blocks of outputs spread over all cores:
/// <c>y[n,o,i,·] = b[o] + Σ x[n, g(o)·C/G + c, i·s_h + u·d_h − p_t, ·s_w + v·d_w − p_l] · k[o,c,u,v]</c>, the taps that meet the image
/// in the order of c, u, v.
/// </summary>
/// <remarks>A block is one image, a few output channels of one group and a few rows. Each output belongs to one block and is summed
/// in a fixed order, so neither the schedule nor the number of threads can change a bit: what is prepared is an
/// <see cref="IThreadedConvolution"/>.</remarks>
public sealed class ParallelTiled : IConvolution
{
    private const int ChannelsPerBlock = 8;
    private const int RowsPerBlock = 8;

    // Waking the other cores costs about as much as this many multiply-adds.
    private const int SequentialBelow = 100_000;

    // What ParallelOptions calls no limit.
    private const int AsManyAsThereAre = -1;

    /// <inheritdoc/>
    public string Name => "parallel-tiled";

    /// <inheritdoc/>
    public Traits Traits { get; } = new() { Deterministic = true, FusedMultiplyAdd = MultiplyAdd.IsFused, Threaded = true };

    /// <inheritdoc/>
    public bool Supports(ConvShape shape) => true;

    /// <inheritdoc/>
    public Arithmetic ArithmeticOf(ConvShape shape) => new AnyOrder();

    /// <inheritdoc/>
    public IPreparedConvolution Prepare(ConvShape shape, ReadOnlySpan<float> kernel, ReadOnlySpan<float> bias)
    {
        Guard.Weights(shape, kernel.Length, bias.Length);
        return new Weights(shape, kernel.ToArray(), bias.ToArray());
    }

    // row[j] += weight·source[j·stride].
    private static void AddScaled(float weight, ReadOnlySpan<float> source, int stride, Span<float> row)
    {
        int j = 0;
        if (stride == 1)
        {
            Vector<float> weights = new(weight);
            ReadOnlySpan<Vector<float>> sources = MemoryMarshal.Cast<float, Vector<float>>(source[..row.Length]);
            Span<Vector<float>> sums = MemoryMarshal.Cast<float, Vector<float>>(row);
            for (int index = 0; index < sums.Length; index++)
            {
                sums[index] = MultiplyAdd.Of(sums[index], weights, sources[index]);
            }

            j = sums.Length * Vector<float>.Count;
        }

        for (; j < row.Length; j++)
        {
            row[j] = MultiplyAdd.Of(row[j], weight, source[j * stride]);
        }
    }

    private sealed class Weights : Prepared, IThreadedConvolution
    {
        private readonly float[] _kernel;
        private readonly float[] _bias;

        // For each v, the outputs of a row whose tap meets the image.
        private readonly (int First, int End)[] _columns;

        public Weights(ConvShape shape, float[] kernel, float[] bias)
            : base(shape, workspaceFloats: 0)
        {
            _kernel = kernel;
            _bias = bias;
            _columns = new (int, int)[shape.KernelWidth];
            for (int v = 0; v < _columns.Length; v++)
            {
                _columns[v] = ConvShape.OutputsMeeting(ColumnOffset(v), shape.OutWidth, shape.StrideWidth, shape.InWidth);
            }
        }

        public void Run(ReadOnlySpan<float> input, Span<float> output, Span<byte> workspace, int threads)
        {
            ArgumentOutOfRangeException.ThrowIfNegativeOrZero(threads);
            Guard.Images(Shape, input.Length, output.Length);
            if (!output.IsEmpty)
            {
                ComputeOn(threads, input, output);
            }
        }

        protected override void Compute(ReadOnlySpan<float> input, Span<float> output, Span<float> workspace) =>
            ComputeOn(AsManyAsThereAre, input, output);

        private unsafe void ComputeOn(int threads, ReadOnlySpan<float> input, Span<float> output)
        {
            int channelBlocks = ((Shape.OutChannelsPerGroup - 1) / ChannelsPerBlock) + 1;
            int rowBlocks = ((Shape.OutHeight - 1) / RowsPerBlock) + 1;
            int blocks = Shape.Batch * Shape.Groups * channelBlocks * rowBlocks;
            if (threads == 1 || Shape.MultiplyAdds < SequentialBelow)
            {
                for (int block = 0; block < blocks; block++)
                {
                    ComputeBlock(block, channelBlocks, rowBlocks, input, output);
                }

                return;
            }

            int inputLength = input.Length;
            int outputLength = output.Length;
            fixed (float* pinnedInput = input, pinnedOutput = output)
            {
                // A lambda holds neither spans nor fixed pointers; plain pointers are good until Parallel.For returns.
                float* x = pinnedInput;
                float* y = pinnedOutput;
                _ = Parallel.For(0, blocks, new ParallelOptions { MaxDegreeOfParallelism = threads }, block =>
                    ComputeBlock(block, channelBlocks, rowBlocks, new ReadOnlySpan<float>(x, inputLength), new Span<float>(y, outputLength)));
            }
        }

        private void ComputeBlock(int block, int channelBlocks, int rowBlocks, ReadOnlySpan<float> input, Span<float> output)
        {
            (block, int rowBlock) = Math.DivRem(block, rowBlocks);
            (block, int channelBlock) = Math.DivRem(block, channelBlocks);
            (int n, int g) = Math.DivRem(block, Shape.Groups);
            int firstRow = rowBlock * RowsPerBlock;
            int rows = Math.Min(RowsPerBlock, Shape.OutHeight - firstRow);
            int firstChannel = (g * Shape.OutChannelsPerGroup) + (channelBlock * ChannelsPerBlock);
            int channels = Math.Min(ChannelsPerBlock, ((g + 1) * Shape.OutChannelsPerGroup) - firstChannel);
            for (int i = firstRow; i < firstRow + rows; i++)
            {
                ComputeRows(n, g, firstChannel, channels, i, input, output);
            }
        }

        // Row i of some output channels of one group: they share what is read of the input.
        private void ComputeRows(int n, int g, int firstChannel, int channels, int i, ReadOnlySpan<float> input, Span<float> output)
        {
            for (int o = firstChannel; o < firstChannel + channels; o++)
            {
                OutputRow(n, o, i, output).Fill(_bias.Length == 0 ? 0 : _bias[o]);
            }

            for (int c = 0; c < Shape.InChannelsPerGroup; c++)
            {
                int channel = (n * Shape.InChannels) + (g * Shape.InChannelsPerGroup) + c;
                for (int u = 0; u < Shape.KernelHeight; u++)
                {
                    int h = (i * Shape.StrideHeight) + (u * Shape.DilationHeight) - Shape.PadTop;
                    if (h < 0 || h >= Shape.InHeight)
                    {
                        continue;
                    }

                    ReadOnlySpan<float> inputRow = input.Slice(((channel * Shape.InHeight) + h) * Shape.InWidth, Shape.InWidth);
                    for (int o = firstChannel; o < firstChannel + channels; o++)
                    {
                        int taps = ((((o * Shape.InChannelsPerGroup) + c) * Shape.KernelHeight) + u) * Shape.KernelWidth;
                        AddTaps(_kernel.AsSpan(taps, Shape.KernelWidth), inputRow, OutputRow(n, o, i, output));
                    }
                }
            }
        }

        private void AddTaps(ReadOnlySpan<float> taps, ReadOnlySpan<float> inputRow, Span<float> outputRow)
        {
            for (int v = 0; v < taps.Length; v++)
            {
                (int first, int end) = _columns[v];
                if (first < end)
                {
                    ReadOnlySpan<float> source = inputRow[((first * Shape.StrideWidth) + ColumnOffset(v))..];
                    AddScaled(taps[v], source, Shape.StrideWidth, outputRow[first..end]);
                }
            }
        }

        private int ColumnOffset(int v) => (v * Shape.DilationWidth) - Shape.PadLeft;

        private Span<float> OutputRow(int n, int o, int i, Span<float> output) =>
            output.Slice(((((n * Shape.OutChannels) + o) * Shape.OutHeight) + i) * Shape.OutWidth, Shape.OutWidth);
    }
}
