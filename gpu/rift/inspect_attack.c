/* What does an attack do to an image, for people to see?
 *
 *     x      x'      1/2 + factor * (x' - x)         a row of three an image
 *
 * The factor is as large as it can be without leaving [0,1] anywhere in the ball:
 * 1 / (2 epsilon), rounded down. x' is the last iterate of one run of PGD, the
 * very one that evaluate's first run finds with this seed; a class before and
 * after it, with the probability that the model gives it. */
#include "gpu/rift/inspect.h"

#include "gpu/backend/philox.h"
#include "gpu/rift/attack.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 3, FACTOR_MOST = 255 };

int adversary_open(struct run *run, struct adversary *ret)
{
    const struct model *model = run->model;
    int r =
        inspect_shown(run, model->input, model->num_classes, run->spec.inspect.adversarial, &run->dataset, &ret->shown);

    ret->run = run;
    if (r == 0)
        r = run_weights(run, &run->spec.model.weights, "model.weights");
    if (r == 0)
        r = images_open(run, &ret->shown, &ret->images);
    if (r == 0)
        r = batch_open(run, ret->shown.count, true, &ret->batch);
    return r == 0 ? run_plan_reserve(run, ret->shown.count, attack_plan(PLAN_EVAL)) : r;
}

void adversary_done(struct adversary *adversary)
{
    if (!adversary->run)
        return;
    batch_done(&adversary->batch);
    images_done(&adversary->images);
}

/* ---- one batch ------------------------------------------------------------------------ */

/* Host memory for a batch: pixels and logits, before and after. */
struct seen {
    float *x, *x_adv, *before, *after;
    uint8_t *image;
};

static void seen_done(struct seen *seen)
{
    free(seen->x);
    free(seen->x_adv);
    free(seen->before);
    free(seen->after);
    free(seen->image);
}

static int seen_open(const struct adversary *a, struct seen *ret)
{
    size_t logits = (size_t)a->batch.most * (size_t)a->run->model->num_classes * sizeof(float);
    size_t image = (size_t)a->shown.c * a->shown.h * a->shown.w;

    *ret = (struct seen){ malloc(a->batch.x_bytes), malloc(a->batch.x_bytes), malloc(logits), malloc(logits),
                          malloc(image) };
    if (ret->x && ret->x_adv && ret->before && ret->after && ret->image)
        return 0;
    seen_done(ret);
    return run_blame(a->run, FAILURE_INTERNAL, fault_set(&a->run->why, -ENOMEM, "no memory for adversarial images"));
}

static int logits_read(struct run *run, struct plan *plan, int n, float *ret)
{
    int r = run_device(run, plan_forward(plan, 0));

    return r < 0 ? r
                 : run_device(run, run->ops->read(run->dev, ret, plan_logits(plan),
                                                  (size_t)n * (size_t)run->model->num_classes * sizeof(float)));
}

static int batch_attack(struct adversary *a, int first, int n, struct seen *seen)
{
    struct run *run = a->run;
    struct batch *b = &a->batch;
    struct plan_spec spec = attack_plan(PLAN_EVAL);
    const struct random_key key = { (uint64_t)run->spec.seed, RANDOM_EVALUATE, 0 };
    size_t bytes = (size_t)n * a->shown.c * a->shown.h * a->shown.w * sizeof(float);
    struct plan *plan;

    spec.batch = n;
    int r = run_plan(run, spec, &plan);
    if (r == 0)
        r = batch_load(b, &a->images, NULL, first, n, NULL);
    if (r < 0)
        return r;
    plan_bind(plan, 0, b->x);
    r = logits_read(run, plan, n, seen->before);
    if (r == 0)
        r = attack_pgd(b, plan, &run->spec.attack, key);
    if (r == 0)
        r = logits_read(run, plan, n, seen->after);
    if (r == 0)
        r = run_device(run, run->ops->read(run->dev, seen->x, b->x, bytes));
    return r < 0 ? r : run_device(run, run->ops->read(run->dev, seen->x_adv, b->x_adv, bytes));
}

/* ---- telling --------------------------------------------------------------------------- */

