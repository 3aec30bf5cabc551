/* Whose results are meant?
 *
 * A rift job has none of its own but its table: asked for modules it answers
 * with its mrc step's, for curves with its train step's, and so on, so that a
 * client follows one id. Files of a step are called "train/best.safetensors"
 * on the parent. A rift job that was given weights or criticality of another job
 * answers with that one's. */
#include "api/exchange.h"

#include <errno.h>
#include <string.h>

int job_find(const struct request *request, struct answer *answer, struct db_job *ret)
{
    int r = db_job_get(request->config->db, request->id, ret);

    if (r == -ENOENT)
        return answer_problem(answer, request, PROBLEM_NO_JOB, "there is no such job");
    return r < 0 ? r : 1;
}

/* The step that `fits`, moved out of the list. */
static int step_take(struct db *db, const char *parent, const char *kind, int64_t step, struct db_job *ret)
{
    struct db_job *steps;
    int count = db_job_steps(db, parent, &steps), r = -ENOENT;

    for (int i = 0; i < count && r < 0; i++) {
        if (kind ? strcmp(steps[i].kind, kind) : steps[i].step != step)
            continue;
        *ret = steps[i];
        steps[i] = (struct db_job){ 0 };
        r = 0;
    }
    if (count < 0)
        return count;
    db_jobs_free(steps, count);
    return r;
}

/* What a rift spec gives instead of the step of this kind: {"job": ID}. */
static int given_find(struct db *db, const struct db_job *rift, int kind, struct db_job *ret)
{
    static const char *const objects[JOB_KIND_COUNT] = { [JOB_TRAIN] = "train", [JOB_MRC] = "finetune" };
    static const char *const members[JOB_KIND_COUNT] = { [JOB_TRAIN] = "weights", [JOB_MRC] = "mrc_job" };
    json_auto_t *spec = objects[kind] ? text_json(rift->spec) : NULL;
    const json_t *given = objects[kind] ? json_object_get(json_object_get(spec, objects[kind]), members[kind]) : NULL;
    const char *id = json_string_value(json_object_get(given, "job"));
    db_job_auto job = { 0 };
    int r = id ? db_job_get(db, id, &job) : -ENOENT;

    if (r < 0)
        return r;
    if (strcmp(job.kind, job_kinds[kind].name))
        return -ENOENT;
    *ret = job;
    job = (struct db_job){ 0 };
    return 0;
}

int step_find(struct db *db, const struct db_job *rift, int kind, struct db_job *ret)
{
    int r = step_take(db, rift->id, job_kinds[kind].name, -1, ret);

    return r == -ENOENT ? given_find(db, rift, kind, ret) : r;
}

int step_name_split(const char *name, const char **ret_rest)
{
    for (int kind = 0; kind < JOB_KIND_COUNT; kind++) {
        size_t length = strlen(job_kinds[kind].name);
        if (strncmp(name, job_kinds[kind].name, length) || name[length] != '/')
            continue;
        *ret_rest = name + length + 1;
        return kind;
    }
    return -ENOENT;
}

int source_find(const struct request *request, struct answer *answer, int kind, struct db_job *ret)
{
    struct db *db = request->config->db;
    int64_t step;
    db_job_auto job = { 0 };

    if (request_int(request, answer, "step", 0, RIFT_STEPS - 1, -1, &step) < 0)
        return 0;
    int r = job_find(request, answer, &job);
    if (r <= 0)
        return r;
    bool rift = !strcmp(job.kind, job_kinds[JOB_RIFT].name);
    if (!rift && step >= 0)
        return answer_problem(answer, request, PROBLEM_BAD_QUERY, "step: only a rift job takes it, this is a %s job",
                              job.kind);
    if (!rift) {
        *ret = job;
        job = (struct db_job){ 0 };
        return 1;
    }
    r = step < 0 ? step_find(db, &job, kind, ret) : step_take(db, job.id, NULL, step, ret);
    if (r == -ENOENT)
        return answer_problem(answer, request, PROBLEM_NO_JOB, "this rift job has no such step");
    return r < 0 ? r : 1;
}
