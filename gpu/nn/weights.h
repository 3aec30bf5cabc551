/* The numbers of a model on a device: one flat vector, parameters first.
 *
 * Whoever changes a tensor says so with weights_touch; plans compare versions
 * and repack only what changed. */
#ifndef RIFT_GPU_NN_WEIGHTS_H
#define RIFT_GPU_NN_WEIGHTS_H

#include "gpu/nn/model.h"

struct weights {
    const struct model *model;
    struct device *dev;
    float *theta;      /* device, model->total_count floats */
    uint64_t *version; /* host, one a tensor */
    uint64_t clock;
};

int weights_open(struct device *dev, const struct model *model, struct weights **ret, struct fault *why);
void weights_close(struct weights *weights);
static inline void weights_closep(struct weights **w)
{
    weights_close(*w);
}
#define weights_auto __attribute__((cleanup(weights_closep))) struct weights

static inline float *weights_at(const struct weights *w, int tensor)
{
    return w->theta + w->model->tensors[tensor].offset;
}

void weights_touch(struct weights *weights, int tensor);
void weights_touch_all(struct weights *weights);

/* First weights from (seed, RANDOM_INIT), by the model's rule (enum
 * initialisation): weights and the linear bias drawn or 0; BN 1, 0, 0, 1. */
int weights_init(struct weights *weights, int64_t seed);

/* All tensors from a safetensors file with the model's names and shapes,
 * float32. A "module." prefix is stripped; num_batches_tracked is ignored, and
 * so are names with "sub_block1" that the model lacks or that don't fit; a missing, misshapen, unknown or non-finite tensor
 * is -EINVAL and named. Nothing changes on failure. */
int weights_load(struct weights *weights, const char *path, struct fault *why);

/* Write dir/name, float32, the model spec (JSON text) in __metadata__.model.
 * -EDOM: a value isn't finite; its tensor is named and nothing is written. */
int weights_save(const struct weights *weights, const char *dir, const char *name, const char *model_json,
                 char ret_sha256[65], int64_t *ret_size, struct fault *why);

/* Host copies of the whole flat vector, for checkpoints and snapshots. */
int weights_get(const struct weights *weights, float *host);
int weights_set(struct weights *weights, const float *host); /* touches all */

#endif
