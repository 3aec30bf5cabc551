/* Are parents of parents what the jobs two floors below them are? */
#include "tests/db/fixture.h"

#define SUCCEEDED STATE_SUCCEEDED

/* w: rift jobs a (steps a0 a1) and b (step b1, which needs a0). */
static void add_sweep(void)
{
    static const char *const rows[][4] = {
        /* id, parent, after, kind */
        { "w", NULL, NULL, "sweep" }, { "a", "w", NULL, "rift" }, { "a0", "a", NULL, "train" },
        { "a1", "a", "a0", "mrc" },   { "b", "w", NULL, "rift" }, { "b1", "b", "a0", "mrc" },
    };
    struct db_new_job jobs[6];
    char first[DB_ID_SIZE];

    for (int i = 0; i < 6; i++)
        jobs[i] = (struct db_new_job){ .id = rows[i][0],
                                       .kind = rows[i][3],
                                       .spec = "{}",
                                       .parent = rows[i][1],
                                       .step = rows[i][1] ? i : -1,
                                       .after = &rows[i][2],
                                       .after_count = rows[i][2] ? 1 : 0 };
    CHECK_INT(db_job_insert(fixture, jobs, 6, NULL, NULL, 1000, first), 0);
    CHECK_STRING(first, "w");
}

static void run_next(const char *id, enum job_state end)
{
    db_job_auto job = { 0 };

    CHECK_INT(db_job_claim(fixture, ON("cpu"), 2000, &job), 1);
    CHECK_STRING(job.id, id); /* never a parent */
    CHECK_INT(
        db_job_move(fixture, id, end, NULL, end == STATE_FAILED ? "{\"code\":\"x\",\"message\":\"y\"}" : NULL, 3000),
        0);
}

static void sweep_follows(void)
{
    struct db_event *events;
    struct db_job *running;

    fixture_open();
    add_sweep();
    CHECK_STRING(state_of("w"), "queued");
    CHECK_INT(db_job_position(fixture, "w", 2000), -ENOENT);
    run_next("a0", SUCCEEDED);
    CHECK_STRING(state_of("w"), "running");
    CHECK_INT(db_job_running(fixture, &running), 0); /* parents run nowhere */
    db_jobs_free(running, 0);
    CHECK_STRING(state_of("b1"), "queued");
    run_next("a1", STATE_FAILED);
    CHECK_STRING(state_of("a"), "failed");
    CHECK_STRING(state_of("w"), "running"); /* the others go on */
    run_next("b1", SUCCEEDED);
    CHECK_STRING(state_of("b"), "succeeded");
    CHECK_STRING(state_of("w"), "failed");
    db_job_auto sweep = { 0 };
    CHECK_INT(db_job_get(fixture, "w", &sweep), 0);
    CHECK_STRING(sweep.error, "{\"code\":\"x\",\"message\":\"y\"}");

    CHECK_INT(db_job_retry(fixture, "w", 4000), 0);
    CHECK_STRING(state_of("w"), "running");
    CHECK_STRING(state_of("a1"), "queued");
    CHECK_STRING(state_of("b"), "succeeded");
    run_next("a1", SUCCEEDED);
    CHECK_STRING(state_of("w"), "succeeded");

    /* A sweep tells of its rift jobs, a rift job of itself and its steps. */
    int count = db_event_list(fixture, "w", 0, 0, &events);
    for (int i = 0; i < count; i++)
        CHECK(strcmp(events[i].job, "w") == 0 || strcmp(events[i].job, "a") == 0 || strcmp(events[i].job, "b") == 0);
    CHECK(count > 6);
    db_events_free(events, count);
    count = db_event_list(fixture, "b", 0, 0, &events);
    for (int i = 0; i < count; i++)
        CHECK(strcmp(events[i].job, "b") == 0 || strcmp(events[i].job, "b1") == 0);
    CHECK(count >= 6);
    db_events_free(events, count);
    fixture_close();
}

