/* Does retention take what it may, and nothing else? */
#include "tests/db/fixture.h"

static void end(const char *id, int64_t now_ms)
{
    db_job_auto job = { 0 };

    CHECK_INT(db_job_claim(fixture, &(struct db_offer){ .device = "cpu", .only = id }, now_ms, &job), 1);
    CHECK_INT(db_job_move(fixture, id, STATE_SUCCEEDED, NULL, NULL, now_ms), 0);
}

static void aged_in_order(void)
{
    struct db_aged *aged;

    fixture_open();
    for (const char *id = "a\0b\0c\0d\0"; *id; id += 2) {
        add_job(id, "train", 0, NULL, NULL, -1);
        end(id, 1000 * (id[0] - 'a' + 1));
    }
    force("UPDATE job SET pinned = 1 WHERE id = 'b'");
    CHECK_INT(db_job_purge(fixture, "c", PART_CHECKPOINT, true, 5000), 0);
    CHECK_INT(db_aged_list(fixture, PART_CHECKPOINT, 9000, 0, 0, 10, &aged), 2);
    CHECK_STRING(aged[0].id, "a");
    CHECK_STRING(aged[1].id, "d");
    CHECK_INT(aged[1].ended_ms, 4000);
    free(aged);
    CHECK_INT(db_aged_list(fixture, PART_CHECKPOINT, 9000, 1000, 1, 10, &aged), 1);
    free(aged);
    CHECK_INT(db_aged_list(fixture, PART_ARTIFACTS, 4000, 0, 0, 10, &aged), 2); /* c has its artifacts still */
    free(aged);
    CHECK_INT(db_aged_list(fixture, 0, 9000, 0, 0, 2, &aged), 2); /* whole jobs, a page */
    CHECK_STRING(aged[1].id, "c");
    free(aged);
    fixture_close();
}

static void what_is_wanted_stays(void)
{
    const bool yes = true;
    struct db_job_change pin = { .pinned = &yes };

    fixture_open();
    add_job("a", "train", 0, NULL, NULL, -1);
    CHECK_INT(db_job_purge(fixture, "a", PART_ARTIFACTS, true, 2000), -ESTALE); /* it hasn't ended */
    end("a", 2000);
    add_job("b", "mrc", 0, "a", NULL, -1);
    CHECK_INT(db_job_purge(fixture, "a", PART_ARTIFACTS, true, 3000), -ESTALE); /* b needs it */
    CHECK_HOLDS(db_errmsg(fixture), "has not ended needs");
    CHECK_INT(db_job_expire(fixture, "a"), -ESTALE);
    end("b", 3000);
    CHECK_INT(db_job_change(fixture, "a", &pin, 3000), 0);
    CHECK_INT(db_job_purge(fixture, "a", PART_CHECKPOINT, true, 3000), -ESTALE);
    CHECK_INT(db_job_expire(fixture, "a"), -ESTALE);
    CHECK_HOLDS(db_errmsg(fixture), "pinned");
    CHECK_INT(db_job_delete(fixture, "a"), 0); /* a person may */
    add_job("p", "rift", 0, NULL, NULL, -1);
    add_job("s", "train", 0, NULL, "p", 0);
    add_job("t", "mrc", 0, NULL, "p", 1);
    end("s", 4000);
    CHECK_INT(db_job_purge(fixture, "s", PART_EVENTS, true, 4000), -ESTALE); /* its rift job goes on */
    CHECK_HOLDS(db_errmsg(fixture), "is a step of p");
    end("t", 5000);
    CHECK_INT(db_job_purge(fixture, "s", PART_EVENTS, true, 5000), 0);
    CHECK_INT(db_job_change(fixture, "t", &pin, 3000), 0);
    CHECK_INT(db_job_expire(fixture, "p"), -ESTALE); /* for its step is pinned */
    fixture_close();
}

