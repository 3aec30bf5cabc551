/* Does any query of db/ walk a whole table, or sort without bound?
 *
 * Every statement that db/ runs is noted as SQLite sees it, and its plan is asked for. To
 * run them all, every function of db.h is called: by the table with which the disk's
 * failures are tried (tests/faults), which a test keeps whole, and here with every
 * combination of filters and in the states that only a sequence of calls leads to. */
#include "tests/db/fixture.h"
#include "tests/faults/functions.h"

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
    { "SCAN job USING COVERING INDEX job_runnable", "GROUP BY priority", "counts the queue, in the index" },
    { "USE TEMP B-TREE FOR GROUP BY", "GROUP BY priority", "201 priorities at most" },
    { "USE TEMP B-TREE", "ORDER BY priority DESC", "one owner's queue, when a slot may be taken away" },
    { "USE TEMP B-TREE", "FROM attempt WHERE job =", "the newest attempts of one job, ?2 at most" },
    { "SCAN job USING INDEX job_gone", "LIMIT 1", "the index holds the jobs that are gone" },
    { "SCAN delivery USING INDEX delivery_due", "done_ms = 0", "the index holds what is to be delivered" },
    { "SCAN token USING INDEX token_by_age", "kind = 'token'", "all tokens are asked for, or one of an admin" },
    { "SCAN audit", "DELETE FROM audit", "as far as those go that are deleted" },
    { "SEARCH audit", "DELETE FROM audit", "those that are deleted" },
    { "SEARCH audit", "FROM audit WHERE id < ?1 ORDER BY id DESC LIMIT ?2", "no filter" },
    { "SEARCH job", "job.gone = 0 AND number < ?1 ORDER BY number DESC LIMIT ?2",
      "no filter but the few that are gone" },
    { "SEARCH model", "FROM model WHERE number < ?1 ORDER BY number DESC LIMIT ?2", "no filter" },
    { "SEARCH event", "WHERE event.id > ?1 AND job.gone = 0 ORDER BY event.id LIMIT ?2", "as many as are told" },
};

static bool is_allowed(const char *detail, const char *sql)
{
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
        if (strncmp(detail, allowed[i].detail, strlen(allowed[i].detail)) == 0 &&
            (strstr(sql, allowed[i].sql) || strstr(detail, allowed[i].sql)))
            return true;
    return false;
}

/* What of a plan's step is not to be, or NULL. */
static const char *complaint(const char *sql, const char *detail)
{
    bool walks = strncmp(detail, "SCAN", 4) == 0, sorts = strncmp(detail, "USE TEMP B-TREE", 15) == 0;
    /* from one row on to the last or the first is a walk too, when there is a filter */
    bool onwards = strstr(detail, "(rowid<?)") || strstr(detail, "(rowid>?)");

    if ((walks || sorts || onwards) && !is_allowed(detail, sql))
        return walks ? "walks" : sorts ? "sorts" : "walks from a row on";
    /* The choice of the next job looks at no row but its own. */
    if (strstr(sql, "INDEXED BY job_runnable") && strstr(detail, "SEARCH job ") && !strstr(detail, "COVERING INDEX"))
        return "reads rows of jobs that don't start";
    /* Who needs a job is asked from that job on, and not of all that wait. */
    if (strstr(sql, "dependency") && strstr(detail, "job_by_state"))
        return "looks at all that wait";
    return NULL;
}

/* Ask SQLite for the plan; says what is wrong with it, if `tell`, and how often. */
static int plan_check(sqlite3 *sqlite, const char *sql, bool tell)
{
    char *explain = NULL;
    sqlite3_stmt *plan = NULL;
    int wrong = 0;

    if (asprintf(&explain, "EXPLAIN QUERY PLAN %s", sql) < 0)
        exit(1);
    if (sqlite3_prepare_v2(sqlite, explain, -1, &plan, NULL) != SQLITE_OK)
        CHECK_FAIL("%s: %s", sql, sqlite3_errmsg(sqlite));
    while (plan && sqlite3_step(plan) == SQLITE_ROW) {
        const char *detail = (const char *)sqlite3_column_text(plan, 3), *what = complaint(sql, detail);
        if (what && tell)
            CHECK_FAIL("\"%s\" %s: %s", sql, what, detail);
        wrong += what != NULL;
    }
    sqlite3_finalize(plan);
    free(explain);
    return wrong;
}

enum { STATEMENTS = 512 };
static char *statements[STATEMENTS];
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
    if (statement_count == STATEMENTS) {
        CHECK_FAIL("there are more statements than are looked at: %s", sql);
        return 0;
    }
    statements[statement_count++] = strdup(sql);
    return 0;
}

