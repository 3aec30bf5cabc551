/* How does frozen batch norm run where no convolution can take it in?
 *
 * An affine map a channel with its ReLU, one pass forward and one backward:
 * unlike batch statistics, frozen ones don't depend on the tensor, so the sums
 * for gamma and beta come along with the gradient of the input.
 *
 * A tile is one channel block of one example, [pixels][block]. Sums are kept a
 * tile and merged in order, so the bits don't depend on the number of threads. */
#include "gpu/backend/onednn.h"

/* Floats of partial sums a tile: sum g and sum g*(y-mean) per lane. */
#define TILE_PARTIAL (2 * MAX_BLOCK)
/* Inputs and output of a loop may be the same cells, but then each at its own index. */
#ifdef __clang__
#define SAME_CELL _Pragma("clang loop vectorize(assume_safety)")
#else
#define SAME_CELL _Pragma("GCC ivdep")
#endif

/* Numbers of the channels of one block; lanes beyond C stay 0. */
static void lanes_take(const float *from, int first, int count, float to[MAX_BLOCK])
{
    for (int l = 0; l < MAX_BLOCK; l++)
        to[l] = from && first + l < count ? from[first + l] : 0;
}

struct lane_map {
    float gain[MAX_BLOCK], offset[MAX_BLOCK];
};

INLINE void tile_map_kind(const void *y, const struct lane_map *lanes, bool relu, void *z, int pixels, bool half,
                          int block)
{
    const struct lane_map map = *lanes; /* a copy: z can't alias it, so it stays in registers */

    for (int p = 0; p < pixels; p++)
        SAME_CELL
    for (int l = 0; l < block; l++) {
        int64_t i = (int64_t)p * block + l;
        float v = map.gain[l] * cell_load(y, i, half) + map.offset[l];

        cell_store(z, i, relu && v <= 0 ? 0 : v, half); /* a NaN passes */
    }
}

/* The flags are constants in each call, so that the inner loop is straight vector code. */
INLINE void tile_map_16(const void *y, const struct lane_map *map, bool relu, void *z, int pixels, bool half)
{
    if (relu)
        tile_map_kind(y, map, true, z, pixels, half, 16);
    else
        tile_map_kind(y, map, false, z, pixels, half, 16);
}

CPU_CLONES static void tile_map(const void *y, const struct lane_map *map, bool relu, void *z, int pixels, bool half,
                                int block)
{
    if (block != 16)
        tile_map_kind(y, map, relu, z, pixels, false, 8);
    else if (half)
        tile_map_16(y, map, relu, z, pixels, true);
    else
        tile_map_16(y, map, relu, z, pixels, false);
}

int onednn_affine_forward(struct device *dev, struct shape s, const void *y, const float *scale, const float *shift,
                          bool relu, void *z)
{
    struct onednn *d = onednn(dev);
    int block = d->block, blocks = channel_blocks(d, s.c), pixels = s.h * s.w;
    int64_t size = (int64_t)pixels * block, tiles = (int64_t)s.n * blocks;

#pragma omp parallel for
    for (int64_t t = 0; t < tiles; t++) {
        int first = (int)(t % blocks) * block;
        struct lane_map map;

        lanes_take(scale, first, s.c, map.gain);
        lanes_take(shift, first, s.c, map.offset);
        tile_map(cells_at(d, y, t * size), &map, relu, cells_into(d, z, t * size), pixels, d->half, block);
    }
    return 0;
}

/* ---- backward ---- */

struct tile {
    const void *a, *b, *z, *y; /* gradients, mask and input of the tile; b, z may be NULL */
    float gain[MAX_BLOCK], mean[MAX_BLOCK];
    void *dy;    /* or NULL */
    float *sums; /* [TILE_PARTIAL], or NULL: y isn't read */
};

/* What a loop over a tile is specialised for. */
struct tile_kind {
    bool two, mask, sums, half;
    int block;
};

