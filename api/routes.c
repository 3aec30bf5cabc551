/* What can be asked of riftd?
 *
 * THE table: dispatch, Allow (of a 405 and for OPTIONS), /v1/openapi.yaml's test
 * and the list of allowed query parameters all come from it. A path is split at
 * its raw slashes and each segment is decoded once, so that an encoded slash or
 * NUL never becomes part of a name. HEAD is answered wherever GET is, OPTIONS
 * everywhere. */
#include "api/caller.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct route routes[] = {
    { "POST", "/v1/jobs", ROLE_SUBMIT, handle_job_submit, BODY_JSON, "dry_run", "Submit a job" },
    { "GET", "/v1/jobs", ROLE_READ, handle_job_list, BODY_NONE, "id,state,kind,label,owner,parent,dataset,limit,cursor",
      "List jobs, newest first" },
    { "GET", "/v1/jobs/{id}", ROLE_READ, handle_job_get, BODY_NONE, "wait,version",
      "One job with its spec, steps and result" },
    { "PATCH", "/v1/jobs/{id}", ROLE_SUBMIT, handle_job_change, BODY_JSON, "",
      "Change a job's priority or label, hold it, pin it", true },
    { "DELETE", "/v1/jobs/{id}", ROLE_SUBMIT, handle_job_delete, BODY_NONE, "", "Forget an ended job and its files",
      true },
    { "POST", "/v1/jobs/{id}/cancel", ROLE_SUBMIT, handle_job_cancel, BODY_NONE, "", "Stop a job", true },
    { "POST", "/v1/jobs/{id}/retry", ROLE_SUBMIT, handle_job_retry, BODY_NONE, "",
      "Run a failed or cancelled job again", true },
    { "GET", "/v1/jobs/{id}/metrics", ROLE_READ, handle_job_metrics, BODY_NONE, "name,since,until,max_points,step,format",
      "Names of the curves, or points of one or all" },
    { "GET", "/v1/jobs/{id}/modules", ROLE_READ, handle_job_modules, BODY_NONE, "step",
      "Robust criticality of each module" },
    { "GET", "/v1/jobs/{id}/interpolation", ROLE_READ, handle_job_interpolation, BODY_NONE, "step",
      "Points between two sets of weights" },
    { "GET", "/v1/jobs/{id}/evaluations", ROLE_READ, handle_job_evaluations, BODY_NONE, "step",
      "Measured losses and accuracies" },
    { "GET", "/v1/jobs/{id}/table", ROLE_READ, handle_job_table, BODY_NONE, "format,group_by,with",
      "Accuracies before and after RiFT, averaged over seeds" },
    { "GET", "/v1/jobs/{id}/report", ROLE_READ, handle_job_report, BODY_NONE, "format,part",
      "All that a job found out, on one sheet" },
    { "GET", "/v1/jobs/{id}/events", ROLE_READ, handle_job_events, BODY_NONE, "after,wait,limit",
      "A job's events, live or as a list" },
    { "GET", "/v1/jobs/{id}/log", ROLE_READ, handle_job_log, BODY_NONE, "tail,step",
      "What the worker wrote to its log" },
    { "GET", "/v1/jobs/{id}/artifacts", ROLE_READ, handle_job_artifacts, BODY_NONE, "", "Files that a job made" },
    { "GET", "/v1/jobs/{id}/artifacts/{name...}", ROLE_READ, handle_job_artifact, BODY_NONE, "", "Download a file" },
    { "GET", "/v1/compare", ROLE_READ, handle_compare, BODY_NONE, "jobs,name,max_points",
      "Several jobs side by side: a curve, criticality, and how their settings differ" },
    { "GET", "/v1/models", ROLE_READ, handle_model_list, BODY_NONE, "name,owner,job,limit,cursor",
      "List registered models, newest first" },
    { "POST", "/v1/models", ROLE_SUBMIT, handle_model_create, BODY_UPLOAD, "name,sha256",
      "Register weights: an upload, or an artifact of a job" },
    { "GET", "/v1/models/{id}", ROLE_READ, handle_model_get, BODY_NONE, "",
      "One model, and what it comes from and goes into" },
    { "DELETE", "/v1/models/{id}", ROLE_SUBMIT, handle_model_delete, BODY_NONE, "", "Forget a model" },
    { "GET", "/v1/models/{id}/weights", ROLE_READ, handle_model_weights, BODY_NONE, "", "Download a model's weights" },
    { "GET", "/v1/webhooks", ROLE_SUBMIT, handle_webhook_list, BODY_NONE, "", "List webhooks" },
    { "POST", "/v1/webhooks", ROLE_SUBMIT, handle_webhook_create, BODY_JSON, "",
      "Be told when jobs change their state" },
    { "GET", "/v1/webhooks/{id}", ROLE_SUBMIT, handle_webhook_get, BODY_NONE, "", "One webhook" },
    { "DELETE", "/v1/webhooks/{id}", ROLE_SUBMIT, handle_webhook_delete, BODY_NONE, "", "Forget a webhook" },
    { "POST", "/v1/webhooks/{id}/test", ROLE_SUBMIT, handle_webhook_test, BODY_NONE, "",
      "Tell a webhook something now" },
    { "GET", "/v1/webhooks/{id}/deliveries", ROLE_SUBMIT, handle_webhook_deliveries, BODY_NONE, "limit",
      "What a webhook was told, newest first" },
    { "GET", "/v1/events", ROLE_READ, handle_all_events, BODY_NONE, "after,wait,limit",
      "All jobs' events, live or as a list" },
    { "GET", "/v1/queue", ROLE_READ, handle_queue, BODY_NONE, "limit", "What runs and waits, in order, and why" },
    { "POST", "/v1/admin/drain", ROLE_ADMIN, handle_drain, BODY_NONE, "", "Start no more jobs; running ones go on" },
    { "POST", "/v1/admin/resume", ROLE_ADMIN, handle_resume, BODY_NONE, "", "Start jobs again" },
    { "GET", "/v1/datasets", ROLE_READ, handle_datasets, BODY_NONE, "", "Registered data sets" },
    { "GET", "/v1/devices", ROLE_READ, handle_devices, BODY_NONE, "", "Device slots and what runs on them" },
    { "GET", "/v1/fields", ROLE_READ, handle_fields, BODY_NONE, "",
      "Every field of a spec: type, range, default, meaning" },
    { "GET", "/v1/tokens", ROLE_ADMIN, handle_token_list, BODY_NONE, "", "All tokens, without their secrets" },
    { "POST", "/v1/tokens", ROLE_ADMIN, handle_token_create, BODY_JSON, "",
      "Make a token; its secret is shown this once" },
    { "DELETE", "/v1/tokens/{id}", ROLE_ADMIN, handle_token_delete, BODY_NONE, "", "Take a token back" },
    { "GET", "/v1/audit", ROLE_ADMIN, handle_audit, BODY_NONE, "limit,cursor", "Who changed what, newest first" },
    { "POST", "/v1/session", ROLE_NONE, handle_session_create, BODY_JSON, "", "Sign a browser in with a token" },
    { "GET", "/v1/session", ROLE_READ, handle_session_get, BODY_NONE, "", "Who am I, and what may I do?" },
    { "DELETE", "/v1/session", ROLE_READ, handle_session_delete, BODY_NONE, "", "Sign a browser out" },
    { "GET", "/v1/version", ROLE_NONE, handle_version, BODY_NONE, "", "Version of riftd" },
    { "GET", "/v1/openapi.yaml", ROLE_NONE, handle_openapi, BODY_NONE, "", "This API in OpenAPI 3.1" },
    { "GET", "/problems/{name...}", ROLE_NONE, handle_problem, BODY_NONE, "", "What an error code means" },
    { "GET", "/healthz", ROLE_NONE, handle_healthz, BODY_NONE, "", "Can the database be read and written?" },
    { "GET", "/readyz", ROLE_NONE, handle_readyz, BODY_NONE, "verbose", "Can jobs be run?" },
    { "GET", "/v1/admin/backups", ROLE_ADMIN, handle_backup_list, BODY_NONE, "",
      "Copies of the database, newest first" },
    { "POST", "/v1/admin/backups", ROLE_ADMIN, handle_backup_create, BODY_NONE, "",
      "Copy the database while it is in use" },
    { "GET", "/v1/admin/backups/{name...}", ROLE_ADMIN, handle_backup_get, BODY_NONE, "", "Download a copy" },
    { "DELETE", "/v1/admin/backups/{name...}", ROLE_ADMIN, handle_backup_delete, BODY_NONE, "", "Delete a copy" },
    { "GET", "/v1/admin/check", ROLE_ADMIN, handle_check, BODY_NONE, "", "Hold files against what was announced" },
    { "GET", "/metrics", ROLE_READ, handle_metrics, BODY_NONE, "", "Counts and durations for Prometheus" },
    { "GET", "/", ROLE_NONE, handle_page, BODY_NONE, "", "The dashboard" },
    { "GET", "/web/{name...}", ROLE_NONE, handle_web, BODY_NONE, "", "Files of the dashboard" },
};
#define ROUTE_COUNT ((int)(sizeof(routes) / sizeof(routes[0])))

