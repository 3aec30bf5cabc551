/* A worker is gone: what becomes of its job?
 *
 * The journal's last word decides; how the process ended is only the second
 * witness: a worker that we found again after a restart, or that a launcher
 * started, isn't our child, and only a file of its own says how it exited.
 *
 *   finished                 succeeded, with its result
 *   failed, said just now    failed, with its code and message; a full disk or a lost
 *                            device is as a crash
 *   interrupted              its time is up: failed (time_limit); else back to the
 *                            queue (or cancelled, if that was wanted)
 *   nothing                  another process works on it: watch that one
 *                            it was to be cancelled: cancelled
 *                            the journal is damaged, and a worker that had it ended
 *                            by itself all the same: failed, with the damage
 *                            it exited with 65: failed, the log says why
 *                            its time is up: failed (time_limit)
 *                            it was to stop, and died of that: back to the queue
 *                            else it crashed: back to the queue, after a wait that
 *                            doubles each time, to go on from the checkpoint; failed
 *                            after max-attempts without a new one
 *
 * "Back to the queue" of a job that is to be cancelled ends as cancelled: the
 * database sees to that.
 *
 * A verdict that can't be read or written (disk full, too many open files) is no
 * verdict: the functions here return why, and the job waits on the list of
 * workers until it works. */
#include "daemon/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { SETTLE_PAUSE_MS = 1000 };

/* Move the job and tell everybody. result and error are JSON texts or NULL. */
static int job_end(struct daemon *daemon, const char *id, enum job_state to, const char *result, const char *error)
{
    db_job_auto job = { 0 };
    int r = db_job_get(daemon->db, id, &job);

    if (r >= 0 && *job.parent)
        r = parents_tell(daemon, &job, result);
    if (r >= 0)
        r = db_job_move(daemon->db, id, to, result, error, clock_ms());
    if (r < 0)
        return r;
    db_job_done(&job);
    if (db_job_get(daemon->db, id, &job) >= 0) {
        metrics_ended(daemon, &job);
        log_job(LEVEL_INFO, id, "%s%s%s", job_state_names[job.state], error ? ": " : "", error ? error : "");
    }
    api_news(daemon->api);
    webhooks_poke(daemon);
    return 0;
}

/* {"code","message"} as text, to free(). A message may quote bytes that are no UTF-8, or end within a character. */
static char *failure_text(const char *code, const char *message)
{
    struct fault clean;

    fault_set(&clean, 0, "%s", message);
    json_auto_t *failure = json_pack("{s:s, s:s}", "code", code, "message", clean.message);
    return failure ? json_dumps(failure, JSON_COMPACT) : NULL;
}

static int job_fail(struct daemon *daemon, const char *id, const char *code, const char *message)
{
    char *text = failure_text(code, message);
    int r = text ? job_end(daemon, id, STATE_FAILED, NULL, text) : -ENOMEM;

    free(text);
    return r;
}

/* Back to the queue, not to be started for a while. */
static int job_postpone(struct daemon *daemon, const char *id, int64_t delay_ms, const char *code, const char *message)
{
    char *text = failure_text(code, message);
    int64_t now_ms = clock_ms();
    int r = text ? db_job_postpone(daemon->db, id, now_ms + delay_ms, text, now_ms) : -ENOMEM;

    free(text);
    if (r < 0)
        return r;
    log_job(LEVEL_INFO, id, "queued again, in %lld ms: %s", (long long)delay_ms, message);
    api_news(daemon->api);
    webhooks_poke(daemon);
    return 0;
}

/* Who works on what, as it stands now. */
struct cause {
    struct worker *worker;
    const struct db_job *job;
};

/* Has the job used up its time? Also known to a riftd that didn't see it happen. */
static bool time_is_up(const struct cause *cause)
{
    const struct db_job *job = cause->job;
    int64_t runs_ms = job->attempt_ms ? monotonic_ms() - cause->worker->began_ms : 0;

    return cause->worker->stop == STOP_LIMIT || (job->time_limit_ms && job->ran_ms + runs_ms >= job->time_limit_ms);
}

static int time_limit_fail(struct daemon *daemon, const struct cause *cause)
{
    char message[160];

    snprintf(message, sizeof(message),
             "it ran for its time limit of %lld s; a retry gives it as much again and goes on from its checkpoint",
             (long long)cause->job->time_limit_ms / 1000);
    return job_fail(daemon, cause->job->id, "time_limit", message);
}

/* What the end says about the device; once, however often this verdict must be tried. */
static void device_judge(struct daemon *daemon, struct worker *worker, bool lost)
{
    if (!worker->slot || worker->end.judged)
        return;
    worker->end.judged = true;
    if (lost)
        device_lost(daemon, worker->slot->on, "a worker lost it");
    else
        device_works(daemon, worker->slot->on);
}

