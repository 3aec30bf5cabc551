/* The loop of training.h, written so that it can stop between any two batches.
 *
 * The state at that point: theta, v, best theta, counters and sums (state
 * "training"). Everything else (order, crops, random starts, learning rate) is
 * a pure function of the position.
 *
 * Epochs are counted from 1 in events, and a metric's step is the number of
 * updates made so far, so that all curves share one axis. */
#include "gpu/rift/training.h"

#include "gpu/backend/philox.h"
#include "gpu/nn/schedule.h"
#include "gpu/rift/measure.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- in and out of checkpoints -------------------------------------------------- */

static int training_save(struct run *run, void *user, struct checkpoint *into)
{
    struct training *t = user;
    const struct model *model = run->model;
    int r = checkpoint_add(run, into, "theta", run->weights->theta, model->total_count);

    if (r == 0)
        r = checkpoint_add(run, into, "velocity", t->optimizer.velocity, model->parameter_count);
    if (r == 0 && t->best_epoch)
        r = checkpoint_add_host(into, "best", DTYPE_F32, t->best, model->total_count);
    if (r < 0)
        return r;
    return checkpoint_add_state(into, "training",
                                json_pack("{s:i, s:i, s:I, s:f, s:o, s:b, s:b, s:i, s:o, s:o, s:o}", "epoch", t->epoch,
                                          "position", t->position, "updates", (json_int_t)t->updates, "loss", t->loss,
                                          "train_loss", json_number(t->train_loss), "trained", t->trained, "ended",
                                          t->ended, "best_epoch", t->best_epoch, "best_score",
                                          json_number(t->best_score), "best_clean", json_number(t->best_clean),
                                          "best_robust", json_number(t->best_robust)));
}

static int training_resume(struct training *t)
{
    struct run *run = t->run;
    const struct model *model = run->model;
    const json_t *was = checkpoint_state(run, "training");

    if (!was)
        return 0;
    t->epoch = (int)json_integer_value(json_object_get(was, "epoch"));
    t->position = (int)json_integer_value(json_object_get(was, "position"));
    t->updates = json_integer_value(json_object_get(was, "updates"));
    t->loss = json_double(was, "loss");
    t->train_loss = json_double(was, "train_loss");
    t->trained = json_is_true(json_object_get(was, "trained"));
    t->ended = json_is_true(json_object_get(was, "ended"));
    t->best_epoch = (int)json_integer_value(json_object_get(was, "best_epoch"));
    t->best_score = json_double(was, "best_score");
    t->best_clean = json_double(was, "best_clean");
    t->best_robust = json_double(was, "best_robust");
    int r = checkpoint_take(run, "theta", run->weights->theta, model->total_count);
    if (r == 0)
        r = checkpoint_take(run, "velocity", t->optimizer.velocity, model->parameter_count);
    if (r == 0 && t->best_epoch)
        r = checkpoint_take_host(run, "best", DTYPE_F32, t->best, model->total_count);
    weights_touch_all(run->weights);
    if (r == -ENOENT || t->epoch < 0 || t->epoch > t->epochs || t->position < 0 || t->position > t->train->count)
        return run_fail(run, FAILURE_BAD_DATA, "%s: the checkpoint's training state is damaged", run->dir);
    return r;
}

/* ---- one step --------------------------------------------------------------------- */

int training_step(struct training *t, struct plan *plan, const float *anchor)
{
    struct run *run = t->run;
    struct batch *b = t->batch;
    const struct optimizer_spec *o = &run->spec.optimizer;
    int iterations = (t->train->count + b->most - 1) / b->most;
    double lr = schedule_lr(o, t->epoch, t->epochs, t->position / b->most, iterations), loss = 0;
    int r = run_device(run, plan_loss_read(plan, b->loss, NULL));

    if (r < 0)
        return r;
    for (int i = 0; i < b->n; i++)
        loss += b->loss[i];
    t->updates++;
    if (!isfinite(loss)) {
        run_fail(run, FAILURE_NOT_FINITE, "the loss is not finite in epoch %d, step %lld; try a smaller optimizer.lr",
                 t->epoch + 1, (long long)t->updates);
        return -EDOM;
    }
    t->loss += loss;
    r = run_device(run, optimizer_step(&t->optimizer, anchor, (float)lr, (float)o->momentum, (float)o->weight_decay));
    if (r < 0)
        return r;
    return run_metric(run, "batch_loss", t->updates, t->epoch + (double)(t->position + b->n) / t->train->count,
                      loss / b->n);
}

