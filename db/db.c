/* Who may touch the file, and how is it opened?
 *
 * One connection writes and checkpoints, behind one mutex; readers are
 * read-only connections from a free list. Why so strict: SQLite 3.40 (Debian
 * 12) has a bug in which a WAL that one connection checkpoints while another
 * commits can be reset wrongly and corrupt the file. With a single connection
 * doing both it can't happen, and nobody in the process ever sees SQLITE_BUSY.
 *
 * synchronous=FULL: a 201 that was answered survives a power cut. That is an
 * fsync a commit, so threads that come at the same time share one: each one's
 * transaction is a savepoint in an open one, and who finds nobody arriving
 * commits for all.
 *
 *   begin -> savepoint -> changes -> release -> somebody arrives? wait for its COMMIT
 *                                               nobody does?      COMMIT, wake the others
 *
 * Nobody returns before its changes are stored; when the COMMIT fails all of
 * the group hear it, since none of their changes are there.
 *
 * Surprising: wal_autocheckpoint is off everywhere. The writer checkpoints
 * itself after a commit that left more than CHECKPOINT_PAGES in the WAL. */
#include "db/inside.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

enum {
    CHECKPOINT_PAGES = 1000,
    READERS_KEPT = 16,
    BUSY_TIMEOUT_MS = 10000,
    GROUP_MEMBERS = 64,
};

/* Transactions that share one COMMIT. Lives as long as one of them waits for it. */
struct group {
    int members; /* whose changes are in it */
    int waiting; /* of those, who wait for somebody else's COMMIT */
    bool done;
    int r; /* 0, or why none of it is stored */
    char message[256];
};

struct db {
    char *path;
    pthread_mutex_t writer_lock;
    pthread_cond_t committed;
    atomic_int arriving; /* threads that want the writer and don't have it yet */
    struct group *group; /* of the open transaction, NULL: none is open; under writer_lock */
    struct connection *writer;
    int wal_pages;         /* after the last commit, under writer_lock as the next */
    bool wrote;            /* the last commit changed something, and so cost an fsync */
    struct db_stats stats; /* under writer_lock */
    pthread_mutex_t readers_lock;
    struct connection *readers; /* free ones */
    int readers_free;
    pthread_mutex_t policy_lock;
    struct db_policy policy;
    char boot_id[DB_ID_SIZE];
    int64_t (*steady_ms)(void); /* or NULL */
};

/* Until somebody says otherwise. */
static const struct db_policy first_policy = { .ageing_ms = 3600000, .half_life_ms = 86400000 };

/* ---- why the last call failed, per thread ---- */

static _Thread_local char last_message[256] = "no failure yet";

const char *db_errmsg(struct db *db)
{
    (void)db;
    return last_message;
}

int refuse(int code, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(last_message, sizeof(last_message), format, arguments);
    va_end(arguments);
    return code;
}

int sqlite_fault(sqlite3 *sqlite, int rc)
{
    static const struct {
        int rc, code;
    } codes[] = {
        { SQLITE_CONSTRAINT_UNIQUE, -EEXIST }, /* the extended codes first */
        { SQLITE_CONSTRAINT_PRIMARYKEY, -EEXIST },
        { SQLITE_CONSTRAINT_ROWID, -EEXIST },
        { SQLITE_CONSTRAINT, -EINVAL },
        { SQLITE_NOMEM, -ENOMEM },
        { SQLITE_FULL, -ENOSPC },
        { SQLITE_BUSY, -EBUSY },
        { SQLITE_READONLY, -EROFS },
    };
    int code = -EIO;

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]) && code == -EIO; i++)
        if (rc == codes[i].rc || (rc & 0xff) == codes[i].rc)
            code = codes[i].code;
    return refuse(code, "database: %s", sqlite ? sqlite3_errmsg(sqlite) : sqlite3_errstr(rc));
}

/* ---- connections ---- */

static void connection_close(struct connection *on)
{
    if (!on)
        return;
    for (int i = 0; i < on->cached; i++) {
        assert(!on->cache[i].taken);
        sqlite3_finalize(on->cache[i].statement);
    }
    int rc = sqlite3_close(on->sqlite);
    assert(rc == SQLITE_OK);
    free(on);
}

