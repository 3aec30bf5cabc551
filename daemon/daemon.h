/* What do the files of daemon/ share?
 *
 * One struct daemon, one thread that runs the loop (loop.c) and everything in
 * this header but the api callbacks. HTTP threads touch only what never changes
 * after the start (slots, data sets), the database, and the bell. */
#ifndef RIFT_DAEMON_DAEMON_H
#define RIFT_DAEMON_DAEMON_H

#include "api/api.h"
#include "db/db.h"
#include "job/job.h"

#include <limits.h>

/* ---- options.c ---- */

enum { DATASETS_MAX = 64, SLOTS_MAX = 256 };

struct options {
    const char *state_dir;
    char address[64]; /* where to listen */
    uint16_t port;
    const char *socket_path; /* or NULL */
    const char *slots;       /* text of --slots, or NULL */
    const char *worker;      /* path of rift-worker */
    const char *web_dir;     /* or NULL */
    const char *openapi;     /* or NULL */
    const char *datasets[DATASETS_MAX]; /* NAME=FORMAT:PATH */
    int dataset_count;
    int grace_s;      /* between SIGTERM and SIGKILL of a cancelled worker */
    int max_attempts; /* deaths of a worker without a new checkpoint */
    bool done;        /* --help or --version was answered */
};
/* 0, or -EINVAL after saying why on stderr. */
int options_read(int argc, char **argv, struct options *ret);

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
};

/* A process that works on a job, our child or one that we found again. */
struct worker {
    struct source exit; /* its pidfd; first, so that a source is its worker */
    struct worker *next;
    struct slot *slot; /* NULL: its slot is gone since the last start */
    char id[DB_ID_SIZE];
    char dir[PATH_MAX];
    pid_t pid;
    int64_t offset;      /* of the journal, ingested so far */
    int64_t kill_at_ms;  /* when SIGTERM turns into SIGKILL, 0: not asked to stop */
    bool journal_bad;    /* was said already */
};

struct daemon {
    struct options options;
    char jobs_dir[PATH_MAX];
    char worker_path[PATH_MAX]; /* absolute */
    char boot_id[DB_ID_SIZE];
    struct db *db;
    struct api *api;
    int lock_fd; /* STATE/riftd.lock */
    int epoll_fd;
    struct source signals, bell;
    bool stopping;
    struct slot slots[SLOTS_MAX];
    int slot_count;
    struct worker *workers;
    json_t *device_infos; /* what `rift-worker devices` said, an array */
    json_t *datasets;     /* [{"name","format","path"}] */
};

/* ---- log.c ---- */
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- loop.c ---- */
int64_t clock_ms(void); /* since the epoch */
int loop_open(struct daemon *daemon);
void loop_close(struct daemon *daemon);
int loop_add(struct daemon *daemon, struct source *source);
void loop_remove(struct daemon *daemon, struct source *source);
/* Any thread: run the scheduler and look for cancelled jobs. */
void loop_bell(struct daemon *daemon);
int loop_run(struct daemon *daemon); /* until SIGTERM or SIGINT */

/* ---- devices.c, datasets.c: fixed after the start ---- */
int slots_open(struct daemon *daemon, struct fault *why);
json_t *devices_json(struct daemon *daemon);
/* The slot that a job asking for `device` could run in exists. */
bool slots_fit(const struct daemon *daemon, const char *device);
int datasets_open(struct daemon *daemon, struct fault *why);
/* Borrowed, or NULL. */
const json_t *datasets_find(const struct daemon *daemon, const char *name);

/* ---- scheduler.c ---- */
/* Give runnable jobs to free slots. */
void schedule(struct daemon *daemon);

/* ---- workers.c: the list, and how one is stopped ---- */
/* Watch this process as the worker of the job. slot may be NULL. */
int worker_add(struct daemon *daemon, const struct db_job *job, pid_t pid, int pidfd, struct slot *slot);
void worker_remove(struct daemon *daemon, struct worker *worker);
/* Stop workers of jobs that somebody wants cancelled; kill those whose grace is over. */
void workers_cancel(struct daemon *daemon);
void workers_kill_late(struct daemon *daemon);
/* Path of a job's directory. */
int job_dir(const struct daemon *daemon, const char *id, char ret[PATH_MAX]);

/* ---- executor_local.c ---- */
/* Write the job directory, start `rift-worker run DIR` and record it. */
int executor_start(struct daemon *daemon, const struct db_job *job, struct slot *slot, struct fault *why);

/* ---- resolve.c ---- */
/* A stored spec as the worker reads it: references and data set names become
 * paths seen from the job directory, auto becomes the slot's device. New
 * reference in *ret. */
int spec_resolve(struct daemon *daemon, const struct db_job *job, const char *device, json_t **ret, struct fault *why);

/* ---- process.c ---- */
int boot_id_read(char ret[DB_ID_SIZE]);
/* /proc/PID/stat field 22: with the boot's id it tells one process from a later one of the same number. */
int process_start_time(pid_t pid, int64_t *ret);
/* A live process whose command line ends in `run DIR`, or 0. */
pid_t process_find(const char *dir);

/* ---- journal.c ---- */
/* Ingest what the worker wrote since *offset. The number of events; -EBADMSG
 * and -ESTALE as journal_read has them. A missing journal is 0. */
int journal_ingest(struct daemon *daemon, const char *id, const char *dir, int64_t *offset, struct fault *why);
void journals_tail(struct daemon *daemon);

/* ---- verdict.c ---- */
/* The worker of a running job is gone and its journal is ingested: what
 * becomes of the job? wait_status is waitid's si_code and si_status. */
struct worker_end {
    bool known;     /* we were its parent and saw its end */
    bool exited;    /* by itself: status is the exit code; else a signal */
    int status;
    bool unstarted; /* riftd died before it could record a worker */
    int journal;    /* what ingesting the rest returned */
    const char *journal_message;
};
void verdict(struct daemon *daemon, const char *id, const struct worker_end *end);
/* The running job has failed for a reason of ours. */
void job_fail(struct daemon *daemon, const char *id, const char *code, const char *message);
/* A worker's pidfd became readable. */
void worker_ended(struct daemon *daemon, struct source *source);

/* ---- attach.c ---- */
/* After a start: find the workers of running jobs again, or decide about those
 * that are gone. */
int attach_all(struct daemon *daemon);
/* Watch a process that works on the job already. 0, or -ESRCH when it is gone. */
int attach_process(struct daemon *daemon, const struct db_job *job, pid_t pid, bool record);

#endif
