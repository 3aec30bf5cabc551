/* Measurements, remembered by key.
 *
 * PGD with restarts gives two numbers, and papers mean either: the worst whole
 * run (min over runs of the accuracy; the paper's) and the per-example worst
 * case (an example is robust when it survives every run), which is never
 * larger. Both are reported, under their own names.
 *
 *   state   {"measured": {KEY: {...}}, "measuring": {"key","restart","done","loss","correct","runs"}}
 *   tensor  survived: U8 [count], right under every run so far
 *
 * Surprising: a loss that isn't finite is NaN here from the start, also when it
 * was +inf, because JSON keeps it as null and a resumed job must see the same. */
#include "gpu/rift/measure.h"

#include "gpu/backend/philox.h"
#include "gpu/rift/attack.h"
#include "gpu/rift/autoattack.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct measuring {
    char key[128];
    int restart, done;  /* done: examples of this run */
    struct tally tally; /* of this run */
    json_t *runs;       /* finished runs: [{"loss","accuracy"}] */
    uint8_t *survived;  /* [count] */
    int count;
};

/* ---- in and out of checkpoints --------------------------------------------------- */

static int measure_save(struct run *run, void *user, struct checkpoint *into)
{
    const struct measuring *m = run->measuring;
    json_t *state = json_pack("{s:O}", "measured", run->measured);

    (void)user;
    if (m) {
        json_object_set_new(state, "measuring",
                            json_pack("{s:s, s:i, s:i, s:f, s:I, s:O, s:i}", "key", m->key, "restart", m->restart,
                                      "done", m->done, "loss", isfinite(m->tally.loss) ? m->tally.loss : 0.0, "correct",
                                      (json_int_t)m->tally.correct, "runs", m->runs, "count", m->count));
        json_object_set_new(json_object_get(state, "measuring"), "finite", json_boolean(isfinite(m->tally.loss)));
        if (checkpoint_add_host(into, "survived", DTYPE_U8, m->survived, m->count) < 0)
            return -ENOMEM;
    }
    int r = checkpoint_add_state(into, "measure", state);
    return r < 0 ? r : autoattack_save(run, into);
}

const struct saver measure_saver = { measure_save, NULL };

int measure_resume(struct run *run)
{
    const json_t *state = checkpoint_state(run, "measure");

    run->measured = json_incref(json_object_get(state, "measured"));
    if (!run->measured)
        run->measured = json_object();
    return run->measured ? 0 : run_blame(run, FAILURE_INTERNAL, fault_set(&run->why, -ENOMEM, "no memory"));
}

/* Go on with what the checkpoint left in the middle, if that is this key. */
static int measuring_resume(struct run *run, struct measuring *m)
{
    const json_t *was = json_object_get(checkpoint_state(run, "measure"), "measuring");
    const char *key = json_string_value(json_object_get(was, "key"));

    if (!key || strcmp(key, m->key) != 0 || json_integer_value(json_object_get(was, "count")) != m->count)
        return 0;
    int r = checkpoint_take_host(run, "survived", DTYPE_U8, m->survived, m->count);
    if (r < 0)
        return r == -ENOENT ? run_fail(run, FAILURE_BAD_DATA, "%s: the checkpoint lacks \"survived\"", run->dir) : r;
    m->restart = (int)json_integer_value(json_object_get(was, "restart"));
    m->done = (int)json_integer_value(json_object_get(was, "done"));
    m->tally.count = m->done;
    m->tally.loss = json_is_true(json_object_get(was, "finite")) ? json_double(was, "loss") : NAN;
    m->tally.correct = json_integer_value(json_object_get(was, "correct"));
    json_decref(m->runs);
    m->runs = json_deep_copy(json_object_get(was, "runs"));
    if (m->done < 0 || m->done >= m->count || m->restart < 0 || !json_is_array(m->runs))
        return run_fail(run, FAILURE_BAD_DATA, "%s: the checkpoint's measurement is damaged", run->dir);
    return 0;
}

/* ---- one run over the examples ------------------------------------------------------ */

/* What one batch of a measurement needs. */
struct pass {
    struct batch *batch;
    const struct images *images;
    struct frontier *from;
    const struct attack_spec *attack; /* NULL: clean */
};

static int batch_measure(const struct pass *pass, struct measuring *m, int n)
{
    struct batch *b = pass->batch;
    struct run *run = b->run;
    struct plan *plan;
    struct plan_spec spec = {
        .batch = n, .mode = PLAN_EVAL, .first = pass->from ? pass->from->first : 0, .want_input = pass->attack != NULL
    };
    int r = run_plan(run, spec, &plan);

    if (r == 0 && pass->from) {
        r = frontier_load(pass->from, b, pass->images, NULL, m->done, n, plan);
    } else if (r == 0) {
        r = batch_load(b, pass->images, NULL, m->done, n, NULL);
        plan_bind(plan, 0, b->x);
    }
    if (r == 0 && pass->attack)
        r = attack_pgd(b, plan, pass->attack,
                       (struct random_key){ (uint64_t)run->spec.seed, RANDOM_EVALUATE, (uint32_t)m->restart });
    if (r == 0)
        r = run_device(run, plan_forward(plan, 0));
    if (r == 0)
        r = run_device(run, plan_cross_entropy(plan, b->labels, 1.0f / (float)n));
    if (r == 0)
        r = batch_tally(b, plan, &m->tally);
    for (int i = 0; i < n && r == 0; i++)
        m->survived[m->done + i] &= b->correct[i] != 0;
    return r;
}

