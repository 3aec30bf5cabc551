/* How is one operation run on one case?
 *
 * A kind is an operation of the seam as data: what goes in and comes out, how
 * to call it, which outputs may share memory with which inputs, how far a
 * backend may be from the oracle and why, and how much work it is. */
#ifndef RIFT_TESTS_OPS_KINDS_H
#define RIFT_TESTS_OPS_KINDS_H

#include "tests/ops/cases.h"

enum { IO_MAX = 10, ALIAS_MAX = 2 };
enum { CONV_WEIGHT = 8, CONV_SCALE = 9 }; /* inputs of every convolution: what it packs */

enum io_type { IO_NONE, IO_PLAIN, IO_ACTIVATION, IO_INT32, IO_U8, IO_NUMBER /* a host double */ };
enum io_way { WAY_IN, WAY_OUT, WAY_BOTH };
enum fill {
    FILL_SIGNED,   /* [-1,1) */
    FILL_POSITIVE, /* (0.25,1.75) */
    FILL_PIXEL,    /* [0,1) */
    FILL_RELU,     /* what ReLU leaves: half zeros */
    FILL_SPARSE,   /* signed with zeros in between */
    FILL_BYTE,
    FILL_CLASS, /* 0..out_c-1 */
    FILL_LOGIT, /* [-4,4) */
};

struct io {
    enum io_type type;
    enum io_way way;
    struct shape shape;
    enum fill fill;
};

/* One call, ready to be made again and again. */
struct run {
    struct device *dev;
    const struct op_case *c;
    void *mem[IO_MAX];
    struct conv *conv;
    void *packed, *scratch;
    struct crop *crops; /* [N] */
    int64_t *ids;       /* [N] */
};

struct op_kind {
    const char *name;
    enum group group;
    void (*ios)(const struct op_case *c, struct io io[IO_MAX]);
    int (*call)(struct run *run);
    struct {
        int out, in;
    } alias[ALIAS_MAX]; /* promises of backend.h; out 0: none */
    double tolerance;   /* ||a-b|| / ||b||; 0: the same bits */
    const char *reason; /* of the tolerance */
    double bf16;        /* tolerance when activations are bf16; 0: the same, no activation is written */
    bool in_flops;      /* work is counted in multiply-adds, not in bytes */
};

/* Terminated by a NULL name. */
extern const struct op_kind op_kinds[];

/* Allocate, fill the inputs, poison the outputs with NaN, prepare. Bit i of
 * alias_mask makes alias[i].out live where its input does. */
void run_open(struct run *run, struct device *dev, const struct op_kind *kind, const struct op_case *c,
              unsigned alias_mask);
void run_close(struct run *run, const struct op_kind *kind);
/* Elements of output i as doubles (malloc'd, *ret_count of them); NULL when it isn't one. */
double *run_output(struct run *run, const struct op_kind *kind, int i, int64_t *ret_count);
/* Give `to` the activations that `from` reads, rounded as they are there: what its device does is
 * judged, not what was lost before it. */
void run_share(struct run *from, struct run *to, const struct op_kind *kind);
/* Floating-point operations, or bytes read and written when the kind has none. */
double run_work(const struct op_kind *kind, const struct op_case *c);

#endif
