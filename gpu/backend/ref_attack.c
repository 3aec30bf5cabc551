/* Steps of APGD, FAB and Square, and their losses.
 *
 * As in ref_pixels.c, pixels move in float with one rounding an operation, so
 * that two backends walk the same path. FAB is different: where it goes depends
 * on sums over the whole image, which are doubles here.
 *
 * Surprising: FAB's lambda is found by halving [0, 1]. Rooms are at most 1, so a
 * lambda of 1 already uses all of them, and the case where no lambda is enough
 * needs no word of its own. */
#include "gpu/backend/ref.h"

#include "gpu/backend/philox.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { HALVINGS = 100 };

/* The class of the r-th largest logit, r from 1. A NaN has no rank. */
static int class_ranked(const float *z, int k, int r)
{
    for (int c = 0; c < k; c++) {
        int above = 0;

        for (int other = 0; other < k; other++)
            above += z[other] > z[c] || (z[other] == z[c] && other < c);
        if (above == r - 1)
            return c;
    }
    return 0;
}

/* Of margin_loss: D, and its derivative by the logit of class c. */
static double denominator(enum margin margin, const float *z, const int rank[5])
{
    if (margin == MARGIN_PLAIN)
        return 1;
    if (margin == MARGIN_DLR)
        return (double)z[rank[1]] - z[rank[3]] + 1e-12;
    return z[rank[1]] - 0.5 * ((double)z[rank[3]] + z[rank[4]]) + 1e-12;
}

static double denominator_by(enum margin margin, const int rank[5], int c)
{
    if (margin == MARGIN_PLAIN)
        return 0;
    if (margin == MARGIN_DLR)
        return (c == rank[1]) - (c == rank[3]);
    return (c == rank[1]) - 0.5 * ((c == rank[3]) + (c == rank[4]));
}

int ref_margin_loss(struct device *dev, enum margin margin, int n, int k, const float *z, const int32_t *labels,
                    const int32_t *targets, float scale, float *loss, int32_t *correct, float *dz)
{
    (void)dev;
    assert(k >= (margin == MARGIN_PLAIN ? 2 : margin == MARGIN_DLR ? 3 : 4));
    for (int i = 0; i < n; i++) {
        const float *row = z + (int64_t)i * k;
        int rank[5], y = labels[i];

        for (int r = 1; r <= 4; r++)
            rank[r] = class_ranked(row, k, r);
        int t = targets ? targets[i] : rank[1] == y ? rank[2] : rank[1];
        double d = denominator(margin, row, rank), difference = (double)row[y] - row[t];

        loss[i] = (float)(-difference / d);
        correct[i] = rank[1] == y;
        for (int c = 0; dz && c < k; c++) {
            double by = ((c == t) - (c == y)) / d + difference / (d * d) * denominator_by(margin, rank, c);

            dz[(int64_t)i * k + c] = (float)(by * scale);
        }
    }
    return 0;
}

/* ---- rows ------------------------------------------------------------------------ */

int ref_copy_rows(struct device *dev, void *to, const void *from, size_t row_bytes, const int32_t *to_row,
                  const int32_t *from_row, int n)
{
    (void)dev;
    for (int i = 0; i < n; i++)
        memcpy((char *)to + (size_t)to_row[i] * row_bytes, (const char *)from + (size_t)from_row[i] * row_bytes,
               row_bytes);
    return 0;
}

static int64_t row_count(struct shape s)
{
    return (int64_t)s.c * s.h * s.w;
}

int ref_row_distance(struct device *dev, struct shape s, const float *a, const float *b, float *distance)
{
    (void)dev;
    for (int n = 0; n < s.n; n++) {
        distance[n] = 0;
        for (int64_t at = n * row_count(s); at < (n + 1) * row_count(s); at++)
            distance[n] = fmaxf(distance[n], fabsf(b ? a[at] - b[at] : a[at]));
    }
    return 0;
}

/* P of the formulas. */
static float back_into_ball(float u, float x, float epsilon)
{
    return ref_clamp(x + ref_clamp(u - x, -epsilon, epsilon), 0.0f, 1.0f);
}

/* ---- APGD ------------------------------------------------------------------------ */

static float start_noise(struct random_key key, int64_t id, int64_t e)
{
    struct philox four = philox(key.seed, key.purpose, key.epoch, (uint64_t)id, (uint32_t)(e / 4));

    return 2.0f * philox_unit(four.word[e % 4]) - 1.0f;
}

int ref_apgd_start(struct device *dev, struct shape s, const float *x, float epsilon, struct random_key key,
                   const int64_t *id, float *x_adv)
{
    (void)dev;
    for (int n = 0; n < s.n; n++) {
        float largest = 0;

        for (int64_t e = 0; e < row_count(s); e++)
            largest = fmaxf(largest, fabsf(start_noise(key, id[n], e)));
        for (int64_t e = 0; e < row_count(s); e++) {
            int64_t at = n * row_count(s) + e;

            x_adv[at] = ref_clamp(x[at] + epsilon * (start_noise(key, id[n], e) / largest), 0.0f, 1.0f);
        }
    }
    return 0;
}

