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
 * One table says which moves are allowed, one function (job_move_alone) makes them,
 * one assert stands in it. A move also writes a `state` event; what it means for other
 * jobs is follow.c's business, in the same transaction.
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

bool job_move_allowed(enum job_state from, enum job_state to)
{
    return allowed[from][to];
}

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

int job_move_alone(struct connection *on, const struct job_key *job, enum job_state to, const char *result,
                   const char *error, int64_t now_ms)
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
    return r < 0 ? r : job_state_event(on, job, to, NULL, ended ? error : NULL, now_ms);
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
