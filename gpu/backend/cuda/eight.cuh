/* How are eight channels read and written at once?
 *
 * One thread works on eight neighbouring channels: 16 bytes of bf16, 32 of
 * float. Arithmetic is in float. Also here: how many blocks a plain loop gets. */
#ifndef RIFT_GPU_BACKEND_CUDA_EIGHT_CUH
#define RIFT_GPU_BACKEND_CUDA_EIGHT_CUH

#include "gpu/backend/cuda/kernels.h"

#include <cuda_bf16.h>

__device__ __forceinline__ void load8(const float *from, float v[8])
{
    float4 a = reinterpret_cast<const float4 *>(from)[0], b = reinterpret_cast<const float4 *>(from)[1];

    v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w;
    v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
}

__device__ __forceinline__ void store8(float *to, const float v[8])
{
    reinterpret_cast<float4 *>(to)[0] = make_float4(v[0], v[1], v[2], v[3]);
    reinterpret_cast<float4 *>(to)[1] = make_float4(v[4], v[5], v[6], v[7]);
}

/* A bf16 is the upper half of a float. */
__device__ __forceinline__ void load8(const __nv_bfloat16 *from, float v[8])
{
    uint4 u = *reinterpret_cast<const uint4 *>(from);
    const unsigned word[4] = { u.x, u.y, u.z, u.w };

#pragma unroll
    for (int i = 0; i < 4; i++) {
        v[2 * i] = __uint_as_float(word[i] << 16);
        v[2 * i + 1] = __uint_as_float(word[i] & 0xffff0000u);
    }
}

__device__ __forceinline__ void store8(__nv_bfloat16 *to, const float v[8])
{
    unsigned word[4];

#pragma unroll
    for (int i = 0; i < 4; i++) {
        unsigned low = __bfloat16_as_ushort(__float2bfloat16_rn(v[2 * i]));
        unsigned high = __bfloat16_as_ushort(__float2bfloat16_rn(v[2 * i + 1]));

        word[i] = low | high << 16;
    }
    *reinterpret_cast<uint4 *>(to) = make_uint4(word[0], word[1], word[2], word[3]);
}

__device__ __forceinline__ float as_float(float v)
{
    return v;
}
__device__ __forceinline__ float as_float(__nv_bfloat16 v)
{
    return __bfloat162float(v);
}
__device__ __forceinline__ void put(float *to, float v)
{
    *to = v;
}
__device__ __forceinline__ void put(__nv_bfloat16 *to, float v)
{
    *to = __float2bfloat16_rn(v);
}

/* Start a kernel. A macro, because tests define another one: they run kernels on the processor. */
#ifndef LAUNCH
#define LAUNCH(kernel, grid, block, stream, ...) kernel<<<grid, block, 0, stream>>>(__VA_ARGS__)
#endif

/* Start a kernel template in the activation's format. */
#define IN_FORMAT(bf16, kernel, grid, block, stream, T, ...)            \
    do {                                                                \
        if (bf16) {                                                     \
            typedef __nv_bfloat16 T;                                    \
            LAUNCH(kernel<T>, grid, block, stream, __VA_ARGS__);        \
        } else {                                                        \
            typedef float T;                                            \
            LAUNCH(kernel<T>, grid, block, stream, __VA_ARGS__);        \
        }                                                               \
    } while (0)

static const int BLOCK = 256, BLOCKS_MOST = 132 * 16;

/* Loops `for (i = first(); i < count; i += stride())` over `count` things. */
static inline int blocks_for(int64_t count)
{
    int64_t blocks = (count + BLOCK - 1) / BLOCK;

    return (int)(blocks < 1 ? 1 : blocks > BLOCKS_MOST ? BLOCKS_MOST : blocks);
}

__device__ __forceinline__ int64_t loop_first(void)
{
    return (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
}

__device__ __forceinline__ int64_t loop_stride(void)
{
    return (int64_t)gridDim.x * blockDim.x;
}

/* p[c] of a few channels without an array that would have to lie in memory. */
__device__ __forceinline__ float pick(const float p[4], int c)
{
    return c == 0 ? p[0] : c == 1 ? p[1] : c == 2 ? p[2] : p[3];
}

static inline int64_t extent_pixels(struct extent s)
{
    return (int64_t)s.n * s.h * s.w;
}

static inline int64_t extent_plain(struct extent s)
{
    return extent_pixels(s) * s.c;
}

/* Groups of eight channels in an activation. */
static inline int64_t extent_eights(struct extent s)
{
    return extent_pixels(s) * (channels_padded(s.c) / CHANNEL_STEP);
}

#endif
