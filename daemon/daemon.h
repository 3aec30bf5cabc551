/* What do the files of daemon/ share?
 *
 * One struct daemon, one thread that runs the loop (loop.c) and everything in
 * this header but the api callbacks. HTTP threads touch only what never changes
 * after the start (names of devices and slots), how devices are under their lock, the settings they find (reload.c),
 * data sets under their lock, the database, and the bell. */
#ifndef RIFT_DAEMON_DAEMON_H
#define RIFT_DAEMON_DAEMON_H

#include "api/api.h"
#include "daemon/log.h"
#include "daemon/settings.h"
#include "db/db.h"
#include "job/job.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

enum {
    SLOTS_MAX = 256,
    JOB_DELAY_MOST_MS = 3600 * 1000, /* the longest that a job or a delivery waits after a failure */
    WEBHOOK_DELAY_MOST_MS = 6 * 3600 * 1000,
};

/* ---- the daemon ---- */

struct daemon;

/* Something the loop waits for; ready is called when it can be read. */
struct source {
    int fd;
    void (*ready)(struct daemon *daemon, struct source *source);
};

/* A thing that computes, with one slot or more. */
struct device {
    char name[64];        /* "cpu", "cuda:0" */
    int64_t memory_bytes; /* as `rift-worker devices` says, 0: it doesn't */
    int slot_count;
    int losses;            /* in a row; under devices_lock, as the rest */
    int64_t rest_until_ms; /* monotonic: after a loss */
    char why[200];
};

/* One place where a job can run. */
struct slot {
    struct device *on;
    struct worker *worker;     /* or NULL */
    _Atomic bool busy;         /* there is a worker; for other threads */
    char kept_for[DB_ID_SIZE]; /* the job for which another was stopped here, or "" */
    int64_t kept_bytes;        /* of the device that it will take */
    int rest_ms;               /* after a start that failed; 0 after one that didn't */
    int64_t rest_until_ms;     /* monotonic; under devices_lock, as the next */
    char why[200];             /* it rests */
};

/* How a worker came to its end, as far as we know. */
struct worker_end {
    bool seen;   /* it ended a moment ago */
    bool known;  /* as its parent, or by its own word */
    bool exited; /* known, and by itself: status is the exit code; else a signal */
    int status;
    bool unstarted;       /* there is no worker that we know of */
    bool put_off;         /* it couldn't be started, for a reason of the machine's that may pass */
    int deaths;           /* without a new checkpoint, 0: not counted yet */
    bool judged;          /* the device was told how it went */
    struct fault start;   /* why the job can't be started at all, or code 0 */
    struct fault journal; /* why the rest of its journal can't be read, or code 0 */
};

/* Why a worker was asked to stop. */
enum stop { STOP_NOT, STOP_CANCEL, STOP_HOLD, STOP_PREEMPT, STOP_LIMIT };

/* A process that works on a running job, our child or one that we found again;
 * without one (pid 0) the job waits here for its verdict. */
struct worker {
    struct source exit; /* its pidfd or -1; first, so that a source is its worker */
    struct worker *next;
    struct slot *slot; /* NULL: its slot is gone since the last start */
    char id[DB_ID_SIZE];
    char dir[PATH_MAX];
    pid_t pid;
    int64_t offset; /* of the journal, ingested so far */
    int priority;
    int64_t memory_bytes; /* of its device that count as taken */
    int64_t began_ms;     /* monotonic: when this attempt was claimed, as if it had run all the time */
    int64_t limit_at_ms;  /* monotonic: when its time is up, 0: never */
    enum stop stop;
    int64_t kill_at_ms;   /* monotonic: when SIGTERM turns into SIGKILL, 0: not asked to stop */
    int64_t settle_at_ms; /* monotonic: when a verdict that failed is tried again, 0: none has */
    bool journal_bad;     /* was said already */
    struct worker_end end;
};

/* The thread that removes what isn't kept. */
struct janitor {
    bool started;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t bell;
    bool rung;            /* under the lock */
    atomic_bool stopping; /* set under the lock */
};

