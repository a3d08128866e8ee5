using System.Runtime.Intrinsics;

namespace Conv;

/// <summary>The patch matrix of im2col, one row for each tap (c, u, v), one column for each output position, and its adjoint.</summary>
internal static class Patches
{
    /// <summary>Elements of a block: 4 MiB.</summary>
    public const int BlockFloats = 1 << 20;

    /// <summary>Whether the patches of one output position fit into one array.</summary>
    public static bool Fit(ConvShape shape) => shape.TermsPerOutput <= Array.MaxLength / sizeof(float);

    /// <summary>As many columns of the patch matrix as keep a block at 4 MiB, at least one, at most all; none when there is nothing to
    /// compute.</summary>
    public static long ColumnsPerBlock(ConvShape shape) => shape.OutputLength == 0
        ? 0
        : Math.Clamp(BlockFloats / Math.Max(1, shape.TermsPerOutput), 1, shape.OutputPlane);

    /// <summary>
    /// Writes columns of the matrix
    /// <c>P[(c·K_h + u)·K_w + v, i·W_o + j] = x[c, i·s_h + u·d_h − p_t, j·s_w + v·d_w − p_l]</c>, x being zero outside the image.
    /// </summary>
    /// <param name="shape">The convolution.</param>
    /// <param name="input">Holds the C/G channels of one image and group.</param>
    /// <param name="view">Where they stand: element (c, h, w) is the view's (0, c, h, w).</param>
    /// <param name="first">The first column, counted over the H_o·W_o positions.</param>
    /// <param name="count">How many columns.</param>
    /// <param name="patches">n×<paramref name="count"/>, row-major, n terms per output; every cell is written.</param>
    public static unsafe void Gather(ConvShape shape, ReadOnlySpan<float> input, TensorView view, int first, int count, Span<float> patches)
    {
        int terms = (int)shape.TermsPerOutput;
        _ = patches[..(terms * count)];
        fixed (float* from = input, to = patches)
        {
            GatherRows(shape, from, view, 0, terms, first, count, to, count);
        }
    }

    /// <summary>Writes some rows of some columns of the same matrix.</summary>
    /// <param name="shape">The convolution.</param>
    /// <param name="input">Holds the C/G channels of one image and group.</param>
    /// <param name="view">Where they stand: element (c, h, w) is the view's (0, c, h, w).</param>
    /// <param name="firstTerm">The first row.</param>
    /// <param name="terms">How many rows.</param>
    /// <param name="first">The first column, counted over the H_o·W_o positions.</param>
    /// <param name="count">How many columns.</param>
    /// <param name="patches">The rows, one after another.</param>
    /// <param name="stride">Elements from one row to the next, at least <paramref name="count"/>.</param>
    public static unsafe void GatherRows(
        ConvShape shape, float* input, TensorView view, int firstTerm, int terms, int first, int count, float* patches, int stride)
    {
        Axis rows = shape.Rows, columns = shape.Columns;
        (int firstRow, int firstColumn) = Math.DivRem(first, columns.Outputs);
        (int c, int tap) = Math.DivRem(firstTerm, (int)shape.KernelPlane);
        (int u, int v) = Math.DivRem(tap, columns.Taps);
        int columnStep = columns.Stride * view.Stride3;
        for (int term = 0; term < terms; term++, patches += stride)
        {
            (int begin, int end) = columns.OutputsMeeting(v);
            float* row = patches;
            for (int left = count, i = firstRow, j = firstColumn, length; left > 0; left -= length, row += length, i++, j = 0)
            {
                length = Math.Min(columns.Outputs - j, left);
                int h = rows.Source(i, u);
                int from = Math.Clamp(begin, j, j + length), to = Math.Clamp(end, j, j + length);
                if (!rows.Contains(h) || from == to)
                {
                    new Span<float>(row, length).Clear();
                    continue;
                }

                CopyRow(from - j, to - from, j + length - to, input + view.At(0, c, h, columns.Source(from, v)), columnStep, row);
            }

            if (++v == columns.Taps)
            {
                v = 0;
                if (++u == rows.Taps)
                {
                    u = 0;
                    c++;
                }
            }
        }
    }

    // Zeros, numbers of the image, zeros. Most runs are short.
    private static unsafe void CopyRow(int zerosBefore, int count, int zerosAfter, float* from, int stride, float* to)
    {
        for (int at = 0; at < zerosBefore; at++)
        {
            *to++ = 0;
        }

        if (stride == 1 && count >= 4)
        {
            // The last four numbers may be some of the ones before, once more.
            for (int at = 0; at < count - 4; at += 4)
            {
                Vector128.Load(from + at).Store(to + at);
            }

            Vector128.Load(from + count - 4).Store(to + count - 4);
        }
        else
        {
            for (int at = 0; at < count; at++)
            {
                to[at] = from[(nint)at * stride];
            }
        }

        for (int at = 0; at < zerosAfter; at++)
        {
            to[count + at] = 0;
        }
    }

    /// <summary>
    /// The adjoint of <see cref="Gather"/>: adds each cell of some columns to the input element that it would be read from,
    /// <c>x[c, i·s_h + u·d_h − p_t, j·s_w + v·d_w − p_l] += P[(c·K_h + u)·K_w + v, i·W_o + j]</c>; what falls outside the image is dropped.
    /// </summary>
    /// <param name="shape">The convolution.</param>
    /// <param name="patches">n×<paramref name="count"/>, row-major.</param>
    /// <param name="first">The first column, counted over the H_o·W_o positions.</param>
    /// <param name="count">How many columns.</param>
    /// <param name="channels">The C/G channels of one image and group, (C/G)×H×W.</param>
    public static void ScatterAdd(ConvShape shape, ReadOnlySpan<float> patches, int first, int count, Span<float> channels)
    {
        int plane = (int)shape.InputPlane;
        for (int c = 0; c < shape.InChannelsPerGroup; c++)
        {
            Span<float> image = channels.Slice(c * plane, plane);
            for (int u = 0; u < shape.Rows.Taps; u++)
            {
                for (int v = 0; v < shape.Columns.Taps; v++)
                {
                    ScatterTap(shape, patches[..count], u, v, first, image);
                    patches = patches[count..];
                }
            }
        }
    }

    private static void ScatterTap(ConvShape shape, ReadOnlySpan<float> row, int u, int v, int first, Span<float> image)
    {
        Axis rows = shape.Rows, columns = shape.Columns;
        (int begin, int end) = columns.OutputsMeeting(v);
        int offset = columns.Source(0, v);
        (int i, int j) = Math.DivRem(first, columns.Outputs);
        while (!row.IsEmpty)
        {
            int length = Math.Min(columns.Outputs - j, row.Length);
            int h = rows.Source(i, u);
            if (rows.Contains(h))
            {
                Span<float> imageRow = image.Slice(h * columns.Size, columns.Size);
                int to = Math.Min(end, j + length);
                for (int at = Math.Max(begin, j); at < to; at++)
                {
                    imageRow[(at * columns.Stride) + offset] += row[at - j];
                }
            }

            row = row[length..];
            i++;
            j = 0;
        }
    }
}
