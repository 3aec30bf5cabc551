/* How is a convolution computed, as plainly as possible?
 *
 * Each function is one nest of loops over output elements with the sum inside,
 * in double. `taps` says which kernel positions of an output row or column
 * look inside the image, so that the loops have no padding of their own.
 * "Packing" is the multiplication by scale and nothing else. */
#include "gpu/backend/ref.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct conv {
    int threads;
    struct conv_request request;
};

int ref_conv_open(struct device *dev, const struct conv_request *request, struct conv **ret, struct fault *why)
{
    struct shape out = conv_out(&request->geometry);
    struct conv *conv = calloc(1, sizeof(*conv));

    assert(out.n > 0 && out.c > 0 && out.h > 0 && out.w > 0);
    if (!conv)
        return fault_set(why, -ENOMEM, "no memory for a convolution");
    conv->threads = ((struct ref_device *)dev)->threads;
    conv->request = *request;
    *ret = conv;
    return 0;
}

void ref_conv_close(struct conv *conv)
{
    free(conv);
}

/* Weights of one output channel. */
static int64_t per_output(const struct conv_geometry *g)
{
    return (int64_t)g->in.c * g->kernel * g->kernel;
}

size_t ref_conv_packed_bytes(const struct conv *conv)
{
    const struct conv_geometry *g = &conv->request.geometry;

    return (size_t)(g->out_c * per_output(g)) * sizeof(float);
}

size_t ref_conv_scratch_bytes(const struct conv *conv)
{
    (void)conv;
    return 0;
}

int ref_conv_pack(struct conv *conv, const float *w, const float *scale, const float *bias, void *packed, void *scratch)
{
    const struct conv_geometry *g = &conv->request.geometry;
    int64_t per = per_output(g);
    float *to = packed;

    (void)bias; /* plain is its layout */
    (void)scratch;
    for (int o = 0; o < g->out_c; o++)
        for (int64_t i = 0; i < per; i++)
            to[o * per + i] = scale ? scale[o] * w[o * per + i] : w[o * per + i];
    return 0;
}

/* Kernel positions k in [from, to) for which out*stride - pad + k is in [0, size). */
struct taps {
    int from, to, base;
};

static struct taps taps(int out, int stride, int pad, int kernel, int size)
{
    int base = out * stride - pad;

    return (struct taps){ base < 0 ? -base : 0, base + kernel > size ? size - base : kernel, base };
}

/* sum over i, kh, kw of x[n,i,...] * w[o,i,kh,kw] at one output pixel. */
static double output_sum(const struct conv_geometry *g, const float *x, const float *w, int n, int o, int oh, int ow)
{
    struct taps th = taps(oh, g->stride, g->pad, g->kernel, g->in.h);
    struct taps tw = taps(ow, g->stride, g->pad, g->kernel, g->in.w);
    double sum = 0;

    for (int i = 0; i < g->in.c; i++) {
        for (int kh = th.from; kh < th.to; kh++) {
            const float *row = x + ref_at(g->in, n, i, th.base + kh, 0);
            const float *tap = w + (((int64_t)o * g->in.c + i) * g->kernel + kh) * g->kernel;

            for (int kw = tw.from; kw < tw.to; kw++)
                sum += (double)row[tw.base + kw] * tap[kw];
        }
    }
    return sum;
}

int ref_conv_forward(struct conv *conv, const void *x, const void *packed, const float *bias, const void *residual,
                     void *y, void *scratch)
{
    const struct conv_request *r = &conv->request;
    const struct conv_geometry *g = &r->geometry;
    struct shape out = conv_out(g);

    (void)scratch;
#pragma omp parallel for collapse(2) num_threads(conv->threads)
    for (int n = 0; n < out.n; n++) {
        for (int o = 0; o < out.c; o++) {
            for (int oh = 0; oh < out.h; oh++) {
                for (int ow = 0; ow < out.w; ow++) {
                    int64_t at = ref_at(out, n, o, oh, ow);
                    double v = output_sum(g, x, packed, n, o, oh, ow);

                    if (r->bias)
                        v += bias[o];
                    if (r->residual)
                        v += ((const float *)residual)[at];
                    /* NaN <= 0 is false: a NaN goes through, to be found in the loss */
                    ((float *)y)[at] = r->relu && v <= 0 ? 0.0f : (float)v;
                }
            }
        }
    }
    return 0;
}

/* sum over o, kh, kw of dy * w for one input pixel: every output pixel whose
 * window holds (h, w) sends its gradient back through the tap it used. */
static double input_sum(const struct conv_geometry *g, const float *dy, const float *weight, int n, int i, int h, int w)
{
    struct shape out = conv_out(g);
    double sum = 0;

    for (int kh = 0; kh < g->kernel; kh++) {
        int up = h + g->pad - kh;

        if (up < 0 || up % g->stride || up / g->stride >= out.h)
            continue;
        for (int kw = 0; kw < g->kernel; kw++) {
            int left = w + g->pad - kw;

            if (left < 0 || left % g->stride || left / g->stride >= out.w)
                continue;
            for (int o = 0; o < out.c; o++)
                sum += (double)dy[ref_at(out, n, o, up / g->stride, left / g->stride)] *
                       weight[(((int64_t)o * g->in.c + i) * g->kernel + kh) * g->kernel + kw];
        }
    }
    return sum;
}

int ref_conv_backward_data(struct conv *conv, const void *dy, const void *packed, void *dx, void *scratch)
{
    const struct conv_geometry *g = &conv->request.geometry;

    (void)scratch;
#pragma omp parallel for collapse(2) num_threads(conv->threads)
    for (int n = 0; n < g->in.n; n++)
        for (int i = 0; i < g->in.c; i++)
            for (int h = 0; h < g->in.h; h++)
                for (int w = 0; w < g->in.w; w++)
                    ((float *)dx)[ref_at(g->in, n, i, h, w)] = (float)input_sum(g, dy, packed, n, i, h, w);
    return 0;
}

/* sum over n, oh, ow of x * dy for one weight. */
static double weight_sum(const struct conv_geometry *g, const float *x, const float *dy, int o, int i, int kh, int kw)
{
    struct shape out = conv_out(g);
    double sum = 0;

    for (int n = 0; n < out.n; n++) {
        for (int oh = 0; oh < out.h; oh++) {
            int h = oh * g->stride - g->pad + kh;

            if (h < 0 || h >= g->in.h)
                continue;
            for (int ow = 0; ow < out.w; ow++) {
                int w = ow * g->stride - g->pad + kw;

                if (w >= 0 && w < g->in.w)
                    sum += (double)x[ref_at(g->in, n, i, h, w)] * dy[ref_at(out, n, o, oh, ow)];
            }
        }
    }
    return sum;
}

int ref_conv_backward_weights(struct conv *conv, const void *x, const void *dy, float *dw, void *scratch)
{
    const struct conv_geometry *g = &conv->request.geometry;

    (void)scratch;
#pragma omp parallel for collapse(2) num_threads(conv->threads)
    for (int o = 0; o < g->out_c; o++)
        for (int i = 0; i < g->in.c; i++)
            for (int kh = 0; kh < g->kernel; kh++)
                for (int kw = 0; kw < g->kernel; kw++)
                    dw[(((int64_t)o * g->in.c + i) * g->kernel + kh) * g->kernel + kw] =
                        (float)weight_sum(g, x, dy, o, i, kh, kw);
    return 0;
}
