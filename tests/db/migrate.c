/* Does what an older riftd wrote survive the way to today's schema, however the way is cut off?
 *
 * fixtures/ holds a database of each released schema, written by riftd and real
 * workers of that time (fixtures/make.py). Each is made into a file and opened with
 * today's db_open:
 *
 *   whole      every row of every old table says the same as before, and the schema is a new file's
 *   broken     the n-th write, sync or truncation fails, and so do all later ones
 *   killed     the process dies at the n-th, for each n there is (one in RIFT_TEST_STRIDE)
 *
 * After a failure or a death the file is of some version whole, the copy is there as
 * soon as it isn't the old one, and the next start gets to where an undisturbed one
 * does. (What a power cut leaves of it is in tests/powercut.) */
#include "db/db.h"
#include "tests/check.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LEAST_CALLS = 10, HAVE_ALL_TABLES = 4 /* from this version on a fixture has rows in each */ };

static char *dir, path[4096], copy[4200];
static int newest, stride; /* of the n */
static char *schema;       /* of a new file, as text */

/* ---- a disk that fails, or a process that dies, at the n-th change ---- */

static int calls, fatal; /* fatal: the number of the call, 0: none */
static bool dies;

static struct {
    const sqlite3_io_methods *real;
    sqlite3_io_methods ours;
} methods[8];

static bool strikes(void)
{
    calls++;
    if (!fatal || calls < fatal)
        return false;
    if (dies)
        kill(getpid(), SIGKILL);
    return true;
}

static const sqlite3_io_methods *real_of(const sqlite3_file *file)
{
    for (int i = 0; i < 8; i++)
        if (file->pMethods == &methods[i].ours)
            return methods[i].real;
    abort();
}

static int on_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 offset)
{
    return strikes() ? SQLITE_IOERR_WRITE : real_of(file)->xWrite(file, data, size, offset);
}

static int on_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    return strikes() ? SQLITE_IOERR_TRUNCATE : real_of(file)->xTruncate(file, size);
}

/* Nothing here needs the disk, and a sync takes its time. */
static int on_sync(sqlite3_file *file, int flags)
{
    (void)file;
    (void)flags;
    return strikes() ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}

/* What db/ syncs itself, instead of the library's. */
int fsync(int fd)
{
    (void)fd;
    errno = EIO;
    return strikes() ? -1 : 0;
}

static sqlite3_vfs *vfs_real, vfs_ours;

static int on_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
    int rc = vfs_real->xOpen(vfs_real, name, file, flags, ret_flags), i = 0;

    (void)vfs;
    if (rc != SQLITE_OK || !file->pMethods)
        return rc;
    while (methods[i].real && methods[i].real != file->pMethods)
        i++;
    methods[i].real = file->pMethods;
    methods[i].ours = *file->pMethods;
    methods[i].ours.xWrite = on_write;
    methods[i].ours.xTruncate = on_truncate;
    methods[i].ours.xSync = on_sync;
    file->pMethods = &methods[i].ours;
    return rc;
}

static void vfs_install(void)
{
    vfs_real = sqlite3_vfs_find(NULL);
    vfs_ours = *vfs_real;
    vfs_ours.zName = "striking";
    vfs_ours.pNext = NULL;
    vfs_ours.xOpen = on_open;
    sqlite3_vfs_register(&vfs_ours, 1);
}

/* ---- files and what they say ---- */

static sqlite3 *raw_open(const char *name)
{
    sqlite3 *sqlite = NULL;

    if (sqlite3_open_v2(name, &sqlite, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) != SQLITE_OK)
        CHECK_FAIL("%s: %s", name, sqlite3_errmsg(sqlite));
    return sqlite;
}

/* All rows of a query, one a line, to free(). */
static char *rows(sqlite3 *sqlite, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (sqlite3_prepare_v2(sqlite, sql, -1, &statement, NULL) != SQLITE_OK)
        CHECK_FAIL("%s: %s", sql, sqlite3_errmsg(sqlite));
    while (statement && sqlite3_step(statement) == SQLITE_ROW) {
        for (int i = 0; i < sqlite3_column_count(statement); i++) {
            const char *value = (const char *)sqlite3_column_text(statement, i);
            fprintf(out, "%s|", value ? value : "NULL");
        }
        fputc('\n', out);
    }
    sqlite3_finalize(statement);
    fclose(out);
    return text;
}

static int number(sqlite3 *sqlite, const char *sql)
{
    char *text = rows(sqlite, sql);
    int value = atoi(text);

    free(text);
    return value;
}

/* What the file's tables, indexes and triggers are, to free(). */
static char *schema_of(const char *name)
{
    sqlite3 *sqlite = raw_open(name);
    char *text = rows(sqlite, "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name");

    sqlite3_close(sqlite);
    return text;
}

/* A fixture must not leave a table out. */
static void rows_everywhere(sqlite3 *sqlite)
{
    char *names = rows(sqlite, "SELECT name FROM sqlite_schema WHERE type = 'table'"), *save = NULL, sql[128];

    for (char *name = strtok_r(names, "|\n", &save); name; name = strtok_r(NULL, "|\n", &save)) {
        snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM \"%s\"", name);
        if (!number(sqlite, sql))
            CHECK_FAIL("no row of %s is looked at", name);
    }
    free(names);
}

