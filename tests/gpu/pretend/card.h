/* A card that is the processor: enough of CUDA's language and library to run our
 * kernels, unchanged, on machines without a card.
 *
 * Included before each .cu file (by the compiler's -include), which is then
 * compiled as C++. A block's threads run one after the other; a kernel whose
 * threads wait for each other (barriers, shuffles) gets a stack for each of them
 * and they take turns. Blocks run in order, one at a time. What it can't show:
 * races between blocks, the memory model, speed.
 *
 * Memory of the card is memory of the process, so the address sanitizer sees a
 * kernel that reads or writes where it shouldn't. */
#ifndef RIFT_TESTS_GPU_PRETEND_CARD_H
#define RIFT_TESTS_GPU_PRETEND_CARD_H

#define RIFT_PRETEND_CARD 1

#include <cuda_runtime_api.h>
#include <vector_functions.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>

#undef __global__
#undef __device__
#undef __host__
#undef __shared__
#undef __forceinline__
#undef __launch_bounds__
#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __forceinline__ inline
#define __launch_bounds__(...)

/* Where the running thread is. */
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

/* Run it now, or remember it when the stream is being captured. */
void pretend_do(std::function<void()> what);
/* All threads of all blocks. */
void pretend_grid(dim3 grid, dim3 block, const std::function<void()> &thread);
void pretend_block_barrier();
/* Give a value to the lanes of this warp and take that of another one. */
uint64_t pretend_exchange(uint64_t mine, int from_lane);
/* As if the hardware had failed: for good. */
void pretend_fault();
bool pretend_broken();
/* pretend_do for a kernel of ours; starting one says what is known by then. */
void pretend_kernel(std::function<void()> what);

template <class Kernel, class... Arguments>
void pretend_launch(dim3 grid, dim3 block, cudaStream_t, Kernel kernel, Arguments... arguments)
{
    pretend_kernel([=] { pretend_grid(grid, block, [=] { kernel(arguments...); }); });
}

#define LAUNCH(kernel, grid, block, stream, ...) \
    pretend_launch(dim3(grid), dim3(block), stream, [](auto... a) { kernel(a...); }, ##__VA_ARGS__)

#define __syncthreads pretend_block_barrier
#define __trap        pretend_fault

static inline void __threadfence()
{
}

template <class T> static inline T __ldcg(const T *at)
{
    return *at;
}

static inline unsigned atomicInc(unsigned *at, unsigned most)
{
    unsigned was = *at;

    *at = was >= most ? 0 : was + 1;
    return was;
}

template <class T> static inline T __shfl_xor_sync(unsigned, T mine, int mask)
{
    uint64_t bits = 0;
    T ret;

    std::memcpy(&bits, &mine, sizeof(mine));
    bits = pretend_exchange(bits, (int)((threadIdx.y * blockDim.x + threadIdx.x) % 32) ^ mask);
    std::memcpy(&ret, &bits, sizeof(ret));
    return ret;
}

static inline float __uint_as_float(unsigned bits)
{
    float ret;

    std::memcpy(&ret, &bits, sizeof(ret));
    return ret;
}

using std::fabs;
using std::fmax;
using std::fmin;
using std::isnan;

#endif
