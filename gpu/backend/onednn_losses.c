/* How are the losses of two sets of logits run on the CPU?
 *
 * N x K numbers, so what counts is that nothing is allocated and that no
 * probability is lost: a row is read several times and its exponentials are
 * taken again, in double, instead of being kept. One thread an example; the bits
 * don't depend on how many there are. Formulas: backend.h. */
#include "gpu/backend/onednn.h"

/* log sum exp of a row. */
static double log_sum(const float *z, int k)
{
    float largest = z[0];
    double sum = 0;

    for (int c = 1; c < k; c++)
        largest = z[c] > largest ? z[c] : largest;
    for (int c = 0; c < k; c++)
        sum += exp((double)z[c] - largest);
    return largest + log(sum);
}

/* ---- TRADES: cross-entropy and divergence ---- */

static void kl_row(const float *z, const float *z_adv, int k, int y, float beta, float scale, float *loss, float *dz,
                   float *dz_adv)
{
    double lp = log_sum(z, k), lq = log_sum(z_adv, k), kl = 0;

    for (int c = 0; c < k; c++)
        kl += exp(z[c] - lp) * ((z[c] - lp) - (z_adv[c] - lq));
    *loss = (float)(beta * kl + (y >= 0 ? lp - z[y] : 0));
    for (int c = 0; c < k; c++) {
        double p = exp(z[c] - lp), q = exp(z_adv[c] - lq);
        double by_clean = beta * p * ((z[c] - lp) - (z_adv[c] - lq) - kl);
        if (dz)
            dz[c] = (float)(scale * (y >= 0 ? by_clean + p - (c == y) : by_clean));
        dz_adv[c] = (float)(scale * beta * (q - p));
    }
}

int onednn_kl_loss(struct device *dev, int n, int k, const float *z, const float *z_adv, const int32_t *labels,
                   float beta, float scale, float *loss, float *dz, float *dz_adv)
{
    (void)dev;
#pragma omp parallel for
    for (int i = 0; i < n; i++) {
        int64_t row = (int64_t)i * k;
        kl_row(z + row, z_adv + row, k, labels ? labels[i] : -1, beta, scale, loss + i, dz ? dz + row : NULL,
               dz_adv + row);
    }
    return 0;
}

/* ---- MART: boosted cross-entropy and weighted divergence ---- */

static int rival(const float *z, int k, int y)
{
    int best = y == 0;

    for (int c = best + 1; c < k; c++)
        if (c != y && z[c] > z[best])
            best = c;
    return best;
}

static void mart_row(const float *z, const float *z_adv, int k, int y, float beta, float scale, float *loss, float *dz,
                     float *dz_adv)
{
    double lp = log_sum(z, k), lq = log_sum(z_adv, k);
    int j = rival(z_adv, k, y);
    double q_j = exp(z_adv[j] - lq), margin = MART_MARGIN - q_j + MART_TINY, p_y = exp(z[y] - lp);
    double weight = MART_WEIGHT - p_y, kl = 0, back = 0;

    for (int c = 0; c < k; c++) {
        double p = exp(z[c] - lp), q = exp(z_adv[c] - lq);
        kl += p * (z[c] - lp - log(q + MART_TINY));
        back += q / (q + MART_TINY) * p; /* sum of q times what the divergence says of it */
    }
    double push = q_j / margin; /* sum of q times what the margin says of it */
    *loss = (float)(lq - z_adv[y] - log(margin) + beta * weight * kl);
    for (int c = 0; c < k; c++) {
        double p = exp(z[c] - lp), q = exp(z_adv[c] - lq);
        if (dz) /* sum_m p_m a_m is beta (w KL - p_y KL) */
            dz[c] =
                (float)(scale * beta * p * (weight * (z[c] - lp - log(q + MART_TINY) - kl) - kl * ((c == y) - p_y)));
        dz_adv[c] = (float)(scale * (q - (c == y) + q * ((c == j) / margin - push) -
                                     beta * weight * q * (p / (q + MART_TINY) - back)));
    }
}

int onednn_mart_loss(struct device *dev, int n, int k, const float *z, const float *z_adv, const int32_t *labels,
                     float beta, float scale, float *loss, float *dz, float *dz_adv)
{
    (void)dev;
    assert(k >= 2);
#pragma omp parallel for
    for (int i = 0; i < n; i++) {
        int64_t row = (int64_t)i * k;
        mart_row(z + row, z_adv + row, k, labels[i], beta, scale, loss + i, dz ? dz + row : NULL, dz_adv + row);
    }
    return 0;
}

/* ---- SCORE: squared distances of probabilities ---- */

struct lse {
    float lambda, c;
    bool clip_clean;
};

static void lse_row(const float *z, const float *z_adv, int k, int y, const struct lse *how, float scale, float *loss,
                    float *dz, float *dz_adv)
{
    double lp = log_sum(z, k), lq = z_adv ? log_sum(z_adv, k) : 0, a = 0, b = 0, by_p = 0, by_q = 0, p_a = 0;

    for (int c = 0; c < k; c++) {
        double p = exp(z[c] - lp), wrong = y >= 0 ? p - (c == y) : 0, apart = z_adv ? exp(z_adv[c] - lq) - p : 0;
        a += wrong * wrong;
        b += apart * apart;
        p_a += p * wrong;
        by_p += p * apart;
        by_q += (p + apart) * apart;
    }
    double inside = how->clip_clean ? a + how->lambda * b - how->c : b - how->c;
    double on = inside <= 0 ? 0 : 1, a_on = how->clip_clean ? on : 1, b_on = on * how->lambda;
    *loss = (float)(how->clip_clean ? on * inside : a + b_on * inside);
    for (int c = 0; c < k; c++) {
        double p = exp(z[c] - lp), wrong = y >= 0 ? p - (c == y) : 0, q = z_adv ? exp(z_adv[c] - lq) : p;
        if (dz)
            dz[c] = (float)(2 * scale * p * (a_on * (wrong - p_a) - b_on * (q - p - by_p)));
        if (dz_adv)
            dz_adv[c] = (float)(2 * scale * b_on * q * (q - p - by_q));
    }
}

int onednn_lse_loss(struct device *dev, int n, int k, const float *z, const float *z_adv, const int32_t *labels,
                    float lambda, float c, bool clip_clean, float scale, float *loss, float *dz, float *dz_adv)
{
    struct lse how = { lambda, c, clip_clean };

    (void)dev;
    assert(!z_adv == !dz_adv);
#pragma omp parallel for
    for (int i = 0; i < n; i++) {
        int64_t row = (int64_t)i * k;
        lse_row(z + row, z_adv ? z_adv + row : NULL, k, labels ? labels[i] : -1, &how, scale, loss + i,
                dz ? dz + row : NULL, dz_adv ? dz_adv + row : NULL);
    }
    return 0;
}
