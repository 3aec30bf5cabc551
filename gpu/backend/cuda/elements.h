/* What happens to one element, or to one row of logits?
 *
 * The formulas of backend.h as functions that compile for the card and for the
 * processor: kernels are loops around them, and tests run the same functions
 * without a card. No intrinsics here, no contraction (the module is compiled
 * without fused multiply-add), so both sides make the same roundings.
 *
 * Rows of logits are worked on by LANES threads side by side: lane l takes the
 * classes l, l + LANES, ...; row_sum and friends then meet. On the processor
 * there is one lane and nothing to meet. */
#ifndef RIFT_GPU_BACKEND_CUDA_ELEMENTS_H
#define RIFT_GPU_BACKEND_CUDA_ELEMENTS_H

#include "gpu/backend/philox.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

/* Tests that run whole kernels on the processor define RIFT_PRETEND_CARD: then there are lanes too. */
#ifdef RIFT_PRETEND_CARD
#define ON_CARD 1
#elif defined(__CUDA_ARCH__)
#define ON_CARD 1
#endif

#ifdef __CUDACC__
#define HD static __host__ __device__ __forceinline__
#else
#define HD static inline
#endif

/* Channels of an activation are a multiple of this; those beyond the last real one are always zero. */
enum { CHANNEL_STEP = 8 };

HD int channels_padded(int c)
{
    return (c + CHANNEL_STEP - 1) / CHANNEL_STEP * CHANNEL_STEP;
}

/* ---- pixels ------------------------------------------------------------------------ */

HD float clampf(float v, float low, float high)
{
    return v < low ? low : v > high ? high : v;
}

/* backend.h's struct crop, which this file must not see: it is read by the compiler of the card too. */
struct window {
    int32_t index;
    int8_t dx, dy;
    uint8_t flip;
};

/* Where a window that reaches over the edge reads: the mirror image without the edge pixel, or nowhere (-1). */
HD int window_source(int at, int size, bool zeros)
{
    if (at >= 0 && at < size)
        return at;
    if (zeros)
        return -1;
    return at < 0 ? -at : 2 * (size - 1) - at;
}

/* x[channel,row,column] of a batch cut out of uint8 [M,C,H,W]. */
HD float window_pixel(const uint8_t *images, struct window crop, int c, int h, int w, bool zeros, int channel, int row,
                      int column)
{
    int from_h = window_source(row + crop.dy, h, zeros);
    int from_w = window_source((crop.flip ? w - 1 - column : column) + crop.dx, w, zeros);

    if (from_h < 0 || from_w < 0)
        return 0.0f;
    return (float)images[(((int64_t)crop.index * c + channel) * h + from_h) * w + from_w] / 255.0f;
}

HD float normalized(float x, float mean, float std)
{
    return (x - mean) / std;
}

HD float pgd_started(float x, float epsilon, uint32_t word)
{
    float u = (2.0f * philox_unit(word) - 1.0f) * epsilon;

    return clampf(x + u, 0.0f, 1.0f);
}

HD float pgd_stepped(float x, float g, float step, float epsilon, float x_adv)
{
    float sign = (float)((g > 0) - (g < 0));
    float delta = clampf(x_adv + step * sign - x, -epsilon, epsilon);

    return clampf(x + delta, 0.0f, 1.0f);
}

/* ---- batch normalisation -------------------------------------------------------------- */

/* ReLU that lets a NaN through, to be found in the loss. */
HD float relu_or_nan(float v)
{
    return v <= 0 ? 0.0f : v;
}

/* gamma*(y-mean)*invstd + beta + residual, k = gamma*invstd. */
HD float bn_applied(float y, float mean, float k, float beta, float residual)
{
    return (y - mean) * k + beta + residual;
}

/* g = (a + b) * (z > 0) */
HD float masked(float a, float b, bool passes)
{
    return passes ? a + b : 0.0f;
}

