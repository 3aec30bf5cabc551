/* How is a long curve shown in few points?
 *
 * It is cut into equal spans of steps; each gives its lowest and its highest point
 * in the order they came, and the curve's first and last point stay. A spike, or a
 * value that is not a number (which counts as higher than anything), is never
 * averaged away.
 *
 * A span is made of whole runs of rollup.c, of the coarsest level that has at least
 * two runs a span: some thousand rows are read, however long the curve is. Points
 * before the first whole run after `since`, after the last one before `until`, and those
 * that aren't rolled up yet are walked. So a span's end may lie off by one run; its two points are still exactly
 * the extremes of what is in it. */
#include "db/inside.h"

enum { RUNS_PER_SPAN = 2 };

/* A curve that is being thinned. */
struct thinning {
    struct connection *on;
    int64_t series;
    int64_t since, until;             /* what is wanted: steps in (since, until] */
    int64_t ran;                      /* where the runs that were walked end */
    int64_t first, last, spans, span; /* first, last: steps; span: the current one, -1 none */
    struct stretch now;               /* what the current span holds */
    struct db_point *points;
    int count;
};

static int series_find(struct connection *on, const char *job, const char *name, struct thinning *thin)
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
    thin->series = query_int(&query, 0);
    return 0;
}

/* How many points are wanted, counted up to `most`; and where they start and end. */
static int extent_find(struct thinning *thin, int64_t most, int64_t *ret_count)
{
    query_auto query = { 0 };
    int r = query_start(thin->on, &query,
                        "SELECT (SELECT COUNT(*) FROM"
                        " (SELECT 1 FROM point WHERE series = ?1 AND step > ?2 AND step <= ?3 LIMIT ?4)),"
                        " (SELECT MIN(step) FROM point WHERE series = ?1 AND step > ?2 AND step <= ?3),"
                        " (SELECT MAX(step) FROM point WHERE series = ?1 AND step > ?2 AND step <= ?3)",
                        VALUES(V(thin->series), V(thin->since), V(thin->until), V(most)));

    if (r >= 0)
        r = query_next(&query);
    if (r < 0)
        return r;
    *ret_count = query_int(&query, 0);
    thin->first = query_int(&query, 1);
    thin->last = query_int(&query, 2);
    return 0;
}

/* ---- few of many ---- */

/* The current span is complete: its two points, in the order they came. */
static void span_end(struct thinning *thin)
{
    const struct db_point *low = &thin->now.low, *high = &thin->now.high;

    if (thin->span < 0)
        return;
    bool low_first = low->step <= high->step;
    thin->points[thin->count++] = low_first ? *low : *high;
    if (low->step != high->step)
        thin->points[thin->count++] = low_first ? *high : *low;
    thin->span = -1;
}

static bool is_end(const struct thinning *thin, const struct db_point *point)
{
    return point->step == thin->first || point->step == thin->last;
}

static void span_add(struct thinning *thin, struct stretch next)
{
    /* The curve's ends are shown anyway. */
    if (is_end(thin, &next.low))
        next.low = next.high;
    if (is_end(thin, &next.high))
        next.high = next.low;
    if (is_end(thin, &next.low))
        return;
    /* As double: step - first may be anything, and a span more or less is no matter. */
    int64_t span = (int64_t)(((double)next.first - (double)thin->first) / ((double)thin->last - (double)thin->first) *
                             (double)thin->spans);
    if (span >= thin->spans)
        span = thin->spans - 1;
    if (span < thin->span)
        span = thin->span;
    if (span != thin->span) {
        span_end(thin);
        thin->span = span;
        thin->now = next;
    } else {
        stretch_add(&thin->now, &next);
    }
}

/* Walk the points in (after, to]. */
static int points_walk(struct thinning *thin, int64_t after, int64_t to)
{
    query_auto query = { 0 };
    int r = query_start(thin->on, &query,
                        "SELECT step, time_ms, epoch, value FROM point WHERE series = ?1 AND step > ?2 AND step <= ?3"
                        " ORDER BY step",
                        VALUES(V(thin->series), V(after), V(to)));

    while (r >= 0 && (r = query_next(&query)) > 0) {
        struct db_point point = point_read(&query, 0);
        span_add(thin, (struct stretch){ point.step, point.step, point, point });
    }
    return r < 0 ? r : 0;
}

static int runs_walk(struct thinning *thin, int level)
{
    query_auto query = { 0 };
    int r = query_start(thin->on, &query,
                        "SELECT first, last, low_step, low_time_ms, low_epoch, low_value, high_step, high_time_ms,"
                        " high_epoch, high_value FROM rollup WHERE series = ?1 AND level = ?2 AND first > ?3"
                        " AND first <= ?4 AND last <= ?4 ORDER BY first",
                        VALUES(V(thin->series), V(level), V(thin->since), V(thin->until)));

    while (r >= 0 && (r = query_next(&query)) > 0) {
        struct stretch run = { query_int(&query, 0), query_int(&query, 1), point_read(&query, 2),
                               point_read(&query, 6) };
        thin->ran = run.last;
        /* An extreme that is an end of the curve hides what is the extreme beside it. */
        if (is_end(thin, &run.low) || is_end(thin, &run.high))
            r = points_walk(thin, run.first - 1, run.last);
        else
            span_add(thin, run);
    }
    return r < 0 ? r : 0;
}

