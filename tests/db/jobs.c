/* Does a job's life keep to the drawing in db/jobs.c? */
#include "job/job.h"
#include "tests/db/fixture.h"

#include <pthread.h>

#define SUCCEEDED STATE_SUCCEEDED

/* The drawing again, written down a second time by hand. */
static const struct {
    enum job_state from, to;
} drawn[] = {
    { STATE_BLOCKED, STATE_QUEUED },    { STATE_BLOCKED, STATE_CANCELLED }, { STATE_QUEUED, STATE_RUNNING },
    { STATE_QUEUED, STATE_CANCELLED },  { STATE_RUNNING, STATE_SUCCEEDED }, { STATE_RUNNING, STATE_FAILED },
    { STATE_RUNNING, STATE_CANCELLED }, { STATE_RUNNING, STATE_QUEUED },    { STATE_FAILED, STATE_QUEUED },
    { STATE_FAILED, STATE_BLOCKED },    { STATE_CANCELLED, STATE_QUEUED },  { STATE_CANCELLED, STATE_BLOCKED },
};

static void every_pair_of_states(void)
{
    fixture_open();
    CHECK_INT(add_job("a", "train", 0, NULL, NULL, -1), 0);
    for (int from = 0; from < STATE_COUNT; from++)
        for (int to = 0; to < STATE_COUNT; to++) {
            char sql[128];
            int expected = -ESTALE;
            snprintf(sql, sizeof(sql), "UPDATE job SET state = '%s'", job_state_names[from]);
            force(sql);
            for (size_t i = 0; i < sizeof(drawn) / sizeof(drawn[0]); i++)
                if ((int)drawn[i].from == from && (int)drawn[i].to == to)
                    expected = 0;
            int r = db_job_move(fixture, "a", (enum job_state)to, NULL, NULL, 2000);
            if (r != expected)
                CHECK_FAIL("%s -> %s gave %d, expected %d", job_state_names[from], job_state_names[to], r, expected);
            CHECK_STRING(state_of("a"), job_state_names[expected == 0 ? to : from]);
        }
    fixture_close();
}

static void times_and_texts(void)
{
    db_job_auto job = { 0 };

    fixture_open();
    add_job("a", "train", 0, NULL, NULL, -1);
    CHECK_INT(db_job_claim(fixture, ON("cpu"), 2000, &job), 1);
    CHECK_STRING(job.spec, "{}");
    CHECK_STRING(job.device, "cpu");
    CHECK_INT(job.started_ms, 2000);
    db_job_done(&job);
    CHECK_INT(db_job_started(fixture, "a", 42, 77, "boot"), 0);
    CHECK_INT(db_job_get(fixture, "a", &job), 0);
    CHECK_INT(job.pid, 42);
    CHECK_INT(job.pid_start, 77);
    CHECK_STRING(job.boot_id, "boot");
    CHECK_INT(job.attempts, 1);
    db_job_done(&job);
    CHECK_INT(db_job_move(fixture, "a", SUCCEEDED, "{\"x\":1}", NULL, 3000), 0);
    CHECK_INT(db_job_get(fixture, "a", &job), 0);
    CHECK_STRING(job.result, "{\"x\":1}");
    CHECK_INT(job.ended_ms, 3000);
    CHECK_INT(job.pid, 0);
    CHECK_INT(db_job_started(fixture, "a", 42, 77, "boot"), -ESTALE);
    CHECK_INT(db_job_get(fixture, "nobody", &job), -ENOENT);
    CHECK_HOLDS(db_errmsg(fixture), "no job nobody");
    fixture_close();
}

