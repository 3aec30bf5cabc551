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
 * The last iterate counts: no best-iterate tracking, no early stop. Restarts
 * are whole repetitions and belong to who measures (measure.c).
 *
 * Surprising: in train mode every one of these forward passes moves the running
 * statistics of batch norm with momentum 0.1, as the published training code
 * has it: per step they see `steps` crafting passes and one update pass. */
#include "gpu/rift/attack.h"

#include "gpu/rift/training.h"

struct plan_spec attack_plan(enum plan_mode mode)
{
    return (struct plan_spec){ .mode = mode, .want_input = true };
}

/* g of the paper's step, by x'. */
static int pixel_gradient(struct batch *b, struct plan *plan)
{
    int r = plan_forward(plan, BATCH_NORM_MOMENTUM);

    if (r == 0)
        r = plan_cross_entropy(plan, b->labels, 1.0f / (float)b->n);
    if (r == 0)
        r = plan_backward(plan, NULL, b->gradient);
    return r;
}

int attack_pgd(struct batch *b, struct plan *plan, const struct attack_spec *attack, struct random_key key)
{
    struct run *run = b->run;
    float epsilon = (float)attack->epsilon, alpha = (float)attack->step_size;
    size_t bytes = (size_t)shape_count(b->shape) * sizeof(float);
    int r;

    if (attack->random_start)
        r = run->ops->pgd_start(run->dev, b->shape, b->x, epsilon, key, b->id, b->x_adv);
    else
        r = run->ops->copy(run->dev, b->x_adv, b->x, bytes);
    plan_bind(plan, 0, b->x_adv);
    for (int t = 0; t < attack->steps && r == 0; t++) {
        r = pixel_gradient(b, plan);
        if (r == 0)
            r = run->ops->pgd_step(run->dev, b->shape, b->x, b->gradient, alpha, epsilon, b->x_adv);
    }
    return run_device(run, r);
}
