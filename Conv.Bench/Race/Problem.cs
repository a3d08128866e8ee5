using System.Runtime.InteropServices;

namespace Conv.Bench.Race;

/// <summary>A layer with its numbers: N(0, 1) from seed 1, the same for all contenders, and some outputs in double.</summary>
internal sealed class Problem : IDisposable
{
    private const int Checked = 2000;

    // More copies than this cost more time to prepare than the measurement takes.
    private const int MostCopies = 512;

    private readonly (int Index, double Value, double Scale)[] _expected;

    /// <param name="shape">The layer's geometry.</param>
    /// <param name="rotation">Bytes of weights that are used in turn before the first come again; 0 for one copy.</param>
    public Problem(ConvShape shape, long rotation)
    {
        Shape = shape;
        Random random = new(1);
        Input = new AlignedFloats(shape.InputLength);
        Draw(random, Input.Span);
        Kernel = new float[shape.KernelLength];
        Draw(random, Kernel);
        Copies = (int)Math.Clamp((rotation / (4 * shape.KernelLength)) + 1, 1, MostCopies);
        long outputs = shape.OutputLength;
        int[] chosen = outputs <= Checked
            ? [.. Enumerable.Range(0, (int)outputs)]
            : [.. Enumerable.Range(0, Checked).Select(_ => random.Next((int)outputs))];
        _expected = [.. chosen.Select(Expect)];
    }

    public ConvShape Shape { get; }

    public AlignedFloats Input { get; }

    public float[] Kernel { get; }

    /// <summary>How many times the weights are prepared.</summary>
    public int Copies { get; }

    /// <summary>The bytes of all copies, as they were handed over.</summary>
    public long RotationBytes => 4 * Shape.KernelLength * Copies;

    public void Dispose() => Input.Dispose();

    /// <summary>The largest |ŷ − y| / Σ|x||k| of the outputs that are checked.</summary>
    public double Error(ReadOnlySpan<float> output)
    {
        double largest = 0;
        foreach ((int index, double value, double scale) in _expected)
        {
            double error = Math.Abs(output[index] - value) / scale;
            largest = double.IsNaN(error) ? double.PositiveInfinity : Math.Max(largest, error);
        }

        return largest;
    }

    // The definition, in double: each product is exact, and the sum's own error is a millionth of what is looked for.
    private (int Index, double Value, double Scale) Expect(int index)
    {
        ConvShape s = Shape;
        int j = index % s.Columns.Outputs;
        int i = index / s.Columns.Outputs % s.Rows.Outputs;
        int o = index / s.Columns.Outputs / s.Rows.Outputs % s.OutChannels;
        int n = index / s.Columns.Outputs / s.Rows.Outputs / s.OutChannels;
        ReadOnlySpan<float> x = Input.Span;
        double sum = 0;
        double scale = double.Epsilon;
        for (int c = 0; c < s.InChannelsPerGroup; c++)
        {
            int plane = ((n * s.InChannels) + (o / s.OutChannelsPerGroup * s.InChannelsPerGroup) + c) * s.Rows.Size;
            for (int u = 0; u < s.Rows.Taps; u++)
            {
                int h = (i * s.Rows.Stride) + (u * s.Rows.Dilation) - s.Rows.Before;
                for (int v = 0; v < s.Columns.Taps; v++)
                {
                    int w = (j * s.Columns.Stride) + (v * s.Columns.Dilation) - s.Columns.Before;
                    if ((uint)h < (uint)s.Rows.Size && (uint)w < (uint)s.Columns.Size)
                    {
                        double product = (double)x[((plane + h) * s.Columns.Size) + w]
                            * Kernel[(((((o * s.InChannelsPerGroup) + c) * s.Rows.Taps) + u) * s.Columns.Taps) + v];
                        sum += product;
                        scale += Math.Abs(product);
                    }
                }
            }
        }

        return (index, sum, scale);
    }

    // Box and Muller, one of the two.
    private static void Draw(Random random, Span<float> values)
    {
        foreach (ref float value in values)
        {
            value = (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));
        }
    }
}

/// <summary>Numbers at an address that stays and that begins a cache line, as every contender gets them.</summary>
internal sealed unsafe class AlignedFloats : IDisposable
{
    private readonly int _count;
    private float* _address;

    public AlignedFloats(long count)
    {
        _count = checked((int)count);
        _address = (float*)NativeMemory.AlignedAlloc((nuint)Math.Max(4 * count, 1), 64);
        Span.Clear();
    }

    public nint Address => (nint)_address;

    public Span<float> Span => new(_address, _count);

    public void Dispose()
    {
        NativeMemory.AlignedFree(_address);
        _address = null;
    }
}
