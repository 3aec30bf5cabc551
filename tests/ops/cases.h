/* Which shapes are operations tried on?
 *
 * One list drives everything: comparison of every backend with the oracle
 * (test_ops), finite differences (test_gradients) and speed (test_ops
 * --speed). A case belongs to a group; every operation of that group runs on
 * it. Sizes are odd on purpose: channels that are no multiple of a vector,
 * images that no tile fits, batches of one. */
#ifndef RIFT_TESTS_OPS_CASES_H
#define RIFT_TESTS_OPS_CASES_H

#include "gpu/backend/backend.h"

enum group { GROUP_CONV, GROUP_ACTIVATION, GROUP_POOL, GROUP_LINEAR, GROUP_LOSS, GROUP_IMAGE, GROUP_VECTOR };

struct op_case {
    enum group group;
    struct shape in; /* LINEAR: n examples, c features; LOSS: n examples; VECTOR: n elements */
    int out_c;       /* CONV: output channels; LINEAR, LOSS: classes; POOL: window */
    int kernel, stride;
    bool image_in, bias, residual, relu;
    bool scale;  /* weights are packed with a scale */
    bool second; /* the gradient arrives from two sides; optional outputs are wanted */
    bool speed;  /* only measured: too large for the oracle */
};

/* Terminated by a case with in.n == 0. */
extern const struct op_case op_cases[];

struct conv_geometry case_geometry(const struct op_case *c);
/* "2x24x11x13 -> 8, 3x3/1, bias relu" */
void case_print(const struct op_case *c, char *ret, size_t size);

/* Reproducible numbers in [-1, 1): element i of stream `what`. */
float noise(uint32_t what, int64_t i);

#endif
