/* What does riftd remember?
 *
 * One SQLite file. Exactly one connection in the whole system writes and
 * checkpoints (Debian 12's SQLite can corrupt a WAL that two connections
 * write and checkpoint); every read uses one of a few read-only connections.
 * All functions may be called from any thread: the writer is behind one mutex,
 * readers come from a free list. A spec, a result, an event's fields are JSON
 * text here and nothing more. What the settings say about scheduling comes in
 * by db_policy_set.
 *
 * Times are milliseconds since the epoch and always passed in. Functions
 * return 0 or a count; -ENOENT (no such row), -EEXIST, -EINVAL (no row may be so),
 * -ESTALE (the move isn't allowed from the row's state), -EIO and words through db_errmsg. */
#ifndef RIFT_DB_DB_H
#define RIFT_DB_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;

/* Open or create the file, migrate it (PRAGMA user_version; a newer one than
 * known is -EPROTO). NULL path is not allowed. On failure *ret is NULL and
 * `message` (256 bytes) says why. */
int db_open(const char *path, struct db **ret, char message[256]);
void db_close(struct db *db);
/* Why the calling thread's last call failed. */
const char *db_errmsg(struct db *db);
/* Copy the whole file, as it is at one moment, to `path`, which must not exist yet; the
 * copy is checked and on the disk afterwards. Reading and writing go on meanwhile. */
int db_backup(struct db *db, const char *path);
/* May this file take the database's place? 0, or why not (256 bytes). */
int db_backup_check(const char *path, char message[256]);
/* What is wrong inside the file, one text a fault; db_texts_free. The count, 0: nothing. */
int db_check(struct db *db, char ***ret_texts);
/* How long attempts run is told by this clock, which nobody sets, and which counts from the
 * boot of that id. Without it by the times that are passed in. Before there are threads. */
void db_steady_set(struct db *db, const char *boot_id, int64_t (*steady_ms)(void));
/* How the file does, since it was opened. */
struct db_stats {
    uint64_t commits;      /* each an fsync */
    uint64_t transactions; /* that were in them */
    uint64_t failures;     /* commits that didn't succeed */
    uint64_t commit_us;    /* time all commits took together */
    int64_t wal_pages;     /* in the write-ahead log after the last commit */
    int64_t file_bytes;
};
void db_stats(struct db *db, struct db_stats *ret);
/* Can the file still be written? Writes, at most once a second (for /healthz). */
int db_ping(struct db *db, int64_t now_ms);

/* ---- jobs ----
 *
 *   blocked --> queued --> running --> succeeded
 *                 ^           |------> failed
 *                 |-----------|------> cancelled
 *   blocked, queued ---------------> cancelled    (asked for, or a job it needs didn't succeed)
 *   failed, cancelled --> queued | blocked        (retry)
 *
 * A parent (kind rift or sweep) is never claimed; db_job_move sets its state
 * from its steps in the same transaction as the step's own move. A sweep's steps
 * are rift jobs, which have steps in turn.
 *
 * Every change of state, whichever call brings it about, also stores an event
 * of type "state" ({"time_ms","type","state"} and "device" or "error") in the
 * same transaction; nobody adds those by hand. */
enum job_state {
    STATE_BLOCKED,
    STATE_QUEUED,
    STATE_RUNNING,
    STATE_SUCCEEDED,
    STATE_FAILED,
    STATE_CANCELLED,
    STATE_COUNT,
};
extern const char *const job_state_names[STATE_COUNT];
int job_state_find(const char *name); /* or -ENOENT */
bool job_state_ended(enum job_state state);

#define DB_ID_SIZE    37  /* UUID text and NUL */
#define DB_OWNER_SIZE 101 /* who submits, 100 bytes and NUL */

/* What retention can take of an ended job. */
enum db_part { PART_CHECKPOINT = 1, PART_ARTIFACTS = 2, PART_EVENTS = 4, PART_JOURNAL = 8 };
#define PARTS_ALL (PART_CHECKPOINT | PART_ARTIFACTS | PART_EVENTS | PART_JOURNAL)

