/* Which of cuDNN's engines runs a convolution? choice.c remembers, search.c finds out. */
#ifndef RIFT_GPU_BACKEND_CUDA_CHOICE_H
#define RIFT_GPU_BACKEND_CUDA_CHOICE_H

#include "gpu/backend/cuda/device.h"
#include "gpu/backend/cuda/dnn_conv.h"

/* A plan that has been tried. Valid as {0}. It holds no pointers and no workspace: those come with each run. */
struct choice {
    struct dnn_graph graph;
    cudnnBackendDescriptor_t plan;
    size_t workspace_bytes;
    bool fused;  /* forward: residual, bias and ReLU are in it */
    bool has[5]; /* which of the UIDs, in their order */
};

/* The answer, which is the device's until choices_done. -ENOTSUP with words when no engine can do it. */
int choose(struct cuda_device *d, const struct dnn_conv *conv, enum dnn_direction direction, const struct choice **ret,
           struct fault *why);
int choose_forward(struct cuda_device *d, const struct dnn_conv *conv, const struct dnn_tail *tail,
                   const struct choice **ret, struct fault *why);
/* Forget all of a device's; none may be running. */
void choices_done(struct cuda_device *d);

/* ---- search.c ---- */

/* One question: who runs this graph? */
struct question {
    struct cuda_device *d;
    const struct dnn_conv *conv;
    enum dnn_direction direction;
    const struct dnn_tail *tail; /* or NULL */
    char key[320];               /* all of it in words but whether bits must repeat */
};

/* A graph that has no rival. */
int search_plain(const struct question *q, struct choice *ret, struct fault *why);
/* Forward with a tail: *ret is {0} when the plain convolution and a kernel of ours after it are better. */
int search_fused(const struct question *q, struct choice *ret, struct fault *why);
void choice_done(struct choice *choice);
/* pointers by UID_X, UID_W, UID_Y, UID_BIAS, UID_RESIDUAL; those that the plan doesn't have are left out. */
int choice_run(struct cuda_device *d, const struct choice *choice, const int64_t *uids, void *const *pointers,
               void *workspace);

#endif
