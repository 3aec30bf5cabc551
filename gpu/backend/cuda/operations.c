/* The operations of the seam that are kernels of ours: from what backend.h says
 * to what kernels.h wants, and what the launch said back. */
#include "gpu/backend/cuda/device.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>

/* The kernels see these two under names of their own. */
static_assert(sizeof(struct crop) == sizeof(struct window) && offsetof(struct crop, index) == offsetof(struct window, index) &&
                  offsetof(struct crop, dx) == offsetof(struct window, dx) &&
                  offsetof(struct crop, dy) == offsetof(struct window, dy) &&
                  offsetof(struct crop, flip) == offsetof(struct window, flip),
              "struct window is struct crop");
static_assert(MART_MARGIN == ROW_MART_MARGIN && MART_WEIGHT == ROW_MART_WEIGHT && MART_TINY == ROW_MART_TINY,
              "the constants of mart_loss");

/* ---- batch normalisation ---- */

int cuda_bn_forward(struct device *dev, struct shape s, const void *y, const float *gamma, const float *beta,
                    const void *residual, bool relu, void *z, float *mean, float *invstd, float *running_mean,
                    float *running_var, float momentum, float eps)
{
    struct cuda_device *d = cuda(dev);
    struct bn_parameters p = { gamma, beta, mean, invstd, running_mean, running_var, momentum, eps };

    assert(momentum == 0 || (int64_t)s.n * s.h * s.w > 1);
    return cuda_result(
        d, kernel_bn_forward(d->stream, &d->collector, d->bf16, extent_of(s), y, residual, relu, z, &p), "bn_forward");
}

int cuda_bn_backward(struct device *dev, struct shape s, const void *da, const void *db, const void *z, const void *y,
                     const float *gamma, const float *mean, const float *invstd, void *dy, void *dresidual,
                     float *dgamma, float *dbeta)
{
    struct cuda_device *d = cuda(dev);
    struct bn_gradients g = { da, db, z, y, dy, dresidual, gamma, mean, invstd, dgamma, dbeta };

    return cuda_result(d, kernel_bn_backward(d->stream, &d->collector, d->bf16, extent_of(s), &g), "bn_backward");
}

int cuda_bn_fold(struct device *dev, int c, const float *gamma, const float *beta, const float *mean, const float *var,
                 float eps, float *scale, float *bias)
{
    struct cuda_device *d = cuda(dev);

    return cuda_result(d, kernel_bn_fold(d->stream, c, gamma, beta, mean, var, eps, scale, bias), "bn_fold");
}

int cuda_bn_unfold(struct device *dev, int o, int per_o, const float *w, const float *gamma, const float *mean,
                   const float *var, float eps, float *dw, const float *dbf, float *dgamma, float *dbeta)
{
    struct cuda_device *d = cuda(dev);

    return cuda_result(
        d, kernel_bn_unfold(d->stream, o, per_o, w, gamma, mean, var, eps, dw, dbf, dgamma, dbeta), "bn_unfold");
}

int cuda_affine_forward(struct device *dev, struct shape s, const void *y, const float *scale, const float *shift,
                        bool relu, void *z)
{
    struct cuda_device *d = cuda(dev);

    return cuda_result(
        d, kernel_affine_forward(d->stream, &d->collector, d->bf16, extent_of(s), y, scale, shift, relu, z),
        "affine_forward");
}

int cuda_affine_backward(struct device *dev, struct shape s, const void *da, const void *db, const void *z,
                         const void *y, const float *scale, const float *mean, const float *var, float eps, void *dy,
                         float *dgamma, float *dbeta)
{
    struct cuda_device *d = cuda(dev);
    struct affine_gradients g = { da, db, z, y, scale, mean, var, eps, dy, dgamma, dbeta };

    assert(!dgamma == !dbeta);
    return cuda_result(d, kernel_affine_backward(d->stream, &d->collector, d->bf16, extent_of(s), &g),
                       "affine_backward");
}

int cuda_relu_backward(struct device *dev, struct shape s, const void *a, const void *b, const void *y, void *g)
{
    struct cuda_device *d = cuda(dev);

    return cuda_result(d, kernel_relu_backward(d->stream, d->bf16, extent_of(s), a, b, y, g), "relu_backward");
}

int cuda_channel_sum(struct device *dev, struct shape s, const void *g, float *sum)
{
    struct cuda_device *d = cuda(dev);

    return cuda_result(d, kernel_channel_sum(d->stream, &d->collector, d->bf16, extent_of(s), g, sum), "channel_sum");
}

/* ---- head ---- */

