/* APGD, FAB and Square on the card. Pixels are plain NCHW and move in float, one
 * rounding an operation (elements_attack.h), so the path is that of the other
 * devices; FAB's sums over an image are doubles, added in a fixed order by the
 * block that has the image. */
#include "gpu/backend/cuda/eight.cuh"
#include "gpu/backend/cuda/kernels_attack.h"

/* ---- losses -------------------------------------------------------------------------- */

__global__ void margin_loss(int margin, int n, int k, struct margin_logits l)
{
    for (int64_t i = loop_first() / 32; i < n; i += loop_stride() / 32)
        row_margin_loss(margin, l.z + i * k, k, l.labels[i], l.targets ? l.targets[i] : -1, l.scale, l.loss + i,
                        l.correct + i, l.dz ? l.dz + i * k : NULL);
}

/* ---- rows: one block each --------------------------------------------------------------- */

/* All threads get the result. */
__device__ double block_meet_sum(double v, double *shared)
{
    v = row_sum(v);
    if (threadIdx.x % 32 == 0)
        shared[threadIdx.x / 32] = v;
    __syncthreads();
    v = 0;
    for (int i = 0; i < BLOCK / 32; i++)
        v += shared[i];
    __syncthreads();
    return v;
}

__device__ double block_meet_max(double v, double *shared)
{
    for (int step = 16; step; step /= 2)
        v = fmax(v, __shfl_xor_sync(0xffffffffu, v, step));
    if (threadIdx.x % 32 == 0)
        shared[threadIdx.x / 32] = v;
    __syncthreads();
    v = shared[0];
    for (int i = 1; i < BLOCK / 32; i++)
        v = fmax(v, shared[i]);
    __syncthreads();
    return v;
}

template <class W> __global__ void copy_rows(W *to, const W *from, size_t words, const int32_t *rows, int n)
{
    for (int64_t i = loop_first(); i < (int64_t)n * (int64_t)words; i += loop_stride()) {
        int64_t row = i / (int64_t)words, at = i % (int64_t)words;

        to[(int64_t)rows[row] * (int64_t)words + at] = from[(int64_t)rows[n + row] * (int64_t)words + at];
    }
}

__global__ void __launch_bounds__(BLOCK) row_distance(int64_t count, const float *a, const float *b, float *distance)
{
    __shared__ double shared[BLOCK / 32];
    float mine = 0;

    a += blockIdx.x * count;
    for (int64_t e = threadIdx.x; e < count; e += BLOCK)
        mine = fmaxf(mine, fabsf(b ? a[e] - b[blockIdx.x * count + e] : a[e]));
    double far = block_meet_max(mine, shared);
    if (threadIdx.x == 0)
        distance[blockIdx.x] = (float)far;
}

/* ---- APGD ---------------------------------------------------------------------------------- */

__device__ float start_noise(struct start_key key, int64_t id, int64_t e)
{
    struct philox four = philox(key.seed, key.purpose, key.epoch, (uint64_t)id, (uint32_t)(e / 4));
    int lane = (int)(e % 4);

    return signed_unit(lane == 0 ? four.word[0] : lane == 1 ? four.word[1] : lane == 2 ? four.word[2] : four.word[3]);
}

__global__ void __launch_bounds__(BLOCK)
    apgd_start(int64_t count, const float *x, float epsilon, struct start_key key, const int64_t *id, float *x_adv)
{
    __shared__ double shared[BLOCK / 32];
    int64_t row = blockIdx.x * count;
    float mine = 0;

    for (int64_t e = threadIdx.x; e < count; e += BLOCK)
        mine = fmaxf(mine, fabsf(start_noise(key, id[blockIdx.x], e)));
    float largest = (float)block_meet_max(mine, shared);
    for (int64_t e = threadIdx.x; e < count; e += BLOCK)
        x_adv[row + e] = apgd_started(x[row + e], epsilon, start_noise(key, id[blockIdx.x], e), largest);
}

