/* How are pooling, the linear layer and the loss run on the CPU?
 *
 * They are small (N x 512 features, N x 10 logits), so they are written for
 * clarity; the two matrix products go to oneDNN's sgemm. */
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

static int gemm(struct device *dev, char ta, char tb, int m, int n, int k, const float *a, int lda, const float *b,
                int ldb, float *c)
{
    dnnl_status_t status = dnnl_sgemm(ta, tb, m, n, k, 1.0f, a, lda, b, ldb, 0.0f, c, n);

    if (status == dnnl_success)
        return 0;
    snprintf(dev->message, sizeof(dev->message), "oneDNN sgemm: status %d", status);
    return -EIO;
}

int onednn_linear_forward(struct device *dev, int n, int f_count, int k, const float *f, const float *w, const float *b,
                          float *z)
{
    int r = gemm(dev, 'N', 'T', n, k, f_count, f, f_count, w, f_count, z);

    for (int64_t i = 0; r == 0 && i < (int64_t)n * k; i++)
        z[i] += b[i % k];
    return r;
}

int onednn_linear_backward_data(struct device *dev, int n, int f_count, int k, const float *dz, const float *w,
                                float *df)
{
    return gemm(dev, 'N', 'N', n, f_count, k, dz, k, w, f_count, df);
}

int onednn_linear_backward_weights(struct device *dev, int n, int f_count, int k, const float *dz, const float *f,
                                   float *dw, float *db)
{
    int r = gemm(dev, 'T', 'N', k, f_count, n, dz, k, f, f_count, dw);

    for (int j = 0; r == 0 && db && j < k; j++) {
        double sum = 0;
        for (int i = 0; i < n; i++)
            sum += dz[(int64_t)i * k + j];
        db[j] = (float)sum;
    }
    return r;
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
