/* Batch normalisation, its folding, and ReLU's mask, on the card.
 *
 * Forward and backward are two kernels each: sums over every channel, whose
 * last block finishes the statistics, and one pass that applies them, fused
 * with residual and ReLU. Outputs may be inputs: a thread reads all it needs of
 * its eight channels before it writes them. Padded channels are written as zero
 * by the same arithmetic: their gamma, beta and invstd count as zero. */
#include "gpu/backend/cuda/channels.cuh"

/* ---- forward --------------------------------------------------------------------------- */

/* Sums of d = y - shift and of d*d; shift is the channel's first element, near enough to its mean that
 * the difference of squares loses nothing that matters. */
template <class T> struct statistics_body {
    const T *y;
    float shift[8];

    explicit statistics_body(const T *of) : y(of), shift()
    {
    }

    __device__ void begin(int channel)
    {
        load8(y + channel, shift);
    }
    __device__ void add(int64_t at, float run[2][8])
    {
        float v[8];

        load8(y + at * 8, v);
#pragma unroll
        for (int k = 0; k < 8; k++) {
            float d = v[k] - shift[k];

            run[0][k] += d;
            run[1][k] += d * d;
        }
    }
};

template <class T> struct statistics_finish {
    const T *y;
    struct bn_parameters p;
    double count;

    __device__ void operator()(int c, const double sum[2])
    {
        struct moments m = moments_of(as_float(y[c]), sum[0], sum[1], count);

        p.mean[c] = (float)m.mean;
        p.invstd[c] = (float)(1 / sqrt(m.var + (double)p.eps));
        if (p.momentum == 0)
            return;
        p.running_mean[c] = running_moved(p.running_mean[c], m.mean, p.momentum);
        p.running_var[c] = running_moved(p.running_var[c], m.var * count / (count - 1), p.momentum);
    }
};

template <class T>
__global__ void __launch_bounds__(TILING_THREADS)
    bn_apply(struct tiling t, const T *y, const T *residual, bool relu, T *z, struct bn_parameters p)
{
    int vec = tiling_vec(&t, (int)blockIdx.x, (int)threadIdx.x);
    float mean[8], k[8], beta[8];

    if (vec >= t.vecs)
        return;
    load_channels(p.mean, vec * 8, t.channels, 0, mean);
    load_channels(p.gamma, vec * 8, t.channels, 0, k);
    load_channels(p.beta, vec * 8, t.channels, 0, beta);
#pragma unroll
    for (int i = 0; i < 8; i++)
        k[i] *= vec * 8 + i < t.channels ? p.invstd[vec * 8 + i] : 0.0f;
    for (int64_t pixel = tiling_first(&t, (int)blockIdx.y, (int)threadIdx.y); pixel < t.pixels;
         pixel += tiling_step(&t)) {
        int64_t at = (pixel * t.vecs + vec) * 8;
        float v[8], r[8] = {};

        load8(y + at, v);
        if (residual)
            load8(residual + at, r);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            v[i] = bn_applied(v[i], mean[i], k[i], beta[i], r[i]);
            v[i] = relu ? relu_or_nan(v[i]) : v[i];
        }
        store8(z + at, v);
    }
}

template <class T>
static cudaError_t bn_forward(cudaStream_t stream, const struct collector *to, struct extent s, const void *y,
                              const void *residual, bool relu, void *z, const struct bn_parameters *p)
{
    statistics_body<T> body((const T *)y);
    statistics_finish<T> finish = { (const T *)y, *p, (double)extent_pixels(s) };
    cudaError_t r = start_reduce<2>(stream, to, s, body, finish);
    struct tiling t = apply_tiling(s, to->processors);

    if (r != cudaSuccess)
        return r;
    OVER_CHANNELS(bn_apply<T>, t, stream, (const T *)y, (const T *)residual, relu, (T *)z, *p);
    return cudaGetLastError();
}

/* ---- backward ------------------------------------------------------------------------------ */

