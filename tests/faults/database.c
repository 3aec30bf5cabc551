/* What does the database say when the disk under it fails?
 *
 * Every function of db/db.h is called with every kind of failure at its first,
 * second, ... call to the file system, until it goes through. It must say a
 * negative errno that fits, leave nothing half done, and work the next time. */
#include "tests/check.h"
#include "tests/faults/fault_point.h"
#include "tests/faults/requests.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/stat.h>

static char path[512], wal[512], shm[512];

/* ---- the state that each call starts from ---- */

#define SHA "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

static void must(int r, const char *what)
{
    if (r >= 0)
        return;
    CHECK_FAIL("%s: %d", what, r);
    exit(1);
}

static struct db *open_it(void)
{
    char message[256] = "";
    struct db *db = NULL;

    must(db_open(path, &db, message), message);
    return db;
}

static int insert(struct db *db, const char *id, const char *kind, const char *parent, int step, const char *key)
{
    char first[DB_ID_SIZE];
    struct db_new_job job = { .id = id, .kind = kind, .spec = "{}", .parent = parent, .step = step };

    return db_job_insert(db, &job, 1, key, "hash", 1000, first);
}

static const char evaluation[] = "{\"name\":\"clean\"}", module[] = "{\"module\":\"conv1\"}";
static const struct db_ingest_event events[] = {
    { 1, 1, "metric", "{}", { ROW_METRIC, .name = "loss", .step = 1, .epoch = 1, .value = 2 } },
    { 2, 2, "module", module, { ROW_MODULE, .name = "conv1", .step = 1, .fields = module } },
    { 3, 3, "evaluation", evaluation, { ROW_EVALUATION, .name = "clean", .fields = evaluation } },
    { 4, 4, "artifact", "{}", { ROW_ARTIFACT, .name = "a", .size = 1, .sha256 = SHA } },
    { 5, 5, "progress", "{}", { ROW_PROGRESS, .fields = "{}" } },
};
enum { EVENT_COUNT = sizeof(events) / sizeof(events[0]) };

/* "run" runs, "wait" is queued, "end" has failed, "p" is a rift job whose step is "p0". */
static void fill(struct db *db)
{
    db_job_auto job = { 0 };

    must(insert(db, "run", "train", NULL, -1, NULL), "run");
    must(db_job_claim(db, &(struct db_offer){ .device = "cpu" }, 2000, &job), "claim");
    must(db_ingest(db, "run", 0, 500, events, EVENT_COUNT), "ingest");
    must(insert(db, "end", "train", NULL, -1, "used"), "end");
    must(db_job_cancel(db, "end", 2000), "cancel");
    must(insert(db, "p", "rift", NULL, -1, NULL), "p");
    must(insert(db, "p0", "train", "p", 0, NULL), "p0");
    must(insert(db, "wait", "train", NULL, -1, NULL), "wait");
}

/* ---- the functions ---- */