__global__ void apgd_step(int64_t per_row, int64_t count, const float *x, const float *g, const float *now,
                          const float *step, float a, float epsilon, float *old)
{
    for (int64_t at = loop_first(); at < count; at += loop_stride())
        old[at] = apgd_stepped(x[at], g[at], now[at], step[at / per_row], a, epsilon, old[at]);
}

/* ---- FAB ------------------------------------------------------------------------------------- */

/* One image: u, the gradient w of f there, and c = <w,u> - b. */
struct plane {
    const float *u, *w;
    double c;
    int64_t count;
};

__device__ double plane_lambda(const struct plane &p, double *shared)
{
    double low = 0, high = 1;

    for (int i = 0; i < FAB_HALVINGS; i++) {
        double middle = (low + high) / 2, reached = 0;

        for (int64_t e = threadIdx.x; e < p.count; e += BLOCK)
            reached += fab_reach(p.u[e], p.w[e], p.c, middle);
        if (block_meet_sum(reached, shared) < fabs(p.c))
            low = middle;
        else
            high = middle;
    }
    return high;
}

__device__ double plane_length(const struct plane &p, double lambda, double *shared)
{
    double length = 1e-8;

    for (int64_t e = threadIdx.x; e < p.count; e += BLOCK)
        length = fmax(length, fabs(fab_moved(p.u[e], p.w[e], p.c, lambda)));
    return block_meet_max(length, shared);
}

__global__ void __launch_bounds__(BLOCK)
    fab_step(int64_t count, const float *x, const float *g, const float *f, float eta, float most, float *x1)
{
    __shared__ double shared[BLOCK / 32];
    const float *x0 = x + blockIdx.x * count, *w = g + blockIdx.x * count;
    float *u = x1 + blockIdx.x * count;
    double moved = 0;

    for (int64_t e = threadIdx.x; e < count; e += BLOCK)
        moved += w[e] * ((double)x0[e] - u[e]);
    moved = block_meet_sum(moved, shared);
    struct plane at_u = { u, w, f[blockIdx.x], count }, at_x = { x0, w, f[blockIdx.x] + moved, count };
    double lambda1 = plane_lambda(at_u, shared), lambda0 = plane_lambda(at_x, shared);
    double a1 = plane_length(at_u, lambda1, shared), a0 = plane_length(at_x, lambda0, shared);
    double b = fmin(a1 / (a1 + a0), (double)most);

    for (int64_t e = threadIdx.x; e < count; e += BLOCK) {
        double one = u[e] + eta * fab_moved(u[e], w[e], at_u.c, lambda1);
        double zero = x0[e] + eta * fab_moved(x0[e], w[e], at_x.c, lambda0);

        u[e] = clampf((float)((1 - b) * one + b * zero), 0.0f, 1.0f);
    }
}

__global__ void fab_back(int64_t per_row, const float *x, float beta, const int32_t *rows, int count, float *x1)
{
    for (int64_t i = loop_first(); i < count * per_row; i += loop_stride()) {
        int64_t at = rows[i / per_row] * per_row + i % per_row;

        x1[at] = x[at] + beta * (x1[at] - x[at]);
    }
}

/* ---- Square ------------------------------------------------------------------------------------- */

__global__ void square_start(struct extent s, const float *x, float epsilon, struct start_key key, const int64_t *id,
                             float *x_adv)
{
    int64_t per_row = (int64_t)s.c * s.h * s.w;

    for (int64_t at = loop_first(); at < s.n * per_row; at += loop_stride()) {
        int64_t column = at % per_row / (s.h * s.w) * s.w + at % s.w;
        struct philox four = philox(key.seed, key.purpose, key.epoch, (uint64_t)id[at / per_row],
                                    STRIPE_BLOCKS + (uint32_t)(column / STRIPE_BITS));
        int word = (int)(column / 32 % 4);
        uint32_t bits = word == 0 ? four.word[0] : word == 1 ? four.word[1] : word == 2 ? four.word[2] : four.word[3];

        x_adv[at] = square_started(x[at], epsilon, bits, column);
    }
}

