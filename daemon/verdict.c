/* A worker is gone: what becomes of its job?
 *
 * The journal's last word decides; how the process ended is only the second
 * witness, since a worker that we found again after a restart isn't our child.
 *
 *   finished                 succeeded, with its result
 *   failed, said just now    failed, with its code and message
 *   interrupted              back to the queue (or cancelled, if that was wanted)
 *   nothing                  another process works on it: watch that one
 *                            it was to be cancelled: cancelled
 *                            the journal is damaged, and a worker that had it ended
 *                            by itself all the same: failed, with the damage
 *                            it exited with 65: failed, the log says why
 *                            else it crashed: back to the queue, to go on from the
 *                            checkpoint; failed after max_attempts without a new one
 *
 * "Back to the queue" of a job that is to be cancelled ends as cancelled: the
 * database sees to that.
 *
 * A verdict that can't be read or written (disk full, too many open files) is no
 * verdict: the functions here return why, and the job waits on the list of
 * workers until it works. */
#include "daemon/daemon.h"

#include <errno.h>
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

static int job_fail(struct daemon *daemon, const char *id, const char *code, const char *message)
{
    json_t *words = json_string(message);

    /* A message may quote bytes that are no UTF-8. */
    json_auto_t *error = json_pack("{s:s, s:o}", "code", code, "message", words ? words : json_string("(unreadable)"));
    char *text = error ? json_dumps(error, JSON_COMPACT) : NULL;
    int r = text ? job_end(daemon, id, STATE_FAILED, NULL, text) : -ENOMEM;
    free(text);
    return r;
}

static int job_finished(struct daemon *daemon, const char *id, const json_t *event)
{
    json_t *result = json_object_get(event, "result");
    char *text = json_dumps(result ? result : event, JSON_COMPACT);
    int r = text ? job_end(daemon, id, STATE_SUCCEEDED, text, NULL) : -ENOMEM;

    free(text);
    return r;
}

static int job_failed(struct daemon *daemon, const char *id, const json_t *event)
{
    const char *code = json_string_value(json_object_get(event, "code"));
    const char *message = json_string_value(json_object_get(event, "message"));

    return job_fail(daemon, id, code ? code : "failed", message ? message : "the worker gave no reason");
}

static int job_interrupted(struct daemon *daemon, const char *id, const json_t *event)
{
    (void)event;
    return job_end(daemon, id, STATE_QUEUED, NULL, NULL);
}

/* The last words a worker can have. */
static const struct last_word {
    const char *type;
    bool lasting; /* counts even if it was said in an earlier attempt */
    int (*decide)(struct daemon *daemon, const char *id, const json_t *event);
} last_words[] = {
    { "finished", true, job_finished },
    { "failed", false, job_failed },
    { "interrupted", false, job_interrupted },
};

/* 1 when the journal had the last word. */
static int decided_by_journal(struct daemon *daemon, const char *id)
{
    const struct last_word *word = NULL;
    struct db_event last = { 0 };
    bool fresh = false;
    int r = db_event_last(daemon->db, id, &last, &fresh);

    if (r < 0)
        return r == -ENOENT ? 0 : r; /* it hasn't one */
    for (size_t i = 0; i < sizeof(last_words) / sizeof(last_words[0]); i++)
        if (strcmp(last_words[i].type, last.type) == 0 && (fresh || last_words[i].lasting))
            word = &last_words[i];
    json_auto_t *event = json_loads(last.fields, 0, NULL);
    free(last.fields);
    if (!word)
        return 0;
    r = word->decide(daemon, id, event);
    return r < 0 ? r : 1;
}

static int crashed(struct daemon *daemon, struct worker *worker)
{
    struct worker_end *end = &worker->end;
    char how[64] = "for an unknown reason", message[256];

    if (end->known)
        snprintf(how, sizeof(how), end->exited ? "with exit code %d" : "by signal %d", end->status);
    if (!end->deaths) { /* once, however often this verdict must be tried */
        int deaths = db_job_crashed(daemon->db, worker->id);
        if (deaths < 0)
            return deaths;
        end->deaths = deaths;
        daemon->counts.crashes++;
        log_job(LEVEL_ERROR, worker->id, "its worker died %s", how);
    }
    if (end->deaths < daemon->settings->max_attempts)
        return job_end(daemon, worker->id, STATE_QUEUED, NULL, NULL);
    snprintf(message, sizeof(message),
             "the worker died %d times without a new checkpoint, the last time %s; log.txt says more", end->deaths,
             how);
    return job_fail(daemon, worker->id, "worker_crashed", message);
}

/* A second worker was turned away by the journal's lock, or riftd died before
 * it could record one: the process that does the work is watched instead. */
static bool works_elsewhere(struct daemon *daemon, struct worker *worker, const struct db_job *job)
{
    pid_t pid = process_find(daemon->worker_path, worker->dir);

    if (pid <= 0 || attach_process(daemon, worker, job, pid, true) < 0)
        return false;
    workers_cancel(daemon);
    return true;
}

static int verdict(struct daemon *daemon, struct worker *worker)
{
    const struct worker_end *end = &worker->end;
    db_job_auto job = { 0 };
    int r = db_job_get(daemon->db, worker->id, &job);

    if (r >= 0)
        r = decided_by_journal(daemon, worker->id);
    if (r != 0 || works_elsewhere(daemon, worker, &job))
        return r;
    if (job.cancel_wanted || (end->unstarted && !end->start.code))
        return job_end(daemon, worker->id, STATE_QUEUED, NULL, NULL);
    if (end->start.code)
        return job_fail(daemon, worker->id, "not_startable", end->start.message);
    if (end->exited && end->journal.code)
        return job_fail(daemon, worker->id, "journal_damaged", end->journal.message);
    if (end->exited && end->status == WORKER_BAD_INPUT)
        return job_fail(daemon, worker->id, "bad_input", "the worker refused its spec or data; log.txt says why");
    return crashed(daemon, worker);
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

    /* ECHILD: found again after a restart, so its parent is another. */
    if (waitid(P_PIDFD, (id_t)source->fd, &info, WEXITED) == 0) {
        worker->end.known = true;
        worker->end.exited = info.si_code == CLD_EXITED;
        worker->end.status = info.si_status;
    }
    loop_remove(daemon, source);
    worker->pid = 0;
    worker_settle(daemon, worker);
}