int training_descend(struct training *t, struct plan *plan)
{
    int r = plan_gradient(plan, BATCH_NORM_MOMENTUM, t->batch->labels, 1.0f / (float)t->batch->n, t->optimizer.gradient,
                          NULL);

    return r < 0 ? run_device(t->run, r) : training_step(t, plan, NULL);
}

/* A loss can stay finite while weights don't: the last step of an epoch is heard in no loss of it. */
static int theta_check(struct training *t)
{
    struct run *run = t->run;
    double norm;
    int r = run_device(run, run->ops->norm(run->dev, run->model->total_count, run->weights->theta, NULL, &norm));

    if (r < 0 || isfinite(norm))
        return r;
    run_fail(run, FAILURE_NOT_FINITE,
             "the weights are not finite after epoch %d, step %lld; try a smaller optimizer.lr", t->epoch + 1,
             (long long)t->updates);
    return -EDOM;
}

static int epoch_train(struct training *t)
{
    struct run *run = t->run;
    int64_t count = t->train->count;
    int r = 0;

    epoch_order(run->spec.seed, RANDOM_SHUFFLE, (uint32_t)t->epoch, run->spec.shuffle, t->train->count, t->order);
    while (t->position < count && r == 0) {
        int left = t->train->count - t->position, n = left < t->batch->most ? left : t->batch->most;

        r = t->step(t, t->order, t->position, n);
        if (r < 0)
            break;
        t->position += n;
        r = run_progress(run, "train", t->epoch * count + t->position, t->epochs * count, t->position == count);
        if (r == 0 && t->position < count)
            r = checkpoint_breathe(run);
    }
    if (r == 0)
        r = theta_check(t);
    if (r < 0)
        return r;
    t->trained = true;
    t->train_loss = t->loss / (double)count;
    r = run_metric(run, "train_loss", t->updates, t->epoch + 1, t->train_loss);
    if (r == 0)
        r = run_metric(run, "lr", t->updates, t->epoch + 1,
                       schedule_lr(&run->spec.optimizer, t->epoch, t->epochs, 0, 1));
    return r < 0 ? r : checkpoint_breathe(run);
}

/* ---- evaluation and selection --------------------------------------------------------- */

/* Measure theta and say it as metrics NAME_loss, NAME_accuracy. */
static int judge_metric(struct training *t, const char *name, const struct attack_spec *attack, struct measured *ret)
{
    char key[64], metric[64];
    int r;

    snprintf(key, sizeof(key), "epoch %d %s", t->epoch + 1, name);
    r = measure(t->batch, key, t->judge, NULL, attack, ret);
    if (r < 0)
        return r;
    if (!isfinite(ret->loss)) {
        run_fail(t->run, FAILURE_NOT_FINITE, "the %s loss is not finite after epoch %d, step %lld", name, t->epoch + 1,
                 (long long)t->updates);
        return -EDOM;
    }
    snprintf(metric, sizeof(metric), "%s_loss", name);
    r = run_metric(t->run, metric, t->updates, t->epoch + 1, ret->loss);
    snprintf(metric, sizeof(metric), "%s_accuracy", name);
    return r < 0 ? r : run_metric(t->run, metric, t->updates, t->epoch + 1, ret->accuracy);
}

/* Keep theta when it is better than every earlier epoch; a tie stays with the earlier one. */
static int select_best(struct training *t, double clean, double robust)
{
    double score = t->select_robust ? robust : clean;

    if (t->best_epoch && !(score > t->best_score))
        return 0;
    t->best_epoch = t->epoch + 1;
    t->best_score = score;
    t->best_clean = clean;
    t->best_robust = robust;
    int r = run_device(t->run, weights_get(t->run->weights, t->best));
    return r < 0 ? r : run_artifact(t->run, "best.safetensors");
}

static int epoch_judge(struct training *t)
{
    struct measured clean, robust = { .accuracy = NAN };
    bool due =
        t->judge && t->evaluate_every > 0 && ((t->epoch + 1) % t->evaluate_every == 0 || t->epoch + 1 == t->epochs);
    int r;

    if (!due)
        return 0;
    r = judge_metric(t, "clean", NULL, &clean);
    if (r == 0 && t->select_robust)
        r = judge_metric(t, "robust", t->attack, &robust);
    return r < 0 ? r : select_best(t, clean.accuracy, robust.accuracy);
}

