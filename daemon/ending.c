/* How did a worker end, and how long had it run?
 *
 * The witnesses: we, who were its parent; its own file `exit`, where we weren't;
 * its journal's last word; and why it was asked to stop, which only the riftd
 * knows that asked. What is found is written down for people who ask what became
 * of each attempt; verdict.c decides what becomes of the job. */
#include "daemon/daemon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Nobody saw the worker's end: what it wrote last says until when it ran, so that time
 * in which riftd or the machine was off is nobody's. It says so by a clock that may have
 * been set meanwhile: it ran for as long as riftd saw it at least, and since it was
 * claimed at most. */
int ending_date(struct daemon *daemon, const struct worker *worker, struct db_job *job)
{
    bool this_boot = job->attempt_steady_ms && strcmp(job->boot_id, daemon->boot_id) == 0;
    int64_t ran_ms = 0, most_ms = this_boot ? monotonic_ms() - job->attempt_steady_ms : job->attempt_ran_ms;
    struct db_event last = { 0 };
    bool fresh = false;

    if (!job->attempt_ms || process_find(daemon->worker_path, worker->dir) > 0)
        return 0; /* it is accounted for, or goes on */
    int r = db_event_last(daemon->db, worker->id, &last, &fresh);
    free(last.fields);
    if (r < 0 && r != -ENOENT)
        return r;
    if (r >= 0 && fresh)
        ran_ms = last.time_ms - job->attempt_ms;
    if (ran_ms < job->attempt_ran_ms)
        ran_ms = job->attempt_ran_ms;
    if (ran_ms > most_ms)
        ran_ms = most_ms;
    r = db_job_attempt_end(daemon->db, worker->id, ran_ms, clock_ms());
    if (r < 0)
        return r;
    job->ran_ms += ran_ms;
    job->attempt_ms = 0;
    return 0;
}

/* Who isn't its parent (riftd came after it, or a launcher started it) is told by the worker itself, if it could. */
void ending_ask(struct worker *worker, const struct db_job *job)
{
    int status;

    if (worker->end.known || !job->pid || jobdir_exit_read(worker->dir, (pid_t)job->pid, &status) < 0)
        return;
    worker->end.known = worker->end.exited = true;
    worker->end.status = status;
}

/* In one word. last_word: the journal's, or NULL. */
static const char *how_ended(const struct worker *worker, const struct db_job *job, const char *last_word)
{
    static const char *const stopped[] = {
        [STOP_CANCEL] = "cancelled", [STOP_HOLD] = "held", [STOP_PREEMPT] = "preempted", [STOP_LIMIT] = "time_limit"
    };
    bool asked = worker->stop || job->cancel_wanted || job->held;

    if (last_word && strcmp(last_word, "interrupted") != 0)
        return last_word; /* finished, failed */
    if (worker->stop)
        return stopped[worker->stop];
    if (asked)
        return job->cancel_wanted ? "cancelled" : "held";
    if (last_word)
        return last_word;
    return worker->end.exited && worker->end.status == WORKER_BAD_INPUT ? "failed" : "crashed";
}

int ending_tell(struct daemon *daemon, const struct worker *worker, const struct db_job *job, const char *last_word)
{
    const struct worker_end *end = &worker->end;
    struct db_attempt_end told = { how_ended(worker, job, last_word), -1, 0 };

    if (end->known && end->exited)
        told.exit_code = end->status;
    else if (end->known)
        told.signal = end->status;
    return db_attempt_tell(daemon->db, job->id, &told);
}