struct db_job {
    int64_t number; /* order of submission, 1.. */
    char id[DB_ID_SIZE];
    char kind[16];
    enum job_state state;
    char label[401];           /* "" none; 100 characters of UTF-8 */
    char owner[DB_OWNER_SIZE]; /* who submitted it, "" nobody in particular */
    int priority;
    char parent[DB_ID_SIZE]; /* "" none */
    int step;                /* place among the parent's steps, -1 none */
    char device[64];         /* slot it runs or ran on, "" none yet */
    char wants[64];          /* device it asks for: auto, cpu, cuda, cuda:1, ref */
    int attempts;            /* times a worker was started */
    int crashes;             /* deaths of its worker since its last checkpoint or retry */
    bool cancel_wanted;
    bool held;                                /* somebody said: not now */
    bool pinned;                              /* retention leaves it alone */
    int64_t rank;                             /* the smallest goes first, fair share aside */
    int64_t memory_bytes;                     /* of its device, 0: an equal share */
    int64_t time_limit_ms;                    /* of running, over all attempts; 0: none */
    int64_t ran_ms;                           /* in attempts that are over */
    int64_t attempt_ms;                       /* when the present attempt was claimed, 0 none */
    int64_t attempt_steady_ms;                /* the same by the steady clock of boot_id, 0: not known */
    int64_t attempt_ran_ms;                   /* of it, as far as was seen (db_attempts_seen) */
    int64_t not_before_ms;                    /* it waits until then after a failure of the machine */
    int64_t purged_ms;                        /* retention took some of its files, 0: it didn't */
    int purged;                               /* which: enum db_part */
    int64_t version;                          /* grows with every change that people see */
    int64_t created_ms, started_ms, ended_ms; /* 0: not yet */
    int64_t pid, pid_start;                   /* worker and its start time (/proc/PID/stat field 22), 0 none */
    char boot_id[DB_ID_SIZE];
    int64_t journal_offset; /* bytes of the journal already ingested */
    char *spec;             /* JSON text, owned; NULL in lists */
    char *result;           /* JSON text or NULL, owned */
    char *error;            /* JSON text {"code","message"} or NULL, owned */
    char *progress;         /* newest progress event's fields, JSON text or NULL, owned */
    char *failure;          /* the machine's newest, {"code","message"} as JSON text or NULL, owned */
};
void db_job_done(struct db_job *job);
void db_jobs_free(struct db_job *jobs, int count);
#define db_job_auto __attribute__((cleanup(db_job_done))) struct db_job

/* How a job that another waits for must end. FAILURE: failed or cancelled. */
enum db_condition { ON_SUCCESS, ON_FAILURE, ON_ANY, CONDITION_COUNT };
extern const char *const db_condition_names[CONDITION_COUNT];

struct db_new_job {
    const char *id, *kind, *label /* or NULL */, *spec;
    const char *owner; /* who submits; NULL is "" */
    int priority;
    const char *parent;                /* or NULL */
    int step;                          /* -1 none */
    const char *const *after;          /* ids of jobs that must end first */
    const enum db_condition *after_on; /* and how; NULL: all must succeed */
    int after_count;
    const char *device;        /* what it asks for: "cpu", "cuda", "cuda:1", "ref"; NULL or "auto": any */
    const char *const *models; /* ids of registered models that it reads */
    int model_count;
    int64_t memory_bytes, time_limit_ms; /* as in struct db_job */
};

/* Insert jobs and their dependencies in one transaction; a job whose
 * dependencies haven't all succeeded starts blocked, a parent starts queued.
 * key (Idempotency-Key) may be NULL; when the first job's owner used it before with
 * the same body hash, nothing is inserted and 1 is returned with the first job's id of
 * then; with another body -EEXIST. -ENOENT: a dependency or model is unknown. -EAGAIN:
 * as many of the owner's jobs wait as may; -EDQUOT: its artifacts fill their room. A
 * parent, and a dependency of the same batch, stand before those that name them. */
int db_job_insert(struct db *db, const struct db_new_job *jobs, int count, const char *key, const char *body_sha256,
                  int64_t now_ms, char ret_first_id[DB_ID_SIZE]);

/* What db_job_insert would say of the key, before anything else is looked at:
 * 1 with the job of then, -EEXIST with another body, 0 for a new key. */
int db_job_repeated(struct db *db, const char *owner, const char *key, const char *body_sha256,
                    char ret_id[DB_ID_SIZE]);

