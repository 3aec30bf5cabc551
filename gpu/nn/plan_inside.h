/* Private to the plan: the units a model is lowered to, and where they put things. */
#ifndef RIFT_GPU_NN_PLAN_INSIDE_H
#define RIFT_GPU_NN_PLAN_INSIDE_H

#include "gpu/nn/plan.h"

#define FOREVER   (1 << 30)
#define NO_BUFFER (-1)
/* The gradient of the pixels goes where the caller of plan_backward says. */
#define CALLERS_BUFFER (-2)

/* A stretch of the workspace between two points in time. */
struct buffer {
    size_t bytes, offset;
    int birth, death;
};

enum { PLAN_RECORDINGS = 4 };

enum unit_type { UNIT_CONV, UNIT_BN, UNIT_AFFINE, UNIT_POOL, UNIT_LINEAR };

/* One fused step, forward and backward.
 *
 *   CONV    y = relu?( conv(x) [folded BN] + residual? )
 *   BN      y = relu?( bn(x) + residual? )       on batch statistics
 *   AFFINE  y = relu?( scale*x + shift )         frozen BN that no convolution can take in
 *   POOL, LINEAR
 *
 * Backward, with the gradients a and b (b may be missing) of y:
 *   g = (a + b) * (y > 0), then gradients of parameters, of x and of the residual. */
struct unit {
    enum unit_type type;
    int op;             /* the first one it covers */
    int x, y, residual; /* values; residual -1: none */
    bool relu;
    int weight, bias; /* tensors, -1 none */
    int bn[4];        /* gamma, beta, mean, var; -1 none */
    struct conv *conv;
    float *packed, *scale, *shift; /* device: packed weights, folded scale and bias */
    uint64_t packed_clock;         /* newest version that is in them; AFFINE: in scale and shift */

    bool backward; /* its backward step does something */
    bool want_weight, want_bias, want_bn, want_x, want_residual;
    int mean, invstd;      /* buffers of a BN in training */
    int a, b;              /* gradients of y that arrive */
    int dx, dresidual;     /* gradients that leave */
    int dgamma, dbeta, dw; /* buffers for those that nobody asked for but the formula makes */
};

struct plan {
    struct workspace *ws;
    struct weights *weights;
    const struct model *model;
    struct plan_spec spec;
    bool *wanted; /* own copy, or NULL */
    struct unit *units;
    int unit_count;
    struct buffer *buffers;
    int buffer_count, buffer_space;
    int *value_buffer;   /* by value: where it is kept, or NO_BUFFER */
    const void **bound;  /* by value: memory of the caller, or NULL */
    int (*gradients)[2]; /* by value: buffers of the gradients that arrive, while lowering */
    int normalized;      /* buffer of the normalised image, or NO_BUFFER */
    int logits, logits_gradient, loss, correct, scratch;
    size_t workspace_bytes, packed_bytes;
    void *packed; /* device */
    struct {
        uint64_t key; /* 0: free */
        struct recording *made;
    } recordings[PLAN_RECORDINGS];
};

/* Shape of a value for the plan's batch; plain rows for what pooling and the
 * linear layer make. */
struct shape plan_shape(const struct plan *plan, int value);

/* Everything between spec and addresses: units, wishes, buffers, memory. */
int plan_lower(struct plan *plan, struct fault *why);

#endif