/* The likeliest class: {"class", "probability"}. */
static json_t *prediction(const float *logit, int classes, int *ret_class)
{
    int best = 0;
    double sum = 0;

    for (int k = 1; k < classes; k++)
        best = logit[k] > logit[best] ? k : best;
    for (int k = 0; k < classes; k++)
        sum += exp((double)logit[k] - logit[best]);
    *ret_class = best;
    return json_pack("{s:i, s:o}", "class", best, "probability", json_number(1 / sum));
}

static uint8_t byte_of(double pixel)
{
    return (uint8_t)(fmin(fmax(pixel, 0), 1) * 255 + 0.5);
}

static void row_put(struct sheet *sheet, int row, const float *x, const float *x_adv, int factor, uint8_t *image)
{
    size_t count = (size_t)sheet->channels * sheet->side * sheet->side;

    for (int column = 0; column < COLUMNS; column++) {
        for (size_t i = 0; i < count; i++)
            image[i] = byte_of(column == 0 ? x[i] : column == 1 ? x_adv[i] : 0.5 + factor * ((double)x_adv[i] - x[i]));
        sheet_put(sheet, row, column, image);
    }
}

static double largest_change(const float *x, const float *x_adv, size_t count)
{
    double largest = 0;

    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs((double)x_adv[i] - x[i]));
    return largest;
}

/* Counts over all rows. */
struct score {
    int right_before, right_after;
};

static void batch_tell(const struct adversary *a, const struct seen *seen, int first, int n, int factor,
                       struct sheet *sheet, json_t *images, struct score *score)
{
    size_t image = (size_t)a->shown.c * a->shown.h * a->shown.w;
    int classes = a->run->model->num_classes;

    for (int i = 0; i < n; i++) {
        const float *x = seen->x + (size_t)i * image, *x_adv = seen->x_adv + (size_t)i * image;
        json_t *one = inspect_image(&a->shown, first + i);
        int before, after, label = a->shown.label[first + i];

        json_object_set_new(one, "before", prediction(seen->before + (size_t)i * classes, classes, &before));
        json_object_set_new(one, "after", prediction(seen->after + (size_t)i * classes, classes, &after));
        json_object_set_new(one, "largest_change", json_number(largest_change(x, x_adv, image)));
        json_array_append_new(images, one);
        score->right_before += before == label;
        score->right_after += after == label;
        row_put(sheet, first + i, x, x_adv, factor, seen->image);
    }
}

static int factor_of(double epsilon)
{
    double factor = epsilon > 0 ? floor(0.5 / epsilon + 1e-9) : 1;

    return factor < 1 ? 1 : factor > FACTOR_MOST ? FACTOR_MOST : (int)factor;
}

int inspect_adversarial(struct inspecting *in, struct adversary *a)
{
    const struct attack_spec *attack = &in->run->spec.attack;
    int count = a->shown.count, factor = factor_of(attack->epsilon), r;
    json_auto_t *images = json_array();
    struct score score = { 0 };
    struct sheet sheet = { 0 };
    struct seen seen;

    r = seen_open(a, &seen);
    if (r < 0)
        return r;
    r = sheet_open(count, COLUMNS, a->shown.c, a->shown.h, &sheet);
    if (r < 0)
        run_blame(in->run, FAILURE_INTERNAL, fault_set(&in->run->why, r, "no memory for a picture"));
    for (int first = 0; first < count && r == 0; first += a->batch.most) {
        int n = count - first < a->batch.most ? count - first : a->batch.most;

        r = batch_attack(a, first, n, &seen);
        if (r == 0) {
            batch_tell(a, &seen, first, n, factor, &sheet, images, &score);
            r = inspect_breathe(in, n * COLUMNS);
        }
    }
    if (r == 0)
        r = inspect_picture(in, "adversarial", &sheet,
                            json_pack("{s:s, s:s, s:f, s:i, s:i, s:i, s:O}", "split",
                                      inspect_splits[inspect_judged(in->run)], "attack", attack->name, "epsilon",
                                      attack->epsilon, "factor", factor, "right_before", score.right_before,
                                      "right_after", score.right_after, "images", images));
    sheet_done(&sheet);
    seen_done(&seen);
    return r;
}
