namespace Conv;

/// <summary>Cutting a whole into parts.</summary>
internal static class Cut
{
    /// <summary>⌈whole / part⌉; 0 of nothing.</summary>
    public static int Count(int whole, int part) => whole == 0 ? 0 : ((whole - 1) / part) + 1;

    /// <summary>The size of parts that are as equal as possible and none larger than the most; at least 1.</summary>
    public static int Even(int whole, int most) => Math.Max(1, Count(whole, Math.Max(1, Count(whole, Math.Max(1, most)))));
}
