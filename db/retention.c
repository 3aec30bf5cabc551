/* What of ended jobs may go, and how do its files go for good?
 *
 *   purge, delete  one transaction: rows go (a whole job's by and by: deletion.c), and the
 *                  names of directories that are to go with them stand in `doomed`
 *   the daemon     moves each out of the way, removes it, takes the name off
 *
 * The names survive a crash between the two, so no file is left that nothing
 * names, and no job is left whose files are gone. What is pinned, what hasn't
 * ended and what a job that hasn't ended needs is refused, in the same transaction. */
#include "db/inside.h"

#include <stdio.h>

/* A part that was looked at and not found has its bit of job.purged up there. */
enum { EVENTS_SLICE = 1000, NOTHING_SHIFT = 8 };

/* ---- which jobs ---- */

int db_aged_list(struct db *db, int parts, int64_t before_ms, int64_t after_ms, int64_t after_number, int limit,
                 struct db_aged **ret)
{
    struct connection *on;
    struct db_aged *list = NULL;
    int count = 0, capacity = 0, r = readers_take(db, &on);

    if (r < 0)
        return r;
    query_auto query = { 0 };
    r = query_start(
        on, &query,
        parts ? "SELECT id, ended_ms, number FROM job INDEXED BY job_by_end WHERE ended_ms > 0 AND ended_ms < ?1"
                " AND (ended_ms, number) > (?2, ?3) AND purged & (?4 | (?4 << 8)) = 0 AND pinned = 0 AND " NOT_GONE
                " ORDER BY ended_ms, number LIMIT ?5"
              : "SELECT id, ended_ms, number FROM job INDEXED BY job_by_end WHERE ended_ms > 0 AND ended_ms < ?1"
                " AND (ended_ms, number) > (?2, ?3) AND parent IS NULL AND pinned = ?4 AND " NOT_GONE
                " ORDER BY ended_ms, number LIMIT ?5",
        VALUES(V(before_ms), V(after_ms), V(after_number), V(parts), V(limit)));
    while (r >= 0 && (r = query_next(&query)) > 0) {
        r = array_room((void **)&list, count, &capacity, sizeof(*list));
        if (r < 0)
            break;
        query_copy(&query, 0, list[count].id, sizeof(list[count].id));
        list[count].ended_ms = query_int(&query, 1);
        list[count++].number = query_int(&query, 2);
    }
    query_done(&query);
    readers_give(db, on);
    if (r < 0) {
        free(list);
        return r;
    }
    *ret = list;
    return count;
}

/* ---- what goes ---- */

static int may_go(struct connection *on, const char *id, struct job_key *ret)
{
    struct job_key parent;
    int64_t pinned = 0;
    int r = job_key_find(on, id, ret);

    if (r >= 0 && !job_state_ended(ret->state))
        return refuse(-ESTALE, "job %s has not ended", id);
    if (r >= 0 && *ret->parent && (r = job_key_find(on, ret->parent, &parent)) >= 0 && !job_state_ended(parent.state))
        return refuse(-ESTALE, "job %s is a step of %s, which has not ended", id, ret->parent);
    if (r >= 0)
        r = number_read(on,
                        JOB_TREE "SELECT COUNT(*) FROM tree JOIN job ON job.number = tree.number WHERE job.pinned = 1",
                        VALUES(V(ret->number)), &pinned);
    if (r >= 0 && pinned)
        return refuse(-ESTALE, "job %s, or a step of it, is pinned", id);
    if (r >= 0)
        r = job_needed(on, ret);
    return r > 0 ? refuse(-ESTALE, "a job that has not ended needs job %s", id) : r;
}

static int doom(struct connection *on, const struct job_key *job, const char *part)
{
    char path[64];

    snprintf(path, sizeof(path), "%s/%s", job->id, part);
    return query_run(on, "INSERT OR IGNORE INTO doomed(path) VALUES(?1)", VALUES(V((const char *)path)));
}

static int checkpoint_go(struct connection *on, const struct job_key *job)
{
    int r = doom(on, job, "checkpoint");

    return r < 0 ? r : 0;
}

static int artifacts_go(struct connection *on, const struct job_key *job)
{
    int r = doom(on, job, "artifacts");

    return r < 0 ? r : query_run(on, "DELETE FROM artifact WHERE job = ?1", VALUES(V(job->number)));
}

/* The newest event, which says that those before it are gone, stays. 1 while there are more. */
static int events_go(struct connection *on, const struct job_key *job)
{
    int r = query_run(on,
                      "DELETE FROM event WHERE id IN (SELECT id FROM event WHERE job = ?1"
                      " AND id < (SELECT MAX(id) FROM event WHERE job = ?1) ORDER BY id LIMIT ?2)",
                      VALUES(V(job->number), V((int)EVENTS_SLICE)));

    return r < 0 ? r : r == EVENTS_SLICE;
}