struct daemon {
    struct setting_sources sources; /* of settings, for SIGHUP */
    /* Read it once and use what you got: SIGHUP puts another in its place. What
     * it points at stays as it is and is there to the end. */
    const struct settings *_Atomic settings;
    char address[64];    /* where we listen */
    struct rules *rules; /* of these settings, for api/ */
    char jobs_dir[PATH_MAX];
    char models_dir[PATH_MAX];
    char backups_dir[PATH_MAX];
    char trash_dir[PATH_MAX];   /* beside it: what is on its way out */
    char worker_path[PATH_MAX]; /* absolute */
    char boot_id[DB_ID_SIZE];
    struct db *db;
    struct api *api;
    struct webhooks *webhooks;
    struct {
        _Atomic uint64_t starts, crashes;
        struct histogram waits, runs[3]; /* runs: succeeded, failed, cancelled */
    } counts;                            /* metrics.c's */
    int lock_fd;                         /* STATE/riftd.lock */
    int epoll_fd;
    struct source signals, bell, watchdog;
    int tcp_fd, local_fd, health_fd; /* from systemd, 0: none */
    bool stopping;
    atomic_bool drained;  /* an administrator said: start nothing */
    atomic_bool no_space; /* the disk is nearly full: start nothing */
    struct device devices[SLOTS_MAX];
    int device_count;
    pthread_mutex_t devices_lock;
    struct slot slots[SLOTS_MAX];
    int slot_count;
    int64_t schedule_at_ms; /* monotonic: when the queue is looked at next, 0: now */
    int64_t clock_ahead_ms; /* the clock against the monotonic one, 0: not looked at yet */
    int64_t seen_at_ms;     /* monotonic: when running time was written down last */
    struct worker *workers;
    struct janitor janitor;
    json_t *device_infos; /* what `rift-worker devices` said, an array */
    pthread_mutex_t datasets_lock;
    json_t *datasets; /* [{"name","format","path"}] */
};

/* ---- loop.c ---- */
int loop_open(struct daemon *daemon);
void loop_close(struct daemon *daemon);
int loop_add(struct daemon *daemon, struct source *source);
void loop_remove(struct daemon *daemon, struct source *source);
/* Any thread: run the scheduler and look for cancelled jobs. */
void loop_bell(struct daemon *daemon);
int loop_run(struct daemon *daemon); /* until SIGTERM or SIGINT */

/* ---- sockets.c ---- */
/* Before there are threads: take the sockets that systemd opened. */
int sockets_take(struct daemon *daemon, struct fault *why);

/* ---- watchdog.c ---- */
/* Start to tell systemd that all is well, where it wants to hear. */
int watchdog_open(struct daemon *daemon);

/* ---- devices.c: which there are is fixed after the start; how they are isn't ---- */
int slots_open(struct daemon *daemon, struct fault *why);
json_t *devices_json(struct daemon *daemon);
/* A start failed: the slot rests a while, longer each time. Returns how long. */
int slot_rest(struct daemon *daemon, struct slot *slot, const char *why);
void slot_works(struct daemon *daemon, struct slot *slot);
/* The device was lost: it gets no jobs for a while, longer each time. */
void device_lost(struct daemon *daemon, struct device *device, const char *why);
void device_works(struct daemon *daemon, struct device *device);
/* Until when (monotonic) nothing starts there; 0: it may now. */
int64_t slot_rests_until(struct daemon *daemon, const struct slot *slot);
/* Memory of the device that jobs may have, 0: it isn't counted; and one slot's share of it. */
int64_t device_memory(const struct daemon *daemon, const struct device *device);
int64_t device_share(const struct daemon *daemon, const struct device *device);

/* ---- datasets.c ---- */
/* Those of the settings, as a new list. */
int datasets_make(const struct settings *settings, json_t **ret, struct fault *why);
/* Takes the list. */
void datasets_set(struct daemon *daemon, json_t *datasets);
/* A copy. Any thread. */
json_t *datasets_json(struct daemon *daemon);
/* Borrowed until the next datasets_set, or NULL. */
const json_t *datasets_find(const struct daemon *daemon, const char *name);

/* ---- reload.c ---- */
/* Before there are threads: read the settings and do what the command line asks
 * for. 1: go on; 0: done; -EINVAL: said why, and *ret_exit_code is how to end. */
