/* What do people ask of jobs?
 *
 * Insert, cancel, retry, delete: each checks what the request may do and then
 * leaves the moves and their consequences to jobs.c. One transaction each. */
#include "db/inside.h"

#include <stdio.h>

/* How much longer a job of one priority less has waited when it is as good as this one. */
#define DEFAULT_AGEING_MS 3600000

/* ---- cancel, retry, delete ---- */

/* All steps of a parent in the order they were inserted, in which each comes after
 * those that it needs; their own numbers needn't be in that order. */
static int steps_collect(struct connection *on, const char *parent, char (**ret_ids)[DB_ID_SIZE])
{
    return ids_collect(on, "SELECT id FROM job WHERE parent = ?1 ORDER BY number", VALUES(V(parent)), ret_ids);
}

/* Do something to each step of a parent, in order. */
static int steps_each(struct connection *on, const char *parent, int64_t now_ms,
                      int (*each)(struct connection *on, const struct job_key *step, int64_t now_ms))
{
    char(*steps)[DB_ID_SIZE] = NULL;
    int count = steps_collect(on, parent, &steps);
    int r = count;

    for (int i = 0; i < count && r >= 0; i++) {
        struct job_key step;
        r = job_key_find(on, steps[i], &step);
        if (r >= 0)
            r = each(on, &step, now_ms);
    }
    free(steps);
    return r < 0 ? r : 0;
}

/* The job and, when it is a parent, all below it. What has ended, or a
 * neighbour's fall took along, stays. */
static int cancel(struct connection *on, const struct job_key *job, int64_t now_ms)
{
    int r = job_state_ended(job->state)
                ? 0
                : query_run(on, "UPDATE job SET cancel_wanted = 1 WHERE number = ?1", VALUES(V(job->number)));

    if (r >= 0 && job->is_parent)
        return steps_each(on, job->id, now_ms, cancel);
    if (r >= 0 && !job_state_ended(job->state) && job->state != STATE_RUNNING)
        r = job_move(on, job, STATE_CANCELLED, NULL, NULL, now_ms);
    return r < 0 ? r : 0;
}

int db_job_cancel(struct db *db, const char *id, int64_t now_ms)
{
    struct connection *on;
    struct job_key job;
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    r = job_key_find(on, id, &job);
    if (r >= 0 && job_state_ended(job.state))
        r = refuse(-ESTALE, "job %s is %s already", id, job_state_names[job.state]);
    if (r >= 0)
        r = cancel(on, &job, now_ms);
    return writer_end(db, r);
}

/* A parent, and its parent, is wanted again, and starts anew if it had ended. */
static int parents_wake(struct connection *on, const char *parent)
{
    struct job_key job;
    int r = query_run(on,
                      "UPDATE job SET cancel_wanted = 0, started_ms = CASE WHEN ended_ms > 0 THEN 0 ELSE started_ms END"
                      " WHERE id = ?1",
                      VALUES(V(parent)));

    if (r >= 0)
        r = job_key_find(on, parent, &job);
    return r >= 0 && *job.parent ? parents_wake(on, job.parent) : r;
}

static int retry_one(struct connection *on, const struct job_key *job, int64_t now_ms)
{
    struct job_needs needs = { 0 };
    int r = job_needs_count(on, job->number, &needs);

    if (r >= 0 && (needs.failed || needs.cancelled))
        r = refuse(-ESTALE, "job %s needs job %s, which did not succeed: retry that one first", job->id, needs.culprit);
    if (r >= 0)
        r = query_run(on,
                      "UPDATE job SET cancel_wanted = 0, started_ms = 0, crashes = 0, result = NULL WHERE number = ?1",
                      VALUES(V(job->number)));
    if (r >= 0 && *job->parent)
        r = parents_wake(on, job->parent);
    if (r >= 0)
        r = job_move(on, job, needs.open ? STATE_BLOCKED : STATE_QUEUED, NULL, NULL, now_ms);
    return r;
}

/* Steps in order: when a later one is looked at, those it needs wait again. A
 * parent that goes on may have steps that don't. */
