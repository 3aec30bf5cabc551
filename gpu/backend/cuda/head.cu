/* The end of a network on the card: pooling, the linear layer, losses.
 *
 * All small. Logits, features and their gradients are plain float32; rows of
 * logits get a warp each, whose lanes share the classes (elements.h). The
 * linear layer is ours, not a library's: at 10 to 200 classes it is bound by
 * starting it, and so its order of additions is known. */
#include "gpu/backend/cuda/eight.cuh"

/* ---- pooling ---------------------------------------------------------------------- */

/* One thread a window and eight channels. f[n][c][oh][ow]. */
template <class T>
__global__ void pool_forward(struct extent s, int k, int vecs, const T *x, float *f)
{
    int rows = s.h / k, columns = s.w / k;
    int64_t count = (int64_t)s.n * rows * columns * vecs;

    for (int64_t i = loop_first(); i < count; i += loop_stride()) {
        int vec = (int)(i % vecs), ow = (int)(i / vecs % columns), oh = (int)(i / vecs / columns % rows);
        int64_t n = i / vecs / columns / rows;
        float sum[8] = {}, v[8];

        for (int h = oh * k; h < (oh + 1) * k; h++)
            for (int w = ow * k; w < (ow + 1) * k; w++) {
                load8(x + (((n * s.h + h) * s.w + w) * vecs + vec) * 8, v);
#pragma unroll
                for (int e = 0; e < 8; e++)
                    sum[e] += v[e];
            }
#pragma unroll
        for (int e = 0; e < 8; e++)
            if (vec * 8 + e < s.c)
                f[((n * s.c + vec * 8 + e) * rows + oh) * columns + ow] = sum[e] / (float)(k * k);
    }
}

/* Rows and columns beyond the last whole window belong to no window. */
template <class T>
__global__ void pool_backward(struct extent s, int k, int vecs, const float *df, T *dx)
{
    int rows = s.h / k, columns = s.w / k;
    int64_t count = (int64_t)s.n * s.h * s.w * vecs;

    for (int64_t i = loop_first(); i < count; i += loop_stride()) {
        int vec = (int)(i % vecs), w = (int)(i / vecs % s.w), h = (int)(i / vecs / s.w % s.h);
        int64_t n = i / vecs / s.w / s.h;
        bool inside = h / k < rows && w / k < columns;
        float v[8];

#pragma unroll
        for (int e = 0; e < 8; e++) {
            int c = vec * 8 + e;

            v[e] = inside && c < s.c ? df[((n * s.c + c) * rows + h / k) * columns + w / k] / (float)(k * k) : 0.0f;
        }
        store8(dx + i * 8, v);
    }
}

/* ---- linear --------------------------------------------------------------------------- */

__device__ __forceinline__ float warp_sum(float v)
{
    for (int step = 16; step; step /= 2)
        v += __shfl_xor_sync(0xffffffffu, v, step);
    return v;
}

/* Which warp of the grid a thread is in, and how many there are. */
__device__ __forceinline__ int64_t warp_first(void)
{
    return loop_first() / 32;
}
__device__ __forceinline__ int64_t warp_stride(void)
{
    return loop_stride() / 32;
}

/* One warp an output. */
__global__ void linear_forward(int n, int f_count, int k, const float *f, const float *w, const float *b, float *z)
{
    for (int64_t out = warp_first(); out < (int64_t)n * k; out += warp_stride()) {
        int64_t i = out / k, o = out % k;
        float sum = 0;

        for (int j = row_lane(); j < f_count; j += 32)
            sum += f[i * f_count + j] * w[o * f_count + j];
        sum = warp_sum(sum);
        if (row_lane() == 0)
            z[out] = sum + b[o];
    }
}

__global__ void linear_backward_data(int n, int f_count, int k, const float *dz, const float *w, float *df)
{
    for (int64_t at = loop_first(); at < (int64_t)n * f_count; at += loop_stride()) {
        int64_t i = at / f_count, j = at % f_count;
        float sum = 0;

        for (int o = 0; o < k; o++)
            sum += dz[i * k + o] * w[(int64_t)o * f_count + j];
        df[at] = sum;
    }
}

__global__ void linear_backward_weights(int n, int f_count, int k, const float *dz, const float *f, float *dw)
{
    for (int64_t at = loop_first(); at < (int64_t)k * f_count; at += loop_stride()) {
        int64_t o = at / f_count, j = at % f_count;
        float sum = 0;

#pragma unroll 4
        for (int i = 0; i < n; i++)
            sum += dz[(int64_t)i * k + o] * f[(int64_t)i * f_count + j];
        dw[at] = sum;
    }
}

__global__ void linear_backward_bias(int n, int k, const float *dz, float *db)
{
    for (int64_t o = warp_first(); o < k; o += warp_stride()) {
        float sum = 0;

        for (int i = row_lane(); i < n; i += 32)
            sum += dz[(int64_t)i * k + o];
        sum = warp_sum(sum);
        if (row_lane() == 0)
            db[o] = sum;
    }
}

