/* What does a job look like from outside?
 *
 * Lists have the summary; one job has its spec, steps, dependencies and place
 * in the queue besides. Unknown and not-yet are null, never absent. */
#include "api/exchange.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { USERS_MAX = 100 }; /* jobs that are told to use one */

json_t *time_json(int64_t ms)
{
    char text[40];
    time_t seconds = (time_t)(ms / 1000);
    struct tm utc;

    if (ms <= 0 || !gmtime_r(&seconds, &utc))
        return json_null();
    size_t n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text + n, sizeof(text) - n, ".%03dZ", (int)(ms % 1000));
    return json_string(text);
}

json_t *number_json(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *text_json(const char *text)
{
    json_t *json = text_read(text);

    return json ? json : json_null();
}

/* The newest progress event, without the journal's own members. */
static json_t *progress_json(const char *text)
{
    json_t *progress = text_json(text);

    json_object_del(progress, "seq");
    json_object_del(progress, "type");
    json_object_del(progress, "time_ms");
    return progress;
}

static json_t *string_or_null(const char *text)
{
    return *text ? json_string(text) : json_null();
}

static json_t *links_json(const struct db_job *job)
{
    static const char *const names[] = { "events",      "log",       "metrics", "modules", "interpolation",
                                         "evaluations", "artifacts", "report",  "table" };
    int kind = job_kind_find(job->kind);
    size_t count = sizeof(names) / sizeof(names[0]) - (kind != JOB_RIFT && kind != JOB_SWEEP); /* no table */
    char url[128];
    json_t *links = json_object();

    snprintf(url, sizeof(url), "/v1/jobs/%s", job->id);
    json_object_set_new(links, "self", json_string(url));
    for (size_t i = 0; i < count; i++) {
        snprintf(url, sizeof(url), "/v1/jobs/%s/%s", job->id, names[i]);
        json_object_set_new(links, names[i], json_string(url));
    }
    return links;
}

/* Names of what retention took. */
static json_t *purged_json(int parts)
{
    static const struct {
        enum db_part part;
        const char *name;
    } names[] = { { PART_CHECKPOINT, "checkpoint" },
                  { PART_ARTIFACTS, "artifacts" },
                  { PART_EVENTS, "events" },
                  { PART_JOURNAL, "journal" } };
    json_t *list = json_array();

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (parts & (int)names[i].part)
            json_array_append_new(list, json_string(names[i].name));
    return list;
}

json_t *job_summary_json(const struct db_job *job)
{
    return json_pack(
        "{s:s, s:s, s:s, s:o, s:o, s:i, s:b, s:b, s:o, s:o, s:o, s:i, s:b, s:o, s:o, s:o, s:o, s:o, s:f, s:o,"
        " s:o, s:o, s:o, s:o}",
        "id", job->id, "kind", job->kind, "state", job_state_names[job->state], "label", string_or_null(job->label),
        "owner", string_or_null(job->owner), "priority", job->priority, "held", job->held, "pinned", job->pinned,
        "parent", string_or_null(job->parent), "step",
        job->step >= 0 && *job->parent ? json_integer(job->step) : json_null(), "device", string_or_null(job->device),
        "attempts", job->attempts, "cancel_wanted", job->cancel_wanted, "created_at", time_json(job->created_ms),
        "started_at", time_json(job->started_ms), "ended_at", time_json(job->ended_ms), "not_before",
        time_json(job->not_before_ms), "last_failure", text_json(job->failure), "ran_s", (double)job->ran_ms / 1000,
        "purged", purged_json(job->purged), "progress", progress_json(job->progress), "result", text_json(job->result),
        "error", text_json(job->error), "links", links_json(job));
}

/* [{step, id, kind, label, state, progress}] of a parent. */
static int steps_json(struct db *db, const char *id, json_t **ret)
{
    struct db_job *steps;
    int count = db_job_steps(db, id, &steps);

    if (count < 0)
        return count;
    json_t *list = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(
            list, json_pack("{s:i, s:s, s:s, s:o, s:s, s:o, s:o, s:o}", "step", steps[i].step, "id", steps[i].id,
                            "kind", steps[i].kind, "label", string_or_null(steps[i].label), "state",
                            job_state_names[steps[i].state], "progress", progress_json(steps[i].progress), "started_at",
                            time_json(steps[i].started_ms), "ended_at", time_json(steps[i].ended_ms)));
    db_jobs_free(steps, count);
    *ret = list;
    return 0;
}

/* The jobs that this one waits or waited for: their ids, and what it needs of them. */
static int after_json(struct db *db, const char *id, json_t **ret_after, json_t **ret_needs)
{
    struct db_need *needs;
    int count = db_job_after(db, id, &needs);

    if (count < 0)
        return count;
    *ret_after = json_array();
    *ret_needs = json_array();
    for (int i = 0; i < count; i++) {
        json_array_append_new(*ret_after, json_string(needs[i].id));
        json_array_append_new(*ret_needs,
                              json_pack("{s:s, s:s, s:s}", "job", needs[i].id, "on", db_condition_names[needs[i].on],
                                        "state", job_state_names[needs[i].state]));
    }
    free(needs);
    return 0;
}

/* [{job, kind, label, state}] of those that wait or waited for this one. */
static int users_json(struct db *db, const char *id, json_t **ret)
{
    struct db_job *users;
    int count = db_job_users(db, id, USERS_MAX, &users);

    if (count < 0)
        return count;
    *ret = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(*ret,
                              json_pack("{s:s, s:s, s:o, s:s}", "job", users[i].id, "kind", users[i].kind, "label",
                                        string_or_null(users[i].label), "state", job_state_names[users[i].state]));
    db_jobs_free(users, count);
    return 0;
}

/* What became of each time that a worker was started for it. */
static int history_json(struct db *db, const char *id, json_t **ret)
{
    struct db_attempt *attempts;
    int count = db_attempt_list(db, id, &attempts);

    if (count < 0)
        return count;
    *ret = json_array();
    for (int i = 0; i < count; i++) {
        const struct db_attempt *one = &attempts[i];
        json_array_append_new(
            *ret, json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "attempt", one->number, "device",
                            string_or_null(one->device), "pid", json_integer(one->pid), "started_at",
                            time_json(one->began_ms), "ended_at", time_json(one->ended_ms), "ran_s",
                            one->ended_ms ? json_real((double)one->ran_ms / 1000) : json_null(), "state",
                            string_or_null(one->state), "how", string_or_null(one->how), "exit_code",
                            one->exit_code >= 0 ? json_integer(one->exit_code) : json_null(), "signal",
                            one->signal ? json_integer(one->signal) : json_null(), "error", text_json(one->error)));
    }
    db_attempts_free(attempts, count);
    return 0;
}