static int retry(struct connection *on, const struct job_key *job, int64_t now_ms)
{
    if (job->is_parent)
        return steps_each(on, job->id, now_ms, retry);
    return job->state == STATE_FAILED || job->state == STATE_CANCELLED ? retry_one(on, job, now_ms) : 0;
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
        r = retry(on, &job, now_ms);
    return writer_end(db, r);
}

/* A job and all that is below it: itself, its steps and theirs. */
#define TREE                                                                                                           \
    "WITH RECURSIVE tree(number, id) AS (SELECT number, id FROM job WHERE number = ?1"                                 \
    " UNION ALL SELECT job.number, job.id FROM tree JOIN job ON job.parent = tree.id) "

/* 1 when a job that hasn't ended, and isn't below this one, needs this one or what is below it. */
static int needed(struct connection *on, const struct job_key *job)
{
    query_auto query = { 0 };
    int r = query_start(on, &query,
                        TREE "SELECT 1 FROM tree JOIN dependency ON dependency.needs = tree.number"
                             " JOIN job AS other ON other.number = dependency.job"
                             " WHERE other.state IN ('blocked','queued','running') LIMIT 1",
                        VALUES(V(job->number)));

    return r < 0 ? r : query_next(&query);
}

int db_job_below(struct db *db, const char *id, char (**ret_ids)[DB_ID_SIZE])
{
    struct connection *on;
    struct job_key job;
    int r = readers_take(db, &on);

    if (r < 0)
        return r;
    r = job_key_find(on, id, &job);
    if (r >= 0)
        r = ids_collect(on, TREE "SELECT id FROM tree WHERE number <> ?1 ORDER BY number", VALUES(V(job.number)),
                        ret_ids);
    readers_give(db, on);
    return r;
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

int idempotency_find(struct connection *on, const char *owner, const char *key, const char *body_sha256,
                     char ret_id[DB_ID_SIZE])
{
    query_auto query = { 0 };
    char sha256[80];
    int r = query_start(on, &query,
                        "SELECT body_sha256, job.id FROM idempotency JOIN job ON job.number = idempotency.job"
                        " WHERE idempotency.owner = ?1 AND key = ?2",
                        VALUES(V(owner), V(key)));

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
                      "INSERT INTO job(id, kind, state, label, priority, parent, step, family, created_ms, spec, wants,"
                      " owner, rank) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8, ?9, COALESCE(?10, 'auto'),"
                      " COALESCE(?11, ''), ?8 - ?5 * ?12)",
                      VALUES(V(job->id), V(job->kind), V(job_state_names[state]), V(job->label), V(job->priority),
                             V(job->parent), V(job->step), V(now_ms), V(job->spec), V(job->device), V(job->owner),
                             V(DEFAULT_AGEING_MS)));

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
    for (int i = 0; i < job->model_count && r >= 0; i++)
        r = model_use_store(on, key.number, job->models[i]);
    if (r >= 0 && state == STATE_BLOCKED)
        r = job_settle(on, &key, now_ms); /* they may have ended already */
    return r;
}

int db_job_insert(struct db *db, const struct db_new_job *jobs, int count, const char *key, const char *body_sha256,
                  int64_t now_ms, char ret_first_id[DB_ID_SIZE])
{
    struct connection *on;
    char first[DB_ID_SIZE];
    const char *owner = jobs[0].owner ?: "";
    int r = writer_begin(db, &on);

    assert(count > 0);
    if (r < 0)
        return r;
    snprintf(first, sizeof(first), "%s", jobs[0].id);
    if (key)
        r = idempotency_find(on, owner, key, body_sha256, first);
    if (r == 0) {
        for (int i = 0; i < count && r >= 0; i++)
            r = insert_one(on, &jobs[i], now_ms);
        if (r >= 0 && key)
            r = query_run(on,
                          "INSERT INTO idempotency(owner, key, body_sha256, job, created_ms)"
                          " SELECT ?5, ?1, ?2, number, ?4 FROM job WHERE id = ?3",
                          VALUES(V(key), V(body_sha256), V(jobs[0].id), V(now_ms), V(owner)));
        r = r < 0 ? r : 0;
    }
    r = writer_end(db, r);
    if (r >= 0)
        memcpy(ret_first_id, first, DB_ID_SIZE);
    return r;
}
