/* What can be done with scores alone? Square (Andriushchenko et al. 2020), l_inf.
 *
 *     margin  = z_y - max_{j != y} z_j, to be made small
 *     x_best  = clamp(x + epsilon s, 0, 1), one sign a channel and column
 *     query q: x' = x_best, and P(x_best + 2 epsilon s_c) inside a square window at a random place,
 *              one sign s_c a channel;  kept when the margin is smaller
 *
 * The window covers a part p of the pixels, which is halved again and again. No
 * gradient is asked for: the plans can't even go backwards.
 *
 * Surprising: the original throws one window and one sign vector for the whole
 * batch, so its result depends on who is in the batch. Here every point throws
 * its own, from (seed, round, id, query). As in the original the last place that a
 * window could have is never drawn. */
#include "gpu/rift/standing.h"

#include <math.h>

/* p is p_init over 2^i from the i-th query on. */
static const int halvings[] = { 10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000 };

int square_side(double p_init, int query, int h, int w)
{
    int most = h < w ? h : w;
    double p = p_init;

    for (size_t i = 0; i < sizeof(halvings) / sizeof(halvings[0]); i++)
        p = query > halvings[i] ? p / 2 : p;
    int side = (int)rint(sqrt(p * h * w));
    return side < 1 ? 1 : side > most ? most : side;
}

static bool is_better(const struct point *point)
{
    return point->better;
}

/* Margins of x'; who is wrong falls; a better x' becomes x_best. */
static int look(struct standing *s, const float *x_adv)
{
    int r = standing_forward(s, x_adv, &LOSS_MARGIN);

    if (r == 0)
        r = standing_fall(s, x_adv);
    for (int i = 0; i < s->n && r == 0; i++) {
        struct point *p = &s->points[i];

        p->better = p->loss > p->best_loss; /* the loss is the margin, negative */
        p->best_loss = p->better ? p->loss : p->best_loss;
    }
    return r == 0 && x_adv != s->best ? standing_copy(s, s->best, x_adv, is_better) : r;
}

int attack_square(struct standing *s)
{
    struct run *run = s->run;
    float epsilon = (float)s->attack->epsilon;
    int queries = s->attack->queries;
    int r = run_device(
        run, run->ops->square_start(run->dev, standing_shape(s), s->x, epsilon, s->key, standing_ids(s), s->best));

    for (int i = 0; i < s->n; i++)
        s->points[i].best_loss = -INFINITY;
    if (r == 0)
        r = look(s, s->best);
    for (int q = 0; q < queries && s->n && r == 0; q++) {
        int side = square_side(s->attack->p_init, q, s->one.h, s->one.w);

        r = run_device(run, run->ops->square_step(run->dev, standing_shape(s), s->x, s->best, epsilon, s->key,
                                                  standing_ids(s), (uint32_t)q, side, s->now));
        if (r == 0)
            r = look(s, s->now);
        if (r == 0 && s->breathe)
            r = s->breathe(s->user, (double)(q + 1) / queries);
    }
    return r;
}
