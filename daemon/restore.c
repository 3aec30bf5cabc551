/* How does a copy of the database come back?
 *
 *     riftd restore FILE --state DIR
 *
 * By root or riftd's user, without riftd and its workers running: a worker that goes
 * on would write in the directory of a job that the copy may not know, or may know as
 * waiting and start once more. FILE is opened by whoever asks, who may be the only one
 * that can read it; all else is done as the state directory's user.
 *
 * FILE is copied beside the database, synced, and checked there. The present database
 * takes in what its write-ahead log holds and gets a second name; then one rename puts
 * the copy in its place. So at each moment there is one whole database or the other,
 * and a wrong restore can be undone by hand.
 *
 * Jobs that went on after the copy was made are not lost with it: their
 * directories are the truth. Of a job that the copy knows as running the journal
 * is read on from where the copy stood; one that it knows as queued and that has
 * finished since is asked once more, and its worker says that it has finished. */
#include "daemon/daemon.h"

#include <dirent.h>
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
                    "Puts a copy that `riftctl admin backup` made in the database's place while neither riftd nor its\n"
                    "workers run. Done by root, it is done as the user whose DIR is.\n"
                    "The present database is kept as riftd.db.before-restore-TIME.\n");
    return 2;
}

/* -> dir/name, on the disk. */
static int file_copy(int from, int dir, const char *name)
{
    int to = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    ssize_t n = 1;

    while (to >= 0 && n > 0)
        n = sendfile(to, from, NULL, 1 << 20);
    int r = to < 0 || n < 0 || fsync(to) < 0 ? -errno : 0;
    if (to >= 0)
        close(to);
    return r;
}

/* A worker holds a lock on its job's journal. 1 and the job's id in ret_id where one is at work. */
static int worker_at_work(const char *state, char ret_id[DB_ID_SIZE])
{
    char path[PATH_MAX + 300];
    int found = 0;

    snprintf(path, sizeof(path), "%s/jobs", state);
    DIR *jobs = opendir(path);
    for (struct dirent *entry; jobs && !found && (entry = readdir(jobs));) {
        size_t length = strlen(entry->d_name);
        if (*entry->d_name == '.' || length >= DB_ID_SIZE)
            continue;
        snprintf(path, sizeof(path), "%s/jobs/%s/" JOBDIR_JOURNAL, state, entry->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        found = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
        if (found)
            memcpy(ret_id, entry->d_name, length + 1);
        if (fd >= 0)
            close(fd);
    }
    if (jobs)
        closedir(jobs);
    return found;
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

/* What a database that couldn't be settled has beside it. */
static const char *const logs[] = { "-wal", "-shm" };
enum { LOGS = sizeof(logs) / sizeof(logs[0]) };

static int log_rename(int dir, const char *from, const char *to, const char *log)
{
    char names[2][80];

    snprintf(names[0], sizeof(names[0]), "%s%s", from, log);
    snprintf(names[1], sizeof(names[1]), "%s%s", to, log);
    return renameat(dir, names[0], dir, names[1]) < 0 && errno != ENOENT ? -errno : 0;
}

/* It is the database still: its logs come back to it. */
static void present_stays(int dir, const char *kept)
{
    for (int i = 0; i < LOGS; i++)
        log_rename(dir, kept, "riftd.db", logs[i]);
    unlinkat(dir, kept, 0);
}

/* The present database gets a second name; its own is given away by one rename later. */
static int present_keep(int dir, char ret_kept[64])
{
    time_t now = time(NULL);
    struct tm utc;
    int r = 0;

    gmtime_r(&now, &utc);
    strftime(ret_kept, 64, "riftd.db.before-restore-%Y%m%dT%H%M%SZ", &utc);
    if (linkat(dir, "riftd.db", dir, ret_kept, 0) < 0 && errno != ENOENT)
        return -errno;
    for (int i = 0; i < LOGS && r >= 0; i++)
        r = log_rename(dir, "riftd.db", ret_kept, logs[i]);
    if (r >= 0 && fsync(dir) < 0)
        r = -errno;
    if (r < 0)
        present_stays(dir, ret_kept);
    return r;
}

static int restore(const char *file, int from, const char *state, int dir)
{
    static const char aside[] = "riftd.db.restoring";
    char message[256], kept[64], id[DB_ID_SIZE], path[PATH_MAX + 32];

    if (worker_at_work(state, id))
        return complain("a worker is at work on job %s: stop it first (systemctl stop 'rift-worker@*')", id);
    int r = file_copy(from, dir, aside);
    snprintf(path, sizeof(path), "%s/%s", state, aside);
    if (r >= 0 && db_backup_check(path, message) < 0) {
        unlinkat(dir, aside, 0);
        return complain("%s: %s", file, message);
    }
    if (r >= 0)
        present_settle(state);
    if (r >= 0) {
        r = present_keep(dir, kept);
        if (r >= 0 && renameat(dir, aside, dir, "riftd.db") < 0) {
            r = -errno;
            present_stays(dir, kept);
        }
    }
    if (r < 0) {
        unlinkat(dir, aside, 0); /* half a copy on a full disk would stay in the way */
        return complain("%s: %s", state, strerror(-r));
    }
    if (fsync(dir) < 0)
        return complain("%s: %s; %s is the database now, unless the power goes", state, strerror(errno), file);
    printf("%s is the database of %s now; the one before is kept as %s\n", file, state, kept);
    return 0;
}

static int restore_locked(const char *file, int from, const char *state, int dir)
{
    if (state_user_become(dir) < 0)
        return complain("%s belongs to another user: do this as root, or as that user", state);
    int lock = openat(dir, "riftd.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int code = lock < 0                             ? complain("%s/riftd.lock: %s", state, strerror(errno))
               : flock(lock, LOCK_EX | LOCK_NB) < 0 ? complain("riftd is running on %s: stop it first", state)
                                                    : restore(file, from, state, dir);
    if (lock >= 0)
        close(lock);
    return code;
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
    if (strlen(state) > PATH_MAX - 1)
        return complain("%.80s...: %s", state, strerror(ENAMETOOLONG));
    int from = open(argv[optind], O_RDONLY | O_CLOEXEC);
    if (from < 0)
        return complain("%s: %s", argv[optind], strerror(errno));
    int dir = open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int code = dir < 0 ? complain("%s: %s", state, strerror(errno)) : restore_locked(argv[optind], from, state, dir);
    if (dir >= 0)
        close(dir);
    close(from);
    return code;
}
