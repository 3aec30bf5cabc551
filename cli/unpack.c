/* How is unpacked what strangers have packed?
 *
 * libarchive reads; what is written is decided here. Everything goes into a new
 * directory, TO/.top.unpacking, in which only plain files and directories are
 * ever made, each file new (O_EXCL): so no name can lead out of it. */
#include "cli/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ENTRIES_MOST = 2000000, BLOCK_BYTES = 128 << 10, DIRECTORIES_OPEN = 32 };

struct unpacking {
    struct archive *archive;
    const char *name, *top;
    char *room; /* TO/.top.unpacking */
    int64_t left;
    struct fault *why;
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st, (void)type, (void)walk;
    return remove(path);
}

static void tree_remove(const char *path)
{
    nftw(path, remove_one, DIRECTORIES_OPEN, FTW_DEPTH | FTW_PHYS);
}

/* Is it top or top/a/b, without "." and ".." and empty parts (but one slash at the end)? */
static bool name_good(const char *name, const char *top)
{
    size_t length = strlen(top);

    if (strncmp(name, top, length) != 0 || (name[length] != '/' && name[length] != 0))
        return false;
    for (const char *at = name; *at;) {
        size_t part = strcspn(at, "/");

        if (part == 0 || (part == 1 && *at == '.') || (part == 2 && strncmp(at, "..", 2) == 0))
            return false;
        at += part;
        at += *at == '/';
    }
    return true;
}

/* room/a, room/a/b, ... up to the last slash of path, which lies in room. */
static int folders_make(struct unpacking *u, char *path)
{
    for (char *at = path + strlen(u->room) + 1; (at = strchr(at, '/')); at++) {
        *at = 0;
        int r = mkdir(path, 0777) < 0 && errno != EEXIST ? -errno : 0;

        *at = '/';
        if (r < 0)
            return fault_set(u->why, r, "%s: %s", path, strerror(-r));
    }
    return 0;
}

static int file_write(struct unpacking *u, const char *path)
{
    char *block = malloc(BLOCK_BYTES);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    int r = !block   ? fault_set(u->why, -ENOMEM, "out of memory")
            : fd < 0 ? fault_set(u->why, -errno, "%s: %s", path, strerror(errno))
                     : 0;

    while (r == 0) {
        la_ssize_t n = archive_read_data(u->archive, block, BLOCK_BYTES);

        if (n == 0)
            break;
        if (n < 0)
            r = fault_set(u->why, -EBADMSG, "%s: %s", u->name, archive_error_string(u->archive));
        else if ((u->left -= n) < 0)
            r = fault_set(u->why, -EFBIG, "%s: unpacks to more than such a data set has", u->name);
        else if (write(fd, block, (size_t)n) != n)
            r = fault_set(u->why, -(errno ? errno : ENOSPC), "%s: %s", path, strerror(errno ? errno : ENOSPC));
    }
    if (fd >= 0 && close(fd) < 0 && r == 0)
        r = fault_set(u->why, -errno, "%s: %s", path, strerror(errno));
    free(block);
    return r;
}

static int entry_unpack(struct unpacking *u, struct archive_entry *entry)
{
    const char *name = archive_entry_pathname(entry);
    mode_t type = archive_entry_filetype(entry);
    char *path;
    int r = 0;

    while (name && strncmp(name, "./", 2) == 0)
        name += 2;
    if (name && !*name && type == AE_IFDIR) /* "./" itself */
        return 0;
    if (!name || !name_good(name, u->top))
        return fault_set(u->why, -EBADMSG, "%s: holds \"%.80s\", which isn't below %s/", u->name, name ? name : "?",
                         u->top);
    if (archive_entry_hardlink(entry) || archive_entry_symlink(entry) || (type != AE_IFREG && type != AE_IFDIR))
        return fault_set(u->why, -EBADMSG, "%s: \"%.80s\" is neither a file nor a directory", u->name, name);
    if (asprintf(&path, "%s/%s%s", u->room, name, type == AE_IFDIR ? "/" : "") < 0)
        return fault_set(u->why, -ENOMEM, "out of memory");
    r = folders_make(u, path);
    if (r == 0 && type == AE_IFREG)
        r = file_write(u, path);
    free(path);
    return r;
}

static int all_unpack(struct unpacking *u)
{
    struct archive_entry *entry;
    int r = 0, code = ARCHIVE_OK;

    for (int count = 0; r == 0 && (code = archive_read_next_header(u->archive, &entry)) == ARCHIVE_OK; count++)
        r = count < ENTRIES_MOST ? entry_unpack(u, entry)
                                 : fault_set(u->why, -EFBIG, "%s: more than %d files", u->name, ENTRIES_MOST);
    if (r == 0 && code != ARCHIVE_EOF)
        r = fault_set(u->why, -EBADMSG, "%s: damaged: %s", u->name, archive_error_string(u->archive));
    return r;
}

static struct archive *reader_open(const char *name, struct fault *why)
{
    struct archive *archive = archive_read_new();

    if (!archive) {
        fault_set(why, -ENOMEM, "out of memory");
        return NULL;
    }
    archive_read_support_filter_gzip(archive);
    archive_read_support_format_tar(archive);
    archive_read_support_format_zip(archive);
    if (archive_read_open_filename(archive, name, BLOCK_BYTES) == ARCHIVE_OK)
        return archive;
    fault_set(why, -EBADMSG, "%s: %s", name, archive_error_string(archive));
    archive_read_free(archive);
    return NULL;
}

int unpack(const char *archive, const char *to, const char *top, int64_t most, struct fault *why)
{
    struct unpacking u = { .name = archive, .top = top, .left = most, .why = why };
    char *made = NULL, *final = NULL;
    int r = asprintf(&u.room, "%s/.%s.unpacking", to, top) < 0 || asprintf(&made, "%s/%s", u.room, top) < 0 ||
                    asprintf(&final, "%s/%s", to, top) < 0
                ? fault_set(why, -ENOMEM, "out of memory")
                : 0;

    if (r == 0 && !(u.archive = reader_open(archive, why)))
        r = why->code;
    if (r == 0) {
        tree_remove(u.room); /* of a try that was killed */
        r = mkdir(u.room, 0777) < 0 ? fault_set(why, -errno, "%s: %s", u.room, strerror(errno)) : all_unpack(&u);
        if (r == 0 && rename(made, final) < 0)
            r = fault_set(why, -errno, "%s: %s", final, strerror(errno));
        tree_remove(u.room);
    }
    if (u.archive)
        archive_read_free(u.archive);
    free(u.room);
    free(made);
    free(final);
    return r;
}
