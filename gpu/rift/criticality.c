/* Which module's weights does robustness hang on, and which have room?
 *
 * Module Robust Criticality (Definition 3.1 of the paper):
 *
 *     MRC(theta_i) = max over Delta of R(theta + Delta) - R(theta),   |Delta|_2 <= epsilon |theta_i|_2,
 *
 * where Delta is nothing outside module i and R is the loss on D_adv, fixed
 * examples crafted at theta. The maximum is approached by gradient ascent
 * (Algorithm 1 as its authors' code has it): `steps` passes over D_adv in
 * batches, theta_i += lr * gradient of the batch's mean loss, projection after
 * each pass (as published) or each step, R after each pass; the largest R counts.
 *
 *     for each module i:
 *       frontier of D_adv before i              once: everything before i stays as it is
 *       for each pass:
 *         for each batch: theta_i + Delta, uphill on R
 *         |Delta| <= epsilon |theta_i|
 *         R(theta + Delta)                      -> module event
 *       theta_i back, bit for bit
 *
 * Surprising: Delta = 0 is allowed, so MRC is never negative; the published
 * code can report less. And with lr 1 a critical module can overflow within a
 * pass. NaN > epsilon is false, so the published code then neither projects nor
 * counts, and calls the most critical module the least critical one. Here the
 * last finite point is restored, the ascent ends there, and the module is
 * flagged non_finite, which counts as more critical than any number. */
#include "gpu/rift/criticality.h"

#include "gpu/backend/philox.h"
#include "gpu/rift/fixed_examples.h"
#include "gpu/rift/kinds.h"
#include "gpu/rift/measure.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the order of modules ------------------------------------------------------------- */

static bool overflowed(const json_t *row)
{
    return json_is_true(json_object_get(row, "non_finite")) || isnan(json_double(row, "mrc"));
}

int criticality_compare(const json_t *row, const json_t *other)
{
    double a = json_double(row, "mrc"), b = json_double(other, "mrc");

    if (overflowed(row) != overflowed(other))
        return overflowed(row) - overflowed(other);
    return (a > b) - (a < b);
}

int criticality_choose(const json_t *rows, int sign)
{
    int best = json_array_size(rows) ? 0 : -1;

    for (size_t i = 1; i < json_array_size(rows); i++)
        if (sign * criticality_compare(json_array_get(rows, i), json_array_get(rows, (size_t)best)) < 0)
            best = (int)i;
    return best;
}

/* ---- what the job holds ----------------------------------------------------------------- */

struct criticality {
    struct run *run;
    struct batch batch;
    struct fixed_examples fixed;
    struct frontier frontier;
    int *list;  /* modules, in network order */
    int *first; /* [count]: op where its frontier is, 0: the pixels */
    int count;
    bool *wanted;
    int32_t *order;
    float *theta_i, *finite; /* device: the module at theta; the last finite theta_i + Delta */
    float *gradient;         /* device, flat as the model */
    double theta_norm;       /* |theta_i| */
    struct measured start;   /* R(theta) */

    /* Where we are. */
    int at, pass, position; /* in list; passes done; examples of this pass done */
    bool ascended;          /* this pass's ascent is done, its measurement isn't */
    bool non_finite;
    double highest, accuracy_there; /* of R so far, the start included */
    json_t *rows;                   /* finished modules */
};

static const struct module_info *module(const struct criticality *c)
{
    return &c->run->model->modules[c->list[c->at]];
}

static const struct tensor_info *tensor(const struct criticality *c)
{
    return &c->run->model->tensors[module(c)->weight];
}

static float *weight(const struct criticality *c)
{
    return weights_at(c->run->weights, module(c)->weight);
}

/* ---- in and out of checkpoints -------------------------------------------------------- */

