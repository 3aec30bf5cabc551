/* How is a plan run, once it is made?
 *
 * Forward walks the units, backward walks them in reverse; all thinking was
 * done in plan_lower.c. Addresses are workspace + offset, looked up at each
 * run because the workspace may have grown since.
 *
 * Surprising: weights are packed lazily. Every tensor has a version; a unit
 * repacks when one of its tensors is newer than what it packed. */
#include "gpu/nn/plan_inside.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BN_EPS 1e-5f

/* ---- workspace ---- */

int workspace_reserve(struct workspace *ws, size_t bytes, struct fault *why)
{
    if (bytes <= ws->bytes)
        return 0;
    ws->dev->ops->free(ws->dev, ws->memory);
    ws->bytes = 0;
    ws->memory = ws->dev->ops->alloc(ws->dev, bytes);
    if (!ws->memory)
        return fault_set(why, -ENOMEM, "no memory for %zu bytes of activations", bytes);
    ws->bytes = bytes;
    return 0;
}

void workspace_done(struct workspace *ws)
{
    if (ws->memory)
        ws->dev->ops->free(ws->dev, ws->memory);
    *ws = (struct workspace){ 0 };
}

/* ---- life ---- */

size_t plan_row_bytes(const struct weights *weights, int value)
{
    const struct model *model = weights->model;
    struct shape s = model->values[value];
    bool plain = value == 0;

    for (int i = 0; i < model->op_count; i++)
        if (model->ops[i].out == value)
            plain = model->ops[i].type == OP_POOL || model->ops[i].type == OP_LINEAR;
    s.n = 1;
    return plain ? (size_t)shape_count(s) * sizeof(float) : weights->dev->ops->activation_bytes(weights->dev, s);
}

int plan_open(struct workspace *ws, struct weights *weights, const struct plan_spec *spec, struct plan **ret,
              struct fault *why)
{
    const struct model *model = weights->model;
    size_t values = (size_t)model->value_count;
    struct plan *plan = calloc(1, sizeof(*plan));
    int r = -ENOMEM;

    assert(spec->batch > 0 && spec->first >= 0 && spec->first < model->op_count);
    if (!plan)
        return fault_set(why, -ENOMEM, "no memory for a plan");
    *plan = (struct plan){ .ws = ws,
                           .weights = weights,
                           .model = model,
                           .spec = *spec,
                           .normalized = NO_BUFFER,
                           .logits = NO_BUFFER,
                           .logits_gradient = NO_BUFFER,
                           .loss = NO_BUFFER,
                           .correct = NO_BUFFER,
                           .scratch = NO_BUFFER };
    if (plan->spec.last == 0)
        plan->spec.last = model->op_count;
    assert(!(spec->want_input && spec->first > 0));
    plan->value_buffer = malloc(values * sizeof(*plan->value_buffer));
    plan->bound = calloc(values, sizeof(*plan->bound));
    plan->gradients = malloc(values * sizeof(*plan->gradients));
    if (spec->wanted) {
        plan->wanted = malloc((size_t)model->tensor_count);
        if (plan->wanted)
            memcpy(plan->wanted, spec->wanted, (size_t)model->tensor_count);
    }
    plan->spec.wanted = plan->wanted;
    if (plan->value_buffer && plan->bound && plan->gradients && !plan->wanted == !spec->wanted) {
        for (size_t v = 0; v < values; v++)
            plan->value_buffer[v] = plan->gradients[v][0] = plan->gradients[v][1] = NO_BUFFER;
        r = plan_lower(plan, why);
        if (r == 0)
            r = workspace_reserve(ws, plan->workspace_bytes, why);
    }
    if (r < 0) {
        plan_close(plan);
        return r;
    }
    *ret = plan;
    return 0;
}

