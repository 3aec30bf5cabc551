/* Has this convolution been asked about before?
 *
 * Who runs it takes search.c tens of milliseconds to find out, and a job asks
 * for the same convolutions again with every plan that it lowers. So what was
 * found stays with the device until that closes, and convolutions share it.
 *
 *   key of the question, whether bits must repeat  ->  a plan, or "split": none, the plain one has it
 *
 * A failure is not remembered: memory may be there the next time. Nothing here
 * is locked: a device is one thread's. */
#include "gpu/backend/cuda/choice.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct known {
    struct known *next;
    bool deterministic;
    struct choice choice; /* without a plan: split */
    char key[sizeof(((struct question *)NULL)->key)];
};

static const char *const direction_names[] = {
    [DNN_FORWARD] = "forward", [DNN_BACKWARD_DATA] = "data", [DNN_BACKWARD_WEIGHTS] = "weights"
};

static struct question question_of(struct cuda_device *d, const struct dnn_conv *c, enum dnn_direction direction,
                                   const struct dnn_tail *tail)
{
    struct question q = { d, c, direction, tail };

    snprintf(q.key, sizeof(q.key), "%s|%zu|%s|%s%s%s%s|%dx%dx%dx%d->%d|%dx%d/%d+%d", d->name, cudnnGetVersion(),
             job_precisions[d->base.precision], direction_names[direction], tail && tail->residual ? "+residual" : "",
             tail && tail->bias ? "+bias" : "", tail && tail->relu ? "+relu" : "", c->n, c->c, c->h, c->w, c->out_c,
             c->kernel, c->kernel, c->stride, c->pad);
    return q;
}

static const struct known *find(const struct question *q)
{
    const struct known *one = q->d->known;

    while (one && (one->deterministic != q->d->base.deterministic || strcmp(one->key, q->key) != 0))
        one = one->next;
    return one;
}

/* The answer from memory, or from a search. */
static int answer(const struct question *q,
                  int (*search)(const struct question *q, struct choice *ret, struct fault *why),
                  const struct choice **ret, struct fault *why)
{
    const struct known *known = find(q);

    if (!known) {
        struct known *made = calloc(1, sizeof(*made));
        int r = made ? search(q, &made->choice, why) : fault_set(why, -ENOMEM, "no memory for a convolution");

        if (r < 0) {
            free(made);
            return r;
        }
        made->deterministic = q->d->base.deterministic;
        memcpy(made->key, q->key, sizeof(made->key));
        made->next = q->d->known;
        q->d->known = made;
        known = made;
    }
    *ret = &known->choice;
    return 0;
}

int choose(struct cuda_device *d, const struct dnn_conv *conv, enum dnn_direction direction, const struct choice **ret,
           struct fault *why)
{
    struct question q = question_of(d, conv, direction, NULL);

    return answer(&q, search_plain, ret, why);
}

int choose_forward(struct cuda_device *d, const struct dnn_conv *conv, const struct dnn_tail *tail,
                   const struct choice **ret, struct fault *why)
{
    /* a bias of zeros costs nothing and makes the chain one that has kernels compiled ahead */
    struct dnn_tail with_bias = { tail->residual, true, tail->relu };
    struct question q = question_of(d, conv, DNN_FORWARD, &with_bias);
    const struct choice *fused = NULL;
    int r = tail->residual || tail->bias || tail->relu ? answer(&q, search_fused, &fused, why) : 0;

    if (r < 0 || !fused || !fused->plan)
        return r < 0 ? r : choose(d, conv, DNN_FORWARD, ret, why);
    *ret = fused;
    return 0;
}

void choices_done(struct cuda_device *d)
{
    while (d->known) {
        struct known *one = d->known;

        d->known = one->next;
        choice_done(&one->choice);
        free(one);
    }
}
