/* What runs, what waits, in which order, and why?
 *
 * Running jobs, then queued ones by their scores of this moment (db/claim.c has the
 * formula), then held ones, then those that wait for other jobs. The reason names
 * the first thing that keeps a job from running, as a person would ask for it. */
#include "api/exchange.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_MAX   1000
#define QUEUE       50
#define REASON_SIZE 400
#define NEEDS_NAMED 3 /* jobs that a reason names at most */

struct queue {
    struct db_job *list; /* unended jobs but parents, in order */
    int count;
    bool more; /* stand behind these */
    struct db_share *shares;
    int share_count;
    json_t *devices;
    struct api_condition condition;
    bool drained;
    int64_t now_ms;
};

static void queue_done(struct queue *queue)
{
    db_jobs_free(queue->list, queue->count);
    free(queue->shares);
    json_decref(queue->devices);
}

static const struct db_share *share_of(const struct queue *queue, const char *owner)
{
    for (int i = 0; i < queue->share_count; i++)
        if (strcmp(queue->shares[i].owner, owner) == 0)
            return &queue->shares[i];
    return NULL;
}

/* ---- reading it ---- */

static int queue_read(const struct request *request, struct queue *queue, int limit)
{
    const struct api_config *config = request->config;
    char drained[8] = "";
    int r = db_state_get(config->db, STATE_DRAINED, drained, sizeof(drained));

    queue->now_ms = config->now_ms(config->user);
    queue->drained = *drained;
    server_condition(request, &queue->condition);
    queue->devices = config->devices(config->user);
    if (!queue->devices)
        return -ENOMEM;
    if (r >= 0)
        r = queue->share_count = db_share_list(config->db, queue->now_ms, &queue->shares);
    if (r >= 0)
        r = queue->count = db_queue_list(config->db, limit + 1, queue->now_ms, &queue->list);
    queue->more = queue->count > limit; /* the one too many says so */
    if (queue->more)
        db_job_done(&queue->list[--queue->count]);
    return r < 0 ? r : 0;
}

/* ---- reasons ---- */

/* One job that waits, and what is known about it. */
struct wait {
    const struct queue *queue;
    const struct db_job *job;
    int position;
    const struct db_need *needs; /* those that haven't ended */
    int need_count;
};

static void failure_words(const struct db_job *job, char *ret, size_t size)
{
    json_auto_t *failure = text_json(job->failure);
    const char *message = json_string_value(json_object_get(failure, "message"));

    snprintf(ret, size, "%s", message ? message : "unknown");
}

/* Each writes its reason, if it is one, and says so. */
typedef bool reason_function(const struct wait *wait, char ret[REASON_SIZE]);

static bool reason_running(const struct wait *wait, char ret[REASON_SIZE])
{
    if (wait->job->state != STATE_RUNNING)
        return false;
    snprintf(ret, REASON_SIZE, "runs on %s%s", *wait->job->device ? wait->job->device : "a device",
             wait->job->cancel_wanted ? "; is being stopped"
             : wait->job->held        ? "; is being held: it stops after its next checkpoint"
                                      : "");
    return true;
}

static bool reason_needs(const struct wait *wait, char ret[REASON_SIZE])
{
    static const char *const words[CONDITION_COUNT] = { "succeed", "fail", "end" };
    int used;

    if (wait->job->state != STATE_BLOCKED)
        return false;
    used = snprintf(ret, REASON_SIZE, "waits for %d other job%s:", wait->need_count, wait->need_count == 1 ? "" : "s");
    int named = wait->need_count <= NEEDS_NAMED ? wait->need_count : NEEDS_NAMED - 1; /* "and 1 more" is no shorter */
    for (int i = 0; i < named; i++)
        used += snprintf(ret + used, (size_t)(REASON_SIZE - used), "%s %s to %s", i ? "," : "", wait->needs[i].id,
                         words[wait->needs[i].on]);
    if (named < wait->need_count)
        snprintf(ret + used, (size_t)(REASON_SIZE - used), " and %d more", wait->need_count - named);
    return true;
}