int job_json(const struct request *request, const char *id, json_t **ret)
{
    struct db *db = request->config->db;
    json_t *steps = NULL, *after = NULL, *needs = NULL, *users = NULL, *history = NULL;
    int64_t version; /* read first: whoever waits for the next one misses none */
    db_job_auto job = { 0 };

    int r = db_job_version(db, id, &version);
    if (r >= 0)
        r = db_job_get(db, id, &job);
    if (r < 0)
        return r;
    json_auto_t *json = job_summary_json(&job);
    if (!json)
        return -ENOMEM;
    json_object_set_new(json, "version", json_integer(version));
    r = steps_json(db, id, &steps);
    if (r < 0)
        return r;
    json_object_set_new(json, "steps", steps);
    r = after_json(db, id, &after, &needs);
    if (r < 0)
        return r;
    json_object_set_new(json, "after", after);
    json_object_set_new(json, "needs", needs);
    r = users_json(db, id, &users);
    if (r < 0)
        return r;
    json_object_set_new(json, "used_by", users);
    r = history_json(db, id, &history);
    if (r < 0)
        return r;
    json_object_set_new(json, "history", history);
    int64_t now_ms = request->config->now_ms(request->config->user);
    int position = job.state == STATE_QUEUED ? db_job_position(db, id, now_ms) : -ENOENT; /* parents have none */
    if (position < 0 && position != -ENOENT)
        return position;
    json_object_set_new(json, "queue_position", position >= 0 ? json_integer(position + 1) : json_null());
    json_object_set_new(json, "spec", text_json(job.spec));
    *ret = json_incref(json);
    return 0;
}

int answer_job(const struct request *request, struct answer *answer, int status, const char *id)
{
    json_t *json;
    int r = job_json(request, id, &json);

    if (r == -ENOENT)
        return answer_problem(answer, request, PROBLEM_NO_JOB, "there is no such job");
    if (r < 0)
        return r;
    int64_t version = json_integer_value(json_object_get(json, "version"));
    r = answer_json(answer, status, json);
    return r < 0 ? r : answer_tag(answer, request, version);
}
