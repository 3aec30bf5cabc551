/* The rows of frontier.h.
 *
 * Surprising: stored activations are larger than the pixels they come from (a
 * stage of 64 channels at 32x32 is 262 kB an image), so there is a budget, and
 * a module whose frontier doesn't fit starts at an earlier layer or at the pixels.
 * Where it starts is heard in no number: what is stored is what would be computed. */
#include "gpu/rift/frontier.h"

#include <assert.h>
#include <string.h>

/* Part of the memory that is left which stored activations may take. */
static const double FRONTIER_SHARE = 0.4;

/* Bytes of n rows, so that what comes after them is aligned as all memory is. */
static size_t rows_bytes(size_t row_bytes, int n)
{
    return (row_bytes * (size_t)n + 63) / 64 * 64;
}

/* Rows of all examples and of one batch, for all values that cross before op `first`. */
static size_t frontier_bytes(const struct frontier *f, int first)
{
    int value[4], count = first ? model_frontier(f->run->model, first, value) : 0;
    size_t bytes = 0;

    for (int i = 0; i < count; i++) {
        size_t row_bytes = plan_row_bytes(f->run->weights, value[i]);

        bytes += rows_bytes(row_bytes, f->examples) + rows_bytes(row_bytes, f->most);
    }
    return bytes;
}

static int frontier_choose(const struct frontier *f, int at, double budget)
{
    const struct op *ops = f->run->model->ops;

    for (int op = at; op > 0; op--)
        if ((ops[op].type == OP_CONV || ops[op].type == OP_LINEAR) && (double)frontier_bytes(f, op) <= budget)
            return op;
    return 0;
}

void frontier_reserve(struct run *run, int examples, int most, int *at, int count, struct frontier *ret)
{
    struct frontier f = { .run = run, .examples = examples, .most = most };
    double budget = FRONTIER_SHARE * ((double)run->memory_bytes - (double)run_bytes(run));

    for (int i = 0; i < count; i++) {
        at[i] = frontier_choose(&f, at[i], budget);
        size_t bytes = frontier_bytes(&f, at[i]);
        f.bytes = bytes > f.bytes ? bytes : f.bytes;
    }
    f.memory = f.bytes ? run->ops->alloc(run->dev, f.bytes) : NULL;
    if (f.bytes && (!f.memory || !run_room_left(run))) {
        run_log(run, "no memory for %zu bytes of stored activations: they are computed anew each time", f.bytes);
        run->ops->free(run->dev, f.memory);
        memset(at, 0, (size_t)count * sizeof(*at));
        f.memory = NULL;
        f.bytes = 0;
    }
    run->own_bytes += f.bytes;
    *ret = f;
}

int frontier_plan(struct run *run, int examples, int first)
{
    return first ? run_plan_reserve(run, examples, (struct plan_spec){ .mode = PLAN_EVAL, .last = first }) : 0;
}

/* Run the prefix over all images and keep what crosses. */
static int frontier_fill(struct frontier *f, const struct images *images, struct batch *batch)
{
    struct run *run = f->run;
    int r = 0;

    for (int first = 0; first < f->examples && r == 0; first += f->most) {
        int n = f->examples - first < f->most ? f->examples - first : f->most;
        struct plan *prefix;

        r = batch_load(batch, images, NULL, first, n, NULL);
        if (r == 0)
            r = run_plan(run, (struct plan_spec){ .batch = n, .mode = PLAN_EVAL, .last = f->first }, &prefix);
        if (r < 0)
            break;
        plan_bind(prefix, 0, batch->x);
        r = run_device(run, plan_forward(prefix, 0));
        for (int i = 0; i < f->count && r == 0; i++) {
            const void *made = f->value[i] ? plan_value(prefix, f->value[i]) : batch->x;

            r = run_device(run, run->ops->copy(run->dev, f->rows[i] + (size_t)first * f->row_bytes[i], made,
                                               (size_t)n * f->row_bytes[i]));
        }
        if (r == 0)
            r = checkpoint_breathe(run);
    }
    return r;
}

int frontier_open(struct frontier *f, const struct images *images, struct batch *batch, int first)
{
    char *at = f->memory;

    assert(images->count == f->examples && batch->most == f->most && frontier_bytes(f, first) <= f->bytes);
    f->first = first;
    f->count = first ? model_frontier(f->run->model, first, f->value) : 0;
    for (int i = 0; i < f->count; i++) {
        f->row_bytes[i] = plan_row_bytes(f->run->weights, f->value[i]);
        f->rows[i] = at;
        f->batch[i] = at + rows_bytes(f->row_bytes[i], f->examples);
        at = f->batch[i] + rows_bytes(f->row_bytes[i], f->most);
    }
    return first ? frontier_fill(f, images, batch) : 0;
}

void frontier_done(struct frontier *f)
{
    if (f->run)
        run_free(f->run, f->memory, f->bytes);
    *f = (struct frontier){ 0 };
}

int frontier_load(struct frontier *f, struct batch *batch, const struct images *images, const int32_t *order, int first,
                  int n, struct plan *plan)
{
    struct run *run = f->run;

    if (f->first == 0) {
        int r = batch_load(batch, images, order, first, n, NULL);

        plan_bind(plan, 0, batch->x);
        return r;
    }
    int r = batch_label(batch, images, order, first, n);
    for (int i = 0; i < f->count && r == 0; i++) {
        if (order) {
            r = run_device(run,
                           run->ops->gather_rows(run->dev, f->batch[i], f->rows[i], f->row_bytes[i], order + first, n));
            plan_bind(plan, f->value[i], f->batch[i]);
        } else {
            plan_bind(plan, f->value[i], f->rows[i] + (size_t)first * f->row_bytes[i]);
        }
    }
    return r;
}
