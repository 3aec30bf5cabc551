/* The line between two sets of weights:
 *
 *     theta(alpha) = (1 - alpha) theta_from + alpha theta_to                   (Eq. 9)
 *
 * All tensors walk, running statistics too; alpha 0 and 1 are exact copies, and
 * so is at every alpha a tensor in which the ends don't differ. */
#ifndef RIFT_GPU_RIFT_LINE_H
#define RIFT_GPU_RIFT_LINE_H

#include "gpu/rift/run.h"

struct line {
    struct run *run;
    float *from, *to; /* device, flat */
    bool *differs;    /* [tensor_count] */
    int first;        /* op that is the first to see a difference; 0: the first of all, or none */
};

/* Load both ends; names of the fields are for messages. theta is `from` afterwards. */
int line_open(struct run *run, const struct weights_ref *from, const char *from_field, const struct weights_ref *to,
              const char *to_field, struct line *ret);
void line_done(struct line *line);
/* `from` again, after theta was something else. */
int line_begin(struct line *line);
/* theta <- theta(alpha), when nothing but line_at has moved it since line_open or line_begin. */
int line_at(struct line *line, double alpha);

#endif
