/* x' = x + delta: what does an adversary do to a batch? */
#ifndef RIFT_GPU_RIFT_ATTACK_H
#define RIFT_GPU_RIFT_ATTACK_H

#include "gpu/rift/images.h"

/* The plan an attack differentiates for n examples: eval mode, or train mode
 * while training (then every forward pass of it moves the running statistics). */
struct plan_spec attack_plan(enum plan_mode mode);

/* PGD on the batch's x and labels; the adversarial examples are in batch->x_adv.
 * key: where the random start comes from. */
int attack_pgd(struct batch *batch, struct plan *plan, const struct attack_spec *attack, struct random_key key);

#endif
