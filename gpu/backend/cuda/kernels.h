/* Which kernels are there, and how are they started?
 *
 * Plain functions, so that the rest of this folder is C. Each puts its kernel
 * into the stream and returns what the launch said; nothing here waits,
 * allocates or copies from the host, so all of them may be recorded.
 *
 * Activations are NHWC, channels padded to CHANNEL_STEP, in float or bf16
 * (`bf16`); their pointers are 16-byte aligned. Shapes are backend.h's, spelled
 * out, because the compiler of the card must not read that header. */
#ifndef RIFT_GPU_BACKEND_CUDA_KERNELS_H
#define RIFT_GPU_BACKEND_CUDA_KERNELS_H

#include "gpu/backend/cuda/elements.h"

#include <cuda_runtime_api.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct extent {
    int n, c, h, w;
};

/* What sums over a tensor are collected in, one for a device: block sums, and
 * counters that are zero between kernels. */
struct collector {
    double *sums;
    size_t sums_count;
    unsigned *arrived;
    int arrived_count;
    int processors; /* multiprocessors of the card */
};

/* -- layout.cu -- */
/* plain NCHW -> activation, padding channels zero; and back. */
cudaError_t kernel_pack_image(cudaStream_t stream, bool bf16, struct extent s, const float *plain, void *activation);
cudaError_t kernel_unpack_image(cudaStream_t stream, bool bf16, struct extent s, const void *activation, float *plain);
/* [O,I,T] * scale -> [Op,T,Ip] and bias -> [Op]; zeros beyond. T: taps, kernel*kernel. */
cudaError_t kernel_pack_weights(cudaStream_t stream, bool bf16, int o, int i, int taps, const float *w,
                                const float *scale, const float *bias, void *packed, void *packed_bias);
/* [Op,T,Ip] -> [O,I,T] */
cudaError_t kernel_unpack_weights(cudaStream_t stream, bool bf16, int o, int i, int taps, const void *packed, float *w);
/* to row k = from row index[k] (device) */
cudaError_t kernel_gather_rows(cudaStream_t stream, void *to, const void *from, size_t row_bytes, const int32_t *index,
                               int n);
/* y = relu?( y + residual? + bias? ), bias [Cp] in the activation's format. */
cudaError_t kernel_epilogue(cudaStream_t stream, bool bf16, struct extent s, const void *residual, const void *bias,
                            bool relu, void *y);
/* Numbers in [-1,1) that don't repeat soon; what plans are tried on. */
cudaError_t kernel_noise(cudaStream_t stream, bool bf16, size_t count, void *to);
/* Stops the device for good, as a fault of the hardware would. */
cudaError_t kernel_trap(cudaStream_t stream);

/* -- norm.cu -- */
struct bn_parameters { /* plain [C] */
    const float *gamma, *beta;
    float *mean, *invstd, *running_mean, *running_var;
    float momentum, eps;
};
cudaError_t kernel_bn_forward(cudaStream_t stream, const struct collector *to, bool bf16, struct extent s, const void *y,
                              const void *residual, bool relu, void *z, const struct bn_parameters *p);
struct bn_gradients {
    const void *da, *db, *z, *y;
    void *dy, *dresidual;
    const float *gamma, *mean, *invstd;
    float *dgamma, *dbeta;
};
cudaError_t kernel_bn_backward(cudaStream_t stream, const struct collector *to, bool bf16, struct extent s,
                               const struct bn_gradients *g);
cudaError_t kernel_channel_sum(cudaStream_t stream, const struct collector *to, bool bf16, struct extent s,
                               const void *g, float *sum);
cudaError_t kernel_relu_backward(cudaStream_t stream, bool bf16, struct extent s, const void *a, const void *b,
                                 const void *y, void *g);
cudaError_t kernel_bn_fold(cudaStream_t stream, int c, const float *gamma, const float *beta, const float *mean,
                           const float *var, float eps, float *scale, float *bias);
cudaError_t kernel_bn_unfold(cudaStream_t stream, int o, int per_o, const float *w, const float *gamma,
                             const float *mean, const float *var, float eps, float *dw, const float *dbf, float *dgamma,
                             float *dbeta);