INLINE void tile_back_kind(const struct tile *tile, int pixels, struct tile_kind kind)
{
    float s1[MAX_BLOCK] = { 0 }, s2[MAX_BLOCK] = { 0 };
    const struct tile t = *tile;

    for (int p = 0; p < pixels; p++)
        SAME_CELL
    for (int l = 0; l < kind.block; l++) {
        int64_t i = (int64_t)p * kind.block + l;
        float g = cell_load(t.a, i, kind.half);

        if (kind.two)
            g += cell_load(t.b, i, kind.half);
        g = kind.mask && !(cell_load(t.z, i, kind.half) > 0) ? 0 : g;
        if (kind.sums) {
            s1[l] += g;
            s2[l] += g * (cell_load(t.y, i, kind.half) - t.mean[l]);
        }
        if (t.dy)
            cell_store(t.dy, i, t.gain[l] * g, kind.half);
    }
    for (int l = 0; kind.sums && l < kind.block; l++) {
        t.sums[l] = s1[l];
        t.sums[MAX_BLOCK + l] = s2[l];
    }
}

INLINE void tile_back_16(const struct tile *t, int pixels, bool half)
{
    if (t->b && t->z && !t->sums)
        tile_back_kind(t, pixels, (struct tile_kind){ true, true, false, half, 16 });
    else if (t->z && !t->sums)
        tile_back_kind(t, pixels, (struct tile_kind){ false, true, false, half, 16 });
    else if (t->b && t->z)
        tile_back_kind(t, pixels, (struct tile_kind){ true, true, true, half, 16 });
    else if (t->z)
        tile_back_kind(t, pixels, (struct tile_kind){ false, true, true, half, 16 });
    else /* without ReLU: in no network of ours, so without its own loops */
        tile_back_kind(t, pixels, (struct tile_kind){ t->b, false, t->sums, half, 16 });
}

CPU_CLONES static void tile_back(const struct tile *t, int pixels, bool half, int block)
{
    if (block != 16)
        tile_back_kind(t, pixels, (struct tile_kind){ t->b, t->z, t->sums, false, 8 });
    else if (half)
        tile_back_16(t, pixels, true);
    else
        tile_back_16(t, pixels, false);
}

int onednn_affine_backward(struct device *dev, struct shape s, const void *da, const void *db, const void *z,
                           const void *y, const float *scale, const float *mean, const float *var, float eps, void *dy,
                           float *dgamma, float *dbeta)
{
    struct onednn *d = onednn(dev);
    int block = d->block, blocks = channel_blocks(d, s.c), pixels = s.h * s.w;
    int64_t size = (int64_t)pixels * block, tiles = (int64_t)s.n * blocks;

    if (dgamma && !onednn_partial(d, (size_t)tiles * TILE_PARTIAL))
        return -ENOMEM;
#pragma omp parallel for
    for (int64_t t = 0; t < tiles; t++) {
        int first = (int)(t % blocks) * block;
        int64_t at = t * size;
        struct tile tile = { .a = cells_at(d, da, at),
                             .b = cells_at(d, db, at),
                             .z = cells_at(d, z, at),
                             .y = cells_at(d, y, at),
                             .dy = cells_into(d, dy, at),
                             .sums = dgamma ? d->partial + t * TILE_PARTIAL : NULL };

        lanes_take(scale, first, s.c, tile.gain);
        lanes_take(dgamma ? mean : NULL, first, s.c, tile.mean);
        tile_back(&tile, pixels, d->half, block);
    }
    for (int c = 0; dgamma && c < s.c; c++) {
        double sum = 0, dot = 0;

        for (int n = 0; n < s.n; n++) {
            const float *sums = d->partial + ((int64_t)n * blocks + c / block) * TILE_PARTIAL;
            sum += sums[c % block];
            dot += sums[MAX_BLOCK + c % block];
        }
        dgamma[c] = (float)(dot / sqrt((double)var[c] + eps));
        dbeta[c] = (float)sum;
    }
    return 0;
}
