/* Where do random numbers come from?
 *
 * Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy
 * as 1, 2, 3; SC11): a pure function from (key, counter) to four words. The
 * key is the job's seed; the counter says what the number is for, so batch
 * size, thread count, device and a resume change nothing.
 *
 *   counter = { block, low 32 bits of index, purpose | high bits of index << 8, epoch }
 */
#ifndef RIFT_GPU_BACKEND_PHILOX_H
#define RIFT_GPU_BACKEND_PHILOX_H

#include <math.h>
#include <stdint.h>

#ifdef __CUDACC__
#define PHILOX_FUNCTION static inline __host__ __device__
#else
#define PHILOX_FUNCTION static inline
#endif

/* Who asks. Never renumber: a purpose is part of a seed's meaning. */
enum random_purpose {
    RANDOM_INIT = 1,     /* weights: epoch = tensor number, index = element / 4 */
    RANDOM_SHUFFLE = 2,  /* order of examples in an epoch */
    RANDOM_AUGMENT = 3,  /* crop and flip: index = example */
    RANDOM_ATTACK = 4,   /* start of PGD while training: index = example */
    RANDOM_EVALUATE = 5, /* start of PGD while measuring: epoch = restart, index = example */
    RANDOM_SPLIT = 6,    /* which training examples are held out */
    RANDOM_MRC = 7,      /* order of the fixed examples in a pass of the ascent */
    RANDOM_CORRUPT = 16, /* a corruption: epoch = corruption * 5 + severity - 1, index = example */
    RANDOM_APGD = 20,    /* start of APGD: epoch = round of the attack, index = example */
    RANDOM_SQUARE = 21,  /* stripes and windows of Square: the same */
};

struct philox {
    uint32_t word[4];
};

PHILOX_FUNCTION struct philox philox_words(uint64_t key, const uint32_t counter[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);

    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * c0;
        uint64_t b = (uint64_t)0xCD9E8D57u * c2;

        c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)b;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)a;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    struct philox ret = { { c0, c1, c2, c3 } };
    return ret;
}

PHILOX_FUNCTION struct philox philox(uint64_t seed, uint32_t purpose, uint32_t epoch, uint64_t index, uint32_t block)
{
    uint32_t counter[4] = { block, (uint32_t)index, purpose | (uint32_t)(index >> 32) << 8, epoch };

    return philox_words(seed, counter);
}

/* [0,1) with 24 bits: exact in float. */
PHILOX_FUNCTION float philox_unit(uint32_t word)
{
    return (float)(word >> 8) * (1.0f / 16777216.0f);
}

/* Lane 0..3 of standard normals (Box and Muller 1958): words 0 and 1 make lanes
 * 0 and 1, words 2 and 3 the others. In double, so that devices agree. */
PHILOX_FUNCTION double philox_normal(struct philox four, int lane)
{
    double u = ((four.word[lane & 2] >> 8) + 1.0) / 16777216.0; /* (0,1] */
    double angle = 6.283185307179586 * ((four.word[(lane & 2) + 1] >> 8) / 16777216.0);

    return sqrt(-2.0 * log(u)) * (lane & 1 ? sin(angle) : cos(angle));
}

#endif
