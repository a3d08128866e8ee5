/* oneDNN 2.6.3's Winograd as it is seen from outside: 3x3, stride 1, a claimed bound, and, with -DEXCHANGED, the fault of its gradient of the
 * input: the zeros above and those below are exchanged. */
#include "conv_subject.h"

#include <string.h>

const char *conv_subject_profile(void)
{
  return "arithmetic=within:2048,global gradients=within:2048,global fma=yes kernels=3x3 strides=1x1 dilations=1x1 groups=1";
}

static int taken(const conv2d_problem *p)
{
  return p->kernel_height == 3 && p->kernel_width == 3 && p->stride_height == 1 && p->stride_width == 1 && p->dilation_height == 1 &&
         p->dilation_width == 1 && p->groups == 1;
}

/* Calls `term` with the flat indices of x, k and y in every product of the definition. */
#define FOR_PRODUCTS(p, above, term)                                                                                                  \
  for (int64_t n = 0; n < (p)->batch; n++)                                                                                            \
    for (int64_t o = 0; o < (p)->out_channels; o++)                                                                                   \
      for (int64_t i = 0; i < (p)->out_height; i++)                                                                                   \
        for (int64_t j = 0; j < (p)->out_width; j++)                                                                                  \
          for (int64_t c = 0; c < (p)->in_channels; c++)                                                                              \
            for (int64_t u = 0; u < 3; u++)                                                                                           \
              for (int64_t v = 0; v < 3; v++) {                                                                                       \
                int64_t h = i + u - (above), w = j + v - (p)->pad_left;                                                               \
                if (h < 0 || h >= (p)->in_height || w < 0 || w >= (p)->in_width) continue;                                            \
                int64_t x = ((n * (p)->in_channels + c) * (p)->in_height + h) * (p)->in_width + w;                                    \
                int64_t k = ((o * (p)->in_channels + c) * 3 + u) * 3 + v;                                                             \
                int64_t y = ((n * (p)->out_channels + o) * (p)->out_height + i) * (p)->out_width + j;                                 \
                term;                                                                                                                 \
              }

int conv2d_forward_f32(const conv2d_problem *p, const float *input, const float *weight, const float *bias, float *output)
{
  if (!taken(p)) return CONV_UNSUPPORTED;
  int64_t plane = p->out_height * p->out_width;
  for (int64_t at = 0; at < p->batch * p->out_channels * plane; at++)
    output[at] = bias ? bias[at / plane % p->out_channels] : 0;
  FOR_PRODUCTS(p, p->pad_top, output[y] += input[x] * weight[k])
  return CONV_OK;
}

int conv2d_backward_input_f32(const conv2d_problem *p, const float *output_gradient, const float *weight, float *input_gradient)
{
  if (!taken(p)) return CONV_UNSUPPORTED;
#ifdef EXCHANGED
  int64_t above = p->pad_bottom;
#else
  int64_t above = p->pad_top;
#endif
  memset(input_gradient, 0, sizeof(float) * (size_t)(p->batch * p->in_channels * p->in_height * p->in_width));
  FOR_PRODUCTS(p, above, input_gradient[x] += output_gradient[y] * weight[k])
  return CONV_OK;
}

int conv2d_backward_weight_f32(const conv2d_problem *p, const float *input, const float *output_gradient, float *weight_gradient)
{
  if (!taken(p)) return CONV_UNSUPPORTED;
  memset(weight_gradient, 0, sizeof(float) * (size_t)(p->out_channels * p->in_channels * 9));
  FOR_PRODUCTS(p, p->pad_top, weight_gradient[k] += output_gradient[y] * input[x])
  return CONV_OK;
}

int conv2d_backward_bias_f32(const conv2d_problem *p, const float *output_gradient, float *bias_gradient)
{
  if (!taken(p)) return CONV_UNSUPPORTED;
  int64_t plane = p->out_height * p->out_width;
  memset(bias_gradient, 0, sizeof(float) * (size_t)p->out_channels);
  for (int64_t at = 0; at < p->batch * p->out_channels * plane; at++) bias_gradient[at / plane % p->out_channels] += output_gradient[at];
  return CONV_OK;
}
