/* Is the file opened, migrated, shared and searched as promised? */
#include "tests/db/fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>

static void migration(void)
{
    char message[256] = "";

    fixture_dir = check_tmpdir();
    snprintf(fixture_path, sizeof(fixture_path), "%s/riftd.db", fixture_dir);
    force("PRAGMA user_version = 0"); /* an empty file of version 0 */
    CHECK_INT(db_open(fixture_path, &fixture, message), 0);
    CHECK(number_in_file("PRAGMA user_version") >= 1);
    CHECK_INT(add_job("a", "train", 0, NULL, NULL, -1), 0);
    db_close(fixture);
    CHECK_INT(db_open(fixture_path, &fixture, message), 0); /* again: nothing to do */
    CHECK_STRING(state_of("a"), "queued");
    CHECK_INT(db_ping(fixture, 1000), 0);
    fixture_close();
}

static int mode_of(const char *ending)
{
    char path[5000];
    struct stat found = { 0 };

    snprintf(path, sizeof(path), "%s%s", fixture_path, ending);
    CHECK_INT(stat(path, &found), 0);
    return found.st_mode & 0777;
}

/* It holds the keys that webhooks are signed with, and so does its log. */
static void a_secret_place(void)
{
    mode_t before = umask(022);

    fixture_open();
    CHECK_INT(add_job("a", "train", 0, NULL, NULL, -1), 0);
    CHECK_INT(mode_of(""), 0600);
    CHECK_INT(mode_of("-wal"), 0600);
    CHECK_INT(mode_of("-shm"), 0600);
    fixture_close();
    umask(before);
}

static int copies(void)
{
    char command[5000];

    snprintf(command, sizeof(command), "ls %s | grep -c before-schema", fixture_dir);
    FILE *pipe = popen(command, "r");
    int count = -1;
    CHECK_INT(pipe ? fscanf(pipe, "%d", &count) : 0, 1);
    if (pipe)
        pclose(pipe);
    return count;
}

/* The last step fails, since all it makes is there already. */
static void migration_fails(void)
{
    char message[256] = "", sql[64];

    fixture_open();
    CHECK_INT(add_job("a", "train", 0, NULL, NULL, -1), 0);
    db_close(fixture);
    int64_t version = number_in_file("PRAGMA user_version");
    snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", (int)version - 1);
    force(sql);
    for (int i = 0; i < 3; i++) {
        CHECK(db_open(fixture_path, &fixture, message) < 0);
        CHECK_INT(number_in_file("PRAGMA user_version"), version - 1);
        CHECK_INT(number_in_file("SELECT COUNT(*) FROM job"), 1);
        CHECK_INT(copies(), 1); /* one is enough of one content */
    }
    force("DELETE FROM job");
    CHECK(db_open(fixture_path, &fixture, message) < 0);
    CHECK_INT(copies(), 2); /* and none is written over */

    char database[4096];
    snprintf(database, sizeof(database), "%s", fixture_path);
    snprintf(fixture_path, sizeof(fixture_path), "%.4000s.before-schema-%d", database, (int)version);
    CHECK_INT(number_in_file("PRAGMA user_version"), version - 1);
    CHECK_INT(number_in_file("SELECT COUNT(*) FROM job"), 1);
    CHECK_INT(number_in_file("SELECT COUNT(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"), 1);
    fixture_close();
}

/* Without a copy nothing is changed. */
static void no_room_for_a_copy(void)
{
    char message[256] = "", sql[64], part[4200];

    fixture_open();
    db_close(fixture);
    int64_t version = number_in_file("PRAGMA user_version");
    snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", (int)version - 1);
    force(sql);
    snprintf(part, sizeof(part), "%s.before-schema-%d.part", fixture_path, (int)version);
    CHECK_INT(mkdir(part, 0700), 0); /* in its way */
    CHECK(db_open(fixture_path, &fixture, message) < 0);
    CHECK_HOLDS(message, "no copy can be made before the change to schema");
    CHECK_INT(number_in_file("PRAGMA user_version"), version - 1);
    CHECK_INT(rmdir(part), 0);
    fixture_close();
}

static void newer(void)
{
    char message[256] = "";

    fixture_open();
    db_close(fixture);
    force("PRAGMA user_version = 999");
    CHECK_INT(db_open(fixture_path, &fixture, message), -EPROTO);
    CHECK(!fixture);
    CHECK_HOLDS(message, "newer riftd");
    CHECK_HOLDS(message, "999");
    CHECK_INT(number_in_file("PRAGMA user_version"), 999); /* untouched */
    fixture_close();
}