/* The machine failed, not the job: run it again later, later each time, unless it
 * happens too often without a new checkpoint. */
static int machine_failed(struct daemon *daemon, const struct cause *cause, const char *code, const char *message)
{
    struct worker *worker = cause->worker;
    int64_t delay_ms = daemon->settings->retry_delay_s * 1000;
    struct fault longer;

    if (!worker->end.deaths) { /* once, however often this verdict must be tried */
        int deaths = db_job_crashed(daemon->db, worker->id);
        if (deaths < 0)
            return deaths;
        worker->end.deaths = deaths;
        daemon->counts.crashes++;
        log_job(LEVEL_ERROR, worker->id, "%s", message);
    }
    if (worker->end.deaths >= daemon->settings->max_attempts) {
        fault_set(&longer, -EIO, "it failed %d times without a new checkpoint, the last time so: %s",
                  worker->end.deaths, message);
        return job_fail(daemon, worker->id, code, longer.message);
    }
    for (int i = 1; i < worker->end.deaths && delay_ms < JOB_DELAY_MOST_MS; i++)
        delay_ms *= 2;
    return job_postpone(daemon, worker->id, delay_ms < JOB_DELAY_MOST_MS ? delay_ms : JOB_DELAY_MOST_MS, code, message);
}

static int job_finished(struct daemon *daemon, const struct cause *cause, const json_t *event)
{
    json_t *result = json_object_get(event, "result");
    char *text = json_dumps(result ? result : event, JSON_COMPACT);

    device_judge(daemon, cause->worker, false);
    int r = text ? job_end(daemon, cause->job->id, STATE_SUCCEEDED, text, NULL) : -ENOMEM;

    free(text);
    return r;
}

/* What a worker may say that isn't the job's fault. */
static const char *const machine_codes[] = { "no_space", "device_lost" };

static int job_failed(struct daemon *daemon, const struct cause *cause, const json_t *event)
{
    const char *code = json_string_value(json_object_get(event, "code"));
    const char *message = json_string_value(json_object_get(event, "message"));

    if (code && strcmp(code, "device_lost") == 0)
        device_judge(daemon, cause->worker, true);
    for (size_t i = 0; code && i < sizeof(machine_codes) / sizeof(machine_codes[0]); i++)
        if (strcmp(code, machine_codes[i]) == 0)
            return machine_failed(daemon, cause, code, message ? message : code);
    return job_fail(daemon, cause->job->id, code ? code : "failed", message ? message : "the worker gave no reason");
}

static int job_interrupted(struct daemon *daemon, const struct cause *cause, const json_t *event)
{
    (void)event;
    device_judge(daemon, cause->worker, false);
    if (!cause->job->cancel_wanted && time_is_up(cause))
        return time_limit_fail(daemon, cause);
    return job_end(daemon, cause->job->id, STATE_QUEUED, NULL, NULL);
}

/* The last words a worker can have. */
static const struct last_word {
    const char *type;
    bool lasting; /* counts even if it was said in an earlier attempt */
    int (*decide)(struct daemon *daemon, const struct cause *cause, const json_t *event);
} last_words[] = {
    { "finished", true, job_finished },
    { "failed", false, job_failed },
    { "interrupted", false, job_interrupted },
};

/* 1 when the journal had the last word. */
static int decided_by_journal(struct daemon *daemon, const struct cause *cause)
{
    const char *id = cause->job->id;
    const struct last_word *word = NULL;
    struct db_event last = { 0 };
    bool fresh = false;
    int r = db_event_last(daemon->db, id, &last, &fresh);

    if (r < 0)
        return r == -ENOENT ? 0 : r; /* it hasn't one */
    for (size_t i = 0; i < sizeof(last_words) / sizeof(last_words[0]); i++)
        if (strcmp(last_words[i].type, last.type) == 0 && (fresh || last_words[i].lasting))
            word = &last_words[i];
    json_auto_t *event = text_read(last.fields);
    free(last.fields);
    if (!word)
        return 0;
    if (!event) /* it was JSON when it was stored: there is no memory for it */
        return -ENOMEM;
    r = ending_tell(daemon, cause->worker, cause->job, word->type);
    if (r >= 0)
        r = word->decide(daemon, cause, event);
    return r < 0 ? r : 1;
}

static int crashed(struct daemon *daemon, const struct cause *cause)
{
    const struct worker_end *end = &cause->worker->end;
    char message[300] = "its worker died for an unknown reason";

    if (end->journal.code)
        snprintf(message, sizeof(message), "its journal can't be read: %.250s", end->journal.message);
    else if (end->known)
        snprintf(message, sizeof(message),
                 end->exited ? "its worker exited with %d and no last word; log.txt may say more"
                             : "its worker was killed by signal %d",
                 end->status);
    return machine_failed(daemon, cause, "worker_crashed", message);
}

