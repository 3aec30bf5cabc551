/* D_adv: the adversarial examples that stay the same while weights move.
 *
 * Crafted once at theta, in eval mode (Algorithm 1 of the paper, lines 1-4); or,
 * with attack null, the examples as they are. */
#ifndef RIFT_GPU_RIFT_FIXED_EXAMPLES_H
#define RIFT_GPU_RIFT_FIXED_EXAMPLES_H

#include "gpu/rift/images.h"

struct fixed_examples {
    struct run *run;
    const struct attack_spec *attack; /* or NULL */
    struct images clean, adversarial;
    const struct images *d_adv; /* one of the two */
    int crafted;                /* examples that are done */
    bool stored;                /* all are, and in a file of their own */
};

/* Memory and plans. attack NULL: the examples as they are. */
int fixed_examples_open(struct run *run, const struct examples *examples, const struct attack_spec *attack,
                        struct fixed_examples *ret);
/* Craft them, or read back what a checkpoint has; its saver must be pushed. */
int fixed_examples_craft(struct fixed_examples *fixed, struct batch *batch);
void fixed_examples_done(struct fixed_examples *fixed);
struct saver fixed_examples_saver(struct fixed_examples *fixed);

#endif
