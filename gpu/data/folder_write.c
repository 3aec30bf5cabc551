/* How is a tree of image files written that appears whole or not at all?
 *
 * Under another name, .NAME.part, and renamed at the end. The manifest has a
 * line a file, as sha256sum writes them and `sha256sum -c` checks them; so one
 * hash, the manifest's, stands for tens of thousands of files.
 *
 * Surprising: what a killed job has left in .NAME.part stays and is written over.
 * The names and bytes are the same again, so nothing foreign gets in. */
#include "gpu/data/folder_write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct folder_writer {
    char *folder, *part, *path;
    char *below; /* the directory made last */
    char *manifest;
    size_t manifest_size;
    FILE *lines; /* to manifest */
};

void folder_abandon(struct folder_writer *writer)
{
    if (!writer)
        return;
    if (writer->lines)
        fclose(writer->lines);
    free(writer->folder);
    free(writer->part);
    free(writer->path);
    free(writer->below);
    free(writer->manifest);
    free(writer);
}

/* PART/a/b/c: all three, where they aren't there yet. */
static int directories_make(const char *part, const char *below, struct fault *why)
{
    char path[4096];
    int used = snprintf(path, sizeof(path), "%s/%s", part, below);

    if (used >= (int)sizeof(path))
        return fault_set(why, -ENAMETOOLONG, "%s/%s: too long", part, below);
    for (size_t i = strlen(part); i <= (size_t)used; i++) {
        if (path[i] != '/' && path[i] != 0)
            continue;
        path[i] = 0;
        if (mkdir(path, 0777) < 0 && errno != EEXIST)
            return fault_set(why, -errno, "%s: %s", path, strerror(errno));
        path[i] = i < (size_t)used ? '/' : 0;
    }
    return 0;
}

int folder_begin(const char *folder, const char *name, struct folder_writer **ret, struct fault *why)
{
    struct folder_writer *writer = calloc(1, sizeof(*writer));

    if (!writer || !(writer->folder = strdup(folder)) || asprintf(&writer->part, "%s/.%s.part", folder, name) < 0 ||
        asprintf(&writer->path, "%s/%s", folder, name) < 0 ||
        !(writer->lines = open_memstream(&writer->manifest, &writer->manifest_size))) {
        folder_abandon(writer);
        return fault_set(why, -ENOMEM, "%s/%s: out of memory", folder, name);
    }
    *ret = writer;
    return 0;
}

static int file_write(const char *path, const void *data, size_t size, struct fault *why)
{
    FILE *file = fopen(path, "wbe");
    bool whole = file && fwrite(data, 1, size, file) == size;
    int error = errno;

    if (file && fclose(file) != 0 && whole) {
        whole = false;
        error = errno;
    }
    return whole ? 0 : fault_set(why, -error, "%s: %s", path, strerror(error));
}

int folder_add(struct folder_writer *writer, const char *below, const char *file, const void *data, size_t size,
               struct fault *why)
{
    char hex[65], *path;
    int r = 0;

    if (!writer->below || strcmp(writer->below, below) != 0) {
        free(writer->below);
        writer->below = strdup(below);
        r = directories_make(writer->part, below, why);
    }
    if (r < 0)
        return r;
    if (asprintf(&path, "%s/%s/%s", writer->part, below, file) < 0)
        return fault_set(why, -ENOMEM, "%s: out of memory", file);
    r = file_write(path, data, size, why);
    free(path);
    sha256_of(data, size, hex);
    fprintf(writer->lines, "%s  %s/%s\n", hex, below, file);
    return r;
}

/* Everything on the disk before it has its name. */
static int tree_sync(const char *path, struct fault *why)
{
    int at = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;

    if (at < 0 || syncfs(at) < 0)
        r = fault_set(why, -errno, "%s: %s", path, strerror(errno));
    if (at >= 0)
        close(at);
    return r;
}

int folder_end(struct folder_writer *writer, char ret_sha256[65], int64_t *ret_size, struct fault *why)
{
    int r = directories_make(writer->part, ".", why);

    if (fclose(writer->lines) != 0)
        r = fault_set(why, -ENOMEM, "%s: out of memory", writer->path);
    writer->lines = NULL;
    if (r == 0)
        r = file_replace(writer->part, FOLDER_MANIFEST, writer->manifest, writer->manifest_size, why);
    if (r == 0)
        r = tree_sync(writer->part, why);
    if (r == 0 && rename(writer->part, writer->path) < 0)
        r = fault_set(why, -errno, "%s: %s", writer->path, strerror(errno));
    if (r == 0)
        r = tree_sync(writer->folder, why);
    if (r == 0) {
        sha256_of(writer->manifest, writer->manifest_size, ret_sha256);
        *ret_size = (int64_t)writer->manifest_size;
    }
    folder_abandon(writer);
    return r;
}