int db_job_get(struct db *db, const char *id, struct db_job *ret);
/* A number that grows with every change of what is shown of a job or of anything below it. */
int db_job_version(struct db *db, const char *id, int64_t *ret);
/* From now on whatever the calling thread would change is refused with -ECANCELED when the
 * job has another version: checked in the change's own transaction. NULL: expect nothing. */
void db_job_expect(const char *id, int64_t version);

struct db_job_filter {
    const char *id;      /* NULL any; how ids begin, in small letters. All that begin so are sorted */
    int state;           /* -1 any */
    const char *kind;    /* NULL any */
    const char *label;   /* NULL any */
    const char *owner;   /* NULL any */
    const char *parent;  /* NULL any; "" only jobs without one */
    const char *dataset; /* NULL any; a registered data set, by name. No index has it: it goes with a kind */
    int64_t before;      /* numbers below this one (cursor), 0: from the newest */
    int limit;
};
/* Newest first. Specs are not loaded. Free with db_jobs_free. */
int db_job_list(struct db *db, const struct db_job_filter *filter, struct db_job **ret_jobs);
/* The jobs that this one waits or waited for (db_new_job.after). free() the
 * array; returns the count. */
struct db_need {
    char id[DB_ID_SIZE];
    enum db_condition on;
    enum job_state state; /* of that job, now */
};
int db_job_after(struct db *db, const char *id, struct db_need **ret);
/* The other way round: jobs that wait or waited for this one, oldest first, at most `limit`. */
int db_job_users(struct db *db, const char *id, int limit, struct db_job **ret_jobs);
int db_job_steps(struct db *db, const char *parent, struct db_job **ret_jobs); /* in order */
/* How many jobs are in that state. */
int db_job_count(struct db *db, enum job_state state, int64_t *ret);

/* Remember the worker that was started for a running job. */
int db_job_started(struct db *db, const char *id, int64_t pid, int64_t pid_start, const char *boot_id);
/* Its worker died without a last word. Returns how often that happened since
 * the job's last `checkpoint` event or retry, this time included. */
int db_job_crashed(struct db *db, const char *id);
/* The attempt of a running job is over though nobody was there to see it, and took so
 * long: what comes later doesn't count as running. */
int db_job_attempt_end(struct db *db, const char *id, int64_t ran_ms, int64_t now_ms);
/* One time that a worker was started for a job. */
struct db_attempt {
    int number;                          /* as db_job.attempts counts; an older riftd's aren't there */
    char device[64], state[16], how[16]; /* state: what the job became by it, "": it goes on */
    int64_t pid, began_ms, ended_ms, ran_ms;
    int exit_code; /* of the worker; -1: killed, or not known */
    int signal;    /* that killed it, or 0 */
    char *error;   /* why it wasn't the last one, or the job's: JSON text {"code","message"} or NULL, owned */
};
void db_attempts_free(struct db_attempt *attempts, int count);
/* Oldest first, at most the newest 50. */
int db_attempt_list(struct db *db, const char *id, struct db_attempt **ret);
/* How the worker of the present attempt ended; what is not known (exit_code -1, signal 0) stays as it was told before.
 */
struct db_attempt_end {
    const char *how;
    int exit_code, signal;
};
int db_attempt_tell(struct db *db, const char *id, const struct db_attempt_end *end);
/* All attempts go on: what they took so far will be known, whatever becomes of the machine. */
int db_attempts_seen(struct db *db);
/* running -> queued after a failure of the machine (JSON text {"code","message"}),
 * not to be claimed before until_ms; else as db_job_move. */
int db_job_postpone(struct db *db, const char *id, int64_t until_ms, const char *failure, int64_t now_ms);
/* Move a job to a new state: one transaction that also unblocks jobs whose last
 * dependency ended as it was to, cancels those that can't run any more, and
 * brings the parent's state and error up to date. result and error (JSON
 * text) may be NULL. running -> queued of a job that has cancel_wanted ends as
 * cancelled. -ESTALE when the table above forbids the move. */
int db_job_move(struct db *db, const char *id, enum job_state to, const char *result, const char *error,
                int64_t now_ms);
/* Ask for cancellation: blocked and queued jobs are cancelled at once, running
 * ones get cancel_wanted (the daemon then stops the worker); a parent passes it
 * on to its steps, and they to theirs. 0; -ESTALE when it has ended already. */
