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

static int range_step(struct optimizer *o, int64_t offset, int64_t count, float lr, float momentum, float decay)
{
    struct device *dev = o->weights->dev;

    return dev->ops->sgd_step(dev, count, o->weights->theta + offset, o->gradient + offset, o->velocity + offset, lr,
                              momentum, decay);
}

int optimizer_step(struct optimizer *o, float lr, float momentum, float weight_decay)
{
    const struct model *model = o->weights->model;

    if (!o->wanted) {
        int r = range_step(o, 0, model->parameter_count, lr, momentum, weight_decay);

        weights_touch_all(o->weights);
        return r;
    }
    for (int t = 0; t < model->tensor_count; t++) {
        if (!o->wanted[t])
            continue;
        int r = range_step(o, model->tensors[t].offset, model->tensors[t].count, lr, momentum, weight_decay);
        if (r < 0)
            return r;
        weights_touch(o->weights, t);
    }
    return 0;
}
