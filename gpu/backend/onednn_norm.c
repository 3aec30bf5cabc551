/* How is batch normalisation run so that memory is touched as little as possible?
 *
 * Formulas: Ioffe and Szegedy 2015; PyTorch's conventions (biased variance to
 * normalise, unbiased for the running statistic). A tensor is cut into tiles,
 * one channel block of one example:
 *
 *   forward   pass 1  each tile: shifted sums per lane       (read y)
 *             merge   tiles of a channel, in order, in double (Chan et al. 1979)
 *             pass 2  z = relu(a*y + b + residual)            (read y, residual; write z)
 *   backward  pass 1  each tile: sum g, sum g*(y-mean)        (read da, db, z, y; write dresidual)
 *             merge
 *             pass 2  dy = k1*g + k2*y + k3                   (read the same or dresidual; write dy)
 *
 * Tiles don't depend on the number of threads, so neither do the bits. */
#include "gpu/backend/onednn.h"

/* Floats of partial sums per tile: two numbers a lane. */
#define TILE_PARTIAL (2 * MAX_BLOCK)
#define UNROLL       4

/* Sum of (y - shift) and of its square over a tile, per lane; shift is the tile's first pixel. */
INLINE void tile_moments_block(const float *y, int pixels, float *sums, int block)
{
    float s1[UNROLL][MAX_BLOCK] = { { 0 } }, s2[UNROLL][MAX_BLOCK] = { { 0 } };
    int p = 0;

    for (; p + UNROLL <= pixels; p += UNROLL)
        for (int u = 0; u < UNROLL; u++)
            for (int l = 0; l < block; l++) {
                float v = y[(int64_t)(p + u) * block + l] - y[l];
                s1[u][l] += v;
                s2[u][l] += v * v;
            }
    for (; p < pixels; p++)
        for (int l = 0; l < block; l++) {
            float v = y[(int64_t)p * block + l] - y[l];
            s1[0][l] += v;
            s2[0][l] += v * v;
        }
    for (int l = 0; l < block; l++) {
        sums[l] = (s1[0][l] + s1[1][l]) + (s1[2][l] + s1[3][l]);
        sums[MAX_BLOCK + l] = (s2[0][l] + s2[1][l]) + (s2[2][l] + s2[3][l]);
    }
}

CPU_CLONES static void tile_moments(const float *y, int pixels, float *sums, int block)
{
    if (block == 16)
        tile_moments_block(y, pixels, sums, 16);
    else
        tile_moments_block(y, pixels, sums, 8);
}

INLINE void tile_apply_block(const float *y, const float *residual, const float *a, const float *b, bool relu, float *z,
                             int pixels, int block)
{
    float gain[MAX_BLOCK], offset[MAX_BLOCK]; /* copies: z can't alias them, so they stay in registers */

    memcpy(gain, a, (size_t)block * sizeof(float));
    memcpy(offset, b, (size_t)block * sizeof(float));
    for (int p = 0; p < pixels; p++)
        for (int l = 0; l < block; l++) {
            int64_t i = (int64_t)p * block + l;
            float v = gain[l] * y[i] + offset[l];
            if (residual)
                v += residual[i];
            z[i] = relu && v <= 0 ? 0 : v; /* a NaN passes */
        }
}

/* The flags are constants in each call, so that the inner loop is straight vector code. */
CPU_CLONES static void tile_apply(const float *y, const float *residual, const float *a, const float *b, bool relu,
                                  float *z, int pixels, int block)
{
    if (block != 16)
        tile_apply_block(y, residual, a, b, relu, z, pixels, 8);
    else if (residual && relu)
        tile_apply_block(y, residual, a, b, true, z, pixels, 16);
    else if (relu)
        tile_apply_block(y, NULL, a, b, true, z, pixels, 16);
    else
        tile_apply_block(y, residual, a, b, false, z, pixels, 16);
}

