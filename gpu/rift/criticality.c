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
 * Batches are the job's batch_size; the published code takes 512, a quarter of
 * the steps that 128 make, and with lr 1 that is heard in the numbers.
 *
 *     for each module i, and then each set:
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
 * flagged non_finite, which counts as more critical than any number.
 *
 * Several modules can move at once (criticality_sets.h): then Delta is nothing
 * outside the set and each module of it keeps to its own ball. One ball around
 * all would let the largest module take the whole of it. */
#include "gpu/rift/criticality_sets.h"

#include "gpu/backend/philox.h"
#include "gpu/rift/fixed_examples.h"
#include "gpu/rift/kinds.h"
#include "gpu/rift/measure.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what the job holds ----------------------------------------------------------------- */

struct criticality {
    struct run *run;
    struct batch batch;
    struct fixed_examples fixed;
    struct frontier frontier;
    struct criticality_sets sets;
    int count;                 /* of sets */
    int *first;                /* [module_count]: op where the frontier before a module is, 0: the pixels */
    bool *set;                 /* [module_count]: the modules that move now: "the set" */
    float **theta_i, **finite; /* [module_count]: of the set, inside `copies`: theta; the last finite theta + Delta */
    double *theta_norm;        /* [module_count]: of the set: |theta_i| */
    float *copies, *gradient;  /* device; the gradient is flat as the model */
    int64_t largest;           /* floats of the largest set */
    bool *wanted;
    int32_t *order;
    struct measured start; /* R(theta) */
    enum dataset_split split;

    /* Where we are. */
    int at, pass, position; /* number of the set; passes done; examples of this pass done */
    bool ascended;          /* this pass's ascent is done, its measurement isn't */
    bool non_finite;
    double highest, accuracy_there; /* of R so far, the start included */
    json_t *losses;                 /* R after each pass of this set so far */
    json_t *rows;                   /* finished sets */
};

/* The next module of the set after m; -1 when there is none. For all of them:
 * for (int m = next(c, -1); m >= 0; m = next(c, m)) */
static int next(const struct criticality *c, int m)
{
    while (++m < c->run->model->module_count)
        if (c->set[m])
            return m;
    return -1;
}

static const struct module_info *module(const struct criticality *c, int m)
{
    return &c->run->model->modules[m];
}

static const struct tensor_info *tensor(const struct criticality *c, int m)
{
    return &c->run->model->tensors[module(c, m)->weight];
}

static size_t weight_bytes(const struct criticality *c, int m)
{
    return (size_t)tensor(c, m)->count * sizeof(float);
}

static float *weight(const struct criticality *c, int m)
{
    return weights_at(c->run->weights, module(c, m)->weight);
}

/* The modules have moved. */
static void touch(struct criticality *c)
{
    for (int m = next(c, -1); m >= 0; m = next(c, m))
        weights_touch(c->run->weights, module(c, m)->weight);
}

/* ---- in and out of checkpoints -------------------------------------------------------- */

static int criticality_save(struct run *run, void *user, struct checkpoint *into)
{
    struct criticality *c = user;
    int r = 0;

    /* theta_i + Delta under the module's name */
    for (int m = c->at < c->count ? next(c, -1) : -1; m >= 0 && r == 0; m = next(c, m))
        r = checkpoint_add(run, into, module(c, m)->name, weight(c, m), tensor(c, m)->count);
    if (r < 0)
        return r;
    return checkpoint_add_state(into, "mrc",
                                json_pack("{s:i, s:i, s:i, s:b, s:b, s:o, s:o, s:O, s:O}", "at", c->at, "pass", c->pass,
                                          "position", c->position, "ascended", c->ascended, "non_finite", c->non_finite,
                                          "highest", json_number(c->highest), "accuracy_there",
                                          json_number(c->accuracy_there), "losses", c->losses, "rows", c->rows));
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
    json_array_extend(c->losses, json_object_get(was, "losses"));
    /* a checkpoint of riftd before it kept them */
    while (c->pass <= run->spec.mrc.steps && (int)json_array_size(c->losses) < c->pass)
        if (json_array_append_new(c->losses, json_null()) < 0)
            return run_blame(run, FAILURE_OUT_OF_MEMORY, -ENOMEM);
    if (c->at < 0 || c->at > c->count || c->pass < 0 || c->pass > run->spec.mrc.steps || c->position < 0 ||
        c->position > c->fixed.clean.count || (int)json_array_size(c->losses) != c->pass || !json_is_array(c->rows) ||
        (int)json_array_size(c->rows) != c->at)
        return run_fail(run, FAILURE_BAD_DATA, "%s: the checkpoint's state of the ascent is damaged", run->dir);
    return 0;
}

/* ---- ascent ----------------------------------------------------------------------------- */