static int criticality_save(struct run *run, void *user, struct checkpoint *into)
{
    struct criticality *c = user;
    int r = 0;

    if (c->at < c->count)
        r = checkpoint_add(run, into, "theta_i", weight(c), tensor(c)->count);
    if (r < 0)
        return r;
    return checkpoint_add_state(into, "mrc",
                                json_pack("{s:i, s:i, s:i, s:b, s:b, s:o, s:o, s:O}", "at", c->at, "pass", c->pass,
                                          "position", c->position, "ascended", c->ascended, "non_finite", c->non_finite,
                                          "highest", json_number(c->highest), "accuracy_there",
                                          json_number(c->accuracy_there), "rows", c->rows));
}

static int criticality_resume(struct criticality *c)
{
    struct run *run = c->run;
    const json_t *was = checkpoint_state(run, "mrc");

    if (!was)
        return 0;
    c->at = (int)json_integer_value(json_object_get(was, "at"));
    c->pass = (int)json_integer_value(json_object_get(was, "pass"));
    c->position = (int)json_integer_value(json_object_get(was, "position"));
    c->ascended = json_is_true(json_object_get(was, "ascended"));
    c->non_finite = json_is_true(json_object_get(was, "non_finite"));
    c->highest = json_double(was, "highest");
    c->accuracy_there = json_double(was, "accuracy_there");
    json_decref(c->rows);
    c->rows = json_deep_copy(json_object_get(was, "rows"));
    if (c->at < 0 || c->at > c->count || c->pass < 0 || c->pass > run->spec.mrc.steps || c->position < 0 ||
        c->position > c->fixed.clean.count || (int)json_array_size(c->rows) != c->at)
        return run_fail(run, FAILURE_BAD_DATA, "%s: the checkpoint's state of the ascent is damaged", run->dir);
    return 0;
}

/* ---- ascent ----------------------------------------------------------------------------- */

/* |Delta| = |theta_i + Delta - theta_i|; NaN when something isn't finite. */
static int delta_norm(struct criticality *c, double *ret)
{
    struct run *run = c->run;
    int r = run_device(run, run->ops->norm(run->dev, tensor(c)->count, weight(c), c->theta_i, ret));

    if (!isfinite(*ret))
        *ret = NAN;
    return r;
}

/* |Delta| <= epsilon |theta_i|: if it is longer, shorten it. */
static int project(struct criticality *c)
{
    struct run *run = c->run;
    double most = run->spec.mrc.epsilon * c->theta_norm, norm;
    int r = delta_norm(c, &norm);

    if (r < 0 || !(norm > most))
        return r;
    r = run->ops->project(run->dev, tensor(c)->count, c->theta_i, (float)(most / norm), weight(c));
    weights_touch(run->weights, module(c)->weight);
    return run_device(run, r);
}

/* theta_i + Delta, one step uphill on R of n examples. */
static int step_up(struct criticality *c, int n)
{
    struct run *run = c->run;
    const struct tensor_info *info = tensor(c);
    struct plan *plan;
    int r = run_plan(
        run, (struct plan_spec){ .batch = n, .mode = PLAN_EVAL, .first = c->frontier.first, .wanted = c->wanted },
        &plan);

    if (r == 0)
        r = frontier_load(&c->frontier, &c->batch, c->fixed.d_adv, c->order, c->position, n, plan);
    if (r == 0)
        r = run_device(run, plan_forward(plan, 0));
    if (r == 0)
        r = run_device(run, plan_cross_entropy(plan, c->batch.labels, 1.0f / (float)n));
    if (r == 0)
        r = run_device(run, plan_backward(plan, c->gradient, NULL));
    if (r == 0)
        r = run_device(run, run->ops->copy(run->dev, c->finite, weight(c), (size_t)info->count * sizeof(float)));
    if (r == 0)
        r = run_device(
            run, run->ops->axpy(run->dev, info->count, (float)run->spec.mrc.lr, c->gradient + info->offset, weight(c)));
    weights_touch(run->weights, module(c)->weight);
    return r;
}

