using BenchmarkDotNet.Attributes;

namespace Conv.Bench;

/// <summary>One call of a prepared convolution, for every implementation of the catalogue on every layer that it supports.</summary>
public class Speed
{
    private IPreparedConvolution? _prepared;
    private float[] _input = [];
    private float[] _output = [];
    private byte[] _workspace = [];

    /// <summary>The pairs that are measured: names, so that they read well in a table and in a filter.</summary>
    public static IEnumerable<string> Pairs =>
        from layer in Layers.Few
        from implementation in Catalogue.All
        where implementation.Supports(layer.Shape)
        select $"{layer.Name}/{implementation.Name}";

    /// <summary>The pairs that are not measured, because the implementation does not support the layer.</summary>
    public static IEnumerable<string> LeftOut =>
        from layer in Layers.Few
        from implementation in Catalogue.All
        where !implementation.Supports(layer.Shape)
        select $"{layer.Name}/{implementation.Name}";

    /// <summary>layer/implementation.</summary>
    [ParamsSource(nameof(Pairs))]
    public string Pair { get; set; } = "";

    /// <summary>Prepares the pair on numbers from [−1, 1) that are the same every time.</summary>
    [GlobalSetup]
    public void Setup()
    {
        string[] names = Pair.Split('/');
        ConvShape shape = Layers.Few.Single(layer => layer.Name == names[0]).Shape;
        IConvolution implementation = Catalogue.All.Single(candidate => candidate.Name == names[1]);
        Random random = new(1);
        _input = Draw(random, shape.InputLength);
        _prepared = implementation.Prepare(shape, Draw(random, shape.KernelLength), Draw(random, shape.OutChannels));
        _output = new float[shape.OutputLength];
        _workspace = new byte[_prepared.WorkspaceBytes];
    }

    /// <summary>Input to output, weights prepared before.</summary>
    [Benchmark]
    public void Run() => _prepared!.Run(_input, _output, _workspace);

    private static float[] Draw(Random random, long count)
    {
        float[] values = new float[count];
        foreach (ref float value in values.AsSpan())
        {
            value = (2 * random.NextSingle()) - 1;
        }

        return values;
    }
}