/* |Delta| = |theta_i + Delta - theta_i| of a module; NaN when something isn't finite. */
static int delta_norm(struct criticality *c, int m, double *ret)
{
    struct run *run = c->run;
    int r = run_device(run, run->ops->norm(run->dev, tensor(c, m)->count, weight(c, m), c->theta_i[m], ret));

    if (!isfinite(*ret))
        *ret = NAN;
    return r;
}

/* The longest |Delta| / |theta_i| of the set, NaN when something isn't finite. */
static int relative_norm(struct criticality *c, double *ret)
{
    double longest = 0, norm;
    int r = 0;

    for (int m = next(c, -1); m >= 0 && r == 0; m = next(c, m)) {
        r = delta_norm(c, m, &norm);
        if (r == 0 && !(norm / c->theta_norm[m] <= longest) && !isnan(longest))
            longest = norm / c->theta_norm[m];
    }
    if (r == 0)
        *ret = longest;
    return r;
}

/* |Delta| <= epsilon |theta_i|: if it is longer, shorten it. */
static int project(struct criticality *c)
{
    struct run *run = c->run;
    int r = 0;

    for (int m = next(c, -1); m >= 0 && r == 0; m = next(c, m)) {
        double most = run->spec.mrc.epsilon * c->theta_norm[m], norm;

        r = delta_norm(c, m, &norm);
        if (r < 0 || !(norm > most))
            continue;
        r = run->ops->project(run->dev, tensor(c, m)->count, c->theta_i[m], (float)(most / norm), weight(c, m));
        weights_touch(run->weights, module(c, m)->weight);
        r = run_device(run, r);
    }
    return r;
}

/* theta_i + Delta, one step uphill on R of n examples. */
static int step_up(struct criticality *c, int n)
{
    struct run *run = c->run;
    float lr = (float)run->spec.mrc.lr;
    struct plan *plan;
    int r = run_plan(
        run, (struct plan_spec){ .batch = n, .mode = PLAN_EVAL, .first = c->frontier.first, .wanted = c->wanted },
        &plan);

    if (r == 0)
        r = frontier_load(&c->frontier, &c->batch, c->fixed.d_adv, c->order, c->position, n, plan);
    if (r == 0)
        r = run_device(run, plan_gradient(plan, 0, c->batch.labels, 1.0f / (float)n, c->gradient, NULL));
    for (int m = next(c, -1); m >= 0 && r == 0; m = next(c, m)) {
        r = run_device(run, run->ops->copy(run->dev, c->finite[m], weight(c, m), weight_bytes(c, m)));
        if (r == 0)
            r = run_device(run, run->ops->axpy(run->dev, tensor(c, m)->count, lr, c->gradient + tensor(c, m)->offset,
                                               weight(c, m)));
    }
    touch(c);
    return r;
}

