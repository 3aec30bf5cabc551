/* How does a client watch?
 *
 * Server-sent events (WHATWG HTML, "server-sent events"), fed from the event
 * table: an event's id is its row, so Last-Event-ID picks up without a gap or a
 * double even across a restart of riftd. A job's stream ends with an `end`
 * event once the job has ended and everything was sent; a client that
 * reconnects after that gets 204, which tells EventSource to stop. Where there is a gap
 * after all (db_event_gap), a `reset` event comes first.
 *
 * The same events come as a list (event_list.c) with ?wait=0 or Accept: application/json,
 * and one a line with Accept: application/x-ndjson. */
#include "api/exchange.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH          100
#define LIST_LIMIT_MAX 1000
#define LIST_LIMIT     200

struct event_stream {
    struct stream stream; /* first */
    struct db *db;
    char job[DB_ID_SIZE]; /* "": all jobs */
    int64_t after;
    bool gap; /* between what the reader has and what there is to tell */
    bool greeted, over;
};

/* An event's name in the stream; a worker's word must not break its lines. */
static const char *event_name(const struct db_event *event)
{
    size_t length = strspn(event->type, "abcdefghijklmnopqrstuvwxyz_-");

    return length && !event->type[length] ? event->type : "message";
}

static int events_write(FILE *out, const struct db_event *events, int count)
{
    for (int i = 0; i < count; i++) {
        json_t *json = event_json(&events[i]);
        char *text = json_dumps(json, JSON_COMPACT);
        json_decref(json);
        if (!text)
            return -ENOMEM;
        fprintf(out, "id: %" PRId64 "\nevent: %s\ndata: %s\n\n", events[i].id, event_name(&events[i]), text);
        free(text);
    }
    return 0;
}

/* The newest text of the stream of all jobs. Most of its readers are at the same
 * place and are woken together: one reads and writes for all. */
static struct {
    pthread_mutex_t lock;
    char *text; /* NULL: none */
    size_t size;
    struct db *db;
    int64_t after, last; /* from where to where */
    uint64_t news;       /* when it was made */
    bool drained;
} shared = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* 1 with a copy of the shared text, if it is what this stream needs. */
static int shared_take(struct event_stream *stream, char **ret_text, size_t *ret_size)
{
    int r = 0;

    pthread_mutex_lock(&shared.lock);
    if (shared.text && shared.db == stream->db && shared.after == stream->after && shared.news == stream->stream.news) {
        char *text = malloc(shared.size);
        r = text ? 1 : -ENOMEM;
        if (text) {
            *ret_text = memcpy(text, shared.text, shared.size);
            *ret_size = shared.size;
            stream->after = shared.last;
            stream->stream.drained = shared.drained;
        }
    }
    pthread_mutex_unlock(&shared.lock);
    return r;
}

static void shared_put(const struct event_stream *stream, int64_t after, const char *text, size_t size)
{
    char *copy = malloc(size);

    if (!copy)
        return;
    pthread_mutex_lock(&shared.lock);
    free(shared.text);
    shared.text = memcpy(copy, text, size);
    shared.size = size;
    shared.db = stream->db;
    shared.after = after;
    shared.last = stream->after;
    shared.news = stream->stream.news;
    shared.drained = stream->stream.drained;
    pthread_mutex_unlock(&shared.lock);
}

/* A reset has an id: who comes back after it isn't told again. */
static void greeting_write(FILE *out, const struct event_stream *stream)
{
    fputs("retry: 2000\n\n", out);
    if (stream->gap)
        fprintf(out, "id: %" PRId64 "\nevent: reset\ndata: {\"type\":\"reset\"}\n\n", stream->after);
}

/* Everything was sent and the job has ended (or is gone): say goodbye. */
static void end_write(FILE *out, const char *state)
{
    fprintf(out, "event: end\ndata: {\"type\":\"end\",\"state\":%s%s%s}\n\n", state ? "\"" : "", state ? state : "null",
            state ? "\"" : "");
}