static void not_a_database(void)
{
    char message[256] = "";

    fixture_dir = check_tmpdir();
    snprintf(fixture_path, sizeof(fixture_path), "%s/riftd.db", fixture_dir);
    FILE *file = fopen(fixture_path, "w");
    for (int i = 0; i < 1000; i++)
        fputs("this is no database\n", file);
    fclose(file);
    CHECK_INT(db_open(fixture_path, &fixture, message), -EIO);
    CHECK_HOLDS(message, "not a database");
    snprintf(fixture_path, sizeof(fixture_path), "%s/no/such/riftd.db", fixture_dir);
    CHECK_INT(db_open(fixture_path, &fixture, message), -EIO); /* -ENOENT is kept for rows */
    CHECK_HOLDS(message, "unable to open");
    fixture_close();
}

static void settings(void)
{
    fixture_open();
    add_job("a", "train", 0, NULL, NULL, -1);
    CHECK_INT(number_in_file("SELECT journal_mode = 'wal' FROM pragma_journal_mode"), 1);
    CHECK_INT(number_in_file("SELECT COUNT(*) FROM pragma_table_list WHERE schema = 'main' AND strict = 0"
                             " AND name NOT LIKE 'sqlite%'"),
              0);
    CHECK_INT(number_in_file("SELECT COUNT(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"), 1);
    fixture_close();
}

/* As on a full disk: nothing may be written any more, whatever is asked. */
static void ping_writes(void)
{
    struct rlimit none = { .rlim_cur = 0, .rlim_max = RLIM_INFINITY }, all = { RLIM_INFINITY, RLIM_INFINITY };

    fixture_open();
    signal(SIGXFSZ, SIG_IGN);
    CHECK_INT(db_ping(fixture, 10000), 0);
    CHECK_INT(number_in_file("SELECT time_ms FROM ping"), 10000);
    CHECK_INT(db_ping(fixture, 10999), 0); /* in the same second: nothing to write */
    CHECK_INT(number_in_file("SELECT time_ms FROM ping"), 10000);
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &none), 0);
    CHECK(db_ping(fixture, 11000) < 0);
    CHECK(db_ping(fixture, 11001) < 0); /* still so */
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &all), 0);
    CHECK_INT(db_ping(fixture, 11002), 0);
    CHECK_INT(db_ping(fixture, 5000), 0); /* the clock was set back */
    CHECK_INT(number_in_file("SELECT time_ms FROM ping"), 5000);
    fixture_close();
}

/* Readers look on while a writer ingests; each must see whole batches only. */
enum { READERS = 3, BATCH = 10, BATCHES = 100 };
static atomic_bool readers_stop;
static atomic_int torn, reads;

static void *read_on(void *user)
{
    struct db_event *events;
    struct db_point *points;

    (void)user;
    while (!atomic_load(&readers_stop)) {
        int count = db_event_list(fixture, "a", 0, 0, &events);
        if (count < 0 || (count - 1) % BATCH != 0)
            atomic_fetch_add(&torn, 1);
        if (count >= 0)
            db_events_free(events, count);
        count = db_point_list(fixture, "a", "loss", -1, 50, &points);
        if (count >= 0)
            free(points);
        else if (count != -ENOENT)
            atomic_fetch_add(&torn, 1);
        atomic_fetch_add(&reads, 1);
    }
    return NULL;
}

static void concurrent_readers(void)
{
    pthread_t threads[READERS];
    struct db_ingest_event batch[BATCH];

    fixture_open();
    add_job("a", "train", 0, NULL, NULL, -1);
    for (int i = 0; i < READERS; i++)
        pthread_create(&threads[i], NULL, read_on, NULL);
    for (int b = 0; b < BATCHES; b++) {
        for (int i = 0; i < BATCH; i++) {
            int64_t seq = b * BATCH + i + 1;
            batch[i] =
                (struct db_ingest_event){ .seq = seq,
                                          .type = "metric",
                                          .fields = "{}",
                                          .row = { .type = ROW_METRIC, .name = "loss", .step = seq, .value = 1 } };
        }
        CHECK_INT(db_ingest(fixture, "a", b, b + 1, batch, BATCH), 0);
    }
    atomic_store(&readers_stop, true);
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(atomic_load(&torn), 0);
    CHECK(atomic_load(&reads) > 0);
    fixture_close();
}