/* The step has overflowed: back to where it started, and no further. */
static int step_back(struct criticality *c)
{
    struct run *run = c->run;

    c->non_finite = true;
    run_log(run, "%s: the ascent has overflowed in pass %d; the last finite point counts", module(c)->name,
            c->pass + 1);
    weights_touch(run->weights, module(c)->weight);
    return run_device(run, run->ops->copy(run->dev, weight(c), c->finite, (size_t)tensor(c)->count * sizeof(float)));
}

static int ascend(struct criticality *c)
{
    struct run *run = c->run;
    int count = c->fixed.d_adv->count, r = 0;
    bool shuffle = run->spec.shuffle;

    epoch_order(run->spec.seed, RANDOM_MRC, (uint32_t)c->pass, shuffle, count, c->order);
    while (c->position < count && !c->non_finite && r == 0) {
        int left = count - c->position, n = left < c->batch.most ? left : c->batch.most;
        double norm;

        r = step_up(c, n);
        if (r == 0)
            r = delta_norm(c, &norm);
        if (r < 0)
            break;
        if (isnan(norm))
            r = step_back(c);
        else if (run->spec.mrc.projection == PROJECTION_STEP)
            r = project(c);
        c->position += n;
        run->outer.done += n;
        if (r == 0)
            r = run_progress(run, run->outer.phase, run->outer.done, run->outer.total, false);
        if (r == 0 && c->position < count)
            r = checkpoint_breathe(run);
    }
    if (r == 0)
        r = project(c);
    c->ascended = r == 0;
    return r;
}

/* ---- one module --------------------------------------------------------------------------- */

/* MRC so far: the start counts. */
static double mrc(const struct criticality *c)
{
    return fmax(0, c->highest - c->start.loss);
}

static json_t *module_row(const struct criticality *c)
{
    return json_pack("{s:s, s:f, s:f, s:I, s:b}", "module", module(c)->name, "mrc", mrc(c), "robust_accuracy_drop",
                     c->start.accuracy - c->accuracy_there, "parameters", (json_int_t)tensor(c)->count, "non_finite",
                     c->non_finite);
}

/* R(theta + Delta) after a pass, and what it says. */
static int judge(struct criticality *c)
{
    struct run *run = c->run;
    struct measured now;
    double norm;
    char key[128];

    snprintf(key, sizeof(key), "%s pass %d", module(c)->name, c->pass + 1);
    int r = measure(&c->batch, key, c->fixed.d_adv, &c->frontier, NULL, &now);
    if (r == 0)
        r = delta_norm(c, &norm);
    if (r < 0)
        return r;
    if (isnan(now.loss))
        c->non_finite = true;
    if (now.loss > c->highest) {
        c->highest = now.loss;
        c->accuracy_there = now.accuracy;
    }
    c->pass++;
    c->position = 0;
    c->ascended = false;
    json_t *event = module_row(c);
    json_object_update_new(event,
                           json_pack("{s:i, s:o, s:f, s:o}", "pass", c->pass, "loss", json_number(now.loss), "accuracy",
                                     now.accuracy, "relative_norm", json_number(norm / c->theta_norm)));
    return run_event(run, "module", event);
}

/* theta_i kept, the frozen part before it computed. */
static int module_begin(struct criticality *c)
{
    struct run *run = c->run;
    size_t bytes = (size_t)tensor(c)->count * sizeof(float);
    int r = run_device(run, run->ops->copy(run->dev, c->theta_i, weight(c), bytes));

    memset(c->wanted, 0, (size_t)run->model->tensor_count);
    c->wanted[module(c)->weight] = true;
    plan_cache_clear(run->plans); /* the last module's plans are of no more use */
    if (r == 0)
        r = run_device(run, run->ops->norm(run->dev, tensor(c)->count, c->theta_i, NULL, &c->theta_norm));
    if (r == 0 && (c->pass || c->position || c->ascended)) { /* in the middle of it: theta_i + Delta */
        r = checkpoint_take(run, "theta_i", weight(c), tensor(c)->count);
        weights_touch(run->weights, module(c)->weight);
        if (r == -ENOENT)
            return run_fail(run, FAILURE_BAD_DATA, "%s: the checkpoint lacks \"theta_i\"", run->dir);
    } else if (r == 0) {
        c->highest = c->start.loss;
        c->accuracy_there = c->start.accuracy;
        c->non_finite = false;
    }
    return r < 0 ? r : frontier_open(&c->frontier, c->fixed.d_adv, &c->batch, c->first[c->at]);
}

