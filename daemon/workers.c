/* Who works for us right now, and how is one asked to stop?
 *
 *   cancel wanted --SIGTERM--> it writes a checkpoint, says `interrupted`, exits
 *                   \--grace over--> SIGKILL
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

int job_dir(const struct daemon *daemon, const char *id, char ret[PATH_MAX])
{
    int length = snprintf(ret, PATH_MAX, "%s/%s", daemon->jobs_dir, id);

    return length >= PATH_MAX ? -ENAMETOOLONG : 0;
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
    if (slot) {
        slot->worker = worker;
        slot->busy = true;
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
    loop_remove(daemon, &worker->exit);
    free(worker);
}

static void stop(struct daemon *daemon, struct worker *worker)
{
    log_job(LEVEL_INFO, worker->id, "cancelled; asking worker %d to stop", (int)worker->pid);
    worker->kill_at_ms = monotonic_ms() + daemon->settings->grace_s * 1000 + 1;
    pidfd_send_signal(worker->exit.fd, SIGTERM, NULL, 0); /* gone already: its exit tells */
}

void workers_cancel(struct daemon *daemon)
{
    for (struct worker *worker = daemon->workers; worker; worker = worker->next) {
        db_job_auto job = { 0 };
        if (worker->pid && !worker->kill_at_ms && db_job_get(daemon->db, worker->id, &job) >= 0 && job.cancel_wanted)
            stop(daemon, worker);
    }
}

void workers_kill_late(struct daemon *daemon)
{
    for (struct worker *worker = daemon->workers; worker; worker = worker->next)
        if (worker->pid && worker->kill_at_ms && monotonic_ms() >= worker->kill_at_ms) {
            log_job(LEVEL_INFO, worker->id, "worker %d did not stop in time; killing it", (int)worker->pid);
            worker->kill_at_ms = INT64_MAX;
            pidfd_send_signal(worker->exit.fd, SIGKILL, NULL, 0);
        }
}
