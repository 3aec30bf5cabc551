/* How large is the step at this point of training?
 *
 *   constant   lr
 *   step       lr * gamma^k, k = milestones that are <= the epoch (counted from 0),
 *              so that milestones [100,105] change the 101st and the 106th epoch
 *   cosine     lr * (1 + cos(pi t)) / 2,  t = (epoch + i/iterations) / epochs
 *   linear     lr * (1 - t) */
#ifndef RIFT_GPU_NN_SCHEDULE_H
#define RIFT_GPU_NN_SCHEDULE_H

#include "job/job.h"

/* lr of iteration `i` of `iterations` in `epoch` (from 0) of `epochs`. */
double schedule_lr(const struct optimizer_spec *spec, int epoch, int epochs, int i, int iterations);

#endif
