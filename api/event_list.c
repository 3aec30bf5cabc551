/* How does a client read events that doesn't want a stream?
 *
 * As a list, or one a line. With ?wait=SECONDS a list that would be empty is kept
 * until there is something to put into it (a long poll: see job_wait.c for how it
 * waits without holding a thread). */
#include "api/exchange.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct list_wait {
    struct stream stream; /* first */
    struct db *db;
    char job[DB_ID_SIZE]; /* "": all jobs */
    int64_t after;
    int limit;
    bool over;
};

/* The journal's event, told apart from others' by its row and job. */
json_t *event_json(const struct db_event *event)
{
    json_t *json = text_json(event->fields);

    if (!json_is_object(json)) {
        json_decref(json);
        json = json_object();
    }
    json_object_set_new(json, "id", json_integer(event->id));
    json_object_set_new(json, "job", json_string(event->job));
    json_object_set_new(json, "type", json_string(event->type));
    json_object_set_new(json, "time_ms", json_integer(event->time_ms));
    return json;
}

/* {"events": [...], "last": N}; steals the events. */
static json_t *list_json(struct db_event *events, int count, int64_t after)
{
    int64_t last = count ? events[count - 1].id : after;
    json_t *list = json_array();

    for (int i = 0; i < count; i++)
        json_array_append_new(list, event_json(&events[i]));
    db_events_free(events, count);
    return json_pack("{s:o, s:I}", "events", list, "last", (json_int_t)last);
}

/* One event a line; steals the events. */
static int lines_answer(struct answer *answer, struct db_event *events, int count)
{
    FILE *out = open_memstream(&answer->text, &answer->size);
    int r = out ? 0 : -ENOMEM;

    for (int i = 0; i < count && r >= 0; i++) {
        json_auto_t *json = event_json(&events[i]);
        r = json_dumpf(json, out, JSON_COMPACT) < 0 ? -ENOMEM : 0;
        fputc('\n', out);
    }
    db_events_free(events, count);
    if (out && fclose(out))
        r = -ENOMEM;
    answer->status = 200;
    answer->type = "application/x-ndjson";
    return r;
}

static int wait_fill(struct stream *base, char **ret_text, size_t *ret_size)
{
    struct list_wait *wait = (struct list_wait *)base;
    const char *job = *wait->job ? wait->job : NULL;
    struct db_event *events = NULL;

    if (wait->over)
        return -ENODATA;
    int count = db_event_list(wait->db, job, wait->after, wait->limit, &events);
    if (count == -ENOENT) /* the job was deleted: that is all there will be */
        count = 0;
    else if (count <= 0 && !base->last)
        return count;
    if (count < 0)
        return count;
    json_auto_t *json = list_json(events, count, wait->after);
    *ret_text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    if (!*ret_text)
        return -ENOMEM;
    *ret_size = strlen(*ret_text);
    wait->over = true;
    return 1;
}

static void wait_free(struct stream *base)
{
    free(base);
}

static int wait_start(const struct request *request, struct answer *answer, int64_t after, int limit, int wait_s)
{
    struct list_wait *wait = calloc(1, sizeof(*wait));

    if (!wait)
        return -ENOMEM;
    wait->stream = (struct stream){ .fill = wait_fill, .free = wait_free, .heartbeat = " ", .wait_ms = wait_s * 1000 };
    wait->db = request->config->db;
    strcpy(wait->job, request->id);
    wait->after = after;
    wait->limit = limit;
    answer->status = 200;
    answer->type = "application/json";
    answer->stream = &wait->stream;
    return 0;
}

int answer_event_list(const struct request *request, struct answer *answer, int64_t after, int limit, bool lines,
                      int wait_s)
{
    struct db_event *events;
    int count = db_event_list(request->config->db, *request->id ? request->id : NULL, after, limit, &events);

    if (count < 0)
        return count;
    if (lines)
        return lines_answer(answer, events, count);
    if (!count && wait_s) {
        db_events_free(events, count);
        return wait_start(request, answer, after, limit, wait_s);
    }
    return answer_json(answer, 200, list_json(events, count, after));
}
