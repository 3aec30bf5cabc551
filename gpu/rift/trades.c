/* TRADES (Zhang et al., Theoretically principled trade-off between robustness and accuracy, ICML 2019):
 *
 *     x' climbs  sum KL( f(x) || f(x') )              from x + 0.001 N(0,1), frozen statistics
 *     L = mean CE(f(x), y) + beta * mean KL( f(x) || f(x') )
 *
 * Surprising: nothing is detached in L, so the divergence also pulls f(x)
 * towards f(x'). And f(x) is a pass of its own for each of the two terms: with
 * f(x') the running statistics move three times an update (pair.c). */
#include "gpu/rift/methods.h"

int trades_climb(struct batch *b, struct plan *plan, const struct climb *climb)
{
    struct run *run = b->run;

    return run->ops->kl_loss(run->dev, b->n, run->model->num_classes, climb->natural, plan_logits(plan), NULL, 1.0f,
                             1.0f, plan_loss(plan), NULL, plan_logits_gradient(plan));
}

int trades_gradient(struct descent *d, float momentum)
{
    const struct run *run = d->run;
    const struct batch *b = d->batch;
    float beta = (float)run->spec.train.trades.beta;
    struct pair z;
    int r = pair_forward(d, PAIR_X_ADV_X, momentum, &z);

    if (r < 0)
        return r;
    r = run->ops->kl_loss(run->dev, b->n, run->model->num_classes, plan_logits(z.clean), plan_logits(z.adversarial),
                          b->labels, beta, 1.0f / (float)b->n, plan_loss(z.adversarial), plan_logits_gradient(z.clean),
                          plan_logits_gradient(z.adversarial));
    r = run_device(d->run, r);
    return r < 0 ? r : pair_backward(d, &z);
}
