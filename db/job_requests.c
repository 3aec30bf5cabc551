/* What do people ask of jobs?
 *
 * Insert, cancel, retry, delete: each checks what the request may do and then
 * leaves the moves and their consequences to jobs.c. One transaction each. */
#include "db/inside.h"

#include <stdio.h>

/* ---- cancel, retry, delete ---- */

static int cancel(struct connection *on, const char *id, int64_t now_ms)
{
    struct job_key job;
    int r = job_key_find(on, id, &job);

    if (r < 0)
        return r;
    if (job_state_ended(job.state))
        return refuse(-ESTALE, "job %s is %s already", id, job_state_names[job.state]);
    r = query_run(on, "UPDATE job SET cancel_wanted = 1 WHERE number = ?1", VALUES(V(job.number)));
    if (r >= 0 && !job.is_parent && job.state != STATE_RUNNING)
        r = job_move(on, &job, STATE_CANCELLED, NULL, NULL, now_ms);
    return r;
}

/* All steps of a parent, in order. */
static int steps_collect(struct connection *on, const char *parent, char (**ret_ids)[DB_ID_SIZE])
{
    return ids_collect(on, "SELECT id FROM job WHERE parent = ?1 ORDER BY step", VALUES(V(parent)), ret_ids);
}

int db_job_cancel(struct db *db, const char *id, int64_t now_ms)
{
    char(*steps)[DB_ID_SIZE] = NULL;
    struct connection *on;
    int count = 0;
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    r = cancel(on, id, now_ms);
    if (r >= 0)
        r = count = steps_collect(on, id, &steps);
    for (int i = 0; i < count && r >= 0; i++) {
        r = cancel(on, steps[i], now_ms);
        if (r == -ESTALE) /* this step has ended, or a neighbour's fall took it along */
            r = 0;
    }
    free(steps);
    return writer_end(db, r < 0 ? r : 0);
}

static int retry(struct connection *on, const struct job_key *job, int64_t now_ms)
{
    struct job_needs needs = { 0 };
    int r = job_needs_count(on, job->number, &needs);

    if (r >= 0 && (needs.failed || needs.cancelled))
        r = refuse(-ESTALE, "job %s needs job %s, which did not succeed: retry that one first", job->id, needs.culprit);
    if (r >= 0)
        r = query_run(on,
                      "UPDATE job SET cancel_wanted = 0, started_ms = 0, crashes = 0, result = NULL WHERE number = ?1",
                      VALUES(V(job->number)));
    if (r >= 0 && *job->parent) /* it is wanted again, and starts anew if it had ended */
        r = query_run(on,
                      "UPDATE job SET cancel_wanted = 0, started_ms = CASE WHEN ended_ms > 0 THEN 0 ELSE started_ms END"
                      " WHERE id = ?1",
                      VALUES(V((const char *)job->parent)));
    if (r >= 0)
        r = job_move(on, job, needs.open ? STATE_BLOCKED : STATE_QUEUED, NULL, NULL, now_ms);
    return r;
}

/* Steps in order: when a later one is looked at, those it needs wait again. */
static int retry_steps(struct connection *on, const struct job_key *parent, int64_t now_ms)
{
    char(*steps)[DB_ID_SIZE] = NULL;
    int count = steps_collect(on, parent->id, &steps);
    int r = count;

    for (int i = 0; i < count && r >= 0; i++) {
        struct job_key step;
        r = job_key_find(on, steps[i], &step);
        if (r >= 0 && (step.state == STATE_FAILED || step.state == STATE_CANCELLED))
            r = retry(on, &step, now_ms);
    }
    free(steps);
    return r < 0 ? r : 0;
}

int db_job_retry(struct db *db, const char *id, int64_t now_ms)
{
    struct connection *on;
    struct job_key job;
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    r = job_key_find(on, id, &job);
    if (r >= 0 && job.state != STATE_FAILED && job.state != STATE_CANCELLED)
        r = refuse(-ESTALE, "job %s is %s: only failed or cancelled jobs can be retried", id,
                   job_state_names[job.state]);
    if (r >= 0)
        r = job.is_parent ? retry_steps(on, &job, now_ms) : retry(on, &job, now_ms);
    return writer_end(db, r);
}

/* 1 when a job of another family that hasn't ended needs this one or a step of it. */
static int needed(struct connection *on, const struct job_key *job)
{
    query_auto query = { 0 };
    int r = query_start(on, &query,
                        "SELECT 1 FROM job AS self JOIN dependency ON dependency.needs = self.number"
                        " JOIN job AS other ON other.number = dependency.job"
                        " WHERE (self.number = ?1 OR self.parent = ?2)"
                        " AND other.state IN ('blocked','queued','running') LIMIT 1",
                        VALUES(V(job->number), V((const char *)job->id)));

    return r < 0 ? r : query_next(&query);
}

