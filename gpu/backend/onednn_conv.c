/* How is a convolution prepared and run on the CPU?
 *
 * One `struct conv` holds the primitives of one geometry: forward with its
 * fused bias, residual and ReLU, and the two gradients. Activations have fixed
 * blocked layouts, so there is never a reorder between layers; weights are
 * packed into whatever layout each primitive likes.
 *
 *   packed = [ forward weights | backward-data weights ]   (64-byte aligned parts)
 *
 * Surprising: the stem's gradient to the pixels is our own loop (onednn_stem.c). oneDNN has no
 * fast primitive for a plain NCHW result with 1 or 3 channels; its blocked one
 * computes 16 channels to keep 3 (measured 4-5 times slower).
 *
 * In bf16 x, y, their gradients and the packed weights are bfloat16; biases,
 * weight gradients and all sums are float32. The image stays float32 outside
 * and is rounded into the scratch in front of the stem. */
#include "gpu/backend/onednn.h"

struct primitive {
    dnnl_primitive_t primitive;
    dnnl_memory_desc_t weights; /* layout it wants (or, for the weight gradient, makes) */
    size_t scratch;
    dnnl_memory_t memory[6]; /* in the order of its arguments; handles are set before each run */
    int arg[6];
    int count;
};

struct conv {
    struct onednn *d;
    struct conv_request request;
    int in_c, out_c; /* padded; in_c is the true count for an image */
    struct primitive forward, data, weights;
    dnnl_memory_desc_t plain;         /* padded weights, oihw */
    dnnl_primitive_t pack[2], unpack; /* plain -> forward, plain -> data, weights -> plain */
    dnnl_memory_t plain_memory, pack_memory[2];
    size_t packed_forward, packed_data; /* bytes of the two parts */
};

static size_t align64(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

static bool own_backward_data(const struct conv *conv)
{
    return conv->request.image_in;
}

static dnnl_data_type_t cell_type(const struct conv *conv)
{
    return conv->d->half ? dnnl_bf16 : dnnl_f32;
}

/* ---- preparing ---- */

static dnnl_memory_desc_t activation_desc(const struct conv *conv, struct shape s, int c, bool image)
{
    dnnl_memory_desc_t md;
    dnnl_dims_t dims = { s.n, c, s.h, s.w };
    dnnl_format_tag_t tag = image ? dnnl_nchw : conv->d->block == 16 ? dnnl_nChw16c : dnnl_nChw8c;

    dnnl_memory_desc_init_by_tag(&md, 4, dims, cell_type(conv), tag);
    return md;
}

static int primitive_open(struct conv *conv, struct primitive *p, dnnl_primitive_desc_t pd, dnnl_query_t weights_query)
{
    dnnl_engine_t engine = conv->d->engine;

    p->weights = *dnnl_primitive_desc_query_md(pd, weights_query, 0);
    p->scratch = dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0));
    if (dnnl_primitive_create(&p->primitive, pd) != dnnl_success)
        return -ENOMEM;
    struct {
        int arg;
        dnnl_query_t query;
        int index;
    } wanted[] = {
        { DNNL_ARG_SRC, dnnl_query_src_md, 0 },           { DNNL_ARG_DST, dnnl_query_dst_md, 0 },
        { DNNL_ARG_DIFF_SRC, dnnl_query_diff_src_md, 0 }, { DNNL_ARG_DIFF_DST, dnnl_query_diff_dst_md, 0 },
        { DNNL_ARG_WEIGHTS, dnnl_query_weights_md, 0 },   { DNNL_ARG_DIFF_WEIGHTS, dnnl_query_diff_weights_md, 0 },
        { DNNL_ARG_BIAS, dnnl_query_weights_md, 1 },      { DNNL_ARG_SCRATCHPAD, dnnl_query_scratchpad_md, 0 },
    };
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        const dnnl_memory_desc_t *md = dnnl_primitive_desc_query_md(pd, wanted[i].query, wanted[i].index);
        if (!md || md->ndims == 0)
            continue;
        assert(p->count < 5);
        if (dnnl_memory_create(&p->memory[p->count], md, engine, DNNL_MEMORY_NONE) != dnnl_success)
            return -ENOMEM;
        p->arg[p->count++] = wanted[i].arg;
    }
    return 0;
}

