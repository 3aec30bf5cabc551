/* Batch normalisation, its folding into a convolution, and ReLU's mask.
 *
 * Statistics are two passes in double. Surprising: what is normalised with is
 * the biased variance, what is remembered is the unbiased one (PyTorch's
 * rule). Every backward function works out g = (da + db) * mask anew wherever
 * it needs it, so that outputs may be inputs. */
#include "gpu/backend/ref.h"

#include <assert.h>
#include <math.h>

/* Sum over n, h, w of channel c of f(element). */
#define CHANNEL_SUM(s, c, at, expression)                                                                              \
    ({                                                                                                                 \
        double sum_ = 0;                                                                                               \
        for (int n_ = 0; n_ < (s).n; n_++) {                                                                           \
            int64_t start_ = ref_at((s), n_, (c), 0, 0);                                                               \
            for (int64_t at = start_; at < start_ + (s).h * (s).w; at++)                                               \
                sum_ += (expression);                                                                                  \
        }                                                                                                              \
        sum_;                                                                                                          \
    })

int ref_bn_forward(struct device *dev, struct shape s, const void *y, const float *gamma, const float *beta,
                   const void *residual, bool relu, void *z, float *mean, float *invstd, float *running_mean,
                   float *running_var, float momentum, float eps)
{
    const float *in = y, *add = residual;
    float *out = z;
    double count = (double)s.n * s.h * s.w;

    (void)dev;
    assert(momentum == 0 || count > 1);
    for (int c = 0; c < s.c; c++) {
        double m = CHANNEL_SUM(s, c, at, in[at]) / count;
        double var = CHANNEL_SUM(s, c, at, (in[at] - m) * (in[at] - m)) / count;
        double inverse = 1 / sqrt(var + (double)eps);

        for (int n = 0; n < s.n; n++) {
            int64_t start = ref_at(s, n, c, 0, 0);

            for (int64_t at = start; at < start + s.h * s.w; at++) {
                double v = gamma[c] * (in[at] - m) * inverse + beta[c] + (add ? add[at] : 0.0f);

                out[at] = relu && v <= 0 ? 0.0f : (float)v;
            }
        }
        mean[c] = (float)m;
        invstd[c] = (float)inverse;
        if (momentum != 0) {
            running_mean[c] = (float)((1 - (double)momentum) * running_mean[c] + momentum * m);
            running_var[c] = (float)((1 - (double)momentum) * running_var[c] + momentum * var * count / (count - 1));
        }
    }
    return 0;
}

/* g at one element: (a + b?) * (z > 0)? */
static double masked(const float *a, const float *b, const float *z, int64_t at)
{
    return z && !(z[at] > 0) ? 0 : (double)a[at] + (b ? b[at] : 0.0f);
}

int ref_bn_backward(struct device *dev, struct shape s, const void *da, const void *db, const void *z, const void *y,
                    const float *gamma, const float *mean, const float *invstd, void *dy, void *dresidual,
                    float *dgamma, float *dbeta)
{
    const float *in = y;
    double count = (double)s.n * s.h * s.w;

    (void)dev;
    for (int c = 0; c < s.c; c++) {
        double m = mean[c], inverse = invstd[c];
        double sum = CHANNEL_SUM(s, c, at, masked(da, db, z, at));
        double dot = CHANNEL_SUM(s, c, at, masked(da, db, z, at) * (in[at] - m) * inverse);

        for (int n = 0; n < s.n; n++) {
            int64_t start = ref_at(s, n, c, 0, 0);

            for (int64_t at = start; at < start + s.h * s.w; at++) {
                double g = masked(da, db, z, at), xhat = (in[at] - m) * inverse;

                ((float *)dy)[at] = (float)(gamma[c] * inverse * (g - sum / count - xhat * dot / count));
                if (dresidual)
                    ((float *)dresidual)[at] = (float)g;
            }
        }
        dgamma[c] = (float)dot;
        dbeta[c] = (float)sum;
    }
    return 0;
}

int ref_bn_fold(struct device *dev, int c, const float *gamma, const float *beta, const float *mean, const float *var,
                float eps, float *scale, float *bias)
{
    (void)dev;
    for (int i = 0; i < c; i++) {
        double k = gamma[i] / sqrt((double)var[i] + eps);

        scale[i] = (float)k;
        bias[i] = (float)(beta[i] - mean[i] * k);
    }
    return 0;
}

int ref_bn_unfold(struct device *dev, int o, int per_o, const float *w, const float *gamma, const float *mean,
                  const float *var, float eps, float *dw, const float *dbf, float *dgamma, float *dbeta)
{
    (void)dev;
    for (int i = 0; i < o; i++) {
        const float *row = w + (int64_t)i * per_o;
        float *drow = dw + (int64_t)i * per_o;
        double inverse = 1 / sqrt((double)var[i] + eps), dot = 0;

        for (int k = 0; k < per_o; k++) {
            dot += (double)row[k] * drow[k];
            drow[k] = (float)(gamma[i] * inverse * drow[k]);
        }
        if (dgamma)
            dgamma[i] = (float)(inverse * (dot - (double)mean[i] * dbf[i]));
        if (dbeta)
            dbeta[i] = dbf[i];
    }
    return 0;
}

int ref_relu_backward(struct device *dev, struct shape s, const void *a, const void *b, const void *y, void *g)
{
    (void)dev;
    for (int64_t at = 0; at < shape_count(s); at++)
        ((float *)g)[at] = (float)masked(a, b, y, at);
    return 0;
}

int ref_channel_sum(struct device *dev, struct shape s, const void *g, float *sum)
{
    const float *in = g;

    (void)dev;
    for (int c = 0; c < s.c; c++)
        sum[c] = (float)CHANNEL_SUM(s, c, at, in[at]);
    return 0;
}
