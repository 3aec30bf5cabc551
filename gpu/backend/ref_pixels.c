/* Pixels: cutting a batch out of stored images, normalising, and the two
 * halves of PGD. All plain NCHW.
 *
 * Surprising: cutting and PGD are in float, one rounding an operation, not in
 * double: an attack is a chain of signs and clamps, and two backends follow the
 * same path only if each pixel is the same bits. */
#include "gpu/backend/ref.h"

#include "gpu/backend/philox.h"

#include <assert.h>

/* Where a window that reaches over the edge reads: the mirror image without
 * the edge pixel, or nowhere (-1) for zeros. */
static int source(int at, int size, enum padding padding)
{
    if (at >= 0 && at < size)
        return at;
    if (padding == PADDING_ZERO)
        return -1;
    int mirrored = at < 0 ? -at : 2 * (size - 1) - at;
    assert(mirrored >= 0 && mirrored < size);
    return mirrored;
}

int ref_load_batch(struct device *dev, int n, int c, int h, int w, const uint8_t *images, const struct crop *crops,
                   enum padding padding, float *x)
{
    struct shape s = { n, c, h, w };

    (void)dev;
    for (int i = 0; i < n; i++) {
        for (int channel = 0; channel < c; channel++) {
            for (int row = 0; row < h; row++) {
                for (int column = 0; column < w; column++) {
                    int from_h = source(row + crops[i].dy, h, padding);
                    int from_w = source((crops[i].flip ? w - 1 - column : column) + crops[i].dx, w, padding);
                    uint8_t pixel =
                        from_h < 0 || from_w < 0 ? 0 : images[ref_at(s, crops[i].index, channel, from_h, from_w)];

                    x[ref_at(s, i, channel, row, column)] = (float)pixel / 255.0f;
                }
            }
        }
    }
    return 0;
}

int ref_normalize(struct device *dev, struct shape s, const float *x, const double *mean, const double *std, float *out)
{
    (void)dev;
    for (int64_t at = 0; at < shape_count(s); at++) {
        int c = (int)(at / (s.h * s.w) % s.c);

        out[at] = (float)((x[at] - mean[c]) / std[c]);
    }
    return 0;
}

int ref_normalize_backward(struct device *dev, struct shape s, const float *gn, const double *std, float *gx)
{
    (void)dev;
    for (int64_t at = 0; at < shape_count(s); at++)
        gx[at] = (float)(gn[at] / std[at / (s.h * s.w) % s.c]);
    return 0;
}

int ref_pgd_start(struct device *dev, struct shape s, const float *x, float epsilon, struct random_key key,
                  const int64_t *id, float *x_adv)
{
    int64_t per_example = (int64_t)s.c * s.h * s.w;

    (void)dev;
    for (int i = 0; i < s.n; i++) {
        for (int64_t e = 0; e < per_example; e++) {
            struct philox four = philox(key.seed, key.purpose, key.epoch, (uint64_t)id[i], (uint32_t)(e / 4));
            float u = (2.0f * philox_unit(four.word[e % 4]) - 1.0f) * epsilon;
            int64_t at = i * per_example + e;

            x_adv[at] = ref_clamp(x[at] + u, 0.0f, 1.0f);
        }
    }
    return 0;
}

int ref_normal_start(struct device *dev, struct shape s, const float *x, float sigma, struct random_key key,
                     const int64_t *id, float *x_adv)
{
    int64_t per_example = (int64_t)s.c * s.h * s.w;

    (void)dev;
    for (int i = 0; i < s.n; i++) {
        for (int64_t e = 0; e < per_example; e++) {
            struct philox four = philox(key.seed, key.purpose, key.epoch, (uint64_t)id[i], (uint32_t)(e / 4));
            int64_t at = i * per_example + e;

            x_adv[at] = x[at] + sigma * (float)philox_normal(four, (int)(e % 4));
        }
    }
    return 0;
}

int ref_pgd_step(struct device *dev, struct shape s, const float *x, const float *g, float step, float epsilon,
                 float *x_adv)
{
    (void)dev;
    for (int64_t at = 0; at < shape_count(s); at++) {
        float sign = (float)((g[at] > 0) - (g[at] < 0));
        float delta = ref_clamp(x_adv[at] + step * sign - x[at], -epsilon, epsilon);

        x_adv[at] = ref_clamp(x[at] + delta, 0.0f, 1.0f);
    }
    return 0;
}