static int connection_open(struct db *db, int flags, const char *pragmas, struct connection **ret)
{
    struct connection *on = calloc(1, sizeof(*on));
    int on_value;
    int rc;

    if (!on)
        return refuse(-ENOMEM, "out of memory");
    on->db = db;
    rc = sqlite3_open_v2(db->path, &on->sqlite, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_extended_result_codes(on->sqlite, 1);
        sqlite3_busy_timeout(on->sqlite, BUSY_TIMEOUT_MS);
        sqlite3_db_config(on->sqlite, SQLITE_DBCONFIG_DEFENSIVE, 1, &on_value);
        sqlite3_db_config(on->sqlite, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, &on_value);
        sqlite3_db_config(on->sqlite, SQLITE_DBCONFIG_DQS_DML, 0, &on_value);
        sqlite3_db_config(on->sqlite, SQLITE_DBCONFIG_DQS_DDL, 0, &on_value);
        rc = sqlite3_exec(on->sqlite, pragmas, NULL, NULL, NULL);
    }
    if (rc != SQLITE_OK) {
        int r = sqlite_fault(on->sqlite, rc);
        connection_close(on);
        return r;
    }
    *ret = on;
    return 0;
}

static int remember_wal_pages(void *user, sqlite3 *sqlite, const char *name, int pages)
{
    struct db *db = user;

    (void)sqlite;
    (void)name;
    db->wal_pages = pages;
    db->wrote = true;
    return SQLITE_OK;
}

/* The WAL lives in shared memory: a network file system can't share that. */
static int file_system_check(const char *path)
{
    static const struct {
        long magic;
        const char *name;
    } network[] = {
        { 0x6969, "NFS" }, { 0x517b, "SMB" }, { 0xff534d42, "CIFS" }, { 0xfe534d42, "SMB2" }, { 0xbd00bd0, "Lustre" }
    };
    struct statfs fs;

    if (statfs(path, &fs) < 0)
        return 0; /* sqlite3_open_v2 has said all there is to say */
    for (size_t i = 0; i < sizeof(network) / sizeof(network[0]); i++)
        if ((long)fs.f_type == network[i].magic)
            return refuse(-ENOTSUP, "%s lies on %s; the database needs a local file system", path, network[i].name);
    return 0;
}

/* A new file is its owner's alone, and so are the WAL and the index that SQLite puts beside
 * it: it holds the keys that webhooks are signed with. What can't be made, SQLite says. One
 * that is there isn't opened: closing it would drop this process's locks on it (fcntl(2)). */
static void file_make(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd >= 0)
        close(fd);
}

static int writer_open(struct db *db)
{
    file_make(db->path);
    int r = connection_open(db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0;"
                            "PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-4000;"
                            "PRAGMA journal_size_limit=16777216", /* what a backup made the WAL grow by is given back */
                            &db->writer);

    if (r < 0)
        return r;
    sqlite3_wal_hook(db->writer->sqlite, remember_wal_pages, db);
    r = file_system_check(db->path);
    return r < 0 ? r : schema_migrate(db->writer, db->path);
}

int db_open(const char *path, struct db **ret, char message[256])
{
    struct db *db = calloc(1, sizeof(*db));
    int r;

    assert(path);
    *ret = NULL;
    if (!db || !(db->path = strdup(path))) {
        free(db);
        snprintf(message, 256, "out of memory");
        return -ENOMEM;
    }
    pthread_mutex_init(&db->writer_lock, NULL);
    pthread_cond_init(&db->committed, NULL);
    pthread_mutex_init(&db->readers_lock, NULL);
    pthread_mutex_init(&db->policy_lock, NULL);
    db->policy = first_policy;
    r = writer_open(db);
    if (r < 0) {
        snprintf(message, 256, "%.120s: %.130s", path, last_message);
        db_close(db);
        return r;
    }
    *ret = db;
    return 0;
}

