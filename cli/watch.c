/* How does a job come to its end, seen from outside?
 *
 *   GET job  ->  events as they come  ->  GET job  ->  its tables
 *                 |  broken connection, riftd restarted: again from the last
 *                 +--event seen (Last-Event-ID), for as long as PATIENCE_MS
 *
 * Events are news in the order they happened, from the job's first one on; GET
 * is the truth, asked for at the start, after each broken connection and at the
 * end, so that a missed or unknown event can't leave a wrong picture. Only the
 * last GET adds lines: before, they would run ahead of the news. The watch ends with the stream's
 * `end` event, not with the first sign of an end: what was said before is
 * shown before. */
#include "cli/watch.h"

#include "cli/cli.h"
#include "cli/sse.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 120000 /* how long riftd may be away */
#define RETRY_MS    250    /* between two knocks */
#define SILENCE_S   60     /* riftd sends a heartbeat every 15 s */

struct watch {
    struct cli *cli;
    struct watch_job job;
    json_t *runs; /* of a sweep: its rift jobs by id; else NULL */
    struct screen screen;
    struct sse sse;
    int64_t heard_ms; /* last time riftd said anything */
};

static int64_t now_ms(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static bool has_ended(const char *state)
{
    static const char *const ends[] = { "succeeded", "failed", "cancelled" };

    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        if (strcmp(ends[i], state) == 0)
            return true;
    return false;
}

static void copy(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from);
}

/* ---- the truth: GET ---- */

static void take_progress(struct watch_step *step, const json_t *progress)
{
    if (!json_is_object(progress))
        return;
    copy(step->phase, sizeof(step->phase), text_at(progress, "phase", step->phase));
    step->done = json_number_value(json_object_get(progress, "done"));
    step->total = json_number_value(json_object_get(progress, "total"));
    step->images_per_s = json_number_value(json_object_get(progress, "images_per_s"));
    step->eta_s = json_number_value(json_object_get(progress, "eta_s"));
}

static void say_state(struct watch *watch, struct watch_step *step)
{
    if (strcmp(step->said_state, step->state) == 0)
        return;
    screen_say(&watch->screen, "%-11s  %s", step->kind, step->state);
    copy(step->said_state, sizeof(step->said_state), step->state);
}

static void take_step(struct watch *watch, int place, const json_t *json)
{
    struct watch_step *step = &watch->job.steps[place];

    copy(step->id, sizeof(step->id), text_at(json, "id", ""));
    copy(step->kind, sizeof(step->kind), text_at(json, "kind", ""));
    copy(step->state, sizeof(step->state), text_at(json, "state", "?"));
    take_progress(step, json_object_get(json, "progress"));
}

/* How many of a sweep's rift jobs have ended. */
static void count_runs(struct watch *watch)
{
    struct watch_step *step = &watch->job.steps[0];
    const char *id;
    json_t *run;

    copy(step->phase, sizeof(step->phase), "rift jobs");
    step->total = (double)json_object_size(watch->runs);
    step->done = 0;
    json_object_foreach(watch->runs, id, run) step->done += has_ended(text_at(run, "state", ""));
}

/* A sweep is watched as one thing. */
static void take_runs(struct watch *watch, const json_t *runs)
{
    json_t *run;
    size_t i;

    json_decref(watch->runs);
    watch->runs = json_object();
    json_array_foreach((json_t *)runs, i, run) json_object_set(watch->runs, text_at(run, "id", ""), run);
    count_runs(watch);
}

static void take_job(struct watch *watch, const json_t *json)
{
    struct watch_job *job = &watch->job;
    const json_t *steps = json_object_get(json, "steps"), *step;
    size_t i;

    copy(job->id, sizeof(job->id), text_at(json, "id", ""));
    copy(job->kind, sizeof(job->kind), text_at(json, "kind", ""));
    copy(job->state, sizeof(job->state), text_at(json, "state", ""));
    copy(job->label, sizeof(job->label), text_at(json, "label", ""));
    if (strcmp(job->kind, job_kinds[JOB_RIFT].name) != 0) {
        job->step_count = 1;
        take_step(watch, 0, json);
        if (strcmp(job->kind, job_kinds[JOB_SWEEP].name) == 0)
            take_runs(watch, steps);
        return;
    }
    json_array_foreach(steps, i, step)
    {
        if (i == RIFT_STEPS)
            break;
        take_step(watch, (int)i, step);
        job->step_count = (int)i + 1;
    }
}

