/* Which job runs next, and where?
 *
 * Each free slot claims one: the database hands out the runnable job of highest
 * priority, oldest first, that may run on the slot's device. Nothing is planned
 * ahead, so a job of higher priority that comes later still goes first.
 *
 * When a start fails, whose fault is it?
 *   the job's      it names a data set, job or device that isn't there: it fails
 *   the machine's  no rift-worker for a moment, no disk, no process: the job
 *                  goes back to the queue, and the slot rests a while, longer
 *                  each time, so that one bad minute doesn't fail a whole queue */
#include "daemon/daemon.h"

#include <errno.h>
#include <string.h>

enum { REST_FIRST_MS = 500, REST_MOST_MS = 60000 };

static void slot_rest(struct slot *slot)
{
    slot->rest_ms = slot->rest_ms ? slot->rest_ms * 2 : REST_FIRST_MS;
    if (slot->rest_ms > REST_MOST_MS)
        slot->rest_ms = REST_MOST_MS;
    slot->rest_until_ms = monotonic_ms() + slot->rest_ms;
}

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
        slot_rest(slot);
        return;
    }
    int r = spec_resolve(daemon, job, slot->device, &spec, &why);
    worker->end.unstarted = true;
    if (r < 0 && hopeless(r))
        worker->end.start = why;
    else if (r >= 0)
        r = executor_start(daemon, worker, job, spec, &why);
    if (r >= 0) {
        slot->rest_ms = 0;
        return;
    }
    if (!worker->end.start.code) {
        slot_rest(slot);
        log_job(LEVEL_ERROR, job->id, "cannot be started now: %s; trying again on %s in %d ms",
                  *why.message ? why.message : strerror(-r), slot->device, slot->rest_ms);
    }
    worker_settle(daemon, worker);
}

static void slot_fill(struct daemon *daemon, struct slot *slot)
{
    while (!slot->worker && monotonic_ms() >= slot->rest_until_ms) {
        db_job_auto job = { 0 };
        int r = db_job_claim(daemon->db, slot->device, clock_ms(), &job);
        if (r < 0) {
            slot_rest(slot);
            log_error("cannot claim a job: %s; trying again in %d ms", db_errmsg(daemon->db), slot->rest_ms);
        }
        if (r <= 0)
            return;
        api_news(daemon->api);
        webhooks_poke(daemon);
        job_start(daemon, &job, slot);
    }
}

bool schedule(struct daemon *daemon)
{
    bool resting = false;

    for (int i = 0; i < daemon->slot_count; i++) {
        slot_fill(daemon, &daemon->slots[i]);
        resting |= monotonic_ms() < daemon->slots[i].rest_until_ms;
    }
    return resting;
}
