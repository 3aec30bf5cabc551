/* How does a copy of the database come back?
 *
 *     riftd restore FILE --state DIR
 *
 * Without riftd running, as the user that riftd runs as. The copy is checked where
 * it lies, copied beside the database and synced. The present database takes in
 * what its write-ahead log holds and gets a second name; then one rename puts the
 * copy in its place. So at each moment there is one whole database or the other,
 * and a wrong restore can be undone by hand.
 *
 * Jobs that went on after the copy was made are not lost with it: their
 * directories are the truth. Of a job that the copy knows as running the journal
 * is read on from where the copy stood; one that it knows as queued and that has
 * finished since is asked once more, and its worker says that it has finished. */
#include "daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int usage(void)
{
    fprintf(stderr, "usage: riftd restore FILE --state DIR\n"
                    "Puts a copy that `riftctl admin backup` made in the database's place while riftd isn't running.\n"
                    "The present database is kept as riftd.db.before-restore-TIME.\n");
    return 2;
}

/* FILE -> dir/name, on the disk. */
static int file_copy(const char *path, int dir, const char *name)
{
    int from = open(path, O_RDONLY | O_CLOEXEC);
    int to = from < 0 ? -1 : openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    ssize_t n = 1;

    while (to >= 0 && n > 0)
        n = sendfile(to, from, NULL, 1 << 20);
    int r = to < 0 || n < 0 || fsync(to) < 0 ? -errno : 0;
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    return r;
}

/* What the WAL holds goes into the database, and the WAL away: riftd ended perhaps without
 * doing so. A file that is no database any more is kept as it is, WAL and all. */
static void present_settle(const char *state)
{
    char path[PATH_MAX + 16], message[256];
    struct db *db;

    snprintf(path, sizeof(path), "%.*s/riftd.db", PATH_MAX - 1, state);
    if (access(path, F_OK) == 0 && db_open(path, &db, message) >= 0)
        db_close(db);
}

/* The present database gets a second name; its own is given away by one rename later. */
static int present_keep(int dir, char ret_kept[64])
{
    static const char *const logs[] = { "-wal", "-shm" };
    time_t now = time(NULL);
    char from[32], to[80];
    struct tm utc;

    gmtime_r(&now, &utc);
    strftime(ret_kept, 64, "riftd.db.before-restore-%Y%m%dT%H%M%SZ", &utc);
    if (linkat(dir, "riftd.db", dir, ret_kept, 0) < 0 && errno != ENOENT)
        return -errno;
    for (size_t i = 0; i < sizeof(logs) / sizeof(logs[0]); i++) { /* of one that couldn't be settled */
        snprintf(from, sizeof(from), "riftd.db%s", logs[i]);
        snprintf(to, sizeof(to), "%s%s", ret_kept, logs[i]);
        if (renameat(dir, from, dir, to) < 0 && errno != ENOENT)
            return -errno;
    }
    return fsync(dir) < 0 ? -errno : 0;
}

static int restore(const char *file, const char *state, int dir)
{
    static const char aside[] = "riftd.db.restoring";
    char message[256], kept[64], *path = NULL;
    int r = db_backup_check(file, message);

    if (r < 0)
        return complain("%s: %s", file, message);
    r = file_copy(file, dir, aside);
    if (r >= 0 && asprintf(&path, "%s/%s", state, aside) < 0) {
        path = NULL; /* whatever it is now */
        r = -ENOMEM;
    }
    if (r >= 0 && db_backup_check(path, message) < 0) { /* what was copied, not only what was there to copy */
        free(path);
        return complain("%s/%s: %s", state, aside, message);
    }
    free(path);
    if (r >= 0)
        present_settle(state);
    if (r >= 0)
        r = present_keep(dir, kept);
    if (r >= 0 && (renameat(dir, aside, dir, "riftd.db") < 0 || fsync(dir) < 0))
        r = -errno;
    if (r < 0)
        return complain("%s: %s", state, strerror(-r));
    printf("%s is the database of %s now; the one before is kept as %s\n", file, state, kept);
    return 0;
}

int restore_main(int argc, char **argv)
{
    static const struct option options[] = { { "state", required_argument, NULL, 's' }, { 0 } };
    const char *state = getenv("STATE_DIRECTORY");
    int key;

    while ((key = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (key != 's')
            return usage();
        state = optarg;
    }
    if (!state || !*state || optind + 1 != argc)
        return usage();
    int dir = open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return complain("%s: %s", state, strerror(errno));
    if (state_is_others(dir)) {
        close(dir);
        return complain("%s belongs to another user: do this as that user (sudo -u riftd riftd restore ...)", state);
    }
    int lock = openat(dir, "riftd.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int code = lock < 0                             ? complain("%s/riftd.lock: %s", state, strerror(errno))
               : flock(lock, LOCK_EX | LOCK_NB) < 0 ? complain("riftd is running on %s: stop it first", state)
                                                    : restore(argv[optind], state, dir);
    if (lock >= 0)
        close(lock);
    close(dir);
    return code;
}