void db_close(struct db *db)
{
    if (!db)
        return;
    /* Readers first: the last connection to close checkpoints, and that must
     * be the writer. */
    while (db->readers) {
        struct connection *reader = db->readers;
        db->readers = reader->next;
        connection_close(reader);
    }
    connection_close(db->writer);
    pthread_cond_destroy(&db->committed);
    pthread_mutex_destroy(&db->writer_lock);
    pthread_mutex_destroy(&db->readers_lock);
    pthread_mutex_destroy(&db->policy_lock);
    free(db->path);
    free(db);
}

/* Let no transaction be open. When there is no memory even for that, it stays. */
static void transaction_drop(struct connection *on)
{
    if (!sqlite3_get_autocommit(on->sqlite))
        sqlite3_exec(on->sqlite, "ROLLBACK", NULL, NULL, NULL);
}

/* ---- transactions that share their COMMIT; all under writer_lock ---- */

static void group_free(struct group *group)
{
    if (group && !group->waiting)
        free(group);
}

/* The open transaction has come to its end, well or not: tell those who wait. */
static void group_end(struct db *db, int r)
{
    struct group *group = db->group;

    db->group = NULL;
    group->done = true;
    group->r = r;
    snprintf(group->message, sizeof(group->message), "%s", r < 0 ? last_message : "");
    pthread_cond_broadcast(&db->committed);
    group_free(group);
}