/* ---- query plans: every statement that db/ has run, as the connection saw it ---- */

/* Tell whether a plan walks a whole table. */
enum { SUBMITTERS = 8, SUBMISSIONS = 40 };

/* One client: every submission is done again with its key, and between them come requests that fail. */
static void *submit_on(void *user)
{
    char id[DB_ID_SIZE], key[32], first[DB_ID_SIZE];
    int client = (int)(intptr_t)user;
    intptr_t wrong = 0;

    for (int i = 0; i < SUBMISSIONS; i++) {
        snprintf(id, sizeof(id), "%08d-0000-0000-0000-%012d", client, i);
        snprintf(key, sizeof(key), "%d-%d", client, i);
        struct db_new_job job = { .id = id, .kind = "train", .spec = "{}", .step = -1 };
        wrong += db_job_insert(fixture, &job, 1, key, "hash", 1000, first) != 0;
        wrong += db_job_insert(fixture, &job, 1, key, "hash", 1000, first) != 1 || strcmp(first, id) != 0;
        wrong += db_job_insert(fixture, &job, 1, NULL, NULL, 1000, first) != -EEXIST;
        wrong += db_job_cancel(fixture, "00000000-none", 1000) != -ENOENT;
    }
    return (void *)wrong;
}

/* Transactions of several threads share a COMMIT; each is all there or not at all. */
static void shared_commits(void)
{
    pthread_t threads[SUBMITTERS];
    struct db_job_filter filter = { .state = -1 };
    struct db_job *jobs;
    struct db_event *events;
    void *wrong;

    fixture_open();
    for (int i = 0; i < SUBMITTERS; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, submit_on, (void *)(intptr_t)i), 0);
    for (int i = 0; i < SUBMITTERS; i++) {
        pthread_join(threads[i], &wrong);
        CHECK_INT((int)(intptr_t)wrong, 0);
    }
    int count = db_job_list(fixture, &filter, &jobs);
    CHECK_INT(count, SUBMITTERS * SUBMISSIONS);
    db_jobs_free(jobs, count);
    count = db_event_list(fixture, NULL, 0, 0, &events);
    CHECK_INT(count, SUBMITTERS * SUBMISSIONS);
    db_events_free(events, count);
    fixture_close();
}

/* What may be walked or sorted, and why. */
static const struct {
    const char *detail, *sql, *why;
} allowed[] = {
    { "SCAN", "CONSTANT ROW", "no table" },
    { "SCAN (subquery", "LIMIT ?", "the subquery has a limit" },
    { "SCAN sqlite_sequence", "name = 'event'", "a row a table" },
    { "SCAN tree", "WITH RECURSIVE tree", "a job's own steps" },
    { "USE TEMP B-TREE", "FROM outcome WHERE job = ?1", "the modules, alphas or evaluations of one job" },
    { "USE TEMP B-TREE", "WITH RECURSIVE tree", "a job's own steps" },
    { "USE TEMP B-TREE", "FROM job WHERE parent = ?1", "the steps of one job" },
    { "USE TEMP B-TREE", "FROM dependency JOIN job AS other", "what one job waits for" },
    { "USE TEMP B-TREE", "FROM dependency CROSS JOIN job AS other", "those that wait for one job" },
    { "USE TEMP B-TREE", "id BETWEEN ?2 AND ?2 || 'g'", "jobs of one minute: the api wants that much of an id" },
    { "USE TEMP B-TREE", "ORDER BY priority DESC", "one owner's queue, when a slot may be taken away" },
};

static bool is_allowed(const char *detail, const char *sql)
{
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
        if (strncmp(detail, allowed[i].detail, strlen(allowed[i].detail)) == 0 &&
            (strstr(sql, allowed[i].sql) || strstr(detail, allowed[i].sql)))
            return true;
    return false;
}