static int event_fill(struct stream *base, char **ret_text, size_t *ret_size)
{
    struct event_stream *stream = (struct event_stream *)base;
    bool sharing = !*stream->job && stream->greeted;
    int64_t after = stream->after;
    struct db_event *events;
    const char *state = NULL;
    bool ended = false;
    char *text = NULL;
    size_t size = 0;

    if (stream->over)
        return -ENODATA;
    int found = sharing ? shared_take(stream, ret_text, ret_size) : 0;
    if (found)
        return found;
    if (*stream->job) { /* before the events: its last ones are written with the move */
        db_job_auto job = { 0 };
        int r = db_job_get(stream->db, stream->job, &job);
        if (r < 0 && r != -ENOENT)
            return r;
        state = r < 0 ? NULL : job_state_names[job.state];
        ended = r < 0 || job_state_ended(job.state);
    }
    int count = db_event_list(stream->db, *stream->job ? stream->job : NULL, stream->after, BATCH, &events);
    if (count < 0)
        return count;
    FILE *out = open_memstream(&text, &size);
    int r = out ? 0 : -ENOMEM;
    if (!r && !stream->greeted)
        greeting_write(out, stream);
    if (!r)
        r = events_write(out, events, count);
    if (!r && !count && ended) {
        end_write(out, state);
        stream->over = true;
    }
    stream->greeted = true;
    stream->after = count ? events[count - 1].id : stream->after;
    base->drained = count < BATCH && !ended;
    db_events_free(events, count);
    if (out && fclose(out))
        r = -ENOMEM;
    if (r < 0 || !size) {
        free(text);
        return r;
    }
    if (sharing)
        shared_put(stream, after, text, size);
    *ret_text = text;
    *ret_size = size;
    return 1;
}

static void event_free(struct stream *base)
{
    free(base);
}

/* A reader who is ahead of us goes on with the newest: it has to read everything anew. */
static int stream_answer(const struct request *request, struct answer *answer, int64_t after, int gap)
{
    int r = gap == DB_GAP_AHEAD ? db_event_newest(request->config->db, &after) : 0;
    if (r < 0)
        return r;
    struct event_stream *stream = calloc(1, sizeof(*stream));

    if (!stream)
        return -ENOMEM;
    stream->stream = (struct stream){ event_fill, event_free };
    stream->db = request->config->db;
    strcpy(stream->job, request->id);
    stream->after = after;
    stream->gap = gap > 0;
    answer->status = 200;
    answer->type = "text/event-stream";
    answer->stream = &stream->stream;
    return answer_header(answer, "X-Accel-Buffering", "no"); /* a proxy in front shall not hold events back */
}

/* The last event that the client has ("now": all there are): the header of a reconnecting EventSource
 * knows more than the URL it was opened with. */
static bool after_read(const struct request *request, struct answer *answer, int64_t *ret, bool *ret_reconnect)
{
    const char *header = request_header(request, "Last-Event-ID");
    char *end;

    const char *after = request_query(request, "after");

    *ret_reconnect = header != NULL;
    if (!header && after && !strcmp(after, "now"))
        return db_event_newest(request->config->db, ret) >= 0 ||
               (answer_problem(answer, request, PROBLEM_INTERNAL, "%s", db_errmsg(request->config->db)), false);
    if (!header)
        return request_int(request, answer, "after", 0, INT64_MAX, 0, ret) >= 0;
    errno = 0;
    *ret = strtoll(header, &end, 10);
    if (!errno && end != header && !*end && *ret >= 0)
        return true;
    answer_problem(answer, request, PROBLEM_BAD_REQUEST, "Last-Event-ID must be the id of an event");
    return false;
}

static int events_answer(const struct request *request, struct answer *answer, bool ended)
{
    int64_t after, wait_s, limit;
    bool reconnect;

    if (!after_read(request, answer, &after, &reconnect) ||
        request_int(request, answer, "wait", 0, WAIT_MAX_S, -1, &wait_s) < 0 ||
        request_int(request, answer, "limit", 1, LIST_LIMIT_MAX, LIST_LIMIT, &limit) < 0)
        return 0;
    bool lines = request_accepts(request, "application/x-ndjson");
    if (!wait_s || lines || request_accepts(request, "application/json")) {
        bool waits = wait_s > 0 && !lines && !ended;
        return answer_event_list(request, answer, after, (int)limit, lines, waits ? (int)wait_s : 0);
    }
    int gap = db_event_gap(request->config->db, *request->id ? request->id : NULL, after);
    if (gap < 0)
        return gap;
    if (ended && reconnect && !gap) {
        struct db_event *events;
        int left = db_event_list(request->config->db, request->id, after, 1, &events);
        if (left < 0)
            return left;
        db_events_free(events, left);
        if (!left) {
            answer->status = 204;
            return 0;
        }
    }
    return stream_answer(request, answer, after, gap);
}

int handle_job_events(const struct request *request, struct answer *answer)
{
    db_job_auto job = { 0 };
    int r = job_find(request, answer, &job);

    return r <= 0 ? r : events_answer(request, answer, job_state_ended(job.state));
}

int handle_all_events(const struct request *request, struct answer *answer)
{
    return events_answer(request, answer, false);
}
