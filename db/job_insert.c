/* How do jobs come in?
 *
 * With their dependencies, a whole family in one transaction. Seen before (the
 * same key and body)? Then nothing is inserted and the job of then is told.
 * Otherwise the owner's limits are looked at in the same transaction, so that
 * requests at the same time can't pass them together. */
#include "db/inside.h"

#include <stdio.h>

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
    struct db_policy policy;

    policy_get(on->db, &policy);
    int r = query_run(on,
                      "INSERT INTO job(id, kind, state, label, priority, parent, step, family, created_ms, spec, wants,"
                      " owner, rank, memory, time_limit_ms) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8, ?9,"
                      " COALESCE(?10, 'auto'), COALESCE(?11, ''), ?12, ?13, ?14)",
                      VALUES(V(job->id), V(job->kind), V(job_state_names[state]), V(job->label), V(job->priority),
                             V(job->parent), V(job->step), V(now_ms), V(job->spec), V(job->device), V(job->owner),
                             V(rank_of(&policy, now_ms, job->priority)), V(job->memory_bytes), V(job->time_limit_ms)));

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
            r = query_run(on, "INSERT INTO dependency(job, needs, condition) VALUES(?1, ?2, ?3) ON CONFLICT DO NOTHING",
                          VALUES(V(key.number), V(needed_key.number),
                                 V(db_condition_names[job->after_on ? job->after_on[i] : ON_SUCCESS])));
    }
    for (int i = 0; i < job->model_count && r >= 0; i++)
        r = model_use_store(on, key.number, job->models[i]);
    if (r >= 0 && state == STATE_BLOCKED)
        r = job_settle(on, &key, now_ms); /* they may have ended already */
    return r;
}

/* What an owner may have is had. */
static int owner_check(struct connection *on, const char *owner)
{
    struct db_policy policy;
    int64_t waiting = 0, bytes = 0;
    int r = 0;

    policy_get(on->db, &policy);
    if (policy.queued_max)
        r = number_read(on,
                        "SELECT COUNT(*) FROM job INDEXED BY job_waiting WHERE owner = ?1 AND parent IS NULL"
                        " AND state IN ('blocked','queued')",
                        VALUES(V(owner)), &waiting);
    if (r >= 0 && policy.queued_max && waiting >= policy.queued_max)
        return refuse(-EAGAIN, "%lld jobs of yours wait already; %d may at a time", (long long)waiting,
                      policy.queued_max);
    if (r >= 0 && policy.artifacts_max)
        r = number_read(on,
                        "SELECT COALESCE(SUM(artifact.size), 0) FROM job JOIN artifact ON artifact.job = job.number"
                        " WHERE owner = ?1",
                        VALUES(V(owner)), &bytes);
    if (r >= 0 && policy.artifacts_max && bytes >= policy.artifacts_max)
        return refuse(-EDQUOT, "the artifacts of your jobs have %lld bytes; %lld is the limit: delete jobs first",
                      (long long)bytes, (long long)policy.artifacts_max);
    return r < 0 ? r : 0;
}

static int insert_all(struct connection *on, const struct db_new_job *jobs, int count, const char *key,
                      const char *body_sha256, int64_t now_ms)
{
    const char *owner = jobs[0].owner ?: "";
    int r = owner_check(on, owner);

    for (int i = 0; i < count && r >= 0; i++)
        r = insert_one(on, &jobs[i], now_ms);
    if (r >= 0 && key)
        r = query_run(on,
                      "INSERT INTO idempotency(owner, key, body_sha256, job, created_ms)"
                      " SELECT ?5, ?1, ?2, number, ?4 FROM job WHERE id = ?3",
                      VALUES(V(key), V(body_sha256), V(jobs[0].id), V(now_ms), V(owner)));
    return r < 0 ? r : 0;
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
    if (r == 0)
        r = insert_all(on, jobs, count, key, body_sha256, now_ms);
    r = writer_end(db, r);
    if (r >= 0)
        memcpy(ret_first_id, first, DB_ID_SIZE);
    return r;
}
