/* How are batches cut, attacks stepped and parameters moved on the CPU?
 *
 * Plain loops over plain arrays; one thread an example or a fixed-size piece,
 * so that the bits don't depend on the number of threads. */
#include "gpu/backend/onednn.h"
#include "gpu/backend/philox.h"

/* Coordinate of a padded image, mirrored at the edges without repeating the edge pixel. */
static int mirrored(int i, int size)
{
    if (i < 0)
        i = -i;
    return i >= size ? 2 * (size - 1) - i : i;
}

int onednn_load_batch(struct device *dev, int n, int c, int h, int w, const uint8_t *images, const struct crop *crops,
                      enum padding padding, float *x)
{
    float unit[256];

    (void)dev;
    for (int i = 0; i < 256; i++)
        unit[i] = (float)i / 255.0f;
#pragma omp parallel for
    for (int i = 0; i < n; i++)
        for (int row = 0; row < c * h; row++) {
            int from = row % h + crops[i].dy;
            bool outside = padding == PADDING_ZERO && (from < 0 || from >= h);
            const uint8_t *line =
                images + ((int64_t)crops[i].index * c + row / h) * h * w + (int64_t)mirrored(from, h) * w;
            float *to = x + ((int64_t)i * c * h + row) * w;
            for (int col = 0; col < w; col++) {
                int at = (crops[i].flip ? w - 1 - col : col) + crops[i].dx;
                bool zero = outside || (padding == PADDING_ZERO && (at < 0 || at >= w));
                to[col] = zero ? 0 : unit[line[mirrored(at, w)]];
            }
        }
    return 0;
}

int onednn_normalize(struct device *dev, struct shape s, const float *x, const double *mean, const double *std,
                     float *out)
{
    int64_t pixels = (int64_t)s.h * s.w;

    (void)dev;
#pragma omp parallel for
    for (int64_t i = 0; i < (int64_t)s.n * s.c; i++) {
        double m = mean[i % s.c], d = std[i % s.c];
        for (int64_t p = i * pixels; p < (i + 1) * pixels; p++)
            out[p] = (float)((x[p] - m) / d);
    }
    return 0;
}

int onednn_normalize_backward(struct device *dev, struct shape s, const float *gn, const double *std, float *gx)
{
    int64_t pixels = (int64_t)s.h * s.w;

    (void)dev;
#pragma omp parallel for
    for (int64_t i = 0; i < (int64_t)s.n * s.c; i++) {
        float d = (float)std[i % s.c];
        for (int64_t p = i * pixels; p < (i + 1) * pixels; p++)
            gx[p] = gn[p] / d;
    }
    return 0;
}

/* ---- PGD (Madry et al. 2018, l_inf) ---- */

static float clamp(float v, float low, float high)
{
    return v < low ? low : v > high ? high : v;
}

int onednn_pgd_start(struct device *dev, struct shape s, const float *x, float epsilon, struct random_key key,
                     const int64_t *id, float *x_adv)
{
    int64_t row = (int64_t)s.c * s.h * s.w;

    (void)dev;
#pragma omp parallel for
    for (int n = 0; n < s.n; n++)
        for (int64_t e = 0; e < row; e += 4) {
            struct philox random = philox(key.seed, key.purpose, key.epoch, (uint64_t)id[n], (uint32_t)(e / 4));
            for (int64_t k = e; k < e + 4 && k < row; k++) {
                float u = (2 * philox_unit(random.word[k - e]) - 1) * epsilon;
                x_adv[n * row + k] = clamp(x[n * row + k] + u, 0, 1);
            }
        }
    return 0;
}

int onednn_normal_start(struct device *dev, struct shape s, const float *x, float sigma, struct random_key key,
                        const int64_t *id, float *x_adv)
{
    int64_t row = (int64_t)s.c * s.h * s.w;

    (void)dev;
#pragma omp parallel for
    for (int n = 0; n < s.n; n++)
        for (int64_t e = 0; e < row; e += 4) {
            struct philox random = philox(key.seed, key.purpose, key.epoch, (uint64_t)id[n], (uint32_t)(e / 4));
            for (int64_t k = e; k < e + 4 && k < row; k++)
                x_adv[n * row + k] = x[n * row + k] + sigma * (float)philox_normal(random, (int)(k - e));
        }
    return 0;
}

