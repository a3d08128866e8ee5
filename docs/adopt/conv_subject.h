/* A convolution that Conv can hold to its laws: export conv2d_forward_f32 from a shared library, and run
 *
 *     verify native:path/to/libyours.so
 *
 * Everything else here is optional and looked for by name. ABI version 1.
 *
 * All tensors are dense, row-major float32:
 *     input   batch x in_channels x in_height x in_width
 *     weight  out_channels x in_channels/groups x kernel_height x kernel_width
 *     bias    out_channels, or NULL for none
 *     output  batch x out_channels x out_height x out_width
 *
 * y[n,o,i,j] = bias[o] + sum over c,u,v of
 *     x[n, g(o)*in_channels/groups + c, i*stride_height + u*dilation_height - pad_top, j*stride_width + v*dilation_width - pad_left]
 *     * weight[o,c,u,v]
 * with x = 0 outside of the image and g(o) = o / (out_channels/groups).
 *
 * batch, in_channels and out_channels may be 0; only valid problems come, so that no numerator of a size is negative. Every number of the output
 * (of a gradient too) is to be written over whatever stands there; nothing else is, and nothing beside the tensors is read, since a page that
 * nobody may touch can stand there. Pointers to tensors are not NULL, also where they hold no
 * numbers; bias is NULL exactly where there is none, or no output channel. Functions may be called from any thread, one call at a time. */
#ifndef CONV_SUBJECT_H
#define CONV_SUBJECT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct conv2d_problem {
  int64_t batch, groups;
  int64_t in_channels, in_height, in_width;
  int64_t out_channels, out_height, out_width;
  int64_t kernel_height, kernel_width;
  int64_t stride_height, stride_width;
  int64_t dilation_height, dilation_width;
  int64_t pad_top, pad_left, pad_bottom, pad_right;
} conv2d_problem;

/* CONV_UNSUPPORTED: a valid problem that this convolution does not take; nothing was written.
 * CONV_INVALID: no problem at all (a stride of 0, channels that do not divide into groups); nothing was written. */
enum { CONV_OK = 0, CONV_UNSUPPORTED = 1, CONV_INVALID = 2 };

/* The one function that a subject must have. */
int conv2d_forward_f32(const conv2d_problem *p, const float *input, const float *weight,
                       const float *bias /* may be NULL */, float *output);

/* ---- optional ------------------------------------------------------------------------------------------------ */

/* 1, as without this function. A library that says another number is refused. */
int32_t conv_subject_abi_version(void);

/* What the subject declares of itself: name=value fields as docs/adopt/README.md lists them, for example
 * "arithmetic=any-order deterministic=yes kernels=3x3 strides=1x1". NULL or "" for nothing; the text must last as long as the library. */
const char *conv_subject_profile(void);

/* The output's size as the subject computes it from the other numbers; out_height and out_width of p are 0 here. All other calls get the
 * definition's size. */
int conv2d_output_size(const conv2d_problem *p, int64_t *out_height, int64_t *out_width);

/* Weights that are laid out once and used many times: prepare copies what it needs, since p, weight and bias are gone when it has returned.
 * workspace_bytes is what run needs beside its tensors: the kit supplies it, 64-byte aligned where tensors are. Runs of one prepared
 * convolution may happen at once. Where the three exist, the laws on weights that are prepared once and run often ask them. */
typedef struct conv2d_prepared conv2d_prepared;
int conv2d_prepare_f32(const conv2d_problem *p, const float *weight, const float *bias /* may be NULL */,
                       conv2d_prepared **prepared, int64_t *workspace_bytes);
int conv2d_run_f32(const conv2d_prepared *prepared, const float *input, float *output, void *workspace);
void conv2d_release(conv2d_prepared *prepared);

/* The gradients of sum(output * output_gradient): of the input, of the weights, of the bias. */
int conv2d_backward_input_f32(const conv2d_problem *p, const float *output_gradient, const float *weight, float *input_gradient);
int conv2d_backward_weight_f32(const conv2d_problem *p, const float *input, const float *output_gradient, float *weight_gradient);
int conv2d_backward_bias_f32(const conv2d_problem *p, const float *output_gradient, float *bias_gradient);

/* The transposed convolution ("deconvolution") whose adjoint is p: from a tensor of p's output size to one of p's input size, with the
 * weights of p and a bias for each of p's input channels. */
int conv2d_transposed_f32(const conv2d_problem *p, const float *input /* as p's output */, const float *weight,
                          const float *bias /* in_channels, or NULL */, float *output /* as p's input */);

#ifdef __cplusplus
}
#endif
#endif
