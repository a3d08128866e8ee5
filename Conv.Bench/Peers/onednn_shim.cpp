/* oneDNN (2.x) for the race: weights are laid out once, in the library's layout, and a run is the run alone.
 *
 * What is timed is images in NCHW, as callers have them. Where the library insists on another layout (its Winograd), the two reorders of the
 * images belong to the run; in the way `blocked` they do not, which is how a network that stays in the library's layout sees it. */
#include "../../docs/adopt/peers/peer.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <unordered_map>

#include <omp.h>
#include <oneapi/dnnl/dnnl.hpp>

using namespace dnnl;
using tag = memory::format_tag;

enum { way_plain = 0, way_blocked = 1, way_winograd = 2 };

static const engine &cpu() { static const engine e(engine::kind::cpu, 0); return e; }
static memory::desc image(int64_t n, int64_t c, int64_t h, int64_t w, tag t) { return memory::desc({n, c, h, w}, memory::data_type::f32, t); }

struct race_onednn {
    convolution_forward primitive;
    memory user_source, user_result, source, weights, result;
    reorder load, fetch;
    stream queue;
    std::unordered_map<int, memory> arguments;
    bool loads, fetches, timed_reorders;
    std::string implementation;
};

static convolution_forward::primitive_desc describe(const conv2d_problem &p, int way)
{
    const int64_t g = p.groups, o = p.out_channels / g, c = p.in_channels / g;
    const memory::dims kernel = g == 1 ? memory::dims{o, c, p.kernel_height, p.kernel_width} : memory::dims{g, o, c, p.kernel_height, p.kernel_width};
    const tag images = way == way_plain ? tag::nchw : tag::any;
    return convolution_forward::primitive_desc(
        {prop_kind::forward_inference, way == way_winograd ? algorithm::convolution_winograd : algorithm::convolution_direct,
         image(p.batch, p.in_channels, p.in_height, p.in_width, images), memory::desc(kernel, memory::data_type::f32, tag::any),
         image(p.batch, p.out_channels, p.out_height, p.out_width, images), {p.stride_height, p.stride_width},
         {p.dilation_height - 1, p.dilation_width - 1}, {p.pad_top, p.pad_left}, {p.pad_bottom, p.pad_right}},
        cpu());
}

static void pack(const conv2d_problem &p, const float *weight, const memory &packed)
{
    const int64_t g = p.groups, o = p.out_channels / g, c = p.in_channels / g;
    memory::desc plain = g == 1 ? memory::desc({o, c, p.kernel_height, p.kernel_width}, memory::data_type::f32, tag::oihw)
                                : memory::desc({g, o, c, p.kernel_height, p.kernel_width}, memory::data_type::f32, tag::goihw);
    memory given(plain, cpu(), const_cast<float *>(weight));
    stream s(cpu());
    reorder(given, packed).execute(s, given, const_cast<memory &>(packed));
    s.wait();
}

extern "C" {

CONV_EXPORT const char *race_onednn_version(void)
{
    static const std::string text = [] {
        const dnnl_version_t *v = dnnl_version();
        const char *isa;
        switch (get_effective_cpu_isa()) {
        case cpu_isa::sse41: isa = "SSE4.1"; break;
        case cpu_isa::avx: isa = "AVX"; break;
        case cpu_isa::avx2: isa = "AVX2"; break;
        case cpu_isa::all: isa = "all"; break;
        default: isa = get_effective_cpu_isa() < cpu_isa::avx512_mic ? "AVX2-VNNI" : "AVX-512"; break;
        }
        return std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch) + ", up to " + isa;
    }();
    return text.c_str();
}

/* The number of threads is part of what is prepared: the library divides the work when it makes a primitive. */
CONV_EXPORT int race_onednn_prepare(const conv2d_problem *p, int way, int threads, const float *weight, float *input, float *output,
                                    race_onednn **made)
{
    try {
        omp_set_num_threads(threads);
        auto d = describe(*p, way);
        memory::desc from = image(p->batch, p->in_channels, p->in_height, p->in_width, tag::nchw);
        memory::desc to = image(p->batch, p->out_channels, p->out_height, p->out_width, tag::nchw);
        std::unique_ptr<race_onednn> r(new race_onednn);
        r->primitive = convolution_forward(d);
        r->implementation = d.impl_info_str();
        r->queue = stream(cpu());
        r->user_source = memory(from, cpu(), input);
        r->user_result = memory(to, cpu(), output);
        r->weights = memory(d.weights_desc(), cpu());
        pack(*p, weight, r->weights);
        r->loads = d.src_desc() != from;
        r->fetches = d.dst_desc() != to;
        r->timed_reorders = way == way_winograd;
        r->source = r->loads ? memory(d.src_desc(), cpu()) : r->user_source;
        r->result = r->fetches ? memory(d.dst_desc(), cpu()) : r->user_result;
        if (r->loads) {
            r->load = reorder(r->user_source, r->source);
            r->load.execute(r->queue, r->user_source, r->source);
            r->queue.wait();
        }
        if (r->fetches) r->fetch = reorder(r->result, r->user_result);
        r->arguments = {{DNNL_ARG_SRC, r->source}, {DNNL_ARG_WEIGHTS, r->weights}, {DNNL_ARG_DST, r->result}};
        *made = r.release();
        return CONV_OK;
    } catch (const error &e) {
        return e.status == dnnl_unimplemented || e.status == dnnl_invalid_arguments ? CONV_UNSUPPORTED : CONV_FAILED;
    } catch (const std::bad_alloc &) {
        return CONV_FAILED;
    }
}

/* What the library calls the kernel that it chose. */
CONV_EXPORT const char *race_onednn_implementation(const race_onednn *r) { return r->implementation.c_str(); }

CONV_EXPORT int race_onednn_run(race_onednn *r)
{
    try {
        if (r->timed_reorders && r->loads) r->load.execute(r->queue, r->user_source, r->source);
        r->primitive.execute(r->queue, r->arguments);
        if (r->timed_reorders && r->fetches) r->fetch.execute(r->queue, r->result, r->user_result);
        r->queue.wait();
        return CONV_OK;
    } catch (const error &) {
        return CONV_FAILED;
    }
}

/* The calling thread's number of threads, for the runs that follow. */
CONV_EXPORT void race_onednn_threads(int threads) { omp_set_num_threads(threads); }

/* The output of the last run where the caller has it: in NCHW. */
CONV_EXPORT int race_onednn_fetch(race_onednn *r)
{
    try {
        if (r->fetches) {
            r->fetch.execute(r->queue, r->result, r->user_result);
            r->queue.wait();
        }
        return CONV_OK;
    } catch (const error &) {
        return CONV_FAILED;
    }
}

CONV_EXPORT void race_onednn_release(race_onednn *r) { delete r; }

} // extern "C"
