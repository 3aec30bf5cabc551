/* Adversarial weight perturbation (Wu, Xia, Wang, NeurIPS 2020), on PGD-AT or on TRADES:
 *
 *     min over theta of  max over delta of  L(theta + delta),      |delta_w|_F <= gamma |w|_F
 *
 *     1  x' at theta
 *     2  g = dL/dtheta in train mode; the statistics that this pass would leave are dropped
 *     3  delta_w = gamma |w|_F g_w / |g_w|_F           for every convolution and linear weight w
 *     4  v <- momentum v + dL/dtheta + wd (theta + delta),  both at theta + delta
 *     5  theta <- theta - lr v
 *
 * It is MRC's ball: the same relative Frobenius norm, all modules at once, one
 * step of ascent. The published code steps a copy of the network by plain SGD
 * and takes the difference; its learning rate cancels in 3.
 *
 * Surprising: published code adds delta, steps, and subtracts delta, which
 * leaves a rounding of theta in every step. Here theta is kept and the step is
 * taken from it, which is what that was meant to be. A copy lives within one
 * step only, so a checkpoint holds nothing more than for any other method. */
#include "gpu/rift/methods.h"

/* Keeps weights of zero gradient where they are, as published. */
static const double TINY = 1e-20;

/* theta <- theta + delta, g being in optimizer.gradient. */
static int perturb(struct descent *d)
{
    struct run *run = d->run;
    const struct model *model = run->model;
    const float *gradient = d->training->optimizer.gradient;
    int r = 0;

    for (int m = 0; m < model->module_count && r == 0; m++) {
        const struct tensor_info *w = &model->tensors[model->modules[m].weight];
        double size, slope;

        r = run->ops->norm(run->dev, w->count, run->weights->theta + w->offset, NULL, &size);
        if (r == 0)
            r = run->ops->norm(run->dev, w->count, gradient + w->offset, NULL, &slope);
        if (r == 0)
            r = run->ops->axpy(run->dev, w->count, (float)(run->spec.train.awp.gamma * size / (slope + TINY)),
                               gradient + w->offset, run->weights->theta + w->offset);
        weights_touch(run->weights, model->modules[m].weight);
    }
    return run_device(run, r);
}

int awp_gradient(struct descent *d)
{
    struct run *run = d->run;
    size_t bytes = (size_t)run->model->parameter_count * sizeof(float);
    int r = d->method->gradient(d, 0);

    if (r == 0)
        r = run_device(run, run->ops->copy(run->dev, d->theta, run->weights->theta, bytes));
    if (r == 0)
        r = perturb(d);
    return r < 0 ? r : d->method->gradient(d, BATCH_NORM_MOMENTUM);
}

int awp_step(struct descent *d)
{
    if (d->training->epoch < d->run->spec.train.awp.warmup)
        return plain_step(d);
    int r = awp_gradient(d);
    return r < 0 ? r : training_step(d->training, d->heard, d->theta);
}