static void dependencies_unblock(void)
{
    const char *both[] = { "a", "b" };
    char first[DB_ID_SIZE];
    struct db_need *needs;
    struct db_new_job c = { .id = "c", .kind = "mrc", .spec = "{}", .step = -1, .after = both, .after_count = 2 };

    fixture_open();
    add_job("a", "train", 0, NULL, NULL, -1);
    add_job("b", "train", 0, NULL, NULL, -1);
    CHECK_INT(db_job_insert(fixture, &c, 1, NULL, NULL, 1000, first), 0);
    CHECK_STRING(state_of("c"), "blocked");
    force("UPDATE job SET state = 'running' WHERE id IN ('a', 'b')");
    db_job_move(fixture, "a", SUCCEEDED, NULL, NULL, 2000);
    CHECK_STRING(state_of("c"), "blocked");
    db_job_move(fixture, "b", SUCCEEDED, NULL, NULL, 2000);
    CHECK_STRING(state_of("c"), "queued");
    CHECK_INT(add_job("d", "mrc", 0, "a", NULL, -1), 0);
    CHECK_STRING(state_of("d"), "queued"); /* a had succeeded before d came */
    CHECK_INT(add_job("e", "mrc", 0, "nobody", NULL, -1), -ENOENT);
    CHECK_STRING(state_of("e"), "missing"); /* nothing half inserted */
    CHECK_INT(db_job_after(fixture, "c", &needs), 2);
    CHECK_STRING(needs[0].id, "a");
    CHECK_INT(needs[0].on, ON_SUCCESS);
    CHECK_INT(needs[0].state, SUCCEEDED);
    free(needs);
    struct db_job *users;
    int count = db_job_users(fixture, "a", 10, &users);
    CHECK_INT(count, 2);
    CHECK_STRING(users[0].id, "c");
    CHECK_STRING(users[1].id, "d");
    db_jobs_free(users, count);
    count = db_job_users(fixture, "a", 1, &users);
    CHECK_INT(count, 1);
    db_jobs_free(users, count);
    CHECK_INT(db_job_users(fixture, "c", 10, &users), 0);
    db_jobs_free(users, 0);
    fixture_close();
}

static void failure_falls_through(void)
{
    db_job_auto job = { 0 };

    fixture_open();
    add_job("a", "train", 0, NULL, NULL, -1);
    add_job("b", "mrc", 0, "a", NULL, -1);
    add_job("c", "finetune", 0, "b", NULL, -1);
    force("UPDATE job SET state = 'running' WHERE id = 'a'");
    db_job_move(fixture, "a", STATE_FAILED, NULL, "{\"code\":\"x\",\"message\":\"y\"}", 2000);
    CHECK_STRING(state_of("b"), "cancelled"); /* it never ran, so it can't have failed */
    CHECK_STRING(state_of("c"), "cancelled");
    CHECK_INT(db_job_get(fixture, "b", &job), 0);
    CHECK_HOLDS(job.error, "\"dependency_failed\"");
    CHECK_HOLDS(job.error, "job a");
    CHECK_INT(job.started_ms, 0);
    db_job_done(&job);
    CHECK_INT(db_job_get(fixture, "c", &job), 0);
    CHECK_HOLDS(job.error, "\"dependency_cancelled\"");
    CHECK_HOLDS(job.error, "job b");
    CHECK_INT(add_job("d", "mrc", 0, "a", NULL, -1), 0);
    CHECK_STRING(state_of("d"), "cancelled"); /* it can never run */
    CHECK_INT(db_job_retry(fixture, "c", 3000), -ESTALE);
    CHECK_HOLDS(db_errmsg(fixture), "retry that one first");
    CHECK_INT(db_job_retry(fixture, "a", 3000), 0);
    CHECK_INT(db_job_retry(fixture, "b", 3000), 0);
    CHECK_STRING(state_of("a"), "queued");
    CHECK_STRING(state_of("b"), "blocked");
    CHECK_INT(db_job_cancel(fixture, "a", 4000), 0);
    CHECK_STRING(state_of("a"), "cancelled");
    CHECK_STRING(state_of("b"), "cancelled");
    fixture_close();
}

