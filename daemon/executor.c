/* Who starts workers, and what is the same whoever does?
 *
 *   local     riftd itself: a child in a session of its own (executor_local.c)
 *   launcher  systemd, asked through a socket (executor_socket.c), when the
 *             setting `launcher` names one
 *
 * Both give a process that works on the job's directory; it is watched through
 * its pidfd and written down with its start time, so that the next riftd knows
 * it again. From there on nobody asks where it came from: it tells what it does
 * by the journal in its directory, and no row here knows what a job is. */
#include "daemon/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct executor_ops *executor(const struct daemon *daemon)
{
    return daemon->settings->launcher ? &executor_socket : &executor_local;
}

void worker_words(const struct daemon *daemon, struct worker_words *ret)
{
    const struct settings *settings = daemon->settings;

    *ret = (struct worker_words){ .list = { "--sandbox", sandbox_modes[settings->sandbox] }, .count = 2 };
    if (settings->worker_memory_limit == SETTING_UNSET)
        return;
    snprintf(ret->limit, sizeof(ret->limit), "%lld", (long long)settings->worker_memory_limit);
    ret->list[ret->count++] = "--memory-limit";
    ret->list[ret->count++] = ret->limit;
}

/* Nobody will watch it: away with it. */
static void put_down(const struct started *started)
{
    if (started->pidfd < 0)
        return;
    pidfd_send_signal(started->pidfd, SIGKILL, NULL, 0);
    waitid(P_PIDFD, (id_t)started->pidfd, &(siginfo_t){ 0 }, WEXITED); /* ECHILD: another's child */
    close(started->pidfd);
}

/* Record the new process, let it go to work and watch it; put it down when that fails. */
static int adopt(struct daemon *daemon, struct worker *worker, struct started *started, struct fault *why)
{
    const struct executor_ops *ops = executor(daemon);
    int64_t start = 0;
    int r = process_start_time(started->pid, &start);

    if (r >= 0)
        r = db_job_started(daemon->db, worker->id, started->pid, start, daemon->boot_id);
    if (r >= 0 && ops->go)
        r = ops->go(started);
    if (r >= 0) {
        /* Twice: worker_watch takes the one it gets, also when it fails. */
        int pidfd = dup(started->pidfd);
        r = pidfd < 0 ? -errno : worker_watch(daemon, worker, started->pid, pidfd);
    }
    if (started->connection >= 0)
        close(started->connection);
    if (r < 0) {
        put_down(started);
        return fault_set(why, r, "its worker cannot be watched: %s", strerror(-r));
    }
    close(started->pidfd);
    return 0;
}

int executor_start(struct daemon *daemon, struct worker *worker, const struct db_job *job, const json_t *spec,
                   struct fault *why)
{
    struct started started = { .pidfd = -1, .connection = -1 };
    char exit_path[PATH_MAX + 16];
    int r = jobdir_create(worker->dir, spec, why);

    snprintf(exit_path, sizeof(exit_path), "%s/" JOBDIR_EXIT, worker->dir);
    unlink(exit_path); /* an earlier worker's */
    if (r >= 0)
        r = executor(daemon)->start(daemon, worker->dir, &started, why);
    if (r >= 0)
        r = adopt(daemon, worker, &started, why);
    if (r >= 0) {
        metrics_started(daemon, job, clock_ms());
        log_job(LEVEL_INFO, job->id, "%s, attempt %d, worker %d on %s", job->kind, job->attempts + 1, (int)started.pid,
                worker->slot->on->name);
    }
    return r;
}

int executor_devices(struct daemon *daemon, json_t **ret, struct fault *why)
{
    char *text = NULL;
    int r = executor(daemon)->devices(daemon, &text, why);

    if (r < 0)
        return r;
    json_t *said = text_read(text);
    free(text);
    if (!json_is_array(said)) {
        json_decref(said);
        return fault_set(why, -EBADMSG, "%s devices: did not print a JSON array", daemon->worker_path);
    }
    *ret = said;
    return 0;
}
