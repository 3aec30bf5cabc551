/* Operations of APGD, FAB and Square; a part of device.h. */
#ifndef RIFT_GPU_BACKEND_CUDA_DEVICE_ATTACK_H
#define RIFT_GPU_BACKEND_CUDA_DEVICE_ATTACK_H

#include "gpu/backend/cuda/device.h"

int cuda_margin_loss(struct device *dev, enum margin margin, int n, int k, const float *z, const int32_t *labels,
                     const int32_t *targets, float scale, float *loss, int32_t *correct, float *dz);
int cuda_copy_rows(struct device *dev, void *to, const void *from, size_t row_bytes, const int32_t *to_row,
                   const int32_t *from_row, int n);
int cuda_row_distance(struct device *dev, struct shape s, const float *a, const float *b, float *distance);
int cuda_apgd_start(struct device *dev, struct shape s, const float *x, float epsilon, struct random_key key,
                    const int64_t *id, float *x_adv);
int cuda_apgd_step(struct device *dev, struct shape s, const float *x, const float *g, const float *now,
                   const float *step, float a, float epsilon, float *old);
int cuda_fab_step(struct device *dev, struct shape s, const float *x, const float *g, const float *f, float eta,
                  float most, float *x1);
int cuda_fab_back(struct device *dev, struct shape s, const float *x, float beta, const int32_t *rows, int count,
                  float *x1);
int cuda_square_start(struct device *dev, struct shape s, const float *x, float epsilon, struct random_key key,
                      const int64_t *id, float *x_adv);
int cuda_square_step(struct device *dev, struct shape s, const float *x, const float *best, float epsilon,
                     struct random_key key, const int64_t *id, uint32_t query, int side, float *x_adv);

#endif
