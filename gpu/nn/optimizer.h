/* How do parameters step?
 *
 * PyTorch's SGD: g' = g + wd*theta; v = momentum*v + g'; theta -= lr*v, with
 * v = 0 before the first step. Only wanted parameters move; the others get
 * neither gradient nor decay, as in PyTorch when .grad is None.
 *
 * Surprising: weight decay is applied to batch norm's gamma and beta and to
 * biases too. The published recipes do so. */
#ifndef RIFT_GPU_NN_OPTIMIZER_H
#define RIFT_GPU_NN_OPTIMIZER_H

#include "gpu/nn/weights.h"

struct optimizer {
    struct weights *weights;
    const bool *wanted; /* [tensor_count], borrowed; NULL: every parameter */
    float *gradient;    /* device, [parameter_count], where plan_backward puts it */
    float *velocity;    /* device, [parameter_count]: v */
};

int optimizer_open(struct weights *weights, const bool *wanted, struct optimizer *ret, struct fault *why);
void optimizer_done(struct optimizer *optimizer);
/* One step with the gradient that is there. anchor NULL, or [parameter_count] on the device: gradient and decay were
 * taken at theta, the step goes from the anchor, theta = anchor - lr*v. */
int optimizer_step(struct optimizer *optimizer, const float *anchor, float lr, float momentum, float weight_decay);

#endif
