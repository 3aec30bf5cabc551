/* What does the database say when the disk under it fails?
 *
 * Every function of db/db.h is called with every kind of failure at its first,
 * second, ... call to the file system, until it goes through. It must say a
 * negative errno that fits, leave nothing half done, and work the next time. */
#include "tests/check.h"
#include "tests/faults/fault_point.h"
#include "tests/faults/functions.h"
#include "tests/faults/requests.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/stat.h>

static char path[512], wal[512], shm[512];

static struct db *open_it(void)
{
    char message[256] = "";
    struct db *db = NULL;

    must(db_open(path, &db, message), message);
    return db;
}

/* What each failure of the disk may become. */
static bool fits(const struct disk_fault *fault, int r)
{
    switch (fault->code) {
    case SQLITE_FULL:
        return r == -ENOSPC;
    case SQLITE_BUSY:
        return r == -EBUSY || r == -EIO;
    default:
        return r == -EIO;
    }
}

static char *pristine;
static size_t pristine_size;

static void file_read_whole(void)
{
    FILE *file = fopen(path, "rb");

    fseek(file, 0, SEEK_END);
    pristine_size = (size_t)ftell(file);
    rewind(file);
    pristine = malloc(pristine_size);
    if (fread(pristine, 1, pristine_size, file) != pristine_size)
        exit(1);
    fclose(file);
}

/* The filled database, as a file of its own, opened. */
static struct db *fresh(void)
{
    unlink(wal);
    unlink(shm);
    if (!pristine) {
        struct db *db = open_it();
        fill(db);
        db_close(db);
        file_read_whole();
    }
    FILE *file = fopen(path, "wb");
    fwrite(pristine, 1, pristine_size, file);
    fclose(file);
    return open_it();
}

static void function_fails(const struct function *function, const struct disk_fault *fault, bool cold)
{
    bool fired = true;

    for (long n = 1; fired; n++) {
        struct db *db = fresh();
        if (!cold) /* readers are open, pages are cached */
            f_list(db);
        disk_fault_choose(fault);
        fault_arm(n);
        int r = function->call(db);
        fired = fault_disarm();
        if (!fired && r != function->result)
            CHECK_FAIL("%s: %d, expected %d", function->name, r, function->result);
        /* Whatever failed may have been no part of it: a checkpoint after the commit, a lock asked for twice. */
        if (fired && r != function->result && !fits(fault, r))
            CHECK_FAIL("%s, when %s at call %ld: %d: %s", function->name, fault->name, n, r, db_errmsg(db));
        int again = function->call(db), expected = r == function->result ? function->again : function->result;
        if (again != expected)
            CHECK_FAIL("%s, after %s at call %ld (it said %d): %d, expected %d: %s", function->name, fault->name, n, r,
                       again, expected, db_errmsg(db));
        db_close(db);
        if (function->changes)
            CHECK(database_whole(path, function->name));
    }
}

static void every_function(void)
{
    for (int i = 0; i < function_count; i++)
        for (int k = 0; k < disk_fault_count; k++)
            function_fails(&functions[i], &disk_faults[k], false);
}

static void every_function_cold(void)
{
    for (int i = 0; i < function_count; i++)
        for (int k = 0; k < disk_fault_count; k++)
            function_fails(&functions[i], &disk_faults[k], true);
}

/* ---- opening ---- */

static void opening(void)
{
    for (int k = 0; k < disk_fault_count; k++) {
        bool fired = true;
        for (long n = 1; fired; n++) {
            struct db *db = NULL;
            char message[256] = "";

            unlink(path);
            unlink(wal);
            unlink(shm);
            disk_fault_choose(&disk_faults[k]);
            fault_arm(n);
            int r = db_open(path, &db, message);
            fired = fault_disarm();
            if (r < 0 && (!fired || !*message || db))
                CHECK_FAIL("db_open, when %s at call %ld: %d: %s", disk_faults[k].name, n, r, message);
            db_close(db);
            db = open_it(); /* what was left half made is made whole */
            fill(db);
            db_close(db);
            CHECK(database_whole(path, "db_open"));
        }
    }
}

/* ---- a lock that stays, a disk that stays full ---- */

static void lasting(void)
{
    static const struct disk_fault full = { "the disk stays full", SQLITE_FULL, DISK_WRITE };
    static const struct disk_fault held = { "the lock stays held", SQLITE_BUSY, DISK_LOCK };
    const struct disk_fault *faults[] = { &full, &held };

    for (int k = 0; k < 2; k++) {
        struct db *db = fresh();
        f_list(db);
        disk_fault_choose(faults[k]);
        fault_arm_lasting(1);
        for (int i = 0; i < 3; i++) {
            int r = f_insert(db);
            if (!fits(faults[k], r))
                CHECK_FAIL("db_job_insert, when %s: %d: %s", faults[k]->name, r, db_errmsg(db));
        }
        fault_disarm();
        CHECK_INT(f_insert(db), 0);
        CHECK_INT(f_list(db), 6);
        db_close(db);
        CHECK(database_whole(path, faults[k]->name));
    }
}

