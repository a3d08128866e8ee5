/* What the native peers share. */
#ifndef CONV_PEER_H
#define CONV_PEER_H

#include "../conv_subject.h"

#define CONV_EXPORT __attribute__((visibility("default")))

/* Neither a refusal nor an invalid problem: the library failed. (A macro, to be an int beside the ABI's enum.) */
#define CONV_FAILED 3

/* Whether p is a problem at all. What a library says of strides of 0 is not asked: some divide by them. */
static inline int conv_is_problem(const conv2d_problem *p)
{
    return p->batch >= 0 && p->in_channels >= 0 && p->out_channels >= 0 && p->in_height >= 1 && p->in_width >= 1
        && p->kernel_height >= 1 && p->kernel_width >= 1 && p->stride_height >= 1 && p->stride_width >= 1
        && p->dilation_height >= 1 && p->dilation_width >= 1
        && p->pad_top >= 0 && p->pad_left >= 0 && p->pad_bottom >= 0 && p->pad_right >= 0
        && p->groups >= 1 && p->in_channels % p->groups == 0 && p->out_channels % p->groups == 0
        && p->in_height + p->pad_top + p->pad_bottom > (p->kernel_height - 1) * p->dilation_height
        && p->in_width + p->pad_left + p->pad_right > (p->kernel_width - 1) * p->dilation_width;
}

/* Whether the pads of one axis are those of SAME padding with the odd zero at the end (SAME_UPPER). */
static inline int conv_axis_is_same(int64_t size, int64_t kernel, int64_t stride, int64_t dilation, int64_t before, int64_t after)
{
    int64_t total = ((size + stride - 1) / stride - 1) * stride + (kernel - 1) * dilation + 1 - size;
    if (total < 0) total = 0;
    return before == total / 2 && after == total - total / 2;
}

static inline int conv_is_same(const conv2d_problem *p)
{
    return conv_axis_is_same(p->in_height, p->kernel_height, p->stride_height, p->dilation_height, p->pad_top, p->pad_bottom)
        && conv_axis_is_same(p->in_width, p->kernel_width, p->stride_width, p->dilation_width, p->pad_left, p->pad_right);
}

#endif
