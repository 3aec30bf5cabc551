/* How is the inner maximum of adversarial training approached?
 *
 *     max over |delta|_inf <= epsilon of CE(f(theta, x + delta), y)
 *
 * Projected gradient descent (Madry et al. 2018), in pixel space:
 *
 *     x'_0     = clamp(x + U(-epsilon, epsilon), 0, 1)        or x without a random start
 *     x'_{t+1} = clamp(x + clamp(x'_t + alpha sign(g) - x, -epsilon, epsilon), 0, 1)
 *     g        = gradient by x'_t of the mean cross-entropy
 *
 * Some methods of training climb something else, or start from a little normal
 * noise: that is a struct climb. The last iterate counts: no best-iterate tracking, no early stop. Restarts
 * are whole repetitions and belong to who measures (measure.c).
 *
 * Surprising: in train mode every one of these forward passes moves the running
 * statistics of batch norm with momentum 0.1, as the published training code
 * has it: per step they see `steps` crafting passes and one update pass (and one
 * on x itself where f(x) is looked at). */
#include "gpu/rift/attack.h"

#include "gpu/rift/training.h"

struct plan_spec attack_plan(enum plan_mode mode)
{
    return (struct plan_spec){ .mode = mode, .want_input = true };
}

int climb_cross_entropy(struct batch *b, struct plan *plan, const struct climb *climb)
{
    (void)climb;
    return plan_cross_entropy(plan, b->labels, 1.0f / (float)b->n);
}

/* g of the paper's step, by x'. */
static int pixel_gradient(struct batch *b, struct plan *plan, const struct climb *climb)
{
    int r = plan_forward(plan, BATCH_NORM_MOMENTUM);

    if (r == 0)
        r = climb->gradient(b, plan, climb);
    if (r == 0)
        r = plan_backward(plan, NULL, b->gradient);
    return r;
}

/* f(x), once: neither theta nor, for a given batch, the statistics that f sees change while x' climbs. */
static int look_at_x(struct batch *b, struct plan *plan, const struct climb *climb)
{
    struct run *run = b->run;

    plan_bind(plan, 0, b->x);
    int r = plan_forward(plan, BATCH_NORM_MOMENTUM);
    return r < 0 ? r
                 : run->ops->copy(run->dev, climb->natural, plan_logits(plan),
                                  (size_t)b->n * (size_t)run->model->num_classes * sizeof(float));
}

static int start(struct batch *b, const struct attack_spec *attack, const struct climb *climb, struct random_key key)
{
    struct run *run = b->run;

    if (!attack->random_start)
        return run->ops->copy(run->dev, b->x_adv, b->x, (size_t)shape_count(b->shape) * sizeof(float));
    if (climb->noise > 0)
        return run->ops->normal_start(run->dev, b->shape, b->x, (float)climb->noise, key, b->id, b->x_adv);
    return run->ops->pgd_start(run->dev, b->shape, b->x, (float)attack->epsilon, key, b->id, b->x_adv);
}

/* All steps of an ascent. */
struct ascent {
    struct batch *batch;
    struct plan *plan;
    const struct climb *climb;
    float epsilon, alpha;
    int steps;
};

static int ascend(void *user)
{
    const struct ascent *a = user;
    struct batch *b = a->batch;
    int r = 0;

    for (int t = 0; t < a->steps && r == 0; t++) {
        r = pixel_gradient(b, a->plan, a->climb);
        if (r == 0)
            r = b->run->ops->pgd_step(b->run->dev, b->shape, b->x, b->gradient, a->alpha, a->epsilon, b->x_adv);
    }
    return r;
}

/* What makes two ascents of one plan the same: places, sizes, and what is climbed. */
static uint64_t ascent_key(const struct ascent *a)
{
    const struct batch *b = a->batch;
    const void *places[] = { b->x, b->x_adv, b->gradient, b->labels, a->climb->natural };
    const float sizes[] = { a->epsilon, a->alpha, (float)a->steps };
    uint64_t key = plan_key(PLAN_KEY, places, sizeof(places));

    key = plan_key(key, sizes, sizeof(sizes));
    return plan_key(key, &a->climb->gradient, sizeof(a->climb->gradient));
}

int attack_climb(struct batch *b, struct plan *plan, const struct attack_spec *attack, const struct climb *climb,
                 struct random_key key)
{
    struct run *run = b->run;
    struct ascent ascent = { b, plan, climb, (float)attack->epsilon, (float)attack->step_size, attack->steps };
    int r = climb->natural ? look_at_x(b, plan, climb) : 0;

    if (r == 0)
        r = start(b, attack, climb, key);
    plan_bind(plan, 0, b->x_adv);
    if (r == 0 && attack->steps > 0)
        r = plan_repeat(plan, ascent_key(&ascent), BATCH_NORM_MOMENTUM, ascend, &ascent);
    return run_device(run, r);
}

int attack_pgd(struct batch *b, struct plan *plan, const struct attack_spec *attack, struct random_key key)
{
    static const struct climb cross_entropy = { climb_cross_entropy, NULL, 0 };

    return attack_climb(b, plan, attack, &cross_entropy, key);
}
