/* Does the right job run next? Small queues whose order follows by hand from the
 * formula at the top of db/claim.c. */
#include "tests/db/fixture.h"

#include <limits.h>
#include <math.h>
#include <string.h>
#include <time.h>

#define MINUTE INT64_C(60000)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

static struct db_policy policy(void)
{
    return (struct db_policy){ .ageing_ms = HOUR, .half_life_ms = DAY, .fair_share_ms = DAY };
}

static int add(const char *id, const char *owner, int priority, int64_t now_ms)
{
    char first[DB_ID_SIZE];
    struct db_new_job job = {
        .id = id, .kind = "train", .spec = "{}", .owner = owner, .priority = priority, .step = -1
    };

    return db_job_insert(fixture, &job, 1, NULL, NULL, now_ms, first);
}

/* Which job a cpu slot takes now; "" for none. */
static const char *claim_offer(const struct db_offer *offer, int64_t now_ms)
{
    static char id[DB_ID_SIZE];
    db_job_auto job = { 0 };
    int r = db_job_claim(fixture, offer, now_ms, &job);

    CHECK(r >= 0);
    strcpy(id, r > 0 ? job.id : "");
    return id;
}

static const char *claim_at(int64_t now_ms)
{
    return claim_offer(ON("cpu"), now_ms);
}

static void finish(const char *id, int64_t now_ms)
{
    CHECK_INT(db_job_move(fixture, id, STATE_SUCCEEDED, NULL, NULL, now_ms), 0);
}

static void priorities_age(void)
{
    struct db_policy strict = policy(), hourly = policy();

    fixture_open();
    CHECK_INT(db_policy_set(fixture, &hourly), 0);
    add("old", "", 0, 0);
    add("young", "", 2, 119 * MINUTE); /* two points are worth two hours, it is later by less */
    add("younger", "", 2, 121 * MINUTE);
    CHECK_INT(db_job_position(fixture, "young", 0), 0);
    CHECK_INT(db_job_position(fixture, "old", 0), 1);
    CHECK_INT(db_job_position(fixture, "younger", 0), 2);
    strict.ageing_ms = 0; /* and now priority alone, also for those that wait already */
    CHECK_INT(db_policy_set(fixture, &strict), 0);
    CHECK_INT(db_job_position(fixture, "younger", 0), 1);
    add("youngest", "", 3, 1000 * DAY);
    CHECK_STRING(claim_at(1000 * DAY), "youngest");
    CHECK_STRING(claim_at(1000 * DAY), "young");
    CHECK_INT(db_policy_set(fixture, &hourly), 0);
    CHECK_STRING(claim_at(1000 * DAY), "old");
    CHECK_STRING(claim_at(1000 * DAY), "younger");
    CHECK_STRING(claim_at(1000 * DAY), "");
    fixture_close();
}

static void equal_owners_alternate(void)
{
    static const char *const order[] = { "a0", "b0", "a1", "b1", "a2", "b2" };
    struct db_policy fair = policy();
    int64_t now_ms = HOUR;
    char id[16];

    fixture_open();
    CHECK_INT(db_policy_set(fixture, &fair), 0);
    for (int i = 0; i < 3; i++) {
        snprintf(id, sizeof(id), "a%d", i);
        add(id, "ann", 0, i);
    }
    for (int i = 0; i < 3; i++) {
        snprintf(id, sizeof(id), "b%d", i);
        add(id, "bob", 0, 1000 + i);
    }
    for (int i = 0; i < 6; i++, now_ms += 10 * MINUTE) { /* one slot, ten minutes each */
        CHECK_STRING(claim_at(now_ms), order[i]);
        finish(order[i], now_ms + 10 * MINUTE);
    }
    fair.fair_share_ms = 0; /* off: as they came */
    CHECK_INT(db_policy_set(fixture, &fair), 0);
    add("b3", "bob", 0, 1);
    add("a3", "ann", 0, 2);
    add("a4", "ann", 0, 3);
    CHECK_STRING(claim_at(now_ms), "b3");
    CHECK_STRING(claim_at(now_ms), "a3");
    fixture_close();
}

