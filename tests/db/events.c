/* Is nothing lost and nothing doubled on the way from journal to rows? */
#include "tests/db/fixture.h"

static struct db_ingest_event metric(int64_t seq, int64_t step, double value)
{
    return (struct db_ingest_event){
        .seq = seq,
        .time_ms = 1000 + seq,
        .type = "metric",
        .fields = "{\"type\":\"metric\"}",
        .row = { .type = ROW_METRIC, .name = "loss", .step = step, .epoch = NAN, .value = value }
    };
}

static int64_t offset_of(const char *id)
{
    db_job_auto job = { 0 };

    db_job_get(fixture, id, &job);
    return job.journal_offset;
}

static void replay(void)
{
    struct db_ingest_event batch[] = { metric(1, 0, 0.5), metric(2, 1, 0.25) };
    struct db_ingest_event more[] = { metric(2, 1, 99), metric(3, 1, 99), metric(4, 2, 0.125) };
    struct db_point *points;

    fixture_open();
    add_job("a", "train", 0, NULL, NULL, -1);
    int before = events_count("a"); /* its "queued" */
    CHECK_INT(before, 1);
    CHECK_INT(db_ingest(fixture, "a", 0, 100, batch, 2), 0);
    CHECK_INT(offset_of("a"), 100);
    CHECK_INT(db_ingest(fixture, "a", 0, 100, batch, 2), -ESTALE);
    CHECK_INT(db_ingest(fixture, "a", 99, 150, more, 3), -ESTALE);
    CHECK_INT(events_count("a"), before + 2);
    /* seq 2 again, and step 1 again under a new seq: a worker back at its checkpoint */
    CHECK_INT(db_ingest(fixture, "a", 100, 200, more, 3), 0);
    CHECK_INT(events_count("a"), before + 4);
    CHECK_INT(db_point_list(fixture, "a", "loss", -1, 0, &points), 3);
    CHECK_NEAR(points[1].value, 0.25, 0);
    CHECK(isnan(points[1].epoch));
    CHECK_INT(points[2].time_ms, 1004);
    free(points);
    CHECK_INT(db_ingest(fixture, "nobody", 0, 1, batch, 1), -ENOENT);
    fixture_close();
}

/* What the job's journal says as the database has it. */
static void check_story(const char *expected)
{
    struct db_event *events;
    char got[64] = "";
    int count = db_event_list(fixture, "a", 0, 0, &events);

    for (int i = 0; i < count; i++)
        if (events[i].seq > 0)
            strcat(got, events[i].fields);
    CHECK_STRING(got, expected);
    if (count >= 0)
        db_events_free(events, count);
}

static void journal_cut(void)
{
    struct db_ingest_event told[] = { metric(1, 0, 0.5), metric(2, 1, 0.25), metric(3, 2, 0.125) };
    struct db_point *points;

    fixture_open();
    add_job("a", "train", 0, NULL, NULL, -1);
    for (int i = 0; i < 3; i++)
        told[i].fields = (const char *[]){ "a", "b", "c" }[i];
    CHECK_INT(db_ingest(fixture, "a", 0, 30, told, 3), 0);
    CHECK_INT(db_journal_rewind(fixture, "nobody"), -ENOENT);
    CHECK_INT(db_journal_rewind(fixture, "a"), 0);
    CHECK_INT(offset_of("a"), 0);
    CHECK_INT(db_ingest(fixture, "a", 0, 10, told, 1), 0); /* all that is left of it */
    check_story("abc");
    told[1].fields = "x"; /* from here on it goes on otherwise */
    told[1].row.step = 5;
    CHECK_INT(db_ingest(fixture, "a", 10, 20, told + 1, 1), 0);
    check_story("ax");
    CHECK_INT(db_ingest(fixture, "a", 20, 30, told + 2, 1), 0);
    check_story("axc");
    CHECK_INT(db_point_list(fixture, "a", "loss", -1, 0, &points), 4); /* none is lost */
    free(points);
    fixture_close();
}

static void a_bad_row_stores_nothing(void)
{
    struct db_ingest_event batch[] = { metric(1, 0, 0.5), metric(2, 1, 0.25) };

    fixture_open();
    add_job("a", "train", 0, NULL, NULL, -1);
    batch[1].row.name = NULL; /* series.name is NOT NULL */
    CHECK_INT(db_ingest(fixture, "a", 0, 100, batch, 2), -EINVAL);
    CHECK_INT(offset_of("a"), 0);
    CHECK_INT(events_count("a"), 1);
    batch[1].row.name = "loss";
    CHECK_INT(db_ingest(fixture, "a", 0, 100, batch, 2), 0);
    CHECK_INT(events_count("a"), 3);
    fixture_close();
}

