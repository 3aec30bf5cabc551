/* How does the whole method run without a daemon?
 *
 *   DIR/steps/0-train  1-mrc  2-finetune  3-interpolate  5-corrupt  4-evaluate
 *
 * (5 only where /evaluate/generate_corruptions asks for it; 0 and 1 only where the spec doesn't give their results:
 * /train/weights, /finetune/mrc_job.) Each step is an ordinary job directory, run by the same engine; this file only
 * puts paths where the expanded specs name each other, and makes the before/after table of the results. A pipeline
 * needs no checkpoint of its own: finished steps say so in their journals, and the one that was interrupted goes on by
 * itself. (The daemon doesn't come here: it queues the jobs.) */
#include "gpu/rift/kinds.h"

#include "gpu/gpu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct step {
    struct run *run;
    int number;
    int done, total; /* steps */
    json_t *specs[RIFT_STEPS];
};

static const char *step_kind(json_t *spec)
{
    return json_string_value(json_object_get(spec, "kind"));
}

/* {"job": "step:N"} -> the path of that step's artifact, or of its directory
 * where the whole job is meant. */
static int reference_resolve(const struct spec_ref *ref, void *user)
{
    struct step *step = user;
    int number, kind;

    if (!ref->job || sscanf(ref->job, "step:%d", &number) != 1 || number < 0 || number >= RIFT_STEPS)
        return run_fail(step->run, FAILURE_BAD_SPEC,
                        "%s: a worker knows paths only; jobs and models are named over HTTP", ref->pointer);
    kind = job_kind_find(step_kind(step->specs[number]));
    const char *artifact = ref->artifact ? ref->artifact : kind >= 0 ? job_kinds[kind].weights : NULL;
    char path[256];

    if (ref->wants == JOB_CORRUPT)
        snprintf(path, sizeof(path), "../%d-%s/" JOBDIR_ARTIFACTS, number, job_kinds[kind].name);
    else if (ref->wants >= 0 || !artifact)
        snprintf(path, sizeof(path), "../%d-%s", number, job_kinds[kind].name);
    else
        snprintf(path, sizeof(path), "../%d-%s/" JOBDIR_ARTIFACTS "/%s", number, job_kinds[kind].name, artifact);
    return spec_ref_put(ref, path);
}

static int step_prepare(struct step *step, char **ret_dir)
{
    struct run *run = step->run;
    json_t *spec = step->specs[step->number];
    char *dir = NULL;
    int r;

    r = spec_paths_rebase(spec, "../../"); /* paths are seen from DIR; the step lies two folders below */
    if (r == 0)
        r = spec_refs(spec, reference_resolve, step);
    if (r < 0)
        return r;
    if (asprintf(&dir, "%s/steps/%d-%s", run->dir, step->number, step_kind(spec)) < 0)
        return fault_set(&run->why, -ENOMEM, "no memory");
    do
        r = jobdir_create(dir, spec, &run->why);
    while (run_waits(run, &r));
    if (r < 0)
        free(dir);
    else
        *ret_dir = dir;
    return r;
}

static int ending_seen(json_t *event, int64_t end_offset, void *user)
{
    struct ending *ending = user;
    const char *type = json_string_value(json_object_get(event, "type"));

    (void)end_offset;
    if (strcmp(type, "finished") == 0) {
        json_decref(ending->result);
        ending->result = json_incref(json_object_get(event, "result"));
    } else if (strcmp(type, "failed") == 0) {
        json_decref(ending->failed);
        ending->failed = json_incref(event);
    }
    return 0;
}

int ending_read(struct run *run, const char *dir, struct ending *ret)
{
    char *path;
    int64_t offset = 0;

    if (asprintf(&path, "%s/%s", dir, JOBDIR_JOURNAL) < 0)
        return -ENOMEM;
    int r = journal_read(path, &offset, ending_seen, ret, &run->why);
    free(path);
    return r < 0 ? r : 0;
}

