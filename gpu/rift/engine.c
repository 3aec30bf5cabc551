/* How does a job start, end, and go on?
 *
 *   journal says finished ------------------------------> nothing
 *   spec -> checkpoint? -> device, model -> the kind's function -+-> finished      0
 *                                                                +-> interrupted  75
 *                                                                +-> failed       65 | 69 | 70
 *
 * Exactly one of the three is the journal's last event. The journal is opened
 * first: its lock is what keeps a second worker out, and a spec that can't be
 * read is an event too. Only the spec is read before it, because it says what the
 * process may see when it shuts itself in; the journal, weights and data may be
 * anybody's. */
#include "gpu/gpu.h"

#include "gpu/rift/kinds.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { SPEC_LIMIT = 1 << 20 };

static int (*const kinds[JOB_KIND_COUNT])(struct run *run, json_t **ret_result) = {
    [JOB_TRAIN] = adversarial_training, [JOB_MRC] = module_robust_criticality,
    [JOB_FINETUNE] = finetune,          [JOB_INTERPOLATE] = interpolation,
    [JOB_EVALUATE] = evaluation,        [JOB_RIFT] = pipeline,
    [JOB_CORRUPT] = corruption,         [JOB_SWEEP] = sweep,
    [JOB_INSPECT] = inspection,
};

/* failed.code, and what the process says to its parent. */
static const struct {
    const char *code;
    enum worker_exit exit;
} failures[FAILURE_COUNT] = {
    [FAILURE_NONE] = { "internal", WORKER_INTERNAL },
    [FAILURE_BAD_SPEC] = { "bad_spec", WORKER_BAD_INPUT },
    [FAILURE_BAD_DATA] = { "bad_data", WORKER_BAD_INPUT },
    [FAILURE_NOT_FINITE] = { "not_finite", WORKER_BAD_INPUT },
    [FAILURE_OUT_OF_MEMORY] = { "out_of_memory", WORKER_INTERNAL },
    [FAILURE_NO_SPACE] = { "no_space", WORKER_BAD_INPUT },
    [FAILURE_DEVICE_LOST] = { "device_lost", WORKER_DEVICE_LOST },
    [FAILURE_UNCONFINED] = { "unconfined", WORKER_INTERNAL },
    [FAILURE_INTERNAL] = { "internal", WORKER_INTERNAL },
};

/* ---- spec ----------------------------------------------------------------------- */

/* Hash of what decides the numbers. Label, priority and how often to checkpoint
 * may change between two runs of a job, and so may the device's name. */
static int spec_hash(struct run *run)
{
    static const char *const beside[] = { "label", "priority", "checkpoint_every_s", "threads", "device" };
    json_auto_t *json = json_copy(run->spec.json);
    struct sha256 sha;

    for (size_t i = 0; i < sizeof(beside) / sizeof(beside[0]); i++)
        json_object_del(json, beside[i]);
    char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
    if (!text)
        return fault_set(&run->why, -ENOMEM, "no memory to read the spec");
    sha256_start(&sha);
    sha256_add(&sha, text, strlen(text));
    sha256_finish(&sha, run->spec_sha256);
    free(text);
    return 0;
}

/* What parts the pointer from the message; the whole document has no pointer. */
static const char *colon(const struct spec_error *error)
{
    return *error->pointer ? ": " : "";
}

static int spec_read(struct run *run)
{
    struct spec_errors *errors = calloc(1, sizeof(*errors));
    char *path = run_path(run, JOBDIR_SPEC), *text = NULL;
    size_t size = 0;
    int r = errors && path ? file_read(path, SPEC_LIMIT, &text, &size, &run->why)
                           : fault_set(&run->why, -ENOMEM, "no memory to read the spec");

    if (r >= 0) {
        r = spec_parse(text, size, &run->spec, errors);
        if (r == -EINVAL && errors->count) {
            for (int i = 0; i < errors->count; i++)
                run_log(run, "%s: %s%s%s", JOBDIR_SPEC, errors->list[i].pointer, colon(&errors->list[i]),
                        errors->list[i].message);
            fault_set(&run->why, r, "%s: %s%s%s%s", path, errors->list[0].pointer, colon(&errors->list[0]),
                      errors->list[0].message, errors->total > 1 ? " (and more; see the log)" : "");
        } else if (r < 0) {
            fault_set(&run->why, r, "%s: %s", path, strerror(-r));
        }
    }
    if (r >= 0)
        r = spec_hash(run);
    free(text);
    free(path);
    free(errors);
    return run_blame(run, FAILURE_BAD_SPEC, r < 0 ? r : 0);
}

