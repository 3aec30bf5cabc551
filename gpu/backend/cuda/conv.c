/* How is a convolution run on a card?
 *
 * By cuDNN, on padded channels, each direction by a plan that is chosen when
 * the convolution is opened and shared with others of its kind (choice.c):
 * forward with its residual, bias and ReLU in the same kernel where that is the
 * better way, else followed by a kernel of ours.
 *
 *   packed    weights [Op,K,K,Ip], then the bias [Op], in the data's format
 *   scratch   | image as activation | weight gradient [Op,K,K,Ip] | workspace |
 *
 * Surprising: the image of the stem is plain float NCHW; it is turned into an
 * activation of eight channels, five of them zero, whenever it is needed: that
 * is cheaper than any convolution of three channels. */
#include "gpu/backend/cuda/choice.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct conv {
    struct cuda_device *d;
    struct conv_request request;
    struct shape in, out; /* real channels */
    struct dnn_conv padded;
    const struct choice *forward, *backward_data, *backward_weights; /* the device's; NULL: not asked for */
};

enum { PLACE_BYTES = 256 };

static size_t placed(size_t bytes)
{
    return (bytes + PLACE_BYTES - 1) / PLACE_BYTES * PLACE_BYTES;
}

static size_t larger_of(size_t a, size_t b)
{
    return a > b ? a : b;
}

static int taps(const struct conv *conv)
{
    return conv->request.geometry.kernel * conv->request.geometry.kernel;
}

static size_t weight_bytes(const struct conv *conv)
{
    return placed((size_t)conv->padded.out_c * (size_t)taps(conv) * (size_t)conv->padded.c * element_bytes(conv->d));
}

/* ---- opening ------------------------------------------------------------------------------ */

static struct dnn_conv padded_of(const struct cuda_device *d, const struct conv_geometry *g)
{
    struct shape out = conv_out(g);

    return (struct dnn_conv){ .bf16 = d->bf16,
                              .n = g->in.n,
                              .c = channels_padded(g->in.c),
                              .h = g->in.h,
                              .w = g->in.w,
                              .out_c = channels_padded(out.c),
                              .out_h = out.h,
                              .out_w = out.w,
                              .kernel = g->kernel,
                              .stride = g->stride,
                              .pad = g->pad };
}

int cuda_conv_open(struct device *dev, const struct conv_request *request, struct conv **ret, struct fault *why)
{
    struct cuda_device *d = cuda(dev);
    struct conv *conv = calloc(1, sizeof(*conv));
    struct dnn_tail tail = { request->residual, request->bias, request->relu };
    int r;

    if (!conv)
        return fault_set(why, -ENOMEM, "no memory for a convolution");
    conv->d = d;
    conv->request = *request;
    conv->in = request->geometry.in;
    conv->out = conv_out(&request->geometry);
    conv->padded = padded_of(d, &request->geometry);
    assert(conv->out.n > 0 && conv->out.c > 0 && conv->out.h > 0 && conv->out.w > 0);
    r = choose_forward(d, &conv->padded, &tail, &conv->forward, why);
    if (r == 0 && request->backward_data)
        r = choose(d, &conv->padded, DNN_BACKWARD_DATA, &conv->backward_data, why);
    if (r == 0 && request->backward_weights)
        r = choose(d, &conv->padded, DNN_BACKWARD_WEIGHTS, &conv->backward_weights, why);
    if (r < 0) {
        cuda_conv_close(conv);
        return r;
    }
    *ret = conv;
    return 0;
}

void cuda_conv_close(struct conv *conv)
{
    free(conv);
}

size_t cuda_conv_packed_bytes(const struct conv *conv)
{
    return weight_bytes(conv) + placed((size_t)conv->padded.out_c * element_bytes(conv->d));
}

static void *packed_bias(const struct conv *conv, const void *packed)
{
    return (char *)packed + weight_bytes(conv);
}

/* ---- scratch ---------------------------------------------------------------------------------- */

static size_t image_bytes(const struct conv *conv)
{
    return conv->request.image_in ? placed(cuda_activation_bytes(&conv->d->base, conv->in)) : 0;
}

static size_t gradient_bytes(const struct conv *conv)
{
    return conv->request.backward_weights ? weight_bytes(conv) : 0;
}

static size_t workspace_bytes(const struct choice *choice)
{
    return choice ? choice->workspace_bytes : 0;
}

