/* How are sums over every channel of an activation made, the same bits each time?
 *
 *   block (x: eights of channels, y: pixels)      grid (x: tiles of channels, y: chunks of pixels)
 *
 * A thread adds eight channels over its pixels, a short run in float, runs in
 * double; a block adds its threads and leaves one sum a channel; the last block
 * of a tile to arrive adds the blocks' sums in order and finishes the channel.
 * No order depends on who comes first, only who does the last addition does.
 *
 * The logic of indices is in struct tiling, which tests walk through on the
 * processor. */
#ifndef RIFT_GPU_BACKEND_CUDA_REDUCE_CUH
#define RIFT_GPU_BACKEND_CUDA_REDUCE_CUH

#include "gpu/backend/cuda/eight.cuh"
#include "gpu/backend/cuda/tiling.h"

/* Body: constructed for a thread's first channel, add(pixel, vec, sums) adds one pixel's eight channels.
 * Finish: (channel, total sums) for each real channel. */
template <int SUMS, class Body, class Finish>
__global__ void __launch_bounds__(TILING_THREADS)
    channel_reduce(Body body, Finish finish, struct tiling t, double *partial, unsigned *arrived)
{
    __shared__ double shared[TILING_THREADS * 8];
    __shared__ bool last;
    int vec = tiling_vec(&t, (int)blockIdx.x, (int)threadIdx.x);
    double sum[SUMS][8] = {};

    if (vec < t.vecs) {
        int64_t pixel = tiling_first(&t, (int)blockIdx.y, (int)threadIdx.y), step = tiling_step(&t);

        body.begin(vec * 8);
        while (pixel < t.pixels) {
            float run[SUMS][8] = {};

#pragma unroll 4
            for (int i = 0; i < TILING_RUN; i++, pixel += step)
                if (pixel < t.pixels)
                    body.add(pixel * t.vecs + vec, run);
#pragma unroll
            for (int s = 0; s < SUMS; s++)
#pragma unroll
                for (int k = 0; k < 8; k++)
                    sum[s][k] += run[s][k];
        }
    }
    /* block: threads of one column of the block share channels */
    int linear = (int)(threadIdx.y * blockDim.x + threadIdx.x), threads = (int)(blockDim.x * blockDim.y);
    int width = (int)blockDim.x * 8, channels = t.vecs * 8;
#pragma unroll
    for (int s = 0; s < SUMS; s++) {
#pragma unroll
        for (int k = 0; k < 8; k++)
            shared[threadIdx.y * width + threadIdx.x * 8 + k] = sum[s][k];
        __syncthreads();
        for (int c = linear; c < width; c += threads) {
            int channel = (int)blockIdx.x * width + c;
            double total = 0;

            for (int y = 0; y < (int)blockDim.y; y++)
                total += shared[y * width + c];
            if (channel < channels)
                partial[((int64_t)s * t.chunks + blockIdx.y) * channels + channel] = total;
        }
        __syncthreads();
    }
    /* tile: who comes last adds up what all have left */
    __threadfence();
    __syncthreads();
    if (linear == 0)
        last = atomicInc(arrived + blockIdx.x, (unsigned)t.chunks - 1) == (unsigned)t.chunks - 1;
    __syncthreads();
    if (!last)
        return;
    __threadfence();
    for (int c = linear; c < width; c += threads) {
        int channel = (int)blockIdx.x * width + c;
        double total[SUMS] = {};

        if (channel >= t.channels)
            continue;
#pragma unroll
        for (int s = 0; s < SUMS; s++)
#pragma unroll 8
            for (int chunk = 0; chunk < t.chunks; chunk++)
                total[s] += __ldcg(partial + ((int64_t)s * t.chunks + chunk) * channels + channel);
        finish(channel, total);
    }
}

template <int SUMS, class Body, class Finish>
static cudaError_t start_reduce(cudaStream_t stream, const struct collector *to, struct extent s, Body body,
                                Finish finish)
{
    struct tiling t = tiling_of(extent_pixels(s), s.c, to->processors * 2, SUMS, to->sums_count);

    if (t.tiles > to->arrived_count)
        return cudaErrorInvalidValue;
    LAUNCH(channel_reduce<SUMS>, dim3((unsigned)t.tiles, (unsigned)t.chunks), dim3((unsigned)t.width, (unsigned)t.height), stream, body, finish, t, to->sums, to->arrived);
    return cudaGetLastError();
}

#endif
