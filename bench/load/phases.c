/* What is measured?
 *
 * One table of scenarios: what is asked, by how many clients, at which rate.
 * Every read is measured three ways: `calm` (open loop at settings.rate over all
 * clients: what a user sees), `full` (closed loop: what riftd can do), and mixed
 * with the others under attack by slow sockets. Then event streams, and what
 * riftd does when nobody asks. */
#include "bench/load/load.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- requests ---- */

/* A number that looks random and is a function of k. */
static uint64_t scatter(uint64_t k)
{
    k = (k ^ k >> 30) * 0xbf58476d1ce4e5b9u;
    k = (k ^ k >> 27) * 0x94d049bb133111ebu;
    return k ^ k >> 31;
}

static size_t get_write(const struct target *target, const char *path, char *text, size_t size)
{
    return (size_t)snprintf(text, size, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", path, (unsigned)target->port);
}

static size_t ask_submit(const struct target *target, uint64_t k, char *text, size_t size)
{
    char body[512];
    int length = snprintf(body, sizeof(body),
                          "{\"kind\":\"train\",\"label\":\"load-new-%u\",\"seed\":%u,"
                          "\"dataset\":{\"format\":\"idx\",\"path\":\"/nowhere/in/particular\"}}",
                          (unsigned)(k % 100), (unsigned)(k % 1000000));

    return (size_t)snprintf(text, size,
                            "POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Type: application/json\r\n"
                            "Content-Length: %d\r\n\r\n%s",
                            (unsigned)target->port, length, body);
}

static size_t ask_list(const struct target *target, uint64_t k, char *text, size_t size)
{
    (void)k;
    return get_write(target, "/v1/jobs", text, size);
}

static size_t ask_state(const struct target *target, uint64_t k, char *text, size_t size)
{
    static const char *const states[] = { "queued", "succeeded", "failed", "running" };
    char path[128];

    snprintf(path, sizeof(path), "/v1/jobs?state=%s", states[k % 4]);
    return get_write(target, path, text, size);
}

static size_t ask_filters(const struct target *target, uint64_t k, char *text, size_t size)
{
    char path[128];

    snprintf(path, sizeof(path), "/v1/jobs?state=succeeded&kind=train&label=load-%u", (unsigned)(scatter(k) % 100));
    return get_write(target, path, text, size);
}

static size_t ask_page(const struct target *target, uint64_t k, char *text, size_t size)
{
    char path[192];

    snprintf(path, sizeof(path), "/v1/jobs?parent=&cursor=%s",
             target->cursors[scatter(k) % (unsigned)target->cursor_count]);
    return get_write(target, path, text, size);
}

static size_t ask_job(const struct target *target, uint64_t k, char *text, size_t size)
{
    char path[128];

    snprintf(path, sizeof(path), "/v1/jobs/%s", target->ids[scatter(k) % (unsigned)target->id_count]);
    return get_write(target, path, text, size);
}

static size_t ask_curve(const struct target *target, uint64_t k, char *text, size_t size)
{
    char path[192];

    (void)k;
    snprintf(path, sizeof(path), "/v1/jobs/%s/metrics?name=loss&max_points=500", target->big);
    return get_write(target, path, text, size);
}

static size_t ask_small_curve(const struct target *target, uint64_t k, char *text, size_t size)
{
    char path[192];

    snprintf(path, sizeof(path), "/v1/jobs/%s/metrics?name=loss",
             target->small[scatter(k) % (unsigned)target->small_count]);
    return get_write(target, path, text, size);
}

static size_t ask_series(const struct target *target, uint64_t k, char *text, size_t size)
{
    char path[128];

    (void)k;
    snprintf(path, sizeof(path), "/v1/jobs/%s/metrics", target->big);
    return get_write(target, path, text, size);
}

static size_t ask_queue(const struct target *target, uint64_t k, char *text, size_t size)
{
    (void)k;
    return get_write(target, "/v1/queue", text, size);
}

static size_t ask_health(const struct target *target, uint64_t k, char *text, size_t size)
{
    (void)k;
    return get_write(target, "/healthz", text, size);
}

/* What a lab with dashboards open asks for. */
static size_t ask_mix(const struct target *target, uint64_t k, char *text, size_t size)
{
    static request_writer *const mix[] = { ask_list, ask_job,         ask_state, ask_small_curve, ask_curve,
                                           ask_job,  ask_small_curve, ask_page,  ask_filters,     ask_queue };

    return mix[scatter(k) % (sizeof(mix) / sizeof(mix[0]))](target, k, text, size);
}

/* ---- the table ---- */

enum load_kind { CALM, FULL };

static const struct scenario {
    const char *name;
    request_writer *write;
    int status;
    enum load_kind kind;
    double rate; /* of a calm one; 0: settings.rate */
} scenarios[] = {
    { "list", ask_list, 200, CALM, 0 },
    { "list-by-state", ask_state, 200, CALM, 0 },
    { "list-by-three", ask_filters, 200, CALM, 0 },
    { "list-deep-page", ask_page, 200, CALM, 0 },
    { "job", ask_job, 200, CALM, 0 },
    { "curve-1000000", ask_curve, 200, CALM, 0 },
    { "curve-1000", ask_small_curve, 200, CALM, 0 },
    { "series", ask_series, 200, CALM, 0 },
    { "queue", ask_queue, 200, CALM, 0 },
    { "health", ask_health, 200, CALM, 0 },
    { "mix", ask_mix, 200, CALM, 0 },
    { "submit", ask_submit, 201, CALM, 0 },
    { "list", ask_list, 200, FULL, 0 },
    { "job", ask_job, 200, FULL, 0 },
    { "curve-1000000", ask_curve, 200, FULL, 0 },
    { "curve-1000", ask_small_curve, 200, FULL, 0 },
    { "queue", ask_queue, 200, FULL, 0 },
    { "mix", ask_mix, 200, FULL, 0 },
    { "submit", ask_submit, 201, FULL, 0 },
};

static bool wanted(const struct settings *settings, const char *name)
{
    size_t length = strlen(name);

    if (!settings->only)
        return true;
    for (const char *at = settings->only; (at = strstr(at, name)); at += length)
        if ((at == settings->only || at[-1] == ',') && (!at[length] || at[length] == ','))
            return true;
    return false;
}

static json_t *outcome_json(const char *name, const char *how, struct outcome *outcome)
{
    struct times *times = &outcome->times;

    times_sort(times);
    return json_pack("{s:s, s:s, s:I, s:f, s:f, s:f, s:f, s:f, s:I, s:I, s:f}", "phase", name, "how", how, "answers",
                     (json_int_t)times->count, "per_s", (double)times->count / outcome->seconds, "p50_ms",
                     times_ms(times, 0.5), "p99_ms", times_ms(times, 0.99), "max_ms", times_ms(times, 1), "KiB",
                     times->count ? (double)outcome->bytes / 1024 / (double)times->count : 0, "wrong",
                     (json_int_t)outcome->wrong, "broken", (json_int_t)outcome->broken, "load", load_average());
}

static json_t *scenario_run(const struct target *target, const struct settings *settings,
                            const struct scenario *scenario)
{
    struct outcome outcome;
    char how[32] = "full";
    struct run run = { .target = target,
                       .write = scenario->write,
                       .status = scenario->status,
                       .connections = settings->clients,
                       .seconds = settings->seconds };

    if (scenario->kind == CALM) {
        run.rate = scenario->rate > 0 ? scenario->rate : settings->rate;
        snprintf(how, sizeof(how), "%.0f/s", run.rate);
    }
    int r = load_run(&run, &outcome);
    json_t *json = r < 0 ? NULL : outcome_json(scenario->name, how, &outcome);
    times_done(&outcome.times);
    return json;
}

/* ---- the ones that are no plain scenario ---- */

/* A moment for the children to connect. */
static void settle(int ms)
{
    poll(NULL, 0, ms);
}

static json_t *trickle_run(const struct target *target, const struct settings *settings)
{
    struct watchers trickle;
    struct times none = { 0 };
    struct outcome outcome;
    int64_t closed = 0;
    struct run run = { .target = target,
                       .write = ask_mix,
                       .status = 200,
                       .connections = settings->clients,
                       .rate = settings->rate,
                       .seconds = settings->seconds < 20 ? 20 : settings->seconds };

    if (trickle_start(target, settings->trickles, &trickle) < 0)
        return NULL;
    settle(1500);
    int r = load_run(&run, &outcome);
    json_t *json = r < 0 ? NULL : outcome_json("mix-beside-trickles", "attacked", &outcome);
    if (watchers_stop(&trickle, &none, &closed) < 0)
        closed = 0;
    if (json) {
        json_object_set_new(json, "trickles", json_integer(settings->trickles));
        json_object_set_new(json, "trickles_closed", json_integer(closed));
    }
    times_done(&none);
    times_done(&outcome.times);
    return json;
}

static json_t *streams_run(const struct target *target, const struct settings *settings)
{
    struct watchers streams;
    struct times ages = { 0 };
    struct outcome outcome;
    int64_t closed = 0;
    struct run run = { .target = target,
                       .write = ask_submit,
                       .status = 201,
                       .connections = 10,
                       .rate = 20,
                       .seconds = settings->seconds };

    if (watchers_start(target, settings->streams, &streams) < 0)
        return NULL;
    int r = load_run(&run, &outcome);
    json_t *submits = r < 0 ? NULL : outcome_json("submit", "20/s", &outcome);
    int64_t expected = (int64_t)outcome.times.count * settings->streams;
    if (r < 0 || watchers_stop(&streams, &ages, &closed) < 0) {
        json_decref(submits);
        return NULL;
    }
    outcome.broken = closed;
    outcome.wrong = 0;
    outcome.bytes = 0;
    times_done(&outcome.times);
    outcome.times = ages;
    json_t *json = outcome_json("event-to-stream", "20/s", &outcome);
    json_object_set_new(json, "expected", json_integer(expected));
    json_object_set_new(json, "submits_beside", submits);
    times_done(&ages);
    return json;
}

static json_t *usage_json(const char *name, const struct usage *before, const struct usage *after, double seconds)
{
    return json_pack("{s:s, s:i, s:f, s:f, s:f, s:i, s:i}", "phase", name, "cpu_ticks",
                     (int)(after->cpu_ticks - before->cpu_ticks), "seconds", seconds, "rss_peak_MiB",
                     (double)after->rss_peak_kib / 1024, "rss_MiB", (double)after->rss_kib / 1024, "threads",
                     after->threads, "files", after->files);
}

static json_t *idle_run(const struct target *target, const struct settings *settings)
{
    struct usage before, after;
    double seconds = settings->seconds < 5 ? 5 : settings->seconds;

    settle(2000); /* what the last phase left to do */
    if (usage_read(target->pid, &before) < 0)
        return NULL;
    settle((int)(1000 * seconds));
    return usage_read(target->pid, &after) < 0 ? NULL : usage_json("idle", &before, &after, seconds);
}

static const struct {
    const char *name;
    json_t *(*run)(const struct target *target, const struct settings *settings);
} others[] = {
    { "streams", streams_run },
    { "trickles", trickle_run },
    { "idle", idle_run },
};

static int keep(const struct target *target, json_t *list, const char *name, json_t *json)
{
    struct usage usage;

    if (!json) {
        fprintf(stderr, "load_service: %s could not be measured\n", name);
        return -EIO;
    }
    if (usage_read(target->pid, &usage) >= 0)
        json_object_set_new(json, "rss_MiB", json_real((double)usage.rss_kib / 1024));
    row_print(json);
    return json_array_append_new(list, json);
}

json_t *phases_run(const struct target *target, const struct settings *settings)
{
    json_t *list = json_array();
    int r = 0;

    for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]) && r >= 0; i++)
        if (wanted(settings, scenarios[i].name))
            r = keep(target, list, scenarios[i].name, scenario_run(target, settings, &scenarios[i]));
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]) && r >= 0; i++)
        if (wanted(settings, others[i].name))
            r = keep(target, list, others[i].name, others[i].run(target, settings));
    if (r < 0) {
        json_decref(list);
        return NULL;
    }
    return list;
}
