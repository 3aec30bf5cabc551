/* How does PGD find its own step size? APGD (Croce and Hein 2020), l_inf.
 *
 *     x_0     = clamp(x + epsilon t/max|t|, 0, 1),  t ~ U(-1, 1)^d
 *     z       = P(x_i + eta sign(g_i))
 *     x_{i+1} = P(x_i + a (z - x_i) + (1 - a)(x_i - x_{i-1})),  a = 1 in the first step, then momentum
 *
 * eta starts at 2 epsilon, for each point its own. At checkpoints, first after 22 %
 * of the steps and then closer and closer, it is halved and the search goes
 * back to the best iterate when
 *
 *     no more than rho of the steps since the last checkpoint raised the loss, or
 *     eta wasn't halved there, and the best loss hasn't grown since.
 *
 * The loss is the cross-entropy (APGD-CE), the difference of logits ratio
 * (APGD-DLR) or its targeted form (APGD-T, one run for each class aimed at).
 *
 * Surprising: the original goes on with points that are wrong already and keeps
 * the latest wrong iterate; here they leave at the first one, which makes the
 * same points fall. Its first checkpoint compares the loss of the first step with a 0
 * that nobody put there; here, with the loss at x_0. After going back, the
 * momentum is x_best less where the step before had begun, as in the original. */
#include "gpu/rift/standing.h"

#include <math.h>

/* Parts of all steps: until the first checkpoint, what each interval is shorter by, the shortest. */
static const double FIRST_INTERVAL = 0.22, INTERVAL_LESS = 0.03, SHORTEST_INTERVAL = 0.06;

static int part_of(int steps, double part)
{
    int whole = (int)(steps * part + 1e-9); /* 100 * 0.22 is 22, whatever its last bit says */

    return whole > 1 ? whole : 1;
}

static bool is_better(const struct point *point)
{
    return point->better;
}

static bool is_halved(const struct point *point)
{
    return point->halved;
}

/* Loss and gradient at x_{i+1}; who is wrong falls; x_best and g_best of the others. */
static int look(struct standing *s, const struct attack_loss *loss)
{
    bool any = false;
    int r = standing_forward(s, s->now, loss);

    for (int i = 0; i < s->n && r == 0; i++)
        any = any || s->points[i].correct;
    if (r == 0 && any)
        r = standing_backward(s);
    if (r == 0)
        r = standing_fall(s, s->now);
    for (int i = 0; i < s->n && r == 0; i++) {
        struct point *p = &s->points[i];

        p->better = p->loss > p->best_loss;
        p->best_loss = p->better ? p->loss : p->best_loss;
        p->rises += p->loss > p->last_loss;
        p->last_loss = p->loss;
    }
    if (r == 0)
        r = standing_copy(s, s->best, s->now, is_better);
    return r < 0 ? r : standing_copy(s, s->best_gradient, s->gradient, is_better);
}

/* x_0, eta, and everything's first value. */
static int start(struct standing *s, const struct attack_loss *loss)
{
    struct run *run = s->run;
    struct shape shape = standing_shape(s);
    float epsilon = (float)s->attack->epsilon;
    int r = s->attack->random_start
                ? run->ops->apgd_start(run->dev, shape, s->x, epsilon, s->key, standing_ids(s), s->now)
                : run->ops->copy(run->dev, s->now, s->x, (size_t)shape_count(shape) * sizeof(float));

    for (int i = 0; i < s->n; i++) {
        struct point *p = &s->points[i];

        p->step = 2 * epsilon;
        p->best_loss = p->last_loss = -INFINITY;
        p->halved = true;
    }
    r = r < 0 ? run_device(run, r) : look(s, loss);
    for (int i = 0; i < s->n; i++) {
        s->points[i].checkpoint_loss = s->points[i].best_loss;
        s->points[i].rises = 0;
    }
    return r == 0 && s->n ? standing_zero_gradients(s) : r;
}

static int step(struct standing *s, float a)
{
    struct run *run = s->run;
    float *next = s->old;

    for (int i = 0; i < s->n; i++)
        s->number[i] = s->points[i].step;
    int r = run->ops->apgd_step(run->dev, standing_shape(s), s->x, s->gradient, s->now, s->number, a,
                                (float)s->attack->epsilon, next);
    s->old = s->now;
    s->now = next;
    return run_device(run, r);
}

static int checkpoint(struct standing *s, int interval)
{
    for (int i = 0; i < s->n; i++) {
        struct point *p = &s->points[i];
        bool oscillates = p->rises <= s->attack->rho * interval;
        bool stuck = !p->halved && p->checkpoint_loss >= p->best_loss;

        p->halved = oscillates || stuck;
        p->step = p->halved ? p->step / 2 : p->step;
        p->checkpoint_loss = p->best_loss;
        p->rises = 0;
    }
    int r = standing_copy(s, s->now, s->best, is_halved);
    return r < 0 ? r : standing_copy(s, s->gradient, s->best_gradient, is_halved);
}

int attack_apgd(struct standing *s, const struct attack_loss *loss)
{
    int steps = s->attack->steps, interval = part_of(steps, FIRST_INTERVAL), until = interval;
    int less = part_of(steps, INTERVAL_LESS), shortest = part_of(steps, SHORTEST_INTERVAL);
    int r = start(s, loss);

    for (int i = 0; i < steps && s->n && r == 0; i++) {
        r = step(s, i == 0 ? 1 : (float)s->attack->momentum);
        if (r == 0)
            r = look(s, loss);
        if (r == 0 && --until == 0) {
            r = checkpoint(s, interval);
            interval = interval - less > shortest ? interval - less : shortest;
            until = interval;
        }
        if (r == 0 && s->breathe)
            r = s->breathe(s->user, (double)(i + 1) / steps);
    }
    return r;
}
