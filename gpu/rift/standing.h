/* Who still stands? The points of one batch that an attack works on.
 *
 *     row   0 1 2 3 4 5      point 1 falls:       row   0 1 2 3 4
 *     point 0 1 2 3 4 5      its x' is kept       point 0 5 2 3 4
 *
 * A point that was once seen on the wrong side has fallen, whatever happens to
 * it later, so nothing more is computed for it: the last row moves into its place and
 * the next passes are that much smaller. Plans exist for a few sizes; rows between
 * n and the plan's size hold what was there before, and nobody looks at them.
 *
 * What an attack does to a point depends on the point alone: its random numbers
 * come from its id, its step sizes are its own. Who else is in the batch isn't heard. */
#ifndef RIFT_GPU_RIFT_STANDING_H
#define RIFT_GPU_RIFT_STANDING_H

#include "gpu/rift/images.h"

/* One point, in host memory, in the order of the rows. */
struct point {
    int64_t id;
    int place;      /* its row when the batch was loaded */
    int32_t target; /* class aimed at */
    float loss;     /* of the last pass */
    bool correct;   /* argmax f = y in the last pass */
    bool falls;     /* standing_close takes it away */
    bool better;    /* the last iterate is its best one */
    float best_loss;

    float step, last_loss, checkpoint_loss; /* APGD: eta; L_i; L_best at the last checkpoint */
    int rises;                              /* APGD: steps since the last checkpoint that raised the loss */
    bool halved;                            /* APGD: at the last checkpoint */
    float distance;                         /* FAB: of the nearest wrong point so far */
};

enum { STANDING_SIZES = 3, STANDING_ROWS = 8, STANDING_OWN = 4 };

struct standing {
    struct run *run;
    const struct attack_spec *attack;
    struct random_key key;
    bool by_gradient; /* the plans can go backwards */
    int most, n;
    struct shape one;
    struct point *points; /* [most] */
    struct plan *plan;    /* of the last pass */
    int zero_gradients;   /* points whose first gradient was 0 everywhere */

    /* Device, one row a point: the batch's own, and others. Attacks may swap them, so what was
     * allocated is kept apart. */
    float *own[STANDING_OWN];
    const float *x;
    const int32_t *labels;
    float *now, *gradient;
    float *old, *best, *best_gradient;
    int32_t *targets;
    float *found; /* by place: x' of those that fell */
    struct {
        void *memory;
        size_t row_bytes;
    } rows[STANDING_ROWS]; /* all that a point takes along when it moves */

    /* Host: arrays for calls of the device, [most]. */
    int64_t *id;
    float *number;
    int32_t *from, *to, *correct;
    float *logits; /* [most,K] */
    bool *fell;    /* by place */

    /* Told between two steps with how much of the attack is done; negative: stop. Or NULL. */
    int (*breathe)(void *user, double part);
    void *user;
};

/* Memory for at most `count` points, never more than a batch; and plans: for attacks by gradient,
 * by scores or both. All is asked for before a job begins. */
int standing_open(struct run *run, int count, struct standing **ret);
int standing_reserve(struct standing *standing, bool by_gradient);
void standing_free(struct standing *standing);

/* Take over the points that batch_load has loaded in an order. */
void standing_begin(struct standing *standing, struct batch *batch, const struct attack_spec *attack,
                    struct random_key key, bool by_gradient);

/* What an attack makes large: the cross-entropy, or one of the device's margins. */
struct attack_loss {
    bool cross_entropy, targeted;
    enum margin margin;
};
extern const struct attack_loss LOSS_CE, LOSS_DLR, LOSS_DLR_TARGETED, LOSS_MARGIN, LOSS_MARGIN_TARGETED;

/* One pass over rows 0..n-1 at x: loss and correct of the points. */
int standing_forward(struct standing *standing, const float *x, const struct attack_loss *loss);
/* The gradient of that pass, each point's own loss by its own pixels. */
int standing_backward(struct standing *standing);
/* Count the points whose gradient is 0 everywhere. */
int standing_zero_gradients(struct standing *standing);
/* Aim at the class of the rank-th largest logit beside the true one at x, rank from 1. */
int standing_aim(struct standing *standing, int rank);
/* The rows of those points from one buffer to another. */
int standing_copy(struct standing *standing, float *to, const float *from, bool (*those)(const struct point *point));
/* Take out who falls: x' goes to `found`, the others close up. */
int standing_close(struct standing *standing, const float *x_adv);
/* Whoever the last pass got wrong falls. */
int standing_fall(struct standing *standing, const float *x_adv);
/* Judge what was found anew: rows 0..n-1 are those that fell, with places, losses (cross-entropy)
 * and who is correct after all. order: where the batch came from. */
int standing_recheck(struct standing *standing, const struct images *images, const int32_t *order);

struct shape standing_shape(const struct standing *standing);
const int64_t *standing_ids(struct standing *standing);

/* ---- the attacks: from x on; who stands afterwards is in rows 0..n-1 ---- */

int attack_apgd(struct standing *standing, const struct attack_loss *loss);
int attack_fab(struct standing *standing);
int attack_square(struct standing *standing);
/* Side of Square's window at a query, for images of h x w pixels. */
int square_side(double p_init, int query, int h, int w);

#endif
