/* How is riftd itself?
 *
 * Health, version, devices, data sets, the field table, what error codes mean;
 * and the switch that lets nothing new start. */
#include "api/exchange.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int handle_healthz(const struct request *request, struct answer *answer)
{
    int r = db_ping(request->config->db, request->config->now_ms(request->config->user));

    if (r < 0)
        return answer_problem(answer, request, PROBLEM_NOT_READY, "the database can't be used: %s",
                              db_errmsg(request->config->db));
    return answer_json(answer, 200, json_pack("{s:s}", "status", "ok"));
}

void server_condition(const struct request *request, struct api_condition *ret)
{
    *ret = (struct api_condition){ 0 };
    if (request->config->condition)
        request->config->condition(request->config->user, ret);
}

/* ---- ready ---- */

enum { WHY_SIZE = 320 };

/* Why jobs can't be run; "" where this is no reason. Negative errno: nobody can tell. */
static int space_check(const struct request *request, char why[WHY_SIZE])
{
    struct api_condition condition;

    server_condition(request, &condition);
    if (condition.no_space)
        snprintf(why, WHY_SIZE, "%lld bytes are free on the disk, %lld are to be", (long long)condition.free_bytes,
                 (long long)condition.floor_bytes);
    return 0;
}

static int drained_check(const struct request *request, char why[WHY_SIZE])
{
    char drained[8];

    /* Where this fails, the database's own check says so. */
    if (db_state_get(request->config->db, STATE_DRAINED, drained, sizeof(drained)) >= 0 && *drained)
        snprintf(why, WHY_SIZE, "riftd is drained: nothing starts until it is resumed");
    return 0;
}

static int devices_check(const struct request *request, char why[WHY_SIZE])
{
    json_auto_t *devices = request->config->devices(request->config->user);

    if (!devices)
        return -ENOMEM;
    if (!json_array_size(devices))
        snprintf(why, WHY_SIZE, "no device is usable");
    return 0;
}

static int database_check(const struct request *request, char why[WHY_SIZE])
{
    if (db_ping(request->config->db, request->config->now_ms(request->config->user)) < 0)
        snprintf(why, WHY_SIZE, "the database can't be used: %s", db_errmsg(request->config->db));
    return 0;
}

static const struct {
    const char *name;
    int (*check)(const struct request *request, char why[WHY_SIZE]);
} checks[] = {
    { "disk", space_check },
    { "drained", drained_check },
    { "devices", devices_check },
    { "database", database_check },
};

/* The first that fails is the answer; with ?verbose all are told. */
int handle_readyz(const struct request *request, struct answer *answer)
{
    bool verbose = request_query(request, "verbose");
    char first[WHY_SIZE] = "";
    json_auto_t *list = verbose ? json_array() : NULL;

    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]) && (verbose || !*first); i++) {
        char why[WHY_SIZE] = "";
        int r = checks[i].check(request, why);
        if (r < 0)
            return r;
        if (*why && !*first)
            memcpy(first, why, sizeof(first));
        if (verbose)
            json_array_append_new(list, json_pack("{s:s, s:b, s:s?}", "name", checks[i].name, "ok", !*why, "why",
                                                  *why ? why : NULL));
    }
    if (*first)
        return answer_checks(answer, request, json_incref(list), "%s", first);
    return answer_json(answer, 200, json_pack("{s:s, s:O*}", "status", "ok", "checks", list));
}

/* ---- version ---- */

#ifndef RIFT_COMMIT
#define RIFT_COMMIT "" /* an archive, not a checkout */
#endif

static json_t *limit_json(int64_t limit)
{
    return limit ? json_integer(limit) : json_null();
}

/* What the settings, or who started us, have chosen. */
static json_t *limits_json(const struct request *request)
{
    const struct api_config *config = request->config;
    struct api_condition condition;

    server_condition(request, &condition);
    return json_pack("{s:I, s:I, s:i, s:o, s:o, s:o, s:o, s:o}", "body_bytes", (json_int_t)config->body_limit,
                     "upload_bytes", (json_int_t)config->upload_limit, "streams", config->stream_limit,
                     "requests_per_s", limit_json(rules_of(config)->rate_limit), "owner_running",
                     limit_json(condition.owner_running_max), "owner_queued", limit_json(condition.owner_queued_max),
                     "owner_bytes", limit_json(condition.owner_bytes_max), "time_limit_s",
                     limit_json(condition.time_limit_max_ms / 1000));
}

int handle_version(const struct request *request, struct answer *answer)
{
    int64_t now_ms = request->config->now_ms(request->config->user);

    return answer_json(answer, 200,
                       json_pack("{s:s, s:s, s:s?, s:s, s:o, s:o}", "name", "riftd", "version", RIFT_VERSION, "commit",
                                 *RIFT_COMMIT ? RIFT_COMMIT : NULL, "api", "v1", "time", time_json(now_ms), "limits",
                                 limits_json(request)));
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

/* ---- drain ---- */

/* Remember it; the daemon looks when the bell rings. */
static int drained_set(const struct request *request, struct answer *answer, bool drained)
{
    const struct api_config *config = request->config;
    int r = db_state_put(config->db, STATE_DRAINED, drained ? "yes" : NULL);

    if (r < 0)
        return r;
    config->bell(config->user);
    return answer_json(answer, 200, json_pack("{s:b}", "drained", drained));
}

int handle_drain(const struct request *request, struct answer *answer)
{
    return drained_set(request, answer, true);
}

int handle_resume(const struct request *request, struct answer *answer)
{
    return drained_set(request, answer, false);
}