void plan_close(struct plan *plan)
{
    if (!plan)
        return;
    const struct backend *ops = plan->ws->dev->ops;
    for (int i = 0; plan->units && i < plan->unit_count; i++)
        if (plan->units[i].conv)
            ops->conv_close(plan->units[i].conv);
    for (int i = 0; i < PLAN_RECORDINGS; i++)
        if (plan->recordings[i].made)
            ops->recording_free(plan->ws->dev, plan->recordings[i].made);
    if (plan->packed)
        ops->free(plan->ws->dev, plan->packed);
    free(plan->units);
    free(plan->buffers);
    free(plan->value_buffer);
    free(plan->bound);
    free(plan->gradients);
    free(plan->wanted);
    free(plan);
}

const struct plan_spec *plan_spec(const struct plan *plan)
{
    return &plan->spec;
}
size_t plan_workspace_bytes(const struct plan *plan)
{
    return plan->workspace_bytes;
}
size_t plan_packed_bytes(const struct plan *plan)
{
    return plan->packed_bytes;
}

/* ---- addresses ---- */

static void *at(const struct plan *plan, int buffer)
{
    return buffer >= 0 ? (char *)plan->ws->memory + plan->buffers[buffer].offset : NULL;
}

static const void *value_at(const struct plan *plan, int value)
{
    if (value == 0 && plan->normalized >= 0)
        return at(plan, plan->normalized);
    return plan->value_buffer[value] >= 0 ? at(plan, plan->value_buffer[value]) : plan->bound[value];
}

void plan_bind(struct plan *plan, int value, const void *memory)
{
    plan->bound[value] = memory;
}

float *plan_loss(const struct plan *plan)
{
    return at(plan, plan->loss);
}
float *plan_logits(const struct plan *plan)
{
    return at(plan, plan->logits);
}
float *plan_logits_gradient(const struct plan *plan)
{
    return at(plan, plan->logits_gradient);
}
const void *plan_value(const struct plan *plan, int value)
{
    return value_at(plan, value);
}

/* ---- forward ---- */

static uint64_t newest(const struct plan *plan, const struct unit *u)
{
    const uint64_t *version = plan->weights->version;
    uint64_t clock = u->weight >= 0 ? version[u->weight] : 0;

    for (int i = 0; i < 4; i++)
        if (u->bn[i] >= 0 && version[u->bn[i]] > clock)
            clock = version[u->bn[i]];
    return clock;
}

static float *tensor(const struct plan *plan, int index)
{
    return weights_at(plan->weights, index);
}

static int pack(struct plan *plan, struct unit *u)
{
    struct device *dev = plan->ws->dev;
    uint64_t clock = newest(plan, u);

    if (clock == u->packed_clock)
        return 0;
    if (u->scale) {
        int r = dev->ops->bn_fold(dev, plan_shape(plan, u->y).c, tensor(plan, u->bn[0]), tensor(plan, u->bn[1]),
                                  tensor(plan, u->bn[2]), tensor(plan, u->bn[3]), BN_EPS, u->scale, u->shift);
        if (r < 0)
            return r;
    }
    int r = u->conv ? dev->ops->conv_pack(u->conv, tensor(plan, u->weight), u->scale, u->shift, u->packed,
                                          at(plan, plan->scratch))
                    : 0;
    if (r == 0)
        u->packed_clock = clock;
    return r;
}

/* Every convolution's weights and every affine unit's numbers as they are now. */
static int pack_all(struct plan *plan)
{
    int r = 0;

    for (int i = 0; r == 0 && i < plan->unit_count; i++)
        if (plan->units[i].type == UNIT_CONV || plan->units[i].type == UNIT_AFFINE)
            r = pack(plan, &plan->units[i]);
    return r;
}

static int forward_conv(struct plan *plan, struct unit *u)
{
    return plan->ws->dev->ops->conv_forward(u->conv, value_at(plan, u->x), u->packed, u->shift,
                                            u->residual >= 0 ? value_at(plan, u->residual) : NULL,
                                            at(plan, plan->value_buffer[u->y]), at(plan, plan->scratch));
}

static int forward_bn(struct plan *plan, struct unit *u, float momentum)
{
    struct device *dev = plan->ws->dev;

    return dev->ops->bn_forward(dev, plan_shape(plan, u->y), value_at(plan, u->x), tensor(plan, u->bn[0]),
                                tensor(plan, u->bn[1]), u->residual >= 0 ? value_at(plan, u->residual) : NULL, u->relu,
                                at(plan, plan->value_buffer[u->y]), at(plan, u->mean), at(plan, u->invstd),
                                tensor(plan, u->bn[2]), tensor(plan, u->bn[3]), momentum, BN_EPS);
}

