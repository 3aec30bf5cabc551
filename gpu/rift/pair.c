/* How is a loss differentiated that looks at f(x) and f(x')?
 *
 *     dL/dtheta = (dL/dz) (dz/dtheta) + (dL/dz') (dz'/dtheta)      z = f(x), z' = f(x')
 *
 * Two plans in two workspaces, because both sets of activations are needed
 * until the loss is known; computing f(x) a second time instead would cost
 * another forward pass. The two halves are one axpy apart. It is no plan of the
 * joined batch: in train mode each pass has batch statistics of its own.
 *
 * Surprising: TRADES' published code runs f(x) twice, before and after f(x').
 * The logits are the same both times and so are the batch statistics s of x;
 * only the running ones hear them twice:
 *     r <- (1-m) r + m s(x);   r <- (1-m) r + m s(x');   r <- (1-m) r + m s(x)
 * So nothing is computed twice: a pass with momentum 1 leaves s(x) itself where
 * the running statistics are, and the rest is that formula. */
#include "gpu/rift/methods.h"

static bool is_statistic(const struct tensor_info *tensor)
{
    return !tensor->parameter && !tensor->dead;
}

int64_t statistics_count(const struct model *model)
{
    int64_t count = 0;

    for (int t = 0; t < model->tensor_count; t++)
        if (is_statistic(&model->tensors[t]))
            count += model->tensors[t].count;
    return count;
}

static void statistics_touch(struct weights *w)
{
    for (int t = 0; t < w->model->tensor_count; t++)
        if (is_statistic(&w->model->tensors[t]))
            weights_touch(w, t);
}

/* f(x), whose statistics are kept for a second time; the running ones as after an ordinary pass. */
static int forward_kept(struct descent *d, struct plan *clean, float momentum)
{
    const struct run *run = d->run;
    const struct model *model = run->model;
    int64_t count = statistics_count(model);
    float *running = run->weights->theta + model->parameter_count;
    size_t bytes = (size_t)count * sizeof(float);
    int r = run->ops->copy(run->dev, d->statistics[0], running, bytes);

    if (r == 0)
        r = plan_forward(clean, 1.0f);
    if (r == 0)
        r = run->ops->copy(run->dev, d->statistics[1], running, bytes);
    return r < 0 ? r : run->ops->interpolate(run->dev, count, d->statistics[0], d->statistics[1], momentum, running);
}

/* The second time. */
static int statistics_again(struct descent *d, float momentum)
{
    const struct run *run = d->run;
    const struct model *model = run->model;
    float *running = run->weights->theta + model->parameter_count;
    int r = run->ops->interpolate(run->dev, statistics_count(model), running, d->statistics[1], momentum, running);

    statistics_touch(run->weights);
    return r;
}

int pair_forward(struct descent *d, enum pair_order order, float momentum, struct pair *ret)
{
    bool twice = order == PAIR_X_ADV_X && momentum != 0;
    struct plan *clean, *adversarial;
    int r = descent_plan(d, true, &clean);

    if (r == 0)
        r = descent_plan(d, false, &adversarial);
    if (r < 0)
        return r;
    plan_bind(clean, 0, d->batch->x);
    plan_bind(adversarial, 0, d->batch->x_adv);
    if (order == PAIR_ADV_X)
        r = plan_forward(adversarial, momentum);
    if (r == 0)
        r = twice ? forward_kept(d, clean, momentum) : plan_forward(clean, momentum);
    if (r == 0 && order != PAIR_ADV_X)
        r = plan_forward(adversarial, momentum);
    if (r == 0 && twice)
        r = statistics_again(d, momentum);
    *ret = (struct pair){ clean, adversarial };
    d->heard = adversarial;
    return run_device(d->run, r);
}

int pair_backward(struct descent *d, const struct pair *pair)
{
    const struct run *run = d->run;
    float *gradient = d->training->optimizer.gradient;
    int r = plan_backward(pair->adversarial, gradient, NULL);

    if (r == 0)
        r = plan_backward(pair->clean, d->through_x, NULL);
    if (r == 0)
        r = run->ops->axpy(run->dev, run->model->parameter_count, 1.0f, d->through_x, gradient);
    return run_device(d->run, r);
}