/* server_try's result. */
static int refresh(struct watch *watch)
{
    json_auto_t *json = NULL;
    char path[64];

    snprintf(path, sizeof(path), "/v1/jobs/%s", watch->job.id);
    int r = server_try(watch->cli->http, path, &json);
    if (r != 0)
        return r;
    watch->heard_ms = now_ms();
    take_job(watch, json);
    return 0;
}

/* ---- the news: events ---- */

static void see_state(struct watch *watch, struct watch_step *step, const json_t *event)
{
    const char *state = text_at(event, "state", NULL);

    if (!state)
        return;
    copy(step->state, sizeof(step->state), state);
    say_state(watch, step);
}

static void see_progress(struct watch *watch, struct watch_step *step, const json_t *event)
{
    take_progress(step, event);
    screen_progress(&watch->screen, step, now_ms());
}

static void see_metric(struct watch *watch, struct watch_step *step, const json_t *event)
{
    const char *name = text_at(event, "name", "");
    json_t *value = json_object_get(event, "value");
    char percent[16];

    if (!step->numbers)
        step->numbers = json_object();
    json_object_set(step->numbers, name, value);
    if (!strstr(name, "accuracy")) /* losses come every step: too many lines */
        return;
    print_percent(percent, value);
    screen_say(&watch->screen, "%-11s  epoch %g  %s %s", step->kind, json_number_value(json_object_get(event, "epoch")),
               name, percent);
}

static void see_module(struct watch *watch, struct watch_step *step, const json_t *event)
{
    (void)step;
    snprintf(watch->job.note, sizeof(watch->job.note), "  %s  MRC %#.4g", text_at(event, "module", "-"),
             json_number_value(json_object_get(event, "mrc")));
}

static void see_alpha(struct watch *watch, struct watch_step *step, const json_t *event)
{
    char clean[16], robust[16];

    print_percent(clean, json_object_get(event, "clean_accuracy"));
    print_percent(robust, json_object_get(event, "robust_accuracy"));
    snprintf(watch->job.note, sizeof(watch->job.note), "  alpha %g  clean %s  robust %s",
             json_number_value(json_object_get(event, "alpha")), clean, robust);
    screen_say(&watch->screen, "%-11s%s", step->kind, watch->job.note);
}

static void see_evaluation(struct watch *watch, struct watch_step *step, const json_t *event)
{
    char accuracy[16];

    print_percent(accuracy, json_object_get(event, "accuracy"));
    snprintf(watch->job.note, sizeof(watch->job.note), "  %s  accuracy %s", text_at(event, "name", "-"), accuracy);
    screen_say(&watch->screen, "%-11s%s", step->kind, watch->job.note);
}

/* One of the rift jobs of a sweep starts or ends. */
static void see_run(struct watch *watch, const json_t *event)
{
    const char *state = text_at(event, "state", "");
    json_t *run = json_object_get(watch->runs, text_at(event, "job", ""));

    if (!run)
        return;
    json_object_set_new(run, "state", json_string(state));
    count_runs(watch);
    if (strcmp(state, "running") != 0 && !has_ended(state))
        return;
    snprintf(watch->job.note, sizeof(watch->job.note), "  %s: %s", text_at(run, "label", "?"), state);
    screen_say(&watch->screen, "%-11s  %.0f of %.0f ended%s", watch->job.kind, watch->job.steps[0].done,
               watch->job.steps[0].total, watch->job.note);
}

static struct watch_step *step_of(struct watch *watch, const json_t *event)
{
    const char *id = text_at(event, "job", watch->job.id);

    for (int i = 0; i < watch->job.step_count; i++)
        if (strcmp(watch->job.steps[i].id, id) == 0)
            return &watch->job.steps[i];
    return NULL;
}

/* -ECANCELED: the stream has said that all was said. */
static int see_event(const char *type, const char *data, void *user)
{
    static const struct {
        const char *type;
        void (*see)(struct watch *watch, struct watch_step *step, const json_t *event);
    } rows[] = {
        { "state", see_state },   { "progress", see_progress }, { "metric", see_metric },
        { "module", see_module }, { "alpha", see_alpha },       { "evaluation", see_evaluation },
    };
    struct watch *watch = user;
    json_auto_t *event = json_loads(data, 0, NULL);

    watch->heard_ms = now_ms();
    if (strcmp(type, "end") == 0)
        return -ECANCELED;
    if (watch->cli->json) {
        printf("%s\n", data);
        fflush(stdout);
        return 0;
    }
    struct watch_step *step = step_of(watch, event); /* NULL: the rift job itself, or nonsense */
    if (!step && strcmp(type, "state") == 0)
        see_run(watch, event);
    for (size_t i = 0; step && i < sizeof(rows) / sizeof(rows[0]); i++)
        if (strcmp(rows[i].type, type) == 0)
            rows[i].see(watch, step, event);
    screen_draw(&watch->screen, &watch->job, now_ms(), false);
    return 0;
}

