/* How does a list of operations become a plan?
 *
 *   1 units     neighbours are fused: conv + folded BN + residual + ReLU (eval),
 *               BN + residual + ReLU (train), what is left of BN + ReLU (eval)
 *   2 wishes    from wanted gradients upwards: which unit has a backward step
 *   3 buffers   every value and gradient gets a birth and a death on one time line,
 *               forward units 0..U-1, loss U, backward unit u at 2U-u
 *   4 places    buffers whose lives overlap get different addresses: largest
 *               first, each at the lowest free place
 *   5 packing   device memory for packed weights, folded scales and biases
 *
 * Surprising: gradients are masked in place. When a gradient arrives at a unit
 * nobody else will read that buffer again: a second reader (the residual) got
 * the masked one. */
#include "gpu/nn/plan_inside.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- 1 units ---- */

/* The only operation that reads `value`, if it lies before `last`; else -1. */
static int follower(const struct plan *plan, int value)
{
    int found = -1;

    for (int i = 0; i < plan->model->op_count; i++)
        for (int k = 0; k < 2; k++)
            if (plan->model->ops[i].in[k] == value) {
                if (found >= 0)
                    return -1;
                found = i;
            }
    return found < plan->spec.last ? found : -1;
}

/* Try to take the residual addition and the ReLU that follow `unit` into it. */
static void fuse_tail(const struct plan *plan, struct unit *unit, const bool *made, bool *done)
{
    const struct op *ops = plan->model->ops;
    int next = follower(plan, unit->y);

    if (next >= 0 && ops[next].type == OP_ADD) {
        int other = ops[next].in[0] == unit->y ? ops[next].in[1] : ops[next].in[0];
        if (!made[other])
            return; /* the other branch comes later and takes the addition */
        unit->residual = other;
        unit->y = ops[next].out;
        done[next] = true;
        next = follower(plan, unit->y);
    }
    if (next >= 0 && ops[next].type == OP_RELU) {
        unit->relu = true;
        unit->y = ops[next].out;
        done[next] = true;
    }
}

static void lower_conv(const struct plan *plan, struct unit *unit, const bool *made, bool *done)
{
    const struct op *ops = plan->model->ops;
    int next = follower(plan, unit->y);
    bool bn_follows = next >= 0 && ops[next].type == OP_BN;

    unit->weight = ops[unit->op].tensor[0];
    if (bn_follows && plan->spec.mode == PLAN_EVAL) {
        memcpy(unit->bn, ops[next].tensor, sizeof(unit->bn));
        unit->y = ops[next].out;
        done[next] = true;
    }
    if (!bn_follows || plan->spec.mode == PLAN_EVAL)
        fuse_tail(plan, unit, made, done);
}

static int find_units(struct plan *plan, bool *made, bool *done, struct fault *why)
{
    const struct model *model = plan->model;

    for (int i = plan->spec.first; i < plan->spec.last; i++) {
        const struct op *op = &model->ops[i];
        if (done[i])
            continue;
        struct unit *unit = &plan->units[plan->unit_count++];
        *unit = (struct unit){ .op = i,
                               .x = op->in[0],
                               .y = op->out,
                               .residual = -1,
                               .weight = -1,
                               .bias = -1,
                               .bn = { -1, -1, -1, -1 },
                               .mean = NO_BUFFER,
                               .invstd = NO_BUFFER,
                               .a = NO_BUFFER,
                               .b = NO_BUFFER,
                               .dx = NO_BUFFER,
                               .dresidual = NO_BUFFER,
                               .dgamma = NO_BUFFER,
                               .dbeta = NO_BUFFER,
                               .dw = NO_BUFFER };
        switch (op->type) {
        case OP_CONV:
            unit->type = UNIT_CONV;
            lower_conv(plan, unit, made, done);
            break;
        case OP_POOL:
            unit->type = UNIT_POOL;
            break;
        case OP_LINEAR:
            unit->type = UNIT_LINEAR;
            unit->weight = op->tensor[0];
            unit->bias = op->tensor[1];
            break;
        case OP_BN:
            unit->type = plan->spec.mode == PLAN_EVAL ? UNIT_AFFINE : UNIT_BN;
            memcpy(unit->bn, op->tensor, sizeof(unit->bn));
            fuse_tail(plan, unit, made, done);
            break;
        default:
            return fault_set(why, -ENOTSUP, "%s: operation %d has nothing it can be fused with", model->arch, i);
        }
        assert(unit->type != UNIT_AFFINE || unit->residual < 0); /* no network adds to what it just normalised alone */
        made[unit->y] = true;
    }
    return 0;
}

