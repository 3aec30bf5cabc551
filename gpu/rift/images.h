/* How do examples become a batch?
 *
 *   examples (host)  --once-->  images (device)  --each step-->  batch.x [n,C,H,W], labels [n]
 *
 * 8-bit images stay 8-bit on the device and are cut out, padded and mirrored
 * there. Float ones (adversarial examples) are rows that are gathered, or
 * used where they lie when they are wanted in order. Float ones that are to be
 * cut stay on the host and are cut there: they are rare, and a batch is little
 * beside what is computed with it. */
#ifndef RIFT_GPU_RIFT_IMAGES_H
#define RIFT_GPU_RIFT_IMAGES_H

#include "gpu/rift/run.h"

struct images {
    struct run *run;
    int count, most;   /* most: that there is room for */
    struct shape one;  /* n is 1 */
    uint8_t *bytes;    /* device [count,C,H,W], or NULL */
    float *rows;       /* device [count,C,H,W] in [0,1], or NULL */
    const float *host; /* host [count,C,H,W] in [0,1], of the examples, or NULL; exactly one of the three */
    float *cut;        /* host [batch,C,H,W]: the batch that is being cut out of `host` */
    int32_t *labels;   /* device [count] */
    const int32_t *id; /* host [count], of the examples */
};

int images_open(struct run *run, const struct examples *examples, struct images *ret);
/* For batches that are all cut out somehow. */
int images_open_cut(struct run *run, const struct examples *examples, struct images *ret);
/* Room for float rows of these examples, labels and ids in place; for D_adv. */
int images_open_rows(struct run *run, const struct examples *examples, struct images *ret);
/* Room for `most` 8-bit images of the model's input, none yet; and other ones, not more, into that room. The
 * examples' ids are not copied. */
int images_open_room(struct run *run, int most, struct images *ret);
int images_fill(struct images *images, const struct examples *examples);
void images_done(struct images *images);

/* The buffers of one step, for at most `most` examples. */
struct batch {
    int most, n;
    struct shape shape;    /* n examples */
    const float *x;        /* device, plain [n,C,H,W]: own_x, or stored rows */
    const int32_t *labels; /* device [n] */
    float *own_x;          /* device */
    float *x_adv;          /* device: x' = x + delta */
    float *gradient;       /* device: of the loss by the pixels */
    int32_t *own_labels;   /* device */
    int64_t *id;           /* host [n], for random numbers */
    struct crop *crops;    /* host */
    float *loss;           /* host [n] */
    int32_t *correct;      /* host [n] */
    size_t x_bytes;
    struct run *run;
};

/* For the spec's batch_size, or `count` when there are never more examples.
 * attacked: also x_adv and gradient. */
int batch_open(struct run *run, int count, bool attacked, struct batch *ret);
void batch_done(struct batch *batch);

/* How images are cut out; NULL where it is wanted: as they are. */
struct cut {
    enum augment augment;
    enum padding padding;
    uint32_t epoch;
};

/* Examples order[first..first+n-1] (order NULL: first..first+n-1) into the batch. */
int batch_load(struct batch *batch, const struct images *images, const int32_t *order, int first, int n,
               const struct cut *cut);
/* Labels and ids only: the activations come from elsewhere. */
int batch_label(struct batch *batch, const struct images *images, const int32_t *order, int first, int n);

/* Mean loss and hits of the plan's last forward pass, added up in example order. */
struct tally {
    double loss; /* sum, not mean */
    int64_t correct, count;
};
int batch_tally(struct batch *batch, struct plan *plan, struct tally *add);

#endif