/* The jobs of a rift: p with steps s0..s4 in a row, s3 needing s0 as well as s2. */
static void add_rift(const char *prefix, int priority)
{
    static const char *const kinds[] = { "train", "mrc", "finetune", "interpolate", "evaluate" };
    char ids[6][DB_ID_SIZE], first[DB_ID_SIZE];
    const char *after[6][2];
    struct db_new_job jobs[6];

    snprintf(ids[5], DB_ID_SIZE, "%sp", prefix);
    jobs[0] = (struct db_new_job){ .id = ids[5], .kind = "rift", .spec = "{}", .priority = priority, .step = -1 };
    for (int i = 0; i < 5; i++) {
        snprintf(ids[i], DB_ID_SIZE, "%ss%d", prefix, i);
        after[i][0] = i ? ids[i - 1] : NULL;
        after[i][1] = ids[0];
        jobs[i + 1] = (struct db_new_job){ .id = ids[i],
                                           .kind = kinds[i],
                                           .spec = "{}",
                                           .priority = priority,
                                           .parent = ids[5],
                                           .step = i,
                                           .after = after[i],
                                           .after_count = i == 0   ? 0
                                                          : i == 3 ? 2
                                                                   : 1 };
    }
    CHECK_INT(db_job_insert(fixture, jobs, 6, NULL, NULL, 1000, first), 0);
    CHECK_STRING(first, ids[5]);
}

static void parent_follows(void)
{
    struct db_job *steps;
    char step[3] = "s0";

    fixture_open();
    add_rift("", 0);
    CHECK_STRING(state_of("p"), "queued");
    CHECK_INT(db_job_steps(fixture, "p", &steps), 5);
    CHECK_STRING(steps[3].id, "s3");
    db_jobs_free(steps, 5);
    for (int i = 0; i < 5; i++) {
        db_job_auto job = { 0 };
        step[1] = (char)('0' + i);
        CHECK_INT(db_job_claim(fixture, ON("cpu"), 2000, &job), 1);
        CHECK_STRING(job.id, step); /* in order, and never the parent */
        CHECK_STRING(state_of("p"), "running");
        CHECK_INT(db_job_move(fixture, step, SUCCEEDED, NULL, NULL, 3000 + i), 0);
    }
    CHECK_STRING(state_of("p"), "succeeded");
    db_job_auto parent = { 0 };
    CHECK_INT(db_job_get(fixture, "p", &parent), 0);
    CHECK_INT(parent.started_ms, 2000);
    CHECK_INT(parent.ended_ms, 3004);
    CHECK_INT(db_job_set_result(fixture, "p", "{\"alpha\":0.5}"), 0);
    db_job_done(&parent);
    db_job_get(fixture, "p", &parent);
    CHECK_STRING(parent.result, "{\"alpha\":0.5}");
    CHECK_INT(db_job_delete(fixture, "p"), 0);
    CHECK_STRING(state_of("s4"), "missing");
    fixture_close();
}

static void parent_interrupted(void)
{
    db_job_auto job = { 0 };

    fixture_open();
    add_rift("", 0);
    db_job_claim(fixture, ON("cpu"), 2000, &job);
    CHECK_INT(db_job_move(fixture, "s0", STATE_QUEUED, NULL, NULL, 2500), 0);
    CHECK_STRING(state_of("p"), "queued");
    fixture_close();
}

static void parent_fails_and_retries(void)
{
    db_job_auto job = { 0 };
    db_job_auto parent = { 0 };

    fixture_open();
    add_rift("", 0);
    db_job_claim(fixture, ON("cpu"), 2000, &job);
    db_job_move(fixture, "s0", SUCCEEDED, NULL, NULL, 2100);
    db_job_done(&job);
    db_job_claim(fixture, ON("cpu"), 2200, &job);
    CHECK_STRING(job.id, "s1");
    db_job_move(fixture, "s1", STATE_FAILED, NULL, "{\"code\":\"nan\",\"message\":\"m\"}", 2300);
    CHECK_STRING(state_of("s4"), "cancelled");
    CHECK_STRING(state_of("p"), "failed");
    db_job_get(fixture, "p", &parent);
    CHECK_STRING(parent.error, "{\"code\":\"nan\",\"message\":\"m\"}");
    db_job_done(&parent);
    CHECK_INT(db_job_retry(fixture, "p", 2400), 0);
    CHECK_STRING(state_of("p"), "running"); /* a step has succeeded */
    CHECK_STRING(state_of("s0"), "succeeded");
    CHECK_STRING(state_of("s1"), "queued");
    CHECK_STRING(state_of("s2"), "blocked");
    db_job_get(fixture, "p", &parent);
    CHECK_STRING(parent.error, NULL);
    fixture_close();
}

