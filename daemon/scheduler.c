/* Which job runs next, and where?
 *
 * Each free slot claims one: the database hands out the runnable job that stands
 * first (db/claim.c says how), may run on the slot's device and fits in its
 * memory. Nothing is planned ahead, so a better job that comes later still goes
 * first.
 *
 * When a start fails, whose fault is it?
 *   the job's      it names a data set, job or device that isn't there: it fails
 *   the machine's  no rift-worker for a moment, no disk, no process: the job
 *                  goes back to the queue, and the slot rests a while, longer
 *                  each time, so that one bad minute doesn't fail a whole queue
 *
 * With preempt-margin a job of much higher priority takes a slot where none is
 * free: the least important worker that has run long enough is asked to stop, and
 * its slot is kept for the job that wants it, and so is the memory, so that the stopped
 * one, which is back in the queue at once and may be older, doesn't take it again, nor
 * another that stands before it. It can't take its
 * slot back later either: its priority is lower by the margin, whatever its age.
 *
 * The loop asks when something has happened (bell, end of a worker) and at the
 * time that the last look found: a rest is over, a job's back-off ends. */
#include "daemon/daemon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOOK_AGAIN_MS = 1000,
    TRIES = 8, /* of starts in one look */
    STEP_LEAST_MS = 500,
};

int policy_apply(struct daemon *daemon, const struct settings *settings)
{
    struct db_policy policy = {
        .ageing_ms = settings->ageing_s * 1000,
        .half_life_ms = settings->fair_share_half_life_s * 1000,
        .fair_share_ms = settings->fair_share_weight_s * 1000,
        .running_max = (int)settings->owner_running_max,
        .queued_max = (int)settings->owner_queued_max,
        .artifacts_max = settings->owner_bytes_max,
    };

    daemon->schedule_at_ms = 0;
    return db_policy_set(daemon->db, &policy);
}

/* Look again then, or earlier. */
static void look_at(struct daemon *daemon, int64_t at_ms)
{
    if (at_ms < daemon->schedule_at_ms)
        daemon->schedule_at_ms = at_ms;
}

/* ---- starting ---- */

/* What spec_resolve says of the job itself: trying again can't help. */
static bool hopeless(int r)
{
    return r == -EINVAL || r == -ENOENT || r == -ENODEV || r == -EBADMSG;
}

static void job_start(struct daemon *daemon, const struct db_job *job, struct slot *slot)
{
    json_auto_t *spec = NULL;
    struct fault why = { 0 };
    struct worker *worker = worker_add(daemon, job, slot);

    if (!worker) {
        log_job(LEVEL_ERROR, job->id, "cannot be started: out of memory");
        db_job_move(daemon->db, job->id, STATE_QUEUED, NULL, NULL, clock_ms());
        slot_rest(daemon, slot, "out of memory");
        return;
    }
    int r = spec_resolve(daemon, job, slot->on->name, &spec, &why);
    worker->end.unstarted = true;
    if (r < 0 && hopeless(r))
        worker->end.start = why;
    else if (r >= 0)
        r = executor_start(daemon, worker, job, spec, &why);
    if (r >= 0) {
        slot_works(daemon, slot);
        return;
    }
    if (!worker->end.start.code) {
        fault_set(&worker->end.start, r, "%.400s", *why.message ? why.message : strerror(-r));
        worker->end.put_off = true;
        int rest_ms = slot_rest(daemon, slot, worker->end.start.message);
        log_job(LEVEL_ERROR, job->id, "cannot be started now: %s; trying again on %s in %d ms",
                worker->end.start.message, slot->on->name, rest_ms);
    }
    worker_settle(daemon, worker);
}

