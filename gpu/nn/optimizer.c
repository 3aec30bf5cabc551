/* The step of optimizer.h: one call when every parameter moves (they lie in
 * one flat vector, parameters first), one a tensor otherwise. */
#include "gpu/nn/optimizer.h"

#include <errno.h>

int optimizer_open(struct weights *weights, const bool *wanted, struct optimizer *ret, struct fault *why)
{
    struct device *dev = weights->dev;
    size_t bytes = (size_t)weights->model->parameter_count * sizeof(float);
    struct optimizer o = { weights, wanted, dev->ops->alloc(dev, bytes), dev->ops->alloc(dev, bytes) };

    if (!o.gradient || !o.velocity) {
        optimizer_done(&o);
        return fault_set(why, -ENOMEM, "no memory for %zu bytes of gradients and momentum", 2 * bytes);
    }
    *ret = o;
    return 0;
}

void optimizer_done(struct optimizer *o)
{
    if (o->gradient)
        o->weights->dev->ops->free(o->weights->dev, o->gradient);
    if (o->velocity)
        o->weights->dev->ops->free(o->weights->dev, o->velocity);
    *o = (struct optimizer){ 0 };
}

static int range_step(struct optimizer *o, const float *anchor, int64_t offset, int64_t count, float lr, float momentum,
                      float decay)
{
    struct device *dev = o->weights->dev;
    float *theta = o->weights->theta + offset, *v = o->velocity + offset;
    int r = dev->ops->sgd_step(dev, count, theta, o->gradient + offset, v, lr, momentum, decay);

    if (r < 0 || !anchor)
        return r;
    r = dev->ops->copy(dev, theta, anchor + offset, (size_t)count * sizeof(float));
    return r < 0 ? r : dev->ops->axpy(dev, count, -lr, v, theta);
}

int optimizer_step(struct optimizer *o, const float *anchor, float lr, float momentum, float weight_decay)
{
    const struct model *model = o->weights->model;

    if (!o->wanted) {
        int r = range_step(o, anchor, 0, model->parameter_count, lr, momentum, weight_decay);

        weights_touch_all(o->weights);
        return r;
    }
    for (int t = 0; t < model->tensor_count; t++) {
        if (!o->wanted[t])
            continue;
        int r = range_step(o, anchor, model->tensors[t].offset, model->tensors[t].count, lr, momentum, weight_decay);
        if (r < 0)
            return r;
        weights_touch(o->weights, t);
    }
    return 0;
}
