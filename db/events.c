/* How does a journal become rows?
 *
 * A batch of events, the rows they bring and the byte offset they end at are
 * one transaction: after a crash the offset says exactly which lines are in.
 * Two guards make a replay harmless: a batch must start at the stored offset,
 * and events whose seq isn't above the job's highest are passed over.
 *
 * Surprising: a journal can come back shorter than it was read, from a power cut
 * or a backup, and go on with other words under the same numbers. It is then read
 * again from its start, and what the journal no longer says is forgotten; points
 * and outcomes stay, since they are of the same training. */
#include "db/inside.h"

int event_store(struct connection *on, int64_t job, int64_t family, int64_t seq, int64_t time_ms, const char *type,
                const char *fields)
{
    int r = query_run(on, "INSERT INTO event(job, family, seq, time_ms, type, fields) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
                      VALUES(V(job), V(family), V(seq), V(time_ms), V(type), V(fields)));

    return r < 0 ? r : 0;
}

/* Where a job's journal stands. */
struct place {
    int64_t number, family, offset, seq;
};

static int place_find(struct connection *on, const char *job, struct place *ret)
{
    query_auto query = { 0 };
    int r = query_start(on, &query, "SELECT number, family, journal_offset, journal_seq FROM job WHERE id = ?1",
                        VALUES(V(job)));

    if (r >= 0)
        r = query_next(&query);
    if (r < 0)
        return r;
    if (r == 0)
        return refuse(-ENOENT, "no job %.36s", job);
    *ret = (struct place){ query_int(&query, 0), query_int(&query, 1), query_int(&query, 2), query_int(&query, 3) };
    return 0;
}

/* Store one event of the journal. 1; 0 when it is there already, word for word. */
static int journal_event_store(struct connection *on, const struct place *place, const struct db_ingest_event *event)
{
    query_auto query = { 0 };
    int r = query_start(on, &query, "SELECT fields = ?3 FROM event WHERE job = ?1 AND seq = ?2 AND seq > 0",
                        VALUES(V(place->number), V(event->seq), V(event->fields)));

    if (r >= 0)
        r = query_next(&query);
    bool known = r > 0, same = known && query_int(&query, 0);
    query_done(&query);
    if (same)
        return 0;
    if (known)
        r = query_run(on, "DELETE FROM event WHERE job = ?1 AND seq >= ?2 AND seq > 0",
                      VALUES(V(place->number), V(event->seq)));
    if (r >= 0)
        r = event_store(on, place->number, place->family, event->seq, event->time_ms, event->type, event->fields);
    return r < 0 ? r : 1;
}

static int ingest(struct connection *on, const char *job, int64_t from_offset, int64_t end_offset,
                  const struct db_ingest_event *events, int count)
{
    struct place place = { 0 };
    int r = place_find(on, job, &place);

    if (r < 0)
        return r;
    if (place.offset != from_offset)
        return refuse(-ESTALE, "job %s: journal is ingested to byte %lld, not %lld", job, (long long)place.offset,
                      (long long)from_offset);
    for (int i = 0; i < count && r >= 0; i++) {
        const struct db_ingest_event *event = &events[i];
        if (event->seq <= place.seq)
            continue;
        place.seq = event->seq;
        r = journal_event_store(on, &place, event);
        if (r == 0)
            continue;
        if (r >= 0 && strcmp(event->type, "checkpoint") == 0)
            r = query_run(on, "UPDATE job SET crashes = 0 WHERE number = ?1", VALUES(V(place.number)));
        if (r >= 0)
            r = row_store(on, place.number, event->time_ms, &event->row);
    }
    if (r >= 0)
        r = query_run(on, "UPDATE job SET journal_offset = ?2, journal_seq = ?3 WHERE number = ?1",
                      VALUES(V(place.number), V(end_offset), V(place.seq)));
    return r < 0 ? r : 0;
}

int db_ingest(struct db *db, const char *job, int64_t from_offset, int64_t end_offset,
              const struct db_ingest_event *events, int count)
{
    struct connection *on;
    int r = writer_begin(db, &on);

    return r < 0 ? r : writer_end(db, ingest(on, job, from_offset, end_offset, events, count));
}

int db_journal_rewind(struct db *db, const char *job)
{
    struct connection *on;
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    r = query_run(on, "UPDATE job SET journal_offset = 0, journal_seq = 0 WHERE id = ?1", VALUES(V(job)));
    if (r == 0)
        r = refuse(-ENOENT, "no job %.36s", job);
    return writer_end(db, r < 0 ? r : 0);
}