int db_job_cancel(struct db *db, const char *id, int64_t now_ms);
/* failed or cancelled -> queued or blocked again, keeping journal and points
 * (a checkpoint may be there); a parent retries its failed or cancelled steps.
 * -ESTALE when it has not ended so, or needs a job that did not succeed. */
int db_job_retry(struct db *db, const char *id, int64_t now_ms);
/* What PATCH changes; members that are NULL stay as they are. A parent hands
 * priority, held and pinned on to its steps. -ESTALE: priority or held of a job
 * that has ended. Whoever holds a running job also has to stop its worker. */
struct db_job_change {
    const int *priority;
    const char *label; /* "": none */
    const bool *held, *pinned;
};
int db_job_change(struct db *db, const char *id, const struct db_job_change *change, int64_t now_ms);
/* Forget an ended job and all that belongs to it; -ESTALE when not ended or when
 * an unended job depends on it. Steps go with their parent. Their directories are
 * doomed in the same transaction; the rows that they leave go by db_gone_clear. */
int db_job_delete(struct db *db, const char *id);
/* Remove some rows of jobs that were deleted, in one short transaction. 1: there are more. */
int db_gone_clear(struct db *db);
/* Ids of all that belongs to a parent, steps and their steps. free() the array;
 * returns the count. */
int db_job_below(struct db *db, const char *id, char (**ret_ids)[DB_ID_SIZE]);
/* Put a file that riftd itself has written for a job among its artifacts. */
int db_artifact_put(struct db *db, const char *job, const char *name, int64_t size, const char *sha256, int64_t now_ms);
int db_job_set_result(struct db *db, const char *id, const char *result);
/* Running jobs, specs loaded: what the daemon re-attaches after a start. */
int db_job_running(struct db *db, struct db_job **ret_jobs);

/* ---- who runs next (claim.c) ---- */

/* What the settings say of it. */
struct db_policy {
    int64_t ageing_ms;     /* one point of priority is worth so much waiting; 0: any amount */
    int64_t half_life_ms;  /* of device time that was used */
    int64_t fair_share_ms; /* what having used all of it costs, in waiting; 0: nothing */
    int running_max;       /* jobs of an owner that run at once, 0: any number */
    int queued_max;        /* jobs of an owner that wait at once, steps not counted; 0: any number */
    int64_t artifacts_max; /* bytes of an owner's artifacts, 0: any number */
};
/* From now on. Jobs that wait are ranked anew when the ageing has changed since
 * the last time (of an earlier riftd too). */
int db_policy_set(struct db *db, const struct db_policy *policy);

/* What a free slot has to give. */
struct db_offer {
    const char *device;   /* "cpu", "cuda:0" */
    int64_t memory_bytes; /* of the whole device; 0: not counted */
    int64_t free_bytes;   /* of which nobody has */
    int64_t share_bytes;  /* what a job gets that doesn't say how much it needs */
    const char *only;     /* the job that the slot is kept for, or NULL */
};
/* Hand the best runnable job to the caller and mark it running on the offer's
 * device, in one transaction, so that no two callers ever hold the same job.
 * Only jobs that ask for this device, for its family ("cuda") or for any count; a
 * cpu slot takes "ref" too. Nothing overtakes the best job while it waits for the
 * device's memory. 1 with a job (spec loaded), 0 when there is none. */
int db_job_claim(struct db *db, const struct db_offer *offer, int64_t now_ms, struct db_job *ret);
/* The runnable job of highest priority, `least` or more, that could run on such a
 * device with so much memory free. 1 with it, 0. */
int db_job_pressing(struct db *db, const struct db_offer *offer, int least, int64_t now_ms, struct db_job *ret);
/* When the next job that waits out a failure may run, 0: there is none. */
int db_next_start(struct db *db, int64_t now_ms, int64_t *ret_ms);
/* The clock was set forward by step_ms: jobs after failures, and deliveries, wait as long
 * as they were to, and until those times at most. */
int db_waits_shift(struct db *db, int64_t step_ms, int64_t job_latest_ms, int64_t delivery_latest_ms);

/* An owner who has jobs that wait or run. */
struct db_share {
    char owner[DB_OWNER_SIZE];
    int running;        /* jobs */
    double used_ms;     /* device time, faded */
    double share;       /* of that of all these owners, 0..1 */
    int64_t penalty_ms; /* what its jobs' ranks are raised by: fair_share_ms * share */
};
int db_share_list(struct db *db, int64_t now_ms, struct db_share **ret); /* free() */
/* The first `limit` unended jobs that a worker runs or will run: running ones, then queued
 * ones as they would be claimed now, then held ones, then blocked ones. Specs are not
 * loaded. Free with db_jobs_free. Costs what the limit costs, however many wait. */
