/* The line of line.h.
 *
 * Only tensors in which the ends differ are computed: (1 - alpha) w + alpha w is
 * not always w in floats. */
#include "gpu/rift/line.h"

#include <stdlib.h>
#include <string.h>

/* One end, on the device and in memory of ours; both are the caller's to free, on failure too. */
static int end_load(struct run *run, const struct weights_ref *ref, const char *field, float **device, float **host)
{
    size_t bytes = (size_t)run->model->total_count * sizeof(float);

    if (!ref->path && !ref->job && !ref->model)
        return run_fail(run, FAILURE_BAD_SPEC, "%s: weights are needed", field);
    int r = run_weights(run, ref, field);
    if (r < 0)
        return r;
    *device = run_alloc(run, bytes, "weights");
    *host = malloc(bytes);
    if (!*device || !*host)
        return run_fail(run, FAILURE_OUT_OF_MEMORY, "no memory for %zu bytes of weights", bytes);
    r = run_device(run, run->ops->copy(run->dev, *device, run->weights->theta, bytes));
    return r < 0 ? r : run_device(run, weights_get(run->weights, *host));
}

/* Which tensors walk, and the first operation that sees one of them. Dead ones never walk: theta(alpha)
 * has those of `from`. */
static int ends_compare(const struct model *model, const float *from, const float *to, bool *differs)
{
    for (int t = 0; t < model->tensor_count; t++) {
        const struct tensor_info *info = &model->tensors[t];

        differs[t] =
            !info->dead && memcmp(from + info->offset, to + info->offset, (size_t)info->count * sizeof(float)) != 0;
    }
    for (int i = 0; i < model->op_count; i++) {
        static const int tensors_of[] = {
            [OP_CONV] = 1, [OP_BN] = 4, [OP_RELU] = 0, [OP_ADD] = 0, [OP_POOL] = 0, [OP_LINEAR] = 2
        };

        for (int k = 0; k < tensors_of[model->ops[i].type]; k++)
            if (differs[model->ops[i].tensor[k]])
                return i;
    }
    return 0;
}

static size_t flat_bytes(const struct run *run)
{
    return (size_t)run->model->total_count * sizeof(float);
}

int line_open(struct run *run, const struct weights_ref *from, const char *from_field, const struct weights_ref *to,
              const char *to_field, struct line *ret)
{
    struct line line = { .run = run };
    float *ends[2] = { NULL, NULL };
    int r = end_load(run, from, from_field, &line.from, &ends[0]);

    if (r == 0)
        r = end_load(run, to, to_field, &line.to, &ends[1]);
    line.differs = calloc((size_t)run->model->tensor_count, sizeof(*line.differs));
    if (r == 0 && !line.differs)
        r = run_fail(run, FAILURE_OUT_OF_MEMORY, "no memory");
    if (r == 0)
        line.first = ends_compare(run->model, ends[0], ends[1], line.differs);
    if (r == 0)
        r = line_begin(&line);
    free(ends[0]);
    free(ends[1]);
    if (r < 0)
        line_done(&line);
    else
        *ret = line;
    return r;
}

void line_done(struct line *line)
{
    if (!line->run)
        return;
    run_free(line->run, line->from, flat_bytes(line->run));
    run_free(line->run, line->to, flat_bytes(line->run));
    free(line->differs);
    *line = (struct line){ 0 };
}

int line_begin(struct line *line)
{
    struct run *run = line->run;
    int r = run->ops->copy(run->dev, run->weights->theta, line->from, flat_bytes(run));

    weights_touch_all(run->weights);
    return run_device(run, r);
}

int line_at(struct line *line, double alpha)
{
    struct run *run = line->run;
    int r = 0;

    for (int t = 0; t < run->model->tensor_count && r == 0; t++) {
        const struct tensor_info *info = &run->model->tensors[t];

        if (!line->differs[t])
            continue;
        r = run->ops->interpolate(run->dev, info->count, line->from + info->offset, line->to + info->offset,
                                  (float)alpha, weights_at(run->weights, t));
        weights_touch(run->weights, t);
    }
    return run_device(run, r);
}
