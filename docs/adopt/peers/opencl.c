/* A naive convolution in OpenCL as a subject: one work item an output, the first device of the first platform that has one (a GPU if
 * there is one; PoCL makes the processor a device). All passes are sums of one loop in a fixed order, hence deterministic; OpenCL C may
 * contract a product and a sum. Whether subnormals are flushed is what the device says (CL_FP_DENORM). It refuses nothing. */
#define CL_TARGET_OPENCL_VERSION 120
#include "peer.h"

#include <CL/cl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* p: the fields of conv2d_problem in their order. All passes take the same arguments: two operands, a bias, the result. */
static const char *source =
    "enum { N, G, C, H, W, O, HO, WO, KH, KW, SH, SW, DH, DW, PT, PL };\n"
    "kernel void forward(constant long *p, global const float *x, global const float *k, global const float *bias, int biased, global float *y) {\n"
    "  long id = get_global_id(0), j = id % p[WO], i = id / p[WO] % p[HO], o = id / p[WO] / p[HO] % p[O], n = id / p[WO] / p[HO] / p[O];\n"
    "  long cs = p[C] / p[G], first = o / (p[O] / p[G]) * cs;\n"
    "  float s = biased ? bias[o] : 0.0f;\n"
    "  for (long c = 0; c < cs; c++) for (long u = 0; u < p[KH]; u++) for (long v = 0; v < p[KW]; v++) {\n"
    "    long h = i * p[SH] + u * p[DH] - p[PT], w = j * p[SW] + v * p[DW] - p[PL];\n"
    "    if (h >= 0 && h < p[H] && w >= 0 && w < p[W])\n"
    "      s += x[((n * p[C] + first + c) * p[H] + h) * p[W] + w] * k[((o * cs + c) * p[KH] + u) * p[KW] + v];\n"
    "  }\n"
    "  y[id] = s;\n"
    "}\n"
    /* from a tensor of the output's size to one of the input's */
    "kernel void transposed(constant long *p, global const float *y, global const float *k, global const float *bias, int biased, global float *x) {\n"
    "  long id = get_global_id(0), w = id % p[W], h = id / p[W] % p[H], c = id / p[W] / p[H] % p[C], n = id / p[W] / p[H] / p[C];\n"
    "  long cs = p[C] / p[G], os = p[O] / p[G], first = c / cs * os;\n"
    "  float s = biased ? bias[c] : 0.0f;\n"
    "  for (long o = first; o < first + os; o++) for (long u = 0; u < p[KH]; u++) for (long v = 0; v < p[KW]; v++) {\n"
    "    long i = h + p[PT] - u * p[DH], j = w + p[PL] - v * p[DW];\n"
    "    if (i >= 0 && i % p[SH] == 0 && i / p[SH] < p[HO] && j >= 0 && j % p[SW] == 0 && j / p[SW] < p[WO])\n"
    "      s += y[((n * p[O] + o) * p[HO] + i / p[SH]) * p[WO] + j / p[SW]] * k[((o * cs + c % cs) * p[KH] + u) * p[KW] + v];\n"
    "  }\n"
    "  x[id] = s;\n"
    "}\n"
    "kernel void weights(constant long *p, global const float *x, global const float *y, global const float *bias, int biased, global float *k) {\n"
    "  long cs = p[C] / p[G], id = get_global_id(0), v = id % p[KW], u = id / p[KW] % p[KH], c = id / p[KW] / p[KH] % cs, o = id / p[KW] / p[KH] / cs;\n"
    "  long first = o / (p[O] / p[G]) * cs;\n"
    "  float s = 0.0f;\n"
    "  for (long n = 0; n < p[N]; n++) for (long i = 0; i < p[HO]; i++) for (long j = 0; j < p[WO]; j++) {\n"
    "    long h = i * p[SH] + u * p[DH] - p[PT], w = j * p[SW] + v * p[DW] - p[PL];\n"
    "    if (h >= 0 && h < p[H] && w >= 0 && w < p[W])\n"
    "      s += x[((n * p[C] + first + c) * p[H] + h) * p[W] + w] * y[((n * p[O] + o) * p[HO] + i) * p[WO] + j];\n"
    "  }\n"
    "  k[id] = s;\n"
    "}\n";

static cl_device_id device;
static cl_context context;
static cl_command_queue queue;
static cl_program program;

static int start(void)
{
    static int state; /* 0: not asked yet, 1: ready, -1: there is no device, or the source does not build */
    if (state) return state;
    state = -1;
    cl_platform_id platforms[16];
    cl_uint count = 0;
    if (clGetPlatformIDs(16, platforms, &count) != CL_SUCCESS) return state;
    if (count > 16) count = 16;
    static const cl_device_type kinds[] = {CL_DEVICE_TYPE_GPU, CL_DEVICE_TYPE_ALL};
    for (int k = 0; k < 2 && !device; k++)
        for (cl_uint i = 0; i < count && !device; i++)
            if (clGetDeviceIDs(platforms[i], kinds[k], 1, &device, NULL) != CL_SUCCESS) device = NULL;
    if (!device) return state;
    cl_int e;
    context = clCreateContext(NULL, 1, &device, NULL, NULL, &e);
    if (e == CL_SUCCESS) queue = clCreateCommandQueue(context, device, 0, &e);
    if (e == CL_SUCCESS) program = clCreateProgramWithSource(context, 1, &source, NULL, &e);
    if (e == CL_SUCCESS) e = clBuildProgram(program, 1, &device, "", NULL, NULL);
    return state = e == CL_SUCCESS ? 1 : -1;
}

