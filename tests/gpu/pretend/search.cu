/* Convolutions of the pretended card, in cuDNN's place: plain loops over NHWC
 * with sums in double, rounded to the activation's format. Everything around
 * them (packing, padding, the stem's image, what is fused and what is split) is
 * the backend's own. RIFT_PRETEND_SPLIT=1: nothing is fused, so that the
 * kernel that comes after a convolution is run too. RIFT_PRETEND_FAULT_AT=N: the
 * N-th convolution breaks the card. */
#include "card.h"

#include "gpu/backend/cuda/dnn_conv.h"

#include <cstdlib>
#include <cuda_bf16.h>
#include <vector>

/* The C side's header can't be read by C++; these are its declarations of what is used and defined here. */
extern "C" {
struct cuda_device;
struct fault;
struct choice {
    struct dnn_graph graph;
    cudnnBackendDescriptor_t plan;
    size_t workspace_bytes;
    bool fused;
    bool has[5];
};
struct question {
    struct cuda_device *d;
    const struct dnn_conv *conv;
    enum dnn_direction direction;
    const struct dnn_tail *tail;
    char key[320];
};
int cuda_dnn_result(struct cuda_device *d, cudnnStatus_t status, const char *what);
int search_plain(const struct question *q, struct choice *ret, struct fault *why);
int search_fused(const struct question *q, struct choice *ret, struct fault *why);
void choice_done(struct choice *choice);
int choice_run(struct cuda_device *d, const struct choice *choice, const int64_t *uids, void *const *pointers,
               void *workspace);
}

namespace
{
struct plan {
    struct dnn_conv c;
    enum dnn_direction direction;
    struct dnn_tail tail;
};

/* An array in float or bf16. */
struct numbers {
    void *at;
    bool bf16;

    double get(int64_t i) const
    {
        return bf16 ? (double)__bfloat162float(((__nv_bfloat16 *)at)[i]) : (double)((float *)at)[i];
    }
    void set(int64_t i, double v) const
    {
        if (bf16)
            ((__nv_bfloat16 *)at)[i] = __float2bfloat16_rn((float)v);
        else
            ((float *)at)[i] = (float)v;
    }
};

int64_t in_at(const struct dnn_conv &c, int n, int h, int w)
{
    return (((int64_t)n * c.h + h) * c.w + w) * c.c;
}

int64_t out_at(const struct dnn_conv &c, int n, int h, int w)
{
    return (((int64_t)n * c.out_h + h) * c.out_w + w) * c.out_c;
}

int64_t weight_at(const struct dnn_conv &c, int o, int r, int s)
{
    return (((int64_t)o * c.kernel + r) * c.kernel + s) * c.c;
}

/* Call f(n, oh, ow, r, s, h, w) for every tap that looks inside the image. */
template <class F> void taps(const struct dnn_conv &c, F f)
{
    for (int n = 0; n < c.n; n++)
        for (int oh = 0; oh < c.out_h; oh++)
            for (int ow = 0; ow < c.out_w; ow++)
                for (int r = 0; r < c.kernel; r++)
                    for (int s = 0; s < c.kernel; s++) {
                        int h = oh * c.stride - c.pad + r, w = ow * c.stride - c.pad + s;

                        if (h >= 0 && h < c.h && w >= 0 && w < c.w)
                            f(n, oh, ow, r, s, h, w);
                    }
}

std::vector<double> values(struct numbers from, int64_t count)
{
    std::vector<double> ret((size_t)count);

    for (int64_t i = 0; i < count; i++)
        ret[(size_t)i] = from.get(i);
    return ret;
}

void run(const struct plan &p, void *const pointers[5])
{
    const struct dnn_conv &c = p.c;
    int64_t in = in_at(c, c.n, 0, 0), out = out_at(c, c.n, 0, 0), weights = weight_at(c, c.out_c, 0, 0);
    struct numbers at[5] = {};
    std::vector<double> x, w, y;

    for (int i = 0; i < 5; i++)
        at[i] = { pointers[i], c.bf16 };
    x = p.direction == DNN_BACKWARD_DATA ? std::vector<double>((size_t)in) : values(at[0], in);
    w = p.direction == DNN_BACKWARD_WEIGHTS ? std::vector<double>((size_t)weights) : values(at[1], weights);
    y = p.direction == DNN_FORWARD ? std::vector<double>((size_t)out) : values(at[2], out);
    taps(c, [&](int n, int oh, int ow, int r, int s, int h, int v) {
        double *xs = &x[(size_t)in_at(c, n, h, v)], *ys = &y[(size_t)out_at(c, n, oh, ow)];

        for (int o = 0; o < c.out_c; o++) {
            double *ws = &w[(size_t)weight_at(c, o, r, s)];

            for (int i = 0; i < c.c; i++)
                if (p.direction == DNN_FORWARD)
                    ys[o] += xs[i] * ws[i];
                else if (p.direction == DNN_BACKWARD_DATA)
                    xs[i] += ys[o] * ws[i];
                else
                    ws[i] += xs[i] * ys[o];
        }
    });
    for (int64_t i = 0; p.direction == DNN_BACKWARD_DATA && i < in; i++)
        at[0].set(i, x[(size_t)i]);
    for (int64_t i = 0; p.direction == DNN_BACKWARD_WEIGHTS && i < weights; i++)
        at[1].set(i, w[(size_t)i]);
    for (int64_t i = 0; p.direction == DNN_FORWARD && i < out; i++) {
        double v = y[(size_t)i];

        v += p.tail.residual ? at[4].get(i) : 0;
        v += p.tail.bias ? at[3].get(i % c.out_c) : 0;
        at[2].set(i, p.tail.relu && v <= 0 ? 0 : v);
    }
}

int made(const struct plan &p, bool fused, struct choice *ret)
{
    *ret = {};
    ret->plan = (cudnnBackendDescriptor_t) new plan(p);
    ret->workspace_bytes = 1000; /* some, so that it is placed */
    ret->fused = fused;
    return 0;
}

/* Convolutions until one breaks the card. It says so when it is next asked, as kernels do. */
bool breaks_now()
{
    static long count;
    const char *said = std::getenv("RIFT_PRETEND_FAULT_AT");

    count++;
    return said && count == std::atol(said);
}
} // namespace

int search_plain(const struct question *q, struct choice *ret, struct fault *)
{
    return made({ *q->conv, q->direction, {} }, false, ret);
}

int search_fused(const struct question *q, struct choice *ret, struct fault *)
{
    *ret = {};
    return std::getenv("RIFT_PRETEND_SPLIT") ? 0 : made({ *q->conv, q->direction, *q->tail }, true, ret);
}

void choice_done(struct choice *choice)
{
    delete (plan *)choice->plan;
    *choice = {};
}

int choice_run(struct cuda_device *d, const struct choice *choice, const int64_t *, void *const *pointers,
               void *workspace)
{
    struct plan p = *(plan *)choice->plan;
    void *own[5];
    bool tail = p.direction == DNN_FORWARD;

    if (pretend_broken()) /* a library with a runtime of its own: only it hears of this */
        return cuda_dnn_result(d, CUDNN_STATUS_EXECUTION_FAILED, "a convolution");
    for (int i = 0; i < 5; i++)
        own[i] = i < 3 || tail ? pointers[i] : nullptr;
    std::vector<void *> copy(own, own + 5);
    pretend_do([=] {
        std::memset(workspace, 0x5a, 1000);
        run(p, copy.data());
        if (breaks_now())
            pretend_fault();
    });
    return 0;
}