/* One more input: the residual of the fused addition (post-op 0). */
static int primitive_add_residual(struct conv *conv, struct primitive *p, const dnnl_memory_desc_t *md)
{
    if (dnnl_memory_create(&p->memory[p->count], md, conv->d->engine, DNNL_MEMORY_NONE) != dnnl_success)
        return -ENOMEM;
    p->arg[p->count++] = DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1;
    return 0;
}

static void primitive_close(struct primitive *p)
{
    for (int i = 0; i < p->count; i++)
        dnnl_memory_destroy(p->memory[i]);
    if (p->primitive)
        dnnl_primitive_destroy(p->primitive);
}

static int reorder_open(struct conv *conv, const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to,
                        dnnl_primitive_t *ret)
{
    dnnl_primitive_desc_t pd;
    dnnl_engine_t engine = conv->d->engine;

    if (dnnl_reorder_primitive_desc_create(&pd, from, engine, to, engine, NULL) != dnnl_success)
        return -ENOTSUP;
    dnnl_status_t status = dnnl_primitive_create(ret, pd);
    dnnl_primitive_desc_destroy(pd);
    return status == dnnl_success ? 0 : -ENOMEM;
}

struct geometry_descs {
    dnnl_memory_desc_t x, w, dw, y, bias;
    dnnl_dims_t strides, pads;
};

static struct geometry_descs describe_geometry(const struct conv *conv)
{
    const struct conv_geometry *g = &conv->request.geometry;
    struct geometry_descs ret = { .strides = { g->stride, g->stride }, .pads = { g->pad, g->pad } };
    dnnl_dims_t w = { conv->out_c, conv->in_c, g->kernel, g->kernel }, b = { conv->out_c };

    ret.x = activation_desc(conv, g->in, conv->in_c, conv->request.image_in);
    ret.y = activation_desc(conv, conv_out(g), conv->out_c, false);
    dnnl_memory_desc_init_by_tag(&ret.w, 4, w, cell_type(conv), dnnl_format_tag_any);
    dnnl_memory_desc_init_by_tag(&ret.dw, 4, w, dnnl_f32, dnnl_format_tag_any);
    dnnl_memory_desc_init_by_tag(&ret.bias, 1, b, dnnl_f32, dnnl_a);
    return ret;
}

static dnnl_primitive_attr_t attributes(const struct conv_request *fused, const dnnl_memory_desc_t *residual)
{
    dnnl_primitive_attr_t attr;
    dnnl_post_ops_t ops;

    dnnl_primitive_attr_create(&attr);
    dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (!fused)
        return attr;
    dnnl_post_ops_create(&ops);
    if (fused->residual)
        dnnl_post_ops_append_binary(ops, dnnl_binary_add, residual);
    if (fused->relu)
        dnnl_post_ops_append_eltwise(ops, 1.0f, dnnl_eltwise_relu, 0.0f, 0.0f);
    dnnl_primitive_attr_set_post_ops(attr, ops);
    dnnl_post_ops_destroy(ops);
    return attr;
}

/* The gradients, prepared against the forward primitive's description. */
static int open_backward(struct conv *conv, const struct geometry_descs *m, dnnl_primitive_desc_t hint)
{
    dnnl_primitive_attr_t attr = attributes(NULL, NULL);
    dnnl_convolution_desc_t desc;
    dnnl_primitive_desc_t pd;
    int r = 0;

    if (conv->request.backward_data && !own_backward_data(conv)) {
        dnnl_convolution_backward_data_desc_init(&desc, dnnl_convolution_direct, &m->x, &m->w, &m->y, m->strides,
                                                 m->pads, m->pads);
        r = dnnl_primitive_desc_create(&pd, &desc, attr, conv->d->engine, hint) == dnnl_success ? 0 : -ENOTSUP;
        if (r == 0) {
            r = primitive_open(conv, &conv->data, pd, dnnl_query_weights_md);
            dnnl_primitive_desc_destroy(pd);
        }
    }
    if (r == 0 && conv->request.backward_weights) {
        dnnl_convolution_backward_weights_desc_init(&desc, dnnl_convolution_direct, &m->x, &m->dw, NULL, &m->y,
                                                    m->strides, m->pads, m->pads);
        r = dnnl_primitive_desc_create(&pd, &desc, attr, conv->d->engine, hint) == dnnl_success ? 0 : -ENOTSUP;
        if (r == 0) {
            r = primitive_open(conv, &conv->weights, pd, dnnl_query_diff_weights_md);
            dnnl_primitive_desc_destroy(pd);
        }
    }
    dnnl_primitive_attr_destroy(attr);
    return r;
}

