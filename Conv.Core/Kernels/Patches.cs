namespace Conv;

/// <summary>The patch matrix of im2col: one row for each tap (c, u, v), one column for each output position.</summary>
internal static class Patches
{
    /// <summary>
    /// Writes columns of the matrix
    /// <c>P[(c·K_h + u)·K_w + v, i·W_o + j] = x[c, i·s_h + u·d_h − p_t, j·s_w + v·d_w − p_l]</c>, x being zero outside the image.
    /// </summary>
    /// <param name="shape">The convolution.</param>
    /// <param name="channels">The C/G channels of one image and group, (C/G)×H×W.</param>
    /// <param name="first">The first column, counted over the H_o·W_o positions.</param>
    /// <param name="count">How many columns.</param>
    /// <param name="patches">n×<paramref name="count"/>, row-major, n terms per output; every cell is written.</param>
    public static void Gather(ConvShape shape, ReadOnlySpan<float> channels, int first, int count, Span<float> patches)
    {
        for (int c = 0; c < shape.InChannelsPerGroup; c++)
        {
            ReadOnlySpan<float> image = channels.Slice(c * shape.InHeight * shape.InWidth, shape.InHeight * shape.InWidth);
            for (int u = 0; u < shape.KernelHeight; u++)
            {
                for (int v = 0; v < shape.KernelWidth; v++)
                {
                    GatherTap(shape, image, u, v, first, patches[..count]);
                    patches = patches[count..];
                }
            }
        }
    }

    private static void GatherTap(ConvShape shape, ReadOnlySpan<float> image, int u, int v, int first, Span<float> row)
    {
        int offset = (v * shape.DilationWidth) - shape.PadLeft;
        (int begin, int end) = ConvShape.OutputsMeeting(offset, shape.OutWidth, shape.StrideWidth, shape.InWidth);
        int i = first / shape.OutWidth;
        int j = first % shape.OutWidth;
        while (!row.IsEmpty)
        {
            int length = Math.Min(shape.OutWidth - j, row.Length);
            int h = (i * shape.StrideHeight) + (u * shape.DilationHeight) - shape.PadTop;
            int from = Math.Clamp(begin, j, j + length);
            int to = Math.Clamp(end, j, j + length);
            if (h < 0 || h >= shape.InHeight || from == to)
            {
                row[..length].Clear();
            }
            else
            {
                row[..(from - j)].Clear();
                CopyStrided(
                    image.Slice((h * shape.InWidth) + (from * shape.StrideWidth) + offset), shape.StrideWidth, row[(from - j)..(to - j)]);
                row[(to - j)..length].Clear();
            }

            row = row[length..];
            i++;
            j = 0;
        }
    }

    private static void CopyStrided(ReadOnlySpan<float> source, int stride, Span<float> target)
    {
        if (stride == 1)
        {
            source[..target.Length].CopyTo(target);
            return;
        }

        for (int j = 0; j < target.Length; j++)
        {
            target[j] = source[j * stride];
        }
    }
}