static void what_goes_is_doomed_and_told(void)
{
    char(*paths)[64];
    struct db_artifact *artifacts = NULL;
    struct db_event *events;
    db_job_auto job = { 0 };

    fixture_open();
    add_job("a", "train", 0, NULL, NULL, -1);
    db_artifact_put(fixture, "a", "w", 10, "", 1000);
    end("a", 2000);
    CHECK_INT(db_job_purge(fixture, "a", PART_CHECKPOINT, true, 3000), 0);
    CHECK_INT(db_job_purge(fixture, "a", PART_ARTIFACTS, true, 4000), 0);
    CHECK_INT(db_artifact_list(fixture, "a", &artifacts), 0);
    free(artifacts);
    CHECK_INT(db_job_get(fixture, "a", &job), 0);
    CHECK_INT(job.purged, PART_CHECKPOINT | PART_ARTIFACTS);
    CHECK_INT(job.purged_ms, 4000);
    CHECK_INT(db_doomed_list(fixture, 10, &paths), 2);
    CHECK_STRING(paths[0], "a/artifacts");
    CHECK_INT(db_doomed_done(fixture, paths[0]), 0);
    CHECK_INT(db_doomed_done(fixture, paths[1]), 0);
    free(paths);
    int count = db_event_list(fixture, "a", 0, 10, &events);
    CHECK_STRING(events[count - 1].fields, "{\"time_ms\":4000,\"type\":\"purged\",\"what\":\"artifacts\"}");
    db_events_free(events, count);
    CHECK_INT(db_job_expire(fixture, "a"), 0);
    CHECK_STRING(state_of("a"), "missing");
    CHECK_INT(db_doomed_list(fixture, 10, &paths), 1);
    CHECK_STRING(paths[0], "a");
    free(paths);
    fixture_close();
}

static void events_go_in_slices(void)
{
    struct db_event *events;
    int slices = 1;

    fixture_open();
    add_job("a", "train", 0, NULL, NULL, -1);
    force("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)"
          " INSERT INTO event(job, family, seq, time_ms, type, fields) SELECT 1, 1, i, i, 'metric', '{}' FROM n");
    end("a", 2000);
    CHECK_INT(db_job_purge(fixture, "a", PART_EVENTS, true, 3000), 1);
    CHECK_INT(db_event_gap(fixture, "a", 5), DB_GAP_PURGED); /* from the first slice on */
    while (db_job_purge(fixture, "a", PART_EVENTS, true, 3000) == 1)
        slices++;
    CHECK_INT(slices, 2); /* and the one before */
    int count = db_event_list(fixture, "a", 0, 10, &events);
    CHECK_INT(count, 1);
    CHECK_STRING(events[0].type, "purged");
    db_events_free(events, count);
    fixture_close();
}

static void what_was_never_there_is_not_told(void)
{
    struct db_aged *aged;
    struct db_event *events;
    db_job_auto job = { 0 };

    fixture_open();
    add_job("a", "train", 0, NULL, NULL, -1);
    end("a", 2000);
    CHECK_INT(db_job_purge(fixture, "a", PART_CHECKPOINT, false, 3000), 0);
    CHECK_INT(db_job_purge(fixture, "a", PART_ARTIFACTS, false, 3000), 0);
    CHECK_INT(db_job_get(fixture, "a", &job), 0);
    CHECK_INT(job.purged, 0);
    CHECK_INT(job.purged_ms, 0);
    int count = db_event_list(fixture, "a", 0, 10, &events);
    CHECK_STRING(events[count - 1].type, "state");
    db_events_free(events, count);
    CHECK_INT(db_aged_list(fixture, PART_CHECKPOINT, 9000, 0, 0, 10, &aged), 0); /* nobody looks again */
    free(aged);
    fixture_close();
}

static void a_retry_waits_for_the_removal(void)
{
    char(*paths)[64];
    db_job_auto job = { 0 };

    fixture_open();
    add_job("a", "train", 0, NULL, NULL, -1);
    CHECK_INT(db_job_cancel(fixture, "a", 2000), 0);
    CHECK_INT(db_job_purge(fixture, "a", PART_CHECKPOINT, true, 3000), 0);
    CHECK_INT(db_job_retry(fixture, "a", 4000), -ESTALE);
    CHECK_HOLDS(db_errmsg(fixture), "being removed");
    CHECK_INT(db_doomed_list(fixture, 10, &paths), 1);
    CHECK_INT(db_doomed_done(fixture, paths[0]), 0);
    free(paths);
    CHECK_INT(db_job_retry(fixture, "a", 4000), 0);
    CHECK_INT(db_job_get(fixture, "a", &job), 0);
    CHECK_INT(job.purged, 0);
    fixture_close();
}

static const struct check_case cases[] = {
    { "ended jobs are listed oldest first, without pinned ones and those that were purged", aged_in_order },
    { "what is pinned, unended or needed stays", what_is_wanted_stays },
    { "what goes is doomed and told in one transaction", what_goes_is_doomed_and_told },
    { "events go in slices", events_go_in_slices },
    { "what was never there goes without a word, and only once", what_was_never_there_is_not_told },
    { "a retry waits until old files are gone", a_retry_waits_for_the_removal },
};
CHECK_MAIN(cases)
