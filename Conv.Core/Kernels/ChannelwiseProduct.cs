namespace Conv;

/// <summary>
/// <c>y[n,o,i,j] = b[o] + Σ_{u,v} x[n, g(o), i·s_h + u·d_h − p_t, j·s_w + v·d_w − p_l]·k[o,u,v]</c>, one input channel for each group:
/// output positions in the lanes.
/// </summary>
/// <remarks>A part is one output channel of one image. Its input is copied a band of rows at a time, with the padding, columns parted by
/// their remainder mod s_w, so that neighbours in a row of outputs read neighbours.</remarks>
internal sealed unsafe class ChannelwiseProduct : PartedConvolution
{
    private readonly Simd _simd;
    private readonly float[] _kernel;
    private readonly float[] _bias;
    private readonly int[] _offsets;
    private readonly Band _band;

    /// <summary>Copies the weights.</summary>
    public ChannelwiseProduct(Simd simd, ConvShape shape, ReadOnlySpan<float> kernel, ReadOnlySpan<float> bias)
        : this(simd, shape, new Band(simd, shape), kernel, bias)
    {
    }

    private ChannelwiseProduct(Simd simd, ConvShape shape, Band band, ReadOnlySpan<float> kernel, ReadOnlySpan<float> bias)
        : base(shape, 0, band.Floats)
    {
        _simd = simd;
        _band = band;
        _kernel = kernel.ToArray();
        _bias = bias.IsEmpty ? new float[shape.OutChannels] : bias.ToArray();
        _offsets = new int[shape.TermsPerOutput];
        for (int tap = 0; tap < _offsets.Length; tap++)
        {
            (int u, int v) = Math.DivRem(tap, shape.Columns.Taps);
            (int shift, int phase) = Math.DivRem(v * shape.Columns.Dilation, shape.Columns.Stride);
            _offsets[tap] = (u * shape.Rows.Dilation * band.RowLength) + (phase * band.PhaseLength) + shift;
        }
    }

    /// <summary>Whether a band of one row of outputs fits into a workspace.</summary>
    public static bool Fits(Simd simd, ConvShape shape) =>
        shape.OutputLength == 0 || Band.FloatsFor(simd, shape, rows: 1) <= Array.MaxLength / sizeof(float) / ThreadTeam.Size / 2;

    /// <summary>The most bytes of workspace, on any processor: for each member the rows of one padded plane that the first cache holds, or those that
    /// one row of outputs sees, and one row of outputs.</summary>
    public static long WorkspaceLimit(ConvShape shape)
    {
        // Whole vectors, twice, of every phase; zeros before the first.
        double row = shape.Columns.Padded + (48.0 * shape.Columns.Stride);
        double band = Math.Min(row * shape.Rows.Padded, Math.Max(Machine.MostLevel1 / sizeof(float) * 3 / 4, row * shape.Rows.Extent));
        return Limit(shape, 0, band + shape.Columns.Outputs + Simd.WidestPanel);
    }

    /// <inheritdoc/>
    protected override int Phases => 1;

    /// <inheritdoc/>
    public override int PartsOf(int phase) => Shape.Batch * Shape.OutChannels;

    /// <inheritdoc/>
    protected override void Do(int phase, int part, float* input, float* output, float* shared, float* own)
    {
        (int image, int o) = Math.DivRem(part, Shape.OutChannels);
        int channel = o / Shape.OutChannelsPerGroup;
        float* from = input + ((((nint)image * Shape.InChannels) + channel) * (nint)Shape.InputPlane);
        float* to = output + ((nint)part * (nint)Shape.OutputPlane);
        int height = Shape.Rows.Outputs, width = Shape.Columns.Outputs, lanes = _simd.Lanes, taps = _offsets.Length, vectorsInRow = _band.Vectors;
        nint rowStep = (nint)Shape.Rows.Stride * _band.RowLength;
        float* spare = own + _band.Length + lanes;
        fixed (float* kernel = _kernel)
        {
            fixed (int* offsets = _offsets)
            {
                float* weights = kernel + ((nint)o * taps);
                for (int first = 0; first < height; first += _band.Rows)
                {
                    if (taps > 0)
                    {
                        _band.Copy(from, first, own);
                    }

                    float* x = own + _band.Lead;
                    int rows = Math.Min(_band.Rows, height - first);

                    // Whole vectors are written. What is too much of a row is where the next ones go, which are written later; behind the
                    // last is another's.
                    int safe = Math.Min(rows, Math.Max(0, height - first - ((vectorsInRow * lanes) - 1) / width));
                    Compute(safe, weights, offsets, _bias[o], x, rowStep, to, width);
                    to += (nint)safe * width;
                    for (int row = safe; row < rows; row++, to += width)
                    {
                        Compute(1, weights, offsets, _bias[o], x + (row * rowStep), rowStep, spare, width);
                        new ReadOnlySpan<float>(spare, width).CopyTo(new Span<float>(to, width));
                    }
                }
            }
        }
    }