static int open_primitives(struct conv *conv)
{
    struct geometry_descs m = describe_geometry(conv);
    dnnl_primitive_attr_t attr = attributes(&conv->request, &m.y);
    dnnl_convolution_desc_t desc;
    dnnl_primitive_desc_t pd;
    int r = -ENOTSUP;

    dnnl_convolution_forward_desc_init(&desc, dnnl_forward_training, dnnl_convolution_direct, &m.x, &m.w,
                                       conv->request.bias ? &m.bias : NULL, &m.y, m.strides, m.pads, m.pads);
    if (dnnl_primitive_desc_create(&pd, &desc, attr, conv->d->engine, NULL) == dnnl_success) {
        r = primitive_open(conv, &conv->forward, pd, dnnl_query_weights_md);
        if (r == 0 && conv->request.residual)
            r = primitive_add_residual(conv, &conv->forward, &m.y);
        if (r == 0)
            r = open_backward(conv, &m, pd);
        dnnl_primitive_desc_destroy(pd);
    }
    dnnl_primitive_attr_destroy(attr);
    return r;
}

/* Reorders between plain padded weights and what the primitives want. */
static int open_packing(struct conv *conv)
{
    const struct conv_geometry *g = &conv->request.geometry;
    dnnl_dims_t dims = { conv->out_c, conv->in_c, g->kernel, g->kernel };
    const dnnl_memory_desc_t *to[2] = { &conv->forward.weights, &conv->data.weights };
    int r;

    dnnl_memory_desc_init_by_tag(&conv->plain, 4, dims, dnnl_f32, dnnl_oihw);
    if (dnnl_memory_create(&conv->plain_memory, &conv->plain, conv->d->engine, DNNL_MEMORY_NONE) != dnnl_success)
        return -ENOMEM;
    for (int i = 0; i < 2; i++) {
        if (i == 1 && !conv->data.primitive)
            continue;
        r = reorder_open(conv, &conv->plain, to[i], &conv->pack[i]);
        if (r < 0)
            return r;
        if (dnnl_memory_create(&conv->pack_memory[i], to[i], conv->d->engine, DNNL_MEMORY_NONE) != dnnl_success)
            return -ENOMEM;
    }
    if (conv->weights.primitive) {
        r = reorder_open(conv, &conv->weights.weights, &conv->plain, &conv->unpack);
        if (r < 0)
            return r;
    }
    conv->packed_forward = align64(dnnl_memory_desc_get_size(&conv->forward.weights));
    if (conv->data.primitive)
        conv->packed_data = align64(dnnl_memory_desc_get_size(&conv->data.weights));
    else if (own_backward_data(conv) && conv->request.backward_data)
        conv->packed_data = align64(dnnl_memory_desc_get_size(&conv->plain));
    return 0;
}

void onednn_conv_close(struct conv *conv)
{
    if (!conv)
        return;
    primitive_close(&conv->forward);
    primitive_close(&conv->data);
    primitive_close(&conv->weights);
    for (int i = 0; i < 2; i++) {
        if (conv->pack[i])
            dnnl_primitive_destroy(conv->pack[i]);
        if (conv->pack_memory[i])
            dnnl_memory_destroy(conv->pack_memory[i]);
    }
    if (conv->unpack)
        dnnl_primitive_destroy(conv->unpack);
    if (conv->plain_memory)
        dnnl_memory_destroy(conv->plain_memory);
    free(conv);
}

int onednn_conv_open(struct device *dev, const struct conv_request *request, struct conv **ret, struct fault *why)
{
    struct onednn *d = onednn(dev);
    const struct conv_geometry *g = &request->geometry;
    struct conv *conv = calloc(1, sizeof(*conv));

    if (!conv)
        return fault_set(why, -ENOMEM, "cpu: out of memory");
    conv->d = d;
    conv->request = *request;
    conv->in_c = request->image_in ? g->in.c : channels_padded(d, g->in.c);
    conv->out_c = channels_padded(d, g->out_c);
    int r = open_primitives(conv);
    if (r == 0)
        r = open_packing(conv);
    if (r < 0) {
        onednn_conv_close(conv);
        return fault_set(why, r, "cpu: oneDNN can't prepare a %dx%d convolution, %d -> %d channels, %dx%d, batch %d",
                         g->kernel, g->kernel, g->in.c, g->out_c, g->in.h, g->in.w, g->in.n);
    }
    *ret = conv;
    return 0;
}

