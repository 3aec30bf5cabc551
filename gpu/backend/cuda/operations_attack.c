/* The seam's operations of APGD, FAB and Square. Their host arrays (steps, ids,
 * rows) are staged as many examples at a time as a stage holds; a batch is far
 * smaller, so as a rule that is one piece. */
#include "gpu/backend/cuda/device_attack.h"
#include "gpu/backend/cuda/kernels_attack.h"

#include <assert.h>
#include <string.h>

static_assert((int)MARGIN_PLAIN == (int)ROW_MARGIN_PLAIN && (int)MARGIN_DLR == (int)ROW_MARGIN_DLR &&
                  (int)MARGIN_DLR_TARGETED == (int)ROW_MARGIN_DLR_TARGETED,
              "the margins of margin_loss");

int cuda_margin_loss(struct device *dev, enum margin margin, int n, int k, const float *z, const int32_t *labels,
                     const int32_t *targets, float scale, float *loss, int32_t *correct, float *dz)
{
    struct cuda_device *d = cuda(dev);
    struct margin_logits l = { z, labels, targets, scale, loss, correct, dz };

    assert(k >= (margin == MARGIN_PLAIN ? 2 : margin == MARGIN_DLR ? 3 : 4));
    return cuda_result(d, kernel_margin_loss(d->stream, (int)margin, n, k, &l), "margin_loss");
}

/* Examples of a batch that are done at once, and how many were done before. */
struct piece {
    int first;
    struct extent s;
    int64_t offset; /* floats before it */
};

static struct piece piece_of(struct shape s, int first, size_t bytes_each)
{
    int most = (int)(STAGE_BYTES / bytes_each), left = s.n - first;

    return (struct piece){ first, { left < most ? left : most, s.c, s.h, s.w }, (int64_t)first * s.c * s.h * s.w };
}

/* ---- rows ---- */

int cuda_copy_rows(struct device *dev, void *to, const void *from, size_t row_bytes, const int32_t *to_row,
                   const int32_t *from_row, int n)
{
    struct cuda_device *d = cuda(dev);
    enum { MOST = 4096 };
    int32_t both[2 * MOST];
    int r = 0;

    for (int first = 0, rows; first < n && r == 0; first += rows) {
        const void *staged;

        rows = n - first < MOST ? n - first : MOST;
        memcpy(both, to_row + first, (size_t)rows * sizeof(*both));
        memcpy(both + rows, from_row + first, (size_t)rows * sizeof(*both));
        r = stage_write(d, both, 2 * (size_t)rows * sizeof(*both), &staged);
        if (r == 0)
            r = cuda_result(d, kernel_copy_rows(d->stream, to, from, row_bytes, staged, rows), "copy_rows");
        if (r == 0)
            r = stage_used(d);
    }
    return r;
}

/* The card's side of a stage takes the results. */
int cuda_row_distance(struct device *dev, struct shape s, const float *a, const float *b, float *distance)
{
    struct cuda_device *d = cuda(dev);
    struct stage *stage = &d->stages[d->next_stage];
    int r = 0;

    assert(!d->recording);
    for (struct piece p = piece_of(s, 0, sizeof(*distance)); p.s.n > 0 && r == 0;
         p = piece_of(s, p.first + p.s.n, sizeof(*distance))) {
        r = cuda_result(d,
                        kernel_row_distance(d->stream, p.s, a + p.offset, b ? b + p.offset : NULL, stage->device),
                        "row_distance");
        if (r == 0)
            r = cuda_read(dev, distance + p.first, stage->device, (size_t)p.s.n * sizeof(*distance));
    }
    return r;
}

/* ---- APGD ---- */

int cuda_apgd_start(struct device *dev, struct shape s, const float *x, float epsilon, struct random_key key,
                    const int64_t *id, float *x_adv)
{
    struct cuda_device *d = cuda(dev);
    struct start_key words = { key.seed, key.purpose, key.epoch };
    int r = 0;

    for (struct piece p = piece_of(s, 0, sizeof(*id)); p.s.n > 0 && r == 0; p = piece_of(s, p.first + p.s.n, sizeof(*id))) {
        const void *staged;

        r = stage_write(d, id + p.first, (size_t)p.s.n * sizeof(*id), &staged);
        if (r == 0)
            r = cuda_result(
                d, kernel_apgd_start(d->stream, p.s, x + p.offset, epsilon, words, staged, x_adv + p.offset),
                "apgd_start");
        if (r == 0)
            r = stage_used(d);
    }
    return r;
}