static void parent_cancelled(void)
{
    db_job_auto job = { 0 };

    fixture_open();
    add_rift("", 0);
    db_job_claim(fixture, ON("cpu"), 2000, &job);
    CHECK_INT(db_job_cancel(fixture, "p", 2100), 0);
    CHECK_STRING(state_of("s0"), "running");
    CHECK_STRING(state_of("s1"), "cancelled");
    CHECK_STRING(state_of("p"), "running");
    db_job_done(&job);
    db_job_get(fixture, "s0", &job);
    CHECK(job.cancel_wanted);
    CHECK_INT(db_job_move(fixture, "s0", STATE_QUEUED, NULL, NULL, 2200), 0); /* interrupted */
    CHECK_STRING(state_of("s0"), "cancelled");
    CHECK_STRING(state_of("p"), "cancelled");
    CHECK_INT(db_job_cancel(fixture, "p", 2300), -ESTALE);
    CHECK_INT(db_job_retry(fixture, "p", 2400), 0);
    CHECK_STRING(state_of("p"), "queued");
    db_job_done(&job);
    db_job_get(fixture, "s0", &job);
    CHECK(!job.cancel_wanted);
    fixture_close();
}

static void step_retried_alone(void)
{
    db_job_auto job = { 0 };

    fixture_open();
    add_rift("", 0);
    db_job_claim(fixture, ON("cpu"), 2000, &job);
    CHECK_INT(db_job_cancel(fixture, "p", 2100), 0);
    CHECK_INT(db_job_move(fixture, "s0", STATE_CANCELLED, NULL, NULL, 2200), 0);
    CHECK_STRING(state_of("p"), "cancelled");
    CHECK_INT(db_job_retry(fixture, "s0", 3000), 0);
    db_job_done(&job);
    db_job_get(fixture, "p", &job);
    CHECK_STRING(job_state_names[job.state], "running"); /* other steps are cancelled still */
    CHECK(!job.cancel_wanted);
    CHECK_INT(job.started_ms, 3000);
    CHECK_INT(job.ended_ms, 0);
    CHECK_INT(db_job_retry(fixture, "s1", 4000), 0);
    db_job_done(&job);
    db_job_get(fixture, "p", &job);
    CHECK_INT(job.started_ms, 3000); /* it had started already */
    fixture_close();
}

static void claim_order(void)
{
    static const char *const order[] = { "high1", "high2", "old", "new", "low" };

    fixture_open();
    add_job("old", "train", 0, NULL, NULL, -1);
    add_job("low", "train", -5, NULL, NULL, -1);
    add_job("high1", "train", 9, NULL, NULL, -1);
    add_job("new", "train", 0, NULL, NULL, -1);
    add_job("high2", "train", 9, NULL, NULL, -1);
    add_job("waits", "train", 99, "low", NULL, -1);
    for (int i = 0; i < 5; i++)
        CHECK_INT(db_job_position(fixture, order[i], 2000), i);
    CHECK_INT(db_job_position(fixture, "waits", 2000), -ENOENT);
    for (int i = 0; i < 5; i++) {
        db_job_auto job = { 0 };
        CHECK_INT(db_job_claim(fixture, ON("cpu"), 2000, &job), 1);
        CHECK_STRING(job.id, order[i]);
    }
    db_job_auto none = { 0 };
    CHECK_INT(db_job_claim(fixture, ON("cpu"), 2000, &none), 0);
    struct db_job *running;
    CHECK_INT(db_job_running(fixture, &running), 5);
    db_jobs_free(running, 5);
    fixture_close();
}

enum { RACE_JOBS = 200, RACERS = 4 };

struct racer {
    pthread_t thread;
    int64_t numbers[RACE_JOBS];
    int count;
};

static void *race(void *user)
{
    struct racer *racer = user;
    struct db_job job = { 0 };

    while (db_job_claim(fixture, ON("cpu"), 2000, &job) == 1) {
        racer->numbers[racer->count++] = job.number;
        db_job_done(&job);
    }
    return NULL;
}