/* ---- running ---------------------------------------------------------------------- */

/* They are there, without the halves of files that a killed worker has left. */
static int folders_make(struct run *run)
{
    static const char *const names[] = { JOBDIR_CHECKPOINT, JOBDIR_ARTIFACTS };

    int r = 0;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && r == 0; i++) {
        char *path = run_path(run, names[i]);

        do
            r = path && (mkdir(path, 0777) == 0 || errno == EEXIST) ? 0 : -errno;
        while (run_waits(run, &r));
        if (r < 0 && r != -EINTR)
            fault_set(&run->why, r, "%s/%s: %s", run->dir, names[i], strerror(-r));
        if (r == 0)
            file_leftovers_remove(path); /* the journal's lock says that no other worker writes here */
        free(path);
    }
    return run_blame(run, FAILURE_INTERNAL, r);
}

/* A name that a later job will stumble over is said now, not after the training. */
static int modules_check(struct run *run)
{
    static const char where[] =
        "finetune.modules, sweep.modules or mrc.modules"; /* what the names were gathered from */
    int r = 0;

    for (int i = 0; i < run->spec.modules_expected_count && r >= 0; i++) {
        const char *name = run->spec.modules_expected[i];
        size_t length = strlen(name);

        if (length > 2 && name[0] == '*' && name[length - 1] == '*') {
            char text[256];

            snprintf(text, sizeof(text), "%.*s", (int)length - 2, name + 1);
            r = run_parameter(run, where, text);
        } else {
            r = run_module(run, where, name);
        }
    }
    return r < 0 ? r : 0;
}

/* A parent has no model of its own, its steps have; images are corrupted without one, and looked at without one unless
 * they are to be attacked. */
static bool model_wanted(const struct job_spec *spec)
{
    return !job_kinds[spec->kind].parent && spec->kind != JOB_CORRUPT &&
           (spec->kind != JOB_INSPECT || inspection_attacks(spec));
}

/* Open what the kind needs and hand over to it. */
static int job_do(struct run *run, json_t **ret_result)
{
    int r = checkpoint_open(run->dir, run->spec_sha256, run->spec.precision, &run->resumed, &run->why);

    if (r < 0)
        return run_blame(run, FAILURE_BAD_DATA, r);
    r = model_wanted(&run->spec) ? run_open(run) : 0;
    if (r == 0 && run->model)
        r = modules_check(run);
    return r < 0 ? r : kinds[run->spec.kind](run, ret_result);
}

/* What fails on a lost device has failed of that: memory that can't be had, for one. */
static void lost_blame(struct run *run)
{
    if (!run->dev || !run->dev->lost || run->failure == FAILURE_DEVICE_LOST)
        return;
    run->failure = FAILURE_DEVICE_LOST;
    fault_set(&run->why, -ENODEV, "%s: %s", run->spec.device, device_errmsg(run->dev));
}

/* The last event, and the exit code that goes with it. */
static enum worker_exit job_end(struct run *run, int r, json_t *result)
{
    enum worker_exit code = WORKER_FINISHED;

    if (r == 0) {
        if (!json_object_get(result, "protocol")) /* what chose, beside what was chosen */
            json_object_set(result, "protocol", json_object_get(run->spec.json, "protocol"));
        r = run_event(run, "finished", json_pack("{s:o}", "result", result));
    } else if (r == -EINTR) {
        r = run_event(run, "interrupted", NULL);
        code = WORKER_INTERRUPTED;
    } else {
        lost_blame(run);
        run_blame(run, FAILURE_INTERNAL, r);
        if (!*run->why.message)
            fault_set(&run->why, r, "%s", strerror(-r));
        run_log(run, "failed: %s", run->why.message);
        code = failures[run->failure].exit;
        r = run_event(run, "failed",
                      json_pack("{s:s, s:s}", "code", failures[run->failure].code, "message", run->why.message));
    }
    if (r == 0)
        do
            r = journal_sync(run->journal);
        while (run_waits(run, &r));
    if (r < 0) {
        run_log(run, "the journal can't be written: %s", strerror(-r));
        return WORKER_INTERNAL;
    }
    if (code == WORKER_FINISHED)
        checkpoint_remove(run->dir);
    return code;
}