/* dy = k*( g - dbeta/n - xhat*dgamma/n ), k = gamma*invstd. */
HD float bn_backed(float g, float y, float mean, float invstd, float k, float dbeta_n, float dgamma_n)
{
    return k * (g - dbeta_n - (y - mean) * invstd * dgamma_n);
}

/* Mean and biased variance from sums of d = y - shift and d*d over n elements. */
struct moments {
    double mean, var;
};

HD struct moments moments_of(double shift, double sum, double square, double n)
{
    double m = sum / n, var = square / n - m * m;
    struct moments ret = { shift + m, var < 0 ? 0 : var };

    return ret;
}

HD float running_moved(float was, double now, float momentum)
{
    return (float)((1 - (double)momentum) * was + momentum * now);
}

/* ---- parameters -------------------------------------------------------------------------- */

/* v and theta after a step, theta -= lr*v. */
HD float sgd_velocity(float theta, float g, float v, float momentum, float wd)
{
    float decayed = g + wd * theta;

    return momentum * v + decayed;
}

HD float between(float a, float b, float alpha)
{
    return alpha == 0 ? a : alpha == 1 ? b : (1.0f - alpha) * a + alpha * b;
}

HD float projected(float center, float factor, float theta)
{
    return center + (theta - center) * factor;
}

/* ---- rows of logits ------------------------------------------------------------------------- */

#ifdef ON_CARD
enum { LANES = 32 };

HD int row_lane(void)
{
    return (int)threadIdx.x & 31;
}

/* The xor pattern adds the same pairs in every lane: all get the same bits. */
HD double row_sum(double v)
{
    for (int step = 16; step; step /= 2)
        v += __shfl_xor_sync(0xffffffffu, v, step);
    return v;
}
#else
enum { LANES = 1 };

HD int row_lane(void)
{
    return 0;
}

HD double row_sum(double v)
{
    return v;
}
#endif

/* The largest and the first class that has it. */
struct row_largest {
    double value;
    int at;
};

HD struct row_largest larger(struct row_largest a, struct row_largest b)
{
    if (a.at < 0)
        return b;
    return b.at >= 0 && (b.value > a.value || (b.value == a.value && b.at < a.at)) ? b : a;
}

HD struct row_largest row_meet(struct row_largest mine)
{
#ifdef ON_CARD
    for (int step = 16; step; step /= 2) {
        struct row_largest other;

        other.value = __shfl_xor_sync(0xffffffffu, mine.value, step);
        other.at = __shfl_xor_sync(0xffffffffu, mine.at, step);
        mine = larger(mine, other);
    }
#endif
    return mine;
}

/* Over all classes but `except` (-1: over all). A NaN is larger than nothing, as in the oracle: where the first
 * class is one, it stays. */
HD struct row_largest row_max(const float *z, int k, int except)
{
    struct row_largest mine = { 0, -1 };

    for (int c = row_lane(); c < k; c += LANES) {
        struct row_largest here = { z[c], c };

        if (c != except)
            mine = larger(mine, here);
    }
    return row_meet(mine);
}

/* log p_c = z_c - largest - log_sum. */
struct row_softmax {
    double largest, log_sum;
};

HD struct row_softmax row_softmax(const float *z, int k)
{
    struct row_softmax ret = { row_max(z, k, -1).value, 0 };
    double sum = 0;

    for (int c = row_lane(); c < k; c += LANES)
        sum += exp(z[c] - ret.largest);
    ret.log_sum = log(row_sum(sum));
    return ret;
}

HD double row_log_p(struct row_softmax s, float z)
{
    return z - s.largest - s.log_sum;
}

/* loss = log sum exp z - z_y, hit = (first argmax == y), dz = (softmax - onehot)*scale or NULL. */
HD void row_cross_entropy(const float *z, int k, int label, float scale, float *loss, int32_t *correct, float *dz)
{
    struct row_largest best = row_max(z, k, -1);
    double sum = 0;

    for (int c = row_lane(); c < k; c += LANES)
        sum += exp((double)z[c] - best.value);
    sum = row_sum(sum);
    if (row_lane() == 0) {
        *loss = (float)(log(sum) + best.value - z[label]);
        *correct = best.at == label;
    }
    for (int c = row_lane(); dz && c < k; c += LANES)
        dz[c] = (float)((exp((double)z[c] - best.value) / sum - (c == label)) * scale);
}