static void shared_training_fails(void)
{
    fixture_open();
    add_sweep();
    run_next("a0", STATE_FAILED);
    CHECK_STRING(state_of("a"), "failed");
    CHECK_STRING(state_of("b1"), "cancelled");
    CHECK_STRING(state_of("b"), "cancelled"); /* nothing of it has run */
    db_job_auto job = { 0 };
    CHECK_INT(db_job_get(fixture, "b", &job), 0);
    CHECK_HOLDS(job.error, "job a0, which this one needs, failed");
    CHECK_STRING(state_of("w"), "failed");
    CHECK_INT(db_job_retry(fixture, "b", 4000), -ESTALE);
    CHECK_HOLDS(db_errmsg(fixture), "retry that one first");
    CHECK_INT(db_job_retry(fixture, "w", 4000), 0);
    CHECK_STRING(state_of("a0"), "queued");
    CHECK_STRING(state_of("a1"), "blocked");
    CHECK_STRING(state_of("b1"), "blocked");
    CHECK_STRING(state_of("w"), "queued");
    fixture_close();
}

static void sweep_cancelled_and_deleted(void)
{
    char(*ids)[DB_ID_SIZE];
    db_job_auto job = { 0 };

    fixture_open();
    add_sweep();
    db_job_claim(fixture, ON("cpu"), 2000, &job);
    CHECK_INT(db_job_delete(fixture, "w"), -ESTALE);
    CHECK_INT(db_job_cancel(fixture, "w", 2100), 0);
    CHECK_STRING(state_of("b1"), "cancelled");
    CHECK_STRING(state_of("a0"), "running"); /* its worker is asked to stop */
    CHECK_INT(db_job_move(fixture, "a0", STATE_QUEUED, NULL, NULL, 2200), 0);
    CHECK_STRING(state_of("a0"), "cancelled");
    CHECK_STRING(state_of("w"), "cancelled");
    CHECK_INT(db_job_cancel(fixture, "w", 2300), -ESTALE);

    /* A retried step wakes its parent and the parent's parent. */
    CHECK_INT(db_job_retry(fixture, "a0", 2400), 0);
    db_job_auto woken = { 0 };
    CHECK_INT(db_job_get(fixture, "w", &woken), 0);
    CHECK(!woken.cancel_wanted);
    CHECK_INT(db_job_cancel(fixture, "w", 2500), 0);

    CHECK_INT(add_job("other", "mrc", 0, NULL, NULL, -1), 0);
    force("INSERT INTO dependency(job, needs) SELECT (SELECT number FROM job WHERE id = 'other'), number FROM job "
          "WHERE id = 'a1'");
    CHECK_INT(db_job_delete(fixture, "w"), -ESTALE); /* somebody waits for what lies two floors below */
    CHECK_INT(db_job_cancel(fixture, "other", 2600), 0);
    CHECK_INT(db_job_below(fixture, "w", &ids), 5);
    CHECK_STRING(ids[0], "a");
    free(ids);
    CHECK_INT(db_job_delete(fixture, "w"), 0);
    CHECK_STRING(state_of("b1"), "missing");
    fixture_close();
}

/* A rift job's evaluation is step 4 and waits for the copies of step 5, which is made before it. */
static void later_step_first(void)
{
    static const char *const after = "r5";
    struct db_new_job jobs[] = {
        { .id = "r", .kind = "rift", .spec = "{}", .step = -1 },
        { .id = "r5", .kind = "corrupt", .spec = "{}", .parent = "r", .step = 5 },
        { .id = "r4", .kind = "evaluate", .spec = "{}", .parent = "r", .step = 4, .after = &after, .after_count = 1 },
    };
    char first[DB_ID_SIZE];

    fixture_open();
    CHECK_INT(db_job_insert(fixture, jobs, 3, NULL, NULL, 1000, first), 0);
    run_next("r5", STATE_FAILED);
    CHECK_STRING(state_of("r4"), "cancelled");
    CHECK_STRING(state_of("r"), "failed");
    CHECK_INT(db_job_retry(fixture, "r", 4000), 0);
    CHECK_STRING(state_of("r5"), "queued");
    CHECK_STRING(state_of("r4"), "blocked");
    run_next("r5", SUCCEEDED);
    run_next("r4", SUCCEEDED);
    CHECK_STRING(state_of("r"), "succeeded");
    fixture_close();
}

static const struct check_case cases[] = {
    { "a sweep follows its rift jobs, and one that fails doesn't stop the others", sweep_follows },
    { "a shared step that fails takes all with it that need it, and a retry brings them back", shared_training_fails },
    { "cancelling and deleting a sweep reach everything below it", sweep_cancelled_and_deleted },
    { "a retried parent begins with the step that others need, whatever their numbers", later_step_first },
};
CHECK_MAIN(cases)
