/* What do events bring along, and how is a long curve shown in few points?
 *
 * Metric events become points of a series; module, alpha and evaluation events
 * become outcomes, of which the newest word counts; progress is one text on
 * the job. Storing a point that exists changes nothing, so a worker that went
 * back to its checkpoint repeats itself without harm.
 *
 * A series keeps its count, last, minimum and maximum as it grows: listing
 * series never walks points.
 *
 * A long curve is cut into equal spans of steps; each gives its minimum and its
 * maximum in the order they came. A spike, or a value that is not a number
 * (NaN counts as higher than anything), is never averaged away. */
#include "db/inside.h"

#include <math.h>

/* ---- storing ---- */

static int metric_store(struct connection *on, int64_t job, int64_t time_ms, const struct db_row *row)
{
    int r = query_run(on, "INSERT INTO series(job, name) VALUES(?1, ?2) ON CONFLICT DO NOTHING",
                      VALUES(V(job), V(row->name)));

    if (r >= 0)
        r = query_run(on,
                      "INSERT INTO point(series, step, time_ms, epoch, value)"
                      " SELECT id, ?3, ?4, ?5, ?6 FROM series WHERE job = ?1 AND name = ?2 ON CONFLICT DO NOTHING",
                      VALUES(V(job), V(row->name), V(row->step), V(time_ms), V(row->epoch), V(row->value)));
    if (r <= 0) /* there already */
        return r;
    r = query_run(on,
                  "UPDATE series SET last = CASE WHEN count = 0 OR ?3 >= last_step THEN ?4 ELSE last END,"
                  " last_step = CASE WHEN count = 0 THEN ?3 ELSE MAX(last_step, ?3) END, count = count + 1,"
                  " min = COALESCE(MIN(min, ?4), min, ?4), max = COALESCE(MAX(max, ?4), max, ?4)"
                  " WHERE job = ?1 AND name = ?2",
                  VALUES(V(job), V(row->name), V(row->step), V(row->value)));
    return r < 0 ? r : 0;
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

/* ---- points ---- */

/* The spans between the first and the last point, and what the current one holds. */
struct thinning {
    int64_t first, last, spans, span; /* span: the current one, -1 none */
    struct db_point low, high;
    struct db_point *points;
    int count;
};

static double height(double value)
{
    return isnan(value) ? INFINITY : value;
}

/* The current span is complete: its two points, in the order they came. */
static void span_end(struct thinning *thin)
{
    if (thin->span < 0)
        return;
    bool low_first = thin->low.step <= thin->high.step;
    thin->points[thin->count++] = low_first ? thin->low : thin->high;
    if (thin->low.step != thin->high.step)
        thin->points[thin->count++] = low_first ? thin->high : thin->low;
    thin->span = -1;
}

static void span_add(struct thinning *thin, const struct db_point *point)
{
    if (point->step == thin->first || point->step == thin->last) {
        span_end(thin);
        thin->points[thin->count++] = *point;
        return;
    }
    if (thin->spans == 0)
        return;
    /* As double: step - first may be anything, and a span more or less is no matter. */
    int64_t span =
        (int64_t)((double)(point->step - thin->first) / (double)(thin->last - thin->first) * (double)thin->spans);
    if (span >= thin->spans)
        span = thin->spans - 1;
    if (span != thin->span) {
        span_end(thin);
        thin->span = span;
        thin->low = thin->high = *point;
        return;
    }
    if (height(point->value) < height(thin->low.value))
        thin->low = *point;
    if (height(point->value) > height(thin->high.value))
        thin->high = *point;
}

static struct db_point point_read(const struct query *query)
{
    return (struct db_point){ .step = query_int(query, 0),
                              .time_ms = query_int(query, 1),
                              .epoch = query_real(query, 2),
                              .value = query_real(query, 3) };
}

/* The series' number, and how many points after `since` it has from where to where. */
static int extent_find(struct connection *on, const char *job, const char *name, int64_t since, int64_t *ret_series,
                       int64_t *ret_count, struct thinning *thin)
{
    query_auto query = { 0 };
    struct job_key key;
    int r = job_key_find(on, job, &key);

    if (r >= 0)
        r = query_start(on, &query, "SELECT id FROM series WHERE job = ?1 AND name = ?2",
                        VALUES(V(key.number), V(name)));
    if (r >= 0)
        r = query_next(&query);
    if (r < 0)
        return r;
    if (r == 0)
        return refuse(-ENOENT, "job %s has no metric \"%s\"", job, name);
    *ret_series = query_int(&query, 0);
    r = query_start(on, &query, "SELECT COUNT(*), MIN(step), MAX(step) FROM point WHERE series = ?1 AND step > ?2",
                    VALUES(V(*ret_series), V(since)));
    if (r >= 0)
        r = query_next(&query);
    *ret_count = query_int(&query, 0);
    thin->first = query_int(&query, 1);
    thin->last = query_int(&query, 2);
    return r < 0 ? r : 0;
}

static int points_select(struct connection *on, const char *job, const char *name, int64_t since, int max_points,
                         struct db_point **ret)
{
    query_auto query = { 0 };
    struct thinning thin = { .span = -1 };
    int64_t series = 0, count = 0;
    int r = extent_find(on, job, name, since, &series, &count, &thin);

    if (r < 0)
        return r;
    bool whole = max_points <= 0 || count <= max_points;
    thin.spans = max_points > 2 ? (max_points - 2) / 2 : 0;
    if (!whole && max_points == 1)
        thin.first = thin.last; /* room for one: the newest */
    thin.points = calloc((size_t)(whole ? count : max_points) + 1, sizeof(*thin.points));
    if (!thin.points)
        return refuse(-ENOMEM, "out of memory");
    r = query_start(on, &query,
                    "SELECT step, time_ms, epoch, value FROM point WHERE series = ?1 AND step > ?2 ORDER BY step",
                    VALUES(V(series), V(since)));
    while (r >= 0 && (r = query_next(&query)) > 0) {
        struct db_point point = point_read(&query);
        if (whole)
            thin.points[thin.count++] = point;
        else
            span_add(&thin, &point);
    }
    if (r < 0) {
        free(thin.points);
        return r;
    }
    *ret = thin.points;
    return thin.count;
}

int db_point_list(struct db *db, const char *job, const char *name, int64_t since, int max_points,
                  struct db_point **ret)
{
    struct connection *on;
    int r = readers_take(db, &on);

    if (r < 0)
        return r;
    /* One snapshot for counting and reading: no point may come in between. */
    r = query_run(on, "BEGIN", NO_VALUES);
    if (r >= 0) {
        r = points_select(on, job, name, since, max_points, ret);
        sqlite3_exec(on->sqlite, "ROLLBACK", NULL, NULL, NULL);
    }
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