/* What the losses of two sets of logits are asked for: one row of everything in backend.h. label -1: none. */
struct pair_row {
    const float *z, *z_adv;
    int k, label;
    float scale;
    float *loss, *dz, *dz_adv;
};

HD void row_kl_loss(struct pair_row r, float beta)
{
    struct row_softmax p = row_softmax(r.z, r.k), q = row_softmax(r.z_adv, r.k);
    double kl = 0;

    for (int c = row_lane(); c < r.k; c += LANES) {
        double log_p = row_log_p(p, r.z[c]);

        kl += exp(log_p) * (log_p - row_log_p(q, r.z_adv[c]));
    }
    kl = row_sum(kl);
    if (row_lane() == 0)
        *r.loss = (float)(beta * kl - (r.label >= 0 ? row_log_p(p, r.z[r.label]) : 0));
    for (int c = row_lane(); c < r.k; c += LANES) {
        double log_p = row_log_p(p, r.z[c]), log_q = row_log_p(q, r.z_adv[c]), pc = exp(log_p);
        double entropy = r.label >= 0 ? pc - (c == r.label) : 0;

        if (r.dz)
            r.dz[c] = (float)((entropy + beta * pc * (log_p - log_q - kl)) * r.scale);
        r.dz_adv[c] = (float)(beta * (exp(log_q) - pc) * r.scale);
    }
}

/* The constants of backend.h's mart_loss, held to it by a static assertion in losses.c. */
#define ROW_MART_MARGIN 1.0001
#define ROW_MART_WEIGHT 1.0000001
#define ROW_MART_TINY   1e-12

/* a_k and b_k of the formula. */
struct mart {
    struct row_softmax p, q;
    double beta, margin, weight, kl;
    int rival;
};

HD double mart_a(struct mart m, struct pair_row r, int c)
{
    double log_q = log(exp(row_log_p(m.q, r.z_adv[c])) + ROW_MART_TINY);

    return m.beta * (m.weight * (row_log_p(m.p, r.z[c]) - log_q) - (c == r.label) * m.kl);
}

HD double mart_b(struct mart m, struct pair_row r, int c)
{
    double q = exp(row_log_p(m.q, r.z_adv[c]));

    return (c == m.rival) / m.margin - m.beta * m.weight * exp(row_log_p(m.p, r.z[c])) / (q + ROW_MART_TINY);
}

HD void row_mart_gradients(struct pair_row r, struct mart m)
{
    double mean_a = 0, mean_b = 0;

    for (int c = row_lane(); c < r.k; c += LANES) {
        mean_a += exp(row_log_p(m.p, r.z[c])) * mart_a(m, r, c);
        mean_b += exp(row_log_p(m.q, r.z_adv[c])) * mart_b(m, r, c);
    }
    mean_a = row_sum(mean_a);
    mean_b = row_sum(mean_b);
    for (int c = row_lane(); c < r.k; c += LANES) {
        double p = exp(row_log_p(m.p, r.z[c])), q = exp(row_log_p(m.q, r.z_adv[c]));

        if (r.dz)
            r.dz[c] = (float)(p * (mart_a(m, r, c) - mean_a) * r.scale);
        r.dz_adv[c] = (float)((q * (mart_b(m, r, c) - mean_b) + (q - (c == r.label))) * r.scale);
    }
}