void ending_done(struct ending *ending)
{
    json_decref(ending->result);
    json_decref(ending->failed);
    *ending = (struct ending){ 0 };
}

/* A step has failed: its words are ours. */
static int step_failed(struct run *run, const char *dir, int code, const struct ending *ending)
{
    const char *message = json_string_value(json_object_get(ending->failed, "message"));

    return run_fail(run,
                    code == WORKER_BAD_INPUT     ? FAILURE_BAD_DATA
                    : code == WORKER_DEVICE_LOST ? FAILURE_DEVICE_LOST
                                                 : FAILURE_INTERNAL,
                    "%s: %s", dir, message ? message : "the step has failed; see its log");
}

static int step_run(struct step *step, json_t **ret_result)
{
    struct run *run = step->run;
    struct ending ending = { 0 };
    const char *kind = step_kind(step->specs[step->number]);
    char *dir = NULL;
    int r = step_prepare(step, &dir);

    if (r == 0)
        r = run_progress_step(run, kind, step->done, step->total);
    if (r == 0) {
        int code = run_inner(run, dir);

        r = code == WORKER_INTERRUPTED ? -EINTR : ending_read(run, dir, &ending);
        if (r == 0 && code != WORKER_FINISHED)
            r = step_failed(run, dir, code, &ending);
        if (r == 0)
            *ret_result = json_incref(ending.result);
    }
    ending_done(&ending);
    free(dir);
    return r;
}

/* A check sees the first step as it would run, from where the rift spec lies, because nothing may
 * be written; the others need its results. */
static int first_step_check(struct step *step)
{
    struct run *run = step->run;
    int first = 0;

    while (!step->specs[first])
        first++;
    int r = spec_refs(step->specs[first], reference_resolve, step);
    int code = r < 0 ? WORKER_FINISHED : spec_check(run->dir, step->specs[first], &run->why);

    if (code != WORKER_FINISHED) {
        run->failure = code == WORKER_BAD_INPUT ? FAILURE_BAD_DATA : FAILURE_INTERNAL;
        r = -EINVAL;
    }
    return r < 0 ? r : -ECANCELED;
}

static int folder_make(struct run *run)
{
    char *folder = run_path(run, "steps");
    int r;

    do
        r = folder && (mkdir(folder, 0777) == 0 || errno == EEXIST) ? 0 : -errno;
    while (run_waits(run, &r));
    if (r < 0 && r != -EINTR)
        fault_set(&run->why, r, "%s/steps: %s", run->dir, strerror(-r));
    free(folder);
    return r;
}

int pipeline(struct run *run, json_t **ret_result)
{
    struct step step = { .run = run };
    json_t *results[RIFT_STEPS] = { NULL };
    int r = rift_expand(&run->spec, step.specs);

    for (int i = 0; i < RIFT_STEPS; i++)
        step.total += step.specs[i] != NULL;

    if (r < 0)
        run_fail(run, FAILURE_BAD_SPEC, "the spec of a step can't be made: %s", strerror(-r));
    else
        r = run->check_only ? first_step_check(&step) : folder_make(run);
    if (r == 0)
        r = run_event(run, "started", run_started(run, json_string(run->spec.device)));
    for (int i = 0; i < RIFT_STEPS && r == 0; i++) {
        step.number = rift_order[i];
        if (!step.specs[step.number])
            continue;
        r = step_run(&step, &results[step.number]);
        step.done++;
    }
    if (r == 0) {
        const json_t *known[RIFT_STEPS];

        memcpy(known, results, sizeof(known));
        *ret_result = rift_table(known, run->spec.protocol == PROTOCOL_PAPER ? "paper" : "validation");
        r = run_progress_step(run, "done", step.done, step.total);
    }
    for (int i = 0; i < RIFT_STEPS; i++) {
        json_decref(step.specs[i]);
        json_decref(results[i]);
    }
    return r;
}