size_t onednn_conv_packed_bytes(const struct conv *conv)
{
    return conv->packed_forward + conv->packed_data;
}

/* Scratch is used for a primitive's own needs, for padded plain weights while
 * packing, for a padded bias, for the weight gradient before it is unpacked
 * and, last, for the image in bf16: the primitive's part comes first. */
static size_t image_bytes(const struct conv *conv)
{
    bool rounded = conv->request.image_in && conv->d->half;

    return rounded ? align64((size_t)shape_count(conv->request.geometry.in) * sizeof(uint16_t)) : 0;
}

static size_t scratch_extra(const struct conv *conv)
{
    size_t bytes = align64(dnnl_memory_desc_get_size(&conv->plain));

    if (conv->weights.primitive)
        bytes += align64(dnnl_memory_desc_get_size(&conv->weights.weights));
    return bytes + align64((size_t)conv->out_c * sizeof(float));
}

static size_t scratch_primitive(const struct conv *conv)
{
    size_t most = conv->forward.scratch;

    most = conv->data.scratch > most ? conv->data.scratch : most;
    most = conv->weights.scratch > most ? conv->weights.scratch : most;
    return align64(most);
}

size_t onednn_conv_scratch_bytes(const struct conv *conv)
{
    return scratch_primitive(conv) + scratch_extra(conv) + image_bytes(conv);
}

/* ---- packing ---- */

static int reorder_run(struct conv *conv, dnnl_primitive_t reorder, dnnl_memory_t from, dnnl_memory_t to)
{
    dnnl_exec_arg_t args[] = { { DNNL_ARG_FROM, from }, { DNNL_ARG_TO, to } };

    if (dnnl_primitive_execute(reorder, conv->d->stream, 2, args) != dnnl_success)
        return -EIO;
    dnnl_stream_wait(conv->d->stream);
    return 0;
}

int onednn_conv_pack(struct conv *conv, const float *w, const float *scale, const float *bias, void *packed,
                     void *scratch)
{
    const struct conv_geometry *g = &conv->request.geometry;
    int taps = g->kernel * g->kernel;
    float *plain = (float *)((char *)scratch + scratch_primitive(conv));
    void *to[2] = { packed, (char *)packed + conv->packed_forward };

    (void)bias; /* its layout is plain, but for the padding that conv_forward adds */

#pragma omp parallel for
    for (int o = 0; o < conv->out_c; o++) {
        float by = o < g->out_c && scale ? scale[o] : 1.0f;
        for (int i = 0; i < conv->in_c; i++)
            for (int t = 0; t < taps; t++)
                plain[((int64_t)o * conv->in_c + i) * taps + t] =
                    o < g->out_c && i < g->in.c ? w[((int64_t)o * g->in.c + i) * taps + t] * by : 0;
    }
    dnnl_memory_set_data_handle(conv->plain_memory, plain);
    for (int i = 0; i < 2; i++) {
        if (!conv->pack[i])
            continue;
        dnnl_memory_set_data_handle(conv->pack_memory[i], to[i]);
        int r = reorder_run(conv, conv->pack[i], conv->plain_memory, conv->pack_memory[i]);
        if (r < 0)
            return r;
    }
    if (!own_backward_data(conv) || !conv->request.backward_data)
        return 0;
    /* The stem's own gradient wants [tap][i][o]: vectors along o. */
    float *own = to[1];
    for (int t = 0; t < taps; t++)
        for (int i = 0; i < conv->in_c; i++)
            for (int o = 0; o < conv->out_c; o++)
                own[((int64_t)t * conv->in_c + i) * conv->out_c + o] = plain[((int64_t)o * conv->in_c + i) * taps + t];
    return 0;
}

/* ---- running ---- */

struct binding {
    int arg;
    const void *memory;
};

static int primitive_run(struct conv *conv, struct primitive *p, const struct binding *bindings, int count)
{
    dnnl_exec_arg_t args[6];

    for (int i = 0; i < p->count; i++) {
        const void *memory = NULL;
        for (int b = 0; b < count; b++)
            if (bindings[b].arg == p->arg[i])
                memory = bindings[b].memory;
        assert(memory);
        dnnl_memory_set_data_handle(p->memory[i], (void *)(uintptr_t)memory);
        args[i] = (dnnl_exec_arg_t){ p->arg[i], p->memory[i] };
    }
    dnnl_status_t status = dnnl_primitive_execute(p->primitive, conv->d->stream, p->count, args);
    dnnl_stream_wait(conv->d->stream);
    if (status == dnnl_success)
        return 0;
    snprintf(conv->d->device.message, sizeof(conv->d->device.message), "oneDNN convolution: status %d", status);
    return -EIO;
}