static int lower_units(struct plan *plan, struct fault *why)
{
    const struct model *model = plan->model;
    bool *made = calloc((size_t)model->value_count, 1), *done = calloc((size_t)model->op_count, 1);
    int frontier[4], r = -ENOMEM;

    plan->units = calloc((size_t)model->op_count, sizeof(*plan->units));
    if (made && done && plan->units) {
        made[0] = true;
        for (int i = model_frontier(model, plan->spec.first, frontier); i > 0; i--)
            made[frontier[i - 1]] = true;
        r = find_units(plan, made, done, why);
    }
    free(made);
    free(done);
    return r;
}

/* ---- 2 wishes ---- */

static bool is_wanted(const struct plan *plan, int tensor)
{
    return tensor >= 0 && plan->wanted && plan->wanted[tensor];
}

static int lower_wishes(struct plan *plan)
{
    bool *need = calloc((size_t)plan->model->value_count, 1);

    if (!need)
        return -ENOMEM;
    need[0] = plan->spec.want_input;
    for (int i = 0; i < plan->unit_count; i++) {
        struct unit *u = &plan->units[i];
        u->want_weight = is_wanted(plan, u->weight);
        u->want_bias = is_wanted(plan, u->bias);
        u->want_bn = is_wanted(plan, u->bn[0]) || is_wanted(plan, u->bn[1]);
        u->want_x = need[u->x];
        u->want_residual = u->residual >= 0 && need[u->residual];
        u->backward = u->want_weight || u->want_bias || u->want_bn || u->want_x || u->want_residual;
        need[u->y] = u->backward;
    }
    free(need);
    return 0;
}

/* ---- 3 buffers ---- */

struct shape plan_shape(const struct plan *plan, int value)
{
    struct shape s = plan->model->values[value];

    s.n = plan->spec.batch;
    return s;
}

static size_t value_bytes(const struct plan *plan, int value)
{
    return plan_row_bytes(plan->weights, value) * (size_t)plan->spec.batch;
}

static int buffer_new(struct plan *plan, size_t bytes, int birth)
{
    assert(plan->buffer_count < plan->buffer_space);
    plan->buffers[plan->buffer_count] =
        (struct buffer){ .bytes = (bytes + 63) & ~(size_t)63, .birth = birth, .death = birth };
    return plan->buffer_count++;
}

static void keep(struct plan *plan, int buffer, int time)
{
    if (buffer >= 0 && plan->buffers[buffer].death < time)
        plan->buffers[buffer].death = time;
}

static void keep_value(struct plan *plan, int value, int time)
{
    if (value == 0)
        keep(plan, plan->normalized, time);
    else
        keep(plan, plan->value_buffer[value], time);
}

static void buffers_forward(struct plan *plan)
{
    const struct model *model = plan->model;

    for (int i = 0; i < 3; i++)
        if (plan->spec.first == 0 && plan->normalized == NO_BUFFER && (model->mean[i] != 0 || model->std[i] != 1) &&
            i < model->input[0])
            plan->normalized = buffer_new(plan, value_bytes(plan, 0), 0);
    for (int i = 0; i < plan->unit_count; i++) {
        struct unit *u = &plan->units[i];
        keep_value(plan, u->x, i);
        if (u->residual >= 0)
            keep_value(plan, u->residual, i);
        plan->value_buffer[u->y] = buffer_new(plan, value_bytes(plan, u->y), i);
        if (u->type == UNIT_BN) {
            size_t bytes = (size_t)plan_shape(plan, u->y).c * sizeof(float);
            u->mean = buffer_new(plan, bytes, i);
            u->invstd = buffer_new(plan, bytes, i);
        }
    }
}

/* One more gradient arrives at `value`. */
static void gradient_arrives(struct plan *plan, int value, int buffer)
{
    int *slot = plan->gradients[value];

    assert(slot[1] == NO_BUFFER);
    slot[slot[0] == NO_BUFFER ? 0 : 1] = buffer;
}

static int gradient_new(struct plan *plan, int value, int time)
{
    int buffer = value == 0 ? CALLERS_BUFFER : buffer_new(plan, value_bytes(plan, value), time);

    gradient_arrives(plan, value, buffer);
    return buffer;
}

static int buffer_of_tensor(struct plan *plan, int tensor, int time)
{
    return buffer_new(plan, (size_t)plan->model->tensors[tensor].count * sizeof(float), time);
}