/* Mean and sum of squared deviations of channel c from its tiles. */
static void merge_moments(const struct onednn *d, const float *y, struct shape s, int c, double *ret_mean,
                          double *ret_m2)
{
    int block = d->block, blocks = channel_blocks(d, s.c), lane = c % block, pixels = s.h * s.w;
    double mean = 0, m2 = 0, count = 0;

    for (int n = 0; n < s.n; n++) {
        int64_t tile = (int64_t)n * blocks + c / block;
        const float *sums = d->partial + tile * TILE_PARTIAL;
        double shift = y[tile * pixels * block + lane];
        double s1 = sums[lane], s2 = sums[MAX_BLOCK + lane];
        double tile_mean = shift + s1 / pixels, tile_m2 = s2 - s1 * s1 / pixels;
        double delta = tile_mean - mean, total = count + pixels;
        mean += delta * pixels / total;
        m2 += tile_m2 + delta * delta * count * pixels / total;
        count = total;
    }
    *ret_mean = mean;
    *ret_m2 = m2 > 0 ? m2 : 0;
}

int onednn_bn_forward(struct device *dev, struct shape s, const void *y_memory, const float *gamma, const float *beta,
                      const void *residual, bool relu, void *z, float *mean, float *invstd, float *running_mean,
                      float *running_var, float momentum, float eps)
{
    struct onednn *d = onednn(dev);
    const float *y = y_memory;
    int block = d->block, blocks = channel_blocks(d, s.c), pixels = s.h * s.w;
    int64_t size = (int64_t)pixels * block, tiles = (int64_t)s.n * blocks, count = (int64_t)s.n * pixels;

    if (!onednn_partial(d, (size_t)tiles * TILE_PARTIAL + 2 * (size_t)blocks * block))
        return -ENOMEM;
    float *a = d->partial + tiles * TILE_PARTIAL, *b = a + (int64_t)blocks * block;
#pragma omp parallel for
    for (int64_t t = 0; t < tiles; t++)
        tile_moments(y + t * size, pixels, d->partial + t * TILE_PARTIAL, block);
#pragma omp parallel for
    for (int c = 0; c < blocks * block; c++) {
        a[c] = b[c] = 0; /* the lanes beyond C stay zero */
        if (c >= s.c)
            continue;
        double m, m2;
        merge_moments(d, y, s, c, &m, &m2);
        double inverse = 1 / sqrt(m2 / (double)count + eps);
        mean[c] = (float)m;
        invstd[c] = (float)inverse;
        a[c] = (float)(gamma[c] * inverse);
        b[c] = (float)(beta[c] - m * gamma[c] * inverse);
        if (momentum != 0) {
            double unbiased = m2 / (double)(count > 1 ? count - 1 : 1);
            running_mean[c] = (1 - momentum) * running_mean[c] + momentum * (float)m;
            running_var[c] = (1 - momentum) * running_var[c] + momentum * (float)unbiased;
        }
    }
#pragma omp parallel for
    for (int64_t t = 0; t < tiles; t++) {
        int64_t channel = t % blocks * block;
        tile_apply(y + t * size, residual ? (const float *)residual + t * size : NULL, a + channel, b + channel, relu,
                   (float *)z + t * size, pixels, block);
    }
    return 0;
}

/* ---- backward ---- */

struct tile_gradient {
    const float *a, *b, *z, *y; /* gradients, mask and input of the tile; b, z may be NULL */
    const float *mean;          /* of the block's lanes */
    float *g;                   /* where g goes, or NULL */
};

INLINE float masked(const struct tile_gradient *t, int64_t i, bool two, bool mask)
{
    float g = two ? t->a[i] + t->b[i] : t->a[i];

    return mask && !(t->z[i] > 0) ? 0 : g;
}

INLINE void tile_reduce_block(const struct tile_gradient *t, int pixels, float *sums, bool two, bool mask, int block)
{
    float s1[UNROLL][MAX_BLOCK] = { { 0 } }, s2[UNROLL][MAX_BLOCK] = { { 0 } };

    for (int p = 0; p < pixels; p++) {
        int u = p % UNROLL;
        for (int l = 0; l < block; l++) {
            int64_t i = (int64_t)p * block + l;
            float g = masked(t, i, two, mask);
            if (t->g)
                t->g[i] = g;
            s1[u][l] += g;
            s2[u][l] += g * (t->y[i] - t->mean[l]);
        }
    }
    for (int l = 0; l < block; l++) {
        sums[l] = (s1[0][l] + s1[1][l]) + (s1[2][l] + s1[3][l]);
        sums[MAX_BLOCK + l] = (s2[0][l] + s2[1][l]) + (s2[2][l] + s2[3][l]);
    }
}