/* Running statistics have moved. */
static void statistics_touch(struct plan *plan)
{
    for (int i = 0; i < plan->unit_count; i++)
        if (plan->units[i].type == UNIT_BN) {
            weights_touch(plan->weights, plan->units[i].bn[2]);
            weights_touch(plan->weights, plan->units[i].bn[3]);
        }
}

static int forward_affine(struct plan *plan, struct unit *u)
{
    struct device *dev = plan->ws->dev;

    return dev->ops->affine_forward(dev, plan_shape(plan, u->y), value_at(plan, u->x), u->scale, u->shift, u->relu,
                                    at(plan, plan->value_buffer[u->y]));
}

static int forward_head(struct plan *plan, struct unit *u)
{
    struct device *dev = plan->ws->dev;
    float *y = at(plan, plan->value_buffer[u->y]);
    struct shape in = plan_shape(plan, u->x);

    if (u->type == UNIT_POOL)
        return dev->ops->pool_forward(dev, in, plan->model->ops[u->op].kernel, value_at(plan, u->x), y);
    return dev->ops->linear_forward(dev, in.n, in.c * in.h * in.w, plan_shape(plan, u->y).c, value_at(plan, u->x),
                                    tensor(plan, u->weight), tensor(plan, u->bias), y);
}

int plan_forward(struct plan *plan, float momentum)
{
    struct device *dev = plan->ws->dev;
    int r = pack_all(plan);

    assert(plan->ws->bytes >= plan->workspace_bytes);
    if (r == 0 && plan->normalized >= 0)
        r = dev->ops->normalize(dev, plan_shape(plan, 0), plan->bound[0], plan->model->mean, plan->model->std,
                                at(plan, plan->normalized));
    for (int i = 0; r == 0 && i < plan->unit_count; i++) {
        struct unit *u = &plan->units[i];
        if (u->type == UNIT_CONV)
            r = forward_conv(plan, u);
        else if (u->type == UNIT_BN)
            r = forward_bn(plan, u, momentum);
        else if (u->type == UNIT_AFFINE)
            r = forward_affine(plan, u);
        else
            r = forward_head(plan, u);
    }
    if (r == 0 && momentum != 0)
        statistics_touch(plan);
    return r;
}

/* FNV-1a. */
uint64_t plan_key(uint64_t key, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;

    for (size_t i = 0; i < size; i++)
        key = (key ^ at[i]) * 0x100000001b3u;
    return key;
}

int plan_repeat(struct plan *plan, uint64_t key, float momentum, int (*run)(void *user), void *user)
{
    struct device *dev = plan->ws->dev;
    int slot = 0, r = pack_all(plan); /* packing depends on what has changed, so it is no part of what is repeated */

    key = plan_key(key, &plan->ws->memory, sizeof(plan->ws->memory));
    key = plan_key(key, plan->bound, (size_t)plan->model->value_count * sizeof(*plan->bound));
    key = plan_key(key, &momentum, sizeof(momentum));
    while (slot < PLAN_RECORDINGS - 1 && plan->recordings[slot].key && plan->recordings[slot].key != key)
        slot++;
    plan->recordings[slot].key = key;
    if (r == 0)
        r = dev->ops->repeat(dev, &plan->recordings[slot].made, key, run, user);
    if (r == 0 && momentum != 0)
        statistics_touch(plan);
    return r;
}

int plan_cross_entropy(struct plan *plan, const int32_t *labels, float scale)
{
    struct device *dev = plan->ws->dev;

    assert(plan->logits >= 0);
    return dev->ops->cross_entropy(dev, plan->spec.batch, plan->model->num_classes, plan_logits(plan), labels, scale,
                                   at(plan, plan->loss), at(plan, plan->correct), plan_logits_gradient(plan));
}

