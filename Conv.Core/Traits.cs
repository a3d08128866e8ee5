namespace Conv;

/// <summary>What an implementation promises beside its arithmetic, and where a generator of cases should look.</summary>
public sealed record Traits
{
    /// <summary>Nothing promised: gradual underflow, no hints.</summary>
    public static Traits Default { get; } = new();

    /// <summary>A promise: the same call on the same addresses gives the same bits, whatever the schedule or the number of threads.</summary>
    public bool Deterministic { get; init; }

    /// <summary>A promise beside <see cref="Deterministic"/>: the bits do not depend on where the tensors start either. Vector loops that begin at a
    /// boundary do not keep it.</summary>
    public bool SameAtAnyAddress { get; init; }

    /// <summary>A promise beside <see cref="Deterministic"/>: the bits of an image's result do not depend on how many images there are, on its place
    /// among them, or on what they are.</summary>
    public bool BatchInvariant { get; init; }

    /// <summary>Products and sums may be fused. Bounds hold either way.</summary>
    public bool FusedMultiplyAdd { get; init; }

    /// <summary>Subnormal operands or results may become zero; the bound then has a term for it.</summary>
    public bool FlushesSubnormals { get; init; }

    /// <summary>A promise: its prepared convolutions take a number of threads, they are <see cref="IThreadedConvolution"/>.</summary>
    public bool Threaded { get; init; }

    /// <summary>The kernel sizes (K_h, K_w) that are supported, where they are few; empty: look everywhere.</summary>
    public IReadOnlyList<(int Height, int Width)> KernelSizes { get; init; } = [];

    /// <summary>The strides (s_h, s_w) that are supported, where they are few; empty: look everywhere.</summary>
    public IReadOnlyList<(int Height, int Width)> Strides { get; init; } = [];

    /// <summary>The dilations (d_h, d_w) that are supported, where they are few; empty: look everywhere.</summary>
    public IReadOnlyList<(int Height, int Width)> Dilations { get; init; } = [];
}
