/* Which job runs next, and where?
 *
 * Each free slot claims one: the database hands out the runnable job of highest
 * priority, oldest first, that may run on the slot's device. Nothing is planned
 * ahead, so a job of higher priority that comes later still goes first. */
#include "daemon/daemon.h"

static void slot_fill(struct daemon *daemon, struct slot *slot)
{
    while (!slot->worker) {
        struct fault why = { 0 };
        db_job_auto job = { 0 };
        int r = db_job_claim(daemon->db, slot->device, clock_ms(), &job);
        if (r < 0)
            log_error("cannot claim a job: %s", db_errmsg(daemon->db));
        if (r <= 0)
            return;
        api_news(daemon->api);
        if (executor_start(daemon, &job, slot, &why) < 0)
            job_fail(daemon, job.id, "not_startable", why.message);
    }
}

void schedule(struct daemon *daemon)
{
    for (int i = 0; i < daemon->slot_count; i++)
        slot_fill(daemon, &daemon->slots[i]);
}
