/* XNNPACK's convolution2d_nhwc_f32 and deconvolution2d_nhwc_f32 as a subject. -DSAME: the padding is not passed as numbers but as
 * XNN_FLAG_TENSORFLOW_SAME_PADDING; it takes the problems whose padding that is.
 *
 * Images are channels-last and weights output channel first there: converted here in plain loops. An operator packs its weights when
 * it is created, which is what conv2d_prepare_f32 does. Operators run with subnormals disabled (PTHREADPOOL_FLAG_DISABLE_DENORMALS),
 * hence flushes=yes. The output is not clamped: its range is -inf to +inf.
 *
 * Refused: what the library calls an invalid or unsupported parameter, channels of 0 among it. It does not report output sizes. */
#include "peer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <xnnpack.h>

CONV_EXPORT int32_t conv_subject_abi_version(void) { return 1; }
#ifdef SAME
CONV_EXPORT const char *conv_subject_profile(void) { return "arithmetic=any-order fma=yes flushes=yes pads=same-upper"; }
#else
CONV_EXPORT const char *conv_subject_profile(void) { return "arithmetic=any-order fma=yes flushes=yes"; }
#endif

/* Numbers of a tensor and what the library may read past its end. */
static size_t padded(int64_t numbers) { return (size_t)numbers * sizeof(float) + XNN_EXTRA_BYTES; }
static size_t aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

static int answer(enum xnn_status s)
{
    return s == xnn_status_success ? CONV_OK
        : s == xnn_status_invalid_parameter || s == xnn_status_unsupported_parameter || s == xnn_status_unsupported_hardware
            ? CONV_UNSUPPORTED : CONV_FAILED;
}

/* a x b x c, the last two exchanged. */
static void exchange(int64_t a, int64_t b, int64_t c, const float *x, float *y)
{
    for (int64_t n = 0; n < a; n++)
        for (int64_t j = 0; j < c; j++)
            for (int64_t i = 0; i < b; i++) *y++ = x[(n * b + i) * c + j];
}

struct conv2d_prepared { conv2d_problem problem; xnn_operator_t operator; };

static int prepare(const conv2d_problem *p, int transposed, const float *weight, const float *bias, xnn_operator_t *operator)
{
    if (!conv_is_problem(p)) return CONV_INVALID;
#ifdef SAME
    if (!conv_is_same(p)) return CONV_UNSUPPORTED;
    const int64_t top = 0, right = 0, bottom = 0, left = 0;
    const uint32_t flags = XNN_FLAG_TENSORFLOW_SAME_PADDING;
#else
    const int64_t top = p->pad_top, right = p->pad_right, bottom = p->pad_bottom, left = p->pad_left;
    const uint32_t flags = 0;
#endif
    enum xnn_status status = xnn_initialize(NULL);
    if (status != xnn_status_success) return answer(status);
    int64_t in = p->in_channels / p->groups, out = p->out_channels / p->groups, taps = p->kernel_height * p->kernel_width;
    float *k = malloc(padded(p->out_channels * in * taps));
    if (!k) return CONV_FAILED;
    if (!transposed) {
        exchange(p->out_channels, in, taps, weight, k); /* o, taps, c */
        status = xnn_create_convolution2d_nhwc_f32(top, right, bottom, left, p->kernel_height, p->kernel_width, p->stride_height, p->stride_width,
            p->dilation_height, p->dilation_width, p->groups, in, out, p->in_channels, p->out_channels, k, bias, -INFINITY, INFINITY, flags, operator);
    } else {
        for (int64_t g = 0; g < p->groups; g++) /* group, c, taps, o */
            exchange(1, out, in * taps, weight + g * out * in * taps, k + g * out * in * taps);
        status = xnn_create_deconvolution2d_nhwc_f32(top, right, bottom, left, p->kernel_height, p->kernel_width, p->stride_height, p->stride_width,
            p->dilation_height, p->dilation_width, p->groups, out, in, p->out_channels, p->in_channels, k, bias, -INFINITY, INFINITY, flags, operator);
    }
    free(k);
    return answer(status);
}

