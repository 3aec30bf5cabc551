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

int handle_readyz(const struct request *request, struct answer *answer)
{
    json_auto_t *devices = request->config->devices(request->config->user);
    struct api_condition condition;
    char drained[8];

    server_condition(request, &condition);
    if (condition.no_space)
        return answer_problem(answer, request, PROBLEM_NOT_READY, "%lld bytes are free on the disk, %lld are to be",
                              (long long)condition.free_bytes, (long long)condition.floor_bytes);
    int r = db_state_get(request->config->db, STATE_DRAINED, drained, sizeof(drained));
    if (r >= 0 && *drained)
        return answer_problem(answer, request, PROBLEM_NOT_READY,
                              "riftd is drained: nothing starts until it is resumed");
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