int db_queue_list(struct db *db, int limit, int64_t now_ms, struct db_job **ret);
/* How many jobs of one priority could run and wait. */
struct db_depth {
    int priority;
    int64_t jobs;
};
/* Of every priority that there is in the queue, lowest first; the number of rows. */
int db_queue_depths(struct db *db, struct db_depth **ret); /* free() */
#define DB_POSITION_MOST 1000
/* How many queued jobs stand before this one now, DB_POSITION_MOST for so many or more; -ENOENT
 * unless it is queued and not held. */
int db_job_position(struct db *db, const char *id, int64_t now_ms);

/* ---- what riftd remembers of itself ---- */
#define STATE_DRAINED "drained" /* not "": nothing is to start */
/* A value, "" when there is none; at most size-1 bytes. */
int db_state_get(struct db *db, const char *name, char *ret, size_t size);
int db_state_put(struct db *db, const char *name, const char *value); /* NULL: none */

/* ---- what is kept, and for how long (retention.c) ---- */

/* An ended job, without a parent, whose whole family has ended before a time. */
struct db_aged {
    char id[DB_ID_SIZE];
    int64_t ended_ms, number;
};
/* Jobs that ended before before_ms, that have a worker (`parts`) or no parent (0), and that
 * still have one of these parts; those after (after_ms, after_number), oldest first. free(); the count. */
int db_aged_list(struct db *db, int parts, int64_t before_ms, int64_t after_ms, int64_t after_number, int limit,
                 struct db_aged **ret);
/* Take a part of an ended job: its directory is doomed, its rows go, an event says so, if
 * anything was there: files, as the caller has seen, or rows. -ESTALE: it hasn't ended, is
 * pinned, or a job that hasn't ended needs it. Events go in slices, the first of which says
 * so: 1 means that there are more. */
int db_job_purge(struct db *db, const char *id, enum db_part part, bool files, int64_t now_ms);
/* db_job_delete for retention: -ESTALE for pinned ones too. */
int db_job_expire(struct db *db, const char *id);
/* Directories that are to be removed, and that were. */
int db_doomed_list(struct db *db, int limit, char (**ret_paths)[64]); /* free(); the count */
int db_doomed_has(struct db *db, const char *path);                   /* 1: it is to be removed, or 0 */
int db_doomed_done(struct db *db, const char *path);

/* ---- what workers report: the journal, ingested ---- */

/* One event of a job's journal. */
struct db_event {
    int64_t id; /* order of ingestion over all jobs: the SSE event id */
    char job[DB_ID_SIZE];
    int64_t seq; /* the worker's own number; 0 for events the daemon made */
    int64_t time_ms;
    char type[24];
    char *fields; /* the whole event as JSON text, owned */
};
void db_events_free(struct db_event *events, int count);

/* Rows that an event brings along; the caller (daemon/journal.c) has taken the
 * JSON apart. Exactly the members of its type are used. */
enum db_row_type { ROW_NONE, ROW_METRIC, ROW_MODULE, ROW_ALPHA, ROW_EVALUATION, ROW_ARTIFACT, ROW_PROGRESS };
struct db_row {
    enum db_row_type type;
    const char *name;   /* metric, module, evaluation or artifact name */
    int64_t step;       /* metric: step; module: pass */
    double epoch;       /* metric; NaN none */
    double value;       /* metric */
    double alpha;       /* alpha */
    int64_t size;       /* artifact, bytes */
    const char *sha256; /* artifact */
    const char *fields; /* module, alpha, evaluation, progress: the event as JSON text */
};

struct db_ingest_event {
    int64_t seq, time_ms;
    const char *type;
    const char *fields; /* the whole event as JSON text */
    struct db_row row;
};
/* Store a batch of events and their rows and move the job's journal offset to
 * end_offset, in one transaction. Events whose seq isn't above the job's
 * highest ingested one, and rows that exist already, change nothing, so that a
 * replay is harmless. -ESTALE (nothing stored) unless the job's offset is
 * from_offset. After a rewind an event that comes again as it was changes
 * nothing either; one that comes otherwise puts itself in the place of all
 * events from its seq on. */