/* last.safetensors; then the robust accuracy of the best epoch, where it isn't known yet. */
static int training_end(struct training *t)
{
    struct run *run = t->run;
    struct measured robust;
    int r = 0;

    if (!t->ended) {
        r = run_artifact(run, "last.safetensors");
        if (r == 0 && !t->best_epoch) { /* nothing was evaluated: the last is the best we know */
            t->best_epoch = t->epochs;
            r = run_device(run, weights_get(run->weights, t->best));
            if (r == 0)
                r = run_artifact(run, "best.safetensors");
        }
        if (r == 0)
            r = run_device(run, weights_set(run->weights, t->best));
        t->ended = true;
    }
    if (r < 0 || !t->judge || !attack_given(t->attack) || !isnan(t->best_robust))
        return r;
    r = measure(t->batch, "best robust", t->judge, NULL, t->attack, &robust);
    if (r == 0)
        t->best_robust = robust.accuracy;
    return r;
}

/* ---- what is read ---------------------------------------------------------------------------- */

int training_images(struct training *t, struct images *train, struct images *judge)
{
    struct run *run = t->run;
    const struct examples *examples;
    struct dataset_wants wants = { .train = true };
    bool judged = t->evaluate_every > 0;
    int r;

    if (judged)
        wants.validation = !(wants.test = run_judge(run) == SPLIT_TEST);
    r = run_dataset(run, wants);
    if (r == 0)
        r = run_examples(run, SPLIT_TRAIN, &examples);
    if (r == 0)
        r = (run->spec.augment == AUGMENT_NONE ? images_open : images_open_cut)(run, examples, train);
    t->train = train;
    if (r < 0 || !judged)
        return r;
    t->judge = judge;
    r = run_examples(run, run_judge(run), &examples);
    return r < 0 ? r : images_open(run, examples, judge);
}

/* ---- the whole ---------------------------------------------------------------------------- */

static int training_open(struct training *t)
{
    struct run *run = t->run;
    size_t vectors = 2 * (size_t)run->model->parameter_count * sizeof(float);
    int r = run_take(run, vectors, "gradients and momentum");

    if (r == 0)
        r = optimizer_open(run->weights, t->wanted, &t->optimizer, &run->why);
    if (r < 0)
        return run_blame(run, FAILURE_OUT_OF_MEMORY, r);
    t->train_loss = t->best_score = t->best_clean = t->best_robust = NAN;
    t->order = malloc((size_t)t->train->count * sizeof(*t->order));
    t->best = malloc((size_t)run->model->total_count * sizeof(float));
    if (!t->order || !t->best)
        return run_blame(run, FAILURE_OUT_OF_MEMORY,
                         fault_set(&run->why, -ENOMEM, "no memory for a copy of the weights"));
    return 0;
}

static int epochs_run(struct training *t)
{
    int r = 0;

    while (t->epoch < t->epochs && r == 0) {
        if (!t->trained)
            r = epoch_train(t);
        if (r == 0)
            r = epoch_judge(t);
        if (r < 0)
            break;
        t->epoch++;
        t->position = 0;
        t->loss = 0;
        t->trained = false;
        r = checkpoint_end(t->run);
    }
    return r < 0 ? r : training_end(t);
}

int training_run(struct training *t, json_t *extra_started, json_t **ret_result)
{
    struct run *run = t->run;
    int r = training_open(t);

    if (r == 0 && t->reserve)
        r = t->reserve(t);
    if (r == 0) {
        r = run_ready(run, extra_started);
    } else {
        json_decref(extra_started);
    }
    if (r == 0)
        r = measure_resume(run);
    if (r == 0)
        r = training_resume(t);
    if (r == 0) {
        saver_push(run, measure_saver);
        saver_push(run, (struct saver){ training_save, t });
        r = t->prepare ? t->prepare(t) : 0;
        if (r == 0)
            r = epochs_run(t);
        saver_pop(run);
        saver_pop(run);
    }
    if (r == 0)
        *ret_result =
            json_pack("{s:i, s:i, s:o, s:o, s:o, s:O}", "epochs", t->epochs, "best_epoch", t->best_epoch, "train_loss",
                      json_number(t->train_loss), "clean_accuracy", json_number(t->best_clean), "robust_accuracy",
                      json_number(t->best_robust), "protocol", json_object_get(run->spec.json, "protocol"));
    optimizer_done(&t->optimizer);
    free(t->order);
    free(t->best);
    return r;
}
