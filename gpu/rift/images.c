/* Examples on the device, and the buffers of a step. All memory is asked for
 * here, before the first step. */
#include "gpu/rift/images.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FLOAT_ROWS_AT_ONCE = 256 }; /* while float examples are copied to the device */

static size_t row_count(const struct images *images)
{
    return (size_t)shape_count(images->one);
}

/* ---- images ------------------------------------------------------------------- */

static int labels_open(struct run *run, const struct examples *examples, struct images *images)
{
    size_t bytes = (size_t)examples->count * sizeof(int32_t);

    *images = (struct images){ .run = run,
                               .count = examples->count,
                               .most = examples->count,
                               .one = { 1, examples->c, examples->h, examples->w },
                               .id = examples->id };
    images->labels = run_alloc(run, bytes, "labels");
    if (!images->labels)
        return -ENOMEM;
    return run_device(run, run->ops->write(run->dev, images->labels, examples->label, bytes));
}

int images_open_rows(struct run *run, const struct examples *examples, struct images *ret)
{
    struct images images;
    int r = labels_open(run, examples, &images);

    if (r == 0) {
        images.rows = run_alloc(run, row_count(&images) * sizeof(float) * (size_t)images.count, "float images");
        r = images.rows ? 0 : -ENOMEM;
    }
    if (r < 0)
        images_done(&images);
    else
        *ret = images;
    return r;
}

static int rows_fill(struct images *images, const struct examples *examples)
{
    struct run *run = images->run;
    size_t row = row_count(images);
    float *host = malloc(FLOAT_ROWS_AT_ONCE * row * sizeof(float));
    int r = host ? 0 : fault_set(&run->why, -ENOMEM, "no memory to read images");

    for (int first = 0; first < images->count && r == 0; first += FLOAT_ROWS_AT_ONCE) {
        int n = images->count - first < FLOAT_ROWS_AT_ONCE ? images->count - first : FLOAT_ROWS_AT_ONCE;

        examples_read(examples, first, n, host);
        r = run_device(
            run, run->ops->write(run->dev, images->rows + (size_t)first * row, host, (size_t)n * row * sizeof(float)));
    }
    free(host);
    return r;
}

int images_open(struct run *run, const struct examples *examples, struct images *ret)
{
    struct images images;
    int r;

    if (examples->f32) {
        r = images_open_rows(run, examples, &images);
        if (r < 0)
            return r;
        r = rows_fill(&images, examples);
    } else {
        r = labels_open(run, examples, &images);
        size_t bytes = row_count(&images) * (size_t)images.count;

        if (r == 0)
            r = (images.bytes = run_alloc(run, bytes, "images")) ? 0 : -ENOMEM;
        if (r == 0)
            r = run_device(run, run->ops->write(run->dev, images.bytes, examples->u8, bytes));
    }
    if (r < 0)
        images_done(&images);
    else
        *ret = images;
    return r;
}

int images_open_cut(struct run *run, const struct examples *examples, struct images *ret)
{
    struct images images;
    int batch = examples->count < run->spec.batch_size ? examples->count : run->spec.batch_size, r;

    if (!examples->f32)
        return images_open(run, examples, ret);
    r = labels_open(run, examples, &images);
    if (r == 0) {
        images.host = examples->f32;
        images.cut = malloc((size_t)batch * row_count(&images) * sizeof(float));
        if (!images.cut)
            r = run_blame(run, FAILURE_INTERNAL, fault_set(&run->why, -ENOMEM, "no memory for a batch"));
    }
    if (r < 0)
        images_done(&images);
    else
        *ret = images;
    return r;
}

int images_open_room(struct run *run, int most, struct images *ret)
{
    const int *input = run->model->input;
    struct images images = { .run = run, .most = most, .one = { 1, input[0], input[1], input[2] } };

    images.labels = run_alloc(run, (size_t)most * sizeof(int32_t), "labels");
    images.bytes = images.labels ? run_alloc(run, row_count(&images) * (size_t)most, "images") : NULL;
    if (!images.bytes) {
        images_done(&images);
        return -ENOMEM;
    }
    *ret = images;
    return 0;
}

int images_fill(struct images *images, const struct examples *examples)
{
    struct run *run = images->run;

    assert(images->bytes && examples->u8 && examples->count <= images->most);
    images->count = examples->count;
    images->id = examples->id;
    int r = run_device(
        run, run->ops->write(run->dev, images->labels, examples->label, (size_t)examples->count * sizeof(int32_t)));

    return r < 0 ? r
                 : run_device(run, run->ops->write(run->dev, images->bytes, examples->u8,
                                                   row_count(images) * (size_t)examples->count));
}

