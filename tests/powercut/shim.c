/* What did a process ask of the file system, in order, and what of it was synced?
 *
 * Preloaded into riftd and its workers (LD_PRELOAD). Every change below one
 * directory goes on to the kernel as always and also into one log, which
 * disk.py reads: it knows from it what a power cut at this moment would leave.
 *
 *     riftd ------.                .--> kernel   what everybody sees
 *     rift-worker -+--> lock, then +--> log      what disk.py replays
 *     rift-worker -'
 *
 * One lock (flock) over all processes holds from before the change until it is
 * logged, so the log's order is the file system's. Whoever kills one of the
 * processes takes the lock first: nobody dies between a change and its record.
 *
 * Surprising: fsync only writes records, one when it begins and one when it
 * ends; only what was there at the beginning counts as synced. In between it
 * may sleep as a slow disk would. sync_file_range is no sync and leaves none.
 *
 * What can't be logged ends the process with a word: a mapping that writes (but
 * SQLite's -shm, which is rebuilt), stdio that writes, temporary files without a
 * name. What is missed by mistake disk.py finds: the replay must equal the tree.
 *
 *   POWERCUT_ROOT  the directory, a real path    POWERCUT_LOG  the log; .lock beside it
 *   POWERCUT_SYNC_US  longest sleep in a sync    POWERCUT_BOOT_ID  what the kernel says instead of its own */
#include "tests/powercut/changes.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* ---- names ---- */

static int opening(int at, const char *path, int flags, mode_t mode)
{
    struct place place;
    struct stat before, st;

    if (!(flags & (O_CREAT | O_TRUNC | O_TMPFILE)) || !place_find(at, path, &place))
        return (int)syscall(SYS_openat, at, path, flags, mode);
    if ((flags & O_TMPFILE) == O_TMPFILE)
        die("O_TMPFILE isn't logged");
    lock_take();
    int code = errno;
    bool there = fstatat(place.fd, place.name, &before, AT_SYMLINK_NOFOLLOW) == 0;
    errno = code;
    if (there && S_ISLNK(before.st_mode) && !(flags & O_NOFOLLOW))
        die("writing through a symbolic link isn't logged");
    int fd = (int)syscall(SYS_openat, at, path, flags, mode);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        if (!there)
            record_put(
                (struct record){ .type = RECORD_CREATE, .ino = st.st_ino, .parent = place.parent, .mode = st.st_mode },
                place.name, NULL, NULL);
        else if (flags & O_TRUNC)
            record_put((struct record){ .type = RECORD_TRUNCATE, .ino = st.st_ino }, NULL, NULL, NULL);
    }
    lock_give();
    place_done(&place);
    return fd;
}

#define OPENS(name, prefix, at)                                                                                        \
    int name prefix                                                                                                    \
    {                                                                                                                  \
        mode_t mode = 0;                                                                                               \
        if (flags & (O_CREAT | O_TMPFILE)) {                                                                           \
            va_list rest;                                                                                              \
            va_start(rest, flags);                                                                                     \
            mode = va_arg(rest, mode_t);                                                                               \
            va_end(rest);                                                                                              \
        }                                                                                                              \
        return opening(at, path, flags, mode);                                                                         \
    }
OPENS(open, (const char *path, int flags, ...), AT_FDCWD)
OPENS(open64, (const char *path, int flags, ...), AT_FDCWD)
OPENS(openat, (int at, const char *path, int flags, ...), at)
OPENS(openat64, (int at, const char *path, int flags, ...), at)

int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int at, const char *path, int flags);
int __openat64_2(int at, const char *path, int flags);

