/* How do APGD, FAB and Square move on the CPU?
 *
 * One thread an example, so the bits don't depend on the number of threads. What
 * is done once a pixel is a plain loop that the compiler makes vectors of.
 *
 * The idea of FAB's projection: reached(lambda) = sum |w_e| min(lambda, room_e) is
 * concave and rises piece by piece on a straight line. Newton's method from the
 * left never oversteps and ends exactly, after as many passes as the line has
 * pieces on the way: two or three where a step is short. */
#include "gpu/backend/onednn.h"
#include "gpu/backend/philox.h"

INLINE float clamp(float v, float low, float high)
{
    return v < low ? low : v > high ? high : v;
}

INLINE float back_into_ball(float u, float x, float epsilon)
{
    return clamp(x + clamp(u - x, -epsilon, epsilon), 0, 1);
}

static int64_t row_count(struct shape s)
{
    return (int64_t)s.c * s.h * s.w;
}

/* ---- losses ---- */

/* The classes of the four largest logits, best first; equal ones in their order. */
static void four_largest(const float *z, int k, int top[4])
{
    int have = 0;

    for (int c = 0; c < k; c++) {
        int at = have;
        while (at > 0 && z[c] > z[top[at - 1]])
            at--;
        if (at == 4)
            continue;
        for (int i = have < 4 ? have : 3; i > at; i--)
            top[i] = top[i - 1];
        top[at] = c;
        have += have < 4;
    }
}

static void margin_row(enum margin margin, int k, const float *z, int y, const int32_t *target, float scale,
                       float *loss, int32_t *correct, float *dz)
{
    int top[4] = { 0 };

    four_largest(z, k, top);
    int t = target ? *target : top[0] == y ? top[1] : top[0];
    double difference = (double)z[y] - z[t], d = 1;
    if (margin == MARGIN_DLR)
        d = (double)z[top[0]] - z[top[2]] + 1e-12;
    else if (margin == MARGIN_DLR_TARGETED)
        d = z[top[0]] - 0.5 * ((double)z[top[2]] + z[top[3]]) + 1e-12;
    *loss = (float)(-difference / d);
    *correct = top[0] == y;
    if (!dz)
        return;
    double straight = scale / d, through = margin == MARGIN_PLAIN ? 0 : scale * difference / (d * d);
    double below[2] = { margin == MARGIN_DLR ? through : through / 2, margin == MARGIN_DLR ? 0 : through / 2 };
    for (int c = 0; c < k; c++) {
        double by = c == t ? straight : 0;
        by -= c == y ? straight : 0;
        by += c == top[0] ? through : 0;
        by -= c == top[2] ? below[0] : 0;
        by -= c == top[3] ? below[1] : 0;
        dz[c] = (float)by;
    }
}

int onednn_margin_loss(struct device *dev, enum margin margin, int n, int k, const float *z, const int32_t *labels,
                       const int32_t *targets, float scale, float *loss, int32_t *correct, float *dz)
{
    (void)dev;
    assert(k >= (margin == MARGIN_PLAIN ? 2 : margin == MARGIN_DLR ? 3 : 4));
#pragma omp parallel for
    for (int i = 0; i < n; i++)
        margin_row(margin, k, z + (int64_t)i * k, labels[i], targets ? targets + i : NULL, scale, loss + i, correct + i,
                   dz ? dz + (int64_t)i * k : NULL);
    return 0;
}

/* ---- rows ---- */

int onednn_copy_rows(struct device *dev, void *to, const void *from, size_t row_bytes, const int32_t *to_row,
                     const int32_t *from_row, int n)
{
    (void)dev;
#pragma omp parallel for
    for (int i = 0; i < n; i++)
        memcpy((char *)to + (size_t)to_row[i] * row_bytes, (const char *)from + (size_t)from_row[i] * row_bytes,
               row_bytes);
    return 0;
}

int onednn_row_distance(struct device *dev, struct shape s, const float *a, const float *b, float *distance)
{
    int64_t row = row_count(s);

    (void)dev;
#pragma omp parallel for
    for (int n = 0; n < s.n; n++) {
        float largest = 0;
        for (int64_t i = n * row; i < (n + 1) * row; i++) {
            float d = fabsf(b ? a[i] - b[i] : a[i]);
            largest = d > largest ? d : largest;
        }
        distance[n] = largest;
    }
    return 0;
}

