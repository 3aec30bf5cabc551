/* PGD adversarial training (Madry et al. 2018), and standard training:
 *
 *     L = mean CE(f(theta, x'), y)          standard: x' = x
 *
 * One forward pass in train mode, on x' alone. */
#include "gpu/rift/methods.h"

int cross_entropy_gradient(struct descent *d, float momentum)
{
    struct batch *b = d->batch;
    int r = descent_plan(d, false, &d->heard);

    if (r < 0)
        return r;
    plan_bind(d->heard, 0, d->method->climb ? b->x_adv : b->x);
    r = plan_gradient(d->heard, momentum, b->labels, 1.0f / (float)b->n, d->training->optimizer.gradient, NULL);
    return run_device(d->run, r);
}

/* theta <- theta - lr * gradient (SGD); every method's step but AWP's. */
int plain_step(struct descent *d)
{
    int r = d->method->gradient(d, BATCH_NORM_MOMENTUM);

    return r < 0 ? r : training_step(d->training, d->heard, NULL);
}
