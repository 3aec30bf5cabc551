/* Is a deleted job gone at once for everybody, and its rows by and by, whatever happens in between? */
#include "tests/db/fixture.h"

#include <sys/wait.h>
#include <unistd.h>

enum { POINTS = 3000 };

/* An ended job of "ada" with a curve, an artifact, a key, a model that it reads and a job that needed it. */
static void ended_job(const char *id, const char *key)
{
    static const char *const models[] = { "model" };
    struct db_new_job job = { .id = id,
                              .kind = "train",
                              .label = "kept",
                              .owner = "ada",
                              .spec = "{}",
                              .step = -1,
                              .models = models,
                              .model_count = 1 };
    struct db_ingest_event *events = calloc(POINTS, sizeof(*events));
    struct db_model model;
    char first[DB_ID_SIZE], needs[16];

    db_model_insert(fixture, &(struct db_model){ .id = "model", .name = "m", .size = 5, .sha256 = "a" }, &model);
    CHECK_INT(db_job_insert(fixture, &job, 1, key, "hash", 1000, first), 0);
    for (int i = 0; i < POINTS; i++)
        events[i] = (struct db_ingest_event){ .seq = i + 1,
                                              .time_ms = 1,
                                              .type = "metric",
                                              .fields = "{}",
                                              .row = { .type = ROW_METRIC, .name = "loss", .step = i, .value = 1 } };
    events[0].row = (struct db_row){ .type = ROW_MODULE, .name = "conv1", .step = 1, .fields = "{}" };
    CHECK_INT(db_ingest(fixture, id, 0, 10, events, POINTS), 0);
    free(events);
    CHECK_INT(db_artifact_put(fixture, id, "best", 1000, "hash", 1), 0);
    snprintf(needs, sizeof(needs), "%.8s-user", id);
    CHECK_INT(add_job(needs, "mrc", 0, id, NULL, -1), 0);
    CHECK_INT(db_job_cancel(fixture, id, 2000), 0);
}

/* How many jobs, of everybody or of a filter, lists and counts tell of. */
static int listed(struct db_job_filter filter)
{
    struct db_job *jobs;
    int count;

    filter.limit = 100;
    count = db_job_list(fixture, &filter, &jobs);
    db_jobs_free(jobs, count);
    return count;
}

/* Nobody is told of "a" any more; "b", which is like it, is as before. */
static void unseen(void)
{
    struct db_policy policy = { .ageing_ms = 1, .half_life_ms = 1000, .artifacts_max = 1500 };
    db_job_auto job = { 0 };
    struct db_artifact *artifacts;
    struct db_aged *aged;
    struct db_need *needs;
    char(*ids)[DB_ID_SIZE], first[DB_ID_SIZE];
    int64_t count;

    CHECK_INT(db_job_get(fixture, "a", &job), -ENOENT);
    CHECK_INT(db_job_delete(fixture, "a"), -ENOENT);
    CHECK_INT(db_job_retry(fixture, "a", 1), -ENOENT);
    CHECK_INT(db_artifact_list(fixture, "a", &artifacts), -ENOENT);
    CHECK_INT(events_count("a"), -ENOENT);
    CHECK_INT(listed((struct db_job_filter){ .state = -1 }), 3);
    CHECK_INT(listed((struct db_job_filter){ .state = STATE_CANCELLED }), 3);
    CHECK_INT(listed((struct db_job_filter){ .state = -1, .owner = "ada" }), 1);
    CHECK_INT(listed((struct db_job_filter){ .state = -1, .label = "kept" }), 1);
    CHECK_INT(listed((struct db_job_filter){ .state = -1, .parent = "" }), 3);
    CHECK_INT(db_job_count(fixture, STATE_CANCELLED, &count), 0);
    CHECK_INT(count, 3);
    CHECK_INT(events_count(NULL), POINTS + 6);
    for (int parts = 0; parts < 8; parts += 7) {
        CHECK_INT(db_aged_list(fixture, parts, 1 << 30, 0, 0, 10, &aged), 3);
        free(aged);
    }
    CHECK_INT(db_job_after(fixture, "a-user", &needs), 0);
    free(needs);
    CHECK_INT(db_model_users(fixture, "model", &ids), 1);
    free(ids);
    CHECK_INT(db_job_repeated(fixture, "ada", "key", "other", first), 0);
    CHECK_INT(add_job("new", "mrc", 0, "a", NULL, -1), -ENOENT);
    CHECK_INT(db_policy_set(fixture, &policy), 0); /* one thousand of them is b's */
    struct db_new_job more = { .id = "a", .kind = "train", .owner = "ada", .spec = "{}", .step = -1 };
    CHECK_INT(db_job_insert(fixture, &more, 1, NULL, NULL, 3000, first), 0); /* the id is free, too */
    CHECK_INT(db_job_cancel(fixture, "a", 3000), 0);
    CHECK_INT(db_job_delete(fixture, "a"), 0);
    CHECK_INT(db_doomed_has(fixture, "a"), 1);
    CHECK_INT(db_doomed_has(fixture, "b"), 0);
}

