/* What do the files of db/ share?
 *
 * Connections, queries with typed values, and the rule for transactions. All of
 * it is private to this folder.
 *
 *     query_auto query = {0};
 *     r = query_start(on, &query, "SELECT number FROM job WHERE id = ?1", VALUES(V(id)));
 *     if (r >= 0)
 *         r = query_next(&query);       // 1: a row is there
 *
 * Statements stay prepared on their connection: the second query_start with the
 * same text costs no parsing. */
#ifndef RIFT_DB_INSIDE_H
#define RIFT_DB_INSIDE_H

#include "db/db.h"
#include "job/job.h"

#include <assert.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

enum { STATEMENT_CACHE = 160 };

/* One SQLite connection, used by one thread at a time. */
struct connection {
    struct db *db;
    sqlite3 *sqlite;
    struct connection *next; /* in the list of free readers */
    struct cached {
        sqlite3_stmt *statement;
        bool taken;
    } cache[STATEMENT_CACHE];
    int cached;
};

/* Jobs that a worker runs. A parent's state is made of its steps'. (A released
 * step of the schema says it in words of its own.) */
#define HAS_WORKER "(kind NOT IN ('rift','sweep'))"
/* Jobs that nobody has deleted; who looks by id finds no others anyway (deletion.c). */
#define NOT_GONE "job.gone = 0"
/* An event that stands for those of its job that retention took; three indexes hold these alone. */
#define EVENTS_WENT "type = 'purged' AND seq = 0 AND instr(fields, '\"what\":\"events\"') > 0"
/* Jobs that a slot may take, as the index job_runnable has them; and the table by way
 * of that index, which SQLite doesn't find out by itself. */
#define RUNNABLE    "state = 'queued' AND held = 0 AND " HAS_WORKER
#define BY_RUNNABLE "job INDEXED BY job_runnable"

/* ---- transactions and readers (db.c) ---- */

/* What the scheduler weighs, as it was set last. */
void policy_get(struct db *db, struct db_policy *ret);
void policy_put(struct db *db, const struct db_policy *policy);
/* What the steady clock says; *ret_boot is its boot. 0 and "": there is none. */
int64_t steady_read(const struct db *db, const char **ret_boot);

/* Take the writer and begin a transaction, which may share its COMMIT with those
 * of other threads. After a failure nothing is held. -ECANCELED: the thread expects a
 * job to be as it isn't any more. */
int writer_begin(struct db *db, struct connection **ret);
/* Store the changes when r >= 0, else take them back; give the writer back. Returns
 * r, or why they could not be stored. */
int writer_end(struct db *db, int r);

/* Is the calling thread's expectation (db_job_expect), if it has one, met? (job_version.c) */
int expectation_check(struct connection *on);

/* A read-only connection; readers_give when done (NULL is fine),
 * which ends a transaction, too. */
int readers_take(struct db *db, struct connection **ret);
void readers_give(struct db *db, struct connection *on);

