/* What became of each time that a worker was started for a job?
 *
 *   db_job_started       a row: device, process, since when
 *   db_attempt_tell      how the process ended, as far as the daemon knows
 *   job_attempt_end      how long it ran; nobody else says when it ended
 *   job_move             what the job became by it, and why
 *
 * An attempt is open while it has no state; a job has at most one of those. Surprising: a
 * second worker that found the first at work, or one that riftd couldn't record before it
 * died, isn't an attempt of its own: the open row is told the new process. */
#include "db/inside.h"

enum { ATTEMPTS_SHOWN = 50 }; /* of a job that is preempted for weeks the newest are enough */

int attempt_begin(struct connection *on, const char *id, int64_t pid)
{
    int r = query_run(on,
                      "UPDATE attempt SET pid = ?2, number = (SELECT attempts FROM job WHERE id = ?1)"
                      " WHERE job = (SELECT number FROM job WHERE id = ?1) AND state = ''",
                      VALUES(V(id), V(pid)));

    if (r == 0)
        r = query_run(on,
                      "INSERT OR REPLACE INTO attempt(job, number, device, pid, began_ms)"
                      " SELECT number, attempts, device, ?2, attempt_ms FROM job WHERE id = ?1",
                      VALUES(V(id), V(pid)));
    return r < 0 ? r : 0;
}

int attempt_time(struct connection *on, int64_t job, int64_t ran_ms)
{
    int r = query_run(on,
                      "UPDATE attempt SET ran_ms = ?2, ended_ms = began_ms + ?2"
                      " WHERE job = ?1 AND state = '' AND ended_ms = 0",
                      VALUES(V(job), V(ran_ms)));

    return r < 0 ? r : 0;
}

int attempt_close(struct connection *on, int64_t job, enum job_state to, const char *error)
{
    int r = query_run(on, "UPDATE attempt SET state = ?2, error = ?3 WHERE job = ?1 AND state = ''",
                      VALUES(V(job), V(job_state_names[to]), V(error)));

    return r < 0 ? r : 0;
}

int db_attempt_tell(struct db *db, const char *id, const struct db_attempt_end *end)
{
    struct connection *on;
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    r = query_run(on,
                  "UPDATE attempt SET ending = ?2, exit_code = CASE WHEN ?3 < 0 THEN exit_code ELSE ?3 END,"
                  " signal = CASE WHEN ?4 <= 0 THEN signal ELSE ?4 END"
                  " WHERE job = (SELECT number FROM job WHERE id = ?1) AND state = ''",
                  VALUES(V(id), V(end->how), V(end->exit_code), V(end->signal)));
    return writer_end(db, r < 0 ? r : 0);
}

/* ---- reading ---- */

void db_attempts_free(struct db_attempt *attempts, int count)
{
    for (int i = 0; i < count; i++)
        free(attempts[i].error);
    free(attempts);
}

/* A row of: number, device, pid, began_ms, ended_ms, ran_ms, state, ending, exit_code, signal, error. */
static int attempt_row_read(const struct query *query, struct db_attempt *ret)
{
    *ret = (struct db_attempt){ .number = (int)query_int(query, 0),
                                .pid = query_int(query, 2),
                                .began_ms = query_int(query, 3),
                                .ended_ms = query_int(query, 4),
                                .ran_ms = query_int(query, 5),
                                .exit_code = (int)query_int(query, 8),
                                .signal = (int)query_int(query, 9) };
    query_copy(query, 1, ret->device, sizeof(ret->device));
    query_copy(query, 6, ret->state, sizeof(ret->state));
    query_copy(query, 7, ret->how, sizeof(ret->how));
    return query_dup(query, 10, &ret->error);
}

int db_attempt_list(struct db *db, const char *id, struct db_attempt **ret)
{
    struct db_attempt *attempts = NULL;
    struct connection *on;
    int found = 0, capacity = 0;
    int r = readers_take(db, &on);

    if (r < 0)
        return r;
    query_auto query = { 0 };
    r = query_start(on, &query,
                    "SELECT * FROM (SELECT number, device, pid, began_ms, ended_ms, ran_ms, state, ending, exit_code,"
                    " signal, error FROM attempt WHERE job = (SELECT number FROM job WHERE id = ?1)"
                    " ORDER BY number DESC LIMIT ?2) ORDER BY number",
                    VALUES(V(id), V((int)ATTEMPTS_SHOWN)));
    while (r >= 0 && (r = query_next(&query)) > 0) {
        r = array_room((void **)&attempts, found, &capacity, sizeof(*attempts));
        if (r >= 0)
            r = attempt_row_read(&query, &attempts[found]);
        found += r >= 0;
    }
    query_done(&query);
    readers_give(db, on);
    if (r < 0) {
        db_attempts_free(attempts, found);
        return r;
    }
    *ret = attempts;
    return found;
}
