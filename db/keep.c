/* What can be gone back to after an upgrade?
 *
 * Before the first step of a migration the whole database is copied to
 * FILE.before-schema-N beside it, N being the schema it gets. Nobody removes
 * it. A start that fails again and again finds the copy that it made before and
 * is content with one of the same bytes; otherwise the next gets a number more,
 * so that nothing that was kept is written over.
 *
 *   VACUUM INTO .part -> fsync -> rename -> fsync of the directory -> the first step */
#include "db/inside.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COPIES = 100, PIECE = 4096, PATH_SIZE = 4096 + 32 };

static int path_fault(const char *path, const char *what)
{
    int code = errno ? -errno : -EIO;

    return refuse(code, "%s: %s: %s", path, what, strerror(-code));
}

int path_sync(const char *path, int flags)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
    int r = fd < 0 || fsync(fd) < 0 ? path_fault(path, "cannot be put on the disk") : 0;

    if (fd >= 0)
        close(fd);
    return r;
}

static int directory_sync(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    int r = dir ? path_sync(dir, O_DIRECTORY) : refuse(-ENOMEM, "out of memory");

    free(dir);
    return r;
}

/* True when both can be read and are the same to the last byte. */
static bool same_bytes(const char *path, const char *other)
{
    FILE *a = fopen(path, "re"), *b = fopen(other, "re");
    char one[PIECE], two[PIECE];
    bool same = a && b;
    size_t got = 1;

    while (same && got) {
        got = fread(one, 1, PIECE, a);
        same = fread(two, 1, PIECE, b) == got && memcmp(one, two, got) == 0 && !ferror(a) && !ferror(b);
    }
    if (a)
        fclose(a);
    if (b)
        fclose(b);
    return same;
}

/* The copy gets the first name that is free, or goes when it is there already. */
static int part_name(const char *part, const char *name)
{
    char final[PATH_SIZE + 8]; /* a name and its number */
    int r = -EEXIST;

    for (int i = 1; i < COPIES && r == -EEXIST; i++) {
        if (i == 1)
            snprintf(final, sizeof(final), "%s", name);
        else
            snprintf(final, sizeof(final), "%s.%d", name, i);
        if (same_bytes(part, final))
            return unlink(part) < 0 ? path_fault(part, "cannot be removed") : 0;
        r = renameat2(AT_FDCWD, part, AT_FDCWD, final, RENAME_NOREPLACE) < 0 ? -errno : 0;
    }
    return r < 0 ? path_fault(name, "the copy cannot get this name") : 0;
}

static int copy_make(struct connection *on, const char *path, const char *part, const char *name)
{
    if (unlink(part) < 0 && errno != ENOENT) /* of a start that was cut off */
        return path_fault(part, "cannot be removed");
    int r = query_run(on, "VACUUM INTO ?1", VALUES(V(part)));
    if (r >= 0)
        r = path_sync(part, 0);
    if (r >= 0)
        r = part_name(part, name);
    return r >= 0 ? directory_sync(path) : r;
}

int database_keep(struct connection *on, const char *path, int schema)
{
    char name[PATH_SIZE - 8], part[PATH_SIZE], why[256];

    if (snprintf(name, sizeof(name), "%s.before-schema-%d", path, schema) >= (int)sizeof(name))
        return refuse(-ENAMETOOLONG, "%s: the path is too long", path);
    snprintf(part, sizeof(part), "%s.part", name);
    int r = copy_make(on, path, part, name);
    if (r >= 0)
        return 0;
    snprintf(why, sizeof(why), "%s", db_errmsg(NULL));
    unlink(part);
    return refuse(r, "no copy can be made before the change to schema %d: %s", schema, why);
}