static int64_t input_numbers(const conv2d_problem *p) { return p->batch * p->in_channels * p->in_height * p->in_width; }
static int64_t output_numbers(const conv2d_problem *p) { return p->batch * p->out_channels * p->out_height * p->out_width; }

CONV_EXPORT int conv2d_prepare_f32(const conv2d_problem *p, const float *weight, const float *bias, conv2d_prepared **prepared, int64_t *workspace_bytes)
{
    xnn_operator_t operator = NULL;
    int status = prepare(p, 0, weight, bias, &operator);
    if (status != CONV_OK) return status;
    conv2d_prepared *r = malloc(sizeof *r);
    if (!r) { xnn_delete_operator(operator); return CONV_FAILED; }
    r->problem = *p;
    r->operator = operator;
    *prepared = r;
    *workspace_bytes = (int64_t)(64 + aligned(padded(input_numbers(p))) + padded(output_numbers(p)));
    return CONV_OK;
}

CONV_EXPORT int conv2d_run_f32(const conv2d_prepared *r, const float *input, float *output, void *workspace)
{
    const conv2d_problem *p = &r->problem;
    float *x = (float *)aligned((size_t)workspace), *y = (float *)((char *)x + aligned(padded(input_numbers(p))));
    exchange(p->batch, p->in_channels, p->in_height * p->in_width, input, x);
    enum xnn_status status = xnn_setup_convolution2d_nhwc_f32(r->operator, p->batch, p->in_height, p->in_width, x, y, NULL);
    if (status == xnn_status_success) status = xnn_run_operator(r->operator, NULL);
    if (status == xnn_status_success) exchange(p->batch, p->out_height * p->out_width, p->out_channels, y, output);
    return answer(status);
}

CONV_EXPORT void conv2d_release(conv2d_prepared *prepared)
{
    if (!prepared) return;
    xnn_delete_operator(prepared->operator);
    free(prepared);
}

CONV_EXPORT int conv2d_forward_f32(const conv2d_problem *p, const float *input, const float *weight, const float *bias, float *output)
{
    conv2d_prepared *r;
    int64_t bytes;
    int status = conv2d_prepare_f32(p, weight, bias, &r, &bytes);
    if (status != CONV_OK) return status;
    void *workspace = malloc((size_t)bytes);
    status = workspace ? conv2d_run_f32(r, input, output, workspace) : CONV_FAILED;
    free(workspace);
    conv2d_release(r);
    return status;
}

#ifndef SAME
CONV_EXPORT int conv2d_transposed_f32(const conv2d_problem *p, const float *input, const float *weight, const float *bias, float *output)
{
    xnn_operator_t operator = NULL;
    int answered = prepare(p, 1, weight, bias, &operator);
    if (answered != CONV_OK) return answered;
    /* Rows and columns of the result that the strides leave open: the interface wants them told. */
    int64_t rows = p->in_height + p->pad_top + p->pad_bottom - ((p->out_height - 1) * p->stride_height + (p->kernel_height - 1) * p->dilation_height + 1);
    int64_t columns = p->in_width + p->pad_left + p->pad_right - ((p->out_width - 1) * p->stride_width + (p->kernel_width - 1) * p->dilation_width + 1);
    float *x = malloc(padded(output_numbers(p))), *y = malloc(padded(input_numbers(p)));
    enum xnn_status status = xnn_status_out_of_memory;
    if (x && y) {
        exchange(p->batch, p->out_channels, p->out_height * p->out_width, input, x);
        status = xnn_setup_deconvolution2d_nhwc_f32(operator, p->batch, p->out_height, p->out_width, rows, columns, x, y, NULL);
        if (status == xnn_status_success) status = xnn_run_operator(operator, NULL);
        if (status == xnn_status_success) exchange(p->batch, p->in_height * p->in_width, p->in_channels, y, output);
    }
    free(x);
    free(y);
    xnn_delete_operator(operator);
    return answer(status);
}
#endif
