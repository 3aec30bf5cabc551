/* x' = x + delta: what does an adversary do to a batch? */
#ifndef RIFT_GPU_RIFT_ATTACK_H
#define RIFT_GPU_RIFT_ATTACK_H

#include "gpu/rift/images.h"

/* The plan an attack differentiates for n examples: eval mode, or train mode
 * while training (then every forward pass of it moves the running statistics). */
struct plan_spec attack_plan(enum plan_mode mode);

/* What an attack climbs, and where it starts. */
struct climb {
    /* Leaves, where plan_backward wants it, the gradient by the logits of x' of what shall grow. */
    int (*gradient)(struct batch *batch, struct plan *plan, const struct climb *climb);
    float *natural; /* device [N,K]: f(x) of the same plan, taken before the first step; NULL: nobody looks at it */
    double noise;   /* a random start is x + noise * N(0,1), not clamped; 0: anywhere in the ball, clamped */
};

/* Ascent with signed steps on the batch's x and labels; the last x' is in
 * batch->x_adv. key: where the random start comes from. */
int attack_climb(struct batch *batch, struct plan *plan, const struct attack_spec *attack, const struct climb *climb,
                 struct random_key key);

/* The cross-entropy of x', which PGD climbs. */
int climb_cross_entropy(struct batch *batch, struct plan *plan, const struct climb *climb);
/* PGD on the batch's x and labels; the adversarial examples are in batch->x_adv.
 * key: where the random start comes from. */
int attack_pgd(struct batch *batch, struct plan *plan, const struct attack_spec *attack, struct random_key key);

#endif