int __open_2(const char *path, int flags)
{
    return opening(AT_FDCWD, path, flags, 0);
}
int __open64_2(const char *path, int flags)
{
    return opening(AT_FDCWD, path, flags, 0);
}
int __openat_2(int at, const char *path, int flags)
{
    return opening(at, path, flags, 0);
}
int __openat64_2(int at, const char *path, int flags)
{
    return opening(at, path, flags, 0);
}
int creat(const char *path, mode_t mode)
{
    return opening(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}
int creat64(const char *path, mode_t mode)
{
    return creat(path, mode);
}

int mkdirat(int at, const char *path, mode_t mode)
{
    struct place place;
    struct stat st;

    if (!place_find(at, path, &place))
        return (int)syscall(SYS_mkdirat, at, path, mode);
    lock_take();
    int r = (int)syscall(SYS_mkdirat, at, path, mode);
    if (r == 0 && fstatat(place.fd, place.name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        record_put(
            (struct record){ .type = RECORD_CREATE, .ino = st.st_ino, .parent = place.parent, .mode = st.st_mode },
            place.name, NULL, NULL);
    lock_give();
    place_done(&place);
    return r;
}
int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

int renameat2(int at, const char *path, int at2, const char *path2, unsigned flags)
{
    struct place from, to;
    bool ours = place_find(at, path, &from), ours2 = place_find(at2, path2, &to);

    if (!ours && !ours2)
        return (int)syscall(SYS_renameat2, at, path, at2, path2, flags);
    if (ours != ours2 || (flags & RENAME_EXCHANGE))
        die("a rename out of the directory, into it, or that exchanges isn't logged");
    lock_take();
    int r = (int)syscall(SYS_renameat2, at, path, at2, path2, flags);
    if (r == 0)
        record_put((struct record){ .type = RECORD_RENAME, .parent = from.parent, .parent2 = to.parent }, from.name,
                   to.name, NULL);
    lock_give();
    place_done(&from);
    place_done(&to);
    return r;
}
int renameat(int at, const char *path, int at2, const char *path2)
{
    return renameat2(at, path, at2, path2, 0);
}
int rename(const char *path, const char *path2)
{
    return renameat2(AT_FDCWD, path, AT_FDCWD, path2, 0);
}

int linkat(int at, const char *path, int at2, const char *path2, int flags)
{
    struct place to;
    struct stat st;

    if (!place_find(at2, path2, &to))
        return (int)syscall(SYS_linkat, at, path, at2, path2, flags);
    lock_take();
    int r = (int)syscall(SYS_linkat, at, path, at2, path2, flags);
    if (r == 0 && fstatat(to.fd, to.name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        record_put((struct record){ .type = RECORD_LINK, .ino = st.st_ino, .parent = to.parent }, to.name, NULL, NULL);
    lock_give();
    place_done(&to);
    return r;
}
int link(const char *path, const char *path2)
{
    return linkat(AT_FDCWD, path, AT_FDCWD, path2, 0);
}

int unlinkat(int at, const char *path, int flags)
{
    struct place place;

    if (!place_find(at, path, &place))
        return (int)syscall(SYS_unlinkat, at, path, flags);
    lock_take();
    int r = (int)syscall(SYS_unlinkat, at, path, flags);
    if (r == 0)
        record_put((struct record){ .type = RECORD_REMOVE, .parent = place.parent }, place.name, NULL, NULL);
    lock_give();
    place_done(&place);
    return r;
}
int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}
int rmdir(const char *path)
{
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}
int remove(const char *path)
{
    int r = unlink(path);

    return r < 0 && errno == EISDIR ? rmdir(path) : r;
}

/* ---- contents ---- */

static void synced_now(int fd, uint64_t ino)
{
    static _Thread_local uint64_t count;
    uint64_t token = (uint64_t)syscall(SYS_gettid) << 32 | ++count;

    if (fcntl(fd, F_GETFL) & O_DSYNC) {
        record_put((struct record){ .type = RECORD_SYNC_BEGIN, .ino = ino, .token = token }, NULL, NULL, NULL);
        record_put((struct record){ .type = RECORD_SYNC_END, .token = token }, NULL, NULL, NULL);
    }
}

/* offset -1: where the descriptor stands. */
static ssize_t writing(int fd, const struct iovec *parts, int count, int64_t offset)
{
    struct stat st;
    bool append;

    if (!watched(fd, &st))
        return offset < 0 ? syscall(SYS_writev, fd, parts, count)
                          : syscall(SYS_pwritev, fd, parts, count, (long)offset, 0L);
    lock_take();
    append = fcntl(fd, F_GETFL) & O_APPEND;
    fstat(fd, &st);
    int64_t at = append ? st.st_size : offset >= 0 ? offset : lseek(fd, 0, SEEK_CUR);
    ssize_t wrote =
        offset < 0 ? syscall(SYS_writev, fd, parts, count) : syscall(SYS_pwritev, fd, parts, count, (long)offset, 0L);
    size_t left = wrote > 0 ? (size_t)wrote : 0;
    for (int i = 0; i < count && left; i++) {
        size_t size = parts[i].iov_len < left ? parts[i].iov_len : left;
        record_put((struct record){ .type = RECORD_WRITE, .ino = st.st_ino, .offset = at, .size = size }, NULL, NULL,
                   parts[i].iov_base);
        at += (int64_t)size;
        left -= size;
    }
    if (wrote > 0)
        synced_now(fd, st.st_ino);
    lock_give();
    return wrote;
}

ssize_t write(int fd, const void *data, size_t size)
{
    return writing(fd, &(struct iovec){ (void *)data, size }, 1, -1);
}
ssize_t writev(int fd, const struct iovec *parts, int count)
{
    return writing(fd, parts, count, -1);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    return writing(fd, &(struct iovec){ (void *)data, size }, 1, offset);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    return writing(fd, &(struct iovec){ (void *)data, size }, 1, offset);
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    return writing(fd, parts, count, offset);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset)
{
    return writing(fd, parts, count, offset);
}

/* A little at a time, as it may. */
ssize_t sendfile(int to, int from, off_t *offset, size_t size)
{
    char piece[16 << 10];
    struct stat st;

    if (!watched(to, &st))
        return syscall(SYS_sendfile, to, from, offset, size);
    if (offset)
        die("sendfile from an offset isn't logged");
    ssize_t got = read(from, piece, size < sizeof(piece) ? size : sizeof(piece));
    return got > 0 ? write(to, piece, (size_t)got) : got;
}
ssize_t sendfile64(int to, int from, off64_t *offset, size_t size)
{
    return sendfile(to, from, offset, size);
}
ssize_t copy_file_range(int from, off64_t *offset, int to, off64_t *to_offset, size_t size, unsigned flags)
{
    struct stat st;

    if (watched(to, &st))
        die("copy_file_range isn't logged");
    return syscall(SYS_copy_file_range, from, offset, to, to_offset, size, flags);
}

/* The size is what it changes. */
static int sizing(int fd, long r_syscall, long a, long b, long c)
{
    struct stat st;

    if (!watched(fd, &st))
        return (int)syscall(r_syscall, fd, a, b, c);
    lock_take();
    int r = (int)syscall(r_syscall, fd, a, b, c);
    if (r == 0 && fstat(fd, &st) == 0)
        record_put((struct record){ .type = RECORD_TRUNCATE, .ino = st.st_ino, .offset = st.st_size }, NULL, NULL,
                   NULL);
    lock_give();
    return r;
}
int ftruncate(int fd, off_t size)
{
    return sizing(fd, SYS_ftruncate, size, 0, 0);
}
int ftruncate64(int fd, off64_t size)
{
    return sizing(fd, SYS_ftruncate, size, 0, 0);
}
int fallocate(int fd, int mode, off_t offset, off_t length)
{
    struct stat st;

    if (watched(fd, &st) && mode & ~FALLOC_FL_KEEP_SIZE)
        die("fallocate that punches, zeroes or moves isn't logged");
    return sizing(fd, SYS_fallocate, mode, offset, length);
}
int fallocate64(int fd, int mode, off64_t offset, off64_t length)
{
    return fallocate(fd, mode, offset, length);
}
int posix_fallocate(int fd, off_t offset, off_t length)
{
    return fallocate(fd, 0, offset, length) < 0 ? errno : 0;
}
int posix_fallocate64(int fd, off64_t offset, off64_t length)
{
    return posix_fallocate(fd, offset, length);
}

/* ---- syncs ---- */

static void disk_take_its_time(uint64_t token)
{
    long us = sync_longest_us() ? (long)((token * 0x9e3779b97f4a7c15u >> 33) % (uint64_t)sync_longest_us()) : 0;
    struct timespec time = { us / 1000000, us % 1000000 * 1000 };

    if (us)
        ppoll(NULL, 0, &time, NULL);
}

static int syncing(int fd, long number)
{
    static _Thread_local uint64_t count;
    struct stat st;

    if (!watched(fd, &st))
        return (int)syscall(number, fd);
    uint64_t token = (uint64_t)syscall(SYS_gettid) << 32 | 1u << 31 | (++count & 0x7fffffff);
    lock_take();
    record_put((struct record){ .type = RECORD_SYNC_BEGIN, .ino = st.st_ino, .token = token }, NULL, NULL, NULL);
    lock_give();
    disk_take_its_time(token);
    lock_take();
    record_put((struct record){ .type = RECORD_SYNC_END, .token = token }, NULL, NULL, NULL);
    lock_give();
    return 0;
}
int fsync(int fd)
{
    return syncing(fd, SYS_fsync);
}
int fdatasync(int fd)
{
    return syncing(fd, SYS_fdatasync);
}
int sync_file_range(int fd, off64_t offset, off64_t length, unsigned flags)
{
    struct stat st;

    return watched(fd, &st) ? 0 : (int)syscall(SYS_sync_file_range, fd, offset, length, flags);
}
static void syncing_all(void)
{
    if (!watching())
        return;
    lock_take();
    record_put((struct record){ .type = RECORD_SYNC_ALL }, NULL, NULL, NULL);
    lock_give();
}
int syncfs(int fd)
{
    syncing_all();
    return (int)syscall(SYS_syncfs, fd);
}
void sync(void)
{
    syncing_all();
}

/* ---- what can't be logged ---- */

static void mapping_check(int protection, int flags, int fd)
{
    char path[PATH_MAX];
    struct stat st;

    if (fd < 0 || !(flags & MAP_SHARED) || !(protection & PROT_WRITE) || !watched(fd, &st) || !below_root(fd, path))
        return;
    size_t length = strlen(path);
    if (length < 4 || strcmp(path + length - 4, "-shm") != 0)
        die("a mapping that writes isn't logged");
}
void *mmap(void *where, size_t size, int protection, int flags, int fd, off_t offset)
{
    mapping_check(protection, flags, fd);
    return (void *)syscall(SYS_mmap, where, size, protection, flags, fd, offset);
}
void *mmap64(void *where, size_t size, int protection, int flags, int fd, off64_t offset)
{
    return mmap(where, size, protection, flags, fd, offset);
}

static FILE *stream_open(const char *path, const char *how)
{
    static const char boot_id[] = "/proc/sys/kernel/random/boot_id";
    const char *other = getenv("POWERCUT_BOOT_ID");
    struct place place;
    int flags = strchr(how, '+') ? O_RDWR : *how == 'r' ? O_RDONLY : O_WRONLY;

    if (other && strcmp(path, boot_id) == 0)
        return fmemopen((void *)other, strlen(other), "r");
    if (flags != O_RDONLY && place_find(AT_FDCWD, path, &place))
        die("stdio that writes isn't logged");
    flags |= *how == 'w' ? O_CREAT | O_TRUNC : *how == 'a' ? O_CREAT | O_APPEND : 0;
    flags |= (strchr(how, 'e') ? O_CLOEXEC : 0) | (strchr(how, 'x') ? O_EXCL : 0);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0666);
    FILE *stream = fd < 0 ? NULL : fdopen(fd, how);
    if (fd >= 0 && !stream)
        close(fd);
    return stream;
}
FILE *fopen(const char *path, const char *how)
{
    return stream_open(path, how);
}
FILE *fopen64(const char *path, const char *how)
{
    return stream_open(path, how);
}

/* Nobody is killed between a change and its record: see above. */
int kill(pid_t pid, int number)
{
    if (watching() && number == SIGKILL)
        lock_take();
    int r = (int)syscall(SYS_kill, pid, number);
    if (watching() && number == SIGKILL)
        lock_give();
    return r;
}
int pidfd_send_signal(int pidfd, int number, siginfo_t *info, unsigned flags)
{
    if (watching() && number == SIGKILL)
        lock_take();
    int r = (int)syscall(SYS_pidfd_send_signal, pidfd, number, info, flags);
    if (watching() && number == SIGKILL)
        lock_give();
    return r;
}
