/* One cell of a table on its way to paper (private to job/). */
#ifndef RIFT_JOB_TABLE_CELL_H
#define RIFT_JOB_TABLE_CELL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Text that grows: a hundred seeds are a list that a program counts. {0} is empty. */
struct cell {
    char *text;
    size_t used;
    bool marked; /* holds LaTeX of ours, which stays as it is */
    bool broken; /* no memory: what is there isn't all */
};
void cell_done(struct cell *cell);
#define cell_auto __attribute__((cleanup(cell_done))) struct cell

const char *cell_text(const struct cell *cell);

/* Each appends. */
void cell_put(struct cell *cell, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cell_put_choice(struct cell *cell, const json_t *choice); /* "top 3", "conv1, linear" */
void cell_put_value(struct cell *cell, const json_t *value);   /* of any field, as people write it */
void cell_put_method(struct cell *cell, const json_t *row);    /* "PGD-AT" */
void cell_put_seeds(struct cell *cell, const json_t *seeds);   /* "0 1 2" */
void cell_put_chosen(struct cell *cell, const json_t *chosen); /* "layer2.1.conv2 (2), conv1" of three seeds */
void cell_put_alphas(struct cell *cell, const json_t *chosen, const char *between);

#endif
