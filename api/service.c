/* How is riftd itself?
 *
 * Health, version, devices, data sets, the queue, the field table, and what
 * error codes mean. */
#include "api/exchange.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_MAX  10000
#define QUEUE_PAGE 200

int handle_healthz(const struct request *request, struct answer *answer)
{
    int r = db_ping(request->config->db, request->config->now_ms(request->config->user));

    if (r < 0)
        return answer_problem(answer, request, PROBLEM_NOT_READY, "the database can't be used: %s",
                              db_errmsg(request->config->db));
    return answer_json(answer, 200, json_pack("{s:s}", "status", "ok"));
}

int handle_readyz(const struct request *request, struct answer *answer)
{
    json_auto_t *devices = request->config->devices(request->config->user);

    if (!devices)
        return -ENOMEM;
    if (!json_array_size(devices))
        return answer_problem(answer, request, PROBLEM_NOT_READY, "no device is usable");
    return handle_healthz(request, answer);
}

int handle_version(const struct request *request, struct answer *answer)
{
    int64_t now_ms = request->config->now_ms(request->config->user);

    return answer_json(answer, 200,
                       json_pack("{s:s, s:s, s:s, s:o}", "name", "riftd", "version", RIFT_VERSION, "api", "v1", "time",
                                 time_json(now_ms)));
}

int handle_devices(const struct request *request, struct answer *answer)
{
    json_t *devices = request->config->devices(request->config->user);

    return devices ? answer_json(answer, 200, json_pack("{s:o}", "devices", devices)) : -ENOMEM;
}

int handle_datasets(const struct request *request, struct answer *answer)
{
    json_t *datasets = request->config->datasets(request->config->user);

    return datasets ? answer_json(answer, 200, json_pack("{s:o}", "datasets", datasets)) : -ENOMEM;
}

int handle_problem(const struct request *request, struct answer *answer)
{
    for (int i = 0; i < PROBLEM_COUNT; i++)
        if (!strcmp(problems[i].code, request->name))
            return answer_json(answer, 200,
                               json_pack("{s:s, s:i, s:s, s:s}", "code", problems[i].code, "status", problems[i].status,
                                         "title", problems[i].title, "meaning", problems[i].meaning));
    return answer_problem(answer, request, PROBLEM_NO_ROUTE, "there is no error of this code");
}

/* ---- fields ---- */

int handle_fields(const struct request *request, struct answer *answer)
{
    json_t *kinds = json_array(), *fields = json_array();

    (void)request;
    for (int i = 0; i < JOB_KIND_COUNT; i++)
        json_array_append_new(kinds, json_pack("{s:s, s:s, s:s?}", "name", job_kinds[i].name, "title",
                                               job_kinds[i].title, "weights", job_kinds[i].weights));
    for (int i = 0; i < spec_field_count; i++)
        json_array_append_new(fields, spec_field_json(&spec_fields[i]));
    return answer_json(answer, 200, json_pack("{s:o, s:o}", "kinds", kinds, "fields", fields));
}

/* ---- queue ---- */

struct queue {
    struct db_job *list; /* all unended jobs but rift ones, in the end in order */
    int count;
};

/* Running first, then as the scheduler will take them, then what waits for others. */
static int queue_order(const void *left, const void *right)
{
    static const int rank[STATE_COUNT] = { [STATE_RUNNING] = 0, [STATE_QUEUED] = 1, [STATE_BLOCKED] = 2 };
    const struct db_job *a = left, *b = right;

    if (rank[a->state] != rank[b->state])
        return rank[a->state] - rank[b->state];
    if (a->state == STATE_QUEUED && a->priority != b->priority)
        return a->priority > b->priority ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

/* Move a page of jobs into the queue, except rift ones, which never run themselves. */
static int queue_take(struct queue *queue, struct db_job *page, int count)
{
    struct db_job *grown = realloc(queue->list, (size_t)(queue->count + count + 1) * sizeof(*grown));

    if (!grown)
        return -ENOMEM;
    queue->list = grown;
    for (int i = 0; i < count; i++) {
        if (job_kinds[job_kind_find(page[i].kind)].parent)
            continue;
        queue->list[queue->count++] = page[i];
        page[i] = (struct db_job){ 0 };
    }
    return 0;
}

static int queue_read(struct db *db, struct queue *queue)
{
    static const enum job_state states[] = { STATE_RUNNING, STATE_QUEUED, STATE_BLOCKED };

    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        struct db_job_filter filter = { .state = (int)states[i], .limit = QUEUE_PAGE };
        int count;
        do {
            struct db_job *page;
            count = db_job_list(db, &filter, &page);
            if (count < 0)
                return count;
            filter.before = count ? page[count - 1].number : 0;
            int r = queue_take(queue, page, count);
            db_jobs_free(page, count);
            if (r < 0)
                return r;
        } while (count == QUEUE_PAGE && queue->count < QUEUE_MAX);
    }
    qsort(queue->list, (size_t)queue->count, sizeof(queue->list[0]), queue_order);
    return 0;
}

/* The unended jobs that this one depends on. */
static int waiting_json(struct db *db, const struct queue *queue, const char *id, json_t **ret)
{
    char(*needs)[DB_ID_SIZE];
    int count = db_job_after(db, id, &needs);

    if (count < 0)
        return count;
    json_t *list = json_array();
    for (int i = 0; i < count; i++)
        for (int k = 0; k < queue->count; k++)
            if (!strcmp(queue->list[k].id, needs[i]))
                json_array_append_new(list, json_string(needs[i]));
    free(needs);
    *ret = list;
    return 0;
}

static void reason_write(const struct db_job *job, int position, size_t waiting, char ret[160])
{
    if (job->state == STATE_RUNNING)
        snprintf(ret, 160, "runs on %s", *job->device ? job->device : "a device");
    else if (job->state == STATE_QUEUED && position == 1)
        snprintf(ret, 160, "is next when a device is free");
    else if (job->state == STATE_QUEUED)
        snprintf(ret, 160, "waits for a device; %d before it", position - 1);
    else
        snprintf(ret, 160, "waits for %zu other job%s to succeed", waiting, waiting == 1 ? "" : "s");
}

static int queue_json(struct db *db, const struct queue *queue, json_t *list)
{
    int position = 0;

    for (int i = 0; i < queue->count; i++) {
        const struct db_job *job = &queue->list[i];
        json_t *waiting;
        char reason[160];
        int r = waiting_json(db, queue, job->id, &waiting);
        if (r < 0)
            return r;
        position += job->state == STATE_QUEUED;
        reason_write(job, position, json_array_size(waiting), reason);
        json_t *row = job_summary_json(job);
        if (!row) {
            json_decref(waiting);
            return -ENOMEM;
        }
        json_object_set_new(row, "queue_position", job->state == STATE_QUEUED ? json_integer(position) : json_null());
        json_object_set_new(row, "waiting_for", waiting);
        json_object_set_new(row, "reason", json_string(reason));
        json_array_append_new(list, row);
    }
    return 0;
}

int handle_queue(const struct request *request, struct answer *answer)
{
    struct db *db = request->config->db;
    struct queue queue = { 0 };
    json_auto_t *list = json_array();

    int r = queue_read(db, &queue);
    if (r >= 0)
        r = queue_json(db, &queue, list);
    db_jobs_free(queue.list, queue.count);
    return r < 0 ? r : answer_json(answer, 200, json_pack("{s:O}", "jobs", list));
}