void images_done(struct images *images)
{
    struct run *run = images->run;

    if (!run)
        return;
    run_free(run, images->bytes, row_count(images) * (size_t)images->most);
    run_free(run, images->rows, row_count(images) * (size_t)images->most * sizeof(float));
    run_free(run, images->labels, (size_t)images->most * sizeof(int32_t));
    free(images->cut);
    *images = (struct images){ 0 };
}

/* ---- batches -------------------------------------------------------------------- */

int batch_open(struct run *run, int count, bool attacked, struct batch *ret)
{
    int most = count < run->spec.batch_size ? count : run->spec.batch_size;
    const int *input = run->model->input;
    struct batch b = { .run = run, .most = most, .shape = { most, input[0], input[1], input[2] } };

    b.x_bytes = (size_t)shape_count(b.shape) * sizeof(float);
    b.own_x = run_alloc(run, b.x_bytes, "a batch");
    b.own_labels = run_alloc(run, (size_t)most * sizeof(int32_t), "a batch");
    if (attacked) {
        b.x_adv = run_alloc(run, b.x_bytes, "a batch");
        b.gradient = run_alloc(run, b.x_bytes, "a batch");
    }
    b.id = calloc((size_t)most, sizeof(*b.id));
    b.crops = calloc((size_t)most, sizeof(*b.crops));
    b.loss = calloc((size_t)most, sizeof(*b.loss));
    b.correct = calloc((size_t)most, sizeof(*b.correct));
    if (!b.own_x || !b.own_labels || (attacked && (!b.x_adv || !b.gradient)) || !b.id || !b.crops || !b.loss ||
        !b.correct) {
        batch_done(&b);
        return run_blame(run, FAILURE_INTERNAL,
                         *run->why.message ? -ENOMEM : fault_set(&run->why, -ENOMEM, "no memory for a batch"));
    }
    *ret = b;
    return 0;
}

void batch_done(struct batch *b)
{
    if (!b->run)
        return;
    run_free(b->run, b->own_x, b->x_bytes);
    run_free(b->run, b->x_adv, b->x_bytes);
    run_free(b->run, b->gradient, b->x_bytes);
    run_free(b->run, b->own_labels, (size_t)b->most * sizeof(int32_t));
    free(b->id);
    free(b->crops);
    free(b->loss);
    free(b->correct);
    *b = (struct batch){ 0 };
}

int batch_label(struct batch *b, const struct images *images, const int32_t *order, int first, int n)
{
    struct run *run = b->run;

    assert(n <= b->most && first + n <= images->count);
    b->n = b->shape.n = n;
    for (int i = 0; i < n; i++)
        b->id[i] = images->id[order ? order[first + i] : first + i];
    b->labels = b->own_labels; /* always the same place: what is done with it may be repeated from memory */
    if (!order)
        return run_device(run,
                          run->ops->copy(run->dev, b->own_labels, images->labels + first, (size_t)n * sizeof(int32_t)));
    return run_device(
        run, run->ops->gather_rows(run->dev, b->own_labels, images->labels, sizeof(int32_t), order + first, n));
}

int batch_load(struct batch *b, const struct images *images, const int32_t *order, int first, int n,
               const struct cut *cut)
{
    struct run *run = b->run;
    struct shape one = images->one;
    int r = batch_label(b, images, order, first, n);

    if (r < 0)
        return r;
    if (images->rows) {
        assert(!cut || cut->augment == AUGMENT_NONE);
        b->x = order ? b->own_x : images->rows + (size_t)first * row_count(images);
        if (!order)
            return 0;
        return run_device(run, run->ops->gather_rows(run->dev, b->own_x, images->rows,
                                                     row_count(images) * sizeof(float), order + first, n));
    }
    for (int i = 0; i < n; i++)
        b->crops[i] = augment_crop(cut ? cut->augment : AUGMENT_NONE, run->spec.seed, cut ? cut->epoch : 0,
                                   (int32_t)b->id[i], order ? order[first + i] : first + i, one.h / 8);
    b->x = b->own_x;
    enum padding padding = cut ? cut->padding : PADDING_REFLECT;
    if (images->bytes)
        return run_device(
            run, run->ops->load_batch(run->dev, n, one.c, one.h, one.w, images->bytes, b->crops, padding, b->own_x));
    augment_cut(n, one.c, one.h, one.w, images->host, b->crops, padding, images->cut);
    return run_device(run,
                      run->ops->write(run->dev, b->own_x, images->cut, (size_t)n * row_count(images) * sizeof(float)));
}

int batch_tally(struct batch *b, struct plan *plan, struct tally *add)
{
    int r = run_device(b->run, plan_loss_read(plan, b->loss, b->correct));

    for (int i = 0; i < b->n && r == 0; i++) {
        add->loss += b->loss[i];
        add->correct += b->correct[i];
    }
    add->count += b->n;
    return r;
}