static void series_statistics(void)
{
    struct db_ingest_event batch[] = { metric(1, 0, 3), metric(2, 1, NAN), metric(3, 2, -1), metric(4, 3, 2) };
    struct db_series *series;

    fixture_open();
    add_job("a", "train", 0, NULL, NULL, -1);
    batch[3].row.name = "accuracy";
    CHECK_INT(db_ingest(fixture, "a", 0, 100, batch, 4), 0);
    CHECK_INT(db_series_list(fixture, "a", &series), 2);
    CHECK_STRING(series[0].name, "accuracy");
    CHECK_STRING(series[1].name, "loss");
    CHECK_INT(series[1].count, 3);
    CHECK_INT(series[1].last_step, 2);
    CHECK_NEAR(series[1].last, -1, 0);
    CHECK_NEAR(series[1].min, -1, 0);
    CHECK_NEAR(series[1].max, 3, 0);
    free(series);
    fixture_close();
}

static void spikes_stay(void)
{
    enum { POINTS = 10000 };
    static struct db_ingest_event batch[POINTS];
    struct db_point *points;
    bool high = false, low = false, nan = false;

    fixture_open();
    add_job("a", "train", 0, NULL, NULL, -1);
    for (int i = 0; i < POINTS; i++)
        batch[i] = metric(i + 1, i, i == 4321 ? 100 : i == 8765 ? -100 : i == 6000 ? NAN : sin(i / 500.0));
    CHECK_INT(db_ingest(fixture, "a", 0, 100, batch, POINTS), 0);
    int count = db_point_list(fixture, "a", "loss", -1, 100, &points);
    CHECK(count <= 100);
    CHECK(count > 90);
    CHECK_INT(points[0].step, 0);
    CHECK_INT(points[count - 1].step, POINTS - 1);
    for (int i = 0; i < count; i++) {
        high |= points[i].step == 4321 && points[i].value == 100;
        low |= points[i].step == 8765 && points[i].value == -100;
        nan |= points[i].step == 6000 && isnan(points[i].value);
        if (i && points[i].step <= points[i - 1].step)
            CHECK_FAIL("step %lld after %lld", (long long)points[i].step, (long long)points[i - 1].step);
    }
    CHECK(high);
    CHECK(low);
    CHECK(nan);
    free(points);
    for (int most = 1; most < 12; most++) {
        count = db_point_list(fixture, "a", "loss", -1, most, &points);
        CHECK(count >= 1 && count <= most);
        CHECK_INT(points[count - 1].step, POINTS - 1);
        free(points);
    }
    CHECK_INT(db_point_list(fixture, "a", "loss", POINTS - 11, 100, &points), 10);
    CHECK_INT(points[0].step, POINTS - 10);
    free(points);
    CHECK_INT(db_point_list(fixture, "a", "loss", POINTS, 100, &points), 0);
    free(points);
    CHECK_INT(db_point_list(fixture, "a", "nothing", -1, 100, &points), -ENOENT);
    fixture_close();
}

static void outcomes(void)
{
    struct db_ingest_event batch[] = {
        { 1, 1, "module", "m1", { .type = ROW_MODULE, .name = "layer2", .step = 1, .fields = "m1" } },
        { 2, 1, "module", "m2", { .type = ROW_MODULE, .name = "conv1", .step = 1, .fields = "m2" } },
        { 3, 1, "module", "m3", { .type = ROW_MODULE, .name = "layer2", .step = 2, .fields = "m3" } },
        { 4, 1, "alpha", "a1", { .type = ROW_ALPHA, .alpha = 0.5, .fields = "a1" } },
        { 5, 1, "alpha", "a2", { .type = ROW_ALPHA, .alpha = 0.1, .fields = "a2" } },
        { 6, 1, "progress", "p", { .type = ROW_PROGRESS, .fields = "{\"done\":3}" } },
        { 7, 1, "artifact", "x", { .type = ROW_ARTIFACT, .name = "best.safetensors", .size = 5, .sha256 = "aa" } },
        { 8, 2, "artifact", "x", { .type = ROW_ARTIFACT, .name = "best.safetensors", .size = 6, .sha256 = "bb" } },
        { 9, 2, "artifact", "x", { .type = ROW_ARTIFACT, .name = "a.json", .size = 7, .sha256 = "cc" } },
    };
    struct db_artifact artifact, *artifacts;
    db_job_auto job = { 0 };
    char **texts;

    fixture_open();
    add_job("a", "mrc", 0, NULL, NULL, -1);
    CHECK_INT(db_ingest(fixture, "a", 0, 9, batch, 9), 0);
    CHECK_INT(db_row_list(fixture, "a", ROW_MODULE, &texts), 2);
    CHECK_STRING(texts[0], "m3"); /* first to appear, newest word */
    CHECK_STRING(texts[1], "m2");
    db_texts_free(texts, 2);
    CHECK_INT(db_row_list(fixture, "a", ROW_ALPHA, &texts), 2);
    CHECK_STRING(texts[0], "a2");
    db_texts_free(texts, 2);
    CHECK_INT(db_row_list(fixture, "a", ROW_EVALUATION, &texts), 0);
    db_texts_free(texts, 0);
    db_job_get(fixture, "a", &job);
    CHECK_STRING(job.progress, "{\"done\":3}");
    CHECK_INT(db_artifact_list(fixture, "a", &artifacts), 2);
    CHECK_STRING(artifacts[0].name, "a.json");
    free(artifacts);
    CHECK_INT(db_artifact_get(fixture, "a", "best.safetensors", &artifact), 0);
    CHECK_STRING(artifact.sha256, "bb");
    CHECK_INT(artifact.size, 6);
    CHECK_INT(db_artifact_get(fixture, "a", "none", &artifact), -ENOENT);
    fixture_close();
}

