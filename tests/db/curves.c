/* Is a long curve shown truly, however it came about?
 *
 * The same walk in one go, backwards, in pieces, and from a file of an older
 * riftd; each time what is shown must hold the extremes of every stretch. */
#include "tests/db/fixture.h"

#include <math.h>

enum { POINTS = 40000, BATCH = 500, MOST = 500 };

static bool steep; /* its first point is its lowest, and another of the same run is low too */

/* A curve with a spike up, one down, and one value that is no number. */
static double value_at(int64_t step)
{
    if (steep && (step == 0 || step == 5))
        return step ? -30 : -40;
    if (step == 12345)
        return 50;
    if (step == 23456)
        return -50;
    return step == 34567 ? NAN : sin((double)step / 3000) + 0.1 * sin((double)step * 1.7);
}

static int64_t offset;

/* Ingest the steps from..to (not to), `stride` apart, forwards or, when from > to, backwards. */
static void grow(int64_t from, int64_t to, int64_t stride)
{
    static struct db_ingest_event batch[BATCH];
    int64_t direction = from < to ? 1 : -1;
    int count = 0;

    for (int64_t at = from; at != to; at += direction) {
        offset++;
        batch[count++] = (struct db_ingest_event){
            .seq = offset,
            .time_ms = at,
            .type = "metric",
            .fields = "{}",
            .row = { .type = ROW_METRIC, .name = "loss", .step = at * stride, .epoch = NAN, .value = value_at(at) }
        };
        if (count == BATCH || at + direction == to) {
            CHECK_INT(db_ingest(fixture, "a", offset - count, offset, batch, count), 0);
            count = 0;
        }
    }
}

static void started(void)
{
    fixture_open();
    offset = 0;
    add_job("a", "train", 0, NULL, NULL, -1);
}

/* Every point shown is one that came; between two neighbours there is none that is further out than the
 * four around it, give or take the run at a span's edge; spikes and ends are there. */
static void part_truly_shown(int64_t points, int64_t stride, int64_t since, int64_t until)
{
    struct db_point *shown;
    int count = db_point_list_within(fixture, "a", "loss", (struct db_steps){ since, until }, MOST, &shown), spikes = 0;
    int64_t first = since < 0 ? 0 : since / stride + 1;

    CHECK(count > MOST / 2 && count <= MOST);
    if (count < 2)
        return;
    CHECK_INT(shown[0].step, first * stride);
    CHECK_INT(shown[count - 1].step, (points - 1) * stride);
    for (int i = 0; i < count; i++) {
        double value = value_at(shown[i].step / stride);
        if (shown[i].step % stride || (isnan(value) ? !isnan(shown[i].value) : shown[i].value != value))
            CHECK_FAIL("step %lld has %g, not %g", (long long)shown[i].step, shown[i].value, value);
        if (i && shown[i].step <= shown[i - 1].step)
            CHECK_FAIL("step %lld after %lld", (long long)shown[i].step, (long long)shown[i - 1].step);
        spikes += isnan(value) || fabs(value) == 50;
    }
    CHECK_INT(spikes, (first <= 12345 && points > 12345) + (first <= 23456 && points > 23456) +
                          (first <= 34567 && points > 34567));
    free(shown);
}

static void truly_shown(int64_t points, int64_t stride, int64_t since)
{
    part_truly_shown(points, stride, since, INT64_MAX);
}

/* What the roll-ups say must be what the points say. */
static void rollups_hold(int chunks)
{
    CHECK_INT(number_in_file("SELECT COUNT(*) FROM rollup WHERE level = 3"), chunks);
    CHECK_INT(number_in_file("SELECT COUNT(*) FROM rollup WHERE level = 0"), 512 * chunks);
    CHECK_INT(
        number_in_file("SELECT COUNT(*) FROM rollup AS r WHERE low_value IS NOT (SELECT MIN(value) FROM point AS p"
                       " WHERE p.series = r.series AND p.step BETWEEN r.first AND r.last)"),
        0);
    CHECK_INT(
        number_in_file(
            "SELECT COUNT(*) FROM rollup AS r WHERE high_value IS NOT NULL AND high_value IS NOT"
            " (SELECT MAX(value) FROM point AS p WHERE p.series = r.series AND p.step BETWEEN r.first AND r.last)"),
        0);
}

static void in_order(void)
{
    started();
    grow(0, POINTS, 1);
    rollups_hold(POINTS / 8192);
    truly_shown(POINTS, 1, -1);
    truly_shown(POINTS, 1, 0);
    truly_shown(POINTS, 1, 777);
    truly_shown(POINTS, 1, 30001);
    truly_shown(POINTS, 1, POINTS - 3000);
    fixture_close();
}