__global__ void square_step(struct extent s, const float *x, const float *best, float epsilon, struct start_key key,
                            const int64_t *id, uint32_t query, int side, float *x_adv)
{
    int64_t plane = (int64_t)s.h * s.w, per_row = s.c * plane;

    for (int64_t at = loop_first(); at < s.n * per_row; at += loop_stride()) {
        struct philox four = philox(key.seed, key.purpose, key.epoch, (uint64_t)id[at / per_row], query);
        int c = (int)(at / plane % s.c), row = (int)(at / s.w % s.h), column = (int)(at % s.w);

        x_adv[at] = square_stepped(x[at], best[at], epsilon, four, square_window(four, s.h, s.w, side), c, row, column);
    }
}

/* ---- starting --------------------------------------------------------------------------------------- */

static int64_t per_row(struct extent s)
{
    return (int64_t)s.c * s.h * s.w;
}

extern "C" cudaError_t kernel_margin_loss(cudaStream_t stream, int margin, int n, int k, const struct margin_logits *l)
{
    LAUNCH(margin_loss, blocks_for((int64_t)n * 32), BLOCK, stream, margin, n, k, *l);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_copy_rows(cudaStream_t stream, void *to, const void *from, size_t row_bytes,
                                        const int32_t *rows, int n)
{
    uintptr_t all = (uintptr_t)to | (uintptr_t)from | row_bytes;
    int blocks = blocks_for((int64_t)(row_bytes / (all % 16 == 0 ? 16 : all % 4 == 0 ? 4 : 1)) * n);

    if (all % 16 == 0)
        LAUNCH(copy_rows, blocks, BLOCK, stream, (uint4 *)to, (const uint4 *)from, row_bytes / 16, rows, n);
    else if (all % 4 == 0)
        LAUNCH(copy_rows, blocks, BLOCK, stream, (uint32_t *)to, (const uint32_t *)from, row_bytes / 4, rows, n);
    else
        LAUNCH(copy_rows, blocks, BLOCK, stream, (uint8_t *)to, (const uint8_t *)from, row_bytes, rows, n);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_row_distance(cudaStream_t stream, struct extent s, const float *a, const float *b,
                                           float *distance)
{
    LAUNCH(row_distance, (unsigned)s.n, BLOCK, stream, per_row(s), a, b, distance);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_apgd_start(cudaStream_t stream, struct extent s, const float *x, float epsilon,
                                         struct start_key key, const int64_t *id, float *x_adv)
{
    LAUNCH(apgd_start, (unsigned)s.n, BLOCK, stream, per_row(s), x, epsilon, key, id, x_adv);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_apgd_step(cudaStream_t stream, struct extent s, const float *x, const float *g,
                                        const float *now, const float *step, float a, float epsilon, float *old)
{
    LAUNCH(apgd_step, blocks_for(extent_plain(s)), BLOCK, stream, per_row(s), extent_plain(s), x, g, now, step, a,
                                                                 epsilon, old);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_fab_step(cudaStream_t stream, struct extent s, const float *x, const float *g,
                                       const float *f, float eta, float most, float *x1)
{
    LAUNCH(fab_step, (unsigned)s.n, BLOCK, stream, per_row(s), x, g, f, eta, most, x1);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_fab_back(cudaStream_t stream, struct extent s, const float *x, float beta,
                                       const int32_t *rows, int count, float *x1)
{
    LAUNCH(fab_back, blocks_for(count * per_row(s)), BLOCK, stream, per_row(s), x, beta, rows, count, x1);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_square_start(cudaStream_t stream, struct extent s, const float *x, float epsilon,
                                           struct start_key key, const int64_t *id, float *x_adv)
{
    LAUNCH(square_start, blocks_for(extent_plain(s)), BLOCK, stream, s, x, epsilon, key, id, x_adv);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_square_step(cudaStream_t stream, struct extent s, const float *x, const float *best,
                                          float epsilon, struct start_key key, const int64_t *id, uint32_t query,
                                          int side, float *x_adv)
{
    LAUNCH(square_step, blocks_for(extent_plain(s)), BLOCK, stream, s, x, best, epsilon, key, id, query, side, x_adv);
    return cudaGetLastError();
}
