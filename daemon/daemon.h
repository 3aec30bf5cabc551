/* What do the files of daemon/ share?
 *
 * One struct daemon, one thread that runs the loop (loop.c) and everything in
 * this header but the api callbacks. HTTP threads touch only what never changes
 * after the start (slots), the settings they find (reload.c), data sets under
 * their lock, the database, and the bell. */
#ifndef RIFT_DAEMON_DAEMON_H
#define RIFT_DAEMON_DAEMON_H

#include "api/api.h"
#include "daemon/log.h"
#include "daemon/settings.h"
#include "db/db.h"
#include "job/job.h"

#include <limits.h>
#include <pthread.h>

enum { SLOTS_MAX = 256, LENT_MAX = 128 };

/* ---- the daemon ---- */

struct daemon;

/* Something the loop waits for; ready is called when it can be read. */
struct source {
    int fd;
    void (*ready)(struct daemon *daemon, struct source *source);
};

/* One place where a job can run. */
struct slot {
    char device[64]; /* "cpu", "cuda:0" */
    struct worker *worker; /* or NULL */
    _Atomic bool busy;     /* there is a worker; for other threads */
    int rest_ms;           /* after a start that failed; 0 after one that didn't */
    int64_t rest_until_ms; /* monotonic */
};

/* How a worker came to its end, as far as we know. */
struct worker_end {
    bool known;           /* we were its parent and saw its end */
    bool exited;          /* known, and by itself: status is the exit code; else a signal */
    int status;
    bool unstarted;       /* there is no worker that we know of */
    int deaths;           /* without a new checkpoint, 0: not counted yet */
    struct fault start;   /* why the job can't be started at all, or code 0 */
    struct fault journal; /* why the rest of its journal can't be read, or code 0 */
};

/* A process that works on a running job, our child or one that we found again;
 * without one (pid 0) the job waits here for its verdict. */
struct worker {
    struct source exit; /* its pidfd or -1; first, so that a source is its worker */
    struct worker *next;
    struct slot *slot; /* NULL: its slot is gone since the last start */
    char id[DB_ID_SIZE];
    char dir[PATH_MAX];
    pid_t pid;
    int64_t offset;       /* of the journal, ingested so far */
    int64_t kill_at_ms;   /* monotonic: when SIGTERM turns into SIGKILL, 0: not asked to stop */
    int64_t settle_at_ms; /* monotonic: when a verdict that failed is tried again, 0: none has */
    bool journal_bad;     /* was said already */
    struct worker_end end;
};

struct daemon {
    struct setting_sources sources; /* of settings, for SIGHUP */
    /* Read it once and use what you got: SIGHUP puts another in its place. What
     * it points at stays as it is and is there to the end. */
    const struct settings *_Atomic settings;
    const char *lent[LENT_MAX]; /* lists of the settings that api/ reads */
    char jobs_dir[PATH_MAX];
    char models_dir[PATH_MAX];
    char backups_dir[PATH_MAX];
    char worker_path[PATH_MAX]; /* absolute */
    char boot_id[DB_ID_SIZE];
    struct db *db;
    struct api *api;
    struct webhooks *webhooks;
    struct {
        _Atomic uint64_t starts, crashes;
        struct histogram waits, runs[3]; /* runs: succeeded, failed, cancelled */
    } counts; /* metrics.c's */
    int lock_fd; /* STATE/riftd.lock */
    int epoll_fd;
    struct source signals, bell, watchdog;
    int tcp_fd, local_fd, health_fd; /* from systemd, 0: none */
    bool stopping;
    struct slot slots[SLOTS_MAX];
    int slot_count;
    struct worker *workers;
    json_t *device_infos; /* what `rift-worker devices` said, an array */
    pthread_mutex_t datasets_lock;
    json_t *datasets;     /* [{"name","format","path"}] */
};

/* ---- loop.c ---- */
int64_t clock_ms(void);     /* since the epoch */
int64_t monotonic_ms(void); /* the time that only goes forward, for intervals */
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

/* ---- devices.c: fixed after the start ---- */
int slots_open(struct daemon *daemon, struct fault *why);
json_t *devices_json(struct daemon *daemon);

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

/* ---- scheduler.c ---- */
/* Give runnable jobs to free slots. True when a slot rests after a failure and
 * wants to be asked again soon. */
bool schedule(struct daemon *daemon);

/* ---- workers.c: the list, and how one is stopped ---- */
/* Put a running job on the list, with no process yet. slot may be NULL. NULL: no memory. */
struct worker *worker_add(struct daemon *daemon, const struct db_job *job, struct slot *slot);
/* This process works on it. Takes pidfd. */
int worker_watch(struct daemon *daemon, struct worker *worker, pid_t pid, int pidfd);
void worker_remove(struct daemon *daemon, struct worker *worker);
/* Stop workers of jobs that somebody wants cancelled; kill those whose grace is over. */
void workers_cancel(struct daemon *daemon);
void workers_kill_late(struct daemon *daemon);
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
