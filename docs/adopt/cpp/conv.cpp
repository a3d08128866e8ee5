// A 2-D convolution in C++ behind the C ABI of conv_subject.h, with all that is optional there: gradients, the transposed convolution,
// prepared weights, the output's size and a profile.
//
// Build: c++ -std=c++17 -O2 -shared -fPIC -I.. conv.cpp -o libconv.so
// Run:   verify native:./libconv.so
//
// It sums in double: products of floats are exact there, so that it makes no difference whether the compiler fuses them with the sum.
#include "conv_subject.h"

#include <algorithm>
#include <new>
#include <vector>

// What prepare keeps: its arguments are gone when run is called.
struct conv2d_prepared {
    conv2d_problem problem;
    std::vector<double> weight, bias;
};

namespace {

int64_t inputs(const conv2d_problem &p) { return p.batch * p.in_channels * p.in_height * p.in_width; }
int64_t outputs(const conv2d_problem &p) { return p.batch * p.out_channels * p.out_height * p.out_width; }
int64_t weights(const conv2d_problem &p) { return p.out_channels * (p.in_channels / p.groups) * p.kernel_height * p.kernel_width; }

// Calls visit(x, k, y) for each product of the convolution: output number y has the term input number x times weight number k.
// Every operation below is a sum over these, which differ only in what is summed where.
template <typename Visit>
void each_product(const conv2d_problem &p, Visit visit) {
    const int64_t cg = p.in_channels / p.groups, og = p.out_channels / p.groups;
    int64_t y = 0;
    for (int64_t n = 0; n < p.batch; n++)
    for (int64_t o = 0; o < p.out_channels; o++)
    for (int64_t i = 0; i < p.out_height; i++)
    for (int64_t j = 0; j < p.out_width; j++, y++)
        for (int64_t c = 0; c < cg; c++)
        for (int64_t u = 0; u < p.kernel_height; u++)
        for (int64_t v = 0; v < p.kernel_width; v++) {
            const int64_t channel = o / og * cg + c;
            const int64_t row = i * p.stride_height + u * p.dilation_height - p.pad_top;
            const int64_t column = j * p.stride_width + v * p.dilation_width - p.pad_left;
            if (row >= 0 && row < p.in_height && column >= 0 && column < p.in_width)
                visit(((n * p.in_channels + channel) * p.in_height + row) * p.in_width + column,
                      ((o * cg + c) * p.kernel_height + u) * p.kernel_width + v,
                      y);
        }
}

// Sets a tensor of batch x channels x plane numbers to the bias of each channel, or to 0.
template <typename Number>
void fill(double *sums, int64_t batch, int64_t channels, int64_t plane, const Number *bias) {
    for (int64_t n = 0; n < batch; n++)
        for (int64_t c = 0; c < channels; c++, sums += plane)
            std::fill_n(sums, plane, bias ? double(bias[c]) : 0.0);
}

void round(const double *sums, int64_t count, float *result) {
    for (int64_t i = 0; i < count; i++)
        result[i] = float(sums[i]);
}

// No exception may cross the C ABI; the only one here is that there is no memory, before anything was written.
template <typename Body>
int guarded(Body body) {
    try {
        body();
        return CONV_OK;
    } catch (const std::bad_alloc &) {
        return CONV_UNSUPPORTED;
    }
}

} // namespace

int32_t conv_subject_abi_version(void) { return 1; }

const char *conv_subject_profile(void) { return "deterministic=yes shapes=all"; }

int conv2d_output_size(const conv2d_problem *p, int64_t *out_height, int64_t *out_width) {
    const int64_t height = p->in_height + p->pad_top + p->pad_bottom - (p->kernel_height - 1) * p->dilation_height - 1;
    const int64_t width = p->in_width + p->pad_left + p->pad_right - (p->kernel_width - 1) * p->dilation_width - 1;
    if (height < 0 || width < 0 || p->stride_height < 1 || p->stride_width < 1)
        return CONV_INVALID;
    *out_height = height / p->stride_height + 1;
    *out_width = width / p->stride_width + 1;
    return CONV_OK;
}

int conv2d_forward_f32(const conv2d_problem *p, const float *input, const float *weight, const float *bias, float *output) {
    return guarded([&] {
        std::vector<double> sums(outputs(*p));
        fill(sums.data(), p->batch, p->out_channels, p->out_height * p->out_width, bias);
        each_product(*p, [&](int64_t x, int64_t k, int64_t y) { sums[y] += double(input[x]) * weight[k]; });
        round(sums.data(), outputs(*p), output);
    });
}

int conv2d_prepare_f32(const conv2d_problem *p, const float *weight, const float *bias,
                       conv2d_prepared **prepared, int64_t *workspace_bytes) {
    return guarded([&] {
        *prepared = new conv2d_prepared{
            *p,
            std::vector<double>(weight, weight + weights(*p)),
            bias ? std::vector<double>(bias, bias + p->out_channels) : std::vector<double>()};
        *workspace_bytes = outputs(*p) * int64_t(sizeof(double));
    });
}

int conv2d_run_f32(const conv2d_prepared *prepared, const float *input, float *output, void *workspace) {
    const conv2d_problem &p = prepared->problem;
    const double *weight = prepared->weight.data();
    double *sums = static_cast<double *>(workspace);
    fill(sums, p.batch, p.out_channels, p.out_height * p.out_width, prepared->bias.empty() ? nullptr : prepared->bias.data());
    each_product(p, [&](int64_t x, int64_t k, int64_t y) { sums[y] += input[x] * weight[k]; });
    round(sums, outputs(p), output);
    return CONV_OK;
}

void conv2d_release(conv2d_prepared *prepared) { delete prepared; }

int conv2d_backward_input_f32(const conv2d_problem *p, const float *output_gradient, const float *weight, float *input_gradient) {
    return guarded([&] {
        std::vector<double> sums(inputs(*p));
        each_product(*p, [&](int64_t x, int64_t k, int64_t y) { sums[x] += double(output_gradient[y]) * weight[k]; });
        round(sums.data(), inputs(*p), input_gradient);
    });
}

int conv2d_backward_weight_f32(const conv2d_problem *p, const float *input, const float *output_gradient, float *weight_gradient) {
    return guarded([&] {
        std::vector<double> sums(weights(*p));
        each_product(*p, [&](int64_t x, int64_t k, int64_t y) { sums[k] += double(input[x]) * output_gradient[y]; });
        round(sums.data(), weights(*p), weight_gradient);
    });
}

int conv2d_backward_bias_f32(const conv2d_problem *p, const float *output_gradient, float *bias_gradient) {
    const int64_t plane = p->out_height * p->out_width;
    for (int64_t o = 0; o < p->out_channels; o++) {
        double sum = 0;
        for (int64_t n = 0; n < p->batch; n++)
            for (int64_t i = 0; i < plane; i++)
                sum += output_gradient[(n * p->out_channels + o) * plane + i];
        bias_gradient[o] = float(sum);
    }
    return CONV_OK;
}

// As backward_input, of any tensor of the output's size, and with a bias.
int conv2d_transposed_f32(const conv2d_problem *p, const float *input, const float *weight, const float *bias, float *output) {
    return guarded([&] {
        std::vector<double> sums(inputs(*p));
        fill(sums.data(), p->batch, p->in_channels, p->in_height * p->in_width, bias);
        each_product(*p, [&](int64_t x, int64_t k, int64_t y) { sums[x] += double(input[y]) * weight[k]; });
        round(sums.data(), inputs(*p), output);
    });
}