static void plan_check(sqlite3 *sqlite, const char *sql, int *checked)
{
    char *explain = NULL;
    sqlite3_stmt *plan = NULL;

    if (asprintf(&explain, "EXPLAIN QUERY PLAN %s", sql) < 0)
        exit(1);
    if (sqlite3_prepare_v2(sqlite, explain, -1, &plan, NULL) != SQLITE_OK)
        CHECK_FAIL("%s: %s", sql, sqlite3_errmsg(sqlite));
    while (plan && sqlite3_step(plan) == SQLITE_ROW) {
        const char *detail = (const char *)sqlite3_column_text(plan, 3);
        bool walks = strncmp(detail, "SCAN", 4) == 0, sorts = strncmp(detail, "USE TEMP B-TREE", 15) == 0;
        if ((walks || sorts) && !is_allowed(detail, sql))
            CHECK_FAIL("\"%s\" does: %s", sql, detail);
        /* The choice of the next job looks at no row but its own. */
        if (strstr(sql, "INDEXED BY job_runnable") && strstr(detail, "SEARCH job ") &&
            !strstr(detail, "COVERING INDEX"))
            CHECK_FAIL("\"%s\" does: %s", sql, detail);
        /* Who needs a job is asked from that job on, and not of all that wait. */
        if (strstr(sql, "dependency") && strstr(detail, "job_by_state"))
            CHECK_FAIL("\"%s\" does: %s", sql, detail);
        /* From the newest job on is a walk too, when the list has a filter. */
        if (strstr(detail, "(rowid<?)") && strstr(sql, "number < ?1 AND"))
            CHECK_FAIL("\"%s\" does: %s", sql, detail);
    }
    sqlite3_finalize(plan);
    free(explain);
    (*checked)++;
}

static char *statements[256];
static int statement_count;

/* SQLite tells every statement that is run in this process. */
static int note_statement(unsigned mask, void *context, void *p, void *x)
{
    (void)mask;
    (void)context;
    (void)x;
    const char *sql = sqlite3_sql(p);
    for (int i = 0; i < statement_count; i++)
        if (strcmp(statements[i], sql) == 0)
            return 0;
    if (statement_count < 256)
        statements[statement_count++] = strdup(sql);
    return 0;
}

static int trace_every_connection(sqlite3 *sqlite, char **message, const struct sqlite3_api_routines *api)
{
    (void)message;
    (void)api;
    return sqlite3_trace_v2(sqlite, SQLITE_TRACE_STMT, note_statement, NULL);
}

/* A curve that is rolled up, cut by a late point, and shown in few points. */
static void exercise_curve(void)
{
    enum { POINTS = 9000 };
    struct db_ingest_event *batch = calloc(POINTS + 1, sizeof(*batch));
    struct db_point *points;

    for (int i = 0; i <= POINTS; i++)
        batch[i] = (struct db_ingest_event){
            i + 1, 1, "metric", "{}", { .type = ROW_METRIC, .name = "long", .step = i < POINTS ? i : -1, .value = i }
        };
    add_job("curve", "train", 0, NULL, NULL, -1);
    CHECK_INT(db_ingest(fixture, "curve", 0, 10, batch, POINTS), 0);
    CHECK(db_point_list(fixture, "curve", "long", -1, 10, &points) > 4);
    free(points);
    CHECK_INT(db_ingest(fixture, "curve", 10, 20, batch + POINTS, 1), 0);
    free(batch);
}