int db_job_delete(struct db *db, const char *id)
{
    struct connection *on;
    struct job_key job, parent;
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    r = job_key_find(on, id, &job);
    if (r >= 0 && !job_state_ended(job.state))
        r = refuse(-ESTALE, "job %s is %s: only ended jobs can be deleted", id, job_state_names[job.state]);
    if (r >= 0 && *job.parent && (r = job_key_find(on, job.parent, &parent)) >= 0 && !job_state_ended(parent.state))
        r = refuse(-ESTALE, "job %s is a step of %s, which has not ended", id, job.parent);
    if (r >= 0)
        r = needed(on, &job);
    if (r > 0)
        r = refuse(-ESTALE, "a job that has not ended needs job %s", id);
    if (r == 0)
        r = query_run(on, "DELETE FROM job WHERE number = ?1", VALUES(V(job.number)));
    return writer_end(db, r < 0 ? r : 0);
}

int db_job_set_result(struct db *db, const char *id, const char *result)
{
    struct connection *on;
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    r = query_run(on, "UPDATE job SET result = ?2 WHERE id = ?1", VALUES(V(id), V(result)));
    if (r == 0)
        r = refuse(-ENOENT, "no job %.36s", id);
    return writer_end(db, r < 0 ? r : 0);
}

/* ---- insert ---- */

int idempotency_find(struct connection *on, const char *key, const char *body_sha256, char ret_id[DB_ID_SIZE])
{
    query_auto query = { 0 };
    char sha256[80];
    int r = query_start(
        on, &query,
        "SELECT body_sha256, job.id FROM idempotency JOIN job ON job.number = idempotency.job WHERE key = ?1",
        VALUES(V(key)));

    if (r >= 0)
        r = query_next(&query);
    if (r <= 0)
        return r;
    query_copy(&query, 0, sha256, sizeof(sha256));
    if (strcmp(sha256, body_sha256) != 0)
        return refuse(-EEXIST, "this Idempotency-Key was used for another request");
    query_copy(&query, 1, ret_id, DB_ID_SIZE);
    return 1;
}

static int insert_row(struct connection *on, const struct db_new_job *job, enum job_state state, int64_t now_ms)
{
    int r = query_run(on,
                      "INSERT INTO job(id, kind, state, label, priority, parent, step, family, created_ms, spec, wants)"
                      " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8, ?9, COALESCE(?10, 'auto'))",
                      VALUES(V(job->id), V(job->kind), V(job_state_names[state]), V(job->label), V(job->priority),
                             V(job->parent), V(job->step), V(now_ms), V(job->spec), V(job->device)));

    if (r < 0)
        return r;
    return query_run(on,
                     "UPDATE job SET family = COALESCE((SELECT number FROM job AS p WHERE p.id = job.parent), number)"
                     " WHERE id = ?1",
                     VALUES(V(job->id)));
}

static int insert_one(struct connection *on, const struct db_new_job *job, int64_t now_ms)
{
    enum job_state state = job->after_count ? STATE_BLOCKED : STATE_QUEUED;
    struct job_key key, needed_key;
    int r = insert_row(on, job, state, now_ms);

    if (r >= 0)
        r = job_key_find(on, job->id, &key);
    if (r >= 0)
        r = job_state_event(on, &key, state, NULL, NULL, now_ms);
    for (int i = 0; i < job->after_count && r >= 0; i++) {
        r = job_key_find(on, job->after[i], &needed_key);
        if (r >= 0)
            r = query_run(on, "INSERT INTO dependency(job, needs) VALUES(?1, ?2) ON CONFLICT DO NOTHING",
                          VALUES(V(key.number), V(needed_key.number)));
    }
    if (r >= 0 && state == STATE_BLOCKED)
        r = job_settle(on, &key, now_ms); /* they may have ended already */
    return r;
}

int db_job_insert(struct db *db, const struct db_new_job *jobs, int count, const char *key, const char *body_sha256,
                  int64_t now_ms, char ret_first_id[DB_ID_SIZE])
{
    struct connection *on;
    char first[DB_ID_SIZE];
    int r = writer_begin(db, &on);

    assert(count > 0);
    if (r < 0)
        return r;
    snprintf(first, sizeof(first), "%s", jobs[0].id);
    if (key)
        r = idempotency_find(on, key, body_sha256, first);
    if (r == 0) {
        for (int i = 0; i < count && r >= 0; i++)
            r = insert_one(on, &jobs[i], now_ms);
        if (r >= 0 && key)
            r = query_run(on,
                          "INSERT INTO idempotency(key, body_sha256, job, created_ms)"
                          " SELECT ?1, ?2, number, ?4 FROM job WHERE id = ?3",
                          VALUES(V(key), V(body_sha256), V(jobs[0].id), V(now_ms)));
        r = r < 0 ? r : 0;
    }
    r = writer_end(db, r);
    if (r >= 0)
        memcpy(ret_first_id, first, DB_ID_SIZE);
    return r;
}
