/* Private to the oneDNN backend: what its files share.
 *
 * Activations are nChw16c (nChw8c below AVX-512): blocks of `block` channels,
 *   [N][CB][H][W][block],  CB = ceil(C / block)
 * and the lanes beyond C always hold zero. oneDNN is told the rounded-up
 * channel count, so that no primitive ever meets its slow path for odd ones;
 * weights are padded with zeros when they are packed.
 *
 * A cell is one number of an activation: float32, or bfloat16 when the device
 * computes in bf16. oneDNN's blocked layout is as fast as NHWC in bf16 too
 * (measured: forward 5-10 % faster, the gradients alike), so both formats share
 * layout and loops: our own kernels take cells as untyped memory and a constant
 * `half`, load and store through cell_load and cell_store, and compute in
 * float32 always. */
#ifndef RIFT_GPU_BACKEND_ONEDNN_H
#define RIFT_GPU_BACKEND_ONEDNN_H

#include "gpu/backend/backend.h"

#include <assert.h>
#include <dnnl.h>
#include <errno.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BLOCK 16
/* Channels that an image may have: gray, colours, and one to spare. */
#define IMAGE_CHANNELS 4

/* Hot loops exist once for each instruction set and are chosen when the
 * program starts. Sanitizers don't get along with the resolvers. */
#ifdef RIFT_SANITIZED
#define CPU_CLONES
#else
#define CPU_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#endif
#define INLINE static inline __attribute__((always_inline))

struct onednn {
    struct device device; /* first: struct device is what the outside sees */
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    int threads;
    int block;
    bool half;      /* cells are bfloat16 */
    float *partial; /* partial sums of reductions; grows at a shape's first use */
    size_t partial_count;
};

static inline struct onednn *onednn(struct device *dev)
{
    return (struct onednn *)dev;
}

static inline int channel_blocks(const struct onednn *d, int c)
{
    return (c + d->block - 1) / d->block;
}

static inline int channels_padded(const struct onednn *d, int c)
{
    return channel_blocks(d, c) * d->block;
}

/* Cells of an activation, padding included. */
static inline int64_t activation_cells(const struct onednn *d, struct shape s)
{
    return (int64_t)s.n * channels_padded(d, s.c) * s.h * s.w;
}

static inline size_t cell_bytes(const struct onednn *d)
{
    return d->half ? sizeof(uint16_t) : sizeof(float);
}

/* The address of cell i; NULL stays NULL. */
static inline const void *cells_at(const struct onednn *d, const void *cells, int64_t i)
{
    return cells ? (const char *)cells + i * (int64_t)cell_bytes(d) : NULL;
}
static inline void *cells_into(const struct onednn *d, void *cells, int64_t i)
{
    return cells ? (char *)cells + i * (int64_t)cell_bytes(d) : NULL;
}

/* ---- bfloat16: the upper half of a float32 ---- */

INLINE float bf16_widen(uint16_t h)
{
    union {
        uint32_t bits;
        float f;
    } u = { .bits = (uint32_t)h << 16 };

    return u.f;
}

/* To the nearest, ties to even, as the processor's own instruction does; a NaN stays one. */
INLINE uint16_t bf16_round(float f)
{
    union {
        float f;
        uint32_t bits;
    } u = { .f = f };
    uint32_t rounded = u.bits + 0x7fff + (u.bits >> 16 & 1);

    return (uint16_t)(((u.bits & 0x7fffffff) > 0x7f800000 ? u.bits | 0x400000 : rounded) >> 16);
}

INLINE float cell_load(const void *cells, int64_t i, bool half)
{
    return half ? bf16_widen(((const uint16_t *)cells)[i]) : ((const float *)cells)[i];
}

INLINE void cell_store(void *cells, int64_t i, float v, bool half)
{
    if (half)
        ((uint16_t *)cells)[i] = bf16_round(v);
    else
        ((float *)cells)[i] = v;
}

/* At least `count` floats for partial sums, or NULL. */
float *onednn_partial(struct onednn *d, size_t count);

/* onednn_conv.c */
int onednn_conv_open(struct device *dev, const struct conv_request *request, struct conv **ret, struct fault *why);
void onednn_conv_close(struct conv *conv);
size_t onednn_conv_packed_bytes(const struct conv *conv);
size_t onednn_conv_scratch_bytes(const struct conv *conv);
int onednn_conv_pack(struct conv *conv, const float *w, const float *scale, const float *bias, void *packed,
                     void *scratch);
int onednn_conv_forward(struct conv *conv, const void *x, const void *packed, const float *bias, const void *residual,
                        void *y, void *scratch);
int onednn_conv_backward_data(struct conv *conv, const void *dy, const void *packed, void *dx, void *scratch);
int onednn_conv_backward_weights(struct conv *conv, const void *x, const void *dy, float *dw, void *scratch);

/* onednn_stem.c: the gradient of an image, w as [tap][i][o padded] */
void onednn_image_gradient(const struct onednn *d, const struct conv_geometry *g, const void *dy, const float *w,
                           float *dx);

/* onednn_norm.c: batch normalisation and its neighbours */
int onednn_bn_forward(struct device *dev, struct shape s, const void *y, const float *gamma, const float *beta,
                      const void *residual, bool relu, void *z, float *mean, float *invstd, float *running_mean,
                      float *running_var, float momentum, float eps);
