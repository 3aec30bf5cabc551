/* A card, privately: what the files of this folder share. */
#ifndef RIFT_GPU_BACKEND_CUDA_DEVICE_H
#define RIFT_GPU_BACKEND_CUDA_DEVICE_H

#include "gpu/backend/backend.h"
#include "gpu/backend/cuda/kernels.h"

#include <cuda_runtime_api.h>
#include <cudnn_graph.h>
#include <errno.h>

enum { STAGES = 8, STAGE_BYTES = 256 << 10 };

/* Host arrays on their way to the card: pinned, and not written again before
 * the kernel that reads the copy is done. */
struct stage {
    void *host, *device;
    cudaEvent_t used;
};

struct cuda_device {
    struct device base;
    int ordinal;
    bool bf16;
    char name[256];
    size_t memory_bytes;
    cudaStream_t stream; /* everything happens in it, in order */
    cudnnHandle_t dnn;
    struct collector collector;
    double *number, *number_host; /* a result on its way back; the second pinned */
    struct stage stages[STAGES];
    int next_stage;
    struct known *known; /* who runs which convolution (choice.c) */
    bool recording;
    long trap_countdown; /* reads until a fault is provoked; 0: never (RIFT_CUDA_TRAP_AFTER) */
};

static inline struct cuda_device *cuda(struct device *dev)
{
    return (struct cuda_device *)dev;
}

static inline struct extent extent_of(struct shape s)
{
    return (struct extent){ s.n, s.c, s.h, s.w };
}

static inline size_t element_bytes(const struct cuda_device *d)
{
    return d->bf16 ? 2 : 4;
}

/* 0, or the device's message and negative errno; after -ENODEV there is no way back. */
int cuda_result(struct cuda_device *d, cudaError_t r, const char *what);
int cuda_dnn_result(struct cuda_device *d, cudnnStatus_t status, const char *what);
/* r, an error of something that has failed in the stream; -ENODEV when the card has failed beneath it. */
int cuda_beneath(struct cuda_device *d, int r, const char *what);
/* cudaMalloc with words about bytes wanted and free; not zeroed. NULL: the message says why, cuda_no_memory is the
 * errno. */
void *cuda_memory(struct cuda_device *d, size_t bytes);
static inline int cuda_no_memory(const struct cuda_device *d)
{
    return d->base.lost ? -ENODEV : -ENOMEM;
}

/* The card's copy of a host array of at most STAGE_BYTES, for the kernel that is started next; then stage_used. */
int stage_write(struct cuda_device *d, const void *host, size_t bytes, const void **ret);
int stage_used(struct cuda_device *d);

/* memory.c */
void *cuda_alloc(struct device *dev, size_t bytes);
void cuda_free(struct device *dev, void *memory);
int cuda_write(struct device *dev, void *to, const void *host, size_t bytes);
int cuda_read(struct device *dev, void *host, const void *from, size_t bytes);
int cuda_copy(struct device *dev, void *to, const void *from, size_t bytes);
size_t cuda_activation_bytes(struct device *dev, struct shape s);
int cuda_activation_write(struct device *dev, struct shape s, void *to, const float *host_nchw);
int cuda_activation_read(struct device *dev, struct shape s, float *host_nchw, const void *from);
int cuda_gather_rows(struct device *dev, void *to, const void *from, size_t row_bytes, const int32_t *index, int n);

/* recording.c */
int cuda_repeat(struct device *dev, struct recording **recording, uint64_t key, int (*run)(void *user), void *user);
void cuda_recording_free(struct device *dev, struct recording *recording);

/* conv.c */
int cuda_conv_open(struct device *dev, const struct conv_request *request, struct conv **ret, struct fault *why);
void cuda_conv_close(struct conv *conv);
size_t cuda_conv_packed_bytes(const struct conv *conv);
size_t cuda_conv_scratch_bytes(const struct conv *conv);
int cuda_conv_pack(struct conv *conv, const float *w, const float *scale, const float *bias, void *packed,
                   void *scratch);
int cuda_conv_forward(struct conv *conv, const void *x, const void *packed, const float *bias, const void *residual,
                      void *y, void *scratch);
int cuda_conv_backward_data(struct conv *conv, const void *dy, const void *packed, void *dx, void *scratch);
int cuda_conv_backward_weights(struct conv *conv, const void *x, const void *dy, float *dw, void *scratch);