static void backward_conv(struct plan *plan, struct unit *u, int time)
{
    if (u->relu)
        keep_value(plan, u->y, time);
    if (u->want_weight || u->want_bn)
        keep_value(plan, u->x, time);
    if (u->want_bn) {
        if (!u->want_weight)
            u->dw = buffer_of_tensor(plan, u->weight, time);
        u->dgamma = buffer_of_tensor(plan, u->bn[0], time);
        u->dbeta = buffer_of_tensor(plan, u->bn[1], time);
    }
    if (u->want_residual) { /* g itself, masked in place */
        u->dresidual = u->a;
        gradient_arrives(plan, u->residual, u->a);
    }
    if (u->want_x)
        u->dx = gradient_new(plan, u->x, time);
}

static void backward_bn(struct plan *plan, struct unit *u, int time)
{
    if (u->relu)
        keep_value(plan, u->y, time);
    keep_value(plan, u->x, time);
    keep(plan, u->mean, time);
    keep(plan, u->invstd, time);
    u->dgamma = buffer_of_tensor(plan, u->bn[0], time);
    u->dbeta = buffer_of_tensor(plan, u->bn[1], time);
    if (u->want_residual) {
        u->dresidual = u->b != NO_BUFFER ? u->b : buffer_new(plan, value_bytes(plan, u->residual), time);
        gradient_arrives(plan, u->residual, u->dresidual);
    }
    u->dx = u->a; /* in place */
    if (u->want_x)
        gradient_arrives(plan, u->x, u->dx);
}

static void backward_affine(struct plan *plan, struct unit *u, int time)
{
    if (u->relu)
        keep_value(plan, u->y, time);
    if (u->want_bn) {
        keep_value(plan, u->x, time);
        u->dgamma = buffer_of_tensor(plan, u->bn[0], time);
        u->dbeta = buffer_of_tensor(plan, u->bn[1], time);
    }
    if (u->want_x) {
        u->dx = u->a; /* in place */
        gradient_arrives(plan, u->x, u->dx);
    }
}

static void buffers_backward(struct plan *plan)
{
    int loss_time = plan->unit_count;

    for (int i = plan->unit_count - 1; i >= 0; i--) {
        struct unit *u = &plan->units[i];
        int time = 2 * loss_time - i;
        if (!u->backward)
            continue;
        u->a = plan->gradients[u->y][0];
        u->b = plan->gradients[u->y][1];
        keep(plan, u->a, time);
        keep(plan, u->b, time);
        if (u->type == UNIT_CONV)
            backward_conv(plan, u, time);
        else if (u->type == UNIT_BN)
            backward_bn(plan, u, time);
        else if (u->type == UNIT_AFFINE)
            backward_affine(plan, u, time);
        else {
            if (u->want_weight || u->want_bias)
                keep_value(plan, u->x, time);
            if (u->want_bias && !u->want_weight)
                u->dw = buffer_of_tensor(plan, u->weight, time);
            if (u->want_x)
                u->dx = gradient_new(plan, u->x, time);
        }
    }
}

static int lower_buffers(struct plan *plan)
{
    const struct model *model = plan->model;
    int loss_time = plan->unit_count, frontier[4], output = model->ops[model->op_count - 1].out;
    size_t rows = (size_t)plan->spec.batch;

    plan->buffer_space = 8 * plan->unit_count + 8; /* a unit makes at most 3 forward and 5 backward */
    plan->buffers = calloc((size_t)plan->buffer_space, sizeof(*plan->buffers));
    if (!plan->buffers)
        return -ENOMEM;
    buffers_forward(plan);
    if (plan->spec.last == model->op_count) {
        size_t bytes = value_bytes(plan, output);
        plan->logits = plan->value_buffer[output];
        plan->logits_gradient = buffer_new(plan, bytes, loss_time);
        plan->loss = buffer_new(plan, rows * sizeof(float), loss_time);
        plan->correct = buffer_new(plan, rows * sizeof(int32_t), loss_time);
        for (int *b = (int[]){ plan->logits, plan->logits_gradient, plan->loss, plan->correct, NO_BUFFER }; *b >= 0;
             b++)
            keep(plan, *b, FOREVER);
        gradient_arrives(plan, output, plan->logits_gradient);
        buffers_backward(plan);
    } else {
        for (int i = model_frontier(model, plan->spec.last, frontier); i > 0; i--)
            keep_value(plan, frontier[i - 1], FOREVER);
    }
    size_t scratch = 0;
    for (int i = 0; i < plan->unit_count; i++)
        if (plan->units[i].conv) {
            size_t bytes = plan->ws->dev->ops->conv_scratch_bytes(plan->units[i].conv);
            scratch = bytes > scratch ? bytes : scratch;
        }
    plan->scratch = buffer_new(plan, scratch, 0);
    keep(plan, plan->scratch, FOREVER);
    return 0;
}