static void running_jobs_count_while_they_run(void)
{
    struct db_policy fair = policy();

    fixture_open();
    CHECK_INT(db_policy_set(fixture, &fair), 0);
    for (int i = 0; i < 4; i++) {
        char id[16];
        snprintf(id, sizeof(id), "a%d", i);
        add(id, "ann", 0, 0);
    }
    add("b0", "bob", 0, MINUTE);
    CHECK_STRING(claim_at(MINUTE), "a0");     /* nobody has used anything yet */
    CHECK_STRING(claim_at(MINUTE + 1), "b0"); /* a0 has run for a millisecond: that is all there was */
    fixture_close();
}

static void a_heavy_user_starves_nobody(void)
{
    struct db_policy fair = policy();
    int64_t now_ms = HOUR;
    char id[16];

    fixture_open();
    CHECK_INT(db_policy_set(fixture, &fair), 0);
    for (int i = 0; i < 100; i++) {
        snprintf(id, sizeof(id), "h%d", i);
        add(id, "heavy", 0, i);
    }
    for (int i = 0; i < 3; i++, now_ms += HOUR) {
        snprintf(id, sizeof(id), "h%d", i);
        CHECK_STRING(claim_at(now_ms), id);
        finish(id, now_ms + HOUR);
    }
    add("light", "light", 0, now_ms); /* hours later, before 97 others */
    CHECK_INT(db_job_position(fixture, "light", now_ms), 0);
    CHECK_STRING(claim_at(now_ms), "light");
    finish("light", now_ms + HOUR);
    add("late", "light", 0, 2 * DAY); /* later than having used everything costs */
    CHECK_STRING(claim_at(2 * DAY), "h3");
    fixture_close();
}

static void use_fades(void)
{
    struct db_policy fair = policy();
    struct db_share *shares;

    fixture_open();
    CHECK_INT(db_policy_set(fixture, &fair), 0);
    add("a", "ann", 0, 0);
    add("b", "bob", 0, 1);
    CHECK_STRING(claim_at(1000), "a");
    finish("a", 2000);
    CHECK_STRING(claim_at(DAY + 1000), "b");
    finish("b", DAY + 2000);
    add("a2", "ann", 0, DAY);
    add("b2", "bob", 0, DAY);
    CHECK_INT(db_share_list(fixture, DAY + 2000, &shares), 2);
    /* A second a half-life ago against one just now: a third and two thirds. */
    CHECK_NEAR(shares[0].share, 1.0 / 3, 1e-9);
    CHECK_NEAR(shares[1].share, 2.0 / 3, 1e-9);
    CHECK_NEAR(shares[1].used_ms, 1000, 0.01);
    CHECK_INT(shares[1].penalty_ms, (int64_t)(DAY * shares[1].share));
    CHECK_INT(shares[0].running, 0);
    free(shares);
    CHECK_STRING(claim_at(DAY + 2000), "a2");
    fixture_close();
}

static void owners_have_limits(void)
{
    struct db_policy limits = policy();
    struct db_share *shares;

    limits.running_max = 2;
    limits.queued_max = 3;
    limits.artifacts_max = 1000;
    fixture_open();
    CHECK_INT(db_policy_set(fixture, &limits), 0);
    CHECK_INT(add("a", "ann", 9, 0), 0);
    CHECK_INT(add("b", "ann", 9, 0), 0);
    CHECK_INT(add("c", "ann", 9, 0), 0);
    CHECK_INT(add("d", "ann", 9, 0), -EAGAIN);
    CHECK_HOLDS(db_errmsg(fixture), "3 jobs of yours wait already");
    CHECK_INT(add("e", "bob", 0, 1), 0);
    CHECK_STRING(claim_at(10), "a");
    CHECK_STRING(claim_at(10), "b");
    CHECK_STRING(claim_at(10), "e"); /* ann has two already */
    CHECK_STRING(claim_at(10), "");
    CHECK_INT(db_share_list(fixture, 10, &shares), 2);
    CHECK_STRING(shares[0].owner, "ann");
    CHECK_INT(shares[0].running, 2);
    free(shares);
    CHECK_INT(db_artifact_put(fixture, "a", "w", 1000, "", 20), 0);
    CHECK_INT(add("f", "ann", 0, 30), -EDQUOT);
    CHECK_HOLDS(db_errmsg(fixture), "1000 bytes; 1000 is the limit");
    CHECK_INT(add("f", "bob", 0, 30), 0);
    finish("a", 40);
    CHECK_STRING(claim_at(50), "c");
    fixture_close();
}