/* Sums of g and of g*xhat. */
template <class T> struct gradient_body {
    const T *da, *db, *z, *y;
    const float *mean_of, *invstd_of;
    int channels;
    float mean[8], invstd[8];

    gradient_body(const struct bn_gradients *g, int c)
        : da((const T *)g->da), db((const T *)g->db), z((const T *)g->z), y((const T *)g->y), mean_of(g->mean),
          invstd_of(g->invstd), channels(c), mean(), invstd()
    {
    }

    __device__ void begin(int channel)
    {
        load_channels(mean_of, channel, channels, 0, mean);
        load_channels(invstd_of, channel, channels, 0, invstd);
    }
    __device__ void add(int64_t at, float run[2][8])
    {
        float g[8], v[8];

        load_gradient(da, db, z, at * 8, g);
        load8(y + at * 8, v);
#pragma unroll
        for (int k = 0; k < 8; k++) {
            run[0][k] += g[k];
            run[1][k] += g[k] * (v[k] - mean[k]) * invstd[k];
        }
    }
};

struct gradient_finish {
    float *dgamma, *dbeta;

    __device__ void operator()(int c, const double sum[2])
    {
        dbeta[c] = (float)sum[0];
        dgamma[c] = (float)sum[1];
    }
};

template <class T>
__global__ void __launch_bounds__(TILING_THREADS) bn_back(struct tiling t, struct bn_gradients p)
{
    const T *da = (const T *)p.da, *db = (const T *)p.db, *z = (const T *)p.z, *y = (const T *)p.y;
    T *dy = (T *)p.dy, *dresidual = (T *)p.dresidual;
    int vec = tiling_vec(&t, (int)blockIdx.x, (int)threadIdx.x);
    float mean[8], invstd[8], k[8], dbeta[8], dgamma[8], n = (float)t.pixels;

    if (vec >= t.vecs)
        return;
    load_channels(p.mean, vec * 8, t.channels, 0, mean);
    load_channels(p.invstd, vec * 8, t.channels, 0, invstd);
    load_channels(p.gamma, vec * 8, t.channels, 0, k);
    load_channels(p.dbeta, vec * 8, t.channels, 0, dbeta);
    load_channels(p.dgamma, vec * 8, t.channels, 0, dgamma);
#pragma unroll
    for (int i = 0; i < 8; i++) {
        k[i] *= invstd[i];
        dbeta[i] /= n;
        dgamma[i] /= n;
    }
    for (int64_t pixel = tiling_first(&t, (int)blockIdx.y, (int)threadIdx.y); pixel < t.pixels;
         pixel += tiling_step(&t)) {
        int64_t at = (pixel * t.vecs + vec) * 8;
        float g[8], v[8];

        load_gradient(da, db, z, at, g);
        load8(y + at, v);
        if (dresidual)
            store8(dresidual + at, g);
#pragma unroll
        for (int i = 0; i < 8; i++)
            v[i] = bn_backed(g[i], v[i], mean[i], invstd[i], k[i], dbeta[i], dgamma[i]);
        store8(dy + at, v);
    }
}

template <class T>
static cudaError_t bn_backward(cudaStream_t stream, const struct collector *to, struct extent s,
                               const struct bn_gradients *g)
{
    gradient_body<T> body(g, s.c);
    gradient_finish finish = { g->dgamma, g->dbeta };
    cudaError_t r = start_reduce<2>(stream, to, s, body, finish);
    struct tiling t = apply_tiling(s, to->processors);

    if (r != cudaSuccess)
        return r;
    OVER_CHANNELS(bn_back<T>, t, stream, *g);
    return cudaGetLastError();
}

/* ---- sums and masks ---------------------------------------------------------------------------- */

template <class T> struct sum_body {
    const T *g;

    __device__ void begin(int)
    {
    }
    __device__ void add(int64_t at, float run[1][8])
    {
        float v[8];

        load8(g + at * 8, v);
#pragma unroll
        for (int k = 0; k < 8; k++)
            run[0][k] += v[k];
    }
};

struct sum_finish {
    float *sum;

    __device__ void operator()(int c, const double total[1])
    {
        sum[c] = (float)total[0];
    }
};

template <class T> __global__ void relu_back(int64_t eights, const T *a, const T *b, const T *y, T *g)
{
    for (int64_t i = loop_first(); i < eights; i += loop_stride()) {
        float v[8];

        load_gradient(a, b, y, i * 8, v);
        store8(g + i * 8, v);
    }
}

/* ---- folding --------------------------------------------------------------------------------------- */

