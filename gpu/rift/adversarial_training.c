/* How does a network learn to resist?
 *
 *     min over theta of  E  L( theta, x, argmax over |delta|_inf <= epsilon of l(theta, x + delta) )
 *
 * Each batch is answered by an adversary that climbs l, then SGD descends L.
 * Methods differ in the two losses, in where the adversary starts and in how it
 * sees batch norm: one row each in the table below (methods.h tells their
 * formulas). Standard training has no adversary.
 *
 * Surprising: where batch norm is in train mode while crafting, the attack sees
 * the statistics of the very batch it attacks, and every crafting forward pass
 * moves the running statistics with momentum 0.1: steps + 1 times an update.
 * With "frozen" only the passes of the update move them. A spec may force either
 * (train.attack_batch_norm). No extra forward pass for logging is made; the loss
 * that is reported is the one that is descended, for AWP at the perturbed theta. */
#include "gpu/rift/kinds.h"

#include "gpu/backend/philox.h"
#include "gpu/rift/measure.h"
#include "gpu/rift/methods.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* ---- the methods ---------------------------------------------------------------- */

/* clang-format off */
static const struct method methods[] = {
    /* method, base              crafting: climbs       f(x)?  noise? BN of its own          pair?  gradient of L           step */
    { TRAIN_STANDARD, 0,         NULL,                  false, false, BATCH_NORM_TRAIN,      false, cross_entropy_gradient, plain_step },
    { TRAIN_PGD_AT, 0,           climb_cross_entropy,   false, false, BATCH_NORM_TRAIN,      false, cross_entropy_gradient, plain_step },
    { TRAIN_TRADES, 0,           trades_climb,          true,  true,  BATCH_NORM_FROZEN,     true,  trades_gradient,        plain_step },
    { TRAIN_MART, 0,             climb_cross_entropy,   false, true,  BATCH_NORM_FROZEN,     true,  mart_gradient,          plain_step },
    { TRAIN_AWP, BASE_PGD_AT,    climb_cross_entropy,   false, false, BATCH_NORM_TRAIN,      false, cross_entropy_gradient, awp_step },
    { TRAIN_AWP, BASE_TRADES,    trades_climb,          true,  true,  BATCH_NORM_FROZEN,     true,  trades_gradient,        awp_step },
    { TRAIN_SCORE, BASE_TRADES,  score_climb,           true,  true,  BATCH_NORM_FROZEN,     true,  score_gradient,         plain_step },
    { TRAIN_SCORE, BASE_PGD_AT,  score_climb_label,     false, false, BATCH_NORM_TRAIN,      false, score_gradient_label,   plain_step },
};
/* clang-format on */

const struct method *method_of(const struct job_spec *spec)
{
    int base = spec->train.method == TRAIN_AWP     ? (int)spec->train.awp.base
               : spec->train.method == TRAIN_SCORE ? (int)spec->train.score.base
                                                   : 0;

    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (methods[i].method == spec->train.method && methods[i].base == base)
            return &methods[i];
    assert(!"a method without a row");
    return NULL;
}

/* ---- what a step needs ------------------------------------------------------------ */

static struct plan_spec crafting_plan(const struct descent *d)
{
    enum batch_norm_mode forced = d->run->spec.train.attack_batch_norm;
    enum batch_norm_mode mode = forced == BATCH_NORM_OWN ? d->method->batch_norm : forced;

    return attack_plan(mode == BATCH_NORM_TRAIN ? PLAN_TRAIN : PLAN_EVAL);
}

static struct plan_spec update_plan(const struct descent *d, bool beside)
{
    return (struct plan_spec){ .mode = PLAN_TRAIN, .wanted = d->wanted, .space = beside };
}

int descent_plan(struct descent *d, bool beside, struct plan **ret)
{
    struct plan_spec spec = update_plan(d, beside);

    spec.batch = d->batch->n;
    return run_plan(d->run, spec, ret);
}

/* Count of floats on the device, unless nobody wants them. */
static int floats_open(struct run *run, bool wanted, int64_t count, float **ret)
{
    if (!wanted)
        return 0;
    *ret = run_alloc(run, (size_t)count * sizeof(float), "what a step keeps");
    return *ret ? 0 : -ENOMEM;
}