static void claim_race(void)
{
    static struct racer racers[RACERS];
    static int seen[RACE_JOBS + 1];
    char id[16];
    int total = 0;

    fixture_open();
    for (int i = 0; i < RACE_JOBS; i++) {
        snprintf(id, sizeof(id), "j%d", i);
        add_job(id, "train", 0, NULL, NULL, -1);
    }
    for (int i = 0; i < RACERS; i++)
        pthread_create(&racers[i].thread, NULL, race, &racers[i]);
    for (int i = 0; i < RACERS; i++) {
        pthread_join(racers[i].thread, NULL);
        for (int k = 0; k < racers[i].count; k++)
            seen[racers[i].numbers[k]]++;
        total += racers[i].count;
    }
    CHECK_INT(total, RACE_JOBS);
    for (int i = 1; i <= RACE_JOBS; i++)
        CHECK_INT(seen[i], 1);
    fixture_close();
}

/* Claim for a device until nothing fits: which jobs were they? */
static void claims(const char *device, const char *expected)
{
    char got[64] = "";
    struct db_job job = { 0 };

    force("UPDATE job SET state = 'queued'");
    while (db_job_claim(fixture, ON(device), 2000, &job) == 1) {
        strcat(got, job.id);
        strcat(got, " ");
        db_job_done(&job);
    }
    CHECK_STRING(got, expected);
}

static void claim_by_device(void)
{
    static const char *const wanted[] = { NULL, "auto", "cpu", "ref", "cuda", "cuda:0", "cuda:1" };
    static const char *const devices[] = { "cpu", "cuda:0", "cuda:1" };
    static const char *const served[] = { "0 1 2 3 ", "0 1 4 5 ", "0 1 4 6 " };
    char first[DB_ID_SIZE], id[16];

    fixture_open();
    for (int i = 0; i < 7; i++) {
        struct db_new_job job = { .id = id, .kind = "train", .spec = "{}", .step = -1, .device = wanted[i] };
        snprintf(id, sizeof(id), "%d", i);
        CHECK_INT(db_job_insert(fixture, &job, 1, NULL, NULL, 1000, first), 0);
    }
    for (int d = 0; d < 3; d++)
        claims(devices[d], served[d]);
    for (int d = 0; d < 3; d++) { /* floor 0 says the same */
        char got[64] = "", one[16];
        for (int i = 1; i < 7; i++) {
            snprintf(one, sizeof(one), "%d ", i);
            strcat(got, job_device_serves(devices[d], wanted[i]) ? one : "");
        }
        CHECK_STRING(got, served[d] + strlen("0 "));
    }
    fixture_close();
}

static void crashes(void)
{
    struct db_ingest_event checkpoint = { .seq = 1, .type = "checkpoint", .fields = "{}" };

    fixture_open();
    add_job("a", "train", 0, NULL, NULL, -1);
    CHECK_INT(db_job_crashed(fixture, "nobody"), -ENOENT);
    CHECK_INT(db_job_crashed(fixture, "a"), 1);
    CHECK_INT(db_job_crashed(fixture, "a"), 2);
    CHECK_INT(db_ingest(fixture, "a", 0, 10, &checkpoint, 1), 0);
    CHECK_INT(db_job_crashed(fixture, "a"), 1);
    CHECK_INT(db_job_cancel(fixture, "a", 2000), 0);
    CHECK_INT(db_job_retry(fixture, "a", 2000), 0);
    CHECK_INT(db_job_crashed(fixture, "a"), 1);
    fixture_close();
}

