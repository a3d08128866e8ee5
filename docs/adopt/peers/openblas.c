/* im2col in plain loops and OpenBLAS's sgemm as a subject: one image and one group at a time.
 * It refuses nothing. The bias is what the product is added to (beta = 1). */
#include "peer.h"

#include <cblas.h>
#include <stdlib.h>
#include <string.h>

CONV_EXPORT int32_t conv_subject_abi_version(void) { return 1; }
CONV_EXPORT const char *conv_subject_profile(void) { return "arithmetic=any-order fma=yes shapes=all"; }

typedef struct { int64_t rows, columns, in, out, x, k, y; } sizes; /* x, k, y: numbers of one image or of all weights of a group */

static sizes sizes_of(const conv2d_problem *p)
{
    sizes s;
    s.in = p->in_channels / p->groups;
    s.out = p->out_channels / p->groups;
    s.rows = s.in * p->kernel_height * p->kernel_width;
    s.columns = p->out_height * p->out_width;
    s.x = s.in * p->in_height * p->in_width;
    s.k = s.out * s.rows;
    s.y = s.out * s.columns;
    return s;
}

static float *new_matrix(const sizes *s)
{
    size_t n = (size_t)(s->rows * s->columns);
    return malloc((n > 0 ? n : 1) * sizeof(float));
}

static int64_t leading(int64_t n) { return n > 0 ? n : 1; } /* BLAS wants 1 at least, of empty matrices too */

/* One row a tap, one column an output. `gather` copies the image into the matrix, otherwise the matrix is added to the image. */
static void im2col(const conv2d_problem *p, int gather, float *image, float *matrix)
{
    for (int64_t c = 0; c < p->in_channels / p->groups; c++)
        for (int64_t u = 0; u < p->kernel_height; u++)
            for (int64_t v = 0; v < p->kernel_width; v++)
                for (int64_t i = 0; i < p->out_height; i++)
                    for (int64_t j = 0; j < p->out_width; j++, matrix++) {
                        int64_t h = i * p->stride_height + u * p->dilation_height - p->pad_top;
                        int64_t w = j * p->stride_width + v * p->dilation_width - p->pad_left;
                        int inside = h >= 0 && h < p->in_height && w >= 0 && w < p->in_width;
                        float *x = inside ? image + (c * p->in_height + h) * p->in_width + w : NULL;
                        if (gather) *matrix = inside ? *x : 0;
                        else if (inside) *x += *matrix;
                    }
}

/* y = the bias of its channel, or 0. */
static void fill(float *y, int64_t batch, int64_t channels, int64_t size, const float *bias)
{
    for (int64_t n = 0; n < batch; n++)
        for (int64_t c = 0; c < channels; c++)
            for (int64_t i = 0; i < size; i++) *y++ = bias ? bias[c] : 0;
}

CONV_EXPORT int conv2d_forward_f32(const conv2d_problem *p, const float *input, const float *weight, const float *bias, float *output)
{
    if (!conv_is_problem(p)) return CONV_INVALID;
    sizes s = sizes_of(p);
    float *matrix = new_matrix(&s);
    if (!matrix) return CONV_FAILED;
    fill(output, p->batch, p->out_channels, s.columns, bias);
    for (int64_t i = 0; i < p->batch * p->groups; i++) {
        im2col(p, 1, (float *)input + i * s.x, matrix);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, s.out, s.columns, s.rows, 1, weight + i % p->groups * s.k, leading(s.rows),
                    matrix, s.columns, 1, output + i * s.y, s.columns);
    }
    free(matrix);
    return CONV_OK;
}

CONV_EXPORT int conv2d_transposed_f32(const conv2d_problem *p, const float *input, const float *weight, const float *bias, float *output)
{
    if (!conv_is_problem(p)) return CONV_INVALID;
    sizes s = sizes_of(p);
    float *matrix = new_matrix(&s);
    if (!matrix) return CONV_FAILED;
    fill(output, p->batch, p->in_channels, p->in_height * p->in_width, bias);
    for (int64_t i = 0; i < p->batch * p->groups; i++) {
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, s.rows, s.columns, s.out, 1, weight + i % p->groups * s.k, leading(s.rows),
                    input + i * s.y, s.columns, 0, matrix, s.columns);
        im2col(p, 0, output + i * s.x, matrix);
    }
    free(matrix);
    return CONV_OK;
}

CONV_EXPORT int conv2d_backward_input_f32(const conv2d_problem *p, const float *output_gradient, const float *weight, float *input_gradient)
{
    return conv2d_transposed_f32(p, output_gradient, weight, NULL, input_gradient);
}

CONV_EXPORT int conv2d_backward_weight_f32(const conv2d_problem *p, const float *input, const float *output_gradient, float *weight_gradient)
{
    if (!conv_is_problem(p)) return CONV_INVALID;
    sizes s = sizes_of(p);
    float *matrix = new_matrix(&s);
    if (!matrix) return CONV_FAILED;
    memset(weight_gradient, 0, (size_t)(p->groups * s.k) * sizeof(float));
    for (int64_t i = 0; i < p->batch * p->groups; i++) {
        im2col(p, 1, (float *)input + i * s.x, matrix);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, s.out, s.rows, s.columns, 1, output_gradient + i * s.y, s.columns, matrix, s.columns,
                    1, weight_gradient + i % p->groups * s.k, leading(s.rows));
    }
    free(matrix);
    return CONV_OK;
}

CONV_EXPORT int conv2d_backward_bias_f32(const conv2d_problem *p, const float *output_gradient, float *bias_gradient)
{
    if (!conv_is_problem(p)) return CONV_INVALID;
    int64_t size = p->out_height * p->out_width;
    float *ones = malloc((size_t)size * sizeof(float));
    if (!ones) return CONV_FAILED;
    for (int64_t i = 0; i < size; i++) ones[i] = 1;
    memset(bias_gradient, 0, (size_t)p->out_channels * sizeof(float));
    for (int64_t n = 0; n < p->batch; n++)
        cblas_sgemv(CblasRowMajor, CblasNoTrans, p->out_channels, size, 1, output_gradient + n * p->out_channels * size, size, ones, 1, 1, bias_gradient, 1);
    free(ones);
    return CONV_OK;
}