    // The last columns first, because of what is written behind them.
    private void Compute(int rows, float* weights, int* offsets, float bias, float* x, nint strideX, float* y, nint strideY)
    {
        bool threeByThree = Shape is { Rows.Taps: 3, Columns.Taps: 3, TermsPerOutput: 9 };
        int atOnce = Cut.Even(_band.Vectors, RowKernel.MostVectors);
        for (int vector = (_band.Vectors - 1) / atOnce * atOnce; vector >= 0; vector -= atOnce)
        {
            int vectors = Math.Min(atOnce, _band.Vectors - vector), column = vector * _simd.Lanes;
            _simd.Rows(threeByThree, vectors, rows, _offsets.Length, weights, offsets, bias, x + column, strideX, y + column, strideY);
        }
    }

    // Rows of the input that some rows of outputs see.
    private sealed class Band
    {
        private readonly Simd _simd;
        private readonly ConvShape _shape;
        private readonly int _inputRows;

        public Band(Simd simd, ConvShape shape)
        {
            _simd = simd;
            _shape = shape;
            Vectors = VectorsOf(simd, shape);
            PhaseLength = (int)PhaseLengthOf(simd, shape);
            RowLength = shape.Columns.Stride * PhaseLength;
            Lead = LeadOf(simd, shape);
            long room = Machine.Level1 / sizeof(float) * 3 / 4;
            long rows = shape.Rows.Outputs;
            while (rows > 1 && RowsSeen(shape, rows) * RowLength > room)
            {
                rows = (rows + 1) / 2;
            }

            Rows = (int)rows;
            _inputRows = (int)RowsSeen(shape, rows);
            Length = (long)_inputRows * RowLength;
            Floats = FloatsFor(simd, shape, rows);
        }

        public int Rows { get; }

        public int Vectors { get; }

        public int PhaseLength { get; }

        public int RowLength { get; }

        /// <summary>Zeros more than the padding before each row, so that the image begins where a vector does.</summary>
        public int Lead { get; }

        public long Length { get; }

        public long Floats { get; }

        public static long FloatsFor(Simd simd, ConvShape shape, long rows) =>
            (RowsSeen(shape, rows) * shape.Columns.Stride * PhaseLengthOf(simd, shape)) + simd.Lanes + ((long)VectorsOf(simd, shape) * simd.Lanes);

        public void Copy(float* plane, int firstRow, float* band)
        {
            // Rows before the image, of it, behind it.
            Axis columns = _shape.Columns;
            int stride = columns.Stride, width = columns.Size;
            long top = _shape.Rows.Source(firstRow, 0);
            int before = (int)Math.Clamp(-top, 0, _inputRows);
            int inside = (int)Math.Clamp(_shape.Rows.Size - top - before, 0, _inputRows - before);
            new Span<float>(band, before * RowLength).Clear();
            float* from = plane + ((nint)(top + before) * width);
            band += before * RowLength;
            if (stride == 1)
            {
                int left = Math.Min(columns.Before + Lead, RowLength);
                _simd.CopyRows(inside, from, width, 1, left, Math.Min(RowLength - left, width), RowLength, band);
            }
            else
            {
                for (int row = 0; row < inside; row++)
                {
                    for (int phase = 0; phase < stride; phase++)
                    {
                        // Place j of a phase is column j·s_w + phase − p_l.
                        int first = phase - columns.Before;
                        int left = first >= 0 ? 0 : Math.Min((-first + stride - 1) / stride, PhaseLength);
                        int end = first >= width ? 0 : ((width - 1 - first) / stride) + 1;
                        int count = Math.Clamp(end - left, 0, PhaseLength - left);
                        _simd.CopyRows(
                            1, from + first + ((nint)left * stride), 0, stride, left, count, PhaseLength, band + (row * RowLength) + (phase * PhaseLength));
                    }

                    from += width;
                }
            }

            new Span<float>(band + (inside * RowLength), (_inputRows - before - inside) * RowLength).Clear();
        }

        private static int VectorsOf(Simd simd, ConvShape shape) => ((shape.Columns.Outputs - 1) / simd.Lanes) + 1;

        private static long RowsSeen(ConvShape shape, long rows) =>
            ((rows - 1) * shape.Rows.Stride) + shape.Rows.Extent;

        private static int LeadOf(Simd simd, ConvShape shape) =>
            shape.Columns.Stride == 1 ? (simd.Lanes - (shape.Columns.Before % simd.Lanes)) % simd.Lanes : 0;

        // Whole vectors of outputs, seen through the last tap; whole vectors again.
        private static long PhaseLengthOf(Simd simd, ConvShape shape)
        {
            long seen = LeadOf(simd, shape) + ((long)VectorsOf(simd, shape) * simd.Lanes) + ((shape.Columns.Extent - 1) / shape.Columns.Stride) + 1;
            return (seen + simd.Lanes - 1) / simd.Lanes * simd.Lanes;
        }
    }
}