CPU_CLONES static void round_span(const float *x, uint16_t *to, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        to[i] = bf16_round(x[i]);
}

/* What the primitives read as x: the image goes through the scratch in bf16. */
static const void *conv_input(struct conv *conv, const void *x, void *scratch)
{
    struct shape s = conv->request.geometry.in;
    int64_t row = (int64_t)s.c * s.h * s.w;

    if (!image_bytes(conv))
        return x;
    uint16_t *to = (uint16_t *)(void *)((char *)scratch + scratch_primitive(conv) + scratch_extra(conv));
#pragma omp parallel for
    for (int n = 0; n < s.n; n++)
        round_span((const float *)x + n * row, to + n * row, row);
    return to;
}

int onednn_conv_forward(struct conv *conv, const void *x, const void *packed, const float *bias, const void *residual,
                        void *y, void *scratch)
{
    const struct conv_geometry *g = &conv->request.geometry;
    const float *b = bias;

    assert(!bias == !conv->request.bias && !residual == !conv->request.residual);
    if (bias && conv->out_c != g->out_c) {
        float *padded = (float *)((char *)scratch + scratch_primitive(conv));
        memset(padded, 0, (size_t)conv->out_c * sizeof(float));
        memcpy(padded, bias, (size_t)g->out_c * sizeof(float));
        b = padded;
    }
    struct binding bindings[] = {
        { DNNL_ARG_SRC, conv_input(conv, x, scratch) },
        { DNNL_ARG_WEIGHTS, packed },
        { DNNL_ARG_BIAS, b },
        { DNNL_ARG_DST, y },
        { DNNL_ARG_SCRATCHPAD, scratch },
        { DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, residual },
    };
    return primitive_run(conv, &conv->forward, bindings, 6);
}

int onednn_conv_backward_data(struct conv *conv, const void *dy, const void *packed, void *dx, void *scratch)
{
    const void *w = (const char *)packed + conv->packed_forward;

    assert(conv->request.backward_data);
    if (own_backward_data(conv)) {
        onednn_image_gradient(conv->d, &conv->request.geometry, dy, w, dx);
        return 0;
    }
    struct binding bindings[] = {
        { DNNL_ARG_DIFF_DST, dy },
        { DNNL_ARG_WEIGHTS, w },
        { DNNL_ARG_DIFF_SRC, dx },
        { DNNL_ARG_SCRATCHPAD, scratch },
    };
    return primitive_run(conv, &conv->data, bindings, 4);
}

int onednn_conv_backward_weights(struct conv *conv, const void *x, const void *dy, float *dw, void *scratch)
{
    const struct conv_geometry *g = &conv->request.geometry;
    char *plain = (char *)scratch + scratch_primitive(conv);
    char *blocked = plain + align64(dnnl_memory_desc_get_size(&conv->plain));
    bool padded = conv->in_c != g->in.c || conv->out_c != g->out_c;
    int taps = g->kernel * g->kernel;

    assert(conv->request.backward_weights);
    struct binding bindings[] = {
        { DNNL_ARG_SRC, conv_input(conv, x, scratch) },
        { DNNL_ARG_DIFF_DST, dy },
        { DNNL_ARG_DIFF_WEIGHTS, blocked },
        { DNNL_ARG_SCRATCHPAD, scratch },
    };
    int r = primitive_run(conv, &conv->weights, bindings, 4);
    if (r < 0)
        return r;
    dnnl_memory_t from = NULL;
    for (int i = 0; i < conv->weights.count; i++)
        if (conv->weights.arg[i] == DNNL_ARG_DIFF_WEIGHTS)
            from = conv->weights.memory[i];
    dnnl_memory_set_data_handle(conv->plain_memory, padded ? (void *)plain : (void *)dw);
    r = reorder_run(conv, conv->unpack, from, conv->plain_memory);
    if (r < 0 || !padded)
        return r;
    for (int o = 0; o < g->out_c; o++)
        for (int i = 0; i < g->in.c; i++)
            memcpy(dw + ((int64_t)o * g->in.c + i) * taps, (float *)plain + ((int64_t)o * conv->in_c + i) * taps,
                   (size_t)taps * sizeof(float));
    return 0;
}