CPU_CLONES static void step_span(const float *x, const float *g, float step, float epsilon, float *x_adv, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        float moved = g[i] > 0 ? x_adv[i] + step : g[i] < 0 ? x_adv[i] - step : x_adv[i];
        float delta = moved - x[i];
        delta = delta < -epsilon ? -epsilon : delta > epsilon ? epsilon : delta;
        float v = x[i] + delta;
        x_adv[i] = v < 0 ? 0 : v > 1 ? 1 : v;
    }
}

int onednn_pgd_step(struct device *dev, struct shape s, const float *x, const float *g, float step, float epsilon,
                    float *x_adv)
{
    int64_t row = (int64_t)s.c * s.h * s.w;

    (void)dev;
#pragma omp parallel for
    for (int n = 0; n < s.n; n++)
        step_span(x + n * row, g + n * row, step, epsilon, x_adv + n * row, row);
    return 0;
}

/* ---- vectors of parameters, in pieces of a fixed size ---- */

#define PIECE 4096

static int64_t piece_count(int64_t count)
{
    return (count + PIECE - 1) / PIECE;
}

static int64_t piece_size(int64_t count, int64_t piece)
{
    return count - piece * PIECE < PIECE ? count - piece * PIECE : PIECE;
}

CPU_CLONES static void sgd_span(float *theta, const float *g, float *v, float lr, float momentum, float wd,
                                int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        v[i] = momentum * v[i] + (g[i] + wd * theta[i]);
        theta[i] -= lr * v[i];
    }
}

int onednn_sgd_step(struct device *dev, int64_t count, float *theta, const float *g, float *v, float lr, float momentum,
                    float wd)
{
    (void)dev;
#pragma omp parallel for
    for (int64_t p = 0; p < piece_count(count); p++)
        sgd_span(theta + p * PIECE, g + p * PIECE, v + p * PIECE, lr, momentum, wd, piece_size(count, p));
    return 0;
}

int onednn_axpy(struct device *dev, int64_t count, float a, const float *x, float *y)
{
    (void)dev;
#pragma omp parallel for
    for (int64_t p = 0; p < piece_count(count); p++)
        for (int64_t i = p * PIECE; i < p * PIECE + piece_size(count, p); i++)
            y[i] += a * x[i];
    return 0;
}

int onednn_interpolate(struct device *dev, int64_t count, const float *a, const float *b, float alpha, float *out)
{
    (void)dev;
    if (alpha == 0 || alpha == 1) {
        memmove(out, alpha == 0 ? a : b, (size_t)count * sizeof(float));
        return 0;
    }
#pragma omp parallel for
    for (int64_t p = 0; p < piece_count(count); p++)
        for (int64_t i = p * PIECE; i < p * PIECE + piece_size(count, p); i++)
            out[i] = (1 - alpha) * a[i] + alpha * b[i];
    return 0;
}

int onednn_project(struct device *dev, int64_t count, const float *center, float factor, float *theta)
{
    (void)dev;
#pragma omp parallel for
    for (int64_t p = 0; p < piece_count(count); p++)
        for (int64_t i = p * PIECE; i < p * PIECE + piece_size(count, p); i++)
            theta[i] = center[i] + (theta[i] - center[i]) * factor;
    return 0;
}

int onednn_norm(struct device *dev, int64_t count, const float *a, const float *b, double *ret)
{
    struct onednn *d = onednn(dev);
    int64_t pieces = piece_count(count);
    double *sums = (double *)onednn_partial(d, (size_t)pieces * 2), total = 0;

    if (!sums)
        return -ENOMEM;
#pragma omp parallel for
    for (int64_t p = 0; p < pieces; p++) {
        double sum = 0;
        for (int64_t i = p * PIECE; i < p * PIECE + piece_size(count, p); i++) {
            double v = b ? (double)a[i] - b[i] : a[i];
            sum += v * v;
        }
        sums[p] = sum;
    }
    for (int64_t p = 0; p < pieces; p++)
        total += sums[p];
    *ret = sqrt(total);
    return 0;
}
