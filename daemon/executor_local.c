/* How is a job started on this machine?
 *
 * Write its directory, start `rift-worker run DIR` in a session of its own,
 * remember who it is. The worker outlives us: it has its own session, no
 * descriptor of ours, stdin from /dev/null, stdout and stderr in DIR/log.txt.
 * What it has to say comes through the journal file.
 *
 * If riftd dies between the start and the remembering, the worker runs on
 * unrecorded: attach.c finds it by its command line and its open journal, whose
 * lock keeps a second worker out until then. */
#include "daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* What the child sets up before it becomes the worker. 0 or positive errno. */
static int actions_fill(posix_spawn_file_actions_t *actions, const char *dir)
{
    int e = posix_spawn_file_actions_addchdir_np(actions, dir);

    if (!e)
        e = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!e)
        e = posix_spawn_file_actions_addopen(actions, STDOUT_FILENO, JOBDIR_LOG, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (!e)
        e = posix_spawn_file_actions_adddup2(actions, STDOUT_FILENO, STDERR_FILENO);
    if (!e)
        e = posix_spawn_file_actions_addclosefrom_np(actions, STDERR_FILENO + 1);
    return e;
}

static int attributes_fill(posix_spawnattr_t *attributes)
{
    sigset_t none, all;
    int e = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

    sigemptyset(&none);
    sigfillset(&all);
    if (!e)
        e = posix_spawnattr_setsigmask(attributes, &none);
    return e ? e : posix_spawnattr_setsigdefault(attributes, &all);
}

static int spawn(struct daemon *daemon, char *dir, pid_t *ret, struct fault *why)
{
    char *argv[] = { daemon->worker_path, "run", dir, NULL };
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int e = posix_spawn_file_actions_init(&actions);

    if (e)
        return fault_set(why, -e, "out of memory");
    e = posix_spawnattr_init(&attributes);
    if (!e) {
        e = actions_fill(&actions, dir);
        if (!e)
            e = attributes_fill(&attributes);
        if (!e)
            e = posix_spawn(ret, argv[0], &actions, &attributes, argv, environ);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return e ? fault_set(why, -e, "%s: cannot be started: %s", argv[0], strerror(e)) : 0;
}

/* Watch and record the new child; take it down again when that fails. */
static int adopt(struct daemon *daemon, struct worker *worker, pid_t pid, struct fault *why)
{
    int64_t start = 0;
    int pidfd = pidfd_open(pid, 0);
    int r = pidfd < 0 ? -errno : process_start_time(pid, &start);

    if (r >= 0)
        r = db_job_started(daemon->db, worker->id, pid, start, daemon->boot_id);
    if (r >= 0)
        r = worker_watch(daemon, worker, pid, pidfd); /* takes pidfd */
    else if (pidfd >= 0)
        close(pidfd);
    if (r >= 0)
        return 0;
    kill(pid, SIGKILL); /* our child, not yet waited for: the number is still its own */
    waitpid(pid, NULL, 0);
    return fault_set(why, r, "its worker cannot be watched: %s", strerror(-r));
}

int executor_start(struct daemon *daemon, struct worker *worker, const struct db_job *job, const json_t *spec,
                   struct fault *why)
{
    pid_t pid = 0;
    int r = jobdir_create(worker->dir, spec, why);

    if (r >= 0)
        r = spawn(daemon, worker->dir, &pid, why);
    if (r >= 0)
        r = adopt(daemon, worker, pid, why);
    if (r >= 0)
        log_job(LEVEL_INFO, job->id, "%s, attempt %d, worker %d on %s", job->kind, job->attempts + 1, (int)pid,
                 worker->slot->device);
    return r;
}