static int f_insert(struct db *db)
{
    return insert(db, "new", "train", NULL, -1, "key");
}
static int f_repeated(struct db *db)
{
    char id[DB_ID_SIZE];
    return db_job_repeated(db, "", "used", "hash", id);
}
static int f_get(struct db *db)
{
    db_job_auto job = { 0 };
    return db_job_get(db, "run", &job);
}
static int f_list(struct db *db)
{
    struct db_job_filter filter = { .state = -1 };
    struct db_job *jobs;
    int count = db_job_list(db, &filter, &jobs);
    if (count >= 0)
        db_jobs_free(jobs, count);
    return count;
}
static int f_after(struct db *db)
{
    struct db_need *ids;
    int count = db_job_after(db, "wait", &ids);
    if (count >= 0)
        free(ids);
    return count;
}
static int f_steps(struct db *db)
{
    struct db_job *jobs;
    int count = db_job_steps(db, "p", &jobs);
    if (count >= 0)
        db_jobs_free(jobs, count);
    return count;
}
static int f_position(struct db *db)
{
    return db_job_position(db, "wait", 3000);
}
static int f_claim(struct db *db)
{
    db_job_auto job = { 0 };
    return db_job_claim(db, &(struct db_offer){ .device = "cpu" }, 3000, &job);
}
static int f_started(struct db *db)
{
    return db_job_started(db, "run", 1, 2, "boot");
}
static int f_crashed(struct db *db)
{
    return db_job_crashed(db, "run");
}
static int f_move(struct db *db)
{
    return db_job_move(db, "run", STATE_SUCCEEDED, "{}", NULL, 4000);
}
static int f_cancel(struct db *db)
{
    return db_job_cancel(db, "p", 4000);
}
static int f_retry(struct db *db)
{
    return db_job_retry(db, "end", 4000);
}
static int f_delete(struct db *db)
{
    return db_job_delete(db, "end");
}
static int f_below(struct db *db)
{
    char(*ids)[DB_ID_SIZE];
    int count = db_job_below(db, "p", &ids);
    if (count >= 0)
        free(ids);
    return count;
}
static int f_artifact_put(struct db *db)
{
    return db_artifact_put(db, "run", "b", 1, SHA, 4000);
}
static int f_set_result(struct db *db)
{
    return db_job_set_result(db, "run", "{}");
}
static int f_running(struct db *db)
{
    struct db_job *jobs;
    int count = db_job_running(db, &jobs);
    if (count >= 0)
        db_jobs_free(jobs, count);
    return count;
}
static int f_ingest(struct db *db)
{
    struct db_ingest_event more[] = {
        { 6, 6, "metric", "{}", { ROW_METRIC, .name = "loss", .step = 2, .value = 1 } },
        { 7, 7, "artifact", "{}", { ROW_ARTIFACT, .name = "c", .size = 1, .sha256 = SHA } }
    };
    return db_ingest(db, "run", 500, 700, more, 2);
}
static int f_rewind(struct db *db)
{
    return db_journal_rewind(db, "run");
}
static int f_event_last(struct db *db)
{
    struct db_event event = { 0 };
    bool fresh;
    int r = db_event_last(db, "run", &event, &fresh);
    free(event.fields);
    return r;
}
static int f_event_list(struct db *db)
{
    struct db_event *list;
    int count = db_event_list(db, NULL, 0, 100, &list);
    if (count >= 0)
        db_events_free(list, count);
    return count;
}
static int f_event_newest(struct db *db)
{
    int64_t id;
    return db_event_newest(db, &id);
}
static int f_series(struct db *db)
{
    struct db_series *list;
    int count = db_series_list(db, "run", &list);
    if (count >= 0)
        free(list);
    return count;
}
static int f_points(struct db *db)
{
    struct db_point *list;
    int count = db_point_list(db, "run", "loss", -1, 10, &list);
    if (count >= 0)
        free(list);
    return count;
}
static int f_rows(struct db *db)
{
    char **texts;
    int count = db_row_list(db, "run", ROW_MODULE, &texts);
    if (count >= 0)
        db_texts_free(texts, count);
    return count;
}
static int f_artifacts(struct db *db)
{
    struct db_artifact *list;
    int count = db_artifact_list(db, "run", &list);
    if (count >= 0)
        free(list);
    return count;
}
static int f_artifact(struct db *db)
{
    struct db_artifact artifact;
    return db_artifact_get(db, "run", "a", &artifact);
}
static int f_ping(struct db *db)
{
    return db_ping(db, 100000);
}

/* `again` is what a second success answers, when it isn't the same. */
static const struct function {
    const char *name;
    int (*call)(struct db *db);
    int result, again;
    bool changes;
} functions[] = {
    { "db_job_insert", f_insert, 0, 1, true },
    { "db_job_repeated", f_repeated, 1, 1, false },
    { "db_job_get", f_get, 0, 0, false },
    { "db_job_list", f_list, 5, 5, false },
    { "db_job_after", f_after, 0, 0, false },
    { "db_job_steps", f_steps, 1, 1, false },
    { "db_job_position", f_position, 1, 1, false },
    { "db_job_claim", f_claim, 1, 1, true },
    { "db_job_started", f_started, 0, 0, true },
    { "db_job_crashed", f_crashed, 1, 2, true },
    { "db_job_move", f_move, 0, -ESTALE, true },
    { "db_job_cancel", f_cancel, 0, -ESTALE, true },
    { "db_job_retry", f_retry, 0, -ESTALE, true },
    { "db_job_delete", f_delete, 0, -ENOENT, true },
    { "db_job_below", f_below, 1, 1, false },
    { "db_artifact_put", f_artifact_put, 0, 0, true },
    { "db_job_set_result", f_set_result, 0, 0, true },
    { "db_job_running", f_running, 1, 1, false },
    { "db_ingest", f_ingest, 0, -ESTALE, true },
    { "db_journal_rewind", f_rewind, 0, 0, true },
    { "db_event_last", f_event_last, 0, 0, false },
    { "db_event_list", f_event_list, 12, 12, false },
    { "db_event_newest", f_event_newest, 0, 0, false },
    { "db_series_list", f_series, 1, 1, false },
    { "db_point_list", f_points, 1, 1, false },
    { "db_row_list", f_rows, 1, 1, false },
    { "db_artifact_list", f_artifacts, 1, 1, false },
    { "db_artifact_get", f_artifact, 0, 0, false },
    { "db_ping", f_ping, 0, 0, true },
};
enum { FUNCTION_COUNT = sizeof(functions) / sizeof(functions[0]) };

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
    for (int i = 0; i < FUNCTION_COUNT; i++)
        for (int k = 0; k < disk_fault_count; k++)
            function_fails(&functions[i], &disk_faults[k], false);
}

static void every_function_cold(void)
{
    for (int i = 0; i < FUNCTION_COUNT; i++)
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
