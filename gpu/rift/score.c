/* SCORE (Pang et al., Robustness and accuracy could be reconcilable by (proper) definition, ICML 2022):
 * squared distances of probabilities instead of divergences, LSE(p, q) = sum_k (p_k - q_k)^2.
 *
 *   TRADES(LSE)   x' climbs LSE(f(x'), f(x))           from x + 0.001 N(0,1), frozen statistics
 *                 L = mean relu( LSE(f(x), e_y) + lambda * LSE(f(x'), f(x)) - cbar )
 *                 or, clean part not clipped, mean [ LSE(f(x), e_y) + lambda * relu(LSE(f(x'), f(x)) - cbar) ]
 *   PGD-AT(LSE)   x' climbs LSE(f(x'), e_y)            from anywhere in the ball, batch statistics
 *                 L = mean relu( LSE(f(x'), e_y) - cbar )
 *
 * cbar = c^2 + c^2/(K-1) is the squared distance of e_y from what is left when c
 * of the probability is spread over the other classes: closer than that an
 * example teaches nothing more.
 *
 * Surprising: published code runs f(x') before f(x), which the running
 * statistics hear. The best epoch is chosen by robust accuracy under PGD as for
 * every method; the authors took the lesser of that and one under LSE. */
#include "gpu/rift/methods.h"

int score_climb(struct batch *b, struct plan *plan, const struct climb *climb)
{
    struct run *run = b->run;

    return run->ops->lse_loss(run->dev, b->n, run->model->num_classes, climb->natural, plan_logits(plan), NULL, 1.0f, 0,
                              true, 1.0f, plan_loss(plan), NULL, plan_logits_gradient(plan));
}

int score_climb_label(struct batch *b, struct plan *plan, const struct climb *climb)
{
    struct run *run = b->run;

    (void)climb;
    return run->ops->lse_loss(run->dev, b->n, run->model->num_classes, plan_logits(plan), NULL, b->labels, 0, 0, true,
                              1.0f, plan_loss(plan), plan_logits_gradient(plan), NULL);
}

static float cbar(const struct run *run)
{
    double c = run->spec.train.score.c;

    return (float)(c * c + c * c / (run->model->num_classes - 1));
}

int score_gradient(struct descent *d, float momentum)
{
    const struct run *run = d->run;
    const struct batch *b = d->batch;
    struct pair z;
    int r = pair_forward(d, PAIR_ADV_X, momentum, &z);

    if (r < 0)
        return r;
    r = run->ops->lse_loss(run->dev, b->n, run->model->num_classes, plan_logits(z.clean), plan_logits(z.adversarial),
                           b->labels, (float)run->spec.train.score.lambda, cbar(run), run->spec.train.score.clip_clean,
                           1.0f / (float)b->n, plan_loss(z.adversarial), plan_logits_gradient(z.clean),
                           plan_logits_gradient(z.adversarial));
    r = run_device(d->run, r);
    return r < 0 ? r : pair_backward(d, &z);
}

int score_gradient_label(struct descent *d, float momentum)
{
    const struct run *run = d->run;
    const struct batch *b = d->batch;
    int r = descent_plan(d, false, &d->heard);

    if (r < 0)
        return r;
    plan_bind(d->heard, 0, b->x_adv);
    r = plan_forward(d->heard, momentum);
    if (r == 0)
        r = run->ops->lse_loss(run->dev, b->n, run->model->num_classes, plan_logits(d->heard), NULL, b->labels, 0,
                               cbar(run), true, 1.0f / (float)b->n, plan_loss(d->heard), plan_logits_gradient(d->heard),
                               NULL);
    if (r == 0)
        r = plan_backward(d->heard, d->training->optimizer.gradient, NULL);
    return run_device(d->run, r);
}