int cuda_apgd_step(struct device *dev, struct shape s, const float *x, const float *g, const float *now,
                   const float *step, float a, float epsilon, float *old)
{
    struct cuda_device *d = cuda(dev);
    int r = 0;

    for (struct piece p = piece_of(s, 0, sizeof(*step)); p.s.n > 0 && r == 0;
         p = piece_of(s, p.first + p.s.n, sizeof(*step))) {
        const void *staged;

        r = stage_write(d, step + p.first, (size_t)p.s.n * sizeof(*step), &staged);
        if (r == 0)
            r = cuda_result(d,
                            kernel_apgd_step(d->stream, p.s, x + p.offset, g + p.offset, now + p.offset, staged, a,
                                             epsilon, old + p.offset),
                            "apgd_step");
        if (r == 0)
            r = stage_used(d);
    }
    return r;
}

/* ---- FAB ---- */

int cuda_fab_step(struct device *dev, struct shape s, const float *x, const float *g, const float *f, float eta,
                  float most, float *x1)
{
    struct cuda_device *d = cuda(dev);
    int r = 0;

    for (struct piece p = piece_of(s, 0, sizeof(*f)); p.s.n > 0 && r == 0; p = piece_of(s, p.first + p.s.n, sizeof(*f))) {
        const void *staged;

        r = stage_write(d, f + p.first, (size_t)p.s.n * sizeof(*f), &staged);
        if (r == 0)
            r = cuda_result(
                d, kernel_fab_step(d->stream, p.s, x + p.offset, g + p.offset, staged, eta, most, x1 + p.offset),
                "fab_step");
        if (r == 0)
            r = stage_used(d);
    }
    return r;
}

int cuda_fab_back(struct device *dev, struct shape s, const float *x, float beta, const int32_t *rows, int count,
                  float *x1)
{
    struct cuda_device *d = cuda(dev);
    const int most = STAGE_BYTES / (int)sizeof(*rows);
    int r = 0;

    for (int first = 0; first < count && r == 0; first += most) {
        int now = count - first < most ? count - first : most;
        const void *staged;

        r = stage_write(d, rows + first, (size_t)now * sizeof(*rows), &staged);
        if (r == 0)
            r = cuda_result(d, kernel_fab_back(d->stream, extent_of(s), x, beta, staged, now, x1), "fab_back");
        if (r == 0)
            r = stage_used(d);
    }
    return r;
}

/* ---- Square ---- */

int cuda_square_start(struct device *dev, struct shape s, const float *x, float epsilon, struct random_key key,
                      const int64_t *id, float *x_adv)
{
    struct cuda_device *d = cuda(dev);
    struct start_key words = { key.seed, key.purpose, key.epoch };
    int r = 0;

    for (struct piece p = piece_of(s, 0, sizeof(*id)); p.s.n > 0 && r == 0; p = piece_of(s, p.first + p.s.n, sizeof(*id))) {
        const void *staged;

        r = stage_write(d, id + p.first, (size_t)p.s.n * sizeof(*id), &staged);
        if (r == 0)
            r = cuda_result(
                d, kernel_square_start(d->stream, p.s, x + p.offset, epsilon, words, staged, x_adv + p.offset),
                "square_start");
        if (r == 0)
            r = stage_used(d);
    }
    return r;
}

int cuda_square_step(struct device *dev, struct shape s, const float *x, const float *best, float epsilon,
                     struct random_key key, const int64_t *id, uint32_t query, int side, float *x_adv)
{
    struct cuda_device *d = cuda(dev);
    struct start_key words = { key.seed, key.purpose, key.epoch };
    int r = 0;

    for (struct piece p = piece_of(s, 0, sizeof(*id)); p.s.n > 0 && r == 0; p = piece_of(s, p.first + p.s.n, sizeof(*id))) {
        const void *staged;

        r = stage_write(d, id + p.first, (size_t)p.s.n * sizeof(*id), &staged);
        if (r == 0)
            r = cuda_result(d,
                            kernel_square_step(d->stream, p.s, x + p.offset, best + p.offset, epsilon, words, staged,
                                               query, side, x_adv + p.offset),
                            "square_step");
        if (r == 0)
            r = stage_used(d);
    }
    return r;
}
