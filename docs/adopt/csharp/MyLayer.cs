using Conv;

/// <summary>A convolution with gradients, threads and views, each an optional contract beside <see cref="IConvolution"/>: the definition's products,
/// added up where they belong.</summary>
public sealed class MyLayer : IConvolution, IGradients, IViewConvolution
{
    public string Name => "my-layer";

    // Promises: they are held too.
    public Traits Traits => new() { Deterministic = true, SameAtAnyAddress = true, Threaded = true };

    public bool Supports(ConvShape shape) => true;

    public Arithmetic ArithmeticOf(ConvShape shape) => new AnyOrder();

    public IPreparedConvolution Prepare(ConvShape shape, ReadOnlySpan<float> kernel, ReadOnlySpan<float> bias)
    {
        Require(kernel.Length == shape.KernelLength, nameof(kernel));
        Require(bias.IsEmpty || bias.Length == shape.OutChannels, nameof(bias));
        return new Prepared(shape, kernel.ToArray(), bias.ToArray());
    }

    public void BackwardInput(ConvShape s, ReadOnlySpan<float> outputGradient, ReadOnlySpan<float> kernel, Span<float> inputGradient)
    {
        Require(outputGradient.Length == s.OutputLength, nameof(outputGradient));
        Require(kernel.Length == s.KernelLength, nameof(kernel));
        Require(inputGradient.Length == s.InputLength, nameof(inputGradient));
        var at = new Dense(s);
        inputGradient.Clear();
        foreach (Product p in Products(s))
        {
            inputGradient[at.Input(p)] += outputGradient[at.Output(p)] * kernel[at.Kernel(p)];
        }
    }

    public void BackwardKernel(ConvShape s, ReadOnlySpan<float> input, ReadOnlySpan<float> outputGradient, Span<float> kernelGradient)
    {
        Require(input.Length == s.InputLength, nameof(input));
        Require(outputGradient.Length == s.OutputLength, nameof(outputGradient));
        Require(kernelGradient.Length == s.KernelLength, nameof(kernelGradient));
        var at = new Dense(s);
        kernelGradient.Clear();
        foreach (Product p in Products(s))
        {
            kernelGradient[at.Kernel(p)] += outputGradient[at.Output(p)] * input[at.Input(p)];
        }
    }

    public void BackwardBias(ConvShape s, ReadOnlySpan<float> outputGradient, Span<float> biasGradient)
    {
        Require(outputGradient.Length == s.OutputLength, nameof(outputGradient));
        Require(biasGradient.Length == s.OutChannels, nameof(biasGradient));
        biasGradient.Clear();
        for (int at = 0; at < outputGradient.Length; at++)
        {
            biasGradient[at / (s.OutHeight * s.OutWidth) % s.OutChannels] += outputGradient[at];
        }
    }

    public void Run(
        ConvShape s,
        ReadOnlySpan<float> input, TensorView inputView,
        ReadOnlySpan<float> kernel, TensorView kernelView,
        ReadOnlySpan<float> bias,
        Span<float> output, TensorView outputView)
    {
        Require(bias.IsEmpty || bias.Length == s.OutChannels, nameof(bias));
        for (int n = 0; n < s.Batch; n++)
        for (int o = 0; o < s.OutChannels; o++)
        {
            for (int i = 0; i < s.OutHeight; i++)
            for (int j = 0; j < s.OutWidth; j++)
            {
                output[outputView.At(n, o, i, j)] = bias.IsEmpty ? 0 : bias[o];
            }

            foreach (Product p in Products(s, n, o))
            {
                output[outputView.At(n, o, p.I, p.J)] +=
                    input[inputView.At(n, p.Channel, p.H, p.W)] * kernel[kernelView.At(o, p.C, p.U, p.V)];
            }
        }
    }

    // x[n, Channel, H, W] · k[o, C, U, V] is a term of y[n, o, I, J].
    private readonly record struct Product(int N, int Channel, int H, int W, int O, int C, int U, int V, int I, int J);

    private static IEnumerable<Product> Products(ConvShape s) =>
        from n in Enumerable.Range(0, s.Batch)
        from o in Enumerable.Range(0, s.OutChannels)
        from product in Products(s, n, o)
        select product;

    private static IEnumerable<Product> Products(ConvShape s, int n, int o)
    {
        for (int i = 0; i < s.OutHeight; i++)
        for (int j = 0; j < s.OutWidth; j++)
        for (int c = 0; c < s.InChannelsPerGroup; c++)
        for (int u = 0; u < s.KernelHeight; u++)
        for (int v = 0; v < s.KernelWidth; v++)
        {
            int h = (i * s.StrideHeight) + (u * s.DilationHeight) - s.PadTop;
            int w = (j * s.StrideWidth) + (v * s.DilationWidth) - s.PadLeft;
            if (h >= 0 && h < s.InHeight && w >= 0 && w < s.InWidth)
            {
                int channel = (o / s.OutChannelsPerGroup * s.InChannelsPerGroup) + c;
                yield return new Product(n, channel, h, w, o, c, u, v, i, j);
            }
        }
    }

    // Where the operands of a product stand in dense, row-major tensors.
    private sealed class Dense(ConvShape s)
    {
        private readonly TensorView _input = TensorView.Dense(s.InChannels, s.InHeight, s.InWidth);
        private readonly TensorView _kernel = TensorView.Dense(s.InChannelsPerGroup, s.KernelHeight, s.KernelWidth);
        private readonly TensorView _output = TensorView.Dense(s.OutChannels, s.OutHeight, s.OutWidth);

        public int Input(Product p) => _input.At(p.N, p.Channel, p.H, p.W);

        public int Kernel(Product p) => _kernel.At(p.O, p.C, p.U, p.V);

        public int Output(Product p) => _output.At(p.N, p.O, p.I, p.J);
    }

    private sealed class Prepared(ConvShape s, float[] kernel, float[] bias) : IThreadedConvolution
    {
        public long WorkspaceBytes => 0;

        public void Run(ReadOnlySpan<float> input, Span<float> output, Span<byte> workspace) => Run(input, output, workspace, threads: 1);

        public void Run(ReadOnlySpan<float> input, Span<float> output, Span<byte> workspace, int threads)
        {
            Require(input.Length == s.InputLength, nameof(input));
            Require(output.Length == s.OutputLength, nameof(output));
            Require(threads > 0, nameof(threads));
            // Other threads cannot have a span: they read a copy and write to an array.
            float[] x = input.ToArray(), y = new float[output.Length];
            var at = new Dense(s);
            var options = new ParallelOptions { MaxDegreeOfParallelism = threads };
            Parallel.For(0, s.Batch * s.OutChannels, options, plane =>
            {
                int o = plane % s.OutChannels, size = s.OutHeight * s.OutWidth;
                y.AsSpan(plane * size, size).Fill(bias.Length == 0 ? 0 : bias[o]);
                foreach (Product p in Products(s, plane / s.OutChannels, o))
                {
                    y[at.Output(p)] += x[at.Input(p)] * kernel[at.Kernel(p)];
                }
            });
            y.CopyTo(output);
        }
    }

    private static void Require(bool holds, string name)
    {
        if (!holds)
        {
            throw new ArgumentException("It does not agree with the shape.", name);
        }
    }
}