int ref_apgd_step(struct device *dev, struct shape s, const float *x, const float *g, const float *now,
                  const float *step, float a, float epsilon, float *old)
{
    (void)dev;
    for (int64_t at = 0; at < shape_count(s); at++) {
        float sign = (float)((g[at] > 0) - (g[at] < 0));
        float z = back_into_ball(now[at] + step[at / row_count(s)] * sign, x[at], epsilon);

        old[at] = back_into_ball(now[at] + a * (z - now[at]) + (1.0f - a) * (now[at] - old[at]), x[at], epsilon);
    }
    return 0;
}

/* ---- FAB ------------------------------------------------------------------------- */

/* One row: u, the gradient w of f there, and c = <w,u> - b. */
struct plane {
    const float *u, *w;
    double c;
    int64_t count;
};

/* How far element e may go against s*w_e, and on which side that is. */
static double room(const struct plane *p, int64_t e, double *ret_sign)
{
    double w = p->c >= 0 ? p->w[e] : -p->w[e];

    *ret_sign = (w > 0) - (w < 0);
    return w > 0 ? p->u[e] : w < 0 ? 1 - (double)p->u[e] : 0;
}

static double plane_lambda(const struct plane *p)
{
    double low = 0, high = 1, sign;

    for (int i = 0; i < HALVINGS; i++) {
        double middle = (low + high) / 2, reached = 0;

        for (int64_t e = 0; e < p->count; e++)
            reached += fabs((double)p->w[e]) * fmin(middle, room(p, e, &sign));
        if (reached < fabs(p->c))
            low = middle;
        else
            high = middle;
    }
    return high;
}

static double plane_step(const struct plane *p, double lambda, int64_t e)
{
    double sign, most = room(p, e, &sign);

    return -sign * fmin(lambda, most);
}

static double plane_length(const struct plane *p, double lambda)
{
    double length = 1e-8;

    for (int64_t e = 0; e < p->count; e++)
        length = fmax(length, fabs(plane_step(p, lambda, e)));
    return length;
}

int ref_fab_step(struct device *dev, struct shape s, const float *x, const float *g, const float *f, float eta,
                 float most, float *x1)
{
    int64_t count = row_count(s);

    (void)dev;
    for (int n = 0; n < s.n; n++) {
        const float *x0 = x + n * count, *w = g + n * count;
        float *u = x1 + n * count;
        double moved = 0;

        for (int64_t e = 0; e < count; e++)
            moved += w[e] * ((double)x0[e] - u[e]);
        struct plane at_u = { u, w, f[n], count }, at_x = { x0, w, f[n] + moved, count };
        double lambda1 = plane_lambda(&at_u), lambda0 = plane_lambda(&at_x);
        double a1 = plane_length(&at_u, lambda1), a0 = plane_length(&at_x, lambda0);
        double b = fmin(a1 / (a1 + a0), most);

        for (int64_t e = 0; e < count; e++) {
            double one = u[e] + eta * plane_step(&at_u, lambda1, e), zero = x0[e] + eta * plane_step(&at_x, lambda0, e);

            u[e] = ref_clamp((float)((1 - b) * one + b * zero), 0.0f, 1.0f);
        }
    }
    return 0;
}

int ref_fab_back(struct device *dev, struct shape s, const float *x, float beta, const int32_t *rows, int count,
                 float *x1)
{
    (void)dev;
    for (int i = 0; i < count; i++)
        for (int64_t at = rows[i] * row_count(s); at < (rows[i] + 1) * row_count(s); at++)
            x1[at] = x[at] + beta * (x1[at] - x[at]);
    return 0;
}

/* ---- Square ---------------------------------------------------------------------- */

enum { STRIPE_BITS = 128 };
static const uint32_t STRIPE_BLOCKS = 1u << 31;

int ref_square_start(struct device *dev, struct shape s, const float *x, float epsilon, struct random_key key,
                     const int64_t *id, float *x_adv)
{
    (void)dev;
    for (int64_t at = 0; at < shape_count(s); at++) {
        int64_t n = at / row_count(s), e = at % row_count(s) / (s.h * s.w) * s.w + at % s.w;
        struct philox four =
            philox(key.seed, key.purpose, key.epoch, (uint64_t)id[n], STRIPE_BLOCKS + (uint32_t)(e / STRIPE_BITS));
        bool up = four.word[e / 32 % 4] >> (e % 32) & 1;

        x_adv[at] = ref_clamp(x[at] + (up ? epsilon : -epsilon), 0.0f, 1.0f);
    }
    return 0;
}

int ref_square_step(struct device *dev, struct shape s, const float *x, const float *best, float epsilon,
                    struct random_key key, const int64_t *id, uint32_t query, int side, float *x_adv)
{
    (void)dev;
    for (int n = 0; n < s.n; n++) {
        struct philox four = philox(key.seed, key.purpose, key.epoch, (uint64_t)id[n], query);
        int row = (int)((uint64_t)four.word[0] * (uint64_t)(s.h - side) >> 32);
        int column = (int)((uint64_t)four.word[1] * (uint64_t)(s.w - side) >> 32);

        for (int c = 0; c < s.c; c++) {
            float change = (four.word[2] >> c & 1 ? 2.0f : -2.0f) * epsilon;

            for (int h = 0; h < s.h; h++) {
                for (int w = 0; w < s.w; w++) {
                    bool inside = h >= row && h < row + side && w >= column && w < column + side;
                    int64_t at = ref_at(s, n, c, h, w);

                    x_adv[at] = inside ? back_into_ball(best[at] + change, x[at], epsilon) : best[at];
                }
            }
        }
    }
    return 0;
}
