/* Losses that look at an image and at its adversarial example together:
 * TRADES' divergence, MART's weighted one, SCORE's squared distance.
 *
 * The idea: every gradient is made twice over, first by the probabilities, as
 * the formula in backend.h is written, then through the softmax:
 *     dz_k = p_k (g_k - sum_m p_m g_m)
 * Logarithms of probabilities are differences of logits, never log(0). */
#include "gpu/backend/ref.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

/* One example's distribution: probability and its logarithm, [K] each. */
struct distribution {
    double *p, *log_p;
};

/* Room for the two distributions and two gradients of a row. */
struct rows {
    struct distribution clean, adversarial; /* p and q */
    double *g, *h;                          /* gradients by p and by q */
};

static int rows_open(int k, struct rows *ret)
{
    double *room = calloc((size_t)k * 6, sizeof(double));

    if (!room)
        return -1;
    *ret = (struct rows){ { room, room + k }, { room + 2 * k, room + 3 * k }, room + 4 * k, room + 5 * k };
    return 0;
}

static void softmax(const float *z, int k, struct distribution ret)
{
    double largest = z[0], sum = 0;

    for (int c = 1; c < k; c++)
        largest = z[c] > largest ? z[c] : largest;
    for (int c = 0; c < k; c++)
        sum += exp(z[c] - largest);
    for (int c = 0; c < k; c++) {
        ret.log_p[c] = z[c] - largest - log(sum);
        ret.p[c] = exp(ret.log_p[c]);
    }
}

/* From the gradient by probabilities to that by logits; `more` (or NULL) is by logits already. */
static void through_softmax(const double *p, const double *g, const double *more, int k, float scale, float *dz)
{
    double mean = 0;

    for (int c = 0; c < k; c++)
        mean += p[c] * g[c];
    for (int c = 0; c < k; c++)
        dz[c] = (float)((p[c] * (g[c] - mean) + (more ? more[c] : 0)) * scale);
}

/* ---- TRADES ------------------------------------------------------------------- */

int ref_kl_loss(struct device *dev, int n, int k, const float *z, const float *z_adv, const int32_t *labels, float beta,
                float scale, float *loss, float *dz, float *dz_adv)
{
    struct rows r;

    (void)dev;
    if (rows_open(k, &r) < 0)
        return -ENOMEM;
    for (int i = 0; i < n; i++) {
        int64_t row = (int64_t)i * k;
        int y = labels ? labels[i] : -1;
        double kl = 0;

        softmax(z + row, k, r.clean);
        softmax(z_adv + row, k, r.adversarial);
        for (int c = 0; c < k; c++)
            kl += r.clean.p[c] * (r.clean.log_p[c] - r.adversarial.log_p[c]);
        loss[i] = (float)(beta * kl - (labels ? r.clean.log_p[y] : 0));
        for (int c = 0; c < k; c++) {
            double p = r.clean.p[c], q = r.adversarial.p[c];
            double entropy = labels ? p - (c == y) : 0;

            if (dz)
                dz[row + c] = (float)((entropy + beta * p * (r.clean.log_p[c] - r.adversarial.log_p[c] - kl)) * scale);
            dz_adv[row + c] = (float)(beta * (q - p) * scale);
        }
    }
    free(r.clean.p);
    return 0;
}

/* ---- MART --------------------------------------------------------------------- */

/* The most likely class but for y. */
static int rival(const double *q, int k, int y)
{
    int best = y == 0 ? 1 : 0;

    for (int c = best + 1; c < k; c++)
        if (c != y && q[c] > q[best])
            best = c;
    return best;
}

int ref_mart_loss(struct device *dev, int n, int k, const float *z, const float *z_adv, const int32_t *labels,
                  float beta, float scale, float *loss, float *dz, float *dz_adv)
{
    struct rows r;

    (void)dev;
    assert(k >= 2);
    if (rows_open(k, &r) < 0)
        return -ENOMEM;
    for (int i = 0; i < n; i++) {
        int64_t row = (int64_t)i * k;
        int y = labels[i];

        softmax(z + row, k, r.clean);
        softmax(z_adv + row, k, r.adversarial);
        const double *p = r.clean.p, *log_p = r.clean.log_p, *q = r.adversarial.p;
        int j = rival(q, k, y);
        double margin = MART_MARGIN - q[j] + MART_TINY, weight = MART_WEIGHT - p[y], kl = 0;

        for (int c = 0; c < k; c++)
            kl += p[c] * (log_p[c] - log(q[c] + MART_TINY));
        loss[i] = (float)(-r.adversarial.log_p[y] - log(margin) + beta * kl * weight);
        for (int c = 0; c < k; c++) {
            r.g[c] = beta * (weight * (log_p[c] - log(q[c] + MART_TINY)) - (c == y) * kl);
            r.h[c] = (c == j) / margin - beta * weight * p[c] / (q[c] + MART_TINY);
        }
        if (dz)
            through_softmax(p, r.g, NULL, k, scale, dz + row);
        for (int c = 0; c < k; c++)
            r.g[c] = q[c] - (c == y);
        through_softmax(q, r.h, r.g, k, scale, dz_adv + row);
    }
    free(r.clean.p);
    return 0;
}

/* ---- SCORE -------------------------------------------------------------------- */

int ref_lse_loss(struct device *dev, int n, int k, const float *z, const float *z_adv, const int32_t *labels,
                 float lambda, float c, bool clip_clean, float scale, float *loss, float *dz, float *dz_adv)
{
    struct rows r;

    (void)dev;
    assert(!z_adv == !dz_adv);
    if (rows_open(k, &r) < 0)
        return -ENOMEM;
    for (int i = 0; i < n; i++) {
        int64_t row = (int64_t)i * k;
        const double *p = r.clean.p, *q = r.adversarial.p;
        double a = 0, b = 0;

        softmax(z + row, k, r.clean);
        if (z_adv)
            softmax(z_adv + row, k, r.adversarial);
        for (int m = 0; m < k; m++) {
            double wrong = labels ? p[m] - (m == labels[i]) : 0, apart = z_adv ? q[m] - p[m] : 0;

            a += wrong * wrong;
            b += apart * apart;
        }
        bool clean_on = clip_clean ? a + lambda * b > c : true;
        bool robust_on = clip_clean ? clean_on : b > c;
        double clean = clip_clean ? a + lambda * b - c : a, robust = clip_clean ? 0 : lambda * (b - c);

        /* isnan: what isn't a number must not be clipped to 0. */
        loss[i] = (float)((clean_on || isnan(clean) ? clean : 0) + (robust_on || isnan(robust) ? robust : 0));
        for (int m = 0; m < k; m++) {
            double wrong = labels && clean_on ? p[m] - (m == labels[i]) : 0;
            double apart = z_adv && robust_on ? q[m] - p[m] : 0;

            r.g[m] = 2 * wrong - 2 * lambda * apart;
            r.h[m] = 2 * lambda * apart;
        }
        if (dz)
            through_softmax(p, r.g, NULL, k, scale, dz + row);
        if (dz_adv)
            through_softmax(q, r.h, NULL, k, scale, dz_adv + row);
    }
    free(r.clean.p);
    return 0;
}