CPU_CLONES static void tile_reduce(const struct tile_gradient *t, int pixels, float *sums, int block)
{
    bool two = t->b, mask = t->z;

    if (block != 16)
        tile_reduce_block(t, pixels, sums, two, mask, 8);
    else if (two && mask)
        tile_reduce_block(t, pixels, sums, true, true, 16);
    else if (mask)
        tile_reduce_block(t, pixels, sums, false, true, 16);
    else
        tile_reduce_block(t, pixels, sums, two, false, 16);
}

/* dy = k1*g + k2*y + k3 per lane. */
INLINE void tile_input_gradient_block(const struct tile_gradient *t, const float *k1, const float *k2, const float *k3,
                                      float *dy, int pixels, bool two, bool mask, int block)
{
    for (int p = 0; p < pixels; p++)
        for (int l = 0; l < block; l++) {
            int64_t i = (int64_t)p * block + l;
            dy[i] = k1[l] * masked(t, i, two, mask) + (k2[l] * t->y[i] + k3[l]);
        }
}

CPU_CLONES static void tile_input_gradient(const struct tile_gradient *t, const float *k1, const float *k2,
                                           const float *k3, float *dy, int pixels, int block)
{
    bool two = t->b, mask = t->z;

    if (block != 16)
        tile_input_gradient_block(t, k1, k2, k3, dy, pixels, two, mask, 8);
    else if (two && mask)
        tile_input_gradient_block(t, k1, k2, k3, dy, pixels, true, true, 16);
    else if (mask)
        tile_input_gradient_block(t, k1, k2, k3, dy, pixels, false, true, 16);
    else
        tile_input_gradient_block(t, k1, k2, k3, dy, pixels, two, false, 16);
}

int onednn_bn_backward(struct device *dev, struct shape s, const void *da, const void *db, const void *z, const void *y,
                       const float *gamma, const float *mean, const float *invstd, void *dy, void *dresidual,
                       float *dgamma, float *dbeta)
{
    struct onednn *d = onednn(dev);
    int block = d->block, blocks = channel_blocks(d, s.c), pixels = s.h * s.w, lanes = blocks * block;
    int64_t size = (int64_t)pixels * block, tiles = (int64_t)s.n * blocks, count = (int64_t)s.n * pixels;

    if (!onednn_partial(d, (size_t)tiles * TILE_PARTIAL + 4 * (size_t)lanes))
        return -ENOMEM;
    float *k1 = d->partial + tiles * TILE_PARTIAL, *k2 = k1 + lanes, *k3 = k2 + lanes, *center = k3 + lanes;
    for (int c = 0; c < lanes; c++)
        center[c] = c < s.c ? mean[c] : 0;
#define TILE(t) ((t)*size)
#pragma omp parallel for
    for (int64_t t = 0; t < tiles; t++) {
        struct tile_gradient tile = {
            (const float *)da + TILE(t),           db ? (const float *)db + TILE(t) : NULL,
            z ? (const float *)z + TILE(t) : NULL, (const float *)y + TILE(t),
            center + t % blocks * block,           dresidual ? (float *)dresidual + TILE(t) : NULL
        };
        tile_reduce(&tile, pixels, d->partial + t * TILE_PARTIAL, block);
    }
#pragma omp parallel for
    for (int c = 0; c < lanes; c++) {
        k1[c] = k2[c] = k3[c] = 0;
        if (c >= s.c)
            continue;
        double sum = 0, dot = 0;
        for (int n = 0; n < s.n; n++) {
            const float *sums = d->partial + ((int64_t)n * blocks + c / block) * TILE_PARTIAL;
            sum += sums[c % block];
            dot += sums[MAX_BLOCK + c % block];
        }
        double inverse = invstd[c], gain = gamma[c] * inverse;
        dbeta[c] = (float)sum;
        dgamma[c] = (float)(dot * inverse);
        k1[c] = (float)gain;
        k2[c] = (float)(-gain * inverse * inverse * dot / (double)count);
        k3[c] = (float)(-gain * sum / (double)count + gain * inverse * inverse * dot / (double)count * mean[c]);
    }
#pragma omp parallel for
    for (int64_t t = 0; t < tiles; t++) {
        int64_t channel = t % blocks * block;
        struct tile_gradient tile = { (const float *)da + TILE(t),
                                      db ? (const float *)db + TILE(t) : NULL,
                                      z ? (const float *)z + TILE(t) : NULL,
                                      (const float *)y + TILE(t),
                                      NULL,
                                      NULL };
        if (dresidual) /* g is there already */
            tile = (struct tile_gradient){ (const float *)dresidual + TILE(t), NULL, NULL,
                                           (const float *)y + TILE(t),         NULL, NULL };
        tile_input_gradient(&tile, k1 + channel, k2 + channel, k3 + channel, (float *)dy + TILE(t), pixels, block);
    }
#undef TILE
    return 0;
}