/* ---- APGD ---- */

int onednn_apgd_start(struct device *dev, struct shape s, const float *x, float epsilon, struct random_key key,
                      const int64_t *id, float *x_adv)
{
    int64_t row = row_count(s);

    (void)dev;
#pragma omp parallel for
    for (int n = 0; n < s.n; n++) {
        float *t = x_adv + n * row, largest = 0;
        for (int64_t e = 0; e < row; e += 4) {
            struct philox random = philox(key.seed, key.purpose, key.epoch, (uint64_t)id[n], (uint32_t)(e / 4));
            for (int64_t k = e; k < e + 4 && k < row; k++) {
                t[k] = 2 * philox_unit(random.word[k - e]) - 1;
                largest = fabsf(t[k]) > largest ? fabsf(t[k]) : largest;
            }
        }
        for (int64_t k = 0; k < row; k++)
            t[k] = clamp(x[n * row + k] + epsilon * (t[k] / largest), 0, 1);
    }
    return 0;
}

CPU_CLONES static void apgd_span(const float *x, const float *g, const float *now, float step, float a, float epsilon,
                                 float *old, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        float moved = g[i] > 0 ? now[i] + step : g[i] < 0 ? now[i] - step : now[i];
        float z = back_into_ball(moved, x[i], epsilon);
        old[i] = back_into_ball(now[i] + a * (z - now[i]) + (1 - a) * (now[i] - old[i]), x[i], epsilon);
    }
}

int onednn_apgd_step(struct device *dev, struct shape s, const float *x, const float *g, const float *now,
                     const float *step, float a, float epsilon, float *old)
{
    int64_t row = row_count(s);

    (void)dev;
#pragma omp parallel for
    for (int n = 0; n < s.n; n++)
        apgd_span(x + n * row, g + n * row, now + n * row, step[n], a, epsilon, old + n * row, row);
    return 0;
}

/* ---- FAB ---- */

/* How far u may go against w; 0 where w doesn't say. */
INLINE float room(float u, float w)
{
    float r = w > 0 ? u : w < 0 ? 1 - u : 0;
    return r > 0 ? r : 0;
}

/* What is reached with the rooms up to lambda, and the weight of those beyond it. */
CPU_CLONES static void reach(const float *u, const float *w, float side, double lambda, int64_t count,
                             double *ret_reached, double *ret_beyond)
{
    double reached[8] = { 0 }, beyond[8] = { 0 };

    for (int64_t i = 0; i < count; i++) {
        double weight = fabsf(w[i]), most = room(u[i], side * w[i]);
        bool full = most <= lambda;
        reached[i % 8] += full ? weight * most : 0;
        beyond[i % 8] += full ? 0 : weight;
    }
    *ret_reached = *ret_beyond = 0;
    for (int i = 0; i < 8; i++) {
        *ret_reached += reached[i];
        *ret_beyond += beyond[i];
    }
}

/* lambda of backend.h for c >= 0 after the side is turned; INFINITY where the room is not enough. */
static double fab_lambda(const float *u, const float *w, float side, double c, int64_t count)
{
    double lambda = -1, reached, beyond;

    for (;;) {
        reach(u, w, side, lambda, count, &reached, &beyond);
        if (beyond == 0)
            return lambda < 0 ? 0 : INFINITY;
        double next = (c - reached) / beyond;
        if (!(next > lambda))
            return lambda < 0 ? 0 : lambda;
        lambda = next;
    }
}

/* max(max |d|, 1e-8) */
CPU_CLONES static float fab_length(const float *u, const float *w, float side, float lambda, int64_t count)
{
    float largest = 0;

    for (int64_t i = 0; i < count; i++) {
        float most = room(u[i], side * w[i]);
        most = most < lambda ? most : lambda;
        largest = most > largest ? most : largest;
    }
    return largest > 1e-8f ? largest : 1e-8f;
}

/* u + eta*d */
INLINE float beyond_plane(float u, float w, float lambda, float eta)
{
    float most = room(u, w);
    most = most < lambda ? most : lambda;
    return w > 0 ? u - eta * most : u + eta * most;
}

