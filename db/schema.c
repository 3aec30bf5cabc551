/* What does the file look like, and how did it get there?
 *
 * An array of steps; PRAGMA user_version counts those that were taken. Each
 * step and its new version are one transaction, so that a crash in the middle
 * of an upgrade leaves the old version whole. Before the first of them the
 * database is copied (keep.c), so that there is a way back. A released step never
 * changes: a new need is a new step at the end.
 *
 *   job ---< dependency      job ---< event          job ---< outcome
 *    | parent (rift, sweep)  job ---< series ---< point, rollup
 *    `---< job               job ---< artifact       job ---< idempotency
 *                            job ---< attempt
 *   model ---< model_use >--- job                    webhook ---< delivery
 *   token, usage (of device time, an owner), audit, state (of riftd itself), doomed (files)
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
    ("DROP INDEX job_runnable;"
     "CREATE INDEX job_runnable ON job(priority DESC, number) WHERE state = 'queued' AND kind NOT IN "
     "('rift','sweep');"),

    /* 4: owners, what the scheduler weighs, tokens, models, webhooks, audit */
    "ALTER TABLE job ADD COLUMN owner TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE job ADD COLUMN held INTEGER NOT NULL DEFAULT 0;"   /* somebody said: not now */
    "ALTER TABLE job ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;" /* retention leaves it alone */
    "ALTER TABLE job ADD COLUMN rank INTEGER NOT NULL DEFAULT 0;"   /* created_ms - priority * ageing: smallest first */
    "ALTER TABLE job ADD COLUMN memory INTEGER NOT NULL DEFAULT 0;" /* bytes of its device that it needs, 0: an equal
                                                                       share */
    "ALTER TABLE job ADD COLUMN time_limit_ms INTEGER NOT NULL DEFAULT 0;" /* of running, over all attempts; 0: none */
    "ALTER TABLE job ADD COLUMN ran_ms INTEGER NOT NULL DEFAULT 0;"        /* in attempts that are over */
    "ALTER TABLE job ADD COLUMN attempt_ms INTEGER NOT NULL DEFAULT 0;"    /* when the present attempt was claimed */
    "ALTER TABLE job ADD COLUMN not_before_ms INTEGER NOT NULL DEFAULT 0;" /* back-off after a failure of the machine */
    "ALTER TABLE job ADD COLUMN failure TEXT;"                             /* of the machine, newest: why it waits */
    "ALTER TABLE job ADD COLUMN purged INTEGER NOT NULL DEFAULT 0;"        /* what retention took: enum db_part */
    "ALTER TABLE job ADD COLUMN purged_ms INTEGER NOT NULL DEFAULT 0;"     /* and when, the last time */
    "ALTER TABLE job ADD COLUMN version INTEGER NOT NULL DEFAULT 1;"       /* of what people see of it */
    "UPDATE job SET rank = created_ms - priority * 3600000, attempt_ms = CASE WHEN state = 'running'"
    " AND kind NOT IN ('rift','sweep') THEN started_ms ELSE 0 END;"
    "CREATE TRIGGER job_version AFTER UPDATE OF state, label, priority, held, pinned, device, attempts, cancel_wanted,"
    " not_before_ms, purged_ms, result, error, progress ON job WHEN NEW.version = OLD.version"
    " BEGIN UPDATE job SET version = OLD.version + 1 WHERE number = NEW.number; END;"
    "DROP INDEX job_runnable;"
    /* Whom a slot may take: the first three say in which order, the others spare a look at the row. */
    "CREATE INDEX job_runnable ON job(owner, wants, rank, number, memory, not_before_ms, priority, state, held, kind)"
    " WHERE state = 'queued' AND held = 0 AND kind NOT IN ('rift','sweep');"
    "CREATE INDEX job_backing_off ON job(not_before_ms) WHERE state = 'queued' AND not_before_ms > 0;"
    "CREATE INDEX job_waiting ON job(owner, parent, state) WHERE parent IS NULL AND state IN ('blocked','queued');"
    "CREATE INDEX job_by_end ON job(ended_ms, number) WHERE ended_ms > 0;"
    "CREATE INDEX job_by_owner ON job(owner, number);"
    "ALTER TABLE dependency ADD COLUMN condition TEXT NOT NULL DEFAULT 'success'"
    " CHECK(condition IN ('success','failure','any'));"

    "CREATE TABLE idempotency_4("
    "  owner TEXT NOT NULL,"
    "  key TEXT NOT NULL,"
    "  body_sha256 TEXT NOT NULL,"
    "  job INTEGER NOT NULL REFERENCES job(number) ON DELETE CASCADE,"
    "  created_ms INTEGER NOT NULL,"
    "  PRIMARY KEY(owner, key)"
    ") STRICT, WITHOUT ROWID;"
    "INSERT INTO idempotency_4 SELECT '', key, body_sha256, job, created_ms FROM idempotency;"
    "DROP TABLE idempotency;"
    "ALTER TABLE idempotency_4 RENAME TO idempotency;"
    "CREATE INDEX idempotency_by_job ON idempotency(job);"

    "CREATE TABLE token("
    "  id TEXT PRIMARY KEY,"
    "  kind TEXT NOT NULL CHECK(kind IN ('token','session'))," /* session: a browser's cookie */
    "  name TEXT NOT NULL,"                                    /* for people */
    "  owner TEXT NOT NULL,"
    "  role TEXT NOT NULL CHECK(role IN ('read','submit','admin')),"
    "  secret_sha256 TEXT NOT NULL,"
    "  parent TEXT REFERENCES token(id) ON DELETE CASCADE," /* session: the token it was had for */
    "  created_ms INTEGER NOT NULL,"
    "  expires_ms INTEGER NOT NULL DEFAULT 0,"
    "  used_ms INTEGER NOT NULL DEFAULT 0"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX token_by_parent ON token(parent);"

    "CREATE TABLE usage(" /* device time, which fades: the present value is slot_ms * 2^-((now - at_ms) / half-life) */
    "  owner TEXT PRIMARY KEY,"
    "  slot_ms REAL NOT NULL,"
    "  at_ms INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"

    /* Files that are to go: names below the directory of jobs, ID or ID/checkpoint. */
    "CREATE TABLE doomed(path TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;"

    "CREATE TABLE state(name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;"

    "CREATE TABLE model("
    "  number INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  id TEXT NOT NULL UNIQUE,"
    "  name TEXT NOT NULL,"
    "  owner TEXT NOT NULL,"
    "  size INTEGER NOT NULL,"
    "  sha256 TEXT NOT NULL,"
    "  created_ms INTEGER NOT NULL,"
    "  job TEXT,"     /* the job that made it, if one did; the job may be gone */
    "  artifact TEXT" /* under which name */
    ") STRICT;"
    "CREATE INDEX model_by_name ON model(name, number);"
    "CREATE INDEX model_by_job ON model(job);"
    "CREATE INDEX model_by_sha256 ON model(sha256);"
    "CREATE TABLE model_use("
    "  model INTEGER NOT NULL REFERENCES model(number),"
    "  job INTEGER NOT NULL REFERENCES job(number) ON DELETE CASCADE,"
    "  PRIMARY KEY(model, job)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX model_use_by_job ON model_use(job);"

    "CREATE TABLE webhook("
    "  id TEXT PRIMARY KEY,"
    "  url TEXT NOT NULL,"
    "  secret TEXT NOT NULL,"
    "  states TEXT NOT NULL," /* which it is told: 'succeeded,failed' */
    "  owner TEXT NOT NULL,"
    "  everybody INTEGER NOT NULL," /* it is told of all owners' jobs, not only of its own one's */
    "  created_ms INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX webhook_by_owner ON webhook(owner);"
    "CREATE INDEX webhook_of_everybody ON webhook(everybody);"
    "CREATE TABLE delivery(" /* what webhooks are still to be told, and were lately */
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  webhook TEXT NOT NULL REFERENCES webhook(id) ON DELETE CASCADE,"
    "  event INTEGER NOT NULL," /* event.id, which may be gone */
    "  body TEXT NOT NULL,"
    "  attempts INTEGER NOT NULL DEFAULT 0,"
    "  next_ms INTEGER NOT NULL,"
    "  done_ms INTEGER NOT NULL DEFAULT 0," /* delivered, or given up */
    "  status INTEGER NOT NULL DEFAULT 0,"  /* last HTTP status, 0: no answer */
    "  error TEXT NOT NULL DEFAULT ''"
    ") STRICT;"
    "CREATE INDEX delivery_due ON delivery(next_ms) WHERE done_ms = 0;"
    "CREATE INDEX delivery_by_webhook ON delivery(webhook, id);"

    "CREATE TABLE audit("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  time_ms INTEGER NOT NULL,"
    "  owner TEXT NOT NULL,"
    "  role TEXT NOT NULL,"
    "  token TEXT NOT NULL," /* id, '' without one */
    "  address TEXT NOT NULL,"
    "  method TEXT NOT NULL,"
    "  path TEXT NOT NULL,"
    "  status INTEGER NOT NULL,"
    "  request_id TEXT NOT NULL"
    ") STRICT;",

    /* 5: roll-ups, with which a long curve is shown without walking all of it */
    "ALTER TABLE series ADD COLUMN rolled INTEGER NOT NULL DEFAULT -9223372036854775808;" /* last step that is in one */
    "ALTER TABLE series ADD COLUMN pending INTEGER NOT NULL DEFAULT 0;"                   /* points that came since */
    "UPDATE series SET pending = count;"
    "CREATE TABLE rollup("
    "  series INTEGER NOT NULL REFERENCES series(id) ON DELETE CASCADE,"
    "  level INTEGER NOT NULL," /* how many points: rollup.c */
    "  first INTEGER NOT NULL," /* steps */
    "  last INTEGER NOT NULL,"
    "  low_step INTEGER NOT NULL,"
    "  low_time_ms INTEGER NOT NULL,"
    "  low_epoch REAL,"
    "  low_value REAL,"
    "  high_step INTEGER NOT NULL,"
    "  high_time_ms INTEGER NOT NULL,"
    "  high_epoch REAL,"
    "  high_value REAL,"
    "  PRIMARY KEY(series, level, first)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX job_held ON job(number) WHERE held = 1;"
    "CREATE INDEX event_of_state ON event(job, id) WHERE type = 'state' AND seq = 0;", /* few among a journal's many */

    /* 6: attempts are measured by a clock that nobody sets */
    "ALTER TABLE job ADD COLUMN attempt_steady_ms INTEGER NOT NULL DEFAULT 0;" /* attempt_ms by the clock of boot_id */
    "ALTER TABLE job ADD COLUMN attempt_ran_ms INTEGER NOT NULL DEFAULT 0;"    /* how long it was seen to run */
    "INSERT OR REPLACE INTO state VALUES('rollups_due', '1');", /* an upgrade to 5 may have been cut off before them */

    /* 7: what became of each attempt */
    "CREATE TABLE attempt("
    "  job INTEGER NOT NULL REFERENCES job(number) ON DELETE CASCADE,"
    "  number INTEGER NOT NULL," /* as job.attempts counts */
    "  device TEXT NOT NULL,"
    "  pid INTEGER NOT NULL,"
    "  began_ms INTEGER NOT NULL,"
    "  ended_ms INTEGER NOT NULL DEFAULT 0,"
    "  ran_ms INTEGER NOT NULL DEFAULT 0,"
    "  state TEXT NOT NULL DEFAULT '',"        /* what the job became by it, '': it goes on */
    "  ending TEXT NOT NULL DEFAULT '',"       /* how the worker ended, '': nobody knows */
    "  exit_code INTEGER NOT NULL DEFAULT -1," /* -1: it was killed, or nobody knows */
    "  signal INTEGER NOT NULL DEFAULT 0,"     /* that killed it */
    "  error TEXT,"
    "  PRIMARY KEY(job, number)"
    ") STRICT, WITHOUT ROWID;"
    "INSERT INTO attempt(job, number, device, pid, began_ms) SELECT number, attempts, device, pid, attempt_ms FROM job"
    " WHERE state = 'running' AND kind NOT IN ('rift','sweep') AND pid > 0;", /* the others' are forgotten */

    /* 8: a deleted job is gone at once, and its rows by and by */
    "ALTER TABLE job ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX job_gone ON job(number) WHERE gone = 1;",

    /* 9: what was found by walking; the first three hold one event of each job whose events went (EVENTS_WENT) */
    "CREATE INDEX event_gap ON event(seq) WHERE type = 'purged' AND seq = 0 AND instr(fields, '\"what\":\"events\"') > "
    "0;"
    "CREATE INDEX event_gap_by_job ON event(job) WHERE type = 'purged' AND seq = 0"
    " AND instr(fields, '\"what\":\"events\"') > 0;"
    "CREATE INDEX event_gap_by_family ON event(family) WHERE type = 'purged' AND seq = 0"
    " AND instr(fields, '\"what\":\"events\"') > 0;"
    "CREATE INDEX model_by_owner ON model(owner, number);"
    "CREATE INDEX token_by_age ON token(created_ms, id) WHERE kind = 'token';"
    "CREATE INDEX session_by_end ON token(expires_ms) WHERE kind = 'session';",
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

int schema_version(void)
{
    return VERSION;
}

int schema_migrate(struct connection *on, const char *path)
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
    r = version > 0 && version < VERSION ? database_keep(on, path, VERSION) : 0; /* 0: there is nothing in it */
    for (; r >= 0 && version < VERSION; version++)
        r = step_take(on, version);
    return r < 0 ? r : rollup_catch_up(on);
}