static int group_commit(struct db *db)
{
    struct connection *on = db->writer;
    int64_t began_us = monotonic_us();

    db->wrote = false;
    int r = query_run(on, "COMMIT", NO_VALUES);
    if (db->wrote || r < 0) {
        db->stats.commit_us += (uint64_t)(monotonic_us() - began_us);
        db->stats.commits++;
    }
    db->stats.transactions += (uint64_t)db->group->members;
    db->stats.failures += r < 0;
    if (r < 0)
        transaction_drop(on);
    group_end(db, r < 0 ? r : 0);
    /* PASSIVE never waits for readers; what it leaves behind comes next time. */
    if (db->wrote && db->wal_pages > CHECKPOINT_PAGES)
        sqlite3_wal_checkpoint_v2(on->sqlite, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    return r < 0 ? r : 0;
}

/* Leave the commit to somebody who is on the way here. */
static int group_wait(struct db *db)
{
    struct group *group = db->group;

    group->waiting++;
    while (!group->done)
        pthread_cond_wait(&db->committed, &db->writer_lock);
    group->waiting--;
    int r = group->r < 0 ? refuse(group->r, "%s", group->message) : 0;
    group_free(group);
    return r;
}

/* The caller's own changes are in the group, or taken back; r says which. Returns
 * r, or why the group wasn't stored. */
static int group_leave(struct db *db, int r)
{
    struct group *group = db->group;
    bool last = !atomic_load(&db->arriving) || group->members >= GROUP_MEMBERS;
    int stored = 0;

    if (!group->members && last) { /* there is nothing to store */
        transaction_drop(db->writer);
        group_end(db, 0);
    } else if (last) {
        stored = group_commit(db);
    } else if (r >= 0) {
        stored = group_wait(db);
    }
    return r >= 0 && stored < 0 ? stored : r;
}

static int writer_take(struct db *db, struct connection **ret)
{
    struct connection *on = db->writer;
    int r = 0;

    atomic_fetch_add(&db->arriving, 1);
    pthread_mutex_lock(&db->writer_lock);
    atomic_fetch_sub(&db->arriving, 1);
    if (!db->group) {
        transaction_drop(on); /* one that could not be ended when it should */
        struct group *group = calloc(1, sizeof(*group));
        r = group ? query_run(on, "BEGIN IMMEDIATE", NO_VALUES) : refuse(-ENOMEM, "out of memory");
        if (r >= 0)
            db->group = group;
        else
            free(group);
    }
    if (r >= 0 && (r = query_run(on, "SAVEPOINT one", NO_VALUES)) < 0) {
        if (sqlite3_get_autocommit(on->sqlite)) /* it took all that was open with it */
            group_end(db, r);
        else
            r = group_leave(db, r);
    }
    if (r < 0) {
        pthread_mutex_unlock(&db->writer_lock);
        return r;
    }
    *ret = on;
    return 0;
}

int writer_begin(struct db *db, struct connection **ret)
{
    int r = writer_take(db, ret);

    if (r < 0)
        return r;
    r = expectation_check(*ret);
    return r < 0 ? writer_end(db, r) : 0;
}

int writer_end(struct db *db, int r)
{
    struct connection *on = db->writer;
    int rc;

    if (r >= 0) {
        int released = query_run(on, "RELEASE one", NO_VALUES);
        if (released < 0)
            r = released;
    }
    /* Some failures (disk full, out of memory) have rolled back all there is. */
    bool gone = sqlite3_get_autocommit(on->sqlite);
    if (r < 0 && gone) {
        group_end(db, r);
    } else if (r < 0 &&
               (rc = sqlite3_exec(on->sqlite, "ROLLBACK TO one; RELEASE one", NULL, NULL, NULL)) != SQLITE_OK) {
        /* After others only that is sure to take the caller's changes back. It takes
         * those of the whole group, who hear why, and not what was wrong with the caller's. */
        char own[sizeof(last_message)];
        memcpy(own, last_message, sizeof(own));
        int why = sqlite_fault(on->sqlite, rc);
        transaction_drop(on);
        group_end(db, why);
        memcpy(last_message, own, sizeof(own));
    } else {
        db->group->members += r >= 0;
        r = group_leave(db, r);
    }
    pthread_mutex_unlock(&db->writer_lock);
    return r;
}

int readers_take(struct db *db, struct connection **ret)
{
    struct connection *reader;

    pthread_mutex_lock(&db->readers_lock);
    reader = db->readers;
    if (reader) {
        db->readers = reader->next;
        db->readers_free--;
    }
    pthread_mutex_unlock(&db->readers_lock);
    if (!reader) {
        int r = connection_open(db, SQLITE_OPEN_READONLY,
                                "PRAGMA query_only=ON; PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=-512", &reader);
        if (r < 0)
            return r;
    }
    reader->next = NULL;
    *ret = reader;
    return 0;
}

void readers_give(struct db *db, struct connection *on)
{
    if (!on)
        return;
    transaction_drop(on);
    pthread_mutex_lock(&db->readers_lock);
    /* One that is stuck in a transaction would show the next its old snapshot. */
    if (sqlite3_get_autocommit(on->sqlite) && db->readers_free < READERS_KEPT) {
        on->next = db->readers;
        db->readers = on;
        db->readers_free++;
        on = NULL;
    }
    pthread_mutex_unlock(&db->readers_lock);
    connection_close(on);
}

void policy_get(struct db *db, struct db_policy *ret)
{
    pthread_mutex_lock(&db->policy_lock);
    *ret = db->policy;
    pthread_mutex_unlock(&db->policy_lock);
}

void policy_put(struct db *db, const struct db_policy *policy)
{
    pthread_mutex_lock(&db->policy_lock);
    db->policy = *policy;
    pthread_mutex_unlock(&db->policy_lock);
}

void db_steady_set(struct db *db, const char *boot_id, int64_t (*steady_ms)(void))
{
    snprintf(db->boot_id, sizeof(db->boot_id), "%s", boot_id);
    db->steady_ms = steady_ms;
}

int64_t steady_read(const struct db *db, const char **ret_boot)
{
    *ret_boot = db->boot_id;
    return db->steady_ms ? db->steady_ms() : 0;
}

int db_ping(struct db *db, int64_t now_ms)
{
    struct connection *on;
    int r = writer_begin(db, &on);

    if (r < 0)
        return r;
    /* Once a second, however many ask: it costs an fsync. A clock that was set
     * back must not end the writing. */
    r = query_run(on, "UPDATE ping SET time_ms = ?1 WHERE id = 1 AND time_ms NOT BETWEEN ?1 - 999 AND ?1",
                  VALUES(V(now_ms)));
    return writer_end(db, r < 0 ? r : 0);
}

void db_stats(struct db *db, struct db_stats *ret)
{
    struct stat st;

    pthread_mutex_lock(&db->writer_lock);
    *ret = db->stats;
    ret->wal_pages = db->wal_pages;
    pthread_mutex_unlock(&db->writer_lock);
    ret->file_bytes = stat(db->path, &st) == 0 ? st.st_size : 0;
}
