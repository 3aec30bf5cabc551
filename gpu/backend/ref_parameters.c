/* Whole vectors of parameters: the SGD step, sums, the way between two sets of
 * weights, the projection onto a ball, norms. In float with one rounding an
 * operation, as PyTorch does; only the norm adds up in double. */
#include "gpu/backend/ref.h"

#include <math.h>

int ref_sgd_step(struct device *dev, int64_t count, float *theta, const float *g, float *v, float lr, float momentum,
                 float wd)
{
    (void)dev;
    for (int64_t i = 0; i < count; i++) {
        float decayed = g[i] + wd * theta[i];

        v[i] = momentum * v[i] + decayed;
        theta[i] -= lr * v[i];
    }
    return 0;
}

int ref_axpy(struct device *dev, int64_t count, float a, const float *x, float *y)
{
    (void)dev;
    for (int64_t i = 0; i < count; i++)
        y[i] += a * x[i];
    return 0;
}

int ref_interpolate(struct device *dev, int64_t count, const float *a, const float *b, float alpha, float *out)
{
    (void)dev;
    for (int64_t i = 0; i < count; i++) /* at the ends even 0 * inf must not count */
        out[i] = alpha == 0 ? a[i] : alpha == 1 ? b[i] : (1.0f - alpha) * a[i] + alpha * b[i];
    return 0;
}

int ref_project(struct device *dev, int64_t count, const float *center, float factor, float *theta)
{
    (void)dev;
    for (int64_t i = 0; i < count; i++)
        theta[i] = center[i] + (theta[i] - center[i]) * factor;
    return 0;
}

int ref_norm(struct device *dev, int64_t count, const float *a, const float *b, double *ret)
{
    double sum = 0;

    (void)dev;
    for (int64_t i = 0; i < count; i++) {
        double d = b ? (double)a[i] - b[i] : a[i];

        sum += d * d;
    }
    *ret = sqrt(sum);
    return 0;
}
