using System.Diagnostics;

namespace Conv.Bench.Race;

/// <summary>Who can take part: one of our implementations, or a peer.</summary>
internal interface IContender
{
    /// <summary>The id in tables and options: <c>auto</c>, <c>onednn</c>.</summary>
    string Name { get; }

    /// <summary>Who that is, with its version.</summary>
    string Description { get; }

    /// <summary>What processes of its own have used of the processors.</summary>
    TimeSpan ProcessorTime => TimeSpan.Zero;

    /// <summary>Lays the weights out, so often as the problem asks.</summary>
    /// <exception cref="NotRunException">It does not take this problem.</exception>
    IRunner Prepare(Problem problem, int threads);
}

/// <summary>A convolution with its weights, ready to be timed.</summary>
internal interface IRunner : IDisposable
{
    /// <summary>What is done in one call, as far as the layer's definition counts it: 2·N·C_o·H_o·W_o·(C_i/G)·K_h·K_w.</summary>
    double Operations { get; }

    /// <summary>What the library says about how it computes, or nothing.</summary>
    string Detail { get; }

    /// <summary>Seconds that so many calls take. Of more than one, another goes before, untimed: it wakes workers and fills caches. One call
    /// alone is so long that it makes no difference.</summary>
    double Time(int calls);

    /// <summary>The output of a call; empty where there is nothing to check.</summary>
    float[] Output();
}

/// <summary>A contender does not take a problem.</summary>
internal sealed class NotRunException : Exception
{
    public NotRunException()
    {
    }

    public NotRunException(string message)
        : base(message)
    {
    }

    public NotRunException(string message, Exception cause)
        : base(message, cause)
    {
    }
}

/// <summary>What contenders in this process share: the clock, and the turn of the copies.</summary>
internal abstract class Runner(Problem problem) : IRunner
{
    private readonly int _copies = problem.Copies;
    private int _turn;

    public double Operations { get; } = 2.0 * problem.Shape.MultiplyAdds;

    public virtual string Detail => "";

    public double Time(int calls)
    {
        BeforeCalls();
        int turn = _turn;
        if (calls > 1)
        {
            Run(turn);
            turn = turn + 1 < _copies ? turn + 1 : 0;
        }

        long start = Stopwatch.GetTimestamp();
        for (int call = 0; call < calls; call++)
        {
            Run(turn);
            turn = turn + 1 < _copies ? turn + 1 : 0;
        }

        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        _turn = turn;
        return seconds;
    }

    public abstract float[] Output();

    public abstract void Dispose();

    /// <summary>One call with the weights' copy of that number.</summary>
    protected abstract void Run(int copy);

    /// <summary>What the calls need that belongs to none of them.</summary>
    protected virtual void BeforeCalls()
    {
    }
}