CONV_EXPORT int32_t conv_subject_abi_version(void) { return 1; }

CONV_EXPORT const char *conv_subject_profile(void)
{
    cl_device_fp_config config = 0;
    if (start() == 1) clGetDeviceInfo(device, CL_DEVICE_SINGLE_FP_CONFIG, sizeof config, &config, NULL);
    return config & CL_FP_DENORM ? "arithmetic=any-order fma=yes deterministic=yes shapes=all"
                                 : "arithmetic=any-order fma=yes deterministic=yes flushes=yes shapes=all";
}

/* A buffer of 1 number at least: OpenCL has no empty ones. */
static cl_mem upload(const void *data, size_t bytes, cl_int *e)
{
    cl_mem m = NULL;
    if (*e == CL_SUCCESS) m = clCreateBuffer(context, CL_MEM_READ_WRITE, bytes > 4 ? bytes : 4, NULL, e);
    if (*e == CL_SUCCESS && data && bytes) *e = clEnqueueWriteBuffer(queue, m, CL_TRUE, 0, bytes, data, 0, NULL, NULL);
    return m;
}

static int run(const conv2d_problem *p, const char *name, const float *a, int64_t a_count, const float *b, int64_t b_count, const float *bias,
               int64_t bias_count, float *r, int64_t r_count)
{
    if (!conv_is_problem(p)) return CONV_INVALID;
    if (start() != 1) return CONV_FAILED;
    if (r_count == 0) return CONV_OK;
    cl_int e = CL_SUCCESS, biased = bias != NULL;
    cl_kernel kernel = clCreateKernel(program, name, &e);
    const size_t f = sizeof(float), work = (size_t)r_count;
    cl_mem m[5] = {upload(p, sizeof *p, &e), upload(a, a_count * f, &e), upload(b, b_count * f, &e),
                   upload(bias, bias_count * f, &e), upload(NULL, r_count * f, &e)};
    for (int i = 0; i < 4 && e == CL_SUCCESS; i++) e = clSetKernelArg(kernel, i, sizeof(cl_mem), &m[i]);
    if (e == CL_SUCCESS) e = clSetKernelArg(kernel, 4, sizeof biased, &biased);
    if (e == CL_SUCCESS) e = clSetKernelArg(kernel, 5, sizeof(cl_mem), &m[4]);
    if (e == CL_SUCCESS) e = clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &work, NULL, 0, NULL, NULL);
    if (e == CL_SUCCESS) e = clEnqueueReadBuffer(queue, m[4], CL_TRUE, 0, r_count * f, r, 0, NULL, NULL);
    for (int i = 0; i < 5; i++) if (m[i]) clReleaseMemObject(m[i]);
    if (kernel) clReleaseKernel(kernel);
    if (e != CL_SUCCESS) fprintf(stderr, "OpenCL: %s: error %d\n", name, e);
    return e == CL_SUCCESS ? CONV_OK : CONV_FAILED;
}

static int64_t xs(const conv2d_problem *p) { return p->batch * p->in_channels * p->in_height * p->in_width; }
static int64_t ys(const conv2d_problem *p) { return p->batch * p->out_channels * p->out_height * p->out_width; }
static int64_t ks(const conv2d_problem *p)
{
    return p->groups < 1 ? 0 : p->out_channels * (p->in_channels / p->groups) * p->kernel_height * p->kernel_width;
}

CONV_EXPORT int conv2d_forward_f32(const conv2d_problem *p, const float *input, const float *weight, const float *bias, float *output)
{
    return run(p, "forward", input, xs(p), weight, ks(p), bias, p->out_channels, output, ys(p));
}

CONV_EXPORT int conv2d_transposed_f32(const conv2d_problem *p, const float *input, const float *weight, const float *bias, float *output)
{
    return run(p, "transposed", input, ys(p), weight, ks(p), bias, p->in_channels, output, xs(p));
}

CONV_EXPORT int conv2d_backward_input_f32(const conv2d_problem *p, const float *output_gradient, const float *weight, float *input_gradient)
{
    return run(p, "transposed", output_gradient, ys(p), weight, ks(p), NULL, 0, input_gradient, xs(p));
}

CONV_EXPORT int conv2d_backward_weight_f32(const conv2d_problem *p, const float *input, const float *output_gradient, float *weight_gradient)
{
    return run(p, "weights", input, xs(p), output_gradient, ys(p), NULL, 0, weight_gradient, ks(p));
}
