/* How does a network learn to resist?
 *
 *     min over theta of  E max over |delta|_inf <= epsilon of CE(f(theta, x + delta), y)
 *
 * PGD adversarial training (Madry et al. 2018), with the recipe that the paper
 * builds on: each batch is replaced by what PGD makes of it, and SGD sees
 * nothing but that. Standard training is the same with delta = 0.
 *
 * Surprising: while crafting, batch norm is in train mode by default
 * (train.attack_batch_norm), so the attack sees the statistics of the very
 * batch it attacks, and every crafting forward pass moves the running
 * statistics with momentum 0.1: steps + 1 times an update. With "frozen" they
 * move once. No extra forward pass for logging is made; the loss that is
 * reported is the one that is descended. */
#include "gpu/rift/kinds.h"

#include "gpu/backend/philox.h"
#include "gpu/rift/attack.h"
#include "gpu/rift/measure.h"
#include "gpu/rift/training.h"

#include <stdlib.h>
#include <string.h>

/* The inner maximum: x' = x + delta in batch->x_adv. */
static int maximise(struct training *t)
{
    struct run *run = t->run;
    struct plan *crafting;
    struct plan_spec spec = attack_plan(run->spec.train.attack_batch_norm == BATCH_NORM_TRAIN ? PLAN_TRAIN : PLAN_EVAL);

    spec.batch = t->batch->n;
    int r = run_plan(run, spec, &crafting);
    if (r < 0)
        return r;
    return attack_pgd(t->batch, crafting, &run->spec.attack,
                      (struct random_key){ (uint64_t)run->spec.seed, RANDOM_ATTACK, (uint32_t)t->epoch });
}

/* One update of theta: theta <- theta - lr * gradient of mean CE(f(theta, x'), y). */
static int adversarial_step(struct training *t, const int32_t *order, int first, int n)
{
    struct run *run = t->run;
    struct cut cut = { run->spec.augment, run->spec.augment_padding, (uint32_t)t->epoch };
    bool attacked = run->spec.train.method == TRAIN_PGD_AT && attack_given(&run->spec.attack);
    struct plan *update;
    int r = batch_load(t->batch, t->train, order, first, n, &cut);

    if (r == 0 && attacked)
        r = maximise(t);
    if (r == 0)
        r = run_plan(run, (struct plan_spec){ .batch = n, .mode = PLAN_TRAIN, .wanted = t->user }, &update);
    if (r < 0)
        return r;
    plan_bind(update, 0, attacked ? t->batch->x_adv : t->batch->x);
    return training_descend(t, update);
}

/* All plans of the job, so that the loop allocates nothing. */
static int reserve(struct run *run, const struct training *t, const bool *all)
{
    bool attacked = run->spec.train.method == TRAIN_PGD_AT && attack_given(&run->spec.attack);
    enum plan_mode crafting = run->spec.train.attack_batch_norm == BATCH_NORM_TRAIN ? PLAN_TRAIN : PLAN_EVAL;
    int r = run_plan_reserve(run, t->train->count, (struct plan_spec){ .mode = PLAN_TRAIN, .wanted = all });

    if (r == 0 && attacked)
        r = run_plan_reserve(run, t->train->count, attack_plan(crafting));
    if (r == 0 && t->judge)
        r = measure_reserve(run, t->judge->count, 0, t->attack);
    return r;
}

int adversarial_training(struct run *run, json_t **ret_result)
{
    const struct attack_spec *attack = attack_given(&run->spec.attack) ? &run->spec.attack : NULL;
    struct images train = { 0 }, judge = { 0 };
    struct batch batch = { 0 };
    struct training t = { .run = run,
                          .batch = &batch,
                          .epochs = run->spec.train.epochs,
                          .evaluate_every = run->spec.train.evaluate_every,
                          .attack = attack,
                          .select_robust = run->spec.train.method != TRAIN_STANDARD && attack,
                          .step = adversarial_step };
    bool *all = calloc((size_t)run->model->tensor_count, sizeof(*all));
    int r = all ? 0 : run_fail(run, FAILURE_OUT_OF_MEMORY, "no memory");

    for (int i = 0; r == 0 && i < run->model->tensor_count; i++)
        all[i] = run->model->tensors[i].parameter;
    t.user = all;
    if (r == 0)
        r = run_weights(run, &run->spec.model.weights, "model.weights");
    if (r == 0)
        r = training_images(&t, &train, &judge);
    if (r == 0)
        r = batch_open(run, train.count > judge.count ? train.count : judge.count, attack != NULL, &batch);
    if (r == 0)
        r = reserve(run, &t, all);
    if (r == 0)
        r = training_run(&t, NULL, ret_result);
    batch_done(&batch);
    images_done(&train);
    images_done(&judge);
    free(all);
    return r;
}