/* Remember why the thread's call failed and return code. */
int refuse(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same from SQLite's last error on a connection. */
int sqlite_fault(sqlite3 *sqlite, int rc);

/* ---- schema (schema.c) ---- */
int schema_migrate(struct connection *on, const char *path);
int schema_version(void); /* that this riftd makes */
/* Copy the database to PATH.before-schema-N (keep.c). */
int database_keep(struct connection *on, const char *path, int schema);
/* Put what the path names on the disk; flags: O_DIRECTORY or none (keep.c). */
int path_sync(const char *path, int flags);

/* ---- queries (query.c) ---- */

struct value {
    enum { VALUE_INT, VALUE_REAL, VALUE_TEXT } type;
    int64_t integer;
    double real;      /* NaN becomes NULL */
    const char *text; /* NULL becomes NULL; must live until query_done */
};
static inline struct value value_int(int64_t x)
{
    return (struct value){ .type = VALUE_INT, .integer = x };
}
static inline struct value value_real(double x)
{
    return (struct value){ .type = VALUE_REAL, .real = x };
}
static inline struct value value_text(const char *x)
{
    return (struct value){ .type = VALUE_TEXT, .text = x };
}
#define V(x) _Generic((x), char * : value_text, const char * : value_text, double : value_real, default : value_int)(x)
#define VALUES(...)                                                                                                    \
    (const struct value[]){ __VA_ARGS__ }, (int)(sizeof((const struct value[]){ __VA_ARGS__ }) / sizeof(struct value))
#define NO_VALUES NULL, 0

struct query {
    struct connection *on;
    sqlite3_stmt *statement;
};
void query_done(struct query *query);
#define query_auto __attribute__((cleanup(query_done))) struct query

/* Prepare (or find prepared) and bind ?1, ?2, ... */
int query_start(struct connection *on, struct query *ret, const char *sql, const struct value *values, int count);
/* 1: a row, 0: no more, negative: failed. */
int query_next(struct query *query);
/* Start, run to the end, return the number of rows changed. */
int query_run(struct connection *on, const char *sql, const struct value *values, int count);

/* One number from one row. 1, or 0 without a row. */
int number_read(struct connection *on, const char *sql, const struct value *values, int count, int64_t *ret);

int64_t query_int(const struct query *query, int column);
double query_real(const struct query *query, int column); /* NULL is NaN */
/* Copies; what doesn't fit is cut. NULL is "". */
void query_copy(const struct query *query, int column, char *ret, size_t size);
/* A copy to free(), NULL for NULL. -ENOMEM or 0. */
int query_dup(const struct query *query, int column, char **ret);

/* The number in the only row of a query, on a reader. */
int number_select(struct db *db, const char *sql, const struct value *values, int count, int64_t *ret);

/* Make room for one more item in a growing array: *items has `count` used and
 * *capacity places of `size` bytes. */
int array_room(void **items, int count, int *capacity, size_t size);

/* ---- jobs, for events.c and points.c (job_list.c) ---- */

/* The present attempt of a running job. */
struct attempt {
    int64_t began_ms;  /* when it was claimed, 0: there is none, or it is accounted for */
    int64_t steady_ms; /* the same by the steady clock of the boot, 0: not known */
    int64_t seen_ms;   /* how long it was seen to run */
    char boot_id[DB_ID_SIZE];
};
/* Four columns: attempt_ms, attempt_steady_ms, attempt_ran_ms, boot_id. */
#define ATTEMPT_COLUMNS "attempt_ms, attempt_steady_ms, attempt_ran_ms, boot_id"
struct attempt attempt_read(const struct query *query, int column);
/* How long it has run, whatever was done to the clock meanwhile (claim.c). */
int64_t attempt_ran(struct db *db, const struct attempt *attempt, int64_t now_ms);

/* What a row of job is to the rest of the folder. */
struct job_key {
    int64_t number, family; /* family: the parent's number, or its own */
    enum job_state state;
    bool cancel_wanted, is_parent; /* is_parent: other jobs are its steps, whether or not there are any left */
    struct attempt attempt;
    char id[DB_ID_SIZE], parent[DB_ID_SIZE], owner[DB_OWNER_SIZE];
};
int job_key_find(struct connection *on, const char *id, struct job_key *ret);
enum job_state state_read(const struct query *query, int column);
enum db_condition condition_read(const struct query *query, int column);
int job_read(const struct query *query, bool texts, struct db_job *ret);
int jobs_read(struct query *query, bool texts, struct db_job **ret_jobs);
/* 1: the key was used with this body before (job_insert.c); ret_id is its job then. */
int idempotency_find(struct connection *on, const char *owner, const char *key, const char *body_sha256,
                     char ret_id[DB_ID_SIZE]);
/* The columns job_read expects, in its order. */
extern const char job_columns[];

/* All ids of a query's first column, to free(). */
int ids_collect(struct connection *on, const char *sql, const struct value *values, int count,
                char (**ret_ids)[DB_ID_SIZE]);

/* ---- states (jobs.c); all inside the caller's transaction ---- */

/* Make the move and write its event. The table must allow it. The error stays with a job that ended,
 * and with an attempt that did. */
int job_move_alone(struct connection *on, const struct job_key *job, enum job_state to, const char *result,
                   const char *error, int64_t now_ms);
bool job_move_allowed(enum job_state from, enum job_state to);
/* The event of a state: {"time_ms","type":"state","state"[,"device"|"error"]}. */
int job_state_event(struct connection *on, const struct job_key *job, enum job_state state, const char *device,
                    const char *error, int64_t now_ms);
/* The attempt of a running job is over: its time counts for the job and for its owner. */
int job_attempt_end(struct connection *on, const struct job_key *job, int64_t ran_ms, int64_t now_ms);

/* ---- what follows from a move (follow.c); likewise ---- */

/* Make the move and carry its consequences. */
int job_move(struct connection *on, const struct job_key *job, enum job_state to, const char *result, const char *error,
             int64_t now_ms);
/* Move a blocked job on if the jobs it needs have decided. */
int job_settle(struct connection *on, const struct job_key *job, int64_t now_ms);
/* Bring a parent to where its steps say. */
int parent_follow(struct connection *on, const char *parent, int64_t now_ms);
/* How the jobs that one needs stand: whether one hasn't ended, and how many ended
 * otherwise than they were to; culprit is one of those, and `how` its end. */
struct job_needs {
    int64_t open, hopeless;
    enum job_state how;
    char culprit[DB_ID_SIZE];
};
int job_needs_count(struct connection *on, int64_t job, struct job_needs *ret);

/* ---- attempts (attempts.c); all inside the caller's transaction ---- */

/* A worker was started, or is found to be another one. */
int attempt_begin(struct connection *on, const char *id, int64_t pid);
/* It ran for so long. */
int attempt_time(struct connection *on, int64_t job, int64_t ran_ms);
/* It is over: the job became `to`, because of error (JSON text or NULL). */
int attempt_close(struct connection *on, int64_t job, enum job_state to, const char *error);

/* ---- what the scheduler weighs (claim.c) ---- */

/* What stands in job.rank: the smallest goes first. */
int64_t rank_of(const struct db_policy *policy, int64_t created_ms, int priority);
/* Device time that ends now goes to the owner's account. */
int usage_add(struct connection *on, const struct db_policy *policy, const char *owner, int64_t ran_ms, int64_t now_ms);

/* ---- requests (job_requests.c) ---- */

/* A job and all that is below it: itself, its steps and theirs. */
#define JOB_TREE                                                                                                       \
    "WITH RECURSIVE tree(number, id) AS (SELECT number, id FROM job WHERE number = ?1"                                 \
    " UNION ALL SELECT job.number, job.id FROM tree JOIN job ON job.parent = tree.id) "

/* 1 when a job that hasn't ended, and isn't below this one, needs this one or what is below it. */
int job_needed(struct connection *on, const struct job_key *job);
/* ---- deletion (deletion.c) ---- */
/* Delete an ended job, if that is allowed. */
int job_delete(struct connection *on, const char *id);

/* ---- named texts (state.c) ---- */
int state_get(struct connection *on, const char *name, char *ret, size_t size);
int state_put(struct connection *on, const char *name, const char *value);

/* db_share_list on a connection. */
int share_list(struct connection *on, int64_t now_ms, struct db_share **ret);

/* ---- events (events.c) ---- */
int event_store(struct connection *on, int64_t job, int64_t family, int64_t seq, int64_t time_ms, const char *type,
                const char *fields);

/* ---- rows that events bring (points.c, artifacts.c) ---- */
int row_store(struct connection *on, int64_t job, int64_t time_ms, const struct db_row *row);
int artifact_store(struct connection *on, int64_t job, int64_t time_ms, const struct db_row *row);

/* ---- webhooks (webhooks.c) ---- */
/* The job came to this state by the event stored last: put it down for those who want to be told. */
int deliveries_store(struct connection *on, int64_t job, const char *state, const char *error, int64_t now_ms);

/* ---- models (models.c) ---- */
/* A new job reads this model. -ENOENT: there is none. */
int model_use_store(struct connection *on, int64_t job, const char *model);

/* ---- roll-ups of long curves (rollup.c) ---- */

enum { ROLLUP_LEVELS = 4 };

/* How far a series is rolled up. */
struct rollup {
    int64_t series;
    int64_t rolled;  /* the last step that is in a roll-up, INT64_MIN: none is */
    int64_t pending; /* points that came since */
};
/* A point has been stored in the series that stood so before. */
int rollup_grow(struct connection *on, const struct rollup *before, int64_t step);
/* Roll up what an older riftd has stored, if that is still to be done. */
int rollup_catch_up(struct connection *on);

/* The lowest and the highest point of a stretch of a curve. Not a number is higher than anything. */
struct stretch {
    int64_t first, last; /* steps */
    struct db_point low, high;
};
/* NaN as what it counts for. */
double point_height(const struct db_point *point);
/* Put another stretch, which comes after, to a stretch. */
void stretch_add(struct stretch *all, const struct stretch *next);
/* Four columns: step, time_ms, epoch, value. */
struct db_point point_read(const struct query *query, int column);

#endif