/* ---- threads that share a commit ---- */

enum { THREADS = 8, EACH = 30 };
static struct db *shared;
static atomic_int stored, refused;
static char kept[THREADS][EACH];

static void *submitter(void *user)
{
    int me = (int)(intptr_t)user;

    for (int i = 0; i < EACH; i++) {
        char id[DB_ID_SIZE];
        snprintf(id, sizeof(id), "t%d-%d", me, i);
        int r = insert(shared, id, "train", NULL, -1, NULL);
        kept[me][i] = r == 0;
        atomic_fetch_add(r == 0 ? &stored : &refused, 1);
        if (r != 0 && r != -ENOSPC && r != -EIO)
            CHECK_FAIL("%s: %d: %s", id, r, db_errmsg(shared));
        /* One that fails for a reason of its own must not be told to those who share its commit. */
        r = db_job_cancel(shared, "nobody", 1000);
        if (r != -ENOENT && r != -ENOSPC && r != -EIO)
            CHECK_FAIL("cancelling nobody: %d: %s", r, db_errmsg(shared));
    }
    return NULL;
}

/* What was said to be stored is there, what was refused isn't. */
static void kept_check(const char *name)
{
    for (int me = 0; me < THREADS; me++)
        for (int i = 0; i < EACH; i++) {
            char id[DB_ID_SIZE];
            db_job_auto job = { 0 };
            snprintf(id, sizeof(id), "t%d-%d", me, i);
            int r = db_job_get(shared, id, &job);
            if (r != (kept[me][i] ? 0 : -ENOENT))
                CHECK_FAIL("%s: %s was %s and is %s", name, id, kept[me][i] ? "stored" : "refused",
                           r ? "missing" : "there");
        }
}

static void shared_commit(void)
{
    static const struct disk_fault faults[] = { { "a shared sync fails", SQLITE_IOERR_FSYNC, DISK_SYNC },
                                                { "the disk is full for all", SQLITE_FULL, DISK_WRITE } };

    for (int k = 0; k < 2; k++)
        for (long n = 1; n < 60; n += 7) {
            pthread_t threads[THREADS];
            shared = fresh();
            stored = refused = 0;
            disk_fault_choose(&faults[k]);
            fault_arm(n);
            for (intptr_t t = 0; t < THREADS; t++)
                pthread_create(&threads[t], NULL, submitter, (void *)t);
            for (int t = 0; t < THREADS; t++)
                pthread_join(threads[t], NULL);
            bool fired = fault_disarm();
            if (fired && !atomic_load(&refused))
                CHECK_FAIL("%s at call %ld: nobody heard of it", faults[k].name, n);
            kept_check(faults[k].name);
            db_close(shared);
            CHECK(database_whole(path, faults[k].name));
        }
}

/* ---- the same under HTTP ---- */

static void over_http(void)
{
    for (int k = 0; k < disk_fault_count; k++) {
        disk_fault_choose(&disk_faults[k]);
        CHECK_INT(requests_fail(&(struct fault_plan){ disk_faults[k].name, fault_arm, 6, false,
                                                      disk_faults[k].code == SQLITE_FULL ? 507 : 0 }),
                  0);
    }
}

static void over_http_cold(void)
{
    for (int k = 0; k < disk_fault_count; k++) {
        disk_fault_choose(&disk_faults[k]);
        CHECK_INT(requests_fail(&(struct fault_plan){ disk_faults[k].name, fault_arm, 6, true,
                                                      disk_faults[k].code == SQLITE_FULL ? 507 : 0 }),
                  0);
    }
}

static const struct check_case some[] = {
    { "a database function under which the disk fails says so, undoes all, and works the next time", every_function },
    { "a database that couldn't be made is made the next time", opening },
    { "a disk that stays full or a lock that stays held is told, and forgotten when it is over", lasting },
    { "whoever shares a commit that fails hears of it, and of nothing else", shared_commit },
    { "a request under which the disk fails is answered so, and works the next time", over_http },
};
static const struct check_case all[] = {
    { "the same with nothing cached", every_function_cold },
    { "a request with nothing cached is answered so, too", over_http_cold },
};

int main(int argc, char **argv)
{
    bool long_run = argc == 2 && !strcmp(argv[1], "all");

    disk_faults_open();
    scratch_path("alone.db", path);
    scratch_path("alone.db-wal", wal);
    scratch_path("alone.db-shm", shm);
    int failed = long_run ? check_main(all, sizeof(all) / sizeof(all[0]), 1, argv)
                          : check_main(some, sizeof(some) / sizeof(some[0]), argc, argv);
    free(pristine);
    return failed;
}