int db_ingest(struct db *db, const char *job, int64_t from_offset, int64_t end_offset,
              const struct db_ingest_event *events, int count);
/* The journal isn't the one that was read: it will be ingested from byte 0 again. */
int db_journal_rewind(struct db *db, const char *job);
/* Lines that were read have been taken out of the journal: what comes next will come at that byte. */
int db_journal_cut(struct db *db, const char *job, int64_t offset);

/* The newest event of the job's journal that is ingested; *ret_fresh says that
 * it is newer than the job's last change of state. -ENOENT when there is none. */
int db_event_last(struct db *db, const char *job, struct db_event *ret, bool *ret_fresh);
/* Events with id > after, of one job (and its steps) or of all (NULL), ascending. */
int db_event_list(struct db *db, const char *job, int64_t after, int limit, struct db_event **ret);
/* Id of the newest event of all jobs, 0 when there is none: where a watcher starts
 * that has just read the jobs themselves. */
int db_event_newest(struct db *db, int64_t *ret_id);
/* Is what comes after that event not all that there was? 0: it is; DB_GAP_PURGED: some
 * of it was taken away; DB_GAP_AHEAD: there has been no such event yet. */
enum { DB_GAP_PURGED = 1, DB_GAP_AHEAD = 2 };
int db_event_gap(struct db *db, const char *job, int64_t after);

struct db_series {
    char name[64];
    int64_t count, last_step;
    double last, min, max;
};
int db_series_list(struct db *db, const char *job, struct db_series **ret); /* free() */
struct db_point {
    int64_t step, time_ms;
    double epoch, value;
};
/* Points of one metric with step > since, ascending. When there are more than
 * max_points, equal spans of the series give their minimum and maximum, so that
 * spikes stay; first and last point are kept. free() the array. */
int db_point_list(struct db *db, const char *job, const char *name, int64_t since, int max_points,
                  struct db_point **ret);
/* The same of a part of the curve: since < step <= until. */
struct db_steps {
    int64_t since, until;
};
int db_point_list_within(struct db *db, const char *job, const char *name, struct db_steps steps, int max_points,
                         struct db_point **ret);

/* Rows of one kind for a job, each the newest event's JSON text, in order of
 * first appearance: ROW_MODULE, ROW_ALPHA (by alpha), ROW_EVALUATION. */
int db_row_list(struct db *db, const char *job, enum db_row_type type, char ***ret_texts);
void db_texts_free(char **texts, int count);

struct db_artifact {
    char name[520];
    int64_t size;
    char sha256[65];
    int64_t time_ms;
};
int db_artifact_list(struct db *db, const char *job, struct db_artifact **ret); /* free() */
int db_artifact_get(struct db *db, const char *job, const char *name, struct db_artifact *ret);

/* ---- models: weights that were registered, by upload or from a job ---- */

struct db_model {
    int64_t number; /* order of registration, 1.. */
    char id[DB_ID_SIZE];
    char name[401]; /* 100 characters of UTF-8; several models may share it */
    char owner[DB_OWNER_SIZE];
    int64_t size;
    char sha256[65];
    int64_t created_ms;
    char job[DB_ID_SIZE]; /* the job that made it, "" none or not known; it may be gone */
    char artifact[520];   /* as which artifact, "" none */
};
/* Register. 0; 1 when the owner has the same bytes under the same name already:
 * *ret is that one. */
int db_model_insert(struct db *db, const struct db_model *model, struct db_model *ret);
int db_model_get(struct db *db, const char *id, struct db_model *ret);
struct db_model_filter {
    const char *name;  /* NULL any */
    const char *owner; /* NULL any */
    const char *job;   /* NULL any: those that this job made */
    int64_t before;    /* cursor, as of jobs */
    int limit;
};
int db_model_list(struct db *db, const struct db_model_filter *filter,
                  struct db_model **ret); /* free(), newest first */
/* 1 when some model has these bytes, 0 when none does. */
int db_model_bytes_used(struct db *db, const char *sha256);
/* Ids of the jobs that read it, in order. free() the array; returns the count. */
int db_model_users(struct db *db, const char *id, char (**ret_ids)[DB_ID_SIZE]);
/* Forget it. -ESTALE while an unended job reads it. *ret_last: nobody else has its bytes. */
int db_model_delete(struct db *db, const char *id, bool *ret_last);