/* ---- frozen statistics ---- */

int onednn_bn_fold(struct device *dev, int c, const float *gamma, const float *beta, const float *mean,
                   const float *var, float eps, float *scale, float *bias)
{
    (void)dev;
    for (int i = 0; i < c; i++) {
        double gain = gamma[i] / sqrt((double)var[i] + eps);
        scale[i] = (float)gain;
        bias[i] = (float)(beta[i] - mean[i] * gain);
    }
    return 0;
}

int onednn_bn_unfold(struct device *dev, int o, int per_o, const float *w, const float *gamma, const float *mean,
                     const float *var, float eps, float *dw, const float *dbf, float *dgamma, float *dbeta)
{
    (void)dev;
#pragma omp parallel for
    for (int c = 0; c < o; c++) {
        double inverse = 1 / sqrt((double)var[c] + eps), dot = 0;
        float scale = (float)(gamma[c] * inverse);
        const float *wc = w + (int64_t)c * per_o;
        float *dwc = dw + (int64_t)c * per_o;
        for (int i = 0; i < per_o; i++) {
            dot += (double)wc[i] * dwc[i];
            dwc[i] *= scale;
        }
        if (dgamma)
            dgamma[c] = (float)(inverse * (dot - (double)mean[c] * dbf[c]));
        if (dbeta)
            dbeta[c] = dbf[c];
    }
    return 0;
}

/* ---- gradients between layers ---- */

CPU_CLONES static void mask_span(const float *a, const float *b, const float *y, float *g, int64_t count)
{
    if (b && y)
        for (int64_t i = 0; i < count; i++)
            g[i] = y[i] > 0 ? a[i] + b[i] : 0;
    else if (y)
        for (int64_t i = 0; i < count; i++)
            g[i] = y[i] > 0 ? a[i] : 0;
    else if (b)
        for (int64_t i = 0; i < count; i++)
            g[i] = a[i] + b[i];
    else if (g != a)
        memcpy(g, a, (size_t)count * sizeof(float));
}

int onednn_relu_backward(struct device *dev, struct shape s, const void *a, const void *b, const void *y, void *g)
{
    struct onednn *d = onednn(dev);
    int64_t row = activation_floats(d, (struct shape){ 1, s.c, s.h, s.w });

#pragma omp parallel for
    for (int n = 0; n < s.n; n++)
        mask_span((const float *)a + n * row, b ? (const float *)b + n * row : NULL,
                  y ? (const float *)y + n * row : NULL, (float *)g + n * row, row);
    return 0;
}

int onednn_channel_sum(struct device *dev, struct shape s, const void *g, float *sum)
{
    struct onednn *d = onednn(dev);
    int block = d->block, blocks = channel_blocks(d, s.c), pixels = s.h * s.w;

#pragma omp parallel for
    for (int c = 0; c < s.c; c++) {
        double total = 0;
        for (int n = 0; n < s.n; n++) {
            const float *tile = (const float *)g + ((int64_t)n * blocks + c / block) * pixels * block + c % block;
            for (int p = 0; p < pixels; p++)
                total += tile[(int64_t)p * block];
        }
        sum[c] = (float)total;
    }
    return 0;
}
