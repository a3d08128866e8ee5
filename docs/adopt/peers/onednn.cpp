/* oneDNN (2.x) as a subject. Compiled once for each way to call it:
 *
 *     -DLAYOUT=plain   nchw and oihw as they come: the caller's arrays go to the library as they are
 *     -DLAYOUT=nhwc    images channels-last, weights as the library likes them
 *     -DLAYOUT=any     images and weights as the library likes them (mostly in blocks of channels)
 *     -DALGORITHM=direct|automatic|winograd
 *
 * Layouts are converted by copy() below, which reads the library's description of a layout; the library's own reorder is
 * used for nothing but Winograd's transformed weights, whose layout is not described.
 *
 * Refused: what the library calls unimplemented or invalid. It checks output sizes but does not compute them, so
 * conv2d_output_size is not exported. `automatic` may choose Winograd by the library's documentation, hence opaque like
 * `winograd`; the matrices depend on the kernel that is chosen for a shape and a processor. */
#include "peer.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <unordered_map>
#include <vector>

#include <oneapi/dnnl/dnnl.hpp>

using namespace dnnl;
using dims = memory::dims;
using tag = memory::format_tag;

#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)
enum { layout_plain, layout_nhwc, layout_any, algorithm_direct, algorithm_automatic, algorithm_winograd };
static const int layout = PASTE(layout_, LAYOUT), method = PASTE(algorithm_, ALGORITHM);

static const algorithm convolution_algorithm = method == algorithm_winograd ? algorithm::convolution_winograd
    : method == algorithm_automatic ? algorithm::convolution_auto : algorithm::convolution_direct;
static const algorithm deconvolution_algorithm =
    method == algorithm_winograd ? algorithm::deconvolution_winograd : algorithm::deconvolution_direct; // there is no auto

static const engine &cpu() { static const engine e(engine::kind::cpu, 0); return e; }
static memory::desc dense(const dims &d, tag t) { return memory::desc(d, memory::data_type::f32, t); }

// A tensor of the problem: how the caller has it, and how the library is asked to take it.
struct tensor { memory::desc given, asked; };

static tensor image(int64_t n, int64_t c, int64_t h, int64_t w)
{
    dims d{n, c, h, w};
    return {dense(d, tag::nchw), dense(d, layout == layout_plain ? tag::nchw : layout == layout_nhwc ? tag::nhwc : tag::any)};
}

struct setting {
    tensor source, weights, transposed_weights, result;
    memory::desc bias, source_bias;
    dims strides, dilations, before, after;

    explicit setting(const conv2d_problem &p)
        : source(image(p.batch, p.in_channels, p.in_height, p.in_width)),
          result(image(p.batch, p.out_channels, p.out_height, p.out_width)),
          bias(dense({p.out_channels}, tag::x)), source_bias(dense({p.in_channels}, tag::x)),
          strides{p.stride_height, p.stride_width},
          dilations{p.dilation_height - 1, p.dilation_width - 1}, // the library counts the gaps
          before{p.pad_top, p.pad_left}, after{p.pad_bottom, p.pad_right}
    {
        int64_t g = p.groups, o = p.out_channels / g, c = p.in_channels / g, h = p.kernel_height, w = p.kernel_width;
        if (g == 1) {
            weights.given = dense({o, c, h, w}, tag::oihw);
            transposed_weights.given = dense({c, o, h, w}, tag::iohw); // the same array, its channels named from the other side
        } else {
            weights.given = dense({g, o, c, h, w}, tag::goihw);
            transposed_weights.given = dense({g, c, o, h, w}, tag::giohw);
        }
        for (tensor *t : {&weights, &transposed_weights})
            t->asked = layout == layout_plain ? t->given : dense(t->given.dims(), tag::any);
    }
};

// Where an element lies, by the definition of dnnl_blocking_desc_t.
static int64_t offset(const dnnl_memory_desc_t &d, const int64_t *index)
{
    const dnnl_blocking_desc_t &b = d.format_desc.blocking;
    int64_t position[DNNL_MAX_NDIMS], at = d.offset0, step = 1;
    std::memcpy(position, index, sizeof position);
    for (int i = b.inner_nblks - 1; i >= 0; i--) {
        int64_t &x = position[b.inner_idxs[i]];
        at += x % b.inner_blks[i] * step;
        x /= b.inner_blks[i];
        step *= b.inner_blks[i];
    }
    for (int i = 0; i < d.ndims; i++) at += position[i] * b.strides[i];
    return at;
}