static int say_progress(const struct pass *pass, const struct measuring *m, int runs)
{
    struct run *run = pass->batch->run;
    int64_t total = (int64_t)m->count * runs, done = (int64_t)m->restart * m->count + m->done;

    if (run->outer.phase)
        return run_progress(run, run->outer.phase, run->outer.done + done, run->outer.total, false);
    return run_progress(run, m->key, done, total, done == total);
}

static int run_measure(const struct pass *pass, struct measuring *m, int runs)
{
    struct run *run = pass->batch->run;
    int r = 0;

    while (m->done < m->count && r == 0) {
        int left = m->count - m->done, n = left < pass->batch->most ? left : pass->batch->most;

        r = batch_measure(pass, m, n);
        if (r < 0)
            break;
        m->done += n;
        r = say_progress(pass, m, runs);
        if (r == 0 && m->done < m->count)
            r = checkpoint_breathe(run);
    }
    if (r < 0)
        return r;
    double loss = m->tally.loss / m->count;
    json_array_append_new(
        m->runs, json_pack("{s:o, s:f}", "loss", json_number(loss), "accuracy", (double)m->tally.correct / m->count));
    m->restart++;
    m->done = 0;
    m->tally = (struct tally){ 0 };
    return m->restart < runs && pass->attack ? checkpoint_end(run) : 0;
}

/* ---- a whole measurement --------------------------------------------------------------- */

/* The worst run: of lowest accuracy, then of highest loss. */
static const json_t *worst_run(const json_t *runs)
{
    const json_t *worst = json_array_get(runs, 0);

    for (size_t i = 1; i < json_array_size(runs); i++) {
        const json_t *run = json_array_get(runs, i);
        double a = json_double(run, "accuracy"), b = json_double(worst, "accuracy");

        if (a < b || (a == b && json_double(run, "loss") > json_double(worst, "loss")))
            worst = run;
    }
    return worst;
}

static json_t *measuring_result(const struct measuring *m, bool attacked)
{
    json_t *result = json_copy((json_t *)worst_run(m->runs));
    int64_t survivors = 0;

    if (!attacked)
        return result;
    for (int i = 0; i < m->count; i++)
        survivors += m->survived[i];
    json_object_set_new(result, "worst_case_accuracy", json_real((double)survivors / m->count));
    json_object_set(result, "runs", m->runs);
    return result;
}

static void measuring_done(struct run *run)
{
    json_decref(run->measuring->runs);
    free(run->measuring->survived);
    run->measuring = NULL;
}

/* Make the measurement that isn't known yet. */
static int measure_make(const struct pass *pass, const char *key)
{
    struct run *run = pass->batch->run;
    struct measuring m = { .count = pass->images->count,
                           .runs = json_array(),
                           .survived = malloc((size_t)pass->images->count) };
    int runs = pass->attack ? pass->attack->restarts : 1;
    int r = 0;

    run->measuring = &m;
    snprintf(m.key, sizeof(m.key), "%s", key);
    if (!m.survived || !m.runs)
        r = run_blame(run, FAILURE_INTERNAL, fault_set(&run->why, -ENOMEM, "no memory to measure %s", key));
    if (r == 0) {
        memset(m.survived, 1, (size_t)m.count);
        r = measuring_resume(run, &m);
    }
    while (r == 0 && m.restart < runs)
        r = run_measure(pass, &m, runs);
    if (r == 0)
        json_object_set_new(run->measured, key, measuring_result(&m, pass->attack != NULL));
    measuring_done(run);
    return r;
}

/* The same for the attacks of autoattack.c. */
static int attack_make(const struct pass *pass, const char *key)
{
    json_t *result = NULL;
    int r = autoattack(pass->batch, key, pass->images, pass->attack, &result);

    return r < 0 ? r : json_object_set_new(pass->batch->run->measured, key, result);
}

int measure_passes(const struct attack_spec *attack)
{
    if (!attack_given(attack))
        return 1;
    return attack->type == ATTACK_PGD ? attack->restarts : autoattack_passes(attack);
}

bool measure_known(const struct run *run, const char *key)
{
    return json_object_get(run->measured, key) != NULL;
}

int measure(struct batch *batch, const char *key, const struct images *images, struct frontier *from,
            const struct attack_spec *attack, struct measured *ret)
{
    struct run *run = batch->run;
    struct pass pass = { batch, images, attack_given(attack) ? NULL : from, attack_given(attack) ? attack : NULL };
    int r = 0;

    if (!json_object_get(run->measured, key))
        r = pass.attack && attack->type != ATTACK_PGD ? attack_make(&pass, key) : measure_make(&pass, key);
    if (r < 0)
        return r;
    run->outer.done += (int64_t)images->count * measure_passes(attack);
    json_t *json = json_object_get(run->measured, key);
    *ret = (struct measured){ json_double(json, "loss"), json_double(json, "accuracy"),
                              json_double(json, "worst_case_accuracy"), json };
    return 0;
}

int measure_reserve(struct run *run, int count, int first, const struct attack_spec *attack)
{
    int r = run_plan_reserve(run, count, (struct plan_spec){ .mode = PLAN_EVAL, .first = first });

    if (r < 0 || !attack_given(attack))
        return r;
    return attack->type == ATTACK_PGD ? run_plan_reserve(run, count, attack_plan(PLAN_EVAL))
                                      : autoattack_reserve(run, count, attack);
}
