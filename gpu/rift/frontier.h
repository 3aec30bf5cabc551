/* How is the frozen part of the network computed only once?
 *
 *     pixels -> [ ops 0 .. first-1, frozen ] -> rows on the device -> [ ops first .. , again and again ]
 *
 * With fixed examples, eval mode and frozen weights before op `first`, its
 * frontier (the values that cross there) is the same every time. One row an
 * example; a batch is a stretch of rows, or gathered ones. first 0: the rows are
 * the images themselves and nothing is stored. */
#ifndef RIFT_GPU_RIFT_FRONTIER_H
#define RIFT_GPU_RIFT_FRONTIER_H

#include "gpu/rift/images.h"

struct frontier {
    struct run *run;
    int first; /* op; 0: from the pixels */
    int count; /* values */
    int value[4];
    size_t row_bytes[4];
    char *rows[4];  /* device */
    char *batch[4]; /* device: gathered rows of one batch */
    int examples, most;
};

/* The last convolution or linear layer at or before op `at` whose frontier for
 * `examples` examples fits the memory that may be used for it; 0: none. */
int frontier_choose(const struct run *run, int at, int examples);
/* Compute the rows of these images with the present weights. */
int frontier_open(struct run *run, const struct images *images, struct batch *batch, int first, struct frontier *ret);
void frontier_done(struct frontier *frontier);
/* Load labels and input of order[first..] (NULL: in order) and bind them to the plan,
 * whose spec starts at frontier->first. */
int frontier_load(struct frontier *frontier, struct batch *batch, const struct images *images, const int32_t *order,
                  int first, int n, struct plan *plan);

#endif
