/* MART (Wang et al., Improving adversarial robustness requires revisiting misclassified examples, ICLR 2020):
 *
 *     x' climbs  CE(f(x'), y)                          from x + 0.001 N(0,1), frozen statistics
 *     p = softmax f(x), q = softmax f(x'), q_j the largest but for q_y
 *     L = mean [ -log q_y - log(1 - q_j) + beta * KL(p || q) * (1 - p_y) ]
 *
 * An example that is wrong already (small p_y) is held together more. The small
 * numbers that keep logarithms finite are the MART_ constants of the backend.
 * Nothing is detached: the weight 1 - p_y is learnt from too. */
#include "gpu/rift/methods.h"

int mart_gradient(struct descent *d, float momentum)
{
    const struct run *run = d->run;
    const struct batch *b = d->batch;
    float beta = (float)run->spec.train.mart.beta;
    struct pair z;
    int r = pair_forward(d, PAIR_X_ADV, momentum, &z);

    if (r < 0)
        return r;
    r = run->ops->mart_loss(run->dev, b->n, run->model->num_classes, plan_logits(z.clean), plan_logits(z.adversarial),
                            b->labels, beta, 1.0f / (float)b->n, plan_loss(z.adversarial),
                            plan_logits_gradient(z.clean), plan_logits_gradient(z.adversarial));
    r = run_device(d->run, r);
    return r < 0 ? r : pair_backward(d, &z);
}
