namespace Conv;

/// <summary>What a Winograd algorithm is to its kernels.</summary>
/// <param name="Outputs">m.</param>
/// <param name="Taps">r.</param>
/// <param name="Pairs">How many pairs ±p there are among its points.</param>
/// <param name="Constants"><see cref="WinogradPasses.Constants"/>.</param>
internal sealed record WinogradTile(int Outputs, int Taps, int Pairs, AlignedFloats Constants)
{
    /// <summary>m + r − 1.</summary>
    public int Size => Outputs + Taps - 1;
}

/// <summary>
/// <c>Y = Aᵀ·[Σ_c U_c ⊙ (Bᵀ·d_c·B)]·A + b</c> with transformed kernels U, in three phases for each group and block of tiles: inputs are
/// transformed, channels in the lanes; the sums of every position are a matrix product; sums are transformed.
/// </summary>
/// <remarks>A part of the second phase is a position: its inputs stay in a near cache while its kernels pass by once. Neither the schedule nor
/// the number of threads can change a bit.</remarks>
internal sealed unsafe class WinogradProduct : PartedConvolution
{
    private readonly Simd _simd;
    private readonly WinogradTile _tile;
    private readonly WinogradBlocks _blocks;
    private readonly AlignedFloats _kernels;
    private readonly AlignedFloats _bias;
    private readonly int _depth;

    /// <summary>Keeps the kernels as they are.</summary>
    /// <param name="simd">The processor's kernels.</param>
    /// <param name="shape">The convolution.</param>
    /// <param name="tile">The algorithm.</param>
    /// <param name="blocks">How it is cut.</param>
    /// <param name="kernels">U: G×(m+r−1)²×panels×(C/G)×panel, lanes beyond the last channel zero.</param>
    /// <param name="bias">O numbers, or empty.</param>
    public WinogradProduct(
        Simd simd, ConvShape shape, WinogradTile tile, WinogradBlocks blocks, AlignedFloats kernels, ReadOnlySpan<float> bias)
        : base(shape, blocks.SharedFloats, blocks.OwnFloats)
    {
        _simd = simd;
        _tile = tile;
        _blocks = blocks;
        _kernels = kernels;
        _depth = Cut.Even(Math.Max(1, shape.InChannelsPerGroup), simd.Depth);
        _bias = new AlignedFloats((shape.Groups * blocks.Panels * simd.Panel) + simd.Panel);
        for (int o = 0; o < bias.Length; o++)
        {
            (int group, int inGroup) = Math.DivRem(o, shape.OutChannelsPerGroup);
            _bias.Span[(group * blocks.Panels * simd.Panel) + inGroup] = bias[o];
        }
    }

    /// <inheritdoc/>
    protected override int Phases => 3 * Shape.Groups * _blocks.Blocks;

    /// <inheritdoc/>
    public override int PartsOf(int phase)
    {
        int strips = Math.Min(_blocks.StripsPerBlock, _blocks.Strips - FirstStrip(phase));
        return (phase % 3) switch
        {
            0 => _blocks.ChannelBlocks * Cut.Count(strips, _blocks.InputStrips),
            1 => _blocks.Positions,
            _ => _blocks.Panels * Cut.Count(strips, _blocks.OutputStrips),
        };
    }

    /// <inheritdoc/>
    protected override void Do(int phase, int part, float* input, float* output, float* shared, float* own)
    {
        int group = phase / 3 / _blocks.Blocks, first = FirstStrip(phase);
        int strips = Math.Min(_blocks.StripsPerBlock, _blocks.Strips - first);
        float* sums = shared + (_blocks.Positions * _blocks.InputStride);
        if (phase % 3 == 0)
        {
            (int strip, int channel) = Math.DivRem(part, _blocks.ChannelBlocks);
            strip *= _blocks.InputStrips;
            TransformInputs(group, channel * _simd.Lanes, first, strip, Math.Min(_blocks.InputStrips, strips - strip), input, shared, own);
        }
        else if (phase % 3 == 1)
        {
            Multiply(group, part, strips, shared + (part * _blocks.InputStride), sums + (part * _blocks.SumStride));
        }
        else
        {
            (int strip, int panel) = Math.DivRem(part, _blocks.Panels);
            strip *= _blocks.OutputStrips;
            float* ofPart = sums + (panel * _blocks.Positions * _blocks.SumStride) + ((nint)strip * _blocks.Tiles * _simd.Panel);
            TransformOutputs(group, panel, first + strip, Math.Min(_blocks.OutputStrips, strips - strip), ofPart, output, own);
        }
    }

    private int FirstStrip(int phase) => phase / 3 % _blocks.Blocks * _blocks.StripsPerBlock;

    private (int Image, int TileRow, int TileColumn) Of(int strip)
    {
        (int column, int row) = Math.DivRem(strip, _blocks.TileRows);
        (int image, column) = Math.DivRem(column, _blocks.StripsAcross);
        return (image, row, column * _blocks.Tiles);
    }