/* theta again, bit for bit; the module's row is final. */
static int module_end(struct criticality *c)
{
    struct run *run = c->run;
    size_t bytes = (size_t)tensor(c)->count * sizeof(float);
    int r = run_device(run, run->ops->copy(run->dev, weight(c), c->theta_i, bytes));

    weights_touch(run->weights, module(c)->weight);
    json_array_append_new(c->rows, module_row(c));
    c->at++;
    c->pass = 0;
    return r < 0 ? r : checkpoint_end(run);
}

static int module_criticality(struct criticality *c)
{
    struct run *run = c->run;
    int steps = run->spec.mrc.steps;
    int r = module_begin(c);

    run->outer.done = ((int64_t)c->at * steps + c->pass) * 2 * c->fixed.d_adv->count + c->position;
    while (r == 0 && c->pass < steps && !(c->non_finite && c->position == 0 && !c->ascended)) {
        if (!c->ascended)
            r = ascend(c);
        if (r == 0)
            r = judge(c);
        if (r == 0)
            r = checkpoint_breathe(run);
    }
    return r < 0 ? r : module_end(c);
}

/* ---- all modules ---------------------------------------------------------------------------- */

static json_t *criticality_result(const struct criticality *c)
{
    const json_t *lowest = json_array_get(c->rows, (size_t)criticality_choose(c->rows, 1));

    return json_pack("{s:o, s:f, s:O, s:O}", "robust_loss", json_number(c->start.loss), "robust_accuracy",
                     c->start.accuracy, "modules", c->rows, "lowest", json_object_get(lowest, "module"));
}

static int criticality_run(struct criticality *c, json_t **ret_result)
{
    struct run *run = c->run;
    int r = fixed_examples_craft(&c->fixed, &c->batch);

    if (r == 0)
        r = measure(&c->batch, "start", c->fixed.d_adv, NULL, NULL, &c->start);
    if (r < 0)
        return r;
    if (isnan(c->start.loss)) {
        run_fail(run, FAILURE_NOT_FINITE, "the loss at theta is not finite");
        return -EDOM;
    }
    r = run_event(run, "evaluation",
                  json_pack("{s:s, s:f, s:f}", "name", "start", "loss", c->start.loss, "accuracy", c->start.accuracy));
    run->outer = (struct outer){ "mrc", 0, 2 * (int64_t)c->count * run->spec.mrc.steps * c->fixed.d_adv->count };
    while (r == 0 && c->at < c->count)
        r = module_criticality(c);
    run->outer = (struct outer){ 0 };
    if (r == 0)
        *ret_result = criticality_result(c);
    return r;
}

/* The modules that were asked for, in network order. */
static int modules_choose(struct criticality *c)
{
    struct run *run = c->run;
    const struct model *model = run->model;

    for (int i = 0; i < run->spec.mrc.module_count; i++)
        if (model_module(model, run->spec.mrc.modules[i]) < 0)
            return run_fail(run, FAILURE_BAD_SPEC, "mrc.modules: %s has no module \"%s\"", model->arch,
                            run->spec.mrc.modules[i]);
    for (int m = 0; m < model->module_count; m++) {
        bool chosen = !run->spec.mrc.modules;

        for (int i = 0; i < run->spec.mrc.module_count; i++)
            chosen = chosen || model_module(model, run->spec.mrc.modules[i]) == m;
        if (!chosen)
            continue;
        c->list[c->count] = m;
        c->first[c->count++] = model->modules[m].op;
    }
    return c->count ? 0 : run_fail(run, FAILURE_BAD_SPEC, "mrc.modules: no module is named");
}

