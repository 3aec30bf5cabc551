/* Which states can a job be in, and who may move it?
 *
 *                  .-------------------.  interrupted or crashed: goes on from
 *                  v                   |  its checkpoint
 *   blocked ---> queued ----------> running ---> succeeded
 *    |             |                 |  |
 *    '-------------'--> cancelled <--'  '--> failed
 *
 *   failed, cancelled ---retry---> queued, or blocked when it must wait again
 *
 * Who is claimed (queued -> running) is claim.c's business.
 *
 * One table says which moves are allowed, one function (job_move) makes them, one
 * assert stands in it. A move also writes a `state` event and carries its
 * consequences, all in the same transaction: when the last dependency has ended as
 * it was to, a job is unblocked; one that ended otherwise cancels it (its error
 * says which); and a parent follows its steps.
 *
 * A parent (rift, sweep) has no worker of its own; a step may be a parent itself:
 *   a step is active: running if anything has happened yet, else queued
 *   none is active:   failed or cancelled if a step ended so, else succeeded
 *
 * Surprising: running -> queued of a job that somebody wants cancelled ends as
 * cancelled, so that a cancel can't slip between the daemon's look and move. */
#include "db/inside.h"

#include <stdio.h>

static const bool allowed[STATE_COUNT][STATE_COUNT] = {
    /* from               to */
    [STATE_BLOCKED] = { [STATE_QUEUED] = true, [STATE_CANCELLED] = true },
    [STATE_QUEUED] = { [STATE_RUNNING] = true, [STATE_CANCELLED] = true },
    [STATE_RUNNING] = { [STATE_QUEUED] = true,
                        [STATE_SUCCEEDED] = true,
                        [STATE_FAILED] = true,
                        [STATE_CANCELLED] = true },
    [STATE_SUCCEEDED] = { false },
    [STATE_FAILED] = { [STATE_QUEUED] = true, [STATE_BLOCKED] = true },
    [STATE_CANCELLED] = { [STATE_QUEUED] = true, [STATE_BLOCKED] = true },
};

/* The daemon's event beside a worker's own: {"time_ms","type":"state","state"[,"device"|"error"]}. */
int job_state_event(struct connection *on, const struct job_key *job, enum job_state state, const char *device,
                    const char *error, int64_t now_ms)
{
    char *fields = NULL;
    int length;

    if (device)
        length = asprintf(&fields, "{\"time_ms\":%lld,\"type\":\"state\",\"state\":\"%s\",\"device\":\"%s\"}",
                          (long long)now_ms, job_state_names[state], device);
    else
        length = asprintf(&fields, "{\"time_ms\":%lld,\"type\":\"state\",\"state\":\"%s\"%s%s}", (long long)now_ms,
                          job_state_names[state], error ? ",\"error\":" : "", error ? error : "");
    if (length < 0)
        return refuse(-ENOMEM, "out of memory");
    int r = event_store(on, job->number, job->family, 0, now_ms, "state", fields);
    free(fields);
    return r < 0 ? r : deliveries_store(on, job->number, job_state_names[state], error, now_ms);
}

/* ---- consequences ---- */

/* Has a job that ended so ended as the condition says? */
static const bool met[CONDITION_COUNT][STATE_COUNT] = {
    [ON_SUCCESS] = { [STATE_SUCCEEDED] = true },
    [ON_FAILURE] = { [STATE_FAILED] = true, [STATE_CANCELLED] = true },
    [ON_ANY] = { [STATE_SUCCEEDED] = true, [STATE_FAILED] = true, [STATE_CANCELLED] = true },
};

int job_needs_count(struct connection *on, int64_t job, struct job_needs *ret)
{
    query_auto query = { 0 };
    struct job_needs needs = { 0 };
    int r = query_start(on, &query,
                        "SELECT other.state, dependency.condition, other.id FROM dependency"
                        " JOIN job AS other ON other.number = dependency.needs WHERE dependency.job = ?1"
                        " ORDER BY other.state = 'failed' DESC, other.number",
                        VALUES(V(job)));

    while (r >= 0 && (r = query_next(&query)) > 0) {
        enum job_state state = state_read(&query, 0);
        if (!job_state_ended(state)) {
            needs.open++;
        } else if (!met[condition_read(&query, 1)][state] && !needs.hopeless++) {
            needs.how = state;
            query_copy(&query, 2, needs.culprit, sizeof(needs.culprit));
        }
    }
    if (r >= 0)
        *ret = needs;
    return r;
}

/* Move a blocked job on if its dependencies have decided. */
int job_settle(struct connection *on, const struct job_key *job, int64_t now_ms)
{
    static const char *const words[STATE_COUNT] = {
        [STATE_FAILED] = "which this one needs, failed",
        [STATE_CANCELLED] = "which this one needs, was cancelled",
        [STATE_SUCCEEDED] = "for whose failure this one is meant, succeeded",
    };
    struct job_needs needs = { 0 };
    char error[200];
    int r = job_needs_count(on, job->number, &needs);

    if (r < 0)
        return r;
    if (needs.hopeless) {
        snprintf(error, sizeof(error), "{\"code\":\"dependency_%s\",\"message\":\"job %s, %s\"}",
                 job_state_names[needs.how], needs.culprit, words[needs.how]);
        return job_move(on, job, STATE_CANCELLED, NULL, error, now_ms); /* it never ran: nothing of it has failed */
    }
    return needs.open ? 0 : job_move(on, job, STATE_QUEUED, NULL, NULL, now_ms);
}

