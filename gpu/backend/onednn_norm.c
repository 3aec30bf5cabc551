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
/* Inputs and output of a loop may be the same cells, but then each at its own index. */
#ifdef __clang__
#define SAME_CELL _Pragma("clang loop vectorize(assume_safety)")
#else
#define SAME_CELL _Pragma("GCC ivdep")
#endif

/* Sum of (y - shift) and of its square over a tile, per lane; shift is the tile's first pixel. */
INLINE void tile_moments_block(const void *y, int pixels, float *sums, bool half, int block)
{
    float s1[UNROLL][MAX_BLOCK] = { { 0 } }, s2[UNROLL][MAX_BLOCK] = { { 0 } }, shift[MAX_BLOCK];
    int p = 0;

    for (int l = 0; l < block; l++)
        shift[l] = cell_load(y, l, half);
    for (; p + UNROLL <= pixels; p += UNROLL)
        for (int u = 0; u < UNROLL; u++)
            for (int l = 0; l < block; l++) {
                float v = cell_load(y, (int64_t)(p + u) * block + l, half) - shift[l];
                s1[u][l] += v;
                s2[u][l] += v * v;
            }
    for (; p < pixels; p++)
        for (int l = 0; l < block; l++) {
            float v = cell_load(y, (int64_t)p * block + l, half) - shift[l];
            s1[0][l] += v;
            s2[0][l] += v * v;
        }
    for (int l = 0; l < block; l++) {
        sums[l] = (s1[0][l] + s1[1][l]) + (s1[2][l] + s1[3][l]);
        sums[MAX_BLOCK + l] = (s2[0][l] + s2[1][l]) + (s2[2][l] + s2[3][l]);
    }
}

CPU_CLONES static void tile_moments(const void *y, int pixels, float *sums, bool half, int block)
{
    if (block != 16)
        tile_moments_block(y, pixels, sums, false, 8);
    else if (half)
        tile_moments_block(y, pixels, sums, true, 16);
    else
        tile_moments_block(y, pixels, sums, false, 16);
}

INLINE void tile_apply_block(const void *y, const void *residual, const float *a, const float *b, bool relu, void *z,
                             int pixels, bool half, int block)
{
    float gain[MAX_BLOCK], offset[MAX_BLOCK]; /* copies: z can't alias them, so they stay in registers */

    memcpy(gain, a, (size_t)block * sizeof(float));
    memcpy(offset, b, (size_t)block * sizeof(float));
    for (int p = 0; p < pixels; p++)
        SAME_CELL
    for (int l = 0; l < block; l++) {
        int64_t i = (int64_t)p * block + l;
        float v = gain[l] * cell_load(y, i, half) + offset[l];
        if (residual)
            v += cell_load(residual, i, half);
        cell_store(z, i, relu && v <= 0 ? 0 : v, half); /* a NaN passes */
    }
}

/* The flags are constants in each call, so that the inner loop is straight vector code. */
INLINE void tile_apply_16(const void *y, const void *residual, const float *a, const float *b, bool relu, void *z,
                          int pixels, bool half)
{
    if (residual && relu)
        tile_apply_block(y, residual, a, b, true, z, pixels, half, 16);
    else if (relu)
        tile_apply_block(y, NULL, a, b, true, z, pixels, half, 16);
    else if (residual)
        tile_apply_block(y, residual, a, b, false, z, pixels, half, 16);
    else
        tile_apply_block(y, NULL, a, b, false, z, pixels, half, 16);
}

CPU_CLONES static void tile_apply(const void *y, const void *residual, const float *a, const float *b, bool relu,
                                  void *z, int pixels, bool half, int block)
{
    if (block != 16)
        tile_apply_block(y, residual, a, b, relu, z, pixels, false, 8);
    else if (half)
        tile_apply_16(y, residual, a, b, relu, z, pixels, true);
    else
        tile_apply_16(y, residual, a, b, relu, z, pixels, false);
}

