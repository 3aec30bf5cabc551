/* How does what a worker says come into its job's directory?
 *
 *   riftd, or systemd, started us    stderr is DIR/log.txt: nothing is to be done
 *   somebody at a terminal           `stderr` becomes a stream that writes to both
 *
 * The log belongs to the worker that runs the job: whoever writes it holds a lock
 * on it, so that a second worker, which only says that it isn't the first, says so
 * to its own stderr. The lock goes with the process.
 *
 * A log is a help and no more: one that can't be opened or written ends no job. */
#include "gpu/worker/log.h"

#include "job/job.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static void whole_write(int fd, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t wrote = write(fd, text, size);

        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return;
        text += wrote;
        size -= (size_t)wrote;
    }
}

static ssize_t both_write(void *cookie, const char *text, size_t size)
{
    const int *log = cookie;

    whole_write(STDERR_FILENO, text, size);
    whole_write(*log, text, size);
    return (ssize_t)size;
}

/* The open file, -1: there is none. What isn't a plain file (a link out of the
 * directory, a pipe that nobody reads) is none of ours. */
static int log_open(const char *dir)
{
    char path[PATH_MAX];
    struct stat st;

    if (snprintf(path, sizeof(path), "%s/%s", dir, JOBDIR_LOG) >= (int)sizeof(path))
        return -1;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);
    if (fd < 0 || (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)))
        return fd;
    close(fd);
    return -1;
}

static bool same_file(int a, int b)
{
    struct stat of_a, of_b;

    return fstat(a, &of_a) == 0 && fstat(b, &of_b) == 0 && of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino;
}

/* Somebody else holds it; a file system without locks lets everybody. */
static bool taken(int fd)
{
    return flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

void log_begin(const char *dir)
{
    static int log;

    log = log_open(dir);
    if (log < 0)
        return;
    if (same_file(log, STDERR_FILENO)) {
        taken(STDERR_FILENO);
        if (log != STDERR_FILENO) /* it is, where stderr was closed */
            close(log);
        return;
    }
    FILE *both = taken(log) ? NULL : fopencookie(&log, "a", (cookie_io_functions_t){ .write = both_write });
    if (!both) {
        close(log);
        return;
    }
    setvbuf(both, NULL, _IONBF, 0);
    stderr = both;
}
