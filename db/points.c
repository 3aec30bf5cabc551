/* What do events bring along?
 *
 * Metric events become points of a series; module, alpha and evaluation events
 * become outcomes, of which the newest word counts; progress is one text on
 * the job. Storing a point that exists changes nothing, so a worker that went
 * back to its checkpoint repeats itself without harm.
 *
 * A series keeps its count, last, minimum and maximum as it grows: listing
 * series never walks points. What else it keeps so that a long curve can be
 * shown without walking it is rollup.c's. */
#include "db/inside.h"

/* ---- storing ---- */

/* The series of that name, made if it isn't there. */
static int series_open(struct connection *on, int64_t job, const char *name, struct rollup *ret)
{
    query_auto query = { 0 };
    int r = 0;

    for (int tries = 0; tries < 2; tries++) {
        r = query_start(on, &query, "SELECT id, rolled, pending FROM series WHERE job = ?1 AND name = ?2",
                        VALUES(V(job), V(name)));
        if (r >= 0)
            r = query_next(&query);
        if (r < 0)
            return r;
        if (r > 0) {
            *ret = (struct rollup){ query_int(&query, 0), query_int(&query, 1), query_int(&query, 2) };
            return 0;
        }
        query_done(&query);
        r = query_run(on, "INSERT INTO series(job, name) VALUES(?1, ?2)", VALUES(V(job), V(name)));
        if (r < 0)
            return r;
    }
    return refuse(-EIO, "series %s is not there", name);
}

static int metric_store(struct connection *on, int64_t job, int64_t time_ms, const struct db_row *row)
{
    struct rollup series;
    int r = series_open(on, job, row->name, &series);

    if (r >= 0)
        r = query_run(on,
                      "INSERT INTO point(series, step, time_ms, epoch, value) VALUES(?1, ?2, ?3, ?4, ?5)"
                      " ON CONFLICT DO NOTHING",
                      VALUES(V(series.series), V(row->step), V(time_ms), V(row->epoch), V(row->value)));
    if (r <= 0) /* there already */
        return r;
    r = query_run(on,
                  "UPDATE series SET last = CASE WHEN count = 0 OR ?2 >= last_step THEN ?3 ELSE last END,"
                  " last_step = CASE WHEN count = 0 THEN ?2 ELSE MAX(last_step, ?2) END, count = count + 1,"
                  " min = COALESCE(MIN(min, ?3), min, ?3), max = COALESCE(MAX(max, ?3), max, ?3), pending = pending + 1"
                  " WHERE id = ?1",
                  VALUES(V(series.series), V(row->step), V(row->value)));
    return r < 0 ? r : rollup_grow(on, &series, row->step);
}

static int outcome_store(struct connection *on, int64_t job, const struct db_row *row)
{
    int r = query_run(on,
                      "INSERT INTO outcome(job, type, name, alpha, fields) VALUES(?1, ?2, ?3, ?4, ?5)"
                      " ON CONFLICT(job, type, alpha, name) DO UPDATE SET fields = excluded.fields",
                      VALUES(V(job), V((int)row->type), V(row->name && row->type != ROW_ALPHA ? row->name : ""),
                             V(row->type == ROW_ALPHA ? row->alpha : 0.0), V(row->fields)));

    return r < 0 ? r : 0;
}

int row_store(struct connection *on, int64_t job, int64_t time_ms, const struct db_row *row)
{
    switch (row->type) {
    case ROW_NONE:
        return 0;
    case ROW_METRIC:
        return metric_store(on, job, time_ms, row);
    case ROW_MODULE:
    case ROW_ALPHA:
    case ROW_EVALUATION:
        return outcome_store(on, job, row);
    case ROW_ARTIFACT:
        return artifact_store(on, job, time_ms, row);
    case ROW_PROGRESS:
        return query_run(on, "UPDATE job SET progress = ?2 WHERE number = ?1", VALUES(V(job), V(row->fields)));
    }
    return refuse(-EINVAL, "no such row type: %d", (int)row->type);
}

/* ---- series ---- */

static int series_select(struct connection *on, const char *job, struct db_series **ret)
{
    query_auto query = { 0 };
    struct db_series *series = NULL;
    struct job_key key;
    int count = 0, capacity = 0;
    int r = job_key_find(on, job, &key);

    if (r >= 0)
        r = query_start(on, &query,
                        "SELECT name, count, last_step, last, min, max FROM series WHERE job = ?1 ORDER BY name",
                        VALUES(V(key.number)));
    while (r >= 0 && (r = query_next(&query)) > 0) {
        r = array_room((void **)&series, count, &capacity, sizeof(*series));
        if (r < 0)
            break;
        struct db_series *one = &series[count++];
        query_copy(&query, 0, one->name, sizeof(one->name));
        one->count = query_int(&query, 1);
        one->last_step = query_int(&query, 2);
        one->last = query_real(&query, 3);
        one->min = query_real(&query, 4);
        one->max = query_real(&query, 5);
    }
    if (r < 0) {
        free(series);
        return r;
    }
    *ret = series;
    return count;
}

int db_series_list(struct db *db, const char *job, struct db_series **ret)
{
    struct connection *on;
    int r = readers_take(db, &on);

    if (r < 0)
        return r;
    r = series_select(on, job, ret);
    readers_give(db, on);
    return r;
}

/* ---- outcomes ---- */

void db_texts_free(char **texts, int count)
{
    for (int i = 0; i < count; i++)
        free(texts[i]);
    free(texts);
}

static int outcomes_select(struct connection *on, const char *job, enum db_row_type type, char ***ret_texts)
{
    query_auto query = { 0 };
    struct job_key key;
    char **texts = NULL;
    int count = 0, capacity = 0;
    int r = job_key_find(on, job, &key);

    if (r >= 0)
        r = query_start(on, &query, "SELECT fields FROM outcome WHERE job = ?1 AND type = ?2 ORDER BY alpha, id",
                        VALUES(V(key.number), V((int)type)));
    while (r >= 0 && (r = query_next(&query)) > 0) {
        r = array_room((void **)&texts, count, &capacity, sizeof(*texts));
        if (r >= 0)
            r = query_dup(&query, 0, &texts[count]);
        count += r >= 0;
    }
    if (r < 0) {
        db_texts_free(texts, count);
        return r;
    }
    *ret_texts = texts;
    return count;
}

int db_row_list(struct db *db, const char *job, enum db_row_type type, char ***ret_texts)
{
    struct connection *on;
    int r = readers_take(db, &on);

    if (r < 0)
        return r;
    r = outcomes_select(on, job, type, ret_texts);
    readers_give(db, on);
    return r;
}
