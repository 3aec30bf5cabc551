/* riftd was away: what happened to the jobs that it left running?
 *
 *   the recorded process lives (PID, start time, boot)  -> watch it, read on
 *   an unrecorded one works in the directory            -> record and watch it
 *   nobody does                                         -> read the rest of the
 *                                                          journal, then verdict.c
 */
#include "daemon/daemon.h"

#include <errno.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

/* The slot the job had, by its device; NULL when all of those are taken or gone. */
static struct slot *slot_find(struct daemon *daemon, const char *device)
{
    for (int i = 0; i < daemon->slot_count; i++)
        if (!daemon->slots[i].worker && strcmp(daemon->slots[i].on->name, device) == 0)
            return &daemon->slots[i];
    return NULL;
}

int attach_process(struct daemon *daemon, struct worker *worker, const struct db_job *job, pid_t pid, bool record)
{
    /* First hold the process, then look whether it is the one: it can't be
     * replaced by another in between. */
    int pidfd = pidfd_open(pid, 0);
    int64_t start = 0;
    int r = pidfd < 0 ? -ESRCH : process_start_time(pid, &start);

    if (r >= 0 && !record && start != job->pid_start)
        r = -ESRCH;
    if (r >= 0 && record)
        r = db_job_started(daemon->db, job->id, pid, start, daemon->boot_id);
    if (r < 0) {
        if (pidfd >= 0)
            close(pidfd);
        return r;
    }
    r = worker_watch(daemon, worker, pid, pidfd);
    if (r >= 0)
        log_job(LEVEL_INFO, job->id, "worker %d found again, reading its journal from byte %lld", (int)pid,
                (long long)worker->offset);
    return r;
}

static int attach(struct daemon *daemon, const struct db_job *job)
{
    struct worker *worker = worker_add(daemon, job, slot_find(daemon, job->device));

    if (!worker)
        return -ENOMEM;
    worker->end.unstarted = !job->pid;
    if (!job->pid || strcmp(job->boot_id, daemon->boot_id) != 0 ||
        attach_process(daemon, worker, job, (pid_t)job->pid, false) < 0)
        worker_settle(daemon, worker);
    return 0;
}

int attach_all(struct daemon *daemon)
{
    struct db_job *jobs = NULL;
    int count = db_job_running(daemon->db, &jobs);
    int r = count;

    for (int i = 0; i < count && r >= 0; i++)
        r = attach(daemon, &jobs[i]);
    if (count >= 0)
        db_jobs_free(jobs, count);
    workers_review(daemon); /* of which some may have been wanted while we were away */
    return r;
}