/* Call everything once, with every combination of filters. */
static void exercise(void)
{
    struct db_ingest_event batch[] = {
        { 1, 1, "metric", "{}", { .type = ROW_METRIC, .name = "loss", .step = 1, .value = 1 } },
        { 2, 1, "module", "{}", { .type = ROW_MODULE, .name = "m", .fields = "{}" } },
        { 3, 1, "artifact", "{}", { .type = ROW_ARTIFACT, .name = "f", .sha256 = "" } },
        { 4, 1, "progress", "{}", { .type = ROW_PROGRESS, .fields = "{}" } },
    };
    struct db_new_job rift[] = { { .id = "p", .kind = "rift", .spec = "{}", .step = -1 },
                                 { .id = "s", .kind = "train", .spec = "{}", .step = 0, .parent = "p", .label = "l" } };
    char first[DB_ID_SIZE], **texts, text[32], (*paths)[64], (*ids)[DB_ID_SIZE];
    struct db_need *needs;
    struct db_share *shares;
    struct db_aged *aged;
    int64_t next_ms;
    struct db_job job = { 0 }, *jobs;
    struct db_event *events, last;
    bool fresh;
    struct db_series *series;
    struct db_point *points;
    struct db_artifact artifact, *artifacts;
    int n;

    CHECK_INT(db_job_insert(fixture, rift, 2, "key", "hash", 1, first), 0);
    CHECK_INT(db_job_insert(fixture, rift, 2, "key", "hash", 1, first), 1);
    add_job("b", "mrc", 0, "s", NULL, -1);
    for (int mask = 0; mask < 128; mask++) {
        struct db_job_filter filter = { .id = mask & 64 ? "s" : NULL,
                                        .state = mask & 1 ? STATE_QUEUED : -1,
                                        .kind = mask & 2 ? "train" : NULL,
                                        .label = mask & 4 ? "l" : NULL,
                                        .dataset = mask & 32 && mask & 2 ? "d" : NULL,
                                        .before = 100,
                                        .limit = 10,
                                        .parent = mask & 8 ? mask & 16 ? "" : "p" : NULL };
        n = db_job_list(fixture, &filter, &jobs);
        db_jobs_free(jobs, n);
    }
    CHECK_INT(db_job_position(fixture, "s", 2000), 0);
    n = db_queue_list(fixture, 10, 1, &jobs);
    CHECK_INT(n, 2);
    db_jobs_free(jobs, n);
    CHECK_INT(db_job_claim(fixture, ON("cpu"), 1, &job), 1);
    db_job_done(&job);
    CHECK_INT(db_job_started(fixture, "s", 1, 2, "b"), 0);
    n = db_job_running(fixture, &jobs);
    db_jobs_free(jobs, n);
    CHECK_INT(db_ingest(fixture, "s", 0, 10, batch, 4), 0);
    CHECK_INT(db_event_last(fixture, "s", &last, &fresh), 0);
    free(last.fields);
    CHECK_INT(db_job_crashed(fixture, "s"), 1);
    CHECK_INT(db_job_cancel(fixture, "p", 2), 0);
    CHECK_INT(db_job_move(fixture, "s", STATE_FAILED, NULL, "{}", 2), 0);
    CHECK_INT(db_job_retry(fixture, "p", 3), 0);
    CHECK_INT(db_job_cancel(fixture, "p", 2), 0);
    n = db_job_steps(fixture, "p", &jobs);
    db_jobs_free(jobs, n);
    CHECK_INT(db_job_after(fixture, "b", &needs), 1);
    free(needs);
    CHECK_INT(db_job_set_result(fixture, "p", "{}"), 0);
    const char *streams[] = { NULL, "p", "s" };
    for (int i = 0; i < 3; i++) {
        n = db_event_list(fixture, streams[i], 0, 10, &events);
        db_events_free(events, n);
    }
    CHECK_INT(db_series_list(fixture, "s", &series), 1);
    free(series);
    CHECK_INT(db_point_list(fixture, "s", "loss", -1, 10, &points), 1);
    free(points);
    CHECK_INT(db_row_list(fixture, "s", ROW_MODULE, &texts), 1);
    db_texts_free(texts, 1);
    CHECK_INT(db_artifact_list(fixture, "s", &artifacts), 1);
    free(artifacts);
    CHECK_INT(db_artifact_get(fixture, "s", "f", &artifact), 0);
    CHECK_INT(db_journal_rewind(fixture, "s"), 0);
    batch[0].fields = "{ }";
    CHECK_INT(db_ingest(fixture, "s", 0, 10, batch, 4), 0);
    CHECK_INT(db_ping(fixture, 1000), 0);
    CHECK_INT(db_job_below(fixture, "p", &ids), 1);
    free(ids);
    exercise_curve();
    const bool yes = true;
    const int nine = 9;
    struct db_job_change change = { &nine, "l", &yes, &yes }, label = { .label = "m" };
    CHECK_INT(add_job("q", "train", 0, NULL, NULL, -1), 0);
    CHECK_INT(db_job_pressing(fixture, ON("cpu"), 0, 1, &job), 1);
    db_job_done(&job);
    CHECK_INT(db_job_change(fixture, "q", &change, 1), 0);
    CHECK_INT(db_job_change(fixture, "p", &label, 1), 0);
    CHECK_INT(db_policy_set(fixture, &(struct db_policy){ 0, 1000, 1000, 1, 100, 1 << 20 }), 0);
    CHECK_INT(add_job("r", "train", 0, NULL, NULL, -1), 0);
    CHECK_INT(db_job_claim(fixture, &(struct db_offer){ .device = "cpu", .only = "r" }, 1, &job), 1);
    db_job_done(&job);
    CHECK_INT(db_share_list(fixture, 5, &shares), 1);
    free(shares);
    CHECK_INT(db_job_postpone(fixture, "r", 9, "{}", 1), 0);
    CHECK_INT(db_next_start(fixture, 1, &next_ms), 0);
    CHECK_INT(db_job_attempt_end(fixture, "r", 5, 10), 0);
    CHECK_INT(db_state_put(fixture, "drained", "1"), 0);
    CHECK_INT(db_state_get(fixture, "drained", text, sizeof(text)), 0);
    CHECK_INT(db_state_put(fixture, "drained", NULL), 0);
    for (int part = 0; part < 5; part += part + 1) {
        n = db_aged_list(fixture, part, 1 << 30, 0, 0, 10, &aged);
        free(aged);
        if (part)
            CHECK_INT(db_job_purge(fixture, "p", part == 3 ? PART_EVENTS : (enum db_part)part, true, 5), 0);
    }
    CHECK_INT(db_job_purge(fixture, "p", PART_ARTIFACTS, true, 5), 0);
    CHECK_INT(db_doomed_list(fixture, 10, &paths), 2);
    CHECK_INT(db_doomed_done(fixture, paths[0]), 0);
    free(paths);
    CHECK_INT(db_job_delete(fixture, "s"), 0);
    CHECK_INT(db_job_expire(fixture, "p"), 0);
}

