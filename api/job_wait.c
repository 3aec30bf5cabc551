/* How does a client wait for a job's next change without asking again and again?
 *
 * GET /v1/jobs/{id}?wait=SECONDS&version=N is answered with the job once its version
 * is past N, or when the time is over. What waits is a stream (feed.c) that says one
 * thing: no thread is held, and while nothing happens it sends a space now and then,
 * which JSON allows before a value, so that a client who left is missed.
 *
 * Surprising: the status has been sent by then. So a job that is deleted meanwhile
 * is told as it was when the question came; the next question gets the 404. */
#include "api/exchange.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct job_wait {
    struct stream stream;  /* first */
    struct request asking; /* what job_json needs of one: config */
    char id[DB_ID_SIZE];
    int64_t after;
    char *known; /* the job as it was at first */
    bool over;
};

static void wait_free(struct stream *base)
{
    struct job_wait *wait = (struct job_wait *)base;

    free(wait->known);
    free(wait);
}

static int job_text(const struct request *request, const char *id, char **ret)
{
    json_t *made;
    int r = job_json(request, id, &made);

    if (r < 0)
        return r;
    json_auto_t *json = made;
    *ret = json_dumps(json, JSON_COMPACT);
    return *ret ? 0 : -ENOMEM;
}

static int wait_fill(struct stream *base, char **ret_text, size_t *ret_size)
{
    struct job_wait *wait = (struct job_wait *)base;
    char *text = NULL;
    int64_t version;

    if (wait->over)
        return -ENODATA;
    int r = db_job_version(wait->asking.config->db, wait->id, &version);
    if (!r && version <= wait->after && !base->last)
        return 0;
    if (!r)
        r = job_text(&wait->asking, wait->id, &text);
    if (r == -ENOENT) {
        text = wait->known;
        wait->known = NULL;
    } else if (r < 0) {
        return r;
    }
    wait->over = true;
    *ret_text = text;
    *ret_size = strlen(text);
    return 1;
}

static int wait_start(const struct request *request, struct answer *answer, int wait_s, int64_t after)
{
    struct job_wait *wait = calloc(1, sizeof(*wait));

    if (!wait)
        return -ENOMEM;
    wait->stream = (struct stream){ .fill = wait_fill, .free = wait_free, .heartbeat = " ", .wait_ms = wait_s * 1000 };
    wait->asking.config = request->config;
    wait->after = after;
    strcpy(wait->id, request->id);
    int r = job_text(request, request->id, &wait->known);
    if (r < 0) {
        wait_free(&wait->stream);
        return r == -ENOENT ? answer_job(request, answer, 200, request->id) : r;
    }
    answer->status = 200;
    answer->type = "application/json";
    answer->stream = &wait->stream;
    return 0;
}

int answer_job_later(const struct request *request, struct answer *answer, int wait_s, int64_t after)
{
    int64_t version;
    int r = db_job_version(request->config->db, request->id, &version);

    if (r < 0 && r != -ENOENT)
        return r;
    if (r == -ENOENT || (after >= 0 && version > after))
        return answer_job(request, answer, 200, request->id);
    return wait_start(request, answer, wait_s, after < 0 ? version : after);
}