/* ---- losses: a warp a row ------------------------------------------------------------------ */

__global__ void cross_entropy(int n, int k, const float *z, const int32_t *labels, float scale, float *loss,
                              int32_t *correct, float *dz)
{
    for (int64_t i = warp_first(); i < n; i += warp_stride())
        row_cross_entropy(z + i * k, k, labels[i], scale, loss + i, correct + i, dz ? dz + i * k : NULL);
}

__device__ struct pair_row pair_of(const struct pair_logits &l, int64_t i, int k)
{
    struct pair_row row = { l.z + i * k,
                            l.z_adv ? l.z_adv + i * k : NULL,
                            k,
                            l.labels ? l.labels[i] : -1,
                            l.scale,
                            l.loss + i,
                            l.dz ? l.dz + i * k : NULL,
                            l.dz_adv ? l.dz_adv + i * k : NULL };

    return row;
}

__global__ void kl_loss(int n, int k, struct pair_logits l, float beta)
{
    for (int64_t i = warp_first(); i < n; i += warp_stride())
        row_kl_loss(pair_of(l, i, k), beta);
}

__global__ void mart_loss(int n, int k, struct pair_logits l, float beta)
{
    for (int64_t i = warp_first(); i < n; i += warp_stride())
        row_mart_loss(pair_of(l, i, k), beta);
}

__global__ void lse_loss(int n, int k, struct pair_logits l, float lambda, float cut, bool clip_clean)
{
    for (int64_t i = warp_first(); i < n; i += warp_stride())
        row_lse_loss(pair_of(l, i, k), lambda, cut, clip_clean);
}

/* ---- starting --------------------------------------------------------------------------------- */

/* Few warps a block, so that a batch's rows spread over the card. */
static const int ROW_BLOCK = 64;

static unsigned row_blocks(int64_t rows)
{
    int64_t blocks = (rows * 32 + ROW_BLOCK - 1) / ROW_BLOCK;

    return (unsigned)(blocks > BLOCKS_MOST ? BLOCKS_MOST : blocks);
}

extern "C" cudaError_t kernel_pool_forward(cudaStream_t stream, bool bf16, struct extent s, int k, const void *x,
                                           float *f)
{
    int vecs = channels_padded(s.c) / 8;

    IN_FORMAT(bf16, pool_forward, blocks_for((int64_t)s.n * (s.h / k) * (s.w / k) * vecs), BLOCK, stream, T, s, k, vecs,
              (const T *)x, f);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_pool_backward(cudaStream_t stream, bool bf16, struct extent s, int k, const float *df,
                                            void *dx)
{
    IN_FORMAT(bf16, pool_backward, blocks_for(extent_eights(s)), BLOCK, stream, T, s, k, channels_padded(s.c) / 8, df,
              (T *)dx);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_linear_forward(cudaStream_t stream, int n, int f_count, int k, const float *f,
                                             const float *w, const float *b, float *z)
{
    LAUNCH(linear_forward, blocks_for((int64_t)n * k * 32), BLOCK, stream, n, f_count, k, f, w, b, z);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_linear_backward_data(cudaStream_t stream, int n, int f_count, int k, const float *dz,
                                                   const float *w, float *df)
{
    LAUNCH(linear_backward_data, blocks_for((int64_t)n * f_count), BLOCK, stream, n, f_count, k, dz, w, df);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_linear_backward_weights(cudaStream_t stream, int n, int f_count, int k, const float *dz,
                                                      const float *f, float *dw, float *db)
{
    LAUNCH(linear_backward_weights, blocks_for((int64_t)k * f_count), BLOCK, stream, n, f_count, k, dz, f, dw);
    if (db)
        LAUNCH(linear_backward_bias, blocks_for((int64_t)k * 32), BLOCK, stream, n, k, dz, db);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_cross_entropy(cudaStream_t stream, int n, int k, const float *z, const int32_t *labels,
                                            float scale, float *loss, int32_t *correct, float *dz)
{
    LAUNCH(cross_entropy, row_blocks(n), ROW_BLOCK, stream, n, k, z, labels, scale, loss, correct, dz);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_kl_loss(cudaStream_t stream, int n, int k, const struct pair_logits *l, float beta)
{
    LAUNCH(kl_loss, row_blocks(n), ROW_BLOCK, stream, n, k, *l, beta);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_mart_loss(cudaStream_t stream, int n, int k, const struct pair_logits *l, float beta)
{
    LAUNCH(mart_loss, row_blocks(n), ROW_BLOCK, stream, n, k, *l, beta);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_lse_loss(cudaStream_t stream, int n, int k, const struct pair_logits *l, float lambda,
                                       float cut, bool clip_clean)
{
    LAUNCH(lse_loss, row_blocks(n), ROW_BLOCK, stream, n, k, *l, lambda, cut, clip_clean);
    return cudaGetLastError();
}
