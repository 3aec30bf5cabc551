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
    char *memory; /* device: rows and batch of the largest frontier that was reserved */
    size_t bytes;
    int examples, most;

    /* The one that is open. */
    int first; /* op; 0: from the pixels */
    int count; /* values */
    int value[4];
    size_t row_bytes[4];
    char *rows[4];  /* inside memory */
    char *batch[4]; /* inside memory: gathered rows of one batch */
};

/* Where to start for each of `count` operations: at[i] becomes the last convolution or linear
 * layer at or before it whose frontier fits what may be used for it, or 0: at the pixels. The
 * memory of the largest is taken now, before the job begins; without it everything starts at the
 * pixels. Plans that the job can't do without are to be reserved before. */
void frontier_reserve(struct run *run, int examples, int most, int *at, int count, struct frontier *ret);
/* Open the plans that compute rows, before the job begins; nothing for 0. */
int frontier_plan(struct run *run, int examples, int first);
/* Compute the rows of these images with the present weights; first is one of at[]. */
int frontier_open(struct frontier *frontier, const struct images *images, struct batch *batch, int first);
void frontier_done(struct frontier *frontier);
/* Load labels and input of order[first..] (NULL: in order) and bind them to the plan,
 * whose spec starts at frontier->first. */
int frontier_load(struct frontier *frontier, struct batch *batch, const struct images *images, const int32_t *order,
                  int first, int n, struct plan *plan);

#endif
