/* What do the tests of db/ share? A fresh database in a directory of its own,
 * and one-line ways to put jobs into it. */
#ifndef RIFT_TESTS_DB_FIXTURE_H
#define RIFT_TESTS_DB_FIXTURE_H

#include "db/db.h"
#include "tests/check.h"

#include <errno.h>
#include <sqlite3.h>

static char *fixture_dir;
static char fixture_path[4096];
static struct db *fixture;

static inline void fixture_open(void)
{
    char message[256] = "";

    fixture_dir = check_tmpdir();
    snprintf(fixture_path, sizeof(fixture_path), "%s/riftd.db", fixture_dir);
    CHECK_INT(db_open(fixture_path, &fixture, message), 0);
    CHECK_STRING(message, "");
    if (!fixture)
        exit(1);
}

static inline void fixture_close(void)
{
    db_close(fixture);
    fixture = NULL;
    check_rmdir(fixture_dir);
}

/* A slot on that device whose memory nobody counts. */
#define ON(name) (&(struct db_offer){ .device = (name) })

/* A job "id" that waits for `after` (NULL: nothing), belonging to `parent` (NULL: none). */
static inline int add_job(const char *id, const char *kind, int priority, const char *after, const char *parent,
                          int step)
{
    char first[DB_ID_SIZE];
    struct db_new_job job = { .id = id,
                              .kind = kind,
                              .spec = "{}",
                              .priority = priority,
                              .parent = parent,
                              .step = step,
                              .after = &after,
                              .after_count = after ? 1 : 0 };

    return db_job_insert(fixture, &job, 1, NULL, NULL, 1000, first);
}

static inline const char *state_of(const char *id)
{
    db_job_auto job = { 0 };

    if (db_job_get(fixture, id, &job) < 0)
        return "missing";
    return job_state_names[job.state];
}

/* What takes the file back to an older schema, for tests of upgrades: force() these. */
#define BACK_TO_8                                                                                                      \
    "PRAGMA user_version = 8; DROP INDEX event_gap; DROP INDEX event_gap_by_job; DROP INDEX event_gap_by_family;"      \
    "DROP INDEX model_by_owner; DROP INDEX token_by_age; DROP INDEX session_by_end;"
#define BACK_TO_6                                                                                                      \
    BACK_TO_8 "PRAGMA user_version = 6; DROP INDEX job_gone; ALTER TABLE job DROP COLUMN gone; DROP TABLE attempt;"
#define BACK_TO_5                                                                                                      \
    BACK_TO_6 "PRAGMA user_version = 5; ALTER TABLE job DROP COLUMN attempt_steady_ms;"                                \
              "ALTER TABLE job DROP COLUMN attempt_ran_ms;"
#define BACK_TO_4                                                                                                      \
    BACK_TO_5                                                                                                          \
        "PRAGMA user_version = 4; ALTER TABLE series DROP COLUMN rolled; ALTER TABLE series DROP COLUMN pending;"      \
        "DROP TABLE rollup; DROP INDEX event_of_state; DROP INDEX job_held;"

/* The first number that a query of the file gives. */
static inline int64_t number_in_file(const char *sql)
{
    sqlite3 *sqlite;
    sqlite3_stmt *statement;

    CHECK_INT(sqlite3_open(fixture_path, &sqlite), SQLITE_OK);
    sqlite3_busy_timeout(sqlite, 5000);
    CHECK_INT(sqlite3_prepare_v2(sqlite, sql, -1, &statement, NULL), SQLITE_OK);
    CHECK_INT(sqlite3_step(statement), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(sqlite);
    return number;
}

/* How many events a job, or NULL all, can be told of; errors of db_event_list. */
static inline int events_count(const char *job)
{
    struct db_event *events;
    int count = db_event_list(fixture, job, 0, 0, &events);

    if (count >= 0)
        db_events_free(events, count);
    return count;
}

/* Put a job into a state past the rules, straight into the file. */
static inline void force(const char *sql)
{
    sqlite3 *sqlite;
    char *why = NULL;

    CHECK_INT(sqlite3_open(fixture_path, &sqlite), SQLITE_OK);
    sqlite3_busy_timeout(sqlite, 5000);
    if (sqlite3_exec(sqlite, sql, NULL, NULL, &why) != SQLITE_OK)
        CHECK_FAIL("%s: %s", sql, why);
    sqlite3_free(why);
    sqlite3_close(sqlite);
}

#endif