int api_routes(const struct api_route_info **ret)
{
    static struct api_route_info infos[ROUTE_COUNT];

    for (int i = 0; i < ROUTE_COUNT; i++)
        infos[i] = (struct api_route_info){ routes[i].method, routes[i].path, role_names[routes[i].role],
                                            routes[i].query, routes[i].summary };
    *ret = infos;
    return ROUTE_COUNT;
}

_Static_assert(ROUTE_COUNT <= ROUTES_MAX, "struct traffic has a row for each");

int route_index(const struct route *route)
{
    return (int)(route - routes);
}

bool route_takes(const struct route *route, const char *query_name)
{
    return list_holds(route->query, query_name);
}

static int hex_value(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c) : NULL;

    return at ? (int)(at - digits) : -1;
}

int percent_decode(char *text, bool segment)
{
    char *out = text;

    for (const char *in = text; *in; in++) {
        unsigned char byte = (unsigned char)*in;
        if (*in == '%') {
            int high = hex_value(in[1]), low = high < 0 ? -1 : hex_value(in[2]);
            if (low < 0)
                return -EBADMSG;
            byte = (unsigned char)(high << 4 | low);
            in += 2;
            if (segment && byte == '/')
                return -EBADMSG;
        }
        if (byte < 0x20 || byte == 0x7f)
            return -EBADMSG;
        *out++ = (char)byte;
    }
    *out = 0;
    return text_valid(text) ? 0 : -EBADMSG; /* nothing here is called otherwise, and answers quote it */
}

