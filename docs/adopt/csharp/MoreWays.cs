using Conv;
using Conv.Properties;
using Xunit;

public class MoreWays
{
    // Every law in one call, for at most so long; the results are a list.
    [Fact]
    public void AllLawsAtOnce()
    {
        IReadOnlyList<ConformanceResult> results =
            Conformance.CheckAll(() => new MyLayer(), cases: 20, timeLimit: TimeSpan.FromMinutes(10));
        Assert.DoesNotContain(results, result => result.Status == "broken");
        ConformanceResult exact = results.Single(result => result.Law == "MODEL-EXACT");
        Assert.Equal(("MUST", "holds"), (exact.Strength, exact.Status));
        Assert.True(exact.Cases >= 20 && exact.Compared > 0 && exact.Counterexample is null);
    }

    // What it takes, and how it sums: any order, or a claimed bound, by the shape.
    [Fact]
    public void DeclaredByTheShape() =>
        Conformance.Check(
            "MODEL-BOUND",
            (shape, x, k, b, y) => MyConvolution.Run(shape, x, k, b, y),
            arithmetic: shape => shape.Groups > 1 ? new Within(4) : new AnyOrder(),
            supports: shape => shape.Batch == 1,
            traits: new Traits { Deterministic = true }).ThrowIfNotHeld();

    // The line that a counterexample prints, kept as a test.
    [Fact]
    public void OneCaseAgain() =>
        Conformance.Replay(
            "format=1 law=MODEL-EXACT tier=exact n=1 c=1 h=1 w=1 o=1 kh=1 kw=2 sh=1 sw=1 pt=0 pl=1 pb=0 pr=0 dh=1 dw=1 g=1 "
            + "args=0,0,0 fill=explicit values=x:0.0.0.0=1;k:0.0.0.0=1",
            new MyLayer()).ThrowIfNotHeld();
}
