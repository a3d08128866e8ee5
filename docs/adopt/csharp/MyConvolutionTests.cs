using Conv.Properties;
using Xunit;

public class MyConvolutionTests
{
    public static TheoryData<string> Laws => [.. Conformance.Laws];

    [Theory, MemberData(nameof(Laws))]
    public void Holds(string law) =>
        Conformance.Check(law, (shape, x, k, b, y) => MyConvolution.Run(shape, x, k, b, y)).ThrowIfNotHeld();
}