int cuda_pool_forward(struct device *dev, struct shape s, int k, const void *x, float *f)
{
    struct cuda_device *d = cuda(dev);

    return cuda_result(d, kernel_pool_forward(d->stream, d->bf16, extent_of(s), k, x, f), "pool_forward");
}

int cuda_pool_backward(struct device *dev, struct shape s, int k, const float *df, void *dx)
{
    struct cuda_device *d = cuda(dev);

    return cuda_result(d, kernel_pool_backward(d->stream, d->bf16, extent_of(s), k, df, dx), "pool_backward");
}

int cuda_linear_forward(struct device *dev, int n, int f_count, int k, const float *f, const float *w, const float *b,
                        float *z)
{
    struct cuda_device *d = cuda(dev);

    return cuda_result(d, kernel_linear_forward(d->stream, n, f_count, k, f, w, b, z), "linear_forward");
}

int cuda_linear_backward_data(struct device *dev, int n, int f_count, int k, const float *dz, const float *w, float *df)
{
    struct cuda_device *d = cuda(dev);

    return cuda_result(d, kernel_linear_backward_data(d->stream, n, f_count, k, dz, w, df), "linear_backward_data");
}

int cuda_linear_backward_weights(struct device *dev, int n, int f_count, int k, const float *dz, const float *f,
                                 float *dw, float *db)
{
    struct cuda_device *d = cuda(dev);

    return cuda_result(d, kernel_linear_backward_weights(d->stream, n, f_count, k, dz, f, dw, db),
                       "linear_backward_weights");
}

int cuda_cross_entropy(struct device *dev, int n, int k, const float *z, const int32_t *labels, float scale,
                       float *loss, int32_t *correct, float *dz)
{
    struct cuda_device *d = cuda(dev);

    return cuda_result(d, kernel_cross_entropy(d->stream, n, k, z, labels, scale, loss, correct, dz), "cross_entropy");
}

int cuda_kl_loss(struct device *dev, int n, int k, const float *z, const float *z_adv, const int32_t *labels,
                 float beta, float scale, float *loss, float *dz, float *dz_adv)
{
    struct cuda_device *d = cuda(dev);
    struct pair_logits l = { z, z_adv, labels, scale, loss, dz, dz_adv };

    return cuda_result(d, kernel_kl_loss(d->stream, n, k, &l, beta), "kl_loss");
}

int cuda_mart_loss(struct device *dev, int n, int k, const float *z, const float *z_adv, const int32_t *labels,
                   float beta, float scale, float *loss, float *dz, float *dz_adv)
{
    struct cuda_device *d = cuda(dev);
    struct pair_logits l = { z, z_adv, labels, scale, loss, dz, dz_adv };

    assert(k >= 2 && labels);
    return cuda_result(d, kernel_mart_loss(d->stream, n, k, &l, beta), "mart_loss");
}

int cuda_lse_loss(struct device *dev, int n, int k, const float *z, const float *z_adv, const int32_t *labels,
                  float lambda, float c, bool clip_clean, float scale, float *loss, float *dz, float *dz_adv)
{
    struct cuda_device *d = cuda(dev);
    struct pair_logits l = { z, z_adv, labels, scale, loss, dz, dz_adv };

    assert(!z_adv == !dz_adv);
    return cuda_result(d, kernel_lse_loss(d->stream, n, k, &l, lambda, c, clip_clean), "lse_loss");
}

/* ---- pixels: host arrays are staged, as many examples at a time as a stage holds ---- */

static int rows_that_fit(size_t bytes_each, int left)
{
    int most = (int)(STAGE_BYTES / bytes_each);

    return left < most ? left : most;
}

int cuda_load_batch(struct device *dev, int n, int c, int h, int w, const uint8_t *images, const struct crop *crops,
                    enum padding padding, float *x)
{
    struct cuda_device *d = cuda(dev);
    int64_t row = (int64_t)c * h * w;
    int r = 0;

    for (int first = 0, rows; first < n && r == 0; first += rows) {
        const void *staged;

        rows = rows_that_fit(sizeof(*crops), n - first);
        r = stage_write(d, crops + first, (size_t)rows * sizeof(*crops), &staged);
        if (r == 0)
            r = cuda_result(d,
                            kernel_load_batch(d->stream, (struct extent){ rows, c, h, w }, images, staged,
                                              padding == PADDING_ZERO, x + first * row),
                            "load_batch");
        if (r == 0)
            r = stage_used(d);
    }
    return r;
}

static struct per_channel per_channel(int c, const double *mean, const double *std)
{
    struct per_channel p = { { 0 }, { 1, 1, 1, 1 } };