static void plans(void)
{
    int checked = 0;

    char message[256];

    fixture_open(); /* steps of the schema may walk what they change */
    db_close(fixture);
    CHECK_INT(sqlite3_auto_extension((void (*)(void))trace_every_connection), SQLITE_OK);
    CHECK_INT(db_open(fixture_path, &fixture, message), 0);
    exercise();
    sqlite3_reset_auto_extension();
    sqlite3 *sqlite;
    CHECK_INT(sqlite3_open(fixture_path, &sqlite), SQLITE_OK);
    for (int i = 0; i < statement_count; i++) {
        const char *sql = statements[i];
        if (strncmp(sql, "SELECT", 6) == 0 || strncmp(sql, "UPDATE", 6) == 0 || strncmp(sql, "DELETE", 6) == 0 ||
            strncmp(sql, "INSERT", 6) == 0 || strncmp(sql, "WITH", 4) == 0)
            plan_check(sqlite, sql, &checked);
        free(statements[i]);
    }
    sqlite3_close(sqlite);
    CHECK(checked > 40);
    fixture_close();
}

static void statistics_say_what_was(void)
{
    struct db_stats before, after;

    fixture_open();
    db_stats(fixture, &before);
    CHECK_INT(db_doomed_done(fixture, "nothing"), 0); /* changes nothing */
    db_stats(fixture, &after);
    CHECK_INT(after.commits - before.commits, 0);
    for (int i = 0; i < 400 && after.wal_pages <= 1000; i++) {
        char id[16];
        snprintf(id, sizeof(id), "j%d", i);
        add_job(id, "train", 0, NULL, NULL, -1);
        db_stats(fixture, &after);
    }
    CHECK(after.wal_pages > 1000); /* also when they are in the file */
    CHECK(after.commits > before.commits);
    fixture_close();
}

static void constraints_are_told_apart(void)
{
    fixture_open();
    CHECK_INT(add_job("a", "train", 0, NULL, NULL, -1), 0);
    CHECK_INT(add_job("a", "train", 0, NULL, NULL, -1), -EEXIST);
    CHECK_INT(add_job("b", "train", 0, NULL, "nobody", 0), -EINVAL); /* a step of nobody */
    fixture_close();
}

static const struct check_case cases[] = {
    { "a file of version 0 is migrated, and opening again changes nothing", migration },
    { "a new file and its log are for their owner alone, whatever the umask", a_secret_place },
    { "a migration that fails leaves the old version and one copy of it, and writes over none", migration_fails },
    { "without a copy nothing is migrated", no_room_for_a_copy },
    { "a file of a newer riftd is refused and left alone", newer },
    { "a file that is no database, or can't be made, is refused with its name", not_a_database },
    { "the file is in WAL mode, every table is STRICT, integrity holds", settings },
    { "a ping writes once a second and fails as long as nothing can be written", ping_writes },
    { "readers beside a writer see whole batches only", concurrent_readers },
    { "of transactions that share a commit each is stored or taken back alone", shared_commits },
    { "no query that db/ runs walks a whole table, or sorts without bound", plans },
    { "empty commits aren't counted, and pages in the log are told after a checkpoint too", statistics_say_what_was },
    { "a row that is there already is another failure than one that can't be", constraints_are_told_apart },
};
CHECK_MAIN(cases)