/* Only what belongs to "b" and the two that needed one of them is in the file. */
static void nothing_left(void)
{
    char **texts;

    CHECK_INT(number_in_file("SELECT COUNT(*) FROM job"), 3);
    CHECK_INT(number_in_file("SELECT COUNT(*) FROM job WHERE gone"), 0);
    CHECK_INT(number_in_file("SELECT COUNT(*) FROM event"), POINTS + 6);
    CHECK_INT(number_in_file("SELECT COUNT(*) FROM point"), POINTS - 1);
    CHECK_INT(number_in_file("SELECT COUNT(*) FROM series"), 1);
    CHECK_INT(number_in_file("SELECT COUNT(*) FROM outcome"), 1);
    CHECK_INT(number_in_file("SELECT COUNT(*) FROM artifact"), 1);
    CHECK_INT(number_in_file("SELECT COUNT(*) FROM dependency"), 1);
    CHECK_INT(number_in_file("SELECT COUNT(*) FROM idempotency"), 1);
    CHECK_INT(db_check(fixture, &texts), 0);
    db_texts_free(texts, 0);
}

static void two_jobs(void)
{
    fixture_open();
    ended_job("a", "key");
    ended_job("b", "other");
}

static void at_once(void)
{
    int slices = 0, r;

    two_jobs();
    CHECK_INT(db_job_delete(fixture, "a"), 0);
    CHECK_INT(number_in_file("SELECT COUNT(*) FROM point"), 2 * POINTS - 2); /* that is what took so long */
    unseen();
    while ((r = db_gone_clear(fixture)) > 0) {
        slices++;
        unseen();
    }
    CHECK_INT(r, 0);
    CHECK(slices >= 2);
    nothing_left();
    fixture_close();
}

/* The process dies after each slice, and before the first. */
static void killed(void)
{
    char message[256] = "";
    int status = 0, turns = 0;

    two_jobs();
    CHECK_INT(db_job_delete(fixture, "a"), 0);
    do {
        db_close(fixture);
        fixture = NULL;
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) {
            struct db *db;
            int r = db_open(fixture_path, &db, message);
            if (r >= 0)
                r = db_gone_clear(db);
            _exit(r < 0 ? 2 : r); /* without a word to SQLite, as a kill would be */
        }
        CHECK_INT(waitpid(child, &status, 0), child);
        CHECK_INT(db_open(fixture_path, &fixture, message), 0);
        unseen();
    } while (WIFEXITED(status) && WEXITSTATUS(status) == 1 && ++turns < 100);
    CHECK_INT(WEXITSTATUS(status), 0);
    CHECK_INT(db_gone_clear(fixture), 0);
    nothing_left();
    fixture_close();
}

/* A parent's steps go with it; a step that goes alone is none of its parent's any more. */
static void trees(void)
{
    struct db_job *steps;
    int64_t before, after;

    fixture_open();
    add_job("p", "rift", 0, NULL, NULL, -1);
    add_job("s", "train", 0, NULL, "p", 0);
    add_job("t", "train", 0, NULL, "p", 1);
    CHECK_INT(db_job_cancel(fixture, "p", 2000), 0);
    CHECK_INT(db_job_version(fixture, "p", &before), 0);
    CHECK_INT(db_job_delete(fixture, "t"), 0);
    CHECK_INT(db_job_steps(fixture, "p", &steps), 1);
    db_jobs_free(steps, 1);
    CHECK_INT(events_count("p"), 5); /* three of its own, two of "s" */
    CHECK_INT(db_job_version(fixture, "p", &after), 0);
    CHECK(after > before);
    CHECK_INT(db_gone_clear(fixture), 0);
    CHECK_INT(db_job_version(fixture, "p", &before), 0);
    CHECK_INT(before, after);
    CHECK_INT(db_job_delete(fixture, "p"), 0);
    CHECK_STRING(state_of("s"), "missing");
    CHECK_INT(number_in_file("SELECT COUNT(*) FROM job"), 2);
    CHECK_INT(db_gone_clear(fixture), 0); /* both in one slice */
    CHECK_INT(number_in_file("SELECT COUNT(*) FROM job"), 0);
    fixture_close();
}

static const struct check_case cases[] = {
    { "a deleted job is gone for everybody at once, and its rows go in slices", at_once },
    { "a deletion that is killed after any slice is gone on with, and the job stays gone", killed },
    { "a parent goes with its steps, and a step alone without its parent", trees },
};

int main(int argc, char **argv)
{
    return check_main(cases, (int)(sizeof(cases) / sizeof(cases[0])), argc, argv);
}