static bool reason_held(const struct wait *wait, char ret[REASON_SIZE])
{
    snprintf(ret, REASON_SIZE, "is held until somebody releases it");
    return wait->job->held;
}

static bool reason_failure(const struct wait *wait, char ret[REASON_SIZE])
{
    json_auto_t *until = time_json(wait->job->not_before_ms);
    char why[240];

    failure_words(wait->job, why, sizeof(why));
    if (wait->job->crashes)
        snprintf(ret, REASON_SIZE, "waits until %s after failure %d: %s", json_string_value(until) ?: "",
                 wait->job->crashes, why);
    else
        snprintf(ret, REASON_SIZE, "waits until %s after a start that failed: %s", json_string_value(until) ?: "", why);
    return wait->job->not_before_ms > wait->queue->now_ms;
}

static bool reason_drained(const struct wait *wait, char ret[REASON_SIZE])
{
    snprintf(ret, REASON_SIZE, "riftd is drained: nothing starts until an administrator resumes it");
    return wait->queue->drained;
}

static bool reason_no_space(const struct wait *wait, char ret[REASON_SIZE])
{
    const struct api_condition *condition = &wait->queue->condition;

    snprintf(ret, REASON_SIZE, "the disk is nearly full: %lld bytes are free, %lld are to be",
             (long long)condition->free_bytes, (long long)condition->floor_bytes);
    return condition->no_space;
}

static bool reason_owner(const struct wait *wait, char ret[REASON_SIZE])
{
    const struct db_share *share = share_of(wait->queue, wait->job->owner);
    int most = wait->queue->condition.owner_running_max;

    snprintf(ret, REASON_SIZE, "%d jobs of %s run, as many as may at once", share ? share->running : 0,
             *wait->job->owner ? wait->job->owner : "this owner");
    return most && share && share->running >= most;
}

/* What keeps the job from each slot that serves it; the best of these counts. */
enum hindrance { NO_SLOT, RESTS, BUSY, MEMORY, FREE };

static enum hindrance slot_hinders(const struct wait *wait, const json_t *slot, const char **ret_why)
{
    const json_t *memory = json_object_get(slot, "memory_for_jobs_bytes");
    const char *device = json_string_value(json_object_get(slot, "id"));
    const char *state = json_string_value(json_object_get(slot, "state"));
    int64_t left = json_integer_value(memory) - json_integer_value(json_object_get(slot, "memory_taken_bytes"));

    if (!device || !job_device_serves(device, wait->job->wants))
        return NO_SLOT;
    *ret_why = device;
    if (!json_is_null(json_object_get(slot, "job")))
        return BUSY;
    if (state && strcmp(state, "ok") != 0) {
        *ret_why = json_string_value(json_object_get(slot, "why")) ?: "no reason is known";
        return RESTS;
    }
    return json_is_integer(memory) && wait->job->memory_bytes > left ? MEMORY : FREE;
}

static bool reason_device(const struct wait *wait, char ret[REASON_SIZE])
{
    enum hindrance best = NO_SLOT;
    const char *why = "", *here = "";
    json_t *slot;
    size_t i;

    json_array_foreach(wait->queue->devices, i, slot)
    {
        enum hindrance now = slot_hinders(wait, slot, &here);
        if (now > best) {
            best = now;
            why = here;
        }
    }
    switch (best) {
    case NO_SLOT:
        snprintf(ret, REASON_SIZE, "no slot of this server is on such a device (%s)", wait->job->wants);
        return true;
    case RESTS:
        snprintf(ret, REASON_SIZE, "its device rests: %.300s", why);
        return true;
    case MEMORY:
        snprintf(ret, REASON_SIZE, "waits for memory of %s", why);
        return true;
    default:
        return false;
    }
}

