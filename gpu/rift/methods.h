/* What is one step of each way to train?
 *
 *   method    crafting climbs             training descends                              file
 *   standard  -                           CE(f(x), y)                                    pgd_at.c
 *   pgd-at    CE(f(x'), y)                CE(f(x'), y)                                   pgd_at.c
 *   trades    KL(f(x) || f(x'))           CE(f(x), y) + beta KL(f(x) || f(x'))           trades.c
 *   mart      CE(f(x'), y)                BCE(f(x'), y) + beta KL(f(x) || f(x')) (1-p_y) mart.c
 *   awp       its base's                  its base's, at theta + the worst delta of theta awp.c
 *   score     LSE(f(x'), f(x)) or (., y)  LSE(f(x), y) + lambda LSE(f(x'), f(x)), clipped score.c
 *
 * A method is a row of the table in adversarial_training.c; what its step needs
 * is in a struct descent. Nothing of it has to survive a step, so no method has
 * anything of its own in a checkpoint. */
#ifndef RIFT_GPU_RIFT_METHODS_H
#define RIFT_GPU_RIFT_METHODS_H

#include "gpu/rift/attack.h"
#include "gpu/rift/training.h"

struct method;

struct descent {
    struct training *training;
    struct run *run;
    struct batch *batch;
    const struct method *method;
    bool *wanted;         /* [tensor_count]: every parameter */
    float *natural;       /* device [most,K]: f(x) while crafting; NULL when nobody looks at it */
    float *through_x;     /* device [parameter_count]: the gradient through f(x), before it is added; pairs only */
    float *statistics[2]; /* device, BN's running ones: before f(x), and those of x; pairs only */
    float *theta;         /* device [parameter_count]: what AWP goes back to; AWP only */
    struct plan *heard;   /* whose per-example losses the last gradient left */
};

struct method {
    enum train_method method;
    int base; /* enum train_base; of AWP and SCORE, else 0 */
    /* Crafting: what is climbed (NULL: images are taken as they are), whether f(x) is looked at, whether a random
     * start is a little normal noise rather than anywhere in the ball, and BN's mode unless the spec forces one. */
    int (*climb)(struct batch *batch, struct plan *plan, const struct climb *climb);
    bool natural, noise;
    enum batch_norm_mode batch_norm;
    bool pair; /* training looks at f(x) and f(x') */
    /* d of the mean training loss by theta into optimizer.gradient, at theta as it is, in train mode; momentum is
     * that of the running statistics (0: they stay). */
    int (*gradient)(struct descent *d, float momentum);
    int (*step)(struct descent *d); /* one update of theta, x' being there */
};

const struct method *method_of(const struct job_spec *spec);
/* Memory and plans of the method for batches of the training set; `count` examples. */
int descent_open(struct descent *d, int count);
void descent_done(struct descent *d);
/* x' of the batch that is loaded. */
int descent_craft(struct descent *d);
/* The plan in train mode; beside: for f(x) while f(x') waits for its backward pass. */
int descent_plan(struct descent *d, bool beside, struct plan **ret);

/* ---- pair.c: f(x) and f(x') of one theta ---- */

struct pair {
    struct plan *clean, *adversarial;
};
/* Which forward passes the published code makes in train mode, and in which order. */
enum pair_order { PAIR_X_ADV_X, PAIR_X_ADV, PAIR_ADV_X };
int pair_forward(struct descent *d, enum pair_order order, float momentum, struct pair *ret);
/* Floats of the running statistics, which lie together behind the parameters. */
int64_t statistics_count(const struct model *model);
/* optimizer.gradient from both logits' gradients. */
int pair_backward(struct descent *d, const struct pair *pair);

/* ---- one file a method ---- */

int plain_step(struct descent *d);
int cross_entropy_gradient(struct descent *d, float momentum);
int trades_climb(struct batch *batch, struct plan *plan, const struct climb *climb);
int trades_gradient(struct descent *d, float momentum);
int mart_gradient(struct descent *d, float momentum);
int score_climb(struct batch *batch, struct plan *plan, const struct climb *climb);
int score_climb_label(struct batch *batch, struct plan *plan, const struct climb *climb);
int score_gradient(struct descent *d, float momentum);
int score_gradient_label(struct descent *d, float momentum);
/* Leaves the weights at theta + delta and theta in d->theta: gradient and decay are taken there, the step here. */
int awp_gradient(struct descent *d);
int awp_step(struct descent *d);

#endif
