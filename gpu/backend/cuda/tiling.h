/* Which thread works on which pixels and channels of an activation?
 *
 * Eights of channels lie along x: a row of threads reads neighbouring memory.
 * What a tile of channels leaves over of the block goes to pixels, along y. Where
 * sums are made tiles are narrow: see reduce.cuh.
 * Chunks of pixels are as many as fill the card, but never so many that a thread
 * has only a few, or that the block sums outgrow their memory. */
#ifndef RIFT_GPU_BACKEND_CUDA_TILING_H
#define RIFT_GPU_BACKEND_CUDA_TILING_H

#include "gpu/backend/cuda/elements.h"

#include <stddef.h>

enum {
    TILING_THREADS = 256,
    TILING_VECS = 32,       /* widest tile: 256 channels */
    TILING_SUMMED_VECS = 8, /* with sums: 64 channels, a whole line of memory in bf16 */
    TILING_RUN = 16,        /* pixels that are added in float */
    TILING_LEAST = 4,       /* pixels a thread */
};

struct tiling {
    int64_t pixels;
    int channels, vecs; /* real channels; eights with padding */
    int width, height;  /* threads of a block */
    int tiles, chunks;  /* blocks */
};

/* About `blocks` blocks; each leaves `sums` doubles a channel (0: none) in room for sums_count. */
static inline struct tiling tiling_of(int64_t pixels, int channels, int blocks, int sums, size_t sums_count)
{
    struct tiling t;

    t.pixels = pixels;
    t.channels = channels;
    t.vecs = channels_padded(channels) / CHANNEL_STEP;
    int widest = sums ? TILING_SUMMED_VECS : TILING_VECS;
    t.tiles = (t.vecs + widest - 1) / widest;
    t.width = (t.vecs + t.tiles - 1) / t.tiles;
    t.height = TILING_THREADS / t.width;
    int64_t most = (blocks + t.tiles - 1) / t.tiles;
    int64_t useful = (pixels + (int64_t)t.height * TILING_LEAST - 1) / ((int64_t)t.height * TILING_LEAST);
    int64_t room = sums ? (int64_t)(sums_count / ((size_t)sums * (size_t)t.vecs * CHANNEL_STEP)) : most;
    int64_t chunks = useful < most ? useful : most;
    chunks = chunks < room ? chunks : room;
    t.chunks = (int)(chunks < 1 ? 1 : chunks);
    return t;
}

HD int tiling_vec(const struct tiling *t, int tile, int x)
{
    return tile * t->width + x;
}

HD int64_t tiling_first(const struct tiling *t, int chunk, int y)
{
    return (int64_t)chunk * t->height + y;
}

/* How many of a block's threads there are for each of its channels. */
HD int tiling_lanes(const struct tiling *t)
{
    return t->height / CHANNEL_STEP;
}

/* Where the part of a lane begins when `count` numbers are divided among them; it ends where the next begins. */
HD int tiling_part(int count, int lanes, int lane)
{
    int at = (count + lanes - 1) / lanes * lane;

    return at < count ? at : count;
}

/* From one pixel of a thread to its next. */
HD int64_t tiling_step(const struct tiling *t)
{
    return (int64_t)t->chunks * t->height;
}

#endif