static bool reason_position(const struct wait *wait, char ret[REASON_SIZE])
{
    if (wait->position == 1)
        snprintf(ret, REASON_SIZE, "is next when a device is free");
    else
        snprintf(ret, REASON_SIZE, "waits for a device; %d before it", wait->position - 1);
    return true;
}

static void reason_write(const struct wait *wait, char ret[REASON_SIZE])
{
    static reason_function *const reasons[] = {
        reason_running,  reason_needs, reason_held,   reason_failure,  reason_drained,
        reason_no_space, reason_owner, reason_device, reason_position,
    };

    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i](wait, ret))
            break;
    text_clean(ret); /* a message of somebody's may have been cut within a character */
}

/* ---- answering ---- */

/* Of a blocked job, the jobs it needs that haven't ended. */
static int needs_open(struct db *db, const struct db_job *job, struct db_need **ret)
{
    struct db_need *needs = NULL;
    int count = job->state == STATE_BLOCKED ? db_job_after(db, job->id, &needs) : 0, open = 0;

    for (int i = 0; i < count; i++)
        if (!job_state_ended(needs[i].state))
            needs[open++] = needs[i];
    *ret = needs;
    return count < 0 ? count : open;
}

static int row_json(struct wait *wait, json_t *list)
{
    char reason[REASON_SIZE];
    json_t *waiting = json_array(), *row = job_summary_json(wait->job);

    reason_write(wait, reason);
    for (int i = 0; i < wait->need_count; i++)
        json_array_append_new(waiting, json_string(wait->needs[i].id));
    json_object_set_new(row, "queue_position", wait->position ? json_integer(wait->position) : json_null());
    json_object_set_new(row, "waiting_for", waiting);
    json_object_set_new(row, "reason", json_string(reason));
    return json_array_append_new(list, row) < 0 ? -ENOMEM : 0;
}

static int rows_json(struct db *db, const struct queue *queue, json_t *list)
{
    int position = 0, r = 0;

    for (int i = 0; i < queue->count && r >= 0; i++) {
        const struct db_job *job = &queue->list[i];
        struct db_need *needs = NULL;
        bool counts = job->state == STATE_QUEUED && !job->held;
        position += counts;
        r = needs_open(db, job, &needs);
        struct wait wait = { queue, job, counts ? position : 0, needs, r };
        if (r >= 0)
            r = row_json(&wait, list);
        free(needs);
    }
    return r;
}

static json_t *owners_json(const struct queue *queue)
{
    json_t *list = json_array();

    for (int i = 0; i < queue->share_count; i++) {
        const struct db_share *share = &queue->shares[i];
        json_array_append_new(list, json_pack("{s:s, s:i, s:f, s:f}", "owner", share->owner, "running", share->running,
                                              "used_s", share->used_ms / 1000, "share", share->share));
    }
    return list;
}

static json_t *disk_json(const struct api_condition *condition)
{
    if (!condition->total_bytes)
        return json_null();
    return json_pack("{s:I, s:I, s:I, s:b}", "total_bytes", (json_int_t)condition->total_bytes, "free_bytes",
                     (json_int_t)condition->free_bytes, "floor_bytes", (json_int_t)condition->floor_bytes, "short",
                     condition->no_space);
}

int handle_queue(const struct request *request, struct answer *answer)
{
    struct queue queue = { 0 };
    json_auto_t *list = json_array();
    int64_t limit;

    if (request_int(request, answer, "limit", 1, QUEUE_MAX, QUEUE, &limit) < 0)
        return 0;
    int r = queue_read(request, &queue, (int)limit);
    if (r >= 0)
        r = rows_json(request->config->db, &queue, list);
    json_t *whole = r < 0
                        ? NULL
                        : json_pack("{s:O, s:b, s:o, s:b, s:o}", "jobs", list, "more", queue.more, "owners",
                                    owners_json(&queue), "drained", queue.drained, "disk", disk_json(&queue.condition));
    queue_done(&queue);
    return r < 0 ? r : answer_json(answer, 200, whole);
}