/* Ids first, moves afterwards: a query must not walk rows that its own loop changes. */
int ids_collect(struct connection *on, const char *sql, const struct value *values, int count,
                char (**ret_ids)[DB_ID_SIZE])
{
    query_auto query = { 0 };
    char(*ids)[DB_ID_SIZE] = NULL;
    int used = 0, capacity = 0;
    int r = query_start(on, &query, sql, values, count);

    while (r >= 0 && (r = query_next(&query)) > 0) {
        r = array_room((void **)&ids, used, &capacity, sizeof(*ids));
        if (r >= 0)
            query_copy(&query, 0, ids[used++], sizeof(*ids));
    }
    if (r < 0) {
        free(ids);
        return r;
    }
    *ret_ids = ids;
    return used;
}

static int dependents_settle(struct connection *on, int64_t job, int64_t now_ms)
{
    char(*ids)[DB_ID_SIZE];
    int count = ids_collect(on,
                            "SELECT other.id FROM dependency JOIN job AS other ON other.number = dependency.job"
                            " WHERE dependency.needs = ?1 AND other.state = 'blocked' ORDER BY other.number",
                            VALUES(V(job)), &ids);
    int r = count;

    for (int i = 0; i < count && r >= 0; i++) {
        struct job_key other;
        r = job_key_find(on, ids[i], &other);
        if (r >= 0 && other.state == STATE_BLOCKED) /* an earlier one's fall may have taken it along */
            r = job_settle(on, &other, now_ms);
    }
    if (count >= 0)
        free(ids);
    return r < 0 ? r : 0;
}

/* What a parent's steps say about it; error is its first failed step's, or what
 * the first cancelled one says, to free(). */
static int parent_wanted(struct connection *on, const char *parent, enum job_state *ret, char **ret_error)
{
    query_auto query = { 0 };
    int64_t active, succeeded, failed, cancelled, running, all;
    int r = query_start(on, &query,
                        "SELECT COUNT(*), COUNT(*) FILTER (WHERE state IN ('blocked','queued','running')),"
                        " COUNT(*) FILTER (WHERE state = 'running'), COUNT(*) FILTER (WHERE state = 'succeeded'),"
                        " COUNT(*) FILTER (WHERE state = 'failed'), COUNT(*) FILTER (WHERE state = 'cancelled'),"
                        " (SELECT error FROM job WHERE parent = ?1 AND error IS NOT NULL"
                        "  ORDER BY state = 'failed' DESC, step LIMIT 1)"
                        " FROM job WHERE parent = ?1",
                        VALUES(V(parent)));

    if (r >= 0)
        r = query_next(&query);
    if (r < 0)
        return r;
    all = query_int(&query, 0);
    active = query_int(&query, 1);
    running = query_int(&query, 2);
    succeeded = query_int(&query, 3);
    failed = query_int(&query, 4);
    cancelled = query_int(&query, 5);
    if (active)
        *ret = running || succeeded || failed || cancelled ? STATE_RUNNING : STATE_QUEUED;
    else
        *ret = failed ? STATE_FAILED : cancelled ? STATE_CANCELLED : all ? STATE_SUCCEEDED : STATE_QUEUED;
    return query_dup(&query, 6, ret_error);
}

/* Bring a parent to where its steps say. The table holds for parents too, so a
 * leap (failed -> running, when a step is retried) goes through queued. */
int parent_follow(struct connection *on, const char *parent, int64_t now_ms)
{
    struct job_key job;
    enum job_state wanted;
    char *error = NULL;
    int r = parent_wanted(on, parent, &wanted, &error);

    if (r >= 0)
        r = job_key_find(on, parent, &job);
    while (r >= 0 && job.state != wanted) {
        enum job_state next = wanted;
        if (!allowed[job.state][wanted])
            next = job.state == STATE_QUEUED ? STATE_RUNNING : STATE_QUEUED;
        r = job_move(on, &job, next, NULL, job_state_ended(next) ? error : NULL, now_ms);
        job.state = next;
    }
    free(error);
    return r;
}

/* ---- the move ---- */

int job_attempt_end(struct connection *on, const struct job_key *job, int64_t ran_ms, int64_t now_ms)
{
    struct db_policy policy;

    if (!job->attempt.began_ms)
        return 0;
    policy_get(on->db, &policy);
    int r = query_run(on, "UPDATE job SET ran_ms = ran_ms + ?2, attempt_ms = 0 WHERE number = ?1",
                      VALUES(V(job->number), V(ran_ms)));
    if (r >= 0)
        r = attempt_time(on, job->number, ran_ms);
    return r < 0 ? r : usage_add(on, &policy, job->owner, ran_ms, now_ms);
}