/* The old tables' columns, as queries that today's file must answer the same. (That roll-ups
 * are due is said on the way.) */
static int questions(sqlite3 *sqlite, char ***ret)
{
    char *text = rows(sqlite, "SELECT 'SELECT ''' || name || ''',' || (SELECT group_concat('\"' || name || '\"') FROM"
                              " pragma_table_info(s.name)) || ' FROM \"' || name || '\"' || CASE name WHEN 'state'"
                              " THEN ' WHERE name <> ''rollups_due''' ELSE '' END || ' ORDER BY ' || (SELECT"
                              " group_concat(cid + 2) FROM pragma_table_info(s.name)) FROM"
                              " sqlite_schema AS s WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name");
    char **list = NULL, *save = NULL;
    int count = 0;

    for (char *line = strtok_r(text, "|\n", &save); line; line = strtok_r(NULL, "|\n", &save)) {
        list = reallocarray(list, (size_t)count + 1, sizeof(*list));
        list[count++] = strdup(line);
    }
    free(text);
    *ret = list;
    return count;
}

static void questions_free(char **list, int count)
{
    for (int i = 0; i < count; i++)
        free(list[i]);
    free(list);
}

static char *answers(const char *name, char *const *list, int count)
{
    sqlite3 *sqlite = raw_open(name);
    char *all = NULL;
    size_t size;
    FILE *out = open_memstream(&all, &size);

    for (int i = 0; i < count; i++) {
        char *text = rows(sqlite, list[i]);
        fputs(text, out);
        free(text);
    }
    char *sequence = rows(sqlite, "SELECT name, seq FROM sqlite_sequence WHERE name IN ('job', 'event') ORDER BY name");
    fputs(sequence, out);
    free(sequence);
    fclose(out);
    sqlite3_close(sqlite);
    return all;
}

static char *file_text(const char *name, size_t *ret_size)
{
    struct stat st = { 0 };
    int fd = open(name, O_RDONLY | O_CLOEXEC);

    CHECK(fd >= 0 && fstat(fd, &st) == 0);
    char *text = calloc(1, (size_t)st.st_size + 1);
    CHECK_INT(read(fd, text, (size_t)st.st_size), st.st_size);
    close(fd);
    *ret_size = (size_t)st.st_size;
    return text;
}

/* The file of that version, as it was when riftd had ended, in a fresh directory. */
static void fixture_put(const char *data, size_t size)
{
    check_rmdir(dir);
    dir = check_tmpdir();
    snprintf(path, sizeof(path), "%s/riftd.db", dir);
    snprintf(copy, sizeof(copy), "%s.before-schema-%d", path, newest);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK_INT(write(fd, data, size), (ssize_t)size);
    close(fd);
}

/* It as bytes, to free(), and put in place. */
static char *fixture_make(int version, size_t *ret_size)
{
    char name[4096];
    size_t size;
    sqlite3 *sqlite;

    snprintf(name, sizeof(name), "%s/schema-%d.sql", FIXTURES, version);
    char *sql = file_text(name, &size);
    fixture_put("", 0);
    sqlite = raw_open(path);
    CHECK_INT(sqlite3_exec(sqlite, "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF", NULL, NULL, NULL), SQLITE_OK);
    if (sqlite3_exec(sqlite, sql, NULL, NULL, NULL) != SQLITE_OK)
        CHECK_FAIL("%s: %s", name, sqlite3_errmsg(sqlite));
    CHECK_INT(number(sqlite, "PRAGMA user_version"), version);
    sqlite3_close(sqlite);
    free(sql);
    return file_text(path, ret_size);
}

static int version_of(const char *name)
{
    sqlite3 *sqlite = raw_open(name);
    int version = number(sqlite, "PRAGMA user_version");
    char *found = rows(sqlite, "PRAGMA integrity_check"), *loose = rows(sqlite, "PRAGMA foreign_key_check");

    CHECK_STRING(found, "ok|\n");
    CHECK_STRING(loose, "");
    free(found);
    free(loose);
    sqlite3_close(sqlite);
    return version;
}

static int open_and_close(void)
{
    struct db *db = NULL;
    char message[256] = "";
    int r = db_open(path, &db, message);

    CHECK((r < 0) == (*message != 0));
    db_close(db);
    return r;
}

/* ---- the ways ---- */

static void newest_find(void)
{
    dir = check_tmpdir();
    snprintf(path, sizeof(path), "%s/new.db", dir);
    CHECK_INT(open_and_close(), 0);
    newest = version_of(path);
    schema = schema_of(path);
}

