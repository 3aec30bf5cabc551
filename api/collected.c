/* What becomes of a request's body, and of the whole request once it is there?
 *
 * A body is kept up to its limit, written to a file, or thrown away when the
 * answer is known already. Then the route's handler is called; whatever it
 * returns, there is an answer afterwards. */
#include "api/collected.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void exchange_done(struct exchange *exchange)
{
    for (int i = 0; i < exchange->request.query_count; i++) {
        free(exchange->request.query[i].name);
        free(exchange->request.query[i].value);
    }
    answer_done(&exchange->answer);
    upload_close(exchange->request.upload);
    free(exchange->body);
    free(exchange);
}

/* ---- the body ---- */

int upload_refuse(struct exchange *exchange, int why)
{
    struct answer *answer = &exchange->answer;
    const struct request *request = &exchange->request;

    if (why == -EFBIG)
        return answer_problem(answer, request, PROBLEM_TOO_LARGE, "the limit of an upload is %lld bytes",
                              (long long)request->config->upload_limit);
    if (why == -ENOSPC || why == -EDQUOT)
        return answer_problem(answer, request, PROBLEM_NO_SPACE, "the disk is full");
    return why;
}

/* Put a piece of the body into its file. */
static bool upload_take(struct exchange *exchange, const char *data, size_t size)
{
    int r = upload_write(exchange->request.upload, data, size);

    if (r >= 0)
        return true;
    exchange->answered = exchange->last = true;
    r = upload_refuse(exchange, r);
    return r >= 0 || exchange_fail(exchange, r) >= 0;
}

bool body_take(struct exchange *exchange, const char *data, size_t size)
{
    struct request *request = &exchange->request;
    size_t limit = request->config->body_limit;

    if (!exchange->answered && request->upload)
        return upload_take(exchange, data, size);
    if (!exchange->answered && exchange->body_size + size > limit) {
        if (answer_problem(&exchange->answer, request, PROBLEM_TOO_LARGE, "the limit of a body is %zu bytes", limit) <
            0)
            return false;
        exchange->answered = exchange->last = true;
    }
    if (exchange->answered) {
        exchange->drained += size;
        return exchange->drained <= DRAIN_LIMIT_BYTES;
    }
    if (exchange->body_size + size + 1 > exchange->body_room) {
        size_t room = 2 * (exchange->body_size + size) + 1024;
        char *grown = realloc(exchange->body, room);
        if (!grown)
            return false;
        exchange->body = grown;
        exchange->body_room = room;
    }
    memcpy(exchange->body + exchange->body_size, data, size);
    exchange->body_size += size;
    exchange->body[exchange->body_size] = 0;
    return true;
}

/* ---- the whole ---- */

/* A stream more than we hold is a 503; checked here, where they are counted. */
static int stream_admit(struct exchange *exchange)
{
    if (!exchange->answer.stream || exchange->request.head || !feeds_full(exchange->feeds))
        return 0;
    answer_done(&exchange->answer);
    return answer_problem(&exchange->answer, &exchange->request, PROBLEM_TOO_MANY_STREAMS, "%d event streams are open",
                          exchange->request.config->stream_limit);
}

/* A 500 says little to the client; what the database said goes to the daemon. */
static void failure_tell(const struct request *request, int r)
{
    const struct api_config *config = request->config;
    char message[512];

    if (!config->failed)
        return;
    snprintf(message, sizeof(message), "%s failed: %s (%s)", request->route ? request->route->path : "a request",
             strerror(-r), db_errmsg(config->db));
    config->failed(config->user, request->request_id, message);
}

int exchange_fail(struct exchange *exchange, int r)
{
    answer_done(&exchange->answer);
    failure_tell(&exchange->request, r);
    return answer_problem(&exchange->answer, &exchange->request,
                          r == -ENOSPC || r == -EDQUOT ? PROBLEM_NO_SPACE : PROBLEM_INTERNAL, "%s", strerror(-r));
}

int exchange_decide(struct exchange *exchange)
{
    struct request *request = &exchange->request;
    int r;

    if (exchange->answered)
        return 0;
    json_starved(); /* of earlier requests in this thread */
    request->body = exchange->body ? exchange->body : "";
    request->body_size = exchange->body_size;
    if (!request->route->body && request->body_size && strcmp(request->body, "{}"))
        r = answer_problem(&exchange->answer, request, PROBLEM_BAD_REQUEST, "this route takes no body");
    else
        r = route_handle(request, &exchange->answer);
    if (r >= 0)
        r = stream_admit(exchange);
    if (json_starved()) /* whatever was answered lacks something */
        r = -ENOMEM;
    exchange->answered = true;
    if (strcmp(request->method, "GET"))
        feeds_news(exchange->feeds); /* it may have made an event */
    return r < 0 ? exchange_fail(exchange, r) : 0;
}
