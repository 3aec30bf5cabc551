/* Which modules are moved together, and in which order are they measured?
 *
 *   singles   each module that was asked for, in network order: MRC as the paper defines it
 *   joint     each set of mrc.joint: MRC of several modules at once, which the paper names as open
 *   search    mrc.greedy k, in k - 1 rounds: the lowest single with each other one, then the
 *             lowest of those pairs with each other one
 *
 * A set that comes again, in mrc.joint twice or there and in the search, is measured once.
 * The whole order is a function of the spec and of the rows so far, so a resumed
 * job needs no more than its rows. */
#ifndef RIFT_GPU_RIFT_CRITICALITY_SETS_H
#define RIFT_GPU_RIFT_CRITICALITY_SETS_H

#include "gpu/rift/run.h"

struct criticality_sets {
    struct run *run;
    int *single; /* modules, in network order */
    int single_count;
    int greedy; /* size of the set that is searched for; 1: none is */
};

/* Rows of an mrc job's result, by MRC: negative, 0 or positive like strcmp. A
 * set whose ascent has overflowed is above every one whose hasn't: its number is
 * only what was reached before, and often 0. */
int criticality_compare(const json_t *row, const json_t *other);
/* The first of the lowest rows (sign 1) or of the highest (sign -1): an index,
 * or -1 when there is none. */
int criticality_choose(const json_t *rows, int sign);

/* -EINVAL names what the network doesn't have. */
int criticality_sets_open(struct run *run, struct criticality_sets *ret);
void criticality_sets_done(struct criticality_sets *sets);
int criticality_sets_count(const struct criticality_sets *sets);
/* Number `at`, with the rows of all before it: ret[m] is whether module m moves; [module_count]. */
void criticality_sets_at(const struct criticality_sets *sets, int at, const json_t *rows, bool *ret);
/* {"module": "conv1"}, or {"module": "conv1+linear", "modules": ["conv1", "linear"]}; new reference. */
json_t *criticality_set_names(const struct model *model, const bool *set);
/* The row of that set among those measured so far, borrowed; or NULL. */
json_t *criticality_set_find(const struct model *model, const json_t *rows, const bool *set);
/* Does any set move module m? */
bool criticality_sets_move(const struct criticality_sets *sets, int m);
/* The largest that comes, in floats of its weights. */
int64_t criticality_sets_largest(const struct criticality_sets *sets);
/* {"modules", "joint", "greedy"} from all rows, new reference: greedy has the lowest set of each size. */
json_t *criticality_sets_result(const struct criticality_sets *sets, const json_t *rows);

#endif