/* operations.c */
int cuda_bn_forward(struct device *dev, struct shape s, const void *y, const float *gamma, const float *beta,
                    const void *residual, bool relu, void *z, float *mean, float *invstd, float *running_mean,
                    float *running_var, float momentum, float eps);
int cuda_bn_backward(struct device *dev, struct shape s, const void *da, const void *db, const void *z, const void *y,
                     const float *gamma, const float *mean, const float *invstd, void *dy, void *dresidual,
                     float *dgamma, float *dbeta);
int cuda_bn_fold(struct device *dev, int c, const float *gamma, const float *beta, const float *mean, const float *var,
                 float eps, float *scale, float *bias);
int cuda_bn_unfold(struct device *dev, int o, int per_o, const float *w, const float *gamma, const float *mean,
                   const float *var, float eps, float *dw, const float *dbf, float *dgamma, float *dbeta);
int cuda_affine_forward(struct device *dev, struct shape s, const void *y, const float *scale, const float *shift,
                        bool relu, void *z);
int cuda_affine_backward(struct device *dev, struct shape s, const void *da, const void *db, const void *z,
                         const void *y, const float *scale, const float *mean, const float *var, float eps, void *dy,
                         float *dgamma, float *dbeta);
int cuda_relu_backward(struct device *dev, struct shape s, const void *a, const void *b, const void *y, void *g);
int cuda_channel_sum(struct device *dev, struct shape s, const void *g, float *sum);
int cuda_pool_forward(struct device *dev, struct shape s, int k, const void *x, float *f);
int cuda_pool_backward(struct device *dev, struct shape s, int k, const float *df, void *dx);
int cuda_linear_forward(struct device *dev, int n, int f_count, int k, const float *f, const float *w, const float *b,
                        float *z);
int cuda_linear_backward_data(struct device *dev, int n, int f_count, int k, const float *dz, const float *w,
                              float *df);
int cuda_linear_backward_weights(struct device *dev, int n, int f_count, int k, const float *dz, const float *f,
                                 float *dw, float *db);
int cuda_cross_entropy(struct device *dev, int n, int k, const float *z, const int32_t *labels, float scale,
                       float *loss, int32_t *correct, float *dz);
int cuda_kl_loss(struct device *dev, int n, int k, const float *z, const float *z_adv, const int32_t *labels,
                 float beta, float scale, float *loss, float *dz, float *dz_adv);
int cuda_mart_loss(struct device *dev, int n, int k, const float *z, const float *z_adv, const int32_t *labels,
                   float beta, float scale, float *loss, float *dz, float *dz_adv);
int cuda_lse_loss(struct device *dev, int n, int k, const float *z, const float *z_adv, const int32_t *labels,
                  float lambda, float c, bool clip_clean, float scale, float *loss, float *dz, float *dz_adv);
int cuda_load_batch(struct device *dev, int n, int c, int h, int w, const uint8_t *images, const struct crop *crops,
                    enum padding padding, float *x);
int cuda_normalize(struct device *dev, struct shape s, const float *x, const double *mean, const double *std,
                   float *out);
int cuda_normalize_backward(struct device *dev, struct shape s, const float *gn, const double *std, float *gx);
int cuda_pgd_start(struct device *dev, struct shape s, const float *x, float epsilon, struct random_key key,
                   const int64_t *id, float *x_adv);
int cuda_normal_start(struct device *dev, struct shape s, const float *x, float sigma, struct random_key key,
                      const int64_t *id, float *x_adv);
int cuda_pgd_step(struct device *dev, struct shape s, const float *x, const float *g, float step, float epsilon,
                  float *x_adv);
int cuda_sgd_step(struct device *dev, int64_t count, float *theta, const float *g, float *v, float lr, float momentum,
                  float wd);
int cuda_axpy(struct device *dev, int64_t count, float a, const float *x, float *y);
int cuda_interpolate(struct device *dev, int64_t count, const float *a, const float *b, float alpha, float *out);
int cuda_project(struct device *dev, int64_t count, const float *center, float factor, float *theta);
int cuda_norm(struct device *dev, int64_t count, const float *a, const float *b, double *ret);

#endif