/* Memory of a device that no worker has, and that isn't kept for another job than `id`. */
static int64_t memory_free(const struct daemon *daemon, const struct device *device, const char *id)
{
    int64_t left = device_memory(daemon, device);

    for (const struct worker *worker = daemon->workers; worker; worker = worker->next)
        if (worker->slot && worker->slot->on == device)
            left -= worker->memory_bytes;
    for (int i = 0; i < daemon->slot_count; i++) {
        const struct slot *slot = &daemon->slots[i];
        if (slot->on != device || !*slot->kept_for || (id && strcmp(slot->kept_for, id) == 0))
            continue;
        int64_t more = slot->kept_bytes - (slot->worker ? slot->worker->memory_bytes : 0); /* which it gives back */
        left -= more > 0 ? more : 0;
    }
    return left;
}

/* What the device has for that job, or for any (NULL). */
static struct db_offer offer_make(const struct daemon *daemon, const struct device *device, const char *only)
{
    return (struct db_offer){ .device = device->name,
                              .memory_bytes = device_memory(daemon, device),
                              .free_bytes = memory_free(daemon, device, only),
                              .share_bytes = device_share(daemon, device),
                              .only = only };
}

static int claim(struct daemon *daemon, const struct slot *slot, const char *only, struct db_job *ret)
{
    struct db_offer offer = offer_make(daemon, slot->on, only);

    return db_job_claim(daemon->db, &offer, clock_ms(), ret);
}

/* The job that this slot is kept for, or that waits for another of its device: 1, or 0. */
static int kept_claim(struct daemon *daemon, struct slot *slot, struct db_job *ret)
{
    int r = *slot->kept_for ? claim(daemon, slot, slot->kept_for, ret) : 0;

    if (r >= 0)
        slot->kept_for[0] = '\0'; /* it runs elsewhere, was cancelled or put off: the slot is everybody's again */
    for (int i = 0; i < daemon->slot_count && r == 0; i++) {
        struct slot *other = &daemon->slots[i];
        if (other->on == slot->on && *other->kept_for && (r = claim(daemon, slot, other->kept_for, ret)) > 0)
            other->kept_for[0] = '\0';
    }
    return r;
}

/* 1 when a job was started, or tried. */
static int slot_fill(struct daemon *daemon, struct slot *slot)
{
    db_job_auto job = { 0 };
    int r = kept_claim(daemon, slot, &job);

    if (r == 0)
        r = claim(daemon, slot, NULL, &job);
    if (r < 0) {
        int rest_ms = slot_rest(daemon, slot, db_errmsg(daemon->db));
        log_error("cannot claim a job: %s; trying again in %d ms", db_errmsg(daemon->db), rest_ms);
        return 0;
    }
    if (r == 0)
        return 0;
    api_news(daemon->api);
    webhooks_poke(daemon);
    job_start(daemon, &job, slot);
    return 1;
}

/* Starts take time, those that fail the most: after TRIES of them, or one that failed for the
 * machine's reasons, the loop first looks at everything else. */
static void slots_fill(struct daemon *daemon)
{
    int tries = TRIES;

    for (int i = 0; i < daemon->slot_count; i++) {
        struct slot *slot = &daemon->slots[i];
        bool tried = false;
        while (tries && !slot->worker && !slot_rests_until(daemon, slot) && slot_fill(daemon, slot)) {
            tried = true;
            tries--;
        }
        if (!slot->worker && slot_rests_until(daemon, slot)) {
            slot->kept_for[0] = '\0'; /* who was to have it may run elsewhere */
            look_at(daemon, slot_rests_until(daemon, slot));
            tries = tried ? 0 : tries;
        }
    }
    if (!tries)
        look_at(daemon, monotonic_ms());
}

/* ---- taking slots away ---- */

/* The worker on a device that is stopped first: of lowest priority, and of those the
 * one that loses least. NULL when a slot is free, or nobody has run long enough. */
static struct worker *victim_find(struct daemon *daemon, const struct device *device)
{
    int64_t before_ms = monotonic_ms() - daemon->settings->preempt_min_run_s * 1000;
    struct worker *victim = NULL;

    for (int i = 0; i < daemon->slot_count; i++) {
        struct slot *slot = &daemon->slots[i];
        struct worker *worker = slot->worker;
        if (slot->on != device)
            continue;
        if (!worker)
            return NULL;
        if (!worker->pid || worker->stop || worker->began_ms > before_ms)
            continue;
        if (!victim || worker->priority < victim->priority ||
            (worker->priority == victim->priority && worker->began_ms > victim->began_ms))
            victim = worker;
    }
    return victim;
}