int settings_open(struct daemon *daemon, int argc, char **argv, int *ret_exit_code);
/* SIGHUP: read them again and apply what can change while we run. */
void settings_reload(struct daemon *daemon);
void settings_close(struct daemon *daemon);

/* ---- rules.c: what api/ is told anew ---- */
/* Those of the settings, with `older` behind them: HTTP threads may still read there. NULL: out of memory. */
struct rules *rules_make(const struct settings *settings, struct rules *older);
const struct api_rules *rules_lend(const struct rules *rules);
void rules_free(struct rules *rules); /* with all older ones */

/* ---- scheduler.c ---- */
/* If it is time (schedule_at_ms), give runnable jobs to free slots, take slots away
 * for jobs of higher priority, and find out when to look again. */
void schedule(struct daemon *daemon);
/* Has somebody set the clock? Then what waits for a time waits as long as it was to. */
void clock_look(struct daemon *daemon);
/* What the settings say about the queue goes to the database. */
int policy_apply(struct daemon *daemon, const struct settings *settings);

/* ---- space.c ---- */
/* Is less free on the disk than there is to be? Any thread. */
struct space {
    int64_t free_bytes, floor_bytes, total_bytes;
};
bool space_short(const struct daemon *daemon, struct space *ret);
/* Remember it (no_space), and log when it changes. */
void space_look(struct daemon *daemon);

/* ---- janitor.c, retention.c: what isn't kept ---- */
void janitor_open(struct daemon *daemon); /* before anybody can ring */
int janitor_start(struct daemon *daemon, struct fault *why);
/* Any thread: there is something to remove, or other rules. */
void janitor_ring(struct daemon *daemon);
void janitor_stop(struct daemon *daemon);
/* Between two steps: false when riftd is stopping. */
bool janitor_may_go_on(struct daemon *daemon);
/* Remove what is doomed. */
void janitor_sweep(struct daemon *daemon);
/* Apply the rules of the settings once. Returns after how long to do so again, ms. */
int64_t retention_apply(struct daemon *daemon);

/* ---- workers.c: the list, and how one is stopped ---- */
/* Put a running job on the list, with no process yet. slot may be NULL. NULL: no memory. */
struct worker *worker_add(struct daemon *daemon, const struct db_job *job, struct slot *slot);
/* This process works on it. Takes pidfd. */
int worker_watch(struct daemon *daemon, struct worker *worker, pid_t pid, int pidfd);
void worker_remove(struct daemon *daemon, struct worker *worker);
/* Somebody changed jobs: stop workers of those that are to be cancelled or held. */
void workers_review(struct daemon *daemon);
/* Stop those whose time is up, kill those whose grace is over; now and then write down how long they ran. */
void workers_watch_clock(struct daemon *daemon);
void worker_stop(struct daemon *daemon, struct worker *worker, enum stop why);
/* Path of a job's directory. */
int job_dir(const struct daemon *daemon, const char *id, char ret[PATH_MAX]);

/* ---- executor.c: workers, whoever starts them ---- */
/* A worker that runs, or waits for `go` to run. */
struct started {
    pid_t pid;
    int pidfd;
    int connection; /* to where it waits, or -1 */
};
struct executor_ops {
    /* A worker for this directory, which is written. The failure is the machine's, never the job's. */
    int (*start)(struct daemon *daemon, char *dir, struct started *ret, struct fault *why);
    /* It is recorded: it may begin. NULL: it has. */
    int (*go)(struct started *started);
    /* What `rift-worker devices` prints: new text in *ret. */
    int (*devices)(struct daemon *daemon, char **ret, struct fault *why);
};
extern const struct executor_ops executor_local, executor_socket;
/* What stands between `rift-worker run` and DIR, by the settings. */
enum { WORKER_WORDS_MAX = 4 };
struct worker_words {
    const char *list[WORKER_WORDS_MAX];
    int count;
    char limit[24]; /* in it the number that list points to */
};
void worker_words(const struct daemon *daemon, struct worker_words *ret);
/* The usable devices, as the worker tells them: a new array in *ret. */
int executor_devices(struct daemon *daemon, json_t **ret, struct fault *why);
/* Write the job directory, have a worker started on it, record and watch it. */
int executor_start(struct daemon *daemon, struct worker *worker, const struct db_job *job, const json_t *spec,
                   struct fault *why);