/* The journal's last line stays: others read the job's result there, and an attempt to come its number. */
static int journal_go(struct connection *on, const struct job_key *job)
{
    int r = doom(on, job, "journal.ndjson");

    if (r >= 0)
        r = doom(on, job, "log.txt");
    return r < 0 ? r : 0;
}

static const struct {
    enum db_part part;
    const char *name;
    int (*go)(struct connection *on, const struct job_key *job);
    bool sliced; /* go says whether there is more */
} parts[] = {
    { PART_CHECKPOINT, "checkpoint", checkpoint_go, false },
    { PART_ARTIFACTS, "artifacts", artifacts_go, false },
    { PART_EVENTS, "events", events_go, true },
    { PART_JOURNAL, "journal", journal_go, false },
};

static int purged_event(struct connection *on, const struct job_key *job, const char *what, int64_t now_ms)
{
    char fields[120];

    snprintf(fields, sizeof(fields), "{\"time_ms\":%lld,\"type\":\"purged\",\"what\":\"%s\"}", (long long)now_ms, what);
    return event_store(on, job->number, job->family, 0, now_ms, "purged", fields);
}

/* Before the first event goes its readers must be able to see that (event_gap.c). */
static int events_mark(struct connection *on, const struct job_key *job, int64_t now_ms)
{
    int64_t marked = 0;
    int r = number_read(on,
                        "SELECT " EVENTS_WENT " FROM event"
                        " WHERE job = ?1 ORDER BY id DESC LIMIT 1",
                        VALUES(V(job->number)), &marked);

    return r < 0 || marked ? r : purged_event(on, job, "events", now_ms);
}

static int purge(struct connection *on, const char *id, int which, bool there, int64_t now_ms)
{
    struct job_key job;
    bool sliced = parts[which].sliced;
    int r = may_go(on, id, &job);

    if (r >= 0 && sliced)
        r = events_mark(on, &job, now_ms);
    if (r >= 0)
        r = parts[which].go(on, &job);
    if (r < 0 || (sliced && r > 0))
        return r;
    there |= sliced || r > 0;
    r = query_run(
        on,
        "UPDATE job SET purged = purged | ?2, purged_ms = CASE WHEN ?3 THEN ?4 ELSE purged_ms END"
        " WHERE number = ?1",
        VALUES(V(job.number), V((int)parts[which].part << (there ? 0 : NOTHING_SHIFT)), V((int)there), V(now_ms)));
    if (r >= 0 && there && !sliced)
        r = purged_event(on, &job, parts[which].name, now_ms);
    return r < 0 ? r : 0;
}

int db_job_purge(struct db *db, const char *id, enum db_part part, bool files, int64_t now_ms)
{
    struct connection *on;
    int which = 0, r = writer_begin(db, &on);

    if (r < 0)
        return r;
    while (parts[which].part != part)
        which++;
    return writer_end(db, purge(on, id, which, files, now_ms));
}

int db_job_expire(struct db *db, const char *id)
{
    struct connection *on;
    struct job_key job;
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    r = may_go(on, id, &job);
    if (r >= 0)
        r = job_delete(on, id);
    return writer_end(db, r);
}

/* ---- directories on their way out ---- */

int db_doomed_list(struct db *db, int limit, char (**ret_paths)[64])
{
    struct connection *on;
    char(*paths)[64] = NULL;
    int count = 0, capacity = 0, r = readers_take(db, &on);

    if (r < 0)
        return r;
    query_auto query = { 0 };
    r = query_start(on, &query, "SELECT path FROM doomed WHERE path > '' ORDER BY path LIMIT ?1", VALUES(V(limit)));
    while (r >= 0 && (r = query_next(&query)) > 0) {
        r = array_room((void **)&paths, count, &capacity, sizeof(*paths));
        if (r >= 0)
            query_copy(&query, 0, paths[count++], sizeof(*paths));
    }
    query_done(&query);
    readers_give(db, on);
    if (r < 0) {
        free(paths);
        return r;
    }
    *ret_paths = paths;
    return count;
}

int db_doomed_has(struct db *db, const char *path)
{
    int64_t found = 0;
    int r = number_select(db, "SELECT EXISTS(SELECT 1 FROM doomed WHERE path = ?1)", VALUES(V(path)), &found);

    return r < 0 ? r : found > 0;
}

int db_doomed_done(struct db *db, const char *path)
{
    struct connection *on;
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    r = query_run(on, "DELETE FROM doomed WHERE path = ?1", VALUES(V(path)));
    return writer_end(db, r < 0 ? r : 0);
}
