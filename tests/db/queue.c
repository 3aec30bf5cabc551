/* Does the queue show the order in which jobs are taken, and no more of it than was asked for? */
#include "tests/db/fixture.h"

enum { QUEUED = 60, ALL = 1000, NOW = 10000000 };

static int add_for(const char *id, const char *owner, const char *device, int priority, const char *after)
{
    char first[DB_ID_SIZE];
    struct db_new_job job = { .id = id,
                              .kind = "train",
                              .spec = "{}",
                              .owner = owner,
                              .device = device,
                              .priority = priority,
                              .step = -1,
                              .after = &after,
                              .after_count = after ? 1 : 0 };

    return db_job_insert(fixture, &job, 1, NULL, NULL, 1000, first);
}

/* Jobs of three owners for three devices, one that runs, held ones, blocked ones, and a parent. */
static void filled(void)
{
    static const char *const owners[] = { "", "ann", "bob" }, *const devices[] = { "auto", "cpu", "cuda:1" };
    struct db_policy policy = { .ageing_ms = 1000, .half_life_ms = 1000000, .fair_share_ms = 5000 };
    const bool held = true;
    db_job_auto job = { 0 };
    char id[24];

    fixture_open();
    CHECK_INT(db_policy_set(fixture, &policy), 0);
    CHECK_INT(add_for("running", "ann", "cpu", 100, NULL), 0);
    CHECK_INT(db_job_claim(fixture, ON("cpu"), 2000, &job), 1);
    for (int i = 0; i < QUEUED; i++) {
        snprintf(id, sizeof(id), "queued-%02d", i);
        CHECK_INT(add_for(id, owners[i % 3], devices[i / 3 % 3], i * 7 % 11, NULL), 0);
    }
    CHECK_INT(add_for("held-1", "ann", "auto", 50, NULL), 0);
    CHECK_INT(add_for("held-2", "bob", "auto", 60, NULL), 0);
    CHECK_INT(db_job_change(fixture, "held-1", &(struct db_job_change){ .held = &held }, 3000), 0);
    CHECK_INT(db_job_change(fixture, "held-2", &(struct db_job_change){ .held = &held }, 3000), 0);
    CHECK_INT(add_for("blocked-1", "ann", "auto", 90, "running"), 0);
    CHECK_INT(add_job("parent", "rift", 0, NULL, NULL, -1), 0);
}

static void in_order(void)
{
    struct db_job *jobs;

    filled();
    int count = db_queue_list(fixture, ALL, NOW, &jobs);
    CHECK_INT(count, 1 + QUEUED + 2 + 1);
    CHECK_STRING(jobs[0].id, "running");
    for (int i = 0; i < QUEUED; i++) {
        CHECK_INT(db_job_position(fixture, jobs[1 + i].id, NOW), i);
        CHECK(jobs[1 + i].spec == NULL);
    }
    CHECK_STRING(jobs[1 + QUEUED].id, "held-1");
    CHECK_STRING(jobs[2 + QUEUED].id, "held-2");
    CHECK_STRING(jobs[3 + QUEUED].id, "blocked-1");
    db_jobs_free(jobs, count);
    fixture_close();
}

static void its_head(void)
{
    static const int limits[] = { 1, 2, 10, 1 + QUEUED, 2 + QUEUED };
    struct db_job *jobs, *head;

    filled();
    int count = db_queue_list(fixture, ALL, NOW, &jobs);
    for (size_t k = 0; k < sizeof(limits) / sizeof(limits[0]); k++) {
        CHECK_INT(db_queue_list(fixture, limits[k], NOW, &head), limits[k]);
        for (int i = 0; i < limits[k]; i++)
            CHECK_STRING(head[i].id, jobs[i].id);
        db_jobs_free(head, limits[k]);
    }
    db_jobs_free(jobs, count);
    fixture_close();
}

static void long_queue(void)
{
    struct db_policy policy = { .ageing_ms = 1000, .half_life_ms = 1000000 };
    char id[16];

    fixture_open();
    CHECK_INT(db_policy_set(fixture, &policy), 0);
    for (int i = 0; i < DB_POSITION_MOST + 3; i++) {
        snprintf(id, sizeof(id), "%d", i);
        CHECK_INT(add_for(id, i % 2 ? "ann" : "bob", "auto", 0, NULL), 0);
    }
    for (int i = DB_POSITION_MOST - 2; i < DB_POSITION_MOST + 3; i++) {
        snprintf(id, sizeof(id), "%d", i);
        CHECK_INT(db_job_position(fixture, id, NOW), i < DB_POSITION_MOST ? i : DB_POSITION_MOST);
    }
    fixture_close();
}

static void depths_of(void)
{
    struct db_depth *depths;
    int expected[11] = { 0 };

    filled();
    for (int i = 0; i < QUEUED; i++)
        expected[i * 7 % 11]++;
    int count = db_queue_depths(fixture, &depths);
    CHECK_INT(count, 11);
    for (int i = 0; i < count; i++) {
        CHECK_INT(depths[i].priority, i);
        CHECK_INT(depths[i].jobs, expected[i]);
    }
    free(depths);
    fixture_close();
}

static void empty(void)
{
    struct db_depth *depths;
    struct db_job *jobs;

    fixture_open();
    CHECK_INT(db_queue_list(fixture, ALL, NOW, &jobs), 0);
    db_jobs_free(jobs, 0);
    CHECK_INT(db_queue_depths(fixture, &depths), 0);
    free(depths);
    fixture_close();
}

static const struct check_case cases[] = {
    { "what runs, then what is queued as it will be taken, then what is held, then what waits for others", in_order },
    { "the head of the queue is the beginning of all of it", its_head },
    { "a place far behind in the queue is told as such, and not counted", long_queue },
    { "the queue is counted by priority, without what runs, is held or waits for others", depths_of },
    { "a queue may be empty", empty },
};
CHECK_MAIN(cases)
