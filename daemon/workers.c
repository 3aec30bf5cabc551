/* Who works for us right now, and how is one asked to stop?
 *
 *   to be cancelled, held; its slot or its time is up
 *       --SIGTERM--> it writes a checkpoint, says `interrupted`, exits
 *                    \--grace over--> SIGKILL
 *
 * Signals go through pidfds: they can't hit a stranger that got the number. */
#include "daemon/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

enum { SEEN_EVERY_MS = 60000 };

int job_dir(const struct daemon *daemon, const char *id, char ret[PATH_MAX])
{
    int length = snprintf(ret, PATH_MAX, "%s/%s", daemon->jobs_dir, id);

    return length >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* When the attempt began and when its time is up, on the clock that only goes forward. */
static void clock_start(struct daemon *daemon, struct worker *worker, const struct db_job *job)
{
    if (job->attempt_steady_ms && strcmp(job->boot_id, daemon->boot_id) == 0)
        worker->began_ms = job->attempt_steady_ms;
    else
        worker->began_ms = monotonic_ms() - job->attempt_ran_ms;
    if (job->time_limit_ms)
        worker->limit_at_ms = worker->began_ms + job->time_limit_ms - job->ran_ms;
}

struct worker *worker_add(struct daemon *daemon, const struct db_job *job, struct slot *slot)
{
    struct worker *worker = calloc(1, sizeof(*worker));

    if (!worker || job_dir(daemon, job->id, worker->dir) < 0) {
        free(worker);
        return NULL;
    }
    worker->exit = (struct source){ -1, worker_ended };
    snprintf(worker->id, sizeof(worker->id), "%s", job->id);
    worker->offset = job->journal_offset;
    worker->slot = slot;
    worker->priority = job->priority;
    clock_start(daemon, worker, job);
    if (slot) {
        slot->worker = worker;
        slot->busy = true;
        worker->memory_bytes = job->memory_bytes ? job->memory_bytes : device_share(daemon, slot->on);
    }
    worker->next = daemon->workers;
    daemon->workers = worker;
    return worker;
}

int worker_watch(struct daemon *daemon, struct worker *worker, pid_t pid, int pidfd)
{
    worker->exit.fd = pidfd;
    int r = loop_add(daemon, &worker->exit);
    if (r < 0) {
        worker->exit.fd = -1;
        close(pidfd);
        return r;
    }
    worker->pid = pid;
    worker->kill_at_ms = 0;
    worker->stop = STOP_NOT;
    worker->end = (struct worker_end){ 0 };
    return 0;
}

void worker_remove(struct daemon *daemon, struct worker *worker)
{
    struct worker **at = &daemon->workers;

    while (*at != worker)
        at = &(*at)->next;
    *at = worker->next;
    if (worker->slot) {
        worker->slot->worker = NULL;
        worker->slot->busy = false;
    }
    daemon->schedule_at_ms = 0; /* a slot may be free, a job back in the queue */
    loop_remove(daemon, &worker->exit);
    free(worker);
}

void worker_stop(struct daemon *daemon, struct worker *worker, enum stop why)
{
    static const char *const words[] = {
        [STOP_CANCEL] = "cancelled",
        [STOP_HOLD] = "held",
        [STOP_PREEMPT] = "its slot is wanted by a job of higher priority",
        [STOP_LIMIT] = "its time is up",
    };

    worker->stop = why;
    if (!worker->pid || worker->kill_at_ms) /* there is nobody to ask, or he was asked */
        return;
    log_job(LEVEL_INFO, worker->id, "%s; asking worker %d to stop", words[why], (int)worker->pid);
    worker->kill_at_ms = monotonic_ms() + daemon->settings->grace_s * 1000 + 1;
    pidfd_send_signal(worker->exit.fd, SIGTERM, NULL, 0); /* gone already: its exit tells */
}

void workers_review(struct daemon *daemon)
{
    for (struct worker *worker = daemon->workers; worker; worker = worker->next) {
        db_job_auto job = { 0 };
        if (!worker->pid || worker->stop == STOP_CANCEL || db_job_get(daemon->db, worker->id, &job) < 0)
            continue;
        worker->priority = job.priority;
        if (job.cancel_wanted)
            worker_stop(daemon, worker, STOP_CANCEL);
        else if (job.held && !worker->stop)
            worker_stop(daemon, worker, STOP_HOLD);
    }
}

void workers_watch_clock(struct daemon *daemon)
{
    int64_t now_ms = monotonic_ms();

    if (daemon->workers && now_ms - daemon->seen_at_ms >= SEEN_EVERY_MS) {
        daemon->seen_at_ms = now_ms;
        if (db_attempts_seen(daemon->db) < 0)
            log_error("running time cannot be written down: %s", db_errmsg(daemon->db));
    }
    for (struct worker *worker = daemon->workers; worker; worker = worker->next) {
        if (!worker->stop && worker->limit_at_ms && now_ms >= worker->limit_at_ms)
            worker_stop(daemon, worker, STOP_LIMIT);
        if (worker->pid && worker->kill_at_ms && now_ms >= worker->kill_at_ms) {
            log_job(LEVEL_INFO, worker->id, "worker %d did not stop in time; killing it", (int)worker->pid);
            worker->kill_at_ms = INT64_MAX;
            pidfd_send_signal(worker->exit.fd, SIGKILL, NULL, 0);
        }
    }
}