static void add_needing(const char *id, int64_t memory_bytes, const char *device, int priority)
{
    char first[DB_ID_SIZE];
    struct db_new_job job = { .id = id,
                              .kind = "train",
                              .spec = "{}",
                              .step = -1,
                              .memory_bytes = memory_bytes,
                              .device = device,
                              .priority = priority };

    CHECK_INT(db_job_insert(fixture, &job, 1, NULL, NULL, 1000, first), 0);
}

static void memory_is_the_second_limit(void)
{
    struct db_offer card = { "cuda:0", 80, 80, 20, NULL };

    fixture_open();
    add_needing("huge", 81, "cuda", 9); /* fits no such card, and is in nobody's way */
    add_needing("big", 60, "cuda", 0);
    add_needing("plain", 0, "auto", 0); /* an equal share: 20 */
    add_needing("small", 5, "cuda:0", 0);
    add_needing("other", 5, "cuda:1", 0);
    CHECK_STRING(claim_offer(&card, 2000), "big");
    card.free_bytes = 15;
    CHECK_STRING(claim_offer(&card, 2000), ""); /* plain is next, and small doesn't overtake it */
    card.free_bytes = 20;
    CHECK_STRING(claim_offer(&card, 2000), "plain");
    card.free_bytes = 5;
    CHECK_STRING(claim_offer(&card, 2000), "small");
    card.free_bytes = 80;
    CHECK_STRING(claim_offer(&card, 2000), "");
    CHECK_STRING(claim_offer(ON("cuda:0"), 2000), "huge"); /* memory that nobody counts holds everything */
    fixture_close();
}

static void held_jobs_and_those_that_back_off_wait(void)
{
    const bool yes = true, no = false;
    struct db_job_change hold = { .held = &yes }, release = { .held = &no };
    db_job_auto job = { 0 };
    int64_t next_ms = 7;

    fixture_open();
    add("a", "", 0, 1000);
    add("b", "", 0, 1000);
    CHECK_INT(db_job_change(fixture, "a", &hold, 1500), 0);
    CHECK_INT(db_job_position(fixture, "a", 2000), -ENOENT);
    CHECK_INT(db_job_position(fixture, "b", 2000), 0);
    CHECK_STRING(claim_at(2000), "b");
    CHECK_INT(db_job_postpone(fixture, "b", 5000, "{\"code\":\"worker_crashed\",\"message\":\"m\"}", 2100), 0);
    CHECK_STRING(state_of("b"), "queued");
    CHECK_STRING(claim_at(4999), "");
    CHECK_INT(db_next_start(fixture, 2100, &next_ms), 0);
    CHECK_INT(next_ms, 5000);
    CHECK_INT(db_job_change(fixture, "a", &release, 3000), 0);
    CHECK_STRING(claim_at(4999), "a");
    CHECK_STRING(claim_at(5000), "b");
    CHECK_INT(db_next_start(fixture, 0, &next_ms), 0);
    CHECK_INT(next_ms, 0);
    CHECK_INT(db_job_get(fixture, "b", &job), 0);
    CHECK_HOLDS(job.failure, "worker_crashed");
    CHECK_INT(job.not_before_ms, 0);
    CHECK_INT(job.ran_ms, 100);
    finish("b", 6000);
    db_job_done(&job);
    CHECK_INT(db_job_get(fixture, "b", &job), 0);
    CHECK(!job.failure);
    CHECK_INT(job.ran_ms, 1100);
    CHECK_INT(db_job_postpone(fixture, "b", 1, "{}", 1), -ESTALE);
    fixture_close();
}

/* A riftd that is upgraded while a worker runs knows that attempt; those before are forgotten. */
static void an_upgrade_keeps_the_attempt_that_runs(void)
{
    struct db_attempt *attempts = NULL;
    char message[256];

    fixture_open();
    add("a", "", 0, 1000);
    for (int64_t now_ms = 2000; now_ms < 6000; now_ms += 2000) {
        CHECK_STRING(claim_at(now_ms), "a");
        CHECK_INT(db_job_started(fixture, "a", now_ms, 1, "boot"), 0);
        if (now_ms < 4000)
            CHECK_INT(db_job_move(fixture, "a", STATE_QUEUED, NULL, NULL, 3000), 0);
    }
    db_close(fixture);
    force(BACK_TO_6);
    CHECK_INT(db_open(fixture_path, &fixture, message), 0);
    finish("a", 5000);
    CHECK_INT(db_attempt_list(fixture, "a", &attempts), 1);
    CHECK_INT(attempts[0].number, 2);
    CHECK_INT(attempts[0].pid, 4000);
    CHECK_STRING(attempts[0].device, "cpu");
    CHECK_STRING(attempts[0].state, "succeeded");
    CHECK_INT(attempts[0].ended_ms - attempts[0].began_ms, 1000);
    db_attempts_free(attempts, 1);
    CHECK_INT(db_job_delete(fixture, "a"), 0);
    CHECK_INT(db_attempt_list(fixture, "a", &attempts), 0);
    db_attempts_free(attempts, 0);
    fixture_close();
}

