/* How is a curve of a million points kept so that a few hundred can be shown at once?
 *
 * Runs of 16, 128, 1024 and 8192 points, in order of their steps, each have a row
 * with their lowest and highest point. Rows are made when 8192 points have come
 * that are in none: all four levels at once, whole, never changed afterwards. So a
 * series is rolled up to one step, and what came later is few enough to be walked.
 *
 * Runs are counted in points and not in steps: a metric that is said every
 * thousandth step costs no more rows than one that is said at each.
 *
 * Surprising: a point may come late, before the step that the series is rolled up
 * to. The rows from its run on are thrown away then, and made again once as many
 * points have come as always: a worker that counts backwards costs a walk over the
 * series every 8192 points, not at each. */
#include "db/inside.h"

#include <math.h>

/* There is something in `state` (a step of the schema puts it there): curves aren't rolled up yet. */
#define ROLLUPS_DUE "rollups_due"

enum { FINEST = 16, COARSER = 8, CHUNK = FINEST * COARSER * COARSER * COARSER };

double point_height(const struct db_point *point)
{
    return isnan(point->value) ? INFINITY : point->value;
}

void stretch_add(struct stretch *all, const struct stretch *next)
{
    if (point_height(&next->low) < point_height(&all->low))
        all->low = next->low;
    if (point_height(&next->high) > point_height(&all->high))
        all->high = next->high;
    all->last = next->last;
}

struct db_point point_read(const struct query *query, int column)
{
    return (struct db_point){ .step = query_int(query, column),
                              .time_ms = query_int(query, column + 1),
                              .epoch = query_real(query, column + 2),
                              .value = query_real(query, column + 3) };
}

static int row_insert(struct connection *on, int64_t series, int level, const struct stretch *run)
{
    return query_run(on,
                     "INSERT INTO rollup(series, level, first, last, low_step, low_time_ms, low_epoch, low_value,"
                     " high_step, high_time_ms, high_epoch, high_value)"
                     " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
                     VALUES(V(series), V(level), V(run->first), V(run->last), V(run->low.step), V(run->low.time_ms),
                            V(run->low.epoch), V(run->low.value), V(run->high.step), V(run->high.time_ms),
                            V(run->high.epoch), V(run->high.value)));
}

/* The step that ends the next CHUNK points after `rolled`. 1; 0 when there are fewer. */
static int chunk_find(struct connection *on, int64_t series, int64_t rolled, int64_t *ret_end)
{
    query_auto query = { 0 };
    int r = query_start(on, &query,
                        "SELECT step FROM point WHERE series = ?1 AND step > ?2 ORDER BY step LIMIT 1 OFFSET ?3",
                        VALUES(V(series), V(rolled), V(CHUNK - 1)));

    if (r >= 0)
        r = query_next(&query);
    if (r > 0)
        *ret_end = query_int(&query, 0);
    return r;
}

/* Make the rows of all levels for the points in (rolled, end]. */
static int chunk_roll(struct connection *on, int64_t series, int64_t rolled, int64_t end)
{
    query_auto query = { 0 };
    struct stretch runs[ROLLUP_LEVELS];
    int count = 0;
    int r = query_start(on, &query,
                        "SELECT step, time_ms, epoch, value FROM point WHERE series = ?1 AND step > ?2 AND step <= ?3"
                        " ORDER BY step",
                        VALUES(V(series), V(rolled), V(end)));

    while (r >= 0 && (r = query_next(&query)) > 0) {
        struct db_point point = point_read(&query, 0);
        struct stretch one = { point.step, point.step, point, point };
        for (int level = 0, size = FINEST; level < ROLLUP_LEVELS && r >= 0; level++, size *= COARSER) {
            if (count % size == 0)
                runs[level] = one;
            else
                stretch_add(&runs[level], &one);
            if (count % size == size - 1)
                r = row_insert(on, series, level, &runs[level]);
        }
        count++;
    }
    return r < 0 ? r : 0;
}

/* Roll up as many whole chunks as there are. */
static int series_roll(struct connection *on, int64_t series, int64_t rolled)
{
    int64_t end;
    int r;

    while ((r = chunk_find(on, series, rolled, &end)) > 0) {
        r = chunk_roll(on, series, rolled, end);
        if (r < 0)
            return r;
        rolled = end;
    }
    if (r < 0)
        return r;
    return query_run(on, "UPDATE series SET rolled = ?2, pending = 0 WHERE id = ?1", VALUES(V(series), V(rolled)));
}

/* A point came in the middle: forget the rows from its chunk on. */
static int series_cut(struct connection *on, int64_t series, int64_t step)
{
    query_auto query = { 0 };
    int r =
        query_start(on, &query,
                    "SELECT COALESCE((SELECT MIN(first) FROM rollup WHERE series = ?1 AND level = ?3 AND last >= ?2),"
                    " ?4), COALESCE((SELECT MAX(last) FROM rollup WHERE series = ?1 AND level = ?3 AND last < ?2), ?5)",
                    VALUES(V(series), V(step), V(ROLLUP_LEVELS - 1), V(INT64_MAX), V(INT64_MIN)));

    if (r >= 0)
        r = query_next(&query);
    if (r < 0)
        return r;
    int64_t from = query_int(&query, 0), rolled = query_int(&query, 1);
    query_done(&query);
    for (int level = 0; level < ROLLUP_LEVELS && r >= 0; level++)
        r = query_run(on, "DELETE FROM rollup WHERE series = ?1 AND level = ?2 AND first >= ?3",
                      VALUES(V(series), V(level), V(from)));
    if (r < 0)
        return r;
    return query_run(on, "UPDATE series SET rolled = ?2, pending = 1 WHERE id = ?1", VALUES(V(series), V(rolled)));
}

int rollup_grow(struct connection *on, const struct rollup *before, int64_t step)
{
    int r = 0;

    if (step <= before->rolled)
        r = series_cut(on, before->series, step);
    else if (before->pending + 1 >= CHUNK)
        r = series_roll(on, before->series, before->rolled);
    return r < 0 ? r : 0;
}

int rollup_catch_up(struct connection *on)
{
    query_auto query = { 0 };
    char due[8] = "";
    int r = state_get(on, ROLLUPS_DUE, due, sizeof(due));

    if (r >= 0 && *due)
        r = query_run(on, "BEGIN IMMEDIATE", NO_VALUES);
    if (r < 0 || !*due)
        return r;
    do { /* one after the other: rolling changes what is looked for */
        r = query_start(on, &query, "SELECT id, rolled FROM series WHERE pending >= ?1 LIMIT 1", VALUES(V(CHUNK)));
        if (r >= 0)
            r = query_next(&query);
        int64_t series = query_int(&query, 0), rolled = query_int(&query, 1);
        query_done(&query);
        if (r > 0 && (r = series_roll(on, series, rolled)) >= 0)
            r = 1;
    } while (r > 0);
    if (r >= 0)
        r = state_put(on, ROLLUPS_DUE, NULL); /* in the same transaction: who is cut off begins again */
    if (r >= 0)
        r = query_run(on, "COMMIT", NO_VALUES);
    if (r < 0)
        sqlite3_exec(on->sqlite, "ROLLBACK", NULL, NULL, NULL);
    return r < 0 ? r : 0;
}
