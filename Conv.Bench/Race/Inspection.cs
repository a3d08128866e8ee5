using System.Runtime.InteropServices;

namespace Conv.Bench.Race;

/// <summary>What is known of our variants without a clock: workspace and error, on each layer, one image.</summary>
internal static class Inspection
{
    public static IEnumerable<Variant> Of(Layer layer)
    {
        using Problem problem = new(layer.Shape, rotation: 0);
        float[] output = new float[layer.Shape.OutputLength];
        foreach (IConvolution implementation in Ours.All.Where(candidate => Ours.IsCandidate(candidate, layer.Shape)))
        {
            IPreparedConvolution prepared = implementation.Prepare(layer.Shape, problem.Kernel, []);
            using AlignedFloats workspace = new((prepared.WorkspaceBytes + 3) / 4);
            prepared.Run(problem.Input.Span, output, MemoryMarshal.AsBytes(workspace.Span));
            Arithmetic arithmetic = implementation.ArithmeticOf(layer.Shape);
            yield return new Variant(
                implementation.Name,
                layer,
                Variant.KindOf(arithmetic),
                problem.Error(output),
                prepared.WorkspaceBytes,
                2 * 4 * (layer.Shape.InputLength + layer.Shape.OutputLength + Prepared(layer.Shape, arithmetic)));
            (prepared as IDisposable)?.Dispose();
        }
    }

    // A transformed kernel has a number for each input of a tile in place of one for each tap.
    private static long Prepared(ConvShape shape, Arithmetic arithmetic) => arithmetic is Bilinear f
        ? shape.KernelLength / shape.KernelPlane * f.InputTransform.Rows * f.InputTransform.Rows
        : shape.KernelLength;
}