static void a_kept_slot_takes_its_job_only(void)
{
    struct db_offer kept = { .device = "cpu", .only = "b" };

    fixture_open();
    add("a", "", 5, 1000);
    add("b", "", 0, 1000);
    add_needing("c", 0, "cuda", 0);
    CHECK_STRING(claim_offer(&kept, 2000), "b");
    CHECK_STRING(claim_offer(&kept, 2000), ""); /* it runs already */
    kept.only = "c";
    CHECK_STRING(claim_offer(&kept, 2000), "");
    kept.only = "a";
    CHECK_INT(db_policy_set(fixture, &(struct db_policy){ .half_life_ms = DAY, .running_max = 1 }), 0);
    CHECK_STRING(claim_offer(&kept, 2000), ""); /* its owner runs as many as may be */
    CHECK_INT(db_policy_set(fixture, &(struct db_policy){ .half_life_ms = DAY, .running_max = 2 }), 0);
    CHECK_STRING(claim_offer(&kept, 2000), "a");
    fixture_close();
}

static void the_pressing_job_is_of_highest_priority(void)
{
    db_job_auto job = { 0 };

    fixture_open();
    add("old", "", 1, 0);
    add("new", "", 5, 1000 * DAY); /* its score is worse, its priority higher */
    CHECK_INT(db_job_pressing(fixture, ON("cpu"), 5, 1000 * DAY, &job), 1);
    CHECK_STRING(job.id, "new");
    db_job_done(&job);
    CHECK_INT(db_job_pressing(fixture, ON("cpu"), 6, 1000 * DAY, &job), 0);
    CHECK_STRING(claim_at(1000 * DAY), "old");
    fixture_close();
}

static void an_attempt_that_nobody_saw_end_counts_to_its_last_sign(void)
{
    db_job_auto job = { 0 };

    fixture_open();
    add("a", "", 0, 1000);
    CHECK_STRING(claim_at(2000), "a");
    CHECK_INT(db_job_attempt_end(fixture, "a", 500, DAY), 0);
    CHECK_INT(db_job_move(fixture, "a", STATE_QUEUED, NULL, NULL, DAY), 0);
    CHECK_STRING(claim_at(DAY), "a");
    CHECK_INT(db_job_move(fixture, "a", STATE_QUEUED, NULL, NULL, DAY - 5000), 0); /* a clock that was set back */
    CHECK_INT(db_job_get(fixture, "a", &job), 0);
    CHECK_INT(job.ran_ms, 500);
    fixture_close();
}

static int64_t steady_now_ms;

static int64_t steady_clock(void)
{
    return steady_now_ms;
}

static int64_t ran_ms_of(const char *id)
{
    db_job_auto job = { 0 };

    CHECK_INT(db_job_get(fixture, id, &job), 0);
    return job.ran_ms;
}

static void time_that_jobs_run_is_not_the_clocks(void)
{
    struct db_policy fair = policy();
    struct db_share *shares = NULL;

    fixture_open();
    db_steady_set(fixture, "boot", steady_clock);
    CHECK_INT(db_policy_set(fixture, &fair), 0);
    add("a", "ann", 0, 1000);
    add("b", "bob", 0, 1000);
    steady_now_ms = 50 * HOUR;
    CHECK_STRING(claim_at(2 * DAY), "a");
    CHECK_STRING(claim_at(2 * DAY), "b");
    steady_now_ms += 600;
    CHECK_INT(db_share_list(fixture, 400 * DAY, &shares), 2); /* the clock was set forward by more than a year */
    CHECK(shares[0].used_ms > 590 && shares[0].used_ms <= 600);
    free(shares);
    CHECK_INT(db_job_move(fixture, "a", STATE_QUEUED, NULL, NULL, 400 * DAY), 0);
    CHECK_INT(ran_ms_of("a"), 600);
    steady_now_ms += 400;
    CHECK_INT(db_job_move(fixture, "b", STATE_QUEUED, NULL, NULL, 10), 0); /* and back */
    CHECK_INT(ran_ms_of("b"), 1000);
    CHECK_STRING(claim_at(20), "a");
    steady_now_ms += 100;
    CHECK_INT(db_attempts_seen(fixture), 0);
    db_steady_set(fixture, "next boot", steady_clock); /* what counts is what was seen before it */
    steady_now_ms = 5;
    CHECK_INT(db_job_move(fixture, "a", STATE_QUEUED, NULL, NULL, 9 * DAY), 0);
    CHECK_INT(ran_ms_of("a"), 700);
    fixture_close();
}