int db_journal_cut(struct db *db, const char *job, int64_t offset)
{
    struct connection *on;
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    r = query_run(on, "UPDATE job SET journal_offset = ?2 WHERE id = ?1", VALUES(V(job), V(offset)));
    if (r == 0)
        r = refuse(-ENOENT, "no job %.36s", job);
    return writer_end(db, r < 0 ? r : 0);
}

/* ---- reading ---- */

void db_events_free(struct db_event *events, int count)
{
    for (int i = 0; i < count; i++)
        free(events[i].fields);
    free(events);
}

/* A row of: event.id, job.id, seq, time_ms, type, fields. */
static int event_read(const struct query *query, struct db_event *ret)
{
    *ret = (struct db_event){ .id = query_int(query, 0), .seq = query_int(query, 2), .time_ms = query_int(query, 3) };
    query_copy(query, 1, ret->job, sizeof(ret->job));
    query_copy(query, 4, ret->type, sizeof(ret->type));
    return query_dup(query, 5, &ret->fields);
}

static int events_read(struct query *query, struct db_event **ret)
{
    struct db_event *events = NULL;
    int count = 0, capacity = 0;
    int r;

    while ((r = query_next(query)) > 0) {
        r = array_room((void **)&events, count, &capacity, sizeof(*events));
        if (r < 0)
            break;
        r = event_read(query, &events[count]);
        if (r < 0)
            break;
        count++;
    }
    if (r < 0) {
        db_events_free(events, count);
        return r;
    }
    *ret = events;
    return count;
}

#define EVENTS_WHERE(condition)                                                                                        \
    "SELECT event.id, job.id, seq, time_ms, type, fields FROM event JOIN job ON job.number = event.job "               \
    "WHERE " condition " AND " NOT_GONE " ORDER BY event.id LIMIT ?2"

static int events_select(struct connection *on, const char *job, int64_t after, int limit, struct db_event **ret)
{
    query_auto query = { 0 };
    struct job_key key;
    int r;

    limit = limit > 0 ? limit : -1;
    if (!job) {
        r = query_start(on, &query, EVENTS_WHERE("event.id > ?1"), VALUES(V(after), V(limit)));
    } else {
        r = job_key_find(on, job, &key);
        if (r < 0)
            return r;
        /* A parent's stream holds its steps' events too: they share its family. A rift job of a sweep is
         * of the sweep's family itself. */
        r = query_start(on, &query,
                        !*key.parent    ? EVENTS_WHERE("event.family = ?3 AND event.id > ?1")
                        : key.is_parent ? EVENTS_WHERE("(event.job = ?3 OR event.family = ?3) AND event.id > ?1")
                                        : EVENTS_WHERE("event.job = ?3 AND event.id > ?1"),
                        VALUES(V(after), V(limit), V(key.number)));
    }
    return r < 0 ? r : events_read(&query, ret);
}

int db_event_list(struct db *db, const char *job, int64_t after, int limit, struct db_event **ret)
{
    struct connection *on;
    int r = readers_take(db, &on);

    if (r < 0)
        return r;
    r = events_select(on, job, after, limit, ret);
    readers_give(db, on);
    return r;
}

static int event_last(struct connection *on, const char *job, struct db_event *ret, bool *ret_fresh)
{
    query_auto query = { 0 };
    struct job_key key;
    int r = job_key_find(on, job, &key);

    if (r >= 0)
        r = query_start(on, &query,
                        "SELECT id, ?2, seq, time_ms, type, fields, id > COALESCE((SELECT id FROM event"
                        " WHERE job = ?1 AND type = 'state' AND seq = 0 ORDER BY id DESC LIMIT 1), 0)"
                        " FROM event WHERE job = ?1 AND +seq > 0 ORDER BY id DESC LIMIT 1", /* +: backwards by id */
                        VALUES(V(key.number), V(job)));
    if (r >= 0)
        r = query_next(&query);
    if (r < 0)
        return r;
    if (r == 0)
        return refuse(-ENOENT, "job %.36s has no journal yet", job);
    *ret_fresh = query_int(&query, 6) != 0;
    return event_read(&query, ret);
}

int db_event_last(struct db *db, const char *job, struct db_event *ret, bool *ret_fresh)
{
    struct connection *on;
    int r = readers_take(db, &on);

    if (r < 0)
        return r;
    r = event_last(on, job, ret, ret_fresh);
    readers_give(db, on);
    return r;
}

int db_event_newest(struct db *db, int64_t *ret_id)
{
    return number_select(db, "SELECT COALESCE(MAX(id), 0) FROM event", NO_VALUES, ret_id);
}