/* Mean and sum of squared deviations of channel c from its tiles. */
static void merge_moments(const struct onednn *d, const void *y, struct shape s, int c, double *ret_mean,
                          double *ret_m2)
{
    int block = d->block, blocks = channel_blocks(d, s.c), lane = c % block, pixels = s.h * s.w;
    double mean = 0, m2 = 0, count = 0;

    for (int n = 0; n < s.n; n++) {
        int64_t tile = (int64_t)n * blocks + c / block;
        const float *sums = d->partial + tile * TILE_PARTIAL;
        double shift = cell_load(y, tile * pixels * block + lane, d->half);
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

int onednn_bn_forward(struct device *dev, struct shape s, const void *y, const float *gamma, const float *beta,
                      const void *residual, bool relu, void *z, float *mean, float *invstd, float *running_mean,
                      float *running_var, float momentum, float eps)
{
    struct onednn *d = onednn(dev);
    int block = d->block, blocks = channel_blocks(d, s.c), pixels = s.h * s.w;
    int64_t size = (int64_t)pixels * block, tiles = (int64_t)s.n * blocks, count = (int64_t)s.n * pixels;

    if (!onednn_partial(d, (size_t)tiles * TILE_PARTIAL + 2 * (size_t)blocks * block))
        return -ENOMEM;
    float *a = d->partial + tiles * TILE_PARTIAL, *b = a + (int64_t)blocks * block;
#pragma omp parallel for
    for (int64_t t = 0; t < tiles; t++)
        tile_moments(cells_at(d, y, t * size), pixels, d->partial + t * TILE_PARTIAL, d->half, block);
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
        tile_apply(cells_at(d, y, t * size), cells_at(d, residual, t * size), a + channel, b + channel, relu,
                   cells_into(d, z, t * size), pixels, d->half, block);
    }
    return 0;
}

/* ---- backward ---- */

struct tile_gradient {
    const void *a, *b, *z, *y; /* gradients, mask and input of the tile; b, z may be NULL */
    const float *mean;         /* of the block's lanes */
    void *g;                   /* where g goes, or NULL */
};

/* What a loop over a tile is specialised for. */
struct tile_kind {
    bool two, mask, half;
    int block;
    bool keep; /* g is written */
};

INLINE float masked(const struct tile_gradient *t, int64_t i, struct tile_kind kind)
{
    float g = cell_load(t->a, i, kind.half);

    if (kind.two)
        g += cell_load(t->b, i, kind.half);
    return kind.mask && !(cell_load(t->z, i, kind.half) > 0) ? 0 : g;
}

/* Pixel p of a tile into one of the sums. */
INLINE void reduce_pixel(const struct tile_gradient *t, int64_t p, const float *mean, float *s1, float *s2,
                         struct tile_kind kind)
{
    SAME_CELL
    for (int l = 0; l < kind.block; l++) {
        int64_t i = p * kind.block + l;
        float g = masked(t, i, kind);
        if (kind.keep)
            cell_store(t->g, i, g, kind.half);
        s1[l] += g;
        s2[l] += g * (cell_load(t->y, i, kind.half) - mean[l]);
    }
}

INLINE void tile_reduce_kind(const struct tile_gradient *tile, int pixels, float *sums, struct tile_kind kind)
{
    float s1[UNROLL][MAX_BLOCK] = { { 0 } }, s2[UNROLL][MAX_BLOCK] = { { 0 } }, mean[MAX_BLOCK];
    const struct tile_gradient t = *tile;
    int block = kind.block, p = 0;

    memcpy(mean, t.mean, (size_t)block * sizeof(float));
    for (; p + UNROLL <= pixels; p += UNROLL)
        for (int u = 0; u < UNROLL; u++)
            reduce_pixel(&t, p + u, mean, s1[u], s2[u], kind);
    for (; p < pixels; p++)
        reduce_pixel(&t, p, mean, s1[0], s2[0], kind);
    for (int l = 0; l < block; l++) {
        sums[l] = (s1[0][l] + s1[1][l]) + (s1[2][l] + s1[3][l]);
        sums[MAX_BLOCK + l] = (s2[0][l] + s2[1][l]) + (s2[2][l] + s2[3][l]);
    }
}

INLINE void tile_reduce_16(const struct tile_gradient *t, int pixels, float *sums, bool half, bool keep)
{
    if (t->b && t->z)
        tile_reduce_kind(t, pixels, sums, (struct tile_kind){ true, true, half, 16, keep });
    else if (t->z)
        tile_reduce_kind(t, pixels, sums, (struct tile_kind){ false, true, half, 16, keep });
    else if (t->b)
        tile_reduce_kind(t, pixels, sums, (struct tile_kind){ true, false, half, 16, keep });
    else
        tile_reduce_kind(t, pixels, sums, (struct tile_kind){ false, false, half, 16, keep });
}

CPU_CLONES static void tile_reduce(const struct tile_gradient *t, int pixels, float *sums, bool half, int block)
{
    if (block != 16)
        tile_reduce_kind(t, pixels, sums, (struct tile_kind){ t->b, t->z, false, 8, t->g });
    else if (half && t->g)
        tile_reduce_16(t, pixels, sums, true, true);
    else if (half)
        tile_reduce_16(t, pixels, sums, true, false);
    else if (t->g)
        tile_reduce_16(t, pixels, sums, false, true);
    else
        tile_reduce_16(t, pixels, sums, false, false);
}

/* dy = k1*g + k2*y + k3 per lane. */
struct lane_factors {
    const float *k1, *k2, *k3;
};

INLINE void tile_input_gradient_kind(const struct tile_gradient *tile, struct lane_factors k, void *dy, int pixels,
                                     struct tile_kind kind)
{
    const struct tile_gradient t = *tile;
    float k1[MAX_BLOCK], k2[MAX_BLOCK], k3[MAX_BLOCK];
    int block = kind.block;

    memcpy(k1, k.k1, (size_t)block * sizeof(float));
    memcpy(k2, k.k2, (size_t)block * sizeof(float));
    memcpy(k3, k.k3, (size_t)block * sizeof(float));
    for (int p = 0; p < pixels; p++)
        SAME_CELL
    for (int l = 0; l < block; l++) {
        int64_t i = (int64_t)p * block + l;
        float y = cell_load(t.y, i, kind.half);
        cell_store(dy, i, k1[l] * masked(&t, i, kind) + (k2[l] * y + k3[l]), kind.half);
    }
}

INLINE void tile_input_gradient_16(const struct tile_gradient *t, struct lane_factors k, void *dy, int pixels,
                                   bool half)
{
    if (t->b && t->z)
        tile_input_gradient_kind(t, k, dy, pixels, (struct tile_kind){ true, true, half, 16 });
    else if (t->z)
        tile_input_gradient_kind(t, k, dy, pixels, (struct tile_kind){ false, true, half, 16 });
    else if (t->b)
        tile_input_gradient_kind(t, k, dy, pixels, (struct tile_kind){ true, false, half, 16 });
    else
        tile_input_gradient_kind(t, k, dy, pixels, (struct tile_kind){ false, false, half, 16 });
}

CPU_CLONES static void tile_input_gradient(const struct tile_gradient *t, struct lane_factors k, void *dy, int pixels,
                                           bool half, int block)
{
    if (block != 16)
        tile_input_gradient_kind(t, k, dy, pixels, (struct tile_kind){ t->b, t->z, false, 8 });
    else if (half)
        tile_input_gradient_16(t, k, dy, pixels, true);
    else
        tile_input_gradient_16(t, k, dy, pixels, false);
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
#pragma omp parallel for
    for (int64_t t = 0; t < tiles; t++) {
        int64_t at = t * size;
        struct tile_gradient tile = { cells_at(d, da, at), cells_at(d, db, at),         cells_at(d, z, at),
                                      cells_at(d, y, at),  center + t % blocks * block, cells_into(d, dresidual, at) };
        tile_reduce(&tile, pixels, d->partial + t * TILE_PARTIAL, d->half, block);
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
        int64_t at = t * size;
        struct tile_gradient tile = {
            cells_at(d, da, at), cells_at(d, db, at), cells_at(d, z, at), cells_at(d, y, at), NULL, NULL
        };
        if (dresidual) /* g is there already */
            tile = (struct tile_gradient){ cells_at(d, dresidual, at), NULL, NULL, cells_at(d, y, at), NULL, NULL };
        tile_input_gradient(&tile, (struct lane_factors){ k1 + channel, k2 + channel, k3 + channel },
                            cells_into(d, dy, at), pixels, d->half, block);
    }
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

INLINE void mask_span_kind(const void *a, const void *b, const void *y, void *g, int64_t count, bool half)
{
    SAME_CELL
    for (int64_t i = 0; i < count; i++) {
        float v = cell_load(a, i, half);
        if (b)
            v += cell_load(b, i, half);
        if (y)
            v = cell_load(y, i, half) > 0 ? v : 0;
        cell_store(g, i, v, half);
    }
}

INLINE void mask_span_cells(const void *a, const void *b, const void *y, void *g, int64_t count, bool half)
{
    if (b && y)
        mask_span_kind(a, b, y, g, count, half);
    else if (y)
        mask_span_kind(a, NULL, y, g, count, half);
    else if (b)
        mask_span_kind(a, b, NULL, g, count, half);
    else if (g != a)
        memcpy(g, a, (size_t)count * (half ? sizeof(uint16_t) : sizeof(float)));
}

CPU_CLONES static void mask_span(const void *a, const void *b, const void *y, void *g, int64_t count, bool half)
{
    if (half)
        mask_span_cells(a, b, y, g, count, true);
    else
        mask_span_cells(a, b, y, g, count, false);
}

int onednn_relu_backward(struct device *dev, struct shape s, const void *a, const void *b, const void *y, void *g)
{
    struct onednn *d = onednn(dev);
    int64_t row = activation_cells(d, (struct shape){ 1, s.c, s.h, s.w });

#pragma omp parallel for
    for (int n = 0; n < s.n; n++)
        mask_span(cells_at(d, a, n * row), cells_at(d, b, n * row), cells_at(d, y, n * row), cells_into(d, g, n * row),
                  row, d->half);
    return 0;
}

INLINE void tile_sum_block(const void *g, int pixels, float *sums, bool half, int block)
{
    float sum[UNROLL][MAX_BLOCK] = { { 0 } };

    for (int p = 0; p < pixels; p++)
        for (int l = 0; l < block; l++)
            sum[p % UNROLL][l] += cell_load(g, (int64_t)p * block + l, half);
    for (int l = 0; l < block; l++)
        sums[l] = (sum[0][l] + sum[1][l]) + (sum[2][l] + sum[3][l]);
}

CPU_CLONES static void tile_sum(const void *g, int pixels, float *sums, bool half, int block)
{
    if (block != 16)
        tile_sum_block(g, pixels, sums, false, 8);
    else if (half)
        tile_sum_block(g, pixels, sums, true, 16);
    else
        tile_sum_block(g, pixels, sums, false, 16);
}

int onednn_channel_sum(struct device *dev, struct shape s, const void *g, float *sum)
{
    struct onednn *d = onednn(dev);
    int block = d->block, blocks = channel_blocks(d, s.c), pixels = s.h * s.w;
    int64_t tiles = (int64_t)s.n * blocks;

    if (!onednn_partial(d, (size_t)tiles * TILE_PARTIAL))
        return -ENOMEM;
#pragma omp parallel for
    for (int64_t t = 0; t < tiles; t++)
        tile_sum(cells_at(d, g, t * pixels * block), pixels, d->partial + t * TILE_PARTIAL, d->half, block);
    for (int c = 0; c < s.c; c++) {
        double total = 0;
        for (int n = 0; n < s.n; n++)
            total += d->partial[((int64_t)n * blocks + c / block) * TILE_PARTIAL + c % block];
        sum[c] = (float)total;
    }
    return 0;
}