int plan_margin_loss(struct plan *plan, enum margin margin, const int32_t *labels, const int32_t *targets, float scale)
{
    struct device *dev = plan->ws->dev;

    assert(plan->logits >= 0);
    return dev->ops->margin_loss(dev, margin, plan->spec.batch, plan->model->num_classes, plan_logits(plan), labels,
                                 targets, scale, at(plan, plan->loss), at(plan, plan->correct),
                                 plan_logits_gradient(plan));
}

int plan_loss_read(struct plan *plan, float *loss, int32_t *correct)
{
    struct device *dev = plan->ws->dev;
    size_t rows = (size_t)plan->spec.batch;
    int r = 0;

    if (loss)
        r = dev->ops->read(dev, loss, at(plan, plan->loss), rows * sizeof(float));
    if (r == 0 && correct)
        r = dev->ops->read(dev, correct, at(plan, plan->correct), rows * sizeof(int32_t));
    return r;
}

/* ---- backward ---- */

struct outputs {
    float *gradient, *input;
};

static float *gradient_at(const struct plan *plan, const struct outputs *out, int index)
{
    return out->gradient + plan->model->tensors[index].offset;
}

static bool is_wanted(const struct plan *plan, int index)
{
    return plan->wanted && plan->wanted[index];
}

/* Gradients of a convolution's weight and, when BN is folded into it, of the BN. */
static int backward_conv_parameters(struct plan *plan, struct unit *u, const void *g, const struct outputs *out)
{
    struct device *dev = plan->ws->dev;
    const struct tensor_info *w = &plan->model->tensors[u->weight];
    float *dw = u->want_weight ? gradient_at(plan, out, u->weight) : at(plan, u->dw);
    float *dgamma = NULL, *dbeta = NULL;
    int r = dev->ops->conv_backward_weights(u->conv, value_at(plan, u->x), g, dw, at(plan, plan->scratch));

    if (r < 0 || u->bn[0] < 0)
        return r;
    if (u->want_bn) {
        dgamma = is_wanted(plan, u->bn[0]) ? gradient_at(plan, out, u->bn[0]) : at(plan, u->dgamma);
        dbeta = is_wanted(plan, u->bn[1]) ? gradient_at(plan, out, u->bn[1]) : at(plan, u->dbeta);
        r = dev->ops->channel_sum(dev, plan_shape(plan, u->y), g, dbeta);
        if (r < 0)
            return r;
    }
    return dev->ops->bn_unfold(dev, w->shape[0], (int)(w->count / w->shape[0]), tensor(plan, u->weight),
                               tensor(plan, u->bn[0]), tensor(plan, u->bn[2]), tensor(plan, u->bn[3]), BN_EPS, dw,
                               dbeta, dgamma, dbeta);
}

static int backward_conv(struct plan *plan, struct unit *u, const struct outputs *out)
{
    struct device *dev = plan->ws->dev;
    void *g = at(plan, u->a);
    int r = 0;

    if (u->relu || u->b != NO_BUFFER)
        r = dev->ops->relu_backward(dev, plan_shape(plan, u->y), g, at(plan, u->b),
                                    u->relu ? value_at(plan, u->y) : NULL, g);
    if (r == 0 && (u->want_weight || u->want_bn))
        r = backward_conv_parameters(plan, u, g, out);
    if (r == 0 && u->want_x) {
        void *dx = u->dx == CALLERS_BUFFER ? out->input : at(plan, u->dx);
        r = dev->ops->conv_backward_data(u->conv, g, u->packed, dx, at(plan, plan->scratch));
    }
    return r;
}

static int backward_bn(struct plan *plan, struct unit *u, const struct outputs *out)
{
    struct device *dev = plan->ws->dev;
    float *dgamma = is_wanted(plan, u->bn[0]) ? gradient_at(plan, out, u->bn[0]) : at(plan, u->dgamma);
    float *dbeta = is_wanted(plan, u->bn[1]) ? gradient_at(plan, out, u->bn[1]) : at(plan, u->dbeta);

    return dev->ops->bn_backward(dev, plan_shape(plan, u->y), at(plan, u->a), at(plan, u->b),
                                 u->relu ? value_at(plan, u->y) : NULL, value_at(plan, u->x), tensor(plan, u->bn[0]),
                                 at(plan, u->mean), at(plan, u->invstd), at(plan, u->dx), at(plan, u->dresidual),
                                 dgamma, dbeta);
}

