/* What passes over an activation have in common: numbers a channel, masked
 * gradients, and how many blocks there are. */
#ifndef RIFT_GPU_BACKEND_CUDA_CHANNELS_CUH
#define RIFT_GPU_BACKEND_CUDA_CHANNELS_CUH

#include "gpu/backend/cuda/reduce.cuh"

/* Value of a plain [C] vector for eight channels, `rest` beyond the last. */
__device__ __forceinline__ void load_channels(const float *from, int first, int c, float rest, float v[8])
{
#pragma unroll
    for (int k = 0; k < 8; k++)
        v[k] = first + k < c ? from[first + k] : rest;
}

/* g = (da + db?) * (z > 0)? of eight channels. */
template <class T>
__device__ __forceinline__ void load_gradient(const T *da, const T *db, const T *z, int64_t at, float g[8])
{
    float b[8] = {}, v[8] = { 1, 1, 1, 1, 1, 1, 1, 1 };

    load8(da + at, g);
    if (db)
        load8(db + at, b);
    if (z)
        load8(z + at, v);
#pragma unroll
    for (int i = 0; i < 8; i++)
        g[i] = masked(g[i], b[i], v[i] > 0);
}

/* Blocks of a pass over an activation: enough to fill the card, few enough that loading [C] vectors is little. */
static inline struct tiling apply_tiling(struct extent s, int processors)
{
    return tiling_of(extent_pixels(s), s.c, processors * 8, 0, 0);
}

/* Start a kernel of such a pass; its first argument is the tiling. */
#define OVER_CHANNELS(kernel, t, stream, ...)                                  \
    LAUNCH(kernel, dim3((unsigned)(t).tiles, (unsigned)(t).chunks),            \
           dim3((unsigned)(t).width, (unsigned)(t).height), stream, t, __VA_ARGS__)

#endif