static void waits_are_as_long_as_they_were_to_be(void)
{
    int64_t next_ms = 0;

    fixture_open();
    add("a", "", 0, 1000);
    CHECK_STRING(claim_at(2000), "a");
    CHECK_INT(db_job_postpone(fixture, "a", 2 * DAY + 5000, "{}", 2 * DAY), 0);
    CHECK_INT(db_waits_shift(fixture, -DAY, 3 * DAY, 3 * DAY), 0); /* set back by a day */
    CHECK_INT(db_next_start(fixture, 0, &next_ms), 0);
    CHECK_INT(next_ms, DAY + 5000);
    CHECK_INT(db_waits_shift(fixture, 0, HOUR, HOUR),
              0); /* it can't be so long: the clock was set while nobody looked */
    CHECK_INT(db_next_start(fixture, 0, &next_ms), 0);
    CHECK_INT(next_ms, HOUR);
    fixture_close();
}

static void changes(void)
{
    const bool yes = true;
    const int five = 5;
    struct db_job_change all = { &five, "näme\"", &yes, &yes }, none = { .label = "" };
    db_job_auto job = { 0 };
    struct db_event *events;

    fixture_open();
    CHECK_INT(add_job("p", "rift", 0, NULL, NULL, -1), 0);
    CHECK_INT(add_job("s", "train", 0, NULL, "p", 0), 0);
    CHECK_INT(db_job_change(fixture, "p", &all, 2000), 0);
    CHECK_INT(db_job_change(fixture, "p", &all, 2000), 0); /* nothing new: no event */
    CHECK_INT(db_job_get(fixture, "s", &job), 0);
    CHECK(job.held && job.pinned);
    CHECK_INT(job.priority, 5);
    CHECK_INT(job.rank, 1000 - 5 * HOUR);
    CHECK_STRING(job.label, ""); /* that is the parent's */
    db_job_done(&job);
    CHECK_INT(db_job_get(fixture, "p", &job), 0);
    CHECK_STRING(job.label, "näme\"");
    db_job_done(&job);
    int count = db_event_list(fixture, "p", 0, 10, &events);
    CHECK_INT(count, 4); /* two queued, two changed */
    CHECK_STRING(events[2].type, "changed");
    CHECK_STRING(events[2].fields, "{\"time_ms\":2000,\"type\":\"changed\",\"priority\":5,\"label\":\"näme\\\"\","
                                   "\"held\":true,\"pinned\":true}");
    CHECK_STRING(events[3].fields,
                 "{\"time_ms\":2000,\"type\":\"changed\",\"priority\":5,\"held\":true,\"pinned\":true}");
    db_events_free(events, count);
    CHECK_INT(db_job_cancel(fixture, "p", 3000), 0);
    CHECK_INT(db_job_change(fixture, "p", &all, 4000), -ESTALE);
    CHECK_INT(db_job_change(fixture, "p", &none, 4000), 0);
    CHECK_INT(db_job_get(fixture, "p", &job), 0);
    CHECK_STRING(job.label, "");
    CHECK_INT(db_job_change(fixture, "nobody", &none, 4000), -ENOENT);
    fixture_close();
}