static int trace_every_connection(sqlite3 *sqlite, char **message, const struct sqlite3_api_routines *api)
{
    (void)message;
    (void)api;
    return sqlite3_trace_v2(sqlite, SQLITE_TRACE_STMT, note_statement, NULL);
}

/* Open the file again, with all that is done from now on noted: steps of the schema may walk what they change. */
static void noted_open(void)
{
    char message[256];

    db_close(fixture);
    CHECK_INT(sqlite3_auto_extension((void (*)(void))trace_every_connection), SQLITE_OK);
    CHECK_INT(db_open(fixture_path, &fixture, message), 0);
}

static void noted_close(void)
{
    fixture_close();
    sqlite3_reset_auto_extension();
}

static void copy(const char *from, const char *to)
{
    char command[9000];

    snprintf(command, sizeof(command), "cp '%s' '%s'", from, to);
    CHECK_INT(system(command), 0);
}

/* Every function there is, each from the same state. */
static void call_each_function(void)
{
    char filled[4200], message[256];

    fixture_open();
    fill(fixture);
    db_close(fixture);
    snprintf(filled, sizeof(filled), "%s/filled", fixture_dir);
    copy(fixture_path, filled);
    CHECK_INT(sqlite3_auto_extension((void (*)(void))trace_every_connection), SQLITE_OK);
    for (int i = 0; i < function_count; i++) {
        copy(filled, fixture_path);
        CHECK_INT(db_open(fixture_path, &fixture, message), 0);
        if (functions[i].call(fixture) < 0)
            CHECK_FAIL("%s: %s", functions[i].name, db_errmsg(fixture));
        db_close(fixture);
    }
    fixture = NULL;
    fixture_close();
    sqlite3_reset_auto_extension();
}

/* Models and events by every filter. */
static void exercise_filters(void)
{
    const char *jobs[] = { NULL, "run", "p", "p0" };
    struct db_model *models;
    struct db_event *events;
    int n;

    fixture_open();
    fill(fixture);
    noted_open();
    for (int mask = 0; mask < 8; mask++) {
        struct db_model_filter filter = { .name = mask & 1 ? "m" : NULL,
                                          .owner = mask & 2 ? "me" : NULL,
                                          .job = mask & 4 ? "run" : NULL,
                                          .before = 100,
                                          .limit = 10 };
        n = db_model_list(fixture, &filter, &models);
        CHECK(n >= 0);
        free(models);
    }
    for (int i = 0; i < 4; i++) {
        CHECK_INT(db_event_gap(fixture, jobs[i], 1), 0);
        n = db_event_list(fixture, jobs[i], 1, 10, &events);
        CHECK(n >= 0);
        db_events_free(events, n);
    }
    noted_close();
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
    struct db_depth *depths;
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
    CHECK_INT(db_queue_depths(fixture, &depths), 1);
    free(depths);
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
    sqlite3 *sqlite;
    int checked = 0;

    call_each_function();
    exercise_filters();
    fixture_open();
    noted_open();
    exercise();
    sqlite3_reset_auto_extension();
    CHECK_INT(sqlite3_open(fixture_path, &sqlite), SQLITE_OK);
    for (int i = 0; i < statement_count; i++) {
        static const char *const verbs[] = { "SELECT", "UPDATE", "DELETE", "INSERT", "WITH" };
        for (int verb = 0; verb < 5; verb++)
            if (strncmp(statements[i], verbs[verb], strlen(verbs[verb])) == 0) {
                plan_check(sqlite, statements[i], true);
                checked++;
            }
        free(statements[i]);
    }
    statement_count = 0;
    sqlite3_close(sqlite);
    CHECK(checked > 150);
    fixture_close();
}

/* The test above is as good as what it calls wrong. */
static void walks_are_seen(void)
{
    static const char *const wrong[] = {
        "SELECT id FROM job WHERE spec = 'x'", "SELECT id FROM model WHERE artifact = 'x' ORDER BY name",
        "SELECT 1 FROM event WHERE id > ?1 AND type = 'purged'", "DELETE FROM token WHERE used_ms < 5",
        "SELECT number FROM job WHERE number < ?1 AND error = 'x' ORDER BY number DESC"
    };
    sqlite3 *sqlite;

    fixture_open();
    CHECK_INT(sqlite3_open(fixture_path, &sqlite), SQLITE_OK);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (!plan_check(sqlite, wrong[i], false))
            CHECK_FAIL("nothing is said of \"%s\"", wrong[i]);
    CHECK_INT(plan_check(sqlite, "SELECT spec FROM job WHERE id = 'x'", true), 0);
    sqlite3_close(sqlite);
    fixture_close();
}

static const struct check_case cases[] = {
    { "no query that db/ runs walks a whole table, or sorts without bound", plans },
    { "a table that is walked would be seen", walks_are_seen },
};
CHECK_MAIN(cases)
