/* The oracle's operations, private to gpu/backend/ref*.c: one file for each
 * section of the table in backend.h, which holds their formulas. */
#ifndef RIFT_GPU_BACKEND_REF_H
#define RIFT_GPU_BACKEND_REF_H

#include "gpu/backend/backend.h"

struct ref_device {
    struct device base;
    int threads;
};

/* Element [n,c,h,w] of an NCHW tensor. */
static inline int64_t ref_at(struct shape s, int n, int c, int h, int w)
{
    return (((int64_t)n * s.c + c) * s.h + h) * s.w + w;
}

static inline float ref_clamp(float v, float low, float high)
{
    return v < low ? low : v > high ? high : v;
}

/* ref_conv.c */
int ref_conv_open(struct device *dev, const struct conv_request *request, struct conv **ret, struct fault *why);
void ref_conv_close(struct conv *conv);
size_t ref_conv_packed_bytes(const struct conv *conv);
size_t ref_conv_scratch_bytes(const struct conv *conv);
int ref_conv_pack(struct conv *conv, const float *w, const float *scale, const float *bias, void *packed,
                  void *scratch);
int ref_conv_forward(struct conv *conv, const void *x, const void *packed, const float *bias, const void *residual,
                     void *y, void *scratch);
int ref_conv_backward_data(struct conv *conv, const void *dy, const void *packed, void *dx, void *scratch);
int ref_conv_backward_weights(struct conv *conv, const void *x, const void *dy, float *dw, void *scratch);

/* ref_bn.c */
int ref_bn_forward(struct device *dev, struct shape s, const void *y, const float *gamma, const float *beta,
                   const void *residual, bool relu, void *z, float *mean, float *invstd, float *running_mean,
                   float *running_var, float momentum, float eps);
int ref_bn_backward(struct device *dev, struct shape s, const void *da, const void *db, const void *z, const void *y,
                    const float *gamma, const float *mean, const float *invstd, void *dy, void *dresidual,
                    float *dgamma, float *dbeta);
int ref_bn_fold(struct device *dev, int c, const float *gamma, const float *beta, const float *mean, const float *var,
                float eps, float *scale, float *bias);
int ref_bn_unfold(struct device *dev, int o, int per_o, const float *w, const float *gamma, const float *mean,
                  const float *var, float eps, float *dw, const float *dbf, float *dgamma, float *dbeta);
int ref_relu_backward(struct device *dev, struct shape s, const void *a, const void *b, const void *y, void *g);
int ref_channel_sum(struct device *dev, struct shape s, const void *g, float *sum);

/* ref_affine.c: frozen batch norm on its own */
int ref_affine_forward(struct device *dev, struct shape s, const void *y, const float *scale, const float *shift,
                       bool relu, void *z);
int ref_affine_backward(struct device *dev, struct shape s, const void *da, const void *db, const void *z,
                        const void *y, const float *scale, const float *mean, const float *var, float eps, void *dy,
                        float *dgamma, float *dbeta);

/* ref_head.c */
int ref_pool_forward(struct device *dev, struct shape s, int k, const void *x, float *f);
int ref_pool_backward(struct device *dev, struct shape s, int k, const float *df, void *dx);
int ref_linear_forward(struct device *dev, int n, int f_count, int k, const float *f, const float *w, const float *b,
                       float *z);
int ref_linear_backward_data(struct device *dev, int n, int f_count, int k, const float *dz, const float *w, float *df);
int ref_linear_backward_weights(struct device *dev, int n, int f_count, int k, const float *dz, const float *f,
                                float *dw, float *db);
int ref_cross_entropy(struct device *dev, int n, int k, const float *z, const int32_t *labels, float scale, float *loss,
                      int32_t *correct, float *dz);

/* ref_losses.c */
int ref_kl_loss(struct device *dev, int n, int k, const float *z, const float *z_adv, const int32_t *labels, float beta,
                float scale, float *loss, float *dz, float *dz_adv);
int ref_mart_loss(struct device *dev, int n, int k, const float *z, const float *z_adv, const int32_t *labels,
                  float beta, float scale, float *loss, float *dz, float *dz_adv);
int ref_lse_loss(struct device *dev, int n, int k, const float *z, const float *z_adv, const int32_t *labels,
                 float lambda, float c, bool clip_clean, float scale, float *loss, float *dz, float *dz_adv);

/* ref_pixels.c */
int ref_load_batch(struct device *dev, int n, int c, int h, int w, const uint8_t *images, const struct crop *crops,
                   enum padding padding, float *x);
int ref_normalize(struct device *dev, struct shape s, const float *x, const double *mean, const double *std,
                  float *out);
int ref_normalize_backward(struct device *dev, struct shape s, const float *gn, const double *std, float *gx);
int ref_pgd_start(struct device *dev, struct shape s, const float *x, float epsilon, struct random_key key,
                  const int64_t *id, float *x_adv);
int ref_normal_start(struct device *dev, struct shape s, const float *x, float sigma, struct random_key key,
                     const int64_t *id, float *x_adv);
int ref_pgd_step(struct device *dev, struct shape s, const float *x, const float *g, float step, float epsilon,
                 float *x_adv);

/* ref_attack.c */
int ref_margin_loss(struct device *dev, enum margin margin, int n, int k, const float *z, const int32_t *labels,
                    const int32_t *targets, float scale, float *loss, int32_t *correct, float *dz);
int ref_copy_rows(struct device *dev, void *to, const void *from, size_t row_bytes, const int32_t *to_row,
                  const int32_t *from_row, int n);
int ref_row_distance(struct device *dev, struct shape s, const float *a, const float *b, float *distance);
int ref_apgd_start(struct device *dev, struct shape s, const float *x, float epsilon, struct random_key key,
                   const int64_t *id, float *x_adv);
int ref_apgd_step(struct device *dev, struct shape s, const float *x, const float *g, const float *now,
                  const float *step, float a, float epsilon, float *old);
int ref_fab_step(struct device *dev, struct shape s, const float *x, const float *g, const float *f, float eta,
                 float most, float *x1);
int ref_fab_back(struct device *dev, struct shape s, const float *x, float beta, const int32_t *rows, int count,
                 float *x1);
int ref_square_start(struct device *dev, struct shape s, const float *x, float epsilon, struct random_key key,
                     const int64_t *id, float *x_adv);
int ref_square_step(struct device *dev, struct shape s, const float *x, const float *best, float epsilon,
                    struct random_key key, const int64_t *id, uint32_t query, int side, float *x_adv);

/* ref_parameters.c */
int ref_sgd_step(struct device *dev, int64_t count, float *theta, const float *g, float *v, float lr, float momentum,
                 float wd);
int ref_axpy(struct device *dev, int64_t count, float a, const float *x, float *y);
int ref_interpolate(struct device *dev, int64_t count, const float *a, const float *b, float alpha, float *out);
int ref_project(struct device *dev, int64_t count, const float *center, float factor, float *theta);
int ref_norm(struct device *dev, int64_t count, const float *a, const float *b, double *ret);

#endif
