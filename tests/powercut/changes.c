/* Which changes are ours, and how do they get into the log in the file system's order?
 *
 * The lock and the log are opened before main and stay open: a worker that locks
 * itself in later still has them. System calls are made directly, since the
 * functions of those names are the shim's own. */
#include "tests/powercut/changes.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { HIGH_FD = 400 }; /* out of the way of programs that count on low numbers */

static char root[PATH_MAX], log_path[PATH_MAX - 8];
static size_t root_length;
static int log_fd = -1, lock_fd = -1;
static long sync_us;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* Into LOG.dead, which the driver looks for: a process that ends looks like one that crashed. */
void die(const char *what)
{
    char path[PATH_MAX + 8];

    snprintf(path, sizeof(path), "%s.dead", log_path);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    syscall(SYS_write, fd, what, strlen(what));
    syscall(SYS_write, fd, "\n", 1L);
    abort();
}

static int open_high(const char *path, int flags)
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0600);
    int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);

    if (high < 0)
        die("its log can't be opened");
    close(fd);
    return high;
}

__attribute__((constructor)) static void start(void)
{
    const char *where = getenv("POWERCUT_ROOT"), *log = getenv("POWERCUT_LOG"), *delay = getenv("POWERCUT_SYNC_US");
    char lock[PATH_MAX + 8];

    if (!where || !log)
        return;
    snprintf(root, sizeof(root), "%s", where);
    snprintf(log_path, sizeof(log_path), "%s", log);
    snprintf(lock, sizeof(lock), "%s.lock", log);
    sync_us = delay ? atol(delay) : 0;
    log_fd = open_high(log, O_WRONLY | O_CREAT | O_APPEND);
    lock_fd = open_high(lock, O_RDWR | O_CREAT);
    root_length = strlen(root);
}

bool watching(void)
{
    return root_length > 0;
}

long sync_longest_us(void)
{
    return sync_us;
}

/* ---- the log ---- */

void lock_take(void)
{
    pthread_mutex_lock(&mutex);
    while (flock(lock_fd, LOCK_EX) < 0)
        if (errno != EINTR)
            die("its lock can't be taken");
}

void lock_give(void)
{
    int code = errno;

    flock(lock_fd, LOCK_UN);
    pthread_mutex_unlock(&mutex);
    errno = code;
}

void record_put(struct record record, const char *name, const char *name2, const void *data)
{
    record.name_size = name ? (uint32_t)strlen(name) : 0;
    record.name2_size = name2 ? (uint32_t)strlen(name2) : 0;
    struct iovec parts[] = { { &record, sizeof(record) },
                             { (void *)name, record.name_size },
                             { (void *)name2, record.name2_size },
                             { (void *)data, data ? record.size : 0 } };
    size_t wanted = sizeof(record) + record.name_size + record.name2_size + (data ? record.size : 0);
    int code = errno;

    if (syscall(SYS_writev, log_fd, parts, 4) != (long)wanted)
        die("its log can't be written");
    errno = code;
}

/* ---- what is ours? ---- */

bool below_root(int fd, char ret[PATH_MAX])
{
    char link[64];

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, ret, PATH_MAX - 1);
    if (length < (ssize_t)root_length)
        return false;
    ret[length] = 0;
    return memcmp(ret, root, root_length) == 0 && (ret[root_length] == '/' || !ret[root_length]);
}

/* A file or directory below the root; its stat. */
bool watched(int fd, struct stat *ret)
{
    char path[PATH_MAX];
    int code = errno;
    bool yes = root_length && fd >= 0 && fstat(fd, ret) == 0 && (S_ISREG(ret->st_mode) || S_ISDIR(ret->st_mode)) &&
               below_root(fd, path);

    errno = code;
    return yes;
}

bool place_find(int at, const char *path, struct place *ret)
{
    char above[PATH_MAX], real[PATH_MAX];
    struct stat st;
    int code = errno;
    size_t length = root_length && path ? strlen(path) : 0;

    while (length > 1 && path[length - 1] == '/')
        length--;
    size_t name = length;
    while (name > 0 && path[name - 1] != '/')
        name--;
    if (!length || length >= PATH_MAX || length - name > NAME_MAX || length == name)
        return false;
    snprintf(ret->name, sizeof(ret->name), "%.*s", (int)(length - name), path + name);
    snprintf(above, sizeof(above), "%.*s", (int)name, path);
    ret->fd = (int)syscall(SYS_openat, at, name ? above : ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    bool ours = ret->fd >= 0 && below_root(ret->fd, real) && fstat(ret->fd, &st) == 0;
    if (ours)
        ret->parent = st.st_ino;
    else if (ret->fd >= 0)
        close(ret->fd);
    errno = code;
    return ours;
}

void place_done(struct place *place)
{
    int code = errno;

    close(place->fd);
    errno = code;
}