HD void row_mart_loss(struct pair_row r, float beta)
{
    struct mart m;
    double kl = 0;

    m.p = row_softmax(r.z, r.k);
    m.q = row_softmax(r.z_adv, r.k);
    m.beta = beta;
    /* the largest of q is where the largest of z_adv is */
    m.rival = row_max(r.z_adv, r.k, r.label).at;
    m.margin = ROW_MART_MARGIN - exp(row_log_p(m.q, r.z_adv[m.rival])) + ROW_MART_TINY;
    m.weight = ROW_MART_WEIGHT - exp(row_log_p(m.p, r.z[r.label]));
    for (int c = row_lane(); c < r.k; c += LANES) {
        double log_p = row_log_p(m.p, r.z[c]);

        kl += exp(log_p) * (log_p - log(exp(row_log_p(m.q, r.z_adv[c])) + ROW_MART_TINY));
    }
    m.kl = row_sum(kl);
    if (row_lane() == 0)
        *r.loss = (float)(-row_log_p(m.q, r.z_adv[r.label]) - log(m.margin) + m.beta * m.kl * m.weight);
    row_mart_gradients(r, m);
}

/* Parameters of lse_loss, and which of its terms are on. */
struct lse {
    struct row_softmax p, q;
    double lambda;
    bool clean_on, robust_on;
};

HD double lse_g(struct lse l, struct pair_row r, int c)
{
    double p = exp(row_log_p(l.p, r.z[c]));
    double wrong = r.label >= 0 && l.clean_on ? p - (c == r.label) : 0;
    double apart = r.z_adv && l.robust_on ? exp(row_log_p(l.q, r.z_adv[c])) - p : 0;

    return 2 * wrong - 2 * l.lambda * apart;
}

HD double lse_h(struct lse l, struct pair_row r, int c)
{
    double apart = l.robust_on ? exp(row_log_p(l.q, r.z_adv[c])) - exp(row_log_p(l.p, r.z[c])) : 0;

    return 2 * l.lambda * apart;
}

HD void row_lse_gradients(struct pair_row r, struct lse l)
{
    double mean_g = 0, mean_h = 0;

    for (int c = row_lane(); c < r.k; c += LANES) {
        mean_g += exp(row_log_p(l.p, r.z[c])) * lse_g(l, r, c);
        if (r.z_adv)
            mean_h += exp(row_log_p(l.q, r.z_adv[c])) * lse_h(l, r, c);
    }
    mean_g = row_sum(mean_g);
    mean_h = row_sum(mean_h);
    for (int c = row_lane(); c < r.k; c += LANES) {
        if (r.dz)
            r.dz[c] = (float)(exp(row_log_p(l.p, r.z[c])) * (lse_g(l, r, c) - mean_g) * r.scale);
        if (r.dz_adv)
            r.dz_adv[c] = (float)(exp(row_log_p(l.q, r.z_adv[c])) * (lse_h(l, r, c) - mean_h) * r.scale);
    }
}

HD void row_lse_loss(struct pair_row r, float lambda, float cut, bool clip_clean)
{
    struct lse l;
    double a = 0, b = 0, cut_at = cut;

    l.lambda = lambda;
    l.p = row_softmax(r.z, r.k);
    l.q = r.z_adv ? row_softmax(r.z_adv, r.k) : l.p;
    for (int c = row_lane(); c < r.k; c += LANES) {
        double p = exp(row_log_p(l.p, r.z[c]));
        double wrong = r.label >= 0 ? p - (c == r.label) : 0;
        double apart = r.z_adv ? exp(row_log_p(l.q, r.z_adv[c])) - p : 0;

        a += wrong * wrong;
        b += apart * apart;
    }
    a = row_sum(a);
    b = row_sum(b);
    l.clean_on = clip_clean ? a + l.lambda * b > cut_at : true;
    l.robust_on = clip_clean ? l.clean_on : b > cut_at;
    double clean = clip_clean ? a + l.lambda * b - cut_at : a, robust = clip_clean ? 0 : l.lambda * (b - cut_at);
    if (row_lane() == 0) /* isnan: what isn't a number must not be clipped to 0 */
        *r.loss = (float)((l.clean_on || isnan(clean) ? clean : 0) + (l.robust_on || isnan(robust) ? robust : 0));
    row_lse_gradients(r, l);
}

#endif