static int see_bytes(const char *data, size_t size, int status, void *user)
{
    struct watch *watch = user;

    (void)status;
    watch->heard_ms = now_ms();
    return sse_feed(&watch->sse, data, size);
}

/* One connection's worth of events. http_stream's result. */
static int follow_once(struct watch *watch, int *ret_status)
{
    char path[80], header[64] = "", *last = watch->sse.last_id;
    http_response_auto response = { 0 };

    snprintf(path, sizeof(path), "/v1/jobs/%s/events", watch->job.id);
    if (*last)
        snprintf(header, sizeof(header), "Last-Event-ID: %s", last);
    struct http_request request = { .path = path, .headers = { "Accept: text/event-stream", *header ? header : NULL } };
    sse_restart(&watch->sse);
    int r = http_stream(watch->cli->http, &request, SILENCE_S, see_bytes, watch, &response, NULL);
    *ret_status = response.status;
    return r;
}

/* Knock again after a connection ended. CLI_OK: go on. */
static int come_back(struct watch *watch, bool broken, bool *said)
{
    if (now_ms() - watch->heard_ms > PATIENCE_MS)
        return cli_error(CLI_UNREACHABLE, "watch: riftd has been away for %d s; the job may go on without it",
                         PATIENCE_MS / 1000);
    if (broken && !*said) {
        copy(watch->job.note, sizeof(watch->job.note), "  riftd is away; waiting for it to come back");
        screen_say(&watch->screen, "%s", watch->job.note + 2);
        screen_draw(&watch->screen, &watch->job, now_ms(), true);
    }
    *said = broken;
    poll(NULL, 0, RETRY_MS); /* the deadline is PATIENCE_MS */
    server_look_again(watch->cli);
    if (refresh(watch) == 404)
        return cli_error(CLI_NOT_FOUND, "watch: the job was deleted");
    return CLI_OK;
}

/* Follow the stream, through broken connections, to its end. */
static int follow(struct watch *watch)
{
    bool said = false;
    int code = CLI_OK;

    while (code == CLI_OK) {
        int status = 0, r = follow_once(watch, &status);
        bool broken = r == -ECONNREFUSED || r == -ECONNRESET;
        if (r == -ECANCELED || status == 204)
            return CLI_OK;
        if (r < 0 && !broken)
            return cli_error(CLI_FAILED, "watch: the event stream can't be read: %s", strerror(-r));
        if (!broken && has_ended(watch->job.state))
            return CLI_OK;
        code = come_back(watch, broken, &said);
    }
    return code;
}

int watch_job(struct cli *cli, const char *id)
{
    struct watch watch = { .cli = cli, .sse = { .see = see_event }, .heard_ms = now_ms() };
    json_auto_t *job = NULL;

    watch.sse.user = &watch;
    watch.screen.terminal = isatty(STDOUT_FILENO) && !cli->json;
    watch.screen.silent = cli->json;
    copy(watch.job.id, sizeof(watch.job.id), id);
    int r = server_get(cli, &job, "/v1/jobs/%s", id);
    if (r == CLI_OK) {
        take_job(&watch, job);
        screen_draw(&watch.screen, &watch.job, now_ms(), true);
        r = has_ended(watch.job.state) ? CLI_OK : follow(&watch);
    }
    if (r == CLI_OK) {
        json_decref(job);
        job = NULL;
        r = server_get(cli, &job, "/v1/jobs/%s", id);
    }
    if (r == CLI_OK) {
        take_job(&watch, job);
        for (int i = 0; i < watch.job.step_count; i++)
            say_state(&watch, &watch.job.steps[i]);
        watch.job.note[0] = '\0';
        screen_draw(&watch.screen, &watch.job, now_ms(), true);
        r = outcome_show(cli, job);
    }
    for (int i = 0; i < watch.job.step_count; i++)
        json_decref(watch.job.steps[i].numbers);
    json_decref(watch.runs);
    sse_done(&watch.sse);
    return r;
}

int command_watch(struct cli *cli)
{
    json_auto_t *job = NULL;
    int r = server_job(cli, cli->arguments[0], &job);

    return r == CLI_OK ? watch_job(cli, text_at(job, "id", "")) : r;
}
