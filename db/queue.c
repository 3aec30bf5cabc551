/* What stands in the queue, from its head on?
 *
 * Whoever looks at a queue of ten thousand jobs wants its head. Within one owner
 * and one wish for a device the index has the order already (claim.c says what it
 * is); so the first few of each are taken, their scores compared, and only those
 * that are shown are read. */
#include "db/inside.h"

#include <stdio.h>
#include <stdlib.h>

/* A queued job that may be among the first. */
struct candidate {
    int64_t number, score;
};

struct candidates {
    struct candidate *list;
    int count, capacity;
};

static int candidate_order(const void *left, const void *right)
{
    const struct candidate *a = left, *b = right;

    if (a->score != b->score)
        return a->score < b->score ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

/* The next device that runnable jobs of the owner wish for, in order of names: 1, or 0. */
static int wants_next(struct connection *on, const char *owner, char wants[64])
{
    query_auto query = { 0 };
    char next[64];
    int r = query_start(on, &query,
                        "SELECT wants FROM " BY_RUNNABLE " WHERE " RUNNABLE " AND owner = ?1 AND wants > ?2"
                        " ORDER BY wants LIMIT 1",
                        VALUES(V(owner), V((const char *)wants)));

    if (r >= 0)
        r = query_next(&query);
    if (r <= 0)
        return r;
    query_copy(&query, 0, next, sizeof(next));
    memcpy(wants, next, sizeof(next));
    return 1;
}

/* The first ones of an owner that wish for this device. */
static int first_take(struct connection *on, const struct db_share *share, const char *wants, int limit,
                      struct candidates *candidates)
{
    query_auto query = { 0 };
    int r = query_start(on, &query,
                        "SELECT number, rank FROM " BY_RUNNABLE " WHERE " RUNNABLE " AND owner = ?1 AND wants = ?2"
                        " ORDER BY rank, number LIMIT ?3",
                        VALUES(V(share->owner), V(wants), V(limit)));

    while (r >= 0 && (r = query_next(&query)) > 0) {
        r = array_room((void **)&candidates->list, candidates->count, &candidates->capacity, sizeof(struct candidate));
        if (r >= 0)
            candidates->list[candidates->count++] =
                (struct candidate){ query_int(&query, 0), query_int(&query, 1) + share->penalty_ms };
    }
    return r;
}

static int candidates_find(struct connection *on, int limit, int64_t now_ms, struct candidates *ret)
{
    struct db_share *shares = NULL;
    int count = share_list(on, now_ms, &shares), r = count;

    for (int i = 0; i < count && r >= 0; i++) {
        char wants[64] = "";
        while (r >= 0 && (r = wants_next(on, shares[i].owner, wants)) > 0)
            r = first_take(on, &shares[i], wants, limit, ret);
    }
    free(shares);
    if (r >= 0 && ret->count)
        qsort(ret->list, (size_t)ret->count, sizeof(*ret->list), candidate_order);
    return r < 0 ? r : 0;
}

/* The queue while it is put together. */
struct line {
    struct connection *on;
    struct db_job *jobs;
    int count, capacity, limit;
};

/* Put the jobs of a query at the end, as far as there is room. */
static int line_add(struct line *line, const char *where, int64_t value)
{
    query_auto query = { 0 };
    char sql[1200];

    snprintf(sql, sizeof(sql), "SELECT %s FROM job WHERE %s", job_columns, where);
    int r = query_start(line->on, &query, sql, VALUES(V(value)));
    while (r >= 0 && line->count < line->limit && (r = query_next(&query)) > 0) {
        r = array_room((void **)&line->jobs, line->count, &line->capacity, sizeof(*line->jobs));
        if (r >= 0)
            r = job_read(&query, false, &line->jobs[line->count]);
        line->count += r >= 0;
    }
    return r < 0 ? r : 0;
}

static int line_fill(struct line *line, int64_t now_ms)
{
    struct candidates candidates = { 0 };
    int r = line_add(line, "state = 'running' AND " HAS_WORKER " ORDER BY number LIMIT ?1", line->limit);

    if (r >= 0)
        r = candidates_find(line->on, line->limit, now_ms, &candidates);
    for (int i = 0; i < candidates.count && line->count < line->limit && r >= 0; i++)
        r = line_add(line, "number = ?1", candidates.list[i].number);
    free(candidates.list);
    if (r >= 0)
        r = line_add(line, "held = 1 AND state = 'queued' AND " HAS_WORKER " ORDER BY number LIMIT ?1", line->limit);
    if (r >= 0)
        r = line_add(line, "state = 'blocked' AND " HAS_WORKER " ORDER BY number LIMIT ?1", line->limit);
    return r;
}

int db_queue_list(struct db *db, int limit, int64_t now_ms, struct db_job **ret)
{
    struct line line = { .limit = limit };
    int r = readers_take(db, &line.on);

    if (r < 0)
        return r;
    r = query_run(line.on, "BEGIN", NO_VALUES); /* one moment for all of it */
    if (r >= 0) {
        r = line_fill(&line, now_ms);
        sqlite3_exec(line.on->sqlite, "ROLLBACK", NULL, NULL, NULL);
    }
    readers_give(db, line.on);
    if (r < 0) {
        db_jobs_free(line.jobs, line.count);
        return r;
    }
    *ret = line.jobs;
    return line.count;
}

static int depths_read(struct connection *on, struct db_depth **ret)
{
    query_auto query = { 0 };
    struct db_depth *depths = NULL;
    int count = 0, capacity = 0;
    /* The index has all that is asked for: no row is looked at. */
    int r = query_start(on, &query,
                        "SELECT priority, COUNT(*) FROM " BY_RUNNABLE " WHERE " RUNNABLE
                        " GROUP BY priority ORDER BY priority",
                        NO_VALUES);

    while (r >= 0 && (r = query_next(&query)) > 0) {
        r = array_room((void **)&depths, count, &capacity, sizeof(*depths));
        if (r >= 0)
            depths[count++] = (struct db_depth){ (int)query_int(&query, 0), query_int(&query, 1) };
    }
    if (r < 0) {
        free(depths);
        return r;
    }
    *ret = depths;
    return count;
}

int db_queue_depths(struct db *db, struct db_depth **ret)
{
    struct connection *on;
    int r = readers_take(db, &on);

    if (r < 0)
        return r;
    r = depths_read(on, ret);
    readers_give(db, on);
    return r;
}