static void conditions(void)
{
    static const enum db_condition on[] = { ON_SUCCESS, ON_FAILURE, ON_ANY };
    static const struct {
        enum job_state end;
        const char *states[3]; /* of those that wait for success, failure, any */
    } rows[] = {
        { STATE_SUCCEEDED, { "queued", "cancelled", "queued" } },
        { STATE_FAILED, { "cancelled", "queued", "queued" } },
        { STATE_CANCELLED, { "cancelled", "queued", "queued" } },
    };

    for (int i = 0; i < 3; i++) {
        char first[DB_ID_SIZE];
        const char *after = "a";
        db_job_auto job = { 0 };
        fixture_open();
        add("a", "", 0, 1000);
        for (int c = 0; c < 3; c++) {
            struct db_new_job late = { .id = db_condition_names[c],
                                       .kind = "mrc",
                                       .spec = "{}",
                                       .step = -1,
                                       .after = &after,
                                       .after_on = &on[c],
                                       .after_count = 1 };
            CHECK_INT(db_job_insert(fixture, &late, 1, NULL, NULL, 1000, first), 0);
            CHECK_STRING(state_of(late.id), "blocked");
        }
        CHECK_STRING(claim_at(2000), "a");
        CHECK_INT(db_job_move(fixture, "a", rows[i].end, NULL, NULL, 3000), 0);
        for (int c = 0; c < 3; c++)
            CHECK_STRING(state_of(db_condition_names[c]), rows[i].states[c]);
        if (rows[i].end == STATE_SUCCEEDED) {
            CHECK_INT(db_job_get(fixture, "failure", &job), 0);
            CHECK_HOLDS(job.error, "dependency_succeeded");
            CHECK_INT(db_job_retry(fixture, "failure", 4000), -ESTALE);
        }
        fixture_close();
    }
}

static void a_rift_job_can_be_waited_for(void)
{
    fixture_open();
    add_job("p", "rift", 0, NULL, NULL, -1);
    add_job("s", "train", 0, NULL, "p", 0);
    add_job("late", "mrc", 0, "p", NULL, -1);
    CHECK_STRING(claim_at(2000), "s");
    CHECK_STRING(state_of("late"), "blocked");
    finish("s", 3000);
    CHECK_STRING(state_of("late"), "queued");
    fixture_close();
}

/* Processor time of this thread, so that a busy machine doesn't count. */
static double cpu_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Not a benchmark: steps of SQLite's machine don't depend on the machine. */
static void ten_thousand_jobs_cost_no_more_than_ten(void)
{
    fixture_open();
    force("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)"
          " INSERT INTO job(id, kind, state, priority, step, family, created_ms, spec, wants, owner, rank)"
          " SELECT 'j' || i, 'train', 'queued', 0, -1, i, i, '{}', CASE WHEN i > 5 THEN 'cuda' ELSE 'auto' END,"
          " 'o' || (i % 10), i FROM n");
    double before = cpu_ms();
    for (int i = 1; i <= 5; i++)
        CHECK_HOLDS(claim_at(20000), "j");
    CHECK_STRING(claim_at(20000), ""); /* the rest wants another device */
    printf("    six claims among 10,000 jobs took %.2f ms of processor time\n", cpu_ms() - before);
    fixture_close();
}

static const struct check_case cases[] = {
    { "a point of priority is worth an hour, or everything; jobs that wait are ranked anew", priorities_age },
    { "equal owners alternate; without fair share jobs go as they came", equal_owners_alternate },
    { "running jobs count while they run", running_jobs_count_while_they_run },
    { "a heavy user's hundred jobs starve nobody, nor are they starved", a_heavy_user_starves_nobody },
    { "what was used a half-life ago counts half", use_fades },
    { "an owner runs, queues and keeps no more than allowed", owners_have_limits },
    { "memory is the second limit, and nothing overtakes who waits for it", memory_is_the_second_limit },
    { "an upgrade keeps the attempt that runs", an_upgrade_keeps_the_attempt_that_runs },
    { "held jobs wait, and so do those that back off, until their time", held_jobs_and_those_that_back_off_wait },
    { "a kept slot takes its job only", a_kept_slot_takes_its_job_only },
    { "the pressing job is the one of highest priority, not of best score", the_pressing_job_is_of_highest_priority },
    { "an attempt that nobody saw end counts to its last sign of life",
      an_attempt_that_nobody_saw_end_counts_to_its_last_sign },
    { "how long jobs run doesn't depend on the clock", time_that_jobs_run_is_not_the_clocks },
    { "what waits for a time waits as long as it was to when the clock is set", waits_are_as_long_as_they_were_to_be },
    { "a change goes to the steps too and makes an event; ended jobs keep their place", changes },
    { "success, failure, any: what waits is queued or can't run any more", conditions },
    { "a whole rift job can be waited for", a_rift_job_can_be_waited_for },
    { "among ten thousand jobs the choice is made by seeks", ten_thousand_jobs_cost_no_more_than_ten },
};
CHECK_MAIN(cases)
