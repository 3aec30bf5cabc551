/* How does the gradient reach the pixels?
 *
 * oneDNN has no fast primitive for a plain NCHW result with 1 or 3 channels, so
 * the stem's gradient is our own loop:
 *
 *   dx[i][h][w] = sum over taps, o of dy[o][h'][w'] * w[o][i][tap],   h = h'*stride - pad + kh
 *
 * The idea: output channels are the lanes of a vector, a sum is kept for each of
 * the few image channels and each of some neighbouring columns (independent
 * sums don't wait for each other, and a weight is loaded once for all columns),
 * and only at the end are lanes added. Weights lie as [tap][i][o]. */
#include "gpu/backend/onednn.h"

enum { COLUMNS = 6, LANES = 16 };

typedef float floats __attribute__((vector_size(LANES * sizeof(float))));
typedef uint32_t words __attribute__((vector_size(LANES * sizeof(uint32_t))));
typedef uint16_t halves __attribute__((vector_size(LANES * sizeof(uint16_t))));

struct stem {
    const struct conv_geometry *g;
    struct shape out;
    int out_c, block; /* out_c: padded */
    const void *dy;   /* of one example */
    const float *w;
    float *dx;
};

/* Which row or column of dy meets tap k there, or -1. */
INLINE int meeting(int at, int pad, int k, int stride, int size)
{
    int i = at + pad - k;

    return i < 0 || i % stride || i / stride >= size ? -1 : i / stride;
}

INLINE float lanes_add(const float *lane, int block)
{
    float sum[MAX_BLOCK];

    memcpy(sum, lane, (size_t)block * sizeof(float));
    for (int width = block / 2; width > 0; width /= 2)
        for (int l = 0; l < width; l++)
            sum[l] += sum[l + width];
    return sum[0];
}

/* One column, whatever the stride and however many channels: edges, and all that is rare. */
INLINE void column_any(const struct stem *s, int row, int col, bool half, int block)
{
    int k = s->g->kernel, in_c = s->g->in.c, pad = s->g->pad, stride = s->g->stride;
    float sum[IMAGE_CHANNELS][MAX_BLOCK] = { 0 };

    for (int tap = 0; tap < k * k; tap++) {
        int oh = meeting(row, pad, tap / k, stride, s->out.h), ow = meeting(col, pad, tap % k, stride, s->out.w);
        for (int b = 0; oh >= 0 && ow >= 0 && b < s->out_c; b += block) {
            const float *u = s->w + (int64_t)tap * in_c * s->out_c + b;
            int64_t v = ((int64_t)b * s->out.h + (int64_t)oh * block) * s->out.w + (int64_t)ow * block;
            for (int i = 0; i < in_c; i++)
                for (int l = 0; l < block; l++)
                    sum[i][l] += cell_load(s->dy, v + l, half) * u[(int64_t)i * s->out_c + l];
        }
    }
    for (int i = 0; i < in_c; i++)
        s->dx[((int64_t)i * s->g->in.h + row) * s->g->in.w + col] = lanes_add(sum[i], block);
}

/* COLUMNS of them from `col` on, all of whose taps meet dy; stride 1, blocks of LANES. in_c is a constant,
 * so that the sums stay in registers. */
INLINE void columns_inner(const struct stem *s, int row, int col, int in_c, bool half)
{
    int k = s->g->kernel, pad = s->g->pad;
    floats sum[COLUMNS][IMAGE_CHANNELS] = { 0 };

    for (int kh = 0; kh < k; kh++) {
        int oh = meeting(row, pad, kh, 1, s->out.h);
        for (int kw = 0; oh >= 0 && kw < k; kw++)
            for (int b = 0; b < s->out_c; b += LANES) {
                const float *u = s->w + (int64_t)(kh * k + kw) * in_c * s->out_c + b;
                int64_t v =
                    ((int64_t)b * s->out.h + (int64_t)oh * LANES) * s->out.w + (int64_t)(col + pad - kw) * LANES;
                floats weight[IMAGE_CHANNELS];
                for (int i = 0; i < in_c; i++)
                    memcpy(&weight[i], u + (int64_t)i * s->out_c, sizeof(weight[i]));
                for (int n = 0; n < COLUMNS; n++) {
                    floats g;
                    if (half) {
                        halves h;
                        memcpy(&h, (const uint16_t *)s->dy + v + n * LANES, sizeof(h));
                        words wide = __builtin_convertvector(h, words) << 16;
                        memcpy(&g, &wide, sizeof(g));
                    } else {
                        memcpy(&g, (const float *)s->dy + v + n * LANES, sizeof(g));
                    }
                    for (int i = 0; i < in_c; i++)
                        sum[n][i] += g * weight[i];
                }
            }
    }
    for (int i = 0; i < in_c; i++)
        for (int n = 0; n < COLUMNS; n++) {
            float lane[LANES];
            memcpy(lane, &sum[n][i], sizeof(lane));
            s->dx[((int64_t)i * s->g->in.h + row) * s->g->in.w + col + n] = lanes_add(lane, LANES);
        }
}

INLINE void row_16(const struct stem *s, int row, int in_c, bool half)
{
    int edge = s->g->kernel - 1 - s->g->pad, col = 0; /* taps of columns edge.. reach into dy on both sides */

    edge = edge > s->g->pad ? edge : s->g->pad;
    for (; col < edge && col < s->g->in.w; col++)
        column_any(s, row, col, half, LANES);
    for (; col + COLUMNS <= s->g->in.w - edge; col += COLUMNS)
        columns_inner(s, row, col, in_c, half);
    for (; col < s->g->in.w; col++)
        column_any(s, row, col, half, LANES);
}

INLINE void row_any(const struct stem *s, int row, bool half, int block)
{
    for (int col = 0; col < s->g->in.w; col++)
        column_any(s, row, col, half, block);
}

CPU_CLONES static void row_gradient(const struct stem *s, int row, bool half)
{
    int in_c = s->g->in.c;

    if (s->block != LANES)
        row_any(s, row, false, 8);
    else if (s->g->stride == 1 && in_c == 3 && half)
        row_16(s, row, 3, true);
    else if (s->g->stride == 1 && in_c == 3)
        row_16(s, row, 3, false);
    else if (s->g->stride == 1 && in_c == 1 && half)
        row_16(s, row, 1, true);
    else if (s->g->stride == 1 && in_c == 1)
        row_16(s, row, 1, false);
    else
        row_any(s, row, half, LANES);
}

void onednn_image_gradient(const struct onednn *d, const struct conv_geometry *g, const void *dy, const float *w,
                           float *dx)
{
    struct shape out = conv_out(g);
    int out_c = channels_padded(d, out.c);

    assert(g->in.c <= IMAGE_CHANNELS);
#pragma omp parallel for collapse(2)
    for (int n = 0; n < g->in.n; n++)
        for (int row = 0; row < g->in.h; row++) {
            struct stem s = { g,
                              out,
                              out_c,
                              d->block,
                              cells_at(d, dy, (int64_t)n * out_c * out.h * out.w),
                              w,
                              dx + (int64_t)n * g->in.c * g->in.h * g->in.w };
            row_gradient(&s, row, d->half);
        }
}