/* The step has overflowed: back to where it started, and no further. */
static int step_back(struct criticality *c)
{
    struct run *run = c->run;
    int r = 0;

    c->non_finite = true;
    run_log(run, "%s: the ascent has overflowed in pass %d; the last finite point counts", module(c, next(c, -1))->name,
            c->pass + 1);
    for (int m = next(c, -1); m >= 0 && r == 0; m = next(c, m))
        r = run_device(run, run->ops->copy(run->dev, weight(c, m), c->finite[m], weight_bytes(c, m)));
    touch(c);
    return r;
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
            r = relative_norm(c, &norm);
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

/* ---- one set ------------------------------------------------------------------------------ */

/* MRC so far: the start counts. */
static double mrc(const struct criticality *c)
{
    return fmax(0, c->highest - c->start.loss);
}

static json_t *set_row(const struct criticality *c)
{
    json_t *row = criticality_set_names(c->run->model, c->set);
    json_int_t parameters = 0;

    for (int m = next(c, -1); m >= 0; m = next(c, m))
        parameters += tensor(c, m)->count;
    json_object_update_new(row, json_pack("{s:f, s:f, s:I, s:b}", "mrc", mrc(c), "robust_accuracy_drop",
                                          c->start.accuracy - c->accuracy_there, "parameters", parameters, "non_finite",
                                          c->non_finite));
    return row;
}

/* R(theta + Delta) after a pass, and what it says. */
static int judge(struct criticality *c)
{
    struct run *run = c->run;
    struct measured now;
    double norm;
    char key[64];

    snprintf(key, sizeof(key), "set %d pass %d", c->at, c->pass + 1);
    int r = measure(&c->batch, key, c->fixed.d_adv, &c->frontier, NULL, &now);
    if (r == 0)
        r = relative_norm(c, &norm);
    if (r < 0)
        return r;
    if (isnan(now.loss))
        c->non_finite = true;
    if (now.loss > c->highest) {
        c->highest = now.loss;
        c->accuracy_there = now.accuracy;
    }
    if (json_array_append_new(c->losses, json_number(now.loss)) < 0)
        return run_blame(run, FAILURE_OUT_OF_MEMORY, -ENOMEM);
    c->pass++;
    c->position = 0;
    c->ascended = false;
    json_t *event = set_row(c);
    json_object_update_new(event, json_pack("{s:i, s:o, s:f, s:o, s:O}", "pass", c->pass, "loss", json_number(now.loss),
                                            "accuracy", now.accuracy, "relative_norm", json_number(norm), "losses",
                                            c->losses));
    return run_event(run, "module", event);
}

/* theta_i kept. */
static int set_keep(struct criticality *c)
{
    struct run *run = c->run;
    float *at = c->copies;
    int r = 0;

    memset(c->wanted, 0, (size_t)run->model->tensor_count);
    for (int m = next(c, -1); m >= 0 && r == 0; m = next(c, m)) {
        c->wanted[module(c, m)->weight] = true;
        c->theta_i[m] = at;
        c->finite[m] = at + c->largest;
        at += tensor(c, m)->count;
        r = run_device(run, run->ops->copy(run->dev, c->theta_i[m], weight(c, m), weight_bytes(c, m)));
        if (r == 0)
            r = run_device(run, run->ops->norm(run->dev, tensor(c, m)->count, c->theta_i[m], NULL, &c->theta_norm[m]));
    }
    assert(at <= c->copies + c->largest);
    return r;
}

/* In the middle of it: theta_i + Delta. */
static int set_resume(struct criticality *c)
{
    struct run *run = c->run;
    int r = 0;

    for (int m = next(c, -1); m >= 0 && r == 0; m = next(c, m)) {
        r = checkpoint_take(run, module(c, m)->name, weight(c, m), tensor(c, m)->count);
        if (r == -ENOENT)
            r = run_fail(run, FAILURE_BAD_DATA, "%s: the checkpoint lacks \"%s\"", run->dir, module(c, m)->name);
    }
    touch(c);
    return r;
}

/* Where the frontier before all of the set is. */
static int first_op(const struct criticality *c)
{
    int first = c->first[next(c, -1)];

    for (int m = next(c, -1); m >= 0; m = next(c, m))
        first = c->first[m] < first ? c->first[m] : first;
    return first;
}

/* theta_i kept, the frozen part before it computed. */
static int set_begin(struct criticality *c)
{
    struct run *run = c->run;
    int r;

    plan_cache_clear(run->plans); /* the last set's plans are of no more use */
    r = set_keep(c);
    if (r == 0 && (c->pass || c->position || c->ascended)) {
        r = set_resume(c);
    } else if (r == 0) {
        c->highest = c->start.loss;
        c->accuracy_there = c->start.accuracy;
        c->non_finite = false;
    }
    return r < 0 ? r : frontier_open(&c->frontier, c->fixed.d_adv, &c->batch, first_op(c));
}

/* theta again, bit for bit; the set's row is final. */
static int set_end(struct criticality *c)
{
    struct run *run = c->run;
    int r = 0;

    for (int m = next(c, -1); m >= 0 && r == 0; m = next(c, m))
        r = run_device(run, run->ops->copy(run->dev, weight(c, m), c->theta_i[m], weight_bytes(c, m)));
    touch(c);
    json_array_append_new(c->rows, set_row(c));
    c->at++;
    c->pass = 0;
    json_array_clear(c->losses);
    return r < 0 ? r : checkpoint_end(run);
}

static int set_criticality(struct criticality *c)
{
    struct run *run = c->run;
    int steps = run->spec.mrc.steps;

    criticality_sets_at(&c->sets, c->at, c->rows, c->set);
    json_t *known = criticality_set_find(run->model, c->rows, c->set);
    if (known) { /* the same bits again, and its events are said */
        c->at++;
        return json_array_append(c->rows, known) < 0 ? run_blame(run, FAILURE_OUT_OF_MEMORY, -ENOMEM) : 0;
    }
    int r = set_begin(c);

    run->outer.done = ((int64_t)c->at * steps + c->pass) * 2 * c->fixed.d_adv->count + c->position;
    while (r == 0 && c->pass < steps && !(c->non_finite && c->position == 0 && !c->ascended)) {
        if (!c->ascended)
            r = ascend(c);
        if (r == 0)
            r = judge(c);
        if (r == 0)
            r = checkpoint_breathe(run);
    }
    return r < 0 ? r : set_end(c);
}

/* ---- all sets ------------------------------------------------------------------------------- */

static json_t *criticality_result(const struct criticality *c)
{
    json_t *result = criticality_sets_result(&c->sets, c->rows), *modules = json_object_get(result, "modules");
    const json_t *lowest = json_array_get(modules, (size_t)criticality_choose(modules, 1));

    json_object_update_new(result,
                           json_pack("{s:s, s:f, s:f, s:O}", "examples", c->fixed.attack ? "adversarial" : "clean",
                                     "robust_loss", c->start.loss, "robust_accuracy", c->start.accuracy, "lowest",
                                     json_object_get(lowest, "module")));
    run_say_images(result, c->fixed.d_adv->count, c->split);
    return result;
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
        r = set_criticality(c);
    run->outer = (struct outer){ 0 };
    if (r == 0)
        *ret_result = criticality_result(c);
    return r;
}

/* The attack that makes D_adv, or NULL. */
static const struct attack_spec *crafting(const struct run *run)
{
    return run->spec.mrc.examples == MRC_ADVERSARIAL && attack_given(&run->spec.attack) ? &run->spec.attack : NULL;
}

/* Host memory, and what the sets need on the device. */
static int sets_open(struct criticality *c)
{
    struct run *run = c->run;
    size_t modules = (size_t)run->model->module_count;
    int r = criticality_sets_open(run, &c->sets);

    if (r < 0)
        return r;
    c->count = criticality_sets_count(&c->sets);
    c->largest = criticality_sets_largest(&c->sets);
    c->rows = json_array();
    c->losses = json_array();
    c->first = calloc(modules, sizeof(*c->first));
    c->set = calloc(modules, sizeof(*c->set));
    c->theta_i = calloc(modules, sizeof(*c->theta_i));
    c->finite = calloc(modules, sizeof(*c->finite));
    c->theta_norm = calloc(modules, sizeof(*c->theta_norm));
    c->wanted = calloc((size_t)run->model->tensor_count, sizeof(*c->wanted));
    if (!c->rows || !c->losses || !c->first || !c->set || !c->theta_i || !c->finite || !c->theta_norm || !c->wanted)
        return run_fail(run, FAILURE_OUT_OF_MEMORY, "no memory");
    for (int m = 0; m < run->model->module_count; m++)
        c->first[m] = criticality_sets_move(&c->sets, m) ? run->model->modules[m].op : 0;
    return 0;
}

/* A set's own plans come in the place of these: prefix, ascent and measurement pack no more than
 * ascent of what may come together and measurement from the pixels, and none works on more. */
static int plans_reserve(struct criticality *c, int examples)
{
    struct run *run = c->run;
    int r;

    c->wanted[module(c, c->sets.single[0])->weight] = true;
    for (int m = 0; c->count > c->sets.single_count && m < run->model->module_count; m++)
        c->wanted[module(c, m)->weight] = criticality_sets_move(&c->sets, m);
    r = run_plan_reserve(run, examples, (struct plan_spec){ .mode = PLAN_EVAL, .wanted = c->wanted });
    return r < 0 ? r : measure_reserve(run, examples, 0, NULL);
}

static int criticality_open(struct criticality *c)
{
    struct run *run = c->run;
    const struct model *model = run->model;
    const struct examples *examples;
    int r = sets_open(c);

    c->split = run->spec.mrc.split != SPLIT_DEFAULT ? run->spec.mrc.split : run_split(run, run_judge(run));
    if (r == 0)
        r = run_weights(run, &run->spec.model.weights, "model.weights");
    if (r == 0)
        r = run_dataset(run, split_wants(c->split));
    if (r == 0)
        r = run_examples(run, c->split, &examples);
    if (r == 0)
        r = batch_open(run, examples->count, crafting(run) != NULL, &c->batch);
    if (r == 0)
        r = fixed_examples_open(run, examples, crafting(run), &c->fixed);
    if (r < 0)
        return r;
    c->order = malloc((size_t)examples->count * sizeof(*c->order));
    c->copies = run_alloc(run, 2 * (size_t)c->largest * sizeof(float), "two copies of the modules that move");
    c->gradient = run_alloc(run, (size_t)model->parameter_count * sizeof(float), "gradients");
    if (!c->order || !c->copies || !c->gradient)
        return run_blame(run, FAILURE_OUT_OF_MEMORY, -ENOMEM);
    r = plans_reserve(c, examples->count);
    if (r == 0)
        frontier_reserve(run, examples->count, c->batch.most, c->first, model->module_count, &c->frontier);
    return r;
}

static void criticality_done(struct criticality *c)
{
    struct run *run = c->run;
    float *memory[] = { c->copies, c->gradient };

    for (int i = 0; i < 2; i++)
        if (memory[i])
            run->ops->free(run->dev, memory[i]);
    frontier_done(&c->frontier);
    fixed_examples_done(&c->fixed);
    batch_done(&c->batch);
    criticality_sets_done(&c->sets);
    json_decref(c->rows);
    json_decref(c->losses);
    free(c->first);
    free(c->set);
    free(c->theta_i);
    free(c->finite);
    free(c->theta_norm);
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
