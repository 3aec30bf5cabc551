/* How right is the model on these examples, clean or attacked?
 *
 * A measurement has a key that is unique within its job, and is made once: it
 * is kept in the checkpoint, and asking for it again answers at once. One that
 * was interrupted goes on where it was. So code that measures can be written
 * as if a job were never interrupted. */
#ifndef RIFT_GPU_RIFT_MEASURE_H
#define RIFT_GPU_RIFT_MEASURE_H

#include "gpu/rift/frontier.h"

struct measured {
    double loss;                /* mean cross-entropy; NaN when it isn't finite. Attacked: of the worst run */
    double accuracy;            /* attacked with restarts: of the worst whole run, as in the paper */
    double worst_case_accuracy; /* an example counts only when it is right under every run */
    json_t *json; /* borrowed: {"loss","accuracy"[,"worst_case_accuracy","runs":[{"loss","accuracy"}]]}, or what
                   * autoattack.h says */
};

/* On all images in order, in eval mode. from: NULL or the frontier to start at
 * (clean only). attack: NULL or none is clean. */
int measure(struct batch *batch, const char *key, const struct images *images, struct frontier *from,
            const struct attack_spec *attack, struct measured *ret);
/* How often that goes over the images, as progress counts it. */
int measure_passes(const struct attack_spec *attack);
/* Is there an answer already, so that `images` of it need only their count? */
bool measure_known(const struct run *run, const char *key);
/* Open the plans that measuring `count` examples will need. */
int measure_reserve(struct run *run, int count, int first, const struct attack_spec *attack);

/* The part of the state that measurements are; pushed by whoever measures. */
extern const struct saver measure_saver;
int measure_resume(struct run *run);

static inline bool attack_given(const struct attack_spec *attack)
{
    return attack && !attack->none;
}

#endif
