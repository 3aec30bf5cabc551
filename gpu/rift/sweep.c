/* How does a sweep run without a daemon?
 *
 *   DIR/runs/00-pgd-at-seed0-lowest/steps/0-train ...
 *            01-pgd-at-seed0-last/steps/2-finetune ...     trained and measured by 00
 *   DIR/artifacts/table.json  .csv  .md  .tex
 *
 * Each run is an ordinary rift job directory, run by the same engine; paths put
 * what several runs share into their specs. A run that fails doesn't stop the
 * others: the table says what is missing, and running DIR again tries that again,
 * because finished runs say so in their journals. (The daemon doesn't come here:
 * it queues all steps.) */
#include "gpu/rift/kinds.h"

#include "gpu/gpu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct sweeping {
    struct run *run;
    struct sweep_run *runs;
    json_t **results; /* [count], NULL: not there */
    int count;
    int failed;               /* how many */
    enum worker_exit failure; /* the first one's */
    struct fault first;
};

/* The run's spec, as it lies two folders below DIR. */
static int spec_place(struct sweeping *s, int number)
{
    struct sweep_run *run = &s->runs[number];
    int r = spec_paths_rebase(run->spec, "../../");

    if (r == 0 && run->shares >= 0) {
        const char *name = s->runs[run->shares].name;

        r = sweep_share(run->spec,
                        json_sprintf("../%s/steps/0-%s/" JOBDIR_ARTIFACTS "/%s", name, job_kinds[JOB_TRAIN].name,
                                     job_kinds[JOB_TRAIN].weights),
                        json_sprintf("../%s/steps/1-%s", name, job_kinds[JOB_MRC].name));
    }
    return r;
}

/* A run has ended otherwise than well: remember the first one's words. */
static void failure_note(struct sweeping *s, int number, int code, const struct ending *ending)
{
    const char *message = json_string_value(json_object_get(ending->failed, "message"));

    run_log(s->run, "%s has failed; the others go on", s->runs[number].name);
    if (!s->failed++) {
        s->failure = (enum worker_exit)code;
        fault_set(&s->first, -EINVAL, "%s: %s", s->runs[number].name, message ? message : "see its log");
    }
}

static int run_do(struct sweeping *s, int number)
{
    struct run *run = s->run;
    struct ending ending = { 0 };
    char *dir = NULL;
    int r = spec_place(s, number);

    if (r < 0 || asprintf(&dir, "%s/runs/%s", run->dir, s->runs[number].name) < 0)
        return fault_set(&run->why, -ENOMEM, "no memory");
    do
        r = jobdir_create(dir, s->runs[number].spec, &run->why);
    while (run_waits(run, &r));
    if (r == 0)
        r = run_progress_step(run, s->runs[number].name, number, s->count);
    if (r == 0) {
        int code = run_inner(run, dir);

        r = code == WORKER_INTERRUPTED ? -EINTR : ending_read(run, dir, &ending);
        if (r == 0 && code != WORKER_FINISHED)
            failure_note(s, number, code, &ending);
        else if (r == 0)
            s->results[number] = json_incref(ending.result);
    }
    ending_done(&ending);
    free(dir);
    return r;
}

static int artifact_write(struct run *run, const json_t *table, enum table_format format)
{
    const char *name = table_formats[format].artifact;
    char *text = table_text(table, format);
    int r = text ? run_artifact_write(run, name, text, strlen(text))
                 : run_fail(run, FAILURE_OUT_OF_MEMORY, "no memory for %s", name);

    free(text);
    return r;
}

/* The averaged table of what there is, and its files. */
static int tables_write(struct sweeping *s, json_t **ret_table)
{
    struct table_run *runs = calloc((size_t)s->count, sizeof(*runs));
    int r = runs ? 0 : fault_set(&s->run->why, -ENOMEM, "no memory");

    for (int i = 0; i < s->count && r == 0; i++)
        runs[i] = (struct table_run){ .id = s->runs[i].name,
                                      .state = s->results[i] ? "succeeded" : "failed",
                                      .spec = s->runs[i].spec,
                                      .result = s->results[i] };
    if (r == 0)
        r = run_blame(s->run, FAILURE_INTERNAL, table_make(runs, s->count, NULL, ret_table, &s->run->why));
    for (int i = 0; i < TABLE_FORMAT_COUNT && r == 0; i++)
        if (table_formats[i].artifact)
            r = artifact_write(s->run, *ret_table, (enum table_format)i);
    free(runs);
    return r;
}

/* Some runs have failed, and the table was written without them. */
static int sweep_fail(struct sweeping *s)
{
    return run_fail(s->run,
                    s->failure == WORKER_BAD_INPUT     ? FAILURE_BAD_DATA
                    : s->failure == WORKER_DEVICE_LOST ? FAILURE_DEVICE_LOST
                                                       : FAILURE_INTERNAL,
                    "%d of %d runs failed, first %s", s->failed, s->count, s->first.message);
}

/* A check looks at each run that begins by itself. */
static int runs_check(struct sweeping *s)
{
    struct run *run = s->run;

    for (int i = 0; i < s->count; i++) {
        if (s->runs[i].shares >= 0)
            continue;
        int code = spec_check(run->dir, s->runs[i].spec, &run->why);
        if (code != WORKER_FINISHED) {
            run->failure = code == WORKER_BAD_INPUT ? FAILURE_BAD_DATA : FAILURE_INTERNAL;
            return -EINVAL;
        }
    }
    return -ECANCELED;
}

static int folder_make(struct run *run)
{
    char *folder = run_path(run, "runs");
    int r;

    do
        r = folder && (mkdir(folder, 0777) == 0 || errno == EEXIST) ? 0 : -errno;
    while (run_waits(run, &r));
    if (r < 0 && r != -EINTR)
        fault_set(&run->why, r, "%s/runs: %s", run->dir, strerror(-r));
    free(folder);
    return r;
}

static int runs_do(struct sweeping *s, json_t **ret_result)
{
    struct run *run = s->run;
    json_t *table = NULL;
    json_t *started = run_started(run, json_string(run->spec.device));

    json_object_set_new(started, "runs", json_integer(s->count));
    int r = run_event(run, "started", started);

    for (int i = 0; i < s->count && r == 0; i++)
        r = run_do(s, i);
    if (r == 0)
        r = run_progress_step(run, "done", s->count, s->count);
    if (r == 0)
        r = tables_write(s, &table);
    if (r == 0 && s->failed)
        r = sweep_fail(s);
    if (r == 0)
        *ret_result = table;
    else
        json_decref(table);
    return r;
}

int sweep(struct run *run, json_t **ret_result)
{
    struct sweeping s = { .run = run };
    int r = sweep_expand(&run->spec, &s.runs, &s.count);

    if (r < 0)
        return run_fail(run, FAILURE_BAD_SPEC, "the spec of a run can't be made: %s", strerror(-r));
    s.results = calloc((size_t)s.count, sizeof(*s.results));
    if (!s.results)
        r = run_fail(run, FAILURE_OUT_OF_MEMORY, "no memory");
    if (r == 0)
        r = run->check_only ? runs_check(&s) : folder_make(run);
    if (r == 0)
        r = runs_do(&s, ret_result);
    for (int i = 0; s.results && i < s.count; i++)
        json_decref(s.results[i]);
    free(s.results);
    sweep_runs_free(s.runs, s.count);
    return r;
}
