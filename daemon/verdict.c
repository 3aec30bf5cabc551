/* A worker is gone: what becomes of its job?
 *
 * The journal's last word decides; how the process ended is only the second
 * witness, since a worker that we found again after a restart isn't our child.
 *
 *   finished                 succeeded, with its result
 *   failed, said just now    failed, with its code and message
 *   interrupted              back to the queue (or cancelled, if that was wanted)
 *   nothing                  another process works on it: watch that one
 *                            it exited with 65: failed, the log says why
 *                            else it crashed: back to the queue, to go on from the
 *                            checkpoint; failed after max_attempts without a new one
 *
 * "Back to the queue" of a job that is to be cancelled ends as cancelled: the
 * database sees to that. */
#include "daemon/daemon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* The results of a parent's steps, with this one's newest. New references. */
static int step_results(struct daemon *daemon, const struct db_job *step, const char *result,
                        json_t *ret_results[RIFT_STEPS])
{
    struct db_job *steps = NULL;
    int count = db_job_steps(daemon->db, step->parent, &steps);

    for (int i = 0; i < count; i++) {
        const char *text = steps[i].step == step->step ? result : steps[i].result;
        if (steps[i].step >= 0 && steps[i].step < RIFT_STEPS && text)
            ret_results[steps[i].step] = json_loads(text, 0, NULL);
    }
    if (count >= 0)
        db_jobs_free(steps, count);
    return count;
}

/* Before a step ends: the parent's before/after table, as far as it is known
 * then. Before and not after, so that a parent that has succeeded has its
 * whole table. */
static void parent_result(struct daemon *daemon, const struct db_job *step, const char *result)
{
    json_t *results[RIFT_STEPS] = { 0 };
    db_job_auto parent = { 0 };

    if (db_job_get(daemon->db, step->parent, &parent) < 0 || step_results(daemon, step, result, results) < 0) {
        log_error("job %s: its steps cannot be read: %s", step->parent, db_errmsg(daemon->db));
        return;
    }
    json_auto_t *spec = json_loads(parent.spec, 0, NULL);
    const char *protocol = json_string_value(json_object_get(spec, "protocol"));
    json_auto_t *table = rift_table((const json_t *const *)results, protocol ? protocol : "validation");
    char *text = table ? json_dumps(table, JSON_COMPACT) : NULL;
    if (!text || db_job_set_result(daemon->db, parent.id, text) < 0)
        log_error("job %s: its table cannot be stored: %s", parent.id, text ? db_errmsg(daemon->db) : "out of memory");
    free(text);
    for (int i = 0; i < RIFT_STEPS; i++)
        json_decref(results[i]);
}

/* Move the job and tell everybody. result is JSON text or NULL; error is taken. */
static void job_end(struct daemon *daemon, const char *id, enum job_state to, const char *result, json_t *error)
{
    char *error_text = error ? json_dumps(error, JSON_COMPACT) : NULL;
    db_job_auto job = { 0 };

    json_decref(error);
    if (db_job_get(daemon->db, id, &job) >= 0 && *job.parent)
        parent_result(daemon, &job, result);
    db_job_done(&job);
    if (db_job_move(daemon->db, id, to, result, error_text, clock_ms()) < 0)
        log_error("job %s: cannot become %s: %s", id, job_state_names[to], db_errmsg(daemon->db));
    else if (db_job_get(daemon->db, id, &job) >= 0)
        log_info("job %s: %s%s%s", id, job_state_names[job.state], error_text ? ": " : "",
                 error_text ? error_text : "");
    free(error_text);
    api_news(daemon->api);
}

static json_t *error_make(const char *code, const char *message)
{
    json_t *text = json_string(message);

    /* A message may quote bytes that are no UTF-8. */
    return json_pack("{s:s, s:o}", "code", code, "message", text ? text : json_string("(unreadable)"));
}

void job_fail(struct daemon *daemon, const char *id, const char *code, const char *message)
{
    job_end(daemon, id, STATE_FAILED, NULL, error_make(code, message));
}

static void job_finished(struct daemon *daemon, const char *id, const json_t *event)
{
    json_t *result = json_object_get(event, "result");
    char *text = json_dumps(result ? result : event, JSON_COMPACT);

    job_end(daemon, id, STATE_SUCCEEDED, text, NULL);
    free(text);
}