static int backward_affine(struct plan *plan, struct unit *u, const struct outputs *out)
{
    struct device *dev = plan->ws->dev;
    float *dgamma = is_wanted(plan, u->bn[0]) ? gradient_at(plan, out, u->bn[0]) : at(plan, u->dgamma);
    float *dbeta = is_wanted(plan, u->bn[1]) ? gradient_at(plan, out, u->bn[1]) : at(plan, u->dbeta);

    return dev->ops->affine_backward(dev, plan_shape(plan, u->y), at(plan, u->a), at(plan, u->b),
                                     u->relu ? value_at(plan, u->y) : NULL, u->want_bn ? value_at(plan, u->x) : NULL,
                                     u->scale, tensor(plan, u->bn[2]), tensor(plan, u->bn[3]), BN_EPS,
                                     at(plan, u->dx), dgamma, dbeta);
}

static int backward_head(struct plan *plan, struct unit *u, const struct outputs *out)
{
    struct device *dev = plan->ws->dev;
    struct shape in = plan_shape(plan, u->x);
    int features = in.c * in.h * in.w, classes = plan_shape(plan, u->y).c, r = 0;

    if (u->type == UNIT_POOL)
        return dev->ops->pool_backward(dev, in, plan->model->ops[u->op].kernel, at(plan, u->a), at(plan, u->dx));
    if (u->want_weight || u->want_bias)
        r = dev->ops->linear_backward_weights(dev, in.n, features, classes, at(plan, u->a), value_at(plan, u->x),
                                              u->want_weight ? gradient_at(plan, out, u->weight) : at(plan, u->dw),
                                              u->want_bias ? gradient_at(plan, out, u->bias) : NULL);
    if (r == 0 && u->want_x)
        r = dev->ops->linear_backward_data(dev, in.n, features, classes, at(plan, u->a), tensor(plan, u->weight),
                                           at(plan, u->dx));
    return r;
}

int plan_backward(struct plan *plan, float *gradient, float *input_gradient)
{
    struct device *dev = plan->ws->dev;
    struct outputs out = { gradient, input_gradient };
    int r = 0;

    assert(!plan->spec.want_input == !input_gradient && !plan->wanted == !gradient);
    for (int i = plan->unit_count - 1; r == 0 && i >= 0; i--) {
        struct unit *u = &plan->units[i];
        if (!u->backward)
            continue;
        if (u->type == UNIT_CONV)
            r = backward_conv(plan, u, &out);
        else if (u->type == UNIT_BN)
            r = backward_bn(plan, u, &out);
        else if (u->type == UNIT_AFFINE)
            r = backward_affine(plan, u, &out);
        else
            r = backward_head(plan, u, &out);
    }
    if (r == 0 && input_gradient && plan->normalized >= 0)
        r = dev->ops->normalize_backward(dev, plan_shape(plan, 0), input_gradient, plan->model->std, input_gradient);
    return r;
}

/* ---- both at once ---- */

struct both {
    struct plan *plan;
    float momentum, scale;
    const int32_t *labels;
    float *gradient, *input_gradient;
};

static int run_both(void *user)
{
    const struct both *b = user;
    int r = plan_forward(b->plan, b->momentum);

    if (r == 0)
        r = plan_cross_entropy(b->plan, b->labels, b->scale);
    return r < 0 ? r : plan_backward(b->plan, b->gradient, b->input_gradient);
}

int plan_gradient(struct plan *plan, float momentum, const int32_t *labels, float scale, float *gradient,
                  float *input_gradient)
{
    struct both both = { plan, momentum, scale, labels, gradient, input_gradient };
    const void *where[] = { labels, gradient, input_gradient };
    uint64_t key = plan_key(PLAN_KEY, where, sizeof(where));

    return plan_repeat(plan, plan_key(key, &scale, sizeof(scale)), momentum, run_both, &both);
}
