/* How near is the boundary? FAB (Croce and Hein 2020), targeted, l_inf.
 *
 *     f(u)  = z_t(u) - z_y(u), 0 on the boundary to class t;  w = its gradient at x_1
 *     plane = where f is 0 to first order: { u : f(x_1) + <w, u - x_1> = 0 }
 *     d_1, d_0 = the steps from x_1 and from x onto the plane, inside [0,1]
 *     x_1   = clamp((1 - alpha)(x_1 + eta d_1) + alpha (x + eta d_0), 0, 1)
 *     alpha = min(|d_1|/(|d_1| + |d_0|), alpha_max)
 *
 * When x_1 is wrong, whatever class it is taken for, its distance is a bound, and
 * the search goes on from x + beta (x_1 - x). A point falls when the distance is
 * no more than epsilon; the original would still look for a nearer one, which no accuracy hears of.
 *
 * Surprising: the pass that judges x_1 is also the one that the next step starts
 * from, unless a point was moved back. On robust points that halves the forward passes. */
#include "gpu/rift/standing.h"

#include <math.h>

static int step(struct standing *s)
{
    struct run *run = s->run;

    for (int i = 0; i < s->n; i++)
        s->number[i] = s->points[i].loss; /* f */
    return run_device(run, run->ops->fab_step(run->dev, standing_shape(s), s->x, s->gradient, s->number,
                                              (float)s->attack->eta, (float)s->attack->alpha_max, s->now));
}

/* Distances of the wrong points; those in the ball fall. Returns how many are wrong. */
static int judge(struct standing *s)
{
    struct run *run = s->run;
    float epsilon = (float)s->attack->epsilon;
    int wrong = 0, r = 0;

    for (int i = 0; i < s->n; i++)
        wrong += !s->points[i].correct;
    if (wrong)
        r = run_device(run, run->ops->row_distance(run->dev, standing_shape(s), s->now, s->x, s->number));
    for (int i = 0; i < s->n && wrong && r == 0; i++) {
        struct point *p = &s->points[i];

        if (!p->correct && s->number[i] < p->distance)
            p->distance = s->number[i];
        p->falls = !p->correct && s->number[i] <= epsilon;
    }
    if (wrong && r == 0)
        r = standing_close(s, s->now);
    return r < 0 ? r : wrong;
}

static int move_back(struct standing *s)
{
    struct run *run = s->run;
    int n = 0;

    for (int i = 0; i < s->n; i++)
        if (!s->points[i].correct)
            s->from[n++] = i;
    return n ? run_device(run, run->ops->fab_back(run->dev, standing_shape(s), s->x, (float)s->attack->beta, s->from, n,
                                                  s->now))
             : 0;
}

int attack_fab(struct standing *s)
{
    struct run *run = s->run;
    int steps = s->attack->steps;
    int r =
        run_device(run, run->ops->copy(run->dev, s->now, s->x, (size_t)shape_count(standing_shape(s)) * sizeof(float)));

    for (int i = 0; i < s->n; i++)
        s->points[i].distance = INFINITY;
    if (r == 0)
        r = standing_forward(s, s->now, &LOSS_MARGIN_TARGETED);
    for (int i = 0; i < steps && s->n && r >= 0; i++) {
        r = standing_backward(s);
        if (r == 0 && i == 0)
            r = standing_zero_gradients(s);
        if (r == 0)
            r = step(s);
        if (r == 0)
            r = standing_forward(s, s->now, &LOSS_MARGIN_TARGETED);
        int wrong = r < 0 ? r : judge(s);
        r = wrong < 0 ? wrong : move_back(s);
        if (r == 0 && wrong && s->n && i + 1 < steps)
            r = standing_forward(s, s->now, &LOSS_MARGIN_TARGETED);
        if (r == 0 && s->breathe)
            r = s->breathe(s->user, (double)(i + 1) / steps);
    }
    return r;
}