int onednn_bn_backward(struct device *dev, struct shape s, const void *da, const void *db, const void *z, const void *y,
                       const float *gamma, const float *mean, const float *invstd, void *dy, void *dresidual,
                       float *dgamma, float *dbeta);
int onednn_bn_fold(struct device *dev, int c, const float *gamma, const float *beta, const float *mean,
                   const float *var, float eps, float *scale, float *bias);
int onednn_bn_unfold(struct device *dev, int o, int per_o, const float *w, const float *gamma, const float *mean,
                     const float *var, float eps, float *dw, const float *dbf, float *dgamma, float *dbeta);
int onednn_relu_backward(struct device *dev, struct shape s, const void *a, const void *b, const void *y, void *g);
int onednn_channel_sum(struct device *dev, struct shape s, const void *g, float *sum);

/* onednn_affine.c: frozen batch norm on its own */
int onednn_affine_forward(struct device *dev, struct shape s, const void *y, const float *scale, const float *shift,
                       bool relu, void *z);
int onednn_affine_backward(struct device *dev, struct shape s, const void *da, const void *db, const void *z,
                        const void *y, const float *scale, const float *mean, const float *var, float eps, void *dy,
                        float *dgamma, float *dbeta);

/* onednn_head.c: pooling, linear layer, cross-entropy */
int onednn_pool_forward(struct device *dev, struct shape s, int k, const void *x, float *f);
int onednn_pool_backward(struct device *dev, struct shape s, int k, const float *df, void *dx);
int onednn_linear_forward(struct device *dev, int n, int f_count, int k, const float *f, const float *w, const float *b,
                          float *z);
int onednn_linear_backward_data(struct device *dev, int n, int f_count, int k, const float *dz, const float *w,
                                float *df);
int onednn_linear_backward_weights(struct device *dev, int n, int f_count, int k, const float *dz, const float *f,
                                   float *dw, float *db);
int onednn_cross_entropy(struct device *dev, int n, int k, const float *z, const int32_t *labels, float scale,
                         float *loss, int32_t *correct, float *dz);

/* onednn_losses.c */
int onednn_kl_loss(struct device *dev, int n, int k, const float *z, const float *z_adv, const int32_t *labels,
                   float beta, float scale, float *loss, float *dz, float *dz_adv);
int onednn_mart_loss(struct device *dev, int n, int k, const float *z, const float *z_adv, const int32_t *labels,
                     float beta, float scale, float *loss, float *dz, float *dz_adv);
int onednn_lse_loss(struct device *dev, int n, int k, const float *z, const float *z_adv, const int32_t *labels,
                    float lambda, float c, bool clip_clean, float scale, float *loss, float *dz, float *dz_adv);

/* onednn_pixels.c: images, attacks, vectors of parameters */
int onednn_load_batch(struct device *dev, int n, int c, int h, int w, const uint8_t *images, const struct crop *crops,
                      enum padding padding, float *x);
int onednn_normalize(struct device *dev, struct shape s, const float *x, const double *mean, const double *std,
                     float *out);
int onednn_normalize_backward(struct device *dev, struct shape s, const float *gn, const double *std, float *gx);
int onednn_pgd_start(struct device *dev, struct shape s, const float *x, float epsilon, struct random_key key,
                     const int64_t *id, float *x_adv);
int onednn_normal_start(struct device *dev, struct shape s, const float *x, float sigma, struct random_key key,
                        const int64_t *id, float *x_adv);
int onednn_pgd_step(struct device *dev, struct shape s, const float *x, const float *g, float step, float epsilon,
                    float *x_adv);
int onednn_sgd_step(struct device *dev, int64_t count, float *theta, const float *g, float *v, float lr, float momentum,
                    float wd);
int onednn_axpy(struct device *dev, int64_t count, float a, const float *x, float *y);
int onednn_interpolate(struct device *dev, int64_t count, const float *a, const float *b, float alpha, float *out);
int onednn_project(struct device *dev, int64_t count, const float *center, float factor, float *theta);
int onednn_norm(struct device *dev, int64_t count, const float *a, const float *b, double *ret);

/* onednn_attack.c */
int onednn_margin_loss(struct device *dev, enum margin margin, int n, int k, const float *z, const int32_t *labels,
                       const int32_t *targets, float scale, float *loss, int32_t *correct, float *dz);
int onednn_copy_rows(struct device *dev, void *to, const void *from, size_t row_bytes, const int32_t *to_row,
                     const int32_t *from_row, int n);
int onednn_row_distance(struct device *dev, struct shape s, const float *a, const float *b, float *distance);
int onednn_apgd_start(struct device *dev, struct shape s, const float *x, float epsilon, struct random_key key,
                      const int64_t *id, float *x_adv);
int onednn_apgd_step(struct device *dev, struct shape s, const float *x, const float *g, const float *now,
                     const float *step, float a, float epsilon, float *old);
int onednn_fab_step(struct device *dev, struct shape s, const float *x, const float *g, const float *f, float eta,
                    float most, float *x1);
int onednn_fab_back(struct device *dev, struct shape s, const float *x, float beta, const int32_t *rows, int count,
                    float *x1);
int onednn_square_start(struct device *dev, struct shape s, const float *x, float epsilon, struct random_key key,
                        const int64_t *id, float *x_adv);
int onednn_square_step(struct device *dev, struct shape s, const float *x, const float *best, float epsilon,
                       struct random_key key, const int64_t *id, uint32_t query, int side, float *x_adv);

#endif