/* Shut ourselves in, if that is wanted; without a spec nobody would know for what. */
static int confine_do(struct run *run, engine_confine *confine, void *user)
{
    int r = confine ? confine(run->dir, run->spec.json, &run->sandbox, &run->why, user) : 0;

    return run_blame(run, FAILURE_UNCONFINED, r);
}

/* `start`: what reading the spec and shutting in have come to, with words in run->why. */
static enum worker_exit run_do(struct run *run, int start)
{
    json_t *result = NULL;
    enum worker_exit code;

    /* The journal first judges whether there is anything to do; then the start's error counts. */
    struct fault start_why = run->why;
    enum failure start_failure = run->failure;
    run->why = (struct fault){ 0 };
    run->failure = FAILURE_NONE;
    int r = events_open(run);
    if (r == 1) {
        code = WORKER_FINISHED;
    } else if (!run->journal) {
        run_log(run, "%s", r == -EBUSY ? "another worker is running this job" : run->why.message);
        code = r == -EBUSY ? WORKER_INTERRUPTED : WORKER_BAD_INPUT;
    } else {
        if (r == 0 && start < 0) {
            run->why = start_why;
            run->failure = start_failure;
            r = start;
        }
        if (r == 0)
            r = folders_make(run);
        if (r == 0)
            r = job_do(run, &result);
        code = job_end(run, r, result);
    }
    run_close(run);
    events_close(run);
    return code;
}

int engine_run_confined(const char *dir, const volatile sig_atomic_t *stop,
                        void (*progress)(const json_t *event, void *user), engine_confine *confine, void *user)
{
    struct run run = {
        .dir = dir, .stop = stop, .watch = progress, .watch_user = user, .now_ms = clock_ms, .steady_ms = monotonic_ms
    };
    int r = spec_read(&run);

    if (r == 0)
        r = confine_do(&run, confine, user);
    return (int)run_do(&run, r);
}

int engine_run(const char *dir, const volatile sig_atomic_t *stop, void (*progress)(const json_t *event, void *user),
               void *user)
{
    return engine_run_confined(dir, stop, progress, NULL, user);
}

int run_inner(const struct run *outer, const char *dir)
{
    struct run run = { .dir = dir,
                       .stop = outer->stop,
                       .watch = outer->watch,
                       .watch_user = outer->watch_user,
                       .now_ms = outer->now_ms,
                       .steady_ms = outer->steady_ms,
                       .sandbox = json_incref(outer->sandbox) };

    return (int)run_do(&run, spec_read(&run));
}

/* spec: what reading the spec has come to. */
static enum worker_exit check_do(struct run *run, int spec, struct fault *why)
{
    json_t *result = NULL;
    int r = spec < 0 ? spec : job_do(run, &result);

    json_decref(result);
    if (r == -ECANCELED)
        r = 0;
    if (r < 0) {
        run_blame(run, FAILURE_INTERNAL, r);
        fault_set(why, r, "%s", *run->why.message ? run->why.message : strerror(-r));
    }
    run_close(run);
    return r < 0 ? failures[run->failure].exit : WORKER_FINISHED;
}

int engine_check(const char *dir, struct fault *why)
{
    struct run run = { .dir = dir, .check_only = true, .now_ms = clock_ms, .steady_ms = monotonic_ms };

    return (int)check_do(&run, spec_read(&run), why);
}

int spec_check(const char *dir, const json_t *spec, struct fault *why)
{
    struct run run = { .dir = dir, .check_only = true, .now_ms = clock_ms, .steady_ms = monotonic_ms };
    struct spec_errors *errors = calloc(1, sizeof(*errors));
    int r = errors ? spec_from_json(spec, &run.spec, errors) : -ENOMEM;

    if (r == -EINVAL)
        fault_set(&run.why, r, "%s%s%s", errors->list[0].pointer, colon(&errors->list[0]), errors->list[0].message);
    if (r == 0)
        r = spec_hash(&run);
    free(errors);
    return (int)check_do(&run, run_blame(&run, FAILURE_BAD_SPEC, r), why);
}

json_t *engine_devices(void)
{
    return device_list();
}
