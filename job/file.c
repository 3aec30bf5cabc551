/* How does a file change so that a crash at any moment leaves the old or the new one?
 *
 * Written under another name in the same directory, fsynced, renamed over the
 * old one, and the directory fsynced so that the name survives a power cut
 * too. The other name holds our process id: two processes that replace one
 * file don't write into each other's. What a dead one left behind is removed by
 * whoever knows that nobody else writes there (file_leftovers_remove). */
#include "job/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMP_MARK ".tmp-"

int aside_open(const char *dir, const char *name, struct aside *ret, struct fault *why)
{
    struct aside aside = { .dir = -1, .fd = -1 };
    int length;

    if (!*name || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return fault_set(why, -EINVAL, "\"%s\" cannot be the name of a file in %s", name, dir);
    length = snprintf(aside.temp, sizeof(aside.temp), ".%s" TEMP_MARK "%ld", name, (long)getpid());
    if (length >= (int)sizeof(aside.temp))
        return fault_set(why, -ENAMETOOLONG, "%s/%s: the name is too long", dir, name);
    snprintf(aside.name, sizeof(aside.name), "%s", name);
    snprintf(aside.path, sizeof(aside.path), "%s/%s", dir, name);
    sha256_start(&aside.sha);

    aside.dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (aside.dir < 0)
        return fault_set(why, -errno, "%s: the directory cannot be opened: %s", dir, strerror(errno));
    aside.fd = openat(aside.dir, aside.temp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (aside.fd < 0) {
        int code = -errno;
        close(aside.dir);
        return fault_set(why, code, "%s: cannot be written: %s", aside.path, strerror(-code));
    }
    *ret = aside;
    return 0;
}

int aside_write(struct aside *aside, const void *data, size_t size, struct fault *why)
{
    const char *from = data;

    sha256_add(&aside->sha, data, size);
    aside->size += (int64_t)size;
    while (size > 0) {
        ssize_t wrote = write(aside->fd, from, size);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return fault_set(why, -errno, "%s: cannot be written: %s", aside->path, strerror(errno));
        from += wrote;
        size -= (size_t)wrote;
    }
    return 0;
}

void aside_discard(struct aside *aside)
{
    if (aside->fd >= 0)
        close(aside->fd);
    if (aside->dir >= 0) {
        unlinkat(aside->dir, aside->temp, 0);
        close(aside->dir);
    }
    aside->fd = aside->dir = -1;
}

int aside_commit(struct aside *aside, struct fault *why)
{
    int code = 0, fd = aside->fd;

    if (fsync(fd) < 0)
        code = -errno;
    aside->fd = -1;
    if (close(fd) < 0 && code == 0)
        code = -errno;
    if (code == 0 && renameat(aside->dir, aside->temp, aside->dir, aside->name) < 0)
        code = -errno;
    if (code == 0 && fsync(aside->dir) < 0)
        code = -errno;
    if (code == 0) {
        close(aside->dir);
        aside->dir = -1;
        return 0;
    }
    aside_discard(aside);
    return fault_set(why, code, "%s: cannot be put in place: %s", aside->path, strerror(-code));
}

int file_replace(const char *dir, const char *name, const void *data, size_t size, struct fault *why)
{
    struct aside aside;
    int r = aside_open(dir, name, &aside, why);

    if (r < 0)
        return r;
    r = aside_write(&aside, data, size, why);
    if (r < 0) {
        aside_discard(&aside);
        return r;
    }
    return aside_commit(&aside, why);
}

/* Is it ".NAME.tmp-PID"? */
static bool is_leftover(const char *name)
{
    const char *mark = name, *next;

    while ((next = strstr(mark + 1, TEMP_MARK)))
        mark = next;
    if (*name != '.' || mark <= name + 1)
        return false;
    const char *digits = mark + strlen(TEMP_MARK);
    return *digits && !digits[strspn(digits, "0123456789")];
}

void file_leftovers_remove(const char *dir)
{
    DIR *entries = opendir(dir);
    struct dirent *entry;

    while (entries && (entry = readdir(entries)))
        if (is_leftover(entry->d_name))
            unlinkat(dirfd(entries), entry->d_name, 0);
    if (entries)
        closedir(entries);
}

/* Read on to the end or to one byte more than the limit. The size that the
 * file system tells is only a first guess: pipes tell none, files grow. */
static int read_all(int fd, size_t limit, size_t guess, char **ret_data, size_t *ret_size)
{
    size_t room = guess < limit ? guess + 1 : limit, size = 0;
    char *data = malloc(room + 1);

    while (data) {
        char more;
        bool full = size == room;
        ssize_t got = full ? read(fd, &more, 1) : read(fd, data + size, room - size);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 || (full && got > 0 && size == limit)) {
            int code = got < 0 ? -errno : -EFBIG;
            free(data);
            return code;
        }
        if (got == 0) {
            data[size] = 0;
            *ret_data = data;
            *ret_size = size;
            return 0;
        }
        if (full) {
            room = room > limit / 2 ? limit : room * 2 + 1;
            char *larger = realloc(data, room + 1);
            if (!larger)
                break;
            data = larger;
            data[size] = more;
        }
        size += (size_t)got;
    }
    free(data);
    return -ENOMEM;
}

int file_read(const char *path, size_t limit, char **ret_data, size_t *ret_size, struct fault *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    size_t size = 0;
    int code = 0;

    if (fd < 0 || fstat(fd, &st) < 0)
        code = -errno;
    else if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > limit)
        code = -EFBIG;
    else
        code = read_all(fd, limit, S_ISREG(st.st_mode) ? (size_t)st.st_size : 4096, ret_data, &size);
    if (fd >= 0)
        close(fd);
    if (code == -EFBIG)
        return fault_set(why, code, "%s: is larger than %zu bytes", path, limit);
    if (code < 0)
        return fault_set(why, code, "%s: cannot be read: %s", path, strerror(-code));
    if (ret_size)
        *ret_size = size;
    return 0;
}
