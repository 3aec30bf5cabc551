/* What do parents say while their steps end?
 *
 *   a step ends -> its rift job: the before/after table -> its sweep: the averaged table
 *
 * Before a step is moved to its end, and not after, so that a parent that has
 * succeeded has its whole table, whatever dies in between. The sweep's table is
 * also written into its directory, as JSON, CSV, Markdown and LaTeX. */
#include "daemon/daemon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The results of a rift job's steps, with this one's newest. New references. */
static int step_results(struct daemon *daemon, const struct db_job *step, const char *result,
                        json_t *ret_results[RIFT_STEPS])
{
    struct db_job *steps = NULL;
    int count = db_job_steps(daemon->db, step->parent, &steps);

    for (int i = 0; i < count; i++) {
        const char *text = steps[i].step == step->step ? result : steps[i].result;
        if (steps[i].step >= 0 && steps[i].step < RIFT_STEPS && text)
            ret_results[steps[i].step] = text_read(text);
    }
    if (count >= 0)
        db_jobs_free(steps, count);
    return count;
}

/* A table that was made while memory was short lacks what couldn't be read: it isn't stored. */
static int result_set(struct daemon *daemon, const char *id, const json_t *table)
{
    char *text = table ? json_dumps(table, JSON_COMPACT) : NULL;
    int r = text && !json_starved() ? db_job_set_result(daemon->db, id, text) : -ENOMEM;

    free(text);
    return r;
}

/* One file of the sweep's table, and its row. */
static int artifact_write(struct daemon *daemon, const char *id, const char *dir, const json_t *table,
                          enum table_format format, struct fault *why)
{
    const char *name = table_formats[format].artifact;
    char *text = table_text(table, format), hex[65];
    size_t size = text ? strlen(text) : 0;
    struct sha256 sha;
    int r = text ? file_replace(dir, name, text, size, why) : -ENOMEM;

    sha256_start(&sha);
    sha256_add(&sha, text ? text : "", size);
    sha256_finish(&sha, hex);
    free(text);
    return r < 0 ? r : db_artifact_put(daemon->db, id, name, (int64_t)size, hex, clock_ms());
}

/* A table that can't be written is asked for over HTTP all the same: a full disk
 * shall not keep a step from its end. */
static void artifacts_write(struct daemon *daemon, const struct db_job *sweep, const json_t *table)
{
    char dir[PATH_MAX], artifacts[PATH_MAX + 32];
    struct fault why = { 0 };
    json_auto_t *spec = text_read(sweep->spec);
    int r = spec ? job_dir(daemon, sweep->id, dir) : -ENOMEM;

    if (r >= 0)
        r = jobdir_create(dir, spec, &why);
    if (r >= 0)
        snprintf(artifacts, sizeof(artifacts), "%s/" JOBDIR_ARTIFACTS, dir);
    for (int i = 0; i < TABLE_FORMAT_COUNT && r >= 0; i++)
        if (table_formats[i].artifact)
            r = artifact_write(daemon, sweep->id, artifacts, table, (enum table_format)i, &why);
    if (r < 0)
        log_job(LEVEL_ERROR, sweep->id, "its table cannot be written: %s", *why.message ? why.message : strerror(-r));
}

/* The averaged table of all rift jobs of a sweep. */
static int sweep_tell(struct daemon *daemon, const char *id)
{
    struct db_job *jobs = NULL;
    struct fault why = { 0 };
    db_job_auto sweep = { 0 };
    int r = db_job_get(daemon->db, id, &sweep);
    int count = r < 0 ? r : db_job_steps(daemon->db, id, &jobs);

    if (count < 0)
        return count;
    struct table_run *runs = calloc((size_t)count + 1, sizeof(*runs));
    json_t *table = NULL;
    for (int i = 0; i < count && runs; i++)
        runs[i] = (struct table_run){ .id = jobs[i].id,
                                      .spec = text_read(jobs[i].spec),
                                      .result = text_read(jobs[i].result) };
    r = runs ? table_make(runs, count, NULL, &table, &why) : -ENOMEM;
    if (r == -EINVAL)
        log_job(LEVEL_ERROR, id, "no table: %s", why.message);
    if (r >= 0)
        r = result_set(daemon, id, table);
    if (r >= 0)
        artifacts_write(daemon, &sweep, table);
    for (int i = 0; i < count && runs; i++) {
        json_decref((json_t *)runs[i].spec);
        json_decref((json_t *)runs[i].result);
    }
    free(runs);
    json_decref(table);
    db_jobs_free(jobs, count);
    return r == -EINVAL ? 0 : r;
}

int parents_tell(struct daemon *daemon, const struct db_job *step, const char *result)
{
    json_t *results[RIFT_STEPS] = { 0 };
    db_job_auto rift = { 0 };
    int r = db_job_get(daemon->db, step->parent, &rift);

    json_starved(); /* before */
    if (r >= 0)
        r = step_results(daemon, step, result, results);
    if (r < 0)
        return r;
    json_auto_t *spec = text_read(rift.spec);
    const char *protocol = json_string_value(json_object_get(spec, "protocol"));
    json_auto_t *table = rift_table((const json_t *const *)results, protocol ? protocol : "validation");
    r = result_set(daemon, rift.id, table);
    for (int i = 0; i < RIFT_STEPS; i++)
        json_decref(results[i]);
    /* Nothing but an evaluation's result changes the averages. */
    if (r >= 0 && *rift.parent && result && strcmp(step->kind, job_kinds[JOB_EVALUATE].name) == 0)
        r = sweep_tell(daemon, rift.parent);
    return r;
}