/* ---- 4 places ---- */

static bool lives_meet(const struct buffer *a, const struct buffer *b)
{
    return a->birth <= b->death && b->birth <= a->death;
}

static bool places_meet(const struct buffer *a, const struct buffer *b)
{
    return a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
}

static void place(struct buffer *buffer, struct buffer *const *placed, int count)
{
    bool moved = true;

    buffer->offset = 0;
    while (moved) {
        moved = false;
        for (int i = 0; i < count; i++)
            if (lives_meet(buffer, placed[i]) && places_meet(buffer, placed[i])) {
                buffer->offset = placed[i]->offset + placed[i]->bytes;
                moved = true;
            }
    }
}

static int larger_first(const void *a, const void *b)
{
    const struct buffer *x = *(struct buffer *const *)a, *y = *(struct buffer *const *)b;

    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x < y ? -1 : x > y;
}

static int lower_places(struct plan *plan)
{
    struct buffer **order = calloc((size_t)plan->buffer_space, sizeof(struct buffer *));

    if (!order)
        return -ENOMEM;
    for (int i = 0; i < plan->buffer_count; i++)
        order[i] = &plan->buffers[i];
    qsort(order, (size_t)plan->buffer_count, sizeof(struct buffer *), larger_first);
    for (int i = 0; i < plan->buffer_count; i++) {
        place(order[i], order, i);
        size_t end = order[i]->offset + order[i]->bytes;
        plan->workspace_bytes = end > plan->workspace_bytes ? end : plan->workspace_bytes;
    }
    free(order);
    return 0;
}

/* ---- 5 packing ---- */

static int open_convs(struct plan *plan, struct fault *why)
{
    const struct backend *ops = plan->ws->dev->ops;

    for (int i = 0; i < plan->unit_count; i++) {
        struct unit *u = &plan->units[i];
        const struct op *op = &plan->model->ops[u->op];
        if (u->type != UNIT_CONV)
            continue;
        struct conv_request request = {
            .geometry = { plan_shape(plan, u->x), plan->model->tensors[u->weight].shape[0], op->kernel, op->stride,
                          op->pad },
            .image_in = u->x == 0,
            .bias = u->bn[0] >= 0,
            .residual = u->residual >= 0,
            .relu = u->relu,
            .backward_data = u->want_x,
            .backward_weights = u->want_weight || u->want_bn,
        };
        int r = ops->conv_open(plan->ws->dev, &request, &u->conv, why);
        if (r < 0)
            return r;
    }
    return 0;
}

static size_t align16(size_t floats)
{
    return (floats + 15) & ~(size_t)15;
}

static int lower_packing(struct plan *plan, struct fault *why)
{
    struct device *dev = plan->ws->dev;
    size_t floats = 0;

    for (int pass = 0; pass < 2; pass++) {
        float *at = plan->packed;
        for (int i = 0; i < plan->unit_count; i++) {
            struct unit *u = &plan->units[i];
            if (!u->conv && u->type != UNIT_AFFINE)
                continue;
            size_t packed = u->conv ? align16(dev->ops->conv_packed_bytes(u->conv) / sizeof(float)) : 0;
            size_t channels = u->bn[0] >= 0 ? align16((size_t)plan_shape(plan, u->y).c) : 0;
            if (pass == 0) {
                floats += packed + 2 * channels;
                continue;
            }
            u->packed = u->conv ? at : NULL;
            u->scale = channels ? at + packed : NULL;
            u->shift = channels ? at + packed + channels : NULL;
            at += packed + 2 * channels;
        }
        if (pass == 0) {
            plan->packed_bytes = floats * sizeof(float);
            plan->packed = dev->ops->alloc(dev, plan->packed_bytes);
            if (!plan->packed)
                return fault_set(why, -ENOMEM, "no memory for %zu bytes of packed weights", plan->packed_bytes);
        }
    }
    return 0;
}

int plan_lower(struct plan *plan, struct fault *why)
{
    int r = lower_units(plan, why);

    if (r == 0)
        r = lower_wishes(plan);
    if (r == 0)
        r = open_convs(plan, why);
    if (r == 0)
        r = lower_buffers(plan);
    if (r == 0)
        r = lower_places(plan);
    if (r == 0)
        r = lower_packing(plan, why);
    if (r == -ENOMEM && why && !why->message[0])
        fault_set(why, r, "no memory to plan a batch of %d", plan->spec.batch);
    return r;
}
