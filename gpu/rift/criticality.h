/* Which of two modules is less critical? The order alone, for whoever chooses. */
#ifndef RIFT_GPU_RIFT_CRITICALITY_H
#define RIFT_GPU_RIFT_CRITICALITY_H

#include <jansson.h>

/* Rows of an mrc job's result, by MRC: negative, 0 or positive like strcmp. A
 * module whose ascent has overflowed is above every one whose hasn't: its
 * number is only what was reached before, and often 0. */
int criticality_compare(const json_t *row, const json_t *other);

/* The first of the lowest rows (sign 1) or of the highest (sign -1): an index,
 * or -1 when there is none. */
int criticality_choose(const json_t *rows, int sign);

#endif
