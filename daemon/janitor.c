/* Who removes files and rows?
 *
 * One thread, so that neither the loop nor an HTTP thread ever waits for the
 * removal of a big directory:
 *
 *   STATE/jobs/ID[/part]  doomed in the database, moved aside (api/, or here); of a
 *                         journal the last line stays
 *   STATE/trash/...       removed, whatever it is; after a crash too
 *   rows of deleted jobs  some thousand times a few, others writing in between
 *
 * A move within a file system is one step: a job's directory is whole or away. It
 * also applies the rules of retention (retention.c), one job at a time with a pause
 * in between. */
#include "daemon/daemon.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { DOOMED_PAGE = 100, PAUSE_MS = 5, DIRECTORIES_OPEN = 16 };

/* Wait until the bell, or so long. */
static void wait_ms(struct janitor *janitor, int64_t ms, bool for_bell)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(ms / 1000);
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&janitor->lock);
    while (!janitor->stopping && !(for_bell && janitor->rung))
        if (pthread_cond_timedwait(&janitor->bell, &janitor->lock, &until) == ETIMEDOUT)
            break;
    if (for_bell)
        janitor->rung = false;
    pthread_mutex_unlock(&janitor->lock);
}

bool janitor_may_go_on(struct daemon *daemon)
{
    wait_ms(&daemon->janitor, PAUSE_MS, false);
    return !daemon->janitor.stopping;
}

/* ---- removing ---- */

/* nftw has no place for it: the next riftd goes on with what is left. */
static atomic_bool interrupted;

static int entry_remove(const char *path, const struct stat *st, int type, struct FTW *place)
{
    (void)st;
    (void)type;
    (void)place;
    if (interrupted)
        return 1;
    return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

static void trash_empty(struct daemon *daemon)
{
    DIR *trash = opendir(daemon->trash_dir);
    struct dirent *entry;
    char path[PATH_MAX + 300];

    while (trash && !interrupted && (entry = readdir(trash))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(path, sizeof(path), "%s/%s", daemon->trash_dir, entry->d_name);
        if (nftw(path, entry_remove, DIRECTORIES_OPEN, FTW_DEPTH | FTW_PHYS) < 0)
            log_error("%s: cannot be removed: %s", path, strerror(errno));
    }
    if (trash)
        closedir(trash);
}

/* Into the trash, under a name that nothing else has. 0 also when it isn't there. */
static int move_aside(struct daemon *daemon, const char *path)
{
    static unsigned moved;
    char from[PATH_MAX + 80], to[PATH_MAX + 80];

    snprintf(from, sizeof(from), "%s/%s", daemon->jobs_dir, path);
    snprintf(to, sizeof(to), "%s/%.36s-%u-%d", daemon->trash_dir, path, moved++, (int)getpid());
    return rename(from, to) < 0 && errno != ENOENT ? -errno : 0;
}

/* A journal's last line stays, and the database is told where it ends now. */
static int journal_cut(struct daemon *daemon, const char *path)
{
    char journal[PATH_MAX + 80], id[DB_ID_SIZE];
    struct fault why = { 0 };

    snprintf(journal, sizeof(journal), "%s/%s", daemon->jobs_dir, path);
    snprintf(id, sizeof(id), "%.*s", (int)strcspn(path, "/"), path);
    int64_t left = journal_trim(journal, &why);
    bool none = left == -EBADMSG || left == -EISDIR || left == -ELOOP; /* nobody could read it */
    if (left == -ENOENT)
        left = 0;
    else if (left < 0)
        log_job(LEVEL_ERROR, id, "%s", why.message);
    if (none)
        left = move_aside(daemon, path);
    if (left < 0)
        return (int)left;
    int r = left ? db_journal_cut(daemon->db, id, left) : db_journal_rewind(daemon->db, id);
    return r == -ENOENT ? 0 : r; /* the whole job has gone meanwhile */
}

/* What is doomed goes; 0 also when it isn't there. */
static int doomed_go(struct daemon *daemon, const char *path)
{
    const char *part = strchr(path, '/');

    return part && strcmp(part + 1, JOBDIR_JOURNAL) == 0 ? journal_cut(daemon, path) : move_aside(daemon, path);
}

/* A page of what is doomed. 1 when there are more; one that can't be moved stays for the next sweep. */
static int doomed_move(struct daemon *daemon)
{
    char(*paths)[64] = NULL;
    int count = db_doomed_list(daemon->db, DOOMED_PAGE, &paths), failed = 0;

    for (int i = 0; i < count; i++) {
        int r = doomed_go(daemon, paths[i]);
        if (r >= 0)
            r = db_doomed_done(daemon->db, paths[i]);
        if (r < 0 && !failed++)
            log_error("%s/%s: cannot be cleared away: %s", daemon->jobs_dir, paths[i], strerror(-r));
    }
    if (count >= 0)
        free(paths);
    return failed ? -EIO : count == DOOMED_PAGE;
}

/* Directories first: they give room back, and one that is doomed meanwhile doesn't wait for millions of rows. */
void janitor_sweep(struct daemon *daemon)
{
    int files = 1, rows;

    do {
        if (files >= 0)
            files = doomed_move(daemon);
        trash_empty(daemon);
        rows = db_gone_clear(daemon->db);
        if (rows < 0)
            log_error("rows of deleted jobs cannot be removed: %s", db_errmsg(daemon->db));
    } while ((files > 0 || rows > 0) && janitor_may_go_on(daemon));
}

/* ---- the thread ---- */

static void *work(void *user)
{
    struct daemon *daemon = user;

    while (!daemon->janitor.stopping) {
        janitor_sweep(daemon);
        wait_ms(&daemon->janitor, retention_apply(daemon), true);
    }
    return NULL;
}

void janitor_open(struct daemon *daemon)
{
    struct janitor *janitor = &daemon->janitor;
    pthread_condattr_t attributes;

    pthread_mutex_init(&janitor->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&janitor->bell, &attributes);
    pthread_condattr_destroy(&attributes);
}

int janitor_start(struct daemon *daemon, struct fault *why)
{
    struct janitor *janitor = &daemon->janitor;
    int e = pthread_create(&janitor->thread, NULL, work, daemon);
    if (e)
        return fault_set(why, -e, "no thread can be started: %s", strerror(e));
    janitor->started = true;
    return 0;
}

void janitor_ring(struct daemon *daemon)
{
    struct janitor *janitor = &daemon->janitor;

    pthread_mutex_lock(&janitor->lock);
    janitor->rung = true;
    pthread_cond_signal(&janitor->bell);
    pthread_mutex_unlock(&janitor->lock);
}

void janitor_stop(struct daemon *daemon)
{
    struct janitor *janitor = &daemon->janitor;

    if (!janitor->started)
        return;
    interrupted = true;
    pthread_mutex_lock(&janitor->lock);
    janitor->stopping = true;
    pthread_cond_signal(&janitor->bell);
    pthread_mutex_unlock(&janitor->lock);
    pthread_join(janitor->thread, NULL);
}
