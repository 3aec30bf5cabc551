/* The rows of frontier.h.
 *
 * Surprising: stored activations are larger than the pixels they come from (a
 * stage of 64 channels at 32x32 is 262 kB an image), so there is a budget, and
 * a module whose frontier doesn't fit starts at an earlier layer or at the pixels. */
#include "gpu/rift/frontier.h"

#include <errno.h>

/* Part of the device's memory that stored activations may take. */
static const double FRONTIER_SHARE = 0.4;

int frontier_choose(const struct run *run, int at, int examples)
{
    double budget = FRONTIER_SHARE * (double)run->memory_bytes;

    for (int op = at; op > 0; op--) {
        int value[4];
        double bytes = 0;

        if (run->model->ops[op].type != OP_CONV && run->model->ops[op].type != OP_LINEAR)
            continue;
        int count = model_frontier(run->model, op, value);
        for (int i = 0; i < count; i++)
            bytes += (double)plan_row_bytes(run->weights, value[i]) * examples;
        if (bytes <= budget)
            return op;
    }
    return 0;
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

int frontier_open(struct run *run, const struct images *images, struct batch *batch, int first, struct frontier *ret)
{
    struct frontier f = { .run = run, .first = first, .examples = images->count, .most = batch->most };
    int r = 0;

    if (first > 0)
        f.count = model_frontier(run->model, first, f.value);
    for (int i = 0; i < f.count && r == 0; i++) {
        f.row_bytes[i] = plan_row_bytes(run->weights, f.value[i]);
        f.rows[i] = run_alloc(run, f.row_bytes[i] * (size_t)f.examples, "stored activations");
        f.batch[i] = f.rows[i] ? run_alloc(run, f.row_bytes[i] * (size_t)f.most, "a batch of activations") : NULL;
        r = f.batch[i] ? 0 : -ENOMEM;
    }
    if (r == 0 && first > 0)
        r = frontier_fill(&f, images, batch);
    if (r < 0)
        frontier_done(&f);
    else
        *ret = f;
    return r;
}

void frontier_done(struct frontier *f)
{
    for (int i = 0; i < f->count; i++) {
        run_free(f->run, f->rows[i], f->row_bytes[i] * (size_t)f->examples);
        run_free(f->run, f->batch[i], f->row_bytes[i] * (size_t)f->most);
    }
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
