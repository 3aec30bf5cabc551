/* Has the job changed since the client looked?
 *
 * A job's ETag is "VERSION-HASH". The version counts the changes of the job and its
 * steps; the hash is of the whole answer, which also says what comes from elsewhere,
 * such as a place in the queue. If-None-Match compares both, so what a 304 vouches
 * for is exact. If-Match asks whether somebody else has changed the job: for that only
 * the version counts, else a job far ahead in the queue could make a PATCH fail.
 *
 * If-Match is checked twice: before the handler, and again in the transaction that
 * makes the change (db_job_expect), so that of two clients that saw the same version
 * exactly one succeeds. */
#include "api/exchange.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH_DIGITS 16

bool etag_listed(const char *list, const char *etag)
{
    size_t length = strlen(etag);

    for (; *list; list += strcspn(list, ","), list += *list == ',') {
        list += strspn(list, " \t");
        if (*list == '*')
            return true;
        if (!strncmp(list, "W/", 2))
            list += 2;
        if (!strncmp(list, etag, length) && strchr(" \t,", list[length]))
            return true;
    }
    return false;
}

int answer_tag(struct answer *answer, const struct request *request, int64_t version)
{
    const char *none_match = request_header(request, "If-None-Match");
    char hex[65], etag[64];

    sha256_of(answer->text, answer->size, hex);
    snprintf(etag, sizeof(etag), "\"%" PRId64 "-%.*s\"", version, HASH_DIGITS, hex);
    int r = answer_header(answer, "ETag", "%s", etag);
    if (r >= 0 && none_match && !strcmp(request->method, "GET") && etag_listed(none_match, etag)) {
        free(answer->text);
        answer->text = NULL;
        answer->size = 0;
        answer->type = NULL;
        answer->status = 304;
    }
    return r;
}

/* Does If-Match name this version? Strong comparison: W/ never matches. */
static bool version_listed(const char *list, int64_t version)
{
    char wanted[32];
    int length = snprintf(wanted, sizeof(wanted), "\"%" PRId64 "-", version);

    for (; *list; list += strcspn(list, ","), list += *list == ',') {
        list += strspn(list, " \t");
        if (*list == '*' || !strncmp(list, wanted, (size_t)length))
            return true;
    }
    return false;
}

static int precondition_refuse(const struct request *request, struct answer *answer)
{
    answer_done(answer);
    return answer_problem(answer, request, PROBLEM_PRECONDITION, "the job isn't what If-Match names any more");
}

int route_handle(const struct request *request, struct answer *answer)
{
    const char *match = request->route->guarded ? request_header(request, "If-Match") : NULL;
    int64_t version;

    if (!match)
        return request->route->handle(request, answer);
    int r = db_job_version(request->config->db, request->id, &version);
    if (r < 0 && r != -ENOENT) /* of a job that isn't there the handler says so */
        return r;
    if (!r && !version_listed(match, version))
        return precondition_refuse(request, answer);
    if (!r && !strchr(match, '*'))
        db_job_expect(request->id, version);
    r = request->route->handle(request, answer);
    db_job_expect(NULL, 0);
    return r == -ECANCELED ? precondition_refuse(request, answer) : r;
}
