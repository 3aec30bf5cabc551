/* What do people ask of jobs?
 *
 * Cancel, retry, change, delete: each checks what the request may do and then
 * leaves the moves and their consequences to jobs.c. One transaction each. */
#include "db/inside.h"

#include <stdio.h>

/* ---- cancel, retry ---- */

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
                      "UPDATE job SET cancel_wanted = 0, purged = 0,"
                      " started_ms = CASE WHEN ended_ms > 0 THEN 0 ELSE started_ms END"
                      " WHERE id = ?1",
                      VALUES(V(parent)));

    if (r >= 0)
        r = job_key_find(on, parent, &job);
    return r >= 0 && *job.parent ? parents_wake(on, job.parent) : r;
}

/* 1 while files of the job are on their way out: a worker must not start on them. ('0' follows '/'.) */
static int doomed(struct connection *on, const char *id)
{
    query_auto query = { 0 };
    int r = query_start(on, &query, "SELECT 1 FROM doomed WHERE path >= ?1 || '/' AND path < ?1 || '0'", VALUES(V(id)));

    return r < 0 ? r : query_next(&query);
}

static int retry_one(struct connection *on, const struct job_key *job, int64_t now_ms)
{
    struct job_needs needs = { 0 };
    struct db_policy policy;
    int r = job_needs_count(on, job->number, &needs);

    policy_get(on->db, &policy);
    if (r >= 0 && needs.hopeless)
        r = refuse(-ESTALE, "job %s needs job %s, which %s: retry that one first", job->id, needs.culprit,
                   needs.how == STATE_SUCCEEDED ? "succeeded" : "did not succeed");
    if (r >= 0)
        r = doomed(on, job->id);
    if (r > 0)
        r = refuse(-ESTALE, "job %s: its old files are being removed; try again in a moment", job->id);
    if (r >= 0)
        r = query_run(on,
                      "UPDATE job SET cancel_wanted = 0, started_ms = 0, crashes = 0, result = NULL, ran_ms = 0,"
                      " purged = 0, purged_ms = 0, rank = created_ms - priority * ?2 WHERE number = ?1",
                      VALUES(V(job->number), V(-rank_of(&policy, 0, 1))));
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

/* ---- change ---- */

static struct value maybe_int(const void *there, int value)
{
    return there ? V(value) : V((const char *)NULL);
}

/* {"time_ms","type":"changed", and what was changed}. The label is escaped by SQLite. */
static int changed_event(struct connection *on, const struct job_key *job, const struct db_job_change *change,
                         int64_t now_ms)
{
    query_auto query = { 0 };
    char *fields = NULL;
    int r = query_start(on, &query,
                        "SELECT json_patch(json_object('time_ms', ?1, 'type', 'changed'),"
                        " json_object('priority', ?2, 'label', ?3, 'held', json(?4), 'pinned', json(?5)))",
                        VALUES(V(now_ms), maybe_int(change->priority, change->priority ? *change->priority : 0),
                               V(change->label), V(change->held ? *change->held ? "true" : "false" : (char *)NULL),
                               V(change->pinned ? *change->pinned ? "true" : "false" : (char *)NULL)));

    if (r >= 0)
        r = query_next(&query);
    if (r >= 0)
        r = query_dup(&query, 0, &fields);
    query_done(&query);
    if (r >= 0)
        r = event_store(on, job->number, job->family, 0, now_ms, "changed", fields);
    free(fields);
    return r;
}

/* One job; only what differs makes an event. */
static int change_one(struct connection *on, const struct job_key *job, const struct db_job_change *change,
                      int64_t now_ms)
{
    struct db_policy policy;

    policy_get(on->db, &policy);
    int r = query_run(on,
                      "UPDATE job SET priority = COALESCE(?2, priority),"
                      " rank = created_ms - COALESCE(?2, priority) * ?6, label = NULLIF(COALESCE(?3, label), ''),"
                      " held = COALESCE(?4, held), pinned = COALESCE(?5, pinned) WHERE number = ?1 AND"
                      " (priority, COALESCE(label, ''), held, pinned) IS NOT (COALESCE(?2, priority),"
                      " COALESCE(?3, label, ''), COALESCE(?4, held), COALESCE(?5, pinned))",
                      VALUES(V(job->number), maybe_int(change->priority, change->priority ? *change->priority : 0),
                             V(change->label), maybe_int(change->held, change->held && *change->held),
                             maybe_int(change->pinned, change->pinned && *change->pinned), V(-rank_of(&policy, 0, 1))));

    return r <= 0 ? r : changed_event(on, job, change, now_ms);
}

/* A job and all below it; a step keeps its label, and what has ended its place in the queue. */
static int change(struct connection *on, const struct job_key *job, const struct db_job_change *wanted, int64_t now_ms)
{
    struct db_job_change here = *wanted;
    char(*steps)[DB_ID_SIZE] = NULL;

    if (job_state_ended(job->state))
        here.priority = NULL, here.held = NULL;
    int r = change_one(on, job, &here, now_ms);
    int count = r < 0 || !job->is_parent ? 0 : steps_collect(on, job->id, &steps);
    r = r < 0 ? r : count;
    here = *wanted;
    here.label = NULL;
    for (int i = 0; i < count && r >= 0; i++) {
        struct job_key step;
        r = job_key_find(on, steps[i], &step);
        if (r >= 0)
            r = change(on, &step, &here, now_ms);
    }
    free(steps);
    return r < 0 ? r : 0;
}

int db_job_change(struct db *db, const char *id, const struct db_job_change *wanted, int64_t now_ms)
{
    struct connection *on;
    struct job_key job;
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    r = job_key_find(on, id, &job);
    if (r >= 0 && job_state_ended(job.state) && (wanted->priority || wanted->held))
        r = refuse(-ESTALE, "job %s is %s: it waits for nothing any more", id, job_state_names[job.state]);
    if (r >= 0)
        r = change(on, &job, wanted, now_ms);
    return writer_end(db, r);
}

/* ---- delete ---- */

int job_needed(struct connection *on, const struct job_key *job)
{
    query_auto query = { 0 };
    int r = query_start(on, &query,
                        JOB_TREE "SELECT 1 FROM tree CROSS JOIN dependency ON dependency.needs = tree.number"
                                 " CROSS JOIN job AS other ON other.number = dependency.job" /* follow.c says why */
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
        r = ids_collect(on, JOB_TREE "SELECT id FROM tree WHERE number <> ?1 ORDER BY number", VALUES(V(job.number)),
                        ret_ids);
    readers_give(db, on);
    return r;
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