__global__ void bn_fold(int c, const float *gamma, const float *beta, const float *mean, const float *var, float eps,
                        float *scale, float *bias)
{
    for (int64_t i = loop_first(); i < c; i += loop_stride()) {
        double k = gamma[i] / sqrt((double)var[i] + eps);

        scale[i] = (float)k;
        bias[i] = (float)(beta[i] - mean[i] * k);
    }
}

enum { UNFOLD_THREADS = 128 };

/* One block an output channel. dbf may be dbeta. */
__global__ void __launch_bounds__(UNFOLD_THREADS)
    bn_unfold(int per_o, const float *w, const float *gamma, const float *mean, const float *var, float eps, float *dw,
              const float *dbf, float *dgamma, float *dbeta)
{
    __shared__ double shared[UNFOLD_THREADS / 32];
    int o = (int)blockIdx.x;
    const float *row = w + (int64_t)o * per_o;
    float *drow = dw + (int64_t)o * per_o;
    double inverse = 1 / sqrt((double)var[o] + eps), scale = gamma[o] * inverse, dot = 0;

    for (int k = (int)threadIdx.x; k < per_o; k += UNFOLD_THREADS) {
        dot += (double)row[k] * drow[k];
        drow[k] = (float)(scale * drow[k]);
    }
    dot = row_sum(dot);
    if (threadIdx.x % 32 == 0)
        shared[threadIdx.x / 32] = dot;
    __syncthreads();
    if (threadIdx.x > 0)
        return;
    dot = 0;
    for (int i = 0; i < UNFOLD_THREADS / 32; i++)
        dot += shared[i];
    if (dgamma)
        dgamma[o] = (float)(inverse * (dot - (double)mean[o] * dbf[o]));
    if (dbeta)
        dbeta[o] = dbf[o];
}

/* ---- starting ------------------------------------------------------------------------------------------ */

extern "C" cudaError_t kernel_bn_forward(cudaStream_t stream, const struct collector *to, bool bf16, struct extent s,
                                         const void *y, const void *residual, bool relu, void *z,
                                         const struct bn_parameters *p)
{
    return bf16 ? bn_forward<__nv_bfloat16>(stream, to, s, y, residual, relu, z, p)
                : bn_forward<float>(stream, to, s, y, residual, relu, z, p);
}

extern "C" cudaError_t kernel_bn_backward(cudaStream_t stream, const struct collector *to, bool bf16, struct extent s,
                                          const struct bn_gradients *g)
{
    return bf16 ? bn_backward<__nv_bfloat16>(stream, to, s, g) : bn_backward<float>(stream, to, s, g);
}

extern "C" cudaError_t kernel_channel_sum(cudaStream_t stream, const struct collector *to, bool bf16, struct extent s,
                                          const void *g, float *sum)
{
    sum_finish finish = { sum };

    if (bf16) {
        sum_body<__nv_bfloat16> body = { (const __nv_bfloat16 *)g };
        return start_reduce<1>(stream, to, s, body, finish);
    }
    sum_body<float> body = { (const float *)g };
    return start_reduce<1>(stream, to, s, body, finish);
}

extern "C" cudaError_t kernel_relu_backward(cudaStream_t stream, bool bf16, struct extent s, const void *a,
                                            const void *b, const void *y, void *g)
{
    IN_FORMAT(bf16, relu_back, blocks_for(extent_eights(s)), BLOCK, stream, T, extent_eights(s), (const T *)a,
              (const T *)b, (const T *)y, (T *)g);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_bn_fold(cudaStream_t stream, int c, const float *gamma, const float *beta,
                                      const float *mean, const float *var, float eps, float *scale, float *bias)
{
    LAUNCH(bn_fold, blocks_for(c), BLOCK, stream, c, gamma, beta, mean, var, eps, scale, bias);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_bn_unfold(cudaStream_t stream, int o, int per_o, const float *w, const float *gamma,
                                        const float *mean, const float *var, float eps, float *dw, const float *dbf,
                                        float *dgamma, float *dbeta)
{
    LAUNCH(bn_unfold, (unsigned)o, UNFOLD_THREADS, stream, per_o, w, gamma, mean, var, eps, dw, dbf, dgamma, dbeta);
    return cudaGetLastError();
}
