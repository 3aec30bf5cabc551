/* In which order are examples visited, and how is each one cut out?
 *
 * Pure functions of (seed, purpose, epoch, index): nothing is carried from one
 * call to the next, so a resumed job needs no generator state, and neither the
 * batch size nor the number of threads is heard in the curve. */
#include "gpu/data/dataset.h"

#include "gpu/backend/philox.h"

#include <string.h>

/* 0..bound-1 from 64 bits: the high half of the product (Lemire), whose bias of
 * bound/2^64 nobody can measure. */
static uint32_t below(struct philox words, uint32_t bound)
{
    uint64_t bits = (uint64_t)words.word[0] << 32 | words.word[1];

    return (uint32_t)(((unsigned __int128)bits * bound) >> 64);
}

void epoch_order(int64_t seed, uint32_t purpose, uint32_t epoch, bool shuffle, int count, int32_t *ret_order)
{
    for (int32_t i = 0; i < count; i++)
        ret_order[i] = i;
    if (!shuffle)
        return;
    for (int32_t i = count - 1; i > 0; i--) {
        int32_t j = (int32_t)below(philox((uint64_t)seed, purpose, epoch, (uint64_t)i, 0), (uint32_t)i + 1);
        int32_t moved = ret_order[i];

        ret_order[i] = ret_order[j];
        ret_order[j] = moved;
    }
}

/* A shift of -pad..pad from one word: 2 pad + 1 <= 33 values, so the bias is below 2^-26. */
static int8_t shift(uint32_t word, int pad)
{
    return (int8_t)((int)(((uint64_t)word * (2 * (uint32_t)pad + 1)) >> 32) - pad);
}

struct crop augment_crop(enum augment augment, int64_t seed, uint32_t epoch, int32_t id, int32_t index, int pad)
{
    struct crop crop = { .index = index };

    if (augment == AUGMENT_NONE)
        return crop;
    struct philox random = philox((uint64_t)seed, RANDOM_AUGMENT, epoch, (uint64_t)(uint32_t)id, 0);

    crop.dx = shift(random.word[0], pad);
    crop.dy = shift(random.word[1], pad);
    crop.flip = random.word[2] >> 31;
    return crop;
}

/* Where a window that reaches over the edge reads: the mirror image without the
 * edge pixel, or nowhere (-1) for zeros. */
static int source(int at, int size, enum padding padding)
{
    if (at >= 0 && at < size)
        return at;
    if (padding == PADDING_ZERO)
        return -1;
    return at < 0 ? -at : 2 * (size - 1) - at;
}

static void line_cut(const struct crop *crop, int w, const float *line, enum padding padding, float *ret)
{
    for (int column = 0; column < w; column++) {
        int from = source((crop->flip ? w - 1 - column : column) + crop->dx, w, padding);

        ret[column] = from < 0 ? 0 : line[from];
    }
}

void augment_cut(int n, int c, int h, int w, const float *images, const struct crop *crops, enum padding padding,
                 float *ret_x)
{
    for (int i = 0; i < n; i++)
        for (int row = 0; row < c * h; row++) { /* of all channels, one below the other */
            int from = source(row % h + crops[i].dy, h, padding);
            const float *plane = images + ((size_t)crops[i].index * c + row / h) * h * w;
            float *to = ret_x + ((size_t)i * c * h + row) * w;

            if (from < 0)
                memset(to, 0, (size_t)w * sizeof(float));
            else
                line_cut(&crops[i], w, plane + (size_t)from * w, padding, to);
        }
}
