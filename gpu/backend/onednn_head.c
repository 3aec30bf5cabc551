/* How are pooling, the linear layer and the loss run on the CPU?
 *
 * They are small (N x 512 features, N x 10 logits), so they are written for
 * clarity. */
#include "gpu/backend/onednn.h"

#include <float.h>

int onednn_pool_forward(struct device *dev, struct shape s, int k, const void *x, float *f)
{
    struct onednn *d = onednn(dev);
    int block = d->block, blocks = channel_blocks(d, s.c), oh = s.h / k, ow = s.w / k;

#pragma omp parallel for
    for (int n = 0; n < s.n; n++)
        for (int c = 0; c < s.c; c++)
            for (int i = 0; i < oh * ow; i++) {
                int64_t tile = ((int64_t)n * blocks + c / block) * s.h * s.w * block + c % block;
                float sum = 0;
                for (int h = i / ow * k; h < i / ow * k + k; h++)
                    for (int w = i % ow * k; w < i % ow * k + k; w++)
                        sum += cell_load(x, tile + (int64_t)(h * s.w + w) * block, d->half);
                f[((int64_t)n * s.c + c) * oh * ow + i] = sum / (float)(k * k);
            }
    return 0;
}

int onednn_pool_backward(struct device *dev, struct shape s, int k, const float *df, void *dx)
{
    struct onednn *d = onednn(dev);
    int block = d->block, blocks = channel_blocks(d, s.c), oh = s.h / k, ow = s.w / k;

#pragma omp parallel for
    for (int n = 0; n < s.n; n++)
        for (int b = 0; b < blocks; b++) {
            int64_t tile = ((int64_t)n * blocks + b) * s.h * s.w * block;
            for (int h = 0; h < s.h; h++)
                for (int w = 0; w < s.w; w++)
                    for (int l = 0; l < block; l++) {
                        int c = b * block + l;
                        bool inside = c < s.c && h / k < oh && w / k < ow;
                        float v =
                            inside ? df[((int64_t)n * s.c + c) * oh * ow + h / k * ow + w / k] / (float)(k * k) : 0;
                        cell_store(dx, tile + (int64_t)(h * s.w + w) * block + l, v, d->half);
                    }
        }
    return 0;
}

/* ---- the linear layer ----
 * Small next to any convolution, so plain loops over rows: oneDNN's sgemm takes memory at each call, and its sums
 * depend on the number of threads. */

#define LANES 16

/* <a, b>, in LANES sums that are added at the end. */
CPU_CLONES static float dot_span(const float *a, const float *b, int count)
{
    float sum[LANES] = { 0 }, total = 0;
    int i = 0;

    for (; i + LANES <= count; i += LANES)
        for (int l = 0; l < LANES; l++)
            sum[l] += a[i + l] * b[i + l];
    for (; i < count; i++)
        sum[i % LANES] += a[i] * b[i];
    for (int l = 0; l < LANES; l++)
        total += sum[l];
    return total;
}

CPU_CLONES static void add_span(float by, const float *a, float *sum, int count)
{
    for (int i = 0; i < count; i++)
        sum[i] += by * a[i];
}

int onednn_linear_forward(struct device *dev, int n, int f_count, int k, const float *f, const float *w, const float *b,
                          float *z)
{
    (void)dev;
#pragma omp parallel for
    for (int i = 0; i < n; i++)
        for (int j = 0; j < k; j++)
            z[(int64_t)i * k + j] = dot_span(f + (int64_t)i * f_count, w + (int64_t)j * f_count, f_count) + b[j];
    return 0;
}

int onednn_linear_backward_data(struct device *dev, int n, int f_count, int k, const float *dz, const float *w,
                                float *df)
{
    (void)dev;
#pragma omp parallel for
    for (int i = 0; i < n; i++) {
        float *to = df + (int64_t)i * f_count;
        memset(to, 0, (size_t)f_count * sizeof(float));
        for (int j = 0; j < k; j++)
            add_span(dz[(int64_t)i * k + j], w + (int64_t)j * f_count, to, f_count);
    }
    return 0;
}

int onednn_linear_backward_weights(struct device *dev, int n, int f_count, int k, const float *dz, const float *f,
                                   float *dw, float *db)
{
    (void)dev;
#pragma omp parallel for
    for (int j = 0; j < k; j++) {
        float *to = dw + (int64_t)j * f_count;
        double sum = 0;
        memset(to, 0, (size_t)f_count * sizeof(float));
        for (int i = 0; i < n; i++) {
            add_span(dz[(int64_t)i * k + j], f + (int64_t)i * f_count, to, f_count);
            sum += dz[(int64_t)i * k + j];
        }
        if (db)
            db[j] = (float)sum;
    }
    return 0;
}

int onednn_cross_entropy(struct device *dev, int n, int k, const float *z, const int32_t *labels, float scale,
                         float *loss, int32_t *correct, float *dz)
{
    (void)dev;
#pragma omp parallel for
    for (int i = 0; i < n; i++) {
        const float *row = z + (int64_t)i * k;
        int best = 0;
        double sum = 0;
        for (int j = 1; j < k; j++)
            if (row[j] > row[best])
                best = j;
        for (int j = 0; j < k; j++)
            sum += exp((double)row[j] - row[best]);
        loss[i] = (float)(log(sum) + row[best] - row[labels[i]]);
        correct[i] = best == labels[i];
        for (int j = 0; dz && j < k; j++)
            dz[(int64_t)i * k + j] = (float)((exp((double)row[j] - row[best]) / sum - (j == labels[i])) * scale);
    }
    return 0;
}