/* -- affine.cu -- */
cudaError_t kernel_affine_forward(cudaStream_t stream, const struct collector *to, bool bf16, struct extent s,
                                  const void *y, const float *scale, const float *shift, bool relu, void *z);
struct affine_gradients { /* dy, or dgamma and dbeta, may be NULL */
    const void *da, *db, *z, *y;
    const float *scale, *mean, *var;
    float eps;
    void *dy;
    float *dgamma, *dbeta;
};
cudaError_t kernel_affine_backward(cudaStream_t stream, const struct collector *to, bool bf16, struct extent s,
                                   const struct affine_gradients *g);

/* -- head.cu -- */
cudaError_t kernel_pool_forward(cudaStream_t stream, bool bf16, struct extent s, int k, const void *x, float *f);
cudaError_t kernel_pool_backward(cudaStream_t stream, bool bf16, struct extent s, int k, const float *df, void *dx);
cudaError_t kernel_linear_forward(cudaStream_t stream, int n, int f_count, int k, const float *f, const float *w,
                                  const float *b, float *z);
cudaError_t kernel_linear_backward_data(cudaStream_t stream, int n, int f_count, int k, const float *dz, const float *w,
                                        float *df);
cudaError_t kernel_linear_backward_weights(cudaStream_t stream, int n, int f_count, int k, const float *dz,
                                           const float *f, float *dw, float *db);
cudaError_t kernel_cross_entropy(cudaStream_t stream, int n, int k, const float *z, const int32_t *labels, float scale,
                                 float *loss, int32_t *correct, float *dz);
/* Losses of two sets of logits; labels NULL: none. */
struct pair_logits {
    const float *z, *z_adv;
    const int32_t *labels;
    float scale;
    float *loss, *dz, *dz_adv;
};
cudaError_t kernel_kl_loss(cudaStream_t stream, int n, int k, const struct pair_logits *l, float beta);
cudaError_t kernel_mart_loss(cudaStream_t stream, int n, int k, const struct pair_logits *l, float beta);
cudaError_t kernel_lse_loss(cudaStream_t stream, int n, int k, const struct pair_logits *l, float lambda, float cut,
                            bool clip_clean);

/* -- pixels.cu; crops and ids on the device -- */
struct per_channel { /* as many as a model's input may have */
    float mean[4], std[4];
};
cudaError_t kernel_load_batch(cudaStream_t stream, struct extent s, const uint8_t *images, const struct window *crops,
                              bool zeros, float *x);
cudaError_t kernel_normalize(cudaStream_t stream, struct extent s, const float *x, struct per_channel p, float *out);
cudaError_t kernel_normalize_backward(cudaStream_t stream, struct extent s, const float *gn, struct per_channel p,
                                      float *gx);
struct start_key {
    uint64_t seed;
    uint32_t purpose, epoch;
};
cudaError_t kernel_pgd_start(cudaStream_t stream, struct extent s, const float *x, float epsilon, struct start_key key,
                             const int64_t *id, float *x_adv);
cudaError_t kernel_normal_start(cudaStream_t stream, struct extent s, const float *x, float sigma, struct start_key key,
                                const int64_t *id, float *x_adv);
cudaError_t kernel_pgd_step(cudaStream_t stream, struct extent s, const float *x, const float *g, float step,
                            float epsilon, float *x_adv);

/* -- parameters.cu -- */
cudaError_t kernel_sgd_step(cudaStream_t stream, int64_t count, float *theta, const float *g, float *v, float lr,
                            float momentum, float wd);
cudaError_t kernel_axpy(cudaStream_t stream, int64_t count, float a, const float *x, float *y);
cudaError_t kernel_interpolate(cudaStream_t stream, int64_t count, const float *a, const float *b, float alpha,
                               float *out);
cudaError_t kernel_project(cudaStream_t stream, int64_t count, const float *center, float factor, float *theta);
/* *square (device) = sum of (a - b?)^2 in double */
cudaError_t kernel_norm(cudaStream_t stream, const struct collector *to, int64_t count, const float *a, const float *b,
                        double *square);

#ifdef __cplusplus
}
#endif
#endif