static bool described(const memory::desc &d) { return d.data.format_kind == dnnl_blocked; }

static void copy(const memory::desc &from, const float *x, const memory::desc &to, float *y)
{
    if (!described(from) || !described(to)) {
        stream s(cpu());
        memory m(from, cpu(), const_cast<float *>(x)), k(to, cpu(), y);
        reorder(m, k).execute(s, m, k);
        s.wait();
        return;
    }
    if (to.get_size() > 0) std::memset(y, 0, to.get_size()); // channels that fill up a block are to be 0
    const dnnl_memory_desc_t &f = from.data, &t = to.data;
    int64_t count = 1, index[DNNL_MAX_NDIMS] = {0};
    for (int i = 0; i < f.ndims; i++) count *= f.dims[i];
    for (; count > 0; count--) {
        y[offset(t, index)] = x[offset(f, index)];
        for (int i = f.ndims - 1; i >= 0 && ++index[i] == f.dims[i]; i--) index[i] = 0;
    }
}

static size_t aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

// An operand or a result in the library's layout: the caller's own array where that is its layout already, otherwise a
// piece of `free`, which is moved on.
static memory operand(const memory::desc &given, const float *x, const memory::desc &wanted, char *&free)
{
    if (given == wanted) return memory(wanted, cpu(), const_cast<float *>(x));
    float *y = reinterpret_cast<float *>(free);
    free += aligned(wanted.get_size());
    copy(given, x, wanted, y);
    return memory(wanted, cpu(), y);
}

static memory target(const memory::desc &given, float *y, const memory::desc &wanted, char *&free)
{
    if (given == wanted) return memory(wanted, cpu(), y);
    float *x = reinterpret_cast<float *>(free);
    free += aligned(wanted.get_size());
    return memory(wanted, cpu(), x);
}

static void fetch(const memory &m, const memory::desc &given, float *y)
{
    if (m.get_data_handle() != y) copy(m.get_desc(), static_cast<float *>(m.get_data_handle()), given, y);
}

struct buffer { // 64-byte aligned
    buffer(buffer &&) = default;
    std::vector<char> bytes;
    char *begin;
    // A moved vector keeps its storage, so `begin` stays right.
    explicit buffer(size_t n) : bytes(n + 64), begin(reinterpret_cast<char *>(aligned(reinterpret_cast<size_t>(bytes.data())))) {}
};

template <class P> static void run(const P &primitive, const std::unordered_map<int, memory> &arguments)
{
    stream s(cpu());
    primitive.execute(s, arguments);
    s.wait();
}

template <class F> static int guarded(const conv2d_problem *p, F body)
{
    if (!conv_is_problem(p)) return CONV_INVALID;
    try {
        body(setting(*p));
        return CONV_OK;
    } catch (const error &e) {
        return e.status == dnnl_unimplemented || e.status == dnnl_invalid_arguments ? CONV_UNSUPPORTED : CONV_FAILED;
    } catch (const std::bad_alloc &) {
        return CONV_FAILED;
    }
}

static convolution_forward::primitive_desc forward(const setting &s, bool bias, prop_kind kind, const primitive_attr &attributes)
{
    return bias
        ? convolution_forward::primitive_desc({kind, convolution_algorithm, s.source.asked, s.weights.asked, s.bias, s.result.asked,
                                               s.strides, s.dilations, s.before, s.after}, attributes, cpu())
        : convolution_forward::primitive_desc({kind, convolution_algorithm, s.source.asked, s.weights.asked, s.result.asked,
                                               s.strides, s.dilations, s.before, s.after}, attributes, cpu());
}

// Gradients are asked with the forward pass that they belong to.
static convolution_forward::primitive_desc hint(const setting &s) { return forward(s, false, prop_kind::forward_training, {}); }

struct conv2d_prepared {
    setting s;
    convolution_forward::primitive_desc d;
    convolution_forward primitive;
    buffer weights;
    std::vector<float> bias;
    memory packed;
    size_t workspace;
};

