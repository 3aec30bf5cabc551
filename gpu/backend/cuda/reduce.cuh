/* How are sums over every channel of an activation made, the same bits each time?
 *
 *   block (x: eights of channels, y: pixels)      grid (x: tiles of channels, y: chunks of pixels)
 *
 * A thread adds eight channels over its pixels, a short run in float, runs in
 * double; a block adds its threads and leaves one sum a channel; the last block
 * of a tile to arrive adds the blocks' sums and finishes the channel. Both times
 * a channel has several threads, "lanes": each adds a fixed range in order, then
 * the lanes are added in order.
 * No order depends on who comes first, only who does the last addition does.
 *
 * The last block works while the card waits for it, and what it waits for is
 * memory: tiles are narrow, so that it has few sums to fetch, and a lane asks for
 * REDUCE_AHEAD chunks before it adds the first.
 *
 * The logic of indices is in struct tiling, which tests walk through on the
 * processor. */
#ifndef RIFT_GPU_BACKEND_CUDA_REDUCE_CUH
#define RIFT_GPU_BACKEND_CUDA_REDUCE_CUH

#include "gpu/backend/cuda/eight.cuh"
#include "gpu/backend/cuda/tiling.h"

enum { REDUCE_AHEAD = 8 };

/* Body: constructed for a thread's first channel, add(pixel, vec, sums) adds one pixel's eight channels.
 * Finish: (channel, total sums) for each real channel. */
template <int SUMS, class Body, class Finish>
__global__ void __launch_bounds__(TILING_THREADS)
    channel_reduce(Body body, Finish finish, struct tiling t, double *partial, unsigned *arrived)
{
    __shared__ double shared[TILING_THREADS * 8], joined[SUMS][TILING_THREADS];
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
    int linear = (int)(threadIdx.y * blockDim.x + threadIdx.x);
    int width = (int)blockDim.x * 8, channels = t.vecs * 8, lanes = tiling_lanes(&t);
    int lane = linear / width, c = linear % width, channel = (int)blockIdx.x * width + c;
#pragma unroll
    for (int s = 0; s < SUMS; s++) {
        double total = 0;

#pragma unroll
        for (int k = 0; k < 8; k++)
            shared[threadIdx.y * width + threadIdx.x * 8 + k] = sum[s][k];
        __syncthreads();
        if (lane < lanes) {
            for (int y = tiling_part(t.height, lanes, lane); y < tiling_part(t.height, lanes, lane + 1); y++)
                total += shared[y * width + c];
            joined[s][linear] = total;
        }
        __syncthreads();
        if (lane == 0 && channel < channels) {
            for (int other = 1; other < lanes; other++)
                total += joined[s][other * width + c];
            partial[((int64_t)s * t.chunks + blockIdx.y) * channels + channel] = total;
        }
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
    double total[SUMS] = {};
    bool adds = lane < lanes && channel < t.channels;
    int end = tiling_part(t.chunks, lanes, lane + 1);
    for (int chunk = tiling_part(t.chunks, lanes, lane); adds && chunk < end; chunk += REDUCE_AHEAD) {
        double v[REDUCE_AHEAD][SUMS];

        /* beyond the end the last one again, and not added: no load waits for a branch */
#pragma unroll
        for (int i = 0; i < REDUCE_AHEAD; i++) {
            int one = chunk + i < end ? chunk + i : end - 1;

#pragma unroll
            for (int s = 0; s < SUMS; s++)
                v[i][s] = __ldcg(partial + ((int64_t)s * t.chunks + one) * channels + channel);
        }
#pragma unroll
        for (int i = 0; i < REDUCE_AHEAD; i++)
#pragma unroll
            for (int s = 0; s < SUMS; s++)
                total[s] += chunk + i < end ? v[i][s] : 0;
    }
#pragma unroll
    for (int s = 0; s < SUMS; s++)
        joined[s][linear] = total[s];
    __syncthreads();
    if (lane != 0 || !adds)
        return;
    for (int other = 1; other < lanes; other++)
#pragma unroll
        for (int s = 0; s < SUMS; s++)
            total[s] += joined[s][other * width + c];
    finish(channel, total);
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