int descent_open(struct descent *d, int count)
{
    struct run *run = d->run;
    const struct model *model = run->model;
    int r = 0;

    d->method = method_of(&run->spec);
    d->wanted = calloc((size_t)model->tensor_count, sizeof(*d->wanted));
    if (!d->wanted)
        return run_fail(run, FAILURE_OUT_OF_MEMORY, "no memory");
    for (int i = 0; i < model->tensor_count; i++)
        d->wanted[i] = model->tensors[i].parameter;
    r = floats_open(run, d->method->natural, (int64_t)d->batch->most * model->num_classes, &d->natural);
    if (r == 0)
        r = floats_open(run, d->method->pair, model->parameter_count, &d->through_x);
    for (int i = 0; i < 2 && r == 0; i++)
        r = floats_open(run, d->method->pair, statistics_count(model), &d->statistics[i]);
    if (r == 0)
        r = floats_open(run, d->method->method == TRAIN_AWP, model->parameter_count, &d->theta);
    if (r == 0)
        r = run_plan_reserve(run, count, update_plan(d, false));
    if (r == 0 && d->method->pair)
        r = run_plan_reserve(run, count, update_plan(d, true));
    if (r == 0 && d->method->climb)
        r = run_plan_reserve(run, count, crafting_plan(d));
    return r;
}

void descent_done(struct descent *d)
{
    const struct model *model = d->run->model;

    if (!d->wanted)
        return;
    run_free(d->run, d->natural, (size_t)d->batch->most * (size_t)model->num_classes * sizeof(float));
    run_free(d->run, d->through_x, (size_t)model->parameter_count * sizeof(float));
    for (int i = 0; i < 2; i++)
        run_free(d->run, d->statistics[i], (size_t)statistics_count(model) * sizeof(float));
    run_free(d->run, d->theta, (size_t)model->parameter_count * sizeof(float));
    free(d->wanted);
}

/* ---- one step ----------------------------------------------------------------------- */

int descent_craft(struct descent *d)
{
    struct run *run = d->run;
    struct climb climb = { d->method->climb, d->natural, d->method->noise ? run->spec.train.start_noise : 0 };
    struct random_key key = { (uint64_t)run->spec.seed, RANDOM_ATTACK, (uint32_t)d->training->epoch };
    struct plan_spec spec = crafting_plan(d);
    struct plan *crafting;

    spec.batch = d->batch->n;
    int r = run_plan(run, spec, &crafting);
    return r < 0 ? r : attack_climb(d->batch, crafting, &run->spec.attack, &climb, key);
}

static int adversarial_step(struct training *t, const int32_t *order, int first, int n)
{
    struct descent *d = t->user;
    struct cut cut = { t->run->spec.augment, t->run->spec.augment_padding, (uint32_t)t->epoch };
    int r = batch_load(t->batch, t->train, order, first, n, &cut);

    if (r == 0 && d->method->climb)
        r = descent_craft(d);
    return r < 0 ? r : d->method->step(d);
}

/* ---- the whole ------------------------------------------------------------------------ */

/* What the numbers of a result were made with, in the spec's own words. */
static void result_words(const struct run *run, json_t *result)
{
    const json_t *train = json_object_get(run->spec.json, "train");
    const char *method = json_string_value(json_object_get(train, "method"));
    json_t *base = json_object_get(json_object_get(train, method), "base");

    json_object_set(result, "method", json_object_get(train, "method"));
    if (base)
        json_object_set(result, "base", base);
}

int adversarial_training(struct run *run, json_t **ret_result)
{
    const struct attack_spec *attack = attack_given(&run->spec.attack) ? &run->spec.attack : NULL;
    struct images train = { 0 }, judge = { 0 };
    struct batch batch = { 0 };
    struct descent d = { .run = run, .batch = &batch };
    struct training t = { .run = run,
                          .batch = &batch,
                          .epochs = run->spec.train.epochs,
                          .evaluate_every = run->spec.train.evaluate_every,
                          .attack = attack,
                          .select_robust = run->spec.train.method != TRAIN_STANDARD && attack,
                          .step = adversarial_step,
                          .user = &d };
    int r = run_weights(run, &run->spec.model.weights, "model.weights");

    d.training = &t;
    if (r == 0)
        r = training_images(&t, &train, &judge);
    if (r == 0)
        r = batch_open(run, train.count > judge.count ? train.count : judge.count, attack != NULL, &batch);
    if (r == 0)
        r = descent_open(&d, train.count);
    if (r == 0 && t.judge)
        r = measure_reserve(run, judge.count, 0, t.attack);
    if (r == 0)
        r = training_run(&t, NULL, ret_result);
    if (r == 0)
        result_words(run, *ret_result);
    descent_done(&d);
    batch_done(&batch);
    images_done(&train);
    images_done(&judge);
    return r;
}