/* ---- tokens: who may come in ---- */

struct db_token {
    char id[DB_ID_SIZE];
    bool session;   /* a browser's, had for the token `parent` */
    char name[401]; /* for people; 100 characters of UTF-8 */
    char owner[DB_OWNER_SIZE];
    char role[8]; /* "read", "submit", "admin" */
    char secret_sha256[65];
    char parent[DB_ID_SIZE];
    int64_t created_ms, expires_ms /* 0: never */, used_ms; /* 0: never */
};
/* Forgets sessions that are over, too. */
int db_token_insert(struct db *db, const struct db_token *token);
int db_token_get(struct db *db, const char *id, struct db_token *ret); /* token or session, expired or not */
int db_token_list(struct db *db, struct db_token **ret);               /* without sessions, oldest first; free() */
/* Its sessions go with it. */
int db_token_delete(struct db *db, const char *id);
int db_token_used(struct db *db, const char *id, int64_t now_ms);
/* 1 when there is or ever was a token. */
int db_token_ever(struct db *db);
/* 1 when somebody could come in as admin now. */
int db_token_admin(struct db *db, int64_t now_ms);

/* ---- audit: who changed what ---- */

struct db_audit {
    int64_t id, time_ms;
    char owner[DB_OWNER_SIZE];
    char role[8];           /* "none" when nobody could be told */
    char token[DB_ID_SIZE]; /* "" none */
    char address[64];
    char method[16];
    char path[256]; /* as it was asked for, cut where it is longer */
    int status;
    char request_id[65];
};
int db_audit_add(struct db *db, const struct db_audit *rows, int count); /* in one transaction */
/* Newest first, ids below `before` (0: from the newest); free(). */
int db_audit_list(struct db *db, int64_t before, int limit, struct db_audit **ret);
/* Forget what is older; returns how many rows that were. */
int db_audit_trim(struct db *db, int64_t before_ms);
/* ---- webhooks: who is told of jobs' states, and what they are still to be told ----
 *
 * A state event and what webhooks are to be told of it are stored in one
 * transaction (an outbox), so that nothing is lost, and nothing told that
 * didn't happen. A delivery is made at least once. */

struct db_webhook {
    char id[DB_ID_SIZE];
    char url[2001];
    char secret[101];
    char states[81]; /* "succeeded,failed" */
    char owner[DB_OWNER_SIZE];
    bool everybody; /* it is told of all owners' jobs */
    int64_t created_ms;
};
int db_webhook_insert(struct db *db, const struct db_webhook *webhook);
int db_webhook_get(struct db *db, const char *id, struct db_webhook *ret);
int db_webhook_list(struct db *db, struct db_webhook **ret); /* free(), oldest first */
int db_webhook_delete(struct db *db, const char *id);        /* with its deliveries */

struct db_delivery {
    int64_t id;
    char webhook[DB_ID_SIZE];
    int64_t event; /* 0: a test */
    char *body;    /* JSON text, owned */
    int attempts;
    int64_t next_ms; /* when it is to be tried (again) */
    int64_t done_ms; /* 0: it still is to be made */
    int status;      /* the last answer's, 0 none */
    char error[201]; /* why the last attempt failed, "" */
};
void db_deliveries_free(struct db_delivery *deliveries, int count);
/* What is due at now_ms, at most `limit`, the longest due first. */
int db_delivery_due(struct db *db, int64_t now_ms, int limit, struct db_delivery **ret);
/* When the next one is due; -ENOENT: none is waiting. */
int db_delivery_next(struct db *db, int64_t *ret_ms);
/* An attempt is over. next_ms: when to try again, and not to tell this webhook anything else
 * before; 0: there will be no other. -ENOENT: it is gone. */
int db_delivery_tried(struct db *db, int64_t id, int status, const char *error, int64_t now_ms, int64_t next_ms);
/* How many deliveries wait. */
int db_delivery_waiting(struct db *db, int64_t *ret);
/* The newest ones of a webhook. */
int db_delivery_list(struct db *db, const char *webhook, int limit, struct db_delivery **ret);
/* Tell one webhook `body`, now. */
int db_delivery_insert(struct db *db, const char *webhook, const char *body, int64_t now_ms);

#endif
