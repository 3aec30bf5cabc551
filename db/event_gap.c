/* Can a reader who has everything up to an event still be told everything since?
 *
 * Not when retention has taken events away since (it leaves an event `purged` behind,
 * which is younger than all that went), and not when the reader has seen events that
 * this file hasn't had yet: then it is an older one, put back from a backup. */
#include "db/inside.h"

#define PURGED(condition)                                                                                              \
    "SELECT 1 FROM event WHERE " condition " AND id > ?1 AND type = 'purged' AND seq = 0"                              \
    " AND fields LIKE '%\"what\":\"events\"%' LIMIT 1"

static int purged_find(struct connection *on, const struct job_key *job, int64_t after)
{
    query_auto query = { 0 };
    int r;

    if (!job)
        r = query_start(on, &query, PURGED("1"), VALUES(V(after)));
    else /* as events.c chooses what a stream holds */
        r = query_start(on, &query,
                        !*job->parent    ? PURGED("family = ?2")
                        : job->is_parent ? PURGED("(job = ?2 OR family = ?2)")
                                         : PURGED("job = ?2"),
                        VALUES(V(after), V(job->number)));
    return r < 0 ? r : query_next(&query);
}

static int gap_find(struct connection *on, const char *id, int64_t after)
{
    query_auto query = { 0 };
    struct job_key job;
    int r = query_start(on, &query, "SELECT seq < ?1 FROM sqlite_sequence WHERE name = 'event'", VALUES(V(after)));

    if (r >= 0)
        r = query_next(&query);
    if (r < 0)
        return r;
    if (!r || query_int(&query, 0)) /* no row: there has been no event at all */
        return DB_GAP_AHEAD;
    if (id && (r = job_key_find(on, id, &job)) < 0)
        return r;
    r = purged_find(on, id ? &job : NULL, after);
    return r > 0 ? DB_GAP_PURGED : r;
}

int db_event_gap(struct db *db, const char *job, int64_t after)
{
    struct connection *on;
    int r = after > 0 ? readers_take(db, &on) : 0;

    if (r < 0 || after <= 0)
        return r;
    r = gap_find(on, job, after);
    readers_give(db, on);
    return r;
}
