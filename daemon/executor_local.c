/* How does riftd start a worker by itself?
 *
 * `rift-worker run ... DIR` in a session of its own. The worker outlives us: it has
 * no descriptor of ours, stdin from /dev/null, stdout and stderr in DIR/log.txt.
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
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { DEVICES_TEXT = 1 << 20 };

/* What the child sets up before it becomes the worker. 0 or positive errno. */
static int actions_fill(posix_spawn_file_actions_t *actions, const char *dir)
{
    int e = posix_spawn_file_actions_addchdir_np(actions, dir);

    if (!e)
        e = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!e)
        e = posix_spawn_file_actions_addopen(actions, STDOUT_FILENO, JOBDIR_LOG,
                                             O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0644);
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
    char *argv[WORKER_WORDS_MAX + 4] = { daemon->worker_path, "run" };
    struct worker_words words;
    int count = 2;

    worker_words(daemon, &words);
    for (int i = 0; i < words.count; i++)
        argv[count++] = (char *)words.list[i];
    argv[count] = dir; /* last: process.c looks there */

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

static int local_start(struct daemon *daemon, char *dir, struct started *ret, struct fault *why)
{
    pid_t pid = 0;
    int r = spawn(daemon, dir, &pid, why);

    if (r < 0)
        return r;
    int pidfd = pidfd_open(pid, 0);
    if (pidfd < 0) {
        r = fault_set(why, -errno, "its worker cannot be watched: %s", strerror(errno));
        kill(pid, SIGKILL); /* our child, not yet waited for: the number is still its own */
        waitpid(pid, NULL, 0);
        return r;
    }
    *ret = (struct started){ .pid = pid, .pidfd = pidfd, .connection = -1 };
    return 0;
}

/* What a child writes to its stdout, until it ends. */
static int child_output(char *const argv[], char **ret, struct fault *why)
{
    posix_spawn_file_actions_t actions;
    char *text = malloc(DEVICES_TEXT);
    size_t length = 0;
    int pipe_fds[2], status = 0;
    ssize_t got;
    pid_t pid;

    if (!text || pipe2(pipe_fds, O_CLOEXEC) < 0) {
        free(text);
        return fault_set(why, text ? -errno : -ENOMEM, "cannot ask for devices: %s", strerror(errno));
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], STDOUT_FILENO);
    int r = -posix_spawn(&pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(pipe_fds[1]);
    if (r < 0)
        fault_set(why, r, "%s: cannot be started: %s", argv[0], strerror(-r));
    while (r == 0 && length < DEVICES_TEXT - 1 &&
           (got = read(pipe_fds[0], text + length, DEVICES_TEXT - 1 - length)) != 0) {
        if (got < 0 && errno != EINTR)
            break;
        length += got > 0 ? (size_t)got : 0;
    }
    close(pipe_fds[0]);
    if (r == 0 && (waitpid(pid, &status, 0) < 0 || status != 0))
        r = fault_set(why, -EIO, "%s %s: ended with status %d", argv[0], argv[1], status);
    text[length] = '\0';
    if (r < 0) {
        free(text);
        return r;
    }
    *ret = text;
    return 0;
}

static int local_devices(struct daemon *daemon, char **ret, struct fault *why)
{
    char *const argv[] = { daemon->worker_path, "devices", NULL };

    return child_output(argv, ret, why);
}

const struct executor_ops executor_local = { .start = local_start, .devices = local_devices };
