/* The rows of standing.h: loading, passes, closing up. */
#include "gpu/rift/standing.h"

#include "gpu/rift/attack.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct attack_loss LOSS_CE = { .cross_entropy = true };
const struct attack_loss LOSS_DLR = { .margin = MARGIN_DLR };
const struct attack_loss LOSS_DLR_TARGETED = { .targeted = true, .margin = MARGIN_DLR_TARGETED };
const struct attack_loss LOSS_MARGIN = { .margin = MARGIN_PLAIN };
const struct attack_loss LOSS_MARGIN_TARGETED = { .targeted = true, .margin = MARGIN_PLAIN };

static size_t row_bytes(const struct standing *s)
{
    return (size_t)shape_count(s->one) * sizeof(float);
}

struct shape standing_shape(const struct standing *s)
{
    return (struct shape){ s->n, s->one.c, s->one.h, s->one.w };
}

const int64_t *standing_ids(struct standing *s)
{
    for (int i = 0; i < s->n; i++)
        s->id[i] = s->points[i].id;
    return s->id;
}

/* ---- memory and plans ------------------------------------------------------------ */

static int host_open(struct standing *s)
{
    size_t most = (size_t)s->most;

    s->points = calloc(most, sizeof(*s->points));
    s->id = calloc(most, sizeof(*s->id));
    s->number = calloc(most, sizeof(*s->number));
    s->from = calloc(most, sizeof(*s->from));
    s->to = calloc(most, sizeof(*s->to));
    s->correct = calloc(most, sizeof(*s->correct));
    s->logits = calloc(most * (size_t)s->run->model->num_classes, sizeof(*s->logits));
    s->fell = calloc(most, sizeof(*s->fell));
    return s->points && s->id && s->number && s->from && s->to && s->correct && s->logits && s->fell
               ? 0
               : fault_set(&s->run->why, -ENOMEM, "no memory for an attack");
}

int standing_open(struct run *run, int count, struct standing **ret)
{
    int most = count < run->spec.batch_size ? count : run->spec.batch_size;
    const int *input = run->model->input;
    struct standing *s = calloc(1, sizeof(*s));

    if (!s)
        return run_blame(run, FAILURE_INTERNAL, fault_set(&run->why, -ENOMEM, "no memory for an attack"));
    s->run = run;
    s->most = most;
    s->one = (struct shape){ 1, input[0], input[1], input[2] };
    int r = host_open(s);
    for (int i = 0; i < STANDING_OWN && r == 0; i++)
        r = (s->own[i] = run_alloc(run, row_bytes(s) * (size_t)most, "an attack")) ? 0 : -ENOMEM;
    if (r == 0)
        r = (s->targets = run_alloc(run, (size_t)most * sizeof(int32_t), "an attack")) ? 0 : -ENOMEM;
    if (r < 0) {
        standing_free(s);
        return run_blame(run, FAILURE_INTERNAL, r);
    }
    *ret = s;
    return 0;
}

void standing_free(struct standing *s)
{
    if (!s)
        return;
    for (int i = 0; i < STANDING_OWN; i++)
        run_free(s->run, s->own[i], row_bytes(s) * (size_t)s->most);
    run_free(s->run, s->targets, (size_t)s->most * sizeof(int32_t));
    free(s->points);
    free(s->id);
    free(s->number);
    free(s->from);
    free(s->to);
    free(s->correct);
    free(s->logits);
    free(s->fell);
    free(s);
}

/* Batch size `i` of the plans: all, a half, a quarter. */
static int plan_size(const struct standing *s, int i)
{
    return (s->most + (1 << i) - 1) >> i;
}

static int plan_of(struct standing *s, int size, bool by_gradient, struct plan **ret)
{
    return run_plan(s->run, (struct plan_spec){ .batch = size, .mode = PLAN_EVAL, .want_input = by_gradient }, ret);
}

int standing_reserve(struct standing *s, bool by_gradient)
{
    struct plan *plan;
    int r = 0;

    for (int i = 0; i < STANDING_SIZES && r == 0; i++)
        r = plan_of(s, plan_size(s, i), by_gradient, &plan);
    return r;
}

void standing_begin(struct standing *s, struct batch *b, const struct attack_spec *attack, struct random_key key,
                    bool by_gradient)
{
    assert(b->n <= s->most && b->x == b->own_x && b->labels == b->own_labels);
    s->attack = attack;
    s->key = key;
    s->by_gradient = by_gradient;
    s->n = b->n;
    s->x = b->own_x;
    s->labels = b->own_labels;
    s->now = b->x_adv;
    s->gradient = b->gradient;
    s->old = s->own[0];
    s->best = s->own[1];
    s->best_gradient = s->own[2];
    s->found = s->own[3];
    s->zero_gradients = 0;
    void *memory[STANDING_ROWS] = { b->own_x, b->x_adv,         b->gradient,   s->old,
                                    s->best,  s->best_gradient, b->own_labels, s->targets };
    for (int i = 0; i < STANDING_ROWS; i++) {
        s->rows[i].memory = memory[i];
        s->rows[i].row_bytes = i < STANDING_ROWS - 2 ? row_bytes(s) : sizeof(int32_t);
    }
    for (int i = 0; i < s->most; i++)
        s->fell[i] = false;
    for (int i = 0; i < s->n; i++)
        s->points[i] = (struct point){ .id = b->id[i], .place = i };
}

/* ---- passes ---------------------------------------------------------------------- */

