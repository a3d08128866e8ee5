/* A 2-D convolution behind the C ABI of conv_subject.h: the one function that a subject must have, as plain loops.
 *
 * Build: cc -std=c99 -O2 -shared -fPIC -I.. conv.c -o libconv.so
 * Run:   verify native:./libconv.so
 *
 * It sums in double: products of floats are exact there, so that it makes no difference whether the compiler fuses them with the sum. */
#include "conv_subject.h"

int conv2d_forward_f32(const conv2d_problem *p, const float *input, const float *weight, const float *bias, float *output)
{
    int64_t cg = p->in_channels / p->groups, og = p->out_channels / p->groups; /* channels of one group */

    for (int64_t n = 0; n < p->batch; n++)
        for (int64_t o = 0; o < p->out_channels; o++)
            for (int64_t i = 0; i < p->out_height; i++)
                for (int64_t j = 0; j < p->out_width; j++) {
                    double sum = bias ? bias[o] : 0;
                    for (int64_t c = 0; c < cg; c++)
                        for (int64_t u = 0; u < p->kernel_height; u++)
                            for (int64_t v = 0; v < p->kernel_width; v++) {
                                int64_t channel = o / og * cg + c;
                                int64_t row = i * p->stride_height + u * p->dilation_height - p->pad_top;
                                int64_t column = j * p->stride_width + v * p->dilation_width - p->pad_left;
                                if (row < 0 || row >= p->in_height || column < 0 || column >= p->in_width)
                                    continue; /* on the padding */
                                int64_t at = ((n * p->in_channels + channel) * p->in_height + row) * p->in_width + column;
                                int64_t tap = ((o * cg + c) * p->kernel_height + u) * p->kernel_width + v;
                                sum += (double)input[at] * weight[tap];
                            }
                    *output++ = (float)sum;
                }
    return CONV_OK;
}