static void job_failed(struct daemon *daemon, const char *id, const json_t *event)
{
    const char *code = json_string_value(json_object_get(event, "code"));
    const char *message = json_string_value(json_object_get(event, "message"));

    job_fail(daemon, id, code ? code : "failed", message ? message : "the worker gave no reason");
}

static void job_interrupted(struct daemon *daemon, const char *id, const json_t *event)
{
    (void)event;
    job_end(daemon, id, STATE_QUEUED, NULL, NULL);
}

/* The last words a worker can have. */
static const struct last_word {
    const char *type;
    bool lasting; /* counts even if it was said in an earlier attempt */
    void (*decide)(struct daemon *daemon, const char *id, const json_t *event);
} last_words[] = {
    { "finished", true, job_finished },
    { "failed", false, job_failed },
    { "interrupted", false, job_interrupted },
};

/* True when the journal had the last word. */
static bool decided_by_journal(struct daemon *daemon, const char *id)
{
    const struct last_word *word = NULL;
    struct db_event last = { 0 };
    bool fresh = false;

    if (db_event_last(daemon->db, id, &last, &fresh) < 0)
        return false;
    for (size_t i = 0; i < sizeof(last_words) / sizeof(last_words[0]); i++)
        if (strcmp(last_words[i].type, last.type) == 0 && (fresh || last_words[i].lasting))
            word = &last_words[i];
    json_auto_t *event = json_loads(last.fields, 0, NULL);
    free(last.fields);
    if (word)
        word->decide(daemon, id, event);
    return word;
}

static void crashed(struct daemon *daemon, const char *id, const struct worker_end *end)
{
    char how[64] = "for an unknown reason", message[256];
    int times = end->unstarted ? 0 : db_job_crashed(daemon->db, id);

    if (end->known)
        snprintf(how, sizeof(how), end->exited ? "with exit code %d" : "by signal %d", end->status);
    if (!end->unstarted)
        log_error("job %s: its worker died %s", id, how);
    snprintf(message, sizeof(message),
             "the worker died %d times without a new checkpoint, the last time %s; log.txt says more", times, how);
    if (times >= daemon->options.max_attempts)
        job_fail(daemon, id, "worker_crashed", message);
    else
        job_end(daemon, id, STATE_QUEUED, NULL, NULL);
}

/* A second worker was turned away by the journal's lock, or riftd died before
 * it could record one: the process that does the work is watched instead. */
static bool works_elsewhere(struct daemon *daemon, const char *id)
{
    db_job_auto job = { 0 };
    char dir[PATH_MAX];

    if (job_dir(daemon, id, dir) < 0 || db_job_get(daemon->db, id, &job) < 0)
        return false;
    pid_t pid = process_find(dir);
    return pid > 0 && attach_process(daemon, &job, pid, true) >= 0;
}

void verdict(struct daemon *daemon, const char *id, const struct worker_end *end)
{
    if (decided_by_journal(daemon, id) || works_elsewhere(daemon, id))
        return;
    if (end->journal == -ESTALE) /* shorter than what we have read of it: not this job's any more */
        job_fail(daemon, id, "journal_damaged", end->journal_message);
    else if (end->known && end->exited && end->status == WORKER_BAD_INPUT)
        job_fail(daemon, id, "bad_input", "the worker refused its spec or data; log.txt says why");
    else
        crashed(daemon, id, end);
}

void worker_ended(struct daemon *daemon, struct source *source)
{
    struct worker *worker = (struct worker *)source;
    struct fault why = { 0 };
    struct worker_end end = { .journal_message = why.message };
    siginfo_t info = { 0 };
    char id[DB_ID_SIZE];

    /* ECHILD: found again after a restart, so its parent is another. */
    if (waitid(P_PIDFD, (id_t)source->fd, &info, WEXITED) == 0) {
        end.known = true;
        end.exited = info.si_code == CLD_EXITED;
        end.status = info.si_status;
    }
    end.journal = journal_ingest(daemon, worker->id, worker->dir, &worker->offset, &why);
    memcpy(id, worker->id, sizeof(id));
    worker_remove(daemon, worker);
    verdict(daemon, id, &end);
}