/* The coarsest level with runs enough in what is wanted, and where they start; -1: there is none. */
static int level_choose(struct thinning *thin, int *ret_level, int64_t *ret_start)
{
    query_auto query = { 0 };

    for (int level = ROLLUP_LEVELS - 1; level >= 0; level--) {
        int r = query_start(
            thin->on, &query,
            "SELECT COUNT(*), MIN(first) FROM (SELECT first FROM rollup"
            " WHERE series = ?1 AND level = ?2 AND first > ?3 AND first <= ?4 AND last <= ?4"
            " ORDER BY first LIMIT ?5)",
            VALUES(V(thin->series), V(level), V(thin->since), V(thin->until), V(RUNS_PER_SPAN * thin->spans)));
        if (r >= 0)
            r = query_next(&query);
        if (r < 0)
            return r;
        if (query_int(&query, 0) == RUNS_PER_SPAN * thin->spans) {
            *ret_level = level;
            *ret_start = query_int(&query, 1);
            return 0;
        }
    }
    *ret_level = -1;
    return 0;
}

static int middle_thin(struct thinning *thin)
{
    int64_t start = 0;
    int level = -1;
    int r = level_choose(thin, &level, &start);

    if (r >= 0 && level < 0)
        return points_walk(thin, thin->since, thin->last);
    if (r >= 0)
        r = points_walk(thin, thin->since, start - 1);
    if (r >= 0)
        r = runs_walk(thin, level);
    return r < 0 ? r : points_walk(thin, thin->ran, thin->last);
}

/* The point at a step, as it is. */
static int point_take(struct thinning *thin, int64_t step)
{
    query_auto query = { 0 };
    int r =
        query_start(thin->on, &query, "SELECT step, time_ms, epoch, value FROM point WHERE series = ?1 AND step = ?2",
                    VALUES(V(thin->series), V(step)));

    if (r >= 0)
        r = query_next(&query);
    if (r > 0)
        thin->points[thin->count++] = point_read(&query, 0);
    return r < 0 ? r : 0;
}

static int curve_thin(struct thinning *thin, int max_points)
{
    int r = 0;

    thin->spans = (max_points - 2) / 2;
    thin->span = -1;
    if (max_points > 1) /* one: the newest */
        r = point_take(thin, thin->first);
    if (r >= 0 && max_points > 3)
        r = middle_thin(thin);
    span_end(thin);
    return r < 0 ? r : point_take(thin, thin->last);
}

/* ---- all of few ---- */

static int points_all(struct thinning *thin)
{
    query_auto query = { 0 };
    int r = query_start(thin->on, &query,
                        "SELECT step, time_ms, epoch, value FROM point WHERE series = ?1 AND step > ?2 AND step <= ?3"
                        " ORDER BY step",
                        VALUES(V(thin->series), V(thin->since), V(thin->until)));

    while (r >= 0 && (r = query_next(&query)) > 0)
        thin->points[thin->count++] = point_read(&query, 0);
    return r < 0 ? r : 0;
}

static int points_select(struct connection *on, const char *job, const char *name, struct db_steps steps,
                         int max_points, struct db_point **ret)
{
    struct thinning thin = { .on = on, .since = steps.since, .until = steps.until };
    int64_t count = 0;
    int r = series_find(on, job, name, &thin);

    if (r >= 0)
        r = extent_find(&thin, max_points > 0 ? max_points + 1 : -1, &count);
    if (r < 0)
        return r;
    bool whole = max_points <= 0 || count <= max_points;
    thin.points = calloc((size_t)(whole ? count : max_points) + 1, sizeof(*thin.points));
    if (!thin.points)
        return refuse(-ENOMEM, "out of memory");
    r = whole ? points_all(&thin) : curve_thin(&thin, max_points);
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
    return db_point_list_within(db, job, name, (struct db_steps){ since, INT64_MAX }, max_points, ret);
}

int db_point_list_within(struct db *db, const char *job, const char *name, struct db_steps steps, int max_points,
                         struct db_point **ret)
{
    struct connection *on;
    int r = readers_take(db, &on);

    if (r < 0)
        return r;
    /* One snapshot for counting and reading: no point may come in between. */
    r = query_run(on, "BEGIN", NO_VALUES);
    if (r >= 0)
        r = points_select(on, job, name, steps, max_points, ret);
    readers_give(db, on); /* which ends it */
    return r;
}