extern "C" {

CONV_EXPORT int32_t conv_subject_abi_version(void) { return 1; }

CONV_EXPORT const char *conv_subject_profile(void)
{
    // Winograd is F(4x4, 3x3) on the points 0, +-5/8, +-3/2: with these, the absolute row sums of its matrices are at most 8.3, 5.3 and 1.4, so that
    // no intermediate sum exceeds 61^2 = 3,721 times C*max|x|*max|k|, and some 32 + C roundings stand on the way (docs/bounds.md, lemma 4).
    // Over n = 9*C terms that is 33*3721/(9*10) = 1,365 plain sums' bounds at C = 1, and less for more. The gradient of the weights has the
    // same matrices, transposed, and as few as n = 1 term: 33*3721/2 = 61,397.
    return method == algorithm_direct ? "arithmetic=any-order fma=yes"
                                      : "arithmetic=within:2048,global gradients=within:65536,global fma=yes";
}

CONV_EXPORT int conv2d_prepare_f32(const conv2d_problem *p, const float *weight, const float *bias, conv2d_prepared **prepared,
                                   int64_t *workspace_bytes)
{
    return guarded(p, [&](const setting &s) {
        primitive_attr attributes;
        attributes.set_scratchpad_mode(scratchpad_mode::user); // so that the workspace is all that a run needs
        auto d = forward(s, bias != nullptr, prop_kind::forward_inference, attributes);
        // Packed also where the layout is the caller's: a prepared convolution keeps no pointer to the caller's weights.
        std::unique_ptr<conv2d_prepared> r(new conv2d_prepared{s, d, convolution_forward(d), buffer(d.weights_desc().get_size()), {}, {}, 0});
        float *packed = reinterpret_cast<float *>(r->weights.begin);
        copy(s.weights.given, weight, d.weights_desc(), packed);
        r->packed = memory(d.weights_desc(), cpu(), packed);
        if (bias) r->bias.assign(bias, bias + p->out_channels);
        r->workspace = 64 + aligned(d.scratchpad_desc().get_size());
        if (d.src_desc() != s.source.given) r->workspace += aligned(d.src_desc().get_size());
        if (d.dst_desc() != s.result.given) r->workspace += aligned(d.dst_desc().get_size());
        *workspace_bytes = static_cast<int64_t>(r->workspace);
        *prepared = r.release();
    });
}

CONV_EXPORT int conv2d_run_f32(const conv2d_prepared *r, const float *input, float *output, void *workspace)
{
    try {
        char *free = reinterpret_cast<char *>(aligned(reinterpret_cast<size_t>(workspace)));
        memory x = operand(r->s.source.given, input, r->d.src_desc(), free);
        memory y = target(r->s.result.given, output, r->d.dst_desc(), free);
        std::unordered_map<int, memory> arguments{{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, r->packed}, {DNNL_ARG_DST, y},
                                                  {DNNL_ARG_SCRATCHPAD, memory(r->d.scratchpad_desc(), cpu(), free)}};
        if (!r->d.bias_desc().is_zero())
            arguments[DNNL_ARG_BIAS] = memory(r->s.bias, cpu(), const_cast<float *>(r->bias.data()));
        run(r->primitive, arguments);
        fetch(y, r->s.result.given, output);
        return CONV_OK;
    } catch (const error &) {
        return CONV_FAILED;
    }
}

CONV_EXPORT void conv2d_release(conv2d_prepared *prepared) { delete prepared; }

CONV_EXPORT int conv2d_forward_f32(const conv2d_problem *p, const float *input, const float *weight, const float *bias, float *output)
{
    return guarded(p, [&](const setting &s) {
        auto d = forward(s, bias != nullptr, prop_kind::forward_inference, {});
        buffer b(aligned(d.src_desc().get_size()) + aligned(d.weights_desc().get_size()) + aligned(d.dst_desc().get_size()));
        char *free = b.begin;
        memory x = operand(s.source.given, input, d.src_desc(), free), k = operand(s.weights.given, weight, d.weights_desc(), free);
        memory y = target(s.result.given, output, d.dst_desc(), free);
        std::unordered_map<int, memory> arguments{{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, k}, {DNNL_ARG_DST, y}};
        if (bias) arguments[DNNL_ARG_BIAS] = memory(s.bias, cpu(), const_cast<float *>(bias));
        run(convolution_forward(d), arguments);
        fetch(y, s.result.given, output);
    });
}

CONV_EXPORT int conv2d_backward_input_f32(const conv2d_problem *p, const float *output_gradient, const float *weight,
                                          float *input_gradient)
{
    return guarded(p, [&](const setting &s) {
        convolution_backward_data::primitive_desc d(
            {convolution_algorithm, s.source.asked, s.weights.asked, s.result.asked, s.strides, s.dilations, s.before, s.after},
            cpu(), hint(s));
        buffer b(aligned(d.diff_src_desc().get_size()) + aligned(d.weights_desc().get_size()) + aligned(d.diff_dst_desc().get_size()));
        char *free = b.begin;
        memory dy = operand(s.result.given, output_gradient, d.diff_dst_desc(), free);
        memory k = operand(s.weights.given, weight, d.weights_desc(), free);
        memory dx = target(s.source.given, input_gradient, d.diff_src_desc(), free);
        run(convolution_backward_data(d), {{DNNL_ARG_DIFF_DST, dy}, {DNNL_ARG_WEIGHTS, k}, {DNNL_ARG_DIFF_SRC, dx}});
        fetch(dx, s.source.given, input_gradient);
    });
}

CONV_EXPORT int conv2d_backward_weight_f32(const conv2d_problem *p, const float *input, const float *output_gradient,
                                           float *weight_gradient)
{
    return guarded(p, [&](const setting &s) {
        convolution_backward_weights::primitive_desc d(
            {convolution_algorithm, s.source.asked, s.weights.asked, s.result.asked, s.strides, s.dilations, s.before, s.after},
            cpu(), hint(s));
        buffer b(aligned(d.src_desc().get_size()) + aligned(d.diff_weights_desc().get_size()) + aligned(d.diff_dst_desc().get_size()));
        char *free = b.begin;
        memory x = operand(s.source.given, input, d.src_desc(), free);
        memory dy = operand(s.result.given, output_gradient, d.diff_dst_desc(), free);
        memory dk = target(s.weights.given, weight_gradient, d.diff_weights_desc(), free);
        run(convolution_backward_weights(d), {{DNNL_ARG_SRC, x}, {DNNL_ARG_DIFF_DST, dy}, {DNNL_ARG_DIFF_WEIGHTS, dk}});
        fetch(dk, s.weights.given, weight_gradient);
    });
}

// The library has the bias's gradient beside the weights' only: here with an image of zeros.
CONV_EXPORT int conv2d_backward_bias_f32(const conv2d_problem *p, const float *output_gradient, float *bias_gradient)
{
    return guarded(p, [&](const setting &s) {
        convolution_backward_weights::primitive_desc d(
            {convolution_algorithm, s.source.asked, s.weights.asked, s.bias, s.result.asked, s.strides, s.dilations, s.before, s.after},
            cpu(), forward(s, true, prop_kind::forward_training, {}));
        buffer b(aligned(d.src_desc().get_size()) + aligned(d.diff_weights_desc().get_size()) + aligned(d.diff_dst_desc().get_size()));
        char *free = b.begin;
        memory dy = operand(s.result.given, output_gradient, d.diff_dst_desc(), free);
        memory x(d.src_desc(), cpu(), free), dk(d.diff_weights_desc(), cpu(), free + aligned(d.src_desc().get_size()));
        run(convolution_backward_weights(d), {{DNNL_ARG_SRC, x}, {DNNL_ARG_DIFF_DST, dy}, {DNNL_ARG_DIFF_WEIGHTS, dk},
                                              {DNNL_ARG_DIFF_BIAS, memory(s.bias, cpu(), bias_gradient)}});
    });
}

CONV_EXPORT int conv2d_transposed_f32(const conv2d_problem *p, const float *input, const float *weight, const float *bias, float *output)
{
    return guarded(p, [&](const setting &s) {
        const prop_kind kind = prop_kind::forward_inference;
        deconvolution_forward::primitive_desc d = bias
            ? deconvolution_forward::primitive_desc({kind, deconvolution_algorithm, s.result.asked, s.transposed_weights.asked,
                                                     s.source_bias, s.source.asked, s.strides, s.dilations, s.before, s.after}, cpu())
            : deconvolution_forward::primitive_desc({kind, deconvolution_algorithm, s.result.asked, s.transposed_weights.asked,
                                                     s.source.asked, s.strides, s.dilations, s.before, s.after}, cpu());
        buffer b(aligned(d.src_desc().get_size()) + aligned(d.weights_desc().get_size()) + aligned(d.dst_desc().get_size()));
        char *free = b.begin;
        memory x = operand(s.result.given, input, d.src_desc(), free);
        memory k = operand(s.transposed_weights.given, weight, d.weights_desc(), free);
        memory y = target(s.source.given, output, d.dst_desc(), free);
        std::unordered_map<int, memory> arguments{{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, k}, {DNNL_ARG_DST, y}};
        if (bias) arguments[DNNL_ARG_BIAS] = memory(s.source_bias, cpu(), const_cast<float *>(bias));
        run(deconvolution_forward(d), arguments);
        fetch(y, s.source.given, output);
    });
}

} // extern "C"