/* What people would notice first: a state, a key, an event, the next job. */
static void used(int version)
{
    static const char *const states[] = { "blocked", "queued", "running", "succeeded", "failed", "cancelled" };
    struct db *db = NULL;
    struct db_event *events = NULL;
    char message[256] = "", sql[128];
    sqlite3 *sqlite = raw_open(path);

    CHECK_INT(db_open(path, &db, message), 0);
    for (int i = 0; i < 6; i++) {
        snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM job WHERE state = '%s'", states[i]);
        CHECK(number(sqlite, sql) >= 1);
    }
    char *ids = rows(sqlite, "SELECT id, state FROM job"), *save = NULL;
    for (char *id = strtok_r(ids, "|\n", &save); id; id = strtok_r(NULL, "|\n", &save)) {
        db_job_auto job = { 0 };
        CHECK_INT(db_job_get(db, id, &job), 0);
        CHECK_STRING(job_state_names[job.state], strtok_r(NULL, "|\n", &save));
    }
    free(ids);
    int count = db_event_list(db, NULL, 0, 0, &events);
    CHECK_INT(count, number(sqlite, "SELECT COUNT(*) FROM event"));
    db_events_free(events, count);
    CHECK(number(sqlite, "SELECT COUNT(*) FROM idempotency") >= (version < 3 ? 6 : 7));
    CHECK(number(sqlite, "SELECT COUNT(*) FROM dependency WHERE needs IN (SELECT number FROM job)") >= 5);
    sqlite3_close(sqlite);
    db_close(db);
}

static void whole(void)
{
    for (int version = 1; version < newest; version++) {
        char **list;
        size_t size;

        free(fixture_make(version, &size));
        sqlite3 *sqlite = raw_open(path);
        int count = questions(sqlite, &list);
        if (version >= HAVE_ALL_TABLES)
            rows_everywhere(sqlite);
        sqlite3_close(sqlite);
        CHECK(count >= 8);
        char *before = answers(path, list, count);
        CHECK(strlen(before) > 40000);
        CHECK_INT(open_and_close(), 0);
        char *after = answers(path, list, count), *kept = answers(copy, list, count);
        CHECK_INT(version_of(path), newest);
        CHECK_INT(version_of(copy), version);
        CHECK_STRING(after, before);
        CHECK_STRING(kept, before);
        char *now = schema_of(path);
        CHECK_STRING(now, schema);
        free(now);
        used(version);
        free(before);
        free(after);
        free(kept);
        questions_free(list, count);
    }
}

/* Open with the n-th call fatal. True when it got through. */
static bool struck(int n)
{
    int status = 0;

    calls = 0;
    fatal = n;
    if (!dies) {
        int r = open_and_close();
        fatal = 0;
        return r >= 0;
    }
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(open_and_close() < 0);
    fatal = 0;
    CHECK_INT(waitpid(child, &status, 0), child);
    if (!WIFSIGNALED(status))
        CHECK_INT(WEXITSTATUS(status), 0);
    return !WIFSIGNALED(status);
}

/* Neither before nor behind, at none of the moments. */
static void left_whole(int version, char *const *list, int count, const char *before)
{
    int now = version_of(path);

    CHECK(now >= version && now <= newest);
    if (now > version)
        CHECK_INT(version_of(copy), version);
    char *after = answers(path, list, count);
    CHECK_STRING(after, before);
    free(after);
}

static void cut_off_from(int version)
{
    char **list;
    size_t size;
    bool through = false, left_old = false, left_between = false;
    int n;
    char *data = fixture_make(version, &size);
    sqlite3 *sqlite = raw_open(path);
    int count = questions(sqlite, &list);

    sqlite3_close(sqlite);
    char *before = answers(path, list, count);
    for (n = 1; !through; n += stride) {
        fixture_put(data, size);
        through = struck(n);
        int now = version_of(path);
        left_old |= now == version;
        left_between |= now > version && now < newest;
        left_whole(version, list, count, before);
        CHECK_INT(open_and_close(), 0); /* the next start */
        CHECK_INT(version_of(path), newest);
        CHECK_INT(version_of(copy), version);
        left_whole(version, list, count, before);
    }
    printf("        schema %d: %s at one in %d of %d calls\n", version, dies ? "killed" : "broken", stride, n - stride);
    CHECK(n > LEAST_CALLS);
    CHECK(left_old);
    CHECK(version == newest - 1 || left_between || stride > 1); /* some are so for a few calls */
    free(before);
    free(data);
    questions_free(list, count);
}

static void cut_off(void)
{
    for (int version = 1; version < newest; version++)
        cut_off_from(version);
}

static void broken(void)
{
    dies = false;
    cut_off();
}

static void killed(void)
{
    dies = true;
    cut_off();
}

static const struct check_case cases[] = {
    { "every row that an older riftd wrote says the same in today's schema, which is a new file's; a copy is kept",
      whole },
    { "a migration whose disk fails at any call leaves a whole version, and the next start finishes", broken },
    { "a migration that is killed at any call leaves a whole version, and the next start finishes", killed },
};

int main(int argc, char **argv)
{
    const char *text = getenv("RIFT_TEST_STRIDE");

    stride = text ? atoi(text) : 1;
    vfs_install();
    newest_find();
    int failed = check_main(cases, (int)(sizeof(cases) / sizeof(cases[0])), argc, argv);
    check_rmdir(dir);
    free(schema);
    return failed;
}