static void streams(void)
{
    struct db_event *events;
    char first[DB_ID_SIZE];
    struct db_new_job jobs[] = { { .id = "p", .kind = "rift", .spec = "{}", .step = -1 },
                                 { .id = "s", .kind = "train", .spec = "{}", .step = 0, .parent = "p" } };

    struct db_ingest_event note = { .seq = 1, .time_ms = 5000, .type = "note", .fields = "{\"n\":1}" };

    fixture_open();
    db_job_insert(fixture, jobs, 2, NULL, NULL, 1000, first);
    add_job("other", "train", 0, NULL, NULL, -1);
    CHECK_INT(db_ingest(fixture, "s", 0, 10, &note, 1), 0);
    CHECK_INT(events_count(NULL), 4);
    CHECK_INT(events_count("p"), 3); /* its own and its step's */
    CHECK_INT(events_count("s"), 2);
    CHECK_INT(events_count("nobody"), -ENOENT);
    int count = db_event_list(fixture, "p", 0, 2, &events);
    CHECK_INT(count, 2);
    CHECK_STRING(events[0].job, "p");
    CHECK_STRING(events[0].type, "state");
    CHECK_STRING(events[0].fields, "{\"time_ms\":1000,\"type\":\"state\",\"state\":\"queued\"}");
    int64_t after = events[1].id;
    db_events_free(events, count);
    CHECK_INT(db_event_list(fixture, "p", after, 10, &events), 1);
    CHECK_STRING(events[0].fields, "{\"n\":1}");
    CHECK_INT(events[0].time_ms, 5000);
    db_events_free(events, 1);
    fixture_close();
}

static void states_are_told(void)
{
    static const char *const told[] = {
        "{\"time_ms\":1000,\"type\":\"state\",\"state\":\"queued\"}",
        "{\"time_ms\":2000,\"type\":\"state\",\"state\":\"running\",\"device\":\"cpu\"}",
        "{\"time_ms\":3000,\"type\":\"state\",\"state\":\"failed\",\"error\":{\"code\":\"c\"}}",
        "{\"time_ms\":4000,\"type\":\"state\",\"state\":\"queued\"}",
        "{\"time_ms\":5000,\"type\":\"state\",\"state\":\"cancelled\"}",
    };
    struct db_event *events;
    db_job_auto job = { 0 };

    fixture_open();
    add_job("a", "train", 0, NULL, NULL, -1);
    db_job_claim(fixture, ON("cpu"), 2000, &job);
    db_job_move(fixture, "a", STATE_FAILED, NULL, "{\"code\":\"c\"}", 3000);
    db_job_retry(fixture, "a", 4000);
    db_job_cancel(fixture, "a", 5000);
    CHECK_INT(db_event_list(fixture, "a", 0, 0, &events), 5);
    for (int i = 0; i < 5; i++)
        CHECK_STRING(events[i].fields, told[i]);
    db_events_free(events, 5);
    fixture_close();
}

static void last_word(void)
{
    struct db_ingest_event event = { .seq = 1, .type = "failed", .fields = "{\"code\":\"c\"}" };
    struct db_event last;
    db_job_auto job = { 0 };
    bool fresh;

    fixture_open();
    add_job("a", "train", 0, NULL, NULL, -1);
    db_job_claim(fixture, ON("cpu"), 2000, &job);
    CHECK_INT(db_event_last(fixture, "a", &last, &fresh), -ENOENT);
    CHECK_INT(db_ingest(fixture, "a", 0, 10, &event, 1), 0);
    CHECK_INT(db_event_last(fixture, "a", &last, &fresh), 0);
    CHECK_STRING(last.type, "failed");
    CHECK_STRING(last.fields, "{\"code\":\"c\"}");
    CHECK(fresh);
    free(last.fields);
    CHECK_INT(db_job_move(fixture, "a", STATE_QUEUED, NULL, NULL, 3000), 0);
    CHECK_INT(db_event_last(fixture, "a", &last, &fresh), 0);
    CHECK_STRING(last.type, "failed"); /* still the journal's last, but of an attempt before */
    CHECK(!fresh);
    free(last.fields);
    fixture_close();
}

static const struct check_case cases[] = {
    { "a replayed batch is refused by its offset, a replayed event by its seq, a replayed point by its step", replay },
    { "a journal that was cut and goes on otherwise is followed, and costs no point", journal_cut },
    { "a batch with a bad row stores nothing and moves no offset", a_bad_row_stores_nothing },
    { "a series keeps count, last, minimum and maximum, past values that are no numbers", series_statistics },
    { "downsampling keeps spikes, first and last, and its limit", spikes_stay },
    { "modules, alphas and artifacts show their newest word in order", outcomes },
    { "a stream resumes after an id, and a parent's holds its steps' events", streams },
    { "a journal's last word is fresh until the job's state changes", last_word },
    { "every change of state is told as an event", states_are_told },
};
CHECK_MAIN(cases)