    assert(c <= 4);
    for (int i = 0; i < c; i++) {
        p.mean[i] = mean ? (float)mean[i] : 0.0f;
        p.std[i] = (float)std[i];
    }
    return p;
}

int cuda_normalize(struct device *dev, struct shape s, const float *x, const double *mean, const double *std,
                   float *out)
{
    struct cuda_device *d = cuda(dev);

    return cuda_result(d, kernel_normalize(d->stream, extent_of(s), x, per_channel(s.c, mean, std), out), "normalize");
}

int cuda_normalize_backward(struct device *dev, struct shape s, const float *gn, const double *std, float *gx)
{
    struct cuda_device *d = cuda(dev);

    return cuda_result(d, kernel_normalize_backward(d->stream, extent_of(s), gn, per_channel(s.c, NULL, std), gx),
                       "normalize_backward");
}

typedef cudaError_t start_kernel(cudaStream_t stream, struct extent s, const float *x, float size, struct start_key key,
                                 const int64_t *id, float *x_adv);

static int start(struct cuda_device *d, start_kernel *kernel, const char *what, struct shape s, const float *x,
                 float size, struct random_key key, const int64_t *id, float *x_adv)
{
    struct start_key stream_key = { key.seed, key.purpose, key.epoch };
    int64_t row = (int64_t)s.c * s.h * s.w;
    int r = 0;

    for (int first = 0, rows; first < s.n && r == 0; first += rows) {
        const void *staged;

        rows = rows_that_fit(sizeof(*id), s.n - first);
        struct extent part = { rows, s.c, s.h, s.w };
        r = stage_write(d, id + first, (size_t)rows * sizeof(*id), &staged);
        if (r == 0)
            r = cuda_result(
                d, kernel(d->stream, part, x + first * row, size, stream_key, staged, x_adv + first * row), what);
        if (r == 0)
            r = stage_used(d);
    }
    return r;
}

int cuda_pgd_start(struct device *dev, struct shape s, const float *x, float epsilon, struct random_key key,
                   const int64_t *id, float *x_adv)
{
    return start(cuda(dev), kernel_pgd_start, "pgd_start", s, x, epsilon, key, id, x_adv);
}

int cuda_normal_start(struct device *dev, struct shape s, const float *x, float sigma, struct random_key key,
                      const int64_t *id, float *x_adv)
{
    return start(cuda(dev), kernel_normal_start, "normal_start", s, x, sigma, key, id, x_adv);
}

int cuda_pgd_step(struct device *dev, struct shape s, const float *x, const float *g, float step, float epsilon,
                  float *x_adv)
{
    struct cuda_device *d = cuda(dev);

    return cuda_result(d, kernel_pgd_step(d->stream, extent_of(s), x, g, step, epsilon, x_adv), "pgd_step");
}

/* ---- parameters ---- */

int cuda_sgd_step(struct device *dev, int64_t count, float *theta, const float *g, float *v, float lr, float momentum,
                  float wd)
{
    struct cuda_device *d = cuda(dev);

    return cuda_result(d, kernel_sgd_step(d->stream, count, theta, g, v, lr, momentum, wd), "sgd_step");
}

int cuda_axpy(struct device *dev, int64_t count, float a, const float *x, float *y)
{
    struct cuda_device *d = cuda(dev);

    return cuda_result(d, kernel_axpy(d->stream, count, a, x, y), "axpy");
}

int cuda_interpolate(struct device *dev, int64_t count, const float *a, const float *b, float alpha, float *out)
{
    struct cuda_device *d = cuda(dev);

    return cuda_result(d, kernel_interpolate(d->stream, count, a, b, alpha, out), "interpolate");
}

int cuda_project(struct device *dev, int64_t count, const float *center, float factor, float *theta)
{
    struct cuda_device *d = cuda(dev);

    return cuda_result(d, kernel_project(d->stream, count, center, factor, theta), "project");
}

int cuda_norm(struct device *dev, int64_t count, const float *a, const float *b, double *ret)
{
    struct cuda_device *d = cuda(dev);
    double square = 0;
    int r = cuda_result(d, kernel_norm(d->stream, &d->collector, count, a, b, d->number), "norm");

    assert(!d->recording);
    if (r == 0)
        r = cuda_result(
            d, cudaMemcpyAsync(d->number_host, d->number, sizeof(double), cudaMemcpyDeviceToHost, d->stream), "norm");
    if (r == 0)
        r = cuda_result(d, cudaStreamSynchronize(d->stream), "norm");
    if (r < 0)
        return r;
    square = *d->number_host;
    *ret = sqrt(square);
    return 0;
}