    // One vector of channels of some strips: rows are transposed to vectors, each once where strips follow each other downwards.
    private void TransformInputs(int group, int channel, int firstOfBlock, int firstStrip, int strips, float* input, float* transformed, float* own)
    {
        int lanes = _simd.Lanes, size = _tile.Size, width = _blocks.Width;
        int channels = Math.Min(lanes, Shape.InChannelsPerGroup - channel);
        nint row = (nint)width * lanes, plane = (nint)Shape.InputPlane;
        float* rows = own, half = own + (size * row);
        fixed (float* constants = _tile.Constants)
        {
            for (int strip = firstStrip; strip < firstStrip + strips; strip++)
            {
                (int image, int tileRow, int tileColumn) = Of(firstOfBlock + strip);
                float* planes = input + ((((nint)image * Shape.InChannels) + (group * Shape.InChannelsPerGroup) + channel) * plane);
                int kept = strip == firstStrip || tileRow == 0 ? 0 : _tile.Taps - 1;
                Buffer.MemoryCopy(rows + (_tile.Outputs * row), rows, kept * row * sizeof(float), kept * row * sizeof(float));
                for (int h = kept; h < size; h++)
                {
                    ReadRow(
                        planes, channels, Shape.Rows.Source(tileRow * _tile.Outputs, h), Shape.Columns.Source(tileColumn * _tile.Outputs, 0), rows + (h * row));
                }

                _simd.WinogradInput(_tile.Pairs, constants, width, rows, row, lanes, half, row, lanes);
                float* to = transformed + ((nint)strip * _blocks.Tiles * _blocks.Channels) + channel;
                for (int h = 0; h < size; h++)
                {
                    _simd.WinogradInput(
                        _tile.Pairs, constants, _blocks.Tiles, half + (h * row), lanes, _tile.Outputs * lanes,
                        to + (h * size * _blocks.InputStride), _blocks.InputStride, _blocks.Channels);
                }
            }
        }
    }

    private void ReadRow(float* planes, int channels, int h, int w, float* row)
    {
        int lanes = _simd.Lanes, width = _blocks.Width;
        int from = Math.Clamp(-w, 0, width), to = Math.Clamp(Shape.Columns.Size - w, from, width);
        if (!Shape.Rows.Contains(h) || from == to)
        {
            new Span<float>(row, width * lanes).Clear();
            return;
        }

        new Span<float>(row, from * lanes).Clear();
        new Span<float>(row + (to * lanes), (width - to) * lanes).Clear();
        float* source = planes + ((nint)h * Shape.Columns.Size) + w + from;
        _simd.Transpose(channels, to - from, source, (nint)Shape.InputPlane, row + (from * lanes), lanes);
    }

    // The sums of one position for all output channels of a group.
    private void Multiply(int group, int position, int strips, float* a, float* sums)
    {
        int channels = Shape.InChannelsPerGroup, width = _simd.Panel;
        int rows = strips * _blocks.Tiles;
        bool waits = _simd.Split(rows).Tiles <= Simd.TilesThatWait;
        fixed (float* kernels = _kernels, biases = _bias)
        {
            float* b = kernels + (((((nint)group * _blocks.Positions) + position) * _blocks.Panels) * channels * width);
            float* zeros = biases + (Shape.Groups * _blocks.Panels * width);
            for (int panel = 0; panel < _blocks.Panels; panel++, sums += _blocks.Positions * _blocks.SumStride)
            {
                for (int channel = 0; channel < channels || channel == 0; channel += _depth)
                {
                    int depth = Math.Min(_depth, channels - channel);
                    bool first = channel == 0;
                    TileRun run = new()
                    {
                        Depth = depth,
                        A = a + channel,
                        RowStride = _blocks.Channels,
                        Step = 1,
                        B = b,
                        Ahead = waits ? b + (depth * width) : null,
                        From = first ? zeros : sums,
                        StrideFrom = first ? 0 : width,
                        C = sums,
                        StrideC = width,
                    };
                    _simd.Tiles(rows, ref run);
                    b += depth * width;
                }
            }
        }
    }

    private void TransformOutputs(int group, int panel, int firstStrip, int strips, float* ofPart, float* output, float* own)
    {
        int lanes = _simd.Lanes, width = _simd.Panel, outputs = _tile.Outputs, size = _tile.Size;
        float* half = own, rows = half + (outputs * size * lanes);
        nint row = (nint)_blocks.Tiles * outputs * lanes, plane = (nint)Shape.OutputPlane;
        fixed (float* constants = _tile.Constants, biases = _bias)
        {
            for (int strip = 0; strip < strips; strip++)
            {
                (int image, int tileRow, int tileColumn) = Of(firstStrip + strip);
                int i = tileRow * outputs, j = tileColumn * outputs;
                int rowsHere = Math.Min(outputs, Shape.Rows.Outputs - i), columnsHere = Math.Min(_blocks.Tiles * outputs, Shape.Columns.Outputs - j);
                for (int lane = 0; lane < width; lane += lanes)
                {
                    int inGroup = (panel * width) + lane, channels = Math.Min(lanes, Shape.OutChannelsPerGroup - inGroup);
                    if (channels <= 0)
                    {
                        break;
                    }

                    float* bias = biases + (group * _blocks.Panels * width) + inGroup;
                    float* sums = ofPart + ((nint)strip * _blocks.Tiles * width) + lane;
                    for (int tile = 0; tile * outputs < columnsHere; tile++)
                    {
                        _simd.WinogradOutput(
                            _tile.Pairs, outputs, constants, null, size,
                            sums + (tile * width), size * _blocks.SumStride, _blocks.SumStride, half, size * lanes, lanes);
                        _simd.WinogradOutput(
                            _tile.Pairs, outputs, constants, bias, outputs,
                            half, lanes, size * lanes, rows + (tile * outputs * lanes), lanes, row);
                    }

                    float* planes = output + ((((nint)image * Shape.OutChannels) + (group * Shape.OutChannelsPerGroup) + inGroup) * plane);
                    for (int at = 0; at < rowsHere; at++)
                    {
                        _simd.Transpose(columnsHere, channels, rows + (at * row), lanes, planes + ((nint)(i + at) * Shape.Columns.Outputs) + j, plane);
                    }
                }
            }
        }
    }
}
