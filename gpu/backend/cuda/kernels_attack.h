/* Kernels of APGD, FAB and Square: as kernels.h. Arrays of steps, ids and row numbers are on the device. */
#ifndef RIFT_GPU_BACKEND_CUDA_KERNELS_ATTACK_H
#define RIFT_GPU_BACKEND_CUDA_KERNELS_ATTACK_H

#include "gpu/backend/cuda/elements_attack.h"
#include "gpu/backend/cuda/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

struct margin_logits { /* targets, dz may be NULL */
    const float *z;
    const int32_t *labels, *targets;
    float scale;
    float *loss;
    int32_t *correct;
    float *dz;
};
cudaError_t kernel_margin_loss(cudaStream_t stream, int margin, int n, int k, const struct margin_logits *l);
/* rows: n of `to`, then n of `from`. */
cudaError_t kernel_copy_rows(cudaStream_t stream, void *to, const void *from, size_t row_bytes, const int32_t *rows,
                             int n);
cudaError_t kernel_row_distance(cudaStream_t stream, struct extent s, const float *a, const float *b, float *distance);
cudaError_t kernel_apgd_start(cudaStream_t stream, struct extent s, const float *x, float epsilon, struct start_key key,
                              const int64_t *id, float *x_adv);
cudaError_t kernel_apgd_step(cudaStream_t stream, struct extent s, const float *x, const float *g, const float *now,
                             const float *step, float a, float epsilon, float *old);
cudaError_t kernel_fab_step(cudaStream_t stream, struct extent s, const float *x, const float *g, const float *f,
                            float eta, float most, float *x1);
cudaError_t kernel_fab_back(cudaStream_t stream, struct extent s, const float *x, float beta, const int32_t *rows,
                            int count, float *x1);
cudaError_t kernel_square_start(cudaStream_t stream, struct extent s, const float *x, float epsilon,
                                struct start_key key, const int64_t *id, float *x_adv);
cudaError_t kernel_square_step(cudaStream_t stream, struct extent s, const float *x, const float *best, float epsilon,
                               struct start_key key, const int64_t *id, uint32_t query, int side, float *x_adv);

#ifdef __cplusplus
}
#endif
#endif
