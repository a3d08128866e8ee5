using Conv;

/// <summary>A convolution as somebody might have written it: here, seven plain loops.</summary>
internal static class MyConvolution
{
    /// <summary>y = x ⋆ k + b.</summary>
    public static void Run(ConvShape s, ReadOnlySpan<float> x, ReadOnlySpan<float> k, ReadOnlySpan<float> b, Span<float> y)
    {
        int cg = s.InChannelsPerGroup, og = s.OutChannelsPerGroup, at = 0;
        for (int n = 0; n < s.Batch; n++)
        for (int o = 0; o < s.OutChannels; o++)
        for (int i = 0; i < s.OutHeight; i++)
        for (int j = 0; j < s.OutWidth; j++)
        {
            float sum = b.IsEmpty ? 0 : b[o];
            for (int c = 0; c < cg; c++)
            for (int u = 0; u < s.KernelHeight; u++)
            for (int v = 0; v < s.KernelWidth; v++)
            {
                int h = (i * s.StrideHeight) + (u * s.DilationHeight) - s.PadTop;
                int w = (j * s.StrideWidth) + (v * s.DilationWidth) - s.PadLeft;
                if (h >= 0 && h < s.InHeight && w >= 0 && w < s.InWidth)
                {
                    int channel = (o / og * cg) + c;
                    sum += x[(((((n * s.InChannels) + channel) * s.InHeight) + h) * s.InWidth) + w]
                        * k[(((((o * cg) + c) * s.KernelHeight) + u) * s.KernelWidth) + v];
                }
            }

            y[at++] = sum;
        }
    }
}