int standing_forward(struct standing *s, const float *x, const struct attack_loss *loss)
{
    int size = STANDING_SIZES - 1;

    while (plan_size(s, size) < s->n)
        size--;
    int r = plan_of(s, plan_size(s, size), s->by_gradient, &s->plan);
    if (r < 0)
        return r;
    plan_bind(s->plan, 0, x);
    r = plan_forward(s->plan, 0);
    if (r == 0 && loss->cross_entropy)
        r = plan_cross_entropy(s->plan, s->labels, 1);
    else if (r == 0)
        r = plan_margin_loss(s->plan, loss->margin, s->labels, loss->targeted ? s->targets : NULL, 1);
    if (r == 0)
        r = plan_loss_read(s->plan, s->number, s->correct);
    for (int i = 0; i < s->n && r == 0; i++) {
        s->points[i].loss = s->number[i];
        s->points[i].correct = s->correct[i] != 0;
    }
    return run_device(s->run, r);
}

int standing_backward(struct standing *s)
{
    return run_device(s->run, plan_backward(s->plan, NULL, s->gradient));
}

int standing_zero_gradients(struct standing *s)
{
    struct run *run = s->run;
    int r = run_device(run, run->ops->row_distance(run->dev, standing_shape(s), s->gradient, NULL, s->number));

    for (int i = 0; i < s->n && r == 0; i++)
        s->zero_gradients += s->number[i] == 0;
    return r;
}

/* The class of the rank-th largest of the logits beside y's; equal ones rank by class. */
static int32_t other_class(const float *z, int k, int y, int rank)
{
    for (int c = 0; c < k; c++) {
        int above = 0;

        for (int other = 0; other < k; other++)
            above += other != y && (z[other] > z[c] || (z[other] == z[c] && other < c));
        if (c != y && above == rank - 1)
            return c;
    }
    return y == 0; /* a NaN is among them */
}

int standing_aim(struct standing *s, int rank)
{
    struct run *run = s->run;
    int k = run->model->num_classes;
    int r = standing_forward(s, s->x, &LOSS_MARGIN);

    assert(rank >= 1 && rank < k);
    if (r == 0)
        r = run_device(
            run, run->ops->read(run->dev, s->logits, plan_logits(s->plan), (size_t)s->n * (size_t)k * sizeof(float)));
    if (r == 0)
        r = run_device(run, run->ops->read(run->dev, s->from, s->labels, (size_t)s->n * sizeof(int32_t)));
    for (int i = 0; i < s->n && r == 0; i++)
        s->points[i].target = s->to[i] = other_class(s->logits + (size_t)i * (size_t)k, k, s->from[i], rank);
    return r < 0 ? r : run_device(run, run->ops->write(run->dev, s->targets, s->to, (size_t)s->n * sizeof(int32_t)));
}

/* ---- rows ------------------------------------------------------------------------ */

int standing_copy(struct standing *s, float *to, const float *from, bool (*those)(const struct point *point))
{
    struct run *run = s->run;
    int n = 0;

    for (int i = 0; i < s->n; i++)
        if (those(&s->points[i]))
            s->from[n++] = i;
    return n ? run_device(run, run->ops->copy_rows(run->dev, to, from, row_bytes(s), s->from, s->from, n)) : 0;
}

static bool falls(const struct point *point)
{
    return point->falls;
}

/* x' of those that fall, to where they came from. */
static int falling_keep(struct standing *s, const float *x_adv)
{
    struct run *run = s->run;
    int n = 0;

    for (int i = 0; i < s->n; i++) {
        if (!falls(&s->points[i]))
            continue;
        s->from[n] = i;
        s->to[n++] = s->points[i].place;
        s->fell[s->points[i].place] = true;
    }
    return n ? run_device(run, run->ops->copy_rows(run->dev, s->found, x_adv, row_bytes(s), s->to, s->from, n)) : 0;
}

int standing_close(struct standing *s, const float *x_adv)
{
    struct run *run = s->run;
    int moves = 0, last = s->n - 1, r = falling_keep(s, x_adv);

    for (int i = 0; i <= last; i++) {
        if (!falls(&s->points[i]))
            continue;
        while (last > i && falls(&s->points[last]))
            last--;
        if (last > i) {
            s->points[i] = s->points[last];
            s->to[moves] = i;
            s->from[moves++] = last;
        }
        last--;
    }
    s->n = last + 1;
    for (int i = 0; i < STANDING_ROWS && moves && r == 0; i++)
        r = run_device(run, run->ops->copy_rows(run->dev, s->rows[i].memory, s->rows[i].memory, s->rows[i].row_bytes,
                                                s->to, s->from, moves));
    return r;
}

int standing_fall(struct standing *s, const float *x_adv)
{
    for (int i = 0; i < s->n; i++)
        s->points[i].falls = !s->points[i].correct;
    return standing_close(s, x_adv);
}

int standing_recheck(struct standing *s, const struct images *images, const int32_t *order)
{
    struct run *run = s->run;
    int places = s->most, r;

    s->n = 0;
    for (int place = 0; place < places; place++) {
        if (!s->fell[place])
            continue;
        s->from[s->n] = place;
        s->to[s->n] = order[place];
        s->points[s->n++] = (struct point){ .place = place };
    }
    if (s->n == 0)
        return 0;
    r = run->ops->gather_rows(run->dev, s->now, s->found, row_bytes(s), s->from, s->n);
    if (r == 0)
        r = run->ops->gather_rows(run->dev, s->rows[STANDING_ROWS - 2].memory, images->labels, sizeof(int32_t), s->to,
                                  s->n);
    return r < 0 ? run_device(run, r) : standing_forward(s, s->now, &LOSS_CE);
}