#define SEGMENT_COUNT_MAX 16
struct segments {
    char text[1024];
    char *list[SEGMENT_COUNT_MAX];
    int count;
};

/* "/v1/jobs" -> "v1", "jobs"; "/" -> one empty segment. */
static int path_split(const char *raw_path, struct segments *ret)
{
    if (raw_path[0] != '/' || strlen(raw_path) >= sizeof(ret->text))
        return -ENOENT;
    strcpy(ret->text, raw_path + 1);
    ret->count = 0;
    for (char *at = ret->text; at;) {
        if (ret->count == SEGMENT_COUNT_MAX)
            return -ENOENT;
        char *segment = strsep(&at, "/");
        if (percent_decode(segment, true) < 0)
            return -EBADMSG;
        ret->list[ret->count++] = segment;
    }
    return 0;
}

/* Put the segments from `first` on together again, as {name...}. */
static bool rest_join(const struct segments *path, int first, char ret[NAME_SIZE])
{
    size_t used = 0;

    ret[0] = 0;
    for (int i = first; i < path->count; i++) {
        int n = snprintf(ret + used, NAME_SIZE - used, "%s%s", i > first ? "/" : "", path->list[i]);
        if (n < 0 || (size_t)n >= NAME_SIZE - used)
            return false;
        used += (size_t)n;
    }
    return used > 0;
}

/* Does the path fit the pattern? Fills {id} and {name...} when it does. */
static bool pattern_match(const char *pattern, const struct segments *path, struct request *request)
{
    const char *at = pattern + 1;

    for (int i = 0; i < path->count; i++) {
        size_t length = strcspn(at, "/");
        if (!strncmp(at, "{name...}", 9))
            return rest_join(path, i, request->name);
        if (!strncmp(at, "{id}", 4)) {
            /* What can't be an id stays "", which nothing is called: no-such-job. */
            if (token_id_valid(path->list[i]))
                strcpy(request->id, path->list[i]);
            for (int k = 0; id_valid(path->list[i]) && k < DB_ID_SIZE; k++) {
                char c = path->list[i][k];
                request->id[k] = c >= 'A' && c <= 'F' ? (char)(c + 32) : c;
            }
        } else if (strlen(path->list[i]) != length || strncmp(at, path->list[i], length)) {
            return false;
        }
        at += length;
        if (i + 1 == path->count)
            return !*at;
        if (*at++ != '/')
            return false;
    }
    return false;
}

int route_find(struct request *request, const char *method, const char *raw_path, char ret_allow[64])
{
    struct segments path;
    char allow[64 - sizeof(", OPTIONS")] = "";

    int r = path_split(raw_path, &path);
    if (r < 0)
        return r;
    request->head = !strcmp(method, "HEAD");
    request->method = request->head ? "GET" : method;
    for (int i = 0; i < ROUTE_COUNT; i++) {
        if (!pattern_match(routes[i].path, &path, request))
            continue;
        if (!strcmp(routes[i].method, request->method)) {
            request->route = &routes[i];
            return 0;
        }
        snprintf(allow + strlen(allow), sizeof(allow) - strlen(allow), "%s%s%s", *allow ? ", " : "", routes[i].method,
                 strcmp(routes[i].method, "GET") ? "" : ", HEAD");
    }
    if (!*allow)
        return -ENOENT;
    snprintf(ret_allow, 64, "%s, OPTIONS", allow);
    return -EOPNOTSUPP;
}
