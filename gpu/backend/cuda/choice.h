/* Which of cuDNN's engines runs a convolution? */
#ifndef RIFT_GPU_BACKEND_CUDA_CHOICE_H
#define RIFT_GPU_BACKEND_CUDA_CHOICE_H

#include "gpu/backend/cuda/device.h"
#include "gpu/backend/cuda/dnn_conv.h"

/* A plan that has been tried. Valid as {0}. */
struct choice {
    struct dnn_graph graph;
    cudnnBackendDescriptor_t plan;
    size_t workspace_bytes;
    bool fused;       /* forward: residual, bias and ReLU are in it */
    int tensor_count; /* pointers that it takes: x, w, y, then bias, then residual */
    bool has[5];      /* which of the UIDs, in their order */
};

/* -ENOTSUP with words when no engine can do it. */
int choose(struct cuda_device *d, const struct dnn_conv *conv, enum dnn_direction direction, struct choice *ret,
           struct fault *why);
int choose_forward(struct cuda_device *d, const struct dnn_conv *conv, const struct dnn_tail *tail, struct choice *ret,
                   struct fault *why);
void choice_done(struct choice *choice);
/* pointers by UID_X, UID_W, UID_Y, UID_BIAS, UID_RESIDUAL; those that the plan doesn't have are left out. */
int choice_run(struct cuda_device *d, const struct choice *choice, const int64_t *uids, void *const *pointers,
               void *workspace);

#endif