/* ---- resolve.c ---- */
/* A stored spec as the worker reads it: references and data set names become
 * paths seen from the job directory, auto becomes the slot's device. New
 * reference in *ret. */
int spec_resolve(struct daemon *daemon, const struct db_job *job, const char *device, json_t **ret, struct fault *why);

/* May a job that was sent read there, as the settings are now? 0, or -EACCES
 * with words. Any thread. */
int data_place_check(const struct daemon *daemon, const char *path, struct fault *why);

/* ---- offline.c: commands that don't serve ---- */
/* Say why on stderr; returns 1, the exit code. */
int complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Be the user whose state directory this is: root becomes it for good. -EPERM: we are another. */
int state_user_become(int dir);

/* ---- restore.c ---- */
int restore_main(int argc, char **argv); /* `riftd restore`; the exit code */

/* ---- token.c ---- */
int token_main(int argc, char **argv); /* `riftd token create`; the exit code */

/* ---- process.c ---- */
int boot_id_read(char ret[DB_ID_SIZE]);
/* /proc/PID/stat field 22: with the boot's id it tells one process from a later one of the same number. */
int process_start_time(pid_t pid, int64_t *ret);
/* True when the process runs that program, or one that lay there and was replaced since by an upgrade. */
bool process_runs(pid_t pid, const char *program);
/* A live process of the program `worker` whose command line is `run ... DIR`
 * and that has DIR's journal open, or 0. */
pid_t process_find(const char *worker, const char *dir);

/* ---- journal.c ---- */
/* Ingest what the worker wrote since *offset. The number of events; -EBADMSG
 * when the journal can't be read, now and later; else a failure that may pass,
 * or -ENOENT when there is no such job. A missing journal is 0. */
int journal_ingest(struct daemon *daemon, const char *id, const char *dir, int64_t *offset, struct fault *why);
void journals_tail(struct daemon *daemon);

/* ---- parents.c ---- */
/* A step is about to end with this result (JSON text or NULL): bring the tables
 * of its rift job, and of that one's sweep, up to date. */
int parents_tell(struct daemon *daemon, const struct db_job *step, const char *result);

/* ---- metrics.c ---- */
void metrics_started(struct daemon *daemon, const struct db_job *job, int64_t now_ms);
void metrics_ended(struct daemon *daemon, const struct db_job *job);
void metrics_write(struct daemon *daemon, FILE *out); /* any thread */

/* ---- webhooks.c ---- */
/* A thread that tells webhooks what is due. */
int webhooks_start(struct daemon *daemon, struct fault *why);
void webhooks_stop(struct daemon *daemon);
/* There may be more to tell. Any thread. */
void webhooks_poke(struct daemon *daemon);

/* ---- ending.c: how a worker ended ---- */
/* Nobody saw it: account for the time it ran. */
int ending_date(struct daemon *daemon, const struct worker *worker, struct db_job *job);
/* Its exit code, by its own word, where we aren't its parent. */
void ending_ask(struct worker *worker, const struct db_job *job);
/* Write it down with the attempt. last_word: type of the journal's last event, or NULL. */
int ending_tell(struct daemon *daemon, const struct worker *worker, const struct db_job *job, const char *last_word);

/* ---- verdict.c ---- */
/* Nobody works on a running job any more: read the rest of its journal, decide
 * what becomes of it and take it off the list. When that can't be done now (the
 * disk is full) it stays there, with its slot, until workers_settle can. */
void worker_settle(struct daemon *daemon, struct worker *worker);
void workers_settle(struct daemon *daemon);
/* A worker's pidfd became readable. */
void worker_ended(struct daemon *daemon, struct source *source);

/* ---- attach.c ---- */
/* After a start: find the workers of running jobs again, or decide about those
 * that are gone. */
int attach_all(struct daemon *daemon);
/* Watch a process that works on the job already. 0, or -ESRCH when it is gone. */
int attach_process(struct daemon *daemon, struct worker *worker, const struct db_job *job, pid_t pid, bool record);

#endif
