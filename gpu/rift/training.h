/* How do epochs go?
 *
 *   for each epoch:  for each batch:  step()          -> batch_loss
 *                    train_loss, lr                   -> checkpoint
 *                    every k-th: clean, robust        -> best so far, best.safetensors
 *   last.safetensors, result
 *
 * Training and fine-tuning are this loop with another step. */
#ifndef RIFT_GPU_RIFT_TRAINING_H
#define RIFT_GPU_RIFT_TRAINING_H

#include "gpu/nn/optimizer.h"
#include "gpu/rift/images.h"

/* Of the running statistics, as in PyTorch. */
#define BATCH_NORM_MOMENTUM 0.1f

struct training {
    /* What is given. */
    struct run *run;
    const struct images *train, *judge; /* judge NULL: nothing is evaluated */
    struct batch *batch;
    int epochs, evaluate_every;
    const bool *wanted;               /* [tensor_count]: parameters that move */
    const struct attack_spec *attack; /* of the robust accuracy; NULL: it isn't measured */
    bool select_robust;               /* the best epoch is that of highest robust accuracy, measured each time */
    /* One step on examples order[first..first+n-1]: brings input to a plan and calls training_descend. */
    int (*step)(struct training *t, const int32_t *order, int first, int n);
    /* Once, when all memory but this is taken and the job hasn't begun; or NULL. */
    int (*reserve)(struct training *t);
    /* Once, after theta is what the checkpoint says; or NULL. */
    int (*prepare)(struct training *t);
    void *user;

    /* Where we are. */
    struct optimizer optimizer;
    int32_t *order;
    int epoch, position;                        /* position: examples of this epoch that are done */
    int64_t updates;                            /* steps since the start */
    double loss;                                /* sum over this epoch's examples so far */
    double train_loss;                          /* mean of the last whole epoch */
    bool trained;                               /* this epoch's batches are done, its evaluation isn't */
    bool ended;                                 /* last.safetensors is written; theta is the best epoch's now */
    int best_epoch;                             /* counted from 1; 0: none yet */
    double best_score, best_clean, best_robust; /* NaN: not measured */
    float *best;                                /* host, [total_count] */
};

/* The examples to train on and, where epochs are evaluated, to judge by; on the device. */
int training_images(struct training *t, struct images *train, struct images *judge);
/* Run to the end, from the checkpoint when there is one. *ret_result: the
 * `result` of the finished event. The caller has pushed no saver. */
int training_run(struct training *t, json_t *extra_started, json_t **ret_result);

/* theta <- theta - lr * gradient of mean CE at what is bound to the plan (SGD). */
int training_descend(struct training *t, struct plan *plan);
/* The second half of that: the batch's losses are the plan's, the gradient of their mean is in optimizer.gradient.
 * anchor: optimizer_step's. */
int training_step(struct training *t, struct plan *plan, const float *anchor);

#endif
