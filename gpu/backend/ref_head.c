/* The end of a network: average pooling, the linear layer, cross-entropy.
 * Features are flattened in C,H,W order, as PyTorch does. */
#include "gpu/backend/ref.h"

#include <assert.h>
#include <math.h>

/* Rows and columns beyond the last whole window belong to no window. */
int ref_pool_forward(struct device *dev, struct shape s, int k, const void *x, float *f)
{
    const float *in = x;
    int64_t out = 0;

    (void)dev;
    for (int n = 0; n < s.n; n++) {
        for (int c = 0; c < s.c; c++) {
            for (int oh = 0; oh < s.h / k; oh++) {
                for (int ow = 0; ow < s.w / k; ow++) {
                    double sum = 0;

                    for (int h = oh * k; h < (oh + 1) * k; h++)
                        for (int w = ow * k; w < (ow + 1) * k; w++)
                            sum += in[ref_at(s, n, c, h, w)];
                    f[out++] = (float)(sum / (k * k));
                }
            }
        }
    }
    return 0;
}

int ref_pool_backward(struct device *dev, struct shape s, int k, const float *df, void *dx)
{
    int rows = s.h / k, columns = s.w / k;

    (void)dev;
    for (int n = 0; n < s.n; n++) {
        for (int c = 0; c < s.c; c++) {
            const float *window = df + ((int64_t)n * s.c + c) * rows * columns;

            for (int h = 0; h < s.h; h++) {
                for (int w = 0; w < s.w; w++) {
                    bool inside = h / k < rows && w / k < columns;

                    ((float *)dx)[ref_at(s, n, c, h, w)] =
                        inside ? (float)((double)window[h / k * columns + w / k] / (k * k)) : 0.0f;
                }
            }
        }
    }
    return 0;
}

int ref_linear_forward(struct device *dev, int n, int f_count, int k, const float *f, const float *w, const float *b,
                       float *z)
{
    (void)dev;
    for (int i = 0; i < n; i++) {
        for (int o = 0; o < k; o++) {
            double sum = b[o];

            for (int j = 0; j < f_count; j++)
                sum += (double)f[(int64_t)i * f_count + j] * w[(int64_t)o * f_count + j];
            z[(int64_t)i * k + o] = (float)sum;
        }
    }
    return 0;
}

int ref_linear_backward_data(struct device *dev, int n, int f_count, int k, const float *dz, const float *w, float *df)
{
    (void)dev;
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < f_count; j++) {
            double sum = 0;

            for (int o = 0; o < k; o++)
                sum += (double)dz[(int64_t)i * k + o] * w[(int64_t)o * f_count + j];
            df[(int64_t)i * f_count + j] = (float)sum;
        }
    }
    return 0;
}

int ref_linear_backward_weights(struct device *dev, int n, int f_count, int k, const float *dz, const float *f,
                                float *dw, float *db)
{
    (void)dev;
    for (int o = 0; o < k; o++) {
        double column = 0;

        for (int j = 0; j < f_count; j++) {
            double sum = 0;

            for (int i = 0; i < n; i++)
                sum += (double)dz[(int64_t)i * k + o] * f[(int64_t)i * f_count + j];
            dw[(int64_t)o * f_count + j] = (float)sum;
        }
        for (int i = 0; i < n; i++)
            column += dz[(int64_t)i * k + o];
        if (db)
            db[o] = (float)column;
    }
    return 0;
}

int ref_cross_entropy(struct device *dev, int n, int k, const float *z, const int32_t *labels, float scale, float *loss,
                      int32_t *correct, float *dz)
{
    (void)dev;
    for (int i = 0; i < n; i++) {
        const float *row = z + (int64_t)i * k;
        int best = 0, label = labels[i];
        double sum = 0;

        assert(label >= 0 && label < k);
        for (int c = 1; c < k; c++)
            if (row[c] > row[best])
                best = c;
        for (int c = 0; c < k; c++)
            sum += exp((double)row[c] - row[best]); /* less the largest: never overflows */
        loss[i] = (float)(log(sum) + row[best] - row[label]);
        correct[i] = best == label;
        for (int c = 0; dz && c < k; c++)
            dz[(int64_t)i * k + c] = (float)((exp((double)row[c] - row[best]) / sum - (c == label)) * scale);
    }
    return 0;
}
