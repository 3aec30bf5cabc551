/* Does this riftd have what a spec asks for?
 *
 * A good spec may still name a place that isn't for it, a data set that nobody
 * registered, or a device that no slot is on. Such a job would fail at its start
 * or wait for ever, so it is refused when it comes, with all that is wrong. */
#include "api/exchange.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The names of registered data sets, "a|b|c". New reference, NULL: no memory. */
static json_t *dataset_names(const json_t *sets)
{
    json_t *names = json_string(""), *set;
    size_t i;

    json_array_foreach((json_t *)sets, i, set)
    {
        json_t *longer = json_sprintf("%s%s%s", json_string_value(names), i ? "|" : "",
                                      json_string_value(json_object_get(set, "name")));
        json_decref(names);
        names = longer;
    }
    return names;
}

/* "no data set is registered as \"x\"; registered are: near, other" */
static int dataset_unknown(const char *wanted, const json_t *sets, json_t *errors)
{
    json_auto_t *names = dataset_names(sets);
    char near[64] = "", message[512];
    struct fault why;
    bool meant = names && word_nearest(json_string_value(names), wanted, near, sizeof(near));
    json_t *set;
    size_t i;

    if (!names)
        return -ENOMEM;
    int used = snprintf(
        message, sizeof(message), "no data set is registered as \"%.100s\"; %s%s", wanted,
        json_array_size(sets) ? "registered are: " : "none is registered (riftd's setting `dataset` does that)", near);
    json_array_foreach((json_t *)sets, i, set)
    {
        const char *name = json_string_value(json_object_get(set, "name"));

        if (used < (int)sizeof(message) && strcmp(name, near) != 0)
            used += snprintf(message + used, sizeof(message) - (size_t)used, "%s%s", meant || i ? ", " : "", name);
    }
    fault_set(&why, -EINVAL, "%s", message); /* mends a character that was cut in half */
    errors_add(errors, "/dataset/name", why.message);
    return 0;
}

/* A registered data set must be one that the daemon knows. */
static int dataset_check(const struct request *request, const struct job_spec *spec, json_t *errors)
{
    const char *wanted = spec->dataset.name;
    json_t *set;
    size_t i;

    if (!wanted)
        return 0;
    json_auto_t *sets = request->config->datasets(request->config->user);
    if (!sets)
        return -ENOMEM;
    json_array_foreach(sets, i, set)
    {
        const char *name = json_string_value(json_object_get(set, "name"));
        if (name && !strcmp(name, wanted))
            return 0;
    }
    return dataset_unknown(wanted, sets, errors);
}

struct placing {
    const struct request *request;
    json_t *errors;
};

static int place_see(const char *pointer, const char *path, void *user)
{
    const struct placing *placing = user;
    const struct api_config *config = placing->request->config;
    struct fault why = { 0 };
    int r = config->place_check ? config->place_check(config->user, path, &why) : 0;

    if (r == -EACCES)
        errors_add(placing->errors, pointer, why.message);
    return r == -EACCES ? 0 : r;
}

/* A job reads with riftd's rights, so a spec names only places where that is meant. */
static int places_check(const struct request *request, const struct job_spec *spec, json_t *errors)
{
    struct placing placing = { request, errors };

    return spec_paths(spec->json, place_see, &placing);
}

/* Does the slot's device compute in that format? One that doesn't say which it can isn't judged here. */
static bool slot_computes(const json_t *slot, const char *precision)
{
    const json_t *precisions = json_object_get(slot, "precisions");

    for (size_t i = 0; i < json_array_size(precisions); i++)
        if (strcmp(json_string_value(json_array_get(precisions, i)) ?: "", precision) == 0)
            return true;
    return !precisions;
}

/* Has the slot's device as much memory for jobs? One that doesn't say isn't judged here. */
static bool slot_holds(const json_t *slot, int64_t memory_bytes)
{
    const json_t *memory = json_object_get(slot, "memory_for_jobs_bytes");

    return !json_is_integer(memory) || memory_bytes <= json_integer_value(memory);
}

/* A job that no slot will ever take would wait for ever, and one that every slot must refuse would
 * wait for nothing: say so now. */
static int device_check(const struct request *request, const struct job_spec *spec, json_t *errors)
{
    const char *precision = job_precisions[spec->precision];
    bool served = false, computes = false;
    json_t *slot;
    size_t i;

    json_auto_t *slots = request->config->devices(request->config->user);
    if (!slots)
        return -ENOMEM;
    json_array_foreach(slots, i, slot)
    {
        const char *device = json_string_value(json_object_get(slot, "id"));
        if (!device || !job_device_serves(device, spec->device))
            continue;
        served = true;
        if (!slot_computes(slot, precision))
            continue;
        computes = true;
        if (slot_holds(slot, spec->memory_bytes))
            return 0;
    }
    if (computes)
        errors_add(errors, "/memory",
                   "no device of this server that the job may run on has so much; see GET /v1/devices");
    else if (served)
        errors_add(errors, "/precision",
                   "no device of this server that the job may run on computes so; see GET /v1/devices");
    else if (strcmp(spec->device, "auto") != 0)
        errors_add(errors, "/device", "no slot of this server is on such a device; see GET /v1/devices");
    return 0;
}

/* A limit that the server doesn't grant. */
static int time_limit_check(const struct request *request, const struct job_spec *spec, json_t *errors)
{
    struct api_condition condition;
    char message[100];

    server_condition(request, &condition);
    if (condition.time_limit_max_ms && spec->time_limit_s > condition.time_limit_max_ms / 1000) {
        snprintf(message, sizeof(message), "this server lets a job run for %lld s at most",
                 (long long)condition.time_limit_max_ms / 1000);
        errors_add(errors, "/time_limit_s", message);
    }
    return 0;
}

int spec_fits(const struct request *request, const struct job_spec *spec, json_t *errors)
{
    int r = places_check(request, spec, errors);

    if (r >= 0)
        r = dataset_check(request, spec, errors);
    if (r >= 0)
        r = device_check(request, spec, errors);
    return r < 0 ? r : time_limit_check(request, spec, errors);
}
