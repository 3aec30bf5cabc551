/* Where do the bytes of an upload go while they come?
 *
 * Into a file aside, hashed on the way, so that a model of any size costs no
 * memory. Kept, it is fsynced and renamed to its name, and the directory is
 * fsynced: after that it survives a power cut. Not kept, it is taken away; what a
 * crash leaves is taken away at the next start. */
#include "api/exchange.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define RESERVE_BYTES (64 << 20)

struct upload {
    int dir, fd;
    bool kept;
    int64_t size, limit;
    struct sha256 sha;
    uint8_t head[9]; /* the first bytes */
    char name[32];
};

bool room_for(int dir, uint64_t bytes)
{
    struct statvfs fs;

    return fstatvfs(dir, &fs) < 0 || (uint64_t)fs.f_bavail * fs.f_frsize >= bytes + RESERVE_BYTES;
}

int upload_open(const char *dir, int64_t limit, uint64_t length, struct upload **ret)
{
    struct upload *upload = calloc(1, sizeof(*upload));
    static _Atomic unsigned count;
    int r = 0;

    if (!upload)
        return -ENOMEM;
    upload->limit = limit;
    upload->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (upload->dir < 0) {
        r = -errno;
        free(upload);
        return r;
    }
    if (!room_for(upload->dir, length)) {
        close(upload->dir);
        free(upload);
        return -ENOSPC;
    }
    snprintf(upload->name, sizeof(upload->name), UPLOAD_PREFIX "%d-%u", (int)getpid(), count++);
    upload->fd = openat(upload->dir, upload->name, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (upload->fd < 0) {
        r = -errno;
        close(upload->dir);
        free(upload);
        return r;
    }
    sha256_start(&upload->sha);
    *ret = upload;
    return 0;
}

int upload_write(struct upload *upload, const void *data, size_t size)
{
    const char *at = data;

    if (size > (uint64_t)(upload->limit - upload->size))
        return -EFBIG;
    if (!room_for(upload->dir, size)) /* how much comes need not be known, and others take of it, too */
        return -ENOSPC;
    if (upload->size < (int64_t)sizeof(upload->head)) {
        size_t room = sizeof(upload->head) - (size_t)upload->size;
        memcpy(upload->head + upload->size, data, size < room ? size : room);
    }
    sha256_add(&upload->sha, data, size);
    for (size_t left = size; left;) {
        ssize_t n = write(upload->fd, at, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        at += n;
        left -= (size_t)n;
    }
    upload->size += (int64_t)size;
    return 0;
}

void upload_end(const struct upload *upload, char ret_hex[65], int64_t *ret_size, uint8_t ret_head[9])
{
    struct sha256 sha = upload->sha;

    sha256_finish(&sha, ret_hex);
    *ret_size = upload->size;
    memcpy(ret_head, upload->head, sizeof(upload->head));
}

int upload_sync(struct upload *upload)
{
    return fchmod(upload->fd, 0400) < 0 || fsync(upload->fd) < 0 ? -errno : 0;
}

int upload_keep(struct upload *upload, const char *name)
{
    if (renameat(upload->dir, upload->name, upload->dir, name) < 0)
        return -errno;
    upload->kept = true;
    return fsync(upload->dir) < 0 ? -errno : 0;
}

void upload_forget(struct upload *upload, const char *name)
{
    unlinkat(upload->dir, name, 0);
}

void upload_close(struct upload *upload)
{
    if (!upload)
        return;
    if (!upload->kept)
        unlinkat(upload->dir, upload->name, 0);
    close(upload->fd);
    close(upload->dir);
    free(upload);
}

void leftovers_clean(const char *dir, const char *prefix)
{
    DIR *entries = opendir(dir);
    struct dirent *entry;

    while (entries && (entry = readdir(entries)))
        if (!strncmp(entry->d_name, prefix, strlen(prefix)))
            unlinkat(dirfd(entries), entry->d_name, 0);
    if (entries)
        closedir(entries);
}