int job_move(struct connection *on, const struct job_key *job, enum job_state to, const char *result, const char *error,
             int64_t now_ms)
{
    bool ended = job_state_ended(to);

    assert(allowed[job->state][to]);
    int r = job_attempt_end(on, job, attempt_ran(on->db, &job->attempt, now_ms), now_ms);
    if (r < 0)
        return r;
    r = query_run(on,
                  "UPDATE job SET state = ?2,"
                  " started_ms = CASE WHEN ?2 = 'running' AND started_ms = 0 THEN ?3 ELSE started_ms END,"
                  " ended_ms = CASE WHEN ?4 THEN ?3 ELSE 0 END,"
                  " result = COALESCE(?5, result), error = CASE WHEN ?4 THEN ?6 END,"
                  " failure = CASE WHEN ?4 THEN NULL ELSE failure END,"
                  " not_before_ms = CASE WHEN ?4 THEN 0 ELSE not_before_ms END,"
                  " pid = 0, pid_start = 0, boot_id = '' WHERE number = ?1",
                  VALUES(V(job->number), V(job_state_names[to]), V(now_ms), V((int)ended), V(result), V(error)));
    if (r >= 0 && job->state == STATE_RUNNING)
        r = attempt_close(on, job->number, to, error);
    if (r >= 0)
        r = job_state_event(on, job, to, NULL, ended ? error : NULL, now_ms);
    if (r >= 0 && ended)
        r = dependents_settle(on, job->number, now_ms);
    if (r >= 0 && *job->parent)
        r = parent_follow(on, job->parent, now_ms);
    return r < 0 ? r : 0;
}

int db_job_move(struct db *db, const char *id, enum job_state to, const char *result, const char *error, int64_t now_ms)
{
    struct connection *on;
    struct job_key job;
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    r = job_key_find(on, id, &job);
    if (r >= 0 && job.state == STATE_RUNNING && to == STATE_QUEUED && job.cancel_wanted)
        to = STATE_CANCELLED;
    if (r >= 0 && !allowed[job.state][to])
        r = refuse(-ESTALE, "job %s is %s and can't become %s", id, job_state_names[job.state], job_state_names[to]);
    if (r >= 0)
        r = job_move(on, &job, to, result, error, now_ms);
    return writer_end(db, r);
}

int db_job_postpone(struct db *db, const char *id, int64_t until_ms, const char *failure, int64_t now_ms)
{
    struct connection *on;
    struct job_key job;
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    r = job_key_find(on, id, &job);
    if (r >= 0 && job.state != STATE_RUNNING)
        r = refuse(-ESTALE, "job %s is %s and can't be put off", id, job_state_names[job.state]);
    if (r >= 0 && !job.cancel_wanted)
        r = query_run(on, "UPDATE job SET not_before_ms = ?2, failure = ?3 WHERE number = ?1",
                      VALUES(V(job.number), V(until_ms), V(failure)));
    if (r >= 0)
        r = job.cancel_wanted ? job_move(on, &job, STATE_CANCELLED, NULL, NULL, now_ms)
                              : job_move(on, &job, STATE_QUEUED, NULL, failure, now_ms);
    return writer_end(db, r);
}

/* ---- its worker ---- */

int db_job_attempt_end(struct db *db, const char *id, int64_t ran_ms, int64_t now_ms)
{
    struct connection *on;
    struct job_key job;
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    r = job_key_find(on, id, &job);
    if (r >= 0)
        r = job_attempt_end(on, &job, ran_ms, now_ms);
    return writer_end(db, r < 0 ? r : 0);
}

int db_job_started(struct db *db, const char *id, int64_t pid, int64_t pid_start, const char *boot_id)
{
    struct connection *on;
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    r = query_run(on,
                  "UPDATE job SET pid = ?2, pid_start = ?3, boot_id = ?4, attempts = attempts + 1"
                  " WHERE id = ?1 AND state = 'running'",
                  VALUES(V(id), V(pid), V(pid_start), V(boot_id)));
    if (r == 0)
        r = refuse(-ESTALE, "job %s is not running", id);
    if (r > 0)
        r = attempt_begin(on, id, pid);
    return writer_end(db, r < 0 ? r : 0);
}

int db_job_crashed(struct db *db, const char *id)
{
    struct connection *on;
    int crashes = 0;
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    query_auto query = { 0 };
    r = query_start(on, &query, "UPDATE job SET crashes = crashes + 1 WHERE id = ?1 RETURNING crashes", VALUES(V(id)));
    if (r >= 0 && (r = query_next(&query)) > 0) {
        crashes = (int)query_int(&query, 0);
        r = query_next(&query);
    } else if (r == 0) {
        r = refuse(-ENOENT, "no job %.36s", id);
    }
    query_done(&query);
    r = writer_end(db, r);
    return r < 0 ? r : crashes;
}
