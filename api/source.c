/* Whose results are meant?
 *
 * A rift job has none of its own but its table: asked for modules it answers
 * with its mrc step's, for curves with its train step's, and so on, so that a
 * client follows one id. Files of a step are called "train/best.safetensors"
 * on the parent. */
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

int step_find(struct db *db, const char *parent, int kind, struct db_job *ret)
{
    return step_take(db, parent, job_kinds[kind].name, -1, ret);
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
        return answer_problem(answer, request, PROBLEM_BAD_QUERY, "step: a %s job has no steps", job.kind);
    if (!rift) {
        *ret = job;
        job = (struct db_job){ 0 };
        return 1;
    }
    r = step_take(db, job.id, step < 0 ? job_kinds[kind].name : NULL, step, ret);
    if (r == -ENOENT)
        return answer_problem(answer, request, PROBLEM_NO_JOB, "the step of this rift job is gone");
    return r < 0 ? r : 1;
}
