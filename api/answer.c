/* How is an answer put together?
 *
 * JSON, or application/problem+json (RFC 9457) for whatever went wrong. The
 * security headers that all answers share are added in http.c, so that no
 * handler can forget them. */
#include "api/exchange.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void answer_done(struct answer *answer)
{
    if (!answer)
        return;
    free(answer->text);
    if (answer->has_file)
        close(answer->file.fd);
    if (answer->stream)
        answer->stream->free(answer->stream);
    for (int i = 0; i < answer->header_count; i++)
        free(answer->headers[i].value);
    *answer = (struct answer){ 0 };
}

int answer_header(struct answer *answer, const char *name, const char *format, ...)
{
    va_list arguments;
    char *value;

    assert(answer->header_count < HEADER_COUNT_MAX);
    va_start(arguments, format);
    int r = vasprintf(&value, format, arguments);
    va_end(arguments);
    if (r < 0)
        return -ENOMEM;
    answer->headers[answer->header_count].name = name;
    answer->headers[answer->header_count++].value = value;
    return 0;
}

static bool header_said(const struct answer *answer, const char *name)
{
    for (int i = 0; i < answer->header_count; i++)
        if (!strcmp(answer->headers[i].name, name))
            return true;
    return false;
}

static int json_answer(struct answer *answer, int status, const char *type, json_t *json)
{
    if (!json)
        return -ENOMEM;
    char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(json);
    if (!text)
        return -ENOMEM;
    size_t size = strlen(text);
    text[size++] = '\n'; /* in the NUL's place: people read this with curl */
    answer->status = status;
    answer->type = type;
    answer->text = text;
    answer->size = size;
    return 0;
}

int answer_json(struct answer *answer, int status, json_t *json)
{
    return json_answer(answer, status, "application/json", json);
}

/* `errors`, of whatever kind, is the problem's member of that name; NULL: it has none. */
static int problem_answer(struct answer *answer, const struct request *request, enum problem problem,
                          const char *member, json_t *errors, const char *format, va_list arguments)
{
    const struct problem_info *info = &problems[problem];
    char detail[600], type[64];

    if (info->retry_s && !header_said(answer, "Retry-After")) {
        int r = answer_header(answer, "Retry-After", "%d", info->retry_s);
        if (r < 0) {
            json_decref(errors);
            return r;
        }
    }
    vsnprintf(detail, sizeof(detail), format, arguments);
    snprintf(type, sizeof(type), "/problems/%s", info->code);
    /* A detail may quote what the client sent; json_stringn refuses broken
     * UTF-8, so such a detail falls back to the meaning of the code. */
    json_auto_t *words = json_string(detail);
    if (!words)
        words = json_string(info->meaning);
    return json_answer(answer, info->status, "application/problem+json",
                       json_pack("{s:s, s:s, s:i, s:O, s:s, s:s, s:o*}", "type", type, "title", info->title, "status",
                                 info->status, "detail", words, "instance", request->request_id, "code", info->code,
                                 member, errors));
}

int answer_problem(struct answer *answer, const struct request *request, enum problem problem, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int r = problem_answer(answer, request, problem, "errors", NULL, format, arguments);
    va_end(arguments);
    return r;
}

int answer_errors(struct answer *answer, const struct request *request, enum problem problem, json_t *errors,
                  const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int r = problem_answer(answer, request, problem, "errors", errors, format, arguments);
    va_end(arguments);
    return r;
}

int answer_checks(struct answer *answer, const struct request *request, json_t *checks, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int r = problem_answer(answer, request, PROBLEM_NOT_READY, "checks", checks, format, arguments);
    va_end(arguments);
    return r;
}

void errors_add(json_t *errors, const char *pointer, const char *message)
{
    json_array_append_new(errors, json_pack("{s:s, s:s}", "pointer", pointer, "message", message));
}