static void idempotency(void)
{
    struct db_new_job job = { .id = "a", .kind = "train", .spec = "{}", .step = -1 };
    char first[DB_ID_SIZE];
    struct db_job_filter every = { .state = -1 };
    struct db_job *jobs;

    fixture_open();
    CHECK_INT(db_job_repeated(fixture, "", "key", "hash", first), 0);
    CHECK_INT(db_job_insert(fixture, &job, 1, "key", "hash", 1000, first), 0);
    CHECK_INT(db_job_repeated(fixture, "", "key", "other", first), -EEXIST);
    CHECK_HOLDS(db_errmsg(fixture), "Idempotency-Key");
    strcpy(first, "");
    CHECK_INT(db_job_repeated(fixture, "", "key", "hash", first), 1);
    CHECK_STRING(first, "a");
    job.id = "b";
    CHECK_INT(db_job_insert(fixture, &job, 1, "key", "hash", 1000, first), 1);
    CHECK_STRING(first, "a");
    CHECK_INT(db_job_insert(fixture, &job, 1, "key", "other", 1000, first), -EEXIST);
    CHECK_HOLDS(db_errmsg(fixture), "Idempotency-Key");
    CHECK_INT(db_job_list(fixture, &every, &jobs), 1);
    db_jobs_free(jobs, 1);
    job.id = "a"; /* the id itself is taken */
    CHECK_INT(db_job_insert(fixture, &job, 1, NULL, NULL, 1000, first), -EEXIST);
    db_job_cancel(fixture, "a", 1000);
    CHECK_INT(db_job_delete(fixture, "a"), 0);
    job.id = "b"; /* the key went with its job */
    CHECK_INT(db_job_insert(fixture, &job, 1, "key", "other", 1000, first), 0);
    fixture_close();
}

static void labels(void)
{
    char label[4 * 150 + 1], first[DB_ID_SIZE];
    struct db_new_job job = { .id = "a", .kind = "train", .label = label, .spec = "{}", .step = -1 };

    fixture_open();
    for (int bytes = 1; bytes <= 4; bytes++) {
        static const char *const characters[] = { "a", "\u00e9", "\u20ac", "\U0001f600" };
        size_t most = sizeof(((struct db_job *)NULL)->label) - 1;
        for (int count = 100; count <= 150; count += 50) {
            db_job_auto found = { 0 };
            label[0] = 0;
            for (int i = 0; i < count; i++)
                strcat(label, characters[bytes - 1]);
            CHECK_INT(db_job_insert(fixture, &job, 1, NULL, NULL, 1000, first), 0);
            CHECK_INT(db_job_get(fixture, "a", &found), 0);
            if (strlen(label) > most) /* no label may be so long; still no character is cut in two */
                label[most / (size_t)bytes * (size_t)bytes] = 0;
            CHECK_STRING(found.label, label);
            db_job_cancel(fixture, "a", 1000);
            CHECK_INT(db_job_delete(fixture, "a"), 0);
        }
    }
    fixture_close();
}

static void lists(void)
{
    struct db_job *jobs;
    char id[16], first[DB_ID_SIZE];

    fixture_open();
    for (int i = 0; i < 10; i++) {
        snprintf(id, sizeof(id), "j%d", i);
        struct db_new_job job = {
            .id = id, .kind = i % 2 ? "train" : "mrc", .label = i < 5 ? "paper" : NULL, .spec = "{}", .step = -1
        };
        CHECK_INT(db_job_insert(fixture, &job, 1, NULL, NULL, 1000, first), 0);
    }
    add_rift("r", 0);
    struct db_job_filter filter = { .state = -1, .kind = "train", .label = "paper", .limit = 100 };
    CHECK_INT(db_job_list(fixture, &filter, &jobs), 2);
    CHECK_STRING(jobs[0].id, "j3");
    CHECK_STRING(jobs[0].spec, NULL);
    CHECK_STRING(jobs[0].label, "paper");
    db_jobs_free(jobs, 2);
    filter = (struct db_job_filter){ .id = "j", .state = -1, .kind = "train", .before = 8, .limit = 2 };
    CHECK_INT(db_job_list(fixture, &filter, &jobs), 2);
    CHECK_STRING(jobs[0].id, "j5"); /* the eighth is j7 */
    CHECK_STRING(jobs[1].id, "j3");
    db_jobs_free(jobs, 2);
    filter = (struct db_job_filter){ .state = -1, .parent = "", .limit = 4 };
    CHECK_INT(db_job_list(fixture, &filter, &jobs), 4);
    CHECK_STRING(jobs[0].id, "rp");
    CHECK_STRING(jobs[3].id, "j7");
    filter.before = jobs[3].number;
    db_jobs_free(jobs, 4);
    CHECK_INT(db_job_list(fixture, &filter, &jobs), 4);
    CHECK_STRING(jobs[0].id, "j6");
    db_jobs_free(jobs, 4);
    filter = (struct db_job_filter){ .state = STATE_BLOCKED, .parent = "rp", .limit = 100 };
    CHECK_INT(db_job_list(fixture, &filter, &jobs), 4);
    db_jobs_free(jobs, 4);
    fixture_close();
}