static void low_end(void)
{
    struct db_point *shown;
    bool there = false;

    steep = true;
    started();
    grow(0, POINTS, 1);
    int count = db_point_list(fixture, "a", "loss", -1, MOST, &shown);
    for (int i = 0; i < count; i++)
        there |= shown[i].step == 5;
    CHECK(there);
    free(shown);
    truly_shown(POINTS, 1, -1);
    fixture_close();
    steep = false;
}

/* A part that ends among runs, within one, and behind what is rolled up. */
static void parts(void)
{
    struct db_point *shown;

    started();
    grow(0, POINTS, 1);
    part_truly_shown(30001, 1, 10000, 30000);
    part_truly_shown(8192, 1, -1, 8191);
    part_truly_shown(POINTS - 5, 1, 20000, POINTS - 6);
    part_truly_shown(12346 + 1000, 1, 12000, 12345 + 1000);
    part_truly_shown(POINTS, 1, POINTS - 1000, POINTS + 77);
    CHECK_INT(db_point_list_within(fixture, "a", "loss", (struct db_steps){ 99, 109 }, MOST, &shown), 10);
    CHECK_INT(shown[0].step, 100);
    CHECK_INT(shown[9].step, 109);
    free(shown);
    CHECK_INT(db_point_list_within(fixture, "a", "loss", (struct db_steps){ 99, 99 }, MOST, &shown), 0);
    free(shown);
    fixture_close();
}

static void seldom(void)
{
    started();
    grow(0, POINTS, 1000000007);
    rollups_hold(POINTS / 8192);
    truly_shown(POINTS, 1000000007, -1);
    truly_shown(POINTS, 1000000007, 20000 * 1000000007ll);
    fixture_close();
}

static void late_points(void)
{
    started();
    grow(0, 20000, 1);
    grow(24000, POINTS, 1);
    rollups_hold(36000 / 8192);
    grow(20000, 24000, 1); /* into the midst of what is rolled up */
    truly_shown(POINTS, 1, -1);
    grow(POINTS, POINTS + 9000, 1);
    rollups_hold((POINTS + 9000) / 8192);
    truly_shown(POINTS + 9000, 1, -1);
    grow(0, 500, 1); /* there already: changes nothing */
    rollups_hold((POINTS + 9000) / 8192);
    fixture_close();
}

static void backwards(void)
{
    started();
    grow(POINTS - 1, -1, 1);
    truly_shown(POINTS, 1, -1);
    rollups_hold((int)number_in_file("SELECT COUNT(*) FROM rollup WHERE level = 3"));
    CHECK_INT(number_in_file("SELECT count FROM series"), POINTS);
    fixture_close();
}

#define NOT_ROLLED "DELETE FROM rollup; UPDATE series SET rolled = -9223372036854775808, pending = count;"

/* A file with a long curve, made to what an older riftd, or one that was killed, left behind. */
static void rolled_when_opened(const char *made)
{
    char message[256] = "";

    started();
    grow(0, POINTS, 1);
    db_close(fixture);
    force(made);
    CHECK_INT(db_open(fixture_path, &fixture, message), 0);
    CHECK_STRING(message, "");
    rollups_hold(POINTS / 8192);
    truly_shown(POINTS, 1, -1);
    CHECK_INT(number_in_file("SELECT COUNT(*) FROM state WHERE name = 'rollups_due'"), 0);
    fixture_close();
}

static void older_file(void)
{
    rolled_when_opened(NOT_ROLLED BACK_TO_4);
}

static void cut_off(void)
{
    rolled_when_opened(NOT_ROLLED BACK_TO_5); /* by a riftd that didn't know of it */
    rolled_when_opened(NOT_ROLLED "INSERT INTO state VALUES('rollups_due', '1')"); /* by this one */
}

static void with_its_job(void)
{
    int r;

    started();
    grow(0, 10000, 1);
    db_job_cancel(fixture, "a", 1);
    CHECK_INT(db_job_delete(fixture, "a"), 0);
    while ((r = db_gone_clear(fixture)) > 0)
        continue;
    CHECK_INT(r, 0);
    CHECK_INT(number_in_file("SELECT COUNT(*) FROM rollup"), 0);
    CHECK_INT(number_in_file("SELECT COUNT(*) FROM point"), 0);
    fixture_close();
}

static const struct check_case cases[] = {
    { "a long curve is shown by its extremes, from any step on", in_order },
    { "an end of the curve that is the lowest point doesn't hide the next lowest beside it", low_end },
    { "a part of a long curve is shown by its own extremes and ends where it is to", parts },
    { "a curve with far steps is rolled up like any other", seldom },
    { "points that come late are seen at once, and rolled up later", late_points },
    { "a curve that comes backwards is shown truly", backwards },
    { "what an older riftd stored is rolled up when the file is opened", older_file },
    { "an upgrade that was cut off before the roll-ups makes them at the next start", cut_off },
    { "roll-ups go with their job", with_its_job },
};
CHECK_MAIN(cases)
