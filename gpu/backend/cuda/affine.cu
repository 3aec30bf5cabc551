/* Frozen batch norm that no convolution can take in: an affine map a channel,
 * on the card. Padded channels become zero: their scale and shift count as zero. */
#include "gpu/backend/cuda/channels.cuh"

template <class T>
__global__ void __launch_bounds__(TILING_THREADS)
    affine_apply(struct tiling t, const T *y, const float *scale, const float *shift, bool relu, T *z)
{
    int vec = tiling_vec(&t, (int)blockIdx.x, (int)threadIdx.x);
    float k[8], b[8];

    if (vec >= t.vecs)
        return;
    load_channels(scale, vec * 8, t.channels, 0, k);
    load_channels(shift, vec * 8, t.channels, 0, b);
    for (int64_t pixel = tiling_first(&t, (int)blockIdx.y, (int)threadIdx.y); pixel < t.pixels;
         pixel += tiling_step(&t)) {
        int64_t at = (pixel * t.vecs + vec) * 8;
        float v[8];

        load8(y + at, v);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            v[i] = k[i] * v[i] + b[i];
            v[i] = relu ? relu_or_nan(v[i]) : v[i];
        }
        store8(z + at, v);
    }
}

/* Sums of g and of g*(y - mean). */
template <class T> struct affine_body {
    const T *da, *db, *z, *y;
    const float *mean_of;
    int channels;
    float mean[8];

    affine_body(const struct affine_gradients *g, int c)
        : da((const T *)g->da), db((const T *)g->db), z((const T *)g->z), y((const T *)g->y), mean_of(g->mean),
          channels(c), mean()
    {
    }
    __device__ void begin(int channel)
    {
        load_channels(mean_of, channel, channels, 0, mean);
    }
    __device__ void add(int64_t at, float run[2][8])
    {
        float g[8], v[8];

        load_gradient(da, db, z, at * 8, g);
        load8(y + at * 8, v);
#pragma unroll
        for (int k = 0; k < 8; k++) {
            run[0][k] += g[k];
            run[1][k] += g[k] * (v[k] - mean[k]);
        }
    }
};

struct affine_finish {
    const float *var;
    float eps;
    float *dgamma, *dbeta;

    __device__ void operator()(int c, const double sum[2])
    {
        dgamma[c] = (float)(sum[1] / sqrt((double)var[c] + eps));
        dbeta[c] = (float)sum[0];
    }
};

template <class T>
__global__ void __launch_bounds__(TILING_THREADS)
    affine_back(struct tiling t, const T *da, const T *db, const T *z, const float *scale, T *dy)
{
    int vec = tiling_vec(&t, (int)blockIdx.x, (int)threadIdx.x);
    float k[8];

    if (vec >= t.vecs)
        return;
    load_channels(scale, vec * 8, t.channels, 0, k);
    for (int64_t pixel = tiling_first(&t, (int)blockIdx.y, (int)threadIdx.y); pixel < t.pixels;
         pixel += tiling_step(&t)) {
        int64_t at = (pixel * t.vecs + vec) * 8;
        float g[8];

        load_gradient(da, db, z, at, g);
#pragma unroll
        for (int i = 0; i < 8; i++)
            g[i] *= k[i];
        store8(dy + at, g);
    }
}

template <class T>
static cudaError_t affine_backward(cudaStream_t stream, const struct collector *to, struct extent s,
                                   const struct affine_gradients *g)
{
    struct tiling t = apply_tiling(s, to->processors);

    if (g->dgamma) { /* first: dy may be da */
        affine_body<T> body(g, s.c);
        affine_finish finish = { g->var, g->eps, g->dgamma, g->dbeta };
        cudaError_t r = start_reduce<2>(stream, to, s, body, finish);
        if (r != cudaSuccess)
            return r;
    }
    if (g->dy)
        OVER_CHANNELS(affine_back<T>, t, stream, (const T *)g->da, (const T *)g->db, (const T *)g->z, g->scale,
                      (T *)g->dy);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_affine_forward(cudaStream_t stream, const struct collector *to, bool bf16,
                                             struct extent s, const void *y, const float *scale, const float *shift,
                                             bool relu, void *z)
{
    struct tiling t = apply_tiling(s, to->processors);

    if (bf16)
        OVER_CHANNELS(affine_apply<__nv_bfloat16>, t, stream, (const __nv_bfloat16 *)y, scale, shift, relu,
                      (__nv_bfloat16 *)z);
    else
        OVER_CHANNELS(affine_apply<float>, t, stream, (const float *)y, scale, shift, relu, (float *)z);
    return cudaGetLastError();
}

extern "C" cudaError_t kernel_affine_backward(cudaStream_t stream, const struct collector *to, bool bf16,
                                              struct extent s, const struct affine_gradients *g)
{
    return bf16 ? affine_backward<__nv_bfloat16>(stream, to, s, g) : affine_backward<float>(stream, to, s, g);
}
