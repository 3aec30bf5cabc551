/* Is this request let in, judged by its headers alone?
 *
 * In order: can its end be told (framing), may its sender speak to us (Host,
 * Origin), is there such a route, who asks and may they, and may its body come. Each check returns 1
 * when it has answered, 0 to go on, or negative errno. They run before a byte
 * of the body is read and before any handler, on every route. */
#include "api/exchange.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Take the client's X-Request-Id when it is harmless, or make one up. */
void request_id_choose(struct request *request)
{
    const char *given = request_header(request, "X-Request-Id");
    const char *good = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

    if (given && *given && strlen(given) < sizeof(request->request_id) && !given[strspn(given, good)])
        strcpy(request->request_id, given);
    else
        id_new(request->config->now_ms(request->config->user), request->request_id);
}

static bool content_is(const char *type, const char *wanted)
{
    size_t length = type ? strcspn(type, "; \t") : 0;

    return length == strlen(wanted) && !strncasecmp(type, wanted, length);
}

/* Of a PATCH also what JSON merge patches (RFC 7396) are called. */
static bool content_is_json(const char *type, const char *method)
{
    return content_is(type, "application/json") ||
           (!strcmp(method, "PATCH") && content_is(type, "application/merge-patch+json"));
}

bool request_uploads(const struct request *request)
{
    return request->route->body == BODY_UPLOAD &&
           content_is(request_header(request, "Content-Type"), "application/octet-stream");
}

/* Nothing here unpacks what came packed. */
static bool content_is_packed(const char *encoding)
{
    return encoding && *encoding && strcasecmp(encoding, "identity") != 0;
}

/* The library keeps a space before the colon in the name, and puts a folded line's
 * text behind the name of the header before (0.9.75): there a proxy may have seen a
 * length where we see none. */
bool header_plain(const char *name, const char *value)
{
    static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char *const framing[] = { "Transfer-Encoding", "Content-Length", "Host" };

    if (!*name || name[strspn(name, token)])
        return false;
    for (size_t i = 0; i < sizeof(framing) / sizeof(framing[0]); i++)
        if (!strncasecmp(name, framing[i], strlen(framing[i])) && name[strlen(framing[i])])
            return false;
    for (; value && *value; value++)
        if (((unsigned char)*value < 0x20 && *value != '\t') || *value == 0x7f)
            return false;
    return true;
}

/* A body whose end two parties could see at different places is refused. */
int framing_check(const struct request *request, struct answer *answer, struct framing *framing)
{
    const char *encoding = request_header(request, "Transfer-Encoding");
    const char *length = request_header(request, "Content-Length");

    framing->has_body = encoding || (length && strcmp(length, "0"));
    framing->length = length ? strtoull(length, NULL, 10) : 0;
    if (framing->strange) {
        int r = answer_problem(answer, request, PROBLEM_BAD_REQUEST,
                               "a header is folded, or has a character that no header may have");
        return r < 0 ? r : 1;
    }
    if (framing->lengths <= 1 && framing->encodings <= 1 && !(length && encoding) &&
        (!encoding || !strcasecmp(encoding, "chunked")))
        return 0;
    int r = answer_problem(answer, request, PROBLEM_BAD_REQUEST,
                           "Content-Length or Transfer-Encoding: chunked: give one of them, once");
    return r < 0 ? r : 1;
}

int sender_check(const struct request *request, struct answer *answer, const struct framing *framing,
                 const char *method, const char *address, uint16_t port)
{
    const struct api_rules *rules = rules_of(request->config);
    const char *host = request_header(request, "Host");
    int r;

    if (framing->hosts > 1)
        r = answer_problem(answer, request, PROBLEM_BAD_REQUEST, "there is more than one Host header");
    else if (framing->credentials > 1)
        r = answer_problem(answer, request, PROBLEM_BAD_REQUEST, "there is more than one Authorization header");
    else if (address && !host_allowed(host, address, port) &&
             !host_named(host, rules->allowed_hosts, rules->allowed_host_count))
        r = answer_problem(answer, request, PROBLEM_HOST, "riftd answers to localhost:%u, not to %.200s", port,
                           host ? host : "a request without a Host header");
    else if (strcmp(method, "GET") && strcmp(method, "HEAD") &&
             !origin_allowed(request_header(request, "Origin"), request_header(request, "Sec-Fetch-Site"), host))
        r = answer_problem(answer, request, PROBLEM_CROSS_ORIGIN, "a page of another site can't change anything here");
    else
        return 0;
    return r < 0 ? r : 1;
}

static int route_refuse(const struct request *request, struct answer *answer, int why, const char *allow)
{
    if (why == -EBADMSG)
        return answer_problem(answer, request, PROBLEM_BAD_PATH, "the path has an escape that no name may have");
    if (why != -EOPNOTSUPP)
        return answer_problem(answer, request, PROBLEM_NO_ROUTE, "nothing is served at this path");
    int r = answer_header(answer, "Allow", "%s", allow);
    if (r >= 0 && !strcmp(request->method, "OPTIONS")) { /* to whomever asks: the table is no secret */
        answer->status = 204;
        return 0;
    }
    return r < 0 ? r : answer_problem(answer, request, PROBLEM_METHOD, "this path takes %s", allow);
}

static int encoding_refuse(const struct request *request, struct answer *answer)
{
    int r = answer_header(answer, "Accept-Encoding", "identity"); /* RFC 9110 15.5.16 */

    return r < 0 ? r
                 : answer_problem(answer, request, PROBLEM_MEDIA_TYPE,
                                  "a body is taken as it is, not in the encoding %.40s",
                                  request_header(request, "Content-Encoding"));
}

int route_check(struct request *request, struct answer *answer, const struct framing *framing, const char *method,
                const char *path)
{
    uint64_t limit = request->config->body_limit;
    char allow[64];

    int r = route_find(request, method, path, allow);
    if (r < 0)
        r = route_refuse(request, answer, r, allow);
    else if ((r = caller_check(request, answer)))
        ; /* answered, or failed */
    else if (content_is_packed(request_header(request, "Content-Encoding")))
        r = encoding_refuse(request, answer);
    else if (request_uploads(request))
        limit = (uint64_t)request->config->upload_limit;
    else if ((request->route->body || framing->has_body) &&
             !content_is_json(request_header(request, "Content-Type"), method))
        r = answer_problem(answer, request, PROBLEM_MEDIA_TYPE, "the body must be application/json");
    if (r < 0 || answer->status)
        return r < 0 ? r : 1;
    if (framing->length <= limit)
        return 0;
    r = answer_problem(answer, request, PROBLEM_TOO_LARGE, "the body has %" PRIu64 " bytes, the limit is %" PRIu64,
                       framing->length, limit);
    return r < 0 ? r : 1;
}