size_t cuda_conv_scratch_bytes(const struct conv *conv)
{
    size_t workspace = larger_of(workspace_bytes(conv->forward), larger_of(workspace_bytes(conv->backward_data),
                                                                           workspace_bytes(conv->backward_weights)));

    return image_bytes(conv) + gradient_bytes(conv) + workspace + PLACE_BYTES; /* room to start at a round address */
}

/* Where the parts are; `scratch` itself is aligned to less. */
struct parts {
    void *image, *gradient, *workspace;
};

static struct parts parts_of(const struct conv *conv, void *scratch)
{
    char *at = (char *)(((uintptr_t)scratch + PLACE_BYTES - 1) / PLACE_BYTES * PLACE_BYTES);

    return (struct parts){ at, at + image_bytes(conv), at + image_bytes(conv) + gradient_bytes(conv) };
}

/* ---- running ----------------------------------------------------------------------------------- */

int cuda_conv_pack(struct conv *conv, const float *w, const float *scale, const float *bias, void *packed,
                   void *scratch)
{
    struct cuda_device *d = conv->d;

    (void)scratch;
    return cuda_result(d,
                       kernel_pack_weights(d->stream, d->bf16, conv->out.c, conv->in.c, taps(conv), w, scale, bias,
                                           packed, packed_bias(conv, packed)),
                       "packing weights");
}

/* x as an activation: as it is, or the image packed into scratch. */
static int input_activation(struct conv *conv, const void *x, const struct parts *parts, const void **ret)
{
    struct cuda_device *d = conv->d;

    *ret = conv->request.image_in ? parts->image : x;
    if (!conv->request.image_in)
        return 0;
    return cuda_result(d, kernel_pack_image(d->stream, d->bf16, extent_of(conv->in), x, parts->image),
                       "packing an image");
}

int cuda_conv_forward(struct conv *conv, const void *x, const void *packed, const float *bias, const void *residual,
                      void *y, void *scratch)
{
    struct cuda_device *d = conv->d;
    struct parts parts = parts_of(conv, scratch);
    const struct conv_request *q = &conv->request;
    const void *in;
    int r = input_activation(conv, x, &parts, &in);

    assert(!bias == !q->bias && !residual == !q->residual);
    if (r < 0)
        return r;
    int64_t uids[] = { UID_X, UID_W, UID_Y, UID_BIAS, UID_RESIDUAL };
    void *pointers[] = { (void *)in, (void *)packed, y, packed_bias(conv, packed), (void *)residual };
    r = choice_run(d, conv->forward, uids, pointers, parts.workspace);
    if (r < 0 || conv->forward->fused || !(q->bias || q->residual || q->relu))
        return r;
    return cuda_result(d,
                       kernel_epilogue(d->stream, d->bf16, extent_of(conv->out), residual,
                                       q->bias ? packed_bias(conv, packed) : NULL, q->relu, y),
                       "finishing a convolution");
}

int cuda_conv_backward_data(struct conv *conv, const void *dy, const void *packed, void *dx, void *scratch)
{
    struct cuda_device *d = conv->d;
    struct parts parts = parts_of(conv, scratch);
    bool image = conv->request.image_in;
    int64_t uids[] = { UID_X, UID_W, UID_Y };
    void *pointers[] = { image ? parts.image : dx, (void *)packed, (void *)dy };
    int r = choice_run(d, conv->backward_data, uids, pointers, parts.workspace);

    if (r < 0 || !image)
        return r;
    return cuda_result(d, kernel_unpack_image(d->stream, d->bf16, extent_of(conv->in), parts.image, dx),
                       "unpacking an image");
}

int cuda_conv_backward_weights(struct conv *conv, const void *x, const void *dy, float *dw, void *scratch)
{
    struct cuda_device *d = conv->d;
    struct parts parts = parts_of(conv, scratch);
    const void *in;
    int r = input_activation(conv, x, &parts, &in);

    if (r < 0)
        return r;
    int64_t uids[] = { UID_X, UID_W, UID_Y };
    void *pointers[] = { (void *)in, parts.gradient, (void *)dy };
    r = choice_run(d, conv->backward_weights, uids, pointers, parts.workspace);
    if (r < 0)
        return r;
    return cuda_result(
        d, kernel_unpack_weights(d->stream, d->bf16, conv->out.c, conv->in.c, taps(conv), parts.gradient, dw),
        "unpacking a weight gradient");
}
