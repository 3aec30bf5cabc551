/* Are the files still there that a job takes from others?
 *
 * Retention may have taken the artifacts of a job that has ended. Who wants them is
 * told so, with the job and the file, when he asks: when a spec is sent, and when a job
 * is retried that took them once. (daemon/resolve.c looks again when the job starts.) */
#include "api/exchange.h"
#include "job/job.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

bool artifact_gone(const struct db_job *job, int wants, const char *artifact, char *ret, size_t size)
{
    int kind = job_kind_find(job->kind);
    const char *name = artifact ? artifact : wants < 0 && kind >= 0 ? job_kinds[kind].weights : NULL;

    /* A journal is kept: it is all that finetune wants of an mrc job. */
    if (!(job->purged & PART_ARTIFACTS) || wants == JOB_MRC)
        return false;
    snprintf(ret, size, "%.100s of job %s is not kept any more (retain-artifacts)", name ? name : "what was made",
             job->id);
    return true;
}

struct look {
    const struct request *request;
    char words[400]; /* what isn't there, "" all is */
};

static int ref_look(const struct spec_ref *ref, void *user)
{
    struct look *look = user;
    db_job_auto job = { 0 };
    char words[250];

    if (!ref->job || *look->words)
        return 0;
    int r = db_job_get(look->request->config->db, ref->job, &job);
    if (r == -ENOENT)
        snprintf(look->words, sizeof(look->words), "%s: there is no job %.36s any more", ref->pointer, ref->job);
    else if (r >= 0 && artifact_gone(&job, ref->wants, ref->artifact, words, sizeof(words)))
        snprintf(look->words, sizeof(look->words), "%.60s: %s", ref->pointer, words);
    return r == -ENOENT ? 0 : r;
}

/* The job, or all below it that would run again. */
static int job_look(struct look *look, const struct db_job *job)
{
    struct db_job *steps = NULL;
    int kind = job_kind_find(job->kind);

    if (kind >= 0 && job_kinds[kind].parent) {
        int count = db_job_steps(look->request->config->db, job->id, &steps), r = count;
        for (int i = 0; i < count && r >= 0; i++)
            r = job_look(look, &steps[i]);
        if (count >= 0)
            db_jobs_free(steps, count);
        return r;
    }
    if (job->state != STATE_FAILED && job->state != STATE_CANCELLED)
        return 0;
    json_auto_t *spec = text_read(job->spec);
    return spec ? spec_refs(spec, ref_look, look) : -ENOMEM;
}

int retry_check(const struct request *request, struct answer *answer, const char *id)
{
    struct look look = { .request = request };
    db_job_auto job = { 0 };
    int r = db_job_get(request->config->db, id, &job);

    if (r >= 0)
        r = job_look(&look, &job);
    if (r < 0)
        return r == -ENOENT ? 1 : r; /* whoever changes it finds that out by himself */
    return *look.words ? answer_problem(answer, request, PROBLEM_STATE, "job %s needs files: %s", id, look.words) : 1;
}
