/* One job has moved: what does that mean for others?
 *
 *   it has ended   -> who waits for it is unblocked when the last it needs has ended as
 *                     it was to; one that ended otherwise cancels it (its error says which)
 *   it has moved   -> its parent follows its steps
 *
 * A parent (rift, sweep) has no worker of its own; a step may be a parent itself:
 *   a step is active: running if anything has happened yet, else queued
 *   none is active:   failed or cancelled if a step ended so, else succeeded
 *
 * All of it happens in the transaction of the first move. Moves that follow from
 * moves stand in two lists, and not on the stack: a chain of ten thousand jobs, each
 * waiting for the one before, falls as one whose first job fails. Parents come last,
 * so that they see where their steps have come to and none of the states between. */
#include "db/inside.h"

#include <stdio.h>

/* What is still to be followed. */
struct wake {
    int64_t *ended; /* numbers of jobs */
    int ended_count, ended_capacity, ended_done;
    char (*parents)[DB_ID_SIZE];
    int parent_count, parent_capacity, parents_done;
};

static int ended_add(struct wake *wake, int64_t number)
{
    int r = array_room((void **)&wake->ended, wake->ended_count, &wake->ended_capacity, sizeof(*wake->ended));

    if (r >= 0)
        wake->ended[wake->ended_count++] = number;
    return r;
}

/* A parent that is to be looked at already is looked at once. */
static int parent_add(struct wake *wake, const char *id)
{
    for (int i = wake->parents_done; i < wake->parent_count; i++)
        if (strcmp(wake->parents[i], id) == 0)
            return 0;
    int r = array_room((void **)&wake->parents, wake->parent_count, &wake->parent_capacity, sizeof(*wake->parents));
    if (r >= 0)
        snprintf(wake->parents[wake->parent_count++], DB_ID_SIZE, "%s", id);
    return r;
}

/* Move the job, and note what follows from it. */
static int move(struct connection *on, const struct job_key *job, enum job_state to, const char *result,
                const char *error, int64_t now_ms, struct wake *wake)
{
    int r = job_move_alone(on, job, to, result, error, now_ms);

    if (r >= 0 && job_state_ended(to))
        r = ended_add(wake, job->number);
    if (r >= 0 && *job->parent)
        r = parent_add(wake, job->parent);
    return r < 0 ? r : 0;
}

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
static int settle(struct connection *on, const struct job_key *job, int64_t now_ms, struct wake *wake)
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
        return move(on, job, STATE_CANCELLED, NULL, error, now_ms, wake); /* it never ran: nothing of it has failed */
    }
    return needs.open ? 0 : move(on, job, STATE_QUEUED, NULL, NULL, now_ms, wake);
}

/* CROSS JOIN is taken in the order it stands in: from who needs this one. SQLite, which has no
 * statistics, would walk all blocked jobs at the end of every job. */
static int dependents_settle(struct connection *on, int64_t job, int64_t now_ms, struct wake *wake)
{
    char(*ids)[DB_ID_SIZE];
    int count = ids_collect(on,
                            "SELECT other.id FROM dependency CROSS JOIN job AS other ON other.number = dependency.job"
                            " WHERE dependency.needs = ?1 AND other.state = 'blocked' ORDER BY other.number",
                            VALUES(V(job)), &ids);
    int r = count;

    for (int i = 0; i < count && r >= 0; i++) {
        struct job_key other;
        r = job_key_find(on, ids[i], &other);
        if (r >= 0 && other.state == STATE_BLOCKED) /* an earlier one's fall may have taken it along */
            r = settle(on, &other, now_ms, wake);
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
static int follow(struct connection *on, const char *parent, int64_t now_ms, struct wake *wake)
{
    struct job_key job;
    enum job_state wanted;
    char *error = NULL;
    int r = parent_wanted(on, parent, &wanted, &error);

    if (r >= 0)
        r = job_key_find(on, parent, &job);
    while (r >= 0 && job.state != wanted) {
        enum job_state next = wanted;
        if (!job_move_allowed(job.state, wanted))
            next = job.state == STATE_QUEUED ? STATE_RUNNING : STATE_QUEUED;
        r = move(on, &job, next, NULL, job_state_ended(next) ? error : NULL, now_ms, wake);
        job.state = next;
    }
    free(error);
    return r;
}

/* ---- until nothing follows any more ---- */

/* r is what the first move gave. */
static int wake_all(struct connection *on, struct wake *wake, int r, int64_t now_ms)
{
    char parent[DB_ID_SIZE];

    while (r >= 0 && (wake->ended_done < wake->ended_count || wake->parents_done < wake->parent_count)) {
        if (wake->ended_done < wake->ended_count) {
            r = dependents_settle(on, wake->ended[wake->ended_done++], now_ms, wake);
        } else {
            memcpy(parent, wake->parents[wake->parents_done++], sizeof(parent)); /* the list may grow */
            r = follow(on, parent, now_ms, wake);
        }
    }
    free(wake->ended);
    free(wake->parents);
    return r < 0 ? r : 0;
}

int job_move(struct connection *on, const struct job_key *job, enum job_state to, const char *result, const char *error,
             int64_t now_ms)
{
    struct wake wake = { 0 };

    return wake_all(on, &wake, move(on, job, to, result, error, now_ms, &wake), now_ms);
}

int job_settle(struct connection *on, const struct job_key *job, int64_t now_ms)
{
    struct wake wake = { 0 };

    return wake_all(on, &wake, settle(on, job, now_ms, &wake), now_ms);
}

int parent_follow(struct connection *on, const char *parent, int64_t now_ms)
{
    struct wake wake = { 0 };

    return wake_all(on, &wake, follow(on, parent, now_ms, &wake), now_ms);
}