static bool kept_somewhere(const struct daemon *daemon, const char *id)
{
    for (int i = 0; i < daemon->slot_count; i++)
        if (strcmp(daemon->slots[i].kept_for, id) == 0)
            return true;
    return false;
}

static void preempt_on(struct daemon *daemon, const struct device *device)
{
    struct worker *victim = victim_find(daemon, device);
    struct db_offer offer = offer_make(daemon, device, NULL);
    db_job_auto job = { 0 };

    if (!victim || *victim->slot->kept_for)
        return;
    offer.free_bytes += victim->memory_bytes;
    int margin = (int)daemon->settings->preempt_margin;
    if (db_job_pressing(daemon->db, &offer, victim->priority + margin, clock_ms(), &job) <= 0 ||
        kept_somewhere(daemon, job.id))
        return;
    log_job(LEVEL_INFO, job.id, "takes the slot of job %s on %s: priority %d against %d", victim->id, device->name,
            job.priority, victim->priority);
    strcpy(victim->slot->kept_for, job.id);
    victim->slot->kept_bytes = job.memory_bytes ? job.memory_bytes : device_share(daemon, device);
    worker_stop(daemon, victim, STOP_PREEMPT);
}

static void preempt(struct daemon *daemon)
{
    if (!daemon->settings->preempt_margin || !daemon->workers)
        return;
    for (int i = 0; i < daemon->device_count; i++)
        preempt_on(daemon, &daemon->devices[i]);
    look_at(daemon, monotonic_ms() + LOOK_AGAIN_MS); /* somebody may have run long enough then */
}

/* ---- the look ---- */

/* May anything start at all? */
static bool open_for_work(struct daemon *daemon)
{
    char drained[8] = "";

    if (db_state_get(daemon->db, STATE_DRAINED, drained, sizeof(drained)) >= 0)
        daemon->drained = *drained != '\0';
    space_look(daemon);
    if (daemon->no_space)
        look_at(daemon, monotonic_ms() + LOOK_AGAIN_MS);
    return !daemon->drained && !daemon->no_space;
}

/* Nobody is told when the clock is set, but the two clocks then differ by something else than
 * before. Of what was done to it while no riftd ran only the worst is mended: nothing
 * waits longer than the longest wait there is. */
void clock_look(struct daemon *daemon)
{
    int64_t now_ms = clock_ms(), ahead_ms = now_ms - monotonic_ms();
    int64_t step_ms = daemon->clock_ahead_ms ? ahead_ms - daemon->clock_ahead_ms : 0;

    if (daemon->clock_ahead_ms && llabs(step_ms) < STEP_LEAST_MS)
        return;
    if (step_ms)
        log_warning("the clock was set %s by %lld s", step_ms > 0 ? "forward" : "back", llabs(step_ms) / 1000);
    if (db_waits_shift(daemon->db, step_ms, now_ms + JOB_DELAY_MOST_MS, now_ms + WEBHOOK_DELAY_MOST_MS) < 0) {
        log_error("what waits for a time cannot be told of the clock: %s", db_errmsg(daemon->db));
        return; /* the next turn tries again */
    }
    daemon->clock_ahead_ms = ahead_ms;
    daemon->schedule_at_ms = 0;
    webhooks_poke(daemon);
}

void schedule(struct daemon *daemon)
{
    int64_t next_ms = 0, now_ms = monotonic_ms();

    if (now_ms < daemon->schedule_at_ms)
        return;
    daemon->schedule_at_ms = INT64_MAX;
    if (!open_for_work(daemon))
        return;
    slots_fill(daemon);
    preempt(daemon);
    if (db_next_start(daemon->db, clock_ms(), &next_ms) < 0)
        look_at(daemon, now_ms + LOOK_AGAIN_MS);
    else if (next_ms)
        look_at(daemon, now_ms + (next_ms - clock_ms()) + 1);
}
