/* How does a journal get into the database?
 *
 * Whole lines from the offset on, taken apart by one table of event types, put
 * in by batches with the offset after their last line. Whatever an event lacks,
 * it is stored as an event; it then only brings no row.
 *
 * The journal is the truth and the database follows it. When a power cut or a
 * restored backup has left a shorter journal than we have read, it is read again
 * from its start: what is known passes by, and where it goes on otherwise the
 * database forgets its own version (db/events.c). */
#include "daemon/daemon.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 512 };

/* Which member of an event is which member of a row. NULL: it has none. */
static const struct row_shape {
    const char *type;
    enum db_row_type row;
    const char *name, *step, *value; /* name and value are required where they are named */
} shapes[] = {
    { "metric", ROW_METRIC, "name", "step", "value" },  { "module", ROW_MODULE, "module", "pass", NULL },
    { "alpha", ROW_ALPHA, NULL, NULL, "alpha" },        { "evaluation", ROW_EVALUATION, "name", NULL, NULL },
    { "artifact", ROW_ARTIFACT, "name", NULL, "size" }, { "progress", ROW_PROGRESS, NULL, NULL, NULL },
};

struct batch {
    struct daemon *daemon;
    const char *id;
    struct fault *why;
    int64_t *offset; /* where the database stands */
    int64_t end;     /* after the last event taken in */
    struct db_ingest_event events[BATCH];
    json_t *json[BATCH]; /* what the events' strings point into */
    int count, total;
    int failed; /* why the database did not take the events */
};

static double number(const json_t *event, const char *key)
{
    const json_t *value = json_object_get(event, key);

    return json_is_number(value) ? json_number_value(value) : NAN;
}

static struct db_row row_make(const json_t *event, const char *type, const char *text)
{
    const struct row_shape *shape = NULL;

    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        if (strcmp(shapes[i].type, type) == 0)
            shape = &shapes[i];
    if (!shape)
        return (struct db_row){ .type = ROW_NONE };
    struct db_row row = {
        .type = shape->row,
        .name = shape->name ? json_string_value(json_object_get(event, shape->name)) : NULL,
        .step = shape->step ? json_integer_value(json_object_get(event, shape->step)) : 0,
        .epoch = number(event, "epoch"),
        .value = shape->value ? number(event, shape->value) : NAN,
        .sha256 = json_string_value(json_object_get(event, "sha256")),
        .fields = text,
    };
    row.alpha = row.value;
    row.size = json_integer_value(json_object_get(event, "size"));
    bool named = row.name && (row.type != ROW_METRIC || strlen(row.name) < sizeof(((struct db_series *)NULL)->name));
    bool whole = (!shape->name || named) && (row.type != ROW_ALPHA || !isnan(row.alpha)) &&
                 (row.type != ROW_ARTIFACT || (row.sha256 && artifact_name_valid(row.name)));
    if (!whole)
        row.type = ROW_NONE;
    return row;
}

static void batch_empty(struct batch *batch)
{
    for (int i = 0; i < batch->count; i++) {
        free((char *)batch->events[i].fields);
        json_decref(batch->json[i]);
    }
    batch->count = 0;
}

static int batch_store(struct batch *batch)
{
    int r = 0;

    if (batch->count && !batch->failed) {
        r = db_ingest(batch->daemon->db, batch->id, *batch->offset, batch->end, batch->events, batch->count);
        if (r >= 0)
            *batch->offset = batch->end;
        else
            batch->failed = fault_set(batch->why, r, "its journal cannot be stored: %s", db_errmsg(batch->daemon->db));
    }
    batch_empty(batch);
    return r;
}

static int see(json_t *event, int64_t end_offset, void *user)
{
    struct batch *batch = user;
    char *text = json_dumps(event, JSON_COMPACT);
    const char *type = json_string_value(json_object_get(event, "type"));

    if (!text)
        return -ENOMEM;
    batch->json[batch->count] = json_incref(event);
    batch->events[batch->count++] = (struct db_ingest_event){
        .seq = json_integer_value(json_object_get(event, "seq")),
        .time_ms = json_integer_value(json_object_get(event, "time_ms")),
        .type = type,
        .fields = text,
        .row = row_make(event, type, text),
    };
    batch->end = end_offset;
    batch->total++;
    return batch->count == BATCH ? batch_store(batch) : 0;
}

/* Trouble of the machine, not of the journal: it may pass. */
static bool passes(int r)
{
    return r == -ENOMEM || r == -EMFILE || r == -ENFILE || r == -EIO || r == -ENOSPC || r == -EDQUOT;
}

/* The same with -ESTALE when the journal isn't the one that was read so far. */
static int ingest(struct daemon *daemon, const char *id, const char *path, int64_t *offset, struct fault *why)
{
    struct batch *batch = calloc(1, sizeof(*batch));
    int64_t at = *offset;

    if (!batch)
        return fault_set(why, -ENOMEM, "out of memory");
    *batch = (struct batch){ .daemon = daemon, .id = id, .why = why, .offset = offset };
    int r = journal_read(path, &at, see, batch, why);
    batch_store(batch); /* what came before a damaged line is good */
    int total = batch->total, failed = batch->failed;
    free(batch);
    if (total)
        api_news(daemon->api);
    if (failed)
        return failed == -EEXIST || failed == -EINVAL ? -EBADMSG : failed; /* no row can be like that */
    if (r >= 0)
        return total;
    if (r == -ENOENT && !*offset)
        return 0;
    if (r == -ENOENT || r == -ESTALE)
        return -ESTALE;
    if (!why->code)
        fault_set(why, r, "%s", strerror(-r));
    return passes(r) ? r : -EBADMSG;
}

int journal_ingest(struct daemon *daemon, const char *id, const char *dir, int64_t *offset, struct fault *why)
{
    char path[PATH_MAX + 32];

    snprintf(path, sizeof(path), "%s/" JOBDIR_JOURNAL, dir);
    int r = ingest(daemon, id, path, offset, why);
    if (r != -ESTALE)
        return r;
    log_job(LEVEL_ERROR, id, "%s; reading it again from its start", why->message);
    *why = (struct fault){ 0 };
    r = db_journal_rewind(daemon->db, id);
    if (r < 0)
        return fault_set(why, r, "its journal cannot be read again: %s", db_errmsg(daemon->db));
    *offset = 0;
    return ingest(daemon, id, path, offset, why);
}

void journals_tail(struct daemon *daemon)
{
    for (struct worker *worker = daemon->workers; worker; worker = worker->next) {
        struct fault why = { 0 };
        int r = worker->pid ? journal_ingest(daemon, worker->id, worker->dir, &worker->offset, &why) : 0;
        if (r < 0 && !worker->journal_bad)
            log_job(LEVEL_ERROR, worker->id, "%s", *why.message ? why.message : strerror(-r));
        worker->journal_bad = r < 0;
    }
}