static int criticality_open(struct criticality *c)
{
    struct run *run = c->run;
    const struct model *model = run->model;
    enum dataset_split split = run_split(run, run_judge(run));
    const struct examples *examples;
    size_t largest = 0;
    int r;

    c->rows = json_array();
    c->list = calloc((size_t)model->module_count, sizeof(*c->list));
    c->first = calloc((size_t)model->module_count, sizeof(*c->first));
    c->wanted = calloc((size_t)model->tensor_count, sizeof(*c->wanted));
    if (!c->rows || !c->list || !c->first || !c->wanted)
        return run_fail(run, FAILURE_OUT_OF_MEMORY, "no memory");
    r = modules_choose(c);
    if (r == 0)
        r = run_weights(run, &run->spec.model.weights, "model.weights");
    if (r == 0)
        r = run_dataset(run, split_wants(split));
    if (r == 0)
        r = run_examples(run, split, &examples);
    if (r == 0)
        r = batch_open(run, examples->count, attack_given(&run->spec.attack), &c->batch);
    if (r == 0)
        r = fixed_examples_open(run, examples, &c->fixed);
    if (r < 0)
        return r;
    for (int i = 0; i < c->count; i++) {
        size_t bytes = (size_t)model->tensors[model->modules[c->list[i]].weight].count * sizeof(float);

        largest = bytes > largest ? bytes : largest;
    }
    c->order = malloc((size_t)examples->count * sizeof(*c->order));
    c->theta_i = run_alloc(run, largest, "a copy of a module");
    c->finite = run_alloc(run, largest, "a copy of a module");
    c->gradient = run_alloc(run, (size_t)model->parameter_count * sizeof(float), "gradients");
    if (!c->order || !c->theta_i || !c->finite || !c->gradient)
        return run_blame(run, FAILURE_OUT_OF_MEMORY, -ENOMEM);
    /* A module's own plans come in the place of these: prefix, ascent and measurement pack no more
     * than ascent of the first module and measurement from the pixels, and none works on more. */
    c->wanted[model->modules[c->list[0]].weight] = true;
    r = run_plan_reserve(run, examples->count, (struct plan_spec){ .mode = PLAN_EVAL, .wanted = c->wanted });
    if (r == 0)
        r = measure_reserve(run, examples->count, 0, NULL);
    if (r == 0)
        frontier_reserve(run, examples->count, c->batch.most, c->first, c->count, &c->frontier);
    return r;
}

static void criticality_done(struct criticality *c)
{
    struct run *run = c->run;
    float *memory[] = { c->theta_i, c->finite, c->gradient };

    for (int i = 0; i < 3; i++)
        if (memory[i])
            run->ops->free(run->dev, memory[i]);
    frontier_done(&c->frontier);
    fixed_examples_done(&c->fixed);
    batch_done(&c->batch);
    json_decref(c->rows);
    free(c->list);
    free(c->first);
    free(c->wanted);
    free(c->order);
}

int module_robust_criticality(struct run *run, json_t **ret_result)
{
    struct criticality c = { .run = run };
    int r = criticality_open(&c);

    if (r == 0)
        r = run_ready(run, json_pack("{s:i}", "modules", c.count));
    if (r == 0)
        r = measure_resume(run);
    if (r == 0)
        r = criticality_resume(&c);
    if (r == 0) {
        saver_push(run, measure_saver);
        saver_push(run, fixed_examples_saver(&c.fixed));
        saver_push(run, (struct saver){ criticality_save, &c });
        r = criticality_run(&c, ret_result);
        saver_pop(run);
        saver_pop(run);
        saver_pop(run);
    }
    criticality_done(&c);
    return r;
}
