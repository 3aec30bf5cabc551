/* Can a reader who has everything up to an event still be told everything since?
 *
 * Not when retention has taken events away since (it leaves an event `purged` behind,
 * which is younger than all that went), and not when the reader has seen events that
 * this file hasn't had yet: then it is an older one, put back from a backup. */
#include "db/inside.h"

#define WENT(index, condition)                                                                                         \
    "EXISTS(SELECT 1 FROM event INDEXED BY " index " WHERE " EVENTS_WENT " AND " condition " AND id > ?1)"

static const char of_all[] = "SELECT " WENT("event_gap", "1");
static const char of_job[] = "SELECT " WENT("event_gap_by_job", "job = ?2");
static const char of_family[] = "SELECT " WENT("event_gap_by_family", "family = ?2");
static const char of_both[] =
    "SELECT " WENT("event_gap_by_job", "job = ?2") " OR " WENT("event_gap_by_family", "family = ?2");

static int purged_find(struct connection *on, const struct job_key *job, int64_t after)
{
    int64_t found = 0;
    int r;

    if (!job)
        r = number_read(on, of_all, VALUES(V(after)), &found);
    else /* as events.c chooses what a stream holds */
        r = number_read(on,
                        !*job->parent    ? of_family
                        : job->is_parent ? of_both
                                         : of_job,
                        VALUES(V(after), V(job->number)), &found);
    return r < 0 ? r : found > 0;
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
