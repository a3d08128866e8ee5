using Conv.Properties;
using Xunit;

public class MyLayerTests
{
    public static TheoryData<string> Laws => [.. Conformance.LawsOf(new MyLayer())];

    [Theory, MemberData(nameof(Laws))]
    public void Holds(string law) => Conformance.Check(law, () => new MyLayer()).ThrowIfNotHeld();
}
