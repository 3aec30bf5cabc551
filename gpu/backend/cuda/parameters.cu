/* Whole vectors of parameters on the card. Float, one rounding an operation;
 * the norm alone adds up in double. Vectors may start at any float. */
#include "gpu/backend/cuda/eight.cuh"

__global__ void sgd_step(int64_t count, float *theta, const float *g, float *v, float lr, float momentum, float wd)
{
    for (int64_t i = loop_first(); i < count; i += loop_stride()) {
        float moved = sgd_velocity(theta[i], g[i], v[i], momentum, wd);

        v[i] = moved;
        theta[i] -= lr * moved;
    }
}

__global__ void axpy(int64_t count, float a, const float *x, float *y)
{
    for (int64_t i = loop_first(); i < count; i += loop_stride())
        y[i] += a * x[i];
}

__global__ void interpolate(int64_t count, const float *a, const float *b, float alpha, float *out)
{
    for (int64_t i = loop_first(); i < count; i += loop_stride())
        out[i] = between(a[i], b[i], alpha);
}

__global__ void project(int64_t count, const float *center, float factor, float *theta)
{
    for (int64_t i = loop_first(); i < count; i += loop_stride())
        theta[i] = projected(center[i], factor, theta[i]);
}

/* Sum over a block in a fixed order; the result is thread 0's. */
__device__ double block_sum(double v, double *shared)
{
    v = row_sum(v);
    if (threadIdx.x % 32 == 0)
        shared[threadIdx.x / 32] = v;
    __syncthreads();
    v = threadIdx.x < BLOCK / 32 ? shared[threadIdx.x] : 0;
    if (threadIdx.x < 32)
        v = row_sum(v);
    __syncthreads();
    return v;
}

/* Blocks leave their sums in `partial`; the last one to arrive adds them in order. */
__global__ void __launch_bounds__(BLOCK)
    norm(int64_t count, const float *a, const float *b, double *partial, unsigned *arrived, double *square)
{
    __shared__ double shared[BLOCK / 32];
    __shared__ bool last;
    double sum = 0;

    for (int64_t i = loop_first(); i < count; i += loop_stride()) {
        double d = b ? (double)a[i] - b[i] : a[i];

        sum += d * d;
    }
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) {
        partial[blockIdx.x] = sum;
        __threadfence();
        last = atomicInc(arrived, gridDim.x - 1) == gridDim.x - 1;
    }
    __syncthreads();
    if (!last)
        return;
    __threadfence();
    sum = 0;
    for (unsigned i = threadIdx.x; i < gridDim.x; i += BLOCK)
        sum += __ldcg(partial + i);
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0)
        *square = sum;
}

extern "C" cudaError_t kernel_sgd_step(cudaStream_t stream, int64_t count, float *theta, const float *g, float *v,
                                       float lr, float momentum, float wd)
{
    LAUNCH(sgd_step, blocks_for(count), BLOCK, stream, count, theta, g, v, lr, momentum, wd);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_axpy(cudaStream_t stream, int64_t count, float a, const float *x, float *y)
{
    LAUNCH(axpy, blocks_for(count), BLOCK, stream, count, a, x, y);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_interpolate(cudaStream_t stream, int64_t count, const float *a, const float *b,
                                          float alpha, float *out)
{
    LAUNCH(interpolate, blocks_for(count), BLOCK, stream, count, a, b, alpha, out);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_project(cudaStream_t stream, int64_t count, const float *center, float factor,
                                      float *theta)
{
    LAUNCH(project, blocks_for(count), BLOCK, stream, count, center, factor, theta);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_norm(cudaStream_t stream, const struct collector *to, int64_t count, const float *a,
                                   const float *b, double *square)
{
    int blocks = blocks_for(count);

    if ((size_t)blocks > to->sums_count)
        blocks = (int)to->sums_count;
    LAUNCH(norm, blocks, BLOCK, stream, count, a, b, to->sums, to->arrived, square);
    return cudaGetLastError();
}