CPU_CLONES static void fab_span(const float *x, const float *w, const float side[2], const float lambda[2], float eta,
                                float b, float *x1, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        float one = beyond_plane(x1[i], side[1] * w[i], lambda[1], eta);
        float zero = beyond_plane(x[i], side[0] * w[i], lambda[0], eta);
        x1[i] = clamp((1 - b) * one + b * zero, 0, 1);
    }
}

static void fab_row(const float *x, const float *w, float f, float eta, float most, float *x1, int64_t count)
{
    double moved[8] = { 0 }, c[2] = { f, f };
    const float *u[2] = { x, x1 };
    float side[2], lambda[2], a[2];

    for (int64_t i = 0; i < count; i++)
        moved[i % 8] += w[i] * ((double)x[i] - x1[i]);
    for (int i = 0; i < 8; i++)
        c[0] += moved[i];
    for (int j = 0; j < 2; j++) {
        side[j] = c[j] >= 0 ? 1 : -1;
        lambda[j] = (float)fab_lambda(u[j], w, side[j], fabs(c[j]), count);
        a[j] = fab_length(u[j], w, side[j], lambda[j], count);
    }
    float b = a[1] / (a[1] + a[0]);
    fab_span(x, w, side, lambda, eta, b < most ? b : most, x1, count);
}

int onednn_fab_step(struct device *dev, struct shape s, const float *x, const float *g, const float *f, float eta,
                    float most, float *x1)
{
    int64_t row = row_count(s);

    (void)dev;
#pragma omp parallel for
    for (int n = 0; n < s.n; n++)
        fab_row(x + n * row, g + n * row, f[n], eta, most, x1 + n * row, row);
    return 0;
}

int onednn_fab_back(struct device *dev, struct shape s, const float *x, float beta, const int32_t *rows, int count,
                    float *x1)
{
    int64_t row = row_count(s);

    (void)dev;
#pragma omp parallel for
    for (int n = 0; n < count; n++)
        for (int64_t i = rows[n] * row; i < (rows[n] + 1) * row; i++)
            x1[i] = x[i] + beta * (x1[i] - x[i]);
    return 0;
}

/* ---- Square ---- */

int onednn_square_start(struct device *dev, struct shape s, const float *x, float epsilon, struct random_key key,
                        const int64_t *id, float *x_adv)
{
    int64_t row = row_count(s);

    (void)dev;
#pragma omp parallel for
    for (int n = 0; n < s.n; n++)
        for (int e = 0; e < s.c * s.w; e++) {
            struct philox random =
                philox(key.seed, key.purpose, key.epoch, (uint64_t)id[n], (1u << 31) + (uint32_t)e / 128);
            float change = random.word[e / 32 % 4] >> (e % 32) & 1 ? epsilon : -epsilon;
            int64_t first = n * row + (int64_t)(e / s.w) * s.h * s.w + e % s.w;
            for (int64_t at = first; at < first + (int64_t)s.h * s.w; at += s.w)
                x_adv[at] = clamp(x[at] + change, 0, 1);
        }
    return 0;
}

int onednn_square_step(struct device *dev, struct shape s, const float *x, const float *best, float epsilon,
                       struct random_key key, const int64_t *id, uint32_t query, int side, float *x_adv)
{
    int64_t row = row_count(s);

    (void)dev;
#pragma omp parallel for
    for (int n = 0; n < s.n; n++) {
        struct philox random = philox(key.seed, key.purpose, key.epoch, (uint64_t)id[n], query);
        int top = (int)((uint64_t)random.word[0] * (uint64_t)(s.h - side) >> 32);
        int left = (int)((uint64_t)random.word[1] * (uint64_t)(s.w - side) >> 32);

        memcpy(x_adv + n * row, best + n * row, (size_t)row * sizeof(float));
        for (int line = 0; line < s.c * side; line++) {
            float change = (random.word[2] >> (line / side) & 1 ? 2.0f : -2.0f) * epsilon;
            int64_t first = n * row + ((int64_t)(line / side) * s.h + top + line % side) * s.w + left;
            for (int64_t at = first; at < first + side; at++)
                x_adv[at] = back_into_ball(best[at] + change, x[at], epsilon);
        }
    }
    return 0;
}