/* Each waits for the one before it. */
static int add_chain(int count)
{
    struct db_new_job *chain = calloc((size_t)count, sizeof(*chain));
    char(*ids)[DB_ID_SIZE] = calloc((size_t)count, sizeof(*ids)), first[DB_ID_SIZE];
    const char **before = calloc((size_t)count, sizeof(*before));

    for (int i = 0; i < count; i++) {
        snprintf(ids[i], sizeof(ids[i]), "link%d", i);
        before[i] = ids[i ? i - 1 : 0];
        chain[i] = (struct db_new_job){
            .id = ids[i], .kind = "train", .spec = "{}", .step = -1, .after = &before[i], .after_count = i > 0
        };
    }
    int r = db_job_insert(fixture, chain, count, NULL, NULL, 1000, first);
    free(before);
    free(ids);
    free(chain);
    return r;
}

static void long_chain_falls(void)
{
    enum { LINKS = 10000 };
    int64_t cancelled = 0;
    db_job_auto job = { 0 };

    fixture_open();
    CHECK_INT(add_chain(LINKS), 0);
    CHECK_INT(db_job_claim(fixture, ON("cpu"), 2000, &job), 1);
    CHECK_INT(db_job_move(fixture, "link0", STATE_FAILED, NULL, "{}", 3000), 0);
    CHECK_INT(db_job_count(fixture, STATE_CANCELLED, &cancelled), 0);
    CHECK_INT(cancelled, LINKS - 1);
    fixture_close();
}

static void deleting(void)
{
    fixture_open();
    add_job("a", "train", 0, NULL, NULL, -1);
    add_job("b", "mrc", 0, "a", NULL, -1);
    CHECK_INT(db_job_delete(fixture, "a"), -ESTALE);
    force("UPDATE job SET state = 'running' WHERE id = 'a'");
    db_job_move(fixture, "a", SUCCEEDED, NULL, NULL, 2000);
    CHECK_INT(db_job_delete(fixture, "a"), -ESTALE); /* b is queued and will read a's weights */
    CHECK_HOLDS(db_errmsg(fixture), "needs job a");
    db_job_cancel(fixture, "b", 2000);
    CHECK_INT(db_job_delete(fixture, "a"), 0);
    CHECK_INT(db_job_delete(fixture, "a"), -ENOENT);
    add_rift("r", 0);
    db_job_cancel(fixture, "rs4", 2000);
    CHECK_INT(db_job_delete(fixture, "rs4"), -ESTALE); /* its parent still needs its story */
    CHECK_HOLDS(db_errmsg(fixture), "a step of rp");
    fixture_close();
}

static const struct check_case cases[] = {
    { "every pair of states is allowed as drawn, or -ESTALE", every_pair_of_states },
    { "a move keeps times, worker, result and error", times_and_texts },
    { "a job waits until its last dependency has succeeded", dependencies_unblock },
    { "a failure or cancellation takes along all that need the job", failure_falls_through },
    { "a parent runs with its first step and succeeds with its last", parent_follows },
    { "a parent whose only running step is interrupted is queued again", parent_interrupted },
    { "a parent fails with its step's error and goes on after a retry", parent_fails_and_retries },
    { "a parent's cancellation reaches running, queued and blocked steps", parent_cancelled },
    { "a step of a cancelled parent that is retried wakes the parent", step_retried_alone },
    { "jobs are claimed by priority, then by age, and know their place", claim_order },
    { "four threads never claim the same job", claim_race },
    { "a slot takes only jobs that ask for it, its family or any device", claim_by_device },
    { "worker deaths are counted from the last checkpoint or retry on", crashes },
    { "an Idempotency-Key inserts once and refuses another body", idempotency },
    { "a label of 100 characters comes back whole, a longer one ends with a whole character", labels },
    { "lists filter, page by cursor and come newest first", lists },
    { "a chain of 10,000 jobs that wait for each other falls with its first", long_chain_falls },
    { "only ended jobs that nobody waits for can be deleted", deleting },
};
CHECK_MAIN(cases)
