/* What does the file look like, and how did it get there?
 *
 * An array of steps; PRAGMA user_version counts those that were taken. Each
 * step and its new version are one transaction, so that a crash in the middle
 * of an upgrade leaves the old version whole. A released step never changes:
 * a new need is a new step at the end.
 *
 *   job ---< dependency      job ---< event          job ---< outcome
 *    | parent (rift, sweep)  job ---< series ---< point
 *    `---< job               job ---< artifact       job ---< idempotency
 *
 * Inside, jobs are joined by their number; outside they are known by id. */
#include "db/inside.h"

#include <stdio.h>

static const char *const steps[] = {
    /* 1: the first version */
    "CREATE TABLE job("
    "  number INTEGER PRIMARY KEY AUTOINCREMENT," /* never reused: cursors and event order rest on it */
    "  id TEXT NOT NULL UNIQUE,"
    "  kind TEXT NOT NULL,"
    "  state TEXT NOT NULL"
    "    CHECK(state IN ('blocked','queued','running','succeeded','failed','cancelled')),"
    "  label TEXT,"
    "  priority INTEGER NOT NULL,"
    "  parent TEXT REFERENCES job(id) ON DELETE CASCADE,"
    "  step INTEGER NOT NULL,"
    "  family INTEGER NOT NULL,"         /* number of the parent, or its own */
    "  wants TEXT NOT NULL,"             /* device it asks for: auto, cpu, cuda, cuda:1 */
    "  device TEXT NOT NULL DEFAULT ''," /* slot it runs or ran on */
    "  attempts INTEGER NOT NULL DEFAULT 0,"
    "  crashes INTEGER NOT NULL DEFAULT 0," /* deaths of its worker since the last checkpoint */
    "  cancel_wanted INTEGER NOT NULL DEFAULT 0,"
    "  created_ms INTEGER NOT NULL,"
    "  started_ms INTEGER NOT NULL DEFAULT 0,"
    "  ended_ms INTEGER NOT NULL DEFAULT 0,"
    "  pid INTEGER NOT NULL DEFAULT 0,"
    "  pid_start INTEGER NOT NULL DEFAULT 0,"
    "  boot_id TEXT NOT NULL DEFAULT '',"
    "  journal_offset INTEGER NOT NULL DEFAULT 0,"
    "  journal_seq INTEGER NOT NULL DEFAULT 0," /* highest seq ingested */
    "  spec TEXT NOT NULL,"
    "  result TEXT,"
    "  error TEXT,"
    "  progress TEXT"
    ") STRICT;"
    "CREATE INDEX job_runnable ON job(priority DESC, number) WHERE state = 'queued' AND kind <> 'rift';"
    "CREATE INDEX job_by_state ON job(state, number);"
    "CREATE INDEX job_by_kind ON job(kind, number);"
    "CREATE INDEX job_by_label ON job(label, number);"
    "CREATE INDEX job_by_parent ON job(parent, number);"

    "CREATE TABLE dependency("
    "  job INTEGER NOT NULL REFERENCES job(number) ON DELETE CASCADE,"
    "  needs INTEGER NOT NULL REFERENCES job(number) ON DELETE CASCADE,"
    "  PRIMARY KEY(job, needs)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX dependency_by_needs ON dependency(needs, job);"

    "CREATE TABLE idempotency("
    "  key TEXT PRIMARY KEY,"
    "  body_sha256 TEXT NOT NULL,"
    "  job INTEGER NOT NULL REFERENCES job(number) ON DELETE CASCADE,"
    "  created_ms INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX idempotency_by_job ON idempotency(job);"

    "CREATE TABLE event("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT," /* the SSE event id: must never come back */
    "  job INTEGER NOT NULL REFERENCES job(number) ON DELETE CASCADE,"
    "  family INTEGER NOT NULL,"
    "  seq INTEGER NOT NULL,"
    "  time_ms INTEGER NOT NULL,"
    "  type TEXT NOT NULL,"
    "  fields TEXT NOT NULL"
    ") STRICT;"
    "CREATE INDEX event_by_job ON event(job, id);"
    "CREATE INDEX event_by_family ON event(family, id);"

    "CREATE TABLE series("
    "  id INTEGER PRIMARY KEY,"
    "  job INTEGER NOT NULL REFERENCES job(number) ON DELETE CASCADE,"
    "  name TEXT NOT NULL,"
    "  count INTEGER NOT NULL DEFAULT 0,"
    "  last_step INTEGER NOT NULL DEFAULT 0,"
    "  last REAL,"
    "  min REAL,"
    "  max REAL,"
    "  UNIQUE(job, name)"
    ") STRICT;"
    "CREATE TABLE point("
    "  series INTEGER NOT NULL REFERENCES series(id) ON DELETE CASCADE,"
    "  step INTEGER NOT NULL,"
    "  time_ms INTEGER NOT NULL,"
    "  epoch REAL,"
    "  value REAL," /* NULL: not a number */
    "  PRIMARY KEY(series, step)"
    ") STRICT, WITHOUT ROWID;"

    "CREATE TABLE outcome(" /* module, alpha and evaluation rows; id keeps the order of first appearance */
    "  id INTEGER PRIMARY KEY,"
    "  job INTEGER NOT NULL REFERENCES job(number) ON DELETE CASCADE,"
    "  type INTEGER NOT NULL,"
    "  name TEXT NOT NULL,"
    "  alpha REAL NOT NULL,"
    "  fields TEXT NOT NULL,"
    "  UNIQUE(job, type, alpha, name)"
    ") STRICT;"

    "CREATE TABLE artifact("
    "  job INTEGER NOT NULL REFERENCES job(number) ON DELETE CASCADE,"
    "  name TEXT NOT NULL,"
    "  size INTEGER NOT NULL,"
    "  sha256 TEXT NOT NULL,"
    "  time_ms INTEGER NOT NULL,"
    "  PRIMARY KEY(job, name)"
    ") STRICT, WITHOUT ROWID;",

    /* 2: an event of a journal is there once; a row that db_ping writes */
    "CREATE UNIQUE INDEX event_by_seq ON event(job, seq) WHERE seq > 0;"
    "CREATE TABLE ping(id INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL) STRICT;"
    "INSERT INTO ping VALUES(1, 0);",

    /* 3: sweeps, which are parents too */
    "DROP INDEX job_runnable;"
    "CREATE INDEX job_runnable ON job(priority DESC, number) WHERE state = 'queued' AND kind NOT IN ('rift','sweep');",
};

enum { VERSION = sizeof(steps) / sizeof(steps[0]) };

static int step_take(struct connection *on, int step)
{
    char version[48];
    int rc = sqlite3_exec(on->sqlite, "BEGIN IMMEDIATE", NULL, NULL, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_exec(on->sqlite, steps[step], NULL, NULL, NULL);
    snprintf(version, sizeof(version), "PRAGMA user_version = %d", step + 1);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(on->sqlite, version, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(on->sqlite, "COMMIT", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        return 0;
    int r = sqlite_fault(on->sqlite, rc);
    sqlite3_exec(on->sqlite, "ROLLBACK", NULL, NULL, NULL);
    return r;
}

int schema_migrate(struct connection *on)
{
    query_auto query = { 0 };
    int r = query_start(on, &query, "PRAGMA user_version", NO_VALUES);

    if (r >= 0)
        r = query_next(&query);
    if (r < 0)
        return r;
    int version = (int)query_int(&query, 0);
    query_done(&query);
    if (version < 0 || version > VERSION)
        return refuse(-EPROTO, "written by a newer riftd (schema %d, this one knows %d)", version, (int)VERSION);
    for (r = 0; r >= 0 && version < VERSION; version++)
        r = step_take(on, version);
    return r;
}