/* A second worker was turned away by the journal's lock, or riftd died before
 * it could record one: the process that does the work is watched instead. */
static bool works_elsewhere(struct daemon *daemon, struct worker *worker, const struct db_job *job)
{
    pid_t pid = process_find(daemon->worker_path, worker->dir);

    if (pid <= 0 || attach_process(daemon, worker, job, pid, true) < 0)
        return false;
    workers_review(daemon);
    return true;
}

/* It was asked to stop and died of that: it was deaf, and killed for it, or hadn't yet come so
 * far as to hear. Of one that isn't our child nobody knows better. */
static bool died_of_stopping(const struct worker *worker)
{
    const struct worker_end *end = &worker->end;

    return worker->stop && worker->kill_at_ms &&
           (worker->kill_at_ms == INT64_MAX || !end->known || (!end->exited && end->status == SIGTERM));
}

/* The journal has no last word. */
static int verdict_without_word(struct daemon *daemon, const struct cause *cause)
{
    const struct worker_end *end = &cause->worker->end;
    const char *id = cause->job->id;
    int r = end->unstarted ? 0 : ending_tell(daemon, cause->worker, cause->job, NULL);

    if (r < 0)
        return r;
    if (cause->job->cancel_wanted)
        return job_end(daemon, id, STATE_QUEUED, NULL, NULL);
    if (end->put_off)
        return job_postpone(daemon, id, cause->worker->slot->rest_ms, "start_failed", end->start.message);
    if (end->start.code)
        return job_fail(daemon, id, "not_startable", end->start.message);
    if (end->unstarted)
        return job_end(daemon, id, STATE_QUEUED, NULL, NULL);
    if (end->exited && end->journal.code)
        return job_fail(daemon, id, "journal_damaged", end->journal.message);
    if (end->exited && end->status == WORKER_BAD_INPUT)
        return job_fail(daemon, id, "bad_input", "the worker refused its spec or data; log.txt says why");
    if (end->exited && end->status == WORKER_DEVICE_LOST)
        device_judge(daemon, cause->worker, true);
    if (time_is_up(cause))
        return time_limit_fail(daemon, cause);
    if (died_of_stopping(cause->worker))
        return job_end(daemon, id, STATE_QUEUED, NULL, NULL);
    return crashed(daemon, cause);
}

static int verdict(struct daemon *daemon, struct worker *worker)
{
    db_job_auto job = { 0 };
    struct cause cause = { worker, &job };
    int r = db_job_get(daemon->db, worker->id, &job);

    if (r >= 0 && !worker->end.seen)
        r = ending_date(daemon, worker, &job);
    if (r >= 0) {
        ending_ask(worker, &job);
        r = decided_by_journal(daemon, &cause);
    }
    if (r != 0 || works_elsewhere(daemon, worker, &job))
        return r;
    return verdict_without_word(daemon, &cause);
}

void worker_settle(struct daemon *daemon, struct worker *worker)
{
    struct fault why = { 0 };
    int r = journal_ingest(daemon, worker->id, worker->dir, &worker->offset, &why);

    worker->end.journal = r == -EBADMSG ? why : (struct fault){ 0 };
    if (r >= 0 || r == -EBADMSG) {
        r = verdict(daemon, worker);
        if (r < 0)
            fault_set(&why, r, "%s", r == -ENOMEM ? "out of memory" : db_errmsg(daemon->db));
    }
    if (r < 0 && !worker->settle_at_ms)
        log_job(LEVEL_ERROR, worker->id, "cannot be decided: %s", why.message);
    worker->settle_at_ms = 0;
    if (r < 0 && r != -ENOENT && r != -ESTALE) /* somebody took the job away, or moved it, by hand */
        worker->settle_at_ms = monotonic_ms() + SETTLE_PAUSE_MS;
    else if (!worker->pid)
        worker_remove(daemon, worker);
}

void workers_settle(struct daemon *daemon)
{
    struct worker *next;

    for (struct worker *worker = daemon->workers; worker; worker = next) {
        next = worker->next;
        if (!worker->pid && monotonic_ms() >= worker->settle_at_ms)
            worker_settle(daemon, worker);
    }
}

void worker_ended(struct daemon *daemon, struct source *source)
{
    struct worker *worker = (struct worker *)source;
    siginfo_t info = { 0 };

    worker->end.seen = true;
    /* ECHILD: found again after a restart, or started by the launcher: its parent is another. */
    if (waitid(P_PIDFD, (id_t)source->fd, &info, WEXITED) == 0) {
        worker->end.known = true;
        worker->end.exited = info.si_code == CLD_EXITED;
        worker->end.status = info.si_status;
    }
    loop_remove(daemon, source);
    worker->pid = 0;
    worker_settle(daemon, worker);
}
